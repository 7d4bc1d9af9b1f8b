"""Replay: several captures merged by time into one ring, and a second reader ahead of it.

Windows over the files (`Captures`) are shared; a `Cursor` is one reader's place in all of them. The engine's ring is
the FOLLOWER; the simulated exchange reads ahead of it by the feed latency through the LEADER:

    file   ....[=====window=======]........
                  ^FOLLOWER   ^LEADER         refill() drops what lies before the slowest cursor and reads on

Compiled code can't read files. When a window does not hold a cursor's next record, the functions below say STARVED: the
loop returns to Python, which calls `Replay.refill` and enters it again. Nothing is lost or reordered by that, so what a
run does cannot depend on where it starved.
"""

import ctypes
from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Annotated

from crosswire.nic.capture.decode import Capture, Fault, Source, SourceState, read_record
from crosswire.nic.capture.reader import WINDOW_BYTES, CaptureFile
from crosswire.nic.host.owner import Owner
from crosswire.nic.memory.struct import Array, Pointer, Struct, i64
from crosswire.nic.rings.ring import NEVER_NS, Frame, RingCounters, next_time_ns, poll, release
from crosswire.nic.unit.compile import compiled

CapturePath = str | PathLike[str]
CAPTURES_MAX = 16  # merged into one ring
FOLLOWER = 0
LEADER = 1
CURSORS_MAX = 2
STARVED = -1  # in place of a time: call `Replay.refill`, then ask again
NO_CAPTURE = -1


class Captures(Struct):
    """The windows over all files of a replay, in the order given."""

    count: i64
    items: Annotated[Array, Capture, CAPTURES_MAX]


class Cursor(Struct):
    """One reader's place in all files; `next_capture` holds its next record, if that is known yet."""

    next_capture: i64  # index, or NO_CAPTURE
    starved: i64  # 1: a window must be refilled, or `error` looked at, before this reader can go on
    error: i64  # `Fault`
    error_capture: i64
    error_offset: i64
    frames: i64
    sources: Annotated[Array, Source, CAPTURES_MAX]


class ReplayRing(Struct):
    """A receive-only ring over a replay's follower."""

    captures: Annotated[Pointer, Captures]
    cursors: Annotated[Pointer, Cursor]  # FOLLOWER, and LEADER where the replay has two
    counters: RingCounters


@compiled
def next_record_time(captures: Captures, cursor: Cursor) -> int:
    """Time of the next record in ns; NEVER_NS after the last; STARVED when only Python can tell.

    Of records with the same time, the earliest capture's comes first.
    """
    if cursor.next_capture != NO_CAPTURE:
        chosen: Source = cursor.sources[cursor.next_capture]
        return chosen.time_ns
    if captures.count == 1:
        source: Source = cursor.sources[0]
        state = read_record(captures.items[0], source)
        if state == SourceState.READY:
            cursor.next_capture = 0
            return source.time_ns
        return NEVER_NS if state == SourceState.ENDED else starve(cursor, 0)
    return choose_earliest(captures, cursor)


@compiled
def choose_earliest(captures: Captures, cursor: Cursor) -> int:
    """Find the earliest next record of several captures: a scan, which for a handful beats a heap."""
    earliest_ns = NEVER_NS
    earliest = NO_CAPTURE
    for index in range(captures.count):
        source = cursor.sources[index]
        state = source.state
        if state != SourceState.READY and state != SourceState.ENDED:
            state = read_record(captures.items[index], source)
            if state != SourceState.READY and state != SourceState.ENDED:
                return starve(cursor, index)
        if source.time_ns < earliest_ns:
            earliest_ns = source.time_ns
            earliest = index
    cursor.next_capture = earliest
    return earliest_ns


@compiled
def starve(cursor: Cursor, index: int) -> int:
    """Say that capture `index` stops this cursor, and why if it is not for want of bytes."""
    source = cursor.sources[index]
    cursor.starved = 1
    if source.state == SourceState.FAULTY:
        cursor.error = source.fault
        cursor.error_capture = index
        cursor.error_offset = source.fault_offset
    return STARVED


@compiled
def peek_record(captures: Captures, cursor: Cursor, frame: Frame) -> None:
    """Fill `frame` with the record whose time `next_record_time` has just told, and stay before it.

    The frame's bytes stay where they are until the next `Replay.refill`.
    """
    index = cursor.next_capture
    source = cursor.sources[index]
    frame.address = captures.items[index].base_address + source.frame_offset
    frame.length = source.frame_length
    frame.time_ns = source.time_ns


