"""What a client's TCP connection holds: states, counters, timers, the frames kept for retransmission.

Sequence numbers are kept as 64-bit positions: byte k of a direction's data is position k, the SYN is -1, the FIN
follows the last byte. Only the wire has 32 bits, and the one conversion from it is wrap-safe (RFC 9293 3.4).
"""

from enum import IntEnum
from typing import Annotated

from crosswire.nic.duration import NS_PER_MS, NS_PER_S
from crosswire.nic.memory.struct import Array, Pointer, Struct, array, i64, u8
from crosswire.nic.packet import TCP_FRAME_HEADER_BYTES, Flow
from crosswire.nic.rings.ring import NEVER_NS
from crosswire.nic.unit.compile import compiled

SLOTS = 64  # frames sent and not yet acknowledged; past that `reserve` is refused. A power of two
SLOT_MASK = SLOTS - 1
SLOT_DATA_BYTES = 1536  # of one frame: Ethernet's 1,514, and whole cache lines
RECEIVE_BUFFER_BYTES = 1 << 16  # out-of-order bytes that are kept; a power of two
RECEIVE_BUFFER_MASK = RECEIVE_BUFFER_BYTES - 1
WINDOW_BYTES = RECEIVE_BUFFER_BYTES - 1  # largest without the window scale option (RFC 7323), which is not asked for
RUNS_MAX = 32  # runs of out-of-order bytes; a segment that would begin one more is dropped, and asked for again
SEQUENCE_MASK = 0xFFFFFFFF
HEADER_BYTES = 64  # of a frame without data or options: whole cache lines
CONTROL_BYTES = 96  # of a frame without data: headers and as many options as fit
SACK_BLOCKS_MAX = 4  # RFC 2018 3: what fits into an option

DEFAULT_MSS = 536  # of a peer that names none (RFC 9293 3.7.1)
ETHERNET_MSS = 1460  # MTU 1500 less 40 bytes of headers
MSS_MIN = 64  # of a peer that names less: its segments would be nearly all headers
INITIAL_WINDOW_SEGMENTS = 10  # RFC 6928; also the largest congestion window here: the bound on what is in flight
DUPLICATE_ACKS = 3  # RFC 5681 3.2
ACK_JUMP_SEGMENTS = 4  # RFC 6582 4.1
RTO_FIRST_NS = NS_PER_S  # RFC 6298 2.1
RTO_MIN_NS = 200 * NS_PER_MS  # not RFC 6298's 1 s: Linux's floor, and the peers are near
RTO_MAX_NS = 60 * NS_PER_S  # RFC 6298 2.5
CLOCK_GRANULARITY_NS = NS_PER_MS  # G of RFC 6298 2.2: the loop's turns, generously
RETRANSMITS_MAX = 10  # of one segment in a row, then the connection is dead (R2 of RFC 9293 3.8.3)
SYN_RETRANSMITS_MAX = 3  # after 1, 2 and 4 s; given up 8 s after the last
ACK_DELAY_NS = 40 * NS_PER_MS  # below RFC 9293 3.8.6.3's 500 ms, and Linux's own
SECOND_ACK_DELAY_NS = NS_PER_MS // 4  # of two segments: for an order to carry it; Linux probes its tail after 2 ms
CHALLENGE_INTERVAL_NS = NS_PER_S  # RFC 5961 7: at most one challenge ACK in that time
EMPTY_ANSWER_INTERVAL_NS = 100 * NS_PER_MS  # the least time between answers to unacceptable segments without data
TIME_WAIT_NS = 60 * NS_PER_S  # 2 MSL as Linux takes it; RFC 9293 3.4.2 says 4 minutes
FIN_WAIT_NS = 60 * NS_PER_S  # in FIN-WAIT-2, whose peer may never close
KEEPALIVE_INTERVAL_NS = 5 * NS_PER_S  # between unanswered probes
KEEPALIVE_PROBES_MAX = 3  # unanswered, then the connection is dead
PERSIST_MAX_NS = 5 * NS_PER_S  # between zero-window probes, after doubling
AT_ONCE_NS = 0  # a timer that is due whatever the time
CONTROL = -1  # `output.slot` of a frame without data
CANNOT_SEND = -(1 << 62)  # `send.limit` where nothing may be sent


