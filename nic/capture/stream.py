"""The bytes of a file that may be compressed: as many as can be had, and a word where that is not all.

Tools that rotate, append or crash leave more than one compressed stream in a file, zeros behind the last, or half of
one. Streams are read one after the other, zeros are nothing, and of a stream that is cut or damaged all is given that
can be inflated.
"""

import contextlib
import io
import os
import queue
import threading
import zlib
from pathlib import Path
from typing import Any

import zstandard

GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
ZSTD_SKIPPABLE_MAGIC = b"\x2a\x4d\x18"  # after one byte 0x50 to 0x5f
MAGIC_BYTES = 4
GZIP_WINDOW_BITS = 31  # of zlib: with a gzip header and trailer
INFLATE_BYTES = 256 << 10  # handed over at a time
AHEAD_CHUNKS = 4  # of those
CLOSE_POLL_S = 0.01
CHUNK_BYTES = 64 << 10  # of compressed bytes read at a time
ZSTD_CHUNK_BYTES = 8 << 10  # zstd's output for one input can't be limited: 8 kB of it are a few MB at worst in practice


class DamageError(Exception):
    """A compressed stream can't be inflated on; `given` is what this call could."""

    def __init__(self, given: bytes, reason: str) -> None:
        super().__init__(reason)
        self.given = given


class _Gzip:
    """One gzip member."""

    def __init__(self) -> None:
        self._inflater = zlib.decompressobj(GZIP_WINDOW_BITS)

    @property
    def ended(self) -> bool:
        return self._inflater.eof

    @property
    def rest(self) -> bytes:
        """Compressed bytes that are not used: of the member while it goes on, behind it after its end."""
        return self._inflater.unused_data if self._inflater.eof else self._inflater.unconsumed_tail

    def inflate(self, chunk: bytes, room: int) -> bytes:
        """Inflate at most `room` bytes, or a few more before damage. Raises DamageError."""
        before = self._inflater.copy()
        try:
            return self._inflater.decompress(chunk, room)
        except zlib.error:
            self._inflater = before
            return self._inflate_what_can_be(chunk, room)

    def _inflate_what_can_be(self, chunk: bytes, room: int) -> bytes:
        """Inflate byte by byte up to where the damage is."""
        given = bytearray()
        for place in range(len(chunk)):
            try:
                given += self._inflater.decompress(chunk[place : place + 1], room)
            except zlib.error as error:
                raise DamageError(bytes(given), str(error)) from None
        return bytes(given)


class _Zstd:
    """One zstd frame, or a skippable one."""

    def __init__(self) -> None:
        self._inflater = zstandard.ZstdDecompressor().decompressobj()
        self._left = b""

    @property
    def ended(self) -> bool:
        return self._inflater.eof

    @property
    def rest(self) -> bytes:
        return self._inflater.unused_data + self._left if self._inflater.eof else self._left

    def inflate(self, chunk: bytes, _room: int) -> bytes:
        """Inflate a part of `chunk`. Raises DamageError."""
        part, self._left = chunk[:ZSTD_CHUNK_BYTES], chunk[ZSTD_CHUNK_BYTES:]
        try:
            return self._inflater.decompress(part)
        except zstandard.ZstdError as error:
            raise DamageError(b"", str(error)) from None


def codec_of(magic: bytes) -> type[_Gzip] | type[_Zstd] | None:
    """The codec of a stream that begins so; None: not compressed."""
    if magic.startswith(GZIP_MAGIC):
        return _Gzip
    if magic[:MAGIC_BYTES] == ZSTD_MAGIC or (magic[1:MAGIC_BYTES] == ZSTD_SKIPPABLE_MAGIC and magic[0] >> 4 == 5):
        return _Zstd
    return None


