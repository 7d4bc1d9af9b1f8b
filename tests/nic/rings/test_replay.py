"""Merging, starving, two readers over one window, and the same result in the interpreter as compiled."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crosswire.nic.capture.reader import CaptureError
from crosswire.nic.capture.writer import CaptureWriter
from crosswire.nic.memory.raw import load_i64
from crosswire.nic.memory.struct import Struct, array, i64, u8
from crosswire.nic.packet import Flow, Packet, PacketCounters, parse_packet, patch_udp_length, write_udp_frame_header
from crosswire.nic.rings.replay import (
    FOLLOWER,
    LEADER,
    OVERLAPPING_MAX,
    RECORDS_AT_FIRST,
    SLOTS_MAX,
    STARVED,
    Captures,
    Cursor,
    Replay,
    ReplayRing,
    next_record_time,
    read_frames,
    take_record,
)
from crosswire.nic.rings.ring import NEVER_NS, Frame, next_time_ns, poll, release
from crosswire.nic.unit.compile import compiled
from tests.support.captures import interface, packet, pcap, read_captures, section
from tests.support.paths import ROOT, recording

Frames = list[tuple[int, bytes]]
T0 = 1_700_000_000_000_000_000
MODULUS = 2**31 - 1
in_tmp_path = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


class Totals(Struct):
    """What a reader saw, in which order."""

    frames: i64
    digest: i64


def write(path: Path, frames: Frames) -> Path:
    with CaptureWriter(path) as writer:
        for time_ns, frame in frames:
            writer.write(time_ns, frame)
    return path


def many_frames(seed: int, count: int, longest: int = 400) -> Frames:
    """Frames of 16 bytes or more whose first 8 are their own; times with ties, up to 3 us apart."""
    numbers, time_ns, frames = random.Random(seed), T0, []
    for _ in range(count):
        time_ns += numbers.choice([0, 1, 1000, 3000])
        frames.append((time_ns, numbers.randbytes(numbers.randint(16, longest))))
    return frames


@compiled
def add_frame(totals: Totals, frame: Frame) -> None:
    totals.frames += 1
    totals.digest = (totals.digest * 31 + load_i64(frame.address)) % MODULUS
    totals.digest = (totals.digest * 31 + frame.length) % MODULUS
    totals.digest = (totals.digest * 31 + frame.time_ns) % MODULUS


def totals_of(frames: Frames) -> tuple[int, int]:
    digest = 0
    for time_ns, frame in frames:
        for value in (int.from_bytes(frame[:8], "little", signed=True), len(frame), time_ns):
            digest = (digest * 31 + value) % MODULUS
    return len(frames), digest


@compiled
def drain_ring(ring: ReplayRing, frame: Frame, until_ns: int, totals: Totals) -> int:
    """Everything due by `until_ns`, as a loop would; returns the ring's next time, which may be STARVED."""
    while poll(ring, frame, until_ns):
        add_frame(totals, frame)
        release(ring)
    return next_time_ns(ring)


@compiled
def drain_cursor(captures: Captures, cursor: Cursor, frame: Frame, until_ns: int, totals: Totals) -> int:
    time_ns = next_record_time(captures, cursor)
    while time_ns != STARVED and time_ns <= until_ns:
        take_record(captures, cursor, frame)
        add_frame(totals, frame)
        time_ns = next_record_time(captures, cursor)
    return time_ns


def run_ring(paths: list[Path], window_bytes: int) -> tuple[int, int]:
    frame, totals = Frame(), Totals()
    with Replay(paths, window_bytes) as replay:
        while drain_ring(replay.ring, frame, NEVER_NS - 1, totals) == STARVED:
            assert replay.cursors[FOLLOWER].starved == 1
            replay.refill()
            assert replay.cursors[FOLLOWER].starved == 0
        assert replay.ring.counters.frames == totals.frames
        assert next_time_ns(replay.ring) == NEVER_NS
        assert not poll(replay.ring, frame, NEVER_NS - 1)
    return totals.frames, totals.digest


small_frames = st.lists(
    st.tuples(st.integers(0, 4).map(lambda n: T0 + n), st.binary(min_size=1, max_size=4)), max_size=8
)


