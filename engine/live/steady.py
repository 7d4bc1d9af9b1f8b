"""A console that ends nothing: to a terminal that is gone, or a pipe that nobody reads, it prints no more.

What is said on it with `say` also stands in the process's log, if it has one.
"""

import os
import sys
from typing import Any

import msgspec
from rich.console import Console

from crosswire.engine.telemetry.log import MESSAGE, Level, Log, saying
from crosswire.nic.warning import DataWarning


class SteadyConsole(Console):
    """While orders are out, whether somebody reads what is printed does not matter."""

    def __init__(self, other: Console, log: Log | None = None) -> None:
        """Print where `other` prints, and say it in `log`."""
        super().__init__(file=other.file, width=other.width)
        self.json_log = log

    def say(self, text: str, event: str = MESSAGE, level: Level = Level.INFO, /, **fields: object) -> None:
        """Print a line, red where it matters, and log it; and say once where that fails."""
        style = None if level is Level.INFO else "red"
        saying(lambda line: self.put_line(line, style), self.json_log)(text, event, level, **fields)

    def put_line(self, text: str, style: str | None = None) -> None:
        """Print one line as it is."""
        self.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    def warn(self, warning: DataWarning) -> None:
        """Say a warning."""
        self.say(f"warning: {warning}", "data_warning", Level.WARNING, **msgspec.structs.asdict(warning))

    def on_broken_pipe(self) -> None:
        """Print into the void from here on, at the interpreter's end too; rich would end the process."""
        self.quiet = True
        void = os.open(os.devnull, os.O_WRONLY)
        os.dup2(void, sys.stdout.fileno())

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as `Console.print` does, if that is possible."""
        try:
            super().print(*objects, **options)
        except UnicodeEncodeError:  # a character that the terminal does not have costs its line
            pass
        except (OSError, ValueError):  # a terminal that was hung up; a file that was closed
            self.on_broken_pipe()
