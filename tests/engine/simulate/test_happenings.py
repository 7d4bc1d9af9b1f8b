"""What rarely happens in a seed, alone in a world where nothing else goes wrong: what the engine makes of it."""

from collections.abc import Callable
from typing import Any

import pytest

from crosswire.engine.alarm import alarm_text
from crosswire.engine.simulate.cable import connection_number
from crosswire.engine.simulate.happen import happen
from crosswire.engine.simulate.plan import Event, Happening
from crosswire.engine.simulate.world import World, account_of, own_orders, turn_until
from crosswire.nic.duration import NS_PER_MS, NS_PER_S
from crosswire.nic.unit.compile import NO_JIT
from crosswire.risk.trading_state import TradingState
from crosswire.venues.session import SessionState
from tests.engine.simulate.conftest import until

pytestmark = [pytest.mark.simulation, pytest.mark.skipif(NO_JIT, reason="too slow uncompiled")]


def play(
    world: World, happening: Happening, venue: int = 0, for_ms: int = 1, both: bool = False, **values: Any
) -> None:
    event = Event(at_ms=0, happening=happening, venue=venue, gateway=0, both=both, for_ms=for_ms, **values)
    happen(world, event)


@pytest.fixture
def starbase(make: Callable[..., World]) -> World:
    world = make(example="starbase")
    turn_until(world, 1)
    return world


def test_a_link_lost_for_good_with_orders_open_is_an_alarm(starbase: World) -> None:
    """The session is READY by the other link, and nobody tells what became of the orders on the first."""
    engine, session = starbase.run.engine, starbase.run.parts[0].session
    until(starbase, lambda: session.order_link == 0 and any(True for _ in own_orders(starbase, 0)))
    play(starbase, Happening.DISPLACED)
    assert starbase.happened["sessions displaced"] == 1
    assert (session.state, session.links_gone) == (SessionState.READY, 1)
    assert (engine.gate.alarms, engine.gate.state) == (1, TradingState.HALTED)
    assert "starbase: one of its session's links was lost for good with" in alarm_text(starbase.run)
    sent = engine.state.orders_sent
    turn_until(starbase, starbase.now_ns + NS_PER_S)
    assert engine.state.orders_sent == sent
    assert account_of(starbase, 0).open_orders == []
    assert starbase.watch.violation_count == 0
    starbase.run.close()


def test_a_link_lost_for_good_with_nothing_open_is_traded_on_without(starbase: World) -> None:
    engine, session = starbase.run.engine, starbase.run.parts[0].session
    until(starbase, lambda: session.order_link == 0 and not any(True for _ in own_orders(starbase, 0)))
    play(starbase, Happening.DISPLACED)
    assert (session.state, session.order_link, session.links_gone) == (SessionState.READY, 1, 1)
    assert engine.gate.alarms == 0
    sent = session.orders_sent
    until(starbase, lambda: session.orders_sent > sent)
    starbase.run.close()


def test_a_displaced_session_makes_no_other_connection(restless: World) -> None:
    engine, session = restless.run.engine, restless.run.parts[1].session
    until(restless, lambda: session.state == SessionState.READY and not any(True for _ in own_orders(restless, 1)))
    play(restless, Happening.DISPLACED, venue=1)
    turn_until(restless, restless.now_ns + 3 * NS_PER_S)
    assert (session.state, connection_number(restless.cables[1], 0)) == (SessionState.LOST, 1)
    assert engine.gate.alarms == 0
    restless.run.close()


def test_a_clock_that_is_set_back_goes_on_at_half_speed(restless: World) -> None:
    engine = restless.run.engine
    turn_until(restless, restless.now_ns + NS_PER_S)
    stood_ns, true_ns, frames = restless.engine_clock.now_ns, restless.now_ns, engine.state.frames
    play(restless, Happening.CLOCK_STEPPED, step_ns=-NS_PER_S)
    turn_until(restless, true_ns + NS_PER_S)
    assert abs(engine.state.now_ns - stood_ns - NS_PER_S // 2) < NS_PER_MS
    assert engine.state.frames > frames + 100
    turn_until(restless, true_ns + 3 * NS_PER_S)
    assert engine.state.now_ns == restless.now_ns - NS_PER_S
    assert restless.watch.violation_count == 0
    restless.run.close()


def test_a_clock_that_is_set_forward_makes_no_silence(restless: World) -> None:
    """By more than any session bears: nobody was asked to listen in that time."""
    engine, parts = restless.run.engine, restless.run.parts
    until(restless, lambda: all(part.session.state == SessionState.READY for part in parts))
    true_ns = restless.now_ns
    play(restless, Happening.CLOCK_STEPPED, step_ns=10 * NS_PER_S)
    turn_until(restless, true_ns + NS_PER_S // 2)
    assert engine.state.now_ns == restless.now_ns + 10 * NS_PER_S
    assert [(part.session.state, part.session.silences) for part in parts] == [(SessionState.READY, 0)] * 2
    assert restless.watch.violation_count == 0
    restless.run.close()


@pytest.mark.parametrize("for_ms", [50, 2_900, 12_000])
def test_an_engine_that_stood_still_reads_what_waits_and_trades_on(restless: World, for_ms: int) -> None:
    engine, parts = restless.run.engine, restless.run.parts
    until(restless, lambda: all(part.session.state == SessionState.READY for part in parts))
    begun_ns, frames = restless.now_ns, engine.state.frames
    play(restless, Happening.STOOD_STILL, for_ms=for_ms, both=True)
    assert restless.now_ns >= begun_ns + for_ms * NS_PER_MS
    assert engine.state.frames > frames + for_ms // 10
    assert (engine.state.standstills, engine.state.behind_ns) == (1, 0)
    assert [part.session.silences for part in parts] == [0, 0]
    # Who was given up by its exchange in that time hears so, and comes back; no order has left on an old book.
    until(restless, lambda: all(part.session.state == SessionState.READY for part in parts))
    assert restless.watch.violation_count == 0
    restless.run.close()


def test_with_a_full_disk_all_is_cancelled_and_every_record_kept(restless: World) -> None:
    engine = restless.run.engine
    until(restless, lambda: account_of(restless, 1).open_orders != [])
    play(restless, Happening.DISK_FULL, room_bytes=1_000)
    until(restless, lambda: restless.no_room_ns != 0)
    sent = engine.state.orders_sent
    turn_until(restless, restless.now_ns + NS_PER_S)
    assert engine.state.orders_sent == sent
    assert [account_of(restless, number).open_orders for number in range(2)] == [[], []]
    assert (engine.orders.count, engine.journal.dropped) == (0, 0)
    assert restless.watch.violation_count == 0
    restless.run.close()


@pytest.mark.parametrize("example", ["synthetic", "starbase"])
def test_an_exchange_that_is_throttled_takes_no_order(make: Callable[..., World], example: str) -> None:
    world = make(example=example)
    turn_until(world, 1)
    session = world.run.parts[0].session
    until(world, lambda: session.state == SessionState.READY)
    sent, known = session.orders_sent, {each.exchange_order_id for each in account_of(world, 0).open_orders}
    play(world, Happening.THROTTLED, for_ms=2_000)
    until(world, lambda: session.orders_sent > sent + 3)
    until(world, lambda: account_of(world, 0).is_settled)
    assert {each.exchange_order_id for each in account_of(world, 0).open_orders} <= known
    assert not any(order.exchange_order_id not in known for order in own_orders(world, 0))
    assert world.run.engine.gate.alarms == 0
    world.run.close()
