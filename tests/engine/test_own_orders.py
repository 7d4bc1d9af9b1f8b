"""A strategy can change and cancel its own orders, and no other's."""

import pytest

from crosswire.strategies.desk import amend, cancel, cancel_by_id
from crosswire.venues.order import AmendState, OrderState
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
