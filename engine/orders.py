"""What becomes of orders: what strategies ask for goes through the gate onto the wire, what venues answer is booked.

Both ends keep the same accounts: the order in the table, what is open and held of its instrument (in the gate's account
and in the strategy's own), and the records.
"""

from crosswire.engine.account import forget_account, is_unheard, take_account
from crosswire.engine.cancels import (
    ask_for_cancel,
    cancel_everything,
    cancel_order,
    cancel_selected,
    send_due_cancel,
)
from crosswire.engine.control.mailbox import EVERY
from crosswire.engine.records import (
    IDS_AHEAD,
    record_amend_sent,
    record_cancel_sent,
    record_fill,
    record_not_sent,
    record_order_ended,
    record_order_sent,
    record_quote_sent,
    record_report,
    record_session,
    reserve_ids,
)
from crosswire.engine.seat import Seat, tell_fill, tell_order, tell_sent
from crosswire.engine.state import Engine
from crosswire.engine.venue import (
    Venue,
    can_amend,
    can_cancel_by_id,
    can_quote,
    send_exchange_order_cancel,
    send_new_order,
    send_order_amend,
    send_quotes,
    take_more_reports,
)
from crosswire.nic.histogram import add_latency
from crosswire.nic.memory.struct import clear_struct
from crosswire.nic.unit.compile import compiled, inlined, outlined
from crosswire.risk.gate import Veto, check, check_amend, check_quote
from crosswire.risk.ledger import count_cancel, count_fill, count_open
from crosswire.risk.position import add_fill, change_open
from crosswire.risk.trading_state import TradingState, Why, change_state
from crosswire.strategies.desk import (
    AMEND_ORDER,
    CANCEL_ALL,
    CANCEL_ALL_OF,
    CANCEL_BY_ID,
    CANCEL_ORDER,
    NEW_ORDER,
    QUOTE,
    Request,
)
from crosswire.venues.order import (
    APPROVALS_MAX,
    ORDERS_MAX,
    RESTORED,
    AmendState,
    Applied,
    Order,
    OrderState,
    RejectReason,
    Report,
    ReportKind,
    amend_sent,
    apply_report,
    close_order,
    expect_cancel_by_id,
    find_exchange_order,
    find_order,
    free_order,
    is_alarm,
    is_open,
    is_unsettled_quote,
    new_order,
    open_lots,
    take_cancel_by_id,
)
from crosswire.venues.session import (
    LINKS_MAX,
    SessionState,
)


@compiled
def take_reports(engine: Engine, venue: Venue, now_ns: int) -> None:
    """Take all that a packet says of our orders."""
    session = venue.session
    reports = engine.inbox.reports
    # That a session is lost is noted behind the reports: the same packet may tell how its orders ended.
    while True:
        if session.state != SessionState.LOST:
            note_session(engine, venue, now_ns)
        for position in range(reports.count):
            report = reports.items[position]
            if report.kind < ReportKind.OPEN:
                take_report(engine, report, now_ns)
            elif report.kind == ReportKind.CAUGHT_UP:
                settle_resumed(engine, venue, report, now_ns)
            elif take_account(engine, venue, report, now_ns):
                settle_account(engine, venue, now_ns)
        if session.unread == 0:
            break
        take_more_reports(venue)
    note_session(engine, venue, now_ns)
    note_links(engine, venue, now_ns)
    note_numbers(engine, venue, now_ns)
    if session.tells_left != 0:
        session.tells_left = 0
        engine.gate.venues[venue.number].tells_left = 1
        engine.gate.venues[venue.number].orders_left = session.orders_left
    if session.keep_due != 0:
        venue.keep_ns = min(venue.keep_ns, now_ns)
        engine.state.first_keep_ns = min(engine.state.first_keep_ns, now_ns)


@compiled
def note_session(engine: Engine, venue: Venue, now_ns: int) -> None:
    """Let the gate know a session's state. What becomes of orders that are open when it is lost, nobody tells us.

    An attempt to come back that fails is no second loss.
    """
    known = engine.gate.venues[venue.number]
    has_ended = venue.session.state == SessionState.LOST and known.session_state != SessionState.LOST
    known.session_state = venue.session.state
    if has_ended:
        known.tells_left = 0
        forget_account(engine, venue)
    is_lost = has_ended and venue.is_lost == 0
    if is_lost:
        venue.is_lost = 1
        venue.losses += 1
    elif venue.session.state == SessionState.READY:
        venue.is_lost = 0
    if is_lost and (known.open_orders != 0 or venue.session.is_resumed != 0):
        known.lost_orders = known.open_orders
        sound_alarm(engine, now_ns)


