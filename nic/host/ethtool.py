"""What a card says of itself and is told, by the ioctls of ethtool(8), SIOCETHTOOL, and of hwstamp_ctl(8).

    linux/ethtool.h: a command, then what it asks for; `struct ifreq` has the interface's name and the address of that

Works in the network namespace of the calling thread. What a driver does not have is None, never a guess.
"""

import ctypes
import errno
import fcntl
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from crosswire.nic.host.interface import interface_index
from crosswire.nic.host.netlink import ask_netlink, attributes
from crosswire.nic.host.process import HostError

_SIOCETHTOOL, _SIOCGIFFLAGS, _SIOCGHWTSTAMP = 0x8946, 0x8913, 0x89B1
_IFF_UP, _IFF_RUNNING = 0x1, 0x40
_DRIVER, _RULE_COUNT, _RULE, _RULES, _QUEUE_TABLE = 0x03, 0x2E, 0x2F, 0x30, 0x38
_STRINGS, _SET_INFO, _GET_FEATURES, _SET_FEATURES, _STAMPS = 0x1B, 0x37, 0x3A, 0x3B, 0x41
_FEATURE_NAMES = 4  # ETH_SS_FEATURES
_NAME_BYTES = 32
_UDP_OVER_IPV4 = 0x02
_RULES_MAX = 4096
_RULE_BYTES, _SPEC_AT, _COOKIE_AT, _LOCATION_AT, _COUNT_AT, _LOCATIONS_AT = 192, 16, 168, 176, 184, 188
_RTM_GETLINK = 18
_LINK_BYTES = 16  # struct ifinfomsg
_IFLA_LINK, _IFLA_LINK_NAMESPACE, _IFLA_XDP, _IFLA_XDP_PROGRAM = 5, 37, 43, 4
_REFUSED = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)
RECEIVE_HARDWARE = 0x4  # SOF_TIMESTAMPING_RX_HARDWARE
FILTER_ALL = 0x2  # of the receive filters: every frame is stamped


@dataclass(frozen=True)
class Words:
    """Settings that are read and written together: the commands, and the names of their 32-bit words."""

    read: int
    write: int
    option: str  # of ethtool(8), that writes them
    names: tuple[str, ...]


GROUPS = {
    "rings": Words(
        0x10, 0x11, "-G", ("rx-max", "rx-mini-max", "rx-jumbo-max", "tx-max", "rx", "rx-mini", "rx-jumbo", "tx")
    ),
    "coalescing": Words(
        0x0E, 0x0F, "-C",
        ("rx-usecs", "rx-frames", "rx-usecs-irq", "rx-frames-irq", "tx-usecs", "tx-frames", "tx-usecs-irq",
         "tx-frames-irq", "stats-block-usecs", "adaptive-rx", "adaptive-tx", "pkt-rate-low", "rx-usecs-low",
         "rx-frame-low", "tx-usecs-low", "tx-frame-low", "pkt-rate-high", "rx-usecs-high", "rx-frame-high",
         "tx-usecs-high", "tx-frame-high", "sample-interval"),
    ),
    "channels": Words(
        0x3C, 0x3D, "-L", ("rx-max", "tx-max", "other-max", "combined-max", "rx", "tx", "other", "combined")
    ),
    "pause": Words(0x12, 0x13, "-A", ("autoneg", "rx", "tx")),
}  # fmt: skip


@dataclass(frozen=True)
class Feature:
    """One of a card's features. One that can't be changed is fixed."""

    is_on: bool
    is_fixed: bool = False


@dataclass(frozen=True)
class Stamps:
    """What a card can stamp: bits of SOF_TIMESTAMPING_*, its clock's number (-1: it has none), receive filters."""

    kinds: int
    clock: int
    filters: int

    @property
    def lacks(self) -> list[str]:
        """What is missing for a stamp of the card's on every received frame."""
        wanted = {
            "no clock (PHC)": self.clock >= 0,
            "no hardware receive stamps": self.kinds & RECEIVE_HARDWARE,
            "not for every frame": self.filters & FILTER_ALL,
        }
        return [what for what, is_there in wanted.items() if not is_there]


@dataclass(frozen=True)
class Rule:
    """A rule by which UDP over IPv4 to an address and port (0: to any) arrives on a queue."""

    ip: int
    port: int
    queue: int


