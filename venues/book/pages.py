"""Sizes by price in fixed memory, with the next level found by bits: the storage below `venues.book.book`.

A level is known by its side and rank: the price of an ask, the mirrored price of a bid (`rank_of`), so that on both
sides better is smaller and the search runs one way only. 64 ranks are a group, found by hashing its number: one word
says which of them have a level, and eight page numbers say where their sizes are. A page is eight sizes in one cache
line, from a pool: memory is touched in proportion to the levels there are, dense or thousands of ticks apart. Above the
groups lies an index of words, each over 64 groups or over 64 words below: where a group ends, the next one is found by
at most NODE_HEIGHT steps up and as many down, however far away it is.

A group or page whose last level went stays where it is: near the market it is used again at once, and a removal has
nothing to do but clear a bit. Once half of either is used, every new one pays for looking at RECLAIM_STEPS groups and
gives back what is empty there, so that a turn of the whole table takes a quarter as many new ones as it has slots; when
one runs out, the turn goes on until something is found. So nothing is lost, however far prices drift.

Pages may lie over those of another book (`lay_over`): what was not changed here is what lies below, and a group is
taken over before it is changed. So a book that differs from another for a while costs what differs. What was taken over
stays, even empty, since it hides what lies below; when that is half of what there is room for, all is (`detach`).

When every page has a level, the farthest page of the side that has more is let go: from its first rank on (`bounds`)
nothing of that side is kept any more until all is cleared. So what is kept is always every level before that rank, and
it costs nothing while there is room: a page beyond the bound does not exist, and only where one is missing is the bound
looked at.

What lost, on the real streams of `tests.bench.book` (from an empty book, same machine and run, this book's time is 1):
* one table tick -> size: 0.95 to 1.05, but a search tick by tick, without bound where a book is sparse;
* a window of ticks around the market: 0.55 to 0.8, but blind outside it, and 16 bytes a tick (spot BTC: 96 MB);
* pages of eight as the entries of the table, sizes inside, one index bit a page: 1.1, on spot 1.3 to 1.5, where half of
  all updates fill or empty such a page and the sizes lie scattered over the whole table;
* a sorted array: 20 to 50, since deep updates are common.
"""

from typing import Annotated

from crosswire.nic.memory.raw import (
    count_leading_zeros,
    count_trailing_zeros,
    fill_bytes,
    hash_bits,
    shift_left,
    shift_right,
)
from crosswire.nic.memory.struct import Array, Pointer, Struct, address_of, arrays, i64, size_of, u16, view
from crosswire.nic.unit.compile import compiled, outlined
from crosswire.venues.book.hash_table import close_gap, find_key, find_place, home_of, is_taken

PAGE_BITS = 3
PAGE_TICKS = 1 << PAGE_BITS
PAGE_MASK = PAGE_TICKS - 1
PAGE_FULL = (1 << PAGE_TICKS) - 1  # occupancy of a page with eight levels
NO_PAGE = 0  # its sizes are always 0, so that reading (or removing) a level that is not there needs no question

WORD_BITS = 6
WORD_MASK = (1 << WORD_BITS) - 1
GROUP_PAGES = 1 << (WORD_BITS - PAGE_BITS)
NODE_HEIGHT = 5
RANK_BITS = WORD_BITS * (NODE_HEIGHT + 1)  # 36: prices from -2**35 to 2**35 - 1 ticks
GROUPS_HALF = 1 << (RANK_BITS - WORD_BITS - 1)  # groups are signed, the index counts them from 0

LEVELS_MIN = 64
LEVELS_MAX = (1 << 16) - 1  # page numbers have 16 bits
NODE_SLOTS_MIN = 1024
RECLAIM_STEPS = 4

NO_GROUP = 1 << 62  # `next_group`: there is none
ABSENT = -1  # `place_level`: no such level, and none is wanted
NO_ROOM = -2  # `place_level`: the price is out of range, on the side of the better ones
LET_GO = -3  # `place_level`: the level is beyond those that are kept
LET_GO_PARTS = 16  # of a full table, that one is let go of
NO_BOUND = 1 << 62
SIDES = 2


