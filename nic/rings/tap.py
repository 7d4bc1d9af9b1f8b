"""`TapRing`: any ring, and a copy of every frame that passes it, for whoever drains the tap at leisure.

The loop writes, one reader takes; neither ever waits. A frame that the buffer has no room for is lost to the tap, never
to the loop, and counted. Records lie back to back; one that would not fit before the buffer's end starts at its
beginning, and a header of no length says so.
"""

import ctypes
from collections.abc import Iterator
from enum import IntEnum
from typing import Annotated, Any, NamedTuple

from crosswire.nic.capture.writer import RECORD_HEADER_BYTES, write_record_header
from crosswire.nic.memory.made import inner_classes, made_class
from crosswire.nic.memory.raw import copy_bytes, load_i64_acquire, store_i64_release
from crosswire.nic.memory.struct import Array, Pointer, Struct, address_of, array, i64, one, size_of, u8, view
from crosswire.nic.rings.ring import Frame, RingCounters, commit, flush, next_time_ns, poll, release, reserve
from crosswire.nic.tcp.segment import is_tcp_frame
from crosswire.nic.unit.compile import compiled

TAP_BYTES = 1 << 24  # of buffer, unless asked for otherwise: 0.1 s of a million frames a second
RECORDS_BYTES = 1 << 20  # of pcap records taken at once; a frame has at most 64 KiB


class Direction(IntEnum):
    SKIP = 0  # nothing until the buffer's end
    RECEIVED = 1
    SENT = 2


class TapHeader(Struct):
    time_ns: i64
    length: i64
    direction: i64  # Direction


class TapRing(Struct):
    """Base of the taps; `tap_ring_over` adds `inner`, the ring that is tapped."""

    capacity: i64  # bytes
    frames: i64
    lost: i64  # frames that the buffer had no room for
    slot: i64  # address of the frame being written
    market_only: i64  # 1: neither sent frames nor received TCP segments: an order session's logon holds a secret
    written: i64  # bytes ever written, skipped ones included
    taken: i64  # bytes ever taken by the reader
    counters: RingCounters  # `drops` and `wakeups` of the ring inside, for a ring around the tap
    buffer: Annotated[Pointer, u8]


_WRITTEN = TapRing.fields["written"].offset
_TAKEN = TapRing.fields["taken"].offset


def tap_ring_over(inner: type[Struct]) -> Any:
    """The class of taps on rings of class `inner`."""
    return made_class(TapRing, (inner,), {"inner": Annotated[Pointer, inner]})


def __getattr__(name: str) -> Any:
    return tap_ring_over(*inner_classes(name))


def make_tap(ring: Struct, capacity: int = TAP_BYTES, *, market_only: bool = False) -> Any:
    """Make a tap on `ring` with `capacity` bytes, a multiple of 8; `market_only` as in `TapRing`."""
    if capacity % 8 != 0:
        raise ValueError(f"tap: {capacity} bytes, must be a multiple of 8")
    tap = tap_ring_over(type(ring))(capacity=capacity, market_only=int(market_only))
    tap.inner = one(ring)
    buffer = array(u8, capacity)
    buffer.numpy().fill(0)  # brings its pages in: the loop must never wait for one
    tap.buffer = buffer
    return tap


@compiled
def copy_frame(tap: TapRing, direction: int, address: int, length: int, time_ns: int) -> None:
    """Write one frame into the buffer, or count it as lost."""
    tap.frames += 1
    wanted = size_of(TapHeader) + (length + 7) // 8 * 8
    position = tap.written % tap.capacity
    skipped = tap.capacity - position if position + wanted + size_of(TapHeader) > tap.capacity else 0
    taken = load_i64_acquire(address_of(tap) + _TAKEN)
    if tap.written + skipped + wanted - taken > tap.capacity:
        tap.lost += 1
        return
    if skipped != 0:
        view(TapHeader, address_of(tap.buffer) + position).direction = Direction.SKIP
        position = 0
    header = view(TapHeader, address_of(tap.buffer) + position)
    header.time_ns = time_ns
    header.length = length
    header.direction = direction
    copy_bytes(address_of(tap.buffer) + position + size_of(TapHeader), address, length)
    store_i64_release(address_of(tap) + _WRITTEN, tap.written + skipped + wanted)


