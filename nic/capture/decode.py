"""Records out of a window of capture bytes: compiled, one record at a time, nothing copied.

A `Capture` is the window over one file, a `Source` is where one reader stands in it. Several readers share a window.
Offsets count from the first byte of the (decompressed) file; the window may move under them between calls.
"""

from enum import IntEnum
from typing import Annotated

from crosswire.nic.capture.format import (
    BLOCK_ALIGNMENT_BYTES,
    BLOCK_BYTES_MIN,
    BYTE_ORDER_MAGIC,
    LINK_TYPE_ETHERNET,
    OPTION_END,
    OPTION_TIME_OFFSET,
    OPTION_TIME_RESOLUTION,
    RECORD_BYTES_MAX,
    BlockHeader,
    BlockTrailer,
    BlockType,
    InterfaceBlock,
    OldPacketBlock,
    OptionHeader,
    PacketBlock,
    RecordHeader,
    SectionBlock,
    SimplePacketBlock,
    TimeOffsetOption,
    TimeResolutionOption,
    ordered_u16,
    ordered_u32,
)
from crosswire.nic.duration import NS_PER_S
from crosswire.nic.memory.struct import Array, Struct, i64, size_of, view
from crosswire.nic.rings.ring import NEVER_NS
from crosswire.nic.unit.compile import compiled

SECONDS_MAX = NEVER_NS // NS_PER_S - 1  # 2116; later times are garbage
INTERFACES_MAX = 64  # of one pcapng section
DEFAULT_RESOLUTION_DIGITS = 6  # if_tsresol when absent: microseconds
NANOSECOND_DIGITS = 9
RESOLUTION_DIGITS_MAX = 18  # attoseconds: finer ticks would not count to a minute in 64 bits
BINARY_RESOLUTION = 0x80
FIVE_TO_NINE = 5**9  # NS_PER_S = FIVE_TO_NINE << 9


class SourceState(IntEnum):
    EMPTY = 0  # no record read
    READY = 1  # a record read and not yet taken
    ENDED = 2  # the file has no more
    STARVED = 3  # the next record is not (wholly) in the window; the file goes on
    FAULTY = 4  # see `Source.fault`


class Fault(IntEnum):
    """Why a capture can't be read on from `Source.fault_offset`."""

    NONE = 0
    TRUNCATED = 1
    CAPTURED_LENGTH = 2
    TIME = 3
    BLOCK_LENGTH = 4
    BLOCK_TRAILER = 5
    BYTE_ORDER = 6
    VERSION = 7
    TOO_MANY_INTERFACES = 8
    UNKNOWN_INTERFACE = 9
    LINK_TYPE = 10
    OPTION_LENGTH = 11
    TIME_RESOLUTION = 12
    TIME_OFFSET = 13


class Capture(Struct):
    """The window over one file."""

    base_address: i64  # plus a stream offset: the address of that byte
    end_offset: i64  # stream offset past the last byte in the window
    end_of_file: i64  # 1: the window's end is the file's end
    is_pcapng: i64
    swapped: i64  # pcap: numbers are big-endian
    ticks_per_second: i64  # pcap
    ns_per_tick: i64  # pcap


class Interface(Struct):
    """What a pcapng interface description says about its packets. Exactly one of the time scales is not zero."""

    link_type: i64
    snap_length: i64
    ns_per_tick: i64
    ticks_per_ns: i64
    binary_digits_and_one: i64  # 1 + n for 2**n ticks a second
    offset_seconds: i64


class Source(Struct):
    """Where one reader stands in one capture, and the record it read last."""

    state: i64  # `SourceState`
    time_ns: i64  # of the last record; NEVER_NS at the end
    frame_offset: i64  # stream offset of the last record's frame
    frame_length: i64
    position: i64  # stream offset of the next record or block
    fault: i64  # `Fault`
    fault_offset: i64
    sliced: i64  # records skipped because the capture kept only part of the frame
    out_of_order: i64  # records earlier than the one before; their time is raised to it
    untimed: i64  # simple packet blocks: they take the time of the record before
    skipped_blocks: i64  # of types that hold no packets
    swapped: i64  # pcapng: of the section
    interface_count: i64
    interfaces: Annotated[Array, Interface, INTERFACES_MAX]


