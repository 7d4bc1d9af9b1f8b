"""What `crosswire bridge stand-in` is. The stand-in itself is imported when it is called: it needs an extra."""

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

from crosswire.venues.errors import VenueError

HELP = "Run a stand-in for Binance on loopback: real TLS, recorded or made-up markets, orders and accounts, and faults."
NEEDS = "the stand-in needs aiohttp and cryptography: pip install 'crosswire[stand-in]'"


def run_stand_in(config_path: Path, tell: Callable[[str], None]) -> None:
    """Run until SIGINT or SIGTERM. VenueError, one line, if it can't begin."""
    try:
        from crosswire.venues.bridge.binance.exchange.server import StandIn
        from crosswire.venues.bridge.binance.exchange.settings import load_config
    except ModuleNotFoundError as error:
        raise VenueError(f"{NEEDS} ({error.name} is missing)") from None
    stand_in = StandIn(load_config(config_path))
    try:
        asyncio.run(_serve(stand_in, tell))
    except OSError as error:
        raise VenueError(f"stand-in: {error.strerror or error}") from None


async def _serve(stand_in: "StandIn", tell: Callable[[str], None]) -> None:  # type: ignore[name-defined]  # noqa: F821
    """Start, say where everything listens, and wait for a signal or a failure."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    serving = asyncio.create_task(stand_in.run())
    while not stand_in.tasks and not serving.done():
        await asyncio.sleep(0.01)
    for name, port in stand_in.ports.items():
        tell(f"{name} {stand_in.config.address}:{port}")
    waiting = asyncio.create_task(ended.wait())
    await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        serving.result()
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
