"""What a set's result hangs on beside its settings: Crosswire's sources, the strategies' files, the captures."""

import functools
import hashlib
from importlib.metadata import version
from pathlib import Path

from crosswire.engine.captures import is_there
from crosswire.engine.config import RunConfig, parse_config
from crosswire.engine.paths import named_path
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
    """Digest everything but the settings that a result hangs on. ConfigError. What is missing counts as missing."""
    config = parse_config(config_text, config_path)
    digest = hashlib.sha256(source_digest().encode())
    root = config_path.parent
    for strategy in config.strategies:
        file = root / strategy.use.partition(":")[0]
        if file.suffix == ".py" and file.is_file():
            digest.update(file.read_bytes())
    for path in _captures(config, root):
        digest.update(_ends_of(path))
    return digest.hexdigest()[:16]


def _captures(config: RunConfig, root: Path) -> list[Path]:
    names = [capture for venue in config.venue for capture in venue.captures]
    return [path for name in names if is_there(root, name) and (path := named_path(root, name)).is_file()]


@functools.lru_cache(maxsize=4096)
def _ends_of(path: Path) -> bytes:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        begin = file.read(ENDS_BYTES)
        file.seek(max(0, size - ENDS_BYTES))
        return hashlib.sha256(f"{size}".encode() + begin + file.read(ENDS_BYTES)).digest()
