"""What a person reads while units are compiled, and when one of them can't be."""

import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from traceback import extract_tb
from typing import TextIO

from crosswire.engine.config import ConfigError
from crosswire.engine.seat import strategy_unit
from crosswire.nic.unit.build import CompileError, Progress
from crosswire.nic.unit.compile import NO_JIT
from crosswire.nic.unit.source import is_ours, is_own_file, resolved, shown_path
from crosswire.strategies.interface import Strategy

LINE_S = 5.0  # between two lines, where there is no terminal


class Teller:
    """Says what is being compiled and since when: on a terminal in one line that changes, elsewhere now and then."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.is_terminal = self.stream.isatty()
        self.said_s = -LINE_S
        self.width = 0

    def __call__(self, progress: Progress) -> None:
        """Take up what a compilation has come to."""
        is_over = not progress.names
        if is_over:
            text = f"compiled {progress.total} units in {progress.seconds:.1f} s"
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


@contextmanager
def plain_errors(config_path: Path, strategies: Iterable[type[Strategy]]) -> Iterator[None]:
    """Turn what a compiler says of a strategy into a ConfigError of one line, with the strategy's own line."""
    try:
        yield
    except CompileError as error:
        raise ConfigError(f"{config_path}: {plain_compile_error(error, strategies)}") from error


def plain_compile_error(error: CompileError, strategies: Iterable[type[Strategy]]) -> str:
    """One line that says why a unit does not compile, and at which of a strategy's own lines."""
    text = str(error)
    places = [
        (name, line)
        for name, line in re.findall(r'File "([^"]+)", line (\d+)', text)
        if not is_ours(resolved(name)) and is_own_file(resolved(name))
    ]
    place = f" ({places[-1][0]}:{places[-1][1]})" if places else ""
    reasons = [line.strip() for line in text.splitlines() if line.strip() and "Failed in" not in line]
    names = {strategy_unit(cls).name: cls.__qualname__ for cls in strategies}
    what = f"strategy.use: {names[error.unit]}" if error.unit in names else f"unit {error.unit}"
    return f"{what} does not compile: {reasons[0] if reasons else text}{place}"


def plain_fault(error: Exception) -> str:
    """One line that says what the loop raised and where: machine code tells the line itself, Python by its trace."""
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if NO_JIT and error.__traceback__ is not None:
        frames = [frame for frame in extract_tb(error.__traceback__) if Path(frame.filename).name != "load.py"]
        text += f" ({shown_path(frames[-1].filename)}:{frames[-1].lineno})"
    return text.splitlines()[0]
