"""Each thing that the stand-in does wrong on request, as a plain client sees it, and that it then goes on rightly."""

import asyncio
import itertools
import json
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from crosswire.venues.bridge.binance.exchange.faults import Faults
from crosswire.venues.bridge.binance.exchange.settings import ConnectionConfig, ScheduledConfig
from crosswire.venues.bridge.binance.exchange.testing import RunningStandIn
from crosswire.venues.errors import VenueError
from tests.support.stand_in import HMAC_KEY, Client, api, exchange, made, receive, scripted, talk, trade
from tests.venues.binance_exchange.conftest import ASKS, BALANCES, BIDS

pytestmark = pytest.mark.binance

ANSWERED = ("busy", "unknown_status", "twice")
STREAM = "/ws/btcusdt@depth@0ms"
RESTING = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC"}
RESTING |= {"price": "59000", "quantity": "0.01", "newClientOrderId": "mine"}


@pytest.fixture(scope="module")
def moving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStandIn]:
    with exchange(tmp_path_factory.mktemp("moving"), made("usdm"), made("spot"), balances=BALANCES) as running:
        yield running


def breaks(events: list[Any]) -> int:
    """How many events do not follow the one before."""
    return sum(event["pu"] != before["u"] for before, event in itertools.pairwise(events))


@pytest.mark.parametrize(
    ("kind", "least"),
    [("drop", 1), ("duplicate", 1), ("late", 2), ("reorder", 2), ("malformed", 0), ("unknown_event", 0)],
)
def test_a_stream_goes_wrong(moving: RunningStandIn, kind: str, least: int) -> None:
    async def run(client: Client) -> None:
        async with client.socket("usdm_stream", STREAM) as socket:
            await receive(socket)
            await client.control("fault", where="stream", kind=kind, match="@depth", skip=1)
            events: list[Any] = []
            strange = 0
            async with asyncio.timeout(20):
                # Until it has struck, and what is late has come.
                while strange + breaks(events) < max(1, least) or len(events) < 40:
                    text = (await socket.receive()).data
                    try:
                        event = json.loads(text)
                    except json.JSONDecodeError:
                        strange += 1
                        continue
                    if event["e"] == "depthUpdate":
                        events.append(event)
                    else:
                        strange += 1
        assert breaks(events) >= least
        assert strange == (kind in ("malformed", "unknown_event"))
        ids = [event["u"] for event in events]
        assert (len(set(ids)) < len(ids)) == (kind == "duplicate")
        assert (sorted(ids) != ids) == (kind in ("late", "reorder"))
        assert (await client.truth("progress"))["struck"][f"stream:{kind}"] >= 1

    talk(moving, run)


@pytest.mark.parametrize("how", ["abort", "close", "half_frame"])
def test_connections_are_cut(moving: RunningStandIn, how: str) -> None:
    async def run(client: Client) -> None:
        async with client.socket("usdm_stream", STREAM) as socket:
            await receive(socket)
            assert await client.control("disconnect", host="usdm_stream", how=how, code=1001) == 1
            async with asyncio.timeout(20):
                while (message := await socket.receive()).type == aiohttp.WSMsgType.TEXT:
                    json.loads(message.data)
        if how == "close":
            assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1001)
        else:
            assert message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
        async with client.socket("usdm_stream", STREAM) as socket:
            await receive(socket)

    talk(moving, run)


def test_the_servers_clock_can_be_wrong(moving: RunningStandIn) -> None:
    async def run(client: Client) -> None:
        await client.control("clock", offset_ms=-7_000)
        status, answer, _ = await client.signed("GET", "spot_rest", "/api/v3/account")
        assert (status, answer["code"]) == (400, -1021)
        before = time.time_ns() // 1_000_000
        told = (await client.get("spot_rest", "/api/v3/time"))[1]["serverTime"]
        assert before - 7_001 <= told <= time.time_ns() // 1_000_000 - 6_999
        await client.control("clock", offset_ms=0)
        assert (await client.signed("GET", "spot_rest", "/api/v3/account"))[0] == 200

    talk(moving, run)


@pytest.mark.parametrize(("status", "code"), [(429, -1003), (418, -1003)])
def test_limits_strike_when_asked(moving: RunningStandIn, status: int, code: int) -> None:
    async def run(client: Client) -> None:
        await client.control("limit", market="spot", status=status, retry_after_s=1)
        seen, answer, headers = await client.get("spot_rest", "/api/v3/time")
        assert (seen, answer["code"], headers["Retry-After"]) == (status, code, "1")
        await asyncio.sleep(1.1)
        assert (await client.get("spot_rest", "/api/v3/time"))[0] == 200

    talk(moving, run)


