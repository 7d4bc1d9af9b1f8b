"""Simulated Starbase's order gateways A and B: connections, sessions and their rules.

Nothing that a client sends is taken on trust: checksums, connection, framing, numbers and kinds are verified as an
exchange would, so that a protocol mistake shows. A connection begins with a frame that has SYN and ends with one that
has FIN or RST; between them there is one session, from a logon to its end. What ends a session cancels its orders that
asked for that.

A logon without reset goes on with the session's numbers: what was lost with the last connection can be asked for again.
A client's numbers may then leave some out, those of the messages that were lost on their way here: the confirmation's
`last_processed` says where they begin, and a ResendRequest asks for them. A gap fill answers it; what the client sends
meanwhile is taken.

Source: Deribit's documentation of Starbase (sessions). The text of a goodbye is left empty.
"""

from crosswire.nic.memory.struct import Array, size_of, view
from crosswire.nic.packet import (
    ETHER_TYPE_IPV4,
    ETHERNET_HEADER_BYTES,
    FLAG_FIN,
    FLAG_RST,
    FLAG_SYN,
    IPV4_HEADER_BYTES,
    PROTOCOL_TCP,
    EthernetHeader,
    Ipv4Header,
    internet_checksum,
    pseudo_header_sum,
)
from crosswire.nic.rings.delay import DELAY_FRAMES_MAX
from crosswire.nic.rings.ring import NEVER_NS, Frame
from crosswire.nic.unit.compile import compiled
from crosswire.venues.starbase.exchange.gateway.answers import settle
from crosswire.venues.starbase.exchange.gateway.quotes import (
    handle_mass_quote,
    handle_orders_status,
    handle_quote_cancel,
    handle_quote_status,
)
from crosswire.venues.starbase.exchange.gateway.requests import (
    handle_amend,
    handle_cancel,
    handle_cancel_by_id,
    handle_mass_cancel,
    handle_new,
)
from crosswire.venues.starbase.exchange.gateway.send import (
    FIN,
    RST,
    add_empty_text,
    begin_message,
    refuse_logon,
    resend,
    send_end,
    send_logged_out,
    send_message,
)
from crosswire.venues.starbase.exchange.matching.quotes import cancel_on_disconnect
from crosswire.venues.starbase.exchange.state import (
    GATEWAYS,
    NONE,
    SERVED_MAX,
    Mistake,
    Served,
    StarbaseExchange,
    session_number,
)
from crosswire.venues.starbase.wire.order_codes import Template, WireRejectReason
from crosswire.venues.starbase.wire.order_layout import (
    CLIENT_ID_BYTES,
    SECRET_BYTES,
    VERSION,
    AmendOrderRequest,
    CancelOrderByIdRequest,
    CancelOrderRequest,
    FrameHeader,
    GetMassQuoteMmpStatusRequest,
    GetOrdersMmpStatusRequest,
    Heartbeat,
    Logon,
    LogonConf,
    MassCancelRequest,
    MassQuoteCancelRequest,
    MassQuoteRequest,
    NewOrderRequest,
    Quote,
    Reject,
    ResendRequest,
    TestRequest,
)
from crosswire.venues.starbase.wire.stream import (
    end_of,
    groups_of,
    next_frame,
    open_segment,
    read_group,
    restart_stream,
    root_of,
)


@compiled
def receive_frame(exchange: StarbaseExchange, frame: Frame, now_ns: int) -> None:
    """Handle one TCP frame of a client, recognised as one by `parse_packet`."""
    gateways = exchange.gateways
    packet = gateways.packet
    gateway = gateway_of(exchange, packet.destination_port)
    if gateway == NONE:
        gateways.mistakes[Mistake.NOT_TCP] += 1
        return
    if not checksums_hold(exchange, frame):
        gateways.mistakes[Mistake.BAD_CHECKSUM] += 1
        return
    place = find_served(exchange)
    if packet.tcp_flags & FLAG_SYN != 0:
        if place != NONE:
            end_connection(exchange, place, now_ns)
        begin_connection(exchange, gateway, now_ns)
        return
    if place == NONE:
        gateways.mistakes[Mistake.NO_CONNECTION] += 1
        return
    served = gateways.served[place]
    served.last_received_ns = now_ns
    served.is_testing = 0
    stream = served.stream
    if open_segment(stream, packet):
        address = next_frame(stream)
        while address != 0 and served.is_open != 0:
            handle_frame(exchange, place, address, now_ns)
            address = next_frame(stream)
    if served.is_open == 0:
        return
    if packet.tcp_flags & (FLAG_FIN | FLAG_RST) != 0:
        end_connection(exchange, place, now_ns)
    elif stream.ended != 0:
        close_connection(exchange, place, now_ns)


