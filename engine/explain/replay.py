"""A live run's loop, run again on what its journal and capture tell, and its orders held against those that were sent.

The engine begins with what the run took over, strategies and sessions are made anew from the run's configuration, and
every turn has the frames and the time that it had. What came from other threads comes between the same turns.
"""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from crosswire.engine.build.run import Run, build_core
from crosswire.engine.build.venue import make_parts
from crosswire.engine.config import RunConfig, make_config
from crosswire.engine.control.mailbox import Mailbox
from crosswire.engine.control.parameters import set_control
from crosswire.engine.errors import ExplainError
from crosswire.engine.explain.outside import BY_TIME, Mark, marks_of
from crosswire.engine.explain.reading import KEPT, Told, VenueCapture, journal_key, read_opening
from crosswire.engine.explain.told import (
    TURNS_AT_ONCE,
    SentHeader,
    ToldClock,
    ToldConnection,
    ToldFrame,
    ToldRing,
    ToldRings,
    ToldTurns,
    follow_unit,
    make_told_ring,
)
from crosswire.engine.faults import plain_faults
from crosswire.engine.journal.decode import Record, Turns, records_of, turns_of
from crosswire.engine.journal.opening import resumed_at, take_over, write_opening
from crosswire.engine.loop import Status
from crosswire.engine.seat import raise_failure
from crosswire.nic.clock import ReplayClock
from crosswire.nic.journal.files import FOLDER, MemoryJournal
from crosswire.nic.journal.reader import read_journal, read_memory
from crosswire.nic.memory.struct import Struct, address_of, array, i64, u8
from crosswire.nic.packet import TCP_FRAME_HEADER_BYTES
from crosswire.nic.rings.ring import NEVER_NS
from crosswire.nic.unit.link import Linker
from crosswire.nic.unit.load import call_entry
from crosswire.risk.records import RecordKind


class FollowEntries(Struct):
    """Addresses of the entries of `follow_unit`."""

    follow: i64


@dataclass
class Sent:
    """The order messages of one venue: as they were sent, and as the replay has made them again."""

    venue: str
    sent: list[tuple[int, bytes]]  # (time, message)
    again: list[tuple[int, bytes]] = field(default_factory=list)

    @property
    def same(self) -> int:
        """Count the messages up to the first that differs."""
        pairs = zip(self.sent, self.again, strict=False)
        return next((number for number, ((_, one), (_, other)) in enumerate(pairs) if one != other), self.shorter)

    @property
    def shorter(self) -> int:
        """Count the messages of the shorter of both."""
        return min(len(self.sent), len(self.again))

    @property
    def is_same(self) -> bool:
        """Tell whether every message is there again, byte for byte, and no other."""
        return self.same == len(self.sent) == len(self.again)


@dataclass
class Replayed:
    """What the replay of a run has given."""

    config: RunConfig
    config_path: Path
    turns: int = 0
    frames: int = 0
    missing: dict[str, int] = field(default_factory=dict)  # frames taken that are in no capture, by venue
    venues: list[Sent] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)  # of the replayed loop
    captures: list[VenueCapture] = field(default_factory=list)
    first_ns: int = 0
    last_ns: int = 0

    @property
    def is_same(self) -> bool:
        """Tell whether every order was made again byte for byte."""
        return all(each.is_same for each in self.venues)


def config_of(told: Told) -> tuple[RunConfig, Path]:
    """Read a run's configuration as its journal has it, relative to where its file lay. ConfigError."""
    path = Path(told.description.config_file)
    return make_config(tomllib.loads(told.description.config_text, parse_float=Decimal), path), path


def open_capture(told: Told, folder: Path, venues: list[str]) -> list[VenueCapture]:
    """Open a run's capture. ExplainError: there is none, or it is another run's."""
    if not folder.is_dir():
        raise ExplainError(f"capture {folder}: there is no such folder; give the run's own: --capture")
    captures = [VenueCapture(folder, name) for name in venues]
    key = journal_key(told.folder)
    for name, capture in zip(venues, captures, strict=True):
        if capture.orders.keys != {key}:
            raise ExplainError(f"capture {folder}: {name}'s is not of {told.folder}; give the run's own: --capture")
    return captures


