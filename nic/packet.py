"""Ethernet, IPv4, UDP and TCP headers: declared once, for parsing and for building.

Sources: IEEE 802.1Q, RFC 791 (IPv4), RFC 768 (UDP), RFC 9293 (TCP), RFC 1071 and RFC 1624 (checksums).
"""

from crosswire.nic.memory.raw import add_with_carry
from crosswire.nic.memory.struct import Struct, i64, size_of, u8, u16, u32, view
from crosswire.nic.rings.ring import Frame
from crosswire.nic.unit.compile import compiled, inlined, outlined

ETHER_TYPE_IPV4 = 0x0800
ETHER_TYPE_IPV6 = 0x86DD
ETHER_TYPE_VLAN = 0x8100  # 802.1Q customer tag
ETHER_TYPE_QINQ = 0x88A8  # 802.1ad service tag
ETHER_TYPE_QINQ_OLD = 0x9100  # service tag of switches older than 802.1ad
ETHER_TYPES_VLAN = (ETHER_TYPE_VLAN, ETHER_TYPE_QINQ, ETHER_TYPE_QINQ_OLD)
VLAN_TAGS_MAX = 2  # QinQ; a frame with more is counted as not IPv4

PROTOCOL_TCP = 6
PROTOCOL_UDP = 17

IP_VERSION_4 = 4
IP_VERSION_6 = 6
PLAIN_IPV4 = 0x45  # version 4, a header of five words: no options
IP_DONT_FRAGMENT = 0x4000
IP_MORE_FRAGMENTS = 0x2000
IP_FRAGMENT_OFFSET = 0x1FFF
IP_TIME_TO_LIVE = 64

FLAG_FIN = 0x01
FLAG_SYN = 0x02
FLAG_RST = 0x04
FLAG_PSH = 0x08
FLAG_ACK = 0x10
FLAG_URG = 0x20


class EthernetHeader(Struct, packed=True, byte_order="big"):
    """A MAC address is one 48-bit number, first octet highest, in two parts."""

    destination_mac_high: u16
    destination_mac_low: u32
    source_mac_high: u16
    source_mac_low: u32
    ether_type: u16


class VlanTag(Struct, packed=True, byte_order="big"):
    """What stands between an ether type that says "tagged" and the next ether type."""

    tag_control: u16
    ether_type: u16


class Ipv4Header(Struct, packed=True, byte_order="big"):
    """RFC 791 3.1, without options."""

    version_and_words: u8  # version in the high 4 bits; header length in 32-bit words (IHL) in the low 4
    type_of_service: u8
    total_length: u16  # header and payload
    identification: u16
    fragment: u16  # flags in the high 3 bits, offset below
    time_to_live: u8
    protocol: u8
    checksum: u16
    source_ip: u32
    destination_ip: u32


class TransportHeader(Struct, packed=True, byte_order="big"):
    """What a UDP and a TCP header begin with."""

    source_port: u16
    destination_port: u16


class UdpHeader(TransportHeader):
    """RFC 768."""

    length: u16  # header and payload
    checksum: u16  # 0: none


class TcpHeader(TransportHeader):
    """RFC 9293 3.1, without options."""

    sequence: u32
    acknowledgement: u32
    data_offset: u8  # header length in 32-bit words, in the high 4 bits
    flags: u8
    window: u16
    checksum: u16
    urgent: u16


class TcpFrame(Struct, packed=True):
    """The headers of a frame without VLAN tag, IP options or TCP options; the payload follows."""

    ethernet: EthernetHeader
    ip: Ipv4Header
    tcp: TcpHeader


@inlined
def flags_and_window(tcp: TcpHeader) -> int:
    """The word of a TCP header that holds data offset, flags and window."""
    return (tcp.data_offset << 24) + (tcp.flags << 16) + tcp.window


class UdpFrame(Struct, packed=True):
    """The headers of a frame without VLAN tag and IP options; the payload follows."""

    ethernet: EthernetHeader
    ip: Ipv4Header
    udp: UdpHeader


class Word(Struct, packed=True, byte_order="big"):
    value: u32


class HalfWord(Struct, packed=True, byte_order="big"):
    value: u16