@compiled
def read_record(capture: Capture, source: Source) -> int:
    """Read the next whole frame's record; returns (and sets) `source.state`.

    STARVED and FAULTY leave `source.position` at the record they concern, so the call can be made again.
    """
    state = read_pcapng_record(capture, source) if capture.is_pcapng != 0 else read_pcap_record(capture, source)
    source.state = state
    return state


@compiled
def fail(source: Source, fault: int) -> int:
    source.fault = fault
    source.fault_offset = source.position
    return SourceState.FAULTY


@compiled
def out_of_bytes(capture: Capture, source: Source) -> int:
    """Note that the window ends before the record at `source.position` does."""
    if capture.end_of_file == 0:
        return SourceState.STARVED
    if source.position < capture.end_offset:
        return fail(source, Fault.TRUNCATED)
    source.time_ns = NEVER_NS
    return SourceState.ENDED


@compiled
def found_frame(source: Source, time_ns: int, frame_offset: int, length: int) -> int:
    """Note a frame. Time never goes back within a file: a late record gets the time of the one before."""
    if time_ns < source.time_ns:
        source.out_of_order += 1
    else:
        source.time_ns = time_ns
    source.frame_offset = frame_offset
    source.frame_length = length
    return SourceState.READY


@compiled
def read_pcap_record(capture: Capture, source: Source) -> int:
    while True:
        available = capture.end_offset - source.position
        if available < size_of(RecordHeader):
            return out_of_bytes(capture, source)
        header = view(RecordHeader, capture.base_address + source.position)
        captured_length = ordered_u32(header.captured_length, capture.swapped)
        original_length = ordered_u32(header.original_length, capture.swapped)
        seconds = ordered_u32(header.seconds, capture.swapped)
        fraction = ordered_u32(header.fraction, capture.swapped)
        if captured_length > RECORD_BYTES_MAX or captured_length > original_length:
            return fail(source, Fault.CAPTURED_LENGTH)
        if fraction >= capture.ticks_per_second:
            return fail(source, Fault.TIME)
        if size_of(RecordHeader) + captured_length > available:
            return out_of_bytes(capture, source)
        frame_offset = source.position + size_of(RecordHeader)
        source.position = frame_offset + captured_length
        if captured_length == original_length:
            time_ns = seconds * NS_PER_S + fraction * capture.ns_per_tick
            return found_frame(source, time_ns, frame_offset, captured_length)
        source.sliced += 1


@compiled
def read_pcapng_record(capture: Capture, source: Source) -> int:
    while True:
        available = capture.end_offset - source.position
        if available < BLOCK_BYTES_MIN:
            return out_of_bytes(capture, source)
        address = capture.base_address + source.position
        header = view(BlockHeader, address)
        if header.block_type == BlockType.SECTION:
            magic = view(SectionBlock, address + size_of(BlockHeader)).byte_order_magic
            if magic != BYTE_ORDER_MAGIC and ordered_u32(magic, 1) != BYTE_ORDER_MAGIC:
                return fail(source, Fault.BYTE_ORDER)
            source.swapped = 0 if magic == BYTE_ORDER_MAGIC else 1
        total_length = ordered_u32(header.total_length, source.swapped)
        if total_length < BLOCK_BYTES_MIN or total_length % BLOCK_ALIGNMENT_BYTES != 0:
            return fail(source, Fault.BLOCK_LENGTH)
        if total_length > available:
            return out_of_bytes(capture, source)
        trailer = view(BlockTrailer, address + total_length - size_of(BlockTrailer))
        if ordered_u32(trailer.total_length, source.swapped) != total_length:
            return fail(source, Fault.BLOCK_TRAILER)
        body_length = total_length - BLOCK_BYTES_MIN
        state = read_block(capture, source, ordered_u32(header.block_type, source.swapped), body_length)
        if state == SourceState.FAULTY:
            return state
        source.position += total_length
        if state == SourceState.READY:
            return state


