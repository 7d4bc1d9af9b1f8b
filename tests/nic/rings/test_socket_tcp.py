"""The TCP socket ring: sequence numbers and ends of a connection, and what happens when the kernel has no room."""

import errno
import socket
import struct
import time
from collections.abc import Callable, Iterator

import pytest

from crosswire.nic.host.process import HostError
from crosswire.nic.memory.struct import array, u8
from crosswire.nic.packet import (
    ETHERNET_HEADER_BYTES,
    FLAG_ACK,
    FLAG_FIN,
    FLAG_PSH,
    FLAG_RST,
    IPV4_HEADER_BYTES,
    PROTOCOL_TCP,
    TCP_FRAME_HEADER_BYTES,
    Flow,
    Packet,
    PacketCounters,
    internet_checksum,
    parse_packet,
)
from crosswire.nic.rings.connection import connection_of, reconnect
from crosswire.nic.rings.ring import Frame, poll, reserve
from crosswire.nic.rings.sockets.tcp import BACKLOG_BYTES, SEGMENT_BYTES, SLOT_BYTES, TcpSocket, TcpSocketRing
from crosswire.nic.unit.call import interpreted
from crosswire.nic.unit.compile import compiled
from tests.support.ring_cases import LOOPBACK_IP, Driver, driver_of, payload_of

CLIENT, SERVER = 0x0A000001, 0x0A000002
FLOW = Flow(
    source_mac=1, destination_mac=2, source_ip=CLIENT, destination_ip=SERVER, source_port=4000, destination_port=9000
)


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)
        yield listener


def connected(server: socket.socket) -> tuple[TcpSocket, socket.socket]:
    owner = TcpSocket.connect((LOOPBACK_IP, server.getsockname()[1]), FLOW)
    peer, _ = server.accept()
    peer.settimeout(5)
    return owner, peer


@pytest.fixture
def pair(server: socket.socket) -> Iterator[tuple[TcpSocket, socket.socket]]:
    owner, peer = connected(server)
    with owner, peer:
        yield owner, peer


@compiled
def connect_again(ring: TcpSocketRing, frame: Frame, stream: int) -> int:
    """Ask for another connection if `stream` is not negative, and poll once; the connection's number afterwards."""
    if stream >= 0:
        reconnect(ring, stream, 0)
    poll(ring, frame, 0)
    return connection_of(ring, 0)


def until_connected(owner: TcpSocket, step: Callable[..., int], frame: Frame) -> int:
    """Poll until there is a connection, or the attempt has failed; its number."""
    for _ in range(500):
        number = step(owner.ring, frame, -1)
        if number or not owner.ring.connecting:
            return number
        time.sleep(0.01)
    raise AssertionError("neither connected nor refused")


@pytest.fixture(params=[True, False], ids=["compiled", "python"])
def driver(request: pytest.FixtureRequest, pair: tuple[TcpSocket, socket.socket]) -> Driver:
    return driver_of(pair[0].ring, request.param)


def framed(payload: bytes) -> bytes:
    return bytes(TCP_FRAME_HEADER_BYTES) + payload


def parsed(frame: bytes) -> Packet:
    """The packet of a frame; its checksums must be right."""
    room = array(u8, len(frame))
    for place, byte in enumerate(frame):
        room[place] = byte
    packet = Packet()
    assert parse_packet(Frame(address=room.address, length=len(frame)), packet, PacketCounters())
    assert internet_checksum(room.address + ETHERNET_HEADER_BYTES, IPV4_HEADER_BYTES, 0) == 0
    length = len(frame) - ETHERNET_HEADER_BYTES - IPV4_HEADER_BYTES
    pseudo = packet.source_ip + packet.destination_ip + PROTOCOL_TCP + length
    assert internet_checksum(room.address + ETHERNET_HEADER_BYTES + IPV4_HEADER_BYTES, length, pseudo) == 0
    return packet


