"""Memory that a process holds and no longer needs, given back to the system."""

import ctypes
import re
from collections.abc import Iterator
from pathlib import Path

MADV_DONTNEED = 4  # linux/mman.h: pages are dropped; of a file they are read again when somebody comes by
MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) r-xp \S+ \S+ \S+ +(.*)")
UNCHANGED = re.compile(r"(?:Private_Dirty|Anonymous): +0 kB")

_libc = ctypes.CDLL(None, use_errno=True)


def give_back(library: str) -> None:
    """Give back what was freed, and the code of a library (a part of its file's name) that has done its work.

    After a backtest of 12 million rows: 24 MB of freed memory and 31 MB of LLVM, which has loaded the machine code.
    """
    if hasattr(_libc, "malloc_trim"):  # glibc's
        _libc.malloc_trim(0)
    for begin, end in unchanged_code(library):
        _libc.madvise(ctypes.c_void_p(begin), ctypes.c_size_t(end - begin), MADV_DONTNEED)


def unchanged_code(library: str) -> Iterator[tuple[int, int]]:
    """Find where code of a library is mapped that is as in its file: what can be dropped and read again."""
    place, unchanged = None, 0
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.partition(" ")[0]:
            found = MAPPING.match(line)
            place = (int(found[1], 16), int(found[2], 16)) if found and library in Path(found[3]).name else None
            unchanged = 0
        elif place is not None and UNCHANGED.match(line):
            unchanged += 1
            if unchanged == 2:
                yield place
