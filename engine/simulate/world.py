"""One seed's world: engine, cables and exchanges in one process on virtual time."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np

from crosswire.engine.build.market import level_capacity
from crosswire.engine.build.run import Core, Run, build_run
from crosswire.engine.build.venue import made, order_flow, venue_setup
from crosswire.engine.config import ConfigError, ControlConfig, FlattenConfig, RunConfig, StrategyConfig
from crosswire.engine.control.mailbox import Mailbox
from crosswire.engine.control.parameters import set_control
from crosswire.engine.ending import go_on_without_segment
from crosswire.engine.faults import plain_faults
from crosswire.engine.loop import Status
from crosswire.engine.seat import raise_failure
from crosswire.engine.simulate.cable import Cable, make_cable
from crosswire.engine.simulate.deliveries import Deliveries, judge_turns, take_deliveries
from crosswire.engine.simulate.plan import Happening, Plan
from crosswire.engine.simulate.record import Recording
from crosswire.engine.simulate.restart import History, begin_journal
from crosswire.engine.simulate.truth import make_truth
from crosswire.engine.simulate.watch import VIOLATIONS_MAX, Invariant, Watch, watch_unit
from crosswire.engine.simulate.world_clock import WorldClock
from crosswire.engine.state import Engine
from crosswire.nic.clock import ReplayClock
from crosswire.nic.duration import NS_PER_MS
from crosswire.nic.journal.files import MemoryJournal
from crosswire.nic.journal.reader import elements, read_memory
from crosswire.nic.memory.struct import Struct, address_of, i64
from crosswire.nic.rings.fault import FaultRates
from crosswire.nic.rings.remote import RemoteRing
from crosswire.nic.unit.load import call_entry
from crosswire.risk.records import VERSION, FillRecord, OrderSent, RecordKind
from crosswire.venues.adapter import ExchangeAccount
from crosswire.venues.order import Order, is_open
from crosswire.venues.side import sign_of

FLATTEN_MS = 50  # between two tries, of which there are few: a seed lasts 5 s
FLATTEN_TRIES = 10


class WatchEntries(Struct):
    """Addresses of the watch's unit."""

    run_watched: i64


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """Something that did not hold."""

    invariant: str
    time_ms: float  # after the first frame
    turn: int
    place: int  # instrument, or venue
    found: str
    expected: str


@dataclass
class World:
    """One seed being played."""

    plan: Plan
    run: Run
    cables: list[Cable]
    watch: Watch
    entries: WatchEntries
    kept: MemoryJournal
    clock: WorldClock
    deliveries: Deliveries
    untold: np.ndarray = field(default_factory=lambda: np.empty((2, 0), np.int64))  # of them by no journal yet
    turns_forgotten: int = 0  # records of turns that a process did not come to write
    trace: bool = False
    start_ns: int = 0
    fills: Counter[tuple[int, int]] = field(default_factory=Counter)  # by venue and execution id
    filled_lots: Counter[int] = field(default_factory=Counter)  # by market index
    happened: Counter[str] = field(default_factory=Counter)  # what is counted nowhere else
    lies: Counter[int] = field(default_factory=Counter)  # told, by venue
    is_disk_full: bool = False
    no_room_ns: int = 0  # since when the engine goes on without another segment of its journal
    has_cut: bool = False
    connections: dict[tuple[int, int], int] = field(default_factory=dict)  # number seen last, by venue and gateway
    slowed: dict[int, tuple[int, int]] = field(
        default_factory=dict
    )  # by venue: until when, and an order's usual latency
    displaced: dict[tuple[int, int], int] = field(default_factory=dict)  # likewise: the one that another client ended
    order_links: dict[int, int] = field(default_factory=dict)  # by venue: `Session.order_link`, as it was seen last
    unheard_ns: dict[int, int] = field(default_factory=dict)  # until when a venue's end may be unknown, by number
    alarm_seen_ns: int = 0
    violations: list[Found] = field(default_factory=list)
    history: History = field(default_factory=History)
    past: Counter[str] = field(default_factory=Counter)  # of processes that have died
    accounts_seen: dict[int, int] = field(default_factory=dict)  # times that a venue has told its account
    mailbox: Mailbox = field(default_factory=Mailbox)  # that the engine hears, if the seed has commands
    recording: Recording | None = None  # what a live run would leave; None: nothing is kept

    @property
    def now_ns(self) -> int:
        """True time, whatever the engine's clock shows."""
        return self.clock.true_ns

    @property
    def engine_clock(self) -> ReplayClock:
        """The engine's clock, which is the host's that somebody may set."""
        assert isinstance(self.run.clock, ReplayClock)
        return self.run.clock

    def violate(self, invariant: Invariant, place: int, found: str, expected: str) -> None:
        """Note that something does not hold."""
        state = self.run.engine.state
        if len(self.violations) < VIOLATIONS_MAX:
            time_ms = (self.now_ns - self.start_ns) / NS_PER_MS
            name = invariant.name
            self.violations.append(
                Found(invariant=name, time_ms=time_ms, turn=state.turns, place=place, found=found, expected=expected)
            )

    def open_orders(self) -> Iterator[Order]:
        """List the engine's open orders."""
        orders = self.run.engine.orders
        for slot in orders.orders.numpy()["state"].nonzero()[0]:
            if is_open(orders.orders[int(slot)]):
                yield orders.orders[int(slot)]

    def count_past(self) -> None:
        """Keep what a process has counted that is about to be replaced."""
        engine = self.run.engine
        state = engine.state
        self.past.update(steps=state.turns, orders=state.orders_sent, fills=state.fills, alarms=engine.gate.alarms)
        self.past.update(lost=sessions_lost(engine), back=sessions_back(engine))


