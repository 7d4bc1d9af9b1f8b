"""A client's TCP (RFC 9293), for one connection to an order gateway: no clock, no device and no allocation inside.

`process` takes a received segment, `dispatch` gives the frames to be sent one by one, `reserve_slot` and `commit_slot`
take the user's own (`nic.tcp.send`); `next_timer_ns` says when `dispatch` is due again.

There are: retransmission with RFC 6298's timer, tail loss probes, fast retransmit with NewReno's partial ACKs; the
peer's window with its probes; kept out-of-order segments, told by SACK (RFC 2018); delayed ACKs that ride on orders;
RFC 5961's defences; keep-alive; all closing states. There are not: listening, simultaneous open (refused), window
scale, timestamps, use of the peer's SACK, urgent data (read as data), IP options, fragments, path MTU discovery (frames
say "don't fragment"), Nagle's algorithm.

What was sent stays the same bytes when it is sent again: only the acknowledgement in the header of a copy is renewed,
once it is so old that the peer would drop the segment for it (RFC 5961 5.2).
"""

from crosswire.nic.duration import NS_PER_MS, NS_PER_S
from crosswire.nic.memory.raw import copy_bytes
from crosswire.nic.memory.struct import address_of
from crosswire.nic.packet import FLAG_ACK, FLAG_FIN, FLAG_RST, FLAG_SYN, Flow
from crosswire.nic.rings.ring import NEVER_NS
from crosswire.nic.tcp.receive import (
    answer_unacceptable,
    begin_receiving,
    challenge,
    is_acceptable,
    position_of,
    take_data,
)
from crosswire.nic.tcp.segment import difference, freshen, parse_segment, set_headers, write_control
from crosswire.nic.tcp.send import (
    begin_sending,
    control_position,
    give_up,
    may_send_next,
    measured_rto_ns,
    note_acknowledged,
    note_send,
    open_windows,
    probe_tail,
    probe_window,
    queue_reset,
    set_limit,
    start_timer,
    take_ack,
    time_out,
)
from crosswire.nic.tcp.state import (
    CONTROL,
    DEFAULT_MSS,
    ETHERNET_MSS,
    FIN_WAIT_NS,
    KEEPALIVE_INTERVAL_NS,
    KEEPALIVE_PROBES_MAX,
    RTO_FIRST_NS,
    SEQUENCE_MASK,
    SLOT_MASK,
    SYN_RETRANSMITS_MAX,
    TIME_WAIT_NS,
    Segment,
    Tcp,
    TcpEnd,
    TcpState,
    finish,
    has_sent_all,
    set_tcp_memory,
)
from crosswire.nic.unit.compile import compiled


def set_tcp(
    tcp: Tcp,
    wire: Flow,
    session: Flow,
    *,
    mss: int = ETHERNET_MSS,
    keepalive_idle_ns: int = 30 * NS_PER_S,
    user_timeout_ns: int = 20 * NS_PER_S,
    tail_probe_floor_ns: int = 10 * NS_PER_MS,
) -> None:
    """Prepare a zeroed `Tcp`: `wire` from us to the peer, `session` the flow of the frames that its user writes.

    `mss` is the interface's MTU less 40; `keepalive_idle_ns` of silence are probed; after `user_timeout_ns` without an
    ACK of what is in flight the connection is dead. ValueError if out of range.
    """
    if not DEFAULT_MSS <= mss <= ETHERNET_MSS:
        raise ValueError(f"MSS {mss}: must be {DEFAULT_MSS} to {ETHERNET_MSS}, the MTU less 40")
    if min(keepalive_idle_ns, user_timeout_ns, tail_probe_floor_ns) <= 0:
        raise ValueError("a TCP's times must be positive")
    set_tcp_memory(tcp)
    tcp.receive_mss = mss
    tcp.keepalive_idle_ns = keepalive_idle_ns
    tcp.user_timeout_ns = user_timeout_ns
    tcp.tail_probe_floor_ns = tail_probe_floor_ns
    set_headers(tcp, wire, session)


