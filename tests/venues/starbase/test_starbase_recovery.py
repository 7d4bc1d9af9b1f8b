"""What a Starbase session does when something is missing, silent or ended: resends, breaks, heartbeats, goodbyes."""

import pytest

from crosswire.nic.duration import NS_PER_MS, NS_PER_S
from crosswire.nic.rings.ring import NEVER_NS
from crosswire.venues.order import (
    REPORTS_MAX,
    RejectReason,
    ReportKind,
)
from crosswire.venues.session import (
    SessionState,
    end_session,
    write_cancel,
    write_cancel_by_id,
)
from crosswire.venues.side import BUY
from crosswire.venues.starbase.orders.state import Refusal
from tests.support.order_setup import FIRST_VENUE_ID
from tests.support.starbase_order_setup import (
    ACTIVE,
    GTC,
    IOC,
    NOW_NS,
    Bench,
    Gateway,
    fill,
    placed,
    quantity,
    response,
    result,
    ticks,
    told,
)

pytestmark = pytest.mark.starbase


def test_fills_apply_exactly_once_whatever_is_resent(bench: Bench) -> None:
    order_id = bench.new(BUY, GTC, 101, 20)
    heard = []
    frame = bench.gateway.frame("NewOrderResponse", response(order_id, ACTIVE, 20, 8), {"fills": [fill(1, 101, 8)]})
    heard += bench.hear(frame)
    number = bench.gateway.sent_sequence
    heard += bench.hear(bench.gateway.again(number)) + bench.hear(bench.gateway.again(number))
    assert bench.session.links[0].copies == 2
    # The same fill under another number, as after a failover.
    heard += bench.hear(
        bench.gateway.frame("OrderPlaced", placed(order_id, ACTIVE, 20, 8), {"fills": [fill(1, 101, 8)]})
    )
    assert [kind for (kind,) in told(heard)] == [ReportKind.ACK, ReportKind.FILL, ReportKind.ACK]
    assert bench.session.fills.copies == 1


def drop_and_return(bench: Bench) -> None:
    """The connection breaks; after the backoff there is a new one, and the session logs on again."""
    bench.close_connection()
    assert bench.session.state == SessionState.LOST
    bench.keep(NS_PER_S)
    assert bench.ring.reconnects[0] == 1
    bench.ring.connections[0] += 1
    bench.keep(NS_PER_MS)
    assert bench.gateway.take()[-1] == "Logon"
    assert bench.gateway.seen[-1][1]["resetSeqNum"] == 0


def test_after_a_break_what_is_missing_is_asked_for(bench: Bench) -> None:
    order_id = bench.new(BUY, GTC, 101, 20)
    bench.hear(bench.gateway.frame("NewOrderResponse", response(order_id, ACTIVE, 20)))
    # Said while nobody listened: a heartbeat, a fill, a cancel on disconnect.
    bench.gateway.frame("Heartbeat")
    entry = {"clientOrderId": order_id, "orderId": 9001, "instrumentId": FIRST_VENUE_ID}
    made = {
        **entry,
        "matchId": 1,
        "side": 1,
        **ticks("price", 101),
        **quantity("fillQty", 5),
        **quantity("totalFilled", 5),
    }
    bench.gateway.frame("OrderFilled", {}, {"fills": [made]})
    bench.gateway.frame("OrdersCanceled", {}, {"orders": [{**entry, **quantity("totalFilled", 5), "cancelReason": 7}]})
    drop_and_return(bench)
    bench.gateway.last_processed = bench.gateway.numbers[-1]
    assert bench.hear(bench.conf(bench.gateway)) == []
    assert bench.session.state == SessionState.LOGGING_ON
    bench.keep(NS_PER_MS)
    assert bench.gateway.take() == ["ResendRequest"]
    assert bench.gateway.seen[0][1] == {"fromSequenceNumber": 3, "toSequenceNumber": 0}
    assert bench.hear(bench.gateway.frame("Heartbeat")) == []  # comes before what was asked for, and again with it
    heard = bench.hear(bench.gateway.frame("GapFill", {"newSequenceNumber": 4}, sequence=3, flags=1))
    heard += bench.hear(bench.gateway.again(4) + bench.gateway.again(5))
    assert bench.session.state == SessionState.LOGGING_ON
    heard += bench.hear(bench.gateway.frame("GapFill", {"newSequenceNumber": 8}, sequence=6, flags=1))
    assert told(heard, "qty_lots", "reason") == [
        (ReportKind.FILL, 5, 0), (ReportKind.CANCELLED, 0, RejectReason.SESSION_LOST),
    ]  # fmt: skip
    assert bench.session.state == SessionState.READY
    assert (bench.session.links[0].gaps, bench.session.links[0].copies) == (1, 0)
    assert bench.new(BUY, GTC, 101, 20)


