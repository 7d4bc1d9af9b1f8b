"""The XDP program against a plain-Python reading of its rules: run by the kernel itself, off the wire."""

import struct
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crosswire.nic.host.process import HostError
from crosswire.nic.rings.xdp.bpf import XDP_DROP, XDP_PASS, XDP_TX, load_xdp, run_xdp
from crosswire.nic.rings.xdp.program import GROUPS_MAX, KeepRule, SteerRules, TcpTuple, XdpProgram, check_rules
from tests.support.net import needs_root

# No socket is behind the program here, so a steered frame shows as its fallback: an action that no rule gives.
STEERED = XDP_TX

GROUPS = ((0xEF000001, 5000), (0xEF000002, 5001), (0x0A620001, 7000))
SOURCE, SECOND_SOURCE, STRANGER = 0x0A620002, 0x0A620003, 0x0A620004
SOURCED = ((0xEF000004, 5003), (0xEF000005, 5003))  # the second one is filtered as well
SESSION = TcpTuple(local_ip=0x0A620001, local_port=4000, remote_ip=0x0A620002, remote_port=9000)
RULES = SteerRules(
    udp=(
        *GROUPS,
        (*SOURCED[0], SOURCE),
        (*SOURCED[1], SOURCE),
        (*SOURCED[1], SECOND_SOURCE),
        (*GROUPS[0], SOURCE),  # says nothing more: the group is taken from any source
        (*GROUPS[1], 0),
    ),
    tcp=(SESSION, SESSION._replace(local_port=4001)),
    keep=(
        KeepRule(0, 2, "little", (1, 0x0201), groups=GROUPS[:2]),
        KeepRule(4, 4, "big", (7, 0x01020304), groups=GROUPS[:1]),
        KeepRule(3, 1, "little", (9,), groups=GROUPS[:1]),
        KeepRule(8, 8, "little", (-1, 5), groups=GROUPS[1:2]),
        KeepRule(0, 1, "little", (8,), groups=SOURCED[1:]),
    ),
)
pytestmark = pytest.mark.netns


@pytest.fixture(scope="module")
def program() -> Iterator[XdpProgram]:
    needs_root()
    with XdpProgram(RULES, fallback=STEERED) as loaded:
        yield loaded


def frame_of(
    protocol: int, source: tuple[int, int], destination: tuple[int, int], rest: bytes, *, tags: tuple[int, ...] = ()
) -> bytes:
    ether = bytes(12) + b"".join(struct.pack(">HH", kind, 5) for kind in tags) + b"\x08\x00"
    total = 24 + len(rest)
    ip = struct.pack(">BBHHHBBHII", 0x45, 0, total, 0, 0x4000, 64, protocol, 0, source[0], destination[0])
    return ether + ip + struct.pack(">HH", source[1], destination[1]) + rest


def udp_frame(
    destination: tuple[int, int], payload: bytes, *, source: int = SOURCE, tags: tuple[int, ...] = ()
) -> bytes:
    return frame_of(17, (source, 999), destination, struct.pack(">HH", 8 + len(payload), 0) + payload, tags=tags)


def tcp_frame(session: TcpTuple, *, tags: tuple[int, ...] = ()) -> bytes:
    return frame_of(6, session[2:], session[:2], bytes(16), tags=tags)


def action_by_rules(rules: SteerRules, frame: bytes) -> int:
    """What the program must do, read off the rules."""
    at = 14
    for _ in range(2):
        if frame[at - 2 : at] in (b"\x81\x00", b"\x88\xa8", b"\x91\x00"):
            at += 4
    ip = frame[at:]
    if len(frame) < at or frame[at - 2 : at] != b"\x08\x00" or len(ip) < 24 or ip[0] != 0x45:
        return XDP_PASS
    if struct.unpack(">H", ip[6:8])[0] & 0x3FFF:
        return XDP_PASS
    source_ip, destination_ip, source_port, destination_port = struct.unpack(">IIHH", ip[12:24])
    if ip[9] == 6:
        tuples = [tuple(each) for each in rules.tcp]
        return STEERED if (destination_ip, destination_port, source_ip, source_port) in tuples else XDP_PASS
    group = (destination_ip, destination_port)
    sources = [rule[2] if len(rule) == 3 else 0 for rule in rules.udp if rule[:2] == group]
    if ip[9] != 17 or len(ip) < 28 or not {0, source_ip} & set(sources):
        return XDP_PASS
    payload = ip[28 : 20 + max(8, struct.unpack(">H", ip[24:26])[0])]
    asked = [rule for rule in rules.keep if not rule.groups or group in rule.groups]
    for rule in asked:
        field = payload[rule.payload_offset : rule.payload_offset + rule.width]
        if len(field) < rule.width:
            return STEERED
        accepted = [value % (1 << 8 * rule.width) for value in rule.accepted]
        if int.from_bytes(field, rule.byte_order) in accepted:
            return STEERED
    return XDP_DROP if asked else STEERED


