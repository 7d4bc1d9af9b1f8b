"""The prices that an order was planned at, level by level: what slippage is measured against.

An order that takes several levels of a book is planned at each level's own price, not at its worst. Fills use a plan up
from its front, so what a retry does of the rest is held against the prices of that rest.
"""

from typing import Annotated

from crosswire.nic.memory.struct import Array, Struct, i64
from crosswire.nic.unit.compile import compiled, inlined

LEVELS_MAX = 8  # of one plan: what lies deeper counts at the price that was decided on, the plan's worst
PLANS_MAX = 64  # of one strategy: two for each of its trades in flight
NO_PLAN = 0  # of an order; otherwise the plan's place plus one


class PlannedLevel(Struct):
    """Some lots at one price."""

    price_ticks: i64
    qty_lots: i64  # that no fill has used up yet


class OrderPlan(Struct):
    """What an order is planned to take, the best level first."""

    count: i64
    levels: Annotated[Array, PlannedLevel, LEVELS_MAX]


@inlined
def add_level(plan: OrderPlan, price_ticks: int, qty_lots: int) -> None:
    """Add the next level; beyond LEVELS_MAX it is left out."""
    if plan.count < LEVELS_MAX:
        plan.levels[plan.count].price_ticks = price_ticks
        plan.levels[plan.count].qty_lots = qty_lots
        plan.count += 1


@compiled
def use_up(plan: OrderPlan, qty_lots: int, otherwise_ticks: int) -> int:
    """Take lots off the front; return the sum over them of the price planned for each, in ticks.

    Lots that the plan does not have count at `otherwise_ticks`. A plan is a strategy's own memory: nothing in it is
    believed beyond its bounds.
    """
    tick_lots = 0
    for place in range(min(plan.count, LEVELS_MAX)):
        level = plan.levels[place]
        used = max(0, min(qty_lots, level.qty_lots))
        level.qty_lots -= used
        qty_lots -= used
        tick_lots += used * level.price_ticks
    return tick_lots + qty_lots * otherwise_ticks
