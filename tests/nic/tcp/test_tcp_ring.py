"""`TcpRing` on a ring in memory: what passes through, what a session sees of its connections, ports, two streams."""

import ctypes
import struct
from typing import Annotated

import pytest

from crosswire.nic.duration import NS_PER_MS, NS_PER_S
from crosswire.nic.memory.struct import Array, Struct, address_of, array, i64, u8
from crosswire.nic.packet import (
    TCP_FRAME_HEADER_BYTES,
    Flow,
    seal_tcp_frame,
    seal_udp_frame,
    write_tcp_frame_header,
    write_udp_frame_header,
)
from crosswire.nic.rings.connection import connection_of, reconnect, select_stream
from crosswire.nic.rings.ring import (
    Frame,
    RingCounters,
    Watch,
    commit,
    describe_watch,
    flush,
    next_time_ns,
    poll,
    release,
    reserve,
)
from crosswire.nic.tcp.ring import PORT_REST_NS, TcpEndpoints, TcpRing, abort_stream, close_stream, make_tcp_ring
from crosswire.nic.tcp.state import TcpEnd
from crosswire.nic.unit.compile import compiled
from tests.support.tcp_setup import ACK, FIN, IRS, PSH, RST, SESSION, START_NS, SYN, WIRE, build, mss_option, parse

pytestmark = pytest.mark.tcp

FRAMES_MAX = 64
FRAME_BYTES = 2048
POLL, RELEASE, RESERVE, COMMIT, FLUSH, RECONNECT, CLOSE, ABORT, NEXT = range(9)


class MemoryRing(Struct):
    """A wire in memory: the test puts received frames in, and takes sent ones out."""

    counters: RingCounters
    put: i64
    polled: i64
    released: i64
    sent: i64
    flushed: i64  # of those sent
    wire_ns: i64  # when it has something to do
    room: i64  # frames that may be sent before it is full
    lengths_in: Annotated[Array, i64, FRAMES_MAX]
    lengths_out: Annotated[Array, i64, FRAMES_MAX]
    data_in: Annotated[Array, u8, FRAMES_MAX * FRAME_BYTES]
    data_out: Annotated[Array, u8, FRAMES_MAX * FRAME_BYTES]


PUT_AT = MemoryRing.fields["put"].offset


@poll.register(MemoryRing)
def poll_memory(ring: MemoryRing, frame: Frame, now_ns: int) -> bool:
    if ring.polled == ring.put:
        return False
    frame.address = address_of(ring.data_in) + ring.polled * FRAME_BYTES
    frame.length = ring.lengths_in[ring.polled]
    frame.time_ns = now_ns
    ring.polled += 1
    return True


@release.register(MemoryRing)
def release_memory(ring: MemoryRing) -> None:
    ring.released += 1


@reserve.register(MemoryRing)
def reserve_memory(ring: MemoryRing, length: int) -> int:
    if ring.room == 0 or length > FRAME_BYTES:
        return 0
    return address_of(ring.data_out) + ring.sent * FRAME_BYTES


@commit.register(MemoryRing)
def commit_memory(ring: MemoryRing, length: int, _now_ns: int) -> None:
    ring.lengths_out[ring.sent] = length
    ring.sent += 1
    ring.room -= 1


@flush.register(MemoryRing)
def flush_memory(ring: MemoryRing) -> None:
    ring.flushed = ring.sent


@next_time_ns.register(MemoryRing)
def next_memory_ns(ring: MemoryRing) -> int:
    return ring.wire_ns


@describe_watch.register(MemoryRing)
def describe_memory_watch(ring: MemoryRing, watch: Watch) -> None:
    watch.address = address_of(ring) + PUT_AT
    watch.value = ring.polled


@compiled
def do(ring: TcpRing, frame: Frame, step: int, number: int, now_ns: int) -> int:
    """One call of the ring, by name: a single function to be compiled."""
    if step == POLL:
        return 1 if poll(ring, frame, now_ns) else 0
    if step == RESERVE:
        return reserve(ring, number)
    if step == RELEASE:
        release(ring)
    elif step == COMMIT:
        commit(ring, number, now_ns)
    elif step == FLUSH:
        flush(ring)
    elif step == RECONNECT:
        reconnect(ring, number, now_ns)
    elif step == CLOSE:
        close_stream(ring, number, now_ns)
    elif step == ABORT:
        abort_stream(ring, number, now_ns)
    elif step == NEXT:
        return next_time_ns(ring)
    return 0


