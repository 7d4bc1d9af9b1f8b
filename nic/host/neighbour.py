"""Who is next on the wire: an interface's own addresses, and the Ethernet address that frames to a peer go to.

The kernel resolves and keeps neighbours (ARP, RFC 826); a ring that bypasses it asks its table over netlink
(rtnetlink(7)) once, and again with `resolve` when a connection has died.
"""

import errno
import fcntl
import os
import socket
import struct
import time

from crosswire.nic.host.interface import interface_index
from crosswire.nic.host.multicast import ip_text
from crosswire.nic.host.process import HostError

RESOLVE_PATIENCE_S = 3.0  # the kernel asks three times, once a second
_RESOLVE_STEP_S = 0.02
_DISCARD_PORT = 9  # RFC 863: what a datagram that is only to provoke ARP is sent to
_SIOCGIFADDR, _SIOCGIFHWADDR, _SIOCGIFMTU = 0x8915, 0x8927, 0x8921
_RTM_GETROUTE, _RTM_GETNEIGH = 26, 30
_NLM_F_REQUEST, _NLM_F_DUMP = 0x1, 0x300
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_RTA_DST, _RTA_OIF, _RTA_GATEWAY = 1, 4, 5
_NDA_DST, _NDA_LLADDR = 1, 2
_NUD_VALID = 0x02 | 0x04 | 0x08 | 0x10 | 0x40 | 0x80  # reachable, stale, delay, probe, no ARP, permanent
_HEADER_BYTES = 16  # struct nlmsghdr; rtmsg and ndmsg have 12 bytes
_MESSAGE_BYTES = 12
_REPLY_BYTES = 1 << 16


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


def _netlink(kind: int, flags: int, body: bytes) -> list[bytes]:
    """Send a request and return the messages that answer it, without their headers; OSError as the kernel says."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0) as link:
        link.settimeout(RESOLVE_PATIENCE_S)
        link.send(struct.pack("<IHHII", _HEADER_BYTES + len(body), kind, _NLM_F_REQUEST | flags, 1, 0) + body)
        messages: list[bytes] = []
        while True:
            data = link.recv(_REPLY_BYTES)
            while len(data) >= _HEADER_BYTES:
                length, reply = struct.unpack_from("<IH", data)
                content, data = data[_HEADER_BYTES:length], data[(length + 3) & ~3 :]
                if reply == _NLMSG_DONE:
                    return messages
                if reply == _NLMSG_ERROR:
                    number = -struct.unpack_from("<i", content)[0]
                    raise OSError(number, os.strerror(number))
                messages.append(content)
                if not flags & _NLM_F_DUMP:
                    return messages


def _attributes(content: bytes) -> dict[int, bytes]:
    """Map type to value of the attributes in a message's part behind its fixed fields."""
    found: dict[int, bytes] = {}
    content = content[_MESSAGE_BYTES:]
    while len(content) >= 4:
        length, kind = struct.unpack_from("<HH", content)
        if length < 4:
            break
        found[kind] = content[4:length]
        content = content[(length + 3) & ~3 :]
    return found


def next_hop(interface: str, ip: int) -> int:
    """The address that packets to `ip` go to next: itself, or a router's. HostError if they leave elsewhere."""
    body = struct.pack("<BBBBBBBBI", socket.AF_INET, 32, 0, 0, 0, 0, 0, 0, 0)
    body += struct.pack("<HH4s", 8, _RTA_DST, ip.to_bytes(4, "big"))
    try:
        route = _attributes(_netlink(_RTM_GETROUTE, 0, body)[0])
    except OSError as error:
        raise HostError(f"{interface}: no route to {ip_text(ip)}: {error.strerror}; see `ip route`") from None
    if int.from_bytes(route.get(_RTA_OIF, b""), "little") != interface_index(interface):
        raise HostError(f"{interface}: packets to {ip_text(ip)} leave by another interface; see `ip route get`")
    return int.from_bytes(route[_RTA_GATEWAY], "big") if _RTA_GATEWAY in route else ip


def known_mac(interface: str, ip: int) -> int:
    """A neighbour's address in the kernel's table, as a 48-bit number; 0 if it does not know it."""
    index = interface_index(interface)
    wanted = ip.to_bytes(4, "big")
    for content in _netlink(_RTM_GETNEIGH, _NLM_F_DUMP, struct.pack("<B3xiHBB", socket.AF_INET, 0, 0, 0, 0)):
        _, where, state = struct.unpack_from("<B3xiH", content)
        if where != index or not state & _NUD_VALID:
            continue
        neighbour = _attributes(content)
        if neighbour.get(_NDA_DST) == wanted and len(neighbour.get(_NDA_LLADDR, b"")) == 6:
            return int.from_bytes(neighbour[_NDA_LLADDR], "big")
    return 0


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
