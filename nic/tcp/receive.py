"""The receiving half: which segments are acceptable, what of them is new, what is kept until a gap fills."""

from crosswire.nic.memory.raw import copy_bytes
from crosswire.nic.memory.struct import address_of
from crosswire.nic.packet import FLAG_FIN, FLAG_SYN
from crosswire.nic.rings.ring import NEVER_NS
from crosswire.nic.tcp.segment import difference
from crosswire.nic.tcp.state import (
    ACK_DELAY_NS,
    AT_ONCE_NS,
    CHALLENGE_INTERVAL_NS,
    EMPTY_ANSWER_INTERVAL_NS,
    RECEIVE_BUFFER_BYTES,
    RECEIVE_BUFFER_MASK,
    RUNS_MAX,
    SECOND_ACK_DELAY_NS,
    Reassembly,
    Segment,
    Tcp,
    buffered_bytes,
    receive_edge,
)
from crosswire.nic.unit.compile import compiled


@compiled
def begin_receiving(tcp: Tcp, sequence: int) -> None:
    """Begin anew after the peer's SYN, whose 32-bit `sequence` is the IRS."""
    receive = tcp.receive
    receive.base = sequence + 1
    receive.next = 0
    receive.delivered = 0
    receive.fin_position = NEVER_NS
    receive.fin_received = 0
    receive.acknowledged = 0
    receive.advertised = receive_edge(tcp)
    tcp.reassembly.run_count = 0


@compiled
def position_of(tcp: Tcp, segment: Segment) -> int:
    """The position of a segment's first byte."""
    receive = tcp.receive
    return receive.next + difference(segment.sequence, receive.base + receive.next)


@compiled
def is_acceptable(tcp: Tcp, segment: Segment, position: int) -> bool:
    """Tell whether a segment lies in the window: RFC 9293 3.10.7.4, first check, the table of four cases."""
    receive = tcp.receive
    length = segment.payload_length
    if segment.flags & FLAG_SYN:
        length += 1
    if segment.flags & FLAG_FIN:
        length += 1
    edge = receive_edge(tcp)  # of a closed window RCV.NXT: nothing lies before it
    if length == 0:
        return position == receive.next or receive.next < position < edge
    last = position + length - 1
    return receive.next <= position < edge or receive.next <= last < edge


@compiled
def answer_unacceptable(tcp: Tcp, segment: Segment, now_ns: int) -> None:
    """Acknowledge at once, so that the peer learns where we are: its copies, keep-alives and window probes.

    Answers to segments without data keep an interval: two ends that disagree would answer each other for ever.
    """
    tcp.counters.unacceptable += 1
    if segment.payload_length == 0 and segment.flags & (FLAG_SYN | FLAG_FIN) == 0:
        if now_ns - tcp.receive.answered_ns < EMPTY_ANSWER_INTERVAL_NS:
            tcp.counters.answers_suppressed += 1
            return
        tcp.receive.answered_ns = now_ns
    tcp.timers.ack_ns = AT_ONCE_NS


@compiled
def challenge(tcp: Tcp, now_ns: int) -> None:
    """Have a challenge ACK sent (RFC 5961 3, 4 and 5), at most one each second (7)."""
    if now_ns - tcp.receive.challenged_ns < CHALLENGE_INTERVAL_NS:
        tcp.counters.answers_suppressed += 1
        return
    tcp.receive.challenged_ns = now_ns
    tcp.counters.challenge_acks += 1
    tcp.timers.ack_ns = AT_ONCE_NS


@compiled
def take_data(tcp: Tcp, segment: Segment, position: int, now_ns: int) -> None:
    """Take an acceptable segment's text and FIN (RFC 9293 3.10.7.4, seventh and eighth).

    What comes in its turn is the result, where it lies; the rest is copied to the buffer.
    """
    receive = tcp.receive
    timers = tcp.timers
    begin = position
    end = position + segment.payload_length
    if segment.flags & FLAG_FIN and receive.fin_position == NEVER_NS and end >= receive.next:
        if kept_end(tcp.reassembly) <= end < receive_edge(tcp):
            receive.fin_position = end
    address = segment.payload_address
    if begin < receive.next:
        # Its beginning came before.
        tcp.counters.trimmed += 1
        address += receive.next - begin
        begin = receive.next
        timers.ack_ns = AT_ONCE_NS
    last = min(receive_edge(tcp), receive.fin_position)
    if end > last:
        if end > receive.fin_position:
            tcp.counters.after_fin += 1
        end = last
        timers.ack_ns = AT_ONCE_NS
    if end > begin:
        if begin == receive.next and buffered_bytes(tcp) == 0:
            take_in_place(tcp, address, end - begin, now_ns)
        else:
            keep_segment(tcp, begin, end, address)
            timers.ack_ns = AT_ONCE_NS  # RFC 5681 4.2: at once, so that the peer sees the gap
    elif begin > receive.next:
        timers.ack_ns = AT_ONCE_NS  # a FIN behind a gap
    if receive.next == receive.fin_position and receive.fin_received == 0:
        receive.next += 1
        receive.fin_received = 1
        timers.ack_ns = AT_ONCE_NS