class Byte(Struct, packed=True):
    value: u8


ETHERNET_HEADER_BYTES = size_of(EthernetHeader)
VLAN_TAG_BYTES = size_of(VlanTag)
IPV4_HEADER_BYTES = size_of(Ipv4Header)
UDP_HEADER_BYTES = size_of(UdpHeader)
TCP_HEADER_BYTES = size_of(TcpHeader)
UDP_FRAME_HEADER_BYTES = size_of(UdpFrame)
TCP_FRAME_HEADER_BYTES = ETHERNET_HEADER_BYTES + IPV4_HEADER_BYTES + TCP_HEADER_BYTES


class Packet(Struct):
    """The transport payload of one frame, where it came from and when."""

    payload_address: i64
    payload_length: i64
    time_ns: i64  # receive time of the frame
    protocol: i64  # PROTOCOL_UDP or PROTOCOL_TCP
    source_ip: i64  # IPv4 address as a number, first octet highest
    destination_ip: i64
    source_port: i64
    destination_port: i64
    tcp_sequence: i64
    tcp_acknowledgement: i64
    tcp_flags: i64


class PacketCounters(Struct):
    """What became of each frame given to `parse_packet`: exactly one counter goes up."""

    udp: i64
    tcp: i64
    not_ipv4: i64  # ARP, IPv6, LLC, or more than VLAN_TAGS_MAX tags
    truncated: i64  # the frame ends before its headers, or before the IP total length
    fragments: i64  # IP fragments, the first included
    bad_header: i64  # lengths or versions that contradict each other
    other_protocol: i64  # IPv4, neither UDP nor TCP


class Flow(Struct):
    """The addresses of one direction between two hosts. MACs are 48-bit numbers, IPs 32-bit numbers."""

    source_mac: i64
    destination_mac: i64
    source_ip: i64
    destination_ip: i64
    source_port: i64
    destination_port: i64


@compiled
def is_tcp_frame(frame: Frame) -> bool:
    """Tell whether a frame carries TCP over IPv4, without a VLAN tag."""
    if frame.length < ETHERNET_HEADER_BYTES + IPV4_HEADER_BYTES:
        return False
    ip = view(Ipv4Header, frame.address + ETHERNET_HEADER_BYTES)
    return view(EthernetHeader, frame.address).ether_type == ETHER_TYPE_IPV4 and ip.protocol == PROTOCOL_TCP


def reverse_flow(flow: Flow) -> Flow:
    """The same connection as its other end sees it."""
    return Flow(
        source_mac=flow.destination_mac,
        destination_mac=flow.source_mac,
        source_ip=flow.destination_ip,
        destination_ip=flow.source_ip,
        source_port=flow.destination_port,
        destination_port=flow.source_port,
    )


@inlined
def parse_packet(frame: Frame, packet: Packet, counters: PacketCounters) -> bool:
    """Find the UDP or TCP payload of `frame`; False (and a counter by reason) when it has none to believe.

    Reads no byte past `frame.length`. The payload ends where the IP total length says, so Ethernet padding and frame
    check sequences are not part of it. Checksums are not verified: a capture taken at the sender holds frames whose
    checksums its card was yet to fill in. On a wire `is_damaged_udp` does it, and our own TCP.
    """
    address = frame.address
    if frame.length >= UDP_FRAME_HEADER_BYTES:
        plain = view(UdpFrame, address)
        ip, udp = plain.ip, plain.udp
        # Whole UDP without VLAN tag and IP options, as market data comes: the lengths are all that is left to prove.
        is_plain = plain.ethernet.ether_type == ETHER_TYPE_IPV4 and ip.version_and_words == PLAIN_IPV4
        if is_plain and ip.protocol == PROTOCOL_UDP and ip.fragment & (IP_MORE_FRAGMENTS | IP_FRAGMENT_OFFSET) == 0:
            total_length, length = ip.total_length, udp.length
            is_within = total_length <= frame.length - ETHERNET_HEADER_BYTES
            if is_within and UDP_HEADER_BYTES <= length <= total_length - IPV4_HEADER_BYTES:
                packet.time_ns = frame.time_ns
                packet.source_ip = ip.source_ip
                packet.destination_ip = ip.destination_ip
                packet.protocol = PROTOCOL_UDP
                set_udp(packet, counters, address + (ETHERNET_HEADER_BYTES + IPV4_HEADER_BYTES), length)
                return True
    return parse_other(frame, packet, counters)


