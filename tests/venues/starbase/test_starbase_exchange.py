"""The simulated Starbase as a whole: market data, background, determinism, and its being a ring."""

import hashlib
import struct
from random import Random
from typing import Any

import pytest

from crosswire.nic.memory.raw import copy_bytes
from crosswire.nic.memory.struct import address_of
from crosswire.nic.packet import Packet, PacketCounters, parse_packet
from crosswire.nic.rings.connection import connection_of, reconnect
from crosswire.nic.rings.ring import NEVER_NS, Frame, next_time_ns, poll, release
from crosswire.venues.book.book import best_level, make_books
from crosswire.venues.book.order_queue import first_order
from crosswire.venues.feed import decode
from crosswire.venues.instrument import Instrument
from crosswire.venues.market import Events, Market, clear_events
from crosswire.venues.session import (
    SessionState,
)
from crosswire.venues.starbase.exchange.background import ReferencePoint
from crosswire.venues.starbase.exchange.exchange import restart_gateway
from crosswire.venues.starbase.exchange.setup import Channel, Key, Protection, make_starbase_exchange
from crosswire.venues.starbase.exchange.state import StarbaseExchange
from crosswire.venues.starbase.feed.feed import make_starbase_feed
from crosswire.venues.starbase.wire.market_layout import Template
from crosswire.venues.starbase.wire.order_codes import Template as OrderTemplate
from tests.support.order_setup import VENUE, make_market
from tests.support.starbase_engine import Engine
from tests.support.starbase_exchange_client import (
    CHANNEL,
    FIRST_ID,
    KEYS,
    MS,
    START_NS,
    Connection,
    Crowd,
    S,
    Wire,
    make_exchange,
    order_flow,
    rebuilt_books,
)
from tests.support.starbase_feed_setup import perpetual, queue_state, spot

pytestmark = pytest.mark.starbase

BUSY = Crowd(seed=7, events_per_second=3000, volatility_ticks=8.0, lots=5)


def own_book(exchange: StarbaseExchange, index: int = 0) -> dict[int, list[tuple[int, int, int]]]:
    """The matching engine's book as `rebuilt_books` gives it."""
    book, queue = exchange.matching.market.books[index], exchange.matching.queues[index]
    instrument = exchange.matching.market.instruments[index]
    sides: dict[int, list[tuple[int, int, int]]] = {0: [], 1: []}
    for side, step in ((0, -1), (1, 1)):
        price, seen = best_level(book, side), 0
        rests = sum(
            1
            for slot in range(exchange.matching.orders.count)
            if (order := exchange.matching.orders[slot]).place == 1 and order.side == side and order.instrument == index
        )
        while seen < rests:
            place = first_order(queue, side, price)
            while place >= 0:
                order = queue.orders[place]
                lots = order.qty_lots * exchange.publisher.mantissas[index]
                sides[side].append((price * instrument.tick_e9, lots, order.order_id))
                seen += 1
                place = order.next
            price += step
    return sides


