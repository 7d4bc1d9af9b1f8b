"""What `crosswire new strategy` writes runs and passes; nothing is overwritten, and no name leads elsewhere."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.command import ask


def test_what_is_written_runs_and_passes(tmp_path: Path) -> None:
    status, lines, _ = ask("new", "strategy", "my_idea", "--folder", tmp_path)
    folder = tmp_path / "my_idea"
    files = ["README.md", "my_idea.py", "my_idea.toml", "pyproject.toml", "test_my_idea.py"]
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


def test_it_is_found_by_its_name_once_it_is_installed(tmp_path: Path) -> None:
    """Built as an installer builds it; the folder that it was written in is gone by then."""
    assert ask("new", "strategy", "my_idea", "--folder", tmp_path)[0] == 0
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")]
    subprocess.run(build, cwd=tmp_path / "my_idea", check=True, capture_output=True)
    installed = tmp_path / "installed"
    [made] = (tmp_path / "dist").glob("my_idea-0.1.0-*.whl")
    zipfile.ZipFile(made).extractall(installed)
    assert sorted(path.name for path in installed.iterdir()) == ["my_idea-0.1.0.dist-info", "my_idea.py"]
    shutil.rmtree(tmp_path / "my_idea")
    asked = subprocess.run(
        [sys.executable, "-m", "crosswire.engine.cli", "parameters", "my_idea", "--json"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(installed), "CROSSWIRE_NO_JIT": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert asked.returncode == 0, asked.stderr
    assert [each["name"] for each in json.loads(asked.stdout)] == ["instrument", "lots", "ratio_percent"]


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


@pytest.mark.parametrize("name", ["true", "none", "order_state", "strategy", "parameters", "harness", "path"])
def test_a_name_whose_class_means_something_else_in_the_files_is_one_line(tmp_path: Path, name: str) -> None:
    status, lines, errors = ask("new", "strategy", name, "--folder", tmp_path / "in")
    assert (status, lines, len(errors.splitlines())) == (1, [], 1)
    assert "its class would be" in errors
    assert not (tmp_path / "in").exists()


@pytest.mark.parametrize("name", ["numpy", "msgspec", "pytest", "hypothesis", "conftest"])
def test_a_name_that_would_hide_an_installed_package_is_one_line(tmp_path: Path, name: str) -> None:
    """The strategy's folder is searched first: its test, its run and Crosswire itself would import it instead."""
    status, lines, errors = ask("new", "strategy", name, "--folder", tmp_path / "in")
    assert (status, lines, len(errors.splitlines())) == (1, [], 1)
    assert "would hide" in errors
    assert not (tmp_path / "in").exists()


def test_a_plain_folder_that_python_was_started_beside_hides_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_idea").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert ask("new", "strategy", "my_idea", "--folder", tmp_path / "in")[0] == 0
