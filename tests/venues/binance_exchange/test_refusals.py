"""Each refusal of the stand-in, by the code of the venue's document: filters, parameters, keys, limits, states."""

import time
from pathlib import Path
from typing import Any

import pytest

from crosswire.venues.bridge.binance.exchange import desk
from crosswire.venues.bridge.binance.exchange.settings import LimitConfig
from crosswire.venues.bridge.binance.exchange.testing import RunningStandIn
from tests.support.stand_in import HMAC_KEY, READ_ONLY_KEY, Client, api, exchange, scripted, sign_hmac, talk
from tests.venues.binance_exchange.conftest import ASKS, BALANCES, BIDS

pytestmark = pytest.mark.binance

ORDER = {
    "symbol": "BTCUSDT",
    "side": "BUY",
    "type": "LIMIT",
    "timeInForce": "GTC",
    "price": "59000",
    "quantity": "0.01",
}
PATHS = {"spot": ("spot_rest", "/api/v3/order"), "usdm": ("usdm_rest", "/fapi/v1/order")}

# (market, what is other than in ORDER, the code); None leaves a parameter out
ORDER_REFUSALS: list[tuple[str, dict[str, str | None], int]] = [
    ("spot", {"symbol": None}, -1102),
    ("spot", {"side": None}, -1102),
    ("spot", {"type": None}, -1102),
    ("spot", {"timeInForce": None}, -1102),
    ("spot", {"price": None}, -1102),
    ("spot", {"quantity": None}, -1102),
    ("spot", {"price": ""}, -1105),
    ("spot", {"price": "1e5"}, -1100),
    ("spot", {"price": "-59000"}, -1100),
    ("spot", {"newClientOrderId": "a b"}, -1100),
    ("spot", {"newClientOrderId": "x" * 37}, -1100),
    ("spot", {"type": "MARKET", "timeInForce": None}, -1106),
    ("spot", {"type": "MARKET", "price": None}, -1106),
    ("spot", {"price": "59000.000000001"}, -1111),
    ("spot", {"timeInForce": "GTX"}, -1115),
    ("spot", {"type": "PEGGED"}, -1116),
    ("spot", {"side": "LONG"}, -1117),
    ("spot", {"symbol": "NONE"}, -1121),
    ("spot", {"newOrderRespType": "LONG"}, -1130),
    ("spot", {"price": "59000.005"}, -1013),  # PRICE_FILTER
    ("spot", {"quantity": "0.000001"}, -1013),  # LOT_SIZE
    ("spot", {"quantity": "0"}, -1013),
    ("spot", {"quantity": "0.00001"}, -1013),  # NOTIONAL
    ("spot", {"price": "30000"}, -1013),  # PERCENT_PRICE_BY_SIDE
    ("spot", {"selfTradePreventionMode": "NONE"}, -1013),
    ("spot", {"quantity": "100"}, -2010),  # balance
    ("spot", {"type": "LIMIT_MAKER", "timeInForce": None, "price": "60010"}, -2010),
    ("usdm", {"symbol": None}, -1102),
    ("usdm", {"type": "MARKET", "price": None}, -1106),
    ("usdm", {"price": "59000.01"}, -1111),
    ("usdm", {"quantity": "0.0101"}, -1111),
    ("usdm", {"timeInForce": "DAY"}, -1115),
    ("usdm", {"type": "ICEBERG"}, -1116),
    ("usdm", {"newOrderRespType": "FULL"}, -1136),
    ("usdm", {"price": "0"}, -4001),
    ("usdm", {"price": "99999999"}, -4002),
    ("usdm", {"quantity": "0"}, -4003),
    ("usdm", {"quantity": "1000000"}, -4005),
    ("usdm", {"newClientOrderId": "x" * 37}, -4015),
    ("usdm", {"price": "70000"}, -4016),
    ("usdm", {"price": "50000", "side": "SELL"}, -4024),
    ("usdm", {"positionSide": "LONG"}, -4061),
    ("usdm", {"type": "STOP_MARKET"}, -4120),
    ("usdm", {"quantity": "0.001", "price": "57005"}, 0),  # 57 USDT are enough by default
    ("usdm", {"reduceOnly": "true"}, -2022),
    ("usdm", {"quantity": "900"}, -2019),
    ("usdm", {"timeInForce": "FOK"}, -5021),
    ("usdm", {"timeInForce": "GTX", "price": "60010"}, -5022),
    ("usdm", {"selfTradePreventionMode": "NONE"}, -5039),
]


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("refusing")
    listed = [scripted(folder, market, BIDS, ASKS) for market in PATHS]
    with exchange(folder, *listed, starts_paused=True, balances=BALANCES) as running:
        yield running


