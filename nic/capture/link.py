"""Link layers other than Ethernet: the frame gets an Ethernet header in place of its own, so that nothing above cares.

The header is written over the link header, and over what stands before the frame where that is shorter: the record's
own header, which has been read (or, of the window's first record, the margin before the window).
Sources: https://www.tcpdump.org/linktypes.html, LINKTYPE_LINUX_SLL.html and LINKTYPE_LINUX_SLL2.html beside it.
"""

from crosswire.nic.capture.defects import Defect
from crosswire.nic.capture.format import (
    LINK_TYPE_ETHERNET,
    LINK_TYPE_IPV4,
    LINK_TYPE_IPV6,
    LINK_TYPE_RAW,
    LINK_TYPE_SLL,
    LINK_TYPE_SLL2,
    LINK_TYPES_RAW_OLD,
    Cooked2Header,
    CookedHeader,
)
from crosswire.nic.capture.notes import note, note_link_type
from crosswire.nic.capture.state import Source, Window
from crosswire.nic.memory.raw import load_u8
from crosswire.nic.memory.struct import size_of, view
from crosswire.nic.packet import (
    ETHER_TYPE_IPV4,
    ETHER_TYPE_IPV6,
    ETHERNET_HEADER_BYTES,
    IP_VERSION_4,
    IP_VERSION_6,
    EthernetHeader,
)
from crosswire.nic.unit.compile import compiled

NO_ETHER_TYPE = 0


@compiled
def make_ethernet(window: Window, source: Source, link_type: int) -> bool:
    """Give the record read last an Ethernet header; False, and a note, when its link layer is not read."""
    if link_type == LINK_TYPE_ETHERNET:
        return True
    header_bytes = link_header_bytes(link_type)
    if header_bytes < 0:
        note_link_type(source, link_type)
        return False
    if source.frame_length <= header_bytes:
        note(source, Defect.CUT, source.record_offset, 1)
        return False
    address = window.base_address + source.frame_offset
    ether_type = ether_type_of(address, link_type)
    shift = header_bytes - ETHERNET_HEADER_BYTES
    header = view(EthernetHeader, address + shift)
    header.destination_mac_high = 0
    header.destination_mac_low = 0
    header.source_mac_high = 0
    header.source_mac_low = 0
    header.ether_type = ether_type
    source.frame_offset += shift
    source.frame_length -= shift
    source.original_length -= shift
    return True


@compiled
def link_header_bytes(link_type: int) -> int:
    """Length of a link header that is read; -1: none of these."""
    if link_type in (LINK_TYPE_RAW, LINK_TYPE_IPV4, LINK_TYPE_IPV6) or link_type in LINK_TYPES_RAW_OLD:
        return 0
    if link_type == LINK_TYPE_SLL:
        return size_of(CookedHeader)
    if link_type == LINK_TYPE_SLL2:
        return size_of(Cooked2Header)
    return -1


@compiled
def ether_type_of(address: int, link_type: int) -> int:
    """The ether type that a frame at `address` would have had, had it been Ethernet."""
    if link_type == LINK_TYPE_SLL:
        return view(CookedHeader, address).protocol
    if link_type == LINK_TYPE_SLL2:
        return view(Cooked2Header, address).protocol
    version = load_u8(address) >> 4
    if version == IP_VERSION_4:
        return ETHER_TYPE_IPV4
    return ETHER_TYPE_IPV6 if version == IP_VERSION_6 else NO_ETHER_TYPE
