"""AF_PACKET on a network of our own: tags put back, losses counted, other traffic kept out, a silent kernel."""

import errno
import fcntl
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from crosswire.nic.host.multicast import Group, Membership, multicast_mac
from crosswire.nic.host.process import HostError
from crosswire.nic.host.testbed import Link, Testbed, in_namespace
from crosswire.nic.memory.struct import view
from crosswire.nic.packet import ETHER_TYPE_QINQ, ETHER_TYPE_QINQ_OLD, ETHER_TYPE_VLAN
from crosswire.nic.rings.receive_times import HARDWARE, SOFTWARE
from crosswire.nic.rings.ring import Frame, poll, reserve
from crosswire.nic.rings.sockets import af_packet
from crosswire.nic.rings.sockets.af_packet import (
    FRAMES_MAX,
    RULES_MAX,
    SLOT_BYTES,
    TRANSMIT_SLOTS,
    AfPacketSocket,
    PacketSlot,
)
from crosswire.nic.rings.sockets.packet_socket import SOL_PACKET
from tests.support.net import own_testbed
from tests.support.ring_cases import driver_of, send_all, uncompiled

pytestmark = pytest.mark.netns

FEED = 7300
OTHER = 7301
SESSION_PORT, GATEWAY_PORT = 40_000, 9000
GROUP = Group(0xEF010101, 6200)
PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP = 1, 6, 17
JIT = pytest.mark.parametrize("jit", [True, False], ids=["compiled", "python"])


@pytest.fixture(scope="module")
def testbed() -> Iterator[Testbed]:
    with own_testbed("ap") as network:
        with in_namespace(network.engine):
            # Or the tests before would use up the answers that a host may give to another in a second.
            Path("/proc/sys/net/ipv4/icmp_ratelimit").write_text("0")
        yield network


@pytest.fixture
def link(testbed: Testbed) -> Link:
    return testbed.links[0]


@pytest.fixture
def wire(testbed: Testbed, link: Link) -> Iterator[socket.socket]:
    """Sends raw frames from the exchange's end and reads all that comes to it."""
    with in_namespace(testbed.exchange), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as raw:
        raw.setsockopt(263, 23, 1)  # SOL_PACKET, PACKET_IGNORE_OUTGOING
        raw.bind((link.exchange_interface, 3))
        raw.settimeout(0.05)
        yield raw


def number_of(ip: str) -> int:
    return int.from_bytes(socket.inet_aton(ip), "big")


def opened(testbed: Testbed, **options: int) -> AfPacketSocket:
    link = testbed.links[0]
    local, remote = number_of(link.engine_ip), number_of(link.exchange_ip)
    with in_namespace(testbed.engine):
        return AfPacketSocket(
            link.engine_interface,
            udp=[(local, FEED), (GROUP.ip, GROUP.port)],
            tcp=[(local, SESSION_PORT, remote, GATEWAY_PORT)],
            **options,
        )


def frame_of(
    link: Link,
    protocol: int = PROTOCOL_UDP,
    ports: tuple[int, int] = (5000, FEED),
    *,
    tags: bytes = b"",
    options: bytes = b"",
    fragment: int = 0x4000,
    payload: bytes = b"payload",
    destination: str = "",
    source: str = "",
) -> bytes:
    """An IPv4 frame from the exchange; `options` of the IP header are a multiple of 4 bytes."""
    if protocol == PROTOCOL_UDP:
        transport = struct.pack(">HHHH", *ports, 8 + len(payload), 0)
    else:
        transport = struct.pack(">HHIIBBHHH", *ports, 1, 1, 0x50, 0x18, 100, 0, 0)
    total = 20 + len(options) + len(transport) + len(payload)
    words = 0x45 + len(options) // 4
    addresses = socket.inet_aton(source or link.exchange_ip) + socket.inet_aton(destination or link.engine_ip)
    bare = struct.pack(">BBHHHBBH", words, 0, total, 0, fragment, 64, protocol, 0) + addresses + options
    check = sum(struct.unpack(f">{len(bare) // 2}H", bare))
    check = ~((check & 0xFFFF) + (check >> 16)) & 0xFFFF
    macs = link.engine_mac.to_bytes(6, "big") + link.exchange_mac.to_bytes(6, "big")
    ip = bare[:10] + check.to_bytes(2, "big") + bare[12:]
    return macs + tags + b"\x08\x00" + ip + transport + payload


