"""Captures of every format, byte order and codec, read back through windows of any size; and where files are cut."""

import contextlib
import gzip
import itertools
import struct
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crosswire.nic.capture.reader import CaptureError
from crosswire.nic.capture.records import read_record, set_source
from crosswire.nic.capture.stamps import Stamps
from crosswire.nic.capture.state import Format, Interface, Source, SourceState, Window
from crosswire.nic.capture.times import set_resolution, ticks_to_ns
from crosswire.nic.capture.writer import RECORD_HEADER_BYTES, CaptureWriter, write_record_header
from crosswire.nic.memory.struct import array, u8
from crosswire.nic.rings.replay import Replay, read_frames
from crosswire.nic.rings.ring import NEVER_NS
from tests.support.captures import (
    CODECS,
    T0,
    Frames,
    block,
    interface,
    kinds,
    packet,
    pcap,
    read_capture,
    section,
    udp_frame,
)
from tests.support.guard import GuardedBytes
from tests.support.paths import recording

in_tmp_path = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])

frames_lists = st.lists(
    st.tuples(st.integers(0, 10**12).map(lambda time_us: T0 + time_us * 1000), st.binary(max_size=200)), max_size=20
).map(lambda frames: sorted(frames, key=lambda frame: frame[0]))
orders = st.sampled_from("<>")


def read(path: Path, data: bytes) -> Frames:
    return read_capture(path, data, 4096)[0]


def failure(path: Path, data: bytes) -> CaptureError:
    with pytest.raises(CaptureError) as caught:
        read(path, data)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert f"byte {caught.value.offset}" in str(caught.value)
    return caught.value


@in_tmp_path
@given(frames_lists, orders, st.booleans(), st.sampled_from(list(CODECS)))
def test_pcap(tmp_path: Path, frames: Frames, order: str, nanosecond: bool, codec: str) -> None:
    frames = [(time_ns + 7 * nanosecond, frame) for time_ns, frame in frames]
    # The name says nothing: every codec is read from the same one.
    assert read(tmp_path / "capture.bin", CODECS[codec](pcap(frames, order, nanosecond))) == frames


@in_tmp_path
@given(st.lists(st.tuples(frames_lists, orders, st.booleans()), min_size=1, max_size=3), st.sampled_from(list(CODECS)))
def test_pcapng(tmp_path: Path, sections: list[tuple[Frames, str, bool]], codec: str) -> None:
    """Several sections, each with two interfaces of their own clocks, unknown blocks between packets."""
    data, expected = b"", []
    for frames, order, old in sections:
        data += section(order) + interface(order, offset_s=-5) + interface(order, resolution=9)
        for number, (time_ns, frame) in enumerate(frames):
            time_us = time_ns // 1000 + 5_000_000
            data += block(order, 0x0BAD, b"skip me")
            data += packet(order, time_ns, frame, 1, old) if number % 2 else packet(order, time_us, frame, 0, old)
            expected.append((time_ns, frame))
    frames_read, _ = read_capture(tmp_path / "capture.bin", CODECS[codec](data), 1 << 18)  # that all are in order
    assert [time_ns for time_ns, _ in frames_read] == sorted(time_ns for time_ns, _ in expected)
    assert sorted(frames_read) == sorted(expected)  # of sections with the same times, which is first is not known


@pytest.mark.parametrize("order", "<>")
def test_simple_packets_take_the_time_before_and_the_snap_length(tmp_path: Path, order: str) -> None:
    def simple(frame: bytes, original: int) -> bytes:
        return block(order, 3, struct.pack(order + "I", original) + frame)

    first, timed, last = udp_frame(b"first"), udp_frame(b"timed"), udp_frame(b"simple")
    data = section(order) + interface(order, snap_length=60)
    data += (
        simple(first, len(first))
        + packet(order, 1_000_000, timed)
        + simple(last, len(last))
        + simple(last.ljust(60, b"\0"), 70)
    )
    frames, warnings = read_capture(tmp_path / "simple.pcapng", data)
    assert frames == [(10**9, first), (10**9, timed), (10**9, last), (10**9, last.ljust(60, b"\0"))]
    assert kinds(warnings) == {"records without a time,": 3}


