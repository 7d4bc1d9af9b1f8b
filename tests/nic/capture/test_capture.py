"""Capture files written here with `struct.pack` from the format drafts, read back through every window and codec."""

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

from crosswire.nic.capture.decode import (
    Capture,
    Interface,
    Source,
    SourceState,
    read_record,
    set_resolution,
    ticks_to_ns,
)
from crosswire.nic.capture.reader import CaptureError
from crosswire.nic.capture.writer import RECORD_HEADER_BYTES, CaptureWriter, write_record_header
from crosswire.nic.memory.struct import array, u8
from crosswire.nic.rings.replay import FOLLOWER, Replay, next_record_time, read_frames
from crosswire.nic.rings.ring import NEVER_NS
from tests.support.guard import GuardedBytes
from tests.support.paths import recording

Frames = list[tuple[int, bytes]]
T0 = 1_700_000_000_000_000_000
in_tmp_path = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])

frames_lists = st.lists(
    st.tuples(st.integers(0, 10**12).map(lambda time_us: T0 + time_us * 1000), st.binary(max_size=200)), max_size=20
).map(lambda frames: sorted(frames, key=lambda frame: frame[0]))
orders = st.sampled_from("<>")


def pcap(
    frames: Frames, order: str = "<", nanosecond: bool = True, link_type: int = 1, slice_to: int = 1 << 18
) -> bytes:
    magic, ticks = (0xA1B23C4D, 10**9) if nanosecond else (0xA1B2C3D4, 10**6)
    data = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 1 << 18, link_type)
    for time_ns, frame in frames:
        fraction = time_ns % 10**9 * ticks // 10**9
        kept = frame[:slice_to]
        data += struct.pack(order + "IIII", time_ns // 10**9, fraction, len(kept), len(frame)) + kept
    return data


def block(order: str, kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    length = struct.pack(order + "I", len(body) + 12)
    return struct.pack(order + "I", kind) + length + body + length


def option(order: str, code: int, value: bytes) -> bytes:
    return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)


def section(order: str, major: int = 1) -> bytes:
    return block(order, 0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, major, 0, -1) + option(order, 4, b"test"))


def interface(
    order: str, resolution: int | None = None, offset_s: int | None = None, link_type: int = 1, snap_length: int = 0
) -> bytes:
    options = option(order, 2, b"eth0!")
    if resolution is not None:
        options += option(order, 9, bytes([resolution]))
    if offset_s is not None:
        options += option(order, 14, struct.pack(order + "q", offset_s))
    body = struct.pack(order + "HHI", link_type, 0, snap_length) + options + option(order, 0, b"")
    return block(order, 1, body)


def packet(
    order: str, ticks: int, frame: bytes, number: int = 0, old: bool = False, original: int | None = None
) -> bytes:
    original = len(frame) if original is None else original
    lengths = struct.pack(order + "IIII", ticks >> 32, ticks & 0xFFFFFFFF, len(frame), original)
    padded = frame + bytes(-len(frame) % 4)
    if old:
        return block(order, 2, struct.pack(order + "HH", number, 3) + lengths + padded)
    return block(order, 6, struct.pack(order + "I", number) + lengths + padded + option(order, 1, b"comment"))


def read(path: Path, data: bytes, window_bytes: int = 4096) -> Frames:
    path.write_bytes(data)
    return list(read_frames([path], window_bytes))


def failure(path: Path, data: bytes) -> CaptureError:
    with pytest.raises(CaptureError) as caught:
        read(path, data)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert f"byte {caught.value.offset}" in str(caught.value)
    return caught.value


CODECS: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda data: data,
    "gzip": gzip.compress,
    "gzip members": lambda data: b"".join(gzip.compress(data[i : i + 50]) for i in range(0, len(data), 50)),
    "zstd": zstandard.compress,
    "zstd frames": lambda data: b"".join(zstandard.compress(data[i : i + 50]) for i in range(0, len(data), 50)),
    "zstd skippable": lambda data: b"\x5a\x2a\x4d\x18\x03\0\0\0abc" + zstandard.compress(data),
}


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
    data, expected, latest = b"", [], 0
    for frames, order, old in sections:
        data += section(order) + interface(order, offset_s=-5) + interface(order, resolution=9)
        for number, (time_ns, frame) in enumerate(frames):
            time_us = time_ns // 1000 + 5_000_000
            data += block(order, 0x0BAD, b"skip me")
            data += packet(order, time_ns, frame, 1, old) if number % 2 else packet(order, time_us, frame, 0, old)
            latest = max(latest, time_ns)
            expected.append((latest, frame))
    assert read(tmp_path / "capture.bin", CODECS[codec](data)) == expected


