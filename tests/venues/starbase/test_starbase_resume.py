"""A new process's session that goes on from an earlier one's numbers, at the simulated exchange: each fill once."""

from random import Random

import pytest

from crosswire.venues.order import TimeInForce, is_open
from crosswire.venues.session import (
    Resumed,
    ResumedFill,
    ResumedOrder,
    SessionState,
    write_new,
)
from crosswire.venues.starbase.adapter import notices
from crosswire.venues.starbase.exchange.account import connect_anew
from crosswire.venues.starbase.exchange.exchange import forget_session
from crosswire.venues.starbase.exchange.setup import Crowd
from crosswire.venues.starbase.exchange.state import Mistake, StarbaseExchange
from crosswire.venues.starbase.orders.resume import SKIPPED_NUMBERS, resume_session
from crosswire.venues.starbase.orders.state import Refusal
from tests.support.order_setup import FIRST_VENUE_ID, VENUE, make_approval, open_order
from tests.support.starbase_engine import Engine
from tests.support.starbase_exchange_client import MS, S, make_exchange
from tests.support.starbase_order_setup import Bench

pytestmark = pytest.mark.starbase


def busy_exchange(seed: int) -> StarbaseExchange:
    crowd = Crowd(seed=seed, events_per_second=500, volatility_ticks=10.0)
    return make_exchange(is_connected=True, speed_bump_ns=2 * MS, tokens_per_ms=1_000_000, crowd=crowd)


def trade_on(engine: Engine, random: Random, steps: int) -> None:
    for _ in range(steps):
        engine.run(random.randint(0, 3) * 300_000)
        if engine.session.state == SessionState.READY:
            engine.trade(random)


def numbers_of(engine: Engine) -> list[int]:
    return list(engine.session.numbers)


def next_process(engine: Engine, numbers: list[int]) -> Engine:
    """Another engine, with the first one's orders, fills and numbers as a journal would have them."""
    after = Engine(engine.exchange, engine.now_ns)
    after.table, after.live, after.position = engine.table, engine.live, engine.position
    after.frames = engine.frames
    orders = []
    for slot in range(len(engine.table.orders)):
        order = engine.table.orders[slot]
        if is_open(order):
            link, sequence = engine.frames[order.client_order_id]
            orders.append(
                ResumedOrder(
                    order.client_order_id, order.exchange_order_id, order.instrument, order.side, order.price_ticks,
                    order.qty_lots, order.queued, link, sequence, 0,
                )
            )  # fmt: skip
    booked, keys = engine.session.last_execution_id, engine.session.fills.keys
    fills = [ResumedFill(each, keys[each - 1].match_id, keys[each - 1].order_id) for each in range(1, booked + 1)]
    resume_session(after.session, Resumed(numbers, 0, booked, orders, fills))
    connect_anew(engine.exchange, engine.now_ns)
    return after


@pytest.mark.parametrize("away_ms", [0, 3, 400])
@pytest.mark.parametrize("seed", range(4))
def test_a_new_process_goes_on_from_the_numbers_and_has_each_fill_once(seed: int, away_ms: int) -> None:
    exchange, random = busy_exchange(seed), Random(seed)
    engine = Engine(exchange)
    engine.start()
    trade_on(engine, random, 60)
    # Killed with orders on their way, and with answers that nobody reads.
    for _ in range(4):
        engine.trade(random)
    engine.now_ns += away_ms * MS
    after = next_process(engine, numbers_of(engine))
    after.start()
    after.run(2 * S)
    assert after.session.state == SessionState.READY
    assert exchange.gateways.gaps_asked == exchange.gateways.gaps_filled == 2
    trade_on(after, random, 40)
    after.run(2 * S)
    member = exchange.matching.members[1]
    assert engine.alarms == after.alarms == 0
    assert engine.told + after.told == list(range(1, member.fills + 1))
    assert (after.position, len(after.live)) == (member.position_lots[0], member.open_orders)
    assert (after.session.fills.copies, member.duplicate_orders) == (0, 0)
    assert exchange.gateways.mistakes[Mistake.BAD_SEQUENCE] == exchange.gateways.mistakes[Mistake.COPY] == 0