def next_udp(wire: socket.socket) -> bytes:
    """The next UDP frame; the kernel's IGMP reports come when they will."""
    while True:
        frame = wire.recv(2048)
        if frame[12:14] == b"\x08\x00" and frame[23] == PROTOCOL_UDP:
            return frame


def tag(ether_type: int, control: int) -> bytes:
    return struct.pack(">HH", ether_type, control)


@JIT
def test_tags_are_where_they_were_on_the_wire(testbed: Testbed, link: Link, wire: socket.socket, jit: bool) -> None:
    outer = tag(ETHER_TYPE_QINQ, 0x2065)
    inner = tag(ETHER_TYPE_VLAN, 0xE007)
    with opened(testbed) as owner:
        sent = [
            frame_of(link, tags=tags, payload=bytes([number]) * (number * 97))
            for number, tags in enumerate((b"", inner, outer, outer + inner, inner + inner, b"", inner))
        ]
        sent.append(frame_of(link, tags=tag(ETHER_TYPE_VLAN, 0)))  # priority tagged, of priority 0
        sent.append(frame_of(link, tags=tag(ETHER_TYPE_QINQ_OLD, 5)))  # a type whose tag the kernel leaves alone
        sent.append(frame_of(link, PROTOCOL_TCP, (GATEWAY_PORT, SESSION_PORT), tags=outer + inner))
        for frame in sent:
            wire.send(frame)
        assert driver_of(owner.ring, jit).receive(len(sent)) == sent


@JIT
def test_a_frame_has_the_time_at_which_the_kernel_received_it(
    testbed: Testbed, link: Link, wire: socket.socket, jit: bool
) -> None:
    with opened(testbed, stamped=SOFTWARE) as packets:
        driver, sent_ns = driver_of(packets.ring, jit), []
        for _ in range(5):
            before_ns = time.time_ns()
            wire.send(frame_of(link))
            sent_ns.append((before_ns, time.time_ns()))
        time.sleep(0.05)
        polled_ns = time.time_ns()
        for before_ns, after_ns in sent_ns:
            assert driver.take(packets.ring, driver.frame, polled_ns, driver.received, 1)
            assert before_ns <= driver.frame.time_ns <= after_ns + 1_000_000  # its softirq may run a little later
        assert packets.statistics()["stamped_by_the_kernel"] == len(sent_ns)


@JIT
def test_a_frame_has_the_time_of_the_card_where_the_poll_bears_it_out(
    testbed: Testbed, link: Link, wire: socket.socket, jit: bool
) -> None:
    """No card here stamps: its mark is put into the slot that the kernel filled, on a time that is so or can't be."""
    with opened(testbed, stamped=HARDWARE) as packets:
        driver, now_ns = driver_of(packets.ring, jit), time.time_ns()
        assert packets._packets.getsockopt(SOL_PACKET, 17) == 1 << 6  # PACKET_TIMESTAMP, RAW_HARDWARE
        wire.send(frame_of(link))
        wire.send(frame_of(link, tags=tag(ETHER_TYPE_VLAN, 7)))
        wire.send(frame_of(link))
        wire.send(frame_of(link))
        polled_ns, expected_ns = now_ns + 10**9, []
        for number, before_ns in enumerate((5_000, 4_000, 37 * 10**9)):
            slot = view(PacketSlot, packets.ring.slots + number * SLOT_BYTES)
            slot.seconds, slot.nanoseconds = divmod(polled_ns - before_ns, 10**9)
            slot.status |= 1 << 31
            expected_ns.append(polled_ns if before_ns > 10**9 else polled_ns - before_ns)
        for time_ns in expected_ns:
            assert poll(packets.ring, driver.frame, polled_ns)
            assert driver.take(packets.ring, driver.frame, polled_ns, driver.received, 1)
            assert driver.frame.time_ns == time_ns
        counted = packets.statistics()
    assert (counted["stamped_by_the_card"], counted["card_stamps_not_believed"]) == (4, 2)


