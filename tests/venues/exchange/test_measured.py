"""A simulated exchange whose books go by the times on the wire."""

import random
from pathlib import Path

import pytest

from crosswire.nic.capture.writer import CaptureWriter
from crosswire.nic.memory.struct import array, i64, size_of, u8, view
from crosswire.nic.packet import UDP_FRAME_HEADER_BYTES, Flow, Packet, write_udp_frame_header
from crosswire.nic.rings.replay import FOLLOWER, LEADER, Replay
from crosswire.venues.book.book import level_lots
from crosswire.venues.exchange.simulated import catch_up, make_simulated_exchange, next_market_ns
from crosswire.venues.exchange.wire_time import WireTime, read_wire_time, tell_time
from crosswire.venues.feed import Feed, decode
from crosswire.venues.market import Events, Market
from crosswire.venues.side import ASK, BID
from tests.support.order_setup import VENUE, make_flow, make_market
from tests.venues.exchange.test_matching import Model
from tests.venues.exchange.test_simulated import (
    ACK,
    CANCELLED,
    FILL,
    FOK,
    GTC,
    IOC,
    MS,
    NOT_TOLD,
    ORDER_NS,
    RESPONSE_NS,
    T0,
    Change,
    Change4,
    Outcome,
    PlainFeed,
    apply_change,
    at,
    busy_changes,
    busy_steps,
    run,
)


class TimedChange(Change):
    """A change that says when it was made."""

    made_ns: i64  # 0: it does not


class TimedFeed(Feed):
    """A feed of `TimedChange`s of instrument 0."""


@decode.register(TimedFeed)
def decode_timed(feed: TimedFeed, packet: Packet, market: Market, events: Events) -> None:
    if packet.payload_length == size_of(TimedChange):
        apply_change(view(TimedChange, packet.payload_address), packet, market, events)


@read_wire_time.register(TimedFeed)
def read_timed(_feed: TimedFeed, packet: Packet, told: WireTime) -> None:
    told.time_ns = told.is_book = 0
    if packet.payload_length == size_of(TimedChange):
        tell_time(told, view(TimedChange, packet.payload_address).made_ns, 1)


Timed = tuple[int, int, Change4]  # (receive time, when it was made or 0, change)


def write_timed(path: Path, changes: list[Timed]) -> Path:
    flow = Flow(source_ip=1, destination_ip=2, source_port=3, destination_port=4)
    header = array(u8, UDP_FRAME_HEADER_BYTES)
    write_udp_frame_header(header.address, flow, size_of(TimedChange))
    with CaptureWriter(path) as writer:
        for receive_ns, made_ns, (side, price_ticks, qty_lots, is_trade) in changes:
            change = TimedChange(
                side=side, price_ticks=price_ticks, qty_lots=qty_lots, is_trade=is_trade, made_ns=made_ns
            )
            writer.write(receive_ns, bytes(header) + bytes(change))
    return path


def lively_changes(seed: int, count: int) -> list[Timed]:
    """A lively market, each change 0 to 9 ms under way, some 40, some without a time."""
    chance = random.Random(seed)
    changes = []
    for receive_ns, change in busy_changes(seed, count):
        under_way_ns = chance.choice((0, MS, 2 * MS, 5 * MS, 9 * MS, 40 * MS))
        changes.append((receive_ns, 0 if chance.random() < 0.2 else receive_ns - under_way_ns, change))
    return changes


def exchange_times(changes: list[Timed]) -> list[int]:
    """When the exchange has each change, by the formula of `crosswire.venues.exchange.clock`."""
    times, before_ns, usual_ns = [], 0, 0
    for receive_ns, made_ns, _ in changes:
        if made_ns:
            usual_ns = receive_ns - made_ns
        before_ns = max(before_ns, made_ns or receive_ns - usual_ns)
        times.append(before_ns)
    return times


def measured_run(path: Path, steps: list[tuple[int, ...]], window_bytes: int = 1 << 20) -> Outcome:
    return run(path, steps, window_bytes, feed=TimedFeed(), feed_latency_ns=None)


