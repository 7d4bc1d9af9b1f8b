"""Memory whose end abuts an unreadable page: reading one byte too far is a crash, not luck."""

import ctypes
import mmap

from crosswire.nic.host.owner import Owner

_PROT_NONE = 0
_MAP_FAILED = ctypes.c_void_p(-1).value

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long)
_libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
_libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)


class GuardedBytes(Owner):
    """Room for `capacity` bytes before a guard page. A context manager; `place` may be called any number of times."""

    def __init__(self, capacity: int = 1 << 16) -> None:
        self.capacity = -(-capacity // mmap.PAGESIZE) * mmap.PAGESIZE
        self._mapped_bytes = self.capacity + mmap.PAGESIZE
        protection = mmap.PROT_READ | mmap.PROT_WRITE
        start: int = _libc.mmap(None, self._mapped_bytes, protection, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
        if start == _MAP_FAILED:
            raise OSError(ctypes.get_errno(), "mmap failed")
        self._start = start
        self.end = start + self.capacity  # address of the guard page
        if _libc.mprotect(self.end, mmap.PAGESIZE, _PROT_NONE) != 0:
            raise OSError(ctypes.get_errno(), "mprotect failed")

    def place(self, data: bytes) -> int:
        """Copy `data` so that its last byte is the last readable one; returns the address of its first."""
        if len(data) > self.capacity:
            raise ValueError(f"{len(data)} bytes do not fit into {self.capacity}")
        address = self.end - len(data)
        ctypes.memmove(address, data, len(data))
        return address

    def close(self) -> None:
        if self._start:
            _libc.munmap(self._start, self._mapped_bytes)
            self._start = 0
