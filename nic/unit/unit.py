"""A unit: machine code of its own with plain entries, made from a few functions, kept on disk, called by address.

The loop is cut into units where a frame crosses a contract anyway, so that an edit compiles what it touches and nothing
else. An entry is a function over numbers and structs. From another unit it is called through its address with words in
registers (`nic.unit.load.call_entry`).
"""

import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from crosswire.nic.unit import build, load, ready, source, store
from crosswire.nic.unit.compile import NO_JIT, plain_function
from crosswire.nic.unit.kinds import Kind, kind_name
from crosswire.nic.unit.target import Target, target

KEY_LETTERS = 24


@dataclass(frozen=True)
class Entry:
    """A function of a unit that is called from outside. `kinds` of its arguments: "i64" and `Struct` classes."""

    name: str
    function: Callable[..., Any]
    kinds: tuple[Kind, ...]
    in_memory: bool = False  # arguments of any kind, handed over in an array of words


@dataclass(frozen=True)
class Unit:
    """Functions that are compiled together."""

    name: str  # letters, digits, - and _
    entries: tuple[Entry, ...]


def unit_of(name: str, functions: Mapping[Callable[..., Any], tuple[Kind, ...]]) -> Unit:
    """The unit whose entries are these functions, each under its own name and with the kinds of its arguments."""
    return Unit(name, tuple(Entry(function.__name__, function, kinds) for function, kinds in functions.items()))


@dataclass(frozen=True)
class LoadedUnit:
    """Where a unit's entries are, and what they return."""

    addresses: dict[str, int]
    returns: dict[str, str]


_loaded: dict[tuple[str, str], LoadedUnit] = {}


@functools.cache
def compiler_facts(for_target: Target) -> str:
    """All but source that machine code depends on."""
    versions = f"numba {version('numba')} llvmlite {version('llvmlite')} format {store.MAGIC.hex()}"
    versions += f" compiler {source.compiler_digest()}"
    return f"{versions} level {for_target.level} {for_target.processor_facts()}"


def made_from(unit: Unit, texts: dict[str, str] | None = None) -> str:
    """The digest of a unit's entries and source. `texts` as in `sources_digest`."""
    digest = hashlib.sha256()
    for entry in unit.entries:
        kinds = ",".join(map(kind_name, entry.kinds))
        digest.update(f"\nentry {entry.name} {kinds} {entry.in_memory}".encode())
    kinds_used = [kind for entry in unit.entries for kind in entry.kinds]
    functions = [entry.function for entry in unit.entries]
    digest.update(source.sources_digest(functions, kinds_used, {} if texts is None else texts).encode())
    return digest.hexdigest()


def key_for(sources: str, for_target: Target) -> str:
    """The key of a unit that is made from `sources`: equal only if its machine code would be."""
    return hashlib.sha256(f"{compiler_facts(for_target)}\n{sources}".encode()).hexdigest()[:KEY_LETTERS]


def key_of(unit: Unit) -> str:
    """The key of a unit compiled for the target of this process."""
    return key_for(made_from(unit), target())


def load_units(units: Sequence[Unit]) -> list[LoadedUnit]:
    """Load the machine code of `units`: from this process, from the store, from the package, or compiled now.

    As many are compiled at a time as there are cores; `build.listeners` hear which. Raises StoreError, of one line, and
    CompileError.
    """
    if NO_JIT:
        return [interpreted(unit) for unit in units]
    texts: dict[str, str] = {}
    sources = [made_from(unit, texts) for unit in units]
    keys = [key_for(each, target()) for each in sources]
    folder = store.store_folder()
    stored: dict[tuple[str, str], store.StoredUnit] = {}
    missing: list[tuple[Unit, str]] = []
    wanted = {(unit.name, key): (unit, made) for unit, key, made in zip(units, keys, sources, strict=True)}
    for (name, key), (unit, made) in wanted.items():
        if (name, key) in _loaded:
            continue
        if not stored and not missing:
            store.prepare_store(folder)
        found = store.read_unit(folder, name, key)
        if found is None and ready.serves_this_process():
            found = ready.find_ready(name, key_for(made, ready.READY))
        if found is None:
            missing.append((unit, key))
        else:
            stored[name, key] = found
    if missing:
        build.compile_units(folder, missing, compiler_facts(target()))
        for unit, key in missing:
            found = store.read_unit(folder, unit.name, key)
            if found is None:
                raise store.StoreError(f"{folder}: unit {unit.name} was removed as soon as it was there")
            stored[unit.name, key] = found
    for at, each in stored.items():
        _loaded[at] = LoadedUnit(load.load(each), each.returns)
    return [_loaded[unit.name, key] for unit, key in zip(units, keys, strict=True)]


def interpreted(unit: Unit) -> LoadedUnit:
    """Return numbers for addresses, with compilation off."""
    addresses = {}
    for entry in unit.entries:
        addresses[entry.name] = load.number_of(functools.partial(run_interpreted, entry))
    return LoadedUnit(addresses, {})


def run_interpreted(entry: Entry, *words: int) -> int:
    """Call an entry's function with the structs that its words are the addresses of."""
    pairs = zip(entry.kinds, words, strict=True)
    values = [word if isinstance(kind, str) else kind.at(word) for kind, word in pairs]
    result = plain_function(entry.function)(*values)
    return 0 if result is None else int(result)
