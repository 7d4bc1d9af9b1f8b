"""How `crosswire live` ends when something goes wrong with orders out: cancelled, said, recorded, its exit code."""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest

from crosswire.engine.journal.carry import last_carried
from crosswire.engine.journal.decode import records_of
from crosswire.engine.report.make import make_files
from crosswire.nic.host.testbed import Testbed
from crosswire.nic.journal.files import FOLDER, salvage
from crosswire.nic.journal.reader import read_journal
from crosswire.nic.journal.seal import Sealer, proven_bytes
from crosswire.nic.journal.walk import End
from crosswire.risk.records import RecordKind
from tests.support.disk import fill, small_disk
from tests.support.live_setup import COMPILE_PATIENCE_S, PATIENCE_S, Command, make_config, started
from tests.support.net import own_testbed
from tests.support.paths import ROOT

pytestmark = pytest.mark.netns
TRADING_S = 30  # at most: each of these runs is ended before
MARK_AT = 6  # byte of a record where the mark is without which it is none
DISK_MB = 12  # two segments of the journal, of 4 MB each, and not four
FAST = "orders_per_second = 2_000, burst = 2_000"
RESTLESS = """[strategy]
use = "restless"

[strategy.parameters]
instruments = ["deribit/BTC-PERPETUAL", "bridge/BTCUSDT"]
seed = 1
every = 20
lots = 3

"""
MINE = '[strategy]\nuse = "mine.py:Failing"\n\n'
FAILING = """
import msgspec
from crosswire import BUY, GTC, BuildContext, Desk, Order, OrderState, Strategy, i64, on_book, on_order, submit


class Parameters(msgspec.Struct):
    pass


class Failing(Strategy):
    live: i64  # books seen with an order at rest

    @classmethod
    def build(cls, parameters: Parameters, context: BuildContext) -> "Failing":
        return cls()


@on_book.register(Failing)
def rest_then_fail(strategy: Failing, desk: Desk, instrument: int) -> None:
    if strategy.live == 0:
        submit(desk, instrument, BUY, desk.books[instrument].bid_ticks // 2, 1, time_in_force=GTC)
    else:
        strategy.live += 1
        if strategy.live > 200:
            strategy.live = 1 // (instrument - instrument)


@on_order.register(Failing)
def note_live(strategy: Failing, desk: Desk, order: Order) -> None:
    if order.state == OrderState.LIVE:
        strategy.live = max(strategy.live, 1)
"""
RESTING = FAILING.replace("1 // (instrument - instrument)", "201")


@pytest.fixture
def testbed() -> Iterator[Testbed]:
    with own_testbed("le", links=2) as testbed:
        yield testbed


def config_with(
    folder: Path, testbed: Testbed, strategy: str, seconds: int = TRADING_S, example: str = "synthetic"
) -> Path:
    config = make_config(folder, testbed, seconds=seconds, example=example)
    text = config.read_text()
    config.write_text(text[: text.index("[strategy]")] + strategy + text[text.index("# For `crosswire") :])
    (folder / "mine.py").write_text(FAILING)
    return config


def with_orders_open(folder: Path, testbed: Testbed, seconds: int = TRADING_S) -> Path:
    """Beside orders by chance, of which none may be open when something happens, some that stay."""
    restless = RESTLESS.removeprefix("[strategy]")
    strategies = f'[[strategy]]\nname = "restless"{restless}[[strategy]]\nname = "resting"\nuse = "mine.py:Failing"\n\n'
    config = config_with(folder, testbed, strategies, seconds)
    (folder / "mine.py").write_text(RESTING)
    return config


def account(exchanges: Command) -> dict[str, Any]:
    """What the exchanges say when they are ended."""
    exchanges.process.send_signal(signal.SIGTERM)
    return dict(json.loads(exchanges.finish().splitlines()[-1]))


