"""Decoder of the `bridge` feed; the wire is in `venues.bridge.wire.layout`.

What can't be read costs what `venues.feed.COSTS` says. What a newer version added is stepped over: fields by the block
length on the wire, and messages and groups that we do not know where only one reading of the packet is possible.
Nothing on the wire says how many groups an unknown message has, so as many are passed over as it takes for the rest of
the packet to be the messages that its header counts.
"""

from typing import Annotated

from crosswire.nic.memory.raw import copy_bytes
from crosswire.nic.memory.struct import Array, Struct, address_of, copy_struct, i64, size_of, view
from crosswire.nic.packet import Packet
from crosswire.nic.unit.compile import compiled, inlined
from crosswire.venues.book.book import Book, clear_book, refresh_top, sees_best, set_level, set_quote
from crosswire.venues.bridge.definition import discover_instrument, is_definition_damaged
from crosswire.venues.bridge.wire.layout import (
    MESSAGES,
    SCHEMA_ID,
    SCHEMA_VERSION,
    VALUE_BITS,
    BestBidAsk,
    BookDelta,
    GroupHeader,
    Heartbeat,
    InstrumentDefinition,
    InstrumentId,
    Level,
    MarkPrice,
    MessageHeader,
    PacketFlag,
    PacketHeader,
    PartFlag,
    Snapshot,
    Template,
    Trade,
)
from crosswire.venues.feed import Feed, Reject, copy_feed, decode, note_mismatch, note_restart, reject
from crosswire.venues.instrument import SYMBOL_BYTES, has_terms
from crosswire.venues.lines import note_copy
from crosswire.venues.market import (
    MAP_INSTRUMENTS_MAX,
    TRADE,
    Events,
    Market,
    add_event,
    add_instrument,
    book_changed,
    find_instrument,
    find_symbol,
    lose_book,
)
from crosswire.venues.side import ASK, BID

CHANNELS_MAX = 64
KNOWN_TEMPLATES = len(MESSAGES)
UNKNOWN_GROUPS_MAX = 8  # of one message, that are passed over


class Channel(Struct):
    """One publisher's count of packets, and the event that it is in the middle of."""

    channel_id: i64
    sequence: i64  # last packet, 0 before the first
    send_time_ns: i64  # of that packet
    received_ns: i64  # when that packet came
    pending: i64  # 1 + market index of the book between the first and the last part of an event; 0: none
    pending_id: i64  # last_id of that event


class Chain(Struct):
    """Where one instrument's deltas come from, by market index."""

    channel: i64  # 1 + index of the channel that defined the instrument; 0: none did
    is_fresh: i64  # 1: nothing but a snapshot is in the book yet


class BridgeFeed(Feed):
    """One venue's `bridge` feed, up to CHANNELS_MAX channels."""

    channel_count: i64
    stale_messages: i64  # deltas and snapshots that end at or before the book's last id
    unproven_messages: i64  # deltas, or later parts of an event, for which there is no valid book
    channels: Annotated[Array, Channel, CHANNELS_MAX]
    chains: Annotated[Array, Chain, MAP_INSTRUMENTS_MAX]


HEAD_BYTES = BridgeFeed.fields["map"].offset  # of the counters that every feed has


@compiled
def find_channel(feed: BridgeFeed, channel_id: int) -> int:
    """Find a channel, taken up if it is new; its index, -1 when there is no room."""
    for index in range(feed.channel_count):
        if feed.channels[index].channel_id == channel_id:
            return index
    if feed.channel_count == CHANNELS_MAX:
        return -1
    feed.channels[feed.channel_count].channel_id = channel_id
    feed.channel_count += 1
    return feed.channel_count - 1


@compiled
def lose_channel(feed: BridgeFeed, channel_index: int, market: Market, events: Events, time_ns: int) -> int:
    """Lose the channel's books: what it said may be incomplete. How many it had."""
    channel = feed.channels[channel_index]
    lost = 0
    for index in range(market.count):
        if feed.chains[index].channel == channel_index + 1:
            if market.books[index].valid != 0 or channel.pending == index + 1:
                lose_book(market, events, index, time_ns)
                lost += 1
    channel.pending = 0
    return lost