@outlined
def parse_other(frame: Frame, packet: Packet, counters: PacketCounters) -> bool:
    """Do as `parse_packet`, whatever the frame is."""
    end = frame.address + frame.length
    position = frame.address + size_of(EthernetHeader)
    if position > end:
        counters.truncated += 1
        return False
    ether_type = view(EthernetHeader, frame.address).ether_type
    if ether_type != ETHER_TYPE_IPV4:
        for _ in range(VLAN_TAGS_MAX):
            if ether_type not in ETHER_TYPES_VLAN:
                break
            if position + size_of(VlanTag) > end:
                counters.truncated += 1
                return False
            ether_type = view(VlanTag, position).ether_type
            position += size_of(VlanTag)
        if ether_type != ETHER_TYPE_IPV4:
            counters.not_ipv4 += 1
            return False
    if position + size_of(Ipv4Header) > end:
        counters.truncated += 1
        return False
    ip = view(Ipv4Header, position)
    version = ip.version_and_words >> 4
    header_length = (ip.version_and_words & 0xF) * size_of(Word)
    total_length = ip.total_length
    if version != IP_VERSION_4 or header_length < size_of(Ipv4Header) or total_length < header_length:
        counters.bad_header += 1
        return False
    if position + total_length > end:
        counters.truncated += 1
        return False
    if ip.fragment & (IP_MORE_FRAGMENTS | IP_FRAGMENT_OFFSET) != 0:
        counters.fragments += 1
        return False
    protocol = ip.protocol
    packet.time_ns = frame.time_ns
    packet.source_ip = ip.source_ip
    packet.destination_ip = ip.destination_ip
    packet.protocol = protocol
    if protocol == PROTOCOL_UDP:
        return parse_udp(packet, counters, position + header_length, total_length - header_length)
    if protocol == PROTOCOL_TCP:
        return parse_tcp(packet, counters, position + header_length, total_length - header_length)
    counters.other_protocol += 1
    return False


@compiled
def parse_udp(packet: Packet, counters: PacketCounters, address: int, length: int) -> bool:
    """Parse the UDP part of a packet: `length` bytes of IP payload at `address`."""
    udp = view(UdpHeader, address)
    if length < size_of(UdpHeader) or not size_of(UdpHeader) <= udp.length <= length:
        counters.bad_header += 1
        return False
    set_udp(packet, counters, address, udp.length)
    return True


@inlined
def set_udp(packet: Packet, counters: PacketCounters, address: int, length: int) -> None:
    """Note ports and payload of `length` bytes of UDP at `address`, header included."""
    set_payload(packet, address, size_of(UdpHeader), length)
    packet.tcp_sequence = 0
    packet.tcp_acknowledgement = 0
    packet.tcp_flags = 0
    counters.udp += 1


@compiled
def is_damaged_udp(packet: Packet) -> bool:
    """Tell whether a UDP packet differs from what its sender made a checksum of; without one (RFC 768: 0) it can't be.

    A frame's own check sequence says nothing of what a switch has done to it: that makes a new one.
    """
    address = packet.payload_address - size_of(UdpHeader)
    udp = view(UdpHeader, address)
    if udp.checksum == 0:
        return False
    pseudo_header = packet.source_ip + packet.destination_ip + PROTOCOL_UDP + udp.length
    return fold_checksum(internet_sum(address, udp.length, pseudo_header)) != 0


@compiled
def parse_tcp(packet: Packet, counters: PacketCounters, address: int, length: int) -> bool:
    """Parse the TCP part of a packet: `length` bytes of IP payload at `address`."""
    if length < size_of(TcpHeader):
        counters.bad_header += 1
        return False
    tcp = view(TcpHeader, address)
    header_length = (tcp.data_offset >> 4) * size_of(Word)
    if header_length < size_of(TcpHeader) or header_length > length:
        counters.bad_header += 1
        return False
    set_payload(packet, address, header_length, length)
    packet.tcp_sequence = tcp.sequence
    packet.tcp_acknowledgement = tcp.acknowledgement
    packet.tcp_flags = tcp.flags
    counters.tcp += 1
    return True