@poll.register(TapRing)
def poll_tap(tap: Any, frame: Frame, now_ns: int) -> bool:
    if not poll(tap.inner[0], frame, now_ns):
        inner = tap.inner[0].counters
        tap.counters.drops = inner.drops
        tap.counters.wakeups = inner.wakeups
        return False
    if tap.market_only == 0 or not is_tcp_frame(frame.address, frame.length):
        copy_frame(tap, Direction.RECEIVED, frame.address, frame.length, frame.time_ns)
    return True


@release.register(TapRing)
def release_tap(tap: Any) -> None:
    release(tap.inner[0])


@reserve.register(TapRing)
def reserve_tap(tap: Any, length: int) -> int:
    tap.slot = reserve(tap.inner[0], length)
    return tap.slot


@commit.register(TapRing)
def commit_tap(tap: Any, length: int, now_ns: int) -> None:
    if tap.market_only == 0:
        copy_frame(tap, Direction.SENT, tap.slot, length, now_ns)
    commit(tap.inner[0], length, now_ns)


@flush.register(TapRing)
def flush_tap(tap: Any) -> None:
    flush(tap.inner[0])


@next_time_ns.register(TapRing)
def next_tap_ns(tap: Any) -> int:
    return next_time_ns(tap.inner[0])


class TappedFrame(NamedTuple):
    time_ns: int
    direction: int
    data: bytes


def drain_tap(tap: TapRing) -> Iterator[TappedFrame]:
    """Give every frame that the tap holds, oldest first; its room is free as soon as the next one is asked for."""
    base = address_of(tap)
    while tap.taken != load_i64_acquire(base + _WRITTEN):
        position = tap.taken % tap.capacity
        # A header always fits: records are multiples of 8 and leave room for one behind them.
        header = view(TapHeader, address_of(tap.buffer) + position)
        if header.direction == Direction.SKIP:
            taken = tap.taken + tap.capacity - position
        else:
            start = address_of(tap.buffer) + position + size_of(TapHeader)
            yield TappedFrame(header.time_ns, header.direction, ctypes.string_at(start, header.length))
            taken = tap.taken + size_of(TapHeader) + (header.length + 7) // 8 * 8
        store_i64_release(base + _TAKEN, taken)


class PcapRecords(Struct):
    """Frames of a tap as nanosecond pcap records, for `CaptureWriter.write_raw`."""

    bytes: i64
    frames: i64
    time_ns: i64  # of the last record ever; no later one's is earlier
    raised: i64  # frames that had an earlier time and were given that one: cores stamp a little out of order
    data: Annotated[Array, u8, RECORDS_BYTES]


@compiled
def take_records(tap: TapRing, records: PcapRecords) -> int:
    """Move the tap's oldest frames into `records`, in place of what is there; returns how many."""
    records.bytes = 0
    records.frames = 0
    base = address_of(tap)
    written = load_i64_acquire(base + _WRITTEN)
    taken = tap.taken
    while taken != written:
        position = taken % tap.capacity
        header = view(TapHeader, address_of(tap.buffer) + position)
        if header.direction == Direction.SKIP:
            taken += tap.capacity - position
        else:
            if records.bytes + RECORD_HEADER_BYTES + header.length > RECORDS_BYTES:
                break
            if header.time_ns >= records.time_ns:
                records.time_ns = header.time_ns
            else:
                records.raised += 1
            start = address_of(records.data) + records.bytes
            target = write_record_header(start, records.time_ns, header.length)
            copy_bytes(target, address_of(header) + size_of(TapHeader), header.length)
            records.bytes += RECORD_HEADER_BYTES + header.length
            records.frames += 1
            taken += size_of(TapHeader) + (header.length + 7) // 8 * 8
    store_i64_release(base + _TAKEN, taken)
    return records.frames
