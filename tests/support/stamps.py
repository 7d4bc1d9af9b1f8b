"""Frames with the hardware time stamps of taps and switches, by their descriptions (see `nic/capture/stamps.py`)."""

import struct
import zlib

NS = 10**9
FRACTIONS = 1 << 40


def padded(frame: bytes) -> bytes:
    """A frame of Ethernet's least length, with its check sequence."""
    frame = frame.ljust(60, b"\0")
    return frame + struct.pack("<I", zlib.crc32(frame))


def sealed(frame: bytes, has_fcs: bool) -> bytes:
    return frame + struct.pack("<I", zlib.crc32(frame)) if has_fcs else frame


def exablaze(frame: bytes, time_ns: int, has_fcs: bool = False) -> bytes:
    fraction = -(-(time_ns % NS) * FRACTIONS // NS)  # the least that is no less
    trailer = struct.pack(">BBI", 7, 3, time_ns // NS) + fraction.to_bytes(5, "big") + b"\0"
    return sealed(padded(frame) + trailer, has_fcs)


def metamako(frame: bytes, time_ns: int, has_fcs: bool = False, flags: int = 1, extensions: bytes = b"") -> bytes:
    trailer = struct.pack(">IIBHB", time_ns // NS, time_ns % NS, flags, 1001, 14)
    return sealed(padded(frame) + extensions + trailer, has_fcs)


def arista(frame: bytes, time_ns: int, is_short: bool = False, leap_s: int | None = None) -> bytes:
    """`leap_s`: TAI, so far ahead; None: UTC."""
    seconds = time_ns // NS + (leap_s or 0)
    stamp = struct.pack(">HI", seconds % 65536, time_ns % NS) if is_short else struct.pack(">II", seconds, time_ns % NS)
    header = struct.pack(">HHBB", 0xD28B, 1, int(leap_s is None), (0x20 if is_short else 0x10) | 1)
    return frame[:12] + header + stamp + frame[12:]