@compiled
def take_sequence(
    feed: BridgeFeed, channel_index: int, packet: Packet, header: PacketHeader, market: Market, events: Events
) -> bool:
    """Tell whether the packet is new; packets missing before it cost the channel's books."""
    channel = feed.channels[channel_index]
    sequence = header.sequence
    if sequence <= channel.sequence:
        # A copy was sent when the original was or, if it is late, before the channel's last packet. Something sent
        # later with a lower number is a publisher that started again.
        if header.send_time_ns <= channel.send_time_ns:
            feed.duplicates += 1
            if sequence == channel.sequence:
                note_copy(feed.lines, packet, channel.received_ns)
            return False
        note_restart(feed, lose_channel(feed, channel_index, market, events, header.send_time_ns))
    elif channel.sequence != 0 and sequence != channel.sequence + 1:
        feed.sequence_gaps += sequence - channel.sequence - 1
        lose_channel(feed, channel_index, market, events, header.send_time_ns)
    channel.sequence = sequence
    channel.send_time_ns = header.send_time_ns
    channel.received_ns = packet.time_ns
    return True


@compiled
def is_damaged(price_ticks: int, qty_lots: int) -> bool:
    """Tell whether a price lies beyond +-2**VALUE_BITS or a size outside 0..2**VALUE_BITS, in one test."""
    return ((price_ticks ^ (price_ticks >> 63)) | qty_lots) >> VALUE_BITS != 0


@compiled
def behind_group(address: int, end: int) -> int:
    """The address after a group, 0 if it does not lie before `end`."""
    if end - address < size_of(GroupHeader):
        return 0
    group = view(GroupHeader, address)
    after = address + size_of(GroupHeader) + group.block_length * group.num_in_group
    return after if after <= end else 0


@compiled
def check_group(feed: BridgeFeed, address: int, end: int) -> int:
    """Prove that a group of levels lies before `end`; the address after it, negative if it can't be believed, or 0."""
    after = behind_group(address, end)
    if after == 0:
        return reject(feed, Reject.GROUP_OVERRUN)
    group = view(GroupHeader, address)
    stride = group.block_length
    entries = address + size_of(GroupHeader)
    count = group.num_in_group
    if stride < size_of(Level):
        reject(feed, Reject.SHORT_ENTRY)
        return -after
    damage = 0
    for position in range(count):
        level = view(Level, entries + position * stride)
        price_ticks = level.price_ticks
        damage |= (price_ticks ^ (price_ticks >> 63)) | level.qty_lots
    if damage >> VALUE_BITS != 0:
        reject(feed, Reject.BAD_VALUE)
        return -after
    return after


@inlined
def apply_group(feed: BridgeFeed, book: Book, side: int, address: int) -> bool:
    """Put a proven group's levels into the book; False when it has no room."""
    group = view(GroupHeader, address)
    stride = group.block_length
    entries = address + size_of(GroupHeader)
    count = group.num_in_group
    for position in range(count):
        level = view(Level, entries + position * stride)
        if not set_level(book, side, level.price_ticks, level.qty_lots):
            return False
    feed.level_updates += count
    return True


@compiled
def find_book(feed: BridgeFeed, channel_index: int, instrument_id: int) -> int:
    """Market index of an instrument that this channel defined; -1, and counted, if there is none."""
    index = find_instrument(feed.map, instrument_id)
    if index < 0 or feed.chains[index].channel != channel_index + 1:
        reject(feed, Reject.UNKNOWN_INSTRUMENT)
        return -1
    return index


@compiled
def break_event(channel: Channel, market: Market, events: Events, time_ns: int) -> None:
    """Lose the book of an event that never ended: a new one begins."""
    if channel.pending != 0:
        lose_book(market, events, channel.pending - 1, time_ns)
        channel.pending = 0


@compiled
def is_continued(feed: BridgeFeed, channel: Channel, index: int, last_id: int) -> bool:
    """Tell whether a part that goes on belongs to the event that the channel has open."""
    if channel.pending == index + 1 and channel.pending_id == last_id:
        return True
    feed.unproven_messages += 1
    return False


