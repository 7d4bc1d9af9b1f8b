"""One end of a Starbase order connection: TCP segments in, whole frames out; numbers and room for frames to be sent.
The same for the client and for the exchange.

Whoever owns the stream says when its connection begins (`restart_stream`): the bytes of both directions count from 0
again, while the frames' sequence numbers go on until a logon resets them.

The exchange pads its frames with zeros to a multiple of FRAME_ALIGNMENT_BYTES; clients may, and ours does. So up to
that many zeros are skipped after a frame, and only a client's next frame may come before them: a frame begins with
PROTOCOL_ID, which is not zero.
"""

from enum import IntEnum
from typing import Annotated

from crosswire.nic.memory.raw import copy_bytes, fill_bytes, load_u8
from crosswire.nic.memory.struct import Array, Struct, address_of, i64, size_of, u8, view
from crosswire.nic.packet import FLAG_FIN, FLAG_RST, TCP_FRAME_HEADER_BYTES, Flow, Packet, write_tcp_frame_header
from crosswire.nic.rings.ring import reserve
from crosswire.nic.tcp_frames import TCP_WINDOW, commit_segment, is_from_peer, set_connection
from crosswire.nic.unit.compile import compiled
from crosswire.venues.byte_stream import (
    ByteStream,
    end_stream,
    forget_segment,
    is_next_segment,
    next_whole,
    proven_length,
    restart_bytes,
)
from crosswire.venues.starbase.wire.longer_roots import find_groups, tail_of
from crosswire.venues.starbase.wire.order_codes import FrameFlags, WireRejectReason
from crosswire.venues.starbase.wire.order_layout import (
    FRAME_ALIGNMENT_BYTES,
    MESSAGES,
    PROTOCOL_ID,
    VERSION,
    FrameHeader,
    GroupHeader,
)
from crosswire.venues.starbase.wire.order_roots import UNKNOWN, root_bytes

SEGMENT_BYTES_MAX = 1400  # of payload in a frame that we write: fits an Ethernet frame with any options
FRAME_BYTES_MAX = 0xFFFF  # `length` is a u16; 2,000 fills take 50,126
_RESEND = int(FrameFlags.RESEND)
_PADDING_MASK = FRAME_ALIGNMENT_BYTES - 1


class FrameFault(IntEnum):
    """Why received bytes were not believed. Index into `FrameStream.faults`. From BAD_PROTOCOL on the stream ends."""

    OTHER_CONNECTION = 0  # not TCP, or of other addresses or ports; not ours to read
    AFTER_END = 1  # the stream was broken or closed before
    OUT_OF_ORDER = 2  # not the next byte of the connection
    BAD_TEMPLATE = 3  # unknown, or of the other direction; such a frame can still be stepped over
    BAD_ROOT = 4  # shorter than its kind demands; likewise
    BAD_PROTOCOL = 5  # a frame that does not begin with PROTOCOL_ID
    BAD_LENGTH = 6  # shorter than a header; where the next frame begins is not known
    BAD_PADDING = 7  # the exchange's next frame came where zeros should be
    BAD_GROUP = 8  # a group or text reaches past the frame's end, or its entries are too short
    BAD_VALUE = 9  # a number that is no whole tick or lot, or out of range


class FramePlace(IntEnum):
    """Where a received frame stands in the order of its sender's numbers."""

    NEXT = 0
    COPY = 1  # processed before
    GAP = 2  # frames before it are missing


class Group(Struct):
    """One repeating group of a frame: entry `i` lies at `entries + i * block_length`."""

    count: i64
    entries: i64  # address of the first
    block_length: i64


class FrameStream(ByteStream):
    """Frames of both directions over one connection."""

    is_exchange: i64  # 1: this end is the exchange, the frames read are a client's
    faults: Annotated[Array, i64, len(FrameFault)]
    refusal: i64  # RejectReason of the frame that `next_frame` gave last; 0: none, its root block may be read
    padding_left: i64  # zeros that may come before the next frame
    partial: Annotated[Array, u8, FRAME_BYTES_MAX + 1]


def set_stream(stream: FrameStream, flow: Flow, is_exchange: bool) -> None:
    """Ready a stream without connection: `ended` until `restart_stream`. `flow` goes from this end to the other."""
    set_connection(stream.connection, flow)
    stream.is_exchange = int(is_exchange)
    stream.ended = 1