@dataclass(frozen=True)
class Card:
    """All of an interface that is looked at; None: its driver does not have it."""

    driver: str | None = None
    is_up: bool = True
    has_carrier: bool = True
    features: Mapping[str, Feature] = field(default_factory=dict)
    groups: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  # of `GROUPS`, those that the driver has
    stamps: Stamps | None = None
    spread: tuple[int, ...] | None = None  # queues that what no rule steers is spread over
    rules: tuple[Rule, ...] | None = None
    program: int = 0  # the XDP program that is attached
    peer: str = ""  # a veth's other end, if it is in the same network namespace


def _call(interface: str, request: bytes, code: int = _SIOCETHTOOL) -> bytes:
    """Ask for one command; OSError as the kernel says."""
    room = ctypes.create_string_buffer(request, len(request))
    asked = struct.pack("<16sQ16x", interface.encode(), ctypes.addressof(room))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, code, asked)
    return room.raw


def _try(interface: str, request: bytes, code: int = _SIOCETHTOOL) -> bytes | None:
    """Ask for one command; None if the driver does not have it. HostError: no such interface, or not allowed."""
    try:
        return _call(interface, request, code)
    except OSError as error:
        if error.errno in _REFUSED:
            return None
        raise HostError(f"{interface}: ethtool: {error.strerror}") from None


def read_words(interface: str, group: str) -> dict[str, int] | None:
    """Read a group of `GROUPS`; None: the driver does not have it."""
    words = GROUPS[group]
    got = _try(interface, struct.pack("<I", words.read) + bytes(4 * len(words.names)))
    return (
        None
        if got is None
        else dict(zip(words.names, struct.unpack_from(f"<{len(words.names)}I", got, 4), strict=True))
    )


def write_word(interface: str, group: str, name: str, value: int) -> None:
    """Set one word of a group, and leave the others. HostError if refused."""
    words = GROUPS[group]
    now = read_words(interface, group)
    if now is None:
        raise HostError(f"{interface}: {group}: the driver does not have it")
    request = struct.pack(f"<{1 + len(words.names)}I", words.write, *(now | {name: value}).values())
    try:
        _call(interface, request)
    except OSError as error:
        raise HostError(f"{interface}: {group}: {name} {value}: {error.strerror}") from None


def _feature_names(interface: str) -> list[str]:
    info = _try(interface, struct.pack("<IIQI", _SET_INFO, 0, 1 << _FEATURE_NAMES, 0))
    count = 0 if info is None else struct.unpack_from("<I", info, 16)[0]
    names = _try(interface, struct.pack("<III", _STRINGS, _FEATURE_NAMES, count) + bytes(_NAME_BYTES * count))
    if not count or names is None:
        return []
    return [
        names[at : at + _NAME_BYTES].split(b"\0")[0].decode() for at in range(12, 12 + _NAME_BYTES * count, _NAME_BYTES)
    ]