@compiled
def gateway_of(exchange: StarbaseExchange, port: int) -> int:
    for gateway in range(GATEWAYS):
        if exchange.gateways.ports[gateway] == port:
            return gateway
    return NONE


@compiled
def checksums_hold(exchange: StarbaseExchange, frame: Frame) -> bool:
    """Tell whether IPv4 and TCP checksums are right. `parse_packet` has proven the lengths that are read here."""
    packet = exchange.gateways.packet
    # A tag would move the headers, and what lies there instead proves no length; this client's wire has none.
    if view(EthernetHeader, frame.address).ether_type != ETHER_TYPE_IPV4:
        return False
    ip_address = frame.address + ETHERNET_HEADER_BYTES
    if packet.protocol != PROTOCOL_TCP or internet_checksum(ip_address, IPV4_HEADER_BYTES, 0) != 0:
        return False
    ip = view(Ipv4Header, ip_address)
    tcp_length = ip.total_length - IPV4_HEADER_BYTES
    return internet_checksum(ip_address + IPV4_HEADER_BYTES, tcp_length, pseudo_header_sum(ip, tcp_length)) == 0


@compiled
def find_served(exchange: StarbaseExchange) -> int:
    """Find the open connection that the packet belongs to, NONE."""
    packet = exchange.gateways.packet
    for place in range(SERVED_MAX):
        served = exchange.gateways.served[place]
        flow = served.stream.connection.flow
        if (
            served.is_open != 0
            and flow.destination_port == packet.source_port
            and flow.source_port == packet.destination_port
            and flow.destination_ip == packet.source_ip
        ):
            return place
    return NONE


@compiled
def begin_connection(exchange: StarbaseExchange, gateway: int, now_ns: int) -> None:
    """Begin a client's connection, refused when there are SERVED_MAX already."""
    gateways = exchange.gateways
    packet = gateways.packet
    place = NONE
    for candidate in range(SERVED_MAX):
        if place == NONE and gateways.served[candidate].is_open == 0 and gateways.served[candidate].is_broken == 0:
            place = candidate
    if place == NONE:
        gateways.mistakes[Mistake.TOO_MANY_CONNECTIONS] += 1
        return
    served = gateways.served[place]
    flow = served.stream.connection.flow
    flow.source_ip = packet.destination_ip
    flow.destination_ip = packet.source_ip
    flow.source_port = packet.destination_port
    flow.destination_port = packet.source_port
    flow.source_mac = 0
    flow.destination_mac = 0
    for number in range(exchange.stream_count):
        stream = exchange.streams[number]
        if stream.flow.source_port == packet.source_port:
            flow.source_mac = stream.flow.destination_mac
            flow.destination_mac = stream.flow.source_mac
            stream.begun += 1
            served.generation = stream.begun
    served.is_open = 1
    served.gateway = gateway
    served.last_received_ns = now_ns
    restart_stream(served.stream)


@compiled
def end_connection(exchange: StarbaseExchange, place: int, now_ns: int) -> None:
    """End a connection and log its session off; orders that asked for that are cancelled."""
    gateways = exchange.gateways
    served = gateways.served[place]
    served.is_open = 0
    number = served.session
    served.session = NONE
    if number != NONE:
        session = gateways.sessions[number]
        session.connection = NONE
        cancel_on_disconnect(exchange.matching, number, session.cancel_on_disconnect)
        settle(exchange, now_ns)


