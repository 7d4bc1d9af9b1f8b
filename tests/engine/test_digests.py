"""The orders of the examples, to the byte: what is not meant to change them does not.

A digest is FNV-1a over every order frame that a venue was sent. A change of one belongs in a commit of its own that
names the first order that differs and why.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from crosswire.nic.unit.compile import NO_JIT
from tests.support.paths import RECORDINGS, ROOT, recording

pytestmark = [pytest.mark.parity, pytest.mark.skipif(NO_JIT, reason="whole runs take minutes uncompiled")]
# The first two as of 2026-11-27, before the loop was cut into units.
DIGESTS = {
    "synthetic": "6c9f9e406cf036cf-23a942a0f8aca703",
    "starbase": "1ce91d2e8c83593a-4511753a4efbece1",
    "binance-btc": "c51324f1804c60ce-59c6634172b007ba-b82f07fd3bd22c90",
}
ORDERS = {"synthetic": 1029, "starbase": 1903, "binance-btc": 44}
# As of 2026-11-27, when the example said so: with measured latencies nothing else of it has changed.
CONSTANT = "60f3a11009799188-0b57a3fe558c3d41-2cdd01f5929ee288"


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The examples in a folder of their own: data is made beside it."""
    return shutil.copytree(ROOT / "examples", tmp_path_factory.mktemp("digests") / "examples")


@pytest.mark.parametrize("example", DIGESTS)
def test_an_example_sends_the_orders_that_it_always_sent(example: str, examples: Path) -> None:
    if example == "binance-btc":
        recording("binance/spot/btcusdt_20240808.gz")
    summary = backtest(examples, example)
    assert (summary["orders_sent"], summary["digest"]) == (ORDERS[example], DIGESTS[example])


def test_a_constant_feed_latency_gives_the_orders_that_it_always_gave(examples: Path) -> None:
    recording("binance/spot/btcusdt_20240808.gz")
    text = (examples / "binance-btc.toml").read_text()
    constant = text.replace('feed_latency = "measured"', 'feed_latency = { model = "constant", us = 300 }')
    assert constant != text
    (examples / "constant.toml").write_text(constant)
    summary = backtest(examples, "constant")
    assert (summary["orders_sent"], summary["digest"]) == (42, CONSTANT)
    kind = "packets longer under way than feed_latency says"
    told = [each["first_place"] for each in summary["warnings"] if each["kind"] == kind]
    assert told == ["spot", "usdm", "coinm"]


def backtest(examples: Path, example: str) -> Any:
    """Run an example; give its summary."""
    command = [sys.executable, "-m", "crosswire.engine.cli", "backtest", str(examples / f"{example}.toml"), "--json"]
    result = subprocess.run(
        [*command, "--no-report", "-o", str(examples.parent / "runs")],
        env=os.environ | {"CROSSWIRE_DATA": str(RECORDINGS)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)