class TcpState(IntEnum):
    """RFC 9293 3.3.2. A client never listens, so LISTEN and SYN-RECEIVED are not among them."""

    CLOSED = 0
    SYN_SENT = 1
    ESTABLISHED = 2
    FIN_WAIT_1 = 3
    FIN_WAIT_2 = 4
    CLOSE_WAIT = 5
    CLOSING = 6
    LAST_ACK = 7
    TIME_WAIT = 8


class TcpEnd(IntEnum):
    """Why a connection ended."""

    NONE = 0
    PEER_CLOSED = 1  # its FIN, after all of its data
    PEER_RESET = 2
    REFUSED = 3  # RST instead of SYN-ACK
    TIMEOUT = 4  # nothing acknowledged for the user timeout, or RETRANSMITS_MAX
    KEEPALIVE = 5  # idle, and no probe answered
    CLOSED_HERE = 6


class TcpCounters(Struct):
    """What became of each segment that is not simply taken, and what was done about losses."""

    # Dropped before anything else, as if never received.
    truncated: i64  # the frame ends before its headers, or before the IP total length
    bad_header: i64  # not plain IPv4 and TCP, lengths that contradict each other, a fragment
    bad_ip_checksum: i64
    bad_checksum: i64
    other_connection: i64  # its addresses or ports are not ours
    closed: i64  # there was no connection
    # Dropped after a look at the connection.
    bad_handshake: i64  # in SYN-SENT: no answer to our SYN
    simultaneous_open: i64  # refused by RST
    unacceptable: i64  # outside the receive window: old, or too far ahead (RFC 9293 3.10.7.4)
    bad_reset: i64  # RST in the window, not at its left edge (RFC 5961 3.2)
    unexpected_syn: i64  # RFC 5961 4.2
    without_ack: i64
    ack_of_unsent: i64
    ack_too_old: i64  # RFC 5961 5.2
    after_fin: i64  # data behind the peer's FIN
    runs_full: i64  # out of order, with RUNS_MAX runs kept
    # Odd, and handled.
    out_of_order: i64  # segments kept
    trimmed: i64  # segments of which some bytes had come before
    duplicate_acks: i64
    window_shrunk: i64  # the peer took back window that it had given
    challenge_acks: i64
    answers_suppressed: i64  # challenge ACKs and answers to empty segments within their interval
    # Sent.
    segments: i64  # with data, the first time
    retransmits: i64  # data, for whatever reason
    timeouts: i64
    fast_retransmits: i64
    tail_probes: i64
    syn_retransmits: i64
    window_probes: i64
    keepalive_probes: i64
    acks: i64  # segments that only acknowledge
    resets: i64
    late: i64  # committed segments that had to wait for the ring below
    # `reserve` refused, by the bound that was hit.
    refused_state: i64
    refused_slots: i64
    refused_length: i64
    refused_window: i64
    refused_congestion: i64


class Slot(Struct):
    """A frame that was committed: stamped once, and unchanged until all of it is acknowledged."""

    end: i64  # of the byte after its last
    length: i64  # of the frame
    acknowledged: i64  # the receive position that its header acknowledges
    sent_ns: i64
    sends: i64
    _line: Annotated[Array, i64, 3]
    data: Annotated[Array, u8, SLOT_DATA_BYTES]


class Run(Struct):
    """Bytes that arrived before some that precede them."""

    begin: i64
    end: i64


class Segment(Struct):
    """One received segment, parsed and checked."""

    sequence: i64
    acknowledgement: i64
    flags: i64
    window: i64
    payload_address: i64
    payload_length: i64
    payload_sum: i64  # of the checksum; unfolded
    mss: i64  # of the option; 0: none
    sack_permitted: i64  # 1: a SYN with the option of that name


