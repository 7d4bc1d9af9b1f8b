"""Segments as bytes: which frames are not believed, and that nothing comes of them; checksums; what is copied again."""

import ctypes
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.nic.packet import TCP_FRAME_HEADER_BYTES
from crosswire.nic.tcp.segment import fold_sum
from crosswire.nic.tcp.state import TcpState
from crosswire.nic.tcp.tcp import process
from tests.support.tcp_setup import (
    ACK,
    FIN,
    IRS,
    ISS,
    MSS,
    PSH,
    RST,
    SACK_PERMITTED,
    SYN,
    Client,
    Seen,
    build,
    checksum,
    mss_option,
)
from tests.support.tcp_setup import parse as parse_frame

pytestmark = pytest.mark.tcp

IP, TCP = 14, 34
GOOD = build(ACK | PSH | FIN, IRS + 1, ISS + 1, b"payload")


def with_bytes(frame: bytes, at: int, new: bytes) -> bytes:
    """A frame with some bytes changed, and both checksums right again."""
    changed = bytearray(frame)
    changed[at : at + len(new)] = new
    changed[IP + 10 : IP + 12] = bytes(2)
    changed[IP + 10 : IP + 12] = struct.pack(">H", checksum(bytes(changed[IP:TCP])))
    total = struct.unpack(">H", changed[IP + 2 : IP + 4])[0]
    transport = bytes(changed[TCP : TCP + max(total - 20, 0)])
    if len(transport) >= 18:
        transport = transport[:16] + bytes(2) + transport[18:]
        pseudo = bytes(changed[26:34]) + struct.pack(">HH", 6, len(transport))
        changed[TCP + 16 : TCP + 18] = struct.pack(">H", checksum(pseudo + transport))
    return bytes(changed)


def spoiled(at: int) -> bytes:
    return GOOD[:at] + bytes([GOOD[at] ^ 0x10]) + GOOD[at + 1 :]


