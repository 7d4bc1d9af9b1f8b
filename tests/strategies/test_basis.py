"""The basis signal: its running mean, when it enters and when it leaves."""

import re
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crosswire.strategies.average import FRACTION_BITS, VALUE_MAX, WEIGHT_ONE, Average, add_sample, weight_of
from crosswire.strategies.basis import Basis
from crosswire.strategies.mean_basis import BASIS_MAX, basis_of
from crosswire.strategies.trades import Outcome
from crosswire.testing import START_NS, Harness, fill, inverse, linear, miss
from crosswire.venues.side import BUY, SELL

PARAMETERS: dict[str, Any] = {
    "pairs": [["a", "b"]],
    "half_life_s": "0.05",
    "sample_us": 5_000,
    "warmup_s": "0.1",
    "entry_deviations": 3,
    "exit_deviations": "0.5",
    "edge_min_bps": 1,
    "hold_max_s": 10,
    "size_max": 1,
    "position_max": 3,
    "unwind_loss_max_bps": 50,
    "book_age_max_ms": 1_000_000,
}
MS = 1_000_000
SCALE = 1 << FRACTION_BITS


def make(**changes: Any) -> Harness:
    mix = changes.pop("mix", None) or {"a": linear(taker_fee_bps=1), "b": linear(taker_fee_bps=1)}
    return Harness(Basis, PARAMETERS | changes, mix)


def quote(harness: Harness, name: str, middle: float, size: Any = 5) -> None:
    """A book one unit wide."""
    harness.set_book(name, bids=[(middle - 0.5, size)], asks=[(middle + 0.5, size)])


