"""Order gateway of the bridge, the exchange's side: reads the frames that the engine wrote, answers with real ones.

Nothing that the engine sends is taken on trust: checksums, connection, sequence, message numbers, kinds and lengths are
verified as an exchange would, so that a protocol mistake shows in a backtest. Bytes that can't be believed are counted
(`Mistake`, `MessageStream.faults`) and end the session with a `Logout`; an order that can't be accepted is rejected.

What it answers to one request is packed into as few TCP segments as Ethernet allows.
"""

from enum import IntEnum
from typing import Annotated

from crosswire.nic.duration import NS_PER_MS
from crosswire.nic.memory.raw import fill_bytes
from crosswire.nic.memory.struct import Array, Struct, clear_struct, copy_struct, i64, size_of, view
from crosswire.nic.packet import (
    ETHER_TYPE_IPV4,
    FLAG_RST,
    PROTOCOL_TCP,
    TCP_FRAME_HEADER_BYTES,
    EthernetHeader,
    Flow,
    Ipv4Header,
    Packet,
    PacketCounters,
    Word,
    internet_checksum,
    parse_packet,
    pseudo_header_sum,
    reverse_flow,
    seal_tcp_frame,
    write_tcp_frame_header,
)
from crosswire.nic.rings.ring import NEVER_NS, Frame, commit, reserve
from crosswire.nic.tcp_frames import TCP_WINDOW, commit_segment, set_connection
from crosswire.nic.unit.compile import compiled
from crosswire.venues.bridge.orders.stream import (
    MessageStream,
    StreamFault,
    length_of,
    next_message,
    open_segment,
    reason_of_end,
    restart_stream,
    stamp_header,
    write_header,
)
from crosswire.venues.bridge.wire import order_layout as messages
from crosswire.venues.exchange.counted import counted
from crosswire.venues.exchange.matching import (
    Executions,
    Matching,
    OrderRequest,
    match_amend,
    match_cancel,
    match_cancel_all,
    match_new,
)
from crosswire.venues.market import MAP_INSTRUMENTS_MAX, InstrumentMap, Market, learn_instrument
from crosswire.venues.order import Report, ReportKind
from crosswire.venues.side import sign_of

REMEMBERED_BITS = 14
REMEMBERED_FILLS = 1 << REMEMBERED_BITS  # that can be told again
SEGMENT_BYTES_MAX = 1460  # of payload: Ethernet's 1,500 less 20 of IPv4 and 20 of TCP


class Mistake(IntEnum):
    """What the client did wrong. Index into `BridgeGateway.mistakes`."""

    NOT_TCP = 0  # a frame that is no TCP over IPv4
    BAD_IP_CHECKSUM = 1
    BAD_TCP_CHECKSUM = 2
    BAD_LOGON = 3  # a second logon, or one without a heartbeat interval
    NOT_LOGGED_ON = 4  # a request before the logon
    WRONG_DIRECTION = 5  # a message that only the exchange sends


class BridgeGateway(Struct):
    """One client's connection at the exchange."""

    logged_on: i64
    closed: i64  # 1: it has said goodbye
    heartbeat_interval_ns: i64
    patience_intervals: i64  # without a message, after which it gives a client up
    last_sent_ns: i64
    last_received_ns: i64
    frames_received: i64
    frames_sent: i64
    new_orders: i64  # received, whatever became of them
    fills: i64  # told to clients
    position_lots: Annotated[Array, i64, MAP_INSTRUMENTS_MAX]  # of the client, by market index
    remembered: Annotated[Array, Report, REMEMBERED_FILLS]  # by the low bits of the execution id
    unsent: i64  # messages that the ring to the client had no room for; the client sees a hole and gives up
    mistakes: Annotated[Array, i64, len(Mistake)]
    parsed: PacketCounters
    packet: Packet
    stream: MessageStream
    map: InstrumentMap  # the venue's instrument ids, learnt from the market as they are needed
    order: OrderRequest  # being handled
    executions: Executions
    segment_address: i64  # frame being filled, 0: none
    segment_length: i64  # bytes of payload in it


def set_gateway(gateway: BridgeGateway, flow: Flow, first_byte: int = 0) -> None:
    """Set up a connection just established; `flow` and `first_byte` as the engine's session has them.

    The client's fills and positions stay what they were.
    """
    gateway.logged_on = 0
    gateway.closed = 0
    gateway.patience_intervals = messages.SILENCE_INTERVALS
    gateway.segment_address = 0
    gateway.segment_length = 0
    clear_struct(gateway.stream)
    set_connection(gateway.stream.connection, reverse_flow(flow), first_byte)


