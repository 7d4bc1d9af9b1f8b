"""The simulated exchange: when it sees what, when its answers come, and that a run is the same however it is run."""

import ctypes
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NamedTuple

import pytest

from crosswire.nic.capture.writer import CaptureWriter
from crosswire.nic.memory.raw import FNV_BASIS, fnv1a
from crosswire.nic.memory.struct import Array, Struct, address_of, array, i64, size_of, u8, view
from crosswire.nic.packet import (
    PROTOCOL_TCP,
    UDP_FRAME_HEADER_BYTES,
    Flow,
    Packet,
    PacketCounters,
    parse_packet,
    write_udp_frame_header,
)
from crosswire.nic.rings.connection import connection_of, reconnect
from crosswire.nic.rings.replay import STARVED, Replay
from crosswire.nic.rings.ring import NEVER_NS, Frame, next_time_ns, poll, release
from crosswire.nic.unit.compile import NO_JIT, compiled
from crosswire.nic.unit.load import call_entry
from crosswire.venues.book.book import make_books, set_level
from crosswire.venues.bridge.exchange.gateway import reset_client
from crosswire.venues.bridge.orders.session import BridgeSession, make_bridge_session
from crosswire.venues.exchange.ring import ANSWER as EXCHANGE_ANSWER
from crosswire.venues.exchange.ring import is_settled
from crosswire.venues.exchange.simulated import SimulatedExchange, kill_gateway, make_simulated_exchange, share_books
from crosswire.venues.feed import Feed, decode
from crosswire.venues.market import TRADE, Events, Market, add_event, book_changed, clear_events, copy_instruments
from crosswire.venues.order import (
    NOT_TOLD,
    Approval,
    ReportKind,
    Reports,
    TimeInForce,
)
from crosswire.venues.session import (
    SessionState,
    keep_session,
    read_reports,
    start_session,
    write_cancel,
    write_new,
)
from crosswire.venues.side import ASK, BID, BUY, SELL
from tests.support.order_setup import VENUE, make_approval, make_flow, make_market
from tests.support.paths import ROOT
from tests.venues.exchange.test_matching import Model

T0 = 1_700_000_000_000_000_000
MS = 1_000_000
HEARTBEAT_MS = 100
FEED_NS, ORDER_NS, RESPONSE_NS = 3 * MS, 5 * MS, 7 * MS
ACK, FILL, CANCELLED, REJECTED, CANCEL_REJECTED, *_ = ReportKind
IOC, FOK, GTC, POST_ONLY = TimeInForce
NEW, CANCEL, KILL = range(3)


class Change(Struct, packed=True):
    """The whole protocol of the test's feed: one level, or one trade if `is_trade`, a packet."""

    side: i64
    price_ticks: i64
    qty_lots: i64
    is_trade: i64


class PlainFeed(Feed):
    """A feed of `Change`s of instrument 0."""


@decode.register(PlainFeed)
def decode_plain(feed: PlainFeed, packet: Packet, market: Market, events: Events) -> None:
    if packet.payload_length == size_of(Change):
        apply_change(view(Change, packet.payload_address), packet, market, events)


@compiled
def apply_change(change: Change, packet: Packet, market: Market, events: Events) -> None:
    if change.is_trade != 0:
        event = add_event(events, TRADE, 0, packet.time_ns)
        event.side = change.side
        event.price_ticks = change.price_ticks
        event.qty_lots = change.qty_lots
    else:
        set_level(market.books[0], change.side, change.price_ticks, change.qty_lots)
        market.books[0].valid = 1
        book_changed(events, market, 0, packet.time_ns)


class Step(Struct):
    """What the engine does when."""

    time_ns: i64
    action: i64  # NEW or CANCEL
    client_order_id: i64
    side: i64
    time_in_force: i64
    price_ticks: i64
    qty_lots: i64


class Heard(Struct):
    time_ns: i64
    kind: i64
    client_order_id: i64
    price_ticks: i64
    qty_lots: i64
    leaves_lots: i64
    exchange_time_ns: i64


