"""What the bridge's session makes of each message of the exchange, and how it asks for the account before it trades."""

import pytest

from crosswire.nic.memory.struct import view
from crosswire.nic.packet import FLAG_ACK
from crosswire.nic.rings.delay import DELAY_FRAMES_MAX
from crosswire.nic.rings.ring import NEVER_NS
from crosswire.venues.bridge.orders.session import (
    DEFINITIONS_NS,
    LOGON_RETRY_NS,
    ask_account,
    make_bridge_session,
)
from crosswire.venues.bridge.wire.order_layout import (
    AccountEnd,
    AccountPosition,
    AccountQuery,
    CancelReject,
    OrderAck,
    OrderCancelled,
    OrderFill,
    OrderReject,
    Template,
)
from crosswire.venues.order import NOT_TOLD, RejectReason, ReportKind, TimeInForce
from crosswire.venues.session import SessionState, keep_session, start_session, write_cancel, write_mass_cancel
from crosswire.venues.side import BUY, SELL
from tests.support.order_setup import FIRST_VENUE_ID, VENUE, make_flow, make_market
from tests.venues.bridge.test_bridge_orders import HEARTBEAT_NS, NOW_NS, Wire, frame_of, message, segment, take_frames

LIKE = {"leaves_lots": NOT_TOLD, "filled_lots": NOT_TOLD, "venue": VENUE}


@pytest.fixture
def wire() -> Wire:
    wire = Wire()
    wire.log_on()
    return wire


def hears(wire: Wire, *built: tuple[type, Template, dict[str, int]]) -> list[dict[str, int]]:
    """What the engine hears of these messages, in one segment; only what is not 0."""
    first = wire.session.stream.receive_sequence + 1
    payload = b"".join(
        message(cls, template, first + number, **values) for number, (cls, template, values) in enumerate(built)
    )
    heard = wire.engine_receives(segment(wire, payload, to_engine=True))
    return [{name: value for name, value in report.items() if value != 0} for report in heard]


ORDER = {"client_order_id": 5, "exchange_time_ns": 6}
FILL = ORDER | {"exchange_order_id": 7, "execution_id": 8, "price_ticks": 9, "qty_lots": 10, "leaves_lots": 11}
FILL |= {"fee_e9": -12, "is_maker": 1, "side": SELL}


def test_fills_whose_execution_ids_come_out_of_order_are_both_told(wire: Wire) -> None:
    fills = [FILL | {"client_order_id": order, "execution_id": number} for order, number in ((5, 10), (6, 9))]
    heard = hears(wire, *((OrderFill, Template.ORDER_FILL, fill) for fill in fills))
    assert [(each["client_order_id"], each["execution_id"]) for each in heard] == [(5, 10), (6, 9)]
    assert wire.session.known_execution_id == 10


def test_every_field_of_a_report_is_the_messages(wire: Wire) -> None:
    listed = {"instrument_id": FIRST_VENUE_ID + 1}
    told = LIKE | ORDER | {"instrument": 1}
    sold = {"exchange_order_id": 7, "side": SELL}
    fill = hears(wire, (OrderFill, Template.ORDER_FILL, FILL | listed))
    assert fill == [told | FILL | {"kind": ReportKind.FILL}]
    # Nothing of it is left in what comes next.
    heard = hears(
        wire,
        (OrderAck, Template.ORDER_ACK, ORDER | sold | listed),
        (OrderCancelled, Template.ORDER_CANCELLED, ORDER | sold | listed | {"leaves_lots": 3, "reason": 4}),
        (OrderReject, Template.ORDER_REJECT, ORDER | {"side": SELL, "reason": 4} | listed),
        (CancelReject, Template.CANCEL_REJECT, ORDER | {"reason": 200}),
    )
    assert heard == [
        told | sold,  # ReportKind.ACK is 0
        told | sold | {"kind": ReportKind.CANCELLED, "leaves_lots": 3, "reason": 4},
        told | {"side": SELL, "kind": ReportKind.REJECTED, "reason": 4},
        told | {"instrument": -1, "kind": ReportKind.CANCEL_REJECTED, "reason": RejectReason.OTHER},
    ]


@pytest.mark.parametrize(("instrument_id", "instrument"), [(0, -1), (4242, -2)])
def test_an_instrument_that_is_not_named_or_not_known(wire: Wire, instrument_id: int, instrument: int) -> None:
    named = {"instrument_id": instrument_id}
    heard = hears(
        wire,
        (OrderFill, Template.ORDER_FILL, FILL | named),
        (AccountPosition, Template.ACCOUNT_POSITION, named | {"position_lots": 5}),
    )
    assert [report["instrument"] for report in heard] == [instrument] * 2


