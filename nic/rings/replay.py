"""Replay: captures merged by time into one ring, and a second reader ahead of it.

Every record is read once, into a table of records in order that all cursors walk. The engine's ring is the FOLLOWER;
the simulated exchange reads ahead of it by the feed latency through the LEADER:

    file -- window -- records, put in order --+
    file -- window -- records, put in order --+-- merged --> [.......=================.....]  table
    file ...  (not yet due)                                        ^FOLLOWER   ^LEADER

Compiled code can't read files. When a cursor comes to the table's end, the functions below say STARVED: the loop
returns to Python, which calls `Replay.refill` and enters it again. Nothing is lost or reordered by that, so what a run
does cannot depend on where it starved.

Any number of files: those of a rotated capture follow each other, and each is opened when the merged time comes to its
first record; up to OVERLAPPING_MAX may overlap.
"""

import ctypes
from collections.abc import Iterator, Sequence
from enum import IntEnum
from functools import cache
from os import PathLike
from pathlib import Path
from typing import Annotated

import numpy as np

from crosswire.nic.capture.defects import Tally, total
from crosswire.nic.capture.order import head_time, take_head
from crosswire.nic.capture.reader import WINDOW_BYTES, WINDOW_BYTES_MIN, CaptureError, CaptureFile, check_capture
from crosswire.nic.capture.records import find_head
from crosswire.nic.capture.stamps import Stamps
from crosswire.nic.capture.state import WAITING_MASK, Source, SourceState, Window
from crosswire.nic.host.owner import Owner
from crosswire.nic.memory.struct import Array, Pointer, Reference, Struct, i64, one, u32
from crosswire.nic.rings.ring import NEVER_NS, Frame, RingCounters, next_time_ns, poll, release
from crosswire.nic.unit.compile import compiled
from crosswire.nic.unit.link import Linker
from crosswire.nic.unit.load import call_entry
from crosswire.nic.unit.unit import Unit, load_units, unit_of
from crosswire.nic.warning import DataWarning

CapturePath = str | PathLike[str]
OVERLAPPING_MAX = 16  # captures read at one and the same time
SLOTS_MAX = 64  # open captures: those, and others at their end whose frames are yet to be taken
RECORD_BYTES_TYPICAL = 128  # a table has a record for so many bytes of a window
RECORDS_MIN = 1024
RECORDS_AT_FIRST = 4096  # a small table stays in the cache; it grows where the two cursors are far apart
BATCH_RECORDS = 256  # read at a time: few enough that their frames are still in the cache when they are taken
FOLLOWER = 0
LEADER = 1
CURSORS_MAX = 2
NO_SLOT = -2
STARVED = -1  # in place of a time: call `Replay.refill`, then ask again


class Filled(IntEnum):
    """Why the table can't be filled on."""

    FULL = 0  # or as many are there as are read at a time
    ENDED = 1  # of all captures
    STARVED = 2  # a window must be moved on
    DUE = 3  # the next capture must be opened


class Record(Struct):
    """A record in its place among all."""

    time_ns: i64
    frame_offset: i64  # in its capture
    frame_length: u32
    slot: u32  # of its capture
    told: i64  # what the reader ahead has found in the frame, for the one behind it


class Captures(Struct):
    """The records of all captures, in order, and the windows that their frames lie in."""

    records: Annotated[Pointer, Record]  # a ring of `mask` + 1
    mask: i64
    tail: i64  # how many have been put there
    ended: i64  # 1: there will be no more
    fill: i64  # entries of the unit that reads captures, which take the address `merge`; 0: not loaded yet
    needed_offset: i64
    is_needed: i64
    merge: i64
    windows: Annotated[Array, Window, SLOTS_MAX]  # by slot


class Cursor(Struct):
    """One reader's place in the table."""

    frames: i64  # taken
    starved: i64  # 1: the table must be refilled before this reader can go on


class Slot(Struct):
    """A place for one open capture."""

    number: i64  # of the capture, in the order given; of records at the same time the lowest goes first
    source: Source


class Merge(Struct):
    """What `fill` works on."""

    captures: Annotated[Captures, Reference]
    cursors: Annotated[Pointer, Cursor]
    cursor_count: i64
    due_ns: i64  # first time of the next capture to be opened; NEVER_NS: none
    starved_slot: i64
    active_count: i64
    active: Annotated[Array, i64, OVERLAPPING_MAX]  # slots of the captures that are not at their end
    slots: Annotated[Array, Slot, SLOTS_MAX]


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
    if cursor.frames == captures.tail and captures.fill != 0 and captures.ended == 0:
        call_entry(captures.fill, captures.merge)
    if cursor.frames != captures.tail:
        return captures.records[cursor.frames & captures.mask].time_ns
    if captures.ended != 0:
        return NEVER_NS
    cursor.starved = 1
    return STARVED


