"""The bridge's order session: engine and exchange talking to each other in real frames, and what each refuses."""

import ctypes
import os
import random
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.nic.memory.struct import Array, Struct, array, u8
from crosswire.nic.packet import (
    FLAG_ACK,
    FLAG_FIN,
    FLAG_PSH,
    TCP_FRAME_HEADER_BYTES,
    Packet,
    PacketCounters,
    parse_packet,
    reverse_flow,
    seal_tcp_frame,
    write_tcp_frame_header,
)
from crosswire.nic.rings.delay import DELAY_FRAMES_MAX, DelayRing, set_delay_ring
from crosswire.nic.rings.ring import NEVER_NS, Frame, next_time_ns, poll, release
from crosswire.venues.book.book import set_level
from crosswire.venues.bridge.exchange.gateway import (
    BridgeGateway,
    Mistake,
    do_duty,
    next_duty_ns,
    receive_frame,
    set_gateway,
)
from crosswire.venues.bridge.orders.session import BridgeSession, make_bridge_session
from crosswire.venues.bridge.orders.stream import StreamFault, length_of
from crosswire.venues.bridge.wire.order_layout import (
    MESSAGE_BYTES_MAX,
    MESSAGES,
    VERSION,
    CancelOrder,
    Logon,
    LogoutReason,
    MessageHeader,
    NewOrder,
    OrderAck,
    OrderFill,
    Template,
)
from crosswire.venues.exchange.matching import Matching, set_matching
from crosswire.venues.order import (
    NOT_TOLD,
    REPORTS_MAX,
    RejectReason,
    ReportKind,
    Reports,
    TimeInForce,
)
from crosswire.venues.session import (
    SessionState,
    keep_session,
    read_reports,
    start_session,
    write_cancel,
    write_mass_cancel,
    write_new,
)
from crosswire.venues.side import ASK, BUY, SELL
from tests.support.guard import GuardedBytes
from tests.support.order_setup import FIRST_VENUE_ID, VENUE, make_approval, make_flow, make_market, structs

NOW_NS = 1_700_000_000_000_000_000
HEARTBEAT_MS = 1000
HEARTBEAT_NS = HEARTBEAT_MS * 1_000_000
SESSION_ID = 77
FUZZ_FRAMES = int(os.environ.get("CROSSWIRE_FUZZ_FRAMES", "20000"))
IOC, FOK, GTC, POST_ONLY = TimeInForce


class Wire:
    """An engine's session and an exchange's gateway, and the two wires between them."""

    def __init__(self, first_byte: int = 0xFFFFFF80) -> None:
        self.market = make_market(count=2)
        for price_ticks, qty_lots in ((101, 5), (102, 3), (105, 10)):
            set_level(self.market.books[0], ASK, price_ticks, qty_lots)
        flow = make_flow()
        self.session = make_bridge_session(VENUE, self.market, flow, SESSION_ID, HEARTBEAT_MS, first_byte)
        self.gateway = BridgeGateway()
        set_gateway(self.gateway, flow, first_byte)
        self.matching = Matching()
        set_matching(self.matching, VENUE, 1_000_000, 1_000_000, 100)
        self.to_exchange, self.to_engine = DelayRing(), DelayRing()
        set_delay_ring(self.to_exchange, 0)
        set_delay_ring(self.to_engine, 0)
        self.frame, self.packet, self.counters, self.reports = Frame(), Packet(), PacketCounters(), Reports()
        self.now_ns = NOW_NS
        self.last_id = 0

    def log_on(self) -> None:
        start_session(self.session, self.to_exchange, self.now_ns)
        assert self.pump() == []
        assert self.session.state == SessionState.READY

    def pump(self) -> list[dict[str, int]]:
        """Carry everything that is under way, both ways; what the engine heard of its orders."""
        while poll(self.to_exchange, self.frame, self.now_ns):
            self.exchange_receives(self.frame)
            release(self.to_exchange)
        heard: list[dict[str, int]] = []
        while poll(self.to_engine, self.frame, self.now_ns):
            heard += self.engine_receives(self.frame)
            release(self.to_engine)
        return heard

    def exchange_receives(self, frame: Frame) -> None:
        receive_frame(self.gateway, self.matching, self.market, frame, self.to_engine, self.now_ns)

    def engine_receives(self, frame: Frame) -> list[dict[str, int]]:
        assert parse_packet(frame, self.packet, self.counters)
        self.reports.count = 0
        read_reports(self.session, self.packet, self.reports)
        return structs(self.reports.items, self.reports.count)

    def new(self, side: int, time_in_force: int, price_ticks: int, qty_lots: int, instrument: int = 0) -> int:
        """Send an order; returns its id, 0 if the session refused."""
        self.last_id += 1
        approval = make_approval(self.last_id, side, time_in_force, price_ticks, qty_lots, instrument)
        return self.last_id if write_new(self.session, self.to_exchange, approval, self.now_ns) else 0

    def mistakes(self) -> dict[str, int]:
        return {mistake.name: self.gateway.mistakes[mistake] for mistake in Mistake if self.gateway.mistakes[mistake]}

    def trouble(self) -> dict[str, int]:
        """What the exchange's stream did not read, by reason."""
        return faults_of(self.gateway)


