"""The websocket API hosts, `/ws-api/v3` of spot and `/ws-fapi/v1` of USD-M: requests, sessions, signatures, answers.

web-socket-api.md of binance-spot-api-docs: "Request format", "Response format", "Session authentication"; a session is
logged on with an Ed25519 key alone, and then requests need neither key nor signature. Spot's user data events come on
the connection that subscribed to them.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web

from crosswire.venues.bridge.binance.exchange import information
from crosswire.venues.bridge.binance.exchange.connection import Connection
from crosswire.venues.bridge.binance.exchange.disturb import Disturber
from crosswire.venues.bridge.binance.exchange.errors import REJECTED_KEY, ApiError, missing, server_busy, unknown_status
from crosswire.venues.bridge.binance.exchange.faults import Faults
from crosswire.venues.bridge.binance.exchange.limits import Limits
from crosswire.venues.bridge.binance.exchange.listen_keys import ListenKeys
from crosswire.venues.bridge.binance.exchange.messages import encode
from crosswire.venues.bridge.binance.exchange.settings import ConnectionConfig
from crosswire.venues.bridge.binance.exchange.signing import Key, Verifier, websocket_payload
from crosswire.venues.bridge.binance.exchange.venue import Venue
from crosswire.venues.bridge.binance.market import Market

PATHS = {Market.SPOT: "/ws-api/v3", Market.USDM: "/ws-fapi/v1"}
MESSAGES_PER_S = 10_000  # weight and order counts are what limits requests
TRADES = ("order.", "openOrders.cancel")
TOLD_ORDERS = ("order.place", "order.cancelReplace", "order.modify")
USER_EVENTS = "userData"  # by which faults know spot's user data stream

Params = dict[str, str]
Method = tuple[Callable[[Params], Any], int]


@dataclass(eq=False)
class Client:
    """One connection."""

    connection: Connection
    key: Key | None = None  # of its session
    authorized_ms: int = 0
    subscription: int = -1
    subscriptions: int = 0
    connected_ms: int = 0


def text_of(value: Any) -> str:
    """Write a parameter as a signature has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else str(value)


