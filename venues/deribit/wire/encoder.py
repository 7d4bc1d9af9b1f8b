"""Writes the UDP payloads of Deribit's legacy multicast feed, as one channel sends them.

`open_packet`, any number of messages, `close_packet`. A message with entries is begun (`begin_book`, ...) and then
takes one entry a call. Every function that adds bytes returns False, having added none, when the packet has no room.
Sides are those of `venues.side`; prices and amounts are the wire's doubles, see `price_of` and `amount_of`.
"""

from math import nan

from crosswire.nic.duration import NS_PER_MS
from crosswire.nic.memory.raw import copy_bytes, fill_bytes
from crosswire.nic.memory.struct import Struct, address_of, i64, size_of, u32, view
from crosswire.nic.unit.compile import compiled
from crosswire.venues.deribit.wire.layout import (
    CURRENCY_BYTES,
    INDEX_NAME_BYTES,
    INSTRUMENT_V2_VERSION,
    NULL_ENUM,
    SCHEMA_ID,
    VERSION,
    Book,
    BookChangeEntry,
    BookSide,
    Direction,
    FrameHeader,
    GroupHeader,
    InstrumentKind,
    InstrumentState,
    InstrumentType,
    InstrumentV2,
    LevelEntry,
    Liquidation,
    MessageHeader,
    Period,
    PriceIndex,
    Snapshot,
    SnapshotEnd,
    SnapshotStart,
    Template,
    TextHeader,
    TickDirection,
    Ticker,
    TickStepEntry,
    TradeEntry,
    Trades,
    YesNo,
)
from crosswire.venues.deribit.wire.layout import Instrument as InstrumentMessage
from crosswire.venues.instrument import E9, SYMBOL_BYTES, Instrument, Kind, Payoff
from crosswire.venues.side import BID, BUY

PAYLOAD_BYTES_MAX = 1458  # the longest in the venue's sample capture
NO_EXPIRY_MS = 32_503_708_800_000  # what the venue sends for perpetuals and spot: the year 3000


class PacketWriter(Struct):
    """One channel's sender: the packet it is writing, and the number of the last one."""

    channel_id: i64
    sequence: u32  # of the last packet; wraps
    start: i64  # address of the packet's first byte
    position: i64  # address of its next byte
    end: i64  # address past its room
    group: i64  # address of the GroupHeader that entries are added to


@compiled
def price_of(instrument: Instrument, price_ticks: int) -> float:
    """The double nearest to a price, as the venue sends it."""
    return price_ticks * instrument.tick_e9 / E9


@compiled
def amount_of(instrument: Instrument, qty_lots: int) -> float:
    """The double nearest to a size in the size currency."""
    return qty_lots * instrument.lot_e9 / E9


@compiled
def open_packet(writer: PacketWriter, address: int, capacity_bytes: int) -> None:
    """Begin the channel's next packet at `address`; there must be room for its header."""
    writer.start = address
    writer.position = address + size_of(FrameHeader)
    writer.end = address + capacity_bytes
    writer.sequence += 1
    header = view(FrameHeader, address)
    header.channel_id = writer.channel_id
    header.sequence = writer.sequence


@compiled
def close_packet(writer: PacketWriter) -> int:
    """Finish the packet; its length in bytes."""
    view(FrameHeader, writer.start).packet_length = writer.position - writer.start - size_of(FrameHeader)
    return writer.position - writer.start


@compiled
def begin_message(
    writer: PacketWriter, template_id: int, root_bytes: int, entry_bytes: int, group_count: int, text_bytes: int
) -> int:
    """Add a header, a zeroed root block, an empty group if there is one; the root's address, 0 without room for all."""
    root = writer.position + size_of(MessageHeader)
    group = root + root_bytes
    texts = group + group_count * size_of(GroupHeader)
    if texts + text_bytes > writer.end:
        return 0
    header = view(MessageHeader, writer.position)
    header.block_length = root_bytes
    header.template_id = template_id
    header.schema_id = SCHEMA_ID
    header.version = INSTRUMENT_V2_VERSION if template_id == Template.INSTRUMENT_V2 else VERSION
    header.group_count = group_count
    header.text_count = 1 if text_bytes != 0 else 0
    fill_bytes(root, 0, texts - root)
    if group_count != 0:
        view(GroupHeader, group).block_length = entry_bytes
        writer.group = group
    writer.position = texts
    return root


@compiled
def next_entry(writer: PacketWriter, entry_bytes: int) -> int:
    """Add an entry to the last group; its address, or 0."""
    entry = writer.position
    if entry + entry_bytes > writer.end:
        return 0
    view(GroupHeader, writer.group).entry_count += 1
    writer.position += entry_bytes
    return entry


