"""The venues' doors: what is found by entry points, what a broken one says, and that nobody else names a venue."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from crosswire.engine.adapters import find_adapter
from crosswire.engine.entry_points import VENUE_GROUP, entry_points
from crosswire.venues.errors import VenueError
from tests.support.paths import ROOT
from tests.support.third_party import found_in, offer

NAMELESS = ("engine", "strategies", "risk")


def own_names() -> list[str]:
    """Names of the venues that come with Crosswire, and of what their importers import."""
    own = [name for name, entry in entry_points(VENUE_GROUP).items() if entry.package == "crosswire"]
    return sorted({*own, *(importer for name in own for importer in find_adapter(name).importers)})


def test_the_venues_that_come_with_crosswire_are_found() -> None:
    assert own_names() == ["binance", "bridge", "deribit", "starbase"]
    for name in ("bridge", "deribit", "starbase"):
        assert find_adapter(name).name == name


@pytest.mark.parametrize(
    "path", [path for folder in NAMELESS for path in sorted((ROOT / folder).rglob("*.py"))], ids=lambda path: path.name
)
def test_no_venue_is_named_above_the_venues(path: Path) -> None:
    named = re.compile("|".join(own_names()), re.IGNORECASE)
    lines = enumerate(path.read_text().splitlines(), 1)
    assert [f"{path}:{number}: {line.strip()}" for number, line in lines if named.search(line)] == []


def test_only_the_venue_asked_for_is_imported() -> None:
    code = (
        "import sys; from crosswire.engine.adapters import VENUE_GROUP, entry_points, find_adapter; "
        "entry_points(VENUE_GROUP); "
        "before = {name for name in sys.modules if name.startswith('crosswire.venues.')}; find_adapter('bridge'); "
        "print(sorted(before), any('deribit' in name or 'starbase' in name for name in sys.modules), "
        "any(name.split('.')[0] in ('pyarrow', 'plotly') for name in sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "['crosswire.venues.errors'] False False"


@pytest.mark.parametrize(
    ("value", "source", "wrong"),
    [
        ("acme_gone:ADAPTER", "", "can't be loaded: ModuleNotFoundError: No module named 'acme_gone'"),
        ("acme_venue:ADAPTER", "", "can't be loaded: AttributeError: module 'acme_venue' has no attribute 'ADAPTER'"),
        ("acme_venue:ADAPTER", "1 / 0", "can't be loaded: ZeroDivisionError: division by zero"),
        ("acme_venue:ADAPTER", "ADAPTER = 3", "is no Adapter but a int"),
        (
            "acme_venue:ADAPTER",
            "from crosswire.venues.bridge.adapter import ADAPTER",
            "calls itself bridge",
        ),
        (
            "acme_venue:ADAPTER",
            "from dataclasses import replace\nfrom crosswire.venues.bridge.adapter import ADAPTER\n"
            "ADAPTER = replace(ADAPTER, name='acme', funding_message='Mark')",
            "reads funding, but its wire has no 'Mark' (funding_message)",
        ),
    ],
)
def test_a_broken_adapter_is_one_line_that_names_its_package(
    tmp_path: Path, value: str, source: str, wrong: str
) -> None:
    (tmp_path / "acme_venue.py").write_text(source)
    offer(tmp_path, "acme_package", {"acme": value})
    with found_in(tmp_path):
        with pytest.raises(VenueError) as caught:
            find_adapter("acme")
        assert find_adapter("bridge").name == "bridge"
    message = str(caught.value)
    assert message.startswith(f"venue acme of package acme_package ({value}) ")
    assert wrong in message
    assert "\n" not in message


def test_a_venue_that_two_packages_offer_is_refused(tmp_path: Path) -> None:
    offer(tmp_path, "acme_package", {"bridge": "acme_venue:ADAPTER"})
    with found_in(tmp_path), pytest.raises(VenueError, match="offered by two packages, acme_package and crosswire"):
        find_adapter("bridge")
    assert find_adapter("bridge").name == "bridge"


def test_entry_points_are_read_as_other_packages_write_them(tmp_path: Path) -> None:
    metadata = tmp_path / "acme-2.dist-info"
    metadata.mkdir()
    (metadata / "entry_points.txt").write_text("[gui]\nx = y:z\n[crosswire.venues]\n# one\na=b:C\n\nd  =  e.f:G\n")
    (tmp_path / "broken-1.dist-info").mkdir()
    (tmp_path / "broken-1.dist-info" / "entry_points.txt").write_bytes(b"\xff\xfe")
    with found_in(tmp_path):
        found = {name: entry.value for name, entry in entry_points(VENUE_GROUP).items() if entry.package == "acme"}
    assert found == {"a": "b:C", "d": "e.f:G"}


def test_a_broken_venue_spoils_no_other_ones_importer(tmp_path: Path) -> None:
    offer(tmp_path, "acme_package", {"acme": "acme_gone:ADAPTER"})
    command = [sys.executable, "-m", "crosswire.engine.cli", "import"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    result = subprocess.run([*command, "--help"], env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0
    assert "binance" in result.stdout
    assert result.stderr.startswith("crosswire: venue acme of package acme_package (acme_gone:ADAPTER) can't be loaded")
    assert result.stderr.count("\n") == 1
    bad = [*command, "binance", "none.gz", "--market", "moon"]
    result = subprocess.run(bad, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == "crosswire: market 'moon' is none of spot, usdm, coinm"