def test_orders_that_never_arrived_are_ended_and_never_sent_again(bench: Bench) -> None:
    first = bench.new(BUY, GTC, 101, 20)
    bench.hear(bench.gateway.frame("NewOrderResponse", response(first, ACTIVE, 20)))
    received = bench.gateway.numbers[-1]
    second = bench.new(BUY, GTC, 102, 20)
    assert write_cancel(bench.session, bench.ring, first, 0, bench.now_ns)
    bench.pump()
    drop_and_return(bench)
    bench.gateway.last_processed = received
    heard = bench.hear(bench.conf(bench.gateway))
    assert told(heard, "client_order_id", "reason") == [
        (ReportKind.REJECTED, second, RejectReason.SESSION_LOST),
        (ReportKind.CANCEL_REJECTED, first, RejectReason.SESSION_LOST),
    ]
    assert bench.session.state == SessionState.READY
    asked = {"fromSequenceNumber": received + 1, "toSequenceNumber": 0}
    bench.hear(bench.gateway.frame("ResendRequest", asked))
    assert bench.session.keep_due == 1
    bench.keep()
    assert bench.gateway.take() == ["GapFill"]
    assert bench.gateway.seen[0][1] == {"newSequenceNumber": received + 4}  # two orders and the logon
    assert (bench.gateway.numbers[-1], bench.gateway.flags[-1]) == (received + 1, 1)
    third = bench.new(BUY, GTC, 103, 20)
    assert bench.gateway.numbers[-1] == received + 4
    assert bench.gateway.take() == ["NewOrderRequest"]
    assert bench.gateway.seen[0][1]["clientOrderId"] == third


def test_a_lost_mass_quote_that_is_told_in_parts_is_told_once() -> None:
    """A second report of an order that has ended would be an alarm."""
    bench = Bench(tokens_max=1_000_000)
    bench.log_on()
    received = bench.gateway.numbers[-1]
    ids = [bench.new(BUY, GTC, 101, 1) for _ in range(REPORTS_MAX - 1)]
    ids += bench.quote((0, 90, 110, 3), (1, 80, 120, 3))
    ids.append(bench.new(BUY, GTC, 101, 1))
    assert all(ids)
    drop_and_return(bench)
    bench.gateway.last_processed = received
    heard = bench.hear(bench.conf(bench.gateway))
    assert [one["client_order_id"] for one in heard] == ids
    assert {one["kind"] for one in heard} == {ReportKind.REJECTED}
    assert bench.session.state == SessionState.READY
    assert bench.quote((0, 90, 110, 3), (1, 80, 120, 3))


def return_to(bench: Bench, gateway: Gateway) -> None:
    """A gateway that was gone takes a connection and a logon again; it received everything."""
    bench.keep(NS_PER_S)
    bench.ring.connections[gateway.stream] += 1
    bench.keep(NS_PER_MS)
    gateway.last_processed = gateway.numbers[-1]
    bench.hear(bench.conf(gateway), gateway)


