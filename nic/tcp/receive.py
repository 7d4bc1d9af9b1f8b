"""The receiving half: which segments are acceptable, what of them is new, what is kept until a gap fills."""

from crosswire.nic.memory.raw import copy_bytes
from crosswire.nic.memory.struct import address_of
from crosswire.nic.packet import FLAG_FIN, FLAG_SYN
from crosswire.nic.rings.ring import NEVER_NS
from crosswire.nic.tcp.segment import difference
from crosswire.nic.tcp.state import (
    ACK_DELAY_NS,
    CHALLENGE_INTERVAL_NS,
    EMPTY_ANSWER_INTERVAL_NS,
    RECEIVE_BUFFER_BYTES,
    RECEIVE_BUFFER_MASK,
    RUNS_MAX,
    SECOND_ACK_DELAY_NS,
    Segment,
    Tcp,
    buffered_bytes,
    receive_edge,
)
from crosswire.nic.unit.compile import compiled


@compiled
def begin_receiving(tcp: Tcp, sequence: int) -> None:
    """`sequence` is that of the peer's SYN (IRS), 32-bit."""
    tcp.receive_base = sequence + 1
    tcp.receive_next = 0
    tcp.delivered = 0
    tcp.fin_position = NEVER_NS
    tcp.fin_received = 0
    tcp.acknowledged = 0
    tcp.advertised = receive_edge(tcp)
    tcp.run_count = 0
    tcp.run_latest = 0


@compiled
def position_of(tcp: Tcp, segment: Segment) -> int:
    """The position of a segment's first byte."""
    return tcp.receive_next + difference(segment.sequence, tcp.receive_base + tcp.receive_next)


@compiled
def is_acceptable(tcp: Tcp, segment: Segment, position: int) -> bool:
    """RFC 9293 3.10.7.4, first check: the table of four cases."""
    length = segment.payload_length
    if segment.flags & FLAG_SYN:
        length += 1
    if segment.flags & FLAG_FIN:
        length += 1
    edge = receive_edge(tcp)
    window = edge - tcp.receive_next
    if length == 0:
        return position == tcp.receive_next or (window > 0 and tcp.receive_next <= position < edge)
    if window <= 0:
        return False
    last = position + length - 1
    return tcp.receive_next <= position < edge or tcp.receive_next <= last < edge


@compiled
def answer_unacceptable(tcp: Tcp, segment: Segment, now_ns: int) -> None:
    """Acknowledge at once, so that the peer learns where we are: its copies, keep-alives and window probes.

    Answers to segments without data keep an interval: two ends that disagree would answer each other for ever.
    """
    tcp.counters.unacceptable += 1
    if segment.payload_length == 0 and segment.flags & (FLAG_SYN | FLAG_FIN) == 0:
        if now_ns - tcp.answered_ns < EMPTY_ANSWER_INTERVAL_NS:
            tcp.counters.answers_suppressed += 1
            return
        tcp.answered_ns = now_ns
    tcp.ack_ns = 0


@compiled
def challenge(tcp: Tcp, now_ns: int) -> None:
    """RFC 5961 3, 4 and 5: an ACK, at most one each second (7)."""
    if now_ns - tcp.challenged_ns < CHALLENGE_INTERVAL_NS:
        tcp.counters.answers_suppressed += 1
        return
    tcp.challenged_ns = now_ns
    tcp.counters.challenge_acks += 1
    tcp.ack_ns = 0


@compiled
def take_data(tcp: Tcp, segment: Segment, position: int, now_ns: int) -> None:
    """RFC 9293 3.10.7.4, seventh and eighth: the segment's text and FIN, of an acceptable segment.

    What comes in its turn is the result, where it lies; the rest is copied to the buffer.
    """
    begin = position
    end = position + segment.payload_length
    if segment.flags & FLAG_FIN and tcp.fin_position == NEVER_NS and end >= tcp.receive_next:
        if end < receive_edge(tcp) and (tcp.run_count == 0 or tcp.runs[tcp.run_count - 1].end <= end):
            tcp.fin_position = end
    address = segment.payload_address
    if begin < tcp.receive_next:
        # Its beginning came before.
        tcp.counters.trimmed += 1
        address += tcp.receive_next - begin
        begin = tcp.receive_next
        tcp.ack_ns = 0
    last = min(receive_edge(tcp), tcp.fin_position)
    if end > last:
        if end > tcp.fin_position:
            tcp.counters.after_fin += 1
        end = last
        tcp.ack_ns = 0
    if end > begin:
        if begin == tcp.receive_next and buffered_bytes(tcp) == 0:
            take_in_place(tcp, address, end - begin, now_ns)
        else:
            keep_segment(tcp, begin, end, address)
            tcp.ack_ns = 0  # RFC 5681 4.2: at once, so that the peer sees the gap
    elif begin > tcp.receive_next:
        tcp.ack_ns = 0  # a FIN behind a gap
    if tcp.receive_next == tcp.fin_position and tcp.fin_received == 0:
        tcp.receive_next += 1
        tcp.fin_received = 1
        tcp.ack_ns = 0


