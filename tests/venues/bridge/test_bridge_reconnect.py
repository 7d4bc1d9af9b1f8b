"""A bridge session that was lost: when it connects again, what it says then, and that it misses and doubles nothing."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from crosswire.nic.memory.struct import copy_struct
from crosswire.nic.packet import FLAG_ACK, FLAG_FIN, FLAG_RST, parse_packet
from crosswire.nic.rings.delay import set_delay_ring
from crosswire.nic.rings.ring import NEVER_NS, Frame
from crosswire.venues.bridge.exchange.gateway import log_out, send_executions, send_segment, take_connection
from crosswire.venues.bridge.orders.session import BACKOFF_MAX_NS, BACKOFF_MIN_NS, Loss, ask_account, explain
from crosswire.venues.bridge.wire.order_layout import (
    ACCOUNT_FILLS_MAX,
    AccountEnd,
    AccountQuery,
    Logon,
    LogoutReason,
    MessageHeader,
    Template,
)
from crosswire.venues.order import REPORTS_MAX, Report, ReportKind
from crosswire.venues.session import (
    SessionState,
    end_session,
    keep_session,
    start_session,
    write_cancel,
    write_mass_cancel,
)
from crosswire.venues.side import BUY, SELL
from tests.support.starbase_order_setup import OrderRing
from tests.venues.bridge.test_bridge_orders import (
    GTC,
    HEARTBEAT_NS,
    IOC,
    Wire,
    acks,
    faults_of,
    frames_under_way,
    message,
    segment,
)

SILENCE_NS = 3 * HEARTBEAT_NS


class Line(Wire):
    """A session whose ring knows of connections, and what it has sent and heard."""

    def __init__(self) -> None:
        super().__init__(first_byte=0)
        self.to_exchange = OrderRing()
        set_delay_ring(self.to_exchange, 0)
        self.to_exchange.connections[0] = 1
        self.templates: list[int] = []  # of the messages sent, in order
        self.lots = 0  # position by the fills heard
        self.fills: list[int] = []  # execution ids heard
        self.holding_lots = 0  # by the account that is being told

    @property
    def attempts(self) -> int:
        """Times that the ring was asked for a connection."""
        return int(self.to_exchange.reconnects[0])

    def exchange_receives(self, frame: Frame) -> None:
        self.templates += self.messages_in(frame)
        super().exchange_receives(frame)

    def messages_in(self, frame: Frame) -> list[int]:
        assert parse_packet(frame, self.packet, self.counters)
        assert MessageHeader.at(self.packet.payload_address).length == self.packet.payload_length
        return [MessageHeader.at(self.packet.payload_address).template_id]

    def engine_receives(self, frame: Frame) -> list[dict[str, int]]:
        heard = super().engine_receives(frame)
        for one in heard:
            if one["kind"] == ReportKind.FILL:
                self.fills.append(one["execution_id"])
                self.lots += one["qty_lots"] if one["side"] == BUY else -one["qty_lots"]
            elif one["kind"] == ReportKind.HOLDING:
                self.holding_lots = one["qty_lots"]
            elif one["kind"] == ReportKind.ACCOUNT_END:
                assert self.holding_lots == self.lots
                self.holding_lots = 0
        return heard

    def keep(self, after_ns: int = 0) -> int:
        """Let time pass, and have the session looked at; how long until it wants that again."""
        self.now_ns += after_ns
        due_ns = keep_session(self.session, self.to_exchange, self.now_ns)
        return due_ns if due_ns == NEVER_NS else due_ns - self.now_ns

    def hang_up(self, flags: int = FLAG_FIN | FLAG_ACK) -> None:
        """The exchange's host ends the connection, and what is under way is lost."""
        self.to_engine.received, self.to_exchange.received = self.to_engine.sent, self.to_exchange.sent
        self.to_exchange.connections[0] = 0
        self.engine_receives(segment(self, b"", to_engine=True, flags=flags))

    def fill_unheard(self, qty_lots: int = 1, side: int = BUY) -> None:
        """Something is filled, of which nothing arrives."""
        gateway, matching = self.gateway, self.matching
        matching.last_execution_id += 1
        executions = gateway.executions
        executions.count = 1
        values = {"instrument": 0, "side": side, "qty_lots": qty_lots, "price_ticks": 101, "venue": 1}
        copy_struct(
            executions.items[0],
            Report(kind=ReportKind.FILL, execution_id=matching.last_execution_id, **values),
        )
        send_executions(gateway, self.market, self.to_engine, self.now_ns)
        send_segment(gateway, self.to_engine, self.now_ns)
        self.to_engine.received = self.to_engine.sent

    def connect(self, number: int) -> None:
        """The next connection is there, at both ends."""
        self.to_engine.received, self.to_exchange.received = self.to_engine.sent, self.to_exchange.sent
        take_connection(self.gateway, self.matching, self.now_ns)
        self.to_exchange.connections[0] = number

    def come_back(self) -> list[dict[str, int]]:
        """Connect when the session asks, and talk until it is READY; what it heard."""
        attempts = self.attempts
        self.keep(max(0, self.session.reconnect_ns - self.now_ns))
        assert self.attempts == attempts + 1
        self.connect(self.session.connection + 1)
        heard: list[dict[str, int]] = []
        for _ in range(50):
            self.keep(1_000_000)
            heard += self.pump()
            if self.session.state == SessionState.READY:
                return heard
        raise AssertionError("not READY")


