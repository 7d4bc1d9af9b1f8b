"""The exchange behind a bed: a TCP that loses nothing, a gateway that fills every order whole, and a market.

It stands in the engine's own thread and is never timed. The same bytes go to the engine and to the C program: only how
a book is first told differs (a snapshot, or order by order), and who numbers the connection.
"""

from typing import Annotated

from crosswire.nic.memory.raw import copy_bytes, fill_bytes
from crosswire.nic.memory.struct import Array, Pointer, address_of, i64, one, size_of, u8, view
from crosswire.nic.packet import (
    FLAG_ACK,
    FLAG_PSH,
    FLAG_SYN,
    IPV4_HEADER_BYTES,
    PROTOCOL_TCP,
    TCP_FRAME_HEADER_BYTES,
    UDP_FRAME_HEADER_BYTES,
    Flow,
    Ipv4Header,
    Packet,
    PacketCounters,
    fold_checksum,
    internet_sum,
    parse_packet,
    pseudo_header_sum,
    seal_tcp_frame,
    write_tcp_frame_header,
    write_udp_frame_header,
)
from crosswire.nic.rings.ring import Frame
from crosswire.nic.unit.compile import compiled
from crosswire.venues.instrument import Instrument
from crosswire.venues.side import ASK, BID
from crosswire.venues.starbase.wire.encoder import (
    PacketWriter,
    add_definition,
    add_delete,
    add_end_of_cycle,
    add_put,
    add_reduce,
    add_snapshot_header,
    add_snapshot_trailer,
    begin_packet,
    begin_transaction,
    end_packet,
    end_transaction,
)
from crosswire.venues.starbase.wire.market_layout import PacketType
from crosswire.venues.starbase.wire.order_codes import OrderStatus, Template
from crosswire.venues.starbase.wire.order_layout import (
    PROTOCOL_ID,
    VERSION,
    Fill,
    FrameHeader,
    GroupHeader,
    LegFill,
    LogonConf,
    NewOrderRequest,
    NewOrderResponse,
)
from tests.bench.order_entry_bed import FRAME_BYTES, Bed, deliver, give_back, slot_to_fill, take_sent
from tests.bench.quiet_book import DEPTH, LOTS, MOVE_TICKS, Drawing, draw, level_ticks

