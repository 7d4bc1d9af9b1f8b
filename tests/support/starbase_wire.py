"""Starbase messages packed and read with `struct` from the published tables, independent of our own layouts."""

import functools
import json
import struct
from typing import Any

from tests.support.paths import shared_data

FORMATS = {
    "int64": "q",
    "int32": "i",
    "uint32": "I",
    "uint16": "H",
    "int8": "b",
    "uint8": "B",
    "double": "d",
}
HEADER = struct.Struct("<BBHHHqqq")
GROUP = struct.Struct("<HH")


@functools.cache
def tables(name: str) -> dict[str, Any]:
    """`sboe` (orders) or `sbmd` (market data)."""
    path = shared_data().parent / "protocols" / "layouts" / f"{name}.json"
    return dict(json.loads(path.read_text()))


def by_template(name: str) -> dict[int, str]:
    return {message["template"]: key for key, message in tables(name)["messages"].items()}


def format_of(row: dict[str, Any]) -> str:
    if row["prim"] == "char":
        return f"<{row['len']}s"
    return f"<{row['len']}{FORMATS[row['prim']]}" if row["len"] > 1 else f"<{FORMATS[row['prim']]}"


def rows_on_wire(block: dict[str, Any]) -> list[dict[str, Any]]:
    return [row for row in block["rows"] if row["const"] is None]


def pack_block(block: dict[str, Any], values: dict[str, Any], size: int | None = None) -> bytes:
    """A root block or group entry; what `values` does not name is zero. `size` cuts it to an older version's."""
    data = bytearray(block["root"])
    rows = {row["name"]: row for row in rows_on_wire(block)}
    for name, value in values.items():
        row = rows[name]
        parts = value if isinstance(value, tuple) else (value,)
        struct.pack_into(format_of(row), data, row["off"], *parts)
    return bytes(data[: len(data) if size is None else size])


def unpack_block(block: dict[str, Any], data: bytes, offset: int = 0) -> dict[str, Any]:
    values = {}
    for row in rows_on_wire(block):
        parts = struct.unpack_from(format_of(row), data, offset + row["off"])
        values[row["name"]] = parts[0] if len(parts) == 1 else parts
    return values


def pack_body(
    message: dict[str, Any],
    root: dict[str, Any],
    groups: dict[str, list[dict[str, Any]]] | None = None,
    texts: tuple[bytes, ...] = (),
    size: int | None = None,
) -> bytes:
    body = pack_block(message, root, size)
    for group in message["groups"]:
        entries = (groups or {}).get(group["name"], [])
        body += GROUP.pack(group["root"], len(entries)) + b"".join(pack_block(group, entry) for entry in entries)
    for position in range(len(message["vardata"])):
        text = texts[position] if position < len(texts) else b""
        body += bytes([len(text)]) + text
    return body


def unpack_body(message: dict[str, Any], body: bytes) -> tuple[dict[str, Any], dict[str, Any], list[bytes], int]:
    """Root, groups, texts, and how many bytes they took."""
    root = unpack_block(message, body)
    offset = message["root"]
    groups = {}
    for group in message["groups"]:
        length, count = GROUP.unpack_from(body, offset)
        offset += GROUP.size
        groups[group["name"]] = [unpack_block(group, body, offset + number * length) for number in range(count)]
        offset += length * count
    texts = []
    for _ in message["vardata"]:
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
    message = tables("sboe")["messages"][name]
    body = pack_body(message, root, groups, texts, size)
    length = HEADER.size + len(body)
    header = HEADER.pack(0xDB, flags, length, message["template"], version, sequence, last_processed, time_ns)
    return header + body + bytes(-length % 8)
