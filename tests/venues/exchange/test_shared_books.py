"""An exchange that uses the engine's books where they need not differ, beside one that has its own: same answers."""

import random
from pathlib import Path

import pytest

from crosswire.nic.capture.writer import CaptureWriter
from crosswire.nic.memory.struct import Struct, array, copy_struct, i64, size_of, u8, view
from crosswire.nic.packet import UDP_FRAME_HEADER_BYTES, Flow, Packet, write_udp_frame_header
from crosswire.nic.unit.compile import compiled
from crosswire.venues.book.book import clear_book, refresh_top, set_level, set_quote
from crosswire.venues.exchange.simulated import SimulatedExchange
from crosswire.venues.exchange.wire_time import WireTime, read_wire_time, tell_time
from crosswire.venues.feed import Feed, copy_feed, decode
from crosswire.venues.market import TRADE, Events, Market, add_event, book_changed, lose_book
from crosswire.venues.side import ASK, BID
from tests.venues.exchange.test_simulated import (
    ACK,
    CANCELLED,
    FEED_NS,
    FILL,
    FOK,
    GTC,
    IOC,
    MS,
    POST_ONLY,
    REJECTED,
    T0,
    Outcome,
    at,
    busy_steps,
    run,
)

LEVEL, DEAL, QUOTE, SNAPSHOT, LOSS = range(5)


class Said(Struct, packed=True):
    """A packet of the test's feed."""

    kind: i64
    made_ns: i64  # 0: it does not say
    side: i64
    price_ticks: i64
    qty_lots: i64


class TellingFeed(Feed):
    """A feed of instrument 0 that says all that a book can be told."""

    last_id: i64


@decode.register(TellingFeed)
def decode_telling(feed: TellingFeed, packet: Packet, market: Market, events: Events) -> None:
    if packet.payload_length == size_of(Said):
        apply_said(feed, view(Said, packet.payload_address), packet, market, events)


@copy_feed.register(TellingFeed)
def copy_telling(feed: TellingFeed, source: TellingFeed, _market: Market) -> None:
    copy_struct(feed, source)


@compiled
def apply_said(feed: TellingFeed, said: Said, packet: Packet, market: Market, events: Events) -> None:
    book = market.books[0]
    feed.last_id += 1
    if said.kind == DEAL:
        event = add_event(events, TRADE, 0, packet.time_ns)
        event.side, event.price_ticks, event.qty_lots = said.side, said.price_ticks, said.qty_lots
        return
    if said.kind == LOSS:
        lose_book(market, events, 0, packet.time_ns)
        return
    if said.kind == SNAPSHOT:
        clear_book(book)
        for step in range(4):
            set_level(book, BID, said.price_ticks - 1 - step, said.qty_lots + step)
            set_level(book, ASK, said.price_ticks + step, said.qty_lots + step)
        book.valid = 1
    if book.valid == 0:
        return
    if said.kind == QUOTE:
        set_quote(book, feed.last_id, said.price_ticks - 1, said.qty_lots, said.price_ticks, said.qty_lots)
    else:
        if said.kind == LEVEL:
            set_level(book, said.side, said.price_ticks, said.qty_lots)
        book.update_id = feed.last_id
    refresh_top(book)
    book.exchange_time_ns = packet.time_ns
    book_changed(events, market, 0, packet.time_ns)


@read_wire_time.register(TellingFeed)
def read_telling(_feed: TellingFeed, packet: Packet, told: WireTime) -> None:
    told.time_ns = told.is_book = 0
    if packet.payload_length == size_of(Said):
        said = view(Said, packet.payload_address)
        tell_time(told, said.made_ns, 0 if said.kind == DEAL else 1)


