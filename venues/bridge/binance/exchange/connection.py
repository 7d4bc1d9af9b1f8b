"""A websocket connection as the venue keeps it: pings, pongs, a life of 24 hours, and a limit on what a client sends.

What is sent waits in a queue of bounded size, in order; a client that does not read loses its connection.
"""

import asyncio
import contextlib
import struct
import time
from collections import deque
from collections.abc import Awaitable, Callable

from aiohttp import WSCloseCode, WSMsgType, web

from crosswire.venues.bridge.binance.exchange.settings import ConnectionConfig

OPCODE_TEXT = 0x81  # FIN and text (RFC 6455 5.2)
LENGTH_16 = 126
FRAME_BYTES_MAX = 1 << 20  # that a client may send
POLICY_VIOLATION = WSCloseCode.POLICY_VIOLATION


class Connection:
    """One client's websocket. `handle` gets what it sends; what it raises ends the connection."""

    def __init__(self, request: web.Request, config: ConnectionConfig, messages_per_s: int) -> None:
        self.request = request
        self.config = config
        self.messages_per_s = messages_per_s
        self.socket = web.WebSocketResponse(
            autoping=False, autoclose=False, compress=False, max_msg_size=FRAME_BYTES_MAX
        )
        self.queue: deque[tuple[bool, bytes]] = deque()
        self.queued_bytes = 0
        self.wake = asyncio.Event()
        self.received_times: deque[float] = deque()
        self.last_pong = time.monotonic()
        self.is_closed = False
        self.answers_pings = True
        self.close_code = int(WSCloseCode.GOING_AWAY)

    def send_text(self, payload: bytes) -> None:
        """Queue a text message."""
        self._queue(False, payload)

    def send_binary(self, payload: bytes) -> None:
        """Queue a binary message."""
        self._queue(True, payload)

    def _queue(self, is_binary: bool, payload: bytes) -> None:
        if self.is_closed:
            return
        self.queue.append((is_binary, payload))
        self.queued_bytes += len(payload)
        if self.queued_bytes > self.config.queue_bytes_max:
            self.abort()
        self.wake.set()

    def close(self, code: int = int(WSCloseCode.GOING_AWAY)) -> None:
        """End with a close frame, after what is queued."""
        self.close_code = code
        self.is_closed = True
        self.wake.set()

    def abort(self) -> None:
        """End without a word, as a cable that is cut."""
        self.is_closed = True
        self.queue.clear()
        self.wake.set()
        if self.request.transport is not None:
            self.request.transport.abort()

    def send_half_frame(self, payload: bytes) -> None:
        """Send the head of a frame and half of its text, and end without a word."""
        transport = self.request.transport
        if transport is not None:
            transport.write(struct.pack("!BBH", OPCODE_TEXT, LENGTH_16, len(payload)) + payload[: len(payload) // 2])
            # What was written goes out before the connection ends.
            asyncio.get_running_loop().call_later(0.05, self.abort)

    async def serve(self, handle: Callable[[bytes], Awaitable[None]]) -> web.WebSocketResponse:
        """Serve until either side ends it."""
        await self.socket.prepare(self.request)
        tasks = [asyncio.create_task(each) for each in (self._write(), self._ping(), self._age())]
        try:
            while not self.is_closed:
                message = await self.socket.receive()
                if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                    if self._is_too_fast():
                        self.close(int(POLICY_VIOLATION))
                        break
                    data = message.data.encode() if message.type == WSMsgType.TEXT else message.data
                    await handle(data)
                elif message.type == WSMsgType.PING:
                    if self.answers_pings:
                        await self.socket.pong(message.data)
                elif message.type == WSMsgType.PONG:
                    self.last_pong = time.monotonic()
                else:
                    break
        except (ConnectionError, RuntimeError):
            pass
        finally:
            self.is_closed = True
            self.wake.set()
            with contextlib.suppress(asyncio.TimeoutError, ConnectionError, RuntimeError):
                await asyncio.wait_for(asyncio.shield(tasks[0]), 1)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return self.socket

    def _is_too_fast(self) -> bool:
        """Count a message; tell whether there were more in the last second than a client may send."""
        now = time.monotonic()
        self.received_times.append(now)
        while self.received_times[0] <= now - 1:
            self.received_times.popleft()
        return len(self.received_times) > self.messages_per_s

    async def _write(self) -> None:
        with contextlib.suppress(ConnectionError, RuntimeError):
            while True:
                while self.queue:
                    is_binary, payload = self.queue.popleft()
                    self.queued_bytes -= len(payload)
                    await self.socket.send_frame(payload, WSMsgType.BINARY if is_binary else WSMsgType.TEXT)
                if self.is_closed:
                    break
                self.wake.clear()
                await self.wake.wait()
            await self.socket.close(code=self.close_code)

    async def _ping(self) -> None:
        with contextlib.suppress(ConnectionError, RuntimeError):
            while True:
                await asyncio.sleep(self.config.ping_s)
                if time.monotonic() - self.last_pong > self.config.pong_s:
                    self.abort()
                    return
                await self.socket.ping(str(time.time_ns() // 1_000_000).encode())

    async def _age(self) -> None:
        await asyncio.sleep(self.config.life_s)
        self.close()
