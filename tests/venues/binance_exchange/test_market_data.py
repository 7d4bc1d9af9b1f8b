"""The stand-in's market data: streams, snapshots and continuity, as a plain client of the venue sees them."""

import asyncio
import json
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from crosswire.venues.bridge.binance.exchange.listed import book_digest
from crosswire.venues.bridge.binance.exchange.settings import StandInConfig, resolve
from crosswire.venues.bridge.binance.exchange.testing import RunningStandIn
from crosswire.venues.errors import VenueError
from tests.support.stand_in import ED25519_KEY, HMAC_KEY, Client, exchange, made, receive, talk

pytestmark = pytest.mark.binance

MARKETS = {"spot": ("/api/v3", "BTCUSDT"), "usdm": ("/fapi/v1", "BTCUSDT"), "coinm": ("/dapi/v1", "BTCUSD_PERP")}


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStandIn]:
    listed = [made(market, symbol) for market, (_, symbol) in MARKETS.items()]
    with exchange(tmp_path_factory.mktemp("exchange"), *listed) as running:
        yield running


class LocalBook:
    """A book kept by the rule of the venue's document, in ticks and lots as the truth has them."""

    def __init__(self, is_spot: bool) -> None:
        self.is_spot = is_spot
        self.sides: tuple[dict[str, str], dict[str, str]] = ({}, {})
        self.last_id = 0

    def open(self, snapshot: Any) -> None:
        self.sides = (dict(snapshot["bids"]), dict(snapshot["asks"]))
        self.last_id = snapshot["lastUpdateId"]
        self.is_first = True

    def apply(self, event: Any) -> None:
        if event["u"] <= self.last_id:
            return
        if self.is_spot:
            assert event["U"] <= self.last_id + 1, "a gap"
        elif self.is_first:
            assert event["pu"] <= self.last_id <= event["u"], "a gap behind the snapshot"
        else:
            assert event["pu"] == self.last_id, "a gap"
        self.is_first = False
        self.last_id = event["u"]
        for side, levels in zip(self.sides, (event["b"], event["a"]), strict=True):
            for price, size in levels:
                if float(size) == 0:
                    side.pop(price, None)
                else:
                    side[price] = size


@pytest.mark.parametrize("suffix", ["@depth@100ms", "@depth"])
@pytest.mark.parametrize("market", MARKETS)
def test_a_book_kept_by_the_venues_rule_is_the_true_one(stand_in: RunningStandIn, market: str, suffix: str) -> None:
    prefix, symbol = MARKETS[market]

    async def follow(client: Client) -> None:
        book = LocalBook(market == "spot")
        async with client.socket(f"{market}_stream", f"/ws/{symbol.lower()}{suffix}") as socket:
            waiting = [await receive(socket)]
            status, snapshot, _ = await client.get(f"{market}_rest", f"{prefix}/depth", symbol=symbol, limit=1000)
            assert status == 200
            book.open(snapshot)
            for event in waiting:
                book.apply(event)
            for _ in range(5):
                book.apply(await receive(socket))
        digest = (await client.truth("digest", market=market, symbol=symbol, update_id=book.last_id))["digest"]
        listed = stand_in.stand_in.control._listed({"market": market, "symbol": symbol})
        sides = [{listed.ticks_of(p): listed.lots_of(q) for p, q in side.items()} for side in book.sides]
        assert str(book_digest(*sides)) == digest

    talk(stand_in, follow)


def test_every_stream_of_the_document_has_its_keys(stand_in: RunningStandIn) -> None:
    wanted = {
        "spot": {"btcusdt@trade": "e E s t p q T m M", "btcusdt@aggTrade": "e E s a p q f l T m M"},
        "usdm": {
            "btcusdt@trade": "e E T s t p q X m",
            "btcusdt@aggTrade": "e E s a p q f l T m",
            "btcusdt@markPrice@1s": "e E s p i P r T",
            "btcusdt@depth@0ms": "e E T s U u pu b a",
        },
        "coinm": {"btcusd_perp@depth@100ms": "e E T s ps U u pu b a"},
    }

    async def hear(client: Client) -> None:
        for market, streams in wanted.items():
            async with client.socket(f"{market}_stream", "/stream?streams=" + "/".join(streams)) as socket:
                for name, names in streams.items():
                    event = await receive(socket, lambda message, name=name: message["stream"] == name)
                    assert list(event["data"]) == names.split(), name

    talk(stand_in, hear)