QUEUE = 3  # orders of a level, but for the best, which has one
QUANTITY_EXPONENT = -3  # a mantissa is 0.001 BTC
TICK_E9 = 100_000_000
CHANNEL_ID = 1  # of both channels
INSTRUMENT_ID = 7
HEARTBEAT_S = 60
ORDER_BYTES = size_of(FrameHeader) + size_of(NewOrderRequest)
ORDER_FRAME_BYTES = TCP_FRAME_HEADER_BYTES + 96  # padded to 8
ANSWER_BYTES = size_of(FrameHeader) + size_of(NewOrderResponse) + 2 * size_of(GroupHeader) + size_of(Fill)
PADDED_ANSWER_BYTES = -(-ANSWER_BYTES // 8) * 8
LEG_BYTES, FILL_BYTES = size_of(LegFill), size_of(Fill)
SEQUENCE_MASK = 0xFFFF_FFFF
FIRST_SEQUENCE = 1_000_000  # of the exchange's own bytes: its SYN
INCREMENTAL, SNAPSHOT = int(PacketType.INCREMENTAL), int(PacketType.SNAPSHOT)


class Peer(Drawing):
    """One venue's far end."""

    number: i64
    bed: Annotated[Pointer, Bed]
    instrument: Annotated[Pointer, Instrument]
    # Connection.
    flow: Flow  # to the engine
    send_next: i64  # 32-bit, as on the wire
    receive_next: i64
    frames: i64
    bad_checksums: i64
    out_of_order: i64
    copies: i64
    # Gateway.
    sequence: i64
    last_processed: i64
    logged_on: i64
    answers: i64  # 1: orders are filled; 0: only acknowledged by TCP
    orders: i64
    other_messages: i64
    last_order: Annotated[Array, u8, 192]  # the whole frame
    frame: Frame
    packet: Packet
    parsed: PacketCounters
    # Market.
    writer: PacketWriter
    snapshot_writer: PacketWriter
    feed_flow: Flow
    next_id: i64
    mover_id: i64  # the order that a trigger put through the other book; 0: the book is quiet
    full: i64
    ids: Annotated[Array, i64, 2 * DEPTH * QUEUE]
    lots: Annotated[Array, i64, 2 * DEPTH * QUEUE]


def set_peer(peer: Peer, number: int, bed: Bed, instrument: Instrument, feed_flow: Flow) -> None:
    """A venue that lists `instrument`; `feed_flow` goes to the engine."""
    peer.number = number
    peer.bed = one(bed)
    peer.instrument = one(instrument)
    peer.answers = 1
    peer.random = 1 + number
    peer.next_id = 1_000_000_000 * (1 + number) + 1
    copy_bytes(address_of(peer.feed_flow), address_of(feed_flow), Flow.size)
    for writer, channel, kind in (
        (peer.writer, CHANNEL_ID, INCREMENTAL),
        (peer.snapshot_writer, CHANNEL_ID, SNAPSHOT),
    ):
        writer.channel_id = channel + number
        writer.type = kind
        writer.sequence = 1


def set_connection(peer: Peer, to_engine: Flow, send_next: int, receive_next: int) -> None:
    """An established connection, for a client that makes none."""
    copy_bytes(address_of(peer.flow), address_of(to_engine), Flow.size)
    peer.send_next = send_next
    peer.receive_next = receive_next


# ---- Connection.


@compiled
def is_sound(address: int, length: int) -> bool:
    """Whether both checksums of a TCP frame are right."""
    ip = view(Ipv4Header, address + 14)
    tcp_length = ip.total_length - IPV4_HEADER_BYTES
    if tcp_length + IPV4_HEADER_BYTES + 14 != length or fold_checksum(internet_sum(ip_of(address), 20, 0)) != 0:
        return False
    total = internet_sum(ip_of(address) + IPV4_HEADER_BYTES, tcp_length, pseudo_header_sum(ip, tcp_length))
    return fold_checksum(total) == 0


@compiled
def ip_of(address: int) -> int:
    return address + 14


@compiled
def serve(peer: Peer, now_ns: int) -> int:
    """Take all that the engine has sent, answer it; how many orders there were."""
    bed = peer.bed[0]
    orders = peer.orders
    address = take_sent(bed)
    while address != 0:
        peer.frames += 1
        peer.frame.address = address
        peer.frame.length = bed.sent_length
        peer.frame.time_ns = now_ns
        if parse_packet(peer.frame, peer.packet, peer.parsed) and peer.packet.protocol == PROTOCOL_TCP:
            if not is_sound(address, bed.sent_length):
                peer.bad_checksums += 1
            take_segment(peer, now_ns)
        give_back(bed)
        address = take_sent(bed)
    return peer.orders - orders


@compiled
def take_segment(peer: Peer, now_ns: int) -> None:
    packet = peer.packet
    if packet.tcp_flags & FLAG_SYN:
        flow = peer.flow
        flow.source_mac = 0x02_00_00_00_02_00 + peer.number
        flow.destination_mac = 0x02_00_00_00_00_01
        flow.source_ip = packet.destination_ip
        flow.destination_ip = packet.source_ip
        flow.source_port = packet.destination_port
        flow.destination_port = packet.source_port
        peer.receive_next = (packet.tcp_sequence + 1) & SEQUENCE_MASK
        peer.send_next = FIRST_SEQUENCE
        send_segment(peer, 0, FLAG_SYN | FLAG_ACK)
        peer.send_next += 1
        return
    if packet.payload_length == 0:
        return
    if packet.tcp_sequence != peer.receive_next:
        if (peer.receive_next - packet.tcp_sequence) & SEQUENCE_MASK < 1 << 31:
            peer.copies += 1  # a tail loss probe: the script stood still for 10 ms
        else:
            peer.out_of_order += 1
        send_segment(peer, 0, FLAG_ACK)
        return
    peer.receive_next = (peer.receive_next + packet.payload_length) & SEQUENCE_MASK
    position = packet.payload_address
    end = position + packet.payload_length
    answered = False
    while position + size_of(FrameHeader) <= end and view(FrameHeader, position).protocol_id == PROTOCOL_ID:
        answered |= take_message(peer, position, now_ns)
        position += (view(FrameHeader, position).length + 7) & ~7
    if not answered:
        send_segment(peer, 0, FLAG_ACK)


@compiled
def send_segment(peer: Peer, length: int, flags: int) -> None:
    """`length` bytes of payload lie in the frame to be filled already."""
    bed = peer.bed[0]
    slot = slot_to_fill(bed)
    if slot == 0:
        peer.full += 1
        return
    write_tcp_frame_header(slot, peer.flow, 0xFFFF)
    deliver(bed, seal_tcp_frame(slot, length, peer.send_next, peer.receive_next, flags))
    peer.send_next = (peer.send_next + length) & SEQUENCE_MASK


# ---- Gateway.


@compiled
def begin_answer(peer: Peer, template_id: int, length: int, now_ns: int) -> int:
    """Head a message in the frame to be filled; address of its root block, 0 without room."""
    slot = slot_to_fill(peer.bed[0])
    if slot == 0:
        peer.full += 1
        return 0
    fill_bytes(slot + TCP_FRAME_HEADER_BYTES, 0, length + 7)
    header = view(FrameHeader, slot + TCP_FRAME_HEADER_BYTES)
    peer.sequence += 1
    header.protocol_id = PROTOCOL_ID
    header.length = length
    header.template_id = template_id
    header.version = VERSION
    header.sequence = peer.sequence
    header.last_processed = peer.last_processed
    header.send_time_ns = now_ns
    return slot + TCP_FRAME_HEADER_BYTES + size_of(FrameHeader)


@compiled
def take_message(peer: Peer, address: int, now_ns: int) -> bool:
    """One message of the engine's; whether an answer with data went out."""
    header = view(FrameHeader, address)
    peer.last_processed = header.sequence
    if header.template_id == Template.LOGON:
        length = size_of(FrameHeader) + size_of(LogonConf)
        root = begin_answer(peer, Template.LOGON_CONF, length, now_ns)
        if root == 0:
            return False
        conf = view(LogonConf, root)
        conf.heartbeat_interval_s = HEARTBEAT_S
        conf.schema_version = VERSION
        send_segment(peer, (length + 7) & ~7, FLAG_ACK | FLAG_PSH)
        peer.logged_on = 1
        return True
    if header.template_id != Template.NEW_ORDER_REQUEST:
        peer.other_messages += 1
        return False
    peer.orders += 1
    copy_bytes(address_of(peer.last_order), peer.frame.address, ORDER_FRAME_BYTES)
    if peer.answers == 0:
        return False
    root = begin_answer(peer, Template.NEW_ORDER_RESPONSE, ANSWER_BYTES, now_ns)
    if root == 0:
        return False
    fill_answer(peer, root, view(NewOrderRequest, address + size_of(FrameHeader)), now_ns)
    send_segment(peer, PADDED_ANSWER_BYTES, FLAG_ACK | FLAG_PSH)
    return True


@compiled
def fill_answer(peer: Peer, root: int, request: NewOrderRequest, now_ns: int) -> None:
    """The order was filled whole, at its own price."""
    answer = view(NewOrderResponse, root)
    answer.timestamp_ns = now_ns
    answer.exec_id = peer.orders
    answer.client_order_id = request.client_order_id
    answer.correlation_id = request.correlation_id
    answer.order_id = 5_000_000 + peer.orders
    answer.instrument_id = request.instrument_id
    answer.price_e9 = request.price_e9
    answer.quantity.mantissa = request.quantity.mantissa
    answer.quantity.exponent = request.quantity.exponent
    answer.total_filled.mantissa = request.quantity.mantissa
    answer.total_filled.exponent = request.quantity.exponent
    answer.receive_time_ns = now_ns
    answer.side = request.side
    answer.status = OrderStatus.FILLED
    group = view(GroupHeader, root + size_of(NewOrderResponse))
    group.block_length = FILL_BYTES
    group.count = 1
    fill = view(Fill, root + size_of(NewOrderResponse) + size_of(GroupHeader))
    fill.match_id = peer.orders
    fill.fill_price_e9 = request.price_e9
    fill.fill_quantity.mantissa = request.quantity.mantissa
    fill.fill_quantity.exponent = request.quantity.exponent
    legs = view(GroupHeader, root + size_of(NewOrderResponse) + size_of(GroupHeader) + FILL_BYTES)
    legs.block_length = LEG_BYTES


# ---- Market.


@compiled
def new_id(peer: Peer) -> int:
    peer.next_id += 1 + draw(peer, 7)
    return peer.next_id


@compiled
def open_packet(peer: Peer, writer: PacketWriter, now_ns: int) -> bool:
    slot = slot_to_fill(peer.bed[0])
    if slot == 0:
        peer.full += 1
        return False
    begin_packet(writer, slot + UDP_FRAME_HEADER_BYTES, FRAME_BYTES // 2, now_ns)
    writer.transact_time_ns = now_ns
    return True


@compiled
def send_packet(peer: Peer, writer: PacketWriter) -> None:
    start = writer.start - UDP_FRAME_HEADER_BYTES
    length = end_packet(writer)
    write_udp_frame_header(start, peer.feed_flow, length)
    deliver(peer.bed[0], UDP_FRAME_HEADER_BYTES + length)


@compiled
def place_of(side: int, level: int, position: int) -> int:
    return (side * DEPTH + level) * QUEUE + position


@compiled
def put(peer: Peer, writer: PacketWriter, place: int, side: int, ticks: int, order_id: int, lots: int) -> None:
    """A new or changed order; it goes to the end of its price's queue."""
    if place >= 0:
        peer.ids[place] = order_id
        peer.lots[place] = lots
    peer.next_id += 1
    added = add_put(writer, side, order_id, INSTRUMENT_ID + peer.number, lots, ticks * TICK_E9, peer.next_id)
    assert added


@compiled
def open_market(peer: Peer, level: int, side: int, is_snapshot: bool, now_ns: int) -> bool:
    """One level's orders, first as told: in a snapshot or as changes. False if the bed is full."""
    writer = peer.snapshot_writer if is_snapshot else peer.writer
    if not open_packet(peer, writer, now_ns):
        return False
    if is_snapshot and level == 0 and side == BID:
        instrument = peer.instrument[0]
        add_definition(writer, instrument, INSTRUMENT_ID + peer.number, 1, QUANTITY_EXPONENT, 1, 0)
        add_snapshot_header(writer, INSTRUMENT_ID + peer.number, now_ns, peer.writer.sequence - 1)
    begin_transaction(writer, now_ns)
    for position in range(1 if level == 0 else QUEUE):
        put(peer, writer, place_of(side, level, position), side, level_ticks(side, level), new_id(peer), LOTS)
    end_transaction(writer)
    if is_snapshot and level == DEPTH - 1 and side == ASK:
        add_snapshot_trailer(writer, INSTRUMENT_ID + peer.number, now_ns, peer.writer.sequence - 1)
        add_end_of_cycle(writer, 1)
    send_packet(peer, writer)
    return True


@compiled
def send_heartbeat(peer: Peer, now_ns: int) -> None:
    """An incremental packet without messages: says which number comes next."""
    if open_packet(peer, peer.writer, now_ns):
        send_packet(peer, peer.writer)


@compiled
def send_quiet(peer: Peer, now_ns: int) -> None:
    """Changes behind the best prices, of all kinds: nothing to trade on."""
    if not open_packet(peer, peer.writer, now_ns):
        return
    writer = peer.writer
    begin_transaction(writer, now_ns)
    for _ in range(1 + draw(peer, 3)):
        side = draw(peer, 2)
        level = 1 + draw(peer, DEPTH - 1)
        place = place_of(side, level, draw(peer, QUEUE))
        ticks = level_ticks(side, level)
        kind = draw(peer, 3)
        if kind == 0 and peer.lots[place] > 1:
            peer.lots[place] = 1 + draw(peer, peer.lots[place] - 1)
            add_reduce(writer, side, peer.ids[place], INSTRUMENT_ID + peer.number, peer.lots[place])
        elif kind == 1:
            put(peer, writer, place, side, ticks, peer.ids[place], LOTS + draw(peer, LOTS))
        else:
            add_delete(writer, side, peer.ids[place], INSTRUMENT_ID + peer.number)
            put(peer, writer, place, side, ticks, new_id(peer), LOTS + draw(peer, LOTS))
    end_transaction(writer)
    send_packet(peer, writer)


@compiled
def send_move(peer: Peer, rises: bool, now_ns: int) -> None:
    """The best order of one side goes, and one of the other side comes MOVE_TICKS through it; then all back again."""
    if not open_packet(peer, peer.writer, now_ns):
        return
    writer = peer.writer
    gone = ASK if rises else BID
    come = BID if rises else ASK
    place = place_of(gone, 0, 0)
    ticks = level_ticks(gone, 0)
    begin_transaction(writer, now_ns)
    if peer.mover_id == 0:
        peer.mover_id = new_id(peer)
        add_delete(writer, gone, peer.ids[place], INSTRUMENT_ID + peer.number)
        put(peer, writer, -1, come, ticks + (MOVE_TICKS if rises else -MOVE_TICKS), peer.mover_id, LOTS)
    else:
        add_delete(writer, come, peer.mover_id, INSTRUMENT_ID + peer.number)
        put(peer, writer, place, gone, ticks, new_id(peer), LOTS)
        peer.mover_id = 0
    end_transaction(writer)
    send_packet(peer, writer)


def feed_flow(number: int) -> Flow:
    """Addresses of a venue's market data; they are on no wire."""
    return Flow(
        source_mac=0x02_00_00_00_02_00 + number,
        destination_mac=0x01_00_5E_00_0C_C1,
        source_ip=0xC6_13_00_01 + number,
        destination_ip=0xE0_00_0C_C1,
        source_port=4220,
        destination_port=4220 + number,
    )


def wire_flow(number: int) -> Flow:
    """Addresses of a venue's order connection, from the engine to the gateway."""
    return Flow(
        source_mac=0x02_00_00_00_00_01,
        destination_mac=0x02_00_00_00_02_00 + number,
        source_ip=0xC6_12_00_01,
        destination_ip=0xC6_13_00_01 + number,
        source_port=41_000 + number,
        destination_port=4_210,
    )


def session_flow(number: int) -> Flow:
    """The same connection as the session has it: on no wire."""
    flow = wire_flow(number)
    flow.destination_mac = 0x02_00_00_00_01_00 + number
    flow.destination_ip = 0xC6_13_01_01 + number
    flow.source_port = 40_000 + number
    flow.destination_port = 9_000
    return flow


def last_order(peer: Peer) -> bytes:
    """The last order's whole frame."""
    return bytes(peer.last_order)[:ORDER_FRAME_BYTES]
