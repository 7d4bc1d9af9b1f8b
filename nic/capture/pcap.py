"""Records of a pcap file: microseconds, nanoseconds and the modified format, in either byte order."""

from crosswire.nic.capture.defects import Defect
from crosswire.nic.capture.format import (
    LINK_TYPE_MASK,
    MAGIC_MODIFIED,
    MAGIC_NANOSECONDS,
    MODIFIED_HEADER_BYTES,
    RECORD_BYTES_MAX,
    PcapHeader,
    RecordHeader,
    ordered_u32,
)
from crosswire.nic.capture.notes import note
from crosswire.nic.capture.search import MAGICS, Found, begin_search, find_file_header, follows
from crosswire.nic.capture.state import NO_INTERFACE, TIME_UNKNOWN, Format, Source, SourceState, Window
from crosswire.nic.duration import NS_PER_S
from crosswire.nic.memory.struct import size_of, view
from crosswire.nic.unit.compile import compiled

TICKS_PER_SECOND_MICRO = 1_000_000
FRAME_BYTES_USUAL = 2048  # a record that says it is longer is believed when another follows it


@compiled
def out_of_bytes(window: Window, source: Source, is_record: int) -> int:
    """Note that the window ends before the record at `source.position` does."""
    if window.end_of_file == 0:
        return SourceState.STARVED
    return begin_search(source, is_record) if source.position < window.end_offset else SourceState.ENDED


@compiled
def read_pcap_header(window: Window, source: Source) -> int:
    """Take in the file header at `source.position`, which `find_file_header` has found."""
    header = view(PcapHeader, window.base_address + source.position)
    source.swapped = int(header.magic not in MAGICS)
    magic = ordered_u32(header.magic, source.swapped)
    source.format = Format.PCAP
    source.ticks_per_second = NS_PER_S if magic == MAGIC_NANOSECONDS else TICKS_PER_SECOND_MICRO
    source.header_bytes = MODIFIED_HEADER_BYTES if magic == MAGIC_MODIFIED else size_of(RecordHeader)
    source.interface = NO_INTERFACE
    source.rank = 0
    source.link_type = ordered_u32(header.link_type, source.swapped) & LINK_TYPE_MASK
    source.position += size_of(PcapHeader)
    return SourceState.EMPTY


@compiled
def read_pcap_record(window: Window, source: Source) -> int:
    """Read the record at `source.position`; EMPTY when there is something else, which has been seen to."""
    available = window.end_offset - source.position
    if available < source.header_bytes:
        return out_of_bytes(window, source, 1)
    header = view(RecordHeader, window.base_address + source.position)
    captured_length = ordered_u32(header.captured_length, source.swapped)
    original_length = ordered_u32(header.original_length, source.swapped)
    seconds = ordered_u32(header.seconds, source.swapped)
    fraction = ordered_u32(header.fraction, source.swapped)
    if captured_length == 0 or captured_length > RECORD_BYTES_MAX:
        found = find_file_header(window, source.position)
        if found == Found.UNKNOWN:
            return SourceState.STARVED
        if found == Found.YES:
            source.format = Format.UNKNOWN
            return SourceState.EMPTY
        if captured_length != 0 or seconds == 0:  # zeros fill the end of a file that was never closed
            return begin_search(source, 0)
    if source.header_bytes + captured_length > available:
        return out_of_bytes(window, source, 1)
    if captured_length != original_length or captured_length > FRAME_BYTES_USUAL:
        found = follows(window, source, source.position + source.header_bytes + captured_length)
        if found == Found.UNKNOWN:
            return SourceState.STARVED
        if found == Found.NO:
            # One of the two lengths may be right: the one that another record follows.
            if captured_length == original_length:
                return begin_search(source, 0)
            other = source.position + source.header_bytes + original_length
            found = follows(window, source, other) if original_length <= RECORD_BYTES_MAX else Found.NO
            if found == Found.UNKNOWN:
                return SourceState.STARVED
            if found == Found.YES:
                note(source, Defect.CAPTURED_LENGTH, source.position, 1)
                captured_length = original_length
    source.record_offset = source.position
    source.records += 1
    source.frame_offset = source.position + source.header_bytes
    source.frame_length = captured_length
    source.original_length = max(captured_length, original_length)
    source.position = source.frame_offset + captured_length
    if captured_length > original_length:
        note(source, Defect.CAPTURED_LENGTH, source.record_offset, 1)
    if fraction >= source.ticks_per_second:
        source.time_ns = TIME_UNKNOWN
        note(source, Defect.IMPOSSIBLE_TIME, source.record_offset, 1)
    else:
        source.time_ns = seconds * NS_PER_S + fraction * (NS_PER_S // source.ticks_per_second)
    return SourceState.READY
