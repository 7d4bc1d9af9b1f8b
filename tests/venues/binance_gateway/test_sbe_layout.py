"""The SBE layouts against the venue's published schema."""

import re
from xml.etree import ElementTree

import pytest

from crosswire.nic.memory.struct import size_of
from crosswire.venues.bridge.binance import sbe_layout
from tests.support.paths import recording

pytestmark = pytest.mark.binance

SIZES = {"uint8": 1, "int8": 1, "uint16": 2, "uint32": 4, "int64": 8}
SBE = "{http://fixprotocol.io/2016/sbe}"


def snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def offsets(fields: list[ElementTree.Element], sizes: dict[str, int]) -> tuple[dict[str, int], int]:
    """Where each field is, and how long the block is; constants are not on the wire."""
    found, position = {}, 0
    for field in fields:
        if field.get("presence") != "constant":
            found[snake(field.attrib["name"])] = position
            position += sizes[field.attrib["type"]]
    return found, position


def test_every_field_is_where_the_schema_has_it() -> None:
    schema = ElementTree.parse(recording("schemas/stream_1_0.xml")).getroot()
    assert int(schema.attrib["id"]) == sbe_layout.SCHEMA_ID
    types = schema.find("types")
    assert types is not None
    sizes = {each.attrib["name"]: SIZES[each.attrib["primitiveType"]] for each in types.findall("type")}
    sizes |= {each.attrib["name"]: SIZES[each.attrib["encodingType"]] for each in types.findall("enum")}
    headers = {
        "messageHeader": sbe_layout.MessageHeader,
        "groupSizeEncoding": sbe_layout.TradeGroupHeader,
        "groupSize16Encoding": sbe_layout.GroupHeader,
    }
    for composite in types.findall("composite"):
        if composite.attrib["name"] in headers:
            lengths = [SIZES[part.attrib["primitiveType"]] for part in composite.findall("type")]
            assert size_of(headers[composite.attrib["name"]]) == sum(lengths)
    published = {int(each.attrib["id"]): each for each in schema.iter(f"{SBE}message")}
    for message in sbe_layout.MESSAGES:
        element = published[message.template_id]
        assert element.attrib["name"] == message.name
        blocks = [(element, message.root)]
        blocks += [(group, message.groups[group.attrib["name"]]) for group in element.findall("group")]
        for part, layout in blocks:
            places, size = offsets(part.findall("field"), sizes)
            assert {name: field.offset for name, field in layout.fields.items()} == places
            assert size_of(layout) == size
        assert [each.attrib["name"] for each in element.findall("data")] == list(message.texts)
