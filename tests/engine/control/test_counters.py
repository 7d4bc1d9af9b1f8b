"""What strategies count is written for others to read, bounded, and nobody's trading ends with a strategy's mistake."""

import pytest

from crosswire.engine.control.counters import COUNTERS_MAX, CounterTeller, StrategyCounters, counters_of
from crosswire.strategies.interface import Strategy


class Counting(Strategy):
    """Counts whatever a test says."""

    def counters(self) -> dict[str, int]:
        return COUNTED[id(self)]


COUNTED: dict[int, dict[str, int]] = {}


def counting(**values: int) -> Counting:
    strategy = Counting()
    COUNTED[id(strategy)] = {name.replace("_", " "): value for name, value in values.items()}
    return strategy


def test_counts_are_read_as_they_were_last_written() -> None:
    told, first, second = StrategyCounters(), counting(looks=1, trades_begun=-2), counting(looks=3)
    teller = CounterTeller(told, [first, second], ["a", "b"])
    assert counters_of(told, 0) == {}
    assert teller.take_lines() == []
    assert (counters_of(told, 0), counters_of(told, 1)) == ({"looks": 1, "trades begun": -2}, {"looks": 3})
    COUNTED[id(first)] = {"looks": 9}
    assert teller.take_lines() == []
    assert (counters_of(told, 0), counters_of(told, 1)) == ({"looks": 9}, {"looks": 3})


def test_one_that_raises_is_told_of_once_and_the_others_go_on() -> None:
    told, wrong, right = StrategyCounters(), counting(), counting(looks=3)
    COUNTED[id(wrong)] = {"looks": "many"}  # type: ignore[dict-item]
    teller = CounterTeller(told, [wrong, right], ["a", "b"])
    (line,) = teller.take_lines()
    assert line.startswith("a: counters() raises ValueError: ")
    assert teller.take_lines() == []
    assert (counters_of(told, 0), counters_of(told, 1)) == ({}, {"looks": 3})


@pytest.mark.parametrize("counted", [{"looks": 1 << 63}, {"looks": -(1 << 63) - 1}, {"\ud800": 1}])
def test_what_can_be_no_count_ends_the_asking_and_not_the_run(counted: dict[str, int]) -> None:
    told, wrong, right = StrategyCounters(), counting(), counting(looks=(1 << 63) - 1)
    COUNTED[id(wrong)] = counted
    (line,) = CounterTeller(told, [wrong, right], ["a", "b"]).take_lines()
    assert line.startswith("a: counters() raises ")
    assert (counters_of(told, 0), counters_of(told, 1)) == ({}, {"looks": (1 << 63) - 1})


def test_what_has_no_room_is_left_out() -> None:
    told, first, second = StrategyCounters(), counting(), counting(looks=3)
    COUNTED[id(first)] = {f"{number} {'x' * 80}": number for number in range(COUNTERS_MAX + 9)}
    assert CounterTeller(told, [first, second], ["a", "b"]).take_lines() == []
    assert list(counters_of(told, 0).values()) == list(range(COUNTERS_MAX))
    assert counters_of(told, 1) == {}
