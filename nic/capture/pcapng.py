"""Blocks of a pcapng file: sections in either byte order, interfaces, and the three kinds of packet block."""

from crosswire.nic.capture.defects import Defect
from crosswire.nic.capture.format import (
    BLOCK_ALIGNMENT_BYTES,
    BLOCK_BYTES_MIN,
    BYTE_ORDER_MAGIC,
    MICROSECOND_DIGITS,
    OPTION_END,
    OPTION_INTERFACE_DROPS,
    OPTION_SYSTEM_DROPS,
    OPTION_TIME_OFFSET,
    OPTION_TIME_RESOLUTION,
    BlockHeader,
    BlockTrailer,
    BlockType,
    InterfaceBlock,
    OldPacketBlock,
    OptionHeader,
    PacketBlock,
    SectionBlock,
    SimplePacketBlock,
    StatisticsBlock,
    TimeResolutionOption,
    WideOption,
    ordered_u16,
    ordered_u32,
)
from crosswire.nic.capture.notes import note
from crosswire.nic.capture.order import begin_part
from crosswire.nic.capture.pcap import out_of_bytes
from crosswire.nic.capture.search import MAGICS, Found, begin_search, find_file_header, find_record, is_block_length
from crosswire.nic.capture.state import (
    INTERFACES_MAX,
    SECONDS_MAX,
    TIME_UNKNOWN,
    Format,
    Interface,
    Source,
    SourceState,
    Window,
)
from crosswire.nic.capture.times import set_no_time, set_resolution, ticks_to_ns
from crosswire.nic.memory.struct import size_of, view
from crosswire.nic.unit.compile import compiled

SECTION_VERSION = 1
SECTION_VERSIONS_MINOR = (0, 2)  # which mean the same (draft-ietf-opsawg-pcapng, 4.1)
NO_OPTION = 0
NO_LINK_TYPE = -1  # of an interface whose description was too short


@compiled
def read_block(window: Window, source: Source) -> int:
    """Read the block at `source.position`; READY when it holds a packet, EMPTY when it does not."""
    available = window.end_offset - source.position
    if available < BLOCK_BYTES_MIN:
        return out_of_bytes(window, source, 1)
    address = window.base_address + source.position
    header = view(BlockHeader, address)
    raw_type = header.block_type
    if raw_type == BlockType.SECTION:
        magic = view(SectionBlock, address + size_of(BlockHeader)).byte_order_magic
        if magic != BYTE_ORDER_MAGIC and ordered_u32(magic, 1) != BYTE_ORDER_MAGIC:
            return begin_search(source, 0)
        source.swapped = int(magic != BYTE_ORDER_MAGIC)
    elif raw_type in MAGICS or ordered_u32(raw_type, 1) in MAGICS:
        found = find_file_header(window, source.position)
        if found == Found.UNKNOWN:
            return SourceState.STARVED
        if found == Found.YES:
            source.format = Format.UNKNOWN
            return SourceState.EMPTY
    length = ordered_u32(header.total_length, source.swapped)
    if not is_block_length(length):
        return begin_search(source, 0)
    if length > available:
        return out_of_bytes(window, source, 1)
    trailer = view(BlockTrailer, address + length - size_of(BlockTrailer))
    if ordered_u32(trailer.total_length, source.swapped) != length:
        following = source.position + length
        is_last = following == window.end_offset and window.end_of_file != 0
        found = Found.YES if is_last else find_record(window, source, following)
        if found == Found.UNKNOWN:
            return SourceState.STARVED
        if found == Found.NO:
            return begin_search(source, 0)
        note(source, Defect.BLOCK_TRAILER, source.position, 1)
    source.record_offset = source.position
    source.position += length
    block_type = ordered_u32(raw_type, source.swapped)
    body = source.record_offset + size_of(BlockHeader)
    return read_body(window, source, block_type, body, length - BLOCK_BYTES_MIN)


