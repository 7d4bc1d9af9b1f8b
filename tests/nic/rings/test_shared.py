"""The shared wire: two processes, index wrap-around, bad files, bad descriptors, one owner for each end."""

import ctypes
import multiprocessing
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from crosswire.nic.host.process import HostError
from crosswire.nic.memory.raw import load_i64, store_i64
from crosswire.nic.memory.struct import view
from crosswire.nic.rings.ring import Frame, commit, poll, release, reserve
from crosswire.nic.rings.shared import SharedDescriptor, SharedHeader, SharedMemory, way_bytes
from tests.support.ring_cases import make_batch, receive_all, send_all, take

ECHOED = 2000


@pytest.fixture
def name() -> str:
    return f"crosswire-test-{os.getpid()}-shared"


@pytest.fixture
def memory(name: str) -> Iterator[SharedMemory]:
    with SharedMemory(name, create=True, frames=8, frame_bytes=256) as memory:
        yield memory


def echo(name: str, count: int) -> None:
    """The other process: sends back what it gets, its bytes inverted."""
    with SharedMemory(name, create=False) as memory:
        ring, frame = memory.end(1), Frame()
        deadline_s = time.monotonic() + 60
        while count > 0 and time.monotonic() < deadline_s:
            if not poll(ring, frame, 1):
                continue
            answer = bytes(byte ^ 0xFF for byte in ctypes.string_at(frame.address, frame.length))
            release(ring)
            while send_all(ring, [answer], 1) == 0:
                pass
            count -= 1


def test_two_processes(name: str) -> None:
    with SharedMemory(name, create=True, frames=64, frame_bytes=256) as memory:
        ring = memory.end(0)
        process = multiprocessing.get_context("spawn").Process(target=echo, args=(name, ECHOED))
        process.start()
        sent, got = 0, []
        batch = make_batch()
        deadline_s = time.monotonic() + 60
        while len(got) < ECHOED and time.monotonic() < deadline_s:
            if sent < ECHOED:
                sent += send_all(ring, [sent.to_bytes(4, "big") * (1 + sent % 50)], 1)
            batch.count = batch.bytes = 0
            if take(ring, Frame(), 1, batch, 64):
                got += batch.frames()
        process.join(30)
        assert process.exitcode == 0
    expected = [
        bytes(byte ^ 0xFF for byte in number.to_bytes(4, "big") * (1 + number % 50)) for number in range(ECHOED)
    ]
    assert got == expected


def test_indexes_wrap_at_32_bits(memory: SharedMemory) -> None:
    left, right = memory.end(0), memory.end(1)
    start = 0xFFFF_FFFB
    for way in (left.transmit, right.receive):
        way.index = start
        ctypes.c_uint32.from_address(way.producer_address).value = start
        ctypes.c_uint32.from_address(way.consumer_address).value = start
    for turn in range(5):
        frames = [bytes([turn, index]) * 20 for index in range(8)]
        assert send_all(left, [*frames, b"too many"], 1) == 8
        assert receive_all(right, 1) == frames
    assert left.transmit.index == right.receive.index == (start + 40) & 0xFFFF_FFFF
    assert left.counters.drops == 5


def test_received_bytes_are_the_shared_ones(memory: SharedMemory) -> None:
    left, right, frame = memory.end(0), memory.end(1), Frame()
    address = reserve(left, 8)
    store_i64(address, 1234)
    commit(left, 8, 1)
    assert poll(right, frame, 77)
    assert (frame.address, frame.length, frame.time_ns) == (address, 8, 77)
    store_i64(address, 5678)
    assert load_i64(frame.address) == 5678


@pytest.mark.parametrize(("offset", "length"), [(-1, 8), (1 << 40, 8), (0, 0xFFFF_FFFF), (8 * 256 - 4, 5)])
def test_a_descriptor_outside_the_area_is_dropped(memory: SharedMemory, offset: int, length: int) -> None:
    left, right, frame = memory.end(0), memory.end(1), Frame()
    send_all(left, [b"bad", b"good"], 1)
    descriptor = view(SharedDescriptor, right.receive.descriptors_address)
    descriptor.offset, descriptor.length = offset, length
    assert not poll(right, frame, 1)
    assert right.counters.drops == 1
    assert receive_all(right, 1) == [b"good"]
    assert send_all(left, [b"x"] * 9, 1) == 8


def test_an_end_goes_on_where_it_was_left(name: str, memory: SharedMemory) -> None:
    left = memory.end(0)
    with SharedMemory(name, create=False) as other:
        right = other.end(1)
        send_all(left, [b"one", b"two", b"three"], 1)
        frame = Frame()
        assert poll(right, frame, 1)
        release(right)
    with SharedMemory(name, create=False) as other:
        right = other.end(1)
        assert receive_all(right, 1) == [b"two", b"three"]
        send_all(right, [b"back"], 1)
    assert receive_all(left, 1) == [b"back"]


def test_an_end_has_one_owner(name: str, memory: SharedMemory) -> None:
    memory.end(0)
    with pytest.raises(HostError, match="end 0 is in use by this process"):
        memory.end(0)
    with SharedMemory(name, create=False) as other:
        with pytest.raises(HostError, match="end 0 is in use; stop the process"):
            other.end(0)
        other.end(1)
    with pytest.raises(ValueError, match="end 2"):
        memory.end(2)


def test_files_that_are_no_shared_ring(name: str, memory: SharedMemory, tmp_path: Path) -> None:
    with pytest.raises(HostError, match="exists already"):
        SharedMemory(name, create=True)
    with pytest.raises(HostError, match="No such file"):
        SharedMemory(tmp_path / "none", create=False)
    good = memory.path.read_bytes()
    header = SharedHeader()
    cases: list[tuple[bytes, str]] = [
        (b"", "is no shared ring"),
        (b"\0" * len(good), "is no shared ring"),
        (good[:-1], "must have"),
        (good[: SharedHeader.size], "must have"),
    ]
    for field, value, message in [
        ("version", 9, "version 9"),
        ("frames", 7, "7 frames"),
        ("frames", -8, "-8 frames"),
        ("frame_bytes", 100, "frames of 100 bytes"),
        ("total_bytes", 1, "must have"),
    ]:
        ctypes.memmove(header.address, good, SharedHeader.size)
        setattr(header, field, value)
        cases.append((bytes(header) + good[SharedHeader.size :], message))
    for number, (data, message) in enumerate(cases):
        path = tmp_path / str(number)
        path.write_bytes(data)
        with pytest.raises(HostError, match=message):
            SharedMemory(path, create=False)


@pytest.mark.parametrize(("frames", "frame_bytes"), [(0, 256), (7, 256), (1 << 21, 256), (8, 100), (8, 1 << 20)])
def test_sizes_out_of_range(tmp_path: Path, frames: int, frame_bytes: int) -> None:
    with pytest.raises(HostError, match="must be"):
        SharedMemory(tmp_path / "ring", create=True, frames=frames, frame_bytes=frame_bytes)
    assert not (tmp_path / "ring").exists()


def test_the_creator_removes_the_file(tmp_path: Path) -> None:
    path = tmp_path / "ring"
    with SharedMemory(path, create=True, frames=2, frame_bytes=64), SharedMemory(path, create=False):
        assert path.stat().st_size == 4096 + 2 * way_bytes(2, 64)
    assert not path.exists()
