"""The measured process of `bench backtest`: one run, and a JSON line. It imports nothing but Crosswire.

python -m tests.bench.backtest_run CONFIG OUTPUT
"""

import json
import sys
import time
from pathlib import Path


def once(config: str, work: str) -> None:
    """Run, and print."""
    started = time.perf_counter()
    from crosswire.engine.backtest import run_backtest
    from crosswire.engine.report.summary import read_summary

    summary = read_summary(run_backtest(Path(config), Path(work), started=started, with_report=False))
    status = Path("/proc/self/status").read_text()
    peak_kib = int(status.partition("VmHWM:")[2].split()[0])
    figures = {"run_s": summary.wall_s, "start_s": summary.start_s, "level_updates": summary.level_updates}
    figures |= {"orders": summary.orders_sent, "frames": summary.frames, "peak_memory_bytes": peak_kib * 1024}
    print(json.dumps(figures | {"whole_s": time.perf_counter() - started, "digest": summary.digest}))


if __name__ == "__main__":
    once(sys.argv[1], sys.argv[2])
