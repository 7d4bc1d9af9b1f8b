"""Binance's stream rules: recorded lines in, packets of the `bridge` feed out.

Depth deltas chain: on spot `U` follows the last delta's `u`, on futures `pu` equals it. They mean nothing before a REST
snapshot, so until one comes they are held; after it those that end at or before its `lastUpdateId` are dropped and the
first one left must begin at or before it. (The venue's futures page asks `U <= lastUpdateId`; `pu <= lastUpdateId` is
the same promise, that nothing lies between, and also takes the delta that follows the snapshot without overlap.)

After a broken chain deltas are written as they come, so that a feed sees what a live one would, and held again too: a
later snapshot then mends the book, as it does live.

Source: developers.binance.com, "How to manage a local order book correctly" (spot; USD-M; COIN-M).
"""

from enum import IntEnum
from typing import Annotated

from crosswire.nic.duration import NS_PER_MS
from crosswire.nic.memory.raw import copy_bytes
from crosswire.nic.memory.struct import Array, Pointer, Struct, address_of, array, i64, u8
from crosswire.nic.unit.compile import compiled
from crosswire.venues.bridge.binance.json import (
    EVENT_DEPTH,
    EVENT_QUOTE,
    EVENT_TRADE,
    LEVELS_MAX,
    QUOTE,
    TRADE_MARKET,
    Fault,
    Line,
    Number,
    Seen,
    fail,
    scan_line,
)
from crosswire.venues.bridge.wire.encoder import (
    FeedWriter,
    book_bytes_max,
    write_definition,
    write_delta,
    write_quote,
    write_snapshot,
    write_trade,
)
from crosswire.venues.bridge.wire.layout import BestBidAsk, BookDelta, InstrumentDefinition, Snapshot, Trade
from crosswire.venues.instrument import SYMBOL_BYTES
from crosswire.venues.side import BUY, SELL

LINE_BYTES_MAX = 1 << 22  # a line of LEVELS_MAX levels a side is shorter
HELD_BYTES_MAX = 1 << 26  # deltas held for a snapshot: minutes of the busiest stream; beyond, the oldest are given up
OUTPUT_BYTES_PER_LINE_MAX = book_bytes_max(2 * LEVELS_MAX) + book_bytes_max(0)  # the first has a definition before it

BOOK_TICKER_KEYS = Seen.LAST_ID | Seen.BID_PRICE | Seen.BID_SIZE | Seen.ASK_PRICE | Seen.ASK_SIZE
TRADE_KEYS = Seen.TRADE_ID | Seen.PRICE | Seen.SIZE | Seen.MAKER
DEPTH_KEYS = Seen.FIRST_ID | Seen.LAST_ID | Seen.BIDS | Seen.ASKS
SNAPSHOT_KEYS = Seen.SNAPSHOT_ID | Seen.BIDS | Seen.ASKS
COINM_KEYS = Seen.PREVIOUS_ID | Seen.PAIR


class Market(IntEnum):
    """Which of Binance's markets a stream is of."""

    SPOT = 0
    USDM = 1
    COINM = 2


class Chain(IntEnum):
    """Where a stream's deltas stand."""

    UNPROVEN = 0  # no snapshot yet
    SNAPSHOT = 1  # the next delta may begin before the snapshot
    LIVE = 2
    BROKEN = 3  # until the next snapshot


class Stop(IntEnum):
    """Why `import_lines` came back."""

    DONE = 0  # no more text
    FULL = 1  # the writer's buffer must be emptied
    FAULT = 2  # see `line.fault`


class Stream(Struct):
    """One file's way from lines to packets. `position` and `end` bound the whole lines in `text`."""

    market: i64  # Market
    clock_offset_ns: i64  # added to the recording host's time
    chain: i64  # Chain
    last_id: i64  # of the last delta or snapshot that was in order
    position: i64
    end: i64
    held_position: i64  # replayed up to here, while `replaying`
    held_end: i64
    held_count: i64  # deltas in `held_text`
    replaying: i64  # 1: held deltas are on their way out
    lines: i64  # whole lines read; the faulty one comes after
    deltas: i64  # packets by kind
    levels: i64  # of deltas and snapshots
    quotes: i64
    trades: i64
    snapshots: i64
    held: i64  # deltas that waited for a snapshot
    dropped: i64  # deltas and snapshots that the book was already past, or that no snapshot came for
    breaks: i64  # deltas that do not follow the one before
    sizes_rounded: i64  # sizes published that were no whole number of lots
    first_rounded_line: i64  # where the first size was rounded, from 1; 0: none was
    other_streams: i64  # lines of streams that are not imported, or trades that are none of the market's
    clock_steps_back: i64  # lines earlier than the one before; they get its time
    symbol_length: i64
    symbol: Annotated[Array, u8, SYMBOL_BYTES]
    definition: InstrumentDefinition  # published before anything else
    line: Line
    delta: BookDelta
    snapshot: Snapshot
    quote: BestBidAsk
    trade: Trade
    text: Annotated[Pointer, u8]
    held_text: Annotated[Pointer, u8]


