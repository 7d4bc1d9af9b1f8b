"""The stand-in's order side on both markets: orders, fills, cancels, amendments, accounts, events."""

import asyncio
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from crosswire.venues.bridge.binance.exchange.settings import ConnectionConfig
from crosswire.venues.bridge.binance.exchange.testing import RunningStandIn
from tests.support.stand_in import ED25519_KEY, Api, Client, api, exchange, receive, scripted, talk, trade
from tests.venues.binance_exchange.conftest import ASKS, BALANCES, BIDS

pytestmark = pytest.mark.binance

LOTS = {"spot": "0.01000", "usdm": "0.010"}


async def best(client: Client, market: str) -> tuple[Decimal, Decimal]:
    """The best bid and ask."""
    book = await client.truth("book", market=market, symbol="BTCUSDT")
    tick = Decimal("0.01") if market == "spot" else Decimal("0.1")
    return book["bids"][0][0] * tick, book["asks"][0][0] * tick


def order(side: str, price: Any, qty: str, **more: Any) -> dict[str, Any]:
    """A limit order's parameters."""
    base = {"symbol": "BTCUSDT", "side": side, "type": "LIMIT", "timeInForce": "GTC", "price": str(price)}
    return base | {"quantity": qty} | more


@pytest.mark.parametrize("market", ["spot", "usdm"])
def test_an_order_rests_fills_and_is_told_of(still: RunningStandIn, market: str) -> None:
    async def run(client: Client) -> None:
        bid, _ = await best(client, market)
        async with api(client, market) as venue:
            placed = await venue.call("order.place", **order("BUY", bid + 1, LOTS[market], newClientOrderId="mine-1"))
            assert placed["status"] == 200, placed
            assert placed["result"]["status"] == "NEW"
            kinds = [limit["rateLimitType"] for limit in placed["rateLimits"]]
            assert kinds == ["ORDERS", "ORDERS", "REQUEST_WEIGHT"]
            number = placed["result"]["orderId"]
            again = await venue.call("order.place", **order("BUY", bid, LOTS[market], newClientOrderId="mine-1"))
            assert again["error"]["code"] == {"spot": -2010, "usdm": -4116}[market]
            # Nobody stands before it: half of it is traded, then the rest.
            half = str(Decimal(LOTS[market]) / 2)
            trade(still, market, bid + 1, half, buyer_is_maker=True)
            seen = (await venue.call("order.status", symbol="BTCUSDT", orderId=number))["result"]
            assert (seen["status"], Decimal(seen["executedQty"])) == ("PARTIALLY_FILLED", Decimal(half))
            trade(still, market, bid + 1, half, buyer_is_maker=True)
            seen = (await venue.call("order.status", symbol="BTCUSDT", origClientOrderId="mine-1"))["result"]
            assert seen["status"] == "FILLED"
        truth = await client.truth("account", market=market)
        assert [fill["is_maker"] for fill in truth["fills"]] == [True, True]
        assert truth["open"] == []

    talk(still, run)


@pytest.mark.parametrize("market", ["spot", "usdm"])
@pytest.mark.parametrize("force", ["IOC", "FOK", "GTC"])
def test_taking_takes_what_the_book_shows(still: RunningStandIn, market: str, force: str) -> None:
    async def run(client: Client) -> None:
        book = await client.truth("book", market=market, symbol="BTCUSDT")
        tick, lot = (Decimal("0.01"), Decimal("0.00001")) if market == "spot" else (Decimal("0.1"), Decimal("0.001"))
        (first, first_lots), (second, second_lots) = book["asks"][:2]
        wanted = (first_lots + second_lots) * lot
        async with api(client, market) as venue:
            params = order("BUY", second * tick, str(wanted), timeInForce=force, newOrderRespType="RESULT")
            placed = (await venue.call("order.place", **params))["result"]
            assert placed["status"] == "FILLED"
            rest = await venue.call("order.place", **params)
        if force == "GTC":
            assert rest["result"]["status"] == "NEW"
        elif force == "IOC" or market == "spot":
            assert (rest["result"]["status"], Decimal(rest["result"]["executedQty"])) == ("EXPIRED", 0)
        else:
            assert rest["error"]["code"] == -5021
        truth = await client.truth("account", market=market)
        fills = [(fill["price_ticks"], fill["qty_lots"]) for fill in truth["fills"]]
        assert fills == [(first, first_lots), (second, second_lots)]

    talk(still, run)


