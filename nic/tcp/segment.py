"""TCP segments as bytes: checked and parsed when they come, stamped when they go. Checksums mended by difference."""

from crosswire.nic.memory.raw import copy_bytes, load_u8, shift_left
from crosswire.nic.memory.struct import Struct, address_of, copy_struct, u16, u32, u64, view
from crosswire.nic.packet import (
    ETHER_TYPE_IPV4,
    ETHERNET_HEADER_BYTES,
    FLAG_ACK,
    FLAG_PSH,
    FLAG_RST,
    FLAG_SYN,
    IP_FRAGMENT_OFFSET,
    IP_MORE_FRAGMENTS,
    IP_VERSION_4,
    IPV4_HEADER_BYTES,
    PROTOCOL_TCP,
    TCP_FRAME_HEADER_BYTES,
    TCP_HEADER_BYTES,
    EthernetHeader,
    Flow,
    HalfWord,
    Ipv4Header,
    TcpHeader,
    fold_checksum,
    internet_sum,
    write_tcp_frame_header,
)
from crosswire.nic.tcp.state import (
    MSS_MIN,
    SACK_BLOCKS_MAX,
    SEQUENCE_MASK,
    Segment,
    Slot,
    Tcp,
    TcpCounters,
    receive_edge,
)
from crosswire.nic.unit.compile import compiled, inlined, outlined

_IP_AT = ETHERNET_HEADER_BYTES
_TCP_AT = ETHERNET_HEADER_BYTES + IPV4_HEADER_BYTES
_PLAIN_IP = IP_VERSION_4 << 4 | IPV4_HEADER_BYTES // 4  # no options
_PLAIN_OFFSET = TCP_HEADER_BYTES // 4 << 4  # `data_offset` without options
_DATA_FLAGS = FLAG_ACK | FLAG_PSH
_DATA_WORD = (_PLAIN_OFFSET << 8 | _DATA_FLAGS) << 16  # data offset and flags above the window
_OPTION_END, _OPTION_NOTHING, _OPTION_MSS = 0, 1, 2  # RFC 9293 3.2
_OPTION_SACK_PERMITTED, _OPTION_SACK = 4, 5  # RFC 2018 2, 3
_MSS_BYTES = 4
_SACK_PERMITTED_BYTES = 2
_SYN_OPTION_BYTES = 8  # both, and two bytes of padding
_SACK_HEADER_BYTES = 4  # kind and length, and two bytes of padding before them
_SACK_BLOCK_BYTES = 8
# A retransmission's acknowledgement may not be older than the peer's largest window (RFC 5961 5.2), which may be small:
# past this age the copy that goes out gets the present one, in a header field that carries no data.
_ACK_AGE_MAX = 4096


class AddressPair(Struct, packed=True, byte_order="big"):
    """Source and destination IP of a plain frame side by side: one load holds both."""

    value: u64


class TcpWords(Struct, packed=True, byte_order="big"):
    """A TCP header as the words that change from segment to segment."""

    ports: u32
    sequence: u32
    acknowledgement: u32
    offset_flags_window: u32
    checksum: u16
    urgent: u16


class SackBlock(Struct, packed=True, byte_order="big"):
    """RFC 2018 3: a run's first sequence number, and the one after its last."""

    left: u32
    right: u32


_ADDRESSES_AT = _IP_AT + Ipv4Header.fields["source_ip"].offset


@inlined
def difference(left: int, right: int) -> int:
    """Compute `left - right` of 32-bit sequence numbers, -2**31 to 2**31 - 1 (RFC 9293 3.4)."""
    return (((left - right) & SEQUENCE_MASK) ^ 0x80000000) - 0x80000000


@inlined
def is_tcp_frame(address: int, length: int) -> bool:
    """Tell whether a frame has plain IPv4 and TCP headers: long enough, without tags or IP options."""
    if length < TCP_FRAME_HEADER_BYTES:
        return False
    ip = view(Ipv4Header, address + _IP_AT)
    return (
        view(EthernetHeader, address).ether_type == ETHER_TYPE_IPV4
        and ip.version_and_words == _PLAIN_IP
        and ip.protocol == PROTOCOL_TCP
    )


