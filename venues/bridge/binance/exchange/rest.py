"""A REST host: which path is which function, who may call it, what it weighs, and how answers and refusals are sent."""

import asyncio
import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from crosswire.venues.bridge.binance.exchange import information
from crosswire.venues.bridge.binance.exchange.errors import REJECTED_KEY, ApiError, server_busy, unknown_status
from crosswire.venues.bridge.binance.exchange.faults import Faults
from crosswire.venues.bridge.binance.exchange.limits import Limits
from crosswire.venues.bridge.binance.exchange.messages import encode
from crosswire.venues.bridge.binance.exchange.signing import Verifier, rest_payload
from crosswire.venues.bridge.binance.exchange.venue import Venue
from crosswire.venues.bridge.binance.market import Market

PREFIX = {Market.SPOT: "/api/v3", Market.USDM: "/fapi/v1", Market.COINM: "/dapi/v1"}
HANG_S = 3_600  # of an answer that is never sent; the client gives up first

Params = dict[str, str]


class Security(Enum):
    """Who may call."""

    NONE = 0
    KEY = 1  # with an API key
    SIGNED = 2


@dataclass(frozen=True)
class Endpoint:
    """One function of the venue."""

    method: str
    path: str  # whole
    weight: Callable[[Params], int]
    call: Callable[[Params], Any]
    security: Security = Security.NONE
    counts_orders: bool = False
    trades: bool = False


def public_endpoints(venue: Venue, limits: Limits) -> list[Endpoint]:
    """List what everybody may ask."""
    prefix, is_spot = PREFIX[venue.market], venue.market == Market.SPOT
    info_weight = 20 if is_spot else 1

    def get(path: str, weight: Callable[[Params], int], call: Callable[[Params], Any]) -> Endpoint:
        return Endpoint("GET", prefix + path, weight, call)

    found = [
        get("/ping", lambda _: 1, lambda _: {}),
        get("/time", lambda _: 1, lambda _: {"serverTime": venue.clock.now_ms()}),
        get("/exchangeInfo", lambda _: info_weight, lambda params: information.exchange_info(venue, limits, params)),
        get(
            "/depth",
            lambda params: information.depth_weight(venue, params),
            lambda params: information.depth(venue, params),
        ),
        get("/ticker/bookTicker", lambda _: 2, lambda params: information.book_ticker(venue, params)),
    ]
    if not is_spot:
        found.append(get("/premiumIndex", lambda _: 1, lambda params: information.premium_index(venue, params)))
    return found


@dataclass
class RestHost:
    """One of the venue's REST hosts."""

    venue: Venue
    limits: Limits
    verifier: Verifier
    faults: Faults
    endpoints: list[Endpoint] = field(default_factory=list)

    def application(self) -> web.Application:
        """Make the web application."""
        app = web.Application()
        by_path: dict[str, dict[str, Endpoint]] = {}
        for endpoint in self.endpoints:
            by_path.setdefault(endpoint.path, {})[endpoint.method] = endpoint
        for path, methods in by_path.items():
            app.router.add_route("*", path, functools.partial(self.serve, methods))
        return app

    async def serve(self, methods: dict[str, Endpoint], request: web.Request) -> web.StreamResponse:
        """Serve one request."""
        if request.method not in methods:
            return web.Response(status=405)
        if request.content_length and request.headers.get("Content-Type", "").startswith("application/json"):
            return web.Response(status=415)
        endpoint = methods[request.method]
        body = (await request.read()).decode("ascii", "replace")
        fault = self.faults.take(f"{request.method} {endpoint.path}", "request")
        status, answer, headers = 200, None, {}
        try:
            if fault == "busy":
                raise server_busy(self.venue.market)
            if not self.venue.is_open and endpoint.security is not Security.NONE:
                raise ApiError(-1016, "This service is no longer available.", 503)
            answer = self.run(endpoint, request, body)
            if fault == "lost_answer":
                await asyncio.sleep(HANG_S)
            if fault == "unknown_status":
                raise unknown_status()
        except ApiError as error:
            status, answer = error.status, error.body()
            if error.retry_after_s:
                headers["Retry-After"] = str(error.retry_after_s)
        if fault == "cut" and request.transport is not None:
            request.transport.abort()
        headers |= self.limits.headers(with_orders=endpoint.counts_orders)
        text = encode(answer)
        if fault == "malformed":
            text = text[: len(text) // 2]
        return web.Response(status=status, body=text, content_type="application/json", headers=headers)

    def run(self, endpoint: Endpoint, request: web.Request, body: str) -> Any:
        """Check limits, key, signature and time, and call the function."""
        query = request.rel_url.raw_query_string
        params = read_params(query, body)
        self.limits.charge(endpoint.weight(params))
        if endpoint.security is not Security.NONE:
            key = self.verifier.find(request.headers.get("X-MBX-APIKEY", ""))
            if endpoint.security is Security.SIGNED:
                self.verifier.check(key, rest_payload(query, body), params)
            if endpoint.trades and not key.can_trade:
                raise ApiError(*REJECTED_KEY)
        return endpoint.call({name: text for name, text in params.items() if name != "signature"})


def read_params(query: str, body: str) -> Params:
    """Read parameters; a name may come once."""
    pairs = parse_qsl(query, keep_blank_values=True) + parse_qsl(body, keep_blank_values=True)
    params = dict(pairs)
    if len(params) != len(pairs):
        raise ApiError(-1101, "Duplicate values for a parameter detected.")
    for name, text in pairs:
        if not text:
            raise ApiError(-1105, f"Parameter '{name}' was empty.")
    return params