def test_made_headers_count_the_bytes_of_both_directions(pair: tuple[TcpSocket, socket.socket], driver: Driver) -> None:
    peer = pair[1]
    peer.sendall(b"first")
    (first,) = driver.receive(1)
    assert driver.send([framed(b"an order")]) == 1
    assert peer.recv(100) == b"an order"
    peer.sendall(b"next")
    (second,) = driver.receive(1)
    for frame, payload, sequence, acknowledgement in ((first, b"first", 0, 0), (second, b"next", 5, 8)):
        packet = parsed(frame)
        assert payload_of(frame) == payload
        assert (packet.tcp_sequence, packet.tcp_acknowledgement) == (sequence, acknowledgement)
        assert packet.tcp_flags == FLAG_ACK | FLAG_PSH
        assert (packet.source_ip, packet.source_port) == (SERVER, 9000)
        assert (packet.destination_ip, packet.destination_port) == (CLIENT, 4000)


def test_a_stream_is_cut_into_segments(pair: tuple[TcpSocket, socket.socket], driver: Driver) -> None:
    sent = bytes(range(256)) * 40
    pair[1].sendall(sent)
    got = driver.receive_bytes(len(sent))
    assert b"".join(map(payload_of, got)) == sent
    assert max(len(payload_of(frame)) for frame in got) <= SEGMENT_BYTES
    assert [parsed(frame).tcp_sequence for frame in got] == [
        sum(len(payload_of(frame)) for frame in got[:number]) for number in range(len(got))
    ]


def test_the_peers_end_comes_once_after_what_it_sent(pair: tuple[TcpSocket, socket.socket], driver: Driver) -> None:
    pair[1].sendall(b"last words")
    pair[1].close()
    words, end = driver.receive(2)
    assert payload_of(words) == b"last words"
    assert parsed(end).tcp_flags == FLAG_ACK | FLAG_FIN
    assert (parsed(end).tcp_sequence, payload_of(end)) == (10, b"")
    assert driver.receive_all() == []
    assert pair[0].ring.closed == 1
    assert reserve(pair[0].ring, 100) == 0


def test_a_reset_comes_as_one(pair: tuple[TcpSocket, socket.socket], driver: Driver) -> None:
    pair[1].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    pair[1].close()
    (end,) = driver.receive(1)
    assert parsed(end).tcp_flags == FLAG_RST
    assert driver.receive_all() == []


def test_a_send_into_a_broken_connection_says_why(pair: tuple[TcpSocket, socket.socket], driver: Driver) -> None:
    pair[1].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    pair[1].close()
    assert driver.send([framed(b"x")]) == 1
    assert pair[0].ring.send_error == errno.ECONNRESET
    driver.send([framed(b"x")])
    assert pair[0].ring.send_error == errno.EPIPE  # and no signal
    assert driver.receive(1) != []
    assert pair[0].ring.closed == 1


def test_a_peer_that_does_not_read(pair: tuple[TcpSocket, socket.socket], driver: Driver) -> None:
    """The backlog takes what the kernel does not, then frames are refused and counted; no accepted byte is lost."""
    owner, peer = pair
    ring = owner.ring
    assert owner.socket is not None
    owner.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    sent = bytearray()
    number = 0
    while True:
        payload = struct.pack("<I", number) * (300 + number % 60)
        if driver.send([framed(payload)], flush_each=False) == 0:
            break
        sent += payload
        number += 1
    assert ring.counters.drops == 1
    assert BACKLOG_BYTES - SLOT_BYTES < ring.backlog <= BACKLOG_BYTES
    assert ring.sent_bytes == len(sent)
    got = bytearray()
    while len(got) < len(sent):
        got += peer.recv(1000)
        driver.send([framed(b"")])  # flushes
    assert got == sent
    assert ring.backlog == 0
    assert driver.send([framed(b"again")]) == 1
    assert peer.recv(100) == b"again"


