"""Where the next record begins, behind bytes that are none: looked for byte by byte, and believed only in a chain.

One record is plausible by its fields, and proven by the next: a pcap record by the record header that follows where it
ends (or the file's end), a pcapng block by the length that it repeats. Nothing is read outside the window.
"""

from enum import IntEnum

from crosswire.nic.capture.defects import Defect
from crosswire.nic.capture.format import (
    BLOCK_ALIGNMENT_BYTES,
    BLOCK_BYTES_MAX,
    BLOCK_BYTES_MIN,
    BYTE_ORDER_MAGIC,
    MAGIC_MICROSECONDS,
    MAGIC_MODIFIED,
    MAGIC_NANOSECONDS,
    PCAP_VERSION_MAJOR,
    RECORD_BYTES_MAX,
    BlockHeader,
    BlockTrailer,
    BlockType,
    PcapHeader,
    RecordHeader,
    SectionBlock,
    ordered_u16,
    ordered_u32,
)
from crosswire.nic.capture.notes import note
from crosswire.nic.capture.state import Format, Source, SourceState, Window
from crosswire.nic.duration import NS_PER_S
from crosswire.nic.memory.struct import size_of, view
from crosswire.nic.unit.compile import compiled

NEIGHBOUR_SECONDS = 86_400  # records of one capture found in a search are not farther apart
FRAME_BYTES_MIN = 20  # an IP header: shorter frames are not looked for
MAGICS = (MAGIC_MICROSECONDS, MAGIC_NANOSECONDS, MAGIC_MODIFIED)


class Found(IntEnum):
    NO = 0
    YES = 1
    UNKNOWN = 2  # it depends on bytes that are not in the window, and the file goes on


@compiled
def begin_search(source: Source, is_cut: int) -> int:
    """Note that no record begins at `source.position`."""
    source.is_searching = 1
    source.is_cut = is_cut
    source.garbage_offset = source.position
    source.position += 1
    return SourceState.EMPTY


@compiled
def search(window: Window, source: Source) -> int:
    """Move on to the next record; EMPTY when it is found, ENDED when there is none."""
    while source.position < window.end_offset:
        found = find_record(window, source, source.position)
        if found == Found.YES:
            source.is_searching = 0
            note(source, Defect.GARBAGE, source.garbage_offset, source.position - source.garbage_offset)
            return SourceState.EMPTY
        if found == Found.UNKNOWN:
            return SourceState.STARVED
        source.position += 1
    if window.end_of_file == 0:
        return SourceState.STARVED
    source.is_searching = 0
    if source.is_cut != 0:
        note(source, Defect.CUT_TAIL, source.garbage_offset, 1)
    else:
        note(source, Defect.GARBAGE, source.garbage_offset, window.end_offset - source.garbage_offset)
    return SourceState.ENDED


@compiled
def unknown_or_no(window: Window) -> int:
    return Found.NO if window.end_of_file != 0 else Found.UNKNOWN


@compiled
def find_record(window: Window, source: Source, position: int) -> int:
    """Tell whether a record, a block or a file header begins there (a `Found`)."""
    found = find_file_header(window, position)
    if found != Found.NO:
        return found
    if source.format == Format.PCAPNG:
        return find_block(window, source.swapped, position)
    return find_pcap_record(window, source, position)


@compiled
def find_file_header(window: Window, position: int) -> int:
    """Tell whether the header of another capture begins there: files put together are read one after the other."""
    if position + size_of(BlockHeader) > window.end_offset:
        return unknown_or_no(window)
    magic = view(BlockHeader, window.base_address + position).block_type
    if magic == BlockType.SECTION:
        return find_block(window, 0, position)
    swapped = int(magic not in MAGICS)
    if swapped != 0 and ordered_u32(magic, 1) not in MAGICS:
        return Found.NO
    if position + size_of(PcapHeader) > window.end_offset:
        return unknown_or_no(window)
    header = view(PcapHeader, window.base_address + position)
    is_known = ordered_u16(header.version_major, swapped) == PCAP_VERSION_MAJOR
    return Found.YES if is_known else Found.NO


