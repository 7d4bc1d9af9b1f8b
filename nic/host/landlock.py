"""Landlock: which files and TCP ports a process can reach from now on (landlock(7)), by its three system calls.

Kernels know more of it from version to version (its ABI); what one does not know is left out, and `describe` says what
there is. Files, memory and sockets that are open already stay as they are: a ring is opened before.
"""

import ctypes
import errno
import os
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntFlag
from pathlib import Path

from crosswire.nic.host.owner import Owner
from crosswire.nic.host.process import HostError, libc

_CREATE_RULESET, _ADD_RULE, RESTRICT_SELF = 444, 445, 446
_VERSION, _ERRATA = 1, 2  # flags of create_ruleset
_PATH_BENEATH, _NET_PORT = 1, 2  # types of rules
_SIGNALS_FIXED = 2  # erratum: a thread's signals to its own process pass, whatever domain each thread is in
_CONNECT_TCP, _BIND_TCP = 2, 1
_SCOPE_ABSTRACT_SOCKETS, _SCOPE_SIGNALS = 1, 2


class Access(IntFlag):
    """LANDLOCK_ACCESS_FS_*: what may be done to what lies beneath a path."""

    EXECUTE = 1 << 0
    WRITE_FILE = 1 << 1
    READ_FILE = 1 << 2
    READ_DIR = 1 << 3
    REMOVE_DIR = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_CHAR = 1 << 6
    MAKE_DIR = 1 << 7
    MAKE_REG = 1 << 8
    MAKE_SOCK = 1 << 9
    MAKE_FIFO = 1 << 10
    MAKE_BLOCK = 1 << 11
    MAKE_SYM = 1 << 12
    REFER = 1 << 13  # ABI 2
    TRUNCATE = 1 << 14  # ABI 3
    IOCTL_DEV = 1 << 15  # ABI 5


_KNOWN_SINCE = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}  # by ABI: all rights
_OF_FILES = Access.EXECUTE | Access.WRITE_FILE | Access.READ_FILE | Access.TRUNCATE | Access.IOCTL_DEV
READ = Access.READ_FILE | Access.READ_DIR
WRITE = (
    READ
    | Access.WRITE_FILE
    | Access.TRUNCATE
    | Access.REFER
    | Access.MAKE_REG
    | Access.MAKE_DIR
    | Access.MAKE_SYM
    | Access.REMOVE_FILE
    | Access.REMOVE_DIR
)


@dataclass(frozen=True)
class Places:
    """What can be reached: everything beneath these paths, those that exist; and TCP connections to these ports."""

    read: tuple[Path, ...] = ()
    write: tuple[Path, ...] = ()
    connect: tuple[int, ...] = ()

    def rules(self) -> Iterable[tuple[Path, Access]]:
        """Each path with what may be done beneath it."""
        for paths, access in ((self.read, READ), (self.write, WRITE)):
            for path in paths:
                yield path, access


class _RulesetAttributes(ctypes.Structure):
    """struct landlock_ruleset_attr."""

    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    """struct landlock_path_beneath_attr."""

    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


class _NetPort(ctypes.Structure):
    """struct landlock_net_port_attr."""

    _fields_ = (("allowed", ctypes.c_uint64), ("port", ctypes.c_uint64))


def landlock_abi() -> int:
    """The version that the kernel has; 0: it has none, or it is switched off."""
    return max(0, int(libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION)))


class Ruleset(Owner):
    """Rules, made ready; a thread is held to them by `restrict_self`, or by the system call with `descriptor`."""

    def __init__(self, places: Places, abi: int) -> None:
        """HostError if the kernel refuses something of it."""
        known = Access(next(rights for since, rights in sorted(_KNOWN_SINCE.items(), reverse=True) if since <= abi))
        attributes = _RulesetAttributes(files=known)
        length = 8
        if abi >= 4:
            attributes.network, length = _CONNECT_TCP | _BIND_TCP, 16
        if abi >= 6:
            attributes.scoped, length = _SCOPE_ABSTRACT_SOCKETS, 24
            errata = int(libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _ERRATA))
            if errata > 0 and errata & _SIGNALS_FIXED:
                attributes.scoped |= _SCOPE_SIGNALS
        self.descriptor = _checked(
            libc.syscall(_CREATE_RULESET, ctypes.byref(attributes), ctypes.c_size_t(length), 0), "a set of rules"
        )
        try:
            for path, access in places.rules():
                self._allow(path, access & known)
            for port in places.connect if abi >= 4 else ():
                self._add(_NET_PORT, _NetPort(_CONNECT_TCP, port), f"TCP port {port}")
        except BaseException:
            self.close()
            raise

    def _allow(self, path: Path, access: Access) -> None:
        try:
            beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        except OSError as error:
            raise HostError(f"Landlock: {path}: {error.strerror}") from None
        try:
            access &= Access(~0) if os.path.isdir(f"/proc/self/fd/{beneath}") else _OF_FILES
            self._add(_PATH_BENEATH, _PathBeneath(access, beneath), str(path))
        finally:
            os.close(beneath)

    def _add(self, kind: int, rule: ctypes.Structure, what: str) -> None:
        _checked(libc.syscall(_ADD_RULE, self.descriptor, kind, ctypes.byref(rule), 0), what)

    def close(self) -> None:
        """Forget the rules; who is held to them stays so."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        advice = "; the kernel's limit of rules" if number == errno.E2BIG else ""
        raise HostError(f"Landlock: {what}: {os.strerror(number)}{advice}")
    return int(result)
