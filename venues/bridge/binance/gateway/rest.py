"""The venue's REST interface: one request a connection, all of it within limits of time and length.

Whatever goes wrong is a `VenueError` of one line: which host and path, what happened. A query may hold a signature, so
no message shows one.
"""

import asyncio
import io
import ssl
from collections.abc import Mapping
from http.client import HTTPException, HTTPResponse
from typing import Any, NamedTuple, TypeVar

import msgspec

from crosswire.venues.bridge.binance.gateway.config import Endpoint
from crosswire.venues.bridge.binance.gateway.limits import STATUS_BANNED, STATUS_LIMITED, RateLimits
from crosswire.venues.bridge.binance.gateway.log import plain
from crosswire.venues.errors import VenueError

SECONDS_MAX = 10.0  # of one request, from the connection to the answer's last byte
ANSWER_BYTES_MAX = 32 << 20  # exchangeInfo of all of spot is 15 MB; a snapshot of 5,000 levels a side 0.4 MB
READ_BYTES = 1 << 16
STATUS_OK = 200

Result = TypeVar("Result")


class Answer(NamedTuple):
    """What the venue answered. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class Refusal(msgspec.Struct):
    """What the venue says of a request that it refused."""

    code: int = 0
    msg: str = ""


class RefusedError(VenueError):
    """The venue answered, and refused. `code` and `message` are its own, 0 and "" if it gave none."""

    def __init__(self, text: str, status: int, code: int, message: str) -> None:
        super().__init__(text)
        self.status = status
        self.code = code
        self.message = message


class LimitedError(RefusedError):
    """Asked too often: nothing may be sent for `seconds`."""

    def __init__(self, text: str, status: int, code: int, message: str, seconds: float) -> None:
        super().__init__(text, status, code, message)
        self.seconds = seconds


class AnswerFile:
    """Bytes that an HTTPResponse reads as it would from a socket."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def makefile(self, *_mode: Any) -> io.BytesIO:
        """Return the file that an HTTPResponse wants of a socket."""
        return io.BytesIO(self.data)


class Rest:
    """One market's REST interface."""

    def __init__(self, endpoint: Endpoint, context: ssl.SSLContext, limits: RateLimits) -> None:
        self.endpoint = endpoint
        self.context = context
        self.limits = limits

    async def get(self, path: str, weight: int, kind: type[Result]) -> Result:
        """Ask for `path`, query included, and decode the answer. VenueError."""
        return self.decode(path, await self.request("GET", path, weight), kind)

    async def request(
        self, method: str, path: str, weight: int, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> bytes:
        """Send one request when its weight may be spent; the answer's body. VenueError, `RefusedError` of status."""
        where = f"{self.endpoint}{path.partition('?')[0]}"
        await self.limits.take(weight)
        try:
            async with asyncio.timeout(SECONDS_MAX):
                answer = await self._exchange(method, path, headers or {}, body)
        except TimeoutError:
            raise VenueError(f"{where}: no answer within {SECONDS_MAX:g} s") from None
        except ssl.SSLError as error:
            raise VenueError(f"{where}: TLS: {plain(error.reason or str(error))}") from None
        except (OSError, HTTPException, ValueError) as error:
            raise VenueError(f"{where}: {plain(str(error) or type(error).__name__)}") from None
        self.limits.heard(answer.headers)
        if answer.status != STATUS_OK:
            raise self._refusal(where, answer)
        return answer.body

    def decode(self, path: str, body: bytes, kind: type[Result]) -> Result:
        """Decode an answer. VenueError: it is not what is known of it."""
        try:
            return msgspec.json.decode(body, type=kind)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            where = f"{self.endpoint}{path.partition('?')[0]}"
            raise VenueError(f"{where}: its answer is not what is known of it: {plain(str(error))}") from None

    async def _exchange(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Connect, send, and read to the end of the answer."""
        reader, writer = await asyncio.open_connection(self.endpoint.host, self.endpoint.port, ssl=self.context)
        try:
            lines = [
                f"{method} {path} HTTP/1.1",
                f"Host: {self.endpoint}",
                "Connection: close",
                "Accept-Encoding: identity",
            ]
            lines += [f"{name}: {value}" for name, value in headers.items()]
            if body or method in ("POST", "PUT"):
                lines.append(f"Content-Length: {len(body)}")
            writer.write("\r\n".join([*lines, "", ""]).encode() + body)
            data = bytearray()
            while chunk := await reader.read(READ_BYTES):
                data += chunk
                if len(data) > ANSWER_BYTES_MAX:
                    raise ValueError(f"an answer of more than {ANSWER_BYTES_MAX >> 20} MB")
        finally:
            writer.close()
        response = HTTPResponse(AnswerFile(bytes(data)), method=method)  # type: ignore[arg-type]
        response.begin()
        return Answer(response.status, {key.lower(): value for key, value in response.getheaders()}, response.read())

    def _refusal(self, where: str, answer: Answer) -> RefusedError:
        """Make the error of an answer that is no success; heed one that says to stop."""
        try:
            said = msgspec.json.decode(answer.body, type=Refusal)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            said = Refusal()
        text = f"{where}: status {answer.status}" + (f", {said.code} {plain(said.msg)}" if said.code else "")
        if answer.status in (STATUS_LIMITED, STATUS_BANNED):
            seconds = self.limits.block(answer.headers.get("retry-after", ""))
            what = "banned" if answer.status == STATUS_BANNED else "asked too often"
            return LimitedError(
                f"{text}: {what}: nothing is sent for {seconds:g} s", answer.status, said.code, said.msg, seconds
            )
        return RefusedError(text, answer.status, said.code, said.msg)
