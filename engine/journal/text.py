"""Texts in a journal: what a run is, at its beginning, and what only its end can tell."""

from enum import IntEnum

import numpy as np

from crosswire.nic.journal.format import HEADER_WORDS, PAYLOAD_BYTES_MAX, TEXT, WORD_BYTES
from crosswire.nic.journal.journal import Journal, begin_record, commit_record
from crosswire.nic.journal.reader import Batch
from crosswire.nic.memory.raw import copy_bytes
from crosswire.nic.memory.struct import Struct, i64
from crosswire.risk.records import VERSION

TEXT_BYTES_MAX = 1 << 24


class Purpose(IntEnum):
    """What a text is."""

    DESCRIPTION = 1  # the run: its configuration, and what the numbers in the records are called
    FACTS = 2  # what the loop counted


class TextPiece(Struct):
    """What the payload of a TEXT record begins with; the piece's bytes follow, filled up to whole words."""

    purpose: i64
    text_bytes: i64  # of the whole text
    offset: i64  # of this piece


PIECE_BYTES = PAYLOAD_BYTES_MAX - TextPiece.size


def write_text(journal: Journal, purpose: Purpose, text: bytes, time_ns: int) -> None:
    """Write a text, in as many records as it needs; only while no loop writes to the journal."""
    if len(text) > TEXT_BYTES_MAX:
        raise ValueError(f"a text of {len(text)} bytes: a journal takes {TEXT_BYTES_MAX}")
    for offset in range(0, len(text), PIECE_BYTES):
        piece = text[offset : offset + PIECE_BYTES]
        padded = np.frombuffer(piece + bytes(-len(piece) % WORD_BYTES), np.uint8)
        payload_bytes = TextPiece.size + len(padded)
        address = begin_record(journal, payload_bytes)
        head = TextPiece.at(address)
        head.purpose, head.text_bytes, head.offset = int(purpose), len(text), offset
        copy_bytes(address + TextPiece.size, padded.ctypes.data, len(padded))
        commit_record(journal, TEXT, VERSION, payload_bytes, time_ns)


class TextReader:
    """Puts the texts of a journal together again."""

    def __init__(self) -> None:
        self._pieces: dict[int, bytearray] = {}
        self._sizes: dict[int, int] = {}

    def take(self, batch: Batch) -> None:
        """Take the pieces in a batch."""
        for place in batch.places[batch.commits["kind"] == TEXT]:
            payload = place + HEADER_WORDS
            purpose, size, offset = map(int, batch.words[payload : payload + 3])
            count = min(PIECE_BYTES, size - offset)
            words = batch.words[payload + 3 : payload + 3 - (-count // WORD_BYTES)]
            if offset == 0:
                self._pieces[purpose] = bytearray()
            self._pieces[purpose] += words.tobytes()[:count]
            self._sizes[purpose] = size

    def text(self, purpose: Purpose) -> bytes | None:
        """Give a text, the last one of its purpose; None: there is none, or not all of it."""
        found = self._pieces.get(purpose)
        return bytes(found) if found is not None and len(found) == self._sizes[purpose] else None
