"""Who calls which unit: addresses of entries, put into structs once all units of a run are known.

So that they are compiled side by side, nothing is loaded while structs are still being made.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from crosswire.nic.memory.struct import Struct
from crosswire.nic.unit.unit import Unit, load_units


@dataclass(frozen=True)
class Link:
    """A field that is to hold the address of a unit's entry."""

    struct: Struct
    name: str
    unit: Unit
    entry: str


@dataclass
class Linker:
    """Links that wait for their units."""

    links: list[Link] = field(default_factory=list)
    wanted: list[Unit] = field(default_factory=list)  # that nothing is linked to, but Python will call

    def link(self, struct: Struct, name: str, unit: Unit, entry: str) -> None:
        """Have the address of `entry` put into a field."""
        self.links.append(Link(struct, name, unit, entry))

    def link_all(self, entries: Struct, unit: Unit) -> None:
        """Have every field of `entries` that has the name of an entry hold its address."""
        names = {entry.name for entry in unit.entries}
        for name in type(entries).fields:
            if name in names:
                self.link(entries, name, unit, name)

    def want(self, units: Iterable[Unit]) -> None:
        """Have units compiled side by side with the others, for Python to call later."""
        self.wanted.extend(units)

    def load(self) -> None:
        """Load all units, compiling what is not on disk, and set the fields. As `load_units`."""
        units = list(dict.fromkeys([*(link.unit for link in self.links), *self.wanted]))
        loaded = dict(zip(units, load_units(units), strict=True))
        for link in self.links:
            setattr(link.struct, link.name, loaded[link.unit].addresses[link.entry])
        self.links.clear()
        self.wanted.clear()
