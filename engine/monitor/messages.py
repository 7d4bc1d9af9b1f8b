"""What clients and the monitor say to each other: one request, one reply, both msgpack of the structs below.

A request carries the version of this page, the server's session, a number that only rises, and the time; a reply the
number of its request. Times are ns since the epoch. Prices, sizes and money are decimals, which travel as texts:
prices in the instrument's quote currency, sizes in its size currency, money in the currency named beside. A field that
is added has a default, and does not raise VERSION; a change of meaning does.
"""

from decimal import Decimal
from enum import StrEnum

import msgspec

from crosswire.nic.warning import DataWarning

VERSION = 1
REQUEST_BYTES_MAX = 16_384  # of one request
REPLY_BYTES_MAX = 4 << 20  # of one reply: all books of a run at BOOK_DEPTH_MAX fit
BOOK_DEPTH_MAX = 100  # levels a side of one answer
SET_VALUES_MAX = 64  # of one `set`: what the loop's mailbox holds
LOG_LINES_MAX = 1000  # of one answer
SESSION_BYTES = 16


class Role(StrEnum):
    """What a client may do. Each may do what the ones before may."""

    VIEWER = "viewer"  # read
    OPERATOR = "operator"  # what lessens: pause, reduce only, cancel, kill
    TRADER = "trader"  # what trades or loosens: flatten, resume, set


class Reason(StrEnum):
    """Why a request was refused. Each is counted."""

    MALFORMED = "malformed"  # no request of this page
    OVERSIZED = "oversized"  # longer than REQUEST_BYTES_MAX; of several times that, its connection is ended
    VERSION = "version"  # of another version of this page
    SESSION = "session"  # of no session, of one that is over, or of another connection's
    REPLAYED = "replayed"  # its number has been used
    OLD = "old"  # its time is not now
    RATE = "rate"  # too many in too short a time
    CLIENT = "client"  # not on the list any more
    ROLE = "role"  # its client's role may not
    TOKEN = "token"  # nothing to confirm: another's, used, or too old
    NO_ENGINE = "no_engine"  # no live run of this name
    UNKNOWN_NAME = "unknown_name"  # no such venue, instrument, strategy or parameter
    VALUE = "value"  # outside its range, or not in its unit
    ENGINE = "engine"  # the loop refused
    NO_ANSWER = "no_answer"  # the loop has not answered in time: what became of the command is not known
    LOG = "log"  # the command log can't be written, so nothing is done
    FAILED = "failed"  # the monitor could not read the run


def snake(name: str) -> str:
    """Give the tag of a struct: GetStatus -> get_status."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).removeprefix("_")


# ---------------------------------------------------------------- requests


class Ask(msgspec.Struct, forbid_unknown_fields=True, tag=snake):
    """The base of all requests."""


class Hello(Ask):
    """Begin a session; answered by Welcome. The one request whose session is empty."""


class GetStatus(Ask):
    """Answered by Status."""


class GetPositions(Ask):
    """Answered by Positions."""


class GetOrders(Ask):
    """Answered by Orders: those that are open."""


class GetBooks(Ask):
    """Answered by Books."""

    instruments: list[str] = []  # as venue/SYMBOL; []: all
    depth: int = 1  # levels a side, 1 to BOOK_DEPTH_MAX


class GetLimits(Ask):
    """Answered by Limits."""


class GetParameters(Ask):
    """Answered by Parameters: what `set` may change."""


class GetLatencies(Ask):
    """Answered by Latencies."""


class GetSessions(Ask):
    """Answered by Sessions."""


class GetLog(Ask):
    """Answered by Log: the last commands, refused ones too."""

    count: int = 20  # 1 to LOG_LINES_MAX


class Pause(Ask):
    """Have nothing be sent but cancels, and what is open be cancelled; answered by Done."""


class ReduceOnly(Ask):
    """Have nothing be sent but what makes a position smaller; answered by Done."""


class CancelAll(Ask):
    """Cancel what is open; the state stays. Answered by Done."""

    venue: str = ""  # of this one only
    instrument: str = ""  # of this one only, as venue/SYMBOL
    strategy: str = ""  # of this one only


class Kill(Ask):
    """Cancel everything and end the run, with an exit code that is not 0; answered by Done."""


class Resume(Ask):
    """Take back what operators asked for; answered by ToConfirm."""


class Flatten(Ask):
    """Close every position by immediate-or-cancel orders, then stay at reduce only; answered by ToConfirm."""


class Set(Ask):
    """Change parameters, all or none; answered by ToConfirm if one of them loosens a limit, else by Done."""

    values: dict[str, str]  # name -> value in the parameter's unit


class Confirm(Ask):
    """Do what a ToConfirm told; answered by Done."""

    token: str


Reading = GetStatus | GetPositions | GetOrders | GetBooks | GetLimits | GetParameters | GetLatencies | GetSessions
Query = Reading | GetLog
Command = Pause | ReduceOnly | CancelAll | Kill | Resume | Flatten | Set
Request = Hello | Query | Command | Confirm


class Envelope(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One request on the wire."""

    version: int
    session: bytes  # as Welcome told it; b"": there is none yet
    number: int  # larger than of every earlier request of the session
    sent_ns: int
    request: Request


