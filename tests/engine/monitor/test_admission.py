"""Which requests are looked at, by a model: whatever clients send, in whatever order, each request counts once.

The machine begins sessions on connections, sends requests, keeps what was sent, and sends that again: from the same
connection, from others, by other clients, later. What the model knows is who was given which session on which
connection, and the highest number that was used there.
"""

import dataclasses

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from crosswire.engine.monitor import admission as a
from crosswire.engine.monitor import messages as m
from crosswire.engine.monitor.confirmation import VALID_S, WAITING_MAX, Confirmations
from crosswire.engine.monitor.keys import KnownClient
from crosswire.engine.monitor.messages import Role

ROLES = {"vera": Role.VIEWER, "olga": Role.OPERATOR, "tess": Role.TRADER}
ROUTES = [b"1", b"2", b"3"]
REQUESTS = [m.GetStatus(), m.Pause(), m.Kill(), m.Flatten(), m.Confirm(token="t"), m.GetLog()]
SECOND_NS = 10**9

pytestmark = pytest.mark.control


class Listed:
    """A list of clients that needs no file."""

    def __init__(self) -> None:
        self.clients = {name: KnownClient(name, role, name.encode()) for name, role in ROLES.items()}

    def by_name(self, name: str) -> KnownClient | None:
        return self.clients.get(name)


@dataclasses.dataclass
class Sent:
    """A request that was sent."""

    client: str
    route: bytes
    envelope: m.Envelope


class Requests(RuleBasedStateMachine):
    """Clients that send, and send again."""

    @initialize()
    def begin(self) -> None:
        self.listed = Listed()
        self.admission = a.Admission(self.listed)  # type: ignore[arg-type]
        self.now_ns = 1_000 * SECOND_NS
        self.highest: dict[tuple[str, bytes, bytes], int] = {}  # by client, connection and session
        self.order: dict[str, list[tuple[bytes, bytes]]] = {name: [] for name in ROLES}  # used last at the end
        self.sent: list[Sent] = []
        self.admitted: list[tuple[str, bytes, int]] = []

    @rule(name=st.sampled_from(sorted(ROLES)), route=st.sampled_from(ROUTES))
    def begin_session(self, name: str, route: bytes) -> None:
        own = self.order[name]
        for each in [each for each in own if each[0] == route]:
            own.remove(each)
            del self.highest[name, *each]
        session = self.admission.begin(name, route)
        assert len(session) == m.SESSION_BYTES
        assert session not in {key[2] for key in self.highest}
        own.append((route, session))
        self.highest[name, route, session] = 0
        if len(own) > a.SESSIONS_PER_CLIENT_MAX:
            del self.highest[name, *own.pop(0)]

    @precondition(lambda self: self.highest)
    @rule(data=st.data(), step=st.integers(-2, 3), request=st.sampled_from(REQUESTS), late_s=st.integers(-12, 12))
    def send_new(self, data: st.DataObject, step: int, request: m.Request, late_s: int) -> None:
        name, route, session = data.draw(st.sampled_from(sorted(self.highest)))
        number = self.highest[name, route, session] + step
        sent_ns = self.now_ns - late_s * SECOND_NS
        envelope = m.Envelope(version=m.VERSION, session=session, number=number, sent_ns=sent_ns, request=request)
        self._send(Sent(name, route, envelope))

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), name=st.sampled_from(sorted(ROLES)), route=st.sampled_from(ROUTES), is_other=st.booleans())
    def send_again(self, data: st.DataObject, name: str, route: bytes, is_other: bool) -> None:
        before = data.draw(st.sampled_from(self.sent))
        self._send(Sent(name, route, before.envelope) if is_other else before)

    @rule(seconds=st.integers(1, 15))
    def wait(self, seconds: int) -> None:
        self.now_ns += seconds * SECOND_NS

    @rule(name=st.sampled_from(sorted(ROLES)))
    def take_off_or_put_back(self, name: str) -> None:
        if name in self.listed.clients:
            del self.listed.clients[name]
        else:
            self.listed.clients[name] = KnownClient(name, ROLES[name], name.encode())

    def _send(self, sent: Sent) -> None:
        self.sent.append(sent)
        expected = self._expect(sent)
        content = m.encode(sent.envelope)
        if expected is not None:
            with pytest.raises(a.RefusedRequestError) as caught:
                self.admission.admit(sent.client, sent.route, content, self.now_ns)
            assert caught.value.reason == expected
            return
        found = self.admission.admit(sent.client, sent.route, content, self.now_ns)
        assert (found.client.name, found.request) == (sent.client, sent.envelope.request)
        self.admitted.append((sent.client, sent.envelope.session, sent.envelope.number))

    def _expect(self, sent: Sent) -> m.Reason | None:
        if sent.client not in self.listed.clients:
            return m.Reason.CLIENT
        if abs(self.now_ns - sent.envelope.sent_ns) > 10 * SECOND_NS:
            return m.Reason.OLD
        key = (sent.client, sent.route, sent.envelope.session)
        if key not in self.highest:
            return m.Reason.SESSION
        if sent.envelope.number <= self.highest[key]:
            return m.Reason.REPLAYED
        self.highest[key] = sent.envelope.number
        self.order[sent.client].remove(key[1:])
        self.order[sent.client].append(key[1:])
        needed = {m.Pause: 1, m.Kill: 1, m.Flatten: 2, m.Confirm: 2}.get(type(sent.envelope.request), 0)
        return m.Reason.ROLE if list(Role).index(ROLES[sent.client]) < needed else None

    @invariant()
    def each_counts_once(self) -> None:
        if hasattr(self, "admitted"):
            assert len(self.admitted) == len(set(self.admitted))