@inlined
def is_from_peer(tcp: Tcp, address: int) -> bool:
    """Tell whether the TCP frame at `address` is of this connection's addresses and ports."""
    return (
        view(AddressPair, address + _ADDRESSES_AT).value == tcp.headers.peer_addresses
        and view(TcpWords, address + _TCP_AT).ports == tcp.headers.peer_ports
    )


@compiled
def is_between(wire: Flow, address: int) -> bool:
    """Tell whether the TCP frame at `address` goes from the peer of `wire` and its port to our address, on any port."""
    ip = view(Ipv4Header, address + _IP_AT)
    return (
        ip.source_ip == wire.destination_ip
        and ip.destination_ip == wire.source_ip
        and view(TcpHeader, address + _TCP_AT).source_port == wire.destination_port
    )


@compiled
def destination_port(address: int) -> int:
    """The destination port of the TCP frame at `address`."""
    return view(TcpHeader, address + _TCP_AT).destination_port


@compiled
def parse_segment(tcp: Tcp, address: int, length: int) -> bool:
    """Check a frame and fill `tcp.segment`; False, and a counter, where it is not to be believed.

    Checksums first, in software: a virtual card delivers what a real one would have dropped (RFC 9293 3.1, MUST).
    """
    if not check_frame(tcp.counters, address, length):
        return False
    if not is_from_peer(tcp, address):
        tcp.counters.other_connection += 1
        return False
    return parse_transport(tcp.segment, tcp.counters, address)


@compiled
def check_frame(counters: TcpCounters, address: int, length: int) -> bool:
    """Check the Ethernet and IP headers: all that the IP header speaks of must lie in the frame.

    Reads nothing past `length`. What follows the IP total length is Ethernet's padding.
    """
    if length < TCP_FRAME_HEADER_BYTES:
        counters.truncated += 1
        return False
    if not is_tcp_frame(address, length):
        counters.bad_header += 1
        return False
    ip = view(Ipv4Header, address + _IP_AT)
    total_length = ip.total_length
    if total_length < IPV4_HEADER_BYTES + TCP_HEADER_BYTES or ip.fragment & (IP_MORE_FRAGMENTS | IP_FRAGMENT_OFFSET):
        counters.bad_header += 1
        return False
    if total_length > length - ETHERNET_HEADER_BYTES:
        counters.truncated += 1
        return False
    if fold_checksum(internet_sum(address + _IP_AT, IPV4_HEADER_BYTES, 0)) != 0:
        counters.bad_ip_checksum += 1
        return False
    return True


@compiled
def parse_transport(segment: Segment, counters: TcpCounters, address: int) -> bool:
    """Parse the TCP part of a frame that `check_frame` found good."""
    ip = view(Ipv4Header, address + _IP_AT)
    length = ip.total_length - IPV4_HEADER_BYTES
    tcp_address = address + _TCP_AT
    header = view(TcpHeader, tcp_address)
    header_length = (header.data_offset >> 4) * 4
    if header_length < TCP_HEADER_BYTES or header_length > length:
        counters.bad_header += 1
        return False
    segment.payload_address = tcp_address + header_length
    segment.payload_length = length - header_length
    segment.payload_sum = internet_sum(segment.payload_address, segment.payload_length, 0)
    pseudo = ip.source_ip + ip.destination_ip + PROTOCOL_TCP + length
    if fold_checksum(internet_sum(tcp_address, header_length, pseudo + segment.payload_sum)) != 0:
        counters.bad_checksum += 1
        return False
    segment.sequence = header.sequence
    segment.acknowledgement = header.acknowledgement
    segment.flags = header.flags
    segment.window = header.window
    segment.mss = 0
    segment.sack_permitted = 0
    if segment.flags & FLAG_SYN and header_length > TCP_HEADER_BYTES:
        options, end = tcp_address + TCP_HEADER_BYTES, tcp_address + header_length
        mss = find_option(options, end, _OPTION_MSS, _MSS_BYTES)
        if mss != 0:
            segment.mss = max(view(HalfWord, mss + 2).value, MSS_MIN)
        if find_option(options, end, _OPTION_SACK_PERMITTED, _SACK_PERMITTED_BYTES) != 0:
            segment.sack_permitted = 1
    return True