class Session:
    """A `TcpRing`, step by step."""

    def __init__(self, streams: int = 1, ports: int = 4, **options: int) -> None:
        self.inner = MemoryRing(room=FRAMES_MAX)
        self.flows = [shifted(SESSION, stream) for stream in range(streams)]
        self.wires = [shifted(WIRE, stream) for stream in range(streams)]
        endpoints = [
            TcpEndpoints(wire, flow, tuple(range(50_000 + 100 * stream, 50_000 + 100 * stream + ports)))
            for stream, (wire, flow) in enumerate(zip(self.wires, self.flows, strict=True))
        ]
        self.ring: TcpRing = make_tcp_ring(self.inner, endpoints, 7, **options)
        self.now_ns = START_NS
        self.frame = Frame()
        self.sent = [0] * streams

    def do(self, step: int, number: int = 0) -> int:
        """One call of the ring."""
        return do(self.ring, self.frame, step, number, self.now_ns)

    def put(self, frame: bytes) -> None:
        """A frame arrives on the wire."""
        if self.inner.put == self.inner.polled:
            self.inner.put = self.inner.polled = 0
        ctypes.memmove(address_of(self.inner.data_in) + self.inner.put * FRAME_BYTES, frame, len(frame))
        self.inner.lengths_in[self.inner.put] = len(frame)
        self.inner.put += 1

    def receive(self) -> list[bytes]:
        """What the session reads."""
        frames = []
        while self.do(POLL):
            frames.append(ctypes.string_at(self.frame.address, self.frame.length))
            self.do(RELEASE)
        assert self.inner.released == self.inner.polled
        self.inner.released = self.inner.polled = self.inner.put = 0
        return frames

    def out(self) -> list[bytes]:
        """What went out on the wire since the last call."""
        self.do(FLUSH)
        return self.taken()

    def taken(self) -> list[bytes]:
        """What went out without being asked for; nothing waits to be flushed."""
        assert self.inner.flushed == self.inner.sent
        start = address_of(self.inner.data_out)
        frames = [
            ctypes.string_at(start + index * FRAME_BYTES, self.inner.lengths_out[index])
            for index in range(self.inner.sent)
        ]
        self.inner.sent = self.inner.flushed = 0
        self.inner.room = FRAMES_MAX
        return frames

    def send(self, payload: bytes, stream: int = 0) -> bool:
        """An order."""
        select_stream(self.ring, stream)
        address = self.do(RESERVE, TCP_FRAME_HEADER_BYTES + len(payload))
        if address == 0:
            return False
        there = write_tcp_frame_header(address, self.flows[stream], 0xFFFF)
        ctypes.memmove(there, payload, len(payload))
        length = seal_tcp_frame(address, len(payload), self.sent[stream], 0, ACK | PSH)
        self.do(COMMIT, length)
        self.sent[stream] += len(payload)
        return True

    def connect(self, stream: int = 0) -> int:
        """A handshake; returns our initial sequence number."""
        self.do(RECONNECT, stream)
        syn = parse(self.out()[-1])
        assert syn.flags == SYN
        self.sent[stream] = 0
        self.now_ns += NS_PER_MS
        self.put(build(SYN | ACK, IRS, syn.sequence + 1, options=mss_option(1460), flow=self.wire(stream)))
        assert self.receive() == []
        return syn.sequence

    def wire(self, stream: int = 0) -> Flow:
        return self.ring.connections[stream].tcp.wire

    def peer(self, flags: int, sequence: int, ack: int, payload: bytes = b"", stream: int = 0) -> None:
        """A segment of the stream's peer, its numbers relative."""
        tcp = self.ring.connections[stream].tcp
        self.put(build(flags, IRS + 1 + sequence, tcp.send.base + ack, payload, flow=tcp.wire))


