"""How often recorded trades are told after the book change that they made, and what the queue makes of it."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from crosswire.nic.memory.struct import Struct, address_of, i64
from crosswire.nic.packet import Packet, PacketCounters, parse_packet
from crosswire.nic.rings.replay import FOLLOWER, STARVED, Replay, next_record_time, take_record
from crosswire.nic.rings.ring import NEVER_NS, Frame
from crosswire.nic.unit.compile import NO_JIT
from crosswire.nic.unit.link import Linker
from crosswire.nic.unit.load import call_entry
from crosswire.venues.book.book import available_lots, make_books
from crosswire.venues.bridge.binance.importer import ImportOptions, import_file
from crosswire.venues.bridge.feed import BridgeFeed
from crosswire.venues.exchange.queue import Queue, QueuePlace, join_queue, see_level, see_trade
from crosswire.venues.feed import feed_unit
from crosswire.venues.instrument import Instrument
from crosswire.venues.market import TRADE, Events, Market, clear_events
from crosswire.venues.side import ASK, BID
from tests.support.paths import recording

pytestmark = [pytest.mark.slow, pytest.mark.skipif(NO_JIT, reason="a whole recording takes minutes uncompiled")]


class Decoder(Struct):
    decode: i64


@dataclass
class Watch:
    """An order that joins the best price of a side whenever that changes."""

    side: int
    price_ticks: int = 0
    place: QueuePlace = field(default_factory=QueuePlace)


@dataclass
class Tally:
    trades: int = 0
    late: int = 0  # told after a book message of the same or a later time
    lots: int = 0  # of trades at the best price
    late_lots: int = 0
    twice_lots: float = 0.0  # of those, that the queue would have lost twice


def tally(capture: Path) -> Tally:
    """Play a capture of the bridge feed."""
    market = Market(capacity=1)
    market.instruments = Instrument.array(1)
    market.books = make_books(1, 1 << 14)
    feed, events, frame, packet = BridgeFeed(discover=1), Events(), Frame(), Packet()
    decoder, linker, counters = Decoder(), Linker(), PacketCounters()
    linker.link_all(decoder, feed_unit(BridgeFeed))
    linker.load()
    queue, said = Queue(), Tally()
    watches = [Watch(BID), Watch(ASK)]
    arguments = [address_of(each) for each in (feed, packet, market, events)]
    with Replay([capture]) as replay:
        captures, cursor = replay.captures, replay.cursors[FOLLOWER]
        while (time_ns := next_record_time(captures, cursor)) != NEVER_NS:
            if time_ns == STARVED:
                replay.refill()
                continue
            take_record(captures, cursor, frame)
            assert parse_packet(frame, packet, counters)
            clear_events(events, market)
            call_entry(decoder.decode, *arguments)
            for place in range(events.count):
                hear(queue, watches, market, events.items[place], said)
    return said


def hear(queue: Queue, watches: list[Watch], market: Market, event: Struct, said: Tally) -> None:
    book, time_ns = market.books[0], event.exchange_time_ns
    if book.valid == 0:
        return
    if event.kind == TRADE:
        said.trades += 1
        said.late += time_ns <= book.exchange_time_ns
        watch = watches[1 - event.side]
        if event.price_ticks == watch.price_ticks:
            said.lots += event.qty_lots
            said.late_lots += event.qty_lots if time_ns <= book.exchange_time_ns else 0
            front_lots = watch.place.front_lots
            see_trade(queue, watch.place, event.qty_lots, time_ns)
            said.twice_lots += min(event.qty_lots, front_lots) - (front_lots - watch.place.front_lots)
        return
    for watch in watches:
        price_ticks = book.bid_ticks if watch.side == BID else book.ask_ticks
        lots = available_lots(book, watch.side, price_ticks)
        if price_ticks != watch.price_ticks:
            join_queue(watch.place, lots, time_ns, 0, 1.0)
        else:
            see_level(queue, watch.place, lots, time_ns)
        watch.price_ticks = price_ticks


def test_recorded_trades_are_not_counted_twice(tmp_path: Path) -> None:
    capture = tmp_path / "usdm.pcap"
    import_file(recording("binance/usdm/btcusdt_20240808.gz"), capture, ImportOptions(clock_offset_ns=1_275_000_000))
    said = tally(capture)
    # docs/simulation.md has these figures.
    assert (said.trades, said.late) == (21_308, 8_836)
    assert (said.lots, said.late_lots, said.twice_lots) == (1_103_337, 527_315, 124_077)
