"""Capture files: opened, decompressed, and slid through a bounded window; never loaded whole.

pcap (microseconds, nanoseconds, modified) and pcapng, either byte order, plain, gzip or zstd. What a file is, its first
bytes say; its name is not asked.
"""

import ctypes
from pathlib import Path

from crosswire.nic.capture.defects import Defect, Tally, place_of
from crosswire.nic.capture.format import (
    PCAP_VERSION_MAJOR,
    BlockType,
    FileMagic,
    PcapHeader,
    ordered_u16,
    ordered_u32,
)
from crosswire.nic.capture.records import set_source
from crosswire.nic.capture.search import MAGICS
from crosswire.nic.capture.stamps import Stamps
from crosswire.nic.capture.state import MARGIN_BYTES, Source, Window
from crosswire.nic.capture.stream import INFLATE_BYTES, ReadAhead, open_stream
from crosswire.nic.memory.struct import array, clear_struct, size_of, u8

WINDOW_BYTES = 4 << 20
WINDOW_BYTES_MIN = 4096
READ_BYTES = 1 << 20  # and as many as are kept, if those are more
SPAN_PART = 4  # records that wait to be put in order take up this part of the window at most
# What else a capture may begin with, and what reads it.
OTHER_FORMATS = {
    b"snoop\0\0\0": "snoop",
    b"RTSS": "Microsoft Network Monitor",
    b"GMBU": "Microsoft Network Monitor",
    b"TRSNIFF data": "Sniffer",
    b"XCP\0": "NetXray",
}
CONVERT = "convert it with `editcap -F nsecpcap`"


class CaptureError(Exception):
    """One line: which file, which byte of its (decompressed) stream, why, and what to do."""

    def __init__(self, path: Path, offset: int, reason: str, advice: str, decompressed: bool = False) -> None:
        super().__init__(f"{place_of(path, offset, decompressed)}: {reason}; {advice}")
        self.path = path
        self.offset = offset


def recognise(path: Path, start: bytes, decompressed: bool = False) -> None:
    """Tell by its first bytes that a file is a capture. CaptureError: it is none, or of a kind that is not read."""
    if not start:
        raise CaptureError(path, 0, "the file is empty", "capture again", decompressed)
    header = PcapHeader()
    ctypes.memmove(header.address, start, min(len(start), size_of(PcapHeader)))
    if header.magic == BlockType.SECTION:
        return
    swapped = int(header.magic not in MAGICS)
    if ordered_u32(header.magic, swapped) not in MAGICS:
        names = [name for magic, name in OTHER_FORMATS.items() if start.startswith(magic)]
        if names:
            raise CaptureError(path, 0, f"a capture in the format of {names[0]}, which is not read", CONVERT)
        reason = f"neither pcap nor pcapng: it starts with {start[: size_of(FileMagic)].hex()}"
        raise CaptureError(path, 0, reason, "give a capture, plain, gzip or zstd", decompressed)
    if len(start) < size_of(PcapHeader):
        reason = f"the file header is cut off by the end of the file, byte {len(start)}"
        raise CaptureError(path, 0, reason, "take a whole copy of the file", decompressed)
    version = ordered_u16(header.version_major, swapped)
    if version != PCAP_VERSION_MAJOR:
        offset = PcapHeader.fields["version_major"].offset
        reason = f"pcap version {version}, not {PCAP_VERSION_MAJOR}"
        raise CaptureError(path, offset, reason, CONVERT, decompressed)


def check_capture(path: Path) -> None:
    """Tell that a file can be opened and is a capture, without reading on. CaptureError, of one line, if not."""
    try:
        stream, decompressed = open_stream(path)
        with stream:
            start = b""
            while len(start) < size_of(PcapHeader) and (more := stream.read(size_of(PcapHeader) - len(start))):
                start += more
    except OSError as error:
        raise CaptureError(path, 0, f"can't be opened ({error.strerror or error})", "check the path") from error
    recognise(path, start, decompressed)


class CaptureFile:
    """One open capture: its stream, and the window and the source that compiled code reads it through."""

    def __init__(
        self,
        path: Path,
        window: Window,
        source: Source,
        window_bytes: int = WINDOW_BYTES,
        stamps: Stamps = Stamps.UNSAID,
    ) -> None:
        self.path = path
        self.window = window
        self.source = source
        self.memory = array(u8, MARGIN_BYTES + window_bytes)
        self._bytes = self.memory.numpy().data[MARGIN_BYTES:]
        self._address = self.memory.address + MARGIN_BYTES
        self._ahead = bytearray()  # the byte behind a full window, read to know whether there is one
        clear_struct(window)
        clear_struct(source)
        set_source(source, stamps)
        window.base_address = self._address
        window.span_bytes = window_bytes // SPAN_PART
        try:
            stream, self.decompressed = open_stream(path)
            self._stream = ReadAhead(stream) if self.decompressed else stream
        except OSError as error:
            raise CaptureError(path, 0, f"can't be opened ({error.strerror or error})", "check the path") from error
        try:
            self.slide(0)
            recognise(path, bytes(self._bytes[: min(window.end_offset, size_of(PcapHeader))]), self.decompressed)
        except BaseException:
            self.close()
            raise

    def error(self, offset: int, reason: str, advice: str) -> CaptureError:
        return CaptureError(self.path, offset, reason, advice, self.decompressed)

    @property
    def window_bytes(self) -> int:
        return len(self._bytes)

    def slide(self, keep_offset: int) -> bool:
        """Drop the bytes before stream offset `keep_offset` and read on, if there is room and more of the file.

        Where little is kept, little of the window is used, again and again: its memory is then in the cache, and costs
        no page faults. False when that changed nothing: the window is full of bytes to keep, and the file goes on.
        """
        window = self.window
        kept = window.end_offset - keep_offset
        if kept == self.window_bytes:
            if not self._ahead:
                self._ahead = bytearray(1)
                del self._ahead[self._stream_into(memoryview(self._ahead), window.end_offset) :]
            window.end_of_file = int(not self._ahead)
            return not self._ahead
        # memmove, not copy_bytes: what is kept may overlap where it goes.
        ctypes.memmove(self._address, window.base_address + keep_offset, kept)
        window.base_address = self._address - keep_offset
        size = min(self.window_bytes, kept + max(READ_BYTES, kept))
        read_bytes = INFLATE_BYTES if self.decompressed else size
        while window.end_offset < keep_offset + size and not window.end_of_file:
            filled = window.end_offset - keep_offset
            count = self._read_into(self._bytes[filled : min(filled + read_bytes, size)], window.end_offset)
            window.end_offset += count
            window.end_of_file = int(count == 0)
        return True

    def _read_into(self, target: memoryview, offset: int) -> int:
        if self._ahead:
            target[:1] = self._ahead
            self._ahead = bytearray()
            return 1
        return self._stream_into(target, offset)

    def _stream_into(self, target: memoryview, offset: int) -> int:
        try:
            return int(self._stream.readinto(target))
        except OSError as error:
            reason = f"reading on from here failed ({error.strerror or error})"
            raise self.error(offset, reason, "take a whole, intact copy of the file") from error

    def tally(self) -> Tally:
        """Count what was wrong with the file as far as it has been read."""
        tally = Tally()
        tally.add_source(self.source, self.path, self.decompressed)
        problem = self._stream.problem if self.decompressed else ""
        if problem:
            tally.add(Defect.CUT_COMPRESSED, 1, place_of(self.path, self.window.end_offset, True))
        return tally

    def close(self) -> None:
        """Close the file; window and source stay readable."""
        self._stream.close()
