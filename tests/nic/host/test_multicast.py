"""Memberships on a network of our own: what the kernel says of them, what goes over the wire, and what is delivered."""

import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest

from crosswire.nic.host.multicast import GROUPS_MAX, Group, Membership, is_multicast, multicast_mac
from crosswire.nic.host.process import HostError
from crosswire.nic.host.testbed import Testbed, in_namespace
from crosswire.nic.rings.joined import make_joined_ring
from crosswire.nic.rings.sockets.tcp import TcpSocketRing
from crosswire.nic.rings.sockets.udp import UdpSocket
from tests.support.net import own_testbed
from tests.support.ring_cases import WAIT_S, driver_of, payload_of

A, B = Group(0xEF010101, 6200), Group(0xEF010201, 6201)
JIT = pytest.mark.parametrize("jit", [True, False], ids=["compiled", "python"])
PROTOCOL_IGMP = 2
IGMP_V3_REPORT = 0x22  # RFC 3376 4
TO_INCLUDE, TO_EXCLUDE, ALLOW_NEW, BLOCK_OLD = 3, 4, 5, 6  # kinds of group record, RFC 3376 4.2.12


@pytest.fixture(scope="module")
def testbed() -> Iterator[Testbed]:
    with own_testbed("mc", links=2) as network:
        yield network


@pytest.fixture
def wire(testbed: Testbed) -> Iterator[socket.socket]:
    """What comes out at the exchange's end of the first link."""
    with in_namespace(testbed.exchange), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as raw:
        raw.bind((testbed.links[0].exchange_interface, 0x0800))
        raw.settimeout(0.1)
        yield raw


def number_of(ip: str) -> int:
    return int.from_bytes(socket.inet_aton(ip), "big")


def joined(interface: str) -> set[int]:
    """The groups that the kernel holds on an interface of this thread's namespace, by /proc/net/igmp."""
    groups: set[int] = set()
    there = False
    for line in Path("/proc/thread-self/net/igmp").read_text().splitlines()[1:]:
        words = line.split()
        if line[0].isdigit():
            there = words[1] == interface
        elif there:
            groups.add(int.from_bytes(bytes.fromhex(words[0])[::-1], "big"))
    return groups


def reports(wire: socket.socket, wanted: set[tuple[int, int]]) -> dict[tuple[int, int], list[int]]:
    """IGMP group records by (kind, group): their sources; read until all `wanted` are there or WAIT_S have passed."""
    found: dict[tuple[int, int], list[int]] = {}
    deadline_s = monotonic() + WAIT_S
    while not wanted <= set(found) and monotonic() < deadline_s:
        try:
            frame = wire.recv(2048)
        except TimeoutError:
            continue
        igmp = 14 + (frame[14] & 15) * 4
        if frame[23] != PROTOCOL_IGMP or frame[igmp] != IGMP_V3_REPORT:
            continue
        position = igmp + 8
        for _ in range(int.from_bytes(frame[igmp + 6 : igmp + 8], "big")):
            kind, _, sources, group = struct.unpack_from(">BBHI", frame, position)
            found[kind, group] = list(struct.unpack_from(f">{sources}I", frame, position + 8))
            position += 8 + 4 * sources
    return found


@pytest.fixture
def publisher(testbed: Testbed) -> Iterator[socket.socket]:
    with in_namespace(testbed.exchange), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind((testbed.links[0].exchange_ip, 0))
        yield made


def publish(publisher: socket.socket, group: Group, payload: bytes, interface_ip: str) -> None:
    publisher.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(interface_ip))
    publisher.sendto(payload, (socket.inet_ntoa(group.ip.to_bytes(4, "big")), group.port))


@pytest.mark.netns
def test_join_and_leave_by_kernel_and_wire(testbed: Testbed, wire: socket.socket) -> None:
    interface = testbed.links[0].engine_interface
    with in_namespace(testbed.engine):
        before = joined(interface)
        with Membership(interface, [A, B, Group(A.ip, 7000)]) as member:
            assert len(member.joined) == 2  # a membership is of an address, whatever the ports
            assert joined(interface) == before | {A.ip, B.ip}
            wanted = {(TO_EXCLUDE, A.ip), (TO_EXCLUDE, B.ip)}
            assert wanted <= set(reports(wire, wanted))
        assert joined(interface) == before
    wanted = {(TO_INCLUDE, A.ip), (TO_INCLUDE, B.ip)}
    assert wanted <= set(reports(wire, wanted))


@pytest.mark.netns
def test_join_of_one_source_by_wire(testbed: Testbed, wire: socket.socket) -> None:
    interface, source = testbed.links[0].engine_interface, number_of(testbed.links[0].exchange_ip)
    with in_namespace(testbed.engine), Membership(interface, [Group(A.ip, A.port, source)]):
        assert A.ip in joined(interface)
        assert reports(wire, {(ALLOW_NEW, A.ip)})[ALLOW_NEW, A.ip] == [source]
    assert reports(wire, {(BLOCK_OLD, A.ip)})[BLOCK_OLD, A.ip] == [source]


