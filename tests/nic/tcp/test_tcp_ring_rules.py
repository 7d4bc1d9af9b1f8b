"""`TcpRing` in figures: its counters and times, ports and initial sequences, answers to strays, ends by timers."""

import pickle
from itertools import pairwise

import pytest

from crosswire.nic.duration import NS_PER_MS, NS_PER_S
from crosswire.nic.packet import TCP_FRAME_HEADER_BYTES
from crosswire.nic.rings.connection import connection_of, select_stream
from crosswire.nic.rings.ring import NEVER_NS, Watch, is_quiet
from crosswire.nic.tcp import ring
from crosswire.nic.tcp.ring import (
    FRAMES_PER_TURN_MAX,
    PORT_REST_NS,
    PORTS_MAX,
    SEGMENTS_PER_POLL_MAX,
    TcpEndpoints,
    draw_sequence,
    make_tcp_ring,
)
from crosswire.nic.tcp.state import ACK_DELAY_NS, SLOT_MASK, SLOTS, TIME_WAIT_NS, TcpEnd, TcpState
from tests.nic.tcp.test_tcp_ring import (
    ABORT,
    CLOSE,
    FLUSH,
    FRAMES_MAX,
    NEXT,
    POLL,
    RECONNECT,
    RELEASE,
    RESERVE,
    MemoryRing,
    Session,
    shifted,
)
from tests.support.ring_cases import look_ahead
from tests.support.tcp_setup import ACK, FIN, IRS, PSH, RST, SESSION, SYN, WIRE, build, parse

pytestmark = pytest.mark.tcp


def connected(streams: int = 1, **options: int) -> Session:
    """A session whose handshakes are over, and whose wire is never due itself."""
    session = Session(streams, **options)
    for stream in range(streams):
        session.connect(stream)
    session.out()
    session.inner.wire_ns = NEVER_NS
    return session


def flags(frames: list[bytes]) -> list[int]:
    return [parse(frame).flags for frame in frames]


# What it counts, and when it is to be asked again.


def test_what_the_session_sees_is_counted_once() -> None:
    session = connected()
    counters = session.ring.counters
    before = counters.frames, counters.bytes, counters.empty_polls
    session.peer(ACK | PSH, 6, 0, b"world")
    session.peer(ACK | PSH, 0, 0, b"hello ")
    session.put(b"\x01" * 60)
    session.inner.counters.drops = 3
    for _ in range(2):
        assert not session.do(RESERVE, TCP_FRAME_HEADER_BYTES + 1461)
    frames = session.receive()
    assert [len(frame) for frame in frames] == [60, 59, 60]
    assert (counters.frames, counters.bytes) == (before[0] + 3, before[1] + 60 + 59 + 60)
    assert (counters.empty_polls, counters.drops) == (before[2] + 1, 3 + 2)


def test_a_poll_does_not_take_segments_without_end() -> None:
    """Else a peer that sends nothing but ACKs would keep the loop from its orders."""
    session = connected()
    for _ in range(SEGMENTS_PER_POLL_MAX + 4):
        session.peer(ACK, 0, 0)
    for polled in (SEGMENTS_PER_POLL_MAX, SEGMENTS_PER_POLL_MAX + 4):
        assert not session.do(POLL)
        assert session.inner.polled == session.inner.released == polled


def test_it_is_due_when_its_first_connection_is() -> None:
    session = connected(2)
    assert session.do(NEXT) == session.now_ns - NS_PER_MS + 30 * NS_PER_S  # the first's keepalive
    session.inner.wire_ns = session.now_ns + 5
    assert session.do(NEXT) == session.now_ns + 5
    session.inner.wire_ns = NEVER_NS
    session.peer(ACK | PSH, 0, 0, b"news", stream=1)
    session.receive()
    assert session.do(NEXT) == session.now_ns + ACK_DELAY_NS
    session.now_ns += ACK_DELAY_NS - 1
    session.receive()
    assert session.taken() == []
    session.now_ns += 1
    session.receive()
    (ack,) = session.taken()
    assert (parse(ack).flags, parse(ack).acknowledgement) == (ACK, IRS + 5)
    session.now_ns += NS_PER_S
    assert session.send(b"order")
    due_ns = session.do(NEXT)
    assert session.now_ns < due_ns < session.now_ns + 200 * NS_PER_MS
    session.out()
    session.now_ns = due_ns
    session.receive()
    assert [parse(frame).payload for frame in session.taken()] == [b"order"]  # the tail's probe


