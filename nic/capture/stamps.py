"""Hardware time stamps that a tap or switch wrote into the frame: behind it (a trailer), or before its ether type.

A frame's time is then the device's, not that of the host that captured. Nothing is taken for a stamp on sight: which
device it was must be said (`Stamps`). A capture about which nothing is said has its first frames looked at, for a hint.

    exablaze   frame | FCS of it 4 | device 1 | port 1 | seconds 4 | 2**-40 s 5 | reserved 1 |   new FCS, or not
    metamako   frame | FCS of it 4 | extensions | seconds 4 | ns 4 | flags 1 | device 2 | port 1 |   new FCS, or not
    arista     MACs | 0xD28B | subtype 2 | scale 1 | format and hardware 1 | seconds 4 or 2 | ns 4 | ether type ...

Numbers are big-endian. Whether the capture has the new FCS is not told; of the two places that a trailer can then be
at, the one whose time is nearer to the record's own is right: bytes that are none are seldom within a day of it, and
never nearer. A trailer lies behind the IP packet, so no payload can be taken for one.

Sources: Wireshark's packet-exablaze.c (Exablaze's own; Cisco Nexus 3550-F HPT) and packet-metamako.c (Arista 7130
MetaWatch); CiscoDevNet/n3550-timestamp-decoder; tcpdump's print-arista.c, which describes the header of the 7280 and
7500 series after Arista; SolarCapture's sc_arista7280_48bit_ts and _64bit_ts, for what 16 bits of seconds mean, and for
stamps of 64 bits that are 4 s late. Not read: stamps that are counters and need key frames (Arista 7150, ExaLINK
Fusion's `fcs` and `append` modes), and those written over the source MAC, which nothing in the frame tells.
"""

from enum import IntEnum

from crosswire.nic.capture.defects import Defect
from crosswire.nic.capture.format import LINK_TYPE_ETHERNET
from crosswire.nic.capture.notes import note
from crosswire.nic.capture.state import TIME_UNKNOWN, Source, Window
from crosswire.nic.capture.times import binary_fraction_to_ns
from crosswire.nic.duration import NS_PER_S
from crosswire.nic.memory.struct import Struct, size_of, u8, u16, u32, view
from crosswire.nic.packet import (
    ETHER_TYPE_IPV4,
    ETHER_TYPE_IPV6,
    ETHER_TYPES_VLAN,
    ETHERNET_HEADER_BYTES,
    IPV4_HEADER_BYTES,
    VLAN_TAG_BYTES,
    VLAN_TAGS_MAX,
    EthernetHeader,
    Ipv4Header,
    VlanTag,
)
from crosswire.nic.unit.compile import compiled

LOOKED_AT_MAX = 64  # first frames of a capture that are looked at for a hint
AWAY_NS_MAX = 86_400 * NS_PER_S  # from the capture's own time; no stamp is believed beyond
FCS_BYTES = 4
TRAILER_BYTES = 16  # both kinds, without extensions
FRACTION_DIGITS = 40
FLAG_DEGRADED = 0x10
ETHER_TYPE_ARISTA = 0xD28B
SUBTYPE_TIME = 1
SCALE_TAI, SCALE_UTC = 0, 1
FORMAT_64, FORMAT_48 = 1, 2
SHORT_SECONDS = 1 << 16
# The upper 30 bits of a 64-bit stamp are written when the frame leaves: 4 s too much, if the others rolled over inside.
ROLLOVER_SECONDS = 4
LEAP_SECONDS_2017, LEAP_2017_NS = 37, 1_483_228_800 * NS_PER_S  # TAI ahead of UTC: IERS Bulletin C 52; none since
LEAP_SECONDS_BEFORE = 36  # since July 2015, when no such switch was there yet
IPV6_HEADER_BYTES = 40


class Stamps(IntEnum):
    """Which stamps the frames of a capture carry."""

    NONE = 0  # or what they carry is not wanted
    UNSAID = 1  # look at the first frames, and tell
    EXABLAZE = 2
    METAMAKO = 3
    ARISTA = 4


STAMPS_NAMED = {"": Stamps.UNSAID, **{stamps.name.lower(): stamps for stamps in Stamps if stamps != Stamps.UNSAID}}


class ExablazeTrailer(Struct, packed=True, byte_order="big"):
    original_fcs: u32
    device: u8
    port: u8
    seconds: u32
    fraction_high: u32  # of 40 bits: 2**-40 s
    fraction_low: u8
    reserved: u8


class MetamakoTrailer(Struct, packed=True, byte_order="big"):
    """Its fixed part; extensions and the original FCS stand before it."""

    seconds: u32
    nanoseconds: u32
    flags: u8
    device: u16
    port: u8


