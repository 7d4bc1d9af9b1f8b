"""The screen of a live run, driven by its keys, against a client that gives what a monitor would."""

import asyncio
import io
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest
from rich.console import Console
from textual.pilot import Pilot
from textual.widgets import Static

from crosswire.engine.config import load_config
from crosswire.engine.monitor import messages as m
from crosswire.engine.monitor.client import NoAnswerError, RefusedError
from crosswire.engine.monitor.top.look import Traded, find_edges, look, size_at, traded_of
from crosswire.engine.monitor.top.screen import Question, Top
from crosswire.nic.warning import DataWarning
from tests.support.paths import ROOT

pytestmark = pytest.mark.control
HERE, THERE = "deribit/BTC-PERPETUAL", "bridge/BTCUSDT"
TRADED = {HERE: Traded("BTC", Decimal(5)), THERE: Traded("BTC", Decimal(2))}
NOW_NS = 1_700_000_000_000_000_000


def book(name: str, bid: str, ask: str, is_proven: bool = True) -> m.BookRow:
    levels = [[m.Level(Decimal(price), Decimal(3))] for price in (bid, ask)]
    return m.BookRow(name, "BTC", "USDT", is_proven, False, NOW_NS, *levels)


class FakeMonitor:
    """What `Top` needs of a client. Commands are noted; `fails`: everything is refused so."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.fails: Exception | None = None
        self.state = "active"
        self.rows = [book(HERE, "60000", "60001"), book(THERE, "60100", "60101")]

    def give(self, answer: Any) -> Any:
        if self.fails is not None:
            raise self.fails
        return answer

    def status(self) -> m.Status:
        venue = m.VenueStatus("deribit", "ready", False, 1234, 7, 2, 1, 1)
        other = m.VenueStatus("bridge", "lost", True, 99, 0, 0, 1, 0)
        return self.give(
            m.Status(
                "synthetic", "runs/x", True, NOW_NS, self.state, "operator" if self.state != "active" else "", 0, 1,
                1333, 42, 5, 0, 17, 1, "", [m.Money("USDT", Decimal("-12.50"), Decimal(0), Decimal(1))],
                [venue, other], [DataWarning(kind="gaps", count=2, first_place="deribit", what_to_do="look")], [], 1,
            )
        )  # fmt: skip

    def books(self, instruments: Any = (), depth: int = 1) -> m.Books:
        return self.give(m.Books(NOW_NS, self.rows))

    def positions(self) -> m.Positions:
        zero = Decimal(0)
        row = m.PositionRow(
            HERE, "BTC", "USD", "BTC", Decimal("1.5"), 15, zero, zero, Decimal(60000), None, zero, zero, zero, 3
        )
        return self.give(m.Positions(NOW_NS, [row]))

    def orders(self) -> m.Orders:
        row = m.OrderRow(
            8192, 77, THERE, "mine", "buy", "gtc", "live", Decimal(60100), Decimal(1), Decimal(0), "BTC",
            NOW_NS - 2_500_000_000, NOW_NS, "", False,
        )  # fmt: skip
        return self.give(m.Orders(NOW_NS, [row]))

    def latencies(self) -> m.Latencies:
        return self.give(
            m.Latencies(
                NOW_NS,
                [
                    m.LatencyRow("receive_to_send", 42, 210, 400, 900, 1500),
                    m.LatencyRow("feed_latency", 7, 11 * 10**9, 12 * 10**9, 13 * 10**9, 14 * 10**9),
                ],
            )
        )

    def sessions(self) -> m.Sessions:
        row = m.SessionRow("bridge", "lost", True, 1, "the gateway went silent", None, 0, 0, 0, [])
        return self.give(m.Sessions(NOW_NS, [row]))

    def log(self, count: int = 20) -> m.Log:
        return self.give(m.Log([m.LogRow(NOW_NS, "alice", "trader", "pause", "", "role", "viewers look")]))

    def _command(self, name: str, answer: Any) -> Any:
        self.asked.append(name)
        return self.give(answer)

    def request(self, request: m.Command) -> Any:
        return getattr(self, m.tag_of(request))()

    def pause(self) -> Any:
        self.state = "cancel_only"
        return self._command("pause", m.Done("paused"))

    def reduce_only(self) -> Any:
        return self._command("reduce_only", m.Done("reducing"))

    def cancel_all(self) -> Any:
        return self._command("cancel_all", m.Done("cancelled"))

    def resume(self) -> Any:
        return self._command("resume", m.ToConfirm("t1", "trade again", 30))

    def flatten(self) -> Any:
        return self._command("flatten", m.ToConfirm("t2", "sell 1.5 BTC", 30))

    def kill(self) -> Any:
        return self._command("kill", m.Done("killed"))

    def confirm(self, asked: m.ToConfirm) -> Any:
        return self._command(f"confirm {asked.token}", m.Done("done"))


def drive(monitor: FakeMonitor, steps: Callable[[Top, Pilot[None]], Awaitable[None]], size: Any = (160, 50)) -> None:
    """Run the screen without a terminal."""

    async def run() -> None:
        app = Top(monitor, TRADED)  # type: ignore[arg-type]
        async with app.run_test(size=size) as pilot:
            await until(pilot, lambda: app.seen.status is not None or bool(app.seen.error))
            await steps(app, pilot)

    asyncio.run(run())


async def until(pilot: Pilot[None], is_so: Callable[[], bool], patience_s: float = 10.0) -> None:
    deadline_s = time.monotonic() + patience_s
    while not is_so():
        assert time.monotonic() < deadline_s
        await pilot.pause(0.02)


def shown(app: Top) -> str:
    """All that stands on the screen, panel by panel."""
    lines = []
    for panel in app.query(Static):
        if panel.display:
            console = Console(width=200, color_system=None, file=io.StringIO())
            console.print(panel.content)
            lines.append(f"{panel.border_title or ''}\n{console.file.getvalue()}")  # type: ignore[attr-defined]
    return "\n".join(lines)


def test_everything_that_is_asked_for_is_on_the_screen() -> None:
    async def steps(app: Top, pilot: Pilot[None]) -> None:
        text = shown(app)
        for each in (
            "synthetic", "ACTIVE", "alarms 1", "-12.50 USDT", "gaps", HERE, "60,001", "ready", "lost",
            "the gateway went silent", "1.5", "8192", "2.5 s", "receive to send",
            "210 ns", "the clocks differ", "by 11 s", "alice", "viewers look",
        ):  # fmt: skip
            assert each in text, each
        assert "0 of 1" in text  # books proven of a venue

    drive(FakeMonitor(), steps)


@pytest.mark.parametrize(("key", "asked"), [("p", "pause"), ("d", "reduce_only"), ("c", "cancel_all"), ("k", "kill")])
@pytest.mark.parametrize("answer", ["y", "n", "escape"])
def test_a_key_asks_first(key: str, asked: str, answer: str) -> None:
    monitor = FakeMonitor()

    async def steps(app: Top, pilot: Pilot[None]) -> None:
        await pilot.press(key)
        assert isinstance(app.screen, Question)
        assert monitor.asked == []
        await pilot.press(answer)
        await pilot.pause(0.2)
        assert not isinstance(app.screen, Question)
        if answer == "y":
            await until(pilot, lambda: monitor.asked == [asked])

    drive(monitor, steps)
    assert monitor.asked == ([asked] if answer == "y" else [])


@pytest.mark.parametrize(("key", "name", "token"), [("f", "flatten", "t2"), ("u", "resume", "t1")])
@pytest.mark.parametrize("is_confirmed", [True, False])
def test_what_trades_takes_two_steps(key: str, name: str, token: str, is_confirmed: bool) -> None:
    monitor = FakeMonitor()

    async def steps(app: Top, pilot: Pilot[None]) -> None:
        await pilot.press(key, "y")
        await until(pilot, lambda: monitor.asked == [name] and isinstance(app.screen, Question))
        assert "this will" in app.screen.text  # type: ignore[attr-defined]
        await pilot.press("y" if is_confirmed else "n")
        await pilot.pause(0.2)
        if is_confirmed:
            await until(pilot, lambda: len(monitor.asked) == 2)

    drive(monitor, steps)
    assert monitor.asked == ([name, f"confirm {token}"] if is_confirmed else [name])


def test_a_state_that_changes_is_shown_at_the_next_look() -> None:
    async def steps(app: Top, pilot: Pilot[None]) -> None:
        await pilot.press("p", "y")
        await until(pilot, lambda: "CANCEL ONLY (operator)" in shown(app))

    drive(FakeMonitor(), steps)


def test_a_monitor_that_is_gone_is_said_beside_what_was_seen_last() -> None:
    monitor = FakeMonitor()

    async def steps(app: Top, pilot: Pilot[None]) -> None:
        monitor.fails = NoAnswerError("ipc:///x: no answer in 5 s")
        app.look_again()
        await until(pilot, lambda: "nothing newer: ipc:///x: no answer in 5 s" in shown(app))
        assert "60,001" in shown(app)
        monitor.fails = None
        app.look_again()
        await until(pilot, lambda: "nothing newer" not in shown(app))

    drive(monitor, steps)


def test_a_refused_command_is_told_and_nothing_else_happens() -> None:
    monitor = FakeMonitor()

    async def steps(app: Top, pilot: Pilot[None]) -> None:
        monitor.fails = RefusedError(m.Reason.ROLE, "viewers may only look")
        await pilot.press("k", "y")
        await until(pilot, lambda: monitor.asked == ["kill"])
        await until(pilot, lambda: any("viewers may only look" in note.message for note in app._notifications))

    drive(monitor, steps)


def test_a_terminal_of_80_columns_shows_the_state_and_the_books() -> None:
    async def steps(app: Top, pilot: Pilot[None]) -> None:
        await pilot.pause(0.3)
        screen = "\n".join(strip.text for strip in app.screen._compositor.render_strips())
        assert "ACTIVE" in screen
        assert "60,000" in screen

    drive(FakeMonitor(), steps, size=(80, 24))


def test_an_edge_is_what_buying_here_and_selling_there_earns() -> None:
    rows = [book(HERE, "60000", "60001"), book(THERE, "60100", "60101")]
    best, worst = find_edges(rows, TRADED)
    assert (best.buy, best.sell, best.is_after_fees) == (HERE, THERE, True)
    # By hand: (60100 * (1 - 0.0002) - 60001 * (1 + 0.0005)) / 60001, in bps.
    by_hand = (Decimal(60100) * Decimal("0.9998") - Decimal(60001) * Decimal("1.0005")) / Decimal(60001) * 10_000
    assert abs(best.edge_bps - by_hand) < Decimal("1e-12")
    assert worst.edge_bps < 0
    without = {HERE: Traded("BTC", None), THERE: Traded("BTC", Decimal(2))}
    assert find_edges(rows, without)[0].edge_bps == (Decimal(60100) - Decimal(60001)) / Decimal(60001) * 10_000
    assert not find_edges(rows, without)[0].is_after_fees
    assert find_edges([rows[0], book(THERE, "1", "2", is_proven=False)], TRADED) == []
    assert find_edges(rows, {HERE: TRADED[HERE], THERE: Traded("ETH", Decimal(2))}) == []


def test_what_is_ahead_is_no_more_than_its_book_shows() -> None:
    monitor = FakeMonitor()
    (order,) = monitor.orders().rows
    assert size_at(order, monitor.rows) == 3
    assert size_at(order, [book(THERE, "60099", "60101")]) is None
    assert size_at(order, [book(THERE, "60100", "60101", is_proven=False)]) is None


def test_the_instruments_are_the_configurations() -> None:
    traded = traded_of(load_config(ROOT / "examples" / "synthetic.toml"))
    assert set(traded) == {HERE, THERE}
    assert traded[HERE].underlying == traded[THERE].underlying


def test_what_can_not_be_asked_is_an_error_and_no_exception() -> None:
    monitor = FakeMonitor()
    monitor.fails = NoAnswerError("nobody there")
    assert look(monitor, TRADED).error == "nobody there"  # type: ignore[arg-type]