def test_subscriptions_begin_and_end(stand_in: RunningStandIn) -> None:
    async def subscribe(client: Client) -> None:
        async with client.socket("usdm_stream", "/ws") as socket:

            async def say(method: str, params: Any = None) -> Any:
                number = next(client.numbers)
                await socket.send_json(
                    {"method": method, "id": number} | ({} if params is None else {"params": params})
                )
                return (await receive(socket, lambda message: message.get("id") == number)) | {"id": 0}

            assert await say("SUBSCRIBE", ["btcusdt@depth@0ms"]) == {"result": None, "id": 0}
            assert (await receive(socket))["e"] == "depthUpdate"
            assert await say("LIST_SUBSCRIPTIONS") == {"result": ["btcusdt@depth@0ms"], "id": 0}
            assert await say("SET_PROPERTY", ["combined", True]) == {"result": None, "id": 0}
            assert (await receive(socket))["stream"] == "btcusdt@depth@0ms"
            await asyncio.sleep(1)  # five messages a second on spot, ten here
            assert await say("UNSUBSCRIBE", ["btcusdt@depth@0ms"]) == {"result": None, "id": 0}
            assert await say("LIST_SUBSCRIPTIONS") == {"result": [], "id": 0}
            assert (await say("NONSENSE"))["error"]["code"] == 2
            assert (await say("SUBSCRIBE", "btcusdt@depth"))["error"]["code"] == 2
            await socket.send_str("{")
            assert (await receive(socket))["error"]["code"] == 3

    talk(stand_in, subscribe)


def test_a_routed_path_carries_streams_of_its_kind_alone(stand_in: RunningStandIn) -> None:
    async def hear(client: Client) -> list[str]:
        async with client.socket("usdm_stream", "/public/ws/btcusdt@trade/btcusdt@depth@0ms") as socket:
            return [(await receive(socket))["e"] for _ in range(20)]

    assert set(talk(stand_in, hear)) == {"depthUpdate"}


def test_binary_streams_decode_by_the_schema(stand_in: RunningStandIn) -> None:
    import struct

    async def hear(client: Client) -> None:
        path = "/stream?streams=btcusdt@depth/btcusdt@trade/btcusdt@depth20"
        with pytest.raises(aiohttp.WSServerHandshakeError):
            async with client.socket("spot_sbe", path, headers={"X-MBX-APIKEY": HMAC_KEY}):
                pass
        async with client.socket("spot_sbe", path, headers={"X-MBX-APIKEY": ED25519_KEY}) as socket:
            seen: set[int] = set()
            while seen != {10_000, 10_002, 10_003}:
                message = await socket.receive(timeout=20)
                assert message.type == aiohttp.WSMsgType.BINARY
                root, template, schema, version = struct.unpack_from("<HHHH", message.data)
                assert (schema, version) == (1, 0)
                assert root == {10_000: 18, 10_002: 18, 10_003: 26}[template]
                assert message.data.endswith(b"\x07BTCUSDT")
                if template == 10_003:
                    _, first, last, price_exponent, qty_exponent = struct.unpack_from("<qqqbb", message.data, 8)
                    entry, bids = struct.unpack_from("<HH", message.data, 8 + root)
                    _, asks = struct.unpack_from("<HH", message.data, 8 + root + 4 + 16 * bids)
                    assert (entry, price_exponent, qty_exponent) == (16, -8, -8)
                    assert bids + asks == last - first + 1  # of a made-up market: one id a level
                    assert len(message.data) == 8 + root + 8 + 16 * (bids + asks) + 8
                seen.add(template)

    talk(stand_in, hear)


