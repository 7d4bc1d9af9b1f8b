"""Somebody else's package with a venue or a strategy in it, as an installer would leave it, without one."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crosswire.engine.adapters import find_adapter
from crosswire.engine.entry_points import VENUE_GROUP, entry_points


def offer(folder: Path, package: str, things: dict[str, str], group: str = VENUE_GROUP) -> None:
    """Write the metadata of an installed package, whose modules lie in `folder` too."""
    metadata = folder / f"{package}-1.0.dist-info"
    metadata.mkdir()
    lines = [f"{name} = {value}" for name, value in things.items()]
    (metadata / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines, ""]))
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")


@contextmanager
def found_in(folder: Path) -> Iterator[None]:
    """Have this process find what is in `folder`, first of all."""
    modules = set(sys.modules)
    sys.path.insert(0, str(folder))
    entry_points.cache_clear()
    find_adapter.cache_clear()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        entry_points.cache_clear()
        find_adapter.cache_clear()
        for name in set(sys.modules) - modules:
            if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
                del sys.modules[name]
