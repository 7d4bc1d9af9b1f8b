"""The market data streams of one market: what each is called, what goes into it, and who has subscribed.

Names are `<symbol>@<kind>`, in lower case. Depth comes at the speeds that the venue offers; a recording's own speed is
passed on as it is, and a slower stream gathers what changed since its last message.
"""

import asyncio
import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from crosswire.nic.duration import NS_PER_S
from crosswire.venues.bridge.binance.exchange import sbe
from crosswire.venues.bridge.binance.exchange.listed import Listed
from crosswire.venues.bridge.binance.exchange.messages import Message, encode, levels_of
from crosswire.venues.bridge.binance.exchange.venue import Times, Venue
from crosswire.venues.bridge.binance.market import Market
from crosswire.venues.bridge.binance.terms import expiry_ns

# Milliseconds between two messages; binance.md D1 and D2. `@0ms` is what the recordings are of: not in the documents.
SPOT_SPEEDS = {"@depth": 1_000, "@depth@100ms": 100}
FUTURES_SPEEDS = {"@depth": 250, "@depth@100ms": 100, "@depth@250ms": 250, "@depth@500ms": 500, "@depth@0ms": 0}
RECORDED_MS = {Market.SPOT: 100, Market.USDM: 0, Market.COINM: 0}
MARK_PRICES = {"@markPrice": 3, "@markPrice@1s": 1}  # seconds between two messages
FUNDING_NS = 8 * 3_600 * NS_PER_S
CONTRACT_INFO = "!contractInfo"


Disturb = Callable[[str, bytes, Callable[[bytes], None]], bool]


class Subscriber(Protocol):
    """A connection that streams are sent to."""

    def send_event(self, name: str, payload: bytes) -> None:
        """Send one message of a JSON stream."""

    def send_binary(self, payload: bytes) -> None:
        """Send one binary message."""


@dataclass
class Gathered:
    """What changed since a slower depth stream's last message."""

    interval_ms: int
    first_id: int = 0
    last_id: int = 0
    previous_id: int = 0
    begin_ms: int = 0
    times: Times = Times(0, 0)  # noqa: RUF009  frozen
    bids: dict[str, str] = field(default_factory=dict)
    asks: dict[str, str] = field(default_factory=dict)
    is_empty: bool = True


