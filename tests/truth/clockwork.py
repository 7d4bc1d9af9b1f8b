"""`Clockwork`: two orders at every tick of a clock, whatever became of the last ones.

Another simulator can then be given the same orders at the same times. With `lifetime` 0 the orders take (IOC), else
they rest (post-only) and are cancelled that many ticks later.
"""

from typing import Annotated

import msgspec

from crosswire.nic.duration import NS_PER_MS
from crosswire.nic.memory.struct import Array, i64
from crosswire.strategies.desk import Desk, cancel, submit, wake_at
from crosswire.strategies.interface import BuildContext, Strategy, on_book, on_order, on_timer
from crosswire.venues.order import IOC, POST_ONLY, Order, OrderState
from crosswire.venues.side import BUY

LIFETIME_MAX = 64  # ticks of the clock
SIZES_MAX = 4


class Parameters(msgspec.Struct, forbid_unknown_fields=True):
    instrument: str  # "venue/symbol"
    period_ms: int  # from tick to tick
    lifetime: int  # ticks that an order rests; 0: it takes
    away_ticks: int  # from the best price of its own side, or of the other one beyond which it may not take
    lots: list[int]  # by turns


class Clockwork(Strategy):
    instrument: i64
    period_ns: i64
    lifetime: i64
    away_ticks: i64
    sizes: i64
    ticks: i64
    next_ns: i64
    lots: Annotated[Array, i64, SIZES_MAX]
    resting: Annotated[Array, i64, 2 * LIFETIME_MAX]  # client order ids by tag, 0: none

    @classmethod
    def build(cls, parameters: Parameters, context: BuildContext) -> "Clockwork":
        if not 0 <= parameters.lifetime < LIFETIME_MAX or not 1 <= len(parameters.lots) <= SIZES_MAX:
            raise ValueError(f"lifetime must be 0 to {LIFETIME_MAX - 1}, lots 1 to {SIZES_MAX} numbers")
        strategy = cls(instrument=context.index_of(parameters.instrument), period_ns=parameters.period_ms * NS_PER_MS)
        strategy.lifetime, strategy.away_ticks = parameters.lifetime, parameters.away_ticks
        strategy.sizes = len(parameters.lots)
        for place, lots in enumerate(parameters.lots):
            strategy.lots[place] = lots
        return strategy


@on_book.register(Clockwork)
def wind_up(strategy: Clockwork, desk: Desk, instrument: int) -> None:
    if strategy.next_ns == 0:
        strategy.next_ns = desk.now_ns + strategy.period_ns
        wake_at(desk, strategy.next_ns)


@on_timer.register(Clockwork)
def tick(strategy: Clockwork, desk: Desk) -> None:
    strategy.next_ns += strategy.period_ns
    wake_at(desk, strategy.next_ns)
    strategy.ticks += 1
    book = desk.books[strategy.instrument]
    lots = strategy.lots[strategy.ticks % strategy.sizes]
    if strategy.lifetime == 0:
        # Twice the same side: the second order meets what the first one left.
        side = strategy.ticks // 2 % 2
        limit_ticks = book.ask_ticks + strategy.away_ticks if side == BUY else book.bid_ticks - strategy.away_ticks
        submit(desk, strategy.instrument, side, limit_ticks, lots, time_in_force=IOC)
        return
    slot = strategy.ticks % strategy.lifetime
    for side in range(2):
        tag = 2 * slot + side
        if strategy.resting[tag] != 0:
            cancel(desk, strategy.resting[tag])
        limit_ticks = book.bid_ticks - strategy.away_ticks if side == BUY else book.ask_ticks + strategy.away_ticks
        submit(desk, strategy.instrument, side, limit_ticks, lots, time_in_force=POST_ONLY, tag=tag)


@on_order.register(Clockwork)
def order_changed(strategy: Clockwork, desk: Desk, order: Order) -> None:
    if strategy.lifetime != 0:
        if order.state == OrderState.LIVE:
            strategy.resting[order.tag] = order.client_order_id
        elif order.state > OrderState.PENDING_CANCEL and strategy.resting[order.tag] == order.client_order_id:
            strategy.resting[order.tag] = 0
