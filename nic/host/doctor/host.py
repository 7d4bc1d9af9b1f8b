"""A host as the checks see it: its files below a root, and what its kernel tells by calls. Nothing here writes.

Checks read only through this, so that tests can show them any host. A network namespace has a /sys/class/net and a
/proc/sys/net of its own: /proc/sys/net follows the calling thread, /sys is the one that was mounted, so for a namespace
another one is mounted, at no place (fsmount(2)).
"""

import ctypes
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from crosswire.nic.host.ethtool import Card, read_card
from crosswire.nic.host.neighbour import Neighbour, find_neighbour, next_hop
from crosswire.nic.host.process import HostError, effective_capabilities, libc
from crosswire.nic.host.testbed import in_namespace

_FSOPEN, _FSCONFIG, _FSMOUNT = 430, 431, 432  # system calls, x86-64
_CLOEXEC, _FSCONFIG_CREATE = 1, 6
_OWN_NET = "/sys/class/net/"
_STATUS_UNSYNCHRONISED, _STATUS_NANOSECONDS = 0x40, 0x2000  # STA_UNSYNC, STA_NANO (adjtimex(2))
_TIMEX_WORDS = 26  # struct timex: 208 bytes


class AbsentError(Exception):
    """One line: what this host does not have, so that a check can't be made."""


@dataclass(frozen=True)
class Discipline:
    """How the host's clock is kept, as adjtimex(2) tells: its offset, and the kernel's estimate of its error."""

    is_synchronised: bool
    offset_ns: int
    error_ns: int


class Calls(Protocol):
    """What a kernel tells by calls, in the network namespace of the calling thread."""

    def card(self, interface: str) -> Card:
        """Read a card. HostError: no such interface."""

    def neighbour(self, interface: str, ip: int) -> Neighbour | None:
        """Look up who packets to an address go to next. HostError: there is no way to it."""

    def discipline(self) -> Discipline:
        """Tell how the host's clock is kept."""

    def capabilities(self) -> int:
        """Tell the calling thread's capabilities, a bit each."""

    def affinity(self) -> frozenset[int]:
        """Tell which processors this process may use."""

    def release(self) -> str:
        """Tell the kernel's release."""


class KernelCalls:
    """The running kernel's. A card is read once: make another one of these after something has been set."""

    def __init__(self) -> None:
        self._cards: dict[tuple[int, str], Card] = {}

    def card(self, interface: str) -> Card:
        """Read a card. HostError: no such interface."""
        key = (os.stat("/proc/thread-self/ns/net").st_ino, interface)
        if key not in self._cards:
            self._cards[key] = read_card(interface)
        return self._cards[key]

    def neighbour(self, interface: str, ip: int) -> Neighbour | None:
        """Look up who packets to an address go to next. HostError: there is no way to it."""
        return find_neighbour(interface, next_hop(interface, ip))

    def discipline(self) -> Discipline:
        """Tell how the host's clock is kept."""
        room = (ctypes.c_long * _TIMEX_WORDS)()
        libc.adjtimex(room)  # modes 0: nothing is set
        offset, error, status = room[1], room[4], int(room[5]) & 0xFFFFFFFF
        scale = 1 if status & _STATUS_NANOSECONDS else 1000
        return Discipline(not status & _STATUS_UNSYNCHRONISED, offset * scale, error * 1000)

    def capabilities(self) -> int:
        """Tell the calling thread's capabilities, a bit each."""
        return effective_capabilities()

    def affinity(self) -> frozenset[int]:
        """Tell which processors this process may use."""
        return frozenset(os.sched_getaffinity(0))

    def release(self) -> str:
        """Tell the kernel's release."""
        return os.uname().release


class Host:
    """Files below `root`, and `calls`. Every path is as the host itself would write it, from / on."""

    def __init__(self, root: Path = Path("/"), calls: Calls | None = None, network: Path | None = None) -> None:
        """`network`: a /sys whose class/net is that of the calling thread's network namespace; None: the root's is."""
        self.root = root
        self.calls: Calls = calls or KernelCalls()
        self._network = network

    def place(self, path: str) -> Path:
        """Tell where a path of the host's is found."""
        if self._network is not None and path.startswith(_OWN_NET):
            return self._network / path.removeprefix("/sys/")
        return self.root / path.lstrip("/")

    def text(self, path: str) -> str | None:
        """Read a file, without white space at its ends; None if it is not there, or says nothing to us."""
        try:
            return self.place(path).read_text(errors="replace").strip()
        except OSError:
            return None

    def need(self, path: str) -> str:
        """Read a file. AbsentError: this host does not have it."""
        found = self.text(path)
        if found is None:
            raise AbsentError(f"this host has no {path}")
        return found

    def number(self, path: str) -> int:
        """Read a file that holds a number. AbsentError: it is not there, or holds something else."""
        found = self.need(path)
        try:
            return int(found.split()[0])
        except (ValueError, IndexError):
            raise AbsentError(f"{path} holds no number: {found[:40]!r}") from None

    def raw_number(self, path: str) -> int:
        """Read a file that holds a 32-bit number, as bytes. AbsentError: this host does not have it, or holds fewer."""
        try:
            with self.place(path).open("rb", buffering=0) as file:
                found = file.read(4)
        except OSError:
            raise AbsentError(f"this host has no {path}") from None
        if len(found) != 4:
            raise AbsentError(f"{path} holds no 32-bit number")
        return int.from_bytes(found, "little")

    def paths(self, pattern: str) -> list[str]:
        """List what matches a pattern, as the host writes it, numbers in their order."""
        before = re.split(r"[^/]*[*\[]", pattern, maxsplit=1)[0]
        base = self.place(before)
        found = [before + str(each.relative_to(base)) for each in base.glob(pattern.removeprefix(before))]
        return sorted(found, key=lambda path: (len(path), path))

    def processes(self) -> list[str]:
        """List the names of what runs."""
        return [name for path in self.paths("/proc/[0-9]*/comm") if (name := self.text(path))]


def chosen(text: str) -> str:
    """Read the one in brackets of a file that lists what it may hold: "always [madvise] never"."""
    return text.partition("[")[2].partition("]")[0] or text


def _mount_network() -> int:
    """Mount the calling thread's /sys at no place: a descriptor of its root. HostError if refused."""
    opened = libc.syscall(_FSOPEN, b"sysfs", _CLOEXEC)
    if opened < 0:
        raise HostError(f"/sys of a network namespace: {os.strerror(ctypes.get_errno())}; needs CAP_SYS_ADMIN")
    try:
        if libc.syscall(_FSCONFIG, opened, _FSCONFIG_CREATE, None, None, 0) != 0:
            raise HostError(f"/sys of a network namespace: {os.strerror(ctypes.get_errno())}")
        mounted: int = libc.syscall(_FSMOUNT, opened, _CLOEXEC, 0)
        if mounted < 0:
            raise HostError(f"/sys of a network namespace: {os.strerror(ctypes.get_errno())}")
        return mounted
    finally:
        os.close(opened)


@contextmanager
def host_inside(host: Host, namespace: str) -> Iterator[Host]:
    """Have the calling thread look at, or set, what a named network namespace has; "": its own. HostError if refused.

    A made-up host has no namespaces: it is given back as it is.
    """
    if not namespace or host.root != Path("/"):
        yield host
        return
    with in_namespace(namespace):
        mounted = _mount_network()
        try:
            yield Host(host.root, host.calls, Path(f"/proc/self/fd/{mounted}"))
        finally:
            os.close(mounted)
