"""What a venue says that we have: held against what we hold, before the first order of a session.

Fills that an earlier run, or the session before, did not hear of come first, as reports like any other. Then the venue
names what is open and what is held. An order of ours that it does not name has ended unheard; anything else that
differs is for an operator.
"""

from crosswire.engine.records import record_difference, record_report
from crosswire.engine.state import Engine
from crosswire.engine.venue import Venue
from crosswire.nic.unit.compile import compiled
from crosswire.venues.order import (
    ORDERS_BITS,
    ORDERS_MAX,
    Applied,
    Order,
    OrderState,
    Report,
    ReportKind,
    find_order,
    is_open,
    may_be_of,
)


@compiled
def take_account(engine: Engine, venue: Venue, report: Report, now_ns: int) -> bool:
    """Note one part of a venue's answer; True when it is complete."""
    outcome: int = Applied.UPDATED
    if report.kind == ReportKind.OPEN:
        if not _confirm_order(engine, venue, report, now_ns):
            outcome = Applied.UNKNOWN_ORDER
            venue.strangers += 1
    elif report.kind == ReportKind.HOLDING:
        if report.instrument < 0 or engine.market.instruments[report.instrument].venue != venue.number:
            outcome = Applied.BAD_INSTRUMENT
            venue.strangers += 1
        else:
            engine.state.theirs_lots[report.instrument] = report.qty_lots
    else:
        # No id of an earlier run is given again, whatever became of its journal.
        engine.orders.counter = max(engine.orders.counter, report.client_order_id >> ORDERS_BITS)
        known_id = engine.orders.last_execution_ids[venue.number]
        engine.orders.last_execution_ids[venue.number] = max(known_id, report.execution_id)
        if report.execution_id < known_id:
            # It has forgotten fills that it told: it would give their ids again, and those are taken for copies.
            outcome = Applied.BAD_EXECUTION
            engine.orders.outcomes[outcome] += 1
            venue.differences += 1
        _compare_positions(engine, venue, now_ns)
        venue.accounts += 1
    record_report(engine, report, outcome, now_ns)
    return report.kind == ReportKind.ACCOUNT_END


@compiled
def _confirm_order(engine: Engine, venue: Venue, report: Report, now_ns: int) -> bool:
    """Find the open order that the venue means; False if there is none like it."""
    order = find_order(engine.orders, report.client_order_id)
    if order.venue != venue.number or not is_open(order):
        return False
    if order.instrument != report.instrument or order.side != report.side:
        return False
    if not may_be_of(order, report.leaves_lots + order.filled_lots):
        return False
    order.is_confirmed = 1
    order.exchange_order_id = report.exchange_order_id
    if order.state == OrderState.PENDING_NEW:
        order.state = OrderState.LIVE
        order.acked_ns = now_ns
    return True


@compiled
def _compare_positions(engine: Engine, venue: Venue, now_ns: int) -> None:
    """Write down each position that the venue has otherwise."""
    for index in range(engine.market.count):
        if engine.market.instruments[index].venue == venue.number:
            ours_lots = engine.gate.positions[index].position_lots
            theirs_lots = engine.state.theirs_lots[index]
            engine.state.told_lots[index] = theirs_lots
            engine.state.theirs_lots[index] = 0
            if ours_lots != theirs_lots:
                venue.differences += 1
                record_difference(engine, index, ours_lots, theirs_lots, now_ns)


@compiled
def forget_account(engine: Engine, venue: Venue) -> None:
    """Forget what a venue has told: with its session lost in the middle of an answer, the next one begins anew."""
    for index in range(engine.market.count):
        if engine.market.instruments[index].venue == venue.number:
            engine.state.theirs_lots[index] = 0
    for slot in range(ORDERS_MAX):
        order = engine.orders.orders[slot]
        if order.venue == venue.number:
            order.is_confirmed = 0


@compiled
def is_unheard(order: Order, venue: int) -> bool:
    """Tell whether an order of ours is open here, and at the venue is not."""
    return is_open(order) and order.venue == venue and order.is_confirmed == 0