@compiled
def restart_stream(stream: FrameStream) -> None:
    """Begin a new connection: bytes count from 0 again, sequence numbers go on."""
    restart_bytes(stream)
    stream.padding_left = 0


@compiled
def open_segment(stream: FrameStream, packet: Packet) -> bool:
    """Begin to read a received segment with `next_frame`; False if there is nothing in it to read.

    FIN and RST end the stream. The payload must stay in place until `next_frame` returns 0.
    """
    forget_segment(stream)
    if not is_from_peer(stream.connection, packet):
        stream.faults[FrameFault.OTHER_CONNECTION] += 1
        return False
    if stream.ended != 0:
        if packet.payload_length > 0:
            stream.faults[FrameFault.AFTER_END] += 1
        return False
    if packet.tcp_flags & (FLAG_FIN | FLAG_RST) != 0:
        stream.ended = 1
        return False
    if packet.payload_length == 0:
        return False
    if not is_next_segment(stream, packet):
        stream.faults[FrameFault.OUT_OF_ORDER] += 1
        return False
    return True


@compiled
def next_frame(stream: FrameStream) -> int:
    """Find the next whole frame; 0 when there is none yet, or the stream `ended`.

    With a `refusal` of 0 it is proven that its kind is one of this direction, and that header and root block (as long
    as the frame's version has it) lie within its length. Groups and texts are proven as they are walked. Its number is
    not looked at: that is `place_of`.
    """
    if stream.ended == 0 and stream.partial_length == 0 and not _skip_padding(stream):
        return 0
    address = next_whole(stream, address_of(stream.partial), size_of(FrameHeader))
    if address != 0:
        _judge(stream, address)
    return address


@compiled
def _skip_padding(stream: FrameStream) -> bool:
    """Step over the zeros behind a frame; False if the exchange left them out."""
    while stream.padding_left > 0 and stream.position < stream.end:
        if load_u8(stream.position) != 0:
            if stream.is_exchange == 0:
                break_stream(stream, FrameFault.BAD_PADDING)
                return False
            stream.padding_left = 0
        else:
            stream.padding_left -= 1
            stream.position += 1
    return True


@compiled
def _judge(stream: FrameStream, address: int) -> None:
    """Judge a whole frame's kind and root block."""
    header = view(FrameHeader, address)
    stream.padding_left = -header.length & _PADDING_MASK
    stream.refusal = 0
    root = root_bytes(header.template_id, header.version, stream.is_exchange)
    if root == UNKNOWN:
        stream.faults[FrameFault.BAD_TEMPLATE] += 1
        stream.refusal = WireRejectReason.INVALID_TEMPLATE_ID
    elif header.length < size_of(FrameHeader) + root:
        stream.faults[FrameFault.BAD_ROOT] += 1
        stream.refusal = WireRejectReason.INVALID_BLOCK_LENGTH


@proven_length.register(FrameStream)
def proven_frame_length(stream: FrameStream, address: int) -> int:
    header = view(FrameHeader, address)
    if header.protocol_id != PROTOCOL_ID:
        break_stream(stream, FrameFault.BAD_PROTOCOL)
        return 0
    if header.length < size_of(FrameHeader):
        break_stream(stream, FrameFault.BAD_LENGTH)
        return 0
    return header.length


@compiled
def break_stream(stream: FrameStream, fault: int) -> None:
    """Read nothing behind this point of the stream."""
    stream.faults[fault] += 1
    end_stream(stream)


@compiled
def place_of(stream: FrameStream, address: int) -> int:
    """`FramePlace` of a received frame; NEXT counts it as processed."""
    place = peek_place(stream, address)
    if place == FramePlace.NEXT:
        stream.receive_sequence += 1
    return place


@compiled
def peek_place(stream: FrameStream, address: int) -> int:
    """`FramePlace` of a received frame; nothing is counted."""
    ahead = view(FrameHeader, address).sequence - stream.receive_sequence
    if ahead == 1:
        return FramePlace.NEXT
    return FramePlace.COPY if ahead <= 0 else FramePlace.GAP


@compiled
def root_of(address: int) -> int:
    """Address of a frame's root block."""
    return address + size_of(FrameHeader)


@compiled
def end_of(address: int) -> int:
    """Address behind a frame's last byte, padding apart."""
    return address + view(FrameHeader, address).length