class Engine(Struct):
    """A loop's memory, as small as the tests need it."""

    now_ns: i64
    last_frame_ns: i64
    market_frames: i64
    turns: i64
    wrong: i64  # frames out of their time or unreadable, orders that did not go out
    keep_ns: i64
    step: i64
    step_count: i64
    heard_count: i64
    feed: i64  # address; 0: it reads no market data
    frame: Frame
    market: Market
    events: Events
    packet: Packet
    counters: PacketCounters
    reports: Reports
    approval: Approval
    steps: Annotated[Array, Step, 256]
    heard: Annotated[Array, Heard, 4096]


@compiled
def drive(engine: Engine, exchange: SimulatedExchange, session: BridgeSession) -> int:
    """Turn until the capture ends or starves."""
    while True:
        due_ns = next_time_ns(exchange)
        if due_ns == STARVED:
            return STARVED
        if engine.step < engine.step_count:
            due_ns = min(due_ns, engine.steps[engine.step].time_ns)
        if due_ns == NEVER_NS:
            return NEVER_NS
        engine.now_ns = max(engine.now_ns, min(due_ns, engine.keep_ns) if engine.turns != 0 else due_ns)
        engine.turns += 1
        if poll(exchange, engine.frame, engine.now_ns):
            if engine.frame.time_ns < engine.last_frame_ns or engine.frame.time_ns > engine.now_ns:
                engine.wrong += 1
            engine.last_frame_ns = engine.frame.time_ns
            if not parse_packet(engine.frame, engine.packet, engine.counters):
                engine.wrong += 1
            elif engine.packet.protocol == PROTOCOL_TCP:
                engine.reports.count = 0
                read_reports(session, engine.packet, engine.reports)
                hear(engine)
                if session.keep_due != 0:
                    engine.keep_ns = engine.now_ns
            else:
                engine.market_frames += 1
                if engine.feed != 0:
                    clear_events(engine.events, engine.market)
                    packet, market = address_of(engine.packet), address_of(engine.market)
                    call_entry(exchange.decode, engine.feed, packet, market, address_of(engine.events))
            release(exchange)
        if engine.now_ns >= engine.keep_ns:
            if session.state == SessionState.CLOSED:
                start_session(session, exchange, engine.now_ns)
            engine.keep_ns = keep_session(session, exchange, engine.now_ns)
        while engine.step < engine.step_count and engine.steps[engine.step].time_ns <= engine.now_ns:
            act(engine, exchange, session, engine.steps[engine.step])
            engine.step += 1


@compiled
def act(engine: Engine, exchange: SimulatedExchange, session: BridgeSession, step: Step) -> None:
    if step.action == KILL:
        reset_client(exchange.gateway, exchange.matching, exchange.answers, engine.now_ns)
        return
    if step.action == CANCEL:
        if not write_cancel(session, exchange, step.client_order_id, 0, engine.now_ns):
            engine.wrong += 1
        return
    approval = engine.approval
    approval.armed = 1
    approval.client_order_id = step.client_order_id
    approval.instrument = 0
    approval.side = step.side
    approval.time_in_force = step.time_in_force
    approval.price_ticks = step.price_ticks
    approval.qty_lots = step.qty_lots
    if not write_new(session, exchange, approval, engine.now_ns):
        engine.wrong += 1


@compiled
def hear(engine: Engine) -> None:
    for position in range(engine.reports.count):
        report = engine.reports.items[position]
        heard = engine.heard[engine.heard_count]
        engine.heard_count += 1
        heard.time_ns = engine.now_ns
        heard.kind = report.kind
        heard.client_order_id = report.client_order_id
        heard.price_ticks = report.price_ticks
        heard.qty_lots = report.qty_lots
        heard.leaves_lots = report.leaves_lots
        heard.exchange_time_ns = report.exchange_time_ns


Change4 = tuple[int, int, int, int]  # side, price, lots, is_trade
Said = tuple[int, int, int, int, int, int, int]  # the fields of Heard


class Outcome(NamedTuple):
    """What a run did; two equal runs have equal ones."""

    heard: list[Said]
    digest: int
    turns: int
    market_frames: int
    ready: bool


