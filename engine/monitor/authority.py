"""Who may connect, and what each may do: the list of clients, and libzmq's question about each key (ZAP).

libzmq asks on a socket of its own (rfc.zeromq.org/spec/27) once a client has proven that it has the secret of the key
that it shows. The answer is a name, which comes with every message of that connection; its role is looked up for each
request, so that who is taken off the list, or given another role, has lost it with the next request.
"""

import time
from collections.abc import Sequence
from pathlib import Path

import zmq

from crosswire.engine.errors import ControlError
from crosswire.engine.monitor.bucket import Bucket
from crosswire.engine.monitor.keys import CLIENTS, KnownClient, load_clients

ENDPOINT = "inproc://zeromq.zap.01"  # where libzmq asks
DOMAIN = b"crosswire"
QUESTIONS_MAX = 64  # answered in one go: requests come next
CONNECTS_PER_S = 2.0  # of one client
CONNECTS_BURST = 16
LOOK_S = 1.0  # between two looks at the list's file


class ClientList:
    """The list of clients, read again when its file has changed. What can't be used changes nothing, and is told."""

    def __init__(self, folder: Path) -> None:
        """Read it. ControlError."""
        self.folder = folder
        self.failure = ""  # of the last reading, "": there was none
        self._facts = self._look()
        self._by_key = load_clients(folder)
        self._looked_s = time.monotonic()

    def _look(self) -> tuple[int, int, int]:
        try:
            found = (self.folder / CLIENTS).stat()
        except OSError:
            return 0, 0, 0
        return found.st_ino, found.st_mtime_ns, found.st_size

    def __len__(self) -> int:
        return len(self._by_key)

    def refresh(self) -> None:
        """Look whether the file has changed, now and then."""
        if time.monotonic() - self._looked_s < LOOK_S:
            return
        self._looked_s = time.monotonic()
        facts = self._look()
        if facts == self._facts:
            return
        self._facts = facts
        try:
            self._by_key = load_clients(self.folder)
            self.failure = ""
        except ControlError as error:
            self.failure = str(error)

    def by_key(self, public: bytes) -> KnownClient | None:
        """Find the client with a public key of 32 bytes."""
        return self._by_key.get(public)

    def by_name(self, name: str) -> KnownClient | None:
        """Find a client."""
        return next((each for each in self._by_key.values() if each.name == name), None)


class Authority:
    """Answers libzmq's questions. Only a list that is at hand is looked at, no file."""

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", clients: ClientList) -> None:
        """Open the socket that libzmq asks on; before the one that it asks for is bound."""
        self.clients = clients
        self.unknown_keys = 0
        self.too_often = 0  # connections of clients that connect again and again
        self.socket = context.socket(zmq.ROUTER)
        self.socket.linger = 0
        self.socket.bind(ENDPOINT)
        self._connects: dict[str, Bucket] = {}

    def answer(self) -> None:
        """Answer what is asked."""
        for _ in range(QUESTIONS_MAX):
            try:
                parts = self.socket.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                return
            split = parts.index(b"") if b"" in parts else len(parts)
            route, question = parts[: split + 1], parts[split + 1 :]
            if len(question) >= 2:
                status, text, name = self._judge(question)
                self.socket.send_multipart([*route, b"1.0", question[1], status, text, name, b""], zmq.DONTWAIT)

    def _judge(self, question: Sequence[bytes]) -> tuple[bytes, bytes, bytes]:
        """Judge version, request id, domain, address, identity, mechanism and key; give status, text and name."""
        known = None
        if len(question) == 7 and question[0] == b"1.0" and question[2] == DOMAIN and question[5] == b"CURVE":
            known = self.clients.by_key(question[6])
        if known is None:
            self.unknown_keys += 1
            return b"400", b"not on the list", b""
        if not self._connects.setdefault(known.name, Bucket(CONNECTS_PER_S, CONNECTS_BURST)).take():
            self.too_often += 1
            return b"300", b"too often", b""  # libzmq's client tries again later
        return b"200", b"", known.name.encode()

    def close(self) -> None:
        """Answer no more."""
        self.socket.close()
