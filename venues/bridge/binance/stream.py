"""Binance's stream rules: recorded lines in, packets of the `bridge` feed out.

Depth deltas chain: on spot `U` follows the last delta's `u`, on futures `pu` equals it. They mean nothing before a REST
snapshot, so until one comes they are held; after it those that end at or before its `lastUpdateId` are dropped and the
first one left must begin at or before it. (The venue's futures page asks `U <= lastUpdateId`; `pu <= lastUpdateId` is
the same promise, that nothing lies between, and also takes the delta that follows the snapshot without overlap.)

After a broken chain deltas are written as they come, so that a feed sees what a live one would, and held again too: a
later snapshot then mends the book, as it does live.

A live stream (`is_live`, see `live`) follows the same rules with two differences. What two connections say alike is
published once. And a book is published when it has come up to the present, not from the snapshot on: somebody trades
on it.

Source: developers.binance.com, "How to manage a local order book correctly" (spot; USD-M; COIN-M).
"""

from enum import IntEnum

from crosswire.nic.duration import NS_PER_S
from crosswire.nic.memory.raw import copy_bytes
from crosswire.nic.memory.struct import Array, address_of, size_of, view
from crosswire.nic.unit.compile import compiled
from crosswire.venues.book.book import NO_ASK, NO_BID, clear_book, set_level
from crosswire.venues.bridge.binance.clock import doubt_exchange_time, keep_time
from crosswire.venues.bridge.binance.json import (
    NEWLINE,
    QUOTE,
    TRADE_MARKET,
    scan_line,
)
from crosswire.venues.bridge.binance.kinds import (
    CASE_BIT,
    NAMELESS,
    PARTIAL_LEVELS_MAX,
    kind_of_other,
    read_name,
)
from crosswire.venues.bridge.binance.line import Line, Number, Seen, fail, to_ns
from crosswire.venues.bridge.binance.mark_price import EVENT_MARK_PRICE, is_mark_price, read_mark_price
from crosswire.venues.bridge.binance.market import Market
from crosswire.venues.bridge.binance.remark import Remark, note
from crosswire.venues.bridge.binance.require import (
    BOOK_TICKER_KEYS,
    DEPTH_KEYS,
    require,
    require_quote,
    require_snapshot,
    require_trade,
)
from crosswire.venues.bridge.binance.sbe import EVENT_DEPTH, EVENT_QUOTE, EVENT_TRADE, take_trade
from crosswire.venues.bridge.binance.state import (
    HELD_BYTES_MAX,
    NO_STREAM,
    OUTPUT_BYTES_PER_LINE_MAX,
    Chain,
    HeldHeader,
    Stream,
)
from crosswire.venues.bridge.wire.encoder import (
    FeedWriter,
    write_definition,
    write_delta,
    write_mark_price,
    write_quote,
    write_snapshot,
    write_trade,
)
from crosswire.venues.bridge.wire.layout import (
    BestBidAsk,
    BookDelta,
    MarkPrice,
    Snapshot,
    Trade,
)
from crosswire.venues.side import ASK, BID, BUY, SELL

ID_RESET_NS = 5 * NS_PER_S  # a delta so much later than one with higher ids is no copy, nor of a slower stream
OTHERS_IN_ROW_MAX = 256  # deltas of a second stream without one of the first: the first has ended

TIMES = Seen.EVENT_TIME | Seen.TRANSACTION_TIME


NUL = 0


class Stop(IntEnum):
    """Why `import_lines` came back."""

    DONE = 0  # no more text
    FULL = 1  # the writer's buffer must be emptied


@compiled
def is_symbol(stream: Stream, text: Array, position: int) -> bool:
    """Tell whether the text at `position` is the stream's symbol."""
    for index in range(stream.symbol_length):
        if text[position + index] != stream.symbol[index]:
            return False
    return text[position + stream.symbol_length] == QUOTE


