"""The example of docs/strategies.md as printed there: a strategy from a file of its own, and its harness test."""

import importlib
import re
from pathlib import Path
from typing import Any

import pytest

from crosswire.engine.plugin import BUILT_IN, find_strategy_class, load_strategy_class
from crosswire.strategies.interface import Strategy, parameters_of
from crosswire.strategies.leg_parameters import RepairParameters
from tests.support.paths import ROOT

DOCUMENT = ROOT / "docs" / "strategies.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)


@pytest.fixture
def plugin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "imbalance.py").write_text(EXAMPLES[0])
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_the_documented_strategy_loads_from_a_file(plugin_folder: Path) -> None:
    strategy_class = load_strategy_class("imbalance.py:Imbalance", plugin_folder, "run.toml")
    assert issubclass(strategy_class, Strategy)
    assert strategy_class.__name__ == "Imbalance"


def test_the_documented_tests_pass(plugin_folder: Path) -> None:
    by_hand, quoting, by_chance = (each for each in EXAMPLES if "crosswire.testing" in each)
    exec(compile(by_hand, str(DOCUMENT), "exec"), {})
    (plugin_folder / "documented_quoter.py").write_text(quoting)  # a strategy is compiled from a file
    importlib.import_module("documented_quoter")
    made: dict[str, Any] = {}
    exec(compile(by_chance, str(DOCUMENT), "exec"), made)
    made["test_what_must_hold"]()


UNDOCUMENTED = {"restless"}  # a load for tests, docs/simulate.md


def documented(page: Path) -> set[str]:
    return set(re.findall(r"^\| `(\w+)`[^|]* \|", page.read_text(), re.MULTILINE))


@pytest.mark.parametrize("name", sorted(set(BUILT_IN) - UNDOCUMENTED))
def test_every_strategy_has_a_page_with_all_its_parameters_and_a_verdict(name: str) -> None:
    page = ROOT / "docs" / "strategies" / f"{name.replace('_', '-')}.md"
    kind = parameters_of(find_strategy_class(name, ROOT, "docs"))
    own = set(kind.__struct_fields__)
    if issubclass(kind, RepairParameters):
        own -= documented(ROOT / "docs" / "strategies" / "two-legs.md")
    assert own - documented(page) == set()
    headings = re.findall(r"^## (.+)$", page.read_text(), re.MULTILINE)
    wanted = ["Idea", "When it fails", "Parameters", "A configuration", "Verdict"]
    assert [each for each in headings if each in wanted] == wanted
