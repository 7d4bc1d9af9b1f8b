"""`Line`: the wire between the engine and a simulated exchange, and all that can happen on it.

    exchange <-> Truth <-> FaultRing <-> Line <-> engine

Market data is lost, doubled, reordered and cut by the `FaultRing`. What the host's TCP mends is mended here, too, so an
order connection suffers other things: answers that come late, a transmit ring without a slot, and a connection that is
cut: nothing passes on it any more, either way, and nobody is told. Only another connection does, once one can be made.
"""

from typing import Annotated, Any

from crosswire.engine.simulate.truth import Truth
from crosswire.nic.memory.raw import copy_bytes
from crosswire.nic.memory.struct import Array, Pointer, Struct, i64, one, view
from crosswire.nic.packet import TCP_FRAME_HEADER_BYTES, TCP_HEADER_BYTES, Flow, TcpHeader, is_tcp_frame
from crosswire.nic.rings.connection import CONNECTIONS_MAX, connection_of, reconnect, select_stream
from crosswire.nic.rings.delay import DelayRing, set_delay_ring
from crosswire.nic.rings.fault import FaultRates, fault_ring_over, make_fault_ring
from crosswire.nic.rings.remote import RemoteRing
from crosswire.nic.rings.ring import Frame, RingCounters, commit, flush, next_time_ns, poll, release, reserve
from crosswire.nic.unit.compile import compiled

NOTHING = 0
MARKET_DATA = 1
ANSWER = 2


class Line(Struct):
    """What is wrong with it lasts until a time, ns since the epoch; 0: nothing is."""

    late_until_ns: i64  # answers arrive no earlier
    full_until_ns: i64  # the transmit ring has no slot
    cut_until_ns: i64  # no connection can be made
    now_ns: i64
    slot: i64  # address of the frame that the engine is writing
    polled: i64  # what the last `poll` gave
    late_answers: i64
    refused_slots: i64
    lost_segments: i64
    ports: Annotated[Array, i64, CONNECTIONS_MAX]  # the engine's end of each stream
    dead: Annotated[Array, i64, CONNECTIONS_MAX]  # number of the stream's connection that was cut, 0: none was
    counters: RingCounters
    exchange: Annotated[Pointer, RemoteRing]
    inner: Annotated[Pointer, fault_ring_over(Truth)]
    answers: DelayRing


def make_line(truth: Truth, seed: int, rates: FaultRates, flows: tuple[Flow, ...]) -> Line:
    """Make the wire to the exchange behind `truth`; `flows` are its order connections, as `VenueSetup` has them."""
    line = Line()
    for stream, flow in enumerate(flows):
        line.ports[stream] = flow.source_port
    faults: Any = make_fault_ring(truth, seed, rates)
    faults.spares_tcp = 1
    line.inner = one(faults)
    line.exchange = truth.inner
    set_delay_ring(line.answers, 0)
    return line


@compiled
def connection_number(line: Line, stream: int) -> int:
    """Return the number of a stream's present connection; 1 where an exchange has but one for ever."""
    if line.exchange[0].entries.connection_of == 0:
        return 1
    return connection_of(line.exchange[0], stream)


@compiled
def is_dead(line: Line, stream: int) -> bool:
    """Tell whether the stream's present connection is one that was cut."""
    return line.dead[stream] != 0 and line.dead[stream] == connection_number(line, stream)


@compiled
def is_lost(line: Line, port: int) -> bool:
    """Tell whether a segment from or to this port of the engine's is lost, and count it."""
    for stream in range(CONNECTIONS_MAX):
        if line.ports[stream] == port and is_dead(line, stream):
            line.lost_segments += 1
            return True
    return False


def cut_line(line: Line, stream: int, until_ns: int) -> None:
    """Cut a stream's connection; another can be made from `until_ns` on."""
    line.dead[stream] = connection_number(line, stream)
    line.cut_until_ns = max(line.cut_until_ns, until_ns)


@compiled
def take_answer(line: Line, frame: Frame) -> None:
    """Keep an answer for when it arrives; one that its connection does not carry is gone."""
    if is_lost(line, view(TcpHeader, frame.address + TCP_FRAME_HEADER_BYTES - TCP_HEADER_BYTES).destination_port):
        return
    answers = line.answers
    slot = reserve(answers, frame.length)
    assert slot != 0
    copy_bytes(slot, frame.address, frame.length)
    answers.latency_ns = max(0, line.late_until_ns - frame.time_ns)
    if answers.latency_ns != 0:
        line.late_answers += 1
    commit(answers, frame.length, frame.time_ns)


@poll.register(Line)
def poll_line(line: Line, frame: Frame, now_ns: int) -> bool:
    line.now_ns = now_ns
    line.polled = NOTHING
    while poll(line.inner[0], frame, now_ns):
        if not is_tcp_frame(frame):
            line.polled = MARKET_DATA
            break
        take_answer(line, frame)
        release(line.inner[0])
    if line.polled == NOTHING and poll(line.answers, frame, now_ns):
        line.polled = ANSWER
    if line.polled == NOTHING:
        line.counters.empty_polls += 1
        return False
    line.counters.frames += 1
    line.counters.bytes += frame.length
    return True


@release.register(Line)
def release_line(line: Line) -> None:
    if line.polled == ANSWER:
        release(line.answers)
    elif line.polled == MARKET_DATA:
        release(line.inner[0])
    line.polled = NOTHING


@reserve.register(Line)
def reserve_line(line: Line, length: int) -> int:
    if line.now_ns < line.full_until_ns:
        line.refused_slots += 1
        line.counters.drops += 1
        return 0
    line.slot = reserve(line.inner[0], length)
    return line.slot


@commit.register(Line)
def commit_line(line: Line, length: int, now_ns: int) -> None:
    if is_lost(line, view(TcpHeader, line.slot + TCP_FRAME_HEADER_BYTES - TCP_HEADER_BYTES).source_port):
        # Its slot goes back, to whoever writes next: that may be `reconnect`, at the exchange itself.
        line.inner[0].reserved_address = 0
    else:
        commit(line.inner[0], length, now_ns)


@flush.register(Line)
def flush_line(line: Line) -> None:
    flush(line.inner[0])


@next_time_ns.register(Line)
def next_line_ns(line: Line) -> int:
    return min(next_time_ns(line.inner[0]), next_time_ns(line.answers))


@connection_of.register(Line)
def connection_of_line(line: Line, stream: int) -> int:
    return connection_of(line.exchange[0], stream)


@select_stream.register(Line)
def select_line_stream(line: Line, stream: int) -> None:
    select_stream(line.exchange[0], stream)


@reconnect.register(Line)
def reconnect_line(line: Line, stream: int, now_ns: int) -> None:
    if now_ns >= line.cut_until_ns:
        reconnect(line.exchange[0], stream, now_ns)
