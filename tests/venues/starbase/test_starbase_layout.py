"""Starbase's wire layouts against the venue's tables, as published in ../shared/protocols: both ways, every field."""

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
from tests.support.starbase_wire import by_template, format_of, pack_body, rows_on_wire, tables, unpack_body

pytestmark = pytest.mark.starbase

FILES: dict[str, Any] = {"sboe": order_layout, "sbmd": market_layout}
CODES: dict[str, Any] = {"sboe": order_codes, "sbmd": market_layout}
MESSAGES = [(name, message) for name, module in FILES.items() for message in module.MESSAGES]
NUMPY_FORMATS = {
    "int64": "i8",
    "int32": "i4",
    "uint32": "u4",
    "uint16": "u2",
    "int8": "i1",
    "uint8": "u1",
    "double": "f8",
}
CLIENTS = {"Logon", "Logout"} | {"Heartbeat", "TestRequest", "ResendRequest", "GapFill"}
GROUP_HEADER_BYTES = 4
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


def blocks_of(name: str, message: Message) -> list[tuple[dict[str, Any], StructMeta]]:
    published = tables(name)["messages"][message.name]
    pairs = [(published, message.root)]
    assert len(published["groups"]) == len(message.groups)
    for group, entry in zip(published["groups"], message.groups.values(), strict=True):
        assert group["header"] == GROUP_HEADER_BYTES == order_layout.GroupHeader.size
        assert group["groups"] == group["vardata"] == []
        pairs.append((group, entry))
    return pairs


def snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()


@pytest.mark.parametrize("case", MESSAGES, ids=ident)
def test_every_field_is_where_the_venue_says(case: tuple[str, Message]) -> None:
    name, message = case
    published = tables(name)["messages"][message.name]
    assert message.template_id == published["template"]
    assert list(message.texts) == [text["name"] for text in published["vardata"]]
    assert {text["prefix"] for text in published["vardata"]} <= {"uint8"}
    assert list(message.groups) == [snake(group["name"]) for group in published["groups"]]
    for block, struct_class in blocks_of(name, message):
        assert struct_class.size == block["root"]
        expected = [
            (row["off"], "u1" if row["prim"] == "char" else NUMPY_FORMATS[row["prim"]], row["len"])
            for row in rows_on_wire(block)
        ]
        ours = [(offset, kind.format, count) for offset, kind, count in leaves(struct_class)]
        assert ours == expected


def test_all_published_messages_are_listed() -> None:
    for name, module in FILES.items():
        assert [message.name for message in module.MESSAGES] == list(tables(name)["messages"])
        assert {message.template_id for message in module.MESSAGES} == set(module.Template) == set(by_template(name))


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


def flat(block: dict[str, Any], values: dict[str, Any]) -> list[int | float]:
    numbers: list[int | float] = []
    for row in rows_on_wire(block):
        value = values[row["name"]]
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
    published = tables(name)["messages"][message.name]
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
    read_root, read_groups, read_texts, taken = unpack_body(published, body)
    read = [flat(published, read_root)]
    for group in published["groups"]:
        read += [flat(group, entry) for entry in read_groups[group["name"]]]
    assert (taken, tuple(read_texts)) == (len(body), texts)
    assert all(same(ours, theirs) for ours, theirs in zip(written, read, strict=True))
    # And back: packed from the tables, read by our structs.
    packed = pack_body(published, read_root, read_groups, texts)
    assert packed == body
    memory = array(u8, max(len(packed), 1))
    ctypes.memmove(memory.address, packed, len(packed))
    ours = message.root.at(memory.address, memory.memory)
    assert same(read_struct(ours), written[0])
    offset, number = message.root.size, 1
    for entry in message.groups.values():
        header = order_layout.GroupHeader.at(memory.address + offset, memory.memory)
        offset += GROUP_HEADER_BYTES
        assert header.block_length == entry.size
        for _ in range(header.count):
            assert same(read_struct(entry.at(memory.address + offset, memory.memory)), written[number])
            offset, number = offset + entry.size, number + 1


ENUM_NAMES = {"QTY": "QUANTITY", "SEQ": "SEQUENCE"}
NOT_CODES = {"flags", "type"}  # of the headers: FrameFlags, MessageFlags, PacketType


def spelled(name: str) -> str:
    """The schema's name as our constants have it."""
    upper = snake(name).upper() if not name.isupper() else name
    return "_".join(ENUM_NAMES.get(word, word) for word in upper.split("_"))


@pytest.mark.parametrize("name", FILES)
def test_every_code_has_the_venues_value(name: str) -> None:
    checked = 0
    messages = tables(name)["messages"].values()
    blocks = [block for message in messages for block in (message, *message["groups"])]
    used = {row["enum"] for block in blocks for row in block["rows"]} - {"Bool"}
    for enum_name, published in tables(name)["enums"].items():
        if enum_name in NOT_CODES or enum_name not in used:
            continue
        ours = getattr(CODES[name], enum_name, None)
        assert ours is not None, enum_name
        assert issubclass(ours, IntFlag if published["set"] else IntEnum)
        values = {key: 1 << int(value) if published["set"] else int(value) for key, value in published["vals"]}
        assert sorted(values.values()) == sorted(int(code) for code in ours), enum_name
        for key, value in values.items():
            assert ours(value).name == spelled(key), (enum_name, key)
            checked += 1
    assert checked > 10


def test_root_blocks_grow_with_the_version() -> None:
    assert {template for template, _, _ in ROOT_BYTES_BEFORE} == set(GROWN)
    for message in order_layout.MESSAGES[:-1]:
        published = tables("sboe")["messages"][message.name]
        for version in range(1, 18):
            known = [row for row in rows_on_wire(published) if int(row["since"] or 0) <= version]
            expected = max((row["off"] + struct.calcsize(format_of(row)) for row in known), default=0)
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
