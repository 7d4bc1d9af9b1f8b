"""All that is wrong with a configuration at once, each with its line and what to write instead.

A run stops at the first mistake, which `engine/config.py` names. Here every table is looked at by itself, by the same
structs, so that nothing hides behind another mistake; what concerns several keys, once each of them is right.
"""

import copy
import re
import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from crosswire.engine.adapters import find_adapter
from crosswire.engine.build.limits import set_limits
from crosswire.engine.build.market import make_market
from crosswire.engine.build.run import build_core
from crosswire.engine.checking.check import CodeError
from crosswire.engine.config import (
    ConfigError,
    Mistake,
    RunConfig,
    mistakes_of,
    parse_toml,
    settle_config,
    wrong_version,
)
from crosswire.engine.configuration.places import Key, find_places, key_text, line_of
from crosswire.engine.configuration.renamed import NEW_NAMES
from crosswire.engine.configuration.settings import with_settings
from crosswire.engine.errors import KNOWN_ERRORS
from crosswire.engine.plugin import load_strategy_class
from crosswire.risk.limits import make_gate
from crosswire.strategies.interface import parameters_of
from crosswire.strategies.parameters import out_of_range
from crosswire.venues.errors import VenueError

EXAMPLES = {
    int: "a whole number, as 100",
    float: "a number, as 0.5",
    Decimal: "a number, as 0.5",
    bool: "true or false",
    str: 'text in quotes, as "text"',
    datetime: "a time, as 2026-12-25T08:00:00Z",
    list: "a list, as [...]",
    dict: "a table, as { ... }",
}


@dataclass
class _Search:
    """The mistakes found so far, and the tables that have none."""

    mistakes: list[Mistake] = field(default_factory=list)

    def look(self, raw: Any, kind: Any, key: Key) -> bool:
        """Note what is wrong with `raw` as a `kind`, and say whether nothing is."""
        before = len(self.mistakes)
        declared, kind = kind, _bare(kind)  # a range is declared beside its kind
        chosen = _choose(raw, kind)
        if isinstance(raw, dict) and _is_struct(chosen):
            self.look_at_table(raw, chosen, key)
        elif isinstance(raw, dict) and get_origin(chosen) is dict:
            for name, value in raw.items():
                self.look(value, get_args(chosen)[1], (*key, name))
        elif isinstance(raw, list) and get_origin(chosen) is list:
            for number, value in enumerate(raw):
                self.look(value, get_args(chosen)[0], (*key, number))
        if len(self.mistakes) == before:
            self.look_whole(raw, declared, key)
        return len(self.mistakes) == before

    def look_at_table(self, table: dict[str, Any], kind: type[msgspec.Struct], key: Key) -> None:
        fields = {each.encode_name: each for each in msgspec.structs.fields(kind)}
        tag = kind.__struct_config__.tag_field
        for name in table:
            if name not in fields and name != tag:
                self.note((*key, name), f"there is no such key; {_known(name, set(fields))}")
        for name, each in fields.items():
            if name in table:
                self.look(table[name], each.type, (*key, name))
            elif each.required:
                self.note((*key, name), f"is missing; write {name} = {_wanted(_bare(each.type))}")

    def look_whole(self, raw: Any, kind: Any, key: Key) -> None:
        try:
            msgspec.convert(raw, kind, strict=True)
        except msgspec.ValidationError as error:
            message = str(error).partition(" - at `")[0]
            expected = message.startswith("Expected")
            instead = f"; write {_wanted(kind)}" if expected or message.startswith("Invalid enum") else ""
            self.note(key, f"{_shown(raw)}{message[:1].lower()}{message[1:]}{instead}")

    def note(self, key: Key, what: str) -> None:
        separator = " " if what.startswith("= ") else ": "
        self.mistakes.append(Mistake(key, f"{key_text(key) or 'top level'}{separator}{what}"))


def _bare(kind: Any) -> Any:
    """Leave out what is declared of a kind beside it."""
    return _bare(get_args(kind)[0]) if get_origin(kind) is Annotated else kind


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _choose(raw: Any, kind: Any) -> Any:
    """Of several kinds that a value may have, the one that it is to be looked at as."""
    if get_origin(kind) not in (Union, types.UnionType):
        return kind
    fitting = [
        each
        for each in get_args(kind)
        if (isinstance(raw, dict) and (_is_struct(each) or get_origin(each) is dict))
        or (isinstance(raw, list) and get_origin(each) is list)
    ]
    return fitting[0] if len(fitting) == 1 else kind


def _shown(raw: Any) -> str:
    if isinstance(raw, dict | list):
        return ""
    text = str(raw).lower() if isinstance(raw, bool) else f'"{raw}"' if isinstance(raw, str) else str(raw)
    return f"= {text}: "


def _known(name: str, fields: set[str]) -> str:
    if (new := NEW_NAMES.get(name)) in fields:
        return f"it is called {new}: `crosswire config migrate` renames it"
    near = get_close_matches(name, sorted(fields), n=1)
    return f"write {near[0]}" if near else f"known here: {', '.join(sorted(fields))}"


def _wanted(kind: Any) -> str:
    """Say how a value of a kind is written."""
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_wanted(each) for each in get_args(kind) if each is not type(None)))
    if origin is Literal:
        return " or ".join(f'"{each}"' for each in get_args(kind))
    if hasattr(kind, "__metadata__"):
        bounds = [
            f"{sign} {getattr(meta, name)}"
            for meta in kind.__metadata__
            for name, sign in _BOUNDS
            if getattr(meta, name, None) is not None
        ]
        wanted = _wanted(get_args(kind)[0])
        return f"{wanted}, {' '.join(bounds)}" if bounds else wanted
    if _is_struct(kind):
        return EXAMPLES[dict]
    return EXAMPLES.get(origin or kind, "a value")


