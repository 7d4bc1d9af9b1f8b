"""An order session that was lost within a run, and is back: what is an alarm, and what is traded on."""

from collections.abc import Callable

import pytest

from crosswire.engine.account import take_account
from crosswire.engine.alarm import alarm_text
from crosswire.engine.orders import note_session, settle_account
from crosswire.engine.simulate.cable import cut_connection
from crosswire.engine.simulate.judge import compare
from crosswire.engine.simulate.world import World, account_of, own_orders, turn_until
from crosswire.nic.duration import NS_PER_MS, NS_PER_S
from crosswire.nic.unit.compile import NO_JIT
from crosswire.risk.gate import Veto
from crosswire.risk.trading_state import TradingState
from crosswire.venues.exchange.simulated import kill_gateway
from crosswire.venues.order import Applied, Order, OrderState, Report, ReportKind
from crosswire.venues.session import SessionState
from tests.engine.simulate.conftest import until

pytestmark = [pytest.mark.simulation, pytest.mark.skipif(NO_JIT, reason="too slow uncompiled")]
VENUE = 1


def orders_of(world: World) -> list[Order]:
    return list(own_orders(world, VENUE))


def has_traded(world: World) -> bool:
    """Tell whether it has, and often enough: right after the first fills an order follows each moment without one."""
    return account_of(world, VENUE).fills > 12


def is_flat(world: World) -> bool:
    """Tell whether nothing of ours is open at the venue, or on its way."""
    return has_traded(world) and not orders_of(world) and account_of(world, VENUE).is_settled


def is_ready(world: World) -> bool:
    return bool(world.run.parts[VENUE].session.state == SessionState.READY)


@pytest.fixture
def world(make: Callable[..., World]) -> World:
    """One whose orders do not rest."""
    world = make(is_restless=False)
    turn_until(world, 1)
    return world


def kill(world: World) -> None:
    kill_gateway(world.run.parts[VENUE].exchange, 0, world.run.engine.state.now_ns)


def lose(world: World) -> None:
    """Let the gateway die, and the session know of it."""
    kill(world)
    until(world, lambda: world.run.parts[VENUE].session.state == SessionState.LOST)


def test_a_session_lost_flat_is_no_alarm_and_is_traded_on_again(world: World) -> None:
    engine, session = world.run.engine, world.run.parts[VENUE].session
    until(world, lambda: is_flat(world))
    lose(world)
    sent, vetoes = session.orders_sent, engine.gate.vetoes[Veto.SESSION_NOT_READY]
    other_sent = world.run.parts[0].session.orders_sent
    until(world, lambda: is_ready(world))
    assert session.orders_sent == sent
    assert engine.gate.vetoes[Veto.SESSION_NOT_READY] > vetoes
    assert world.run.parts[0].session.orders_sent > other_sent
    venue = engine.venues[VENUE]
    assert (engine.gate.alarms, engine.gate.state) == (0, TradingState.ACTIVE)
    assert (venue.losses, venue.is_lost, venue.accounts, session.accounts_told) == (1, 0, 1, 1)
    fills = account_of(world, VENUE).fills
    until(world, lambda: account_of(world, VENUE).fills > fills)
    until(world, lambda: is_flat(world))
    compare(world, VENUE, account_of(world, VENUE))
    assert world.violations == []
    assert world.watch.violation_count == 0
    world.run.close()


def test_a_session_lost_with_orders_open_is_an_alarm_and_their_ends_are_heard(restless: World) -> None:
    """Cut off with an order on its way: what it was filled with is booked once, and its end is known."""
    engine = restless.run.engine
    until(
        restless,
        lambda: has_traded(restless) and any(order.state == OrderState.PENDING_NEW for order in orders_of(restless)),
    )
    fills = account_of(restless, VENUE).fills
    # What is on its way there arrives, and no answer comes back.
    turn_until(restless, engine.state.now_ns + NS_PER_MS)
    cut_connection(restless.cables[VENUE], 0, engine.state.now_ns + NS_PER_S)
    until(restless, lambda: engine.gate.alarms != 0)
    assert engine.gate.state == TradingState.HALTED
    assert "its session was lost with" in alarm_text(restless.run)
    assert orders_of(restless)
    until(restless, lambda: is_ready(restless))
    until(restless, lambda: account_of(restless, VENUE).is_settled)
    theirs = account_of(restless, VENUE)
    assert not orders_of(restless)
    assert theirs.open_orders == []
    ours = {index: engine.gate.positions[index].position_lots for index in theirs.position_lots}
    assert ours == theirs.position_lots
    assert sum(engine.gate.positions[index].fills for index in ours) == theirs.fills >= fills
    assert engine.gate.alarms == 1
    restless.run.close()


