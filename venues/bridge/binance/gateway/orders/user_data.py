"""USD-M's user data stream: a connection of its own, opened by a listen key that is kept alive.

Source: developers.binance.com, USDⓈ-M futures, "User Data Streams": a key is good for 60 minutes, and a keep-alive is
due every half hour at the latest; `listenKeyExpired` ends it. These streams are under /private since 2026-04-23
("Important WebSocket Change Notice").
"""

import asyncio
from collections.abc import Callable

import msgspec

from crosswire.venues.bridge.binance.gateway.back_off import BackOff
from crosswire.venues.bridge.binance.gateway.orders.api import OrderApi
from crosswire.venues.bridge.binance.gateway.shared import Shared
from crosswire.venues.bridge.binance.gateway.websocket import LIFE_S, Websocket, open_websocket
from crosswire.venues.errors import VenueError

KEEP_ALIVE_S = 25 * 60.0
POLL_S = 0.25  # between two looks whether the order interface is there, or the connection has ended


class ListenKey(msgspec.Struct, rename="camel"):
    """The answer to `userDataStream.start`."""

    listen_key: str


class UserDataStream:
    """One market's. `is_open` while it is listened to."""

    def __init__(
        self, shared: Shared, api: OrderApi, on_connected: Callable[[], None], on_event: Callable[[bytes], None]
    ) -> None:
        self.is_open = False
        self._shared = shared
        self._api = api
        self._on_connected = on_connected
        self._on_event = on_event
        self._where = f"{api.market.name.lower()} user data"

    async def run(self) -> None:
        """Keep a connection until cancelled."""
        back_off = BackOff()
        while True:
            socket: Websocket | None = None
            try:
                while not self._api.is_ready:
                    await asyncio.sleep(POLL_S)
                socket = await self._open()
                back_off.reset()
                self.is_open = True
                self._shared.log.event(self._where, "connected")
                self._on_connected()
                await self._keep(socket)
            except VenueError as error:
                wait_s = back_off.next_s()
                self._shared.log.event(self._where, f"{error}; connecting again in {wait_s:.1f} s")
                self._shared.log.count("user data connections lost")
            finally:
                self.is_open = False
                if socket is not None:
                    socket.close("the gateway ends it")
            await asyncio.sleep(wait_s)

    async def _open(self) -> Websocket:
        answer = await self._api.call_by_key("userDataStream.start", {})
        try:
            key = msgspec.json.decode(answer, type=ListenKey).listen_key
        except msgspec.MsgspecError:
            raise VenueError("the answer to userDataStream.start has no listen key") from None
        endpoint = self._shared.config.endpoint(self._api.market, "stream")
        return await open_websocket(endpoint, f"/private/ws/{key}", self._shared.context, self._take)

    def _take(self, payload: memoryview, _is_binary: bool) -> None:
        self._on_event(bytes(payload))

    async def _keep(self, socket: Websocket) -> None:
        """Keep the key alive until the connection ends. VenueError: it has, or the key could not be."""
        while True:
            try:
                async with asyncio.timeout(KEEP_ALIVE_S):
                    why = await socket.follow(lambda: "it is a day old" if socket.age_s > LIFE_S else "", POLL_S)
            except TimeoutError:
                await self._api.call_by_key("userDataStream.ping", {})
            else:
                raise VenueError(f"connection: {why}")
