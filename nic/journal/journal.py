"""Write records into a journal's memory, from one thread, without a system call.

    record = view(FillRecord, begin_record(journal, size_of(FillRecord)))
    record.price_ticks = ...
    commit_record(journal, Kind.FILL, 1, size_of(FillRecord), now_ns)

Whoever provides the memory (`nic/journal/files.py`) gives the next segment before the last one is full. While there is
none, what does not fit is counted as dropped and written nowhere; `wants_segment` says so a megabyte earlier.
"""

from typing import Annotated

from crosswire.nic.journal.format import (
    MAGIC,
    PAYLOAD_BYTES_MAX,
    RECORD_BYTES_MAX,
    Multipliers,
    RecordHeader,
    SegmentHeader,
    commit_word,
    segment_checksum,
)
from crosswire.nic.memory.raw import LINE_BYTES, prefetch_to_write, store_i64_release
from crosswire.nic.memory.struct import Array, Struct, address_of, i64, size_of, u8, view
from crosswire.nic.unit.compile import inlined, outlined

# Room that the loop keeps for one turn. A frame of 64 KiB tells of 2,000 fills at most, which may end as many orders:
# 600 kB of records. What all strategies may ask for then, and at their timers, is 2 * 8 * 64 orders more, each sent and
# not sent at worst.
RESERVE_BYTES = 1 << 20


class Journal(Struct):
    """A journal being written. All addresses are in memory that its owner keeps."""

    position: i64  # where the next record goes
    limit: i64  # behind the segment
    turn_limit: i64  # beyond it there is no room for a turn
    next_position: i64  # of the segment to come, 0: none yet; set last by its owner
    next_limit: i64
    sequence: i64  # of the last record
    left_position: i64  # behind the last record of the segment before
    segments: Annotated[Array, i64, 1]  # begun; set last of all, for another thread to see
    dropped: i64  # records that there was no room for
    is_full: i64
    key: i64
    scratch: Annotated[Array, u8, RECORD_BYTES_MAX]  # where a record goes that is dropped
    multipliers: Multipliers


@inlined
def begin_record(journal: Journal, payload_bytes: int) -> int:
    """Return where to write a record's payload: whole words, all of them to be written, then `commit_record`."""
    assert payload_bytes <= PAYLOAD_BYTES_MAX
    if journal.position + size_of(RecordHeader) + payload_bytes > journal.limit:
        begin_segment(journal)
    if journal.is_full != 0:
        return address_of(journal.scratch)
    return journal.position + size_of(RecordHeader)


@outlined
def begin_segment(journal: Journal) -> None:
    """Go on in the next segment, if it is there."""
    if journal.next_position == 0:
        journal.is_full = 1
        return
    address = journal.next_position - size_of(SegmentHeader)
    header = view(SegmentHeader, address)
    header.first_sequence = journal.sequence + 1
    header.magic = MAGIC
    header.checksum = segment_checksum(journal.multipliers, address)
    journal.left_position = journal.position
    journal.position = journal.next_position
    journal.limit = journal.next_limit
    journal.turn_limit = journal.limit - RESERVE_BYTES
    journal.is_full = 0
    store_i64_release(address_of(journal.segments), journal.segments[0] + 1)
    journal.next_position = 0


@inlined
def commit_record(journal: Journal, kind: int, version: int, payload_bytes: int, time_ns: int) -> None:
    """Make the record that was begun one: whole and numbered, from now on seen by every reader.

    Its checksum is made where it is taken out of memory (`nic/journal/seal.py`): 81 instructions less before an order.
    """
    if journal.is_full != 0:
        journal.dropped += 1
        return
    sequence = journal.sequence + 1
    journal.sequence = sequence
    address = journal.position
    header = view(RecordHeader, address)
    header.sequence = sequence
    header.time_ns = time_ns
    store_i64_release(address, commit_word(kind, version, payload_bytes))
    behind = address + size_of(RecordHeader) + payload_bytes
    store_i64_release(address_of(journal), behind)  # `position`: another thread takes what is before it for committed
    # The next record's lines are new to this core: what is written there would wait, and an order's frame behind it.
    line = behind & -LINE_BYTES
    prefetch_to_write(line + LINE_BYTES)
    prefetch_to_write(line + 2 * LINE_BYTES)


@inlined
def wants_segment(journal: Journal) -> bool:
    """Tell whether the next turn needs a segment that is not there."""
    return journal.position > journal.turn_limit and journal.next_position == 0


assert Journal.fields["position"].offset == 0  # `commit_record` stores it at the journal's own address
