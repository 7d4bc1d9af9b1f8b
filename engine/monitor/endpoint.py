"""Where Prometheus asks: a small HTTP server of its own thread, which gives one page and knows one method.

    GET /metrics ──► the page, made once in PAGE_S at most ──► the connection is closed

Everything is bounded: connections, bytes of a request, the time to ask and the time to take the answer. Whoever comes
while all places are taken, says something else, or takes too long is sent away and counted; so is what could not be
made. The page is read-only, and has no secret in it; but whoever reaches the address reads positions and P&L.
"""

import selectors
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_address

from crosswire.nic.host.owner import Owner

CONNECTIONS_MAX = 16
HEAD_BYTES_MAX = 8192  # of a request
ASK_S = 2.0  # to say what is wanted
TAKE_S = 5.0  # to take the answer
PAGE_S = 0.1  # a page is given again for so long: more questions cost nothing more
TICK_S = 0.25
PATH = "/metrics"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Scrape(StrEnum):
    """What became of a connection. Each is counted."""

    ANSWERED = "answered"
    FAILED = "failed"  # the page could not be made
    MALFORMED = "malformed"  # no request of HTTP, or too long
    NOT_FOUND = "not_found"  # another path
    METHOD = "method"  # not GET
    HOST = "host"  # asked for by a name on loopback: a browser that was led here (DNS rebinding)
    CROWDED = "crowded"  # all places were taken
    SLOW = "slow"  # it took too long to ask, or to take its answer
    CLOSED = "closed"  # it went before it was answered


STATUS = {
    Scrape.ANSWERED: "200 OK",
    Scrape.FAILED: "500 Internal Server Error",
    Scrape.MALFORMED: "400 Bad Request",
    Scrape.NOT_FOUND: "404 Not Found",
    Scrape.METHOD: "405 Method Not Allowed",
    Scrape.HOST: "421 Misdirected Request",
}


@dataclass(eq=False)
class Caller:
    """One connection: what it has said, and what it is still to take."""

    socket: socket.socket
    until_s: float
    head: bytearray = field(default_factory=bytearray)
    left: bytes = b""
    outcome: Scrape = Scrape.CLOSED


class Endpoint(Owner):
    """Serves `page` at a bound socket, in a thread."""

    def __init__(self, listener: socket.socket, page: Callable[[], bytes]) -> None:
        """Take over the socket; nothing is served before `open`."""
        self.listener, self._make_page = listener, page
        self.counts: dict[Scrape, int] = dict.fromkeys(Scrape, 0)
        self.page_longest_s = 0.0  # to make one
        self.failure = ""  # what has ended the thread: nobody is answered any more
        self._page, self._page_s = b"", float("-inf")
        self._on_loopback = ip_address(listener.getsockname()[0]).is_loopback
        self._is_ending = False
        self._callers: list[Caller] = []
        self._selector = selectors.DefaultSelector()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
        listener.setblocking(False)
        self._selector.register(listener, selectors.EVENT_READ)

    def open(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def close(self) -> None:
        """End all connections, and take no more."""
        if self._is_ending:
            return
        self._is_ending = True
        if self._thread.is_alive():
            self._thread.join()
        for caller in list(self._callers):
            self._end(caller, Scrape.CLOSED)
        self._selector.close()
        self.listener.close()

    def _run(self) -> None:
        try:
            while not self._is_ending:
                ready = self._selector.select(TICK_S)
                for key, _ in ready:
                    if key.data is not None:
                        self._serve(key.data)
                if any(key.data is None for key, _ in ready):
                    self._accept()
                now_s = time.monotonic()
                for caller in [each for each in self._callers if now_s > each.until_s]:
                    self._end(caller, Scrape.SLOW)
        except Exception as error:  # a thread's error would be printed and forgotten: the monitor ends with it
            self.failure = f"{type(error).__name__}: {error}"

    def _accept(self) -> None:
        for _ in range(CONNECTIONS_MAX):
            try:
                client = self.listener.accept()[0]
            except OSError:  # there is none, it is gone already, or no file descriptor is left for it
                return
            if len(self._callers) >= CONNECTIONS_MAX:
                self.counts[Scrape.CROWDED] += 1
                client.close()
                continue
            client.setblocking(False)
            caller = Caller(client, time.monotonic() + ASK_S)
            self._callers.append(caller)
            self._selector.register(client, selectors.EVENT_READ, caller)

    def _serve(self, caller: Caller) -> None:
        try:
            if caller.left:
                caller.left = caller.left[caller.socket.send(caller.left) :]
                if not caller.left:
                    self._end(caller, caller.outcome)
                return
            content = caller.socket.recv(HEAD_BYTES_MAX)
        except BlockingIOError:
            return
        except OSError:
            self._end(caller, Scrape.CLOSED)
            return
        if not content:
            self._end(caller, Scrape.CLOSED)
            return
        caller.head += content
        if b"\r\n\r\n" in caller.head or len(caller.head) > HEAD_BYTES_MAX:
            caller.outcome, body = self._answer(bytes(caller.head))
            caller.left = response(caller.outcome, body)
            caller.until_s = time.monotonic() + TAKE_S
            self._selector.modify(caller.socket, selectors.EVENT_WRITE, caller)

    def _answer(self, head: bytes) -> tuple[Scrape, bytes]:
        """Judge a request; give what becomes of it, and what it is told."""
        asked = outcome_of(head, self._on_loopback)
        if asked is not Scrape.ANSWERED:
            return asked, f"{asked}: this is GET {PATH}, by an address\n".encode()
        try:
            return asked, self.page()
        except Exception as error:  # what is half-written can read as anything: the next one may come out
            return Scrape.FAILED, f"the run could not be read: {type(error).__name__}\n".encode()

    def page(self) -> bytes:
        """Give the page, made anew if it is older than PAGE_S."""
        begun_s = time.monotonic()
        if begun_s - self._page_s >= PAGE_S:
            self._page = self._make_page()
            self._page_s = time.monotonic()
            self.page_longest_s = max(self.page_longest_s, self._page_s - begun_s)
        return self._page

    def _end(self, caller: Caller, outcome: Scrape) -> None:
        self._callers.remove(caller)
        self.counts[outcome] += 1
        self._selector.unregister(caller.socket)
        caller.socket.close()


def outcome_of(head: bytes, on_loopback: bool) -> Scrape:
    """Judge the head of a request: what is to become of it."""
    lines = head.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if b"\r\n\r\n" not in head or len(words) != 3 or not words[2].startswith("HTTP/1."):
        return Scrape.MALFORMED
    if words[0] != "GET":
        return Scrape.METHOD
    hosts = [value.strip() for name, _, value in (line.partition(":") for line in lines[1:]) if name.lower() == "host"]
    if on_loopback and any(not is_own(host) for host in hosts):
        return Scrape.HOST
    return Scrape.ANSWERED if words[1].partition("?")[0] == PATH else Scrape.NOT_FOUND


def is_own(host: str) -> bool:
    """Tell whether a `Host` is an address or localhost: a page of the net can lead a browser here by its own name."""
    name = host.rpartition(":")[0] or host
    if name == "localhost":
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def response(outcome: Scrape, body: bytes) -> bytes:
    """Write a whole answer."""
    kind = CONTENT_TYPE if outcome is Scrape.ANSWERED else "text/plain; charset=utf-8"
    head = (
        f"HTTP/1.1 {STATUS[outcome]}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