def run(program: XdpProgram, frame: bytes) -> int:
    return run_xdp(program.descriptor, frame)[0]


PLAIN = {
    "group without filter": (udp_frame(GROUPS[2], b"any"), STEERED),
    "group with another port": (udp_frame((GROUPS[2][0], 7001), b"any"), XDP_PASS),
    "port of another group": (udp_frame((GROUPS[0][0], 5001), b"any"), XDP_PASS),
    "another source's of a group for all": (udp_frame(GROUPS[2], b"any", source=STRANGER), STEERED),
    "group of one source": (udp_frame(SOURCED[0], b"any"), STEERED),
    "group of one source, tagged": (udp_frame(SOURCED[0], b"any", tags=(0x88A8, 0x8100)), STEERED),
    "another group's source": (udp_frame(SOURCED[0], b"any", source=SECOND_SOURCE), XDP_PASS),
    "second source": (udp_frame(SOURCED[1], b"\x08", source=SECOND_SOURCE), STEERED),
    "second source, filtered": (udp_frame(SOURCED[1], b"\x09", source=SECOND_SOURCE), XDP_DROP),
    "stranger": (udp_frame(SOURCED[1], b"\x08", source=STRANGER), XDP_PASS),
    "stranger, not filtered": (udp_frame(SOURCED[1], b"\x09", source=STRANGER), XDP_PASS),
    "a source, octets reversed": (udp_frame(SOURCED[0], b"any", source=0x0200620A), XDP_PASS),
    "a source and any": (udp_frame(GROUPS[1], b"\x01\x00", source=STRANGER), STEERED),
    "session": (tcp_frame(SESSION), STEERED),
    "second session": (tcp_frame(SESSION._replace(local_port=4001)), STEERED),
    "session from another host": (tcp_frame(SESSION._replace(remote_ip=0x0A620003)), XDP_PASS),
    "session from another port": (tcp_frame(SESSION._replace(remote_port=9001)), XDP_PASS),
    "session reversed": (tcp_frame(TcpTuple(*SESSION[2:], *SESSION[:2])), XDP_PASS),
    "one tag": (udp_frame(GROUPS[2], b"any", tags=(0x8100,)), STEERED),
    "two tags": (tcp_frame(SESSION, tags=(0x88A8, 0x8100)), STEERED),
    "three tags": (udp_frame(GROUPS[2], b"any", tags=(0x8100,) * 3), XDP_PASS),
    "ARP": (bytes(12) + b"\x08\x06" + bytes(46), XDP_PASS),
    "IPv6": (bytes(12) + b"\x86\xdd" + bytes(60), XDP_PASS),
    "ICMP": (frame_of(1, (1, 1), GROUPS[2], bytes(20)), XDP_PASS),
    "accepted by the first rule": (udp_frame(GROUPS[0], b"\x01\x00" + bytes(30)), STEERED),
    "accepted by the second rule": (udp_frame(GROUPS[0], bytes(4) + b"\x00\x00\x00\x07" + bytes(30)), STEERED),
    "accepted by the third rule": (udp_frame(GROUPS[0], b"\x00\x00\x00\x09" + bytes(30)), STEERED),
    "accepted, minus one": (udp_frame(GROUPS[1], bytes(8) + b"\xff" * 8), STEERED),
    "accepted by no rule": (udp_frame(GROUPS[0], bytes(40)), XDP_DROP),
    "byte order matters": (udp_frame(GROUPS[0], bytes(4) + b"\x07\x00\x00\x00" + bytes(30)), XDP_DROP),
    "too short for the first field": (udp_frame(GROUPS[0], b"\x00"), STEERED),
    "padding is no field": (udp_frame(GROUPS[0], b"\x00") + bytes(40), STEERED),
    "empty": (udp_frame(GROUPS[0], b""), STEERED),
}