def queries(wire: Wire) -> list[int]:
    """The executions after which the account was asked for, by the frames under way."""
    found = []
    for data in take_frames(wire.to_exchange):
        frame, memory = frame_of(data)
        header_bytes = len(data) - AccountQuery.size
        if len(data) == len(memory) and header_bytes > 0:
            query = view(AccountQuery, frame.address + header_bytes)
            if query.header.template_id == Template.ACCOUNT_QUERY:
                found.append(int(query.execution_id))
    return found


@pytest.fixture
def asking() -> Wire:
    """A session that has logged on, and is to ask for all fills after the 41st."""
    wire = Wire()
    ask_account(wire.session, 41)
    start_session(wire.session, wire.to_exchange, NOW_NS)
    assert wire.pump() == []
    return wire


def test_the_account_is_asked_for_once_before_the_session_is_ready(asking: Wire) -> None:
    session = asking.session
    assert (session.state, session.keep_due) == (SessionState.LOGGING_ON, 1)
    keep_session(session, asking.to_exchange, NOW_NS)
    assert (queries(asking), session.keep_due) == ([41], 0)
    keep_session(session, asking.to_exchange, NOW_NS + 1)
    assert queries(asking) == []
    heard = hears(asking, (AccountEnd, Template.ACCOUNT_END, {"client_order_id": 3, "execution_id": 4, "missing": 1}))
    assert heard == [
        LIKE | {"kind": ReportKind.ACCOUNT_END, "client_order_id": 3, "execution_id": 4, "reason": 1, "instrument": -1}
    ]
    assert (session.state, session.accounts_told) == (SessionState.READY, 1)
    assert hears(asking, (AccountEnd, Template.ACCOUNT_END, {})) == []
    assert (session.accounts_told, session.unexpected) == (1, 1)


def test_nobody_who_has_not_asked_is_told_of_an_account() -> None:
    wire = Wire()
    start_session(wire.session, wire.to_exchange, NOW_NS)
    assert hears(wire, (AccountEnd, Template.ACCOUNT_END, {})) == []
    assert (wire.session.state, wire.session.unexpected) == (SessionState.LOGGING_ON, 1)


def test_while_there_are_more_fills_it_asks_again_after_the_last(asking: Wire) -> None:
    keep_session(asking.session, asking.to_exchange, NOW_NS)
    take_frames(asking.to_exchange)
    heard = hears(
        asking,
        (OrderFill, Template.ORDER_FILL, FILL | {"execution_id": 43}),
        (OrderFill, Template.ORDER_FILL, FILL | {"execution_id": 42}),
        (AccountEnd, Template.ACCOUNT_END, {"execution_id": 99, "more": 1}),
    )
    assert [report["kind"] for report in heard] == [ReportKind.FILL] * 2
    assert (asking.session.state, asking.session.keep_due) == (SessionState.LOGGING_ON, 1)
    keep_session(asking.session, asking.to_exchange, NOW_NS)
    assert queries(asking) == [43]


def test_the_exchange_tells_what_is_open_and_held(wire: Wire) -> None:
    wire.new(BUY, TimeInForce.IOC, 101, 3)
    order_id = wire.new(SELL, TimeInForce.GTC, 110, 4)
    wire.pump()
    ask_account(wire.session, 0)
    wire.session.state, wire.session.account_due = SessionState.LOGGING_ON, 1
    keep_session(wire.session, wire.to_exchange, NOW_NS)
    fill, order, position, end = wire.pump()
    assert (fill["kind"], fill["execution_id"], fill["qty_lots"], fill["side"]) == (ReportKind.FILL, 1, 3, BUY)
    assert (order["kind"], order["client_order_id"], order["exchange_order_id"]) == (ReportKind.OPEN, order_id, 2)
    assert (order["instrument"], order["side"], order["price_ticks"], order["leaves_lots"]) == (0, SELL, 110, 4)
    assert (position["kind"], position["instrument"], position["qty_lots"]) == (ReportKind.HOLDING, 0, 3)
    assert (end["kind"], end["client_order_id"], end["qty_lots"], end["reason"]) == (ReportKind.ACCOUNT_END, 2, 1, 0)


@pytest.mark.parametrize(
    ("venue", "venue_id", "asked"), [(VENUE, -1, []), (VENUE, 0, [41]), (VENUE + 1, -1, [41]), (VENUE, 900, [41])]
)
def test_the_account_is_asked_for_when_the_feed_has_defined_all_instruments(
    asking: Wire, venue: int, venue_id: int, asked: list[int]
) -> None:
    other = asking.market.instruments[1]
    other.venue, other.venue_id = venue, venue_id
    wake_ns = keep_session(asking.session, asking.to_exchange, NOW_NS)
    assert queries(asking) == asked
    assert wake_ns == NOW_NS + (HEARTBEAT_NS if asked else DEFINITIONS_NS)
    other.venue_id = 901
    keep_session(asking.session, asking.to_exchange, NOW_NS)
    assert queries(asking) == ([] if asked else [41])


