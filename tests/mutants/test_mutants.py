"""A mutant that a test finds is found, one that none finds is told, and nothing is left of either."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutants.files import AREAS
from tests.mutants.mutate import mutants_of
from tests.support.paths import ROOT

SOURCE = '''
"""A text of 7 words is no number."""
LIMIT = 3

class Kind:
    NAMED = 1

def larger(a: int, b: int = 2) -> int:
    """The larger."""
    if a < b and not LIMIT == 9:
        note(a)
        return max(a, -b)
    return 0
'''


def changed(line: int) -> list[str]:
    return [mutant.what for mutant in mutants_of(ast.parse(SOURCE)) if mutant.line == line]


def test_what_is_changed() -> None:
    assert changed(3) == ["3 (column 8) -> 4"]
    assert changed(6) == []  # a name for something
    assert changed(8) == ["2 (column 28) -> 3"]
    assert changed(10) == [
        "9 (column 30) -> 10",
        "LIMIT == 9 -> LIMIT != 9",
        "a < b -> a <= b",
        "a < b -> a >= b",
        "a < b and (not LIMIT == 9) -> a < b or not LIMIT == 9",
        "not LIMIT == 9 -> LIMIT == 9",
    ]
    assert changed(11) == ["note(a) left out"]
    assert changed(12) == ["-b -> b", "max(a, -b) -> min(a, -b)", "return max(a, -b) left out"]
    assert changed(13) == ["0 (column 11) -> 1"]  # without it None is returned, which is as false


def test_each_changes_one_thing() -> None:
    whole = ast.unparse(ast.parse(SOURCE)).splitlines()
    for number in range(len(mutants_of(ast.parse(SOURCE)))):
        tree = ast.parse(SOURCE)
        mutants_of(tree)[number].apply()
        lines = ast.unparse(tree).splitlines()
        assert sum(before != after for before, after in zip(whole, lines, strict=True)) == 1
        compile(tree, "changed", "exec")


def test_every_file_is_there() -> None:
    for files, tests in AREAS.values():
        named = [each for each in tests if each.startswith("tests/")]
        assert [each for each in (*files, *named) if not (ROOT / each).exists()] == []


PLANTED = """
from crosswire.risk.prices import BOOK_AHEAD_MAX_NS, Top, is_current


def test_too_old() -> None:
    assert not is_current(Top(receive_time_ns=1), 10, 12)
    assert is_current(Top(receive_time_ns=1), 10, {oldest})
    assert BOOK_AHEAD_MAX_NS == 150_000_000
"""


@pytest.mark.slow
@pytest.mark.parametrize("oldest", [10, 11])
def test_a_mutant_that_no_test_finds_is_told(tmp_path: Path, oldest: int) -> None:
    """11 is the oldest there is: only a test at that age knows `<=` from `<`."""
    before = (ROOT / "risk" / "prices.py").read_bytes()
    test = tmp_path / "test_planted.py"
    test.write_text(PLANTED.format(oldest=oldest))
    command = [sys.executable, "-m", "tests.mutants", "risk/prices.py", "--lines", "13-50", "--tests", str(test)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    *rows, total = map(json.loads, done.stdout.splitlines())
    found = {row["what"]: row["found"] for row in rows}
    assert found["150 (column 20) -> 151"] == "killed"  # a constant of the module
    assert found["age_ns <= age_max_ns -> age_ns > age_max_ns"] == "killed"
    assert found["age_ns <= age_max_ns -> age_ns < age_max_ns"] == ("killed" if oldest == 11 else "survived")
    assert found["age_ns >= -BOOK_AHEAD_MAX_NS -> age_ns > -BOOK_AHEAD_MAX_NS"] == "survived"
    assert total["run"] == total["mutants"] == len(rows)
    assert (ROOT / "risk" / "prices.py").read_bytes() == before


def test_tests_that_fail_without_a_mutant_are_an_error(tmp_path: Path) -> None:
    test = tmp_path / "test_planted.py"
    test.write_text(PLANTED.format(oldest=12))
    command = [sys.executable, "-m", "tests.mutants", "risk/prices.py", "--lines", "50", "--tests", str(test)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 1
    assert "test_too_old fails" in done.stderr
