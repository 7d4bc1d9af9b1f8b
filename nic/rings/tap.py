"""`TapRing`: any ring, and a copy of every frame that passes it, for whoever drains the tap at leisure.

The loop writes, one reader takes; neither ever waits. A frame that the buffer has no room for is lost to the tap, never
to the loop, and counted. Records lie back to back; one that would not fit before the buffer's end starts at its
beginning, and a header of no length says so.

A tap around all that a live loop has of a venue (`tells_orders`) keeps what a replay of the loop needs. What is not
market data goes apart: received segments of the order session, what the loop sent while `show_sent` said that it may be
kept (never a logon, which holds a secret), and notes, as Ethernet frames of their own (`NoteFrame`), of all else that
the ring has answered.
"""

import ctypes
from collections.abc import Iterator
from enum import IntEnum
from typing import Annotated, Any, NamedTuple

from crosswire.nic.capture.writer import RECORD_HEADER_BYTES, write_record_header
from crosswire.nic.memory.made import inner_classes, made_class
from crosswire.nic.memory.raw import copy_bytes, load_i64_acquire, store_i64_release
from crosswire.nic.memory.struct import (
    Array,
    Pointer,
    Struct,
    address_of,
    array,
    clear_struct,
    i64,
    one,
    size_of,
    u8,
    u16,
    view,
)
from crosswire.nic.packet import EthernetHeader
from crosswire.nic.rings.connection import CONNECTIONS_MAX, connection_of, reconnect, select_stream
from crosswire.nic.rings.ring import (
    Frame,
    RingCounters,
    Watch,
    commit,
    describe_watch,
    flush,
    next_time_ns,
    poll,
    release,
    reserve,
)
from crosswire.nic.tcp.segment import is_tcp_frame
from crosswire.nic.unit.compile import compiled, generic, inlined

TAP_BYTES = 1 << 24  # of buffer, unless asked for otherwise: 0.1 s of a million frames a second
RECORDS_BYTES = 1 << 20  # of pcap records taken at once; a frame has at most 64 KiB


STREAM_BIT = 32


class Direction(IntEnum):
    SKIP = 0  # nothing until the buffer's end
    RECEIVED = 1
    SENT = 2
    NOTE = 3  # a `NoteFrame`


class Note(IntEnum):
    """What a `NoteFrame` tells, and what its two values are."""

    RUN = 1  # the key of the run's journal; 0
    PLACE = 2  # of the received segment that follows among all frames received, from 0; its time, ns since the epoch
    CONNECTION = 3  # how many times `connection_of` had been asked before; stream << 32 | the number that it now gave
    REFUSED = 4  # how many slots had been asked for before; 0: this one the ring did not have
    LOST = 5  # of places of frames received: the first that the tap had no room for; the first that it has again


NOTE_ETHER_TYPE = 0x88B5  # IEEE 802 local experimental EtherType 1: never on a wire of ours


class NoteFrame(EthernetHeader, packed=True, byte_order="big"):
    """A note as a frame: no addresses, and in the type's place one that no other frame of a capture has."""

    kind: u16  # Note
    first: i64
    second: i64


class TapHeader(Struct):
    time_ns: i64
    length: i64
    direction: i64  # Direction


class ReadNote(NamedTuple):
    """A note, read from a capture."""

    kind: Note
    first: int
    second: int


def read_note(data: bytes) -> ReadNote | None:
    """Read a frame of a capture as a note; None: it is none."""
    if len(data) != NoteFrame.size:
        return None
    held = ctypes.create_string_buffer(data, len(data))
    note = NoteFrame.at(ctypes.addressof(held))
    return ReadNote(Note(note.kind), note.first, note.second) if note.ether_type == NOTE_ETHER_TYPE else None


class TapRing(Struct):
    """Base of the taps; `tap_ring_over` adds `inner`, the ring that is tapped."""

    capacity: i64  # bytes
    frames: i64
    lost: i64  # frames that the buffer had no room for
    slot: i64  # address of the frame being written
    tells_orders: i64  # 1: as a replay of the loop needs it; 0: every frame, in one row
    shows_sent: i64  # 1: what is sent now may be kept
    received: i64  # frames that the ring gave
    asked_slots: i64
    asked_connections: i64
    connections: Annotated[Array, i64, CONNECTIONS_MAX]  # numbers as they were noted last
    lost_place: i64  # of the first frame of those that were lost and not noted yet
    noted_lost: i64
    skipped: i64  # bytes left out before the record being written
    now_ns: i64  # of the last poll
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


