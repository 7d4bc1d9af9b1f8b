"""The configuration against the wire: what the captures contradict ends a run before it begins, in one line."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crosswire.engine.build import definitions
from crosswire.engine.build.definitions import check_definitions
from crosswire.engine.config import ConfigError, RunConfig, ignoring_definitions, load_config
from crosswire.engine.generate import generate_captures
from tests.support.paths import ROOT

BRIDGE = 'symbol = "BTCUSDT"'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of the default data and the default example beside it."""
    folder = tmp_path_factory.mktemp("run")
    generate_captures(folder / "data" / "synthetic", seed=1, seconds=2)
    (folder / "examples").mkdir()
    return folder


def write(folder: Path, old: str = "", new: str = "") -> Path:
    text = (ROOT / "examples" / "synthetic.toml").read_text().replace("seconds = 120", "seconds = 2")
    assert old in text
    path = folder / "examples" / "run.toml"
    path.write_text(text.replace(old, new))
    return path


def check(path: Path, change: Callable[[RunConfig], RunConfig] = lambda config: config) -> list[Any]:
    return check_definitions(change(load_config(path)), path)[1]


def test_what_agrees_is_silent(folder: Path) -> None:
    assert check(write(folder)) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("tick = 0.1", "tick = 0.5", "venue bridge, BTCUSDT: the capture says tick 0.1, you say 0.5"),
        ("lot = 0.001", "lot = 0.01", "venue bridge, BTCUSDT: the capture says lot 0.001, you say 0.01"),
        ("lot = 10", "lot = 1", "venue deribit, BTC-PERPETUAL: the capture says lot 10, you say 1"),
        ("contract = 10", "contract = 1", "venue deribit, BTC-PERPETUAL: the capture says contract 10, you say 1"),
        ('payoff = "inverse"', 'payoff = "linear"', "the capture says payoff inverse, you say linear"),
        (f'{BRIDGE}\nkind = "perpetual"', f'{BRIDGE}\nkind = "spot"', "the capture says kind perpetual, you say spot"),
        ('quote = "USDT"', 'quote = "USDC"', "venue bridge, BTCUSDT: the capture says quote USDT, you say USDC"),
        ('settlement = "BTC"', 'settlement = "USD"', "the capture says settlement BTC, you say USD"),
        ("BTCUSDT", "BTCUSDC", "venue bridge, BTCUSDC: the capture never defines it; nearest to it are BTCUSDT"),
        (
            "BTC-PERPETUAL",
            "ETH-PERPETUAL",
            "the capture never defines it; nearest to it are BTC-PERPETUAL",
        ),
    ],
)
def test_what_the_capture_contradicts_is_one_line_and_a_warning_for_who_goes_on(
    folder: Path, old: str, new: str, said: str
) -> None:
    path = write(folder, old, new)
    with pytest.raises(ConfigError) as caught:
        check(path)
    message = str(caught.value)
    assert said in message
    assert message.startswith(str(path))
    assert "--ignore-definitions" in message
    assert "\n" not in message
    (warning,) = check(path, ignoring_definitions)
    assert said.partition(": ")[2] in warning.first_place or said in warning.first_place
    assert warning.count == 1


def test_fees_are_the_account_s_own(folder: Path) -> None:
    assert check(write(folder, "taker_fee_bps = ", "taker_fee_bps = 1")) == []


def test_a_capture_of_another_feed_can_not_be_ignored(folder: Path) -> None:
    path = write(folder, 'feed = "bridge"', 'feed = "deribit"')
    for change in (lambda config: config, ignoring_definitions):
        with pytest.raises(ConfigError, match=r'not one message of deribit .* rejected for length mismatch.*"deribit"'):
            check(path, change)


def test_what_is_defined_later_than_is_looked_at_is_left_to_the_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(folder, "BTCUSDT", "BTCUSDC")
    monkeypatch.setattr(definitions, "LOOK_BYTES", 0)
    assert check(path) == []


def crosswire(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "crosswire.engine.cli", *map(str, arguments)]
    return subprocess.run(command, env=os.environ, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_run_that_is_told_to_go_on_believes_the_configuration_and_says_so(folder: Path) -> None:
    path = write(folder, "tick = 0.1", "tick = 0.5")
    arguments = ["backtest", path, "--json", "--no-report", "-o", folder / "runs"]
    refused = crosswire(*arguments)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "the capture says tick 0.1, you say 0.5" in refused.stderr
    gone_on = crosswire(*arguments, "--ignore-definitions")
    assert gone_on.returncode == 0, gone_on.stderr
    summary = json.loads(gone_on.stdout)
    assert summary["venues"]["bridge"]["level_updates"] > 100
    told = [each["kind"] for each in summary["warnings"]]
    assert told.count("terms that the captures contradict") == 1
    assert "definitions that contradict the configuration" not in told
    assert summary["venues"]["bridge"]["definition_mismatches"] > 0


@pytest.mark.slow
def test_a_symbol_that_is_never_defined_is_told_once(folder: Path) -> None:
    path = write(folder, "BTCUSDT", "BTCUSDC")
    gone_on = crosswire("backtest", path, "--json", "--no-report", "-o", folder / "runs", "--ignore-definitions")
    told = [each["first_place"] for each in json.loads(gone_on.stdout)["warnings"]]
    assert [place.partition(":")[0] for place in told if "BTCUSDC" in place] == ["venue bridge, BTCUSDC"]


def test_inspect_of_another_venue_s_capture_says_why_it_found_nothing(folder: Path) -> None:
    result = crosswire("inspect", folder / "data" / "synthetic" / "bridge.pcap", "--venue", "deribit", "--json")
    assert result.returncode == 1
    assert json.loads(result.stdout)["packets"] > 100
    assert re.search("not one message of deribit in these captures: .* rejected for length mismatch", result.stderr)


def test_a_capture_that_defines_more_than_there_is_room_for_at_first_is_read_with_all_room(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(definitions, "INSTRUMENTS_FIRST", 1)
    assert check(write(folder)) == []
    with pytest.raises(ConfigError, match="nearest to it are BTC-PERPETUAL"):
        check(write(folder, "BTC-PERPETUAL", "ETH-PERPETUAL"))
