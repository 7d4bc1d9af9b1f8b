"""How far a sweep is: a bar on a terminal, elsewhere a line now and then."""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from crosswire.engine.sweep.result import failure_line
from crosswire.engine.sweep.rows import Row

LINE_S = 10.0  # between two lines, where there is no terminal


class Shown:
    """Says each set that failed, and how many are done."""

    def __init__(self, console: Console, total: int, done: int) -> None:
        self.console = console
        self.total = total
        self.done = done
        self.said_s = time.monotonic()
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self.bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self.task = self.bar.add_task("sets", total=total, completed=done)

    def __enter__(self) -> "Shown":
        self.bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, _error: BaseException | None, _: TracebackType | None) -> None:
        self.bar.stop()

    def __call__(self, row: Row) -> None:
        """Count one that is done."""
        self.done += 1
        if row.error:
            self.say(f"failed: {failure_line(row)}")
        self.bar.update(self.task, completed=self.done)
        if not self.console.is_terminal and time.monotonic() - self.said_s >= LINE_S:
            self.said_s = time.monotonic()
            self.say(f"{self.done} of {self.total} sets")

    def say(self, words: str) -> None:
        """Print a line beside the bar."""
        self.console.print(words, markup=False, highlight=False, soft_wrap=True)
