"""The simulated exchange's REST interfaces: what `rest/` asks for, over plain HTTP on the host's loopback.

Each listener has a thread of its own, which reads and answers one request after the other. It never looks into the
exchange: the exchange's own thread tells the account when it is asked (`AccountTeller`), between two of its turns. What
goes wrong in a request's thread is counted, and stops nothing.

Starbase's gateways answer get_open_orders; the classic API answers public/auth and get_positions. All listeners answer
all three: which of them is meant by which key is the configuration's matter.
"""

import hmac
import io
import secrets
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from decimal import Decimal
from http import HTTPStatus
from http.client import HTTPException, parse_headers
from typing import Any, NamedTuple

import msgspec

from crosswire.nic.host.owner import Owner
from crosswire.nic.host.process import HostError
from crosswire.venues.adapter import GatewaySetup
from crosswire.venues.credentials import Credentials, load_credentials
from crosswire.venues.errors import one_line
from crosswire.venues.instrument import E9, Instrument, Kind, Payoff
from crosswire.venues.market import Market
from crosswire.venues.side import BUY
from crosswire.venues.starbase.exchange.account import CLIENT, own_orders
from crosswire.venues.starbase.exchange.matching.state import OrderPlace
from crosswire.venues.starbase.exchange.state import StarbaseExchange
from crosswire.venues.starbase.rest.account import AUTHENTICATE, OPEN_ORDERS, POSITIONS
from crosswire.venues.starbase.rest.address import RestAddress, parse_address
from crosswire.venues.starbase.rest.client import basic_key
from crosswire.venues.starbase.settings import StarbaseSettings, credentials_of

REQUEST_BYTES_MAX = 16_384  # header and body
REQUEST_SECONDS_MAX = 2.0
TOLD_SECONDS_MAX = 2.0  # that the exchange's thread may take to tell the account
CALLS_MAX, CALLS_WINDOW_S = 10, 60.0  # of get_open_orders, a gateway: as the venue has it since 2026-09-24
TOKEN_SECONDS = 900
ENCODER = msgspec.json.Encoder(decimal_format="number")


class Account(NamedTuple):
    """The account at one moment, as the answers have it."""

    orders: list[dict[str, Any]]
    positions: list[dict[str, Any]]


class RefusedError(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: HTTPStatus, message: str, header: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.header = header


class AccountTeller:
    """Gets the account from the exchange's thread to those that answer requests."""

    def __init__(self) -> None:
        self.condition = threading.Condition()
        self.asked = self.told = 0
        self.account: Account | None = None

    def ask(self) -> Account:
        """Wait for the account as it is now. RefusedError: the exchange does not tell."""
        with self.condition:
            self.asked += 1
            number = self.asked
            is_told = self.condition.wait_for(lambda: self.told >= number, TOLD_SECONDS_MAX)
            account = self.account
        if not is_told:
            raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, "the exchange is busy")
        if account is None:
            raise RefusedError(HTTPStatus.INTERNAL_SERVER_ERROR, "the active orders could not be read")
        return account

    def tell(self, read: Callable[[], Account | None]) -> None:
        """Tell the account to those who have asked; from the exchange's thread, whenever it may be read."""
        asked = self.asked
        if asked == self.told:
            return
        account = read()
        with self.condition:
            self.account, self.told = account, asked
            self.condition.notify_all()


class Listener(Owner):
    """One interface: its socket, its thread, and when it was asked for open orders."""

    def __init__(self, address: RestAddress) -> None:
        """Listen. HostError: the port is not to be had."""
        self.address = address
        self.calls: deque[float] = deque(maxlen=CALLS_MAX)
        self.thread: threading.Thread | None = None
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self.socket.bind((address.host, address.port))
            self.socket.listen()
        except OSError as error:
            self.socket.close()
            raise HostError(f"REST at {address}: {error.strerror}; is another simulation running?") from None

    def start(self, serve: Callable[["Listener", socket.socket], None]) -> None:
        """Have a thread serve each connection."""

        def run() -> None:
            while True:
                try:
                    connection, _ = self.socket.accept()
                except OSError:  # closed
                    return
                with connection:
                    serve(self, connection)

        self.thread = threading.Thread(target=run, name="rest", daemon=True)
        self.thread.start()

    def count_call(self) -> None:
        """Count a request of open orders. RefusedError: there were too many."""
        now = time.monotonic()
        if len(self.calls) == CALLS_MAX and now - self.calls[0] < CALLS_WINDOW_S:
            seconds = int(CALLS_WINDOW_S - (now - self.calls[0])) + 1
            raise RefusedError(HTTPStatus.TOO_MANY_REQUESTS, "rate limit exceeded", f"Retry-After: {seconds}\r\n")
        self.calls.append(now)

    def close(self) -> None:
        """End the thread, give up the port."""
        if self.thread is not None:
            self.socket.shutdown(socket.SHUT_RDWR)  # wakes accept(2)
            self.thread.join(REQUEST_SECONDS_MAX + TOLD_SECONDS_MAX + 1)
            self.thread = None
        self.socket.close()