@dataclass
class ApiHost:
    """One of the venue's websocket API hosts."""

    venue: Venue
    limits: Limits
    verifier: Verifier
    faults: Faults
    disturber: Disturber
    config: ConnectionConfig
    methods: dict[str, Method]  # signed ones
    listen_keys: ListenKeys | None = None  # USD-M
    connections: set[Client] = field(default_factory=set)

    def application(self) -> web.Application:
        """Make the web application."""
        app = web.Application()
        app.router.add_get(PATHS[self.venue.market], self.connect)
        return app

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """Take a new connection; it weighs 2 on spot, 5 on USD-M."""
        try:
            self.limits.charge(2 if self.venue.market == Market.SPOT else 5)
        except ApiError as error:
            return web.Response(status=error.status, body=encode(error.body()), content_type="application/json")
        if not self.venue.is_open:
            return web.Response(status=503)
        client = Client(Connection(request, self.config, MESSAGES_PER_S), connected_ms=self.venue.clock.now_ms())
        self.connections.add(client)
        try:
            return await client.connection.serve(lambda data: self.handle(client, data))
        finally:
            self.connections.discard(client)

    def send_user_event(self, event: dict[str, Any]) -> None:
        """Send an event to every connection that has subscribed; what nobody hears is lost."""

        def deliver(payload: bytes) -> None:
            for client in tuple(self.connections):
                if client.subscription >= 0:
                    head = b'{"subscriptionId":' + str(client.subscription).encode() + b',"event":'
                    client.connection.send_text(head + payload + b"}")

        payload = encode(event)
        if not self.disturber.user(f"{USER_EVENTS}@{event['e']}", payload, deliver):
            deliver(payload)

    async def handle(self, client: Client, data: bytes) -> None:
        """Answer a request."""
        try:
            request = msgspec.json.decode(data)
        except msgspec.DecodeError:
            request = None
        if not isinstance(request, dict):
            self._send(client, None, 400, {"error": ApiError(-1135, "Invalid JSON Request").body()}, "")
            return
        number, method = request.get("id"), str(request.get("method", ""))
        raw = request.get("params", {})
        params = {name: text_of(value) for name, value in raw.items()} if isinstance(raw, dict) else {}
        fault = self.faults.take(method, "request")
        status, body = 200, {}
        try:
            if fault == "busy":
                raise server_busy(self.venue.market)
            body = {"result": self.call(client, method, params)}
            if fault == "unknown_status":
                raise unknown_status()
        except ApiError as error:
            status, body = error.status, {"error": error.body()}
        if fault == "lost_answer":
            return
        if fault == "cut":
            client.connection.abort()
        elif fault == "malformed":
            client.connection.send_text(encode({"id": number, "status": status} | body)[:-7])
        else:
            for _ in range(2 if fault == "twice" else 1):
                self._send(client, number, status, body, method)
        await asyncio.sleep(0)

    def _send(self, client: Client, number: Any, status: int, body: dict[str, Any], method: str) -> None:
        told = self.limits.tell(with_orders=method in TOLD_ORDERS)
        client.connection.send_text(encode({"id": number, "status": status} | body | {"rateLimits": told}))

    def call(self, client: Client, method: str, params: Params) -> Any:
        """Check limits, key, signature and time, and call the method."""
        if method in self.methods:
            call, weight = self.methods[method]
            self.limits.charge(weight)
            self._refuse_closed()
            key = self._authorize(client, params)
            if method.startswith(TRADES) and method != "order.status" and not key.can_trade:
                raise ApiError(*REJECTED_KEY)
            return call({name: text for name, text in params.items() if name not in ("signature", "apiKey")})
        if method.startswith("session."):
            self.limits.charge(2)
            return self._session(client, method, params)
        if method.startswith("userDataStream."):
            self.limits.charge(2)
            self._refuse_closed()
            return self._user_stream(client, method, params)
        return self._public(method, params)

    def _refuse_closed(self) -> None:
        if not self.venue.is_open:
            raise ApiError(-1016, "This service is no longer available.", 503)

    def _public(self, method: str, params: Params) -> Any:
        venue = self.venue
        public: dict[str, Method] = {
            "ping": (lambda _: {}, 1),
            "time": (lambda _: {"serverTime": venue.clock.now_ms()}, 1),
            "exchangeInfo": (lambda _: information.exchange_info(venue, self.limits, params), 20),
            "depth": (lambda _: information.depth(venue, params), information.depth_weight(venue, params)),
            "ticker.book": (lambda _: information.book_ticker(venue, params), 2),
        }
        if method not in public:
            raise ApiError(-1000, f"Unknown method: {method}" if method else "Invalid request: missing field `method`")
        call, weight = public[method]
        self.limits.charge(weight)
        return call(params)

    def _authorize(self, client: Client, params: Params) -> Key:
        """Find whose request it is: of its own key and signature, else of the session."""
        if "signature" in params or client.key is None:
            if not params.get("apiKey"):
                raise missing("apiKey")
            key = self.verifier.find(params["apiKey"])
            self.verifier.check(key, websocket_payload(params), params)
            return key
        self.verifier.check_time(params)
        return client.key

    def _session(self, client: Client, method: str, params: Params) -> dict[str, Any]:
        if method == "session.logon":
            key = self.verifier.find(params.get("apiKey", ""))
            self.verifier.check(key, websocket_payload(params), params)
            if key.public is None:
                raise ApiError(-4056, "Invalid api key type.")  # only Ed25519 keys; the code is unverified
            client.key, client.authorized_ms = key, self.venue.clock.now_ms()
        elif method == "session.logout":
            client.key, client.authorized_ms = None, 0
        elif method != "session.status":
            raise ApiError(-1000, f"Unknown method: {method}")
        return {
            "apiKey": client.key.key if client.key else None,
            "authorizedSince": client.authorized_ms or None,
            "connectedSince": client.connected_ms,
            "returnRateLimits": True,
            "serverTime": self.venue.clock.now_ms(),
            "userDataStream": client.subscription >= 0,
        }

    def _user_stream(self, client: Client, method: str, params: Params) -> dict[str, Any]:
        if self.listen_keys is not None:
            calls = {"start": self.listen_keys.start, "ping": self.listen_keys.keep, "stop": self.listen_keys.stop}
            action = method.removeprefix("userDataStream.")
            if action not in calls:
                raise ApiError(-1000, f"Unknown method: {method}")
            self.verifier.find(params.get("apiKey", ""))
            return calls[action](params)
        if method == "userDataStream.unsubscribe":
            if client.subscription < 0:
                raise ApiError(-2036, "User Data Stream subscription not active.")
            client.subscription = -1
            return {}
        if method == "userDataStream.subscribe":
            if client.key is None:
                raise ApiError(-1002, "You are not authorized to execute this request.", 401)
        elif method == "userDataStream.subscribe.signature":
            self._authorize(client, params)
        else:
            raise ApiError(-1000, f"Unknown method: {method}")
        if client.subscription >= 0:
            raise ApiError(-2035, "User Data Stream subscription already active.")
        client.subscription, client.subscriptions = client.subscriptions, client.subscriptions + 1
        return {"subscriptionId": client.subscription}