def test_a_full_ring_puts_off_what_is_not_an_order(asking: Wire) -> None:
    session, ring = asking.session, asking.to_exchange
    session.state = SessionState.READY
    while asking.new(BUY, TimeInForce.GTC, 90, 1):
        pass
    before = session.ring_full
    assert not write_cancel(session, ring, 1, 0, NOW_NS)
    assert not write_mass_cancel(session, ring, NOW_NS)
    assert (session.ring_full, session.cancels_sent) == (before + 2, 0)
    session.state = SessionState.LOGGING_ON
    wake_ns = keep_session(session, ring, NOW_NS + HEARTBEAT_NS)
    assert wake_ns == NOW_NS + 2 * HEARTBEAT_NS
    assert session.ring_full == before + 4  # a heartbeat and the query
    assert len(take_frames(ring)) == DELAY_FRAMES_MAX
    keep_session(session, ring, NOW_NS + HEARTBEAT_NS)
    assert queries(asking) == [41]


def test_a_logon_that_finds_no_slot_is_tried_again() -> None:
    wire = Wire()
    wire.session.state = SessionState.READY
    while wire.new(BUY, TimeInForce.GTC, 90, 1):
        pass
    before, wire.session.state = wire.session.ring_full, SessionState.CLOSED
    start_session(wire.session, wire.to_exchange, NOW_NS)
    assert (wire.session.state, wire.session.ring_full) == (SessionState.CLOSED, before + 1)
    assert keep_session(wire.session, wire.to_exchange, NOW_NS) == NOW_NS + LOGON_RETRY_NS
    take_frames(wire.to_exchange)
    start_session(wire.session, wire.to_exchange, NOW_NS)
    assert wire.session.state == SessionState.LOGGING_ON


def test_no_heartbeat_comes_before_the_answer_to_the_logon() -> None:
    wire = Wire()
    ask_account(wire.session, 0)
    start_session(wire.session, wire.to_exchange, NOW_NS)
    logon = take_frames(wire.to_exchange)
    for beats, wake_beats in ((0, 1), (1, 2), (2, 3)):
        wake_ns = keep_session(wire.session, wire.to_exchange, NOW_NS + beats * HEARTBEAT_NS)
        assert wake_ns == NOW_NS + wake_beats * HEARTBEAT_NS
    assert take_frames(wire.to_exchange) == []
    assert keep_session(wire.session, wire.to_exchange, NOW_NS + 3 * HEARTBEAT_NS - 1) == NOW_NS + 3 * HEARTBEAT_NS
    wire.exchange_receives(frame_of(logon[0])[0])
    wire.pump()
    keep_session(wire.session, wire.to_exchange, NOW_NS + HEARTBEAT_NS)
    assert len(take_frames(wire.to_exchange)) == 2  # a heartbeat and the query
    assert keep_session(wire.session, wire.to_exchange, NOW_NS + 9 * HEARTBEAT_NS) == NEVER_NS


def test_where_the_session_stands_is_noted_of_both_directions(wire: Wire) -> None:
    stream = wire.session.stream
    wire.new(BUY, TimeInForce.GTC, 90, 1)
    wire.new(BUY, TimeInForce.GTC, 90, 1)
    assert (list(wire.session.numbers)[:2], stream.send_sequence) == ([3, 1], 3)
    wire.pump()
    assert list(wire.session.numbers)[:2] == [3, stream.receive_sequence] == [3, 3]


@pytest.mark.parametrize(("payload", "bad_frames"), [(b"", 0), (b"x", 1), (b"xy", 1)])
def test_a_segment_that_is_not_read_is_a_bad_frame_if_anything_is_in_it(
    wire: Wire, payload: bytes, bad_frames: int
) -> None:
    later = wire.session.stream.connection.receive_next + 9
    wire.engine_receives(segment(wire, payload, to_engine=True, sequence=later, flags=FLAG_ACK))
    assert wire.session.bad_frames == bad_frames


def test_a_session_may_beat_every_millisecond_and_counts_bytes_from_nothing() -> None:
    session = make_bridge_session(VENUE, make_market(), make_flow(), 1, 1)
    assert session.heartbeat_interval_ns == 1_000_000
    assert (session.stream.connection.send_next, session.stream.connection.receive_next) == (0, 0)
