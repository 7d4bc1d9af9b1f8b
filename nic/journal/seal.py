"""Make the checksums that the loop leaves out: where records are taken out of a journal's memory.

In memory a record needs none. It is whole as soon as its `commit` is there, which is written last, and a process that
dies takes nothing back. A disk, which loses power between any two of its blocks, does need one.
"""

from pathlib import Path

import numpy as np

from crosswire.nic.journal.format import WORD_BYTES
from crosswire.nic.journal.walk import WALK_SEGMENT, End, Walk, make_walk


class Sealer:
    """Makes the checksums of one journal's records, piece by piece."""

    def __init__(self) -> None:
        self._walk = make_walk(makes_sums=1)

    def seal(self, data: np.ndarray, offset: int = 0) -> int:
        """Seal the records in `data`, which begins at that offset of the segment; return where the last one ends.

        A segment's header, at offset 0, must have been there before: in it is the journal's key.
        """
        return _walk_through(self._walk, data, offset)


def proven_bytes(data: np.ndarray) -> int:
    """How many bytes of a segment are records with the right checksum, its header included."""
    return _walk_through(make_walk(), data, 0)


def _walk_through(walk: Walk, data: np.ndarray, offset: int) -> int:
    walk.address, walk.offset = data.ctypes.data - offset, offset
    walk.bytes = offset + data.nbytes // WORD_BYTES * WORD_BYTES
    walk.end = End.MORE
    while walk.end == End.MORE:
        WALK_SEGMENT(walk)
    return int(walk.offset)


def read_from_memory(memory: Path, disk: Path) -> np.ndarray:
    """Read a segment that a loop may be writing, sealed. FileNotFoundError: it is not, or no longer, in memory.

    What the disk has is proven, and taken from there. What has come since is read twice: of what the first look shows
    as committed, the second sees every byte.
    """
    kept = np.fromfile(disk, np.uint8) if disk.exists() else np.empty(0, np.uint8)
    proven = proven_bytes(kept)
    seen = np.fromfile(memory, np.uint8)
    seen[:proven] = kept[:proven]
    sealer = Sealer()
    committed = sealer.seal(seen)
    data = np.fromfile(memory, np.uint8)
    data[:proven] = kept[:proven]
    data[committed:] = seen[committed:]
    sealer.seal(data[proven:committed], proven)
    return data
