"""The venues that are installed: found by their entry points, imported only when they are asked for."""

import importlib
from functools import cache
from typing import TYPE_CHECKING

from crosswire.engine.entry_points import VENUE_GROUP, entry_points
from crosswire.venues.errors import VenueError, one_line

if TYPE_CHECKING:
    from crosswire.venues.adapter import Adapter

OWN_PACKAGE = "crosswire"


@cache
def find_adapter(name: str) -> "Adapter":
    """Import the adapter of this name.

    VenueError lists the known names if there is no such adapter, and names the package if that is broken.
    """
    from crosswire.venues.adapter import Adapter  # slow to import; `crosswire --help` does not need it

    entry = entry_points(VENUE_GROUP).get(name)
    if entry is None:
        raise VenueError(f"unknown venue {name}; known are {', '.join(entry_points(VENUE_GROUP)) or 'none'}")
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
    if adapter.read_funding and adapter.funding_message not in {message.name for message in adapter.wire.messages}:
        raise VenueError(f"{where} reads funding, but its wire has no {adapter.funding_message!r} (funding_message)")
    return adapter