class AristaHeader(Struct, packed=True, byte_order="big"):
    """What stands in place of the ether type; `AristaTime64` or `AristaTime48` follows, then the ether type."""

    ether_type: u16
    subtype: u16
    scale: u8
    format_and_hardware: u8


class AristaTime64(Struct, packed=True, byte_order="big"):
    seconds: u32
    nanoseconds: u32


class AristaTime48(Struct, packed=True, byte_order="big"):
    seconds: u16  # the low bits
    nanoseconds: u32


class Ipv6Lengths(Struct, packed=True, byte_order="big"):
    version_class_flow: u32
    payload_length: u16


assert size_of(ExablazeTrailer) == TRAILER_BYTES
assert size_of(MetamakoTrailer) + FCS_BYTES == TRAILER_BYTES


@compiled
def take_stamp(window: Window, source: Source) -> None:
    """Give the record read last the time of its stamp; where there is none that can be, note that."""
    if source.stamps == Stamps.UNSAID:
        look_for_stamp(window, source)
        return
    time_ns = TIME_UNKNOWN
    if source.stamps == Stamps.ARISTA:
        time_ns = take_arista_header_off(window, source)
    elif source.link_type == LINK_TYPE_ETHERNET:
        time_ns = trailer_time(window, source, source.stamps)
    if time_ns == TIME_UNKNOWN:
        note(source, Defect.NO_STAMP, source.record_offset, 1)
        return
    source.stamped += 1
    source.stamp_away_ns = time_ns - own_time(source)
    source.time_ns = time_ns


@compiled
def own_time(source: Source) -> int:
    """The time that the capture gives the record, or gave the one before it; TIME_UNKNOWN if neither."""
    return source.time_ns if source.time_ns != TIME_UNKNOWN else source.reference_ns


@compiled
def look_for_stamp(window: Window, source: Source) -> None:
    """Note a trailer that would be one of a kind that is read: it is not used until that is said."""
    source.stamped += 1
    if source.stamped > LOOKED_AT_MAX:
        source.stamps = Stamps.NONE
    elif source.link_type == LINK_TYPE_ETHERNET:
        if trailer_time(window, source, Stamps.EXABLAZE) != TIME_UNKNOWN:
            note(source, Defect.EXABLAZE, source.record_offset, 1)
        elif trailer_time(window, source, Stamps.METAMAKO) != TIME_UNKNOWN:
            note(source, Defect.METAMAKO, source.record_offset, 1)


@compiled
def trailer_time(window: Window, source: Source, stamps: int) -> int:
    """Read the time of the frame's trailer, ns since the epoch; TIME_UNKNOWN if none can be there."""
    own_ns = own_time(source)
    address = window.base_address + source.frame_offset
    length = source.frame_length
    if own_ns == TIME_UNKNOWN or length < source.original_length:
        return TIME_UNKNOWN
    room = length - packet_end(address, length)
    found_ns = TIME_UNKNOWN
    is_degraded = False
    for fcs_bytes in (0, FCS_BYTES):
        if room >= TRAILER_BYTES + fcs_bytes:
            end = address + length - fcs_bytes
            time_ns = exablaze_time(end) if stamps == Stamps.EXABLAZE else metamako_time(end)
            is_nearer = found_ns == TIME_UNKNOWN or abs(time_ns - own_ns) < abs(found_ns - own_ns)
            if time_ns != TIME_UNKNOWN and is_nearer and abs(time_ns - own_ns) <= AWAY_NS_MAX:
                found_ns = time_ns
                is_degraded = stamps == Stamps.METAMAKO and has_degraded_flag(end)
    if is_degraded and source.stamps == Stamps.METAMAKO:
        note(source, Defect.DEGRADED_STAMP, source.record_offset, 1)
    return found_ns


@compiled
def packet_end(address: int, length: int) -> int:
    """How many bytes of the Ethernet frame its headers and its IP packet take: what follows may be a trailer."""
    if length < ETHERNET_HEADER_BYTES:
        return length
    ether_type = view(EthernetHeader, address).ether_type
    position = ETHERNET_HEADER_BYTES
    for _ in range(VLAN_TAGS_MAX):
        if ether_type in ETHER_TYPES_VLAN and position + VLAN_TAG_BYTES <= length:
            ether_type = view(VlanTag, address + position).ether_type
            position += VLAN_TAG_BYTES
    if ether_type == ETHER_TYPE_IPV4 and position + IPV4_HEADER_BYTES <= length:
        return position + view(Ipv4Header, address + position).total_length
    if ether_type == ETHER_TYPE_IPV6 and position + IPV6_HEADER_BYTES <= length:
        return position + IPV6_HEADER_BYTES + view(Ipv6Lengths, address + position).payload_length
    return position


