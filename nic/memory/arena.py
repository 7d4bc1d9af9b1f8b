"""One process's structs in memory that others can read, without stopping it: a file that each maps at one address.

    arena = Arena()
    with arena:                          # what is made here lies in it
        engine = build(...)
    arena.publish(folder / "memory")     # now others find it

    reader = ArenaReader(folder / "memory")     # read-only: a write is a fault
    engine = Engine.at(address, reader.memory)

Pointers inside hold in a reader too, since it maps the file where its writer has it. That is a place of `SLOTS` between
16 and 48 TB, chosen by chance so that one process can read several: on x86-64 Linux nothing else goes there by itself
(programs and their heap begin below 4 GB or above 85 TB, mmap goes down from 128 TB, the shadow of sanitizers ends at
17.6 TB), and MAP_FIXED_NOREPLACE (since Linux 4.17) refuses a place that is taken. No pointer is followed out of it
(`Memory.bounds`). What holds a secret is never inside (`StructMeta.is_private`).

The file is in `SHARED_FOLDER`, of this user alone, and grows with what is allocated: a full /dev/shm is an error then,
and no signal in the loop. Its writer keeps a lock on it as long as it lives, however it ends; so a file without a lock
is a leftover, which the next start removes.
"""

import ctypes
import fcntl
import mmap
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from crosswire.nic.host.owner import Owner
from crosswire.nic.host.process import HostError, libc
from crosswire.nic.memory.struct import LARGE_PAGE_BYTES, Memory, allocator

SHARED_FOLDER = Path("/dev/shm")
SHARED_PREFIX = "crosswire-shared-"
FIRST_ADDRESS = 0x1000_0000_0000
SLOT_BYTES = 1 << 35
SLOTS = 1024
GROW_BYTES = 8 << 20
BYTES_MAX = 1 << 34  # of one arena: half a slot
TRIES = 16
_MAP_FIXED_NOREPLACE = 0x100000
_MADV_COLLAPSE = 25  # since Linux 6.1, whatever shmem_enabled says but "deny"


class SharedFile(Owner):
    """A file in `SHARED_FOLDER` that goes with this process: locked as long as it lives, removed by `close`."""

    def __init__(self) -> None:
        """Make it, empty. HostError."""
        self.link: Path | None = None
        while True:
            self.path = SHARED_FOLDER / f"{SHARED_PREFIX}{secrets.token_hex(8)}"
            try:
                self.file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise HostError(f"{self.path}: {error.strerror}; a live run shares its memory there") from None
            fcntl.flock(self.file, fcntl.LOCK_EX)
            if os.fstat(self.file).st_nlink:  # not taken for a leftover before it was locked
                return
            os.close(self.file)

    def grow(self, size_bytes: int) -> None:
        """Have room for this much, all zeros behind what there is. HostError: there is none."""
        try:
            os.posix_fallocate(self.file, 0, size_bytes)
        except OSError as error:
            raise HostError(
                f"{SHARED_FOLDER}: {size_bytes >> 20} MB of a live run's memory: {error.strerror}; enlarge it (mount -o"
                " remount,size=...), lower levels_max, or leave [control] out"
            ) from None

    def publish(self, link: Path) -> None:
        """Let others find it by a link, removed with it."""
        link.unlink(missing_ok=True)
        link.symlink_to(self.path)
        self.link = link

    def close(self) -> None:
        """Remove it; who has mapped it keeps what it has."""
        if self.file >= 0:
            for path in (self.path, self.link):
                if path is not None:
                    path.unlink(missing_ok=True)
            os.close(self.file)
            self.file = -1


def remove_left() -> int:
    """Remove the files that processes have left which were killed; return how many."""
    removed = 0
    for path in SHARED_FOLDER.glob(f"{SHARED_PREFIX}*"):
        with suppress(OSError):  # another user's, or its writer lives
            file = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
                removed += 1
            finally:
                os.close(file)
    return removed


def map_at(address: int, length: int, file: int, offset: int, protection: int) -> bool:
    """Map a part of a file, all of it present, at this very address; False: something is there. HostError."""
    flags = mmap.MAP_SHARED | mmap.MAP_POPULATE | _MAP_FIXED_NOREPLACE
    found = libc.mmap(ctypes.c_void_p(address), length, protection, flags, file, offset)
    if found == address:
        return True
    if found != ctypes.c_void_p(-1).value:  # a kernel that takes the address for a hint
        libc.munmap(ctypes.c_void_p(found), length)
    elif ctypes.get_errno() != 17:  # EEXIST
        raise HostError(f"mmap of {length} bytes of shared memory: {os.strerror(ctypes.get_errno())}")
    return False


class _Mapping:
    """An arena's memory, unmapped once nothing refers to it any more."""

    def __init__(self) -> None:
        self.address = 0
        self.length = 0

    def __del__(self, unmap: Callable[..., int] = libc.munmap) -> None:
        if self.length:
            unmap(ctypes.c_void_p(self.address), self.length)


