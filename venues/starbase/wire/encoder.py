"""Writes the UDP payloads of Starbase's market data: as the simulated exchange publishes them, and for tests.

`begin_packet`, any number of messages, `end_packet`. Every function that adds a message returns False, having added
none, when the packet has no room: end the packet, begin the next one, add it again. Messages between
`begin_transaction` and `end_transaction` are one transaction, over as many packets as it takes. Sides are those of
`venues.side`, prices 1e-9 of the quote currency, quantities mantissas of the instrument's own exponent.
"""

from crosswire.nic.memory.raw import copy_bytes, fill_bytes
from crosswire.nic.memory.struct import Struct, address_of, i64, size_of, view
from crosswire.nic.unit.compile import compiled
from crosswire.venues.instrument import CURRENCY_BYTES, SYMBOL_BYTES, Instrument, Kind, Payoff
from crosswire.venues.side import BID, SELL
from crosswire.venues.starbase.wire.market_layout import (
    MESSAGE_ALIGNMENT_BYTES,
    PACKET_BYTES_MAX,
    VERSION,
    ComboLeg,
    Delete,
    EndOfCycle,
    IndexInfo,
    InstrumentDefinition,
    InstrumentFlags,
    InstrumentInfo,
    InstrumentStatusUpdate,
    InstrumentType,
    LargeTickSize,
    MessageFlags,
    MessageHeader,
    PacketHeader,
    PacketType,
    Put,
    QuantityReduced,
    RetransmitReject,
    RetransmitRequest,
    SnapshotHeader,
    SnapshotTrailer,
    Template,
    Trade,
    TradeFlags,
    TradeSummary,
)
from crosswire.venues.starbase.wire.order_layout import NULL_I64, GroupHeader

LARGE_TICK_BYTES = size_of(LargeTickSize)
LEG_BYTES = size_of(ComboLeg)
# Members of an IntFlag are no integers in compiled code.
START = int(MessageFlags.START_OF_TRANSACTION)
END = int(MessageFlags.END_OF_TRANSACTION)
IS_SELL = int(TradeFlags.IS_SELL)
IS_REVERSED = int(InstrumentFlags.IS_REVERSED)
IS_PERPETUAL = int(InstrumentFlags.IS_PERPETUAL)
TYPE_RETRANSMIT = int(PacketType.RETRANSMIT)


class PacketWriter(Struct):
    """One channel's sender: the packet it is writing, and the number of its next message."""

    channel_id: i64
    type: i64  # PacketType
    sequence: i64  # of the packet's first message; after `end_packet` of the next packet's
    count: i64  # messages in the packet
    start: i64  # address of the packet's first byte
    position: i64  # address of its next byte
    end: i64  # address past its room
    last: i64  # address of the last message's header, 0: the packet has none
    transact_time_ns: i64  # of the next messages
    is_starting: i64  # the next message is the first of a transaction
    is_open: i64  # a transaction has begun and has a message


@compiled
def next_sequence(writer: PacketWriter) -> int:
    """Number of the next message, within a packet or between two."""
    return writer.sequence + writer.count


@compiled
def begin_packet(writer: PacketWriter, address: int, capacity_bytes: int, send_time_ns: int) -> None:
    """Begin a packet at `address`; it never exceeds PACKET_BYTES_MAX, whatever room there is.

    Ended without a message it is a heartbeat.
    """
    assert capacity_bytes >= size_of(PacketHeader)
    writer.count = 0
    writer.start = address
    writer.position = address + size_of(PacketHeader)
    writer.end = address + min(capacity_bytes, PACKET_BYTES_MAX)
    writer.last = 0
    header = view(PacketHeader, address)
    header.send_time_ns = send_time_ns
    header.sequence = writer.sequence
    header.channel_id = writer.channel_id
    header.type = writer.type


@compiled
def end_packet(writer: PacketWriter) -> int:
    """Finish the packet; its length in bytes."""
    view(PacketHeader, writer.start).message_count = writer.count
    writer.sequence += writer.count
    writer.count = 0
    writer.last = 0
    return writer.position - writer.start


@compiled
def begin_transaction(writer: PacketWriter, transact_time_ns: int) -> None:
    """Make the next message the first of a transaction."""
    writer.transact_time_ns = transact_time_ns
    writer.is_starting = 1
    writer.is_open = 0