@compiled
def read_block(capture: Capture, source: Source, block_type: int, length: int) -> int:
    """Read the body, `length` bytes, of the block at `source.position`; EMPTY when it gives no frame."""
    body_offset = source.position + size_of(BlockHeader)
    body_address = capture.base_address + body_offset
    if block_type == BlockType.PACKET or block_type == BlockType.PACKET_OLD:
        if length < size_of(PacketBlock):
            return fail(source, Fault.BLOCK_LENGTH)
        block = view(PacketBlock, body_address)
        interface = ordered_u32(block.interface, source.swapped)
        if block_type == BlockType.PACKET_OLD:
            interface = ordered_u16(view(OldPacketBlock, body_address).interface, source.swapped)
        return read_packet(
            source,
            interface,
            ordered_u32(block.time_high, source.swapped),
            ordered_u32(block.time_low, source.swapped),
            ordered_u32(block.captured_length, source.swapped),
            ordered_u32(block.original_length, source.swapped),
            body_offset + size_of(PacketBlock),
            length - size_of(PacketBlock),
        )
    if block_type == BlockType.PACKET_SIMPLE:
        return read_simple_packet(capture, source, body_offset, length)
    if block_type == BlockType.INTERFACE:
        return read_interface(source, body_address, length)
    if block_type == BlockType.SECTION:
        return read_section(source, body_address, length)
    source.skipped_blocks += 1
    return SourceState.EMPTY


@compiled
def read_section(source: Source, body_address: int, length: int) -> int:
    if length < size_of(SectionBlock):
        return fail(source, Fault.BLOCK_LENGTH)
    if ordered_u16(view(SectionBlock, body_address).version_major, source.swapped) != 1:
        return fail(source, Fault.VERSION)
    source.interface_count = 0
    return SourceState.EMPTY


@compiled
def read_interface(source: Source, body_address: int, length: int) -> int:
    if length < size_of(InterfaceBlock):
        return fail(source, Fault.BLOCK_LENGTH)
    if source.interface_count >= INTERFACES_MAX:
        return fail(source, Fault.TOO_MANY_INTERFACES)
    block = view(InterfaceBlock, body_address)
    interface = source.interfaces[source.interface_count]
    interface.link_type = ordered_u16(block.link_type, source.swapped)
    interface.snap_length = ordered_u32(block.snap_length, source.swapped)
    interface.offset_seconds = 0
    fault = set_resolution(interface, DEFAULT_RESOLUTION_DIGITS)
    position = body_address + size_of(InterfaceBlock)
    end = body_address + length
    while fault == Fault.NONE and position + size_of(OptionHeader) <= end:
        option = view(OptionHeader, position)
        code = ordered_u16(option.code, source.swapped)
        option_length = ordered_u16(option.length, source.swapped)
        position += size_of(OptionHeader)
        if code == OPTION_END:
            break
        if position + option_length > end:
            return fail(source, Fault.OPTION_LENGTH)
        if code in (OPTION_TIME_RESOLUTION, OPTION_TIME_OFFSET):
            fault = read_time_option(interface, code, position, option_length, source.swapped)
        position += (option_length + BLOCK_ALIGNMENT_BYTES - 1) // BLOCK_ALIGNMENT_BYTES * BLOCK_ALIGNMENT_BYTES
    if fault != Fault.NONE:
        return fail(source, fault)
    source.interface_count += 1
    return SourceState.EMPTY


@compiled
def read_time_option(interface: Interface, code: int, address: int, length: int, swapped: int) -> int:
    """Apply an if_tsresol or if_tsoffset option of `length` bytes; returns a `Fault`."""
    if code == OPTION_TIME_RESOLUTION:
        if length != size_of(TimeResolutionOption):
            return Fault.OPTION_LENGTH
        return set_resolution(interface, view(TimeResolutionOption, address).value)
    if length != size_of(TimeOffsetOption):
        return Fault.OPTION_LENGTH
    option = view(TimeOffsetOption, address)
    first = ordered_u32(option.first, swapped)
    second = ordered_u32(option.second, swapped)
    low, high = (second, first) if swapped != 0 else (first, second)
    seconds = (high - (1 << 32) if high >= 1 << 31 else high) * (1 << 32) + low
    if seconds > SECONDS_MAX or seconds < -SECONDS_MAX:
        return Fault.TIME_OFFSET
    interface.offset_seconds = seconds
    return Fault.NONE


