"""A strategy that asks for mass quotes and cancels in every order that matters, and writes down all that it is told.

One step every STEP_NS, and what came of it, side by side with what the accounts say: to be held against another run.
"""

from typing import Annotated, Any

import msgspec

from crosswire import (
    BUY,
    GTC,
    POST_ONLY,
    Array,
    BuildContext,
    Desk,
    Order,
    Report,
    Strategy,
    amend,
    cancel,
    cancel_all,
    cancel_by_id,
    compiled,
    i64,
    on_book,
    on_fill,
    on_named_timer,
    on_order,
    quote,
    set_timer,
    submit,
)

BEGIN_NS = 300_000_000  # behind the logon of a real session
STEP_NS = 20_000_000
AWAY_TICKS = 100  # at which nothing trades
STEPS = 20
UNKNOWN_ID = 4711
TOLD_MAX = 128
FILLED = 100  # in place of a state: on_fill


class Parameters(msgspec.Struct, forbid_unknown_fields=True):
    quoted: str
    other: str  # at a venue that takes no mass quotes


class Told(msgspec.Struct, frozen=True):
    """One call of on_order or on_fill, and the accounts then."""

    step: int
    instrument: int
    is_quote: int
    side: int
    tag: int
    state: int
    reason: int
    amend_state: int
    amend_reason: int
    client_order_id: int
    exchange_order_id: int
    filled_lots: int
    open_orders: int
    open_buy_lots: int
    open_sell_lots: int
    position_lots: int


COLUMNS = len(Told.__struct_fields__)


class Quoter(Strategy):
    quoted: i64
    other: i64
    has_begun: i64
    step: i64
    count: i64
    ids: Annotated[Array, i64, 2]  # of the quote that lives, by side
    numbers: Annotated[Array, i64, 2]  # its venue's
    cells: Annotated[Array, i64, TOLD_MAX * COLUMNS]

    @classmethod
    def build(cls, parameters: Parameters, context: BuildContext) -> "Quoter":
        return cls(quoted=context.index_of(parameters.quoted), other=context.index_of(parameters.other), step=-1)


@on_book.register(Quoter)
def begin(strategy: Quoter, desk: Desk, instrument: int) -> None:
    if strategy.has_begun == 0 and instrument == strategy.quoted:
        strategy.has_begun = 1
        set_timer(desk, 0, desk.now_ns + BEGIN_NS)


@on_named_timer.register(Quoter)
def go_on(strategy: Quoter, desk: Desk, timer: int) -> None:
    strategy.step += 1
    if strategy.step < STEPS:
        set_timer(desk, 0, desk.now_ns + STEP_NS)
        if strategy.step < 9:
            quote_and_cancel(strategy, desk, strategy.step)
        else:
            go_on_quoting(strategy, desk, strategy.step)


@compiled
def quote_away(strategy: Quoter, desk: Desk, lots: int) -> None:
    """Quote where nothing trades; the tag tells one quote from another."""
    book = desk.books[strategy.quoted]
    bid_ticks, ask_ticks = book.bid_ticks - AWAY_TICKS - lots, book.ask_ticks + AWAY_TICKS + lots
    quote(desk, strategy.quoted, bid_ticks, lots, ask_ticks, lots + 1, tag=lots)


@compiled
def quote_and_cancel(strategy: Quoter, desk: Desk, step: int) -> None:
    book = desk.books[strategy.quoted]
    if step == 0:
        quote_away(strategy, desk, 1)
    elif step == 1:  # the second finds the first without an answer
        quote_away(strategy, desk, 2)
        quote_away(strategy, desk, 3)
    elif step == 2:  # a bid at its ask, and a side of nothing
        quote(desk, strategy.quoted, book.bid_ticks, 4, book.bid_ticks, 4, tag=4)
        quote(desk, strategy.quoted, book.bid_ticks - AWAY_TICKS, 0, book.ask_ticks + AWAY_TICKS, 4, tag=5)
    elif step == 3:  # no quote is amended
        amend(desk, strategy.ids[0], book.bid_ticks - AWAY_TICKS, 9)
    elif step == 4:  # the venue cancels what has the number by then
        bid_id = strategy.ids[0]
        quote_away(strategy, desk, 6)
        cancel(desk, bid_id)
    elif step == 5:
        cancel_all(desk)
    elif step == 6:  # before they have a number
        quote_away(strategy, desk, 7)
        cancel_all(desk)
    elif step == 7:
        quote_away(strategy, desk, 8)
    elif step == 8:
        cancel_by_id(desk, strategy.quoted, strategy.numbers[0])


