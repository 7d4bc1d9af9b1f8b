"""A good recording damaged at random: an importer in plain Python, written apart, must see the same in it."""

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from crosswire.venues.bridge.binance.importer import ImportOptions, import_file
from crosswire.venues.bridge.binance.market import Market
from crosswire.venues.bridge.binance.text import RecordingError
from tests.support.binance_import import assert_same_book, decoded

START_NS = 1_772_000_000_000_000_000
TICK, LOT = Decimal("0.1"), Decimal("0.001")
COUNTS = (
    "lines",
    "deltas",
    "snapshots",
    "quotes",
    "trades",
    "mark_prices",
    "breaks",
    "dropped",
    "bad_lines",
    "other_streams",
    "other_symbols",
)
NEEDED = {
    "depthUpdate": ("U", "u", "pu", "b", "a"),
    "bookTicker": ("u", "b", "B", "a", "A"),
    "trade": ("t", "p", "q", "m"),
    "markPriceUpdate": ("E", "p", "T"),
}
RATE_MAX = Decimal("0.1")


class BadLineError(Exception):
    """The line is left out."""


@dataclass
class Plain:
    """The import of USD-M lines by the venue's rules, one line at a time, on Python's own numbers."""

    counts: Counter[str] = field(default_factory=Counter)
    bids: dict[int, int] = field(default_factory=dict)
    asks: dict[int, int] = field(default_factory=dict)
    chain: str = "unproven"
    last: int = 0
    held: list[dict[str, Any]] = field(default_factory=list)

    def take(self, text: bytes) -> None:
        """Import a line, or count it as bad."""
        self.counts["lines"] += 1
        try:
            self.message(self.parse(text))
        except (BadLineError, UnicodeDecodeError, json.JSONDecodeError):
            self.counts["bad_lines"] += 1

    @staticmethod
    def parse(text: bytes) -> Any:
        time, space, rest = text.rstrip(b"\r").partition(b" ")
        if not space or not time.isdigit() or not 1_230_768_000 * 10**9 <= int(time) < 4_102_444_800 * 10**9:
            raise BadLineError
        return json.loads(rest)

    def message(self, message: Any) -> None:
        if isinstance(message, list) or isinstance(message.get("data"), list):
            self.counts["other_streams"] += 1
            return
        message = message.get("data", message)
        if message.get("s", "BTCUSDT") != "BTCUSDT":
            self.counts["other_symbols"] += 1
        elif "lastUpdateId" in message:
            self.whole(message, "E", "T")
            self.snapshot(message)
        elif message.get("e") in NEEDED:
            self.event(message)
        else:
            self.counts["other_streams"] += 1

    def event(self, message: dict[str, Any]) -> None:
        kind = message["e"]
        if any(key not in message for key in NEEDED[kind]):
            raise BadLineError
        self.whole(message, "U", "u", "pu", "t", "E", "T")
        if kind == "depthUpdate":
            if message["U"] > message["u"]:
                raise BadLineError
            self.sides(message["b"], message["a"])
            self.delta(message)
        elif kind == "markPriceUpdate":
            self.mark_price(message)
        else:
            for key in ("b", "a", "p") if kind == "bookTicker" else ("p",):
                self.on_grid(message.get(key, "0"), TICK)
            for key in ("B", "A") if kind == "bookTicker" else ("q",):
                self.number(message[key])
            if kind == "trade" and not (self.number(message["p"]) and self.number(message["q"])):
                raise BadLineError
            self.counts["quotes" if kind == "bookTicker" else "trades"] += 1

    @staticmethod
    def whole(message: dict[str, Any], *keys: str) -> None:
        for key in keys:
            if key in message and (type(message[key]) is not int or message[key] < 0):
                raise BadLineError

    def mark_price(self, message: dict[str, Any]) -> None:
        """Mark and index price, and a rate with its sign if there is a next payment."""
        if self.number(message["p"]) == 0 or (message.get("i") and self.number(message["i"]) < 0):
            raise BadLineError
        if message["T"]:
            rate = message.get("r")
            if not isinstance(rate, str) or self.number(rate.removeprefix("-")) > RATE_MAX:
                raise BadLineError
            if not -60_000 <= message["T"] - message["E"] <= 86_400_000:
                raise BadLineError
        self.counts["mark_prices"] += 1

    @staticmethod
    def number(text: Any) -> Decimal:
        if not isinstance(text, str) or not text.replace(".", "", 1).isdigit():
            raise BadLineError
        try:
            return Decimal(text)
        except InvalidOperation:
            raise BadLineError from None

    def on_grid(self, text: Any, unit: Decimal) -> int:
        units = self.number(text) / unit
        if units != int(units):
            raise BadLineError
        return int(units)

    def sides(self, *sides: Any) -> list[list[tuple[int, int]]]:
        """The levels of both sides, without those off the tick."""
        kept = []
        for side in sides:
            if not isinstance(side, list) or any(len(level) != 2 for level in side):
                raise BadLineError
            levels = [(self.number(price) / TICK, int(self.number(size) / LOT)) for price, size in side]
            kept.append([(int(price), size) for price, size in levels if price == int(price)])
        return kept

    def apply(self, bids: list[Any], asks: list[Any]) -> None:
        for book, levels in zip((self.bids, self.asks), self.sides(bids, asks), strict=True):
            for price, size in levels:
                book.pop(price, None)
                if size:
                    book[price] = size

    def snapshot(self, message: dict[str, Any]) -> None:
        self.sides(message["bids"], message["asks"])
        if self.chain in ("live", "fresh") and message["lastUpdateId"] <= self.last:
            self.counts["dropped"] += 1
            return
        self.counts["snapshots"] += 1
        self.bids, self.asks = {}, {}
        self.apply(message["bids"], message["asks"])
        self.chain, self.last = "fresh", message["lastUpdateId"]
        held, self.held = self.held, []
        for each in held:
            self.delta(each, is_held=True)
        if self.chain == "broken":
            self.held = held

    def delta(self, message: dict[str, Any], is_held: bool = False) -> None:
        if self.chain == "unproven":
            self.held.append(message)
            return
        if self.chain == "broken":
            if not is_held:
                self.held.append(message)
            self.counts["deltas"] += 1
            return
        if message["u"] <= self.last:
            self.counts["dropped"] += 1
            return
        if message["pu"] < self.last and self.chain == "live" and not message.get("named"):
            self.counts["other_streams"] += 1  # of a second stream
            return
        self.counts["deltas"] += 1
        if message["pu"] > self.last:
            self.counts["breaks"] += 1
            self.chain = "broken"
            if not is_held:
                self.held = [message]
            return
        self.chain, self.last = "live", message["u"]
        self.apply(message["b"], message["a"])

    def end(self) -> None:
        if self.chain == "unproven":
            self.counts["dropped"] += len(self.held)