@pytest.mark.parametrize(
    ("market", "more", "code"),
    [("spot", {"type": "LIMIT_MAKER"}, -2010), ("usdm", {"timeInForce": "GTX"}, -5022)],
)
def test_post_only_is_refused_if_it_would_take(
    still: RunningStandIn, market: str, more: dict[str, str], code: int
) -> None:
    async def run(client: Client) -> None:
        bid, ask = await best(client, market)
        async with api(client, market) as venue:
            for price, expected in ((ask, code), (bid, None)):
                params = order("BUY", price, LOTS[market]) | more
                if market == "spot":
                    params.pop("timeInForce")
                answer = await venue.call("order.place", **params)
                assert answer.get("error", {}).get("code") == expected
        assert len((await client.truth("account", market=market))["open"]) == 1

    talk(still, run)


def test_a_market_order_and_what_spot_charges(still: RunningStandIn) -> None:
    async def run(client: Client) -> None:
        async with api(client, "spot") as venue:
            params = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.00100"}
            placed = (await venue.call("order.place", **params))["result"]
            (fill,) = placed["fills"]
            assert placed["status"] == "FILLED"
            assert (fill["commissionAsset"], Decimal(fill["commission"])) == ("BTC", Decimal("0.000001"))
            account = (await venue.call("account.status"))["result"]
        held = {row["asset"]: Decimal(row["free"]) for row in account["balances"]}
        assert held["BTC"] == Decimal("10.000999")
        assert held["USDT"] == 1_000_000 - Decimal(fill["price"]) * Decimal("0.001")

    talk(still, run)


def test_commissions_in_a_third_currency(tmp_path: Path) -> None:
    settings = {"balances": BALANCES, "commission_asset": "BNB", "commission_price": "500", "starts_paused": True}
    with exchange(tmp_path, *(scripted(tmp_path, market, BIDS, ASKS) for market in LOTS), **settings) as running:

        async def run(client: Client) -> None:
            for market, host, path in (("spot", "spot_rest", "/api/v3"), ("usdm", "usdm_rest", "/fapi/v1")):
                params = {"symbol": "BTCUSDT", "side": "SELL", "type": "MARKET", "quantity": "0.001"}
                assert (await client.signed("POST", host, f"{path}/order", **params))[0] == 200
                trades = "myTrades" if market == "spot" else "userTrades"
                _, (fill,), _ = await client.signed("GET", host, f"{path}/{trades}", symbol="BTCUSDT")
                rate = Decimal("0.001") if market == "spot" else Decimal("0.0005")
                owed = Decimal(fill["price"]) * Decimal("0.001") * rate / 500
                assert fill["commissionAsset"] == "BNB"
                assert 0 <= owed - Decimal(fill["commission"]) < Decimal("0.00000002")

        talk(running, run)


def test_spots_events_tell_all_that_happens_to_an_order(still: RunningStandIn) -> None:
    async def run(client: Client) -> None:
        bid, _ = await best(client, "spot")
        async with api(client, "spot") as venue:
            assert (await venue.call("userDataStream.subscribe.signature"))["result"] == {"subscriptionId": 0}
            params = order("BUY", bid + 1, "0.01000", newClientOrderId="a")
            number = (await venue.call("order.place", **params))["result"]["orderId"]
            trade(still, "spot", bid + 1, "0.00400", buyer_is_maker=True)
            amended = await venue.call(
                "order.amend.keepPriority", symbol="BTCUSDT", orderId=number, newQty="0.00800", newClientOrderId="b"
            )
            assert amended["result"]["amendedOrder"]["qty"] == "0.00800000"
            await venue.call("order.cancel", symbol="BTCUSDT", orderId=number, newClientOrderId="c")
            reports = []
            for _ in range(4):
                reports.append(await venue.next_event(lambda event: event["e"] == "executionReport"))
            told = [(each["x"], each["X"], each["c"], each["C"], each["q"], each["z"]) for each in reports]
            assert told == [
                ("NEW", "NEW", "a", "", "0.01000000", "0.00000000"),
                ("TRADE", "PARTIALLY_FILLED", "a", "", "0.01000000", "0.00400000"),
                ("REPLACED", "PARTIALLY_FILLED", "b", "a", "0.00800000", "0.00400000"),
                ("CANCELED", "CANCELED", "c", "b", "0.00800000", "0.00400000"),
            ]
            assert reports[1]["m"] is True
            assert (await venue.call("userDataStream.subscribe.signature"))["error"]["code"] == -2035
            assert (await venue.call("userDataStream.unsubscribe"))["status"] == 200

    talk(still, run)


