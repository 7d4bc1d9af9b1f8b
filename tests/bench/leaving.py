"""`crosswire bench leaving`: what ends a live run with orders out, and what each way of ending leaves behind.

    crosswire bench leaving [--only SIGTERM] [--scheduling fifo]

Runs `exchange` and `live` as a user would, over the synthetic example with orders by chance at all times, once for each
way. Times are from the cause to the turn of the last order and to the turn that halts, by the journal; a turn may have
begun before the cause. Where other processes are busy on the loop's core, all of it waits for them unless its thread
runs first ("fifo"). The last line is one JSON object. Exit code 1: something was left open that could be cancelled,
an order left behind the halt, or a record was lost.
"""

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from crosswire.engine.journal.decode import records_of
from crosswire.nic.host.testbed import Testbed
from crosswire.nic.journal.files import FOLDER
from crosswire.nic.journal.reader import read_journal
from crosswire.risk.records import RecordKind
from crosswire.risk.trading_state import TradingState
from tests.engine.live.test_leaving import DISK_MB, FAILING, FAST, MINE, RESTING, RESTLESS, account, config_with
from tests.support.disk import fill, small_disk
from tests.support.live_setup import COMPILE_PATIENCE_S, PATIENCE_S, Command, started
from tests.support.paths import ROOT

TRADING_S = 30  # at most: each is ended before
BUSY = RESTLESS.replace("every = 20", "every = 1")
COUNTING = RESTING.replace(
    "\n\n@on_book", "\n    def counters(self) -> dict[str, int]:\n        return {'x': 1 // 0}\n\n\n@on_book", 1
)


@dataclass
class Bed:
    """One run that is about to be ended: its process, where its records go, and the network."""

    live: subprocess.Popen[str]
    runs: Path
    testbed: Testbed
    terminal: int  # the other end of its terminal; -1: it has none

    @property
    def run(self) -> Path:
        """The run's folder."""
        return next(self.runs.glob("*/latest")).resolve()


@dataclass(frozen=True)
class Way:
    """One way to end: what causes it, and with which strategies."""

    cause: Callable[[Bed], None]  # returns when it has happened
    strategy: str = BUSY
    code: str = FAILING
    traded: str = "fills [1-9]"  # what it has printed before
    can_cancel: bool = True
    has_terminal: bool = False
    on_small_disk: bool = False
    seconds: int = TRADING_S


@dataclass
class Ended:
    """What one way of ending left."""

    way: str
    last_order_ms: float | None  # after the cause; None: the cause is the engine's own
    halted_ms: float | None
    orders_behind_halt: int
    exit_ms: float  # after the cause
    exit_code: int
    open_at_exchanges: int
    fills_missing: int  # of those that the exchanges have told of
    is_journal_whole: bool  # every record is proven, and the loop came to its end
    can_cancel: bool

    @property
    def is_well(self) -> bool:
        """Tell whether nothing was left that need not be."""
        is_kept = self.is_journal_whole and self.orders_behind_halt == 0
        # Over a wire that is gone nothing is cancelled, and nobody hears what is filled.
        return is_kept and ((self.open_at_exchanges == 0 and self.fills_missing == 0) or not self.can_cancel)


def send(number: signal.Signals) -> Callable[[Bed], None]:
    """Send a signal."""
    return lambda bed: bed.live.send_signal(number)


def delete_interface(bed: Bed) -> None:
    """Take the first venue's interface away."""
    interface = bed.testbed.links[0].engine_interface
    subprocess.run(["ip", "netns", "exec", bed.testbed.engine, "ip", "link", "del", interface], check=True)


def forbid_segments(bed: Bed) -> None:
    """Let no file of the process grow: the journal gets no next segment, as when a quota is used up."""
    resource.prlimit(bed.live.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))


def spoil_report(bed: Bed) -> None:
    """Put something where the run's files are to be, and end it."""
    (bed.run / "summary.json").mkdir()
    bed.live.send_signal(signal.SIGTERM)


def close_terminal(bed: Bed) -> None:
    """Close the window that it was started in."""
    os.close(bed.terminal)


def wait(_bed: Bed) -> None:
    """Do nothing: its strategy raises."""


WAYS: dict[str, Way] = {
    "SIGTERM": Way(send(signal.SIGTERM)),
    "SIGINT": Way(send(signal.SIGINT)),
    "SIGHUP": Way(send(signal.SIGHUP)),
    "SIGUSR1": Way(send(signal.SIGUSR1)),
    "closed terminal": Way(close_terminal, has_terminal=True),
    "full disk": Way(lambda bed: fill(bed.runs), on_small_disk=True),
    "full journal": Way(forbid_segments),
    "gone interface": Way(delete_interface, can_cancel=False),
    "failed report": Way(spoil_report),
    "exception in a strategy's compiled code": Way(wait, strategy=MINE, traded="trading"),
    "exception in a strategy's Python": Way(wait, strategy=MINE, code=COUNTING, traded="trading", seconds=6),
}


def start_live(config: Path, runs: Path, seconds: int, output: Path, has_terminal: bool) -> tuple[Any, int]:
    """Start the engine, on a terminal of its own or with its output in a file; the terminal's other end, or -1."""
    command = [sys.executable, "-m", "crosswire.engine.cli", "live", str(config), "--output", str(runs)]
    command += ["--seconds", str(seconds)]
    if not has_terminal:
        with output.open("w") as log:
            return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, text=True), -1
    ours, theirs = os.openpty()
    leader = ["setsid", "--ctty", *command]  # the kernel tells a session's leader that its terminal is gone
    live = subprocess.Popen(leader, cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs, text=True)
    os.close(theirs)
    return live, ours


