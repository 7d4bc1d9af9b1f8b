"""What a sweep is: what it runs, how it chooses, and the folder that its results go to.

The same plan has the same folder, so the same command goes on where it was; another release or other data is another.
"""

import hashlib
from collections.abc import Sequence
from math import prod
from pathlib import Path

import msgspec

from crosswire.engine.config import ConfigError, parse_config, parse_toml
from crosswire.engine.configuration.settings import with_settings
from crosswire.engine.configuration.show import complete_config, toml_text
from crosswire.engine.sweep.release import release_digest
from crosswire.engine.sweep.rows import ROWS
from crosswire.engine.sweep.space import SETS_MAX, Axis, grid_of, parse_axes
from crosswire.nic.host.file_lock import hold_file
from crosswire.nic.host.process import HostError
from crosswire.nic.journal.files import LOCK

OBJECTIVES = ("net", "flattened", "realised")
METHODS = ("grid", "random", "bayesian")
PLAN = "sweep.json"
CONFIG = "config.toml"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a sweep's results hang on."""

    name: str
    config_file: str
    config_text: str  # effective: with what `--set` gave for all sets
    axes: list[str]  # as `--grid` has them
    method: str
    sets: int  # of a grid all there are
    seed: int
    objective: str
    release: str

    @property
    def digest(self) -> str:
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:12]


def make_plan(
    path: Path, text: str, grid: Sequence[str], method: str, sets: int, seed: int, objective: str
) -> tuple[Plan, list[Axis]]:
    """Check a sweep of the configuration `text` before it runs: each value of each key by itself. ConfigError."""
    if objective not in OBJECTIVES:
        raise ConfigError(f"--objective {objective}: must be {', '.join(OBJECTIVES)}")
    axes = parse_axes(grid)
    if method == "grid":
        sets = len(grid_of(axes))
    elif not 1 <= sets <= SETS_MAX:
        raise ConfigError(f"--{method} {sets}: must be 1 to {SETS_MAX:,} sets")
    elif method == "random" and not any(axis.is_range for axis in axes):
        sets = min(sets, prod(len(axis.values) for axis in axes))  # there are no more
    config = parse_config(text, path)
    document = parse_toml(text, path)
    for axis in axes:
        for value in axis.values or (f"{axis.low:g}", f"{axis.high:g}"):
            complete_config(toml_text(with_settings(document, [f"{axis.key}={value}"])), path)
    plan = Plan(
        name=config.name,
        config_file=str(path),
        config_text=text,
        axes=list(grid),
        method=method,
        sets=sets,
        seed=seed,
        objective=objective,
        release=release_digest(text, path),
    )
    return plan, axes


def open_folder(output: Path, plan: Plan) -> tuple[Path, int]:
    """Make or find the sweep's folder, and hold it; return it with the lock's descriptor. HostError: held. OSError."""
    folder = output.resolve() / plan.name / f"sweep-{plan.digest}"
    (folder / ROWS).mkdir(parents=True, exist_ok=True)
    try:
        lock = hold_file(folder / LOCK)
    except BlockingIOError:
        raise HostError(f"{folder}: another process is at this sweep; wait for it") from None
    for name, content in ((PLAN, msgspec.json.format(msgspec.json.encode(plan))), (CONFIG, plan.config_text.encode())):
        partial = folder / f"{name}.partial"
        partial.write_bytes(content)
        partial.replace(folder / name)
    return folder, lock
