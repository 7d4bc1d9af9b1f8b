"""Orders over a bad network, from seeds: what the engine is told is what the venue holds, whatever was lost.

`CROSSWIRE_SEEDS=0..999` tries others.
"""

import asyncio
import os
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from crosswire.venues.bridge.binance.gateway.config import MarketConfig
from crosswire.venues.bridge.binance.gateway.limits import RateLimits
from crosswire.venues.bridge.binance.gateway.log import Log
from crosswire.venues.bridge.binance.gateway.orders.account import Account
from crosswire.venues.bridge.binance.gateway.orders.api import UnansweredError
from crosswire.venues.bridge.binance.gateway.orders.journal import Journal
from crosswire.venues.bridge.binance.gateway.orders.records import (
    Acknowledged,
    AmendAsked,
    Amended,
    AmendRefused,
    Asked,
    Ended,
    Filled,
    Refused,
    Told,
)
from crosswire.venues.bridge.binance.gateway.orders.signing import Signer
from crosswire.venues.bridge.binance.gateway.orders.trader import Trader
from crosswire.venues.bridge.binance.gateway.orders.wire import ticks_of
from crosswire.venues.bridge.binance.gateway.shared import Shared
from crosswire.venues.bridge.binance.gateway.venue_clock import VenueClock
from crosswire.venues.bridge.binance.market import Market
from crosswire.venues.credentials import Credentials
from crosswire.venues.order import GTC, IOC, RejectReason
from crosswire.venues.side import sign_of
from tests.venues.binance_orders.scripted_venue import SYMBOL, ScriptedVenue
from tests.venues.binance_orders.test_wire import definition
from tests.venues.binance_orders.virtual_time import VirtualLoop, run_virtual

pytestmark = pytest.mark.binance

STEPS = 60
QUIET_S = 30.0  # at the end: all that is on its way arrives


def seeds() -> range:
    first, _, last = os.environ.get("CROSSWIRE_SEEDS", "0..24").partition("..")
    return range(int(first), int(last) + 1)


class Gateway:
    """A gateway's process: it can be killed at any moment, and begins anew from its journal."""

    def __init__(self, loop: VirtualLoop, venue: ScriptedVenue, path: Path, told: list[Told]) -> None:
        self.market = venue.market
        self.loop = loop
        self.venue = venue
        self.stopped: list[str] = []
        self.said: list[str] = []
        self.told = told
        self.journal = Journal(path)
        self.account = Account(self.journal)
        self.definition = definition(self.market)
        known = asyncio.Event()
        known.set()
        table = {(self.market, SYMBOL): self.definition}
        log = Log(self.said.append)
        shared = Shared(
            cast(Any, SimpleNamespace(markets={self.market: MarketConfig(symbols=[SYMBOL])})),
            path.parent,
            log,
            cast(Any, None),
            cast(Any, SimpleNamespace(known=known, table=table)),
            {self.market: RateLimits(self.market, loop.time)},
            {self.market: VenueClock(loop.clock_ns)},
            cast(Any, {self.market: venue}),
        )
        signer = Signer(Credentials("key", b"secret"))
        self.trader = Trader(shared, self.market, signer, self.account, self.told.extend, self.stopped.append)
        self.trader.api = cast(Any, venue)
        self.trader.stream = cast(Any, venue) if self.market == Market.USDM else None
        venue.on_event = self.trader._take_event
        self.trader._note_connected()
        self.keeper = loop.create_task(self.trader._keep_whole())

    def kill(self) -> None:
        """End without a word: no task goes on, no file is closed in order."""
        self.venue.on_event = lambda _payload: None
        self.keeper.cancel()
        for task in self.trader._tasks:
            task.cancel()
        os.close(self.journal._file)

    def new(self, qty_lots: int, side: int, time_in_force: int) -> None:
        asked = Asked(
            client_order_id=self.account.last_client_order_id + 1,
            instrument_id=self.definition.instrument_id,
            side=side,
            time_ns=self.loop.clock_ns(),
            time_in_force=time_in_force,
            price_ticks=6_000_000,
            qty_lots=qty_lots * 10,
        )
        assert self.account.ask(asked) == RejectReason.NONE
        self.trader.place(self.definition, asked)

    def amend(self, number: int, qty_lots: int, ticks: int) -> bool:
        """Ask for so many more ticks, and a quantity; whether it was let."""
        order = self.account.orders[number]
        amend = AmendAsked(
            client_order_id=number,
            instrument_id=self.definition.instrument_id,
            side=order.asked.side,
            time_ns=self.loop.clock_ns(),
            price_ticks=order.price_ticks + (ticks if self.market == Market.USDM else 0),
            qty_lots=qty_lots * 10,
        )
        return self.trader.amend(self.definition, order, amend) == RejectReason.NONE


