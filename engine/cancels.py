"""Cancels: of one order, of those that selectors hold for, of everything; where one can't be sent now, it is later.

A cancel is asked for once an order: `PENDING_CANCEL` says that it is under way, `cancel_due` that it is still to leave.
"""

from crosswire.engine.control.mailbox import EVERY
from crosswire.engine.records import record_cancel_sent
from crosswire.engine.state import Engine
from crosswire.engine.venue import (
    Venue,
    can_cancel_by_id,
    cancel_all,
    send_exchange_order_cancel,
    send_order_cancel,
)
from crosswire.nic.unit.compile import compiled
from crosswire.risk.ledger import count_cancel
from crosswire.venues.order import ORDERS_MAX, Order, OrderState, cancel_sent, is_open
from crosswire.venues.session import SessionState

CANCEL_RETRY_NS = 100_000  # a ring's slots come back within the time that a frame takes


@compiled
def cancel_everything(engine: Engine, now_ns: int) -> None:
    """Ask every venue to cancel all our orders; where that can't be sent now, it is as soon as it can."""
    for number in range(engine.venue_count):
        venue = engine.venues[number]
        venue.cancel_due = 1
        send_due_cancel(engine, venue, now_ns)
    # Timers that are due end this turn, and with them the drivers are woken that want it.
    engine.state.first_keep_ns = min(engine.state.first_keep_ns, now_ns)


@compiled
def send_due_cancel(engine: Engine, venue: Venue, now_ns: int) -> None:
    """Ask for the cancels that are due; without a slot on the ring, again after CANCEL_RETRY_NS."""
    if cancel_all(venue, now_ns):
        venue.cancel_due = 0
        record_cancel_sent(engine, venue.number, 0, 0, now_ns)
    elif venue.session.state == SessionState.READY:
        look_again_at(engine, venue, now_ns + CANCEL_RETRY_NS)


@compiled
def cancel_selected(engine: Engine, venue: int, instrument: int, strategy: int, now_ns: int) -> int:
    """Cancel the open orders that all selectors hold for, each as soon as that can be sent; return how many they are.

    A selector of EVERY holds for all. An order whose cancel is under way is none of them.
    """
    asked = 0
    left = engine.orders.count
    for slot in range(ORDERS_MAX):
        if left == 0:
            break
        order = engine.orders.orders[slot]
        if order.state == OrderState.FREE:
            continue
        left -= 1
        if (
            is_open(order)
            and order.state != OrderState.PENDING_CANCEL
            and (venue == EVERY or order.venue == venue)
            and (instrument == EVERY or order.instrument == instrument)
            and (strategy == EVERY or order.strategy == strategy)
        ):
            ask_for_cancel(engine, order, now_ns)
            asked += 1
    return asked


@compiled
def ask_for_cancel(engine: Engine, order: Order, now_ns: int) -> None:
    """Cancel an order that is still open, as soon as that can be sent."""
    if is_open(order) and not cancel_order(engine, order, now_ns) and order.cancel_due == 0:
        order.cancel_due = 1
        engine.venues[order.venue].cancels_due += 1
        look_again_at(engine, engine.venues[order.venue], now_ns + CANCEL_RETRY_NS)


@compiled
def send_due_cancels(engine: Engine, venue: Venue, now_ns: int) -> None:
    """Send the single cancels that could not be sent before; those that still can't be, again after CANCEL_RETRY_NS."""
    left = engine.orders.count
    for slot in range(ORDERS_MAX):
        if left == 0 or venue.cancels_due == 0:
            break
        order = engine.orders.orders[slot]
        if order.state != OrderState.FREE:
            left -= 1
            if order.cancel_due != 0 and order.venue == venue.number and cancel_order(engine, order, now_ns):
                order.cancel_due = 0
                venue.cancels_due -= 1
    if venue.cancels_due != 0 and venue.session.state <= SessionState.READY:
        look_again_at(engine, venue, now_ns + CANCEL_RETRY_NS)


@compiled
def look_again_at(engine: Engine, venue: Venue, time_ns: int) -> None:
    """Have the venue's session looked at no later than this."""
    venue.keep_ns = min(venue.keep_ns, time_ns)
    engine.state.first_keep_ns = min(engine.state.first_keep_ns, venue.keep_ns)


@compiled
def cancel_order(engine: Engine, order: Order, now_ns: int) -> bool:
    """Ask once for the end of an open order: a second cancel would be answered too, about an order that lives on."""
    if order.state == OrderState.PENDING_CANCEL:
        return True
    venue = engine.venues[order.venue]
    if order.is_quote == 0:
        is_sent = send_order_cancel(venue, order.client_order_id, order.instrument, now_ns)
    else:
        # The venue gives a quote its id in the answer, and knows it by no other.
        is_sent = (
            order.exchange_order_id != 0
            and can_cancel_by_id(venue)
            and send_exchange_order_cancel(venue, order.exchange_order_id, order.instrument, now_ns)
        )
    if is_sent:
        record_cancel_sent(engine, order.venue, order.client_order_id, order.exchange_order_id, now_ns)
        cancel_sent(order)
        engine.state.cancels_sent += 1
        count_cancel(engine.gate, venue.number, now_ns)
    return is_sent
