"""Units on disk: whole or not at all, believed only from where nobody else can write, and free of absolute paths."""

import os
import shutil
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.nic.unit import store
from crosswire.nic.unit.compile import NO_JIT
from crosswire.nic.unit.store import (
    StoredUnit,
    StoreError,
    check_place,
    decode_unit,
    encode_unit,
    prepare_store,
    read_unit,
    unit_path,
    write_unit,
)
from tests.support.paths import ROOT

UNIT = StoredUnit(
    name="noises",
    key="0123456789abcdef01234567",
    compiler="numba 0.68.1 level 1",
    returns={"call": "i64"},
    faults={1_234_567: "ZeroDivisionError: division by zero (mine.py:12)"},
    symbols=["send"],
    object_code=b"\x7fELF" + bytes(range(256)),
)
SOMEBODY = 12_345


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "units"
    prepare_store(folder)
    return folder


def test_what_is_written_is_read(folder: Path) -> None:
    write_unit(folder, UNIT)
    assert read_unit(folder, UNIT.name, UNIT.key) == UNIT
    assert read_unit(folder, UNIT.name, "f" * 24) is None
    assert [path.name for path in folder.iterdir()] == [unit_path(folder, UNIT.name, UNIT.key).name]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(unit_path(folder, UNIT.name, UNIT.key).stat().st_mode) == 0o600


@given(position=st.integers(0, len(encode_unit(UNIT)) - 1), bit=st.integers(0, 7))
def test_a_flipped_bit_is_found(position: int, bit: int) -> None:
    data = bytearray(encode_unit(UNIT))
    data[position] ^= 1 << bit
    with pytest.raises(StoreError, match=r"^here: .*; remove it$"):
        decode_unit(bytes(data), "here")


@given(length=st.integers(0, len(encode_unit(UNIT)) - 1))
def test_a_file_cut_off_is_found(length: int) -> None:
    with pytest.raises(StoreError, match=r"^here: .*; remove it$"):
        decode_unit(encode_unit(UNIT)[:length], "here")


def test_a_file_under_another_units_name_is_refused(folder: Path) -> None:
    write_unit(folder, UNIT)
    other = "f" * 24
    shutil.copy(unit_path(folder, UNIT.name, UNIT.key), unit_path(folder, UNIT.name, other))
    with pytest.raises(StoreError, match="holds the unit noises-0123456789abcdef01234567; remove it"):
        read_unit(folder, UNIT.name, other)


def test_a_link_is_not_followed(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(encode_unit(UNIT))
    unit_path(folder, UNIT.name, UNIT.key).symlink_to(elsewhere)
    with pytest.raises(StoreError, match="can't be read: Too many levels of symbolic links; remove it"):
        read_unit(folder, UNIT.name, UNIT.key)


def test_a_file_that_others_can_write_is_refused(folder: Path) -> None:
    path = write_unit(folder, UNIT)
    for mode in (0o620, 0o602):
        path.chmod(mode)
        with pytest.raises(StoreError, match="can be written to by, another user; remove it"):
            read_unit(folder, UNIT.name, UNIT.key)


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
def test_a_folder_that_others_can_write_is_refused_wherever_it_lies(tmp_path: Path, mode: int) -> None:
    for place in ("", "below", "below/further"):
        folder = tmp_path / f"a{mode:o}{place.replace('/', '')}"
        prepare_store(folder / "below" / "further")
        (folder / place).chmod(mode)
        with pytest.raises(StoreError, match=f"{folder / place} can be written to by others.*chmod go-w"):
            prepare_store(folder / "below" / "further")


def test_a_sticky_folder_above_is_no_danger(tmp_path: Path) -> None:
    """As /tmp: others can add files there, but not replace ours. As the store itself it would be one."""
    above = tmp_path / "above"
    above.mkdir()
    above.chmod(0o1777)
    prepare_store(above / "units")
    with pytest.raises(StoreError, match="can be written to by others"):
        check_place(above)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user")
def test_another_users_place_is_refused(folder: Path, tmp_path: Path) -> None:
    path = write_unit(folder, UNIT)
    os.chown(path, SOMEBODY, SOMEBODY)
    with pytest.raises(StoreError, match="belongs to, or can be written to by, another user"):
        read_unit(folder, UNIT.name, UNIT.key)
    os.chown(folder, SOMEBODY, SOMEBODY)
    with pytest.raises(StoreError, match=f"belongs to user {SOMEBODY}, who could change machine code"):
        prepare_store(folder)
    os.chown(folder, 0, 0)
    os.chown(tmp_path, SOMEBODY, SOMEBODY)
    with pytest.raises(StoreError, match=f"{tmp_path} belongs to user {SOMEBODY}"):
        prepare_store(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user")
def test_another_users_link_on_the_way_is_refused(tmp_path: Path) -> None:
    """It leads to a good folder now; its owner can turn it elsewhere when that has been checked."""
    prepare_store(tmp_path / "good" / "units")
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    link = shared / "cache"
    link.symlink_to("../good")
    prepare_store(link / "units")  # our own link in a folder where others can't replace it
    os.chown(link, SOMEBODY, SOMEBODY, follow_symlinks=False)
    with pytest.raises(StoreError, match=f"^{link} belongs to user {SOMEBODY}, who could change machine code"):
        prepare_store(link / "units")
    with pytest.raises(StoreError, match=f"^{link} belongs to user {SOMEBODY}"):
        prepare_store(link / "new" / "units")
    assert not (tmp_path / "good" / "new").exists()  # nothing is made behind it
    # The folder that a link of ours lies in counts as well: whoever may write there can replace the link.
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    (open_to_all / "cache").symlink_to(tmp_path / "good")
    open_to_all.chmod(0o777)
    with pytest.raises(StoreError, match=f"^{open_to_all} can be written to by others"):
        prepare_store(open_to_all / "cache" / "units")


def test_links_in_a_circle_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(StoreError, match=f"^{tmp_path}/a.*: Too many levels of symbolic links"):
        prepare_store(tmp_path / "a" / "units")


def test_a_store_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="can't be made: Not a directory; name another folder in CROSSWIRE_CACHE"):
        prepare_store(tmp_path / "file" / "units")


def test_the_longest_unused_make_room(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "UNITS_MAX", 3)
    for number in range(3):
        path = write_unit(folder, replace(UNIT, key=f"{number:024x}"))
        os.utime(path, (1000 + number, 1000 + number))
    assert read_unit(folder, UNIT.name, f"{0:024x}") is not None  # used now
    write_unit(folder, replace(UNIT, key=f"{3:024x}"))
    kept = [number for number in range(4) if read_unit(folder, UNIT.name, f"{number:024x}") is not None]
    assert kept == [0, 2, 3]


def test_a_unit_that_makes_room_while_it_is_read_is_still_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_unit(folder, UNIT)

    def decode(data: bytes, where: object) -> StoredUnit:
        path.unlink()  # another process's store was full
        return decode_unit(data, where)

    monkeypatch.setattr(store, "decode_unit", decode)
    assert read_unit(folder, UNIT.name, UNIT.key) == UNIT


def test_what_a_killed_process_left_goes_in_time(folder: Path) -> None:
    left, being_written = folder / f"{store.NEW}old", folder / f"{store.NEW}new"
    left.touch()
    being_written.touch()
    long_ago = time.time() - store.STALE_S - 1
    os.utime(left, (long_ago, long_ago))
    path = write_unit(folder, UNIT)
    assert set(folder.iterdir()) == {being_written, path}


def test_a_full_disk_leaves_nothing_half_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store.os, "replace", fail)
    with pytest.raises(OSError, match="No space left"):
        write_unit(folder, UNIT)
    assert list(folder.iterdir()) == []


