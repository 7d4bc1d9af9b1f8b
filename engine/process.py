"""The processes that venues have beside the engine's: a command each, `crosswire <venue> <process> CONFIG`."""

from collections.abc import Callable
from pathlib import Path

from crosswire.engine.config import ConfigError, convert, parse_toml, read_config_text
from crosswire.venues.adapter import ProcessSetup, VenueProcess


def run_process(process: VenueProcess, path: Path, tell: Callable[[str], None]) -> None:
    """Run a process until it is told to end by a signal. ConfigError, VenueError: one line."""
    config = convert(parse_toml(read_config_text(path), path), process.config, str(path))
    try:
        process.run(config, ProcessSetup(folder=path.parent, tell=tell))
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from None