@compiled
def find_option(position: int, end: int, wanted: int, wanted_length: int) -> int:
    """Find the option of that kind and length; 0 if there is none. Others are skipped, as RFC 9293 3.1 demands."""
    while position < end:
        kind = load_u8(position)
        if kind == _OPTION_END:
            return 0
        if kind == _OPTION_NOTHING:
            position += 1
            continue
        if position + 2 > end:
            return 0
        option_length = load_u8(position + 1)
        if option_length < 2 or position + option_length > end:
            return 0
        if kind == wanted and option_length == wanted_length:
            return position
        position += option_length
    return 0


@compiled
def header_sum(address: int) -> int:
    """Sum what the TCP checksum covers and never changes: addresses, protocol and ports of a written header."""
    ip = view(Ipv4Header, address + _IP_AT)
    header = view(TcpHeader, address + _TCP_AT)
    return ip.source_ip + ip.destination_ip + PROTOCOL_TCP + header.source_port + header.destination_port


@compiled
def ip_header_sum(address: int) -> int:
    """Sum the IP header without its total length and checksum."""
    ip = view(Ipv4Header, address + _IP_AT)
    return internet_sum(address + _IP_AT, IPV4_HEADER_BYTES, 0) - ip.total_length - ip.checksum


@compiled
def set_headers(tcp: Tcp, wire: Flow, session: Flow) -> None:
    """Prepare the headers: `wire` is the connection's, from us to the peer; `session` the one its frames come with."""
    copy_struct(tcp.wire, wire)
    copy_struct(tcp.session, session)
    headers = tcp.headers
    there = address_of(headers.wire)
    write_tcp_frame_header(there, wire, 0)
    view(TcpWords, there + _TCP_AT).checksum = 0
    headers.wire_ip_sum = ip_header_sum(there)
    headers.wire_sum = header_sum(there)
    headers.wire_length = 0
    headers.peer_addresses = shift_left(wire.destination_ip, 32) | wire.source_ip
    headers.peer_ports = wire.destination_port << 16 | wire.source_port
    # Mended sums: a subtraction modulo 2**16 - 1 is the addition of a complement (RFC 1624).
    session_sum = session.source_ip + session.destination_ip + session.source_port + session.destination_port
    headers.session_change = headers.wire_sum - PROTOCOL_TCP + fold_checksum(session_sum)
    set_delivery_header(tcp, session)


@compiled
def set_delivery_header(tcp: Tcp, session: Flow) -> None:
    """Write the header of what the session reads: its own flow, the other way round."""
    headers = tcp.headers
    there = address_of(headers.delivery)
    write_tcp_frame_header(there, session, 0)
    ethernet = view(EthernetHeader, there)
    ethernet.destination_mac_high = session.source_mac >> 32
    ethernet.destination_mac_low = session.source_mac & 0xFFFFFFFF
    ethernet.source_mac_high = session.destination_mac >> 32
    ethernet.source_mac_low = session.destination_mac & 0xFFFFFFFF
    ip = view(Ipv4Header, there + _IP_AT)
    ip.source_ip = session.destination_ip
    ip.destination_ip = session.source_ip
    header = view(TcpHeader, there + _TCP_AT)
    header.source_port = session.destination_port
    header.destination_port = session.source_port
    headers.delivery_ip_sum = ip_header_sum(there)
    headers.delivery_sum = header_sum(there)


@inlined
def stamp(tcp: Tcp, address: int, length: int, window: int) -> None:
    """Make the session's frame at `address` a segment of the wire: its place in the stream, addresses, checksums.

    The payload is not read: the session's checksum is right for it, and is mended from the differences (RFC 1624).
    """
    words = view(TcpWords, address + _TCP_AT)
    assert words.sequence == tcp.send.end & SEQUENCE_MASK
    unnumbered_sum = (
        (words.checksum ^ 0xFFFF)
        + (words.sequence ^ SEQUENCE_MASK)
        + (words.acknowledgement ^ SEQUENCE_MASK)
        + (words.offset_flags_window ^ SEQUENCE_MASK)
    )
    stamp_unnumbered(tcp, address, length, window, unnumbered_sum)