@compiled
def take_in_place(tcp: Tcp, address: int, length: int, now_ns: int) -> None:
    """The next bytes, to be read where they are; with them the gap before kept ones may have filled."""
    tcp.payload_address = address
    tcp.payload_length = length
    tcp.payload_position = tcp.receive_next
    tcp.receive_next += length
    tcp.delivered = tcp.receive_next
    if tcp.run_count != 0:
        join_runs(tcp)
        tcp.ack_ns = 0  # RFC 5681 4.2: at once when it fills a gap
    if tcp.receive_next - tcp.acknowledged >= 2 * tcp.receive_mss:
        tcp.ack_ns = 0  # RFC 9293 3.8.6.3: every second full segment at least
    elif tcp.ack_ns == NEVER_NS:
        tcp.ack_ns = now_ns + ACK_DELAY_NS
    else:
        # RFC 5681 4.2 has every second segment acknowledged, and RFC 8985 7.2 relies on it: with more than one in
        # flight a peer's tail probe allows for no delay.
        tcp.ack_ns = min(tcp.ack_ns, now_ns + SECOND_ACK_DELAY_NS)


@compiled
def join_runs(tcp: Tcp) -> None:
    """Runs that now begin at RCV.NXT, or before it, are in order."""
    joined = 0
    while joined < tcp.run_count and tcp.runs[joined].begin <= tcp.receive_next:
        end = tcp.runs[joined].end
        if end > tcp.receive_next:
            # The part in place was delivered there; what follows it lies in the buffer.
            tcp.receive_next = end
        joined += 1
    if joined != 0:
        remove_runs(tcp, 0, joined)


@compiled
def remove_runs(tcp: Tcp, first: int, count: int) -> None:
    """Close up over `count` runs from `first` on."""
    for index in range(first + count, tcp.run_count):
        tcp.runs[index - count].begin = tcp.runs[index].begin
        tcp.runs[index - count].end = tcp.runs[index].end
    tcp.run_count -= count


@compiled
def keep_segment(tcp: Tcp, begin: int, end: int, address: int) -> None:
    """Keep bytes of the window that did not come in their turn, or that find others waiting to be taken."""
    if begin > tcp.receive_next and not insert_run(tcp, begin, end):
        tcp.counters.runs_full += 1
        return
    start = begin & RECEIVE_BUFFER_MASK
    buffer = address_of(tcp.buffer)
    first = min(end - begin, RECEIVE_BUFFER_BYTES - start)
    copy_bytes(buffer + start, address, first)
    if first < end - begin:
        copy_bytes(buffer, address + first, end - begin - first)
    if begin == tcp.receive_next:
        tcp.receive_next = end
        join_runs(tcp)
    else:
        tcp.run_latest = begin
        tcp.counters.out_of_order += 1


@compiled
def insert_run(tcp: Tcp, begin: int, end: int) -> bool:
    """Add a run, joined with those that it touches; False if it would be one too many."""
    first = 0
    while first < tcp.run_count and tcp.runs[first].end < begin:
        first += 1
    last = first
    while last < tcp.run_count and tcp.runs[last].begin <= end:
        begin = min(begin, tcp.runs[last].begin)
        end = max(end, tcp.runs[last].end)
        last += 1
    if last > first:
        remove_runs(tcp, first, last - first - 1)
    else:
        if tcp.run_count == RUNS_MAX:
            return False
        for index in range(tcp.run_count, first, -1):
            tcp.runs[index].begin = tcp.runs[index - 1].begin
            tcp.runs[index].end = tcp.runs[index - 1].end
        tcp.run_count += 1
    tcp.runs[first].begin = begin
    tcp.runs[first].end = end
    return True


@compiled
def take_buffered(tcp: Tcp, address: int, most: int) -> int:
    """Copy up to `most` of the bytes that are in order to `address`; returns how many, 0 when there are none."""
    length = min(buffered_bytes(tcp), most)
    if length <= 0:
        return 0
    start = tcp.delivered & RECEIVE_BUFFER_MASK
    buffer = address_of(tcp.buffer)
    first = min(length, RECEIVE_BUFFER_BYTES - start)
    copy_bytes(address, buffer + start, first)
    if first < length:
        copy_bytes(address + first, buffer, length - first)
    tcp.delivered += length
    # RFC 9293 3.8.6.2.2: the window is told again once it has grown by two segments.
    if receive_edge(tcp) - tcp.advertised >= 2 * tcp.receive_mss:
        tcp.ack_ns = 0
    return length