def faults_of(end: BridgeSession | BridgeGateway) -> dict[str, int]:
    return {fault.name: end.stream.faults[fault] for fault in StreamFault if end.stream.faults[fault]}


@pytest.fixture
def wire() -> Wire:
    wire = Wire()
    wire.log_on()
    return wire


def frames_under_way(ring: DelayRing) -> list[bytes]:
    slots = [ring.frames[number % DELAY_FRAMES_MAX] for number in range(ring.received, ring.sent)]
    return [bytes(slot.data)[: slot.length] for slot in slots]


def take_frames(ring: DelayRing) -> list[bytes]:
    frames = frames_under_way(ring)
    ring.received = ring.sent
    return frames


def frame_of(data: bytes | Array, time_ns: int = NOW_NS) -> tuple[Frame, Array]:
    memory = array(u8, max(len(data), 1))
    ctypes.memmove(memory.address, bytes(data), len(data))
    return Frame(address=memory.address, length=len(data), time_ns=time_ns), memory


def test_layout_table_is_complete_and_even() -> None:
    assert [message.template_id for message in MESSAGES] == list(Template)
    for message in MESSAGES:
        assert message.root.fields["header"].element is MessageHeader
        assert length_of(message.template_id) == message.root.size <= MESSAGE_BYTES_MAX
        assert message.root.size % 8 == 0  # the checksum's patched part is whole words
    assert length_of(0) == length_of(len(MESSAGES) + 1) == 0


def test_an_order_there_and_back(wire: Wire) -> None:
    order_id = wire.new(BUY, IOC, 102, 20)
    heard = wire.pump()
    kinds = [(report["kind"], report["price_ticks"], report["qty_lots"], report["leaves_lots"]) for report in heard]
    assert kinds == [
        (ReportKind.ACK, 0, 0, NOT_TOLD),
        (ReportKind.FILL, 101, 5, 15),
        (ReportKind.FILL, 102, 3, 12),
        (ReportKind.CANCELLED, 0, 0, 12),
    ]
    for report in heard:
        assert (report["venue"], report["client_order_id"], report["instrument"]) == (VENUE, order_id, 0)
        assert (report["exchange_order_id"], report["exchange_time_ns"], report["side"]) == (1, NOW_NS, BUY)
    assert [report["execution_id"] for report in heard] == [0, 1, 2, 0]
    assert heard[1]["fee_e9"] == 5 * 101 * 100_000 * 500_000 // 10**9
    assert wire.mistakes() == wire.trouble() == faults_of(wire.session) == {}
    assert wire.gateway.frames_sent == 2  # the logon's answer, and one segment for all four


def test_resting_cancel_and_mass_cancel(wire: Wire) -> None:
    first, second, third = (wire.new(BUY, GTC, price_ticks, 4) for price_ticks in (90, 91, 92))
    wire.pump()
    assert write_cancel(wire.session, wire.to_exchange, second, 0, wire.now_ns)
    heard = wire.pump()
    assert [(one["kind"], one["client_order_id"], one["leaves_lots"]) for one in heard] == [
        (ReportKind.CANCELLED, second, 4)
    ]
    write_cancel(wire.session, wire.to_exchange, second, 0, wire.now_ns)
    heard = wire.pump()
    assert [(one["kind"], one["reason"]) for one in heard] == [(ReportKind.CANCEL_REJECTED, RejectReason.UNKNOWN_ORDER)]
    assert write_mass_cancel(wire.session, wire.to_exchange, wire.now_ns)
    assert [one["client_order_id"] for one in wire.pump()] == [first, third]
    assert wire.session.mass_cancels_done == 1
    assert wire.session.cancels_sent == 3


