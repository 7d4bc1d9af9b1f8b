"""Captures behind a device that stamps: with its times a run is what it would be, had the host's clock been as good."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crosswire.engine.backtest import run_backtest
from crosswire.engine.config import ConfigError, load_config
from crosswire.engine.inspect import inspect_captures
from crosswire.nic.capture.writer import CaptureWriter
from crosswire.nic.rings.replay import read_frames
from crosswire.nic.unit.compile import NO_JIT
from tests.support.short_run import two_seconds
from tests.support.stamps import arista, exablaze, metamako

HOST_NS = 20_000_000  # by so much the host's clock is off, and may its times be late
WAYS = {"deribit": ("arista", arista), "bridge": ("metamako", metamako)}


def stamp_all(path: Path, stamp: Callable[[bytes, int], bytes], late_ns: int = HOST_NS) -> None:
    """Have every frame of a capture stamped by a device, and recorded late by a host whose clock is off."""
    chance = random.Random(5)
    frames = list(read_frames([path]))
    path.unlink()
    with CaptureWriter(path) as writer:
        for time_ns, frame in frames:
            writer.write(time_ns + HOST_NS + chance.randrange(late_ns), stamp(frame, time_ns))


def summary(config: Path, folder: Path) -> dict[str, Any]:
    run = run_backtest(config, folder, started=0, with_report=False)
    found = json.loads((run / "summary.json").read_text())
    assert isinstance(found, dict)
    return found


@pytest.mark.slow
@pytest.mark.skipif(NO_JIT, reason="whole runs take minutes uncompiled")
def test_a_run_over_stamped_captures_sends_the_same_orders(tmp_path: Path) -> None:
    config = two_seconds(tmp_path, seed=4)
    without = summary(config, tmp_path / "without")
    text = config.read_text()
    for venue, (name, stamp) in WAYS.items():
        capture = f'captures = ["../data/synthetic/{venue}.pcap"]'
        assert capture in text
        text = text.replace(capture, f'{capture}\ncapture_stamps = "{name}"')
        stamp_all(tmp_path / "data" / "synthetic" / f"{venue}.pcap", stamp)
    config.write_text(text)
    stamped = summary(config, tmp_path / "stamped")
    assert stamped["digest"] == without["digest"]
    assert stamped["warnings"] == without["warnings"]


@pytest.mark.slow
@pytest.mark.skipif(NO_JIT, reason="whole runs take minutes uncompiled")
def test_a_run_tells_of_stamps_that_it_does_not_use(tmp_path: Path) -> None:
    config = two_seconds(tmp_path, seed=4)
    stamp_all(tmp_path / "data" / "synthetic" / "bridge.pcap", metamako, late_ns=1)
    hinted = summary(config, tmp_path / "hinted")
    told = {each["kind"]: each["count"] for each in hinted["warnings"]}
    assert told["frames, of the first 64, with a Metamako time stamp, not used"] == 64


def test_inspect_has_the_times_that_it_is_told_to_take(tmp_path: Path) -> None:
    two_seconds(tmp_path, seed=4)
    path = tmp_path / "data" / "synthetic" / "bridge.pcap"
    whole = inspect_captures([path], "bridge")
    stamp_all(path, exablaze)
    assert inspect_captures([path], "bridge", "exablaze") == whole
    own = inspect_captures([path], "bridge")
    assert own["first_time_ns"] >= whole["first_time_ns"] + HOST_NS
    assert [each["kind"] for each in own["warnings"]] == [
        "frames, of the first 64, with an Exablaze time stamp, not used"
    ]


def test_stamps_that_are_none_of_those_read_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--capture-stamps cisco: none of none, exablaze, metamako, arista"):
        inspect_captures([tmp_path], "bridge", "cisco")
    config = two_seconds(tmp_path, seed=4)
    config.write_text(config.read_text().replace("captures = [", 'capture_stamps = "cisco"\ncaptures = [', 1))
    with pytest.raises(ConfigError, match="capture_stamps"):
        load_config(config)
