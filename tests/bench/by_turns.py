"""Two ways of running the rig of `bench tick-to-trade`, by turns in one run: each round has both, in either order."""

import argparse
import json
import os
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

Runs = dict[bool, list[dict[str, Any]]]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what both benchmarks may be told."""
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--loop-core", type=int, default=max(os.sched_getaffinity(0)))
    parser.add_argument("--exchange-core", type=int, default=min(os.sched_getaffinity(0)))
    parser.add_argument("--fifo", action=argparse.BooleanOptionalAction, default=True, help="real-time loop")


def by_turns(rounds: int, names: tuple[str, str], one_run: Callable[[Path, bool], dict[str, Any]]) -> Runs:
    """Run without and with something so many times, each in a folder of its own; print each. `names`: of both."""
    found: Runs = {False: [], True: []}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            for is_with in (False, True) if number % 2 == 0 else (True, False):
                name = f"{number}-{names[is_with]}"
                seen = one_run(Path(folder) / name, is_with)
                found[is_with].append(seen)
                print(json.dumps({"run": name, **seen}), flush=True)
    return found


def compared(found: Runs, names: tuple[str, str]) -> dict[str, Any]:
    """Give the medians of p50 and p99 of both, and p99 with it to p99 without: of the medians, and of each round."""
    facts: dict[str, Any] = {
        f"{names[is_with]}_ns": {figure: statistics.median(each[figure] for each in runs) for figure in ("p50", "p99")}
        for is_with, runs in found.items()
    }
    without, with_it = (facts[f"{name}_ns"]["p99"] for name in names)
    pairs = zip(found[False], found[True], strict=True)
    own = [round(second["p99"] / first["p99"], 3) for first, second in pairs]
    return facts | {"ratio_p99": round(with_it / without, 3), "rounds_ratio_p99": own}
