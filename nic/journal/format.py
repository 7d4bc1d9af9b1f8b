"""The journal's bytes: segments of records, back to back, that only ever grow; on the disk each has a checksum.

A segment begins with a `SegmentHeader`. A record is a `RecordHeader` and its payload, a whole number of words; what the
payload means its kind says, which is its writer's own (`risk/records.py`), but for TEXT. `commit` is written last: as
long as it is 0 there is no record, so a writer that dies leaves whole records and perhaps bytes that are none.

The checksum is a sum of products, one odd multiplier a word (D. Lemire, O. Kaser: Strongly universal string hashing is
fast, 2014), by XOR instead of addition, over words that are spread first. A change of any one word is certain to be
found; of several, but for one chance in 2**64. Its products do not wait for one another, where a CRC32C by the
processor's own instruction takes three cycles a word.
"""

from typing import Annotated

from crosswire.nic.memory.raw import LANES, load_i64, mix_bits, multiply_u64, shift_right, xor_products
from crosswire.nic.memory.struct import Array, Struct, address_of, i64, size_of, u16
from crosswire.nic.unit.compile import compiled

MAGIC = 0x314E_524F_4A57_4343  # "CCWJORN1", little-endian
VERSION = 1  # of this layout; a record's own version tells of its payload
MARK = 0x5243  # in every `commit`, so that it is never 0
WORD_BYTES = 8
PAYLOAD_BYTES_MAX = 448
SPREAD_BITS = 29  # a flip of two words' top bits would cancel: an odd multiplier leaves a top bit as it is
TEXT = 1  # kind of a record that holds a piece of a text


class SegmentHeader(Struct):
    """The first bytes of a segment."""

    magic: i64
    version: i64
    number: i64  # of the segment in its journal, from 0
    bytes: i64  # that the segment has room for, this header included
    first_sequence: i64  # number of its first record
    key: i64  # of the journal: a record of another one is not believed
    created_ns: i64
    checksum: i64


class RecordHeader(Struct):
    """What every record begins with."""

    commit: i64  # 0: no record; `commit_word` otherwise
    checksum: i64  # of everything else, payload included; 0 until it is made, where the record leaves memory
    sequence: i64  # of the record in its journal, from 1, without a gap
    time_ns: i64  # when it was written, by the run's clock


class CommitWord(Struct):
    """The four numbers in `RecordHeader.commit`."""

    payload_bytes: u16
    kind: u16
    version: u16  # of the kind's payload
    mark: u16


HEADER_WORDS = RecordHeader.size // WORD_BYTES
WORDS_MAX = HEADER_WORDS + PAYLOAD_BYTES_MAX // WORD_BYTES
RECORD_BYTES_MAX = RecordHeader.size + PAYLOAD_BYTES_MAX


class Multipliers(Struct):
    """The checksum's odd multipliers, one a word."""

    words: Annotated[Array, i64, WORDS_MAX]


def make_multipliers() -> Multipliers:
    """Make the table; the same in every journal."""
    made = Multipliers()
    for place in range(WORDS_MAX):
        made.words[place] = mix_bits(place + 1) | 1
    return made


@compiled
def commit_word(kind: int, version: int, payload_bytes: int) -> int:
    """Pack a record's `commit`."""
    return payload_bytes | kind << 16 | version << 32 | MARK << 48


@compiled
def spread(word: int) -> int:
    """Make a word's top bits count in its lower half as well; one to one."""
    return word ^ shift_right(word, SPREAD_BITS)


@compiled
def record_checksum(
    multipliers: Multipliers, key: int, commit: int, sequence: int, time_ns: int, payload: int, words: int
) -> int:
    """Sum up a record whose payload of `words` words lies at address `payload`."""
    table = multipliers.words
    total = key ^ multiply_u64(spread(commit), table[0])
    total ^= multiply_u64(spread(sequence), table[2])
    total ^= multiply_u64(spread(time_ns), table[3])
    together = words - words % LANES
    total ^= xor_products(payload, address_of(multipliers) + HEADER_WORDS * WORD_BYTES, together, SPREAD_BITS)
    for place in range(together, words):
        total ^= multiply_u64(spread(load_i64(payload + place * WORD_BYTES)), table[HEADER_WORDS + place])
    return total


@compiled
def segment_checksum(multipliers: Multipliers, address: int) -> int:
    """Sum up the `SegmentHeader` at `address`."""
    total = 0
    for place in range(size_of(SegmentHeader) // WORD_BYTES - 1):
        total ^= multiply_u64(spread(load_i64(address + place * WORD_BYTES)), multipliers.words[place])
    return total