def write_capture(path: Path, changes: list[tuple[int, Change4]]) -> Path:
    """A capture of the feed: (receive time in ns, change), in order."""
    flow = Flow(source_ip=1, destination_ip=2, source_port=3, destination_port=4)
    header = array(u8, UDP_FRAME_HEADER_BYTES)
    write_udp_frame_header(header.address, flow, size_of(Change))
    with CaptureWriter(path) as writer:
        for time_ns, (side, price_ticks, qty_lots, is_trade) in changes:
            change = Change(side=side, price_ticks=price_ticks, qty_lots=qty_lots, is_trade=is_trade)
            writer.write(time_ns, bytes(header) + bytes(change))
    return path


def run(
    path: Path,
    steps: list[tuple[int, ...]],
    window_bytes: int = 1 << 20,
    resting_max: int = 100,
    feed: Feed | None = None,
    feed_latency_ns: int | None = FEED_NS,
    shares: bool = False,
    look: Callable[[SimulatedExchange], None] = lambda _exchange: None,
) -> Outcome:
    """Replay a capture, with (time, action, id, side, time in force, price, lots) on the way.

    With `shares` the exchange shares the books that the engine makes of what it receives. `look` at it at the end.
    """
    terms = make_market()
    with Replay([path], window_bytes, cursors=2) as replay:
        exchange = make_simulated_exchange(
            feed or PlainFeed(), VENUE, replay, terms, make_flow(), level_capacity=256,
            feed_latency_ns=feed_latency_ns, order_latency_ns=ORDER_NS, response_latency_ns=RESPONSE_NS,
            orders_per_second=1000, burst=1000, resting_max=resting_max,
        )  # fmt: skip
        session = make_bridge_session(VENUE, terms, make_flow(), 1, HEARTBEAT_MS)
        engine = Engine(step_count=len(steps))
        if shares:
            own_feed = type(feed)() if feed else PlainFeed()
            engine.feed = own_feed.address
            copy_instruments(engine.market, terms)
            engine.market.books = make_books(terms.capacity, 256)
            share_books(exchange, own_feed, engine.market, engine.events)
        for number, values in enumerate(steps):
            for name, value in zip(Step.fields, values, strict=True):
                setattr(engine.steps[number], name, value)
        while drive(engine, exchange, session) == STARVED:
            replay.refill()
        assert engine.wrong == 0
        assert exchange.gateway.frames_received == session.frames_sent
        assert sum(exchange.gateway.mistakes) == sum(exchange.gateway.stream.faults) == 0
        heard = [
            tuple(getattr(engine.heard[number], name) for name in Heard.fields) for number in range(engine.heard_count)
        ]
        look(exchange)
        ready = session.state == SessionState.READY
        return Outcome(heard, exchange.digest, engine.turns, engine.market_frames, ready)


def quiet(until_ms: int, *changes: tuple[int, Change4]) -> list[tuple[int, Change4]]:
    """Changes at their ms, and a bid far away each 10 ms so that time goes on."""
    ticks = [(T0 + at * MS, (BID, 50, 1 + at % 7, 0)) for at in range(0, until_ms, 10)]
    return sorted([*ticks, *((T0 + at * MS, change) for at, change in changes)], key=lambda change: change[0])


def at(ms: int, **values: int) -> tuple[int, ...]:
    """A step of the engine, `ms` after T0; a buy of 4 at 101, IOC, unless said otherwise."""
    fields = {
        "action": NEW,
        "client_order_id": ms,
        "side": BUY,
        "time_in_force": IOC,
        "price_ticks": 101,
        "qty_lots": 4,
    }
    return (T0 + ms * MS, *(fields | values).values())


