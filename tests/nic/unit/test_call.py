"""Machine code called from Python with its first arguments settled."""

import gc

import pytest

from crosswire.nic.memory.struct import Struct, i64
from crosswire.nic.unit.call import bind, machine_code
from crosswire.nic.unit.compile import compiled


class Pair(Struct):
    first: i64
    second: i64


@compiled
def add_to(pair: Pair, number: int, other: int) -> int:
    pair.first += number
    pair.second += other
    return pair.first - pair.second


@compiled
def is_even(pair: Pair) -> bool:
    return pair.first % 2 == 0


def test_a_settled_call_does_what_the_plain_one_does() -> None:
    one, two = Pair(first=5, second=7), Pair(first=5, second=7)
    call = bind(add_to, one)
    for numbers in ((1, 2), (-(1 << 62), 3), (0, -1)):
        assert call(*numbers) == machine_code(add_to)(two, *numbers)
    assert (one.first, one.second) == (two.first, two.second)
    assert bind(is_even, one)() is (one.first % 2 == 0)


def test_two_settled_calls_of_one_function_keep_their_own_arguments_alive() -> None:
    calls = [bind(add_to, Pair(first=number)) for number in range(3)]
    gc.collect()
    assert [call(1, 0) for call in calls] == [1, 2, 3]
    assert [call(1, 0) for call in calls] == [2, 3, 4]


def test_what_is_missing_or_too_much_is_an_error() -> None:
    call = bind(add_to, Pair())
    for numbers in ((), (1,), (1, 2, 3)):
        with pytest.raises((TypeError, ValueError)):
            call(*numbers)
