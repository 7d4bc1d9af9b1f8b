"""What hedging at one listing costs now: its book walked on one side, level by level, for a size.

The order is a taker's, so that values are after the taker fee. Roundings go against us: what a sale brings is rounded
down, what a purchase costs up.
"""

from crosswire.nic.memory.struct import Struct, i64
from crosswire.nic.unit.compile import compiled
from crosswire.strategies.listing import Listing, is_price, rated_up_e9, sale_e9, value_e9
from crosswire.strategies.planned import OrderPlan, add_level
from crosswire.venues.book.book import Book, best_level, executable_lots, next_level
from crosswire.venues.instrument import Instrument, base_e9, divide_e9
from crosswire.venues.side import ASK, BID, SELL


class Hedge(Struct):
    """One order that a book could fill now."""

    listing: i64
    price_ticks: i64  # of the last level that is needed
    size_e9: i64  # base coin: what was asked for, or what the levels offer if that is less
    value_e9: i64  # of all of it, common currency: what a sale brings, what a purchase costs
    unit_value_e9: i64  # of one coin of it, on average
    levels: OrderPlan


@compiled
def walk_book(
    hedge: Hedge,
    number: int,
    listing: Listing,
    instrument: Instrument,
    book: Book,
    side: int,
    cost_rate_e9: int,
    depth: int,
    size_e9: int,
) -> None:
    """Find what an order of `side` for `size_e9` of base would take of up to `depth` levels; size 0: nothing.

    A purchase costs its price times `cost_rate_e9`; what a sale brings the listing knows.
    """
    hedge.listing = number
    hedge.price_ticks = 0
    hedge.size_e9 = 0
    hedge.value_e9 = 0
    hedge.unit_value_e9 = 0
    hedge.levels.count = 0
    if book.valid == 0:
        return
    book_side = BID if side == SELL else ASK
    ticks = best_level(book, book_side)
    for _ in range(depth):
        if hedge.size_e9 >= size_e9 or not is_price(ticks):
            break
        lots = executable_lots(book, book_side, ticks)
        step_e9 = min(base_e9(instrument, ticks, lots), size_e9 - hedge.size_e9)
        if side == SELL:
            hedge.value_e9 += value_e9(step_e9, sale_e9(listing, instrument, ticks))
        else:
            hedge.value_e9 -= value_e9(-step_e9, rated_up_e9(instrument, ticks, cost_rate_e9))
        hedge.size_e9 += step_e9
        hedge.price_ticks = ticks
        add_level(hedge.levels, ticks, lots)
        ticks = next_level(book, book_side, ticks)
    if hedge.size_e9 > 0:
        value = hedge.value_e9 if side == SELL else -hedge.value_e9
        hedge.unit_value_e9 = abs(divide_e9(value, hedge.size_e9))
