"""What measured feed latencies cost a backtest: `examples/binance-btc.toml` with them, and with a constant, by turns.

    crosswire bench measured [ROUNDS]

The figure is the least time of the loop over the rounds, in one process; reading the captures is in it.
"""

import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from crosswire.engine.backtest import turn_until_finished
from crosswire.engine.build.run import build_run
from crosswire.engine.config import load_config
from crosswire.engine.data import prepare_data
from crosswire.nic.journal.files import MemoryJournal
from tests.support.paths import ROOT, benchmark_recording

ROUNDS = 15
GOAL = 1.05
MEASURED = 'feed_latency = "measured"'
CONSTANT = 'feed_latency = { model = "constant", us = 300 }'


def loop_s(config_path: Path) -> float:
    """Seconds of one run's loop."""
    run = build_run(load_config(config_path), config_path)
    run.load()
    kept = MemoryJournal(run.engine.journal)
    started = time.perf_counter()
    turn_until_finished(run, kept)
    seconds = time.perf_counter() - started
    run.close()
    return seconds


def main(rounds: int) -> None:
    benchmark_recording("binance/spot/btcusdt_20240808.gz")
    with tempfile.TemporaryDirectory() as folder:
        examples = shutil.copytree(ROOT / "examples", Path(folder) / "examples")
        measured, constant = examples / "binance-btc.toml", examples / "constant.toml"
        text = measured.read_text()
        assert MEASURED in text
        constant.write_text(text.replace(MEASURED, CONSTANT))
        prepare_data(load_config(measured), measured, None)
        seconds: dict[Path, list[float]] = {measured: [], constant: []}
        for _ in range(rounds):
            for path, times in seconds.items():
                times.append(loop_s(path))
    measured_s, constant_s = min(seconds[measured]), min(seconds[constant])
    print(f"measured {measured_s * 1e3:.1f} ms, constant {constant_s * 1e3:.1f} ms")
    print(
        json.dumps(
            {
                "name": "measured",
                "rounds": rounds,
                "measured_s": round(measured_s, 4),
                "constant_s": round(constant_s, 4),
                "ratio": round(measured_s / constant_s, 3),
                "goal": GOAL,
            }
        )
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
