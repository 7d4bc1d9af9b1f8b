"""What becomes of orders: accounts, what is written down, and what the strategy is told, of each request and report."""

import pytest

from crosswire.engine.cancels import CANCEL_RETRY_NS, send_due_cancel, send_due_cancels
from crosswire.engine.orders import (
    has_requests,
    note_numbers,
    note_session,
    send_requests,
    settle_account,
    take_reports,
)
from crosswire.engine.records import IDS_AHEAD, IDS_RESERVED
from crosswire.risk.gate import Veto
from crosswire.risk.trading_state import TradingState, Why
from crosswire.strategies.desk import amend, cancel, cancel_by_id, quote, submit
from crosswire.venues.order import (
    BY_ID_MAX,
    GTC,
    ORDERS_MAX,
    AmendState,
    Order,
    OrderState,
    RejectReason,
    ReportKind,
)
from crosswire.venues.session import SessionState
from crosswire.venues.side import BUY, SELL
from tests.support.order_desk import OrderDesk, check_accounts

STARBASE, BRIDGE = 0, 1
INVERSE, LINEAR, USDT = 0, 1, 2


def told(desk: OrderDesk) -> tuple[OrderState, int]:
    """The state of the order that the strategy was told of last, and the reason."""
    return OrderState(desk.heard.state), int(desk.heard.reason)


@pytest.mark.parametrize(("instrument", "side"), [(INVERSE, BUY), (LINEAR, SELL), (USDT, SELL)])
def test_an_order_lives_and_fills(desk: OrderDesk, instrument: int, side: int) -> None:
    gate, state, heard = desk.gate, desk.engine.state, desk.heard
    sent, fills, trips = state.orders_sent, state.fills, state.order_round_trip.count
    held = [each[instrument].position_lots for each in (gate.positions, desk.desk.positions)]
    orders_told, fills_told = heard.orders, heard.fills
    order = desk.order(instrument, side)
    assert order is not None
    assert (order.state, order.strategy, order.decision_ticks) == (OrderState.PENDING_NEW, 0, order.price_ticks)
    assert (state.orders_sent, heard.orders) == (sent + 1, orders_told)
    assert desk.records() == {"ORDER_SENT": 1}
    check_accounts(desk.engine)
    desk.say(order, ReportKind.ACK, exchange_order_id=77)
    assert (told(desk), heard.exchange_order_id) == ((OrderState.LIVE, 0), 77)
    assert state.order_round_trip.count == trips + 1
    check_accounts(desk.engine)
    desk.say(order, ReportKind.FILL, qty_lots=4)
    assert (heard.fills, heard.lots, heard.orders) == (fills_told + 1, 4, orders_told + 1)
    check_accounts(desk.engine)
    desk.say(order, ReportKind.FILL, qty_lots=6)
    assert (told(desk), heard.fills, heard.orders) == ((OrderState.FILLED, 0), fills_told + 2, orders_told + 2)
    assert (state.fills, order.state) == (fills + 2, OrderState.FREE)
    sign = 1 if side == BUY else -1
    assert [each[instrument].position_lots for each in (gate.positions, desk.desk.positions)] == [
        lots + 10 * sign for lots in held
    ]
    assert desk.records() == {"REPORT": 1, "FILL": 2, "ORDER_ENDED": 1}
    assert (gate.alarms, gate.state) == (0, TradingState.ACTIVE)


def test_a_copy_moves_nothing(desk: OrderDesk) -> None:
    order = desk.live()
    desk.say(order, ReportKind.FILL, qty_lots=4)
    position, heard = bytes(desk.gate.positions[0]), bytes(desk.heard)
    last = desk.orders.last_execution_ids[STARBASE]
    desk.say(order, ReportKind.FILL, qty_lots=4, execution_id=last)
    assert (bytes(desk.gate.positions[0]), bytes(desk.heard), desk.gate.alarms) == (position, heard, 0)


def test_an_acknowledgement_that_comes_again_is_no_round_trip(desk: OrderDesk) -> None:
    order = desk.order()
    assert order is not None
    round_trip = desk.engine.state.order_round_trip
    trips = round_trip.count
    order.created_ns, round_trip.max_ns = desk.now_ns - 70_000, 0
    desk.say(order, ReportKind.ACK, exchange_order_id=77, queued=1)
    desk.say(order, ReportKind.ACK, exchange_order_id=77)
    assert (round_trip.count, round_trip.max_ns) == (trips + 1, 70_000)