@pytest.mark.parametrize(("market", "other", "code"), ORDER_REFUSALS)
def test_an_order_is_refused_by_the_venues_code(
    refusing: RunningStandIn, market: str, other: dict[str, str | None], code: int
) -> None:
    params = {name: text for name, text in (ORDER | other).items() if text is not None}

    async def run(client: Client) -> None:
        before = len((await client.truth("account", market=market))["orders"])
        host, path = PATHS[market]
        status, answer, _ = await client.signed("POST", host, path, **params)
        assert answer.get("code", 0) == code, answer
        assert status == (200 if code == 0 else 400)
        assert len((await client.truth("account", market=market))["orders"]) == before + (code == 0)
        if code and "" not in params.values():
            async with api(client, market) as venue:
                assert (await venue.call("order.place", **params))["error"] == answer

    talk(refusing, run)


def test_what_can_not_be_done_to_an_order(refusing: RunningStandIn) -> None:
    async def run(client: Client) -> None:
        for market, (host, path) in PATHS.items():

            async def call(method: str, where: str = path, host: str = host, **params: Any) -> int:
                answer = (await client.signed(method, host, where, symbol="BTCUSDT", **params))[1]
                return int(answer.get("code", 0))

            assert await call("DELETE") == -1102
            assert await call("DELETE", orderId=1) == -2011
            assert await call("DELETE", origClientOrderId="none") == -2011
            assert await call("GET", orderId=1) == -2013
            params = {name: text for name, text in ORDER.items() if name != "symbol"}
            _, placed, _ = await client.signed("POST", host, path, symbol="BTCUSDT", **params)
            number = placed["orderId"]
            if market == "spot":
                amend = f"{path}/amend/keepPriority"
                assert await call("PUT", amend, orderId=number, newQty="0.02") == -1013
                for step in range(10):
                    assert await call("PUT", amend, orderId=number, newQty=f"0.0099{9 - step}") == 0
                assert await call("PUT", amend, orderId=number, newQty="0.005") == -2038
                assert await call("DELETE", orderId=number, cancelRestrictions="ONLY_PARTIALLY_FILLED") == -2011
                assert await call("DELETE", orderId=number, cancelRestrictions="ALWAYS") == -1145
                assert await call("POST", f"{path}/cancelReplace", cancelOrderId=number) == -1102
            else:
                assert await call("PUT", orderId=1, side="BUY", price="59000", quantity="0.01") == -2013
                assert await call("PUT", orderId=number, side="SELL", price="59000", quantity="0.01") == -1117
            assert await call("DELETE", orderId=number) == 0
            assert await call("DELETE", orderId=number) == -2011

    talk(refusing, run)


