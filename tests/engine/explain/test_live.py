"""Goal: a live run over real wires, run again from its journal and capture, gives every order byte for byte."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from crosswire.nic.host.testbed import Testbed
from tests.support.live_setup import make_config, trade
from tests.support.net import own_testbed
from tests.support.paths import ROOT

SECONDS = 5


@pytest.fixture
def testbed() -> Iterator[Testbed]:
    with own_testbed("ex", links=2) as testbed:
        yield testbed


@pytest.mark.netns
@pytest.mark.parametrize("ring", ['"af_xdp"', '"sockets"'])
def test_a_live_run_is_run_again_byte_for_byte(testbed: Testbed, tmp_path: Path, ring: str) -> None:
    config = make_config(tmp_path, testbed, seconds=9, **{'"af_xdp"': ring})
    seen = trade(tmp_path, config, SECONDS, live_options=["--capture", tmp_path / "captured"])
    command = [sys.executable, "-m", "crosswire.engine.cli", "explain", tmp_path / "runs" / "synthetic" / "latest"]
    result = subprocess.run([*map(str, command), "--json"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode in (0, 1), result.stderr
    replay = json.loads(result.stdout)["replay"]
    assert replay["is_same"], replay
    assert replay["missing_frames"] == 0
    sent = sum(own["orders_sent"] for own in replay["venues"])
    assert sent >= seen.engine["orders_sent"] > 0
