"""`crosswire simulate`: many seeds on all cores, and what did not hold in any of them."""

import hashlib
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from crosswire.engine.config import ConfigError, RunConfig, load_config, make_config, parse_toml, read_config_text
from crosswire.engine.configuration.settings import with_settings
from crosswire.engine.data import prepare_data
from crosswire.engine.errors import LoopError, SimulationError
from crosswire.engine.examples import example_files
from crosswire.engine.simulate.plan import DATA_SEEDS, TRADING_MS, draw_plan
from crosswire.engine.simulate.play import CUT_LEAVING_MS, Outcome, play
from crosswire.engine.simulate.watch import Invariant
from crosswire.engine.simulate.world import make_world
from crosswire.nic.duration import NS_PER_MS, NS_PER_S

DATA_S = (TRADING_MS + CUT_LEAVING_MS) * NS_PER_MS // NS_PER_S + 2  # of market data that a seed needs
SEEDS_A_TASK = 4
PLAYED_DATA = 'directory = "../data/synthetic"'  # that the examples which are played have made up
SHOWN_MAX = 20  # violations that are shown; more are counted


@dataclass(frozen=True)
class Setting:
    """The configurations of a simulation, and where their made-up market data lies."""

    configs: tuple[Path, ...]
    venue_counts: tuple[int, ...]  # of each
    folder: Path
    settings: tuple[str, ...] = ()  # "key=value", set in all of them

    def load(self, number: int, data_seed: int) -> RunConfig:
        """Load a configuration, over the market data of this seed; ConfigError if it makes none up."""
        return seeded_config(self.configs[number], self.folder / f"{number}-{data_seed}", data_seed, self.settings)


@dataclass
class Summary:
    """What became of all seeds."""

    seeds: int = 0
    steps: int = 0
    orders: int = 0
    fills: int = 0
    alarmed_seeds: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    invariants: Counter[str] = field(default_factory=Counter)
    violations: list[dict[str, Any]] = field(default_factory=list)
    digests: dict[int, str] = field(default_factory=dict)  # of all order frames, by seed

    def add(self, outcome: Outcome) -> None:
        """Add one seed."""
        self.seeds += 1
        self.digests[outcome.seed] = outcome.digests
        self.steps += outcome.steps
        self.orders += outcome.orders
        self.fills += outcome.fills
        self.alarmed_seeds += outcome.alarms != 0
        self.faults.update(outcome.faults)
        self.invariants.update(outcome.evaluated)
        self.violations += [{"seed": outcome.seed} | msgspec.structs.asdict(each) for each in outcome.violations]

    def facts(self) -> dict[str, Any]:
        """Put it into one JSON object."""
        return {
            "seeds": self.seeds,
            "digest": hashlib.sha256(repr(sorted(self.digests.items())).encode()).hexdigest()[:16],
            "steps": self.steps,
            "orders": self.orders,
            "fills": self.fills,
            "alarmed_seeds": self.alarmed_seeds,
            "violations": len(self.violations),
            "violating_seeds": sorted({each["seed"] for each in self.violations}),
            "faults": dict(self.faults),
            "invariants": dict(self.invariants),
            "first_violations": self.violations[:SHOWN_MAX],
        }


def parse_seeds(text: str) -> range:
    """Parse "A..B", both included, or a single seed; SimulationError if it is neither."""
    match = re.fullmatch(r"(\d+)(?:\.\.(\d+))?", text)
    if match is None or int(match[2] or match[1]) < int(match[1]):
        raise SimulationError(f"--seeds {text}: must be A..B, as 0..999, or one number")
    return range(int(match[1]), int(match[2] or match[1]) + 1)


def default_configs() -> list[Path]:
    """List the examples that are played. One with other data must not change what a seed means."""
    return [path for path in example_files() if path.suffix == ".toml" and PLAYED_DATA in path.read_text()]