# ---------------------------------------------------------------- answers


class Answer(msgspec.Struct, tag=snake):
    """The base of all answers."""


class Row(msgspec.Struct):
    """One line of an answer."""


class Refusal(Answer):
    """What was asked for was not done."""

    reason: Reason
    text: str  # one sentence


class Welcome(Answer):
    """A session has begun."""

    session: bytes
    client: str
    role: Role
    now_ns: int  # by the monitor's clock
    name: str  # of the configuration


class ToConfirm(Answer):
    """What would be done, by a Confirm of the same client."""

    token: str
    text: str  # in words
    valid_s: int


class Done(Answer):
    """A command was done."""

    text: str  # in words


class Money(Row):
    """What a run has earned in one currency, at the last trusted prices."""

    currency: str
    profit: Decimal  # after fees, what is held included
    realised: Decimal  # before fees
    fees: Decimal  # positive is paid


class VenueStatus(Row):
    """One venue, in a line."""

    venue: str
    session: str  # SessionState in small letters
    is_lost: bool
    frames: int  # of market data
    drops: int  # of its ring
    gaps: int
    books: int
    books_proven: int


class Counter(Row):
    """Something that is counted."""

    name: str
    count: int


class StrategyRow(Row):
    """One strategy."""

    strategy: str
    orders: int  # that have ended, vetoed ones included
    fills: int
    counters: dict[str, int]  # its own, as it counted them within the last second

    @property
    def text(self) -> str:
        """All of it in one line."""
        own = "".join(f"  {name} {count:,}" for name, count in self.counters.items())
        return f"{self.strategy}: orders {self.orders:,}  fills {self.fills:,}{own}"


class Status(Answer):
    """A live run at a glance."""

    name: str  # of the configuration
    run: str  # its folder
    is_alive: bool  # False: the run has ended; what follows is how it ended
    now_ns: int  # by the engine's clock
    state: str  # TradingState in small letters
    why: str  # Why in small letters, "": nothing
    since_ns: int
    alarms: int
    frames: int
    orders_sent: int
    cancels_sent: int
    amends_sent: int
    fills: int
    open_orders: int
    flatten: str  # Flattening in small letters, "": none was asked for since trading was last resumed
    money: list[Money]
    venues: list[VenueStatus]
    warnings: list[DataWarning]
    refused: list[Counter]  # requests and connections that the monitor refused, by reason
    connections: int  # that the monitor has now
    strategies: list[StrategyRow] = []


class PositionRow(Row):
    """One instrument that something was done in."""

    instrument: str  # as venue/SYMBOL
    size_currency: str
    quote_currency: str
    currency: str  # of the money below: the settlement currency
    position: Decimal  # size, signed: long is positive
    position_lots: int
    open_buys: Decimal  # size of open buy orders, not yet filled
    open_sells: Decimal
    mark_price: Decimal | None  # last trusted price; None: there was none
    value: Decimal | None  # of what is held, at `mark_price`
    profit: Decimal  # after fees
    realised: Decimal  # before fees
    fees: Decimal
    fills: int
    by_strategy: dict[str, Decimal] = {}  # size held by each strategy that holds some


class Positions(Answer):
    """All instruments of the run, in its order."""

    now_ns: int
    rows: list[PositionRow]


