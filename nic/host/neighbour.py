"""Who is next on the wire: an interface's own addresses, and the Ethernet address that frames to a peer go to.

The kernel resolves and keeps neighbours (ARP, RFC 826); a ring that bypasses it asks its table over netlink
(rtnetlink(7)) once, and again with `resolve` when a connection has died.
"""

import errno
import fcntl
import socket
import struct
import time
from dataclasses import dataclass

from crosswire.nic.host.interface import interface_index
from crosswire.nic.host.multicast import ip_text
from crosswire.nic.host.netlink import ACK, CREATE, DUMP, REPLACE, ask_netlink, attribute, attributes
from crosswire.nic.host.process import HostError

RESOLVE_PATIENCE_S = 3.0  # the kernel asks three times, once a second
_RESOLVE_STEP_S = 0.02
_DISCARD_PORT = 9  # RFC 863: what a datagram that is only to provoke ARP is sent to
_SIOCGIFADDR, _SIOCGIFHWADDR, _SIOCGIFMTU = 0x8915, 0x8927, 0x8921
_RTM_GETROUTE, _RTM_NEWNEIGH, _RTM_DELNEIGH, _RTM_GETNEIGH = 26, 28, 29, 30
_RTA_DST, _RTA_OIF, _RTA_GATEWAY = 1, 4, 5
_NDA_DST, _NDA_LLADDR = 1, 2
NUD_REACHABLE, NUD_STALE, NUD_DELAY, NUD_PROBE, NUD_FAILED, NUD_PERMANENT = 0x02, 0x04, 0x08, 0x10, 0x20, 0x80
_NUD_NO_ARP = 0x40
_NUD_VALID = NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | _NUD_NO_ARP | NUD_PERMANENT
_MESSAGE_BYTES = 12  # struct rtmsg, struct ndmsg


def _ioctl(request: int, interface: str) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        try:
            return fcntl.ioctl(any_socket, request, struct.pack("<16s24x", interface.encode()))[16:]
        except OSError as error:
            advice = "; give it an IPv4 address" if error.errno == errno.EADDRNOTAVAIL else ""
            raise HostError(f"{interface}: {error.strerror}{advice}") from None


def interface_mac(interface: str) -> int:
    """An interface's Ethernet address as a 48-bit number; HostError if there is none."""
    return int.from_bytes(_ioctl(_SIOCGIFHWADDR, interface)[2:8], "big")


def interface_ip(interface: str) -> int:
    """An interface's first IPv4 address as a 32-bit number; HostError if it has none."""
    return int.from_bytes(_ioctl(_SIOCGIFADDR, interface)[4:8], "big")


def interface_mtu(interface: str) -> int:
    """The length of the longest IP packet on an interface, in bytes."""
    return int(struct.unpack_from("<i", _ioctl(_SIOCGIFMTU, interface))[0])


def next_hop(interface: str, ip: int) -> int:
    """The address that packets to `ip` go to next: itself, or a router's. HostError if they leave elsewhere."""
    body = struct.pack("<BBBBBBBBI", socket.AF_INET, 32, 0, 0, 0, 0, 0, 0, 0)
    body += attribute(_RTA_DST, ip.to_bytes(4, "big"))
    try:
        route = attributes(ask_netlink(_RTM_GETROUTE, 0, body)[0][_MESSAGE_BYTES:])
    except OSError as error:
        raise HostError(f"{interface}: no route to {ip_text(ip)}: {error.strerror}; see `ip route`") from None
    if int.from_bytes(route.get(_RTA_OIF, b""), "little") != interface_index(interface):
        raise HostError(f"{interface}: packets to {ip_text(ip)} leave by another interface; see `ip route get`")
    return int.from_bytes(route[_RTA_GATEWAY], "big") if _RTA_GATEWAY in route else ip


@dataclass(frozen=True)
class Neighbour:
    """An entry of the kernel's table: a 48-bit address, 0 if there is none, and the state, a bit of NUD_*."""

    mac: int
    state: int


def find_neighbour(interface: str, ip: int) -> Neighbour | None:
    """Look a neighbour up in the kernel's table; None: it has no entry. HostError: no such interface."""
    index = interface_index(interface)
    wanted = ip.to_bytes(4, "big")
    for content in ask_netlink(_RTM_GETNEIGH, DUMP, struct.pack("<B3xiHBB", socket.AF_INET, 0, 0, 0, 0)):
        _, where, state = struct.unpack_from("<B3xiH", content)
        entry = attributes(content[_MESSAGE_BYTES:])
        if where == index and entry.get(_NDA_DST) == wanted:
            mac = entry.get(_NDA_LLADDR, b"")
            return Neighbour(int.from_bytes(mac, "big") if len(mac) == 6 else 0, state)
    return None


def set_neighbour(interface: str, ip: int, neighbour: Neighbour | None) -> None:
    """Put an entry in the place of what the table has, or None: remove it. HostError if refused."""
    state = neighbour.state if neighbour else 0
    body = struct.pack("<B3xiHBB", socket.AF_INET, interface_index(interface), state, 0, 0)
    body += attribute(_NDA_DST, ip.to_bytes(4, "big"))
    kind, flags = (_RTM_NEWNEIGH, ACK | CREATE | REPLACE) if neighbour else (_RTM_DELNEIGH, ACK)
    if neighbour and neighbour.mac:
        body += attribute(_NDA_LLADDR, neighbour.mac.to_bytes(6, "big"))
    try:
        ask_netlink(kind, flags, body)
    except OSError as error:
        if neighbour is not None or error.errno != errno.ENOENT:
            raise HostError(f"{interface}: neighbour {ip_text(ip)}: {error.strerror}") from None


def known_mac(interface: str, ip: int) -> int:
    """A neighbour's address in the kernel's table, as a 48-bit number; 0 if it does not know it."""
    found = find_neighbour(interface, ip)
    return found.mac if found is not None and found.state & _NUD_VALID else 0


def resolve(interface: str, ip: int, patience_s: float = RESOLVE_PATIENCE_S) -> int:
    """Find the Ethernet address for frames to `ip`: the table's, or what the kernel learns when a datagram is sent.

    Works in the network namespace of the calling thread. HostError if nobody answers: no frame is ever sent to zero.
    """
    hop = next_hop(interface, ip)
    mac = known_mac(interface, hop)
    give_up = time.monotonic() + patience_s
    if not mac:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as provoking:
            try:
                provoking.sendto(b"", (ip_text(ip), _DISCARD_PORT))
            except OSError as error:
                raise HostError(f"{interface}: a datagram to {ip_text(ip)}: {error.strerror}; see `ip route`") from None
            while not mac and time.monotonic() < give_up:
                time.sleep(_RESOLVE_STEP_S)
                mac = known_mac(interface, hop)
    if not mac:
        raise HostError(f"{interface}: nobody answers ARP for {ip_text(hop)}; is it on this wire? Or configure its MAC")
    return mac