class Group(Struct):
    """64 ranks. key: 0 when free, see `group_key`. Half a cache line."""

    key: i64
    occupied: i64  # bit by rank & 63
    pages: Annotated[Array, u16, GROUP_PAGES]  # by rank >> 3 & 7: number of the page of sizes, or NO_PAGE


class Node(Struct):
    """64 bits of the index. key: 0 when free, see `_node_key`."""

    key: i64
    word: i64


class Pages(Struct):
    """Groups and nodes are open addressing tables; groups at most half full.

    Nodes have four slots for each group that there may be. N groups need at most N nodes at each of the lower three
    heights (8,192 at the third, all there are), 128 at the fourth and 2 at the top: a slot always stays free.
    """

    group_bits: i64
    node_bits: i64
    levels_max: i64  # of groups, and of pages, since each may hold one level only
    groups_used: i64  # those without levels included
    pages_used: i64
    pages_fresh: i64  # pages from this number on were never used
    free_count: i64
    cursor: i64  # slot that is looked at next for something to give back
    is_cut: i64  # 1: levels were let go since all was cleared
    levels_let_go: i64  # ever, with what came for ranks from the bound on
    uncounted: Annotated[Array, i64, SIDES]  # of these: levels that the book still counts
    bounds: Annotated[Array, i64, SIDES]  # from this rank on no level of the side is kept; NO_BOUND: all are
    below: i64  # address of the `Pages` that these lie over; 0: of none
    groups: Annotated[Pointer, Group]
    nodes: Annotated[Pointer, Node]
    sizes: Annotated[Pointer, i64]  # from page * PAGE_TICKS
    free: Annotated[Pointer, u16]  # stack of pages given back


def allocate_pages(pages: Pages, level_capacity: int, *, in_large_pages: bool = False) -> None:
    """Allocate memory, to be cleared, for `level_capacity` levels (LEVELS_MIN to LEVELS_MAX) that share no page.

    200 to 330 bytes a level; a level that has neighbours on all 64 ticks touches 9 of them.
    """
    if not 0 < level_capacity <= LEVELS_MAX:
        raise ValueError(f"level_capacity must be 1 to {LEVELS_MAX}, not {level_capacity}")
    bits = (max(LEVELS_MIN, level_capacity) - 1).bit_length()
    pages.levels_max = max(LEVELS_MIN, level_capacity)
    pages.group_bits = bits + 1
    pages.node_bits = (max(NODE_SLOTS_MIN, 4 << bits) - 1).bit_length()
    pages.groups, pages.nodes, pages.sizes, pages.free = arrays(
        (Group, 1 << pages.group_bits),
        (Node, 1 << pages.node_bits),
        (i64, PAGE_TICKS * (pages.levels_max + 1)),
        (u16, pages.levels_max),
        in_large_pages=in_large_pages,
    )
    pages.pages_fresh = NO_PAGE + 1


@compiled
def clear_bounds(pages: Pages) -> None:
    pages.is_cut = 0
    for side in range(SIDES):
        pages.bounds[side] = NO_BOUND
        pages.uncounted[side] = 0


@compiled
def clear_pages(pages: Pages) -> None:
    """Forget every level; nothing lies below any more."""
    pages.below = 0
    fill_bytes(address_of(pages.groups), 0, size_of(Group) << pages.group_bits)
    fill_bytes(address_of(pages.nodes), 0, size_of(Node) << pages.node_bits)
    for place in range(pages.pages_fresh * PAGE_TICKS):
        pages.sizes[place] = 0
    pages.groups_used = 0
    pages.pages_used = 0
    pages.pages_fresh = NO_PAGE + 1
    pages.free_count = 0
    pages.cursor = 0
    clear_bounds(pages)


@compiled
def rank_of(side: int, price_ticks: int) -> int:
    """Rank of a price, and price of a rank: asks as they are, bids mirrored (~price), for BID = 0 and ASK = 1."""
    return price_ticks ^ (side - 1)