class Hub:
    """All streams of one market."""

    def __init__(self, venue: Venue, *, recorded: set[str]) -> None:
        self.venue = venue
        self.recorded = recorded  # symbols whose changes come at the recording's speed
        self.subscribers: dict[str, set[Any]] = {}
        self.binary: dict[str, set[Any]] = {}
        self.gathered: dict[str, Gathered] = {}
        self.speeds = SPOT_SPEEDS if venue.market == Market.SPOT else FUTURES_SPEEDS
        self.aggregate_ids: dict[str, int] = {}
        # May lose, change, delay or repeat a message: (name, payload, deliver) -> whether it has been dealt with.
        self.disturb: Disturb | None = None
        self.disturb_user: Disturb | None = None
        venue.on_message.append(self.publish)
        venue.on_status.append(self.publish_status)

    def subscribe(self, name: str, subscriber: Subscriber, *, is_binary: bool = False) -> None:
        """Begin to send a stream; one that does not exist is as silent here as at the venue."""
        table = self.binary if is_binary else self.subscribers
        table.setdefault(name, set()).add(subscriber)

    def unsubscribe(self, name: str, subscriber: Subscriber) -> None:
        """End a stream."""
        for table in (self.subscribers, self.binary):
            members = table.get(name, set())
            members.discard(subscriber)
            if not members:
                table.pop(name, None)
                if table is self.subscribers:
                    self.gathered.pop(name, None)

    def publish(self, listed: Listed, message: Message, times: Times) -> None:
        """Put a message of the market into every stream that it belongs to."""
        symbol = listed.symbol.lower()
        if message.e == "depthUpdate":
            self._publish_depth(listed, symbol, message, times)
        elif message.e == "trade":
            self._publish_trade(listed, symbol, message, times)
        else:
            self.send(f"{symbol}@bookTicker", lambda: self._quote(listed, message, times))
            self._send_binary(f"{symbol}@bestBidAsk", lambda: sbe.best_bid_ask(listed, message, self._now_ms()))

    def publish_status(self, listed: Listed) -> None:
        """Tell USD-M's `!contractInfo` of a change of an instrument; the keys are unverified."""
        if self.venue.market == Market.USDM:
            now_ms = self._now_ms()
            event = {"e": "contractInfo", "E": now_ms, "s": listed.symbol, "ps": listed.pair, "ct": "PERPETUAL"}
            self.send(CONTRACT_INFO, lambda: encode(event | {"cs": listed.status}))

    def send_user(self, key: str, event: dict[str, Any]) -> None:
        """Send a user data event to who listens by this key; what nobody hears is lost."""
        if not self.subscribers.get(key):
            return
        payload = encode(event)

        def deliver(text: bytes) -> None:
            for subscriber in tuple(self.subscribers.get(key, ())):
                subscriber.send_event(key, text)

        if self.disturb_user is None or not self.disturb_user(f"userData@{event['e']}", payload, deliver):
            deliver(payload)

    async def tell_mark_prices(self) -> None:
        """Send each second what futures are marked at, and the funding of perpetuals."""
        seconds = 0
        while self.venue.market != Market.SPOT:
            await asyncio.sleep(1)
            seconds += 1
            for listed in self.venue.listed:
                for suffix, interval_s in MARK_PRICES.items():
                    if seconds % interval_s == 0 and listed.is_proven:
                        event = mark_price(listed, self.venue.clock.now_ns())
                        self.send(listed.symbol.lower() + suffix, functools.partial(encode, event))

    def _now_ms(self) -> int:
        return self.venue.clock.now_ms()

    def send(self, name: str, write: Callable[[], bytes]) -> None:
        """Write a message once, and send it to all who have subscribed."""
        if self.subscribers.get(name):
            payload = write()

            def deliver(text: bytes) -> None:
                for subscriber in tuple(self.subscribers.get(name, ())):
                    subscriber.send_event(name, text)

            if self.disturb is None or not self.disturb(name, payload, deliver):
                deliver(payload)

    def _send_binary(self, name: str, write: Callable[[], bytes]) -> None:
        if self.binary.get(name):
            payload = write()

            def deliver(data: bytes) -> None:
                for subscriber in tuple(self.binary.get(name, ())):
                    subscriber.send_binary(data)

            if self.disturb is None or not self.disturb(name, payload, deliver):
                deliver(payload)

    def _publish_depth(self, listed: Listed, symbol: str, message: Message, times: Times) -> None:
        own_ms = RECORDED_MS[self.venue.market] if listed.symbol in self.recorded else 0
        for suffix, interval_ms in self.speeds.items():
            name = symbol + suffix
            if not self.subscribers.get(name):
                continue
            if interval_ms <= own_ms:
                self.send(name, lambda: depth_event(listed, message, times))
            else:
                self._gather(listed, name, interval_ms, message, times)
        bids, asks = levels_of(message)
        self._send_binary(
            f"{symbol}@depth", lambda: sbe.depth_diff(listed, message.U, message.u, bids, asks, times.event_ms)
        )
        self._send_binary(f"{symbol}@depth20", lambda: sbe.depth_snapshot(listed, self._now_ms()))

    def _gather(self, listed: Listed, name: str, interval_ms: int, message: Message, times: Times) -> None:
        """Add to a slower stream; its message goes out when the next begins, or in time without one."""
        waiting = self.gathered.setdefault(name, Gathered(interval_ms))
        if not waiting.is_empty and times.event_ms >= waiting.begin_ms + interval_ms:
            self._flush(listed, name)
        if waiting.is_empty:
            waiting.is_empty = False
            waiting.first_id, waiting.previous_id, waiting.begin_ms = message.U, message.pu, times.event_ms
            asyncio.get_running_loop().call_later(interval_ms / 1_000, self._flush_late, listed, name, message.U)
        waiting.last_id, waiting.times = message.u, times
        bids, asks = levels_of(message)
        waiting.bids.update(bids)
        waiting.asks.update(asks)

    def _flush_late(self, listed: Listed, name: str, first_id: int) -> None:
        waiting = self.gathered.get(name)
        if waiting is not None and not waiting.is_empty and waiting.first_id == first_id:
            self._flush(listed, name)

    def _flush(self, listed: Listed, name: str) -> None:
        waiting = self.gathered[name]
        message = Message(U=waiting.first_id, u=waiting.last_id, pu=waiting.previous_id)
        message.b, message.a = list(waiting.bids.items()), list(waiting.asks.items())
        times = waiting.times
        waiting.bids.clear()
        waiting.asks.clear()
        waiting.is_empty = True
        self.send(name, lambda: depth_event(listed, message, times))

    def _publish_trade(self, listed: Listed, symbol: str, message: Message, times: Times) -> None:
        self.send(f"{symbol}@trade", lambda: trade_event(listed, message, times))
        if message.X in ("", "MARKET"):
            number = self.aggregate_ids[symbol] = self.aggregate_ids.get(symbol, 0) + 1
            self.send(f"{symbol}@aggTrade", lambda: aggregate_event(listed, number, message, times))
        self._send_binary(f"{symbol}@trade", lambda: sbe.trades(listed, message, times))

    def _quote(self, listed: Listed, message: Message, times: Times) -> bytes:
        best = {"b": message.b, "B": message.B, "a": message.a, "A": message.A}
        if listed.market == Market.SPOT:
            return encode({"u": message.u, "s": listed.symbol} | best)
        head = {"e": "bookTicker", "u": message.u, "s": listed.symbol} | pair_of(listed)
        return encode(head | best | {"T": times.transaction_ms, "E": times.event_ms})


