"""The messages of a recording as Python has them, and how the stand-in writes its own.

Shapes: binance.md D1 and D2; the recordings in `shared/data/binance` show every one of them but `aggTrade` and
`markPriceUpdate`, which are written after the venue's documents and unverified.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from crosswire.venues.bridge.binance.remark import Remarks
from crosswire.venues.bridge.binance.text import RecordingError, read_chunks

LINE_BYTES_MAX = 1 << 22


class Message(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Any message of a recording; which kind is told by `e` and by what is there."""

    e: str = ""
    E: int = 0
    T: int = 0
    s: str = ""
    ps: str = ""
    U: int = 0
    u: int = 0
    pu: int = 0
    b: list[tuple[str, str]] | str = ""
    a: list[tuple[str, str]] | str = ""
    B: str = ""
    A: str = ""
    t: int = 0
    p: str = ""
    q: str = ""
    X: str = ""
    m: bool = False
    lastUpdateId: int = 0  # noqa: N815  the venue's own name
    bids: list[tuple[str, str]] = []
    asks: list[tuple[str, str]] = []


def levels_of(message: Message) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Take the bids and asks of a change of depth."""
    assert isinstance(message.b, list)
    assert isinstance(message.a, list)
    return message.b, message.a


class Wrapped(msgspec.Struct, kw_only=True):
    """A line of a recording: a message of a combined stream, or a snapshot as it came."""

    stream: str = ""
    data: Message | None = None
    lastUpdateId: int = 0  # noqa: N815
    bids: list[tuple[str, str]] = []
    asks: list[tuple[str, str]] = []
    E: int = 0
    T: int = 0


_decoder = msgspec.json.Decoder(Wrapped)


def read_recording(path: Path) -> Iterator[tuple[int, Message]]:
    """Read (local receive time in ns, message) of every line; a line that can't be read is passed over, as on import.

    RecordingError if the file can't be read at all.
    """
    rest = b""
    try:
        for chunk in read_chunks(path, Remarks()):
            *lines, rest = (rest + bytes(chunk)).split(b"\n")
            if len(rest) > LINE_BYTES_MAX:
                raise RecordingError(f"{path}: a line of more than {LINE_BYTES_MAX} bytes")
            for line in lines:
                if (message := read_line(line)) is not None:
                    yield message
    except OSError as error:
        raise RecordingError(f"{path}: {error.strerror}") from None
    if (message := read_line(rest)) is not None:
        yield message


def read_line(line: bytes) -> tuple[int, Message] | None:
    """Read one line; None if it is no message that is played."""
    time_text, _, text = line.partition(b" ")
    try:
        wrapped = _decoder.decode(text)
        time_ns = int(time_text)
    except (msgspec.DecodeError, ValueError):
        return None
    if wrapped.data is not None:
        return time_ns, wrapped.data
    if wrapped.lastUpdateId:
        snapshot = Message(lastUpdateId=wrapped.lastUpdateId, bids=wrapped.bids, asks=wrapped.asks)
        return time_ns, snapshot
    return None


def encode(value: Any) -> bytes:
    """Write JSON as short as it goes."""
    return msgspec.json.encode(value)
