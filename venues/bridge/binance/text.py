"""A recording's text: plain, gzip or zstd, told from its first bytes, in pieces, with what is wrong with its end."""

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from crosswire.nic.capture.stream import GZIP_MAGIC, ZSTD_MAGIC, ZSTD_SKIPPABLE_MAGIC
from crosswire.venues.bridge.binance.remark import Remark, Remarks, note
from crosswire.venues.errors import VenueError

CHUNK_BYTES = 1 << 20  # of text at a time, at most
GZIP_READ_BYTES = 1 << 16
ZSTD_READ_BYTES = 1 << 12  # a block of four bytes may hold 128 KiB of text, and its decoder can't be told to stop
MAGIC_BYTES = 4
# What else a recording may have been packed in: how that begins, and what turns it into text.
PACKED = {
    GZIP_MAGIC: "compressed twice: unpack it once with gunzip",
    ZSTD_MAGIC: "compressed twice: unpack it once with unzstd",
    b"\xfd7zXZ": "compressed by xz: unpack it with xz -dk",
    b"BZh": "compressed by bzip2: unpack it with bzip2 -dk",
    b"\x04\x22\x4d\x18": "compressed by lz4: unpack it with lz4 -d",
    b"PK\x03\x04": "a zip archive: unpack it with unzip",
    b"7z\xbc\xaf": "a 7-zip archive: unpack it with 7z x",
    b"Rar!": "a RAR archive: unpack it with unrar x",
    b"PAR1": "a Parquet table, no lines of JSON: import the raw stream",
    b"SQLite": "an SQLite database, no lines of JSON: import the raw stream",
    b"\xff\xfe": "UTF-16: turn it into UTF-8 with iconv -f UTF-16 -t UTF-8",
    b"\xfe\xff": "UTF-16: turn it into UTF-8 with iconv -f UTF-16 -t UTF-8",
    b"\xd4\xc3\xb2\xa1": "a capture, no recording of streams: crosswire inspect reads it",
    b"\x4d\x3c\xb2\xa1": "a capture, no recording of streams: crosswire inspect reads it",
    b"\x0a\x0d\x0d\x0a": "a capture, no recording of streams: crosswire inspect reads it",
}
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class RecordingError(VenueError):
    """One line: which file, which line, why."""


class Compression:
    """One way to compress: how its data begins, and how a part of it is turned into text."""

    def __init__(self, read_bytes: int, begins: Callable[[bytes], bool], make: Callable[[], Any]) -> None:
        self.read_bytes = read_bytes
        self.begins = begins
        self.make = make


def is_gzip(magic: bytes) -> bool:
    """Tell whether data that begins so is gzip's."""
    return magic.startswith(GZIP_MAGIC)


def is_zstd(magic: bytes) -> bool:
    """Tell whether data that begins so is zstd's, or a frame that its readers skip."""
    return magic.startswith(ZSTD_MAGIC) or (magic[1:MAGIC_BYTES] == ZSTD_SKIPPABLE_MAGIC and magic[0] >> 4 == 5)


class _Gzip:
    def __init__(self) -> None:
        self.inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
        self.error = zlib.error

    def inflate(self, data: bytes) -> bytes:
        return self.inflater.decompress(data, CHUNK_BYTES)


class _Zstd:
    def __init__(self) -> None:
        import zstandard  # which most recordings do not need

        self.inflater = zstandard.ZstdDecompressor().decompressobj()
        self.error = zstandard.ZstdError

    def inflate(self, data: bytes) -> bytes:
        return self.inflater.decompress(data)


GZIP = Compression(GZIP_READ_BYTES, is_gzip, _Gzip)
ZSTD = Compression(ZSTD_READ_BYTES, is_zstd, _Zstd)


def read_chunks(path: Path, remarks: Remarks, read_bytes: int = GZIP_READ_BYTES) -> Iterator[bytes]:
    """Read the file's text in pieces of at most CHUNK_BYTES, `read_bytes` of the file at a time. `RecordingError`.

    A file cut in the middle of its compressed data, and what stands behind it, are noted; zeros there are padding. gzip
    goes through zlib: 310 MB/s of text on the recordings, where pyarrow's reader gives 180.
    """
    try:
        if not (path.is_file() or path.is_dir()) and path.exists():
            raise RecordingError(f"{path}: is a pipe or device; save it as a file first, for it is read twice")
        with path.open("rb") as file:
            magic = file.read(MAGIC_BYTES)
            file.seek(0)
            found = next((each for each in (GZIP, ZSTD) if each.begins(magic)), None)
            if found is None:
                yield from _unmarked(path, iter(lambda: file.read(4 * read_bytes), b""))  # packed, it holds as much
            else:
                pieces = _inflated(path, file, found, min(read_bytes, found.read_bytes), remarks)
                yield from _unmarked(path, _gathered(pieces, read_bytes))
    except OSError as error:
        raise RecordingError(f"{path}: can't be read ({error.strerror or error})") from error


def _unmarked(path: Path, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Take the byte order mark off a text, and refuse what is no text but something else that is known."""
    first = next(chunks, b"")
    if not first:
        raise RecordingError(f"{path}: is empty")
    packed = next((what for magic, what in PACKED.items() if first.startswith(magic)), None)
    if packed is not None:
        raise RecordingError(f"{path}: is {packed}")
    if unmarked := first.removeprefix(BYTE_ORDER_MARK):
        yield unmarked
    yield from chunks


def _gathered(pieces: Iterator[bytes], enough_bytes: int) -> Iterator[bytes]:
    """Put small pieces together and cut large ones, since each costs its reader a turn."""
    gathered = b""
    for piece in pieces:
        gathered = gathered + piece if gathered else piece
        while len(gathered) > CHUNK_BYTES:
            yield gathered[:CHUNK_BYTES]
            gathered = gathered[CHUNK_BYTES:]
        if len(gathered) >= enough_bytes:
            yield gathered
            gathered = b""
    if gathered:
        yield gathered


def _inflated(
    path: Path, file: IO[bytes], compression: Compression, read_bytes: int, remarks: Remarks
) -> Iterator[bytes]:
    """Inflate one member after another."""
    member = compression.make()
    compressed = file.read(read_bytes)
    while compressed:
        try:
            text = member.inflate(compressed)
        except member.error as error:
            where = f"damaged before its byte {file.tell()}"
            raise RecordingError(f"{path}: {where} ({error}); take an intact copy") from error
        if text:
            yield text
        inflater = member.inflater
        if inflater.eof:
            compressed = _behind_padding(inflater.unused_data, file, read_bytes)
            if compressed and not compression.begins(compressed):
                note(remarks, Remark.GARBAGE, 0, len(compressed) + len(file.read()))
                return
            if compressed:
                member = compression.make()
        else:
            compressed = inflater.unconsumed_tail or file.read(read_bytes)
    if not member.inflater.eof:
        note(remarks, Remark.CUT_FILE, 0, 1)


def _behind_padding(data: bytes, file: IO[bytes], read_bytes: int) -> bytes:
    """Pass over zeros; what comes after them begins with enough bytes to be recognised, if there are as many."""
    data = data.lstrip(b"\0")
    while len(data) < MAGIC_BYTES and (more := file.read(read_bytes)):
        data = (data + more).lstrip(b"\0")
    return data
