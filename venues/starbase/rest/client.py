"""One REST interface of the venue, asked over HTTP/1.1: one request a connection, everything within a limit.

Whatever goes wrong is a `VenueError` of one line: which interface, what was asked, what happened, what to do. The key
is in the request's header or body alone, never in an address; an answer that repeats it is not shown.
"""

import base64
import io
import math
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException, HTTPResponse, IncompleteRead, RemoteDisconnected
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from crosswire.venues.errors import VenueError
from crosswire.venues.starbase.rest.address import RestAddress

SECONDS_MAX = 5.0  # of one request, from the connection to the answer's last byte; and of finding a host's address
ANSWER_BYTES_MAX = 4 << 20  # with its headers; 2,000 open orders, the venue's limit, take about 1 MB
CALLS_MAX = 10  # a minute, a portfolio and gateway: the venue's limit of get_open_orders
CALLS_WINDOW_S = 61.0  # a second more than the venue's, as requests are under way for different times
SHOWN_MAX = 200  # characters of what an answer says
RETRY_DIGITS_MAX = 5  # of seconds; longer ones are no such number

Result = TypeVar("Result")


class NoAnswerError(VenueError):
    """This interface gives no answer now; another one of the venue may."""


class Failure(msgspec.Struct):
    """What the venue says of a request that it refused."""

    message: str = ""


class Answer(msgspec.Struct, Generic[Result]):
    """The envelope of JSON-RPC 2.0 around every answer."""

    result: Result | msgspec.UnsetType = msgspec.UNSET
    error: Failure | None = None


class TooLongError(Exception):
    """An answer is longer than ANSWER_BYTES_MAX."""


class LimitedReader(io.RawIOBase):
    """What a connection receives, until a time and up to a length. HTTPResponse reads by `makefile`."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self.connection = connection
        self.deadline = deadline
        self.left = ANSWER_BYTES_MAX

    def makefile(self, *_mode: Any) -> io.BufferedReader:
        """Return the file that an HTTPResponse wants of a socket."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Receive what there is. TimeoutError, TooLongError, OSError."""
        self.connection.settimeout(time_left(self.deadline))
        count = self.connection.recv_into(buffer)
        self.left -= count
        if self.left < 0:
            raise TooLongError
        return count


def time_left(deadline: float) -> float:
    """Return the seconds until then. TimeoutError: there are none."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def basic_key(client_id: str, secret: bytes) -> str:
    """Make the header's value that the venue's page on authentication describes."""
    return "Basic " + base64.b64encode(client_id.encode() + b":" + secret).decode()


def make_context(authorities: Path | None) -> ssl.SSLContext:
    """Make the rules that a certificate is checked by: an authority of this file, or of the system's; and the host.

    All is read now, as a confined process can't read it later. VenueError: there is none.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks certificate and host; TLS 1.2 at least
    files = [authorities] if authorities is not None else system_authorities()
    for path in files:
        try:
            context.load_verify_locations(path)
        except ssl.SSLError:
            raise VenueError(f"{path}: holds no certificate of an authority, in PEM") from None
        except OSError as error:
            raise VenueError(f"{path}: can't be read: {error.strerror}") from None
    return context


def system_authorities() -> list[Path]:
    """Find the files with the system's authorities: one, or a folder of them. VenueError: there are none."""
    paths = ssl.get_default_verify_paths()
    files = [Path(paths.cafile)] if paths.cafile else []
    if not files and paths.capath:
        files = sorted(Path(paths.capath).glob("*.[0-9]"))
    if not files:
        raise VenueError("this system has no authorities: install ca-certificates, or set rest_ca")
    return files


def find_address(address: RestAddress) -> tuple[str, int]:
    """Find a host's IPv4 address, within SECONDS_MAX. VenueError: it has none."""
    found: list[str] = []

    def find() -> None:
        with suppress(OSError, UnicodeError):
            entries = socket.getaddrinfo(address.host, address.port, socket.AF_INET, socket.SOCK_STREAM)
            found.append(str(entries[0][4][0]))

    finder = threading.Thread(target=find, name="find-address", daemon=True)  # the C library's has no limit of time
    finder.start()
    finder.join(SECONDS_MAX)
    if not found:
        raise VenueError(f"{address}: this host's address can't be found; write its number, or see to the resolver")
    return found[0], address.port


