"""A new process's session that goes on from an earlier one's numbers, at the simulated exchange: each fill once."""

from random import Random

import pytest

from crosswire.venues.order import ORDERS_BITS, TimeInForce, is_open
from crosswire.venues.session import (
    Resumed,
    ResumedFill,
    ResumedOrder,
    SessionState,
    write_new,
)
from crosswire.venues.side import BUY, SELL
from crosswire.venues.starbase.adapter import notices
from crosswire.venues.starbase.exchange.account import connect_anew
from crosswire.venues.starbase.exchange.exchange import forget_session
from crosswire.venues.starbase.exchange.setup import Crowd
from crosswire.venues.starbase.exchange.state import Mistake, StarbaseExchange
from crosswire.venues.starbase.orders.fills import add_fill_once
from crosswire.venues.starbase.orders.quotes import quoted_side
from crosswire.venues.starbase.orders.resume import SKIPPED_NUMBERS, resume_session
from crosswire.venues.starbase.orders.state import SENT_MAX, Refusal, is_sent, sent_order
from crosswire.venues.starbase.wire.order_codes import Template
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


def test_numbers_are_each_links_own_and_leave_room_for_what_was_not_written_down() -> None:
    bench = Bench(links=2)
    session = bench.session
    resume_session(session, Resumed([41, 17, 52, 23], 9, 4, [], []))
    for link, sent, processed in zip(session.links, (41, 52), (17, 23), strict=False):
        # An hour of heartbeats, one a second, at least.
        assert link.stream.send_sequence == sent + SKIPPED_NUMBERS > sent + 3600
        assert (link.stream.receive_sequence, link.logons, link.is_resumed) == (processed, 1, 1)
    assert list(session.numbers) == [41 + SKIPPED_NUMBERS, 17, 52 + SKIPPED_NUMBERS, 23]
    assert (session.is_resumed, session.quote_id, session.last_execution_id, session.fills.count) == (1, 9, 4, 4)


@pytest.mark.parametrize("processed", [0, 5])
def test_a_session_that_never_sent_anything_goes_on_from_nothing(processed: int) -> None:
    session = Bench().session
    resume_session(session, Resumed([0, processed, 0, 0], 0, None, [], []))
    link = session.links[0]
    assert (session.is_resumed, link.is_resumed, link.logons) == (0, 0, 0)
    assert (link.stream.send_sequence, link.stream.receive_sequence) == (0, 0)
    assert (session.last_execution_id, session.fills.count) == (0, 0)


def test_a_link_that_sent_one_frame_goes_on() -> None:
    session = Bench().session
    resume_session(session, resumed_at(1, 0))
    assert (session.is_resumed, session.links[0].stream.send_sequence) == (1, 1 + SKIPPED_NUMBERS)


ORDER = ResumedOrder((7 << ORDERS_BITS) + 3, 901, 1, SELL, 105, 4, 0, 1, 2 * SENT_MAX + 5, 0)


@pytest.mark.parametrize(("written", "link"), [(1, 1), (0, 0), (-1, 0)])
@pytest.mark.parametrize("exchange_order_id", [0, 1, 901])
def test_an_order_is_known_with_the_frame_that_it_went_out_in(written: int, link: int, exchange_order_id: int) -> None:
    """Of one that was never sent no link was written down."""
    session = Bench(links=2).session
    each = ORDER._replace(link=written, exchange_order_id=exchange_order_id)
    resume_session(session, Resumed([5, 5, 5, 5], 0, 0, [each], []))
    known = sent_order(session, each.client_order_id)
    assert is_sent(session, each.client_order_id)
    assert (known.exchange_order_id, known.link, known.instrument, known.side) == (exchange_order_id, link, 1, SELL)
    frame = session.links[link].sent[5]
    assert (frame.sequence, frame.template_id, frame.client_order_id) == (
        each.sequence, Template.NEW_ORDER_REQUEST, each.client_order_id,
    )  # fmt: skip
    assert [session.links[1 - link].sent[place].sequence for place in (4, 5, 6)] == [0, 0, 0]
    for side in (BUY, SELL):
        quoted = quoted_side(session, 1, side)
        assert (quoted.client_order_id, quoted.sent_id, quoted.is_pending) == (0, 0, 0)


@pytest.mark.parametrize("side", [BUY, SELL])
@pytest.mark.parametrize("queued", [0, 1])
def test_the_quote_that_lives_is_known_beside_the_one_that_was_sent_after_it(side: int, queued: int) -> None:
    session = Bench(links=2).session
    lives = ORDER._replace(side=side, queued=queued, quote_id=30, sequence=9)
    sent = ResumedOrder(lives.client_order_id + (1 << ORDERS_BITS) + 1, 0, 1, side, 106, 6, 0, 1, 10, 31)
    # In whatever order they were found.
    resume_session(session, Resumed([5, 5, 5, 5], 31, 0, [sent, lives], []))
    quoted = quoted_side(session, 1, side)
    assert (quoted.client_order_id, quoted.order_id, quoted.is_held) == (lives.client_order_id, 901, queued)
    assert (quoted.sent_id, quoted.sent_in, quoted.sent_ticks, quoted.sent_lots) == (sent.client_order_id, 31, 106, 6)
    assert (quoted.is_pending, session.quote_link) == (1, 1)
    frames = [session.links[1].sent[place] for place in (9, 10)]
    assert [(frame.template_id, frame.client_order_id) for frame in frames] == [
        (Template.MASS_QUOTE_REQUEST, 30), (Template.MASS_QUOTE_REQUEST, 31),
    ]  # fmt: skip
    assert quoted_side(session, 1, 1 - side).sent_id == quoted_side(session, 0, side).sent_id == 0


@pytest.mark.parametrize(("written", "link"), [(1, 1), (0, 0), (-1, 0)])
def test_a_quote_that_lives_is_answered_and_stays_with_its_link(written: int, link: int) -> None:
    session = Bench(links=2).session
    resume_session(session, Resumed([5, 5, 5, 5], 30, 0, [ORDER._replace(link=written, quote_id=30)], []))
    quoted = quoted_side(session, 1, SELL)
    assert (quoted.is_pending, quoted.sent_id, quoted.sent_in) == (0, ORDER.client_order_id, 30)
    assert (quoted.sent_ticks, quoted.sent_lots, session.quote_link) == (105, 4, link)


@pytest.mark.parametrize("without_a_match", [0, 3])
@pytest.mark.parametrize("first", [1, 2, 5000])
def test_fills_that_were_booked_are_known_and_the_next_is_counted_on(first: int, without_a_match: int) -> None:
    """The account's last fills may have come without a match; they are booked as well."""
    session = Bench().session
    fills = [ResumedFill(first + place, 300 + place // 2, 900 + place % 2) for place in range(6)]
    last = first + 5 + without_a_match
    resume_session(session, Resumed([5, 5, 0, 0], 0, last, [], fills))
    assert (session.last_execution_id, session.fills.count) == (last, last)
    for fill in fills:
        key = session.fills.keys[fill.execution_id - 1]
        assert (key.match_id, key.order_id) == (fill.match_id, fill.exchange_order_id)
        assert not add_fill_once(session.fills, fill.match_id, fill.exchange_order_id)
    assert add_fill_once(session.fills, 400, 900)