def test_rejections_arrive_with_their_reason(wire: Wire) -> None:
    assert wire.new(SELL, POST_ONLY, 101, 1, instrument=1)
    heard = wire.pump()
    wire.market.books[1].valid = 0
    assert wire.new(BUY, IOC, 101, 1, instrument=1)
    assert wire.new(BUY, POST_ONLY, 101, 1)
    assert wire.new(BUY, IOC, 101, 0)
    heard += wire.pump()
    assert [(one["kind"], one["instrument"], one["reason"]) for one in heard] == [
        (ReportKind.ACK, 1, 0),
        (ReportKind.REJECTED, 1, RejectReason.BOOK_NOT_READY),
        (ReportKind.REJECTED, 0, RejectReason.WOULD_TAKE),
        (ReportKind.REJECTED, 0, RejectReason.BAD_QUANTITY),
    ]


def test_an_instrument_that_the_exchange_does_not_list_is_rejected(wire: Wire) -> None:
    wire.market.instruments[1].venue_id = 4242
    wire.new(BUY, IOC, 101, 1, instrument=1)
    wire.market.instruments[1].venue_id = FIRST_VENUE_ID + 1
    heard = wire.pump()
    assert [(one["kind"], one["instrument"], one["reason"]) for one in heard] == [
        (ReportKind.REJECTED, -1, RejectReason.UNKNOWN_INSTRUMENT)
    ]


def test_an_unarmed_approval_is_never_sent(wire: Wire) -> None:
    approval = make_approval(1, BUY, IOC, 101, 1)
    assert write_new(wire.session, wire.to_exchange, approval, NOW_NS)
    assert approval.armed == 0
    sent = wire.to_exchange.sent
    assert not write_new(wire.session, wire.to_exchange, approval, NOW_NS)
    assert (wire.session.unarmed, wire.session.orders_sent, wire.to_exchange.sent) == (1, 1, sent)


def test_nothing_is_sent_before_the_logon_is_answered() -> None:
    wire = Wire()
    assert not wire.new(BUY, IOC, 101, 1)
    start_session(wire.session, wire.to_exchange, NOW_NS)
    assert wire.session.state == SessionState.LOGGING_ON
    assert not wire.new(BUY, IOC, 101, 1)
    assert not write_cancel(wire.session, wire.to_exchange, 1, 0, NOW_NS)
    assert not write_mass_cancel(wire.session, wire.to_exchange, NOW_NS)
    assert wire.to_exchange.sent == 1
    wire.pump()
    assert wire.new(BUY, IOC, 101, 1)


def test_an_instrument_without_a_venue_id_is_not_sent(wire: Wire) -> None:
    wire.market.instruments[1].venue_id = -1
    sent = wire.to_exchange.sent
    assert not wire.new(BUY, IOC, 101, 1, instrument=1)
    assert (wire.session.undefined, wire.to_exchange.sent) == (1, sent)


def test_a_full_ring_sends_nothing_and_costs_no_sequence_number(wire: Wire) -> None:
    room = DELAY_FRAMES_MAX
    assert all(wire.new(BUY, GTC, 90, 1) for _ in range(room))
    assert not wire.new(BUY, GTC, 90, 1)
    assert wire.session.ring_full == 1
    assert len(wire.pump()) == room  # acknowledged or refused for want of room, each of them
    assert wire.trouble() == {}


def test_heartbeats_keep_a_quiet_session() -> None:
    wire = Wire()
    wire.log_on()
    wake_ns = keep_session(wire.session, wire.to_exchange, wire.now_ns)
    assert wake_ns == NOW_NS + HEARTBEAT_NS
    for _ in range(5):
        wire.now_ns += HEARTBEAT_NS
        assert next_duty_ns(wire.gateway) == wire.now_ns
        do_duty(wire.gateway, wire.matching, wire.market, wire.to_engine, wire.now_ns)
        assert keep_session(wire.session, wire.to_exchange, wire.now_ns) == wire.now_ns + HEARTBEAT_NS
        assert wire.pump() == []
    assert wire.session.state == SessionState.READY
    assert wire.session.frames_sent == wire.gateway.frames_sent == 6


