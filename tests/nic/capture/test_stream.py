"""Compressed files, inflated ahead by a thread: the same bytes and ends as without it, and no thread that stays."""

import gzip
import random
import threading
from pathlib import Path

import pytest

from crosswire.nic.capture.stream import AHEAD_CHUNKS, INFLATE_BYTES, ReadAhead, open_stream

DATA = random.Random(7).randbytes(INFLATE_BYTES * (AHEAD_CHUNKS + 3) + 5)


def opened(path: Path, data: bytes) -> ReadAhead:
    path.write_bytes(data)
    stream, is_inflated = open_stream(path)
    assert is_inflated
    return ReadAhead(stream)


def inflating() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "inflate"]


def read_all(stream: ReadAhead, step_bytes: int) -> bytes:
    target, data = bytearray(step_bytes), bytearray()
    while count := stream.readinto(target):
        assert stream.problem == ""
        data += target[:count]
    return bytes(data)


@pytest.mark.parametrize("step_bytes", [1000, INFLATE_BYTES - 1, 1 << 20])
def test_all_bytes_in_order(tmp_path: Path, step_bytes: int) -> None:
    with opened(tmp_path / "whole.gz", gzip.compress(DATA, 1)) as stream:
        assert read_all(stream, step_bytes) == DATA
        assert stream.readinto(bytearray(1)) == 0
        assert stream.problem == ""
    assert inflating() == []


def test_a_cut_is_told_when_it_has_been_read(tmp_path: Path) -> None:
    with opened(tmp_path / "cut.gz", gzip.compress(DATA, 1)[:-1000]) as stream:
        data = read_all(stream, 1 << 20)
        assert len(data) < len(DATA)
        assert DATA.startswith(data)
        assert stream.problem == "a compressed stream is cut off by the end of the file"
    assert stream.problem != ""  # it is asked for after the file is closed


@pytest.mark.parametrize("failure", [OSError("disk on fire"), MemoryError("none left")])
def test_a_failure_reaches_the_reader_each_time_it_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    def fail(*_arguments: object) -> bytes:
        raise failure

    monkeypatch.setattr("crosswire.nic.capture.stream.InflatedStream._inflate", fail)
    with opened(tmp_path / "bad.gz", gzip.compress(b"x")) as stream:
        for _ in range(2):
            with pytest.raises(type(failure), match=str(failure)):
                stream.readinto(bytearray(10))


def test_closing_ends_the_thread_that_waits_for_room(tmp_path: Path) -> None:
    stream = opened(tmp_path / "long.gz", gzip.compress(DATA, 1))
    assert stream.readinto(bytearray(10)) == 10
    assert len(inflating()) == 1
    stream.close()
    assert inflating() == []