@compiled
def begin_delta(
    feed: BridgeFeed, channel: Channel, delta: BookDelta, market: Market, events: Events, index: int, time_ns: int
) -> bool:
    """Begin a delta by its first part; False if it is not the next that its book needs."""
    book = market.books[index]
    break_event(channel, market, events, time_ns)
    if book.valid == 0:
        feed.unproven_messages += 1
        return False
    if delta.last_id <= book.update_id:
        feed.stale_messages += 1
        return False
    chain = feed.chains[index]
    if delta.previous_id != book.update_id and (chain.is_fresh == 0 or delta.previous_id > book.update_id):
        feed.continuity_breaks += 1
        lose_book(market, events, index, time_ns)
        return False
    chain.is_fresh = 0
    return True


@compiled
def begin_snapshot(
    feed: BridgeFeed, channel: Channel, snapshot: Snapshot, market: Market, events: Events, index: int, time_ns: int
) -> bool:
    """Begin a snapshot by its first part, with an empty book; False if it is not wanted."""
    book = market.books[index]
    break_event(channel, market, events, time_ns)
    if book.valid != 0 and snapshot.last_id <= book.update_id:
        feed.stale_messages += 1
        return False
    clear_book(book)
    feed.chains[index].is_fresh = 1
    return True


@compiled
def end_event(
    feed: BridgeFeed, channel: Channel, packet: Packet, market: Market, events: Events, index: int, time_ns: int
) -> None:
    """Show the book: the last part of an event is in it. One whose bid is above its ask is lost.

    Binance leaves none such: 0 of 36,823 events in the BTC recordings of 2024-08-08, nor one whose bid is its ask.
    """
    channel.pending = 0
    book = market.books[index]
    if not sees_best(book):
        reject(feed, Reject.BOOK_FULL)
        lose_book(market, events, index, time_ns)
        return
    if book.level_bid_ticks > book.level_ask_ticks:
        reject(feed, Reject.BAD_VALUE)
        lose_book(market, events, index, time_ns)
        return
    book.valid = 1
    book.update_id = channel.pending_id
    book.exchange_time_ns = time_ns
    book.receive_time_ns = packet.time_ns
    refresh_top(book)
    book_changed(events, market, index, time_ns)


@compiled
def spoil_book(
    feed: BridgeFeed, channel_index: int, instrument_id: int, market: Market, events: Events, time_ns: int
) -> None:
    """Lose the book that a message is about which can't be believed, and any event that it breaks off."""
    break_event(feed.channels[channel_index], market, events, time_ns)
    index = find_book(feed, channel_index, instrument_id)
    if index >= 0 and market.books[index].valid != 0:
        lose_book(market, events, index, time_ns)


@compiled
def is_quote_damaged(quote: BestBidAsk) -> bool:
    """Tell whether a best bid and ask can't be any market's: a side is damaged, or the bid is above the ask."""
    return (
        is_damaged(quote.bid_price_ticks, quote.bid_qty_lots)
        or is_damaged(quote.ask_price_ticks, quote.ask_qty_lots)
        or (quote.bid_qty_lots > 0 and quote.ask_qty_lots > 0 and quote.bid_price_ticks > quote.ask_price_ticks)
    )


@compiled
def apply_quote(
    feed: BridgeFeed, packet: Packet, quote: BestBidAsk, market: Market, events: Events, index: int, time_ns: int
) -> None:
    """Overlay a best bid and ask. It proves nothing, so an invalid book stays so; one that can't be costs the book."""
    book = market.books[index]
    if is_quote_damaged(quote):
        reject(feed, Reject.BAD_VALUE)
        if book.valid != 0:
            lose_book(market, events, index, time_ns)
    if book.valid == 0:
        return
    set_quote(
        book, quote.update_id, quote.bid_price_ticks, quote.bid_qty_lots, quote.ask_price_ticks, quote.ask_qty_lots
    )
    if refresh_top(book):
        book.exchange_time_ns = time_ns
        book.receive_time_ns = packet.time_ns
        book_changed(events, market, index, time_ns)


@compiled
def apply_trade(feed: BridgeFeed, trade: Trade, events: Events, index: int, time_ns: int) -> None:
    """Report a trade, unless it can't be."""
    if is_damaged(trade.price_ticks, trade.qty_lots) or trade.aggressor_side > ASK:
        reject(feed, Reject.BAD_VALUE)
        return
    event = add_event(events, TRADE, index, time_ns)
    event.side = trade.aggressor_side
    event.price_ticks = trade.price_ticks
    event.qty_lots = trade.qty_lots


