"""`TcpConnections` on a ring in memory: ports held, addresses, opening and closing against a peer that answers or not.

The peer, and all time, are in the clock that the connections are given: it is asked for the time once a turn.
"""

import ctypes
import os
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from crosswire.nic.duration import NS_PER_MS, NS_PER_S
from crosswire.nic.host.process import HostError
from crosswire.nic.memory.struct import address_of
from crosswire.nic.packet import Flow
from crosswire.nic.rings.connection import connection_of
from crosswire.nic.rings.ring import Frame
from crosswire.nic.rings.xdp.program import TcpTuple
from crosswire.nic.tcp import connection
from crosswire.nic.tcp.connection import Gateway, Step, TcpConnections, prepare, reconnect_from_python, turn
from crosswire.nic.tcp.ring import TcpRing
from crosswire.nic.tcp.state import TcpEnd, TcpState
from tests.nic.tcp.test_tcp_ring import FRAME_BYTES, FRAMES_MAX, MemoryRing, shifted
from tests.support.tcp_setup import ACK, FIN, IRS, RST, SESSION, START_NS, SYN, Seen, build, mss_option, parse

pytestmark = pytest.mark.tcp

LOOPBACK_IP = 0x7F000001
MAC = 0x020000000009
GATEWAYS = (Gateway(0x0A620002, 9_000, SESSION, MAC), Gateway(0x0A620003, 9_001, shifted(SESSION, 1), MAC))
TURN_NS = NS_PER_MS

Answer = Callable[[Seen], tuple[int, int, int] | None]  # flags, sequence, acknowledgement


class Peer:
    """Both gateways, and the clock: a turn takes a millisecond, and is answered by the next."""

    def __init__(self, owner: TcpConnections, answer: Answer, **options: int) -> None:
        self.inner = MemoryRing(room=FRAMES_MAX)
        self.ring: TcpRing = owner.open_ring(self.inner, **options)
        self.answer = answer
        self.now_ns = START_NS
        self.seen: list[Seen] = []

    def clock(self) -> int:
        """Take what was sent, answer it, and tell the time."""
        self.now_ns += TURN_NS
        inner = self.inner
        assert inner.released == inner.polled  # of what a turn receives nothing is kept
        if inner.polled == inner.put:
            inner.released = inner.polled = inner.put = 0
        for index in range(inner.sent):
            start = address_of(inner.data_out) + index * FRAME_BYTES
            frame = ctypes.string_at(start, inner.lengths_out[index])
            self.seen.append(parse(frame))
            answer = self.answer(self.seen[-1])
            if answer is not None:
                self.put(frame, *answer)
        inner.sent = 0
        inner.room = FRAMES_MAX
        return self.now_ns

    def put(self, frame: bytes, flags: int, sequence: int, acknowledgement: int) -> None:
        ips, ports = struct.unpack(">II", frame[26:34]), struct.unpack(">HH", frame[34:38])
        flow = Flow(
            source_mac=1, destination_mac=2, source_ip=ips[0], destination_ip=ips[1],
            source_port=ports[0], destination_port=ports[1],
        )  # fmt: skip
        there = build(flags, sequence, acknowledgement, options=mss_option(1460) if flags & SYN else b"", flow=flow)
        ctypes.memmove(address_of(self.inner.data_in) + self.inner.put * FRAME_BYTES, there, len(there))
        self.inner.lengths_in[self.inner.put] = len(there)
        self.inner.put += 1

    def monotonic(self) -> float:
        return (self.now_ns - START_NS) / NS_PER_S

    def flags(self) -> list[int]:
        """What was sent since the last call, but for mere ACKs."""
        self.clock()
        flags = [each.flags for each in self.seen if each.flags != ACK]
        self.seen.clear()
        return flags


def polite(seen: Seen) -> tuple[int, int, int] | None:
    """Accept, and close when asked to."""
    if seen.flags & SYN:
        return SYN | ACK, IRS, seen.sequence + 1
    return (FIN | ACK, IRS + 1, seen.sequence + 1) if seen.flags & FIN else None


def silent(_seen: Seen) -> None:
    return None


