"""From a configuration to the structs that the loop runs on."""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from crosswire.engine.adapters import adapter_sources
from crosswire.engine.build.market import instrument_names, make_market
from crosswire.engine.build.venue import make_venue
from crosswire.engine.cache import keep_compiled
from crosswire.engine.config import RunConfig
from crosswire.engine.loop import Engine, LoopState, Venue
from crosswire.engine.plugin import Plugin, build_strategy, load_plugin
from crosswire.nic.clock import ReplayClock
from crosswire.nic.memory.struct import Struct, one
from crosswire.nic.rings.replay import Replay
from crosswire.nic.rings.ring import NEVER_NS
from crosswire.risk.gate import Gate
from crosswire.risk.limits import make_gate, set_instrument_limits, set_venue_limits
from crosswire.risk.records import Records, make_records
from crosswire.strategies.desk import Desk
from crosswire.strategies.interface import BuildContext, Strategy
from crosswire.venues.market import Market
from crosswire.venues.order import make_order_table

NS_PER_MS = 1_000_000


@dataclass
class Run:
    """Everything of one run: the loop's arguments, and the Python objects that own what they point to."""

    config: RunConfig
    config_path: Path
    engine: Engine
    venues: tuple[Venue, ...]
    strategy: Strategy
    clock: Struct
    plugin: Plugin
    replays: list[Replay]

    def refill(self) -> None:
        """Read on wherever a replay window is starved."""
        for replay in self.replays:
            replay.refill()

    def close(self) -> None:
        """Close the captures."""
        for replay in self.replays:
            replay.close()


@dataclass
class Core:
    """What a run has whatever its rings are."""

    engine: Engine
    strategy: Strategy
    plugin: Plugin


def build_core(config: RunConfig, config_path: Path) -> Core:
    """Instruments, books, gate, orders, records and the strategy. ConfigError, LimitError: one line each."""
    where = str(config_path)
    names = instrument_names(config)
    plugin = load_plugin(config.strategy.use, config_path.parent, where)
    venues = adapter_sources(venue.feed for venue in config.venue)
    plugin = msgspec.structs.replace(plugin, sources=plugin.sources + venues)
    keep_compiled(plugin.sources)
    market, underlyings = make_market(config)
    gate = make_gate(market, config.limits, underlyings)
    terms = [(venue, each) for venue in config.venue for each in venue.instrument]
    for index, (_venue, each) in enumerate(terms):
        set_instrument_limits(gate, market.instruments[index], each.limits, names[index])
    for number, venue in enumerate(config.venue):
        set_venue_limits(gate, number, venue.limits, venue.name)
    records = make_records()
    engine = Engine(
        state=make_state(config),
        market=market,
        gate=gate,
        desk=make_desk(market, gate, records),
        orders=make_order_table(),
        records=records,
    )
    context = BuildContext(list(market.instruments), {name: index for index, name in enumerate(names)})
    strategy = build_strategy(plugin, config.strategy.parameters, context, where)
    return Core(engine, strategy, plugin)


def build_run(config: RunConfig, config_path: Path) -> Run:
    """All structs of a backtest, ready for the loop. ConfigError, LimitError, CaptureError: one line each."""
    core = build_core(config, config_path)
    market = core.engine.market
    replays: list[Replay] = []
    try:
        venues = tuple(make_venue(number, config, market, config_path, replays) for number in range(len(config.venue)))
    except BaseException:
        for replay in replays:
            replay.close()
        raise
    return Run(config, config_path, core.engine, venues, core.strategy, ReplayClock(), core.plugin, replays)


def make_state(config: RunConfig) -> LoopState:
    """The loop's memory before its first turn: every session and the first sample are due at once."""
    return LoopState(sample_interval_ns=config.sample_interval_ms * NS_PER_MS)


def make_desk(market: Market, gate: Gate, records: Records) -> Desk:
    """The strategy's view of the run."""
    desk = Desk(instrument_count=market.count, timer_ns=NEVER_NS)
    desk.instruments = market.instruments
    desk.books = market.books
    desk.positions = gate.positions
    desk.records = one(records)
    return desk