@compiled
def open_connection(tcp: Tcp, initial_sequence: int, local_port: int, now_ns: int) -> None:
    """RFC 9293 3.10.1, active OPEN: to SYN-SENT. `initial_sequence` is the ISS, 32-bit, not to be guessed (3.4.1)."""
    tcp.wire.source_port = local_port
    set_headers(tcp, tcp.wire, tcp.session)
    finish(tcp, TcpEnd.CLOSED_HERE)
    begin_sending(tcp)
    begin_receiving(tcp, 0)
    tcp.end = TcpEnd.NONE
    tcp.established = 0
    tcp.mss = DEFAULT_MSS
    tcp.send_base = (initial_sequence + 1) & SEQUENCE_MASK
    tcp.keepalive_probes = 0
    tcp.challenged_ns = -NEVER_NS
    tcp.answered_ns = -NEVER_NS
    tcp.received_ns = now_ns
    tcp.progress_ns = now_ns
    tcp.rto_ns = RTO_FIRST_NS
    tcp.state = TcpState.SYN_SENT
    tcp.syn_pending = 1


@compiled
def close_connection(tcp: Tcp, now_ns: int) -> None:
    """RFC 9293 3.10.4, CLOSE: a FIN behind what was committed. What the peer sends is still received."""
    state = tcp.state
    if state == TcpState.SYN_SENT:
        finish(tcp, TcpEnd.CLOSED_HERE)
    elif state == TcpState.ESTABLISHED or state == TcpState.CLOSE_WAIT:
        tcp.state = TcpState.FIN_WAIT_1 if state == TcpState.ESTABLISHED else TcpState.LAST_ACK
        tcp.fin_queued = 1
        set_limit(tcp)
        start_timer(tcp, now_ns)


@compiled
def abort_connection(tcp: Tcp) -> None:
    """RFC 9293 3.10.5, ABORT: to CLOSED, with a RST to a peer that may know of us; `dispatch` gives it."""
    if tcp.state > TcpState.SYN_SENT and tcp.state != TcpState.TIME_WAIT:
        queue_reset(tcp)
    finish(tcp, TcpEnd.CLOSED_HERE)


@compiled
def process(tcp: Tcp, address: int, length: int, now_ns: int) -> bool:
    """Take one received frame; whether `payload_address` and `payload_length` now are the next bytes of the stream.

    Those lie in the frame. More may then be in the buffer: see `nic.tcp.receive.take_buffered`. Nothing is sent here:
    `dispatch` does it.
    """
    tcp.payload_length = 0
    if not parse_segment(tcp, address, length):
        return False
    if tcp.state == TcpState.CLOSED:
        tcp.counters.closed += 1
        return False
    segment = tcp.segment
    if tcp.state == TcpState.SYN_SENT:
        process_answer(tcp, segment, now_ns)
        return False
    position = position_of(tcp, segment)
    if not check_segment(tcp, segment, position, now_ns):
        return False
    tcp.received_ns = now_ns
    tcp.keepalive_probes = 0
    if tcp.fin_received == 0:
        take_data(tcp, segment, position, now_ns)
    elif segment.payload_length != 0:
        tcp.counters.after_fin += 1  # RFC 9293 3.10.7.4, seventh: cannot occur; ignored
    if tcp.fin_received != 0:
        follow_fin(tcp, now_ns)
    return tcp.payload_length != 0


@compiled
def process_answer(tcp: Tcp, segment: Segment, now_ns: int) -> None:
    """RFC 9293 3.10.7.3, SYN-SENT."""
    counters = tcp.counters
    flags = segment.flags
    acknowledges = flags & FLAG_ACK != 0
    if acknowledges and segment.acknowledgement != tcp.send_base:
        counters.bad_handshake += 1
        if flags & FLAG_RST == 0:
            tcp.reset_flags = FLAG_RST
            tcp.reset_sequence = segment.acknowledgement
            tcp.reset_acknowledgement = 0
        return
    if flags & FLAG_RST:
        # Only one that acknowledges our SYN is the peer's.
        if acknowledges:
            finish(tcp, TcpEnd.REFUSED)
        else:
            counters.bad_handshake += 1
        return
    if flags & FLAG_SYN == 0:
        counters.bad_handshake += 1
        return
    if not acknowledges:
        # A simultaneous open (3.5): a gateway does not call us. The RST acknowledges its SYN.
        counters.simultaneous_open += 1
        tcp.reset_flags = FLAG_RST | FLAG_ACK
        tcp.reset_sequence = 0
        tcp.reset_acknowledgement = segment.sequence + 1
        return
    establish(tcp, segment, now_ns)


