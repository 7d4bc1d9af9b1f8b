"""Queues at a price in plain Python, in the order in which things happened: what `venues.exchange.queue` must come to.

Written from the formulas that are cited there, without looking at how they are computed there: everything is known
beforehand, so nothing is told late and nothing has to be mended.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

Share = Callable[[float, float], float]  # (front, back) in contracts -> share of the cancels that is behind


def power(n: float) -> Share:
    return lambda front, back: back**n / (back**n + front**n)


def power_2(n: float) -> Share:
    return lambda front, back: back**n / (back + front) ** n


def power_3(n: float) -> Share:
    return lambda front, back: 1 - (front / (front + back)) ** n


def log(front: float, back: float) -> float:
    return math.log(1 + back) / (math.log(1 + back) + math.log(1 + front))


def log_2(front: float, back: float) -> float:
    return math.log(1 + back) / math.log(1 + back + front)


@dataclass
class PlainQueue:
    """Our place at one price. `share` None: every cancel is behind us while that can be."""

    front: float  # lots
    shown: int
    share: Share | None = None
    contracts_per_lot: float = 1.0
    traded: int = 0
    reached: float = 0.0

    def trade(self, lots: int) -> None:
        """A trade takes those ahead of us, then us."""
        self.traded += lots
        self.front -= lots
        if self.front < 0:
            self.reached -= self.front
            self.front = 0.0

    def show(self, now: int) -> None:
        """The level shows what was left by the trades so far, cancels and newcomers."""
        cancelled = self.shown - now - self.traded
        if cancelled > 0 and self.share is not None:
            back = max(0.0, self.shown - self.front)
            behind = self.share(self.front * self.contracts_per_lot, back * self.contracts_per_lot)
            self.front = self.front - (1 - behind) * cancelled + min(0.0, back - behind * cancelled)
        self.front = max(0.0, min(self.front, now))
        self.shown, self.traded = now, 0
