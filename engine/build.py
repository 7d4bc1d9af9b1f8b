"""From a configuration to the structs that the loop runs on."""

from dataclasses import dataclass
from pathlib import Path

from engine.cache import keep_compiled
from engine.config import ConfigError, InstrumentConfig, RunConfig
from engine.loop import Engine, LoopState, Venue
from engine.plugin import Plugin, build_strategy, load_plugin
from nic.clock import ReplayClock
from nic.packet import Flow
from nic.replay import Replay
from nic.ring import NEVER_NS
from nic.struct import Array, Struct, one
from risk.gate import UNDERLYINGS_MAX, Gate
from risk.limits import make_gate, set_instrument_limits, set_venue_limits, to_e9
from risk.records import Records, make_records
from strategies.desk import Desk
from strategies.interface import BuildContext, Strategy
from venues.book import make_books
from venues.bridge.feed import BridgeFeed
from venues.bridge.orders import BridgeSession, make_bridge_session
from venues.bridge.simulated import SimulatedBridgeVenue
from venues.deribit.feed import DeribitFeed
from venues.deribit.simulated import SimulatedDeribitVenue
from venues.feed import Feed
from venues.instrument import CURRENCY_BYTES, SYMBOL_BYTES, Instrument, Kind, Payoff
from venues.market import Market
from venues.order import make_order_table
from venues.simulated import SimulatedExchange, make_simulated_exchange

NS_PER_US = 1_000
NS_PER_MS = 1_000_000
SPEED_BUMP_US_MAX = 1_000_000
HEARTBEAT_MS = 1_000

FEEDS: dict[str, tuple[type[SimulatedExchange], type[Feed]]] = {
    "bridge": (SimulatedBridgeVenue, BridgeFeed),
    "deribit": (SimulatedDeribitVenue, DeribitFeed),
}


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


def make_instruments(config: RunConfig) -> tuple[Array, list[str]]:
    """Instruments of all venues in the order configured, and the underlyings by number."""
    terms = [(number, venue, each) for number, venue in enumerate(config.venue) for each in venue.instrument]
    instruments = Instrument.array(len(terms))
    underlyings: list[str] = []
    for index, (number, venue, each) in enumerate(terms):
        if each.underlying not in underlyings:
            underlyings.append(each.underlying)
        instrument = instruments[index]
        instrument.index = index
        instrument.venue = number
        instrument.venue_id = -1
        instrument.underlying = underlyings.index(each.underlying)
        fill_instrument(instrument, each, f"{venue.name}/{each.symbol}")
    if len(underlyings) > UNDERLYINGS_MAX:
        raise ConfigError(f"{len(underlyings)} underlyings: at most {UNDERLYINGS_MAX}")
    return instruments, underlyings


def fill_instrument(instrument: Instrument, terms: InstrumentConfig, name: str) -> None:
    """An instrument's terms in exact integers; ConfigError if they are not representable."""
    instrument.kind = Kind[terms.kind.upper()]
    instrument.payoff = Payoff[terms.payoff.upper()]
    for key, value in (("tick", terms.tick), ("lot", terms.lot), ("contract", terms.contract)):
        if value <= 0:
            raise ConfigError(f"{name}: {key} = {value} must be positive")
        setattr(instrument, f"{key}_e9", to_e9(value, f"{name}: {key}"))
    if instrument.payoff == Payoff.LINEAR:
        tick_lot = terms.tick * terms.lot
        instrument.tick_lot_e9 = to_e9(tick_lot, f"{name}: tick * lot")
    for key, bps in (("maker_fee", terms.maker_fee_bps), ("taker_fee", terms.taker_fee_bps)):
        if abs(bps) >= 10_000:
            raise ConfigError(f"{name}: {key}_bps = {bps} is not a fee")
        setattr(instrument, f"{key}_e9", to_e9(bps / 10_000, f"{name}: {key}_bps / 10000"))
    if not 0 <= terms.speed_bump_us <= SPEED_BUMP_US_MAX:
        raise ConfigError(f"{name}: speed_bump_us = {terms.speed_bump_us} must be in 0..{SPEED_BUMP_US_MAX}")
    instrument.speed_bump_ns = terms.speed_bump_us * NS_PER_US
    instrument.ticks_per_unit = float(1 / terms.tick)
    instrument.lots_per_unit = float(1 / terms.lot)
    for key, text, room in (
        ("symbol", terms.symbol, SYMBOL_BYTES),
        ("base", terms.base, CURRENCY_BYTES),
        ("quote", terms.quote, CURRENCY_BYTES),
        ("settlement", terms.settlement, CURRENCY_BYTES),
    ):
        put_text(getattr(instrument, key), text, room, f"{name}: {key}")