@compiled
def define_instrument(
    feed: BridgeFeed,
    channel_index: int,
    definition: InstrumentDefinition,
    market: Market,
    events: Events,
    time_ns: int,
) -> None:
    """Tie the wire's id to the instrument of that symbol. One that can't be costs the book that had the id."""
    if is_definition_damaged(definition):
        reject(feed, Reject.BAD_VALUE)
        spoil_book(feed, channel_index, definition.instrument_id, market, events, time_ns)
        return
    if feed.discover != 0:
        # By id: a bridge may front several markets of one exchange, whose symbols are the same.
        index = find_instrument(feed.map, definition.instrument_id)
        if index < 0:
            index = discover_instrument(feed.venue, definition, market)
    else:
        index = find_symbol(market, feed.venue, definition.symbol, SYMBOL_BYTES)
    if index < 0:
        reject(feed, Reject.UNKNOWN_INSTRUMENT)
        return
    instrument = market.instruments[index]
    chain = feed.chains[index]
    agrees = has_terms(instrument, definition.tick_e9, definition.lot_e9, definition.contract_e9, definition.payoff)
    if not agrees:
        note_mismatch(feed)
    agrees = agrees or feed.ignores_definitions != 0
    known = find_instrument(feed.map, definition.instrument_id) == index and chain.channel == channel_index + 1
    if agrees and known:
        return
    if market.books[index].valid != 0:
        lose_book(market, events, index, time_ns)
    # A book that the wire contradicts belongs to no channel, so nothing can make it valid.
    taken = agrees and add_instrument(feed.map, definition.instrument_id, index)
    chain.channel = channel_index + 1 if taken else 0
    instrument.venue_id = definition.instrument_id


@compiled
def exchange_time(feed: BridgeFeed, wire_time_ns: int, channel: Channel) -> int:
    """The exchange's time, or the packet's send time where the exchange gives none."""
    if wire_time_ns > 0:
        feed.last_exchange_time_ns = wire_time_ns
        return wire_time_ns
    return channel.send_time_ns


@compiled
def decode_book(
    feed: BridgeFeed,
    channel_index: int,
    packet: Packet,
    message: MessageHeader,
    market: Market,
    events: Events,
    ends: bool,
) -> int:
    """Decode a delta or snapshot; the address after its groups, or 0. Its book is invalid until the event `ends`."""
    block = address_of(message) + size_of(MessageHeader)
    bids = block + message.block_length
    end = packet.payload_address + packet.payload_length
    asks = check_group(feed, bids, end)
    after = 0 if asks == 0 else check_group(feed, abs(asks), end)
    if after == 0:
        return 0
    channel = feed.channels[channel_index]
    if asks < 0 or after < 0:
        # Both messages begin with the instrument.
        spoil_book(feed, channel_index, view(Snapshot, block).instrument_id, market, events, channel.send_time_ns)
        return abs(after)
    is_delta = message.template_id == Template.BOOK_DELTA
    if is_delta:
        delta = view(BookDelta, block)
        instrument_id, flags, last_id = delta.instrument_id, delta.flags, delta.last_id
        time_ns = exchange_time(feed, delta.exchange_time_ns, channel)
    else:
        snapshot = view(Snapshot, block)
        instrument_id, flags, last_id = snapshot.instrument_id, snapshot.flags, snapshot.last_id
        time_ns = exchange_time(feed, snapshot.exchange_time_ns, channel)
    index = find_book(feed, channel_index, instrument_id)
    if index < 0:
        return after
    if flags & PartFlag.CONTINUATION != 0:
        wanted = is_continued(feed, channel, index, last_id)
    elif is_delta:
        wanted = begin_delta(feed, channel, view(BookDelta, block), market, events, index, time_ns)
    else:
        wanted = begin_snapshot(feed, channel, view(Snapshot, block), market, events, index, time_ns)
    if not wanted:
        return after
    book = market.books[index]
    if not (apply_group(feed, book, BID, bids) and apply_group(feed, book, ASK, asks)):
        reject(feed, Reject.BOOK_FULL)
        lose_book(market, events, index, time_ns)
        channel.pending = 0
        return after
    channel.pending_id = last_id
    if ends:
        end_event(feed, channel, packet, market, events, index, time_ns)
    else:
        channel.pending = index + 1
        book.valid = 0
    return after