class FrameStore(Struct):
    """The frames that were committed: `begin`..`middle` are in flight, up to `end` unsent. Numbers only grow."""

    slots: Annotated[Pointer, Slot]  # of frame n: index n & SLOT_MASK
    begin: i64
    middle: i64
    end: i64


class SendSide(Struct):
    """Send sequence variables (RFC 9293 3.3.1) as positions, and what the peer allows."""

    base: i64  # 32-bit sequence number of position 0: ISS + 1
    una: i64
    max: i64  # SND.NXT, as it is without a retransmission going on
    end: i64  # after the last committed byte
    limit: i64  # `end` may not pass it: what the windows allow; CANNOT_SEND
    window: i64
    window_max: i64  # MAX.SND.WND
    window_sequence: i64  # SND.WL1
    window_ack: i64  # SND.WL2
    mss: i64  # the peer's, bounded by ours
    fin_queued: i64
    fin_sent: i64


class ReceiveSide(Struct):
    """Receive sequence variables (RFC 9293 3.3.1) as positions, and what the peer was told."""

    base: i64  # 32-bit sequence number of position 0: IRS + 1
    next: i64
    delivered: i64  # up to there the user has it; from there to `next` it is in the buffer
    fin_position: i64  # of the peer's FIN; NEVER_NS: not yet known
    fin_received: i64
    acknowledged: i64  # the `next` that was last sent
    advertised: i64  # the right edge of the window that was last sent
    sack_permitted: i64  # 1: the peer wants to be told of runs (RFC 2018)
    challenged_ns: i64  # when the last challenge ACK was sent
    answered_ns: i64  # when a segment without data was last answered


class Reassembly(Struct):
    """What arrived before its turn, or could not be read where it lay."""

    buffer: Annotated[Pointer, u8]  # byte at position p: index p & RECEIVE_BUFFER_MASK
    run_count: i64
    runs: Annotated[Array, Run, RUNS_MAX]  # by position, with holes between them
    latest: i64  # a position in the run that grew last


class RoundTrip(Struct):
    """RFC 6298's estimate, and the timeout that is made of it."""

    smoothed_ns: i64  # 0: no sample yet
    variance_ns: i64
    rto_ns: i64
    tail_probe_delay_ns: i64  # after a send


class Recovery(Struct):
    """What is known of losses (RFC 6298, RFC 5681, RFC 6582)."""

    retransmits: i64  # by timeout, in a row
    progress_ns: i64  # when something was last acknowledged, or went out with nothing else in flight
    duplicate_acks: i64
    is_fast: i64  # 1: fast recovery
    recover: i64  # what was in flight when loss was last found
    newly_acknowledged: i64  # bytes, by the last ACK that acknowledged something
    tail_probed: i64  # 1: not again before something is acknowledged


class Congestion(Struct):
    """RFC 5681's window, in bytes."""

    window: i64
    threshold: i64  # of slow start
    grown: i64  # bytes acknowledged since the window last grew


class Pending(Struct):
    """What is to be sent as soon as possible."""

    syn: i64
    resend_first: i64
    probe: i64
    reset_flags: i64  # of a RST; 0: none
    reset_sequence: i64  # 32-bit
    reset_acknowledgement: i64


class Timers(Struct):
    """When they are due, NEVER_NS when they do not run."""

    retransmit_ns: i64
    tail_probe_ns: i64
    persist_ns: i64
    ack_ns: i64  # AT_ONCE_NS where it may not wait
    keepalive_ns: i64
    linger_ns: i64
    persist_interval_ns: i64  # from the last window probe to the next


class KeepAlive(Struct):
    received_ns: i64  # last segment that was in the window
    probes: i64  # unanswered


class TcpSettings(Struct):
    """See `nic.tcp.tcp.set_tcp`."""

    mss: i64  # of what we receive
    keepalive_idle_ns: i64
    user_timeout_ns: i64
    tail_probe_floor_ns: i64


