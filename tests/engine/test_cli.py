"""The `crosswire` command itself: its help, its version, completion, the examples it brings."""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from crosswire.engine.adapters import find_adapter
from crosswire.engine.cli import app, import_app
from crosswire.engine.config import ConfigError, convert, load_config, parse_toml
from crosswire.engine.examples import copy_examples, example_files
from crosswire.engine.venue_commands import add_importers
from tests.support.paths import ROOT

add_importers(import_app)  # as for `crosswire import`
ALL = typer.main.get_command(app)


def commands(command: Any = ALL, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    """Every command with the words that call it."""
    found = [(path, command)]
    for name, each in getattr(command, "commands", {}).items():
        found += commands(each, (*path, name))
    return found


def words(text: str) -> str:
    """Without layout, which breaks lines anywhere."""
    return "".join(text.split())


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "crosswire.engine.cli", *arguments]
    return subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize(("path", "command"), commands(), ids=[" ".join(path) or "bare" for path, _ in commands()])
def test_help_shows_every_word_of_its_source(path: tuple[str, ...], command: Any) -> None:
    shown = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "120"})
    assert shown.exit_code == 0
    texts = [command.help] + [parameter.help for parameter in command.params if parameter.name != "help"]
    assert all(texts)
    assert [text for text in texts if words(text) not in words(shown.output)] == []


def test_brackets_of_a_help_text_are_shown() -> None:
    assert "[live]" in CliRunner().invoke(app, ["live", "--help"]).output
    assert "[source@]address:port" in CliRunner().invoke(app, ["capture", "--help"]).output


def test_bare_command_prints_its_help() -> None:
    for arguments in ((), ("import",)):
        bare, asked = run(*arguments), run(*arguments, "--help")
        assert (bare.returncode, bare.stderr) == (0, "")
        assert bare.stdout == asked.stdout


def test_version() -> None:
    done = run("--version")
    assert (done.returncode, done.stdout) == (0, f"crosswire {version('crosswire')}\n")


def test_unknown_command_is_refused() -> None:
    done = run("nonesuch")
    assert done.returncode == 2
    assert "nonesuch" in done.stderr


def test_completion_installs_itself(tmp_path: Path) -> None:
    # Told which shell, as the one that runs the tests may be any or none.
    done = run("--install-completion", "bash", HOME=str(tmp_path), _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / ".bashrc").is_file()


@pytest.mark.parametrize(("typed", "place", "found"), [("ba", "1", "backtest"), ("import b", "2", "binance")])
def test_completion_knows_the_commands(typed: str, place: str, found: str) -> None:
    script = "import sys; from crosswire.engine.cli import main; sys.argv = ['crosswire']; main()"
    environment = {"_CROSSWIRE_COMPLETE": "complete_bash", "COMP_WORDS": f"crosswire {typed}", "COMP_CWORD": place}
    done = subprocess.run(
        [sys.executable, "-c", script], env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == [found]


PROCESSES = {"bridge-binance": "binance", "stand-in": "stand-in"}  # examples that are of a process beside the engine


def test_examples_are_copied_to_where_they_work(tmp_path: Path) -> None:
    copies = copy_examples(tmp_path / "deep" / "examples")
    assert [path.name for path in copies] == sorted(path.name for path in (ROOT / "examples").glob("*.toml"))
    for original, copy in zip(example_files(), copies, strict=True):
        assert copy.read_bytes() == original.read_bytes()
        if copy.stem in PROCESSES:
            process = find_adapter("bridge").processes[PROCESSES[copy.stem]]
            convert(parse_toml(copy.read_text(), copy), process.config, str(copy))
        else:
            load_config(copy)


def test_examples_never_overwrite(tmp_path: Path) -> None:
    mine = tmp_path / "synthetic.toml"
    mine.write_text("# mine")
    done = run("examples", str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"crosswire: {mine}: exists already; name another folder\n"
    assert [path.name for path in tmp_path.iterdir()] == [mine.name]
    assert mine.read_text() == "# mine"


def test_examples_folder_that_is_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run("examples", str(tmp_path / "file"))
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1


def test_missing_configuration_says_where_to_begin(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file; `crosswire examples` copies"):
        load_config(tmp_path / "none.toml")