def test_an_order_meets_the_book_of_the_exchanges_own_time(tmp_path: Path) -> None:
    """A level received at 67 ms that was made at 60: an order that arrives at 60 takes it, one at 59 does not."""
    quiet = [(T0 + at_ms * MS, T0 + at_ms * MS - MS, (BID, 50, 1 + at_ms % 7, 0)) for at_ms in range(0, 100, 10)]
    ask = (T0 + 67 * MS, T0 + 60 * MS, (ASK, 101, 3, 0))
    path = write_timed(tmp_path / "feed.pcap", sorted([*quiet, ask]))
    assert [one[1] for one in measured_run(path, [at(54)]).heard] == [ACK, CANCELLED]
    assert [one[1] for one in measured_run(path, [at(55)]).heard] == [ACK, FILL, CANCELLED]


@pytest.mark.parametrize("seed", range(3))
def test_fills_are_those_of_the_book_at_the_exchanges_time(tmp_path: Path, seed: int) -> None:
    """Against plain dictionaries that are told each change when it was made."""
    changes = lively_changes(seed, 1500)
    steps = busy_steps(seed, changes[-1][0], (IOC, FOK))
    heard = measured_run(write_timed(tmp_path / "feed.pcap", changes), steps).heard
    market = [(made_ns, 0, change) for made_ns, (_, _, change) in zip(exchange_times(changes), changes, strict=True)]
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


def test_where_the_windows_starve_changes_nothing(tmp_path: Path) -> None:
    """Windows of 4 KiB hold some forty frames, 20 to 40 ms of the market."""
    changes = lively_changes(11, 3000)
    path = write_timed(tmp_path / "feed.pcap", changes)
    steps = busy_steps(11, changes[-1][0], (IOC, GTC, GTC))
    whole, starved = measured_run(path, steps), measured_run(path, steps, 4096)
    assert (starved.heard, starved.digest) == (whole.heard, whole.digest)
    assert {one[1] for one in whole.heard} >= {ACK, FILL, CANCELLED}
    assert all(heard_ns == exchange_ns + RESPONSE_NS for heard_ns, *_, exchange_ns in whole.heard)


def test_a_frame_that_moves_after_it_was_looked_at_is_read_where_it_is(tmp_path: Path) -> None:
    """What the exchange has looked at may be moved in its window before it is due."""
    quiet = [(T0 + at_ms * MS, T0 + at_ms * MS - MS, (BID, 50, at_ms, 0)) for at_ms in range(1, 200)]
    path = write_timed(tmp_path / "feed.pcap", quiet)
    with Replay([path], 4096, cursors=2) as replay:
        exchange = make_simulated_exchange(
            TimedFeed(), VENUE, replay, make_market(), make_flow(), level_capacity=8, feed_latency_ns=None,
            order_latency_ns=0, response_latency_ns=0, orders_per_second=1, burst=1, resting_max=1,
        )  # fmt: skip
        catch_up(exchange, T0 + 9 * MS)
        assert next_market_ns(exchange) == T0 + 10 * MS
        before = exchange.market_frame.address
        follower, leader = replay.cursors[FOLLOWER], replay.cursors[LEADER]
        follower.frames = leader.frames
        follower.starved = 1
        replay.refill()
        catch_up(exchange, T0 + 10 * MS)
        assert exchange.market_frame.address != before
        assert level_lots(exchange.market.books[0], BID, 50) == 11


def test_what_tells_no_time_is_not_measured(tmp_path: Path) -> None:
    path = write_timed(tmp_path / "feed.pcap", lively_changes(1, 10))
    with Replay([path], cursors=2) as replay, pytest.raises(ValueError, match="the wire tells no times"):
        make_simulated_exchange(
            PlainFeed(), VENUE, replay, make_market(), make_flow(), level_capacity=8, feed_latency_ns=None,
            order_latency_ns=0, response_latency_ns=0, orders_per_second=1, burst=1, resting_max=1,
        )  # fmt: skip