def make_held_text() -> Array:
    """Make room for held deltas. Untouched pages of it cost no memory."""
    return array(u8, HELD_BYTES_MAX)


@compiled
def is_symbol(stream: Stream, text: Array, position: int) -> bool:
    """Tell whether the text at `position` is the stream's symbol."""
    for index in range(stream.symbol_length):
        if text[position + index] != stream.symbol[index]:
            return False
    return text[position + stream.symbol_length] == QUOTE


@compiled
def exchange_time_ns(line: Line) -> int:
    """The exchange's time: of the matching, else when it was sent, else 0."""
    if line.seen & Seen.TRANSACTION_TIME != 0:
        return line.numbers[Number.TRANSACTION_TIME_MS] * NS_PER_MS
    if line.seen & Seen.EVENT_TIME != 0:
        return line.numbers[Number.EVENT_TIME_MS] * NS_PER_MS
    return 0


@compiled
def fill_head(stream: Stream, message: BestBidAsk | Trade | BookDelta | Snapshot) -> None:
    """Fill in what every message tells alike, and count what its line had to round: it is about to be published."""
    message.instrument_id = stream.definition.instrument_id
    message.exchange_time_ns = exchange_time_ns(stream.line)
    stream.sizes_rounded += stream.line.sizes_rounded


@compiled
def import_quote(stream: Stream, writer: FeedWriter) -> None:
    """Publish a bookTicker."""
    numbers = stream.line.numbers
    quote = stream.quote
    fill_head(stream, quote)
    quote.update_id = numbers[Number.LAST_ID]
    quote.bid_price_ticks = numbers[Number.BID_TICKS]
    quote.bid_qty_lots = numbers[Number.BID_LOTS]
    quote.ask_price_ticks = numbers[Number.ASK_TICKS]
    quote.ask_qty_lots = numbers[Number.ASK_LOTS]
    write_quote(writer, quote)
    stream.quotes += 1


@compiled
def import_trade(stream: Stream, writer: FeedWriter) -> None:
    """Publish a trade."""
    line = stream.line
    numbers = line.numbers
    trade = stream.trade
    fill_head(stream, trade)
    trade.trade_id = numbers[Number.TRADE_ID]
    trade.price_ticks = numbers[Number.PRICE_TICKS]
    trade.qty_lots = numbers[Number.QTY_LOTS]
    trade.aggressor_side = SELL if line.is_buyer_maker != 0 else BUY
    write_trade(writer, trade)
    stream.trades += 1


@compiled
def emit_delta(stream: Stream, writer: FeedWriter, previous_id: int) -> None:
    """Publish a depth delta."""
    line = stream.line
    delta = stream.delta
    fill_head(stream, delta)
    delta.first_id = line.numbers[Number.FIRST_ID]
    delta.last_id = line.numbers[Number.LAST_ID]
    delta.previous_id = previous_id
    write_delta(writer, delta, line.bids, line.bid_count, line.asks, line.ask_count)
    stream.deltas += 1
    stream.levels += line.bid_count + line.ask_count


@compiled
def hold_line(stream: Stream, text: Array, position: int, length: int) -> None:
    """Keep a delta's line for the next snapshot; when there is no room, those that waited are given up."""
    if stream.held_end + length > HELD_BYTES_MAX:
        stream.dropped += stream.held_count
        stream.held_end = 0
        stream.held_count = 0
    copy_bytes(address_of(stream.held_text) + stream.held_end, address_of(text) + position, length)
    stream.held_end += length
    stream.held_count += 1
    stream.held += 1


@compiled
def import_delta(stream: Stream, writer: FeedWriter, text: Array, position: int, length: int) -> None:
    """Import one depth delta, whose line of `length` bytes begins at `position`."""
    line = stream.line
    numbers = line.numbers
    previous_id = numbers[Number.FIRST_ID] - 1 if stream.market == Market.SPOT else numbers[Number.PREVIOUS_ID]
    if stream.chain == Chain.UNPROVEN:
        hold_line(stream, text, position, length)
        return
    if stream.chain == Chain.BROKEN:
        if stream.replaying == 0:
            hold_line(stream, text, position, length)
        emit_delta(stream, writer, previous_id)
        return
    if numbers[Number.LAST_ID] <= stream.last_id:
        stream.dropped += 1
        return
    follows = previous_id == stream.last_id or (stream.chain == Chain.SNAPSHOT and previous_id < stream.last_id)
    if follows:
        stream.chain = Chain.LIVE
        stream.last_id = numbers[Number.LAST_ID]
    else:
        stream.breaks += 1
        stream.chain = Chain.BROKEN
        if stream.replaying == 0:
            stream.held_end = 0
            stream.held_count = 0
            hold_line(stream, text, position, length)
    emit_delta(stream, writer, previous_id)


