"""Starbase's wire layouts against the venue's tables in tests/data/layouts: both ways, every field."""

import ctypes
import math
import random
import re
import struct
from enum import IntEnum, IntFlag
from typing import Any

import pytest

from crosswire.nic.memory.struct import Array, Scalar, Struct, StructMeta, array, u8
from crosswire.venues.layout import Message
from crosswire.venues.starbase.wire import market_layout, order_codes, order_layout
from crosswire.venues.starbase.wire.order_codes import Template
from crosswire.venues.starbase.wire.order_layout import ROOT_BYTES_BEFORE
from crosswire.venues.starbase.wire.order_roots import UNKNOWN, client_root_bytes, exchange_root_bytes, root_bytes
from tests.support.layouts import Block, PublishedMessage, published
from tests.support.starbase_wire import GROUP, pack_body, unpack_body

pytestmark = pytest.mark.starbase

FILES: dict[str, Any] = {"starbase_orders": order_layout, "starbase_market_data": market_layout}
CODES: dict[str, Any] = {"starbase_orders": order_codes, "starbase_market_data": market_layout}
MESSAGES = [(name, message) for name, module in FILES.items() for message in module.MESSAGES]
NUMPY_FORMATS = {
    "int64": "i8",
    "int32": "i4",
    "uint32": "u4",
    "uint16": "u2",
    "int8": "i1",
    "uint8": "u1",
    "double": "f8",
    "char": "u1",
}
CLIENTS = {"Logon", "Logout"} | {"Heartbeat", "TestRequest", "ResendRequest", "GapFill"}
GROWN = (Template.LOGON, Template.LOGON_CONF, Template.ORDER_PLACED, Template.CANCEL_ORDER_RESPONSE)


def ident(value: Any) -> str:
    return f"{value[0]}-{value[1].name}"


def leaves(struct_class: StructMeta, base: int = 0) -> list[tuple[int, Scalar, int]]:
    """Every number of a block: offset, kind, count; nested structs taken apart."""
    found: list[tuple[int, Scalar, int]] = []
    for field in struct_class.fields.values():
        if isinstance(field.element, Scalar):
            found.append((base + field.offset, field.element, field.count or 1))
        else:
            found += leaves(field.element, base + field.offset)
    return found


def table_of(case: tuple[str, Message]) -> PublishedMessage:
    name, message = case
    return published(name).messages[message.name]


def blocks_of(table: PublishedMessage, message: Message) -> list[tuple[Block, StructMeta]]:
    assert order_layout.GroupHeader.size == GROUP.size
    return [(table, message.root), *zip(table.groups, message.groups.values(), strict=True)]


def snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()


@pytest.mark.parametrize("case", MESSAGES, ids=ident)
def test_every_field_is_where_the_venue_says(case: tuple[str, Message]) -> None:
    table, message = table_of(case), case[1]
    assert message.template_id == table.template
    assert list(message.texts) == table.texts
    assert list(message.groups) == [snake(group.name) for group in table.groups]
    for block, struct_class in blocks_of(table, message):
        assert struct_class.size == block.size
        expected = [(row.offset, NUMPY_FORMATS[row.type], row.count) for row in block.rows]
        ours = [(offset, kind.format, count) for offset, kind, count in leaves(struct_class)]
        assert ours == expected


def test_all_published_messages_are_listed() -> None:
    for name, module in FILES.items():
        layouts = published(name)
        assert [message.name for message in module.MESSAGES] == list(layouts.messages)
        assert (
            {message.template_id for message in module.MESSAGES} == set(module.Template) == set(layouts.by_template())
        )


def random_value(kind: Scalar, random_: random.Random) -> int | float:
    if kind.is_float:
        return float(struct.unpack("<d", random_.randbytes(8))[0])
    bits = kind.size * 8
    return random_.randrange(-(1 << bits - 1), 1 << bits - 1) if kind.is_signed else random_.randrange(1 << bits)


def fill_struct(target: Struct, random_: random.Random) -> list[int | float]:
    """Random values through our own descriptors; what was stored, in wire order."""
    stored: list[int | float] = []
    for name, field in type(target).fields.items():
        value = getattr(target, name)
        if isinstance(value, Struct):
            stored += fill_struct(value, random_)
        elif isinstance(value, Array):
            assert isinstance(field.element, Scalar)
            for position in range(len(value)):
                value[position] = random_value(field.element, random_)
                stored.append(value[position])
        else:
            assert isinstance(field.element, Scalar)
            setattr(target, name, random_value(field.element, random_))
            stored.append(getattr(target, name))
    return stored


def read_struct(source: Struct) -> list[int | float]:
    values: list[int | float] = []
    for name in type(source).fields:
        value = getattr(source, name)
        if isinstance(value, Struct):
            values += read_struct(value)
        else:
            values += list(value) if isinstance(value, Array) else [value]
    return values


def flat(block: Block, values: dict[str, Any]) -> list[int | float]:
    numbers: list[int | float] = []
    for row in block.rows:
        value = values[row.name]
        numbers += list(value) if isinstance(value, (bytes, tuple)) else [value]
    return numbers


