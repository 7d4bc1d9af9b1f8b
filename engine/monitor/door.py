"""The door: the one socket that a monitor's clients come to, in front of libzmq's own.

    client ──► door (at most CONNECTIONS_MAX, WAITING_MAX of them not let in yet) ──► ROUTER socket, CURVE, ZAP

libzmq bounds messages and queues, but not connections: it takes all that come, and where no file descriptor is left a
listener on a path ends the process (4.3.5, `ipc_listener.cpp`: "Too many open files", found with 300 connections under
a limit of 100; on TCP it spins). So connections are taken here, and bytes passed on both ways as they are.

A connection waits until the server has answered more than the handshake's first half, which it does only once the key
is on the list. Of those that wait the oldest makes room for a new one, and first of those that have not shown that they
know the server's key: so whoever has a key comes in, however many knock. One that is in stays in.
"""

import selectors
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from crosswire.nic.host.owner import Owner

CONNECTIONS_MAX = 64  # that are in
WAITING_MAX = 256  # that are not yet: of 10,000 a second, as many as come while one gets in
HANDSHAKE_S = 3.0  # to get in
STALLED_S = 10.0  # for a client to take what waits for it
BUFFER_BYTES = 65_536  # of one connection, each way
ACCEPTED_MAX = 64  # in one go: those that are in come next
BACKLOG = 128  # connections that the kernel keeps for us
TICK_S = 0.25
# What the server says before it has looked at the client's key: a greeting of 64 bytes (rfc.zeromq.org/spec/23), and
# WELCOME, 168 bytes in a frame (spec/26), to those who know its own. An ERROR is 12 bytes; READY, which lets in, is
# longer than 32.
GREETED_BYTES = 64 + 170
KNOCKING_BYTES = GREETED_BYTES + 32


class Shut(StrEnum):
    """Why the door ended a connection. Each is counted."""

    WAITED = "waited"  # it did not get in in time: no key, a wrong one, or nothing said
    CROWDED = "crowded"  # it waited longest when one more came
    FULL = "full"  # CONNECTIONS_MAX are in
    FOREIGN = "foreign"  # another user's process, on a path
    SLOW_READER = "slow_reader"  # it does not take what it asked for
    REJECTED = "rejected"  # libzmq ended it: no handshake of its protocol, a wrong key, or a message that is too large
    CLOSED = "closed"  # the client ended it


@dataclass(eq=False)
class Way:
    """One direction of a connection."""

    source: socket.socket
    target: socket.socket
    waiting: bytearray = field(default_factory=bytearray)  # taken from `source`, not yet by `target`
    passed: int = 0  # bytes
    moved_s: float = 0.0  # since when `target` has taken nothing of what waits

    def move(self, now_s: float) -> socket.socket | None:
        """Move what can be moved; give the end that is closed, if one is."""
        end = self.source
        try:
            if len(self.waiting) < BUFFER_BYTES:
                try:
                    content = self.source.recv(BUFFER_BYTES - len(self.waiting))
                except BlockingIOError:
                    pass
                else:
                    if not content:
                        return end
                    if not self.waiting:
                        self.moved_s = now_s
                    self.waiting += content
            if self.waiting:
                end = self.target
                sent = self.target.send(self.waiting)
                del self.waiting[:sent]
                self.passed += sent
                self.moved_s = now_s
        except BlockingIOError:
            pass
        except OSError:
            return end
        return None


@dataclass(eq=False)
class Guest:
    """One connection: the client's end and the server's."""

    inward: Way
    outward: Way
    since_s: float

    @property
    def is_in(self) -> bool:
        """Tell whether the server has let it in."""
        return self.outward.passed > KNOCKING_BYTES

    @property
    def knows_us(self) -> bool:
        """Tell whether the client has shown that it knows the server's key."""
        return self.outward.passed >= GREETED_BYTES

    def ends(self) -> Iterator[tuple[socket.socket, int]]:
        """Give each end with the events that it is to be watched for."""
        for from_here, to_here in ((self.inward, self.outward), (self.outward, self.inward)):
            wanted = selectors.EVENT_READ if len(from_here.waiting) < BUFFER_BYTES else 0
            yield from_here.source, wanted | (selectors.EVENT_WRITE if to_here.waiting else 0)


