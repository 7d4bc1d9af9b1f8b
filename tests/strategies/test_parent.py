"""A size is worked in slices, whatever becomes of each: never more than it, never two at once, and all in the end."""

from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crosswire import BUY, SELL, BuildContext, Desk, Order, Strategy, on_named_timer, on_order
from crosswire.strategies.parent import (
    FILLED,
    REFUSALS_MAX,
    STOPPED,
    ParentOrder,
    parent_order_changed,
    parent_order_due,
    set_parent_order,
    stop_parent_order,
    work_parent_order,
)
from crosswire.testing import Answer, Harness, fill, linear, miss, reject, veto

TIMER, TAG, INTERVAL_NS = 3, 5, 1_000_000


class Parameters(msgspec.Struct):
    pass


class Working(Strategy):
    parent: ParentOrder

    @classmethod
    def build(cls, parameters: Parameters, context: BuildContext) -> "Working":
        strategy = cls()
        set_parent_order(strategy.parent, 0, TIMER, TAG)
        return strategy


@on_named_timer.register(Working)
def ring(strategy: Working, desk: Desk, timer: int) -> None:
    parent_order_due(strategy.parent, desk, timer)


@on_order.register(Working)
def hear(strategy: Working, desk: Desk, order: Order) -> None:
    parent_order_changed(strategy.parent, desk, order)


def made(side: int, total_lots: int, slice_lots: int, limit_ticks: int = 1000) -> tuple[Harness, Any]:
    """A parent order that has just begun, with a book that trades at its limit."""
    harness = Harness(Working, {}, {"a": linear()})
    harness.set_book_ticks("a", bids=[(1000, 9)], asks=[(1000 if side == BUY else 1001, 9)])
    parent = harness.strategy.parent
    assert work_parent_order(parent, harness.desk, side, limit_ticks, total_lots, slice_lots, INTERVAL_NS)
    return harness, parent


ANSWERS = st.one_of(
    st.builds(fill, st.integers(1, 5), after_ns=st.integers(0, 3 * INTERVAL_NS)),
    st.builds(miss, st.integers(0, 3 * INTERVAL_NS)),
    st.builds(reject, st.integers(0, 3 * INTERVAL_NS)),
    st.builds(veto),
)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([BUY, SELL]), st.integers(1, 30), st.integers(1, 7), st.lists(ANSWERS, max_size=12))
def test_the_whole_is_filled_slice_by_slice(side: int, total: int, slice_lots: int, answers: list[Answer]) -> None:
    harness, parent = made(side, total, slice_lots)
    harness.answers = answers
    for _ in range(100):
        harness.advance(INTERVAL_NS)
        assert 0 <= parent.filled_lots + parent.child_lots <= total
    sent = harness.orders
    assert all(order.side == side and order.qty_lots <= slice_lots and order.tag == TAG for order in sent)
    times = [order.sent_ns for order in sent]
    assert all(later - earlier >= INTERVAL_NS for earlier, later in pairwise(times))
    filled = sum(order.filled_lots for order in sent)
    assert parent.filled_lots == filled == abs(harness.position_lots("a"))
    assert parent.children == len(sent)
    assert parent.state in (FILLED, STOPPED)
    assert (parent.state == FILLED) == (filled == total)
    if parent.state == STOPPED:
        assert parent.refusals == REFUSALS_MAX


@pytest.mark.parametrize("side", [BUY, SELL])
def test_nothing_is_sent_where_the_limit_takes_nothing(side: int) -> None:
    harness, parent = made(side, 4, 2, limit_ticks=999 if side == BUY else 1001)
    harness.advance(5 * INTERVAL_NS)
    assert harness.orders == []
    harness.set_book_ticks("a", bids=[(1001, 1)], asks=[(999, 1)] if side == BUY else [])
    harness.advance(5 * INTERVAL_NS)
    assert (parent.state, parent.filled_lots) == (FILLED, 4)


def test_it_stops_when_it_is_told_to_and_can_begin_again() -> None:
    harness, parent = made(BUY, 10, 2)
    harness.otherwise = fill(after_ns=INTERVAL_NS // 2)
    harness.advance(2 * INTERVAL_NS)
    assert not work_parent_order(parent, harness.desk, BUY, 1000, 1, 1, INTERVAL_NS)
    stop_parent_order(parent, harness.desk)
    filled = parent.filled_lots + parent.child_lots
    harness.advance(20 * INTERVAL_NS)
    assert (parent.state, parent.filled_lots, parent.child_lots) == (STOPPED, filled, 0)
    assert not work_parent_order(parent, harness.desk, BUY, 1000, 0, 1, INTERVAL_NS)
    assert work_parent_order(parent, harness.desk, SELL, 1000, 3, 3, INTERVAL_NS)
    harness.advance(3 * INTERVAL_NS)
    assert (parent.state, parent.filled_lots) == (FILLED, 3)


@pytest.mark.parametrize(("timer", "tag", "said"), [(8, 1, "timer = 8"), (-1, 1, "timer = -1"), (0, 0, "tag = 0")])
def test_what_can_not_be_worked_is_one_line(timer: int, tag: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        set_parent_order(ParentOrder(), 0, timer, tag)
