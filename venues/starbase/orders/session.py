"""Starbase order session: logon, orders, and keeping the links to gateways A and B alive.

* A new order goes to the first link that is READY, A before B, never to both; what follows goes where the order went.
* The first logon resets the numbers of both directions, unless an earlier process's are known (`orders/resume.py`). A
  later one goes on from them: what the exchange sent meanwhile is asked for, and the link is READY once nothing is
  missing. Orders that the exchange says never to have received are ended as rejected (SESSION_LOST), and filled with a
  gap when it asks for them: an order is sent once.
* The gateway's rate limit is counted here too: past it new orders and amends are held back, cancels go out.
* The secret is in the logon's template and nowhere else.
"""

from crosswire.nic.duration import NS_PER_S
from crosswire.nic.memory.raw import pinned
from crosswire.nic.memory.struct import Struct, address_of, array, one, size_of, view
from crosswire.nic.packet import Flow, add_field, pair_sum
from crosswire.nic.rings.connection import connection_of, reconnect, select_stream
from crosswire.nic.rings.ring import NEVER_NS
from crosswire.nic.tcp_frames import copy_template
from crosswire.nic.unit.compile import compiled, inlined
from crosswire.venues.market import Market
from crosswire.venues.order import (
    Approval,
    TimeInForce,
)
from crosswire.venues.session import (
    LINKS_MAX,
    SessionState,
    end_session,
    heard_ns,
    keep_session,
    start_session,
    write_amend,
    write_new,
)
from crosswire.venues.side import BUY, SELL
from crosswire.venues.starbase.orders import reports  # noqa: F401  registers how the answers are read
from crosswire.venues.starbase.orders.cancels import repeat_mass_cancel
from crosswire.venues.starbase.orders.state import (
    ATTENTION_NS,
    QuotedSide,
    Refusal,
    StarbaseLink,
    StarbaseSession,
    is_waiting_for_terms,
    join_states,
    link_of_order,
    lose_link,
    remember_frame,
    remember_order,
    sent_frame,
)
from crosswire.venues.starbase.orders.templates import (
    AmendFrame,
    GapFillFrame,
    HeartbeatFrame,
    LogonFrame,
    LogoutFrame,
    NewOrderFrame,
    ResendFrame,
    build_templates,
    codes_of,
    order_codes,
    send_frame,
    stamp_and_commit,
)
from crosswire.venues.starbase.rate_limits import MESSAGE_TOKENS, PER_MS, QUOTE_TOKENS_MAX, QUOTES_PER_MS, TOKENS_MAX
from crosswire.venues.starbase.wire.order_codes import (
    FrameFlags,
    OrderFlags,
    ReplaceOrderFlags,
    SelfTradingMode,
    Template,
)
from crosswire.venues.starbase.wire.order_layout import CLIENT_ID_BYTES, SECRET_BYTES, VERSION
from crosswire.venues.starbase.wire.stream import restart_stream, set_stream
from crosswire.venues.token_bucket import set_request_bucket, take_tokens

HEARTBEAT_INTERVAL_NS = 5 * NS_PER_S  # the exchange's default, until its answer to the logon says
BACKOFF_MIN_NS = NS_PER_S
BACKOFF_MAX_NS = 30 * NS_PER_S
_RESEND = int(FrameFlags.RESEND)
_AMEND_POST_ONLY_REJECT = int(ReplaceOrderFlags.POST_ONLY_REJECT)
SILENCE_INTERVALS = 2  # without a frame, after which the connection is given up


