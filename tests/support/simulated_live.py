"""A live run on virtual time, kept as a real one is: journal and capture, with the faults that a test wants."""

from collections.abc import Callable, Sequence
from pathlib import Path

from crosswire.engine.config import load_config
from crosswire.engine.generate import generate_captures
from crosswire.engine.simulate.happen import happen
from crosswire.engine.simulate.plan import TRADING_MS, Event, Happening, Plan, Rates
from crosswire.engine.simulate.play import leave, look_until
from crosswire.engine.simulate.record import Recording
from crosswire.engine.simulate.world import World, make_world, take_records, turn_until
from crosswire.nic.duration import NS_PER_MS
from crosswire.venues.bridge.exchange.lies import messages_under_way
from crosswire.venues.bridge.wire.order_layout import Template
from crosswire.venues.side import BUY
from tests.support.paths import ROOT

SECONDS = 24  # of market data: a simulation that leaves after a cut goes on for 16
TURNS_MAX = 10_000
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


Fault = Callable[[World], None]


def play_live(folder: Path, config_path: Path, faults: Sequence[tuple[int, Fault]] = ()) -> None:
    """Play one run into the folder; each fault is let happen so many ms after the first frame, in order."""
    plan = Plan(
        seed=1, config=0, data_seed=1, is_restless=False, every=1, is_wild=False, position_max_lots=0,
        rates=[QUIET, QUIET], events=[],
    )  # fmt: skip
    recording = Recording(folder)
    world = make_world(plan, load_config(config_path), config_path, recording)
    try:
        turn_until(world, 1)
        world.start_ns = world.now_ns
        for at_ms, fault in faults:
            look_until(world, at_ms)
            fault(world)
        look_until(world, TRADING_MS)
        leave(world)
        take_records(world)
        assert not world.violations, world.violations
    finally:
        world.run.close()
        recording.close(world.run.engine)
        world.kept.close()


def throttle(venue: int, for_ms: int) -> Fault:
    """Have an exchange refuse orders by rate."""
    return lambda world: happen(world, event(Happening.THROTTLED, venue, for_ms))


def delay_orders(venue: int, for_ms: int) -> Fault:
    """Have an exchange take orders so much later, for half a second."""
    return lambda world: happen(world, event(Happening.ORDERS_LATE, venue, for_ms))


def fill_ring(venue: int, for_ms: int) -> Fault:
    """Leave a transmit ring no slot."""
    return lambda world: happen(world, event(Happening.RING_FULL, venue, for_ms))


def tell_lie(venue: int) -> Fault:
    """Have an exchange tell of a fill through its order's limit, as soon as there is one."""
    return lambda world: happen(world, event(Happening.LIE_TOLD, venue, 1))


def kill_gateway(venue: int) -> Fault:
    """Kill an exchange's gateway while no order of ours is open there: that would be an alarm."""

    def kill(world: World) -> None:
        while world.run.engine.orders.count:
            turn_until(world, world.now_ns + NS_PER_MS)
        happen(world, event(Happening.GATEWAY_KILLED, venue, 1))

    return kill


def lose_market_data(venue: int, for_ms: int) -> Fault:
    """Lose every frame of a venue's market data, on all its lines."""

    def lose(world: World) -> None:
        rates = world.cables[venue].inner[0].receive.rates
        rates.drop_ppm = 1_000_000
        turn_until(world, world.now_ns + for_ms * NS_PER_MS)
        rates.drop_ppm = 0

    return lose


def stand_still(for_ms: int) -> Fault:
    """Have the engine's thread stand still, on rings that stamp frames as they are read."""
    return lambda world: happen(world, event(Happening.STOOD_STILL, 0, for_ms))


def improve_fill(venue: int, ticks: int) -> Fault:
    """Have an exchange fill at a better price than its book had, as soon as it fills anything."""

    def improve(world: World) -> None:
        answers = world.run.parts[venue].exchange.answers
        for _ in range(TURNS_MAX):
            turn_until(world, world.now_ns + 1)
            fill = next(messages_under_way(answers, Template.ORDER_FILL), None)
            if fill is not None:
                fill.price_ticks += -ticks if fill.side == BUY else ticks
                return
        raise AssertionError("no fill to improve")

    return improve


def event(happening: Happening, venue: int, for_ms: int) -> Event:
    """Make what happens at a venue."""
    return Event(at_ms=0, happening=happening, venue=venue, gateway=0, both=True, for_ms=for_ms)
