"""A client's TCP (RFC 9293), for one connection to an order gateway: no clock, no device and no allocation inside.

`process` takes a received segment, `dispatch` gives the frames to be sent one by one, `has_room` and `keep_slot`
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
    take_sample,
    time_out,
)
from crosswire.nic.tcp.state import (
    AT_ONCE_NS,
    CONTROL,
    DEFAULT_MSS,
    ETHERNET_MSS,
    FIN_WAIT_NS,
    KEEPALIVE_INTERVAL_NS,
    KEEPALIVE_PROBES_MAX,
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
    tcp.settings.mss = mss
    tcp.settings.keepalive_idle_ns = keepalive_idle_ns
    tcp.settings.user_timeout_ns = user_timeout_ns
    tcp.settings.tail_probe_floor_ns = tail_probe_floor_ns
    set_headers(tcp, wire, session)


@compiled
def open_connection(tcp: Tcp, initial_sequence: int, local_port: int, now_ns: int) -> None:
    """Go to SYN-SENT (RFC 9293 3.10.1, active OPEN). `initial_sequence`: the ISS, 32-bit, not to be guessed (3.4.1)."""
    tcp.wire.source_port = local_port
    set_headers(tcp, tcp.wire, tcp.session)
    finish(tcp, TcpEnd.CLOSED_HERE)
    begin_sending(tcp)
    begin_receiving(tcp, 0)
    tcp.end = TcpEnd.NONE
    tcp.established = 0
    tcp.send.base = (initial_sequence + 1) & SEQUENCE_MASK
    tcp.keepalive.probes = 0
    tcp.receive.challenged_ns = -NEVER_NS
    tcp.receive.answered_ns = -NEVER_NS
    tcp.recovery.progress_ns = now_ns
    tcp.state = TcpState.SYN_SENT
    tcp.pending.syn = 1


@compiled
def close_connection(tcp: Tcp) -> None:
    """Queue a FIN behind what was committed (RFC 9293 3.10.4, CLOSE). What the peer sends is still received."""
    state = tcp.state
    if state == TcpState.SYN_SENT:
        finish(tcp, TcpEnd.CLOSED_HERE)
    elif state == TcpState.ESTABLISHED or state == TcpState.CLOSE_WAIT:
        tcp.state = TcpState.FIN_WAIT_1 if state == TcpState.ESTABLISHED else TcpState.LAST_ACK
        tcp.send.fin_queued = 1
        set_limit(tcp)


@compiled
def abort_connection(tcp: Tcp) -> None:
    """Go to CLOSED (RFC 9293 3.10.5, ABORT); a peer that may know of us gets a RST, which `dispatch` gives."""
    if tcp.state > TcpState.SYN_SENT and tcp.state != TcpState.TIME_WAIT:
        queue_reset(tcp)
    finish(tcp, TcpEnd.CLOSED_HERE)


@compiled
def process(tcp: Tcp, address: int, length: int, now_ns: int) -> bool:
    """Take one received frame; whether `tcp.payload` now is the next bytes of the stream.

    They lie in the frame. More may then be in the buffer: see `nic.tcp.receive.take_buffered`. Nothing is sent here:
    `dispatch` does it.
    """
    tcp.payload.length = 0
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
    tcp.keepalive.received_ns = now_ns
    tcp.keepalive.probes = 0
    if tcp.receive.fin_received == 0:
        take_data(tcp, segment, position, now_ns)
    elif segment.payload_length != 0:
        tcp.counters.after_fin += 1  # RFC 9293 3.10.7.4, seventh: cannot occur; ignored
    if tcp.receive.fin_received != 0:
        follow_fin(tcp, now_ns)
    return tcp.payload.length != 0


@compiled
def process_answer(tcp: Tcp, segment: Segment, now_ns: int) -> None:
    """Take the answer to our SYN (RFC 9293 3.10.7.3, SYN-SENT)."""
    pending = tcp.pending
    counters = tcp.counters
    flags = segment.flags
    acknowledges = flags & FLAG_ACK != 0
    if acknowledges and segment.acknowledgement != tcp.send.base:
        counters.bad_handshake += 1
        if flags & FLAG_RST == 0:
            pending.reset_flags = FLAG_RST
            pending.reset_sequence = segment.acknowledgement
            pending.reset_acknowledgement = 0
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
        pending.reset_flags = FLAG_RST | FLAG_ACK
        pending.reset_sequence = 0
        pending.reset_acknowledgement = segment.sequence + 1
        return
    establish(tcp, segment, now_ns)


@compiled
def establish(tcp: Tcp, segment: Segment, now_ns: int) -> None:
    """Go to ESTABLISHED. Data with the SYN-ACK are not taken: the peer sends them again (RFC 9293 3.10.7.3)."""
    send = tcp.send
    round_trip = tcp.round_trip
    recovery = tcp.recovery
    timers = tcp.timers
    begin_receiving(tcp, segment.sequence)
    tcp.state = TcpState.ESTABLISHED
    tcp.established = 1
    send.una = 0
    send.mss = min(segment.mss if segment.mss != 0 else DEFAULT_MSS, tcp.settings.mss)
    tcp.receive.sack_permitted = segment.sack_permitted
    send.window = segment.window  # of a SYN: never scaled (RFC 7323 2.2)
    send.window_max = segment.window
    send.window_sequence = -1
    send.window_ack = 0
    # A handshake that took a retransmission gives no sample (RFC 6298 3); without one the first RTO stays 1 s (5.7: 3 s
    # where it was lost; the tail probe comes before either).
    if recovery.retransmits == 0:
        take_sample(tcp, now_ns - recovery.progress_ns)
    recovery.retransmits = 0
    round_trip.rto_ns = measured_rto_ns(round_trip)
    timers.retransmit_ns = NEVER_NS
    tcp.keepalive.received_ns = now_ns
    timers.keepalive_ns = now_ns + tcp.settings.keepalive_idle_ns
    open_windows(tcp)
    set_limit(tcp)
    if send.window < send.mss:
        timers.persist_interval_ns = round_trip.rto_ns
        timers.persist_ns = now_ns + round_trip.rto_ns
    timers.ack_ns = AT_ONCE_NS


@compiled
def check_segment(tcp: Tcp, segment: Segment, position: int, now_ns: int) -> bool:
    """Check a segment (RFC 9293 3.10.7.4, first to fifth); whether its text and FIN are to be taken."""
    send = tcp.send
    counters = tcp.counters
    flags = segment.flags
    if not is_acceptable(tcp, segment, position):
        if flags & FLAG_RST:
            counters.unacceptable += 1
        else:
            answer_unacceptable(tcp, segment, now_ns)
            if tcp.state == TcpState.TIME_WAIT and flags & FLAG_FIN:
                tcp.timers.linger_ns = now_ns + TIME_WAIT_NS  # the peer's FIN again: 2 MSL anew
        return False
    if flags & FLAG_RST:
        # RFC 5961 3.2: exactly the next byte's number, else it may be a guess.
        if position == tcp.receive.next:
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
    acknowledgement = send.una + difference(segment.acknowledgement, send.base + send.una)
    if acknowledgement > send.max:
        counters.ack_of_unsent += 1
        challenge(tcp, now_ns)
        return False
    if acknowledgement < send.una - send.window_max:
        counters.ack_too_old += 1
        challenge(tcp, now_ns)
        return False
    take_ack(tcp, segment, position, acknowledgement, now_ns)
    if send.fin_queued != 0 and has_sent_all(tcp):
        follow_ack_of_fin(tcp, now_ns)
    return tcp.state != TcpState.CLOSED


@compiled
def follow_ack_of_fin(tcp: Tcp, now_ns: int) -> None:
    """Change state now that our FIN is acknowledged (RFC 9293 3.10.7.4, fifth)."""
    if tcp.state == TcpState.FIN_WAIT_1:
        tcp.state = TcpState.FIN_WAIT_2
        tcp.timers.linger_ns = now_ns + FIN_WAIT_NS
    elif tcp.state == TcpState.CLOSING:
        wait_time(tcp, now_ns)
    elif tcp.state == TcpState.LAST_ACK:
        finish(tcp, TcpEnd.PEER_CLOSED)


@compiled
def follow_fin(tcp: Tcp, now_ns: int) -> None:
    """Change state now that the peer's FIN has come, behind all of its data (RFC 9293 3.10.7.4, eighth)."""
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
    """Go to TIME-WAIT (RFC 9293 3.6.1): only the last ACK may have to be sent again."""
    timers = tcp.timers
    ack_ns = timers.ack_ns
    finish(tcp, TcpEnd.CLOSED_HERE)
    tcp.state = TcpState.TIME_WAIT
    timers.ack_ns = ack_ns
    timers.linger_ns = now_ns + TIME_WAIT_NS