@inlined
def stamp_unnumbered(tcp: Tcp, address: int, length: int, window: int, unnumbered_sum: int) -> None:
    """Stamp a frame whose TCP checksum, complemented, is `unnumbered_sum` without sequence numbers, flags and window.

    The sum may be unfolded, below 2**38. The header need not be in the frame.
    """
    headers = tcp.headers
    words = view(TcpWords, address + _TCP_AT)
    sequence = (tcp.send.base + tcp.send.end) & SEQUENCE_MASK
    acknowledgement = (tcp.receive.base + tcp.receive.next) & SEQUENCE_MASK
    total = unnumbered_sum + headers.session_change + sequence + acknowledgement + (_DATA_WORD | window)
    if headers.wire_length != length:
        set_wire_length(tcp, length)
    copy_bytes(address, address_of(headers.wire), TCP_FRAME_HEADER_BYTES)
    words.sequence = sequence
    words.acknowledgement = acknowledgement
    words.offset_flags_window = _DATA_WORD | window
    words.checksum = fold_sum(total)


@outlined
def set_wire_length(tcp: Tcp, length: int) -> None:
    """Write the IP header of a frame of `length` bytes in all: orders have the same, one after another."""
    headers = tcp.headers
    ip = view(Ipv4Header, address_of(headers.wire) + _IP_AT)
    ip.total_length = length - ETHERNET_HEADER_BYTES
    ip.checksum = fold_checksum(headers.wire_ip_sum + ip.total_length)
    headers.wire_length = length


@inlined
def fold_sum(total: int) -> int:
    """Fold a sum below 2**40 as `fold_checksum` does, without a branch."""
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


@inlined
def acknowledges(tcp: Tcp, slot: Slot) -> int:
    """The receive position that a kept frame acknowledges when it is sent now."""
    if tcp.receive.next - slot.acknowledged > _ACK_AGE_MAX:
        return tcp.receive.next
    return slot.acknowledged


@compiled
def freshen(tcp: Tcp, slot: Slot, address: int) -> None:
    """Give a copy of a kept frame, at `address`, the present acknowledgement where its own has become too old."""
    if acknowledges(tcp, slot) == slot.acknowledged:
        return
    words = view(TcpWords, address + _TCP_AT)
    acknowledgement = (tcp.receive.base + tcp.receive.next) & SEQUENCE_MASK
    word = _DATA_WORD | window_now(tcp)
    total = (
        (words.checksum ^ 0xFFFF)
        + (words.acknowledgement ^ SEQUENCE_MASK)
        + (words.offset_flags_window ^ SEQUENCE_MASK)
        + acknowledgement
        + word
    )
    words.acknowledgement = acknowledgement
    words.offset_flags_window = word
    words.checksum = fold_sum(total)


@inlined
def window_now(tcp: Tcp) -> int:
    """The receive window to be sent: from RCV.NXT to the right edge."""
    return receive_edge(tcp) - tcp.receive.next


@compiled
def write_control(tcp: Tcp, flags: int, sequence: int, acknowledgement: int, mss: int) -> None:
    """Write a segment without data as the output; 32-bit `sequence` and `acknowledgement`, `mss` 0 but for a SYN."""
    there = address_of(tcp.control)
    option_bytes = 0
    if mss != 0:
        option_bytes = write_syn_options(there + TCP_FRAME_HEADER_BYTES, mss)
    elif tcp.receive.sack_permitted != 0 and tcp.reassembly.run_count != 0 and flags & FLAG_RST == 0:
        option_bytes = write_sack(tcp, there + TCP_FRAME_HEADER_BYTES)
    copy_bytes(there, address_of(tcp.headers.wire), TCP_FRAME_HEADER_BYTES)
    ip = view(Ipv4Header, there + _IP_AT)
    tcp_length = TCP_HEADER_BYTES + option_bytes
    ip.total_length = IPV4_HEADER_BYTES + tcp_length
    ip.checksum = fold_checksum(tcp.headers.wire_ip_sum + ip.total_length)
    header = view(TcpHeader, there + _TCP_AT)
    header.sequence = sequence & SEQUENCE_MASK
    header.acknowledgement = acknowledgement & SEQUENCE_MASK
    header.data_offset = tcp_length // 4 << 4
    header.flags = flags
    header.window = 0 if flags & FLAG_RST else window_now(tcp)
    header.checksum = 0
    pseudo = tcp.wire.source_ip + tcp.wire.destination_ip + PROTOCOL_TCP + tcp_length
    header.checksum = fold_checksum(internet_sum(there + _TCP_AT, tcp_length, pseudo))
    tcp.output.address = there
    tcp.output.length = _TCP_AT + tcp_length