@compiled
def to_book_side(side: int) -> int:
    return BookSide.BID if side == BID else BookSide.ASK


@compiled
def begin_book(
    writer: PacketWriter, instrument_id: int, timestamp_ms: int, prev_change_id: int, change_id: int
) -> bool:
    """Begin a Book message; `add_change` adds to it."""
    root = begin_message(writer, Template.BOOK, size_of(Book), size_of(BookChangeEntry), 1, 0)
    if root == 0:
        return False
    book = view(Book, root)
    book.instrument_id = instrument_id
    book.timestamp_ms = timestamp_ms
    book.prev_change_id = prev_change_id
    book.change_id = change_id
    book.is_last = YesNo.YES
    return True


@compiled
def add_change(writer: PacketWriter, side: int, change: int, price: float, amount: float) -> bool:
    """Add one level change (`BookChange`) to the Book message begun last."""
    entry = next_entry(writer, size_of(BookChangeEntry))
    if entry == 0:
        return False
    level = view(BookChangeEntry, entry)
    level.side = to_book_side(side)
    level.change = change
    level.price = price
    level.amount = amount
    return True


@compiled
def begin_snapshot(
    writer: PacketWriter, instrument_id: int, timestamp_ms: int, change_id: int, is_last_in_book: int
) -> bool:
    """Begin one part of a snapshot; `add_level` adds to it."""
    root = begin_message(writer, Template.SNAPSHOT, size_of(Snapshot), size_of(LevelEntry), 1, 0)
    if root == 0:
        return False
    snapshot = view(Snapshot, root)
    snapshot.instrument_id = instrument_id
    snapshot.timestamp_ms = timestamp_ms
    snapshot.change_id = change_id
    snapshot.is_book_complete = YesNo.YES
    snapshot.is_last_in_book = is_last_in_book
    return True


@compiled
def add_level(writer: PacketWriter, side: int, price: float, amount: float) -> bool:
    """Add one level to the Snapshot message begun last."""
    entry = next_entry(writer, size_of(LevelEntry))
    if entry == 0:
        return False
    level = view(LevelEntry, entry)
    level.side = to_book_side(side)
    level.price = price
    level.amount = amount
    return True


@compiled
def begin_trades(writer: PacketWriter, instrument_id: int) -> bool:
    """Begin a Trades message; `add_trade` adds to it."""
    root = begin_message(writer, Template.TRADES, size_of(Trades), size_of(TradeEntry), 1, 0)
    if root == 0:
        return False
    view(Trades, root).instrument_id = instrument_id
    return True


@compiled
def add_trade(writer: PacketWriter, side: int, price: float, amount: float, timestamp_ms: int, trade_id: int) -> bool:
    """Add a trade to the Trades message begun last; `side` is the aggressor's. Mark and index are put at its price."""
    entry = next_entry(writer, size_of(TradeEntry))
    if entry == 0:
        return False
    trade = view(TradeEntry, entry)
    trade.direction = Direction.BUY if side == BUY else Direction.SELL
    trade.price = price
    trade.amount = amount
    trade.timestamp_ms = timestamp_ms
    trade.mark_price = price
    trade.index_price = price
    trade.trade_seq = trade_id
    trade.trade_id = trade_id
    trade.tick_direction = TickDirection.PLUS
    trade.liquidation = Liquidation.NONE
    trade.iv = nan
    trade.block_trade_id = 0
    trade.combo_trade_id = 0
    return True


@compiled
def write_ticker(
    writer: PacketWriter,
    instrument_id: int,
    timestamp_ms: int,
    bid_price: float,
    bid_amount: float,
    ask_price: float,
    ask_amount: float,
) -> bool:
    """Write best prices of an open instrument, an empty side as zeros; what else a Ticker tells is null."""
    root = begin_message(writer, Template.TICKER, size_of(Ticker), 0, 0, 0)
    if root == 0:
        return False
    ticker = view(Ticker, root)
    ticker.instrument_id = instrument_id
    ticker.instrument_state = InstrumentState.OPEN
    ticker.timestamp_ms = timestamp_ms
    ticker.open_interest = ticker.min_sell_price = ticker.max_buy_price = nan
    ticker.last_price = ticker.index_price = ticker.mark_price = nan
    ticker.best_bid_price = bid_price
    ticker.best_bid_amount = bid_amount
    ticker.best_ask_price = ask_price
    ticker.best_ask_amount = ask_amount
    ticker.current_funding = ticker.funding_8h = nan
    ticker.estimated_delivery_price = ticker.delivery_price = ticker.settlement_price = nan
    return True


