"""Deribit's legacy multicast feed: one UDP payload in, books up to date, events out.

Channels number their packets independently. A copy (A/B line) or late packet is dropped; missing ones make the
channel's books suspect (`venues.deribit.feed.recovery` proves them again). Each message is proven to lie inside the
packet once, as a whole, before any of it is read. What can't be stepped over ends the packet, which then counts as
missed; `venues.feed.COSTS` says what is stepped over.

A Ticker shows the state after the Book message behind it in the same packet: it triggers nothing by itself, and is
compared with the book at the end of the packet.
"""

from crosswire.nic.memory.raw import hash_bits
from crosswire.nic.memory.struct import size_of, view
from crosswire.nic.packet import Packet
from crosswire.nic.unit.compile import compiled
from crosswire.venues.book.book import NO_ASK, NO_BID
from crosswire.venues.deribit.feed.definition import read_instrument, read_instrument_v2
from crosswire.venues.deribit.feed.recovery import (
    SEQUENCE_MASK,
    read_book,
    read_snapshot,
    set_trading_state,
    suspect_channel,
    to_price_ticks,
    to_qty_lots,
)
from crosswire.venues.deribit.feed.state import CHANNEL_BITS, CHANNEL_SLOTS, CHANNELS_MAX, TICKERS_MAX, DeribitFeed
from crosswire.venues.deribit.wire.layout import (
    MESSAGES,
    NULL_ENUM,
    Direction,
    FrameHeader,
    InstrumentState,
    Template,
    Ticker,
    TradeEntry,
    Trades,
)
from crosswire.venues.deribit.wire.walk import BAD, GRID_TOLERANCE, prove_instrument, prove_message, to_nanoseconds
from crosswire.venues.feed import Reject, decode, note_restart, reject
from crosswire.venues.instrument import Instrument
from crosswire.venues.lines import note_copy
from crosswire.venues.market import TRADE, Events, Market, add_event, find_instrument
from crosswire.venues.side import BUY, SELL

__all__ = ["DeribitFeed", "decode_deribit"]

# Half the number space behind means "before", as in RFC 1982. A venue that starts counting anew also looks like that;
# but copies of a packet come within milliseconds of it, so a channel on which only old numbers arrive for a second
# has been renumbered. If that guess is wrong, its books are suspect for nothing: never the other way round.
SEQUENCE_HALF = 1 << 31
RENUMBER_NS = 1_000_000_000
TEMPLATES = len(MESSAGES)


@decode.register(DeribitFeed)
def decode_deribit(feed: DeribitFeed, packet: Packet, market: Market, events: Events) -> None:
    feed.packets += 1
    feed.time_ns = packet.time_ns
    position = packet.payload_address
    end = position + packet.payload_length
    if position + size_of(FrameHeader) > end:
        reject(feed, Reject.SHORT_PACKET)
        return
    header = view(FrameHeader, position)
    position += size_of(FrameHeader)
    if position + header.packet_length != end:
        reject(feed, Reject.LENGTH_MISMATCH)
        return
    if not take_packet(feed, market, events, packet, header):
        return
    feed.ticker_count = 0
    while position < end:
        position = prove_message(feed, feed.block, position, end)
        if position == 0 or not read_message(feed, market, events):
            feed.channels[feed.channel].is_cut = 1
            suspect_channel(feed, market, events)
            break
        feed.is_resumed = 0
    check_tickers(feed, market)


@compiled
def find_channel(feed: DeribitFeed, channel_id: int) -> int:
    """Find a channel, taken up if it is new; its slot, -1 when there are CHANNELS_MAX others."""
    key = channel_id + 1
    slot = hash_bits(channel_id, CHANNEL_BITS)
    while feed.channels[slot].key != key:
        if feed.channels[slot].key == 0:
            if feed.channel_count >= CHANNELS_MAX:
                return -1
            feed.channel_count += 1
            feed.channels[slot].key = key
        else:
            slot = (slot + 1) & (CHANNEL_SLOTS - 1)
    return slot


@compiled
def take_packet(feed: DeribitFeed, market: Market, events: Events, packet: Packet, header: FrameHeader) -> bool:
    """Check the channel's sequence; False for a packet to drop."""
    time_ns = feed.time_ns
    slot = find_channel(feed, header.channel_id)
    if slot < 0:
        return reject(feed, Reject.UNKNOWN_CHANNEL)
    channel = feed.channels[slot]
    steps = (header.sequence - channel.sequence) & SEQUENCE_MASK
    is_late = channel.packets != 0 and (steps == 0 or steps >= SEQUENCE_HALF)
    if is_late and time_ns - channel.time_ns <= RENUMBER_NS:
        feed.duplicates += 1
        if steps == 0:
            note_copy(feed.lines, packet, channel.time_ns)
        return False
    feed.channel = slot
    feed.sequence = header.sequence
    feed.is_resumed = 1 if channel.packets == 0 or steps != 1 or channel.is_cut != 0 else 0
    if channel.packets != 0 and steps != 1:
        suspected = suspect_channel(feed, market, events)
        if is_late:
            note_restart(feed, suspected)
        else:
            feed.sequence_gaps += steps - 1
            channel.gaps += steps - 1
    channel.sequence = header.sequence
    channel.time_ns = time_ns
    channel.packets += 1
    channel.is_cut = 0
    return True


