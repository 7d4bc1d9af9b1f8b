"""The venues that are installed: found by their entry points, imported only when they are asked for."""

import importlib
import sys
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from crosswire.venues.errors import VenueError, one_line

if TYPE_CHECKING:
    from crosswire.venues.adapter import Adapter

GROUP = "crosswire.venues"
OWN_PACKAGE = "crosswire"


@dataclass(frozen=True)
class EntryPoint:
    """Where a package says that its adapter is."""

    name: str
    value: str  # "package.module:NAME"
    package: str
    rival: str = ""  # another package that offers a venue of this name


@cache
def entry_points() -> dict[str, EntryPoint]:
    """Find every installed adapter by name. If a package is installed twice, keep the one that would be imported.

    `importlib.metadata` finds the same, but importing it takes longer (30 to 50 ms) than the rest of reading a
    configuration.
    """
    found: dict[str, EntryPoint] = {}
    for folder in dict.fromkeys(sys.path):
        for path in sorted(Path(folder or ".").glob("*.*-info/entry_points.txt")):
            for entry in read_entry_points(path):
                first = found.setdefault(entry.name, entry)
                if first.package != entry.package:
                    found[entry.name] = replace(first, rival=entry.package)
    return dict(sorted(found.items()))


def read_entry_points(path: Path) -> list[EntryPoint]:
    """Read the adapters that one package offers."""
    package = path.parent.name.rpartition(".")[0].partition("-")[0]
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return []  # another package's file, which is not ours to report
    entries = []
    section = ""
    for line in map(str.strip, lines):
        if line.startswith("["):
            section = line.strip("[] ")
        elif section == GROUP and "=" in line and not line.startswith("#"):
            name, _, value = (part.strip() for part in line.partition("="))
            entries.append(EntryPoint(name, value, package))
    return entries


@cache
def find_adapter(name: str) -> "Adapter":
    """Import the adapter of this name.

    VenueError lists the known names if there is no such adapter, and names the package if that is broken.
    """
    from crosswire.venues.adapter import Adapter  # slow to import; `crosswire --help` does not need it

    entry = entry_points().get(name)
    if entry is None:
        raise VenueError(f"unknown venue {name}; known are {', '.join(entry_points()) or 'none'}")
    if entry.rival:
        raise VenueError(f"venue {name} is offered by two packages, {entry.package} and {entry.rival}: remove one")
    where = f"venue {name} of package {entry.package} ({entry.value})"
    module_name, _, member = entry.value.partition(":")
    try:
        adapter = getattr(importlib.import_module(module_name), member)
    except Exception as error:  # whatever another's module does when it is imported
        raise VenueError(f"{where} can't be loaded: {one_line(error)}") from None
    if not isinstance(adapter, Adapter):
        raise VenueError(f"{where} is no Adapter but a {type(adapter).__name__}")
    if adapter.name != name:
        raise VenueError(f"{where} calls itself {adapter.name}")
    if not adapter.order_entries:
        raise VenueError(f"{where} has no order entry")
    return adapter
