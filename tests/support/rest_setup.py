"""A REST interface that answers with whatever a test wants, and what asks it."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import trustme

from crosswire.venues.adapter import VenueSetup
from crosswire.venues.starbase.settings import StarbaseSettings
from tests.support.order_setup import VENUE, make_market

SECRET = "not-to-be-found-anywhere"
SYMBOLS = ["BTC-PERPETUAL", "ETH-PERPETUAL"]
Speak = Callable[[socket.socket, bytes], None]  # of a connection and the request that came


@dataclass
class Speaker:
    """Where something listens, and what it was sent."""

    port: int
    requests: list[bytes] = field(default_factory=list)


def raw(answer: bytes) -> Speak:
    """Send this, whatever was asked."""
    return lambda connection, _request: connection.sendall(answer)


def answer(body: bytes, status: str = "200 OK", header: str = "") -> bytes:
    """An answer with this body."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{header}\r\n"
    return head.encode() + body


def result(value: Any) -> bytes:
    """A good answer."""
    return answer(msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "result": value}))


@contextmanager
def speaking(speak: Speak, context: ssl.SSLContext | None = None, end: bytes = b"\r\n\r\n") -> Iterator[Speaker]:
    """Something listens on loopback, reads a request up to `end` and what is there behind it, and speaks."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        speaker = Speaker(listener.getsockname()[1])

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                try:
                    if context is not None:
                        connection = context.wrap_socket(connection, server_side=True)
                    data = connection.recv(4096)
                    while end not in data and (more := connection.recv(4096)):
                        data += more
                    speaker.requests.append(data)
                    speak(connection, data)
                except OSError:
                    pass
                finally:
                    connection.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield speaker
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def server_context(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    """A server's certificate by this authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


def write_key(folder: Path, name: str = "key.toml", client_id: str = "abc", secret: str = SECRET) -> str:
    """A key's file, by its name in the folder."""
    path = folder / name
    path.write_text(f'client_id = "{client_id}"\nsecret = "{secret}"')
    path.chmod(0o600)
    return name


def make_setup(folder: Path, **settings: Any) -> VenueSetup:
    """A venue of two perpetuals, tick 0.1, lot 0.001, that is asked with the key of `write_key`."""
    return VenueSetup(
        number=VENUE,
        name="starbase",
        folder=folder,
        settings=StarbaseSettings(credentials=write_key(folder), **settings),
        market=make_market(2),
        level_capacity=256,
        flows=(),
    )