@compiled
def peek_record(captures: Captures, cursor: Cursor, frame: Frame) -> None:
    """Fill `frame` with the record whose time `next_record_time` has just told, and stay before it.

    The frame's bytes stay where they are until the next `Replay.refill`.
    """
    read_record(captures, cursor.frames, frame)


@compiled
def read_record(captures: Captures, place: int, frame: Frame) -> None:
    """Fill `frame` with a record by its place among all; it must be in the table, and not taken by every reader."""
    record = captures.records[place & captures.mask]
    frame.address = captures.windows[record.slot].base_address + record.frame_offset
    frame.length = record.frame_length
    frame.time_ns = record.time_ns


@compiled
def take_record(captures: Captures, cursor: Cursor, frame: Frame) -> None:
    """Fill `frame` as `peek_record` does, and step past the record."""
    peek_record(captures, cursor, frame)
    cursor.frames += 1


@compiled
def tell_behind(captures: Captures, cursor: Cursor, told: int) -> None:
    """Leave a number with the next record, for readers behind this one."""
    captures.records[cursor.frames & captures.mask].told = told


@compiled
def told_ahead(captures: Captures, cursor: Cursor) -> int:
    """Return what a reader ahead has left with the next record."""
    return captures.records[cursor.frames & captures.mask].told


@compiled
def fill(merge: Merge) -> int:
    """Put up to BATCH_RECORDS into the table; tells why not more (a `Filled`)."""
    captures = merge.captures
    end = min(captures.tail + BATCH_RECORDS, slowest(merge) + captures.mask + 1)
    while captures.tail < end:
        earliest = choose_earliest(merge)
        if earliest == STARVED:
            return Filled.STARVED
        slot = merge.slots[max(earliest, 0)]
        if merge.due_ns != NEVER_NS and (earliest == NO_SLOT or merge.due_ns <= head_time(slot.source)):
            return Filled.DUE
        if earliest == NO_SLOT:
            captures.ended = 1
            return Filled.ENDED
        waiting = take_head(slot.source)
        record = captures.records[captures.tail & captures.mask]
        record.time_ns = waiting.time_ns
        record.frame_offset = waiting.frame_offset
        record.frame_length = waiting.frame_length
        record.slot = earliest
        captures.tail += 1
    return Filled.FULL


@compiled
def choose_earliest(merge: Merge) -> int:
    """The slot with the earliest next record; NO_SLOT if all are at their end; STARVED if `starved_slot` can't tell."""
    earliest_ns = NEVER_NS
    earliest = NO_SLOT
    place = 0
    while place < merge.active_count:
        index = merge.active[place]
        slot = merge.slots[index]
        source = slot.source
        if source.state != SourceState.READY:
            state = find_head(merge.captures.windows[index], source)
            if state == SourceState.STARVED:
                merge.starved_slot = index
                return STARVED
            if state == SourceState.ENDED:
                merge.active_count -= 1
                merge.active[place] = merge.active[merge.active_count]
                continue
        place += 1
        time_ns = head_time(source)
        if time_ns < earliest_ns or (time_ns == earliest_ns and slot.number < merge.slots[earliest].number):
            earliest_ns = time_ns
            earliest = index
    return earliest


@compiled
def slowest(merge: Merge) -> int:
    """How many records all cursors have taken."""
    taken = merge.cursors[0].frames
    for index in range(1, merge.cursor_count):
        taken = min(taken, merge.cursors[index].frames)
    return taken


@compiled
def needed_offset(merge: Merge, index: int) -> int:
    """The stream offset of the first byte of a slot's capture that is still needed."""
    captures = merge.captures
    source = merge.slots[index].source
    needed = source.position
    for place in range(source.first, source.first + source.count):
        needed = min(needed, source.waiting[place & WAITING_MASK].frame_offset)
    for place in range(slowest(merge), captures.tail):
        record = captures.records[place & captures.mask]
        if record.slot == index:
            needed = min(needed, record.frame_offset)
    return needed


@compiled
def is_needed(merge: Merge, index: int) -> bool:
    """Tell whether a record of a slot's capture is yet to be taken."""
    captures = merge.captures
    for place in range(slowest(merge), captures.tail):
        if captures.records[place & captures.mask].slot == index:
            return True
    return False


def reading_unit() -> Unit:
    """Describe the unit that reads captures: one for all replays."""
    return unit_of("captures", {fill: (Merge,), needed_offset: (Merge, "i64"), is_needed: (Merge, "i64")})


