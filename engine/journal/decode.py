"""The records of a journal by the names of their fields."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from crosswire.nic.journal.format import HEADER_WORDS, WORD_BYTES
from crosswire.nic.journal.reader import Batch
from crosswire.risk.records import (
    KINDS,
    TURN_ACTED_BIT,
    TURN_TIME_BIT,
    VERSION,
    RecordKind,
    TurnsRecord,
    fields_of,
)


class Record(NamedTuple):
    """One record; a field that its version did not have yet is 0."""

    sequence: int
    time_ns: int
    kind: RecordKind
    fields: dict[str, Any]  # numbers; of TURNS what `Turns` holds


def records_of(batch: Batch, kinds: Collection[int] = KINDS) -> Iterator[Record]:
    """Give the records of some kinds in a batch, in order; without any given all but texts."""
    # Of a long run most records are of turns: those that are not wanted cost no Python.
    chosen = np.isin(batch.commits["kind"], list(kinds))
    for place, commit in zip(batch.places[chosen].tolist(), batch.commits[chosen].tolist(), strict=True):
        payload_bytes, kind, version = commit[:3]
        payload = batch.words[place + HEADER_WORDS : place + HEADER_WORDS + payload_bytes // WORD_BYTES]
        if kind == RecordKind.TURNS:
            fields: dict[str, Any] = {"begun_ns": int(payload[0]), "turns": unpack_turns(payload[:1], payload[1:])}
        else:
            zeros = dict.fromkeys(KINDS[RecordKind(kind)].fields, 0)
            fields = zeros | dict(zip(fields_of(kind, version), payload.tolist(), strict=False))
        yield Record(int(batch.words[place + 2]), int(batch.words[place + 3]), RecordKind(kind), fields)


class Turns(NamedTuple):
    """Turns of the loop, one entry each."""

    times_ns: np.ndarray
    venues: np.ndarray  # a bit for each that a frame was taken of
    acted: np.ndarray  # 1: an order may have left, a timer fired

    def frames(self, order: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """List every frame taken, in order: the turn's time, the venue's number.

        `order`: the venues' numbers as a turn takes them, `engine.state.turn_order` of their names.
        """
        bits = self.venues[:, None] >> np.array(order) & 1
        turns, places = bits.nonzero()
        return self.times_ns[turns], np.array(order)[places]


def unpack_turns(begun_ns: np.ndarray, words: np.ndarray) -> Turns:
    """Unpack the words of `TurnsRecord`s, each with its own `begun_ns` or all with the same."""
    venues = words & (1 << TURN_ACTED_BIT) - 1
    return Turns(begun_ns + (words >> TURN_TIME_BIT), venues, words >> TURN_ACTED_BIT & 1)


def turns_of(batch: Batch) -> Turns:
    """Give all turns of a batch, in order."""
    rows = batch.of(RecordKind.TURNS, TurnsRecord, VERSION)
    sizes = batch.commits["payload_bytes"][batch.commits["kind"] == RecordKind.TURNS] // WORD_BYTES - 1
    is_there = np.arange(rows.shape[1] - 1) < sizes[:, None]
    return unpack_turns(np.repeat(rows[:, 0], sizes), rows[:, 1:][is_there])
