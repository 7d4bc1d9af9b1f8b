"""A strategy can change and cancel its own orders, and no other's."""

import pytest

from crosswire.strategies.desk import amend, cancel, cancel_all, cancel_all_of, cancel_by_id, quote, submit
from crosswire.venues.order import GTC, AmendState, Order, OrderState, ReportKind
from crosswire.venues.side import BUY, SELL
from tests.support.order_desk import OrderDesk

OTHER = 1  # a strategy's number


@pytest.mark.parametrize("how", ["cancel", "cancel by id", "amend"])
@pytest.mark.parametrize("is_own", [True, False])
def test_only_its_own(desk: OrderDesk, how: str, is_own: bool) -> None:
    order = desk.live()
    order.strategy = 0 if is_own else OTHER
    desk.records()
    if how == "cancel":
        cancel(desk.desk, order.client_order_id)
    elif how == "cancel by id":
        cancel_by_id(desk.desk, order.instrument, order.exchange_order_id)
    else:
        amend(desk.desk, order.client_order_id, order.price_ticks - 1, order.qty_lots)
    desk.send()
    sent = desk.records()
    order.strategy = 0
    changed = (order.state, order.amend_state)
    assert (changed != (OrderState.LIVE, AmendState.NONE)) == is_own
    assert bool(sent) == is_own


def cancels_of(desk: OrderDesk) -> list[Order]:
    """The orders whose cancel is under way."""
    return [order for order in desk.open() if order.state == OrderState.PENDING_CANCEL]


@pytest.mark.parametrize("instrument", [None, 0, 1])
def test_all_of_its_own(desk: OrderDesk, instrument: int | None) -> None:
    """Orders, and quotes that are answered, of this strategy; another's, and what is asked for later, stay."""
    first, second, others = desk.live(0), desk.live(1), desk.live(0)
    others.strategy = OTHER
    quote(desk.desk, 1, desk.price(1, BUY), 10, desk.price(1, SELL), 10)
    desk.send()
    quotes = [order for order in desk.open() if order.is_quote]
    for number, order in enumerate(quotes):
        desk.say(order, ReportKind.ACK, exchange_order_id=900 + number)
    asked = desk.desk.cancels_asked
    submit(desk.desk, 0, BUY, desk.price(0, BUY), 10, GTC)
    cancel_all(desk.desk) if instrument is None else cancel_all_of(desk.desk, instrument)
    submit(desk.desk, 0, BUY, desk.price(0, BUY), 11, GTC)
    desk.send()
    wanted = [each for each in (first, second, *quotes) if instrument in (None, each.instrument)]
    cancelled = cancels_of(desk)
    of_this_turn = 0 if instrument == 1 else 1
    assert len(cancelled) == len(wanted) + of_this_turn == desk.desk.cancels_asked - asked
    assert {order.client_order_id for order in wanted} <= {order.client_order_id for order in cancelled}
    assert others.state == OrderState.LIVE
    assert [order.state for order in desk.open() if order.qty_lots == 11] == [OrderState.PENDING_NEW]
    desk.records()
    cancel_all(desk.desk)  # of what is under way nothing is sent again
    desk.send()
    assert desk.records().get("CANCEL_SENT", 0) == len(cancels_of(desk)) - len(cancelled)
    others.strategy = 0
