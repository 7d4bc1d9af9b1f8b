"""The stream hosts: `/ws/<stream>/...`, `/stream?streams=a/b`, and what a client may ask for on such a connection.

Requests and answers as the venue's document web-socket-streams.md has them ("Live subscribing/unsubscribing to
streams"); the shape of refusals is as seen by users, unverified. USD-M's `/public`, `/market` and `/private` (since
2026-04-23, by other people's programs, unverified) carry the streams of their kind alone.
"""

import re
import time
from collections import deque
from typing import Any

import msgspec
from aiohttp import WSCloseCode, web

from crosswire.venues.bridge.binance.exchange.connection import Connection
from crosswire.venues.bridge.binance.exchange.errors import BANNED, TOO_MANY
from crosswire.venues.bridge.binance.exchange.hub import Hub
from crosswire.venues.bridge.binance.exchange.messages import encode
from crosswire.venues.bridge.binance.exchange.settings import ConnectionConfig
from crosswire.venues.bridge.binance.market import Market

CONNECTION_WINDOW_S = 300
USDM_MESSAGES_PER_S = 10  # of a client on USD-M; unverified
# What a routed path of USD-M carries: all others go by `/market`.
PUBLIC = re.compile(r"@(depth|bookTicker)")
BAD_REQUEST, BAD_JSON, UNKNOWN_PROPERTY, BAD_VALUE = 2, 3, 0, 1


class StreamConnection:
    """A connection of a stream host."""

    def __init__(self, host: "StreamHost", connection: Connection, *, is_combined: bool, route: str) -> None:
        self.host = host
        self.connection = connection
        self.is_combined = is_combined
        self.route = route
        self.names: dict[str, None] = {}

    def send_event(self, name: str, payload: bytes) -> None:
        """Send one message of a stream, wrapped if the connection is a combined one."""
        if self.is_combined:
            payload = b'{"stream":' + encode(name) + b',"data":' + payload + b"}"
        self.connection.send_text(payload)

    def send_binary(self, payload: bytes) -> None:
        """Send one binary message."""
        self.connection.send_binary(payload)

    def carries(self, name: str) -> bool:
        """Tell whether a stream is to be had by this path."""
        if not self.route:
            return True
        if "@" not in name and not name.startswith("!"):
            return self.route == "private"
        return self.route == ("public" if PUBLIC.search(name) else "market")

    def subscribe(self, names: list[str]) -> bool:
        """Begin streams; False if there are too many."""
        if len(self.names.keys() | set(names)) > self.host.config.streams_max:
            return False
        for name in names:
            if name not in self.names and self.carries(name):
                self.names[name] = None
                self.host.hub.subscribe(name, self, is_binary=self.host.is_binary)
        return True

    def unsubscribe(self, names: list[str]) -> None:
        """End streams."""
        for name in names:
            if self.names.pop(name, self) is None:
                self.host.hub.unsubscribe(name, self)

    async def handle(self, data: bytes) -> None:
        """Answer a request."""
        try:
            request = msgspec.json.decode(data)
        except msgspec.DecodeError as error:
            self._refuse(None, BAD_JSON, f"Invalid JSON: {error}")
            return
        number = request.get("id") if isinstance(request, dict) else None
        if not isinstance(request, dict) or not isinstance(request.get("method"), str):
            self._refuse(number, BAD_REQUEST, "Invalid request: request ID must be an unsigned integer")
            return
        self._answer(number, request["method"], request.get("params", []))

    def _answer(self, number: Any, method: str, params: Any) -> None:
        if method in ("SUBSCRIBE", "UNSUBSCRIBE"):
            if not isinstance(params, list) or not all(isinstance(name, str) for name in params):
                self._refuse(number, BAD_REQUEST, "Invalid request: params must be an array of strings")
                return
            if method == "UNSUBSCRIBE":
                self.unsubscribe(params)
            elif not self.subscribe(params):
                self.connection.close(int(WSCloseCode.POLICY_VIOLATION))
                return
            self._tell(number, None)
        elif method == "LIST_SUBSCRIPTIONS":
            self._tell(number, list(self.names))
        elif method in ("SET_PROPERTY", "GET_PROPERTY"):
            self._property(number, method, params)
        else:
            self._refuse(number, BAD_REQUEST, f"Invalid request: unknown variant `{method}`")

    def _property(self, number: Any, method: str, params: Any) -> None:
        if not isinstance(params, list) or not params or params[0] != "combined":
            self._refuse(number, UNKNOWN_PROPERTY, "Unknown property")
        elif method == "GET_PROPERTY":
            self._tell(number, self.is_combined)
        elif len(params) != 2 or not isinstance(params[1], bool):
            self._refuse(number, BAD_VALUE, "Invalid value type: expected Boolean")
        else:
            self.is_combined = params[1]
            self._tell(number, None)

    def _tell(self, number: Any, result: Any) -> None:
        self.connection.send_text(encode({"result": result, "id": number}))

    def _refuse(self, number: Any, code: int, text: str) -> None:
        self.connection.send_text(encode({"error": {"code": code, "msg": text}, "id": number}))


class StreamHost:
    """One of the venue's stream hosts."""

    def __init__(self, hub: Hub, config: ConnectionConfig, *, is_binary: bool = False) -> None:
        self.hub = hub
        self.config = config
        self.is_binary = is_binary
        self.api_keys: set[str] = set()  # that a binary stream may be had with: Ed25519 ones
        self.connections: set[StreamConnection] = set()
        self.opened: deque[float] = deque()
        self.is_open = True
        is_usdm = hub.venue.market == Market.USDM
        self.messages_per_s = max(config.messages_per_s, USDM_MESSAGES_PER_S) if is_usdm else config.messages_per_s

    def application(self) -> web.Application:
        """Make the web application."""
        app = web.Application()
        routes = ["", "/public", "/market", "/private"] if self.hub.venue.market == Market.USDM else [""]
        for route in routes:
            for path in ("/ws", "/ws/{streams:.+}", "/stream"):
                app.router.add_get(route + path, self.connect)
        return app

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """Take a new connection."""
        now = time.monotonic()
        while self.opened and self.opened[0] <= now - CONNECTION_WINDOW_S:
            self.opened.popleft()
        if not self.is_open:
            return web.Response(status=503)
        if len(self.opened) >= self.config.connections_per_5_min:
            return web.Response(status=TOO_MANY if len(self.opened) == self.config.connections_per_5_min else BANNED)
        self.opened.append(now)
        if self.is_binary and request.headers.get("X-MBX-APIKEY", "") not in self.api_keys:
            return web.Response(status=401)
        is_combined = request.path.endswith("/stream")
        listed = request.query.get("streams", "") if is_combined else request.match_info.get("streams", "")
        names = [name for name in listed.split("/") if name]
        if key := request.query.get("listenKey", ""):
            names.append(key)
        head = request.path.split("/")[1]
        route = head if head in ("public", "market", "private") else ""
        connection = Connection(request, self.config, self.messages_per_s)
        client = StreamConnection(self, connection, is_combined=is_combined, route=route)
        if not client.subscribe(names):
            return web.Response(status=400)
        self.connections.add(client)
        try:
            return await connection.serve(client.handle)
        finally:
            self.connections.discard(client)
            client.unsubscribe(list(client.names))