@in_tmp_path
@given(st.lists(small_frames.map(lambda frames: sorted(frames, key=lambda f: f[0])), min_size=1, max_size=4))
def test_merged_by_time_then_by_file_order(tmp_path: Path, captures: list[Frames]) -> None:
    paths = [write(tmp_path / f"{index}.pcap", frames) for index, frames in enumerate(captures)]
    merged = [
        (time_ns, index, place, frame) for index, c in enumerate(captures) for place, (time_ns, frame) in enumerate(c)
    ]
    assert list(read_frames(paths)) == [(time_ns, frame) for time_ns, _, _, frame in sorted(merged)]


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_windows_of_any_size_give_the_same_frames(tmp_path: Path, suffix: str) -> None:
    frames = many_frames(1, 2500)
    path = write(tmp_path / f"many.pcap{suffix}", frames)
    for window_bytes in (4096, 65_536, 65_537, 4 << 20):
        assert run_ring([path], window_bytes) == totals_of(frames)


def test_several_files_starve_and_go_on(tmp_path: Path) -> None:
    captures = [many_frames(seed, count) for seed, count in ((1, 1000), (2, 1), (3, 700), (4, 0))]
    paths = [write(tmp_path / f"{index}.pcap", frames) for index, frames in enumerate(captures)]
    stable = [(t, i, n, f) for i, c in enumerate(captures) for n, (t, f) in enumerate(c)]
    assert run_ring(paths, 4096) == totals_of([(t, f) for t, _, _, f in sorted(stable, key=lambda row: row[:3])])


def test_the_ring_gives_a_frame_when_it_is_due(tmp_path: Path) -> None:
    path = write(tmp_path / "two.pcap", [(T0, b"first"), (T0 + 10, b"second")])
    frame = Frame()
    with Replay([path]) as replay:
        ring = replay.ring
        assert next_time_ns(ring) == T0
        assert not poll(ring, frame, T0 - 1)
        assert poll(ring, frame, T0)
        assert (frame.time_ns, frame.length) == (T0, 5)
        release(ring)
        assert not poll(ring, frame, T0 + 9)
        assert poll(ring, frame, T0 + 10_000)
        assert frame.time_ns == T0 + 10
        release(ring)
        assert next_time_ns(ring) == NEVER_NS
        assert not poll(ring, frame, NEVER_NS - 1)
        counters = ring.counters
        assert (counters.frames, counters.bytes, counters.empty_polls) == (2, 11, 3)


@pytest.mark.parametrize("files", [1, 3])
@pytest.mark.parametrize("latency_ns", [0, 1, 20_000])
def test_the_leader_reads_ahead_of_the_follower(tmp_path: Path, files: int, latency_ns: int) -> None:
    """Both see the same frames in the same order, whatever starves when."""
    captures = [many_frames(seed, 600) for seed in range(files)]
    paths = [write(tmp_path / f"{index}.pcap", frames) for index, frames in enumerate(captures)]
    rows = [(t, i, n, f) for i, c in enumerate(captures) for n, (t, f) in enumerate(c)]
    expected = totals_of([(t, f) for t, _, _, f in sorted(rows, key=lambda row: row[:3])])
    frame, totals, now_ns = Frame(), [Totals(), Totals()], T0
    with Replay(paths, 1 << 14, cursors=2) as replay:
        follower_next = leader_next = STARVED
        while (follower_next, leader_next) != (NEVER_NS, NEVER_NS):
            leader = replay.cursors[LEADER]
            leader_next = drain_cursor(replay.captures, leader, frame, now_ns + latency_ns, totals[LEADER])
            follower_next = drain_ring(replay.ring, frame, now_ns, totals[FOLLOWER])
            if STARVED in (leader_next, follower_next):
                replay.refill()
            else:
                now_ns = min(follower_next, leader_next - latency_ns)
    assert [(t.frames, t.digest) for t in totals] == [expected, expected]


def test_readers_too_far_apart_for_the_window(tmp_path: Path) -> None:
    path = write(tmp_path / "long.pcap", many_frames(5, 100))
    frame, totals = Frame(), Totals()
    with Replay([path], 4096, cursors=2) as replay:
        leader = replay.cursors[LEADER]
        error = None
        while error is None:
            assert drain_cursor(replay.captures, leader, frame, NEVER_NS - 1, totals) == STARVED
            try:
                replay.refill()
            except CaptureError as caught:
                error = caught
    assert "byte 40: the two readers, of which the slower is here, are farther apart than a window of 4096" in str(
        error
    )
    assert totals.frames > 5


