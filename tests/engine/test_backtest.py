"""Whole runs through the command line: the same orders run after run, compiled or not, and never from stale code."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from crosswire.nic.capture.writer import CaptureWriter
from crosswire.nic.rings.replay import read_frames
from crosswire.venues.bridge.binance.importer import ImportOptions, import_file
from tests.support.paths import ROOT, recording
from tests.support.short_run import two_seconds

EXAMPLES = ROOT / "examples"
PLUGIN = """
import msgspec
from crosswire.nic.memory.struct import i64
from crosswire.strategies.desk import Desk, submit
from crosswire.strategies.interface import BuildContext, Strategy, on_book
from crosswire.venues.order import TimeInForce
from crosswire.venues.side import BUY

LOTS = 1


class Parameters(msgspec.Struct, forbid_unknown_fields=True):
    every: int


class Nibbler(Strategy):
    every: i64
    seen: i64

    @classmethod
    def build(cls, parameters: Parameters, context: BuildContext) -> "Nibbler":
        return cls(every=parameters.every)


@on_book.register(Nibbler)
def nibble(strategy: Nibbler, desk: Desk, instrument: int) -> None:
    strategy.seen += 1
    if strategy.seen % strategy.every == 0:
        ask = desk.books[instrument].ask_ticks
        submit(desk, instrument, BUY, ask, LOTS)