@compiled
def names_symbol(stream: Stream, text: Array) -> bool:
    """Tell whether the name of the line's stream, if it has one, is that of the stream's symbol, in either case."""
    name = stream.name
    if name.symbol == 0:
        return True
    if name.symbol_length != stream.symbol_length:
        return False
    for index in range(stream.symbol_length):
        if text[name.symbol + index] | CASE_BIT != stream.symbol[index] | CASE_BIT:
            return False
    return True


@compiled
def read_exchange_time(line: Line) -> None:
    """Find the exchange's time: of the matching, else when it was sent, else 0."""
    time_ns = 0
    if line.seen & Seen.TRANSACTION_TIME != 0 and not is_mark_price(line):
        time_ns = to_ns(line.numbers[Number.TRANSACTION_TIME])
    if time_ns == 0 and line.seen & Seen.EVENT_TIME != 0:
        time_ns = to_ns(line.numbers[Number.EVENT_TIME])
    line.exchange_time_ns = time_ns


@compiled
def fill_head(stream: Stream, message: BestBidAsk | Trade | MarkPrice | BookDelta | Snapshot, number: int) -> None:
    """Fill in what every message tells alike, and note what line `number` had to lose: it is about to be published."""
    line = stream.line
    message.instrument_id = stream.definition.instrument_id
    message.exchange_time_ns = line.exchange_time_ns
    if line.sizes_rounded != 0:
        note(stream.remarks, Remark.SIZE_ROUNDED, number, line.sizes_rounded)
    if line.levels_off_tick != 0:
        note(stream.remarks, Remark.LEVEL_OFF_TICK, number, line.levels_off_tick)
    if line.levels_unreal != 0:
        note(stream.remarks, Remark.LEVEL_VALUE, number, line.levels_unreal)
    if line.exchange_time_ns == 0 and line.seen & (TIMES | Seen.EVENT) != 0:  # every event has one
        note_untimed(stream, number)


@compiled
def note_untimed(stream: Stream, number: int) -> None:
    """Note that a line's exchange time is none, if it was not `keep_time` that took it away."""
    read_exchange_time(stream.line)
    if stream.line.exchange_time_ns == 0:
        note(stream.remarks, Remark.EXCHANGE_TIME, number, 1)


@compiled
def import_quote(stream: Stream, writer: FeedWriter, number: int) -> None:
    """Publish a bookTicker."""
    numbers = stream.line.numbers
    if stream.is_live != 0:
        if numbers[Number.LAST_ID] <= stream.last_quote_id:
            stream.repeats += 1
            return
        stream.last_quote_id = numbers[Number.LAST_ID]
    quote = stream.quote
    fill_head(stream, quote, number)
    quote.update_id = numbers[Number.LAST_ID]
    quote.bid_price_ticks = numbers[Number.BID_TICKS]
    quote.bid_qty_lots = numbers[Number.BID_LOTS]
    quote.ask_price_ticks = numbers[Number.ASK_TICKS]
    quote.ask_qty_lots = numbers[Number.ASK_LOTS]
    write_quote(writer, quote)
    stream.quotes += 1


@compiled
def import_trade(stream: Stream, writer: FeedWriter, number: int) -> None:
    """Publish a trade."""
    line = stream.line
    numbers = line.numbers
    if stream.is_live != 0:
        if numbers[Number.TRADE_ID] <= stream.last_trade_id:
            stream.repeats += 1
            return
        stream.last_trade_id = numbers[Number.TRADE_ID]
    trade = stream.trade
    fill_head(stream, trade, number)
    trade.trade_id = numbers[Number.TRADE_ID]
    trade.price_ticks = numbers[Number.PRICE_TICKS]
    trade.qty_lots = numbers[Number.QTY_LOTS]
    trade.aggressor_side = SELL if line.is_buyer_maker != 0 else BUY
    write_trade(writer, trade)
    stream.trades += 1


