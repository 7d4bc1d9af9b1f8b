"""The venue's rate limits of one market: weight of REST requests by address, orders by account.

What is used is what the venue's answers say (`X-MBX-USED-WEIGHT-1M`, `X-MBX-ORDER-COUNT-*`), with what was sent since
added; nothing is sent that would go beyond. Status 429 says stop for `Retry-After` seconds, 418 that the address is
banned for so long. Source: developers.binance.com, "Limits" of the REST APIs.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping

from crosswire.venues.bridge.binance.market import Market

WEIGHT_WINDOW_S = 60.0
WEIGHT_MAX = {Market.SPOT: 6_000, Market.USDM: 2_400, Market.COINM: 2_400}  # a minute, until exchangeInfo says it
SHARE = 0.8  # of the limit that we use: other programs may ask from the same address
USED_WEIGHT = "x-mbx-used-weight-1m"
ORDER_COUNT = "x-mbx-order-count-"
RETRY_S_DEFAULT = 60.0  # where the venue does not say for how long
RETRY_S_MAX = 3 * 86_400.0  # the longest ban
STATUS_LIMITED, STATUS_BANNED = 429, 418
CONNECTIONS_MAX = 300  # attempts of an address in CONNECTIONS_WINDOW_S, spot; the futures' is not published
CONNECTIONS_WINDOW_S = 300.0


class RateLimits:
    """One market's."""

    def __init__(self, market: Market, clock: Callable[[], float] = time.monotonic) -> None:
        self.market = market
        self.clock = clock
        self.weight_max = WEIGHT_MAX[market]
        self.weight_used = 0
        self.window_end = 0.0
        self.blocked_until = 0.0
        self.order_counts: dict[str, int] = {}  # used, by interval as the venue writes it: "10s", "1m", "1d"
        self.order_limits: dict[str, int] = {}  # the same, allowed

    def wait_s(self, weight: int) -> float:
        """How long to wait before a request of that weight may be sent; 0: now."""
        now = self.clock()
        if now < self.blocked_until:
            return self.blocked_until - now
        if now >= self.window_end:
            self.weight_used = 0
            self.window_end = now + WEIGHT_WINDOW_S
        if self.weight_used + weight <= self.weight_max * SHARE or self.weight_used == 0:
            return 0.0
        return self.window_end - now

    @property
    def requests_left(self) -> int:
        """How many requests of weight 1 may be sent in this minute."""
        return max(1 if self.weight_used == 0 else 0, int(self.weight_max * SHARE) - self.weight_used)

    async def take(self, weight: int) -> None:
        """Wait until a request of that weight may be sent, and count it."""
        while (seconds := self.wait_s(weight)) > 0:
            await asyncio.sleep(seconds)
        self.weight_used += weight

    def heard(self, headers: Mapping[str, str]) -> None:
        """Take up what an answer's headers (names in lower case) say is used."""
        used = headers.get(USED_WEIGHT, "")
        if used.isdecimal() and len(used) <= 9:
            self.weight_used = int(used)
        for name, value in headers.items():
            if name.startswith(ORDER_COUNT) and value.isdecimal() and len(value) <= 9:
                interval = name.removeprefix(ORDER_COUNT)
                # Orders on another connection may be on their way: what we have counted holds.
                self.order_counts[interval] = max(self.order_counts.get(interval, 0), int(value))

    def block(self, retry_after: str) -> float:
        """Send nothing for as long as the venue says; the seconds."""
        seconds = float(retry_after) if retry_after.isdecimal() and len(retry_after) <= 6 else RETRY_S_DEFAULT
        seconds = min(max(seconds, 1.0), RETRY_S_MAX)
        self.blocked_until = max(self.blocked_until, self.clock() + seconds)
        return seconds


class Attempts:
    """Attempts to connect to one market's streams: no more than the venue allows."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.times: deque[float] = deque(maxlen=int(CONNECTIONS_MAX * SHARE))

    def wait_s(self) -> float:
        """How long to wait before the next attempt; 0: now."""
        if len(self.times) < (self.times.maxlen or 0):
            return 0.0
        return max(self.times[0] + CONNECTIONS_WINDOW_S - self.clock(), 0.0)

    async def take(self) -> None:
        """Wait until an attempt may be made, and count it."""
        while (seconds := self.wait_s()) > 0:
            await asyncio.sleep(seconds)
        self.times.append(self.clock())
