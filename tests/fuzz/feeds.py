"""Market data: each venue's feed, packet by packet, over a market of its own."""

from typing import Any

from crosswire.venues.book.book import NO_ASK, NO_BID, Book
from tests.fuzz.target import Target, guard, joined, pieces
from tests.support.deribit_setup import Receiver as DeribitReceiver
from tests.support.starbase_feed_setup import Receiver as StarbaseReceiver
from tests.venues.bridge import test_bridge_feed as bridge
from tests.venues.deribit.test_deribit_feed import made_packets
from tests.venues.starbase.test_starbase_feed import whole_packets


def check_books(market: Any) -> None:
    """A count below 0, or a best price without a size, would mislead whoever reads the book."""
    for index in range(market.count):
        book: Book = market.books[index]
        assert book.bid_levels >= 0
        assert book.ask_levels >= 0
        if book.valid != 0:
            assert book.bid_ticks == NO_BID or book.bid_lots > 0
            assert book.ask_ticks == NO_ASK or book.ask_lots > 0


def run_bridge(data: bytes) -> None:
    """Packets of the bridge feed."""
    desk = bridge.Desk()
    count = 0
    for packet in pieces(data):
        desk.take(packet, guard().place(packet))
        count += 1
        check_books(desk.market)
    assert desk.feed.packets == count


def bridge_seeds() -> list[bytes]:
    """Everything the feed publishes, in order; a gap; and each packet alone."""
    levels, asks = ((1000, 5), (999, 7)), ((1001, 2),)
    packets = [
        bridge.packed(1, bridge.definition()),
        bridge.packed(2, bridge.snapshot(10, levels, asks)),
        bridge.packed(3, bridge.delta(10, 11, ((1000, 0),), ((1002, 3),)), bridge.trade(1000, 5, 0)),
        bridge.packed(4, bridge.quote(12, (999, 7), (1001, 2))),
        bridge.packed(5, bridge.delta(11, 12, levels), flags=bridge.MORE),
        bridge.packed(6, bridge.delta(11, 12, (), asks, bridge.LATER)),
        bridge.packed(7, bridge.heartbeat()),
        bridge.packed(8, bridge.mark_price(100_000_000_000, -60_420, bridge.T0 + 1)),
    ]
    return [joined(*packets), joined(*packets[:2], *packets[4:]), *(joined(packet) for packet in packets)]


def run_deribit(data: bytes) -> None:
    """Packets of Deribit's multicast."""
    receiver = DeribitReceiver(capacity=4, levels=64)
    count = 0
    for packet in pieces(data):
        receiver.place(guard().place(packet), len(packet), 1_700_000_000_000_000_000 + count)
        count += 1
        assert receiver.events.dropped == 0
        check_books(receiver.market)
    assert receiver.feed.packets == count


def deribit_seeds() -> list[bytes]:
    """Every kind of packet that the encoder knows: all of them, and each alone."""
    packets = made_packets()
    return [joined(*packets), *(joined(packet) for packet in packets)]


def run_starbase(data: bytes) -> None:
    """Packets of Starbase's L3 feed, and answers of its retransmission service."""
    receiver = StarbaseReceiver()
    receiver.guard.close()
    receiver.guard = guard()
    for packet in pieces(data):
        receiver.receive(packet)
        check_books(receiver.market)
        for index in range(receiver.market.count):
            queue, book = receiver.queue(index), receiver.book(index)
            assert 0 <= queue.count <= queue.order_capacity
            assert book.bid_levels + book.ask_levels == queue.level_count


def starbase_seeds() -> list[bytes]:
    """Every kind of message that the feed reads."""
    packets = whole_packets()
    return [joined(*packets), *(joined(packet) for packet in packets)]


TARGETS = [
    Target("bridge-feed", run_bridge, bridge_seeds),
    Target("deribit-feed", run_deribit, deribit_seeds),
    Target("starbase-feed", run_starbase, starbase_seeds),
]