@compiled
def group_key(side: int, group: int) -> int:
    """The key of a group: odd, so never the 0 of a free slot, whatever the price."""
    return (group << 1 | side) << 1 | 1


@home_of.register(Group)
def home_of_group(_entry: Group, key: int, bits: int) -> int:
    return hash_bits(key, bits)


@home_of.register(Node)
def home_of_node(_entry: Node, key: int, bits: int) -> int:
    return hash_bits(key, bits)


@is_taken.register(Group)
def is_group_taken(group: Group) -> bool:
    return group.key != 0


@is_taken.register(Node)
def is_node_taken(node: Node) -> bool:
    return node.key != 0


@compiled
def find_group(pages: Pages, side: int, group: int) -> int:
    """Slot of a group, -1 if the table does not have it."""
    return find_key(pages.groups, pages.group_bits, group_key(side, group))


@compiled
def size_at(pages: Pages, side: int, rank: int) -> int:
    """Lots at a rank, 0 if there is no level."""
    slot = find_group(pages, side, rank >> WORD_BITS)
    if slot >= 0:
        return _size_in(pages, slot, rank)
    if pages.below == 0:
        return 0
    below = view(Pages, pages.below)
    slot = find_group(below, side, rank >> WORD_BITS)
    return 0 if slot < 0 else _size_in(below, slot, rank)


@compiled
def _size_in(pages: Pages, slot: int, rank: int) -> int:
    page = pages.groups[slot].pages[(rank & WORD_MASK) >> PAGE_BITS]
    lots: int = pages.sizes[page * PAGE_TICKS + (rank & PAGE_MASK)]
    return lots


@compiled
def occupied_at(pages: Pages, side: int, group: int) -> int:
    """Tell which ranks of a group have a level, a bit each."""
    slot = find_group(pages, side, group)
    if slot >= 0:
        return pages.groups[slot].occupied
    if pages.below == 0:
        return 0
    below = view(Pages, pages.below)
    slot = find_group(below, side, group)
    return 0 if slot < 0 else below.groups[slot].occupied


@outlined
def place_level(pages: Pages, side: int, rank: int, qty_lots: int) -> int:
    """Find the slot of the group of a rank; make it and its page if missing and wanted. ABSENT, NO_ROOM or LET_GO.

    To make room, levels that are farther away may be let go: the book must take `uncounted` off its counts.
    """
    group = rank >> WORD_BITS
    place = (rank & WORD_MASK) >> PAGE_BITS
    if pages.below != 0:
        _take_over(pages, side, group)
    slot = find_group(pages, side, group)
    if qty_lots == 0:
        return slot
    if slot >= 0 and pages.groups[slot].pages[place] != NO_PAGE:
        return slot
    if group < -GROUPS_HALF:
        return NO_ROOM
    if group >= GROUPS_HALF or rank >= pages.bounds[side]:
        cut_at(pages, side, rank)
        pages.levels_let_go += 1
        return LET_GO
    if not _make_room(pages) and not _let_go(pages, side, rank):
        return LET_GO
    # To make room may have moved the group, or removed it.
    slot = find_place(pages.groups, pages.group_bits, group_key(side, group))
    if pages.groups[slot].key == 0:
        _add_group(pages, slot, side, group)
    _add_page(pages, pages.groups[slot], place)
    return slot


@compiled
def lay_over(pages: Pages, below: Pages) -> None:
    """Forget every level and show those of `below`, which must have the same capacity and stay where it is.

    It may change only as these pages have changed already. Levels that it lets go meanwhile are not seen here either.
    """
    for side in range(SIDES):
        group = _first_group(pages, side)
        while group != NO_GROUP:
            slot = find_group(pages, side, group)
            _empty_group(pages, pages.groups[slot])
            _free_pages(pages, pages.groups[slot])
            _remove_group(pages, slot)
            group = _first_group(pages, side)
        pages.bounds[side] = below.bounds[side]
        pages.uncounted[side] = 0
    pages.is_cut = below.is_cut
    pages.below = address_of(below)