@compiled
def set_resolution(interface: Interface, resolution: int) -> int:
    """Choose the time scale that an if_tsresol value asks for; returns a `Fault`."""
    interface.ns_per_tick = 0
    interface.ticks_per_ns = 0
    interface.binary_digits_and_one = 0
    if resolution >= BINARY_RESOLUTION:
        digits = resolution - BINARY_RESOLUTION
        if digits > 63:
            return Fault.TIME_RESOLUTION
        interface.binary_digits_and_one = digits + 1
        return Fault.NONE
    if resolution > RESOLUTION_DIGITS_MAX:
        return Fault.TIME_RESOLUTION
    scale = 1
    for _ in range(abs(resolution - NANOSECOND_DIGITS)):
        scale *= 10
    if resolution <= NANOSECOND_DIGITS:
        interface.ns_per_tick = scale
    else:
        interface.ticks_per_ns = scale
    return Fault.NONE


@compiled
def ticks_to_ns(interface: Interface, high: int, low: int) -> int:
    """Time since the epoch of a 64-bit tick count in two halves, rounded down; -1 when it can't be a time."""
    if high >= 1 << 31:
        return -1
    ticks = (high << 32) | low
    if interface.ns_per_tick != 0:
        if ticks > (NEVER_NS - 1) // interface.ns_per_tick:
            return -1
        time_ns = ticks * interface.ns_per_tick
    elif interface.ticks_per_ns != 0:
        time_ns = ticks // interface.ticks_per_ns
    else:
        digits = interface.binary_digits_and_one - 1
        seconds = ticks >> digits
        if seconds > SECONDS_MAX:
            return -1
        time_ns = seconds * NS_PER_S + binary_fraction_to_ns(ticks - (seconds << digits), digits)
    time_ns += interface.offset_seconds * NS_PER_S
    return time_ns if 0 <= time_ns < NEVER_NS else -1


@compiled
def binary_fraction_to_ns(fraction: int, digits: int) -> int:
    """floor(fraction * 1e9 / 2**digits) for fraction < 2**digits, exactly, without leaving 64 bits."""
    if digits < 9:
        return fraction * (NS_PER_S >> digits)
    if digits <= 41:  # FIVE_TO_NINE < 2**21
        return (fraction * FIVE_TO_NINE) >> (digits - 9)
    high = (fraction >> 32) * FIVE_TO_NINE
    low = (fraction & 0xFFFFFFFF) * FIVE_TO_NINE
    return (high + (low >> 32)) >> (digits - 41)


@compiled
def read_packet(
    source: Source,
    interface_index: int,
    time_high: int,
    time_low: int,
    captured_length: int,
    original_length: int,
    frame_offset: int,
    room: int,
) -> int:
    """Read an enhanced or old packet block: the frame has `room` bytes of the block."""
    if interface_index >= source.interface_count:
        return fail(source, Fault.UNKNOWN_INTERFACE)
    interface = source.interfaces[interface_index]
    if interface.link_type != LINK_TYPE_ETHERNET:
        return fail(source, Fault.LINK_TYPE)
    if captured_length > room or captured_length > original_length:
        return fail(source, Fault.CAPTURED_LENGTH)
    time_ns = ticks_to_ns(interface, time_high, time_low)
    if time_ns < 0:
        return fail(source, Fault.TIME)
    if captured_length < original_length:
        source.sliced += 1
        return SourceState.EMPTY
    return found_frame(source, time_ns, frame_offset, captured_length)


@compiled
def read_simple_packet(capture: Capture, source: Source, body_offset: int, length: int) -> int:
    """Read a simple packet block: the captured length is the least of original length and snap length."""
    if length < size_of(SimplePacketBlock):
        return fail(source, Fault.BLOCK_LENGTH)
    if source.interface_count == 0:
        return fail(source, Fault.UNKNOWN_INTERFACE)
    interface = source.interfaces[0]
    if interface.link_type != LINK_TYPE_ETHERNET:
        return fail(source, Fault.LINK_TYPE)
    block = view(SimplePacketBlock, capture.base_address + body_offset)
    original_length = ordered_u32(block.original_length, source.swapped)
    captured_length = original_length
    if 0 < interface.snap_length < original_length:
        captured_length = interface.snap_length
    if captured_length > length - size_of(SimplePacketBlock):
        return fail(source, Fault.CAPTURED_LENGTH)
    if captured_length < original_length:
        source.sliced += 1
        return SourceState.EMPTY
    source.untimed += 1
    return found_frame(source, source.time_ns, body_offset + size_of(SimplePacketBlock), captured_length)
