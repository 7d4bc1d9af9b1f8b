"""What a worker does: one set's backtest, in a folder of its own, and what the sweep keeps of it."""

import os
import socket
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crosswire.engine.backtest import run_backtest
from crosswire.engine.errors import KNOWN_ERRORS
from crosswire.engine.report.charge_rows import read_steps
from crosswire.engine.report.columns import Values
from crosswire.engine.report.currency import pricing_instrument, report_currency
from crosswire.engine.report.grid import read_grids
from crosswire.engine.report.recorder import POSITIONS
from crosswire.engine.report.summary import RunSummary, read_summary
from crosswire.engine.sweep.release import release_digest
from crosswire.engine.sweep.rows import Row
from crosswire.nic.duration import NS_PER_MS
from crosswire.nic.unit.listen import noted

# Lengths that divide a day, so that days are whole ones.
SECONDS = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 21_600, 86_400)
INTERVALS_NS = [each * NS_PER_MS for each in (10, 20, 50, 100, 200, 500, *(1000 * each for each in SECONDS))]
INTERVALS_MAX = 2_000  # of one run: what a row keeps of its P&L


@dataclass(frozen=True)
class Task:
    """One set to run. Paths are the same on every machine."""

    number: int
    settings: tuple[str, ...]
    config_path: str
    config_text: str
    base_text: str  # the configuration before the set's own settings: what `release` is of
    release: str  # of whoever asks: another's results would be another program's
    keep_in: str  # folder of its whole run; "": nothing but the row is kept


class ReleaseError(Exception):
    """One line: a worker runs another release, or sees other data."""


def run_set(task: Task) -> Row:
    """Run a set; a mistake in it is its row's error. ReleaseError: this process is not what the sweep began with."""
    check_release(task)
    started = time.perf_counter()
    row = Row(number=task.number, settings=list(task.settings))
    with noted() as compiled:
        row = _backtested(task, row, started)
    row.worker = f"{socket.gethostname()}:{os.getpid()}"
    row.compiled = sorted(compiled)
    row.wall_s = time.perf_counter() - started
    return row


def _backtested(task: Task, row: Row, started: float) -> Row:
    """Fill in what came of a set's backtest, or why nothing did."""
    try:
        with ExitStack() as stack:
            output = task.keep_in or stack.enter_context(tempfile.TemporaryDirectory(prefix="crosswire-sweep-"))
            path, text = Path(task.config_path), task.config_text
            folder = run_backtest(path, Path(output), started=started, with_report=False, config_text=text)
            row = _outcome(row, folder, read_summary(folder))
            row.run_folder = str(folder) if task.keep_in else ""
    except KNOWN_ERRORS as error:
        row.error = one_line(error)
    except Exception as error:  # one set's fault in the engine or in a strategy's own Python must not end the others
        row.error = f"{type(error).__name__}: {one_line(error)}"
    return row


def check_release(task: Task) -> None:
    """Raise ReleaseError unless this process has the sources and the data that the task was made with."""
    ours = release_digest(task.base_text, Path(task.config_path))
    if ours != task.release:
        raise ReleaseError(
            f"worker on {socket.gethostname()}: its Crosswire, strategy files or captures are not those of this sweep"
            f" ({ours} instead of {task.release}): install the same release there, and mount the same data"
        )


def one_line(error: Exception) -> str:
    """Say an error in one line."""
    return " ".join(str(error).split())


def _outcome(row: Row, folder: Path, summary: RunSummary) -> Row:
    profit = summary.pnl_approximation
    assert profit is not None, "a run has an instrument, so a settlement currency"
    row.digest, row.currency, row.warnings = summary.digest, profit.currency, summary.warnings
    row.net, row.flattened, row.drawdown = profit.net, profit.flattened, profit.drawdown.amount
    row.realised, row.locked, row.open = profit.realised, profit.locked, profit.open
    row.orders_sent, row.fills = summary.orders_sent, summary.fills
    row.opportunities, row.captured = summary.opportunities.count, summary.opportunities.captured
    row.trades, row.missed_legs = summary.trades.count, summary.trades.missed_legs.trades
    row.interval_ns, row.intervals, row.profit = read_profit(folder, summary)
    return row


def read_profit(folder: Path, summary: RunSummary) -> tuple[int, list[int], list[float]]:
    """Read how marked P&L changed from interval to interval, each sample at its own prices.

    Return the intervals' length, the numbers of those with a sample, and the change in each. A time without data, as
    between the captures of two days, has no interval.
    """
    infos = summary.definitions
    into = report_currency(infos)
    rates = [pricing_instrument(info.settlement, into, infos) for info in infos]
    times, curves = [], []
    for time_ns, grid in read_grids(folder / POSITIONS, len(infos), read_steps(folder, infos)):
        curve = np.zeros(len(time_ns))
        for place, rate in enumerate(rates):
            if rate is not None:
                marked = grid["marked_e9"][:, place] / 1e9
                curve += marked if rate < 0 else np.nan_to_num(marked * grid["middle"][:, rate])
        times.append(time_ns)
        curves.append(curve)
    if not times:
        return INTERVALS_NS[0], [], []
    time_ns, curve = np.concatenate(times), np.concatenate(curves)
    interval_ns = interval_for(time_ns)
    numbers = time_ns // interval_ns
    lasts = np.flatnonzero(np.append(numbers[1:] != numbers[:-1], True))
    return interval_ns, numbers[lasts].tolist(), np.diff(curve[lasts], prepend=0.0).tolist()


def interval_for(time_ns: Values) -> int:
    """Choose the shortest interval that is no shorter than samples are apart, and of which there are not too many."""
    apart_ns = float(np.median(np.diff(time_ns))) if len(time_ns) > 1 else 0.0
    span_ns = int(time_ns[-1] - time_ns[0])
    fitting = [each for each in INTERVALS_NS if each >= apart_ns and span_ns // each < INTERVALS_MAX]
    return fitting[0] if fitting else INTERVALS_NS[-1]
