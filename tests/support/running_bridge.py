"""A bridge to Binance in a thread of the test, before a stand-in exchange; its feed goes to a reader on loopback."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from crosswire.venues.adapter import ProcessSetup
from crosswire.venues.bridge.binance.exchange.testing import RunningStandIn
from crosswire.venues.bridge.binance.gateway.bridge import Bridge
from crosswire.venues.bridge.binance.gateway.config import BridgeConfig, faults
from crosswire.venues.bridge.binance.live import compile_live
from tests.support.bridge_reader import BridgeReader

END_S = 30.0
SBE_KEY = 'client_id = "{}"\nsecret = "unused"\n'


class RunningBridge:
    """A bridge that runs: its log, and itself."""

    def __init__(self, config: BridgeConfig, folder: Path) -> None:
        assert not list(faults(config))
        self.lines: list[str] = []
        self.bridge = Bridge(config, ProcessSetup(folder=folder, tell=self.lines.append))
        self.runner = asyncio.Runner()
        self.loop = self.runner.get_loop()
        self.told = asyncio.Event()
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, name="bridge")

    def _run(self) -> None:
        try:
            with self.runner:
                self.runner.run(self.bridge.serve(self.told))
        except BaseException as error:
            self.error = error

    def end(self) -> None:
        """Have it end, and wait; what it raised is raised."""
        if self.thread.is_alive():
            self.loop.call_soon_threadsafe(self.told.set)
        self.thread.join(END_S)
        assert not self.thread.is_alive()
        if self.error is not None:
            raise self.error

    def said(self, text: str) -> int:
        """How many lines of its log have a text."""
        return sum(text in line for line in self.lines)


def table(stand_in: RunningStandIn, market: str, *symbols: str, **settings: Any) -> dict[str, Any]:
    """One market's table of a configuration, with the addresses of a stand-in."""
    found = {"symbols": list(symbols), "silence_s": 30.0, **settings}
    found["rest"] = stand_in.address(f"{market}_rest")
    found["stream"] = stand_in.address(f"{market}_stream")
    if market == "spot":
        found["sbe"] = stand_in.address("spot_sbe")
    return found


@contextmanager
def bridge(
    stand_in: RunningStandIn, reader: BridgeReader, folder: Path, markets: dict[str, dict[str, Any]], **settings: Any
) -> Iterator[RunningBridge]:
    """Run a bridge until the block ends."""
    compile_live()
    feed = {"address": reader.address, "source": "127.0.0.1", "snapshot_ms": 500, "definition_ms": 500}
    raw = {"name": "test", "feed": feed, "ca_file": str(stand_in.authority), **markets, **settings}
    running = RunningBridge(msgspec.convert(raw, BridgeConfig), folder)
    running.thread.start()
    try:
        yield running
    finally:
        running.end()
