"""The window that a recording's text slides through: whole lines at a time, in bounded memory."""

import ctypes
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from crosswire.nic.memory.struct import array, u8
from crosswire.venues.bridge.binance.state import LINE_BYTES_MAX, Stream
from crosswire.venues.bridge.binance.text import CHUNK_BYTES, read_chunks


def slide(path: Path, stream: Stream, scan: Callable[[], object]) -> None:
    """Call `scan` for each part of a file's text, which it is to read whole: `stream.text`, `position`, `end`.

    One chunk is inflated ahead; zlib lets go of the GIL. Raises `RecordingError`.
    """
    window = array(u8, LINE_BYTES_MAX + CHUNK_BYTES + 1)
    stream.text = window
    filled = 0
    with ThreadPoolExecutor(1) as pool:
        for chunk in _ahead(pool, without_long_lines(read_chunks(path, stream.remarks))):
            ctypes.memmove(window.address + filled, chunk, len(chunk))
            stream.position = 0
            stream.end = filled + chunk.rfind(b"\n") + 1 if b"\n" in chunk else 0
            filled += len(chunk)
            scan()
            filled -= stream.position
            ctypes.memmove(window.address, window.address + stream.position, filled)
    if filled:
        window[filled] = ord("\n")
        stream.position = 0
        stream.end = filled + 1
        stream.is_tail = 1
        scan()


def _ahead(pool: ThreadPoolExecutor, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Take each chunk while the one before is read."""
    following = pool.submit(next, chunks, b"")
    while chunk := following.result():
        following = pool.submit(next, chunks, b"")
        yield chunk


def without_long_lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Cut what is longer than any line out of the text; its beginning is left, as a line that can't be read."""
    open_bytes = 0  # of the line that the last chunk left unfinished
    for chunk in chunks:
        begin = 0
        end = chunk.find(b"\n")
        if open_bytes + (len(chunk) if end < 0 else end) > LINE_BYTES_MAX:
            begin = len(chunk) if end < 0 else end
        open_bytes = open_bytes + len(chunk) if end < 0 else len(chunk) - chunk.rfind(b"\n") - 1
        if begin < len(chunk):
            yield chunk[begin:] if begin else chunk