@compiled
def establish(tcp: Tcp, segment: Segment, now_ns: int) -> None:
    """Our SYN is acknowledged. Data with the SYN-ACK are not taken: the peer sends them again (RFC 9293 3.10.7.3)."""
    begin_receiving(tcp, segment.sequence)
    tcp.state = TcpState.ESTABLISHED
    tcp.established = 1
    tcp.send_una = 0
    tcp.mss = min(segment.mss if segment.mss != 0 else DEFAULT_MSS, tcp.receive_mss)
    tcp.sack_permitted = segment.sack_permitted
    tcp.send_window = segment.window  # of a SYN: never scaled (RFC 7323 2.2)
    tcp.send_window_max = segment.window
    tcp.window_sequence = -1
    tcp.window_ack = 0
    # A handshake that took a retransmission gives no sample (RFC 6298 3); without one the first RTO stays 1 s (5.7: 3 s
    # where it was lost; the tail probe comes before either).
    if tcp.retransmits == 0:
        tcp.smoothed_rtt_ns = max(now_ns - tcp.progress_ns, 1)
        tcp.rtt_variance_ns = tcp.smoothed_rtt_ns >> 1
    tcp.retransmits = 0
    tcp.rto_ns = measured_rto_ns(tcp)
    tcp.retransmit_ns = NEVER_NS
    tcp.received_ns = now_ns
    tcp.keepalive_ns = now_ns + tcp.keepalive_idle_ns
    open_windows(tcp)
    set_limit(tcp)
    if tcp.send_window < tcp.mss:
        tcp.persist_interval_ns = tcp.rto_ns
        tcp.persist_ns = now_ns + tcp.rto_ns
    tcp.ack_ns = 0


@compiled
def check_segment(tcp: Tcp, segment: Segment, position: int, now_ns: int) -> bool:
    """RFC 9293 3.10.7.4, first to fifth check, for all states with a peer; whether its text and FIN are to be taken."""
    counters = tcp.counters
    flags = segment.flags
    if not is_acceptable(tcp, segment, position):
        if flags & FLAG_RST:
            counters.unacceptable += 1
        else:
            answer_unacceptable(tcp, segment, now_ns)
            if tcp.state == TcpState.TIME_WAIT and flags & FLAG_FIN:
                tcp.linger_ns = now_ns + TIME_WAIT_NS  # the peer's FIN again: 2 MSL anew
        return False
    if flags & FLAG_RST:
        # RFC 5961 3.2: exactly the next byte's number, else it may be a guess.
        if position == tcp.receive_next:
            finish(tcp, TcpEnd.PEER_RESET)
        else:
            counters.bad_reset += 1
            challenge(tcp, now_ns)
        return False
    if flags & FLAG_SYN:
        counters.unexpected_syn += 1  # RFC 5961 4.2
        challenge(tcp, now_ns)
        return False
    if flags & FLAG_ACK == 0:
        counters.without_ack += 1
        return False
    acknowledgement = tcp.send_una + difference(segment.acknowledgement, tcp.send_base + tcp.send_una)
    if acknowledgement > tcp.send_max:
        counters.ack_of_unsent += 1
        challenge(tcp, now_ns)
        return False
    if acknowledgement < tcp.send_una - tcp.send_window_max:
        counters.ack_too_old += 1
        challenge(tcp, now_ns)
        return False
    take_ack(tcp, segment, position, acknowledgement, now_ns)
    if tcp.fin_queued != 0 and has_sent_all(tcp):
        follow_ack_of_fin(tcp, now_ns)
    return tcp.state != TcpState.CLOSED


