"""`TcpRing`: order sessions over TCP connections of our own, on any ring that carries raw frames.

A session writes and reads frames whose headers are its stream's (see `nic.rings.connection`); here they are put into
connections with the wire's addresses and sequence numbers, and taken out of them. What belongs to no connection of ours
passes through as it is.

    reserve, commit   a slot of the ring inside: the frame is stamped there, sent, and then kept in the connection's
                      store. Written to the store at once if earlier frames wait, or the ring inside is full
    poll              payload in its turn is read where it lies: 54 header bytes are written right before it. Payload
                      that had come early is read from a copy. Checksums of both headers are right
    poll, flush       timers, delayed ACKs, retransmissions, when due

The loop's time drives all timers, so a loop that stands still neither acknowledges nor retransmits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from crosswire.nic.duration import NS_PER_MS, NS_PER_S
from crosswire.nic.memory.made import inner_classes, made_class
from crosswire.nic.memory.raw import GOLDEN, copy_bytes, mix_bits, pinned, shift_right
from crosswire.nic.memory.struct import Array, Pointer, Struct, address_of, copy_struct, i64, one, u8, view
from crosswire.nic.packet import (
    FLAG_ACK,
    FLAG_FIN,
    FLAG_PSH,
    FLAG_RST,
    FLAG_SYN,
    TCP_FRAME_HEADER_BYTES,
    Flow,
    internet_sum,
    seal_tcp_frame,
    write_tcp_frame_header,
)
from crosswire.nic.rings.connection import (
    CONNECTIONS_MAX,
    commit_numbered,
    connection_of,
    own_header_bytes,
    reconnect,
    select_stream,
)
from crosswire.nic.rings.ring import (
    NEVER_NS,
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
    set_frame,
)
from crosswire.nic.tcp.receive import take_buffered
from crosswire.nic.tcp.segment import (
    check_frame,
    destination_port,
    is_between,
    is_from_peer,
    is_tcp_frame,
    parse_transport,
    stamp,
    stamp_unnumbered,
    write_delivery,
)
from crosswire.nic.tcp.send import fetch_behind, has_room, keep_slot, next_slot, note_first_send
from crosswire.nic.tcp.state import (
    KEEPALIVE_PROBES_MAX,
    RETRANSMITS_MAX,
    SEQUENCE_MASK,
    SLOT_DATA_BYTES,
    Segment,
    Slot,
    Tcp,
    TcpCounters,
    TcpEnd,
    TcpState,
    buffered_bytes,
    receive_edge,
)
from crosswire.nic.tcp.tcp import (
    abort_connection,
    close_connection,
    copy_output,
    dispatch,
    next_timer_ns,
    open_connection,
    process,
    set_tcp,
)
from crosswire.nic.unit.compile import compiled, inlined, outlined

PORTS_MAX = 32  # local ports of one stream
PORT_REST_NS = 60 * NS_PER_S  # before a port is used again: the peer may be in TIME-WAIT (RFC 9293 3.6.1)
SEGMENTS_PER_POLL_MAX = 16  # without payload to deliver, before a poll says that there is none
LATE_NS = NS_PER_S  # a timer that is seen so late is seen by an engine that stood still
READ_FIRST_NS = 10 * NS_PER_MS  # for what waits then: more than a full ring takes
FRAMES_PER_TURN_MAX = 64  # sent by timers on one connection at a time: a store full of retransmissions
_FRAME_BYTES = SLOT_DATA_BYTES  # of the slot asked for before it is known what is to be sent


class PortUse(Struct):
    port: i64
    used_ns: i64  # when its last connection was left; NEVER_NS: it has one, -NEVER_NS: it never had


class Connection(Struct):
    """One stream: its present connection, and the ports for the next ones."""

    number: i64  # of the connection that the session sees, from 1; 0: none
    count: i64  # connections so far
    opening: i64  # 1 until the handshake is over
    port_count: i64
    port: i64  # index of the one in use
    refused_ports: i64  # `reconnect` found no port that had rested
    ports: Annotated[Array, PortUse, PORTS_MAX]
    tcp: Tcp


class TcpRing(Struct):
    """Base of the rings: `tcp_ring_over` adds `inner`, a pointer to the ring inside."""

    selected: i64  # stream that `reserve` and `commit` speak of
    reserved: i64  # slot of the ring inside that the next frame is written in; 0: it is written where it is kept
    polled: i64  # 1: the last frame is, or lies in, one of the ring inside
    pending: i64  # 1: something that had come before is to be read
    timer_ns: i64  # when the first connection has something to do
    now_ns: i64  # time of the last poll, or of what `flush` is to do since
    streams: i64
    random: i64  # state of the generator of initial sequence numbers
    refused: i64  # `reserve` said no; why is in the connection's counters
    strays: i64  # segments for ports of ours without a connection, answered with RST
    counters: RingCounters  # of what the session sees; `drops`: the inner ring's, and refused
    stray: Segment
    stray_flow: Flow
    stray_counters: TcpCounters
    copy: Annotated[Array, u8, SLOT_DATA_BYTES]  # what is read when it does not lie in a frame
    connections: Annotated[Array, Connection, CONNECTIONS_MAX]
    if TYPE_CHECKING:
        inner: Any


@dataclass(frozen=True)
class TcpEndpoints:
    """One stream's two sides: `wire` from our address to the gateway's (its source port does not matter), `session`
    the flow of the frames that the session writes, and the local ports to be used in turn.
    """

    wire: Flow
    session: Flow
    ports: tuple[int, ...]


@poll.register(TcpRing)
def poll_tcp_ring(ring: TcpRing, frame: Frame, now_ns: int) -> bool:
    if now_ns >= ring.timer_ns:
        late_ns = now_ns - max(ring.timer_ns, ring.now_ns)
        if late_ns > LATE_NS and ring.now_ns != 0:
            excuse_peers(ring, late_ns, now_ns)
        work(ring, now_ns)
    ring.now_ns = now_ns
    if ring.pending != 0 and give_pending(ring, frame, now_ns):
        return True
    if not poll_inner(ring, frame, now_ns):
        return False
    # What is no TCP, market data above all, is given before the loop: for what it needs registers are spilled, once.
    if is_tcp_frame(frame.address, frame.length):
        return take_segments(ring, frame, now_ns)
    count_frame(ring, frame)
    return True


@inlined
def poll_inner(ring: TcpRing, frame: Frame, now_ns: int) -> bool:
    """Take the inner ring's next frame, and what it counts when there is none."""
    if not poll(ring.inner[0], frame, now_ns):
        ring.counters.empty_polls += 1
        ring.counters.drops = ring.inner[0].counters.drops + ring.refused
        return False
    ring.polled = 1
    return True


