"""A venue's place in the configuration, and venues that nobody trades on, change no byte of what is sent."""

import re
from itertools import permutations
from pathlib import Path

import pytest

from crosswire.nic.unit.compile import NO_JIT
from tests.support.paths import ROOT, recording
from tests.support.short_run import finished_run, two_seconds

pytestmark = [pytest.mark.slow, pytest.mark.skipif(NO_JIT, reason="whole runs take minutes uncompiled")]


def parts_of(text: str) -> tuple[str, list[str]]:
    """What stands before the venues, and each venue's tables."""
    head, *venues = re.split(r"(?m)^(?=\[\[venue\]\])", text)
    return head, venues


def digests(config: Path, text: str) -> dict[str, str]:
    """The digest of each venue's order frames; of a run that trades on all but idle ones."""
    written = config.with_name("placed.toml")
    written.write_text(text)
    run = finished_run(written)
    assert run.engine.state.fills > 10
    return run.digests_by_venue()


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return two_seconds(tmp_path_factory.mktemp("places"), seed=1)


def test_the_order_of_the_venues_changes_nothing(synthetic: Path) -> None:
    head, venues = parts_of(synthetic.read_text())
    expected = digests(synthetic, head + "".join(venues))
    assert len(set(expected.values())) == len(venues) == 2
    assert digests(synthetic, head + "".join(reversed(venues))) == expected


@pytest.mark.parametrize("place", range(3))
def test_an_idle_venue_changes_nothing(synthetic: Path, place: int) -> None:
    head, venues = parts_of(synthetic.read_text())
    expected = digests(synthetic, head + "".join(venues))
    idle = venues[1].replace('name = "bridge"', 'name = "idle"')
    assert idle != venues[1]
    found = digests(synthetic, head + "".join([*venues[:place], idle, *venues[place:]]))
    assert {name: found[name] for name in expected} == expected


def test_three_recorded_venues_may_stand_in_any_order(tmp_path: Path) -> None:
    from crosswire.venues.bridge.binance.importer import ImportOptions, import_file

    (tmp_path / "data" / "binance").mkdir(parents=True)
    (tmp_path / "examples").mkdir()
    for market, name in (("spot", "btcusdt"), ("usdm", "btcusdt"), ("coinm", "btcusd_perp")):
        source = recording(f"binance/{market}/{name}_20240808.gz")
        capture = tmp_path / "data" / "binance" / f"{market}_{name}_20240808.pcap"
        import_file(source, capture, ImportOptions(clock_offset_ns=1_275_000_000))
    config = tmp_path / "examples" / "run.toml"
    head, venues = parts_of((ROOT / "examples" / "binance-btc.toml").read_text())
    found = [digests(config, head + "".join(order)) for order in permutations(venues)]
    assert all(each == found[0] for each in found)
