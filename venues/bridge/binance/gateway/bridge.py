"""`crosswire bridge binance`: both sides of one account's bridge in one process, until it is told to end."""

import asyncio
import signal
from typing import Protocol

from crosswire.venues.adapter import ProcessSetup
from crosswire.venues.bridge.binance.gateway.config import BridgeConfig, faults
from crosswire.venues.bridge.binance.gateway.definitions import UntradableError, ask_time
from crosswire.venues.bridge.binance.gateway.log import Log
from crosswire.venues.bridge.binance.gateway.market.market import MarketSide
from crosswire.venues.bridge.binance.gateway.shared import Shared, make_shared
from crosswire.venues.bridge.binance.live import compile_live
from crosswire.venues.bridge.binance.market import Market
from crosswire.venues.errors import VenueError, one_line

ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
INFO_INTERVAL_S = 60.0  # between two questions for the definitions
INFO_RETRY_S = 5.0
TIME_INTERVAL_S = 30.0  # a clock that is off by 50 ppm goes 1.5 ms wrong in it


class Side(Protocol):
    """One side of a bridge."""

    async def run(self) -> None:
        """Work until cancelled, then end in order. VenueError: it can't."""


def run_bridge(config: BridgeConfig, setup: ProcessSetup) -> None:
    """Run a bridge until SIGTERM or SIGINT. ValueError: a fault of the configuration; VenueError."""
    for fault in faults(config):
        raise ValueError(fault)
    compile_live()  # before any connection, which would be silent meanwhile
    asyncio.run(Bridge(config, setup).run())


class Bridge:
    """The sides, and what keeps what they share up to date."""

    def __init__(self, config: BridgeConfig, setup: ProcessSetup) -> None:
        self.config = config
        self.setup = setup
        self.log = Log(setup.tell)

    async def run(self) -> None:
        """Run until a signal comes. VenueError: something can't go on."""
        told = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in ENDING_SIGNALS:
            loop.add_signal_handler(number, told.set)
        await self.serve(told)

    async def serve(self, told: asyncio.Event) -> None:
        """Run until `told` to end. VenueError: something can't go on."""
        shared = make_shared(self.config, self.setup.folder, self.log)
        sides = make_sides(shared)
        self.log.event("bridge", f"{self.config.name} begins")
        try:
            async with asyncio.TaskGroup() as group:
                works = [keep_informed(shared, market) for market in self.config.markets]
                works += [keep_time(shared, market) for market in self.config.markets]
                works += [side.run() for side in sides]
                tasks = [group.create_task(work) for work in works]
                await told.wait()
                for task in tasks:
                    task.cancel()
        except ExceptionGroup as errors:  # `except*` wraps what is raised in it before Python 3.11.4
            error = first_of(errors)
            if not isinstance(error, VenueError):
                error = VenueError(f"the bridge's own code failed: {one_line(error)}")
            raise error from None
        finally:
            self.log.finish()


def first_of(errors: ExceptionGroup[Exception]) -> Exception:
    """Find the first error of a group."""
    first = errors.exceptions[0]
    return first_of(first) if isinstance(first, ExceptionGroup) else first


def make_sides(shared: Shared) -> list[Side]:
    """Make the sides that are configured. VenueError."""
    sides: list[Side] = [MarketSide(shared)]
    if shared.config.orders is not None:
        from crosswire.venues.bridge.binance.gateway.orders.orders import OrderSide

        sides.append(OrderSide(shared, shared.config.orders))
    return sides


async def keep_informed(shared: Shared, market: Market) -> None:
    """Ask for the definitions again and again. UntradableError: at the start, later it is told only."""
    rest, limits, definitions = shared.rest[market], shared.limits[market], shared.definitions
    where = f"{market.name.lower()} exchangeInfo"
    while True:
        wait_s = INFO_INTERVAL_S
        try:
            await definitions.fetch(market, rest, limits)
        except VenueError as error:
            if isinstance(error, UntradableError) and not definitions.known.is_set():
                raise
            shared.log.event(where, str(error))
            shared.log.count("failed questions for definitions")
            wait_s = INFO_RETRY_S
        await asyncio.sleep(wait_s)


async def keep_time(shared: Shared, market: Market) -> None:
    """Ask for the venue's time again and again."""
    while True:
        try:
            await ask_time(market, shared.rest[market], shared.clocks[market])
        except VenueError as error:
            shared.log.event(f"{market.name.lower()} time", str(error))
            shared.log.count("failed questions for the time")
        await asyncio.sleep(TIME_INTERVAL_S)