def test_keys_signatures_and_times(refusing: RunningStandIn) -> None:
    async def run(client: Client) -> None:
        host, path = "spot_rest", "/api/v3/openOrders"
        now = time.time_ns() // 1_000_000

        async def code(headers: dict[str, str], query: str) -> tuple[int, int]:
            status, answer, _ = await client.ask("GET", host, f"{path}?{query}", headers=headers)
            return status, answer["code"]

        good = {"X-MBX-APIKEY": HMAC_KEY}
        assert await code({}, f"timestamp={now}&signature=x") == (401, -2014)
        assert await code({"X-MBX-APIKEY": "unknown-key-0123"}, f"timestamp={now}&signature=x") == (401, -2015)
        assert await code(good, f"timestamp={now}") == (400, -1102)
        assert await code(good, "signature=x") == (400, -1102)
        assert await code(good, f"timestamp={now}&signature=00ff") == (400, -1022)
        for query, wanted in (
            (f"timestamp={now + 5_000}", -1021),
            (f"timestamp={now - 6_000}", -1021),
            (f"timestamp={now}&recvWindow=60001", -1131),
            (f"timestamp={now}&recvWindow=x", -1100),
            ("timestamp=soon", -1100),
        ):
            assert await code(good, f"{query}&signature={sign_hmac(query)}") == (400, wanted), query
        assert (await client.signed("GET", host, path, timestamp=now - 6_000, recvWindow=10_000))[0] == 200
        assert (await client.signed("GET", host, path, timestamp=time.time_ns() // 1_000))[0] == 200  # microseconds
        status, answer, _ = await client.signed("POST", host, "/api/v3/order", key=READ_ONLY_KEY, **ORDER)
        assert (status, answer["code"]) == (401, -2015)
        body = f"symbol=BTCUSDT&timestamp={now}&orderId=1"
        status, answer, _ = await client.ask(
            "DELETE",
            host,
            "/api/v3/order",
            headers=good | {"Content-Type": "application/x-www-form-urlencoded"},
            data=f"{body}&signature={sign_hmac(body)}",
        )
        assert answer["code"] == -2011  # signed in the body, and found good

    talk(refusing, run)


def test_information_of_some_instruments(refusing: RunningStandIn) -> None:
    async def run(client: Client) -> None:
        path = "/api/v3/exchangeInfo"
        info = (await client.get("spot_rest", path, symbols='["BTCUSDT"]'))[1]
        assert [each["symbol"] for each in info["symbols"]] == ["BTCUSDT"]
        for params, code in (
            ({"symbols": '["NONE"]'}, -1121),
            ({"symbols": "BTCUSDT"}, -1100),
            ({"symbols": '["BTCUSDT"]', "symbol": "BTCUSDT"}, -1128),
        ):
            assert (await client.get("spot_rest", path, **params))[1]["code"] == code

    talk(refusing, run)


def test_no_more_orders_than_are_remembered(still: RunningStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "ORDERS_MAX", 1)

    async def run(client: Client) -> None:
        assert (await client.signed("POST", *PATHS["usdm"], **ORDER))[0] == 200
        status, answer, _ = await client.signed("POST", *PATHS["usdm"], **ORDER)
        assert (status, answer["code"]) == (503, -1008)

    talk(still, run)


def test_the_websocket_api_refuses_what_it_does_not_know(refusing: RunningStandIn) -> None:
    async def run(client: Client) -> None:
        async with api(client, "spot") as venue:
            assert (await venue.call("order.paint"))["error"]["code"] == -1000
            assert (await venue.call("userDataStream.subscribe"))["error"]["code"] == -1002
            assert (await venue.call("userDataStream.unsubscribe"))["error"]["code"] == -2036
            assert (await venue.call("account.status", key="unknown-key-0123"))["error"]["code"] == -2015
            assert (await venue.say("account.status", {}))["error"]["code"] == -1102
            await venue.socket.send_str("[1")
            assert (await venue.socket.receive_json())["error"]["code"] == -1135

    talk(refusing, run)


def small(**limits: int) -> LimitConfig:
    return LimitConfig(**{"weight": 1_000, "orders_10s": 100, "orders_long": 1_000, "long_s": 60} | limits)


def test_weight_is_counted_refused_and_then_banned(tmp_path: Path) -> None:
    listed = scripted(tmp_path, "usdm", BIDS, ASKS)
    with exchange(tmp_path, listed, starts_paused=True, usdm_limits=small(weight=40, ban_s=1)) as running:

        async def run(client: Client) -> None:
            statuses, ban = [], {}
            for _ in range(80):
                status, answer, headers = await client.get("usdm_rest", "/fapi/v1/time")
                statuses.append(status)
                if status == 429:
                    assert answer["code"] == -1003
                    assert 1 <= int(headers["Retry-After"]) <= 60
                    assert int(headers["X-MBX-USED-WEIGHT-1M"]) > 40
                elif status == 418:
                    ban = answer
            assert {*statuses} == {200, 429, 418}
            assert sorted(statuses, key=[200, 429, 418].index) == statuses
            assert "IP banned until" in ban["msg"]

        talk(running, run)


def test_orders_are_counted_and_refused(tmp_path: Path) -> None:
    listed = [scripted(tmp_path, market, BIDS, ASKS) for market in PATHS]
    limits = {"spot_limits": small(orders_10s=2), "usdm_limits": small(orders_10s=2)}
    with exchange(tmp_path, *listed, starts_paused=True, balances=BALANCES, **limits) as running:

        async def run(client: Client) -> None:
            for market, (host, path) in PATHS.items():
                while time.time() % 10 > 8:
                    pass  # the interval must not end in between
                for wanted in (200, 200, 429):
                    status, answer, headers = await client.signed("POST", host, path, **ORDER)
                    assert status == wanted, answer
                assert answer["code"] == -1015
                assert int(headers["Retry-After"]) <= 10
                assert headers["X-MBX-ORDER-COUNT-10S"] == "2"
                async with api(client, market) as venue:
                    refused = await venue.call("order.place", **ORDER)
                assert (refused["status"], refused["error"]["code"]) == (429, -1015)
                (counter,) = [each for each in refused["rateLimits"] if each["interval"] == "SECOND"]
                assert (counter["limit"], counter["count"]) == (2, 2)

        talk(running, run)


def test_no_more_orders_than_an_instrument_may_have(tmp_path: Path) -> None:
    listed = [scripted(tmp_path, market, BIDS, ASKS, max_orders=1) for market in PATHS]
    with exchange(tmp_path, *listed, starts_paused=True, balances=BALANCES) as running:

        async def run(client: Client) -> None:
            for market, (host, path) in PATHS.items():
                assert (await client.signed("POST", host, path, **ORDER))[0] == 200
                answer = (await client.signed("POST", host, path, **ORDER))[1]
                assert answer["code"] == {"spot": -1013, "usdm": -2025}[market]

        talk(running, run)


def test_ticks_and_lots_that_are_no_power_of_ten(tmp_path: Path) -> None:
    listed = scripted(tmp_path, "usdm", BIDS, ASKS, tick="0.5", lot="0.002", min_notional="500")
    with exchange(tmp_path, listed, starts_paused=True, balances=BALANCES) as running:

        async def run(client: Client) -> None:
            for other, code in (
                ({"price": "59000.3"}, -4014),
                ({"quantity": "0.003"}, -4023),
                ({"quantity": "0.004"}, -4164),
            ):
                assert (await client.signed("POST", *PATHS["usdm"], **ORDER | other))[1]["code"] == code
            assert (await client.signed("POST", *PATHS["usdm"], **ORDER | {"price": "59000.5"}))[0] == 200

        talk(running, run)


def test_what_is_halted_or_in_maintenance_takes_no_orders(refusing: RunningStandIn) -> None:
    async def run(client: Client) -> None:
        for market, (host, path) in PATHS.items():
            prefix = path.removesuffix("/order")
            await client.control("status", market=market, symbol="BTCUSDT", status="HALT")
            info = (await client.get(host, f"{prefix}/exchangeInfo", symbol="BTCUSDT"))[1]
            assert info["symbols"][0]["status"] == "HALT"
            answer = (await client.signed("POST", host, path, **ORDER))[1]
            assert answer["code"] == {"spot": -1013, "usdm": -4141}[market]
            await client.control("status", market=market, symbol="BTCUSDT", status="TRADING")
            await client.control("maintenance", market=market, on=True)
            status, answer, _ = await client.signed("POST", host, path, **ORDER)
            assert (status, answer["code"]) == (503, -1016)
            info = (await client.get(host, f"{prefix}/exchangeInfo", symbol="BTCUSDT"))[1]
            assert info["symbols"][0]["status"] == {"spot": "BREAK", "usdm": "PENDING_TRADING"}[market]
            await client.control("maintenance", market=market, on=False)
            assert (await client.signed("POST", host, path, **ORDER))[0] == 200

    talk(refusing, run)