def test_silence_is_noticed_at_both_ends_and_orders_are_cancelled(wire: Wire) -> None:
    wire.new(BUY, GTC, 90, 1)
    wire.pump()
    wire.now_ns += 3 * HEARTBEAT_NS - 1
    assert keep_session(wire.session, wire.to_exchange, wire.now_ns) == wire.now_ns + 1
    assert wire.session.state == SessionState.READY
    take_frames(wire.to_exchange)  # the heartbeat is lost
    wire.now_ns += 1
    assert keep_session(wire.session, wire.to_exchange, wire.now_ns) == NEVER_NS
    assert wire.session.state == SessionState.LOST
    assert not wire.new(BUY, IOC, 101, 1)
    do_duty(wire.gateway, wire.matching, wire.market, wire.to_engine, wire.now_ns)
    assert (wire.gateway.logged_on, wire.matching.resting_count) == (0, 0)
    assert next_duty_ns(wire.gateway) == NEVER_NS
    heard = wire.pump()
    assert [one["kind"] for one in heard] == [ReportKind.CANCELLED]
    assert wire.session.logout_reason == LogoutReason.SILENCE


def test_the_same_orders_make_the_same_bytes() -> None:
    def run() -> list[bytes]:
        wire = Wire()
        wire.log_on()
        wire.new(BUY, IOC, 102, 20)
        wire.new(SELL, GTC, 110, 3)
        write_cancel(wire.session, wire.to_exchange, 2, 0, wire.now_ns)
        return take_frames(wire.to_exchange)

    assert run() == run()


@given(
    st.integers(0, 2**63 - 1), st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**63 - 1), st.integers(0, 2**32 - 1)
)
def test_patched_checksums_equal_whole_ones(order_id: int, price_ticks: int, qty_lots: int, first_byte: int) -> None:
    """The pre-built sum and the patched words give what summing the whole segment gives, for any values."""
    market = make_market(level_capacity=2)
    session = make_bridge_session(VENUE, market, make_flow(), SESSION_ID, HEARTBEAT_MS, first_byte)
    session.state = SessionState.READY
    ring = DelayRing()
    set_delay_ring(ring, 0)
    assert write_new(session, ring, make_approval(order_id, SELL, GTC, price_ticks, qty_lots), NOW_NS)
    assert write_cancel(session, ring, order_id, 0, NOW_NS)
    for data in take_frames(ring):
        frame, memory = frame_of(data)
        packet = Packet()
        assert parse_packet(frame, packet, PacketCounters())
        seal_tcp_frame(
            memory.address, packet.payload_length, packet.tcp_sequence, packet.tcp_acknowledgement, FLAG_ACK | FLAG_PSH
        )
        assert bytes(memory) == data


def segment(wire: Wire, payload: bytes, to_engine: bool, sequence: int | None = None, flags: int = FLAG_ACK) -> Frame:
    """A frame with any payload, the next of its direction unless `sequence` says otherwise."""
    end = wire.session if to_engine else wire.gateway
    flow = reverse_flow(end.stream.connection.flow)
    memory = array(u8, TCP_FRAME_HEADER_BYTES + max(len(payload), 1))
    address = write_tcp_frame_header(memory.address, flow, 1000)
    ctypes.memmove(address, payload, len(payload))
    at = end.stream.connection.receive_next if sequence is None else sequence
    length = seal_tcp_frame(memory.address, len(payload), at, end.stream.connection.send_next, flags)
    frame = Frame(address=memory.address, length=length, time_ns=wire.now_ns)
    wire.kept = memory  # the frame's owner
    return frame


def message(cls: type[Struct], template: Template, sequence: int, **values: int) -> bytes:
    built = cls(**values)
    built.header.length = cls.size
    built.header.template_id = template
    built.header.version = VERSION
    built.header.stamp.sequence = sequence
    return bytes(built)


def acks(wire: Wire, count: int) -> bytes:
    first = wire.session.stream.receive_sequence + 1
    return b"".join(
        message(OrderAck, Template.ORDER_ACK, first + number, client_order_id=number, instrument_id=FIRST_VENUE_ID)
        for number in range(count)
    )


