"""A simulated world in which nothing goes wrong by itself."""

from collections.abc import Callable, Iterator

import msgspec
import pytest

from crosswire.engine.simulate.command import prepared
from crosswire.engine.simulate.plan import Plan, Rates
from crosswire.engine.simulate.world import World, make_world, turn_until
from crosswire.nic.duration import NS_PER_MS
from tests.support.paths import ROOT

STEP_NS = 200_000  # shorter than an answer is under way
WITHIN_MS = 8_000
EXAMPLES = ["synthetic", "starbase"]
CALM = Rates(drop_ppm=0, duplicate_ppm=0, reorder_ppm=0, truncate_ppm=0, corrupt_ppm=0, reorder_frames=1)


@pytest.fixture(scope="module")
def make() -> Iterator[Callable[..., World]]:
    """Makes worlds of an example, with orders by chance or with its strategy, whose orders do not rest."""
    paths = [ROOT / "examples" / f"{name}.toml" for name in EXAMPLES]
    plan = Plan(
        seed=5, config=0, data_seed=1, is_restless=True, every=3, is_wild=False, position_max_lots=0,
        rates=[CALM, CALM], events=[],
    )  # fmt: skip
    with prepared(paths) as setting:

        def make_one(is_restless: bool = True, example: str = "synthetic") -> World:
            number = EXAMPLES.index(example)
            chosen = msgspec.structs.replace(plan, is_restless=is_restless, config=number)
            return make_world(chosen, setting.load(number, 1), paths[number])

        yield make_one


@pytest.fixture
def restless(make: Callable[..., World]) -> World:
    """One with orders by chance, whose first turn is done."""
    world = make()
    turn_until(world, 1)
    return world


def until(world: World, done: Callable[[], bool], within_ms: int = WITHIN_MS) -> None:
    """Turn, a little at a time, until something is so."""
    begun_ns = world.now_ns
    while not done():
        assert world.now_ns < begun_ns + within_ms * NS_PER_MS
        turn_until(world, world.now_ns + STEP_NS)