def warm(harness: Harness, a: float = 10_010, b: float = 10_000, duration_ms: int = 200) -> None:
    """The basis swings by half a basis point about (a - b) / b."""
    for turn in range(duration_ms // 10):
        quote(harness, "a", a + (0.5 if turn % 2 else -0.5))
        quote(harness, "b", b)
        harness.advance(10 * MS - 2_000)


@settings(max_examples=50)
@given(
    st.lists(st.integers(-VALUE_MAX, VALUE_MAX), min_size=1, max_size=60),
    st.sampled_from([1, 77, 40_000, WEIGHT_ONE // 2]),
)
def test_the_average_follows_the_exact_one(values: list[int], weight: int) -> None:
    average = Average()
    mean = deviation = 0.0
    for number, value in enumerate(values, 1):
        add_sample(average, value, weight)
        share = max(weight, WEIGHT_ONE // number) / WEIGHT_ONE
        off = value - mean
        mean += share * off
        if number > 1:
            deviation += share * (abs(off) - deviation)
        assert average.mean / SCALE == pytest.approx(mean, abs=0.01)
        assert average.deviation / SCALE == pytest.approx(deviation, abs=0.02)


def test_the_average_is_not_stuck_near_its_goal() -> None:
    """Half a unit away a step of a small weight is far below one; the remainders add up all the same."""
    average = Average(samples=WEIGHT_ONE)
    for _ in range(2_000):
        add_sample(average, 1, 1 << 15)
    assert average.mean / SCALE == pytest.approx(1 - (1 - 2**-11) ** 2_000, abs=2 / SCALE)


def test_a_half_life_halves() -> None:
    average = Average(samples=WEIGHT_ONE)
    weight = weight_of(Decimal("0.1"), Decimal(30))
    for _ in range(300):
        add_sample(average, 1_000_000, weight)
    assert average.mean / SCALE == pytest.approx(500_000, rel=1e-4)


@settings(max_examples=50)
@given(st.integers(1, 10**8), st.integers(1, 10**8))
def test_the_basis_is_the_floor_of_the_exact_one(a: int, b: int) -> None:
    harness = make()
    for name, ticks in (("a", a), ("b", b)):
        harness.change_book(name, bids=[(Fraction(ticks, 10), 1)], asks=[(Fraction(ticks + 2, 10), 1)])
    exact = (a - b) * 10_000_000 // (b + 1)
    assert basis_of(harness.strategy.legs, harness.desk, 0, 1) == max(-BASIS_MAX, min(BASIS_MAX, exact))


def test_samples_are_taken_on_the_clocks_grid_while_both_books_are_proven() -> None:
    harness = make()
    average = harness.strategy.pairs[0].average
    quote(harness, "a", 10_010)
    harness.advance(9 * MS)
    assert average.samples == 0
    quote(harness, "b", 10_000)
    harness.advance(20 * MS)
    assert average.samples == 4
    assert harness.desk.timer_ns == START_NS + 30 * MS
    assert average.mean == 10_000 * SCALE  # 10 bps in 1e-3 bps
    harness.lose_book("a")
    harness.advance(20 * MS)
    assert average.samples == 4


def test_no_trade_before_the_warm_up() -> None:
    harness = make()
    warm(harness, duration_ms=90)
    quote(harness, "a", 10_060)
    assert harness.orders == []


@pytest.mark.parametrize("lost", ["a", "b"])
def test_a_lost_book_ends_its_opportunity(lost: str) -> None:
    harness = make()
    warm(harness)
    quote(harness, "a", 10_030)
    assert harness.opportunities == []
    harness.lose_book(lost)
    assert [(row["buy_instrument"], row["sell_instrument"]) for row in harness.opportunities] == [(1, 0)]
    assert harness.opportunities[0]["end_ns"] == harness.desk.now_ns


@pytest.mark.parametrize(("far", "side_of_a"), [(10_030, SELL), (9_990, BUY)])
def test_enters_far_from_the_mean_and_leaves_near_it(far: float, side_of_a: int) -> None:
    harness = make()
    warm(harness)
    quote(harness, "a", far)
    assert {(order.name, order.side) for order in harness.orders} == {("a", side_of_a), ("b", 1 - side_of_a)}
    harness.advance(MS)
    quote(harness, "b", 10_000)
    harness.advance(MS)
    assert len(harness.orders) == 2  # still far away, but the size of a that was on offer is taken
    assert abs(harness.position_lots("a")) == 1000
    quote(harness, "b", 10_000)
    quote(harness, "a", 10_010)
    harness.advance(MS)
    assert harness.position_lots("a") == harness.position_lots("b") == 0
    assert [trade["outcome"] for trade in harness.trades] == [Outcome.COMPLETE] * 2
    assert sum(trade["traded_value_e9"] for trade in harness.trades) > 0
    (opportunity,) = harness.opportunities
    assert (opportunity["attempts"], opportunity["captured_size_e9"]) == (1, 1_000_000_000)


def test_fees_of_the_round_trip_and_the_least_edge_come_first() -> None:
    # 20 bps from the mean, half a basis point of spread on the way in; twice 5 + 5 bps of fees leave too little.
    harness = make(mix={"a": linear(taker_fee_bps=5), "b": linear(taker_fee_bps=5)})
    warm(harness)
    quote(harness, "a", 10_030)
    assert (harness.orders, harness.opportunities) == ([], [])
    harness = make(edge_min_bps=16)  # of 20 less 4 of fees and 1 of spread
    warm(harness)
    quote(harness, "a", 10_030)
    assert harness.orders == []
    harness = make(edge_min_bps=14)
    warm(harness)
    quote(harness, "a", 10_030)
    assert len(harness.orders) == 2


@pytest.mark.parametrize(("far", "side_of_a"), [(11_030, SELL), (10_970, BUY)])
@pytest.mark.parametrize(("edge_min_bps", "orders"), [(21, 2), (26, 0)])
def test_the_edge_is_measured_from_a_distant_mean(far: float, side_of_a: int, edge_min_bps: int, orders: int) -> None:
    """27.3 bps of a from the mean, less 4 of fees and 1 of spread."""
    harness = make(edge_min_bps=edge_min_bps)
    warm(harness, a=11_000)
    quote(harness, "a", far)
    assert [order.side for order in harness.orders if order.name == "a"] == [side_of_a] * (orders // 2)


def test_leaves_after_the_longest_hold_and_waits_for_the_mean() -> None:
    harness = make(hold_max_s="0.1", half_life_s=1000, warmup_s=1000)
    harness.strategy.warmup_samples = 20
    warm(harness)
    quote(harness, "a", 10_030)
    harness.advance(MS)
    assert harness.position_lots("a") == -1000
    harness.advance(98 * MS)
    quote(harness, "b", 10_000, size="0.4")
    quote(harness, "a", 10_030, size="0.4")
    harness.advance(MS)
    taken = len(harness.orders)
    harness.advance(5 * MS)
    assert [(order.name, order.side, order.qty_lots) for order in harness.orders[taken:]] == [
        ("a", BUY, 400),
        ("b", SELL, 400),
    ]
    quote(harness, "b", 10_000)
    quote(harness, "a", 10_030)
    harness.advance(MS)
    assert harness.position_lots("a") == harness.position_lots("b") == 0
    entered = len(harness.orders)
    quote(harness, "b", 10_000)
    quote(harness, "a", 10_030)
    harness.advance(MS)
    quote(harness, "a", 10_100)  # 3 deviations or more, the mean and they having moved meanwhile
    assert len(harness.orders) == entered
    quote(harness, "a", 10_010)
    quote(harness, "a", 10_100)
    assert len(harness.orders) == entered + 2


def test_positions_are_bounded() -> None:
    harness = make(half_life_s=1000, warmup_s=1000)
    harness.strategy.warmup_samples = 20
    warm(harness)
    for _ in range(6):
        quote(harness, "a", 10_030)
        quote(harness, "b", 10_000)
        harness.advance(MS)
    assert (harness.position_lots("a"), harness.position_lots("b")) == (-3000, 3000)


def test_a_missed_leg_is_unwound_and_not_hedged() -> None:
    mix = {name: linear(taker_fee_bps=1) for name in "abc"}
    harness = make(retries=0, mix=mix, pairs=[["a", "b"], ["a", "c"]])
    quote(harness, "c", 10_000)
    warm(harness)
    harness.answers = [fill(), miss()]
    quote(harness, "a", 10_030)
    harness.advance(60 * MS)
    assert [(order.name, order.side) for order in harness.orders] == [("b", BUY), ("a", SELL), ("b", SELL)]
    assert harness.trades[0]["outcome"] == Outcome.UNWOUND
    assert harness.strategy.legs.pairs[1].held_e9 == 0


def test_inverse_against_linear() -> None:
    harness = make(mix={"a": inverse("0.5", 100, 1), "b": linear(taker_fee_bps=1)})
    for turn in range(20):
        quote(harness, "a", 10_010 + (0.5 if turn % 2 else -0.5), size=50_000)
        quote(harness, "b", 10_000)
        harness.advance(10 * MS - 2_000)
    quote(harness, "a", 10_030, size=50_000)
    harness.advance(MS)
    assert (harness.position_lots("a"), harness.position_lots("b")) == (-100, 997)  # 10,000 USD at 10,029.5
    quote(harness, "b", 10_000)
    quote(harness, "a", 10_010, size=50_000)
    harness.advance(MS)
    assert abs(harness.strategy.legs.carry_e9) < 1_000_000
    assert abs(harness.strategy.legs.pairs[1].held_e9) < 10_000_000  # less than a lot of a


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pairs": []}, "pairs: 1 to 8 are needed, not 0"),
        ({"pairs": [["a", "a"]]}, "pairs: a is paired with itself"),
        ({"pairs": [["a", "b"], ["b", "a"]]}, "pairs: one is named twice"),
        ({"entry_deviations": "0.5"}, "entry_deviations = 0.5 must be above exit_deviations = 0.5"),
        ({"warmup_s": "0.01"}, "warmup_s = 0.01 is shorter than half_life_s = 0.05"),
        ({"sample_us": 0}, "sample_us = 0: must be 1 or more us"),
        ({"half_life_s": 0}, "half_life_s = 0: must be above 0 s"),
        (
            {"half_life_s": 10**9, "warmup_s": 10**9},
            "a half life of 1000000000 is too long for samples every 0.005",
        ),
    ],
)
def test_contradictions_are_refused_in_one_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        make(**changes)


# What an earlier run has left.


def test_what_an_earlier_run_held_is_left_when_the_basis_is_back() -> None:
    harness = make()
    harness.desk.positions[0].position_lots, harness.desk.positions[1].position_lots = -1_000, 1_000
    warm(harness)
    quote(harness, "a", 10_010)
    harness.advance(100 * MS)
    assert [(order.name, order.side, order.qty_lots) for order in harness.orders] == [
        ("a", BUY, 1_000), ("b", SELL, 1_000),
    ]  # fmt: skip


SHARED = [["a", "b"], ["a", "c"]]


@pytest.mark.parametrize(("pairs", "left"), [(SHARED, [("a", BUY), ("b", SELL)]), ([*SHARED, ["b", "c"]], [])])
def test_of_pairs_that_share_an_instrument_the_other_one_tells(pairs: list[list[str]], left: list[Any]) -> None:
    """Where both are in other pairs, too, nobody knows which pair holds it."""
    harness = make(mix={name: linear(taker_fee_bps=1) for name in "abc"}, pairs=pairs)
    harness.desk.positions[0].position_lots, harness.desk.positions[1].position_lots = -1_000, 1_000
    quote(harness, "c", 10_000)
    warm(harness)
    quote(harness, "a", 10_010)
    harness.advance(100 * MS)
    assert [(order.name, order.side) for order in harness.orders] == left