@inlined
def count_frame(ring: TcpRing, frame: Frame) -> None:
    """Count a frame that is given as it came."""
    ring.counters.frames += 1
    ring.counters.bytes += frame.length


@outlined
def take_segments(ring: TcpRing, frame: Frame, now_ns: int) -> bool:
    """Take the TCP frame just polled, and those behind it until one is for the session or no TCP: it is in `frame`."""
    for left in range(SEGMENTS_PER_POLL_MAX - 1, -1, -1):
        if take_segment(ring, frame, now_ns):
            count_frame(ring, frame)
            return True
        if ring.pending != 0 and give_pending(ring, frame, now_ns):
            return True
        if now_ns >= ring.timer_ns:
            # RFC 5681 4.2: an ACK for each segment out of order, or three of one burst would not tell of a loss.
            work(ring, now_ns)
        if left == 0 or not poll_inner(ring, frame, now_ns):
            return False
        if not is_tcp_frame(frame.address, frame.length):
            count_frame(ring, frame)
            return True
    return False


@compiled
def let_go(ring: TcpRing) -> None:
    """Give the last frame's slot back to the inner ring, if it was one of its."""
    if ring.polled != 0:
        ring.polled = 0
        release(ring.inner[0])


@release.register(TcpRing)
def release_tcp_ring(ring: TcpRing) -> None:
    let_go(ring)