@generic
def show_sent(ring: Struct, is_shown: int) -> None:
    """Let a tap keep what is committed from now on (1), or not (0): a logon holds a secret. No other ring cares."""


@show_sent.register(Struct)
def show_nobody(_ring: Struct, _is_shown: int) -> None:
    """Do nothing."""


@show_sent.register(TapRing)
@inlined
def show_tap(tap: TapRing, is_shown: int) -> None:
    tap.shows_sent = is_shown


def make_tap(ring: Struct, capacity: int = TAP_BYTES, *, tells_orders: bool = False) -> Any:
    """Make a tap on `ring` with `capacity` bytes, a multiple of 8; `tells_orders` as in `TapRing`."""
    if capacity % 8 != 0:
        raise ValueError(f"tap: {capacity} bytes, must be a multiple of 8")
    tap = tap_ring_over(type(ring))(capacity=capacity, tells_orders=int(tells_orders))
    tap.inner = one(ring)
    buffer = array(u8, capacity)
    buffer.numpy().fill(0)  # brings its pages in: the loop must never wait for one
    tap.buffer = buffer
    return tap


@compiled
def find_room(tap: TapRing, length: int) -> int:
    """Return where a record of `length` bytes goes, or 0 and count it as lost; `finish_record` is next."""
    wanted = size_of(TapHeader) + (length + 7) // 8 * 8
    position = tap.written % tap.capacity
    skipped = tap.capacity - position if position + wanted + size_of(TapHeader) > tap.capacity else 0
    taken = load_i64_acquire(address_of(tap) + _TAKEN)
    if tap.written + skipped + wanted - taken > tap.capacity:
        if tap.lost == tap.noted_lost:
            tap.lost_place = tap.received
        tap.lost += 1
        return 0
    if skipped != 0:
        view(TapHeader, address_of(tap.buffer) + position).direction = Direction.SKIP
        position = 0
        tap.skipped = skipped
    return address_of(tap.buffer) + position


@compiled
def finish_record(tap: TapRing, address: int, direction: int, length: int, time_ns: int) -> None:
    """Hand a record over to the reader, its bytes behind the header being written."""
    header = view(TapHeader, address)
    header.time_ns = time_ns
    header.length = length
    header.direction = direction
    wanted = size_of(TapHeader) + (length + 7) // 8 * 8
    skipped = tap.skipped
    tap.skipped = 0
    store_i64_release(address_of(tap) + _WRITTEN, tap.written + skipped + wanted)


@compiled
def copy_frame(tap: TapRing, direction: int, address: int, length: int, time_ns: int) -> None:
    """Write one frame into the buffer, or count it as lost."""
    tap.frames += 1
    room = find_room(tap, length) if has_noted_lost(tap, time_ns) else 0
    if room != 0:
        copy_bytes(room + size_of(TapHeader), address, length)
        finish_record(tap, room, direction, length, time_ns)


@compiled
def put_note(tap: TapRing, kind: int, first: int, second: int, time_ns: int) -> bool:
    """Write a note into the buffer; False, and counted as lost, if it has no room."""
    room = find_room(tap, size_of(NoteFrame))
    if room == 0:
        return False
    note = view(NoteFrame, room + size_of(TapHeader))
    clear_struct(note)
    note.ether_type = NOTE_ETHER_TYPE
    note.kind = kind
    note.first = first
    note.second = second
    finish_record(tap, room, Direction.NOTE, size_of(NoteFrame), time_ns)
    return True


@compiled
def has_noted_lost(tap: TapRing, time_ns: int) -> bool:
    """Note what was lost before anything else is kept; False if there is no room for that, either."""
    if tap.tells_orders == 0 or tap.lost == tap.noted_lost:
        return True
    lost = tap.lost
    if not put_note(tap, Note.LOST, tap.lost_place, tap.received, time_ns):
        return False
    tap.noted_lost = lost
    return True


@compiled
def write_note(tap: TapRing, kind: int, first: int, second: int, time_ns: int) -> None:
    """Write a note, or count it as lost."""
    if has_noted_lost(tap, time_ns):
        put_note(tap, kind, first, second, time_ns)


def tell_run(tap: TapRing, key: int, time_ns: int) -> None:
    """Note whose run this is, before the loop's first turn: the key of its journal."""
    write_note(tap, Note.RUN, key, 0, time_ns)