def sessions_lost(engine: Engine) -> int:
    """Count the losses of order sessions."""
    return sum(engine.venues[number].losses for number in range(engine.venue_count))


def sessions_back(engine: Engine) -> int:
    """Count the lost order sessions that were ready again."""
    return sessions_lost(engine) - sum(engine.venues[number].is_lost for number in range(engine.venue_count))


def make_world(plan: Plan, config: RunConfig, config_path: Path, recording: Recording | None = None) -> World:
    """Make everything of a seed; its run is kept in `recording`. ConfigError, CaptureError, StoreError: one line each.

    A kept run has one engine: nothing of `plan` may kill it, and it is to trade as `config_path` says.
    """
    for venue in config.venue:
        if venue.order_entry.account is None:
            raise ConfigError(
                f"{config_path}: venue {venue.name}: its exchange tells no account; it can't be simulated"
            )
    control = ControlConfig(keys="", flatten=FlattenConfig(interval_ms=FLATTEN_MS, tries=FLATTEN_TRIES))
    config = msgspec.structs.replace(config, strategy=strategies_of(plan, config), control=control)
    cables: list[Cable] = []
    watch, entries, clock, deliveries = Watch(), WatchEntries(), WorldClock(), Deliveries()
    watch.clock = clock

    def lay_cable(core: Core, number: int, ring: RemoteRing) -> Struct:
        venue, market, linker = config.venue[number], core.engine.market, core.linker
        feed = made(venue.adapter.make_feed, venue_setup(number, config, market, config_path), config, config_path)
        truth = make_truth(ring, feed, market, level_capacity(config), linker)
        flows = tuple(order_flow(venue.name, gateway) for gateway in range(venue.order_entry.gateways_max))
        rates = FaultRates(**msgspec.structs.asdict(plan.rates[number]))
        watch.truths[number] = address_of(truth)
        seed = plan.seed * len(config.venue) + number
        cables.append(make_cable(truth, number, clock, deliveries, seed, rates, flows))
        return cables[-1] if recording is None else recording.tap(cables[-1], config.venue[number].name)

    run = build_run(config, config_path, lay_cable)
    for number in range(run.engine.venue_count):
        run.engine.venues[number].checks_udp = 1
    if plan.is_restless:
        set_limits(plan, run)
    run.core.linker.link_all(entries, watch_unit())
    run.load()
    kept = begin_journal(run, recording=recording)
    if recording is not None:
        recording.begin(kept.journal.key)
    world = World(plan, run, cables, watch, entries, kept, clock, deliveries, recording=recording)
    hear_commands(world)
    return world


