"""The bridge feed's rules: sequence, continuity, split events, definitions, damage. Packets are packed by hand."""

import hashlib
import os
import random
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from crosswire.nic.memory.struct import Array, array, u8
from crosswire.nic.packet import Packet
from crosswire.nic.unit.compile import compiled
from crosswire.venues.book.book import NO_ASK, NO_BID, level_lots, make_books
from crosswire.venues.bridge.feed import CHANNELS_MAX, BridgeFeed
from crosswire.venues.feed import Reject, decode
from crosswire.venues.instrument import Instrument, Kind, Payoff
from crosswire.venues.market import BOOK_CHANGED, BOOK_LOST, TRADE, Events, Market, clear_events
from crosswire.venues.side import ASK, BID, BUY, SELL
from tests.support.guard import GuardedBytes
from tests.support.uncompiled import printed_uncompiled

T0 = 1_723_161_256_000_000_000
FUZZ_FRAMES = int(os.environ.get("CROSSWIRE_FUZZ_FRAMES", "20000"))
BTC, ETH = 4_000_000_001, 7  # the wire's ids
TICK_E9, LOT_E9, ONE_E9 = 100_000_000, 1_000_000, 1_000_000_000
DEFINITION, DELTA, QUOTE, TRADES, SNAPSHOT, HEARTBEAT, MARK_PRICE = range(1, 8)
MORE, END = 0, 1  # packet flags
FIRST, LATER = 0, 1  # part flags

Levels = Sequence[tuple[int, int]]


@compiled
def step(feed: BridgeFeed, packet: Packet, market: Market, events: Events) -> None:
    clear_events(events, market)
    decode(feed, packet, market, events)


def message(template: int, root: bytes, *groups: Levels, schema: int = 0x4258) -> bytes:
    body = struct.pack("<HHHH", len(root), template, schema, 1) + root
    for levels in groups:
        body += struct.pack("<HH", 16, len(levels)) + b"".join(struct.pack("<qq", *level) for level in levels)
    return body


def definition(
    wire_id: int = BTC, symbol: str = "BTCUSDT", tick_e9: int = TICK_E9, kind: int = Kind.PERPETUAL
) -> bytes:
    names = struct.pack("<32s8s8s8s", symbol.encode(), b"BTC", b"USDT", b"USDT")
    numbers = (tick_e9, LOT_E9, ONE_E9, 200_000, 500_000, 0)
    return message(DEFINITION, struct.pack("<IBB6q", wire_id, kind, Payoff.LINEAR, *numbers) + names)


def delta(
    previous: int,
    last: int,
    bids: Levels = (),
    asks: Levels = (),
    part: int = FIRST,
    wire_id: int = BTC,
    time: int = T0,
) -> bytes:
    return message(DELTA, struct.pack("<IQQQQB", wire_id, time, previous + 1, last, previous, part), bids, asks)


def snapshot(
    last: int, bids: Levels = (), asks: Levels = (), part: int = FIRST, wire_id: int = BTC, time: int = T0
) -> bytes:
    return message(SNAPSHOT, struct.pack("<IQQB", wire_id, time, last, part), bids, asks)


def quote(update: int, bid: tuple[int, int], ask: tuple[int, int], wire_id: int = BTC, time: int = T0) -> bytes:
    return message(QUOTE, struct.pack("<IQQqqqq", wire_id, time, update, *bid, *ask))


def trade(price: int, size: int, side: int, wire_id: int = BTC, time: int = T0) -> bytes:
    return message(TRADES, struct.pack("<IQQqqB", wire_id, time, 1, price, size, side))


def heartbeat() -> bytes:
    return message(HEARTBEAT, struct.pack("<Q", 10**9))


def mark_price(mark_e9: int, rate_e9: int, next_ns: int, wire_id: int = BTC, time: int = T0) -> bytes:
    return message(MARK_PRICE, struct.pack("<IQqqqQ", wire_id, time, mark_e9, mark_e9 + 1, rate_e9, next_ns))