@pytest.mark.parametrize("name", PLAIN)
def test_plain_cases(program: XdpProgram, name: str) -> None:
    frame, action = PLAIN[name]
    assert action_by_rules(RULES, frame) == action
    assert run(program, frame) == action


def test_fragments_and_options_go_to_the_kernel(program: XdpProgram) -> None:
    whole = udp_frame(GROUPS[2], b"any")
    for fragment in (0x2000, 0x0001, 0x3FFF):
        assert run(program, whole[:20] + struct.pack(">H", fragment) + whole[22:]) == XDP_PASS
    assert run(program, whole[:20] + b"\x80\x00" + whole[22:]) == STEERED  # only the reserved flag
    assert run(program, whole[:14] + b"\x46" + whole[15:]) == XDP_PASS


def test_every_cut(program: XdpProgram) -> None:
    for name, (frame, _) in PLAIN.items():
        for length in range(14, len(frame)):
            assert run(program, frame[:length]) == action_by_rules(RULES, frame[:length]), (name, length)


def test_filtered_counts_the_dropped(program: XdpProgram) -> None:
    before = program.filtered
    run_xdp(program.descriptor, udp_frame(GROUPS[0], bytes(40)), repeat=100)
    run_xdp(program.descriptor, udp_frame(GROUPS[0], b"\x01" + bytes(40)), repeat=10)
    assert program.filtered == before + 100


ENDS = st.sampled_from(
    [*GROUPS, *SOURCED, (SECOND_SOURCE, 7), SESSION[:2], (SESSION[0], 4001), SESSION[2:], (0xEF000003, 5000)]
)


@st.composite
def near_frames(draw: st.DrawFn) -> bytes:
    """Frames that look like steered ones, then damaged."""
    payload = bytearray(draw(st.binary(max_size=24)))
    for offset, field in draw(
        st.lists(
            st.tuples(
                st.integers(0, 8), st.sampled_from([b"\1\0", b"\1\2", b"\1\2\3\4", b"\0\0\0\7", b"\5" + bytes(7)])
            ),
            max_size=2,
        )
    ):
        payload[offset : offset + len(field)] = field
    length = 8 + len(payload) + draw(st.sampled_from([0, 0, 0, -1, -9, 5, 65000]))
    frame = bytearray(
        frame_of(
            draw(st.sampled_from([6, 17, 17, 1])),
            draw(ENDS),
            draw(ENDS),
            struct.pack(">HH", max(0, min(length, 65535)), 0) + bytes(payload),
            tags=tuple(draw(st.lists(st.sampled_from([0x8100, 0x88A8, 0x9100, 0x0800]), max_size=3))),
        )
    )
    for position, value in draw(st.lists(st.tuples(st.integers(12, 60), st.integers(0, 255)), max_size=2)):
        if position < len(frame):
            frame[position] = value
    return bytes(frame[: max(14, len(frame) - draw(st.sampled_from([0, 0, 0, 1, 7, 20])))])


@given(frame=st.one_of(near_frames(), st.binary(min_size=14, max_size=200)))
@settings(max_examples=500)
def test_random_frames(program: XdpProgram, frame: bytes) -> None:
    assert run(program, frame) == action_by_rules(RULES, frame)


VALUES = {width: st.integers(-(1 << 8 * width - 1), (1 << 8 * width) - 1) for width in (1, 2, 4, 8)}


SOURCES = st.sampled_from([0, SOURCE, SECOND_SOURCE, STRANGER])


@st.composite
def rule_sets(draw: st.DrawFn) -> SteerRules:
    port = st.integers(0, 65535)
    ip = st.integers(0, (1 << 32) - 1)
    groups = draw(st.lists(st.tuples(ip, port), max_size=5, unique=True))
    sources = st.lists(SOURCES, max_size=3, unique=True)
    udp = tuple(rule for group in groups for rule in [(*group, source) for source in draw(sources)] or [group])
    tcp = tuple(TcpTuple(*each) for each in draw(st.lists(st.tuples(ip, port, ip, port), max_size=3)))
    keep = []
    for _ in range(draw(st.integers(0, 3 if udp else 0))):
        width = draw(st.sampled_from([1, 2, 4, 8]))
        keep.append(
            KeepRule(
                draw(st.integers(0, 12)),
                width,
                draw(st.sampled_from(["little", "big"])),
                tuple(draw(st.lists(VALUES[width], max_size=6))),
                tuple(draw(st.lists(st.sampled_from(groups), max_size=2))),
            )
        )
    return SteerRules(udp, tcp, tuple(keep))


