"""Our TCP against the Linux kernel's, over AF_XDP on a veth pair: the peer is an ordinary socket."""

import os
import random
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from crosswire.nic.duration import NS_PER_S
from crosswire.nic.host.neighbour import interface_ip, interface_mac, interface_mtu, known_mac, resolve
from crosswire.nic.host.process import HostError
from crosswire.nic.host.testbed import Testbed, in_namespace
from crosswire.nic.packet import FLAG_FIN, FLAG_RST
from crosswire.nic.rings.connection import connection_of
from crosswire.nic.rings.fault import FaultRates
from crosswire.nic.tcp.connection import Step
from crosswire.nic.tcp.state import TcpEnd, TcpState
from tests.support.net import lossy_testbed, own_testbed
from tests.support.tcp_kernel_setup import Rig, make_talk
from tests.support.wire_remarks import needs_tshark, read_segments, recorded, unexplained

pytestmark = [pytest.mark.netns, pytest.mark.tcp]

LINGER_RESET = struct.pack("ii", 1, 0)  # struct linger: close sends a RST
PATIENT_NS = 3600 * NS_PER_S
# Of the segments that were to be sent, by percent: a few times what a path that loses as much takes in virtual time
# (`tests.test_tcp_loss`), since a loop that is late sends more again.
RETRANSMITS_OF_SEGMENTS = {0.1: 0.5, 1.0: 0.7, 3.0: 1.0, 10.0: 3.0}
TIMEOUTS_OF_SEGMENTS = {0.1: 0.05, 1.0: 0.05, 3.0: 0.05, 10.0: 0.15}
FAULT_BYTES = int(os.environ.get("CROSSWIRE_FAULT_BYTES", "65536"))


@pytest.fixture(scope="module")
def testbed() -> Iterator[Testbed]:
    with lossy_testbed("tk") as network:
        yield network


def rates(percent: float) -> FaultRates:
    """Every fault at that rate."""
    ppm = int(percent * 10_000)
    return FaultRates(
        drop_ppm=ppm, duplicate_ppm=ppm, reorder_ppm=ppm, corrupt_ppm=ppm, truncate_ppm=ppm, reorder_frames=3
    )


def test_echo(testbed: Testbed) -> None:
    """256 KB there and back, byte for byte, in pieces of many sizes. Nothing is sent twice but what the kernel chose to
    send again, as it does when a busy machine lets it wait for our ACK.
    """
    with Rig(testbed, tail_probe_floor_ns=5 * NS_PER_S) as rig:
        rig.connect()
        rig.echo_in_peer()
        for size, chunk in ((1 << 18, 500), (20_000, 1), (100_000, 1460), (5_000, 7)):
            data = os.urandom(size if chunk > 1 else 2000)
            assert rig.exchange_bytes(data, chunk) == data
        counters = rig.tcp.counters
        assert counters.bad_checksum == counters.truncated == counters.out_of_order == 0
        assert counters.unacceptable <= rig.sent_again_by_peer()


@pytest.mark.parametrize("percent", RETRANSMITS_OF_SEGMENTS)
def test_bad_wire(testbed: Testbed, percent: float) -> None:
    """Frames lost, copied, reordered, corrupted, cut, in both directions: every byte arrives once, in order.

    How long that takes is up to the kernel's back-off too; how often we send again is bounded instead. Neither end may
    take the other for dead: at 10 % more than a quarter of the frames is lost, so seconds may pass without an ACK.
    """
    faults = {"receive": rates(percent), "transmit": rates(percent), "seed": int(percent * 10)}
    with Rig(testbed, **faults, user_timeout_ns=PATIENT_NS, keepalive_idle_ns=PATIENT_NS) as rig:
        rig.connect()
        rig.echo_in_peer()
        data = random.Random(percent).randbytes(FAULT_BYTES)
        assert rig.exchange_bytes(data, 150) == data
        counters = rig.tcp.counters
        assert counters.retransmits <= counters.segments * RETRANSMITS_OF_SEGMENTS[percent], counters
        assert counters.timeouts <= counters.segments * TIMEOUTS_OF_SEGMENTS[percent], counters