def test_a_veto_is_told_at_once_and_leaves_nothing(desk: OrderDesk) -> None:
    sent, vetoes = desk.engine.state.orders_sent, desk.gate.vetoes[Veto.BAD_ORDER]
    assert desk.order(lots=0) is None
    assert told(desk) == (OrderState.VETOED, Veto.BAD_ORDER)
    assert desk.heard.client_order_id >> 12 == desk.orders.counter
    assert (desk.engine.state.orders_sent, desk.gate.vetoes[Veto.BAD_ORDER]) == (sent, vetoes + 1)
    assert desk.records() == {"ORDER_ENDED": 1}


@pytest.mark.parametrize("changes", [{"side": 2}, {"side": -1}, {"time_in_force": 4}, {"time_in_force": -1}])
def test_an_order_of_no_known_kind_does_not_leave(desk: OrderDesk, changes: dict[str, int]) -> None:
    sent, positions = desk.engine.state.orders_sent, bytes(desk.gate.positions[0])
    assert desk.order(**{"price": desk.price(0, BUY), **changes}) is None
    assert told(desk) == (OrderState.VETOED, Veto.BAD_ORDER)
    assert (desk.engine.state.orders_sent, bytes(desk.gate.positions[0])) == (sent, positions)


def test_what_the_session_does_not_take_has_not_been_sent(desk: OrderDesk) -> None:
    sent, vetoes = desk.engine.state.orders_sent, desk.gate.vetoes[Veto.NOT_SENT]
    desk.connect(STARBASE, SessionState.LOGGING_ON)
    assert desk.order() is None
    assert told(desk) == (OrderState.VETOED, Veto.NOT_SENT)
    assert (desk.engine.state.orders_sent, desk.gate.vetoes[Veto.NOT_SENT]) == (sent, vetoes + 1)
    assert desk.records() == {"ORDER_SENT": 1, "NOT_SENT": 1, "ORDER_ENDED": 1}


def test_what_a_venue_has_no_room_for_is_held_back(desk: OrderDesk) -> None:
    def tell(left: int) -> None:
        session = desk.engine.venues[BRIDGE].session
        session.orders_left, session.tells_left = left, 1
        desk.engine.inbox.reports.count = 0
        take_reports(desk.engine, desk.engine.venues[BRIDGE], desk.now_ns)
        assert session.tells_left == 0

    assert desk.order(USDT) is not None  # nothing told, nothing held back
    tell(2)
    first = desk.live(USDT)
    amend(desk.desk, first.client_order_id, first.price_ticks, 5)
    desk.send()
    assert first.amend_state == AmendState.PENDING
    assert desk.order(USDT) is None
    assert told(desk) == (OrderState.VETOED, Veto.VENUE_RATE)
    assert desk.order(INVERSE) is not None  # another venue's affair
    desk.later()
    assert desk.order(USDT) is None
    tell(1)
    assert desk.order(USDT) is not None
    assert desk.order(USDT) is None
    # Another session begins without a word of it.
    desk.connect(BRIDGE, SessionState.LOST)
    note_session(desk.engine, desk.engine.venues[BRIDGE], desk.now_ns)
    assert desk.gate.venues[BRIDGE].tells_left == 0


@pytest.mark.parametrize("instrument", [-1, 3])
def test_a_request_for_no_instrument_is_dropped(desk: OrderDesk, instrument: int) -> None:
    dropped, heard = desk.desk.requests_dropped, desk.heard.orders
    cancel(desk.desk, 0)
    desk.desk.requests[0].instrument = instrument
    desk.send()
    assert (desk.desk.requests_dropped, desk.heard.orders) == (dropped + 1, heard)


def test_with_a_full_table_the_strategy_hears_of_the_veto_all_the_same(desk: OrderDesk) -> None:
    table, vetoes = desk.orders, desk.gate.vetoes[Veto.OPEN_ORDERS]
    count = table.count
    for full, expected in ((ORDERS_MAX, 2), (ORDERS_MAX - 1, 2)):
        heard = desk.heard.orders
        table.count = full
        quote(desk.desk, LINEAR, desk.price(LINEAR, BUY), 10, desk.price(LINEAR, SELL), 10)
        desk.send()
        assert (desk.heard.orders, told(desk)) == (heard + expected, (OrderState.VETOED, Veto.OPEN_ORDERS))
        assert table.count == full
    table.count = ORDERS_MAX
    desk.order()
    assert (told(desk), desk.heard.client_order_id) == ((OrderState.VETOED, Veto.OPEN_ORDERS), 0)
    assert desk.gate.vetoes[Veto.OPEN_ORDERS] == vetoes + 5
    assert table.nobody.state == OrderState.FREE
    table.count = count


