"""Orders through the gateway at the stand-in exchange, over TLS: both markets, both kinds of key, and faults."""

import asyncio
import errno
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from crosswire.nic.memory.struct import Struct
from crosswire.venues.bridge.binance.exchange.testing import RunningStandIn
from crosswire.venues.bridge.binance.gateway.orders.account import Account
from crosswire.venues.bridge.binance.gateway.orders.journal import Journal
from crosswire.venues.bridge.binance.gateway.orders.records import Asked
from crosswire.venues.bridge.binance.market import Market
from crosswire.venues.bridge.wire import order_layout as messages
from crosswire.venues.order import FOK, GTC, IOC, POST_ONLY, RejectReason
from crosswire.venues.side import BUY, SELL
from tests.support.stand_in import ED25519_KEY, HMAC_KEY, HMAC_SECRET
from tests.venues.binance_exchange.conftest import still
from tests.venues.binance_orders.engine_end import EngineEnd
from tests.venues.binance_orders.gateway import (
    INSTRUMENTS,
    LOTS,
    RunningGateway,
    gateway,
    new_order,
    until,
)

pytestmark = pytest.mark.binance
_FIXTURE = still


MARKETS = ["spot", "usdm"]
FEE_RATES = {"spot": 0.001, "usdm": 0.0005}


def account(stand_in: RunningStandIn, market: str) -> Any:
    return stand_in.call(stand_in.stand_in.accounts[Market[market.upper()]].truth)


