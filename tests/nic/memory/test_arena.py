"""Goal: what one process builds in shared memory another sees as it is, and can't change, whatever ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import pytest

from crosswire.nic.host.process import HostError
from crosswire.nic.memory.arena import (
    FIRST_ADDRESS,
    GROW_BYTES,
    SHARED_FOLDER,
    SHARED_PREFIX,
    Arena,
    ArenaReader,
    remove_left,
)
from crosswire.nic.memory.struct import (
    LARGE_PAGE_BYTES,
    Array,
    Pointer,
    Reference,
    Struct,
    address_of,
    array,
    arrays,
    i64,
    u8,
)


class Inner(Struct):
    value: i64


class Outer(Struct):
    address_of_itself: i64
    inner: Annotated[Inner, Reference]
    values: Annotated[Pointer, i64]
    elsewhere: Annotated[Pointer, i64]
    lost: Annotated[Inner, Reference]


class Key(Struct, hidden=("secret",)):
    secret: Annotated[Array, u8, 8]


class HasKey(Struct):
    key: Key


class RefersToKey(Struct):
    key: Annotated[Key, Reference]


def is_in(arena: Arena, struct: Struct | Array) -> bool:
    return arena.address <= address_of(struct) < arena.address + arena.mapped_bytes


def make_outer(arena: Arena) -> Outer:
    with arena.allocating():
        outer = Outer()
        outer.inner = Inner(value=7)
        outer.values = array(i64, 3)
    outer.address_of_itself = address_of(outer)
    outer.values[2] = 9
    outer.elsewhere = array(i64, 3)
    outer.lost = Inner(value=1)
    return outer


READER = """
import ctypes, sys
from pathlib import Path
from crosswire.nic.memory.arena import ArenaReader
from tests.nic.memory.test_arena import Outer

with ArenaReader(Path(sys.argv[1]), 64) as reader:
    address = int.from_bytes(reader.header[:8], "little")
    reader.map(address)
    outer = Outer.at(address, reader.memory)
    print(outer.inner.value, outer.values[2], reader.is_alive(), flush=True)
    far = 1 << 40
    for read in (
        lambda: outer.elsewhere[0], lambda: outer.lost, lambda: outer.values[far], lambda: outer.values.numpy(far)
    ):
        try:
            read()
        except ValueError as error:
            assert "not shared" in str(error)
        else:
            raise SystemExit("followed out of it")
    if sys.argv[2] == "write":
        outer.values[2] = 1
        print("written")
"""


def read_in_child(link: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", READER, str(link), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_another_process_reads_and_can_not_write(tmp_path: Path) -> None:
    with Arena() as arena:
        outer = make_outer(arena)
        arena.publish(tmp_path / "memory")
        read = read_in_child(tmp_path / "memory", "read")
        assert (read.returncode, read.stdout) == (0, "7 9 True\n"), read.stderr
        written = read_in_child(tmp_path / "memory", "write")
        assert (written.returncode, written.stdout) == (-signal.SIGSEGV, "7 9 True\n")
        assert outer.values[2] == 9
    assert not (tmp_path / "memory").is_symlink()
    with pytest.raises(HostError, match="no run is being traded there"):
        ArenaReader(tmp_path / "memory", 64)
    assert outer.inner.value == 7  # who has a struct of it keeps its memory


def test_only_what_is_made_meanwhile_and_holds_no_secret_lies_there() -> None:
    with Arena() as arena:
        before = Inner()
        with arena.allocating():
            inside = [Inner(), Inner.array(3), array(u8, 100), *arrays((i64, 5), (Inner, 2)), RefersToKey()]
            secret = [Key(), HasKey(), Key.array(2), *arrays((i64, 5), (HasKey, 2))]
        assert [is_in(arena, each) for each in inside] == [True] * len(inside)
        assert [is_in(arena, each) for each in (before, Inner(), *secret)] == [False] * (2 + len(secret))


def test_it_grows_by_zeros_at_its_own_addresses() -> None:
    with Arena() as arena:
        assert arena.address >= FIRST_ADDRESS
        with arena.allocating():
            first = array(u8, 100)
            first[99] = 1
            large = array(u8, 3 * GROW_BYTES)
            (pages,) = arrays((i64, 1 << 18), in_large_pages=True)
        assert address_of(pages) % LARGE_PAGE_BYTES == 0
        assert not large.numpy().any()
        large[3 * GROW_BYTES - 1] = pages[(1 << 18) - 1] = 5
        assert (first[99], large[3 * GROW_BYTES - 1], pages[(1 << 18) - 1]) == (1, 5, 5)
        arena.use_large_pages()
        assert (first[99], large[3 * GROW_BYTES - 1], pages[(1 << 18) - 1]) == (1, 5, 5)


def test_it_says_when_there_is_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_file: int, _offset: int, _length: int) -> None:
        raise OSError(28, "No space left on device")

    with Arena() as arena, arena.allocating():
        array(u8, 100)
        monkeypatch.setattr(os, "posix_fallocate", refuse)
        with pytest.raises(HostError, match="No space left on device; enlarge it"):
            array(u8, 2 * GROW_BYTES)


WRITER = """
import sys, time
from pathlib import Path
from crosswire.nic.memory.arena import Arena
arena = Arena()
arena.publish(Path(sys.argv[1]))
print(arena.shared.path.name, flush=True)
time.sleep(60)
"""


def test_what_a_killed_process_leaves_is_removed_and_nothing_else(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path / "memory")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer, Arena() as arena:
        assert writer.stdout is not None
        name = writer.stdout.readline().strip()
        assert name.startswith(SHARED_PREFIX)
        with ArenaReader(tmp_path / "memory", 64) as reader:
            remove_left()
            assert (SHARED_FOLDER / name).exists()
            assert reader.is_alive()
            writer.kill()
            writer.wait()
            assert not reader.is_alive()
            assert remove_left() >= 1
        assert not (SHARED_FOLDER / name).exists()
        assert arena.shared.path.exists()


def test_another_users_file_is_not_believed(tmp_path: Path) -> None:
    with Arena() as arena:
        arena.shared.path.chmod(0o644)
        arena.publish(tmp_path / "memory")
        with pytest.raises(HostError, match="others can reach it"):
            ArenaReader(tmp_path / "memory", 64)
