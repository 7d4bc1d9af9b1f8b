"""The structs that the loop runs on, made from a configuration."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from crosswire.engine.build.limits import set_limits
from crosswire.engine.build.market import instrument_names, make_market
from crosswire.engine.build.money import MoneyTerms, read_money
from crosswire.engine.build.venue import make_venue
from crosswire.engine.config import RunConfig
from crosswire.engine.faults import plain_errors, plain_faults
from crosswire.engine.loop import Status, loop_unit
from crosswire.engine.plugin import begin_run, build_strategy, load_strategy_class
from crosswire.engine.seat import raise_failure, set_seat
from crosswire.engine.state import Engine, turn_order
from crosswire.engine.venue import VenueParts, set_venue
from crosswire.nic.capture.defects import total
from crosswire.nic.clock import ReplayClock
from crosswire.nic.duration import NS_PER_MS
from crosswire.nic.journal.files import make_journal
from crosswire.nic.journal.journal import Journal
from crosswire.nic.memory.struct import Struct, address_of, i64, one
from crosswire.nic.rings.remote import RemoteRing
from crosswire.nic.rings.replay import Replay
from crosswire.nic.rings.ring import NEVER_NS
from crosswire.nic.unit.link import Linker
from crosswire.nic.unit.load import call_entry
from crosswire.nic.warning import DataWarning
from crosswire.risk.gate import Gate
from crosswire.risk.limits import make_gate
from crosswire.risk.position import Position
from crosswire.strategies.desk import Desk, clear_timers
from crosswire.strategies.interface import BuildContext, Strategy
from crosswire.venues.market import Market
from crosswire.venues.order import make_order_table


class LoopEntries(Struct):
    """Addresses of the loop's own unit."""

    run: i64


@dataclass
class Core:
    """What every run has, whatever its rings are: the engine without venues, and its strategies."""

    engine: Engine
    strategies: list[Strategy]
    money: MoneyTerms
    linker: Linker = field(default_factory=Linker)


@dataclass
class Run:
    """Everything of one run: the engine, and the Python objects that own what it points to."""

    config: RunConfig
    config_path: Path
    core: Core
    parts: tuple[VenueParts, ...]
    clock: Struct
    replays: list[Replay]
    entries: LoopEntries = field(default_factory=LoopEntries)

    def __post_init__(self) -> None:
        engine, linker = self.core.engine, self.core.linker
        engine.venue_count = len(self.parts)
        for place, number in enumerate(turn_order([venue.name for venue in self.config.venue])):
            engine.turn_order[place] = number
        for number, part in enumerate(self.parts):
            set_venue(engine.venues[number], part, engine.market, engine.inbox, linker)
        linker.link_all(self.entries, loop_unit(type(self.clock)))

    @property
    def engine(self) -> Engine:
        """What the loop runs on."""
        return self.core.engine

    def replay_of(self, number: int) -> Replay | None:
        """The captures of a venue's market data; None when they are not what it comes from."""
        if not self.replays or not self.config.venue[number].order_entry.replays:
            return None
        return self.replays[sum(bool(venue.order_entry.replays) for venue in self.config.venue[:number])]

    def warnings(self) -> list[DataWarning]:
        """Tell what is wrong with the captures, as far as they have been read."""
        return total(replay.tally() for replay in self.replays).warnings()

    def spans_ns(self) -> dict[str, tuple[int, int]]:
        """List the times of the first and last record of each venue that replays captures, as far as they are read."""
        replays = ((venue.name, self.replay_of(number)) for number, venue in enumerate(self.config.venue))
        spans = {name: replay.span_ns() for name, replay in replays if replay is not None}
        return {name: span for name, span in spans.items() if span is not None}

    def digests(self) -> str:
        """Join the digests of the venues in the order of their names: equal for equal runs."""
        return "-".join(digest for _, digest in sorted(self.digests_by_venue().items()))

    def digests_by_venue(self) -> dict[str, str]:
        """List the digest of all order frames that each simulated exchange was sent; none in a live run."""
        return {
            venue.name: f"{part.exchange.digest & (1 << 64) - 1:016x}"
            for venue, part in zip(self.config.venue, self.parts, strict=True)
            if part.exchange is not None
        }

    def load(self) -> None:
        """Load all machine code of the run, compiling what is not on disk, and the first part of its captures.

        ConfigError, StoreError, CaptureError: one line each.
        """
        with plain_errors(self.config_path, map(type, self.core.strategies)):
            self.core.linker.load()
        for replay in self.replays:
            replay.begin()

    def turn(self) -> Status:
        """Run the loop until it needs Python. LoopError: what a strategy or the engine itself raised."""
        with plain_faults(self.config_path):
            status = Status(call_entry(self.entries.run, address_of(self.engine), address_of(self.clock)))
            raise_failure(self.engine.seats)
            return status

    def refill(self) -> None:
        """Read on wherever a replay window is starved."""
        for replay in self.replays:
            replay.refill()

    def close(self) -> None:
        """Close the captures."""
        for replay in self.replays:
            replay.close()


