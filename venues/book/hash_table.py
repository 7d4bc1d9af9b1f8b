"""Hash tables in fixed memory: arrays of 2**bits structs with a `key`, by open addressing.

A user says for its class of entries which are taken (`is_taken`), and where a key is looked for first (`home_of`). A
table is never full: a search ends at a free slot.
"""

from crosswire.nic.memory.raw import hash_bits
from crosswire.nic.memory.struct import Array, Struct, copy_struct
from crosswire.nic.unit.compile import inlined, inlined_generic

RUN_BITS = 4
RUN_MASK = (1 << RUN_BITS) - 1


@inlined_generic
def is_taken(entry: Struct) -> bool:
    """Tell whether a slot of a table holds an entry."""


@inlined_generic
def home_of(entry: Struct, key: int, bits: int) -> int:
    """Tell which slot of 2**bits entries of this class a key is looked for in first."""


@inlined
def home_in_run(key: int, bits: int) -> int:
    """Tell the home of a key whose neighbours come with it, as do those of an exchange's order ids and of its prices.

    2**RUN_BITS neighbours have homes side by side; such runs lie anywhere. So what is sought next is often in the cache
    line of what was sought last: with ids scattered over 128 kB an order left 25 of 290 ns later. Keys of any other
    step have homes as even as those of `hash_bits`.
    """
    return (hash_bits(key >> RUN_BITS, bits) + (key & RUN_MASK)) & ((1 << bits) - 1)


@inlined
def find_key(entries: Array, bits: int, key: int) -> int:
    """Slot of a key, -1 if it is not there."""
    slot = home_of(entries[0], key, bits)
    while is_taken(entries[slot]):
        if entries[slot].key == key:
            return slot
        slot = (slot + 1) & ((1 << bits) - 1)
    return -1


@inlined
def find_place(entries: Array, bits: int, key: int) -> int:
    """Slot of a key, or the free slot in which it is to be entered."""
    slot = home_of(entries[0], key, bits)
    while is_taken(entries[slot]) and entries[slot].key != key:
        slot = (slot + 1) & ((1 << bits) - 1)
    return slot


@inlined
def close_gap(entries: Array, bits: int, hole: int) -> int:
    """Move up the entries that could not be found any more with `hole` free; the slot to be marked free instead.

    Knuth, TAOCP 6.4, algorithm R: so a removal leaves no tombstone.
    """
    mask = (1 << bits) - 1
    slot = (hole + 1) & mask
    while is_taken(entries[slot]):
        home = home_of(entries[slot], entries[slot].key, bits)
        if (slot - home) & mask >= (slot - hole) & mask:
            copy_struct(entries[hole], entries[slot])
            hole = slot
        slot = (slot + 1) & mask
    return hole
