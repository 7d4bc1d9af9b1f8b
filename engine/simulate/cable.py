"""`Cable`: the wire between the engine and a simulated exchange, and all that can happen on it.

    exchange <-> Truth <-> FaultRing <-> Cable <-> engine

Market data is lost, doubled, reordered and cut by the `FaultRing`. What the host's TCP mends is mended here, too, so an
order connection suffers other things: answers that come late, a transmit ring without a slot, and a connection that is
cut: nothing passes on it any more, either way, and nobody is told. Only another connection does, once one can be made.
"""

from typing import Annotated, Any

from crosswire.engine.simulate.deliveries import Deliveries, note_delivery
from crosswire.engine.simulate.plan import Moment
from crosswire.engine.simulate.truth import Truth
from crosswire.engine.simulate.world_clock import WorldClock, due_ns, pass_time
from crosswire.nic.memory.raw import copy_bytes, load_u8
from crosswire.nic.memory.struct import Array, Pointer, Reference, Struct, i64, one, view
from crosswire.nic.packet import (
    ETHERNET_HEADER_BYTES,
    IPV4_HEADER_BYTES,
    TCP_FRAME_HEADER_BYTES,
    TCP_HEADER_BYTES,
    Flow,
    TcpHeader,
    is_tcp_frame,
)
from crosswire.nic.rings.connection import CONNECTIONS_MAX, connection_of, reconnect, select_stream
from crosswire.nic.rings.delay import DelayRing, set_delay_ring
from crosswire.nic.rings.fault import FaultRates, fault_ring_over, make_fault_ring
from crosswire.nic.rings.remote import RemoteRing
from crosswire.nic.rings.ring import Frame, RingCounters, commit, flush, next_time_ns, poll, release, reserve
from crosswire.nic.unit.compile import compiled, inlined
from crosswire.venues.exchange.ring import ANSWER, MARKET_DATA, NOTHING

# `Moment`, as compiled code compares it.
BEFORE_FRAME, BEFORE_WIRE = int(Moment.BEFORE_FRAME), int(Moment.BEFORE_WIRE)
AFTER_WIRE, AFTER_RECEIPT = int(Moment.AFTER_WIRE), int(Moment.AFTER_RECEIPT)
AMID_RECORDS = int(Moment.AMID_RECORDS)


LATE_DATA = 3  # beside NOTHING, MARKET_DATA and ANSWER: what `poll` gave
UDP_PORT_LOW_BYTE = 3  # of the destination port, in the UDP header
LINE_HEADER_BYTES = ETHERNET_HEADER_BYTES + IPV4_HEADER_BYTES + UDP_PORT_LOW_BYTE + 1


class Cable(Struct):
    """What is wrong with it lasts until a true time, ns since the epoch; 0: nothing is."""

    late_until_ns: i64  # answers arrive no earlier
    full_until_ns: i64  # the transmit ring has no slot
    cut_until_ns: i64  # no connection can be made
    line_late_until_ns: i64  # market data to every other group arrives `line.latency_ns` later
    late_line: i64  # which: 0 or 1
    now_ns: i64
    slot: i64  # address of the frame that the engine is writing
    polled: i64  # what the last `poll` gave
    was_answer: i64  # 1: the last frame was one
    stamps_read: i64  # 1: frames have the time at which they are read, as on a ring without stamps of its own
    late_answers: i64
    late_frames: i64
    refused_slots: i64
    lost_segments: i64
    kill_moment: i64  # Moment at which the engine dies, 0: it does not
    kill_count: i64  # the so-manieth time
    killed: i64  # 1: it has
    number: i64  # of its venue
    clock: Annotated[WorldClock, Reference]
    deliveries: Annotated[Deliveries, Reference]
    ports: Annotated[Array, i64, CONNECTIONS_MAX]  # the engine's end of each stream
    dead: Annotated[Array, i64, CONNECTIONS_MAX]  # number of the stream's connection that was cut, 0: none was
    counters: RingCounters
    exchange: Annotated[Pointer, RemoteRing]
    inner: Annotated[Pointer, fault_ring_over(Truth)]
    answers: DelayRing
    line: DelayRing  # market data that is late


