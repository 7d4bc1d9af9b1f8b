"""Each primitive of crosswire.nic.memory.raw: what it means, and that compiled and plain mean the same."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.nic.memory.raw import (
    LANES,
    add_with_carry,
    copy_bytes,
    count_leading_zeros,
    count_trailing_zeros,
    fill_bytes,
    hash_bits,
    load_i64,
    load_i64_acquire,
    load_u32_acquire,
    pinned,
    round_half_even,
    shift_left,
    shift_right,
    store_i64,
    store_i64_release,
    store_u32_release,
    xor_products,
)
from crosswire.nic.memory.struct import array, i64, u8
from crosswire.nic.unit.compile import compiled

WORD = st.integers(-(1 << 63), (1 << 63) - 1)
PLACES = st.integers(0, 63)
REGION_BYTES = 64


def wrapped(primitive: Callable[..., Any], arity: int) -> Callable[..., Any]:
    """A compiled function that calls `primitive`: only such a call is lowered, not the primitive's own Python body."""
    match arity:
        case 1:
            return compiled(lambda a: primitive(a))  # noqa: PLW0108
        case 2:
            return compiled(lambda a, b: primitive(a, b))  # noqa: PLW0108
        case 3:
            return compiled(lambda a, b, c: primitive(a, b, c))  # noqa: PLW0108
        case _:
            return compiled(lambda a, b, c, d: primitive(a, b, c, d))  # noqa: PLW0108


COMPILED = {
    primitive: wrapped(primitive, arity)
    for arity, primitives in {
        1: [
            load_i64,
            load_i64_acquire,
            load_u32_acquire,
            count_leading_zeros,
            count_trailing_zeros,
            round_half_even,
            pinned,
        ],
        2: [add_with_carry, hash_bits, shift_left, shift_right, store_i64, store_i64_release, store_u32_release],
        3: [copy_bytes, fill_bytes],
        4: [xor_products],
    }.items()
    for primitive in primitives
}


def unsigned(word: int) -> int:
    return word & ((1 << 64) - 1)


def region(content: bytes) -> Any:
    items = array(u8, REGION_BYTES)
    for position, byte in enumerate(content):
        items[position] = byte
    return items


@given(
    pairs=st.integers(0, 4).flatmap(
        lambda groups: st.lists(st.tuples(WORD, WORD), min_size=LANES * groups, max_size=LANES * groups)
    ),
    bits=st.integers(1, 63),
)
def test_products_are_joined_by_xor(pairs: list[tuple[int, int]], bits: int) -> None:
    expected = 0
    words, multipliers = array(i64, max(1, len(pairs))), array(i64, max(1, len(pairs)))
    for place, (word, multiplier) in enumerate(pairs):
        words[place], multipliers[place] = word, multiplier
        expected ^= unsigned((unsigned(word) ^ unsigned(word) >> bits) * unsigned(multiplier))
    for function in (xor_products, COMPILED[xor_products]):
        assert unsigned(function(words.address, multipliers.address, len(pairs), bits)) == expected


@given(WORD)
def test_a_pinned_address_is_the_same(word: int) -> None:
    assert pinned(word) == COMPILED[pinned](word) == word


@given(key=WORD, bits=st.integers(1, 63))
def test_hash_bits(key: int, bits: int) -> None:
    slot = hash_bits(key, bits)
    assert COMPILED[hash_bits](key, bits) == slot
    assert 0 <= slot < 1 << bits


@given(left=WORD, right=WORD)
def test_add_with_carry(left: int, right: int) -> None:
    total = add_with_carry(left, right)
    assert COMPILED[add_with_carry](left, right) == total
    assert (unsigned(total) - unsigned(left) - unsigned(right)) % ((1 << 64) - 1) == 0
    assert (total == 0) == (left == right == 0)  # of the two zeros the other one: a checksum's sum is never 0


def test_hash_spreads_neighbours() -> None:
    slots = {hash_bits(price, 12) for price in range(600_000, 602_048)}
    assert len(slots) > 2048 * 0.9


