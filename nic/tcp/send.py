"""The sending half: frames kept until they are acknowledged, what may be sent now, and what is done when one is lost.

RFC 5681 (congestion), RFC 6298 (timer), RFC 6582 (NewReno), RFC 8985 7 (tail loss probe), RFC 9293 3.8.6 (windows).
"""

from crosswire.nic.memory.raw import prefetch
from crosswire.nic.memory.struct import address_of
from crosswire.nic.packet import FLAG_ACK, FLAG_FIN, FLAG_RST, TCP_FRAME_HEADER_BYTES
from crosswire.nic.rings.ring import NEVER_NS
from crosswire.nic.tcp.segment import acknowledges, stamp, window_now
from crosswire.nic.tcp.state import (
    ACK_JUMP_SEGMENTS,
    CANNOT_SEND,
    CLOCK_GRANULARITY_NS,
    DUPLICATE_ACKS,
    INITIAL_WINDOW_SEGMENTS,
    PERSIST_MAX_NS,
    RETRANSMITS_MAX,
    RTO_FIRST_NS,
    RTO_MAX_NS,
    RTO_MIN_NS,
    SLOT_MASK,
    SLOTS,
    Segment,
    Slot,
    Tcp,
    TcpEnd,
    TcpState,
    finish,
    has_sent_all,
)
from crosswire.nic.unit.compile import compiled, inlined


@compiled
def begin_sending(tcp: Tcp) -> None:
    """Nothing is kept, nothing known of the path. `mss` is the peer's, and bounded by ours."""
    tcp.slots_begin = 0
    tcp.slots_middle = 0
    tcp.slots_end = 0
    tcp.send_una = -1  # the SYN
    tcp.send_max = 0
    tcp.send_end = 0
    tcp.send_limit = CANNOT_SEND
    tcp.send_window = 0
    tcp.send_window_max = 0
    tcp.window_ack = 0
    tcp.fin_queued = 0
    tcp.fin_sent = 0
    tcp.smoothed_rtt_ns = 0
    tcp.rtt_variance_ns = 0
    tcp.rto_ns = RTO_FIRST_NS
    tcp.retransmits = 0
    tcp.duplicate_acks = 0
    tcp.recovering = 0
    tcp.recover = 0
    tcp.newly_acknowledged = 0
    tcp.tail_probed = 0
    tcp.grown = 0
    tcp.resend_first = 0
    tcp.probe_pending = 0
    tcp.reset_flags = 0


@compiled
def open_windows(tcp: Tcp) -> None:
    """RFC 6928: ten segments at once; more are never in flight."""
    tcp.congestion_window = INITIAL_WINDOW_SEGMENTS * tcp.mss
    tcp.slow_start_threshold = tcp.congestion_window


@compiled
def send_edge(tcp: Tcp) -> int:
    """The right edge of the peer's window, SND.WL2 + SND.WND: an old segment's window would not reach from SND.UNA."""
    return tcp.window_ack + tcp.send_window


@compiled
def set_limit(tcp: Tcp) -> None:
    """Up to where the user may commit: RFC 9293 3.8.6, RFC 5681 3.1, and the state (RFC 9293 3.10.2)."""
    if tcp.fin_queued == 0 and (tcp.state == TcpState.ESTABLISHED or tcp.state == TcpState.CLOSE_WAIT):
        tcp.send_limit = min(tcp.send_una + tcp.congestion_window, send_edge(tcp))
    else:
        tcp.send_limit = CANNOT_SEND


@inlined
def reserve_slot(tcp: Tcp, length: int) -> int:
    """Where a frame of at most `length` bytes may be written; 0, and a counter, if it could not be sent now."""
    end = tcp.send_end + length - TCP_FRAME_HEADER_BYTES
    if end > tcp.send_limit or tcp.slots_end - tcp.slots_begin == SLOTS or length > tcp.mss + TCP_FRAME_HEADER_BYTES:
        count_refusal(tcp, length)
        return 0
    return address_of(tcp.slots[tcp.slots_end & SLOT_MASK].data)


