"""Starbase messages packed and read from the published tables, independent of our own layouts."""

import struct
from typing import Any

from tests.support.layouts import Layouts, PublishedMessage, published

HEADER = struct.Struct("<BBHHHqqq")
GROUP = struct.Struct("<HH")


def order_layouts() -> Layouts:
    return published("starbase_orders")


def market_layouts() -> Layouts:
    return published("starbase_market_data")


def pack_body(
    message: PublishedMessage,
    root: dict[str, Any],
    groups: dict[str, list[dict[str, Any]]] | None = None,
    texts: tuple[bytes, ...] = (),
    size: int | None = None,
) -> bytes:
    """Root block, groups and texts; `size` cuts the root block to an older version's."""
    body = message.pack(root)[:size]
    for group in message.groups:
        entries = (groups or {}).get(group.name, [])
        body += GROUP.pack(group.size, len(entries)) + b"".join(group.pack(entry) for entry in entries)
    for position in range(len(message.texts)):
        text = texts[position] if position < len(texts) else b""
        body += bytes([len(text)]) + text
    return body


def unpack_body(message: PublishedMessage, body: bytes) -> tuple[dict[str, Any], dict[str, Any], list[bytes], int]:
    """Root, groups, texts, and how many bytes they took."""
    root = message.unpack(body)
    offset = message.size
    groups = {}
    for group in message.groups:
        length, count = GROUP.unpack_from(body, offset)
        offset += GROUP.size
        groups[group.name] = [group.unpack(body, offset + number * length) for number in range(count)]
        offset += length * count
    texts = []
    for _ in message.texts:
        texts.append(body[offset + 1 : offset + 1 + body[offset]])
        offset += 1 + body[offset]
    return root, groups, texts, offset


def pack_frame(
    name: str,
    root: dict[str, Any],
    groups: dict[str, list[dict[str, Any]]] | None = None,
    texts: tuple[bytes, ...] = (),
    *,
    sequence: int,
    last_processed: int = 0,
    flags: int = 0,
    version: int = 17,
    time_ns: int = 0,
    size: int | None = None,
) -> bytes:
    """A whole frame of order entry, padded."""
    message = order_layouts().messages[name]
    body = pack_body(message, root, groups, texts, size)
    length = HEADER.size + len(body)
    header = HEADER.pack(0xDB, flags, length, message.template, version, sequence, last_processed, time_ns)
    return header + body + bytes(-length % 8)
