"""What `crosswire new strategy` writes runs and passes; nothing is overwritten, and no name leads elsewhere."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command import ask


def test_what_is_written_runs_and_passes(tmp_path: Path) -> None:
    status, lines, _ = ask("new", "strategy", "my_idea", "--folder", tmp_path)
    folder = tmp_path / "my_idea"
    files = ["README.md", "my_idea.py", "my_idea.toml", "test_my_idea.py"]
    assert (status, lines) == (
        0,
        [*(str(folder / file) for file in files), f"next: crosswire backtest {folder / 'my_idea.toml'}"],
    )
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (tested.returncode, "2 passed" in tested.stdout) == (0, True), tested.stdout
    config = folder / "my_idea.toml"
    assert ask("config", "check", config)[:2] == (0, [f"{config}: nothing is wrong"])
    runs = tmp_path / "runs"
    status, lines, errors = ask(
        "backtest", config, "--output", runs, "--no-report", "--json", "--set", "generate.seconds=2"
    )
    assert status == 0, errors
    assert json.loads("\n".join(lines))["fills"] > 0
    assert (folder / "data" / "deribit.pcap").is_file()


def test_what_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("taken", "dangling"):
        status, lines, errors = ask("new", "strategy", name, "--folder", tmp_path)
        assert (status, lines) == (1, [])
        assert "exists already" in errors
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dangling", "taken"]
    assert list((tmp_path / "taken").iterdir()) == []


@pytest.mark.parametrize("name", ["../up", "Big", "", "a b", "1st", "class", "json", "basis", "crosswire", "x" * 41])
def test_a_name_that_can_not_be_a_module_is_one_line(tmp_path: Path, name: str) -> None:
    status, lines, errors = ask("new", "strategy", "--folder", tmp_path / "in", "--", name)
    assert (status, lines, len(errors.splitlines())) == (1, [], 1)
    assert not (tmp_path / "in").exists()
