"""Order session of the bridge, the engine's side: pre-built frames that are patched and sent (`nic/tcp_frames.py`).

A session that is lost has the ring make another connection, after a backoff, and logs on again. It is READY once the
exchange has told its account: the fills behind the last one that was told, what is open and what is held.
"""

from enum import IntEnum
from typing import Annotated

from crosswire.nic.duration import NS_PER_MS, NS_PER_S
from crosswire.nic.memory.struct import Pointer, Struct, clear_struct, i64, one, size_of, view
from crosswire.nic.packet import Flow, Packet, TcpFrame, add_field
from crosswire.nic.rings.connection import connection_of, reconnect
from crosswire.nic.rings.ring import NEVER_NS
from crosswire.nic.tcp_frames import build_template, commit_template, copy_template, set_connection
from crosswire.nic.unit.compile import compiled, inlined
from crosswire.venues.bridge.orders.stream import (
    MessageStream,
    StreamFault,
    length_of,
    next_message,
    open_segment,
    restart_stream,
    stamp_header,
    write_header,
)
from crosswire.venues.bridge.wire.order_layout import (
    SILENCE_INTERVALS,
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
from crosswire.venues.byte_stream import end_stream
from crosswire.venues.market import InstrumentMap, Market, is_defined, learn_instrument
from crosswire.venues.order import (
    NO_INSTRUMENT,
    NOT_TOLD,
    REPORTS_MAX,
    STRANGE_INSTRUMENT,
    Approval,
    RejectReason,
    Report,
    ReportKind,
    Reports,
)
from crosswire.venues.session import (
    Session,
    SessionState,
    end_session,
    heard_ns,
    keep_session,
    read_reports,
    start_session,
    write_amend,
    write_cancel,
    write_mass_cancel,
    write_new,
)

LOGON_RETRY_NS = NS_PER_MS  # the ring had no slot for the logon
DEFINITIONS_NS = NS_PER_MS  # between two looks whether the feed has defined all instruments
CONNECTING_NS = NS_PER_MS  # between two looks whether the connection is there
BACKOFF_MIN_NS = NS_PER_S  # before the first attempt at another connection; doubled for each that follows
BACKOFF_MAX_NS = 30 * NS_PER_S
_BAD_LOGON, _DISPLACED = int(LogoutReason.BAD_LOGON), int(LogoutReason.DISPLACED)


class Loss(IntEnum):
    """Why the session was lost."""

    NONE = 0  # it never was
    SILENCE = 1
    HUNG_UP = 2  # the connection ended, or what came on it could not be believed
    LOGGED_OUT = 3  # the exchange said so: `logout_reason`
    OVERRUN = 4  # more reports at once than there is room for
    OLD_VERSION = 5  # the exchange speaks an older version of the protocol


class LogonFrame(TcpFrame, packed=True):
    message: Logon


class HeartbeatFrame(TcpFrame, packed=True):
    message: Heartbeat


class NewOrderFrame(TcpFrame, packed=True):
    message: NewOrder


class AmendFrame(TcpFrame, packed=True):
    message: AmendOrder


class CancelFrame(TcpFrame, packed=True):
    message: CancelOrder


class MassCancelFrame(TcpFrame, packed=True):
    message: MassCancel


class AccountQueryFrame(TcpFrame, packed=True):
    message: AccountQuery


class BridgeSession(Session):
    """One session with a bridge. `*_sum` is the unfolded TCP checksum of a template without what is patched."""

    session_id: i64
    heartbeat_interval_ns: i64
    mass_cancels_done: i64  # answered by the exchange
    undefined: i64  # orders not sent because the feed had not yet defined their instrument
    unexpected: i64  # messages that only a client may send, or a logon answered twice
    logout_reason: i64  # LogoutReason of the last one
    loss: i64  # Loss, the last one
    connection: i64  # the ring's number of the connection that it has logged on over
    is_bound: i64  # 1: the ring knows of no connections, so it can't make another
    is_connecting: i64  # 1: another connection was asked for
    reconnect_ns: i64  # when another is to be asked for
    backoff_ns: i64  # from a loss, or an attempt, to the next attempt
    is_accepted: i64  # 1: the exchange has answered the logon
    asks_account: i64  # 1: READY only when the exchange has told its account of us
    account_due: i64  # 1: the question is to be sent
    known_execution_id: i64  # of the last fill that was told
    accounts_told: i64
    requests_sent: i64  # new orders and amends over this connection
    market: Annotated[Pointer, Market]  # one
    map: InstrumentMap  # the venue's instrument ids, learnt from the market as they are needed
    stream: MessageStream
    logon_sum: i64
    heartbeat_sum: i64
    new_order_sum: i64
    amend_sum: i64
    cancel_sum: i64
    mass_cancel_sum: i64
    account_query_sum: i64
    logon: LogonFrame
    heartbeat: HeartbeatFrame
    new_order: NewOrderFrame
    amend: AmendFrame
    cancel: CancelFrame
    mass_cancel: MassCancelFrame
    account_query: AccountQueryFrame


def make_bridge_session(
    venue: int, market: Market, flow: Flow, session_id: int, heartbeat_interval_ms: int, first_byte: int = 0
) -> BridgeSession:
    """Make a closed session over an established connection: the next byte of both directions is `first_byte`.

    `flow` goes from the engine to the exchange. ValueError if the heartbeat interval is not in 1 .. 60,000 ms.
    """
    if not 1 <= heartbeat_interval_ms <= 60_000:
        raise ValueError(f"heartbeat_interval_ms must be in 1..60000, not {heartbeat_interval_ms}")
    session = BridgeSession(venue=venue, session_id=session_id, backoff_ns=BACKOFF_MIN_NS)
    session.heartbeat_interval_ns = heartbeat_interval_ms * NS_PER_MS
    session.market = one(market)
    set_connection(session.stream.connection, flow, first_byte)
    session.logon.message.session_id = session_id
    session.logon.message.heartbeat_interval_ms = heartbeat_interval_ms
    session.logon_sum = _build(session.logon, session.logon.message.header, flow, Template.LOGON)
    session.heartbeat_sum = _build(session.heartbeat, session.heartbeat.message.header, flow, Template.HEARTBEAT)
    session.new_order_sum = _build(session.new_order, session.new_order.message.header, flow, Template.NEW_ORDER)
    session.amend_sum = _build(session.amend, session.amend.message.header, flow, Template.AMEND_ORDER)
    session.cancel_sum = _build(session.cancel, session.cancel.message.header, flow, Template.CANCEL_ORDER)
    session.mass_cancel_sum = _build(
        session.mass_cancel, session.mass_cancel.message.header, flow, Template.MASS_CANCEL
    )
    session.account_query_sum = _build(
        session.account_query, session.account_query.message.header, flow, Template.ACCOUNT_QUERY
    )
    return session


def ask_account(session: BridgeSession, execution_id: int) -> None:
    """Have the session ask for the account, and all fills after this one, before it is READY."""
    session.asks_account = 1
    session.known_execution_id = execution_id


def _build(frame: TcpFrame, header: MessageHeader, flow: Flow, template_id: int) -> int:
    """Fill in all of a template that never changes; returns its TCP checksum's sum over just that, unfolded."""
    length = length_of(template_id)
    write_header(header, template_id, length)
    return build_template(frame, flow, length)


@inlined
def _send(
    session: BridgeSession, ring: Struct, slot: int, length: int, constant_sum: int, fields_sum: int, now_ns: int
) -> None:
    """Stamp and commit the frame in `slot`: a copy of a template; `fields_sum` is of the fields patched already."""
    stream = session.stream
    stamp_header(stream, view(MessageHeader, slot + size_of(TcpFrame)), now_ns)
    fields_sum = add_field(add_field(fields_sum, stream.send_sequence), now_ns)
    commit_template(stream.connection, ring, slot, length, constant_sum, fields_sum, now_ns)
    session.frames_sent += 1
    session.numbers[0] = stream.send_sequence
    session.last_sent_ns = now_ns


@start_session.register(BridgeSession)
def start_bridge_session(session: BridgeSession, ring: Struct, now_ns: int) -> None:
    slot = copy_template(ring, session.logon, size_of(LogonFrame))
    if slot == 0:
        session.ring_full += 1
        return
    session.connection = connection_of(ring, 0)
    session.requests_sent = 0
    session.is_bound = 1 if session.connection == 0 else 0
    session.state = SessionState.LOGGING_ON
    session.last_received_ns = now_ns
    _send(session, ring, slot, size_of(LogonFrame), session.logon_sum, 0, now_ns)


@write_new.register(BridgeSession)
def write_bridge_new(session: BridgeSession, ring: Struct, approval: Approval, now_ns: int) -> bool:
    if approval.armed == 0:
        session.unarmed += 1
        return False
    approval.armed = 0
    if session.state != SessionState.READY:
        return False
    instrument_id = session.market[0].instruments[approval.instrument].venue_id
    if instrument_id < 0:
        session.undefined += 1
        return False
    slot = copy_template(ring, session.new_order, size_of(NewOrderFrame))
    if slot == 0:
        session.ring_full += 1
        return False
    message = view(NewOrderFrame, slot).message
    message.client_order_id = approval.client_order_id
    message.price_ticks = approval.price_ticks
    message.qty_lots = approval.qty_lots
    message.instrument_id = instrument_id
    message.side = approval.side
    message.time_in_force = approval.time_in_force
    fields_sum = add_field(add_field(approval.client_order_id, approval.price_ticks), approval.qty_lots)
    fields_sum = add_field(fields_sum, instrument_id + approval.side + (approval.time_in_force << 8))
    _send(session, ring, slot, size_of(NewOrderFrame), session.new_order_sum, fields_sum, now_ns)
    session.orders_sent += 1
    session.requests_sent += 1
    return True


@write_amend.register(BridgeSession)
def write_bridge_amend(session: BridgeSession, ring: Struct, approval: Approval, now_ns: int) -> bool:
    if approval.armed == 0:
        session.unarmed += 1
        return False
    approval.armed = 0
    if session.state != SessionState.READY:
        return False
    slot = copy_template(ring, session.amend, size_of(AmendFrame))
    if slot == 0:
        session.ring_full += 1
        return False
    message = view(AmendFrame, slot).message
    instrument_id = session.market[0].instruments[approval.instrument].venue_id
    message.client_order_id = approval.client_order_id
    message.price_ticks = approval.price_ticks
    message.qty_lots = approval.qty_lots
    message.instrument_id = instrument_id
    fields_sum = add_field(add_field(approval.client_order_id, approval.price_ticks), approval.qty_lots)
    fields_sum = add_field(fields_sum, instrument_id)
    _send(session, ring, slot, size_of(AmendFrame), session.amend_sum, fields_sum, now_ns)
    session.requests_sent += 1
    return True


@write_cancel.register(BridgeSession)
def write_bridge_cancel(
    session: BridgeSession, ring: Struct, client_order_id: int, instrument: int, now_ns: int
) -> bool:
    if session.state != SessionState.READY:
        return False
    slot = copy_template(ring, session.cancel, size_of(CancelFrame))
    if slot == 0:
        session.ring_full += 1
        return False
    message = view(CancelFrame, slot).message
    instrument_id = session.market[0].instruments[instrument].venue_id
    message.client_order_id = client_order_id
    message.instrument_id = instrument_id
    fields_sum = add_field(client_order_id, instrument_id)
    _send(session, ring, slot, size_of(CancelFrame), session.cancel_sum, fields_sum, now_ns)
    session.cancels_sent += 1
    return True


@write_mass_cancel.register(BridgeSession)
def write_bridge_mass_cancel(session: BridgeSession, ring: Struct, now_ns: int) -> bool:
    if session.state != SessionState.READY:
        return False
    slot = copy_template(ring, session.mass_cancel, size_of(MassCancelFrame))
    if slot == 0:
        session.ring_full += 1
        return False
    _send(session, ring, slot, size_of(MassCancelFrame), session.mass_cancel_sum, 0, now_ns)
    session.cancels_sent += 1
    return True


@end_session.register(BridgeSession)
def end_bridge_session(session: BridgeSession, _ring: Struct, _now_ns: int) -> None:
    """Say nothing: the end of the connection is goodbye enough."""
    session.state = SessionState.ENDED


@keep_session.register(BridgeSession)
def keep_bridge_session(session: BridgeSession, ring: Struct, now_ns: int) -> int:
    if session.state == SessionState.CLOSED:
        return now_ns + LOGON_RETRY_NS
    if session.state == SessionState.LOST:
        return _come_back(session, ring, now_ns)
    if session.state != SessionState.READY and session.state != SessionState.LOGGING_ON:
        return NEVER_NS
    session.last_received_ns = heard_ns(session, session.last_received_ns, now_ns)
    silent_ns = session.last_received_ns + SILENCE_INTERVALS * session.heartbeat_interval_ns
    if now_ns >= silent_ns:
        session.silences += 1
        _lose(session, Loss.SILENCE, now_ns)
        return _come_back(session, ring, now_ns)
    _note_numbers(session)
    session.keep_due = 0
    if session.state == SessionState.LOGGING_ON and session.is_accepted == 0:
        return min(silent_ns, now_ns + session.heartbeat_interval_ns)
    if now_ns >= session.last_sent_ns + session.heartbeat_interval_ns:
        slot = copy_template(ring, session.heartbeat, size_of(HeartbeatFrame))
        if slot == 0:
            session.ring_full += 1
        else:
            _send(session, ring, slot, size_of(HeartbeatFrame), session.heartbeat_sum, 0, now_ns)
    if session.account_due != 0:
        if not is_defined(session.market[0], session.venue):
            return min(silent_ns, now_ns + DEFINITIONS_NS)
        _send_account_query(session, ring, now_ns)
    # A full ring is tried again after an interval: the peer allows for SILENCE_INTERVALS of them.
    return min(silent_ns, max(now_ns, session.last_sent_ns) + session.heartbeat_interval_ns)


@compiled
def _lose(session: BridgeSession, loss: int, now_ns: int) -> None:
    """Note that the session is over; what still comes on its connection is read until there is another."""
    if session.state == SessionState.LOST or session.state == SessionState.ENDED:
        return
    session.state = SessionState.LOST
    session.loss = loss
    session.is_connecting = 0
    session.reconnect_ns = now_ns + session.backoff_ns
    session.keep_due = 1


@compiled
def stays_lost(session: BridgeSession) -> bool:
    """Tell whether a lost session makes no attempt to come back."""
    is_refused = session.logout_reason == _BAD_LOGON or session.logout_reason == _DISPLACED
    return session.is_bound != 0 or is_refused or session.loss == Loss.OLD_VERSION


@compiled
def _come_back(session: BridgeSession, ring: Struct, now_ns: int) -> int:
    """Ask for another connection when that is due, and log on once it is there; return when to look again, ns."""
    session.keep_due = 0
    if stays_lost(session):
        return NEVER_NS
    connection = connection_of(ring, 0)
    if connection != 0 and connection != session.connection:
        restart_stream(session.stream)
        session.asks_account = 1  # who knows what was filled meanwhile
        session.is_accepted = 0
        start_session(session, ring, now_ns)
        _note_numbers(session)
        return now_ns + CONNECTING_NS
    if now_ns >= session.reconnect_ns:
        reconnect(ring, 0, now_ns)
        session.is_connecting = 1
        session.backoff_ns = min(2 * session.backoff_ns, BACKOFF_MAX_NS)
        session.reconnect_ns = now_ns + session.backoff_ns
    return min(session.reconnect_ns, now_ns + CONNECTING_NS) if session.is_connecting != 0 else session.reconnect_ns


def explain(session: BridgeSession) -> str:
    """Say why a lost session was lost, and whether it comes back; "" of any other."""
    if session.state != SessionState.LOST:
        return ""
    if session.loss == Loss.LOGGED_OUT or session.logout_reason in (_BAD_LOGON, _DISPLACED):
        name = LogoutReason(session.logout_reason).name if session.logout_reason in set(LogoutReason) else "unknown"
        reason = f"the exchange logged us out: {name.lower().replace('_', ' ')}"
    elif session.loss == Loss.SILENCE:
        reason = "the gateway went silent"
    elif session.loss == Loss.OLD_VERSION:
        reason = (
            f"the gateway speaks a version of the order protocol before {VERSION}: run the same release at both ends"
        )
    elif session.loss == Loss.OVERRUN:
        reason = "the gateway said more at once than there is room for"
    else:
        reason = "the gateway hung up or broke the protocol"
    if session.is_bound:
        return f"{reason}; its ring can make no other connection: nothing more is sent there"
    return f"{reason}; nothing more is sent there" if stays_lost(session) else f"{reason}; connecting again"


@compiled
def _send_account_query(session: BridgeSession, ring: Struct, now_ns: int) -> None:
    slot = copy_template(ring, session.account_query, size_of(AccountQueryFrame))
    if slot == 0:
        session.ring_full += 1
        return
    view(AccountQueryFrame, slot).message.execution_id = session.known_execution_id
    constant_sum = session.account_query_sum
    _send(session, ring, slot, size_of(AccountQueryFrame), constant_sum, session.known_execution_id, now_ns)
    session.account_due = 0


@read_reports.register(BridgeSession)
def read_bridge_reports(session: BridgeSession, packet: Packet, reports: Reports) -> None:
    stream = session.stream
    had_ended = stream.ended
    is_read = open_segment(stream, packet)
    if is_read:
        session.frames_received += 1
        session.last_received_ns = packet.time_ns
        address = next_message(stream)
        while address != 0:
            if reports.count == REPORTS_MAX:
                # What was not heard is asked for again: nothing behind it is read either.
                reports.dropped += 1
                _lose(session, Loss.OVERRUN, packet.time_ns)
                end_stream(stream)
                break
            _read_message(session, address, reports)
            address = next_message(stream)
    if stream.ended != had_ended or (not is_read and packet.payload_length > 0):
        session.bad_frames += 1
    if stream.ended != 0:
        is_old = stream.faults[StreamFault.OLD_VERSION] != 0
        _lose(session, Loss.OLD_VERSION if is_old else Loss.HUNG_UP, packet.time_ns)
    _note_numbers(session)


@compiled
def _note_numbers(session: BridgeSession) -> None:
    session.numbers[0] = session.stream.send_sequence
    session.numbers[1] = session.stream.receive_sequence


@compiled
def _read_message(session: BridgeSession, address: int, reports: Reports) -> None:
    """Read one whole message at `address`, as long as its kind demands."""
    template_id = view(MessageHeader, address).template_id
    if template_id == Template.ORDER_ACK:
        _read_ack(session, view(OrderAck, address), reports)
    elif template_id == Template.ORDER_FILL:
        _read_fill(session, view(OrderFill, address), reports)
    elif template_id == Template.ORDER_CANCELLED:
        _read_cancelled(session, view(OrderCancelled, address), reports)
    elif template_id == Template.ORDER_REJECT:
        _read_reject(session, view(OrderReject, address), reports)
    elif template_id == Template.CANCEL_REJECT:
        _read_refusal(session, ReportKind.CANCEL_REJECTED, view(CancelReject, address), reports)
    elif template_id == Template.ORDER_AMENDED:
        _read_amended(session, view(OrderAmended, address), reports)
    elif template_id == Template.AMEND_REJECT:
        _read_refusal(session, ReportKind.AMEND_REJECTED, view(AmendReject, address), reports)
    elif template_id == Template.LOGON_ACK:
        if session.state == SessionState.LOGGING_ON and view(LogonAck, address).session_id == session.session_id:
            session.is_accepted = 1
            if session.asks_account == 0:
                session.state = SessionState.READY
            else:
                session.account_due = session.keep_due = 1
        else:
            session.unexpected += 1
    elif template_id == Template.LOGOUT:
        session.logout_reason = view(Logout, address).reason
        _lose(session, Loss.LOGGED_OUT, session.last_received_ns)
    elif template_id == Template.ORDER_LIMIT:
        _read_limit(session, view(OrderLimit, address))
    elif template_id == Template.MASS_CANCEL_ACK:
        session.mass_cancels_done += 1
    elif template_id == Template.ACCOUNT_ORDER:
        _read_account_order(session, view(AccountOrder, address), reports)
    elif template_id == Template.ACCOUNT_POSITION:
        _read_account_position(session, view(AccountPosition, address), reports)
    elif template_id == Template.ACCOUNT_END:
        _read_account_end(session, view(AccountEnd, address), reports)
    elif template_id != Template.HEARTBEAT:
        session.unexpected += 1


@compiled
def _add_report(
    session: BridgeSession, reports: Reports, kind: int, client_order_id: int, exchange_time_ns: int
) -> Report:
    """Take the next report, which is free."""
    reports.count += 1
    report = reports.items[reports.count - 1]
    clear_struct(report)
    report.leaves_lots = report.filled_lots = NOT_TOLD
    report.kind = kind
    report.venue = session.venue
    report.client_order_id = client_order_id
    report.exchange_time_ns = exchange_time_ns
    report.instrument = NO_INSTRUMENT
    return report


@compiled
def _market_index(session: BridgeSession, instrument_id: int) -> int:
    """Return the market index of one of the venue's instrument ids; 0 names none."""
    index = learn_instrument(session.map, session.market[0], session.venue, instrument_id)
    if index >= 0:
        return index
    return NO_INSTRUMENT if instrument_id == 0 else STRANGE_INSTRUMENT


@compiled
def _known_reason(code: int) -> int:
    return code if code < RejectReason.OTHER else RejectReason.OTHER


@compiled
def _read_ack(session: BridgeSession, message: OrderAck, reports: Reports) -> None:
    report = _add_report(session, reports, ReportKind.ACK, message.client_order_id, message.exchange_time_ns)
    report.exchange_order_id = message.exchange_order_id
    report.instrument = _market_index(session, message.instrument_id)
    report.side = message.side


@compiled
def _read_fill(session: BridgeSession, message: OrderFill, reports: Reports) -> None:
    report = _add_report(session, reports, ReportKind.FILL, message.client_order_id, message.exchange_time_ns)
    report.exchange_order_id = message.exchange_order_id
    report.execution_id = message.execution_id
    session.known_execution_id = max(session.known_execution_id, message.execution_id)
    report.instrument = _market_index(session, message.instrument_id)
    report.side = message.side
    report.price_ticks = message.price_ticks
    report.qty_lots = message.qty_lots
    report.leaves_lots = message.leaves_lots
    report.fee_e9 = message.fee_e9
    report.is_maker = message.is_maker


@compiled
def _read_cancelled(session: BridgeSession, message: OrderCancelled, reports: Reports) -> None:
    report = _add_report(session, reports, ReportKind.CANCELLED, message.client_order_id, message.exchange_time_ns)
    report.exchange_order_id = message.exchange_order_id
    report.instrument = _market_index(session, message.instrument_id)
    report.side = message.side
    report.leaves_lots = message.leaves_lots
    report.reason = _known_reason(message.reason)


@compiled
def _read_reject(session: BridgeSession, message: OrderReject, reports: Reports) -> None:
    report = _add_report(session, reports, ReportKind.REJECTED, message.client_order_id, message.exchange_time_ns)
    report.instrument = _market_index(session, message.instrument_id)
    report.side = message.side
    report.reason = _known_reason(message.reason)


@compiled
def _read_amended(session: BridgeSession, message: OrderAmended, reports: Reports) -> None:
    report = _add_report(session, reports, ReportKind.AMENDED, message.client_order_id, message.exchange_time_ns)
    report.exchange_order_id = message.exchange_order_id
    report.instrument = _market_index(session, message.instrument_id)
    report.side = message.side
    report.price_ticks = message.price_ticks
    report.qty_lots = message.qty_lots


@compiled
def _read_refusal(session: BridgeSession, kind: int, message: CancelReject | AmendReject, reports: Reports) -> None:
    report = _add_report(session, reports, kind, message.client_order_id, message.exchange_time_ns)
    report.reason = _known_reason(message.reason)


@compiled
def _read_limit(session: BridgeSession, message: OrderLimit) -> None:
    under_way = max(0, session.requests_sent - message.counted)
    session.orders_left = max(0, message.left - under_way)
    session.tells_left = 1


@compiled
def _read_account_order(session: BridgeSession, message: AccountOrder, reports: Reports) -> None:
    report = _add_report(session, reports, ReportKind.OPEN, message.client_order_id, message.exchange_time_ns)
    report.exchange_order_id = message.exchange_order_id
    report.instrument = _market_index(session, message.instrument_id)
    report.side = message.side
    report.price_ticks = message.price_ticks
    report.leaves_lots = message.leaves_lots


@compiled
def _read_account_position(session: BridgeSession, message: AccountPosition, reports: Reports) -> None:
    report = _add_report(session, reports, ReportKind.HOLDING, 0, message.exchange_time_ns)
    report.instrument = _market_index(session, message.instrument_id)
    report.qty_lots = message.position_lots


@compiled
def _read_account_end(session: BridgeSession, message: AccountEnd, reports: Reports) -> None:
    """Ask again while there are more fills; a hole among them is for the account to find: its positions tell."""
    is_asked = session.asks_account != 0 and session.is_accepted != 0 and session.account_due == 0
    if session.state != SessionState.LOGGING_ON or not is_asked:
        session.unexpected += 1
        return
    if message.more != 0:
        session.account_due = session.keep_due = 1
        return
    report = _add_report(session, reports, ReportKind.ACCOUNT_END, message.client_order_id, message.exchange_time_ns)
    report.execution_id = message.execution_id
    report.qty_lots = message.open_orders
    report.reason = message.missing
    session.accounts_told += 1
    session.known_execution_id = message.execution_id
    session.backoff_ns = BACKOFF_MIN_NS
    session.state = SessionState.READY
    session.keep_due = 1  # for the cancels that wait
