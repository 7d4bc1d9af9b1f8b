"""What strategies cost: ns a callback, one to four at once, built in or not: `crosswire bench strategies [ROUNDS]`.

* Each built-in strategy that has a configuration for the data, alone: the median of every call of each callback, the
  cost of reading the counter taken off (`crosswire check --config` measures the same). Data: BTC as recorded at Binance
  (`examples/binance-btc.toml`), the two generated venues (`synthetic.toml`), Starbase's simulation (`starbase.toml`).
* The first one to four of them at once, in one loop: a callback of the first beside the others, and the loop's time.
* `cross_spread` against a copy of its file outside of the package, as an author's own: same digest, and the loop's time
  by turns, ROUNDS times each, the first of each pair changing; medians.

A strategy's configuration for the data is in `tests/bench/verdicts/NAME.toml`, or in `own` below.
"""

import json
import shutil
import statistics
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from crosswire.engine.backtest import turn_until_finished
from crosswire.engine.build.market import instrument_names
from crosswire.engine.build.run import build_run
from crosswire.engine.checking.timing import CallbackTime, run_timed, timed_class
from crosswire.engine.config import RunConfig, StrategyConfig, parse_config
from crosswire.engine.configuration.show import toml_text
from crosswire.engine.data import prepare_data
from crosswire.engine.plugin import BUILT_IN, find_strategy_class
from crosswire.nic.journal.files import MemoryJournal
from crosswire.nic.unit.source import PACKAGE_FOLDER
from tests.bench.verdicts import STRATEGIES, add_money
from tests.support.paths import ROOT, benchmark_recording

ROUNDS = 7
AT_ONCE = (1, 2, 3, 4)
DATA = {"btc": "binance-btc.toml", "generated": "synthetic.toml", "starbase": "starbase.toml"}
LEGS = {"size_max": "0.01", "position_max": "0.1", "unwind_loss_max_bps": 10, "slippage_ticks": 5}
OUTSIDE = "cross_spread"


def own(first: str, second: str) -> dict[str, dict[str, Any]]:
    """Give parameters of strategies that have no file of their own, on two instruments."""
    return {
        "cross_spread": {"instruments": [first, second], "threshold_bps": 2, "depth": 5, **LEGS},
        "basis": {
            "pairs": [[first, second]],
            "half_life_s": 10,
            "sample_us": 10_000,
            "warmup_s": 10,
            "entry_deviations": 2,
            "exit_deviations": 0,
            "edge_min_bps": 0,
            "hold_max_s": 60,
            **LEGS,
        },
        "restless": {"instruments": [first, second], "seed": 1, "lots": 1},
    }


def load_market(data: str, path: Path) -> RunConfig:
    """Read an example, with what holding costs of all strategies' own configurations for it."""
    table = tomllib.loads(path.read_text(), parse_float=Decimal)
    for fragment in sorted(STRATEGIES.glob("*.toml")):
        add_money(table, tomllib.loads(fragment.read_text(), parse_float=Decimal).get(data, {}).get("money", {}))
    return parse_config(toml_text(table), path)


def strategies_on(data: str, config: RunConfig) -> dict[str, StrategyConfig]:
    """Give the built-in strategies that have a configuration for the data, by name."""
    first, second, *_ = instrument_names(config)
    others = own(first, second)
    found = {}
    for name in BUILT_IN:
        fragment = STRATEGIES / f"{name}.toml"
        if fragment.is_file():
            tables = tomllib.loads(fragment.read_text(), parse_float=Decimal)
            if data in tables:
                tables[data].pop("money", None)  # `load_market` has it
                found[name] = msgspec.convert(tables[data], StrategyConfig)
                continue
        if name in others:
            found[name] = StrategyConfig(use=name, parameters=others[name])
    return {name: msgspec.structs.replace(each, name=name) for name, each in found.items()}


def timed(each: StrategyConfig) -> StrategyConfig:
    """Have a strategy note the time of its callbacks."""
    cls = timed_class(find_strategy_class(each.use, Path(), "bench"))
    return msgspec.structs.replace(each, use=f"{cls.__module__}:{cls.__name__}")


def medians(times: list[CallbackTime]) -> dict[str, dict[str, float]]:
    """Give the median ns of each callback, by class and callback."""
    found: dict[str, dict[str, float]] = {}
    for each in times:
        found.setdefault(each.strategy, {})[each.callback] = round(each.median_ns, 1)
    return found


