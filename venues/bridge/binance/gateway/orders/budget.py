"""How many orders may still be sent: the venue counts them in windows that begin on the clock, 10 s, a minute, a day.

Source: binance-spot-api-docs web-socket-api.md, "Order rate limits": a 10 SECOND window starts at 00, 10, ... seconds.
What each answer says is used is believed; what was sent since is added.
"""

from typing import NamedTuple

from crosswire.nic.duration import NS_PER_MS, NS_PER_S
from crosswire.venues.bridge.binance.gateway.limits import RateLimits
from crosswire.venues.bridge.binance.gateway.venue_clock import VenueClock

UNIT_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


class Left(NamedTuple):
    """What may still be sent, and when there will be more, by the venue's clock."""

    orders: int
    until_ns: int


class OrderBudget:
    """One market's."""

    def __init__(self, limits: RateLimits, clock: VenueClock) -> None:
        self._limits = limits
        self._clock = clock
        self._windows: dict[str, int] = {}  # the window that `order_counts` is of, by interval

    def _roll(self) -> None:
        """Begin the windows anew whose time has come."""
        now_ms = self._clock.venue_ms()
        for name in self._limits.order_limits:
            window = now_ms // _length_ms(name)
            if self._windows.get(name) != window:
                self._windows[name] = window
                self._limits.order_counts[name] = 0

    def take(self) -> bool:
        """Count one order, unless it would go beyond a limit."""
        self._roll()
        counts = self._limits.order_counts
        if any(counts[name] >= limit for name, limit in self._limits.order_limits.items()):
            return False
        for name in self._limits.order_limits:
            counts[name] += 1
        return True

    def left(self) -> Left | None:
        """Tell what the tightest limit leaves; None: no limit is known yet."""
        self._roll()
        counts = self._limits.order_counts
        found = [
            Left(max(0, limit - counts[name]), (self._windows[name] + 1) * _length_ms(name) * NS_PER_MS)
            for name, limit in self._limits.order_limits.items()
        ]
        wait_s = self._limits.wait_s(1)
        if wait_s > 0:
            found.append(Left(0, self._clock.venue_ms() * NS_PER_MS + int(wait_s * NS_PER_S)))
        elif found:
            found.append(Left(self._limits.requests_left, found[0].until_ns))
        return min(found, key=lambda left: (left.orders, -left.until_ns)) if found else None


def _length_ms(name: str) -> int:
    return int(name[:-1]) * UNIT_MS[name[-1]]