def make_starbase_session(
    venue: int,
    market: Market,
    flows: tuple[Flow, ...],
    client_id: bytes,
    secret: bytes,
    *,
    self_match_prevention_id: int = 0,
    self_trading_mode: int = SelfTradingMode.CANCEL_TAKER,
    mmp_group_id: int = 0,
    mmp_risk_bypass: bool = False,
    tokens_per_ms: int = PER_MS,
    tokens_max: int = TOKENS_MAX,
    quote_tokens_per_ms: int = QUOTES_PER_MS,
    quote_tokens_max: int = QUOTE_TOKENS_MAX,
    backoff_min_ns: int = BACKOFF_MIN_NS,
    backoff_max_ns: int = BACKOFF_MAX_NS,
) -> StarbaseSession:
    """Make a closed session with one flow for each gateway, from the engine to the exchange, A first.

    ValueError if the key does not fit its fields, or a setting is out of range; the error never shows the key.
    """
    if not 1 <= len(flows) <= LINKS_MAX:
        raise ValueError(f"a session has 1 to {LINKS_MAX} gateways, not {len(flows)}")
    if not 1 <= len(client_id) <= CLIENT_ID_BYTES:
        raise ValueError(f"the client id must have 1 to {CLIENT_ID_BYTES} bytes, not {len(client_id)}")
    if not 1 <= len(secret) <= SECRET_BYTES:
        raise ValueError(f"the secret must have 1 to {SECRET_BYTES} bytes, not {len(secret)}")
    if not 0 < backoff_min_ns <= backoff_max_ns:
        raise ValueError(f"the backoff must be positive and rise: {backoff_min_ns} to {backoff_max_ns} ns")
    session = StarbaseSession(venue=venue, link_count=len(flows))
    session.market = one(market)
    session.quotes = array(QuotedSide, 2 * max(1, market.capacity))
    session.mmp_group_id = mmp_group_id
    # Opt-in by order, or always on: the venue's pages differ. So each order has the flag, and the logon as well.
    flags = OrderFlags.CANCEL_ON_DISCONNECT | (OrderFlags.MMP if mmp_risk_bypass else 0)
    for time_in_force in TimeInForce:
        for side in (BUY, SELL):
            session.order_codes[2 * time_in_force + side] = order_codes(side, time_in_force, flags)
    session.backoff_min_ns, session.backoff_max_ns = backoff_min_ns, backoff_max_ns
    for number, (link, flow) in enumerate(zip(session.links, flows, strict=False)):
        link.number = number
        set_stream(link.stream, flow, is_exchange=False)
        link.heartbeat_interval_ns = HEARTBEAT_INTERVAL_NS
        link.backoff_ns = backoff_min_ns
        set_request_bucket(link.tokens, tokens_per_ms, tokens_max, owes=True)
        set_request_bucket(link.quote_tokens, quote_tokens_per_ms, quote_tokens_max, owes=True)
        link.templates.logon = LogonFrame()
        logon, new_order = link.templates.logon.message, link.templates.new_order.message
        for field, text in ((logon.client_id, client_id), (logon.secret, secret)):
            for position, byte in enumerate(text):
                field[position] = byte
        logon.schema_version = VERSION
        logon.cancel_on_disconnect = 1
        new_order.self_match_prevention_id = self_match_prevention_id
        new_order.self_trading_mode = self_trading_mode
        build_templates(link.templates, flow)
    return session


@start_session.register(StarbaseSession)
def start_starbase_session(session: StarbaseSession, ring: Struct, now_ns: int) -> None:
    session.started = 1
    session.state = SessionState.LOGGING_ON
    keep_session(session, ring, now_ns)


@keep_session.register(StarbaseSession)
def keep_starbase_session(session: StarbaseSession, ring: Struct, now_ns: int) -> int:
    if session.started == 0:
        return NEVER_NS
    due_ns = NEVER_NS
    session.keep_due = 0
    for number in range(session.link_count):
        due_ns = min(due_ns, keep_link(session, ring, number, now_ns))
    session.late_ns = 0
    join_states(session)
    if session.awaits_account != 0:
        due_ns = min(due_ns, now_ns + ATTENTION_NS)
    return due_ns


