"""Each small strategy in tests/strategies/mistakes is refused at the lines that it marks, and at no other."""

import re
from pathlib import Path

import pytest

from crosswire.engine.checking.file import check_use
from crosswire.engine.checking.mistake import RULES
from tests.docs import mistakes

MARK = re.compile(r"# <- (\w+)")
CELL = re.compile(r"(?<!\\)\|")


def marked_in(path: Path) -> set[tuple[int, str]]:
    """The lines and rules that a file marks."""
    lines = enumerate(path.read_text().splitlines(), 1)
    return {(number, found[1]) for number, line in lines for found in MARK.finditer(line)}


@pytest.mark.parametrize("path", mistakes.FILES, ids=lambda path: path.stem)
def test_a_mistake_is_found_where_it_is_and_nowhere_else(path: Path) -> None:
    assert marked_in(path)
    assert {(each.line, each.rule) for each in mistakes.checked(path)} == marked_in(path)


@pytest.mark.parametrize(
    ("stem", "old", "new", "instead"),
    [
        ("float_division", "ask_lots / 2)", "ask_lots / (instrument + 1))", "ask_lots // (instrument + 1): whole"),
        ("division_sign", "-lost // 3", "-(lost + 1) // 3", "write -((lost + 1) // 3), or -(-(lost + 1) // 3) to"),
    ],
)
def test_what_is_to_be_written_instead_keeps_its_brackets(
    tmp_path: Path, stem: str, old: str, new: str, instead: str
) -> None:
    source = next(path for path in mistakes.FILES if path.stem == stem).read_text()
    assert old in source
    path = tmp_path / f"{stem}.py"
    path.write_text(source.replace(old, new))
    [found] = check_use(str(path))[1]
    assert instead in found.instead


def test_every_rule_has_a_file() -> None:
    """But for files that can't be read: those are in test_files.py."""
    assert {rule for path in mistakes.FILES for _, rule in marked_in(path)} == set(RULES) - {"load"}


@pytest.mark.parametrize("name", ["cross_spread", "basis", "lead_lag", "restless"])
def test_what_is_built_in_has_no_mistakes(name: str) -> None:
    assert check_use(name)[1] == []


def test_the_page_says_what_is_said() -> None:
    """`python -m tests.docs.mistakes` writes it anew. What numba says differs between releases of Python: whether it
    says anything does not.
    """
    numba = mistakes.by_numba()
    written, now = mistakes.PAGE.read_text().splitlines(), mistakes.page(numba).splitlines()
    assert [CELL.split(line)[:-2] for line in written] == [CELL.split(line)[:-2] for line in now]
    silent = [path.stem for path in mistakes.FILES if numba[path.stem] == mistakes.SILENT]
    assert [line.endswith("**nothing: it compiles** |") for line in written if line.startswith("| ")][1:] == [
        path.stem in silent for path in mistakes.FILES
    ]
