"""What `crosswire bridge binance` is configured by, and where the venue is reached unless that says otherwise."""

import re
from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from crosswire.nic.host.name import NAME_RULE, is_name
from crosswire.venues.bridge.binance.market import Market

SYMBOLS_MAX = 32  # of all markets: a channel each, and the feed's reader has room for 64
SYMBOL = re.compile(r"[A-Z0-9]{1,24}(_[A-Z0-9]{1,7})?")  # as BTCUSDT, BTCUSD_PERP, BTCUSD_260925


class Endpoint(NamedTuple):
    """A host and its port; TLS is spoken with all of them."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class DefaultEndpoints(NamedTuple):
    """Where one market is reached."""

    rest: str
    stream: str
    sbe: str
    order_api: str


# Sources, read on developers.binance.com in November 2026: spot: "WebSocket Streams", "SBE Market Data Streams", "REST
# API", "WebSocket API" (binance/binance-spot-api-docs); USD-M and COIN-M: "Websocket Market Streams", "WebSocket API
# General Info". None was ever called from this code's tests.
DEFAULT_ENDPOINTS = {
    Market.SPOT: DefaultEndpoints(
        "api.binance.com:443", "stream.binance.com:443", "stream-sbe.binance.com:443", "ws-api.binance.com:443"
    ),
    Market.USDM: DefaultEndpoints("fapi.binance.com:443", "fstream.binance.com:443", "", "ws-fapi.binance.com:443"),
    Market.COINM: DefaultEndpoints("dapi.binance.com:443", "dstream.binance.com:443", "", "ws-dapi.binance.com:443"),
}

Milliseconds = Annotated[int, msgspec.Meta(ge=10, le=3_600_000)]


class MarketConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """One of the venue's markets: its table is [spot], [usdm] or [coinm]."""

    symbols: list[str]  # as the venue writes them
    protocol: Literal["json", "sbe"] = "json"  # sbe: spot only, and with a key
    key_file: str = ""  # sbe: TOML with client_id and secret, of mode 600; the id of an Ed25519 key is sent, no secret
    depth_ms: Literal[0, 100, 250, 500] = 100  # how often the depth stream speaks; 0: futures, whenever it changes
    snapshot_levels: Literal[100, 500, 1_000, 5_000] = 1_000  # a side; 5,000: spot only
    silence_s: Annotated[float, msgspec.Meta(ge=1, le=3_600)] = 10.0  # of one instrument's depth, until it is a stall
    rest: str = ""  # "host:port"; "": the real one
    stream: str = ""  # "host:port" of the JSON streams; "": the real one
    sbe: str = ""  # "host:port" of spot's SBE streams; "": the real one
    order_api: str = ""  # "host:port" of the websocket order interface; "": the real one


class FeedConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Where the bridge feed goes."""

    address: str  # "address:port", of a multicast group or of one receiver
    source: str  # own IPv4 address that it is sent from; a group's packets leave by its interface
    hops: Annotated[int, msgspec.Meta(ge=0, le=255)] = 1  # of multicast: routers on the way
    heartbeat_ms: Milliseconds = 1_000  # between two packets on a silent feed
    definition_ms: Milliseconds = 1_000  # between two definitions of an instrument
    snapshot_ms: Milliseconds = 2_000  # between two snapshots of a book: how long a reader that starts later waits


class RecordingConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Where what is received goes, one symbol a file, as `crosswire import binance` reads it."""

    folder: str  # it is made when it is missing
    rotate_mb: Annotated[int, msgspec.Meta(ge=1, le=65_536)] = 256  # a file is followed by the next at this size


class OrdersConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """The order side: the engine's bridge session in, the venue's order interfaces out."""

    address: str  # "address:port" that is listened on
    key_file: str  # TOML with client_id and secret, of mode 600
    journal: str  # a file that is made when it is missing, and must stay while anything is open or held
    self_trade_prevention: Literal["", "NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"] = ""  # "": the account's
    countdown_ms: Annotated[int, msgspec.Meta(ge=0, le=600_000)] = 10_000  # of silence, then USD-M cancels; 0: never
    fee_prices: dict[str, str] = {}  # of third currencies that fees are charged in, in the settlement currency


class BridgeConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """One bridge: one account of the venue. Relative paths are relative to the configuration file."""

    name: str  # of your choice, in messages
    feed: FeedConfig
    spot: MarketConfig | None = None
    usdm: MarketConfig | None = None
    coinm: MarketConfig | None = None
    ca_file: str = ""  # authorities that the venue's certificates are checked by, PEM; "": the system's
    recording: RecordingConfig | None = None
    orders: OrdersConfig | None = None

    @property
    def markets(self) -> dict[Market, MarketConfig]:
        """The configured markets."""
        tables = {Market.SPOT: self.spot, Market.USDM: self.usdm, Market.COINM: self.coinm}
        return {market: table for market, table in tables.items() if table is not None}

    def endpoint(self, market: Market, name: str) -> Endpoint:
        """Where a market's `rest`, `stream`, `sbe` or `order_api` is."""
        text = getattr(self.markets[market], name) or getattr(DEFAULT_ENDPOINTS[market], name)
        return parse_endpoint(text, f"{market.name.lower()}.{name}")


def parse_endpoint(text: str, key: str) -> Endpoint:
    """Parse "host:port". ValueError, one line that begins with the key: it is none."""
    host, _, port = text.rpartition(":")
    is_host = bool(re.fullmatch(r"[A-Za-z0-9.-]{1,253}", host))
    if not is_host or not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65_535:
        shown = f" = {text}" if text.isprintable() and "@" not in text else ""
        raise ValueError(f"{key}{shown}: must be a host and a port, as api.binance.com:443")
    return Endpoint(host, int(port))


def parse_address(text: str, key: str) -> tuple[str, int]:
    """Parse "address:port" of IPv4. ValueError as `parse_endpoint`."""
    address, _, port = text.rpartition(":")
    try:
        IPv4Address(address)
        number = int(port)
    except ValueError:
        number = 0
    if not 1 <= number <= 65_535:
        raise ValueError(f"{key} = {text}: must be an IPv4 address and a port, as 239.66.0.1:6200")
    return address, number


def faults(config: BridgeConfig) -> Iterator[str]:
    """Say what is wrong with a configuration of which every key has the right type, a line each."""
    if not is_name(config.name):
        yield f"name = {config.name!r}: {NAME_RULE}"
    if not config.markets:
        yield "no market: give at least one of the tables [spot], [usdm], [coinm]"
    if sum(len(table.symbols) for table in config.markets.values()) > SYMBOLS_MAX:
        yield f"more than {SYMBOLS_MAX} symbols: run another bridge for the rest"
    for market, table in config.markets.items():
        yield from market_faults(config, market, table)
    texts: list[tuple[Any, str, str]] = [(parse_address, config.feed.address, "feed.address")]
    if config.orders is not None:
        texts.append((parse_address, config.orders.address, "orders.address"))
    for parse, text, key in texts:
        yield from raised(parse, text, key)
    try:
        IPv4Address(config.feed.source)
    except ValueError:
        yield f"feed.source = {config.feed.source}: must be an IPv4 address of this host"


def market_faults(config: BridgeConfig, market: Market, table: MarketConfig) -> Iterator[str]:
    """Say what is wrong with one market's table."""
    name = market.name.lower()
    if not table.symbols or len(set(table.symbols)) != len(table.symbols):
        yield f"{name}.symbols: needs symbols, each once, has {table.symbols}"
    for symbol in table.symbols:
        if not SYMBOL.fullmatch(symbol):
            yield f"{name}.symbols = {symbol}: must be as the venue writes it, BTCUSDT or BTCUSD_PERP"
    if table.protocol == "sbe" and market != Market.SPOT:
        yield f'{name}.protocol = "sbe": the venue has it for spot only'
    if (table.protocol == "sbe") != bool(table.key_file):
        yield f'{name}.key_file: protocol = "sbe" needs it, and nothing else reads it'
    if market == Market.SPOT and table.depth_ms != 100:
        yield f"{name}.depth_ms = {table.depth_ms}: spot's depth stream speaks every 100 ms"
    if market != Market.SPOT and table.snapshot_levels > 1_000:
        yield f"{name}.snapshot_levels = {table.snapshot_levels}: the futures give 1,000 at most"
    for key in ("rest", "stream", "order_api", *(["sbe"] if market == Market.SPOT else [])):
        yield from raised(lambda _text, _key, key=key: config.endpoint(market, key), "", "")
    if market != Market.SPOT and table.sbe:
        yield f"{name}.sbe: the venue has it for spot only"


def raised(parse: Any, text: str, key: str) -> Iterator[str]:
    """Give the text of the ValueError that parsing ends in, if it does."""
    try:
        parse(text, key)
    except ValueError as error:
        yield str(error)
