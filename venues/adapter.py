"""The one record through which the engine uses a venue: everything that it needs of it.

A package offers its venue under an entry point of the group `crosswire.venues`, whose name is the adapter's and whose
value is the `Adapter`. A configuration asks for it by that name (`feed = "..."`), and so does
`crosswire inspect --venue`. The module that holds the adapter is imported only then: it should import at its top what
every run needs, and in a maker's body what only that maker needs.

An optional member that is None says that the venue does not offer it; code that asks for it says so in one line. A
maker raises ValueError, or `VenueError`, with one line that begins with the key that is wrong.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec

from crosswire.nic.histogram import Histogram
from crosswire.nic.host.owner import Owner
from crosswire.nic.packet import Flow
from crosswire.nic.rings.replay import Replay
from crosswire.nic.unit.link import Linker
from crosswire.nic.warning import DataWarning
from crosswire.venues.exchange.lies import Lie
from crosswire.venues.exchange.settings import SimulationConfig
from crosswire.venues.feed import Feed
from crosswire.venues.layout import WireLayout
from crosswire.venues.market import Events, Market
from crosswire.venues.money.told import ToldFunding
from crosswire.venues.session import Resumed, Session, SessionState


class NoSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """The settings of a venue that has none of its own."""


def venue_key(name: str) -> int:
    """Return a number of 32 bits for a venue's name: the same in every run, whatever its place among the venues."""
    return zlib.crc32(name.encode())


@dataclass(frozen=True, kw_only=True)
class VenueSetup:
    """What the makers of a venue's feed and order session are told."""

    number: int  # of the venue in the run: `Instrument.venue`
    name: str  # of the venue in the run
    folder: Path  # that the configuration's relative paths are relative to
    settings: Any  # the adapter's own struct
    market: Market  # the run's instruments, of all venues, and the books that the feed keeps up to date
    level_capacity: int  # of every book, both sides together
    ignores_definitions: bool = False  # `Feed.ignores_definitions`, which the engine sets: for feeds made elsewhere
    flows: tuple[Flow, ...]  # the order connection over each gateway, as both ends know it


@dataclass(frozen=True, kw_only=True)
class ExchangeSetup(VenueSetup):
    """What the maker of a simulated exchange is told. `market` is the engine's: the exchange keeps its own copy."""

    simulation: SimulationConfig
    linker: Linker  # by which the exchange gets at its own units
    replay: Replay | None  # of the configured captures, with two cursors; None: there are none
    is_connected: bool  # the order connections are there from the start, as in a backtest
    follow: Callable[[str, str], Any]  # (key, "venue/symbol") -> rows of (time_ns, price_e9) from that venue's captures


class OpenOrder(NamedTuple):
    """An order of the client as a simulated exchange has it."""

    exchange_order_id: int
    instrument: int  # market index
    side: int
    price_ticks: int
    leaves_lots: int


class ToldAccount(NamedTuple):
    """Our account as an interface of the venue beside the session has it."""

    # By market index, signed; of instruments that are not named: 0. None: the interface tells no positions.
    position_lots: dict[int, int] | None
    open_orders: list[OpenOrder]
    strangers: list[str]  # instruments with a position or an order that the configuration lacks


class AccountSource(Protocol):
    """An interface of the venue beside the session, that can be asked for our account."""

    @property
    def name(self) -> str:
        """Say who is asked, for messages."""

    @property
    def tells_positions(self) -> bool:
        """Tell whether positions are told, and not open orders alone."""

    def fetch(self) -> ToldAccount:
        """Ask, which takes seconds. VenueError: one line. All instruments must be defined by then."""


@dataclass(frozen=True, kw_only=True)
class ExchangeAccount:
    """What a simulated exchange's own books say of its client, whatever it has told."""

    fills: int
    position_lots: dict[int, int]  # by market index, of all its instruments
    open_orders: list[OpenOrder]  # held ones included
    is_settled: bool  # nothing is on its wires, to the exchange or from it


@dataclass(frozen=True, kw_only=True)
class ExchangeFacts:
    """What a simulated exchange measured of its captures, and what is doubtful about it."""

    latencies: dict[str, Histogram] = field(default_factory=dict)  # by what is timed
    counters: dict[str, int] = field(default_factory=dict)
    warnings: list[DataWarning] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class GatewaySetup:
    """What the maker of the gateways of `crosswire exchange` is told."""

    number: int
    names: list[str]  # of all instruments, by market index
    exchange: Any  # what `make_exchange` made
    endpoints: list[tuple[int, int]]  # (IPv4 address, port) to listen on, one a gateway
    flows: tuple[Flow, ...]
    folder: Path  # that the configuration's relative paths are relative to
    settings: Any  # the adapter's own struct
    listeners: Owner | None  # what `open_listeners` opened