@compiled
def import_mark_price(stream: Stream, writer: FeedWriter, text: Array, position: int, number: int) -> None:
    """Publish a mark price with the next funding, which spot has none of."""
    line = stream.line
    time_ns = line.exchange_time_ns
    mark = stream.mark_price
    if stream.market == Market.SPOT:
        fail(line, Remark.OTHER_MARKET, position)
    elif read_mark_price(line, text, position, time_ns if time_ns != 0 else writer.time_ns, mark):
        if stream.is_live != 0 and time_ns != 0:
            if time_ns <= stream.last_mark_ns:
                stream.repeats += 1
                return
            stream.last_mark_ns = time_ns
        fill_head(stream, mark, number)
        write_mark_price(writer, mark)
        stream.mark_prices += 1


@compiled
def take_tops(stream: Stream) -> None:
    """Take the line's best levels into the best of all."""
    line = stream.line
    for index in range(line.bid_count):
        stream.top_bid_ticks = max(stream.top_bid_ticks, line.bids[index].price_ticks)
    for index in range(line.ask_count):
        stream.top_ask_ticks = min(stream.top_ask_ticks, line.asks[index].price_ticks)


@compiled
def watch_partial(stream: Stream) -> None:
    """Follow what would tell that the deltas are none: nothing removed, both sides always, and in the end a cross."""
    line = stream.line
    fewer, more = min(line.bid_count, line.ask_count), max(line.bid_count, line.ask_count)
    if line.removals != 0 or fewer == 0 or more > PARTIAL_LEVELS_MAX:
        stream.maybe_partial = 0
    else:
        take_tops(stream)


@compiled
def update_book(stream: Stream, bids: Array, bid_count: int, asks: Array, ask_count: int) -> None:
    """Apply levels to the book; a level too many ends the keeping of it."""
    book = stream.book[0]
    kept = True
    for index in range(bid_count):
        kept = set_level(book, BID, bids[index].price_ticks, bids[index].qty_lots) and kept
    for index in range(ask_count):
        kept = set_level(book, ASK, asks[index].price_ticks, asks[index].qty_lots) and kept
    if not kept:
        stream.keeps_book = 0


@compiled
def emit_delta(stream: Stream, writer: FeedWriter, previous_id: int, number: int) -> None:
    """Publish a depth delta; a live one only if it is the next of a book that is published."""
    line = stream.line
    delta = stream.delta
    fill_head(stream, delta, number)
    delta.first_id = line.numbers[Number.FIRST_ID]
    delta.last_id = line.numbers[Number.LAST_ID]
    delta.previous_id = previous_id
    if stream.is_live == 0 or (stream.chain == Chain.LIVE and stream.replaying == 0):
        write_delta(writer, delta, line.bids, line.bid_count, line.asks, line.ask_count)
        stream.deltas += 1
        stream.levels += line.bid_count + line.ask_count
    if stream.maybe_partial != 0:
        watch_partial(stream)
    if stream.keeps_book != 0:
        update_book(stream, line.bids, line.bid_count, line.asks, line.ask_count)


@compiled
def forget_held(stream: Stream) -> None:
    """Let go of the held lines."""
    stream.held_end = 0
    stream.held_count = 0


@compiled
def give_up_held(stream: Stream) -> None:
    """Count the held deltas as dropped for want of a snapshot, unless they were published as they came."""
    if stream.chain == Chain.UNPROVEN and stream.held_count != 0:
        first = view(HeldHeader, address_of(stream.held_text)).line_number
        note(stream.remarks, Remark.UNPROVEN, first, stream.held_count)
    forget_held(stream)


@compiled
def hold_line(stream: Stream, text: Array, position: int, length: int, number: int) -> None:
    """Keep a delta's line for the next snapshot; when there is no room, those that waited are given up."""
    if stream.held_end + size_of(HeldHeader) + length > HELD_BYTES_MAX:
        give_up_held(stream)
    place = address_of(stream.held_text) + stream.held_end
    view(HeldHeader, place).line_number = number
    copy_bytes(place + size_of(HeldHeader), address_of(text) + position, length)
    stream.held_end += size_of(HeldHeader) + length
    stream.held_count += 1
    stream.held += 1