@given(st.integers(1, 12), st.lists(st.integers(1, 400), max_size=12))
def test_messages_survive_any_segmentation(count: int, cuts: list[int]) -> None:
    wire = Wire()
    wire.session.state = SessionState.READY
    payload = acks(wire, count)
    heard: list[dict[str, int]] = []
    for cut in [*cuts, len(payload)]:
        part, payload = payload[:cut], payload[cut:]
        if part:
            heard += wire.engine_receives(segment(wire, part, to_engine=True))
    assert [one["client_order_id"] for one in heard] == list(range(count))
    assert {one["instrument"] for one in heard} == {0}
    assert faults_of(wire.session) == {}


def test_a_newer_version_may_append_fields(wire: Wire) -> None:
    first, second = (
        message(OrderAck, Template.ORDER_ACK, wire.session.stream.receive_sequence + number, client_order_id=number)
        for number in (1, 2)
    )
    longer = MessageHeader.at(
        ctypes.addressof(buffer := ctypes.create_string_buffer(first + b"\xff" * 8, len(first) + 8))
    )
    longer.length = OrderAck.size + 8
    longer.version = VERSION + 1
    heard = wire.engine_receives(segment(wire, buffer.raw + second, to_engine=True))
    assert [one["client_order_id"] for one in heard] == [1, 2]


def test_copied_and_missing_segments_are_counted_and_not_read(wire: Wire) -> None:
    before = wire.session.stream.connection.receive_next
    heard = wire.engine_receives(segment(wire, acks(wire, 1), to_engine=True))
    assert len(heard) == 1
    copy = segment(wire, acks(wire, 1), to_engine=True, sequence=before)
    assert wire.engine_receives(copy) == []
    ahead = segment(wire, acks(wire, 1), to_engine=True, sequence=(before + 9999) & 0xFFFFFFFF)
    assert wire.engine_receives(ahead) == []
    assert faults_of(wire.session) == {"OUT_OF_ORDER": 2}
    assert wire.session.bad_frames == 2
    assert wire.session.state == SessionState.READY


def break_length(data: bytearray) -> None:
    data[0:2] = (OrderAck.size - 1).to_bytes(2, "little")


def break_longest(data: bytearray) -> None:
    data[0:2] = (MESSAGE_BYTES_MAX + 1).to_bytes(2, "little")


def break_template(data: bytearray) -> None:
    data[2:4] = (99).to_bytes(2, "little")


def break_version(data: bytearray) -> None:
    data[4:6] = bytes(2)


def break_sequence(data: bytearray) -> None:
    data[8:16] = (10**6).to_bytes(8, "little")


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (break_length, "BAD_LENGTH"),
        (break_longest, "BAD_LENGTH"),
        (break_template, "BAD_TEMPLATE"),
        (break_version, "OLD_VERSION"),
        (break_sequence, "BAD_SEQUENCE"),
    ],
)
def test_bytes_that_can_not_be_believed_end_the_session(
    wire: Wire, damage: Callable[[bytearray], None], fault: str
) -> None:
    data = bytearray(acks(wire, 1))
    damage(data)
    assert wire.engine_receives(segment(wire, bytes(data), to_engine=True)) == []
    assert wire.session.state == SessionState.LOST
    assert faults_of(wire.session) == {fault: 1}
    assert wire.engine_receives(segment(wire, acks(wire, 1), to_engine=True)) == []
    assert faults_of(wire.session) == {fault: 1, "AFTER_END": 1}


def test_a_closed_connection_ends_the_session(wire: Wire) -> None:
    assert wire.engine_receives(segment(wire, b"", to_engine=True, flags=FLAG_FIN | FLAG_ACK)) == []
    assert wire.session.state == SessionState.LOST


def test_frames_of_other_connections_are_left_alone(wire: Wire) -> None:
    frame = segment(wire, acks(wire, 1), to_engine=True)
    assert parse_packet(frame, wire.packet, wire.counters)
    wire.packet.source_port += 1
    read_reports(wire.session, wire.packet, wire.reports)
    assert faults_of(wire.session) == {"OTHER_CONNECTION": 1}
    assert wire.session.state == SessionState.READY


