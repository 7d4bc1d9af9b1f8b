"""Reading a file that only its owner may read: keys and credentials. What is in it stands in no error."""

import os
import stat
from pathlib import Path

from crosswire.nic.host.process import HostError, keep_memory_private
from crosswire.nic.host.trust import belongs_to_another, who_could_change

FILE_BYTES_MAX = 4096


def read_secret_file(path: Path, what: str) -> bytes:
    """Read a file of ours; HostError, in one line, if others can read it or put another in its place. OSError.

    `what` it holds is named in the plural: "credentials". From here on the process can't be traced, nor its memory
    read, by others of the same user, and it dumps no core.
    """
    found = who_could_change(path)
    if found is not None:
        raise HostError(f"{path}: these {what} could be replaced: {found[0]} {found[1]}")
    # What is checked is what is read. Without O_NONBLOCK a pipe would be waited for.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        _check(path, os.fstat(descriptor), what)
        keep_memory_private()
        return os.read(descriptor, FILE_BYTES_MAX)
    finally:
        os.close(descriptor)


def _check(path: Path, facts: os.stat_result, what: str) -> None:
    if not stat.S_ISREG(facts.st_mode):
        raise HostError(f"{path}: {what} must be a plain file")
    if belongs_to_another(facts):
        raise HostError(f"{path}: these {what} belong to user {facts.st_uid}")
    if facts.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise HostError(f"{path}: others may read these {what}; `chmod 600` it")