@compiled
def read_body(window: Window, source: Source, block_type: int, body: int, length: int) -> int:
    """Read the `length` bytes of a block's body, from stream offset `body`."""
    address = window.base_address + body
    if block_type == BlockType.PACKET or block_type == BlockType.PACKET_OLD:
        if length < size_of(PacketBlock):
            return pass_over(source, length)
        interface = ordered_u32(view(PacketBlock, address).interface, source.swapped)
        if block_type == BlockType.PACKET_OLD:
            interface = ordered_u16(view(OldPacketBlock, address).interface, source.swapped)
        return read_packet(window, source, interface, body, length)
    if block_type == BlockType.PACKET_SIMPLE:
        return read_simple_packet(window, source, body, length)
    if block_type == BlockType.INTERFACE:
        return read_interface(source, address, length)
    if block_type == BlockType.STATISTICS:
        return read_statistics(source, address, length)
    if block_type == BlockType.SECTION:
        return read_section(source, address, length)
    return SourceState.EMPTY


@compiled
def pass_over(source: Source, length: int) -> int:
    """Count a block whose body can't be of its type."""
    note(source, Defect.GARBAGE, source.record_offset, length + BLOCK_BYTES_MIN)
    return SourceState.EMPTY


@compiled
def read_section(source: Source, address: int, length: int) -> int:
    begin_part(source)
    source.interface_count = 0
    if length < size_of(SectionBlock):
        return pass_over(source, length)
    block = view(SectionBlock, address)
    minor = ordered_u16(block.version_minor, source.swapped)
    if ordered_u16(block.version_major, source.swapped) != SECTION_VERSION or minor not in SECTION_VERSIONS_MINOR:
        note(source, Defect.VERSION, source.record_offset, 1)
    return SourceState.EMPTY


@compiled
def read_interface(source: Source, address: int, length: int) -> int:
    """Describe the section's next interface; those beyond INTERFACES_MAX are only counted."""
    number = source.interface_count
    source.interface_count += 1
    if number >= INTERFACES_MAX:
        return SourceState.EMPTY
    interface = source.interfaces[number]
    interface.link_type = NO_LINK_TYPE
    interface.snap_length = 0
    interface.offset_seconds = 0
    interface.dropped = 0
    interface.tie_ns = TIME_UNKNOWN
    set_resolution(interface, MICROSECOND_DIGITS)
    if length < size_of(InterfaceBlock):
        return pass_over(source, length)
    block = view(InterfaceBlock, address)
    interface.link_type = ordered_u16(block.link_type, source.swapped)
    interface.snap_length = ordered_u32(block.snap_length, source.swapped)
    end = address + length
    option = find_option(address + size_of(InterfaceBlock), end, OPTION_TIME_RESOLUTION, source.swapped)
    if option != NO_OPTION:
        if option_length(option, source.swapped) != size_of(TimeResolutionOption) or not set_resolution(
            interface, view(TimeResolutionOption, option + size_of(OptionHeader)).value
        ):
            set_no_time(interface)
    option = find_option(address + size_of(InterfaceBlock), end, OPTION_TIME_OFFSET, source.swapped)
    if option != NO_OPTION:
        set_offset(interface, option, source.swapped)
    return SourceState.EMPTY


@compiled
def option_length(option: int, swapped: int) -> int:
    return ordered_u16(view(OptionHeader, option).length, swapped)


@compiled
def find_option(address: int, end: int, code: int, swapped: int) -> int:
    """The address of the option of this code that lies wholly before `end`, from `address` on; NO_OPTION if none."""
    position = address
    while position + size_of(OptionHeader) <= end:
        found = ordered_u16(view(OptionHeader, position).code, swapped)
        after = position + size_of(OptionHeader) + option_length(position, swapped)
        if found == OPTION_END or after > end:
            return NO_OPTION
        if found == code:
            return position
        position = after + (address - after) % BLOCK_ALIGNMENT_BYTES
    return NO_OPTION


@compiled
def set_offset(interface: Interface, option: int, swapped: int) -> None:
    """Apply an if_tsoffset option; one out of the calendar leaves the interface without times."""
    seconds = 0
    if option_length(option, swapped) == size_of(WideOption):
        wide = view(WideOption, option + size_of(OptionHeader))
        first = ordered_u32(wide.first, swapped)
        second = ordered_u32(wide.second, swapped)
        low, high = (second, first) if swapped != 0 else (first, second)
        seconds = (high - (1 << 32) if high >= 1 << 31 else high) * (1 << 32) + low
        if -SECONDS_MAX <= seconds <= SECONDS_MAX:
            interface.offset_seconds = seconds
            return
    set_no_time(interface)


