"""The one client of the monitor: for the command line, the screen, the web page, and whoever writes a script.

    with Client(address, key) as client:
        for status in client.follow(1.0):
            print(status.state, status.fills)

Requests wait for their answer. A `Client` may be used from several threads, one request at a time. It connects by
itself, and again after the monitor was away; what was asked meanwhile is not asked again, since nobody knows whether it
was done: that is the caller's to decide.
"""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

import msgspec
import zmq

from crosswire.engine.errors import ControlError
from crosswire.engine.monitor import messages as m
from crosswire.engine.monitor.keys import ClientKey
from crosswire.nic.host.owner import Owner

TIMEOUT_S = 5.0  # of a request: more than the loop is given to answer a command
HEARTBEAT_MS = 1000

Wanted = TypeVar("Wanted", bound=m.Answer)


class RefusedError(ControlError):
    """The monitor refused, and said why in one sentence."""

    def __init__(self, reason: m.Reason, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class NoAnswerError(ControlError):
    """Nobody answered in time: there is no monitor, or not with the key that was expected, or it refuses ours."""


class Client(Owner):
    """A connection to a monitor. `timeout_s`: how long a request waits, None: TIMEOUT_S."""

    def __init__(self, address: str, key: ClientKey, timeout_s: float | None = None) -> None:
        self.address, self.key = address, key
        self.timeout_s = TIMEOUT_S if timeout_s is None else timeout_s
        self.welcome: m.Welcome | None = None  # of the session; None: there is none
        self._number = 0
        self._lock = threading.RLock()
        self._context = zmq.Context()
        self._socket: zmq.Socket[bytes] | None = None

    def close(self) -> None:
        """Close the connection; a closed client can't be used again."""
        with self._lock:
            self._disconnect()
            self._context.term()

    # ------------------------------------------------------------ what can be asked

    def status(self) -> m.Status:
        """Ask for the run at a glance."""
        return self.ask(m.GetStatus(), m.Status)

    def positions(self) -> m.Positions:
        """Ask for what is held, and what it has earned."""
        return self.ask(m.GetPositions(), m.Positions)

    def orders(self) -> m.Orders:
        """Ask for the open orders."""
        return self.ask(m.GetOrders(), m.Orders)

    def books(self, instruments: Sequence[str] = (), depth: int = 1) -> m.Books:
        """Ask for books: of these instruments, as venue/SYMBOL, or of all; `depth` levels a side."""
        return self.ask(m.GetBooks(instruments=list(instruments), depth=depth), m.Books)

    def limits(self) -> m.Limits:
        """Ask for the limits, and what of them is used."""
        return self.ask(m.GetLimits(), m.Limits)

    def parameters(self) -> m.Parameters:
        """Ask for what `set` may change."""
        return self.ask(m.GetParameters(), m.Parameters)

    def latencies(self) -> m.Latencies:
        """Ask for the latencies by stage."""
        return self.ask(m.GetLatencies(), m.Latencies)

    def sessions(self) -> m.Sessions:
        """Ask for the order sessions and feeds."""
        return self.ask(m.GetSessions(), m.Sessions)

    def log(self, count: int = 20) -> m.Log:
        """Ask for the last commands."""
        return self.ask(m.GetLog(count=count), m.Log)

    def pause(self) -> m.Done:
        """Have nothing be sent but cancels."""
        return self.ask(m.Pause(), m.Done)

    def reduce_only(self) -> m.Done:
        """Have nothing be sent but what makes a position smaller."""
        return self.ask(m.ReduceOnly(), m.Done)

    def cancel_all(self, venue: str = "", instrument: str = "", strategy: str = "") -> m.Done:
        """Cancel what is open: all of it, or a venue's, an instrument's (venue/SYMBOL), a strategy's."""
        return self.ask(m.CancelAll(venue=venue, instrument=instrument, strategy=strategy), m.Done)

    def kill(self) -> m.Done:
        """End the run at once."""
        return self.ask(m.Kill(), m.Done)

    def resume(self) -> m.ToConfirm:
        """Ask to trade again; to be confirmed."""
        return self.ask(m.Resume(), m.ToConfirm)

    def flatten(self) -> m.ToConfirm:
        """Ask to close all positions; to be confirmed."""
        return self.ask(m.Flatten(), m.ToConfirm)

    def set(self, values: Mapping[str, str]) -> m.ToConfirm | m.Done:
        """Ask to change parameters, all or none; to be confirmed unless that only tightens limits."""
        answer = self.request(m.Set(values=dict(values)))
        return answer if isinstance(answer, m.Done) else self._need(answer, m.ToConfirm)

    def confirm(self, asked: m.ToConfirm) -> m.Done:
        """Have done what a ToConfirm told."""
        return self.ask(m.Confirm(token=asked.token), m.Done)

    def follow(self, interval_s: float = 1.0) -> Iterator[m.Status | ControlError]:
        """Give the status now and every `interval_s`; while it can't be had, the error that says why instead."""
        while True:
            begun = time.monotonic()
            try:
                yield self.status()
            except ControlError as error:
                yield error
            time.sleep(max(0.0, begun + interval_s - time.monotonic()))

    # ------------------------------------------------------------ how it is asked

    def ask(self, request: m.Request, wanted: type[Wanted]) -> Wanted:
        """Ask, and give the answer that is wanted. RefusedError, NoAnswerError."""
        return self._need(self.request(request), wanted)

    def request(self, request: m.Request) -> m.AnyAnswer:
        """Ask for anything, and give any answer but a refusal. RefusedError, NoAnswerError."""
        with self._lock:
            answer = self._request_once(request)
            if isinstance(answer, m.Refusal) and answer.reason == m.Reason.SESSION:
                # The monitor was started again. It has not looked at the request, so nothing is done twice.
                self._disconnect()
                answer = self._request_once(request)
        if isinstance(answer, m.Refusal):
            raise RefusedError(answer.reason, answer.text)
        return answer

    def _request_once(self, request: m.Request) -> m.AnyAnswer:
        if self.welcome is None:
            self._disconnect()
            answer = self._exchange(m.Hello())
            if not isinstance(answer, m.Welcome):
                return answer
            self.welcome = answer
        return self._exchange(request)

    def _need(self, answer: m.AnyAnswer, wanted: type[Wanted]) -> Wanted:
        if not isinstance(answer, wanted):
            raise ControlError(f"{self.address}: answered {type(answer).__name__} instead of {wanted.__name__}")
        return answer

    def _exchange(self, request: m.Request) -> m.AnyAnswer:
        """Send one request and wait for its reply; with none in time the connection is given up."""
        socket = self._connect()
        self._number += 1
        session = b"" if self.welcome is None else self.welcome.session
        now_ns = time.time_ns()
        envelope = m.Envelope(version=m.VERSION, session=session, number=self._number, sent_ns=now_ns, request=request)
        deadline = time.monotonic() + self.timeout_s
        try:
            socket.send(m.encode(envelope), zmq.DONTWAIT)
            while socket.poll(max(0, int((deadline - time.monotonic()) * 1000))):
                reply = self._read(socket)
                # An earlier request's reply may come late; one without a number is about what was sent last.
                if reply.number in (0, self._number):
                    return reply.answer
        except zmq.ZMQError as error:
            self._disconnect()
            raise NoAnswerError(f"{self.address}: {error}") from None
        except BaseException:
            self._disconnect()
            raise
        self._disconnect()
        raise NoAnswerError(self._silence(request))

    def _read(self, socket: "zmq.Socket[bytes]") -> m.Reply:
        try:
            reply = m.decode_reply(socket.recv(zmq.DONTWAIT))
        except msgspec.DecodeError as error:
            raise ControlError(
                f"{self.address}: its answer can't be read, is it of another version? ({error})"
            ) from None
        if reply.version != m.VERSION:
            raise ControlError(f"{self.address}: speaks version {reply.version} of the protocol, this is {m.VERSION}")
        return reply

    def _silence(self, request: m.Request) -> str:
        if isinstance(request, m.Hello):
            return (
                f"{self.address}: no answer in {self.timeout_s:g} s: is crosswire monitor running there, has it the"
                f" server key {self.key.server_place}, and is client {self.key.name} on its list?"
            )
        return (
            f"{self.address}: no answer in {self.timeout_s:g} s to {m.tag_of(request)}; whether it was done"
            " crosswire control log tells"
        )

    def _connect(self) -> "zmq.Socket[bytes]":
        if self._socket is None:
            socket = self._context.socket(zmq.DEALER)
            socket.linger = 0
            socket.setsockopt(zmq.SNDHWM, 16)
            socket.setsockopt(zmq.RCVHWM, 16)
            socket.setsockopt(zmq.MAXMSGSIZE, m.REPLY_BYTES_MAX)
            socket.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
            socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 5 * HEARTBEAT_MS)
            socket.curve_publickey = self.key.public
            socket.curve_secretkey = self.key.secret
            socket.curve_serverkey = self.key.server
            socket.connect(self.address)
            self._socket = socket
        return self._socket

    def _disconnect(self) -> None:
        self.welcome = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None
