"""The venue's streams of one market: a connection that is kept, and replaced before the venue ends it.

A connection lives for 24 hours at most, so at 23 another one is opened beside it; both are read until the new one
speaks, and what they tell alike is published once. A connection that ends by itself costs the books at once.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from crosswire.venues.bridge.binance.gateway.back_off import BackOff
from crosswire.venues.bridge.binance.gateway.config import Endpoint
from crosswire.venues.bridge.binance.gateway.limits import Attempts
from crosswire.venues.bridge.binance.gateway.shared import Shared
from crosswire.venues.bridge.binance.gateway.websocket import LIFE_S, OnMessage, Websocket, open_websocket
from crosswire.venues.errors import VenueError

OVERLAP_S = 2.0  # that both connections are read, after the new one has spoken
SILENCE_S_MAX = 15.0  # of a whole connection; the bridge pings an idle one
LOOK_INTERVAL_S = 0.5
# A connection that lived so many times as long as was waited before it, or so long, has the next one tried at once.
# From 3 s on that is within the 240 attempts in five minutes that `Attempts` lets a market's two connections have.
# With 30 s alone, an exchange that ended every ten seconds had its book back 10 to 30 s later.
STEADY_WAITS = 15.0
STEADY_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Subscription:
    """What one connection carries."""

    name: str  # for messages
    endpoint: Endpoint
    path: str
    headers: Mapping[str, str]
    on_message: OnMessage
    on_lost: Callable[[str], None]
    renewal: asyncio.Event  # the venue has said that it will end the connection
    why_stalled: Callable[[], str]  # "" while it is not


class StreamConnection:
    """Keeps one connection up."""

    def __init__(self, shared: Shared, subscription: Subscription, attempts: Attempts) -> None:
        self.shared = shared
        self.log = shared.log
        self.what = subscription
        self.attempts = attempts
        self.current: Websocket | None = None
        self.opened = asyncio.Event()  # while there is one

    async def run(self) -> None:
        """Keep it up until cancelled."""
        back_off, waited_s = BackOff(), 0.0
        try:
            while True:
                connection = await self._open(back_off)
                self.current = connection
                self.opened.set()
                why, age_s = await self._keep(connection)
                self.opened.clear()
                self.log.event(self.what.name, f"connection lost: {why}")
                self.log.count("connections lost")
                self.what.on_lost(why)
                if age_s >= min(STEADY_WAITS * waited_s, STEADY_S):
                    back_off.reset()
                waited_s = back_off.next_s()
                await asyncio.sleep(waited_s)
        finally:
            if self.current is not None:
                self.current.close("the bridge ends")

    async def _open(self, back_off: BackOff) -> Websocket:
        """Open a connection, however often that takes."""
        while True:
            await self.attempts.take()
            try:
                connection = await open_websocket(
                    self.what.endpoint, self.what.path, self.shared.context, self.what.on_message, self.what.headers
                )
            except VenueError as error:
                self.log.event(self.what.name, str(error))
                self.log.count("failed connections")
                await asyncio.sleep(back_off.next_s())
                continue
            self.log.event(self.what.name, f"connected to {self.what.endpoint}")
            return connection

    async def _keep(self, connection: Websocket) -> tuple[str, float]:
        """Follow a connection, and those that take its place, to the end that was not wanted; why, and its age."""
        while True:
            why = await self._until_ended_or_old(connection)
            if why:
                return why, connection.age_s
            self.log.event(self.what.name, "connection is renewed before the venue ends it")
            connection = await self._renew(connection)

    async def _until_ended_or_old(self, connection: Websocket) -> str:
        """Wait for the end; "": it is to be renewed."""
        ended = asyncio.ensure_future(connection.wait_ended())
        try:
            while True:
                done, _ = await asyncio.wait({ended}, timeout=LOOK_INTERVAL_S)
                if done:
                    return ended.result()
                why = f"silent for {SILENCE_S_MAX:g} s" if connection.silent_s > SILENCE_S_MAX else ""
                why = why or self.what.why_stalled()
                if why:
                    connection.close(why)
                elif connection.age_s > LIFE_S or self.what.renewal.is_set():
                    self.what.renewal.clear()
                    return ""
        finally:
            ended.cancel()

    async def _renew(self, old: Websocket) -> Websocket:
        """Open the connection that takes the place of one, and end that one when the new one has spoken."""
        new = await self._open(BackOff())
        spoken_since = new.receiver.received_at
        deadline = time.monotonic() + SILENCE_S_MAX
        while new.receiver.received_at == spoken_since and new.is_open and time.monotonic() < deadline:
            await asyncio.sleep(LOOK_INTERVAL_S)
        await asyncio.sleep(OVERLAP_S)
        self.current = new
        old.close("renewed")
        return new
