"""The monitor's server: requests in, answers out, one at a time, on a ROUTER socket with CURVE behind the door.

Everything is bounded: connections (`door`), bytes of a request, requests of one client in a second (`admission`),
replies that wait for a client that does not read (REPLIES_MAX; what comes then is dropped and counted). libzmq takes
messages from its connections in turn, so one that floods gets no more of the server than another.
"""

import os
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import zmq
from zmq.utils.monitor import parse_monitor_message

from crosswire.engine.errors import ControlError
from crosswire.engine.monitor import messages as m
from crosswire.engine.monitor.admission import NOBODY, Admission, Admitted, RefusedRequestError
from crosswire.engine.monitor.authority import DOMAIN, Authority, ClientList
from crosswire.engine.monitor.command_log import DONE, TO_CONFIRM, CommandLog
from crosswire.engine.monitor.confirmation import VALID_S, Confirmations
from crosswire.engine.monitor.door import HANDSHAKE_S, Door, Shut
from crosswire.engine.monitor.keys import ServerKey
from crosswire.engine.monitor.obey import Obeying
from crosswire.engine.monitor.snapshot import Snapshot
from crosswire.engine.monitor.watch import Watch
from crosswire.nic.host.owner import Owner
from crosswire.nic.warning import DataWarning

REQUESTS_MAX = 32  # answered in one go: keys and runs are looked at in between
REQUESTS_WAITING_MAX = 16  # of one connection
REPLIES_MAX = 16  # that wait for one connection
FRAME_BYTES_MAX = 4 * m.REQUEST_BYTES_MAX  # beyond, the connection is ended; below, the request is refused
HEARTBEAT_MS = 5_000
EVENTS = zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_AUTH
POST_S = 1.0  # for the loop to answer a command: it looks at its mailbox every millisecond
POST_AGAIN_S = 0.05  # once it has not: a loop that stands still is not to cost other clients their answers


