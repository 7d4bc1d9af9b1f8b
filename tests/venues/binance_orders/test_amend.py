"""Amends through the gateway at the stand-in exchange, over TLS: what each market can, and what becomes of them."""

from pathlib import Path
from typing import Any

import pytest

from crosswire.venues.bridge.binance.exchange.testing import RunningStandIn
from crosswire.venues.bridge.binance.gateway.orders.account import Account, ContradictionError
from crosswire.venues.bridge.binance.gateway.orders.journal import Journal
from crosswire.venues.bridge.binance.gateway.orders.records import AmendAsked, Amended, AmendRefused, Filled
from crosswire.venues.bridge.wire import order_layout as messages
from crosswire.venues.order import GTC, IOC, POST_ONLY, RejectReason
from crosswire.venues.side import BUY, SELL
from tests.venues.binance_exchange.conftest import still
from tests.venues.binance_orders.engine_end import EngineEnd
from tests.venues.binance_orders.gateway import INSTRUMENTS, LOTS, TICKS, gateway, new_order, until
from tests.venues.binance_orders.test_account import asked, trade
from tests.venues.binance_orders.test_gateway import MARKETS, account, compare, run

pytestmark = pytest.mark.binance
_FIXTURE = still


def amend(engine: EngineEnd, number: int, market: str, price: float, size: float) -> None:
    """Ask for other terms: price in USDT, size in bitcoin."""
    engine.send(
        messages.Template.AMEND_ORDER,
        client_order_id=number,
        price_ticks=round(price * TICKS[market]),
        qty_lots=round(size * LOTS[market]),
        instrument_id=INSTRUMENTS[market],
    )


def theirs(stand_in: RunningStandIn, market: str) -> dict[str, Any]:
    """The one order of the exchange's account."""
    (order,) = account(stand_in, market)["orders"]
    return dict(order)


@pytest.mark.parametrize("market", MARKETS)
@pytest.mark.parametrize("kind", ["ed25519", "hmac"])
def test_an_order_gets_smaller(still: RunningStandIn, tmp_path: Path, market: str, kind: str) -> None:
    async def work() -> None:
        async with gateway(still, tmp_path, kind) as running:
            engine = await running.engine()
            new_order(engine, 1, market, BUY, 59_000, 0.5, GTC)
            await engine.wait(messages.OrderAck)
            amend(engine, 1, market, 59_000, 0.2)
            amended = await engine.wait(messages.OrderAmended)
            assert (amended.price_ticks, amended.qty_lots) == (59_000 * TICKS[market], round(0.2 * LOTS[market]))
            assert theirs(still, market)["qty_lots"] == amended.qty_lots
            amend(engine, 1, market, 59_000, 0.2)  # what it is already: nobody need be asked
            await engine.wait(messages.OrderAmended)
            engine.send(messages.Template.ACCOUNT_QUERY, execution_id=0)
            assert (await engine.wait(messages.AccountOrder)).leaves_lots == amended.qty_lots
            engine.send(messages.Template.CANCEL_ORDER, client_order_id=1, instrument_id=INSTRUMENTS[market])
            assert (await engine.wait(messages.OrderCancelled)).leaves_lots == amended.qty_lots
            compare(running, still)

    run(work)


def test_usdm_gives_another_price_and_a_larger_size(still: RunningStandIn, tmp_path: Path) -> None:
    async def work() -> None:
        async with gateway(still, tmp_path) as running:
            engine = await running.engine()
            new_order(engine, 1, "usdm", BUY, 59_000, 0.1, GTC)
            await engine.wait(messages.OrderAck)
            amend(engine, 1, "usdm", 60_010, 0.3)  # which takes the 0.25 there
            fill = await engine.wait(messages.OrderFill)
            kinds = [type(each).__name__ for each in engine.told]
            assert kinds == ["LogonAck", "OrderAck", "OrderAmended", "OrderFill"]
            assert (fill.qty_lots, fill.leaves_lots) == (250, 50)
            compare(running, still)

    run(work)


def test_what_spot_can_not_amend_is_refused_by_its_reason(still: RunningStandIn, tmp_path: Path) -> None:
    async def work() -> None:
        async with gateway(still, tmp_path) as running:
            engine = await running.engine()
            new_order(engine, 1, "spot", BUY, 59_000, 0.1, GTC)
            await engine.wait(messages.OrderAck)
            for price, size, reason in (
                (59_001, 0.1, RejectReason.BAD_PRICE),
                (59_000, 0.2, RejectReason.BAD_QUANTITY),
                (59_000, 0.00001, RejectReason.BAD_QUANTITY),  # worth too little
                (59_000, 0.0, RejectReason.BAD_QUANTITY),
            ):
                amend(engine, 1, "spot", price, size)
                assert (await engine.wait(messages.AmendReject)).reason == reason
            amend(engine, 2, "spot", 59_000, 0.05)
            assert (await engine.wait(messages.AmendReject)).reason == RejectReason.UNKNOWN_ORDER
            assert theirs(still, "spot")["qty_lots"] == round(0.1 * LOTS["spot"])
            compare(running, still)

    run(work)