@compiled
def count_refusal(tcp: Tcp, length: int) -> None:
    """By the bound that was hit."""
    counters = tcp.counters
    end = tcp.send_end + length - TCP_FRAME_HEADER_BYTES
    if tcp.send_limit == CANNOT_SEND:
        counters.refused_state += 1
    elif length > tcp.mss + TCP_FRAME_HEADER_BYTES:
        counters.refused_length += 1
    elif tcp.slots_end - tcp.slots_begin == SLOTS:
        counters.refused_slots += 1
    elif end > send_edge(tcp):
        counters.refused_window += 1
    else:
        counters.refused_congestion += 1


@inlined
def commit_slot(tcp: Tcp, length: int) -> Slot:
    """Stamp the frame in the reserved slot. It is kept from here on; `send_slot` says that it went out."""
    slot = tcp.slots[tcp.slots_end & SLOT_MASK]
    window = window_now(tcp)
    stamp(tcp, slot, length, window)
    slot.position = tcp.send_end
    slot.end = tcp.send_end + length - TCP_FRAME_HEADER_BYTES
    slot.length = length
    slot.acknowledged = tcp.receive_next
    slot.sends = 0
    tcp.send_end = slot.end
    tcp.slots_end += 1
    prefetch(address_of(tcp.slots[tcp.slots_end & SLOT_MASK].data))
    return slot


@inlined
def note_first_send(tcp: Tcp, slot: Slot, now_ns: int) -> None:
    """The last committed frame, before which nothing waits, goes out for the first time."""
    slot.sent_ns = now_ns
    slot.sends = 1
    tcp.slots_middle += 1
    tcp.send_max = slot.end
    tcp.counters.segments += 1
    note_acknowledged(tcp, slot.acknowledged)
    if tcp.retransmit_ns == NEVER_NS:
        tcp.retransmit_ns = now_ns + tcp.rto_ns  # RFC 6298 5.1
        tcp.progress_ns = now_ns
    if tcp.tail_probed == 0:
        tcp.tail_probe_ns = now_ns + tail_probe_delay_ns(tcp)


@inlined
def note_acknowledged(tcp: Tcp, position: int) -> None:
    """A segment that acknowledges all up to `position` goes out: a delayed ACK has become needless if that is all.

    Not while a gap is open: the peer counts no ACK that comes with data as a duplicate (RFC 5681 2), so a stream of
    orders would hide the loss from it, and only a segment without data tells of the runs (RFC 2018).
    """
    if position == tcp.receive_next:
        if tcp.run_count == 0:
            tcp.ack_ns = NEVER_NS
        tcp.acknowledged = position
        tcp.advertised = position + window_now(tcp)


@inlined
def tail_probe_delay_ns(tcp: Tcp) -> int:
    """RFC 8985 7.2: two round trips. Without the peer's delay of an ACK, which RFC 8985 adds for a lone segment: a lone
    order is what this is for, and one copy too many costs nothing.
    """
    return max(2 * tcp.smoothed_rtt_ns, tcp.tail_probe_floor_ns)


@compiled
def note_send(tcp: Tcp, index: int, now_ns: int) -> None:
    """The slot of that number goes out, for the first time or again."""
    slot = tcp.slots[index & SLOT_MASK]
    slot.sends += 1
    slot.sent_ns = now_ns
    if slot.sends == 1:
        tcp.counters.segments += 1
        tcp.counters.late += 1
    else:
        tcp.counters.retransmits += 1
    if index == tcp.slots_middle:
        tcp.slots_middle += 1
    tcp.send_max = max(tcp.send_max, slot.end)
    note_acknowledged(tcp, acknowledges(tcp, slot))
    start_timer(tcp, now_ns)
    if tcp.tail_probed == 0 and tcp.retransmits == 0:
        # In fast recovery too, which RFC 8985 7.2 leaves to RACK's own timer: without RACK nothing else would find a
        # lost fast retransmission before the retransmission timer does.
        tcp.tail_probe_ns = now_ns + tail_probe_delay_ns(tcp)