class Scenario:
    """One seed's."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.market = (Market.SPOT, Market.USDM)[seed % 2]
        self.chance = random.Random(seed)
        self.loop = VirtualLoop()
        self.path = folder / "orders.journal"
        self.told: list[Told] = []
        self.kills = self.cuts = self.amends = 0

    async def play(self) -> None:
        self.venue = ScriptedVenue(self.loop, self.chance, self.chance.choice([0.0, 0.1, 0.4]), self.market)
        self.gateway = Gateway(self.loop, self.venue, self.path, self.told)
        await asyncio.sleep(1.0)
        for _ in range(STEPS):
            self.step()
            await asyncio.sleep(self.chance.choice([0.0, 0.003, 0.05, 0.7]))
        self.venue.trouble = 0.0
        await self.settle()
        self.judge()
        self.gateway.kill()
        await asyncio.sleep(0.1)

    def step(self) -> None:
        what = self.chance.random()
        alive = [order for order in self.venue.orders.values() if order.is_open]
        if what < 0.35:
            in_force = self.chance.choice([IOC, GTC])
            self.gateway.new(self.chance.randint(1, 20), self.chance.randint(0, 1), in_force)
        elif what < 0.5 and self.gateway.account.orders:
            number = self.chance.choice(sorted(self.gateway.account.orders))
            self.amends += self.gateway.amend(number, self.chance.randint(1, 20), self.chance.randint(-2, 2))
        elif what < 0.7 and alive:
            self.venue.fill(self.chance.choice(alive))
        elif what < 0.85 and self.gateway.account.orders:
            number = self.chance.choice(sorted(self.gateway.account.orders))
            self.gateway.trader.cancel(self.gateway.definition, number)
        elif what < 0.87:
            self.venue.trade_by_hand()
        elif what < 0.92:
            self.cuts += 1
            self.venue.cut()
            self.loop.call_later(self.chance.uniform(0.0, 3.0), self.connect)
        elif what < 0.97:
            self.kills += 1
            self.gateway.kill()
            if self.chance.random() < 0.3:
                with self.path.open("ab") as file:
                    file.write(b"half a line")
            self.gateway = Gateway(self.loop, self.venue, self.path, self.told)

    def connect(self) -> None:
        self.venue.connect()
        self.gateway.trader._note_connected()

    async def settle(self) -> None:
        await asyncio.sleep(QUIET_S)

    def judge(self) -> None:
        """Compare what the engine was told, what the gateway holds and what the venue holds."""
        assert self.gateway.stopped == [], self.gateway.said[-10:]
        account, venue = self.gateway.account, self.venue
        fills = {each.trade_id: each for each in account.fills}
        trades = {each["id"]: each for order in venue.orders.values() for each in order.trades}
        assert fills.keys() == trades.keys()
        assert all(venue.qty(fills[each].qty_lots) == trades[each]["qty"] for each in trades)
        assert [each.execution_id for each in account.fills] == list(range(1, len(trades) + 1))
        assert account.positions.get(self.gateway.definition.instrument_id, 0) == venue.position_lots
        open_there = {
            order.client_id: (order.qty_lots - order.filled_lots, ticks_of(self.gateway.definition, order.price))
            for order in venue.orders.values()
            if order.is_open
        }
        open_here = {
            self.gateway.trader._id_text(each): (order.leaves_lots, order.price_ticks)
            for each, order in account.open_orders()
        }
        assert open_here == open_there
        assert not any(order.amend for order in account.orders.values())
        self.judge_what_was_told(account)

    def judge_what_was_told(self, account: Account) -> None:
        """The engine heard each fill once, and each order's life in order, but for what a kill cut off."""
        told = [each for each in self.told if isinstance(each, Filled)]
        assert len({each.execution_id for each in told}) == len(told)
        if self.kills == 0:
            assert told == list(account.fills)
        held = sum(sign_of(each.side) * each.qty_lots for each in account.fills)
        assert held == self.venue.position_lots
        lives: dict[int, list[type[Told]]] = {}
        for each in self.told:
            if each.client_order_id == 0:
                assert isinstance(each, Filled)
                continue
            lives.setdefault(each.client_order_id, []).append(type(each))
        for life in lives.values():
            assert life.count(Ended) + life.count(Refused) <= 1
            assert not (Refused in life and len(life) > 1)
            assert life.count(Acknowledged) <= 1
            assert not {Amended, AmendRefused} & set(life[: life.index(Acknowledged)] if Acknowledged in life else [])
        answers = [each for each in self.told if isinstance(each, Amended | AmendRefused)]
        assert len(answers) <= self.amends
        self.judge_prices()

    def judge_prices(self) -> None:
        """No fill is told at terms that were not: the venue fills at the price that an order has."""
        prices: dict[int, set[int]] = {}
        for each in self.told:
            known = prices.setdefault(each.client_order_id, {6_000_000})
            if isinstance(each, Amended):
                known.add(each.price_ticks)
            elif isinstance(each, Filled) and each.client_order_id:
                assert each.price_ticks in known


@pytest.mark.parametrize("seed", seeds())
def test_the_engine_is_told_what_the_venue_holds(seed: int, tmp_path: Path) -> None:
    scenario = Scenario(seed, tmp_path)
    run_virtual(scenario.loop, scenario.play())


class Calm(random.Random):
    """Nothing happens by chance."""

    def random(self) -> float:
        return 0.99


@pytest.mark.parametrize("after_s", [0.3, 1.6, None])
def test_an_amend_without_an_answer_is_waited_for_as_long_as_it_may_be_executed(
    tmp_path: Path, after_s: float | None
) -> None:
    loop = VirtualLoop()
    venue = ScriptedVenue(loop, Calm(), 0.0, Market.USDM)
    told: list[Told] = []
    call = venue.call

    async def mute(method: str, params: dict[str, Any]) -> bytes:
        if method != "order.modify":
            return await call(method, params)
        if after_s is not None:
            loop.call_later(after_s, venue._modify, next(iter(venue.orders.values())), params)
        raise UnansweredError(method)

    async def work() -> None:
        gateway = Gateway(loop, venue, tmp_path / "orders.journal", told)
        venue.call = mute  # type: ignore[method-assign]
        await asyncio.sleep(1.0)
        gateway.new(5, 0, GTC)
        await asyncio.sleep(0.5)
        venue.on_event = lambda _payload: None  # and no event tells of it
        assert gateway.amend(1, 3, 1)
        await asyncio.sleep(QUIET_S)
        assert [type(each) for each in told] == [Acknowledged, AmendRefused if after_s is None else Amended]
        assert gateway.stopped == []
        gateway.kill()
        await asyncio.sleep(0.1)

    run_virtual(loop, work())
