"""Binance's spot SBE market data streams, schema 1 version 0: the messages that are read here.

Source: stream_1_0.xml of binance/binance-spot-api-docs. A websocket frame is one message: header, root block, groups,
and the symbol. Times are microseconds; a value is its mantissa times ten to the exponent in the root block.
"""

from enum import IntEnum

from crosswire.nic.memory.struct import Struct, StructMeta, i8, i64, u8, u16, u32
from crosswire.venues.layout import Message

SCHEMA_ID = 1


class MessageHeader(Struct, packed=True):
    block_length: u16
    template_id: u16
    schema_id: u16
    version: u16


class GroupHeader(Struct, packed=True):
    """Of levels."""

    block_length: u16  # of one entry
    num_in_group: u16


class TradeGroupHeader(Struct, packed=True):
    block_length: u16  # of one entry
    num_in_group: u32


class Trades(Struct, packed=True):
    event_time: i64
    transact_time: i64
    price_exponent: i8
    qty_exponent: i8


class Trade(Struct, packed=True):
    id: i64
    price: i64
    qty: i64
    is_buyer_maker: u8


class BestBidAsk(Struct, packed=True):
    event_time: i64
    book_update_id: i64
    price_exponent: i8
    qty_exponent: i8
    bid_price: i64
    bid_qty: i64
    ask_price: i64
    ask_qty: i64


class DepthDiff(Struct, packed=True):
    event_time: i64
    first_book_update_id: i64
    last_book_update_id: i64
    price_exponent: i8
    qty_exponent: i8


class Level(Struct, packed=True):
    price: i64
    qty: i64


class Template(IntEnum):
    TRADES = 10_000
    BEST_BID_ASK = 10_001
    DEPTH_SNAPSHOT = 10_002  # not subscribed to: partial depth
    DEPTH_DIFF = 10_003


_SIDES: dict[str, StructMeta] = {"bids": Level, "asks": Level}

MESSAGES = (
    Message("TradesStreamEvent", Template.TRADES, Trades, {"trades": Trade}, ("symbol",)),
    Message("BestBidAskStreamEvent", Template.BEST_BID_ASK, BestBidAsk, {}, ("symbol",)),
    Message("DepthDiffStreamEvent", Template.DEPTH_DIFF, DepthDiff, _SIDES, ("symbol",)),
)