def test_information_names_what_the_streams_are_written_in(stand_in: RunningStandIn) -> None:
    async def inquire(client: Client) -> None:
        for market, (prefix, symbol) in MARKETS.items():
            _, info, headers = await client.get(f"{market}_rest", f"{prefix}/exchangeInfo")
            (listed,) = info["symbols"]
            filters = {each["filterType"]: each for each in listed["filters"]}
            assert listed["symbol"] == symbol
            assert float(filters["PRICE_FILTER"]["tickSize"]) == {"spot": 0.01, "usdm": 0.1, "coinm": 0.1}[market]
            assert float(filters["LOT_SIZE"]["stepSize"]) == {"spot": 0.00001, "usdm": 0.001, "coinm": 1}[market]
            assert listed["contractStatus" if market == "coinm" else "status"] == "TRADING"
            assert int(headers["X-MBX-USED-WEIGHT-1M"]) > 0
            _, now, _ = await client.get(f"{market}_rest", f"{prefix}/time")
            assert abs(now["serverTime"] - info["serverTime"]) < 5_000

    talk(stand_in, inquire)


def test_refusals_of_public_functions(stand_in: RunningStandIn) -> None:
    async def inquire(client: Client) -> None:
        for path, code in (("/depth", -1102), ("/depth?symbol=NONE", -1121), ("/depth?symbol=BTCUSDT&limit=7", -4021)):
            status, answer, _ = await client.get("usdm_rest", "/fapi/v1" + path)
            assert (status, answer["code"]) == (400, code)
        assert (await client.get("spot_rest", "/api/v3/depth?symbol=BTCUSDT&symbol=ETHUSDT"))[1]["code"] == -1101
        assert (await client.get("spot_rest", "/api/v3/depth?symbol="))[1]["code"] == -1105
        assert (await client.get("spot_rest", "/api/v3/depth?symbol=BTCUSDT&limit=x"))[1]["code"] == -1100
        _, deep, _ = await client.get("spot_rest", "/api/v3/depth?symbol=BTCUSDT&limit=9999")
        assert len(deep["bids"]) >= 12

    talk(stand_in, inquire)


def test_tls_is_real_and_its_key_is_private(stand_in: RunningStandIn) -> None:
    folder = stand_in.stand_in.folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}

    async def distrust(client: Client) -> None:
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await session.get(client.url("spot_rest", "/api/v3/time"))  # by the machine's own authorities

    talk(stand_in, distrust)


def test_it_listens_nowhere_but_on_loopback(tmp_path: Path) -> None:
    config = StandInConfig(folder="x", instruments=[made("spot")], address="0.0.0.0")
    with pytest.raises(VenueError, match="loopback"):
        resolve(config, tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('folder = "f"\ninstruments = []', "there must be 1 to"),
        ('folder = "f"\n[[instruments]]\nmarket = "moon"\nsymbol = "X"', "market 'moon' is none of"),
        ('folder = "f"\n[[instruments]]\nmarket = "spot"', "give a recording, or the symbol"),
        ('folder = "f"\nports = {moon = 1}\n[[instruments]]\nmarket = "spot"\nsymbol = "BTCUSDT"', "is none of"),
        ('folder = "f"\nspeed = -1\n[[instruments]]\nmarket = "spot"\nsymbol = "BTCUSDT"', ">= 0"),
        (
            'folder = "f"\n[[instruments]]\nmarket = "spot"\nsymbol = "BTCUSDT"\n[[keys]]\nkey = "12345678"',
            "either secret",
        ),
    ],
)
def test_a_bad_configuration_gets_one_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "stand-in.toml"
    path.write_text(text)
    command = [sys.executable, "-m", "crosswire.engine.cli", "bridge", "stand-in", str(path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, len(ended.stderr.splitlines())) == (1, 1)
    assert said in ended.stderr


def test_ports_are_told(stand_in: RunningStandIn) -> None:
    told = json.loads((stand_in.stand_in.folder / "endpoints.json").read_text())
    assert told["usdm_rest"] == stand_in.address("usdm_rest")
