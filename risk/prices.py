"""The prices that the gate judges by: a copy of each book's top, made before any strategy sees the book.

Strategies hold the books themselves, and could write them. What is copied here none of them can reach.
"""

from crosswire.nic.duration import NS_PER_MS
from crosswire.nic.memory.struct import Struct, i64
from crosswire.nic.unit.compile import compiled, inlined
from crosswire.venues.book.book import Book

# A frame's time is its ring's, now is the run's clock, which may differ from the host's by 128 ms before it is stepped
# (`nic.clock.STEP_NS`). A book further ahead than that would never grow old.
BOOK_AHEAD_MAX_NS = 150 * NS_PER_MS


class Top(Struct):
    """Best bid and ask of one book."""

    valid: i64
    receive_time_ns: i64
    bid_ticks: i64
    bid_lots: i64
    ask_ticks: i64
    ask_lots: i64


@compiled
def copy_top(top: Top, book: Book) -> None:
    """Take over what a book shows."""
    top.valid = book.valid
    top.receive_time_ns = book.receive_time_ns
    top.bid_ticks = book.bid_ticks
    top.bid_lots = book.bid_lots
    top.ask_ticks = book.ask_ticks
    top.ask_lots = book.ask_lots


@inlined
def is_priced(top: Top, price_ticks_max: int) -> bool:
    """Tell whether both sides have a best price inside what was proven: beyond it, sums of values could wrap."""
    if top.bid_lots <= 0 or top.ask_lots <= 0:
        return False
    return top.bid_ticks >= -price_ticks_max and top.ask_ticks <= price_ticks_max


@inlined
def is_current(top: Top, age_max_ns: int, now_ns: int) -> bool:
    """Tell whether a top is at most this old, and not from the future."""
    age_ns = now_ns - top.receive_time_ns
    return age_ns <= age_max_ns and age_ns >= -BOOK_AHEAD_MAX_NS