@compiled
def take_record(captures: Captures, cursor: Cursor, frame: Frame) -> None:
    """Fill `frame` as `peek_record` does, and step past the record."""
    peek_record(captures, cursor, frame)
    cursor.sources[cursor.next_capture].state = SourceState.EMPTY
    cursor.next_capture = NO_CAPTURE
    cursor.frames += 1


@poll.register(ReplayRing)
def poll_replay(ring: ReplayRing, frame: Frame, now_ns: int) -> bool:
    captures = ring.captures[0]
    cursor = ring.cursors[FOLLOWER]
    time_ns = next_record_time(captures, cursor)
    if time_ns > now_ns or time_ns == STARVED:
        ring.counters.empty_polls += 1
        return False
    take_record(captures, cursor, frame)
    ring.counters.frames += 1
    ring.counters.bytes += frame.length
    return True


@release.register(ReplayRing)
def release_replay(_ring: ReplayRing) -> None:
    """Give nothing back: `Replay.refill`, between turns of the loop, reuses the window."""


@next_time_ns.register(ReplayRing)
def next_time_ns_replay(ring: ReplayRing) -> int:
    """STARVED when `Replay.refill` must be called first."""
    return next_record_time(ring.captures[0], ring.cursors[FOLLOWER])


class Replay(Owner):
    """Owner of the files, windows and cursors behind a `ReplayRing`.

    `window_bytes` is the memory per file, and bounds both the longest record and how far the two cursors may be apart.
    Raises `CaptureError` for a file that can't be read.
    """

    def __init__(self, paths: Sequence[CapturePath], window_bytes: int = WINDOW_BYTES, cursors: int = 1) -> None:
        if not 1 <= len(paths) <= CAPTURES_MAX:
            raise ValueError(f"{len(paths)} captures: a replay merges 1 to {CAPTURES_MAX}")
        if not 1 <= cursors <= CURSORS_MAX:
            raise ValueError(f"{cursors} cursors: a replay has 1 or {CURSORS_MAX}")
        self._captures = Captures.array(1)
        self._cursors = Cursor.array(cursors)
        self.captures: Captures = self._captures[0]
        self.cursors: list[Cursor] = list(self._cursors)
        self.ring = ReplayRing()
        self.ring.captures = self._captures
        self.ring.cursors = self._cursors
        self.files: list[CaptureFile] = []
        try:
            for index, path in enumerate(paths):
                self.files.append(CaptureFile(Path(path), self.captures.items[index], window_bytes))
        except BaseException:
            self.close()
            raise
        self.captures.count = len(self.files)
        for cursor in self.cursors:
            cursor.next_capture = NO_CAPTURE
            for index, file in enumerate(self.files):
                cursor.sources[index].position = file.first_record_offset

    def refill(self) -> None:
        """Slide every window that a cursor starves on. Call between turns of the loop: frames handed out may move.

        Raises `CaptureError` when a file is bad, or when a window can't hold what lies between the two cursors.
        """
        for cursor in self.cursors:
            if cursor.error != Fault.NONE:
                raise self.files[cursor.error_capture].fault(cursor.sources[cursor.error_capture])
        for index, file in enumerate(self.files):
            sources = [cursor.sources[index] for cursor in self.cursors]
            if any(source.state == SourceState.STARVED for source in sources):
                self._slide(file, sources)
        for cursor in self.cursors:
            cursor.starved = 0

    def _slide(self, file: CaptureFile, sources: list[Source]) -> None:
        needed = [s.frame_offset if s.state == SourceState.READY else s.position for s in sources]
        if file.slide(min(needed)):
            return
        window = f"the window of {file.window_bytes} bytes"
        if min(needed) == max(needed):
            reason = f"the record that starts here is longer than {window}, or its length is garbage"
            raise file.error(min(needed), reason, "give a larger window, or an intact copy of the file")
        reason = f"the two readers, here and at byte {max(needed)}, are farther apart than {window}"
        raise file.error(min(needed), reason, "give a larger window, or a smaller feed latency")

    def close(self) -> None:
        """Close the files; windows and counters stay readable as long as this object lives."""
        for file in self.files:
            file.close()


def read_frames(paths: Sequence[CapturePath], window_bytes: int = WINDOW_BYTES) -> Iterator[tuple[int, bytes]]:
    """Read every whole frame of the merged captures as (time in ns since the epoch, bytes); for tests and tools.

    Raises `CaptureError` at a bad byte, after all frames before it.
    """
    frame = Frame()
    with Replay(paths, window_bytes) as replay:
        captures, cursor = replay.captures, replay.cursors[FOLLOWER]
        while (time_ns := next_record_time(captures, cursor)) != NEVER_NS:
            if time_ns == STARVED:
                replay.refill()
                continue
            take_record(captures, cursor, frame)
            yield frame.time_ns, ctypes.string_at(frame.address, frame.length)
