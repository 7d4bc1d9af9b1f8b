"""A live run on virtual time, kept as a real one is: journal and capture, with the faults that a test wants."""

import tomllib
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

from crosswire.engine.config import make_config
from crosswire.engine.generate import generate_captures
from crosswire.engine.simulate.plan import Event, Plan, Rates
from crosswire.engine.simulate.play import Outcome, play
from crosswire.engine.simulate.record import Recording
from crosswire.engine.simulate.world import World, make_world
from tests.support.paths import ROOT

SECONDS = 24  # of market data: a simulation that leaves after a cut goes on for 16
QUIET = Rates(
    drop_ppm=0, duplicate_ppm=0, reorder_ppm=0, truncate_ppm=0, reorder_frames=1, corrupt_ppm=0,
)  # fmt: skip


def make_run_config(folder: Path, seed: int = 1) -> Path:
    """Write the synthetic example over made-up captures of its own."""
    data = folder / "data"
    if not data.exists():
        generate_captures(data, seed=seed, seconds=SECONDS)
    text = (ROOT / "examples" / "synthetic.toml").read_text()
    text = text.replace("../data/synthetic", str(data)).replace("seconds = 120", f"seconds = {SECONDS}")
    path = folder / "run.toml"
    path.write_text(text)
    return path


def play_live(
    folder: Path, config_path: Path, events: list[Event] | None = None, prepare: Callable[[World], None] | None = None
) -> Outcome:
    """Play one run with these events into the folder."""
    plan = Plan(
        seed=1, config=0, data_seed=1, is_restless=False, every=1, is_wild=False, position_max_lots=0,
        rates=[QUIET, QUIET], events=events or [],
    )  # fmt: skip
    config = make_config(tomllib.loads(config_path.read_text(), parse_float=Decimal), config_path)
    world = make_world(plan, config, config_path, Recording(folder))
    if prepare is not None:
        prepare(world)
    return play(world)