def test_a_cancel_is_asked_for_once(desk: OrderDesk) -> None:
    order, sent = desk.live(), desk.engine.state.cancels_sent
    desk.records()
    for _ in range(2):
        cancel(desk.desk, order.client_order_id)
        desk.send()
    assert (order.state, desk.engine.state.cancels_sent) == (OrderState.PENDING_CANCEL, sent + 1)
    assert (order.cancel_due, desk.engine.venues[STARBASE].cancels_due) == (0, 0)
    assert desk.records() == {"CANCEL_SENT": 1}
    desk.say(order, ReportKind.CANCELLED, reason=RejectReason.OTHER)
    assert told(desk) == (OrderState.CANCELLED, RejectReason.OTHER)
    assert desk.records() == {"REPORT": 1, "ORDER_ENDED": 1}
    cancel(desk.desk, desk.heard.client_order_id)
    desk.send()
    assert (desk.engine.state.cancels_sent, desk.records()) == (sent + 1, {})


def test_an_amend_counts_at_its_worst_until_it_is_answered(desk: OrderDesk) -> None:
    order, sent = desk.live(), desk.engine.state.amends_sent
    desk.records()
    amend(desk.desk, order.client_order_id, order.price_ticks - 1, 15)
    desk.send()
    assert (order.amend_state, order.qty_lots, desk.engine.state.amends_sent) == (AmendState.PENDING, 10, sent + 1)
    assert desk.gate.positions[0].open_buy_lots == 15
    assert desk.records() == {"AMEND_SENT": 1}
    check_accounts(desk.engine)
    # Another is refused, and the first is still under way.
    amend(desk.desk, order.client_order_id, order.price_ticks, 12)
    desk.send()
    assert (desk.heard.amend_state, desk.heard.amend_reason) == (AmendState.VETOED, Veto.NOT_AMENDABLE)
    assert (order.amend_state, order.amend_reason) == (AmendState.PENDING, 0)
    price_ticks = order.price_ticks - 1
    desk.say(order, ReportKind.AMENDED, price_ticks=price_ticks, qty_lots=15)
    assert (desk.heard.amend_state, order.price_ticks, order.qty_lots) == (AmendState.DONE, price_ticks, 15)
    amend(desk.desk, order.client_order_id, 1 << 34, 15)
    desk.send()
    assert (desk.heard.amend_state, desk.heard.amend_reason) == (AmendState.VETOED, Veto.BAD_ORDER)
    assert desk.engine.state.amends_sent == sent + 1


def test_amends_that_do_not_leave(desk: OrderDesk) -> None:
    order, other = desk.live(), desk.live(USDT)
    vetoes, heard = list(desk.gate.vetoes), desk.heard.orders
    desk.records()
    entries = desk.engine.venues[other.venue].entries
    send_amend, entries.send_amend = entries.send_amend, 0  # as of a session that registers nothing for it
    amend(desk.desk, other.client_order_id, other.price_ticks, 5)
    desk.send()
    entries.send_amend = send_amend
    assert (desk.heard.amend_state, desk.heard.amend_reason) == (AmendState.VETOED, Veto.UNSUPPORTED)
    assert desk.records() == {}
    desk.connect(STARBASE, SessionState.LOGGING_ON)
    amend(desk.desk, order.client_order_id, order.price_ticks, 5)
    desk.send()
    assert (desk.heard.amend_state, desk.heard.amend_reason) == (AmendState.VETOED, Veto.NOT_SENT)
    assert desk.records() == {"AMEND_SENT": 1, "NOT_SENT": 1}
    for veto in (Veto.UNSUPPORTED, Veto.NOT_SENT):
        assert desk.gate.vetoes[veto] == vetoes[veto] + 1
    assert desk.heard.orders == heard + 2
    amend(desk.desk, 1 << 40, order.price_ticks, 5)  # it has ended: the strategy knows
    desk.send()
    assert desk.heard.orders == heard + 2


def quotes(desk: OrderDesk, *instruments: int) -> list[Order]:
    """Ask for a quote of each, and return what is open then."""
    for instrument in instruments:
        quote(desk.desk, instrument, desk.price(instrument, BUY), 10, desk.price(instrument, SELL), 10)
    desk.send()
    return desk.open()