def test_quotes_of_a_lost_gateway_are_not_replaced_over_the_other() -> None:
    """Until it is back it is not known what became of them; what it says then is of quotes that are remembered."""
    bench = Bench(links=2)
    bench.log_on()
    a, b = bench.gateways
    first = bench.quote((0, 90, 110, 3))
    bench.hear(a.frame("MassQuoteResponse", {"quoteId": 1}, {"quotes": [result(0, (71, 3), (72, 3), (90, 110, 3))]}), a)
    bench.close_connection(a)
    made = {
        "orderId": 71, "instrumentId": FIRST_VENUE_ID, "matchId": 9, "side": 1, "flags": 1,
        **ticks("price", 90), **quantity("fillQty", 1), **quantity("totalFilled", 1),
    }  # fmt: skip
    a.frame("OrderFilled", {}, {"fills": [made]})
    ended = [{"orderId": number, "instrumentId": FIRST_VENUE_ID, "cancelReason": 7, "flags": 1} for number in (71, 72)]
    a.frame("OrdersCanceled", {}, {"orders": ended})
    number = a.sent_sequence
    assert not bench.quote((0, 91, 111, 3), (1, 80, 120, 3))
    assert bench.session.unlinked == 1
    assert bench.quote((1, 80, 120, 3))
    bench.hear(b.frame("MassQuoteResponse", {"quoteId": 2}, {"quotes": [result(1, (73, 3), (74, 3), (80, 120, 3))]}), b)
    return_to(bench, a)
    skipped = a.frame("GapFill", {"newSequenceNumber": number + 2}, sequence=number + 1, flags=1)
    heard = bench.hear(a.again(number - 1) + a.again(number) + skipped, a)
    assert told(heard, "client_order_id") == [
        (ReportKind.FILL, first[0]), (ReportKind.CANCELLED, first[0]), (ReportKind.CANCELLED, first[1]),
    ]  # fmt: skip
    assert bench.session.links[0].state == SessionState.READY
    # Both are there again: quotes stay where they are, orders go to the first.
    bench.pump()
    a.take(), b.take()
    assert bench.quote((0, 91, 111, 3), (1, 81, 121, 3))
    assert bench.new(BUY, GTC, 101, 1)
    assert (a.take(), b.take()) == (["NewOrderRequest"], ["MassQuoteRequest"])


def test_a_quote_is_cancelled_at_the_gateway_that_it_went_to() -> None:
    """By way of the other, both would answer."""
    bench = Bench(links=2)
    bench.log_on()
    a, b = bench.gateways
    bench.close_connection(a)
    assert bench.quote((0, 90, 110, 3))
    bench.hear(b.frame("MassQuoteResponse", {"quoteId": 1}, {"quotes": [result(0, (71, 3), (72, 3), (90, 110, 3))]}), b)
    return_to(bench, a)
    bench.pump()
    a.take(), b.take()
    for number in (71, 4711):
        assert write_cancel_by_id(bench.session, bench.ring, number, 0, bench.now_ns)
    bench.pump()
    assert (a.take(), b.take()) == (["CancelOrderByIdRequest"], ["CancelOrderByIdRequest"])
    bench.close_connection(b)
    assert not write_cancel_by_id(bench.session, bench.ring, 72, 0, bench.now_ns)


def test_a_gap_in_the_midst_holds_orders_off_until_it_is_filled(bench: Bench) -> None:
    bench.gateway.frame("Heartbeat")
    bench.gateway.frame("Heartbeat")
    assert bench.hear(bench.gateway.frame("Heartbeat")) == []
    assert bench.session.state == SessionState.LOGGING_ON
    assert bench.new(BUY, GTC, 101, 1) == 0
    bench.hear(bench.gateway.frame("Heartbeat"))
    bench.keep()
    bench.keep(NS_PER_MS)
    assert bench.gateway.take() == ["ResendRequest"]  # once
    bench.hear(bench.gateway.frame("GapFill", {"newSequenceNumber": 6}, sequence=2, flags=1))
    assert bench.session.state == SessionState.READY


def test_an_exchange_that_forgot_the_numbers_is_left_alone(bench: Bench) -> None:
    bench.hear(bench.gateway.frame("Heartbeat"))
    drop_and_return(bench)
    assert bench.hear(bench.conf(bench.gateway, sequence=1)) == []
    assert (bench.session.state, bench.session.links[0].refusal) == (SessionState.LOST, Refusal.NUMBERS_LOST)
    assert bench.keep(60 * NS_PER_S) == NEVER_NS


@pytest.mark.parametrize(("schema", "refusal"), [(18, 0), (17, 0), (16, 0), (15, Refusal.SCHEMA_VERSION)])
def test_schema_versions(schema: int, refusal: int) -> None:
    bench = Bench()
    bench.session.started = 1
    bench.keep()
    bench.hear(bench.conf(bench.gateway, schema=schema))
    assert bench.session.links[0].refusal == refusal
    assert bench.session.state == (SessionState.LOST if refusal else SessionState.READY)