@compiled
def hold_delta(stream: Stream, text: Array, position: int, length: int, number: int, previous_id: int) -> None:
    """Keep a delta for the next snapshot. Live, those before a gap are of no use, and one told twice is held once."""
    if stream.is_live != 0:
        last_id = stream.line.numbers[Number.LAST_ID]
        if stream.held_count != 0 and last_id <= stream.held_last_id:
            stream.dropped += 1
            return
        if stream.held_count == 0 or previous_id > stream.held_last_id:
            forget_held(stream)
            stream.held_first_id = previous_id
        stream.held_last_id = last_id
    hold_line(stream, text, position, length, number)


@compiled
def is_of_kept_stream(stream: Stream, previous_id: int, number: int) -> bool:
    """Tell whether the book follows the depth stream that a delta is of; after a snapshot, whichever continues it."""
    speed = stream.name.speed
    if speed != stream.kept_speed and stream.kept_speed != NO_STREAM:
        continues = (
            stream.chain == Chain.SNAPSHOT and previous_id <= stream.last_id < stream.line.numbers[Number.LAST_ID]
        )
        if not continues and stream.others_in_row < OTHERS_IN_ROW_MAX:
            stream.others_in_row += 1
            note(stream.remarks, Remark.SECOND_DEPTH, number, 1)
            return False
    stream.kept_speed = speed
    stream.others_in_row = 0
    return True


@compiled
def write_carried(stream: Stream, writer: FeedWriter, exchange_time_ns: int) -> None:
    """Publish the carried levels as the book's snapshot, as of its last delta."""
    snapshot = stream.snapshot
    snapshot.instrument_id = stream.definition.instrument_id
    snapshot.exchange_time_ns = exchange_time_ns
    snapshot.last_id = stream.last_id
    bid_count, ask_count = stream.carried_bid_count, stream.carried_ask_count
    write_snapshot(writer, snapshot, stream.carried_bids, bid_count, stream.carried_asks, ask_count)
    stream.snapshots += 1
    stream.levels += bid_count + ask_count


@compiled
def publish_carried(stream: Stream, writer: FeedWriter) -> None:
    """Publish the book that the recording before ended with, as of its last delta."""
    write_carried(stream, writer, 0)
    bids, bid_count = stream.carried_bids, stream.carried_bid_count
    asks, ask_count = stream.carried_asks, stream.carried_ask_count
    stream.room_bytes = OUTPUT_BYTES_PER_LINE_MAX
    if stream.keeps_book != 0:
        update_book(stream, bids, bid_count, asks, ask_count)


@compiled
def take_up_carried(stream: Stream, writer: FeedWriter, previous_id: int) -> None:
    """Go on from the carried book if the delta at hand follows it; one that leaves a gap breaks the chain."""
    if previous_id > stream.last_id:
        stream.chain = Chain.LIVE
        stream.kept_speed = NO_STREAM
    elif stream.line.numbers[Number.LAST_ID] > stream.last_id:
        publish_carried(stream, writer)
        stream.chain = Chain.SNAPSHOT


@compiled
def break_chain(stream: Stream, text: Array, position: int, length: int, number: int, previous_id: int) -> None:
    """End the proven book at a delta, which is held from here on for the snapshot that may mend it."""
    stream.chain = Chain.BROKEN
    if stream.replaying == 0:
        forget_held(stream)
        hold_delta(stream, text, position, length, number, previous_id)


@compiled
def has_new_ids(stream: Stream) -> bool:
    """Tell whether a delta whose ids the book is past counts anew: the exchange made it long after those it had."""
    is_later = stream.line.exchange_time_ns > stream.last_delta_ns + ID_RESET_NS
    return stream.chain == Chain.LIVE and stream.last_delta_ns != 0 and is_later


