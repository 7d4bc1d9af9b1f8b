"""The host below a ring: memory mappings and errors in one line."""

import ctypes
import mmap
import os

_MAP_FAILED = ctypes.c_void_p(-1).value
_MAP_HUGETLB = 0x40000

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long)
libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
libc.syscall.restype = ctypes.c_long


class HostError(Exception):
    """One line: what was asked of the host, where, why it refused, what to do."""


def check(result: int, what: str) -> int:
    """The result of a C call that reports failure as -1; HostError with errno's text if it did."""
    if result == -1:
        raise HostError(f"{what}: {os.strerror(ctypes.get_errno())}")
    return result


def map_memory(length: int, *, fd: int = -1, offset: int = 0, shared: bool = False, huge: bool = False) -> int:
    """Address of `length` mapped bytes, every page present (MAP_POPULATE): the loop must never fault one in.

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


def unmap_memory(address: int, length: int) -> None:
    """Undo `map_memory`."""
    check(libc.munmap(address, length), f"munmap of {length} bytes")


def pin_thread(core: int) -> None:
    """Keep the calling thread on one core. HostError if there is no such core for it."""
    try:
        os.sched_setaffinity(0, {core})
    except OSError as error:
        allowed = sorted(os.sched_getaffinity(0))
        raise HostError(f"core {core}: {error.strerror}; this process may use {allowed}") from None
