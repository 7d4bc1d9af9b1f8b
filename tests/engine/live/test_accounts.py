"""A venue's account beside its session: asked at the right time, handed over whole, and whatever goes wrong is told."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from crosswire.engine.live import accounts
from crosswire.engine.live.accounts import AccountCheck, make_account_sources
from crosswire.engine.state import AccountMail
from crosswire.venues.adapter import OpenOrder, ToldAccount
from crosswire.venues.errors import VenueError
from crosswire.venues.order import REPORTS_MAX, STRANGE_INSTRUMENT, ReportKind
from tests.support.order_setup import make_market

PATIENCE_S = 10
FLAT = ToldAccount({}, [], [])


class Source:
    """Gives these answers in turn."""

    name = "a made-up source"

    def __init__(self, *answers: ToldAccount | Exception) -> None:
        self.answers = list(answers)

    def fetch(self) -> ToldAccount:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def named(name: str, make_account_source: Any = None) -> Any:
    """A venue as it is configured."""
    order_entry = SimpleNamespace(make_account_source=make_account_source)
    return SimpleNamespace(name=name, order_entry=order_entry, instrument=[SimpleNamespace(symbol=name.upper())])


class Bench:
    """A run whose venues' sessions are logged on, and a loop that takes what comes by mail. Asked is of the last."""

    def __init__(self, *answers: ToldAccount | Exception, others: tuple[Any, ...] = ()) -> None:
        self.session = SimpleNamespace(awaits_account=0, order_link=0, is_resumed=0)
        self.known, self.mail, self.source = SimpleNamespace(open_orders=0), AccountMail(), Source(*answers)
        venues = [*others, named("mine")]
        self.number = len(others)
        self.market = make_market()
        self.market.instruments[0].venue = self.number
        accounts = [SimpleNamespace(session=self.session, cancel_due=0) for _ in venues]
        self.account = accounts[-1]
        run: Any = SimpleNamespace(
            engine=SimpleNamespace(
                market=self.market,
                venues=accounts,
                gate=SimpleNamespace(venues=[self.known for _ in venues]),
                orders=SimpleNamespace(last_execution_ids=[41 + number for number in range(len(venues))]),
                mail=self.mail,
            ),
            parts=[SimpleNamespace(session=self.session) for _ in venues],
            config=SimpleNamespace(venue=venues),
        )
        self.check = AccountCheck(run, {self.number: self.source})
        self.lines: list[str] = []
        self.told_of: set[tuple[int, ...]] = set()  # venue of the mail, venue of a report, whether positions are told
        self.last_execution_id = -1
        self.parts: list[list[tuple[int, int, int, int]]] = []

    def until(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not done():
            assert time.monotonic() < deadline, self.lines
            self.turn()
            time.sleep(0.001)

    def turn(self) -> None:
        self.lines += self.check.take_lines()
        if self.mail.is_full:
            items = [self.mail.reports.items[place] for place in range(self.mail.reports.count)]
            self.parts.append([(each.kind, each.instrument, each.qty_lots, each.exchange_order_id) for each in items])
            self.told_of |= {(self.mail.venue, each.venue, self.mail.has_positions) for each in items}
            self.last_execution_id = items[-1].execution_id
            self.mail.is_full = 0

    def is_whole(self) -> bool:
        return bool(self.parts) and self.parts[-1][-1][0] == ReportKind.ACCOUNT_END


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOOK_S", "RETRY_S", "WAITED_S"):
        monkeypatch.setattr(accounts, name, 0.01)


@pytest.mark.usefixtures("quick")
def test_an_account_of_any_size_is_handed_over_whole() -> None:
    orders = [OpenOrder(1000 + place, 0, 1, 100, 3) for place in range(2 * REPORTS_MAX)]
    bench = Bench(ToldAccount({0: -7}, orders, ["OTHER"]))
    assert bench.session.awaits_account == 1
    bench.check.start()
    bench.until(bench.is_whole)
    reports = [report for part in bench.parts for report in part]
    assert [len(part) for part in bench.parts] == [REPORTS_MAX, REPORTS_MAX, 3]
    assert [each[3] for each in reports[: len(orders)]] == [each.exchange_order_id for each in orders]
    assert reports[len(orders) :] == [
        (ReportKind.HOLDING, 0, -7, 0),
        (ReportKind.HOLDING, STRANGE_INSTRUMENT, 0, 0),
        (ReportKind.ACCOUNT_END, 0, 0, 0),
    ]
    bench.until(lambda: bool(bench.lines))
    assert bench.lines == ["mine: positions and open orders compared with a made-up source"]


@pytest.mark.usefixtures("quick")
def test_a_source_that_fails_in_any_way_is_told_and_asked_again() -> None:
    bench = Bench(VenueError("a port: no answer"), RuntimeError("what nobody\nthought of"), FLAT)
    bench.check.start()
    bench.until(lambda: bench.is_whole() and len(bench.lines) == 3)
    assert bench.lines[:2] == [
        "mine: nothing is traded there yet, asked again in 0.01 s: a port: no answer",
        "mine: nothing is traded there yet, asked again in 0.01 s: RuntimeError: what nobody",
    ]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("an order", "the end of 2 orders of the last run is not told"),
        ("a definition", "its market data has not defined all instruments"),
        ("a logon", "its session is not logged on, or has not told all that was missed"),
        ("a resend", "its session is not logged on, or has not told all that was missed"),
    ],
)
def test_what_it_waits_for_is_told_and_nobody_is_asked_before(name: str, reason: str) -> None:
    bench = Bench(FLAT)
    bench.known.open_orders = 2 if name == "an order" else 0
    venue_id = bench.market.instruments[0].venue_id
    bench.market.instruments[0].venue_id = -1 if name == "a definition" else venue_id
    bench.session.order_link = -1 if name == "a logon" else 0
    bench.session.is_resumed = int(name == "a resend")
    bench.check.start()
    bench.until(lambda: bool(bench.lines))
    assert bench.lines == [f"mine: nothing is traded there yet: {reason}"]
    assert bench.source.answers == [FLAT]
    bench.known.open_orders = bench.session.order_link = bench.session.is_resumed = 0
    bench.market.instruments[0].venue_id = venue_id
    bench.until(bench.is_whole)