@compiled
def dispatch(tcp: Tcp, now_ns: int) -> bool:
    """Give the next frame to be sent, `tcp.output`, which counts as sent; False: none now.

    Call it only with room for a frame in the ring below, and copy the frame there with `copy_output`.
    """
    store = tcp.store
    send = tcp.send
    pending = tcp.pending
    tcp.output.slot = CONTROL
    run_timers(tcp, now_ns)
    if pending.reset_flags != 0:
        write_control(tcp, pending.reset_flags, pending.reset_sequence, pending.reset_acknowledgement, 0)
        pending.reset_flags = 0
        tcp.counters.resets += 1
        return True
    if pending.syn != 0:
        pending.syn = 0
        write_control(tcp, FLAG_SYN, send.base - 1, 0, tcp.settings.mss)
        tcp.timers.retransmit_ns = now_ns + tcp.round_trip.rto_ns
        return True
    if tcp.state <= TcpState.SYN_SENT:
        return False
    if pending.resend_first != 0:
        pending.resend_first = 0
        if store.begin != store.middle:
            send_slot(tcp, store.begin, now_ns)
            return True
    if may_send_next(tcp):
        send_slot(tcp, store.middle, now_ns)
        return True
    if send.fin_queued != 0 and send.fin_sent == 0 and store.middle == store.end:
        # A FIN is sent into a closed window too: it is the next byte, as a window probe would be.
        send.fin_sent = 1
        send.max = max(send.max, send.end + 1)
        start_timer(tcp, now_ns)
        send_control(tcp, FLAG_FIN | FLAG_ACK, send.end)
        return True
    if pending.probe != 0:
        # RFC 9293 3.8.4: a byte that was acknowledged long ago, without that byte: unacceptable, and so answered.
        pending.probe = 0
        send_control(tcp, FLAG_ACK, send.una - 1)
        return True
    if tcp.timers.ack_ns <= now_ns:
        tcp.counters.acks += 1
        send_control(tcp, FLAG_ACK, control_position(tcp))
        return True
    return False