@compiled
def end_book(stream: Stream, writer: FeedWriter) -> None:
    """Publish an empty delta that follows none, so that whoever reads the capture loses the book of the old ids."""
    delta = stream.delta
    delta.instrument_id = stream.definition.instrument_id
    delta.exchange_time_ns = stream.line.exchange_time_ns
    delta.first_id = delta.last_id = stream.last_id + 2
    delta.previous_id = stream.last_id + 1
    write_delta(writer, delta, stream.line.bids, 0, stream.line.asks, 0)
    stream.deltas += 1


@compiled
def import_delta(stream: Stream, writer: FeedWriter, text: Array, position: int, length: int, number: int) -> None:
    """Import one depth delta, whose line of `length` bytes begins at `position`."""
    line = stream.line
    last_id = line.numbers[Number.LAST_ID]
    previous_id = (
        line.numbers[Number.FIRST_ID] - 1 if stream.market == Market.SPOT else line.numbers[Number.PREVIOUS_ID]
    )
    if stream.chain == Chain.CARRIED:
        take_up_carried(stream, writer, previous_id)
    if stream.chain == Chain.UNPROVEN:
        hold_delta(stream, text, position, length, number, previous_id)
        return
    if not is_of_kept_stream(stream, previous_id, number):
        return
    if stream.chain == Chain.BROKEN:
        if stream.replaying == 0:
            hold_delta(stream, text, position, length, number, previous_id)
        emit_delta(stream, writer, previous_id, number)
        return
    if last_id <= stream.last_id:
        if has_new_ids(stream):
            note(stream.remarks, Remark.ID_RESET, number, 1)
            end_book(stream, writer)
            break_chain(stream, text, position, length, number, previous_id)
            emit_delta(stream, writer, previous_id, number)
        else:
            stream.dropped += 1
        return
    if previous_id < stream.last_id and stream.chain == Chain.LIVE:
        if stream.name.speed == NAMELESS and stream.is_live == 0:
            note(stream.remarks, Remark.SECOND_DEPTH, number, 1)
            return
        previous_id = stream.last_id  # the same stream by another connection: it has all that changed since
    if previous_id <= stream.last_id:
        stream.chain = Chain.LIVE
        stream.last_id = last_id
        stream.last_delta_ns = stream.line.exchange_time_ns
    else:
        note(stream.remarks, Remark.BREAK, number, 1)
        if stream.is_live != 0:
            end_book(stream, writer)
        break_chain(stream, text, position, length, number, previous_id)
    emit_delta(stream, writer, previous_id, number)


@compiled
def is_partial(stream: Stream) -> bool:
    """Tell whether what looks like a snapshot is a message of spot's partial depth, which has the same shape.

    It has few levels, where the snapshots have more, or comes while the book needs none. Futures' snapshots have a
    time, and their partial depth an event.
    """
    line = stream.line
    if line.seen & TIMES != 0 or max(line.bid_count, line.ask_count) > PARTIAL_LEVELS_MAX:
        return False
    if line.bid_count < stream.full_bids or line.ask_count < stream.full_asks:
        return stream.chain != Chain.BROKEN or max(stream.full_bids, stream.full_asks) > PARTIAL_LEVELS_MAX
    is_even = line.bid_count == line.ask_count and line.bid_count in (5, 10, PARTIAL_LEVELS_MAX)
    return is_even and stream.chain == Chain.LIVE