def test_a_table_grows_with_the_distance_of_two_readers(tmp_path: Path) -> None:
    """One reads all before the other begins, after both have gone on for a while."""
    frames = many_frames(6, RECORDS_AT_FIRST * 5, 20)
    path = write(tmp_path / "many.pcap", frames)
    frame, totals = Frame(), [Totals(), Totals()]
    with Replay([path], cursors=2) as replay:
        size = replay.captures.mask + 1
        for now_ns, order in ((frames[3000][0], (FOLLOWER, LEADER)), (NEVER_NS - 1, (LEADER, FOLLOWER))):
            for number in order:
                cursor = replay.cursors[number]
                while drain_cursor(replay.captures, cursor, frame, now_ns, totals[number]) == STARVED:
                    replay.refill()
        assert size == RECORDS_AT_FIRST < replay.captures.mask + 1
    assert [(t.frames, t.digest) for t in totals] == [totals_of(frames)] * 2


def test_a_window_that_holds_just_the_whole_file_is_enough(tmp_path: Path) -> None:
    header_bytes, record_header_bytes = 24, 16
    frames = [(T0 + n, bytes(1000)) for n in range(3)]
    frames.append((T0 + 3, bytes(4096 - header_bytes - 3 * 1016 - record_header_bytes)))
    path = write(tmp_path / "exact.pcap", frames)
    assert path.stat().st_size == 4096
    frame, totals = Frame(), Totals()
    with Replay([path], 4096, cursors=2) as replay:
        for cursor in reversed(replay.cursors):
            while drain_cursor(replay.captures, cursor, frame, NEVER_NS - 1, totals) == STARVED:
                replay.refill()
    assert totals.frames == 8


def test_a_frame_that_waits_survives_the_refill_of_another_file(tmp_path: Path) -> None:
    early = write(tmp_path / "early.pcap", many_frames(6, 500))
    late = write(tmp_path / "late.pcap", [(T0 + 10**12, b"late, but read first")])
    assert list(read_frames([late, early], 4096))[-1] == (T0 + 10**12, b"late, but read first")


def test_warnings_name_the_file_that_is_bad(tmp_path: Path) -> None:
    good = write(tmp_path / "good.pcap", many_frames(7, 50))
    bad = tmp_path / "bad.pcap"
    bad.write_bytes(pcap([(T0, bytes(60))])[:-1])
    frames, warnings = read_captures([good, bad])
    assert len(frames) == 50
    assert [each.first_place for each in warnings if "cut off" in each.kind] == [f"{bad}, byte 24"]


def test_limits_are_checked(tmp_path: Path) -> None:
    path = write(tmp_path / "one.pcap", [(T0, b"x")])
    with pytest.raises(ValueError, match="at least one"):
        Replay([])
    with pytest.raises(ValueError, match="3 cursors"):
        Replay([path], cursors=3)
    with pytest.raises(ValueError, match="window_bytes=100"):
        Replay([path], window_bytes=100)
    assert len(list(read_frames([path] * OVERLAPPING_MAX))) == OVERLAPPING_MAX
    many = [write(tmp_path / f"{n}.pcap", many_frames(n, 2000)) for n in range(OVERLAPPING_MAX + 1)]
    with pytest.raises(CaptureError, match=r"\.pcap.*more than 16 captures overlap"):
        list(read_frames(many, 4096))


@pytest.mark.parametrize("frames_each", [1, 3, 700])
def test_rotated_captures_are_one_stream(tmp_path: Path, frames_each: int) -> None:
    """In whatever order they are given, more than there are slots, with a second reader behind the first."""
    frames = many_frames(3, 200 * frames_each if frames_each < 700 else 20 * frames_each)
    parts = [frames[n : n + frames_each] for n in range(0, len(frames), frames_each)]
    paths = [write(tmp_path / f"{n}.pcap", part) for n, part in enumerate(parts)]
    write(tmp_path / "empty.pcap", [])
    paths.append(tmp_path / "empty.pcap")
    assert run_ring(paths, 1 << 16) == totals_of(frames)
    shuffled = random.Random(1).sample(paths, len(paths))
    assert sorted(read_frames(shuffled)) == sorted(frames)
    assert [time_ns for time_ns, _ in read_frames(shuffled)] == [time_ns for time_ns, _ in frames]
    frame, totals, now_ns = Frame(), [Totals(), Totals()], T0
    with Replay(paths, 1 << 16, cursors=2) as replay:
        follower_next = leader_next = STARVED
        while (follower_next, leader_next) != (NEVER_NS, NEVER_NS):
            leader_next = drain_cursor(replay.captures, replay.cursors[LEADER], frame, now_ns + 9000, totals[LEADER])
            follower_next = drain_ring(replay.ring, frame, now_ns, totals[FOLLOWER])
            if STARVED in (leader_next, follower_next):
                replay.refill()
            else:
                now_ns = min(follower_next, leader_next - 9000)
        assert len(replay._files) <= SLOTS_MAX
        assert replay.records() == len(frames)
    assert [(t.frames, t.digest) for t in totals] == [totals_of(frames)] * 2


