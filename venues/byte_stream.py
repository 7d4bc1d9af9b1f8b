"""One end of an order session's TCP byte stream: segments in, whole messages out. The same at both ends.

The connection is taken as established and lossless: all that is known of TCP is the next byte to send and the next byte
to receive (`Connection`). A segment that is not exactly the next one is not read. A message that lies whole in one is
read in place, any other is put together in the stream's `partial`.
"""

from crosswire.nic.memory.raw import copy_bytes
from crosswire.nic.memory.struct import Struct, i64
from crosswire.nic.packet import Packet
from crosswire.nic.tcp_frames import SEQUENCE_MASK, Connection
from crosswire.nic.unit.compile import compiled, generic


class ByteStream(Struct):
    """Messages of both directions over one connection. A venue's class adds its faults, and `partial`: u8, room for
    the longest message.
    """

    connection: Connection
    send_sequence: i64  # number of the last message sent
    receive_sequence: i64  # number of the last message taken
    ended: i64  # 1: broken or closed; nothing more is read
    position: i64  # next unread byte of the current segment
    end: i64  # behind its last byte
    partial_length: i64  # bytes kept of a message that goes on in the next segment


@generic
def proven_length(stream: ByteStream, address: int) -> int:
    """Prove the length of the message whose header is at `address`: at least the header's, at most `partial`'s.

    0, and the stream ended, if it can't be believed.
    """


@compiled
def end_stream(stream: ByteStream) -> None:
    """Read nothing behind this point of the stream."""
    stream.ended = 1
    forget_segment(stream)
    stream.partial_length = 0


@compiled
def restart_bytes(stream: ByteStream) -> None:
    """Begin a new connection: the bytes of both directions count from 0 again."""
    stream.connection.send_next = 0
    stream.connection.receive_next = 0
    stream.ended = 0
    forget_segment(stream)
    stream.partial_length = 0


@compiled
def forget_segment(stream: ByteStream) -> None:
    """Have nothing more to read of the current segment."""
    stream.position = 0
    stream.end = 0


@compiled
def is_next_segment(stream: ByteStream, packet: Packet) -> bool:
    """Begin to read a segment if its first byte is the next one of the connection.

    The payload must stay in place until `next_whole` returns 0.
    """
    connection = stream.connection
    if packet.tcp_sequence != connection.receive_next:
        return False
    connection.receive_next = (connection.receive_next + packet.payload_length) & SEQUENCE_MASK
    stream.position = packet.payload_address
    stream.end = packet.payload_address + packet.payload_length
    return True


@compiled
def next_whole(stream: ByteStream, partial: int, header_bytes: int) -> int:
    """Find the segment's next whole message, its length proven; return 0 when there is none, or the stream ended.

    `partial` is the address of the stream's kept bytes. A message whose end has not come yet is kept there for the next
    segment.
    """
    if stream.ended != 0:
        return 0
    if stream.partial_length > 0:
        return _finish_partial(stream, partial, header_bytes)
    available = stream.end - stream.position
    if available < header_bytes:
        _keep(stream, partial, available)
        return 0
    length = proven_length(stream, stream.position)
    if length == 0:
        return 0
    if available < length:
        _keep(stream, partial, available)
        return 0
    address = stream.position
    stream.position += length
    return address


@compiled
def _finish_partial(stream: ByteStream, partial: int, header_bytes: int) -> int:
    _keep(stream, partial, header_bytes - stream.partial_length)
    if stream.partial_length < header_bytes:
        return 0
    length = proven_length(stream, partial)
    if length == 0:
        return 0
    _keep(stream, partial, length - stream.partial_length)
    if stream.partial_length < length:
        return 0
    stream.partial_length = 0
    return partial


@compiled
def _keep(stream: ByteStream, partial: int, wanted: int) -> None:
    """Move up to `wanted` bytes of the segment to the kept ones."""
    count = min(wanted, stream.end - stream.position)
    if count > 0:
        copy_bytes(partial + stream.partial_length, stream.position, count)
        stream.partial_length += count
        stream.position += count