@compiled
def import_snapshot(stream: Stream, writer: FeedWriter, number: int) -> None:
    """Import one REST snapshot; what was held goes out next."""
    line = stream.line
    last_id = line.numbers[Number.SNAPSHOT_ID]
    if stream.is_live == 0 and is_partial(stream):
        note(stream.remarks, Remark.PARTIAL_DEPTH, number, 1)
        return
    if stream.is_live != 0 and stream.held_count != 0 and last_id < stream.held_first_id:
        stream.old_snapshots += 1
        return
    if (stream.chain == Chain.LIVE or stream.chain == Chain.SNAPSHOT) and last_id <= stream.last_id:
        stream.dropped += 1
        return
    snapshot = stream.snapshot
    fill_head(stream, snapshot, number)
    snapshot.last_id = last_id
    if stream.is_live == 0:
        write_snapshot(writer, snapshot, line.bids, line.bid_count, line.asks, line.ask_count)
        stream.snapshots += 1
        stream.levels += line.bid_count + line.ask_count
    else:
        stream.keeps_book = 1
    stream.bare_snapshots += line.seen & Seen.SYMBOL == 0
    stream.full_bids = max(stream.full_bids, line.bid_count)
    stream.full_asks = max(stream.full_asks, line.ask_count)
    stream.top_bid_ticks = NO_BID
    stream.top_ask_ticks = NO_ASK
    if stream.maybe_partial != 0:
        take_tops(stream)
    if stream.keeps_book != 0:
        clear_book(stream.book[0])
        update_book(stream, line.bids, line.bid_count, line.asks, line.ask_count)
    stream.last_id = last_id
    stream.chain = Chain.SNAPSHOT
    stream.replaying = 1
    stream.held_position = 0


@compiled
def import_depth(stream: Stream, writer: FeedWriter, text: Array, position: int, length: int, number: int) -> None:
    """Import a line whose event is a change of depth, if that is what it is."""
    line = stream.line
    read_name(stream.name, line, text)
    if stream.name.remark != Remark.NONE:
        note(stream.remarks, stream.name.remark, number, 1)
    elif require(line, DEPTH_KEYS, position):
        if (line.seen & Seen.PREVIOUS_ID != 0) != (stream.market != Market.SPOT):  # all futures have `pu`, spot has not
            fail(line, Remark.OTHER_MARKET, position)
        elif line.numbers[Number.FIRST_ID] > line.numbers[Number.LAST_ID]:
            fail(line, Remark.IDS, position)
        else:
            import_delta(stream, writer, text, position, length, number)


@compiled
def import_eventless(stream: Stream, writer: FeedWriter, text: Array, position: int, number: int) -> bool:
    """Import a line without an event, if it is one of those: a snapshot, or spot's bookTicker. False: it is neither."""
    line = stream.line
    if line.seen & Seen.SNAPSHOT_ID != 0:
        read_name(stream.name, line, text)
        if stream.name.remark == Remark.PARTIAL_DEPTH:
            note(stream.remarks, Remark.PARTIAL_DEPTH, number, 1)
        elif not names_symbol(stream, text):
            note(stream.remarks, Remark.OTHER_SYMBOL, number, 1)
        elif require_snapshot(line, position):
            import_snapshot(stream, writer, number)
        return True
    if line.seen & BOOK_TICKER_KEYS == BOOK_TICKER_KEYS:
        if require_quote(line, position):
            import_quote(stream, writer, number)
        return True
    return False


@compiled
def import_binary_trades(stream: Stream, writer: FeedWriter, position: int, number: int) -> None:
    """Publish the trades of one binary message."""
    line = stream.line
    for index in range(line.trade_count):
        take_trade(line, index)
        if require_trade(line, position):
            import_trade(stream, writer, number)


