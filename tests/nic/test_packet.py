"""Frames against an independent parser and builder written with `struct.pack` from the RFCs, on a guarded page."""

import itertools
import os
import random
import struct
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crosswire.nic.memory.struct import array, u8
from crosswire.nic.packet import (
    FLAG_ACK,
    FLAG_PSH,
    IPV4_HEADER_BYTES,
    PROTOCOL_TCP,
    PROTOCOL_UDP,
    TCP_FRAME_HEADER_BYTES,
    UDP_FRAME_HEADER_BYTES,
    Flow,
    Packet,
    PacketCounters,
    internet_checksum,
    internet_sum,
    is_damaged_udp,
    parse_other,
    parse_packet,
    patch_udp_length,
    seal_tcp_frame,
    seal_udp_frame,
    write_tcp_frame_header,
    write_udp_frame_header,
)
from crosswire.nic.rings.replay import read_frames
from crosswire.nic.rings.ring import Frame
from tests.support.guard import GuardedBytes
from tests.support.paths import recording

FUZZ_FRAMES = int(os.environ.get("CROSSWIRE_FUZZ_FRAMES", "20000"))

GUARDED = GuardedBytes()
REASONS = tuple(PacketCounters.fields)
FLOW = {
    "source_mac": 0x0A0B0C0D0E0F,
    "destination_mac": 0x01005E010203,
    "source_ip": 0xC0A80102,
    "destination_ip": 0xEF010203,
    "source_port": 0xFFFE,
    "destination_port": 6100,
}


def plain_checksum(data: bytes) -> int:
    """RFC 1071 as its section 4.1 writes it."""
    total: int = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


