"""Sizes by price in fixed memory, with the next level found by bits: the storage below `venues.book`.

A level is known by its side and rank: the distance in ticks from the best price that the side could ever have, so that
on both sides better is smaller and the search runs one way only. Eight ranks side by side are a page: eight sizes in one
cache line, and one word, the tag, that holds the page's key and which of the eight have a level. A page is found by
hashing its number; eight neighbouring pages stay neighbours, so that their tags share a cache line too.

Above the pages lies an index of 64-bit words, each word over 64 pages, or over 64 words below: where a page ends, the
next one is found by at most NODE_HEIGHT steps up and as many down, however far away it is.

A page whose last level went stays in the table and in the index: near the market it will be used again at once, and so a
removal never touches the index. `_reclaim` gives such pages back: every new page pays for looking at RECLAIM_STEPS
slots, so that a turn of the whole table takes a quarter as many new pages as it has slots; and when the table is full,
it looks on until it finds one. So no slot is lost, however far prices drift.
"""

from typing import Annotated

from nic.compile import compiled
from nic.memory import count_trailing_zeros, hash_bits, shift_left
from nic.struct import Array, Pointer, Struct, array, i64

PAGE_BITS = 3
PAGE_TICKS = 1 << PAGE_BITS
PAGE_MASK = PAGE_TICKS - 1
TAG_IN_USE = 1 << PAGE_TICKS  # above the occupancy bits, so that the tag of page 0 is not that of a free slot
OCCUPIED = TAG_IN_USE - 1

NODE_BITS = 6
NODE_MASK = (1 << NODE_BITS) - 1
NODE_HEIGHT = 5
RANK_BITS = PAGE_BITS + NODE_BITS * NODE_HEIGHT  # 33: prices from -2**32 to 2**32 - 1 ticks
RANK_BIAS = 1 << (RANK_BITS - 1)

PAGES_MIN = 64
NODE_SLOTS_MIN = 1024
RECLAIM_STEPS = 4


class Node(Struct):
    """64 bits of the index. key: 0 when free, see `_node_key`."""

    key: i64
    word: i64


class Pages(Struct):
    """Open addressing, at most half full. slot -> tag, and its sizes from slot * PAGE_TICKS.

    The index has four slots for each page that there may be. N pages need at most N nodes at each of the lower three
    heights (8,192 at the third, all there are), 128 at the fourth and 2 at the top: a slot always stays free.
    """

    slot_bits: i64
    pages_max: i64
    used: i64  # pages in the table, those without levels included
    reclaimed: i64  # pages given back since the table was cleared
    cursor: i64  # slot that `_reclaim` looks at next
    node_bits: i64
    nodes_used: i64
    tags: Annotated[Pointer, i64]
    sizes: Annotated[Pointer, i64]
    nodes: Annotated[Pointer, Node]


def allocate_pages(pages: Pages, level_capacity: int) -> None:
    """Memory for at least `level_capacity` levels, even when no two of them share a page: 208 to 416 bytes a level."""
    pages_bits = (max(PAGES_MIN, level_capacity) - 1).bit_length()
    pages.pages_max = 1 << pages_bits
    pages.slot_bits = pages_bits + 1
    pages.node_bits = (max(NODE_SLOTS_MIN, 4 << pages_bits) - 1).bit_length()
    pages.tags = array(i64, 1 << pages.slot_bits)
    pages.sizes = array(i64, PAGE_TICKS << pages.slot_bits)
    pages.nodes = array(Node, 1 << pages.node_bits)


@compiled
def clear_pages(pages: Pages) -> None:
    """Forget every level."""
    for slot in range(1 << pages.slot_bits):
        pages.tags[slot] = 0
    for slot in range(1 << pages.node_bits):
        pages.nodes[slot].key = 0
    pages.used = 0
    pages.reclaimed = 0
    pages.cursor = 0
    pages.nodes_used = 0


@compiled
def page_key(side: int, page: int) -> int:
    """The tag of a page, less its occupancy bits."""
    return (page << 1 | side) << 1 | 1


@compiled
def home_slot(pages: Pages, key: int) -> int:
    """Where the search for a page begins; it goes on in steps of PAGE_TICKS slots, so that neighbours do not collide."""
    page = key >> 2
    group = (page >> 3) << 1 | (key >> 1 & 1)
    return hash_bits(group, pages.slot_bits - 3) << 3 | (page & 7)


@compiled
def next_slot(pages: Pages, slot: int) -> int:
    return (slot + 8) & ((1 << pages.slot_bits) - 1)


@compiled
def find_page(pages: Pages, side: int, page: int) -> int:
    """Slot of a page, -1 if the table does not have it."""
    key = page_key(side, page)
    slot = home_slot(pages, key)
    while pages.tags[slot] >> PAGE_TICKS != key:
        if pages.tags[slot] == 0:
            return -1
        slot = next_slot(pages, slot)
    return slot


@compiled
def size_at(pages: Pages, side: int, rank: int) -> int:
    """Lots at a rank, 0 if there is no level."""
    slot = find_page(pages, side, rank >> PAGE_BITS)
    return 0 if slot < 0 else pages.sizes[slot * PAGE_TICKS + (rank & PAGE_MASK)]


