"""One websocket connection to the venue, over TLS that is always verified.

Messages are handed on where they are received, one after the other, and nothing is queued: who is slow reads slower,
the venue's and the kernel's buffers fill, and the venue ends the connection. So memory never grows, and what is lost
is lost with the connection.
"""

import asyncio
import logging
import ssl
import time
from collections.abc import Callable, Mapping

from picows import WSCloseCode, WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from crosswire.venues.bridge.binance.gateway.config import Endpoint
from crosswire.venues.bridge.binance.gateway.log import plain
from crosswire.venues.errors import VenueError

CONNECT_S_MAX = 10.0
LIFE_S = 23 * 3_600.0  # the venue ends a connection after 24 hours (all three markets)
PING_IDLE_S = 3.0  # an idle connection is pinged, and given up without an answer; the venue allows 5 messages a second
PING_REPLY_S = 3.0
MESSAGE_BYTES_MAX = 4 << 20  # the largest the venue sends is some 100 kB
TEXT, BINARY, CONTINUATION, CLOSE = WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION, WSMsgType.CLOSE

# What picows itself says, paths and headers perhaps among it, goes nowhere: what matters is said by us.
SILENT = logging.getLogger("crosswire.picows")
SILENT.addHandler(logging.NullHandler())
SILENT.propagate = False

OnMessage = Callable[[memoryview, bool], None]  # (payload, it is binary); valid during the call alone


class Receiver(WSListener):
    """Takes frames, and puts together messages that come in several."""

    def __init__(self, on_message: OnMessage) -> None:
        self.on_message = on_message
        self.parts = bytearray()
        self.is_binary = False
        self.is_open = False  # a message of several frames has begun
        self.received_at = time.monotonic()  # of the last frame of any kind
        self.why = ""  # it ended, if we know
        self.error: Exception | None = None  # what `on_message` raised
        self.ended = asyncio.Event()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Take one frame."""
        self.received_at = time.monotonic()
        kind = frame.msg_type
        if kind == TEXT or kind == BINARY:
            if self.is_open:
                self.fail(transport, "a message began within another")
            elif frame.fin:
                self._hand_on(transport, frame.get_payload_as_memoryview(), kind == BINARY)
            else:
                self.is_open, self.is_binary = True, kind == BINARY
                self.parts[:] = frame.get_payload_as_memoryview()
        elif kind == CONTINUATION:
            self._continue(transport, frame)
        elif kind == CLOSE:
            self.why = (
                self.why or f"closed by the venue: {frame.get_close_code()} {plain(str(frame.get_close_reason()))}"
            )
            transport.send_close(WSCloseCode.OK)
            transport.disconnect()

    def _continue(self, transport: WSTransport, frame: WSFrame) -> None:
        if not self.is_open:
            self.fail(transport, "a message goes on that never began")
        elif len(self.parts) + frame.payload_size > MESSAGE_BYTES_MAX:
            self.fail(transport, f"a message of more than {MESSAGE_BYTES_MAX >> 20} MB")
        else:
            self.parts += frame.get_payload_as_memoryview()
            if frame.fin:
                self.is_open = False
                self._hand_on(transport, memoryview(bytes(self.parts)), self.is_binary)

    def _hand_on(self, transport: WSTransport, payload: memoryview, is_binary: bool) -> None:
        try:
            self.on_message(payload, is_binary)
        except Exception as error:  # what our own code raises is for who waits for this connection
            self.error = error
            self.fail(transport, "our own code failed")

    def fail(self, transport: WSTransport, why: str) -> None:
        """End the connection for a reason of ours."""
        self.why = self.why or why
        transport.disconnect(graceful=False)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Note the end."""
        self.why = self.why or "lost"
        self.ended.set()


class Websocket:
    """One open connection."""

    def __init__(self, transport: WSTransport, receiver: Receiver) -> None:
        self.transport = transport
        self.receiver = receiver
        self.opened_at = time.monotonic()

    @property
    def silent_s(self) -> float:
        """How long nothing has come, pings included."""
        return time.monotonic() - self.receiver.received_at

    @property
    def age_s(self) -> float:
        """How long it has been open."""
        return time.monotonic() - self.opened_at

    @property
    def is_open(self) -> bool:
        """Tell whether it can be sent on."""
        return not self.receiver.ended.is_set()

    def send(self, text: bytes) -> None:
        """Send one text message. VenueError: the connection has ended."""
        if not self.is_open:
            raise VenueError(f"connection: {self.receiver.why}")
        self.transport.send(TEXT, text)

    async def wait_ended(self) -> str:
        """Wait for the end; why it came. What `on_message` raised is raised here."""
        await self.receiver.ended.wait()
        if self.receiver.error is not None:
            raise self.receiver.error
        return self.receiver.why

    async def follow(self, why_close: Callable[[], str], interval_s: float) -> str:
        """Wait for the end as `wait_ended` does, and close once `why_close`, asked again and again, says why."""
        ended = asyncio.ensure_future(self.wait_ended())
        try:
            while not ended.done():
                await asyncio.wait([ended], timeout=interval_s)
                if why := why_close():
                    self.close(why)
            return ended.result()
        finally:
            ended.cancel()

    def close(self, why: str) -> None:
        """End it."""
        self.receiver.why = self.receiver.why or why
        if self.is_open:
            self.transport.send_close(WSCloseCode.OK)
            self.transport.disconnect(graceful=False)


async def open_websocket(
    endpoint: Endpoint,
    path: str,
    context: ssl.SSLContext,
    on_message: OnMessage,
    headers: Mapping[str, str] | None = None,
) -> Websocket:
    """Connect. VenueError, one line without path or headers, which may hold a key."""
    try:
        async with asyncio.timeout(CONNECT_S_MAX):
            transport, receiver = await ws_connect(
                lambda: Receiver(on_message),
                f"wss://{endpoint}{path}",
                ssl_context=context,
                logger_name=SILENT,
                websocket_handshake_timeout=CONNECT_S_MAX,
                max_frame_size=MESSAGE_BYTES_MAX,
                max_redirects=0,  # a key must not follow one
                enable_auto_ping=True,
                auto_ping_idle_timeout=PING_IDLE_S,
                auto_ping_reply_timeout=PING_REPLY_S,
                extra_headers=dict(headers or {}),
            )
    except TimeoutError:
        raise VenueError(f"{endpoint}: no websocket within {CONNECT_S_MAX:g} s") from None
    except ssl.SSLError as error:
        raise VenueError(f"{endpoint}: TLS: {plain(error.reason or str(error))}") from None
    except WSError as error:
        status = getattr(getattr(error, "response", None), "status", None)
        what = f"status {status}" if status else type(error).__name__
        raise VenueError(f"{endpoint}: refuses the websocket: {what}") from None
    except OSError as error:
        raise VenueError(f"{endpoint}: {plain(error.strerror or str(error))}") from None
    assert isinstance(receiver, Receiver)
    return Websocket(transport, receiver)