def test_it_is_quiet_while_the_wire_is_and_nothing_is_due() -> None:
    session, watch = connected(), Watch()
    assert look_ahead(session.ring, watch, session.now_ns) == 1
    due_ns = session.do(NEXT)
    assert look_ahead(session.ring, watch, due_ns - 1) == 1
    assert watch.until_ns == due_ns
    assert look_ahead(session.ring, watch, due_ns) == 0
    assert look_ahead(session.ring, watch, session.now_ns) == 1
    session.peer(ACK, 6, 0, b"world")
    assert not is_quiet(watch, session.now_ns)
    session.peer(ACK, 0, 0, b"hello ")
    assert session.do(POLL)
    session.do(RELEASE)
    # Nothing is left on the wire, but what was read early is.
    assert session.inner.put == session.inner.polled
    assert look_ahead(session.ring, watch, session.now_ns) == 0
    assert session.do(POLL)
    session.do(RELEASE)
    assert not session.do(POLL)
    assert look_ahead(session.ring, watch, session.now_ns) == 1


def test_a_frame_that_waited_for_room_goes_out_at_the_time_of_its_commit() -> None:
    """Not at that of the last poll, which may be older: what is sent earlier is measured, and sent again, too early."""
    session = connected()
    session.receive()
    session.inner.room = 0
    session.now_ns += 5_000
    assert session.send(b"order")
    session.inner.room = FRAMES_MAX
    (frame,) = session.out()
    assert parse(frame).payload == b"order"
    store = session.ring.connections[0].tcp.store
    assert store.slots[store.begin & SLOT_MASK].sent_ns == session.now_ns


def test_without_a_connection_it_is_never_due() -> None:
    session = Session()
    session.inner.wire_ns = NEVER_NS
    assert session.do(NEXT) == NEVER_NS


def test_its_class_is_found_by_its_name() -> None:
    """By what is kept of compiled code, in a process that has yet to make the class."""
    cls = type(make_tcp_ring(MemoryRing(), [TcpEndpoints(WIRE, SESSION, (5,))], 0))
    found = ring.__getattr__(cls.__name__)
    assert found is cls
    assert pickle.loads(pickle.dumps(cls)) is cls


def test_what_was_read_early_is_due_at_once() -> None:
    session = connected()
    session.peer(ACK, 6, 0, b"world")
    session.peer(ACK, 0, 0, b"hello ")
    assert session.do(POLL)
    session.do(RELEASE)
    assert session.do(NEXT) == session.now_ns
    session.inner.wire_ns = session.now_ns - 9
    assert session.do(NEXT) == session.now_ns - 9
    session.inner.wire_ns = NEVER_NS
    assert session.do(POLL)
    session.do(RELEASE)
    assert not session.do(POLL)
    assert session.do(NEXT) > session.now_ns


def test_a_copy_is_not_a_frame_of_the_ring_inside() -> None:
    """What is read of a copy gives no slot back, nor does a second release."""
    session = connected()
    session.peer(ACK, 1, 0, b"b")
    session.peer(ACK, 0, 0, b"a")
    for released in (2, 2):
        assert session.do(POLL)
        session.do(RELEASE)
        session.do(RELEASE)
        assert session.inner.released == released


def test_one_byte_that_came_early_is_read() -> None:
    session = connected()
    session.peer(ACK, 1, 0, b"b")
    session.peer(ACK, 0, 0, b"a")
    frames = [parse(frame) for frame in session.receive()]
    assert [(frame.payload, frame.flags) for frame in frames] == [(b"a", ACK | PSH), (b"b", ACK | PSH)]


