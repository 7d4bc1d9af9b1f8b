"""`restless`: orders, quotes, amends and cancels by chance, of every kind that the desk offers. For simulations.

It earns nothing. It is there to bring an engine and a venue into all the states that they can be in together.
"""

from typing import Annotated

import msgspec

from crosswire.nic.memory.struct import Array, i64
from crosswire.nic.unit.compile import compiled
from crosswire.strategies.desk import Desk, amend, cancel, cancel_by_id, quote, submit
from crosswire.strategies.interface import BuildContext, Strategy, on_book, on_order
from crosswire.strategies.parameters import Parameter
from crosswire.venues.order import GTC, IOC, POST_ONLY, AmendState, Order, OrderState
from crosswire.venues.side import BUY

KEPT_MAX = 8  # orders to choose from
TRADED_MAX = 16


class RestlessParameters(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """The parameters of `restless`."""

    instruments: Annotated[list[str], Parameter("", f'"venue/symbol", 1 to {TRADED_MAX}')]
    seed: Annotated[int, Parameter("", "the same one asks for the same")]
    every: Annotated[int, Parameter("changes", "of a book between two requests", least=1)] = 20
    lots: Annotated[int, Parameter("lots", "of the largest order", least=1)] = 20
    wild: Annotated[
        bool, Parameter("", "quotes may take and be held; cancels are asked for twice, by either number")
    ] = False


class Restless(Strategy):
    """What it does next is drawn from `random`; it counts what became of it."""

    random: i64
    instrument_count: i64
    every: i64
    lots: i64
    wild: i64
    seen: i64
    amended: i64
    amends_refused: i64
    amends_vetoed: i64
    cancelled: i64
    quoted: i64
    held: i64
    filled: i64
    instruments: Annotated[Array, i64, TRADED_MAX]  # market indices
    kept: Annotated[Array, i64, KEPT_MAX]  # client order ids
    numbers: Annotated[Array, i64, KEPT_MAX]  # the venue's, in the same places
    kept_instruments: Annotated[Array, i64, KEPT_MAX]
    bid_ticks: Annotated[Array, i64, TRADED_MAX]  # best prices seen last, of books that may have been lost since
    ask_ticks: Annotated[Array, i64, TRADED_MAX]

    @classmethod
    def build(cls, parameters: RestlessParameters, context: BuildContext) -> "Restless":
        """Check the parameters; ValueError with one line if they do not fit."""
        if not 1 <= len(parameters.instruments) <= TRADED_MAX:
            raise ValueError(f"instruments: {len(parameters.instruments)}, must be 1 to {TRADED_MAX}")
        strategy = cls(random=parameters.seed, every=parameters.every, lots=parameters.lots, wild=int(parameters.wild))
        strategy.instrument_count = len(parameters.instruments)
        for place, name in enumerate(parameters.instruments):
            strategy.instruments[place] = context.index_of(name)
        return strategy

    def counters(self) -> dict[str, int]:
        """Tell what became of its requests."""
        names = ("amended", "amends_refused", "amends_vetoed", "cancelled", "quoted", "held", "filled")
        return {name.replace("_", " "): getattr(self, name) for name in names}


@compiled
def pick(strategy: Restless, count: int) -> int:
    """Draw a number in 0..count - 1."""
    strategy.random = (strategy.random * 1_103_515_245 + 12_345) % (1 << 31)
    return strategy.random // 65_536 % count


@on_book.register(Restless)
def fidget(strategy: Restless, desk: Desk, instrument: int) -> None:
    for place in range(strategy.instrument_count):
        if strategy.instruments[place] == instrument:
            strategy.bid_ticks[place] = desk.books[instrument].bid_ticks
            strategy.ask_ticks[place] = desk.books[instrument].ask_ticks
            strategy.seen += 1
            if strategy.seen % strategy.every == 0:
                act(strategy, desk)


@compiled
def act(strategy: Restless, desk: Desk) -> None:
    """Ask for one thing or another, of any instrument."""
    place = pick(strategy, KEPT_MAX)
    what = pick(strategy, 10)
    if what < 3:
        submit_one(strategy, desk, pick(strategy, strategy.instrument_count))
    elif what < 6:
        price_ticks = desk.books[strategy.kept_instruments[place]].bid_ticks + pick(strategy, 8) - 4
        amend(desk, strategy.kept[place], price_ticks, 1 + pick(strategy, strategy.lots))
    elif what == 6:
        cancel(desk, strategy.kept[place])
    elif what == 7:
        cancel_by_id(desk, strategy.kept_instruments[place], strategy.numbers[place])
        if strategy.wild != 0:
            cancel(desk, strategy.kept[place])
    else:
        quote_all(strategy, desk)


@compiled
def submit_one(strategy: Restless, desk: Desk, place: int) -> None:
    """Ask for an order near the best price that was seen last: whether the book still is proven, the gate knows."""
    away_ticks = pick(strategy, 4) - 1
    side = pick(strategy, 2)
    price_ticks = strategy.bid_ticks[place] - away_ticks if side == BUY else strategy.ask_ticks[place] + away_ticks
    time_in_force = GTC if pick(strategy, 2) == 0 else POST_ONLY
    if pick(strategy, 4) == 0:
        time_in_force = IOC
    lots = 1 + pick(strategy, strategy.lots)
    submit(desk, strategy.instruments[place], side, price_ticks, lots, time_in_force=time_in_force)


@compiled
def quote_all(strategy: Restless, desk: Desk) -> None:
    """Ask for a bid and an ask of every instrument."""
    half_ticks = 1 + pick(strategy, 3)
    shift_ticks = pick(strategy, 9) - 4 if strategy.wild != 0 else 0
    time_in_force = GTC if strategy.wild != 0 else POST_ONLY
    for place in range(strategy.instrument_count):
        bid_ticks = strategy.bid_ticks[place] - half_ticks + 1 + shift_ticks
        ask_ticks = strategy.ask_ticks[place] + half_ticks - 1 + shift_ticks
        bid_lots = 1 + pick(strategy, strategy.lots)
        quote(desk, strategy.instruments[place], bid_ticks, bid_lots, ask_ticks, 5, time_in_force=time_in_force)


@on_order.register(Restless)
def hear(strategy: Restless, desk: Desk, order: Order) -> None:
    if order.state == OrderState.LIVE:
        hear_live(strategy, desk, order)
    if order.amend_state == AmendState.DONE:
        strategy.amended += 1
    elif order.amend_state == AmendState.REJECTED:
        strategy.amends_refused += 1
    elif order.amend_state == AmendState.VETOED:
        strategy.amends_vetoed += 1
    if order.state == OrderState.CANCELLED:
        strategy.cancelled += 1
    elif order.state == OrderState.FILLED:
        strategy.filled += 1


@compiled
def hear_live(strategy: Restless, desk: Desk, order: Order) -> None:
    """Keep a live order to do something with later; ask for the end of some that are held at once, three times."""
    place = pick(strategy, KEPT_MAX)
    strategy.kept[place] = order.client_order_id
    strategy.numbers[place] = order.exchange_order_id
    strategy.kept_instruments[place] = order.instrument
    if order.is_quote != 0:
        strategy.quoted += 1
    if order.queued == 0:
        return
    strategy.held += 1
    if strategy.wild != 0 and pick(strategy, 2) == 0 and order.time_in_force != IOC:
        cancel(desk, order.client_order_id)
        cancel_by_id(desk, order.instrument, order.exchange_order_id)
        cancel(desk, order.client_order_id)
