"""The sending half: frames kept until they are acknowledged, what may be sent now, and what is done when one is lost.

RFC 5681 (congestion), RFC 6298 (timer), RFC 6582 (NewReno), RFC 8985 7 (tail loss probe), RFC 9293 3.8.6 (windows).
"""

from crosswire.nic.memory.raw import LINE_BYTES, prefetch_to_write
from crosswire.nic.memory.struct import address_of, clear_struct, size_of
from crosswire.nic.packet import FLAG_ACK, FLAG_FIN, FLAG_RST, TCP_FRAME_HEADER_BYTES
from crosswire.nic.rings.ring import NEVER_NS
from crosswire.nic.tcp.segment import acknowledges
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
    RoundTrip,
    Segment,
    Slot,
    Tcp,
    TcpEnd,
    TcpState,
    finish,
    has_sent_all,
    receive_edge,
)
from crosswire.nic.unit.compile import compiled, inlined, outlined

FETCHED_BYTES = 4 * LINE_BYTES  # of a slot: what it says of a frame, and an order with its headers


@compiled
def begin_sending(tcp: Tcp) -> None:
    """Begin with nothing kept, and nothing known of the path."""
    store = tcp.store
    store.begin = 0
    store.middle = 0
    store.end = 0
    clear_struct(tcp.send)
    tcp.send.una = -1  # the SYN
    tcp.send.limit = CANNOT_SEND
    clear_struct(tcp.round_trip)
    tcp.round_trip.rto_ns = RTO_FIRST_NS
    tcp.round_trip.tail_probe_delay_ns = tail_probe_delay_ns(tcp)
    clear_struct(tcp.recovery)
    clear_struct(tcp.congestion)
    clear_struct(tcp.pending)


@compiled
def open_windows(tcp: Tcp) -> None:
    """Allow ten segments at once (RFC 6928); more are never in flight."""
    congestion = tcp.congestion
    congestion.window = INITIAL_WINDOW_SEGMENTS * tcp.send.mss
    congestion.threshold = congestion.window


@compiled
def send_edge(tcp: Tcp) -> int:
    """The right edge of the peer's window, SND.WL2 + SND.WND: an old segment's window would not reach from SND.UNA."""
    return tcp.send.window_ack + tcp.send.window


@compiled
def set_limit(tcp: Tcp) -> None:
    """Set up to where the user may commit: RFC 9293 3.8.6, RFC 5681 3.1, and the state (RFC 9293 3.10.2)."""
    send = tcp.send
    if send.fin_queued == 0 and (tcp.state == TcpState.ESTABLISHED or tcp.state == TcpState.CLOSE_WAIT):
        send.limit = min(send.una + tcp.congestion.window, send_edge(tcp))
    else:
        send.limit = CANNOT_SEND


@inlined
def has_room(tcp: Tcp, length: int) -> bool:
    """Tell whether a frame of at most `length` bytes could be sent now; counted if not."""
    store = tcp.store
    send = tcp.send
    end = send.end + length - TCP_FRAME_HEADER_BYTES
    if end > send.limit or store.end - store.begin == SLOTS or length > send.mss + TCP_FRAME_HEADER_BYTES:
        count_refusal(tcp, length)
        return False
    return True


@outlined
def count_refusal(tcp: Tcp, length: int) -> None:
    """Count a refusal by the bound that was hit."""
    send = tcp.send
    counters = tcp.counters
    end = send.end + length - TCP_FRAME_HEADER_BYTES
    if send.limit == CANNOT_SEND:
        counters.refused_state += 1
    elif length > send.mss + TCP_FRAME_HEADER_BYTES:
        counters.refused_length += 1
    elif tcp.store.end - tcp.store.begin == SLOTS:
        counters.refused_slots += 1
    elif end > send_edge(tcp):
        counters.refused_window += 1
    else:
        counters.refused_congestion += 1


@inlined
def next_slot(tcp: Tcp) -> Slot:
    """Return the slot in which the next frame is kept."""
    return tcp.store.slots[tcp.store.end & SLOT_MASK]


