"""Warnings of a run's feed: definitions that contradict the configuration, or never came, and books that were full."""

from io import StringIO
from types import SimpleNamespace
from typing import Any

from rich.console import Console

from crosswire.engine.feed_warnings import feed_warnings
from crosswire.engine.live.live import tell_contradicted
from crosswire.engine.live.steady import SteadyConsole
from crosswire.venues.book.book import set_level
from crosswire.venues.book.pages import LEVELS_MIN
from crosswire.venues.feed import note_mismatch
from crosswire.venues.side import ASK
from tests.venues.bridge.test_bridge_feed import Desk, definition, snapshot


def started() -> Desk:
    desk = Desk()
    desk.send(definition())
    desk.send(snapshot(100, [(99, 5)], [(101, 7)]))
    return desk


def lines(desk: Desk) -> list[str]:
    return [str(warning) for warning in feed_warnings(desk.feed, desk.market, "here")]


def test_nothing_is_said_where_there_is_nothing() -> None:
    assert lines(started()) == []


def test_what_the_feed_contradicts_is_told_and_once_while_it_is_live() -> None:
    desk = started()
    for _ in range(3):
        note_mismatch(desk.feed)
    (line,) = lines(desk)
    assert line.startswith("3 definitions that contradict the configuration, first at venue here, 2024-08-08 23:54:16")
    assert "nothing was traded in them" in line
    run: Any = SimpleNamespace(
        parts=[SimpleNamespace(feed=desk.feed)],
        config=SimpleNamespace(venue=[SimpleNamespace(name="here")]),
        engine=SimpleNamespace(market=desk.market),
    )
    said, told = StringIO(), set[str]()
    for _ in range(2):
        tell_contradicted(run, told, SteadyConsole(Console(file=said)))
    assert said.getvalue() == f"warning: {line}\n"
    desk.feed.ignores_definitions = 1
    assert "the configuration was believed" in lines(desk)[0]


def test_an_instrument_that_never_was_defined_is_told() -> None:
    desk = started()
    desk.market.instruments[0].venue_id = -1
    (line,) = lines(desk)
    assert line.startswith("1 instruments that the feed never defined, first at venue here, BTCUSDT: ")


def test_levels_that_were_let_go_are_told_by_instrument() -> None:
    desk = started()
    for number in range(10 * LEVELS_MIN):
        assert set_level(desk.book(), ASK, 1000 + 100 * number, 1)
    (line,) = lines(desk)
    assert " levels let go by books that were full, first at venue here, BTCUSDT: raise levels_max" in line