def run(work: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(work())  # type: ignore[arg-type]


def compare(running: RunningGateway, stand_in: RunningStandIn) -> None:
    """Compare the gateway's account with the exchange's: fills, positions, open orders."""
    ours = running.side.account
    for market in MARKETS:
        theirs = account(stand_in, market)
        fills = [each for each in ours.fills if each.instrument_id == INSTRUMENTS[market]]
        assert [(each.trade_id, each.price_ticks, each.qty_lots) for each in fills] == [
            (each["trade_id"], each["price_ticks"], each["qty_lots"]) for each in theirs["fills"]
        ]
        held = ours.positions.get(INSTRUMENTS[market], 0)
        assert held == sum(each["qty_lots"] * (1, -1)[each["side"]] for each in theirs["fills"])
        if market == "usdm":
            assert held == theirs["position_lots"].get("BTCUSDT", 0)
        here = [
            order.venue_order_id
            for _number, order in ours.open_orders()
            if order.asked.instrument_id == INSTRUMENTS[market]
        ]
        assert sorted(here) == sorted(theirs["open"])


@pytest.mark.parametrize("market", MARKETS)
@pytest.mark.parametrize("kind", ["ed25519", "hmac"])
def test_an_order_takes_and_the_rest_is_cancelled(
    still: RunningStandIn, tmp_path: Path, market: str, kind: str
) -> None:
    async def work() -> None:
        async with gateway(still, tmp_path, kind) as running:
            engine = await running.engine()
            new_order(engine, 1, market, BUY, 60_020, 0.7, IOC)
            ended = await engine.wait(messages.OrderCancelled)
            told = [type(each).__name__ for each in engine.told]
            assert told == ["LogonAck", "OrderAck", "OrderFill", "OrderFill", "OrderCancelled"]
            first, second = [each for each in engine.told if isinstance(each, messages.OrderFill)]
            assert (first.qty_lots, second.qty_lots) == (0.25 * LOTS[market], 0.4 * LOTS[market])
            assert (first.execution_id, second.execution_id) == (1, 2)
            assert (second.leaves_lots, ended.leaves_lots) == (0.05 * LOTS[market] + 0, second.leaves_lots)
            assert first.fee_e9 == pytest.approx(60_010 * 0.25 * FEE_RATES[market] * 1e9, rel=1e-6)
            compare(running, still)

    run(work)


@pytest.mark.parametrize("market", MARKETS)
@pytest.mark.parametrize("time_in_force", [FOK, GTC, POST_ONLY])
def test_time_in_force(still: RunningStandIn, tmp_path: Path, market: str, time_in_force: int) -> None:
    async def work() -> None:
        async with gateway(still, tmp_path) as running:
            engine = await running.engine()
            new_order(engine, 1, market, BUY, 60_010, 0.3, time_in_force)
            if time_in_force == GTC:
                fill = await engine.wait(messages.OrderFill)
                assert (fill.qty_lots, fill.is_maker) == (0.25 * LOTS[market], 0)
                await until(lambda: account(still, market)["open"])
                engine.send(messages.Template.CANCEL_ORDER, client_order_id=1, instrument_id=INSTRUMENTS[market])
                assert (await engine.wait(messages.OrderCancelled)).leaves_lots == round(0.05 * LOTS[market])
            elif time_in_force == POST_ONLY:
                assert (await engine.wait(messages.OrderReject)).reason == RejectReason.WOULD_TAKE
            elif market == "spot":
                assert (await engine.wait(messages.OrderCancelled)).leaves_lots == round(0.3 * LOTS[market])
            else:
                assert (await engine.wait(messages.OrderReject)).client_order_id == 1
            compare(running, still)

    run(work)


def test_refusals_are_told_by_their_reason(still: RunningStandIn, tmp_path: Path) -> None:
    async def work() -> None:
        async with gateway(still, tmp_path) as running:
            engine = await running.engine()
            engine.send(messages.Template.NEW_ORDER, client_order_id=1, price_ticks=1, qty_lots=1, instrument_id=5)
            new_order(engine, 2, "spot", BUY, 60_000, 0.00001, GTC)  # worth 0.60 USDT
            new_order(engine, 3, "spot", SELL, 60_000, 50, GTC)  # ten are held
            new_order(engine, 4, "usdm", BUY, 90_000, 0.1, GTC)  # far from the market
            reasons = {}
            while len(reasons) < 4:
                reject = await engine.wait(messages.OrderReject)
                reasons[reject.client_order_id] = RejectReason(reject.reason)
            assert reasons == {
                1: RejectReason.UNKNOWN_INSTRUMENT,
                2: RejectReason.BAD_QUANTITY,
                3: RejectReason.BAD_QUANTITY,
                4: RejectReason.BAD_PRICE,
            }
            compare(running, still)

    run(work)


async def sell_when_taken(engine: EngineEnd, market: str) -> int:
    """Sell, as often as it is refused for want of a whole account; how often that was."""
    for number in range(2, 60):
        engine.told.clear()
        new_order(engine, number, market, SELL, 60_000, 0.1, IOC)
        while not any(isinstance(each, messages.OrderFill | messages.OrderReject) for each in engine.told):
            await engine.wait(Struct, 15)
        if isinstance(engine.told[-1], messages.OrderFill):
            return number - 2
        # OTHER: it went into a connection that was dead already, and the venue never had it.
        assert engine.told[-1].reason in (RejectReason.BOOK_NOT_READY, RejectReason.OTHER)
        await asyncio.sleep(0.1)
    raise AssertionError("no order was taken")


@pytest.mark.parametrize("market", MARKETS)
@pytest.mark.parametrize("fault", ["busy", "lost_answer", "unknown_status", "malformed", "cut", "twice"])
def test_each_order_once_whatever_becomes_of_the_answer(
    still: RunningStandIn, tmp_path: Path, market: str, fault: str
) -> None:
    async def work() -> None:
        async with gateway(still, tmp_path) as running:
            engine = await running.engine()
            still.call(still.stand_in.faults.arm, "request", fault, "order.place")
            new_order(engine, 1, market, BUY, 60_010, 0.1, IOC)
            kind = messages.OrderReject if fault == "busy" else messages.OrderFill
            await engine.wait(kind, 15)
            refused = await sell_when_taken(engine, market)
            assert len(account(still, market)["orders"]) == (1 if fault == "busy" else 2), refused
            compare(running, still)

    run(work)


@pytest.mark.parametrize("market", MARKETS)
@pytest.mark.parametrize("fault", ["drop", "duplicate", "late", "reorder"])
def test_each_fill_once_whatever_becomes_of_its_event(
    still: RunningStandIn, tmp_path: Path, market: str, fault: str
) -> None:
    async def work() -> None:
        async with gateway(still, tmp_path) as running:
            engine = await running.engine()
            still.call(still.stand_in.faults.arm, "user", fault, "*", 1, 1)  # the second: the first fill
            new_order(engine, 1, market, BUY, 60_020, 0.7, IOC)
            ended = await engine.wait(messages.OrderCancelled, 15)
            assert ended.leaves_lots == round(0.05 * LOTS[market])
            compare(running, still)

    run(work)


def test_what_is_open_is_cancelled_when_the_engine_goes(still: RunningStandIn, tmp_path: Path) -> None:
    async def work() -> None:
        async with gateway(still, tmp_path) as running:
            engine = await running.engine()
            for number, market in enumerate(MARKETS, 1):
                new_order(engine, number, market, BUY, 59_000, 0.1, GTC)
                await engine.wait(messages.OrderAck)
            engine.close()
            await until(lambda: not any(account(still, market)["open"] for market in MARKETS))
            await until(lambda: not running.side.account.orders)
            compare(running, still)

    run(work)


def test_all_are_cancelled_at_once(still: RunningStandIn, tmp_path: Path) -> None:
    async def work() -> None:
        async with gateway(still, tmp_path) as running:
            engine = await running.engine()
            for number in range(1, 11):
                new_order(engine, number, MARKETS[number % 2], BUY, 59_000 - number, 0.1, GTC)
                await engine.wait(messages.OrderAck)
            engine.send(messages.Template.MASS_CANCEL)
            assert (await engine.wait(messages.MassCancelAck)).cancelled == 10
            assert sum(isinstance(each, messages.OrderCancelled) for each in engine.told) == 10
            compare(running, still)

    run(work)


@pytest.mark.parametrize("kind", ["ed25519", "hmac"])
def test_no_secret_is_in_a_line_or_a_file(still: RunningStandIn, tmp_path: Path, kind: str) -> None:
    async def work() -> None:
        async with gateway(still, tmp_path, kind) as running:
            engine = await running.engine()
            still.call(still.stand_in.faults.arm, "request", "cut", "order.place")
            new_order(engine, 1, "spot", BUY, 60_010, 0.1, IOC)
            await engine.wait(messages.OrderFill, 15)
            text = "\n".join(running.said) + (tmp_path / "orders.journal").read_text()
            for secret in (HMAC_SECRET, HMAC_KEY, ED25519_KEY, "BEGIN PRIVATE"):
                assert secret not in text

    run(work)


def test_a_journal_that_can_not_be_written_ends_it_with_nothing_open(
    still: RunningStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        async with gateway(still, tmp_path) as running:
            engine = await running.engine()
            new_order(engine, 1, "usdm", BUY, 59_000, 0.1, GTC)
            await engine.wait(messages.OrderAck)
            # What `write` says of a full disk; the journal is what it was.
            before = (tmp_path / "orders.journal").read_bytes()

            def write(_file: int, _line: bytes) -> int:
                raise OSError(errno.ENOSPC, "No space left on device")

            monkeypatch.setattr("crosswire.venues.bridge.binance.gateway.orders.journal.os.write", write)
            new_order(engine, 2, "usdm", BUY, 59_000, 0.1, GTC)
            assert (await engine.wait(messages.Logout)).reason == messages.LogoutReason.CLOSING
            error = await running.wait_error()
            assert "No space left on device" in error
            monkeypatch.undo()
            assert (tmp_path / "orders.journal").read_bytes() == before
            assert len(account(still, "usdm")["orders"]) == 1
            assert account(still, "usdm")["open"] == []

    run(work)


def test_an_open_order_of_a_symbol_that_is_configured_no_more_ends_it(still: RunningStandIn, tmp_path: Path) -> None:
    with Journal(tmp_path / "orders.journal") as journal:
        asked = Asked(
            client_order_id=4, instrument_id=5, side=BUY, time_ns=1, time_in_force=GTC, price_ticks=1, qty_lots=1
        )
        assert Account(journal).ask(asked) == RejectReason.NONE

    async def work() -> None:
        async with gateway(still, tmp_path) as running:
            error = await running.wait_error()
            assert "order 4 may be open, and its symbol is not configured" in error

    run(work)


def test_a_key_that_nobody_knows_ends_it(still: RunningStandIn, tmp_path: Path) -> None:
    async def work() -> None:
        async with gateway(still, tmp_path, "unknown") as running:
            assert "-2015" in await running.wait_error()

    run(work)


def test_a_key_that_may_not_trade_ends_it(still: RunningStandIn, tmp_path: Path) -> None:
    async def work() -> None:
        async with gateway(still, tmp_path, "read_only") as running:
            engine = await running.engine()
            new_order(engine, 1, "spot", BUY, 59_000, 0.1, GTC)
            assert (await engine.wait(messages.OrderReject)).reason == RejectReason.NOT_LOGGED_ON
            assert "-2015" in await running.wait_error()
            assert account(still, "spot")["orders"] == []

    run(work)
