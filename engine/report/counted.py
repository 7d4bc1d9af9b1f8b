"""Which opportunities count in a sum: what one side of one book offers at a time can be taken once.

Two opportunities share a leg if both buy the same instrument, or both sell it. Of those that share a leg at the same
time only one is counted: greedily, the one of greatest value first (dollar coins as one dollar), then whichever does
not touch what is counted already. The sum is what one could have had at most by choosing so; that the same size
stands there again a moment later is not seen to be the same.
"""

from bisect import bisect_left

import numpy as np

from crosswire.engine.report.columns import Values
from crosswire.risk.records import unpack_legs
from crosswire.venues.side import BUY


class _Taken:
    """Spans of time in which one side of one instrument is taken; they do not overlap."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def place(self, start_ns: int, end_ns: int) -> int:
        """Find where a span belongs; -1 if it overlaps one that is taken."""
        place = bisect_left(self._starts, end_ns)
        return -1 if place and self._ends[place - 1] > start_ns else place

    def add(self, place: int, start_ns: int, end_ns: int) -> None:
        """Take a span at its place."""
        self._starts.insert(place, start_ns)
        self._ends.insert(place, end_ns)


def counted_once(start_ns: Values, end_ns: Values, buy: Values, sell: Values, value_e9: Values, legs: Values) -> Values:
    """Tell which opportunities count; what has no duration takes its leg for 1 ns. `legs` are packed, of cycles."""
    counted = np.zeros(len(value_e9), bool)
    sides: dict[tuple[bool, int], _Taken] = {}
    for row in np.argsort(-value_e9.astype(np.int64), kind="stable").tolist():
        start, end = int(start_ns[row]), max(int(end_ns[row]), int(start_ns[row]) + 1)
        packed = [(side == BUY, instrument) for instrument, side in unpack_legs(int(legs[row]))]
        keys = packed or [(True, int(buy[row])), (False, int(sell[row]))]
        taken = [sides.setdefault(key, _Taken()) for key in keys]
        places = [leg.place(start, end) for leg in taken]
        if min(places) >= 0:
            counted[row] = True
            for leg, place in zip(taken, places, strict=True):
                leg.add(place, start, end)
    return counted
