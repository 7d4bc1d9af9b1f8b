"""Order by order (L3) book of one instrument in fixed memory: every resting order and its place in the queue.

Orders lie in numbered slots that they keep while they rest; a `Directory` finds the slot by order id. The orders at one
side and price are a doubly linked list by ascending `sort_order_id`, whose ends a `QueueLevel` knows; another directory
finds that by side and price. The L2 `Book` is given to each function that changes something: its levels stay the sums
over the queues, whatever happens.

Nothing depends on how full the tables are: a directory is at most half full, and a removal moves later entries up, so
that there are no tombstones. A level whose last order went stays where it is: near the market it is used again at once.
Of those EMPTY_LEVELS_KEPT are kept, then the one that has been empty for longest makes room for a new one.

Ids rise as a rule, so that a new order is appended in O(1); one that is not the youngest is put in by walking from the
end.
"""

from typing import Annotated

from crosswire.nic.memory.raw import fill_bytes
from crosswire.nic.memory.struct import Array, Pointer, Struct, address_of, array, i32, i64, size_of
from crosswire.nic.unit.compile import compiled, inlined, outlined
from crosswire.venues.book.book import Book, clear_book, set_level
from crosswire.venues.book.hash_table import close_gap, find_place, home_in_run, home_of, is_taken
from crosswire.venues.book.pages import LET_GO_PARTS, PAGE_BITS, cut_at, last_rank, rank_of
from crosswire.venues.side import ASK, BID

NONE = -1  # no slot
LOTS_MAX = 1 << 62  # sum of one level; an order that would exceed it has no room
QUEUE_ORDERS_MAX = 1 << 24  # orders of one queue: 1.6 GB
ORDERS_MIN = 16
EMPTY_LEVELS_KEPT = 256  # so that a market that drifts does not touch ever more memory
NOT_LISTED = -2


class QueuedOrder(Struct):
    """One resting order, one cache line."""

    order_id: i64
    sort_order_id: i64
    price_ticks: i64
    qty_lots: i64
    owner: i64  # the user's own number; 0: nobody's
    tag: i64  # the user's own
    side: i32
    previous: i32  # slot of the order before it at its price; NONE: it is the first
    next: i32  # slot of the order behind it; NONE: it is the last. Of a free slot: the next free one
    level: i32  # slot of its level


class QueueLevel(Struct):
    """The orders at one side and price."""

    key: i64  # `_level_key`
    lots: i64  # their sum, which the book shows
    first: i32  # slot of the first in time, NONE: it is empty
    last: i32
    count: i32
    next_empty: (
        i32  # the level that was emptied next, NONE: none since. NOT_LISTED: it was not empty since its last use
    )


class DirectoryEntry(Struct):
    key: i64
    place: i64  # slot + 1; 0: free


class Directory(Struct):
    """Open addressing, key -> slot; 2**bits entries, at most half of them in use."""

    bits: i64
    entries: Annotated[Pointer, DirectoryEntry]


class OrderQueue(Struct):
    """One instrument's orders: at most `order_capacity`, at no more than `level_capacity` prices (both sides)."""

    order_capacity: i64
    level_capacity: i64
    count: i64  # orders resting
    level_count: i64  # levels with orders
    refused: i64  # orders for which there was no room, here or in the book
    walked: i64  # orders passed by those that were not the youngest at their price
    orders_fresh: i64  # slots from this number on were never used since the last clear
    orders_free: i64  # head of the list of slots given back, NONE
    levels_fresh: i64
    empty_count: i64  # levels listed as empty; those that have orders again are, too, until they are looked at
    empty_first: i64  # the one that was emptied first, NONE
    empty_last: i64
    order_directory: Directory
    level_directory: Directory
    orders: Annotated[Pointer, QueuedOrder]
    levels: Annotated[Pointer, QueueLevel]


def make_order_queues(count: int, order_capacity: int, level_capacity: int) -> Array:
    """Make `count` empty queues, see `allocate_queue`."""
    queues = OrderQueue.array(count)
    for queue in queues:
        allocate_queue(queue, order_capacity, level_capacity)
    return queues