@compiled
def take_connection(gateway: BridgeGateway, matching: Matching, now_ns: int) -> None:
    """Take up the client's next connection: what the one before left open is cancelled, and nobody is told."""
    drop_client(gateway, matching, now_ns)
    gateway.closed = 0
    restart_stream(gateway.stream)


@compiled
def receive_frame(
    gateway: BridgeGateway, matching: Matching, market: Market, frame: Frame, ring: Struct, now_ns: int
) -> None:
    """Handle one frame that arrived from the engine at `now_ns`; answers are committed to `ring`."""
    gateway.frames_received += 1
    packet = gateway.packet
    if not parse_packet(frame, packet, gateway.parsed):
        gateway.mistakes[Mistake.NOT_TCP] += 1
        return
    if not _checksums_hold(gateway, frame):
        return
    stream = gateway.stream
    if open_segment(stream, packet):
        gateway.last_received_ns = now_ns
        address = next_message(stream)
        while address != 0:
            _handle(gateway, matching, market, address, ring, now_ns)
            address = next_message(stream)
    if stream.ended != 0:
        log_out(gateway, matching, market, ring, reason_of_end(stream), now_ns)
    send_segment(gateway, ring, now_ns)


@compiled
def is_heartbeat(frame: Frame) -> bool:
    """Tell whether a frame of the engine looks like a heartbeat and nothing else: what needs no book."""
    template_id = messages.Template.HEARTBEAT
    if frame.length != TCP_FRAME_HEADER_BYTES + length_of(template_id):
        return False
    return view(messages.MessageHeader, frame.address + TCP_FRAME_HEADER_BYTES).template_id == template_id


@compiled
def _checksums_hold(gateway: BridgeGateway, frame: Frame) -> bool:
    """Tell whether IPv4 and TCP checksums are right. `parse_packet` has proven the lengths that are read here."""
    packet = gateway.packet
    # A tag would move the headers; this client's wire has none.
    if view(EthernetHeader, frame.address).ether_type != ETHER_TYPE_IPV4 or packet.protocol != PROTOCOL_TCP:
        gateway.mistakes[Mistake.NOT_TCP] += 1
        return False
    ip_address = frame.address + size_of(EthernetHeader)
    ip = view(Ipv4Header, ip_address)
    header_length = (ip.version_and_words & 0xF) * size_of(Word)
    if internet_checksum(ip_address, header_length, 0) != 0:
        gateway.mistakes[Mistake.BAD_IP_CHECKSUM] += 1
        return False
    tcp_length = ip.total_length - header_length
    if internet_checksum(ip_address + header_length, tcp_length, pseudo_header_sum(ip, tcp_length)) != 0:
        gateway.mistakes[Mistake.BAD_TCP_CHECKSUM] += 1
        return False
    return True


@compiled
def _handle(
    gateway: BridgeGateway, matching: Matching, market: Market, address: int, ring: Struct, now_ns: int
) -> None:
    """Handle one whole message of the client."""
    template_id = view(messages.MessageHeader, address).template_id
    executions = gateway.executions
    executions.count = 0
    if template_id == messages.Template.LOGON:
        _handle_logon(gateway, matching, market, view(messages.Logon, address), ring, now_ns)
    elif gateway.logged_on == 0:
        gateway.mistakes[Mistake.NOT_LOGGED_ON] += 1
        log_out(gateway, matching, market, ring, messages.LogoutReason.NOT_LOGGED_ON, now_ns)
    elif template_id == messages.Template.NEW_ORDER:
        gateway.new_orders += 1
        order = view(messages.NewOrder, address)
        _take_order(gateway.order, order, learn_instrument(gateway.map, market, matching.venue, order.instrument_id))
        match_new(matching, market, gateway.order, now_ns, executions)
        send_executions(gateway, market, ring, now_ns)
    elif template_id == messages.Template.AMEND_ORDER:
        _take_amend(gateway.order, view(messages.AmendOrder, address))
        match_amend(matching, market, gateway.order, now_ns, executions)
        send_executions(gateway, market, ring, now_ns)
    elif template_id == messages.Template.CANCEL_ORDER:
        match_cancel(matching, view(messages.CancelOrder, address).client_order_id, now_ns, executions)
        send_executions(gateway, market, ring, now_ns)
    elif template_id == messages.Template.MASS_CANCEL:
        cancelled = match_cancel_all(matching, now_ns, executions)
        send_executions(gateway, market, ring, now_ns)
        slot = _begin_message(gateway, ring, messages.Template.MASS_CANCEL_ACK, now_ns)
        if slot != 0:
            message = view(messages.MassCancelAck, slot)
            message.exchange_time_ns = now_ns
            message.cancelled = cancelled
    elif template_id == messages.Template.ACCOUNT_QUERY:
        tell_account(gateway, matching, market, view(messages.AccountQuery, address).execution_id, ring, now_ns)
    elif template_id == messages.Template.LOGOUT:
        log_out(gateway, matching, market, ring, messages.LogoutReason.CLOSING, now_ns)
    elif template_id != messages.Template.HEARTBEAT:
        gateway.mistakes[Mistake.WRONG_DIRECTION] += 1


