"""Capture files: opened, decompressed, and slid through a bounded window; never loaded whole.

pcap (microseconds or nanoseconds) and pcapng, either byte order, plain, gzip or zstd. What a file is, its first bytes
say; its name is not asked.
"""

import ctypes
import io
from pathlib import Path
from typing import Any

from crosswire.nic.capture.decode import Capture, Fault, Source
from crosswire.nic.capture.format import (
    LINK_TYPE_ETHERNET,
    LINK_TYPE_MASK,
    MAGIC_MICROSECONDS,
    MAGIC_NANOSECONDS,
    PCAP_VERSION_MAJOR,
    BlockType,
    FileMagic,
    PcapHeader,
    ordered_u16,
    ordered_u32,
)
from crosswire.nic.duration import NS_PER_S
from crosswire.nic.memory.struct import array, size_of, u8, view

WINDOW_BYTES = 4 << 20
WINDOW_BYTES_MIN = 4096
GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
ZSTD_SKIPPABLE_MAGIC = b"\x2a\x4d\x18"  # after one byte 0x50 to 0x5f
INFLATE_BYTES = 64 << 10  # asked for at a time: a decompressor's error loses at most this much before it

FAULT_TEXTS = {
    Fault.CAPTURED_LENGTH: "a captured length that its record can't have",
    Fault.TIME: "a time stamp that can't be",
    Fault.BLOCK_LENGTH: "a block length that its type can't have",
    Fault.BLOCK_TRAILER: "a block whose length at its end is not the one at its start",
    Fault.BYTE_ORDER: "a section header without the byte-order magic",
    Fault.VERSION: "a section of another pcapng version than 1",
    Fault.TOO_MANY_INTERFACES: "more interfaces in one section than there is room for",
    Fault.UNKNOWN_INTERFACE: "a packet of an interface that was not described",
    Fault.LINK_TYPE: "a packet of an interface whose link type is not Ethernet (1)",
    Fault.OPTION_LENGTH: "an interface option of impossible length",
    Fault.TIME_RESOLUTION: "an if_tsresol that 64-bit time stamps can't use",
    Fault.TIME_OFFSET: "an if_tsoffset that leads out of the calendar",
}
DAMAGED = "the file is damaged here: take an intact copy, or cut it before this byte"
RECAPTURE = "capture again on an Ethernet interface"
ADVICE = {
    Fault.VERSION: "convert it with `editcap -F pcapng`",
    Fault.TOO_MANY_INTERFACES: "split it by interface with `editcap`",
    Fault.LINK_TYPE: RECAPTURE,
    Fault.TIME_RESOLUTION: "convert it with `editcap -F nsecpcap`",
}


class CaptureError(Exception):
    """One line: which file, which byte of its (decompressed) stream, why, and what to do."""

    def __init__(self, path: Path, offset: int, reason: str, advice: str, decompressed: bool = False) -> None:
        where = f"byte {offset} of the decompressed stream" if decompressed else f"byte {offset}"
        super().__init__(f"{path}, {where}: {reason}; {advice}")
        self.path = path
        self.offset = offset


def open_stream(path: Path) -> tuple[Any, bool]:
    """Open a raw stream of the capture's bytes; also tell whether it decompresses.

    pyarrow inflates because python-zstandard's reader takes a cut-off file for a whole one (0.25: end of file in the
    middle of a frame reads as an end), where pyarrow's says "Truncated compressed stream".
    """
    with path.open("rb") as file:
        magic = file.read(size_of(FileMagic))
    if magic.startswith(GZIP_MAGIC):
        codec = "gzip"
    elif magic == ZSTD_MAGIC or (magic[1:] == ZSTD_SKIPPABLE_MAGIC and magic[0] >> 4 == 5):
        codec = "zstd"
    else:
        return io.FileIO(path, "rb"), False
    import pyarrow  # takes 0.1 s to import, which plain captures need not pay

    return pyarrow.CompressedInputStream(pyarrow.OSFile(str(path), "rb"), codec), True