def ended_by_itself(folder: Path, config: Path, *exchange_options: object) -> tuple[str, dict[str, Any]]:
    """Trade until the run ends with exit code 1 and no traceback: what it said, and the exchanges' account."""
    with started(folder, "exchange", config, "--wait", *exchange_options) as exchanges:
        exchanges.wait_for("ready", COMPILE_PATIENCE_S)
        with started(folder, "live", config, "--output", folder / "runs", "--seconds", TRADING_S) as live:
            assert live.process.wait(COMPILE_PATIENCE_S) == 1
        seen = account(exchanges)
    assert "Traceback" not in live.text()
    assert all(each["resting"] == 0 for each in seen.values())
    return live.text(), seen


def test_an_exchange_that_stalls_with_orders_open_is_an_alarm(testbed: Testbed, tmp_path: Path) -> None:
    said, _ = ended_by_itself(tmp_path, with_orders_open(tmp_path, testbed), "--pause", 3, 5)
    assert re.search(r"alarm, everything is cancelled: .*its session was lost with \d+ orders? open", said)
    assert re.search(r"crosswire: alarm: .*the next start asks the venues before it trades", said)
    (summary,) = (tmp_path / "runs").glob("*/latest/summary.json")
    assert json.loads(summary.read_text())["counters"]["alarms"] > 0


def test_a_strategy_that_fails_leaves_no_order(testbed: Testbed, tmp_path: Path) -> None:
    line = next(number for number, text in enumerate(FAILING.splitlines(), 1) if "1 // (" in text)
    said, seen = ended_by_itself(tmp_path, config_with(tmp_path, testbed, MINE))
    assert re.search(rf"ZeroDivisionError: integer division by zero \(mine.py:{line}\); what was recorded is in", said)
    assert sum(each["new_orders"] for each in seen.values()) > 0
    (kept,) = (tmp_path / "runs").glob("*/latest")
    make_files(kept, with_report=False)
    # The engine heard of the end of each: an exchange cancels what its client leaves behind, and says so to nobody.
    states = pyarrow.parquet.read_table(kept / "orders.parquet", columns=["state"]).column("state").to_pylist()
    sent = [state for state in states if state != "vetoed"]  # as those are that are asked for before the logon
    assert len(sent) == sum(each["new_orders"] for each in seen.values())
    assert set(sent) == {"cancelled"}


def test_a_strategy_whose_counters_fail_loses_no_record(testbed: Testbed, tmp_path: Path) -> None:
    """At the very end its Python raises: what was booked is there, and the run's files can be made from it."""
    config = config_with(tmp_path, testbed, MINE)
    code = RESTING.replace(
        "\n\n@on_book", "\n    def counters(self) -> dict[str, int]:\n        return {'x': 1 // 0}\n\n\n@on_book", 1
    )
    (tmp_path / "mine.py").write_text(code)
    with started(tmp_path, "exchange", config, "--wait") as exchanges:
        exchanges.wait_for("ready", COMPILE_PATIENCE_S)
        with started(tmp_path, "live", config, "--output", tmp_path / "runs", "--seconds", 5) as live:
            assert live.process.wait(COMPILE_PATIENCE_S) == 1
        seen = account(exchanges)
    assert "Traceback" not in live.text()
    assert re.search(r"crosswire: ZeroDivisionError: .*; what was recorded is in", live.text().splitlines()[-1])
    assert all(each["resting"] == 0 for each in seen.values())
    (kept,) = (tmp_path / "runs").glob("*/latest")
    assert make_files(kept, with_report=False).warnings
    states = pyarrow.parquet.read_table(kept / "orders.parquet", columns=["state"]).column("state").to_pylist()
    assert states.count("cancelled") == sum(each["new_orders"] for each in seen.values()) > 0