def test_the_exchange_runs_ahead_of_the_engine_by_the_feed_latency(tmp_path: Path) -> None:
    """A level that the engine receives at 67 ms existed at 64: an order sent at 59 arrives at 64 and takes it."""
    path = write_capture(tmp_path / "feed.pcap", quiet(100, (67, (ASK, 101, 3, 0))))
    early = run(path, [at(58)]).heard
    assert [(one[1], one[5]) for one in early] == [(ACK, NOT_TOLD), (CANCELLED, 4)]
    in_time = run(path, [at(59)]).heard
    heard_ns, exchange_ns = T0 + (59 + 5 + 7) * MS, T0 + (59 + 5) * MS
    assert in_time == [
        (heard_ns, ACK, 59, 0, 0, NOT_TOLD, exchange_ns),
        (heard_ns, FILL, 59, 101, 3, 1, exchange_ns),
        (heard_ns, CANCELLED, 59, 0, 0, 1, exchange_ns),
    ]


def test_a_resting_order_is_filled_before_the_engine_sees_the_trade(tmp_path: Path) -> None:
    """The trade is received at 90, happened at 87; its fill is heard at 94, as a turn of its own."""
    path = write_capture(tmp_path / "feed.pcap", quiet(120, (90, (SELL, 99, 5, 1))))
    heard = run(path, [at(51, time_in_force=GTC, price_ticks=99)]).heard
    assert [(one[0] - T0, one[1], one[4], one[6] - T0) for one in heard] == [
        (63 * MS, ACK, 0, 56 * MS),
        (94 * MS, FILL, 4, 87 * MS),
    ]


def test_cancel_on_its_way_loses_against_a_fill(tmp_path: Path) -> None:
    path = write_capture(tmp_path / "feed.pcap", quiet(120, (90, (SELL, 99, 5, 1))))
    steps = [at(51, time_in_force=GTC, price_ticks=99), at(82, action=CANCEL, client_order_id=51)]
    assert [one[1] for one in run(path, steps).heard] == [ACK, FILL, CANCEL_REJECTED]
    steps[1] = at(81, action=CANCEL, client_order_id=51)
    assert [one[1] for one in run(path, steps).heard] == [ACK, CANCELLED]


def test_heartbeats_keep_the_session_and_do_not_keep_the_run(tmp_path: Path) -> None:
    path = write_capture(tmp_path / "feed.pcap", [(T0 + second * 1000 * MS, (BID, 50, 1, 0)) for second in range(5)])
    outcome = run(path, [at(3999)])
    assert outcome.ready
    assert [one[1] for one in outcome.heard] == [ACK, CANCELLED]
    assert outcome.market_frames == 5
    assert outcome.turns < 200  # 2 x 40 heartbeats and what little else there is


def busy_changes(seed: int, count: int) -> list[tuple[int, Change4]]:
    """A lively market around 100, times with ties."""
    chance = random.Random(seed)
    changes, time_ns = [], T0
    for _ in range(count):
        time_ns += chance.choice((0, 0, 100_000, 400_000, MS, 2 * MS))
        side = chance.randrange(2)
        price_ticks = chance.randrange(100, 106) if side == ASK else chance.randrange(94, 100)
        is_trade = int(chance.random() < 0.2)
        changes.append((time_ns, (side, price_ticks, chance.randrange(10 if not is_trade else 4), is_trade)))
    return changes


def busy_steps(seed: int, until_ns: int, kinds: tuple[int, ...]) -> list[tuple[int, ...]]:
    chance = random.Random(seed)
    times = sorted(chance.randrange(T0 + 30 * MS, until_ns) for _ in range(200))
    steps = []
    for number, time_ns in enumerate(times, 1):
        time_in_force = chance.choice(kinds)
        action = CANCEL if time_in_force == GTC and chance.random() < 0.3 else NEW
        client_order_id = chance.randrange(1, number + 1) if action == CANCEL else number
        price_ticks, qty_lots = chance.randrange(95, 105), chance.randrange(1, 12)
        steps.append((time_ns, action, client_order_id, chance.randrange(2), time_in_force, price_ticks, qty_lots))
    return steps


