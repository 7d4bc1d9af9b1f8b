"""Records out of order, and times that are wrong: what a bounded wait puts right, and what is told."""

import random
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crosswire.nic.capture.state import LEAP_NS, ORDER_RECORDS, RUN_RECORDS_MAX
from crosswire.nic.duration import NS_PER_S
from tests.support.captures import (
    CODECS,
    T0,
    Frames,
    interface,
    kinds,
    packet,
    pcap,
    read_capture,
    read_captures,
    section,
    udp_frame,
)

in_tmp_path = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
WINDOW_BYTES = 1 << 20
HOUR_NS = 3600 * NS_PER_S
LEAPT = {"records whose time leaps": 1}


def numbered(count: int, step_ns: int = 1000) -> Frames:
    """Frames in order, all times different, each with its number."""
    return [(T0 + n * step_ns, udp_frame(n.to_bytes(4, "little"))) for n in range(count)]


def numbers(frames: Frames) -> list[int]:
    return [int.from_bytes(frame[-4:], "little") for _, frame in frames]


@in_tmp_path
@given(
    st.integers(2, 2000),
    st.integers(1, ORDER_RECORDS // 2),
    st.randoms(use_true_random=False),
    st.sampled_from(list(CODECS)),
)
def test_what_is_shuffled_within_the_window_is_put_in_order(
    tmp_path: Path, count: int, reach: int, chance: random.Random, codec: str
) -> None:
    frames = numbered(count)
    places = [n + chance.uniform(0, reach) for n in range(count)]  # so none is passed by more than `reach`
    shuffled = [frames[n] for n in sorted(range(count), key=lambda n: places[n])]
    assert read_capture(tmp_path / "shuffled", CODECS[codec](pcap(shuffled)), WINDOW_BYTES) == (frames, [])


@in_tmp_path
@given(st.integers(2, 6), st.integers(1, ORDER_RECORDS // 6), st.randoms(use_true_random=False))
def test_interfaces_flushed_in_turns(tmp_path: Path, interfaces: int, burst: int, chance: random.Random) -> None:
    frames = numbered(1500)
    queues: list[list[bytes]] = [[] for _ in range(interfaces)]
    data = section("<") + interface("<", 9) * interfaces
    for time_ns, frame in frames:
        number = chance.randrange(interfaces)
        queues[number].append(packet("<", time_ns, frame, number))
        if sum(map(len, queues)) >= burst * interfaces:
            for queue in queues:
                data += b"".join(queue)
                queue.clear()
    data += b"".join(b"".join(queue) for queue in queues)
    assert read_capture(tmp_path / "turns.pcapng", data, WINDOW_BYTES) == (frames, [])


@pytest.mark.parametrize("late_by", [ORDER_RECORDS - 1, ORDER_RECORDS + 1])
def test_a_record_too_late_is_told_and_time_does_not_go_back(tmp_path: Path, late_by: int) -> None:
    frames = numbered(2000)
    late = [*frames[:100], *frames[101 : 101 + late_by], frames[100], *frames[101 + late_by :]]
    read, warnings = read_capture(tmp_path / "late.pcap", pcap(late), WINDOW_BYTES)
    assert sorted(numbers(read)) == list(range(2000))
    times = [time_ns for time_ns, _ in read]
    assert times == sorted(times)
    if late_by < ORDER_RECORDS:
        assert (read, warnings) == (frames, [])
    else:
        assert kinds(warnings) == {"records out of order,": 1}
        assert "reordercap" in warnings[0].what_to_do
        assert numbers(read)[:101] != list(range(101))


@in_tmp_path
@given(
    st.integers(RUN_RECORDS_MAX, 1500),
    st.integers(1, RUN_RECORDS_MAX - 1),
    st.sampled_from([HOUR_NS, 20 * NS_PER_S, -HOUR_NS, 10 * 365 * 24 * HOUR_NS, -10 * 365 * 24 * HOUR_NS]),
)
def test_times_that_leap_and_come_back_are_mended(tmp_path: Path, place: int, run: int, leap_ns: int) -> None:
    frames = numbered(1700)
    wrong = [(t + leap_ns if place <= n < place + run else t, f) for n, (t, f) in enumerate(frames)]
    read, warnings = read_capture(tmp_path / "leap.pcap", pcap(wrong), WINDOW_BYTES)
    assert numbers(read) == list(range(1700))
    mended = [(frames[place - 1][0] if place <= n < place + run else t, f) for n, (t, f) in enumerate(frames)]
    assert read == mended
    assert kinds(warnings) == {"records whose time leaps": run}


@pytest.mark.parametrize("leap_ns", [2 * LEAP_NS, HOUR_NS, -10 * 365 * 24 * HOUR_NS])
@pytest.mark.parametrize("run", [1, 2, 20, RUN_RECORDS_MAX - 1])
@pytest.mark.parametrize("count", [300, 5000])
def test_a_wrong_start_does_not_stop_the_clock(tmp_path: Path, leap_ns: int, run: int, count: int) -> None:
    frames = numbered(count)
    wrong = [(t + leap_ns if n < run else t, f) for n, (t, f) in enumerate(frames)]
    read, warnings = read_capture(tmp_path / "start.pcap", pcap(wrong), WINDOW_BYTES)
    assert read == [(frames[run][0] if n < run else t, f) for n, (t, f) in enumerate(frames)]
    assert kinds(warnings) == {"records whose time leaps": run}


def test_silence_is_no_fault(tmp_path: Path) -> None:
    """Hours without a packet, after the first, in the middle, or before the last."""
    for quiet in ([1], [50], [99], [1, 2, 50, 51, 98, 99], list(range(1, 100))):
        time_ns, frames = T0, []
        for n, (_, frame) in enumerate(numbered(100)):
            time_ns += 8 * HOUR_NS if n in quiet else 1000
            frames.append((time_ns, frame))
        assert read_capture(tmp_path / "quiet.pcap", pcap(frames), WINDOW_BYTES) == (frames, [])


def test_silences_of_months_are_no_fault_though_more_than_a_year_together(tmp_path: Path) -> None:
    """Captures of one connection over years, merged: no step is a year, the first records are few."""
    frames = numbered(40)
    months = [0] * 15 + [9] * 3 + [13] * 22
    spread = [(t + months[n] * 30 * 24 * HOUR_NS, f) for n, (t, f) in enumerate(frames)]
    assert read_capture(tmp_path / "merged.pcap", pcap(spread), WINDOW_BYTES) == (spread, [])


def test_a_clock_that_is_set_back_is_told(tmp_path: Path) -> None:
    frames = numbered(3000)
    stepped = [(t - HOUR_NS if n >= 1500 else t, f) for n, (t, f) in enumerate(frames)]
    read, warnings = read_capture(tmp_path / "step.pcap", pcap(stepped), WINDOW_BYTES)
    assert sorted(numbers(read)) == list(range(3000))
    told = kinds(warnings)
    assert told["steps of the capture's"] == 1
    assert told["records out of order,"] > 0


def test_captures_put_together_begin_anew(tmp_path: Path) -> None:
    frames = numbered(100)
    later = [(t + HOUR_NS, f) for t, f in numbered(20)]
    for parts in ([frames, later], [later, frames]):
        data = b"".join(map(pcap, parts))
        read, warnings = read_capture(tmp_path / "joined.pcap", data, WINDOW_BYTES)
        assert (sorted(read), warnings) == (sorted(frames + later), [])
        assert [t for t, _ in read] == sorted(t for t, _ in read)
    mixed = pcap(frames[:30]) + section(">") + interface(">", 6) + packet(">", frames[30][0] // 1000, frames[30][1])
    mixed += pcap(frames[31:60], ">") + pcap(frames[60:], nanosecond=False)
    assert read_capture(tmp_path / "mixed", mixed, WINDOW_BYTES) == (frames, [])


def test_the_first_records_without_a_time_get_the_first_that_there_is(tmp_path: Path) -> None:
    frames = numbered(10)
    data = bytearray(pcap(frames))
    record_bytes = 16 + len(frames[0][1])
    for n in (0, 1, 5):
        struct.pack_into("<I", data, 24 + n * record_bytes + 4, 10**9)  # of nanoseconds: a whole second
    read, warnings = read_capture(tmp_path / "fraction.pcap", bytes(data))
    at = [2, 2, 2, 3, 4, 4, 6, 7, 8, 9]
    assert read == [(frames[at[n]][0], frame) for n, (_, frame) in enumerate(frames)]
    assert kinds(warnings) == {"records with an impossible": 3}


def test_records_of_one_time_are_in_doubt_only_in_a_file_out_of_order(tmp_path: Path) -> None:
    frames = [(T0 + n // 3, frame) for n, (_, frame) in enumerate(numbered(30))]
    assert read_capture(tmp_path / "ties.pcap", pcap(frames)) == (frames, [])
    swapped = [*frames[:10], frames[13], *frames[10:13], *frames[14:]]
    read, warnings = read_capture(tmp_path / "swapped.pcap", pcap(swapped))
    assert [t for t, _ in read] == [t for t, _ in frames]
    assert list(kinds(warnings)) == ["records of the very"]


@in_tmp_path
@given(st.lists(st.integers(0, 400), min_size=1, max_size=40), st.randoms(use_true_random=False))
def test_any_rotation_is_one_stream(tmp_path: Path, sizes: list[int], chance: random.Random) -> None:
    frames = numbered(sum(sizes))
    start, paths = 0, []
    for n, size in enumerate(sizes):
        paths.append(tmp_path / f"{n}.pcap")
        paths[-1].write_bytes(pcap(frames[start : start + size]))
        start += size
    chance.shuffle(paths)
    assert read_captures(paths, 1 << 16) == (frames, [])