def read_features(interface: str) -> dict[str, Feature]:
    """Read all features, by the names that `ethtool -K` takes."""
    names = _feature_names(interface)
    blocks = -(-len(names) // 32)
    got = _try(interface, struct.pack("<II", _GET_FEATURES, blocks) + bytes(16 * blocks))
    if got is None:
        return {}
    found = {}
    for bit, name in enumerate(names):
        available, _, active, never = struct.unpack_from("<4I", got, 8 + 16 * (bit // 32))
        mask = 1 << bit % 32
        if name:
            found[name] = Feature(bool(active & mask), not available & mask or bool(never & mask))
    return found


def write_feature(interface: str, name: str, is_on: bool) -> None:
    """Switch one feature. HostError if refused, or if the card keeps it as it is."""
    names = _feature_names(interface)
    if name not in names:
        raise HostError(f"{interface}: feature {name}: the kernel does not have it")
    bit, blocks = names.index(name), -(-len(names) // 32)
    parts = [0] * (2 * blocks)  # valid and requested, in turn
    parts[2 * (bit // 32)] = 1 << bit % 32
    parts[2 * (bit // 32) + 1] = (1 << bit % 32) if is_on else 0
    try:
        _call(interface, struct.pack(f"<{2 + len(parts)}I", _SET_FEATURES, blocks, *parts))
    except OSError as error:
        raise HostError(f"{interface}: feature {name}: {error.strerror}") from None
    if read_features(interface)[name].is_on != is_on:
        raise HostError(f"{interface}: feature {name}: the driver keeps it {'off' if is_on else 'on'}")


def _read_driver(interface: str) -> str | None:
    got = _try(interface, struct.pack("<I", _DRIVER) + bytes(192))
    return None if got is None else got[4:36].split(b"\0")[0].decode()


def read_stamps(interface: str) -> Stamps | None:
    """Read what the card can stamp; None: the driver tells nothing of it."""
    got = _try(interface, struct.pack("<I", _STAMPS) + bytes(40))
    if got is None:
        return None
    kinds, clock, _, filters = struct.unpack_from("<IiI12xI", got, 4)
    return Stamps(kinds, clock, filters)


def read_stamp_filter(interface: str) -> int:
    """Read which received frames the card is told to stamp, as HWTSTAMP_FILTER_*; 0: none, or it does not tell."""
    got = _try(interface, bytes(12), _SIOCGHWTSTAMP)  # struct hwtstamp_config
    return 0 if got is None else int(struct.unpack_from("<iii", got)[2])


def _read_spread(interface: str) -> tuple[int, ...] | None:
    """Read which queues the receive-side scaling uses."""
    asked = _try(interface, struct.pack("<II", _QUEUE_TABLE, 0))
    size = 0 if asked is None else struct.unpack_from("<I", asked, 4)[0]
    got = _try(interface, struct.pack("<II", _QUEUE_TABLE, size) + bytes(4 * size)) if size else None
    return None if got is None else tuple(sorted(set(struct.unpack_from(f"<{size}I", got, 8))))


def _read_rules(interface: str) -> tuple[Rule, ...] | None:
    """Read the rules that steer UDP over IPv4."""
    got = _try(interface, struct.pack("<I", _RULE_COUNT) + bytes(_RULE_BYTES - 4))
    count = 0 if got is None else struct.unpack_from("<I", got, _COUNT_AT)[0]
    if got is None or not 0 < count <= _RULES_MAX:
        return None if got is None else ()
    asked = bytearray(_RULE_BYTES + 4 * count)
    struct.pack_into("<IIQ", asked, 0, _RULES, 0, count)
    struct.pack_into("<I", asked, _COUNT_AT, count)
    listed = _try(interface, bytes(asked)) or bytes(asked)
    found = []
    for location in struct.unpack_from(f"<{count}I", listed, _LOCATIONS_AT):
        one = bytearray(_RULE_BYTES)
        struct.pack_into("<I", one, 0, _RULE)
        struct.pack_into("<I", one, _LOCATION_AT, location)
        spec = _try(interface, bytes(one))
        if spec is not None and struct.unpack_from("<I", spec, _SPEC_AT)[0] == _UDP_OVER_IPV4:
            ip, port = struct.unpack_from(">I2xH", spec, _SPEC_AT + 8)
            found.append(Rule(ip, port, struct.unpack_from("<Q", spec, _COOKIE_AT)[0]))
    return tuple(found)


def _read_link(interface: str) -> tuple[int, str]:
    """Read the attached XDP program, and a veth's other end if it is in the same network namespace."""
    body = struct.pack("<BxHiII", 0, 0, interface_index(interface), 0, 0)
    link = attributes(ask_netlink(_RTM_GETLINK, 0, body)[0][_LINK_BYTES:])
    program = attributes(link.get(_IFLA_XDP, b"")).get(_IFLA_XDP_PROGRAM, bytes(4))
    peer = int.from_bytes(link.get(_IFLA_LINK, b""), "little")
    is_here = peer > 0 and _IFLA_LINK_NAMESPACE not in link
    return int.from_bytes(program, "little"), socket.if_indextoname(peer) if is_here else ""


def read_card(interface: str) -> Card:
    """Read all of an interface that `Card` has. HostError: no such interface."""
    program, peer = _read_link(interface)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        got = fcntl.ioctl(any_socket, _SIOCGIFFLAGS, struct.pack("<16s24x", interface.encode()))
    flags = struct.unpack_from("<H", got, 16)[0]
    groups = {name: words for name in GROUPS if (words := read_words(interface, name)) is not None}
    return Card(
        driver=_read_driver(interface),
        is_up=bool(flags & _IFF_UP),
        has_carrier=bool(flags & _IFF_RUNNING),
        features=read_features(interface),
        groups=groups,
        stamps=read_stamps(interface),
        spread=_read_spread(interface),
        rules=_read_rules(interface),
        program=program,
        peer=peer,
    )
