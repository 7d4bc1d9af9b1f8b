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


def test_every_rule_has_a_file() -> None:
    assert {rule for path in mistakes.FILES for _, rule in marked_in(path)} == set(RULES)


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
