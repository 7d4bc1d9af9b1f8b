"""An engine's end of the bridge's order session, in plain Python: what it sends, and all that it is told."""

import asyncio
import ctypes
import struct
from typing import Any, Self

from crosswire.nic.memory.struct import Struct
from crosswire.venues.bridge.orders.stream import length_of, write_header
from crosswire.venues.bridge.wire import order_layout as messages

HEADER = struct.Struct("<HHHHQQ")
KINDS = {message.template_id: message.root for message in messages.MESSAGES}


class EngineEnd:
    """One connection. `told` holds every message but heartbeats and limits; numbers are checked as they come."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.told: list[Any] = []
        self.limit: Any = None  # told last
        self._reader = reader
        self._writer = writer
        self._sent = 0
        self._received = 0

    @classmethod
    async def connect(cls, port: int) -> Self:
        """Connect to a gateway on loopback."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    def send(self, template: int, **values: int) -> None:
        """Send one message."""
        self.send_bytes(self.message(template, **values))

    def message(self, template: int, **values: int) -> bytes:
        """Make one message, numbered."""
        message = KINDS[template]()
        write_header(message.header, template, length_of(template))
        self._sent += 1
        message.header.stamp.sequence = self._sent
        for name, value in values.items():
            setattr(message, name, value)
        return bytes(message)

    def send_bytes(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._writer.write(data)

    async def log_on(self, heartbeat_interval_ms: int = 1_000) -> None:
        """Log on, and wait for the answer."""
        self.send(messages.Template.LOGON, session_id=9, heartbeat_interval_ms=heartbeat_interval_ms)
        await self.wait(messages.LogonAck)

    async def wait(self, kind: type[Struct], seconds: float = 5.0) -> Any:
        """Read until a message of this kind comes, and return it; TimeoutError, EOFError."""
        async with asyncio.timeout(seconds):
            while True:
                message = await self._next()
                if isinstance(message, kind):
                    return message

    async def wait_closed(self, seconds: float = 5.0) -> None:
        """Read to the end of the connection."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    await self._next()
        except EOFError:
            pass

    async def _next(self) -> Any:
        try:
            head = await self._reader.readexactly(HEADER.size)
            length, template, _version, _reserved, sequence, _time = HEADER.unpack(head)
            body = await self._reader.readexactly(length - HEADER.size)
        except (asyncio.IncompleteReadError, ConnectionError):
            raise EOFError from None
        self._received += 1
        assert sequence == self._received
        message = KINDS[template]()
        ctypes.memmove(message.address, head + body, length)
        if template == messages.Template.ORDER_LIMIT:
            self.limit = message
        elif template != messages.Template.HEARTBEAT:
            self.told.append(message)
        return message

    def close(self) -> None:
        """End the connection."""
        self._writer.close()