class RestClient:
    """One interface: its address, its key, and how often it was asked within the last minute."""

    def __init__(
        self,
        address: RestAddress,
        context: ssl.SSLContext | None,
        secrets: tuple[str, ...],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Find the host. `context` is None without encryption; `secrets` are shown in no message. VenueError."""
        assert (context is not None) == address.is_encrypted
        self.address = address
        self.context = context
        self.secrets = secrets
        self.clock = clock
        self.calls: deque[float] = deque(maxlen=CALLS_MAX)
        self.place = find_address(address)

    def get(self, path: str, authorization: str, kind: type[Result]) -> Result:
        """Ask for what is at `path`, and return its `result`. VenueError, NoAnswerError."""
        hidden = authorization.partition(" ")[2]
        return self._ask("GET", path, f"Authorization: {authorization}\r\n", b"", hidden, kind)

    def post(self, path: str, body: bytes, kind: type[Result]) -> Result:
        """Send JSON to `path`, and return the `result`. VenueError, NoAnswerError."""
        header = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        return self._ask("POST", path, header, body, "", kind)

    def shown(self, text: str) -> str:
        """Return what may be shown of a text that holds something of an answer."""
        return shown(text, set(self.secrets))

    def _ask(self, method: str, path: str, header: str, body: bytes, hidden: str, kind: type[Result]) -> Result:
        where = f"{self.address}{path.partition('?')[0]}"
        self._count_call(where)
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {self.address.host}:{self.address.port}\r\n"
            f"Accept: application/json\r\nConnection: close\r\n{header}\r\n"
        )
        with plain_failures(where):
            status, retry, answer = self._exchange(head.encode() + body)
        secrets = {*self.secrets, hidden} - {""}
        if status != 200:
            raise refusal(where, status, retry, shown(said_in(answer), secrets))
        try:
            decoded: Answer[Any] = msgspec.json.decode(answer, type=Answer[kind])  # type: ignore[valid-type]
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise VenueError(f"{where}: its answer is not what is known of it: {shown(str(error), secrets)}") from None
        if decoded.error is not None:
            raise VenueError(f"{where}: refuses: {shown(decoded.error.message, secrets)}")
        if decoded.result is msgspec.UNSET:
            raise VenueError(f"{where}: its answer is not what is known of it: no result")
        return decoded.result

    def _count_call(self, where: str) -> None:
        now = self.clock()
        if len(self.calls) == CALLS_MAX and now - self.calls[0] < CALLS_WINDOW_S:
            seconds = math.ceil(CALLS_WINDOW_S - (now - self.calls[0]))
            raise NoAnswerError(f"{where}: asked {CALLS_MAX} times within a minute already; again in {seconds} s")
        self.calls.append(now)

    def _exchange(self, request: bytes) -> tuple[int, str, bytes]:
        """Send a request; return the answer's status, when it may be asked again, and its body."""
        deadline = time.monotonic() + SECONDS_MAX
        with socket.create_connection(self.place, SECONDS_MAX) as plain:
            connection = plain
            if self.context is not None:
                plain.settimeout(time_left(deadline))  # of the whole handshake
                connection = self.context.wrap_socket(plain, server_hostname=self.address.host)
            with connection:
                connection.settimeout(time_left(deadline))
                connection.sendall(request)
                with HTTPResponse(LimitedReader(connection, deadline)) as response:  # type: ignore[arg-type]
                    response.begin()
                    return response.status, response.getheader("Retry-After") or "", response.read()


@contextmanager
def plain_failures(where: str) -> Iterator[None]:
    """Say in one line why a request got no answer."""
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        text = f"{where}: its certificate is not trusted: {error.verify_message}"
        advice = "set rest_ca to its authority, and write the host as the certificate does"
        raise VenueError(f"{text}; {advice}") from None
    except ssl.SSLError as error:
        reason = error.reason or "the connection ended"
        raise VenueError(f"{where}: no TLS: {reason}; is it the right port?") from None
    except TimeoutError:
        raise NoAnswerError(f"{where}: no answer within {SECONDS_MAX:g} s; is the way there open?") from None
    except TooLongError:
        raise VenueError(f"{where}: its answer has more than {ANSWER_BYTES_MAX:,} bytes") from None
    except (IncompleteRead, RemoteDisconnected):
        raise NoAnswerError(f"{where}: the connection ended before its answer did; try again later") from None
    except HTTPException as error:
        raise VenueError(f"{where}: this is no HTTP: {type(error).__name__}; is it the right port?") from None
    except OSError as error:
        reason = error.strerror or "the connection ended"
        raise NoAnswerError(f"{where}: {reason}; is the way there open?") from None


def refusal(where: str, status: int, retry: str, said: str) -> VenueError:
    """Say what a status means, and what to do."""
    text = f"{where}: answers {status}" + (f" ({said})" if said else "")
    if status == 429:
        again = f"again in {retry} s" if retry.isdecimal() and len(retry) <= RETRY_DIGITS_MAX else "again in a minute"
        return NoAnswerError(f"{text}: asked too often; {again}")
    if status >= 500:
        return NoAnswerError(f"{text}: the venue's own failure; try again later")
    if status in (401, 403):
        return VenueError(f"{text}: the key is refused; is it one of this interface, with the scope for it?")
    if 300 <= status < 400:
        return VenueError(f"{text}: sends elsewhere, which is not followed; is it the right address?")
    return VenueError(f"{text}; is it the right address?")


def said_in(answer: bytes) -> str:
    """Read what an answer says of a refusal, "" if that can't be read."""
    try:
        failure = msgspec.json.decode(answer, type=Answer[Any]).error
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return ""
    return failure.message if failure is not None else ""


def shown(text: str, secrets: set[str]) -> str:
    """Return what may be shown of what an answer says: one line of a bounded length, and nothing of the key."""
    if any(secret in text for secret in secrets):
        return "a text that repeats the key"
    return "".join(each if each.isprintable() else "?" for each in text[:SHOWN_MAX])