@compiled
def start_timer(tcp: Tcp, now_ns: int) -> None:
    """RFC 6298 5.1: whenever something is sent, unless it runs already."""
    if tcp.retransmit_ns == NEVER_NS:
        tcp.retransmit_ns = now_ns + tcp.rto_ns
        tcp.progress_ns = now_ns


@compiled
def may_send_next(tcp: Tcp) -> bool:
    """Whether the first unsent slot, or after a timeout the first one to be sent again, may go out now."""
    if tcp.slots_middle == tcp.slots_end:
        return False
    if tcp.slots_middle == tcp.slots_begin:
        # What is first is sent even into a window that was taken back (RFC 9293 3.8.6.1): its ACK tells of the window.
        return tcp.send_window > 0 or tcp.slots[tcp.slots_middle & SLOT_MASK].sends > 0
    end = tcp.slots[tcp.slots_middle & SLOT_MASK].end
    return end <= min(tcp.send_una + tcp.congestion_window, send_edge(tcp))


@compiled
def take_ack(tcp: Tcp, segment: Segment, sequence: int, acknowledgement: int, now_ns: int) -> None:
    """RFC 9293 3.10.7.4, ESTABLISHED's ACK processing; positions, `acknowledgement` not past `send_max`."""
    if acknowledgement > tcp.send_una:
        advance(tcp, acknowledgement, now_ns)
    elif acknowledgement == tcp.send_una and is_duplicate(tcp, segment):
        take_duplicate_ack(tcp)
    # SND.WL1 and SND.WL2 keep an old segment from changing the window.
    if acknowledgement >= tcp.send_una and (
        tcp.window_sequence < sequence or (tcp.window_sequence == sequence and tcp.window_ack <= acknowledgement)
    ):
        set_send_window(tcp, segment.window, acknowledgement, now_ns)
        tcp.window_sequence = sequence
        tcp.window_ack = acknowledgement
    set_limit(tcp)


@compiled
def is_duplicate(tcp: Tcp, segment: Segment) -> bool:
    """RFC 5681 2: data outstanding, no data in it, no FIN, nothing acknowledged, the same window."""
    return (
        tcp.slots_begin != tcp.slots_middle
        and segment.payload_length == 0
        and segment.flags & FLAG_FIN == 0
        and segment.window == tcp.send_window
    )


@compiled
def set_send_window(tcp: Tcp, window: int, acknowledgement: int, now_ns: int) -> None:
    """The peer's window; the persist timer runs while it has no room for a segment (RFC 9293 3.8.6.1).

    Whether anything waits for room is not asked: what was refused is not known here, and an update can be lost.
    """
    if acknowledgement + window < send_edge(tcp):
        tcp.counters.window_shrunk += 1
    tcp.send_window = window
    tcp.send_window_max = max(tcp.send_window_max, window)
    if window >= tcp.mss:
        tcp.persist_ns = NEVER_NS
        return
    # A peer that answers is alive, however long its window stays closed (RFC 9293 3.8.6.1).
    tcp.progress_ns = now_ns
    if tcp.persist_ns == NEVER_NS:
        tcp.persist_interval_ns = tcp.rto_ns
        tcp.persist_ns = now_ns + tcp.persist_interval_ns


@compiled
def advance(tcp: Tcp, acknowledgement: int, now_ns: int) -> None:
    """Something new is acknowledged: free its frames, measure, restart the timer (RFC 6298 5.2, 5.3)."""
    acked = acknowledgement - tcp.send_una
    tcp.newly_acknowledged = acked
    tcp.send_una = acknowledgement
    free_acknowledged(tcp, acknowledgement, now_ns)
    tcp.duplicate_acks = 0
    tcp.retransmits = 0
    tcp.tail_probed = 0
    tcp.progress_ns = now_ns
    grow(tcp, acked)
    # No longer backed off: the path is alive. RFC 6298 5 allows to wait for a sample, as Linux does without timestamps,
    # but Karn's rule gives none of a segment sent twice: where many are lost, seconds would be added to each loss.
    tcp.rto_ns = measured_rto_ns(tcp)
    if tcp.send_una == tcp.send_max:
        tcp.retransmit_ns = NEVER_NS
        tcp.tail_probe_ns = NEVER_NS
    else:
        tcp.retransmit_ns = now_ns + tcp.rto_ns
        tcp.tail_probe_ns = now_ns + tail_probe_delay_ns(tcp)