@pytest.fixture
def line() -> Line:
    line = Line()
    line.log_on()
    line.templates.clear()
    return line


def test_a_silent_gateway_is_connected_to_again(line: Line) -> None:
    line.new(BUY, IOC, 101, 2)
    line.pump()
    line.keep(HEARTBEAT_NS)
    assert line.keep(SILENCE_NS - HEARTBEAT_NS) == BACKOFF_MIN_NS
    assert (line.session.state, line.session.loss, line.attempts) == (SessionState.LOST, Loss.SILENCE, 0)
    assert explain(line.session) == "the gateway went silent; connecting again"
    line.keep(BACKOFF_MIN_NS - 1)
    assert line.attempts == 0
    line.keep(1)
    assert line.attempts == 1
    assert line.keep(1_000_000) == 1_000_000  # it looks whether the connection is there, that is the old one still
    assert (line.session.state, line.attempts) == (SessionState.LOST, 1)
    line.connect(2)
    line.templates.clear()
    line.keep(1_000_000)
    assert line.session.state == SessionState.LOGGING_ON
    assert not line.new(BUY, IOC, 101, 1)
    line.pump()
    assert (line.session.state, line.session.keep_due) == (SessionState.LOGGING_ON, 1)
    assert not line.new(BUY, IOC, 101, 1)
    assert not write_cancel(line.session, line.to_exchange, 1, 0, line.now_ns)
    assert not write_mass_cancel(line.session, line.to_exchange, line.now_ns)
    line.keep()
    heard = line.pump()
    assert [one["kind"] for one in heard] == [ReportKind.HOLDING, ReportKind.ACCOUNT_END]
    assert line.templates == [Template.LOGON, Template.ACCOUNT_QUERY]
    assert (line.session.state, line.session.keep_due) == (SessionState.READY, 1)
    assert line.new(BUY, IOC, 101, 1)
    assert [one["kind"] for one in line.pump()][:2] == [ReportKind.ACK, ReportKind.FILL]
    assert faults_of(line.session) == {}
    assert line.mistakes() == {}


def test_half_a_message_is_forgotten_with_its_connection(line: Line) -> None:
    line.engine_receives(segment(line, acks(line, 1)[:40], to_engine=True))
    assert line.session.stream.partial_length == 40
    line.keep(SILENCE_NS)
    assert [one["kind"] for one in line.come_back()] == [ReportKind.ACCOUNT_END]
    assert faults_of(line.session) == {}