def test_heartbeats_and_test_requests(bench: Bench) -> None:
    bench.gateway.take()
    due_ns = bench.keep()
    assert due_ns == NOW_NS + 5 * NS_PER_S // 2
    bench.now_ns = due_ns
    bench.keep()
    assert bench.gateway.take() == ["Heartbeat"]
    assert bench.gateway.seen[0][1] == {"correlationId": 0}
    bench.hear(bench.gateway.frame("TestRequest", {"correlationId": 99}))
    assert bench.session.keep_due == 1
    bench.keep()
    assert bench.gateway.take() == ["Heartbeat"]
    assert bench.gateway.seen[0][1] == {"correlationId": 99}
    assert bench.session.keep_due == 0


def test_silence_is_asked_about_then_given_up(bench: Bench) -> None:
    bench.gateway.take()
    bench.keep(5 * NS_PER_S - 1)
    assert bench.gateway.take() == ["Heartbeat"]
    bench.keep(1)
    assert bench.gateway.take() == ["TestRequest"]
    bench.hear(bench.gateway.frame("Heartbeat", {"correlationId": bench.gateway.seen[0][1]["correlationId"]}))
    bench.keep(5 * NS_PER_S)
    assert "TestRequest" in bench.gateway.take()
    bench.keep(5 * NS_PER_S)
    assert bench.session.state == SessionState.LOST
    assert bench.new(BUY, IOC, 101, 1) == 0
    waits = []
    last_ns = bench.now_ns
    while len(waits) < 7:
        before = bench.ring.reconnects[0]
        bench.keep(NS_PER_S // 4)
        if bench.ring.reconnects[0] != before:
            waits.append((bench.now_ns - last_ns) / NS_PER_S)
            last_ns = bench.now_ns
    assert waits == [1, 2, 4, 8, 16, 30, 30]


def test_an_unanswered_logon_is_given_up() -> None:
    bench = Bench()
    bench.session.started = 1
    bench.keep()
    bench.keep(10 * NS_PER_S)
    assert bench.session.state == SessionState.LOST
    bench.ring.connections[0] += 1
    bench.gateway.begin_connection()
    bench.keep()
    assert bench.gateway.take() == ["Logon", "Logon"]
    assert [root["resetSeqNum"] for _, root, _ in bench.gateway.seen] == [1, 1]


def test_displacement_is_final(bench: Bench) -> None:
    bench.hear(bench.gateway.frame("LoggedOut", texts=(b"displaced",)))
    link = bench.session.links[0]
    assert (bench.session.state, link.refusal) == (SessionState.LOST, Refusal.LOGGED_OUT)
    assert bytes(link.reason)[: link.reason_length] == b"displaced"
    bench.close_connection()
    assert bench.keep(60 * NS_PER_S) == NEVER_NS
    bench.ring.connections[0] += 1
    bench.keep()
    assert bench.ring.reconnects[0] == 0
    assert bench.gateway.take() == []


def test_logout(bench: Bench) -> None:
    order_id = bench.new(BUY, GTC, 90, 1)
    bench.gateway.take()
    end_session(bench.session, bench.ring, bench.now_ns)
    bench.pump()
    assert bench.session.state == SessionState.ENDED
    assert bench.gateway.take() == ["Logout"]
    assert bench.new(BUY, IOC, 101, 1) == 0
    orders = [{"clientOrderId": order_id, "instrumentId": FIRST_VENUE_ID, "cancelReason": 7}]
    heard = bench.hear(bench.gateway.frame("OrdersCanceled", {}, {"orders": orders}))
    assert told(heard, "reason") == [(ReportKind.CANCELLED, RejectReason.SESSION_LOST)]
    bench.hear(bench.gateway.frame("LoggedOut", texts=(b"bye",)))
    assert bench.session.state == SessionState.ENDED
    assert bench.session.links[0].refusal == Refusal.LOGGED_OUT
    assert bench.keep(NS_PER_S) == NEVER_NS
