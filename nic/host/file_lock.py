"""A file that one process at a time holds; the kernel lets go of it when the process ends, however it ends."""

import fcntl
import os
from pathlib import Path


def hold_file(path: Path) -> int:
    """Make a file if need be and lock it; return its descriptor. BlockingIOError: another process has it. OSError."""
    file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        raise
    return file
