"""The UDP socket ring: the headers it makes, what it counts, and groups on a network of our own."""

import errno
import socket
import struct
import time
from collections.abc import Iterator

import pytest

from crosswire.nic.duration import NS_PER_S
from crosswire.nic.host.multicast import Group
from crosswire.nic.host.process import HostError
from crosswire.nic.host.testbed import Testbed, in_namespace
from crosswire.nic.memory.struct import array, u8, view
from crosswire.nic.packet import (
    ETHERNET_HEADER_BYTES,
    IPV4_HEADER_BYTES,
    UDP_FRAME_HEADER_BYTES,
    EthernetHeader,
    Flow,
    Packet,
    PacketCounters,
    internet_checksum,
    parse_packet,
    write_udp_frame_header,
)
from crosswire.nic.rings.receive_times import HARDWARE, SOFTWARE
from crosswire.nic.rings.ring import Frame, poll, release, reserve
from crosswire.nic.rings.sockets import udp
from crosswire.nic.rings.sockets.udp import (
    BATCH_DATAGRAMS,
    SLOT_BYTES,
    SOCKETS_MAX,
    TRANSMIT_SLOTS,
    UdpSocket,
    receive_batch,
)
from tests.support.net import own_testbed
from tests.support.ring_cases import LOOPBACK_IP, driver_of, payload_of, send_all, uncompiled

GROUP = Group(0xEF010101, 6200)
JIT = pytest.mark.parametrize("jit", [True, False], ids=["compiled", "python"])


@pytest.fixture
def sockets() -> Iterator[UdpSocket]:
    with UdpSocket("lo", local=[(LOOPBACK_IP, 0), (LOOPBACK_IP, 0)]) as made:
        yield made


@pytest.fixture
def peer() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("127.0.0.1", 0))
        made.settimeout(5)
        yield made


