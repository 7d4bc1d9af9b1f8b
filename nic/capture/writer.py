"""Writing pcap: whole files or none, from Python a frame at a time, or from compiled code by the buffer."""

import contextlib
import ctypes
import gzip
import os
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import zstandard

from crosswire.nic.capture.format import (
    LINK_TYPE_ETHERNET,
    MAGIC_MICROSECONDS,
    MAGIC_NANOSECONDS,
    PCAP_VERSION_MAJOR,
    PCAP_VERSION_MINOR,
    RECORD_BYTES_MAX,
    PcapHeader,
    RecordHeader,
)
from crosswire.nic.duration import NS_PER_S
from crosswire.nic.memory.struct import size_of, view
from crosswire.nic.unit.compile import compiled

BUFFER_BYTES = 1 << 20
GZIP_LEVEL = 6
ZSTD_LEVEL = 3
RECORD_HEADER_BYTES = size_of(RecordHeader)


@compiled
def write_record_header(address: int, time_ns: int, length: int) -> int:
    """Write a nanosecond pcap record header at `address`; returns the address where the frame's `length` bytes go.

    The next record follows the frame at once. For buffers that go to `CaptureWriter.write_raw`.
    """
    header = view(RecordHeader, address)
    header.seconds = time_ns // NS_PER_S
    header.fraction = time_ns % NS_PER_S
    header.captured_length = length
    header.original_length = length
    return address + size_of(RecordHeader)


class CaptureWriter:
    """A pcap file of Ethernet frames, compressed when `path` ends in .gz or .zst. A context manager.

    The file appears under `path` only when `close` has written all of it; after an error, or `discard`, nothing is left
    behind. `nanosecond=False` writes microseconds, for tools that need them, and drops the rest of each time.
    """

    def __init__(self, path: str | os.PathLike[str], nanosecond: bool = True) -> None:
        self.path = Path(path)
        self.nanosecond = nanosecond
        self.frames = 0  # written by `write`
        self._partial = self.path.with_name(f".{self.path.name}.{os.getpid()}.partial")
        self._header = RecordHeader()
        self._file = open(self._partial, "wb", buffering=BUFFER_BYTES)  # noqa: SIM115  closed by close or discard
        self._stream = self._compressed(self._file)
        self._open = True
        header = PcapHeader(
            magic=MAGIC_NANOSECONDS if nanosecond else MAGIC_MICROSECONDS,
            version_major=PCAP_VERSION_MAJOR,
            version_minor=PCAP_VERSION_MINOR,
            snap_length=RECORD_BYTES_MAX,
            link_type=LINK_TYPE_ETHERNET,
        )
        self._stream.write(bytes(header))

    def _compressed(self, file: IO[bytes]) -> Any:
        if self.path.suffix == ".gz":
            # No name and no time, so that the same frames give the same bytes.
            return gzip.GzipFile(filename="", mode="wb", compresslevel=GZIP_LEVEL, fileobj=file, mtime=0)
        if self.path.suffix == ".zst":
            compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_checksum=True)
            return compressor.stream_writer(file, closefd=False)
        return file

    def write(self, time_ns: int, frame: bytes) -> None:
        """Append one frame with its time in ns since the epoch (0 to 2**32 seconds)."""
        if not 0 <= time_ns < NS_PER_S << 32:
            raise ValueError(f"time_ns={time_ns}: a pcap file holds times from 1970 to 2106")
        if len(frame) > RECORD_BYTES_MAX:
            raise ValueError(f"a frame of {len(frame)} bytes: a pcap record holds at most {RECORD_BYTES_MAX}")
        write_record_header(self._header.address, time_ns, len(frame))
        if not self.nanosecond:
            self._header.fraction = self._header.fraction // 1000
        self._stream.write(bytes(self._header))
        self._stream.write(frame)
        self.frames += 1

    def write_raw(self, records: memoryview | bytes) -> None:
        """Append records that `write_record_header` has formatted already; `nanosecond` must be true."""
        if not self.nanosecond:
            raise ValueError("write_raw takes nanosecond records")
        self._stream.write(records)

    def write_memory(self, address: int, length: int) -> None:
        """Append `length` bytes at `address`, as `write_raw` does."""
        self.write_raw(memoryview((ctypes.c_uint8 * length).from_address(address)))

    def file_bytes(self) -> int:
        """Bytes written to the file so far; a compressor may hold back a few more."""
        return self._file.tell()

    def close(self) -> None:
        """Finish the file and put it under its name."""
        if not self._open:
            return
        try:
            if self._stream is not self._file:
                self._stream.close()
            self._file.close()
            os.replace(self._partial, self.path)
        except BaseException:
            self.discard()
            raise
        self._open = False

    def discard(self) -> None:
        """Give up: remove what was written."""
        if not self._open:
            return
        self._open = False
        with contextlib.suppress(OSError):  # a full disk fails the flush too; the file goes anyway
            self._file.close()
        self._partial.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()