"""


def backtest(config: Path, folder: Path, **environment: str) -> dict[str, Any]:
    """Run the command; its summary."""
    command = [sys.executable, "-m", "crosswire.engine.cli", "backtest", str(config), "--output", str(folder), "--json"]
    result = subprocess.run(
        [*command, "--no-report"], cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return dict(json.loads(result.stdout))


def same_but_for_time(summary: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in summary.items() if key not in ("wall_s", "start_s", "level_updates_per_s")}


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default example over two seconds of its own data."""
    return two_seconds(tmp_path_factory.mktemp("synthetic"), seed=1)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Binance example over the first frames of its recordings after the last snapshot is there."""
    folder = tmp_path_factory.mktemp("recorded")
    text = (EXAMPLES / "binance-btc.toml").read_text()
    (folder / "data" / "binance").mkdir(parents=True)
    for market, name in (("spot", "btcusdt"), ("usdm", "btcusdt"), ("coinm", "btcusd_perp")):
        whole = folder / f"{market}.pcap"
        source = recording(f"binance/{market}/{name}_20240808.gz")
        import_file(source, whole, ImportOptions(clock_offset_ns=1_275_000_000))
        with CaptureWriter(folder / "data" / "binance" / f"{market}_{name}_20240808.pcap") as writer:
            for count, (time_ns, frame) in enumerate(read_frames([whole])):
                if count == 900:
                    break
                writer.write(time_ns, frame)
    (folder / "examples").mkdir()
    config = folder / "examples" / "run.toml"
    text = text.replace("close_threshold_bps = -1.5", "close_threshold_bps = -20")
    config.write_text(text.replace("\nthreshold_bps = 2", "\nthreshold_bps = -20"))
    return config


@pytest.mark.slow
@pytest.mark.parity
@pytest.mark.parametrize("example", ["synthetic", "recorded"])
def test_a_run_is_the_same_twice_and_uncompiled(example: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    config: Path = request.getfixturevalue(example)
    first = backtest(config, tmp_path / "first")
    again = backtest(config, tmp_path / "again")
    plain = backtest(config, tmp_path / "plain", CROSSWIRE_NO_JIT="1")
    assert first["orders_sent"] > 0
    assert first["fills"] > 0
    assert first["counters"]["alarms"] == 0
    assert same_but_for_time(first) == same_but_for_time(again) == same_but_for_time(plain)


@pytest.mark.slow
def test_an_edit_to_a_strategy_file_changes_the_next_run(synthetic: Path, tmp_path: Path) -> None:
    """numba's own cache would run the old machine code: only this file, not the loop's, has changed."""
    plugin = tmp_path / "nibbler.py"
    plugin.write_text(PLUGIN)
    head, _, rest = synthetic.read_text().partition("[strategy]")
    rest = rest.partition("[limits]")[2]
    config = synthetic.with_name("plugin.toml")
    config.write_text(f'{head}[strategy]\nuse = "{plugin}:Nibbler"\nparameters = {{ every = 50 }}\n[limits]{rest}')
    one = backtest(config, tmp_path / "runs")
    again = backtest(config, tmp_path / "runs")
    plugin.write_text(PLUGIN.replace("LOTS = 1", "LOTS = 3"))
    three = backtest(config, tmp_path / "runs")
    assert one["orders_sent"] == three["orders_sent"] > 10
    assert one["digest"] == again["digest"] != three["digest"]


def refusal(config: Path, tmp_path: Path, *before: str, options: Sequence[str] = ()) -> str:
    command = [
        *before,
        sys.executable,
        "-m",
        "crosswire.engine.cli",
        "backtest",
        str(config),
        "--output",
        str(tmp_path / "runs"),
        *options,
    ]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert list(tmp_path.glob("runs/*/*/report.html")) == []
    lines = [line for line in result.stderr.strip().splitlines() if not line.startswith("compil")]
    assert len(lines) == 1, result.stderr
    return lines[0]


def test_what_is_wrong_is_said_in_one_line(synthetic: Path, tmp_path: Path) -> None:
    text = synthetic.read_text()
    config = synthetic.with_name("wrong.toml")
    config.write_text(text.replace("position_max = 300_000", ""))
    assert "position_max" in refusal(config, tmp_path)
    config.write_text(text.replace('use = "cross_spread"', 'use = "nobody:Nothing"'))
    assert "strategy.use = nobody:Nothing" in refusal(config, tmp_path)
    config.write_text(text.replace("threshold_bps = 1", "threshold_bps = true"))
    assert "strategy.parameters.threshold_bps = True" in refusal(config, tmp_path)
    config.write_text(text.replace("bridge.pcap", "absent.pcap").replace("[generate]", "[other]"))
    assert "other" in refusal(config, tmp_path)
    damaged = synthetic.parent.parent / "data" / "synthetic" / "damaged.pcap"
    damaged.write_bytes((damaged.parent / "bridge.pcap").read_bytes()[:5_000])
    config.write_text(text.replace("bridge.pcap", "damaged.pcap"))
    line = refusal(config, tmp_path, options=["--strict"])
    assert "damaged.pcap, byte" in line
    assert "cut off" in line
    assert list(tmp_path.glob("runs/*/*")) == []
    told = [each["kind"] for each in backtest(config, tmp_path / "told")["warnings"]]
    assert told.count("records cut off by the end of the file") == 1
    plugin = tmp_path / "broken.py"
    plugin.write_text(PLUGIN.replace("strategy.seen += 1", "strategy.seen += len(strategy)"))
    head, _, rest = text.partition("[strategy]")
    rest = rest.partition("[limits]")[2]
    config.write_text(f'{head}[strategy]\nuse = "{plugin}:Nibbler"\nparameters = {{ every = 50 }}\n[limits]{rest}')
    line = refusal(config, tmp_path)
    number = plugin.read_text().splitlines().index("    strategy.seen += len(strategy)") + 1
    assert "Nibbler does not compile: len(a Nibbler) is not compiled" in line
    assert f"broken.py:{number}" in line


def test_a_host_that_refuses_to_write_is_told_in_one_line(synthetic: Path, tmp_path: Path) -> None:
    backtest(synthetic, tmp_path / "before")  # so that nothing but the run itself is left to write
    line = refusal(synthetic, tmp_path, "bash", "-c", 'ulimit -f 64; exec "$@"', "full")
    assert line.startswith("crosswire: ")
    assert "File too large" in line
    shutil.rmtree(tmp_path / "runs")
    (tmp_path / "runs").touch()
    assert refusal(synthetic, tmp_path) == f"crosswire: {tmp_path}/runs/synthetic: Not a directory"
