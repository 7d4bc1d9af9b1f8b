"""Which requests are looked at: those of a client that is on the list, of now, each once, and not too many.

CURVE keeps others from reading, changing or repeating what is on the wire. What it does not keep out is a message that
its own client, or who has its key, sends again on another connection: so a request belongs to a session, which belongs
to one connection, and has a number that only rises, and a time.
"""

import secrets
from dataclasses import dataclass

import msgspec

from crosswire.engine.monitor import messages as m
from crosswire.engine.monitor.authority import ClientList
from crosswire.engine.monitor.bucket import Bucket
from crosswire.engine.monitor.keys import CLIENTS_MAX, KnownClient
from crosswire.nic.duration import NS_PER_S

AGE_MAX_NS = 10 * NS_PER_S  # of a request, either way: the clocks of two hosts differ
SESSIONS_PER_CLIENT_MAX = 8  # the one that was used longest ago goes
REQUESTS_PER_S = 50.0  # of one client
REQUESTS_BURST = 100
COMMANDS_PER_S = 5.0  # of one client, confirmations too
COMMANDS_BURST = 20
URGENT_PER_S = 2.0  # of one client and kind, once it has used up what stands above: who polls too fast can still kill
URGENT_BURST = 10
URGENT = (m.Hello, *m.LESSENING)  # a Hello too: the command line's kill begins with one
URGENT_BYTES_MAX = 1024  # of a message that is looked into though its client has used up its requests
TOO_MANY = f"more than {REQUESTS_PER_S:g} requests a second"
NOBODY = "?"  # who asked, where that is not known


@dataclass(eq=False)
class Session:
    """One client on one connection."""

    client: str
    route: bytes  # of the connection, as the server's socket names it
    number: int = 0  # of the last request


class RefusedRequestError(Exception):
    """Why a request is not looked at."""

    def __init__(self, reason: m.Reason, text: str, number: int = 0) -> None:
        super().__init__(text)
        self.reason, self.number = reason, number


@dataclass(frozen=True)
class Admitted:
    """A request that is looked at."""

    client: KnownClient
    number: int
    request: m.Request


class Allowance:
    """How often one client may still ask."""

    def __init__(self) -> None:
        self.requests = Bucket(REQUESTS_PER_S, REQUESTS_BURST)
        self.commands = Bucket(COMMANDS_PER_S, COMMANDS_BURST)
        self.urgent: dict[type[m.Ask], Bucket] = {kind: Bucket(URGENT_PER_S, URGENT_BURST) for kind in URGENT}

    def take_urgent(self, request: m.Request) -> bool:
        """Take one of a kind's own, of which no other kind can use up any; False: there is none, or it has none."""
        own = self.urgent.get(type(request))
        return own is not None and own.take()


class Admission:
    """Judges requests."""

    def __init__(self, clients: ClientList) -> None:
        self.clients = clients
        self._sessions: dict[str, dict[bytes, Session]] = {}  # of each client, the one used last at the end
        self._allowances: dict[str, Allowance] = {}

    def admit(self, client: str, route: bytes, content: bytes, now_ns: int) -> Admitted:
        """Read what a client has sent over a connection. RefusedRequestError."""
        known = self.clients.by_name(client)
        if known is None:
            raise RefusedRequestError(m.Reason.CLIENT, f"{client} is not on the list of clients any more")
        allowance = self._allowance_of(client)
        is_within = allowance.requests.take()
        if not is_within and len(content) > URGENT_BYTES_MAX:
            raise RefusedRequestError(m.Reason.RATE, TOO_MANY)
        if len(content) > m.REQUEST_BYTES_MAX:
            raise RefusedRequestError(m.Reason.OVERSIZED, f"a request has at most {m.REQUEST_BYTES_MAX} bytes")
        envelope = read_envelope(content)
        if not is_within and not allowance.take_urgent(envelope.request):
            raise RefusedRequestError(m.Reason.RATE, TOO_MANY, envelope.number)
        if abs(now_ns - envelope.sent_ns) > AGE_MAX_NS:
            behind_s = (now_ns - envelope.sent_ns) / NS_PER_S
            raise RefusedRequestError(
                m.Reason.OLD,
                f"the request's time is {abs(behind_s):.0f} s {'behind' if behind_s > 0 else 'ahead of'} the monitor's:"
                " set both hosts' clocks",
                envelope.number,
            )
        if not isinstance(envelope.request, m.Hello):
            self._check_session(client, route, envelope)
        if not m.may(known.role, envelope.request):
            raise RefusedRequestError(
                m.Reason.ROLE,
                f"{client} is a {known.role}: {m.tag_of(envelope.request)} needs a {m.role_needed(envelope.request)}",
                envelope.number,
            )
        is_command = not isinstance(envelope.request, (m.Hello, *m.QUERIES))
        if is_within and is_command and not (allowance.commands.take() or allowance.take_urgent(envelope.request)):
            raise RefusedRequestError(m.Reason.RATE, f"more than {COMMANDS_PER_S:g} commands a second", envelope.number)
        return Admitted(known, envelope.number, envelope.request)

    def _allowance_of(self, client: str) -> Allowance:
        if client not in self._allowances and len(self._allowances) >= CLIENTS_MAX:
            self._allowances.clear()  # of clients that were taken off the list
        return self._allowances.setdefault(client, Allowance())

    def _check_session(self, client: str, route: bytes, envelope: m.Envelope) -> None:
        own = self._sessions.get(client, {})
        session = own.get(envelope.session)
        if session is None or session.route != route:
            raise RefusedRequestError(
                m.Reason.SESSION, "the request is of no session of this connection", envelope.number
            )
        if envelope.number <= session.number:
            raise RefusedRequestError(
                m.Reason.REPLAYED, f"request {envelope.number} of this session has been made", envelope.number
            )
        session.number = envelope.number
        own[envelope.session] = own.pop(envelope.session)

    def begin(self, client: str, route: bytes) -> bytes:
        """Begin a session; an earlier one of the same connection ends."""
        own = self._sessions.setdefault(client, {})
        for token in [token for token, each in own.items() if each.route == route]:
            del own[token]
        while len(own) >= SESSIONS_PER_CLIENT_MAX:
            del own[next(iter(own))]
        token = secrets.token_bytes(m.SESSION_BYTES)
        own[token] = Session(client, route)
        return token


UNREADABLE = (msgspec.DecodeError, RecursionError, ValueError, ArithmeticError)


class Versioned(msgspec.Struct):
    """What every version of an envelope has."""

    version: int


def read_envelope(content: bytes) -> m.Envelope:
    """Read one request. RefusedRequestError: it is none, or of another version."""
    try:
        version = msgspec.msgpack.decode(content, type=Versioned).version
        if version == m.VERSION:
            return m.decode_envelope(content)
    except UNREADABLE:
        raise RefusedRequestError(m.Reason.MALFORMED, "this is no request") from None
    raise RefusedRequestError(m.Reason.VERSION, f"this monitor speaks version {m.VERSION}, not {version}")
