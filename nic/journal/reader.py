"""Read a journal from Python, a batch of records at a time, each one proven."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from crosswire.nic.journal.files import MemoryJournal, read_segments
from crosswire.nic.journal.format import HEADER_WORDS, WORD_BYTES, CommitWord, RecordHeader
from crosswire.nic.journal.walk import WALK_SEGMENT, End, make_walk
from crosswire.nic.memory.struct import Array, Struct, array, i64

StructT = TypeVar("StructT", bound=Struct)
_COMMIT = np.dtype([(name, "u2") for name in CommitWord.fields])


class JournalError(Exception):
    """One line: which journal, where, and what is wrong with it."""


@dataclass
class Batch:
    """Records of one segment, in order. `words` is the whole segment; the others have one entry a record."""

    segment: int
    words: np.ndarray
    places: np.ndarray  # of a record's first word
    commits: np.ndarray  # structured: payload_bytes, kind, version

    @property
    def times_ns(self) -> np.ndarray:
        """When each was written, by the run's clock."""
        return self.words[self.places + 3]

    def of(self, kind: int, cls: type[StructT], version: int) -> np.ndarray:
        """Take the payloads of one kind: a row of words each, as `cls` lays them out.

        A record of an older or newer version is cut, or filled up with zeros: fields are only ever added at the end.
        """
        chosen = self.commits["kind"] == kind
        places, sizes = self.places[chosen], self.commits["payload_bytes"][chosen] // WORD_BYTES
        width = cls.size // WORD_BYTES
        columns = np.arange(width)
        rows = self.words[np.minimum(places[:, None] + HEADER_WORDS + columns, len(self.words) - 1)]
        rows[columns >= sizes[:, None]] = 0
        return rows


class JournalReader:
    """Walks through the segments of one journal; afterwards `end` and `where` say how it ends."""

    def __init__(self, segments: Iterable[tuple[int, np.ndarray]], name: str, first: int = 0) -> None:
        self._segments = segments
        self._first = first
        self.name = name
        self.records = 0
        self.end = End.TAIL
        self.where = ""
        self.sequence = 0
        self._walk = make_walk()

    def batches(self) -> Iterator[Batch]:
        """Give all records that can be proven, up to the first one that can't."""
        expected = self._first
        for number, data in self._segments:
            if self._walk_is_over(number, expected, data):
                return
            expected = number + 1
            yield from self._batches_of(number, data)
            if self.end not in (End.TAIL, End.UNFINISHED):
                return

    def _walk_is_over(self, number: int, expected: int, data: np.ndarray) -> bool:
        """Tell whether a segment is not begun, or not the next one."""
        if len(data) < WORD_BYTES or not data[:WORD_BYTES].any():
            return True  # allocated ahead
        if self.end == End.UNFINISHED:
            self.end, self.where = End.BAD_CHECKSUM, f"{self.where}, and more was written behind it"
        elif number != expected:
            self.end, self.where = End.BAD_SEGMENT, f"segment {expected} is missing"
        else:
            return False
        return True

    def _batches_of(self, number: int, data: np.ndarray) -> Iterator[Batch]:
        words = data[: len(data) // WORD_BYTES * WORD_BYTES].view(np.int64)
        walk = self._walk
        walk.address, walk.bytes, walk.offset = words.ctypes.data, words.nbytes, 0
        self.end = End.MORE
        while self.end == End.MORE:
            expected = self.sequence
            WALK_SEGMENT(walk)
            self.end = End(walk.end)
            if walk.count:
                places = walk.places.numpy(walk.count) // WORD_BYTES
                if self.records and int(words[places[0] + 2]) != expected + 1:
                    self.end = End.BAD_SEQUENCE
                    break
                self.sequence = walk.sequence
                self.records += walk.count
                yield Batch(number, words, places, words[places].view(_COMMIT))
        self.where = f"segment {number}, byte {walk.offset}"

    def check(self) -> None:
        """Raise a JournalError if the walk did not come to a journal's proper end."""
        if self.end not in (End.TAIL, End.UNFINISHED):
            raise JournalError(
                f"journal {self.name}: {DEFECTS[self.end]} ({self.where}); nothing behind it is believed"
            )


DEFECTS = {
    End.BAD_LENGTH: "a record's length can't be",
    End.BAD_SEQUENCE: "a record is missing",
    End.BAD_CHECKSUM: "a record is not what was written",
    End.BAD_SEGMENT: "a segment's header is damaged",
}


def read_journal(folder: Path) -> JournalReader:
    """Read the journal in a folder. JournalError: there is none."""
    try:
        folder.stat()
    except FileNotFoundError:
        raise JournalError(f"journal {folder}: there is none") from None
    return JournalReader(read_segments(folder), str(folder))


def read_memory(kept: MemoryJournal) -> JournalReader:
    """Read what a journal in memory holds since it was taken last."""
    number = kept.segment.number
    return JournalReader([(number, np.frombuffer(bytes(kept.written()), np.uint8))], "in memory", number)


def elements(rows: np.ndarray, cls: type[StructT]) -> Array:
    """Show rows of words, which must stay, as structs."""
    return Array(rows.ctypes.data, cls, len(rows), _KEPT)


_KEPT = array(i64, 1).memory
assert RecordHeader.size == HEADER_WORDS * WORD_BYTES