class Door(Owner):
    """Takes connections from `listener` and joins each with one of its own to `inner`, in a thread."""

    def __init__(self, listener: socket.socket, inner: Path, owner: int) -> None:
        """Make it, shut; `owner`: the user whose processes may come by a path, beside root's."""
        self.listener, self.inner, self.owner = listener, inner, owner
        self.shut: dict[Shut, int] = dict.fromkeys(Shut, 0)
        self.accepted = 0
        self.is_ending = False
        self.failure = ""  # what has ended the door's thread: nobody comes in any more
        self._guests: list[Guest] = []
        self._guest_of: dict[int, Guest] = {}  # by file descriptor, of either end
        self._selector = selectors.DefaultSelector()
        self._waker, self._woken = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="door", daemon=True)
        listener.setblocking(False)
        self._selector.register(listener, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)

    @property
    def connections(self) -> int:
        """How many are in."""
        return sum(guest.is_in for guest in list(self._guests))

    def open(self) -> None:
        """Begin to take connections."""
        self._thread.start()

    def close(self) -> None:
        """End all connections, and take no more."""
        if self.is_ending:
            return
        self.is_ending = True
        self._waker.send(b"x")
        if self._thread.is_alive():
            self._thread.join()
        for guest in list(self._guests):
            self._end(guest, Shut.CLOSED)
        self._selector.close()
        for each in (self.listener, self._waker, self._woken):
            each.close()

    def _run(self) -> None:
        try:
            self._take_and_pass()
        except Exception as error:  # a thread's error would be printed and forgotten: the monitor ends with it
            self.failure = f"{type(error).__name__}: {error}"

    def _take_and_pass(self) -> None:
        while not self.is_ending:
            ready = self._selector.select(TICK_S)
            now_s = time.monotonic()
            for key, _ in ready:
                guest = self._guest_of.get(key.fd)
                if guest is not None:
                    self._serve(guest, now_s)
            if any(key.fileobj is self.listener for key, _ in ready):
                self._accept(now_s)
            self._look_round(now_s)

    def _accept(self, now_s: float) -> None:
        for _ in range(ACCEPTED_MAX):
            try:
                client = self.listener.accept()[0]
            except OSError:  # there is none, or it is gone already
                return
            self.accepted += 1
            if not self._is_own(client):
                self.shut[Shut.FOREIGN] += 1
                client.close()
                continue
            waiting = [guest for guest in self._guests if not guest.is_in]
            if len(self._guests) - len(waiting) >= CONNECTIONS_MAX:
                self.shut[Shut.FULL] += 1
                client.close()
                continue
            if len(waiting) >= WAITING_MAX:
                self._end(next((guest for guest in waiting if not guest.knows_us), waiting[0]), Shut.CROWDED)
            self._join(client, now_s)

    def _is_own(self, client: socket.socket) -> bool:
        """Tell whether a connection by a path is from a process of ours or root's (unix(7), SO_PEERCRED)."""
        if client.family != socket.AF_UNIX:
            return True
        user = struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1]
        return user in (0, self.owner)

    def _join(self, client: socket.socket, now_s: float) -> None:
        try:
            server = socket.socket(socket.AF_UNIX)
        except OSError:  # the host has no file descriptor left
            client.close()
            self.shut[Shut.CROWDED] += 1
            return
        client.setblocking(False)
        server.setblocking(False)
        try:
            server.connect(str(self.inner))
        except OSError:  # it has more to do than it takes: the client tries again
            server.close()
            client.close()
            self.shut[Shut.CROWDED] += 1
            return
        guest = Guest(Way(client, server), Way(server, client), now_s)
        self._guests.append(guest)
        for end, events in guest.ends():
            self._guest_of[end.fileno()] = guest
            self._selector.register(end, events)

    def _serve(self, guest: Guest, now_s: float) -> None:
        closed = guest.outward.move(now_s) or guest.inward.move(now_s)
        if closed is not None:
            self._end(guest, Shut.REJECTED if closed is guest.outward.source else Shut.CLOSED)
            return
        for end, events in guest.ends():
            known = self._selector.get_map().get(end)
            if known is None and events:
                self._selector.register(end, events)
            elif known is not None and not events:
                self._selector.unregister(end)
            elif known is not None and known.events != events:
                self._selector.modify(end, events)

    def _look_round(self, now_s: float) -> None:
        """End what has waited too long, on either side."""
        for guest in list(self._guests):
            if not guest.is_in and now_s - guest.since_s > HANDSHAKE_S:
                self._end(guest, Shut.WAITED)
            elif guest.outward.waiting and now_s - guest.outward.moved_s > STALLED_S:
                self._end(guest, Shut.SLOW_READER)

    def _end(self, guest: Guest, why: Shut) -> None:
        self._guests.remove(guest)
        self.shut[why] += 1
        for end, _ in guest.ends():
            del self._guest_of[end.fileno()]
            if end in self._selector.get_map():
                self._selector.unregister(end)
            end.close()