def write_said(path: Path, seed: int, count: int, spread: int) -> Path:
    """A lively market around 100: levels on both sides, trades, quotes, and now and then a new snapshot or a loss."""
    chance = random.Random(seed)
    flow = Flow(source_ip=1, destination_ip=2, source_port=3, destination_port=4)
    header = array(u8, UDP_FRAME_HEADER_BYTES)
    write_udp_frame_header(header.address, flow, size_of(Said))
    time_ns = T0
    with CaptureWriter(path) as writer:
        for number in range(count):
            time_ns += chance.choice((0, 0, 100_000, 400_000, MS, 2 * MS))
            under_way_ns = chance.choice((0, MS, 2 * MS, 5 * MS, 9 * MS, 40 * MS))
            kind = chance.choices((LEVEL, DEAL, QUOTE, SNAPSHOT, LOSS), (80, 12, 6, 1, 1))[0] if number else SNAPSHOT
            side = chance.randrange(2)
            price_ticks = 100 + chance.randrange(6) * spread if side == ASK else 99 - chance.randrange(6) * spread
            said = Said(kind=kind, side=side, price_ticks=price_ticks, qty_lots=chance.randrange(10))
            if kind in (QUOTE, SNAPSHOT):
                said.price_ticks, said.qty_lots = chance.randrange(98, 103), chance.randrange(1, 9)
            said.made_ns = 0 if chance.random() < 0.2 else time_ns - under_way_ns
            writer.write(time_ns, bytes(header) + bytes(said))
    return path


def both(path: Path, steps: list[tuple[int, ...]], feed_latency_ns: int | None, window_bytes: int = 1 << 20) -> Outcome:
    """Run with books of its own, and with shared ones; all that can be seen is the same."""
    seen = []

    def look(exchange: SimulatedExchange) -> None:
        clock, matching = exchange.clock, exchange.matching
        clock_says = (bytes(clock.measured), clock.untimed, clock.raised, clock.differing, clock.resolution_ns)
        matched = (matching.taker_fills, matching.maker_fills, matching.cancelled, list(matching.rejects))
        seen.append((clock_says, matched, exchange.exchange_frames, exchange.now_ns))
        partings.append(exchange.partings)

    partings: list[int] = []
    outcomes = [
        run(path, steps, window_bytes, 100, TellingFeed(), feed_latency_ns, shares=shares, look=look)
        for shares in (False, True)
    ]
    assert outcomes[0] == outcomes[1]
    assert seen[0] == seen[1]
    assert partings[0] == 0 < partings[1]
    return outcomes[1]


@pytest.mark.parametrize("feed_latency_ns", [None, FEED_NS, 0])
@pytest.mark.parametrize("kinds", [(IOC, FOK), (IOC, IOC, IOC, GTC), (IOC, GTC, GTC, POST_ONLY)])
@pytest.mark.parametrize("seed", range(3))
def test_the_same_answers_as_with_books_of_its_own(
    tmp_path: Path, seed: int, kinds: tuple[int, ...], feed_latency_ns: int | None
) -> None:
    path = write_said(tmp_path / "feed.pcap", seed, 3000, (1, 7, 90)[seed])
    steps = busy_steps(seed, T0 + 1500 * MS, kinds)
    heard = both(path, steps, feed_latency_ns).heard
    assert {one[1] for one in heard} >= {ACK, FILL, CANCELLED, REJECTED}


def test_where_the_windows_starve_changes_nothing(tmp_path: Path) -> None:
    path = write_said(tmp_path / "feed.pcap", 5, 3000, 3)
    steps = busy_steps(5, T0 + 1500 * MS, (IOC, IOC, GTC))
    starved, whole = both(path, steps, None, 8192), both(path, steps, None)
    assert (starved.heard, starved.digest) == (whole.heard, whole.digest)


def test_what_was_taken_is_remembered_between_orders(tmp_path: Path) -> None:
    """Ten orders for the same ten lots, the engine long past each: the first takes them, the rest nothing."""
    flow = Flow(source_ip=1, destination_ip=2, source_port=3, destination_port=4)
    header = array(u8, UDP_FRAME_HEADER_BYTES)
    write_udp_frame_header(header.address, flow, size_of(Said))
    path = tmp_path / "feed.pcap"
    with CaptureWriter(path) as writer:
        for number in range(500):
            kind = LEVEL if number else SNAPSHOT
            said = Said(kind=kind, side=BID, price_ticks=50 if number else 101, qty_lots=10)
            writer.write(T0 + number * MS, bytes(header) + bytes(said))
    steps = [at(50 + 40 * number, qty_lots=10) for number in range(10)]
    heard = both(path, steps, FEED_NS).heard
    assert [one[4] for one in heard if one[1] == FILL] == [10]