@compiled
def note_links(engine: Engine, venue: Venue, now_ns: int) -> None:
    """Note that a link of a session is gone for good, behind all that was told on it.

    Nobody tells what becomes of the orders that went out there, though the session may be READY by another link.
    """
    links_gone = venue.session.links_gone
    if links_gone == venue.links_gone:
        return
    known = engine.gate.venues[venue.number]
    if links_gone > venue.links_gone and known.open_orders != 0 and venue.is_lost == 0:
        known.lost_orders = known.open_orders
        sound_alarm(engine, now_ns)
    venue.links_gone = links_gone


@compiled
def settle_account(engine: Engine, venue: Venue, now_ns: int) -> None:
    """End the orders that the venue no longer has, and cancel those that it still has: nothing trades on them."""
    is_open_there = False
    left = engine.orders.count
    for slot in range(ORDERS_MAX):
        if left == 0:
            break
        order = engine.orders.orders[slot]
        if order.state != OrderState.FREE:
            left -= 1
            if is_unheard(order, venue.number):
                lots = open_lots(order)
                if is_unsettled_quote(order):
                    engine.gate.positions[order.instrument].quotes_pending -= 1
                close_order(order, OrderState.CANCELLED, RejectReason.SESSION_LOST, now_ns)
                move_open(engine, order, 0, -lots)
                end_order(engine, order)
            elif order.venue == venue.number:
                is_open_there = True
    differs = venue.differences + venue.strangers != 0
    is_first_alarm = differs and engine.gate.alarms == 0
    if differs:
        sound_alarm(engine, now_ns)
    if not is_first_alarm and (differs or is_open_there):
        # The first alarm has cancelled everything: any other finds what an earlier cancel could not reach.
        venue.cancel_due = 1
        send_due_cancel(engine, venue, now_ns)


@compiled
def take_mail(engine: Engine, venue: Venue, now_ns: int) -> None:
    """Take what a venue has said of our account beside its session, if it is there: then the session may be READY."""
    mail = engine.mail
    if mail.is_full == 0 or mail.venue != venue.number:
        return
    if mail.has_positions == 0:
        # What is not told can't differ.
        for index in range(engine.market.count):
            if engine.market.instruments[index].venue == venue.number:
                engine.state.theirs_lots[index] = engine.gate.positions[index].position_lots
    for position in range(mail.reports.count):
        if take_account(engine, venue, mail.reports.items[position], now_ns):
            venue.session.awaits_account = 0
            venue.keep_ns = now_ns
            settle_account(engine, venue, now_ns)
    mail.is_full = 0


@compiled
def settle_resumed(engine: Engine, venue: Venue, report: Report, now_ns: int) -> None:
    """Give up what was asked for in an earlier run and is not answered, and cancel what is open of it.

    Behind the last message that was missed: what has no answer by now has never arrived.
    """
    record_report(engine, report, Applied.UPDATED, now_ns)
    for slot in range(ORDERS_MAX):
        order = engine.orders.orders[slot]
        if is_open(order) and order.venue == venue.number and order.is_restored == RESTORED:
            if order.amend_state == AmendState.PENDING:
                lots = open_lots(order)
                order.amend_state = AmendState.REJECTED
                order.amend_reason = RejectReason.SESSION_LOST
                move_open(engine, order, 0, open_lots(order) - lots)
            if order.filled_lots >= order.qty_lots:
                # Filled while that amend was under way: only now is it known to have no more.
                close_order(order, OrderState.FILLED, RejectReason.NONE, now_ns)
                end_order(engine, order)
            else:
                venue.cancel_due = 1
    if venue.cancel_due != 0:
        send_due_cancel(engine, venue, now_ns)


@compiled
def note_numbers(engine: Engine, venue: Venue, now_ns: int) -> None:
    """Write down where a session stands, if it has moved.

    Behind the reports of a frame: a later run asks the venue for what came after the last number that stands here.
    """
    session = venue.session
    moved = session.state != venue.recorded_state
    venue.recorded_state = session.state
    for place in range(2 * LINKS_MAX):
        moved = moved or session.numbers[place] != venue.recorded_numbers[place]
        venue.recorded_numbers[place] = session.numbers[place]
    if moved:
        record_session(engine, venue, now_ns)


