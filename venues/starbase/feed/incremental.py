"""The messages of an incremental channel, each read once and in its turn.

A Trade does not change the book by itself: what it does to the resting order follows in the same transaction.
"""

from crosswire.nic.memory.struct import size_of, view
from crosswire.nic.unit.compile import compiled, inlined, outlined
from crosswire.venues.feed import Reject, known_instrument, reject
from crosswire.venues.market import EVENTS_MAX, TRADE, Events, Market, add_event, book_changed
from crosswire.venues.side import BUY, SELL
from crosswire.venues.starbase.feed.book_messages import (
    BAD,
    change_book,
    close_apart,
    close_transaction,
    count_message,
    is_of_order,
    prove_message,
    spoil_book,
    to_lots,
    to_ticks,
)
from crosswire.venues.starbase.feed.definition import read_definition, read_index, read_info, read_status
from crosswire.venues.starbase.feed.state import StarbaseFeed
from crosswire.venues.starbase.wire.market_layout import (
    IndexInfo,
    InstrumentDefinition,
    InstrumentInfo,
    InstrumentStatusUpdate,
    MessageFlags,
    MessageHeader,
    PacketHeader,
    Template,
    Trade,
    TradeFlags,
    TradeSummary,
)

START = int(MessageFlags.START_OF_TRANSACTION)
END = int(MessageFlags.END_OF_TRANSACTION)
IS_SELL = int(TradeFlags.IS_SELL)
TRADE_EVENTS_MAX = EVENTS_MAX // 2  # a filled hole may be followed by hundreds of packets kept


@inlined
def read_packet(feed: StarbaseFeed, market: Market, events: Events, slot: int, address: int, length: int) -> None:
    """Read what is new in an incremental packet that continues its channel; the channel's next message follows it.

    A message that can't be believed to lie in the packet stays the channel's next: it counts as missed.
    """
    channel = feed.channels[slot]
    header = view(PacketHeader, address)
    sequence = header.sequence
    position = address + size_of(PacketHeader)
    end = address + length
    for _ in range(header.message_count):
        size = prove_message(feed, position, end)
        if size == 0:
            return
        if sequence >= channel.next:
            read_message(feed, market, events, slot, position, sequence, size < 0)
            channel.next = sequence + 1
        sequence += 1
        position += abs(size)
    if position != end:
        reject(feed, Reject.LENGTH_MISMATCH)


@outlined
def read_packet_apart(feed: StarbaseFeed, market: Market, events: Events, slot: int, address: int, length: int) -> None:
    """Do `read_packet` where it is rare."""
    read_packet(feed, market, events, slot, address, length)


@inlined
def read_message(
    feed: StarbaseFeed, market: Market, events: Events, slot: int, address: int, sequence: int, is_short: bool
) -> None:
    """Read one proven message; `is_short`: it lacks fields, so only where it stands in its transaction is read."""
    channel = feed.channels[slot]
    message = view(MessageHeader, address)
    flags = message.flags
    feed.last_exchange_time_ns = message.transact_time_ns
    if flags & START != 0:
        if channel.in_transaction != 0:
            close_apart(feed, market, events, slot)  # its end was never told
        channel.in_transaction = 1
    template_id = message.template_id
    if is_short:
        spoil_book(feed, market, events, address)
    elif is_of_order(template_id):
        change_book(feed, market, events, slot, address, sequence)
    elif template_id == Template.TRADE:
        read_trade(feed, market, events, slot, address)
    elif template_id == Template.TRADE_SUMMARY:
        read_trade_summary(feed, market, events, slot, address)
    else:
        read_other(feed, market, events, address)
    if not is_short:
        count_message(feed, address)
    if flags & END != 0 or channel.in_transaction == 0:
        close_transaction(feed, market, events, slot)


@compiled
def read_trade(feed: StarbaseFeed, market: Market, events: Events, slot: int, address: int) -> None:
    """Read a Trade: one event. The aggressor's side is the trade summary's, or the other than the resting order's."""
    trade = view(Trade, address + size_of(MessageHeader))
    index = known_instrument(feed, trade.instrument_id)
    if index < 0:
        return
    proof = feed.proofs[index]
    ticks = to_ticks(proof, trade.fill_price_e9)
    lots = to_lots(feed, proof, trade.fill_quantity_mantissa)
    if ticks == BAD or lots == BAD:
        reject(feed, Reject.BAD_VALUE)
        return
    if lots == 0:
        return
    if events.count >= TRADE_EVENTS_MAX:
        feed.trades_dropped += 1
        return
    event = add_event(events, TRADE, index, view(MessageHeader, address).transact_time_ns)
    channel = feed.channels[slot]
    if channel.taker_instrument == index + 1:
        event.side = channel.taker_side
    else:
        event.side = BUY if trade.maker_flags & IS_SELL != 0 else SELL
    event.price_ticks = ticks
    event.qty_lots = lots


@compiled
def read_trade_summary(feed: StarbaseFeed, market: Market, events: Events, slot: int, address: int) -> None:
    """Read a TradeSummary: the side of the trades to come; with `act_on_trades` the strategy is called at the first."""
    summary = view(TradeSummary, address + size_of(MessageHeader))
    index = known_instrument(feed, summary.instrument_id)
    if index < 0:
        return
    channel = feed.channels[slot]
    if feed.act_on_trades != 0 and channel.taker_instrument == 0 and market.books[index].valid != 0:
        book_changed(events, market, index, view(MessageHeader, address).transact_time_ns)
    channel.taker_instrument = index + 1
    channel.taker_side = SELL if summary.taker_flags & IS_SELL != 0 else BUY


@outlined
def read_other(feed: StarbaseFeed, market: Market, events: Events, address: int) -> None:
    """Read what is told of instruments and indices, on either kind of channel."""
    message = view(MessageHeader, address)
    template_id = message.template_id
    block = address + size_of(MessageHeader)
    if template_id == Template.INSTRUMENT_DEFINITION:
        read_definition(feed, market, events, view(InstrumentDefinition, block), message)
    elif template_id == Template.INSTRUMENT_STATUS_UPDATE:
        read_status(feed, market, events, view(InstrumentStatusUpdate, block), message.transact_time_ns)
    elif template_id == Template.INSTRUMENT_INFO:
        read_info(feed, view(InstrumentInfo, block), message.transact_time_ns)
    elif template_id == Template.INDEX_INFO:
        read_index(feed, view(IndexInfo, block), message.transact_time_ns)
    elif template_id == Template.BLOCK_TRADE:
        feed.block_trades += 1