def test_a_tagged_frame_polled_twice_is_the_same(testbed: Testbed, link: Link, wire: socket.socket) -> None:
    sent = frame_of(link, tags=tag(ETHER_TYPE_VLAN, 7))
    with opened(testbed) as owner:
        wire.send(sent)
        assert poll(owner.ring, Frame(), 1)
        assert driver_of(owner.ring, True).receive(1) == [sent]


@JIT
def test_only_what_the_rules_name_comes_in(testbed: Testbed, link: Link, wire: socket.socket, jit: bool) -> None:
    group = socket.inet_ntoa(GROUP.ip.to_bytes(4, "big"))
    options = b"\x01" * 8
    wanted = [
        frame_of(link),
        frame_of(link, options=options),
        frame_of(link, ports=(1, GROUP.port), destination=group),
        frame_of(link, PROTOCOL_TCP, (GATEWAY_PORT, SESSION_PORT)),
        frame_of(link, PROTOCOL_TCP, (GATEWAY_PORT, SESSION_PORT), options=options, tags=tag(ETHER_TYPE_VLAN, 3)),
    ]
    unwanted = [
        frame_of(link, ports=(FEED, OTHER)),
        frame_of(link, ports=(FEED, OTHER), tags=tag(ETHER_TYPE_VLAN, 3)),
        frame_of(link, ports=(1, FEED), destination=group),
        frame_of(link, ports=(1, GROUP.port)),
        frame_of(link, PROTOCOL_TCP, (5000, FEED)),
        frame_of(link, PROTOCOL_UDP, (GATEWAY_PORT, SESSION_PORT)),
        frame_of(link, PROTOCOL_TCP, (GATEWAY_PORT + 1, SESSION_PORT)),
        frame_of(link, PROTOCOL_TCP, (GATEWAY_PORT, SESSION_PORT + 1)),
        frame_of(link, PROTOCOL_TCP, (SESSION_PORT, GATEWAY_PORT)),
        frame_of(link, PROTOCOL_ICMP, (5000, FEED)),
        frame_of(link, fragment=0x2000),
        frame_of(link, fragment=0x0001),
        frame_of(link, tags=tag(ETHER_TYPE_VLAN, 1) * 3),
        frame_of(link)[:30],  # ends within the IP header
        frame_of(link)[:12] + b"\x08\x06" + bytes(46),
    ]
    with opened(testbed) as owner:
        for number in range(max(len(wanted), len(unwanted))):
            for frames in (unwanted, wanted):
                if number < len(frames):
                    wire.send(frames[number])
        assert driver_of(owner.ring, jit).receive_all() == wanted
        assert owner.statistics() == {"kernel_drops": 0, "truncated": 0, "refused": 0}


@JIT
def test_only_the_sources_of_a_rule_come_in(testbed: Testbed, link: Link, wire: socket.socket, jit: bool) -> None:
    group = socket.inet_ntoa(GROUP.ip.to_bytes(4, "big"))
    sources = ("10.98.0.7", "10.98.0.8", "10.98.0.9")
    udp = [(GROUP.ip, GROUP.port, number_of(source)) for source in sources[:2]]
    for_all = (GROUP.ip, GROUP.port + 1)
    udp += [(*for_all, number_of(sources[0])), (*for_all, 0)]

    def from_each(port: int, tags: bytes = b"", options: bytes = b"") -> list[bytes]:
        return [
            frame_of(link, ports=(1, port), destination=group, source=source, tags=tags, options=options)
            for source in sources
        ]

    wanted = []
    with in_namespace(testbed.engine), AfPacketSocket(link.engine_interface, udp=udp) as owner:
        for tags, options in ((b"", b""), (tag(ETHER_TYPE_VLAN, 3), b""), (b"", b"\x01" * 8)):
            for port, count in ((GROUP.port, 2), (for_all[1], 3), (for_all[1] + 1, 0)):
                frames = from_each(port, tags, options)
                wanted += frames[:count]
                for frame in frames:
                    wire.send(frame)
        assert driver_of(owner.ring, jit).receive_all() == wanted


