"""docs/tutorial.md, block by block: in an empty folder and home, in a fresh environment, from a wheel.

What its commands install comes from this environment instead of an index. Machine code comes from the store that other
tests use too, so that what has not changed is not compiled anew.
"""

import ast
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import HTTPCookieProcessor, build_opener

import pytest

from crosswire.nic.unit.compile import NO_JIT
from crosswire.nic.unit.store import store_folder
from tests import wheel
from tests.support.paths import ROOT

pytestmark = [pytest.mark.tutorial, pytest.mark.skipif(NO_JIT, reason="compilation is off")]

PAGE = ROOT / "docs" / "tutorial.md"
LIVE = "## Let it trade"
TESTBED = "tu"
# Shorter, and on a network of the test's own.
CHANGES = {
    "--seconds 20": "--seconds 5",
    "--seconds 23": "--seconds 8",
    "testbed up": f"testbed up --name {TESTBED}",
    "testbed down": f"testbed down --name {TESTBED}",
}
MAY_FAIL = ("crosswire explain ",)  # exit code 1 is an answer: what happened on a real wire differs from run to run
SERVES = "crosswire console "
WAIT_S = 240
DONE, FAILED = "__done__", "__failed__"
OURS = re.compile(r"_?(crosswire|pip|setuptools)\b", re.I)  # of the environment that tests run in


@dataclass(frozen=True)
class Block:
    """One block of the page: commands, or what stands between fences of a language."""

    language: str  # "": commands
    text: str


def blocks_of(page: str) -> Iterator[Block]:
    """The blocks of a page, in order."""
    for match in re.finditer(r"^```(\w+)\n(.*?)^```$|((?:^    [^\n]*\n)+)", page, re.M | re.S):
        language, fenced, indented = match.groups()
        if language:
            yield Block(language, fenced)
        else:
            yield Block("", "".join(line[4:] for line in indented.splitlines(keepends=True)))