def test_an_interface_that_is_gone_is_an_alarm_and_keeps_the_journal(testbed: Testbed, tmp_path: Path) -> None:
    """Nothing can be cancelled over a wire that is not there: it is said, and what was booked stays."""
    config = with_orders_open(tmp_path, testbed)
    with started(tmp_path, "exchange", config, "--wait") as exchanges:
        exchanges.wait_for("ready", COMPILE_PATIENCE_S)
        with started(tmp_path, "live", config, "--output", tmp_path / "runs", "--seconds", TRADING_S) as live:
            live.wait_for("fills [1-9]", COMPILE_PATIENCE_S)
            link = testbed.links[0]
            subprocess.run(
                ["ip", "netns", "exec", testbed.engine, "ip", "link", "del", link.engine_interface], check=True
            )
            assert live.process.wait(PATIENCE_S) == 1
    assert "Traceback" not in live.text()
    assert "warning: 1 venues whose rings' counters are not known, first at venue deribit" in " ".join(
        live.text().split()
    )
    last = live.text().splitlines()[-1]
    assert re.search(r"crosswire: .*deribit: its session was lost with \d+ orders? open", last), live.text()
    (run,) = (tmp_path / "runs").glob("*/latest")
    carried = last_carried(run.parent)
    assert carried is not None
    assert carried.orders
    assert any(position.fills for position in carried.holdings.values())


def test_a_full_disk_ends_it_in_order(testbed: Testbed, tmp_path: Path) -> None:
    """No room for the journal's next segment: all is cancelled, and what the last ones hold is the venues' account."""
    config = config_with(tmp_path, testbed, RESTLESS.replace("every = 20", "every = 1"))
    config.write_text(config.read_text().replace("orders_per_second = 100, burst = 50", FAST))
    with small_disk(tmp_path / "runs", DISK_MB) as runs, started(tmp_path, "exchange", config, "--wait") as exchanges:
        exchanges.wait_for("ready", COMPILE_PATIENCE_S)
        with started(tmp_path, "live", config, "--output", runs, "--seconds", TRADING_S) as live:
            live.wait_for("fills [1-9]", COMPILE_PATIENCE_S)
            fill(runs)
            assert live.process.wait(COMPILE_PATIENCE_S) == 1
        seen = account(exchanges)
        carried = last_carried(runs / "synthetic")
    assert "Traceback" not in live.text()
    said = " ".join(live.text().split())
    assert re.search(r"crosswire: .*journal \S+: (No space left on device|no room for its next segment)", said)
    assert all(each["resting"] == 0 for each in seen.values())
    assert carried is not None
    assert carried.orders == {}
    held = {instrument: each for (who, instrument), each in carried.holdings.items() if who == ""}
    lots = {instrument: lots for each in seen.values() for instrument, lots in each["position_lots"].items()}
    assert {instrument: each.position_lots for instrument, each in held.items()} == lots
    assert sum(each.fills for each in held.values()) == sum(each["fills"] for each in seen.values()) > 0


def damage_memory(live: Command, journal: Path) -> bool:
    """Spoil, as a wild store might, the first record in memory that is not on the disk yet; False if there is none."""
    live.process.send_signal(signal.SIGSTOP)
    try:
        while " (python" in (stat := Path(f"/proc/{live.process.pid}/stat").read_text()) and ") T " not in stat:
            time.sleep(0.001)
        for link in sorted(journal.glob("*.memory")):
            disk = proven_bytes(np.fromfile(link.with_suffix(".bin"), np.uint8))
            if disk < Sealer().seal(np.fromfile(link, np.uint8)):
                with link.open("r+b") as memory:
                    memory.seek(disk + MARK_AT)
                    memory.write(bytes(2))
                return True
        return False
    finally:
        live.process.send_signal(signal.SIGCONT)


