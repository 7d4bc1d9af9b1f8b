"""Walk through a segment: find its whole records, prove their checksums or make them, and say what ends them."""

from enum import IntEnum
from typing import Annotated

from crosswire.nic.journal.format import (
    MAGIC,
    MARK,
    PAYLOAD_BYTES_MAX,
    VERSION,
    WORD_BYTES,
    CommitWord,
    Multipliers,
    RecordHeader,
    SegmentHeader,
    make_multipliers,
    record_checksum,
    segment_checksum,
)
from crosswire.nic.memory.raw import load_i64_acquire
from crosswire.nic.memory.struct import Pointer, Struct, array, copy_struct, i64, size_of, view
from crosswire.nic.unit.call import call_unit, machine_code
from crosswire.nic.unit.compile import compiled
from crosswire.nic.unit.unit import Unit

PLACES_MAX = 1 << 14  # records that one call finds


class End(IntEnum):
    """Why no more records were found."""

    MORE = 0  # the table of places is full: call again
    TAIL = 1  # zeros, or the end of the segment
    UNFINISHED = 2  # bytes behind the last record that never became one: its writer died there
    BAD_LENGTH = 3  # a length that no record has, or one that does not fit the segment
    BAD_SEQUENCE = 4  # whole, but not the next record
    BAD_CHECKSUM = 5  # a bit is not what was written
    BAD_SEGMENT = 6  # its header is not one


class Walk(Struct):
    """How far a segment has been read."""

    address: i64  # of the segment
    bytes: i64  # that are there: whole words
    offset: i64  # of the next record, 0 before the header is read
    key: i64
    sequence: i64  # of the last record found
    count: i64  # records that the last call found
    end: i64  # End
    places: Annotated[Pointer, i64]  # their offsets, PLACES_MAX at most
    makes_sums: i64  # 1: checksums are filled in, and neither they nor the numbers are proven
    multipliers: Multipliers


def make_walk(makes_sums: int = 0) -> Walk:
    """Make a walk; `address`, `bytes` and `offset` are to be set."""
    walk = Walk(places=array(i64, PLACES_MAX), makes_sums=makes_sums)
    copy_struct(walk.multipliers, make_multipliers())
    return walk


@compiled
def walk_segment(walk: Walk) -> None:
    """Find the next records, PLACES_MAX at most; `end` says why there are no more."""
    walk.count = 0
    walk.end = End.MORE
    if walk.offset == 0:
        if not _is_segment(walk):
            walk.end = End.BAD_SEGMENT
            return
        header = view(SegmentHeader, walk.address)
        walk.key = header.key
        walk.sequence = header.first_sequence - 1
        walk.offset = size_of(SegmentHeader)
    while walk.count < PLACES_MAX:
        end = _next_record(walk)
        if end != End.MORE:
            walk.end = end
            return


@compiled
def _is_segment(walk: Walk) -> bool:
    if walk.bytes < size_of(SegmentHeader):
        return False
    header = view(SegmentHeader, walk.address)
    if header.magic != MAGIC or header.version != VERSION:
        return False
    return header.checksum == segment_checksum(walk.multipliers, walk.address)


@compiled
def _next_record(walk: Walk) -> int:
    """Take the record at `offset` into `places` (End.MORE), or say why there is none."""
    left_bytes = walk.bytes - walk.offset
    if left_bytes < size_of(RecordHeader):
        return End.TAIL
    address = walk.address + walk.offset
    commit = load_i64_acquire(address)
    if commit == 0:
        return (
            End.UNFINISHED
            if _has_bytes(address, min(left_bytes, size_of(RecordHeader) + PAYLOAD_BYTES_MAX))
            else End.TAIL
        )
    word = view(CommitWord, address)
    payload_bytes = word.payload_bytes
    if word.mark != MARK or payload_bytes > PAYLOAD_BYTES_MAX or payload_bytes % WORD_BYTES != 0:
        return End.BAD_LENGTH
    if size_of(RecordHeader) + payload_bytes > left_bytes:
        return End.BAD_LENGTH
    header = view(RecordHeader, address)
    expected = record_checksum(
        walk.multipliers,
        walk.key,
        commit,
        header.sequence,
        header.time_ns,
        address + size_of(RecordHeader),
        payload_bytes // WORD_BYTES,
    )
    if walk.makes_sums != 0:
        header.checksum = expected
    elif header.checksum != expected:
        return End.BAD_CHECKSUM
    elif header.sequence != walk.sequence + 1:
        return End.BAD_SEQUENCE
    walk.sequence += 1
    walk.places[walk.count] = walk.offset
    walk.count += 1
    walk.offset += size_of(RecordHeader) + payload_bytes
    return End.MORE


@compiled
def _has_bytes(address: int, length: int) -> bool:
    """Tell whether something was written where no record is; `length` is whole words."""
    for offset in range(0, length, WORD_BYTES):
        if load_i64_acquire(address + offset) != 0:
            return True
    return False


WALK_SEGMENT = machine_code(walk_segment)


def walk_unit() -> Unit:
    """Describe the unit of `WALK_SEGMENT`, for whoever wants it loaded before it is called."""
    return call_unit(walk_segment, (Walk,))