def test_peer_closes(testbed: Testbed) -> None:
    """The session sees one FIN; our side closes too, and the kernel's socket has nothing left."""
    with Rig(testbed) as rig:
        rig.connect()
        assert rig.peer is not None
        rig.peer.sendall(b"bye")
        rig.peer.shutdown(socket.SHUT_WR)
        talk = make_talk(b"", 10)
        assert rig.turn_until(talk, lambda: talk.ends and rig.tcp.state == TcpState.CLOSED)
        assert (talk.received, talk.ends) == (3, 1)
        assert talk.end_flags & FLAG_FIN
        assert rig.peer.recv(10) == b""
        assert connection_of(rig.ring, 0) == 0


def test_close_from_here(testbed: Testbed) -> None:
    """What was committed arrives before the FIN."""
    with Rig(testbed) as rig:
        rig.connect()
        assert rig.peer is not None
        talk = make_talk(b"last order", 0)
        rig.turn_until(talk, lambda: talk.sent == 10)
        rig.in_peer(lambda peer: (peer.recv(100), peer.recv(100), peer.close()))
        rig.owner.disconnect(patience_s=5)
        assert rig.tcp.counters.resets == 0
        assert not rig.failure


def test_peer_resets(testbed: Testbed) -> None:
    """The session sees one RST, and can have another connection."""
    with Rig(testbed) as rig:
        rig.connect()
        assert rig.peer is not None
        rig.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
        rig.peer.close()
        talk = make_talk(b"", 10)
        assert rig.turn_until(talk, lambda: talk.ends != 0)
        assert (talk.ends, talk.end_flags) == (1, FLAG_RST)
        assert rig.tcp.end == TcpEnd.PEER_RESET
        former_port = rig.tcp.wire.source_port
        rig.connect()
        assert connection_of(rig.ring, 0) == 2
        assert rig.tcp.wire.source_port != former_port
        rig.echo_in_peer()
        assert rig.exchange_bytes(b"again") == b"again"


def test_abort(testbed: Testbed) -> None:
    """`reconnect` resets the connection there is."""
    with Rig(testbed) as rig:
        rig.connect()
        former = rig.peer
        assert former is not None
        rig.owner.drive(Step.OPEN, 0, time.time_ns())
        rig.connect()
        with pytest.raises(ConnectionResetError):
            former.recv(10)
        assert connection_of(rig.ring, 0) == 2


def test_peer_is_gone(testbed: Testbed) -> None:
    """Nobody acknowledges any more: given up after the user timeout, and the session is told."""
    with Rig(testbed, user_timeout_ns=NS_PER_S) as rig:
        rig.connect()
        link = testbed.links[0]
        commands = ("ip", "-n", testbed.exchange, "link", "set", link.exchange_interface)
        subprocess.run([*commands, "down"], check=True)
        try:
            talk = make_talk(b"order", 10)
            assert rig.turn_until(talk, lambda: talk.ends != 0)
        finally:
            subprocess.run([*commands, "up"], check=True)
        assert talk.end_flags == FLAG_RST
        assert rig.tcp.end == TcpEnd.TIMEOUT
        subprocess.run(
            ["ip", "-n", testbed.exchange, "neigh", "replace", link.engine_ip, "lladdr",
             link.engine_mac.to_bytes(6, "big").hex(":"), "dev", link.exchange_interface, "nud", "permanent"],
            check=True,
        )  # fmt: skip


def test_process_is_killed_and_comes_back(testbed: Testbed) -> None:
    """A connection that a former process left is reset when its peer speaks."""
    with Rig(testbed) as rig:
        rig.connect()
        former = rig.peer
        assert former is not None
        # As after a restart: this ring knows nothing of the connection, but has its port.
        rig.tcp.state = TcpState.CLOSED
        former.sendall(b"are you there")
        talk = make_talk(b"", 10)
        assert rig.turn_until(talk, lambda: rig.ring.strays != 0)
        with pytest.raises(ConnectionResetError):
            former.recv(10)
        assert talk.received == 0


def test_refused(testbed: Testbed) -> None:
    with Rig(testbed) as rig:
        rig.server.close()
        with pytest.raises(HostError, match="refused; is it running"):
            rig.owner.connect()


