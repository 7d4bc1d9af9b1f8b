"""What each feed loses for each reason that something is not believed: as `COSTS` says, no more and no less.

Every feed starts with two proven books on one channel. One packet, packed by hand, has something wrong with it.
"""

import struct
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from crosswire.engine.feed_warnings import KINDS, feed_warnings, levels_let_go
from crosswire.venues.bridge import feed as bridge_feed
from crosswire.venues.deribit.feed import state as deribit_state
from crosswire.venues.deribit.wire.encoder import write_definition
from crosswire.venues.deribit.wire.layout import BookChange, BookSide, Direction
from crosswire.venues.feed import COSTS, Cost, Feed, Reject
from crosswire.venues.instrument import E9
from crosswire.venues.market import Market
from crosswire.venues.side import ASK, BID
from crosswire.venues.starbase.feed import state as starbase_state
from tests.support import deribit_setup as deribit
from tests.support import starbase_feed_setup as starbase
from tests.venues.bridge import test_bridge_feed as bridge

BOOK, OTHER = 0, 1  # whether the message changes a book: place in `COSTS`


class Bench(ABC):
    """A feed with two valid books on one channel."""

    feed: Feed
    market: Market

    @abstractmethod
    def take(self, payload: bytes) -> None:
        """Give the feed a UDP payload."""

    @abstractmethod
    def packet(self, body: bytes, count: int = 1, skip: int = 0) -> bytes:
        """Pack messages as the channel's next packet, or after `skip` missing ones."""

    @abstractmethod
    def other_channel(self, number: int) -> bytes:
        """Pack an empty packet of another channel."""

    def valid(self) -> tuple[int, int]:
        return self.market.books[0].valid, self.market.books[1].valid


class BridgeBench(Bench):
    def __init__(self) -> None:
        self.desk = bridge.Desk()
        self.feed, self.market = self.desk.feed, self.desk.market
        for wire_id, symbol in ((bridge.BTC, "BTCUSDT"), (bridge.ETH, "ETHUSDT")):
            self.desk.send(bridge.definition(wire_id, symbol))
            self.desk.send(bridge.snapshot(100, [(99, 5)], [(101, 7)], wire_id=wire_id))

    def take(self, payload: bytes) -> None:
        self.desk.take(payload)

    def packet(self, body: bytes, count: int = 1, skip: int = 0) -> bytes:
        self.desk.sequence += 1 + skip
        sequence = self.desk.sequence
        return struct.pack("<QQHHHH", sequence, bridge.T0 + sequence, 7, count, bridge.END, 24 + len(body)) + body

    def other_channel(self, number: int) -> bytes:
        return bridge.packed(1, channel=1000 + number)


class DeribitBench(Bench):
    def __init__(self) -> None:
        self.receiver = deribit.Receiver(levels=64)
        self.feed, self.market = self.receiver.feed, self.receiver.market
        self.changes, definitions = deribit.Sender(1), deribit.Sender(101)
        for instrument, venue_id in ((deribit.perpetual(), deribit.PERPETUAL), (deribit.spot(), deribit.SPOT)):
            self.take(definitions.packet((write_definition, instrument, venue_id)))
            self.take(self.changes.change(0, 5, deribit.bid(100.0, 10.0), venue_id=venue_id))

    def take(self, payload: bytes) -> None:
        self.receiver.receive(payload)

    def packet(self, body: bytes, count: int = 1, skip: int = 0) -> bytes:
        self.changes.writer.sequence += 1 + skip
        return struct.pack("<HHI", len(body), 1, self.changes.writer.sequence) + body

    def other_channel(self, number: int) -> bytes:
        return struct.pack("<HHI", 0, 1000 + number, 1)