class Headers(Struct):
    """What of both directions' headers never changes, and its part of their checksums."""

    wire: Annotated[Array, u8, HEADER_BYTES]  # of a data segment
    delivery: Annotated[Array, u8, HEADER_BYTES]  # of what the session reads
    peer_addresses: i64  # source and destination IP of a received segment, as they lie there
    peer_ports: i64
    wire_length: i64  # of the frame that `wire` has the IP header of
    wire_ip_sum: i64  # of the IP header without its total length
    wire_sum: i64  # of the TCP checksum: addresses, protocol, ports
    delivery_ip_sum: i64
    delivery_sum: i64
    session_change: i64  # the TCP checksum's change from the session's addresses and ports to the wire's


class Payload(Struct):
    """The bytes that `process` found, where they lie in the received frame."""

    address: i64
    length: i64
    position: i64


class Output(Struct):
    """The frame that `dispatch` gave."""

    address: i64
    length: i64
    slot: i64  # the slot that it is a copy of, or CONTROL


class Tcp(Struct):
    """One connection. Made ready by `nic.tcp.tcp.set_tcp`; in CLOSED only `end` and the counters mean anything."""

    state: i64
    end: i64  # TcpEnd
    established: i64  # 1 from ESTABLISHED on, until the next open
    store: FrameStore
    send: SendSide
    receive: ReceiveSide
    reassembly: Reassembly
    round_trip: RoundTrip
    recovery: Recovery
    congestion: Congestion
    pending: Pending
    timers: Timers
    keepalive: KeepAlive
    settings: TcpSettings
    wire: Flow  # from us to the peer
    session: Flow  # the same, as the session writes it
    headers: Headers
    payload: Payload
    output: Output
    counters: TcpCounters
    segment: Segment
    control: Annotated[Array, u8, CONTROL_BYTES]


def set_tcp_memory(tcp: Tcp) -> None:
    """Give a zeroed `Tcp` its buffers; it is CLOSED and has no peer."""
    assert Slot.size % 64 == 0
    assert Slot.size // 64 % 2 == 1  # slots are spread over all sets of a cache
    # As many whole cache lines as Ethernet's longest frame lies in, and no more.
    assert SLOT_DATA_BYTES // 64 == (TCP_FRAME_HEADER_BYTES + ETHERNET_MSS) // 64 + 1
    assert HEADER_BYTES % 64 == 0
    tcp.store.slots = array(Slot, SLOTS)
    tcp.reassembly.buffer = array(u8, RECEIVE_BUFFER_BYTES)
    tcp.send.limit = CANNOT_SEND
    stop_timers(tcp.timers)


@compiled
def stop_timers(timers: Timers) -> None:
    """Stop all timers."""
    timers.retransmit_ns = NEVER_NS
    timers.tail_probe_ns = NEVER_NS
    timers.persist_ns = NEVER_NS
    timers.ack_ns = NEVER_NS
    timers.keepalive_ns = NEVER_NS
    timers.linger_ns = NEVER_NS


@compiled
def finish(tcp: Tcp, end: int) -> None:
    """Go to CLOSED (RFC 9293 3.10): nothing is sent any more, nothing runs; what was received can still be taken."""
    pending = tcp.pending
    tcp.state = TcpState.CLOSED
    if tcp.end == TcpEnd.NONE:
        tcp.end = end
    tcp.send.limit = CANNOT_SEND
    pending.syn = 0
    pending.resend_first = 0
    pending.probe = 0
    stop_timers(tcp.timers)


@compiled
def buffered_bytes(tcp: Tcp) -> int:
    """Bytes in order, acknowledged and not yet taken by the user. The peer's FIN is no byte."""
    receive = tcp.receive
    return receive.next - receive.fin_received - receive.delivered


@compiled
def receive_edge(tcp: Tcp) -> int:
    """The right edge of the receive window. It moves only forward: `delivered` does (RFC 9293 3.8.6.2.1)."""
    return tcp.receive.delivered + tcp.receive.fin_received + WINDOW_BYTES


@compiled
def has_sent_all(tcp: Tcp) -> bool:
    """Tell whether nothing is in flight or waits to be sent, a FIN included."""
    send = tcp.send
    return send.una == send.end + send.fin_queued