def test_slow_reader(testbed: Testbed) -> None:
    """The peer's window closes and opens again: nothing is lost, and refusals say why."""
    with Rig(testbed) as rig:
        rig.server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        rig.connect()
        data = os.urandom(200_000)
        received = bytearray()

        def read_late(peer: socket.socket) -> None:
            time.sleep(0.5)
            while len(received) < len(data):
                received.extend(peer.recv(1000))

        rig.in_peer(read_late)
        talk = make_talk(data, 0, 1000)
        assert rig.turn_until(talk, lambda: len(received) == len(data)), rig.describe(talk)
        assert bytes(received) == data
        assert rig.tcp.counters.refused_window > 0


def test_fast_sender(testbed: Testbed) -> None:
    """2 MB from the kernel at its own pace."""
    with Rig(testbed) as rig:
        rig.connect()
        data = os.urandom(1 << 21)
        rig.in_peer(lambda peer: peer.sendall(data))
        talk = make_talk(b"", len(data))
        assert rig.turn_until(talk, lambda: talk.received == len(data) or talk.bad), rig.describe(talk)
        assert bytes(talk.inward.numpy()) == data


@pytest.fixture
def quiet_testbed() -> Iterator[Testbed]:
    """One of its own: no former connection's last segments are on it."""
    with own_testbed("tq") as network:
        yield network


def test_nothing_to_remark_on_a_clean_wire(quiet_testbed: Testbed, tmp_path: Path) -> None:
    """tshark's analysis of a whole connection: no retransmission, no gap, no bad checksum, no window trouble.

    But for what the kernel sent again because our answer was late, and our answer to that.
    """
    testbed = quiet_testbed
    needs_tshark()
    capture = tmp_path / "clean.pcapng"
    with recorded(testbed, capture), Rig(testbed, tail_probe_floor_ns=NS_PER_S) as rig:
        rig.connect()
        rig.echo_in_peer()
        for _ in range(50):
            data = os.urandom(150)
            assert rig.exchange_bytes(data, 150) == data
        rig.owner.disconnect(patience_s=5)
    command = ["tshark", "-r", str(capture), "-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"]
    shown = subprocess.run([*command], capture_output=True, text=True, check=True).stdout
    assert len(shown.splitlines()) > 100
    odd = "tcp.checksum.status == 0 || ip.checksum.status == 0 || tcp.flags.reset == 1"
    remarks = subprocess.run([*command, "-Y", odd], capture_output=True, text=True, check=True).stdout
    assert remarks == ""
    assert unexplained(read_segments(capture), testbed.links[0].exchange_ip) == []


def test_addresses(testbed: Testbed) -> None:
    link = testbed.links[0]
    with in_namespace(testbed.engine):
        assert interface_mac(link.engine_interface) == link.engine_mac
        assert interface_ip(link.engine_interface) == int.from_bytes(socket.inet_aton(link.engine_ip), "big")
        assert interface_mtu(link.engine_interface) == 1500
        peer = int.from_bytes(socket.inet_aton(link.exchange_ip), "big")
        assert known_mac(link.engine_interface, peer) == link.exchange_mac
        # Forgotten, it is asked for again.
        subprocess.run(["ip", "neigh", "del", link.exchange_ip, "dev", link.engine_interface], check=True)
        assert resolve(link.engine_interface, peer) == link.exchange_mac
        with pytest.raises(HostError, match="nobody answers ARP"):
            resolve(link.engine_interface, peer + 50, 0.1)
        with pytest.raises(HostError, match="no route"):
            resolve(link.engine_interface, 0x08080808, 0.1)
        with pytest.raises(HostError, match="another interface"):
            resolve("lo", peer, 0.1)
        subprocess.run(["ip", "link", "add", "bare0", "type", "veth", "peer", "name", "bare1"], check=True)
        with pytest.raises(HostError, match="give it an IPv4 address"):
            interface_ip("bare0")
        subprocess.run(["ip", "link", "delete", "bare0"], check=True)


def test_held_ports(testbed: Testbed) -> None:
    """Nobody else gets a port of ours."""
    with Rig(testbed) as rig, in_namespace(testbed.engine):
        for each in rig.owner.tuples:
            with socket.socket() as other, pytest.raises(OSError, match="in use"):
                other.bind((testbed.links[0].engine_ip, each.local_port))