@compiled
def take_segment(ring: TcpRing, frame: Frame, now_ns: int) -> bool:
    """Take a TCP frame; whether it is, as it now stands in `frame`, one for the session. If not, it is released."""
    for stream in range(ring.streams):
        connection = ring.connections[stream]
        tcp = connection.tcp
        if is_from_peer(tcp, frame.address):
            if tcp.state == TcpState.CLOSED:
                break
            given = process(tcp, frame.address, frame.length, now_ns)
            follow(ring, connection)
            ring.timer_ns = min(ring.timer_ns, next_timer_ns(tcp))
            if given:
                give_in_place(tcp, frame)
                return True
            let_go(ring)
            return False
    if answer_stray(ring, frame, now_ns):
        let_go(ring)
        return False
    return True


@compiled
def follow(ring: TcpRing, connection: Connection) -> None:
    """Note for the session what has become of a connection: it is there, has bytes to be read, or has ended."""
    tcp = connection.tcp
    if connection.opening != 0:
        if tcp.established != 0:
            connection.opening = 0
            connection.count += 1
            connection.number = connection.count
        elif tcp.end != TcpEnd.NONE:
            connection.opening = 0
    if buffered_bytes(tcp) > 0 or (tcp.end != TcpEnd.NONE and connection.number != 0):
        ring.pending = 1


@compiled
def give_in_place(tcp: Tcp, frame: Frame) -> None:
    """Make a frame of the payload that `process` found: at least as many header bytes lie before it."""
    payload = tcp.payload
    address = payload.address - TCP_FRAME_HEADER_BYTES
    length = payload.length
    # Before the bytes that `join_runs` may have added behind them.
    position = payload.position
    payload_sum = tcp.segment.payload_sum
    if length != tcp.segment.payload_length:
        payload_sum = internet_sum(payload.address, length, 0)
    write_delivery(tcp, address, length, position, FLAG_ACK | FLAG_PSH, payload_sum)
    frame.address = address
    frame.length = TCP_FRAME_HEADER_BYTES + length


@compiled
def give_pending(ring: TcpRing, frame: Frame, now_ns: int) -> bool:
    """Give bytes that had come early, or a connection's end; False if there was neither."""
    address = address_of(ring.copy)
    payload = address + TCP_FRAME_HEADER_BYTES
    for stream in range(ring.streams):
        connection = ring.connections[stream]
        tcp = connection.tcp
        position = tcp.receive.delivered
        length = take_buffered(tcp, payload, tcp.settings.mss)
        if length > 0:
            write_delivery(tcp, address, length, position, FLAG_ACK | FLAG_PSH, internet_sum(payload, length, 0))
            give_copy(ring, frame, length, now_ns)
            ring.timer_ns = min(ring.timer_ns, next_timer_ns(tcp))
            return True
        if tcp.end != TcpEnd.NONE and connection.number != 0:
            connection.number = 0
            regular = tcp.end == TcpEnd.PEER_CLOSED or tcp.end == TcpEnd.CLOSED_HERE
            write_delivery(tcp, address, 0, position, (FLAG_FIN | FLAG_ACK) if regular else FLAG_RST, 0)
            give_copy(ring, frame, 0, now_ns)
            # The session has nothing more to say to a gateway that has hung up.
            close_connection(tcp)
            ring.timer_ns = min(ring.timer_ns, next_timer_ns(tcp))
            return True
    ring.pending = 0
    return False


@compiled
def give_copy(ring: TcpRing, frame: Frame, length: int, now_ns: int) -> None:
    """Give the frame in `copy`, with `length` bytes of payload."""
    set_frame(ring.counters, frame, address_of(ring.copy), TCP_FRAME_HEADER_BYTES + length, now_ns)
    ring.polled = 0


