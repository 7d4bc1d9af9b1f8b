"""A venue that lies: each lie is an alarm of its kind, everything is cancelled, and nothing new leaves."""

from collections.abc import Callable

import pytest

from crosswire.engine.simulate.watch import Invariant
from crosswire.engine.simulate.world import World, account_of, turn_until
from crosswire.nic.duration import NS_PER_MS
from crosswire.nic.unit.compile import NO_JIT
from crosswire.risk.trading_state import TradingState, ask_from_outside
from crosswire.venues.bridge.exchange.gateway import log_out, send_segment
from crosswire.venues.bridge.exchange.lies import LIES as BRIDGE_LIES
from crosswire.venues.bridge.wire.order_layout import LogoutReason
from crosswire.venues.order import (
    Applied,
    is_open,
)
from crosswire.venues.session import SessionState
from crosswire.venues.starbase.exchange.lies import LIES as STARBASE_LIES
from tests.engine.simulate.conftest import STEP_NS, WITHIN_MS, until

pytestmark = [pytest.mark.simulation, pytest.mark.skipif(NO_JIT, reason="too slow uncompiled")]
CANCELLED_MS = 50
LIES = {"synthetic": BRIDGE_LIES, "starbase": STARBASE_LIES}


@pytest.mark.parametrize(("example", "name"), [(example, name) for example, lies in LIES.items() for name in lies])
def test_a_lie_is_an_alarm_of_its_kind(make: Callable[..., World], example: str, name: str) -> None:
    lie = LIES[example][name]
    world = make(example=example)
    # The other venue of the example speaks the bridge's protocol.
    parts = world.run.parts if example == "synthetic" else world.run.parts[:1]
    engine = world.run.engine
    turn_until(world, 1)
    begun_ns = engine.state.now_ns
    is_told = False
    while engine.gate.alarms == 0:
        assert engine.state.now_ns < begun_ns + WITHIN_MS * NS_PER_MS
        turn_until(world, engine.state.now_ns + STEP_NS)
        is_told = is_told or any(lie.tell(part.exchange.answers) for part in parts)
    outcomes = {each for each in Applied if engine.orders.outcomes[each] and each >= Applied.UNKNOWN_ORDER}
    assert outcomes == {lie.outcome}
    sent = engine.state.orders_sent
    turn_until(world, engine.state.now_ns + CANCELLED_MS * NS_PER_MS)
    assert engine.state.orders_sent == sent
    assert all(account_of(world, number).open_orders == [] for number in range(2))
    # Nothing else gave way: limits, sums and silence were judged after every turn.
    assert world.watch.violation_count == 0
    assert world.watch.evaluated[Invariant.ALARM_SILENCES] > 0
    world.run.close()


def test_a_goodbye_that_tells_how_all_orders_ended_is_no_alarm(make: Callable[[], World]) -> None:
    """The cancels and the goodbye come in one segment: nothing is open when the session is known to be lost."""
    world = make()
    engine, bridge = world.run.engine, world.run.parts[1]
    turn_until(world, 1)
    until(world, lambda: account_of(world, 1).open_orders != [])
    ask_from_outside(engine.gate, TradingState.CANCEL_ONLY)
    until(world, lambda: account_of(world, 1).is_settled)
    assert account_of(world, 1).open_orders
    exchange, now_ns = bridge.exchange, engine.state.now_ns
    arguments = (exchange.gateway, exchange.matching, exchange.market, exchange.answers)
    log_out(*arguments, LogoutReason.CLOSING, now_ns)
    send_segment(exchange.gateway, exchange.answers, now_ns)
    turn_until(world, now_ns + CANCELLED_MS * NS_PER_MS)
    assert bridge.session.state == SessionState.LOST
    assert engine.gate.alarms == 0
    assert not any(is_open(order) for order in engine.orders.orders if order.venue == 1)
    world.run.close()
