"""What of a run's configuration its report shows beside the figures: thresholds, parameters, latencies."""

import tomllib
from collections.abc import Mapping
from typing import Any

THRESHOLDS = ("threshold_bps", "close_threshold_bps")  # of a strategy: edge after taker fees of both legs

Rows = list[tuple[str, str, str, str]]
Units = Mapping[str, Mapping[str, str]]  # of parameters, by a strategy's name


def read_config(config_text: str) -> dict[str, Any]:
    """Read a configuration that was one when the run began; empty if it is none, as in a journal that was damaged."""
    try:
        return tomllib.loads(config_text)
    except tomllib.TOMLDecodeError:
        return {}


def strategies_of(config: dict[str, Any]) -> list[dict[str, Any]]:
    """List the strategies' tables, whether there is one or several."""
    found = config.get("strategy", [])
    return [each for each in (found if isinstance(found, list) else [found]) if isinstance(each, dict)]


def thresholds_bps(config: dict[str, Any], instruments: tuple[str, str]) -> dict[str, float]:
    """Find the thresholds at which the strategies trade a pair, by key; of several strategies the lowest."""
    found: dict[str, float] = {}
    for strategy in strategies_of(config):
        parameters = strategy.get("parameters", {})
        if not set(instruments) <= set(parameters.get("instruments", instruments)):
            continue
        for key in THRESHOLDS:
            value = parameters.get(key)
            if isinstance(value, int | float):
                found[key] = min(found.get(key, float(value)), float(value))
    return found


def parameter_rows(config: dict[str, Any], units: Units) -> Rows:
    """List (strategy or venue, key, value, unit) of all parameters, and of how each venue is simulated."""
    rows: Rows = []
    for strategy in strategies_of(config):
        name = str(strategy.get("name") or strategy.get("use", ""))
        own = units.get(name.rpartition(":")[2], {})
        rows += [(name, key, _shown(value), own.get(key, "")) for key, value in strategy.get("parameters", {}).items()]
    for venue in config.get("venue", []):
        rows += _flat(str(venue.get("name", "")), "simulation", venue.get("simulation", {}))
    return rows


def _flat(name: str, path: str, value: Any) -> Rows:
    """List what is under a key, one row for each value; tables within tables get a dotted key."""
    if not isinstance(value, dict):
        return [(name, path, _shown(value), "")]
    return [row for key, each in value.items() for row in _flat(name, f"{path}.{key}", each)]


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