@inlined
def set_payload(packet: Packet, address: int, header_length: int, length: int) -> None:
    """Note ports and payload of `length` bytes of UDP or TCP at `address`, header included."""
    header = view(TransportHeader, address)
    packet.source_port = header.source_port
    packet.destination_port = header.destination_port
    packet.payload_address = address + header_length
    packet.payload_length = length - header_length


@compiled
def internet_sum(address: int, length: int, initial: int) -> int:
    """Sum `length` bytes as big-endian 16-bit words (RFC 1071), not folded, added to `initial`.

    Four bytes at a time: 2**16 is 1 modulo 2**16 - 1, so the fold makes the two halves count alike. An odd last byte
    is padded with zero, so only the last block of a chain may be odd. Far from 2**63 for any frame.
    """
    total = initial
    position = address
    end = address + length
    while position + size_of(Word) <= end:
        total += view(Word, position).value
        position += size_of(Word)
    if position + size_of(HalfWord) <= end:
        total += view(HalfWord, position).value
        position += size_of(HalfWord)
    if position < end:
        total += view(Byte, position).value << 8
    return total


@compiled
def fold_checksum(total: int) -> int:
    """Make the 16-bit checksum of a sum: end-around carries, then the one's complement (RFC 1071)."""
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


@compiled
def add_field(fields_sum: int, value: int) -> int:
    """Add a little-endian 64-bit field to a checksum's sum of such, with the bytes of its words swapped.

    The sum is modulo 2**64 - 1, of which 2**16 - 1, the checksum's own, is a divisor (RFC 1071, 2C).
    """
    return add_with_carry(fields_sum, value)


@compiled
def pair_sum(low: int, high: int) -> int:
    """Compute what two adjoining bytes, the first at an even offset, add to a checksum, swapped as by `add_field`."""
    return (low & 0xFF) + ((high & 0xFF) << 8)


@compiled
def internet_checksum(address: int, length: int, initial: int) -> int:
    """Compute the RFC 1071 checksum of `length` bytes and of `initial`, an unfolded sum of what else it covers.

    0 over a block that holds its own right checksum.
    """
    return fold_checksum(internet_sum(address, length, initial))


@compiled
def pseudo_header_sum(ip: Ipv4Header, transport_length: int) -> int:
    """Sum what a UDP or TCP checksum covers beside its own bytes (RFC 768, RFC 9293 3.1)."""
    return ip.source_ip + ip.destination_ip + ip.protocol + transport_length


@compiled
def write_frame_header(address: int, flow: Flow, protocol: int) -> None:
    """Write the Ethernet and IPv4 headers of a frame whose IP payload is yet empty, its IP checksum right for that.

    Identification 0 with "don't fragment" is what RFC 6864 4.1 allows for a datagram that is never fragmented.
    """
    ethernet = view(EthernetHeader, address)
    ethernet.destination_mac_high = flow.destination_mac >> 32
    ethernet.destination_mac_low = flow.destination_mac & 0xFFFFFFFF
    ethernet.source_mac_high = flow.source_mac >> 32
    ethernet.source_mac_low = flow.source_mac & 0xFFFFFFFF
    ethernet.ether_type = ETHER_TYPE_IPV4
    ip = view(Ipv4Header, address + size_of(EthernetHeader))
    ip.version_and_words = IP_VERSION_4 << 4 | size_of(Ipv4Header) // size_of(Word)
    ip.type_of_service = 0
    ip.total_length = size_of(Ipv4Header)
    ip.identification = 0
    ip.fragment = IP_DONT_FRAGMENT
    ip.time_to_live = IP_TIME_TO_LIVE
    ip.protocol = protocol
    ip.checksum = 0
    ip.source_ip = flow.source_ip
    ip.destination_ip = flow.destination_ip
    ip.checksum = internet_checksum(address + size_of(EthernetHeader), size_of(Ipv4Header), 0)