@compiled
def follow_ack_of_fin(tcp: Tcp, now_ns: int) -> None:
    """Our FIN is acknowledged (RFC 9293 3.10.7.4, fifth)."""
    if tcp.state == TcpState.FIN_WAIT_1:
        tcp.state = TcpState.FIN_WAIT_2
        tcp.linger_ns = now_ns + FIN_WAIT_NS
    elif tcp.state == TcpState.CLOSING:
        wait_time(tcp, now_ns)
    elif tcp.state == TcpState.LAST_ACK:
        finish(tcp, TcpEnd.PEER_CLOSED)


@compiled
def follow_fin(tcp: Tcp, now_ns: int) -> None:
    """The peer's FIN has come, behind all of its data (RFC 9293 3.10.7.4, eighth)."""
    if tcp.end == TcpEnd.NONE:
        tcp.end = TcpEnd.PEER_CLOSED
    if tcp.state == TcpState.ESTABLISHED:
        tcp.state = TcpState.CLOSE_WAIT
    elif tcp.state == TcpState.FIN_WAIT_1:
        tcp.state = TcpState.CLOSING
    elif tcp.state == TcpState.FIN_WAIT_2:
        wait_time(tcp, now_ns)


@compiled
def wait_time(tcp: Tcp, now_ns: int) -> None:
    """To TIME-WAIT (RFC 9293 3.6.1): only the last ACK may have to be sent again."""
    ack_ns = tcp.ack_ns
    finish(tcp, TcpEnd.CLOSED_HERE)
    tcp.state = TcpState.TIME_WAIT
    tcp.ack_ns = ack_ns
    tcp.linger_ns = now_ns + TIME_WAIT_NS


@compiled
def dispatch(tcp: Tcp, now_ns: int) -> bool:
    """The next frame to be sent, `output_length` bytes at `output_address`, which count as sent; False: none now.

    Call it only with room for a frame in the ring below, and copy the frame there with `copy_output`.
    """
    tcp.output_slot = CONTROL
    run_timers(tcp, now_ns)
    if tcp.reset_flags != 0:
        write_control(tcp, tcp.reset_flags, tcp.reset_sequence, tcp.reset_acknowledgement, 0)
        tcp.reset_flags = 0
        tcp.counters.resets += 1
        return True
    if tcp.syn_pending != 0:
        tcp.syn_pending = 0
        write_control(tcp, FLAG_SYN, tcp.send_base - 1, 0, tcp.receive_mss)
        tcp.retransmit_ns = now_ns + tcp.rto_ns
        return True
    if tcp.state <= TcpState.SYN_SENT:
        return False
    if tcp.resend_first != 0:
        tcp.resend_first = 0
        if tcp.slots_begin != tcp.slots_middle:
            send_slot(tcp, tcp.slots_begin, now_ns)
            return True
    if may_send_next(tcp):
        send_slot(tcp, tcp.slots_middle, now_ns)
        return True
    if tcp.fin_queued != 0 and tcp.fin_sent == 0 and tcp.slots_middle == tcp.slots_end:
        # A FIN is sent into a closed window too: it is the next byte, as a window probe would be.
        tcp.fin_sent = 1
        tcp.send_max = max(tcp.send_max, tcp.send_end + 1)
        start_timer(tcp, now_ns)
        send_control(tcp, FLAG_FIN | FLAG_ACK, tcp.send_end)
        return True
    if tcp.probe_pending != 0:
        # RFC 9293 3.8.4: a byte that was acknowledged long ago, without that byte: unacceptable, and so answered.
        tcp.probe_pending = 0
        send_control(tcp, FLAG_ACK, tcp.send_una - 1)
        return True
    if tcp.ack_ns <= now_ns:
        tcp.counters.acks += 1
        send_control(tcp, FLAG_ACK, control_position(tcp))
        return True
    return False


