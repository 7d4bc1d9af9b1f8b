"""Starbase market data: wire layouts of SBE schema 2102, version 1, order by order, over UDP, little-endian.

A packet is a `PacketHeader` and `message_count` messages back to back. A message is a `MessageHeader`, its root block,
its groups (a `GroupHeader` and entries each) and zeros up to a multiple of MESSAGE_ALIGNMENT_BYTES; `length` counts all
of that, so a reader steps by it.

Source: Deribit's schema (docs.deribit.com/starbase, market data). `InstrumentInfo` changed on 2026-08-07 without a new
version; this is the layout since.
"""

from enum import IntEnum, IntFlag
from typing import Annotated

from crosswire.nic.memory.struct import Array, Struct, f64, i8, i32, i64, u8, u16, u32
from crosswire.venues.layout import Message, WireLayout
from crosswire.venues.starbase.wire.order_layout import GroupHeader

SCHEMA_ID = 2102
VERSION = 1
MESSAGE_ALIGNMENT_BYTES = 8
PACKET_BYTES_MAX = 1400
RETRANSMIT_MESSAGES_MAX = 255  # of one request
NAME_BYTES = 128
UNDERLYING_BYTES = 64
ASSET_BYTES = 8


class Template(IntEnum):
    INSTRUMENT_DEFINITION = 10
    INDEX_DEFINITION = 11
    INDEX_INFO = 12
    INSTRUMENT_INFO = 14
    INSTRUMENT_REF = 15
    INSTRUMENT_STATUS_UPDATE = 16
    BID_PUT = 20
    ASK_PUT = 21
    BID_QUANTITY_REDUCED = 22
    ASK_QUANTITY_REDUCED = 23
    BID_DELETE = 24
    ASK_DELETE = 25
    TRADE_SUMMARY = 30
    TRADE = 31
    BLOCK_TRADE = 33
    SNAPSHOT_HEADER = 100
    SNAPSHOT_TRAILER = 101
    END_OF_CYCLE = 119
    RETRANSMIT_REQUEST = 200
    RETRANSMIT_REJECT = 202


class InstrumentType(IntEnum):
    PERP_FUTURE = 0
    OPTION = 1
    SPOT = 2
    FUTURE_COMBO = 3
    OPTION_COMBO = 4
    DATED_FUTURE = 5


class InstrumentFlags(IntFlag):
    IS_REVERSED = 1 << 0
    IS_PUT_OPTION = 1 << 1
    IS_PERPETUAL = 1 << 2


class InstrumentStatus(IntEnum):
    OPEN = 0
    INACTIVE = 1
    SETTLEMENT = 2
    DELIVERED = 3
    LOCKED = 4
    HALTED = 5


class TradeFlags(IntFlag):
    IS_SELL = 1 << 0
    IS_LIQUIDATION = 1 << 1


class RetransmitRejectReason(IntEnum):
    SEQUENCE_TOO_LOW = 1
    SEQUENCE_TOO_HIGH = 2
    RATE_LIMIT_EXCEEDED = 3
    OTHER_ERROR = 4


class PacketType(IntFlag):
    """Of `PacketHeader.type`. An answer to a retransmit request is INCREMENTAL | RETRANSMIT, a reject of one 0."""

    INCREMENTAL = 1 << 0
    SNAPSHOT = 1 << 1
    RETRANSMIT = 1 << 2


class MessageFlags(IntFlag):
    """Of `MessageHeader.flags`."""

    START_OF_TRANSACTION = 1 << 0
    END_OF_TRANSACTION = 1 << 1


class PacketHeader(Struct, packed=True):
    send_time_ns: i64  # since the epoch
    sequence: i64  # of the first message; the next packet's is this + message_count. A heartbeat has count 0
    channel_id: i32
    type: u16  # PacketType
    message_count: u16


class MessageHeader(Struct, packed=True):
    length: u16  # of the message, this header and the padding included, bytes
    template_id: u16  # Template
    version: u16
    flags: u16  # MessageFlags
    transact_time_ns: i64  # since the epoch


class LargeTickSize(Struct, packed=True):
    large_tick_size_e9: i64
    threshold_price_e9: i64


class ComboLeg(Struct, packed=True):
    leg_instrument_id: i64
    ratio: i8


class InstrumentDefinition(Struct, packed=True):
    instrument_id: i64
    name: Annotated[Array, u8, 128]
    index_id: i64
    underlying: Annotated[Array, u8, 64]
    quantity_asset: Annotated[Array, u8, 8]
    price_asset: Annotated[Array, u8, 8]
    expiry_ns: i64  # NULL_I64: none
    strike_price_e9: i64  # NULL_I64: none
    min_order_quantity: i64
    tick_size_e9: i64
    quantity_exponent: i8
    type: i8  # InstrumentType
    flags: u8  # InstrumentFlags
    status: i8  # InstrumentStatus


class IndexDefinition(Struct, packed=True):
    index_id: i64
    name: Annotated[Array, u8, 128]