@compiled
def write_syn_options(there: int, mss: int) -> int:
    """Write MSS (RFC 9293 3.7.1) and SACK-permitted (RFC 2018 2); return their length."""
    view(HalfWord, there).value = _OPTION_MSS << 8 | _MSS_BYTES
    view(HalfWord, there + 2).value = mss
    view(HalfWord, there + 4).value = _OPTION_NOTHING << 8 | _OPTION_NOTHING
    view(HalfWord, there + 6).value = _OPTION_SACK_PERMITTED << 8 | _SACK_PERMITTED_BYTES
    return _SYN_OPTION_BYTES


@compiled
def write_sack(tcp: Tcp, there: int) -> int:
    """Write the runs that are kept as a SACK option (RFC 2018 3); return its length.

    First the run that grew last, as RFC 2018 4 demands, then those nearest to the first gap: with them the peer can
    fill that gap, and what it fills is delivered.
    """
    reassembly = tcp.reassembly
    latest = 0
    for index in range(reassembly.run_count):
        if reassembly.runs[index].begin <= reassembly.latest:
            latest = index
    blocks = min(reassembly.run_count, SACK_BLOCKS_MAX)
    length = _SACK_HEADER_BYTES + blocks * _SACK_BLOCK_BYTES
    view(HalfWord, there).value = _OPTION_NOTHING << 8 | _OPTION_NOTHING
    view(HalfWord, there + 2).value = _OPTION_SACK << 8 | length - 2
    position = there + _SACK_HEADER_BYTES
    write_sack_block(tcp, position, latest)
    index = 0
    for _ in range(blocks - 1):
        if index == latest:
            index += 1
        position += _SACK_BLOCK_BYTES
        write_sack_block(tcp, position, index)
        index += 1
    return length


@compiled
def write_sack_block(tcp: Tcp, position: int, index: int) -> None:
    """Write the run of that number."""
    block = view(SackBlock, position)
    block.left = (tcp.receive.base + tcp.reassembly.runs[index].begin) & SEQUENCE_MASK
    block.right = (tcp.receive.base + tcp.reassembly.runs[index].end) & SEQUENCE_MASK


@compiled
def write_delivery(tcp: Tcp, address: int, length: int, position: int, flags: int, payload_sum: int) -> None:
    """Write the header of what the session reads to `address`, before `length` bytes of payload from `position` on."""
    headers = tcp.headers
    copy_bytes(address, address_of(headers.delivery), TCP_FRAME_HEADER_BYTES)
    ip = view(Ipv4Header, address + _IP_AT)
    total_length = IPV4_HEADER_BYTES + TCP_HEADER_BYTES + length
    ip.total_length = total_length
    ip.checksum = fold_checksum(headers.delivery_ip_sum + total_length)
    words = view(TcpWords, address + _TCP_AT)
    words.sequence = position & SEQUENCE_MASK
    words.acknowledgement = tcp.send.una & SEQUENCE_MASK
    words.offset_flags_window = (_PLAIN_OFFSET << 8 | flags) << 16 | 0xFFFF
    words.checksum = fold_checksum(
        headers.delivery_sum
        + TCP_HEADER_BYTES
        + length
        + (position & SEQUENCE_MASK)
        + words.acknowledgement
        + words.offset_flags_window
        + payload_sum
    )
