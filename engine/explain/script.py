"""A strategy that sends what a live run has sent, at the same times, whatever comes of it."""

from typing import Annotated

import msgspec

from crosswire.nic.memory.struct import Pointer, Struct, array, i64
from crosswire.nic.rings.ring import NEVER_NS
from crosswire.strategies.desk import Desk, amend, cancel, submit, wake_at
from crosswire.strategies.interface import BuildContext, Strategy, on_order, on_timer
from crosswire.venues.order import Order

STEP_NEW = 0
STEP_CANCEL = 1
STEP_AMEND = 2


class Step(Struct):
    """One thing that the run did. An order is known by its place among those that the run sent."""

    time_ns: i64
    kind: i64  # STEP_NEW, ...
    place: i64
    instrument: i64
    side: i64
    time_in_force: i64
    price_ticks: i64
    qty_lots: i64


class ScriptedParameters(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """It has none: the script is set before the run."""


class Scripted(Strategy):
    """Follows `steps`; `order_ids` are those that its orders have in this run, by place."""

    count: i64
    position: i64
    steps: Annotated[Pointer, Step]
    order_ids: Annotated[Pointer, i64]

    @classmethod
    def build(cls, _parameters: ScriptedParameters, _context: BuildContext) -> "Scripted":
        """Make it without a script."""
        strategy = cls()
        strategy.steps, strategy.order_ids = array(Step, 1), array(i64, 1)
        return strategy


def set_script(strategy: Scripted, desk: Desk, steps: list[tuple[int, ...]], orders: int) -> None:
    """Give it what to do, in order of time: rows of `Step`, over so many orders."""
    told = array(Step, max(1, len(steps)))
    for place, values in enumerate(steps):
        for name, value in zip(Step.fields, values, strict=True):
            setattr(told[place], name, value)
    strategy.steps, strategy.order_ids = told, array(i64, max(1, orders))
    strategy.count, strategy.position = len(steps), 0
    desk.timer_ns = told[0].time_ns if steps else NEVER_NS


@on_timer.register(Scripted)
def take_steps(strategy: Scripted, desk: Desk) -> None:
    while strategy.position < strategy.count and strategy.steps[strategy.position].time_ns <= desk.now_ns:
        step = strategy.steps[strategy.position]
        strategy.position += 1
        if step.kind == STEP_NEW:
            submit(
                desk, step.instrument, step.side, step.price_ticks, step.qty_lots, step.time_in_force, 0,
                step.place + 1, step.place,
            )  # fmt: skip
        elif strategy.order_ids[step.place] == 0:
            continue
        elif step.kind == STEP_CANCEL:
            cancel(desk, strategy.order_ids[step.place])
        else:
            amend(desk, strategy.order_ids[step.place], step.price_ticks, step.qty_lots)
    if strategy.position < strategy.count:
        wake_at(desk, strategy.steps[strategy.position].time_ns)


@on_order.register(Scripted)
def note_id(strategy: Scripted, _desk: Desk, order: Order) -> None:
    strategy.order_ids[order.tag] = order.client_order_id