def allocate_queue(queue: OrderQueue, order_capacity: int, level_capacity: int) -> None:
    """Allocate memory for an empty queue.

    `order_capacity`: a power of two, ORDERS_MIN to QUEUE_ORDERS_MAX; 96 bytes an order. `level_capacity`: 1 to
    `order_capacity`; 64 to 96 bytes a level. The book that goes with a queue has its own limit of levels.
    """
    if order_capacity & (order_capacity - 1) != 0 or not ORDERS_MIN <= order_capacity <= QUEUE_ORDERS_MAX:
        raise ValueError(
            f"order_capacity must be a power of two, {ORDERS_MIN} to {QUEUE_ORDERS_MAX}, not {order_capacity}"
        )
    if not 0 < level_capacity <= order_capacity:
        raise ValueError(f"level_capacity must be 1 to order_capacity ({order_capacity}), not {level_capacity}")
    queue.order_capacity = order_capacity
    queue.level_capacity = level_capacity
    queue.orders = array(QueuedOrder, order_capacity)
    queue.levels = array(QueueLevel, level_capacity)
    for directory, capacity in ((queue.order_directory, order_capacity), (queue.level_directory, level_capacity)):
        directory.bits = (2 * capacity - 1).bit_length()
        directory.entries = array(DirectoryEntry, 1 << directory.bits)
    queue.orders_free = NONE
    queue.empty_first = NONE
    queue.empty_last = NONE


@compiled
def clear_queue(queue: OrderQueue, book: Book) -> None:
    """Forget every order, and clear the book, which is invalid then."""
    if queue.orders_fresh != 0:
        _clear_directory(queue.order_directory)
        _clear_directory(queue.level_directory)
    queue.count = 0
    queue.level_count = 0
    queue.orders_fresh = 0
    queue.orders_free = NONE
    queue.levels_fresh = 0
    queue.empty_count = 0
    queue.empty_first = NONE
    queue.empty_last = NONE
    clear_book(book)


@compiled
def queued(queue: OrderQueue, slot: int) -> QueuedOrder:
    """The order in a slot; valid until it is deleted."""
    order: QueuedOrder = queue.orders[slot]
    return order


@inlined
def find_queued(queue: OrderQueue, order_id: int) -> int:
    """Slot of an order, NONE if it does not rest here."""
    return _look_up(queue.order_directory, order_id)


@compiled
def first_order(queue: OrderQueue, side: int, price_ticks: int) -> int:
    """Slot of the first order in time at a price, NONE if there is none; `queue.orders[slot].next` goes on."""
    place = _look_up(queue.level_directory, _level_key(side, price_ticks))
    return NONE if place == NONE else queue.levels[place].first


@compiled
def lots_ahead(queue: OrderQueue, slot: int) -> int:
    """Lots of the orders before this one at its price: what must trade or go before it is the first."""
    total = 0
    before = queue.orders[slot].previous
    while before != NONE:
        total += queue.orders[before].qty_lots
        before = queue.orders[before].previous
    return total


@inlined
def put_order(
    queue: OrderQueue, book: Book, order_id: int, side: int, price_ticks: int, qty_lots: int, sort_order_id: int
) -> int:
    """Add an order of `qty_lots` >= 0, or change the one of that id; its place is where `sort_order_id` says.

    The slot; NONE if there is no room for the order, its level or their sum, or the book refuses the price: the order
    is not there then, not even as it was before, and whoever follows a venue has lost the book. `owner` and `tag` of a
    changed order stay; a new one has 0.
    """
    assert qty_lots >= 0
    directory = queue.order_directory
    position = find_place(directory.entries, directory.bits, order_id)
    slot = directory.entries[position].place - 1
    if slot != NONE:
        order = queue.orders[slot]
        if order.sort_order_id == sort_order_id and order.price_ticks == price_ticks and order.side == side:
            level = queue.levels[order.level]
            lots = level.lots - order.qty_lots + qty_lots
            if qty_lots <= LOTS_MAX - (level.lots - order.qty_lots) and set_level(book, side, price_ticks, lots):
                level.lots = lots
                order.qty_lots = qty_lots
                return slot
            delete_entry(queue, book, position)
            queue.refused += 1
            return NONE
        _leave_level(queue, book, order)
    else:
        slot = _take_order_slot(queue, order_id, position)
        if slot == NONE:
            queue.refused += 1
            return NONE
    order = queue.orders[slot]
    order.sort_order_id = sort_order_id
    order.side = side
    order.price_ticks = price_ticks
    order.qty_lots = qty_lots
    if _join_level(queue, book, slot, order):
        return slot
    queue.refused += 1
    _give_order_slot(queue, slot, order, position)
    return NONE


@inlined
def reduce_order(queue: OrderQueue, book: Book, order_id: int, qty_lots: int) -> int:
    """Set an order's quantity, not below 0 and not above what it was; it keeps its place. Its slot, NONE if unknown."""
    slot = _look_up(queue.order_directory, order_id)
    if slot != NONE:
        reduce_slot(queue, book, slot, qty_lots)
    return slot


@inlined
def reduce_slot(queue: OrderQueue, book: Book, slot: int, qty_lots: int) -> None:
    """Do `reduce_order` for one whose slot is known."""
    order = queue.orders[slot]
    assert 0 <= qty_lots <= order.qty_lots
    level = queue.levels[order.level]
    level.lots -= order.qty_lots - qty_lots
    order.qty_lots = qty_lots
    set_level(book, order.side, order.price_ticks, level.lots)