def put_text(field: Array, text: str, room: int, what: str) -> None:
    """Zero-padded ASCII; ConfigError if it does not fit."""
    encoded = text.encode("ascii", "replace")
    if not text.isascii() or not 0 < len(encoded) <= room:
        raise ConfigError(f"{what} = {text} must be 1 to {room} ASCII characters")
    for position, byte in enumerate(encoded):
        field[position] = byte


def make_market(config: RunConfig) -> tuple[Market, list[str]]:
    """Instruments with empty books, and the underlyings by number."""
    instruments, underlyings = make_instruments(config)
    market = Market(count=len(instruments), capacity=len(instruments))
    market.instruments = instruments
    market.books = make_books(len(instruments), level_capacity(config))
    return market, underlyings


def level_capacity(config: RunConfig) -> int:
    """Levels that each book has room for: the most that any instrument asks for."""
    return max(each.max_levels for venue in config.venue for each in venue.instrument)


def instrument_names(config: RunConfig) -> list[str]:
    """ "venue/symbol" of every instrument, by market index."""
    return [f"{venue.name}/{each.symbol}" for venue in config.venue for each in venue.instrument]


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


def make_venue(number: int, config: RunConfig, market: Market, config_path: Path, replays: list[Replay]) -> Venue:
    """One venue's line over its captures, with its simulated exchange."""
    exchange = make_exchange(number, config, market, config_path, replays)
    session = make_session(number, market)
    feed_class = FEEDS[config.venue[number].feed][1]
    return Venue(ring=exchange, feed=feed_class(venue=number), session=session)


def make_session(number: int, market: Market) -> BridgeSession:
    """A venue's order session, closed."""
    return make_bridge_session(
        number, market, order_flow(number), session_id=number + 1, heartbeat_interval_ms=HEARTBEAT_MS
    )


def make_exchange(
    number: int, config: RunConfig, market: Market, config_path: Path, replays: list[Replay]
) -> SimulatedExchange:
    """A venue's simulated exchange over its captures, whose replay is added to `replays`."""
    venue = config.venue[number]
    replay = Replay([config_path.parent / capture for capture in venue.captures], cursors=2)
    replays.append(replay)
    simulation = venue.simulation
    try:
        exchange = make_simulated_exchange(
            FEEDS[venue.feed][0],
            number,
            replay,
            market,
            order_flow(number),
            level_capacity=level_capacity(config),
            feed_latency_ns=simulation.feed_latency_us * NS_PER_US,
            order_latency_ns=simulation.order_latency_us * NS_PER_US,
            response_latency_ns=simulation.response_latency_us * NS_PER_US,
            orders_per_second=simulation.orders_per_second,
            burst=simulation.burst,
            resting_max=simulation.max_resting_orders,
        )
    except ValueError as error:
        raise ConfigError(f"{config_path}: venue {venue.name}: simulation: {error}") from None
    exchange.feed.venue = number
    return exchange


def order_flow(number: int) -> Flow:
    """Addresses of a venue's order connection in a backtest, and between a session and a kernel socket's ring.

    They are on no wire: nothing but the two ends' own code ever sees them.

    MAC addresses are locally administered (IEEE 802, second bit of the first octet), IP addresses from 198.18.0.0/15,
    which RFC 2544 sets aside for benchmarks.
    """
    return Flow(
        source_mac=0x02_00_00_00_00_01,
        destination_mac=0x02_00_00_00_01_00 + number,
        source_ip=0xC6_12_00_01,
        destination_ip=0xC6_13_00_01 + number,
        source_port=40_000 + number,
        destination_port=9_000,
    )