def stamped(number: int, message: Any) -> bytes:
    return b"%d %b" % (START_NS + number * 10**7, json.dumps(message, separators=(",", ":")).encode())


prices = st.integers(4_000, 4_999).map(lambda ticks: f"{ticks / 10:.1f}")
ask_prices = st.integers(5_000, 5_999).map(lambda ticks: f"{ticks / 10:.1f}")
sizes = st.integers(0, 5_000).map(lambda lots: f"{lots / 1000:.3f}")


units = st.integers(0, 5 * 10**11).map(lambda units: f"{units / 10**8:.8f}")
rates = st.integers(-(10**7) - 1, 10**7 + 1).map(lambda units: f"{Decimal(units).scaleb(-8):.8f}") | st.just("")
payments = st.integers(-60_001, 86_400_001).map(lambda after_ms: START_NS // 10**6 + after_ms) | st.just(0)


def some_levels(price: st.SearchStrategy[str]) -> st.SearchStrategy[list[list[str]]]:
    return st.lists(st.tuples(price, sizes).map(list), max_size=4)


@st.composite
def recordings(draw: st.DrawFn) -> list[bytes]:
    """A good recording of USD-M, unwrapped: a chain of deltas with a snapshot or two on it, quotes and trades."""
    lines: list[bytes] = []
    last = 100
    snapshots = draw(st.sets(st.integers(0, 15), min_size=1, max_size=3))
    for place in range(draw(st.integers(6, 16))):
        times = {"E": START_NS // 10**6, "T": START_NS // 10**6}
        if place in snapshots:
            sides = {"bids": draw(some_levels(prices)), "asks": draw(some_levels(ask_prices))}
            lines.append(stamped(len(lines), {"lastUpdateId": last - draw(st.integers(0, 3)), **sides, **times}))
        kind = draw(st.sampled_from(["depth", "depth", "quote", "trade", "mark"]))
        if kind == "depth" or place == 0:
            after = last + draw(st.integers(1, 4))
            levels = {"b": draw(some_levels(prices)), "a": [*draw(some_levels(ask_prices)), ["700.0", "0"]]}
            ids = {"U": last + 1, "u": after, "pu": last}
            lines.append(stamped(len(lines), {"e": "depthUpdate", **times, "s": "BTCUSDT", **ids, **levels}))
            last = after
        elif kind == "quote":
            quote = {"b": draw(prices), "B": draw(sizes), "a": draw(ask_prices), "A": draw(sizes)}
            lines.append(stamped(len(lines), {"e": "bookTicker", "u": last, "s": "BTCUSDT", **quote, **times}))
        elif kind == "mark":
            mark = {"p": draw(units), "i": draw(st.one_of(units, st.just(""))), "r": draw(rates), "T": draw(payments)}
            lines.append(stamped(len(lines), {"e": "markPriceUpdate", "E": times["E"], "s": "BTCUSDT", **mark}))
        else:
            trade = {"t": place, "p": draw(prices), "q": draw(sizes), "X": "MARKET", "m": draw(st.booleans())}
            lines.append(stamped(len(lines), {"e": "trade", **times, "s": "BTCUSDT", **trade}))
    return lines


def replaced(old: str, new: str) -> Any:
    return lambda line, _share: line.replace(old.encode(), new.encode(), 1)


# Each of (line, a share of it from 0 to 1) to the lines that stand in its place.
DAMAGES: dict[str, Any] = {
    "cut": lambda line, share: line[: int(len(line) * share)],
    "lost": lambda _line, _share: None,
    "twice": lambda line, _share: line + b"\n" + line,
    "blank before": lambda line, _share: b"\n" + line,
    "carriage return": lambda line, _share: line + b"\r",
    "garbage": lambda _line, _share: b"%d }{" % START_NS,
    "no text": lambda line, share: line[: 20 + int(share * 2)] + b"\xff\xfe" + line[20 + int(share * 2) :],
    "no time": lambda line, _share: line.partition(b" ")[2],
    "time of 1970": lambda line, _share: b"12 " + line.partition(b" ")[2],
    "another symbol": replaced('"BTCUSDT"', '"ETHUSDT"'),
    "text for a number": replaced('"u":', '"u":"x","v":'),
    "a negative number": replaced('"u":', '"u":-'),
    "a negative time": replaced('"E":', '"E":-'),
    "a negative mark price": replaced('"p":"', '"p":"-'),
    "no rate": replaced('"r":', '"x":'),
    "a payment long past": replaced('"T":1772', '"T":1771'),
    "a key gone": replaced('"u":', '"w":'),
    "not a number": replaced('.0","', 'NaN","'),
    "a negative price": replaced('["4', '["-4'),
    "off the tick": replaced('.1","', '.15","'),
    "off the lot": replaced('0"]', '07"]'),
    "a bare number for a price": lambda line, _share: re.sub(rb'\["(\d+\.\d)"', rb"[\1", line, count=1),
    "a list": lambda line, _share: line.partition(b" ")[0] + b' [{"e":"24hrTicker"}]',
    "a stream of lists": lambda line, _share: line.partition(b" ")[0] + b' {"stream":"!x@arr","data":[1]}',
    "something new": lambda line, _share: line.partition(b" ")[0] + b' {"e":"novelty","s":"BTCUSDT","u":"?"}',
    "swapped keys": lambda line, _share: b"%b %b" % (line.partition(b" ")[0], resorted(line)),
}


def resorted(line: bytes) -> bytes:
    return json.dumps(dict(sorted(json.loads(line.partition(b" ")[2]).items(), reverse=True))).encode()


damages = st.lists(
    st.tuples(st.integers(0, 40), st.sampled_from(sorted(DAMAGES)), st.floats(0, 1, exclude_max=True)), max_size=6
)


def damaged(lines: list[bytes], wanted: list[tuple[int, str, float]]) -> list[bytes]:
    """Damage some of the lines, each once at most."""
    by_place = {place % len(lines): (name, share) for place, name, share in wanted}
    texts = [
        DAMAGES[by_place[place][0]](text, by_place[place][1]) if place in by_place else text
        for place, text in enumerate(lines)
    ]
    return b"\n".join(text for text in texts if text is not None).split(b"\n")


@settings(max_examples=200, deadline=None)
@given(recordings(), damages)
def test_the_import_sees_what_a_plain_importer_sees(lines: list[bytes], wanted: list[tuple[int, str, float]]) -> None:
    # The terms are known, so that a share of prices off the tick is no matter here; the first line tells the market.
    texts = damaged(lines, wanted)
    plain = Plain()
    for text in texts:
        plain.take(text)
    plain.end()
    with TemporaryDirectory() as name:
        path = Path(name) / "in.txt"
        path.write_bytes(b"\n".join(texts) + b"\n")
        try:
            summary = import_file(path, Path(name) / "out.pcap", ImportOptions(market=Market.USDM))
        except RecordingError as error:
            refused = str(error)
        else:
            refused = ""
        useful = sum(plain.counts[each] for each in ("deltas", "quotes", "trades", "mark_prices", "snapshots"))
        if refused:
            assert useful == 0 or "do not tell" in refused or "no snapshot says whose" in refused, refused
            return
        if summary.symbol != "BTCUSDT":
            return  # most of the lines that were left named the other one
        assert {each: getattr(summary, each) for each in COUNTS} == {each: plain.counts[each] for each in COUNTS}
        book = decoded(summary.output)[1].books[0]
    if plain.chain in ("live", "fresh"):
        assert_same_book(book, (plain.bids, plain.asks))
    else:
        assert book.valid == 0