def pair_of(listed: Listed) -> dict[str, str]:
    """Name the pair where COIN-M's messages do."""
    return {"ps": listed.pair} if listed.market == Market.COINM else {}


def depth_event(listed: Listed, message: Message, times: Times) -> bytes:
    """Write a depthUpdate."""
    levels = {"b": message.b, "a": message.a}
    if listed.market == Market.SPOT:
        head = {"e": "depthUpdate", "E": times.event_ms, "s": listed.symbol, "U": message.U, "u": message.u}
        return encode(head | levels)
    head = {"e": "depthUpdate", "E": times.event_ms, "T": times.transaction_ms, "s": listed.symbol} | pair_of(listed)
    return encode(head | {"U": message.U, "u": message.u, "pu": message.pu} | levels)


def trade_event(listed: Listed, message: Message, times: Times) -> bytes:
    """Write a trade."""
    traded = {"t": message.t, "p": message.p, "q": message.q}
    if listed.market == Market.SPOT:
        head = {"e": "trade", "E": times.event_ms, "s": listed.symbol}
        return encode(head | traded | {"T": times.transaction_ms, "m": message.m, "M": True})
    head = {"e": "trade", "E": times.event_ms, "T": times.transaction_ms, "s": listed.symbol}
    return encode(head | traded | {"X": message.X or "MARKET", "m": message.m})


def aggregate_event(listed: Listed, number: int, message: Message, times: Times) -> bytes:
    """Write an aggTrade of one trade: a recording of single trades does not say which of them one order made."""
    head = {"e": "aggTrade", "E": times.event_ms, "s": listed.symbol, "a": number, "p": message.p, "q": message.q}
    event = head | {"f": message.t, "l": message.t, "T": times.transaction_ms, "m": message.m}
    return encode(event | ({"M": True} if listed.market == Market.SPOT else {}))


def mark_price(listed: Listed, now_ns: int) -> dict[str, object]:
    """Make a markPriceUpdate: the middle of the book stands for mark and index price (own choice).

    A dated future has no funding.
    """
    bid, _, ask, _ = listed.best()
    price = listed.price_text((bid + ask) // 2)
    prices = {"s": listed.symbol, "p": price, "i": price, "P": price}
    funding: dict[str, object] = {"r": "", "T": 0}
    if not expiry_ns(listed.symbol):
        next_ms = (now_ns // FUNDING_NS + 1) * FUNDING_NS // 1_000_000
        funding = {"r": listed.config.funding_rate, "T": next_ms}
    return {"e": "markPriceUpdate", "E": now_ns // 1_000_000} | prices | funding
