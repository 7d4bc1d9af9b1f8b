"""What an alarm is about is told at the end of the run, too: a run with an alarm never ends as if it had had none."""

from collections.abc import Iterator

import pytest

from crosswire.engine.alarm import alarm_text
from crosswire.engine.build.run import Run
from crosswire.engine.orders import note_session, sound_alarm
from crosswire.venues.session import SessionState
from tests.support.order_desk import OrderDesk


@pytest.fixture
def desk(desk_run: Run) -> Iterator[OrderDesk]:
    yield OrderDesk(desk_run)
    venue = desk_run.engine.venues[0]
    desk_run.parts[0].session.is_resumed = venue.is_lost = venue.losses = venue.differences = 0


def test_a_session_that_could_not_go_on_is_told_behind_the_logout(desk: OrderDesk) -> None:
    assert alarm_text(desk.run) == ""
    session, venue = desk.run.parts[0].session, desk.engine.venues[0]
    session.is_resumed = 1
    for state in (SessionState.LOST, SessionState.ENDED):
        session.state = state
        note_session(desk.engine, venue, desk.now_ns)
        assert desk.gate.alarms == 1
        assert "could not go on where the last run had stopped" in alarm_text(desk.run)


def test_a_position_that_agrees_by_now_was_an_alarm(desk: OrderDesk) -> None:
    desk.engine.venues[0].differences = 1
    desk.engine.state.told_lots[0] = desk.gate.positions[0].position_lots + 1
    sound_alarm(desk.engine, desk.now_ns)
    assert "by the venue's account" in alarm_text(desk.run)
    desk.engine.state.told_lots[0] -= 1  # as if what was missing had been told: what it was about is gone
    assert alarm_text(desk.run) != ""
