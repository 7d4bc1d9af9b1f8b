"""One end of the order session's TCP byte stream: segments in, whole messages out. The same at both ends.

The connection is taken as established and lossless: all that is known of TCP is the next byte to send and the next byte
to receive (`Connection`). A segment that is not exactly the next one is counted and not read.
"""

from enum import IntEnum
from typing import Annotated

from crosswire.nic.memory.raw import copy_bytes
from crosswire.nic.memory.struct import Array, Struct, address_of, i64, size_of, u8, view
from crosswire.nic.packet import FLAG_FIN, FLAG_RST, FLAG_SYN, PROTOCOL_TCP, Flow, Packet
from crosswire.nic.unit.compile import compiled
from crosswire.venues.bridge.wire.order_layout import (
    MESSAGE_BYTES_MAX,
    VERSION,
    CancelOrder,
    CancelReject,
    Heartbeat,
    Logon,
    LogonAck,
    Logout,
    MassCancel,
    MassCancelAck,
    MessageHeader,
    NewOrder,
    OrderAck,
    OrderCancelled,
    OrderFill,
    OrderReject,
    Template,
)

SEQUENCE_MASK = 0xFFFFFFFF  # TCP counts bytes modulo 2**32
TCP_WINDOW = 0xFFFF  # what we offer to receive: the most that the header says without the scaling option


class StreamFault(IntEnum):
    """Why received bytes were not read. Index into `MessageStream.faults`."""

    OTHER_CONNECTION = 0  # not TCP, or of other addresses or ports; not ours to read
    AFTER_END = 1  # the stream was broken or closed before
    CLOSED = 2  # FIN, RST, or SYN in the middle of a connection: the stream is over
    OUT_OF_ORDER = 3  # not the next byte: a copy, or something is missing
    BAD_LENGTH = 4  # a length smaller than the message, or larger than any
    BAD_TEMPLATE = 5  # a template or version that this end does not know; the framing can't be trusted any more
    BAD_SEQUENCE = 6  # a message number that is not the next


class Connection(Struct):
    """An established TCP connection as this end sees it."""

    flow: Flow  # from this end to the other
    send_next: i64  # sequence number of the next byte to send
    receive_next: i64  # of the next byte to receive


class MessageStream(Struct):
    """Messages of both directions over one connection."""

    connection: Connection
    send_sequence: i64  # number of the last message sent
    receive_sequence: i64  # number of the last message received
    ended: i64  # 1: broken or closed; nothing more is read
    faults: Annotated[Array, i64, len(StreamFault)]
    position: i64  # next unread byte of the current segment
    end: i64  # behind its last byte
    partial_length: i64  # bytes kept of a message that goes on in the next segment
    partial: Annotated[Array, u8, MESSAGE_BYTES_MAX]


def set_connection(connection: Connection, flow: Flow, first_byte: int) -> None:
    """A connection just established, `flow` going from this end; both directions go on at byte `first_byte`."""
    for name in Flow.fields:
        setattr(connection.flow, name, getattr(flow, name))
    connection.send_next = first_byte & SEQUENCE_MASK
    connection.receive_next = first_byte & SEQUENCE_MASK


@compiled
def length_of(template_id: int) -> int:
    """Bytes of a message of this kind in this version; 0 for an unknown kind."""
    if template_id == Template.ORDER_FILL:
        return size_of(OrderFill)
    if template_id == Template.ORDER_ACK:
        return size_of(OrderAck)
    if template_id == Template.ORDER_CANCELLED:
        return size_of(OrderCancelled)
    if template_id == Template.NEW_ORDER:
        return size_of(NewOrder)
    if template_id == Template.CANCEL_ORDER:
        return size_of(CancelOrder)
    if template_id == Template.MASS_CANCEL:
        return size_of(MassCancel)
    if template_id == Template.ORDER_REJECT:
        return size_of(OrderReject)
    if template_id == Template.CANCEL_REJECT:
        return size_of(CancelReject)
    if template_id == Template.MASS_CANCEL_ACK:
        return size_of(MassCancelAck)
    if template_id == Template.HEARTBEAT:
        return size_of(Heartbeat)
    if template_id == Template.LOGON:
        return size_of(Logon)
    if template_id == Template.LOGON_ACK:
        return size_of(LogonAck)
    if template_id == Template.LOGOUT:
        return size_of(Logout)
    return 0


@compiled
def write_header(header: MessageHeader, template_id: int, length: int) -> None:
    """The part of a header that is the same for every message of a kind."""
    header.length = length
    header.template_id = template_id
    header.version = VERSION
    header.reserved = 0