@compiled
def _first_group(pages: Pages, side: int) -> int:
    """The best group of a side; NO_GROUP if there is none. What lies below is not looked at."""
    if pages.groups_used == 0:
        return NO_GROUP
    if find_group(pages, side, -GROUPS_HALF) >= 0:
        return -GROUPS_HALF
    return next_own_group(pages, side, -GROUPS_HALF)


@compiled
def _empty_group(pages: Pages, group: Group) -> None:
    """Remove the levels of a group; its pages stay."""
    for place in range(GROUP_PAGES):
        page = group.pages[place]
        if page != NO_PAGE:
            for position in range(PAGE_TICKS):
                pages.sizes[page * PAGE_TICKS + position] = 0
    group.occupied = 0


@outlined
def _take_over(pages: Pages, side: int, group: int) -> None:
    """Copy a group from below, if it has a level there; all of them when half of the room is used."""
    if 2 * (max(pages.groups_used, pages.pages_used) + GROUP_PAGES) >= pages.levels_max:
        detach(pages)
        return
    slot = find_place(pages.groups, pages.group_bits, group_key(side, group))
    if pages.groups[slot].key == 0:
        below = view(Pages, pages.below)
        there = find_group(below, side, group)
        if there >= 0 and below.groups[there].occupied != 0:
            _copy_group(pages, slot, below, there, side, group)


@compiled
def _copy_group(pages: Pages, slot: int, below: Pages, there: int, side: int, group: int) -> None:
    """Enter a group with the levels that it has below."""
    _add_group(pages, slot, side, group)
    new, old = pages.groups[slot], below.groups[there]
    new.occupied = old.occupied
    for place in range(GROUP_PAGES):
        if shift_right(old.occupied, place * PAGE_TICKS) & PAGE_FULL != 0:
            _add_page(pages, new, place)
            target, source = new.pages[place] * PAGE_TICKS, old.pages[place] * PAGE_TICKS
            for position in range(PAGE_TICKS):
                pages.sizes[target + position] = below.sizes[source + position]


@outlined
def detach(pages: Pages) -> None:
    """Take over every group from below; where there is no room for all, the farthest levels are let go."""
    below = view(Pages, pages.below)
    for slot in range(1 << pages.group_bits):
        if pages.groups[slot].key != 0:
            _free_pages(pages, pages.groups[slot])
    for side in range(SIDES):
        group = _first_group(below, side)
        while group != NO_GROUP:
            there = find_group(below, side, group)
            slot = find_place(pages.groups, pages.group_bits, group_key(side, group))
            occupied = below.groups[there].occupied
            if pages.groups[slot].key == 0 and occupied != 0:
                if max(pages.groups_used + 1, pages.pages_used + GROUP_PAGES) > pages.levels_max:
                    cut_at(pages, side, group << WORD_BITS)
                if group << WORD_BITS < pages.bounds[side]:
                    _copy_group(pages, slot, below, there, side, group)
                else:
                    for rank in range(1 << WORD_BITS):
                        pages.uncounted[side] += shift_right(occupied, rank) & 1
            group = next_own_group(below, side, group)
    pages.below = 0
    for side in range(SIDES):
        pages.levels_let_go += pages.uncounted[side]
        while _count_pages(pages, side) != 0 and last_rank(pages, side) >= pages.bounds[side]:
            _let_go_page(pages, side, last_rank(pages, side))


@compiled
def _make_room(pages: Pages) -> bool:
    """Make room for a page and a group more; False if there is none.

    A group with a level has a page, so pages run out first.
    """
    used = max(pages.groups_used, pages.pages_used)
    if 2 * used < pages.levels_max:
        return True
    _reclaim(pages, RECLAIM_STEPS if used < pages.levels_max else 1 << pages.group_bits)
    return pages.pages_used < pages.levels_max


