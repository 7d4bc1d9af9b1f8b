"""A venue that lies: each lie is an alarm of its kind, everything is cancelled, and nothing new leaves."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from crosswire.engine.simulate.watch import Invariant
from crosswire.engine.simulate.world import World, account_of, turn_until
from crosswire.nic.duration import NS_PER_MS
from crosswire.nic.memory.struct import address_of, view
from crosswire.nic.packet import TCP_FRAME_HEADER_BYTES
from crosswire.nic.rings.delay import DELAY_FRAMES_MAX
from crosswire.nic.unit.compile import NO_JIT
from crosswire.risk.trading_state import TradingState, ask_from_outside
from crosswire.venues.bridge.exchange.gateway import log_out, send_segment
from crosswire.venues.bridge.wire.order_layout import (
    LogoutReason,
    MessageHeader,
    OrderAck,
    OrderCancelled,
    OrderFill,
    Template,
)
from crosswire.venues.order import (
    Applied,
    is_open,
)
from crosswire.venues.session import (
    SessionState,
)
from tests.engine.simulate.conftest import STEP_NS, WITHIN_MS

pytestmark = [pytest.mark.simulation, pytest.mark.skipif(NO_JIT, reason="too slow uncompiled")]
CANCELLED_MS = 50
CLASSES: dict[int, Any] = {
    Template.ORDER_ACK: OrderAck,
    Template.ORDER_FILL: OrderFill,
    Template.ORDER_CANCELLED: OrderCancelled,
}


def change(name: str, by: Callable[[int], int]) -> Callable[[Any], None]:
    return lambda message: setattr(message, name, by(getattr(message, name)))


def worse(message: Any) -> None:
    """Half as dear again for a buyer, half as dear for a seller."""
    message.price_ticks = message.price_ticks * 3 // 2 if message.side == 0 else message.price_ticks // 2


LIES: dict[str, tuple[Template, Callable[[Any], None], Applied]] = {
    "through its limit": (Template.ORDER_FILL, worse, Applied.BAD_PRICE),
    "price 0": (Template.ORDER_FILL, change("price_ticks", lambda _: 0), Applied.BAD_PRICE),
    "price negative": (Template.ORDER_FILL, change("price_ticks", lambda ticks: -ticks), Applied.BAD_PRICE),
    "price 2^61": (Template.ORDER_FILL, change("price_ticks", lambda _: 1 << 61), Applied.BAD_PRICE),
    "a fee of -1": (Template.ORDER_FILL, change("fee_e9", lambda _: -1_000_000_000), Applied.BAD_FEE),
    "more than was left": (Template.ORDER_FILL, change("qty_lots", lambda lots: lots + 1_000), Applied.OVERFILL),
    "the other side": (Template.ORDER_FILL, change("side", lambda side: 1 - side), Applied.BAD_FILL),
    "another instrument": (Template.ORDER_FILL, change("instrument_id", lambda _: 4711), Applied.BAD_FILL),
    "an order that is not ours": (Template.ORDER_FILL, change("client_order_id", lambda _: 1), Applied.UNKNOWN_ORDER),
    "an execution id of 2^62": (Template.ORDER_FILL, change("execution_id", lambda _: 1 << 62), Applied.BAD_EXECUTION),
    "filled, and more left": (Template.ORDER_FILL, change("leaves_lots", lambda lots: lots + 1), Applied.BAD_LEAVES),
    "cancelled, less left": (
        Template.ORDER_CANCELLED,
        change("leaves_lots", lambda lots: lots - 1),
        Applied.BAD_LEAVES,
    ),
    "an ack of another": (Template.ORDER_ACK, change("instrument_id", lambda _: 4711), Applied.BAD_INSTRUMENT),
}


def answers_under_way(exchange: Any) -> Iterator[Any]:
    """Whatever the exchange has said and the engine not yet heard, message by message."""
    wire = exchange.answers
    for number in range(wire.received, wire.sent):
        frame = wire.frames[number & (DELAY_FRAMES_MAX - 1)]
        address, end = address_of(frame.data) + TCP_FRAME_HEADER_BYTES, address_of(frame.data) + frame.length
        while address < end:
            header = view(MessageHeader, address)
            if header.template_id in CLASSES:
                yield view(CLASSES[header.template_id], address)
            address += header.length


def tell_lie(world: World, template: Template, lie: Callable[[Any], None]) -> bool:
    """Let one exchange tell the lie in the first such message that is under way; False if there is none."""
    for part in world.run.parts:
        for message in answers_under_way(part.exchange):
            if message.header.template_id == template:
                lie(message)
                return True
    return False


@pytest.mark.parametrize("name", list(LIES))
def test_a_lie_is_an_alarm_of_its_kind(make: Callable[[], World], name: str) -> None:
    template, lie, outcome = LIES[name]
    world = make()
    engine = world.run.engine
    turn_until(world, 1)
    begun_ns = engine.state.now_ns
    is_told = False
    while engine.gate.alarms == 0:
        assert engine.state.now_ns < begun_ns + WITHIN_MS * NS_PER_MS
        turn_until(world, engine.state.now_ns + STEP_NS)
        is_told = is_told or tell_lie(world, template, lie)
    outcomes = {each for each in Applied if engine.orders.outcomes[each] and each >= Applied.UNKNOWN_ORDER}
    assert outcomes == {outcome}
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
    begun_ns = engine.state.now_ns
    while not account_of(world, 1).open_orders:
        assert engine.state.now_ns < begun_ns + WITHIN_MS * NS_PER_MS
        turn_until(world, engine.state.now_ns + STEP_NS)
    ask_from_outside(engine.gate, TradingState.CANCEL_ONLY)
    while not account_of(world, 1).is_settled:
        turn_until(world, engine.state.now_ns + STEP_NS)
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
