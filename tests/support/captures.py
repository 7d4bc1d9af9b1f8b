"""Captures written with `struct.pack` from the format drafts, and what is read of a file."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import zstandard

from crosswire.nic.memory.struct import array, u8
from crosswire.nic.packet import Flow, write_udp_frame_header
from crosswire.nic.rings.replay import Replay, replayed_frames
from crosswire.nic.warning import DataWarning

Frames = list[tuple[int, bytes]]
T0 = 1_700_000_000_000_000_000
FLOW = Flow(
    source_mac=2, destination_mac=4, source_ip=0x0A000001, destination_ip=0xEF000001, source_port=1, destination_port=9
)
LINK_ETHERNET, LINK_RAW, LINK_SLL, LINK_IPV4, LINK_SLL2 = 1, 101, 113, 228, 276
LINK_IPV6 = 229


def udp_frame(payload: bytes) -> bytes:
    """An Ethernet frame with one datagram, padded to no length."""
    room = array(u8, 64 + len(payload))
    header_bytes = write_udp_frame_header(room.address, FLOW, len(payload)) - room.address
    return bytes(room)[:header_bytes] + payload


def pcap(
    frames: Frames, order: str = "<", nanosecond: bool = True, link_type: int = 1, slice_to: int = 1 << 18
) -> bytes:
    magic, ticks = (0xA1B23C4D, 10**9) if nanosecond else (0xA1B2C3D4, 10**6)
    data = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 1 << 18, link_type)
    for time_ns, frame in frames:
        fraction = time_ns % 10**9 * ticks // 10**9
        kept = frame[:slice_to]
        data += struct.pack(order + "IIII", time_ns // 10**9, fraction, len(kept), len(frame)) + kept
    return data


def block(order: str, kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    length = struct.pack(order + "I", len(body) + 12)
    return struct.pack(order + "I", kind) + length + body + length


def option(order: str, code: int, value: bytes) -> bytes:
    return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)


def section(order: str, major: int = 1, minor: int = 0) -> bytes:
    body = struct.pack(order + "IHHq", 0x1A2B3C4D, major, minor, -1)
    return block(order, 0x0A0D0D0A, body + option(order, 4, b"test"))


def interface(
    order: str, resolution: int | None = None, offset_s: int | None = None, link_type: int = 1, snap_length: int = 0
) -> bytes:
    options = option(order, 2, b"eth0!")
    if resolution is not None:
        options += option(order, 9, bytes([resolution]))
    if offset_s is not None:
        options += option(order, 14, struct.pack(order + "q", offset_s))
    body = struct.pack(order + "HHI", link_type, 0, snap_length) + options + option(order, 0, b"")
    return block(order, 1, body)


def packet(
    order: str, ticks: int, frame: bytes, number: int = 0, old: bool = False, original: int | None = None
) -> bytes:
    original = len(frame) if original is None else original
    lengths = struct.pack(order + "IIII", ticks >> 32, ticks & 0xFFFFFFFF, len(frame), original)
    padded = frame + bytes(-len(frame) % 4)
    if old:
        return block(order, 2, struct.pack(order + "HH", number, 3) + lengths + padded)
    return block(order, 6, struct.pack(order + "I", number) + lengths + padded + option(order, 1, b"comment"))


def read_capture(path: Path, data: bytes, window_bytes: int = 1 << 16) -> tuple[Frames, list[DataWarning]]:
    """Write a file and read it: frames, and the warnings about it."""
    path.write_bytes(data)
    return read_captures([path], window_bytes)


def read_captures(paths: list[Path], window_bytes: int = 1 << 16) -> tuple[Frames, list[DataWarning]]:
    """Read captures: frames, and the warnings about them."""
    with Replay(paths, window_bytes) as replay:
        return list(replayed_frames(replay)), replay.warnings()


def kinds(warnings: list[DataWarning]) -> dict[str, int]:
    """The counts of warnings, by the first words of their kind."""
    return {" ".join(each.kind.split()[:4]): each.count for each in warnings}


CODECS: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda data: data,
    "gzip": gzip.compress,
    "gzip members": lambda data: b"".join(gzip.compress(data[i : i + 50]) for i in range(0, len(data), 50)),
    "zstd": zstandard.compress,
    "zstd frames": lambda data: b"".join(zstandard.compress(data[i : i + 50]) for i in range(0, len(data), 50)),
    "zstd skippable": lambda data: b"\x5a\x2a\x4d\x18\x03\0\0\0abc" + zstandard.compress(data),
}