@compiled
def tell_account(
    gateway: BridgeGateway, matching: Matching, market: Market, execution_id: int, ring: Struct, now_ns: int
) -> None:
    """Tell the fills after the one named again; if those were all, orders and positions too."""
    last_id = matching.last_execution_id
    first_id = max(1, execution_id + 1, last_id - REMEMBERED_FILLS + 1)
    until_id = min(last_id, first_id + messages.ACCOUNT_FILLS_MAX - 1)
    for told_id in range(first_id, until_id + 1):
        report = gateway.remembered[told_id & (REMEMBERED_FILLS - 1)]
        slot = _begin_message(gateway, ring, messages.Template.ORDER_FILL, now_ns)
        if slot != 0:
            _fill_answer(slot, report, market.instruments[report.instrument].venue_id)
    open_orders = 0
    if until_id >= last_id:
        open_orders = matching.resting_count
        _tell_holdings(gateway, matching, market, ring, now_ns)
    slot = _begin_message(gateway, ring, messages.Template.ACCOUNT_END, now_ns)
    if slot != 0:
        end = view(messages.AccountEnd, slot)
        end.exchange_time_ns = now_ns
        end.client_order_id = matching.last_client_order_id
        end.execution_id = last_id
        end.open_orders = open_orders
        end.more = until_id < last_id
        end.missing = first_id > execution_id + 1


@compiled
def _tell_holdings(gateway: BridgeGateway, matching: Matching, market: Market, ring: Struct, now_ns: int) -> None:
    """Tell the client's open orders, and its positions."""
    for place in range(matching.resting_count):
        resting = matching.resting[place]
        slot = _begin_message(gateway, ring, messages.Template.ACCOUNT_ORDER, now_ns)
        if slot != 0:
            order = view(messages.AccountOrder, slot)
            order.client_order_id = resting.client_order_id
            order.exchange_order_id = resting.exchange_order_id
            order.exchange_time_ns = now_ns
            order.price_ticks = resting.price_ticks
            order.leaves_lots = resting.leaves_lots
            order.instrument_id = market.instruments[resting.instrument].venue_id
            order.side = resting.side
            order.time_in_force = resting.time_in_force
    for index in range(market.count):
        if gateway.position_lots[index] != 0 and market.instruments[index].venue == matching.venue:
            slot = _begin_message(gateway, ring, messages.Template.ACCOUNT_POSITION, now_ns)
            if slot != 0:
                position = view(messages.AccountPosition, slot)
                position.exchange_time_ns = now_ns
                position.position_lots = gateway.position_lots[index]
                position.instrument_id = market.instruments[index].venue_id


@compiled
def _take_order(order: OrderRequest, message: messages.NewOrder, instrument: int) -> None:
    order.client_order_id = message.client_order_id
    order.instrument = instrument
    order.side = message.side
    order.time_in_force = message.time_in_force
    order.price_ticks = message.price_ticks
    order.qty_lots = message.qty_lots


@compiled
def _take_amend(order: OrderRequest, message: messages.AmendOrder) -> None:
    """Take an amend's terms; what the order is its own place says."""
    order.client_order_id = message.client_order_id
    order.price_ticks = message.price_ticks
    order.qty_lots = message.qty_lots


@compiled
def _handle_logon(
    gateway: BridgeGateway, matching: Matching, market: Market, logon: messages.Logon, ring: Struct, now_ns: int
) -> None:
    if gateway.logged_on != 0 or logon.heartbeat_interval_ms == 0:
        gateway.mistakes[Mistake.BAD_LOGON] += 1
        log_out(gateway, matching, market, ring, messages.LogoutReason.BAD_LOGON, now_ns)
        return
    gateway.logged_on = 1
    gateway.heartbeat_interval_ns = logon.heartbeat_interval_ms * NS_PER_MS
    slot = _begin_message(gateway, ring, messages.Template.LOGON_ACK, now_ns)
    if slot != 0:
        message = view(messages.LogonAck, slot)
        message.session_id = logon.session_id
        message.heartbeat_interval_ms = logon.heartbeat_interval_ms


