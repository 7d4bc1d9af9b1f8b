"""What an alarm says: how many of what, at which venue, and nothing where nothing is."""

from types import SimpleNamespace
from typing import Any

import pytest

from crosswire.engine.alarm import WORDS, alarm_text
from crosswire.venues.order import Applied, is_alarm

NAMES = {"east": ["BTC", "ETH"], "west": ["BTC"]}


def make_run() -> Any:
    """Two venues, three instruments, and nothing wrong."""
    venues = [
        SimpleNamespace(name=name, instrument=[SimpleNamespace(symbol=symbol) for symbol in symbols])
        for name, symbols in NAMES.items()
    ]
    account = {"links_gone": 0, "losses": 0, "strangers": 0, "differences": 0}
    engine = SimpleNamespace(
        orders=SimpleNamespace(outcomes=[0] * len(Applied)),
        gate=SimpleNamespace(
            alarms=0,
            venues=[SimpleNamespace(lost_orders=0) for _ in venues],
            positions=[SimpleNamespace(position_lots=lots) for lots in (5, -3, 0)],
        ),
        venues=[SimpleNamespace(**account, session=SimpleNamespace(is_resumed=0)) for _ in venues],
        state=SimpleNamespace(told_lots=[5, -3, 0]),
        market=SimpleNamespace(count=3, instruments=[SimpleNamespace(venue=venue) for venue in (0, 0, 1)]),
    )
    return SimpleNamespace(engine=engine, config=SimpleNamespace(venue=venues))


def test_where_nothing_is_wrong_nothing_is_said() -> None:
    run = make_run()
    for outcome in Applied:
        if not is_alarm(outcome):
            run.engine.orders.outcomes[outcome] = 7
    # A session that goes on and was never lost, and one that was lost and goes on from nothing.
    run.engine.venues[0].session.is_resumed = run.engine.venues[1].losses = 1
    run.engine.venues[0].links_gone = 1
    run.engine.state.told_lots = [9, 9, 9]  # nobody has compared them
    assert alarm_text(run) == ""


@pytest.mark.parametrize("outcome", [each for each in Applied if is_alarm(each)])
def test_reports_that_contradict_us_are_counted_by_what_they_are(outcome: Applied) -> None:
    run = make_run()
    for count, noun in ((1, "report"), (2, "reports")):
        run.engine.orders.outcomes[outcome] = count
        assert alarm_text(run) == f"{count} {noun} {WORDS[outcome]}"
    other = Applied.OVERFILL if outcome != Applied.OVERFILL else Applied.BAD_FEE
    run.engine.orders.outcomes[other] = 1
    assert set(alarm_text(run).split("; ")) == {f"2 reports {WORDS[outcome]}", f"1 report {WORDS[other]}"}


@pytest.mark.parametrize(("venue", "name"), list(enumerate(NAMES)))
def test_what_was_lost_is_told_with_its_venue(venue: int, name: str) -> None:
    run = make_run()
    run.engine.gate.venues[venue].lost_orders = 1
    assert alarm_text(run) == f"{name}: its session was lost with 1 order open"
    run.engine.gate.venues[venue].lost_orders = 2
    run.engine.venues[venue].links_gone = 1
    assert alarm_text(run) == f"{name}: one of its session's links was lost for good with 2 orders open"
    run.engine.venues[venue].session.is_resumed = run.engine.venues[venue].losses = 1
    assert alarm_text(run).split("; ")[1:] == [
        f"{name}: its session could not go on where the last run had stopped, so it is not known what we have there:"
        " see crosswire reconcile"
    ]


@pytest.mark.parametrize(("venue", "name"), list(enumerate(NAMES)))
def test_what_a_venue_has_that_we_do_not_know(venue: int, name: str) -> None:
    run = make_run()
    for count, what in ((1, "1 order open or position"), (2, "2 orders open or positions")):
        run.engine.venues[venue].strangers = count
        assert alarm_text(run) == f"{name} has {what} that we do not know, or not so"


def test_positions_that_differ_are_told_of_their_own_venue() -> None:
    run = make_run()
    run.engine.state.told_lots = [5, 4, -1]
    run.engine.venues[0].differences = 1
    assert alarm_text(run) == "east/ETH: -3 lots by our journal, 4 by the venue's account"
    run.engine.venues[1].differences = 1
    assert alarm_text(run).split("; ")[1:] == ["west/BTC: 0 lots by our journal, -1 by the venue's account"]


def test_an_alarm_whose_cause_is_gone_is_one() -> None:
    run = make_run()
    run.engine.gate.alarms = 1
    assert "is settled by now" in alarm_text(run)
    run.engine.orders.outcomes[Applied.OVERFILL] = 1
    assert alarm_text(run) == f"1 report {WORDS[Applied.OVERFILL]}"
