"""The part of a run that can be looked through at once, and how to come to any other."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from crosswire.engine.console.again import record_again
from crosswire.engine.console.tape import INDEX_TURNS, TURNS_MAX, Tape, make_tape
from crosswire.engine.journal.description import Description

BEHIND = 4  # of a window made for a turn one part in so many lies before it, for stepping back


@dataclass
class Window:
    """Rows of a tape as arrays. Rows are counted over the whole run."""

    tape: Tape
    _tops: dict[int, dict[str, np.ndarray]] = field(default_factory=dict)

    @property
    def first(self) -> int:
        """The first row that is kept."""
        return self.tape.first

    @property
    def end(self) -> int:
        """Behind the last row that is kept."""
        return self.tape.first + self.tape.count

    @cached_property
    def turns(self) -> Any:
        """`TapeTurn`s, one entry a row."""
        return self.tape.turns.numpy(self.tape.count)

    @cached_property
    def books(self) -> Any:
        """`TapeBook`s in the order of their rows."""
        return self.tape.books.numpy(self.tape.books_count)

    @cached_property
    def positions(self) -> Any:
        """`TapePosition`s in the order of their rows."""
        return self.tape.positions.numpy(self.tape.positions_count)

    @cached_property
    def _books_of(self) -> dict[int, np.ndarray]:
        return _places_by_instrument(self.books)

    @cached_property
    def _positions_of(self) -> dict[int, np.ndarray]:
        return _places_by_instrument(self.positions)

    def holds(self, row: int) -> bool:
        """Tell whether a row is kept."""
        return self.first <= row < self.end

    def tops_of(self, instrument: int) -> dict[str, np.ndarray]:
        """Give the best prices of all that is kept of one instrument's book, in order, as columns."""
        if instrument not in self._tops:
            places = self._books_of.get(instrument, np.empty(0, np.int64))
            tops = {name: self.books[name][places] for name in ("row", "valid", "bids", "asks")}
            tops |= {name: self.books[name][:, 0][places] for name in ("bid_ticks", "ask_ticks")}
            self._tops[instrument] = tops
        return self._tops[instrument]

    def book_at(self, instrument: int, row: int) -> Any:
        """Give the `TapeBook` of an instrument at a row; None: it was not there yet."""
        return _last(self.books, self._books_of, instrument, row)

    def position_at(self, instrument: int, row: int) -> Any:
        """Give the `TapePosition` of an instrument at a row; None: it was not there yet."""
        return _last(self.positions, self._positions_of, instrument, row)

    def places_at(self, row: int) -> Any:
        """Give the `TapePlace`s of our resting orders at a row."""
        place = row - self.first
        begin = int(self.turns["places_end"][place - 1]) if place else 0
        end = int(self.turns["places_end"][place])
        return self.tape.places.numpy(end)[begin:] if end > begin else []


def _places_by_instrument(rows: Any) -> dict[int, np.ndarray]:
    return {int(each): np.flatnonzero(rows["instrument"] == each) for each in np.unique(rows["instrument"])}


def _last(rows: Any, places_of: dict[int, np.ndarray], instrument: int, row: int) -> Any:
    places = places_of.get(instrument)
    if places is None:
        return None
    behind = int(np.searchsorted(rows["row"][places], row, "right"))
    return rows[places[behind - 1]] if behind else None


class Recording:
    """All rows of one run, TURNS_MAX of them at hand; for others the run is made again up to there."""

    def __init__(self, folder: Path, description: Description, turns_max: int = TURNS_MAX) -> None:
        """Nothing is made yet: `begin` does."""
        assert turns_max // BEHIND >= INDEX_TURNS  # a window made for the end of a part of the index holds all of it
        self.folder, self.description, self.turns_max = folder, description, turns_max
        self.tape = make_tape(turns_max=turns_max)
        self.digest = ""
        self.window = Window(self.tape)
        self.rows = 0
        self.made = 0  # times that the run was made again
        self._index: dict[str, np.ndarray] = {}

    @property
    def is_whole(self) -> bool:
        """Tell whether all of the run lies in the window."""
        return self.window.first == 0 and self.window.end == self.rows

    def begin(self) -> None:
        """Make the run again, all of it, and keep its first rows. Raises as `record_again`."""
        self.digest = record_again(self.folder, self.description, self.tape)
        self.window = Window(self.tape)
        self.rows = self.tape.rows
        self.made += 1
        count = self.tape.index_count
        self._index = {
            "time_ns": self.tape.index_ns.numpy(count).copy(),
            "frames": self.tape.index_frames.numpy(count).copy(),
        }

    def at(self, row: int) -> Window:
        """Give a window that holds a row; one outside the run is its first or last. Raises as `record_again`."""
        row = max(0, min(row, self.rows - 1))
        if not self.window.holds(row):
            tape = make_tape(max(0, row - self.turns_max // BEHIND), stops=True, turns_max=self.turns_max)
            record_again(self.folder, self.description, tape)
            self.window = Window(tape)
            self.made += 1
        return self.window

    def row_at(self, time_ns: int) -> int:
        """Find the last row up to a time, the first one before all."""
        return max(0, self._last_up_to("time_ns", time_ns))

    def row_of_frame(self, frame: int) -> int:
        """Find the row that took a frame, counted from 1; the last one behind all."""
        return min(self._last_up_to("frames", frame - 1) + 1, self.rows - 1)

    def _last_up_to(self, field: str, value: int) -> int:
        """Find the last row in which something that only grows is not above a value; -1: it is in all."""
        near = max(0, int(np.searchsorted(self._index[field], value, "right")) - 1) * INDEX_TURNS
        window = self.at(near)
        if window.end < min(near + INDEX_TURNS, self.rows):  # it may lie in what is not kept any more
            window = self.at(min(near + INDEX_TURNS, self.rows) - 1)
        return window.first + int(np.searchsorted(window.turns[field], value, "right")) - 1
