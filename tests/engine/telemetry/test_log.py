"""Goal: what is said is in the log, whole and bounded, and whatever the disk does nobody waits for it or ends with it.

Method: real files, a real file system that is full, and a disk that never answers.
"""

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from crosswire.engine.config import ConfigError, LogConfig, make_config, parse_toml
from crosswire.engine.errors import HostError
from crosswire.engine.live.steady import SteadyConsole
from crosswire.engine.process import run_process
from crosswire.engine.telemetry import log as log_module
from crosswire.engine.telemetry.log import LINES_MAX, Level, Log, LogFile, logged, moment, saying
from crosswire.nic.warning import DataWarning
from crosswire.venues.adapter import ProcessSetup, VenueProcess
from tests.support.net import needs_root
from tests.support.paths import ROOT

PATIENCE_S = 20.0
NAME = "synthetic"


def make_log(folder: Path, **changes: Any) -> Log:
    return Log(LogConfig(folder="logs", **changes), folder / "run.toml", NAME, "live")


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_what_is_said_is_printed_and_logged_with_its_figures(tmp_path: Path) -> None:
    shown = StringIO()
    before_ns = time.time_ns()
    with make_log(tmp_path) as log:
        log.start()
        console = SteadyConsole(Console(file=shown, width=40), log)
        console.say("no run yet")
        log.run = "20261129T000000Z-00000000"
        fields = {"price": Decimal("0.10"), "lots": 3, "venues": ["a"], "by": {"x": True}, "gone": None}
        console.say("a [long] line, which is longer than the console is wide", "session_lost", Level.ERROR, **fields)
        console.warn(DataWarning(kind="gaps", count=2, first_place="here", what_to_do="look"))
        console.say("\x1b[31m\n\u20ac", "odd")
    first, second, third, odd = lines_of(tmp_path / "logs" / f"{NAME}-live.jsonl")
    assert (first["event"], first["level"], first["run"], first["fields"]) == ("message", "info", "", {})
    assert moment(before_ns) <= first["time"] <= moment(time.time_ns())
    assert second == {
        "time": second["time"],
        "level": "error",
        "process": "live",
        "name": NAME,
        "run": "20261129T000000Z-00000000",
        "event": "session_lost",
        "text": "a [long] line, which is longer than the console is wide",
        "fields": {"price": "0.10", "lots": 3, "venues": ["a"], "by": {"x": True}, "gone": None},
    }
    assert (third["event"], third["level"], third["fields"]["count"]) == ("data_warning", "warning", 2)
    assert odd["text"] == "\x1b[31m\n\u20ac"
    assert shown.getvalue().splitlines()[1] == second["text"]
    assert (tmp_path / "logs" / f"{NAME}-live.jsonl").stat().st_mode & 0o777 == 0o600


