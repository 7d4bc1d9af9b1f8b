"""Frames of an established TCP connection, written where they are sent from: built once, patched and committed.

A frame whose length never changes is built once, headers and message; its IP header is right for ever. Sending copies
that template into the transmit slot and patches there the TCP sequence numbers and the message's own fields. The TCP
checksum is the template's sum, known from the start, plus that of the patched words (RFC 1624's idea; the sum is over
16-bit words, so a word counts the same wherever it stands). It is made from the values, not from what was just stored:
120 instructions an order less.
"""

from crosswire.nic.memory.raw import copy_bytes, shift_left, shift_right
from crosswire.nic.memory.struct import Struct, address_of, copy_struct, i64, size_of
from crosswire.nic.packet import (
    FLAG_ACK,
    FLAG_PSH,
    PROTOCOL_TCP,
    TCP_FRAME_HEADER_BYTES,
    Flow,
    Packet,
    TcpFrame,
    TcpHeader,
    flags_and_window,
    internet_sum,
    pseudo_header_sum,
    seal_tcp_frame,
    write_tcp_frame_header,
)
from crosswire.nic.rings.connection import commit_numbered, own_header_bytes
from crosswire.nic.rings.ring import commit, reserve
from crosswire.nic.unit.compile import compiled, inlined

SEQUENCE_MASK = 0xFFFFFFFF  # TCP counts bytes modulo 2**32
TCP_WINDOW = 0xFFFF  # what we offer to receive: the most that the header says without the scaling option


class Connection(Struct):
    """An established TCP connection as this end sees it."""

    flow: Flow  # from this end to the other
    send_next: i64  # sequence number of the next byte to send
    receive_next: i64  # of the next byte to receive


def set_connection(connection: Connection, flow: Flow, first_byte: int = 0) -> None:
    """Note a connection just established, `flow` going from this end; both directions go on at byte `first_byte`."""
    copy_struct(connection.flow, flow)
    connection.send_next = first_byte & SEQUENCE_MASK
    connection.receive_next = first_byte & SEQUENCE_MASK


@compiled
def is_from_peer(connection: Connection, packet: Packet) -> bool:
    """Tell whether a received packet belongs to this connection."""
    flow = connection.flow
    return (
        packet.protocol == PROTOCOL_TCP
        and packet.source_port == flow.destination_port
        and packet.destination_port == flow.source_port
        and packet.source_ip == flow.destination_ip
        and packet.destination_ip == flow.source_ip
    )


def build_template(frame: TcpFrame, flow: Flow, length: int) -> int:
    """Write the headers before `length` bytes of payload that are there already.

    Returns the TCP checksum's sum over all that is in the template now but `flags_and_window`, below 2**33; what is
    patched is to be 0.
    """
    write_tcp_frame_header(frame.address, flow, TCP_WINDOW)
    seal_tcp_frame(frame.address, length, 0, 0, FLAG_ACK | FLAG_PSH)
    frame.tcp.checksum = 0
    segment_bytes = size_of(TcpHeader) + length
    total = internet_sum(frame.tcp.address, segment_bytes, pseudo_header_sum(frame.ip, segment_bytes))
    total += flags_and_window(frame.tcp) ^ SEQUENCE_MASK  # RFC 1624: taken out
    return (total & SEQUENCE_MASK) + (total >> 32)


@inlined
def copy_template(ring: Struct, template: Struct, length: int) -> int:
    """Reserve a slot and copy a template of `length` bytes into it; its address, 0 if the ring is full.

    The slot is for `commit_template`: what of the header a ring writes itself is not copied.
    """
    slot = reserve(ring, length)
    if slot != 0:
        begin = own_header_bytes(ring)
        copy_bytes(slot + begin, address_of(template) + begin, length - begin)
    return slot


@inlined
def commit_template(
    connection: Connection, ring: Struct, slot: int, length: int, constant_sum: int, fields_sum: int, now_ns: int
) -> None:
    """Commit the frame of `length` bytes in `slot`: a copy of a template, its fields patched.

    `constant_sum` is the template's, from `build_template`; `fields_sum` that of the fields, by `add_field` and
    `pair_sum`.
    """
    # Times 2**8 swaps the bytes of a word (RFC 1071, 2B); modulo 2**64 - 1 that is a rotation.
    swapped_sum = shift_left(fields_sum, 8) | shift_right(fields_sum, 56)
    unnumbered_sum = constant_sum + (swapped_sum & SEQUENCE_MASK) + shift_right(swapped_sum, 32)
    sequence, acknowledgement = connection.send_next, connection.receive_next
    commit_numbered(ring, slot, length, sequence, acknowledgement, unnumbered_sum, now_ns)
    connection.send_next = (connection.send_next + length - size_of(TcpFrame)) & SEQUENCE_MASK


@compiled
def commit_segment(connection: Connection, ring: Struct, slot: int, length: int, now_ns: int) -> None:
    """Commit a slot that holds its headers (`write_tcp_frame_header`) and `length` bytes of payload."""
    seal_tcp_frame(slot, length, connection.send_next, connection.receive_next, FLAG_ACK | FLAG_PSH)
    connection.send_next = (connection.send_next + length) & SEQUENCE_MASK
    commit(ring, TCP_FRAME_HEADER_BYTES + length, now_ns)
