"""Deribit's wire layouts against the venue's tables in tests/data/layouts."""

from typing import Any

import pytest

from crosswire.nic.memory.struct import Scalar, StructMeta, size_of
from crosswire.venues.deribit.wire.layout import MESSAGES, FrameHeader, GroupHeader, MessageHeader, Template, TextHeader
from tests.support.layouts import Block, published

TYPES = {"u8": "uint8", "u16": "uint16", "u32": "uint32", "u64": "uint64", "i32": "int32", "f64": "double"}


def check_block(struct: StructMeta, block: Block) -> None:
    ours = []
    for field in struct.fields.values():
        assert isinstance(field.element, Scalar)
        kind = TYPES[field.element.name] if field.count is None else "char"
        ours.append((field.name, field.offset, kind, field.count or 1))
    assert ours == [(row.name, row.offset, row.type, row.count) for row in block.rows]
    assert struct.size == block.size


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.name)
def test_every_field_is_where_the_venue_says(message: Any) -> None:
    expected = published("deribit").messages[message.root.__name__]
    assert message.template_id == expected.template
    assert list(message.texts) == expected.texts
    check_block(message.root, expected)
    assert list(message.groups) == [group.name for group in expected.groups]
    for entry, group in zip(message.groups.values(), expected.groups, strict=True):
        check_block(entry, group)


def test_all_published_messages_are_listed() -> None:
    assert {message.root.__name__ for message in MESSAGES} == set(published("deribit").messages)


def test_place_in_the_table_follows_from_the_template_id() -> None:
    assert [message.template_id for message in MESSAGES] == list(Template)
    assert list(Template) == list(range(Template.INSTRUMENT, Template.INSTRUMENT + len(MESSAGES)))


def test_headers_have_the_published_sizes() -> None:
    sizes = [size_of(header) for header in (FrameHeader, MessageHeader, GroupHeader, TextHeader)]
    assert sizes == [8, 12, 8, 1]
