"""An amend that nobody answers: until the order has ended, what a venue says may be by either of its terms."""

import pytest

from crosswire.venues.order import AmendState, Applied, Order, OrderState, OrderTable, ReportKind, amend_sent, open_lots
from crosswire.venues.order import apply_report as apply
from tests.venues.test_order import fill_of, make_order_table, open_buy, report_of


@pytest.fixture
def asked() -> tuple[OrderTable, Order]:
    """An order of 10 lots at 1000 that 14 at 1010 were asked for."""
    table = make_order_table()
    order = open_buy(table)
    assert apply(table, report_of(order, ReportKind.ACK), 1) == Applied.UPDATED
    amend_sent(order, 1010, 14)
    return table, order


def test_what_is_left_may_be_by_either_quantity(asked: tuple[OrderTable, Order]) -> None:
    table, order = asked
    assert apply(table, fill_of(order, 1, 4, leaves_lots=6), 1) == Applied.UPDATED
    assert apply(table, fill_of(order, 2, 4, leaves_lots=6), 1) == Applied.UPDATED
    assert apply(table, fill_of(order, 3, 1, leaves_lots=2), 1) == Applied.BAD_LEAVES
    assert apply(table, report_of(order, ReportKind.CANCELLED, leaves_lots=3), 1) == Applied.BAD_LEAVES
    assert apply(table, report_of(order, ReportKind.CANCELLED, leaves_lots=6), 1) == Applied.CLOSED
    assert (order.filled_lots, order.qty_lots, order.amend_state) == (8, 10, AmendState.PENDING)


def test_an_order_that_is_larger_by_now_is_not_filled_by_what_it_was(asked: tuple[OrderTable, Order]) -> None:
    table, order = asked
    assert apply(table, fill_of(order, 1, 10, leaves_lots=4), 1) == Applied.UPDATED
    assert open_lots(order) == 4
    assert apply(table, fill_of(order, 2, 5, leaves_lots=-1), 1) == Applied.OVERFILL
    assert apply(table, fill_of(order, 3, 4, 1010, leaves_lots=0), 1) == Applied.CLOSED
    assert (order.state, order.filled_lots, order.qty_lots, order.price_ticks) == (OrderState.FILLED, 14, 14, 1010)
    assert order.amend_state == AmendState.DONE


def test_an_order_that_was_not_amended_is_filled_by_what_it_was(asked: tuple[OrderTable, Order]) -> None:
    table, order = asked
    assert apply(table, fill_of(order, 1, 10, leaves_lots=0), 1) == Applied.CLOSED
    assert (order.state, order.filled_lots, order.qty_lots, order.price_ticks) == (OrderState.FILLED, 10, 10, 1000)


def test_one_that_is_smaller_by_now_is_filled_sooner() -> None:
    table = make_order_table()
    order = open_buy(table)
    apply(table, report_of(order, ReportKind.ACK), 1)
    amend_sent(order, 1000, 5)
    assert apply(table, fill_of(order, 1, 5, leaves_lots=0), 1) == Applied.CLOSED
    assert (order.state, order.filled_lots) == (OrderState.FILLED, 5)


def test_one_that_ends_larger_than_it_was_has_the_terms_asked_for(asked: tuple[OrderTable, Order]) -> None:
    table, order = asked
    assert apply(table, fill_of(order, 1, 12, leaves_lots=2), 1) == Applied.UPDATED
    assert apply(table, report_of(order, ReportKind.CANCELLED, leaves_lots=2), 1) == Applied.CLOSED
    assert (order.qty_lots, order.price_ticks, order.amend_state) == (14, 1010, AmendState.DONE)


def test_without_an_amend_only_the_terms_hold(asked: tuple[OrderTable, Order]) -> None:
    table, order = asked
    order.amend_state = AmendState.REJECTED
    assert apply(table, fill_of(order, 1, 4, leaves_lots=10), 1) == Applied.BAD_LEAVES
    assert apply(table, fill_of(order, 2, 11, leaves_lots=3), 1) == Applied.OVERFILL