def make_cable(
    truth: Truth,
    number: int,
    clock: WorldClock,
    deliveries: Deliveries,
    seed: int,
    rates: FaultRates,
    flows: tuple[Flow, ...],
) -> Cable:
    """Make the wire to a venue's exchange behind `truth`; `flows` are its order connections, as `VenueSetup` has them.

    Its calls have the engine's times, `clock` the true ones.
    """
    cable = Cable(number=number)
    cable.clock, cable.deliveries = clock, deliveries
    for stream, flow in enumerate(flows):
        cable.ports[stream] = flow.source_port
    faults: Any = make_fault_ring(truth, seed, rates)
    faults.spares_tcp = 1
    cable.inner = one(faults)
    cable.exchange = truth.inner
    set_delay_ring(cable.answers, 0)
    set_delay_ring(cable.line, 0)
    return cable


@compiled
def connection_number(cable: Cable, stream: int) -> int:
    """Return the number of a stream's present connection; 1 where an exchange has but one for ever."""
    if cable.exchange[0].entries.connection_of == 0:
        return 1
    return connection_of(cable.exchange[0], stream)


@compiled
def is_dead(cable: Cable, stream: int) -> bool:
    """Tell whether the stream's present connection is one that was cut."""
    return cable.dead[stream] != 0 and cable.dead[stream] == connection_number(cable, stream)


@compiled
def is_lost(cable: Cable, port: int) -> bool:
    """Tell whether a segment from or to this port of the engine's is lost, and count it."""
    for stream in range(CONNECTIONS_MAX):
        if cable.ports[stream] == port and is_dead(cable, stream):
            cable.lost_segments += 1
            return True
    return False


def cut_connection(cable: Cable, stream: int, until_ns: int) -> None:
    """Cut a stream's connection; another can be made from `until_ns` on."""
    cable.dead[stream] = connection_number(cable, stream)
    cable.cut_until_ns = max(cable.cut_until_ns, until_ns)


@inlined
def die_at(cable: Cable, moment: int) -> None:
    """Let the engine's process die if this is the moment: nothing that it would do from here on is done."""
    if cable.kill_moment == moment:
        cable.kill_count -= 1
        if cable.kill_count <= 0:
            cable.kill_moment = 0
            cable.killed = 1
            raise RuntimeError("killed")


def mend(cable: Cable) -> None:
    """Let every stream carry its next connection, whatever became of the last one."""
    for stream in range(CONNECTIONS_MAX):
        cable.dead[stream] = 0


@compiled
def take_answer(cable: Cable, frame: Frame) -> None:
    """Keep an answer for when it arrives; one that its connection does not carry is gone."""
    if is_lost(cable, view(TcpHeader, frame.address + TCP_FRAME_HEADER_BYTES - TCP_HEADER_BYTES).destination_port):
        return
    answers = cable.answers
    slot = reserve(answers, frame.length)
    assert slot != 0
    copy_bytes(slot, frame.address, frame.length)
    answers.latency_ns = max(0, cable.late_until_ns - frame.time_ns)
    if answers.latency_ns != 0:
        cable.late_answers += 1
    commit(answers, frame.length, frame.time_ns)


@compiled
def is_of_late_line(cable: Cable, frame: Frame) -> bool:
    """Tell whether market data is to a group that is late now: of two lines' groups one is odd."""
    if cable.now_ns >= cable.line_late_until_ns or frame.length < LINE_HEADER_BYTES:
        return False
    ip_address = frame.address + ETHERNET_HEADER_BYTES
    group = load_u8(ip_address + IPV4_HEADER_BYTES - 1)
    port = load_u8(ip_address + IPV4_HEADER_BYTES + UDP_PORT_LOW_BYTE)
    return (group + port) & 1 == cable.late_line


@compiled
def take_late(cable: Cable, frame: Frame) -> bool:
    """Keep market data that is late for when it arrives; False if there is no room: then it is in time."""
    slot = reserve(cable.line, frame.length)
    if slot == 0:
        return False
    copy_bytes(slot, frame.address, frame.length)
    commit(cable.line, frame.length, frame.time_ns)
    cable.late_frames += 1
    return True


