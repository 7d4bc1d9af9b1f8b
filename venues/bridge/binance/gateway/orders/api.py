"""The venue's websocket order interface of one market: requests out, each answered once or known to be unanswered.

A connection lives for a day at most; it is made anew when it ends, and before the venue would end it. With an Ed25519
key it is logged on, with an HMAC key each request is signed. Spot tells the account's events over the same connection.

Sources: binance-spot-api-docs web-socket-api.md ("Request security", "Session authentication", "User Data Stream
requests"); developers.binance.com, USDⓈ-M futures, "WebSocket API General Info".
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from crosswire.venues.bridge.binance.gateway.back_off import BackOff
from crosswire.venues.bridge.binance.gateway.log import plain
from crosswire.venues.bridge.binance.gateway.orders.codes import Outcome, outcome_of
from crosswire.venues.bridge.binance.gateway.orders.signing import Signer
from crosswire.venues.bridge.binance.gateway.rest import RefusedError
from crosswire.venues.bridge.binance.gateway.shared import Shared
from crosswire.venues.bridge.binance.gateway.websocket import LIFE_S, Websocket, open_websocket
from crosswire.venues.bridge.binance.market import Market
from crosswire.venues.errors import VenueError

PATHS = {Market.SPOT: "/ws-api/v3", Market.USDM: "/ws-fapi/v1"}
ANSWER_S_MAX = 5.0  # behind it an order is asked for
RECEIVE_WINDOW_MS = 2_000  # a request that arrives later than this behind its timestamp is not executed
LOOK_S = 1.0  # between two looks at how old the connection is
PENDING_MAX = 1_024  # requests without an answer
STATUS_OK = 200
COUNTED = frozenset({"order.place", "order.modify"})  # among the orders that are limited


class UnansweredError(VenueError):
    """It is not known whether a request was executed."""


class LimitCount(msgspec.Struct, rename="camel"):
    """How much of one rate limit is used, as each answer tells."""

    rate_limit_type: str
    interval: str
    interval_num: int
    limit: int
    count: int = 0


class ErrorData(msgspec.Struct, rename="camel"):
    """What goes with a refusal for having asked too often."""

    retry_after: int = 0  # ms since the epoch, by the venue's clock
    server_time: int = 0


class ErrorBody(msgspec.Struct):
    """Why a request was refused."""

    code: int = 0
    msg: str = ""
    data: ErrorData | None = None


class ApiMessage(msgspec.Struct, rename="camel"):
    """An answer (`id`, `status`), or an event of the account (`event`)."""

    id: int | str | None = None
    status: int = 0
    result: msgspec.Raw = msgspec.Raw(b"null")
    error: ErrorBody | None = None
    rate_limits: list[LimitCount] = []
    event: msgspec.Raw = msgspec.Raw(b"")


class OrderApi:
    """One market's. `is_ready` while requests can be sent."""

    def __init__(
        self,
        shared: Shared,
        market: Market,
        signer: Signer,
        on_connected: Callable[[], None],
        on_event: Callable[[bytes], None],
    ) -> None:
        self.market = market
        self.is_ready = False
        self._shared = shared
        self._signer = signer
        self._on_connected = on_connected
        self._on_event = on_event
        self._where = f"{market.name.lower()} orders"
        self._limits = shared.limits[market]
        self._clock = shared.clocks[market]
        self._socket: Websocket | None = None
        self._pending: dict[int, asyncio.Future[ApiMessage]] = {}
        self._counted: set[int] = set()  # requests of COUNTED without an answer
        self._last_id = 0
        self._is_logged_on = False

    async def run(self) -> None:
        """Keep a connection until cancelled. RefusedError: the venue will not have us."""
        back_off = BackOff()
        try:
            while True:
                try:
                    socket = await self._connect()
                    back_off.reset()
                    raise VenueError(f"connection: {await socket.follow(self._why_close, LOOK_S)}")
                except VenueError as error:
                    if outcome_of(error) == Outcome.STOP:
                        raise
                    wait_s = max(back_off.next_s(), self._limits.wait_s(0))
                    self._shared.log.event(self._where, f"{error}; connecting again in {wait_s:.1f} s")
                    self._shared.log.count("order connections lost")
                self._drop("the connection was lost")
                await asyncio.sleep(wait_s)
        finally:
            self._drop("the gateway ends")

    async def _connect(self) -> Websocket:
        endpoint = self._shared.config.endpoint(self.market, "order_api")
        socket = await open_websocket(endpoint, PATHS[self.market], self._shared.context, self._on_message)
        self._socket = socket
        self._is_logged_on = False
        if self._signer.can_log_on:
            await self._request("session.logon", self._signer.sign_params(self.timed({})))
            self._is_logged_on = True
        if self.market == Market.SPOT:
            method = "userDataStream.subscribe" + ("" if self._is_logged_on else ".signature")
            await self._request(method, {} if self._is_logged_on else self._signer.sign_params(self.timed({})))
        self.is_ready = True
        self._shared.log.event(self._where, f"connected to {endpoint}")
        self._on_connected()
        return socket

    def _why_close(self) -> str:
        is_old = self._socket is not None and self._socket.age_s > LIFE_S
        return "it is a day old" if is_old and not self._pending else ""

    def _drop(self, why: str) -> None:
        """End the connection; what was not answered is known to be so."""
        self.is_ready = False
        if self._socket is not None:
            self._socket.close(why)
            self._socket = None
        pending, self._pending = self._pending, {}
        for future in pending.values():
            if not future.done():
                future.set_exception(UnansweredError(f"no answer: {why}"))

    async def call(self, method: str, params: Mapping[str, Any]) -> bytes:
        """Send a request of the account; its result as JSON. RefusedError, UnansweredError; VenueError: not sent."""
        if not self.is_ready:
            raise VenueError(f"{method}: not connected")
        if self._limits.wait_s(1) > 0:
            raise VenueError(f"{method}: the rate limit is used up")
        timed = self.timed(params)
        return await self._request(method, timed if self._is_logged_on else self._signer.sign_params(timed))

    async def call_by_key(self, method: str, params: Mapping[str, Any]) -> bytes:
        """Send a request that names the key and needs no signature."""
        if not self.is_ready:
            raise VenueError(f"{method}: not connected")
        return await self._request(method, {**params, "apiKey": self._signer.api_key})

    def timed(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Complete a request's parameters by the venue's time, and how long behind it the request is good."""
        return {**params, "timestamp": self._clock.venue_ms(), "recvWindow": RECEIVE_WINDOW_MS}

    async def _request(self, method: str, params: Mapping[str, Any]) -> bytes:
        socket = self._socket
        if socket is None or len(self._pending) == PENDING_MAX:
            raise VenueError(f"{method}: not connected, or too many requests wait")
        self._last_id += 1
        number = self._last_id
        future: asyncio.Future[ApiMessage] = asyncio.get_running_loop().create_future()
        socket.send(msgspec.json.encode({"id": number, "method": method, "params": params}))
        self._pending[number] = future
        if method in COUNTED:
            self._counted.add(number)
        try:
            async with asyncio.timeout(ANSWER_S_MAX):
                answer = await future
        except TimeoutError:
            raise UnansweredError(f"{method}: no answer within {ANSWER_S_MAX:g} s") from None
        finally:
            self._pending.pop(number, None)
            self._counted.discard(number)
        if answer.status == STATUS_OK:
            return bytes(answer.result)
        raise self._refusal(method, answer)

    def _refusal(self, method: str, answer: ApiMessage) -> RefusedError:
        body = answer.error or ErrorBody()
        text = f"{method}: status {answer.status}, {body.code} {plain(body.msg)}"
        refused = RefusedError(text, answer.status, body.code, body.msg)
        if outcome_of(refused) == Outcome.WAIT:
            retry_ms = body.data.retry_after if body.data else 0
            seconds = max(0, retry_ms - self._clock.venue_ms()) // 1_000 + 1 if retry_ms else ""
            blocked_s = self._limits.block(str(seconds))
            self._shared.log.event(self._where, f"{refused}: nothing is sent for {blocked_s:g} s")
        return refused

    def _on_message(self, payload: memoryview, _is_binary: bool) -> None:
        try:
            message = msgspec.json.decode(payload, type=ApiMessage)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            self._shared.log.count("messages of the order interface that can't be read")
            raise VenueError(f"a message that can't be read: {plain(str(error))}") from None
        # The venue takes a connection's requests in turn: those sent behind the one that it answers it has not counted.
        answered = message.id if isinstance(message.id, int) else 0
        for each in message.rate_limits:
            if each.rate_limit_type == "ORDERS":
                name = f"{each.interval_num}{each.interval[:1].lower()}"
                self._limits.order_limits[name] = each.limit
                self._limits.order_counts[name] = each.count + sum(number > answered for number in self._counted)
            elif each.rate_limit_type == "REQUEST_WEIGHT":
                self._limits.weight_used = each.count
        if bytes(message.event):
            self._on_event(bytes(message.event))
            return
        future = self._pending.get(message.id) if isinstance(message.id, int) else None
        if future is None or future.done():
            self._shared.log.count("answers to no request")  # a copy, or one that came too late
            return
        future.set_result(message)