@given(st.integers(0, 255), st.integers(0, 2**64 - 1), st.integers(0, 63), st.integers(-(2**32), 2**32))
def test_any_clock_is_exact_or_refused(resolution: int, ticks: int, shift: int, offset_s: int) -> None:
    ticks >>= shift
    clock = Interface(offset_seconds=offset_s)
    is_binary, digits = resolution >= 128, resolution % 128
    if not set_resolution(clock, resolution):
        assert digits > (63 if is_binary else 18)
        return
    exact = Fraction(ticks * 10**9, 2**digits if is_binary else 10**digits)
    time_ns = exact.__floor__() + offset_s * 10**9
    converted = ticks_to_ns(clock, ticks >> 32, ticks & 0xFFFFFFFF)
    if converted < 0:
        assert ticks >= 2**63 or exact > (2**62 // 10**9 - 2) * 10**9 or not 0 <= time_ns < NEVER_NS
    else:
        assert converted == time_ns


def boundaries(blocks: Iterable[bytes]) -> list[int]:
    return [0, *itertools.accumulate(map(len, blocks))]


ONE, TWO, THREE = (udp_frame(text) for text in (b"one", b"", b"three"))


def test_every_truncation_of_a_pcap_keeps_what_is_whole(tmp_path: Path) -> None:
    frames = [(T0, ONE), (T0 + 1, TWO), (T0 + 2, THREE)]
    data = pcap(frames)
    starts = boundaries([data[:24], *(bytes(16 + len(frame)) for _, frame in frames)])[1:]
    for length in range(len(data) + 1):
        if length < starts[0]:
            assert failure(tmp_path / "cut.pcap", data[:length]).offset == 0
            continue
        whole = [start for start in starts if start <= length]
        read_of_it, warnings = read_capture(tmp_path / "cut.pcap", data[:length])
        assert read_of_it == frames[: len(whole) - 1]
        assert kinds(warnings) == ({} if length == whole[-1] else {"records cut off by": 1})
        assert not warnings or f"byte {whole[-1]}" in warnings[0].first_place


@pytest.mark.parametrize("order", "<>")
def test_every_truncation_of_a_pcapng_keeps_what_is_whole(tmp_path: Path, order: str) -> None:
    blocks = [section(order), interface(order, 9), packet(order, T0, ONE), block(order, 5, bytes(12)), section(order)]
    data = b"".join(blocks)
    starts = boundaries(blocks)
    for length in range(4, len(data) + 1):
        frames, warnings = read_capture(tmp_path / "cut.pcapng", data[:length])
        assert frames == ([(T0, ONE)] if length >= starts[3] else [])
        assert kinds(warnings) == ({} if length in starts else {"records cut off by": 1})


@pytest.mark.parametrize("codec", ["gzip", "gzip members", "zstd", "zstd frames"])
def test_every_truncation_of_a_compressed_capture_keeps_what_can_be_inflated(tmp_path: Path, codec: str) -> None:
    frames = [(T0, ONE), (T0 + 1, udp_frame(bytes(range(200))))]
    data = CODECS[codec](pcap(frames))
    ends = {len(CODECS[codec](pcap(frames)[: 50 * n])) for n in range(1, 7)} if codec.endswith("s") else set()
    seen = set()
    for length in range(len(data)):
        try:
            read_of_it, warnings = read_capture(tmp_path / "cut", data[:length])
        except CaptureError:
            continue  # not even the file header can be had
        assert read_of_it == frames[: len(read_of_it)]
        assert ("compressed streams that can't" in kinds(warnings)) == (length not in ends)
        assert warnings
        seen.add(len(read_of_it))
    assert seen >= {0, 1} or codec == "zstd"  # one block, which can't be had in parts


@pytest.mark.parametrize("codec", ["gzip", "gzip members", "zstd", "zstd frames"])
def test_zeros_after_a_compressed_capture_are_nothing_and_garbage_is_told(tmp_path: Path, codec: str) -> None:
    data = CODECS[codec](pcap([(T0, ONE)]))
    assert read_capture(tmp_path / "padded", data + bytes(100_000)) == ([(T0, ONE)], [])
    assert read_capture(tmp_path / "padded", data + bytes(70_000) + data[:0] + CODECS[codec](b"")) == ([(T0, ONE)], [])
    frames, warnings = read_capture(tmp_path / "garbage", data + bytes(5) + b"garbage")
    assert frames == [(T0, ONE)]
    assert kinds(warnings) == {"compressed streams that can't": 1}
    assert "of the decompressed stream" in warnings[0].first_place


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_damage_in_a_compressed_capture_keeps_what_is_before_it(tmp_path: Path, codec: str) -> None:
    frames = [(T0 + n, udp_frame(n.to_bytes(4) * 50)) for n in range(20_000)]
    data = bytearray(CODECS[codec](pcap(frames)))
    data[len(data) // 2] ^= 0xFF
    read_of_it, warnings = read_capture(tmp_path / "damaged", bytes(data), 1 << 20)
    told = kinds(warnings)
    assert told["compressed streams that can't"] == 1
    assert len(frames) // 4 < len(read_of_it)
    assert read_of_it[: len(frames) // 4] == frames[: len(frames) // 4]


@pytest.mark.parametrize(
    ("data", "offset", "words"),
    [
        (b"", 0, "empty"),
        (b"hello, this is no capture", 0, "neither pcap nor pcapng: it starts with 68656c6c"),
        (struct.pack("<I", 0xA1B2CDFF) + bytes(40), 0, "neither"),
        (b"snoop\0\0\0\0\0\0\2\0\0\0\4" + bytes(40), 0, "a capture in the format of snoop"),
        (struct.pack("<IHHiIII", 0xA1B2C3D4, 3, 0, 0, 0, 0, 1), 4, "pcap version 3"),
        (pcap([])[:10], 0, "cut off by the end of the file, byte 10"),
    ],
)
def test_what_is_no_capture_is_named(tmp_path: Path, data: bytes, offset: int, words: str) -> None:
    error = failure(tmp_path / "bad.pcap", data)
    assert words in str(error)
    assert error.offset == offset


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match=r"nothing\.pcap.*No such file"):
        Replay([tmp_path / "nothing.pcap"])


@settings(max_examples=300)
@given(
    st.booleans(),
    orders,
    frames_lists,
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6),
    st.floats(0, 1),
    st.sampled_from([1, 101, 113, 276]),
    st.sampled_from(Stamps),
)
def test_mutated_captures_never_read_past_the_window(
    is_pcapng: bool,
    order: str,
    frames: Frames,
    mutations: list[tuple[float, int]],
    cut: float,
    link_type: int,
    stamps: Stamps,
) -> None:
    data = bytearray(b"".join(packet(order, time_ns, frame) for time_ns, frame in frames))
    simple = block(order, 3, struct.pack(order + "I", 3) + b"spb")
    data[:0] = section(order) + interface(order, 9, 0, link_type) + simple
    if not is_pcapng:
        data = bytearray(pcap(frames, order, link_type=link_type)[24:])
    for place, value in mutations:
        if data:
            data[int(place * len(data))] = value
    data = data[: int(cut * len(data))]
    with GuardedBytes() as guarded:
        window = Window(end_offset=len(data), end_of_file=1)
        window.base_address = guarded.place(bytes(data))
        source = Source(format=Format.PCAPNG if is_pcapng else Format.PCAP, swapped=order == ">", link_type=link_type)
        source.ticks_per_second, source.header_bytes = 10**9, 16
        set_source(source, stamps)
        read_count = 0
        while (state := read_record(window, source)) == SourceState.READY:
            assert -14 <= source.frame_offset <= source.frame_offset + source.frame_length <= source.position
            assert source.position <= len(data)
            assert -1 <= source.time_ns < NEVER_NS
            read_count += 1
            assert read_count <= len(data)
        assert state == SourceState.ENDED
        assert source.position == len(data)


@in_tmp_path
@given(frames_lists, st.booleans(), st.sampled_from(["", ".gz", ".zst"]))
def test_the_writer_writes_what_is_read(tmp_path: Path, frames: Frames, nanosecond: bool, suffix: str) -> None:
    path = tmp_path / f"written.pcap{suffix}"
    with CaptureWriter(path, nanosecond) as writer:
        for time_ns, frame in frames:
            writer.write(time_ns, frame)
    assert list(read_frames([path])) == frames
    unpack: dict[str, Callable[[bytes], bytes]] = {"": bytes, ".gz": gzip.decompress, ".zst": unzstd}
    plain = unpack[suffix](path.read_bytes())
    assert plain == pcap(frames, "<", nanosecond)
    assert list(tmp_path.glob(".*")) == []


def unzstd(data: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompressobj().decompress(data)


def test_records_formatted_in_memory_are_written_raw(tmp_path: Path) -> None:
    buffer = array(u8, 100)
    frame_address = write_record_header(buffer.address, T0 + 5, 4)
    assert frame_address == buffer.address + RECORD_HEADER_BYTES
    buffer.numpy()[RECORD_HEADER_BYTES : RECORD_HEADER_BYTES + 4] = list(b"wire")
    with CaptureWriter(tmp_path / "raw.pcap") as writer:
        writer.write_memory(buffer.address, RECORD_HEADER_BYTES + 4)
        writer.write_raw(bytes(buffer)[: RECORD_HEADER_BYTES + 4])
    assert list(read_frames([tmp_path / "raw.pcap"])) == [(T0 + 5, b"wire")] * 2
    with CaptureWriter(tmp_path / "us.pcap", nanosecond=False) as writer, pytest.raises(ValueError, match="nanosecond"):
        writer.write_raw(b"")


def test_no_partial_file_is_left(tmp_path: Path) -> None:
    path = tmp_path / "partial.pcap"
    with contextlib.suppress(KeyError), CaptureWriter(path) as writer:
        writer.write(T0, b"frame")
        raise KeyError
    assert list(tmp_path.iterdir()) == []
    writer = CaptureWriter(path)
    writer.write(T0, b"frame")
    assert not path.exists()
    with pytest.raises(ValueError, match="1970"):
        writer.write(-1, b"frame")
    with pytest.raises(ValueError, match="262144"):
        writer.write(T0, bytes(262_145))
    writer.close()
    writer.close()
    writer.discard()
    assert list(read_frames([path])) == [(T0, b"frame")]


def test_the_real_captures_are_read_whole() -> None:
    for name, frames in (("sample_capture_v1_6", 5066), ("price_index", 1277)):
        assert sum(1 for _ in read_frames([recording(f"deribit/{name}.pcapng")], 1 << 16)) == frames
