"""What a target is, and how it cuts an input up."""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.guard import GuardedBytes

CORPUS = Path(__file__).parent / "corpus"
PIECE_BYTES_MAX = 2048
PIECES_MAX = 64
LENGTH = struct.Struct("<H")


@dataclass(frozen=True)
class Target:
    """A parser under test: `run` raises if it breaks a rule; `seeds` makes inputs to begin with."""

    name: str
    run: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]

    @property
    def corpus(self) -> Path:
        """Where its inputs are kept."""
        return CORPUS / self.name


def pieces(data: bytes) -> Iterator[bytes]:
    """Cut an input into packets: each has its length before it, and the last goes to the end."""
    position = 0
    for _ in range(PIECES_MAX):
        if position + LENGTH.size > len(data):
            return
        (length,) = LENGTH.unpack_from(data, position)
        position += LENGTH.size
        yield data[position : position + min(length, PIECE_BYTES_MAX)]
        position += length


def joined(*packets: bytes) -> bytes:
    """Make an input of packets."""
    return b"".join(LENGTH.pack(len(packet)) + packet for packet in packets)


_guards: list[GuardedBytes] = []


def guard() -> GuardedBytes:
    """The page that all targets lay their packets against."""
    if not _guards:
        _guards.append(GuardedBytes(1 << 20))
    return _guards[0]