def hear_commands(world: World) -> None:
    """Give the engine the mailbox that its operator writes to, if the seed has commands: it looks each millisecond."""
    if any(event.happening == Happening.COMMANDED for event in world.plan.events):
        set_control(world.run.core, world.run.config)
        control = world.run.engine.control
        control.mailbox, control.seen = address_of(world.mailbox), world.mailbox.number[0]


def set_limits(plan: Plan, run: Run) -> None:
    """Make limits small, for the restless strategy to run into."""
    for index in range(run.engine.market.count):
        limits = run.engine.gate.limits[index]
        if plan.position_max_lots != 0:
            limits.position_lots_max = plan.position_max_lots
        if plan.order_max_lots != 0:
            limits.order_lots_max = plan.order_max_lots


def strategies_of(plan: Plan, config: RunConfig) -> list[StrategyConfig]:
    """The configured strategies, or the restless one on all instruments."""
    if not plan.is_restless:
        return config.strategies
    names = [f"{venue.name}/{each.symbol}" for venue in config.venue for each in venue.instrument]
    parameters = {"instruments": names, "seed": plan.seed, "every": plan.every, "wild": plan.is_wild}
    return [StrategyConfig(use="restless", parameters=parameters)]


def is_broken(world: World) -> bool:
    """Tell whether something does not hold: what follows from it would only hide what came first."""
    return bool(world.violations) or world.watch.violation_count != 0


def turn_until(world: World, until_ns: int) -> None:
    """Turn until a true time, giving the loop what only Python can."""
    run = world.run
    arguments = (address_of(run.engine), address_of(run.clock), address_of(world.watch), until_ns)
    status = Status.STARVED
    while status in (Status.STARVED, Status.JOURNAL):
        try:
            with plain_faults(run.config_path):
                status = Status(call_entry(world.entries.run_watched, *arguments))
                raise_failure(run.engine.seats)
        finally:
            take_deliveries(world)  # whatever it ended by: a kill is an exception, too
        if world.is_disk_full:
            note_room(world, status)
        else:
            take_records(world)
        run.refill()
    if status == Status.FINISHED:
        raise ConfigError(f"{run.config_path}: its market data ends before the simulation does")


def note_room(world: World, status: Status) -> None:
    """Give the journal no other segment where it wants one, as a live run does that gets none."""
    engine = world.run.engine
    if status == Status.JOURNAL:
        go_on_without_segment(engine)
        world.watch.is_leaving = 1
        world.no_room_ns = world.now_ns
        world.happened["disks full"] += 1


def take_records(world: World) -> None:
    """Take the fills and orders that stand in the journal, and keep what it says where a disk would."""
    instruments = world.run.engine.market.instruments
    for batch in read_memory(world.kept).batches():
        judge_turns(world, batch)
        rows = batch.of(RecordKind.FILL, FillRecord, VERSION)
        for fill in elements(rows, FillRecord):
            world.fills[instruments[fill.instrument].venue, fill.execution_id] += 1
            world.filled_lots[fill.instrument] += sign_of(fill.side) * fill.qty_lots
        for client_order_id in batch.of(RecordKind.ORDER_SENT, OrderSent, VERSION)[:, 0].tolist():
            world.watch.evaluated[Invariant.IDS_ONCE] += 1
            if client_order_id in world.history.order_ids:
                world.violate(Invariant.IDS_ONCE, 0, f"order id {client_order_id} twice", "once")
            world.history.order_ids.add(client_order_id)
    world.history.images.append((world.kept.segment.number, bytes(world.kept.written())))
    world.kept.take()
    if world.recording is not None:
        world.recording.move()


def account_of(world: World, number: int) -> ExchangeAccount:
    """Ask a venue's exchange for its own account of us."""
    account = world.run.config.venue[number].order_entry.account
    assert account is not None
    return account(world.run.parts[number].exchange)


def own_orders(world: World, number: int) -> Iterator[Order]:
    """List the engine's open orders at a venue."""
    for order in world.open_orders():
        if order.venue == number:
            yield order
