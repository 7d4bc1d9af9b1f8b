"""A live run whose exchange stalls, or dies and is started again: said, connected again, reconciled, then traded on."""

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from crosswire.nic.host.testbed import Testbed
from crosswire.nic.journal.files import FOLDER
from crosswire.nic.journal.format import HEADER_WORDS
from crosswire.nic.journal.reader import read_journal
from crosswire.risk.records import KINDS, RecordKind
from crosswire.venues.session import SessionState
from tests.engine.live.test_leaving import account, config_with, with_orders_open
from tests.engine.live.test_recovery import compare, rows, run_folders
from tests.support.live_setup import COMPILE_PATIENCE_S, PATIENCE_S, Command, started
from tests.support.net import own_testbed

pytestmark = pytest.mark.netns
MARKET_S = 60
STALL_AT_S, STALL_S = 4, 5
AGAIN_S = 6  # of trading after the return
LASTING_S = 26
READY, LOST = int(SessionState.READY), int(SessionState.LOST)
PHASED = """[strategy]
use = "mine.py:Phased"

[strategy.parameters]
until_s = {until_s}
from_s = {from_s}
to_s = {to_s}

"""
CODE = """
import msgspec
from crosswire import BUY, IOC, SELL, BuildContext, Desk, Strategy, i64, on_book, submit


class Parameters(msgspec.Struct):
    until_s: int
    from_s: int
    to_s: int


class Phased(Strategy):
    until_s: i64
    from_s: i64
    to_s: i64
    first_ns: i64
    sent_ns: i64

    @classmethod
    def build(cls, parameters: Parameters, context: BuildContext) -> "Phased":
        return cls(until_s=parameters.until_s, from_s=parameters.from_s, to_s=parameters.to_s)


@on_book.register(Phased)
def take_at_times(strategy: Phased, desk: Desk, instrument: int) -> None:
    if strategy.first_ns == 0:
        strategy.first_ns = desk.now_ns
    since_s = (desk.now_ns - strategy.first_ns) // 1_000_000_000
    is_time = since_s < strategy.until_s or strategy.from_s <= since_s < strategy.to_s
    if not is_time or desk.now_ns < strategy.sent_ns + 20_000_000:
        return
    strategy.sent_ns = desk.now_ns
    book = desk.books[instrument]
    if desk.positions[instrument].position_lots > 0:
        submit(desk, instrument, SELL, book.bid_ticks, 1, time_in_force=IOC)
    else:
        submit(desk, instrument, BUY, book.ask_ticks, 2, time_in_force=IOC)
"""


@pytest.fixture
def testbed() -> Iterator[Testbed]:
    with own_testbed("lc", links=2) as testbed:
        yield testbed


def phased(folder: Path, testbed: Testbed, tcp: str, until_s: int, from_s: int) -> Path:
    """Orders that take, none of them open for long: until one time after the first book, and from another one on."""
    config = config_with(
        folder, testbed, PHASED.format(until_s=until_s, from_s=from_s, to_s=from_s + AGAIN_S), seconds=MARKET_S
    )
    (folder / "mine.py").write_text(CODE)
    config.write_text(config.read_text().replace('ring = "af_xdp"', f'ring = "af_xdp"\ntcp = "{tcp}"'))
    return config


def sessions(run: Path) -> dict[int, list[int]]:
    """The states that each venue's session had, as the journal has them."""
    states: dict[int, list[int]] = {}
    for row in rows(run, RecordKind.SESSION):
        seen = states.setdefault(row["venue"], [])
        if not seen or seen[-1] != row["state"]:
            seen.append(row["state"])
    return states