@compiled
def add_page(pages: Pages, side: int, page: int) -> int:
    """Slot of a new, empty page; -1 if the table is full of levels or the page is outside the range of ranks."""
    if page < 0 or page >> (RANK_BITS - PAGE_BITS) != 0:
        return -1
    _reclaim(pages, RECLAIM_STEPS, pages.used)
    if pages.used >= pages.pages_max:
        _reclaim(pages, 1 << pages.slot_bits, pages.pages_max - 1)
        if pages.used >= pages.pages_max:
            return -1
    key = page_key(side, page)
    slot = home_slot(pages, key)
    while pages.tags[slot] != 0:
        slot = next_slot(pages, slot)
    pages.tags[slot] = key << PAGE_TICKS
    for lane in range(PAGE_TICKS):
        pages.sizes[slot * PAGE_TICKS + lane] = 0
    pages.used += 1
    _index(pages, side, page)
    return slot


@compiled
def _reclaim(pages: Pages, steps: int, enough: int) -> None:
    """Give back the pages without levels among the next `steps` slots, or until no more than `enough` are used."""
    mask = (1 << pages.slot_bits) - 1
    slot = pages.cursor
    for _ in range(steps):
        tag = pages.tags[slot]
        if tag != 0 and tag & OCCUPIED == 0:
            remove_page(pages, slot)
            if pages.used <= enough:
                break
        else:
            slot = (slot + 1) & mask
    pages.cursor = slot


@compiled
def remove_page(pages: Pages, slot: int) -> None:
    """Take a page without levels out of the table (Knuth, TAOCP 6.4, algorithm R: later pages move up, no tombstone)."""
    tag = pages.tags[slot]
    mask = (1 << pages.slot_bits) - 1
    hole = slot
    slot = next_slot(pages, slot)
    while pages.tags[slot] != 0:
        home = home_slot(pages, pages.tags[slot] >> PAGE_TICKS)
        if (slot - home) & mask >= (slot - hole) & mask:
            pages.tags[hole] = pages.tags[slot]
            for lane in range(PAGE_TICKS):
                pages.sizes[hole * PAGE_TICKS + lane] = pages.sizes[slot * PAGE_TICKS + lane]
            hole = slot
        slot = next_slot(pages, slot)
    pages.tags[hole] = 0
    pages.used -= 1
    pages.reclaimed += 1
    _unindex(pages, tag >> (PAGE_TICKS + 1) & 1, tag >> (PAGE_TICKS + 2))


@compiled
def next_page(pages: Pages, side: int, page: int) -> int:
    """The nearest page worse than `page`, which need not exist; -1 if there is none."""
    height = 1
    below = page
    while height <= NODE_HEIGHT:
        slot = _find_node(pages, side, height, below >> NODE_BITS)
        # Bits above the one that we come from; all of them are gone when that is bit 63.
        word = 0 if slot < 0 else pages.nodes[slot].word & shift_left(-2, below & NODE_MASK)
        below >>= NODE_BITS
        if word != 0:
            below = below << NODE_BITS | count_trailing_zeros(word)
            height -= 1
            while height > 0:
                slot = _find_node(pages, side, height, below)
                below = below << NODE_BITS | count_trailing_zeros(pages.nodes[slot].word)
                height -= 1
            return below
        height += 1
    return -1


@compiled
def _node_key(side: int, height: int, number: int) -> int:
    """Never 0, since heights begin at 1."""
    return (number << 1 | side) << 3 | height


@compiled
def _find_node(pages: Pages, side: int, height: int, number: int) -> int:
    """Slot of the word over 64**height pages from number * 64**height, -1 if none of them exists."""
    key = _node_key(side, height, number)
    mask = (1 << pages.node_bits) - 1
    slot = hash_bits(key, pages.node_bits)
    while pages.nodes[slot].key != key:
        if pages.nodes[slot].key == 0:
            return -1
        slot = (slot + 1) & mask
    return slot


@compiled
def _index(pages: Pages, side: int, page: int) -> None:
    """Set the page's bit; where its word is new, the word's own bit, and so on up."""
    mask = (1 << pages.node_bits) - 1
    for height in range(1, NODE_HEIGHT + 1):
        bit = shift_left(1, page & NODE_MASK)
        page >>= NODE_BITS
        key = _node_key(side, height, page)
        slot = hash_bits(key, pages.node_bits)
        while pages.nodes[slot].key != key and pages.nodes[slot].key != 0:
            slot = (slot + 1) & mask
        if pages.nodes[slot].key == key:
            pages.nodes[slot].word |= bit
            return
        pages.nodes[slot].key = key
        pages.nodes[slot].word = bit
        pages.nodes_used += 1


@compiled
def _unindex(pages: Pages, side: int, page: int) -> None:
    """Clear the page's bit; where its word is empty now, remove it and clear its own bit, and so on up."""
    for height in range(1, NODE_HEIGHT + 1):
        bit = shift_left(1, page & NODE_MASK)
        page >>= NODE_BITS
        slot = _find_node(pages, side, height, page)
        pages.nodes[slot].word &= ~bit
        if pages.nodes[slot].word != 0:
            return
        _remove_node(pages, slot)


@compiled
def _remove_node(pages: Pages, hole: int) -> None:
    mask = (1 << pages.node_bits) - 1
    slot = (hole + 1) & mask
    while pages.nodes[slot].key != 0:
        home = hash_bits(pages.nodes[slot].key, pages.node_bits)
        if (slot - home) & mask >= (slot - hole) & mask:
            pages.nodes[hole].key = pages.nodes[slot].key
            pages.nodes[hole].word = pages.nodes[slot].word
            hole = slot
        slot = (slot + 1) & mask
    pages.nodes[hole].key = 0
    pages.nodes_used -= 1
