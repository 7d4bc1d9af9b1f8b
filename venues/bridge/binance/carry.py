"""The book that one recording hands on to the next, when the update ids of the two continue."""

from dataclasses import dataclass

from crosswire.nic.memory.struct import Array, address_of, array
from crosswire.nic.packet import write_udp_frame_header
from crosswire.nic.unit.call import machine_code
from crosswire.nic.unit.compile import compiled
from crosswire.venues.book.book import NO_ASK, NO_BID, Book, level_lots, make_books, worse_level
from crosswire.venues.bridge.binance.remark import Remark, note
from crosswire.venues.bridge.binance.state import OUTPUT_BYTES_PER_LINE_MAX, Chain, Stream
from crosswire.venues.bridge.wire.encoder import FeedWriter, book_bytes_max
from crosswire.venues.bridge.wire.layout import Level
from crosswire.venues.side import ASK, BID

BOOK_LEVELS_MAX = 65_535  # of the book that is kept for the next recording, both sides together: what `Book` takes


@compiled
def copy_side(levels: Array, book: Book, side: int, best_ticks: int) -> int:
    """Copy a side's levels, best first, into an array that has room for them; how many there were."""
    count = 0
    price_ticks = best_ticks
    while price_ticks != NO_BID and price_ticks != NO_ASK:
        level = levels[count]
        level.price_ticks = price_ticks
        level.qty_lots = level_lots(book, side, price_ticks)
        count += 1
        price_ticks = worse_level(book, side, price_ticks)
    return count


@dataclass(frozen=True)
class CarriedBook:
    """A proven book: its levels, best first."""

    last_id: int
    kept_speed: int  # `StreamName.speed` of the depth stream that it followed
    bids: Array
    bid_count: int
    asks: Array
    ask_count: int


@dataclass(frozen=True)
class Carried:
    """Where one recording's capture ended."""

    sequence: int  # of its last packet: the next capture goes on from there
    time_ns: int  # of its last line, by the recording host's clock
    book: CarriedBook | None  # None: it was not proven there, or too large to keep
    is_proven: bool  # whoever read the capture has a valid book


def keep_book(stream: Stream) -> None:
    """Have the stream keep its book for the recording that follows."""
    stream.book = make_books(1, BOOK_LEVELS_MAX)
    stream.keeps_book = 1


def carry(stream: Stream, publisher: FeedWriter) -> Carried:
    """Take what the next recording needs out of one that is done."""
    book = None
    is_proven = stream.chain in (Chain.SNAPSHOT, Chain.LIVE)
    if stream.keeps_book and is_proven:
        kept, copy = stream.book[0], machine_code(copy_side)
        bids, asks = array(Level, kept.bid_levels + 1), array(Level, kept.ask_levels + 1)
        book = CarriedBook(
            last_id=stream.last_id,
            kept_speed=stream.kept_speed,
            bids=bids,
            bid_count=copy(bids, kept, BID, kept.level_bid_ticks),
            asks=asks,
            ask_count=copy(asks, kept, ASK, kept.level_ask_ticks),
        )
    return Carried(publisher.sequence, stream.clock.time_ns, book, is_proven)


def room_for(carried: Carried | None) -> int:
    """How many bytes of packets one line may become, with a carried book before it."""
    if carried is None or carried.book is None:
        return OUTPUT_BYTES_PER_LINE_MAX
    return OUTPUT_BYTES_PER_LINE_MAX + book_bytes_max(carried.book.bid_count + carried.book.ask_count)


def take_up(stream: Stream, publisher: FeedWriter, carried: Carried) -> None:
    """Ready a stream that has read nothing yet to go on where another ended."""
    publisher.sequence = carried.sequence
    write_udp_frame_header(address_of(publisher.frame_header), publisher.flow, 0)  # as before a first packet
    stream.room_bytes = room_for(carried)
    if carried.book is None:
        if carried.is_proven:  # that book must not live on: a delta that does not follow it ends it
            stream.chain = Chain.BROKEN
            note(stream.remarks, Remark.BREAK, 1, 1)
        return
    stream.chain = Chain.CARRIED
    stream.last_id = carried.book.last_id
    stream.kept_speed = carried.book.kept_speed
    stream.carried_bids, stream.carried_bid_count = carried.book.bids, carried.book.bid_count
    stream.carried_asks, stream.carried_ask_count = carried.book.asks, carried.book.ask_count
