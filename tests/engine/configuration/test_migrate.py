"""Old configurations become new ones without losing a comment; what is newer than we know is refused."""

import re
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from crosswire.engine.cli import app
from crosswire.engine.config import ConfigError, load_config, parse_config
from crosswire.engine.configuration.migrate import STEPS, Edit, migrate, migrate_file
from crosswire.engine.configuration.places import find_places
from crosswire.engine.configuration.renamed import RENAMED, renamed
from tests.engine.configuration.test_check import RUNS, SYNTHETIC

PATH = Path("run.toml")


def backwards(text: str) -> str:
    """Write a configuration as it was before version 1."""
    edits = []
    for key, place in find_places(text).items():
        table = tuple(each for each in key[:-1] if isinstance(each, str))
        for pattern, names in RENAMED.items():
            old = {new: old for old, new in names.items()}.get(str(key[-1]))
            if old and len(pattern) == len(table) and renamed(table, old):
                edits.append((*place.name, old))
        if table == ("venue", "simulation") and place.value is not None:
            model = re.fullmatch(r'\{ model = "constant", us = (\d+) \}', text[slice(*place.value)])
            if model:
                edits += [(*place.name, f"{key[-1]}_us"), (*place.value, model[1])]
    for begin, end, new in sorted(set(edits), reverse=True):
        text = text[:begin] + new + text[end:]
    return text.replace("[venue.starbase.market", "[venue.simulation.market")


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.name)
def test_an_old_example_becomes_todays_but_for_the_version(path: Path) -> None:
    old = backwards(path.read_text())
    assert old != path.read_text()
    with pytest.raises(ConfigError):
        parse_config(old, path)
    migrated = migrate(old, path)
    assert re.sub(r"version = 1\n", "", migrated.text) == path.read_text()
    assert tomllib.loads(migrated.text)["version"] == 1
    assert parse_config(migrated.text, path) == load_config(path)
    lines = old.splitlines()
    for change in migrated.changes:
        number, key = int(change.split(":")[1]), change.split(": ")[1].split(" ")[0].split(".")[-1]
        assert key == "version" or key in lines[number - 1]
    assert migrate(migrated.text, path).changes == []


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.name)
def test_todays_examples_have_nothing_to_migrate(path: Path) -> None:
    migrated = migrate(path.read_text(), path)
    assert (migrated.text, migrated.changes) == (path.read_text(), [])


def test_a_key_that_is_there_under_both_names_is_refused() -> None:
    text = SYNTHETIC.replace("loss_max = 5_000", "loss_max = 5_000\nmax_loss = 6_000")
    with pytest.raises(ConfigError, match=r"^run.toml: limits.max_loss, on line \d+, is called loss_max now, which is"):
        migrate(text, PATH)


def test_a_strategy_of_ones_own_may_call_its_parameters_as_it_likes() -> None:
    text = 'strategy = { use = "mine.py:Mine", parameters = { max_size = 3 } }\n'
    assert migrate(text, PATH).changes == []
    assert migrate(text.replace("mine.py:Mine", "basis"), PATH).text.endswith("parameters = { size_max = 3 } }\n")


def test_a_setting_that_nothing_read_is_left_out() -> None:
    text = '[[venue]]\nfeed = "starbase"\n[venue.starbase]\nretransmit = "10.0.0.1:5" # once\ntoken_burst = 3\n'
    migrated = migrate(text, PATH)
    assert migrated.text == 'version = 1\n\n[[venue]]\nfeed = "starbase"\n[venue.starbase]\ntoken_burst = 3\n'
    assert migrated.changes[1] == "run.toml:4: venue[0].starbase.retransmit is left out: nothing reads it"


def second(text: str) -> list[Edit]:
    """A step as a version 2 might need it."""
    place = find_places(text)["limits", "loss_max"]
    return [Edit(*place.name, "loss_limit", place.line, "limits.loss_max is called loss_limit")]


def test_steps_follow_on_each_other_to_the_newest_version() -> None:
    old = backwards(SYNTHETIC)
    migrated = migrate(old, PATH, (*STEPS, second))
    read = tomllib.loads(migrated.text)
    assert (read["version"], read["limits"]["loss_limit"]) == (2, 5_000)
    assert migrate(SYNTHETIC, PATH, (*STEPS, second)).text.count("version = 2\n") == 1
    assert migrate(migrated.text, PATH, (*STEPS, second)).changes == []


def test_a_step_that_changes_no_key_still_makes_the_file_one_of_the_next_version() -> None:
    migrated = migrate("# mine\nversion = 1\n" + SYNTHETIC, PATH, (*STEPS, lambda _text: []))
    assert migrated.text == "# mine\nversion = 2\n" + SYNTHETIC
    assert migrated.changes == ["run.toml:2: version = 2"]


@pytest.mark.parametrize("version", ["2", "7"])
def test_a_newer_version_is_refused_in_one_line_by_all(version: str, tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text(f"version = {version}\nmystery = 3\n" + SYNTHETIC)
    said = f"{path}: version = {version}: this Crosswire reads up to version 1: install the one that the file was"
    with pytest.raises(ConfigError, match=re.escape(said)):
        load_config(path)
    for command in ("migrate", "show"):
        done = CliRunner().invoke(app, ["config", command, str(path)])
        assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
        assert said in done.stderr
    checked = CliRunner().invoke(app, ["config", "check", str(path)])
    assert checked.output.startswith(f"{path}:1: version = {version}: this Crosswire reads up to version 1")


@pytest.mark.parametrize("version", ["0", "-1", "true", '"1"', "1.0"])
def test_a_version_that_is_none_is_refused(version: str) -> None:
    with pytest.raises(ConfigError, match=r"version = .*: must be a whole number from 1 to 1"):
        parse_config(f"version = {version}\n" + SYNTHETIC, PATH)


def test_a_key_of_before_version_1_is_refused_with_its_new_name() -> None:
    with pytest.raises(ConfigError, match="it is called `loss_max`; `crosswire config migrate` renames it"):
        parse_config(SYNTHETIC.replace("loss_max = 5_000", "max_loss = 5_000"), PATH)


def test_a_file_is_changed_only_when_asked_and_what_it_was_is_kept(tmp_path: Path) -> None:
    path, old = tmp_path / "run.toml", backwards(SYNTHETIC)
    path.write_text(old)
    path.chmod(0o640)
    dry = CliRunner().invoke(app, ["config", "migrate", str(path)])
    assert (dry.exit_code, path.read_text(), len(list(tmp_path.iterdir()))) == (0, old, 1)
    assert f"{path}: nothing is changed yet; --write does it" in dry.output
    done = CliRunner().invoke(app, ["config", "migrate", str(path), "--write"])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "run.toml.before").read_text() == old
    assert load_config(path).limits.loss_max == 5_000
    assert [each.stat().st_mode & 0o777 for each in tmp_path.iterdir()] == [0o640, 0o640]
    again = CliRunner().invoke(app, ["config", "migrate", str(path), "--write"])
    assert again.output == f"{path}: has nothing to migrate\n"
    path.write_text(old + "# later\n")
    assert migrate_file(path, write=True)[1] == tmp_path / "run.toml.before-2"
    assert (tmp_path / "run.toml.before").read_text() == old


def test_what_only_a_person_can_write_is_left_and_said(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text(backwards(SYNTHETIC).replace("delta_max = 20\n", ""))
    done = CliRunner().invoke(app, ["config", "migrate", str(path)])
    assert done.exit_code == 1
    assert re.search(r"then left to you: \S+run.toml:\d+: limits.underlying.BTC.delta_max: is missing", done.output)