@pytest.mark.parametrize("seed", range(4))
def test_fills_whose_frames_number_was_not_written_down_are_known_again(seed: int) -> None:
    """The numbers on disk may be older than the fills, never newer."""
    exchange, random = busy_exchange(seed), Random(seed)
    engine = Engine(exchange)
    engine.start()
    trade_on(engine, random, 40)
    numbers, booked = numbers_of(engine), engine.session.last_execution_id
    trade_on(engine, random, 40)
    assert engine.session.last_execution_id > booked
    after = next_process(engine, numbers)
    after.start()
    after.run(2 * S)
    member = exchange.matching.members[1]
    assert engine.told + after.told == list(range(1, member.fills + 1))
    assert after.session.fills.copies >= engine.session.last_execution_id - booked
    assert after.alarms == 0
    assert after.position == member.position_lots[0]


def test_an_order_that_never_arrived_is_ended_by_the_new_process() -> None:
    exchange = busy_exchange(1)
    engine = Engine(exchange)
    engine.start()
    engine.run(MS)
    order = open_order(engine.table, VENUE, 0, 0, TimeInForce.GTC, 900, 5, engine.now_ns)
    approval = make_approval(order.client_order_id, 0, TimeInForce.GTC, 900, 5)
    assert write_new(engine.session, exchange, approval, engine.now_ns)
    exchange.orders.sent -= 1  # lost on the wire
    engine.frames[order.client_order_id] = (0, engine.session.links[0].stream.send_sequence)
    after = next_process(engine, numbers_of(engine))
    after.live = {order.client_order_id}
    after.start()
    after.run(S)
    assert (after.session.state, after.live, after.alarms) == (SessionState.READY, set(), 0)
    assert after.session.lost_orders == 1
    assert exchange.matching.members[1].new_orders == 0


def test_an_exchange_that_forgot_what_it_sent_is_asked_in_vain_and_one_that_lost_the_numbers_is_left_alone() -> None:
    exchange = busy_exchange(2)
    engine = Engine(exchange)
    engine.start()
    trade_on(engine, Random(2), 40)
    numbers = numbers_of(engine)
    forgetful = next_process(engine, [numbers[0], 1, numbers[2], 1])
    for number in range(2):
        forget_session(exchange, number)
    forgetful.start()
    forgetful.run(S)
    assert forgetful.session.state == SessionState.READY
    ahead = next_process(engine, [numbers[0] + 2 * SKIPPED_NUMBERS, 1 << 40, numbers[2] + 2 * SKIPPED_NUMBERS, 1 << 40])
    ahead.start()
    ahead.run(S)
    assert ahead.session.state == SessionState.LOST
    assert {ahead.session.links[number].refusal for number in range(2)} == {Refusal.NUMBERS_LOST}


def resumed_at(sent: int, processed: int) -> Resumed:
    return Resumed([sent, processed, 0, 0], 0, 0, [], [])


def test_it_does_not_log_on_before_the_instruments_are_defined() -> None:
    """What is sent again would be of an instrument that nobody knows, and lost."""
    bench = Bench()
    bench.market.instruments[1].venue_id = -1
    resume_session(bench.session, resumed_at(41, 17))
    bench.session.started = 1
    bench.keep()
    assert bench.gateway.take() == []
    assert notices(bench.session) == [
        "the session waits for the definition of its instruments before it logs on and asks what it missed"
    ]
    bench.market.instruments[1].venue_id = FIRST_VENUE_ID + 1
    bench.keep(MS)
    assert bench.gateway.take() == ["Logon"]
    assert bench.gateway.seen[0][1]["resetSeqNum"] == 0
    assert (bench.gateway.numbers, bench.gateway.processed) == ([41 + SKIPPED_NUMBERS + 1], [17])
    assert notices(bench.session) == []


def test_a_link_that_never_logged_on_resets_its_numbers() -> None:
    bench = Bench(links=2)
    resume_session(bench.session, resumed_at(5, 5))
    bench.session.started = 1
    bench.keep()
    a, b = bench.gateways
    assert (a.take(), b.take()) == (["Logon"], ["Logon"])
    assert (a.seen[0][1]["resetSeqNum"], b.seen[0][1]["resetSeqNum"]) == (0, 1)
