"""A plain client of the stand-in exchange, after the venue's documents: aiohttp, and no code of the bridge."""

import asyncio
import base64
import hashlib
import hmac
import itertools
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import aiohttp
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from crosswire.venues.bridge.binance.exchange.settings import InstrumentConfig, KeyConfig, StandInConfig
from crosswire.venues.bridge.binance.exchange.testing import RunningStandIn, running

HMAC_KEY, HMAC_SECRET = "hmac-key-0123456789", "secret-of-the-hmac-key"
ED25519_KEY = "ed25519-key-0123456789"
READ_ONLY_KEY = "read-only-key-0123456789"
ED25519 = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
WAIT_S = 20.0
START_NS = 1_723_161_258_000_000_000
T = TypeVar("T")

Answer = tuple[int, Any, dict[str, str]]


def keys(folder: Path) -> list[KeyConfig]:
    """One key of each kind."""
    public = folder / "public.pem"
    public.write_bytes(ED25519.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return [
        KeyConfig(key=HMAC_KEY, secret=HMAC_SECRET),
        KeyConfig(key=ED25519_KEY, public_key=str(public)),
        KeyConfig(key=READ_ONLY_KEY, secret=HMAC_SECRET, can_trade=False),
    ]


@contextmanager
def exchange(folder: Path, *instruments: InstrumentConfig, **settings: Any) -> Iterator[RunningStandIn]:
    """Run a stand-in with all kinds of keys."""
    config = StandInConfig(folder=str(folder / "memory"), instruments=list(instruments), keys=keys(folder), **settings)
    with running(config) as stand_in:
        yield stand_in


def made(market: str, symbol: str = "BTCUSDT", **settings: Any) -> InstrumentConfig:
    """A made-up instrument with few events."""
    return InstrumentConfig(market=market, symbol=symbol, **{"event_gap_us": 10_000} | settings)


def scripted(
    folder: Path, market: str, bids: dict[int, str], asks: dict[int, str], symbol: str = "BTCUSDT", **settings: Any
) -> InstrumentConfig:
    """An instrument of a recording that is a snapshot, {price: size} a side, and one change that nothing follows."""
    sides = {"bids": [[str(price), size] for price, size in bids.items()]}
    sides["asks"] = [[str(price), size] for price, size in asks.items()]
    change = {"e": "depthUpdate", "E": START_NS // 1_000_000, "s": symbol, "U": 101, "u": 101, "b": [], "a": []}
    if market != "spot":
        change |= {"T": START_NS // 1_000_000, "pu": 100}
    lines = [{"lastUpdateId": 100} | sides, {"stream": f"{symbol.lower()}@depth@100ms", "data": change}]
    path = folder / f"{market}_{symbol}.txt"
    path.write_text("".join(f"{START_NS + place} {json.dumps(line)}\n" for place, line in enumerate(lines)))
    return InstrumentConfig(market=market, recording=str(path), **settings)


def sign_hmac(payload: str) -> str:
    return hmac.new(HMAC_SECRET.encode(), payload.encode(), hashlib.sha256).hexdigest()


def sign_ed25519(payload: str) -> str:
    return base64.b64encode(ED25519.sign(payload.encode())).decode()


class Client:
    """Speaks to a stand-in inside one event loop."""

    def __init__(self, stand_in: RunningStandIn, session: aiohttp.ClientSession) -> None:
        self.stand_in = stand_in
        self.session = session
        self.context = stand_in.client_context()
        self.numbers = itertools.count(1)

    def url(self, host: str, path: str, scheme: str = "https") -> str:
        return f"{scheme}://{self.stand_in.address(host)}{path}"

    async def ask(self, method: str, host: str, path: str, **settings: Any) -> Answer:
        """Send a request; give status, JSON and headers."""
        async with self.session.request(method, self.url(host, path), ssl=self.context, **settings) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if text else None, dict(answer.headers)

    async def get(self, host: str, path: str, **params: Any) -> Answer:
        return await self.ask("GET", host, path, params=params)

    async def signed(self, method: str, host: str, path: str, *, key: str = HMAC_KEY, **params: Any) -> Answer:
        """Send a signed request."""
        params = {"timestamp": time.time_ns() // 1_000_000} | params
        query = urlencode(params)
        sign = sign_ed25519 if key == ED25519_KEY else sign_hmac
        query += "&" + urlencode({"signature": sign(query)})
        headers = {"X-MBX-APIKEY": key}
        async with self.session.request(
            method, self.url(host, f"{path}?{query}"), ssl=self.context, headers=headers
        ) as answer:
            return answer.status, json.loads(await answer.text()), dict(answer.headers)

    async def control(self, action: str, **body: Any) -> Any:
        """Tell the stand-in what to do."""
        status, answer, _ = await self.ask("POST", "control", f"/control/{action}", data=json.dumps(body))
        assert status == 200, answer
        return answer

    async def truth(self, what: str, **query: Any) -> Any:
        return (await self.get("control", f"/truth/{what}", **query))[1]

    @asynccontextmanager
    async def socket(self, host: str, path: str, **settings: Any) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        async with self.session.ws_connect(
            self.url(host, path, "wss"), ssl=self.context, max_msg_size=1 << 26, **settings
        ) as socket:
            yield socket


async def receive(socket: aiohttp.ClientWebSocketResponse, wanted: Callable[[Any], bool] = lambda _: True) -> Any:
    """Receive JSON until some is wanted; fails after a while."""
    async with asyncio.timeout(WAIT_S):
        while True:
            message = await socket.receive()
            assert message.type == aiohttp.WSMsgType.TEXT, message
            if wanted(answer := json.loads(message.data)):
                return answer


def talk(stand_in: RunningStandIn, function: Callable[[Client], Awaitable[T]]) -> T:
    """Run a test's conversation."""

    async def run() -> T:
        async with aiohttp.ClientSession() as session:
            return await function(Client(stand_in, session))

    return asyncio.run(run())


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(WAIT_S):
        while not await condition():
            await asyncio.sleep(0.01)


class Api:
    """A connection to the websocket API: requests signed one by one, or by a session."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.numbers = itertools.count(1)
        self.events: list[Any] = []

    async def say(self, method: str, params: dict[str, Any]) -> Any:
        """Send a request; give its answer. Events that come first are kept."""
        number = f"r{next(self.numbers)}"
        await self.socket.send_json({"id": number, "method": method, "params": params})

        def is_answer(message: Any) -> bool:
            if "event" in message:
                self.events.append(message["event"])
            return bool(message.get("id") == number)

        return await receive(self.socket, is_answer)

    async def call(self, method: str, *, key: str = HMAC_KEY, **params: Any) -> Any:
        """Send a signed request."""
        params = {"apiKey": key, "timestamp": time.time_ns() // 1_000_000} | params
        payload = "&".join(f"{name}={params[name]}" for name in sorted(params))
        signature = (sign_ed25519 if key == ED25519_KEY else sign_hmac)(payload)
        return await self.say(method, params | {"signature": signature})

    async def next_event(self, wanted: Callable[[Any], bool] = lambda _: True) -> Any:
        """Give the next user data event that is wanted."""
        while True:
            while self.events:
                if wanted(event := self.events.pop(0)):
                    return event
            self.events.append((await receive(self.socket, lambda message: "event" in message))["event"])


@asynccontextmanager
async def api(client: Client, market: str) -> AsyncIterator[Api]:
    """Connect to a websocket API."""
    path = {"spot": "/ws-api/v3", "usdm": "/ws-fapi/v1"}[market]
    async with client.socket(f"{market}_api", path) as socket:
        yield Api(socket)


def trade(stand_in: RunningStandIn, market: str, price: Decimal, qty: str, *, buyer_is_maker: bool) -> None:
    """Let the market trade, later than whatever it did before."""
    body = {"market": market, "symbol": "BTCUSDT", "price": str(price), "qty": qty, "buyer_is_maker": buyer_is_maker}
    stand_in.call(stand_in.stand_in.control.act, "trade", body)
