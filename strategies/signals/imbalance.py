"""How much more a book shows on one side than on the other.

R. Cont, A. Kukanov and S. Stoikov, The price impact of order book events, Journal of Financial Econometrics 12 (2014),
relate it to the next move. What is shown can be withdrawn: an imbalance is evidence, not a promise.
"""

from crosswire.nic.unit.compile import compiled
from crosswire.strategies.listing import is_price
from crosswire.strategies.signals.share import balance_e9
from crosswire.venues.book.book import Book, best_level, executable_lots, next_level
from crosswire.venues.side import ASK, BID

LOTS_MAX = 1 << 61  # of a side: more counts as this


@compiled
def shown_lots(book: Book, side: int, depth: int) -> int:
    """Sum the lots of the best `depth` levels of a side that can be traded with, at most LOTS_MAX."""
    lots = 0
    ticks = best_level(book, side)
    for _ in range(depth):
        if not is_price(ticks):
            break
        lots = min(LOTS_MAX, lots + min(LOTS_MAX, executable_lots(book, side, ticks)))
        ticks = next_level(book, side, ticks)
    return lots


@compiled
def imbalance_e9(book: Book, depth: int) -> int:
    """Return (bids - asks) / (bids + asks) over `depth` levels a side, 1e-9; 0 if the book is not proven."""
    if book.valid == 0:
        return 0
    return balance_e9(shown_lots(book, BID, depth), shown_lots(book, ASK, depth))