def test_quotes_of_one_venue_leave_together_and_wait_for_their_answers(desk: OrderDesk) -> None:
    state, session = desk.engine.state, desk.run.parts[STARBASE].session
    sent, frames = state.orders_sent, session.quotes_sent
    orders = quotes(desk, INVERSE, LINEAR)
    orders.sort(key=lambda order: order.client_order_id)
    assert all(order.is_quote for order in orders)
    sides = [(order.instrument, order.side) for order in orders]
    assert sides == [(INVERSE, BUY), (INVERSE, SELL), (LINEAR, BUY), (LINEAR, SELL)]
    assert (state.orders_sent, session.quotes_sent) == (sent + 4, frames + 1)
    assert desk.records() == {"ORDER_SENT": 4}
    check_accounts(desk.engine)
    assert [desk.gate.positions[index].quotes_pending for index in (INVERSE, LINEAR)] == [2, 2]
    for number, order in enumerate(orders):
        desk.say(order, ReportKind.ACK, exchange_order_id=500 + number)
        check_accounts(desk.engine)
    assert desk.gate.positions[INVERSE].quotes_pending == 0
    # By the id that it gave; a quote without one is not cancelled.
    cancels = state.cancels_sent
    cancel(desk.desk, orders[0].client_order_id)
    desk.send()
    assert (state.cancels_sent, orders[0].state) == (cancels + 1, OrderState.PENDING_CANCEL)
    desk.say(orders[0], ReportKind.CANCELLED)
    assert (told(desk), len(desk.open())) == ((OrderState.CANCELLED, 0), 3)


def test_a_quote_without_the_venues_id_is_cancelled_later(desk: OrderDesk) -> None:
    order = next(order for order in quotes(desk, LINEAR) if order.is_quote)
    cancels = desk.engine.state.cancels_sent
    cancel(desk.desk, order.client_order_id)
    desk.send()
    assert (desk.engine.state.cancels_sent, order.cancel_due, order.state) == (cancels, 1, OrderState.PENDING_NEW)
    desk.say(order, ReportKind.CANCELLED)
    assert desk.engine.venues[STARBASE].cancels_due == 0


def test_quotes_that_do_not_leave(desk: OrderDesk) -> None:
    sent, heard, vetoes = desk.engine.state.orders_sent, desk.heard.orders, list(desk.gate.vetoes)
    assert quotes(desk, USDT) == []
    assert told(desk) == (OrderState.VETOED, Veto.UNSUPPORTED)
    assert desk.heard.orders == heard + 2
    desk.records()
    desk.connect(STARBASE, SessionState.LOGGING_ON)
    assert quotes(desk, LINEAR, INVERSE) == []
    assert told(desk) == (OrderState.VETOED, Veto.NOT_SENT)
    assert (desk.engine.state.orders_sent, desk.heard.orders) == (sent, heard + 6)
    assert desk.records() == {"ORDER_SENT": 4, "NOT_SENT": 4, "ORDER_ENDED": 4}
    assert desk.gate.vetoes[Veto.UNSUPPORTED] == vetoes[Veto.UNSUPPORTED] + 2
    assert desk.gate.vetoes[Veto.NOT_SENT] == vetoes[Veto.NOT_SENT] + 4
    desk.connect(STARBASE)
    quote(desk.desk, LINEAR, desk.price(LINEAR, BUY), 0, desk.price(LINEAR, SELL), 10)
    desk.send()
    assert told(desk) == (OrderState.VETOED, Veto.BAD_ORDER)


def test_quotes_and_orders_leave_in_the_order_asked(desk: OrderDesk) -> None:
    orders = quotes(desk, LINEAR, USDT, INVERSE)
    assert {each.instrument for each in orders} == {LINEAR, INVERSE}


@pytest.mark.parametrize(
    ("kind", "state"), [(ReportKind.CANCELLED, OrderState.CANCELLED), (ReportKind.CANCEL_REJECTED, OrderState.REJECTED)]
)
def test_a_strangers_cancel_is_answered_to_who_asked(desk: OrderDesk, kind: ReportKind, state: OrderState) -> None:
    sent, heard = desk.engine.state.cancels_sent, desk.heard.orders
    cancel_by_id(desk.desk, LINEAR, 4711)
    desk.send()
    assert (desk.engine.state.cancels_sent, desk.orders.by_id_count) == (sent + 1, 1)
    assert (desk.records(), desk.heard.orders) == ({"CANCEL_SENT": 1}, heard)
    desk.say(Order(venue=STARBASE, client_order_id=99 << 40, exchange_order_id=4711), kind, reason=4)
    assert told(desk) == (state, 4)
    assert (desk.heard.exchange_order_id, desk.heard.client_order_id, desk.heard.instrument) == (4711, 0, LINEAR)
    assert (desk.orders.by_id_count, desk.gate.alarms, desk.orders.nobody.state) == (0, 0, OrderState.FREE)