@pytest.fixture(scope="module")
def stamping() -> Iterator[None]:
    """Wait until the kernel stamps what it receives: it begins a little after the first socket on the host asks for it.

    What came before is stamped when it is read.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.bind(("127.0.0.1", 0))
        asking.settimeout(5)
        asking.setsockopt(socket.SOL_SOCKET, 35, 1)  # SO_TIMESTAMPNS
        stamp_ns = read_ns = 0
        while stamp_ns >= read_ns:
            asking.sendto(b"", asking.getsockname())
            time.sleep(0.005)
            read_ns = time.time_ns()
            seconds, nanoseconds = struct.unpack("<qq", asking.recvmsg(1, 64)[1][0][2])
            stamp_ns = seconds * NS_PER_S + nanoseconds
        yield


@pytest.fixture(scope="module")
def testbed() -> Iterator[Testbed]:
    with own_testbed("us") as network:
        yield network


def endpoint(sockets: UdpSocket, number: int) -> tuple[str, int]:
    return sockets._sockets[number].getsockname()  # type: ignore[no-any-return]


def frame_to(ip: int, port: int, payload: bytes) -> bytes:
    room = array(u8, UDP_FRAME_HEADER_BYTES)
    write_udp_frame_header(room.address, Flow(destination_ip=ip, destination_port=port), len(payload))
    return bytes(room) + payload


@JIT
def test_made_headers_say_where_a_datagram_came_from(sockets: UdpSocket, peer: socket.socket, jit: bool) -> None:
    for number, payload in ((1, b"odd"), (0, b""), (1, b"x" * 1400)):
        peer.sendto(payload, endpoint(sockets, number))
        (frame,) = driver_of(sockets.ring, jit).receive(1)
        room = array(u8, len(frame))
        for place, byte in enumerate(frame):
            room[place] = byte
        packet, counters = Packet(), PacketCounters()
        assert parse_packet(Frame(address=room.address, length=len(frame)), packet, counters)
        assert (packet.source_ip, packet.source_port) == (LOOPBACK_IP, peer.getsockname()[1])
        assert (packet.destination_ip, packet.destination_port) == (LOOPBACK_IP, endpoint(sockets, number)[1])
        assert packet.payload_length == len(payload)
        assert internet_checksum(room.address + ETHERNET_HEADER_BYTES, IPV4_HEADER_BYTES, 0) == 0


@JIT
@pytest.mark.usefixtures("stamping")
def test_a_datagram_has_the_time_at_which_the_kernel_received_it(peer: socket.socket, jit: bool) -> None:
    """However long it waited to be polled, in whichever place of its batch."""
    sent_ns = []
    with UdpSocket("lo", local=[(LOOPBACK_IP, 0)], stamped=SOFTWARE) as sockets:
        for number in range(2 * BATCH_DATAGRAMS + 3):
            before_ns = time.time_ns()
            peer.sendto(bytes([number]), endpoint(sockets, 0))
            sent_ns.append((before_ns, time.time_ns()))
        time.sleep(0.05)
        driver, polled_ns = driver_of(sockets.ring, jit), time.time_ns()
        for before_ns, after_ns in sent_ns:
            assert driver.take(sockets.ring, driver.frame, polled_ns, driver.received, 1)
            assert before_ns <= driver.frame.time_ns <= after_ns
        counted = sockets.statistics()
    assert counted["stamped_by_the_kernel"] == len(sent_ns)
    assert (counted["not_stamped"], counted["stamps_ahead_of_the_poll"], counted["stamps_out_of_order"]) == (0, 0, 0)


def test_a_datagram_without_a_stamp_has_the_time_of_the_poll(peer: socket.socket) -> None:
    with UdpSocket("lo", local=[(LOOPBACK_IP, 0)], stamped=SOFTWARE) as sockets:
        sockets._sockets[0].setsockopt(socket.SOL_SOCKET, 37, 0)  # SO_TIMESTAMPING
        peer.sendto(b"bare", endpoint(sockets, 0))
        frame, now_ns = Frame(), time.time_ns()
        assert poll(sockets.ring, frame, now_ns)
        assert frame.time_ns == now_ns
        assert sockets.statistics()["not_stamped"] == 1


@JIT
@pytest.mark.usefixtures("stamping")
def test_a_datagram_has_the_time_of_the_card_where_the_kernel_bears_it_out(peer: socket.socket, jit: bool) -> None:
    """No card here stamps: its stamp is put where the kernel writes it, a little or a second before the kernel's."""
    leads_ns = (2_000, 0, NS_PER_S, -2_000, None)
    with UdpSocket("lo", local=[(LOOPBACK_IP, 0)], stamped=HARDWARE) as sockets:
        ring, driver = sockets.ring, driver_of(sockets.ring, jit)
        assert sockets._sockets[0].getsockopt(socket.SOL_SOCKET, 37) == 0x5C  # kernel's and card's stamps
        for number in range(len(leads_ns)):
            peer.sendto(bytes([number]), endpoint(sockets, 0))
            time.sleep(0.001)  # no stamp is earlier than the one before
        assert receive_batch(ring)
        expected_ns = []
        for lead_ns, message in zip(leads_ns, ring.receive_stamps, strict=False):
            kernel_ns = message.kernel.seconds * NS_PER_S + message.kernel.nanoseconds
            assert kernel_ns > 0 == message.card.seconds
            if lead_ns is not None:
                message.card.seconds, message.card.nanoseconds = divmod(kernel_ns - lead_ns, NS_PER_S)
            expected_ns.append(kernel_ns - lead_ns if lead_ns in (2_000, 0) else kernel_ns)
        polled_ns = time.time_ns()
        for time_ns in expected_ns:
            assert driver.take(ring, driver.frame, polled_ns, driver.received, 1)
            assert driver.frame.time_ns == time_ns
        counted = sockets.statistics()
    assert (counted["stamped_by_the_card"], counted["card_stamps_not_believed"]) == (2, 2)
    assert (counted["stamped_by_the_kernel"], counted["not_stamped"]) == (3, 0)


@JIT
def test_too_long_datagrams_are_dropped_and_counted(sockets: UdpSocket, peer: socket.socket, jit: bool) -> None:
    longest = SLOT_BYTES - UDP_FRAME_HEADER_BYTES
    for length in (10, longest + 1, 60_000, longest, 20):
        peer.sendto(bytes(length), endpoint(sockets, 0))
    got = [len(payload_of(frame)) for frame in driver_of(sockets.ring, jit).receive_all()]
    assert got == [10, longest, 20]
    assert sockets.ring.counters.drops == 2
    assert sockets.statistics() == {"kernel_drops": 0, "truncated": 2, "refused": 0}
    assert sockets.ring.counters.drops == 2


@JIT
def test_a_busy_socket_does_not_starve_another(sockets: UdpSocket, peer: socket.socket, jit: bool) -> None:
    for _ in range(5 * BATCH_DATAGRAMS):
        peer.sendto(b"busy", endpoint(sockets, 0))
    peer.sendto(b"rare", endpoint(sockets, 1))
    got = [payload_of(frame) for frame in driver_of(sockets.ring, jit).receive_all()]
    assert got.index(b"rare") <= BATCH_DATAGRAMS
    assert len(got) == 5 * BATCH_DATAGRAMS + 1
    assert sockets.ring.counters.wakeups == 6  # a system call for each batch