@compiled
def write_snapshot_start(writer: PacketWriter, snapshot_delay: int) -> bool:
    root = begin_message(writer, Template.SNAPSHOT_START, size_of(SnapshotStart), 0, 0, 0)
    if root == 0:
        return False
    view(SnapshotStart, root).snapshot_delay = snapshot_delay
    return True


@compiled
def write_snapshot_end(writer: PacketWriter) -> bool:
    return begin_message(writer, Template.SNAPSHOT_END, size_of(SnapshotEnd), 0, 0, 0) != 0


@compiled
def write_price_index(writer: PacketWriter, name: PriceIndex, price: float, timestamp_ms: int) -> bool:
    """Write a price; `name` is a PriceIndex whose `index_name` is taken."""
    root = begin_message(writer, Template.PRICE_INDEX, size_of(PriceIndex), 0, 0, 0)
    if root == 0:
        return False
    index = view(PriceIndex, root)
    copy_bytes(address_of(index.index_name), address_of(name.index_name), INDEX_NAME_BYTES)
    index.price = price
    index.timestamp_ms = timestamp_ms
    return True


@compiled
def write_definition(writer: PacketWriter, instrument: Instrument, instrument_id: int) -> bool:
    """Write an Instrument message, then the InstrumentV2 message that supersedes it, without tick steps."""
    length = 0
    while length < SYMBOL_BYTES and instrument.symbol[length] != 0:
        length += 1
    before = writer.position
    text_bytes = size_of(TextHeader) + length
    root = begin_message(writer, Template.INSTRUMENT, size_of(InstrumentMessage), 0, 0, text_bytes)
    if root == 0:
        return False
    fill_definition(view(InstrumentMessage, root), instrument, instrument_id)
    add_text(writer, instrument, length)
    root = begin_message(writer, Template.INSTRUMENT_V2, size_of(InstrumentV2), size_of(TickStepEntry), 1, text_bytes)
    if root == 0:
        writer.position = before
        return False
    fill_definition(view(InstrumentV2, root), instrument, instrument_id)
    add_text(writer, instrument, length)
    return True


@compiled
def add_text(writer: PacketWriter, instrument: Instrument, length: int) -> None:
    """Add the instrument's name, for which `begin_message` left room."""
    view(TextHeader, writer.position).length = length
    copy_bytes(writer.position + size_of(TextHeader), address_of(instrument.symbol), length)
    writer.position += size_of(TextHeader) + length


@compiled
def to_instrument_kind(kind: int) -> int:
    if kind == Kind.OPTION:
        return InstrumentKind.OPTION
    if kind == Kind.COMBO:
        return InstrumentKind.FUTURE_COMBO
    return InstrumentKind.SPOT if kind == Kind.SPOT else InstrumentKind.FUTURE


@compiled
def to_settlement_period(kind: int) -> int:
    if kind == Kind.SPOT:
        return NULL_ENUM
    return Period.PERPETUAL if kind == Kind.PERPETUAL else Period.WEEK


@compiled
def fill_definition(message: InstrumentMessage | InstrumentV2, instrument: Instrument, instrument_id: int) -> None:
    """Fill in the root block of either definition; what `Instrument` does not know is null."""
    message.instrument_id = instrument_id
    message.state = InstrumentState.OPEN
    message.kind = to_instrument_kind(instrument.kind)
    message.settlement_period = to_settlement_period(instrument.kind)
    message.settlement_period_count = 1
    copy_bytes(address_of(message.base_currency), address_of(instrument.base), CURRENCY_BYTES)
    copy_bytes(address_of(message.quote_currency), address_of(instrument.quote), CURRENCY_BYTES)
    copy_bytes(address_of(message.counter_currency), address_of(instrument.quote), CURRENCY_BYTES)
    copy_bytes(address_of(message.settlement_currency), address_of(instrument.settlement), CURRENCY_BYTES)
    if instrument.payoff == Payoff.INVERSE:
        message.instrument_type = InstrumentType.REVERSED
        copy_bytes(address_of(message.size_currency), address_of(instrument.quote), CURRENCY_BYTES)
    else:
        message.instrument_type = InstrumentType.LINEAR
        copy_bytes(address_of(message.size_currency), address_of(instrument.base), CURRENCY_BYTES)
    has_expiry = instrument.expiry_ns != 0
    message.expiration_timestamp_ms = instrument.expiry_ns // NS_PER_MS if has_expiry else NO_EXPIRY_MS
    message.strike = nan
    message.contract_size = instrument.contract_e9 / E9
    message.min_trade_amount = instrument.lot_e9 / E9
    message.tick_size = instrument.tick_e9 / E9
    message.maker_commission = instrument.maker_fee_e9 / E9
    message.taker_commission = instrument.taker_fee_e9 / E9
    message.max_liquidation_commission = nan
    message.max_leverage = nan
