"""The stand-in's own door, for tests: its truth, its pace, and what is to go wrong. No venue has anything like it.

Everything is a POST of JSON to `/control/<action>`, or a GET of `/truth/<what>`; a refusal has status 400 and one line.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

from crosswire.venues.bridge.binance.exchange.listed import Listed
from crosswire.venues.bridge.binance.exchange.messages import Message, encode
from crosswire.venues.bridge.binance.exchange.venue import Times
from crosswire.venues.bridge.binance.market import Market
from crosswire.venues.bridge.binance.terms import market_of
from crosswire.venues.errors import VenueError

if TYPE_CHECKING:
    from crosswire.venues.bridge.binance.exchange.server import StandIn

WAYS_TO_END = ("abort", "close", "half_frame", "silence")
HALF_FRAME = b'{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":1,"u":2}' * 3


class Control:
    """Answers the tests."""

    def __init__(self, stand_in: "StandIn") -> None:
        self.stand_in = stand_in
        self.actions: dict[str, Callable[[dict[str, Any]], Any]] = {
            "pause": lambda _: self._pause(True),
            "resume": lambda _: self._pause(False),
            "step": self._step,
            "speed": self._speed,
            "fault": self._fault,
            "disarm": lambda _: self.stand_in.faults.disarm(),
            "disconnect": self._disconnect,
            "clock": self._clock,
            "status": self._status,
            "maintenance": self._maintenance,
            "limit": self._limit,
            "trade": self._trade,
        }
        self.truths: dict[str, Callable[[dict[str, str]], Any]] = {
            "book": lambda query: book_truth(self._listed(query)),
            "digest": self._digest,
            "digests": lambda query: {"digests": [[each, str(digest)] for each, digest in self._listed(query).history]},
            "account": lambda query: self.stand_in.accounts[market_of(query["market"])].truth(),
            "progress": lambda _: self._progress(),
        }

    def application(self) -> web.Application:
        """Make the web application."""
        app = web.Application()
        app.router.add_post("/control/{action}", self._act)
        app.router.add_get("/truth/{what}", self._tell)
        return app

    async def _act(self, request: web.Request) -> web.Response:
        try:
            body = msgspec.json.decode(await request.read() or b"{}", type=dict[str, Any])
            done = self.act(request.match_info["action"], body)
            return web.Response(body=encode(done), content_type="application/json")
        except (VenueError, msgspec.DecodeError, KeyError, ValueError, TypeError) as error:
            return refusal(str(error))

    async def _tell(self, request: web.Request) -> web.Response:
        truth = self.truths.get(request.match_info["what"])
        if truth is None:
            return refusal(f"no truth of that name: there are {', '.join(self.truths)}", 404)
        try:
            return web.Response(body=encode(truth(dict(request.query))), content_type="application/json")
        except (VenueError, KeyError, ValueError) as error:
            return refusal(str(error))

    def _listed(self, query: dict[str, Any]) -> Listed:
        venue = self.stand_in.venues[market_of(query["market"])]
        if query["symbol"] not in venue.by_symbol:
            raise VenueError(f"{query['symbol']} is not listed")
        return venue.by_symbol[query["symbol"]]

    def _progress(self) -> dict[str, Any]:
        player = self.stand_in.player
        return {"played": player.played, "has_ended": player.has_ended, "struck": self.stand_in.faults.struck}

    def _pause(self, is_paused: bool) -> None:
        self.stand_in.player.hold(is_paused=is_paused)

    def _step(self, body: dict[str, Any]) -> None:
        self.stand_in.player.left = int(body["messages"])

    def _speed(self, body: dict[str, Any]) -> None:
        speed = float(body["speed"])
        if not speed >= 0:
            raise VenueError(f"speed = {speed}: must not be negative")
        self.stand_in.player.set_speed(speed)

    def _fault(self, body: dict[str, Any]) -> None:
        self.stand_in.faults.arm(**body)

    def _disconnect(self, body: dict[str, Any]) -> int:
        host, how = body.get("host", "*"), body.get("how", "abort")
        if how not in WAYS_TO_END:
            raise VenueError(f"how = {how!r}: must be one of {', '.join(WAYS_TO_END)}")
        found = self.stand_in.connections(host)
        for connection in found:
            if how == "abort":
                connection.abort()
            elif how == "close":
                connection.close(int(body.get("code", 1001)))
            elif how == "half_frame":
                connection.send_half_frame(HALF_FRAME)
            else:
                connection.answers_pings = False
        return len(found)

    def _clock(self, body: dict[str, Any]) -> None:
        self.stand_in.clock.offset_ns = int(body["offset_ms"]) * 1_000_000

    def _status(self, body: dict[str, Any]) -> None:
        listed = self._listed(body)
        self.stand_in.venues[listed.market].set_status(listed, str(body["status"]))

    def _maintenance(self, body: dict[str, Any]) -> None:
        self.stand_in.set_open(market_of(body["market"]), is_open=not body["on"])

    def _limit(self, body: dict[str, Any]) -> None:
        market = market_of(body["market"])
        answer = (int(body.get("status", 429)), int(body.get("retry_after_s", 1)))
        self.stand_in.limits[market].forced += [answer] * int(body.get("count", 1))

    def _trade(self, body: dict[str, Any]) -> None:
        """Have somebody trade with somebody, later than all that was: what rests at the price may fill."""
        listed = self._listed(body)
        venue = self.stand_in.venues[listed.market]
        now_ms = max(venue.clock.now_ms(), listed.transaction_ms, listed.event_ms) + 1
        message = Message(e="trade", E=now_ms, T=now_ms, s=listed.symbol, t=listed.trade_id + 1)
        message.p, message.q, message.m = str(body["price"]), str(body["qty"]), bool(body["buyer_is_maker"])
        venue.take(listed, message, Times(now_ms, now_ms))

    def act(self, action: str, body: dict[str, Any]) -> Any:
        """Do what an action says; VenueError if there is none of that name."""
        if action not in self.actions:
            raise VenueError(f"no action {action!r}: there are {', '.join(self.actions)}")
        return self.actions[action](body)

    def _digest(self, query: dict[str, str]) -> dict[str, Any]:
        listed = self._listed(query)
        found = [digest for update_id, digest in listed.history if update_id == int(query["update_id"])]
        return {"digest": str(found[-1]) if found else None}


def book_truth(listed: Listed) -> dict[str, Any]:
    """Tell a book in ticks and lots, level by level."""
    return {
        "update_id": listed.update_id,
        "bids": sorted(listed.bids.items(), reverse=True),
        "asks": sorted(listed.asks.items()),
        "digest": str(listed.digest),
        "is_coin_margined": listed.market == Market.COINM,
    }


def refusal(text: str, status: int = 400) -> web.Response:
    """Refuse in one line."""
    return web.Response(status=status, text=text)