@compiled
def kept_end(reassembly: Reassembly) -> int:
    """The position after the last run, 0 if there is none."""
    return reassembly.runs[reassembly.run_count - 1].end if reassembly.run_count != 0 else 0


@compiled
def take_in_place(tcp: Tcp, address: int, length: int, now_ns: int) -> None:
    """Give the next bytes, to be read where they are; with them the gap before kept ones may have filled."""
    receive = tcp.receive
    timers = tcp.timers
    payload = tcp.payload
    payload.address = address
    payload.length = length
    payload.position = receive.next
    receive.next += length
    receive.delivered = receive.next
    if tcp.reassembly.run_count != 0:
        join_runs(tcp)
        timers.ack_ns = AT_ONCE_NS  # RFC 5681 4.2: at once when it fills a gap
    if receive.next - receive.acknowledged >= 2 * tcp.settings.mss:
        timers.ack_ns = AT_ONCE_NS  # RFC 9293 3.8.6.3: every second full segment at least
    elif timers.ack_ns == NEVER_NS:
        timers.ack_ns = now_ns + ACK_DELAY_NS
    else:
        # RFC 5681 4.2 has every second segment acknowledged, and RFC 8985 7.2 relies on it: with more than one in
        # flight a peer's tail probe allows for no delay.
        timers.ack_ns = min(timers.ack_ns, now_ns + SECOND_ACK_DELAY_NS)


@compiled
def join_runs(tcp: Tcp) -> None:
    """Put the runs in order that now begin at RCV.NXT, or before it."""
    receive = tcp.receive
    reassembly = tcp.reassembly
    joined = 0
    while joined < reassembly.run_count and reassembly.runs[joined].begin <= receive.next:
        # The part in place was delivered there; what follows it lies in the buffer.
        receive.next = max(receive.next, reassembly.runs[joined].end)
        joined += 1
    if joined != 0:
        remove_runs(reassembly, 0, joined)


@compiled
def remove_runs(reassembly: Reassembly, first: int, count: int) -> None:
    """Close up over `count` runs from `first` on."""
    for index in range(first + count, reassembly.run_count):
        reassembly.runs[index - count].begin = reassembly.runs[index].begin
        reassembly.runs[index - count].end = reassembly.runs[index].end
    reassembly.run_count -= count


@compiled
def keep_segment(tcp: Tcp, begin: int, end: int, address: int) -> None:
    """Keep bytes of the window that did not come in their turn, or that find others waiting to be taken."""
    receive = tcp.receive
    if begin > receive.next and not insert_run(tcp.reassembly, begin, end):
        tcp.counters.runs_full += 1
        return
    start = begin & RECEIVE_BUFFER_MASK
    buffer = address_of(tcp.reassembly.buffer)
    first = min(end - begin, RECEIVE_BUFFER_BYTES - start)
    copy_bytes(buffer + start, address, first)
    copy_bytes(buffer, address + first, end - begin - first)  # what lies behind the buffer's end, if anything does
    if begin == receive.next:
        receive.next = end
        join_runs(tcp)
    else:
        tcp.reassembly.latest = begin
        tcp.counters.out_of_order += 1


@compiled
def insert_run(reassembly: Reassembly, begin: int, end: int) -> bool:
    """Add a run, joined with those that it touches; False if it would be one too many."""
    first = 0
    while first < reassembly.run_count and reassembly.runs[first].end < begin:
        first += 1
    last = first
    while last < reassembly.run_count and reassembly.runs[last].begin <= end:
        begin = min(begin, reassembly.runs[last].begin)
        end = max(end, reassembly.runs[last].end)
        last += 1
    if last > first:
        remove_runs(reassembly, first, last - first - 1)
    else:
        if reassembly.run_count == RUNS_MAX:
            return False
        for index in range(reassembly.run_count, first, -1):
            reassembly.runs[index].begin = reassembly.runs[index - 1].begin
            reassembly.runs[index].end = reassembly.runs[index - 1].end
        reassembly.run_count += 1
    reassembly.runs[first].begin = begin
    reassembly.runs[first].end = end
    return True


@compiled
def take_buffered(tcp: Tcp, address: int, most: int) -> int:
    """Copy up to `most` of the bytes that are in order to `address`; returns how many, 0 when there are none."""
    receive = tcp.receive
    length = min(buffered_bytes(tcp), most)
    if length == 0:
        return 0
    start = receive.delivered & RECEIVE_BUFFER_MASK
    buffer = address_of(tcp.reassembly.buffer)
    first = min(length, RECEIVE_BUFFER_BYTES - start)
    copy_bytes(address, buffer + start, first)
    copy_bytes(address + first, buffer, length - first)
    receive.delivered += length
    # RFC 9293 3.8.6.2.2: the window is told again once it has grown by two segments.
    if receive_edge(tcp) - receive.advertised >= 2 * tcp.settings.mss:
        tcp.timers.ack_ns = AT_ONCE_NS
    return length
