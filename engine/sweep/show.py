"""A sweep's result on the console."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from crosswire.engine.sweep.page import COLUMNS, overfitting_line, set_row, sharpe_line
from crosswire.engine.sweep.result import Result, failure_line, workers_lost_text
from crosswire.engine.warn import print_warnings

LISTED = 10  # best sets, and failed ones


def print_result(result: Result, folder: Path, console: Console) -> None:
    """Print the best sets, the measures, what failed, and where everything is."""
    if result.ranked:
        table = Table(*(name.lstrip("<") for name in COLUMNS), box=None, pad_edge=False)
        for column, name in zip(table.columns, COLUMNS, strict=True):
            column.justify = "left" if name.startswith("<") else "right"
        for row in result.ranked[:LISTED]:
            table.add_row(*set_row(row))
        console.print(table)
        for name, value, words in (sharpe_line(result.sharpe), overfitting_line(result)):
            _say(console, f"{name}: {value} ({words})")
        if isinstance(result.walk, str):
            _say(console, f"walk forward: none ({result.walk})")
    for row in result.failed[:LISTED]:
        _say(console, f"failed: {failure_line(row)}")
    print_warnings(result.warnings, console)
    if result.workers_lost:
        _say(console, workers_lost_text(result.workers_lost))
    _say(console, f"sweep: {folder}   report: {folder / 'report.html'}")


def _say(console: Console, words: str) -> None:
    console.print(words, markup=False, highlight=False, soft_wrap=True)