@compiled
def read_message(feed: DeribitFeed, market: Market, events: Events) -> bool:
    """Read the message in `feed.block`; False ends the packet."""
    template_id = feed.block.template_id
    place = template_id - Template.INSTRUMENT
    if place < 0 or place >= TEMPLATES:
        reject(feed, Reject.UNKNOWN_TEMPLATE)
        return True
    feed.messages[place] += 1
    if template_id == Template.TICKER:
        return read_ticker(feed, market, events)
    if template_id == Template.BOOK:
        return read_book(feed, market, events)
    if template_id == Template.TRADES:
        return read_trades(feed, market, events)
    if template_id == Template.PRICE_INDEX or template_id == Template.RFQ:
        return True
    feed.channels[feed.channel].is_snapshot = 1
    if template_id == Template.SNAPSHOT:
        return read_snapshot(feed, market, events)
    if template_id == Template.INSTRUMENT:
        return read_instrument(feed, market, events)
    if template_id == Template.INSTRUMENT_V2:
        return read_instrument_v2(feed, market, events)
    return True  # SNAPSHOT_START, SNAPSHOT_END, COMBO_LEGS


@compiled
def read_trades(feed: DeribitFeed, market: Market, events: Events) -> bool:
    """Read a Trades message: one TRADE event each. One with a bad value is left out and counted, as one below a lot."""
    index = prove_instrument(feed, size_of(Trades), size_of(TradeEntry))
    if index < 0:
        return True
    instrument = market.instruments[index]
    for position in range(feed.entries.count):
        trade = view(TradeEntry, feed.entries.first + position * feed.entries.stride)
        ticks = to_price_ticks(instrument, trade.price)
        lots = to_qty_lots(feed, instrument, trade.amount)
        time_ns = to_nanoseconds(trade.timestamp_ms)
        if ticks == BAD or lots == BAD or time_ns == BAD or trade.direction > Direction.SELL:
            reject(feed, Reject.BAD_VALUE)
            continue
        feed.last_exchange_time_ns = time_ns
        if lots == 0:
            continue
        event = add_event(events, TRADE, index, time_ns)
        event.side = BUY if trade.direction == Direction.BUY else SELL
        event.price_ticks = ticks
        event.qty_lots = lots
    return True


@compiled
def read_ticker(feed: DeribitFeed, market: Market, events: Events) -> bool:
    """Read a Ticker message: trading state now, best prices for the comparison at the end of the packet."""
    index = prove_instrument(feed, size_of(Ticker), 0)
    if index < 0:
        return True
    ticker = view(Ticker, feed.block.root)
    if ticker.instrument_state != NULL_ENUM:
        set_trading_state(feed, market, events, index, 0 if ticker.instrument_state == InstrumentState.OPEN else 1)
    time_ns = to_nanoseconds(ticker.timestamp_ms)
    if time_ns == BAD:
        reject(feed, Reject.BAD_VALUE)
    elif feed.ticker_count < TICKERS_MAX:
        feed.last_exchange_time_ns = time_ns
        feed.tickers[feed.ticker_count] = feed.block.root
        feed.ticker_count += 1
    return True


@compiled
def check_tickers(feed: DeribitFeed, market: Market) -> None:
    """Compare the packet's tickers with the books that are valid after it; snapshot channels tell of another moment."""
    if feed.channels[feed.channel].is_snapshot != 0:
        return
    for position in range(feed.ticker_count):
        ticker = view(Ticker, feed.tickers[position])
        index = find_instrument(feed.map, ticker.instrument_id)
        if index < 0 or market.books[index].valid == 0:
            continue
        book = market.books[index]
        instrument = market.instruments[index]
        feed.ticker_checks += 1
        is_bid = shows_level(instrument, ticker.best_bid_price, ticker.best_bid_amount, book.bid_ticks, book.bid_lots)
        is_ask = shows_level(instrument, ticker.best_ask_price, ticker.best_ask_amount, book.ask_ticks, book.ask_lots)
        if not is_bid or not is_ask:
            feed.ticker_mismatches += 1


@compiled
def shows_level(instrument: Instrument, price: float, amount: float, ticks: int, lots: int) -> bool:
    """Tell whether the ticker shows this best level; an empty side is shown as price 0, amount 0.

    A best level of less than a lot is not in the book, so nothing can be told.
    """
    shown_lots = amount * instrument.lots_per_unit
    if 0.0 < shown_lots < 1.0 - GRID_TOLERANCE:
        return True
    if ticks in (NO_BID, NO_ASK):
        return price == 0.0 and amount == 0.0
    return to_price_ticks(instrument, price) == ticks and lots <= shown_lots + GRID_TOLERANCE * lots < lots + 1
