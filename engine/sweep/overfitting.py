"""How much of the best set's result may be luck: deflated Sharpe ratio, and probability of backtest overfitting.

Whoever tries many sets finds a good one in noise. Both measures are told only on enough data; a `NoMeasure` says why
there is none.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from math import e, sqrt
from statistics import NormalDist
from typing import Any

import numpy as np

Values = np.ndarray[Any, Any]

EULER_GAMMA = 0.5772156649015329
DAYS_A_YEAR = 365  # these markets never close
# Of a Sharpe ratio: days are nearly independent of each other, intervals of one evening are not. With fewer the normal
# limit behind the deflated ratio (Bailey and Lopez de Prado 2014) does not hold either.
SHARPE_DAYS_LEAST = 30
SHARPE_SETS_LEAST = 2  # the deflation is by the spread between sets
# Of the probability of backtest overfitting: 16 blocks, as its authors use, give 12,870 splits.
PBO_BLOCKS = 16
PBO_BLOCK_INTERVALS_LEAST = 10
PBO_SETS_LEAST = 10
SPLITS_AT_ONCE = 1_024  # bounds the memory for them


class NoMeasure(Exception):  # noqa: N818 it is an answer, not an error
    """One line: why a measure can't be told."""


@dataclass(frozen=True)
class DeflatedSharpe:
    """The best set's Sharpe ratio against what the best of so many sets without any edge would have."""

    number: int  # of the set
    yearly: float  # its Sharpe ratio, of daily P&L
    expected_yearly: float  # of the best of as many sets without an edge
    probability: float  # that its true ratio is above that: the deflated Sharpe ratio
    days: int
    sets: int


@dataclass(frozen=True)
class Overfitting:
    """What became, on the other half of the data, of the set that was best on one half."""

    probability: float  # that it is in the worse half there
    loss_probability: float  # that it loses money there
    splits: int
    block_intervals: int
    sets: int


def deflated_sharpe(daily: Values, numbers: list[int]) -> DeflatedSharpe:
    """Deflate the best Sharpe ratio of `daily` P&L, days by sets. NoMeasure."""
    days, sets = daily.shape
    if days < SHARPE_DAYS_LEAST:
        raise NoMeasure(f"{days} day{'s' * (days != 1)} of data, at least {SHARPE_DAYS_LEAST} are needed")
    ratios = sharpe_ratios(daily)
    moving = daily.std(axis=0) > 0
    if np.count_nonzero(moving) < SHARPE_SETS_LEAST:
        raise NoMeasure(f"{np.count_nonzero(moving)} sets with any P&L, at least {SHARPE_SETS_LEAST} are needed")
    place = int(np.argmax(ratios))
    expected = expected_best(float(ratios.var(ddof=1)), sets)
    best = daily[:, place]
    scaled = (best - best.mean()) / best.std()
    skew, kurtosis = float((scaled**3).mean()), float((scaled**4).mean())
    return DeflatedSharpe(
        number=numbers[place],
        yearly=float(ratios[place]) * sqrt(DAYS_A_YEAR),
        expected_yearly=expected * sqrt(DAYS_A_YEAR),
        probability=probability_above(float(ratios[place]), expected, days, skew, kurtosis),
        days=days,
        sets=sets,
    )


def sharpe_ratios(profit: Values) -> Values:
    """Compute mean over standard deviation of each column; 0 where nothing moves."""
    deviation = profit.std(axis=0, ddof=1)
    return np.divide(profit.mean(axis=0), deviation, out=np.zeros(profit.shape[1]), where=deviation > 0)


def expected_best(variance: float, sets: int) -> float:
    """Compute the expected greatest of so many Sharpe ratios around 0 (Bailey and Lopez de Prado 2014, equation 1)."""
    if sets < 2:
        return 0.0
    normal = NormalDist()
    return sqrt(variance) * (
        (1 - EULER_GAMMA) * normal.inv_cdf(1 - 1 / sets) + EULER_GAMMA * normal.inv_cdf(1 - 1 / (sets * e))
    )


def probability_above(ratio: float, threshold: float, count: int, skew: float, kurtosis: float) -> float:
    """Compute the probability that a true Sharpe ratio is above a threshold (the same, equation 2).

    Ratios are of one observation, not of a year; `kurtosis` is 3 for a normal distribution.
    """
    spread = 1 - skew * ratio + (kurtosis - 1) / 4 * ratio**2
    return NormalDist().cdf((ratio - threshold) * sqrt(count - 1) / sqrt(max(spread, 1e-12)))


def probability_of_overfitting(profit: Values) -> Overfitting:
    """Split P&L, intervals by sets, into halves in every way that PBO_BLOCKS blocks allow. NoMeasure.

    Combinatorially symmetric cross-validation (Bailey, Borwein, Lopez de Prado and Zhu 2015): the set with the best
    Sharpe ratio on one half is ranked among all on the other. Equal sets share a rank.
    """
    intervals = len(profit)
    size = intervals // PBO_BLOCKS
    if size < PBO_BLOCK_INTERVALS_LEAST:
        least = PBO_BLOCKS * PBO_BLOCK_INTERVALS_LEAST
        raise NoMeasure(f"{intervals} intervals of data, at least {least} are needed")
    profit = profit[:, profit.any(axis=0)]
    if profit.shape[1] < PBO_SETS_LEAST:
        raise NoMeasure(f"{profit.shape[1]} sets with any P&L, at least {PBO_SETS_LEAST} are needed")
    # The oldest intervals that fill no block are left out.
    blocks = profit[intervals - size * PBO_BLOCKS :].reshape(PBO_BLOCKS, size, -1)
    sums, squares = blocks.sum(axis=1), (blocks**2).sum(axis=1)
    below = losses = splits = 0
    for chosen in _halves():
        inside, outside = (
            _ratios(each @ sums, each @ squares, size * PBO_BLOCKS // 2) for each in (chosen, 1.0 - chosen)
        )
        best = inside.argmax(axis=1)[:, None]
        own = np.take_along_axis(outside, best, axis=1)
        rank = (outside < own).sum(axis=1) + ((outside == own).sum(axis=1) + 1) / 2
        below += int(np.count_nonzero(rank / (outside.shape[1] + 1) <= 0.5))
        losses += int(np.count_nonzero(own < 0))
        splits += len(chosen)
    return Overfitting(below / splits, losses / splits, splits, size, profit.shape[1])


def _halves() -> Iterator[Values]:
    """Give every choice of half of the blocks, as rows of ones and zeros."""
    places = np.array(list(combinations(range(PBO_BLOCKS), PBO_BLOCKS // 2)))
    chosen = np.zeros((len(places), PBO_BLOCKS))
    np.put_along_axis(chosen, places, 1.0, axis=1)
    for begin in range(0, len(chosen), SPLITS_AT_ONCE):
        yield chosen[begin : begin + SPLITS_AT_ONCE]


def _ratios(sums: Values, squares: Values, count: int) -> Values:
    mean = sums / count
    variance = np.maximum(squares / count - mean**2, 0.0)
    # What remains of a constant column is rounding.
    return np.divide(mean, np.sqrt(variance), out=np.zeros_like(mean), where=variance > 1e-12 * squares / count)
