"""Wire format of the `bridge` feed: Crosswire's own binary market data for exchanges that offer only TLS web APIs.

Little-endian and SBE-style, so that the usual rules hold: step by the block length on the wire, newer versions append
fields. One UDP payload is a `PacketHeader` and `message_count` messages back to back; a message is a `MessageHeader`,
its root block, then its groups, each a `GroupHeader` and its entries.

* Packets of a channel count up by one (`sequence`, from 1), whatever they carry. A lower number that was sent later is
  a restarted publisher.
* Prices are ticks and sizes are lots of the instrument, as its `InstrumentDefinition` on the same channel gives them.
* An event is one change of one book. One that does not fit a packet is split: its parts repeat the ids, all but the
  first carry `CONTINUATION`, it begins a packet of its own, and only its last packet has `END_OF_EVENT`. A book
  between the first and the last part is nobody's business.
* A delta's sizes are absolute; size 0 removes the level. It applies to the book whose last id is its `previous_id`;
  the first one after a snapshot may begin before the snapshot's id, as long as it ends after it.
* A time of 0 is one that the exchange did not give.
* What a mark price and a funding rate are is the exchange's word: no book depends on them, and most readers pass over
  them. A reader of a release without `MarkPrice` counts each as of an unknown kind, and loses nothing.
"""

from enum import IntEnum
from typing import Annotated

from crosswire.nic.memory.struct import Array, Struct, StructMeta, i64, u8, u16, u32, u64
from crosswire.venues.instrument import CURRENCY_BYTES, SYMBOL_BYTES
from crosswire.venues.layout import Message, WireLayout

SCHEMA_ID = 0x4258  # "XB"
SCHEMA_VERSION = 1
VALUE_BITS = 52  # prices in ticks and sizes in lots are below 2**52: what is beyond is damage
UNIT_E9_MAX = 1 << 60  # a tick, lot or contract beyond 1e9 units is damage
PAYLOAD_BYTES_MAX = 1472  # Ethernet's 1,500 less 20 of IPv4 and 8 of UDP: a packet is never fragmented


class PacketFlag(IntEnum):
    END_OF_EVENT = 1  # the last packet of one event


class PartFlag(IntEnum):
    CONTINUATION = 1  # continues the event of the packet before


class PacketHeader(Struct, packed=True):
    sequence: u64  # of the packet within its channel, from 1
    send_time_ns: u64  # of the publisher, since the epoch
    channel_id: u16
    message_count: u16
    flags: u16  # PacketFlag
    length: u16  # of the whole UDP payload, this header included, bytes


class MessageHeader(Struct, packed=True):
    block_length: u16  # of the root block, bytes
    template_id: u16  # Template
    schema_id: u16
    version: u16


class GroupHeader(Struct, packed=True):
    block_length: u16  # of one entry, bytes
    num_in_group: u16


class Level(Struct, packed=True):
    price_ticks: i64
    qty_lots: i64  # 0 in a delta removes the level


class InstrumentId(Struct, packed=True):
    """How the root block of every message but the heartbeat begins."""

    instrument_id: u32


class InstrumentDefinition(Struct, packed=True):
    instrument_id: u32  # unique among the publisher's channels
    kind: u8  # venues.instrument.Kind
    payoff: u8  # venues.instrument.Payoff
    tick_e9: i64  # price of one tick, 1e-9 of the quote currency
    lot_e9: i64  # size of one lot, 1e-9 of the size currency (base coin; quote currency if inverse)
    contract_e9: i64  # size of what the exchange calls one, 1e-9 of the size currency
    maker_fee_e9: i64  # 1e-9 of notional; negative is a rebate
    taker_fee_e9: i64  # 1e-9 of notional
    expiry_ns: u64  # 0: never
    symbol: Annotated[Array, u8, SYMBOL_BYTES]  # zero-padded ASCII, as are the currencies
    base: Annotated[Array, u8, CURRENCY_BYTES]
    quote: Annotated[Array, u8, CURRENCY_BYTES]
    settlement: Annotated[Array, u8, CURRENCY_BYTES]


class BookDelta(Struct, packed=True):
    instrument_id: u32
    exchange_time_ns: u64
    first_id: u64  # first and last of the exchange's update ids in here
    last_id: u64
    previous_id: u64  # last_id of the delta before
    flags: u8  # PartFlag


class BestBidAsk(Struct, packed=True):
    instrument_id: u32
    exchange_time_ns: u64
    update_id: u64  # counts with the ids of the deltas
    bid_price_ticks: i64
    bid_qty_lots: i64  # 0: no bid
    ask_price_ticks: i64
    ask_qty_lots: i64  # 0: no ask


class Trade(Struct, packed=True):
    instrument_id: u32
    exchange_time_ns: u64
    trade_id: u64
    price_ticks: i64
    qty_lots: i64
    aggressor_side: u8  # venues.side: 0 buy, 1 sell


class Snapshot(Struct, packed=True):
    """The whole book as of `last_id`; what was known before is forgotten."""

    instrument_id: u32
    exchange_time_ns: u64
    last_id: u64
    flags: u8  # PartFlag


class Heartbeat(Struct, packed=True):
    interval_ns: u64  # the channel is never silent for longer


class MarkPrice(Struct, packed=True):
    """What positions are valued at, and the payment of funding that is next."""

    instrument_id: u32
    exchange_time_ns: u64
    mark_price_e9: i64  # 1e-9 of the quote currency
    index_price_e9: i64  # the same; 0: not told
    funding_rate_e9: i64  # 1e-9 of the position's value, of the payment at `next_funding_ns`; positive: longs pay
    next_funding_ns: u64  # 0: there is no funding, as of a dated future


class Template(IntEnum):
    INSTRUMENT_DEFINITION = 1
    BOOK_DELTA = 2
    BEST_BID_ASK = 3
    TRADE = 4
    SNAPSHOT = 5
    HEARTBEAT = 6
    MARK_PRICE = 7


_BOOK_SIDES: dict[str, StructMeta] = {"bids": Level, "asks": Level}

# A kind's place here is its place in `Feed.messages`: one less than its template id.
MESSAGES = (
    Message("InstrumentDefinition", Template.INSTRUMENT_DEFINITION, InstrumentDefinition),
    Message("BookDelta", Template.BOOK_DELTA, BookDelta, _BOOK_SIDES),
    Message("BestBidAsk", Template.BEST_BID_ASK, BestBidAsk),
    Message("Trade", Template.TRADE, Trade),
    Message("Snapshot", Template.SNAPSHOT, Snapshot, _BOOK_SIDES),
    Message("Heartbeat", Template.HEARTBEAT, Heartbeat),
    Message("MarkPrice", Template.MARK_PRICE, MarkPrice),
)

WIRE = WireLayout(
    messages=MESSAGES,
    packet_header=PacketHeader,
    message_header=MessageHeader,
    group_header=GroupHeader,
    entry_count="num_in_group",
)