def test_maintenance_closes_doors(moving: RunningStandIn) -> None:
    async def run(client: Client) -> None:
        await client.control("maintenance", market="usdm", on=True)
        headers = {"X-MBX-APIKEY": HMAC_KEY}
        assert (await client.ask("POST", "usdm_rest", "/fapi/v1/listenKey", headers=headers))[0] == 503
        with pytest.raises(aiohttp.WSServerHandshakeError):
            async with client.socket("usdm_api", "/ws-fapi/v1"):
                pass
        await client.control("maintenance", market="usdm", on=False)
        assert (await client.ask("POST", "usdm_rest", "/fapi/v1/listenKey", headers=headers))[0] == 200

    talk(moving, run)


@pytest.mark.parametrize("market", ["spot", "usdm"])
@pytest.mark.parametrize("kind", ["busy", "lost_answer", "unknown_status", "malformed", "cut", "twice"])
def test_a_request_goes_wrong(still: RunningStandIn, market: str, kind: str) -> None:
    async def run(client: Client) -> None:
        await client.control("fault", where="request", kind=kind, match="order.place")
        async with api(client, market) as venue:
            placing = asyncio.create_task(venue.call("order.place", **RESTING))
            try:
                answer = await asyncio.wait_for(placing, 15 if kind in ANSWERED else 1)
            except (TimeoutError, AssertionError, ValueError):
                answer = None
            if kind == "busy":
                assert (answer["status"], answer["error"]["code"]) == (503, -1008)
            elif kind == "unknown_status":
                assert (answer["status"], answer["error"]["code"]) == (503, -1007)
            elif kind == "twice":
                assert answer == json.loads((await venue.socket.receive()).data)
            else:
                assert answer is None
        done = len((await client.truth("account", market=market))["open"])
        assert done == (kind != "busy")  # carried out all the same
        async with api(client, market) as venue:
            answer = await venue.call("order.place", **RESTING | {"newClientOrderId": "other"})
            assert answer["status"] == 200

    talk(still, run)


@pytest.mark.parametrize("kind", ["lost_answer", "unknown_status", "malformed", "cut", "busy"])
def test_a_rest_request_goes_wrong(still: RunningStandIn, kind: str) -> None:
    async def run(client: Client) -> None:
        await client.control("fault", where="request", kind=kind, match="POST /fapi/v1/order")
        try:
            async with asyncio.timeout(15 if kind in ANSWERED else 1):
                status, answer, _ = await client.signed("POST", "usdm_rest", "/fapi/v1/order", **RESTING)
            assert (status, answer["code"]) == (503, {"busy": -1008, "unknown_status": -1007}[kind])
        except (TimeoutError, aiohttp.ClientError, json.JSONDecodeError):
            assert kind in ("lost_answer", "malformed", "cut")
        assert len((await client.truth("account", market="usdm"))["open"]) == (kind != "busy")

    talk(still, run)


def test_user_events_are_lost_while_nobody_listens_and_by_request(still: RunningStandIn) -> None:
    async def run(client: Client) -> None:
        async with api(client, "spot") as venue:
            await venue.call("userDataStream.subscribe.signature")
            await client.control("fault", where="user", kind="drop", match="executionReport")
            await client.control("fault", where="user", kind="duplicate", match="outboundAccountPosition", count=1)
            await venue.call("order.place", **RESTING)
            first, second = [await venue.next_event() for _ in range(2)]
            assert (first["e"], second) == ("outboundAccountPosition", first)
        # It fills in part while nobody is connected: nobody is told, and whoever comes later has to ask.
        trade(still, "spot", Decimal(59_000), "0.00400", buyer_is_maker=True)
        number = (await client.truth("account", market="spot"))["open"][0]
        async with api(client, "spot") as venue:
            await venue.call("userDataStream.subscribe.signature")
            seen = (await venue.call("order.status", symbol="BTCUSDT", orderId=number))["result"]
            assert (seen["status"], seen["executedQty"]) == ("PARTIALLY_FILLED", "0.00400000")
            cancelled = await venue.call("order.cancel", symbol="BTCUSDT", orderId=number)
            assert cancelled["result"]["status"] == "CANCELED"
            event = await venue.next_event(lambda each: each["e"] == "executionReport")
            assert (event["x"], event["i"]) == ("CANCELED", number)

    talk(still, run)


