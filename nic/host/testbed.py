"""A network of our own on one machine: two namespaces, the engine's and the exchanges', joined by veth pairs.

    <name>-engine                                   <name>-exchange
    <name>e0 10.98.0.1 -------- veth pair -------- <name>x0 10.98.0.2
    <name>e1 10.98.1.1 -------- veth pair -------- <name>x1 10.98.1.2

Both ends fill in their checksums themselves (tx off): AF_XDP would otherwise see frames that hold only the
pseudo-header's sum (2062 of 2062 measured), and generic mode would lose TSO's super-frames. Neighbours are static.
"""

import ctypes
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

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


@dataclass(frozen=True)
class _End:
    """One end of a link."""

    namespace: str
    interface: str
    ip: str
    mac: int

    def settle(self, peer: "_End", has_groups: bool) -> list[str]:
        """Set what is not as it should be, and say what that was.

        What is as it should be is not set again: the kernel forgets an interface's neighbours when it is given the
        address that it has, and somebody may trade over it.
        """
        space, name = ("ip", "-n", self.namespace), self.interface
        link = _interfaces(self.namespace)[name]
        mac = (*space, "link", "set", name, "address", mac_text(self.mac))
        up = (*space, "link", "set", name, "up")
        address = (*space, "address", "add", f"{self.ip}/24", "dev", name)
        offload = ("ip", "netns", "exec", self.namespace, "ethtool", "-K", name, "tx", "off")
        neighbour = (*space, "neigh", "replace", peer.ip, "lladdr", mac_text(peer.mac), "dev", name, "nud", "permanent")
        groups = (*space, "route", "add", "224.0.0.0/4", "dev", name)
        made = []
        for what, is_so, command in (
            ("Ethernet address", link["address"] == mac_text(self.mac), mac),
            ("up", "UP" in link["flags"], up),
            ("address", self.ip in [each.get("local") for each in link["addr_info"]], address),
            ("checksum offload", _is_offload_off(self.namespace, name), offload),
            ("neighbour", self._knows(peer), neighbour),
            ("route of the groups", not has_groups or self._has_groups(), groups),
        ):
            if not is_so:
                _run(*command)
                made.append(f"{name}: {what}")
        return made + _set_sysctl(self.namespace, f"net.ipv4.conf.{name}.rp_filter", "0")

    def _knows(self, peer: "_End") -> bool:
        found = _ip_json(self.namespace, "neigh", "show", peer.ip, "dev", self.interface)
        return [(each.get("lladdr"), each["state"]) for each in found] == [(mac_text(peer.mac), ["PERMANENT"])]

    def _has_groups(self) -> bool:
        return bool(_ip_json(self.namespace, "route", "show", "224.0.0.0/4", "dev", self.interface))


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

    def up(self) -> list[str]:
        """Make what of it is not there, and say what that was; [] if it was whole. What is there is never replaced.

        HostError if refused; then nothing is left of it, unless something was there before.
        """
        missing = [name for name in (self.engine, self.exchange) if not _is_up(name)]
        made = [f"namespace {name}" for name in missing]
        try:
            for name in missing:
                _run("ip", "netns", "add", name)
            for name in (self.engine, self.exchange):
                settled = _settle_namespace(name)
                made += [] if name in missing else settled
            for link in self.links:
                made += self._join(link)
        except HostError:
            if len(missing) == 2:
                self.down()
            raise
        return made

    def describe(self, made: list[str]) -> str:
        """Say in one line what `up` made, and what is there beyond what was asked for."""
        ours = {link.engine_interface for link in self.links}
        others = [each for each in _interfaces(self.engine) if each.startswith(f"{self.name}e") and each not in ours]
        beside = f"; {', '.join(others)} of another `up` is left as it is" if others else ""
        was = f"made {', '.join(made)}" if made else "is up already, as asked for: nothing is changed"
        return f"testbed {self.name}: {was}{beside}"

    def _join(self, link: Link) -> list[str]:
        ends = (
            _End(self.engine, link.engine_interface, link.engine_ip, link.engine_mac),
            _End(self.exchange, link.exchange_interface, link.exchange_ip, link.exchange_mac),
        )
        made = []
        if not _are_joined(*ends):
            queues = ("numrxqueues", "1", "numtxqueues", "1")
            _run(
                "ip", "link", "add", link.engine_interface, *queues, "netns", self.engine, "type", "veth",
                "peer", "name", link.exchange_interface, *queues, "netns", self.exchange,
            )  # fmt: skip
            made = [f"veth pair {link.engine_interface} - {link.exchange_interface}"]
        settled = [each for end, peer in (ends, ends[::-1]) for each in end.settle(peer, link is self.links[0])]
        return made or settled

    def down(self) -> None:
        """Remove what there is of it; the veth pairs go with their namespaces."""
        there = {line.split()[0] for line in _run("ip", "netns", "list").splitlines() if line}
        for namespace in (self.engine, self.exchange):
            if namespace in there:
                _run("ip", "netns", "delete", namespace)

    def __enter__(self) -> Self:
        """Make it; HostError if any of it is there: at the end it would be removed under whoever made it."""
        for name in (self.engine, self.exchange):
            if _is_up(name):
                raise HostError(f"testbed {self.name}: {name} is up already; `down` removes it")
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


def _settle_namespace(name: str) -> list[str]:
    """Have a namespace's loopback up and its IPv6 off; say what was otherwise."""
    made = []
    for family in ("all", "default"):
        made += _set_sysctl(name, f"net.ipv6.conf.{family}.disable_ipv6", "1")
    if "UP" not in _interfaces(name)["lo"]["flags"]:
        _run("ip", "-n", name, "link", "set", "lo", "up")
        made.append(f"{name}: lo up")
    return made


def _set_sysctl(namespace: str, key: str, value: str) -> list[str]:
    if _run_in(namespace, "sysctl", "-n", key).strip() == value:
        return []
    _run_in(namespace, "sysctl", "-qw", f"{key}={value}")
    return [f"{namespace}: {key} = {value}"]


def _interfaces(namespace: str) -> dict[str, dict[str, Any]]:
    return {each["ifname"]: each for each in _ip_json(namespace, "address", "show")}


def _are_joined(one: _End, other: _End) -> bool:
    """Tell whether both are the ends of one pair; HostError if one is there and is not."""
    found = [_interfaces(end.namespace).get(end.interface) for end in (one, other)]
    if found == [None, None]:
        return False
    first, second = found
    if first is None or second is None or first.get("link_index") != second["ifindex"]:
        raise HostError(
            f"{one.interface} in {one.namespace} and {other.interface} in {other.namespace} are not the two ends of a"
            " veth pair: `crosswire testbed down` removes them"
        )
    return True


def _is_offload_off(namespace: str, interface: str) -> bool:
    return "\ntx-checksumming: off" in _run_in(namespace, "ethtool", "-k", interface)


def _ip_json(namespace: str, *words: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(_run("ip", "-json", "-n", namespace, *words) or "[]")
    return [each for each in found if each]


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