@compiled
def root_bytes(template_id: int) -> int:
    """Size of the root block that this decoder reads of a known template."""
    if template_id == Template.BEST_BID_ASK:
        return size_of(BestBidAsk)
    if template_id == Template.BOOK_DELTA:
        return size_of(BookDelta)
    if template_id == Template.TRADE:
        return size_of(Trade)
    if template_id == Template.SNAPSHOT:
        return size_of(Snapshot)
    if template_id == Template.INSTRUMENT_DEFINITION:
        return size_of(InstrumentDefinition)
    if template_id == Template.MARK_PRICE:
        return size_of(MarkPrice)
    return size_of(Heartbeat)


@compiled
def check_message(feed: BridgeFeed, position: int, end: int) -> int:
    """Prove that a message header and its root block lie at `position`; the block's address, or 0.

    Negative if the block is not one that we know how to read: the message may be passed over.
    """
    if end - position < size_of(MessageHeader):
        return reject(feed, Reject.SHORT_MESSAGE)
    message = view(MessageHeader, position)
    if message.schema_id != SCHEMA_ID:
        return reject(feed, Reject.UNKNOWN_SCHEMA)
    block = position + size_of(MessageHeader)
    if block + message.block_length > end:
        return reject(feed, Reject.BLOCK_OVERRUN)
    template_id = message.template_id
    if not 1 <= template_id <= KNOWN_TEMPLATES:
        reject(feed, Reject.UNKNOWN_TEMPLATE)
        return -block
    if message.block_length < root_bytes(template_id):
        reject(feed, Reject.SHORT_BLOCK)
        return -block
    feed.messages[template_id - 1] += 1
    return block


@compiled
def is_book_message(template_id: int) -> bool:
    """Tell whether messages of a template have the two groups of levels."""
    return template_id == Template.BOOK_DELTA or template_id == Template.SNAPSHOT


@compiled
def pass_over(
    feed: BridgeFeed, channel_index: int, message: MessageHeader, left: int, market: Market, events: Events, end: int
) -> int:
    """Step over a message that can't be read, `left` before the packet's last; the address after it, or 0.

    A best bid and ask, delta or snapshot that is too short to be read costs the book that it is about.
    """
    block = address_of(message) + size_of(MessageHeader)
    after = block + message.block_length
    template_id = message.template_id
    if not 1 <= template_id <= KNOWN_TEMPLATES:
        return pass_groups(after, left, end)
    if template_id == Template.BEST_BID_ASK or is_book_message(template_id):
        if message.block_length < size_of(InstrumentId):
            return 0
        instrument_id = view(InstrumentId, block).instrument_id
        spoil_book(feed, channel_index, instrument_id, market, events, feed.channels[channel_index].send_time_ns)
    if is_book_message(template_id):
        asks = behind_group(after, end)
        after = 0 if asks == 0 else behind_group(asks, end)
        if after == 0:
            reject(feed, Reject.GROUP_OVERRUN)
    return after


@compiled
def pass_groups(position: int, left: int, end: int) -> int:
    """Pass over groups that we do not know, so that `left` messages follow to the end; 0: they can't be told apart."""
    if left == 0:
        return end
    found = 0
    for _ in range(UNKNOWN_GROUPS_MAX + 1):
        if position == 0:
            break
        if are_messages(position, left, end):
            if found != 0:
                return 0
            found = position
        position = behind_group(position, end)
    return found


@compiled
def are_messages(position: int, left: int, end: int) -> bool:
    """Tell whether `left` messages fill the bytes before `end`, as far as can be told without knowing all of them."""
    for _ in range(left):
        if end - position < size_of(MessageHeader):
            return False
        message = view(MessageHeader, position)
        if message.schema_id != SCHEMA_ID:
            return False
        template_id = message.template_id
        position += size_of(MessageHeader) + message.block_length
        if position > end:
            return False
        if is_book_message(template_id):
            asks = behind_group(position, end)
            position = 0 if asks == 0 else behind_group(asks, end)
            if position == 0:
                return False
        if not 1 <= template_id <= KNOWN_TEMPLATES or message.version > SCHEMA_VERSION:
            return True  # it may have groups, too
    return position == end