@compiled
def end_transaction(writer: PacketWriter) -> None:
    """Make the last message, if there was one, the last of its transaction; it must be in the packet still."""
    if writer.is_open != 0:
        assert writer.last != 0
        message = view(MessageHeader, writer.last)
        message.flags = message.flags | END
    writer.is_starting = 0
    writer.is_open = 0


@compiled
def add_message(writer: PacketWriter, template_id: int, block_bytes: int) -> int:
    """Add a header and `block_bytes` of zeros, padded; the address of the block, 0 without room."""
    address = writer.position
    length = size_of(MessageHeader) + block_bytes
    length = (length + MESSAGE_ALIGNMENT_BYTES - 1) & -MESSAGE_ALIGNMENT_BYTES
    if address + length > writer.end:
        return 0
    message = view(MessageHeader, address)
    message.length = length
    message.template_id = template_id
    message.version = VERSION
    message.flags = START if writer.is_starting != 0 else 0
    message.transact_time_ns = writer.transact_time_ns
    fill_bytes(address + size_of(MessageHeader), 0, length - size_of(MessageHeader))
    if writer.is_starting != 0:
        writer.is_starting = 0
        writer.is_open = 1
    writer.last = address
    writer.position += length
    writer.count += 1
    return address + size_of(MessageHeader)


@compiled
def add_copy(writer: PacketWriter, message_address: int) -> bool:
    """Add a message as it was sent before, flags and time included: what a retransmission is made of."""
    length = view(MessageHeader, message_address).length
    if writer.position + length > writer.end:
        return False
    copy_bytes(writer.position, message_address, length)
    writer.last = writer.position
    writer.position += length
    writer.count += 1
    return True


@compiled
def add_put(
    writer: PacketWriter,
    side: int,
    order_id: int,
    instrument_id: int,
    quantity_mantissa: int,
    price_e9: int,
    sort_order_id: int,
) -> bool:
    """Add a new or changed order."""
    block = add_message(writer, Template.BID_PUT if side == BID else Template.ASK_PUT, size_of(Put))
    if block == 0:
        return False
    put = view(Put, block)
    put.order_id = order_id
    put.instrument_id = instrument_id
    put.quantity_mantissa = quantity_mantissa
    put.price_e9 = price_e9
    put.sort_order_id = sort_order_id
    return True


@compiled
def add_reduce(writer: PacketWriter, side: int, order_id: int, instrument_id: int, quantity_mantissa: int) -> bool:
    """Add an order's new, smaller quantity."""
    template = Template.BID_QUANTITY_REDUCED if side == BID else Template.ASK_QUANTITY_REDUCED
    block = add_message(writer, template, size_of(QuantityReduced))
    if block == 0:
        return False
    reduced = view(QuantityReduced, block)
    reduced.order_id = order_id
    reduced.instrument_id = instrument_id
    reduced.quantity_mantissa = quantity_mantissa
    return True


@compiled
def add_delete(writer: PacketWriter, side: int, order_id: int, instrument_id: int) -> bool:
    """Add that an order is gone."""
    block = add_message(writer, Template.BID_DELETE if side == BID else Template.ASK_DELETE, size_of(Delete))
    if block == 0:
        return False
    delete = view(Delete, block)
    delete.order_id = order_id
    delete.instrument_id = instrument_id
    return True


@compiled
def add_trade_summary(
    writer: PacketWriter,
    taker_side: int,
    instrument_id: int,
    taker_order_id: int,
    total_filled_mantissa: int,
    deepest_price_e9: int,
    mark_price_e9: int,
    index_price_e9: int,
    trade_count: int,
) -> bool:
    """Add what a taker order did, before its trades."""
    block = add_message(writer, Template.TRADE_SUMMARY, size_of(TradeSummary))
    if block == 0:
        return False
    summary = view(TradeSummary, block)
    summary.instrument_id = instrument_id
    summary.taker_order_id = taker_order_id
    summary.total_filled_mantissa = total_filled_mantissa
    summary.deepest_price_e9 = deepest_price_e9
    summary.mark_price_e9 = mark_price_e9
    summary.index_price_e9 = index_price_e9
    summary.trade_count = trade_count
    summary.taker_flags = IS_SELL if taker_side == SELL else 0
    return True