def is_traded_after_return(run: Path) -> bool:
    """Tell whether something was filled at every venue after its session was READY again."""
    lost, back, filled = set(), set(), set()
    names = {kind: list(KINDS[kind].fields) for kind in (RecordKind.SESSION, RecordKind.FILL)}
    for batch in read_journal(run / FOLDER).batches():
        for place, kind in zip(batch.places, batch.commits["kind"], strict=True):
            if kind not in names:
                continue
            row = dict(zip(names[kind], batch.words[place + HEADER_WORDS :][: len(names[kind])].tolist(), strict=True))
            if kind == RecordKind.FILL and row["instrument"] in back:
                filled.add(row["instrument"])
            elif kind == RecordKind.SESSION and row["state"] == LOST:
                lost.add(row["venue"])
            elif kind == RecordKind.SESSION and row["state"] == READY and row["venue"] in lost:
                back.add(row["venue"])  # each venue has one instrument, of the same number
    return filled == back == {0, 1}


def assert_told(live: Command) -> None:
    for name in ("deribit", "bridge"):
        assert re.search(f"{name}: [^;]*; connecting again.*{name}: its session is back", flat(live))


def flat(live: Command) -> str:
    return " ".join(live.text().split())


@pytest.mark.parametrize("tcp", ["own", "kernel"])
def test_a_stalled_exchange_is_traded_on_again(testbed: Testbed, tmp_path: Path, tcp: str) -> None:
    config = phased(tmp_path, testbed, tcp, until_s=STALL_AT_S - 1, from_s=15)
    with started(tmp_path, "exchange", config, "--wait", "--pause", STALL_AT_S, STALL_S) as exchanges:
        exchanges.wait_for("ready", COMPILE_PATIENCE_S)
        with started(tmp_path, "live", config, "--output", tmp_path / "runs", "--seconds", LASTING_S) as live:
            live.wait_for("run folder", COMPILE_PATIENCE_S)
            live.finish()
        seen = account(exchanges)
    assert_told(live)
    (run,) = run_folders(tmp_path)
    for states in sessions(run).values():
        lost = states.index(LOST)
        assert READY in states[:lost]
        assert READY in states[lost:]
    assert is_traded_after_return(run)
    compare(tmp_path, seen)
    assert json.loads((run / "summary.json").read_text())["counters"]["alarms"] == 0


@pytest.mark.parametrize("tcp", ["own", "kernel"])
def test_an_exchange_that_died_flat_is_traded_on_when_it_is_back(testbed: Testbed, tmp_path: Path, tcp: str) -> None:
    config = phased(tmp_path, testbed, tcp, until_s=0, from_s=14)
    with started(tmp_path, "exchange", config, "--wait") as first:
        first.wait_for("ready", COMPILE_PATIENCE_S)
        with started(tmp_path, "live", config, "--output", tmp_path / "runs", "--seconds", LASTING_S) as live:
            live.wait_for("trading", COMPILE_PATIENCE_S)
            live.wait_for("frames [1-9]", PATIENCE_S)
            first.process.send_signal(signal.SIGKILL)
            first.process.wait()
            live.wait_for("bridge: .*; connecting again", PATIENCE_S)
            with started(tmp_path, "exchange", config) as again:
                live.wait_for("run folder", COMPILE_PATIENCE_S)
                live.finish()
                seen = account(again)
    assert_told(live)
    (run,) = run_folders(tmp_path)
    assert is_traded_after_return(run)
    compare(tmp_path, seen)


def test_an_exchange_that_dies_with_orders_open_is_an_alarm(testbed: Testbed, tmp_path: Path) -> None:
    config = with_orders_open(tmp_path, testbed, MARKET_S)
    with started(tmp_path, "exchange", config, "--wait") as first:
        first.wait_for("ready", COMPILE_PATIENCE_S)
        with started(tmp_path, "live", config, "--output", tmp_path / "runs") as live:
            live.wait_for("fills [1-9]", COMPILE_PATIENCE_S)
            first.process.send_signal(signal.SIGKILL)
            first.process.wait()
            assert live.process.wait(PATIENCE_S) == 1
    assert "Traceback" not in live.text()
    assert re.search(r"alarm, everything is cancelled: .*its session was lost with \d+ orders? open", flat(live))
    assert re.search(r"crosswire: alarm: .*the next start asks the venues before it trades", flat(live))
    (run,) = run_folders(tmp_path)
    assert all(LOST in states for states in sessions(run).values())
