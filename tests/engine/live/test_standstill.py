"""A live engine that is stopped (SIGSTOP) for longer than its sessions bear silence, while its exchanges go on."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from crosswire.engine.explain.explain import read_run
from crosswire.engine.explain.replay import Replay, open_capture
from crosswire.engine.journal.decode import records_of
from crosswire.nic.duration import NS_PER_S
from crosswire.nic.host.testbed import Testbed
from crosswire.nic.journal.files import FOLDER
from crosswire.nic.journal.reader import read_journal
from crosswire.risk.records import RecordKind
from crosswire.venues.session import SessionState
from tests.support.live_setup import COMPILE_PATIENCE_S, PATIENCE_S, Outcome, make_config, outcome, started
from tests.support.net import own_testbed

pytestmark = [pytest.mark.netns, pytest.mark.starbase, pytest.mark.tcp]
TRADED_S = 2  # at least, before and after it stood still: it is stopped once it has sent something, and ended likewise
STOPPED_S = 11  # Starbase's session bears 10 s of silence, the bridge's 3
TRADING_S = 20  # until it has
MARKET_S = 2 * TRADING_S + STOPPED_S


@pytest.fixture
def testbed() -> Iterator[Testbed]:
    with own_testbed("st", links=2) as testbed:
        yield testbed


def trade_and_stop(folder: Path, config: Path, exchange_module: str, stopped_s: float) -> Outcome:
    """Trade, stop the engine's process for a while, trade on."""
    with started(folder, "exchange", config, "--wait", "--seconds", MARKET_S, module=exchange_module) as exchanges:
        exchanges.wait_for("ready", COMPILE_PATIENCE_S)
        options = ("--output", folder / "runs", "--capture", folder / "captured")
        with started(folder, "live", config, *options) as live:
            live.wait_for("trading", COMPILE_PATIENCE_S)
            wait_for_an_order(folder, 0)
            os.kill(live.process.pid, signal.SIGSTOP)
            time.sleep(stopped_s)
            os.kill(live.process.pid, signal.SIGCONT)
            wait_for_an_order(folder, time.time_ns())
            live.process.send_signal(signal.SIGTERM)
            live.process.wait(PATIENCE_S)
            exchanges.process.send_signal(signal.SIGTERM)
            return outcome(exchanges, live, folder)


def wait_for_an_order(folder: Path, after_ns: int) -> None:
    """Let it trade, until its journal has an order of a time after this one, and knows the end of all.

    What was lost while it stood still its exchange sends again when its own TCP has waited, up to 6.4 s after 11 of
    silence (RFC 6298: the wait doubles): an engine that was ended before would rightly not know what became of it.
    """
    (run,) = (folder / "runs").glob("*/latest")
    time.sleep(TRADED_S)
    deadline_s = time.monotonic() + TRADING_S
    while not has_traded(run, after_ns):
        assert time.monotonic() < deadline_s, f"no order in {run}, or none that has ended"
        time.sleep(0.2)


def has_traded(run: Path, after_ns: int) -> bool:
    kinds = {RecordKind.ORDER_SENT, RecordKind.ORDER_ENDED}
    records = [each for batch in read_journal(run / FOLDER).batches() for each in records_of(batch, kinds)]
    sent = {each.fields["client_order_id"]: each.time_ns for each in records if each.kind == RecordKind.ORDER_SENT}
    ended = {each.fields["client_order_id"] for each in records if each.kind == RecordKind.ORDER_ENDED}
    return any(time_ns > after_ns for time_ns in sent.values()) and ended.issuperset(sent)


def test_sessions_outlive_a_stop_that_their_exchanges_bear(testbed: Testbed, tmp_path: Path) -> None:
    config = make_config(tmp_path, testbed, seconds=MARKET_S, example="starbase")
    seen = trade_and_stop(tmp_path, config, "tests.support.patient_exchange", STOPPED_S)
    told = read_run(next((tmp_path / "runs").glob("*/latest")))
    assert not [each for each in told.of(RecordKind.SESSION) if each.fields["state"] == SessionState.LOST]
    assert seen.engine["counters"]["alarms"] == 0
    at_exchanges = [(*row, count) for *row, count, _ in seen.rows() if row[1] != "market data frames"]
    assert at_exchanges == [(*row, count) for *row, _, count in seen.rows() if row[1] != "market data frames"]
    standstills = told.of(RecordKind.STANDSTILL)
    (woken,) = [
        each
        for each in standstills
        if not each.fields["is_over"] and each.time_ns - each.fields["since_ns"] > (STOPPED_S - 1) * NS_PER_S
    ]
    read_ns = next(each.time_ns for each in standstills if each.fields["is_over"] and each.time_ns >= woken.time_ns)
    sent = [each.time_ns for each in told.of(RecordKind.ORDER_SENT)]
    assert [time_ns for time_ns in sent if woken.fields["since_ns"] < time_ns < read_ns] == []
    assert any(time_ns < woken.time_ns for time_ns in sent)
    assert any(time_ns > read_ns for time_ns in sent)
    (warning,) = [each for each in seen.engine["warnings"] if each["kind"] == "standstills of the engine"]
    assert warning["count"] >= 1
    captures = open_capture(told, tmp_path / "captured", told.description.venues)
    assert Replay(told, captures).follow_all().is_same