@pytest.mark.parametrize("flags", [FLAG_FIN | FLAG_ACK, FLAG_RST])
def test_a_connection_that_ended_is_made_again(line: Line, flags: int) -> None:
    """Bytes and messages count from the beginning; the query has the last execution that was told."""
    line.new(BUY, IOC, 102, 8)
    line.pump()
    assert line.fills == [1, 2]
    line.hang_up(flags)
    assert (line.session.state, line.session.loss) == (SessionState.LOST, Loss.HUNG_UP)
    assert explain(line.session) == "the gateway hung up or broke the protocol; connecting again"
    assert line.session.keep_due == 1
    line.keep(BACKOFF_MIN_NS)
    line.connect(2)
    line.keep(1_000_000)
    (logon,) = frames_under_way(line.to_exchange)
    assert (line.session.stream.send_sequence, line.session.stream.connection.send_next) == (1, Logon.size)
    line.pump()
    line.keep()
    (query,) = frames_under_way(line.to_exchange)
    assert int.from_bytes(query[-8:], "little") == 2  # its last field
    assert len(query) - len(logon) == AccountQuery.size - Logon.size
    line.pump()
    assert line.session.state == SessionState.READY
    assert list(line.session.numbers)[:2] == [2, 3]  # logon and query; answer, position and end


