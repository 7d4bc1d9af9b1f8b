"""Progress messages while units are compiled."""

import sys
from typing import TextIO

from crosswire.nic.unit.listen import Progress

LINE_S = 5.0  # between two lines, where there is no terminal


class Teller:
    """Says what is being compiled and since when: on a terminal in one line that changes, elsewhere now and then."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.is_terminal = self.stream.isatty()
        self.said_s = -LINE_S
        self.width = 0

    def __call__(self, progress: Progress) -> None:
        """Print how far a compilation has come."""
        is_over = not progress.names
        if is_over:
            text = f"compiled {progress.total} unit{'s' * (progress.total != 1)} in {progress.seconds:.1f} s"
        else:
            where = f"{progress.done} of {progress.total} done, {progress.seconds:.0f} s"
            text = f"compiling {', '.join(progress.names)} ({where})"
        if self.is_terminal:
            self.stream.write(f"\r{text:<{self.width}}" + ("\n" if is_over else ""))
            self.width = len(text)
        elif is_over or progress.seconds - self.said_s >= LINE_S:
            self.stream.write(f"{text}\n")
            self.said_s = progress.seconds
        self.stream.flush()
