"""Records that are wrong or not read, kind by kind: what is given of the file, and what is told."""

import random
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crosswire.nic.capture.state import INTERFACES_MAX
from tests.support.captures import (
    LINK_IPV4,
    LINK_IPV6,
    LINK_RAW,
    LINK_SLL,
    LINK_SLL2,
    T0,
    Frames,
    block,
    interface,
    kinds,
    option,
    packet,
    pcap,
    read_capture,
    section,
    udp_frame,
)

COUNT = 60
FRAMES: Frames = [(T0 + n * 1000, udp_frame(n.to_bytes(60 + n, "little"))) for n in range(COUNT)]
TIMES = [time_ns for time_ns, _ in FRAMES]
BARE = bytes(12) + b"\x08\0"  # the Ethernet header that a frame without one is given
GARBAGE = random.Random(1).randbytes(1000)
ORDERS = pytest.mark.parametrize("order", "<>")


def changed(change: dict[int, dict[str, int]], order: str = "<") -> bytes:
    """The capture with fields of some records' headers changed."""
    data = pcap(FRAMES, order)[:24]
    for n, (time_ns, frame) in enumerate(FRAMES):
        fields = {"s": time_ns // 10**9, "f": time_ns % 10**9, "c": len(frame), "o": len(frame)} | change.get(n, {})
        data += struct.pack(order + "4I", *fields.values()) + frame
    return data


def without(*left_out: int) -> Frames:
    return [frame for n, frame in enumerate(FRAMES) if n not in left_out]


@ORDERS
@pytest.mark.parametrize(
    ("change", "frames", "told"),
    [
        ({30: {"c": 0x7FFFFFFF}}, without(30), {"bytes that are no"}),
        ({30: {"c": 300_000, "o": 300_000}}, without(30), {"bytes that are no"}),
        ({30: {"c": 4000, "o": 4000}}, without(30), {"bytes that are no"}),
        ({30: {"c": len(FRAMES[30][1]) + 100}}, FRAMES, {"records whose lengths contradict"}),
        ({30: {"c": len(FRAMES[30][1]) - 10}}, FRAMES, {"records whose lengths contradict"}),
        ({30: {"o": len(FRAMES[30][1]) - 10}}, FRAMES, {"records whose lengths contradict"}),
        ({59: {"c": 4000, "o": 4000}}, without(59), {"records cut off by"}),
    ],
)
def test_one_wrong_length_costs_one_record(
    tmp_path: Path, order: str, change: dict[int, dict[str, int]], frames: Frames, told: set[str]
) -> None:
    read, warnings = read_capture(tmp_path / "wrong.pcap", changed(change, order))
    assert read == frames
    assert set(kinds(warnings)) == told


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.integers(1, COUNT), st.binary(min_size=1, max_size=3000), st.booleans(), st.sampled_from("<>"))
def test_bytes_between_records_cost_no_record_before_them_nor_many_behind(
    tmp_path: Path, place: int, garbage: bytes, is_pcapng: bool, order: str
) -> None:
    """Garbage may by chance look like a record that holds what follows it; then that is lost too, but not the file."""
    if is_pcapng:
        before, after = (b"".join(packet(order, *each) for each in part) for part in (FRAMES[:place], FRAMES[place:]))
        data = section(order) + interface(order, 9) + before + garbage + after
    else:
        data = pcap(FRAMES[:place], order) + garbage + pcap(FRAMES[place:], order)[24:]
    read, warnings = read_capture(tmp_path / "garbage", data)
    own = [frame for frame in read if frame in FRAMES]
    assert own[:place] == FRAMES[:place]
    assert own[place:] == FRAMES[COUNT - len(own[place:]) :]
    assert len(own) >= COUNT - 45
    assert warnings


