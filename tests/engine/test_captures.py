"""Captures named by files, folders and patterns; runs over them, whole or not."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from crosswire.engine.captures import find_captures
from crosswire.engine.cli import app
from crosswire.engine.config import ConfigError
from crosswire.nic.rings.replay import read_frames
from tests.support.captures import T0, pcap, udp_frame
from tests.support.short_run import two_seconds

ONE = pcap([(T0, udp_frame(b"one"))])


def folder_of(path: Path, *names: str) -> Path:
    path.mkdir()
    for name in names:
        (path / name).write_bytes(ONE)
    return path


def test_a_folder_and_a_pattern_are_sorted_as_people_count(tmp_path: Path) -> None:
    names = ["x-1.pcap", "x-2.pcap", "x-10.pcap", "y.pcap0", "y.pcap9.gz", "y.pcap11"]
    folder = folder_of(tmp_path / "captures", *reversed(names), ".hidden.pcap")
    (folder / "README").write_text("not a capture")
    (folder / "sub").mkdir()
    assert [path.name for path in find_captures(tmp_path, ["captures"], "here")] == names
    assert [path.name for path in find_captures(tmp_path, ["captures/x-*"], "here")] == names[:3]
    shutil.copy(folder / "x-1.pcap", folder / "unnamed")
    assert "unnamed" in [path.name for path in find_captures(tmp_path, ["captures"], "here")]
    (tmp_path / "a[1].pcap").write_bytes(ONE)  # a name, not a pattern
    assert find_captures(tmp_path, ["a[1].pcap"], "here") == [tmp_path / "a[1].pcap"]


def test_what_names_nothing_or_twice_is_refused_in_one_line(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "captures", "x.pcap")
    (tmp_path / "empty").mkdir()
    (folder / "link.pcap").symlink_to("x.pcap")
    for names, words in (
        (["empty"], "empty: a folder without captures"),
        (["captures/y*"], "no file matches"),
        (["captures"], "link.pcap"),
        (["captures/x.pcap", "captures/x*"], "x.pcap is given twice"),
    ):
        with pytest.raises(ConfigError, match=r"^here: ") as refused:
            find_captures(tmp_path, names, "here")
        assert words in str(refused.value)


def backtest(config: Path, folder: Path, *options: str) -> Any:
    return CliRunner().invoke(app, ["backtest", str(config), "-o", str(folder), "--json", "--no-report", *options])


def test_a_rotated_capture_is_traded_as_the_whole_one(tmp_path: Path) -> None:
    config = two_seconds(tmp_path, seed=1)
    whole = backtest(config, tmp_path / "whole")
    assert whole.exit_code == 0, whole.output
    data = config.parent.parent / "data" / "synthetic"
    frames = list(read_frames([data / "bridge.pcap"]))
    (data / "rotated").mkdir()
    for number, start in enumerate(range(0, len(frames), 97)):
        (data / "rotated" / f"x-{number}.pcap").write_bytes(pcap(frames[start : start + 97]))
    assert len(list((data / "rotated").iterdir())) > 16
    text = config.read_text()
    for name in ("rotated", "rotated/x-*.pcap"):
        config.write_text(text.replace("bridge.pcap", name))
        result = backtest(config, tmp_path / "rotated", "--strict")
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["digest"] == json.loads(whole.stdout)["digest"]
        assert json.loads(result.stdout)["warnings"] == json.loads(whole.stdout)["warnings"]


def test_captures_of_which_nothing_is_left_are_refused_before_the_run(tmp_path: Path) -> None:
    config = two_seconds(tmp_path, seed=1)
    assert backtest(config, tmp_path / "runs").exit_code == 0
    data = config.parent.parent / "data" / "synthetic"
    for name in ("bridge.pcap", "deribit.pcap"):
        (data / name).write_bytes(pcap(list(read_frames([data / name])), slice_to=50))
    result = backtest(config, tmp_path / "nothing")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "captures: not one message of deribit in these captures" in result.stderr.splitlines()[-1]
    assert not (tmp_path / "nothing").exists()
