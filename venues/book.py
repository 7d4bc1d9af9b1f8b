"""L2 book of one instrument: any depth in fixed memory, best price in O(1), invalid until proven and after a gap."""

from typing import Annotated

from nic.compile import compiled
from nic.memory import hash_bits
from nic.struct import Array, Pointer, Struct, array, i64
from venues.side import ASK, BID

NO_BID = -(1 << 62)  # best bid of an empty side: below every price
NO_ASK = 1 << 62  # best ask of an empty side: above every price


class Slot(Struct):
    """One price of the hash table. key: (price_ticks << 1 | side) + 1... 0 when empty."""

    key: i64
    qty_lots: i64


class Book(Struct):
    """`bid_*`/`ask_*` is the top that a strategy trades on: the fresher of levels and quote (`refresh_top`)."""

    valid: i64  # 1: proven by the venue's own continuity rule
    changed: i64  # 1: a BOOK_CHANGED event of this packet exists
    update_id: i64  # the venue's continuity id of the last applied change
    exchange_time_ns: i64  # of the last applied change
    receive_time_ns: i64  # of the frame that carried it
    bid_ticks: i64
    bid_lots: i64
    ask_ticks: i64
    ask_lots: i64
    level_bid_ticks: i64  # best bid among the levels, NO_BID if none
    level_ask_ticks: i64
    bid_levels: i64  # how many levels the side has
    ask_levels: i64
    quote_update_id: i64  # continuity id of the last best bid/ask message; newer than update_id: it overlays the levels
    quote_bid_ticks: i64
    quote_bid_lots: i64
    quote_ask_ticks: i64
    quote_ask_lots: i64
    used_slots: i64
    slot_bits: i64
    slots: Annotated[Pointer, Slot]


def make_books(count: int, level_capacity: int) -> Array:
    """`count` empty, invalid books with room for at least `level_capacity` levels each (both sides together)."""
    books = Book.array(count)
    bits = max(4, (2 * level_capacity - 1).bit_length())
    for book in books:
        book.slots = array(Slot, 1 << bits)
        book.slot_bits = bits
        clear_book(book)
    return books


@compiled
def clear_book(book: Book) -> None:
    """Forget all levels and the quote; the book is invalid."""
    for index in range(1 << book.slot_bits):
        book.slots[index].key = 0
        book.slots[index].qty_lots = 0
    book.used_slots = 0
    book.valid = 0
    book.update_id = 0
    book.quote_update_id = 0
    book.bid_levels = 0
    book.ask_levels = 0
    book.level_bid_ticks = NO_BID
    book.level_ask_ticks = NO_ASK
    book.bid_ticks = NO_BID
    book.ask_ticks = NO_ASK
    book.bid_lots = 0
    book.ask_lots = 0