def test_a_post_only_order_that_would_take_ends(still: RunningStandIn, tmp_path: Path) -> None:
    """USD-M cancels it rather than refuse the amend: developers.binance.com, "Modify Order"."""

    async def work() -> None:
        async with gateway(still, tmp_path) as running:
            engine = await running.engine()
            new_order(engine, 1, "usdm", BUY, 59_000, 0.1, POST_ONLY)
            await engine.wait(messages.OrderAck)
            amend(engine, 1, "usdm", 60_010, 0.1)
            assert (await engine.wait(messages.OrderCancelled)).leaves_lots == 100
            compare(running, still)

    run(work)


@pytest.mark.parametrize("market", MARKETS)
@pytest.mark.parametrize("fault", ["busy", "lost_answer", "unknown_status", "malformed", "cut", "twice"])
def test_each_amend_once_whatever_becomes_of_the_answer(
    still: RunningStandIn, tmp_path: Path, market: str, fault: str
) -> None:
    method = {"spot": "order.amend.keepPriority", "usdm": "order.modify"}[market]

    async def work() -> None:
        async with gateway(still, tmp_path) as running:
            engine = await running.engine()
            new_order(engine, 1, market, BUY, 59_000, 0.5, GTC)
            await engine.wait(messages.OrderAck)
            still.call(still.stand_in.faults.arm, "request", fault, method)
            amend(engine, 1, market, 59_000, 0.2)
            await engine.wait(messages.AmendReject if fault == "busy" else messages.OrderAmended, 15)
            lots = round((0.5 if fault == "busy" else 0.2) * LOTS[market])
            order = theirs(still, market)
            assert (order["qty_lots"], order["amendments"]) == (lots, 0 if fault == "busy" else 1)
            await until(lambda: running.side.account.orders[1].qty_lots == lots)
            told = [each for each in engine.told if isinstance(each, messages.OrderAmended | messages.AmendReject)]
            assert len(told) == 1
            compare(running, still)

    run(work)


def test_one_amend_of_an_order_at_a_time(tmp_path: Path) -> None:
    with Journal(tmp_path / "orders.journal") as journal:
        book = Account(journal)
        book.ask(asked(1))
        assert book.ask_amend(wish(100, 5)) == RejectReason.OTHER  # the venue has not said that it has it
        book.acknowledge(1, 1_001, 2)
        assert book.ask_amend(wish(100, 5)) == RejectReason.NONE
        assert book.ask_amend(wish(100, 4)) == RejectReason.OTHER
        (refused,) = book.refuse_amend(1, RejectReason.BAD_PRICE, 3)
        assert isinstance(refused, AmendRefused)
        assert book.refuse_amend(1, RejectReason.BAD_PRICE, 3) == []
        assert book.ask_amend(wish(100, 5)) == RejectReason.NONE
        assert book.ask_amend(wish(100, 5, number=2)) == RejectReason.UNKNOWN_ORDER


def wish(price_ticks: int, qty_lots: int, number: int = 1) -> AmendAsked:
    return AmendAsked(
        client_order_id=number, instrument_id=7, side=0, time_ns=2, price_ticks=price_ticks, qty_lots=qty_lots
    )


def test_terms_that_nobody_asked_for_are_those_before_told_late(tmp_path: Path) -> None:
    with Journal(tmp_path / "orders.journal") as journal:
        book = Account(journal)
        book.ask(asked(1))
        book.acknowledge(1, 1_001, 2)
        assert book.terms(1, 100, 10, 3) == []
        book.ask_amend(wish(101, 12))
        assert book.terms(1, 100, 10, 3) == []
        (amended,) = book.terms(1, 101, 12, 3)
        assert isinstance(amended, Amended)
        assert book.terms(1, 101, 12, 3) == book.terms(1, 100, 10, 3) == []
        assert (book.orders[1].price_ticks, book.orders[1].leaves_lots) == (101, 12)


def test_a_trade_that_only_the_amended_order_could_make_tells_that_it_is_amended(tmp_path: Path) -> None:
    path = tmp_path / "orders.journal"
    with Journal(path) as journal:
        book = Account(journal)
        book.ask(asked(1))
        book.acknowledge(1, 1_001, 2)
        book.ask_amend(wish(101, 12))
        with pytest.raises(ContradictionError, match="13 lots"):
            book.trade(trade(asked(1), 5, 13))
    with Journal(path) as journal:  # a kill, and the amend is still asked for
        book = Account(journal)
        amended, fill = book.trade(trade(asked(1), 5, 11))
        assert isinstance(amended, Amended)
        assert isinstance(fill, Filled)
        assert fill.leaves_lots == 1


@pytest.mark.parametrize("market", MARKETS)
def test_an_order_that_has_ended_meanwhile_is_found_out(still: RunningStandIn, tmp_path: Path, market: str) -> None:
    async def work() -> None:
        async with gateway(still, tmp_path) as running:
            engine = await running.engine()
            new_order(engine, 1, market, BUY, 59_000, 0.1, GTC)
            await engine.wait(messages.OrderAck)
            still.call(still.stand_in.faults.arm, "user", "drop", "*")
            engine.send(messages.Template.CANCEL_ORDER, client_order_id=1, instrument_id=INSTRUMENTS[market])
            amend(engine, 1, market, 59_000, 0.05)
            await engine.wait(messages.OrderCancelled, 15)
            new_order(engine, 2, market, SELL, 60_000, 0.1, IOC)
            await engine.wait(messages.OrderFill, 15)
            compare(running, still)

    run(work)