def test_more_reports_than_fit_are_never_silently_lost(wire: Wire) -> None:
    heard = wire.engine_receives(segment(wire, acks(wire, REPORTS_MAX + 1), to_engine=True))
    assert len(heard) == REPORTS_MAX
    assert wire.reports.dropped == 1
    assert wire.session.state == SessionState.LOST


def test_every_flipped_bit_of_a_sent_frame_is_refused(wire: Wire) -> None:
    wire.new(BUY, IOC, 101, 1)
    data = take_frames(wire.to_exchange)[0]
    accepted = wire.matching.accepted
    ethernet_bytes = 12 * 8  # the MACs are the switch's business
    for bit in range(ethernet_bytes, len(data) * 8):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        frame, _memory = frame_of(damaged)
        wire.exchange_receives(frame)
    assert wire.matching.accepted == accepted
    refused = sum(wire.gateway.mistakes)
    assert refused == (len(data) * 8 - ethernet_bytes)
    wire.exchange_receives(frame_of(data)[0])
    assert wire.matching.accepted == accepted + 1


def client_sends(wire: Wire, payload: bytes) -> list[dict[str, int]]:
    wire.exchange_receives(segment(wire, payload, to_engine=False))
    return wire.pump()


def test_the_exchange_wants_a_logon_first() -> None:
    wire = Wire()
    order = message(NewOrder, Template.NEW_ORDER, 1, client_order_id=5, instrument_id=FIRST_VENUE_ID, qty_lots=1)
    cancel = message(CancelOrder, Template.CANCEL_ORDER, 2, client_order_id=5)
    assert client_sends(wire, order + cancel) == []
    assert wire.mistakes() == {"NOT_LOGGED_ON": 1}
    assert (wire.session.state, wire.session.logout_reason) == (SessionState.LOST, LogoutReason.NOT_LOGGED_ON)
    assert client_sends(wire, cancel) == []
    assert wire.trouble() == {"AFTER_END": 1}
    assert wire.gateway.frames_sent == 1


def test_the_exchange_logs_out_a_client_that_breaks_the_protocol(wire: Wire) -> None:
    wire.new(BUY, GTC, 90, 2)
    wire.pump()
    sequence = wire.gateway.stream.receive_sequence
    heard = client_sends(wire, message(NewOrder, Template.NEW_ORDER, sequence + 2))
    assert [one["kind"] for one in heard] == [ReportKind.CANCELLED]  # cancel on disconnect
    assert wire.trouble() == {"BAD_SEQUENCE": 1}
    assert wire.session.state == SessionState.LOST
    assert wire.session.logout_reason == LogoutReason.BAD_MESSAGE


def test_a_second_logon_is_a_mistake(wire: Wire) -> None:
    sequence = wire.gateway.stream.receive_sequence
    client_sends(wire, message(Logon, Template.LOGON, sequence + 1, heartbeat_interval_ms=5))
    assert wire.mistakes() == {"BAD_LOGON": 1}
    assert wire.session.logout_reason == LogoutReason.BAD_LOGON


def test_messages_of_the_wrong_direction_are_counted(wire: Wire) -> None:
    sequence = wire.gateway.stream.receive_sequence
    assert client_sends(wire, message(OrderFill, Template.ORDER_FILL, sequence + 1)) == []
    assert wire.mistakes() == {"WRONG_DIRECTION": 1}
    engine = wire.session.stream.receive_sequence
    wire.engine_receives(segment(wire, message(NewOrder, Template.NEW_ORDER, engine + 1), to_engine=True))
    assert wire.session.unexpected == 1


def test_a_wire_delays_and_keeps_the_order() -> None:
    ring, frame = DelayRing(), Frame()
    set_delay_ring(ring, 500)
    session = make_bridge_session(VENUE, make_market(), make_flow(), SESSION_ID, HEARTBEAT_MS)
    assert next_time_ns(ring) == NEVER_NS
    start_session(session, ring, 1000)
    ring.latency_ns = 100  # a faster frame does not overtake
    session.state = SessionState.READY
    write_mass_cancel(session, ring, 1001)
    assert next_time_ns(ring) == 1500
    assert not poll(ring, frame, 1499)
    assert poll(ring, frame, 1500)
    assert frame.time_ns == 1500
    release(ring)
    assert next_time_ns(ring) == 1500
    with pytest.raises(ValueError, match="latency"):
        set_delay_ring(ring, -1)