class Listeners(Owner):
    """Every interface that the engine is to ask over plain HTTP, so on loopback, once."""

    def __init__(self, settings: StarbaseSettings) -> None:
        """Listen. HostError: a port is not to be had."""
        self.all: list[Listener] = []
        texts = [settings.rest, settings.rest_b, settings.positions]
        try:
            for address in dict.fromkeys(parse_address(text, "rest") for text in texts if text):
                if not address.is_encrypted:
                    self.all.append(Listener(address))
        except HostError:
            self.close()
            raise

    def close(self) -> None:
        """End the threads, give up the ports."""
        for each in self.all:
            each.close()


class RestServer(Owner):
    """The interfaces of one exchange."""

    def __init__(self, setup: GatewaySetup) -> None:
        """Begin to serve. VenueError: a key can't be read."""
        settings: StarbaseSettings = setup.settings
        self.setup = setup
        self.listeners = setup.listeners if isinstance(setup.listeners, Listeners) else None
        self.teller = AccountTeller()
        self.counts: Counter[str] = Counter()  # of answers by status, and of failures
        self.last_failure = ""
        self.key = credentials_of(settings, setup.folder)
        self.classic: Credentials | None = None
        if settings.positions:
            self.classic = load_credentials(setup.folder / settings.positions_credentials)
        self.token, self.token_until = "", 0.0
        for each in self.listeners.all if self.listeners is not None else []:
            each.start(self.serve)

    def tell(self) -> None:
        """Tell those that have asked; from the exchange's thread."""
        self.teller.tell(self._read)

    def _read(self) -> Account | None:
        try:
            return read_account(self.setup.exchange, self.setup.names)
        except Exception as error:  # the exchange goes on
            self._fail(error)
            return None

    def _fail(self, error: Exception) -> None:
        self.counts["failures"] += 1
        self.last_failure = one_line(error)

    def serve(self, listener: Listener, connection: socket.socket) -> None:
        """Read one request and answer it."""
        try:
            try:
                result = self._answer(listener, *read_request(connection))
                status, header, answer = HTTPStatus.OK, "", {"jsonrpc": "2.0", "id": 1, "result": result}
            except RefusedError as refused:
                status, header = refused.status, refused.header
                answer = {"jsonrpc": "2.0", "id": None, "error": {"code": -int(status), "message": str(refused)}}
            self.counts[str(int(status))] += 1
            body = ENCODER.encode(answer)
            head = (
                f"HTTP/1.1 {int(status)} {status.phrase}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\nConnection: close\r\n{header}\r\n"
            )
            connection.settimeout(REQUEST_SECONDS_MAX)
            connection.sendall(head.encode() + body)
        except Exception as error:  # a client that has left, or a fault of ours: the next one is served
            self._fail(error)

    def _answer(self, listener: Listener, method: str, target: str, authorization: str, body: bytes) -> Any:
        path = target.partition("?")[0]
        if (method, path) == ("GET", OPEN_ORDERS):
            self._check(authorization, basic_key(self.key.client_id, self.key.secret))
            listener.count_call()
            return self.teller.ask().orders
        if (method, path) == ("POST", AUTHENTICATE):
            return self._token(body)
        if (method, path) == ("GET", POSITIONS):
            is_valid = self.token and time.monotonic() < self.token_until
            self._check(authorization, f"Bearer {self.token}" if is_valid else "")
            return self.teller.ask().positions
        raise RefusedError(HTTPStatus.NOT_FOUND, "there is nothing here")

    def _check(self, authorization: str, wanted: str) -> None:
        if not wanted or not hmac.compare_digest(authorization.encode(), wanted.encode()):
            raise RefusedError(HTTPStatus.UNAUTHORIZED, "authentication failed")

    def _token(self, body: bytes) -> dict[str, Any]:
        """Give a token for the classic API's key."""
        try:
            asked = msgspec.json.decode(body, type=TokenRequest).params
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            raise RefusedError(HTTPStatus.BAD_REQUEST, "the request is no public/auth") from None
        if self.classic is None:
            raise RefusedError(HTTPStatus.UNAUTHORIZED, "authentication failed")
        given = f"{asked.client_id}:{asked.client_secret}"
        self._check(given, f"{self.classic.client_id}:{self.classic.secret.decode()}")
        self.token, self.token_until = secrets.token_urlsafe(32), time.monotonic() + TOKEN_SECONDS
        return {"access_token": self.token, "expires_in": TOKEN_SECONDS, "token_type": "bearer"}

    def summary(self) -> dict[str, Any]:
        """Tell what was answered, by status, and what went wrong last."""
        counts: dict[str, Any] = dict(sorted(self.counts.items()))
        return counts | ({"last_failure": self.last_failure} if self.last_failure else {})

    def close(self) -> None:
        """End the threads, give up the ports."""
        if self.listeners is not None:
            self.listeners.close()


