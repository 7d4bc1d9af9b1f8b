"""Compiling as a user meets it: it says what and since when, Ctrl-C ends it, and the next run needs no compiler."""

import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest

from crosswire.engine.generate import generate_captures
from crosswire.nic.unit.compile import NO_JIT
from tests.support.paths import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.skipif(NO_JIT, reason="compilation is off")]
PATIENCE_S = 120
# What a script starts in the background ignores Ctrl-C; these tests may be.
RUN = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from crosswire.engine.cli import main
try:
    main()
finally:
    print("numba" in sys.modules, "llvmlite" in sys.modules, file=sys.stderr)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compiling")
    generate_captures(folder / "data" / "synthetic", seed=1, seconds=1)
    (folder / "examples").mkdir()
    text = (ROOT / "examples" / "synthetic.toml").read_text().replace("seconds = 120", "seconds = 1")
    (folder / "examples" / "run.toml").write_text(text)
    return folder


def command(folder: Path) -> list[str]:
    config = folder / "examples" / "run.toml"
    return [sys.executable, "-c", RUN, "backtest", str(config), "--no-report", "-o", str(folder / "runs")]


@dataclass(frozen=True)
class FirstRun:
    """A run that compiled everything, and where to."""

    said: subprocess.CompletedProcess[str]
    cache: Path

    def leave_out(self, folder: Path, *names: str) -> Path:
        """A copy of the cache in `folder` without the units whose names begin so: those are compiled again."""
        copy = folder / "cache"
        shutil.copytree(self.cache, copy)
        left_out = [path for path in (copy / "units").iterdir() if path.name.startswith(names)]
        assert left_out
        for path in left_out:
            path.unlink()
        return copy


def runs_of(folder: Path) -> list[Path]:
    """The folders of the runs so far."""
    return sorted(folder.glob("runs/synthetic/*"))


@pytest.fixture(scope="module")
def first_run(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> FirstRun:
    cache = tmp_path_factory.mktemp("first") / "cache"
    environment = os.environ | {"CROSSWIRE_CACHE": str(cache)}
    return FirstRun(subprocess.run(command(folder), env=environment, capture_output=True, text=True, check=True), cache)


def test_the_first_run_says_what_it_compiles_and_the_next_imports_no_compiler(
    folder: Path, first_run: FirstRun
) -> None:
    environment = os.environ | {"CROSSWIRE_CACHE": str(first_run.cache)}
    first = first_run.said
    said = first.stderr.splitlines()
    assert said[0].startswith("compiling ")
    compiled = [line.partition(" in ")[0] for line in said if line.startswith("compiled")]
    # The last one reads funding behind the run, out of the captures of the one venue that tells it.
    assert compiled[-2:] == ["compiled 9 units", "compiled 1 unit"]
    # Not even the first: what compiles is processes of their own.
    assert said[-1] == "False True"
    again = subprocess.run(command(folder), env=environment, capture_output=True, text=True, check=True)
    assert again.stderr == "False True\n"
    digests = [line.split() for run in (first, again) for line in run.stdout.splitlines() if "Digest" in line]
    assert digests[0] == digests[1]


def test_on_a_terminal_it_is_one_line_that_changes(folder: Path, first_run: FirstRun, tmp_path: Path) -> None:
    cache = first_run.leave_out(tmp_path, "strategy-")
    environment = os.environ | {"CROSSWIRE_CACHE": str(cache), "TERM": "xterm"}
    screen, terminal = pty.openpty()
    with subprocess.Popen(
        command(folder), env=environment, stdin=terminal, stdout=subprocess.DEVNULL, stderr=terminal
    ) as process:
        os.close(terminal)
        said = b""
        while b"compiled" not in said:
            said += os.read(screen, 4096)
        assert process.wait(PATIENCE_S) == 0
    os.close(screen)
    lines = said.decode().split("\r")
    assert sum("compiling" in line for line in lines) > 10
    assert said.count(b"\n") == 1
    assert " s)" in lines[-3]


def children_of(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


@contextmanager
def compiling(folder: Path, cache: Path) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes], list[int]]]:
    """A run that has begun to compile: its process, what it says from there on, and its compilers."""
    with subprocess.Popen(
        command(folder),
        env=os.environ | {"CROSSWIRE_CACHE": str(cache)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith(b"compiling")
        compilers = children_of(process.pid)
        assert compilers
        yield process, process.stderr, compilers


def test_control_c_ends_it_at_once_and_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    """The compilers are killed rather than asked: LLVM's passes would go on for seconds."""
    with compiling(folder, tmp_path / "cache") as (process, said, compilers):
        time.sleep(1)
        # The terminal's Ctrl-C reaches a compiler before the run as often as after it.
        for compiler in compilers:
            os.kill(compiler, signal.SIGINT)
        time.sleep(0.2)
        assert all(is_running(compiler) for compiler in compilers)
        os.killpg(process.pid, signal.SIGINT)
        rest = said.read()
        assert process.wait(PATIENCE_S) == 130
    assert b"Traceback" not in rest
    assert b"compiled" not in rest
    assert not [child for child in compilers if Path(f"/proc/{child}").exists()]
    # What was finished by then is whole; nothing else is there.
    assert all(path.suffix == ".unit" for path in (tmp_path / "cache" / "units").iterdir())


def test_a_killed_run_leaves_no_compiler_behind(folder: Path, tmp_path: Path) -> None:
    with compiling(folder, tmp_path / "cache") as (process, _, compilers):
        process.kill()
        process.wait()
        begun = time.monotonic()
        while any(is_running(child) for child in compilers):
            assert time.monotonic() - begun < PATIENCE_S
            time.sleep(0.01)


def test_a_compiler_that_dies_ends_the_run_in_one_line(folder: Path, first_run: FirstRun, tmp_path: Path) -> None:
    """As one that the kernel killed for want of memory: nothing is left behind, and the next run compiles."""
    cache = first_run.leave_out(tmp_path, "strategy-")
    before = runs_of(folder)
    with compiling(folder, cache) as (process, said, compilers):
        for compiler in compilers:
            os.kill(compiler, signal.SIGKILL)
        lines = [line for line in said.read().splitlines() if not line.startswith(b"compiling ")]
        assert process.wait(PATIENCE_S) == 1
    assert b" died: is there memory left?" in lines[0]
    assert len(lines) == 2
    assert runs_of(folder) == before
    subprocess.run(command(folder), env=os.environ | {"CROSSWIRE_CACHE": str(cache)}, capture_output=True, check=True)


def test_a_host_that_starts_no_process_is_one_line(folder: Path, tmp_path: Path) -> None:
    refuse = "import os\ndef refuse(): raise OSError(11, os.strerror(11))\nos.fork = refuse\n"
    environment = os.environ | {"CROSSWIRE_CACHE": str(tmp_path / "cache")}
    line = [*command(folder)[:2], refuse + RUN, *command(folder)[3:]]
    refused = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    said = refused.stderr.splitlines()
    assert said[0] == "crosswire: compiling: no process can be started for it: Resource temporarily unavailable"
    assert len(said) == 2


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_store_that_others_can_write_ends_the_run_in_one_line(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    (cache / "units").mkdir(parents=True)
    (cache / "units").chmod(0o777)
    before = runs_of(folder)
    environment = os.environ | {"CROSSWIRE_CACHE": str(cache)}
    refused = subprocess.run(command(folder), env=environment, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[0].startswith(f"crosswire: {cache / 'units'} can be written to by others")
    assert len(refused.stderr.splitlines()) == 2
    assert list((cache / "units").iterdir()) == []
    assert runs_of(folder) == before
