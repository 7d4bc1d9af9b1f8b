"""A live stream's lines, one at a time: what `stream` does with a recording's, for the bridge that receives them.

The stream keeps its own book. When a snapshot and the deltas held for it have brought the book to the present it is
published whole; from then on deltas are, as they come. Whoever begins to listen later is served by publishing it again.
"""

from collections.abc import Callable
from typing import NamedTuple

from crosswire.nic.memory.struct import address_of, array
from crosswire.nic.packet import write_udp_frame_header
from crosswire.nic.unit.call import bind
from crosswire.nic.unit.compile import compiled
from crosswire.venues.book.book import make_books
from crosswire.venues.bridge.binance.carry import BOOK_LEVELS_MAX, copy_side
from crosswire.venues.bridge.binance.clock import check_exchange_time
from crosswire.venues.bridge.binance.importer import make_stream
from crosswire.venues.bridge.binance.json import scan_line
from crosswire.venues.bridge.binance.market import Market
from crosswire.venues.bridge.binance.remark import Remark
from crosswire.venues.bridge.binance.state import Chain, Stream
from crosswire.venues.bridge.binance.stream import (
    end_book,
    end_replay,
    forget_held,
    import_line,
    leave_out,
    read_exchange_time,
    replay_line,
    write_carried,
)
from crosswire.venues.bridge.binance.terms import DEFAULT_TERMS, Terms
from crosswire.venues.bridge.wire.encoder import FeedWriter, book_bytes_max, write_definition, write_heartbeat
from crosswire.venues.bridge.wire.layout import Level
from crosswire.venues.side import ASK, BID

BOOK_BYTES_MAX = book_bytes_max(BOOK_LEVELS_MAX)  # of one whole book, as packets


def make_live_stream(market: Market, symbol: str, terms: Terms) -> tuple[Stream, FeedWriter]:
    """Make the state of one instrument, and its channel's publisher. RecordingError: terms can't be counted with."""
    stream, writer = make_stream(market, symbol, terms, BOOK_BYTES_MAX)
    stream.is_live = 1
    stream.maybe_partial = 0
    stream.is_defined = 1  # definitions are published apart, again and again
    stream.book = make_books(1, BOOK_LEVELS_MAX)
    stream.carried_bids = array(Level, BOOK_LEVELS_MAX + 1)
    stream.carried_asks = array(Level, BOOK_LEVELS_MAX + 1)
    return stream, writer


def continue_packets(writer: FeedWriter, sequence: int, time_ns: int) -> None:
    """Have a publisher that has sent nothing go on where another one of its channel ended."""
    writer.sequence = sequence
    writer.time_ns = time_ns
    write_udp_frame_header(address_of(writer.frame_header), writer.flow, 0)  # as before a first packet


def bind_all(stream: Stream, writer: FeedWriter) -> "LiveCalls":
    """Have the entry points below as machine code for one instrument; the first call compiles them, if need be."""
    return LiveCalls(
        take=bind(take_line, stream, writer),
        book=bind(publish_book, stream, writer),
        definition=bind(publish_definition, stream, writer),
        heartbeat=bind(publish_heartbeat, stream, writer),
        lose=bind(lose_book, stream, writer),
    )


class LiveCalls(NamedTuple):
    """The entry points of one instrument. All but `take` want the time, ns."""

    take: Callable[[], bool]
    book: Callable[[int], bool]
    definition: Callable[[int], None]
    heartbeat: Callable[[int, int], None]  # and its interval, ns
    lose: Callable[[int], None]


def compile_live() -> None:
    """Compile the entry points, which takes half a minute where it was never done."""
    bind_all(*make_live_stream(*next((market, symbol, terms) for (market, symbol), terms in DEFAULT_TERMS.items())))


@compiled
def is_proven(stream: Stream) -> bool:
    """Tell whether the stream's book is that of the exchange, as far as it has told us."""
    return stream.keeps_book != 0 and (stream.chain == Chain.SNAPSHOT or stream.chain == Chain.LIVE)


@compiled
def write_book(stream: Stream, writer: FeedWriter) -> None:
    """Publish the book whole, as of its last change."""
    book = stream.book[0]
    stream.carried_bid_count = copy_side(stream.carried_bids, book, BID, book.level_bid_ticks)
    stream.carried_ask_count = copy_side(stream.carried_asks, book, ASK, book.level_ask_ticks)
    write_carried(stream, writer, stream.last_delta_ns)


def take_line(stream: Stream, writer: FeedWriter) -> bool:
    """Take the one line from `position` in `text`, received at the time it begins with; True: the book is proven.

    `writer` is empty, and has room for all that a line can become. An entry point, as are those below.
    """
    line, text = stream.line, stream.text
    begin = stream.position
    stream.lines += 1
    end = scan_line(line, text, begin)
    if line.fault != Remark.NONE:
        leave_out(stream, begin)
        return is_proven(stream)
    read_exchange_time(line)
    writer.time_ns = max(writer.time_ns, line.local_time_ns)
    if line.exchange_time_ns != 0:
        check_exchange_time(stream.clock, line, line.local_time_ns, stream.remarks, stream.lines)
    import_line(stream, writer, text, begin, end - begin, stream.lines)
    if line.fault != Remark.NONE:
        leave_out(stream, begin)
    if stream.replaying != 0:
        while stream.held_position != stream.held_end:
            replay_line(stream, writer)
        end_replay(stream)
        if is_proven(stream):
            write_book(stream, writer)
    return is_proven(stream)


def publish_book(stream: Stream, writer: FeedWriter, now_ns: int) -> bool:
    """Publish the book again, if it is proven; whether it is."""
    writer.time_ns = max(writer.time_ns, now_ns)
    if not is_proven(stream):
        return False
    write_book(stream, writer)
    return True


def publish_definition(stream: Stream, writer: FeedWriter, now_ns: int) -> None:
    """Publish what the instrument is."""
    writer.time_ns = max(writer.time_ns, now_ns)
    write_definition(writer, stream.definition)


def publish_heartbeat(stream: Stream, writer: FeedWriter, now_ns: int, interval_ns: int) -> None:
    """Publish that the channel lives."""
    writer.time_ns = max(writer.time_ns, now_ns)
    write_heartbeat(writer, interval_ns)


def lose_book(stream: Stream, writer: FeedWriter, now_ns: int) -> None:
    """End the book, and have every reader lose it: what comes next may not follow what came last.

    Ids may begin anew, too: the exchange may have been restarted.
    """
    writer.time_ns = max(writer.time_ns, now_ns)
    if stream.chain != Chain.UNPROVEN:
        end_book(stream, writer)
    stream.chain = Chain.BROKEN
    stream.replaying = 0
    forget_held(stream)
    stream.held_last_id = 0
    stream.last_quote_id = 0
    stream.last_trade_id = 0
    stream.last_mark_ns = 0