COMPILE_AND_CALL = """
import sys
from crosswire.nic.unit.call import machine_code
from helper.arithmetic import divide

print(machine_code(divide)(7, 2), "numba" in sys.modules)
try:
    machine_code(divide)(7, 0)
except ZeroDivisionError as error:
    print(error)
"""
ARITHMETIC = """
from crosswire.nic.unit.compile import compiled


@compiled
def divide(value: int, divisor: int) -> int:
    return value // divisor
"""


@pytest.mark.skipif(NO_JIT, reason="compilation is off")
def test_a_unit_has_no_path_in_it_and_serves_wherever_it_and_its_sources_are_moved(tmp_path: Path) -> None:
    def run(place: Path, cache: Path) -> str:
        environment = os.environ | {"PYTHONPATH": str(place), "CROSSWIRE_CACHE": str(cache)}
        command = [sys.executable, "-c", COMPILE_AND_CALL]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    first, second = tmp_path / "first", tmp_path / "second"
    (first / "helper").mkdir(parents=True)
    (first / "helper" / "arithmetic.py").write_text(ARITHMETIC)
    said = run(first, tmp_path / "cache")
    assert said == "3 False\ninteger division by zero (arithmetic.py:7)\n"
    (path,) = (tmp_path / "cache" / "units").iterdir()
    made = path.stat()
    content = path.read_bytes()
    for absolute in (tmp_path, ROOT, Path.home()):
        assert f"{absolute}/".encode() not in content or absolute == Path("/")
    first.rename(second)
    (tmp_path / "cache").rename(tmp_path / "moved")
    assert run(second, tmp_path / "moved") == said
    (path,) = (tmp_path / "moved" / "units").iterdir()
    assert (path.stat().st_ino, path.read_bytes()) == (made.st_ino, content)


@pytest.mark.skipif(NO_JIT, reason="compilation is off")
def test_a_unit_for_any_recent_x86_server_runs_here(tmp_path: Path) -> None:
    (tmp_path / "helper").mkdir()
    (tmp_path / "helper" / "arithmetic.py").write_text(ARITHMETIC)
    environment = os.environ | {
        "PYTHONPATH": str(tmp_path),
        "CROSSWIRE_CACHE": str(tmp_path / "cache"),
        "CROSSWIRE_PROCESSOR": "x86-64-v3",
    }
    command = [sys.executable, "-c", COMPILE_AND_CALL]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert said.startswith("3 False\n")
    (path,) = (tmp_path / "cache" / "units").iterdir()
    assert "processor x86-64-v3" in decode_unit(path.read_bytes(), path).compiler