@cache
def reading_entries() -> dict[str, int]:
    """Load that unit, once: finding it on disk takes 3 to 14 ms, for the digest of its sources."""
    (loaded,) = load_units([reading_unit()])
    return dict(loaded.addresses)


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

    `window_bytes` is the memory per open file, and bounds the longest record, how far records may be out of order, and
    how far the two cursors may be apart. With `begins_starved` nothing is read before `begin` or `refill`, so that its
    units may be compiled beside others. `stamps` says which hardware time stamps the frames carry. Raises
    `CaptureError` for a file that is no capture.
    """

    def __init__(
        self,
        paths: Sequence[CapturePath],
        window_bytes: int = WINDOW_BYTES,
        cursors: int = 1,
        *,
        begins_starved: bool = False,
        stamps: Stamps = Stamps.UNSAID,
    ) -> None:
        if not paths:
            raise ValueError("no captures: a replay needs at least one")
        if not 1 <= cursors <= CURSORS_MAX:
            raise ValueError(f"{cursors} cursors: a replay has 1 or {CURSORS_MAX}")
        if window_bytes < WINDOW_BYTES_MIN:
            raise ValueError(f"window_bytes={window_bytes}: at least {WINDOW_BYTES_MIN}")
        self.paths = [Path(path) for path in paths]
        self.window_bytes = window_bytes
        self.stamps = stamps
        for path in self.paths:
            check_capture(path)
        self.captures = Captures()
        self._cursors = Cursor.array(cursors)
        self.cursors: list[Cursor] = list(self._cursors)
        self._records_max = 1 << (max(RECORDS_MIN, window_bytes // RECORD_BYTES_TYPICAL) - 1).bit_length()
        size = min(RECORDS_AT_FIRST, self._records_max)
        self.captures.records = Record.array(size)
        self.captures.mask = size - 1
        self.ring = ReplayRing()
        self.ring.captures = one(self.captures)
        self.ring.cursors = self._cursors
        # Due at once: the first is opened by Python, whoever asks for a record before.
        self._merge = Merge(captures=self.captures, cursors=self._cursors, cursor_count=cursors, due_ns=0)
        self.captures.merge = self._merge.address
        self._files: dict[int, CaptureFile] = {}  # open ones, by slot
        self._tallies: dict[int, Tally] = {}  # of those read to their end, by number
        self._records_closed = 0  # read from those
        self._first_ns = 0  # time of the first record, once it has been read
        self._due: list[tuple[int, int]] | None = None  # (first time, number) of those not yet opened, last first
        if not begins_starved:
            try:
                self.begin()
            except BaseException:
                self.close()
                raise

    def link(self, linker: Linker) -> None:
        """Have what reads the captures loaded with a run's other units, and not while it runs."""
        linker.link_all(self.captures, reading_unit())

    def begin(self) -> None:
        """Open the first captures and read what is first in them. Raises `CaptureError`."""
        if self._due is None:
            self._fill()

    def refill(self) -> None:
        """Put more records into the table if a cursor starves. Call between turns of the loop: frames may move.

        Raises `CaptureError` when a file can't be read, or when the two cursors are too far apart.
        """
        if any(cursor.starved for cursor in self.cursors):
            self._fill()
            for cursor in self.cursors:
                cursor.starved = 0

    def _fill(self) -> None:
        if self._due is None:
            self._due = self._in_order()
            self._say_due()
        captures, merge = self.captures, self._merge
        before = captures.tail
        if captures.fill == 0:
            for name, address in reading_entries().items():
                setattr(captures, name, address)
        goes_on = True
        while goes_on and (filled := call_entry(captures.fill, captures.merge)) != Filled.ENDED:
            if filled == Filled.DUE:
                goes_on = self._open_next()
            elif captures.tail != before:
                goes_on = False
            elif filled == Filled.STARVED:
                goes_on = self._slide(merge.starved_slot)
            else:
                goes_on = self._grow_table()
        if captures.tail == before and not captures.ended:
            raise self._too_far_apart()
        if before == 0 and captures.tail != 0:
            self._first_ns = captures.records[0].time_ns

    def span_ns(self) -> tuple[int, int] | None:
        """Tell the times of the first and the last record that have been read; None before the first."""
        captures = self.captures
        if captures.tail == 0:
            return None
        return self._first_ns, captures.records[(captures.tail - 1) & captures.mask].time_ns

    def _in_order(self) -> list[tuple[int, int]]:
        """List captures by the time of their first record, last first."""
        if len(self.paths) == 1:
            return [(0, 0)]
        return sorted(((self._first_time(path), number) for number, path in enumerate(self.paths)), reverse=True)

    def _first_time(self, path: Path) -> int:
        """Find the time of a capture's first record; one that has none comes last."""
        with Replay([path], self.window_bytes, stamps=self.stamps) as replay:
            return min(next_time_ns(replay.ring), NEVER_NS - 1)

    def _say_due(self) -> None:
        self._merge.due_ns = self._due[-1][0] if self._due else NEVER_NS

    def _open_next(self) -> bool:
        """Open the capture that is due next; False if records must be taken first, to free a slot."""
        assert self._due
        merge = self._merge
        number = self._due[-1][1]
        if merge.active_count == OVERLAPPING_MAX:
            reason = f"more than {OVERLAPPING_MAX} captures overlap in time where this one begins"
            raise CaptureError(self.paths[number], 0, reason, "merge some of them with mergecap")
        slot = self._free_slot()
        if slot == NO_SLOT:
            return False
        self._due.pop()
        merge.slots[slot].number = number
        merge.active[merge.active_count] = slot
        merge.active_count += 1
        window, source = self.captures.windows[slot], merge.slots[slot].source
        self._files[slot] = CaptureFile(self.paths[number], window, source, self.window_bytes, self.stamps)
        self._say_due()
        return True

    def _free_slot(self) -> int:
        """Find a slot that no record to be taken lies in; NO_SLOT if there is none."""
        captures, slots = self.captures, self._merge.slots
        for slot in range(SLOTS_MAX):
            if slot not in self._files:
                return slot
            is_read = slots[slot].source.state == SourceState.ENDED
            if is_read and not call_entry(captures.is_needed, captures.merge, slot):
                self._close_slot(slot)
                return slot
        return NO_SLOT

    def _close_slot(self, slot: int) -> None:
        file = self._files.pop(slot)
        file.close()
        self._tallies[self._merge.slots[slot].number] = file.tally()
        self._records_closed += file.source.records

    def _slide(self, slot: int) -> bool:
        """Move a window on; False if that can't be, because all of it is needed."""
        file = self._files[slot]
        needed = call_entry(self.captures.needed_offset, self.captures.merge, slot)
        if file.slide(needed):
            return True
        if needed == file.source.position:
            window = f"the window of {file.window_bytes} bytes"
            reason = f"the record that starts here is longer than {window}, or its length is garbage"
            raise file.error(needed, reason, "give a larger window, or an intact copy of the file")
        return False

    def _grow_table(self) -> bool:
        """Double the full table; False if it has its largest size."""
        captures = self.captures
        size = captures.mask + 1
        if size == self._records_max:
            return False
        grown = Record.array(2 * size)
        places = np.arange(captures.tail - size, captures.tail)
        grown.numpy()[places & (2 * size - 1)] = captures.records.numpy(size)[places & captures.mask]
        captures.records = grown
        captures.mask = 2 * size - 1
        return True

    def _too_far_apart(self) -> CaptureError:
        """What to say when neither cursor can go on because the slower one holds all room."""
        taken = min(cursor.frames for cursor in self.cursors)
        record = self.captures.records[taken & self.captures.mask]
        file = self._files[record.slot]
        reason = f"the two readers, of which the slower is here, are farther apart than a window of {file.window_bytes}"
        return file.error(record.frame_offset, f"{reason} bytes", "give a larger window, or a smaller feed latency")

    def skip_all(self) -> None:
        """Read to the end of all captures, for what is wrong with them. Raises `CaptureError`."""
        while not self.captures.ended:
            for cursor in self.cursors:
                cursor.frames = self.captures.tail
            self._fill()

    def tally(self) -> Tally:
        """Sum what was wrong with the captures as far as they have been read, in the order given."""
        tallies = dict(self._tallies)
        for slot, file in self._files.items():
            tallies[self._merge.slots[slot].number] = file.tally()
        return total(tallies[number] for number in sorted(tallies))

    def warnings(self) -> list[DataWarning]:
        """Tell what makes the captures less than the whole truth, as far as they have been read."""
        return self.tally().warnings()

    def records(self) -> int:
        """Count the records read, those included that gave no frame."""
        return self._records_closed + sum(file.source.records for file in self._files.values())

    def close(self) -> None:
        """Close the files; windows and counters stay readable as long as this object lives."""
        for file in self._files.values():
            file.close()


def read_frames(
    paths: Sequence[CapturePath], window_bytes: int = WINDOW_BYTES, stamps: Stamps = Stamps.UNSAID
) -> Iterator[tuple[int, bytes]]:
    """Read every frame of the merged captures as (time in ns since the epoch, bytes); for tests and tools.

    Raises `CaptureError` for a file that is no capture.
    """
    with Replay(paths, window_bytes, stamps=stamps) as replay:
        yield from replayed_frames(replay)


def replayed_frames(replay: Replay) -> Iterator[tuple[int, bytes]]:
    """Read every frame of a replay as (time in ns since the epoch, bytes). Raises `CaptureError`."""
    frame = Frame()
    captures, cursor = replay.captures, replay.cursors[FOLLOWER]
    while (time_ns := next_record_time(captures, cursor)) != NEVER_NS:
        if time_ns == STARVED:
            replay.refill()
            continue
        take_record(captures, cursor, frame)
        yield frame.time_ns, ctypes.string_at(frame.address, frame.length)
