"""A stand-in for a test: in a thread of this process, on ports that are free."""

import asyncio
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from crosswire.venues.bridge.binance.exchange.server import StandIn
from crosswire.venues.bridge.binance.exchange.settings import StandInConfig, resolve
from crosswire.venues.bridge.binance.exchange.tls import AUTHORITY_FILE

START_S = 60.0
T = TypeVar("T")


class RunningStandIn:
    """A stand-in that runs, and how to reach it."""

    def __init__(self, stand_in: StandIn, loop: asyncio.AbstractEventLoop) -> None:
        self.stand_in = stand_in
        self.loop = loop

    def address(self, host: str) -> str:
        """Tell `127.0.0.1:port` of one of `settings.HOSTS`."""
        return f"{self.stand_in.config.address}:{self.stand_in.ports[host]}"

    @property
    def authority(self) -> Path:
        """Name the file of the authority that clients are to trust."""
        return self.stand_in.folder / AUTHORITY_FILE

    def client_context(self) -> ssl.SSLContext:
        """Make a context that trusts this stand-in and nobody else."""
        return ssl.create_default_context(cafile=str(self.authority))

    def call(self, function: Callable[..., T], *arguments: Any, **keywords: Any) -> T:
        """Call something of the stand-in where it runs, and wait for what it returns."""

        async def run() -> T:
            return function(*arguments, **keywords)

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(START_S)


@contextmanager
def running(config: StandInConfig, base: Path | None = None) -> Iterator[RunningStandIn]:
    """Run a stand-in until the block ends. VenueError if it can't be."""
    stand_in = StandIn(resolve(config, base or Path.cwd()))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="stand-in", daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(stand_in.start(), loop).result(START_S)
        yield RunningStandIn(stand_in, loop)
    finally:
        asyncio.run_coroutine_threadsafe(stand_in.stop(), loop).result(START_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
