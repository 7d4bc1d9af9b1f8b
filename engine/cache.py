"""The compiled loop, kept on disk between runs under a key that covers everything it was made from.

numba's own cache looks only at the file of the cached function: an edit to a decoder or a plugin in another file would
silently run the OLD machine code. Here the cache folder is named by a digest of every source file that takes part, the
plugin's included, of the versions that compile it and of the processor it is for.
"""

import hashlib
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding
import numba
import numba.core.config
import numpy as np

from crosswire.nic.unit.compile import JIT_OPTIONS, NO_JIT, on_disk

PACKAGES = ("nic", "venues", "risk", "strategies", "engine")
DIGEST_LETTERS = 24
FOLDERS_MAX = 16  # compiled loops kept; the longest unused goes first


def cache_root() -> Path:
    """Where compiled loops are kept: loops/ in $CROSSWIRE_CACHE, or in crosswire/ of the user's cache folder."""
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("CROSSWIRE_CACHE") or user / "crosswire") / "loops"


def source_digest(plugins: Iterable[Path] = ()) -> str:
    """Digest of all that the machine code depends on."""
    digest = hashlib.sha256()
    facts = (
        sys.version,
        numba.__version__,
        llvmlite.__version__,
        np.__version__,
        platform.machine(),
        llvmlite.binding.get_host_cpu_name(),
        llvmlite.binding.get_host_cpu_features().flatten(),
    )
    digest.update(repr(facts).encode())
    project = Path(__file__).resolve().parent.parent
    own = sorted(path for package in PACKAGES for path in (project / package).rglob("*.py"))
    for path in [*own, *sorted(plugins)]:
        content = path.read_bytes()
        digest.update(f"{path}:{len(content)}:".encode())
        digest.update(content)
    return digest.hexdigest()[:DIGEST_LETTERS]


def keep_compiled(plugins: Iterable[Path] = ()) -> None:
    """From here on keep on disk, and take from there, what this process compiles for calls from Python."""
    if NO_JIT:
        return
    folder = cache_root() / source_digest(plugins)
    folder.mkdir(parents=True, exist_ok=True)
    os.utime(folder)
    _remove_oldest(folder.parent)
    # Read when a dispatcher's caching is enabled, so it must be set before.
    numba.core.config.CACHE_DIR = str(folder)
    on_disk.set()


def compile_cached(function: Callable[..., Any], plugins: Iterable[Path] = ()) -> Callable[..., Any]:
    """`function` compiled, with the machine code kept on disk; `function` itself when compilation is off."""
    if NO_JIT:
        return function
    keep_compiled(plugins)
    return numba.njit(cache=True, **JIT_OPTIONS)(function)


def _remove_oldest(root: Path) -> None:
    named = (path for path in root.iterdir() if path.is_dir() and len(path.name) == DIGEST_LETTERS)
    folders = sorted(named, key=lambda path: path.stat().st_mtime)
    for folder in folders[:-FOLDERS_MAX]:
        shutil.rmtree(folder, ignore_errors=True)