class Replay:
    """The engine of a run that is followed again."""

    def __init__(self, told: Told, captures: list[VenueCapture]) -> None:
        """Make the engine as it began. ConfigError, LimitError, JournalError, ExplainError: one line each."""
        self.told, self.captures = told, captures
        self.config, config_path = config_of(told)
        opening = read_opening(told.folder)
        is_live = told.description.kind == "live"
        carried = opening if told.description.continues or opening.holdings or opening.orders else None
        core = build_core(self.config, config_path)
        if carried is not None:
            take_over(core, self.config, carried)
        self.turns = ToldTurns()
        self.clock = ToldClock()
        self.clock.turns = self.turns
        self.rings = [make_told_ring(number, self.turns) for number in range(len(self.config.venue))]
        for ring, capture in zip(self.rings, captures, strict=True):
            tell_ring(ring, capture)
        parts = []
        for number, (venue, ring) in enumerate(zip(self.config.venue, self.rings, strict=True)):
            checks = not is_live or (venue.live is not None and venue.live.check_udp and venue.live.ring != "sockets")
            part = make_parts(number, self.config, core.engine.market, config_path, ring)
            parts.append(part._replace(checks_udp=checks))
        self.run = Run(self.config, config_path, core, tuple(parts), ReplayClock(), [])
        self.entries = FollowEntries()
        self.link(core.linker)
        if told.of(RecordKind.COMMAND):
            self.mailbox = Mailbox()
            core.engine.control.mailbox = address_of(self.mailbox)
            set_control(core, self.config)
        self.run.load()
        if is_live:
            self._resume(carried)
        self.kept = MemoryJournal(core.engine.journal)
        write_opening(core, self.config, carried, [part.session for part in self.run.parts])
        self.kept.take()
        core.engine.gate.alive_ns = NEVER_NS
        self.all_rings = ToldRings(count=len(self.rings))
        for number, ring in enumerate(self.rings):
            self.all_rings.addresses[number] = address_of(ring)
        self.found = Replayed(self.config, config_path, captures=captures)
        self.found.venues = [
            Sent(venue.name, capture.orders.sent) for venue, capture in zip(self.config.venue, captures, strict=True)
        ]

    def link(self, linker: Linker) -> None:
        """Ask for the unit that `follow_told` calls."""
        linker.link_all(self.entries, follow_unit())

    def follow_told(self) -> int:
        """Follow the turns that are told; return a `Status` as `engine.explain.told.follow`."""
        arguments = (address_of(self.run.engine), address_of(self.clock), address_of(self.all_rings))
        return call_entry(self.entries.follow, *arguments)

    def _resume(self, carried: Any) -> None:
        for number, venue in enumerate(self.config.venue):
            if venue.order_entry.resume is not None:
                left = resumed_at(venue.name, self.config, carried) if carried else None
                venue.order_entry.resume(self.run.parts[number].session, left)

    def follow_all(self) -> Replayed:
        """Follow every turn that the journal tells. LoopError: what the loop raised."""
        marks = marks_of(self.told, self.run)
        for turns in turns_in_parts(read_journal(self.told.folder / FOLDER).batches()):
            begun = 0
            for place, mark in places_of(marks, turns, self.found.turns):
                self._follow(turns, begun, place)
                mark.act()
                begun = place
            self._follow(turns, begun, len(turns.times_ns))
        for venue, capture in zip(self.found.venues, self.captures, strict=True):
            self.found.missing[venue.venue] = capture.missing
            if not self.told.is_closed:
                # Of a journal that breaks off the capture may go on.
                venue.sent = [each for each in venue.sent if each[0] <= self.found.last_ns]
        return self.found

    def _follow(self, turns: Turns, begun: int, end: int) -> None:
        """Follow some turns."""
        if begun == end:
            return
        times, venues = turns.times_ns[begun:end], turns.venues[begun:end]
        tell_turns(self.turns, times, venues)
        for ring, capture in zip(self.rings, self.captures, strict=True):
            count = int((venues >> ring.venue & 1).sum())
            tell_frames(ring, [capture.take() for _ in range(count)])
            self.found.frames += count
        status = Status.JOURNAL
        while status == Status.JOURNAL:
            with plain_faults(self.run.config_path):
                status = Status(self.follow_told())
                raise_failure(self.run.engine.seats)
            self._take()
        self.found.turns += end - begun
        self.found.first_ns = self.found.first_ns or int(times[0])
        self.found.last_ns = int(times[-1])

    def _take(self) -> None:
        """Take what was written and sent."""
        for batch in read_memory(self.kept).batches():
            self.found.records += records_of(batch, KEPT)
        self.kept.take()
        for ring, sent in zip(self.rings, self.found.venues, strict=True):
            sent.again += take_sent(ring)


