"""Which fills were told already: each is told once, however often the exchange sends it again."""

from typing import Annotated

from crosswire.nic.memory.raw import hash_bits, multiply_u64
from crosswire.nic.memory.struct import Array, Struct, i64, u32
from crosswire.nic.unit.compile import compiled

FILLS_BITS = 14
FILLS_MAX = 1 << FILLS_BITS  # remembered; the oldest is forgotten first
_SLOT_BITS = FILLS_BITS + 1  # at most half full: a probe stays short
_SLOTS = 1 << _SLOT_BITS
_ORDER_FACTOR = 0x51_7C_C1_B7_27_22_0A_95  # odd, so that no two orders of one match share a hash by design


class FillKey(Struct):
    """A match has a fill on each side, so both numbers are needed."""

    match_id: i64
    order_id: i64


class FillSet(Struct):
    """The last FILLS_MAX fills, by open addressing. A slot holds the place in `keys` + 1, 0: empty."""

    count: i64  # ever added
    copies: i64  # fills that had been told
    slots: Annotated[Array, u32, _SLOTS]
    keys: Annotated[Array, FillKey, FILLS_MAX]


@compiled
def _home(match_id: int, order_id: int) -> int:
    return hash_bits(match_id ^ multiply_u64(order_id, _ORDER_FACTOR), _SLOT_BITS)


@compiled
def _find(fills: FillSet, match_id: int, order_id: int) -> int:
    """Find the slot that holds this fill, or the empty one where it belongs."""
    slot = _home(match_id, order_id)
    while fills.slots[slot] != 0:
        key = fills.keys[fills.slots[slot] - 1]
        if key.match_id == match_id and key.order_id == order_id:
            return slot
        slot = (slot + 1) & (_SLOTS - 1)
    return slot


@compiled
def add_fill_once(fills: FillSet, match_id: int, order_id: int) -> bool:
    """Remember a fill; False (counted) if it is remembered already."""
    if fills.slots[_find(fills, match_id, order_id)] != 0:
        fills.copies += 1
        return False
    place = fills.count & (FILLS_MAX - 1)
    key = fills.keys[place]
    if fills.count >= FILLS_MAX:
        _forget(fills, _find(fills, key.match_id, key.order_id))
    key.match_id = match_id
    key.order_id = order_id
    # Looked for again: forgetting may have moved the empty slot.
    fills.slots[_find(fills, match_id, order_id)] = place + 1
    fills.count += 1
    return True


@compiled
def _forget(fills: FillSet, slot: int) -> None:
    """Empty a slot and move up what was put further on because of it (Knuth, TAOCP 6.4, algorithm R)."""
    empty = slot
    fills.slots[empty] = 0
    slot = (slot + 1) & (_SLOTS - 1)
    while fills.slots[slot] != 0:
        key = fills.keys[fills.slots[slot] - 1]
        home = _home(key.match_id, key.order_id)
        if ((slot - home) & (_SLOTS - 1)) >= ((slot - empty) & (_SLOTS - 1)):
            fills.slots[empty] = fills.slots[slot]
            fills.slots[slot] = 0
            empty = slot
        slot = (slot + 1) & (_SLOTS - 1)
