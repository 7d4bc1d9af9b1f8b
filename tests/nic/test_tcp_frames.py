"""Frames that are copies of templates: their checksums against RFC 1071's own words, whatever fields are patched."""

import ctypes
import struct
from typing import Annotated

from hypothesis import example, given
from hypothesis import strategies as st

from crosswire.nic.memory.struct import Array, Struct, address_of, i64, u8
from crosswire.nic.packet import (
    ETHERNET_HEADER_BYTES,
    TCP_FRAME_HEADER_BYTES,
    Flow,
    TcpFrame,
    add_field,
    pair_sum,
)
from crosswire.nic.rings.ring import commit
from crosswire.nic.tcp_frames import Connection, build_template, commit_template, set_connection
from tests.nic.test_packet import FLOW, plain_checksum

WORDS_MAX = 12
WORD = st.integers(-(1 << 63), (1 << 63) - 1)
BYTE = st.integers(0, 0xFF)


class SlotRing(Struct):
    """A ring of one slot."""

    length: i64  # of the frame committed
    slot: Annotated[Array, u8, 256]


@commit.register(SlotRing)
def commit_slot(ring: SlotRing, length: int, _now_ns: int) -> None:
    ring.length = length


class Patched(Struct, packed=True):
    """A template with room for what is patched."""

    frame: TcpFrame
    payload: Annotated[Array, u8, 8 * WORDS_MAX + 2]


@given(
    constant=st.binary(min_size=8 * WORDS_MAX + 2, max_size=8 * WORDS_MAX + 2),
    fields=st.lists(WORD, min_size=1, max_size=WORDS_MAX),
    pair=st.tuples(BYTE, BYTE),
    first_byte=st.integers(0, 0xFFFF_FFFF),
)
@example(constant=bytes(8 * WORDS_MAX + 2), fields=[-1] * WORDS_MAX, pair=(0xFF, 0xFF), first_byte=0xFFFF_FFFF)
@example(constant=b"\xff" * (8 * WORDS_MAX + 2), fields=[-1], pair=(0xFF, 0xFF), first_byte=0)
@example(constant=bytes(8 * WORDS_MAX + 2), fields=[0], pair=(0, 0), first_byte=0)
def test_checksum_of_patched_fields(constant: bytes, fields: list[int], pair: tuple[int, int], first_byte: int) -> None:
    """Fields of 64 bits and a pair of bytes, little-endian, over a template of any bytes."""
    template, ring, connection = Patched(), SlotRing(), Connection()
    flow = Flow(**FLOW)
    set_connection(connection, flow, first_byte)
    length = len(constant)
    patched = b"".join(struct.pack("<q", each) for each in fields) + bytes(pair)
    # What is patched is 0 in the template, whose sum it would count in otherwise.
    kept = constant[: length - len(patched)]
    ctypes.memmove(address_of(template.payload), kept + bytes(len(patched)), length)
    constant_sum = build_template(template.frame, flow, length)
    whole = TCP_FRAME_HEADER_BYTES + length
    slot = address_of(ring.slot)
    ctypes.memmove(slot, template.address, whole)
    ctypes.memmove(slot + whole - len(patched), patched, len(patched))
    fields_sum = pair_sum(*pair)
    for each in fields:
        fields_sum = add_field(fields_sum, each)
    commit_template(connection, ring, slot, whole, constant_sum, fields_sum, 0)
    assert ring.length == whole
    sent = ctypes.string_at(slot, whole)
    segment = sent[ETHERNET_HEADER_BYTES + 20 :]
    assert segment[20:] == kept + patched
    assert struct.unpack_from("!II", segment, 4) == (first_byte, first_byte)
    pseudo = struct.pack("!IIHH", FLOW["source_ip"], FLOW["destination_ip"], 6, len(segment))
    assert plain_checksum(pseudo + segment) == 0
    assert connection.send_next == (first_byte + length) & 0xFFFF_FFFF
