"""The P&L of all sets on common intervals, and what is judged by it: days, and a walk forward."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from crosswire.engine.sweep.overfitting import NoMeasure
from crosswire.engine.sweep.rows import Row
from crosswire.nic.duration import NS_PER_DAY

Values = np.ndarray[Any, Any]

SPAN_INTERVALS_LEAST = 10  # of a walk forward: fewer say nothing of a set
SPANS_MAX = 100


@dataclass(frozen=True)
class Profits:
    """Change of marked P&L, intervals by sets; intervals without a sample are left out."""

    numbers: list[int]  # of the sets
    interval_ns: int
    intervals: Values  # numbers of the intervals, counted from the epoch
    profit: Values


@dataclass(frozen=True)
class Step:
    """One step of a walk forward: chosen on all data before, judged on what follows."""

    begin_ns: int  # of what follows
    end_ns: int
    number: int  # of the chosen set
    inside: float  # its P&L on the data before
    outside: float  # and behind
    best_outside: float  # of the set that nobody could know
    median_outside: float


def gather(rows: Sequence[Row]) -> Profits:
    """Bring the P&L of the sets that ran to the longest of their intervals."""
    rows = [row for row in rows if not row.error and row.intervals]
    if not rows:
        return Profits([], 1, np.empty(0, np.int64), np.empty((0, 0)))
    interval_ns = max(row.interval_ns for row in rows)
    own = [np.array(row.intervals, np.int64) * row.interval_ns // interval_ns for row in rows]
    intervals = np.unique(np.concatenate(own))
    profit = np.zeros((len(intervals), len(rows)))
    for place, row in enumerate(rows):
        np.add.at(profit[:, place], np.searchsorted(intervals, own[place]), row.profit)
    return Profits([row.number for row in rows], interval_ns, intervals, profit)


def daily(profits: Profits) -> Values:
    """Add up UTC days, those without data left out."""
    if not len(profits.intervals):
        return np.empty((0, 0))
    days = profits.intervals * profits.interval_ns // NS_PER_DAY
    return np.add.reduceat(profits.profit, np.flatnonzero(np.diff(days, prepend=days[0] - 1)), axis=0)


def walk_forward(profits: Profits, steps: int) -> list[Step]:
    """Choose the set with the highest P&L so far at each of `steps` moments, and see what it makes until the next.

    The data is cut into `steps` + 1 spans of equally many intervals. Each set is one run over all of it, so what it
    holds at a cut it keeps. NoMeasure: too few intervals.
    """
    count = len(profits.intervals)
    if count // (steps + 1) < SPAN_INTERVALS_LEAST:
        least = SPAN_INTERVALS_LEAST * (steps + 1)
        raise NoMeasure(f"{count} intervals of data, at least {least} are needed for {steps} steps")
    cuts = [count * each // (steps + 1) for each in range(1, steps + 2)]
    found = []
    for begin, end in pairwise(cuts):
        inside, outside = profits.profit[:begin].sum(axis=0), profits.profit[begin:end].sum(axis=0)
        place = int(inside.argmax())  # of equal ones the first
        found.append(
            Step(
                begin_ns=int(profits.intervals[begin]) * profits.interval_ns,
                end_ns=(int(profits.intervals[end - 1]) + 1) * profits.interval_ns,
                number=profits.numbers[place],
                inside=float(inside[place]),
                outside=float(outside[place]),
                best_outside=float(outside.max()),
                median_outside=float(np.median(outside)),
            )
        )
    return found
