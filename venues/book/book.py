"""L2 book of one instrument: any depth in fixed memory, best price in O(1), invalid until proven and after a gap.

A book with more levels than it has room for keeps those near the market (`venues.book.pages`): what it shows is right,
and ends where it does not know more. Once all that it knows of a side is gone, its best price is not known
(`sees_best`): such a book must not be valid.
"""

from typing import Annotated

from crosswire.nic.memory.raw import copy_bytes, count_trailing_zeros, hash_bits, shift_left, shift_right
from crosswire.nic.memory.struct import Array, Struct, address_of, i64, view
from crosswire.nic.unit.compile import compiled, inlined, outlined
from crosswire.venues.book.pages import (
    ABSENT,
    LET_GO,
    NO_BOUND,
    NO_GROUP,
    NO_PAGE,
    PAGE_BITS,
    PAGE_MASK,
    PAGE_TICKS,
    WORD_BITS,
    WORD_MASK,
    Pages,
    allocate_pages,
    clear_bounds,
    clear_pages,
    find_group,
    group_key,
    lay_over,
    next_group,
    next_own_group,
    occupied_at,
    place_level,
    rank_of,
    remove_group,
    size_at,
)
from crosswire.venues.book.taken import Taken, add_taken, find_taken, market_best, market_shows
from crosswire.venues.side import ASK, BID

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
    level_bid_lots: i64  # at that price, 0 if none
    level_ask_lots: i64
    bid_levels: i64  # how many levels the side has
    ask_levels: i64
    quote_update_id: i64  # continuity id of the last best bid/ask message; newer than update_id: it overlays the levels
    quote_bid_ticks: i64
    quote_bid_lots: i64
    quote_ask_ticks: i64
    quote_ask_lots: i64
    pages: Pages
    taken: Taken  # used by the simulated exchange only


class PerSide(Struct):
    """Two fields of a book side by side, the bid's first."""

    of: Annotated[Array, i64, 2]


LEVELS_AT = Book.fields["bid_levels"].offset
BEST_AT = Book.fields["level_bid_ticks"].offset
BEST_LOTS_AT = Book.fields["level_bid_lots"].offset
TOP_BYTES = Book.fields["pages"].offset  # all that is neither in the pages nor taken
for _first, _second in (("bid_levels", "ask_levels"), ("level_bid_ticks", "level_ask_ticks")):
    assert Book.fields[_second].offset == Book.fields[_first].offset + 8
assert Book.fields["level_ask_lots"].offset == BEST_LOTS_AT + 8


def make_books(count: int, level_capacity: int, *, in_large_pages: bool = False) -> Array:
    """Make `count` empty, invalid books with room for at least `level_capacity` levels each (both sides together).

    `in_large_pages` (of 2 MB) a book takes up more memory, since its levels lie all over it, and a change less time.
    """
    books = Book.array(count)
    for book in books:
        # What is allocated is zeros, which nobody must write: a book that is never used costs no memory.
        allocate_pages(book.pages, level_capacity, in_large_pages=in_large_pages)
        clear_bounds(book.pages)
        _forget(book)
    return books


@compiled
def clear_book(book: Book) -> None:
    """Forget all levels, the quote and what was taken; the book is invalid."""
    clear_pages(book.pages)
    _forget(book)


@compiled
def _forget(book: Book) -> None:
    """Forget all but what is in the pages."""
    book.update_id = 0
    book.bid_levels = 0
    book.ask_levels = 0
    book.level_bid_ticks = NO_BID
    book.level_ask_ticks = NO_ASK
    book.level_bid_lots = 0
    book.level_ask_lots = 0
    book.taken.count = 0
    invalidate_book(book)


@compiled
def invalidate_book(book: Book) -> None:
    """Let nobody trade on this book until it is proven again: no top, no quote. Its levels stay until `clear_book`."""
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
def lay_book_over(book: Book, below: Book) -> None:
    """Make a book equal to another, to be kept apart from here on (see `lay_over`); what was taken is not copied."""
    copy_bytes(address_of(book), address_of(below), TOP_BYTES)
    book.changed = 0
    book.taken.count = 0
    lay_over(book.pages, below.pages)