@compiled
def sound_alarm(engine: Engine, now_ns: int) -> None:
    """Act on what a venue and we do not agree on: send nothing new, and cancel everything everywhere, in this turn."""
    engine.gate.alarms += 1
    change_state(engine.gate, TradingState.HALTED, Why.ALARM, now_ns)
    if engine.gate.alarms == 1:
        cancel_everything(engine, now_ns)


@compiled
def take_report(engine: Engine, report: Report, now_ns: int) -> None:
    """Apply one execution report exactly once: to the order, the positions, the records, then its strategy."""
    order = find_order(engine.orders, report.client_order_id)
    acked_ns, lots = order.acked_ns, open_lots(order)
    was_unsettled = is_unsettled_quote(order)
    outcome = apply_report(engine.orders, report, now_ns)
    if report.kind != ReportKind.FILL or outcome > Applied.CLOSED:
        record_report(engine, report, outcome, now_ns)
    if outcome == Applied.DUPLICATE or outcome == Applied.LATE:
        return
    if outcome == Applied.BY_ID:
        tell_answer_by_id(engine, report)
        return
    if is_alarm(outcome):
        # The venue and we differ: book what it says happened.
        sound_alarm(engine, now_ns)
    if report.kind == ReportKind.ACK and outcome == Applied.UPDATED and acked_ns == 0:
        add_latency(engine.state.order_round_trip, now_ns - order.created_ns)
    if is_unsettled_quote(order) != was_unsettled:
        engine.gate.positions[order.instrument].quotes_pending += -1 if was_unsettled else 1
    move_open(engine, order, 0, open_lots(order) - lots)
    seat = engine.seats[order.strategy]
    if report.kind == ReportKind.FILL and report.instrument >= 0:
        take_fill(engine, order, report, now_ns)
        tell_fill(seat, order, report)
    if outcome == Applied.CLOSED:
        end_order(engine, order)
    elif outcome == Applied.UPDATED and report.kind != ReportKind.FILL:
        tell_order(seat, order)


@compiled
def tell_answer_by_id(engine: Engine, report: Report) -> None:
    """Tell the strategy that asked the answer to a cancel by the venue's id, through the order that is nobody's."""
    asked = engine.orders.by_id_answered
    state = OrderState.CANCELLED if report.kind == ReportKind.CANCELLED else OrderState.REJECTED
    tell_stranger(engine, asked.strategy, asked.instrument, asked.exchange_order_id, state, report.reason)


@compiled
def tell_stranger(
    engine: Engine, strategy: int, instrument: int, exchange_order_id: int, state: int, reason: int
) -> None:
    """Tell a strategy what became of an order that the table does not hold.

    Without a client order id, whatever the venue gave: it may be the number of an order of ours.
    """
    order = engine.orders.nobody
    clear_struct(order)
    order.exchange_order_id = exchange_order_id
    order.venue = engine.market.instruments[instrument].venue
    order.instrument = instrument
    order.strategy = strategy
    order.reason = reason
    order.state = state
    tell_order(engine.seats[strategy], order)
    order.state = OrderState.FREE


@compiled
def move_open(engine: Engine, order: Order, orders: int, qty_lots: int) -> None:
    """Change what is open of an order, in the account that the gate judges by and in its strategy's own."""
    if orders == 0 and qty_lots == 0:
        return
    count_open(engine.gate, order.instrument, order.strategy, order.side, orders, qty_lots)
    change_open(engine.seats[order.strategy].desk.positions[order.instrument], order.side, orders, qty_lots)


@compiled
def take_fill(engine: Engine, order: Order, report: Report, now_ns: int) -> None:
    """Book one execution in the account and in its strategy's own positions."""
    instrument = engine.market.instruments[report.instrument]
    own = engine.seats[order.strategy].desk.positions[report.instrument]
    account = engine.gate.positions[report.instrument]
    if count_fill(
        engine.gate,
        report.instrument,
        order.strategy,
        report.side,
        report.price_ticks,
        report.qty_lots,
        report.fee_e9,
        now_ns,
    ):
        cancel_everything(engine, now_ns)
    add_fill(own, instrument, report.side, report.price_ticks, report.qty_lots, report.fee_e9)
    engine.state.fills += 1
    record_fill(engine, order, report, account, own, now_ns)


