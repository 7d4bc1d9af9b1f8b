"""Where the price of a book is between its best bid and its best ask.

The weighted middle moves towards the side that shows less: with much to buy and little to sell, the next trade is more
likely to be at the ask. It is the "micro-price" of J. Gatheral and R. Oomen, Zero-intelligence realized variance
estimation, Finance and Stochastics 14 (2010). S. Stoikov, The micro-price, Quantitative Finance 18 (2018), calls it the
weighted mid-price, and corrects it by what it does next in recorded data; that correction is not made here.
"""

from crosswire.nic.unit.compile import compiled
from crosswire.strategies.listing import is_price
from crosswire.strategies.signals.share import share_e9
from crosswire.venues.book.book import Book
from crosswire.venues.instrument import Instrument, multiply_e9

NO_PRICE = 0  # the book is not proven, or a side of it is empty


@compiled
def has_both_sides(book: Book) -> bool:
    """Tell whether a book is proven and has a price on either side."""
    return book.valid != 0 and is_price(book.bid_ticks) and is_price(book.ask_ticks)


@compiled
def middle_e9(instrument: Instrument, book: Book) -> int:
    """Return the middle of the best bid and ask, 1e-9 of the quote currency, rounded down; NO_PRICE without both."""
    if not has_both_sides(book):
        return NO_PRICE
    return (book.bid_ticks + book.ask_ticks) * instrument.tick_e9 // 2


@compiled
def microprice_e9(instrument: Instrument, book: Book) -> int:
    """Return (bid * ask size + ask * bid size) / (bid size + ask size), 1e-9 of the quote currency.

    Right within 1e-9 of the spread and one unit; NO_PRICE without both sides.
    """
    if not has_both_sides(book):
        return NO_PRICE
    spread_e9 = (book.ask_ticks - book.bid_ticks) * instrument.tick_e9
    return book.bid_ticks * instrument.tick_e9 + multiply_e9(spread_e9, share_e9(book.bid_lots, book.ask_lots))