@compiled
def go_on_quoting(strategy: Quoter, desk: Desk, step: int) -> None:
    book = desk.books[strategy.quoted]
    if step == 9:  # the second finds it under way
        cancel_by_id(desk, strategy.quoted, strategy.numbers[1])
        cancel_by_id(desk, strategy.quoted, strategy.numbers[1])
    elif step == 10:
        cancel_by_id(desk, strategy.quoted, UNKNOWN_ID)
    elif step == 11:  # it has ended
        cancel_by_id(desk, strategy.quoted, strategy.numbers[0])
    elif step == 12:
        quote_away(strategy, desk, 9)
    elif step == 13:  # the bid would take: it is refused, and takes the one there with it
        quote(desk, strategy.quoted, book.ask_ticks + 1, 10, book.ask_ticks + AWAY_TICKS, 11, tag=10)
    elif step == 14:
        quote(
            desk,
            strategy.other,
            desk.books[strategy.other].bid_ticks - 1,
            1,
            desk.books[strategy.other].ask_ticks + 1,
            1,
        )
        cancel_by_id(desk, strategy.other, UNKNOWN_ID)
    elif step == 15:  # the bid takes
        quote(desk, strategy.quoted, book.ask_ticks + 5, 1, book.ask_ticks + AWAY_TICKS, 12, time_in_force=GTC, tag=12)
    elif step == 16:
        submit(desk, strategy.quoted, BUY, book.bid_ticks - AWAY_TICKS, 13, time_in_force=POST_ONLY, tag=13)
    elif step == 17:  # an order has a number, too
        cancel_by_id(desk, strategy.quoted, strategy.numbers[0])
    elif step == 18:  # it is refused as a whole: the one before it lives on
        quote_away(strategy, desk, 14)
    elif step == 19:
        cancel_all(desk)


@compiled
def write_down(strategy: Quoter, desk: Desk, order: Order, state: int) -> None:
    if strategy.count == TOLD_MAX:
        return
    cell = strategy.count * COLUMNS
    position = desk.positions[order.instrument]
    strategy.cells[cell] = strategy.step
    strategy.cells[cell + 1] = order.instrument == strategy.quoted
    strategy.cells[cell + 2] = order.is_quote
    strategy.cells[cell + 3] = order.side
    strategy.cells[cell + 4] = order.tag
    strategy.cells[cell + 5] = state
    strategy.cells[cell + 6] = order.reason
    strategy.cells[cell + 7] = order.amend_state
    strategy.cells[cell + 8] = order.amend_reason
    strategy.cells[cell + 9] = order.client_order_id
    strategy.cells[cell + 10] = order.exchange_order_id
    strategy.cells[cell + 11] = order.filled_lots
    strategy.cells[cell + 12] = position.open_orders
    strategy.cells[cell + 13] = position.open_buy_lots
    strategy.cells[cell + 14] = position.open_sell_lots
    strategy.cells[cell + 15] = position.position_lots
    strategy.count += 1


@on_order.register(Quoter)
def hear_order(strategy: Quoter, desk: Desk, order: Order) -> None:
    write_down(strategy, desk, order, order.state)
    if order.state == 2:  # LIVE
        strategy.ids[order.side] = order.client_order_id
        strategy.numbers[order.side] = order.exchange_order_id


@on_fill.register(Quoter)
def hear_fill(strategy: Quoter, desk: Desk, order: Order, report: Report) -> None:
    write_down(strategy, desk, order, FILLED)


def places(values: list[int]) -> dict[int, int]:
    """Number values in the order in which they first come."""
    return {value: place for place, value in enumerate(dict.fromkeys(values))}


def told(strategy: Any) -> list[Told]:
    """What a strategy was told, its order ids and the venue's numbers by the order in which they first came."""
    cells = list(strategy.cells)[: strategy.count * COLUMNS]
    rows = [Told(*map(int, cells[first : first + COLUMNS])) for first in range(0, len(cells), COLUMNS)]
    ids = places([0, *(row.client_order_id for row in rows)])
    numbers = places([0, UNKNOWN_ID, *(row.exchange_order_id for row in rows)])
    return [
        msgspec.structs.replace(
            row, client_order_id=ids[row.client_order_id], exchange_order_id=numbers[row.exchange_order_id]
        )
        for row in rows
    ]