@inlined
def set_level(book: Book, side: int, price_ticks: int, qty_lots: int) -> bool:
    """Set a level's size in lots, 0 removes it. False: a price out of range, beyond 2**35 ticks; the book is lost then.

    True also for a level that is let go, because there is no room for one so far away.
    """
    if book.taken.count != 0:
        market_shows(book.taken, side, price_ticks, qty_lots)
    pages = book.pages
    rank = rank_of(side, price_ticks)
    key = group_key(side, rank >> WORD_BITS)
    place = (rank & WORD_MASK) >> PAGE_BITS
    group = pages.groups[hash_bits(key, pages.group_bits)]
    page = group.pages[place]
    if group.key != key or page == NO_PAGE:
        slot = place_level(pages, side, rank, qty_lots)
        if pages.is_cut != 0:
            _count_let_go(book)
        if slot < 0:
            return slot == ABSENT or slot == LET_GO
        group = pages.groups[slot]
        page = group.pages[place]
    pages.sizes[page * PAGE_TICKS + (rank & PAGE_MASK)] = qty_lots
    # A quarter to a half of all sizes are zero, in no order that a processor could predict: no branch on that, but at
    # the best price.
    bit = rank & WORD_MASK
    exists = 1 if qty_lots != 0 else 0
    before = group.occupied
    occupied = (before & ~shift_left(1, bit)) | shift_left(exists, bit)
    group.occupied = occupied
    change = exists - (shift_right(before, bit) & 1)
    # By address and not by a branch: messages of some venues change sides in no order.
    view(PerSide, address_of(book) + LEVELS_AT).of[side] += change
    best = view(PerSide, address_of(book) + BEST_AT)
    # The best price is stored only when it changes: a store each time makes every update wait for the one before.
    best_rank = rank_of(side, best.of[side])
    if rank <= best_rank:
        best_lots = view(PerSide, address_of(book) + BEST_LOTS_AT)
        if exists != 0:
            best.of[side] = price_ticks
            best_lots.of[side] = qty_lots
        elif rank == best_rank:
            if occupied != 0:  # as a rule the next best one is in the same group
                bit = count_trailing_zeros(occupied)
                best.of[side] = rank_of(side, (rank & ~WORD_MASK) | bit)
                best_lots.of[side] = pages.sizes[group.pages[bit >> PAGE_BITS] * PAGE_TICKS + (bit & PAGE_MASK)]
            else:
                best_ticks = _next_best(pages, side, rank >> WORD_BITS, 0)
                best.of[side] = best_ticks
                best_lots.of[side] = level_lots(book, side, best_ticks)
    return True


@outlined
def _count_let_go(book: Book) -> None:
    """Count the levels no more that were let go."""
    pages = book.pages
    book.bid_levels -= pages.uncounted[BID]
    book.ask_levels -= pages.uncounted[ASK]
    pages.uncounted[BID] = 0
    pages.uncounted[ASK] = 0


@compiled
def is_beyond(book: Book, side: int, price_ticks: int) -> bool:
    """Tell whether a level is so far away that the book does not keep it, because it had to let go some."""
    return book.pages.is_cut != 0 and rank_of(side, price_ticks) >= book.pages.bounds[side]


@compiled
def sees_best(book: Book) -> bool:
    """Tell whether the best prices are known: no side is empty of which levels were let go."""
    return book.pages.is_cut == 0 or (
        (book.level_bid_ticks != NO_BID or book.pages.bounds[BID] == NO_BOUND)
        and (book.level_ask_ticks != NO_ASK or book.pages.bounds[ASK] == NO_BOUND)
    )