def test_usdms_events_come_by_the_listen_key(still: RunningStandIn) -> None:
    async def run(client: Client) -> None:
        _, ask = await best(client, "usdm")
        headers = {"X-MBX-APIKEY": ED25519_KEY}
        _, key, _ = await client.ask("POST", "usdm_rest", "/fapi/v1/listenKey", headers=headers)
        async with client.socket("usdm_stream", f"/ws/{key['listenKey']}") as stream:
            params = order("BUY", ask, "0.002", newClientOrderId="x") | {"newOrderRespType": "RESULT"}
            _, placed, _ = await client.signed("POST", "usdm_rest", "/fapi/v1/order", key=ED25519_KEY, **params)
            events = [await receive(stream) for _ in range(4)]
        update = "ORDER_TRADE_UPDATE"
        assert [event["e"] for event in events] == [update, "TRADE_LITE", "ACCOUNT_UPDATE", update]
        new, fill = events[0]["o"], events[3]["o"]
        lite = {name: events[1][name] for name in ("s", "q", "p", "m", "c", "S", "L", "l", "t", "i")}
        assert lite == {name: fill[name] for name in lite}
        assert (new["x"], new["X"], new["c"]) == ("NEW", "NEW", "x")
        assert (fill["x"], fill["X"], fill["i"]) == ("TRADE", "FILLED", placed["orderId"])
        assert (fill["N"], Decimal(fill["n"])) == ("USDT", Decimal(fill["L"]) * Decimal("0.002") * Decimal("0.0005"))
        assert events[2]["a"]["P"][0]["pa"] == "0.002"
        _, positions, _ = await client.signed("GET", "usdm_rest", "/fapi/v3/positionRisk", symbol="BTCUSDT")
        assert positions[0]["positionAmt"] == "0.002"
        _, again, _ = await client.ask("POST", "usdm_rest", "/fapi/v1/listenKey", headers=headers)
        assert again == key
        assert (await client.ask("DELETE", "usdm_rest", "/fapi/v1/listenKey", headers=headers))[0] == 200
        status, gone, _ = await client.ask("PUT", "usdm_rest", "/fapi/v1/listenKey", headers=headers)
        assert (status, gone["code"]) == (400, -1125)

    talk(still, run)


def test_a_session_needs_no_more_signatures(still: RunningStandIn) -> None:
    async def run(client: Client) -> None:
        for market in ("spot", "usdm"):
            async with api(client, market) as venue:
                assert (await venue.call("session.logon"))["error"]["code"] == -4056  # an HMAC key
                assert (await venue.call("session.logon", key=ED25519_KEY))["result"]["apiKey"] == ED25519_KEY
                now = time.time_ns() // 1_000_000
                assert (await venue.say("account.status", {"timestamp": now}))["status"] == 200
                assert (await venue.say("account.status", {"timestamp": now - 9_000}))["error"]["code"] == -1021
                await venue.say("session.logout", {})
                assert (await venue.say("account.status", {"timestamp": now}))["error"]["code"] == -1102

    talk(still, run)


def test_usdm_modifies_reduces_and_counts_down(still: RunningStandIn) -> None:
    async def run(client: Client) -> None:
        bid, ask = await best(client, "usdm")

        async def call(method: str, path: str, **params: Any) -> Any:
            return (await client.signed(method, "usdm_rest", f"/fapi/v1/{path}", symbol="BTCUSDT", **params))[1]

        reducing = {"side": "SELL", "type": "LIMIT", "timeInForce": "GTC", "price": str(ask + 50), "reduceOnly": "true"}
        assert (await call("POST", "order", quantity="0.002", **reducing))["code"] == -2022
        await call("POST", "order", side="BUY", type="MARKET", quantity="0.002")
        resting = await call("POST", "order", quantity="0.002", **reducing)
        assert (await call("POST", "order", quantity="0.001", **reducing))["code"] == -2022  # that one is enough
        number = resting["orderId"]
        change = {"orderId": number, "side": "SELL", "quantity": "0.002"}
        assert (await call("PUT", "order", price=str(ask + 50), **change))["code"] == -5027
        changed = await call("PUT", "order", price=str(ask + 40), **change)
        assert (changed["orderId"], Decimal(changed["price"])) == (number, ask + 40)
        await call("POST", "order", side="SELL", type="MARKET", quantity="0.002")  # nothing is left to reduce
        assert (await call("GET", "order", orderId=number))["status"] == "EXPIRED"
        kept = await call(
            "POST", "order", side="BUY", type="LIMIT", timeInForce="GTC", price=str(bid - 50), quantity="0.002"
        )
        assert await call("POST", "countdownCancelAll", countdownTime="100") == {
            "symbol": "BTCUSDT",
            "countdownTime": "100",
        }
        await asyncio.sleep(0.4)
        assert (await call("GET", "order", orderId=kept["orderId"]))["status"] == "CANCELED"
        assert await call("GET", "openOrders") == []
        assert (await call("DELETE", "allOpenOrders"))["code"] == 200

    talk(still, run)