@compiled
def send_control(tcp: Tcp, flags: int, position: int) -> None:
    """A segment without data at a position; it acknowledges all."""
    write_control(tcp, flags, tcp.send_base + position, tcp.receive_base + tcp.receive_next, 0)
    note_acknowledged(tcp, tcp.receive_next)
    tcp.ack_ns = NEVER_NS


@compiled
def send_slot(tcp: Tcp, index: int, now_ns: int) -> None:
    """A kept frame becomes the output."""
    slot = tcp.slots[index & SLOT_MASK]
    note_send(tcp, index, now_ns)
    tcp.output_slot = index & SLOT_MASK
    tcp.output_address = address_of(slot.data)
    tcp.output_length = slot.length


@compiled
def copy_output(tcp: Tcp, address: int) -> None:
    """Copy the frame that `dispatch` gave to `address`."""
    copy_bytes(address, tcp.output_address, tcp.output_length)
    if tcp.output_slot != CONTROL:
        freshen(tcp, tcp.slots[tcp.output_slot], address)


@compiled
def run_timers(tcp: Tcp, now_ns: int) -> None:
    """What is due (RFC 9293 3.10.8). The delayed ACK's timer is looked at where it is sent."""
    if tcp.state == TcpState.CLOSED:
        return
    if tcp.retransmit_ns <= now_ns:
        if tcp.state == TcpState.SYN_SENT:
            time_out_syn(tcp)
        else:
            time_out(tcp, now_ns)
    if tcp.tail_probe_ns <= now_ns:
        probe_tail(tcp)
    if tcp.persist_ns <= now_ns:
        probe_window(tcp, now_ns)
    if tcp.keepalive_ns <= now_ns:
        keep_alive(tcp, now_ns)
    if tcp.linger_ns <= now_ns:
        finish(tcp, TcpEnd.CLOSED_HERE)


@compiled
def time_out_syn(tcp: Tcp) -> None:
    """RFC 6298 5.5 for the SYN: after 1, 2 and 4 s. Nobody there: no RST either."""
    if tcp.retransmits >= SYN_RETRANSMITS_MAX:
        finish(tcp, TcpEnd.TIMEOUT)
        return
    tcp.retransmits += 1
    tcp.counters.syn_retransmits += 1
    tcp.rto_ns *= 2
    tcp.retransmit_ns = NEVER_NS
    tcp.syn_pending = 1


@compiled
def keep_alive(tcp: Tcp, now_ns: int) -> None:
    """RFC 9293 3.8.4. Only a silent connection is probed; what is in flight has the retransmission timer."""
    if tcp.keepalive_probes == 0 and (
        now_ns - tcp.received_ns < tcp.keepalive_idle_ns or tcp.send_una != tcp.send_max or tcp.persist_ns != NEVER_NS
    ):
        tcp.keepalive_ns = max(tcp.received_ns, now_ns - tcp.keepalive_idle_ns + NS_PER_S) + tcp.keepalive_idle_ns
        return
    if tcp.keepalive_probes >= KEEPALIVE_PROBES_MAX:
        give_up(tcp, TcpEnd.KEEPALIVE)
        return
    tcp.keepalive_probes += 1
    tcp.probe_pending = 1
    tcp.counters.keepalive_probes += 1
    tcp.keepalive_ns = now_ns + KEEPALIVE_INTERVAL_NS


@compiled
def next_timer_ns(tcp: Tcp) -> int:
    """When `dispatch` next has something to do, NEVER_NS for never; 0: at once."""
    if (
        tcp.reset_flags != 0
        or tcp.syn_pending != 0
        or tcp.resend_first != 0
        or tcp.probe_pending != 0
        or (tcp.state > TcpState.SYN_SENT and may_send_next(tcp))
        or (tcp.fin_queued != 0 and tcp.fin_sent == 0 and tcp.slots_middle == tcp.slots_end)
    ):
        return 0
    return min(tcp.retransmit_ns, tcp.tail_probe_ns, tcp.persist_ns, tcp.ack_ns, tcp.keepalive_ns, tcp.linger_ns)
