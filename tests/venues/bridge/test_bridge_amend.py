"""Amends over the bridge's order protocol, in real frames, and peers of an older version of it."""

import pytest

from crosswire.nic.packet import FLAG_ACK, FLAG_PSH, Packet, PacketCounters, parse_packet, seal_tcp_frame
from crosswire.nic.rings.delay import DELAY_FRAMES_MAX
from crosswire.venues.bridge.orders.session import Loss, explain, stays_lost
from crosswire.venues.bridge.wire.order_layout import (
    VERSION,
    AmendReject,
    Logon,
    LogonAck,
    LogoutReason,
    MessageHeader,
    OrderAmended,
    OrderLimit,
    Template,
)
from crosswire.venues.order import NOT_TOLD, RejectReason, ReportKind, TimeInForce
from crosswire.venues.session import SessionState, start_session, write_amend
from crosswire.venues.side import BUY, SELL
from tests.support.order_setup import FIRST_VENUE_ID, VENUE, make_approval
from tests.venues.bridge.test_bridge_orders import Wire, faults_of, frame_of, message, segment, take_frames
from tests.venues.bridge.test_bridge_reports import hears

GTC, POST_ONLY = TimeInForce.GTC, TimeInForce.POST_ONLY


@pytest.fixture
def wire() -> Wire:
    wire = Wire()
    wire.log_on()
    return wire


def amend(wire: Wire, order_id: int, price_ticks: int, qty_lots: int, side: int = BUY) -> bool:
    approval = make_approval(order_id, side, GTC, price_ticks, qty_lots)
    return bool(write_amend(wire.session, wire.to_exchange, approval, wire.now_ns))


def test_an_amend_there_and_back(wire: Wire) -> None:
    order_id = wire.new(BUY, GTC, 99, 10)
    (ack,) = wire.pump()
    assert amend(wire, order_id, 101, 12)
    amended, fill = wire.pump()
    assert amended | {"exchange_time_ns": 0} == amended | {
        "kind": ReportKind.AMENDED,
        "client_order_id": order_id,
        "exchange_order_id": ack["exchange_order_id"],
        "exchange_time_ns": 0,
        "instrument": 0,
        "side": BUY,
        "price_ticks": 101,
        "qty_lots": 12,
    }
    assert (fill["kind"], fill["price_ticks"], fill["qty_lots"], fill["leaves_lots"]) == (ReportKind.FILL, 101, 5, 7)
    assert amend(wire, order_id, 101, 5)
    (refused,) = wire.pump()
    assert (refused["kind"], refused["reason"]) == (ReportKind.AMEND_REJECTED, RejectReason.BAD_QUANTITY)
    assert wire.trouble() == wire.mistakes() == {}


def test_a_post_only_order_stays_one(wire: Wire) -> None:
    order_id = wire.new(BUY, POST_ONLY, 99, 10)
    wire.pump()
    assert amend(wire, order_id, 101, 10)
    (refused,) = wire.pump()
    assert (refused["kind"], refused["reason"]) == (ReportKind.AMEND_REJECTED, RejectReason.WOULD_TAKE)


def test_every_field_of_an_answer_is_the_messages(wire: Wire) -> None:
    named = {"client_order_id": 5, "exchange_time_ns": 6}
    terms = {"exchange_order_id": 7, "price_ticks": 8, "qty_lots": 9, "side": SELL}
    heard = hears(
        wire,
        (OrderAmended, Template.ORDER_AMENDED, named | terms | {"instrument_id": FIRST_VENUE_ID + 1}),
        (AmendReject, Template.AMEND_REJECT, named | {"reason": 99}),
    )
    told = named | {"leaves_lots": NOT_TOLD, "filled_lots": NOT_TOLD, "venue": VENUE}
    assert heard == [
        told | terms | {"kind": ReportKind.AMENDED, "instrument": 1},
        told | {"kind": ReportKind.AMEND_REJECTED, "instrument": -1, "reason": RejectReason.OTHER},
    ]


def test_an_amend_needs_an_armed_approval_a_session_and_a_slot(wire: Wire) -> None:
    approval = make_approval(1, BUY, GTC, 99, 10)
    approval.armed = 0
    assert not write_amend(wire.session, wire.to_exchange, approval, wire.now_ns)
    assert wire.session.unarmed == 1
    sequence = wire.session.stream.send_sequence
    assert all(amend(wire, 1, 99, 10) for _ in range(DELAY_FRAMES_MAX))
    assert not amend(wire, 1, 99, 10)
    assert wire.session.ring_full == 1
    assert wire.session.stream.send_sequence == sequence + DELAY_FRAMES_MAX
    wire.session.state = SessionState.LOST
    approval = make_approval(1, BUY, GTC, 99, 10)
    assert not write_amend(wire.session, wire.to_exchange, approval, wire.now_ns)
    assert approval.armed == 0


def test_patched_checksums_equal_whole_ones(wire: Wire) -> None:
    for order_id, price_ticks, qty_lots in ((1, -1, 1), (1 << 62, (1 << 63) - 1, 1 << 40), (7 << 12, 0x12345678, 3)):
        assert amend(wire, order_id, price_ticks, qty_lots)
        (data,) = take_frames(wire.to_exchange)
        frame, memory = frame_of(data)
        packet = Packet()
        assert parse_packet(frame, packet, PacketCounters())
        seal_tcp_frame(
            memory.address, packet.payload_length, packet.tcp_sequence, packet.tcp_acknowledgement, FLAG_ACK | FLAG_PSH
        )
        assert bytes(memory) == data


def old(payload: bytes) -> bytes:
    """The same message as an older version had it."""
    at = MessageHeader.fields["version"].offset
    return payload[:at] + (VERSION - 1).to_bytes(2, "little") + payload[at + 2 :]


def test_an_engine_that_finds_an_older_exchange_says_so_and_stays_away() -> None:
    wire = Wire()
    start_session(wire.session, wire.to_exchange, wire.now_ns)
    answer = old(message(LogonAck, Template.LOGON_ACK, 1, session_id=wire.session.session_id))
    assert wire.engine_receives(segment(wire, answer, to_engine=True)) == []
    assert (wire.session.state, wire.session.loss) == (SessionState.LOST, Loss.OLD_VERSION)
    assert stays_lost(wire.session)
    reason = f"the gateway speaks a version of the order protocol before {VERSION}: run the same release at both ends"
    assert explain(wire.session).startswith(f"{reason}; ")


def test_an_exchange_that_finds_an_older_engine_logs_it_out() -> None:
    wire = Wire()
    logon = old(message(Logon, Template.LOGON, 1, session_id=9, heartbeat_interval_ms=1000))
    wire.exchange_receives(segment(wire, logon, to_engine=False))
    assert faults_of(wire.gateway) == {"OLD_VERSION": 1}
    assert wire.gateway.logged_on == 0
    wire.pump()
    assert wire.session.logout_reason == LogoutReason.BAD_LOGON
    assert stays_lost(wire.session)


def test_what_is_left_is_told_with_what_is_under_way_taken_off(wire: Wire) -> None:
    for _ in range(3):
        wire.new(BUY, GTC, 99, 1)
    amend(wire, 1, 98, 1)
    for counted, left, held in ((0, 10, 6), (4, 10, 10), (2, 1, 0), (9, 5, 5)):
        wire.session.tells_left = 0
        assert hears(wire, (OrderLimit, Template.ORDER_LIMIT, {"counted": counted, "left": left})) == []
        assert (wire.session.tells_left, wire.session.orders_left) == (1, held)
