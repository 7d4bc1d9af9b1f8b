"""`crosswire bridge`: the processes that venues put between an exchange's web interfaces and the engine."""

from collections.abc import Callable
from pathlib import Path

from crosswire.engine.adapters import entry_points, find_adapter
from crosswire.engine.config import ConfigError, convert, parse_toml, read_config_text
from crosswire.venues.adapter import BridgeProcess, BridgeSetup


def find_bridge(name: str) -> BridgeProcess:
    """Find the bridge of an exchange among the installed venues'. ConfigError: there is none."""
    found = {key: bridge for venue in entry_points() for key, bridge in find_adapter(venue).bridges.items()}
    if name not in found:
        raise ConfigError(f"bridge {name}: no such bridge, there is {', '.join(sorted(found)) or 'none'}")
    return found[name]


def run_bridge(name: str, path: Path, tell: Callable[[str], None]) -> None:
    """Run a bridge until it is told to end by a signal. ConfigError, VenueError: one line."""
    bridge = find_bridge(name)
    config = convert(parse_toml(read_config_text(path), path), bridge.config, str(path))
    try:
        bridge.run(config, BridgeSetup(folder=path.parent, tell=tell))
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from None
