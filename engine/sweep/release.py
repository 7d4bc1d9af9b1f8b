"""What a set's result hangs on beside its settings: Crosswire's sources, the strategies' files, the captures."""

import functools
import hashlib
from importlib.metadata import version
from pathlib import Path

from crosswire.engine.captures import venue_captures
from crosswire.engine.config import parse_config
from crosswire.nic.unit.source import FOLDERS, PACKAGE_FOLDER

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
    for strategy in config.strategies:
        file = config_path.parent / strategy.use.partition(":")[0]
        # And what lies beside it, as a strategy's own helpers do.
        for path in sorted(file.parent.glob("*.py")) if file.suffix == ".py" else ():
            digest.update(path.read_bytes())
    for venue in config.venue:
        for path in venue_captures(venue, config_path) if venue.captures else ():
            digest.update(_ends_of(path))
    return digest.hexdigest()[:16]


@functools.lru_cache(maxsize=4096)
def _ends_of(path: Path) -> bytes:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        begin = file.read(ENDS_BYTES)
        file.seek(max(0, size - ENDS_BYTES))
        return hashlib.sha256(f"{size}".encode() + begin + file.read(ENDS_BYTES)).digest()