_BOUNDS = (("ge", "from"), ("gt", "above"), ("le", "up to"), ("lt", "below"))


def find_mistakes(raw: dict[str, Any], path: Path) -> list[Mistake]:
    """Find all that is wrong with a configuration as parsed, of the file `path`."""
    if wrong := wrong_version(raw):
        return [wrong]
    search = _Search()
    venues = raw.get("venue")
    for number, venue in enumerate(venues if isinstance(venues, list) else []):
        if isinstance(venue, dict):
            _look_at_own_table(search, venue, ("venue", number))
    search.look(without_own_tables(raw), RunConfig, ())
    for key, strategy in _strategies(raw):
        _look_at_parameters(search, strategy, key, path)
    if search.mistakes:
        return search.mistakes
    try:
        config = settle_config(copy.deepcopy(raw), path)
    except ConfigError as error:
        return [Mistake((), str(error).removeprefix(f"{path}: "))]
    return list(mistakes_of(config)) or list(_wrong_when_built(config, path))


def check_text(text: str, path: Path, settings: Sequence[str] = ()) -> list[str]:
    """Say all that is wrong with what the file `path` holds: "file:line: key: what; what to write instead".

    With `settings` as if those keys were set in it. ConfigError: one of them can't be.
    """
    try:
        raw = parse_toml(text, path)
    except ConfigError as error:
        found = re.search(r"line (\d+)", str(error))
        line = int(found[1]) if found else text.count("\n") + 1
        return [f"{path}:{line}: {str(error).removeprefix(f'{path}: ')}"]
    places = find_places(text)
    mistakes = find_mistakes(with_settings(raw, settings), path)
    found_lines = [(line_of(places, each.key), each.said) for each in mistakes]
    return [f"{path}:{line}: {said}" for line, said in sorted(found_lines, key=lambda each: each[0])]


def without_own_tables(raw: dict[str, Any]) -> dict[str, Any]:
    """Leave out each venue's own table, whose keys only its adapter knows."""
    venues = raw.get("venue")
    if not isinstance(venues, list):
        return raw
    return raw | {
        "venue": [
            {key: value for key, value in venue.items() if key != venue.get("feed")}
            if isinstance(venue, dict)
            else venue
            for venue in venues
        ]
    }


def _look_at_own_table(search: _Search, venue: dict[str, Any], key: Key) -> None:
    feed = venue.get("feed")
    if not isinstance(feed, str):
        return
    try:
        settings = find_adapter(feed).settings
    except VenueError as error:
        search.note((*key, "feed"), f"= {feed}: {error}")
        return
    search.look(venue.get(feed, {}), settings, (*key, feed))


def _strategies(raw: dict[str, Any]) -> list[tuple[Key, dict[str, Any]]]:
    """List the strategies' tables, with the key of each."""
    strategy = raw.get("strategy")
    if isinstance(strategy, list):
        return [(("strategy", number), each) for number, each in enumerate(strategy) if isinstance(each, dict)]
    return [(("strategy",), strategy)] if isinstance(strategy, dict) else []


def _look_at_parameters(search: _Search, strategy: dict[str, Any], key: Key, path: Path) -> None:
    """Look at what only the strategy's own class knows: its parameters."""
    use, parameters = strategy.get("use"), strategy.get("parameters", {})
    if not isinstance(use, str):
        return
    try:
        kind = parameters_of(load_strategy_class(use, path.parent, str(path)))
    except CodeError as error:
        search.mistakes += [Mistake((*key, "use"), f"strategy.use: {each.text()}") for each in error.mistakes]
        return
    except (ConfigError, TypeError) as error:
        search.mistakes.append(Mistake((*key, "use"), str(error).removeprefix(f"{path}: ")))
        return
    if search.look(parameters, kind, (*key, "parameters")):
        for name, said in out_of_range(msgspec.convert(parameters, kind, strict=True)):
            place = (*key, "parameters", name)
            search.mistakes.append(Mistake(place, f"{key_text(place[:-1])}.{said}"))


def _wrong_when_built(config: RunConfig, path: Path) -> Iterator[Mistake]:
    """Say what contradicts itself: all limits, then the first of what else building the run refuses."""
    wrong: list[Exception] = []
    try:
        market, underlyings = make_market(config)
        wrong += set_limits(make_gate(market, config.limits, underlyings), market, config, underlyings)
        if not wrong:
            build_core(config, path)
    except KNOWN_ERRORS as error:
        wrong.append(error)
    for each in wrong:
        said = str(each).removeprefix(f"{path}: ")
        yield Mistake(_key_named_in(said, config), said)


def _key_named_in(said: str, config: RunConfig) -> Key:
    """Find the table that a line about a configuration is about, by the names in it."""
    for number, venue in enumerate(config.venue):
        for place, instrument in enumerate(venue.instrument):
            if f"{venue.name}/{instrument.symbol}" in said:
                key: Key = ("venue", number, "instrument", place)
                return (*key, *_names_in(said))
        if re.search(rf"venue {re.escape(venue.name)}\b", said):
            return ("venue", number, *_names_in(said))
    return _names_in(said)


def _names_in(said: str) -> Key:
    """Read the dotted key that stands first in a line: limits.underlying.BTC.net_max."""
    found = re.search(r"\[?([a-z_0-9]+(?:\.\w+)+|[a-z]+_[a-z_]+|limits|strategy)\b", said)
    return tuple(found[1].split(".")) if found else ()