@compiled
def import_line(stream: Stream, writer: FeedWriter, text: Array, position: int, length: int, number: int) -> None:
    """Act on line `number`, which was just read, `length` bytes from `position`."""
    line = stream.line
    seen = line.seen
    if seen & Seen.SYMBOL != 0 and not is_symbol(stream, line.binary if line.is_binary != 0 else text, line.symbol):
        note(stream.remarks, Remark.OTHER_SYMBOL, number, 1)
        stream.strange_depth += line.event == EVENT_DEPTH and seen & Seen.EVENT != 0
        return
    if seen & Seen.EVENT != 0:
        if line.event == EVENT_DEPTH:
            import_depth(stream, writer, text, position, length, number)
            return
        if line.event == EVENT_QUOTE:
            if require_quote(line, position):
                import_quote(stream, writer, number)
            return
        if line.event == EVENT_TRADE:
            # "X" other than MARKET (insurance fund, ADL) is a transfer beside the book, at a price nobody quoted.
            if seen & Seen.TRADE_KIND != 0 and line.trade_kind != TRADE_MARKET:
                note(stream.remarks, Remark.TRANSFER, number, 1)
            elif line.is_binary != 0:
                import_binary_trades(stream, writer, position, number)
            elif require_trade(line, position):
                import_trade(stream, writer, number)
            return
        if line.event == EVENT_MARK_PRICE:
            import_mark_price(stream, writer, text, position, number)
            return
    elif import_eventless(stream, writer, text, position, number):
        return
    note(stream.remarks, kind_of_other(line, text, position), number, 1)


@compiled
def end_replay(stream: Stream) -> None:
    """End the replay of held deltas. If they broke the chain they are kept: the next snapshot may need them."""
    stream.replaying = 0
    if stream.chain != Chain.BROKEN:
        forget_held(stream)


@compiled
def replay_line(stream: Stream, writer: FeedWriter) -> None:
    """Import the next of the held lines, which could all be read."""
    line = stream.line
    text = stream.held_text
    number = view(HeldHeader, address_of(text) + stream.held_position).line_number
    begin = stream.held_position + size_of(HeldHeader)
    end = scan_line(line, text, begin)
    read_exchange_time(line)
    doubt_exchange_time(stream.clock, line)
    import_line(stream, writer, text, begin, end - begin, number)
    stream.held_position = end


@compiled
def leave_out(stream: Stream, begin: int) -> int:
    """Count the line at `begin` by what is wrong with it; the position of the next.

    What stands behind NUL bytes is a line of its own: a host that lost power leaves a hole in a file, and goes on.
    """
    line, text = stream.line, stream.text
    position = begin
    behind_nul = begin
    while text[position] != NEWLINE:
        position += 1
        if text[position - 1] == NUL:
            behind_nul = position
    if behind_nul != begin:
        note(stream.remarks, Remark.NUL, stream.lines, 1)
        if text[behind_nul] != NEWLINE:
            stream.lines -= 1
            return behind_nul
        return position + 1
    is_cut = stream.is_tail != 0 and (line.fault == Remark.SYNTAX or line.fault == Remark.TIME)
    note(stream.remarks, Remark.CUT if is_cut else line.fault, stream.lines, 1)
    return position + 1


def import_lines(stream: Stream, writer: FeedWriter) -> int:
    """Take lines until the text ends or the writer must be emptied; a `Stop`. A bad line is left out and counted.

    The entry point: who calls it from Python compiles it first.
    """
    line = stream.line
    while writer.capacity - writer.used >= stream.room_bytes:
        if stream.replaying != 0:
            if stream.held_position == stream.held_end:
                end_replay(stream)
            else:
                replay_line(stream, writer)
            continue
        if stream.position == stream.end:
            return Stop.DONE.value
        text = stream.text
        begin = stream.position
        stream.lines += 1
        end = scan_line(line, text, begin)
        if line.fault == Remark.NONE:
            read_exchange_time(line)
            writer.time_ns = keep_time(stream.clock, line, text, end, stream.end, stream.remarks, stream.lines)
            if stream.is_defined == 0:
                write_definition(writer, stream.definition)
                stream.is_defined = 1
            import_line(stream, writer, text, begin, end - begin, stream.lines)
        stream.position = end if line.fault == Remark.NONE else leave_out(stream, begin)
    return Stop.FULL.value
