"""Units that came with the package, compiled beforehand: a fresh machine's first run compiles nothing.

A wheel holds those of the built-in venues and strategies (`python -m tests.wheel`), for any x86 server since 2015. They
are found by the same key as all others, so what was made from other source, or by another compiler, is not found, and
compiled as if nothing had come with the package.
"""

import functools

import llvmlite.binding as llvm

from crosswire.nic.host.trust import who_could_change
from crosswire.nic.unit.source import PACKAGE_FOLDER
from crosswire.nic.unit.store import StoredUnit, StoreError, read_unit
from crosswire.nic.unit.target import LEVEL, Target, is_processor_named, target

FOLDER = PACKAGE_FOLDER / "units"
READY = Target(LEVEL, "x86-64-v3")
# What the processor must have: the x86-64 psABI's table of levels up to the third (gitlab.com/x86-psABIs/x86-64-ABI),
# by LLVM's names.
FEATURES = (
    *("cmov", "cx8", "fxsr", "mmx", "sse", "sse2"),
    *("cx16", "sahf", "popcnt", "sse3", "sse4.1", "sse4.2", "ssse3"),
    *("avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe", "xsave"),
)


@functools.cache
def serves_this_process() -> bool:
    """Tell whether this processor can run them, nothing else was asked for, and only we, or root, could change them."""
    if target().level != LEVEL or is_processor_named():
        return False
    has = llvm.get_host_cpu_features()
    if not all(has.get(feature) for feature in FEATURES):
        return False
    try:
        return who_could_change(FOLDER) is None
    except OSError:  # none came with it, as in a checkout
        return False


def find_ready(name: str, key: str) -> StoredUnit | None:
    """Read a unit that came with the package; None if it has to be compiled."""
    try:
        return read_unit(FOLDER, name, key)
    except StoreError:  # damaged: what is compiled instead is not
        return None