@compiled
def exablaze_time(end: int) -> int:
    trailer = view(ExablazeTrailer, end - size_of(ExablazeTrailer))
    fraction = (trailer.fraction_high << 8) | trailer.fraction_low
    return trailer.seconds * NS_PER_S + binary_fraction_to_ns(fraction, FRACTION_DIGITS)


@compiled
def metamako_time(end: int) -> int:
    trailer = view(MetamakoTrailer, end - size_of(MetamakoTrailer))
    if trailer.nanoseconds >= NS_PER_S:
        return TIME_UNKNOWN
    return trailer.seconds * NS_PER_S + trailer.nanoseconds


@compiled
def has_degraded_flag(end: int) -> bool:
    return view(MetamakoTrailer, end - size_of(MetamakoTrailer)).flags & FLAG_DEGRADED != 0


@compiled
def take_arista_header_off(window: Window, source: Source) -> int:
    """Take the header out of the frame, if it has one that is known; its time as `trailer_time`."""
    address = window.base_address + source.frame_offset
    position = size_of(EthernetHeader) - 2  # of the ether type
    if source.frame_length < position + size_of(AristaHeader) + size_of(AristaTime64) + 2:
        return TIME_UNKNOWN
    header = view(AristaHeader, address + position)
    if header.ether_type != ETHER_TYPE_ARISTA or header.subtype != SUBTYPE_TIME or header.scale > SCALE_UTC:
        return TIME_UNKNOWN
    is_tai = header.scale == SCALE_TAI
    format_ = header.format_and_hardware >> 4
    position += size_of(AristaHeader)
    if format_ == FORMAT_64:
        long = view(AristaTime64, address + position)
        time_ns = long_time(source, long.seconds, long.nanoseconds, is_tai)
        drop_bytes(address, source, size_of(AristaHeader) + size_of(AristaTime64))
    elif format_ == FORMAT_48:
        short = view(AristaTime48, address + position)
        time_ns = short_time(source, short.seconds, short.nanoseconds, is_tai)
        drop_bytes(address, source, size_of(AristaHeader) + size_of(AristaTime48))
    else:
        return TIME_UNKNOWN
    own_ns = own_time(source)
    is_near = own_ns != TIME_UNKNOWN and abs(time_ns - own_ns) <= AWAY_NS_MAX
    return time_ns if is_near else TIME_UNKNOWN


@compiled
def drop_bytes(address: int, source: Source, count: int) -> None:
    """Move the MAC addresses of a frame over the `count` bytes, more than they are, that follow them."""
    old, new = view(EthernetHeader, address), view(EthernetHeader, address + count)
    new.destination_mac_high = old.destination_mac_high
    new.destination_mac_low = old.destination_mac_low
    new.source_mac_high = old.source_mac_high
    new.source_mac_low = old.source_mac_low
    source.frame_offset += count
    source.frame_length -= count
    source.original_length -= count


@compiled
def leap_seconds(own_ns: int) -> int:
    """How many seconds TAI is ahead of UTC."""
    return LEAP_SECONDS_2017 if own_ns >= LEAP_2017_NS else LEAP_SECONDS_BEFORE


@compiled
def long_time(source: Source, seconds: int, nanoseconds: int, is_tai: bool) -> int:
    """The time that a 64-bit stamp tells; TIME_UNKNOWN if it can't."""
    own_ns = own_time(source)
    if nanoseconds >= NS_PER_S or own_ns == TIME_UNKNOWN:
        return TIME_UNKNOWN
    time_ns = (seconds - (leap_seconds(own_ns) if is_tai else 0)) * NS_PER_S + nanoseconds
    leapt_ns = time_ns - own_ns - source.stamp_away_ns
    if source.stamped != 0 and seconds % ROLLOVER_SECONDS == ROLLOVER_SECONDS - 1 and leapt_ns > 2 * NS_PER_S:
        time_ns -= ROLLOVER_SECONDS * NS_PER_S
    return time_ns


@compiled
def short_time(source: Source, seconds: int, nanoseconds: int, is_tai: bool) -> int:
    """The time that a 48-bit stamp tells: of those with these low bits of seconds, the nearest to the record's own."""
    own_ns = own_time(source)
    if nanoseconds >= NS_PER_S or own_ns == TIME_UNKNOWN:
        return TIME_UNKNOWN
    leap = leap_seconds(own_ns) if is_tai else 0
    ahead = (seconds - leap - own_ns // NS_PER_S) % SHORT_SECONDS
    if ahead >= SHORT_SECONDS // 2:
        ahead -= SHORT_SECONDS
    return (own_ns // NS_PER_S + ahead) * NS_PER_S + nanoseconds