@compiled
def close_connection(exchange: StarbaseExchange, place: int, now_ns: int) -> None:
    """End a connection from the exchange's side: a goodbye to its session, and FIN. Then `end_connection`."""
    served = exchange.gateways.served[place]
    if served.session != NONE:
        send_logged_out(exchange, served.session, now_ns)
    else:
        refuse_logon(exchange, served, now_ns)
    if served.is_broken == 0 and not send_end(exchange, served, FIN, now_ns):
        served.is_broken = 1
    end_connection(exchange, place, now_ns)


@compiled
def reset_broken(exchange: StarbaseExchange, now_ns: int) -> None:
    """Reset connections whose stream got a hole for want of room: RST, as soon as there is room for that."""
    for place in range(SERVED_MAX):
        served = exchange.gateways.served[place]
        if served.is_broken != 0 and send_end(exchange, served, RST, now_ns):
            served.is_broken = 0
            if served.is_open != 0:
                end_connection(exchange, place, now_ns)


@compiled
def handle_frame(exchange: StarbaseExchange, place: int, address: int, now_ns: int) -> None:
    """Handle one whole frame of a connection."""
    gateways = exchange.gateways
    served = gateways.served[place]
    header = view(FrameHeader, address)
    if served.session == NONE:
        if header.template_id == Template.LOGON and served.stream.refusal == 0:
            handle_logon(exchange, place, address, now_ns)
        else:
            gateways.mistakes[Mistake.NOT_LOGGED_ON] += 1
            close_connection(exchange, place, now_ns)
        return
    number = served.session
    session = gateways.sessions[number]
    if header.template_id == Template.GAP_FILL and header.sequence == session.missing_sequence:
        session.missing_sequence = 0
        gateways.gaps_filled += 1
        return
    if header.sequence <= session.receive_sequence:
        gateways.mistakes[Mistake.COPY] += 1
        return
    if header.sequence != session.receive_sequence + 1:
        gateways.mistakes[Mistake.BAD_SEQUENCE] += 1
        close_connection(exchange, place, now_ns)
        return
    session.receive_sequence = header.sequence
    if served.stream.refusal != 0:
        send_reject(exchange, number, header.sequence, served.stream.refusal, now_ns)
        return
    handle_message(exchange, place, number, address, now_ns)


@compiled
def handle_message(exchange: StarbaseExchange, place: int, number: int, address: int, now_ns: int) -> None:
    """Handle one message of a session, its root block proven to be there."""
    gateways = exchange.gateways
    template_id = view(FrameHeader, address).template_id
    root = root_of(address)
    if template_id == Template.NEW_ORDER_REQUEST:
        handle_new(exchange, number, view(NewOrderRequest, root), now_ns)
    elif template_id == Template.CANCEL_ORDER_REQUEST:
        handle_cancel(exchange, number, view(CancelOrderRequest, root), now_ns)
    elif template_id == Template.AMEND_ORDER_REQUEST:
        handle_amend(exchange, number, view(AmendOrderRequest, root), now_ns)
    elif template_id == Template.CANCEL_ORDER_BY_ID_REQUEST:
        handle_cancel_by_id(exchange, number, view(CancelOrderByIdRequest, root), now_ns)
    elif template_id == Template.MASS_CANCEL_REQUEST:
        handle_mass_cancel(exchange, number, view(MassCancelRequest, root), now_ns)
    elif template_id == Template.MASS_QUOTE_REQUEST:
        served = gateways.served[place]
        behind = read_group(gateways.group, groups_of(served.stream, address), end_of(address), size_of(Quote))
        if behind == 0:
            send_reject(
                exchange, number, view(FrameHeader, address).sequence, WireRejectReason.INVALID_BLOCK_LENGTH, now_ns
            )
        else:
            handle_mass_quote(exchange, number, view(MassQuoteRequest, root), gateways.group, now_ns)
    elif template_id == Template.MASS_QUOTE_CANCEL_REQUEST:
        handle_quote_cancel(exchange, number, view(MassQuoteCancelRequest, root), now_ns)
    elif template_id == Template.GET_MASS_QUOTE_MMP_STATUS_REQUEST:
        handle_quote_status(exchange, number, view(GetMassQuoteMmpStatusRequest, root), now_ns)
    elif template_id == Template.GET_ORDERS_MMP_STATUS_REQUEST:
        handle_orders_status(exchange, number, view(GetOrdersMmpStatusRequest, root), now_ns)
    elif template_id == Template.TEST_REQUEST:
        send_heartbeat(exchange, number, view(TestRequest, root).correlation_id, now_ns)
    elif template_id == Template.RESEND_REQUEST:
        handle_resend(exchange, number, view(ResendRequest, root), view(FrameHeader, address).sequence, now_ns)
    elif template_id == Template.LOGOUT:
        close_connection(exchange, place, now_ns)
    elif template_id == Template.LOGON:
        gateways.mistakes[Mistake.BAD_LOGON] += 1
        close_connection(exchange, place, now_ns)