@compiled
def answer_stray(ring: TcpRing, frame: Frame, now_ns: int) -> bool:
    """Answer a segment for a port of ours without a connection by a RST (RFC 9293 3.10.7.1); False if it is for none.

    So a peer that still has a connection which we left, or which a former process had, comes to know of it.
    """
    for stream in range(ring.streams):
        connection = ring.connections[stream]
        wire = connection.tcp.wire
        port = destination_port(frame.address)
        if is_between(wire, frame.address) and has_port(connection, port):
            if check_frame(ring.stray_counters, frame.address, frame.length) and parse_transport(
                ring.stray, ring.stray_counters, frame.address
            ):
                ring.strays += 1
                refuse(ring, wire, port, now_ns)
            return True
    return False


@compiled
def has_port(connection: Connection, port: int) -> bool:
    """Tell whether a port is one of the stream's local ports."""
    found = False
    for index in range(connection.port_count):
        found = found or connection.ports[index].port == port
    return found


@compiled
def refuse(ring: TcpRing, wire: Flow, port: int, now_ns: int) -> None:
    """Send a RST to the sender of `ring.stray`, if there is room."""
    segment = ring.stray
    if segment.flags & FLAG_RST:
        return
    address = reserve(ring.inner[0], _FRAME_BYTES)
    if address == 0:
        return
    copy_struct(ring.stray_flow, wire)
    ring.stray_flow.source_port = port
    write_tcp_frame_header(address, ring.stray_flow, 0)
    if segment.flags & FLAG_ACK:
        length = seal_tcp_frame(address, 0, segment.acknowledgement, 0, FLAG_RST)
    else:
        counted = segment.payload_length + (1 if segment.flags & FLAG_SYN else 0) + (segment.flags & FLAG_FIN)
        length = seal_tcp_frame(address, 0, 0, (segment.sequence + counted) & SEQUENCE_MASK, FLAG_RST | FLAG_ACK)
    commit(ring.inner[0], length, now_ns)
    flush(ring.inner[0])


@compiled
def excuse_peers(ring: TcpRing, late_ns: int, now_ns: int) -> None:
    """Give no peer up before what waits has been read: whoever polls stood still, and it may have answered.

    Silence and no progress count from later by that time; what else is due is done.
    """
    for stream in range(ring.streams):
        tcp = ring.connections[stream].tcp
        tcp.keepalive.received_ns = min(now_ns, tcp.keepalive.received_ns + late_ns)
        tcp.recovery.progress_ns = min(now_ns, tcp.recovery.progress_ns + late_ns)
        if tcp.recovery.retransmits >= RETRANSMITS_MAX and tcp.timers.retransmit_ns <= now_ns:
            tcp.timers.retransmit_ns = now_ns + READ_FIRST_NS
        if tcp.keepalive.probes >= KEEPALIVE_PROBES_MAX and tcp.timers.keepalive_ns <= now_ns:
            tcp.timers.keepalive_ns = now_ns + READ_FIRST_NS


@compiled
def work(ring: TcpRing, now_ns: int) -> None:
    """Send what is due on every connection."""
    timer_ns = NEVER_NS
    for stream in range(ring.streams):
        connection = ring.connections[stream]
        send_due(ring, connection.tcp, now_ns)
        follow(ring, connection)
        timer_ns = min(timer_ns, next_timer_ns(connection.tcp))
    ring.timer_ns = timer_ns
    flush(ring.inner[0])


@compiled
def send_due(ring: TcpRing, tcp: Tcp, now_ns: int) -> None:
    """Send what is due as far as the ring inside has room: what is left is due at the next turn."""
    for _ in range(FRAMES_PER_TURN_MAX):
        if next_timer_ns(tcp) > now_ns:
            return
        address = reserve(ring.inner[0], _FRAME_BYTES)
        if address == 0 or not dispatch(tcp, now_ns):
            return
        copy_output(tcp, address)
        commit(ring.inner[0], tcp.output.length, now_ns)


@inlined
def selected_tcp(ring: TcpRing) -> Tcp:
    """Return the selected stream's connection."""
    return view(Tcp, pinned(address_of(ring.connections[ring.selected].tcp)))