@compiled
def free_acknowledged(tcp: Tcp, acknowledgement: int, now_ns: int) -> None:
    """Frames all of whose bytes are acknowledged. Karn: no sample where any of them went out twice (RFC 6298 3)."""
    sampled = 0
    twice = 0
    while tcp.slots_begin != tcp.slots_end:
        slot = tcp.slots[tcp.slots_begin & SLOT_MASK]
        if slot.end > acknowledgement:
            break
        if slot.sends == 1:
            sampled = slot.sent_ns
        else:
            twice = 1
        tcp.slots_begin += 1
    tcp.slots_middle = max(tcp.slots_middle, tcp.slots_begin)
    if tcp.slots_begin == tcp.slots_middle:
        tcp.resend_first = 0
    if sampled != 0 and twice == 0:
        take_sample(tcp, now_ns - sampled)


@compiled
def take_sample(tcp: Tcp, rtt_ns: int) -> None:
    """RFC 6298 2.2 and 2.3, alpha 1/8, beta 1/4."""
    rtt_ns = max(rtt_ns, 1)
    if tcp.smoothed_rtt_ns == 0:
        tcp.smoothed_rtt_ns = rtt_ns
        tcp.rtt_variance_ns = rtt_ns >> 1
    else:
        error = abs(tcp.smoothed_rtt_ns - rtt_ns)
        tcp.rtt_variance_ns += (error - tcp.rtt_variance_ns) >> 2
        tcp.smoothed_rtt_ns += (rtt_ns - tcp.smoothed_rtt_ns) >> 3


@compiled
def measured_rto_ns(tcp: Tcp) -> int:
    """RFC 6298 2: from the samples, within bounds."""
    if tcp.smoothed_rtt_ns == 0:
        return RTO_FIRST_NS
    rto_ns = tcp.smoothed_rtt_ns + max(CLOCK_GRANULARITY_NS, 4 * tcp.rtt_variance_ns)
    return min(max(rto_ns, RTO_MIN_NS), RTO_MAX_NS)


@compiled
def grow(tcp: Tcp, acked: int) -> None:
    """RFC 6582 3.2 while recovering, else RFC 5681 3.1: slow start, or one segment for a window's worth of ACKs."""
    if tcp.recovering != 0:
        if tcp.send_una >= tcp.recover:
            tcp.recovering = 0
            tcp.congestion_window = tcp.slow_start_threshold
        elif tcp.slots_begin != tcp.slots_middle:
            tcp.resend_first = 1  # a partial ACK: the next hole
        return
    most = INITIAL_WINDOW_SEGMENTS * tcp.mss
    if tcp.congestion_window < tcp.slow_start_threshold:
        tcp.congestion_window = min(tcp.congestion_window + min(acked, tcp.mss), most)
        return
    tcp.grown += acked
    if tcp.grown >= tcp.congestion_window:
        tcp.grown = 0
        tcp.congestion_window = min(tcp.congestion_window + tcp.mss, most)


@compiled
def lower_threshold(tcp: Tcp) -> None:
    """RFC 5681 equation 4."""
    tcp.slow_start_threshold = max((tcp.send_max - tcp.send_una) >> 1, 2 * tcp.mss)
    tcp.grown = 0