def packed(sequence: int, *messages: bytes, flags: int = END, channel: int = 7, sent: int | None = None) -> bytes:
    body = b"".join(messages)
    time_ns = T0 + sequence if sent is None else sent
    return struct.pack("<QQHHHH", sequence, time_ns, channel, len(messages), flags, 24 + len(body)) + body


@dataclass
class Desk:
    """A feed, its market, and one packet after another through them."""

    discover: int = 1
    capacity: int = 3
    sequence: int = 0
    feed: BridgeFeed = field(init=False)
    market: Market = field(init=False)
    events: Events = field(default_factory=Events)
    packet: Packet = field(default_factory=Packet)
    memory: Array = field(default_factory=lambda: array(u8, 1 << 16))

    def __post_init__(self) -> None:
        self.feed = BridgeFeed(discover=self.discover)
        self.market = Market(capacity=self.capacity)
        self.market.instruments = Instrument.array(self.capacity)
        self.market.books = make_books(self.capacity, 500)

    def take(self, payload: bytes, address: int = 0) -> list[tuple[int, int]]:
        """Decode one payload; the events as (kind, instrument)."""
        if address == 0:
            self.memory.numpy()[: len(payload)] = list(payload)
            address = self.memory.address
        self.packet.payload_address, self.packet.payload_length = address, len(payload)
        self.packet.time_ns = T0 + 10**6
        step(self.feed, self.packet, self.market, self.events)
        assert self.events.dropped == 0
        told = [self.events.items[index] for index in range(self.events.count)]
        return [(event.kind, event.instrument) for event in told]

    def send(self, *messages: bytes, flags: int = END) -> list[tuple[int, int]]:
        self.sequence += 1
        return self.take(packed(self.sequence, *messages, flags=flags))

    def book(self, index: int = 0) -> Any:
        return self.market.books[index]

    def top(self, index: int = 0) -> tuple[int, int, int, int]:
        book = self.book(index)
        return book.bid_ticks, book.bid_lots, book.ask_ticks, book.ask_lots

    def rejected(self) -> dict[Reject, int]:
        return {reason: count for reason in Reject if (count := self.feed.rejects[reason])}


def proven() -> Desk:
    """A desk with a valid book as of id 100."""
    desk = Desk()
    assert desk.send(definition()) == []
    assert desk.send(snapshot(100, [(99, 5), (98, 6)], [(101, 7)])) == [(BOOK_CHANGED, 0)]
    assert desk.book().valid == 1
    return desk