@compiled
def log_out(gateway: BridgeGateway, matching: Matching, market: Market, ring: Struct, reason: int, now_ns: int) -> None:
    """End the connection, once: cancel what rests (cancel on disconnect), say so, and read no more."""
    gateway.stream.ended = 1
    if gateway.closed != 0:
        return
    gateway.closed = 1
    gateway.executions.count = 0
    match_cancel_all(matching, now_ns, gateway.executions)
    send_executions(gateway, market, ring, now_ns)
    slot = _begin_message(gateway, ring, messages.Template.LOGOUT, now_ns)
    if slot != 0:
        view(messages.Logout, slot).reason = reason
    gateway.logged_on = 0


def mistakes_of(gateway: BridgeGateway) -> dict[str, int]:
    """Name what the client did wrong, with its count. The end of its connection is a goodbye, and not wrong."""
    faults = counted(gateway.stream.faults, StreamFault)
    faults.pop(StreamFault.CLOSED.name.lower(), None)
    return counted(gateway.mistakes, Mistake) | faults


@compiled
def displace_client(gateway: BridgeGateway, matching: Matching, market: Market, ring: Struct, now_ns: int) -> None:
    """End the connection because another client has come."""
    log_out(gateway, matching, market, ring, messages.LogoutReason.DISPLACED, now_ns)
    send_segment(gateway, ring, now_ns)


@compiled
def drop_client(gateway: BridgeGateway, matching: Matching, now_ns: int) -> None:
    """End the session without a word; what rests is cancelled."""
    gateway.stream.ended = gateway.closed = 1
    gateway.logged_on = 0
    gateway.segment_address = gateway.segment_length = 0
    gateway.executions.count = 0
    match_cancel_all(matching, now_ns, gateway.executions)
    gateway.executions.count = 0


@compiled
def reset_client(gateway: BridgeGateway, matching: Matching, ring: Struct, now_ns: int) -> None:
    """Let the gateway's process die, and another one listen: the host ends the connection with a RST."""
    drop_client(gateway, matching, now_ns)
    slot = reserve(ring, TCP_FRAME_HEADER_BYTES)
    if slot != 0:
        connection = gateway.stream.connection
        write_tcp_frame_header(slot, connection.flow, TCP_WINDOW)
        commit(ring, seal_tcp_frame(slot, 0, connection.send_next, connection.receive_next, FLAG_RST), now_ns)


@compiled
def next_duty_ns(gateway: BridgeGateway) -> int:
    """When the gateway next has to act by itself: a heartbeat, or the end of its patience; `NEVER_NS` if logged off."""
    if gateway.logged_on == 0:
        return NEVER_NS
    interval_ns = gateway.heartbeat_interval_ns
    return min(gateway.last_sent_ns + interval_ns, gateway.last_received_ns + gateway.patience_intervals * interval_ns)


@compiled
def do_duty(gateway: BridgeGateway, matching: Matching, market: Market, ring: Struct, now_ns: int) -> None:
    """Send the heartbeat that is due, or log out a client that has gone silent."""
    if gateway.logged_on == 0:
        return
    if now_ns >= gateway.last_received_ns + gateway.patience_intervals * gateway.heartbeat_interval_ns:
        log_out(gateway, matching, market, ring, messages.LogoutReason.SILENCE, now_ns)
    elif now_ns >= gateway.last_sent_ns + gateway.heartbeat_interval_ns:
        _begin_message(gateway, ring, messages.Template.HEARTBEAT, now_ns)
        gateway.last_sent_ns = now_ns
    send_segment(gateway, ring, now_ns)


@compiled
def send_executions(gateway: BridgeGateway, market: Market, ring: Struct, now_ns: int) -> None:
    """Put all of `gateway.executions` into messages, in order, and forget them."""
    executions = gateway.executions
    for position in range(executions.count):
        report = executions.items[position]
        instrument_id = market.instruments[report.instrument].venue_id if report.instrument >= 0 else 0
        if report.kind == ReportKind.FILL:
            gateway.fills += 1
            gateway.position_lots[report.instrument] += sign_of(report.side) * report.qty_lots
            copy_struct(gateway.remembered[report.execution_id & (REMEMBERED_FILLS - 1)], report)
        slot = _begin_message(gateway, ring, _template_for(report.kind), now_ns)
        if slot != 0:
            _fill_answer(slot, report, instrument_id)
    executions.count = 0


@compiled
def _name_order(
    message: messages.OrderFill
    | messages.OrderAck
    | messages.OrderAmended
    | messages.OrderCancelled
    | messages.OrderReject,
    report: Report,
    instrument_id: int,
) -> None:
    """Say which order a message is about, and since when what it says is so."""
    message.client_order_id = report.client_order_id
    message.exchange_time_ns = report.exchange_time_ns
    message.instrument_id = instrument_id
    message.side = report.side


