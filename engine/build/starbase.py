"""From a configuration to a Starbase venue's feed, order session and simulated exchange."""

from pathlib import Path
from typing import Any

from crosswire.engine.build.market import NS_PER_US, level_capacity
from crosswire.engine.config import ConfigError, RunConfig, SimulatedMarketConfig, VenueConfig
from crosswire.engine.credentials import Credentials, load_credentials
from crosswire.nic.memory.struct import Array
from crosswire.nic.packet import Flow
from crosswire.nic.unit.link import Linker
from crosswire.venues.market import Market, copy_instruments
from crosswire.venues.starbase.exchange.background import ReferencePoint
from crosswire.venues.starbase.exchange.exchange import Channel, Crowd, Key, StarbaseExchange, make_starbase_exchange
from crosswire.venues.starbase.feed.feed import StarbaseFeed, make_starbase_feed
from crosswire.venues.starbase.orders.session import make_starbase_session
from crosswire.venues.starbase.orders.state import StarbaseSession
from crosswire.venues.starbase.wire.order_codes import SelfTradingMode

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
FIRST_INSTRUMENT_ID = 1_000
EXCHANGE_IP = 0xC6_13_01_01  # 198.19.1.1, from what RFC 2544 sets aside for benchmarks
LINE_A, LINE_B = 0xE0_00_0C_C0, 0xE0_00_0C_D0  # 224.0.12.192 and .208, the first product's snapshots
INCREMENTAL_PORT, SNAPSHOT_PORT, RETRANSMIT_PORT = 4220, 4230, 4240
MADE_UP = Credentials("simulated", b"simulated")
MODES = {"cancel_taker": SelfTradingMode.CANCEL_TAKER, "cancel_maker": SelfTradingMode.CANCEL_MAKER}


def credentials_of(venue: VenueConfig, config_path: Path) -> Credentials:
    """The venue's API key; made up where none is configured, which only a simulated exchange takes."""
    named = venue.starbase.credentials
    return load_credentials(config_path.parent / named) if named else MADE_UP


def exchange_terms(number: int, market: Market) -> Market:
    """A copy of the run's instruments in which those of this venue have ids, as the venue gave them out."""
    terms = Market()
    copy_instruments(terms, market)
    for index in own_instruments(number, market):
        terms.instruments[index].venue_id = FIRST_INSTRUMENT_ID + index
    return terms


def own_instruments(number: int, market: Market) -> list[int]:
    """Market indices of a venue's instruments, in the order configured."""
    return [index for index in range(market.count) if market.instruments[index].venue == number]


def market_channel(number: int, settings: SimulatedMarketConfig) -> Channel:
    """Groups and ports as the venue has them: snapshots on the group before the incremental ones."""

    def flow(group: int, port: int) -> Flow:
        # 224.0.12/24 is the venue's; a multicast frame's MAC ends in the low 23 bits of its group (RFC 1112 6.4).
        return Flow(
            source_mac=0x02_00_00_00_02_00 + number,
            destination_mac=0x01_00_5E_00_00_00 | group & 0x7F_FFFF,
            source_ip=EXCHANGE_IP + number,
            destination_ip=group,
            source_port=port,
            destination_port=port,
        )

    groups = [LINE_A + 2 * number, LINE_B + 2 * number][: 2 if settings.two_lines else 1]
    return Channel(
        incremental=[flow(group + 1, INCREMENTAL_PORT) for group in groups],
        snapshot=[flow(group, SNAPSHOT_PORT) for group in groups],
        retransmit=flow(EXCHANGE_IP + number, RETRANSMIT_PORT),
        snapshot_interval_ns=settings.snapshot_interval_ms * NS_PER_MS,
    )


def make_exchange(
    number: int,
    config: RunConfig,
    market: Market,
    config_path: Path,
    flows: tuple[Flow, ...],
    path: Any,
    linker: Linker,
    *,
    is_connected: bool,
) -> StarbaseExchange:
    """A simulated exchange; ConfigError in one line. `path`: rows of (time_ns, price_e9) to follow, or None."""
    venue = config.venue[number]
    settings = venue.simulation.market
    assert settings is not None
    key = credentials_of(venue, config_path)
    start_ns = round(settings.begin.timestamp()) * NS_PER_S if path is None else int(path[0, 0])
    crowd = Crowd(
        seed=settings.seed,
        events_per_second=settings.events_per_second,
        volatility_ticks=settings.volatility_ticks,
        half_spread_ticks=settings.half_spread_ticks,
        depth_ticks=settings.depth_ticks,
        lots=settings.lots,
        points=None if path is None else reference_points(number, market, venue, path),
    )
    own = own_instruments(number, market)
    if path is not None:
        prices = {index: int(path[0, 1]) // market.instruments[index].tick_e9 for index in own}
    else:
        prices = {
            index: int(settings.first_price[each.symbol] / each.tick)
            for index, each in zip(own, venue.instrument, strict=True)
        }
    simulation = venue.simulation
    try:
        return make_starbase_exchange(
            number,
            exchange_terms(number, market),
            flows,
            market_channel(number, settings),
            [Key(key.client_id, key.secret)],
            prices,
            start_ns=start_ns,
            end_ns=start_ns + round(settings.seconds * NS_PER_S),
            is_connected=is_connected,
            feed_latency_ns=simulation.feed_latency_us * NS_PER_US,
            order_latency_ns=simulation.order_latency_us * NS_PER_US,
            response_latency_ns=simulation.response_latency_us * NS_PER_US,
            heartbeat_s=settings.heartbeat_s,
            tokens_per_ms=venue.starbase.tokens_per_ms,
            tokens_full=venue.starbase.token_burst,
            crowd=crowd,
            linker=linker,
        )
    except ValueError as error:
        raise ConfigError(f"{config_path}: venue {venue.name}: simulation: {error}") from None


def reference_points(number: int, market: Market, venue: VenueConfig, path: Any) -> Array:
    """The followed prices as the venue's instruments of that underlying have them, `follow_delay_ms` later."""
    settings = venue.simulation.market
    assert settings is not None
    own = own_instruments(number, market)
    points = ReferencePoint.array(len(path) * len(own))
    rows = points.numpy().reshape(len(path), len(own))
    for place, index in enumerate(own):
        rows["time_ns"][:, place] = path[:, 0] + settings.follow_delay_ms * NS_PER_MS
        rows["instrument"][:, place] = index
        rows["price_ticks"][:, place] = path[:, 1] // market.instruments[index].tick_e9
    return points


def make_feed(number: int, config: RunConfig, market: Market) -> StarbaseFeed:
    """A Starbase feed that has seen nothing yet."""
    return make_starbase_feed(number, market, level_capacity=level_capacity(config))


def make_session(
    number: int, config: RunConfig, market: Market, config_path: Path, flows: tuple[Flow, ...]
) -> StarbaseSession:
    """A closed session over one flow a gateway. ConfigError if the key or a setting does not fit."""
    venue = config.venue[number]
    settings = venue.starbase
    key = credentials_of(venue, config_path)
    try:
        return make_starbase_session(
            number,
            market,
            flows,
            key.client_id.encode(),
            key.secret,
            self_match_prevention_id=settings.self_match_prevention_id,
            self_trading_mode=MODES[settings.self_trading_mode],
            tokens_per_ms=settings.tokens_per_ms,
            tokens_max=settings.token_burst,
        )
    except ValueError as error:
        raise ConfigError(f"{config_path}: venue {venue.name}: starbase: {error}") from None
