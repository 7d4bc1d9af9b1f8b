"""What both sides of a bridge share."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from crosswire.venues.bridge.binance.gateway.config import BridgeConfig
from crosswire.venues.bridge.binance.gateway.definitions import Definitions
from crosswire.venues.bridge.binance.gateway.limits import RateLimits
from crosswire.venues.bridge.binance.gateway.log import Log
from crosswire.venues.bridge.binance.gateway.rest import Rest
from crosswire.venues.bridge.binance.gateway.venue_clock import VenueClock
from crosswire.venues.bridge.binance.market import Market
from crosswire.venues.errors import VenueError


@dataclass(frozen=True)
class Shared:
    """One account's, by market where it is the market's."""

    config: BridgeConfig
    folder: Path  # that the configuration's relative paths are relative to
    log: Log
    context: ssl.SSLContext
    definitions: Definitions
    limits: dict[Market, RateLimits]
    clocks: dict[Market, VenueClock]
    rest: dict[Market, Rest]


def make_shared(config: BridgeConfig, folder: Path, log: Log) -> Shared:
    """Make what both sides share. VenueError."""
    context = make_context(folder / config.ca_file if config.ca_file else None)
    limits = {market: RateLimits(market) for market in config.markets}
    rest = {market: Rest(config.endpoint(market, "rest"), context, limits[market]) for market in config.markets}
    clocks = {market: VenueClock() for market in config.markets}
    return Shared(config, folder, log, context, Definitions(config, log), limits, clocks, rest)


def make_context(authorities: Path | None) -> ssl.SSLContext:
    """Make the rules that certificates are checked by, host name included. VenueError: no authority can be read."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies; TLS 1.2 at least
    try:
        if authorities is None:
            context.load_default_certs()
        else:
            context.load_verify_locations(authorities)
    except ssl.SSLError:
        raise VenueError(f"ca_file = {authorities}: holds no certificate of an authority, in PEM") from None
    except OSError as error:
        raise VenueError(f"ca_file = {authorities}: can't be read: {error.strerror}") from None
    return context