def test_cancels_by_id_that_do_not_leave(desk: OrderDesk) -> None:
    order, vetoes = desk.live(LINEAR), list(desk.gate.vetoes)
    for instrument, exchange_order_id, veto in (
        (USDT, 4711, Veto.UNSUPPORTED),
        (INVERSE, order.exchange_order_id, Veto.BAD_ORDER),
    ):
        cancel_by_id(desk.desk, instrument, exchange_order_id)
        desk.send()
        assert (told(desk), desk.heard.instrument) == ((OrderState.VETOED, veto), instrument)
        assert desk.heard.venue == (BRIDGE if instrument == USDT else STARBASE)
        assert desk.gate.vetoes[veto] == vetoes[veto] + 1
    desk.connect(STARBASE, SessionState.LOGGING_ON)
    for exchange_order_id in (4711, order.exchange_order_id):
        cancel_by_id(desk.desk, LINEAR, exchange_order_id)
        desk.send()
        assert told(desk) == (OrderState.VETOED, Veto.NOT_SENT)
    assert (desk.orders.by_id_count, order.state) == (0, OrderState.LIVE)
    desk.connect(STARBASE)
    heard = desk.heard.orders
    for _ in range(2):  # the second finds it under way
        cancel_by_id(desk.desk, LINEAR, order.exchange_order_id)
        desk.send()
        assert (desk.orders.by_id_count, order.state, desk.heard.orders) == (0, OrderState.PENDING_CANCEL, heard)


def test_what_a_venue_and_we_differ_on_halts_and_cancels_everywhere_once(desk: OrderDesk) -> None:
    order, other = desk.live(), desk.live(USDT)
    held = desk.gate.positions[0].position_lots
    desk.records()
    desk.say(order, ReportKind.FILL, qty_lots=11)
    assert (desk.gate.alarms, desk.gate.state, desk.gate.why) == (1, TradingState.HALTED, Why.ALARM)
    assert desk.gate.positions[0].position_lots == held + 11  # it happened
    assert desk.records() == {"REPORT": 1, "FILL": 1, "CANCEL_SENT": 2}
    assert [desk.engine.venues[number].cancel_due for number in range(2)] == [0, 0]
    assert desk.engine.state.first_keep_ns <= desk.now_ns
    desk.say(other, ReportKind.AMENDED)
    assert (desk.gate.alarms, desk.records()) == (2, {"REPORT": 1})
    assert desk.order() is None


def test_a_loss_cancels_everything(desk: OrderDesk) -> None:
    order = desk.live(USDT)
    loss_max_e9, desk.gate.loss_max_e9 = desk.gate.loss_max_e9, 0
    desk.gate.positions[USDT].fees_e9 += 10**15
    desk.records()
    desk.say(order, ReportKind.FILL, qty_lots=1)
    desk.gate.loss_max_e9 = loss_max_e9
    desk.gate.positions[USDT].fees_e9 -= 10**15
    assert (desk.gate.state, desk.gate.why) == (TradingState.REDUCE_ONLY, Why.LOSS_LIMIT)
    assert desk.records()["CANCEL_SENT"] == 2


def test_a_session_lost_with_orders_open_is_an_alarm(desk: OrderDesk) -> None:
    venue, known = desk.engine.venues[STARBASE], desk.gate.venues[STARBASE]
    venue.session.state = SessionState.LOST
    note_session(desk.engine, venue, desk.now_ns)
    assert (known.session_state, desk.gate.alarms) == (SessionState.LOST, 0)  # nothing was open
    venue.session.state = SessionState.READY
    note_session(desk.engine, venue, desk.now_ns)
    desk.live()
    desk.live()
    for _ in range(2):
        venue.session.state = SessionState.LOST
        note_session(desk.engine, venue, desk.now_ns)
        assert (known.lost_orders, desk.gate.alarms) == (2, 1)