def loop(config: RunConfig, path: Path, strategies: list[StrategyConfig]) -> tuple[float, str]:
    """Run strategies, untimed: the loop's seconds, and the digest of what they sent."""
    config = msgspec.structs.replace(config, strategy=strategies[0] if len(strategies) == 1 else strategies)
    run = build_run(config, path)
    try:
        run.load()
        kept = MemoryJournal(run.engine.journal)
        started = time.perf_counter()
        turn_until_finished(run, kept)
        return time.perf_counter() - started, run.digests()
    finally:
        run.close()


def alone(config: RunConfig, path: Path, strategies: dict[str, StrategyConfig]) -> Iterator[tuple[str, Any]]:
    """Time each strategy by itself."""
    for name, each in strategies.items():
        found = medians(run_timed(config, path, [timed(each)]))
        yield name, next(iter(found.values()), {})


def at_once(config: RunConfig, path: Path, strategies: dict[str, StrategyConfig]) -> dict[str, Any]:
    """Time the first few together: `on_book` of the first, and the loop."""
    names = list(strategies)
    found = {}
    for count in AT_ONCE:
        # Fewer kinds than that: the same ones again, under other names.
        chosen = [(names[place % len(names)], f"{names[place % len(names)]}_{place}") for place in range(count)]
        several = [msgspec.structs.replace(strategies[kind], name=name) for kind, name in chosen]
        first, *others = several
        times = run_timed(config, path, [timed(first), *others])
        seconds = min(loop(config, path, several)[0] for _ in range(3))
        own = next(iter(medians(times).values()), {})
        found[str(count)] = {"on_book_ns": own.get("on_book"), "loop_ms": round(seconds * 1e3, 1)}
    return found


def inside_and_outside(config: RunConfig, path: Path, each: StrategyConfig, rounds: int) -> dict[str, Any]:
    """Run the built-in strategy and the same source as somebody's own, by turns."""
    copy = path.parent / "outside.py"
    shutil.copyfile(PACKAGE_FOLDER / "strategies" / f"{OUTSIDE}.py", copy)
    class_name = BUILT_IN[OUTSIDE].rpartition(":")[2]
    both = {"built in": each, "outside": msgspec.structs.replace(each, use=f"{copy.name}:{class_name}")}
    seconds: dict[str, list[float]] = {name: [] for name in both}
    digests = {name: loop(config, path, [one])[1] for name, one in both.items()}  # compiles
    for number in range(rounds):
        for name in list(both) if number % 2 == 0 else reversed(list(both)):
            seconds[name].append(loop(config, path, [both[name]])[0])
    middle = {name: statistics.median(times) for name, times in seconds.items()}
    return {
        "same_digest": digests["built in"] == digests["outside"],
        "built_in_ms": round(middle["built in"] * 1e3, 2),
        "outside_ms": round(middle["outside"] * 1e3, 2),
        "ratio": round(middle["outside"] / middle["built in"], 3),
        "ratio_of_least": round(min(seconds["outside"]) / min(seconds["built in"]), 3),
    }


def main(rounds: int = ROUNDS) -> None:
    """Print a line for each of them, and the JSON line."""
    benchmark_recording("binance/spot/btcusdt_20240808.gz")
    figures: dict[str, Any] = {"name": "strategies", "rounds": rounds}
    with tempfile.TemporaryDirectory() as folder:
        examples = shutil.copytree(ROOT / "examples", Path(folder) / "examples")
        for data, file in DATA.items():
            path = examples / file
            config = load_market(data, path)
            prepare_data(config, path, None)
            strategies = strategies_on(data, config)
            figures[data] = {}
            for name, times in alone(config, path, strategies):
                figures[data][name] = times
                print(f"{data:10} {name:14} " + ", ".join(f"{key} {value:,.0f} ns" for key, value in times.items()))
            figures[data]["at_once"] = at_once(config, path, strategies)
            for count, facts in figures[data]["at_once"].items():
                print(f"{data:10} {count} at once: on_book {facts['on_book_ns']} ns, loop {facts['loop_ms']} ms")
            if data == "btc":
                figures["outside"] = inside_and_outside(config, path, strategies[OUTSIDE], rounds)
                print(f"{data:10} {OUTSIDE} outside of the package: {figures['outside']}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
