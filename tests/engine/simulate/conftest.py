"""A simulated world in which nothing goes wrong by itself."""

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from crosswire.engine.simulate.command import prepared
from crosswire.engine.simulate.plan import Plan, Rates
from crosswire.engine.simulate.world import World, make_world
from tests.support.paths import ROOT

STEP_NS = 200_000  # shorter than an answer is under way
WITHIN_MS = 8_000
CALM = Rates(drop_ppm=0, duplicate_ppm=0, reorder_ppm=0, truncate_ppm=0, reorder_frames=1)


@pytest.fixture(scope="module")
def make() -> Iterator[Callable[..., World]]:
    """Makes worlds of the default example, with orders by chance or with its strategy, whose orders do not rest."""
    path: Path = ROOT / "examples" / "synthetic.toml"
    plan = Plan(
        seed=5, config=0, data_seed=1, is_restless=True, every=3, is_wild=False, position_max_lots=0,
        rates=[CALM, CALM], events=[],
    )  # fmt: skip
    with prepared([path]) as setting:
        yield lambda is_restless=True: make_world(
            msgspec.structs.replace(plan, is_restless=is_restless), setting.load(0, 1), path
        )