def test_a_cancel_of_all_that_cannot_be_sent_is_tried_when_the_session_is_ready(desk: OrderDesk) -> None:
    venue = desk.engine.venues[STARBASE]
    venue.cancel_due, venue.keep_ns = 1, desk.now_ns + 10**9
    desk.connect(STARBASE, SessionState.LOGGING_ON)
    send_due_cancel(desk.engine, venue, desk.now_ns)
    assert (venue.cancel_due, venue.keep_ns) == (1, desk.now_ns + 10**9)
    desk.connect(STARBASE)
    send_due_cancel(desk.engine, venue, desk.now_ns)
    assert venue.cancel_due == 0
    assert desk.records() == {"CANCEL_SENT": 1}


def test_where_a_session_stands_is_written_down_when_it_moves(desk: OrderDesk) -> None:
    venue = desk.engine.venues[STARBASE]
    note_numbers(desk.engine, venue, desk.now_ns)
    desk.records()
    for place in (0, 1):
        note_numbers(desk.engine, venue, desk.now_ns)
        assert desk.records() == {}
        venue.session.numbers[place] += 1
        note_numbers(desk.engine, venue, desk.now_ns)
        assert desk.records() == {"SESSION": 1}
    venue.session.state = SessionState.LOST
    note_numbers(desk.engine, venue, desk.now_ns)
    assert desk.records() == {"SESSION": 1}


