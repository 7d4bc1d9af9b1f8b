"""What a person reads when a unit can't be compiled, or fails."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from traceback import extract_tb

from crosswire.engine.checking.words import places_in, plain_reason
from crosswire.engine.config import ConfigError
from crosswire.engine.errors import LoopError
from crosswire.engine.seat import strategy_unit
from crosswire.nic.unit.build import CompileError
from crosswire.nic.unit.compile import NO_JIT
from crosswire.nic.unit.source import is_ours, is_own_file, resolved, shown_path
from crosswire.strategies.interface import Strategy
from crosswire.venues.errors import one_line


@contextmanager
def plain_errors(config_path: Path, strategies: Iterable[type[Strategy]]) -> Iterator[None]:
    """Turn a compiler's message about a strategy into a ConfigError of one line, with the strategy's own line."""
    try:
        yield
    except CompileError as error:
        raise ConfigError(f"{config_path}: {plain_compile_error(error, strategies)}") from error


def plain_compile_error(error: CompileError, strategies: Iterable[type[Strategy]]) -> str:
    """Say in one line why a unit does not compile, and at which of a strategy's own lines."""
    text = str(error)
    places = [
        (name, line) for name, line in places_in(text) if not is_ours(resolved(name)) and is_own_file(resolved(name))
    ]
    place = f" ({places[0][0]}:{places[0][1]})" if places else ""
    names = {strategy_unit(cls).name: cls.__qualname__ for cls in strategies}
    what = f"strategy.use: {names[error.unit]}" if error.unit in names else f"unit {error.unit}"
    return f"{what} does not compile: {plain_reason(text)}{place}"


@contextmanager
def plain_faults(config_path: Path) -> Iterator[None]:
    """Turn what machine code raises into a LoopError of one line."""
    try:
        yield
    except Exception as error:
        raise LoopError(f"{config_path}: {plain_fault(error)}") from error


def plain_fault(error: Exception) -> str:
    """Say in one line what the loop raised and where: machine code names the line itself, Python by its traceback."""
    text = one_line(error)
    if NO_JIT and error.__traceback__ is not None:
        frames = [frame for frame in extract_tb(error.__traceback__) if Path(frame.filename).name != "load.py"]
        text += f" ({shown_path(frames[-1].filename)}:{frames[-1].lineno})"
    return text