@pytest.mark.parametrize("step", [connect_again, interpreted(connect_again)], ids=["compiled", "python"])
def test_the_clients_end_connects_again(server: socket.socket, step: Callable[..., int]) -> None:
    """Given up or ended, refused, taken: the same socket, each connection with a number and bytes of its own."""
    frame = Frame()
    owner, peer = connected(server)
    with owner, peer:
        driver = driver_of(owner.ring, True)
        assert connection_of(owner.ring, 0) == 1
        assert driver.send([framed(b"before")]) == 1
        assert peer.recv(100) == b"before"
        peer.sendall(b"never read")
        assert step(owner.ring, frame, 1) == 1  # there is but one stream
        for number in (2, 3):
            step(owner.ring, frame, 0)
            assert until_connected(owner, step, frame) == number
            with pytest.raises(ConnectionResetError):
                peer.recv(100)
            peer.close()
            peer, _ = server.accept()
            peer.settimeout(5)
            assert driver.send([framed(b"after")]) == 1
            assert peer.recv(100) == b"after"
            peer.sendall(b"answer")
            (answer,) = driver.receive(1)
            assert (parsed(answer).tcp_sequence, payload_of(answer)) == (0, b"answer")
            assert (owner.ring.sent_bytes, owner.ring.received_bytes) == (5, 6)
            peer.sendall(b"never read")
        assert owner.socket is not None
        assert owner.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        peer.close()


@pytest.mark.parametrize("step", [connect_again, interpreted(connect_again)], ids=["compiled", "python"])
def test_an_attempt_that_is_refused_can_be_made_again(step: Callable[..., int]) -> None:
    frame = Frame()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        owner, peer = connected(listener)
    with owner:
        peer.close()
        assert [parsed(each).tcp_flags for each in driver_of(owner.ring, True).receive(1)] == [FLAG_ACK | FLAG_FIN]
        assert connection_of(owner.ring, 0) == 0
        for _ in range(2):
            step(owner.ring, frame, 0)
            assert until_connected(owner, step, frame) == 0
            assert reserve(owner.ring, 100) == 0
        with socket.create_server(("127.0.0.1", port)) as listener:
            step(owner.ring, frame, 0)
            assert until_connected(owner, step, frame) == 2
            assert reserve(owner.ring, 100) != 0
    assert connection_of(owner.ring, 0) == 0
    step(owner.ring, frame, 0)
    assert (owner.ring.connecting, connection_of(owner.ring, 0)) == (0, 0)


def test_the_exchanges_end(server: socket.socket) -> None:
    """Without a client it gives and takes nothing; each client begins at byte 0; a hang-up ends it for both."""
    exchange = TcpSocket.unconnected(FLOW)
    driver = driver_of(exchange.ring, True)
    assert driver.receive_all() == []
    assert reserve(exchange.ring, 100) == 0
    exchange.hang_up()
    for _ in range(2):
        client = TcpSocket.connect((LOOPBACK_IP, server.getsockname()[1]), FLOW)
        exchange.attach(server.accept()[0])
        with client:
            assert driver_of(client.ring, True).send([framed(b"order")]) == 1
            (frame,) = driver.receive(1)
            packet = parsed(frame)
            assert (packet.tcp_sequence, packet.source_ip, packet.destination_port) == (0, CLIENT, 9000)
            assert driver.send([framed(b"answer")]) == 1
            assert payload_of(driver_of(client.ring, True).receive(1)[0]) == b"answer"
            exchange.hang_up()
            assert parsed(driver.receive(1)[0]).tcp_flags == FLAG_ACK | FLAG_FIN
            assert parsed(driver_of(client.ring, True).receive(1)[0]).tcp_flags == FLAG_ACK | FLAG_FIN
    exchange.close()
    assert not poll(exchange.ring, Frame(), 0)


def test_nobody_listens(server: socket.socket) -> None:
    port = server.getsockname()[1]
    server.close()
    with pytest.raises(HostError, match=rf"^gateway 127\.0\.0\.1:{port}: Connection refused; is it running"):
        TcpSocket.connect((LOOPBACK_IP, port), FLOW)