class Arena(Owner):
    """The writer's side. `close` removes the file; the memory stays as long as a struct in it is known."""

    def __init__(self) -> None:
        """Find a place. HostError."""
        self.shared = SharedFile()
        self.used = 0
        self._mapping = _Mapping()
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    @property
    def address(self) -> int:
        """Where it begins."""
        return self._mapping.address

    @property
    def mapped_bytes(self) -> int:
        """How much of it there is."""
        return self._mapping.length

    def _begin(self) -> None:
        self.shared.grow(GROW_BYTES)
        for _ in range(TRIES):
            address = FIRST_ADDRESS + secrets.randbelow(SLOTS) * SLOT_BYTES
            if map_at(address, GROW_BYTES, self.shared.file, 0, mmap.PROT_READ | mmap.PROT_WRITE):
                self._mapping.address, self._mapping.length = address, GROW_BYTES
                return
        raise HostError(f"shared memory: no free address in {TRIES} tries; leave [control] out")

    def allocate(self, size_bytes: int, alignment: int) -> tuple[int, Any]:
        """Give zeros: their address, and what keeps them. HostError: there is no room."""
        start = -(-self.used // alignment) * alignment
        missing = start + size_bytes - self.mapped_bytes
        if missing > 0:
            more = -(-missing // GROW_BYTES) * GROW_BYTES
            if self.mapped_bytes + more > BYTES_MAX:
                raise HostError(f"shared memory: more than {BYTES_MAX >> 30} GB; lower levels_max")
            self.shared.grow(self.mapped_bytes + more)
            end, protection = self.address + self.mapped_bytes, mmap.PROT_READ | mmap.PROT_WRITE
            if not map_at(end, more, self.shared.file, self.mapped_bytes, protection):
                raise HostError(f"shared memory: the address {end:#x} is taken; start again")
            self._mapping.length += more
        self.used = start + size_bytes
        return self.address + start, self._mapping

    @contextmanager
    def allocating(self) -> Iterator[None]:
        """Have all that this thread allocates meanwhile lie here, but for what is private."""
        token = allocator.set(self.allocate)
        try:
            yield
        finally:
            allocator.reset(token)

    def use_large_pages(self) -> bool:
        """Have the kernel put it in pages of 2 MB, as deep books want them; False: it can't."""
        length = self.mapped_bytes // LARGE_PAGE_BYTES * LARGE_PAGE_BYTES
        return libc.madvise(ctypes.c_void_p(self.address), ctypes.c_size_t(length), _MADV_COLLAPSE) == 0

    def publish(self, link: Path) -> None:
        """Let readers find it."""
        self.shared.publish(link)

    def close(self) -> None:
        """Remove the file."""
        self.shared.close()


class ArenaReader(Owner):
    """A reader's side: `memory` is what its structs lie in, and what they may follow."""

    def __init__(self, link: Path, header_bytes: int) -> None:
        """Open it and read its first bytes, `header`; `map` follows. HostError: it is not there, or another's."""
        self.path = link
        self.memory = Memory()
        self._mapping: _Mapping | None = None
        self.file = open_shared(link, os.O_RDONLY)
        self.header = os.pread(self.file, header_bytes, 0)

    def map(self, address: int) -> None:
        """Map all of it where its writer has it, read-only. HostError."""
        length = os.fstat(self.file).st_size
        if not FIRST_ADDRESS <= address < FIRST_ADDRESS + SLOTS * SLOT_BYTES or not 0 < length <= BYTES_MAX:
            raise HostError(f"{self.path}: is no shared memory of a run")
        if not map_at(address, length, self.file, 0, mmap.PROT_READ):
            raise HostError(f"{self.path}: this process has something else at {address:#x}; start it again")
        self._mapping = _Mapping()
        self._mapping.address, self._mapping.length = address, length
        self.memory = Memory(bounds=(address, address + length))
        self.memory._buffer = self._mapping

    def is_alive(self) -> bool:
        """Tell whether the writer lives."""
        return self.file >= 0 and is_held(self.file)

    def close(self) -> None:
        """Let go of it; it is unmapped once no struct in it is known."""
        self.memory, self._mapping = Memory(), None
        if self.file >= 0:
            os.close(self.file)
            self.file = -1


def open_shared(link: Path, flags: int) -> int:
    """Open what a link of a run's folder leads to. HostError: it is not there, or another user could have made it."""
    try:
        file = os.open(link, flags | os.O_CLOEXEC)
    except FileNotFoundError:
        raise HostError(f"{link}: no run is being traded there, or its configuration has no [control]") from None
    except OSError as error:
        raise HostError(f"{link}: {error.strerror}") from None
    owned = os.fstat(file)
    if owned.st_uid not in (0, os.geteuid()) or owned.st_mode & 0o077:
        os.close(file)
        raise HostError(f"{link}: is another user's, or others can reach it")
    return file


def is_held(file: int) -> bool:
    """Tell whether the process that made a shared file lives."""
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(file, fcntl.LOCK_UN)
    return False