@ORDERS
@pytest.mark.parametrize("garbage", [GARBAGE, GARBAGE[:777], bytes(5000), b"\xff" * 100, GARBAGE * 500])
def test_garbage_is_passed_over_and_counted(tmp_path: Path, order: str, garbage: bytes) -> None:
    first, rest = pcap(FRAMES[:30], order), pcap(FRAMES[30:], order)[24:]
    blocks = [packet(order, *each) for each in FRAMES]
    begin = section(order) + interface(order, 9)
    for data in (
        first + garbage + rest,
        first + rest + garbage,
        begin + b"".join(blocks[:30]) + garbage + b"".join(blocks[30:]),
        begin + b"".join(blocks) + garbage,
    ):
        read, warnings = read_capture(tmp_path / "garbage", data)
        assert read == FRAMES
        assert kinds(warnings) == {"bytes that are no": len(garbage)}


@ORDERS
def test_garbage_that_looks_like_a_record_is_no_record(tmp_path: Path, order: str) -> None:
    """A header with all fields right is not believed unless what it says is followed by another."""
    fake = b"?" * 30 + struct.pack(order + "4I", TIMES[0] // 10**9, 7, 60, 60) + b"?" * 70
    data = pcap(FRAMES[:30], order) + fake + pcap(FRAMES[30:], order)[24:]
    assert read_capture(tmp_path / "fake.pcap", data)[0] == FRAMES
    fake = b"?" * 32 + struct.pack(order + "IIIIIII", 6, 64, 0, 5, 5, 32, 32) + b"?" * 60
    blocks = [packet(order, *each) for each in FRAMES]
    data = section(order) + interface(order, 9) + b"".join(blocks[:30]) + fake + b"".join(blocks[30:])
    assert read_capture(tmp_path / "fake.pcapng", data)[0] == FRAMES


@ORDERS
@pytest.mark.parametrize(
    ("link_type", "header"),
    [
        (LINK_RAW, b""),
        (12, b""),
        (14, b""),
        (LINK_IPV4, b""),
        (LINK_SLL, b"\0\4\0\1\0\6\1\2\3\4\5\6\0\0\x08\0"),
        (LINK_SLL2, b"\x08\0\0\0\0\0\0\3\0\1\4\6\1\2\3\4\5\6\0\0"),
    ],
)
def test_other_link_layers_become_ethernet(tmp_path: Path, order: str, link_type: int, header: bytes) -> None:
    cooked = [(time_ns, header + frame[14:]) for time_ns, frame in FRAMES]
    bare = [(time_ns, BARE + frame[14:]) for time_ns, frame in FRAMES]
    blocks = b"".join(packet(order, *each) for each in cooked)
    simple = block(order, 3, struct.pack(order + "I", len(cooked[0][1])) + cooked[0][1])
    begin = section(order) + interface(order, 9, link_type=link_type)
    for data in (pcap(cooked, order, link_type=link_type), begin + blocks):
        assert read_capture(tmp_path / "cooked", data, 4096) == (bare, [])
    read, _ = read_capture(tmp_path / "simple", begin + simple * 200, 4096)  # some the first of their window
    assert [frame for _, frame in read] == [bare[0][1]] * 200


def test_ipv6_without_a_link_layer_is_told(tmp_path: Path) -> None:
    datagram_ipv6 = struct.pack(">IHBB", 6 << 28, 8, 17, 64) + bytes(32) + bytes(8)
    read, warnings = read_capture(tmp_path / "ipv6", pcap([(T0, datagram_ipv6)], link_type=LINK_IPV6))
    assert read == [(T0, bytes(12) + b"\x86\xdd" + datagram_ipv6)]
    assert kinds(warnings) == {"IPv6 datagrams, not read": 1}


@ORDERS
@pytest.mark.parametrize(("version", "is_known"), [((1, 0), True), ((1, 2), True), ((1, 1), False), ((0, 0), False)])
def test_a_section_of_another_version_is_told(
    tmp_path: Path, order: str, version: tuple[int, int], is_known: bool
) -> None:
    data = section(order, *version) + interface(order, 9) + packet(order, *FRAMES[0])
    read, warnings = read_capture(tmp_path / "version.pcapng", data)
    assert read == FRAMES[:1]
    assert kinds(warnings) == ({} if is_known else {"parts in another version": 1})


def test_a_section_may_have_interfaces_of_several_kinds(tmp_path: Path) -> None:
    data = section("<") + interface("<", 9) + interface("<", 6, link_type=LINK_RAW) + interface("<", link_type=127)
    for n, (time_ns, frame) in enumerate(FRAMES):
        data += packet("<", time_ns, frame) if n % 2 else packet("<", time_ns // 1000, frame[14:], 1)
        data += packet("<", time_ns // 1000, frame, 2) if n % 10 == 0 else b""
    read, warnings = read_capture(tmp_path / "kinds.pcapng", data)
    assert read == [(t, f if n % 2 else BARE + f[14:]) for n, (t, f) in enumerate(FRAMES)]
    assert [(each.count, each.kind) for each in warnings] == [
        (6, "records of link type 127 (802.11 radiotap), which is not read")
    ]


def test_link_types_beyond_those_counted_apart_count_together(tmp_path: Path) -> None:
    data = section("<") + b"".join(interface("<", link_type=150 + n) for n in range(20))
    data += b"".join(packet("<", 1000 + n, b"x" * 20, n) for n in range(20))
    read, warnings = read_capture(tmp_path / "types.pcapng", data)
    assert read == []
    assert sum(each.count for each in warnings) == 20
    assert [each.count for each in warnings if each.kind == "records of a link type that is not read"] == [13]


def wrapped(protocol: int, payload: bytes) -> bytes:
    head = struct.pack(">BBHHHBBHII", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0, 1, 2)
    return bytes(12) + b"\x08\0" + head + payload


def datagram(port: int, payload: bytes) -> bytes:
    return wrapped(17, struct.pack(">HHHH", 1, port, 8 + len(payload), 0) + payload)


INNER = FRAMES[0][1]
TUNNEL, FRAGMENT = {"frames inside a tunnel,": 1}, {"IP fragments, not read": 1}
CUT, IPV6 = {"frames cut by the": 1}, {"IPv6 datagrams, not read": 1}


@pytest.mark.parametrize(
    ("frame", "inner", "told"),
    [
        (datagram(4789, b"\x08\0\0\0\0\0\7\0" + INNER), INNER, {}),
        (datagram(8472, b"\x88\0\0\1\0\0\7\0" + INNER), INNER, {}),
        (datagram(4789, b"\x08\0\0\0\0\0\7\0" + datagram(4789, b"\x08\0\0\0\0\0\7\0" + INNER)), INNER, {}),
        (datagram(4789, b"not a VXLAN header, but somebody's data"), None, {}),
        (datagram(6081, b"\0\0\x65\x58\0\0\7\0" + INNER), None, TUNNEL),
        (wrapped(47, b"\0\0\x65\x58" + INNER), None, TUNNEL),
        (wrapped(4, INNER[14:]), None, TUNNEL),
        (INNER[:12] + b"\x88\x47\0\0\1\xff" + INNER[14:], None, TUNNEL),
        (INNER[:12] + b"\x81\0\0\5" * 3 + INNER[12:], None, TUNNEL),
        (INNER[:12] + b"\x88\xa8\0\5\x81\0\0\6" + INNER[12:], None, {}),
        (INNER[:12] + b"\x91\0\0\5" + INNER[12:], None, {}),
        (INNER[:20] + b"\x20\0" + INNER[22:], None, FRAGMENT),
        (INNER[:20] + b"\0\7" + INNER[22:], None, FRAGMENT),
        (bytes(12) + b"\x86\xdd" + struct.pack(">IHBB", 6 << 28, 8, 17, 1) + bytes(40), None, IPV6),
        (bytes(12) + b"\x86\xdd" + struct.pack(">IHBB", 6 << 28, 8, 58, 1) + bytes(40), None, {}),
        (bytes(12) + b"\x08\x06" + bytes(28), None, {}),
        (INNER[:-1], None, CUT),
        (INNER + b"\0" * 6, None, {}),
        (INNER[:20], None, CUT),
    ],
)
def test_what_is_in_a_frame(tmp_path: Path, frame: bytes, inner: bytes | None, told: dict[str, int]) -> None:
    read, warnings = read_capture(tmp_path / "one.pcap", pcap([(T0, frame)]))
    assert read == [(T0, frame if inner is None else inner)]
    assert kinds(warnings) == told


def test_a_frame_that_lost_only_padding_is_not_cut(tmp_path: Path) -> None:
    data = pcap([(T0, INNER + bytes(9))], slice_to=len(INNER))
    assert read_capture(tmp_path / "padding.pcap", data) == ([(T0, INNER)], [])


@ORDERS
def test_what_is_wrong_with_one_block_costs_one_block(tmp_path: Path, order: str) -> None:
    begin, blocks = section(order) + interface(order, 9), [packet(order, *each) for each in FRAMES]

    def read_with(wrong: bytes) -> tuple[Frames, dict[str, int]]:
        read, warnings = read_capture(tmp_path / "block", begin + b"".join([*blocks[:30], wrong, *blocks[31:]]))
        return read, kinds(warnings)

    size = len(blocks[30])
    assert read_with(blocks[30][:-4] + b"\1\1\1\1") == (FRAMES, {"blocks with a wrong": 1})
    assert read_with(blocks[30][:4] + b"\1\2\3\4" + blocks[30][8:]) == (without(30), {"bytes that are no": size})
    assert read_with(block(order, 6, bytes(16))) == (without(30), {"bytes that are no": 28})
    assert read_with(block(order, 3, b"")) == (without(30), {"bytes that are no": 12})
    assert read_with(block(order, 1, bytes(4)))[1] == {"bytes that are no": 16}
    assert read_with(packet(order, *FRAMES[30], number=7)) == (without(30), {"packets of an interface": 1})
    assert read_with(packet(order, 2**63, FRAMES[30][1]))[1] == {"records with an impossible": 1}
    dropped = option(order, 5, struct.pack(order + "Q", 3)) + option(order, 7, struct.pack(order + "Q", 2))
    assert read_with(block(order, 5, bytes(12) + dropped)) == (without(30), {"packets that the capturing": 5})
    for wrong in (option(order, 9, b"ab"), option(order, 9, b"\x13"), option(order, 14, b"ab"), b"\2\0\x63\0"):
        data = section(order) + block(order, 1, struct.pack(order + "HHI", 1, 0, 0) + wrong) + blocks[0]
        read, _ = read_capture(tmp_path / "option", data)
        assert [frame for _, frame in read] == [FRAMES[0][1]]


def test_interfaces_without_number(tmp_path: Path) -> None:
    numbers = [n * (INTERFACES_MAX - 1) // (COUNT - 1) for n in range(COUNT)]
    packets = b"".join(packet("<", *each, number=number) for each, number in zip(FRAMES, numbers, strict=True))
    begin = section("<") + interface("<", 9) * (INTERFACES_MAX + 1)
    assert read_capture(tmp_path / "many.pcapng", begin + packets) == (FRAMES, [])
    more = packet("<", T0, INNER, number=INTERFACES_MAX)
    assert kinds(read_capture(tmp_path / "many.pcapng", begin + more)[1]) == {"packets of interfaces beyond": 1}


def test_the_modified_format_and_check_sequences(tmp_path: Path) -> None:
    head = struct.pack("<IHHiIII", 0xA1B2CD34, 2, 4, 0, 0, 65535, 1)
    data = head + b"".join(
        struct.pack("<4I", t // 10**9, t % 10**9 // 1000, len(f), len(f)) + bytes(8) + f for t, f in FRAMES
    )
    assert read_capture(tmp_path / "modified.pcap", data) == (FRAMES, [])
    checked = [(t, f + b"fcs!") for t, f in FRAMES]
    assert read_capture(tmp_path / "fcs.pcap", pcap(checked, link_type=1 | 0x24000000)) == (checked, [])
