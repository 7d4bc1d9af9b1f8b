"""L2 book of one instrument: any depth in fixed memory, best price in O(1), invalid until proven and after a gap."""

from nic.compile import compiled
from nic.memory import count_trailing_zeros, shift_left
from nic.struct import Array, Struct, i64
from venues.book_pages import (
    OCCUPIED,
    PAGE_BITS,
    PAGE_MASK,
    PAGE_TICKS,
    RANK_BIAS,
    Pages,
    add_page,
    allocate_pages,
    clear_pages,
    find_page,
    home_slot,
    next_page,
    next_slot,
    page_key,
    remove_page,
    size_at,
)
from venues.book_taken import Taken, add_taken, find_taken, market_best, market_shows
from venues.side import ASK, BID

NO_BID = -(1 << 62)  # best bid of an empty side: below every price
NO_ASK = 1 << 62  # best ask of an empty side: above every price


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
    pages: Pages
    taken: Taken  # used by the simulated exchange only


def make_books(count: int, level_capacity: int) -> Array:
    """`count` empty, invalid books with room for at least `level_capacity` levels each (both sides together)."""
    books = Book.array(count)
    for book in books:
        allocate_pages(book.pages, level_capacity)
        clear_book(book)
    return books


@compiled
def clear_book(book: Book) -> None:
    """Forget all levels, the quote and what was taken; the book is invalid."""
    clear_pages(book.pages)
    book.update_id = 0
    book.bid_levels = 0
    book.ask_levels = 0
    book.level_bid_ticks = NO_BID
    book.level_ask_ticks = NO_ASK
    book.taken.count = 0
    invalidate_book(book)


@compiled
def invalidate_book(book: Book) -> None:
    """Nobody may trade on this book until it is proven again: no top, no quote. The levels stay until `clear_book`."""
    book.valid = 0
    book.quote_update_id = 0
    book.quote_bid_ticks = NO_BID
    book.quote_bid_lots = 0
    book.quote_ask_ticks = NO_ASK
    book.quote_ask_lots = 0
    book.bid_ticks = NO_BID
    book.bid_lots = 0
    book.ask_ticks = NO_ASK
    book.ask_lots = 0


@compiled
def _rank(side: int, price_ticks: int) -> int:
    """Place of a price on its side, better is smaller: bids are mirrored (~price), then all are moved above zero."""
    return (price_ticks ^ (side - 1)) + RANK_BIAS


@compiled
def _price(side: int, rank: int) -> int:
    return (rank - RANK_BIAS) ^ (side - 1)


@compiled
def set_level(book: Book, side: int, price_ticks: int, qty_lots: int) -> bool:
    """A level's absolute size in lots, 0 removes it. False: no room, or |price| beyond 2**32; the book is lost then."""
    if book.taken.count != 0:
        market_shows(book.taken, side, price_ticks, qty_lots)
    pages = book.pages
    rank = _rank(side, price_ticks)
    page = rank >> PAGE_BITS
    key = page_key(side, page)
    slot = home_slot(pages, key)
    tag = pages.tags[slot]
    while tag >> PAGE_TICKS != key:
        if tag == 0:
            if qty_lots == 0:
                return True
            slot = add_page(pages, side, page)
            if slot < 0:
                return False
            tag = key << PAGE_TICKS
        else:
            slot = next_slot(pages, slot)
            tag = pages.tags[slot]
    lane = rank & PAGE_MASK
    occupied = 1 if qty_lots != 0 else 0
    change = occupied - (tag >> lane & 1)
    tag += change << lane
    pages.tags[slot] = tag
    pages.sizes[slot * PAGE_TICKS + lane] = qty_lots
    # Whether a size is zero can't be predicted: no branch but on the side and on the best level's removal.
    if side == BID:
        book.bid_levels += change
        best = book.level_bid_ticks
        if price_ticks == best and occupied == 0:
            best = _price(BID, _next_rank(pages, BID, page, tag))
        else:
            best = max(best, price_ticks if occupied != 0 else NO_BID)
        book.level_bid_ticks = best
    else:
        book.ask_levels += change
        best = book.level_ask_ticks
        if price_ticks == best and occupied == 0:
            best = _price(ASK, _next_rank(pages, ASK, page, tag))
        else:
            best = min(best, price_ticks if occupied != 0 else NO_ASK)
        book.level_ask_ticks = best
    return True


_NO_RANK = RANK_BIAS + NO_ASK  # the rank of NO_BID is one less


@compiled
def _next_rank(pages: Pages, side: int, page: int, tag: int) -> int:
    """Rank of the best level from `page` on, whose tag is known; pages without levels on the way are given back."""
    occupied = tag & OCCUPIED
    while occupied == 0:
        page = next_page(pages, side, page)
        if page < 0:
            return _NO_RANK - (1 - side)
        slot = find_page(pages, side, page)
        occupied = pages.tags[slot] & OCCUPIED
        if occupied == 0:
            remove_page(pages, slot)
    return page << PAGE_BITS | count_trailing_zeros(occupied)