@pytest.mark.parametrize("seed", range(3))
def test_fills_are_those_of_the_book_when_the_order_arrives(tmp_path: Path, seed: int) -> None:
    """Against plain dictionaries that are told the market `FEED_NS` early and the orders `ORDER_NS` late."""
    changes = busy_changes(seed, 1500)
    steps = busy_steps(seed, changes[-1][0], (IOC, FOK))
    heard = run(write_capture(tmp_path / "feed.pcap", changes), steps).heard
    market = [(time_ns - FEED_NS, 0, change) for time_ns, change in changes]
    orders = [(step[0] + ORDER_NS, 1, step) for step in steps]
    model, expected = Model(), []
    for time_ns, is_order, values in sorted(market + orders, key=lambda one: one[:2]):
        if not is_order:
            if not values[3]:
                model.level(*values[:3])
            continue
        for kind, *said in model.order(*values[3:]):
            untold = (0, 0, said[0] if kind == CANCELLED else NOT_TOLD)
            price_ticks, qty_lots, leaves_lots = said if kind == FILL else untold
            expected.append((time_ns + RESPONSE_NS, kind, values[2], price_ticks, qty_lots, leaves_lots, time_ns))
    assert heard == expected
    assert sum(one[1] == FILL for one in heard) > 100


def lively_run(folder: Path, window_bytes: int) -> Outcome:
    changes = busy_changes(11, 3000)
    return run(
        write_capture(folder / f"feed-{window_bytes}.pcap", changes),
        busy_steps(11, changes[-1][0], (IOC, GTC, GTC)),
        window_bytes,
    )


