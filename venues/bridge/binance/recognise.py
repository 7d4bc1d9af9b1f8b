"""What a recording is of, told from its first lines: market, symbol, when it begins."""

import base64
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import median_low
from typing import Any, NamedTuple

from crosswire.nic.duration import NS_PER_S
from crosswire.venues.bridge.binance.line import to_ns
from crosswire.venues.bridge.binance.market import Market
from crosswire.venues.bridge.binance.remark import Remarks
from crosswire.venues.bridge.binance.sbe_layout import SCHEMA_ID, Template
from crosswire.venues.bridge.binance.text import RecordingError, read_chunks
from crosswire.venues.bridge.binance.window import without_long_lines
from crosswire.venues.instrument import SYMBOL_BYTES

HEAD_LINES_MAX = 1000  # lines looked at
HEAD_BYTES_MAX = 1 << 25
HEAD_READ_BYTES = 1 << 14  # of the file at a time
TIME_DIGITS_MAX = 20
SNAPSHOTS_MIN = 2  # that are compared, in so much text
COMPARED_BYTES = 1 << 20
TELLING_LINES = 16  # that are enough: one stray line of another symbol does not decide
TIMES = 9  # that the beginning is told from
LEAP_NS = 60 * NS_PER_S  # one of them further than this from their median leaps
WRAPPERS_MAX = 4
DEPTH_WEIGHT = 4  # of a depth line, whose symbol is what a recording is for

SYMBOL = re.compile(rf"[A-Z0-9_]{{1,{SYMBOL_BYTES}}}")
COINM_SYMBOL = re.compile(r"[A-Z0-9]+USD_(PERP|\d{6})")  # USD-M's dated ones are of USDT or USDC
NAME = re.compile(r"([a-z0-9_]+)@")
BINARY_SYMBOL = re.compile(rb"[\x01-\x20]([A-Z0-9_]{1,32})\Z")  # its length, and itself, at a message's end
PARTIAL_NAME = re.compile(r"@depth\d")
SNAPSHOT = b'"lastUpdateId"'

# Events of one market alone, or told apart by a key.
USDM_EVENTS = ("bookTicker", "markPriceUpdate", "ORDER_TRADE_UPDATE")


class Found(NamedTuple):
    """What a recording is of."""

    market: Market
    symbol: str
    first_time_ns: int  # by its own clock; 0: no line tells
    full_bids: int  # levels of the fullest snapshot among the first lines
    full_asks: int


class Survey:
    """What the first lines say: votes for market and symbol, when they were received, how full their snapshots are."""

    def __init__(self, market: Market | None) -> None:
        self.market = market
        self.votes: Counter[tuple[Market, str]] = Counter()
        self.times: list[int] = []
        self.telling = 0  # lines
        self.snapshots = 0
        self.full_bids = self.full_asks = 0

    def is_enough(self, read_bytes: int) -> bool:
        """Tell whether no more lines are needed. Where there are several snapshots, some may be partial depth."""
        return self.telling >= TELLING_LINES and (self.snapshots < SNAPSHOTS_MIN or read_bytes >= COMPARED_BYTES)

    def add(self, text: bytes) -> None:
        """Take up a line."""
        time_text, message_text = (*text.lstrip(b"\0 \t").split(maxsplit=1), b"", b"")[:2]
        if self.telling >= TELLING_LINES and SNAPSHOT not in text:
            return
        message = read_message(message_text)
        if message is None:
            return
        if len(self.times) < TIMES and time_text.isdigit() and len(time_text) < TIME_DIGITS_MAX:
            self.times.append(to_ns(int(time_text)))
        vote = tell(message, self.market)
        if vote is not None:
            self.votes[vote] += DEPTH_WEIGHT if message.get("e") == "depthUpdate" else 1
            self.telling += 1
        sides = message.get("bids"), message.get("asks")
        if "lastUpdateId" in message and isinstance(sides[0], list) and isinstance(sides[1], list):
            self.snapshots += 1
            if not PARTIAL_NAME.search(str(message.get("stream", ""))):
                self.full_bids, self.full_asks = max(self.full_bids, len(sides[0])), max(self.full_asks, len(sides[1]))


