"""The state of reading one capture: where it stands, what its file said of itself, and the records that wait in order.

A `Window` is the part of the (decompressed) file that is in memory; a `Source` reads records out of it, each once.
Offsets count from the first byte of the file; the window may move under them between calls.
"""

from enum import IntEnum
from typing import Annotated

from crosswire.nic.capture.defects import DEFECTS, LINK_TYPES_MAX
from crosswire.nic.duration import NS_PER_S
from crosswire.nic.memory.struct import Array, Struct, i32, i64, size_of, u32
from crosswire.nic.packet import EthernetHeader
from crosswire.nic.rings.ring import NEVER_NS

INTERFACES_MAX = 1024  # of one pcapng section
ORDER_RECORDS = 512  # a record is put in order if no more than this many came before it that belong after it
RUN_RECORDS_MAX = 128  # records in a row whose times leap away and may still turn out to be wrong
WAITING_MAX = 2 * ORDER_RECORDS  # a ring: room for those in order, and for a run in doubt
WAITING_MASK = WAITING_MAX - 1
LEAP_NS = 10 * NS_PER_S  # a step between neighbours that makes a time doubtful; no card holds frames back so long
SILENCE_NS_MAX = 366 * 86_400 * NS_PER_S  # after a capture's first records; more is a clock that had not been set
TIME_UNKNOWN = -1
NO_INTERFACE = -1
SECONDS_MAX = NEVER_NS // NS_PER_S - 1  # 2116; later times are garbage
# Before the window: a record without an Ethernet header gets one, and it may be the window's first.
MARGIN_BYTES = size_of(EthernetHeader) + 2

assert RUN_RECORDS_MAX <= ORDER_RECORDS
assert ORDER_RECORDS + RUN_RECORDS_MAX + 1 < WAITING_MAX
assert WAITING_MAX & WAITING_MASK == 0


class SourceState(IntEnum):
    EMPTY = 0  # nothing read yet, or the last was taken
    READY = 1  # a record is there
    ENDED = 2  # the file has no more
    STARVED = 3  # the next record is not (wholly) in the window; the file goes on


class Format(IntEnum):
    UNKNOWN = 0  # its header has not been read
    PCAP = 1
    PCAPNG = 2


class Window(Struct):
    """The part of a file that is in memory; MARGIN_BYTES before it can be written."""

    base_address: i64  # plus a stream offset: the address of that byte
    end_offset: i64  # stream offset past the last byte in the window
    end_of_file: i64  # 1: the window's end is the file's end
    span_bytes: i64  # records that wait to be put in order may take up this much of it


class Interface(Struct):
    """What a pcapng interface description says about its packets. At most one of the time scales is not zero."""

    link_type: i64
    snap_length: i64
    ns_per_tick: i64
    ticks_per_ns: i64
    binary_digits_and_one: i64  # 1 + n for 2**n ticks a second
    offset_seconds: i64
    dropped: i64  # packets that the capturing host says it lost
    tie_ns: i64  # time of its last packet
    tie_rank: i64  # how many packets of that time came before it


class Waiting(Struct):
    """A record that waits for those that may belong before it."""

    time_ns: i64
    frame_offset: i64
    ordinal: i64  # of the record in its file
    frame_length: u32
    interface: i32
    rank: u32  # how many records of the same interface and time came before


class Defects(Struct):
    """What a reader left out, mended or doubts, by kind."""

    counts: Annotated[Array, i64, DEFECTS]
    first_offsets: Annotated[Array, i64, DEFECTS]  # stream offset of the first of its kind
    link_types: Annotated[Array, i64, LINK_TYPES_MAX]  # that are not read, one more than the type; 0: none
    link_counts: Annotated[Array, i64, LINK_TYPES_MAX]
    link_offsets: Annotated[Array, i64, LINK_TYPES_MAX]


class Source(Struct):
    """One reader's state. The last record read is in `time_ns`, `frame_offset`, `frame_length`, `original_length`."""

    state: i64  # `SourceState` of the head: READY when the next record in order is known
    position: i64  # stream offset of the next record or block
    format: i64  # `Format`
    swapped: i64  # numbers are in the other byte order than this machine's
    ticks_per_second: i64  # pcap
    header_bytes: i64  # pcap: of a record header
    link_type: i64  # pcap
    interface: i64  # of the record; NO_INTERFACE in pcap, which does not tell
    rank: i64  # see `Waiting`; 0 in pcap
    time_ns: i64  # TIME_UNKNOWN: none that can be
    frame_offset: i64  # of what is, or was made, an Ethernet frame
    frame_length: i64  # captured
    original_length: i64  # on the wire
    record_offset: i64  # where the record begins that was read last
    records: i64  # read, whatever they held
    is_searching: i64  # 1: for the next record, behind bytes that are none
    is_cut: i64  # 1: those would be a record, were the file not at its end
    garbage_offset: i64  # where they begin
    interface_count: i64
    ended: i64  # 1: the last record is read
    stamps: i64  # which hardware stamps its frames carry, see `nic/capture/stamps.py`
    stamped: i64  # frames that had one; where that is not said, that were looked at
    stamp_away_ns: i64  # how far the last stamp was from the capture's own time
    # Times and order, see `nic/capture/order.py`.
    reference_ns: i64  # time of the last record that is believed; TIME_UNKNOWN before the first
    reference_records: i64  # believed in a row up to it
    is_start: i64  # 1: those are the part's first
    start_ordinal: i64  # of the part's first record; a file has more than one part when captures were put together
    run_records: i64  # since then, whose times leapt away
    run_ordinal: i64  # of the first of these
    run_start_ns: i64  # time of the first of these
    run_ns: i64  # and of the last
    emitted_ns: i64  # time of the last record taken
    oldest_offset: i64  # no waiting record lies before this
    first: i64  # place of the head
    count: i64  # that wait
    waiting: Annotated[Array, Waiting, WAITING_MAX]  # by time, then by place in the file; a place & WAITING_MASK
    moved: i64  # records that were written late, and put in their place
    ties: i64  # that have the very time of one before, of perhaps another interface
    tie_offset: i64  # of the first of these
    spare: Waiting  # on its way into `waiting`
    defects: Defects
    interfaces: Annotated[Array, Interface, INTERFACES_MAX]