def same(left: list[int | float], right: list[int | float]) -> bool:
    return len(left) == len(right) and all(
        a == b or (math.isnan(a) and math.isnan(b)) for a, b in zip(left, right, strict=True)
    )


@pytest.mark.parametrize("case", MESSAGES, ids=ident)
@pytest.mark.parametrize("seed", range(3))
def test_what_we_write_reads_back_from_the_tables_and_the_other_way(case: tuple[str, Message], seed: int) -> None:
    name, message = case
    table = table_of(case)
    random_ = random.Random(f"{name} {message.name} {seed}")
    written: list[list[int | float]] = []
    root = message.root()
    written.append(fill_struct(root, random_))
    body = bytes(root)
    for entry in message.groups.values():
        count = random_.randrange(4)
        header = order_layout.GroupHeader(block_length=entry.size, count=count)
        body += bytes(header)
        for _ in range(count):
            element = entry()
            written.append(fill_struct(element, random_))
            body += bytes(element)
    texts = tuple(random_.randbytes(random_.randrange(256)) for _ in message.texts)
    for text in texts:
        body += bytes([len(text)]) + text
    read_root, read_groups, read_texts, taken = unpack_body(table, body)
    read = [flat(table, read_root)]
    for group in table.groups:
        read += [flat(group, entry) for entry in read_groups[group.name]]
    assert (taken, tuple(read_texts)) == (len(body), texts)
    assert all(same(ours, theirs) for ours, theirs in zip(written, read, strict=True))
    # And back: packed from the tables, read by our structs.
    packed = pack_body(table, read_root, read_groups, texts)
    assert packed == body
    memory = array(u8, max(len(packed), 1))
    ctypes.memmove(memory.address, packed, len(packed))
    ours = message.root.at(memory.address, memory.memory)
    assert same(read_struct(ours), written[0])
    offset, number = message.root.size, 1
    for entry in message.groups.values():
        header = order_layout.GroupHeader.at(memory.address + offset, memory.memory)
        offset += GROUP.size
        assert header.block_length == entry.size
        for _ in range(header.count):
            assert same(read_struct(entry.at(memory.address + offset, memory.memory)), written[number])
            offset, number = offset + entry.size, number + 1


ENUM_NAMES = {"QTY": "QUANTITY", "SEQ": "SEQUENCE"}
# What came after the version of the tables.
NEWER = {"OrderRejectReason": {31: "CODE_31", 32: "CODE_32", 33: "CODE_33", 34: "SPEED_BUMPED"}}
NOT_CODES = {"flags", "type"}  # of the headers: FrameFlags, MessageFlags, PacketType


def spelled(name: str) -> str:
    """The schema's name as our constants have it."""
    upper = snake(name).upper() if not name.isupper() else name
    return "_".join(ENUM_NAMES.get(word, word) for word in upper.split("_"))


@pytest.mark.parametrize("name", FILES)
def test_every_code_has_the_venues_value(name: str) -> None:
    checked = 0
    layouts = published(name)
    blocks = [block for message in layouts.messages.values() for block in (message, *message.groups)]
    used = {row.codes for block in blocks for row in block.rows} - {"Bool"}
    for enum_name, codes in layouts.codes.items():
        if enum_name in NOT_CODES or enum_name not in used:
            continue
        # "Wire": of what the engine has a word of its own for.
        ours = getattr(CODES[name], enum_name, None) or getattr(CODES[name], f"Wire{enum_name}", None)
        assert ours is not None, enum_name
        assert issubclass(ours, IntFlag if codes.is_set else IntEnum)
        values = {key: 1 << value if codes.is_set else value for key, value in codes.values.items()}
        newer = NEWER.get(enum_name, {})
        assert {int(code): code.name for code in ours if int(code) in newer} == newer
        assert sorted([*values.values(), *newer]) == sorted(int(code) for code in ours), enum_name
        for key, value in values.items():
            assert ours(value).name == spelled(key), (enum_name, key)
            checked += 1
    assert checked > 10


def test_root_blocks_grow_with_the_version() -> None:
    assert {template for template, _, _ in ROOT_BYTES_BEFORE} == set(GROWN)
    for message in order_layout.MESSAGES[:-1]:
        rows = published("starbase_orders").messages[message.name].rows
        for version in range(1, 18):
            expected = max((row.offset + row.size for row in rows if row.since <= version), default=0)
            sizes = [root_bytes(message.template_id, version, side) for side in (0, 1)]
            assert {size for size in sizes if size != UNKNOWN} == {expected}, (message.name, version)
    assert root_bytes(0, 17, 0) == root_bytes(65535, 17, 1) == UNKNOWN


def test_each_end_knows_what_the_other_sends() -> None:
    for message in order_layout.MESSAGES[:-1]:
        from_client = client_root_bytes(message.template_id) != UNKNOWN
        from_exchange = exchange_root_bytes(message.template_id) != UNKNOWN
        both = message.name in ("Heartbeat", "TestRequest", "ResendRequest", "GapFill")
        asked = message.name in CLIENTS or message.name.endswith("Request")
        assert (from_client, from_exchange) == (asked or both, not asked or both), message.name