@compiled
def take_duplicate_ack(tcp: Tcp) -> None:
    """RFC 5681 3.2, RFC 6582 3.2. The count stops where it has acted, so it can't overflow."""
    tcp.counters.duplicate_acks += 1
    if tcp.duplicate_acks >= DUPLICATE_ACKS or tcp.recovering != 0:
        return
    tcp.duplicate_acks += 1
    if tcp.duplicate_acks < DUPLICATE_ACKS or not tells_of_loss(tcp):
        return
    lower_threshold(tcp)
    # After a timeout the window may already be the smaller one.
    tcp.congestion_window = min(tcp.congestion_window, tcp.slow_start_threshold)
    tcp.recover = tcp.send_max
    tcp.recovering = 1
    tcp.resend_first = 1
    tcp.tail_probe_ns = NEVER_NS
    tcp.counters.fast_retransmits += 1


@compiled
def tells_of_loss(tcp: Tcp) -> bool:
    """Whether the third duplicate ACK is not merely of copies that the peer had already (RFC 6582 3.2 step 1).

    While what a timeout sent again is being acknowledged, by RFC 6582 4.1: copies that were not needed would have let
    the ACK before jump far ahead. Without this each further loss among them would wait for the timer.
    """
    if tcp.send_una >= tcp.recover:
        return True
    return tcp.congestion_window > tcp.mss and tcp.newly_acknowledged <= ACK_JUMP_SEGMENTS * tcp.mss


@compiled
def time_out(tcp: Tcp, now_ns: int) -> None:
    """RFC 6298 5.4 to 5.6, RFC 5681 3.1: all that is in flight counts as lost, and goes out again bit by bit."""
    if tcp.retransmits >= RETRANSMITS_MAX or now_ns - tcp.progress_ns >= tcp.user_timeout_ns:
        tcp.retransmit_ns = NEVER_NS
        give_up(tcp, TcpEnd.TIMEOUT)
        return
    if tcp.retransmits == 0:
        lower_threshold(tcp)
    tcp.counters.timeouts += 1
    tcp.retransmits += 1
    tcp.congestion_window = tcp.mss
    tcp.recover = tcp.send_max
    tcp.recovering = 0
    tcp.duplicate_acks = 0
    tcp.resend_first = 0
    tcp.slots_middle = tcp.slots_begin
    if tcp.fin_sent != 0 and not has_sent_all(tcp):
        tcp.fin_sent = 0
    tcp.tail_probe_ns = NEVER_NS
    tcp.rto_ns = min(2 * tcp.rto_ns, RTO_MAX_NS)
    tcp.retransmit_ns = now_ns + tcp.rto_ns
    set_limit(tcp)


@compiled
def give_up(tcp: Tcp, end: int) -> None:
    """The peer does not answer: to CLOSED, with a RST in case it is only the way back that is broken."""
    queue_reset(tcp)
    finish(tcp, end)


@compiled
def queue_reset(tcp: Tcp) -> None:
    """RFC 9293 3.10.5: <SEQ=SND.NXT><CTL=RST>, with the ACK that every segment but the first carries."""
    tcp.reset_flags = FLAG_RST | FLAG_ACK
    tcp.reset_sequence = tcp.send_base + control_position(tcp)
    tcp.reset_acknowledgement = tcp.receive_base + tcp.receive_next


@compiled
def probe_tail(tcp: Tcp) -> None:
    """RFC 8985 7.3, once until something is acknowledged.

    Of the first unacknowledged segment, not the last: without SACK an ACK of the last would not tell what is missing.
    """
    tcp.tail_probe_ns = NEVER_NS
    if tcp.slots_begin != tcp.slots_middle:
        tcp.tail_probed = 1
        tcp.resend_first = 1
        tcp.counters.tail_probes += 1


@compiled
def probe_window(tcp: Tcp, now_ns: int) -> None:
    """RFC 9293 3.8.6.1: at intervals that double."""
    tcp.probe_pending = 1
    tcp.counters.window_probes += 1
    tcp.persist_interval_ns = min(2 * tcp.persist_interval_ns, PERSIST_MAX_NS)
    tcp.persist_ns = now_ns + tcp.persist_interval_ns


@compiled
def control_position(tcp: Tcp) -> int:
    """Where a segment without data stands: SND.NXT, or the window's right edge where the peer took window back."""
    return min(tcp.send_max, max(send_edge(tcp), tcp.send_una))