class OrderRow(Row):
    """One open order."""

    client_order_id: int
    exchange_order_id: int  # 0: not acknowledged
    instrument: str  # as venue/SYMBOL
    strategy: str
    side: str  # "buy" or "sell"
    time_in_force: str  # "ioc", "fok", "gtc", "post_only"
    state: str  # OrderState in small letters
    price: Decimal
    size: Decimal  # what is filled included
    filled: Decimal
    size_currency: str
    created_ns: int
    acked_ns: int  # 0: not yet
    amend: str  # AmendState in small letters, "": none was asked for
    is_queued: bool  # the venue holds it in its speed bump


class Orders(Answer):
    """Open orders, the oldest first."""

    now_ns: int
    rows: list[OrderRow]


class Level(Row):
    """One level of a book."""

    price: Decimal
    size: Decimal


class BookRow(Row):
    """One book."""

    instrument: str  # as venue/SYMBOL
    size_currency: str
    quote_currency: str
    is_proven: bool  # False: no strategy sees it, and its levels are left out
    is_torn: bool  # it changed while it was read, time after time: levels are left out
    exchange_time_ns: int
    bids: list[Level]  # the best first
    asks: list[Level]


class Books(Answer):
    """Books, in the order asked for."""

    now_ns: int
    rows: list[BookRow]


class LimitRow(Row):
    """One limit."""

    name: str  # as in the configuration: "venue.NAME.limits.open_orders_max"
    value: Decimal
    unit: str
    used: Decimal | None  # None: nothing is used up of a limit on a single order


class Limits(Answer):
    """All limits of the run."""

    now_ns: int
    rows: list[LimitRow]


class ParameterRow(Row):
    """One thing that `set` may change."""

    name: str  # as in the configuration
    value: Decimal
    unit: str
    minimum: Decimal
    maximum: Decimal


class Parameters(Answer):
    """All that `set` may change."""

    now_ns: int
    rows: list[ParameterRow]


class LatencyRow(Row):
    """One stage's histogram."""

    stage: str
    count: int
    p50_ns: int
    p90_ns: int
    p99_ns: int
    max_ns: int


class Latencies(Answer):
    """Latencies since the run began."""

    now_ns: int
    rows: list[LatencyRow]


class SessionRow(Row):
    """One venue's order session and feed."""

    venue: str
    state: str  # SessionState in small letters
    is_lost: bool
    losses: int
    text: str  # why it is not there, in the venue's words; "": it is
    orders_sent: int | None  # None: its session holds a secret, and is not shared
    accounts: int  # times that the venue has told all that it has of us
    differences: int  # positions that it had otherwise
    strangers: int  # orders or holdings that we did not know
    counters: list[Counter]  # of the feed


class Sessions(Answer):
    """All venues."""

    now_ns: int
    rows: list[SessionRow]


class LogRow(Row):
    """One command that was asked for."""

    time_ns: int
    client: str
    role: str
    request: str  # tag of the request
    detail: str  # what stood in it, in words
    outcome: str  # "done", "to_confirm", or the Reason
    text: str


class Log(Answer):
    """The last commands, the oldest first."""

    rows: list[LogRow]


AnyAnswer = (
    Refusal
    | Welcome
    | ToConfirm
    | Done
    | Status
    | Positions
    | Orders
    | Books
    | Limits
    | Parameters
    | Latencies
    | Sessions
    | Log
)


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """One reply on the wire."""

    version: int
    number: int  # of the request; 0: it could not be read
    answer: AnyAnswer


QUERIES = (GetStatus, GetPositions, GetOrders, GetBooks, GetLimits, GetParameters, GetLatencies, GetSessions, GetLog)
LESSENING = (Pause, ReduceOnly, CancelAll, Kill)
LOOSENING = (Resume, Flatten, Set)

encode = msgspec.msgpack.Encoder().encode
decode_envelope = msgspec.msgpack.Decoder(Envelope).decode
decode_reply = msgspec.msgpack.Decoder(Reply).decode


def tag_of(request: Ask) -> str:
    """Give the tag that a request has on the wire."""
    return snake(type(request).__name__)


def role_needed(request: Ask) -> Role:
    """Tell the least role that may ask for something."""
    if isinstance(request, LESSENING):
        return Role.OPERATOR
    if isinstance(request, (*LOOSENING, Confirm)):
        return Role.TRADER
    return Role.VIEWER


def may(role: Role, request: Ask) -> bool:
    """Tell whether a role may ask for something."""
    roles = list(Role)
    return roles.index(role) >= roles.index(role_needed(request))