@compiled
def note_received(tap: TapRing, frame: Frame) -> None:
    """Keep a received frame, and of a segment of the order session which of all frames it was."""
    if tap.tells_orders != 0 and is_tcp_frame(frame.address, frame.length):
        write_note(tap, Note.PLACE, tap.received, frame.time_ns, frame.time_ns)
    copy_frame(tap, Direction.RECEIVED, frame.address, frame.length, frame.time_ns)
    tap.received += 1


@poll.register(TapRing)
def poll_tap(tap: Any, frame: Frame, now_ns: int) -> bool:
    tap.now_ns = now_ns
    if not poll(tap.inner[0], frame, now_ns):
        inner = tap.inner[0].counters
        tap.counters.drops = inner.drops
        tap.counters.wakeups = inner.wakeups
        return False
    note_received(tap, frame)
    return True


@release.register(TapRing)
def release_tap(tap: Any) -> None:
    release(tap.inner[0])


@reserve.register(TapRing)
def reserve_tap(tap: Any, length: int) -> int:
    tap.slot = reserve(tap.inner[0], length)
    if tap.slot == 0 and tap.tells_orders != 0:
        write_note(tap, Note.REFUSED, tap.asked_slots, 0, tap.now_ns)
    tap.asked_slots += 1
    return tap.slot


@commit.register(TapRing)
def commit_tap(tap: Any, length: int, now_ns: int) -> None:
    # The frame first: it waits for no copy, and its slot is not written again before the next `reserve`.
    commit(tap.inner[0], length, now_ns)
    if tap.tells_orders == 0 or tap.shows_sent != 0:
        copy_frame(tap, Direction.SENT, tap.slot, length, now_ns)


@connection_of.register(TapRing)
def connection_of_tap(tap: Any, stream: int) -> int:
    number = connection_of(tap.inner[0], stream)
    if number != tap.connections[stream]:
        tap.connections[stream] = number
        if tap.tells_orders != 0:
            write_note(tap, Note.CONNECTION, tap.asked_connections, stream << STREAM_BIT | number, tap.now_ns)
    tap.asked_connections += 1
    return number


@select_stream.register(TapRing)
def select_tap_stream(tap: Any, stream: int) -> None:
    select_stream(tap.inner[0], stream)


@reconnect.register(TapRing)
def reconnect_tap(tap: Any, stream: int, now_ns: int) -> None:
    reconnect(tap.inner[0], stream, now_ns)


@flush.register(TapRing)
def flush_tap(tap: Any) -> None:
    flush(tap.inner[0])


@next_time_ns.register(TapRing)
def next_tap_ns(tap: Any) -> int:
    return next_time_ns(tap.inner[0])


@describe_watch.register(TapRing)
def describe_tap_watch(tap: Any, watch: Watch) -> None:
    describe_watch(tap.inner[0], watch)


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
def is_of_orders(tap: TapRing, header: TapHeader) -> bool:
    """Tell whether a record belongs to the order session, and not to the market data."""
    if tap.tells_orders == 0:
        return False
    address = address_of(header) + size_of(TapHeader)
    return header.direction != Direction.RECEIVED or is_tcp_frame(address, header.length)


@compiled
def take_records(tap: TapRing, records: PcapRecords, orders: PcapRecords) -> int:
    """Move the tap's oldest frames into `records`, the order session's into `orders`, in place of what is there.

    Returns how many there were in all.
    """
    records.bytes = records.frames = 0
    orders.bytes = orders.frames = 0
    base = address_of(tap)
    written = load_i64_acquire(base + _WRITTEN)
    taken = tap.taken
    while taken != written:
        position = taken % tap.capacity
        header = view(TapHeader, address_of(tap.buffer) + position)
        if header.direction == Direction.SKIP:
            taken += tap.capacity - position
        else:
            target = orders if is_of_orders(tap, header) else records
            if target.bytes + RECORD_HEADER_BYTES + header.length > RECORDS_BYTES:
                break
            add_record(target, header)
            taken += size_of(TapHeader) + (header.length + 7) // 8 * 8
    store_i64_release(base + _TAKEN, taken)
    return records.frames + orders.frames


@compiled
def add_record(records: PcapRecords, header: TapHeader) -> None:
    """Append one frame as a pcap record."""
    if header.time_ns >= records.time_ns:
        records.time_ns = header.time_ns
    else:
        records.raised += 1
    start = address_of(records.data) + records.bytes
    target = write_record_header(start, records.time_ns, header.length)
    copy_bytes(target, address_of(header) + size_of(TapHeader), header.length)
    records.bytes += RECORD_HEADER_BYTES + header.length
    records.frames += 1
