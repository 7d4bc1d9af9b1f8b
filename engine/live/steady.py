"""A console that ends nothing: to a terminal that is gone, or a pipe that nobody reads, it prints no more."""

import os
import sys
from typing import Any

from rich.console import Console


class SteadyConsole(Console):
    """While orders are out, whether somebody reads what is printed does not matter."""

    def __init__(self, other: Console) -> None:
        """Print where `other` prints."""
        super().__init__(file=other.file, width=other.width)

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