@dataclass
class Wire:
    """A frame to build, byte by byte."""

    payload: bytes = b"payload"
    tags: list[int] = field(default_factory=list)
    ip_options: bytes = b""
    protocol: int = PROTOCOL_UDP
    fragment: int = 0x4000
    tcp_options: bytes = b""
    sequence: int = 0xFFFFFFFF
    acknowledgement: int = 7
    flags: int = FLAG_ACK
    udp_length_excess: int = 0
    total_length_excess: int = 0
    trailer: bytes = b""

    def transport(self) -> bytes:
        if self.protocol == PROTOCOL_TCP:
            offset = (20 + len(self.tcp_options)) // 4 << 4
            ports = struct.pack("!HHIIBB", 0xFFFE, 6100, self.sequence, self.acknowledgement, offset, self.flags)
            return ports + struct.pack("!HHH", 512, 0, 0) + self.tcp_options + self.payload
        length = 8 + len(self.payload) + self.udp_length_excess
        return struct.pack("!HHHH", 0xFFFE, 6100, length & 0xFFFF, 0) + self.payload

    def frame(self) -> bytes:
        transport = self.transport()
        header_length = 20 + len(self.ip_options)
        total = header_length + len(transport) + self.total_length_excess
        ip = struct.pack("!BBHHH", 0x40 | header_length // 4, 0, total & 0xFFFF, 0, self.fragment)
        ip += struct.pack("!BBHII", 64, self.protocol, 0, 0xC0A80102, 0xEF010203) + self.ip_options
        ether = struct.pack("!HI", 0x0100, 0x5E010203) + struct.pack("!HI", 0x0A0B, 0x0C0D0E0F)
        tags = b"".join(struct.pack("!HH", tag, 100) for tag in self.tags)
        return ether + tags + b"\x08\x00" + ip + transport + self.trailer


def parse(data: bytes) -> tuple[str, Packet, int]:
    """(counter that went up, packet, address of the frame)."""
    address = GUARDED.place(data)
    packet, counters = Packet(), PacketCounters()
    found = parse_packet(Frame(address=address, length=len(data), time_ns=42), packet, counters)
    raised = [reason for reason in REASONS if getattr(counters, reason)]
    assert len(raised) == 1
    assert getattr(counters, raised[0]) == 1
    assert found == (raised[0] in ("udp", "tcp"))
    return raised[0], packet, address


def reference(data: bytes) -> tuple[str, int, int]:
    """(counter, payload offset, payload length), by slicing; the last two are 0 without a payload."""
    rest = data[12:]
    if len(data) < 14:
        return "truncated", 0, 0
    for _ in range(2):
        if rest[:2] in (b"\x81\x00", b"\x88\xa8", b"\x91\x00"):
            rest = rest[4:]
            if len(rest) < 2:
                return "truncated", 0, 0
    if rest[:2] != b"\x08\x00":
        return "not_ipv4", 0, 0
    ip = rest[2:]
    start = len(data) - len(ip)
    if len(ip) < 20:
        return "truncated", 0, 0
    header, total = (ip[0] & 15) * 4, int.from_bytes(ip[2:4], "big")
    if ip[0] >> 4 != 4 or header < 20 or total < header:
        return "bad_header", 0, 0
    if total > len(ip):
        return "truncated", 0, 0
    if int.from_bytes(ip[6:8], "big") & 0x3FFF:
        return "fragments", 0, 0
    body = ip[header:total]
    if ip[9] == 17:
        length = int.from_bytes(body[4:6], "big")
        if len(body) < 8 or not 8 <= length <= len(body):
            return "bad_header", 0, 0
        return "udp", start + header + 8, length - 8
    if ip[9] == 6:
        if len(body) < 20 or not 20 <= (body[12] >> 4) * 4 <= len(body):
            return "bad_header", 0, 0
        return "tcp", start + header + (body[12] >> 4) * 4, len(body) - (body[12] >> 4) * 4
    return "other_protocol", 0, 0


words = st.binary(max_size=40).map(lambda data: data[: len(data) // 4 * 4])
wires = st.builds(
    Wire,
    payload=st.binary(max_size=80),
    tags=st.lists(st.sampled_from([0x8100, 0x88A8, 0x9100]), max_size=3),
    ip_options=words,
    protocol=st.sampled_from([PROTOCOL_UDP, PROTOCOL_TCP, 1]),
    fragment=st.sampled_from([0, 0x4000, 0x2000, 1, 0x1FFF, 0x8000]),
    tcp_options=words,
    sequence=st.integers(0, 2**32 - 1),
    acknowledgement=st.integers(0, 2**32 - 1),
    flags=st.integers(0, 255),
    udp_length_excess=st.sampled_from([0, 0, 0, -1, 1, -9, 60000]),
    total_length_excess=st.sampled_from([0, 0, 0, -1, 1, -30, 60000]),
    trailer=st.binary(max_size=20),
)


@given(wires)
def test_parse_agrees_with_the_reference(wire: Wire) -> None:
    data = wire.frame()
    reason, packet, address = parse(data)
    expected, offset, length = reference(data)
    assert reason == expected
    if length or offset:
        assert (packet.payload_address - address, packet.payload_length) == (offset, length)
        assert (packet.source_ip, packet.destination_ip) == (0xC0A80102, 0xEF010203)
        assert (packet.source_port, packet.destination_port) == (0xFFFE, 6100)
        assert (packet.time_ns, packet.protocol) == (42, wire.protocol)
        is_tcp = wire.protocol == PROTOCOL_TCP
        stream = (wire.sequence, wire.acknowledgement, wire.flags) if is_tcp else (0, 0, 0)
        assert (packet.tcp_sequence, packet.tcp_acknowledgement, packet.tcp_flags) == stream


@settings(max_examples=400)
@given(wires, st.lists(st.tuples(st.integers(0, 120), st.integers(0, 255)), max_size=4), st.integers(0, 250))
def test_mutated_and_cut_frames_never_read_past_their_end(
    wire: Wire, mutations: list[tuple[int, int]], cut: int
) -> None:
    data = bytearray(wire.frame())
    for position, value in mutations:
        if position < len(data):
            data[position] = value
    data = data[:cut]
    reason, packet, address = parse(bytes(data))
    expected, offset, length = reference(bytes(data))
    assert reason == expected
    if reason in ("udp", "tcp"):
        assert (packet.payload_address - address, packet.payload_length) == (offset, length)
        assert address <= packet.payload_address <= packet.payload_address + packet.payload_length <= GUARDED.end


def test_ethernet_padding_is_not_payload() -> None:
    data = Wire(payload=b"x", trailer=bytes(17)).frame()
    assert len(data) == 60
    reason, packet, _ = parse(data)
    assert (reason, packet.payload_length) == ("udp", 1)


@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        (Wire(tags=[0x8100]), "udp"),
        (Wire(tags=[0x88A8, 0x8100]), "udp"),
        (Wire(tags=[0x88A8, 0x8100, 0x8100]), "not_ipv4"),
        (Wire(ip_options=bytes(40)), "udp"),
        (Wire(fragment=0x2000), "fragments"),
        (Wire(fragment=0x0001), "fragments"),
        (Wire(protocol=PROTOCOL_TCP, flags=FLAG_ACK | FLAG_PSH, tcp_options=bytes(12)), "tcp"),
        (Wire(protocol=2), "other_protocol"),
        (Wire(udp_length_excess=1), "bad_header"),
        (Wire(udp_length_excess=-1), "udp"),
        (Wire(total_length_excess=1), "truncated"),
    ],
)
def test_each_kind_of_frame(wire: Wire, reason: str) -> None:
    assert parse(wire.frame())[0] == reason


@given(st.binary(max_size=300), st.binary(max_size=40).map(lambda data: data[: len(data) // 2 * 2]))
def test_checksum_is_rfc_1071(data: bytes, before: bytes) -> None:
    initial = internet_sum(GUARDED.place(before), len(before), 0)
    assert internet_checksum(GUARDED.place(data), len(data), initial) == plain_checksum(before + data)


def build_udp(payload: bytes, lengths_before: list[int], seal: bool) -> bytes:
    frame = array(u8, 2000)
    payload_address = write_udp_frame_header(frame.address, Flow(**FLOW), 0)
    assert payload_address == frame.address + UDP_FRAME_HEADER_BYTES
    for length in lengths_before:
        patch_udp_length(frame.address, length)
    frame.numpy()[UDP_FRAME_HEADER_BYTES : UDP_FRAME_HEADER_BYTES + len(payload)] = list(payload)
    finish = seal_udp_frame if seal else patch_udp_length
    frame_length = finish(frame.address, len(payload))
    return bytes(frame)[:frame_length]


@given(st.binary(max_size=200), st.lists(st.integers(0, 1472), max_size=3), st.booleans())
def test_udp_frames_are_what_the_rfcs_say(payload: bytes, lengths_before: list[int], seal: bool) -> None:
    data = build_udp(payload, lengths_before, seal)
    expected = bytearray(Wire(payload=payload).frame())
    expected[24:26] = struct.pack("!H", plain_checksum(bytes(expected[14:34])))
    if seal:
        pseudo = struct.pack("!IIHH", FLOW["source_ip"], FLOW["destination_ip"], PROTOCOL_UDP, len(expected) - 34)
        expected[40:42] = struct.pack("!H", plain_checksum(pseudo + bytes(expected[34:])) or 0xFFFF)
    assert data == bytes(expected)
    reason, packet, address = parse(data)
    assert reason == "udp"
    assert data[packet.payload_address - address :][: packet.payload_length] == payload


@given(st.binary(max_size=200), st.integers(min_value=0), st.booleans())
def test_a_flipped_bit_of_a_datagram_is_seen(payload: bytes, place: int, seal: bool) -> None:
    """Of addresses, ports, length or payload; not where the sender has made no checksum."""
    data = bytearray(build_udp(payload, [], seal))
    assert not is_damaged_udp(parse(bytes(data))[1])
    # From the IP addresses on; a length that contradicts the packet's is refused before, and a checksum of 0 is none.
    bits = [bit for bit in range(8 * 26, 8 * len(data)) if bit // 8 not in (38, 39, 40, 41)]
    bit = bits[place % len(bits)]
    data[bit // 8] ^= 1 << bit % 8
    reason, packet, _ = parse(bytes(data))
    assert reason == "udp"
    assert is_damaged_udp(packet) == seal


@given(st.binary(max_size=200), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_tcp_frames_are_what_the_rfcs_say(payload: bytes, sequence: int, acknowledgement: int) -> None:
    frame = array(u8, 1600)
    payload_address = write_tcp_frame_header(frame.address, Flow(**FLOW), 512)
    assert payload_address == frame.address + TCP_FRAME_HEADER_BYTES
    frame.numpy()[TCP_FRAME_HEADER_BYTES : TCP_FRAME_HEADER_BYTES + len(payload)] = list(payload)
    flags = FLAG_ACK | FLAG_PSH
    for stamp in (1, sequence):  # a template is stamped again for every segment
        length = seal_tcp_frame(frame.address, len(payload), stamp, acknowledgement, flags)
    data = bytes(frame)[:length]
    wire = Wire(payload, protocol=PROTOCOL_TCP, sequence=sequence, acknowledgement=acknowledgement, flags=flags)
    expected = bytearray(wire.frame())
    expected[24:26] = struct.pack("!H", plain_checksum(bytes(expected[14:34])))
    pseudo = struct.pack("!IIHH", FLOW["source_ip"], FLOW["destination_ip"], PROTOCOL_TCP, len(expected) - 34)
    expected[50:52] = struct.pack("!H", plain_checksum(pseudo + bytes(expected[34:])))
    assert data == bytes(expected)
    assert internet_checksum(GUARDED.place(data[14:34]), IPV4_HEADER_BYTES, 0) == 0
    assert parse(data)[0] == "tcp"


def test_mutated_real_frames_are_refused_by_reason_and_never_read_past_their_end() -> None:
    """Each frame ends where an unreadable page begins. CROSSWIRE_FUZZ_FRAMES sets how many."""
    chance = random.Random(20241124)
    capture = recording("deribit/sample_capture_v1_6.pcapng")
    seeds = [frame for _, frame in itertools.islice(read_frames([capture]), 64)]
    frame, packet, counters = Frame(), Packet(), PacketCounters()
    refused = 0
    with GuardedBytes() as guarded:
        for _ in range(FUZZ_FRAMES):
            data = bytearray(chance.choice(seeds))
            for _ in range(chance.randrange(4)):
                data[chance.randrange(min(len(data), 60))] = chance.randrange(256)
            if chance.random() < 0.3:
                del data[chance.randrange(len(data)) :]
            frame.address, frame.length = guarded.place(bytes(data)), len(data)
            if parse_packet(frame, packet, counters):
                end = packet.payload_address + packet.payload_length
                assert frame.address <= packet.payload_address <= end <= frame.address + frame.length
            else:
                refused += 1
    counted = {name: getattr(counters, name) for name in PacketCounters.fields}
    taken = counted.pop("udp") + counted.pop("tcp")
    assert refused == sum(counted.values())
    assert taken + refused == FUZZ_FRAMES
    assert min(taken, refused) > FUZZ_FRAMES // 10


@given(frames=st.data())
@settings(max_examples=300)
def test_plain_udp_is_parsed_as_any_other_frame(frames: st.DataObject) -> None:
    """What is recognised at once, and the same frame with a byte or a length changed, read by the general way."""
    block = array(u8, UDP_FRAME_HEADER_BYTES + 64)
    length = seal_udp_frame_of(block.address, frames.draw(st.integers(0, 48)))
    for position, value in frames.draw(
        st.lists(st.tuples(st.integers(12, UDP_FRAME_HEADER_BYTES - 1), st.integers(0, 255)), max_size=2)
    ):
        block[position] = value
    length += frames.draw(st.integers(-6, 6))
    frame = Frame(address=block.address, length=min(length, UDP_FRAME_HEADER_BYTES + 64), time_ns=7)
    found = []
    for parse in (parse_packet, parse_other):
        packet, counters = Packet(), PacketCounters()
        is_parsed = parse(frame, packet, counters)
        found.append((is_parsed, repr(packet) if is_parsed else "", repr(counters)))
    assert found[0] == found[1]


def seal_udp_frame_of(address: int, payload_length: int) -> int:
    """Write a whole UDP frame of FLOW; return its length."""
    write_udp_frame_header(address, Flow(**FLOW), payload_length)
    return seal_udp_frame(address, payload_length)