@pytest.fixture
def owner() -> Iterator[TcpConnections]:
    with TcpConnections("lo", GATEWAYS, 3) as made:
        yield made


def patient(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> Peer:
    """Have the patience of `connect` and `disconnect` go by the peer's clock."""
    monkeypatch.setattr(connection.time, "monotonic", peer.monotonic)
    return peer


def is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as other:
        try:
            other.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def test_ports_are_held_as_long_as_it_lives() -> None:
    before = len(os.listdir("/proc/self/fd"))
    with TcpConnections("lo", GATEWAYS, 3) as owner:
        ports = [port for each in owner.endpoints for port in each.ports]
        assert len(set(ports)) == 6
        assert not any(is_free(port) for port in ports)
        assert owner.tuples == tuple(
            TcpTuple(LOOPBACK_IP, port, gateway.ip, gateway.port)
            for gateway, each in zip(GATEWAYS, owner.endpoints, strict=True)
            for port in each.ports
        )
    assert all(is_free(port) for port in ports)
    owner.close()
    assert len(os.listdir("/proc/self/fd")) == before
    assert [len(each.ports) for each in TcpConnections("lo", GATEWAYS[:1]).endpoints] == [connection.PORTS]


def test_a_port_that_is_not_to_be_had_is_told_and_none_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(connection, "interface_ip", lambda _interface: 0xC0000201)
    with pytest.raises(
        HostError, match=r"^lo: a local port of 192\.0\.2\.1: Cannot assign requested address$"
    ) as caught:
        TcpConnections("lo", GATEWAYS)
    assert len(os.listdir("/proc/self/fd")) == before
    assert caught.traceback  # and with it what was half made


def test_a_neighbour_is_looked_for_only_where_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def resolve(*whom: object) -> int:
        asked.append(whom)
        return 0x0200000000AB

    monkeypatch.setattr(connection, "resolve", resolve)
    monkeypatch.setattr(connection, "interface_mac", lambda _interface: 0x0200000000CD)
    gateways = (GATEWAYS[0], Gateway(0x0A620003, 9_001, SESSION))
    with TcpConnections("lo", gateways, 1) as owner:
        wires = [each.wire for each in owner.endpoints]
    assert [(wire.source_mac, wire.destination_mac) for wire in wires] == [
        (0x0200000000CD, MAC),
        (0x0200000000CD, 0x0200000000AB),
    ]
    assert asked == [("lo", 0x0A620003)]


@pytest.mark.parametrize(("mtu", "mss"), [(1_400, 1_360), (1_499, 1_459), (1_500, 1_460), (9_000, 1_460)])
def test_a_segment_fits_the_interface(monkeypatch: pytest.MonkeyPatch, mtu: int, mss: int) -> None:
    """A packet less 40 bytes of headers, and never more than a slot has room for: the SYN says so (RFC 9293 3.7.1)."""
    monkeypatch.setattr(connection, "interface_mtu", lambda _interface: mtu)
    with TcpConnections("lo", GATEWAYS[:1], 1) as owner:
        peer = Peer(owner, silent)
        owner.drive(Step.OPEN, 0, peer.clock())
        peer.clock()
    (syn,) = peer.seen
    assert (syn.flags, syn.options[:4]) == (SYN, mss_option(mss))


def test_initial_sequences_come_from_the_system_unless_they_are_a_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    def drawn(seed: int | None) -> int:
        with TcpConnections("lo", GATEWAYS[:1], 1) as owner:
            ring = owner.open_ring(MemoryRing(room=FRAMES_MAX), seed, tail_probe_floor_ns=77)
            assert ring.connections[0].tcp.settings.tail_probe_floor_ns == 77
            owner.drive(Step.OPEN, 0, START_NS)
            return int(ring.connections[0].tcp.send.base)

    assert drawn(None) != drawn(None)
    asked = []

    def urandom(count: int) -> bytes:
        asked.append(count)
        return b"\xfe" + b"\xff" * (count - 1)

    monkeypatch.setattr(os, "urandom", urandom)
    assert drawn(None) == drawn(-2)
    assert drawn(-2) != drawn(0)
    assert asked == [8]


def test_every_stream_is_connected_and_none_that_is_already(
    owner: TcpConnections, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = patient(Peer(owner, polite), monkeypatch)
    owner.connect(peer.clock)
    assert [connection_of(peer.ring, stream) for stream in range(2)] == [1, 1]
    assert peer.flags() == [SYN, SYN]
    assert peer.monotonic() < 0.1
    owner.drive(Step.ABORT, 1, peer.clock())
    assert peer.flags() == [RST | ACK]
    owner.connect(peer.clock)
    assert [connection_of(peer.ring, stream) for stream in range(2)] == [1, 2]
    assert peer.flags() == [SYN]


@pytest.mark.parametrize("port", [9_000, 9_001])
def test_a_gateway_that_refuses_is_named(owner: TcpConnections, monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    def answer(seen: Seen) -> tuple[int, int, int] | None:
        return (RST | ACK, 0, seen.sequence + 1) if seen.ports[1] == port else polite(seen)

    peer = patient(Peer(owner, answer), monkeypatch)
    with pytest.raises(HostError, match=rf"^lo: gateway 10\.98\.0\.{port - 8_998}:{port}: refused; is it running\?$"):
        owner.connect(peer.clock)
    assert peer.monotonic() < 0.1


def test_a_gateway_that_does_not_answer_is_named_after_its_syns(
    owner: TcpConnections, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SYN and three more: 15 s, which is less than the patience."""

    def answer(seen: Seen) -> tuple[int, int, int] | None:
        return polite(seen) if seen.ports[1] == 9_001 else None

    peer = patient(Peer(owner, answer), monkeypatch)
    monkeypatch.setattr(f"{__name__}.TURN_NS", 50 * NS_PER_MS)
    with pytest.raises(HostError, match=r"^lo: gateway 10\.98\.0\.2:9000: no answer; is it reachable from here\?$"):
        owner.connect(peer.clock)
    assert 14.9 < peer.monotonic() < 15.5
    assert [each.flags for each in peer.seen if each.ports[1] == 9_000] == [SYN] * 4
    assert connection_of(peer.ring, 1) == 1
    assert peer.ring.connections[0].tcp.end == TcpEnd.TIMEOUT


def test_patience_ends(owner: TcpConnections, monkeypatch: pytest.MonkeyPatch) -> None:
    peer = patient(Peer(owner, silent), monkeypatch)
    with pytest.raises(HostError, match="no answer"):
        owner.connect(peer.clock, patience_s=0.1)
    assert 0.09 < peer.monotonic() < 0.11


def test_patience_ends_with_its_last_nanosecond(owner: TcpConnections, monkeypatch: pytest.MonkeyPatch) -> None:
    """Turns of 1/64 s, which floats hold exactly: two that open the streams, then as many as patience lasts."""
    peer = patient(Peer(owner, silent), monkeypatch)
    monkeypatch.setattr(f"{__name__}.TURN_NS", NS_PER_S // 64)
    with pytest.raises(HostError, match="no answer"):
        owner.connect(peer.clock, patience_s=8 / 64)
    assert peer.monotonic() == 10 / 64


def test_connections_are_closed_in_order_and_what_does_not_close_is_reset(
    owner: TcpConnections, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first gateway closes as soon as it is asked to, the second never."""
    peer = patient(Peer(owner, polite), monkeypatch)
    owner.connect(peer.clock)
    assert peer.flags() == [SYN, SYN]
    peer.answer = lambda seen: polite(seen) if seen.ports[1] == 9_000 else None
    begun_s = peer.monotonic()
    owner.disconnect(peer.clock, patience_s=0.15)
    assert 0.14 < peer.monotonic() - begun_s < 0.17
    peer.clock()
    for port, expected in ((9_000, {FIN}), (9_001, {FIN, RST})):
        flags = [each.flags for each in peer.seen if each.ports[1] == port and each.flags != ACK]
        assert {each & (FIN | RST) for each in flags} == expected, port
    assert peer.ring.connections[1].tcp.state == TcpState.CLOSED


def test_closing_waits_no_longer_than_the_peers_need(owner: TcpConnections, monkeypatch: pytest.MonkeyPatch) -> None:
    peer = patient(Peer(owner, polite), monkeypatch)
    owner.connect(peer.clock)
    peer.flags()
    begun_s = peer.monotonic()
    owner.disconnect(peer.clock)
    assert peer.monotonic() - begun_s < 0.1
    assert [flags & (FIN | RST) for flags in peer.flags()] == [FIN, FIN]
    assert [each.tcp.state for each in peer.ring.connections] == [TcpState.CLOSED] * 2


def test_what_drives_a_class_of_rings_is_made_beforehand(
    owner: TcpConnections, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first call compiles it: one that does nothing to a ring without a connection."""
    real, driven = connection.DRIVE, []

    def drive(ring: TcpRing, *rest: Any) -> None:
        driven.append(type(ring))
        real(ring, *rest)

    monkeypatch.setattr(connection, "DRIVE", drive)
    peer = Peer(owner, polite)
    prepare(peer.ring)
    assert driven == [type(peer.ring)]
    assert (peer.flags(), [each.tcp.state for each in peer.ring.connections]) == ([], [TcpState.CLOSED] * 2)


def test_only_streams_that_a_ring_has_are_driven(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of a ring is checked where it is compiled: a second stream of one would be memory of something else."""
    real, driven = connection.DRIVE, []

    def drive(ring: TcpRing, frame: Frame, step: int, stream: int, now_ns: int) -> None:
        driven.append((step, stream))
        real(ring, frame, step, stream, now_ns)

    monkeypatch.setattr(connection, "DRIVE", drive)
    with TcpConnections("lo", GATEWAYS[:1], 3) as owner:
        peer = patient(Peer(owner, polite), monkeypatch)
        prepare(peer.ring)
        turn(peer.ring, Frame(), peer.now_ns)
        owner.connect(peer.clock)
        owner.disconnect(peer.clock)
    assert {stream for _step, stream in driven} == {0}
    assert {step for step, _stream in driven} == set(Step)


def test_a_stream_has_sixteen_connections_in_the_minute_that_a_port_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 9293 3.4.2: what is left of a connection may still come, so its ports are not used again so soon."""
    with TcpConnections("lo", GATEWAYS[:1]) as owner:
        peer = patient(Peer(owner, polite), monkeypatch)
        for number in range(1, 17):
            owner.connect(peer.clock)
            assert connection_of(peer.ring, 0) == number
            owner.drive(Step.ABORT, 0, peer.clock())
        peer.clock()
        syns = [each.ports[0] for each in peer.seen if each.flags == SYN]
        assert (len(syns), set(syns)) == (16, set(owner.endpoints[0].ports))
        peer.flags()
        with pytest.raises(HostError):
            owner.connect(peer.clock, patience_s=0.1)
        assert peer.flags() == []
        peer.now_ns += 60 * NS_PER_S
        owner.connect(peer.clock)
        assert peer.flags() == [SYN]


def test_steps_without_an_owner(owner: TcpConnections) -> None:
    peer = Peer(owner, polite)
    reconnect_from_python(peer.ring, 1, peer.clock())
    peer.clock()
    turn(peer.ring, Frame(), peer.now_ns)
    assert [connection_of(peer.ring, stream) for stream in range(2)] == [0, 1]
    # What a turn receives is for nobody, and its slot is free again.
    peer.put(bytes(26) + struct.pack(">IIHH", 1, 2, 3, 4), ACK, 0, 0)
    turn(peer.ring, Frame(), peer.now_ns)
    assert peer.inner.polled == peer.inner.released == peer.inner.put == 2
    owner.drive(Step.CLOSE, 1, peer.clock())
    assert [flags & FIN for flags in peer.flags()] == [0, FIN]


def test_without_a_ring_nothing_is_driven(owner: TcpConnections) -> None:
    with pytest.raises(AssertionError, match="open_ring first"):
        owner.connect()
    owner.open_ring(MemoryRing(room=FRAMES_MAX))
    owner.close()
    with pytest.raises(AssertionError, match="open_ring first"):
        owner.disconnect()