class IndexInfo(Struct, packed=True):
    index_id: i64
    index_price_e9: i64


class InstrumentInfo(Struct, packed=True):
    instrument_id: i64
    min_sell_price_e9: i64
    max_buy_price_e9: i64
    mark_price_e9: i64


class InstrumentRef(Struct, packed=True):
    instrument_id: i64
    current_funding: f64  # NaN: none
    funding_8h: f64  # NaN: none
    estimated_delivery_price_e9: i64  # NULL_I64: none
    delivery_price_e9: i64  # NULL_I64: none
    settlement_price_e9: i64  # NULL_I64: none
    open_interest: f64  # NaN: none


class InstrumentStatusUpdate(Struct, packed=True):
    instrument_id: i64
    trading_status: i8  # InstrumentStatus


class OrderBlock(Struct, packed=True):
    """How the root block of every message about one resting order begins."""

    order_id: i64
    instrument_id: i64


class Put(OrderBlock):
    """A new order, or a changed one: its place in the queue is `sort_order_id` alone, ascending."""

    quantity_mantissa: i64
    price_e9: i64
    sort_order_id: i64


class QuantityReduced(OrderBlock):
    """The order's new quantity; it keeps its place."""

    quantity_mantissa: i64


class Delete(OrderBlock):
    """No fields of its own."""


class TradeSummary(Struct, packed=True):
    instrument_id: i64
    taker_order_id: i64
    total_filled_mantissa: i64
    deepest_price_e9: i64
    mark_price_e9: i64
    index_price_e9: i64
    trade_count: i32
    taker_flags: u32  # TradeFlags


class Trade(Struct, packed=True):
    match_id: i64
    instrument_id: i64
    maker_order_id: i64  # NULL_I64: none
    fill_quantity_mantissa: i64
    fill_price_e9: i64
    maker_flags: u32  # TradeFlags


class BlockTrade(Struct, packed=True):
    match_id: i64
    instrument_id: i64
    block_trade_id: i64
    block_rfq_id: i64  # NULL_I64: none
    fill_quantity_mantissa: i64
    fill_price_e9: i64
    mark_price_e9: i64
    index_price_e9: i64
    implied_volatility: f64  # NaN: none
    taker_flags: u32  # TradeFlags
    number_of_legs: u16


class SnapshotHeader(Struct, packed=True):
    instrument_id: i64
    incremental_timestamp_ns: i64
    incremental_sequence: i64


class SnapshotTrailer(Struct, packed=True):
    instrument_id: i64
    timestamp_ns: i64
    incremental_sequence: i64


class EndOfCycle(Struct, packed=True):
    active_instrument_count: i32


class RetransmitRequest(Struct, packed=True):
    begin_sequence: i64
    message_count: u8


class RetransmitReject(Struct, packed=True):
    retry_delay_ns: i64
    details: Annotated[Array, u8, 40]
    reason: i8  # RetransmitRejectReason


MESSAGES = (
    Message(
        "InstrumentDefinition",
        Template.INSTRUMENT_DEFINITION,
        InstrumentDefinition,
        {"large_tick_sizes": LargeTickSize, "legs": ComboLeg},
    ),
    Message("IndexDefinition", Template.INDEX_DEFINITION, IndexDefinition),
    Message("IndexInfo", Template.INDEX_INFO, IndexInfo),
    Message("InstrumentInfo", Template.INSTRUMENT_INFO, InstrumentInfo),
    Message("InstrumentRef", Template.INSTRUMENT_REF, InstrumentRef),
    Message("InstrumentStatusUpdate", Template.INSTRUMENT_STATUS_UPDATE, InstrumentStatusUpdate),
    Message("BidPut", Template.BID_PUT, Put),
    Message("AskPut", Template.ASK_PUT, Put),
    Message("BidQtyReduced", Template.BID_QUANTITY_REDUCED, QuantityReduced),
    Message("AskQtyReduced", Template.ASK_QUANTITY_REDUCED, QuantityReduced),
    Message("BidDelete", Template.BID_DELETE, Delete),
    Message("AskDelete", Template.ASK_DELETE, Delete),
    Message("TradeSummary", Template.TRADE_SUMMARY, TradeSummary),
    Message("Trade", Template.TRADE, Trade),
    Message("BlockTrade", Template.BLOCK_TRADE, BlockTrade),
    Message("SnapshotHeader", Template.SNAPSHOT_HEADER, SnapshotHeader),
    Message("SnapshotTrailer", Template.SNAPSHOT_TRAILER, SnapshotTrailer),
    Message("EndOfCycle", Template.END_OF_CYCLE, EndOfCycle),
    Message("RetransmitRequest", Template.RETRANSMIT_REQUEST, RetransmitRequest),
    Message("RetransmitReject", Template.RETRANSMIT_REJECT, RetransmitReject),
)

WIRE = WireLayout(
    messages=MESSAGES,
    packet_header=PacketHeader,
    message_header=MessageHeader,
    group_header=GroupHeader,
    entry_count="count",
    message_length="length",
)