@compiled
def groups_of(stream: FrameStream, address: int) -> int:
    """Address behind the root block of a frame that is not refused: of its first group or text.

    0 if its version is a later one and it can't be told where they begin.
    """
    header = view(FrameHeader, address)
    position = root_of(address) + root_bytes(header.template_id, header.version, stream.is_exchange)
    if header.version > VERSION:
        for tail in _TAILS:
            if tail[0] == header.template_id:
                return find_groups(tail, position, end_of(address), 0)
    return position


_TAILS = tuple(tail_of(message) for message in MESSAGES)


@compiled
def read_group(group: Group, position: int, end: int, entry_bytes: int) -> int:
    """Take up the group at `position` of a frame that ends at `end`; returns the address behind it.

    0 if the group reaches past the end or its entries are shorter than `entry_bytes`: the stream is to be broken with
    BAD_GROUP. A `position` of 0 gives 0, so that a walk is checked once.
    """
    group.count = 0
    if position == 0 or end - position < size_of(GroupHeader):
        return 0
    header = view(GroupHeader, position)
    position += size_of(GroupHeader)
    length = header.count * header.block_length
    if length > end - position or (header.count > 0 and header.block_length < entry_bytes):
        return 0
    group.count = header.count
    group.block_length = header.block_length
    group.entries = position
    return position + length


@compiled
def read_text(position: int, end: int) -> int:
    """Pass over the text at `position` (a length byte, its bytes); the address behind it, 0 if it ends past `end`."""
    if position == 0 or position >= end:
        return 0
    behind = position + 1 + load_u8(position)
    return behind if behind <= end else 0


@compiled
def padded(length: int) -> int:
    """Round `length` up to whole FRAME_ALIGNMENT_BYTES."""
    return (length + _PADDING_MASK) & ~_PADDING_MASK


@compiled
def pad(address: int, length: int) -> int:
    """Zero the padding behind a frame of `length` bytes; return its padded length. There must be room for that."""
    whole = padded(length)
    fill_bytes(address + length, 0, whole - length)
    return whole


@compiled
def write_header(stream: FrameStream, address: int, template_id: int, length: int, now_ns: int) -> int:
    """Head a frame of `length` bytes as the next that this end sends and zero its padding; returns its padded length.

    There must be room for that at `address`.
    """
    stream.send_sequence += 1
    stamp_frame(stream, address, template_id, length, stream.send_sequence, 0, now_ns)
    return pad(address, length)


@compiled
def mark_resent(stream: FrameStream, address: int, sequence: int, now_ns: int) -> None:
    """Head a frame that was sent before, kept at `address`, for being sent again under its old number."""
    header = view(FrameHeader, address)
    stamp_frame(stream, address, header.template_id, header.length, sequence, _RESEND, now_ns)


@compiled
def stamp_frame(
    stream: FrameStream, address: int, template_id: int, length: int, sequence: int, flags: int, now_ns: int
) -> None:
    """Write all fields of a frame's header; `flags` are FrameFlags."""
    header = view(FrameHeader, address)
    header.protocol_id = PROTOCOL_ID
    header.flags = flags
    header.length = length
    header.template_id = template_id
    header.version = VERSION
    header.sequence = sequence
    header.last_processed = stream.receive_sequence
    header.send_time_ns = now_ns


@compiled
def segments_for(length: int) -> int:
    """Frames of the ring that `send_bytes` takes for so many bytes."""
    return (length + SEGMENT_BYTES_MAX - 1) // SEGMENT_BYTES_MAX


@compiled
def send_bytes(stream: FrameStream, ring: Struct, address: int, length: int, now_ns: int) -> int:
    """Send `length` bytes (padded frames, back to back), in as many segments as they need.

    Returns how many went out, fewer than `length` when the ring has no more slots: the caller keeps the rest and sends
    that before anything else. `select_stream` is the caller's.
    """
    sent = 0
    while sent < length:
        count = min(length - sent, SEGMENT_BYTES_MAX)
        slot = reserve(ring, TCP_FRAME_HEADER_BYTES + count)
        if slot == 0:
            break
        copy_bytes(write_tcp_frame_header(slot, stream.connection.flow, TCP_WINDOW), address + sent, count)
        commit_segment(stream.connection, ring, slot, count, now_ns)
        sent += count
    return sent