def first_lines(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, int]]:
    """Split text into its first lines, each with how much has been read by then."""
    left, read_bytes, lines = b"", 0, 0
    for chunk in chunks:
        read_bytes += len(chunk)
        whole = (left + chunk).split(b"\n")
        left = whole.pop()
        for text in whole[: HEAD_LINES_MAX - lines]:
            yield text, read_bytes
        lines += len(whole)
        if lines >= HEAD_LINES_MAX or read_bytes > HEAD_BYTES_MAX:
            return
    yield left, read_bytes


def recognise(path: Path, market: Market | None) -> Found:
    """Find out what a recording is of, from as little of its head as tells; `market` is believed if it is given.

    Raises `RecordingError`.
    """
    survey = Survey(market)
    for text, read_bytes in first_lines(without_long_lines(read_chunks(path, Remarks(), HEAD_READ_BYTES))):
        survey.add(text)
        if survey.is_enough(read_bytes):
            break
    if not survey.votes:
        raise RecordingError(
            f"{path}: its first {HEAD_LINES_MAX} lines do not tell its market and symbol; a line is "
            "<local time> <JSON as received>, and one symbol a file"
        )
    found_market, symbol = survey.votes.most_common(1)[0][0]
    if (found_market == Market.COINM) != (COINM_SYMBOL.fullmatch(symbol) is not None):
        raise RecordingError(f"{path}: {symbol} is no symbol of {found_market.name.lower()}")
    return Found(found_market, symbol, first_time(survey.times), survey.full_bids, survey.full_asks)


def first_time(times: Sequence[int]) -> int:
    """The first of a recording's first times, but for those that leap; 0 if there is none."""
    if not times:
        return 0
    middle = median_low(times)
    return min(time for time in times if abs(time - middle) <= LEAP_NS)


def read_message(text: bytes) -> dict[str, Any] | None:
    """Read a message out of its wrappers, as one flat object; None if it is none."""
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(whole, str):
        return read_binary(whole)
    if not isinstance(whole, dict):
        return None
    flat: dict[str, Any] = {}
    flatten(whole, flat, WRAPPERS_MAX)
    return flat


def read_binary(text: str) -> dict[str, Any] | None:
    """Read what an SBE message in base64 is of, as if it were JSON: spot alone has them. None if it is none."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    symbol = BINARY_SYMBOL.search(data)
    if symbol is None or data[symbol.start()] != len(symbol[1]) or data[4:6] != SCHEMA_ID.to_bytes(2, "little"):
        return None
    is_depth = data[2:4] == Template.DEPTH_DIFF.to_bytes(2, "little")
    return {"s": symbol[1].decode(), "e": "depthUpdate" if is_depth else "trade", "M": True}


def flatten(part: dict[str, Any], flat: dict[str, Any], depth: int) -> None:
    """Add the keys of an object, and of those in it, to `flat`, until one names its event."""
    for key, value in part.items():
        if isinstance(value, dict) and depth > 1 and "e" not in flat:
            flatten(value, flat, depth - 1)
        else:
            flat[key] = value


def tell(message: dict[str, Any], market: Market | None) -> tuple[Market, str] | None:
    """Tell market and symbol of a message, if it does."""
    symbol = message.get("s") or message.get("symbol") or named_symbol(message)
    if not isinstance(symbol, str) or not SYMBOL.fullmatch(symbol):
        return None
    found = market_of_message(message, symbol) if market is None else market
    return None if found is None else (found, symbol)


def named_symbol(message: dict[str, Any]) -> str:
    """The symbol in the name of the message's stream, "" if it has none."""
    name = NAME.match(str(message.get("stream", "")))
    return name[1].upper() if name else ""


def market_of_message(message: dict[str, Any], symbol: str) -> Market | None:
    """Tell the market: COIN-M by its symbols; USD-M has `pu` in deltas, `e` in bookTicker, no `M` in trades."""
    if COINM_SYMBOL.fullmatch(symbol):
        return Market.COINM
    event = message.get("e")
    if event == "depthUpdate":
        return Market.USDM if "pu" in message else Market.SPOT
    if event in ("trade", "aggTrade"):
        return Market.SPOT if "M" in message else Market.USDM
    if event in USDM_EVENTS:
        return Market.USDM
    if event == "executionReport":
        return Market.SPOT
    if event is None and "lastUpdateId" in message:
        return Market.USDM if {"E", "T"} & message.keys() else Market.SPOT
    return Market.SPOT if event is None and {"u", "b", "B", "a", "A"} <= message.keys() else None