class Server(Owner):
    """Serves one name's runs."""

    def __init__(
        self,
        listener: socket.socket,
        inner: tuple[socket.socket, Path],
        key: ServerKey,
        clients: ClientList,
        log: CommandLog,
        watch: Watch,
    ) -> None:
        """Take over the sockets: `listener` is what clients come to, `inner` what the door joins them with."""
        self.clients, self.log, self.watch = clients, log, watch
        self.admission, self.confirmations = Admission(clients), Confirmations()
        self.refused = dict.fromkeys(m.Reason, 0)
        self.answered = 0
        self.replies_dropped = 0  # for a client that does not read
        self._patience_s = POST_S
        self.bad_handshakes = 0  # of libzmq's: a wrong key, or no protocol of its
        with ExitStack() as closing:
            self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
            closing.callback(self._context.destroy, linger=0)
            self.authority = Authority(self._context, clients)
            self._router = self._open(key, *inner)
            self._events = self._router.get_monitor_socket(EVENTS)
            self.door = closing.enter_context(Door(listener, inner[1], os.geteuid()))
            self._poller = zmq.Poller()
            for each in (self._router, self.authority.socket, self._events):
                self._poller.register(each, zmq.POLLIN)
            self._closing = closing.pop_all()
        self.door.open()

    def _open(self, key: ServerKey, bound: socket.socket, path: Path) -> "zmq.Socket[bytes]":
        router: zmq.Socket[bytes] = self._context.socket(zmq.ROUTER)
        router.linger = 0
        for option, value in (
            (zmq.CURVE_SERVER, 1),
            (zmq.ZAP_ENFORCE_DOMAIN, 1),
            (zmq.ROUTER_MANDATORY, 1),
            (zmq.MAXMSGSIZE, FRAME_BYTES_MAX),
            (zmq.RCVHWM, REQUESTS_WAITING_MAX),
            (zmq.SNDHWM, REPLIES_MAX),
            (zmq.HANDSHAKE_IVL, int(HANDSHAKE_S * 1000)),
            (zmq.HEARTBEAT_IVL, HEARTBEAT_MS),
            (zmq.HEARTBEAT_TIMEOUT, 3 * HEARTBEAT_MS),
            (zmq.USE_FD, bound.detach()),  # bound before the process was confined
        ):
            router.setsockopt(option, value)
        router.setsockopt(zmq.ZAP_DOMAIN, DOMAIN)
        router.curve_publickey, router.curve_secretkey = key.public, key.secret
        router.bind(f"ipc://{path}")
        return router

    def close(self) -> None:
        """End all connections."""
        self._closing.close()

    def serve(self, is_over: Callable[[], bool], tick_s: float = 0.2) -> None:
        """Answer until it is over."""
        while not is_over():
            self.serve_once(tick_s)

    def serve_once(self, patience_s: float) -> None:
        """Answer what there is, or wait a while for something. ControlError: nobody can come in any more."""
        self._poller.poll(int(patience_s * 1000))
        if self.door.failure:
            raise ControlError(f"the door has failed ({self.door.failure}): start the monitor again; the run goes on")
        self.authority.answer()
        self._count_handshakes()
        self.clients.refresh()
        self.watch.look()
        for _ in range(REQUESTS_MAX):
            try:
                parts = self._router.recv_multipart(zmq.DONTWAIT, copy=False)
            except zmq.Again:
                return
            self._take(parts)

    def _count_handshakes(self) -> None:
        while self._events.poll(0):
            parse_monitor_message(self._events.recv_multipart(zmq.DONTWAIT))
            self.bad_handshakes += 1

    def _take(self, parts: list[zmq.Frame]) -> None:
        """Answer one message."""
        route, content = parts[0].bytes, parts[-1].bytes
        try:
            client = str(parts[-1].get("User-Id"))
        except zmq.ZMQError:
            client = NOBODY
        number = 0
        try:
            if len(parts) != 2:
                raise RefusedRequestError(m.Reason.MALFORMED, "a request is one message of one part")
            admitted = self.admission.admit(client, route, content, time.time_ns())
            number = admitted.number
            answer = self._answer(admitted, route)
        except RefusedRequestError as error:
            number = number or error.number
            answer = m.Refusal(error.reason, str(error))
            self._note_refused(client, None, answer)
        self._reply(route, number, answer)

    def _reply(self, route: bytes, number: int, answer: m.AnyAnswer) -> None:
        content = m.encode(m.Reply(version=m.VERSION, number=number, answer=answer))
        if len(content) > m.REPLY_BYTES_MAX:
            refusal = m.Refusal(m.Reason.FAILED, "the answer is too long: ask for less")
            content = m.encode(m.Reply(version=m.VERSION, number=number, answer=refusal))
        for _ in range(2):
            try:
                self._router.send_multipart([route, content], zmq.DONTWAIT)
            except zmq.Again:
                # What the other end has taken meanwhile is heard of here at once, in a send only now and then (libzmq
                # 4.3.5, max_command_delay): without it answers to a quick client were dropped.
                self._router.getsockopt(zmq.EVENTS)
            except zmq.ZMQError:  # it is gone
                break
            else:
                self.answered += 1
                return
        self.replies_dropped += 1

    # ------------------------------------------------------------ one request

    def _answer(self, admitted: Admitted, route: bytes) -> m.AnyAnswer:
        """Answer a request that is admitted; what is refused here was asked by somebody known, for something known."""
        client, request = admitted.client, admitted.request
        try:
            match request:
                case m.Hello():
                    token = self.admission.begin(client.name, route)
                    return m.Welcome(token, client.name, client.role, time.time_ns(), self.watch.name)
                case m.GetLog(count=count):
                    if not 1 <= count <= m.LOG_LINES_MAX:
                        raise RefusedRequestError(m.Reason.VALUE, f"count = {count}: must be 1 to {m.LOG_LINES_MAX}")
                    return m.Log(self.log.last(count))
                case m.Confirm() | m.Pause() | m.ReduceOnly() | m.CancelAll() | m.Kill() | m.Resume() | m.Flatten():
                    return self._command(client.name, client.role, request)
                case m.Set():
                    return self._command(client.name, client.role, request)
                case _:
                    return self._obeying(needs_life=False).answer(request, self._status)
        except RefusedRequestError as error:
            refusal = m.Refusal(error.reason, str(error))
        except Exception as error:  # what is half-written can read as anything, and others are to be served
            refusal = m.Refusal(m.Reason.FAILED, f"the run could not be read: {type(error).__name__}: {error}")
        self._note_refused(client.name, admitted, refusal)
        return refusal

    def _obeying(self, needs_life: bool) -> Obeying:
        watch = self.watch
        if watch.snapshot is None or (needs_life and not (watch.is_alive and watch.snapshot.run.is_alive())):
            raise RefusedRequestError(m.Reason.NO_ENGINE, f"no run of {watch.name} is being traded")
        return Obeying(watch.snapshot)

    def _command(self, client: str, role: str, request: m.Command | m.Confirm) -> m.AnyAnswer:
        obeying = self._obeying(needs_life=True)
        run = str(obeying.snapshot.run.folder)
        is_confirmed = isinstance(request, m.Confirm)
        if isinstance(request, m.Confirm):
            found = self.confirmations.take(client, request.token, run)
            if found is None:
                raise RefusedRequestError(m.Reason.TOKEN, f"nothing to confirm: it is good once, for {VALID_S} s")
            request = found
        text = "" if is_confirmed else obeying.to_confirm(request)
        try:
            if text:
                token = self.confirmations.ask(client, request, run)
                self.log.end(0, client, role, request, TO_CONFIRM, text)
                return m.ToConfirm(token, text, VALID_S)
            number = self.log.begin(client, role, request)
        except OSError as error:
            raise RefusedRequestError(m.Reason.LOG, f"nothing is done, as nothing can be logged: {error}") from None
        return self._obey(obeying, number, client, role, request)

    def _obey(self, obeying: Obeying, number: int, client: str, role: str, request: m.Command) -> m.AnyAnswer:
        """Do what is logged as begun, and log what became of it; a log that fails now does not hide that."""
        answer: m.Done | m.Refusal
        try:
            answer = obeying.obey(request, client, self._patience_s)
            outcome: str = DONE
            self._patience_s = POST_S
        except RefusedRequestError as error:
            answer, outcome = m.Refusal(error.reason, str(error)), error.reason
            self._patience_s = POST_AGAIN_S if error.reason == m.Reason.NO_ANSWER else POST_S
        except Exception as error:
            text = f"{type(error).__name__}: {error}: whether it was done is not known"
            answer, outcome = m.Refusal(m.Reason.FAILED, text), m.Reason.FAILED
        if isinstance(answer, m.Refusal):
            self.refused[answer.reason] += 1
        try:
            self.log.end(number, client, role, request, outcome, answer.text)
        except OSError as error:
            answer.text += f" (and the command log can't be written: {error})"
        return answer

    def _note_refused(self, client: str, admitted: Admitted | None, refusal: m.Refusal) -> None:
        """Count what was refused, and log it unless it only wanted to read."""
        self.refused[refusal.reason] += 1
        request = None if admitted is None else admitted.request
        if isinstance(request, m.QUERIES):
            return
        role = "" if admitted is None else admitted.client.role
        try:
            self.log.refuse(client, role, request, refusal)
        except OSError:  # a command is refused for it; what was refused anyway is counted
            self.log.left_out += 1

    # ------------------------------------------------------------ the monitor itself

    def _status(self, snapshot: Snapshot) -> m.Status:
        return snapshot.status(self.counters(), self.door.connections, self.warnings())

    def counters(self) -> list[m.Counter]:
        """List what was refused, by reason; leave out what was not."""
        counts = {f"request_{reason}": count for reason, count in self.refused.items()}
        counts |= {f"connection_{why}": count for why, count in self.door.shut.items() if why != Shut.CLOSED}
        counts["key_unknown"] = self.authority.unknown_keys
        counts["key_too_often"] = self.authority.too_often
        counts["handshake_failed"] = self.bad_handshakes
        counts["reply_dropped"] = self.replies_dropped
        return [m.Counter(name, count) for name, count in counts.items() if count]

    def warnings(self) -> list[DataWarning]:
        """List what makes the monitor's own word less than the whole truth."""
        if not self.clients.failure:
            return []
        return [
            DataWarning(
                kind="changes of the list of clients that can't be used",
                count=1,
                first_place=self.clients.failure,
                what_to_do="mend the file; until then the list is as it was before",
            )
        ]