def test_spots_cancel_replace_tells_both_halves(still: RunningStandIn) -> None:
    async def run(client: Client) -> None:
        bid, _ = await best(client, "spot")
        async with api(client, "spot") as venue:
            number = (await venue.call("order.place", **order("BUY", bid, "0.01000")))["result"]["orderId"]
            replace = order("BUY", bid - 1, "0.01000") | {"cancelReplaceMode": "STOP_ON_FAILURE"}
            done = await venue.call("order.cancelReplace", cancelOrderId=number, **replace)
            assert (done["result"]["cancelResult"], done["result"]["newOrderResult"]) == ("SUCCESS", "SUCCESS")
            failed = await venue.call("order.cancelReplace", cancelOrderId=number, **replace)
            assert (failed["status"], failed["error"]["code"]) == (400, -2022)
            assert failed["error"]["data"]["newOrderResult"] == "NOT_ATTEMPTED"
            half = await venue.call(
                "order.cancelReplace", cancelOrderId=number, **replace | {"cancelReplaceMode": "ALLOW_FAILURE"}
            )
            assert (half["status"], half["error"]["code"]) == (409, -2021)
            cancelled = await venue.call("openOrders.cancelAll", symbol="BTCUSDT")
            assert len(cancelled["result"]) == 2
            assert (await venue.call("openOrders.cancelAll", symbol="BTCUSDT"))["error"]["code"] == -2011

    talk(still, run)


@pytest.mark.parametrize("market", ["spot", "usdm"])
@pytest.mark.parametrize(
    ("mode", "maker", "taker"),
    [
        ("EXPIRE_MAKER", "EXPIRED_IN_MATCH", "NEW"),
        ("EXPIRE_TAKER", "NEW", "EXPIRED_IN_MATCH"),
        ("EXPIRE_BOTH", "EXPIRED_IN_MATCH", "EXPIRED_IN_MATCH"),
    ],
)
def test_own_orders_never_trade_with_each_other(
    still: RunningStandIn, market: str, mode: str, maker: str, taker: str
) -> None:
    async def run(client: Client) -> None:
        bid, _ = await best(client, market)
        async with api(client, market) as venue:
            more = {"newOrderRespType": "RESULT", "selfTradePreventionMode": mode}
            first = (await venue.call("order.place", **order("BUY", bid + 1, LOTS[market])))["result"]
            second = (await venue.call("order.place", **order("SELL", bid + 1, LOTS[market], **more)))["result"]
            seen = await venue.call("order.status", symbol="BTCUSDT", orderId=first["orderId"])
            assert (seen["result"]["status"], second["status"]) == (maker, taker)
        assert (await client.truth("account", market=market))["fills"] == []

    talk(still, run)


@pytest.mark.parametrize(
    ("mode", "other", "modified"),
    [
        ("EXPIRE_MAKER", "EXPIRED_IN_MATCH", "NEW"),
        ("EXPIRE_TAKER", "NEW", "EXPIRED_IN_MATCH"),
        ("EXPIRE_BOTH", "EXPIRED_IN_MATCH", "EXPIRED_IN_MATCH"),
    ],
)
def test_a_modified_order_does_not_trade_with_an_own_one(
    still: RunningStandIn, mode: str, other: str, modified: str
) -> None:
    async def run(client: Client) -> None:
        async with api(client, "usdm") as venue:
            more = {"selfTradePreventionMode": mode}
            first = (await venue.call("order.place", **order("SELL", 60_005, "0.010")))["result"]["orderId"]
            second = (await venue.call("order.place", **order("BUY", 59_000, "0.010", **more)))["result"]["orderId"]
            change = {"symbol": "BTCUSDT", "side": "BUY", "orderId": second, "price": "60006", "quantity": "0.010"}
            assert (await venue.call("order.modify", **change))["result"]["status"] == modified
            seen = (await venue.call("order.status", symbol="BTCUSDT", orderId=first))["result"]
            assert seen["status"] == other
        truth = await client.truth("account", market="usdm")
        assert truth["fills"] == []
        assert len(truth["open"]) == (modified == "NEW") + (other == "NEW")

    talk(still, run)


