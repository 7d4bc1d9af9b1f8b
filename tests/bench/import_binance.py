"""How fast `crosswire import binance` turns recorded streams into captures: whole files, .gz in, .pcap out.

    crosswire bench import-binance [RECORDING.gz ...]      default: all of $CROSSWIRE_DATA/binance

The yardstick is hftbacktest 2.4.4's converter on usdm/btcusdt: 34,000 lines a second (2.75 s for 93,954 lines).
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from crosswire.venues.bridge.binance.importer import import_binance
from tests.support.paths import RECORDINGS, missing_recording

HFTBACKTEST_LINES_PER_S = 34_000
ROUNDS = 5


def once(recordings: list[Path]) -> dict[str, float]:
    """Import all recordings once: wall and processor seconds, lines."""
    with tempfile.TemporaryDirectory() as folder:
        wall, processor = time.perf_counter(), time.process_time()
        summaries = import_binance(recordings, Path(folder))
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
    return {"wall_s": wall, "cpu_s": processor, "lines": sum(summary.lines for summary in summaries)}


def from_start(recordings: list[Path]) -> float:
    """Seconds of a whole process, interpreter and imports included, with the compiled scanner in the store."""
    started = time.perf_counter()
    subprocess.run([sys.executable, __file__, "--once", *map(str, recordings)], check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> None:
    if sys.argv[1:2] == ["--once"]:
        once([Path(name) for name in sys.argv[2:]])
        return
    recordings = [Path(name) for name in sys.argv[1:]] or sorted(RECORDINGS.glob("binance/*/*.gz"))
    if not recordings:
        sys.exit(f"bench: {missing_recording('binance/*/*.gz')}, or name some")
    once(recordings[:1])  # compiles, or loads from the store
    best = min((once(recordings) for _ in range(ROUNDS)), key=lambda result: result["wall_s"])
    whole_s = min(from_start(recordings) for _ in range(3))
    lines_per_s = best["lines"] / best["wall_s"]
    for name, value in best.items():
        print(f"{name:>8} {value:.3f}")
    print(
        json.dumps(
            {
                "name": "import_binance",
                "files": len(recordings),
                "lines": int(best["lines"]),
                "seconds": round(best["wall_s"], 3),
                "cpu_seconds": round(best["cpu_s"], 3),
                "lines_per_s": round(lines_per_s),
                "lines_per_s_with_start": round(best["lines"] / whole_s),
                "yardstick_lines_per_s": HFTBACKTEST_LINES_PER_S,
                "ratio": round(lines_per_s / HFTBACKTEST_LINES_PER_S, 2),
            }
        )
    )


if __name__ == "__main__":
    main()
