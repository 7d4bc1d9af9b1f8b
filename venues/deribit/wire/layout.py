"""Deribit multicast feed, legacy edition: wire layouts of SBE schema 1 (header version 2; InstrumentV2: 3).

A UDP payload is one `FrameHeader`, then messages back to back to its end. A message is a `MessageHeader`, its root
block, its groups (a `GroupHeader` and entries each), and its texts (one length byte and the bytes each). Everything is
little-endian and nothing is aligned. Every block is stepped over by the block length on the wire, so a newer version
that appends fields is still read.

Source: Deribit's multicast client pack (sample_capture_v1_6), each message decoded byte for byte against its capture.
Null: 255 for an enum, NaN for a double, all ones for an id.
"""

from enum import IntEnum
from typing import Annotated

from crosswire.nic.memory.struct import Array, Struct, f64, i32, u8, u16, u32, u64
from crosswire.venues.layout import Message, WireLayout

SCHEMA_ID = 1
VERSION = 2
INSTRUMENT_V2_VERSION = 3
CURRENCY_BYTES = 8
INDEX_NAME_BYTES = 16
NULL_ENUM = 255
NULL_ID = -1  # a u64 of all ones, as it is read

Currency = Annotated[Array, u8, CURRENCY_BYTES]


class Template(IntEnum):
    """Template ids. They count up without a hole, so a message's place in `MESSAGES` is its id less the first."""

    INSTRUMENT = 1000
    BOOK = 1001
    TRADES = 1002
    TICKER = 1003
    SNAPSHOT = 1004
    SNAPSHOT_START = 1005
    SNAPSHOT_END = 1006
    COMBO_LEGS = 1007
    PRICE_INDEX = 1008
    RFQ = 1009
    INSTRUMENT_V2 = 1010


class YesNo(IntEnum):
    NO = 0
    YES = 1


class BookSide(IntEnum):
    ASK = 0
    BID = 1


class BookChange(IntEnum):
    CREATED = 0
    CHANGED = 1
    DELETED = 2


class Direction(IntEnum):
    BUY = 0
    SELL = 1
    NONE = 2  # Rfq only


class TickDirection(IntEnum):
    PLUS = 0
    ZERO_PLUS = 1
    MINUS = 2
    ZERO_MINUS = 3


class Liquidation(IntEnum):
    NONE = 0
    MAKER = 1
    TAKER = 2
    BOTH = 3


class InstrumentState(IntEnum):
    """4 and up are known from third-party code only."""

    CREATED = 0
    OPEN = 1
    CLOSED = 2
    SETTLED = 3
    DEACTIVATED = 4
    INACTIVE = 5
    STARTED = 6


class InstrumentKind(IntEnum):
    FUTURE = 0
    OPTION = 1
    FUTURE_COMBO = 2
    OPTION_COMBO = 3
    SPOT = 4


class InstrumentType(IntEnum):
    NOT_APPLICABLE = 0
    REVERSED = 1  # settled in the base coin
    LINEAR = 2


class OptionType(IntEnum):
    NOT_APPLICABLE = 0
    CALL = 1
    PUT = 2


class Period(IntEnum):
    """Settlement period; null for spot."""

    PERPETUAL = 0
    MINUTE = 1
    HOUR = 2
    DAY = 3
    WEEK = 4
    MONTH = 5
    YEAR = 6


class FrameHeader(Struct, packed=True):
    """First bytes of a UDP payload."""

    packet_length: u16  # bytes that follow this header
    channel_id: u16
    sequence: u32  # per channel, counts packets up by 1, wraps


class MessageHeader(Struct, packed=True):
    block_length: u16  # of the root block
    template_id: u16
    schema_id: u16
    version: u16
    group_count: u16
    text_count: u16


class GroupHeader(Struct, packed=True):
    block_length: u16  # of one entry
    entry_count: u16
    group_count: u16  # groups inside an entry: always 0
    text_count: u16  # texts inside an entry: always 0


class TextHeader(Struct, packed=True):
    length: u8


class Instrument(Struct, packed=True):
    """Definition; text `instrument_name`. Superseded by `InstrumentV2`, which follows it in the same packet."""

    instrument_id: u32
    state: u8  # InstrumentState
    kind: u8  # InstrumentKind
    instrument_type: u8  # InstrumentType
    option_type: u8  # OptionType
    rfq: u8  # YesNo
    settlement_period: u8  # Period
    settlement_period_count: u16
    base_currency: Currency
    quote_currency: Currency
    counter_currency: Currency
    settlement_currency: Currency
    size_currency: Currency  # of every amount
    creation_timestamp_ms: u64
    expiration_timestamp_ms: u64
    strike: f64
    contract_size: f64
    min_trade_amount: f64
    tick_size: f64
    maker_commission: f64  # fraction of the notional
    taker_commission: f64
    block_trade_commission: f64
    max_liquidation_commission: f64
    max_leverage: f64


