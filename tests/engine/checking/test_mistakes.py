"""Each small strategy in tests/strategies/mistakes is refused at the lines that it marks, and at no other."""

import re
from pathlib import Path

import pytest

from crosswire.engine.checking.file import check_use
from tests.support.paths import ROOT

FOLDER = ROOT / "tests" / "strategies" / "mistakes"
FILES = sorted(path for path in FOLDER.glob("*.py") if path.name != "__init__.py")
MARK = re.compile(r"# <- (\w+)")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_mistake_is_found_where_it_is_and_nowhere_else(path: Path) -> None:
    marked = {
        (number, found[1])
        for number, line in enumerate(path.read_text().splitlines(), 1)
        for found in MARK.finditer(line)
    }
    assert marked
    assert {(each.line, each.rule) for each in check_use(str(path))[1]} == marked


@pytest.mark.parametrize("name", ["cross_spread", "basis", "restless"])
def test_what_is_built_in_has_no_mistakes(name: str) -> None:
    assert check_use(name)[1] == []