def trade_at_random(wire: Wire, clients: list[Connection], steps: int) -> None:
    """Orders, amends and cancels around the price, the same every time."""
    state = 12345
    for number in range(steps):
        state = state * 6364136223846793005 + 1442695040888963407 & (1 << 64) - 1
        value = state >> 33
        client = clients[value % len(clients)]
        kind, side, price = value // 7 % 10, (1, -1)[value // 71 % 2], 990 + value // 97 % 21
        if kind < 6:
            tif = (0, 0, -2, -1)[value // 1009 % 4]
            client.new(
                number + 1, side, price, 1 + value // 513 % 9, tif=tif, smp=value // 11 % 2, mode=value // 13 % 2
            )
        elif kind < 8:
            client.cancel(1 + value // 17 % (number + 1))
        else:
            client.amend(1 + value // 17 % (number + 1), price, 1 + value // 19 % 9)
        wire.run(3 * MS)


def run_busy(seed: int = 7, steps: int = 150, **options: Any) -> tuple[Wire, list[Connection]]:
    crowd = Crowd(seed=seed, events_per_second=3000, volatility_ticks=8.0, lots=5)
    options = {"speed_bump_ns": 2 * MS, "tokens_per_ms": 1_000_000, "crowd": crowd} | options
    wire = Wire(make_exchange(**options))
    clients = [wire.ready(), wire.ready(1, key=1)]
    trade_at_random(wire, clients, steps)
    return wire, clients


def digest(wire: Wire, clients: list[Connection]) -> str:
    said = repr([(p.sequence, p.time_ns, p.port, p.group, p.messages) for p in wire.packets])
    said += repr([client.inbox for client in clients]) + str(wire.exchange.digest)
    return hashlib.sha256(said.encode()).hexdigest()


def test_what_is_published_is_the_book_and_nothing_is_created_or_lost() -> None:
    wire, _ = run_busy()
    exchange = wire.exchange
    messages = wire.incremental()
    assert [each.sequence for each in messages] == list(range(1, len(messages) + 1))
    assert rebuilt_books(messages)[FIRST_ID] == own_book(exchange)
    members = list(exchange.matching.members)
    assert sum(member.position_lots[0] for member in members) == 0
    assert all(member.fills > 0 for member in members[:3])
    trades = [each for each in messages if each.template == Template.TRADE]
    assert 2 * len(trades) == sum(member.fills for member in members)
    assert exchange.matching.queue_full == exchange.publisher.unsent == exchange.gateways.unsent == 0
    assert sum(exchange.gateways.mistakes) == 0


def test_transactions_begin_and_end_and_summaries_add_up() -> None:
    wire, _ = run_busy()
    is_open, summary, filled = False, None, 0
    for message in wire.incremental():
        assert bool(message.flags & 1) != is_open
        is_open = not message.flags & 2
        if message.template == Template.TRADE_SUMMARY:
            assert summary is None
            summary, filled = message.fields, 0
        elif message.template == Template.TRADE:
            filled += message.fields["fill_quantity_mantissa"]
        if not is_open and summary is not None:
            assert filled == summary["total_filled_mantissa"]
            summary = None


def test_positions_are_what_the_members_were_told() -> None:
    wire, clients = run_busy(crowd=Crowd(seed=3, events_per_second=3000, volatility_ticks=30.0))
    for number, client in enumerate(clients, 1):
        position, seen = 0, set()
        sides: dict[int, int] = {}
        for message in client.inbox:
            if "side" in message.fields:
                sides[message.fields["order_id"]] = message.fields["side"]
        for message in client.inbox:
            for fill in message.groups.get("fills", []):
                side = fill["side"] if "side" in fill else sides[message.fields["order_id"]]
                assert (fill["match_id"], side) not in seen
                seen.add((fill["match_id"], side))
                position += side * fill["fill_quantity"][0]
        assert position == wire.exchange.matching.members[number].position_lots[0]
        assert len(seen) == wire.exchange.matching.members[number].fills


def test_the_same_seed_gives_the_same_run_and_another_does_not() -> None:
    first, second, other = (digest(*run_busy(seed, 60)) for seed in (7, 7, 8))
    assert first == second
    assert first != other


def test_how_often_time_is_looked_at_changes_nothing() -> None:
    whole = Wire(make_exchange(crowd=BUSY))
    parts = Wire(make_exchange(crowd=BUSY))
    whole.run(100 * MS)
    for _ in range(1000):
        parts.run(100_000)
    assert digest(whole, []) == digest(parts, [])


def test_both_feeds_carry_the_same() -> None:
    wire = Wire(make_exchange(crowd=BUSY))
    wire.run(50 * MS)
    feeds: dict[int, list[Any]] = {}
    for packet in wire.packets:
        feeds.setdefault(packet.group, []).append((packet.sequence, packet.messages))
    assert feeds[0xE0000CC1] == feeds[0xE0000CD1]
    assert feeds[0xE0000CC0] == feeds[0xE0000CD0]


def test_a_snapshot_and_what_follows_it_is_the_book() -> None:
    wire = Wire(make_exchange(2, crowd=BUSY))
    wire.run(1200 * MS)
    snapshot = [m for p in wire.packets if p.group == 0xE0000CC0 for m in p.messages]
    assert [m.sequence for m in snapshot] == list(range(1, len(snapshot) + 1))
    ends = [m for m in snapshot if m.template == Template.END_OF_CYCLE]
    assert ends[0].fields["active_instrument_count"] == 2
    # The second cycle has a full book.
    second = [m for m in snapshot if m.sequence > ends[0].sequence]
    place = next(i for i, m in enumerate(second) if m.template == Template.SNAPSHOT_HEADER)
    definition = second[place - 1]
    assert definition.template == Template.INSTRUMENT_DEFINITION
    assert (definition.fields["instrument_id"], definition.fields["quantity_exponent"]) == (FIRST_ID, -3)
    known = second[place].fields["incremental_sequence"]
    end = next(i for i, m in enumerate(second) if m.template == Template.SNAPSHOT_TRAILER)
    puts = second[place + 1 : end - 1]
    assert len(puts) > 20
    assert second[end - 1].template == Template.INSTRUMENT_INFO
    later = [m for m in wire.incremental() if m.sequence > known and m.fields.get("instrument_id") == FIRST_ID]
    assert rebuilt_books(puts + later)[FIRST_ID] == own_book(wire.exchange)


def request(wire: Wire, begin: int, count: int, correlation: int = 9) -> list[Any]:
    wire.packets.clear()
    data = struct.pack("<qqiHH", wire.now_ns, correlation, 1, 4, 1)
    wire.send_datagram(data + struct.pack("<HHHHqqB", 25, 200, 1, 0, wire.now_ns, begin, count))
    wire.run(MS)
    return [packet for packet in wire.packets if packet.port == 50_000]


def test_messages_can_be_had_again() -> None:
    wire = Wire(make_exchange(crowd=Crowd(seed=1, events_per_second=20_000), end_ns=START_NS + 600 * MS))
    wire.run(700 * MS)
    messages = wire.incremental()
    kept_from = wire.exchange.publisher.stored[(wire.exchange.publisher.packets + 1) % 4096].first_sequence
    assert wire.exchange.publisher.packets > 4096
    (answer,) = request(wire, kept_from + 2000, 5)
    assert (answer.sequence, answer.type, len(answer.messages)) == (kept_from + 2000, 5, 5)
    assert answer.messages == messages[kept_from + 1999 : kept_from + 2004]
    (answer,) = request(wire, kept_from + 2000, 255)
    assert 20 < len(answer.messages) < 100  # one packet
    for begin, reason in ((1, 1), (10_000_000, 2)):
        (answer,) = request(wire, begin, 5, correlation=31)
        assert (answer.type, answer.sequence) == (0, 31)
        assert answer.messages[0].fields["reason"] == reason
    for _ in range(30):
        answers = request(wire, kept_from + 2000, 1)
        wire.now_ns -= MS
    assert answers[0].messages[0].fields["reason"] == 3


def test_a_quiet_channel_has_heartbeats() -> None:
    wire = Wire(make_exchange(crowd=None))
    wire.exchange.matching.mark_ticks[0] = 0  # no mark, so nothing is published with the snapshots
    wire.run(16 * S)
    beats = [p for p in wire.packets if p.group == 0xE0000CC1 and p.port == 4220]
    assert [(p.sequence, p.messages) for p in beats] == [(1, [])] * 3


def test_the_price_follows_a_path() -> None:
    points = ReferencePoint.array(20)
    for number, point in enumerate(points):
        point.time_ns, point.price_ticks = START_NS + number * 50 * MS, 1000 + 20 * number
    wire = Wire(make_exchange(crowd=Crowd(events_per_second=4000, points=points)))
    wire.run(1100 * MS)
    marks = [m.fields["mark_price_e9"] for m in wire.incremental() if m.template == Template.TRADE_SUMMARY]
    assert marks == sorted(marks)
    assert marks[-1] == 1380 * 100_000_000


def test_in_process_connections_begin_end_and_begin_again() -> None:
    exchange = make_exchange(is_connected=True)
    wire = Wire(exchange)
    client = wire.client()
    assert [connection_of(exchange, stream) for stream in (0, 1)] == [1, 1]
    client.logon()
    wire.run(MS)
    client.take(OrderTemplate.LOGON_CONF)
    client.new(1, 1, 1000, 5)
    wire.run(60_000)  # the answer is under way
    reconnect(exchange, 0, wire.now_ns)
    client.sent = client.got = 0
    assert connection_of(exchange, 0) == 2
    client.logon(reset=False)
    wire.run(MS)
    assert exchange.stale == 1  # what came on the old connection is not delivered
    assert client.take(OrderTemplate.LOGON_CONF).sequence == 3
    client.send(OrderTemplate.LOGOUT, b"\0")
    wire.run(MS)
    client.take(OrderTemplate.LOGGED_OUT)
    assert client.is_ended
    assert connection_of(exchange, 0) == 0
    reconnect(exchange, 0, wire.now_ns)
    assert connection_of(exchange, 0) == 3


@pytest.mark.parametrize("seed", range(3))
def test_an_engines_books_are_the_exchanges_after_gateways_were_killed(seed: int) -> None:
    crowd = Crowd(seed=seed, events_per_second=500, volatility_ticks=10.0)
    exchange = make_exchange(is_connected=True, speed_bump_ns=2 * MS, tokens_per_ms=1_000_000, crowd=crowd)
    engine, random = Engine(exchange), Random(seed)
    engine.start()
    engine.run(MS)
    assert engine.session.state == SessionState.READY
    for number in range(120):
        engine.run(random.randint(0, 3) * 300_000)
        if engine.session.state == SessionState.READY:
            engine.trade(random)
        if number % 40 == 30:
            restart_gateway(exchange, number // 40 % 2, engine.now_ns)
            engine.run(random.randint(1, 500) * MS)
    engine.run(3 * S)
    member = exchange.matching.members[1]
    assert engine.session.state == SessionState.READY
    assert engine.alarms == 0
    assert (engine.position, len(engine.live)) == (member.position_lots[0], member.open_orders)
    assert member.fills > 0
    assert member.duplicate_orders == 0


@pytest.mark.parametrize("sorts_on_accept", [False, True])
def test_the_feed_follows_the_exchange(sorts_on_accept: bool) -> None:
    """Every queue as well, wherever the exchange gives places in it: by the number in the message alone."""
    terms, market = (Market(count=2, capacity=2) for _ in range(2))
    for each, ids in ((terms, (210_838, 5)), (market, (-1, -1))):
        each.instruments = Instrument.array(2)
        each.books = make_books(2, 2048)
        for index, made in enumerate((perpetual(), spot())):
            copy_bytes(address_of(each.instruments[index]), address_of(made), Instrument.size)
            each.instruments[index].index = index
            each.instruments[index].venue_id = ids[index]
    exchange = make_starbase_exchange(
        0, terms, [order_flow(0)], CHANNEL, KEYS, {0: 100_000, 1: 6_000_000}, start_ns=START_NS, crowd=BUSY,
        speed_bump_ns=2 * MS, sorts_on_accept=sorts_on_accept,
    )  # fmt: skip
    feed, events = make_starbase_feed(0, market), Events()
    frame, packet, counters = Frame(), Packet(), PacketCounters()
    while poll(exchange, frame, START_NS + 1300 * MS):
        parse_packet(frame, packet, counters)
        clear_events(events, market)
        decode(feed, packet, market, events)
        release(exchange)
    for index in range(2):
        theirs, ours = exchange.matching.market.books[index], market.books[index]
        assert ours.valid
        assert [best_level(ours, side) for side in (0, 1)] == [best_level(theirs, side) for side in (0, 1)]
        assert (ours.bid_levels, ours.ask_levels) == (theirs.bid_levels, theirs.ask_levels)
        assert queue_state(feed.queues[index]) == queue_state(exchange.matching.queues[index])
        assert feed.queues[index].count > 0
    assert feed.sequence_gaps == 0


def test_it_ends_when_it_is_told_to() -> None:
    wire = Wire(make_exchange(crowd=BUSY, end_ns=START_NS + 20 * MS))
    steps = 0
    while (due_ns := next_time_ns(wire.exchange)) != NEVER_NS:
        wire.run(max(0, due_ns - wire.now_ns))
        steps += 1
    assert 10 < steps < 2000
    assert wire.packets[-1].time_ns <= START_NS + 21 * MS


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"feed_latency_ns": -1}, "feed latency"),
        ({"heartbeat_s": 0}, "heartbeat_s"),
        ({"tokens_full": 1}, "tokens"),
        ({"held_member_max": 0}, "held_member_max"),
        ({"price_band_ppm": -1}, "price_band_ppm"),
        ({"protections": [Protection(1, limit_lots=0)]}, "protection group 1"),
        ({"keys": []}, "API keys"),
        ({"keys": [Key("x" * 17, b"s")]}, "client id"),
        ({"keys": [Key("x", b"")]}, "secret"),
        ({"keys": [Key("x", b"s", member=0)]}, "member"),
        ({"flows": []}, "order connections"),
        ({"first_price_ticks": {}}, "first price"),
        ({"venue": 5}, "at least one instrument"),
        ({"channel": Channel(CHANNEL.incremental, CHANNEL.snapshot[:1], CHANNEL.retransmit)}, "snapshot feeds"),
    ],
)
def test_bad_settings_are_named(changes: dict[str, Any], words: str) -> None:
    settings: dict[str, Any] = {
        "venue": VENUE,
        "terms": make_market(1),
        "flows": [order_flow(0)],
        "channel": CHANNEL,
        "keys": KEYS,
        "first_price_ticks": {0: 1000},
        "start_ns": START_NS,
    }
    with pytest.raises(ValueError, match=words) as caught:
        make_starbase_exchange(**(settings | changes))
    assert "\n" not in str(caught.value)
    assert "secret" not in repr(KEYS[0])