class Gateways(Protocol):
    """Who is connected to a simulated exchange on real sockets, and what the exchange's books say of them."""

    @property
    def ring(self) -> Any:
        """The ring that carries what the clients send and are sent."""

    def accept(self) -> None:
        """Accept new clients; let go of those that have left."""

    def clients(self) -> int:
        """Count the connected clients."""

    def scale_heartbeats(self, speed_e6: int) -> None:
        """Keep heartbeats in the clients' time, when the exchange's runs `speed_e6` millionths as fast."""

    def account(self) -> dict[str, Any]:
        """Tell the client's orders, fills and positions as the exchange's own books have them."""

    def close(self) -> None:
        """Close the connections and the listeners."""


class ClockCorrection(msgspec.Struct, frozen=True, kw_only=True):
    """What an import adds to the clock of the host that recorded."""

    offset_ns: int = 0  # at `reference_ns`
    drift_ppb: int = 0  # ns more a second
    reference_ns: int = 0  # by that host's clock; 0 without a drift
    is_estimated: bool = False  # from the recordings; else it was given
    offset_error_ns: int = 0  # of an estimate: within so much either way of what the recordings can tell
    drift_error_ppb: int = 0


@dataclass(frozen=True, kw_only=True)
class ImportSetup:
    """How recordings are to be imported."""

    clock_offset_ns: int | None  # added to the clock of the host that recorded them; None: estimated from them
    options: Any  # the importer's own struct
    strict: bool = False  # VenueError for anything that is left out, mended or doubted


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What became of one recording."""

    recording: Path
    capture: Path
    counts: dict[str, int]  # by what is counted: lines, trades, packets, ...
    seconds: float
    details: dict[str, int] = field(default_factory=dict)  # counts that matter only where they are not 0
    clock: ClockCorrection = field(default_factory=ClockCorrection)
    warnings: list[DataWarning] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Importer:
    """Turns recordings of another kind into captures of the venue's feed: `crosswire import <name>`.

    Both functions raise `VenueError` or FileExistsError, and write all captures or none.
    """

    help: str
    # Into a folder, one capture each, none of which may exist.
    import_files: Callable[[Sequence[Path], Path, ImportSetup], list[Imported]]
    # Each (recording, capture) as exactly that capture, those that follow each other in time as one recording.
    import_pairs: Callable[[Sequence[tuple[Path, Path]], ImportSetup], list[Imported]]
    # Texts, each with a default and a description: they become options of the command. All at their defaults for the
    # recordings of a configuration.
    options: type[msgspec.Struct] = NoSettings


@dataclass(frozen=True, kw_only=True)
class ProcessSetup:
    """What a venue's own process is told beside its configuration."""

    folder: Path  # that the configuration's relative paths are relative to
    tell: Callable[[str], None]  # writes one line


@dataclass(frozen=True, kw_only=True)
class VenueProcess:
    """A process that a venue has beside the engine's: `crosswire <venue> <name> CONFIG`.

    `run` comes back when the process is told to end by a signal. It raises ValueError for a fault of the configuration
    that its types do not tell, and `VenueError`; both are one line.
    """

    help: str
    config: type[msgspec.Struct]
    run: Callable[[Any, ProcessSetup], None]


@dataclass(frozen=True, kw_only=True)
class Generator:
    """Turns one book of the made-up market (`venues/generate`) into the venue's packets."""

    place: int  # among the books: the order counts, since all draw from one seed
    behave: Callable[[Any], None]  # sets how the `MadeVenue` trades
    make_publisher: Callable[[int, int], Any]  # (start_ns, buffer's bytes) -> the venue's `Publisher`
    buffer_of: Callable[[Any], Any]  # of a publisher: the struct that has `buffer` and `used`, its whole pcap records
    name: str = ""  # of its capture; "": the venue's


def believe_ready(session: Any, _ring: Any, now_ns: int) -> None:
    """Have a session believe that its gateway answered the logon at `now_ns`: what a warm-up needs."""
    session.state = SessionState.READY
    session.last_received_ns = now_ns


def explain(session: Any) -> str:
    """Say why a session ended by itself, "" if it did not."""
    return "the gateway went silent or broke the protocol" if session.state == SessionState.LOST else ""