@pytest.mark.usefixtures("quick")
def test_a_run_that_ends_waits_for_no_source_and_no_loop() -> None:
    bench = Bench(FLAT)
    bench.check.start()
    deadline = time.monotonic() + PATIENCE_S
    while not bench.mail.is_full:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    bench.check.stop()
    while any(thread.name == "accounts" for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.001)
    assert bench.check.lines == []  # nothing was compared


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("others", [0, 2])
@pytest.mark.parametrize(
    ("told", "has_positions", "compared"),
    [(FLAT, 1, "positions and open orders"), (ToldAccount(None, [], []), 0, "open orders, not positions,")],
)
def test_an_answer_is_of_its_venue_and_says_whether_it_is_of_positions(
    told: ToldAccount, has_positions: int, compared: str, others: int
) -> None:
    bench = Bench(told, others=tuple(named(f"other{number}") for number in range(others)))
    bench.check.start()
    bench.until(lambda: bool(bench.lines))
    assert bench.told_of == {(others, others, has_positions)}
    assert bench.last_execution_id == 41 + others
    assert bench.lines == [f"mine: {compared} compared with a made-up source"]


def test_whose_account_nobody_can_be_asked_for_is_told_from_whose_nobody_is() -> None:
    bench = Bench(FLAT, others=(named("north"), named("south", lambda _setup, _symbols: None)))
    assert list(bench.check.take_lines()) == [
        "south: its account is compared with nothing: no source of it is configured"
    ]
    assert list(bench.check.take_lines()) == []


def passes(bench: Bench, span_s: float) -> None:
    end_s = time.monotonic() + span_s
    while time.monotonic() < end_s:
        bench.turn()
        time.sleep(0.001)


@pytest.mark.usefixtures("quick")
def test_what_is_waited_for_is_told_no_sooner_than_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "WAITED_S", 1000.0)
    bench = Bench(FLAT)
    bench.account.cancel_due = 1
    bench.check.start()
    passes(bench, 0.2)
    assert (bench.lines, bench.source.answers) == ([], [FLAT])
    bench.account.cancel_due = 0
    bench.until(bench.is_whole)


@pytest.mark.usefixtures("quick")
def test_who_gave_no_answer_is_left_alone_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "RETRY_S", 1000.0)
    bench = Bench(VenueError("no answer"), FLAT)
    bench.check.start()
    bench.until(lambda: bool(bench.lines))
    passes(bench, 0.2)
    # Nor is it said that it is not asked: that was told.
    assert bench.lines == ["mine: nothing is traded there yet, asked again in 1000 s: no answer"]
    assert bench.source.answers == [FLAT]
    bench.check.stop()


@pytest.mark.usefixtures("quick")
def test_who_asks_ends_when_all_is_compared_and_holds_up_nobodys_end() -> None:
    before, bench = set(threading.enumerate()), Bench(FLAT)
    bench.check.start()
    (thread,) = set(threading.enumerate()) - before
    assert thread.daemon
    bench.until(lambda: not thread.is_alive())
    bench.turn()
    assert bench.lines == ["mine: positions and open orders compared with a made-up source"]
    assert (bench.source.answers, len(bench.parts)) == ([], 1)


@pytest.mark.usefixtures("quick")
def test_what_is_waited_for_is_told_once() -> None:
    bench = Bench(FLAT)
    bench.known.open_orders = 1
    bench.check.start()
    bench.until(lambda: bool(bench.lines))
    passes(bench, 0.2)
    assert bench.lines == ["mine: nothing is traded there yet: the end of 1 order of the last run is not told"]
    bench.check.stop()


def test_sources_are_made_of_what_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def make(setup: str, symbols: list[str]) -> Source:
        seen.append((setup, symbols))
        return Source()

    venues = [named("a"), named("b", lambda _setup, _symbols: None), named("c", make)]
    config: Any = SimpleNamespace(venue=venues)
    monkeypatch.setattr(accounts, "venue_setup", lambda number, *_rest: f"setup {number}")
    monkeypatch.setattr(accounts, "made", lambda make, setup, *_rest: make(setup))
    sources = make_account_sources(config, Path("run.toml"), make_market())
    assert {number: type(source) for number, source in sources.items()} == {2: Source}
    assert seen == [("setup 2", ["A", "B", "C"])]