def test_a_journal_damaged_in_memory_ends_it_in_order(testbed: Testbed, tmp_path: Path) -> None:
    """What can't be copied is an alarm: all is cancelled, the place is named, and what was before it is believed."""
    config = config_with(tmp_path, testbed, RESTLESS.replace("every = 20", "every = 1"))
    config.write_text(config.read_text().replace("orders_per_second = 100, burst = 50", FAST))
    with started(tmp_path, "exchange", config, "--wait") as exchanges:
        exchanges.wait_for("ready", COMPILE_PATIENCE_S)
        with started(tmp_path, "live", config, "--output", tmp_path / "runs", "--seconds", TRADING_S) as live:
            live.wait_for("fills [1-9]", COMPILE_PATIENCE_S)
            (run,) = (tmp_path / "runs").glob("*/latest")
            while live.process.poll() is None and not damage_memory(live, run / FOLDER):
                pass
            assert live.process.wait(PATIENCE_S) == 1
        seen = account(exchanges)
    assert "Traceback" not in live.text()
    said = " ".join(live.text().split())
    assert re.search(
        r"crosswire: .*journal \S+: segment \d+, byte \d+: what was committed is damaged in memory", said
    ), said
    assert all(each["resting"] == 0 for each in seen.values())
    salvage(run / FOLDER)  # as the next start does
    reader = read_journal(run / FOLDER)
    read = sum(len(batch.places) for batch in reader.batches())
    assert read > 0
    assert reader.end == End.BAD_LENGTH


def judge_last_order(run: Path, signal_ns: int) -> None:
    """Behind the record that a signal ends the run no order is sent; tell how long after the signal that was."""
    sent_ns = leaving_ns = 0
    for batch in read_journal(run / FOLDER).batches():
        for record in records_of(batch):
            if record.kind in (RecordKind.ORDER_SENT, RecordKind.AMEND_SENT):
                assert leaving_ns == 0
                sent_ns = record.time_ns
            elif record.kind == RecordKind.STATE and record.fields["leaving"] and leaving_ns == 0:
                leaving_ns = record.time_ns
    assert 0 < sent_ns <= leaving_ns
    # Times are of a turn's beginning: on cores that others use it may have begun long before the signal.
    sent_us, leaving_us = ((each - signal_ns) / 1000 for each in (sent_ns, leaving_ns))
    print(f"last order {sent_us:.0f} us after the signal, halted, and all cancelled, {leaving_us:.0f} us")


@pytest.mark.parametrize("reason", ["nobody reads", "SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1"])
def test_nothing_else_ends_it_but_in_order(testbed: Testbed, tmp_path: Path, reason: str) -> None:
    """What it prints goes into a pipe that is closed, or a signal comes: the accounts are equal, the records whole."""
    config = config_with(tmp_path, testbed, RESTLESS)
    if reason != "nobody reads":
        config.write_text(config.read_text().replace("every = 20", "every = 1"))  # as many orders as the limits allow
    seconds, signal_ns = 6 if reason == "nobody reads" else TRADING_S, 0
    command = [sys.executable, "-m", "crosswire.engine.cli", "live", config, "--output", tmp_path / "runs"]
    with started(tmp_path, "exchange", config, "--wait") as exchanges:
        exchanges.wait_for("ready", COMPILE_PATIENCE_S)
        live = subprocess.Popen(
            [*map(str, command), "--seconds", str(seconds)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert live.stdout is not None
        for text in live.stdout:
            if reason != "nobody reads" and re.search("fills [1-9]", text):
                signal_ns = time.time_ns()
                live.send_signal(getattr(signal, reason))
            elif reason == "nobody reads" and "trading" in text:
                break
        live.stdout.close()
        status = live.wait(PATIENCE_S)
        seen = account(exchanges)
    assert status == 0
    assert all(each["resting"] == 0 for each in seen.values())
    (path,) = (tmp_path / "runs").glob("*/latest/summary.json")
    summary = json.loads(path.read_text())
    assert summary["counters"]["orders open at the end"] == summary["counters"]["alarms"] == 0
    assert summary["fills"] == sum(each["fills"] for each in seen.values()) > 0
    assert (path.parent / "report.html").exists()
    if signal_ns:
        judge_last_order(path.parent, signal_ns)