def test_a_session_lost_while_the_account_is_told_is_no_second_loss(world: World) -> None:
    engine, session = world.run.engine, world.run.parts[VENUE].session
    until(world, lambda: is_flat(world))
    lose(world)
    until(world, lambda: session.state == SessionState.LOGGING_ON)
    lose(world)
    assert engine.venues[VENUE].losses == 1
    until(world, lambda: is_ready(world))
    assert (engine.venues[VENUE].losses, engine.venues[VENUE].accounts, engine.gate.alarms) == (1, 1, 0)
    until(world, lambda: is_flat(world))
    lose(world)
    assert engine.venues[VENUE].losses == 2
    world.run.close()


def test_an_account_that_differs_is_an_alarm(world: World) -> None:
    engine, exchange = world.run.engine, world.run.parts[VENUE].exchange
    until(world, lambda: is_flat(world))
    lose(world)
    exchange.gateway.position_lots[1] += 5
    until(world, lambda: is_ready(world))
    assert (engine.gate.state, engine.venues[VENUE].differences) == (TradingState.HALTED, 1)
    ours = engine.gate.positions[1].position_lots
    assert f"{ours} lots by our journal, {ours + 5} by the venue's account" in alarm_text(world.run)
    world.run.close()


def test_a_venue_that_has_forgotten_fills_is_an_alarm(world: World) -> None:
    """It would give their execution ids again, and what has them is taken for a copy."""
    engine, exchange = world.run.engine, world.run.parts[VENUE].exchange
    until(world, lambda: is_flat(world))
    lose(world)
    exchange.matching.last_execution_id -= 1
    until(world, lambda: is_ready(world))
    assert engine.gate.state == TradingState.HALTED
    assert engine.orders.outcomes[Applied.BAD_EXECUTION] == 1
    assert "with an execution id that is another fill's" in alarm_text(world.run)
    world.run.close()


def tell(world: World, kind: ReportKind, order: Order | None = None, **values: int) -> None:
    """One part of the venue's account."""
    engine, venue = world.run.engine, world.run.engine.venues[VENUE]
    report = Report(kind=kind, venue=VENUE, **values)
    if order is not None:
        report.client_order_id, report.instrument, report.side = order.client_order_id, order.instrument, order.side
        report.leaves_lots = order.qty_lots - order.filled_lots
    if take_account(engine, venue, report, engine.state.now_ns):
        settle_account(engine, venue, engine.state.now_ns)


def tell_rest(world: World) -> None:
    """What is held, and the end of the account."""
    for index, lots in account_of(world, VENUE).position_lots.items():
        if lots:
            tell(world, ReportKind.HOLDING, instrument=index, qty_lots=lots)
    last_id = world.run.engine.orders.last_execution_ids[VENUE]
    tell(world, ReportKind.ACCOUNT_END, execution_id=last_id)


def note(world: World, state: SessionState) -> None:
    engine = world.run.engine
    engine.venues[VENUE].session.state = state
    note_session(engine, engine.venues[VENUE], engine.state.now_ns)


def test_orders_that_the_venue_still_has_are_cancelled_and_the_others_have_ended(restless: World) -> None:
    """Where a venue keeps orders of a lost session. What half an account has said before another loss is forgotten."""
    engine = restless.run.engine
    session = engine.venues[VENUE].session

    def rest() -> list[Order]:
        return [order for order in orders_of(restless) if order.state == OrderState.LIVE]

    until(restless, lambda: has_traded(restless) and len(rest()) >= 2 and account_of(restless, VENUE).is_settled)
    first, second = rest()[:2]
    second_id = second.client_order_id
    note(restless, SessionState.LOST)
    assert (engine.gate.alarms, engine.venues[VENUE].cancel_due) == (1, 1)
    note(restless, SessionState.LOGGING_ON)
    tell(restless, ReportKind.HOLDING, instrument=1, qty_lots=77)
    tell(restless, ReportKind.OPEN, first)
    note(restless, SessionState.LOST)
    assert (engine.gate.alarms, engine.venues[VENUE].losses) == (1, 1)
    note(restless, SessionState.READY)
    cancels = session.cancels_sent
    tell(restless, ReportKind.OPEN, second)
    tell_rest(restless)
    assert engine.venues[VENUE].differences == engine.venues[VENUE].strangers == 0
    assert [order.client_order_id for order in orders_of(restless)] == [second_id]
    assert first.state == OrderState.FREE
    assert (session.cancels_sent, engine.venues[VENUE].cancel_due) == (cancels + 1, 0)
    restless.run.close()