@pytest.mark.parametrize(("differences", "strangers"), [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_orders_that_the_venue_no_longer_has_have_ended(desk: OrderDesk, differences: int, strangers: int) -> None:
    gone, kept, other = desk.live(), desk.live(LINEAR, SELL), desk.live(USDT)
    quoted = next(order for order in quotes(desk, INVERSE) if order.is_quote)
    kept.is_confirmed = 1
    venue = desk.engine.venues[STARBASE]
    venue.differences, venue.strangers = differences, strangers
    desk.records()
    settle_account(desk.engine, venue, desk.now_ns)
    venue.differences = venue.strangers = 0
    assert (gone.state, quoted.state) == (OrderState.FREE, OrderState.FREE)
    assert (kept.state, other.state) == (OrderState.LIVE, OrderState.LIVE)
    assert told(desk) == (OrderState.CANCELLED, RejectReason.SESSION_LOST)
    is_alarm = int(differences + strangers != 0)
    assert (desk.gate.alarms, desk.records()) == (is_alarm, {"ORDER_ENDED": 3, "CANCEL_SENT": 2 if is_alarm else 1})
    check_accounts(desk.engine)


def test_with_nothing_open_at_the_venue_nothing_is_cancelled(desk: OrderDesk) -> None:
    desk.live()
    desk.live(USDT)
    desk.records()
    settle_account(desk.engine, desk.engine.venues[STARBASE], desk.now_ns)
    assert desk.records() == {"ORDER_ENDED": 1}


def test_a_report_of_nobodys_fill_is_booked_and_told(desk: OrderDesk) -> None:
    held = desk.gate.positions[LINEAR].position_lots
    fields = {"venue": STARBASE, "client_order_id": 99 << 40, "instrument": LINEAR, "side": SELL}
    desk.say(Order(**fields), ReportKind.FILL, qty_lots=3, price_ticks=desk.price(LINEAR, SELL))
    assert (desk.gate.alarms, desk.gate.positions[LINEAR].position_lots) == (1, held - 3)


# What strategies ask for.


def test_an_order_carries_what_its_strategy_gave_it(desk: OrderDesk) -> None:
    desk.other_desk.trigger_ns = 99
    price = desk.price(LINEAR, SELL)
    assert not has_requests(desk.engine)
    submit(desk.other_desk, LINEAR, SELL, price, 4, GTC, price + 3, 7, 5)
    assert has_requests(desk.engine)
    send_requests(desk.engine, desk.now_ns)
    assert not has_requests(desk.engine)
    (order,) = desk.open()
    assert (order.strategy, order.decision_ticks, order.trade_id, order.tag, order.trigger_ns) == (
        1,
        price + 3,
        7,
        5,
        99,
    )
    assert [desk.desk.positions[LINEAR].open_orders, desk.other_desk.positions[LINEAR].open_orders] == [0, 1]
    heard = desk.heard.orders, desk.other_heard.orders
    desk.say(order, ReportKind.ACK, exchange_order_id=77)
    desk.say(order, ReportKind.FILL, qty_lots=4)
    assert (desk.heard.orders, desk.other_heard.orders, desk.other_heard.fills) == (heard[0], heard[1] + 2, 1)
    assert desk.other_desk.positions[LINEAR].position_lots == -4


def test_a_stranger_is_told_to_the_strategy_that_asked(desk: OrderDesk) -> None:
    heard = desk.heard.orders
    desk.orders.nobody.qty_lots, desk.orders.nobody.tag = 8, 9
    cancel_by_id(desk.other_desk, LINEAR, 4711)
    send_requests(desk.engine, desk.now_ns)
    assert desk.records() == {"CANCEL_SENT": 1}
    assert [desk.last["CANCEL_SENT"][name] for name in ("venue", "client_order_id", "exchange_order_id")] == [
        0,
        0,
        4711,
    ]
    desk.say(Order(venue=STARBASE, client_order_id=99 << 40, exchange_order_id=4711), ReportKind.CANCELLED)
    assert (desk.heard.orders, desk.other_heard.exchange_order_id, desk.other_heard.strategy) == (heard, 4711, 1)
    # It is an order without terms, whatever the one that is nobody's was before.
    assert (desk.orders.nobody.qty_lots, desk.orders.nobody.tag) == (0, 0)
    # As many as may be without an answer.
    desk.orders.by_id_count, vetoes = BY_ID_MAX, desk.gate.vetoes[Veto.NOT_SENT]
    cancel_by_id(desk.desk, LINEAR, 4712)
    desk.send()
    desk.orders.by_id_count = 0
    assert (told(desk), desk.gate.vetoes[Veto.NOT_SENT]) == ((OrderState.VETOED, Veto.NOT_SENT), vetoes + 1)


@pytest.mark.parametrize("is_quote", [False, True])
def test_ids_are_reserved_before_they_run_out(desk: OrderDesk, is_quote: bool) -> None:
    table = desk.orders
    for ahead, is_due in ((IDS_AHEAD + 1, False), (IDS_AHEAD, True)):
        before = table.counter
        table.reserved = before + ahead
        if is_quote:
            quote(desk.desk, LINEAR, desk.price(LINEAR, BUY), 10, desk.price(LINEAR, SELL), 10)
            desk.send()
        else:
            desk.order()
        assert table.counter == before + 1 + is_quote
        assert table.reserved == before + (IDS_RESERVED if is_due else ahead)


def test_a_quote_ends_where_another_request_begins(desk: OrderDesk) -> None:
    quote(desk.desk, LINEAR, desk.price(LINEAR, BUY), 10, desk.price(LINEAR, SELL), 10)
    submit(desk.desk, LINEAR, BUY, desk.price(LINEAR, BUY), 3, GTC)
    quote(desk.desk, INVERSE, desk.price(INVERSE, BUY), 10, desk.price(INVERSE, SELL), 10)
    desk.send()
    orders = sorted(desk.open(), key=lambda order: order.client_order_id)
    asked = [(order.instrument, order.side, order.is_quote) for order in orders]
    assert asked == [(LINEAR, BUY, 1), (LINEAR, SELL, 1), (LINEAR, BUY, 0), (INVERSE, BUY, 1), (INVERSE, SELL, 1)]


def test_what_was_written_as_sent_and_was_not_says_which(desk: OrderDesk) -> None:
    order = desk.live()
    desk.connect(STARBASE, SessionState.LOGGING_ON)
    amend(desk.desk, order.client_order_id, order.price_ticks, 5)
    desk.send()
    desk.records()
    assert desk.last["NOT_SENT"] == {"client_order_id": order.client_order_id, "is_amend": 1}
    desk.order()
    desk.records()
    assert desk.last["NOT_SENT"] == {"client_order_id": desk.heard.client_order_id, "is_amend": 0}
    quotes(desk, LINEAR)
    desk.records()
    assert desk.last["NOT_SENT"] == {"client_order_id": desk.heard.client_order_id, "is_amend": 0}


def test_cancels_count_as_messages_to_their_venue(desk: OrderDesk) -> None:
    activity = desk.gate.venues[STARBASE].activity
    order = desk.live()
    activity.messages_per_fill_max, activity.messages_min, activity.window_ns = 100, 100, 10**12
    activity.messages = 0
    cancel(desk.desk, order.client_order_id)
    cancel_by_id(desk.desk, LINEAR, 4711)
    desk.send()
    assert activity.messages == 2
    activity.messages_per_fill_max = 0
    desk.say(Order(venue=STARBASE, client_order_id=99 << 40, exchange_order_id=4711), ReportKind.CANCELLED)


# Cancels that can't be sent yet.


def test_cancels_that_are_due_are_sent_when_their_session_can(desk: OrderDesk) -> None:
    state, venues = desk.engine.state, desk.engine.venues
    first, second, other = desk.live(), desk.live(LINEAR), desk.live(USDT)
    kept = desk.live()
    for number in (STARBASE, BRIDGE):
        desk.connect(number, SessionState.LOGGING_ON)
        venues[number].keep_ns = state.first_keep_ns = desk.now_ns + 10**9
    for order in (first, second, other):
        cancel(desk.desk, order.client_order_id)
    desk.send()
    due_ns = desk.now_ns + CANCEL_RETRY_NS
    assert [venues[number].cancels_due for number in (STARBASE, BRIDGE)] == [2, 1]
    assert (venues[STARBASE].keep_ns, venues[BRIDGE].keep_ns, state.first_keep_ns) == (due_ns, due_ns, due_ns)
    venues[STARBASE].keep_ns = state.first_keep_ns = desk.now_ns + 10**9
    send_due_cancels(desk.engine, venues[STARBASE], desk.now_ns)  # still not
    assert (venues[STARBASE].keep_ns, state.first_keep_ns, venues[STARBASE].cancels_due) == (due_ns, due_ns, 2)
    desk.connect(STARBASE)
    venues[STARBASE].keep_ns = desk.now_ns + 10**9
    send_due_cancels(desk.engine, venues[STARBASE], desk.now_ns)
    assert (venues[STARBASE].cancels_due, venues[STARBASE].keep_ns) == (0, desk.now_ns + 10**9)
    assert [order.cancel_due for order in (first, second, other, kept)] == [0, 0, 1, 0]
    states = [OrderState.PENDING_CANCEL] * 2 + [OrderState.LIVE] * 2
    assert [order.state for order in (first, second, other, kept)] == states
    # A session that has ended is not looked at again.
    desk.connect(BRIDGE, SessionState.ENDED)
    venues[BRIDGE].keep_ns = desk.now_ns + 10**9
    send_due_cancels(desk.engine, venues[BRIDGE], desk.now_ns)
    assert (venues[BRIDGE].cancels_due, venues[BRIDGE].keep_ns) == (1, desk.now_ns + 10**9)
    desk.say(other, ReportKind.CANCELLED)
    assert venues[BRIDGE].cancels_due == 0


def test_a_quote_that_is_not_answered_is_looked_at_again(desk: OrderDesk) -> None:
    venue = desk.engine.venues[STARBASE]
    bid, ask = (order for order in quotes(desk, LINEAR))
    for order in (bid, ask):
        cancel(desk.desk, order.client_order_id)
    desk.send()
    assert venue.cancels_due == 2
    desk.say(ask, ReportKind.ACK, exchange_order_id=4)
    venue.keep_ns = desk.now_ns + 10**9
    send_due_cancels(desk.engine, venue, desk.now_ns)
    assert (bid.cancel_due, ask.cancel_due, venue.cancels_due) == (1, 0, 1)
    assert (ask.state, venue.keep_ns) == (OrderState.PENDING_CANCEL, desk.now_ns + CANCEL_RETRY_NS)


def test_a_cancel_of_all_without_a_slot_is_tried_again_soon(desk: OrderDesk) -> None:
    venue = desk.engine.venues[STARBASE]
    desk.connect(STARBASE, SessionState.LOGGING_ON)
    venue.session.state = SessionState.READY  # and no gateway is
    venue.cancel_due, venue.keep_ns, desk.engine.state.first_keep_ns = 1, desk.now_ns + 10**9, desk.now_ns + 10**9
    send_due_cancel(desk.engine, venue, desk.now_ns)
    due_ns = desk.now_ns + CANCEL_RETRY_NS
    assert (venue.cancel_due, venue.keep_ns, desk.engine.state.first_keep_ns) == (1, due_ns, due_ns)


def test_an_alarm_ends_the_turn_at_once(desk: OrderDesk) -> None:
    order = desk.live()
    for first_keep_ns in (desk.now_ns + 5, desk.now_ns - 5):
        desk.gate.alarms, desk.engine.state.first_keep_ns = 0, first_keep_ns
        for venue in (STARBASE, BRIDGE):
            desk.engine.venues[venue].keep_ns = desk.now_ns + 10**9
        desk.say(order, ReportKind.AMENDED)
        assert desk.engine.state.first_keep_ns == min(first_keep_ns, desk.now_ns)