@inlined
def fetch_behind(slot: Slot) -> None:
    """Have the lines of the slot behind at hand that a short frame, an order's, will be kept in.

    All slots are more than a first-level cache holds: each order of a burst waited for the second level (39 to 41 ns
    for 43). Behind the last one lies something else, which takes no harm.
    """
    for line in range(FETCHED_BYTES // LINE_BYTES):
        prefetch_to_write(address_of(slot) + size_of(Slot) + line * LINE_BYTES)


@inlined
def keep_slot(tcp: Tcp, slot: Slot, length: int, sends: int) -> int:
    """Enter the frame in that slot, stamped, as the last one committed; return the position behind it.

    `sends` is 1 if `note_first_send` follows.
    """
    send = tcp.send
    end = send.end + length - TCP_FRAME_HEADER_BYTES
    slot.end = end
    slot.length = length
    slot.acknowledged = tcp.receive.next
    slot.sends = sends
    send.end = end
    tcp.store.end += 1
    return end


@inlined
def note_first_send(tcp: Tcp, slot: Slot, end: int, edge: int, now_ns: int) -> None:
    """Note that the last committed frame, up to `end`, before which nothing waits, goes out for the first time.

    It says that all up to `edge` may be received.
    """
    timers = tcp.timers
    slot.sent_ns = now_ns
    tcp.store.middle += 1
    tcp.send.max = end
    tcp.counters.segments += 1
    note_all_acknowledged(tcp, edge)
    if timers.retransmit_ns == NEVER_NS:
        timers.retransmit_ns = now_ns + tcp.round_trip.rto_ns  # RFC 6298 5.1
        tcp.recovery.progress_ns = now_ns
    if tcp.recovery.tail_probed == 0:
        timers.tail_probe_ns = now_ns + tcp.round_trip.tail_probe_delay_ns


@inlined
def note_acknowledged(tcp: Tcp, position: int) -> None:
    """Note that a segment goes out that acknowledges all up to `position`: a delayed ACK is needless if that is all.

    Not while a gap is open: the peer counts no ACK that comes with data as a duplicate (RFC 5681 2), so a stream of
    orders would hide the loss from it, and only a segment without data tells of the runs (RFC 2018).
    """
    if position == tcp.receive.next:
        note_all_acknowledged(tcp, receive_edge(tcp))


@inlined
def note_all_acknowledged(tcp: Tcp, edge: int) -> None:
    """Note that a segment goes out that acknowledges all that was received in order, and advertises up to `edge`."""
    receive = tcp.receive
    if tcp.reassembly.run_count == 0:
        tcp.timers.ack_ns = NEVER_NS
    receive.acknowledged = receive.next
    receive.advertised = edge


@compiled
def tail_probe_delay_ns(tcp: Tcp) -> int:
    """How long to wait for an ACK before the tail is probed: two round trips (RFC 8985 7.2).

    Without the peer's delay of an ACK, which RFC 8985 adds for a lone segment: a lone order is what this is for, and
    one copy too many costs nothing.
    """
    return max(2 * tcp.round_trip.smoothed_ns, tcp.settings.tail_probe_floor_ns)


@compiled
def note_send(tcp: Tcp, index: int, now_ns: int) -> None:
    """Note that the slot of that number goes out, for the first time or again."""
    store = tcp.store
    slot = store.slots[index & SLOT_MASK]
    slot.sends += 1
    slot.sent_ns = now_ns
    if slot.sends == 1:
        tcp.counters.segments += 1
        tcp.counters.late += 1
    else:
        tcp.counters.retransmits += 1
    if index == store.middle:
        store.middle += 1
    tcp.send.max = max(tcp.send.max, slot.end)
    note_acknowledged(tcp, acknowledges(tcp, slot))
    start_timer(tcp, now_ns)
    if tcp.recovery.tail_probed == 0 and tcp.recovery.retransmits == 0:
        # In fast recovery too, which RFC 8985 7.2 leaves to RACK's own timer: without RACK nothing else would find a
        # lost fast retransmission before the retransmission timer does.
        tcp.timers.tail_probe_ns = now_ns + tcp.round_trip.tail_probe_delay_ns


@compiled
def start_timer(tcp: Tcp, now_ns: int) -> None:
    """Start the retransmission timer, unless it runs already: whenever something is sent (RFC 6298 5.1)."""
    if tcp.timers.retransmit_ns == NEVER_NS:
        tcp.timers.retransmit_ns = now_ns + tcp.round_trip.rto_ns
        tcp.recovery.progress_ns = now_ns


@compiled
def may_send_next(tcp: Tcp) -> bool:
    """Tell whether the first unsent slot, or after a timeout the first to be sent again, may go out now."""
    store = tcp.store
    if store.middle == store.end:
        return False
    if store.middle == store.begin:
        # What is first is sent even into a window that was taken back (RFC 9293 3.8.6.1): its ACK tells of the window.
        return tcp.send.window > 0 or store.slots[store.middle & SLOT_MASK].sends > 0
    end = store.slots[store.middle & SLOT_MASK].end
    return end <= min(tcp.send.una + tcp.congestion.window, send_edge(tcp))


@compiled
def take_ack(tcp: Tcp, segment: Segment, sequence: int, acknowledgement: int, now_ns: int) -> None:
    """Take an ACK (RFC 9293 3.10.7.4, ESTABLISHED); positions, `acknowledgement` not past `send.max`."""
    send = tcp.send
    if acknowledgement > send.una:
        advance(tcp, acknowledgement, now_ns)
    elif acknowledgement == send.una and is_duplicate(tcp, segment):
        take_duplicate_ack(tcp)
    # SND.WL1 and SND.WL2 keep an old segment from changing the window.
    if acknowledgement >= send.una and (
        send.window_sequence < sequence or (send.window_sequence == sequence and send.window_ack <= acknowledgement)
    ):
        set_send_window(tcp, segment.window, acknowledgement, now_ns)
        send.window_sequence = sequence
        send.window_ack = acknowledgement
    set_limit(tcp)


@compiled
def is_duplicate(tcp: Tcp, segment: Segment) -> bool:
    """Tell a duplicate ACK (RFC 5681 2): data outstanding; no data, no FIN, nothing acknowledged, the same window."""
    return (
        tcp.store.begin != tcp.store.middle
        and segment.payload_length == 0
        and segment.flags & FLAG_FIN == 0
        and segment.window == tcp.send.window
    )


@compiled
def set_send_window(tcp: Tcp, window: int, acknowledgement: int, now_ns: int) -> None:
    """Set the peer's window; the persist timer runs while it has no room for a segment (RFC 9293 3.8.6.1).

    Whether anything waits for room is not asked: what was refused is not known here, and an update can be lost.
    """
    send = tcp.send
    timers = tcp.timers
    if acknowledgement + window < send_edge(tcp):
        tcp.counters.window_shrunk += 1
    send.window = window
    send.window_max = max(send.window_max, window)
    if window >= send.mss:
        timers.persist_ns = NEVER_NS
        return
    # A peer that answers is alive, however long its window stays closed (RFC 9293 3.8.6.1).
    tcp.recovery.progress_ns = now_ns
    if timers.persist_ns == NEVER_NS:
        timers.persist_interval_ns = tcp.round_trip.rto_ns
        timers.persist_ns = now_ns + timers.persist_interval_ns


@compiled
def advance(tcp: Tcp, acknowledgement: int, now_ns: int) -> None:
    """Move SND.UNA: free acknowledged frames, measure, restart the timer (RFC 6298 5.2, 5.3)."""
    send = tcp.send
    recovery = tcp.recovery
    timers = tcp.timers
    acked = acknowledgement - send.una
    recovery.newly_acknowledged = acked
    send.una = acknowledgement
    free_acknowledged(tcp, acknowledgement, now_ns)
    recovery.duplicate_acks = 0
    recovery.retransmits = 0
    recovery.tail_probed = 0
    recovery.progress_ns = now_ns
    grow(tcp, acked)
    # No longer backed off: the path is alive. RFC 6298 5 allows to wait for a sample, as Linux does without timestamps,
    # but Karn's rule gives none of a segment sent twice: where many are lost, seconds would be added to each loss.
    tcp.round_trip.rto_ns = measured_rto_ns(tcp.round_trip)
    if send.una == send.max:
        timers.retransmit_ns = NEVER_NS
        timers.tail_probe_ns = NEVER_NS
    else:
        timers.retransmit_ns = now_ns + tcp.round_trip.rto_ns
        timers.tail_probe_ns = now_ns + tcp.round_trip.tail_probe_delay_ns


@compiled
def free_acknowledged(tcp: Tcp, acknowledgement: int, now_ns: int) -> None:
    """Free frames all of whose bytes are acknowledged. Karn: no sample if one of them went out twice (RFC 6298 3)."""
    store = tcp.store
    sampled = 0
    twice = 0
    while store.begin != store.end:
        slot = store.slots[store.begin & SLOT_MASK]
        if slot.end > acknowledgement:
            break
        if slot.sends == 1:
            sampled = slot.sent_ns
        else:
            twice = 1
        store.begin += 1
    store.middle = max(store.middle, store.begin)
    if store.begin == store.middle:
        tcp.pending.resend_first = 0
    if sampled != 0 and twice == 0:
        take_sample(tcp, now_ns - sampled)


@compiled
def take_sample(tcp: Tcp, rtt_ns: int) -> None:
    """Take a round trip into the estimate: RFC 6298 2.2 and 2.3, alpha 1/8, beta 1/4."""
    round_trip = tcp.round_trip
    rtt_ns = max(rtt_ns, 1)
    if round_trip.smoothed_ns == 0:
        round_trip.smoothed_ns = rtt_ns
        round_trip.variance_ns = rtt_ns >> 1
    else:
        error = abs(round_trip.smoothed_ns - rtt_ns)
        round_trip.variance_ns += (error - round_trip.variance_ns) >> 2
        round_trip.smoothed_ns += (rtt_ns - round_trip.smoothed_ns) >> 3
    round_trip.tail_probe_delay_ns = tail_probe_delay_ns(tcp)


@compiled
def measured_rto_ns(round_trip: RoundTrip) -> int:
    """The timeout that the samples give, within bounds (RFC 6298 2)."""
    if round_trip.smoothed_ns == 0:
        return RTO_FIRST_NS
    rto_ns = round_trip.smoothed_ns + max(CLOCK_GRANULARITY_NS, 4 * round_trip.variance_ns)
    return min(max(rto_ns, RTO_MIN_NS), RTO_MAX_NS)


@compiled
def grow(tcp: Tcp, acked: int) -> None:
    """Grow the window, or go on recovering.

    RFC 6582 3.2 in recovery, else RFC 5681 3.1: slow start, or one segment for a window's worth of ACKs.
    """
    send = tcp.send
    recovery = tcp.recovery
    congestion = tcp.congestion
    if recovery.is_fast != 0:
        if send.una >= recovery.recover:
            recovery.is_fast = 0
            congestion.window = congestion.threshold
        elif tcp.store.begin != tcp.store.middle:
            tcp.pending.resend_first = 1  # a partial ACK: the next hole
        return
    most = INITIAL_WINDOW_SEGMENTS * send.mss
    if congestion.window < congestion.threshold:
        congestion.window = min(congestion.window + min(acked, send.mss), most)
        return
    congestion.grown += acked
    if congestion.grown >= congestion.window:
        congestion.grown = 0
        congestion.window = min(congestion.window + send.mss, most)


@compiled
def lower_threshold(tcp: Tcp) -> None:
    """Lower the threshold of slow start (RFC 5681, equation 4)."""
    send = tcp.send
    tcp.congestion.threshold = max((send.max - send.una) >> 1, 2 * send.mss)
    tcp.congestion.grown = 0


@compiled
def take_duplicate_ack(tcp: Tcp) -> None:
    """Count a duplicate ACK (RFC 5681 3.2, RFC 6582 3.2). The count stops where it has acted, so it can't overflow."""
    recovery = tcp.recovery
    congestion = tcp.congestion
    tcp.counters.duplicate_acks += 1
    if recovery.duplicate_acks >= DUPLICATE_ACKS or recovery.is_fast != 0:
        return
    recovery.duplicate_acks += 1
    if recovery.duplicate_acks < duplicates_needed(tcp) or not tells_of_loss(tcp):
        return
    lower_threshold(tcp)
    # After a timeout the window may already be the smaller one.
    congestion.window = min(congestion.window, congestion.threshold)
    recovery.recover = tcp.send.max
    recovery.is_fast = 1
    tcp.pending.resend_first = 1
    tcp.timers.tail_probe_ns = NEVER_NS
    tcp.counters.fast_retransmits += 1


@compiled
def duplicates_needed(tcp: Tcp) -> int:
    """How many duplicate ACKs tell of a loss: where fewer than four segments are out, one for each behind the first.

    Early retransmit, RFC 5827 3.2: three orders that leave together never bring three duplicates, and the next order
    or the probe may be milliseconds away. Not while more may be sent, which would bring them (3.1, condition 2).
    """
    outstanding = tcp.store.middle - tcp.store.begin
    if 2 <= outstanding <= DUPLICATE_ACKS and not may_send_next(tcp):
        return outstanding - 1
    return DUPLICATE_ACKS


@compiled
def tells_of_loss(tcp: Tcp) -> bool:
    """Tell whether the third duplicate ACK is not merely of copies that the peer had already (RFC 6582 3.2 step 1).

    While what a timeout sent again is being acknowledged, by RFC 6582 4.1: copies that were not needed would have let
    the ACK before jump far ahead. Without this each further loss among them would wait for the timer.
    """
    send = tcp.send
    if send.una >= tcp.recovery.recover:
        return True
    return tcp.congestion.window > send.mss and tcp.recovery.newly_acknowledged <= ACK_JUMP_SEGMENTS * send.mss


@compiled
def time_out(tcp: Tcp, now_ns: int) -> None:
    """Take all that is in flight for lost, and send it again bit by bit (RFC 6298 5.4 to 5.6, RFC 5681 3.1)."""
    send = tcp.send
    round_trip = tcp.round_trip
    recovery = tcp.recovery
    timers = tcp.timers
    if recovery.retransmits >= RETRANSMITS_MAX or now_ns - recovery.progress_ns >= tcp.settings.user_timeout_ns:
        give_up(tcp, TcpEnd.TIMEOUT)
        return
    if recovery.retransmits == 0:
        lower_threshold(tcp)
    tcp.counters.timeouts += 1
    # Into a closed window none is the last: a peer that answers is alive, however long (RFC 9293 3.8.6.1).
    if send.window != 0 or recovery.retransmits < RETRANSMITS_MAX - 1:
        recovery.retransmits += 1
    tcp.congestion.window = send.mss
    recovery.recover = send.max
    recovery.is_fast = 0
    recovery.duplicate_acks = 0
    tcp.pending.resend_first = 0
    tcp.store.middle = tcp.store.begin
    if send.fin_sent != 0 and not has_sent_all(tcp):
        send.fin_sent = 0
    timers.tail_probe_ns = NEVER_NS
    round_trip.rto_ns = min(2 * round_trip.rto_ns, RTO_MAX_NS)
    timers.retransmit_ns = now_ns + round_trip.rto_ns
    set_limit(tcp)


@compiled
def give_up(tcp: Tcp, end: int) -> None:
    """Close on a peer that does not answer, with a RST in case it is only the way back that is broken."""
    queue_reset(tcp)
    finish(tcp, end)


@compiled
def queue_reset(tcp: Tcp) -> None:
    """Queue a RST (RFC 9293 3.10.5): <SEQ=SND.NXT><CTL=RST>, with the ACK that every segment but the first carries."""
    pending = tcp.pending
    pending.reset_flags = FLAG_RST | FLAG_ACK
    pending.reset_sequence = tcp.send.base + control_position(tcp)
    pending.reset_acknowledgement = tcp.receive.base + tcp.receive.next


@compiled
def probe_tail(tcp: Tcp) -> None:
    """Probe for a lost tail (RFC 8985 7.3), once until something is acknowledged.

    Of the first unacknowledged segment, not the last: without SACK an ACK of the last would not tell what is missing.
    """
    tcp.timers.tail_probe_ns = NEVER_NS
    if tcp.store.begin != tcp.store.middle:
        tcp.recovery.tail_probed = 1
        tcp.pending.resend_first = 1
        tcp.counters.tail_probes += 1


@compiled
def probe_window(tcp: Tcp, now_ns: int) -> None:
    """Probe a closed window (RFC 9293 3.8.6.1), at intervals that double; give up on a peer that answers nothing."""
    timers = tcp.timers
    if now_ns - tcp.keepalive.received_ns >= tcp.settings.user_timeout_ns:
        give_up(tcp, TcpEnd.TIMEOUT)
        return
    tcp.pending.probe = 1
    tcp.counters.window_probes += 1
    timers.persist_interval_ns = min(2 * timers.persist_interval_ns, PERSIST_MAX_NS)
    timers.persist_ns = now_ns + timers.persist_interval_ns


@compiled
def control_position(tcp: Tcp) -> int:
    """The position of a segment without data: SND.NXT, or the window's right edge where the peer took window back."""
    return min(tcp.send.max, max(send_edge(tcp), tcp.send.una))
