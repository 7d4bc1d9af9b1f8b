"""Deribit's wire layouts against the venue's tables, as published in ../shared/protocols."""

import json
from typing import Any

import pytest

from crosswire.nic.memory.struct import Scalar, StructMeta, size_of
from crosswire.venues.deribit.wire.layout import MESSAGES, FrameHeader, GroupHeader, MessageHeader, Template, TextHeader
from tests.support.paths import shared_data

TYPE_NAMES = {"u8": "u8", "u16": "u16", "u32": "u32", "u64": "u64", "i32": "i32", "f64": "double"}


def published() -> dict[str, Any]:
    path = shared_data().parent / "protocols" / "layouts" / "deribit_legacy.json"
    return dict(json.loads(path.read_text()))


def rows_of(struct: StructMeta) -> list[dict[str, Any]]:
    rows = []
    for field in struct.fields.values():
        assert isinstance(field.element, Scalar)
        is_text = field.count is not None
        type_name = f"char[{field.count}]" if is_text else TYPE_NAMES[field.element.name]
        rows.append({"name": field.name, "off": field.offset, "type": type_name})
    return rows


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.name)
def test_every_field_is_where_the_venue_says(message: Any) -> None:
    expected = published()[message.root.__name__]
    assert message.template_id == expected["template"]
    assert message.root.size == expected["root"]
    assert rows_of(message.root) == expected["rows"]
    groups = [{"name": name, "entry": entry.size, "rows": rows_of(entry)} for name, entry in message.groups.items()]
    assert groups == expected["groups"]


def test_all_published_messages_are_listed() -> None:
    assert {message.root.__name__ for message in MESSAGES} == set(published())


def test_place_in_the_table_follows_from_the_template_id() -> None:
    assert [message.template_id for message in MESSAGES] == list(Template)
    assert list(Template) == list(range(Template.INSTRUMENT, Template.INSTRUMENT + len(MESSAGES)))


def test_headers_have_the_published_sizes() -> None:
    sizes = [size_of(header) for header in (FrameHeader, MessageHeader, GroupHeader, TextHeader)]
    assert sizes == [8, 12, 8, 1]