@JIT
def test_sent_is_received_and_dropped(testbed: Testbed, link: Link, wire: socket.socket, jit: bool) -> None:
    with opened(testbed, frames=32) as owner:
        driver = driver_of(owner.ring, jit)
        sent = got = 0
        for burst in (20, 100, 31, 32, 33, 500):
            for number in range(burst):
                wire.send(frame_of(link, payload=bytes([number & 255]) * 10))
                wire.send(frame_of(link, ports=(1, OTHER)))  # filtered out is not lost
            sent += burst
            got += len(driver.receive_all())
            assert owner.statistics()["kernel_drops"] == sent - got
        assert got == 20 + 32 + 31 + 32 + 32 + 32
        assert owner.ring.counters.frames == got
        assert owner.ring.counters.drops == sent - got


@JIT
def test_frames_longer_than_a_slot_are_dropped_and_counted(
    testbed: Testbed, link: Link, wire: socket.socket, jit: bool
) -> None:
    with in_namespace(testbed.engine):
        before = interface_mtu(link.engine_interface, 9000)
    with in_namespace(testbed.exchange):
        interface_mtu(link.exchange_interface, 9000)
    try:
        with opened(testbed) as owner:
            short = frame_of(link)
            for frame in (short, frame_of(link, payload=bytes(SLOT_BYTES)), short):
                wire.send(frame)
            assert driver_of(owner.ring, jit).receive(2) == [short, short]
            assert owner.statistics() == {"kernel_drops": 0, "truncated": 1, "refused": 0}
            assert owner.ring.counters.drops == 1
    finally:
        with in_namespace(testbed.engine):
            interface_mtu(link.engine_interface, before)
        with in_namespace(testbed.exchange):
            interface_mtu(link.exchange_interface, before)