def test_the_backoff_grows_and_begins_anew_once_it_was_ready(line: Line) -> None:
    line.hang_up()
    seconds = []
    for _ in range(8):
        waited_ns = line.session.reconnect_ns - line.now_ns
        seconds.append(waited_ns // BACKOFF_MIN_NS)
        attempts = line.attempts
        line.keep(waited_ns - 1)
        assert line.attempts == attempts
        line.keep(1)
        assert line.attempts == attempts + 1
    assert seconds == [1, 2, 4, 8, 16, 30, 30, 30]
    line.connect(2)
    line.keep(1_000_000)
    # A logon that nobody answers is another loss, and no reason to ask more often.
    assert line.keep(SILENCE_NS) == line.session.reconnect_ns - line.now_ns == BACKOFF_MAX_NS
    line.come_back()
    line.hang_up()
    assert line.session.reconnect_ns - line.now_ns == BACKOFF_MIN_NS


def test_a_fill_in_the_gap_is_told_once(line: Line) -> None:
    line.new(BUY, GTC, 90, 4)
    line.new(SELL, IOC, 101, 1)
    line.pump()
    line.fill_unheard(3)
    line.hang_up()
    line.fill_unheard(2, SELL)
    heard = line.come_back()
    assert [one["kind"] for one in heard] == [
        ReportKind.FILL,
        ReportKind.FILL,
        ReportKind.HOLDING,
        ReportKind.ACCOUNT_END,
    ]
    assert line.fills == list(range(1, line.matching.last_execution_id + 1))
    assert heard[-1]["qty_lots"] == 0  # orders open there: cancelled with the connection
    line.hang_up()
    assert [one["kind"] for one in line.come_back()] == [ReportKind.HOLDING, ReportKind.ACCOUNT_END]
    assert len(line.fills) == line.matching.last_execution_id


def test_more_fills_than_one_answer_has_are_all_told(line: Line) -> None:
    line.hang_up()
    for _ in range(2 * ACCOUNT_FILLS_MAX + 5):
        line.fill_unheard()
    line.templates.clear()
    line.come_back()
    assert line.fills == list(range(1, 2 * ACCOUNT_FILLS_MAX + 6))
    assert line.templates.count(Template.ACCOUNT_QUERY) == 3


def test_a_session_lost_while_the_account_is_told_asks_again(line: Line) -> None:
    line.hang_up()
    for _ in range(ACCOUNT_FILLS_MAX + 5):
        line.fill_unheard()
    line.keep(BACKOFF_MIN_NS)
    line.connect(2)
    line.keep(1_000_000)
    line.pump()
    line.keep()
    line.pump()
    assert len(line.fills) == ACCOUNT_FILLS_MAX
    assert line.session.state == SessionState.LOGGING_ON
    line.hang_up()
    assert line.session.state == SessionState.LOST
    line.come_back()
    assert line.fills == list(range(1, ACCOUNT_FILLS_MAX + 6))


def test_what_an_earlier_run_knew_is_not_told_again_after_a_loss() -> None:
    """A run without a journal asks for positions only: the fills from there on are asked for by their ids."""
    line = Line()
    line.fill_unheard(5)
    ask_account(line.session, 1 << 62)
    line.lots = 5  # accepted by an operator
    line.connect(1)
    start_session(line.session, line.to_exchange, line.now_ns)
    line.pump()
    line.keep()
    assert [one["kind"] for one in line.pump()] == [ReportKind.HOLDING, ReportKind.ACCOUNT_END]
    line.hang_up()
    line.fill_unheard(2)
    line.come_back()
    assert line.fills == [2]


@pytest.mark.parametrize(
    ("reason", "text", "returns"),
    [
        (LogoutReason.BAD_LOGON, "bad logon; nothing more is sent there", False),
        (LogoutReason.DISPLACED, "displaced; nothing more is sent there", False),
        (LogoutReason.SILENCE, "silence; connecting again", True),
        (LogoutReason.CLOSING, "closing; connecting again", True),
        (LogoutReason.BAD_MESSAGE, "bad message; connecting again", True),
    ],
)
def test_who_is_refused_or_displaced_stays_away(line: Line, reason: LogoutReason, text: str, returns: bool) -> None:
    log_out(line.gateway, line.matching, line.market, line.to_engine, reason, line.now_ns)
    send_segment(line.gateway, line.to_engine, line.now_ns)
    line.pump()
    assert (line.session.state, line.session.loss) == (SessionState.LOST, Loss.LOGGED_OUT)
    assert explain(line.session) == f"the exchange logged us out: {text}"
    assert (line.keep(BACKOFF_MAX_NS) != NEVER_NS) == returns
    assert line.attempts == int(returns)


def test_an_unknown_reason_is_said_as_such(line: Line) -> None:
    line.session.state, line.session.loss, line.session.logout_reason = SessionState.LOST, Loss.LOGGED_OUT, 99
    assert explain(line.session) == "the exchange logged us out: unknown; connecting again"


def test_a_look_that_comes_late_proves_no_silence(line: Line) -> None:
    """The loop stood still: what it did not hear then may lie in the ring, or have found no room there."""
    line.keep(HEARTBEAT_NS)
    line.session.late_ns = 5 * SILENCE_NS
    line.keep(5 * SILENCE_NS)
    assert (line.session.state, line.session.silences) == (SessionState.READY, 0)
    line.session.late_ns = 0
    line.keep(SILENCE_NS - HEARTBEAT_NS - 1)
    assert line.session.state == SessionState.READY
    line.keep(1)
    assert (line.session.loss, line.session.silences) == (Loss.SILENCE, 1)


def test_who_hears_after_its_silence_that_it_was_displaced_stays_away(line: Line) -> None:
    line.keep(SILENCE_NS)
    assert line.session.loss == Loss.SILENCE
    log_out(line.gateway, line.matching, line.market, line.to_engine, LogoutReason.DISPLACED, line.now_ns)
    send_segment(line.gateway, line.to_engine, line.now_ns)
    line.pump()
    assert line.keep(BACKOFF_MAX_NS) == NEVER_NS
    assert explain(line.session) == "the exchange logged us out: displaced; nothing more is sent there"


def test_who_said_goodbye_stays_away(line: Line) -> None:
    end_session(line.session, line.to_exchange, line.now_ns)
    line.hang_up()
    assert line.session.state == SessionState.ENDED
    assert line.keep(BACKOFF_MAX_NS) == NEVER_NS
    assert (line.attempts, explain(line.session)) == (0, "")


def test_a_ring_without_connections_leaves_it_lost_and_it_says_so() -> None:
    wire = Wire()
    wire.log_on()
    wire.engine_receives(segment(wire, b"", to_engine=True, flags=FLAG_RST))
    assert wire.session.state == SessionState.LOST
    assert keep_session(wire.session, wire.to_exchange, wire.now_ns + BACKOFF_MAX_NS) == NEVER_NS
    assert explain(wire.session).endswith("; its ring can make no other connection: nothing more is sent there")


def test_a_connection_that_ended_before_the_logon_is_made_again() -> None:
    line = Line()
    line.hang_up()
    assert line.session.state == SessionState.LOST
    line.session.connection = 1  # as the ring counts
    line.come_back()


def test_a_full_ring_keeps_the_logon_for_the_next_look(line: Line) -> None:
    line.hang_up()
    line.keep(BACKOFF_MIN_NS)
    line.connect(2)
    line.to_exchange.received = line.to_exchange.sent - 512
    line.keep(1_000_000)
    assert line.session.state == SessionState.LOST
    line.to_exchange.received = line.to_exchange.sent
    line.keep(1_000_000)
    line.pump()
    line.keep()
    line.pump()
    assert line.session.state == SessionState.READY


@pytest.mark.parametrize("moment", ["before the logon's answer", "before the query"])
def test_an_account_that_was_not_asked_for_makes_nothing_ready(line: Line, moment: str) -> None:
    line.hang_up()
    line.keep(BACKOFF_MIN_NS)
    line.connect(2)
    line.keep(1_000_000)
    if moment == "before the query":
        line.pump()
    sequence = line.session.stream.receive_sequence + 1
    end = message(AccountEnd, Template.ACCOUNT_END, sequence)
    assert line.engine_receives(segment(line, end, to_engine=True)) == []
    assert (line.session.state, line.session.unexpected) == (SessionState.LOGGING_ON, 1)


def test_what_was_not_heard_for_want_of_room_is_asked_for_again(line: Line) -> None:
    """The fill behind REPORTS_MAX other reports is lost with the session, and told after it."""
    line.fill_unheard(2)
    line.session.stream.receive_sequence = line.gateway.stream.send_sequence
    line.session.stream.connection.receive_next = line.gateway.stream.connection.send_next
    payload = acks(line, REPORTS_MAX + 1)
    assert len(line.engine_receives(segment(line, payload, to_engine=True))) == REPORTS_MAX
    assert (line.session.state, line.session.loss) == (SessionState.LOST, Loss.OVERRUN)
    assert explain(line.session) == "the gateway said more at once than there is room for; connecting again"
    assert line.engine_receives(segment(line, acks(line, 1), to_engine=True)) == []
    line.come_back()
    assert line.fills == [1]


class Returning(RuleBasedStateMachine):
    """Whatever is lost when: a session that is READY has heard of every fill, and of each once."""

    def __init__(self) -> None:
        super().__init__()
        self.line = Line()
        self.line.log_on()

    @rule(ms=st.integers(1, 4_000))
    def wait(self, ms: int) -> None:
        self.line.keep(ms * 1_000_000)
        self.line.pump()

    @rule(side=st.sampled_from((BUY, SELL)), lots=st.integers(1, 9))
    def send(self, side: int, lots: int) -> None:
        was_ready = self.line.session.state == SessionState.READY
        assert bool(self.line.new(side, IOC, 101 if side == BUY else 100, lots)) == was_ready

    @rule()
    def carry(self) -> None:
        self.line.pump()

    @rule(lots=st.integers(1, 9))
    @precondition(lambda self: self.line.gateway.closed == 0 and self.line.session.state == SessionState.LOST)
    def fill(self, lots: int) -> None:
        self.line.fill_unheard(lots)

    @rule(flags=st.sampled_from((FLAG_FIN | FLAG_ACK, FLAG_RST)))
    def lose(self, flags: int) -> None:
        self.line.hang_up(flags)
        assert self.line.session.state == SessionState.LOST

    @rule()
    @precondition(lambda self: self.line.session.is_connecting and self.line.session.state == SessionState.LOST)
    def connect(self) -> None:
        self.line.connect(max(self.line.session.connection, self.line.to_exchange.connections[0]) + 1)

    @invariant()
    def has_heard_all(self) -> None:
        assert len(set(self.line.fills)) == len(self.line.fills)
        if self.line.session.state == SessionState.READY:
            self.line.pump()
        if self.line.session.state == SessionState.READY:
            assert self.line.fills == list(range(1, self.line.matching.last_execution_id + 1))
            assert self.line.lots == self.line.gateway.position_lots[0]


TestReturning = Returning.TestCase
TestReturning.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