@compiled
def decode_root(
    feed: BridgeFeed, channel_index: int, packet: Packet, block: int, template_id: int, market: Market, events: Events
) -> None:
    """Decode one message without groups, its root at `block`."""
    channel = feed.channels[channel_index]
    if template_id == Template.BEST_BID_ASK:
        quote = view(BestBidAsk, block)
        index = find_book(feed, channel_index, quote.instrument_id)
        if index >= 0:
            time_ns = exchange_time(feed, quote.exchange_time_ns, channel)
            apply_quote(feed, packet, quote, market, events, index, time_ns)
    elif template_id == Template.TRADE:
        trade = view(Trade, block)
        index = find_book(feed, channel_index, trade.instrument_id)
        if index >= 0:
            time_ns = exchange_time(feed, trade.exchange_time_ns, channel)
            apply_trade(feed, trade, events, index, time_ns)
    elif template_id == Template.INSTRUMENT_DEFINITION:
        definition = view(InstrumentDefinition, block)
        define_instrument(feed, channel_index, definition, market, events, channel.send_time_ns)


@compiled
def decode_message(
    feed: BridgeFeed,
    channel_index: int,
    packet: Packet,
    position: int,
    left: int,
    market: Market,
    events: Events,
    ends: bool,
) -> int:
    """Decode the message at `position`, `left` before the packet's last; the address after it, or 0."""
    end = packet.payload_address + packet.payload_length
    block = check_message(feed, position, end)
    if block == 0:
        return 0
    message = view(MessageHeader, position)
    if block < 0:
        return pass_over(feed, channel_index, message, left, market, events, end)
    if is_book_message(message.template_id):
        after = decode_book(feed, channel_index, packet, message, market, events, ends)
    else:
        decode_root(feed, channel_index, packet, block, message.template_id, market, events)
        after = block + message.block_length
    if message.version > SCHEMA_VERSION and after != 0:
        after = pass_groups(after, left, end)
        if after == 0:
            reject(feed, Reject.GROUP_OVERRUN)
    return after


@compiled
def accept_packet(feed: BridgeFeed, packet: Packet, market: Market, events: Events) -> int:
    """Check the packet header and its sequence; the channel's index, or -1 when the packet is not to be read."""
    feed.packets += 1
    feed.time_ns = packet.time_ns
    if packet.payload_length < size_of(PacketHeader):
        reject(feed, Reject.SHORT_PACKET)
        return -1
    header = view(PacketHeader, packet.payload_address)
    if header.length != packet.payload_length:
        reject(feed, Reject.LENGTH_MISMATCH)
        return -1
    if header.sequence <= 0 or header.send_time_ns < 0:
        reject(feed, Reject.BAD_VALUE)
        return -1
    channel_index = find_channel(feed, header.channel_id)
    if channel_index < 0:
        reject(feed, Reject.UNKNOWN_CHANNEL)
        return -1
    return channel_index if take_sequence(feed, channel_index, packet, header, market, events) else -1


@decode.register(BridgeFeed)
def decode_bridge(feed: BridgeFeed, packet: Packet, market: Market, events: Events) -> None:
    channel_index = accept_packet(feed, packet, market, events)
    if channel_index < 0:
        return
    header = view(PacketHeader, packet.payload_address)
    ends = header.flags & PacketFlag.END_OF_EVENT != 0
    position = packet.payload_address + size_of(PacketHeader)
    end = packet.payload_address + packet.payload_length
    count = header.message_count
    for place in range(count):
        position = decode_message(feed, channel_index, packet, position, count - 1 - place, market, events, ends)
        if position == 0:
            break
    if position != end:
        if position != 0:
            reject(feed, Reject.LENGTH_MISMATCH)
        lose_channel(feed, channel_index, market, events, header.send_time_ns)


@copy_feed.register(BridgeFeed)
def copy_bridge(feed: BridgeFeed, source: BridgeFeed, market: Market) -> None:
    copy_bytes(address_of(feed), address_of(source), HEAD_BYTES)
    if feed.map.changes != source.map.changes:
        copy_struct(feed.map, source.map)
    feed.channel_count = source.channel_count
    feed.stale_messages = source.stale_messages
    feed.unproven_messages = source.unproven_messages
    copy_bytes(address_of(feed.channels), address_of(source.channels), source.channel_count * size_of(Channel))
    copy_bytes(address_of(feed.chains), address_of(source.chains), market.count * size_of(Chain))