@compiled
def add_trade(
    writer: PacketWriter,
    maker_side: int,
    match_id: int,
    instrument_id: int,
    maker_order_id: int,
    fill_quantity_mantissa: int,
    fill_price_e9: int,
) -> bool:
    """Add a fill of a resting order; what it does to that order follows in the same transaction."""
    block = add_message(writer, Template.TRADE, size_of(Trade))
    if block == 0:
        return False
    trade = view(Trade, block)
    trade.match_id = match_id
    trade.instrument_id = instrument_id
    trade.maker_order_id = maker_order_id
    trade.fill_quantity_mantissa = fill_quantity_mantissa
    trade.fill_price_e9 = fill_price_e9
    trade.maker_flags = IS_SELL if maker_side == SELL else 0
    return True


@compiled
def add_definition(
    writer: PacketWriter,
    instrument: Instrument,
    instrument_id: int,
    index_id: int,
    quantity_exponent: int,
    min_order_quantity: int,
    status: int,
) -> bool:
    """Add an instrument's terms, without larger ticks or legs. `min_order_quantity` is a mantissa."""
    bytes_after = 2 * size_of(GroupHeader)
    block = add_message(writer, Template.INSTRUMENT_DEFINITION, size_of(InstrumentDefinition) + bytes_after)
    if block == 0:
        return False
    definition = view(InstrumentDefinition, block)
    definition.instrument_id = instrument_id
    copy_bytes(address_of(definition.name), address_of(instrument.symbol), SYMBOL_BYTES)
    definition.index_id = index_id
    copy_bytes(address_of(definition.underlying), address_of(instrument.base), CURRENCY_BYTES)
    asset = address_of(instrument.quote) if instrument.payoff == Payoff.INVERSE else address_of(instrument.base)
    copy_bytes(address_of(definition.quantity_asset), asset, CURRENCY_BYTES)
    copy_bytes(address_of(definition.price_asset), address_of(instrument.quote), CURRENCY_BYTES)
    definition.expiry_ns = instrument.expiry_ns if instrument.expiry_ns != 0 else NULL_I64
    definition.strike_price_e9 = NULL_I64
    definition.min_order_quantity = min_order_quantity
    definition.tick_size_e9 = instrument.tick_e9
    definition.quantity_exponent = quantity_exponent
    definition.type = to_instrument_type(instrument.kind)
    flags = IS_REVERSED if instrument.payoff == Payoff.INVERSE else 0
    definition.flags = flags | (IS_PERPETUAL if instrument.kind == Kind.PERPETUAL else 0)
    definition.status = status
    groups = block + size_of(InstrumentDefinition)
    view(GroupHeader, groups).block_length = LARGE_TICK_BYTES
    view(GroupHeader, groups + size_of(GroupHeader)).block_length = LEG_BYTES
    return True


@compiled
def to_instrument_type(kind: int) -> int:
    if kind == Kind.OPTION:
        return InstrumentType.OPTION
    if kind == Kind.FUTURE:
        return InstrumentType.DATED_FUTURE
    if kind == Kind.COMBO:
        return InstrumentType.FUTURE_COMBO
    return InstrumentType.SPOT if kind == Kind.SPOT else InstrumentType.PERP_FUTURE


@compiled
def add_status(writer: PacketWriter, instrument_id: int, status: int) -> bool:
    """Add an instrument's new `InstrumentStatus`."""
    block = add_message(writer, Template.INSTRUMENT_STATUS_UPDATE, size_of(InstrumentStatusUpdate))
    if block == 0:
        return False
    update = view(InstrumentStatusUpdate, block)
    update.instrument_id = instrument_id
    update.trading_status = status
    return True


@compiled
def add_info(
    writer: PacketWriter, instrument_id: int, min_sell_price_e9: int, max_buy_price_e9: int, mark_price_e9: int
) -> bool:
    """Add an instrument's price band and mark price."""
    block = add_message(writer, Template.INSTRUMENT_INFO, size_of(InstrumentInfo))
    if block == 0:
        return False
    info = view(InstrumentInfo, block)
    info.instrument_id = instrument_id
    info.min_sell_price_e9 = min_sell_price_e9
    info.max_buy_price_e9 = max_buy_price_e9
    info.mark_price_e9 = mark_price_e9
    return True