def test_a_snapshot_proves_the_book_and_deltas_change_it() -> None:
    desk = proven()
    assert desk.top() == (99, 5, 101, 7)
    assert desk.send(delta(100, 105, [(99, 0), (97, 1)], [(100, 2)], time=T0 + 5)) == [(BOOK_CHANGED, 0)]
    assert desk.top() == (98, 6, 100, 2)
    book = desk.book()
    assert (book.update_id, book.exchange_time_ns, book.receive_time_ns) == (105, T0 + 5, T0 + 10**6)
    assert (book.bid_levels, book.ask_levels, desk.feed.level_updates) == (2, 2, 6)
    assert level_lots(book, BID, 97) == 1
    instrument = desk.market.instruments[0]
    assert bytes(instrument.symbol).rstrip(b"\0") == b"BTCUSDT"
    assert (instrument.venue_id, instrument.tick_lot_e9) == (BTC, TICK_E9 * LOT_E9 // ONE_E9)
    assert list(desk.feed.messages)[:6] == [1, 1, 0, 0, 1, 0]


def test_a_mark_price_is_counted_and_passed_over() -> None:
    """Whatever it says, however long it is, and whatever stands behind it in the packet."""
    desk = proven()
    longer = message(MARK_PRICE, mark_price(1, 2, 3)[8:] + b"newer")
    marks = [mark_price(10**14, -100, T0 + 1), mark_price(-(1 << 63), 1 << 62, 0, wire_id=3), longer]
    assert desk.send(*marks, delta(100, 101, [(99, 9)])) == [(BOOK_CHANGED, 0)]
    assert (desk.top(), desk.feed.messages[MARK_PRICE - 1], desk.rejected()) == ((99, 9, 101, 7), 3, {})
    assert desk.send(message(MARK_PRICE, marks[0][8:-1]), delta(101, 102, [(99, 8)])) == [(BOOK_CHANGED, 0)]
    assert (desk.top()[:2], desk.rejected()) == ((99, 8), {Reject.SHORT_BLOCK: 1})


def test_a_delta_before_the_snapshot_is_not_applied() -> None:
    desk = Desk()
    desk.send(definition())
    assert desk.send(delta(100, 105, [(99, 1)])) == []
    assert (desk.book().valid, desk.feed.unproven_messages, desk.feed.continuity_breaks) == (0, 1, 0)


@pytest.mark.parametrize(("previous", "last"), [(90, 101), (99, 105), (100, 101)])
def test_the_first_delta_after_a_snapshot_may_begin_before_it(previous: int, last: int) -> None:
    desk = proven()
    assert desk.send(delta(previous, last, [(99, 8)])) == [(BOOK_CHANGED, 0)]
    assert desk.top()[:2] == (99, 8)


def test_the_second_delta_must_follow_exactly() -> None:
    desk = proven()
    desk.send(delta(90, 101))
    assert desk.send(delta(100, 102, [(99, 8)])) == [(BOOK_LOST, 0)]
    assert (desk.book().valid, desk.feed.continuity_breaks) == (0, 1)
    assert desk.top() == (NO_BID, 0, NO_ASK, 0)
    assert desk.send(delta(102, 103, [(99, 8)])) == []
    assert desk.send(snapshot(110, [(90, 1)], [(91, 1)])) == [(BOOK_CHANGED, 0)]
    assert desk.top() == (90, 1, 91, 1)


def test_a_delta_that_begins_after_the_snapshot_is_a_break() -> None:
    desk = proven()
    assert desk.send(delta(101, 105)) == [(BOOK_LOST, 0)]
    assert desk.feed.continuity_breaks == 1


def test_what_the_book_is_past_is_ignored() -> None:
    desk = proven()
    assert desk.send(delta(90, 100, [(99, 1)])) == []
    assert desk.send(snapshot(100, [(1, 1)])) == []
    assert (desk.top(), desk.feed.stale_messages) == ((99, 5, 101, 7), 2)


def test_a_gap_loses_every_book_of_the_channel_and_no_other() -> None:
    desk = proven()
    other = [definition(ETH, "ETHUSDT"), snapshot(5, [(10, 1)], [(11, 1)], wire_id=ETH)]
    desk.take(packed(1, *other, channel=8))
    desk.sequence += 3
    assert desk.send(heartbeat()) == [(BOOK_LOST, 0)]
    assert (desk.feed.sequence_gaps, desk.book(0).valid, desk.book(1).valid) == (3, 0, 1)


def test_copies_and_late_packets_are_dropped() -> None:
    desk = proven()
    fresh = packed(3, delta(100, 101, [(99, 9)]))
    assert desk.take(fresh) == [(BOOK_CHANGED, 0)]
    assert desk.take(fresh) == []
    assert desk.take(packed(1, definition())) == []
    assert (desk.feed.duplicates, desk.feed.sequence_gaps, desk.book().valid) == (2, 0, 1)


def test_a_restarted_publisher_is_followed_and_costs_the_books() -> None:
    desk = proven()
    assert desk.take(packed(1, heartbeat(), sent=T0 + 10**9)) == [(BOOK_LOST, 0)]
    assert (desk.feed.restarts, desk.feed.duplicates) == (1, 0)
    assert desk.take(packed(2, snapshot(7, [(9, 1)]), sent=T0 + 10**9 + 1)) == [(BOOK_CHANGED, 0)]


def test_a_split_delta_shows_only_when_its_last_part_is_there() -> None:
    desk = proven()
    assert desk.send(delta(100, 110, [(99, 0), (100, 3)]), flags=MORE) == []
    assert desk.book().valid == 0
    assert desk.send(delta(100, 110, [(97, 1)], part=LATER), flags=MORE) == []
    assert desk.book().valid == 0
    assert desk.send(delta(100, 110, [], [(101, 0), (102, 4)], part=LATER)) == [(BOOK_CHANGED, 0)]
    assert (desk.book().valid, desk.book().update_id, desk.top()) == (1, 110, (100, 3, 102, 4))
    assert desk.send(delta(110, 111)) == [(BOOK_CHANGED, 0)]


def test_a_split_snapshot_shows_only_when_its_last_part_is_there() -> None:
    desk = proven()
    assert desk.send(snapshot(200, [(50, 1)]), flags=MORE) == []
    assert desk.book().valid == 0
    assert desk.send(snapshot(200, [], [(51, 1)], part=LATER)) == [(BOOK_CHANGED, 0)]
    assert (desk.top(), desk.book().bid_levels) == ((50, 1, 51, 1), 1)


def test_a_packet_lost_inside_an_event_loses_the_book() -> None:
    desk = proven()
    desk.send(delta(100, 110, [(99, 0)]), flags=MORE)
    desk.sequence += 1
    assert desk.send(delta(100, 110, [], [(101, 0)], part=LATER)) == [(BOOK_LOST, 0)]
    assert (desk.book().valid, desk.feed.unproven_messages) == (0, 1)


def test_an_event_that_never_ends_loses_the_book() -> None:
    desk = proven()
    desk.send(delta(100, 110, [(99, 0)]), flags=MORE)
    assert desk.send(delta(110, 111)) == [(BOOK_LOST, 0)]
    assert desk.book().valid == 0


def test_later_parts_alone_prove_nothing() -> None:
    desk = Desk()
    desk.send(definition())
    assert desk.send(snapshot(200, [(50, 1)], part=LATER)) == []
    assert (desk.book().valid, desk.feed.unproven_messages) == (0, 1)


def test_a_quote_overlays_a_valid_book_and_never_makes_one() -> None:
    desk = proven()
    assert desk.send(quote(103, (100, 4), (101, 1), time=0)) == [(BOOK_CHANGED, 0)]
    assert desk.top() == (100, 4, 101, 1)
    assert desk.book().exchange_time_ns == T0 + desk.sequence  # the exchange gave none: the publisher's
    assert desk.send(quote(102, (90, 4), (91, 1))) == []
    desk.sequence += 1
    assert desk.send(quote(104, (100, 4), (101, 1))) == [(BOOK_LOST, 0)]
    assert (desk.book().valid, desk.top()) == (0, (NO_BID, 0, NO_ASK, 0))


def test_a_book_whose_bid_is_above_its_ask_is_lost_until_a_snapshot() -> None:
    desk = proven()
    assert desk.send(delta(100, 101, [(102, 1)], [(101, 0)])) == [(BOOK_CHANGED, 0)]  # past the ask that went
    assert (desk.book().valid, desk.rejected()) == (1, {})
    desk.send(delta(101, 102, [], [(103, 1)], part=FIRST), flags=MORE)  # between its parts an event may
    desk.send(delta(101, 102, [(104, 2)], [], part=LATER), flags=MORE)
    assert desk.rejected() == {}
    assert desk.send(delta(101, 102, [(104, 0)], [], part=LATER)) == [(BOOK_CHANGED, 0)]
    assert (desk.top(), desk.rejected()) == ((102, 1, 103, 1), {})
    assert desk.send(delta(102, 103, [(104, 2)])) == [(BOOK_LOST, 0)]
    assert (desk.book().valid, desk.rejected()) == (0, {Reject.BAD_VALUE: 1})
    assert desk.send(delta(103, 104, [(104, 0)])) == []
    assert desk.send(snapshot(105, [(104, 2)], [(104, 1)])) == [
        (BOOK_CHANGED, 0)
    ]  # nobody trades on one that is locked
    assert desk.top() == (104, 2, 104, 1)


def test_trades_are_told() -> None:
    desk = proven()
    assert desk.send(trade(99, 2, BUY), trade(98, 3, SELL)) == [(TRADE, 0), (TRADE, 0)]
    first, second = desk.events.items[0], desk.events.items[1]
    assert (first.side, first.price_ticks, first.qty_lots) == (BUY, 99, 2)
    assert (second.side, second.price_ticks, second.qty_lots) == (SELL, 98, 3)


def configured(tick_e9: int) -> Desk:
    desk = Desk(discover=0)
    desk.market.count = 1
    instrument = desk.market.instruments[0]
    instrument.tick_e9, instrument.lot_e9, instrument.contract_e9 = tick_e9, LOT_E9, ONE_E9
    instrument.venue_id = -1
    instrument.symbol.numpy()[:7] = list(b"BTCUSDT")
    return desk


def test_a_configured_instrument_is_found_by_its_symbol() -> None:
    desk = configured(TICK_E9)
    desk.send(definition(), definition(ETH, "ETHUSDT"))
    assert desk.send(snapshot(5, [(9, 1)])) == [(BOOK_CHANGED, 0)]
    assert desk.send(snapshot(5, [(9, 1)], wire_id=ETH)) == []
    assert (desk.market.count, desk.market.instruments[0].venue_id) == (1, BTC)
    assert desk.rejected() == {Reject.UNKNOWN_INSTRUMENT: 2}


def test_a_contradicted_instrument_never_gets_a_book() -> None:
    desk = configured(TICK_E9 * 5)
    desk.send(definition())
    assert desk.send(snapshot(5, [(9, 1)])) == []
    assert (desk.feed.definition_mismatches, desk.book().valid) == (1, 0)


def test_a_definition_that_changes_the_tick_costs_the_book() -> None:
    desk = proven()
    assert desk.send(definition()) == []
    assert desk.book().valid == 1
    assert desk.send(definition(tick_e9=TICK_E9 * 2)) == [(BOOK_LOST, 0)]
    assert desk.send(snapshot(500, [(9, 1)])) == []
    assert desk.feed.definition_mismatches == 1


def test_discovery_stops_at_the_market_s_capacity() -> None:
    desk = Desk(capacity=1)
    desk.send(definition(), definition(ETH, "ETHUSDT"))
    assert (desk.market.count, desk.rejected()) == (1, {Reject.UNKNOWN_INSTRUMENT: 1})


def test_channels_are_bounded() -> None:
    desk = Desk()
    for channel in range(CHANNELS_MAX + 1):
        desk.take(packed(1, heartbeat(), channel=channel))
    assert desk.rejected() == {Reject.UNKNOWN_CHANNEL: 1}


def altered(payload: bytes, offset: int, fmt: str, value: int) -> bytes:
    changed = bytearray(payload)
    struct.pack_into(fmt, changed, offset, value)
    return bytes(changed)


GOOD = packed(3, delta(100, 101, [(99, 1)], [(101, 1)]))
GROUPS = 24 + 8 + 37


@pytest.mark.parametrize(
    ("payload", "reason", "costs_the_book"),
    [
        (b"", Reject.SHORT_PACKET, False),
        (GOOD[:23], Reject.SHORT_PACKET, False),
        (GOOD + b"\0", Reject.LENGTH_MISMATCH, False),
        (altered(GOOD, 0, "<Q", 0), Reject.BAD_VALUE, False),
        (altered(GOOD, 18, "<H", 2), Reject.SHORT_MESSAGE, True),
        (altered(GOOD, 18, "<H", 0), Reject.LENGTH_MISMATCH, True),
        (altered(GOOD, 28, "<H", 1), Reject.UNKNOWN_SCHEMA, True),
        (altered(GOOD, 26, "<H", 9), Reject.UNKNOWN_TEMPLATE, False),
        (altered(GOOD, 26, "<H", 0), Reject.UNKNOWN_TEMPLATE, False),
        (packed(3, message(DELTA, struct.pack("<I", BTC), [(99, 1)], [])), Reject.SHORT_BLOCK, True),
        (packed(3, message(QUOTE, struct.pack("<I", BTC))), Reject.SHORT_BLOCK, True),
        (packed(3, message(TRADES, struct.pack("<I", BTC))), Reject.SHORT_BLOCK, False),
        (altered(GOOD, 24, "<H", 5000), Reject.BLOCK_OVERRUN, True),
        (packed(3, delta(100, 101)[:45] + struct.pack("<HHqHH", 8, 1, 99, 16, 0)), Reject.SHORT_ENTRY, True),
        (altered(GOOD, GROUPS + 2, "<H", 60000), Reject.GROUP_OVERRUN, True),
        (altered(GOOD, GROUPS + 4, "<q", 1 << 52), Reject.BAD_VALUE, True),
        (altered(GOOD, GROUPS + 4, "<q", -(1 << 63)), Reject.BAD_VALUE, True),
        (altered(GOOD, GROUPS + 12, "<q", -1), Reject.BAD_VALUE, True),
        (packed(3, trade(99, 1, 2)), Reject.BAD_VALUE, False),
        (packed(3, quote(1, (99, -1), (100, 1))), Reject.BAD_VALUE, True),
        (packed(3, definition(tick_e9=0)), Reject.BAD_VALUE, True),
        (packed(3, definition(kind=9)), Reject.BAD_VALUE, True),
        (packed(3, delta(100, 101, [(1 << 51, 1)])), Reject.BOOK_FULL, True),
    ],
)
def test_damage_is_counted_by_reason_and_costs_the_book(payload: bytes, reason: Reject, costs_the_book: bool) -> None:
    desk = proven()
    assert desk.take(payload)[-1:] == ([(BOOK_LOST, 0)] if costs_the_book else [])
    assert desk.rejected() == {reason: 1}
    assert desk.book().valid == (0 if costs_the_book else 1)


def test_a_newer_version_may_append_fields() -> None:
    desk = proven()
    root = struct.pack("<IQQQQB", BTC, T0, 101, 102, 100, 0) + b"new"
    group = struct.pack("<HHqqI", 20, 1, 99, 8, 12345) + struct.pack("<HH", 20, 0)
    body = struct.pack("<HHHH", len(root), DELTA, 0x4258, 2) + root + group
    assert desk.take(packed(3, body)) == [(BOOK_CHANGED, 0)]
    assert desk.top()[:2] == (99, 8)


def made_up_packets(seed: int, count: int) -> list[bytes]:
    """Valid packets: two instruments, split events, quotes, trades, a snapshot now and then."""
    chance = random.Random(seed)
    packets: list[bytes] = []
    last = {BTC: 0, ETH: 0}

    def some(low: int, high: int) -> Levels:
        return [(chance.randrange(low, high), chance.randrange(3)) for _ in range(chance.randrange(6))]

    def add(*messages: bytes, flags: int = END) -> None:
        packets.append(packed(len(packets) + 1, *messages, flags=flags))

    add(definition(), definition(ETH, "ETHUSDT"))
    while len(packets) < count:
        wire_id = chance.choice((BTC, ETH))
        bids, asks, kind = some(80, 100), some(100, 120), chance.randrange(12)
        if kind == 0 or last[wire_id] == 0:
            last[wire_id] += 10
            add(snapshot(last[wire_id], bids, asks, wire_id=wire_id))
        elif kind < 3:
            add(quote(last[wire_id] + 1, (99, 2), (100, 3), wire_id), trade(100, 1, BUY, wire_id))
        else:
            previous, last[wire_id] = last[wire_id], last[wire_id] + chance.randrange(1, 5)
            if kind < 5:
                add(delta(previous, last[wire_id], bids, [], FIRST, wire_id), flags=MORE)
                add(delta(previous, last[wire_id], [], asks, LATER, wire_id))
            else:
                add(delta(previous, last[wire_id], bids, asks, FIRST, wire_id), heartbeat())
    return packets


def mutated(payload: bytes, chance: random.Random) -> bytes:
    changed = bytearray(payload)
    for _ in range(chance.randrange(4)):
        changed[chance.randrange(len(changed))] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
    kind = chance.randrange(4)
    if kind == 0:
        del changed[chance.randrange(len(changed)) :]
    elif kind == 1:
        changed += chance.randbytes(chance.randrange(40))
    if kind < 3 and len(changed) >= 24 and chance.randrange(4):
        struct.pack_into("<H", changed, 22, len(changed))  # past the first check
    return bytes(changed)


def test_damaged_packets_are_counted_and_nothing_past_their_end_is_read() -> None:
    chance = random.Random(1)
    packets = made_up_packets(2, 500)
    desk = Desk()
    feed = desk.feed
    rejects, messages = feed.rejects.numpy(), feed.messages.numpy()
    with GuardedBytes() as guarded:
        for number in range(FUZZ_FRAMES):
            payload = packets[number % len(packets)]
            time_ns = T0 + 10 * number
            sequence = struct.pack("<QQ", number % len(packets) + 1, time_ns)
            payload = sequence + payload[16:]
            if chance.randrange(2):
                payload = mutated(payload, chance)
            before = rejects.sum() + feed.duplicates, messages.sum()
            desk.take(payload, guarded.place(payload))
            stopped = rejects.sum() + feed.duplicates - before[0]
            told = struct.unpack_from("<H", payload, 18)[0] if len(payload) >= 24 else 1
            assert stopped > 0 or messages.sum() - before[1] == told
            book = desk.book()
            assert book.valid in (0, 1)
            assert book.bid_levels >= 0 <= book.ask_levels
    assert feed.packets == FUZZ_FRAMES
    assert feed.level_updates > FUZZ_FRAMES // 4
    counted = set(desk.rejected())
    assert counted >= {
        Reject.SHORT_PACKET,
        Reject.LENGTH_MISMATCH,
        Reject.SHORT_MESSAGE,
        Reject.UNKNOWN_SCHEMA,
        Reject.UNKNOWN_TEMPLATE,
        Reject.SHORT_BLOCK,
        Reject.BLOCK_OVERRUN,
        Reject.GROUP_OVERRUN,
        Reject.SHORT_ENTRY,
        Reject.BAD_VALUE,
        Reject.UNKNOWN_INSTRUMENT,
    }


def digest_of_a_run() -> str:
    """Everything that a made-up run with damage in it leaves behind."""
    chance = random.Random(3)
    desk = Desk()
    digest = hashlib.sha256()
    for number, payload in enumerate(made_up_packets(4, 300)):
        if number > 2 and not chance.randrange(10):
            payload = mutated(payload, chance)
        digest.update(repr((desk.take(payload), desk.top(0), desk.top(1))).encode())
    digest.update(bytes(desk.feed))
    for index in (0, 1):
        book = desk.book(index)
        sizes = [level_lots(book, side, price) for side in (BID, ASK) for price in range(70, 130)]
        digest.update(repr((sizes, book.update_id, book.bid_levels, book.ask_levels)).encode())
    return digest.hexdigest()


def test_uncompiled_gives_the_same() -> None:
    assert printed_uncompiled(__name__, "digest_of_a_run") == digest_of_a_run()