@compiled
def _template_for(kind: int) -> int:
    """The template of the message that tells of a report of this kind."""
    if kind == ReportKind.FILL:
        return messages.Template.ORDER_FILL
    if kind == ReportKind.ACK:
        return messages.Template.ORDER_ACK
    if kind == ReportKind.CANCELLED:
        return messages.Template.ORDER_CANCELLED
    if kind == ReportKind.AMENDED:
        return messages.Template.ORDER_AMENDED
    if kind == ReportKind.AMEND_REJECTED:
        return messages.Template.AMEND_REJECT
    return messages.Template.ORDER_REJECT if kind == ReportKind.REJECTED else messages.Template.CANCEL_REJECT


@compiled
def _fill_answer(slot: int, report: Report, instrument_id: int) -> None:
    """Write the fields of the message begun at `slot`, by the report's kind."""
    if report.kind == ReportKind.FILL:
        fill = view(messages.OrderFill, slot)
        _name_order(fill, report, instrument_id)
        fill.exchange_order_id = report.exchange_order_id
        fill.execution_id = report.execution_id
        fill.price_ticks = report.price_ticks
        fill.qty_lots = report.qty_lots
        fill.leaves_lots = report.leaves_lots
        fill.fee_e9 = report.fee_e9
        fill.is_maker = report.is_maker
    elif report.kind == ReportKind.ACK:
        ack = view(messages.OrderAck, slot)
        _name_order(ack, report, instrument_id)
        ack.exchange_order_id = report.exchange_order_id
    elif report.kind == ReportKind.CANCELLED:
        cancelled = view(messages.OrderCancelled, slot)
        _name_order(cancelled, report, instrument_id)
        cancelled.exchange_order_id = report.exchange_order_id
        cancelled.leaves_lots = report.leaves_lots
        cancelled.reason = report.reason
    elif report.kind == ReportKind.REJECTED:
        rejected = view(messages.OrderReject, slot)
        _name_order(rejected, report, instrument_id)
        rejected.reason = report.reason
    elif report.kind == ReportKind.AMENDED:
        amended = view(messages.OrderAmended, slot)
        _name_order(amended, report, instrument_id)
        amended.exchange_order_id = report.exchange_order_id
        amended.price_ticks = report.price_ticks
        amended.qty_lots = report.qty_lots
    elif report.kind == ReportKind.AMEND_REJECTED:
        rejected_amend = view(messages.AmendReject, slot)
        rejected_amend.client_order_id = report.client_order_id
        rejected_amend.exchange_time_ns = report.exchange_time_ns
        rejected_amend.reason = report.reason
    else:
        refused = view(messages.CancelReject, slot)
        refused.client_order_id = report.client_order_id
        refused.exchange_time_ns = report.exchange_time_ns
        refused.reason = report.reason


@compiled
def _begin_message(gateway: BridgeGateway, ring: Struct, template_id: int, now_ns: int) -> int:
    """Begin a message in the segment being filled, header written, the rest zero; its address, 0 if the ring is full.

    The message takes its number either way, so that the client sees that one is missing.
    """
    length = length_of(template_id)
    if gateway.segment_length + length > SEGMENT_BYTES_MAX:
        send_segment(gateway, ring, now_ns)
    if gateway.segment_address == 0:
        gateway.segment_address = reserve(ring, TCP_FRAME_HEADER_BYTES + SEGMENT_BYTES_MAX)
        if gateway.segment_address == 0:
            gateway.unsent += 1
            gateway.stream.send_sequence += 1
            return 0
        write_tcp_frame_header(gateway.segment_address, gateway.stream.connection.flow, TCP_WINDOW)
    address = gateway.segment_address + TCP_FRAME_HEADER_BYTES + gateway.segment_length
    gateway.segment_length += length
    fill_bytes(address, 0, length)
    header = view(messages.MessageHeader, address)
    write_header(header, template_id, length)
    stamp_header(gateway.stream, header, now_ns)
    return address


@compiled
def send_segment(gateway: BridgeGateway, ring: Struct, now_ns: int) -> None:
    """Send the segment being filled, if there is one."""
    if gateway.segment_address == 0:
        return
    commit_segment(gateway.stream.connection, ring, gateway.segment_address, gateway.segment_length, now_ns)
    gateway.frames_sent += 1
    gateway.last_sent_ns = now_ns
    gateway.segment_address = 0
    gateway.segment_length = 0