def test_each_request_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(a, "REQUESTS_BURST", 1 << 40)
    monkeypatch.setattr(a, "COMMANDS_BURST", 1 << 40)
    case = Requests.TestCase
    case.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
    case("runTest").runTest()


def test_a_client_has_a_bounded_number_of_sessions_the_one_used_longest_ago_goes() -> None:
    admission = a.Admission(Listed())  # type: ignore[arg-type]
    sessions = [admission.begin("vera", str(number).encode()) for number in range(a.SESSIONS_PER_CLIENT_MAX)]

    def ask(place: int) -> None:
        envelope = m.Envelope(version=m.VERSION, session=sessions[place], number=1, sent_ns=0, request=m.GetStatus())
        admission.admit("vera", str(place).encode(), m.encode(envelope), 0)

    ask(0)
    admission.begin("vera", b"more")
    with pytest.raises(a.RefusedRequestError, match="no session"):
        ask(1)
    ask(2)


def test_what_waits_to_be_confirmed_is_bounded_and_is_the_clients_own(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now_s[0])
    waiting = Confirmations()
    tokens = [waiting.ask("tess", m.Flatten(), "run") for _ in range(WAITING_MAX + 1)]
    assert waiting.take("tess", tokens[0], "run") is None  # the oldest went
    assert waiting.take("olga", tokens[1], "run") is None
    assert isinstance(waiting.take("tess", tokens[1], "run"), m.Flatten)
    assert waiting.take("tess", tokens[1], "run") is None
    assert waiting.take("tess", tokens[2], "another") is None
    now_s[0] += VALID_S
    assert isinstance(waiting.take("tess", tokens[3], "run"), m.Flatten)
    now_s[0] += 0.001
    assert waiting.take("tess", tokens[4], "run") is None


def test_other_clients_requests_take_none_of_ones_own() -> None:
    admission = a.Admission(Listed())  # type: ignore[arg-type]

    def ask(name: str) -> m.Reason | None:
        envelope = m.Envelope(version=m.VERSION, session=b"", number=1, sent_ns=0, request=m.Hello())
        try:
            admission.admit(name, b"1", m.encode(envelope), 0)
        except a.RefusedRequestError as error:
            return error.reason
        return None

    answers = [ask("olga") for _ in range(3 * a.REQUESTS_BURST)]
    assert answers[: a.REQUESTS_BURST] == [None] * a.REQUESTS_BURST
    assert answers[-1] == m.Reason.RATE
    assert ask("vera") is None


def refusal_of(admission: a.Admission, content: bytes, now_ns: int = 0, name: str = "vera") -> a.RefusedRequestError:
    with pytest.raises(a.RefusedRequestError) as caught:
        admission.admit(name, b"1", content, now_ns)
    return caught.value


