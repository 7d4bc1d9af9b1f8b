"""The venue's limits told to the engine before they bite: what is left, and until when."""

import asyncio
import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from crosswire.venues.bridge.binance.exchange.settings import LimitConfig
from crosswire.venues.bridge.binance.gateway.limits import RateLimits
from crosswire.venues.bridge.binance.gateway.log import Log
from crosswire.venues.bridge.binance.gateway.orders.api import OrderApi
from crosswire.venues.bridge.binance.gateway.orders.budget import Left, OrderBudget
from crosswire.venues.bridge.binance.gateway.venue_clock import VenueClock
from crosswire.venues.bridge.binance.market import Market
from crosswire.venues.bridge.wire import order_layout as messages
from crosswire.venues.order import IOC
from crosswire.venues.side import BUY, SELL
from tests.support.stand_in import exchange, scripted
from tests.venues.binance_exchange.conftest import ASKS, BALANCES, BIDS
from tests.venues.binance_orders.engine_end import EngineEnd
from tests.venues.binance_orders.gateway import gateway, new_order, until
from tests.venues.binance_orders.test_gateway import account, compare, run
from tests.venues.binance_orders.test_session import gateway as small_gateway
from tests.venues.binance_orders.test_session import order

pytestmark = pytest.mark.binance

SECOND_NS = 1_000_000_000
TEN_S_NS = 10 * SECOND_NS


class Day:
    """A clock that a test sets, in seconds since the epoch."""

    def __init__(self) -> None:
        self.s = 1_700_000_000.0
        self.limits = RateLimits(Market.SPOT, lambda: self.s)
        self.budget = OrderBudget(self.limits, VenueClock(lambda: int(self.s * SECOND_NS)))


def test_the_tightest_window_tells_what_is_left() -> None:
    day = Day()
    assert day.budget.left() is None
    day.limits.order_limits |= {"10s": 3, "1d": 5}
    end_ns = 1_700_000_010 * SECOND_NS
    assert day.budget.left() == Left(3, end_ns)
    assert [day.budget.take() for _ in range(4)] == [True, True, True, False]
    assert day.budget.left() == Left(0, end_ns)
    day.s += 10
    midnight_ns = (1_700_000_010 // 86_400 + 1) * 86_400 * SECOND_NS
    assert day.budget.left() == Left(2, midnight_ns)
    day.limits.order_counts["10s"] = 2  # an answer says so: another program trades too
    assert day.budget.left() == Left(1, end_ns + TEN_S_NS)


def test_the_weight_of_requests_and_a_block_count_too() -> None:
    day = Day()
    day.limits.order_limits["10s"] = 100
    day.limits.window_end = day.s + 60
    day.limits.weight_max, day.limits.weight_used = 100, 73  # 80 of them are ours
    left = day.budget.left()
    assert left is not None
    assert left.orders == 7
    day.limits.block("5")
    assert day.budget.left() == Left(0, int((day.s + 5) * SECOND_NS))


def test_orders_on_their_way_are_added_to_what_an_answer_counts() -> None:
    """The answer to the first of three orders says that one was used."""
    limits = RateLimits(Market.USDM)
    clocks = {Market.USDM: VenueClock()}
    shared = SimpleNamespace(limits={Market.USDM: limits}, clocks=clocks, log=Log(lambda _line: None))
    api = OrderApi(cast(Any, shared), Market.USDM, cast(Any, None), lambda: None, lambda _event: None)
    for answered, used in ((1, 3), (2, 4), (3, 4)):
        api._counted = {number for number in (1, 2, 3) if number >= answered}
        count = {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 5}
        told = {"id": answered, "status": 200, "rateLimits": [count | {"count": (1, 3, 4)[answered - 1]}]}
        api._on_message(memoryview(json.dumps(told).encode()), False)
        assert limits.order_counts == {"10s": used}


def test_an_engine_is_told_at_its_logon_and_when_it_could_not_know(tmp_path: Path) -> None:
    async def work() -> None:
        async with small_gateway(tmp_path) as (desk, port):
            desk.leaves = Left(5, 7)
            engine = await EngineEnd.connect(port)
            await engine.log_on()
            await heard(engine)
            assert (engine.limit.left, engine.limit.counted, engine.limit.until_ns) == (5, 0, 7)
            engine.limit = None
            order(engine, 1, 4)
            desk.leaves = Left(4, 7)  # as the engine reckons
            await engine.wait(messages.OrderFill)
            await asyncio.sleep(0.2)
            await heard(engine)
            assert engine.limit is None
            desk.leaves = Left(3, 7)
            await asyncio.sleep(0.2)
            await heard(engine)
            assert (engine.limit.left, engine.limit.counted) == (3, 1)
            engine.limit = None
            desk.leaves = Left(1 << 40, 9)
            await asyncio.sleep(0.2)
            await heard(engine)
            assert (engine.limit.left, engine.limit.until_ns) == ((1 << 32) - 1, 9)

    run(work)


async def heard(engine: EngineEnd) -> None:
    """Read all that was said until now."""
    engine.send(messages.Template.ACCOUNT_QUERY, execution_id=0)
    await engine.wait(messages.AccountEnd)


def test_no_order_is_refused_for_its_rate(tmp_path: Path) -> None:
    """An engine that holds back what it is told to sends all that the exchange takes, and nothing that it does not."""
    small = LimitConfig(weight=6_000, orders_10s=5, orders_long=1_000, long_s=60)
    listed = (scripted(tmp_path, market, BIDS, ASKS) for market in ("spot", "usdm"))

    async def work() -> None:
        async with gateway(stand_in, tmp_path) as running:
            engine = await running.engine()
            reckoned, sent, by_window = 0, 0, []
            end_s = time.monotonic() + 24.0
            while len(by_window) < 3 and time.monotonic() < end_s:
                await heard(engine)
                limit = engine.limit
                if limit.until_ns not in [until_ns for until_ns, _ in by_window]:
                    by_window.append((limit.until_ns, sent))
                reckoned = limit.left - (sent - limit.counted)
                if reckoned > 0:
                    sent += 1
                    new_order(engine, sent, "usdm", (BUY, SELL)[sent % 2], (60_010, 60_000)[sent % 2], 0.01, IOC)
                else:
                    await asyncio.sleep(0.05)
            await until(lambda: len(account(stand_in, "usdm")["orders"]) == sent)
            await until(lambda: not running.side.account.orders)
            await heard(engine)
            assert not any(isinstance(each, messages.OrderReject) for each in engine.told)
            assert by_window[2][1] - by_window[1][1] == 5  # all of a whole window
            compare(running, stand_in)

    with exchange(tmp_path, *listed, starts_paused=True, balances=BALANCES, usdm_limits=small) as stand_in:
        run(work)