def seeded_config(path: Path, data: Path, data_seed: int, settings: Sequence[str] = ()) -> RunConfig:
    """Load a configuration with another seed and length of its made-up data, which lies in the folder `data`."""
    raw = with_settings(parse_toml(read_config_text(path), path), settings)
    if "generate" not in raw:
        raise ConfigError(f"{path}: generate is missing: a simulation makes its market data up")
    raw["generate"] |= {"seed": data_seed, "seconds": DATA_S, "directory": str(data)}
    for venue in raw.get("venue", []):
        venue["captures"] = [str(data / Path(capture).name) for capture in venue.get("captures", [])]
    return make_config(raw, path)


@contextmanager
def prepared(configs: list[Path], settings: Sequence[str] = ()) -> Iterator[Setting]:
    """Make every configuration's market data, for all its seeds, in a folder that is removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="crosswire-simulate-"))
    try:
        venue_counts = tuple(len(load_config(path).venue) for path in configs)
        setting = Setting(tuple(path.resolve() for path in configs), venue_counts, folder, tuple(settings))
        for number, path in enumerate(configs):
            for data_seed in range(1, DATA_SEEDS + 1):
                prepare_data(setting.load(number, data_seed), path, None)
        yield setting
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def play_seed(setting: Setting, seed: int, trace: bool = False) -> Outcome:
    """Play one seed to its end. SimulationError: what the loop raised, and in which seed."""
    plan = draw_plan(seed, setting.venue_counts)
    world = make_world(plan, setting.load(plan.config, plan.data_seed), setting.configs[plan.config])
    world.trace = trace
    try:
        return play(world)
    except LoopError as error:
        raise SimulationError(f"seed {seed}: {error}") from error


def play_seeds(setting: Setting, seeds: range) -> list[Outcome]:
    """Play some seeds, in a process of the pool."""
    return [play_seed(setting, seed) for seed in seeds]


def run_simulation(
    configs: list[Path], seeds: range, trace: bool, console: Console, settings: Sequence[str] = ()
) -> Summary:
    """Play all seeds on all cores. SimulationError, ConfigError, CaptureError, StoreError: one line each."""
    configs = configs or default_configs()
    summary = Summary()
    with prepared(configs, settings) as setting:
        # The first seed of each configuration compiles what is not on disk, once, instead of each worker for itself.
        first = seeds[: len(configs)]
        for seed in first:
            summary.add(play_seed(setting, seed, trace))
        rest = seeds[len(first) :]
        tasks = [rest[at : at + SEEDS_A_TASK] for at in range(0, len(rest), SEEDS_A_TASK)]
        bar = Progress(
            TextColumn("seeds"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        # Forked workers would share what the parent's threads hold.
        with bar, ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
            shown = bar.add_task("seeds", total=len(seeds), completed=len(first))
            futures = [pool.submit(play_seeds, setting, task) for task in tasks]
            try:
                for future in as_completed(futures):
                    for outcome in future.result():
                        summary.add(outcome)
                        bar.advance(shown)
            except BrokenProcessPool:
                raise SimulationError("a worker of the simulation died; play its seeds one by one") from None
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
    return summary


def summary_lines(summary: Summary) -> Iterator[str]:
    """Say what became of all seeds, in lines."""
    yield f"{summary.seeds:,} seeds, {summary.steps:,} steps, {summary.orders:,} orders, {summary.fills:,} fills"
    yield f"an alarm stood at the end of {summary.alarmed_seeds:,} seeds"
    yield "happened: " + ", ".join(f"{name} {count:,}" for name, count in sorted(summary.faults.items()))
    held = {each.name: summary.invariants[each.name] for each in Invariant}
    yield "judged: " + ", ".join(f"{name.lower().replace('_', ' ')} {count:,}" for name, count in held.items())
    for each in summary.violations[:SHOWN_MAX]:
        yield (
            f"seed {each['seed']}: {each['invariant']} at {each['time_ms']:.3f} ms, turn {each['turn']}, "
            f"place {each['place']}: {each['found']}, expected {each['expected']}"
        )
    yield f"{len(summary.violations):,} violations"