# Both are inlined where the length is known: the copy of a frame becomes a few instructions instead of a call of the C
# library, and an order makes two calls less. One of a burst of eight takes 25 ns in place of 29.
@reserve.register(TcpRing)
@inlined
def reserve_tcp_ring(ring: TcpRing, length: int) -> int:
    tcp = selected_tcp(ring)
    if not has_room(tcp, length):
        ring.refused += 1
        return 0
    if tcp.store.middle == tcp.store.end:
        ring.reserved = reserve(ring.inner[0], length)
        if ring.reserved != 0:
            return ring.reserved
    ring.reserved = 0
    return address_of(next_slot(tcp).data)


@commit.register(TcpRing)
@inlined
def commit_tcp_ring(ring: TcpRing, length: int, now_ns: int) -> None:
    tcp = selected_tcp(ring)
    slot = next_slot(tcp)
    address = ring.reserved if ring.reserved != 0 else address_of(slot.data)
    edge = receive_edge(tcp)
    stamp(tcp, address, length, edge - tcp.receive.next)
    send_stamped(ring, tcp, slot, length, edge, now_ns)


@commit_numbered.register(TcpRing)
@inlined
def commit_numbered_tcp(
    ring: TcpRing, address: int, length: int, sequence: int, _acknowledgement: int, unnumbered_sum: int, now_ns: int
) -> None:
    tcp = selected_tcp(ring)
    assert sequence == tcp.send.end & SEQUENCE_MASK
    edge = receive_edge(tcp)
    stamp_unnumbered(tcp, address, length, edge - tcp.receive.next, unnumbered_sum)
    send_stamped(ring, tcp, next_slot(tcp), length, edge, now_ns)


@own_header_bytes.register(TcpRing)
@inlined
def all_headers(_ring: TcpRing) -> int:
    return TCP_FRAME_HEADER_BYTES


@inlined
def send_stamped(ring: TcpRing, tcp: Tcp, slot: Slot, length: int, edge: int, now_ns: int) -> None:
    """Send the frame just stamped at once, if it lies in the ring inside, and keep it; `edge` is what it advertises."""
    address = ring.reserved
    if address != 0:
        commit(ring.inner[0], length, now_ns)
        # Not before: wide loads of what was just patched word by word wait until those stores have left the store
        # buffer. Sent from the kept copy, which was then copied, an order was visible 60 ns later (235 for 173).
        copy_bytes(address_of(slot.data), address, length)
        end = keep_slot(tcp, slot, length, 1)
        note_first_send(tcp, slot, end, edge, now_ns)
        fetch_behind(slot)
        ring.timer_ns = min(ring.timer_ns, tcp.timers.retransmit_ns, tcp.timers.tail_probe_ns)
        return
    keep_slot(tcp, slot, length, 0)
    ring.now_ns = now_ns
    ring.timer_ns = 0  # earlier ones wait, or the ring inside is full: at the next turn


@flush.register(TcpRing)
def flush_tcp_ring(ring: TcpRing) -> None:
    if ring.now_ns >= ring.timer_ns:
        work(ring, ring.now_ns)
    else:
        flush(ring.inner[0])


@next_time_ns.register(TcpRing)
def next_tcp_ring_ns(ring: TcpRing) -> int:
    if ring.pending != 0:
        return min(ring.now_ns, next_time_ns(ring.inner[0]))
    return min(ring.timer_ns, next_time_ns(ring.inner[0]))


@describe_watch.register(TcpRing)
def describe_tcp_watch(ring: TcpRing, watch: Watch) -> None:
    watch.until_ns = 0 if ring.pending != 0 else min(watch.until_ns, ring.timer_ns)
    if watch.until_ns != 0:
        describe_watch(ring.inner[0], watch)


@connection_of.register(TcpRing)
def connection_of_tcp(ring: TcpRing, stream: int) -> int:
    return ring.connections[stream].number


@select_stream.register(TcpRing)
def select_tcp_stream(ring: TcpRing, stream: int) -> None:
    ring.selected = stream


