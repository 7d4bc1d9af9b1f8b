"""The venues' published layouts out of tests/data/layouts: messages are packed and read by them beside our structs."""

import functools
import json
import re
import struct
from dataclasses import dataclass
from typing import Any

from tests.support.paths import DATA

FORMATS = {
    "int64": "q",
    "uint64": "Q",
    "int32": "i",
    "uint32": "I",
    "uint16": "H",
    "int8": "b",
    "uint8": "B",
    "double": "d",
    "char": "s",
}


@dataclass(frozen=True)
class Row:
    """One field: `count` numbers of a type, or `count` characters."""

    name: str
    offset: int
    type: str
    count: int
    since: int  # the schema version that added it; 0: the first
    codes: str  # of the codes that it holds; empty: a number

    @property
    def format(self) -> str:
        count = str(self.count) if self.count > 1 or self.type == "char" else ""
        return f"<{count}{FORMATS[self.type]}"

    @property
    def size(self) -> int:
        return struct.calcsize(self.format)


@dataclass(frozen=True)
class Block:
    """A root block, or an entry of a group."""

    name: str
    size: int
    rows: list[Row]

    def unpack(self, data: bytes, offset: int = 0) -> dict[str, Any]:
        """The fields that lie inside `data`; an array is a tuple."""
        values = {}
        for row in self.rows:
            parts = struct.unpack_from(row.format, data, offset + row.offset)
            values[row.name] = parts[0] if len(parts) == 1 else parts
        return values

    def pack(self, values: dict[str, Any]) -> bytes:
        """All bytes; what `values` does not name is zero. KeyError for a name that the venue has not."""
        data = bytearray(self.size)
        rows = {row.name: row for row in self.rows}
        for name, value in values.items():
            parts = value if isinstance(value, tuple) else (value,)
            struct.pack_into(rows[name].format, data, rows[name].offset, *parts)
        return bytes(data)


@dataclass(frozen=True)
class PublishedMessage(Block):
    template: int
    groups: list[Block]
    texts: list[str]


@dataclass(frozen=True)
class Codes:
    """Values by name; `is_set`: each is the number of a bit."""

    is_set: bool
    values: dict[str, Any]


@dataclass(frozen=True)
class Layouts:
    """One schema."""

    messages: dict[str, PublishedMessage]
    codes: dict[str, Codes]

    def by_template(self) -> dict[int, PublishedMessage]:
        return {message.template: message for message in self.messages.values()}


def read_row(name: str, offset: int, kind: str, known: dict[str, Any] | None = None) -> Row:
    base, _, count = re.fullmatch(r"(\w+)(\[(\d+)\])?", kind).groups()  # type: ignore[union-attr]
    known = known or {}
    return Row(name, offset, base, int(count or 1), known.get("since", 0), known.get("codes", ""))


def read_block(name: str, table: dict[str, Any]) -> Block:
    return Block(name, table["bytes"], [read_row(*row) for row in table["fields"]])


@functools.cache
def published(name: str) -> Layouts:
    """`deribit`, `starbase_orders` or `starbase_market_data`."""
    content = json.loads((DATA / "layouts" / f"{name}.json").read_text())
    messages = {}
    for key, table in content["messages"].items():
        root = read_block(key, table)
        groups = [read_block(*group) for group in table.get("groups", {}).items()]
        messages[key] = PublishedMessage(
            key, root.size, root.rows, template=table["template"], groups=groups, texts=table.get("texts", [])
        )
    codes = {key: Codes(table["set"], table["values"]) for key, table in content.get("codes", {}).items()}
    return Layouts(messages, codes)
