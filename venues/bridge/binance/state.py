"""Where one stream stands: what has come of it, what it waits for, and the text that is read next."""

from enum import IntEnum
from typing import Annotated

from crosswire.nic.memory.struct import Array, Pointer, Struct, array, i64, u8
from crosswire.venues.book.book import Book
from crosswire.venues.bridge.binance.clock import Clock
from crosswire.venues.bridge.binance.kinds import StreamName
from crosswire.venues.bridge.binance.line import LEVELS_MAX, Line
from crosswire.venues.bridge.binance.remark import Remarks
from crosswire.venues.bridge.wire.encoder import book_bytes_max
from crosswire.venues.bridge.wire.layout import (
    BestBidAsk,
    BookDelta,
    InstrumentDefinition,
    Level,
    MarkPrice,
    Snapshot,
    Trade,
)
from crosswire.venues.instrument import SYMBOL_BYTES

LINE_BYTES_MAX = 1 << 22  # a line of LEVELS_MAX levels a side is shorter
HELD_BYTES_MAX = 1 << 26  # deltas held for a snapshot: minutes of the busiest stream; beyond, the oldest are given up
OUTPUT_BYTES_PER_LINE_MAX = book_bytes_max(2 * LEVELS_MAX) + book_bytes_max(0)  # the first has a definition before it
NO_STREAM = -1


class Chain(IntEnum):
    """Where a stream's deltas stand."""

    UNPROVEN = 0  # no snapshot yet
    SNAPSHOT = 1  # the next delta may begin before the snapshot
    LIVE = 2
    BROKEN = 3  # until the next snapshot
    CARRIED = 4  # the book is the one that the recording before this one ended with, if the next delta follows it


class Stream(Struct):
    """One file's way from lines to packets. `position` and `end` bound the whole lines in `text`."""

    market: i64  # Market
    chain: i64  # Chain
    last_id: i64  # of the last delta or snapshot that was in order
    last_delta_ns: i64  # exchange time of the last delta that was in order; 0: none had one
    position: i64
    end: i64
    held_position: i64  # replayed up to here, while `replaying`
    held_end: i64
    held_count: i64  # deltas in `held_text`
    replaying: i64  # 1: held deltas are on their way out
    lines: i64  # read, bad ones included
    is_tail: i64  # 1: the line in `text` is the file's last and has no end of its own
    deltas: i64  # packets by kind
    levels: i64  # of deltas and snapshots
    quotes: i64
    trades: i64
    mark_prices: i64
    snapshots: i64
    held: i64  # deltas that waited for a snapshot
    dropped: i64  # deltas and snapshots that the book was already past
    kept_speed: i64  # `StreamName.speed` of the depth stream that the book follows; NO_STREAM: of none yet
    others_in_row: i64  # deltas of another one since its last
    full_bids: i64  # levels of the fullest snapshot: one that has less, and few, is partial depth
    full_asks: i64
    maybe_partial: i64  # 1: every delta so far was two-sided, short, and removed nothing
    top_bid_ticks: i64  # of all levels while that is so: then none of them was ever removed
    top_ask_ticks: i64
    bare_snapshots: i64  # published snapshots that do not name their symbol
    strange_depth: i64  # depth deltas of other symbols
    is_defined: i64  # 1: the definition, which comes before anything else, is published
    keeps_book: i64  # 1: `book` is kept up to date, for the recording that follows
    is_live: i64  # 1: the venue's own lines as they come, not a recording's
    repeats: i64  # live: quotes, trades and mark prices that another connection had told already
    old_snapshots: i64  # live: left out, as the deltas held begin behind them
    last_quote_id: i64  # live: of the last one published
    last_trade_id: i64
    last_mark_ns: i64  # exchange time
    held_first_id: i64  # live: what the first of the held deltas follows
    held_last_id: i64  # live: of the last held delta
    room_bytes: i64  # that one line may need in the writer's buffer
    carried_bid_count: i64  # levels of the book that the recording before ended with
    carried_ask_count: i64
    symbol_length: i64
    symbol: Annotated[Array, u8, SYMBOL_BYTES]
    definition: InstrumentDefinition
    clock: Clock
    line: Line
    name: StreamName
    remarks: Remarks
    delta: BookDelta
    snapshot: Snapshot
    quote: BestBidAsk
    trade: Trade
    mark_price: MarkPrice
    text: Annotated[Pointer, u8]
    held_text: Annotated[Pointer, u8]  # for each a `HeldHeader` and the line
    book: Annotated[Pointer, Book]
    carried_bids: Annotated[Pointer, Level]
    carried_asks: Annotated[Pointer, Level]


class HeldHeader(Struct, packed=True):
    """Before each held line."""

    line_number: i64


def make_held_text() -> Array:
    """Make room for held deltas. Untouched pages of it cost no memory."""
    return array(u8, HELD_BYTES_MAX)
