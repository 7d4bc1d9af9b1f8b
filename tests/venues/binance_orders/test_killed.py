"""A bridge is killed while orders are on their way, again and again: each order and each fill once, none forgotten.

The bridge is the real process, killed by SIGKILL at a moment that chance chooses. `CROSSWIRE_KILLS=50` makes it more
than a CI run can afford.
"""

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from crosswire.venues.bridge.binance.exchange.testing import RunningStandIn
from crosswire.venues.bridge.binance.market import Market
from crosswire.venues.bridge.wire import order_layout as messages
from crosswire.venues.order import GTC, IOC
from crosswire.venues.side import BUY, SELL
from tests.support.stand_in import exchange, made
from tests.venues.binance_exchange.conftest import BALANCES
from tests.venues.binance_orders.engine_end import EngineEnd
from tests.venues.binance_orders.gateway import INSTRUMENTS, LOTS, TICKS, free_port, key_file

pytestmark = [pytest.mark.binance, pytest.mark.kill]

KILLS = int(os.environ.get("CROSSWIRE_KILLS", "4"))
START_S = 180.0  # its first start compiles
MARKETS = ("spot", "usdm")


def write_config(stand_in: RunningStandIn, folder: Path, port: int) -> Path:
    path = folder / "bridge.toml"
    key = key_file(folder, "ed25519")
    parts = [
        'name = "killed"',
        f'ca_file = "{stand_in.authority}"',
        f'[feed]\naddress = "127.0.0.1:{free_port()}"\nsource = "127.0.0.1"',
        f'[orders]\naddress = "127.0.0.1:{port}"\nkey_file = "{key}"\njournal = "orders.journal"',
    ]
    for market in MARKETS:
        hosts = {"rest": "rest", "stream": "stream", "order_api": "api"}
        keys = [f'{key} = "{stand_in.address(f"{market}_{host}")}"' for key, host in hosts.items()]
        parts.append("\n".join([f"[{market}]", 'symbols = ["BTCUSDT"]', *keys]))
    path.write_text("\n\n".join(parts) + "\n")
    return path


@contextmanager
def bridge(path: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "crosswire.engine.cli", "bridge", "binance", str(path)], stdout=file, stderr=file
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


class Engine:
    """An engine that trades at random over the lives of many bridges, and asks for its account at each logon."""

    def __init__(self, port: int, seed: int) -> None:
        self.port = port
        self.chance = random.Random(seed)
        self.last_order_id = 0
        self.fills: dict[int, messages.OrderFill] = {}
        self.sent = 0
        self.end: messages.AccountEnd | None = None

    async def log_on(self, process: subprocess.Popen[bytes]) -> EngineEnd:
        """Log on as soon as the bridge lets us, and hear what was missed."""
        async with asyncio.timeout(START_S):
            while True:
                assert process.poll() is None, "the bridge ended by itself"
                with suppress(EOFError, OSError):
                    end = await EngineEnd.connect(self.port)
                    await end.log_on(heartbeat_interval_ms=60_000)
                    await self.hear(end)
                    return end
                await asyncio.sleep(0.1)

    async def hear(self, end: EngineEnd) -> None:
        """Ask for the account, part by part."""
        while True:
            end.send(messages.Template.ACCOUNT_QUERY, execution_id=max(self.fills, default=0))
            self.end = await end.wait(messages.AccountEnd)
            self.take(end)
            assert self.end.missing == 0
            if not self.end.more:
                self.last_order_id = max(self.last_order_id, self.end.client_order_id)
                return

    def take(self, end: EngineEnd) -> None:
        """Take the fills that were told; one that comes twice must be the same."""
        for each in end.told:
            if isinstance(each, messages.OrderFill):
                known = self.fills.setdefault(each.execution_id, each)
                assert (known.client_order_id, known.qty_lots) == (each.client_order_id, each.qty_lots)

    async def trade(self, end: EngineEnd, stand_in: RunningStandIn, seconds: float) -> None:
        """Send orders for a while, faster than they are answered."""
        reader = asyncio.ensure_future(self.read(end))
        until = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < until:
            self.send(end, stand_in)
            await asyncio.sleep(self.chance.uniform(0.0, 0.02))
        reader.cancel()
        self.take(end)

    async def read(self, end: EngineEnd) -> None:
        with suppress(EOFError, TimeoutError):
            while True:
                await end.wait(messages.Logout, 60.0)

    def send(self, end: EngineEnd, stand_in: RunningStandIn) -> None:
        market = self.chance.choice(MARKETS)
        listed = stand_in.stand_in.venues[Market[market.upper()]].by_symbol["BTCUSDT"]
        side = self.chance.choice([BUY, SELL])
        best = min(listed.asks) if side == BUY else max(listed.bids)
        self.last_order_id += 1
        self.sent += 1
        end.send(
            messages.Template.NEW_ORDER,
            client_order_id=self.last_order_id,
            price_ticks=best + self.chance.randint(-2, 5) * TICKS[market] * (1, -1)[side],
            qty_lots=round(0.002 * LOTS[market]),
            instrument_id=INSTRUMENTS[market],
            side=side,
            time_in_force=self.chance.choice([IOC, IOC, GTC]),
        )
        if self.chance.random() < 0.3:
            number = self.chance.randint(max(1, self.last_order_id - 10), self.last_order_id)
            end.send(messages.Template.CANCEL_ORDER, client_order_id=number, instrument_id=INSTRUMENTS[market])


def judge(engine: Engine, stand_in: RunningStandIn) -> None:
    """Compare what the engine was told over all its lives with the exchange's own account."""
    told = sorted(engine.fills)
    assert told == list(range(1, len(told) + 1))
    for market in MARKETS:
        truth = stand_in.call(stand_in.stand_in.accounts[Market[market.upper()]].truth)
        theirs = sorted((each["price_ticks"], each["qty_lots"], each["side"]) for each in truth["fills"])
        ours = [each for each in engine.fills.values() if each.instrument_id == INSTRUMENTS[market]]
        assert sorted((each.price_ticks, each.qty_lots, each.side) for each in ours) == theirs
        ids = [each["client_id"] for each in truth["orders"]]
        assert len(set(ids)) == len(ids) <= engine.sent
        assert truth["open"] == []


def test_kills_in_mid_order(tmp_path: Path) -> None:
    markets = [made(market) for market in MARKETS]
    with exchange(tmp_path, *markets, balances=BALANCES) as stand_in:
        port, log = free_port(), tmp_path / "bridge.log"
        path = write_config(stand_in, tmp_path, port)
        engine = Engine(port, 7)

        async def life(is_last: bool) -> None:
            with bridge(path, log) as process:
                end = await engine.log_on(process)
                await engine.trade(end, stand_in, engine.chance.uniform(0.2, 1.0))
                if not is_last:
                    process.send_signal(signal.SIGKILL)
                    end.close()
                    return
                end.close()  # the bridge cancels what is open
                await asyncio.sleep(1.0)
                end = await engine.log_on(process)
                assert engine.end is not None
                assert engine.end.open_orders == 0
                process.send_signal(signal.SIGTERM)
                assert process.wait(20) == 0

        try:
            for number in range(KILLS + 1):
                asyncio.run(life(number == KILLS))
            judge(engine, stand_in)
        except BaseException:
            print(log.read_text()[-6_000:])
            raise
        assert len(engine.fills) > 5 * KILLS
