"""The host below a ring: memory mappings and errors in one line."""

import ctypes
import mmap
import os
import resource
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_MAP_FAILED = ctypes.c_void_p(-1).value
_MAP_HUGETLB = 0x40000
_MCL_CURRENT_AND_FUTURE = 3
_PR_SET_DUMPABLE = 4
_CAPABILITY_VERSION_3 = 0x20080522
CAPABILITIES = {
    "CAP_DAC_OVERRIDE": 1,
    "CAP_NET_ADMIN": 12,
    "CAP_NET_RAW": 13,
    "CAP_IPC_LOCK": 14,
    "CAP_SYS_ADMIN": 21,
    "CAP_SYS_NICE": 23,
    "CAP_BPF": 39,
}

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long)
libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
libc.syscall.restype = ctypes.c_long


class HostError(Exception):
    """One line: what was asked of the host, where, why it refused, what to do."""


def check(result: int, what: str) -> int:
    """Return the result of a C call that reports failure as -1; HostError with errno's text if it failed."""
    if result == -1:
        raise HostError(f"{what}: {os.strerror(ctypes.get_errno())}")
    return result


def map_memory(length: int, *, fd: int = -1, offset: int = 0, shared: bool = False, huge: bool = False) -> int:
    """Map `length` bytes, every page present (MAP_POPULATE): the loop must never fault one in. Their address.

    HostError if refused; `huge` asks for pages of 2 MB, and `length` must be a multiple of that.
    """
    flags = mmap.MAP_POPULATE | (mmap.MAP_SHARED if shared or fd >= 0 else mmap.MAP_PRIVATE)
    if fd < 0:
        flags |= mmap.MAP_ANONYMOUS
    if huge:
        flags |= _MAP_HUGETLB
    address: int = libc.mmap(None, length, mmap.PROT_READ | mmap.PROT_WRITE, flags, fd, offset)
    if address == _MAP_FAILED:
        raise HostError(f"mmap of {length} bytes: {os.strerror(ctypes.get_errno())}")
    return address


def map_large_pages(length: int) -> tuple[int, bool]:
    """Map private memory in pages of 2 MB; `length` must be a multiple of that. Its address.

    Reserved huge pages if there are enough (then True), else transparent ones where the kernel can make them.
    """
    try:
        return map_memory(length, huge=True), True
    except HostError:
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        address: int = libc.mmap(None, length, mmap.PROT_READ | mmap.PROT_WRITE, flags, -1, 0)
        if address == _MAP_FAILED:
            raise HostError(f"mmap of {length} bytes: {os.strerror(ctypes.get_errno())}") from None
        # Before the first touch, or it comes too late. A kernel without transparent huge pages refuses: so be it.
        libc.madvise(ctypes.c_void_p(address), ctypes.c_size_t(length), mmap.MADV_HUGEPAGE)
        ctypes.memset(address, 0, length)
        return address, False


def unmap_memory(address: int, length: int) -> None:
    """Undo `map_memory`."""
    check(libc.munmap(address, length), f"munmap of {length} bytes")


def effective_capabilities() -> int:
    """The capabilities of the calling thread, a bit each."""
    for line in Path("/proc/thread-self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    raise HostError("/proc/thread-self/status has no CapEff line: capabilities can't be told")


def has_capability(name: str) -> bool:
    """Tell whether the calling thread may do what a capability of `CAPABILITIES` stands for."""
    return bool(effective_capabilities() >> CAPABILITIES[name] & 1)


def need_capability(name: str, purpose: str) -> None:
    """Raise a HostError that names the capability and what it is for, if the calling thread lacks it."""
    if not has_capability(name):
        raise HostError(f"{purpose} needs {name}: run as root, or `setcap` it on the interpreter")


def capability_request(kept: int) -> tuple[Any, Any]:
    """Make the two structs by which capset(2) leaves a thread these capabilities, a bit each, and no others."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    # struct __user_cap_data_struct, twice: effective, permitted, inheritable, of capabilities 0..31 and 32..63.
    data = (ctypes.c_uint32 * 6)(kept & 0xFFFFFFFF, kept & 0xFFFFFFFF, 0, kept >> 32, kept >> 32, 0)
    return header, data


def keep_capabilities(names: Iterable[str]) -> None:
    """Give up all other capabilities of the calling thread and of what it starts from here on; there is no way back."""
    kept = effective_capabilities() & sum(1 << CAPABILITIES[name] for name in names)
    check(libc.capset(*capability_request(kept)), "capset: giving up capabilities")


def keep_memory_private() -> None:
    """Have the process dump no core, and no other process of the user read its memory or trace it.

    Its /proc/<pid> belongs to root from here on (proc(5)). Threads share this, what is executed does not keep it.
    """
    # A core that is piped to a program is not stopped by a limit of 0 (core(5)), but by the other.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    check(libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0), "prctl: keeping memory out of core dumps")


def pin_thread(core: int) -> None:
    """Keep the calling thread on one core. HostError if there is no such core for it."""
    try:
        os.sched_setaffinity(0, {core})
    except OSError as error:
        allowed = sorted(os.sched_getaffinity(0))
        raise HostError(f"core {core}: {error.strerror}; this process may use {allowed}") from None


def run_first_in_first_out(priority: int) -> None:
    """Give the calling thread real-time scheduling (SCHED_FIFO) at `priority`, 1 to 99."""
    need_capability("CAP_SYS_NICE", f"scheduling fifo {priority}")
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
    except OSError as error:
        raise HostError(f"scheduling fifo {priority}: {error.strerror}; the priority is 1 to 99") from None


def lock_memory() -> None:
    """Keep all memory of the process resident, present and future: a page fault costs more than a whole trade."""
    need_capability("CAP_IPC_LOCK", "lock_memory")
    check(libc.mlockall(_MCL_CURRENT_AND_FUTURE), "mlockall; set lock_memory = false or raise `ulimit -l`")
