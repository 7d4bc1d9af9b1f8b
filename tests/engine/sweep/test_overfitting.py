"""Measures of luck against what their authors publish, and against noise and edges that are made here."""

from math import sqrt

import numpy as np
import pytest

from crosswire.engine.sweep.overfitting import (
    NoMeasure,
    deflated_sharpe,
    expected_best,
    probability_above,
    probability_of_overfitting,
)
from crosswire.engine.sweep.rows import Row
from crosswire.engine.sweep.series import NS_PER_DAY, daily, gather, walk_forward

# Bailey and Lopez de Prado 2014, "A numerical example": 5 years of 250 days, yearly variance of trials 1/2, a yearly
# ratio of 2.5, skewness -3, kurtosis 10.
DAYS, YEARLY_VARIANCE, RATIO = 1250, 0.5, 2.5 / sqrt(250)


def test_the_published_example_of_a_deflated_ratio() -> None:
    expected = expected_best(YEARLY_VARIANCE / 250, 100)
    assert expected == pytest.approx(0.1132, abs=5e-5)
    assert probability_above(RATIO, expected, DAYS, -3, 10) == pytest.approx(0.9004, abs=5e-4)


def test_the_published_number_of_trials_at_which_it_is_95_percent() -> None:
    expected = expected_best(YEARLY_VARIANCE / 250, 46)
    assert probability_above(RATIO, expected, DAYS, -3, 10) == pytest.approx(0.9505, abs=5e-4)


def test_the_expected_best_is_that_of_noise() -> None:
    chance = np.random.default_rng(1)
    best = chance.standard_normal((20_000, 50)).max(axis=1).mean()
    assert expected_best(1.0, 50) == pytest.approx(best, rel=0.02)


def test_noise_has_no_deflated_ratio_to_speak_of_and_an_edge_has() -> None:
    chance = np.random.default_rng(2)
    found = [deflated_sharpe(chance.standard_normal((250, 100)), list(range(100))).probability for _ in range(40)]
    assert 0.3 < np.mean(found) < 0.7
    edge = chance.standard_normal((250, 100))
    edge[:, 17] += 0.5
    best = deflated_sharpe(edge, list(range(1000, 1100)))
    assert best.number == 1017
    assert best.probability > 0.99
    assert best.yearly > best.expected_yearly


def test_overfitting_is_a_coin_toss_in_noise_and_rare_with_an_edge() -> None:
    chance = np.random.default_rng(3)
    found = [probability_of_overfitting(chance.standard_normal((320, 40))).probability for _ in range(12)]
    assert 0.35 < np.mean(found) < 0.65
    edge = chance.standard_normal((320, 40))
    edge[:, 5] += 0.5
    measured = probability_of_overfitting(edge)
    assert measured.probability < 0.01
    assert measured.splits == 12_870
    assert measured.block_intervals == 20


def test_what_is_best_only_because_it_was_lucky_is_overfitted() -> None:
    # Each set gains in one block what it loses in the others: the better inside, the worse outside.
    profit = np.repeat(np.eye(16) * 16 - 1, 10, axis=0) + np.random.default_rng(4).standard_normal((160, 16)) * 0.1
    measured = probability_of_overfitting(profit)
    assert measured.probability > 0.95
    assert measured.loss_probability > 0.95


def test_sets_that_are_all_alike_are_in_the_middle() -> None:
    alike = np.repeat(np.random.default_rng(5).standard_normal((160, 1)), 10, axis=1)
    assert probability_of_overfitting(alike).probability == 1.0  # rank 5.5 of 11: not above the median


@pytest.mark.parametrize(("intervals", "sets"), [(159, 40), (320, 9), (0, 0)])
def test_no_probability_below_the_least_sample(intervals: int, sets: int) -> None:
    with pytest.raises(NoMeasure, match="are needed"):
        probability_of_overfitting(np.random.default_rng(6).standard_normal((intervals, sets)))


def test_sets_that_never_trade_do_not_count_as_a_sample() -> None:
    profit = np.zeros((320, 40))
    profit[:, :9] = np.random.default_rng(7).standard_normal((320, 9))
    with pytest.raises(NoMeasure, match="9 sets with any P&L"):
        probability_of_overfitting(profit)


@pytest.mark.parametrize(("days", "sets"), [(29, 40), (30, 1), (0, 0)])
def test_no_sharpe_ratio_below_the_least_sample(days: int, sets: int) -> None:
    with pytest.raises(NoMeasure, match="are needed"):
        deflated_sharpe(np.random.default_rng(8).standard_normal((days, sets)), list(range(sets)))


def row(number: int, interval_ns: int, intervals: list[int], profit: list[float]) -> Row:
    return Row(number=number, settings=[], interval_ns=interval_ns, intervals=intervals, profit=profit)


def test_series_of_different_intervals_are_brought_to_the_longest() -> None:
    hour = NS_PER_DAY // 24
    found = gather([row(3, hour, [0, 1, 2, 49], [1, 2, 3, 4]), row(5, 2 * hour, [0, 24], [10, 20])])
    assert found.numbers == [3, 5]
    assert found.intervals.tolist() == [0, 1, 24]
    assert found.profit.tolist() == [[3, 10], [3, 0], [4, 20]]
    assert daily(found).tolist() == [[6, 10], [4, 20]]


def test_a_failed_set_is_not_judged() -> None:
    failed = Row(number=1, settings=[], error="no", intervals=[1], profit=[1.0], interval_ns=10)
    assert gather([failed]).numbers == []


def test_a_walk_forward_knows_only_what_was_before() -> None:
    first = [1.0] * 20 + [-1.0] * 20  # best until the second cut
    second = [0.0] * 20 + [3.0] * 20
    found = gather([row(0, 10, list(range(40)), first), row(1, 10, list(range(40)), second)])
    steps = walk_forward(found, 3)
    assert [step.number for step in steps] == [0, 0, 1]
    assert [step.outside for step in steps] == [10, -10, 30]
    assert [step.best_outside for step in steps] == [10, 30, 30]
    assert (steps[0].begin_ns, steps[-1].end_ns) == (100, 400)
    with pytest.raises(NoMeasure, match="at least 50 are needed for 4 steps"):
        walk_forward(found, 4)
