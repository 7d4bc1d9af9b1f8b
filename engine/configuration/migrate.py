"""Bring a configuration from an older version to the newest: its text is edited, so that comments and order stay.

Each version has one step to the next. What a step can't know, as a limit that did not exist, it leaves:
`engine/configuration/check.py` then says what is missing.
"""

import os
import shutil
import tempfile
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from crosswire.engine.adapters import find_adapter
from crosswire.engine.config import ConfigError, parse_toml, read_config_text, wrong_version
from crosswire.engine.configuration.places import Key, Place, find_places, key_text
from crosswire.engine.configuration.renamed import renamed
from crosswire.engine.plugin import BUILT_IN
from crosswire.venues.errors import VenueError

BACKUPS_MAX = 100


@dataclass(frozen=True)
class Edit:
    """A span of the text to be replaced; `said` is one line for a person, with the line it stands on."""

    begin: int
    end: int
    text: str
    line: int
    said: str


@dataclass(frozen=True)
class Migrated:
    """What a configuration becomes, and what was done to it, by line of the text before each step."""

    text: str
    changes: list[str] = field(default_factory=list)


Step = Callable[[str], list[Edit]]


def to_version_1(text: str) -> list[Edit]:
    """Rename keys, give each latency its model, and put the simulated market where its venue's settings are."""
    raw, places = tomllib.loads(text), find_places(text)
    edits: list[Edit] = []
    for key, place in places.items():
        if not isinstance(key[-1], str):
            continue
        table = tuple(each for each in key[:-1] if isinstance(each, str))
        new = renamed(table, key[-1])
        if new and (table[0] != "strategy" or _value(raw, key[:-2]).get("use") in BUILT_IN):
            if (*key[:-1], new) in places:
                raise ConfigError(f"{key_text(key)}, on line {place.line}, is called {new} now, which is there as well")
            edits.append(Edit(*place.name, new, place.line, f"{key_text(key)} is called {new}"))
        elif table == ("venue", "simulation") and key[-1].endswith("_latency_us") and place.value is not None:
            edits += _to_model(text, key, place)
        elif table[:2] == ("venue", "simulation") and (*table, key[-1])[2:3] == ("market",) and place.value is None:
            edits += _to_own_table(text, raw, key, place)
        elif (table[:1], key[-1]) == (("venue",), "retransmit") and place.value is not None:
            feed = str(_value(raw, key[:2]).get("feed"))
            if table[1:] == (feed,) and not _has_setting(feed, "retransmit"):
                edits.append(_leave_out(text, key, place))
    return edits


def _to_model(text: str, key: Key, place: Place) -> list[Edit]:
    name = str(key[-1]).removesuffix("_us")
    assert place.value is not None
    model = f'{{ model = "constant", us = {text[slice(*place.value)]} }}'
    said = f"{key_text(key)} is {name} = {model}"
    return [Edit(*place.name, name, place.line, said), Edit(*place.value, model, place.line, "")]


def _to_own_table(text: str, raw: dict[str, Any], key: Key, place: Place) -> list[Edit]:
    """Have a header [venue.simulation.market], or one below it, name the venue's own table."""
    feed = str(_value(raw, key[:2]).get("feed"))
    begin = text.rfind("\n", 0, place.name[0]) + 1
    at = text.find("simulation", begin, place.name[0])
    if not _has_setting(feed, "market") or at < 0 or text[begin:].lstrip()[:1] != "[":
        return []
    said = f"{key_text(key)} is in the venue's own table, {feed}"
    return [Edit(at, at + len("simulation"), feed, place.line, said)]


def _has_setting(feed: str, key: str) -> bool:
    """Tell whether a kind of venue has a key of its own; one that is not installed has none."""
    try:
        settings = find_adapter(feed).settings
    except VenueError:
        return False
    return key in [each.encode_name for each in msgspec.structs.fields(settings)]


def _leave_out(text: str, key: Key, place: Place) -> Edit:
    assert place.value is not None
    begin = text.rfind("\n", 0, place.name[0]) + 1
    end = text.find("\n", place.value[1]) + 1 or len(text)
    return Edit(begin, end, "", place.line, f"{key_text(key)} is left out: nothing reads it")


def _value(raw: Any, key: Key) -> dict[str, Any]:
    for each in key:
        raw = raw[each]
    return raw if isinstance(raw, dict) else {}


STEPS: Sequence[Step] = (to_version_1,)  # from the version of its place to the next


def migrate(text: str, path: Path, steps: Sequence[Step] = STEPS) -> Migrated:
    """Bring what the file `path` holds to the newest version. ConfigError: it is no TOML, or newer than we know.

    A file without a version is of version 1 unless it has keys from before.
    """
    raw = parse_toml(text, path)
    newest = len(steps)
    if wrong := wrong_version(raw, newest):
        raise ConfigError(f"{path}: {wrong.said}")
    changes: list[str] = []
    for number in range(raw.get("version", 0), newest):
        try:
            edits = steps[number](text)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from None
        if edits or number > 0:
            edits.append(_set_version(text, number + 1))
        for edit in sorted(edits, key=lambda each: each.begin, reverse=True):
            text = text[: edit.begin] + edit.text + text[edit.end :]
        changes += [
            f"{path}:{each.line}: {each.said}" for each in sorted(edits, key=lambda each: each.begin) if each.said
        ]
    return Migrated(text, changes)


def _set_version(text: str, version: int) -> Edit:
    places = find_places(text)
    written = places.get(("version",))
    if written is not None and written.value is not None:
        return Edit(*written.value, str(version), written.line, f"version = {version}")
    first = min(places.values(), key=lambda place: place.name[0])
    begin = text.rfind("\n", 0, first.name[0]) + 1
    space = "" if first.value is not None else "\n"
    return Edit(begin, begin, f"version = {version}\n{space}", first.line, f"version = {version}")


def migrate_file(path: Path, *, write: bool) -> tuple[Migrated, Path | None]:
    """Migrate a file, and where `write` says so replace it at once; return also where the old one is kept.

    ConfigError, OSError: nothing is changed.
    """
    path = path.resolve()
    migrated = migrate(read_config_text(path), path)
    if not write or not migrated.changes:
        return migrated, None
    backup = _copy_aside(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(migrated.text)
            file.flush()
            os.fsync(file.fileno())
        shutil.copystat(path, name)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
    return migrated, backup


def _copy_aside(path: Path) -> Path:
    """Copy a file beside itself under a name that is free: an earlier copy is never overwritten."""
    for number in range(1, BACKUPS_MAX + 1):
        backup = path.with_name(f"{path.name}.before{'' if number == 1 else f'-{number}'}")
        try:
            with backup.open("xb") as copy:
                copy.write(path.read_bytes())
        except FileExistsError:
            continue
        shutil.copystat(path, backup)
        return backup
    raise ConfigError(f"{path}: {BACKUPS_MAX} copies of earlier ones are beside it: remove some")