@compiled
def send_reject(exchange: StarbaseExchange, number: int, sequence: int, reason: int, now_ns: int) -> None:
    """Answer a message that is malformed."""
    exchange.gateways.mistakes[Mistake.REFUSED] += 1
    message = view(Reject, begin_message(exchange, Template.REJECT))
    message.reference_sequence = sequence
    message.reason = reason
    add_empty_text(exchange)
    send_message(exchange, number, False, now_ns)


@compiled
def send_heartbeat(exchange: StarbaseExchange, number: int, correlation_id: int, now_ns: int) -> None:
    view(Heartbeat, begin_message(exchange, Template.HEARTBEAT)).correlation_id = correlation_id
    send_message(exchange, number, True, now_ns)


@compiled
def handle_resend(exchange: StarbaseExchange, number: int, message: ResendRequest, sequence: int, now_ns: int) -> None:
    """Send messages again, from one number to another; 0: to the last."""
    session = exchange.gateways.sessions[number]
    first = message.from_sequence
    last = message.to_sequence
    if last == 0 or last > session.send_sequence:
        last = session.send_sequence
    if first < 1 or message.to_sequence < 0 or first > last:
        send_reject(exchange, number, sequence, WireRejectReason.INVALID_FIELD_VALUE, now_ns)
        return
    resend(exchange, number, first, last, now_ns)


@compiled
def find_client(exchange: StarbaseExchange, logon: Logon) -> int:
    """Find the API key that this is, NONE if it is unknown or the secret is wrong."""
    found = NONE
    for client in range(exchange.gateways.client_count):
        key = exchange.gateways.clients[client]
        is_known = same_bytes(key.client_id, logon.client_id, CLIENT_ID_BYTES)
        if same_bytes(key.secret, logon.secret, SECRET_BYTES) and is_known:
            found = client
    return found


@compiled
def same_bytes(left: Array, right: Array, count: int) -> bool:
    """Compare all bytes, wherever they differ, so that the time tells nothing."""
    differences = 0
    for place in range(count):
        differences |= left[place] ^ right[place]
    return differences == 0


@compiled
def handle_logon(exchange: StarbaseExchange, place: int, address: int, now_ns: int) -> None:
    """Handle the first message of a connection."""
    gateways = exchange.gateways
    served = gateways.served[place]
    header = view(FrameHeader, address)
    logon = view(Logon, root_of(address))
    client = find_client(exchange, logon)
    if client == NONE:
        gateways.mistakes[Mistake.BAD_LOGON] += 1
        close_connection(exchange, place, now_ns)
        return
    number = session_number(client, served.gateway)
    session = gateways.sessions[number]
    is_reset = logon.reset_sequence != 0
    if header.sequence < 1 or (not is_reset and header.sequence <= session.receive_sequence):
        gateways.mistakes[Mistake.BAD_SEQUENCE] += 1
        close_connection(exchange, place, now_ns)
        return
    if session.connection != NONE:
        session.displaced += 1
        close_connection(exchange, session.connection, now_ns)
    session.schema_version = VERSION
    session.cancel_on_disconnect = 0
    # Fields that came with later versions are not there in an older one.
    if header.version >= 12 and logon.schema_version != 0:
        session.schema_version = min(VERSION, logon.schema_version)
    if header.version >= 13:
        session.cancel_on_disconnect = logon.cancel_on_disconnect
    if is_reset:
        session.send_sequence = 0
        session.first_sequence = 1
        session.receive_sequence = 0
    session.connection = place
    session.logons += 1
    served.session = number
    message = view(LogonConf, begin_message(exchange, Template.LOGON_CONF))
    message.heartbeat_interval_s = gateways.heartbeat_s
    message.schema_version = session.schema_version
    # Of what the client numbered before it, the confirmation names the last that came: the rest was lost. A client that
    # has not processed the last confirmation does not know yet what was lost before that one.
    if is_reset or header.last_processed >= session.confirmation_sequence:
        session.confirmed_sequence = session.receive_sequence
    session.receive_sequence = session.confirmed_sequence
    first_missing = session.receive_sequence + 1
    if header.sequence == session.receive_sequence + 1:
        session.receive_sequence = header.sequence
    session.confirmation_sequence = session.send_sequence + 1
    send_message(exchange, number, True, now_ns)
    session.receive_sequence = header.sequence
    session.missing_sequence = 0
    if not is_reset and first_missing < header.sequence:
        ask_again(exchange, number, first_missing, now_ns)