def test_the_window_is_told_again_once_what_came_early_was_read() -> None:
    """RFC 9293 3.8.6.2.2: else the peer would wait for our next delayed ACK."""
    session = connected()
    for number in (1, 2, 3, 4, 0):
        session.peer(ACK, 1_460 * number, 0, b"x" * 1_460)
    assert len(session.receive()) == 5
    acks = [parse(frame) for frame in session.out()]
    assert acks[-1].acknowledgement == IRS + 1 + 5 * 1_460
    assert acks[-1].window >= 65_535 - 1_460


def test_orders_wait_for_the_ring_below_and_go_at_the_next_turn() -> None:
    session = connected(tail_probe_floor_ns=NS_PER_S)
    session.inner.room = 0
    assert session.send(b"one")
    assert session.do(NEXT) == 0
    session.inner.room = 2
    session.do(FLUSH)
    assert [parse(frame).payload for frame in session.taken()] == [b"one"]
    assert session.do(NEXT) > session.now_ns


def test_a_turn_sends_again_a_store_full_of_frames() -> None:
    """All that fits the window, after a timeout, and no more than the ring inside has room for."""
    assert FRAMES_PER_TURN_MAX >= SLOTS
    session = connected()
    session.inner.room = 0
    for number in range(SLOTS):
        assert session.send(bytes([number]))
    session.inner.room = SLOTS - 1
    session.do(FLUSH)
    assert [parse(frame).payload[0] for frame in session.taken()] == list(range(SLOTS - 1))
    assert [parse(frame).payload[0] for frame in session.out()] == [SLOTS - 1]


# Ends, and new beginnings.


def test_a_connection_that_dies_of_silence_is_read_as_reset() -> None:
    session = connected()
    assert session.send(b"order")
    frames = []
    for _ in range(40):
        session.now_ns += NS_PER_S
        frames += session.receive()
        session.out()
    assert flags(frames) == [RST]
    assert connection_of(session.ring, 0) == 0
    assert session.ring.connections[0].tcp.end == TcpEnd.TIMEOUT
    assert session.do(NEXT) > session.now_ns


@pytest.mark.parametrize("is_refused", [False, True])
def test_a_handshake_that_comes_to_nothing_is_over(is_refused: bool) -> None:
    session = Session()
    connection = session.ring.connections[0]
    session.do(RECONNECT, 0)
    (syn,) = session.out()
    assert connection.opening == 1
    if is_refused:
        session.put(build(RST | ACK, 0, parse(syn).sequence + 1, flow=session.wire()))
        assert session.receive() == []
    for _ in range(0 if is_refused else 16):
        session.now_ns += NS_PER_S
        assert session.receive() == []
    assert (connection.opening, connection_of(session.ring, 0)) == (0, 0)
    session.connect()
    assert connection_of(session.ring, 0) == 1


