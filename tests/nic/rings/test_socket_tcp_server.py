"""The exchange's kernel-TCP end: several clients as one ring of frames, told apart by their flows."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from crosswire.nic.host.process import HostError
from crosswire.nic.memory.struct import array, u8
from crosswire.nic.packet import (
    FLAG_ACK,
    FLAG_FIN,
    FLAG_PSH,
    FLAG_SYN,
    TCP_FRAME_HEADER_BYTES,
    Flow,
    Packet,
    PacketCounters,
    parse_packet,
    seal_tcp_frame,
    write_tcp_frame_header,
)
from crosswire.nic.rings.ring import Frame
from crosswire.nic.rings.sockets.tcp import BACKLOG_BYTES
from crosswire.nic.rings.sockets.tcp_server import SERVED_MAX, TcpServer
from tests.support.ring_cases import LOOPBACK_IP, Driver, driver_of, payload_of

DATA = FLAG_ACK | FLAG_PSH


def read_all(client: socket.socket) -> None:
    """Until the connection ends."""
    while client.recv(1 << 20):
        pass


Heard = tuple[int, int, int, bytes]  # client's port, exchange's port, flags, payload


def flow_of(stream: int) -> Flow:
    return Flow(source_ip=1, destination_ip=2, source_port=40_000 + 100 * stream, destination_port=9_000 + stream)


class Bed:
    """A server with two gateways, and its clients."""

    def __init__(self, closing: ExitStack, jit: bool) -> None:
        self.closing = closing
        self.server = closing.enter_context(TcpServer([(LOOPBACK_IP, 0)] * 2, [flow_of(0), flow_of(1)]))
        self.driver: Driver = driver_of(self.server.ring, jit)

    def client(self, gateway: int = 0) -> socket.socket:
        client = self.closing.enter_context(
            socket.create_connection(self.server.listeners[gateway].getsockname(), timeout=5)
        )
        self.server.accept()
        return client

    def hear(self, count: int) -> list[Heard]:
        """The next `count` frames of any client."""
        heard = []
        for frame in self.driver.receive(count):
            room = array(u8, len(frame))
            for place, byte in enumerate(frame):
                room[place] = byte
            packet = Packet()
            assert parse_packet(Frame(address=room.address, length=len(frame)), packet, PacketCounters())
            heard.append((packet.source_port, packet.destination_port, packet.tcp_flags, payload_of(frame)))
        return heard

    def say(self, client_port: int, gateway_port: int, payload: bytes, flags: int = DATA) -> None:
        """One frame from the exchange."""
        room = array(u8, TCP_FRAME_HEADER_BYTES + len(payload))
        for place, byte in enumerate(payload):
            room[TCP_FRAME_HEADER_BYTES + place] = byte
        write_tcp_frame_header(room.address, Flow(source_port=gateway_port, destination_port=client_port), 0xFFFF)
        seal_tcp_frame(room.address, len(payload), 0, 0, flags)
        assert self.driver.send([bytes(room)]) == 1


@pytest.fixture(params=[True, False], ids=["compiled", "python"])
def bed(request: pytest.FixtureRequest) -> Iterator[Bed]:
    with ExitStack() as closing:
        yield Bed(closing, request.param)


def test_clients_of_all_gateways_are_told_apart(bed: Bed) -> None:
    first, second, third = bed.client(0), bed.client(1), bed.client(0)
    assert sorted(bed.hear(3)) == [
        (40_000, 9_000, FLAG_SYN, b""),
        (41_100, 9_001, FLAG_SYN, b""),
        (42_000, 9_000, FLAG_SYN, b""),
    ]
    first.sendall(b"one")
    assert bed.hear(1) == [(40_000, 9_000, DATA, b"one")]
    third.sendall(b"three")
    assert bed.hear(1) == [(42_000, 9_000, DATA, b"three")]
    bed.say(41_100, 9_001, b"to the second")
    bed.say(42_000, 9_000, b"to the third")
    assert second.recv(100) == b"to the second"
    assert third.recv(100) == b"to the third"


def test_an_end_of_a_client_comes_once_and_its_place_is_given_again(bed: Bed) -> None:
    bed.client().close()
    assert [flags for _, _, flags, _ in bed.hear(2)] == [FLAG_SYN, FLAG_ACK | FLAG_FIN]
    assert bed.server.clients() == 0
    # Places are given in turn, so that what was meant for a former client reaches nobody.
    for place in (1, 2, 3, 0):
        bed.client().close()
        assert bed.hear(1) == [(40_000 + 1_000 * place, 9_000, FLAG_SYN, b"")]
        assert bed.hear(1)[0][2] == FLAG_ACK | FLAG_FIN


def test_the_exchange_ends_a_connection_after_its_last_words(bed: Bed) -> None:
    client = bed.client()
    bed.hear(1)
    bed.say(40_000, 9_000, b"logged out")
    bed.say(40_000, 9_000, b"", FLAG_ACK | FLAG_FIN)
    bed.server.accept()
    assert client.recv(100) == b"logged out"
    assert client.recv(100) == b""
    assert bed.server.clients() == 0


def test_a_killed_gateway_resets_its_clients_alone(bed: Bed) -> None:
    killed, kept = bed.client(0), bed.client(1)
    bed.hear(2)
    bed.server.cut(0)
    with pytest.raises(ConnectionResetError):
        killed.recv(1)
    kept.sendall(b"still there")
    assert bed.hear(1) == [(41_100, 9_001, DATA, b"still there")]
    assert bed.server.clients() == 1


def test_more_clients_than_places_wait(bed: Bed) -> None:
    clients = [bed.client() for _ in range(SERVED_MAX + 1)]
    assert len(bed.hear(SERVED_MAX)) == SERVED_MAX
    clients[-1].sendall(b"patient")
    assert bed.server.clients() == SERVED_MAX
    clients[0].close()
    assert bed.hear(1) == [(40_000, 9_000, FLAG_ACK | FLAG_FIN, b"")]
    bed.server.accept()
    assert bed.hear(2) == [(40_000, 9_000, FLAG_SYN, b""), (40_000, 9_000, DATA, b"patient")]


def test_a_client_that_does_not_read_is_cut_off_without_a_hole(bed: Bed) -> None:
    client = bed.client()
    bed.hear(1)
    piece, sent = bytes(1_000), 0
    while bed.server.ring.counters.drops == 0:
        bed.say(40_000, 9_000, piece)
        sent += 1
        assert sent * len(piece) < (1 << 26) + BACKLOG_BYTES, "the kernel took all of it"
    bed.server.accept()
    assert bed.server.clients() == 0
    with pytest.raises(ConnectionResetError):
        read_all(client)


def test_words_for_nobody_are_counted(bed: Bed) -> None:
    bed.say(40_000, 9_000, b"hello?")
    assert bed.server.ring.counters.drops == 1


def test_an_endpoint_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(HostError, match=f"^gateway 127.0.0.1:{port}: Address already in use; is another"):
            TcpServer([(LOOPBACK_IP, port)], [flow_of(0)])
