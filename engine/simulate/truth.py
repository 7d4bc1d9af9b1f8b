"""`Truth`: a ring in front of a simulated exchange's that reads its market data before anything can happen to it.

It gives each datagram its checksum, as the sender's card does: made-up captures have none.

Whatever a cable loses, doubles or delays behind it, a book of the engine's that says it is proven must be one that this
ring has seen: what an instrument's book was after each packet is remembered for a while.
"""

from typing import Annotated, Any

from crosswire.nic.memory.raw import GOLDEN, mix_bits, multiply_u64
from crosswire.nic.memory.struct import Array, Pointer, Reference, Struct, address_of, array, i64, one
from crosswire.nic.packet import PROTOCOL_UDP, Packet, PacketCounters, parse_packet, seal_udp_frame
from crosswire.nic.rings.remote import RemoteRing
from crosswire.nic.rings.ring import Frame, RingCounters, commit, flush, next_time_ns, poll, release, reserve
from crosswire.nic.unit.compile import compiled
from crosswire.nic.unit.link import Linker
from crosswire.nic.unit.load import call_entry
from crosswire.venues.book.book import NO_ASK, NO_BID, Book, level_lots, make_books, worse_level
from crosswire.venues.feed import Feed, feed_unit
from crosswire.venues.market import Events, Market, clear_events, copy_instruments
from crosswire.venues.side import BID

REMEMBERED_MAX = 1024  # books of one instrument: a lost packet is noticed, and its book given up, long before
DEPTH = 5  # levels of a side that are compared


class BookPast(Struct):
    """What one instrument's book was, newest at `count` - 1."""

    count: i64
    digests: Annotated[Array, i64, REMEMBERED_MAX]


class Truth(Struct):
    """The ring."""

    inner: Annotated[Pointer, RemoteRing]
    counters: Annotated[RingCounters, Reference]
    feed: Annotated[Feed, Reference]  # its own
    decode: i64  # entry of the feed's unit
    market: Market
    packet: Packet
    parsed: PacketCounters
    events: Events
    past: Annotated[Pointer, BookPast]  # by market index


def make_truth(inner: RemoteRing, feed: Any, terms: Market, level_capacity: int, linker: Linker) -> Truth:
    """Make the ring over `inner`; `feed` has seen nothing yet and becomes its own."""
    truth = Truth()
    truth.inner = one(inner)
    truth.counters = inner.counters
    truth.feed = feed
    linker.link_all(truth, feed_unit(type(feed)))
    copy_instruments(truth.market, terms)
    truth.market.books = make_books(terms.capacity, level_capacity)
    truth.past = array(BookPast, terms.capacity)
    return truth


@compiled
def digest_of_book(book: Book) -> int:
    """Digest how many levels a book has, and DEPTH of them a side.

    Not the number of its last change: a snapshot has the number of its channel's last, which may be another's.
    """
    digest = mix_bits(multiply_u64(book.bid_levels, GOLDEN) + book.ask_levels)
    for side in range(2):
        price_ticks = book.level_bid_ticks if side == BID else book.level_ask_ticks
        for _ in range(DEPTH):
            if price_ticks == (NO_BID if side == BID else NO_ASK):
                break
            digest = mix_bits(digest + multiply_u64(price_ticks, GOLDEN) + level_lots(book, side, price_ticks))
            price_ticks = worse_level(book, side, price_ticks)
    return digest


@compiled
def was_true(truth: Truth, instrument: int, digest: int) -> bool:
    """Tell whether the exchange's book of the instrument has been this one."""
    past = truth.past[instrument]
    for back in range(min(past.count, REMEMBERED_MAX)):
        if past.digests[(past.count - 1 - back) % REMEMBERED_MAX] == digest:
            return True
    return False


@poll.register(Truth)
def poll_truth(truth: Truth, frame: Frame, now_ns: int) -> bool:
    if not poll(truth.inner[0], frame, now_ns):
        return False
    if not parse_packet(frame, truth.packet, truth.parsed) or truth.packet.protocol != PROTOCOL_UDP:
        return True
    seal_udp_frame(frame.address, truth.packet.payload_length)
    events, market = truth.events, truth.market
    clear_events(events, market)
    call_entry(truth.decode, address_of(truth.feed), address_of(truth.packet), address_of(market), address_of(events))
    for position in range(events.count):
        instrument = events.items[position].instrument
        if market.books[instrument].valid != 0:
            past = truth.past[instrument]
            past.digests[past.count % REMEMBERED_MAX] = digest_of_book(market.books[instrument])
            past.count += 1
    return True


@release.register(Truth)
def release_truth(truth: Truth) -> None:
    release(truth.inner[0])


@reserve.register(Truth)
def reserve_truth(truth: Truth, length: int) -> int:
    return reserve(truth.inner[0], length)


@commit.register(Truth)
def commit_truth(truth: Truth, length: int, now_ns: int) -> None:
    commit(truth.inner[0], length, now_ns)


@flush.register(Truth)
def flush_truth(truth: Truth) -> None:
    flush(truth.inner[0])


@next_time_ns.register(Truth)
def next_truth_ns(truth: Truth) -> int:
    return next_time_ns(truth.inner[0])