@compiled
def level_lots(book: Book, side: int, price_ticks: int) -> int:
    """Size among the levels, 0 if there is no such level."""
    return size_at(book.pages, side, _rank(side, price_ticks))


@compiled
def _next_level(book: Book, side: int, price_ticks: int) -> int:
    """The best level strictly worse than a price, NO_BID/NO_ASK at the end."""
    pages = book.pages
    rank = _rank(side, price_ticks)
    page = rank >> PAGE_BITS
    slot = find_page(pages, side, page)
    occupied = 0 if slot < 0 else pages.tags[slot] & OCCUPIED & shift_left(-2, rank & PAGE_MASK)
    while occupied == 0:
        page = next_page(pages, side, page)
        if page < 0:
            return NO_BID if side == BID else NO_ASK
        occupied = pages.tags[find_page(pages, side, page)] & OCCUPIED
    return _price(side, page << PAGE_BITS | count_trailing_zeros(occupied))


@compiled
def has_fresh_quote(book: Book) -> bool:
    """Whether the quote is newer than the levels."""
    return book.quote_update_id > book.update_id


@compiled
def set_quote(book: Book, update_id: int, bid_ticks: int, bid_lots: int, ask_ticks: int, ask_lots: int) -> None:
    """A best bid/ask message; a side of size 0 is empty. One older than the last is ignored."""
    if update_id < book.quote_update_id:
        return
    book.quote_update_id = update_id
    book.quote_bid_ticks = bid_ticks if bid_lots > 0 else NO_BID
    book.quote_bid_lots = bid_lots
    book.quote_ask_ticks = ask_ticks if ask_lots > 0 else NO_ASK
    book.quote_ask_lots = ask_lots
    if book.taken.count != 0 and has_fresh_quote(book):
        market_best(book.taken, BID, book.quote_bid_ticks)
        market_best(book.taken, ASK, book.quote_ask_ticks)
        market_shows(book.taken, BID, book.quote_bid_ticks, bid_lots)
        market_shows(book.taken, ASK, book.quote_ask_ticks, ask_lots)


@compiled
def refresh_top(book: Book) -> bool:
    """Bring `bid_*`/`ask_*` up to date after a message; True if any of the four changed."""
    if has_fresh_quote(book):
        bid_ticks = book.quote_bid_ticks
        bid_lots = book.quote_bid_lots
        ask_ticks = book.quote_ask_ticks
        ask_lots = book.quote_ask_lots
    else:
        bid_ticks = book.level_bid_ticks
        bid_lots = level_lots(book, BID, bid_ticks)
        ask_ticks = book.level_ask_ticks
        ask_lots = level_lots(book, ASK, ask_ticks)
    changed = (
        (bid_ticks ^ book.bid_ticks) | (bid_lots ^ book.bid_lots) | (ask_ticks ^ book.ask_ticks) | (ask_lots ^ book.ask_lots)
    )
    book.bid_ticks = bid_ticks
    book.bid_lots = bid_lots
    book.ask_ticks = ask_ticks
    book.ask_lots = ask_lots
    return changed != 0


@compiled
def _quote_ticks(book: Book, side: int) -> int:
    return book.quote_bid_ticks if side == BID else book.quote_ask_ticks


@compiled
def best_level(book: Book, side: int) -> int:
    """Best executable price of a side; NO_BID/NO_ASK if there is none. See `executable_lots`."""
    if has_fresh_quote(book):
        return _quote_ticks(book, side)
    return book.level_bid_ticks if side == BID else book.level_ask_ticks


@compiled
def next_level(book: Book, side: int, price_ticks: int) -> int:
    """The best executable price strictly worse than `price_ticks`; NO_BID/NO_ASK at the end."""
    if has_fresh_quote(book):
        quote = _quote_ticks(book, side)
        if (quote < price_ticks) if side == BID else (quote > price_ticks):
            return quote
    return _next_level(book, side, price_ticks)


@compiled
def executable_lots(book: Book, side: int, price_ticks: int) -> int:
    """Size that can be executed at a price. A quote newer than the levels wins: at its price there is its size, at
    better prices nothing, at worse ones the levels."""
    if has_fresh_quote(book):
        quote = _quote_ticks(book, side)
        if price_ticks == quote:
            return book.quote_bid_lots if side == BID else book.quote_ask_lots
        if (price_ticks > quote) if side == BID else (price_ticks < quote):
            return 0
    return level_lots(book, side, price_ticks)


@compiled
def take_level(book: Book, side: int, price_ticks: int, lots: int) -> None:
    """The simulated exchange's user took `lots` at a price; see `venues.book_taken` for how long that is remembered."""
    add_taken(book.taken, side, price_ticks, lots, executable_lots(book, side, price_ticks))


@compiled
def available_lots(book: Book, side: int, price_ticks: int) -> int:
    """Executable size less what is taken, not below 0."""
    lots = executable_lots(book, side, price_ticks)
    if book.taken.count == 0:
        return lots
    place = find_taken(book.taken, side, price_ticks)
    return lots if place < 0 else max(0, lots - book.taken.levels[place].taken_lots)
