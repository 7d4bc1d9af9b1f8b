"""What a stand-in exchange is told: markets, accounts, keys, limits, and which of the venue's hosts it plays."""

from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from crosswire.venues.bridge.binance.market import Market
from crosswire.venues.bridge.binance.terms import DEFAULT_TERMS, Terms, market_of
from crosswire.venues.errors import VenueError

# What stands for which of the venue's hosts (binance.md D1, D2, D3, D5). Each gets a port of its own, as paths repeat.
HOSTS = {
    "spot_rest": (Market.SPOT, "api.binance.com"),
    "spot_stream": (Market.SPOT, "stream.binance.com"),
    "spot_sbe": (Market.SPOT, "stream-sbe.binance.com"),
    "spot_api": (Market.SPOT, "ws-api.binance.com"),
    "usdm_rest": (Market.USDM, "fapi.binance.com"),
    "usdm_stream": (Market.USDM, "fstream.binance.com"),
    "usdm_api": (Market.USDM, "ws-fapi.binance.com"),
    "coinm_rest": (Market.COINM, "dapi.binance.com"),
    "coinm_stream": (Market.COINM, "dstream.binance.com"),
    "control": (None, "localhost"),
}
LOOPBACK = ("127.0.0.1", "::1")
INSTRUMENTS_MAX = 64

Positive = Annotated[int, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]


class InstrumentConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One instrument: of a recording, or made up from a seed. Decimal texts; the venue's own figures by default."""

    market: str  # spot, usdm or coinm
    symbol: str = ""  # of a made-up one; a recording tells its own
    recording: str = ""  # a path; "": made up
    seed: int = 1  # of a made-up market
    tick: str = ""  # the venue's, for what `terms` knows
    lot: str = ""  # likewise
    base: str = ""  # likewise
    quote: str = ""  # likewise
    start_price: str = "60000"  # of a made-up market
    event_gap_us: Positive = 20_000  # of a made-up market, on average
    min_notional: str = "5"  # unverified for each symbol: exchangeInfo says
    percent_price: str = "0.05"  # how far from the last price an order may be; unverified, exchangeInfo says
    max_orders: Positive = 200  # open at one time
    funding_rate: str = "0.00010000"  # of each instant


class KeyConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One API key of the account: HMAC with a secret, or Ed25519 with the public key's PEM file."""

    key: str  # what a client names itself by
    secret: str = ""  # HMAC
    public_key: str = ""  # a path
    can_trade: bool = True  # no: orders are refused

    def __repr__(self) -> str:
        return f"KeyConfig({self.key[:4]}...)"


class LimitConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Rate limits of one market. An IP's weight by the minute; an account's new orders by 10 s and by `long_s`."""

    weight: Positive  # of requests, by minute and address
    orders_10s: Positive  # new orders in 10 s
    orders_long: Positive  # new orders in `long_s`
    long_s: Positive  # the longer window
    raw_requests: Positive = 61_000  # by 5 minutes
    ban_s: Positive = 120  # of the first ban: 2 minutes to 3 days (rest-api.md, IP Limits)


# rest-api.md of binance-spot-api-docs shows these as examples of exchangeInfo's rateLimits; USD-M's are [GK] of
# binance.md D5; COIN-M's are unverified.
SPOT_LIMITS = LimitConfig(weight=6_000, orders_10s=100, orders_long=200_000, long_s=86_400)
USDM_LIMITS = LimitConfig(weight=2_400, orders_10s=300, orders_long=1_200, long_s=60)
COINM_LIMITS = LimitConfig(weight=2_400, orders_10s=300, orders_long=1_200, long_s=60)


class ConnectionConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a websocket connection is held to (binance.md D1)."""

    ping_s: Annotated[float, Meta(gt=0)] = 20.0  # between two pings
    pong_s: Annotated[float, Meta(gt=0)] = 60.0  # without a pong the connection ends
    life_s: Annotated[float, Meta(gt=0)] = 86_400.0  # then it ends in any case
    messages_per_s: Positive = 5  # that a client may send to a stream connection; 10 on USD-M (unverified)
    streams_max: Positive = 1_024  # of one connection
    connections_per_5_min: Positive = 300  # of one address
    queue_bytes_max: Positive = 1 << 24  # of a client that does not read: beyond them its connection ends (own choice)
    listen_key_s: Annotated[float, Meta(gt=0)] = 3_600.0  # how long one lasts without being kept alive


class ScheduledConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Something that the control does by itself."""

    action: str  # as the control's
    body: dict[str, Any] = {}  # its arguments
    after_s: NotNegative = 0.0  # from the start
    every_s: NotNegative = 0.0  # again and again; 0: once
    jitter_s: NotNegative = 0.0  # at most so much later each time, drawn from the seed


class StandInConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A whole stand-in exchange."""

    folder: str  # certificates, the list of ports and the exchange's memory; mode 0700
    instruments: list[InstrumentConfig]  # 1 to 64
    keys: list[KeyConfig] = []  # of the one account
    address: str = "127.0.0.1"  # loopback: nothing else is taken
    ports: dict[str, int] = {}  # by the names of `HOSTS`; 0 and those that are missing: any that is free
    speed: NotNegative = 1.0  # of the recordings; 0: as fast as can be
    repeat: bool = False  # recordings start over at their end, with ids that go on
    starts_paused: bool = False  # until the control is told to go on
    times: str = "now"  # of events: "now", moved to the present, or "recorded"
    seed: int = 1  # of faults that strike by chance
    balances: dict[str, dict[str, str]] = {}  # by market and asset
    commission_asset: str = ""  # a third currency that fees are charged in, as BNB; "": the venue's usual one
    commission_price: str = "600"  # of one of it, in the quote currency
    spot_limits: LimitConfig = SPOT_LIMITS
    usdm_limits: LimitConfig = USDM_LIMITS
    coinm_limits: LimitConfig = COINM_LIMITS
    connections: ConnectionConfig = ConnectionConfig()
    schedule: list[ScheduledConfig] = []

    def limits(self, market: Market) -> LimitConfig:
        """Find the limits of a market."""
        return {Market.SPOT: self.spot_limits, Market.USDM: self.usdm_limits}.get(market, self.coinm_limits)


def resolve(config: StandInConfig, base: Path) -> StandInConfig:
    """Check what types alone do not, and make relative paths absolute. VenueError names the key."""
    if config.address not in LOOPBACK:
        raise VenueError(f"address = {config.address!r}: a stand-in listens on loopback alone: {' or '.join(LOOPBACK)}")
    if not 1 <= len(config.instruments) <= INSTRUMENTS_MAX:
        raise VenueError(f"instruments: {len(config.instruments)}; there must be 1 to {INSTRUMENTS_MAX}")
    if config.times not in ("now", "recorded"):
        raise VenueError(f'times = {config.times!r}: must be "now" or "recorded"')
    if unknown := set(config.ports) - set(HOSTS):
        raise VenueError(f"ports: {sorted(unknown)[0]!r} is none of {', '.join(HOSTS)}")
    for place, instrument in enumerate(config.instruments):
        try:
            market_of(instrument.market)
        except ValueError as error:
            raise VenueError(f"instruments[{place}]: {error}") from None
        if bool(instrument.symbol) == bool(instrument.recording):
            raise VenueError(f"instruments[{place}]: give a recording, or the symbol of a made-up one")
    for place, key in enumerate(config.keys):
        if bool(key.secret) == bool(key.public_key):
            raise VenueError(f"keys[{place}]: give either secret or public_key")
    return msgspec.structs.replace(
        config,
        folder=str(base / config.folder),
        instruments=[
            msgspec.structs.replace(each, recording=str(base / each.recording) if each.recording else "")
            for each in config.instruments
        ],
        keys=[
            msgspec.structs.replace(each, public_key=str(base / each.public_key) if each.public_key else "")
            for each in config.keys
        ],
    )


def terms_of(instrument: InstrumentConfig, symbol: str) -> Terms:
    """Find what an instrument's numbers mean: as the importer knows it, with what the configuration says instead."""
    market = market_of(instrument.market)
    known = DEFAULT_TERMS.get((market, symbol.partition("_")[0]))
    given = {key: getattr(instrument, key) for key in ("tick", "lot", "base", "quote") if getattr(instrument, key)}
    if known is None:
        if missing := {"tick", "lot", "base", "quote"} - set(given):
            raise VenueError(f"{symbol}: no terms are known for it: give {', '.join(sorted(missing))}")
        settlement = given["base"] if market == Market.COINM else given["quote"]
        return Terms(**given, settlement=settlement, maker_fee="0.0002", taker_fee="0.0005")
    return msgspec.structs.replace(known, **given)
