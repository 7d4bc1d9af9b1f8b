"""One short backtest, and the same with slower orders, for all that is read from a run's folder."""

import time
from pathlib import Path

import pytest

from crosswire.engine.backtest import run_backtest
from crosswire.engine.generate import generate_captures
from crosswire.engine.latency_sweep import with_order_latency
from tests.support.paths import ROOT

SECONDS = 12
SLOW_US = 20_000


@pytest.fixture(scope="package")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("after")
    generate_captures(folder / "data" / "synthetic", seed=1, seconds=SECONDS)
    (folder / "examples").mkdir()
    config = folder / "examples" / "run.toml"
    text = (ROOT / "examples" / "synthetic.toml").read_text()
    config.write_text(text.replace("seconds = 120", f"seconds = {SECONDS}"))
    return config


@pytest.fixture(scope="package")
def finished(config: Path) -> Path:
    return run_backtest(config, config.parent / "runs", started=time.perf_counter(), with_report=False)


@pytest.fixture(scope="package")
def slower(config: Path) -> Path:
    text = with_order_latency(config.read_text(), SLOW_US, "")
    return run_backtest(
        config, config.parent / "runs", started=time.perf_counter(), with_report=False, config_text=text
    )
