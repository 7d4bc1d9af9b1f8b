"""An order gateway against a stand-in exchange, in one event loop, and an engine's end of its session."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from crosswire.venues.bridge.binance.exchange.testing import RunningStandIn
from crosswire.venues.bridge.binance.gateway.bridge import first_of, keep_informed
from crosswire.venues.bridge.binance.gateway.config import BridgeConfig, FeedConfig, MarketConfig, OrdersConfig
from crosswire.venues.bridge.binance.gateway.log import Log
from crosswire.venues.bridge.binance.gateway.orders.orders import OrderSide
from crosswire.venues.bridge.binance.gateway.shared import make_shared
from crosswire.venues.bridge.binance.market import Market
from crosswire.venues.bridge.binance.terms import instrument_id_of
from crosswire.venues.bridge.wire import order_layout as messages
from crosswire.venues.errors import VenueError
from tests.support.stand_in import ED25519, ED25519_KEY, HMAC_KEY, HMAC_SECRET, READ_ONLY_KEY
from tests.venues.binance_orders.engine_end import EngineEnd

WAIT_S = 20.0
INSTRUMENTS = {name: instrument_id_of(Market[name.upper()], "BTCUSDT") for name in ("spot", "usdm")}
TICKS = {"spot": 100, "usdm": 10}  # of one USDT
LOTS = {"spot": 100_000, "usdm": 1_000}  # of one bitcoin


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def key_file(folder: Path, kind: str) -> Path:
    """Write a key that the stand-in knows, "hmac", "ed25519", "read_only", or one that it does not, "unknown"."""
    pem = ED25519.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    name, secret = {
        "hmac": (HMAC_KEY, HMAC_SECRET),
        "ed25519": (ED25519_KEY, pem),
        "read_only": (READ_ONLY_KEY, HMAC_SECRET),
        "unknown": ("key-that-nobody-knows", HMAC_SECRET),
    }[kind]
    path = folder / f"{kind}.toml"
    path.write_text(f"client_id = '{name}'\nsecret = '''{secret}'''\n")
    path.chmod(0o600)
    return path


def make_config(stand_in: RunningStandIn, folder: Path, kind: str, **orders: Any) -> BridgeConfig:
    markets = {
        name: MarketConfig(
            symbols=["BTCUSDT"],
            rest=stand_in.address(f"{name}_rest"),
            stream=stand_in.address(f"{name}_stream"),
            order_api=stand_in.address(f"{name}_api"),
        )
        for name in ("spot", "usdm")
    }
    return BridgeConfig(
        name="test",
        feed=FeedConfig(address="127.0.0.1:9", source="127.0.0.1"),
        ca_file=str(stand_in.authority),
        orders=OrdersConfig(
            **{
                "address": f"127.0.0.1:{free_port()}",
                "key_file": str(key_file(folder, kind)),
                "journal": str(folder / "orders.journal"),
            }
            | orders
        ),
        **markets,
    )


@dataclass
class RunningGateway:
    """A gateway that runs. `error` is what ended it."""

    side: OrderSide
    port: int
    said: list[str]
    task: asyncio.Task[None]
    helpers: list[asyncio.Task[None]] = field(default_factory=list)

    async def engine(self) -> EngineEnd:
        """Log an engine on as soon as the gateway lets it."""
        async with asyncio.timeout(WAIT_S):
            while True:
                with suppress(EOFError, OSError):  # it does not listen yet, or its account is not whole
                    engine = await EngineEnd.connect(self.port)
                    await engine.log_on(heartbeat_interval_ms=60_000)
                    return engine
                await asyncio.sleep(0.05)

    async def end(self) -> str:
        """Let it end in order; what it ended with."""
        self.task.cancel()
        try:
            await self.task
        except VenueError as error:
            return str(error)
        except asyncio.CancelledError:
            return ""
        finally:
            await self._stop_helpers()
        return ""

    async def wait_error(self) -> str:
        """Wait until it ends by itself, with an error."""
        try:
            async with asyncio.timeout(WAIT_S):
                await self.task
        except (VenueError, ExceptionGroup) as error:
            return str(first_of(error) if isinstance(error, ExceptionGroup) else error)
        finally:
            await self._stop_helpers()
        raise AssertionError("it ended without an error")

    async def _stop_helpers(self) -> None:
        for task in self.helpers:
            task.cancel()
        await asyncio.gather(*self.helpers, return_exceptions=True)


def start(config: BridgeConfig, folder: Path) -> RunningGateway:
    """Start a gateway in this event loop."""
    said: list[str] = []
    shared = make_shared(config, folder, Log(said.append))
    assert config.orders is not None
    side = OrderSide(shared, config.orders)
    loop = asyncio.get_running_loop()
    helpers = [loop.create_task(keep_informed(shared, market)) for market in config.markets]
    port = int(config.orders.address.rpartition(":")[2])
    return RunningGateway(side, port, said, loop.create_task(side.run()), helpers)


@asynccontextmanager
async def gateway(stand_in: RunningStandIn, folder: Path, kind: str = "ed25519") -> AsyncIterator[RunningGateway]:
    """Run a gateway until the block ends."""
    running = start(make_config(stand_in, folder, kind), folder)
    try:
        yield running
    finally:
        if not running.task.done():
            await running.end()


def new_order(
    engine: EngineEnd, number: int, market: str, side: int, price: float, size: float, time_in_force: int
) -> None:
    """Send an order: price in USDT, size in bitcoin."""
    engine.send(
        messages.Template.NEW_ORDER,
        client_order_id=number,
        price_ticks=round(price * TICKS[market]),
        qty_lots=round(size * LOTS[market]),
        instrument_id=INSTRUMENTS[market],
        side=side,
        time_in_force=time_in_force,
    )


async def until(condition: Callable[[], Any]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(WAIT_S):
        while True:
            found = condition()
            if isinstance(found, Awaitable):
                found = await found
            if found:
                return
            await asyncio.sleep(0.01)
