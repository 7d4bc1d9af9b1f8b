"""Simulated Starbase: what a session is sent. Messages are numbered, kept for resending, and sent if it is there."""

from crosswire.nic.memory.raw import copy_bytes, fill_bytes
from crosswire.nic.memory.struct import address_of, size_of, view
from crosswire.nic.packet import (
    FLAG_ACK,
    FLAG_FIN,
    FLAG_RST,
    TCP_FRAME_HEADER_BYTES,
    seal_tcp_frame,
    write_tcp_frame_header,
)
from crosswire.nic.rings.delay import DELAY_FRAMES_MAX
from crosswire.nic.rings.ring import commit, reserve
from crosswire.nic.tcp_frames import TCP_WINDOW
from crosswire.nic.unit.compile import compiled
from crosswire.venues.starbase.exchange.state import (
    MESSAGES_STORED,
    NONE,
    STORE_BYTES,
    ClientSession,
    Served,
    StarbaseExchange,
)
from crosswire.venues.starbase.wire.order_codes import FrameFlags, Template
from crosswire.venues.starbase.wire.order_layout import Decimal72, ExecutionBlock, FrameHeader, GapFill, GroupHeader
from crosswire.venues.starbase.wire.order_roots import exchange_root_bytes, root_bytes
from crosswire.venues.starbase.wire.stream import FRAME_BYTES_MAX, pad, padded, segments_for, send_bytes, stamp_frame

RESEND = int(FrameFlags.RESEND)
FIN = FLAG_FIN | FLAG_ACK
RST = FLAG_RST | FLAG_ACK


@compiled
def begin_message(exchange: StarbaseExchange, template_id: int) -> int:
    """Begin a message in the scratch memory; return the address of its root block, which is zero."""
    gateways = exchange.gateways
    address = address_of(gateways.message)
    view(FrameHeader, address).template_id = template_id
    root = exchange_root_bytes(template_id)
    fill_bytes(address + size_of(FrameHeader), 0, root)
    gateways.message_length = size_of(FrameHeader) + root
    return address + size_of(FrameHeader)


@compiled
def begin_answer(exchange: StarbaseExchange, template_id: int, now_ns: int) -> int:
    """Begin a message that tells of orders, as `begin_message` does: each has a time and an execution id."""
    address = begin_message(exchange, template_id)
    exchange.matching.execution_counter += 1
    head = view(ExecutionBlock, address)
    head.timestamp_ns = now_ns
    head.exec_id = exchange.matching.execution_counter
    return address


@compiled
def add_block(exchange: StarbaseExchange, length: int) -> int:
    """Append `length` zero bytes to the message; return their address. Callers' counts keep to FRAME_BYTES_MAX."""
    gateways = exchange.gateways
    address = address_of(gateways.message) + gateways.message_length
    gateways.message_length += length
    assert gateways.message_length <= FRAME_BYTES_MAX
    fill_bytes(address, 0, length)
    return address


@compiled
def add_group(exchange: StarbaseExchange, block_length: int, count: int) -> int:
    """Append a group's header and its zeroed entries; return the address of the first."""
    header = view(GroupHeader, add_block(exchange, size_of(GroupHeader)))
    header.block_length = block_length
    header.count = count
    return add_block(exchange, block_length * count)


@compiled
def add_empty_text(exchange: StarbaseExchange) -> None:
    """Append a text of no length."""
    add_block(exchange, 1)


@compiled
def set_decimal(exchange: StarbaseExchange, decimal: Decimal72, instrument: int, lots: int) -> None:
    """Write a quantity with the exponent that the exchange has chosen for the instrument."""
    decimal.mantissa = lots * exchange.publisher.mantissas[instrument]
    decimal.exponent = exchange.publisher.exponents[instrument]


@compiled
def send_message(exchange: StarbaseExchange, session_number: int, is_admin: bool, now_ns: int) -> None:
    """Number the message, keep it, and send it if the session is connected."""
    gateways = exchange.gateways
    session = gateways.sessions[session_number]
    address = address_of(gateways.message)
    trim_to_version(exchange, session)
    length = gateways.message_length
    session.send_sequence += 1
    spare = gateways.spare
    spare.receive_sequence = session.receive_sequence
    header = view(FrameHeader, address)
    stamp_frame(spare, address, header.template_id, length, session.send_sequence, 0, now_ns)
    header.version = session.schema_version
    keep_message(session, address, length, is_admin)
    gateways.answers += 1
    if session.connection != NONE:
        put_bytes(exchange, gateways.served[session.connection], address, pad(address, length), now_ns)


@compiled
def trim_to_version(exchange: StarbaseExchange, session: ClientSession) -> None:
    """Leave out fields that came after the session's version.

    A message that loses fields has no groups, or loses none of them.
    """
    gateways = exchange.gateways
    address = address_of(gateways.message)
    template_id = view(FrameHeader, address).template_id
    newest = exchange_root_bytes(template_id)
    root = root_bytes(template_id, session.schema_version, 0)
    if root < newest:
        behind = address + size_of(FrameHeader) + newest
        rest = address + gateways.message_length - behind
        # The two may overlap, so the copy goes by way of the batch, which is empty here.
        copy_bytes(address_of(gateways.batch), behind, rest)
        copy_bytes(address + size_of(FrameHeader) + root, address_of(gateways.batch), rest)
        gateways.message_length -= newest - root


