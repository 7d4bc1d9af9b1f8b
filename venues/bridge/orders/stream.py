"""One end of the bridge's order session: what its messages and faults are in the byte stream. The same at both ends."""

from enum import IntEnum
from typing import Annotated

from crosswire.nic.memory.struct import Array, address_of, i64, size_of, u8, view
from crosswire.nic.packet import FLAG_FIN, FLAG_RST, FLAG_SYN, Packet
from crosswire.nic.tcp_frames import is_from_peer
from crosswire.nic.unit.compile import compiled
from crosswire.venues.bridge.wire.order_layout import (
    MESSAGE_BYTES_MAX,
    VERSION,
    AccountEnd,
    AccountOrder,
    AccountPosition,
    AccountQuery,
    AmendOrder,
    AmendReject,
    CancelOrder,
    CancelReject,
    Heartbeat,
    Logon,
    LogonAck,
    Logout,
    LogoutReason,
    MassCancel,
    MassCancelAck,
    MessageHeader,
    NewOrder,
    OrderAck,
    OrderAmended,
    OrderCancelled,
    OrderFill,
    OrderLimit,
    OrderReject,
    Template,
)
from crosswire.venues.byte_stream import (
    ByteStream,
    end_stream,
    forget_segment,
    is_next_segment,
    next_whole,
    proven_length,
    restart_bytes,
)


class StreamFault(IntEnum):
    """Why received bytes were not read. Index into `MessageStream.faults`."""

    OTHER_CONNECTION = 0  # not TCP, or of other addresses or ports; not ours to read
    AFTER_END = 1  # the stream was broken or closed before
    CLOSED = 2  # FIN, RST, or SYN in the middle of a connection: the stream is over
    OUT_OF_ORDER = 3  # not the next byte: a copy, or something is missing
    BAD_LENGTH = 4  # a length smaller than the message, or larger than any
    BAD_TEMPLATE = 5  # a template that this end does not know; the framing can't be trusted any more
    BAD_SEQUENCE = 6  # a message number that is not the next
    OLD_VERSION = 7  # a peer of an older version, which would not know what this end says


class MessageStream(ByteStream):
    """Messages of both directions over one connection."""

    faults: Annotated[Array, i64, len(StreamFault)]
    partial: Annotated[Array, u8, MESSAGE_BYTES_MAX]


@compiled
def restart_stream(stream: MessageStream) -> None:
    """Begin a new connection: bytes count from 0 again, and messages from 1."""
    restart_bytes(stream)
    stream.send_sequence = stream.receive_sequence = 0


@compiled
def length_of(template_id: int) -> int:
    """Length in bytes of a message of this kind in this version; 0 for an unknown kind."""
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
    if template_id == Template.ACCOUNT_QUERY:
        return size_of(AccountQuery)
    if template_id == Template.ACCOUNT_ORDER:
        return size_of(AccountOrder)
    if template_id == Template.ACCOUNT_POSITION:
        return size_of(AccountPosition)
    if template_id == Template.ACCOUNT_END:
        return size_of(AccountEnd)
    if template_id == Template.AMEND_ORDER:
        return size_of(AmendOrder)
    if template_id == Template.ORDER_AMENDED:
        return size_of(OrderAmended)
    if template_id == Template.AMEND_REJECT:
        return size_of(AmendReject)
    if template_id == Template.ORDER_LIMIT:
        return size_of(OrderLimit)
    return 0


@compiled
def write_header(header: MessageHeader, template_id: int, length: int) -> None:
    """Write the part of a header that is the same for every message of a kind."""
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
def open_segment(stream: MessageStream, packet: Packet) -> bool:
    """Begin to read a received segment with `next_message`; False (and a fault counted) if it is not to be read.

    The payload must stay in place until `next_message` returns 0.
    """
    forget_segment(stream)
    if not is_from_peer(stream.connection, packet):
        stream.faults[StreamFault.OTHER_CONNECTION] += 1
        return False
    if stream.ended != 0:
        if packet.payload_length > 0:  # an acknowledgement has nothing that could be read
            stream.faults[StreamFault.AFTER_END] += 1
        return False
    if packet.tcp_flags & (FLAG_FIN | FLAG_RST | FLAG_SYN) != 0:
        return _end(stream, StreamFault.CLOSED)
    if packet.payload_length == 0:
        return False  # a bare acknowledgement
    if not is_next_segment(stream, packet):
        stream.faults[StreamFault.OUT_OF_ORDER] += 1
        return False
    return True


@compiled
def next_message(stream: MessageStream) -> int:
    """Find the segment's next whole message, its length and number proven; 0: none, or the stream `ended`."""
    address = next_whole(stream, address_of(stream.partial), size_of(MessageHeader))
    if address == 0:
        return 0
    if view(MessageHeader, address).stamp.sequence != stream.receive_sequence + 1:
        _end(stream, StreamFault.BAD_SEQUENCE)
        return 0
    stream.receive_sequence += 1
    return address


@proven_length.register(MessageStream)
def proven_message_length(stream: MessageStream, address: int) -> int:
    header = view(MessageHeader, address)
    least = length_of(header.template_id)
    if header.version < VERSION:
        _end(stream, StreamFault.OLD_VERSION)
        return 0
    if least == 0:
        _end(stream, StreamFault.BAD_TEMPLATE)
        return 0
    if header.length < least or header.length > MESSAGE_BYTES_MAX:
        _end(stream, StreamFault.BAD_LENGTH)
        return 0
    return header.length


@compiled
def reason_of_end(stream: MessageStream) -> int:
    """Say why an exchange logs a client out whose stream has ended by a fault."""
    if stream.faults[StreamFault.OLD_VERSION] != 0:
        return LogoutReason.BAD_LOGON
    return LogoutReason.BAD_MESSAGE


@compiled
def _end(stream: MessageStream, fault: int) -> bool:
    """Count why nothing behind this point of the stream is read; always False."""
    stream.faults[fault] += 1
    end_stream(stream)
    return False
