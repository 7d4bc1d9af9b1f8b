"""Capture file layouts: pcap and pcapng, as the readers and the writer see them.

Sources: draft-ietf-opsawg-pcap (PCAP Capture File Format), draft-ietf-opsawg-pcapng (PCAPNG). Declared little-endian;
a file of the other byte order is read through `ordered_u16` and `ordered_u32`.
"""

from enum import IntEnum

from crosswire.nic.memory.struct import Struct, size_of, u8, u16, u32
from crosswire.nic.unit.compile import compiled

MAGIC_MICROSECONDS = 0xA1B2C3D4
MAGIC_NANOSECONDS = 0xA1B23C4D
MAGIC_MODIFIED = 0xA1B2CD34  # Kuznetsov's patch to libpcap: microseconds, and a longer record header
MODIFIED_HEADER_BYTES = 24
PCAP_VERSION_MAJOR = 2
PCAP_VERSION_MINOR = 4
LINK_TYPE_MASK = 0x03FFFFFF  # the high 6 bits of a pcap file's link type tell the frame check sequence's length
LINK_TYPE_ETHERNET = 1
LINK_TYPE_RAW = 101  # an IP header, of either version
LINK_TYPES_RAW_OLD = (12, 14)  # DLT_RAW of BSD and OpenBSD, which some tools write as they are
LINK_TYPE_IPV4 = 228
LINK_TYPE_SLL = 113  # Linux "cooked": what the interface "any" gave
LINK_TYPE_SLL2 = 276  # what it gives now
LINK_TYPE_IPV6 = 229
# Of those that are not read, the ones that a market data host may give (https://www.tcpdump.org/linktypes.html).
LINK_TYPE_NAMES = {
    0: "loopback",
    9: "PPP",
    104: "Cisco HDLC",
    105: "802.11",
    108: "loopback",
    127: "802.11 radiotap",
    189: "USB",
    197: "ERF",
    220: "USB",
    227: "CAN",
    239: "netfilter log",
    247: "InfiniBand",
    249: "USB",
    253: "netlink",
}
RECORD_BYTES_MAX = 262_144  # libpcap's MAXIMUM_SNAPLEN: a longer captured length is garbage, not a frame
BLOCK_BYTES_MAX = 1 << 20  # of pcapng; a longer one is taken for garbage, and the next is searched for

BYTE_ORDER_MAGIC = 0x1A2B3C4D
OPTION_END = 0
OPTION_TIME_RESOLUTION = 9  # if_tsresol
OPTION_TIME_OFFSET = 14  # if_tsoffset
OPTION_INTERFACE_DROPS = 5  # isb_ifdrop
OPTION_SYSTEM_DROPS = 7  # isb_osdrop
NANOSECOND_DIGITS = 9
MICROSECOND_DIGITS = 6  # if_tsresol when it is absent


class BlockType(IntEnum):
    """pcapng block types; one that is not read is passed over by its length."""

    INTERFACE = 1
    PACKET_OLD = 2  # obsolete Packet Block, still written by old tools
    PACKET_SIMPLE = 3
    NAME_RESOLUTION = 4
    STATISTICS = 5  # Interface Statistics Block
    PACKET = 6  # Enhanced Packet Block
    JOURNAL = 9  # systemd
    SECRETS = 10
    CUSTOM = 0xBAD
    CUSTOM_UNCOPIED = 0x40000BAD
    SECTION = 0x0A0D0D0A  # reads the same in both byte orders


class FileMagic(Struct, packed=True):
    """What tells the kinds of capture apart."""

    magic: u32


class PcapHeader(Struct, packed=True):
    """First bytes of a pcap file."""

    magic: u32
    version_major: u16
    version_minor: u16
    reserved_1: u32
    reserved_2: u32
    snap_length: u32
    link_type: u32


class RecordHeader(Struct, packed=True):
    """Before each frame of a pcap file; the frame's `captured_length` bytes follow."""

    seconds: u32  # since the epoch
    fraction: u32  # ns or us, as the file's magic says
    captured_length: u32
    original_length: u32


class BlockHeader(Struct, packed=True):
    """First bytes of every pcapng block; `total_length` stands once more at its end."""

    block_type: u32
    total_length: u32


class BlockTrailer(Struct, packed=True):
    total_length: u32


class SectionBlock(Struct, packed=True):
    """Body of a Section Header Block; options follow."""

    byte_order_magic: u32
    version_major: u16
    version_minor: u16
    section_length_low: u32
    section_length_high: u32


class InterfaceBlock(Struct, packed=True):
    """Body of an Interface Description Block; options follow."""

    link_type: u16
    reserved: u16
    snap_length: u32  # 0: no limit


class OptionHeader(Struct, packed=True):
    """Before each option's value, which is padded to BLOCK_ALIGNMENT_BYTES."""

    code: u16
    length: u16


class TimeResolutionOption(Struct, packed=True):
    """Ticks per second: 10**value, or 2**(value & 0x7F) when the top bit is set."""

    value: u8


class WideOption(Struct, packed=True):
    """A 64-bit number in the section's byte order: the first four bytes, then the others."""

    first: u32
    second: u32


class StatisticsBlock(Struct, packed=True):
    """Body of an Interface Statistics Block; options follow."""

    interface: u32
    time_high: u32
    time_low: u32


class PacketBlock(Struct, packed=True):
    """Body of an Enhanced Packet Block; the frame follows."""

    interface: u32
    time_high: u32
    time_low: u32
    captured_length: u32
    original_length: u32


class OldPacketBlock(Struct, packed=True):
    """First word of the body of an obsolete Packet Block, which goes on as a `PacketBlock` does."""

    interface: u16
    drops: u16


class SimplePacketBlock(Struct, packed=True):
    """Body of a Simple Packet Block: the first interface's, no time; the frame follows."""

    original_length: u32


class CookedHeader(Struct, packed=True, byte_order="big"):
    """Link layer of LINK_TYPE_SLL."""

    packet_type: u16
    hardware_type: u16
    address_length: u16
    address_high: u32
    address_low: u32
    protocol: u16  # an ether type


class Cooked2Header(Struct, packed=True, byte_order="big"):
    """Link layer of LINK_TYPE_SLL2."""

    protocol: u16  # an ether type
    reserved: u16
    interface: u32
    hardware_type: u16
    packet_type: u8
    address_length: u8
    address_high: u32
    address_low: u32


BLOCK_ALIGNMENT_BYTES = 4  # of block lengths and option values
BLOCK_BYTES_MIN = size_of(BlockHeader) + size_of(BlockTrailer)


@compiled
def ordered_u16(value: int, swapped: int) -> int:
    """Put a u16 that was loaded little-endian into the file's byte order."""
    return ((value & 0xFF) << 8) | (value >> 8) if swapped != 0 else value


@compiled
def ordered_u32(value: int, swapped: int) -> int:
    """Put a u32 that was loaded little-endian into the file's byte order."""
    if swapped == 0:
        return value
    return ((value & 0xFF) << 24) | ((value & 0xFF00) << 8) | ((value >> 8) & 0xFF00) | (value >> 24)