@compiled
def keep_link(session: StarbaseSession, ring: Struct, number: int, now_ns: int) -> int:
    """Do what one link needs by the clock; return when it wants to be looked at next, ns."""
    link = session.links[number]
    if link.refusal != Refusal.NONE or (link.logging_out != 0 and link.state != SessionState.LOGGING_ON):
        return NEVER_NS
    link.last_received_ns = heard_ns(session, link.last_received_ns, now_ns)
    link.deadline_ns += max(0, session.late_ns)
    connection = connection_of(ring, number)
    if connection != link.connection:
        link.connection = connection
        if connection == 0:
            lose_link(session, link, Refusal.NONE, now_ns)
        else:
            restart_stream(link.stream)
            link.state = SessionState.CLOSED
    select_stream(ring, number)
    if link.state == SessionState.CLOSED and connection != 0 and not is_waiting_for_terms(session):
        _log_on(session, link, ring, now_ns)
    if link.state == SessionState.LOST and now_ns >= link.reconnect_ns and link.logging_out == 0:
        reconnect(ring, number, now_ns)
        link.reconnect_ns = now_ns + link.backoff_ns
        link.backoff_ns = min(2 * link.backoff_ns, session.backoff_max_ns)
    if link.state == SessionState.LOGGING_ON and now_ns >= link.deadline_ns:
        lose_link(session, link, Refusal.NONE, now_ns)
    if link.state == SessionState.READY:
        _watch_silence(session, link, ring, now_ns)
    if link.state == SessionState.READY or _is_recovering(link):
        _answer(session, link, ring, now_ns)
        _beat(session, link, ring, now_ns)
    if link.state != SessionState.READY:
        return now_ns + ATTENTION_NS
    again_ns = repeat_mass_cancel(session, ring, number, now_ns)
    patience_ns = (
        link.heartbeat_interval_ns if link.test_requested == 0 else SILENCE_INTERVALS * link.heartbeat_interval_ns
    )
    # Half an interval: the exchange allows for about one without a frame.
    next_ns = min(link.last_sent_ns + link.heartbeat_interval_ns // 2, link.last_received_ns + patience_ns)
    return max(now_ns + ATTENTION_NS, min(next_ns, again_ns))


@compiled
def _is_recovering(link: StarbaseLink) -> bool:
    """Tell whether the link is logged on, and waiting for frames that are missing."""
    return link.state == SessionState.LOGGING_ON and link.confirmed != 0 and link.logging_out == 0


@compiled
def _log_on(session: StarbaseSession, link: StarbaseLink, ring: Struct, now_ns: int) -> None:
    slot = copy_template(ring, link.templates.logon, size_of(LogonFrame))
    if slot == 0:
        session.ring_full += 1
        return
    reset = 0
    if link.logons == 0:
        # Also when an earlier one was never answered: it is not known whether that one was received.
        reset = 1
        link.stream.send_sequence = 0
        link.stream.receive_sequence = 0
    view(LogonFrame, slot).message.reset_sequence = reset
    send_frame(link.stream, ring, slot, size_of(LogonFrame), link.templates.logon_sum, reset, now_ns)
    sent_frame(session, link, now_ns)
    link.state = SessionState.LOGGING_ON
    link.confirmed = 0
    link.recover_to = 0
    link.logon_sequence = link.stream.send_sequence
    link.last_received_ns = now_ns
    link.deadline_ns = now_ns + SILENCE_INTERVALS * link.heartbeat_interval_ns


@compiled
def _watch_silence(session: StarbaseSession, link: StarbaseLink, ring: Struct, now_ns: int) -> None:
    """Ask an exchange that says nothing whether it is there, then give it up."""
    silent_ns = now_ns - link.last_received_ns
    if silent_ns >= SILENCE_INTERVALS * link.heartbeat_interval_ns:
        session.silences += 1
        lose_link(session, link, Refusal.NONE, now_ns)
    elif silent_ns >= link.heartbeat_interval_ns and link.test_requested == 0:
        slot = copy_template(ring, link.templates.test_request, size_of(HeartbeatFrame))
        if slot == 0:
            session.ring_full += 1
            return
        session.correlation += 1
        view(HeartbeatFrame, slot).message.correlation_id = session.correlation
        constant_sum = link.templates.test_request_sum
        send_frame(link.stream, ring, slot, size_of(HeartbeatFrame), constant_sum, session.correlation, now_ns)
        sent_frame(session, link, now_ns)
        link.test_requested = 1


@compiled
def _answer(session: StarbaseSession, link: StarbaseLink, ring: Struct, now_ns: int) -> None:
    """Answer what the exchange asked for, and ask what is to be asked of it."""
    if link.gap_fill_from != 0:
        slot = copy_template(ring, link.templates.gap_fill, size_of(GapFillFrame))
        if slot == 0:
            session.ring_full += 1
            return
        # It takes the place of the first frame that it fills, and no number of its own.
        frame = view(GapFillFrame, slot)
        frame.header.flags = _RESEND
        new_sequence = link.stream.send_sequence + 1
        frame.message.new_sequence = new_sequence
        stamp_and_commit(
            link.stream,
            ring,
            slot,
            size_of(GapFillFrame),
            link.templates.gap_fill_sum,
            add_field(new_sequence, pair_sum(0, _RESEND)),
            link.gap_fill_from,
            now_ns,
        )
        sent_frame(session, link, now_ns)
        link.gap_fill_from = 0
        link.gaps_filled += 1
    if link.resend_due != 0:
        slot = copy_template(ring, link.templates.resend, size_of(ResendFrame))
        if slot == 0:
            session.ring_full += 1
            return
        from_sequence = link.stream.receive_sequence + 1
        view(ResendFrame, slot).message.from_sequence = from_sequence  # to_sequence 0: all from there on
        constant_sum = link.templates.resend_sum
        send_frame(link.stream, ring, slot, size_of(ResendFrame), constant_sum, from_sequence, now_ns)
        sent_frame(session, link, now_ns)
        link.resend_due = 0


@compiled
def _beat(session: StarbaseSession, link: StarbaseLink, ring: Struct, now_ns: int) -> None:
    """Send a heartbeat if one was asked for, or nothing else was sent."""
    is_idle = now_ns - link.last_sent_ns >= link.heartbeat_interval_ns // 2
    if link.answers_due == 0 and not is_idle:
        return
    slot = copy_template(ring, link.templates.heartbeat, size_of(HeartbeatFrame))
    if slot == 0:
        session.ring_full += 1
        return
    correlation_id = link.answer_correlation_id if link.answers_due != 0 else 0
    view(HeartbeatFrame, slot).message.correlation_id = correlation_id
    constant_sum = link.templates.heartbeat_sum
    send_frame(link.stream, ring, slot, size_of(HeartbeatFrame), constant_sum, correlation_id, now_ns)
    sent_frame(session, link, now_ns)
    link.answers_due = 0


@inlined
def _begin_order(
    session: StarbaseSession, link: StarbaseLink, ring: Struct, number: int, template: Struct, length: int, now_ns: int
) -> int:
    """Copy a template that takes tokens into a slot of the link's stream; 0, and counted, if the order has to wait."""
    if not take_tokens(link.tokens, MESSAGE_TOKENS, now_ns):
        session.throttled += 1
        return 0
    select_stream(ring, number)
    slot = copy_template(ring, template, length)
    if slot == 0:
        session.ring_full += 1
    return slot


@write_new.register(StarbaseSession)
def write_starbase_new(session: StarbaseSession, ring: Struct, approval: Approval, now_ns: int) -> bool:
    if approval.armed == 0:
        session.unarmed += 1
        return False
    approval.armed = 0
    number = session.order_link
    if number < 0:
        return False
    instrument = session.market[0].instruments[approval.instrument]
    instrument_id = instrument.venue_id
    if instrument_id < 0:
        session.undefined += 1
        return False
    link = view(StarbaseLink, pinned(address_of(session.links[number])))
    slot = _begin_order(session, link, ring, number, link.templates.new_order, size_of(NewOrderFrame), now_ns)
    if slot == 0:
        return False
    client_order_id = approval.client_order_id
    price_e9 = approval.price_ticks * instrument.tick_e9
    quantity_e9 = approval.qty_lots * instrument.lot_e9
    codes = session.order_codes[2 * approval.time_in_force + approval.side]
    message = view(NewOrderFrame, slot).message
    message.client_order_id = client_order_id
    message.correlation_id = client_order_id
    message.instrument_id = instrument_id
    message.price_e9 = price_e9
    message.quantity.mantissa = quantity_e9
    codes_of(message).word = codes
    fields_sum = add_field(add_field(client_order_id, client_order_id), instrument_id)
    fields_sum = add_field(add_field(add_field(fields_sum, price_e9), quantity_e9), codes)
    send_frame(link.stream, ring, slot, size_of(NewOrderFrame), link.templates.new_order_sum, fields_sum, now_ns)
    sent_frame(session, link, now_ns)
    remember_frame(link, Template.NEW_ORDER_REQUEST, client_order_id)
    remember_order(session, approval, number)
    session.orders_sent += 1
    link.mass_cancelled = 0
    return True


@write_amend.register(StarbaseSession)
def write_starbase_amend(session: StarbaseSession, ring: Struct, approval: Approval, now_ns: int) -> bool:
    if approval.armed == 0:
        session.unarmed += 1
        return False
    approval.armed = 0
    client_order_id = approval.client_order_id
    number = link_of_order(session, client_order_id)
    if number < 0:
        return False
    link = session.links[number]
    slot = _begin_order(session, link, ring, number, link.templates.amend, size_of(AmendFrame), now_ns)
    if slot == 0:
        return False
    instrument = session.market[0].instruments[approval.instrument]
    instrument_id = instrument.venue_id
    price_e9 = approval.price_ticks * instrument.tick_e9
    quantity_e9 = approval.qty_lots * instrument.lot_e9
    flags = 0
    if approval.time_in_force == TimeInForce.POST_ONLY:
        flags = _AMEND_POST_ONLY_REJECT
    message = view(AmendFrame, slot).message
    message.client_order_id = client_order_id
    message.correlation_id = client_order_id
    message.instrument_id = instrument_id
    message.price_e9 = price_e9
    message.quantity.mantissa = quantity_e9
    message.flags = flags
    fields_sum = add_field(add_field(client_order_id, client_order_id), instrument_id)
    fields_sum = add_field(add_field(add_field(fields_sum, price_e9), quantity_e9), flags)
    send_frame(link.stream, ring, slot, size_of(AmendFrame), link.templates.amend_sum, fields_sum, now_ns)
    sent_frame(session, link, now_ns)
    remember_frame(link, Template.AMEND_ORDER_REQUEST, client_order_id)
    session.amends_sent += 1
    return True


@end_session.register(StarbaseSession)
def end_starbase_session(session: StarbaseSession, ring: Struct, now_ns: int) -> None:
    """Log out of every link; the exchange cancels the orders then, and what it says of them is still read."""
    for number in range(session.link_count):
        link = session.links[number]
        if link.state == SessionState.READY or link.state == SessionState.LOGGING_ON:
            select_stream(ring, number)
            slot = copy_template(ring, link.templates.logout, size_of(LogoutFrame))
            if slot == 0:
                session.ring_full += 1
            else:
                send_frame(link.stream, ring, slot, size_of(LogoutFrame), link.templates.logout_sum, 0, now_ns)
                sent_frame(session, link, now_ns)
            link.state = SessionState.LOGGING_ON
            link.deadline_ns = now_ns + link.heartbeat_interval_ns
        link.logging_out = 1
    session.ended = 1
    join_states(session)