class InstrumentBlock(Struct, packed=True):
    """How the root block of every message about one instrument begins."""

    instrument_id: u32


class Book(InstrumentBlock):
    """Changes of one book, group `changes`. Ids chain: `prev_change_id` is the instrument's last `change_id`."""

    timestamp_ms: u64
    prev_change_id: u64
    change_id: u64
    is_last: u8  # YesNo: 0 when more of the same change follows


class BookChangeEntry(Struct, packed=True):
    side: u8  # BookSide
    change: u8  # BookChange
    price: f64
    amount: f64  # what now rests at the price; 0 when deleted


class Trades(InstrumentBlock):
    """Group `trades`."""


class TradeEntry(Struct, packed=True):
    direction: u8  # Direction, of the aggressor
    price: f64
    amount: f64
    timestamp_ms: u64
    mark_price: f64
    index_price: f64
    trade_seq: u64
    trade_id: u64
    tick_direction: u8  # TickDirection
    liquidation: u8  # Liquidation
    iv: f64
    block_trade_id: u64
    combo_trade_id: u64


class Ticker(InstrumentBlock):
    """Comes before the Book message of the same event, and shows the state after it. Empty side: price and amount 0."""

    instrument_state: u8  # InstrumentState
    timestamp_ms: u64
    open_interest: f64
    min_sell_price: f64
    max_buy_price: f64
    last_price: f64
    index_price: f64
    mark_price: f64
    best_bid_price: f64
    best_bid_amount: f64
    best_ask_price: f64
    best_ask_amount: f64
    current_funding: f64
    funding_8h: f64
    estimated_delivery_price: f64
    delivery_price: f64
    settlement_price: f64


class Snapshot(InstrumentBlock):
    """A part of one whole book, group `levels`; parts of one snapshot have the same `change_id`."""

    timestamp_ms: u64
    change_id: u64
    is_book_complete: u8  # YesNo
    is_last_in_book: u8  # YesNo: 0 when another part follows


class LevelEntry(Struct, packed=True):
    side: u8  # BookSide
    price: f64
    amount: f64


class SnapshotStart(Struct, packed=True):
    snapshot_delay: u32


class SnapshotEnd(Struct, packed=True):
    """No fields."""


class ComboLegs(InstrumentBlock):
    """Group `legs`."""


class LegEntry(Struct, packed=True):
    leg_instrument_id: u32
    leg_size: i32


class PriceIndex(Struct, packed=True):
    index_name: Annotated[Array, u8, INDEX_NAME_BYTES]
    price: f64
    timestamp_ms: u64


class Rfq(InstrumentBlock):
    state: u8
    side: u8  # Direction
    amount: f64
    timestamp_ms: u64


class InstrumentV2(Struct, packed=True):
    """Definition; text `instrument_name`, group `tick_steps`. `Instrument` without `rfq`."""

    instrument_id: u32
    state: u8  # InstrumentState
    kind: u8  # InstrumentKind
    instrument_type: u8  # InstrumentType
    option_type: u8  # OptionType
    settlement_period: u8  # Period
    settlement_period_count: u16
    base_currency: Currency
    quote_currency: Currency
    counter_currency: Currency
    settlement_currency: Currency
    size_currency: Currency  # of every amount
    creation_timestamp_ms: u64
    expiration_timestamp_ms: u64
    strike: f64
    contract_size: f64
    min_trade_amount: f64
    tick_size: f64
    maker_commission: f64  # fraction of the notional
    taker_commission: f64
    block_trade_commission: f64
    max_liquidation_commission: f64
    max_leverage: f64


class TickStepEntry(Struct, packed=True):
    above_price: f64  # prices above this one
    tick_size: f64  # are multiples of this


MESSAGES: tuple[Message, ...] = (
    Message("instrument", Template.INSTRUMENT, Instrument, texts=("instrument_name",)),
    Message("book", Template.BOOK, Book, {"changes": BookChangeEntry}),
    Message("trades", Template.TRADES, Trades, {"trades": TradeEntry}),
    Message("ticker", Template.TICKER, Ticker),
    Message("snapshot", Template.SNAPSHOT, Snapshot, {"levels": LevelEntry}),
    Message("snapshot_start", Template.SNAPSHOT_START, SnapshotStart),
    Message("snapshot_end", Template.SNAPSHOT_END, SnapshotEnd),
    Message("combo_legs", Template.COMBO_LEGS, ComboLegs, {"legs": LegEntry}),
    Message("price_index", Template.PRICE_INDEX, PriceIndex),
    Message("rfq", Template.RFQ, Rfq),
    Message(
        "instrument_v2",
        Template.INSTRUMENT_V2,
        InstrumentV2,
        {"tick_steps": TickStepEntry},
        texts=("instrument_name",),
    ),
)

WIRE = WireLayout(
    messages=MESSAGES,
    packet_header=FrameHeader,
    message_header=MessageHeader,
    group_header=GroupHeader,
    entry_count="entry_count",
    text_header=TextHeader,
)