@outlined
def _next_best(pages: Pages, side: int, group: int, occupied: int) -> int:
    """Find the best level from `group` on, whose occupancy is known; empty groups on the way are given back."""
    if pages.below != 0:
        return _next_seen(pages, side, group, occupied)
    while occupied == 0:
        group = next_own_group(pages, side, group)
        if group == NO_GROUP:
            return NO_BID if side == BID else NO_ASK
        slot = find_group(pages, side, group)
        occupied = pages.groups[slot].occupied
        if occupied == 0:
            remove_group(pages, slot)
    return rank_of(side, group << WORD_BITS | count_trailing_zeros(occupied))


@outlined
def _next_seen(pages: Pages, side: int, group: int, occupied: int) -> int:
    """Find the best level from `group` on, whose occupancy is known; what lies below is seen."""
    while occupied == 0:
        group = next_group(pages, side, group)
        if group == NO_GROUP:
            return NO_BID if side == BID else NO_ASK
        occupied = occupied_at(pages, side, group)
    return rank_of(side, group << WORD_BITS | count_trailing_zeros(occupied))


@compiled
def level_lots(book: Book, side: int, price_ticks: int) -> int:
    """Lots of a level, 0 if there is no such level."""
    return size_at(book.pages, side, rank_of(side, price_ticks))


@compiled
def worse_level(book: Book, side: int, price_ticks: int) -> int:
    """The best level strictly worse than a price, NO_BID/NO_ASK at the end."""
    rank = rank_of(side, price_ticks)
    group = rank >> WORD_BITS
    occupied = occupied_at(book.pages, side, group) & shift_left(-2, rank & WORD_MASK)
    return _next_seen(book.pages, side, group, occupied)


@compiled
def has_fresh_quote(book: Book) -> bool:
    """Tell whether the quote is newer than the levels."""
    return book.quote_update_id > book.update_id


@compiled
def set_quote(book: Book, update_id: int, bid_ticks: int, bid_lots: int, ask_ticks: int, ask_lots: int) -> None:
    """Take a best bid/ask message; a side of size 0 is empty. One older than the last is ignored."""
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
    # The levels' first: of two ways with the same stores LLVM makes one, over addresses that it has to choose first.
    bid_ticks, bid_lots = book.level_bid_ticks, book.level_bid_lots
    ask_ticks, ask_lots = book.level_ask_ticks, book.level_ask_lots
    if has_fresh_quote(book):
        bid_ticks, bid_lots = book.quote_bid_ticks, book.quote_bid_lots
        ask_ticks, ask_lots = book.quote_ask_ticks, book.quote_ask_lots
    changed = bid_ticks != book.bid_ticks or bid_lots != book.bid_lots
    changed = changed or ask_ticks != book.ask_ticks or ask_lots != book.ask_lots
    book.bid_ticks = bid_ticks
    book.bid_lots = bid_lots
    book.ask_ticks = ask_ticks
    book.ask_lots = ask_lots
    return changed


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
    return worse_level(book, side, price_ticks)


@compiled
def executable_lots(book: Book, side: int, price_ticks: int) -> int:
    """Lots that can be executed at a price.

    A quote newer than the levels wins: at its price there is its size, at better prices nothing, at worse ones the
    levels.
    """
    if has_fresh_quote(book):
        quote = _quote_ticks(book, side)
        if price_ticks == quote:
            return book.quote_bid_lots if side == BID else book.quote_ask_lots
        if (price_ticks > quote) if side == BID else (price_ticks < quote):
            return 0
    return level_lots(book, side, price_ticks)


@compiled
def take_level(book: Book, side: int, price_ticks: int, lots: int) -> None:
    """Note that the simulated exchange's user took `lots` at a price; `venues.book.taken` says for how long."""
    add_taken(book.taken, side, price_ticks, lots)


@compiled
def available_lots(book: Book, side: int, price_ticks: int) -> int:
    """Executable size less what is taken, not below 0."""
    lots = executable_lots(book, side, price_ticks)
    if book.taken.count == 0:
        return lots
    place = find_taken(book.taken, side, price_ticks)
    return lots if place < 0 else max(0, lots - book.taken.levels[place].taken_lots)