@compiled
def end_order(engine: Engine, order: Order) -> None:
    """Book that a sent order has ended and has no open lots; free its slot once its strategy knows."""
    move_open(engine, order, -1, 0)
    engine.gate.venues[order.venue].open_orders -= 1
    if order.cancel_due != 0:
        engine.venues[order.venue].cancels_due -= 1
    record_order_ended(engine, order, engine.state.now_ns)
    tell_order(engine.seats[order.strategy], order)
    free_order(engine.orders, order)


@compiled
def has_requests(engine: Engine) -> bool:
    """Tell whether any strategy asks for something."""
    requests = 0
    for number in range(engine.seat_count):
        requests += engine.seats[number].desk.request_count
    return requests != 0


@inlined
def send_requests(engine: Engine, now_ns: int) -> bool:
    """Take what the strategies asked for through the gate and onto the wire, in the order asked; False: nothing."""
    is_asked = False
    for number in range(engine.seat_count):
        seat = engine.seats[number]
        if seat.desk.request_count != 0:
            send_requests_of(engine, seat, now_ns)
            is_asked = True
    return is_asked


@compiled
def send_requests_of(engine: Engine, seat: Seat, now_ns: int) -> None:
    """Send what one strategy asked for, then let it do what it has put off.

    Answers to vetoed requests may make it ask for more; those are taken too, REQUESTS_MAX in all.
    """
    desk = seat.desk
    position = 0
    while position < desk.request_count:
        request = desk.requests[position]
        if request.kind == NEW_ORDER and 0 <= request.instrument < engine.market.count:
            send_order(engine, seat, request, now_ns)
            position += 1
        else:
            position = send_other(engine, seat, position, now_ns)
    desk.request_count = 0
    tell_sent(seat)


@outlined
def send_other(engine: Engine, seat: Seat, position: int, now_ns: int) -> int:
    """Take a request that is no new order; return the position behind it. Apart: a new order is what must be fast."""
    request = seat.desk.requests[position]
    if request.instrument < 0 or request.instrument >= engine.market.count:
        seat.desk.requests_dropped += 1
    elif request.kind == CANCEL_ORDER:
        send_cancel(engine, seat, request, now_ns)
    elif request.kind == AMEND_ORDER:
        send_amend(engine, seat, request, now_ns)
    elif request.kind == CANCEL_BY_ID:
        send_cancel_by_id(engine, seat, request, now_ns)
    elif request.kind == QUOTE:
        return send_mass_quote(engine, seat, position, now_ns)
    elif request.kind == CANCEL_ALL or request.kind == CANCEL_ALL_OF:
        instrument = request.instrument if request.kind == CANCEL_ALL_OF else EVERY
        seat.desk.cancels_asked += cancel_selected(engine, EVERY, instrument, seat.number, now_ns)
    return position + 1


@inlined
def send_order(engine: Engine, seat: Seat, request: Request, now_ns: int) -> None:
    """Send one new order: gate, frame, wire; a veto comes back to the strategy at once."""
    gate = engine.gate
    if engine.orders.counter + IDS_AHEAD >= engine.orders.reserved:
        reserve_ids(engine, now_ns)
    order = make_order(engine, seat, request, now_ns)
    # With all ORDERS_MAX slots taken the strategy hears of the veto through the order that is nobody's.
    is_tabled = order.state != OrderState.FREE
    veto: int = Veto.OPEN_ORDERS
    if is_tabled:
        veto = check(gate, engine.state.approval, order, now_ns)
    else:
        gate.vetoes[veto] += 1
    if veto == Veto.NONE:
        record_order_sent(engine, order, now_ns)
        if send_new_order(engine.venues[order.venue], engine.state.approval, now_ns):
            engine.state.orders_sent += 1
            gate.venues[order.venue].open_orders += 1
            move_open(engine, order, 1, order.qty_lots)
            return
        record_not_sent(engine, order, 0, now_ns)
        veto = Veto.NOT_SENT
        gate.vetoes[veto] += 1
    veto_order(engine, seat, order, veto, now_ns)