@compiled
def find_block(window: Window, swapped: int, position: int) -> int:
    """Tell whether a pcapng block of a known type begins there."""
    if position + size_of(BlockHeader) + size_of(SectionBlock) > window.end_offset:
        if window.end_of_file == 0:
            return Found.UNKNOWN
        if position + BLOCK_BYTES_MIN > window.end_offset:
            return Found.NO
    address = window.base_address + position
    header = view(BlockHeader, address)
    order = swapped
    if header.block_type == BlockType.SECTION:
        if position + size_of(BlockHeader) + size_of(SectionBlock) > window.end_offset:
            return Found.NO
        magic = view(SectionBlock, address + size_of(BlockHeader)).byte_order_magic
        if magic != BYTE_ORDER_MAGIC and ordered_u32(magic, 1) != BYTE_ORDER_MAGIC:
            return Found.NO
        order = int(magic != BYTE_ORDER_MAGIC)
    elif not is_block_type(ordered_u32(header.block_type, swapped)):
        return Found.NO
    length = ordered_u32(header.total_length, order)
    if not is_block_length(length):
        return Found.NO
    if position + length > window.end_offset:
        return unknown_or_no(window)
    trailer = view(BlockTrailer, address + length - size_of(BlockTrailer))
    return Found.YES if ordered_u32(trailer.total_length, order) == length else Found.NO


@compiled
def is_block_type(number: int) -> bool:
    return number in (
        BlockType.INTERFACE,
        BlockType.PACKET_OLD,
        BlockType.PACKET_SIMPLE,
        BlockType.NAME_RESOLUTION,
        BlockType.STATISTICS,
        BlockType.PACKET,
        BlockType.JOURNAL,
        BlockType.SECRETS,
        BlockType.CUSTOM,
        BlockType.CUSTOM_UNCOPIED,
    )


@compiled
def is_block_length(length: int) -> bool:
    return BLOCK_BYTES_MIN <= length <= BLOCK_BYTES_MAX and length % BLOCK_ALIGNMENT_BYTES == 0


@compiled
def find_pcap_record(window: Window, source: Source, position: int) -> int:
    """Tell whether a pcap record begins there: it is plausible, and so is what follows it."""
    if position + source.header_bytes > window.end_offset:
        return unknown_or_no(window)
    seconds = plausible_seconds(window, source, position)
    if seconds < 0:
        return Found.NO
    if source.reference_ns > 0 and abs(seconds - source.reference_ns // NS_PER_S) > NEIGHBOUR_SECONDS:
        return Found.NO
    header = view(RecordHeader, window.base_address + position)
    captured_length = ordered_u32(header.captured_length, source.swapped)
    if captured_length < FRAME_BYTES_MIN:
        return Found.NO
    following = position + source.header_bytes + captured_length
    if following + source.header_bytes <= window.end_offset:
        seconds_after = plausible_seconds(window, source, following)
        if seconds_after >= 0 and abs(seconds_after - seconds) > NEIGHBOUR_SECONDS:
            return Found.NO
    return follows(window, source, following)


@compiled
def follows(window: Window, source: Source, position: int) -> int:
    """Tell whether a record can begin there, or another capture, or the file ends there."""
    if position == window.end_offset and window.end_of_file != 0:
        return Found.YES
    if position + source.header_bytes > window.end_offset:
        return unknown_or_no(window)
    if plausible_seconds(window, source, position) >= 0:
        return Found.YES
    return find_file_header(window, position)


@compiled
def plausible_seconds(window: Window, source: Source, position: int) -> int:
    """The seconds of the record header at `position`, which lies in the window; -1 if its fields can't be one's."""
    header = view(RecordHeader, window.base_address + position)
    captured_length = ordered_u32(header.captured_length, source.swapped)
    original_length = ordered_u32(header.original_length, source.swapped)
    seconds = ordered_u32(header.seconds, source.swapped)
    if not captured_length <= original_length <= RECORD_BYTES_MAX:
        return -1
    return seconds if ordered_u32(header.fraction, source.swapped) < source.ticks_per_second else -1