class TokenParameters(msgspec.Struct):
    """Of public/auth."""

    grant_type: str
    client_id: str
    client_secret: str


class TokenRequest(msgspec.Struct):
    """A request of public/auth in JSON-RPC."""

    params: TokenParameters


def read_request(connection: socket.socket) -> tuple[str, str, str, bytes]:
    """Read a request: its method, target, authorization and body. RefusedError: it is none, too long, or too slow."""
    deadline = time.monotonic() + REQUEST_SECONDS_MAX
    data = b""
    while b"\r\n\r\n" not in data:
        data += receive(connection, deadline, len(data))
    head, _, body = data.partition(b"\r\n\r\n")
    line, _, lines = head.partition(b"\r\n")
    try:
        method, target, version = line.decode("ascii").split(" ")
        headers = parse_headers(io.BytesIO(lines + b"\r\n\r\n"))
        length = int(headers.get("Content-Length", "0"))
    except (ValueError, HTTPException):
        raise RefusedError(HTTPStatus.BAD_REQUEST, "this is no request") from None
    if version not in ("HTTP/1.0", "HTTP/1.1") or length < 0 or not target.startswith("/"):
        raise RefusedError(HTTPStatus.BAD_REQUEST, "this is no request")
    if length > REQUEST_BYTES_MAX:
        raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the request is too long")
    while len(body) < length:
        body += receive(connection, deadline, len(head) + len(body))
    return method, target, headers.get("Authorization", ""), body[:length]


def receive(connection: socket.socket, deadline: float, received: int) -> bytes:
    """Receive some more. RefusedError as `read_request`."""
    if received >= REQUEST_BYTES_MAX:
        raise RefusedError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the request is too long")
    left = deadline - time.monotonic()
    try:
        if left <= 0:
            raise TimeoutError
        connection.settimeout(left)
        data = connection.recv(4096)
    except TimeoutError:
        raise RefusedError(HTTPStatus.REQUEST_TIMEOUT, "the request does not end") from None
    if not data:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "the request ends too early")
    return data


def read_account(exchange: StarbaseExchange, names: list[str]) -> Account:
    """Read the client's orders and positions out of the exchange's books; quotes the venue does not tell."""
    market, member = exchange.matching.market, exchange.matching.members[CLIENT]
    symbols = [name.partition("/")[2] for name in names]
    orders = [
        told_order(each, market.instruments[int(each["instrument"])], symbols[int(each["instrument"])])
        for each in own_orders(exchange)
        if not each["is_quote"]
    ]
    return Account(orders, told_positions(market, exchange.venue, symbols, member.position_lots))


def told_order(order: Any, instrument: Instrument, symbol: str) -> dict[str, Any]:
    """Tell an order as get_open_orders does."""

    def size(lots: int) -> Decimal:
        return Decimal(int(lots) * instrument.lot_e9) / E9

    return {
        "order_id": str(int(order["order_id"])),
        "instrument_id": int(instrument.venue_id),
        "instrument_name": symbol,
        "side": "buy" if order["side"] == BUY else "sell",
        "price": Decimal(int(order["price_ticks"]) * instrument.tick_e9) / E9,
        "amount": size(order["qty_lots"]),
        "filled_amount": size(order["filled_lots"]),
        "order_state": "speed_bumped" if order["place"] == OrderPlace.HELD else "open",
        "order_type": "limit",
    }


def told_positions(market: Market, venue: int, symbols: list[str], position_lots: Any) -> list[dict[str, Any]]:
    """Tell positions as the classic get_positions does; spot has none."""
    result = []
    for index, symbol in enumerate(symbols):
        instrument = market.instruments[index]
        lots = int(position_lots[index])
        if instrument.venue != venue or instrument.kind == Kind.SPOT or lots == 0:
            continue
        size = Decimal(lots * instrument.lot_e9) / E9
        told = {"instrument_name": symbol, "direction": "buy" if lots > 0 else "sell", "size": size}
        if instrument.kind != Kind.OPTION and instrument.payoff == Payoff.LINEAR:
            told["size_currency"] = size
        result.append(told)
    return result
