"""A run's configuration: TOML decoded into typed structs. Unknown keys are refused; errors name key, value and file."""

import re
import tomllib
from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from difflib import get_close_matches
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import inspect

from crosswire.engine.adapters import find_adapter
from crosswire.engine.configuration.renamed import NEW_NAMES
from crosswire.nic.host.name import NAME_RULE, is_name
from crosswire.risk.limits import InstrumentLimitsConfig, RunLimitsConfig, StrategyLimitsConfig, VenueLimitsConfig
from crosswire.risk.records import INSTRUMENTS_MAX, STRATEGIES_MAX
from crosswire.venues.adapter import Adapter, OrderEntry
from crosswire.venues.errors import VenueError
from crosswire.venues.exchange.settings import SimulationConfig
from crosswire.venues.money.terms import AccountConfig, InstrumentMoney
from crosswire.venues.order import VENUES_MAX

# Profiles have them where only the user knows the address: a run that began with one would hear nothing.
DOCUMENTATION_NETWORKS = tuple(map(IPv4Network, ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")))  # RFC 5737
VERSION = 1  # of what a configuration's keys are called and mean; `engine/configuration/migrate.py` leads to it


class ConfigError(Exception):
    """One line: the file, the key, the value and what is wrong with it."""


class Mistake(NamedTuple):
    """One thing that is wrong: the key as a path of names and places in lists, and a line that names it."""

    key: tuple[str | int, ...]
    said: str


class InstrumentConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """One instrument of a venue; `crosswire inspect --instruments` prints such tables from a capture."""

    symbol: str  # as the venue writes it
    kind: Literal["spot", "perpetual", "future", "option", "combo"]  # what it is
    payoff: Literal["linear", "inverse"]  # inverse: sizes are in the quote currency, cash flows in the coin
    underlying: str  # what limits and strategies group it by
    base: str  # the coin
    quote: str  # currency of its prices
    settlement: str  # currency of its cash flows and fees
    tick: Decimal  # quote currency
    lot: Decimal  # size currency: base coin, or quote currency for inverse contracts
    contract: Decimal  # size currency
    expiry: datetime | None = None  # of a future; None: as its captures define it
    maker_fee_bps: Decimal | None = None  # None: as the account's fee_tiers say
    taker_fee_bps: Decimal | None = None  # likewise
    limits: InstrumentLimitsConfig
    money: InstrumentMoney = InstrumentMoney()  # what holding it costs
    speed_bump_us: int = 0  # how long the venue holds an order that would match on arrival
    levels_max: int = 16_384  # book levels, both sides together; when they do not suffice the farthest are let go


class LiveVenueConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """How one venue is reached over the network."""

    ring: Literal["af_xdp", "af_packet", "sockets", "dpdk"]  # how frames come in and go out: docs/live.md
    interface: str  # of the venue's network
    device: str = ""  # dpdk: PCI address or virtual device, as "0000:3b:00.0"; `interface` then only joins the groups
    groups: list[str]  # "source@address:port" of every multicast group, A and B lines alike
    any_source: bool = False  # groups may go without "source@": whoever can send to them is believed
    check_udp: bool = True  # hold each datagram against its checksum; `sockets`: the kernel does
    gateway: str  # "address:port"
    gateway_b: str = ""  # the second one, where the order entry has two
    tcp: Literal["own", "kernel"] | None = None  # of the orders; own: on the ring, and what af_xdp has if not said
    gateway_mac: str = ""  # own: the next hop's; "": the kernel's neighbour table knows it
    queue: int = 0  # af_xdp: the receive queue that the groups arrive on
    require: Literal["zerocopy", "native", "generic"] | None = None  # af_xdp: how near to the driver; no default
    busy_poll_us: int = 0  # af_xdp: how long the kernel polls its driver for a call; 0: it does not
    coalesce_us: int | None = None  # receive interrupts' delay while it runs; None leaves the interface as it is
    flow_steering: bool = False  # have the interface put the groups on `queue`
    frames: int = 4096  # that the ring of market data has room for, a power of two
    timestamps: Literal["poll", "software", "hardware"] = "poll"  # of market data: by the poll, the kernel, the card
    exchange_interface: str = ""  # where `crosswire exchange` publishes from


class VenueConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """One venue: where its market data comes from, how it takes orders.

    Settings of this kind of venue alone are in a table named as `feed`, [venue.<feed>], whose keys the adapter defines.
    """

    name: str  # of your choice, unique; instruments are "name/symbol"
    feed: str  # name of the adapter
    ignore_definitions: bool = False  # the instruments are as configured, whatever the venue's definitions say of them
    captures: list[str] = []  # of the market data, where the simulated exchange is made from them; see `engine.paths`
    capture_stamps: Literal["", "none", "exablaze", "metamako", "arista"] = ""  # in their frames; "": tell if there are
    recordings: list[str] = []  # raw streams that missing captures are imported from, one a capture
    clock_offset_ms: int = 0  # added to the clock of the host that recorded them
    instrument: list[InstrumentConfig]
    limits: VenueLimitsConfig
    simulation: SimulationConfig
    account: AccountConfig = AccountConfig()
    orders: str = ""  # which of the adapter's order entries; "": its first
    live: LiveVenueConfig | None = None
    settings: Any = None  # the adapter's struct, out of its table

    @property
    def adapter(self) -> Adapter:
        """What the venue's code offers."""
        return find_adapter(self.feed)

    @property
    def order_entry(self) -> OrderEntry:
        """How the venue takes orders."""
        return self.adapter.order_entries[self.orders]


class StrategyConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """`use`: a built-in name, "package.module:Name", or "path/to/file.py:Name"."""

    use: str  # a built-in name, "package.module:Name" or "path/to/file.py:Name"
    name: str = ""  # in records and report; needed where there are several
    parameters: dict[str, Any] = {}  # the strategy's own keys
    limits: StrategyLimitsConfig | None = None  # of its own positions; None: only those of all


GENERATED_S_MAX = 86_400  # of market data that is made


class GenerateConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Seeded captures made before the run when they are not there yet."""

    directory: str  # of the captures
    seed: int  # the same one makes the same captures
    seconds: Annotated[int, msgspec.Meta(ge=1, le=GENERATED_S_MAX)]  # of market data
    venues: list[str] = []  # which two; []: those that come with Crosswire
    market: Literal["pair", "triangle"] = "pair"  # one book at each of two venues, or three spot books of one


class LiveConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """The host that `crosswire live` and `crosswire exchange` run on."""

    core: int  # that the loop is pinned to
    scheduling: Literal["other", "fifo"] = "other"  # of the loop's thread
    priority: int = 50  # of "fifo", 1 to 99
    lock_memory: bool = True  # no page of it is ever swapped out
    checks: Literal["refuse", "warn", "off"] = "warn"  # of the host: what a check that fails does to the start
    namespace: str = ""  # network namespace of the rings, "" is the host's own
    exchange_namespace: str = ""  # of the simulated exchanges
    exchange_core: int = 0  # that a simulated exchange is pinned to


class FlattenConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """How positions are traded away when the operator says so."""

    band_bps: Decimal = Decimal(10)  # how far through the opposite best; the price collar holds beside it
    interval_ms: int = 100  # between two tries: longer than a round trip and the longest speed bump
    tries: int = 50  # of each instrument; what is still held then is told


class ControlConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """How a live run is watched and commanded from outside; without this table nothing is served."""

    keys: str  # folder of the keys and of the list of clients, as `crosswire control keys` makes it
    address: str = ""  # that clients come to: "tcp://10.0.0.5:9477", "ipc:///run/crosswire/btc"; "": a socket beside
    # the run folders
    metrics: str = ""  # where Prometheus finds them, "127.0.0.1:9464": whoever reaches it reads all; "": nowhere
    flatten: FlattenConfig = FlattenConfig()


class LogConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What processes say, as lines of JSON in files beside; without this table in none."""

    folder: str  # of the files: <name>-live.jsonl, <name>-monitor.jsonl, ...
    file_mb: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 16  # of one file, in 1,000,000 bytes; then the next begins
    files: Annotated[int, msgspec.Meta(ge=1, le=100)] = 8  # of one process; then the oldest goes


class RunConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A whole run. Relative paths are relative to the configuration file."""

    version: int = VERSION  # of what the keys are called and mean
    name: str  # of the run: its folder is runs/<name>
    venue: list[VenueConfig]
    limits: RunLimitsConfig
    strategy: StrategyConfig | list[StrategyConfig]
    generate: GenerateConfig | None = None
    live: LiveConfig | None = None
    control: ControlConfig | None = None
    log: LogConfig | None = None
    sample_interval_ms: int = 100  # of the time series in the report, and of the loss limit's check

    @property
    def strategies(self) -> list[StrategyConfig]:
        """The `[strategy]` table, or all `[[strategy]]` tables."""
        return self.strategy if isinstance(self.strategy, list) else [self.strategy]


def load_config(path: Path) -> RunConfig:
    """Read and check one configuration file; ConfigError with one line if anything is wrong."""
    return parse_config(read_config_text(path), path)


def read_config_text(path: Path) -> str:
    """Read one configuration file; ConfigError if it is not there or no text."""
    try:
        return path.read_text()
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; `crosswire examples` copies configurations to begin with") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: can't be read: {error}") from None


def parse_config(text: str, path: Path) -> RunConfig:
    """Check a configuration that is, or could be, what `path` holds; ConfigError as `load_config`."""
    return make_config(parse_toml(text, path), path)


def parse_toml(text: str, path: Path) -> dict[str, Any]:
    """Parse what `path` holds; ConfigError if it is no TOML."""
    try:
        return tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None


def ignoring_definitions(config: RunConfig) -> RunConfig:
    """Have the instruments of all venues be as configured, whatever their definitions say."""
    venues = [msgspec.structs.replace(venue, ignore_definitions=True) for venue in config.venue]
    return msgspec.structs.replace(config, venue=venues)


def make_config(raw: dict[str, Any], path: Path) -> RunConfig:
    """Check what stood in a file, as parsed; ConfigError as `load_config`."""
    config = settle_config(raw, path)
    for mistake in mistakes_of(config):
        raise ConfigError(f"{path}: {mistake.said}")
    return config


def settle_config(raw: dict[str, Any], path: Path) -> RunConfig:
    """Make a configuration of what stood in a file, whose keys are all looked at one by one. ConfigError."""
    if wrong := wrong_version(raw):
        raise ConfigError(f"{path}: {wrong.said}")
    if (version := raw.get("version", VERSION)) < VERSION:
        raise ConfigError(f"{path}: version = {version}: `crosswire config migrate` brings it to {VERSION}")
    tables = _take_own_tables(raw, path)
    config = convert(raw, RunConfig, str(path))
    venues = [_settle(*each, path) for each in zip(config.venue, tables, strict=True)]
    return msgspec.structs.replace(config, venue=venues)


def wrong_version(raw: dict[str, Any], newest: int = VERSION) -> Mistake | None:
    """Say what is wrong with a configuration's version: what its other keys mean depends on that."""
    version = raw.get("version", VERSION)
    if type(version) is int and version > newest:
        said = f"this Crosswire reads up to version {newest}: install the one that the file was written for"
    elif type(version) is not int or version < 1:
        said = f"must be a whole number from 1 to {newest}"
    else:
        return None
    return Mistake(("version",), f"version = {version}: {said}")


def _take_own_tables(raw: dict[str, Any], path: Path) -> list[Any]:
    """Take each venue's own table out of `raw`: only the venue's adapter knows its keys."""
    venues = raw.get("venue")
    tables = []
    for venue in venues if isinstance(venues, list) else []:
        feed = venue.get("feed") if isinstance(venue, dict) else None
        if feed in VenueConfig.__struct_fields__:
            raise ConfigError(f"{path}: venue.feed = {feed}: is a key of every venue, so no venue can be called that")
        if "settings" in venue:
            raise ConfigError(f"{path}: venue: object contains unknown field `settings`")
        tables.append(venue.pop(feed, {}) if isinstance(feed, str) else {})
    return tables


def _settle(venue: VenueConfig, table: Any, path: Path) -> VenueConfig:
    """Complete a venue from its adapter: its settings, and how it takes orders if that is not configured."""
    where = f"{path}: venue {venue.name}"
    try:
        adapter = venue.adapter
    except VenueError as error:
        raise ConfigError(f"{where}: feed = {venue.feed}: {error}") from None
    settings = convert(table, adapter.settings, where, venue.feed)
    return msgspec.structs.replace(venue, settings=settings, orders=venue.orders or next(iter(adapter.order_entries)))


def convert(raw: Any, kind: type[Any], where: str, prefix: str = "") -> Any:
    """Convert `raw` to a `kind`; ConfigError naming `where`, the key, its value and the reason."""
    try:
        return msgspec.convert(raw, kind, strict=True)
    except msgspec.ValidationError as error:
        message, _, location = str(error).partition(" - at `")
        key = location.rstrip("`").removeprefix("$").removeprefix(".")
        value = _value_at(raw, key)
        shown = "" if isinstance(value, dict | list) or value is _MISSING else f" = {value}"
        message += _near_miss(message, kind, key)
        named = ".".join(part for part in (prefix, key) if part) or "top level"
        raise ConfigError(f"{where}: {named}{shown}: {message[:1].lower()}{message[1:]}") from None


def _near_miss(message: str, kind: type[Any], key: str) -> str:
    """Ask whether another key was meant than the unknown one that a message is about; "" if none is like it."""
    unknown = re.search(r"unknown field `(.*)`$", message)
    if unknown is None:
        return ""
    known = keys_at(kind, key)
    if (new := NEW_NAMES.get(unknown[1])) in known:
        return f": it is called `{new}`; `crosswire config migrate` renames it"
    near = get_close_matches(unknown[1], sorted(known), n=1)
    return f": did you mean `{near[0]}`?" if near else ""


def keys_at(kind: type[Any], key: str) -> set[str]:
    """List the keys of the table that lies at `key` in what is converted to a `kind`."""
    found = [inspect.type_info(kind)]
    for name, _ in re.findall(KEY_STEP, key):
        found = [inner for each in _alternatives(found) for inner in _inside(each, name)]
    return {field.encode_name for each in _alternatives(found) for field in getattr(each, "fields", ())}


def _alternatives(kinds: Sequence[inspect.Type]) -> list[inspect.Type]:
    return [one for kind in kinds for one in (kind.types if isinstance(kind, inspect.UnionType) else (kind,))]


def _inside(kind: inspect.Type, name: str) -> list[inspect.Type]:
    """Find the kinds of a table's key or, without a name, of a list's items and of a table's values."""
    if name:
        return [field.type for field in getattr(kind, "fields", ()) if field.encode_name == name]
    inner = getattr(kind, "item_type", getattr(kind, "value_type", None))
    return [] if inner is None else [inner]


KEY_STEP = r"([^.\[\]]+)|\[(\d+|\.\.\.)\]"  # a key, or a place in a list; "[...]": of a table with keys of its own
_MISSING = object()


def _value_at(raw: Any, key: str) -> Any:
    for name, index in re.findall(KEY_STEP, key):
        try:
            raw = raw[name] if name else raw[int(index)]
        except (KeyError, IndexError, TypeError, ValueError):
            return _MISSING
    return raw


def need_live(config: RunConfig, path: Path) -> LiveConfig:
    """Return the host's part; ConfigError if `live`, or a venue's own `live`, is not configured, or not filled in."""
    if config.live is None or any(venue.live is None for venue in config.venue):
        raise ConfigError(f"{path}: live and venue.live are missing: they name the wires to trade on")
    for venue in config.venue:
        assert venue.live is not None
        for key, text in _addresses(venue.live):
            if any(IPv4Address(text) in network for network in DOCUMENTATION_NETWORKS):
                raise ConfigError(
                    f"{path}: venue {venue.name}: live.{key}: {text} stands for an address that only you know"
                    " (RFC 5737 keeps it for documents): write the venue's"
                )
    return config.live


def _addresses(live: LiveVenueConfig) -> Iterator[tuple[str, str]]:
    """List the IPv4 addresses of a venue's wires with their keys; what is none is refused where it is used."""
    for key, texts in (("groups", live.groups), ("gateway", [live.gateway]), ("gateway_b", [live.gateway_b])):
        for text in texts:
            yield from ((key, each) for each in re.findall(r"\d+\.\d+\.\d+\.\d+", text) if _is_address(each))


def _is_address(text: str) -> bool:
    try:
        IPv4Address(text)
    except ValueError:
        return False
    return True


def parse_endpoint(text: str, what: str) -> tuple[int, int]:
    """Parse "10.98.0.2:9000" into an IPv4 number and a port; ConfigError if it is something else."""
    address, _, port = text.rpartition(":")
    try:
        ip, number = int(IPv4Address(address)), int(port)
    except ValueError:
        ip, number = 0, 0
    if not 1 <= number <= 65_535:
        raise ConfigError(f"{what} = {text}: must be an IPv4 address and a port, as 239.1.1.1:6200")
    return ip, number


def parse_mac(text: str, what: str) -> int:
    """Parse "02:00:00:00:00:01" into a 48-bit number; ConfigError if it is something else."""
    if not re.fullmatch(r"(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}", text) or set(text) <= set("0:"):
        raise ConfigError(f"{what} = {text}: must be an Ethernet address, as 02:00:00:00:00:01")
    return int(text.replace(":", ""), 16)


def mistakes_of(config: RunConfig) -> Iterator[Mistake]:
    """Say what is wrong with a configuration whose every key is one and has a value of its kind."""
    yield from _wrong_names(config)
    if not 1 <= len(config.venue) <= VENUES_MAX:
        yield Mistake(("venue",), f"venue: {len(config.venue)} venues, must be 1 to {VENUES_MAX}")
    for number, venue in enumerate(config.venue):
        if venue.name in [other.name for other in config.venue[:number]]:
            yield Mistake(("venue", number, "name"), f"venue.name = {venue.name}: used twice")
        for key, said in (*_wrong_orders(venue), *_wrong_sources(venue), *_wrong_symbols(venue)):
            yield Mistake(("venue", number, *key), f"venue {venue.name}: {said}")
    if sum(len(venue.instrument) for venue in config.venue) > INSTRUMENTS_MAX:
        yield Mistake(("venue",), f"more than {INSTRUMENTS_MAX} instruments")
    yield from _wrong_strategies(config)
    yield from _wrong_control(config)
    if config.sample_interval_ms <= 0:
        said = f"sample_interval_ms = {config.sample_interval_ms}: must be positive"
        yield Mistake(("sample_interval_ms",), said)


def _wrong_orders(venue: VenueConfig) -> Iterator[Mistake]:
    """Refuse a way of trading that the adapter does not offer, and captures that nothing would be made from."""
    entries = venue.adapter.order_entries
    if venue.orders not in entries:
        known = " or ".join(f'"{name}"' for name in entries)
        yield Mistake(("orders",), f'orders = "{venue.orders}": feed = "{venue.feed}" takes {known}')
        return
    if venue.order_entry.replays and not venue.captures:
        yield Mistake(("captures",), "captures is empty")
    if venue.captures and not venue.order_entry.replays:
        replaying = [f'orders = "{name}"' for name, entry in entries.items() if entry.replays]
        instead = f"; replay them with {' or '.join(replaying)}" if replaying else ""
        yield Mistake(
            ("captures",),
            f'captures: with orders = "{venue.orders}" the exchange makes its market data itself{instead}',
        )
    if venue.recordings and not venue.adapter.importers:
        yield Mistake(("recordings",), f'recordings: feed = "{venue.feed}" imports none')
    if venue.live is not None and venue.live.gateway_b and venue.order_entry.gateways_max < 2:
        yield Mistake(("live", "gateway_b"), f'live.gateway_b: orders = "{venue.orders}" has one gateway')


def _wrong_sources(venue: VenueConfig) -> Iterator[Mistake]:
    """Refuse a group that anybody's datagrams would be taken from, unless that is said: one of them prices a book."""
    for number, group in enumerate(venue.live.groups if venue.live is not None and not venue.live.any_source else []):
        if "@" not in group:
            yield Mistake(
                ("live", "groups", number),
                f'live.groups: {group} names no source: write "<its sender\'s address>@{group}", '
                "or any_source = true to believe whoever sends to it",
            )


def _wrong_symbols(venue: VenueConfig) -> Iterator[Mistake]:
    symbols = [instrument.symbol for instrument in venue.instrument]
    if not symbols or len(set(symbols)) != len(symbols):
        yield Mistake(("instrument",), f"needs instruments, each symbol once, has {symbols}")


def _wrong_strategies(config: RunConfig) -> Iterator[Mistake]:
    strategies = config.strategies
    if not 1 <= len(strategies) <= STRATEGIES_MAX:
        said = f"strategy: {len(strategies)} strategies, must be 1 to {STRATEGIES_MAX}"
        yield Mistake(("strategy",), said)
    names = [each.name for each in strategies]
    if len(names) > 1 and (not all(names) or len(set(names)) != len(names)):
        yield Mistake(("strategy",), f"strategy.name: several strategies need a name each, there are {names}")


def _wrong_names(config: RunConfig) -> Iterator[Mistake]:
    """Refuse what becomes part of a path, and would lead out of its folder."""
    parts: list[tuple[tuple[str | int, ...], str]] = [(("name",), config.name)]
    parts += [(("venue", number, "name"), venue.name) for number, venue in enumerate(config.venue)]
    several = isinstance(config.strategy, list)
    parts += [
        (("strategy", number, "name") if several else ("strategy", "name"), each.name)
        for number, each in enumerate(config.strategies)
        if each.name
    ]
    if config.live is not None:
        namespaces = {"namespace": config.live.namespace, "exchange_namespace": config.live.exchange_namespace}
        parts += [(("live", key), name) for key, name in namespaces.items() if name]
    for key, name in parts:
        if not is_name(name):
            named = ".".join(each for each in key if isinstance(each, str))
            yield Mistake(key, f"{named} = {name!r}: {NAME_RULE}")


def _wrong_control(config: RunConfig) -> Iterator[Mistake]:
    if config.control is None:
        return
    flatten = config.control.flatten
    for key, value, most in (
        ("band_bps", flatten.band_bps, 10_000),
        ("interval_ms", flatten.interval_ms, 60_000),
        ("tries", flatten.tries, 10_000),
    ):
        if not 0 < value <= most:
            said = f"control.flatten.{key} = {value}: must be above 0, and {most} at most"
            yield Mistake(("control", "flatten", key), said)