@compiled
def send_control(tcp: Tcp, flags: int, position: int) -> None:
    """Send a segment without data at a position; it acknowledges all."""
    receive = tcp.receive
    write_control(tcp, flags, tcp.send.base + position, receive.base + receive.next, 0)
    note_acknowledged(tcp, receive.next)
    tcp.timers.ack_ns = NEVER_NS


@compiled
def send_slot(tcp: Tcp, index: int, now_ns: int) -> None:
    """Make a kept frame the output."""
    output = tcp.output
    slot = tcp.store.slots[index & SLOT_MASK]
    note_send(tcp, index, now_ns)
    output.slot = index & SLOT_MASK
    output.address = address_of(slot.data)
    output.length = slot.length


@compiled
def copy_output(tcp: Tcp, address: int) -> None:
    """Copy the frame that `dispatch` gave to `address`."""
    output = tcp.output
    copy_bytes(address, output.address, output.length)
    if output.slot != CONTROL:
        freshen(tcp, tcp.store.slots[output.slot], address)


@compiled
def run_timers(tcp: Tcp, now_ns: int) -> None:
    """Do what is due (RFC 9293 3.10.8). The delayed ACK's timer is looked at where it is sent."""
    timers = tcp.timers
    if tcp.state == TcpState.CLOSED:
        return
    if timers.retransmit_ns <= now_ns:
        if tcp.state == TcpState.SYN_SENT:
            time_out_syn(tcp)
        else:
            time_out(tcp, now_ns)
    if timers.tail_probe_ns <= now_ns:
        probe_tail(tcp)
    if timers.persist_ns <= now_ns:
        probe_window(tcp, now_ns)
    if timers.keepalive_ns <= now_ns:
        keep_alive(tcp, now_ns)
    if timers.linger_ns <= now_ns:
        finish(tcp, TcpEnd.CLOSED_HERE)


@compiled
def time_out_syn(tcp: Tcp) -> None:
    """Have the SYN sent again after 1, 2 and 4 s (RFC 6298 5.5), then give up, without a RST: nobody is there."""
    if tcp.recovery.retransmits >= SYN_RETRANSMITS_MAX:
        finish(tcp, TcpEnd.TIMEOUT)
        return
    tcp.recovery.retransmits += 1
    tcp.counters.syn_retransmits += 1
    tcp.round_trip.rto_ns *= 2
    tcp.timers.retransmit_ns = NEVER_NS
    tcp.pending.syn = 1


@compiled
def keep_alive(tcp: Tcp, now_ns: int) -> None:
    """Have a silent connection probed (RFC 9293 3.8.4); what is in flight has the retransmission timer."""
    timers = tcp.timers
    keepalive = tcp.keepalive
    idle_ns = tcp.settings.keepalive_idle_ns
    is_waiting = tcp.send.una != tcp.send.max or timers.persist_ns != NEVER_NS
    if keepalive.probes == 0 and (is_waiting or now_ns - keepalive.received_ns < idle_ns):
        timers.keepalive_ns = max(keepalive.received_ns, now_ns - idle_ns + NS_PER_S) + idle_ns
        return
    if keepalive.probes >= KEEPALIVE_PROBES_MAX:
        give_up(tcp, TcpEnd.KEEPALIVE)
        return
    keepalive.probes += 1
    tcp.pending.probe = 1
    tcp.counters.keepalive_probes += 1
    timers.keepalive_ns = now_ns + KEEPALIVE_INTERVAL_NS


@compiled
def next_timer_ns(tcp: Tcp) -> int:
    """When `dispatch` next has something to do, NEVER_NS for never; 0: at once."""
    pending = tcp.pending
    timers = tcp.timers
    if (
        pending.reset_flags != 0
        or pending.syn != 0
        or pending.resend_first != 0
        or pending.probe != 0
        or (tcp.state > TcpState.SYN_SENT and may_send_next(tcp))
        or (tcp.send.fin_queued != 0 and tcp.send.fin_sent == 0 and tcp.store.middle == tcp.store.end)
    ):
        return 0
    return min(
        timers.retransmit_ns,
        timers.tail_probe_ns,
        timers.persist_ns,
        timers.ack_ns,
        timers.keepalive_ns,
        timers.linger_ns,
    )
