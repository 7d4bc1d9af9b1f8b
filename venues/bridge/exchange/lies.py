"""The lies of an exchange that speaks the bridge's order protocol."""

from collections.abc import Callable, Iterator
from typing import Any

from crosswire.nic.memory.struct import view
from crosswire.nic.rings.delay import DelayRing
from crosswire.venues.bridge.wire.order_layout import (
    MessageHeader,
    OrderAck,
    OrderAmended,
    OrderCancelled,
    OrderFill,
    Template,
)
from crosswire.venues.exchange.lies import Lie, change, payloads_under_way
from crosswire.venues.order import Applied
from crosswire.venues.side import BUY

CLASSES: dict[int, Any] = {
    Template.ORDER_ACK: OrderAck,
    Template.ORDER_AMENDED: OrderAmended,
    Template.ORDER_FILL: OrderFill,
    Template.ORDER_CANCELLED: OrderCancelled,
}
STRANGE_ID = 4711  # of no instrument


def messages_under_way(wire: DelayRing, template: Template) -> Iterator[Any]:
    """Give the messages of a kind that the exchange has sent and the engine not yet heard."""
    for start, end in payloads_under_way(wire):
        address = start
        while address < end:
            header = view(MessageHeader, address)
            if header.template_id == template:
                yield view(CLASSES[template], address)
            address += header.length


def lie(outcome: Applied, template: Template, change_message: Callable[[Any], None]) -> Lie:
    """Make a lie that changes a message of this kind."""

    def tell(wire: DelayRing) -> bool:
        message = next(messages_under_way(wire, template), None)
        if message is not None:
            change_message(message)
        return message is not None

    return Lie(outcome, tell)


def worsen(message: Any) -> None:
    """Make a fill half as dear again for a buyer, half as dear for a seller."""
    message.price_ticks = message.price_ticks * 3 // 2 if message.side == BUY else message.price_ticks // 2


FILL, CANCELLED, ACK = Template.ORDER_FILL, Template.ORDER_CANCELLED, Template.ORDER_ACK
AMENDED = Template.ORDER_AMENDED
LIES = {
    "through its limit": lie(Applied.BAD_PRICE, FILL, worsen),
    "price 0": lie(Applied.BAD_PRICE, FILL, change("price_ticks", lambda _: 0)),
    "price negative": lie(Applied.BAD_PRICE, FILL, change("price_ticks", lambda ticks: -ticks)),
    "price 2^61": lie(Applied.BAD_PRICE, FILL, change("price_ticks", lambda _: 1 << 61)),
    "a rebate of 1,000": lie(Applied.BAD_FEE, FILL, change("fee_e9", lambda _: -1_000_000_000_000)),
    "more than was left": lie(Applied.OVERFILL, FILL, change("qty_lots", lambda lots: lots + 1_000_000)),
    "the other side": lie(Applied.BAD_FILL, FILL, change("side", lambda side: 1 - side)),
    "another instrument": lie(Applied.BAD_FILL, FILL, change("instrument_id", lambda _: STRANGE_ID)),
    "an order that is not ours": lie(Applied.UNKNOWN_ORDER, FILL, change("client_order_id", lambda _: 1)),
    "an execution id of 2^62": lie(Applied.BAD_EXECUTION, FILL, change("execution_id", lambda _: 1 << 62)),
    "filled, and more left": lie(Applied.BAD_LEAVES, FILL, change("leaves_lots", lambda lots: lots + 1)),
    "cancelled, less left": lie(Applied.BAD_LEAVES, CANCELLED, change("leaves_lots", lambda lots: lots - 1)),
    "amended to another price": lie(Applied.CONTRADICTION, AMENDED, change("price_ticks", lambda ticks: ticks + 1)),
    "amended to more": lie(Applied.CONTRADICTION, AMENDED, change("qty_lots", lambda lots: lots + 1)),
    "an ack of another": lie(Applied.BAD_INSTRUMENT, ACK, change("instrument_id", lambda _: STRANGE_ID)),
}