def shifted(flow: Flow, number: int) -> Flow:
    """A copy of a flow for another stream: it has other ports."""
    values = {name: getattr(flow, name) for name in Flow.fields}
    values["destination_port"] += number
    values["source_port"] += 100 * number
    return Flow(**values)


def test_handshake_and_order() -> None:
    session = Session()
    assert connection_of(session.ring, 0) == 0
    assert not session.send(b"too early")
    session.connect()
    assert connection_of(session.ring, 0) == 1
    session.out()
    assert session.send(b"order")
    (frame,) = session.out()
    assert parse(frame).payload == b"order"
    session.peer(ACK | PSH, 0, 5, b"report")
    (frame,) = session.receive()
    seen = parse(frame)  # both checksums are right, too
    assert (seen.payload, seen.sequence, seen.acknowledgement) == (b"report", 0, 5)
    assert seen.ports == (SESSION.destination_port, SESSION.source_port)
    assert frame[26:34] == struct.pack(">II", SESSION.destination_ip, SESSION.source_ip)
    assert frame[:6] == SESSION.source_mac.to_bytes(6, "big")


def test_what_is_read_has_the_sessions_own_headers() -> None:
    session = Session()
    session.connect()
    for number in range(3):
        session.peer(ACK | PSH, 6 * number, 0, b"report")
    frames = session.receive()
    for number, frame in enumerate(frames):
        seen = parse(frame)
        assert (seen.sequence, seen.flags, seen.window, seen.options) == (6 * number, ACK | PSH, 65_535, b"")
        assert frame[:6] == SESSION.source_mac.to_bytes(6, "big")
        assert frame[6:12] == SESSION.destination_mac.to_bytes(6, "big")
    assert len(frames) == 3


def test_frames_that_are_none_of_ours_pass_through() -> None:
    """Too short for TCP's header, or from elsewhere to our port, or from the gateway to a port that is not ours."""
    session = Session()
    session.connect()
    session.out()
    wire = session.wire()
    good = build(ACK, IRS + 1, 1, b"x", flow=wire)
    elsewhere = [shifted(wire, 0) for _ in range(4)]
    elsewhere[0].destination_ip += 1
    elsewhere[1].source_ip += 1
    elsewhere[2].destination_port += 1
    elsewhere[3].source_port = 4_000
    strange = [good[:53], *(build(ACK, IRS + 1, 1, b"x", flow=flow) for flow in elsewhere)]
    for frame in strange:
        session.put(frame)
    assert session.receive() == strange
    assert session.out() == []


def test_an_order_is_measured_and_sent_again_as_any_segment() -> None:
    session = Session(tail_probe_floor_ns=3600 * NS_PER_S)
    session.connect()
    session.out()
    tcp = session.ring.connections[0].tcp
    session.now_ns += 25 * NS_PER_S  # idle for longer than the user timeout: that is no silence
    session.peer(ACK, 0, 0, b"news")
    session.receive()
    assert session.send(b"order")
    (frame,) = session.out()
    assert (parse(frame).payload, parse(frame).acknowledgement) == (b"order", IRS + 5)
    for ms, expected in ((199, []), (1, [b"order"])):
        session.now_ns += ms * NS_PER_MS
        session.receive()
        assert [parse(frame).payload for frame in session.out()] == expected  # no ACK beside: the order carried it
    session.peer(ACK, 4, 5)
    session.receive()
    assert session.send(b"another")
    session.out()
    session.now_ns += 9 * NS_PER_MS
    session.peer(ACK, 4, 12)
    session.receive()
    assert (tcp.round_trip.smoothed_ns, tcp.store.begin, tcp.store.middle) == (2 * NS_PER_MS, 2, 2)
    assert (tcp.counters.segments, tcp.counters.late, tcp.counters.retransmits, tcp.counters.timeouts) == (2, 0, 1, 1)