def interface_mtu(interface: str, mtu: int) -> int:
    """Set an interface's MTU; what it was before."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        request = struct.pack("16si", interface.encode(), 0)
        before: int = struct.unpack("16si", fcntl.ioctl(asked, 0x8921, request))[1]  # SIOCGIFMTU
        fcntl.ioctl(asked, 0x8922, struct.pack("16si", interface.encode(), mtu))  # SIOCSIFMTU
    return before


def test_the_kernel_stays_silent(testbed: Testbed, link: Link, wire: socket.socket) -> None:
    """A port without a socket would be answered by ICMP "port unreachable", as the other port here is."""
    with opened(testbed) as owner:
        for _ in range(3):
            wire.send(frame_of(link))
        assert icmp_of(wire) == []
        assert len(driver_of(owner.ring, True).receive(3)) == 3
        wire.send(frame_of(link, ports=(5000, OTHER)))
        assert icmp_of(wire) == [(3, 3)]


def icmp_of(wire: socket.socket) -> list[tuple[int, int]]:
    """Types and codes of the ICMP messages that come within a moment."""
    found = []
    try:
        while True:
            frame = wire.recv(2048)
            if frame[12:14] == b"\x08\x00" and frame[23] == PROTOCOL_ICMP:
                found.append((frame[34], frame[35]))
    except TimeoutError:
        return found


def test_a_port_in_use_is_left_to_its_owner(testbed: Testbed, link: Link, wire: socket.socket) -> None:
    with in_namespace(testbed.engine):
        user = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        user.bind((link.engine_ip, FEED))
    with user, opened(testbed) as owner:
        wire.send(frame_of(link, payload=b"both"))
        assert len(driver_of(owner.ring, True).receive(1)) == 1
        assert user.recv(10) == b"both"
        assert icmp_of(wire) == []


@JIT
def test_a_group_of_a_membership(testbed: Testbed, link: Link, jit: bool) -> None:
    with in_namespace(testbed.exchange):
        publisher = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with (
        publisher,
        opened(testbed) as owner,
        in_namespace(testbed.engine),
        Membership(link.engine_interface, [GROUP]),
    ):
        publisher.sendto(b"tick", (socket.inet_ntoa(GROUP.ip.to_bytes(4, "big")), GROUP.port))
        (frame,) = driver_of(owner.ring, jit).receive(1)
    assert frame[:6] == multicast_mac(GROUP.ip).to_bytes(6, "big")
    assert frame[42:] == b"tick"


@JIT
def test_what_is_sent_is_not_received_and_a_refused_frame_is_counted(
    testbed: Testbed, link: Link, wire: socket.socket, jit: bool
) -> None:
    with opened(testbed) as owner:
        frames = [frame_of(link), frame_of(link, payload=bytes(1600)), frame_of(link, payload=b"next")]
        driver = driver_of(owner.ring, jit)
        assert driver.send(frames, flush_each=False) == 3
        assert [next_udp(wire), next_udp(wire)] == [frames[0], frames[2]]
        assert driver.receive_all() == []
        assert (owner.ring.refused, owner.ring.send_error) == (1, errno.EMSGSIZE)
        assert owner.statistics()["refused"] == 1


def test_frames_wait_while_the_driver_has_no_room(
    testbed: Testbed, link: Link, wire: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = [frame_of(link, payload=bytes([number])) for number in range(TRANSMIT_SLOTS + 1)]
    with opened(testbed) as owner:
        with monkeypatch.context() as patch:
            patch.setattr(
                af_packet,
                "send_frames",
                uncompiled(af_packet.send_frames),
            )
            patch.setattr(af_packet, "call_send", lambda *_: -errno.ENOBUFS)
            assert send_all(owner.ring, frames, 0) == TRANSMIT_SLOTS
            assert reserve(owner.ring, 100) == 0
        assert send_all(owner.ring, frames[-1:], 0) == 1
        assert [next_udp(wire) for _ in frames] == frames


def test_as_many_rules_as_there_may_be(testbed: Testbed, link: Link, wire: socket.socket) -> None:
    """The kernel's checker takes the longest program, and the last rule of each kind works."""
    local, remote = number_of(link.engine_ip), number_of(link.exchange_ip)
    udp = [(local, FEED + number, remote) for number in range(RULES_MAX)]
    tcp = [(local, SESSION_PORT + number, remote, GATEWAY_PORT) for number in range(RULES_MAX)]
    sent = [
        frame_of(link, ports=(1, udp[-1][1])),
        frame_of(link, PROTOCOL_TCP, (GATEWAY_PORT, tcp[-1][1])),
    ]
    with in_namespace(testbed.engine), AfPacketSocket(link.engine_interface, udp=udp, tcp=tcp) as owner:
        for frame in sent:
            wire.send(frame)
        assert driver_of(owner.ring, True).receive(2) == sent
        with pytest.raises(HostError, match=r"65 UDP, 0 TCP rules; at most 64 of each$"):
            AfPacketSocket(link.engine_interface, udp=[*udp, udp[0]])


def test_what_is_refused(testbed: Testbed, link: Link) -> None:
    with in_namespace(testbed.engine):
        for frames in (0, 16, 33, 2 * FRAMES_MAX):
            with pytest.raises(HostError, match=r"must be a power of two, 32 to 65536$"):
                AfPacketSocket(link.engine_interface, frames=frames)
        with pytest.raises(HostError, match=r"^nowhere0: no such interface"):
            AfPacketSocket("nowhere0")
        many = [AfPacketSocket(link.engine_interface, frames=64) for _ in range(3)]
        for owner in many:
            owner.close()
            owner.close()
