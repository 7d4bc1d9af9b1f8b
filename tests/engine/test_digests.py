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
# As of 2026-11-29: addresses and session ids come from the venues' names, and what is due at one time is taken in their
# order. Before that the orders of all but binance-btc were those of 2026-11-27. Those of synthetic and starbase changed
# once more that day: their bridge feed's latency is measured, 1.06 ms in the median, where 0.5 ms was configured.
DIGESTS = {
    "synthetic": "3ceace9b78116ceb-fc25c98533127553",
    "starbase": "91137aead1e110fc-e781c9eab7497f51",
    "binance-btc": "211ebda15fdc24e1-36b4b89f1399a0d6-3def3f0c31c1eb3a",
    "binance-eth": "8a00e4609b2c928c-6caed4fc71269fd2-c22cbf9267115707",
}
ORDERS = {"synthetic": 1041, "starbase": 1802, "binance-btc": 44, "binance-eth": 66}
# The example with the latencies that it had before the wire's own times were asked.
CONSTANT = "5932881770fee716-e5be01f84e184c97-99cc67e7488c6491"


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The examples in a folder of their own: data is made beside it."""
    return shutil.copytree(ROOT / "examples", tmp_path_factory.mktemp("digests") / "examples")


@pytest.mark.parametrize("example", DIGESTS)
def test_an_example_sends_the_orders_that_it_always_sent(example: str, examples: Path) -> None:
    if example.startswith("binance"):
        recording(f"binance/spot/{example.removeprefix('binance-')}usdt_20240808.gz")
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
