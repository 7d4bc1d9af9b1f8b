"""One of the venue's markets: its instruments, what a message does to them, and who is told.

Who listens is called in the order in which it was added: streams first, then the account, so that a fill's own trade
does not come before the book that it was made in.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from crosswire.nic.duration import NS_PER_MS
from crosswire.venues.bridge.binance.exchange import matcher as matching
from crosswire.venues.bridge.binance.exchange.listed import Listed
from crosswire.venues.bridge.binance.exchange.matcher import CHANGES_MAX, make_matcher
from crosswire.venues.bridge.binance.exchange.messages import Message
from crosswire.venues.bridge.binance.market import Market
from crosswire.venues.errors import VenueError
from crosswire.venues.side import BUY, SELL


@dataclass
class VenueClock:
    """The venue's own clock; `offset_ns` is how wrong it is on purpose."""

    offset_ns: int = 0

    def now_ns(self) -> int:
        """Tell the time."""
        return time.time_ns() + self.offset_ns

    def now_ms(self) -> int:
        """Tell the time as the venue's messages do."""
        return self.now_ns() // NS_PER_MS


@dataclass(frozen=True)
class Times:
    """When a message says that it was made: sent, and matched."""

    event_ms: int
    transaction_ms: int
    sent_ms: int = 0  # spot's bookTicker tells no other

    @property
    def time_ns(self) -> int:
        """Tell when the market was as the message says."""
        return (self.transaction_ms or self.event_ms or self.sent_ms) * NS_PER_MS


class Venue:
    """A market and its books."""

    def __init__(self, market: Market, listed: list[Listed], clock: VenueClock) -> None:
        self.market = market
        self.clock = clock
        self.by_symbol = {each.symbol: each for each in listed}
        if len(self.by_symbol) != len(listed):
            raise VenueError(f"{market.name.lower()}: an instrument is listed twice")
        self.listed = listed
        self.matcher = make_matcher(max(1, len(listed)))
        for each in listed:
            each.describe(self.matcher.market.instruments[each.index])
        self.on_message: list[Callable[[Listed, Message, Times], None]] = []
        self.on_fills: list[Callable[[], None]] = []
        self.on_status: list[Callable[[Listed], None]] = []
        self.is_open = True  # False: in maintenance

    def take(self, listed: Listed, message: Message, times: Times) -> None:
        """Let a message of the market happen."""
        if message.lastUpdateId:
            if not listed.is_proven:
                self._open(listed, message, times)
            return
        if not listed.is_proven:
            return
        if message.e == "depthUpdate":
            if message.u <= listed.update_id:
                return
            self._show(listed, message.b, message.a, message.u, times, is_whole=False)
        elif message.e == "trade":
            self._trade(listed, message, times)
        elif message.e in ("bookTicker", "") and message.u:
            self._quote(listed, message, times)
        else:
            return
        for tell in self.on_message:
            tell(listed, message, times)

    def set_status(self, listed: Listed, status: str) -> None:
        """Change what `exchangeInfo` says of an instrument: TRADING, HALT, BREAK, SETTLING, ..."""
        listed.status = status
        for tell in self.on_status:
            tell(listed)

    def is_trading(self, listed: Listed) -> bool:
        """Tell whether orders are taken."""
        return self.is_open and listed.status == "TRADING" and listed.is_proven

    def _open(self, listed: Listed, snapshot: Message, times: Times) -> None:
        listed.clear()
        self._show(listed, snapshot.bids, snapshot.asks, snapshot.lastUpdateId, times, is_whole=True)
        listed.is_proven = True

    def _show(self, listed: Listed, bids: Any, asks: Any, update_id: int, times: Times, *, is_whole: bool) -> None:
        if len(bids) + len(asks) > CHANGES_MAX:
            raise VenueError(f"{listed.symbol}: a message of {len(bids) + len(asks)} levels; {CHANGES_MAX} at most")
        count = self.matcher.count = listed.read_levels(bids, asks, self.matcher.changes)
        words = self.matcher.changes.numpy()[:count]
        listed.apply([(int(side), int(ticks), int(lots)) for side, ticks, lots in words.tolist()], update_id)
        listed.event_ms, listed.transaction_ms = times.event_ms, times.transaction_ms
        now_ns = self.clock.now_ns()
        if not matching.show(self.matcher, listed.index, update_id, times.time_ns, now_ns, int(is_whole)):
            raise VenueError(f"{listed.symbol}: a price out of range at update {update_id}")
        self._tell_fills()

    def _quote(self, listed: Listed, message: Message, times: Times) -> None:
        assert isinstance(message.b, str)
        assert isinstance(message.a, str)
        bid, ask = listed.ticks_of(message.b), listed.ticks_of(message.a)
        bid_lots, ask_lots = listed.lots_of(message.B), listed.lots_of(message.A)
        if message.u >= listed.quote_id:
            listed.quote_id = message.u
            listed.quote = (bid, bid_lots, ask, ask_lots)
        now_ns = self.clock.now_ns()
        matching.quote(self.matcher, listed.index, message.u, bid, bid_lots, ask, ask_lots, times.time_ns, now_ns)
        self._tell_fills()

    def _trade(self, listed: Listed, message: Message, times: Times) -> None:
        ticks, lots = listed.ticks_of(message.p), listed.lots_of(message.q)
        listed.trade_id = max(listed.trade_id, message.t)
        # Another kind is a transfer beside the book (insurance fund, ADL), at a price nobody quoted.
        if message.X not in ("", "MARKET") or ticks <= 0:
            return
        listed.last_ticks = ticks
        if lots:
            side = SELL if message.m else BUY
            matching.trade(self.matcher, listed.index, side, ticks, lots, times.time_ns, self.clock.now_ns())
            self._tell_fills()

    def _tell_fills(self) -> None:
        if self.matcher.executions.count:
            for tell in self.on_fills:
                tell()