@pytest.mark.parametrize("is_answered", [True, False])
def test_who_polls_late_reads_before_it_gives_anybody_up(is_answered: bool) -> None:
    """Longer than the user timeout: the answer waits, or was never sent."""
    session = Session()
    session.connect()
    session.out()
    assert session.send(b"order")
    session.out()
    session.now_ns += 60 * NS_PER_S
    if is_answered:
        session.peer(ACK, 0, 5, b"report")
    assert [parse(frame).payload for frame in session.receive()] == ([b"report"] if is_answered else [])
    for _ in range(100):
        session.now_ns += NS_PER_MS
        session.receive()
        session.out()
    tcp = session.ring.connections[0].tcp
    assert (tcp.end, connection_of(session.ring, 0)) == (TcpEnd.NONE, 1)
    for _ in range(300):
        session.now_ns += 100 * NS_PER_MS
        session.receive()
        session.out()
    assert tcp.end == (TcpEnd.NONE if is_answered else TcpEnd.TIMEOUT)


def test_out_of_order_is_read_in_order_with_right_headers() -> None:
    session = Session()
    session.connect()
    session.peer(ACK, 6, 0, b"world")
    assert session.receive() == []
    session.peer(ACK, 0, 0, b"hello ")
    frames = [parse(frame) for frame in session.receive()]
    assert [(seen.sequence, seen.payload) for seen in frames] == [(0, b"hello "), (6, b"world")]
    session.peer(ACK, 6, 0, b"world, again")
    assert [parse(frame).payload for frame in session.receive()] == [b", again"]


def test_each_segment_out_of_order_is_acknowledged() -> None:
    """RFC 5681 4.2, of one burst too: with one ACK for all the peer would not learn of the loss (3.2)."""
    session = Session()
    session.connect()
    session.out()
    for number in range(1, 6):
        session.peer(ACK | PSH, 10 * number, 0, bytes([number]) * 10)
    assert session.receive() == []
    answers = [parse(frame) for frame in session.out()]
    assert [(each.acknowledgement, each.payload) for each in answers] == [(IRS + 1, b"")] * 5


def test_other_frames_pass_through() -> None:
    session = Session()
    session.connect()
    room: Array = array(u8, 200)
    write_udp_frame_header(address_of(room), WIRE, 20)
    udp = ctypes.string_at(address_of(room), seal_udp_frame(address_of(room), 20))
    other = build(ACK, 1, 2, b"another's", port=4000)
    arp = bytes(12) + b"\x08\x06" + bytes(28)
    runt = b"\x01" * 19
    for frame in (udp, other, arp, runt):
        session.put(frame)
    assert session.receive() == [udp, other, arp, runt]


def test_end_is_read_once_behind_the_data() -> None:
    session = Session()
    session.connect()
    session.peer(FIN | ACK, 5, 0, b"bye")
    session.peer(ACK, 0, 0, b"last ")
    frames = [parse(frame) for frame in session.receive()]
    assert [seen.payload for seen in frames] == [b"last ", b"bye", b""]
    assert frames[-1].flags & FIN
    assert connection_of(session.ring, 0) == 0
    assert not session.send(b"x")
    # It closes by itself.
    assert any(parse(frame).flags & FIN for frame in session.out())
    session.peer(ACK, 9, 1)
    assert session.receive() == []


def test_reset_is_read_once() -> None:
    session = Session()
    session.connect()
    session.peer(RST, 0, 0)
    (frame,) = session.receive()
    assert parse(frame).flags & RST
    assert session.receive() == []
    assert session.ring.connections[0].tcp.end == TcpEnd.PEER_RESET


def test_refused_connection_is_not_seen() -> None:
    session = Session()
    session.do(RECONNECT, 0)
    syn = parse(session.out()[-1])
    session.put(build(RST | ACK, 0, syn.sequence + 1, flow=session.wire()))
    assert session.receive() == []
    assert connection_of(session.ring, 0) == 0
    session.connect()
    assert connection_of(session.ring, 0) == 1


def test_ports_rest() -> None:
    """A port comes again 60 s after its connection was left, not before."""
    session = Session(ports=3)
    used = []
    for _ in range(3):
        session.connect()
        used.append(session.wire().source_port)
    assert sorted(used) == [50_000, 50_001, 50_002]
    session.do(RECONNECT, 0)
    assert session.ring.connections[0].refused_ports == 1
    assert connection_of(session.ring, 0) == 0
    session.now_ns += PORT_REST_NS
    session.out()
    session.connect()
    assert connection_of(session.ring, 0) == 4