class StarbaseBench(Bench):
    def __init__(self) -> None:
        self.receiver = starbase.Receiver()
        self.feed, self.market = self.receiver.feed, self.receiver.market
        self.wire, snapshots = starbase.Sender(), starbase.Sender(starbase.SNAPSHOT)
        self.take(self.wire.packet(transaction=False, end=False))
        for index in range(2):
            state = {1 + index: (BID, 100, 5, 1), 11 + index: (ASK, 110, 7, 2)}
            self.take(snapshots.packet(*starbase.snapshot(index, state, 0)))
        for index in range(2):  # now it is known which channel carries them
            self.take(self.wire.packet(starbase.put(index, BID, 21 + index, 99, 1)))

    def take(self, payload: bytes) -> None:
        self.receiver.receive(payload)

    def packet(self, body: bytes, count: int = 1, skip: int = 0) -> bytes:
        first = self.wire.writer.sequence + skip
        self.wire.writer.sequence = first + count
        self.wire.time_ns += 1000
        header = struct.pack("<qqiHH", self.wire.time_ns, first, starbase.CHANNEL, starbase.INCREMENTAL, count)
        return header + body

    def other_channel(self, number: int) -> bytes:
        return struct.pack("<qqiHH", self.wire.time_ns, 1, 1000 + number, starbase.INCREMENTAL, 0)


BENCHES: dict[str, Callable[[], Bench]] = {
    "bridge": BridgeBench,
    "deribit": DeribitBench,
    "starbase": StarbaseBench,
}


def deribit_message(
    template: int, root: bytes, *groups: tuple[int, list[bytes]], texts: int = 0, schema: int = 1
) -> bytes:
    body = struct.pack("<6H", len(root), template, schema, 2, len(groups), texts) + root
    for stride, entries in groups:
        body += struct.pack("<4H", stride, len(entries), 0, 0) + b"".join(entries)
    return body


def deribit_book(*entries: bytes, stride: int = 18, venue_id: int = deribit.PERPETUAL) -> bytes:
    return deribit_message(1001, struct.pack("<IQQQB", venue_id, 1000, 5, 6, 1), (stride, list(entries)))


def deribit_change(side: int, change: int, price: float, amount: float) -> bytes:
    return struct.pack("<BBdd", side, change, price, amount)


def deribit_trades(direction: int, price: float, amount: float) -> bytes:
    entry = struct.pack("<BddQ", direction, price, amount, 1000)
    return deribit_message(1002, struct.pack("<I", deribit.PERPETUAL), (83, [entry.ljust(83, b"\0")]))


def starbase_message(template: int, root: bytes, length: int | None = None) -> bytes:
    told = 16 + len(root) if length is None else length
    return struct.pack("<HHHHq", told, template, 1, 3, starbase.START_NS) + root


def starbase_put(price_e9: int, mantissa: int, venue_id: int = starbase.PERPETUAL, side: int = BID) -> bytes:
    return starbase_message(20 + side, struct.pack("<5q", 50, venue_id, mantissa, price_e9, 50))


@dataclass(frozen=True)
class Case:
    """A packet with something wrong: how it is made, and whether what is wrong is in a message that changes a book."""

    make: Callable[[Any], bytes]
    place: int = BOOK
    hit: int = 0  # the book that the message is about


def body(content: bytes, count: int = 1, place: int = BOOK, hit: int = 0) -> Case:
    return Case(lambda bench: bench.packet(content, count), place, hit)


BTC = struct.pack("<I", bridge.BTC)
PERPETUAL = struct.pack("<I", deribit.PERPETUAL)
GOOD_ENTRY = deribit_change(BookSide.BID, BookChange.CREATED, 100.5, 10.0)
NEW_GROUP = struct.pack("<HHQQ", 8, 2, 1, 2)  # bridge: two entries of eight bytes
STARBASE_ROOT = struct.pack("<qq", 50, starbase.PERPETUAL)

