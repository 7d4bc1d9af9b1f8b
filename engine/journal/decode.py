"""The records of a journal by the names of their fields."""

from collections.abc import Collection, Iterator
from typing import NamedTuple

from crosswire.nic.journal.format import HEADER_WORDS, WORD_BYTES
from crosswire.nic.journal.reader import Batch
from crosswire.risk.records import KINDS, RecordKind, fields_of


class Record(NamedTuple):
    """One record; a field that its version did not have yet is 0."""

    sequence: int
    time_ns: int
    kind: RecordKind
    fields: dict[str, int]


def records_of(batch: Batch, kinds: Collection[int] = KINDS) -> Iterator[Record]:
    """Give the records of some kinds in a batch, in order; without any given all but texts."""
    for place, commit in zip(batch.places.tolist(), batch.commits.tolist(), strict=True):
        payload_bytes, kind, version = commit[:3]
        if kind in kinds:
            names = fields_of(kind, version)
            payload = batch.words[place + HEADER_WORDS : place + HEADER_WORDS + payload_bytes // WORD_BYTES].tolist()
            fields = dict.fromkeys(KINDS[RecordKind(kind)].fields, 0) | dict(zip(names, payload, strict=False))
            yield Record(int(batch.words[place + 2]), int(batch.words[place + 3]), RecordKind(kind), fields)
