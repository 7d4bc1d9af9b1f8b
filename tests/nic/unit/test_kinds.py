"""Kinds of values: their names say all there is to them, and their words go both ways."""

from typing import Any, NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from crosswire.nic.memory.struct import Array, Struct, array, i64, u8
from crosswire.nic.unit.call import interpreted
from crosswire.nic.unit.compile import compiled
from crosswire.nic.unit.kinds import (
    Class,
    Elements,
    Group,
    Kind,
    from_words,
    kind_name,
    kind_named,
    kind_of,
    to_words,
    word_count,
)


class Pebble(Struct):
    weight: i64


class Sack(Struct):
    class Seam(Struct):
        stitches: i64

    seam: Seam


class Pair(NamedTuple):
    first: Any
    second: Any


STRUCTS = st.sampled_from([Pebble, Sack, Sack.Seam])
SCALARS = st.sampled_from([kind_of(array(each, 1)).element for each in (i64, u8)])
WORDS = st.sampled_from(["i64", "bool", "f64", "none"])
SIMPLE = WORDS | STRUCTS | st.builds(Class, STRUCTS) | st.builds(Elements, STRUCTS | SCALARS, st.just("little"))


def groups(parts: st.SearchStrategy[Kind]) -> st.SearchStrategy[Kind]:
    """Tuples of any length, and named ones."""
    plain = st.builds(Group, st.just(tuple), st.lists(parts, max_size=4).map(tuple))
    return plain | st.builds(Group, st.just(Pair), st.tuples(parts, parts))


@given(kind=st.recursive(SIMPLE, groups))
def test_a_kind_is_found_by_its_name(kind: Kind) -> None:
    assert kind_named(kind_name(kind), ()) == kind


INTEGERS = st.integers(-(1 << 63), (1 << 63) - 1)
VALUES = st.recursive(
    INTEGERS | st.booleans() | st.floats(allow_nan=False) | st.none(),
    lambda parts: st.lists(parts, max_size=4).map(tuple) | st.builds(Pair, parts, parts),
)


@given(value=VALUES)
def test_a_value_takes_as_many_words_as_its_kind_says_and_comes_back(value: Any) -> None:
    words: list[int] = []
    to_words(value, words)
    assert len(words) == word_count(kind_of(value))
    left = iter(words)
    assert from_words(kind_of(value), left) == value
    assert list(left) == []


@compiled
def powers(base: int) -> tuple[int, int, int, int, int, int, int, int, int, int, int, int]:
    square = base * base
    fourth = square * square
    eighth = fourth * fourth
    return (
        1, base, square, square * base, fourth, fourth * base, fourth * square, fourth * square * base,
        eighth, eighth * base, eighth * square, eighth * square * base,
    )  # fmt: skip


def test_a_result_of_many_words_has_room() -> None:
    for call in (powers, interpreted(powers)):
        assert call(3) == tuple(3**exponent for exponent in range(12))


@compiled
def weigh(pebbles: Array, count: int) -> int:
    total = 0
    for index in range(count):
        total += pebbles[index].weight
    return total


def test_an_array_of_structs_is_an_argument() -> None:
    pebbles = Pebble.array(3)
    for index in range(3):
        pebbles[index].weight = index + 1
    assert weigh(pebbles, 3) == 6
