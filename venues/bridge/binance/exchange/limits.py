"""Rate limits of one market: an IP's request weight and raw requests, an account's new orders; 429, then a ban.

rest-api.md, "LIMITS": 429 when a limit is broken, with Retry-After in seconds; an IP that goes on after that is banned,
418, for 2 minutes to 3 days, longer each time. Counters start anew with each interval by the clock on the wall.
"""

from dataclasses import dataclass, field

from crosswire.nic.duration import NS_PER_S
from crosswire.venues.bridge.binance.exchange.errors import BANNED, TOO_MANY, ApiError
from crosswire.venues.bridge.binance.exchange.settings import LimitConfig
from crosswire.venues.bridge.binance.exchange.venue import VenueClock
from crosswire.venues.bridge.binance.market import Market

BAN_MAX_S = 3 * 86_400
REFUSED_MAX = 20  # requests in one interval after the first 429, before the ban (own choice; the venue's is not known)
UNITS = ((86_400, "DAY", "D"), (3_600, "HOUR", "H"), (60, "MINUTE", "M"), (1, "SECOND", "S"))


def interval_of(seconds: int) -> tuple[str, int, str]:
    """Name an interval as the venue does: its unit, how many of them, and the header's letter for it."""
    for unit_s, name, letter in UNITS:
        if seconds % unit_s == 0:
            return name, seconds // unit_s, letter
    raise ValueError(f"{seconds} s is no interval")


@dataclass
class Counter:
    """What was used of one limit in the interval that runs."""

    kind: str  # REQUEST_WEIGHT, ORDERS, RAW_REQUESTS
    limit: int
    interval_s: int
    used: int = 0
    started_s: int = 0

    def add(self, count: int, now_s: int) -> None:
        """Use some, in a new interval if one has begun."""
        start_s = now_s - now_s % self.interval_s
        if start_s != self.started_s:
            self.started_s, self.used = start_s, 0
        self.used += count

    def left_s(self, now_s: int) -> int:
        """Tell how long the interval still runs."""
        return self.started_s + self.interval_s - now_s

    def tell(self, *, with_count: bool = True) -> dict[str, object]:
        """Describe it as `exchangeInfo` and the websocket API do."""
        name, number, _ = interval_of(self.interval_s)
        told: dict[str, object] = {"rateLimitType": self.kind, "interval": name, "intervalNum": number}
        return told | {"limit": self.limit} | ({"count": self.used} if with_count else {})


@dataclass
class Limits:
    """All counters of one market; every client comes from one IP, and trades for one account."""

    market: Market
    config: LimitConfig
    clock: VenueClock
    banned_until_ns: int = 0
    refused: int = 0
    refused_in: int = 0  # start of the interval that they were refused in
    ban_s: int = field(init=False)
    forced: list[tuple[int, int]] = field(default_factory=list)  # (status, Retry-After) of the next answers

    def __post_init__(self) -> None:
        self.ban_s = self.config.ban_s
        self.weight = Counter("REQUEST_WEIGHT", self.config.weight, 60)
        self.raw = Counter("RAW_REQUESTS", self.config.raw_requests, 300)
        self.orders = [
            Counter("ORDERS", self.config.orders_10s, 10),
            Counter("ORDERS", self.config.orders_long, self.config.long_s),
        ]

    def _now_s(self) -> int:
        return self.clock.now_ns() // NS_PER_S

    def charge(self, weight: int) -> None:
        """Count a request; ApiError with 429 or 418 if it is one too many."""
        if self.forced:
            status, retry_s = self.forced.pop(0)
            if status == BANNED:
                self.banned_until_ns = self.clock.now_ns() + retry_s * NS_PER_S
            else:
                raise self._too_many(retry_s)
        now_ns, now_s = self.clock.now_ns(), self._now_s()
        if now_ns < self.banned_until_ns:
            raise self._banned(now_ns)
        self.raw.add(1, now_s)
        self.weight.add(weight, now_s)
        over = [counter for counter in (self.weight, self.raw) if counter.used > counter.limit]
        if not over:
            return
        if self.refused_in != over[0].started_s:
            self.refused, self.refused_in = 0, over[0].started_s
        self.refused += 1
        if self.refused > REFUSED_MAX:
            self.banned_until_ns = now_ns + self.ban_s * NS_PER_S
            self.ban_s = min(2 * self.ban_s, BAN_MAX_S)
            self.refused = 0
            raise self._banned(now_ns)
        raise self._too_many(max(1, over[0].left_s(now_s)))

    def charge_orders(self, count: int = 1) -> None:
        """Count new orders; ApiError -1015 if they are too many."""
        now_s = self._now_s()
        for counter in self.orders:
            counter.add(0, now_s)
            if counter.used + count > counter.limit:
                name, number, _ = interval_of(counter.interval_s)
                text = f"Too many new orders; current limit is {counter.limit} orders per {number} {name}."
                error = ApiError(-1015, text, TOO_MANY)
                error.retry_after_s = max(1, counter.left_s(now_s))
                raise error
        for counter in self.orders:
            counter.add(count, now_s)

    def give_back_order(self) -> None:
        """Take an order off spot's count of unfilled ones: it has filled (faqs/order_count_decrement.md)."""
        for counter in self.orders:
            counter.used = max(0, counter.used - 1)

    def _too_many(self, retry_s: int) -> ApiError:
        name, number, _ = interval_of(self.weight.interval_s)
        if self.market == Market.SPOT:
            limit = f"{self.weight.limit} request weight per {number} {name}"
            text = f"Too much request weight used; current limit is {limit}."
        else:
            text = f"Too many requests; current limit is {self.weight.limit} requests per minute."
        error = ApiError(-1003, f"{text} Please use the websocket for live updates to avoid polling the API.", TOO_MANY)
        error.retry_after_s = retry_s
        error.data = {"retryAfter": self.clock.now_ms() + retry_s * 1_000}
        return error

    def _banned(self, now_ns: int) -> ApiError:
        until_ms = self.banned_until_ns // 1_000_000
        text = f"Way too much request weight used; IP banned until {until_ms}. Please use WebSocket Streams for live"
        error = ApiError(-1003, f"{text} updates to avoid bans.", BANNED)
        error.retry_after_s = max(1, -((now_ns - self.banned_until_ns) // NS_PER_S))
        error.data = {"retryAfter": until_ms}
        return error

    def headers(self, *, with_orders: bool) -> dict[str, str]:
        """Tell what is used, as the headers of an answer do."""
        told = {"X-MBX-USED-WEIGHT": str(self.weight.used), "X-MBX-USED-WEIGHT-1M": str(self.weight.used)}
        if with_orders:
            for counter in self.orders:
                _, number, letter = interval_of(counter.interval_s)
                told[f"X-MBX-ORDER-COUNT-{number}{letter}"] = str(counter.used)
        return told

    def tell(self, *, with_orders: bool) -> list[dict[str, object]]:
        """Tell what is used, as `rateLimits` of the websocket API does."""
        return [counter.tell() for counter in ([*self.orders, self.weight] if with_orders else [self.weight])]

    def describe(self) -> list[dict[str, object]]:
        """Tell the limits, as `exchangeInfo` does."""
        counters = [self.weight, *self.orders] + ([self.raw] if self.market == Market.SPOT else [])
        return [counter.tell(with_count=False) for counter in counters]