@inlined
def make_order(engine: Engine, seat: Seat, request: Request, now_ns: int) -> Order:
    """Enter the order that a strategy asks for, not judged yet; `nobody`, filled in but FREE, if there is no slot."""
    order = new_order(engine.orders, now_ns)
    order.venue = engine.market.instruments[request.instrument].venue
    order.instrument = request.instrument
    order.side = request.side
    order.time_in_force = request.time_in_force
    order.price_ticks = request.price_ticks
    order.qty_lots = request.qty_lots
    order.strategy = seat.number
    order.decision_ticks = request.decision_ticks
    order.trade_id = request.trade_id
    order.tag = request.tag
    order.plan = request.plan
    order.trigger_ns = seat.desk.trigger_ns
    return order


@outlined
def veto_order(engine: Engine, seat: Seat, order: Order, veto: int, now_ns: int) -> None:
    """Write down an order that never left, tell its strategy, give its slot back."""
    is_tabled = order.state != OrderState.FREE
    close_order(order, OrderState.VETOED, veto, now_ns)
    record_order_ended(engine, order, now_ns)
    tell_order(seat, order)
    if is_tabled:
        free_order(engine.orders, order)
    else:
        order.state = OrderState.FREE


@compiled
def send_mass_quote(engine: Engine, seat: Seat, first: int, now_ns: int) -> int:
    """Send the quotes asked for from a request on, of one venue, in one frame; return the position behind them."""
    desk = seat.desk
    quotes = engine.state.quotes
    quotes.count = 0
    venue = engine.market.instruments[desk.requests[first].instrument].venue
    assert first + 1 < desk.request_count
    position = first
    while position < desk.request_count and quotes.count < APPROVALS_MAX:
        bid = desk.requests[position]
        if bid.kind != QUOTE or engine.market.instruments[bid.instrument].venue != venue:
            break
        add_quote(engine, seat, bid, desk.requests[position + 1], now_ns)
        position += 2
    if quotes.count == 0:
        return position
    for number in range(quotes.count):
        record_quote_sent(engine, find_order(engine.orders, quotes.items[number].client_order_id), now_ns)
    # A strategy that has failed at the veto of one of its quotes is to have no other out.
    if seat.failure == 0 and send_quotes(engine.venues[venue], quotes, now_ns):
        engine.state.orders_sent += quotes.count
        return position
    engine.gate.vetoes[Veto.NOT_SENT] += quotes.count
    for number in range(quotes.count):
        order = find_order(engine.orders, quotes.items[number].client_order_id)
        engine.gate.positions[order.instrument].quotes_pending -= 1
        move_open(engine, order, 0, -order.qty_lots)
        close_order(order, OrderState.VETOED, Veto.NOT_SENT, now_ns)
        record_not_sent(engine, order, 0, now_ns)
        end_order(engine, order)
    return position


@compiled
def add_quote(engine: Engine, seat: Seat, bid_request: Request, ask_request: Request, now_ns: int) -> None:
    """Judge both sides of a quote, and count them as open: the next of the same frame is judged with them."""
    gate = engine.gate
    if engine.orders.counter + IDS_AHEAD >= engine.orders.reserved:
        reserve_ids(engine, now_ns)
    bid = make_order(engine, seat, bid_request, now_ns)
    if bid.state == OrderState.FREE:
        # There is no slot for either side, and one order that is nobody's for both.
        gate.vetoes[Veto.OPEN_ORDERS] += 2
        veto_order(engine, seat, bid, Veto.OPEN_ORDERS, now_ns)
        veto_order(engine, seat, make_order(engine, seat, ask_request, now_ns), Veto.OPEN_ORDERS, now_ns)
        return
    ask = make_order(engine, seat, ask_request, now_ns)
    bid.is_quote = ask.is_quote = 1
    veto: int = Veto.OPEN_ORDERS if ask.state == OrderState.FREE else Veto.UNSUPPORTED
    if ask.state != OrderState.FREE and can_quote(engine.venues[bid.venue]):
        veto = check_quote(gate, engine.state.quotes, bid, ask, now_ns)
    else:
        gate.vetoes[veto] += 2
    if veto != Veto.NONE:
        veto_order(engine, seat, bid, veto, now_ns)
        veto_order(engine, seat, ask, veto, now_ns)
        return
    gate.venues[bid.venue].open_orders += 2
    gate.positions[bid.instrument].quotes_pending += 2
    move_open(engine, bid, 1, bid.qty_lots)
    move_open(engine, ask, 1, ask.qty_lots)