@given(word=WORD | PLACES.map(lambda place: 1 << place if place < 63 else -(1 << 63)))
def test_counting_zeros(word: int) -> None:
    digits = f"{unsigned(word):064b}"
    leading = len(digits) - len(digits.lstrip("0"))
    trailing = len(digits) - len(digits.rstrip("0"))
    assert count_leading_zeros(word) == COMPILED[count_leading_zeros](word) == leading
    assert count_trailing_zeros(word) == COMPILED[count_trailing_zeros](word) == trailing


@given(word=WORD, places=PLACES)
def test_shifts(word: int, places: int) -> None:
    left, right = shift_left(word, places), shift_right(word, places)
    assert COMPILED[shift_left](word, places) == left
    assert COMPILED[shift_right](word, places) == right
    assert unsigned(left) == unsigned(unsigned(word) << places)
    assert unsigned(right) == unsigned(word) >> places
    assert -(1 << 63) <= left < 1 << 63
    assert -(1 << 63) <= right < 1 << 63


@given(value=st.floats(-(2.0**62), 2.0**62) | st.integers(-(1 << 40), 1 << 40).map(lambda half: half / 2))
def test_round_half_even(value: float) -> None:
    assert round_half_even(value) == COMPILED[round_half_even](value) == round(value)


@given(content=st.binary(min_size=REGION_BYTES, max_size=REGION_BYTES), offset=st.integers(0, REGION_BYTES - 8))
def test_unaligned_loads(content: bytes, offset: int) -> None:
    items = region(content)
    expected = int.from_bytes(content[offset : offset + 8], "little", signed=True)
    assert load_i64(items.address + offset) == COMPILED[load_i64](items.address + offset) == expected


@given(content=st.binary(min_size=REGION_BYTES, max_size=REGION_BYTES), place=st.integers(0, REGION_BYTES // 8 - 1))
def test_acquire_loads(content: bytes, place: int) -> None:
    items = region(content)
    at = items.address + 8 * place
    eight, four = content[8 * place : 8 * place + 8], content[8 * place : 8 * place + 4]
    assert load_i64_acquire(at) == COMPILED[load_i64_acquire](at) == int.from_bytes(eight, "little", signed=True)
    assert load_u32_acquire(at) == COMPILED[load_u32_acquire](at) == int.from_bytes(four, "little")


@pytest.mark.parametrize(
    ("store", "size", "alignment"), [(store_i64, 8, 1), (store_i64_release, 8, 8), (store_u32_release, 4, 4)]
)
@given(value=WORD, place=st.integers(0, 6))
def test_stores_touch_their_bytes_alone(
    store: Callable[..., None], size: int, alignment: int, value: int, place: int
) -> None:
    content = bytes(range(100, 100 + REGION_BYTES))
    offset = place * alignment
    expected = bytearray(content)
    expected[offset : offset + size] = unsigned(value).to_bytes(8, "little")[:size]
    for function in (store, COMPILED[store]):
        items = region(content)
        function(items.address + offset, value)
        assert bytes(items) == expected


@given(content=st.binary(min_size=32, max_size=32), source=st.integers(0, 32), data=st.data())
def test_copy_and_fill(content: bytes, source: int, data: st.DataObject) -> None:
    length = data.draw(st.integers(0, 32 - source))
    target = data.draw(st.integers(32, REGION_BYTES - length))
    value = data.draw(st.integers(0, 255))
    copied, filled = (bytearray(content + bytes(32)) for _ in range(2))
    copied[target : target + length] = content[source : source + length]
    filled[target : target + length] = bytes([value]) * length
    for copy, fill in ((copy_bytes, fill_bytes), (COMPILED[copy_bytes], COMPILED[fill_bytes])):
        items = region(content)
        copy(items.address + target, items.address + source, length)
        assert bytes(items) == copied
        items = region(content)
        fill(items.address + target, value, length)
        assert bytes(items) == filled