@pytest.mark.parametrize(
    ("price", "quantity", "status", "filled"),
    [
        ("60010", "0.010", "FILLED", "0.010"),
        ("59100", "0.002", "NEW", "0.000"),
        ("60015", "0.300", "PARTIALLY_FILLED", "0.250"),
    ],
)
def test_a_modified_order_meets_the_book(
    still: RunningStandIn, price: str, quantity: str, status: str, filled: str
) -> None:
    async def run(client: Client) -> None:
        async with api(client, "usdm") as venue:
            number = (await venue.call("order.place", **order("BUY", 59_000, "0.010")))["result"]["orderId"]
            change = {"symbol": "BTCUSDT", "side": "BUY", "orderId": number, "price": price, "quantity": quantity}
            told = (await venue.call("order.modify", **change))["result"]
            assert (told["orderId"], told["status"], told["executedQty"]) == (number, status, filled)
            if status == "PARTIALLY_FILLED":  # no larger than what has filled: it ends
                change |= {"quantity": "0.250"}
                assert (await venue.call("order.modify", **change))["result"]["status"] == "CANCELED"

    talk(still, run)


async def _page(venue: Api, market: str) -> None:
    for _ in range(3):
        side = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.001"}
        assert (await venue.call("order.place", **side))["status"] == 200


@pytest.mark.parametrize("market", ["spot", "usdm"])
def test_recovery_finds_orders_and_fills_by_id(still: RunningStandIn, market: str) -> None:
    async def run(client: Client) -> None:
        host, prefix, trades = {
            "spot": ("spot_rest", "/api/v3", "myTrades"),
            "usdm": ("usdm_rest", "/fapi/v1", "userTrades"),
        }[market]
        async with api(client, market) as venue:
            await _page(venue, market)

        async def ask(path: str, **params: Any) -> Any:
            return (await client.signed("GET", host, f"{prefix}/{path}", symbol="BTCUSDT", **params))[1]

        orders, fills = await ask("allOrders"), await ask(trades)
        assert len(orders) == 3
        assert sum(Decimal(fill["qty"]) for fill in fills) == Decimal("0.003")
        assert [each["orderId"] for each in await ask("allOrders", orderId=orders[1]["orderId"])] == [
            each["orderId"] for each in orders[1:]
        ]
        assert await ask(trades, fromId=fills[-1]["id"]) == fills[-1:]
        assert await ask(trades, fromId=fills[-1]["id"] + 1) == []
        assert {fill["orderId"] for fill in await ask(trades, orderId=orders[0]["orderId"])} == {orders[0]["orderId"]}
        assert (await ask("order", orderId=1))["code"] == -2013

    talk(still, run)


def test_a_listen_key_dies_unless_it_is_kept_alive(tmp_path: Path) -> None:
    rules = ConnectionConfig(listen_key_s=4.0)
    with exchange(tmp_path, scripted(tmp_path, "usdm", BIDS, ASKS), connections=rules) as running:

        async def run(client: Client) -> None:
            async with api(client, "usdm") as venue:
                key = (await venue.say("userDataStream.start", {"apiKey": ED25519_KEY}))["result"]["listenKey"]
                async with client.socket("usdm_stream", f"/private/stream?streams={key}") as stream:
                    for _ in range(3):
                        await asyncio.sleep(1.5)
                        assert (await venue.say("userDataStream.ping", {"apiKey": ED25519_KEY}))["status"] == 200
                    event = (await receive(stream))["data"]
                    assert (event["e"], event["listenKey"]) == ("listenKeyExpired", key)
                gone = await venue.say("userDataStream.ping", {"apiKey": ED25519_KEY})
                assert gone["error"]["code"] == -1125
                other = await venue.say("userDataStream.start", {"apiKey": ED25519_KEY})
                assert other["result"]["listenKey"] != key
                assert (await venue.say("userDataStream.stop", {"apiKey": ED25519_KEY}))["status"] == 200

        talk(running, run)