@reconnect.register(TcpRing)
def reconnect_tcp(ring: TcpRing, stream: int, now_ns: int) -> None:
    connection = ring.connections[stream]
    tcp = connection.tcp
    ring.now_ns = now_ns
    leave(ring, connection, now_ns)
    index = next_port(connection, now_ns)
    if index < 0:
        connection.refused_ports += 1
        return
    connection.port = index
    connection.opening = 1
    use = connection.ports[index]
    use.used_ns = NEVER_NS
    open_connection(tcp, draw_sequence(ring, now_ns), use.port, now_ns)
    ring.timer_ns = 0


@compiled
def leave(ring: TcpRing, connection: Connection, now_ns: int) -> None:
    """Abort what there is; its RST goes out if the ring inside has room. The session hears no more of it."""
    tcp = connection.tcp
    use = connection.ports[connection.port]
    if tcp.state != TcpState.CLOSED:
        abort_connection(tcp)
        send_due(ring, tcp, now_ns)
    # Only once: it is left again wherever `reconnect` finds no port that has rested.
    if use.used_ns == NEVER_NS:
        use.used_ns = now_ns
    connection.number = 0
    connection.opening = 0


@compiled
def next_port(connection: Connection, now_ns: int) -> int:
    """Index of the next port in turn that has rested; -1: none has."""
    index = connection.port
    for _ in range(connection.port_count):
        index += 1
        if index >= connection.port_count:
            index = 0
        if now_ns - connection.ports[index].used_ns >= PORT_REST_NS:
            return index
    return -1


@compiled
def draw_sequence(ring: TcpRing, now_ns: int) -> int:
    """Draw an initial sequence number: RFC 6528's clock of 4 us, and what an outsider can't know."""
    ring.random += GOLDEN
    state = mix_bits(ring.random)
    return ((state ^ shift_right(state, 31)) + (now_ns >> 12)) & SEQUENCE_MASK


@compiled
def close_stream(ring: TcpRing, stream: int, now_ns: int) -> None:
    """End the stream's connection in order: a FIN behind what was committed."""
    ring.now_ns = now_ns
    close_connection(ring.connections[stream].tcp)
    ring.timer_ns = 0


@compiled
def abort_stream(ring: TcpRing, stream: int, now_ns: int) -> None:
    """End the stream's connection at once, with a RST."""
    ring.now_ns = now_ns
    leave(ring, ring.connections[stream], now_ns)
    flush(ring.inner[0])


def tcp_ring_over(inner: type[Struct]) -> type[TcpRing]:
    """The class of rings with TCP connections on rings of class `inner`."""
    return made_class(TcpRing, (inner,), {"inner": Annotated[Pointer, inner]})


def make_tcp_ring(inner: Struct, endpoints: Sequence[TcpEndpoints], seed: int, **options: int) -> TcpRing:
    """Make a ring with a stream for each of `endpoints`, none of them open: `reconnect` opens.

    `seed` must not be known to others: from it come the initial sequence numbers. Options as for `nic.tcp.tcp.set_tcp`;
    ValueError if they, or the numbers of streams or ports, are out of range.
    """
    if not 1 <= len(endpoints) <= CONNECTIONS_MAX:
        raise ValueError(f"{len(endpoints)} TCP streams on one ring: must be 1 to {CONNECTIONS_MAX}")
    ring = tcp_ring_over(type(inner))()
    ring.inner = one(inner)
    ring.timer_ns = NEVER_NS
    ring.streams = len(endpoints)
    ring.random = seed
    for connection, each in zip(ring.connections, endpoints, strict=False):
        if not 1 <= len(each.ports) <= PORTS_MAX:
            raise ValueError(f"{len(each.ports)} local ports for a TCP stream: must be 1 to {PORTS_MAX}")
        set_tcp(connection.tcp, each.wire, each.session, **options)
        connection.port_count = len(each.ports)
        connection.port = len(each.ports) - 1
        for use, port in zip(connection.ports, each.ports, strict=False):
            use.port = port
            use.used_ns = -NEVER_NS
    return ring


def __getattr__(name: str) -> type[TcpRing]:
    return tcp_ring_over(*inner_classes(name))