def summary(paths: list[str]) -> str:
    """Everything that replaying and parsing `paths` leaves behind, as text; run compiled and interpreted."""
    frame, parsed, counters, totals = Frame(), Packet(), PacketCounters(), Totals()
    lines = []
    with Replay(paths, 1 << 16, cursors=2) as replay:
        captures, follower = replay.captures, replay.cursors[FOLLOWER]
        while (time_ns := next_record_time(captures, follower)) != NEVER_NS:
            if time_ns == STARVED:
                # The leader first, so that both starve in turn.
                drain_cursor(captures, replay.cursors[LEADER], frame, NEVER_NS - 1, totals)
                replay.refill()
                continue
            take_record(captures, follower, frame)
            if parse_packet(frame, parsed, counters):
                offset = parsed.payload_address - frame.address
                parsed.payload_address = 0
                lines.append(f"{offset} {parsed}")
        lines += [str(cursor.frames) for cursor in replay.cursors]
        lines += [f"{each.count} {each.kind} {Path(each.first_place).name}" for each in replay.warnings()]
    buffer = array(u8, 200)
    write_udp_frame_header(buffer.address, Flow(source_mac=2**48 - 1, source_ip=2**32 - 1, source_port=65535), 77)
    patch_udp_length(buffer.address, 33)
    return "\n".join([*lines, repr(counters), repr(totals), bytes(buffer).hex()])


def test_interpreted_and_compiled_leave_the_same(tmp_path: Path) -> None:
    numbers = random.Random(11)
    shapes = [bytes.fromhex(text) for text in ("0800", "810000010800", "88a800018100000208004500", "0806")]
    frames = [
        (time_ns, frame[:12] + numbers.choice(shapes) + b"\x45" + frame[13:])
        for time_ns, frame in many_frames(11, 300, 100)
    ]
    data = b""
    for order, resolution in (("<", 9), (">", 0x9E), (">", 12), ("<", 0xB0)):
        data += section(order) + interface(order, resolution)
        data += b"".join(
            packet(order, n << 30, frame, original=len(frame) + n % 2) for n, (_, frame) in enumerate(frames)
        )
    buffer = tmp_path / "frames.pcapng"
    buffer.write_bytes(data)
    udp = tmp_path / "udp.pcap"
    header = array(u8, 200)
    write_udp_frame_header(header.address, Flow(source_ip=1, destination_ip=2, destination_port=6100), 100)
    write(udp, [(time_ns, bytes(header)[: 142 + n % 3 - 1]) for n, (time_ns, _) in enumerate(frames)])
    paths = [str(buffer), str(udp)]
    script = f"from tests.nic.rings.test_replay import summary; print(summary({paths!r}))"
    environment = {**os.environ, "CROSSWIRE_NO_JIT": "1"}
    command = [sys.executable, "-c", script]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == summary(paths)
    assert "udp=200" in run.stdout
    assert "truncated=" in run.stdout


def test_every_packet_of_the_real_captures_is_udp() -> None:
    for name, count in (("sample_capture_v1_6", 5066), ("price_index", 1277)):
        frame, parsed, counters = Frame(), Packet(), PacketCounters()
        with Replay([recording(f"deribit/{name}.pcapng")], 1 << 16) as replay:
            while (time_ns := next_time_ns(replay.ring)) != NEVER_NS:
                if time_ns == STARVED:
                    replay.refill()
                elif poll(replay.ring, frame, time_ns):
                    parse_packet(frame, parsed, counters)
        assert counters.udp == count == replay.ring.counters.frames