@pytest.mark.parametrize("heartbeat_ms", [0, 60_001])
def test_heartbeat_interval_is_checked(heartbeat_ms: int) -> None:
    with pytest.raises(ValueError, match="heartbeat_interval_ms"):
        make_bridge_session(VENUE, make_market(), make_flow(), SESSION_ID, heartbeat_ms)


def mutated(chance: random.Random, seeds: list[bytes], count: int) -> Iterator[bytes]:
    """Payloads with a few bytes changed, cut or lengthened; some are the seeds themselves."""
    for _ in range(count):
        data = bytearray(chance.choice(seeds))
        for _ in range(chance.randrange(4)):
            place = chance.randrange(len(data))
            data[place] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
        if chance.random() < 0.3:
            del data[chance.randrange(len(data)) :]
        if chance.random() < 0.2:
            data += chance.choice(seeds)
        yield bytes(data)


def test_fuzzed_reports_read_nothing_past_the_payload() -> None:
    """Each frame ends at an unreadable page. The counters account for every one."""
    wire = Wire()
    chance = random.Random(20241122)
    seeds = [message(one.root, Template(one.template_id), 1) for one in MESSAGES]
    stream, packet, reports = wire.session.stream, wire.packet, wire.reports
    flow = make_flow()
    read = 0
    with GuardedBytes() as guarded:
        for payload in mutated(chance, seeds, FUZZ_FRAMES):
            packet.payload_address, packet.payload_length = guarded.place(payload), len(payload)
            packet.protocol, packet.tcp_flags = 6, FLAG_ACK
            packet.source_ip, packet.destination_ip = flow.destination_ip, flow.source_ip
            packet.source_port, packet.destination_port = flow.destination_port, flow.source_port
            packet.tcp_sequence = stream.connection.receive_next
            if chance.random() < 0.7:
                stream.partial_length = 0  # else the message goes on in this segment
            stream.ended, stream.receive_sequence = 0, 0
            wire.session.state = SessionState.READY
            reports.count = 0
            read_reports(wire.session, packet, reports)
            read += 1 if payload else 0
    assert wire.session.frames_received == read
    faults = faults_of(wire.session)
    assert set(faults) == {"BAD_LENGTH", "BAD_TEMPLATE", "BAD_SEQUENCE", "OLD_VERSION"}
    assert wire.session.bad_frames == sum(faults.values())


def test_fuzzed_orders_read_nothing_past_the_frame() -> None:
    """Whole frames, most with their checksums mended, so that the messages themselves are reached."""
    wire = Wire()
    chance = random.Random(20241123)
    seeds = [message(one.root, Template(one.template_id), 1) for one in MESSAGES]
    seeds.append(
        message(
            NewOrder,
            Template.NEW_ORDER,
            1,
            client_order_id=9,
            instrument_id=FIRST_VENUE_ID,
            qty_lots=3,
            price_ticks=101,
        )
    )
    frame = Frame(time_ns=NOW_NS)
    with GuardedBytes() as guarded:
        for payload in mutated(chance, seeds, FUZZ_FRAMES):
            whole = segment(wire, payload, to_engine=False)
            data = bytearray(ctypes.string_at(whole.address, whole.length))
            if chance.random() < 0.3:
                data[chance.randrange(len(data))] ^= chance.randrange(1, 256)
            if chance.random() < 0.1:
                del data[chance.randrange(len(data)) :]
            wire.gateway.stream.ended, wire.gateway.stream.receive_sequence = 0, 0
            wire.gateway.closed, wire.gateway.logged_on = 0, chance.randrange(2)
            wire.matching.last_client_order_id = -1
            frame.address, frame.length = guarded.place(bytes(data)), len(data)
            wire.exchange_receives(frame)
            wire.to_engine.received = wire.to_engine.sent
    assert wire.gateway.frames_received == FUZZ_FRAMES
    assert all(wire.gateway.mistakes)
    assert {"BAD_LENGTH", "BAD_TEMPLATE", "BAD_SEQUENCE"} <= set(wire.trouble())
    assert wire.matching.accepted > 0