@compiled
def add_index(writer: PacketWriter, index_id: int, index_price_e9: int) -> bool:
    """Add an index's price."""
    block = add_message(writer, Template.INDEX_INFO, size_of(IndexInfo))
    if block == 0:
        return False
    info = view(IndexInfo, block)
    info.index_id = index_id
    info.index_price_e9 = index_price_e9
    return True


@compiled
def add_snapshot_header(
    writer: PacketWriter, instrument_id: int, incremental_timestamp_ns: int, incremental_sequence: int
) -> bool:
    """Add that an instrument's snapshot begins: its book after incremental message `incremental_sequence`."""
    block = add_message(writer, Template.SNAPSHOT_HEADER, size_of(SnapshotHeader))
    if block == 0:
        return False
    header = view(SnapshotHeader, block)
    header.instrument_id = instrument_id
    header.incremental_timestamp_ns = incremental_timestamp_ns
    header.incremental_sequence = incremental_sequence
    return True


@compiled
def add_snapshot_trailer(
    writer: PacketWriter, instrument_id: int, timestamp_ns: int, incremental_sequence: int
) -> bool:
    """Add that an instrument's snapshot is complete."""
    block = add_message(writer, Template.SNAPSHOT_TRAILER, size_of(SnapshotTrailer))
    if block == 0:
        return False
    trailer = view(SnapshotTrailer, block)
    trailer.instrument_id = instrument_id
    trailer.timestamp_ns = timestamp_ns
    trailer.incremental_sequence = incremental_sequence
    return True


@compiled
def add_end_of_cycle(writer: PacketWriter, active_instrument_count: int) -> bool:
    """Add that all instruments were sent."""
    block = add_message(writer, Template.END_OF_CYCLE, size_of(EndOfCycle))
    if block == 0:
        return False
    view(EndOfCycle, block).active_instrument_count = active_instrument_count
    return True


@compiled
def fill_retransmit_reject(
    address: int,
    capacity_bytes: int,
    send_time_ns: int,
    channel_id: int,
    correlation: int,
    reason: int,
    retry_delay_ns: int,
) -> int:
    """Write a whole packet: why the request of packet sequence `correlation` gets no messages. Its length in bytes."""
    length = size_of(PacketHeader) + size_of(MessageHeader) + size_of(RetransmitReject)
    length = (length + MESSAGE_ALIGNMENT_BYTES - 1) & -MESSAGE_ALIGNMENT_BYTES
    assert capacity_bytes >= length
    fill_bytes(address, 0, length)
    header = view(PacketHeader, address)
    header.send_time_ns = send_time_ns
    header.sequence = correlation
    header.channel_id = channel_id
    header.message_count = 1
    message = view(MessageHeader, address + size_of(PacketHeader))
    message.length = length - size_of(PacketHeader)
    message.template_id = Template.RETRANSMIT_REJECT
    message.version = VERSION
    message.transact_time_ns = send_time_ns
    reject = view(RetransmitReject, address + size_of(PacketHeader) + size_of(MessageHeader))
    reject.retry_delay_ns = retry_delay_ns
    reject.reason = reason
    return length


@compiled
def fill_retransmit_request(
    address: int, send_time_ns: int, channel_id: int, correlation: int, begin_sequence: int, message_count: int
) -> int:
    """Write a whole packet that asks for messages again: header, header and root, without padding. Its length."""
    header = view(PacketHeader, address)
    header.send_time_ns = send_time_ns
    header.sequence = correlation
    header.channel_id = channel_id
    header.type = TYPE_RETRANSMIT
    header.message_count = 1
    message = view(MessageHeader, address + size_of(PacketHeader))
    message.length = size_of(MessageHeader) + size_of(RetransmitRequest)
    message.template_id = Template.RETRANSMIT_REQUEST
    message.version = VERSION
    message.flags = 0
    message.transact_time_ns = send_time_ns
    request = view(RetransmitRequest, address + size_of(PacketHeader) + size_of(MessageHeader))
    request.begin_sequence = begin_sequence
    request.message_count = message_count
    return size_of(PacketHeader) + size_of(MessageHeader) + size_of(RetransmitRequest)