@compiled
def cut_at(pages: Pages, side: int, rank: int) -> None:
    """Keep no level of a side from the page of this rank on."""
    pages.is_cut = 1
    pages.bounds[side] = min(pages.bounds[side], rank & ~PAGE_MASK)


@outlined
def _let_go(pages: Pages, side: int, rank: int) -> bool:
    """Let go the farthest pages of a full table for a new one of `rank`; False if that one is among them.

    They are of the side that has more pages, so no side is emptied for the other; and several, because to find that
    there is no room takes a look at the whole table.
    """
    own, other = _count_pages(pages, side), _count_pages(pages, 1 - side)
    for _ in range(pages.levels_max // LET_GO_PARTS):
        if own >= other:
            last = last_rank(pages, side)
            if rank > last:
                cut_at(pages, side, rank)
                pages.levels_let_go += 1
                return False
            _let_go_page(pages, side, last)
            own -= 1
        else:
            _let_go_page(pages, 1 - side, last_rank(pages, 1 - side))
            other -= 1
    return True


@compiled
def last_rank(pages: Pages, side: int) -> int:
    """The worst rank of a side that has a level; the side must have one."""
    while True:
        number = 0
        for height in range(NODE_HEIGHT, 0, -1):
            node = pages.nodes[_find_node(pages, side, height, number)]
            number = number << WORD_BITS | (WORD_MASK - count_leading_zeros(node.word))
        slot = find_group(pages, side, number - GROUPS_HALF)
        occupied = pages.groups[slot].occupied
        if occupied != 0:
            return (number - GROUPS_HALF) << WORD_BITS | (WORD_MASK - count_leading_zeros(occupied))
        remove_group(pages, slot)


@compiled
def _count_pages(pages: Pages, side: int) -> int:
    """Count the pages of a side that have a level."""
    count = 0
    for slot in range(1 << pages.group_bits):
        group = pages.groups[slot]
        if group.key != 0 and group.key >> 1 & 1 == side:
            for place in range(GROUP_PAGES):
                count += 1 if shift_right(group.occupied, place * PAGE_TICKS) & PAGE_FULL != 0 else 0
    return count


@compiled
def _let_go_page(pages: Pages, side: int, rank: int) -> None:
    """Let go the levels of the page of a rank."""
    slot = find_group(pages, side, rank >> WORD_BITS)
    group = pages.groups[slot]
    place = (rank & WORD_MASK) >> PAGE_BITS
    page = group.pages[place]
    for position in range(PAGE_TICKS):
        bit = shift_left(1, place * PAGE_TICKS + position)
        if group.occupied & bit != 0:
            pages.levels_let_go += 1
            pages.uncounted[side] += 1
        group.occupied &= ~bit
        pages.sizes[page * PAGE_TICKS + position] = 0
    cut_at(pages, side, rank)
    if group.occupied == 0:
        remove_group(pages, slot)
    else:
        _free_pages(pages, group)


@compiled
def _add_group(pages: Pages, slot: int, side: int, group: int) -> None:
    new = pages.groups[slot]
    new.key = group_key(side, group)
    new.occupied = 0
    for place in range(GROUP_PAGES):
        new.pages[place] = NO_PAGE
    pages.groups_used += 1
    _index(pages, side, group)


@compiled
def _add_page(pages: Pages, group: Group, place: int) -> None:
    if pages.free_count > 0:
        pages.free_count -= 1
        group.pages[place] = pages.free[pages.free_count]
    else:
        group.pages[place] = pages.pages_fresh
        pages.pages_fresh += 1
    pages.pages_used += 1


@outlined
def _reclaim(pages: Pages, steps: int) -> None:
    """Give back what is empty among the next `steps` groups; a full turn stops as soon as there is room for both."""
    mask = (1 << pages.group_bits) - 1
    slot = pages.cursor
    for _ in range(steps):
        group = pages.groups[slot]
        if group.key != 0:
            _free_pages(pages, group)
        if group.key != 0 and group.occupied == 0:
            _remove_group(pages, slot)
        else:
            slot = (slot + 1) & mask
        if steps > RECLAIM_STEPS and max(pages.pages_used, pages.groups_used) < pages.levels_max:
            break
    pages.cursor = slot


@compiled
def _free_pages(pages: Pages, group: Group) -> None:
    """Give back the pages of a group that have no level; their sizes are all 0 then."""
    for place in range(GROUP_PAGES):
        page = group.pages[place]
        if page != NO_PAGE and shift_right(group.occupied, place * PAGE_TICKS) & PAGE_FULL == 0:
            group.pages[place] = NO_PAGE
            pages.free[pages.free_count] = page
            pages.free_count += 1
            pages.pages_used -= 1


@compiled
def remove_group(pages: Pages, slot: int) -> None:
    """Give back a group without levels, and its pages."""
    _free_pages(pages, pages.groups[slot])
    _remove_group(pages, slot)


@compiled
def _remove_group(pages: Pages, slot: int) -> None:
    """Remove a group from the table and from the index; its pages were given back before."""
    key = pages.groups[slot].key
    free = close_gap(pages.groups, pages.group_bits, slot)
    pages.groups[free].key = 0
    pages.groups_used -= 1
    _unindex(pages, key >> 1 & 1, key >> 2)


@compiled
def next_group(pages: Pages, side: int, group: int) -> int:
    """The nearest group worse than `group`, which need not exist; NO_GROUP if there is none."""
    own = next_own_group(pages, side, group)
    if pages.below == 0:
        return own
    return min(own, next_own_group(view(Pages, pages.below), side, group))


@compiled
def next_own_group(pages: Pages, side: int, group: int) -> int:
    """Find the next group; what lies below is not looked at."""
    number = group + GROUPS_HALF
    for height in range(1, NODE_HEIGHT + 1):
        slot = _find_node(pages, side, height, number >> WORD_BITS)
        # Bits above the one that we come from; none are when that is bit 63.
        word = 0 if slot < 0 else pages.nodes[slot].word & shift_left(-2, number & WORD_MASK)
        number >>= WORD_BITS
        if word != 0:
            number = number << WORD_BITS | count_trailing_zeros(word)
            for lower in range(height - 1, 0, -1):
                slot = _find_node(pages, side, lower, number)
                number = number << WORD_BITS | count_trailing_zeros(pages.nodes[slot].word)
            return number - GROUPS_HALF
    return NO_GROUP


@compiled
def _node_key(side: int, height: int, number: int) -> int:
    """The key of a node: never 0, since heights begin at 1."""
    return (number << 1 | side) << 3 | height


@compiled
def _find_node(pages: Pages, side: int, height: int, number: int) -> int:
    """Slot of the word over 64**height groups from number * 64**height, -1 if none of them exists."""
    return find_key(pages.nodes, pages.node_bits, _node_key(side, height, number))


@compiled
def _index(pages: Pages, side: int, group: int) -> None:
    """Set the group's bit; where its word is new, the word's own bit, and so on up."""
    number = group + GROUPS_HALF
    for height in range(1, NODE_HEIGHT + 1):
        bit = shift_left(1, number & WORD_MASK)
        number >>= WORD_BITS
        key = _node_key(side, height, number)
        slot = find_place(pages.nodes, pages.node_bits, key)
        if pages.nodes[slot].key == key:
            pages.nodes[slot].word |= bit
            return
        pages.nodes[slot].key = key
        pages.nodes[slot].word = bit


@compiled
def _unindex(pages: Pages, side: int, group: int) -> None:
    """Clear the group's bit; where its word is empty now, remove it and clear its own bit, and so on up."""
    number = group + GROUPS_HALF
    for height in range(1, NODE_HEIGHT + 1):
        bit = shift_left(1, number & WORD_MASK)
        number >>= WORD_BITS
        slot = _find_node(pages, side, height, number)
        pages.nodes[slot].word &= ~bit
        if pages.nodes[slot].word != 0:
            return
        free = close_gap(pages.nodes, pages.node_bits, slot)
        pages.nodes[free].key = 0