@pytest.mark.netns
@JIT
def test_only_the_wanted_source_is_delivered(testbed: Testbed, publisher: socket.socket, jit: bool) -> None:
    link = testbed.links[0]
    source = number_of(link.exchange_ip)
    with in_namespace(testbed.engine):
        wanted = UdpSocket(link.engine_interface, [Group(A.ip, A.port, source)])
        other = UdpSocket(link.engine_interface, [Group(A.ip, A.port, source + 7)])
    with wanted, other:
        publish(publisher, A, b"x", link.exchange_ip)
        publish(publisher, B, b"of no member", link.exchange_ip)
        assert [payload_of(frame) for frame in driver_of(wanted.ring, jit).receive(1)] == [b"x"]
        assert driver_of(wanted.ring, jit).receive_all() == []
        assert driver_of(other.ring, jit).receive_all() == []


@pytest.mark.netns
@JIT
def test_lines_a_and_b_as_two_groups_of_one_ring(testbed: Testbed, publisher: socket.socket, jit: bool) -> None:
    link = testbed.links[0]
    with in_namespace(testbed.engine):
        receiver = UdpSocket(link.engine_interface, [A, B])
    with receiver:
        for number in range(50):
            publish(publisher, A, b"a%d" % number, link.exchange_ip)
            publish(publisher, B, b"b%d" % number, link.exchange_ip)
        frames = driver_of(receiver.ring, jit).receive(100)
        for group, letter in ((A, b"a"), (B, b"b")):
            of_line = [frame for frame in frames if frame[:6] == multicast_mac(group.ip).to_bytes(6, "big")]
            assert [payload_of(frame) for frame in of_line] == [letter + b"%d" % number for number in range(50)]
            assert {frame[36:38] for frame in of_line} == {group.port.to_bytes(2, "big")}


@pytest.mark.netns
@JIT
def test_lines_a_and_b_as_two_rings_on_two_interfaces(testbed: Testbed, publisher: socket.socket, jit: bool) -> None:
    """Each line comes in on its own interface only, though the group is sent on both."""
    first, second = testbed.links
    with in_namespace(testbed.engine):
        line_a = UdpSocket(first.engine_interface, [A])
        line_b = UdpSocket(second.engine_interface, [B])
    with line_a, line_b:
        ring = make_joined_ring(TcpSocketRing(descriptor=-1), (line_a.ring, line_b.ring))
        for number in range(50):
            for link in testbed.links:
                for group, letter in ((A, b"a"), (B, b"b")):
                    publish(
                        publisher, group, b"%b%d %b" % (letter, number, link.exchange_ip.encode()), link.exchange_ip
                    )
        got = [payload_of(frame) for frame in driver_of(ring, jit).receive_all()]
        assert len(got) == 100
        for letter, link in ((b"a", first), (b"b", second)):
            expected = [b"%b%d %b" % (letter, number, link.exchange_ip.encode()) for number in range(50)]
            assert [payload for payload in got if payload[:1] == letter] == expected
        assert (line_a.ring.counters.frames, line_b.ring.counters.frames) == (50, 50)
        assert ring.counters.drops == 0


@pytest.mark.netns
def test_what_is_refused(testbed: Testbed) -> None:
    interface = testbed.links[0].engine_interface
    with in_namespace(testbed.engine):
        before = joined(interface)
        with pytest.raises(HostError, match=r"^nowhere0: no such interface; see `ip link`$"):
            Membership("nowhere0", [A])
        with pytest.raises(HostError, match=r"10\.1\.1\.1 is not a multicast address"):
            Membership(interface, [A, Group(0x0A010101, 1)])
        assert joined(interface) == before
        with pytest.raises(HostError, match=r"65 groups; at most 64$"):
            Membership(interface, [Group(A.ip + number, 1) for number in range(GROUPS_MAX + 1)])
        # The kernel holds 20 for one socket; these are one each.
        with Membership(interface, [Group(A.ip + number, 1) for number in range(GROUPS_MAX)]):
            assert len(joined(interface) - before) == GROUPS_MAX


def test_addresses() -> None:
    """RFC 1112 6.4: 32 groups share each Ethernet address."""
    assert multicast_mac(0xEF010203) == multicast_mac(0xE0810203) == 0x01005E010203
    assert [is_multicast(ip) for ip in (0xDFFFFFFF, 0xE0000000, 0xEFFFFFFF, 0xF0000000)] == [False, True, True, False]
    assert str(A) == "239.1.1.1:6200"
    assert str(Group(A.ip, A.port, 0x0A620002)) == "10.98.0.2@239.1.1.1:6200"
