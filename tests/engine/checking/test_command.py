"""`crosswire check`, and what a run and `config check` say of a strategy's source."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from crosswire.engine.cli import app
from tests.support.paths import ROOT

FOLDER = ROOT / "tests" / "strategies" / "mistakes"
HEAD = "from crosswire import Desk, Strategy, i64, on_book\n\n\nclass Mine(Strategy):\n    seen: i64\n\n\n"
CALLBACK = "@on_book.register(Mine)\ndef look(strategy: Mine, desk: Desk, instrument: int) -> None:\n"
TWO_MISTAKES = HEAD + CALLBACK + "    strategy.sen += 1\n    strategy.seen = 0.5\n"


def said(*arguments: str | Path) -> tuple[int, str]:
    """The exit code and all that is printed."""
    result = CliRunner().invoke(app, list(map(str, arguments)))
    return result.exit_code, result.output


def test_all_mistakes_are_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(TWO_MISTAKES)
    code, text = said("check", "mine.py")
    assert code == 1
    assert text.splitlines() == [
        "mine.py:10: Mine has no field sen, is it seen?; declare sen: i64 in Mine, or write its right name",
        "mine.py:11: strategy.seen is an integer, and is given a float: what is behind the point is cut off; "
        "count in integers, or use int() where that is meant",
    ]
    code, text = said("check", "mine.py", "--json")
    assert code == 1
    assert [(each["line"], each["column"], each["rule"]) for each in json.loads(text)] == [
        (10, 5, "field"),
        (11, 5, "float"),
    ]


def test_what_is_right_is_said_to_be(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(HEAD + CALLBACK + "    strategy.seen += 1\n")
    assert said("check", path) == (0, f"{path}: nothing is wrong with Mine\n")
    assert said("check", path, "--json") == (0, "[]\n")
    assert said("check", "cross_spread")[0] == 0


def test_fields_of_python_types_are_said_together(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    fields = "    price: float\n    names: dict[str, int]\n    count: int\n"
    path.write_text(HEAD.replace("    seen: i64\n", fields) + CALLBACK + "    strategy.count += 1\n")
    code, text = said("check", path, "--json")
    assert code == 1
    assert [(each["line"], each["rule"]) for each in json.loads(text)] == [(5, "float"), (6, "container"), (7, "width")]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (None, "there is no such file"),
        ("seen = 0\n", "no class in it is a Strategy"),
        ("def look(:\n", "invalid syntax; mend it"),
        ("import nothing_of_this_name\n" + HEAD, "No module named 'nothing_of_this_name'"),
    ],
)
def test_what_can_not_be_checked_is_one_line(tmp_path: Path, text: str | None, line: str) -> None:
    path = tmp_path / "mine.py"
    if text is not None:
        path.write_text(text)
    code, told = said("check", path)
    assert code == 1
    assert told.count("\n") == 1
    assert line in told


def test_a_run_is_refused_with_all_mistakes(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(TWO_MISTAKES)
    text = (ROOT / "examples" / "synthetic.toml").read_text()
    begin, end = text.index("\n[strategy]"), text.index("\n[limits]")
    config = tmp_path / "run.toml"
    config.write_text(f'{text[:begin]}\n[strategy]\nuse = "mine.py:Mine"\n{text[end:]}')
    code, told = said("config", "check", config)
    assert code == 1
    assert ["mine.py:10: Mine has no field sen" in told, "mine.py:11: strategy.seen is an integer" in told] == [
        True
    ] * 2
    assert len(told.splitlines()) == 2
    assert all(each.startswith(f"{config}:") for each in told.splitlines())