@compiled
def delete_order(queue: OrderQueue, book: Book, order_id: int) -> bool:
    """Remove an order; False if it is unknown."""
    position = find_entry(queue, order_id)
    if slot_at(queue, position) == NONE:
        return False
    delete_entry(queue, book, position)
    return True


@inlined
def find_entry(queue: OrderQueue, order_id: int) -> int:
    """Find the position of an order in the directory, until that is changed; a free one if it does not rest here."""
    directory = queue.order_directory
    return find_place(directory.entries, directory.bits, order_id)


@inlined
def slot_at(queue: OrderQueue, position: int) -> int:
    """Slot of the order at a position of the directory; NONE if that is free."""
    return queue.order_directory.entries[position].place - 1


@inlined
def delete_entry(queue: OrderQueue, book: Book, position: int) -> None:
    """Do `delete_order` for one whose position in the directory is known."""
    slot = slot_at(queue, position)
    order = queue.orders[slot]
    _leave_level(queue, book, order)
    _give_order_slot(queue, slot, order, position)


@outlined
def let_go_far_orders(queue: OrderQueue, book: Book) -> bool:
    """Make room in full tables by letting go the orders farthest from the market; False if none are.

    They are of the side that has more levels, and a part of the tables goes at once. From the first price on that went
    the book keeps no level of that side (`venues.book.pages`): no order may be put there.
    """
    gone = 0
    orders_max = queue.order_capacity - max(1, queue.order_capacity // LET_GO_PARTS)
    levels_max = queue.level_capacity - max(1, queue.level_capacity // LET_GO_PARTS)
    while queue.count > orders_max or queue.level_count > levels_max:
        side = BID if book.bid_levels > book.ask_levels else ASK
        best = book.level_bid_ticks if side == BID else book.level_ask_ticks
        if max(book.bid_levels, book.ask_levels) == 0:
            break
        rank = last_rank(book.pages, side)
        if rank_of(side, best) >> PAGE_BITS == rank >> PAGE_BITS:
            break  # all that the side has
        cut_at(book.pages, side, rank)
        while rank >= book.pages.bounds[side]:
            slot = first_order(queue, side, rank_of(side, rank))
            while slot != NONE:
                delete_order(queue, book, queue.orders[slot].order_id)
                slot = first_order(queue, side, rank_of(side, rank))
            book.pages.levels_let_go += 1
            gone += 1
            rank = last_rank(book.pages, side)
    return gone != 0


@inlined
def _level_key(side: int, price_ticks: int) -> int:
    return price_ticks + (side << 61)


@inlined
def _join_level(queue: OrderQueue, book: Book, slot: int, order: QueuedOrder) -> bool:
    """Put the order into the list of its price; False, and nothing is changed, if there is no room."""
    side, price_ticks, qty_lots = order.side, order.price_ticks, order.qty_lots
    directory = queue.level_directory
    position = find_place(directory.entries, directory.bits, _level_key(side, price_ticks))
    place = directory.entries[position].place - 1
    before_lots = 0 if place == NONE else queue.levels[place].lots
    if qty_lots > LOTS_MAX - before_lots or (place == NONE and queue.level_count == queue.level_capacity):
        return False
    if not set_level(book, side, price_ticks, before_lots + qty_lots):
        return False
    if place == NONE:
        place = _take_level_slot(queue, _level_key(side, price_ticks), position)
    level = queue.levels[place]
    level.lots = before_lots + qty_lots
    order.level = place
    if level.count == 0:
        queue.level_count += 1
        level.count = 1
        level.first = slot
        level.last = slot
        order.previous = NONE
        order.next = NONE
    else:
        level.count += 1
        _link(queue, level, slot, order)
    return True


@inlined
def _link(queue: OrderQueue, level: QueueLevel, slot: int, order: QueuedOrder) -> None:
    """Put the order behind all at its level that have no higher `sort_order_id`."""
    before = level.last
    behind = NONE
    if queue.orders[level.first].sort_order_id > order.sort_order_id:
        behind = level.first
        before = NONE
    else:
        while queue.orders[before].sort_order_id > order.sort_order_id:
            queue.walked += 1
            behind = before
            before = queue.orders[before].previous
    order.previous = before
    order.next = behind
    _set_next(queue, level, before, slot)
    _set_previous(queue, level, behind, slot)


@inlined
def _set_next(queue: OrderQueue, level: QueueLevel, before: int, slot: int) -> None:
    """Let `slot` come next after the order in `before`; NONE: let it be the level's first."""
    if before == NONE:
        level.first = slot
    else:
        queue.orders[before].next = slot


@inlined
def _set_previous(queue: OrderQueue, level: QueueLevel, behind: int, slot: int) -> None:
    """Let `slot` come before the order in `behind`; NONE: let it be the level's last."""
    if behind == NONE:
        level.last = slot
    else:
        queue.orders[behind].previous = slot


@inlined
def _leave_level(queue: OrderQueue, book: Book, order: QueuedOrder) -> None:
    """Take the order out of the list of its price; a level that is empty then is kept for a while."""
    place = order.level
    level = queue.levels[place]
    level.lots -= order.qty_lots
    level.count -= 1
    # To lower or remove a level that the book has needs no room.
    set_level(book, order.side, order.price_ticks, level.lots)
    _set_next(queue, level, order.previous, order.next)
    _set_previous(queue, level, order.next, order.previous)
    if level.count == 0:
        queue.level_count -= 1
        if level.next_empty == NOT_LISTED:
            _list_empty(queue, place, level)


@inlined
def _list_empty(queue: OrderQueue, place: int, level: QueueLevel) -> None:
    """List a level as the last that was emptied."""
    level.next_empty = NONE
    if queue.empty_first == NONE:
        queue.empty_first = place
    else:
        queue.levels[queue.empty_last].next_empty = place
    queue.empty_last = place
    queue.empty_count += 1


@inlined
def _take_order_slot(queue: OrderQueue, order_id: int, position: int) -> int:
    """Take a free slot for an order and enter it at a free position of the directory; NONE if all are taken."""
    if queue.count == queue.order_capacity:
        return NONE
    slot = queue.orders_free
    if slot == NONE:
        slot = queue.orders_fresh
        queue.orders_fresh += 1
    else:
        queue.orders_free = queue.orders[slot].next
    queue.count += 1
    order = queue.orders[slot]
    order.order_id = order_id
    order.owner = 0
    order.tag = 0
    _enter(queue.order_directory, position, order_id, slot)
    return slot


@inlined
def _give_order_slot(queue: OrderQueue, slot: int, order: QueuedOrder, position: int) -> None:
    _remove(queue.order_directory, position)
    order.next = queue.orders_free
    queue.orders_free = slot
    queue.count -= 1


@inlined
def _take_level_slot(queue: OrderQueue, key: int, position: int) -> int:
    """Take a slot for a level and enter it at a free position; the caller knows that there is one without orders."""
    place = queue.levels_fresh
    if place < queue.level_capacity and queue.empty_count < EMPTY_LEVELS_KEPT:
        queue.levels_fresh += 1
        _enter(queue.level_directory, position, key, place)
    else:
        place = _use_empty_level(queue, key)
    level = queue.levels[place]
    level.key = key
    level.count = 0
    level.next_empty = NOT_LISTED
    return place


@compiled
def _use_empty_level(queue: OrderQueue, key: int) -> int:
    """Enter a key in place of the level that has been empty for longest; or in a fresh slot, if no listed one is."""
    directory = queue.level_directory
    place = NONE
    while place == NONE and queue.empty_first != NONE:
        place = queue.empty_first
        level = queue.levels[place]
        queue.empty_first = level.next_empty
        queue.empty_count -= 1
        level.next_empty = NOT_LISTED
        if level.count != 0:
            place = NONE
    if place == NONE:
        place = queue.levels_fresh
        queue.levels_fresh += 1
    else:
        _remove(directory, find_place(directory.entries, directory.bits, queue.levels[place].key))
    _enter(directory, find_place(directory.entries, directory.bits, key), key, place)
    return place


@inlined
def _look_up(directory: Directory, key: int) -> int:
    """Slot of a key, NONE if it has none: a free entry's place is 0."""
    return directory.entries[find_place(directory.entries, directory.bits, key)].place - 1


@inlined
def _enter(directory: Directory, position: int, key: int, slot: int) -> None:
    """Add a key at the free position where it was looked for; at least half of the entries are free."""
    entry = directory.entries[position]
    entry.key = key
    entry.place = slot + 1


@inlined
def _remove(directory: Directory, position: int) -> None:
    """Remove what is entered at a position."""
    directory.entries[close_gap(directory.entries, directory.bits, position)].place = 0


@home_of.register(DirectoryEntry)
def home_of_directory_entry(_entry: DirectoryEntry, key: int, bits: int) -> int:
    return home_in_run(key, bits)


@is_taken.register(DirectoryEntry)
def is_directory_entry_taken(entry: DirectoryEntry) -> bool:
    return entry.place != 0


@compiled
def _clear_directory(directory: Directory) -> None:
    fill_bytes(address_of(directory.entries), 0, size_of(DirectoryEntry) << directory.bits)
