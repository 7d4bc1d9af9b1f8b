"""The account's journal: one file of lines, appended to and never rewritten; a start reads it and goes on behind it.

Each line is a CRC-32 in eight hexadecimal digits, a space, and the record as JSON. A line is one `write` to a file
opened for appending, so a process that dies leaves at most its last line cut short (write(2)); that line is cut off at
the next start, and said. Any other line that can't be read is no accident of a kill: the file is refused. Nothing is
synced to the disk: a record outlives the process, not a host that loses its power. For that case the venue is asked for
all trades behind the last one that the journal holds, at every start.
"""

import fcntl
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from crosswire.venues.bridge.binance.gateway.orders.records import AnyRecord
from crosswire.venues.errors import VenueError

CHECK_BYTES = 9  # a CRC in hexadecimal digits and a space
LINE_BYTES_MAX = 1 << 10
FILE_BYTES_MAX = 1 << 32

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(AnyRecord)


class Journal:
    """One process at a time writes it: a second one is refused at its start."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.cut_bytes = 0  # of a last line that a kill had left short
        try:
            self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise VenueError(f"{path}: the order journal can't be opened: {error.strerror}") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._file)
            raise VenueError(f"{path}: another process writes this order journal; stop it first") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        os.close(self._file)

    def read(self) -> Iterator[AnyRecord]:
        """Give all records, oldest first, and cut off a last line that is not whole. VenueError on any other damage."""
        if os.fstat(self._file).st_size > FILE_BYTES_MAX:
            raise VenueError(f"{self.path}: larger than {FILE_BYTES_MAX} bytes; move it away once nothing is open")
        place = 0
        with open(os.dup(self._file), "rb") as lines:
            lines.seek(0)
            for number, line in enumerate(lines, 1):
                if not line.endswith(b"\n"):
                    self.cut_bytes = len(line)
                    break
                yield self._record(line, number)
                place += len(line)
        if self.cut_bytes:
            os.ftruncate(self._file, place)

    def _record(self, line: bytes, number: int) -> AnyRecord:
        text = line[CHECK_BYTES:-1]
        if line[: CHECK_BYTES - 1] != b"%08x" % zlib.crc32(text):
            raise VenueError(f"{self.path}: line {number} is damaged; nothing behind it can be trusted")
        try:
            return _decoder.decode(text)
        except msgspec.DecodeError as error:
            raise VenueError(f"{self.path}: line {number} is of another version: {error}") from None

    def append(self, record: AnyRecord) -> None:
        """Add a record; it is with the kernel when this returns. VenueError if it could not be written whole."""
        text = _encoder.encode(record)
        line = b"%08x %b\n" % (zlib.crc32(text), text)
        try:
            written = os.write(self._file, line)
        except OSError as error:
            raise VenueError(f"{self.path}: the order journal can't be written: {error.strerror}") from None
        if written != len(line):
            os.ftruncate(self._file, os.fstat(self._file).st_size - written)
            raise VenueError(f"{self.path}: the order journal can't be written: the disk is full")