CASES: dict[tuple[str, Reject], list[Case]] = {
    ("bridge", Reject.SHORT_PACKET): [Case(lambda bench: bench.packet(b"")[:23])],
    ("bridge", Reject.LENGTH_MISMATCH): [Case(lambda bench: bench.packet(bridge.delta(100, 101)) + b"\0")],
    ("bridge", Reject.SHORT_MESSAGE): [body(bridge.delta(100, 101), count=2), body(b"1234567")],
    ("bridge", Reject.UNKNOWN_SCHEMA): [body(bridge.message(bridge.HEARTBEAT, bytes(8), schema=1), place=OTHER)],
    ("bridge", Reject.UNKNOWN_TEMPLATE): [
        body(bridge.message(9, bytes(11))),
        body(bridge.message(9, bytes(11)) + NEW_GROUP),
        body(bridge.message(9, bytes(11)) + NEW_GROUP + bridge.heartbeat(), count=2),
        body(bridge.message(0, b"") + bridge.heartbeat() + bridge.heartbeat(), count=3),
        body(bridge.message(9, b"") + bridge.message(65535, bytes(3)) + NEW_GROUP, count=2),
    ],
    ("bridge", Reject.SHORT_BLOCK): [
        body(bridge.message(bridge.DELTA, BTC, [(99, 1)], [])),
        body(bridge.message(bridge.SNAPSHOT, BTC, [], [(101, 1)]) + bridge.heartbeat(), count=2),
        body(bridge.message(bridge.QUOTE, BTC)),
        body(bridge.message(bridge.TRADES, BTC), place=OTHER),
        body(bridge.message(bridge.DEFINITION, BTC), place=OTHER),
        body(bridge.message(bridge.HEARTBEAT, b"") + bridge.heartbeat(), count=2, place=OTHER),
    ],
    ("bridge", Reject.BLOCK_OVERRUN): [body(bridge.message(9, bytes(20))[:-1])],
    ("bridge", Reject.GROUP_OVERRUN): [
        body(bridge.delta(100, 101, [(99, 1)])[:-1]),
        body(bridge.snapshot(101, [(99, 1)], [(101, 1)])[:-1]),
    ],
    ("bridge", Reject.SHORT_ENTRY): [body(bridge.delta(100, 101)[:45] + struct.pack("<HHqHH", 8, 1, 99, 16, 0))],
    ("bridge", Reject.BAD_VALUE): [
        body(bridge.delta(100, 101, [(99, -1)])),
        body(bridge.delta(100, 101, [], [(1 << 52, 1)]) + bridge.heartbeat(), count=2),
        body(bridge.quote(101, (99, -1), (100, 1))),
        body(bridge.quote(101, (102, 1), (101, 1))),
        body(bridge.delta(100, 101, [(102, 1)])),
        body(bridge.snapshot(101, [(102, 1)], [(101, 1)]) + bridge.heartbeat(), count=2),
        body(bridge.definition(tick_e9=0)),
        body(bridge.trade(99, 1, 2), place=OTHER),
        body(bridge.trade(99, -1, 0), place=OTHER),
    ],
    ("bridge", Reject.BOOK_FULL): [body(bridge.delta(100, 101, [(1 << 51, 1)]))],
    ("bridge", Reject.UNKNOWN_INSTRUMENT): [body(bridge.delta(100, 101, [(99, 1)], wire_id=77))],
    ("deribit", Reject.SHORT_PACKET): [Case(lambda bench: bench.packet(b"")[:7])],
    ("deribit", Reject.LENGTH_MISMATCH): [Case(lambda bench: bench.packet(deribit_book(GOOD_ENTRY)) + b"\0")],
    ("deribit", Reject.SHORT_MESSAGE): [body(b"12345678901")],
    ("deribit", Reject.UNKNOWN_SCHEMA): [body(deribit_message(1001, bytes(29), schema=2))],
    ("deribit", Reject.UNKNOWN_TEMPLATE): [
        body(deribit_message(1011, bytes(5))),
        body(deribit_message(999, b"", (8, [bytes(8), bytes(8)]), (3, [bytes(3)]), texts=1) + b"\x02ab"),
    ],
    ("deribit", Reject.SHORT_BLOCK): [
        body(deribit_message(1001, PERPETUAL + bytes(8), (18, [GOOD_ENTRY]))),
        body(deribit_message(1003, PERPETUAL), place=OTHER),
        body(deribit_message(1002, b"", (83, [])), place=OTHER),
        body(deribit_message(1008, b"") + deribit_message(1003, b""), place=OTHER),
    ],
    ("deribit", Reject.BLOCK_OVERRUN): [body(deribit_message(1001, bytes(29))[:-1])],
    ("deribit", Reject.GROUP_OVERRUN): [body(deribit_book(GOOD_ENTRY)[:-1])],
    ("deribit", Reject.SHORT_ENTRY): [
        body(deribit_book(GOOD_ENTRY[:10], stride=10)),
        body(deribit_message(1002, PERPETUAL, (9, [bytes(9)])), place=OTHER),
    ],
    ("deribit", Reject.TEXT_OVERRUN): [body(deribit_message(1008, b"", texts=1) + b"\x09ab", place=OTHER)],
    ("deribit", Reject.BAD_VALUE): [
        body(deribit_book(deribit_change(BookSide.BID, 3, 100.5, 10.0))),  # an unknown action
        body(deribit_book(deribit_change(2, BookChange.CREATED, 100.5, 10.0))),  # an unknown side
        body(deribit_book(deribit_change(BookSide.BID, BookChange.CREATED, 100.25, 10.0))),  # off the tick
        body(deribit_book(deribit_change(BookSide.BID, BookChange.CREATED, 100.5, -10.0))),
        body(deribit_trades(Direction.NONE, 100.0, 10.0), place=OTHER),
        body(deribit_trades(Direction.BUY, 100.25, 10.0), place=OTHER),
    ],
    ("deribit", Reject.BOOK_FULL): [body(deribit_book(deribit_change(BookSide.BID, BookChange.CREATED, 1e13, 10.0)))],
    ("deribit", Reject.UNKNOWN_INSTRUMENT): [body(deribit_book(GOOD_ENTRY, venue_id=77))],
    ("starbase", Reject.SHORT_PACKET): [Case(lambda bench: bench.packet(b"")[:23])],
    ("starbase", Reject.SHORT_MESSAGE): [body(b"1234567"), body(starbase_message(12, bytes(16)), count=2)],
    ("starbase", Reject.UNKNOWN_TEMPLATE): [
        body(starbase_message(9, bytes(24))),
        body(starbase_message(65535, b"") + starbase_message(7, bytes(8)), count=2),
    ],
    ("starbase", Reject.SHORT_BLOCK): [
        body(starbase_message(20, STARBASE_ROOT)),
        body(starbase_message(23, STARBASE_ROOT) + starbase_message(12, bytes(16)), count=2),
        body(starbase_message(31, STARBASE_ROOT), place=OTHER),
        body(starbase_message(10, STARBASE_ROOT), place=OTHER),
    ],
    ("starbase", Reject.BLOCK_OVERRUN): [body(starbase_message(9, bytes(8), length=25))],
    ("starbase", Reject.BAD_VALUE): [
        body(starbase_put(E9 // 4, 10)),  # off the tick
        body(starbase_put(50 * E9, -10)),
        body(starbase_message(31, struct.pack("<5qI", 1, starbase.PERPETUAL, 1, 10, E9 // 4, 0)), place=OTHER),
    ],
    ("starbase", Reject.BOOK_FULL): [body(starbase_put((1 << 36) * E9 // 100, 1, starbase.SPOT), hit=1)],
    ("starbase", Reject.UNKNOWN_INSTRUMENT): [body(starbase_put(50 * E9, 10, venue_id=77))],
}
# What the layout or the protocol of a feed makes impossible.
IMPOSSIBLE = {
    ("bridge", Reject.TEXT_OVERRUN),  # no texts
    ("starbase", Reject.TEXT_OVERRUN),  # none that are read
    ("starbase", Reject.GROUP_OVERRUN),  # only definitions have groups, and those end with their message
    ("starbase", Reject.SHORT_ENTRY),
    ("starbase", Reject.UNKNOWN_SCHEMA),  # messages do not tell it
    ("starbase", Reject.LENGTH_MISMATCH),  # packets do not tell it
}
CHANNELS_MAX = {
    "bridge": bridge_feed.CHANNELS_MAX,
    "deribit": deribit_state.CHANNELS_MAX,
    "starbase": starbase_state.CHANNELS_MAX,
}
NUMBERED = [(*key, number) for key, cases in CASES.items() for number in range(len(cases))]


def test_every_reason_has_a_cost_a_text_and_a_case_in_every_feed() -> None:
    assert set(COSTS) == set(Reject)
    assert set(KINDS) == set(Reject) - {Reject.UNKNOWN_INSTRUMENT}
    for name in BENCHES:
        for reason in set(Reject) - {Reject.UNKNOWN_CHANNEL}:
            assert ((name, reason) in CASES) != ((name, reason) in IMPOSSIBLE), (name, reason)


def rejected(feed: Feed) -> set[Reject]:
    return {reason for reason in Reject if feed.rejects[reason]}


@pytest.mark.parametrize(("name", "reason", "number"), NUMBERED, ids=lambda each: getattr(each, "name", str(each)))
def test_what_is_not_believed_costs_what_the_table_says(name: str, reason: Reject, number: int) -> None:
    bench, case = BENCHES[name](), CASES[name, reason][number]
    assert (bench.valid(), rejected(bench.feed)) == ((1, 1), set())
    bench.take(case.make(bench))
    assert rejected(bench.feed) == {reason}
    assert bench.feed.first_rejects_ns[reason] == bench.feed.time_ns > 0
    cost = COSTS[reason][case.place]
    left = {Cost.BOOK: (case.hit, 1 - case.hit), Cost.CHANNEL: (0, 0)}.get(cost, (1, 1))
    assert bench.valid() == left
    warnings = feed_warnings(bench.feed, bench.market, "here")
    assert [each.kind for each in warnings] == ([KINDS[reason]] if reason in KINDS else [])
    assert all(each.first_place.startswith("venue here, 20") for each in warnings)
    # A packet that was not read is a gap when the next one comes; nothing else is.
    bench.take(bench.packet(b"", 0))
    assert bench.valid() == ((0, 0) if cost == Cost.PACKET else left)


@pytest.mark.parametrize("name", BENCHES)
def test_a_channel_more_than_there_is_room_for_costs_nothing_else(name: str) -> None:
    bench = BENCHES[name]()
    for number in range(CHANNELS_MAX[name] + 1):
        bench.take(bench.other_channel(number))
    assert rejected(bench.feed) == {Reject.UNKNOWN_CHANNEL}
    assert bench.valid() == (1, 1)


def newer(content: bytes, offset: int) -> bytes:
    """Tell a version that nobody knows yet in a message's header."""
    return content[:offset] + struct.pack("<H", 99) + content[offset + 2 :]


NEWER = {
    "bridge": [
        (newer(bridge.delta(100, 101, [(100, 8)]), 6) + NEW_GROUP, 1),
        (newer(bridge.delta(100, 101, [(100, 8)]), 6) + NEW_GROUP + NEW_GROUP + bridge.heartbeat(), 2),
        (newer(bridge.heartbeat(), 6) + NEW_GROUP + bridge.delta(100, 101, [(100, 8)]), 2),
        (bridge.heartbeat() + newer(bridge.delta(100, 101, [(100, 8)]), 6), 2),
    ],
    "deribit": [
        (
            deribit_message(
                1001,
                struct.pack("<IQQQB", deribit.PERPETUAL, 1000, 5, 6, 1) + b"new",
                (20, [GOOD_ENTRY + b"xy"]),
                (3, [b"abc", b"def"]),
                texts=1,
            )
            + b"\x03why",
            1,
        )
    ],
    "starbase": [(newer(starbase_message(20, struct.pack("<6q", 50, starbase.PERPETUAL, 20, 51 * E9, 50, 77)), 4), 1)],
}


@pytest.mark.parametrize(
    ("name", "number"), [(name, number) for name, cases in NEWER.items() for number in range(len(cases))]
)
def test_fields_and_groups_that_a_newer_version_adds_are_stepped_over(name: str, number: int) -> None:
    bench, (content, count) = BENCHES[name](), NEWER[name][number]
    before = bench.market.books[0].bid_ticks
    bench.take(bench.packet(content, count))
    assert (bench.valid(), rejected(bench.feed)) == ((1, 1), set())
    assert bench.market.books[0].bid_ticks > before


def ask(name: str, number: int, lots: int) -> tuple[bytes, int]:
    """Pack a message that sets the ask of this number from the market, or removes it (0 lots); each fills a page."""
    if name == "bridge":
        return bridge.delta(99 + number, 100 + number, [], [(1000 + 10 * number, lots)]), 1
    if name == "deribit":
        change = BookChange.CREATED if lots else BookChange.DELETED
        entry = deribit_change(BookSide.ASK, change, 1000.0 + 10 * number, 10.0 * lots)
        root = struct.pack("<IQQQB", deribit.PERPETUAL, 1000, 4 + number, 5 + number, 1)
        return deribit_message(1001, root, (18, [entry])), 1
    order_id = 1000 + number
    if lots:
        root = struct.pack("<5q", order_id, starbase.PERPETUAL, 10 * lots, (1000 + 10 * number) * E9, order_id)
        return starbase_message(21, root), 1
    return starbase_message(25, struct.pack("<2q", order_id, starbase.PERPETUAL)), 1


ROOM = {"bridge": 500, "deribit": 64, "starbase": 512}


@pytest.mark.parametrize("name", BENCHES)
def test_levels_that_there_is_no_room_for_are_let_go_and_the_book_stays(name: str) -> None:
    bench, room = BENCHES[name](), ROOM[name]
    book, steps = bench.market.books[0], range(1, 2 * room)
    for number in steps:
        bench.take(bench.packet(*ask(name, number, 3)))
    assert (bench.valid(), rejected(bench.feed)) == ((1, 1), set())
    assert 0.8 * room < book.ask_levels <= room
    assert levels_let_go(bench.feed, bench.market) >= len(steps) - room
    (warning,) = feed_warnings(bench.feed, bench.market, "here")
    assert warning.kind == "levels let go by books that were full"


def test_a_far_order_that_was_let_go_may_be_deleted_and_the_near_ones_are_all_there() -> None:
    bench, room = StarbaseBench(), ROOM["starbase"]
    book = bench.market.books[0]
    for number in range(1, 2 * room):
        bench.take(bench.packet(*ask("starbase", number, 3)))
    kept = book.ask_levels
    for number in (2 * room - 1, 2 * room - 2):
        bench.take(bench.packet(*ask("starbase", number, 0)))
    assert (bench.valid(), book.ask_levels) == ((1, 1), kept)
    bench.take(bench.packet(starbase_message(25, struct.pack("<2q", 11, starbase.PERPETUAL))))  # the best one
    for number in range(1, kept):
        assert (book.valid, book.ask_ticks) == (1, 2 * (1000 + 10 * number))
        bench.take(bench.packet(*ask("starbase", number, 0)))
    assert (bench.valid(), book.ask_levels) == ((0, 1), 0)  # what is left is not known
    bench.take(bench.packet(*ask("starbase", 1, 2)))
    assert (bench.valid(), book.ask_ticks, book.ask_lots) == ((1, 1), 2 * 1010, 2)


def test_an_unknown_message_is_passed_over_only_where_one_reading_fits() -> None:
    """Behind it come as many groups as leave the message that the header still counts; what begins them may mislead."""
    like_a_heartbeat = bridge.heartbeat() + bytes(36)  # as a group: 6 entries of 8 bytes
    either = struct.pack("<HHHH", 1, 9, 0x4258, 1) + bytes(5)  # an unknown message, or a group of 9 entries of a byte
    cases = ((like_a_heartbeat + bridge.heartbeat(), 1), (either + bridge.heartbeat(), 0), (b"neither", 0))
    for rest, is_valid in cases:
        bench = BridgeBench()
        bench.take(bench.packet(bridge.message(9, b"") + rest, 2))
        assert bench.valid() == (is_valid, is_valid)
        assert Reject.UNKNOWN_TEMPLATE in rejected(bench.feed)


OFF_LOT = {
    "bridge": None,  # its sizes are lots
    "deribit": (deribit_book(deribit_change(BookSide.BID, BookChange.CREATED, 100.5, 29.0)), 2, 201),
    "starbase": (starbase_put(51 * E9, 29), 2, 102),
}


@pytest.mark.parametrize("name", [name for name, case in OFF_LOT.items() if case is not None])
def test_a_size_off_the_lot_is_rounded_down_and_counted(name: str) -> None:
    bench = BENCHES[name]()
    case = OFF_LOT[name]
    assert case is not None
    content, lots, ticks = case
    bench.take(bench.packet(content))
    book = bench.market.books[0]
    assert (book.valid, book.bid_ticks, book.bid_lots) == (1, ticks, lots)
    assert (bench.feed.sizes_rounded, rejected(bench.feed)) == (1, set())
    (warning,) = feed_warnings(bench.feed, bench.market)
    assert (warning.kind, warning.count) == ("sizes that are no whole number of lots", 1)


def test_less_than_a_lot_is_no_level_and_its_removal_is_no_break() -> None:
    for bench, new, gone in (
        (
            DeribitBench(),
            deribit_book(deribit_change(BookSide.BID, BookChange.CREATED, 100.5, 9.0)),
            deribit_message(
                1001,
                struct.pack("<IQQQB", deribit.PERPETUAL, 1000, 6, 7, 1),
                (18, [deribit_change(BookSide.BID, BookChange.DELETED, 100.5, 0.0)]),
            ),
        ),
        (
            StarbaseBench(),
            starbase_put(51 * E9, 9),
            starbase_message(24, struct.pack("<2q", 50, starbase.PERPETUAL)),
        ),
    ):
        before = bench.market.books[0].bid_ticks
        for content in (new, gone):
            bench.take(bench.packet(content))
            assert (bench.valid(), bench.market.books[0].bid_ticks) == ((1, 1), before)
        assert (bench.feed.sizes_rounded, rejected(bench.feed)) == (1, set())


@pytest.mark.parametrize("name", BENCHES)
def test_a_sequence_that_begins_anew_is_a_restart_and_its_books_are_lost_until_proven(name: str) -> None:
    bench = BENCHES[name]()
    again: dict[str, Callable[[], bytes]] = {
        "bridge": lambda: bridge.packed(1, bridge.heartbeat(), sent=bridge.T0 + 10**12),
        "deribit": lambda: struct.pack("<HHI", 0, 1, 0xFFFFFF00),
        "starbase": lambda: struct.pack(
            "<qqiHH", starbase.START_NS + 10**12, 1, starbase.CHANNEL, starbase.INCREMENTAL, 0
        ),
    }
    payload = again[name]()
    if isinstance(bench, DeribitBench):
        bench.receiver.receive(payload, deribit.T0 + 10**10)
    else:
        bench.take(payload)
    assert (bench.feed.restarts, bench.feed.restart_losses, bench.feed.sequence_gaps) == (1, 2, 0)
    assert bench.valid() == (0, 0)
    (warning,) = feed_warnings(bench.feed, bench.market)
    assert (warning.kind, warning.count) == ("books lost where a feed began to count anew", 2)