def turns_in_parts(batches: Any) -> Iterator[Turns]:
    """Give the turns of a journal, TURNS_AT_ONCE at most."""
    for batch in batches:
        turns = turns_of(batch)
        for begun in range(0, len(turns.times_ns), TURNS_AT_ONCE):
            yield Turns(*(each[begun : begun + TURNS_AT_ONCE] for each in turns))


def places_of(marks: list[Mark], turns: Turns, before: int) -> Iterator[tuple[int, Mark]]:
    """Give each mark that falls into these turns, and the turn that it is before; take it from the list.

    `before`: how many turns came before these.
    """
    place = 0
    while marks and len(turns.times_ns):
        mark = marks[0]
        if mark.turn == BY_TIME:
            at = (
                len(turns.times_ns)
                if mark.time_ns > turns.times_ns[-1]
                else np.searchsorted(turns.times_ns, mark.time_ns)
            )
        else:
            at = mark.turn - before
        if at >= len(turns.times_ns):
            return
        place = max(place, int(at))
        yield place, marks.pop(0)


def tell_ring(ring: ToldRing, capture: VenueCapture) -> None:
    """Tell a ring what it says of its connections and slots."""
    changes = array(ToldConnection, max(1, len(capture.orders.connections)))
    for place, values in enumerate(capture.orders.connections):
        changes[place].asked, changes[place].stream, changes[place].number = values
    ring.connection_changes, ring.connection_count = changes, len(capture.orders.connections)
    refused = array(i64, max(1, len(capture.orders.refused)))
    refused.numpy()[: len(capture.orders.refused)] = capture.orders.refused
    ring.refused, ring.refused_count = refused, len(capture.orders.refused)


def tell_turns(turns: ToldTurns, times_ns: np.ndarray, venues: np.ndarray) -> None:
    """Tell the turns that come next."""
    told_times, told_venues = array(i64, len(times_ns)), array(i64, len(times_ns))
    told_times.numpy()[:] = times_ns
    told_venues.numpy()[:] = venues
    turns.times_ns, turns.venues = told_times, told_venues
    turns.count, turns.position, turns.current = len(times_ns), 0, 0


def tell_frames(ring: ToldRing, frames: list[tuple[int, bytes]]) -> None:
    """Tell a ring the frames that come next; one without bytes is missing."""
    lengths = np.array([len(data) for _, data in frames], np.int64)
    # Each begins on a whole word, as in a real ring; compiled code reads words.
    starts = np.concatenate([[0], np.cumsum((lengths + 7) // 8 * 8)])
    data, told = array(u8, int(starts[-1]) + 8), array(ToldFrame, max(1, len(frames)))
    room = data.numpy()
    for (_, each), start in zip(frames, starts.tolist(), strict=False):
        room[start : start + len(each)] = np.frombuffer(each, np.uint8)
    rows = told.numpy()[: len(frames)]
    rows["offset"], rows["length"], rows["time_ns"] = starts[:-1], lengths, [time_ns for time_ns, _ in frames]
    ring.frames, ring.data, ring.frame_count, ring.position = told, data, len(frames), 0


def take_sent(ring: ToldRing) -> Iterator[tuple[int, bytes]]:
    """Take the messages that the loop has committed: (time, message)."""
    data = bytes(ring.sent.numpy(ring.sent_bytes)) if ring.sent_bytes else b""
    offset = 0
    while offset < len(data):
        length = int.from_bytes(data[offset : offset + 8], "little")
        time_ns = int.from_bytes(data[offset + 8 : offset + 16], "little")
        start = offset + SentHeader.size
        yield time_ns, data[start + TCP_FRAME_HEADER_BYTES : start + length]
        offset = start + (length + 7) // 8 * 8
    ring.sent_bytes = 0