def test_what_is_refused_says_how_far_off_it_is() -> None:
    admission = a.Admission(Listed())  # type: ignore[arg-type]
    assert refusal_of(admission, b"x" * m.REQUEST_BYTES_MAX).reason == m.Reason.MALFORMED
    assert refusal_of(admission, b"x" * (m.REQUEST_BYTES_MAX + 1)).reason == m.Reason.OVERSIZED
    hello = m.Envelope(version=m.VERSION, session=b"", number=7, sent_ns=100 * SECOND_NS, request=m.Hello())
    for now_s, said in ((111, "11 s behind the monitor's"), (89, "11 s ahead of the monitor's")):
        refused = refusal_of(admission, m.encode(hello), now_s * SECOND_NS)
        assert (refused.reason, refused.number, said in str(refused)) == (m.Reason.OLD, 7, True)
    newer = m.encode({"version": m.VERSION + 1, "something": "else"})
    assert refusal_of(admission, newer).reason == m.Reason.VERSION


def test_a_full_table_of_clients_is_bounded_and_gives_nobody_who_is_in_it_a_new_allowance() -> None:
    listed = Listed()
    admission = a.Admission(listed)  # type: ignore[arg-type]
    hello = m.encode(m.Envelope(version=m.VERSION, session=b"", number=1, sent_ns=0, request=m.Hello()))
    names = [f"client{number}" for number in range(a.CLIENTS_MAX)]
    listed.clients = {name: KnownClient(name, Role.VIEWER, name.encode()) for name in [*names, "one-more"]}
    for name in names:
        admission.admit(name, b"1", hello, 0)
    for _ in range(a.REQUESTS_BURST - 1 + a.URGENT_BURST):
        admission.admit(names[0], b"1", hello, 0)
    assert refusal_of(admission, hello, name=names[0]).reason == m.Reason.RATE
    admission.admit("one-more", b"1", hello, 0)
    assert len(admission._allowances) <= a.CLIENTS_MAX


def test_who_polls_too_fast_can_still_kill_and_no_more_than_an_own_allowance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.monotonic", lambda: 100.0)
    admission = a.Admission(Listed())  # type: ignore[arg-type]
    sessions = {name: admission.begin(name, b"1") for name in ROLES}
    numbers = iter(range(1, 10_000))

    def ask(request: m.Request, name: str = "olga") -> m.Reason | None:
        envelope = m.Envelope(
            version=m.VERSION, session=sessions[name], number=next(numbers), sent_ns=0, request=request
        )
        try:
            admission.admit(name, b"1", m.encode(envelope), 0)
        except a.RefusedRequestError as error:
            return error.reason
        return None

    for name in ROLES:
        assert [ask(m.GetStatus(), name) for _ in range(a.REQUESTS_BURST)] == [None] * a.REQUESTS_BURST
        assert ask(m.GetStatus(), name) == m.Reason.RATE
    cancels = [ask(m.CancelAll()) for _ in range(3 * a.URGENT_BURST)]
    assert cancels == [None] * a.URGENT_BURST + [m.Reason.RATE] * 2 * a.URGENT_BURST
    for each in (m.Pause(), m.ReduceOnly(), m.Kill(), m.Hello()):
        assert ask(each) is None, each  # each kind has its own
    assert ask(m.GetStatus()) == m.Reason.RATE
    assert ask(m.Kill(), "vera") == m.Reason.ROLE
    assert ask(m.Flatten(), "tess") == m.Reason.RATE  # what trades has none
    assert ask(m.Confirm(token="t"), "tess") == m.Reason.RATE
    assert ask(m.CancelAll(venue="v" * a.URGENT_BYTES_MAX), "tess") == m.Reason.RATE  # too long to be looked into


def test_who_has_asked_for_too_many_commands_can_still_kill(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.monotonic", lambda: 100.0)
    admission = a.Admission(Listed())  # type: ignore[arg-type]
    session = admission.begin("tess", b"1")

    def ask(number: int, request: m.Request) -> None:
        envelope = m.Envelope(version=m.VERSION, session=session, number=number, sent_ns=0, request=request)
        admission.admit("tess", b"1", m.encode(envelope), 0)

    for number in range(1, a.COMMANDS_BURST + 1):
        ask(number, m.Flatten())
    with pytest.raises(a.RefusedRequestError, match="5 commands a second"):
        ask(a.COMMANDS_BURST + 1, m.Flatten())
    for number in range(a.COMMANDS_BURST + 2, a.COMMANDS_BURST + 2 + a.URGENT_BURST):
        ask(number, m.Kill())
    with pytest.raises(a.RefusedRequestError, match="5 commands a second"):
        ask(1000, m.Kill())
