"""From a configuration to one venue's line: its feed, its order session, its simulated exchange."""

from pathlib import Path
from typing import Any

from crosswire.engine.build import starbase as build_starbase
from crosswire.engine.build.market import NS_PER_US, level_capacity, make_market
from crosswire.engine.build.reference import followed_venue, price_path
from crosswire.engine.config import ConfigError, RunConfig
from crosswire.engine.paths import named_path
from crosswire.engine.venue import Line
from crosswire.nic.memory.struct import Struct
from crosswire.nic.packet import Flow
from crosswire.nic.rings.remote import make_remote_ring
from crosswire.nic.rings.replay import Replay
from crosswire.nic.unit.link import Linker
from crosswire.venues.bridge.feed import BridgeFeed
from crosswire.venues.bridge.orders.session import BridgeSession, make_bridge_session
from crosswire.venues.deribit.feed.feed import DeribitFeed
from crosswire.venues.exchange.simulated import make_simulated_exchange
from crosswire.venues.feed import Feed
from crosswire.venues.market import Market
from crosswire.venues.order import Session

HEARTBEAT_MS = 1_000


def make_venue(
    number: int, config: RunConfig, market: Market, config_path: Path, replays: list[Replay], linker: Linker
) -> Line:
    """One venue's line to its simulated exchange."""
    exchange = make_exchange(number, config, market, config_path, replays, linker)
    line = make_line(number, config, market, config_path, make_remote_ring(exchange, linker))
    return line._replace(exchange=exchange)


def make_line(number: int, config: RunConfig, market: Market, config_path: Path, ring: Struct) -> Line:
    """One venue's line over `ring`, with a new feed and a closed session."""
    if config.venue[number].orders == "starbase":
        live = config.venue[number].live
        gateways = 2 if live is not None and live.gateway_b else 1
        flows = tuple(order_flow(number, gateway) for gateway in range(gateways))
        session: Session = build_starbase.make_session(number, config, market, config_path, flows)
    else:
        session = make_session(number, market)
    return Line(ring, make_feed(number, config, market), session)


def make_feed(number: int, config: RunConfig, market: Market) -> Feed:
    """A venue's feed that has seen nothing yet."""
    kind = config.venue[number].feed
    if kind == "starbase":
        return build_starbase.make_feed(number, config, market)
    return DeribitFeed(venue=number) if kind == "deribit" else BridgeFeed(venue=number)


def make_session(number: int, market: Market) -> BridgeSession:
    """An order session of the bridge, closed."""
    return make_bridge_session(
        number, market, order_flow(number), session_id=number + 1, heartbeat_interval_ms=HEARTBEAT_MS
    )


def make_exchange(
    number: int,
    config: RunConfig,
    market: Market,
    config_path: Path,
    replays: list[Replay],
    linker: Linker,
    is_connected: bool = True,
) -> Any:
    """A venue's simulated exchange, a ring; a replay that it reads is added to `replays`.

    `is_connected`: its order connections are there from the start, as in a backtest.
    """
    venue = config.venue[number]
    if venue.feed == "starbase":
        flows = tuple(order_flow(number, gateway) for gateway in range(2))
        path = followed_path(number, config, config_path)
        return build_starbase.make_exchange(
            number, config, market, config_path, flows, path, linker, is_connected=is_connected
        )
    replay = Replay([named_path(config_path.parent, capture) for capture in venue.captures], cursors=2)
    replays.append(replay)
    simulation = venue.simulation
    try:
        exchange = make_simulated_exchange(
            make_feed(number, config, market),
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
            linker=linker,
        )
    except ValueError as error:
        raise ConfigError(f"{config_path}: venue {venue.name}: simulation: {error}") from None
    return exchange


def followed_path(number: int, config: RunConfig, config_path: Path) -> Any:
    """The captured prices that a simulated market follows, None if it walks by itself."""
    settings = config.venue[number].simulation.market
    if settings is None or not settings.follow:
        return None
    where = f"{config_path}: venue {config.venue[number].name}: simulation.market.follow"
    followed = followed_venue(config, where, settings.follow)
    market, _ = make_market(config)
    feed = make_feed(followed, config, market)
    return price_path(config, config_path, settings.follow, followed, feed, market)


def order_flow(number: int, gateway: int = 0) -> Flow:
    """Addresses of a venue's order connection as its session and its exchange know it.

    They are on no wire: the two ends' own code sees them, and what carries the connection has real ones.

    MAC addresses are locally administered (IEEE 802, second bit of the first octet), IP addresses from 198.18.0.0/15,
    which RFC 2544 sets aside for benchmarks.
    """
    return Flow(
        source_mac=0x02_00_00_00_00_01,
        destination_mac=0x02_00_00_00_01_00 + number,
        source_ip=0xC6_12_00_01,
        destination_ip=0xC6_13_00_01 + number,
        source_port=40_000 + 100 * gateway + number,
        destination_port=9_000 + gateway,
    )
