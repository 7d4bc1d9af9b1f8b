"""What a recording is of, told from its first lines: market, symbol, when it begins."""

import json
import re
from collections import Counter
from itertools import islice
from pathlib import Path
from statistics import median_low
from typing import Any, NamedTuple

from crosswire.venues.bridge.binance.line import to_ns
from crosswire.venues.bridge.binance.remark import Remarks
from crosswire.venues.bridge.binance.stream import Market
from crosswire.venues.bridge.binance.text import RecordingError, read_chunks
from crosswire.venues.instrument import SYMBOL_BYTES

HEAD_LINES_MAX = 1000  # lines looked at
HEAD_BYTES_MAX = 1 << 20
HEAD_READ_BYTES = 1 << 14  # of the file at a time
TIME_DIGITS_MAX = 20
SNAPSHOTS_MIN = 2  # of spot, among the first lines: enough to compare
TELLING_LINES = 16  # that are enough: one stray line of another symbol does not decide
TIMES = 9  # that the beginning is the median of: one of them may leap
WRAPPERS_MAX = 4
DEPTH_WEIGHT = 4  # of a depth line, whose symbol is what a recording is for

SYMBOL = re.compile(rf"[A-Z0-9_]{{1,{SYMBOL_BYTES}}}")
COINM_SYMBOL = re.compile(r"[A-Z0-9]+USD_(PERP|\d{6})")  # USD-M's dated ones are of USDT or USDC
NAME = re.compile(r"([a-z0-9_]+)@")
SNAPSHOT = b'"lastUpdateId"'

# Events of one market alone, or told apart by a key.
USDM_EVENTS = ("bookTicker", "markPriceUpdate", "ORDER_TRADE_UPDATE")


class Found(NamedTuple):
    """What a recording is of."""

    market: Market
    symbol: str
    first_time_ns: int  # by its own clock; 0: no line tells
    full_bids: int  # levels of the fullest snapshot among the first lines, where there are several
    full_asks: int


def recognise_file(path: Path, market: Market | None) -> Found:
    """Find out what a recording is of, from as little of its head as tells. Raises `RecordingError`."""
    head = b""
    for chunk in read_chunks(path, Remarks(), HEAD_READ_BYTES):
        head += chunk
        survey = Survey(head, market)
        if len(head) >= HEAD_BYTES_MAX or (survey.is_enough and head.count(SNAPSHOT) < SNAPSHOTS_MIN):
            break
    return recognise(path, head, market)


class Survey:
    """What the first lines say: votes for market and symbol, and when they were received."""

    def __init__(self, head: bytes, market: Market | None) -> None:
        self.votes: Counter[tuple[Market, str]] = Counter()
        self.times: list[int] = []
        telling = 0
        for text in islice(head.split(b"\n", HEAD_LINES_MAX), HEAD_LINES_MAX):
            time_text, _, message_text = text.lstrip(b"\0 ").partition(b" ")
            message = read_message(message_text)
            if message is None:
                continue
            if len(self.times) < TIMES and time_text.isdigit() and len(time_text) < TIME_DIGITS_MAX:
                self.times.append(to_ns(int(time_text)))
            vote = tell(message, market)
            if vote is not None:
                self.votes[vote] += DEPTH_WEIGHT if message.get("e") == "depthUpdate" else 1
                telling += 1
                if telling == TELLING_LINES:
                    break
        self.is_enough = telling == TELLING_LINES


def recognise(path: Path, head: bytes, market: Market | None) -> Found:
    """Find out from the head of its text what a recording is of; `market` is believed if it is given."""
    survey = Survey(head, market)
    if not survey.votes:
        raise RecordingError(
            f"{path}: its first {HEAD_LINES_MAX} lines do not tell its market and symbol; a line is "
            "<local time> <JSON as received>, and one symbol a file"
        )
    found_market, symbol = survey.votes.most_common(1)[0][0]
    if (found_market == Market.COINM) != (COINM_SYMBOL.fullmatch(symbol) is not None):
        raise RecordingError(f"{path}: {symbol} is no symbol of {found_market.name.lower()}")
    bids, asks = fullest_snapshot(head) if found_market == Market.SPOT else (0, 0)
    return Found(found_market, symbol, median_low(survey.times) if survey.times else 0, bids, asks)


def read_message(text: bytes) -> dict[str, Any] | None:
    """Read a message out of its wrappers, as one flat object; None if it is none."""
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(whole, dict):
        return None
    flat: dict[str, Any] = {}
    flatten(whole, flat, WRAPPERS_MAX)
    return flat


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


def fullest_snapshot(head: bytes) -> tuple[int, int]:
    """Count the levels of the fullest snapshot of spot, (0, 0) if there are not several to compare.

    Spot's partial depth has the shape of its snapshots; the fuller ones are snapshots.
    """
    if head.count(SNAPSHOT) < SNAPSHOTS_MIN:
        return 0, 0
    bids = asks = 0
    for text in head.split(b"\n"):
        if SNAPSHOT not in text:
            continue
        message = read_message(text.partition(b" ")[2])
        if message is None or "E" in message or "@depth" in str(message.get("stream", "")):
            continue
        sides = message.get("bids"), message.get("asks")
        if all(isinstance(side, list) for side in sides):
            bids, asks = max(bids, len(sides[0] or ())), max(asks, len(sides[1] or ()))
    return bids, asks
