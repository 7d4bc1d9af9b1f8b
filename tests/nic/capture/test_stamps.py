"""Hardware time stamps in frames, written with `struct.pack` from their descriptions (see `nic/capture/stamps.py`)."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from crosswire.nic.capture.stamps import LOOKED_AT_MAX, Stamps
from crosswire.nic.rings.replay import Replay, replayed_frames
from crosswire.nic.warning import DataWarning
from tests.support.captures import T0, Frames, interface, kinds, packet, pcap, section, udp_frame
from tests.support.stamps import FRACTIONS, NS, arista, exablaze, metamako, padded

DAY_NS = 86_400 * NS
in_tmp_path = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80, deadline=None)
NO_STAMP = "frames without a hardware"


def read_stamped(path: Path, data: bytes, stamps: Stamps) -> tuple[Frames, list[DataWarning]]:
    path.write_bytes(data)
    with Replay([path], 1 << 16, stamps=stamps) as replay:
        return list(replayed_frames(replay)), replay.warnings()


WAYS: dict[str, tuple[Stamps, Callable[[bytes, int], bytes]]] = {
    "exablaze": (Stamps.EXABLAZE, exablaze),
    "exablaze with FCS": (Stamps.EXABLAZE, lambda frame, t: exablaze(frame, t, True)),
    "metamako": (Stamps.METAMAKO, metamako),
    "metamako with FCS": (Stamps.METAMAKO, lambda frame, t: metamako(frame, t, True)),
    "metamako with sub-nanoseconds": (
        Stamps.METAMAKO,
        lambda frame, t: metamako(frame, t, flags=3, extensions=struct.pack(">II", 0x123456 << 8, 0x21)),
    ),
    "arista, 64 bits, UTC": (Stamps.ARISTA, arista),
    "arista, 64 bits, TAI": (Stamps.ARISTA, lambda frame, t: arista(frame, t, leap_s=37)),
    "arista, 48 bits, UTC": (Stamps.ARISTA, lambda frame, t: arista(frame, t, is_short=True)),
    "arista, 48 bits, TAI": (Stamps.ARISTA, lambda frame, t: arista(frame, t, is_short=True, leap_s=37)),
}


@in_tmp_path
@given(
    st.sampled_from(sorted(WAYS)),
    st.lists(st.tuples(st.integers(0, NS), st.integers(0, 1400)), min_size=1, max_size=30),
    st.integers(-NS, NS),
    st.booleans(),
)
@example("arista, 64 bits, TAI", [(NS - 1, 0)], 0, False)
def test_a_frame_has_the_time_of_its_stamp(
    tmp_path: Path, way: str, frames: list[tuple[int, int]], skew_ns: int, is_pcapng: bool
) -> None:
    """Whatever its size, so with and without padding, and whatever the host's clock says within a second."""
    stamps, stamp = WAYS[way]
    time_ns, hardware, captured = T0, [], []
    for step_ns, size in frames:
        time_ns += step_ns
        frame = udp_frame(len(hardware).to_bytes(2, "little") + bytes(size))
        hardware.append((time_ns, frame))
        captured.append((time_ns + skew_ns, stamp(frame, time_ns)))
    data = pcap(captured)
    if is_pcapng:
        data = section("<") + interface("<", 9) + b"".join(packet("<", *each) for each in captured)
    read, warnings = read_stamped(tmp_path / "stamped", data, stamps)
    assert warnings == []
    assert [t for t, _ in read] == [t for t, _ in hardware]
    for (_, content), (_, frame) in zip(read, hardware, strict=True):
        assert content[: len(frame)] == frame  # a trailer stays where it is: no packet reaches so far


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("skew_s", [-3 * 3600, -1, 1, 3 * 3600])
def test_the_clock_of_the_host_may_be_hours_off(tmp_path: Path, way: str, skew_s: int) -> None:
    stamps, stamp = WAYS[way]
    frames = [(T0 + n * NS // 3, udp_frame(bytes([n]))) for n in range(12)]
    captured = [(t + skew_s * NS, stamp(frame, t)) for t, frame in frames]
    read, warnings = read_stamped(tmp_path / "skewed", pcap(captured), stamps)
    assert [t for t, _ in read] == [t for t, _ in frames]
    assert warnings == []


@pytest.mark.parametrize("way", WAYS)
def test_stamps_put_frames_in_order_that_the_host_did_not(tmp_path: Path, way: str) -> None:
    stamps, stamp = WAYS[way]
    frames = [(T0 + n * 1000, udp_frame(bytes([n]))) for n in range(50)]
    late = [(T0 + 10**6 + place, stamp(frames[n][1], frames[n][0])) for place, n in enumerate(range(49, -1, -1))]
    read, warnings = read_stamped(tmp_path / "late", pcap(late), stamps)
    assert [t for t, _ in read] == [t for t, _ in frames]
    assert warnings == []


def test_a_fraction_is_rounded_down_exactly(tmp_path: Path) -> None:
    for fraction in (0, 1, 1099, 1100, FRACTIONS // 2, FRACTIONS - 1):
        stamp = struct.pack(">BBI", 0, 0, T0 // NS) + fraction.to_bytes(5, "big") + b"\0"
        data = pcap([(T0, padded(udp_frame(b"x")) + stamp)])
        assert read_stamped(tmp_path / "f", data, Stamps.EXABLAZE)[0][0][0] == T0 + fraction * NS // FRACTIONS


def changed(way: str, damage: str, frame: bytes, stamp: Callable[[bytes, int], bytes]) -> bytes:
    """A frame of time T0 + 2000 with its stamp damaged."""
    stamped = stamp(frame, T0 + 2000)
    if damage == "absent":
        return frame
    if damage == "days away":
        return stamp(frame, T0 + 2 * DAY_NS)
    assert damage == "nanoseconds"
    return stamped.replace(struct.pack(">I", 2000), struct.pack(">I", NS))


DAMAGES = [
    (way, damage)
    for way in WAYS
    for damage in ("absent", "cut", "days away", "nanoseconds")
    if not (damage == "days away" and "48 bits" in way)  # 16 bits of seconds are never farther than nine hours
    and not (damage == "nanoseconds" and "exablaze" in way)  # every fraction can be
]


@pytest.mark.parametrize(("way", "damage"), DAMAGES)
def test_a_frame_without_a_stamp_that_can_be_is_counted_and_keeps_its_time(
    tmp_path: Path, way: str, damage: str
) -> None:
    stamps, stamp = WAYS[way]
    whole = [(T0 + n * 1000, udp_frame(bytes([n]) * 40)) for n in range(5)]
    captured = [(t, stamp(frame, t)) for t, frame in whole]
    if damage == "cut":
        end = 20 if stamps == Stamps.ARISTA else len(captured[2][1]) - 1
        third = pcap([captured[2]], slice_to=end)
    else:
        third = pcap([(T0 + 2000, changed(way, damage, whole[2][1], stamp))])
    data = pcap(captured[:2]) + third[24:] + pcap(captured[3:])[24:]
    read, warnings = read_stamped(tmp_path / "damaged", data, stamps)
    assert [t for t, _ in read] == [t for t, _ in whole]
    assert kinds(warnings)[NO_STAMP] == 1


@in_tmp_path
@given(st.sampled_from([Stamps.EXABLAZE, Stamps.METAMAKO, Stamps.ARISTA]), st.binary(max_size=120), st.booleans())
def test_no_bytes_make_a_time_that_is_days_away(tmp_path: Path, stamps: Stamps, content: bytes, is_whole: bool) -> None:
    frame = bytes(12) + (struct.pack(">HH", 0xD28B, 1) if is_whole else b"") + content
    read, warnings = read_stamped(tmp_path / "any", pcap([(T0, frame)]), stamps)
    assert len(read) == 1
    assert abs(read[0][0] - T0) <= DAY_NS
    assert (read[0][0] == T0) or NO_STAMP not in kinds(warnings)


def test_a_payload_is_never_taken_for_a_trailer(tmp_path: Path) -> None:
    for stamps, stamp in ((Stamps.EXABLAZE, exablaze), (Stamps.METAMAKO, metamako)):
        payload = stamp(bytes(60), T0 + NS)
        read, warnings = read_stamped(tmp_path / "payload", pcap([(T0, udp_frame(payload))]), stamps)
        assert [t for t, _ in read] == [T0]
        assert kinds(warnings) == {NO_STAMP: 1}


@pytest.mark.parametrize("way", [way for way in WAYS if not way.startswith("arista")])
def test_another_device_s_trailer_before_one_that_was_cut_off_is_not_taken_for_it(tmp_path: Path, way: str) -> None:
    stamps, stamp = WAYS[way]
    once = stamp(udp_frame(b"x"), T0 - NS)
    cut = pcap([(T0, stamp(once, T0))], slice_to=len(once))
    read, warnings = read_stamped(tmp_path / "twice", cut, stamps)
    assert [t for t, _ in read] == [T0]
    assert kinds(warnings) == {NO_STAMP: 1}


def test_a_degraded_stamp_is_used_and_told(tmp_path: Path) -> None:
    frames = [(T0 + n, metamako(udp_frame(b"x"), T0 + n + 500, flags=0x11 if n == 3 else 1)) for n in range(5)]
    read, warnings = read_stamped(tmp_path / "degraded", pcap(frames), Stamps.METAMAKO)
    assert [t for t, _ in read] == [T0 + n + 500 for n in range(5)]
    assert kinds(warnings) == {"hardware time stamps that": 1}


def test_an_arista_stamp_whose_low_bits_rolled_over_inside_the_switch_is_not_four_seconds_late(tmp_path: Path) -> None:
    start = T0 // NS // 4 * 4 * NS + 3 * NS  # the last of four seconds
    frames = [(start + n * 100_000_000, udp_frame(bytes([n]))) for n in range(20)]
    stamped = [(t + 3000, arista(frame, t + (4 * NS if n == 9 else 0))) for n, (t, frame) in enumerate(frames)]
    read, warnings = read_stamped(tmp_path / "rolled", pcap(stamped), Stamps.ARISTA)
    assert (read, warnings) == (frames, [])


def test_tai_was_a_second_nearer_before_2017(tmp_path: Path) -> None:
    for time_ns, leap_s in ((1_483_228_799 * NS, 36), (1_483_228_800 * NS, 37)):
        data = pcap([(time_ns, arista(udp_frame(b"x"), time_ns, leap_s=leap_s))])
        assert read_stamped(tmp_path / "tai", data, Stamps.ARISTA)[0][0][0] == time_ns


@pytest.mark.parametrize(
    ("way", "told"),
    [
        ("exablaze", {"frames, of the first": 64}),
        ("metamako with FCS", {"frames, of the first": 64}),
        ("arista, 48 bits, UTC", {"frames behind an Arista": 100}),
    ],
)
def test_stamps_of_which_nothing_is_said_are_a_warning_and_not_used(
    tmp_path: Path, way: str, told: dict[str, int]
) -> None:
    assert LOOKED_AT_MAX == 64
    stamps, stamp = WAYS[way]
    frames = [(T0 + n * 1000, stamp(udp_frame(bytes(2)), T0 + n * 1000 + 77)) for n in range(100)]
    read, warnings = read_stamped(tmp_path / "unsaid", pcap(frames), Stamps.UNSAID)
    assert read == frames
    assert kinds(warnings) == told
    assert f'capture_stamps = "{stamps.name.lower()}"' in warnings[0].what_to_do
    if stamps != Stamps.ARISTA:
        assert read_stamped(tmp_path / "none", pcap(frames), Stamps.NONE) == (frames, [])


def test_captures_without_stamps_give_no_hint(tmp_path: Path) -> None:
    """Padding of any kind behind short frames, a check sequence among it."""
    frames = [(T0 + n, padded(udp_frame(bytes(2))) + bytes([n]) * 30) for n in range(1, 200)]
    assert read_stamped(tmp_path / "padded", pcap(frames), Stamps.UNSAID) == (frames, [])