def test_an_end_is_read_once_by_the_stream_that_it_is_of() -> None:
    session = connected(2)
    session.peer(FIN | ACK, 0, 0, stream=1)
    (frame,) = session.receive()
    assert (parse(frame).flags, parse(frame).sequence) == (FIN | ACK, 0)
    assert parse(frame).ports[0] == SESSION.destination_port + 1
    assert flags(session.out()) == [FIN | ACK]
    assert [connection_of(session.ring, stream) for stream in range(2)] == [1, 0]
    session.do(CLOSE, 0)
    assert flags(session.out()) == [FIN | ACK]
    session.peer(FIN | ACK, 0, 1)
    (frame,) = session.receive()
    assert parse(frame).flags == FIN | ACK
    for _ in range(TIME_WAIT_NS // NS_PER_S):
        session.now_ns += NS_PER_S
        assert session.receive() == []
        session.out()
    assert [each.tcp.state for each in list(session.ring.connections)[:2]] == [TcpState.CLOSED] * 2


def test_a_closed_stream_sends_its_fin_at_that_time() -> None:
    session = connected()
    session.now_ns += 7 * NS_PER_MS
    session.do(CLOSE, 0)
    session.do(FLUSH)
    (fin,) = session.taken()
    assert parse(fin).flags == FIN | ACK
    session.now_ns += 200 * NS_PER_MS - 1  # from then on: RFC 6298's timer
    session.do(POLL)
    assert session.taken() == []
    session.now_ns += 1
    session.do(POLL)
    assert flags(session.taken()) == [FIN | ACK]


def test_an_aborted_stream_has_sent_its_reset() -> None:
    session = connected()
    assert session.send(b"order")
    session.out()
    session.do(ABORT, 0)
    assert flags(session.taken()) == [RST | ACK]
    assert (connection_of(session.ring, 0), session.receive(), session.out()) == (0, [], [])
    session.do(ABORT, 0)
    assert session.out() == []
    # In its handshake, too: of that nobody knows.
    session.do(RECONNECT, 0)
    session.out()
    session.do(ABORT, 0)
    assert (session.ring.connections[0].opening, session.out(), session.receive()) == (0, [], [])


def test_a_new_connection_is_opened_at_its_time() -> None:
    session = connected()
    session.now_ns += 20 * NS_PER_S
    session.do(RECONNECT, 0)
    session.do(FLUSH)
    assert flags(session.taken()) == [RST | ACK, SYN]
    session.now_ns += NS_PER_S - 1
    session.receive()
    assert session.taken() == []
    session.now_ns += 1
    session.receive()
    assert flags(session.taken()) == [SYN]


# Ports.


def test_ports_are_used_in_turn_and_rest() -> None:
    """Longer than a peer that closed first keeps the old connection."""
    assert PORT_REST_NS >= TIME_WAIT_NS
    session = Session(ports=2)
    left_ns = []
    for port in (50_000, 50_001):
        session.connect()
        assert session.wire().source_port == port
        session.now_ns += NS_PER_S
        left_ns.append(session.now_ns)
    for now_ns in (left_ns[1], left_ns[0] + PORT_REST_NS - 1):
        session.now_ns = now_ns
        session.do(RECONNECT, 0)
        assert SYN not in flags(session.out())
    assert session.ring.connections[0].refused_ports == 2
    for port in (50_000, 50_001):
        session.now_ns = left_ns[port - 50_000] + PORT_REST_NS
        session.connect()
        assert session.wire().source_port == port


def test_a_port_rests_from_when_it_was_left_however_often_it_is_asked_for() -> None:
    session = connected(ports=1)
    session.now_ns += NS_PER_S
    session.do(ABORT, 0)
    left_ns = session.now_ns
    while session.now_ns < left_ns + PORT_REST_NS - NS_PER_S:
        session.now_ns += NS_PER_S
        session.do(RECONNECT, 0)
        assert SYN not in flags(session.out())
    session.now_ns = left_ns + PORT_REST_NS
    session.do(RECONNECT, 0)
    assert flags(session.out()) == [SYN]


def test_a_port_of_a_handshake_that_was_given_up_rests() -> None:
    session = Session(ports=1)
    session.do(RECONNECT, 0)
    assert flags(session.out()) == [SYN]
    session.do(RECONNECT, 0)
    assert (flags(session.out()), session.ring.connections[0].refused_ports) == ([], 1)


def test_a_port_that_was_never_used_has_rested_whatever_the_clock_says() -> None:
    session = Session(ports=PORTS_MAX)
    session.now_ns = 0
    ports = []
    for _ in range(PORTS_MAX):
        session.connect()
        ports.append(session.wire().source_port)
    assert ports == list(range(50_000, 50_000 + PORTS_MAX))
    session.do(RECONNECT, 0)
    assert session.ring.connections[0].refused_ports == 1


def test_a_stream_may_have_one_port() -> None:
    made = make_tcp_ring(MemoryRing(), [TcpEndpoints(WIRE, SESSION, (5,))] * 2, 0)
    assert [each.port_count for each in list(made.connections)[:2]] == [1, 1]


# Initial sequence numbers.


def drawn(seed: int, now_ns: int, count: int = 1) -> list[int]:
    made = make_tcp_ring(MemoryRing(), [TcpEndpoints(WIRE, SESSION, (5,))], seed)
    return [draw_sequence(made, now_ns) for _ in range(count)]


def test_initial_sequences_go_with_the_clock_of_their_standard() -> None:
    """RFC 6528 3: by one every 4 us, here 4.096."""
    (first,) = drawn(3, 0)
    for ns, ahead in ((4_095, 0), (4_096, 1), (3_600 * NS_PER_S, 3_600 * NS_PER_S // 4_096)):
        assert drawn(3, ns) == [(first + ahead) % 2**32]


def test_initial_sequences_are_not_to_be_guessed() -> None:
    """Of numbers drawn at one time each bit is as often 0 as 1, and as often another than the time before."""
    numbers = drawn(11, 0, 400)
    changes = [one ^ other for one, other in pairwise(numbers)]
    for drawing in (numbers, changes):
        for bit in range(32):
            assert 140 < sum(number >> bit & 1 for number in drawing) < 260
    assert drawn(12, 0) != drawn(13, 0)


# Strays.


@pytest.mark.parametrize(
    ("given", "payload", "expected"),
    [
        (ACK, b"", (RST, 77, 0)),
        (ACK | PSH, b"data", (RST, 77, 0)),
        (SYN | ACK, b"", (RST, 77, 0)),
        (SYN, b"", (RST | ACK, 0, 10)),
        (FIN, b"", (RST | ACK, 0, 10)),
        (PSH, b"data", (RST | ACK, 0, 13)),
        (FIN | PSH, b"data", (RST | ACK, 0, 14)),
        (0, b"", (RST | ACK, 0, 9)),
    ],
)
def test_a_stray_is_answered_as_the_standard_says(given: int, payload: bytes, expected: tuple[int, int, int]) -> None:
    """RFC 9293 3.10.7.1, from the port that it was for."""
    session = Session()
    stray = shifted(session.wire(), 0)
    stray.source_port = 50_002
    session.put(build(given, 9, 77, payload, flow=stray))
    assert session.receive() == []
    (frame,) = session.taken()
    answer = parse(frame)
    assert (answer.flags, answer.sequence, answer.acknowledgement) == expected
    assert (answer.ports, answer.window, answer.payload) == ((50_002, stray.destination_port), 0, b"")
    assert session.ring.strays == 1


def test_the_answer_to_a_stray_wraps() -> None:
    session = Session()
    stray = shifted(session.wire(), 0)
    stray.source_port = 50_000
    session.put(build(SYN | PSH, 0xFFFFFFFE, 0, b"abc", flow=stray))
    session.receive()
    assert parse(session.taken()[0]).acknowledgement == 2


def test_a_stray_that_is_damaged_or_finds_no_room_is_dropped() -> None:
    session = Session()
    stray = shifted(session.wire(), 0)
    stray.source_port = 50_003
    good = build(ACK, 9, 77, b"x", flow=stray)
    session.put(good[:-1] + b"y")
    assert (session.receive(), session.taken(), session.ring.strays) == ([], [], 0)
    session.inner.room = 0
    session.put(good)
    assert (session.receive(), session.taken()) == ([], [])
    session.put(good)
    assert (session.receive(), flags(session.taken())) == ([], [RST])


def test_a_stray_is_of_the_stream_whose_gateway_and_port_it_has() -> None:
    session = Session(streams=2)
    flow = shifted(session.wire(1), 0)
    flow.source_port = 50_101
    session.put(build(ACK, 9, 77, flow=flow))
    assert session.receive() == []
    assert parse(session.taken()[0]).ports == (50_101, WIRE.destination_port + 1)
    flow.source_port = 50_001  # of the other stream
    other = build(ACK, 9, 77, flow=flow)
    session.put(other)
    assert (session.receive(), session.taken()) == ([other], [])


def test_a_segment_to_a_connection_that_has_ended_is_a_stray() -> None:
    session = connected(2)
    session.peer(RST, 0, 0)
    assert flags(session.receive()) == [RST]
    session.peer(ACK, 0, 0, b"more")
    assert session.receive() == []
    assert flags(session.taken()) == [RST]


def test_streams_are_selected_for_refusals_too() -> None:
    session = connected(2)
    session.do(ABORT, 0)
    for stream, refused in ((0, 1), (1, 1), (0, 2)):
        select_stream(session.ring, stream)
        assert bool(session.do(RESERVE, 60)) == (stream == 1)
        assert session.ring.refused == refused
