"""What a venue says that we have, part by part: which orders it confirms, what counts as strange, what differs."""

import pytest

from crosswire.engine.account import forget_account, is_unheard, take_account
from crosswire.venues.order import ORDERS_BITS, Applied, Order, OrderState, Report, ReportKind, cancel_sent
from crosswire.venues.side import BUY, SELL
from tests.support.order_desk import OrderDesk

STARBASE, BRIDGE = 0, 1
INVERSE, LINEAR, USDT = 0, 1, 2


def take(desk: OrderDesk, kind: ReportKind, **values: int) -> bool:
    """One part of what Starbase tells; True if it is the last."""
    report = Report(kind=kind, **({"venue": STARBASE} | values))
    return bool(take_account(desk.engine, desk.engine.venues[STARBASE], report, desk.now_ns))


def opened(desk: OrderDesk, order: Order, **changes: int) -> tuple[int, int]:
    """Starbase has an order open; the number of strangers since, and whether it is confirmed."""
    named = {name: getattr(order, name) for name in ("client_order_id", "instrument", "side", "exchange_order_id")}
    named["leaves_lots"] = order.qty_lots - order.filled_lots
    venue = desk.engine.venues[STARBASE]
    strangers = venue.strangers
    assert not take(desk, ReportKind.OPEN, **(named | changes))
    desk.records()
    outcome = Applied.UNKNOWN_ORDER if venue.strangers != strangers else Applied.UPDATED
    assert desk.last["REPORT"]["outcome"] == outcome
    return venue.strangers - strangers, order.is_confirmed


def end(desk: OrderDesk, **values: int) -> None:
    last = desk.orders.last_execution_ids[STARBASE]
    assert take(desk, ReportKind.ACCOUNT_END, **({"execution_id": last} | values))


def test_an_order_is_confirmed_if_all_that_is_said_of_it_is_so(desk: OrderDesk) -> None:
    order, other = desk.live(LINEAR), desk.live(USDT)
    desk.say(order, ReportKind.FILL, qty_lots=4)
    for changes in (
        {"client_order_id": 77},
        {"client_order_id": other.client_order_id, "instrument": USDT},
        {"instrument": INVERSE},
        {"side": SELL},
        {"instrument": INVERSE, "side": SELL},
        {"leaves_lots": 5},
        {"leaves_lots": 14},
    ):
        assert opened(desk, order, **changes) == (1, 0), changes
    assert opened(desk, order, exchange_order_id=99) == (0, 1)
    assert (order.state, order.exchange_order_id, order.acked_ns < desk.now_ns) == (OrderState.LIVE, 99, False)
    cancel_sent(order)
    order.acked_ns = 5
    assert opened(desk, order) == (0, 1)
    assert (order.state, order.acked_ns) == (OrderState.PENDING_CANCEL, 5)
    order.state = OrderState.FILLED  # not freed yet
    assert opened(desk, order)[0] == 1
    order.state = OrderState.LIVE


def test_an_order_that_nobody_has_acknowledged_lives_if_it_is_open_there(desk: OrderDesk) -> None:
    order = desk.order()
    assert order is not None
    assert opened(desk, order, exchange_order_id=98) == (0, 1)
    assert (order.state, order.exchange_order_id, order.acked_ns) == (OrderState.LIVE, 98, desk.now_ns)


@pytest.mark.parametrize(("instrument", "is_strange"), [(-1, True), (USDT, True), (INVERSE, False), (LINEAR, False)])
def test_a_holding_is_of_an_instrument_of_the_venue(desk: OrderDesk, instrument: int, is_strange: bool) -> None:
    state, venue = desk.engine.state, desk.engine.venues[STARBASE]
    assert not take(desk, ReportKind.HOLDING, instrument=instrument, qty_lots=-6)
    assert venue.strangers == int(is_strange)
    told = [0 if is_strange or index != instrument else -6 for index in range(3)]
    assert [state.theirs_lots[index] for index in range(3)] == told
    desk.records()
    assert desk.last["REPORT"]["outcome"] == (Applied.BAD_INSTRUMENT if is_strange else Applied.UPDATED)
    forget_account(desk.engine, venue)


def test_the_end_compares_what_is_held_and_begins_anew(desk: OrderDesk) -> None:
    state, venue = desk.engine.state, desk.engine.venues[STARBASE]
    ours = [desk.gate.positions[index].position_lots for index in range(3)]
    accounts, state.told_lots[USDT] = venue.accounts, 77
    take(desk, ReportKind.HOLDING, instrument=INVERSE, qty_lots=ours[0] + 5)
    take(desk, ReportKind.HOLDING, instrument=LINEAR, qty_lots=ours[1])
    state.theirs_lots[USDT] = 3
    desk.records()
    end(desk)
    assert (venue.accounts, venue.differences, venue.strangers) == (accounts + 1, 1, 0)
    assert desk.records() == {"REPORT": 1, "DIFFERENCE": 1}
    assert desk.last["DIFFERENCE"] == {"instrument": INVERSE, "ours_lots": ours[0], "theirs_lots": ours[0] + 5}
    assert [state.told_lots[index] for index in range(3)] == [ours[0] + 5, ours[1], 77]
    assert [state.theirs_lots[index] for index in range(3)] == [0, 0, 3]
    state.theirs_lots[USDT] = 0


def test_ids_go_on_above_what_the_venue_has_had(desk: OrderDesk) -> None:
    counter = desk.orders.counter
    end(desk, client_order_id=(counter - 1) << ORDERS_BITS | 5)
    assert desk.orders.counter == counter
    end(desk, client_order_id=(counter + 3) << ORDERS_BITS | 5)
    assert desk.orders.counter == counter + 3


def test_a_venue_that_forgets_fills_differs(desk: OrderDesk) -> None:
    desk.orders.last_execution_ids[STARBASE] = 50
    venue, outcomes = desk.engine.venues[STARBASE], desk.orders.outcomes
    bad, held = outcomes[Applied.BAD_EXECUTION], [desk.gate.positions[index].position_lots for index in range(2)]
    for execution_id, last, differences in ((50, 50, 0), (51, 51, 0), (50, 51, 1)):
        for index in range(2):
            take(desk, ReportKind.HOLDING, instrument=index, qty_lots=held[index])
        end(desk, execution_id=execution_id)
        assert (desk.orders.last_execution_ids[STARBASE], venue.differences) == (last, differences)
        assert outcomes[Applied.BAD_EXECUTION] == bad + differences
        desk.records()
        assert desk.last["REPORT"]["outcome"] == (Applied.BAD_EXECUTION if differences else Applied.UPDATED)


def test_what_was_told_is_forgotten_with_the_session(desk: OrderDesk) -> None:
    state = desk.engine.state
    own, other = desk.live(), desk.live(USDT)
    own.is_confirmed = other.is_confirmed = 1
    for index in range(3):
        state.theirs_lots[index] = 4
    forget_account(desk.engine, desk.engine.venues[STARBASE])
    assert (own.is_confirmed, other.is_confirmed) == (0, 1)
    assert [state.theirs_lots[index] for index in range(3)] == [0, 0, 4]
    state.theirs_lots[USDT] = 0


def test_which_orders_are_unheard_of() -> None:
    order = Order(state=OrderState.LIVE, venue=STARBASE, side=BUY)
    assert is_unheard(order, STARBASE)
    assert not is_unheard(order, BRIDGE)
    order.is_confirmed = 1
    assert not is_unheard(order, STARBASE)
    order.is_confirmed, order.state = 0, OrderState.FILLED
    assert not is_unheard(order, STARBASE)
