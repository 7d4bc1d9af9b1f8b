"""What two books pay for buying in one and selling in the other, after taker fees and as deep as a size needs."""

from crosswire.nic.unit.compile import compiled
from crosswire.strategies.listing import Listing
from crosswire.strategies.plan import Plan, walk_books
from crosswire.venues.book.book import Book
from crosswire.venues.instrument import Instrument, divide_e9, multiply_e9

NO_EDGE = -(1 << 62)  # a book is not proven, or has less than the size within the depth


@compiled
def executable_edge_e9(
    plan: Plan,
    buy: Listing,
    buy_instrument: Instrument,
    buy_book: Book,
    sell: Listing,
    sell_instrument: Instrument,
    sell_book: Book,
    size_e9: int,
    depth: int,
) -> int:
    """Return what `size_e9` (base coin, 1e-9) earns a unit, in 1e-9 of the best ask in the common currency.

    (proceeds - cost) / size / best ask: both after taker fees, at the prices of the levels that the size takes, all
    roundings against us (`strategies.listing`). NO_EDGE if it can't be traded whole. `plan` is filled in on the way.
    """
    if buy_book.valid == 0 or sell_book.valid == 0 or size_e9 <= 0:
        return NO_EDGE
    walk_books(plan, buy, buy_instrument, buy_book, sell, sell_instrument, sell_book, 0, depth, size_e9, False)
    if plan.size_e9 < size_e9:
        return NO_EDGE
    ask_e9 = multiply_e9(buy_book.ask_ticks * buy_instrument.tick_e9, buy.unit_e9)
    # In two steps, each rounded down: what one unit earns, and that as a part of the price.
    return divide_e9(divide_e9(plan.value_e9, size_e9), ask_e9)