def wait_for(bed: Bed, output: Path, pattern: str) -> None:
    """Wait until it has printed this, in its file or on its terminal."""
    if bed.terminal < 0:
        Command(bed.live, output).wait_for(pattern, COMPILE_PATIENCE_S)
        return
    os.set_blocking(bed.terminal, False)
    deadline_s, said = time.monotonic() + COMPILE_PATIENCE_S, b""
    while pattern.encode() not in said:
        assert bed.live.poll() is None, said.decode()
        assert time.monotonic() < deadline_s, said.decode()
        try:
            said += os.read(bed.terminal, 1 << 16)
        except BlockingIOError:
            time.sleep(0.05)


def end_by(name: str, way: Way, folder: Path, testbed: Testbed, scheduling: str) -> Ended:
    """Trade, let it be ended, and look at what is left."""
    config = config_with(folder, testbed, way.strategy, TRADING_S)
    config.write_text(config.read_text().replace("[live]\n", f'[live]\nscheduling = "{scheduling}"\n'))
    (folder / "mine.py").write_text(way.code)
    if way.strategy == BUSY:
        config.write_text(config.read_text().replace("orders_per_second = 100, burst = 50", FAST))
    runs, output = folder / "runs", folder / "live.log"
    with started(folder, "exchange", config, "--wait") as exchanges:
        exchanges.wait_for("ready", COMPILE_PATIENCE_S)
        live, terminal = start_live(config, runs, way.seconds, output, way.has_terminal)
        bed = Bed(live, runs, testbed, terminal)
        try:
            wait_for(bed, output, "fills" if way.has_terminal else way.traded)
            if way.has_terminal:
                time.sleep(2)
            cause_ns = time.time_ns()
            way.cause(bed)
            code = live.wait(COMPILE_PATIENCE_S if way.on_small_disk else PATIENCE_S)
            exit_ms = (time.time_ns() - cause_ns) / 1e6
        finally:
            live.kill()
        seen = account(exchanges)
    return look(name, way, bed.run, cause_ns, exit_ms, code, seen)


def look(name: str, way: Way, run: Path, cause_ns: int, exit_ms: float, code: int, seen: dict[str, Any]) -> Ended:
    """Read the run's journal, and hold it against the exchanges' account."""
    reader = read_journal(run / FOLDER)
    sent, fills, halted_ns, behind, is_closed = [], 0, 0, 0, False
    for batch in reader.batches():
        for each in records_of(batch):
            if each.kind in (RecordKind.ORDER_SENT, RecordKind.AMEND_SENT):
                sent.append(each.time_ns)
                behind += halted_ns != 0
            elif each.kind == RecordKind.STATE and each.fields["state"] >= TradingState.CANCEL_ONLY:
                halted_ns = halted_ns or each.time_ns
            fills += each.kind == RecordKind.FILL
            is_closed = is_closed or each.kind == RecordKind.CLOSED
    reader.check()
    is_ours = way.cause is wait
    told = sum(each["fills"] for each in seen.values())
    return Ended(
        way=name,
        last_order_ms=None if is_ours or not sent else (sent[-1] - cause_ns) / 1e6,
        halted_ms=None if is_ours else (halted_ns - cause_ns) / 1e6,
        orders_behind_halt=behind,
        exit_ms=exit_ms,
        exit_code=code,
        open_at_exchanges=sum(each["resting"] for each in seen.values()),
        fills_missing=told - fills,
        is_journal_whole=is_closed,
        can_cancel=way.can_cancel,
    )


def run_way(name: str, scheduling: str) -> Ended:
    """Run one way in a network and a folder of its own."""
    way = WAYS[name]
    with tempfile.TemporaryDirectory() as text, Testbed(f"cwl{os.getpid() % 10_000}", links=2) as testbed:
        folder = Path(text)
        if not way.on_small_disk:
            return end_by(name, way, folder, testbed, scheduling)
        with small_disk(folder / "runs", DISK_MB):
            return end_by(name, way, folder, testbed, scheduling)


def show(found: list[Ended]) -> None:
    """Show the table."""
    table = Table("ended by", "last order, ms", "halted, ms", "exit, ms", "code", "left open", "records")
    for each in found:
        times = ["-" if time_ms is None else f"{time_ms:.2f}" for time_ms in (each.last_order_ms, each.halted_ms)]
        kept = "whole" if each.is_journal_whole else "NOT whole"
        if each.fills_missing != 0:
            kept += f", {each.fills_missing} fills never heard of"
        left = f"{each.open_at_exchanges}" + ("" if each.can_cancel else " (no wire to cancel on)")
        table.add_row(each.way, *times, f"{each.exit_ms:.0f}", str(each.exit_code), left, kept)
    Console(width=130).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(prog="crosswire bench leaving", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--only", action="append", choices=list(WAYS), default=[])
    parser.add_argument("--scheduling", choices=["other", "fifo"], default="other")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("bench leaving: needs root: it makes network namespaces")
    found = [run_way(name, options.scheduling) for name in options.only or WAYS]
    show(found)
    print(json.dumps([asdict(each) for each in found]))
    sys.exit(0 if all(each.is_well for each in found) else 1)


if __name__ == "__main__":
    main()
