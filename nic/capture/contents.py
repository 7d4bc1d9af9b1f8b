"""What in a frame will not be read above: cut datagrams, fragments, IPv6, tunnels. Looked at once, as a record is read.

A tunnel is taken off where that is simple and sure: VXLAN (RFC 7348), which mirrors of cloud networks come in. A frame
in any other is noted and goes on as it is.
"""

from crosswire.nic.capture.defects import Defect
from crosswire.nic.capture.notes import note
from crosswire.nic.capture.stamps import ETHER_TYPE_ARISTA
from crosswire.nic.capture.state import Source, Window
from crosswire.nic.memory.struct import Struct, size_of, u8, u16, u32, view
from crosswire.nic.packet import (
    ETHER_TYPE_IPV4,
    ETHER_TYPE_IPV6,
    ETHER_TYPES_VLAN,
    ETHERNET_HEADER_BYTES,
    IP_FRAGMENT_OFFSET,
    IP_MORE_FRAGMENTS,
    IPV4_HEADER_BYTES,
    PROTOCOL_TCP,
    PROTOCOL_UDP,
    UDP_FRAME_HEADER_BYTES,
    UDP_HEADER_BYTES,
    VLAN_TAG_BYTES,
    VLAN_TAGS_MAX,
    EthernetHeader,
    Ipv4Header,
    UdpHeader,
    VlanTag,
)
from crosswire.nic.unit.compile import compiled

PLAIN_IPV4 = 0x45  # version 4, no options
WORD_BYTES = 4
FRAGMENT_BITS = IP_MORE_FRAGMENTS | IP_FRAGMENT_OFFSET
# IANA's numbers: MPLS twice, PPPoE, MACsec, 802.1ah, TRILL, NSH.
TUNNEL_ETHER_TYPES = (0x8847, 0x8848, 0x8864, 0x88E5, 0x88E7, 0x22F3, 0x894F)
TUNNEL_PROTOCOLS = (4, 41, 47, 50, 97, 115, 137)  # IPIP, 6in4, GRE (and ERSPAN), ESP, EtherIP, L2TP, MPLS
PORTS_VXLAN = (4789, 8472)  # IANA's, and Linux's before there was one
PORTS_OTHER_TUNNEL = (4790, 6081, 6635, 2152)  # VXLAN-GPE, GENEVE, MPLS, GTP-U
VXLAN_FLAGS = (0x0800_0000, 0x8800_0000)  # RFC 7348: reserved bits are 0; with a group policy they are not all
VXLAN_GROUP = 0xFFFF  # of the draft with group policies, draft-smith-vxlan-group-policy
IPV6_FRAGMENT = 44
NESTED_MAX = 4  # tunnels in tunnels; deeper ones are noted as not read


class VxlanHeader(Struct, packed=True, byte_order="big"):
    """RFC 7348 5."""

    flags: u32  # 8 of them; the rest is reserved
    network_and_reserved: u32


class Ipv6Start(Struct, packed=True, byte_order="big"):
    """First fields of an IPv6 header (RFC 8200 3)."""

    version_class_flow: u32
    payload_length: u16
    next_header: u8
    hop_limit: u8


@compiled
def look_inside(window: Window, source: Source) -> None:
    """Note what of the record read last will not be read, and take VXLAN off."""
    for _ in range(NESTED_MAX):
        address = window.base_address + source.frame_offset
        length = source.frame_length
        if length >= UDP_FRAME_HEADER_BYTES and view(EthernetHeader, address).ether_type == ETHER_TYPE_IPV4:
            ip = view(Ipv4Header, address + ETHERNET_HEADER_BYTES)
            if (
                ip.version_and_words == PLAIN_IPV4
                and ip.fragment & FRAGMENT_BITS == 0
                and ETHERNET_HEADER_BYTES + ip.total_length <= length
            ):
                if ip.protocol == PROTOCOL_TCP:
                    return
                udp = view(UdpHeader, address + ETHERNET_HEADER_BYTES + IPV4_HEADER_BYTES)
                if ip.protocol == PROTOCOL_UDP and not is_tunnel_port(udp.destination_port):
                    return
        if not look_closer(source, address, length):
            return
    note(source, Defect.TUNNEL, source.record_offset, 1)