def test_initial_sequences_differ() -> None:
    session = Session(ports=8)
    numbers = {session.connect() for _ in range(8)}
    assert len(numbers) == 8
    assert max(numbers) - min(numbers) > 1 << 24


def test_reconnect_resets_the_former_connection() -> None:
    session = Session()
    session.connect()
    session.out()
    session.send(b"in flight")
    session.out()
    session.do(RECONNECT, 0)
    flags = [parse(frame).flags for frame in session.out()]
    assert flags == [RST | ACK, SYN]
    assert connection_of(session.ring, 0) == 0


def test_former_connection_s_segments_are_reset() -> None:
    session = Session()
    session.connect()
    session.out()
    former = shifted(session.wire(), 0)
    session.connect()
    session.out()
    session.put(build(ACK, 9, 77, b"old", flow=former))
    assert session.receive() == []
    (reset,) = [parse(frame) for frame in session.out()]
    assert (reset.flags, reset.sequence, reset.ports[0]) == (RST, 77, former.source_port)
    session.put(build(RST, 9, 77, flow=former))
    assert session.receive() == []
    assert session.out() == []


def test_full_ring_below() -> None:
    """Committed frames wait, and later ones do not overtake them."""
    session = Session(tail_probe_floor_ns=NS_PER_S)
    session.connect()
    session.out()
    session.inner.room = 0
    assert session.send(b"one")
    assert session.send(b"two")
    session.receive()
    session.inner.room = 1
    assert session.receive() == []
    assert [parse(frame).payload for frame in session.out()] == [b"one"]
    assert session.send(b"three")
    assert [parse(frame).payload for frame in session.out()] == [b"two", b"three"]
    assert session.ring.connections[0].tcp.counters.late == 3
    session.peer(ACK, 0, 11)
    session.receive()
    assert session.ring.connections[0].tcp.send.una == 11


def test_two_streams() -> None:
    session = Session(streams=2)
    session.connect(0)
    assert (connection_of(session.ring, 0), connection_of(session.ring, 1)) == (1, 0)
    session.connect(1)
    session.out()
    assert session.send(b"to B", 1)
    assert session.send(b"to A", 0)
    frames = [parse(frame) for frame in session.out()]
    assert [(seen.payload, seen.ports[1]) for seen in frames] == [
        (b"to B", WIRE.destination_port + 1),
        (b"to A", WIRE.destination_port),
    ]
    session.peer(ACK, 0, 4, b"from B", 1)
    session.peer(ACK, 0, 4, b"from A", 0)
    frames = [parse(frame) for frame in session.receive()]
    assert [(seen.payload, seen.ports[0]) for seen in frames] == [
        (b"from B", SESSION.destination_port + 1),
        (b"from A", SESSION.destination_port),
    ]
    session.peer(RST, 6, 4, b"", 1)
    assert len(session.receive()) == 1
    assert (connection_of(session.ring, 0), connection_of(session.ring, 1)) == (1, 0)
    assert session.send(b"A lives", 0)


def test_timers_run_from_poll() -> None:
    session = Session()
    session.connect()
    session.out()
    session.send(b"order")
    session.out()
    session.now_ns += 10 * NS_PER_MS
    assert session.receive() == []
    assert [parse(frame).payload for frame in session.out()] == [b"order"]
    assert next_time_ns(session.ring) == 0  # the wire's
    session.do(CLOSE, 0)
    assert parse(session.out()[-1]).flags & FIN


def test_out_of_range() -> None:
    endpoints = TcpEndpoints(WIRE, SESSION, (5,))
    for given in ([], [endpoints] * 3, [TcpEndpoints(WIRE, SESSION, ())], [TcpEndpoints(WIRE, SESSION, (1,) * 33)]):
        with pytest.raises(ValueError, match="must be"):
            make_tcp_ring(MemoryRing(), given, 0)
