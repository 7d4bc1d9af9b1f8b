"""One venue's part of a run, made from a configuration: its feed, its order session, its simulated exchange."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from crosswire.engine.build.market import level_capacity, make_market
from crosswire.engine.build.reference import followed_venue, price_path
from crosswire.engine.captures import open_captures
from crosswire.engine.config import ConfigError, RunConfig
from crosswire.engine.venue import VenueParts
from crosswire.nic.memory.struct import Struct
from crosswire.nic.packet import Flow
from crosswire.nic.rings.remote import RemoteRing, make_remote_ring
from crosswire.nic.rings.replay import Replay
from crosswire.nic.unit.link import Linker
from crosswire.venues.adapter import ExchangeSetup, VenueSetup, venue_key
from crosswire.venues.errors import VenueError
from crosswire.venues.market import Market


def make_venue(
    number: int,
    config: RunConfig,
    market: Market,
    config_path: Path,
    replays: list[Replay],
    linker: Linker,
    wire: Callable[[int, RemoteRing], Struct],
) -> VenueParts:
    """Make one venue's part with its simulated exchange; `wire` makes the ring that the engine has of it."""
    exchange = make_exchange(number, config, market, config_path, replays, linker)
    part = make_parts(number, config, market, config_path, wire(number, make_remote_ring(exchange, linker)))
    return part._replace(exchange=exchange)


def make_parts(number: int, config: RunConfig, market: Market, config_path: Path, ring: Struct) -> VenueParts:
    """Make one venue's part over `ring`, with a new feed and a closed session."""
    venue = config.venue[number]
    setup = venue_setup(number, config, market, config_path)
    feed = make_feed(setup, config, config_path)
    return VenueParts(ring, feed, made(venue.order_entry.make_session, setup, config, config_path))


def venue_setup(number: int, config: RunConfig, market: Market, config_path: Path) -> VenueSetup:
    """Gather what the makers of a venue's feed and session are told."""
    venue = config.venue[number]
    gateways = 2 if venue.live is not None and venue.live.gateway_b else 1
    return VenueSetup(
        number=number,
        name=venue.name,
        folder=config_path.parent,
        settings=venue.settings,
        market=market,
        level_capacity=level_capacity(config),
        ignores_definitions=venue.ignore_definitions,
        flows=tuple(order_flow(venue.name, gateway) for gateway in range(gateways)),
    )


def make_feed(setup: VenueSetup, config: RunConfig, config_path: Path) -> Any:
    """Make a venue's feed, which has seen nothing yet. ConfigError as `made`."""
    feed = made(config.venue[setup.number].adapter.make_feed, setup, config, config_path)
    feed.ignores_definitions = int(setup.ignores_definitions)
    return feed


def made(make: Callable[[Any], Any], setup: VenueSetup, config: RunConfig, config_path: Path) -> Any:
    """Call a venue's maker; ConfigError with the venue's name if a setting does not fit."""
    try:
        return make(setup)
    except (ValueError, VenueError) as error:
        raise ConfigError(f"{config_path}: venue {config.venue[setup.number].name}: {error}") from None


def make_exchange(
    number: int,
    config: RunConfig,
    market: Market,
    config_path: Path,
    replays: list[Replay],
    linker: Linker,
    is_connected: bool = True,
) -> Any:
    """Make a venue's simulated exchange, which is a ring; add the replay that it reads, if any, to `replays`.

    With `is_connected` its order connections exist from the start, as in a backtest.
    """
    venue = config.venue[number]
    entry = venue.order_entry
    if entry.make_exchange is None:
        raise ConfigError(f'{config_path}: venue {venue.name}: orders = "{venue.orders}": no exchange is simulated')
    replay = None
    if entry.replays:
        replay = open_captures(venue, config_path, cursors=2, begins_starved=True)
        replays.append(replay)
        replay.link(linker)
    setup = ExchangeSetup(
        number=number,
        name=venue.name,
        folder=config_path.parent,
        settings=venue.settings,
        market=market,
        level_capacity=level_capacity(config),
        ignores_definitions=venue.ignore_definitions,
        flows=tuple(order_flow(venue.name, gateway) for gateway in range(entry.gateways_max)),
        simulation=venue.simulation,
        linker=linker,
        replay=replay,
        is_connected=is_connected,
        follow=lambda key, name: followed_path(f"{config_path}: venue {venue.name}: {key}", name, config, config_path),
    )
    return made(entry.make_exchange, setup, config, config_path)


def followed_path(where: str, name: str, config: RunConfig, config_path: Path) -> Any:
    """Read the prices of the instrument "venue/symbol" out of its venue's captures, for others to follow."""
    number = followed_venue(config, where, name)
    market, _ = make_market(config)
    setup = venue_setup(number, config, market, config_path)
    feed = make_feed(setup, config, config_path)
    return price_path(config, config_path, name, number, feed, market)


def order_flow(venue: str, gateway: int = 0) -> Flow:
    """Return the addresses of a venue's order connection as its session and its exchange know it.

    They never appear on a wire: only the code at both ends sees them, and what carries the connection has real ones.
    They come from the venue's name, so that its frames are the same whatever other venues there are.

    MAC addresses are locally administered (IEEE 802, second bit of the first octet), IP addresses from 198.18.0.0/15,
    which RFC 2544 sets aside for benchmarks.
    """
    place = venue_key(venue) & 0x3FFF
    return Flow(
        source_mac=0x02_00_00_00_00_01,
        destination_mac=0x02_00_00_01_00_00 + place,
        source_ip=0xC6_12_00_01,
        destination_ip=0xC6_13_80_00 + place,
        source_port=40_000 + gateway,
        destination_port=9_000 + gateway,
    )