@compiled
def import_snapshot(stream: Stream, writer: FeedWriter) -> None:
    """Import one REST snapshot; what was held goes out next."""
    line = stream.line
    numbers = line.numbers
    if (stream.chain == Chain.LIVE or stream.chain == Chain.SNAPSHOT) and numbers[Number.SNAPSHOT_ID] <= stream.last_id:
        stream.dropped += 1
        return
    snapshot = stream.snapshot
    fill_head(stream, snapshot)
    snapshot.last_id = numbers[Number.SNAPSHOT_ID]
    write_snapshot(writer, snapshot, line.bids, line.bid_count, line.asks, line.ask_count)
    stream.snapshots += 1
    stream.levels += line.bid_count + line.ask_count
    stream.last_id = numbers[Number.SNAPSHOT_ID]
    stream.chain = Chain.SNAPSHOT
    stream.replaying = 1
    stream.held_position = 0


@compiled
def require(line: Line, keys: int, position: int) -> bool:
    """Check that the line has all `keys` and its prices and sizes could be read; it is at fault if not."""
    if line.late_fault != Fault.NONE:
        fail(line, line.late_fault, line.late_fault_position)
        return False
    if line.seen & keys != keys:
        fail(line, Fault.MISSING_KEY, position)
        return False
    return True


@compiled
def is_of_market(stream: Stream, line: Line) -> bool:
    """Tell whether a depth delta is of the stream's market: only futures have `pu`, only COIN-M has `ps`."""
    shown = line.seen & COINM_KEYS
    if stream.market == Market.SPOT:
        return shown == 0
    if stream.market == Market.USDM:
        return shown == Seen.PREVIOUS_ID
    return shown == COINM_KEYS


@compiled
def import_line(stream: Stream, writer: FeedWriter, text: Array, position: int, length: int) -> None:
    """Act on the line that was just read, `length` bytes from `position`."""
    line = stream.line
    seen = line.seen
    if seen & Seen.SYMBOL != 0 and not is_symbol(stream, text, line.symbol):
        fail(line, Fault.OTHER_SYMBOL, line.symbol)
        return
    if seen & Seen.EVENT != 0:
        if line.event == EVENT_DEPTH:
            if require(line, DEPTH_KEYS, position):
                if is_of_market(stream, line):
                    import_delta(stream, writer, text, position, length)
                else:
                    fail(line, Fault.OTHER_MARKET, position)
            return
        if line.event == EVENT_QUOTE:
            if require(line, BOOK_TICKER_KEYS, position):
                import_quote(stream, writer)
            return
        if line.event == EVENT_TRADE:
            # "X" other than MARKET (insurance fund, ADL) is a transfer beside the book, at a price nobody quoted.
            if seen & Seen.TRADE_KIND != 0 and line.trade_kind != TRADE_MARKET:
                stream.other_streams += 1
            elif require(line, TRADE_KEYS, position):
                import_trade(stream, writer)
            return
    elif seen & Seen.SNAPSHOT_ID != 0 and seen & Seen.STREAM == 0:
        if require(line, SNAPSHOT_KEYS, position):
            import_snapshot(stream, writer)
        return
    elif seen & BOOK_TICKER_KEYS == BOOK_TICKER_KEYS:
        if require(line, BOOK_TICKER_KEYS, position):  # spot's has no "e"
            import_quote(stream, writer)
        return
    stream.other_streams += 1


@compiled
def keep_time(stream: Stream, writer: FeedWriter) -> None:
    """Note the packet time of the line just read; a capture's times never go back."""
    time_ns = stream.line.local_time_ns + stream.clock_offset_ns
    if time_ns < writer.time_ns:
        stream.clock_steps_back += 1
    else:
        writer.time_ns = time_ns


@compiled
def end_replay(stream: Stream) -> None:
    """End the replay of held deltas. If they broke the chain they are kept: the next snapshot may need them."""
    stream.replaying = 0
    if stream.chain != Chain.BROKEN:
        stream.held_end = 0
        stream.held_count = 0


def import_lines(stream: Stream, writer: FeedWriter) -> int:
    """Take lines until one is at fault, the text ends, or the writer must be emptied; a `Stop`.

    A line at fault begins at `position`. The entry point: who calls it from Python compiles it first.
    """
    line = stream.line
    while writer.capacity - writer.used >= OUTPUT_BYTES_PER_LINE_MAX:
        if stream.replaying != 0 and stream.held_position == stream.held_end:
            end_replay(stream)
        replaying = stream.replaying != 0
        if not replaying and stream.position == stream.end:
            return Stop.DONE.value
        text = stream.held_text if replaying else stream.text
        begin = stream.held_position if replaying else stream.position
        end = scan_line(line, text, begin)
        if line.fault == Fault.NONE:
            if not replaying:
                keep_time(stream, writer)
            if writer.sequence == 0:
                write_definition(writer, stream.definition)
            import_line(stream, writer, text, begin, end - begin)
        if line.fault != Fault.NONE:
            return Stop.FAULT.value
        if replaying:
            stream.held_position = end
        else:
            stream.position = end
            stream.lines += 1
            if stream.sizes_rounded != 0 and stream.first_rounded_line == 0:
                stream.first_rounded_line = stream.lines
    return Stop.FULL.value
