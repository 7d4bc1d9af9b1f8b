"""What a set's result hangs on beside its settings: Crosswire's sources, the strategies' files, the captures."""

import functools
import hashlib
import inspect
from importlib.metadata import version
from pathlib import Path

from crosswire.engine.captures import venue_captures
from crosswire.engine.config import parse_config
from crosswire.engine.plugin import begin_run, find_strategy_class
from crosswire.nic.unit import source
from crosswire.nic.unit.source import FOLDERS, PACKAGE_FOLDER
from crosswire.strategies.interface import Strategy

ENDS_BYTES = 65_536  # of a capture, at its beginning and its end: all of it would take as long as a run
LIBRARIES = ("numba", "numpy", "llvmlite")


@functools.cache
def source_digest() -> str:
    """Digest all of Crosswire's sources, and the versions of what compiles them."""
    digest = hashlib.sha256(" ".join(f"{name}={version(name)}" for name in LIBRARIES).encode())
    for folder in FOLDERS:
        for path in sorted((PACKAGE_FOLDER / folder).rglob("*.py")):
            digest.update(f"\n{path.relative_to(PACKAGE_FOLDER)}\n".encode() + path.read_bytes())
    return digest.hexdigest()


@functools.lru_cache(maxsize=4096)
def release_digest(config_text: str, config_path: Path) -> str:
    """Digest everything but the settings that a result hangs on. ConfigError, also of a capture that is not there."""
    config = parse_config(config_text, config_path)
    digest = hashlib.sha256(source_digest().encode())
    begin_run()
    for strategy in config.strategies:
        cls = find_strategy_class(strategy.use, config_path.parent, str(config_path))
        for path in strategy_files(cls, strategy.use):
            digest.update(path.read_bytes())
    for venue in config.venue:
        for path in venue_captures(venue, config_path) if venue.captures else ():
            digest.update(_ends_of(path))
    return digest.hexdigest()[:16]


def strategy_files(cls: type[Strategy], use: str) -> list[Path]:
    """List the files that a strategy is made from and that are not Crosswire's own, by what found it.

    Of one in a file what lies beside it counts, too, as its own helpers do, whether they are imported yet or not.
    """
    found = {path for path in source.closure(source.modules_of_class(cls)).values() if not source.is_ours(path)}
    if use.rpartition(":")[0].endswith(".py"):
        found.update(source.resolved(inspect.getfile(cls)).parent.glob("*.py"))
    return sorted(found)


@functools.lru_cache(maxsize=4096)
def _ends_of(path: Path) -> bytes:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        begin = file.read(ENDS_BYTES)
        file.seek(max(0, size - ENDS_BYTES))
        return hashlib.sha256(f"{size}".encode() + begin + file.read(ENDS_BYTES)).digest()