@JIT
def test_a_refused_frame_is_counted_and_does_not_stop_the_next(
    sockets: UdpSocket, peer: socket.socket, jit: bool
) -> None:
    port = peer.getsockname()[1]
    frames = [frame_to(LOOPBACK_IP, port, b"1"), frame_to(0xFFFFFFFF, port, b"2"), frame_to(LOOPBACK_IP, port, b"3")]
    assert driver_of(sockets.ring, jit).send(frames, flush_each=False) == 3
    assert [peer.recv(10), peer.recv(10)] == [b"1", b"3"]
    assert (sockets.ring.refused, sockets.ring.send_error) == (1, errno.EACCES)  # broadcast: not permitted
    assert sockets.statistics()["refused"] == 1


def test_frames_wait_while_the_kernel_has_no_room(
    sockets: UdpSocket, peer: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring, port = sockets.ring, peer.getsockname()[1]
    frames = [frame_to(LOOPBACK_IP, port, bytes([number])) for number in range(TRANSMIT_SLOTS + 1)]
    with monkeypatch.context() as patch:
        patch.setattr(
            udp,
            "send_datagrams",
            uncompiled(udp.send_datagrams),
        )
        patch.setattr(udp, "call_sendmmsg", lambda *_: -errno.EAGAIN)
        assert send_all(ring, frames, 0) == TRANSMIT_SLOTS
        assert reserve(ring, 100) == 0
    assert send_all(ring, frames[-1:], 0) == 1
    assert [peer.recv(10) for _ in frames] == [bytes([number]) for number in range(TRANSMIT_SLOTS + 1)]
    assert ring.refused == 0


def test_a_receive_that_fails_is_noted(sockets: UdpSocket) -> None:
    sockets.ring.ends[0].descriptor = -1
    assert not poll(sockets.ring, Frame(), 0)
    assert sockets.ring.receive_error == errno.EBADF


def test_what_is_refused_when_opened(sockets: UdpSocket) -> None:
    port = endpoint(sockets, 0)[1]
    with pytest.raises(HostError, match=rf"^lo: UDP 127\.0\.0\.1:{port}: bind: Address already in use$"):
        UdpSocket("lo", local=[(LOOPBACK_IP, port)])
    with pytest.raises(HostError, match=r"^nowhere0: no such interface"):
        UdpSocket("nowhere0")
    with pytest.raises(HostError, match=r"at most 16 together"):
        UdpSocket("lo", [GROUP] * SOCKETS_MAX, [(LOOPBACK_IP, 0)])
    with pytest.raises(HostError, match=r"^lo: 127\.0\.0\.1 is not a multicast address"):
        UdpSocket("lo", [Group(LOOPBACK_IP, 0)])


def test_receive_buffer_and_close(sockets: UdpSocket) -> None:
    with UdpSocket("lo", local=[(LOOPBACK_IP, 0)], receive_buffer_bytes=1 << 16) as small:
        assert small.obtained_buffer_bytes == 2 << 16
        port = endpoint(small, 0)[1]
    with UdpSocket("lo", local=[(LOOPBACK_IP, port)]):
        pass


@pytest.mark.netns
@JIT
def test_a_group_from_publisher_to_receiver(testbed: Testbed, jit: bool) -> None:
    link = testbed.links[0]
    with in_namespace(testbed.engine):
        receiver = UdpSocket(link.engine_interface, [GROUP], busy_poll_us=50)
    with in_namespace(testbed.exchange):
        publisher = UdpSocket(link.exchange_interface, [])
    with receiver, publisher:
        payloads = [bytes([number]) * (number + 1) for number in range(100)]
        sender = driver_of(publisher.ring, jit)
        frames = [frame_to(GROUP.ip, GROUP.port, payload) for payload in payloads]
        assert sender.send(frames, flush_each=False) == 100
        assert publisher.ring.counters.wakeups == 2  # sendmmsg: one for each time round the ring's slots
        got = driver_of(receiver.ring, jit).receive(100)
        assert [payload_of(frame) for frame in got] == payloads
        assert got[0][:6].hex() == "01005e010101"
        assert socket.inet_ntoa(got[0][26:30]) == link.exchange_ip
        assert receiver.statistics() == {"kernel_drops": 0, "truncated": 0, "refused": 0}
        assert driver_of(publisher.ring, jit).receive_all() == []


def test_headers_of_a_batch_do_not_touch_each_other(sockets: UdpSocket, peer: socket.socket) -> None:
    """A frame's last byte lies before the next slot, whose headers are written when it is polled."""
    longest = SLOT_BYTES - UDP_FRAME_HEADER_BYTES
    for number in range(4):
        peer.sendto(bytes([number]) * longest, endpoint(sockets, 0))
    frame = Frame()
    for number in range(4):
        assert poll(sockets.ring, frame, number)
        assert frame.time_ns == number
        assert view(EthernetHeader, frame.address).ether_type == 0x0800
        assert frame.length == SLOT_BYTES
        release(sockets.ring)
