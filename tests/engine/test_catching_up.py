"""What a strategy puts off is done once its orders are out, and before it hears anything else."""

import pytest

from crosswire.nic.memory.struct import address_of
from crosswire.nic.unit.load import call_entry
from crosswire.venues.order import ReportKind
from tests.support.order_desk import OrderDesk


def ask(desk: OrderDesk, lots: int) -> int:
    """Put something off, and ask for an order; how often it was done since."""
    before = int(desk.heard.caught_up)
    desk.desk.catch_up_due = 1
    desk.order(lots=lots)
    assert desk.desk.catch_up_due == 0
    return int(desk.heard.caught_up) - before


def test_it_is_done_once_what_was_asked_for_is_out(desk: OrderDesk) -> None:
    sent = desk.engine.state.orders_sent
    assert ask(desk, lots=10) == 1
    assert desk.engine.state.orders_sent == sent + 1
    assert desk.heard.requests_then == 0
    before = desk.heard.caught_up
    desk.order()
    assert desk.heard.caught_up == before


def test_a_veto_is_heard_behind_it(desk: OrderDesk) -> None:
    orders = desk.heard.orders
    assert ask(desk, lots=1 << 40) == 1
    assert (desk.heard.orders_then, desk.heard.orders) == (orders, orders + 1)
    assert desk.heard.requests_then == 1  # still at it


@pytest.mark.parametrize("hears", ["hear_fill", "hear_order", "hear_timer", "hear_finish", "hear"])
def test_it_comes_before_whatever_is_heard(desk: OrderDesk, hears: str) -> None:
    order = desk.live()
    seat, inbox = desk.engine.seats[0], desk.engine.inbox
    before = desk.heard.caught_up, desk.heard.orders
    seat.desk.catch_up_due = 1
    inbox.events.count = 2
    for position in range(2):
        inbox.events.items[position].kind = -1  # none that it would hear of
    told = {"hear": [inbox.events], "hear_fill": [order, inbox.reports.items[0]], "hear_order": [order]}
    call_entry(
        getattr(seat.entries, hears), seat.strategy, address_of(seat.desk), *map(address_of, told.get(hears, []))
    )
    inbox.events.count = 0
    assert (desk.heard.caught_up, desk.heard.orders_then) == (before[0] + 1, before[1])
    desk.say(order, ReportKind.CANCELLED)
