"""Units on disk: one file a unit, its name the unit's and its key.

    8 bytes   MAGIC
    8 bytes   length of the header, little-endian
    header    JSON: the unit's name and key, what compiled it for which processor, its entries, faults and symbols
    object    ELF, relocatable, for llvmlite to load
    32 bytes  SHA-256 of all before

A file holds machine code, so it is believed only from a place that nobody else can write to: owner and mode of the file
and of every folder and link on the way to it are checked first (`nic/host/trust.py`). Nothing in it is unpickled. It
may be moved, copied, and shared by machines with the same processor.
"""

import hashlib
import json
import os
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from crosswire.nic.host.trust import belongs_to_another, is_shared, who_could_change

MAGIC = b"CWUNIT\x00\x01"
DIGEST_BYTES = 32
UNITS_MAX = 4096  # files; those that were not used for longest go first
SUFFIX = ".unit"
NEW = ".new-"  # a unit that is being written
STALE_S = 3600  # nobody writes a unit for so long


class StoreError(Exception):
    """One line: the place, what is wrong with it and what to do."""


@dataclass(frozen=True)
class StoredUnit:
    """A unit as it is kept."""

    name: str
    key: str
    compiler: str  # versions, level and processor, for people
    returns: dict[str, str]  # by entry: the kind of what it returns, by name
    faults: dict[int, str]  # what a status means
    symbols: list[str]  # of the C library, that it calls
    object_code: bytes


def store_folder() -> Path:
    """The folder of the units: units/ in $CROSSWIRE_CACHE, or in crosswire/ of the user's cache folder."""
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("CROSSWIRE_CACHE") or user / "crosswire") / "units"


def prepare_store(folder: Path) -> None:
    """Make the folder if it is missing. StoreError if others could put something there, or if it can't be written."""
    there = folder.absolute()
    while not os.path.lexists(there):
        there = there.parent
    check_place(there, is_end=there == folder.absolute())  # before anything is made behind another user's link
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise StoreError(f"{folder}: can't be made: {error.strerror}; name another folder in CROSSWIRE_CACHE") from None
    check_place(folder)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StoreError(f"{folder}: can't be written to; name another folder in CROSSWIRE_CACHE")


def check_place(path: Path, is_end: bool = True) -> None:
    """Raise StoreError unless only we, or root, can change `path` and the way to it; `is_end` as `who_could_change`."""
    try:
        found = who_could_change(path, is_end)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}; name another folder in CROSSWIRE_CACHE") from None
    if found is not None:
        place, how = found
        advice = f"chmod go-w {place}, or " if how.startswith("can") else ""
        raise StoreError(
            f"{place} {how}, who could change machine code that is run from there; "
            f"{advice}name another folder in CROSSWIRE_CACHE"
        )


def unit_path(folder: Path, name: str, key: str) -> Path:
    """The file of a unit."""
    return folder / f"{name}-{key}{SUFFIX}"


def encode_unit(unit: StoredUnit) -> bytes:
    """Encode a unit as its file's bytes."""
    facts = asdict(unit)
    del facts["object_code"]
    header = json.dumps(facts, sort_keys=True).encode()
    whole = MAGIC + len(header).to_bytes(8, "little") + header + unit.object_code
    return whole + hashlib.sha256(whole).digest()


def decode_unit(data: bytes, where: object) -> StoredUnit:
    """Decode a unit from its file's bytes; StoreError if they are not whole."""
    begin = len(MAGIC) + 8
    if len(data) < begin + DIGEST_BYTES or not data.startswith(MAGIC[:6]):
        raise StoreError(f"{where}: is no unit of machine code; remove it")
    if not data.startswith(MAGIC):
        raise StoreError(f"{where}: is of another version of Crosswire; remove it")
    whole, digest = data[:-DIGEST_BYTES], data[-DIGEST_BYTES:]
    if hashlib.sha256(whole).digest() != digest:
        raise StoreError(f"{where}: is damaged (its digest differs); remove it")
    end = begin + int.from_bytes(data[len(MAGIC) : begin], "little")
    facts = json.loads(whole[begin:end])
    facts["faults"] = {int(code): text for code, text in facts["faults"].items()}
    return StoredUnit(object_code=whole[end:], **facts)


def read_unit(folder: Path, name: str, key: str) -> StoredUnit | None:
    """Read a unit from the store, None if it is not there. StoreError: damaged, or others could have written it."""
    path = unit_path(folder, name, key)
    try:
        # What is checked is what is read: a link or another owner's file is refused by its open descriptor.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"{path}: can't be read: {error.strerror}; remove it") from None
    with open(descriptor, "rb") as file:
        facts = os.fstat(descriptor)
        if belongs_to_another(facts) or is_shared(facts):
            raise StoreError(f"{path}: belongs to, or can be written to by, another user; remove it")
        unit = decode_unit(file.read(), path)
        with suppress(OSError):  # only the order in which units make room hangs on it
            os.utime(descriptor)
    if (unit.name, unit.key) != (name, key):
        raise StoreError(f"{path}: holds the unit {unit.name}-{unit.key}; remove it")
    return unit


def write_unit(folder: Path, unit: StoredUnit) -> Path:
    """Put a unit into the store, whole or not at all; the longest unused make room."""
    path = unit_path(folder, unit.name, unit.key)
    descriptor, temporary = tempfile.mkstemp(dir=folder, prefix=NEW)
    try:
        with open(descriptor, "wb") as file:
            file.write(encode_unit(unit))
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    remove_oldest(folder)
    return path


def remove_oldest(folder: Path) -> None:
    """Keep UNITS_MAX files, and no half-written one of a process that was killed."""
    for path in folder.glob(f"{NEW}*"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > STALE_S:
                path.unlink()
    files = list(folder.glob(f"*{SUFFIX}"))
    if len(files) <= UNITS_MAX:
        return
    used = []
    for path in files:
        try:
            used.append((path.stat().st_mtime_ns, path))
        except OSError:  # another process was quicker
            continue
    for _, path in sorted(used)[: len(used) - UNITS_MAX]:
        path.unlink(missing_ok=True)
