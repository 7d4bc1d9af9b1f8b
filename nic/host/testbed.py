"""A network of our own on one machine: two namespaces, the engine's and the exchanges', joined by veth pairs.

    <name>-engine                                   <name>-exchange
    <name>e0 10.98.0.1 -------- veth pair -------- <name>x0 10.98.0.2
    <name>e1 10.98.1.1 -------- veth pair -------- <name>x1 10.98.1.2

Both ends fill in their checksums themselves (tx off): AF_XDP would otherwise see frames that hold only the
pseudo-header's sum (2062 of 2062 measured), and generic mode would lose TSO's super-frames. Neighbours are static.
"""

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from crosswire.nic.host.name import NAME_RULE, is_name
from crosswire.nic.host.process import HostError, libc

NAME_LETTERS_MAX = 8  # an interface's name has 15 letters at most, and there are two of ours in it
LINKS_MAX = 8
_CLONE_NEWNET = 0x40000000


@dataclass(frozen=True)
class Link:
    """One wire between engine and exchange. MACs are 48-bit numbers."""

    engine_interface: str
    exchange_interface: str
    engine_ip: str
    exchange_ip: str
    engine_mac: int
    exchange_mac: int


def mac_text(mac: int) -> str:
    """A 48-bit number as text: 02:00:0a:62:00:01."""
    return mac.to_bytes(6, "big").hex(":")


class Testbed:
    """The network; `up` makes it, `down` removes all of it, whatever of it is there. HostError if refused."""

    __test__ = False  # not a test class, whatever its name makes pytest think

    def __init__(self, name: str = "cw", links: int = 1) -> None:
        if not (1 <= len(name) <= NAME_LETTERS_MAX and name.isalnum()):
            raise HostError(f"testbed name {name}: must be 1 to {NAME_LETTERS_MAX} letters and digits")
        if not 1 <= links <= LINKS_MAX:
            raise HostError(f"testbed {name}: {links} links, must be 1 to {LINKS_MAX}")
        self.name = name
        self.engine = f"{name}-engine"
        self.exchange = f"{name}-exchange"
        self.links = [
            Link(
                f"{name}e{number}",
                f"{name}x{number}",
                f"10.98.{number}.1",
                f"10.98.{number}.2",
                0x02_00_0A_62_00_01 + (number << 8),
                0x02_00_0A_62_00_02 + (number << 8),
            )
            for number in range(links)
        ]

    def up(self) -> None:
        """Make it; nothing is left of it if that fails. A network of that name that is up stays as it is: HostError."""
        for namespace in (self.engine, self.exchange):
            if _is_up(namespace):
                raise HostError(f"testbed {self.name}: {namespace} is up already; `down` removes it")
        try:
            for namespace in (self.engine, self.exchange):
                _run("ip", "netns", "add", namespace)
                for family in ("all", "default"):
                    _run_in(namespace, "sysctl", "-qw", f"net.ipv6.conf.{family}.disable_ipv6=1")
                _run("ip", "-n", namespace, "link", "set", "lo", "up")
            for link in self.links:
                self._join(link)
        except HostError:
            self.down()
            raise

    def _join(self, link: Link) -> None:
        queues = ("numrxqueues", "1", "numtxqueues", "1")
        _run(
            "ip", "link", "add", link.engine_interface, *queues, "netns", self.engine, "type", "veth",
            "peer", "name", link.exchange_interface, *queues, "netns", self.exchange,
        )  # fmt: skip
        ends = (
            (self.engine, link.engine_interface, link.engine_ip, link.engine_mac),
            (self.exchange, link.exchange_interface, link.exchange_ip, link.exchange_mac),
        )
        for namespace, interface, address, mac in ends:
            _run("ip", "-n", namespace, "link", "set", interface, "address", mac_text(mac), "up")
            _run("ip", "-n", namespace, "address", "add", f"{address}/24", "dev", interface)
            _run_in(namespace, "ethtool", "-K", interface, "tx", "off")
            _run_in(namespace, "sysctl", "-qw", f"net.ipv4.conf.{interface}.rp_filter=0")
        for (namespace, interface, _, _), (_, _, peer, peer_mac) in (ends, ends[::-1]):
            lladdr = mac_text(peer_mac)
            _run(
                "ip", "-n", namespace, "neigh", "replace", peer, "lladdr", lladdr, "dev", interface, "nud", "permanent"
            )
        for namespace, interface, _, _ in ends:
            if link is self.links[0]:
                _run("ip", "-n", namespace, "route", "add", "224.0.0.0/4", "dev", interface)

    def down(self) -> None:
        """Remove what there is of it; the veth pairs go with their namespaces."""
        there = {line.split()[0] for line in _run("ip", "netns", "list").splitlines() if line}
        for namespace in (self.engine, self.exchange):
            if namespace in there:
                _run("ip", "netns", "delete", namespace)

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.down()


def _is_up(namespace: str) -> bool:
    """Tell whether a namespace of that name lives.

    `ip netns add` mounts each on a file of its name; where a machine ends without unmounting and its /run outlives it,
    as a container's may, the file stays, and is removed here.
    """
    name = Path("/run/netns", namespace)
    if not name.exists():
        return False
    if name.stat().st_dev != name.parent.stat().st_dev:
        return True
    name.unlink()
    return False


def _run(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    except FileNotFoundError:
        raise HostError(f"{command[0]}: not installed; install Debian's iproute2, ethtool and procps") from None
    if done.returncode != 0:
        raise HostError(f"{' '.join(command)}: {done.stderr.strip() or f'exit code {done.returncode}'}")
    return done.stdout


def _run_in(namespace: str, *command: str) -> str:
    return _run("ip", "netns", "exec", namespace, *command)


@contextmanager
def in_namespace(name: str) -> Iterator[None]:
    """Have the calling thread work in the namespace `name`; sockets made there stay there. HostError if refused."""
    if not is_name(name):
        raise HostError(f"network namespace {name!r}: {NAME_RULE}")
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        try:
            there = os.open(f"/run/netns/{name}", os.O_RDONLY)
        except OSError as error:
            raise HostError(f"network namespace {name}: {error.strerror}; `crosswire testbed up` makes one") from None
        try:
            _enter(there, name)
            yield
        finally:
            os.close(there)
            _enter(home, "of the process")
    finally:
        os.close(home)


@contextmanager
def private_namespace(pairs: int) -> Iterator[list[tuple[str, str]]]:
    """Have the calling thread work in a network namespace without a name; it ends with the process at the latest.

    In it are the loopback and `pairs` veth pairs, all up, the first end of pair n with the address 198.18.n.1: gives
    their two ends' names. HostError if refused.
    """
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        if libc.unshare(_CLONE_NEWNET) != 0:
            raise HostError(f"a network namespace: {os.strerror(ctypes.get_errno())}; needs CAP_SYS_ADMIN")
        try:
            names = [(f"near{number}", f"far{number}") for number in range(pairs)]
            _run("ip", "link", "set", "lo", "up")
            for number, (near, far) in enumerate(names):
                _run("ip", "link", "add", near, "type", "veth", "peer", "name", far)
                _run("ip", "address", "add", f"198.18.{number}.1/24", "dev", near)
                _run("ip", "link", "set", near, "up")
                _run("ip", "link", "set", far, "up")
            yield names
        finally:
            _enter(home, "of the process")
    finally:
        os.close(home)


def _enter(descriptor: int, name: str) -> None:
    if libc.setns(descriptor, _CLONE_NEWNET) != 0:
        raise HostError(f"network namespace {name}: {os.strerror(ctypes.get_errno())}; needs CAP_SYS_ADMIN")
