"""The processes that venues have beside the engine's: a command each, `crosswire <venue> <process> CONFIG`."""

from collections.abc import Callable
from pathlib import Path

from crosswire.engine.config import ConfigError, LogConfig, convert, parse_toml, read_config_text
from crosswire.engine.telemetry.log import logged, saying
from crosswire.venues.adapter import ProcessSetup, VenueProcess


def run_process(process: VenueProcess, name: str, path: Path, tell: Callable[[str], None]) -> None:
    """Run a process until it is told to end by a signal. ConfigError, VenueError: one line.

    Its configuration may have a table [log], as a run's: what it tells then stands in a log, too.
    """
    raw = parse_toml(read_config_text(path), path)
    log_config = convert(raw.pop("log"), LogConfig, f"{path}: log") if "log" in raw else None
    config = convert(raw, process.config, str(path))
    with logged(log_config, path, path.stem, name, tell) as log:
        if log is not None:
            log.start()
        try:
            process.run(config, ProcessSetup(folder=path.parent, tell=saying(tell, log)))
        except ValueError as error:
            raise ConfigError(f"{path}: {error}") from None
