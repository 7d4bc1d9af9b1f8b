"""One instrument of the market side without a network: messages in, and the engine's own decoder behind its packets."""

import json
from typing import Any

from crosswire.venues.book.book import Book
from crosswire.venues.bridge.binance.gateway.definitions import TRADING, Definition, Filters
from crosswire.venues.bridge.binance.gateway.log import Log
from crosswire.venues.bridge.binance.gateway.market.channel import Channel
from crosswire.venues.bridge.binance.gateway.market.sender import Sender
from crosswire.venues.bridge.binance.market import Market
from crosswire.venues.bridge.binance.terms import DEFAULT_TERMS, channel_id_of, instrument_id_of
from tests.support.bridge_reader import BridgeReader

LEVELS_MAX = 2_000
TIME_MS = 1_770_000_000_000
TICKS_PER_UNIT = {Market.SPOT: 100, Market.USDM: 10}
LOTS_PER_UNIT = {Market.SPOT: 100_000, Market.USDM: 1_000}

Sides = tuple[dict[int, int], dict[int, int]]


class DirectSender(Sender):
    """Hands packets to a reader."""

    def __init__(self, reader: BridgeReader, log: Log) -> None:
        self.log = log
        self.packets = 0
        self.fails = False  # packets are lost on their way, as when the kernel has no room
        self.reader = reader
        self.send = self.hand_on

    def hand_on(self, data: Any) -> int:
        if self.fails:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        self.reader.decode(bytes(data))
        return len(data)


def definition_of(market: Market, status: str = TRADING, **terms: str) -> Definition:
    """BTCUSDT, with other terms if they are given."""
    import msgspec

    number = instrument_id_of(market, "BTCUSDT")
    return Definition(
        market=market,
        symbol="BTCUSDT",
        instrument_id=number,
        channel_id=channel_id_of(number),
        terms=msgspec.structs.replace(DEFAULT_TERMS[market, "BTCUSDT"], **terms),
        filters=Filters(),
        status=status,
    )


class Lone:
    """A channel and its reader."""

    def __init__(self, market: Market = Market.SPOT) -> None:
        self.market = market
        self.lines: list[str] = []
        self.log = Log(self.lines.append)
        self.reader = BridgeReader(instruments=1, levels=LEVELS_MAX)
        self.sender = DirectSender(self.reader, self.log)
        self.channel = Channel(definition_of(market), self.sender, self.log, None)
        self.channel.publish_definition()

    @property
    def book(self) -> Book:
        return self.reader.book(0)

    def take(self, message: Any) -> None:
        payload = message if isinstance(message, bytes) else json.dumps(message, separators=(",", ":")).encode()
        self.channel.take(memoryview(payload), False)

    def levels(self, side: dict[int, int]) -> list[list[str]]:
        """Levels as the venue writes them."""
        ticks, lots = TICKS_PER_UNIT[self.market], LOTS_PER_UNIT[self.market]
        return [[f"{price / ticks:.2f}", f"{size / lots:.5f}"] for price, size in side.items()]

    def delta(self, first: int, last: int, previous: int, bids: dict[int, int], asks: dict[int, int]) -> dict[str, Any]:
        message: dict[str, Any] = {"e": "depthUpdate", "E": TIME_MS + last, "s": "BTCUSDT", "U": first, "u": last}
        if self.market != Market.SPOT:
            message |= {"T": TIME_MS + last, "pu": previous}
        message |= {"b": self.levels(bids), "a": self.levels(asks)}
        return {"stream": "btcusdt@depth@100ms", "data": message}

    def quote(self, update_id: int, bid: tuple[int, int], ask: tuple[int, int]) -> dict[str, Any]:
        (bid_price, bid_size), (ask_price, ask_size) = self.levels(dict([bid]))[0], self.levels(dict([ask]))[0]
        message = {"u": update_id, "s": "BTCUSDT", "b": bid_price, "B": bid_size, "a": ask_price, "A": ask_size}
        if self.market != Market.SPOT:
            message |= {"e": "bookTicker", "T": TIME_MS + update_id, "E": TIME_MS + update_id}
        return {"stream": "btcusdt@bookTicker", "data": message}

    def trade(self, number: int, price: int, size: int) -> dict[str, Any]:
        ((price_text, size_text),) = self.levels({price: size})
        message = {"e": "trade", "E": TIME_MS, "s": "BTCUSDT", "t": number, "p": price_text, "q": size_text}
        message |= {"T": TIME_MS, "m": True} | ({"M": True} if self.market == Market.SPOT else {"X": "MARKET"})
        return {"stream": "btcusdt@trade", "data": message}

    def mark_price(self, second: int, **changed: Any) -> dict[str, Any]:
        message = {"e": "markPriceUpdate", "E": TIME_MS + 1_000 * second, "s": "BTCUSDT", "p": "100.12345678"}
        message |= {"i": "100.2", "r": "-0.0001", "T": TIME_MS + 3_600_000}
        return {"stream": "btcusdt@markPrice@1s", "data": message | changed}

    def snapshot(self, last: int, bids: dict[int, int], asks: dict[int, int]) -> bytes:
        body: dict[str, Any] = {"lastUpdateId": last}
        if self.market != Market.SPOT:
            body |= {"E": TIME_MS + last, "T": TIME_MS + last}
        return json.dumps(body | {"bids": self.levels(bids), "asks": self.levels(asks)}).encode()

    def close(self) -> None:
        self.reader.close()