@compiled
def ask_again(exchange: StarbaseExchange, number: int, first: int, now_ns: int) -> None:
    """Ask a client for its messages from number `first` to that of its logon, which it left out."""
    session = exchange.gateways.sessions[number]
    session.missing_sequence = first
    exchange.gateways.gaps_asked += 1
    message = view(ResendRequest, begin_message(exchange, Template.RESEND_REQUEST))
    message.from_sequence = first
    message.to_sequence = session.receive_sequence - 1
    send_message(exchange, number, True, now_ns)


@compiled
def next_duty_ns(exchange: StarbaseExchange) -> int:
    """Tell when a heartbeat, a test or the end of a silent connection is due; NEVER_NS."""
    gateways = exchange.gateways
    first_ns = NEVER_NS
    for place in range(SERVED_MAX):
        served = gateways.served[place]
        if served.is_broken != 0:
            if exchange.answers.sent - exchange.answers.received < DELAY_FRAMES_MAX:
                return exchange.now_ns
        elif served.is_open != 0:
            first_ns = min(first_ns, silence_end_ns(exchange, served))
            if served.session != NONE:
                first_ns = min(first_ns, served.last_sent_ns + gateways.heartbeat_ns)
    return first_ns


@compiled
def silence_end_ns(exchange: StarbaseExchange, served: Served) -> int:
    """Tell when a silent connection is tested, or, if it was tested, ended."""
    gateways = exchange.gateways
    if served.session == NONE or served.is_testing != 0:
        return served.last_received_ns + gateways.heartbeat_ns + gateways.grace_ns
    return served.last_received_ns + gateways.heartbeat_ns + gateways.grace_ns // 2


@compiled
def do_duties(exchange: StarbaseExchange, now_ns: int) -> None:
    """Do what `next_duty_ns` announced."""
    gateways = exchange.gateways
    reset_broken(exchange, now_ns)
    for place in range(SERVED_MAX):
        served = gateways.served[place]
        if served.is_open == 0 or served.is_broken != 0:
            continue
        if silence_end_ns(exchange, served) <= now_ns:
            if served.session != NONE and served.is_testing == 0:
                served.is_testing = 1
                view(TestRequest, begin_message(exchange, Template.TEST_REQUEST)).correlation_id = now_ns
                send_message(exchange, served.session, True, now_ns)
            else:
                if served.session != NONE:
                    gateways.sessions[served.session].silenced += 1
                close_connection(exchange, place, now_ns)
        elif served.session != NONE and served.last_sent_ns + gateways.heartbeat_ns <= now_ns:
            send_heartbeat(exchange, served.session, 0, now_ns)


@compiled
def kill_connections(exchange: StarbaseExchange, gateway: int, now_ns: int) -> None:
    """Reset a gateway's connections, as when its process dies. What its sessions were sent is kept elsewhere."""
    for place in range(SERVED_MAX):
        served = exchange.gateways.served[place]
        if served.is_open != 0 and served.gateway == gateway:
            if not send_end(exchange, served, RST, now_ns):
                served.is_broken = 1
            end_connection(exchange, place, now_ns)