class CaptureFile:
    """One open capture: its stream, its window, and the `Capture` that compiled code reads it through."""

    def __init__(self, path: Path, capture: Capture, window_bytes: int = WINDOW_BYTES) -> None:
        if window_bytes < WINDOW_BYTES_MIN:
            raise ValueError(f"window_bytes={window_bytes}: at least {WINDOW_BYTES_MIN}")
        self.path = path
        self.capture = capture
        self.window = array(u8, window_bytes)
        self._bytes = self.window.numpy().data
        capture.base_address = self.window.address
        capture.end_offset = 0
        capture.end_of_file = 0
        try:
            self._stream, self.decompressed = open_stream(path)
        except OSError as error:
            raise CaptureError(path, 0, f"can't be opened ({error.strerror or error})", "check the path") from error
        try:
            self.slide(0)
            self.first_record_offset = self._read_header()
        except BaseException:
            self.close()
            raise

    def error(self, offset: int, reason: str, advice: str = DAMAGED) -> CaptureError:
        return CaptureError(self.path, offset, reason, advice, self.decompressed)

    def fault(self, source: Source) -> CaptureError:
        """The error that stopped `source`."""
        fault, offset = Fault(source.fault), source.fault_offset
        if fault == Fault.TRUNCATED:
            end = self.capture.end_offset
            reason = f"the record that starts here is cut off by the end of the file, byte {end}"
            return self.error(offset, reason, "take a whole copy, or cut the file before this byte")
        return self.error(offset, FAULT_TEXTS[fault], ADVICE.get(fault, DAMAGED))

    @property
    def window_bytes(self) -> int:
        return len(self._bytes)

    def slide(self, keep_offset: int) -> bool:
        """Drop the window's bytes before stream offset `keep_offset` and read on until it is full or the file ends.

        False when that changed nothing: the window is full of bytes to keep, and the file goes on.
        """
        capture = self.capture
        kept = capture.end_offset - keep_offset
        if kept == self.window_bytes:
            beyond = self._read_into(memoryview(bytearray(1)), capture.end_offset)
            capture.end_of_file = int(beyond == 0)
            return beyond == 0
        # memmove, not copy_bytes: what is kept may overlap where it goes.
        ctypes.memmove(self.window.address, capture.base_address + keep_offset, kept)
        capture.base_address = self.window.address - keep_offset
        read_bytes = INFLATE_BYTES if self.decompressed else self.window_bytes
        while capture.end_offset < keep_offset + self.window_bytes and not capture.end_of_file:
            filled = capture.end_offset - keep_offset
            count = self._read_into(self._bytes[filled : filled + read_bytes], capture.end_offset)
            capture.end_offset += count
            capture.end_of_file = int(count == 0)
        return True

    def _read_into(self, target: memoryview, offset: int) -> int:
        try:
            return int(self._stream.readinto(target))
        except OSError as error:
            reason = f"reading on from here failed ({error.strerror or error})"
            raise self.error(offset, reason, "take a whole, intact copy of the file") from error

    def _read_header(self) -> int:
        """Recognise the format from the first bytes; returns the stream offset of the first record or block."""
        capture, address = self.capture, self.window.address
        if capture.end_offset == 0:
            raise self.error(0, "the file is empty", "capture again")
        header = view(PcapHeader, address)
        capture.is_pcapng = int(header.magic == BlockType.SECTION)
        if capture.is_pcapng:
            return 0
        magics = (MAGIC_MICROSECONDS, MAGIC_NANOSECONDS)
        capture.swapped = int(header.magic not in magics)
        magic = ordered_u32(header.magic, capture.swapped)
        if magic not in magics:
            start = bytes(self._bytes[: min(capture.end_offset, size_of(FileMagic))])
            reason = f"neither pcap nor pcapng: it starts with {start.hex()}"
            raise self.error(0, reason, "give a capture, plain, gzip or zstd")
        if capture.end_offset < size_of(PcapHeader):
            reason = f"the file header is cut off by the end of the file, byte {capture.end_offset}"
            raise self.error(0, reason, "take a whole copy of the file")
        version = ordered_u16(header.version_major, capture.swapped)
        if version != PCAP_VERSION_MAJOR:
            reason = f"pcap version {version}, not {PCAP_VERSION_MAJOR}"
            raise self.error(PcapHeader.fields["version_major"].offset, reason, "convert it with `editcap -F nsecpcap`")
        link_type = ordered_u32(header.link_type, capture.swapped) & LINK_TYPE_MASK
        if link_type != LINK_TYPE_ETHERNET:
            reason = f"link type {link_type} is not Ethernet ({LINK_TYPE_ETHERNET})"
            raise self.error(PcapHeader.fields["link_type"].offset, reason, RECAPTURE)
        capture.ticks_per_second = NS_PER_S if magic == MAGIC_NANOSECONDS else 1_000_000
        capture.ns_per_tick = NS_PER_S // capture.ticks_per_second
        return size_of(PcapHeader)

    def close(self) -> None:
        self._stream.close()