@compiled
def keep_message(session: ClientSession, address: int, length: int, is_admin: bool) -> None:
    """Keep a message in the session's store, over the oldest."""
    place = session.stored_bytes & (STORE_BYTES - 1)
    if place + length > STORE_BYTES:
        session.stored_bytes += STORE_BYTES - place
        place = 0
    stored = session.messages[session.send_sequence & (MESSAGES_STORED - 1)]
    stored.position = session.stored_bytes
    stored.length = length
    stored.is_admin = int(is_admin)
    copy_bytes(address_of(session.store) + place, address, length)
    session.stored_bytes += length


@compiled
def is_kept(session: ClientSession, sequence: int) -> bool:
    """Tell whether a message of this number can be sent again."""
    if sequence < session.first_sequence or sequence <= session.send_sequence - MESSAGES_STORED:
        return False
    stored = session.messages[sequence & (MESSAGES_STORED - 1)]
    return stored.is_admin == 0 and session.stored_bytes - stored.position <= STORE_BYTES


@compiled
def put_bytes(exchange: StarbaseExchange, served: Served, address: int, length: int, now_ns: int) -> None:
    """Put bytes on a connection.

    A stream with a hole is no stream: if the wire has no room, the connection is to be reset.
    """
    if served.is_broken != 0:
        return
    answers = exchange.answers
    for place in range(segments_for(length)):
        exchange.generations[(answers.sent + place) & (DELAY_FRAMES_MAX - 1)] = served.generation
    if send_bytes(served.stream, answers, address, length, now_ns) < length:
        exchange.gateways.unsent += 1
        served.is_broken = 1
    served.last_sent_ns = now_ns


@compiled
def send_end(exchange: StarbaseExchange, served: Served, flags: int, now_ns: int) -> bool:
    """Send the last frame of a connection: FIN or RST; False if the wire has no room."""
    answers = exchange.answers
    slot = reserve(answers, TCP_FRAME_HEADER_BYTES)
    if slot == 0:
        return False
    exchange.generations[answers.sent & (DELAY_FRAMES_MAX - 1)] = served.generation
    connection = served.stream.connection
    write_tcp_frame_header(slot, connection.flow, TCP_WINDOW)
    commit(answers, seal_tcp_frame(slot, 0, connection.send_next, connection.receive_next, flags), now_ns)
    return True


@compiled
def send_logged_out(exchange: StarbaseExchange, session_number: int, now_ns: int) -> None:
    """Send the venue's goodbye."""
    begin_message(exchange, Template.LOGGED_OUT)
    add_empty_text(exchange)
    send_message(exchange, session_number, True, now_ns)


@compiled
def refuse_logon(exchange: StarbaseExchange, served: Served, now_ns: int) -> None:
    """Send the goodbye to a connection that has no session: number 1."""
    begin_message(exchange, Template.LOGGED_OUT)
    add_empty_text(exchange)
    gateways = exchange.gateways
    address = address_of(gateways.message)
    gateways.spare.receive_sequence = 0
    length = gateways.message_length
    stamp_frame(gateways.spare, address, Template.LOGGED_OUT, length, 1, 0, now_ns)
    put_bytes(exchange, served, address, pad(address, length), now_ns)


@compiled
def resend(exchange: StarbaseExchange, session_number: int, first: int, last: int, now_ns: int) -> None:
    """Send messages `first` to `last` of a connected session again; a gap fill stands for what is not kept."""
    gateways = exchange.gateways
    session = gateways.sessions[session_number]
    sequence = first
    while sequence <= last:
        if is_kept(session, sequence):
            stored = session.messages[sequence & (MESSAGES_STORED - 1)]
            source = address_of(session.store) + (stored.position & (STORE_BYTES - 1))
            add_resent(exchange, session, source, stored.length, now_ns)
            gateways.resent += 1
            sequence += 1
        else:
            begin = sequence
            while sequence <= last and not is_kept(session, sequence):
                sequence += 1
            view(GapFill, begin_message(exchange, Template.GAP_FILL)).new_sequence = sequence
            address = address_of(gateways.message)
            stamp_frame(gateways.spare, address, Template.GAP_FILL, gateways.message_length, begin, RESEND, now_ns)
            view(FrameHeader, address).version = session.schema_version
            add_resent(exchange, session, address, gateways.message_length, now_ns)
    put_batch(exchange, session, now_ns)


@compiled
def add_resent(exchange: StarbaseExchange, session: ClientSession, source: int, length: int, now_ns: int) -> None:
    """Add one frame to the batch, marked as resent."""
    gateways = exchange.gateways
    if gateways.batch_length + padded(length) > FRAME_BYTES_MAX:
        put_batch(exchange, session, now_ns)
    address = address_of(gateways.batch) + gateways.batch_length
    copy_bytes(address, source, length)
    header = view(FrameHeader, address)
    header.flags = RESEND
    header.last_processed = session.receive_sequence
    header.send_time_ns = now_ns
    gateways.batch_length += pad(address, length)


@compiled
def put_batch(exchange: StarbaseExchange, session: ClientSession, now_ns: int) -> None:
    gateways = exchange.gateways
    served = gateways.served[session.connection]
    put_bytes(exchange, served, address_of(gateways.batch), gateways.batch_length, now_ns)
    gateways.batch_length = 0
