"""A link of a session that is lost for good while the other goes on: an alarm if orders may have gone out there."""

from collections.abc import Iterator

import pytest

from crosswire.engine.alarm import alarm_text
from crosswire.engine.build.run import Run
from crosswire.engine.orders import note_links
from crosswire.venues.session import SessionState
from crosswire.venues.starbase.orders import state
from crosswire.venues.starbase.orders.state import Refusal, lose_link
from tests.support.order_desk import OrderDesk

pytestmark = pytest.mark.usefixtures("links_as_before")


@pytest.fixture
def links_as_before(desk_run: Run) -> Iterator[None]:
    link = desk_run.parts[0].session.links[1]
    logons = link.logons
    yield
    for each in desk_run.parts[0].session.links:
        each.logging_out = 0
    link.logons, link.refusal, link.state = logons, Refusal.NONE, SessionState.READY
    desk_run.parts[0].session.links_gone = desk_run.engine.venues[0].links_gone = 0
    desk_run.engine.gate.venues[0].lost_orders = 0
    state.note_links(desk_run.parts[0].session)


@pytest.mark.parametrize(("was_logged_on", "has_order"), [(True, True), (True, False), (False, True)])
def test_a_link_that_is_lost_for_good(desk_run: Run, was_logged_on: bool, has_order: bool) -> None:
    desk = OrderDesk(desk_run)
    session, venue = desk_run.parts[0].session, desk_run.engine.venues[0]
    link = session.links[1]
    if has_order:
        desk.live()
    link.logons = int(was_logged_on)
    lose_link(session, link, Refusal.LOGGED_OUT, desk.now_ns)
    state.note_links(session)
    note_links(desk_run.engine, venue, desk.now_ns)
    assert session.order_link == 0
    is_alarm = was_logged_on and has_order
    assert (desk_run.engine.gate.alarms != 0) == is_alarm
    # Then all is cancelled and the run logs out, which is when the alarm is told last.
    for each in session.links:
        each.logging_out = 1
    state.note_links(session)
    note_links(desk_run.engine, venue, desk.now_ns)
    assert ("one of its session's links was lost for good" in alarm_text(desk_run)) == is_alarm
