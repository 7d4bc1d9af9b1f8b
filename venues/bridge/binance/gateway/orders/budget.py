"""How many orders may still be sent: the venue counts them in windows that begin on the clock, 10 s, a minute, a day.

Source: binance-spot-api-docs web-socket-api.md, "Order rate limits": a 10 SECOND window starts at 00, 10, ... seconds.
What each answer says is used is believed; what was sent since is added.
"""

from crosswire.venues.bridge.binance.gateway.limits import RateLimits
from crosswire.venues.bridge.binance.gateway.venue_clock import VenueClock

UNIT_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


class OrderBudget:
    """One market's."""

    def __init__(self, limits: RateLimits, clock: VenueClock) -> None:
        self._limits = limits
        self._clock = clock
        self._windows: dict[str, int] = {}  # the window that `order_counts` is of, by interval

    def take(self) -> bool:
        """Count one order, unless it would go beyond a limit."""
        now_ms = self._clock.venue_ms()
        counts = self._limits.order_counts
        for name in self._limits.order_limits:
            window = now_ms // (int(name[:-1]) * UNIT_MS[name[-1]])
            if self._windows.get(name) != window:
                self._windows[name] = window
                counts[name] = 0
        if any(counts[name] >= limit for name, limit in self._limits.order_limits.items()):
            return False
        for name in self._limits.order_limits:
            counts[name] += 1
        return True
