"""Multicast groups, joined through the kernel: it speaks IGMP (RFC 3376), whoever then takes the packets.

A ring that bypasses the kernel needs the membership all the same, or the switch would send it nothing.
"""

import errno
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from crosswire.nic.host.interface import interface_index
from crosswire.nic.host.owner import Owner
from crosswire.nic.host.process import HostError

GROUPS_MAX = 64  # of one `Membership`
MULTICAST_MAC = 0x01_00_5E_00_00_00  # with the low 23 bits of the group's address (RFC 1112 6.4)
_MULTICAST_IP = 0xE  # the first four bits: 224.0.0.0/4

_IP_ADD_MEMBERSHIP, _IP_MULTICAST_ALL = 35, 49
# IP_ADD_SOURCE_MEMBERSHIP would name the interface by its address; this takes its index (RFC 3678 5.1.2).
_MCAST_JOIN_SOURCE_GROUP = 46
_SOCKADDR_IN_IN_STORAGE = "<H2s4s120x"


@dataclass(frozen=True)
class Group:
    """Where packets are sent to: addresses as 32-bit numbers. With `source_ip` only that sender's are wanted."""

    ip: int
    port: int
    source_ip: int = 0

    def __str__(self) -> str:
        source = f"{ip_text(self.source_ip)}@" if self.source_ip else ""
        return f"{source}{ip_text(self.ip)}:{self.port}"


def ip_text(ip: int) -> str:
    """A 32-bit number as text: 239.1.1.1."""
    return socket.inet_ntoa(ip.to_bytes(4, "big"))


def is_multicast(ip: int) -> bool:
    """Whether an address is a group's."""
    return ip >> 28 == _MULTICAST_IP


def multicast_mac(ip: int) -> int:
    """The Ethernet address that a group's frames are sent to."""
    return MULTICAST_MAC | ip & 0x7F_FFFF


def join_group(member: socket.socket, interface: str, group: Group) -> None:
    """Make `member` a member of `group` on `interface` until it is closed. HostError if refused.

    It then gets the packets of its own memberships only, not of those that other sockets of the host hold.
    """
    index = interface_index(interface)
    if not is_multicast(group.ip):
        raise HostError(f"{interface}: {ip_text(group.ip)} is not a multicast address (224.0.0.0/4)")
    address = group.ip.to_bytes(4, "big")
    try:
        member.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)
        if group.source_ip:
            places = (
                struct.pack(_SOCKADDR_IN_IN_STORAGE, socket.AF_INET, bytes(2), ip)
                for ip in (address, group.source_ip.to_bytes(4, "big"))
            )
            request = struct.pack("<I4x", index) + b"".join(places)
            member.setsockopt(socket.IPPROTO_IP, _MCAST_JOIN_SOURCE_GROUP, request)
        else:
            request = address + bytes(4) + struct.pack("<i", index)  # struct ip_mreqn
            member.setsockopt(socket.IPPROTO_IP, _IP_ADD_MEMBERSHIP, request)
    except OSError as error:
        advice = {
            errno.ENODEV: "; the interface must be up",
            errno.ENOBUFS: "; raise net.ipv4.igmp_max_memberships",
        }.get(error.errno or 0, "")
        raise HostError(f"{interface}: joining {group}: {error.strerror}{advice}") from None


class Membership(Owner):
    """Owns memberships on one interface, without taking a packet; left again by `close`.

    A socket for each group: the kernel lets one socket hold only net.ipv4.igmp_max_memberships (20) of them.
    """

    def __init__(self, interface: str, groups: Iterable[Group]) -> None:
        """HostError if one of them is refused; then none is held."""
        self._sockets: list[socket.socket] = []
        self.joined = {Group(group.ip, 0, group.source_ip) for group in groups}  # a membership has no port
        if len(self.joined) > GROUPS_MAX:
            raise HostError(f"{interface}: {len(self.joined)} groups; at most {GROUPS_MAX}")
        try:
            for group in self.joined:
                self._sockets.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                join_group(self._sockets[-1], interface, group)
        except HostError:
            self.close()
            raise

    def close(self) -> None:
        """Leave the groups."""
        while self._sockets:
            self._sockets.pop().close()