@compiled
def read_statistics(source: Source, address: int, length: int) -> int:
    """Note what the capturing host says it lost on an interface so far: a later block of the interface says it anew."""
    if length < size_of(StatisticsBlock):
        return pass_over(source, length)
    number = ordered_u32(view(StatisticsBlock, address).interface, source.swapped)
    if number >= min(source.interface_count, INTERFACES_MAX):
        return SourceState.EMPTY
    interface = source.interfaces[number]
    dropped = 0
    for code in (OPTION_INTERFACE_DROPS, OPTION_SYSTEM_DROPS):
        option = find_option(address + size_of(StatisticsBlock), address + length, code, source.swapped)
        if option != NO_OPTION and option_length(option, source.swapped) == size_of(WideOption):
            wide = view(WideOption, option + size_of(OptionHeader))
            first, second = ordered_u32(wide.first, source.swapped), ordered_u32(wide.second, source.swapped)
            low, high = (second, first) if source.swapped != 0 else (first, second)
            dropped += low if high == 0 else 0  # all ones: not known
    if dropped > interface.dropped:
        note(source, Defect.DROPPED, source.record_offset, dropped - interface.dropped)
        interface.dropped = dropped
    return SourceState.EMPTY


@compiled
def read_packet(window: Window, source: Source, interface_number: int, body: int, length: int) -> int:
    """Read an enhanced or old packet block."""
    block = view(PacketBlock, window.base_address + body)
    captured_length = ordered_u32(block.captured_length, source.swapped)
    original_length = ordered_u32(block.original_length, source.swapped)
    room = length - size_of(PacketBlock)
    source.records += 1
    if not is_described(source, interface_number):
        return SourceState.EMPTY
    if captured_length > max(room, original_length):
        note(source, Defect.CAPTURED_LENGTH, source.record_offset, 1)
    source.frame_offset = body + size_of(PacketBlock)
    source.frame_length = min(captured_length, room)
    source.original_length = max(original_length, source.frame_length)
    interface = source.interfaces[interface_number]
    source.link_type = interface.link_type
    time_high, time_low = ordered_u32(block.time_high, source.swapped), ordered_u32(block.time_low, source.swapped)
    source.time_ns = ticks_to_ns(interface, time_high, time_low)
    if source.time_ns == TIME_UNKNOWN:
        note(source, Defect.IMPOSSIBLE_TIME, source.record_offset, 1)
    interface.tie_rank = interface.tie_rank + 1 if source.time_ns == interface.tie_ns else 0
    interface.tie_ns = source.time_ns
    source.rank = interface.tie_rank
    source.interface = interface_number
    return SourceState.READY


@compiled
def is_described(source: Source, interface_number: int) -> bool:
    """Tell whether an interface is known; if not, count the packet."""
    known = min(source.interface_count, INTERFACES_MAX)
    if interface_number < known and source.interfaces[interface_number].link_type != NO_LINK_TYPE:
        return True
    defect = Defect.INTERFACES if known <= interface_number < source.interface_count else Defect.INTERFACE
    note(source, defect, source.record_offset, 1)
    return False


@compiled
def read_simple_packet(window: Window, source: Source, body: int, length: int) -> int:
    """Read a simple packet block: the captured length is the least of original length and snap length."""
    if length < size_of(SimplePacketBlock):
        return pass_over(source, length)
    source.records += 1
    if not is_described(source, 0):
        return SourceState.EMPTY
    interface = source.interfaces[0]
    original_length = ordered_u32(view(SimplePacketBlock, window.base_address + body).original_length, source.swapped)
    captured_length = original_length
    if 0 < interface.snap_length < original_length:
        captured_length = interface.snap_length
    room = length - size_of(SimplePacketBlock)
    if captured_length > room:
        note(source, Defect.CAPTURED_LENGTH, source.record_offset, 1)
    source.frame_offset = body + size_of(SimplePacketBlock)
    source.frame_length = min(captured_length, room)
    source.original_length = original_length
    source.link_type = interface.link_type
    source.time_ns = TIME_UNKNOWN
    source.interface = 0
    source.rank = 0
    note(source, Defect.NO_TIME, source.record_offset, 1)
    return SourceState.READY
