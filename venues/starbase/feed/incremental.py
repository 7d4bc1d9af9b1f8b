"""The messages of an incremental channel, each read once and in its turn.

A Trade does not change the book by itself: what it does to the resting order follows in the same transaction.
"""

from crosswire.nic.memory.struct import size_of, view
from crosswire.nic.unit.compile import compiled, inlined, outlined
from crosswire.venues.feed import Reject, known_instrument, reject
from crosswire.venues.market import EVENTS_MAX, TRADE, Events, Market, add_event, book_changed
from crosswire.venues.side import BUY, SELL
from crosswire.venues.starbase.feed.book_messages import (
    change_book,
    close_apart,
    close_transaction,
    count_message,
    is_of_order,
    is_price,
    judge_odd_message,
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
    """Read an incremental packet whose first message is its channel's next.

    A message that can't be believed to lie in the packet stays the channel's next: it counts as missed.
    """
    count = view(PacketHeader, address).message_count
    read_messages(feed, market, events, slot, address + size_of(PacketHeader), address + length, count)


@outlined
def read_rest(feed: StarbaseFeed, market: Market, events: Events, slot: int, address: int, length: int) -> None:
    """Read what is new in an incremental packet that continues its channel: its first messages may have been read."""
    header = view(PacketHeader, address)
    position = address + size_of(PacketHeader)
    end = address + length
    old = feed.channels[slot].next - header.sequence
    for _ in range(min(old, header.message_count)):
        size = prove_message(feed, position, end)
        if size == 0:
            size = abs(judge_odd_message(feed, position, end))
        if size == 0:
            return
        position += size
    read_messages(feed, market, events, slot, position, end, max(0, header.message_count - old))


@inlined
def read_messages(
    feed: StarbaseFeed, market: Market, events: Events, slot: int, position: int, end: int, count: int
) -> None:
    """Read `count` messages, of which the first is the channel's next; they should fill what is left of the packet."""
    channel = feed.channels[slot]
    for _ in range(count):
        size = prove_message(feed, position, end)
        if size != 0:
            read_message(feed, market, events, slot, position)
        else:
            size = read_odd_message(feed, market, events, slot, position, end)
            if size == 0:
                return
        channel.next += 1
        position += size
    if position != end:
        reject(feed, Reject.LENGTH_MISMATCH)


@inlined
def read_message(feed: StarbaseFeed, market: Market, events: Events, slot: int, address: int) -> None:
    """Read one message of a known template, with all of its root block."""
    # Local copies: a field is loaded anew after every store, which might have changed it for all the compiler knows.
    message = view(MessageHeader, address)
    template_id = message.template_id
    flags = message.flags
    count_message(feed, template_id, message.version)
    begin_message(feed, market, events, slot, flags, message.transact_time_ns)
    if is_of_order(template_id):
        change_book(feed, market, events, slot, address, template_id)
    else:
        read_told(feed, market, events, slot, address, template_id)
    end_message(feed, market, events, slot, flags)


@outlined
def read_odd_message(feed: StarbaseFeed, market: Market, events: Events, slot: int, address: int, end: int) -> int:
    """Read a message that lacks fields, or of an unknown template: where it stands in its transaction. Its length."""
    size = judge_odd_message(feed, address, end)
    if size == 0:
        return 0
    message = view(MessageHeader, address)
    flags = message.flags
    begin_message(feed, market, events, slot, flags, message.transact_time_ns)
    if size < 0:
        spoil_book(feed, market, events, address)
    end_message(feed, market, events, slot, flags)
    return abs(size)


@inlined
def begin_message(feed: StarbaseFeed, market: Market, events: Events, slot: int, flags: int, time_ns: int) -> None:
    """Note a message's time, and that a transaction begins with it."""
    feed.last_exchange_time_ns = time_ns
    if flags & START != 0:
        if feed.channels[slot].in_transaction != 0:
            close_apart(feed, market, events, slot)  # its end was never told
        feed.channels[slot].in_transaction = 1


@inlined
def end_message(feed: StarbaseFeed, market: Market, events: Events, slot: int, flags: int) -> None:
    """Show what a transaction did that ends with a message; one outside of any is a transaction of its own."""
    if flags & END != 0 or feed.channels[slot].in_transaction == 0:
        close_transaction(feed, market, events, slot)


@outlined
def read_told(feed: StarbaseFeed, market: Market, events: Events, slot: int, address: int, template_id: int) -> None:
    """Read a message that changes no book."""
    if template_id == Template.TRADE:
        read_trade(feed, market, events, slot, address)
    elif template_id == Template.TRADE_SUMMARY:
        read_trade_summary(feed, market, events, slot, address)
    else:
        read_other(feed, market, events, address)


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
    if lots < 0 or not is_price(proof, trade.fill_price_e9, ticks):
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