@pytest.fixture(scope="module")
def lively(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return lively_run(tmp_path_factory.mktemp("lively"), 1 << 20)


def test_no_answer_is_late_and_none_is_lost(lively: Outcome) -> None:
    assert lively.ready
    assert all(heard_ns == exchange_ns + RESPONSE_NS for heard_ns, *_, exchange_ns in lively.heard)
    assert {one[1] for one in lively.heard} >= {ACK, FILL, CANCELLED, CANCEL_REJECTED}
    assert lively.market_frames == 3000
    assert lively.digest != FNV_BASIS


def test_the_same_run_gives_the_same_bytes(lively: Outcome, tmp_path: Path) -> None:
    assert lively_run(tmp_path, 1 << 20) == lively


def test_where_the_windows_starve_changes_nothing(lively: Outcome, tmp_path: Path) -> None:
    starved = lively_run(tmp_path, 4096)
    assert (starved.heard, starved.digest) == (lively.heard, lively.digest)


@pytest.mark.skipif(NO_JIT, reason="compares with the uncompiled mode, which this is")
def test_uncompiled_mode_gives_the_same_bytes(lively: Outcome, tmp_path: Path) -> None:
    script = (
        "import pathlib, sys; from tests.venues.exchange.test_simulated import lively_run; "
        "print(repr(tuple(lively_run(pathlib.Path(sys.argv[1]), 1 << 20))))"
    )
    environment = os.environ | {"CROSSWIRE_NO_JIT": "1"}
    result = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == repr(tuple(lively))


def test_a_replay_with_one_cursor_or_a_negative_latency_is_refused(tmp_path: Path) -> None:
    path = write_capture(tmp_path / "feed.pcap", quiet(20))
    limits = {"level_capacity": 8, "orders_per_second": 1, "burst": 1, "resting_max": 1}
    latencies = {"feed_latency_ns": 0, "order_latency_ns": 0, "response_latency_ns": 0}
    with Replay([path]) as replay, pytest.raises(ValueError, match="two cursors"):
        make_simulated_exchange(PlainFeed(), VENUE, replay, make_market(), make_flow(), **limits, **latencies)
    for name in latencies:
        wrong = latencies | {name: -1}
        with Replay([path], cursors=2) as replay, pytest.raises(ValueError, match="latency"):
            make_simulated_exchange(PlainFeed(), VENUE, replay, make_market(), make_flow(), **limits, **wrong)


def test_the_exchange_has_books_and_terms_of_its_own(tmp_path: Path) -> None:
    path = write_capture(tmp_path / "feed.pcap", quiet(20))
    terms = make_market()
    limits = {"level_capacity": 8, "orders_per_second": 1, "burst": 1, "resting_max": 1}
    with Replay([path], cursors=2) as replay:
        exchange = make_simulated_exchange(
            PlainFeed(), VENUE, replay, terms, make_flow(), **limits,
            feed_latency_ns=0, order_latency_ns=0, response_latency_ns=0,
        )  # fmt: skip
        terms.instruments[0].venue_id = 5
        assert exchange.market.instruments[0].venue_id != 5
        assert exchange.market.books.address != terms.books.address
        assert ctypes.string_at(exchange.market.instruments.address, 8) == bytes(8)


def test_a_killed_gateway_is_connected_to_again(tmp_path: Path) -> None:
    """The client hears of its end when a RST has come, connects after a second, and what rested has gone."""
    path = write_capture(tmp_path / "feed.pcap", quiet(2_000, (1, (ASK, 101, 10, 0)), (1_400, (ASK, 90, 1, 1))))
    resting = {"client_order_id": 1, "time_in_force": GTC, "price_ticks": 90, "qty_lots": 4}
    heard = run(path, [at(20, **resting), at(60, action=KILL), at(1_300, client_order_id=2)]).heard
    kinds = [kind for _, kind, *_ in heard]
    assert kinds == [ACK, ReportKind.ACCOUNT_END, ACK, FILL]
    back_ns = T0 + 60 * MS + RESPONSE_NS + 1_000 * MS  # one second after the RST came
    # SYN and logon go together; the answer to the logon, and the one to the query behind it.
    assert back_ns < heard[1][0] <= back_ns + 2 * (ORDER_NS + RESPONSE_NS) + 3 * MS


def test_answers_on_a_connection_that_was_given_up_are_dropped(tmp_path: Path) -> None:
    """What was on its way there arrives before the new connection, and counts."""
    path = write_capture(tmp_path / "feed.pcap", quiet(300, (1, (ASK, 101, 10, 0))))
    frame, terms = Frame(), make_market()
    with Replay([path], cursors=2) as replay:
        exchange = make_simulated_exchange(
            PlainFeed(), VENUE, replay, terms, make_flow(), level_capacity=256, feed_latency_ns=FEED_NS,
            order_latency_ns=ORDER_NS, response_latency_ns=RESPONSE_NS, orders_per_second=1000, burst=1000,
            resting_max=100,
        )  # fmt: skip

        def answers(until_ms: int) -> int:
            """Let time pass; how many answers came."""
            count = 0
            for now_ns in range(T0, T0 + until_ms * MS, MS):
                while poll(exchange, frame, now_ns):
                    count += exchange.polled == EXCHANGE_ANSWER
                    release(exchange)
            return count

        session = make_bridge_session(VENUE, terms, make_flow(), 1, HEARTBEAT_MS)
        answers(10)
        start_session(session, exchange, T0 + 10 * MS)
        assert answers(30) == 1
        session.state = SessionState.READY
        for number, time_in_force in ((1, IOC), (2, GTC)):
            approval = make_approval(number, BUY, time_in_force, 101 if time_in_force == IOC else 90, 4)
            assert write_new(session, exchange, approval, T0 + 30 * MS)
        assert connection_of(exchange, 0) == 1
        reconnect(exchange, 0, T0 + 31 * MS)
        assert connection_of(exchange, 0) == 2
        assert answers(100) == 0
        assert exchange.stale == 2
        assert (exchange.gateway.fills, exchange.matching.resting_count, exchange.gateway.logged_on) == (1, 0, 0)
        assert is_settled(exchange)
        kill_gateway(exchange, 0, T0 + 100 * MS)
        assert answers(150) == 1
        assert connection_of(exchange, 0) == 0


@pytest.mark.parametrize(("text", "expected"), [(b"", 0xCBF29CE484222325), (b"foobar", 0x85944171F73967E8)])
def test_the_digest_is_fnv1a(text: bytes, expected: int) -> None:
    """Test vectors of draft-eastlake-fnv; one call or many, the hash is the same."""
    memory = array(u8, 8)
    ctypes.memmove(memory.address, text, len(text))
    assert fnv1a(FNV_BASIS, memory.address, len(text)) % 2**64 == expected
    state = FNV_BASIS
    for position in range(len(text)):
        state = fnv1a(state, memory.address + position, 1)
    assert state % 2**64 == expected