@dataclass
class Walk:
    """A shell that stays, and what its last block printed."""

    folder: Path
    environment: dict[str, str]
    printed: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    blocks: int = 0
    process: Any = None

    def start(self) -> None:
        """Start the shell, in a session of its own."""
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        self.process = subprocess.Popen(
            ["bash"], cwd=self.folder, env=self.environment, text=True, start_new_session=True, **pipes
        )
        self.tell(f"trap 'echo; echo \"{FAILED} $BASH_COMMAND\"' ERR\n")

    def tell(self, text: str) -> None:
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def end(self) -> None:
        """End the shell and whatever it has left running."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    @property
    def where(self) -> Path:
        """The folder that the shell is in."""
        return Path(os.readlink(f"/proc/{self.process.pid}/cwd"))

    def run(self, commands: str) -> None:
        """Run commands; what they printed, and which of them failed."""
        self.printed, failed = [], []
        self.tell(f"{commands}\necho; echo {DONE}\n")
        watch = threading.Timer(WAIT_S, self.end)
        watch.start()
        try:
            for line in self.process.stdout:
                if line.startswith(DONE):
                    break
                if line.startswith(FAILED):
                    failed.append(line.removeprefix(FAILED).strip())
                self.printed.append(line.rstrip("\n"))
            else:
                raise AssertionError(f"{commands}\nended, or took longer than {WAIT_S} s: {self.printed}")
        finally:
            watch.cancel()
        self.failed += failed
        assert [each for each in failed if not each.startswith((*MAY_FAIL, "crosswire check "))] == [], self.printed

    def serve(self, command: str) -> None:
        """Run a command that serves pages until Ctrl-C, look at its page, and end it."""
        run = [str(self.folder / "venv/bin" / command.split()[0]), *command.split()[1:]]
        process = subprocess.Popen(run, cwd=self.where, env=self.environment, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            [address] = re.findall(r"http://\S+", process.stdout.readline())
            assert b"<title>Crosswire console" in build_opener(HTTPCookieProcessor()).open(address).read()
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)

    def take(self, block: Block) -> None:
        """Do what a reader does with a block."""
        self.blocks += 1
        if block.language == "":
            commands = block.text
            for old, new in CHANGES.items():
                commands = commands.replace(old, new)
            if commands.startswith(SERVES):
                self.serve(commands.strip())
                return
            self.run(commands)
            if "-m venv" in commands:
                link_packages(self.folder / "venv")
            if "new strategy" in commands:
                config = self.where / "lean.toml"
                config.write_text(re.sub(r'"cw(-engine|-exchange|e\d|x\d)"', rf'"{TESTBED}\1"', config.read_text()))
        elif block.language == "text":
            missing = [line for line in block.text.splitlines() if line not in self.printed]
            assert missing == [], self.printed
        else:
            assert block.language == "python"
            put(block.text, self.where)


def put(code: str, folder: Path) -> None:
    """Put a function in the place of the one that has its name, or at the end of the test."""
    [function] = ast.parse(code).body
    assert isinstance(function, ast.FunctionDef)
    path = folder / ("test_lean.py" if function.name.startswith("test_") else "lean.py")
    text = path.read_text()
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef) and node.name == function.name:
            lines = text.splitlines(keepends=True)
            first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
            text = "".join([*lines[: first - 1], code, *lines[node.end_lineno :]])
            break
    else:
        assert path.name.startswith("test_")
        text += f"\n\n{code}"
    path.write_text(text)


def link_packages(venv: Path) -> None:
    """Give an environment the packages of this one, but for ours and its own."""

    def link(source: str, target: str) -> None:
        try:
            os.link(source, target)
        except OSError:  # another file system
            shutil.copy2(source, target)

    for name in {sysconfig.get_path(each) for each in ("purelib", "platlib")}:
        target = venv / Path(name).relative_to(sys.prefix)
        for path in Path(name).iterdir():
            if OURS.match(path.name):
                continue
            if path.is_dir():
                shutil.copytree(path, target / path.name, copy_function=link, dirs_exist_ok=True)
            elif not (target / path.name).exists() and path.suffix != ".pth":
                link(str(path), str(target / path.name))


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    """The page up to where it needs a network of its own."""
    folder = tmp_path_factory.mktemp("tutorial")
    places = {name: tmp_path_factory.mktemp(name) for name in ("home", "bin", "project")}
    wheel.copy_project(places["project"])
    assert wheel.build(places["project"], folder).name in PAGE.read_text()
    python = places["bin"] / "python3"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    environment = {
        "HOME": str(places["home"]),
        "PATH": f"{places['bin']}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        "COLUMNS": "200",
        "CROSSWIRE_CACHE": str(store_folder().parent),
        "PIP_NO_INDEX": "1",
        "PIP_NO_DEPS": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip takes it for the value of `build-isolation`
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    found = Walk(folder, environment)
    found.start()
    try:
        for block in blocks_of(PAGE.read_text().partition(LIVE)[0]):
            found.take(block)
        yield found
    finally:
        found.end()


def test_the_tutorial_is_walked_from_a_wheel(walk: Walk) -> None:
    """Its blocks have run by now; one mistake was made, and it was found."""
    assert walk.failed == ["crosswire check lean.py"]
    folder = walk.folder / "lean"
    assert len(list((folder / "runs" / "lean").glob("2*/summary.json"))) == 4
    assert len(list((folder / "runs" / "lean").glob("2*/report.html"))) == 3
    [sweep] = (folder / "runs" / "lean").glob("sweep-*")
    assert len(list((sweep / "rows").glob("*.parquet"))) == 8
    assert (folder / "runs" / "mine" / "latest" / "summary.json").is_file()
    where = "import crosswire, lean; print(crosswire.__file__, lean.__file__)"
    done = subprocess.run(
        [walk.folder / "venv" / "bin" / "python", "-c", where], cwd="/", capture_output=True, text=True, check=True
    )
    package, strategy = done.stdout.split()
    assert Path(package).is_relative_to(walk.folder / "venv")
    assert Path(strategy) == folder / "lean.py"


@pytest.mark.netns
def test_it_is_walked_to_a_live_run_and_back(walk: Walk) -> None:
    before = walk.blocks
    try:
        for block in blocks_of(PAGE.read_text().partition(LIVE)[2]):
            walk.take(block)
    finally:
        down = [walk.folder / "venv" / "bin" / "crosswire", "testbed", "down", "--name", TESTBED]
        subprocess.run(down, cwd=walk.folder, env=walk.environment, capture_output=True, check=False)
    assert walk.blocks > before + 4
    folder = walk.folder / "lean"
    assert "run folder: runs/lean/" in (folder / "live.log").read_text()
    assert json.loads((folder / "runs" / "lean" / "latest" / "summary.json").read_text())["fills"] > 0
    assert list((folder / "captured").glob("*.pcap.zst"))