@pytest.mark.parametrize("order", "<>")
def test_simple_packets_take_the_time_before_and_the_snap_length(tmp_path: Path, order: str) -> None:
    def simple(frame: bytes, original: int) -> bytes:
        return block(order, 3, struct.pack(order + "I", original) + frame)

    data = section(order) + interface(order, snap_length=16)
    data += simple(b"first", 5) + packet(order, 1_000_000, b"timed") + simple(b"simple", 6) + simple(bytes(16), 20)
    path = tmp_path / "simple.pcapng"
    assert read(path, data) == [(0, b"first"), (10**9, b"timed"), (10**9, b"simple")]
    with Replay([path]) as replay:
        source = drained(replay)
    assert (source.untimed, source.sliced) == (2, 1)


def drained(replay: Replay) -> Source:
    """The first source of the follower, after its last record."""
    cursor = replay.cursors[FOLLOWER]
    while (time_ns := next_record_time(replay.captures, cursor)) != NEVER_NS:
        if time_ns < 0:
            replay.refill()
        else:
            cursor.next_capture = -1
    source: Source = cursor.sources[0]
    return source


@given(st.integers(0, 255), st.integers(0, 2**64 - 1), st.integers(0, 63), st.integers(-(2**32), 2**32))
def test_any_clock_is_exact_or_refused(resolution: int, ticks: int, shift: int, offset_s: int) -> None:
    ticks >>= shift
    clock = Interface(offset_seconds=offset_s)
    is_binary, digits = resolution >= 128, resolution % 128
    if set_resolution(clock, resolution) != 0:
        assert digits > (63 if is_binary else 18)
        return
    exact = Fraction(ticks * 10**9, 2**digits if is_binary else 10**digits)
    time_ns = exact.__floor__() + offset_s * 10**9
    converted = ticks_to_ns(clock, ticks >> 32, ticks & 0xFFFFFFFF)
    if converted < 0:
        assert ticks >= 2**63 or exact > (2**62 // 10**9 - 2) * 10**9 or not 0 <= time_ns < NEVER_NS
    else:
        assert converted == time_ns


def boundaries(data: bytes, blocks: Iterable[bytes]) -> list[int]:
    return [0, *itertools.accumulate(len(part) for part in blocks)]


def test_every_truncation_of_a_pcap_is_named(tmp_path: Path) -> None:
    frames = [(T0, b"one"), (T0 + 1, b""), (T0 + 2, b"three")]
    data = pcap(frames)
    starts = [24, 43, 59, 80]
    assert starts[-1] == len(data)
    for length in range(len(data)):
        cut = data[:length]
        if length in starts:
            assert read(tmp_path / "cut.pcap", cut) == frames[: starts.index(length)]
            continue
        error = failure(tmp_path / "cut.pcap", cut)
        assert error.offset == max((start for start in starts if start < length), default=0)
        if length >= 4:
            assert f"end of the file, byte {length};" in str(error)


@pytest.mark.parametrize("order", "<>")
def test_every_truncation_of_a_pcapng_is_named(tmp_path: Path, order: str) -> None:
    blocks = [section(order), interface(order, 9), packet(order, T0, b"one"), block(order, 5, b"stats"), section(order)]
    data = b"".join(blocks)
    starts = boundaries(data, blocks)
    for length in range(1, len(data)):
        if length in starts:
            assert len(read(tmp_path / "cut.pcapng", data[:length])) == (length >= starts[3])
            continue
        error = failure(tmp_path / "cut.pcapng", data[:length])
        assert error.offset == max(start for start in starts if start < length)
    assert failure(tmp_path / "cut.pcapng", b"").offset == 0


@pytest.mark.parametrize("codec", ["gzip", "gzip members", "zstd", "zstd frames"])
def test_every_truncation_of_a_compressed_capture_is_an_error(tmp_path: Path, codec: str) -> None:
    """Even where the part that is left holds whole records: what is missing is not known."""
    data = CODECS[codec](pcap([(T0, b"one"), (T0 + 1, b"two" * 30)]))
    member_ends = {len(CODECS[codec](pcap([(T0, b"one"), (T0 + 1, b"two" * 30)])[: 50 * n])) for n in (1, 2, 3)}
    for length in range(len(data)):
        if "members" in codec or "frames" in codec:
            if length in member_ends:
                continue
        failure(tmp_path / "cut", data[:length])


def test_garbage_after_a_compressed_capture_is_an_error(tmp_path: Path) -> None:
    for codec in ("gzip", "zstd"):
        data = CODECS[codec](pcap([(T0, b"one")]))
        assert "decompressed stream" in str(failure(tmp_path / "garbage", data + b"garbage"))


LITTLE = section("<") + interface("<")


@pytest.mark.parametrize(
    ("data", "offset", "words"),
    [
        (b"", 0, "empty"),
        (b"hello, this is no capture", 0, "neither pcap nor pcapng: it starts with 68656c6c"),
        (struct.pack("<I", 0xA1B2CD34) + bytes(40), 0, "neither"),
        (pcap([], link_type=113), 20, "link type 113 is not Ethernet"),
        (pcap([], ">", link_type=101), 20, "link type 101"),
        (struct.pack("<IHHiIII", 0xA1B2C3D4, 3, 0, 0, 0, 0, 1), 4, "pcap version 3"),
        (pcap([(T0, b"x")]) + struct.pack("<IIII", 1, 2, 0x40001, 0x40001), 41, "captured length"),
        (pcap([]) + struct.pack("<IIII", 1, 2, 5, 4) + bytes(5), 24, "captured length"),
        (pcap([]) + struct.pack("<IIII", 1, 10**9, 4, 4) + bytes(4), 24, "time stamp"),
        (pcap([], nanosecond=False) + struct.pack("<IIII", 1, 10**6, 4, 4) + bytes(4), 24, "time stamp"),
        (LITTLE + struct.pack("<III", 6, 8, 8), len(LITTLE), "block length"),
        (LITTLE + struct.pack("<III", 6, 13, 13) + b"x", len(LITTLE), "block length"),
        (LITTLE + struct.pack("<III", 5, 12, 16), len(LITTLE), "length at its end"),
        (LITTLE + block("<", 6, bytes(16)), len(LITTLE), "block length"),
        (LITTLE + block("<", 2, bytes(16)), len(LITTLE), "block length"),
        (LITTLE + block("<", 3, b""), len(LITTLE), "block length"),
        (LITTLE + block("<", 1, bytes(4)), len(LITTLE), "block length"),
        (LITTLE + block("<", 0x0A0D0D0A, struct.pack("<I", 0x1A2B3C4D)), len(LITTLE), "block length"),
        (LITTLE + block("<", 0x0A0D0D0A, bytes(16)), len(LITTLE), "byte-order magic"),
        (LITTLE + section("<", major=2), len(LITTLE), "pcapng version"),
        (LITTLE + packet("<", 0, b"x", number=1), len(LITTLE), "not described"),
        (section("<") + packet("<", 0, b"x"), len(section("<")), "not described"),
        (section("<") + block("<", 3, bytes(8)), len(section("<")), "not described"),
        (LITTLE + packet("<", 2**63, b"x"), len(LITTLE), "time stamp"),
        (LITTLE + packet("<", 2**62, b"x"), len(LITTLE), "time stamp"),
        (LITTLE + packet("<", 1, b"xy", original=1), len(LITTLE), "captured length"),
        (LITTLE + block("<", 6, struct.pack("<IIIII", 0, 0, 0, 9, 9) + bytes(8)), len(LITTLE), "captured length"),
        (LITTLE + block("<", 3, struct.pack("<I", 9) + bytes(8)), len(LITTLE), "captured length"),
        (
            LITTLE + interface("<", link_type=228) + packet("<", 1, b"x", 1),
            len(LITTLE) + len(interface("<")),
            "Ethernet",
        ),
        (LITTLE + interface("<", resolution=19), len(LITTLE), "if_tsresol"),
        (LITTLE + interface("<", offset_s=2**40), len(LITTLE), "if_tsoffset"),
        (LITTLE + interface("<", offset_s=-(2**63)), len(LITTLE), "if_tsoffset"),
        (LITTLE + block("<", 1, struct.pack("<HHI", 1, 0, 0) + struct.pack("<HH", 2, 99)), len(LITTLE), "option"),
        (LITTLE + block("<", 1, struct.pack("<HHI", 1, 0, 0) + option("<", 9, b"ab")), len(LITTLE), "option"),
        (LITTLE + block("<", 1, struct.pack("<HHI", 1, 0, 0) + option("<", 14, b"ab")), len(LITTLE), "option"),
        (section("<") + interface("<") * 65, len(section("<")) + 64 * len(interface("<")), "more interfaces"),
        (pcap([]) + struct.pack("<IIII", 1, 2, 5000, 5000) + bytes(5000), 24, "longer than the window of 4096"),
    ],
)
def test_bad_files_are_named_by_byte_and_reason(tmp_path: Path, data: bytes, offset: int, words: str) -> None:
    error = failure(tmp_path / "bad.pcap", data)
    assert words in str(error)
    assert error.offset == offset
    again = failure(tmp_path / "bad.pcap.gz", gzip.compress(data))
    assert again.offset == offset
    assert "of the decompressed stream" in str(again)


def test_frames_before_a_bad_byte_are_read(tmp_path: Path) -> None:
    path = tmp_path / "bad.pcap"
    path.write_bytes(pcap([(T0, b"one"), (T0, b"two")])[:-1])
    frames = read_frames([path])
    assert next(frames) == (T0, b"one")
    with pytest.raises(CaptureError, match=r"byte 43.*cut off"):
        next(frames)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match=r"nothing\.pcap.*No such file"):
        Replay([tmp_path / "nothing.pcap"])


