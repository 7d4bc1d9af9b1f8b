"""How long segments of a few records are, where they are tested step by step."""

from crosswire.nic.journal.format import RecordHeader, SegmentHeader

WORDS = 12
RECORD_BYTES = RecordHeader.size + 8 * WORDS
FIT = 15  # records of a segment
SMALL_BYTES = SegmentHeader.size + FIT * RECORD_BYTES