@compiled
def send_amend(engine: Engine, seat: Seat, request: Request, now_ns: int) -> None:
    """Ask for new terms of an order that is still open; if it has ended meanwhile, its strategy knows."""
    order = find_own(engine, seat, request)
    if not is_open(order):
        return
    gate = engine.gate
    venue = engine.venues[order.venue]
    approval = engine.state.approval
    veto: int = Veto.UNSUPPORTED
    if can_amend(venue):
        veto = check_amend(gate, approval, order, request.price_ticks, request.qty_lots, now_ns)
    else:
        gate.vetoes[veto] += 1
    if veto == Veto.NONE:
        record_amend_sent(engine, order, request.price_ticks, request.qty_lots, now_ns)
        if send_order_amend(venue, approval, now_ns):
            lots = open_lots(order)
            amend_sent(order, request.price_ticks, request.qty_lots)
            move_open(engine, order, 0, open_lots(order) - lots)
            engine.state.amends_sent += 1
            return
        record_not_sent(engine, order, 1, now_ns)
        veto = Veto.NOT_SENT
        gate.vetoes[veto] += 1
    tell_amend_vetoed(engine, order, veto)


@compiled
def find_own(engine: Engine, seat: Seat, request: Request) -> Order:
    """Find the order that a strategy names; `nobody` if it has ended, or is another strategy's."""
    order = find_order(engine.orders, request.client_order_id)
    if order.state != OrderState.FREE and order.strategy != seat.number:
        seat.desk.requests_dropped += 1
        return engine.orders.nobody
    return order


@compiled
def tell_amend_vetoed(engine: Engine, order: Order, veto: int) -> None:
    """Tell that an amend never left. While another is under way, `amend_state` is about that one again afterwards."""
    amend_state, amend_reason = order.amend_state, order.amend_reason
    order.amend_state = AmendState.VETOED
    order.amend_reason = veto
    tell_order(engine.seats[order.strategy], order)
    if amend_state == AmendState.PENDING:
        order.amend_state = amend_state
        order.amend_reason = amend_reason


@compiled
def send_cancel(engine: Engine, seat: Seat, request: Request, now_ns: int) -> None:
    """Cancel an order that is still open, as soon as that can be sent; one that has ended meanwhile needs no cancel."""
    ask_for_cancel(engine, find_own(engine, seat, request), now_ns)


@compiled
def send_cancel_by_id(engine: Engine, seat: Seat, request: Request, now_ns: int) -> None:
    """Cancel an order by the venue's id; one that the table holds, by our own."""
    venue = engine.venues[engine.market.instruments[request.instrument].venue]
    own = find_exchange_order(engine.orders, venue.number, request.exchange_order_id)
    veto: int = Veto.NOT_SENT
    if not can_cancel_by_id(venue):
        veto = Veto.UNSUPPORTED
    elif not is_open(own):
        if cancel_stranger(engine, seat, request, now_ns):
            return
    elif own.instrument != request.instrument or own.strategy != seat.number:
        veto = Veto.BAD_ORDER
    elif cancel_order(engine, own, now_ns):
        return
    engine.gate.vetoes[veto] += 1
    tell_stranger(engine, seat.number, request.instrument, request.exchange_order_id, OrderState.VETOED, veto)


@compiled
def cancel_stranger(engine: Engine, seat: Seat, request: Request, now_ns: int) -> bool:
    """Ask for the end of an order that the table does not hold; False, and no answer expected, if nothing was sent."""
    venue = engine.venues[engine.market.instruments[request.instrument].venue]
    exchange_order_id = request.exchange_order_id
    if not expect_cancel_by_id(engine.orders, venue.number, request.instrument, exchange_order_id, seat.number):
        return False
    if not send_exchange_order_cancel(venue, exchange_order_id, request.instrument, now_ns):
        take_cancel_by_id(engine.orders, venue.number, exchange_order_id)
        return False
    record_cancel_sent(engine, venue.number, 0, exchange_order_id, now_ns)
    engine.state.cancels_sent += 1
    count_cancel(engine.gate, venue.number, now_ns)
    return True
