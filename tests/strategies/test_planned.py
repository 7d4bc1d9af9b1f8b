"""What an order was planned at, level by level."""

from hypothesis import given
from hypothesis import strategies as st

from crosswire.strategies.desk import Desk
from crosswire.strategies.legs import plan_of
from crosswire.strategies.planned import LEVELS_MAX, OrderPlan, add_level, use_up
from crosswire.testing import fill, miss
from crosswire.venues.side import BUY, SELL
from tests.support.leg_setup import MS, make

levels = st.lists(st.tuples(st.integers(1, 1000), st.integers(1, 50)), max_size=12)


@given(levels, st.lists(st.integers(0, 60), max_size=8))
def test_fills_use_a_plan_up_from_its_front(planned: list[tuple[int, int]], fills: list[int]) -> None:
    plan = OrderPlan()
    for level in planned:
        add_level(plan, *level)
    lots = [ticks for ticks, count in planned[:LEVELS_MAX] for _ in range(count)]
    for count in fills:
        taken, lots = lots[:count], lots[count:]
        assert use_up(plan, count, 7) == sum(taken) + 7 * (count - len(taken))


def test_garbage_in_a_plan_is_read_within_its_bounds() -> None:
    plan = OrderPlan(count=1 << 40)
    for level in plan.levels:
        level.price_ticks, level.qty_lots = 5, -(1 << 40)
    assert use_up(plan, 3, 7) == 21


def planned(desk: Desk, side: int) -> list[tuple[int, int]]:
    """The levels of the first trade's plan of one leg."""
    plan = desk.plans[plan_of(0, side) - 1]
    return [(plan.levels[place].price_ticks, plan.levels[place].qty_lots) for place in range(plan.count)]


def test_each_leg_names_its_plan_and_a_retry_goes_on_with_it() -> None:
    harness = make(depth=3, size_max=2)
    harness.answers = [fill(), miss()]
    harness.set_book("a", bids=[("99.9", 5)], asks=[("100.0", "0.5"), ("100.1", "0.7"), ("100.2", 5)])
    harness.set_book("b", bids=[("101.0", "0.2"), ("100.9", 5)], asks=[("101.1", 5)])
    assert planned(harness.desk, BUY) == [(1000, 500), (1001, 700), (1002, 5000)]
    assert planned(harness.desk, SELL) == [(1010, 200), (1009, 5000)]
    harness.advance(MS)
    assert [order.plan for order in harness.orders[:3]] == [plan_of(0, BUY), plan_of(0, SELL), plan_of(0, SELL)]
