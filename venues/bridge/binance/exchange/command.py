"""What `crosswire bridge stand-in` is. The stand-in itself is imported when it is called: it needs an extra."""

import asyncio
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

from crosswire.venues.adapter import ProcessSetup
from crosswire.venues.bridge.binance.exchange.settings import StandInConfig, resolve
from crosswire.venues.errors import VenueError

if TYPE_CHECKING:
    from crosswire.venues.bridge.binance.exchange.server import StandIn

HELP = "A stand-in for Binance on loopback: real TLS, recorded or made-up markets, orders and accounts, and faults."
LOOK_S = 0.01


def run(config: StandInConfig, setup: ProcessSetup) -> None:
    """Run until SIGINT or SIGTERM. VenueError, one line, if it can't begin."""
    config = resolve(config, setup.folder)
    try:
        from crosswire.venues.bridge.binance.exchange.server import StandIn
    except ModuleNotFoundError as error:
        raise VenueError(f"{error.name} is missing: install crosswire[stand-in]") from None
    stand_in = StandIn(config)
    try:
        asyncio.run(_serve(stand_in, setup.tell))
    except OSError as error:
        raise VenueError(f"stand-in: {error.strerror or error}") from None


async def _serve(stand_in: "StandIn", tell: Callable[[str], None]) -> None:
    """Start, say where everything listens, and wait for a signal or a failure."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    serving = asyncio.create_task(stand_in.run())
    while not stand_in.tasks and not serving.done():
        await asyncio.sleep(LOOK_S)
    for name, port in stand_in.ports.items():
        tell(f"{name} {stand_in.config.address}:{port}")
    waiting = asyncio.create_task(ended.wait())
    await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        serving.result()
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