@pytest.mark.parametrize(
    ("frame", "counter"),
    [
        (with_bytes(GOOD, 12, b"\x81\x00"), "bad_header"),  # a tag
        (with_bytes(GOOD, 12, b"\x86\xdd"), "bad_header"),
        (with_bytes(GOOD, IP, b"\x46"), "bad_header"),  # IP options
        (with_bytes(GOOD, IP, b"\x65"), "bad_header"),
        (with_bytes(GOOD, IP + 9, b"\x11"), "bad_header"),
        (with_bytes(GOOD, IP + 2, b"\x00\x27"), "bad_header"),  # 39 bytes: no TCP header fits
        (with_bytes(GOOD, IP + 6, b"\x20\x00"), "bad_header"),  # more fragments
        (with_bytes(GOOD, IP + 6, b"\x00\x01"), "bad_header"),  # a fragment's offset
        (with_bytes(GOOD, TCP + 12, b"\x40"), "bad_header"),  # 16 bytes of TCP header
        (with_bytes(GOOD, TCP + 12, b"\x70"), "bad_header"),  # 28 bytes of header in 27
        (with_bytes(GOOD, IP + 2, struct.pack(">H", len(GOOD) - 13)), "truncated"),
        (GOOD[:53], "truncated"),
        (spoiled(IP + 8), "bad_ip_checksum"),
        (spoiled(len(GOOD) - 1), "bad_checksum"),
        (with_bytes(GOOD, IP + 12, b"\x0a\x62\x00\x03"), "other_connection"),
        (with_bytes(GOOD, TCP, struct.pack(">H", 9001)), "other_connection"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_nothing_comes_of_a_frame_that_is_not_believed(frame: bytes, counter: str) -> None:
    client = Client().establish()
    tcp = client.tcp
    parts = ("send", "receive", "reassembly", "timers", "keepalive", "pending", "recovery")
    before = [bytes(getattr(tcp, name)) for name in parts]
    counted = {name: getattr(tcp.counters, name) for name in type(tcp.counters).fields}
    client.now_ns += 5
    room = ctypes.create_string_buffer(frame, len(frame))
    assert not process(client.tcp, ctypes.addressof(room), len(frame), client.now_ns)
    assert [bytes(getattr(tcp, name)) for name in parts] == before
    assert (client.delivered, client.output(), client.state) == (b"", [], TcpState.ESTABLISHED)
    after = {name: getattr(tcp.counters, name) for name in counted}
    assert after == counted | {counter: counted[counter] + 1}
    client.feed(GOOD)
    assert (client.delivered, client.state) == (b"payload", TcpState.CLOSE_WAIT)


def test_the_shortest_and_the_longest_header_are_read() -> None:
    client = Client().establish()
    client.feed(build(ACK, IRS + 1, ISS + 1, b"a"))
    client.feed(build(ACK, IRS + 2, ISS + 1, b"b", options=b"\x01" * 40))
    client.feed(build(ACK, IRS + 3, ISS + 1))
    client.feed(build(FIN | ACK, IRS + 3, ISS + 1, options=b"\x01" * 40))  # all of it is header
    assert (client.delivered, client.state) == (b"ab", TcpState.CLOSE_WAIT)


@pytest.mark.parametrize(
    ("options", "mss", "sack"),
    [
        (b"\x00\x03\x00" + mss_option(900), 536, 0),  # nothing behind the end
        (b"\x01\x01\x02\x04", 536, 0),  # an option that ends behind the header
        (b"\x01\x01\x02\x03", 536, 0),
        (b"\x02\x03\x00\x01" + mss_option(700), 700, 0),  # the first is of a wrong length
        (b"\x05\x01" + mss_option(900), 536, 0),  # a length that would not even hold itself
        (b"\x05\x02" + mss_option(900), 900, 0),
        (mss_option(63), 64, 0),
        (mss_option(65), 65, 0),
        (mss_option(MSS - 1) + SACK_PERMITTED, MSS - 1, 1),
        (b"\x04\x02" + b"\x01" * 38, 536, 1),
    ],
)
def test_options_are_read_to_their_end_and_not_beyond(options: bytes, mss: int, sack: int) -> None:
    client = Client()
    client.open()
    client.feed(build(SYN | ACK, IRS, ISS + 1, b"\x03\x84\x02\x01", options=options))
    assert client.state == TcpState.ESTABLISHED
    assert (client.tcp.send.mss, client.tcp.receive.sack_permitted) == (mss, sack)
    # A peer that names none after one that did.
    client.abort()
    client.open()
    client.feed(build(SYN | ACK, IRS, ISS + 1))
    assert (client.tcp.send.mss, client.tcp.receive.sack_permitted) == (536, 0)


def test_a_syn_is_its_header_and_options_only() -> None:
    (syn,) = Client(mss=1000).open()
    assert (syn.payload, syn.options, syn.acknowledgement + IRS + 1) == (b"", mss_option(1000) + SACK_PERMITTED, 0)


@given(st.integers(0, (1 << 40) - 1))
def test_a_sum_is_folded_as_the_checksum_wants_it(total: int) -> None:
    assert (fold_sum(total) ^ 0xFFFF) % 0xFFFF == total % 0xFFFF
    assert 0 <= fold_sum(total) <= 0xFFFF


def test_a_sum_is_folded_to_the_end() -> None:
    """0x1FFFF leaves a carry after one turn, and one more after that."""
    for total in (0x1FFFF, 0xFFFFFF, 0xFFFFFEFFFF, 0xFF0000FFFF, (1 << 40) - 1):
        assert (fold_sum(total) ^ 0xFFFF) % 0xFFFF == total % 0xFFFF
        assert 0 <= fold_sum(total) <= 0xFFFF


@pytest.mark.parametrize("acknowledgement", [0, 1, 0x12345678, 0xFFFFFFFF])
def test_what_the_session_acknowledges_in_its_own_numbers_is_replaced(acknowledgement: int) -> None:
    client = Client().establish()
    client.peer(ACK, 0, 0, b"x" * 9)
    assert client.write(b"order", acknowledgement)
    (seen,) = client.output()
    assert (seen.payload, seen.acknowledgement, seen.sequence) == (b"order", 9, 0)


@pytest.mark.parametrize(("received", "acknowledged"), [(4096, 0), (4097, 4097)])
def test_a_copy_keeps_its_acknowledgement_until_it_is_too_old(received: int, acknowledged: int) -> None:
    client = Client().establish()
    client.send(b"order")
    for start in range(0, received, 1024):
        client.peer(ACK, start, 0, b"n" * min(1024, received - start))
    (again,) = [each for each in client.wait(50) if each.payload]
    assert (again.acknowledgement, again.payload) == (acknowledged, b"order")


def test_a_later_copy_measures_the_age_of_its_own_acknowledgement() -> None:
    client = Client().establish()
    client.peer(ACK, 0, 0, b"n" * 5000)
    client.send(b"order")
    client.peer(ACK, 5000, 0, b"n" * 10)
    (again,) = [each for each in client.wait(50) if each.payload]
    assert again.acknowledgement == 5000


def test_a_renewed_copy_tells_the_present_window() -> None:
    client = Client().establish()
    client.send(b"order")
    client.take = lambda: None  # type: ignore[method-assign]  # a user that does not read
    client.peer(ACK, 1, 0, b"n" * 6000)
    client.peer(ACK, 0, 0, b"n")
    again = [each for each in client.wait(50) if each.payload]
    assert [(each.acknowledgement, each.window) for each in again] == [(6001, 65535 - 6000)]


def test_an_ack_without_runs_leaves_the_rest_of_its_memory_alone() -> None:
    client = Client()
    client.open()
    client.feed(build(SYN | ACK, IRS, ISS + 1, options=SACK_PERMITTED))
    client.output()
    client.peer(ACK, 100, 0, b"x")
    (answer,) = client.output()
    assert len(answer.options) == 12
    assert bytes(client.tcp.control)[TCP_FRAME_HEADER_BYTES + 12 :] == bytes(96 - 54 - 12)


def test_a_reset_tells_no_window() -> None:
    client = Client().establish()
    (reset,) = client.abort()
    assert (reset.flags, reset.window, reset.payload) == (RST | ACK, 0, b"")


def test_a_frame_that_is_read_has_its_payload_where_it_lies() -> None:
    """Behind the options, and without Ethernet's padding."""
    client = Client().establish()
    frame = build(ACK, IRS + 1, ISS + 1, b"data", options=b"\x01" * 8, tail=b"pad")
    room = ctypes.create_string_buffer(frame, len(frame))
    assert process(client.tcp, ctypes.addressof(room), len(frame), client.now_ns)
    payload = client.tcp.payload
    assert (payload.address - ctypes.addressof(room), payload.length, payload.position) == (62, 4, 0)


def test_frames_of_tests_are_right() -> None:
    assert parse_frame(GOOD) == Seen(ACK | PSH | FIN, IRS + 1, ISS + 1, 65535, b"payload", b"", (9000, 45_678))
