"""Makes the environment and the data of the hftbacktest yardstick on demand, and runs it.

    python -m tests.bench.yardstick [RUNS]      prints one JSON line a measure, medians of RUNS processes each
    python -m tests.bench.yardstick install     makes the environment alone

hftbacktest 2.4.4 pins numpy 2.2, so it lives in an environment of its own. All is kept in `cache_folder()`; a folder
appears there under its final name only when it is complete.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.paths import benchmark_recording

PACKAGE = "hftbacktest==2.4.4"
SCRIPT = Path(__file__).with_name("hftbacktest_yardstick.py")

RECORDING = "btcusdt_20240808.gz"
MARKETS = ("usdm", "spot")
TILES = 20
SHIFT_S = 360  # from tile to tile: the recording takes 345 s
DEPTHS = ("roi", "hash")
SOURCES = ("mem", "npz")


def cache_folder() -> Path:
    """Where benchmarks keep what is slow to make: `$XDG_CACHE_HOME/crosswire-bench`, by default under ~/.cache."""
    home = os.environ.get("XDG_CACHE_HOME") or (f"{os.environ['HOME']}/.cache" if os.environ.get("HOME") else None)
    return Path(home or tempfile.gettempdir()) / "crosswire-bench"


def made_once(target: Path, make: Callable[[Path], None]) -> Path:
    """`target`, made by `make` in a folder beside it and renamed when complete."""
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f"{target.name}.draft-{os.getpid()}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    try:
        make(draft)
        draft.rename(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return target


def yardstick_folder() -> Path:
    """Where the environment with hftbacktest is, once it is made."""
    return cache_folder() / f"{PACKAGE.replace('==', '-')}-py{sys.version_info.major}.{sys.version_info.minor}"


def yardstick_python() -> Path:
    """The interpreter of an environment with hftbacktest, installed from the package index the first time."""

    def make(folder: Path) -> None:
        venv.create(folder, with_pip=True)
        command = [folder / "bin" / "python", "-m", "pip", "install", "-qq", "--disable-pip-version-check", PACKAGE]
        subprocess.run(command, check=True)

    return made_once(yardstick_folder(), make) / "bin" / "python"


def call(*arguments: object) -> dict[str, Any]:
    """Run the yardstick's script in its environment; its last line as JSON, {} if it prints nothing."""
    environment = os.environ | {"YARDSTICK_STARTED_NS": str(time.time_ns())}
    environment.pop("PYTHONPATH", None)
    command = [str(part) for part in (yardstick_python(), SCRIPT, *arguments)]
    result = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    lines = result.stdout.strip().splitlines()
    return json.loads(lines[-1]) if lines and lines[-1].startswith("{") else {}


def real_recording(market: str) -> Path:
    """The BTC recording of a market."""
    return benchmark_recording(f"binance/{market}/{RECORDING}")


def tiled_data(tiles: int = TILES) -> Path:
    """The folder with the spot and USD-M BTC recordings, converted by hftbacktest and tiled."""

    def make(folder: Path) -> None:
        converted = {}
        for market in MARKETS:
            converted[market] = call("convert", market, real_recording(market), folder / f"{market}.npz")
            call("tile", folder / f"{market}.npz", folder / f"{market}_tiled", tiles, SHIFT_S)
        (folder / "convert.json").write_text(json.dumps(converted))

    return made_once(cache_folder() / f"hftbacktest-btc-x{tiles}", make)


def measure(depth: str, source: str, runs: int = 3, tiles: int = TILES) -> dict[str, Any]:
    """Medians over `runs` processes of one two-venue backtest (see hftbacktest_yardstick.py).

    `rows` level changes and trades, `orders`, `run_s` and `cpu_s` (source npz: reading the files included),
    `rows_per_s`, `start_s` (process start to the first result, compilation included), `peak_memory_bytes`.
    """
    folder = tiled_data(tiles)
    results = [call("run", folder, depth, source) for _ in range(runs)]
    median = {
        key: statistics.median(result[key] for result in results)
        for key, value in results[0].items()
        if isinstance(value, int | float)
    }
    return results[0] | median | {"runs": runs}


if __name__ == "__main__":
    if sys.argv[1:] == ["install"]:
        sys.exit(print(yardstick_python()))
    for depth in DEPTHS:
        for source in SOURCES:
            print(json.dumps(measure(depth, source, int(sys.argv[1]) if len(sys.argv) > 1 else 3)), flush=True)
