"""Spot's binary market data: schema 1 version 0, templates 10000 to 10003 (binance.md D3).

Prices and sizes are mantissas with one exponent each a message; times are in microseconds.
"""

import struct
from collections.abc import Sequence

from crosswire.venues.bridge.binance.exchange.listed import Levels, Listed
from crosswire.venues.bridge.binance.exchange.messages import Message
from crosswire.venues.bridge.binance.exchange.venue import Times

SCHEMA_ID, SCHEMA_VERSION = 1, 0
TRADES, BEST_BID_ASK, DEPTH_SNAPSHOT, DEPTH_DIFF = 10_000, 10_001, 10_002, 10_003
HEADER = struct.Struct("<HHHH")
TRADES_ROOT = struct.Struct("<qqbb")
TRADE_GROUP = struct.Struct("<HI")
TRADE = struct.Struct("<qqqB")
BEST_ROOT = struct.Struct("<qqbbqqqq")
SNAPSHOT_ROOT = struct.Struct("<qqbb")
DIFF_ROOT = struct.Struct("<qqqbb")
LEVEL_GROUP = struct.Struct("<HH")
LEVEL = struct.Struct("<qq")
US_PER_MS = 1_000
SNAPSHOT_LEVELS = 20
DECIMALS = 8
EXPONENT = -DECIMALS


def mantissa(text: str) -> int:
    """Turn a decimal text of spot into a whole number of 1e-8."""
    whole, _, part = text.partition(".")
    return int(whole + part.ljust(DECIMALS, "0")[:DECIMALS])


def _head(template: int, root: struct.Struct) -> bytes:
    return HEADER.pack(root.size, template, SCHEMA_ID, SCHEMA_VERSION)


def _symbol(listed: Listed) -> bytes:
    name = listed.symbol.encode()
    return bytes([len(name)]) + name


def _levels(levels: Sequence[tuple[str, str]]) -> bytes:
    entries = b"".join(LEVEL.pack(mantissa(price), mantissa(size)) for price, size in levels)
    return LEVEL_GROUP.pack(LEVEL.size, len(levels)) + entries


def trades(listed: Listed, message: Message, times: Times) -> bytes:
    """Write a TradesStreamEvent of one trade."""
    root = TRADES_ROOT.pack(times.event_ms * US_PER_MS, times.transaction_ms * US_PER_MS, EXPONENT, EXPONENT)
    trade = TRADE.pack(message.t, mantissa(message.p), mantissa(message.q), message.m)
    return _head(TRADES, TRADES_ROOT) + root + TRADE_GROUP.pack(TRADE.size, 1) + trade + _symbol(listed)


def best_bid_ask(listed: Listed, message: Message, now_ms: int) -> bytes:
    """Write a BestBidAskStreamEvent of a bookTicker."""
    assert isinstance(message.b, str)
    assert isinstance(message.a, str)
    values = (mantissa(text) for text in (message.b, message.B, message.a, message.A))
    root = BEST_ROOT.pack(now_ms * US_PER_MS, message.u, EXPONENT, EXPONENT, *values)
    return _head(BEST_BID_ASK, BEST_ROOT) + root + _symbol(listed)


def depth_snapshot(listed: Listed, now_ms: int) -> bytes:
    """Write a DepthSnapshotStreamEvent of the book as it is, 20 levels a side."""
    bids, asks = listed.depth(SNAPSHOT_LEVELS)
    root = SNAPSHOT_ROOT.pack(now_ms * US_PER_MS, listed.update_id, EXPONENT, EXPONENT)
    return _head(DEPTH_SNAPSHOT, SNAPSHOT_ROOT) + root + _levels(bids) + _levels(asks) + _symbol(listed)


def depth_diff(listed: Listed, first_id: int, last_id: int, bids: Levels, asks: Levels, event_ms: int) -> bytes:
    """Write a DepthDiffStreamEvent."""
    root = DIFF_ROOT.pack(event_ms * US_PER_MS, first_id, last_id, EXPONENT, EXPONENT)
    return _head(DEPTH_DIFF, DIFF_ROOT) + root + _levels(bids) + _levels(asks) + _symbol(listed)
