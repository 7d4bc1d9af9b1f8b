"""Whole files: whatever is in one, `crosswire check` says it as file:line, in JSON too, and never as a traceback."""

import json
from pathlib import Path

import pytest

from tests.support.command import ask

MINE = """from typing import Annotated

import msgspec

from crosswire import BuildContext, Desk, Parameter, Strategy, i64, on_book


class Parameters(msgspec.Struct, forbid_unknown_fields=True):
    lots: Annotated[int, Parameter("lots", "of an order", least=1, most=9, field="lots")] = 1


class Mine(Strategy):
    lots: i64

    @classmethod
    def build(cls, parameters: Parameters, context: BuildContext) -> "Mine":
        return cls(lots=parameters.lots)


@on_book.register(Mine)
def look(strategy: Mine, desk: Desk, instrument: int) -> None:
    strategy.lots = instrument
"""
LAST = MINE.count("\n")
AGAIN = MINE[MINE.index("@on_book") :]
OTHER = AGAIN.replace("(Mine)", "(Other)")


def changed(old: str, new: str) -> bytes:
    """The file with one thing in it changed."""
    assert old in MINE
    return MINE.replace(old, new).encode()


FILES: dict[str, tuple[bytes, int, str, str]] = {  # content, line, rule, a part of what is said
    "syntax": (MINE.encode() + b"def x(:\n", LAST + 1, "load", "invalid syntax"),
    "zero": (MINE.encode() + b"\0", 1, "load", "null bytes"),
    "utf16": (MINE.encode("utf-16"), 1, "load", "null bytes"),
    "latin": (b"'\xf6'\n" + MINE.encode(), 1, "load", "utf-8"),
    "coding": (b"# -*- coding: nope -*-\n" + MINE.encode(), 1, "load", "unknown encoding"),
    "import": (MINE.encode() + b"import nowhere_at_all\n", LAST + 1, "load", "No module named"),
    "raises": (MINE.encode() + b"1 / 0\n", LAST + 1, "load", "division by zero"),
    "exits": (MINE.encode() + b"raise SystemExit(0)\n", LAST + 1, "load", "ends the process"),
    "twice": ((MINE + AGAIN).encode(), LAST + 1, "load", "already implemented for Mine"),
    "range": (changed("least=1", "least=10"), 9, "load", "least = 10 is above most = 9"),
    "default": (changed("= 1\n", "= 10\n"), 9, "parameter", "its default is 10"),
    "default type": (changed("= 1\n", "= 1.5\n"), 9, "parameter", "expected `int`, got `float`"),
    "field": (changed('field="lots"', 'field="lost"'), 9, "parameter", "no i64 of Mine"),
    "build": (changed("parameters: Parameters", "parameters: int"), 16, "parameter", "build"),
    "no class method": (changed("    @classmethod\n", ""), 15, "parameter", "build"),
    "field default": (changed("lots: i64", "lots: i64 = 3"), 13, "field", "no default"),
    "size": (changed("lots: i64", "lots: i64\n    size: i64"), 14, "field", "size is a name"),
    "address": (changed("lots: i64", "lots: i64\n    address: i64"), 14, "field", "address is a name"),
    "fields": (changed("lots: i64", "lots: i64\n    fields: i64"), 14, "field", "fields is a name"),
    "no class": (changed("on_book.register(Mine)", "on_book.register"), 20, "callback", "registers for no strategy"),
    "another": (f"{MINE}class Other: ...\n{OTHER}".encode(), LAST + 2, "callback", "registers for no strategy"),
}


@pytest.mark.parametrize("name", FILES)
def test_what_is_wrong_is_told_by_its_line_in_json_too(tmp_path: Path, name: str) -> None:
    content, line, rule, said = FILES[name]
    path = tmp_path / "mine.py"
    path.write_bytes(content)
    status, lines, errors = ask("check", path, "--json")
    found = [each for each in json.loads("\n".join(lines)) if said in each["what"]]
    assert (status, errors) == (1, "")
    assert [(each["file"], each["line"], each["rule"]) for each in found] == [(str(path), line, rule)]
    status, lines, errors = ask("check", path)
    assert (status, errors) == (1, "")
    assert [each for each in lines if each.startswith(f"{path}:{line}: ") and said in each]


@pytest.mark.parametrize("made", [MINE.replace("\n", "\r\n"), MINE.replace("    ", "\t"), f"\ufeff{MINE}"])
def test_what_only_looks_odd_passes(tmp_path: Path, made: str) -> None:
    path = tmp_path / "mine.py"
    path.write_bytes(made.encode())
    assert ask("check", path)[:2] == (0, [f"{path}: nothing is wrong with Mine"])


def test_what_a_file_prints_is_no_part_of_the_json(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(f"{MINE}print('hello')\n")
    assert ask("check", path, "--json") == (0, ["[]"], "hello\n")


def test_a_folder_and_a_name_with_colons_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "mine.py").mkdir()
    assert "is a folder" in ask("check", tmp_path / "mine.py")[2]
    assert ":X: ValueError" in ask("check", ":X")[2]  # as it was written, no picture in its place