@compiled
def patch_total_length(ip: Ipv4Header, total_length: int) -> None:
    """Change an IPv4 header's total length and mend its checksum from the difference (RFC 1624, equation 3)."""
    total = (ip.checksum ^ 0xFFFF) + (ip.total_length ^ 0xFFFF) + total_length
    ip.total_length = total_length
    ip.checksum = fold_checksum(total)


@compiled
def write_udp_frame_header(address: int, flow: Flow, payload_length: int) -> int:
    """Write the UDP_FRAME_HEADER_BYTES of a frame at `address`; return the address of its payload.

    Without a UDP checksum, which IPv4 allows (RFC 768: zero means none). `patch_udp_length` changes the length later.
    """
    write_frame_header(address, flow, PROTOCOL_UDP)
    udp = view(UdpHeader, address + size_of(EthernetHeader) + size_of(Ipv4Header))
    udp.source_port = flow.source_port
    udp.destination_port = flow.destination_port
    udp.checksum = 0
    patch_udp_length(address, payload_length)
    return address + UDP_FRAME_HEADER_BYTES


@compiled
def patch_udp_length(address: int, payload_length: int) -> int:
    """Give the frame written at `address` by `write_udp_frame_header` another length; return the frame's length."""
    ip_address = address + size_of(EthernetHeader)
    udp_length = size_of(UdpHeader) + payload_length
    patch_total_length(view(Ipv4Header, ip_address), size_of(Ipv4Header) + udp_length)
    view(UdpHeader, ip_address + size_of(Ipv4Header)).length = udp_length
    return UDP_FRAME_HEADER_BYTES + payload_length


@compiled
def seal_udp_frame(address: int, payload_length: int) -> int:
    """Set the length and a UDP checksum over the payload as it is now; return the frame's length."""
    patch_udp_length(address, payload_length)
    ip = view(Ipv4Header, address + size_of(EthernetHeader))
    udp_address = address + size_of(EthernetHeader) + size_of(Ipv4Header)
    udp = view(UdpHeader, udp_address)
    udp.checksum = 0
    checksum = internet_checksum(udp_address, udp.length, pseudo_header_sum(ip, udp.length))
    udp.checksum = checksum if checksum != 0 else 0xFFFF  # zero would mean "none" (RFC 768)
    return UDP_FRAME_HEADER_BYTES + payload_length


@compiled
def write_tcp_frame_header(address: int, flow: Flow, window: int) -> int:
    """Write the TCP_FRAME_HEADER_BYTES of a frame at `address`; return the address of its payload.

    `seal_tcp_frame` makes it a segment that may be sent.
    """
    write_frame_header(address, flow, PROTOCOL_TCP)
    tcp = view(TcpHeader, address + size_of(EthernetHeader) + size_of(Ipv4Header))
    tcp.source_port = flow.source_port
    tcp.destination_port = flow.destination_port
    tcp.data_offset = size_of(TcpHeader) // size_of(Word) << 4
    tcp.window = window
    tcp.urgent = 0
    return address + TCP_FRAME_HEADER_BYTES


@compiled
def seal_tcp_frame(address: int, payload_length: int, sequence: int, acknowledgement: int, flags: int) -> int:
    """Stamp the TCP frame at `address` with its place in the stream, lengths and checksums; return its length.

    The payload must be in place. `sequence` and `acknowledgement` are 32-bit; `flags` are FLAG_* bits.
    """
    ip = view(Ipv4Header, address + size_of(EthernetHeader))
    tcp_address = address + size_of(EthernetHeader) + size_of(Ipv4Header)
    tcp_length = size_of(TcpHeader) + payload_length
    patch_total_length(ip, size_of(Ipv4Header) + tcp_length)
    tcp = view(TcpHeader, tcp_address)
    tcp.sequence = sequence
    tcp.acknowledgement = acknowledgement
    tcp.flags = flags
    tcp.checksum = 0
    tcp.checksum = internet_checksum(tcp_address, tcp_length, pseudo_header_sum(ip, tcp_length))
    return TCP_FRAME_HEADER_BYTES + payload_length