@poll.register(Cable)
def poll_cable(cable: Cable, frame: Frame, now_ns: int) -> bool:
    true_ns = pass_time(cable.clock, now_ns)
    cable.now_ns = true_ns
    cable.polled = NOTHING
    if cable.was_answer != 0:
        cable.was_answer = 0
        die_at(cable, AMID_RECORDS)
    if poll(cable.line, frame, true_ns):
        cable.polled = LATE_DATA
    while cable.polled == NOTHING and poll(cable.inner[0], frame, true_ns):
        if is_tcp_frame(frame):
            take_answer(cable, frame)
        elif not is_of_late_line(cable, frame) or not take_late(cable, frame):
            cable.polled = MARKET_DATA
            break
        release(cable.inner[0])
    if cable.polled == NOTHING and poll(cable.answers, frame, true_ns):
        cable.polled = ANSWER
        cable.was_answer = 1
        if cable.kill_moment == AFTER_RECEIPT and cable.kill_count <= 1:
            release(cable)
        die_at(cable, AFTER_RECEIPT)
    if cable.polled == NOTHING:
        cable.counters.empty_polls += 1
        return False
    # A frame that a live ring receives has the time of the engine's clock.
    if cable.polled != ANSWER:
        cable.clock.arrived_ns[cable.number] = frame.time_ns
    frame.time_ns = now_ns if cable.stamps_read != 0 else frame.time_ns + now_ns - true_ns
    cable.counters.frames += 1
    cable.counters.bytes += frame.length
    note_delivery(cable.deliveries, cable.number, now_ns)
    return True


@release.register(Cable)
def release_cable(cable: Cable) -> None:
    if cable.polled == ANSWER:
        release(cable.answers)
    elif cable.polled == LATE_DATA:
        release(cable.line)
    elif cable.polled == MARKET_DATA:
        release(cable.inner[0])
    cable.polled = NOTHING


@reserve.register(Cable)
def reserve_cable(cable: Cable, length: int) -> int:
    if cable.now_ns < cable.full_until_ns:
        cable.refused_slots += 1
        cable.counters.drops += 1
        return 0
    die_at(cable, BEFORE_FRAME)
    cable.slot = reserve(cable.inner[0], length)
    return cable.slot


@commit.register(Cable)
def commit_cable(cable: Cable, length: int, now_ns: int) -> None:
    if cable.kill_moment == BEFORE_WIRE and cable.kill_count <= 1:
        cable.inner[0].reserved_address = 0
    die_at(cable, BEFORE_WIRE)
    if is_lost(cable, view(TcpHeader, cable.slot + TCP_FRAME_HEADER_BYTES - TCP_HEADER_BYTES).source_port):
        # Its slot goes back, to whoever writes next: that may be `reconnect`, at the exchange itself.
        cable.inner[0].reserved_address = 0
    else:
        commit(cable.inner[0], length, pass_time(cable.clock, now_ns))
    die_at(cable, AFTER_WIRE)


@flush.register(Cable)
def flush_cable(cable: Cable) -> None:
    flush(cable.inner[0])


@next_time_ns.register(Cable)
def next_cable_ns(cable: Cable) -> int:
    later_ns = min(next_time_ns(cable.line), next_time_ns(cable.answers))
    return due_ns(cable.clock, min(next_time_ns(cable.inner[0]), later_ns))


@connection_of.register(Cable)
def connection_of_cable(cable: Cable, stream: int) -> int:
    return connection_of(cable.exchange[0], stream)


@select_stream.register(Cable)
def select_cable_stream(cable: Cable, stream: int) -> None:
    select_stream(cable.exchange[0], stream)


@reconnect.register(Cable)
def reconnect_cable(cable: Cable, stream: int, now_ns: int) -> None:
    true_ns = pass_time(cable.clock, now_ns)
    if true_ns >= cable.cut_until_ns:
        reconnect(cable.exchange[0], stream, true_ns)