class InflatedStream(io.RawIOBase):
    """A raw stream of what a compressed file holds."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._compressed = b""
        self._inflated = memoryview(b"")
        self._codec: _Gzip | _Zstd | None = None
        self._is_over = False
        self.problem = ""  # why the end is not the file's; "": it is

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        """Fill a part of `target`; 0 at the end, whose `problem` is then known. Raises OSError."""
        room = len(target)
        while not self._inflated and not self._is_over:
            self._inflated = memoryview(self._inflate(room))
        count = min(room, len(self._inflated))
        target[:count] = self._inflated[:count]
        self._inflated = self._inflated[count:]
        return count

    def _inflate(self, room: int) -> bytes:
        """Inflate the next piece, which may be empty; sets `_is_over` at the end."""
        if not self._compressed:
            self._compressed = self._file.read(CHUNK_BYTES)
            if not self._compressed:
                self._end("a compressed stream is cut off by the end of the file" if self._codec else "")
                return b""
        if self._codec is None and not self._begin():
            return b""
        assert self._codec is not None
        try:
            given = self._codec.inflate(self._compressed, room)
        except DamageError as damage:
            self._end(f"a compressed stream is damaged ({damage})")
            return damage.given
        self._compressed = self._codec.rest
        if self._codec.ended:
            self._codec = None
        return given

    def _begin(self) -> bool:
        """Begin the next stream of the file; False if it does not begin in these bytes."""
        self._compressed = self._compressed.lstrip(b"\0")
        if not self._compressed:
            return False
        if len(self._compressed) < MAGIC_BYTES:
            self._compressed += self._file.read(CHUNK_BYTES)
        codec = codec_of(self._compressed[:MAGIC_BYTES].ljust(MAGIC_BYTES))
        if codec is None:
            self._end("what follows a compressed stream is neither one nor zeros")
            return False
        self._codec = codec()
        return True

    def _end(self, problem: str) -> None:
        self._is_over = True
        self.problem = problem

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


class ReadAhead(io.RawIOBase):
    """A raw stream that a thread of its own inflates, at most AHEAD_CHUNKS of INFLATE_BYTES ahead.

    zlib and zstandard inflate without the interpreter's lock, and the compiled loop holds none, so that with a second
    core a run does not wait for what is compressed.
    """

    def __init__(self, stream: InflatedStream) -> None:
        self._stream = stream
        # The last is b"" at the end, or why reading on failed.
        self._chunks: queue.Queue[bytes | Exception] = queue.Queue(AHEAD_CHUNKS)
        self._chunk = memoryview(b"")
        self._failure: Exception | None = None
        self._is_over = False
        self._is_closing = False
        self._thread = threading.Thread(target=self._inflate, name="inflate", daemon=True)
        self._thread.start()

    def _inflate(self) -> None:
        try:
            whole_chunks = io.BufferedReader(self._stream, INFLATE_BYTES)
            while not self._is_closing and (chunk := whole_chunks.read(INFLATE_BYTES)):
                self._chunks.put(chunk)
            self._chunks.put(b"")
        except Exception as error:  # for the reader, which would else wait for ever
            self._chunks.put(error)

    @property
    def problem(self) -> str:
        """Why the end is not the file's, once that has been read; "": it is."""
        return self._stream.problem if self._is_over else ""

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        """Fill a part of `target`; 0 at the end. Raises OSError."""
        if not self._chunk and not self._is_over:
            chunk = self._chunks.get()
            if isinstance(chunk, Exception):
                self._failure = chunk
            else:
                self._chunk = memoryview(chunk)
            self._is_over = not self._chunk
        if self._failure is not None:
            raise self._failure
        count = min(len(target), len(self._chunk))
        target[:count] = self._chunk[:count]
        self._chunk = self._chunk[count:]
        return count

    def close(self) -> None:
        """End the thread, and close the file."""
        self._is_closing = True
        while self._thread.is_alive():
            with contextlib.suppress(queue.Empty):  # it may wait for room
                self._chunks.get(timeout=CLOSE_POLL_S)
        self._stream.close()
        super().close()


def open_stream(path: Path) -> tuple[Any, bool]:
    """Open a raw stream of a file's bytes; also tell whether it decompresses. Raises OSError."""
    with path.open("rb") as file:
        magic = file.read(MAGIC_BYTES)
    if codec_of(magic.ljust(MAGIC_BYTES)) is None:
        return io.FileIO(os.fspath(path), "rb"), False
    return InflatedStream(path), True
