"""A sweep from its plan to its report."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from crosswire.engine.config import ConfigError, parse_config, read_config_text
from crosswire.engine.configuration.settings import set_text
from crosswire.engine.data import prepare_data
from crosswire.engine.sweep.cluster import WORKERS_MAX, compile_here, compile_on_hosts, connected
from crosswire.engine.sweep.drive import Driver
from crosswire.engine.sweep.page import write_page
from crosswire.engine.sweep.plan import make_plan, open_folder
from crosswire.engine.sweep.progress import Shown
from crosswire.engine.sweep.result import Result, judge
from crosswire.engine.sweep.rows import read_rows
from crosswire.engine.sweep.search import search
from crosswire.engine.sweep.series import SPANS_MAX
from crosswire.engine.sweep.space import parse_axes

SEED_MAX = 2**32 - 1  # that Optuna's generator takes


@dataclass(frozen=True)
class SweepOptions:
    """What `crosswire sweep` was asked for."""

    grid: Sequence[str]
    settings: Sequence[str] = ()
    method: str = "grid"
    sets: int = 0
    seed: int = 1
    objective: str = "net"
    walk_forward: int = 0  # steps
    workers: int = 0  # 0: as many as there are cores
    scheduler: str = ""
    keep: bool = False


class StoppedError(Exception):
    """One line: how far a sweep is that was stopped, and how it goes on."""


def run_sweep(config_path: Path, output: Path, options: SweepOptions, console: Console) -> tuple[Result, Path]:
    """Run what is missing of a sweep, and write its report; return its result and its folder.

    ConfigError, HostError, CompileError: nothing ran, or nothing more. StoppedError: Ctrl-C; what was done is kept.
    """
    _check(options)
    path = config_path.resolve()
    text = set_text(read_config_text(path), path, options.settings)
    prepare_data(parse_config(text, path), path, console)
    plan, axes = make_plan(path, text, options.grid, options.method, options.sets, options.seed, options.objective)
    folder, lock = open_folder(output, plan)
    try:
        before, damaged = read_rows(folder)
        kept = sum(not row.error for row in before.values())
        compiled = [] if options.scheduler else compile_here(plan)
        shown = Shown(console, plan.sets, 0)
        try:
            with connected(options.scheduler, options.workers) as client, shown:
                if options.scheduler:
                    compiled = compile_on_hosts(client, plan)
                if kept:
                    shown.say(f"{folder}: {kept} of {plan.sets} sets are there already")
                driver = Driver(client, plan, folder, before, shown, options.keep)
                rows = search(plan, axes, driver.run_all)
        except KeyboardInterrupt:
            done = len(read_rows(folder)[0])
            raise StoppedError(f"stopped: {done} of {plan.sets} sets are kept; the same command goes on") from None
        result = judge(plan, axes, rows, compiled, damaged, options.walk_forward)
        result.workers_lost = driver.workers_lost
        write_page(result, folder)
    finally:
        os.close(lock)
    return result, folder


def _check(options: SweepOptions) -> None:
    """Refuse what can be refused before data is made or read. ConfigError."""
    parse_axes(options.grid)
    for name, value, most in (
        ("--walk-forward", options.walk_forward, SPANS_MAX),
        ("--workers", options.workers, WORKERS_MAX),
        ("--seed", options.seed, SEED_MAX),
    ):
        if not 0 <= value <= most:
            raise ConfigError(f"{name} {value}: must be 0 to {most}")
