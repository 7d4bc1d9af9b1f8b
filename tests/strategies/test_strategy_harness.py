"""The example of docs/strategies.md as printed there: a strategy from a file of its own, and its harness test."""

import re
from pathlib import Path
from typing import Any

import pytest

from crosswire.engine.plugin import load_strategy_class
from crosswire.strategies.basis import BasisParameters
from crosswire.strategies.cross_spread import CrossSpreadParameters
from crosswire.strategies.interface import Strategy
from crosswire.strategies.leg_parameters import LegParameters
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


def test_the_documented_test_passes(plugin_folder: Path) -> None:
    by_hand, by_chance = (each for each in EXAMPLES if "crosswire.testing" in each)
    exec(compile(by_hand, str(DOCUMENT), "exec"), {})
    made: dict[str, Any] = {}
    exec(compile(by_chance, str(DOCUMENT), "exec"), made)
    made["test_what_must_hold"]()


def test_every_parameter_is_documented() -> None:
    documented = set(re.findall(r"^\| `(\w+)` \|", DOCUMENT.read_text(), re.MULTILINE))
    for parameters in (LegParameters, CrossSpreadParameters, BasisParameters):
        assert set(parameters.__struct_fields__) <= documented
