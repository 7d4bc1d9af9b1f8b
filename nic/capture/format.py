"""Capture file layouts: pcap and pcapng, as the readers and the writer see them.

Sources: draft-ietf-opsawg-pcap (PCAP Capture File Format), draft-ietf-opsawg-pcapng (PCAPNG). Declared little-endian;
a file of the other byte order is read through `ordered_u16` and `ordered_u32`.
"""

from enum import IntEnum

from crosswire.nic.memory.struct import Struct, size_of, u8, u16, u32
from crosswire.nic.unit.compile import compiled

MAGIC_MICROSECONDS = 0xA1B2C3D4
MAGIC_NANOSECONDS = 0xA1B23C4D
PCAP_VERSION_MAJOR = 2
PCAP_VERSION_MINOR = 4
LINK_TYPE_MASK = 0x03FFFFFF  # the high 6 bits of a pcap file's link type tell the frame check sequence's length
LINK_TYPE_ETHERNET = 1
RECORD_BYTES_MAX = 262_144  # libpcap's MAXIMUM_SNAPLEN: a longer captured length is garbage, not a frame

BYTE_ORDER_MAGIC = 0x1A2B3C4D
OPTION_END = 0
OPTION_TIME_RESOLUTION = 9  # if_tsresol
OPTION_TIME_OFFSET = 14  # if_tsoffset


class BlockType(IntEnum):
    """pcapng block types that are read; any other is skipped by its length."""

    INTERFACE = 1
    PACKET_OLD = 2  # obsolete Packet Block, still written by old tools
    PACKET_SIMPLE = 3
    PACKET = 6  # Enhanced Packet Block
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


class TimeOffsetOption(Struct, packed=True):
    """Seconds to add, a signed 64-bit number in the section's byte order: the first four bytes, then the others."""

    first: u32
    second: u32


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
