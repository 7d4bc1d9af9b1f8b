"""Keys of a configuration that are set for one run: `--set key=value`, by the names that commands to a run have.

    strategy.parameters.threshold_bps=3      strategy.fast.parameters.depth=5      threshold_bps=3
    venue.mine.instrument.BTC-PERPETUAL.limits.order_max=100      limits.underlying.BTC.net_max=1000

Venues, instruments and strategies of a list are found by their names. The value is TOML, or else plain text.
"""

import copy
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from crosswire.engine.adapters import find_adapter
from crosswire.engine.config import ConfigError, RunConfig, StrategyConfig, keys_at, parse_toml
from crosswire.engine.configuration.rewrite import rewritten
from crosswire.venues.errors import VenueError

NEAR_MAX = 3  # names that a line about an unknown one offers
NAMES = ("name", "symbol", "use")  # keys that name a table of a list, the first that is there

Table = dict[str, Any]


@dataclass
class _Walk:
    """A table on the way to a key, and what is known of its keys: those of `kind` at `key`, as `keys_at` has it."""

    setting: str
    table: Table
    kind: type[Any] = RunConfig
    key: str = ""

    def fail(self, said: str) -> ConfigError:
        return ConfigError(f"--set {self.setting}: {said}")

    def unknown(self, name: str, known: Sequence[str]) -> ConfigError:
        near = get_close_matches(name, known, n=NEAR_MAX)
        said = f"did you mean {' or '.join(near)}?" if near else f"known here: {', '.join(known) or 'nothing'}"
        return self.fail(f"there is no {name}; {said}")

    def set(self, rest: str, value: Any) -> None:
        """Set what `rest` names below this table."""
        name, _, below = rest.partition(".")
        if self.kind is StrategyConfig and name == "parameters":
            self._set_inside(self._child("parameters"), below, value)
            return
        feed = self.table.get("feed") if self.kind is RunConfig and self.key.startswith("venue[") else None
        if name == feed and "." not in self.key:
            self.table, self.kind, self.key = self._child(name), self._settings(name), ""
            self.set(below, value)
            return
        known = keys_at(self.kind, self.key)
        if name not in known:
            raise self.unknown(name, sorted(known))
        if not below:
            self.table[name] = value
            return
        inner = f"{self.key}.{name}".removeprefix(".")
        child = self.table.get(name)
        if name == "strategy" and self.kind is RunConfig and not self.key:
            self._set_strategy(child, below, value)
        elif isinstance(child, list):
            place, below = self._named([name_of(each) for each in child], below)
            self.table, self.key = child[place], f"{inner}[{place}]"
            self.set(below, value)
        elif keys_at(self.kind, inner):
            self.table, self.key = self._child(name), inner
            self.set(below, value)
        elif isinstance(child, dict) and keys_at(self.kind, f"{inner}[...]"):
            names = list(child)
            place, below = self._named(names, below)
            self.table, self.key = child[names[place]], f"{inner}[...]"
            self.set(below, value)
        else:
            self._set_inside(child, below, value, name)

    def _set_strategy(self, child: Any, below: str, value: Any) -> None:
        strategies = child if isinstance(child, list) else [child]
        if not strategies or not all(isinstance(each, dict) for each in strategies):
            raise self.fail("the file has no strategy")
        names = [strategy_name(each) for each in strategies]
        if len(strategies) == 1 and below.partition(".")[0] in StrategyConfig.__struct_fields__:
            place = 0
        else:
            place, below = self._named(names, below)
        self.table, self.kind, self.key = strategies[place], StrategyConfig, ""
        self.set(below, value)

    def _set_inside(self, table: Any, below: str, value: Any, name: str = "parameters") -> None:
        """Set a parameter, or a key of a table of one of several kinds; whoever reads that knows which there are."""
        for each in below.split("."):
            if not isinstance(table, dict):
                raise self.fail(f"{name} is no table")
            if not each:
                raise self.fail("names no parameter")
            parent, name = table, each
            table = table.setdefault(each, {})
        parent[name] = value

    def _settings(self, feed: str) -> type[Any]:
        try:
            return find_adapter(feed).settings
        except VenueError as error:
            raise self.fail(str(error)) from None

    def _child(self, name: str) -> Table:
        child = self.table.setdefault(name, {})
        if not isinstance(child, dict):
            raise self.fail(f"{name} is no table")
        return child

    def _named(self, names: list[str], below: str) -> tuple[int, str]:
        """Find which name comes first in a dotted key, where names may have dots themselves, and what is behind it."""
        fitting = [each for each in names if below.startswith(f"{each}.")]
        if not fitting:
            raise self.unknown(below if below in names else below.partition(".")[0], [f"{each}.KEY" for each in names])
        name = max(fitting, key=len)
        return names.index(name), below[len(name) + 1 :]


def name_of(table: Any) -> str:
    """Give the name of a table of a list; "" if it has none."""
    found = [table[key] for key in NAMES if isinstance(table, dict) and table.get(key)]
    return str(found[0]) if found else ""


def strategy_name(table: Table) -> str:
    """Give a strategy's name as reports and commands have it: a strategy without one is called by its class."""
    return str(table.get("name") or str(table.get("use", "")).rpartition(":")[2])


def with_settings(document: Table, settings: Sequence[str]) -> Table:
    """Give a copy of a parsed configuration with some keys set, each "key=value"; a later one wins.

    A name that is no key of a run is a parameter of its only strategy. ConfigError: one line, with the nearest names.
    """
    changed = copy.deepcopy(document)
    for setting in settings:
        name, separator, written = (each.strip() for each in setting.partition("="))
        walk = _Walk(setting, changed)
        if not separator or not all(name.split(".")):
            raise walk.fail("must be KEY=VALUE, as limits.loss_max=500")
        if "." not in name and name not in keys_at(RunConfig, ""):
            strategies = changed.get("strategy")
            if isinstance(strategies, list) and len(strategies) != 1:
                names = ", ".join(f"strategy.{strategy_name(each)}.parameters.{name}" for each in strategies)
                raise walk.fail(f"there are several strategies; write {names}")
            name = f"strategy.parameters.{name}"
        walk.set(name, parse_value(written))
    return changed


def parse_value(written: str) -> Any:
    """Read a value as TOML has it; what is no TOML is text."""
    try:
        parsed = tomllib.loads(f"value = {written}", parse_float=Decimal)
    except tomllib.TOMLDecodeError:
        return written
    return parsed["value"] if len(parsed) == 1 else written


def set_text(text: str, path: Path, settings: Sequence[str]) -> str:
    """Give the configuration that `path` holds with some keys set, its comments kept. ConfigError."""
    return rewritten(text, with_settings(parse_toml(text, path), settings)) if settings else text