@given(rules=rule_sets(), data=st.data())
@settings(max_examples=60)
def test_random_rules(rules: SteerRules, data: st.DataObject) -> None:
    needs_root()
    with XdpProgram(rules, fallback=STEERED) as loaded:
        for group in dict.fromkeys(rule[:2] for rule in rules.udp):
            for _ in range(3):
                payload = data.draw(st.binary(max_size=24))
                for rule in rules.keep:
                    if rule.accepted and data.draw(st.booleans()):
                        value = data.draw(st.sampled_from(rule.accepted)) % (1 << 8 * rule.width)
                        field = value.to_bytes(rule.width, rule.byte_order)
                        payload = payload[: rule.payload_offset].ljust(rule.payload_offset, b"\0") + field
                frame = udp_frame(group, payload, source=data.draw(SOURCES))
                assert run(loaded, frame) == action_by_rules(rules, frame)
        for session in rules.tcp:
            assert run(loaded, tcp_frame(session)) == STEERED


def test_no_rules_pass_everything() -> None:
    needs_root()
    with XdpProgram(SteerRules(), fallback=STEERED) as loaded:
        for frame, _ in PLAIN.values():
            assert run(loaded, frame) == XDP_PASS


def test_the_most_rules_are_verified() -> None:
    needs_root()
    groups = tuple((0xEF000000 + number, 5000 + number) for number in range(GROUPS_MAX))
    sessions = tuple(SESSION._replace(local_port=4000 + number) for number in range(64))
    keep = tuple(KeepRule(8 * number, 8, "little", tuple(range(-512, 512)), groups[number:]) for number in range(4))
    with XdpProgram(SteerRules(groups, sessions, keep), fallback=STEERED) as loaded:
        assert run(loaded, udp_frame(groups[-1], struct.pack("<q", -512) + bytes(56))) == STEERED
        assert run(loaded, udp_frame(groups[-1], struct.pack("<q", 512) * 8)) == XDP_DROP
        assert run(loaded, tcp_frame(sessions[-1])) == STEERED
    one_group = tuple((*groups[0], source) for source in range(1, GROUPS_MAX + 1))
    own_sources = tuple((*group, source) for source, group in enumerate(groups, 1))
    for udp, group in ((one_group, groups[0]), (own_sources, groups[-1])):
        with XdpProgram(SteerRules(udp, sessions, (replace(keep[0], groups=()),)), fallback=STEERED) as loaded:
            for source, action in ((GROUPS_MAX, STEERED), (GROUPS_MAX + 1, XDP_PASS)):
                assert run(loaded, udp_frame(group, struct.pack("<q", 1), source=source)) == action


@pytest.mark.parametrize(
    "wrong",
    [
        SteerRules(udp=((1 << 32, 5),)),
        SteerRules(udp=((1, 1 << 16),)),
        SteerRules(udp=((1, 1, 1 << 32),)),
        SteerRules(udp=tuple((number, 1) for number in range(GROUPS_MAX + 1))),
        SteerRules(tcp=(SESSION._replace(remote_port=-1),)),
        SteerRules(udp=GROUPS, keep=(KeepRule(0, 3, "little", (1,)),)),
        SteerRules(udp=GROUPS, keep=(KeepRule(0, 1, "little", (256,)),)),
        SteerRules(udp=GROUPS, keep=(KeepRule(-1, 1, "little", (1,)),)),
        SteerRules(udp=GROUPS, keep=(KeepRule(0, 1, "little", (1,), ((1, 1),)),)),
    ],
)
def test_wrong_rules_are_refused(wrong: SteerRules) -> None:
    with pytest.raises(HostError, match="XDP rules"):
        check_rules(wrong)
    check_rules(replace(wrong, udp=GROUPS, tcp=(), keep=()))


def test_a_refused_program_says_why() -> None:
    needs_root()
    with pytest.raises(HostError, match="R0 !read_ok"):
        load_xdp(struct.pack("<BBhi", 0x95, 0, 0, 0))