@compiled
def stamp_header(stream: MessageStream, header: MessageHeader, now_ns: int) -> None:
    """Number a message as the next one that this end sends."""
    stream.send_sequence += 1
    header.stamp.sequence = stream.send_sequence
    header.stamp.send_time_ns = now_ns


@compiled
def bytes_sent(connection: Connection, length: int) -> None:
    """`length` bytes of payload went out."""
    connection.send_next = (connection.send_next + length) & SEQUENCE_MASK


@compiled
def open_segment(stream: MessageStream, packet: Packet) -> bool:
    """Begin to read a received segment with `next_message`; False (and a fault counted) if it is not to be read.

    The payload must stay in place until `next_message` returns 0.
    """
    stream.position = 0
    stream.end = 0
    connection = stream.connection
    flow = connection.flow
    if (
        packet.protocol != PROTOCOL_TCP
        or packet.source_ip != flow.destination_ip
        or packet.destination_ip != flow.source_ip
        or packet.source_port != flow.destination_port
        or packet.destination_port != flow.source_port
    ):
        stream.faults[StreamFault.OTHER_CONNECTION] += 1
        return False
    if stream.ended != 0:
        stream.faults[StreamFault.AFTER_END] += 1
        return False
    if packet.tcp_flags & (FLAG_FIN | FLAG_RST | FLAG_SYN) != 0:
        return _end(stream, StreamFault.CLOSED)
    if packet.payload_length == 0:
        return False  # a bare acknowledgement
    if packet.tcp_sequence != connection.receive_next:
        stream.faults[StreamFault.OUT_OF_ORDER] += 1
        return False
    connection.receive_next = (connection.receive_next + packet.payload_length) & SEQUENCE_MASK
    stream.position = packet.payload_address
    stream.end = packet.payload_address + packet.payload_length
    return True


@compiled
def next_message(stream: MessageStream) -> int:
    """Address of the segment's next whole message, its length proven; 0 when there is none, or the stream `ended`.

    A message whose end has not come yet is kept for the next segment.
    """
    if stream.ended != 0:
        return 0
    if stream.partial_length > 0:
        return _finish_partial(stream)
    available = stream.end - stream.position
    if available < size_of(MessageHeader):
        _keep(stream, available)
        return 0
    length = _proven_length(stream, stream.position)
    if length == 0:
        return 0
    if available < length:
        _keep(stream, available)
        return 0
    address = stream.position
    stream.position += length
    return address if _is_next(stream, address) else 0


@compiled
def _finish_partial(stream: MessageStream) -> int:
    address = address_of(stream.partial)
    _keep(stream, size_of(MessageHeader) - stream.partial_length)
    if stream.partial_length < size_of(MessageHeader):
        return 0
    length = _proven_length(stream, address)
    if length == 0:
        return 0
    _keep(stream, length - stream.partial_length)
    if stream.partial_length < length:
        return 0
    stream.partial_length = 0
    return address if _is_next(stream, address) else 0


@compiled
def _keep(stream: MessageStream, wanted: int) -> None:
    """Move up to `wanted` bytes of the segment to the kept ones; MESSAGE_BYTES_MAX holds the longest message."""
    count = min(wanted, stream.end - stream.position)
    if count > 0:
        copy_bytes(address_of(stream.partial) + stream.partial_length, stream.position, count)
        stream.partial_length += count
        stream.position += count


@compiled
def _proven_length(stream: MessageStream, address: int) -> int:
    """Length of the message whose header lies at `address`, at least that of its kind; 0 if it can't be believed."""
    header = view(MessageHeader, address)
    least = length_of(header.template_id)
    if least == 0 or header.version < VERSION:
        _end(stream, StreamFault.BAD_TEMPLATE)
        return 0
    if header.length < least or header.length > MESSAGE_BYTES_MAX:
        _end(stream, StreamFault.BAD_LENGTH)
        return 0
    return header.length


@compiled
def _is_next(stream: MessageStream, address: int) -> bool:
    if view(MessageHeader, address).stamp.sequence != stream.receive_sequence + 1:
        return _end(stream, StreamFault.BAD_SEQUENCE)
    stream.receive_sequence += 1
    return True


@compiled
def _end(stream: MessageStream, fault: int) -> bool:
    """Nothing behind this point of the stream is read; always False."""
    stream.faults[fault] += 1
    stream.ended = 1
    stream.position = 0
    stream.end = 0
    stream.partial_length = 0
    return False