def test_pings_lives_and_limits_of_connections(tmp_path: Path) -> None:
    rules = ConnectionConfig(
        ping_s=0.2, pong_s=2.0, life_s=4.0, messages_per_s=5, streams_max=3, connections_per_5_min=5
    )
    with exchange(tmp_path, scripted(tmp_path, "spot", BIDS, ASKS), connections=rules) as running:

        async def run(client: Client) -> None:
            async with client.socket("spot_stream", "/ws", autoping=False) as socket:
                ping = await socket.receive(timeout=5)
                assert ping.type == aiohttp.WSMsgType.PING
                assert ping.data.isdigit()
                # No pong: the venue gives up.
                async with asyncio.timeout(5):
                    while (message := await socket.receive()).type == aiohttp.WSMsgType.PING:
                        pass
                assert message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
            async with client.socket("spot_stream", "/ws") as socket:
                for number in range(6):
                    await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": number})
                async with asyncio.timeout(5):
                    while (message := await socket.receive()).type == aiohttp.WSMsgType.TEXT:
                        pass
                assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1008)
            async with client.socket("spot_stream", "/ws") as socket:
                await socket.send_json({"method": "SUBSCRIBE", "params": ["a@trade", "b@trade", "c@trade"], "id": 1})
                await receive(socket)
                await socket.send_json({"method": "SUBSCRIBE", "params": ["d@trade"], "id": 2})
                assert (await socket.receive(timeout=5)).data == 1008
            async with client.socket("spot_stream", "/ws") as socket:
                assert (await socket.receive(timeout=15)).data == 1001  # at the end of its life
            async with client.socket("spot_stream", "/ws"):
                pass
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                async with client.socket("spot_stream", "/ws"):
                    pass
            assert refused.value.status == 429

        talk(running, run)


def test_a_client_that_does_not_read_is_cut_off(tmp_path: Path) -> None:
    rules = ConnectionConfig(queue_bytes_max=20_000)
    with exchange(tmp_path, scripted(tmp_path, "usdm", BIDS, ASKS), connections=rules) as running:

        async def run(client: Client) -> None:
            async with client.socket("usdm_stream", STREAM) as socket:
                host = running.stand_in.streams["usdm_stream"]
                (kept,) = host.connections
                running.call(kept.connection.send_text, b"x" * 15_000)
                assert len((await socket.receive(timeout=5)).data) == 15_000

                def too_much() -> None:
                    for _ in range(3):
                        kept.connection.send_text(b"x" * 15_000)

                running.call(too_much)
                assert (await socket.receive(timeout=5)).type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)

        talk(running, run)


def test_faults_are_armed_by_name_and_chance() -> None:
    with pytest.raises(VenueError, match="no fault 'melt' at 'stream'"):
        Faults().arm("stream", "melt")
    first, second = Faults(seed=7), Faults(seed=7)
    for faults in (first, second):
        faults.arm("stream", "drop", count=-1, chance=0.3)
    struck = [[faults.take("x", "stream") for _ in range(200)] for faults in (first, second)]
    assert struck[0] == struck[1]
    assert 20 < struck[0].count("drop") < 100
    first.disarm()
    assert first.take("x", "stream") == ""


def test_the_control_says_what_it_does_not_know(moving: RunningStandIn) -> None:
    async def run(client: Client) -> None:
        for path, body in (
            ("/control/fault", {"where": "stream", "kind": "melt"}),
            ("/control/disconnect", {"how": "gently"}),
            ("/control/status", {"market": "moon", "symbol": "X", "status": "HALT"}),
            ("/control/speed", {"speed": -1}),
            ("/control/none", {}),
        ):
            async with client.session.post(client.url("control", path), json=body, ssl=client.context) as answer:
                assert (answer.status, "\n" in await answer.text()) == (400, False)

    talk(moving, run)


def test_a_schedule_acts_by_itself(tmp_path: Path) -> None:
    acts = [
        ScheduledConfig(
            action="disconnect", body={"how": "close", "code": 1012}, after_s=0.2, every_s=0.3, jitter_s=0.1
        ),
        ScheduledConfig(action="status", body={"market": "spot", "symbol": "BTCUSDT", "status": "HALT"}, after_s=0.1),
    ]
    with exchange(tmp_path, scripted(tmp_path, "spot", BIDS, ASKS), schedule=acts) as running:

        async def run(client: Client) -> None:
            for _ in range(2):
                async with client.socket("spot_stream", "/ws/btcusdt@trade") as socket:
                    assert (await socket.receive(timeout=20)).data == 1012
            (listed,) = (await client.get("spot_rest", "/api/v3/exchangeInfo"))[1]["symbols"]
            assert listed["status"] == "HALT"

        talk(running, run)