@pytest.mark.parametrize("order", "<>")
def test_sliced_records_are_counted_and_skipped(tmp_path: Path, order: str) -> None:
    frames = [(T0 + n, b"0123456789"[:n]) for n in range(10)]
    kept = [frame for frame in frames if len(frame[1]) <= 6]
    data = section(order) + interface(order, 9)
    data += b"".join(packet(order, time_ns, frame[:6], original=len(frame)) for time_ns, frame in frames)
    for name, content in (("sliced.pcap", pcap(frames, order, slice_to=6)), ("sliced.pcapng", data)):
        assert read(tmp_path / name, content) == kept
        with Replay([tmp_path / name]) as replay:
            assert drained(replay).sliced == 3


def test_time_never_goes_back_within_a_file(tmp_path: Path) -> None:
    data = pcap([(T0, b"a"), (T0 - 5, b"b"), (T0 + 1, b"c"), (T0, b"d")])
    assert read(tmp_path / "late.pcap", data) == [(T0, b"a"), (T0, b"b"), (T0 + 1, b"c"), (T0 + 1, b"d")]
    with Replay([tmp_path / "late.pcap"]) as replay:
        assert drained(replay).out_of_order == 2


@settings(max_examples=300)
@given(
    st.booleans(),
    orders,
    frames_lists,
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6),
    st.floats(0, 1),
)
def test_mutated_captures_never_read_past_the_window(
    is_pcapng: bool, order: str, frames: Frames, mutations: list[tuple[float, int]], cut: float
) -> None:
    data = bytearray(b"".join(packet(order, time_ns, frame) for time_ns, frame in frames))
    data[:0] = section(order) + interface(order, 9, 0) + block(order, 3, struct.pack(order + "I", 3) + b"spb")
    if not is_pcapng:
        data = bytearray(pcap(frames, order)[24:])
    for place, value in mutations:
        if data:
            data[int(place * len(data))] = value
    data = data[: int(cut * len(data))]
    with GuardedBytes() as guarded:
        capture = Capture(end_offset=len(data), end_of_file=1, is_pcapng=is_pcapng, swapped=order == ">")
        capture.base_address = guarded.place(bytes(data))
        capture.ticks_per_second, capture.ns_per_tick = 10**9, 1
        source = Source()
        read_count = 0
        while read_record(capture, source) == SourceState.READY:
            assert 0 <= source.frame_offset <= source.frame_offset + source.frame_length <= source.position <= len(data)
            assert 0 <= source.time_ns < NEVER_NS
            read_count += 1
            assert read_count <= len(data)
        assert source.state in (SourceState.ENDED, SourceState.FAULTY)
        assert source.state == SourceState.FAULTY or source.position == len(data)


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