@given(sizes=st.lists(st.integers(1, 60), max_size=40), files=st.integers(1, 4), bytes_max=st.integers(20, 100))
def test_files_rotate_and_hold_the_last_lines_whole(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], files: int, bytes_max: int
) -> None:
    path = tmp_path_factory.mktemp("log") / "a.jsonl"
    file = LogFile(path, bytes_max, files)
    lines = [f"{number:03d}{'x' * size}\n".encode() for number, size in enumerate(sizes)]
    for number, line in enumerate(lines):
        file.write(line)
        if number % 7 == 3:
            file.close()  # as after an error, or in the next process
    file.close()
    kept = [path.with_name(f"a-{number}.jsonl") for number in range(files - 1, 0, -1)]
    assert {each.name for each in path.parent.iterdir()} <= {each.name for each in (*kept, path)}
    contents = [each.read_bytes() for each in (*kept, path) if each.exists()]
    assert b"".join(lines).endswith(b"".join(contents))
    for content in contents:
        assert len(content) <= max(bytes_max, *map(len, content.splitlines(keepends=True)))
    if sum(map(len, lines)) <= bytes_max:
        assert b"".join(contents) == b"".join(lines)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 KB."""
    needs_root()
    folder = tmp_path / "logs"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "none", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def wait_for(log: Log, lost: int) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while log.lost < lost:
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def test_a_full_disk_costs_lines_is_told_once_and_left_as_it_was(small_disk: Path) -> None:
    told: list[str] = []
    with make_log(small_disk.parent) as log:
        log.start()
        say = saying(told.append, log)
        for number in range(200):
            say(f"{number} {'x' * 300}")
        wait_for(log, 100)
        say(f"again {'x' * 300}")
        say(f"and again {'x' * 300}")
    assert [line for line in told if line.startswith("log: ")] == [
        f"log: {log.file.path}: No space left on device: lines are lost until that is mended"
    ]
    kept = lines_of(log.file.path)
    assert len(kept) + log.lost == 202
    assert [line["text"].split()[0] for line in kept] == [str(number) for number in range(len(kept))]
    assert log.loss() == f"log: {log.lost:,} lines are in no file ({log.file.path}: No space left on device)"


@pytest.mark.parametrize("is_link", [False, True])
def test_a_place_that_can_not_be_written_ends_nothing(tmp_path: Path, is_link: bool) -> None:
    if is_link:  # somebody else's, put there
        (tmp_path / "logs").mkdir()
        (tmp_path / "elsewhere").write_text("")
        (tmp_path / "logs" / f"{NAME}-live.jsonl").symlink_to(tmp_path / "elsewhere")
    else:
        (tmp_path / "logs").write_text("")
    told: list[str] = []
    config = LogConfig(folder="logs")
    with logged(config, tmp_path / "run.toml", NAME, "live", told.append) as log:
        assert log is not None
        log.start()
        say = saying(told.append, log)
        say("one")
        wait_for(log, 1)
        say("two")
        say("three")
    assert [line for line in told if not line.startswith("log: ")] == ["one", "two", "three"]
    assert sum("until that is mended" in line for line in told) == 1
    assert told[-1].startswith("log: 3 lines are in no file")
    assert not is_link or (tmp_path / "elsewhere").read_text() == ""


def test_nobody_waits_for_a_disk_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = threading.Event()
    monkeypatch.setattr(LogFile, "write", lambda _file, _line: answers.wait(PATIENCE_S) and None)
    monkeypatch.setattr(log_module, "END_S", 0.2)
    log = make_log(tmp_path)
    log.start()
    begun_s = time.monotonic()
    for _ in range(LINES_MAX + 10):
        log.add("x", "message", Level.INFO, {})
    log.close()
    assert time.monotonic() - begun_s < PATIENCE_S / 2
    assert log.lost >= LINES_MAX
    assert "the disk does not" in log.failure
    answers.set()


def test_what_ends_a_process_is_its_last_line(tmp_path: Path) -> None:
    def begin() -> None:
        with logged(LogConfig(folder="logs"), tmp_path / "run.toml", NAME, "live", lambda _line: None) as log:
            assert log is not None
            log.add("begins", "message", Level.INFO, {})
            raise HostError("no such interface")  # before anything was started

    with pytest.raises(HostError, match="no such interface"):
        begin()
    last = lines_of(tmp_path / "logs" / f"{NAME}-live.jsonl")[-1]
    assert (last["event"], last["level"], last["text"]) == ("failed", "error", "no such interface")
    assert last["fields"] == {"error": "HostError"}


def test_without_the_table_nothing_is_written(tmp_path: Path) -> None:
    told: list[str] = []
    with logged(None, tmp_path / "run.toml", NAME, "live", told.append) as log:
        saying(told.append, log)("said", "trading", frames=1)
    assert (told, list(tmp_path.iterdir())) == (["said"], [])


class Settings(msgspec.Struct, forbid_unknown_fields=True):
    address: str


def test_a_venue_s_own_process_has_a_log_too(tmp_path: Path) -> None:
    path, told = tmp_path / "binance.toml", list[str]()
    seen = SimpleNamespace(address="")

    def run(config: Settings, setup: ProcessSetup) -> None:
        seen.address = config.address
        setup.tell("serves")

    process = VenueProcess(help="", config=Settings, run=run)
    path.write_text('address = "here"\n[log]\nfolder = "logs"\n')
    run_process(process, "bridge", path, told.append)
    assert (seen.address, told) == ("here", ["serves"])
    (line,) = lines_of(tmp_path / "logs" / "binance-bridge.jsonl")
    assert (line["process"], line["text"]) == ("bridge", "serves")
    path.write_text('address = "here"\n[log]\nfolder = "logs"\nfile_mb = 0\n')
    with pytest.raises(ConfigError, match=r"file_mb = 0: expected `int` >= 1"):
        run_process(process, "bridge", path, told.append)


def test_a_run_s_configuration_takes_the_table_and_refuses_nonsense() -> None:
    path = ROOT / "examples" / "synthetic.toml"
    text = path.read_text()
    config = make_config(parse_toml(f'{text}\n[log]\nfolder = "logs"\n', path), path)
    assert config.log == LogConfig(folder="logs", file_mb=16, files=8)
    for wrong in ("files = 0", "file_mb = 0.5", 'size = "x"'):
        with pytest.raises(ConfigError, match=r"log"):
            make_config(parse_toml(f'{text}\n[log]\nfolder = "logs"\n{wrong}\n', path), path)