@compiled
def is_tunnel_port(port: int) -> bool:
    return port in PORTS_VXLAN or port in PORTS_OTHER_TUNNEL


@compiled
def look_closer(source: Source, address: int, length: int) -> bool:
    """Note what is odd about the frame of `length` bytes at `address`; True if a tunnel was taken off it."""
    if length < ETHERNET_HEADER_BYTES:
        note(source, Defect.CUT, source.record_offset, 1)
        return False
    ether_type = view(EthernetHeader, address).ether_type
    position = ETHERNET_HEADER_BYTES
    for _ in range(VLAN_TAGS_MAX):
        if ether_type not in ETHER_TYPES_VLAN:
            break
        if position + VLAN_TAG_BYTES > length:
            note(source, Defect.CUT, source.record_offset, 1)
            return False
        ether_type = view(VlanTag, address + position).ether_type
        position += VLAN_TAG_BYTES
    if ether_type == ETHER_TYPE_IPV4:
        return look_at_ipv4(source, address, position, length)
    if ether_type == ETHER_TYPE_IPV6:
        look_at_ipv6(source, address, position, length)
    elif ether_type == ETHER_TYPE_ARISTA:
        note(source, Defect.STAMP_HEADER, source.record_offset, 1)
    elif ether_type in TUNNEL_ETHER_TYPES or ether_type in ETHER_TYPES_VLAN:
        note(source, Defect.TUNNEL, source.record_offset, 1)
    return False


@compiled
def look_at_ipv4(source: Source, address: int, position: int, length: int) -> bool:
    """As `look_closer`, of the IPv4 packet that begins `position` bytes into the frame."""
    if position + IPV4_HEADER_BYTES > length:
        note(source, Defect.CUT, source.record_offset, 1)
        return False
    ip = view(Ipv4Header, address + position)
    header_bytes = (ip.version_and_words & 0xF) * WORD_BYTES
    end = position + ip.total_length
    if ip.fragment & FRAGMENT_BITS != 0:
        note(source, Defect.FRAGMENT, source.record_offset, 1)
    elif ip.protocol in TUNNEL_PROTOCOLS:
        note(source, Defect.TUNNEL, source.record_offset, 1)
    elif end > length:
        note(source, Defect.CUT, source.record_offset, 1)
    elif ip.protocol == PROTOCOL_UDP and position + header_bytes + UDP_HEADER_BYTES <= end:
        port = view(UdpHeader, address + position + header_bytes).destination_port
        if port in PORTS_VXLAN:
            return take_vxlan_off(source, address, position + header_bytes + UDP_HEADER_BYTES, end)
        if port in PORTS_OTHER_TUNNEL:
            note(source, Defect.TUNNEL, source.record_offset, 1)
    return False


@compiled
def take_vxlan_off(source: Source, address: int, position: int, end: int) -> bool:
    """Make the inner frame of a VXLAN packet the record's; False if it is a datagram that only has the port."""
    inner = position + size_of(VxlanHeader)
    if inner + ETHERNET_HEADER_BYTES > end:
        return False
    if view(VxlanHeader, address + position).flags & ~VXLAN_GROUP not in VXLAN_FLAGS:
        return False
    source.frame_offset += inner
    source.frame_length = end - inner
    source.original_length = end - inner
    return True


@compiled
def look_at_ipv6(source: Source, address: int, position: int, length: int) -> None:
    """Note an IPv6 packet that carries datagrams or a tunnel; others, of neighbour discovery or TCP, are of no use."""
    if position + size_of(Ipv6Start) > length:
        note(source, Defect.CUT, source.record_offset, 1)
        return
    following = view(Ipv6Start, address + position).next_header
    if following in TUNNEL_PROTOCOLS:
        note(source, Defect.TUNNEL, source.record_offset, 1)
    elif following in (PROTOCOL_UDP, IPV6_FRAGMENT):
        note(source, Defect.IPV6, source.record_offset, 1)
