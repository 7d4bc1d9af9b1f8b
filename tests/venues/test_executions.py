"""Execution ids that come out of order: each fill counts once, or is an alarm; none is dropped without a word."""

from hypothesis import given
from hypothesis import strategies as st

from crosswire.venues.order import FILLS_REMEMBERED, Applied, apply_report, make_order_table
from tests.venues.test_order import VENUE, fill_of, open_buy


def test_fills_of_two_orders_whose_ids_come_out_of_order_are_both_booked_once() -> None:
    table = make_order_table()
    first, second = open_buy(table), open_buy(table)
    assert apply_report(table, fill_of(first, 10, 3), 1) == Applied.UPDATED
    assert apply_report(table, fill_of(second, 9, 4), 2) == Applied.UPDATED
    assert (first.filled_lots, second.filled_lots) == (3, 4)
    for fill in (fill_of(first, 10, 3), fill_of(second, 9, 4)):
        assert apply_report(table, fill, 3) == Applied.DUPLICATE
    assert apply_report(table, fill_of(first, 9, 1), 4) == Applied.BAD_EXECUTION  # another fill's id
    assert (first.filled_lots, second.filled_lots) == (3, 4)


def test_a_copy_from_before_a_start_stays_one_whatever_ids_were_left_out_since() -> None:
    table = make_order_table()
    table.last_execution_ids[VENUE] = 41
    order = open_buy(table)
    assert apply_report(table, fill_of(order, 43, 1), 1) == Applied.UPDATED
    assert apply_report(table, fill_of(order, 30, 1), 2) == Applied.DUPLICATE
    assert apply_report(table, fill_of(order, 41, 1), 2) == Applied.DUPLICATE
    assert apply_report(table, fill_of(order, 42, 1), 3) == Applied.UPDATED
    assert apply_report(table, fill_of(order, 42, 1), 3) == Applied.DUPLICATE
    assert (order.filled_lots, table.untold[VENUE]) == (2, 0)


def test_what_may_be_a_copy_of_something_forgotten_is_an_alarm_and_not_booked() -> None:
    table = make_order_table()
    order = open_buy(table, 1000)
    for number in range(2, FILLS_REMEMBERED + 10):  # the first is left out
        assert apply_report(table, fill_of(order, number, 1), 1) == Applied.UPDATED
    report = fill_of(order, 1, 1)
    assert apply_report(table, report, 2) == Applied.BAD_EXECUTION
    assert report.instrument < 0
    assert order.filled_lots == FILLS_REMEMBERED + 8


@given(st.permutations(range(1, 30)), st.lists(st.integers(0, 28), max_size=40))
def test_in_whatever_order_ids_come_each_fill_counts_once(ids: list[int], repeats: list[int]) -> None:
    table = make_order_table()
    orders = [open_buy(table, 1000), open_buy(table, 1000)]
    fills = [fill_of(orders[number % 2], number, number) for number in ids]
    for place, fill in enumerate(fills):
        assert apply_report(table, fill, place) == Applied.UPDATED
        for earlier in repeats:
            if earlier <= place:
                assert apply_report(table, fills[earlier], place) == Applied.DUPLICATE
    assert sum(order.filled_lots for order in orders) == sum(ids)
    assert table.untold[VENUE] == 0