def build_core(config: RunConfig, config_path: Path) -> Core:
    """Make instruments, books, gate, orders, records and strategies. ConfigError, LimitError: one line each."""
    where = str(config_path)
    names = instrument_names(config)
    begin_run()
    classes = [load_strategy_class(each.use, config_path.parent, where) for each in config.strategies]
    market, underlyings = make_market(config)
    gate = make_gate(market, config.limits, underlyings)
    for error in set_limits(gate, market, config, underlyings):
        raise error
    engine = Engine()
    engine.state.sample_interval_ns = config.sample_interval_ms * NS_PER_MS
    engine.state.standstill_ns = NEVER_NS
    engine.market = market
    engine.gate = gate
    engine.orders = make_order_table(instruments=market.instruments)
    gate.orders = engine.orders
    engine.journal = make_journal()
    for index in range(market.count):
        engine.state.is_lost[index] = 1
    money = read_money(config, config_path)
    places = {name: index for index, name in enumerate(names)}
    limits = [gate.limits[index] for index in range(market.count)]
    context = BuildContext(list(market.instruments), places, holding=money.holding, limits=limits)
    strategies = [
        build_strategy(cls, each.parameters, context, where)
        for cls, each in zip(classes, config.strategies, strict=True)
    ]
    core = Core(engine, strategies, money)
    engine.seat_count = len(strategies)
    for number, strategy in enumerate(strategies):
        seat = engine.seats[number]
        set_desk(seat.desk, market, gate, engine.journal)
        seat.desk.message_count = len(strategy.messages())
        set_seat(seat, number, strategy, core.linker)
    return core


Wiring = Callable[[Core, int, RemoteRing], Struct]


def plain_wire(_core: Core, _number: int, ring: RemoteRing) -> Struct:
    """Give the engine the exchange's own ring."""
    return ring


def build_run(config: RunConfig, config_path: Path, wire: Wiring = plain_wire) -> Run:
    """Make all structs of a backtest, to be loaded next. ConfigError, LimitError, CaptureError: one line each.

    `wire` makes the ring that the engine has of the ring in front of a venue's exchange.
    """
    core = build_core(config, config_path)
    market = core.engine.market
    replays: list[Replay] = []
    try:
        numbers = range(len(config.venue))
        parts = tuple(
            make_venue(number, config, market, config_path, replays, core.linker, partial(wire, core))
            for number in numbers
        )
    except BaseException:
        for replay in replays:
            replay.close()
        raise
    if wire is plain_wire:
        share_books(config, core.engine, parts)
    return Run(config, config_path, core, parts, ReplayClock(), replays)


def share_books(config: RunConfig, engine: Engine, parts: tuple[VenueParts, ...]) -> None:
    """Let the exchanges whose frames come to the engine as they are use its books."""
    for venue, part in zip(config.venue, parts, strict=True):
        if venue.order_entry.share_books is not None:
            venue.order_entry.share_books(part.exchange, part.feed, engine.market, engine.inbox.events)


def set_desk(desk: Desk, market: Market, gate: Gate, journal: Journal) -> None:
    """Set up a strategy's view of the run, with positions of its own."""
    desk.instrument_count = market.count
    clear_timers(desk)
    desk.instruments = market.instruments
    desk.books = market.books
    desk.positions = Position.array(market.count)
    desk.journal = one(journal)