@dataclass(frozen=True, kw_only=True)
class OrderEntry:
    """One way to trade on a venue: the engine's order session, and the simulated exchange that understands it."""

    make_session: Callable[[VenueSetup], Session]
    make_exchange: Callable[[ExchangeSetup], Any] | None  # a ring; None: neither backtest nor `exchange`
    make_gateways: Callable[[GatewaySetup], Gateways] | None = None  # None: no `exchange`
    replays: bool = True  # the exchange is made from captures; False: it makes its market data itself
    gateways_max: int = 1  # that the session can be connected to at once
    believe_ready: Callable[[Any, Any, int], None] = believe_ready  # of (session, ring, now_ns)
    explain: Callable[[Any], str] = explain  # the venue's own error texts, of a session that ended
    # What else a session that goes on has to say; each text is told once.
    notices: Callable[[Any], list[str]] = field(default=lambda _session: [])
    # Of a simulated exchange; None: `simulate` has nothing to hold the engine's account against.
    account: Callable[[Any], ExchangeAccount] | None = None
    kill_gateway: Callable[[Any, int, int], None] | None = None  # (exchange, gateway, now_ns): its process dies
    # (exchange, now_ns): the client's process has died, and another one connects; None: it can't be simulated.
    connect_anew: Callable[[Any, int], None] | None = None
    # (session, what an earlier run has left; None: nothing is known of one): it is to go on there, and to be READY only
    # when the venue has told what that run missed. None: the venue can't be asked.
    resume: Callable[[Any, Resumed | None], None] | None = None
    # (setup, symbols by market index) -> what can be asked for our account beside the session; None: nothing is
    # configured. Called before the process is confined, so that it opens all files. None: the venue has no such thing.
    make_account_source: Callable[[VenueSetup, Sequence[str]], AccountSource | None] | None = None
    account_ports: Callable[[Any], tuple[int, ...]] = field(default=lambda _settings: ())  # TCP, of that source
    # (settings) -> what `crosswire exchange` listens on beside its gateways, opened where the engine is: before it goes
    # to the exchange's namespace. `make_gateways` is told of it. None: nothing.
    open_listeners: Callable[[Any], Owner] | None = None
    # (exchange, gateway, count, now_ns): it sends its last messages again; None: the protocol does not allow for that.
    repeat_answers: Callable[[Any, int, int, int], None] | None = None
    # (exchange, gateway, now_ns): another client takes our place, and we are told so; False: we have none there. None:
    # the protocol knows no such thing.
    displace: Callable[[Any, int, int], bool] | None = None
    # (exchange, until_ns): it takes no order before then, as if all that its rate limit allows had been sent.
    throttle: Callable[[Any, int], None] | None = None
    # (exchange, the engine's feed, its market, the events of the frame it reads): it may use the books that the engine
    # makes of the very frames that it replays. None: it has its own.
    share_books: Callable[[Any, Feed, Market, Events], None] | None = None
    # (exchange, the venue's name) -> what it measured; None: nothing.
    facts: Callable[[Any, str], ExchangeFacts] | None = None
    # What a simulated exchange can be made to say that is not so, by name.
    lies: Callable[[], Mapping[str, Lie]] = field(default=dict)


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """A venue. The members without a default are what every venue needs."""

    name: str
    wire: WireLayout  # of the market data: how `inspect` and the report name what is in it
    make_feed: Callable[[VenueSetup], Feed]
    order_entries: Mapping[str, OrderEntry]  # by what `orders` of the configuration may say; the first is the default
    # The table [venue.<name>]. A key `credentials`, or one that ends in `_credentials`, names a file with an API key.
    settings: type[msgspec.Struct] = NoSettings
    # A feed that takes up every instrument that the wire defines, into the market given. None: no `inspect`.
    discover: Callable[[Market], Feed] | None = None
    untold: tuple[str, ...] = ()  # of an instrument's contract, maker_fee, taker_fee: what its definition leaves out
    instruments_max: int = 1024  # that `discover` has room for; more are counted among the rejects
    levels_max: int = 2048  # of a book then, both sides together
    importers: Mapping[str, Importer] = field(default_factory=dict)  # by name; a configuration's recordings: the first
    processes: Mapping[str, VenueProcess] = field(default_factory=dict)  # by the name that it is started by
    make_generator: Callable[[], Generator] | None = None  # None: there are no made-up captures of it
    make_triangle: Callable[[], Sequence[Generator]] | None = None  # the same of three spot books, by place
    # (setup, a replay of its captures, which it reads to their end) -> the funding of its perpetuals, and its scheme.
    # None: its market data does not tell that.
    read_funding: Callable[[VenueSetup, Replay], ToldFunding] | None = None
    funding_message: str = ""  # of `wire`, that tells it: a run that was sent none has nothing to read once more
    channels: Callable[[Any], list[dict[str, int]]] = field(default=lambda _feed: [])  # of a feed, for `inspect`
    facts: Callable[[Any], dict[str, dict[str, int]]] = field(default=lambda _feed: {})  # what else its feed counts
