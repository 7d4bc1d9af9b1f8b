"""Cancels of a Starbase session: which gateway is asked for what, and what counts as asked."""

import pytest

from crosswire.nic.duration import NS_PER_MS, NS_PER_S
from crosswire.venues.order import ReportKind
from crosswire.venues.session import (
    SessionState,
    end_session,
    keep_session,
    start_session,
    write_cancel,
    write_cancel_by_id,
    write_mass_cancel,
)
from crosswire.venues.side import BUY
from tests.support.order_setup import FIRST_VENUE_ID
from tests.support.starbase_order_setup import GTC, Bench, result, told

pytestmark = pytest.mark.starbase
HALF_BEAT_NS = 5 * NS_PER_S // 2
MASS_CANCELS = ["MassCancelRequest"] * 2  # one an instrument


def mass_cancel(bench: Bench) -> bool:
    done = write_mass_cancel(bench.session, bench.ring, bench.now_ns)
    bench.pump()
    return bool(done)


def test_cancels_are_frames_like_any_other(bench: Bench) -> None:
    """They have numbers, are counted, and stand for a beat."""
    order_id = bench.new(BUY, GTC, 90, 1)
    bench.gateway.take()
    for count, cancel in enumerate((
        lambda: write_cancel(bench.session, bench.ring, order_id, 0, bench.now_ns),
        lambda: write_cancel_by_id(bench.session, bench.ring, 4711, 0, bench.now_ns),
        lambda: write_mass_cancel(bench.session, bench.ring, bench.now_ns),
    ), 1):  # fmt: skip
        bench.keep(HALF_BEAT_NS - 1)
        bench.hear(bench.gateway.frame("Heartbeat"))
        assert cancel()
        bench.pump()
        assert bench.session.cancels_sent == (count if count < 3 else 4)
        assert bench.session.numbers[0] == bench.gateway.numbers[-1]
        assert bench.session.last_sent_ns == bench.session.links[0].last_sent_ns == bench.now_ns
        assert "Cancel" in bench.gateway.take()[-1]
        bench.keep(1)
        assert bench.gateway.take() == []
    assert bench.session.frames_sent == len(bench.gateway.numbers)


def test_a_full_ring_is_counted_and_costs_no_number(bench: Bench) -> None:
    order_id = bench.new(BUY, GTC, 90, 1)
    with bench.full_ring():
        assert not write_cancel(bench.session, bench.ring, order_id, 0, bench.now_ns)
        assert not write_mass_cancel(bench.session, bench.ring, bench.now_ns)
    assert (bench.session.ring_full, bench.session.cancels_sent) == (2, 0)
    assert mass_cancel(bench)
    assert bench.gateway.numbers == [1, 2, 3, 4]
    bench.gateway.take()
    assert [root["correlationId"] for _, root, _ in bench.gateway.seen[-2:]] == [1, 2]


def test_what_is_no_quote_of_ours_is_cancelled_where_orders_go() -> None:
    """Whatever became of the gateway that it may have been sent to."""
    bench = Bench(links=2)
    bench.log_on()
    a, b = bench.gateways
    bench.close_connection(a)
    assert write_cancel_by_id(bench.session, bench.ring, 4711, 0, bench.now_ns)
    bench.pump()
    assert (a.take(), b.take()) == ([], ["CancelOrderByIdRequest"])
    bench.close_connection(b)
    assert not write_cancel_by_id(bench.session, bench.ring, 4711, 0, bench.now_ns)


def test_orders_and_quotes_are_cancelled_on_the_stream_of_their_gateway() -> None:
    bench = Bench(links=2)
    bench.log_on()
    a, b = bench.gateways
    first = bench.new(BUY, GTC, 90, 1)
    bench.session.links[0].state = SessionState.LOGGING_ON
    bench.keep()
    second = bench.new(BUY, GTC, 91, 1)
    bench.session.links[0].state = SessionState.READY
    bench.keep()
    a.take(), b.take()
    for order_id in (first, second, first):
        assert write_cancel(bench.session, bench.ring, order_id, 0, bench.now_ns)
    bench.pump()
    assert [root["clientOrderId"] for gateway in (a, b) for _, root, _ in gateway.messages] == [first, first, second]
    assert (a.take(), b.take()) == (["CancelOrderRequest"] * 2, ["CancelOrderRequest"])
    assert mass_cancel(bench)
    assert (a.take(), b.take()) == (MASS_CANCELS, MASS_CANCELS)


@pytest.mark.parametrize(
    ("venue", "venue_id", "is_asked"), [(1, 0, True), (1, 5, True), (1, -1, False), (2, 5, False), (2, -1, False)]
)
def test_a_mass_cancel_is_of_the_venues_own_instruments_that_are_defined(
    bench: Bench, venue: int, venue_id: int, is_asked: bool
) -> None:
    bench.market.instruments[0].venue, bench.market.instruments[0].venue_id = venue, venue_id
    bench.gateway.take()
    assert mass_cancel(bench)
    bench.gateway.take()
    assert [root["instrumentId"] for _, root, _ in bench.gateway.seen] == [venue_id] * is_asked + [FIRST_VENUE_ID + 1]


def test_a_mass_cancel_is_of_the_instruments_that_there_are(bench: Bench) -> None:
    bench.market.count = 1
    bench.gateway.take()
    assert mass_cancel(bench)
    assert bench.gateway.take() == ["MassCancelRequest"]


def test_a_gateway_that_never_took_orders_is_not_waited_for() -> None:
    bench = Bench(links=2)
    bench.ring.connections[1] = 0
    start_session(bench.session, bench.ring, bench.now_ns)
    bench.pump()
    a, b = bench.gateways
    bench.hear(bench.conf(a), a)
    a.take()
    assert mass_cancel(bench)
    assert a.take() == MASS_CANCELS
    # Nor is one whose logon is not answered yet.
    bench.ring.connections[1] = 1
    bench.keep()
    assert b.take() == ["Logon"]
    assert mass_cancel(bench)
    assert (a.take(), b.take()) == (MASS_CANCELS, [])


def test_a_gateway_that_sent_us_away_is_not_waited_for() -> None:
    bench = Bench(links=2)
    bench.log_on()
    a, b = bench.gateways
    bench.hear(b.frame("LoggedOut", texts=(b"",)), b)
    assert mass_cancel(bench)
    assert a.take() == MASS_CANCELS
    bench.hear(a.frame("LoggedOut", texts=(b"",)), a)
    assert not mass_cancel(bench)  # nobody was asked


def test_what_we_logged_out_of_is_not_waited_for(bench: Bench) -> None:
    bench.gateway.take()
    end_session(bench.session, bench.ring, bench.now_ns)
    bench.pump()
    assert bench.gateway.take() == ["Logout"]
    assert not mass_cancel(bench)
    assert bench.gateway.take() == []


def test_after_a_refused_mass_cancel_was_repeated_the_next_is_of_everything(bench: Bench) -> None:
    assert mass_cancel(bench)
    bench.hear(bench.gateway.frame("MassCancelReject", {"correlationId": 1, "reason": 0}))
    # What is due is told to whoever keeps the session.
    assert bench.keep() == bench.now_ns + 100 * NS_PER_MS
    bench.gateway.take()
    bench.keep(100 * NS_PER_MS)
    assert bench.gateway.take() == MASS_CANCELS
    assert mass_cancel(bench)
    assert bench.gateway.take() == MASS_CANCELS


def test_a_repeated_mass_cancel_goes_on_where_the_ring_was_full(bench: Bench) -> None:
    assert mass_cancel(bench)
    bench.hear(bench.gateway.frame("MassCancelReject", {"correlationId": 1, "reason": 0}))
    bench.gateway.take()
    bench.now_ns += 100 * NS_PER_MS
    with bench.full_ring(1):
        assert keep_session(bench.session, bench.ring, bench.now_ns) == bench.now_ns + NS_PER_MS
    bench.pump()
    assert bench.gateway.take() == ["MassCancelRequest"]
    assert bench.keep() == bench.now_ns + HALF_BEAT_NS
    assert bench.gateway.take() == ["MassCancelRequest"]
    assert [root["instrumentId"] for _, root, _ in bench.gateway.seen] == [FIRST_VENUE_ID + 1]


def test_an_order_is_cancelled_by_our_number_and_a_quote_by_the_exchanges(bench: Bench) -> None:
    bid, ask = bench.quote((0, 90, 110, 3))
    results = [result(0, (71, 3), (72, 3), (90, 110, 3))]
    heard = bench.hear(bench.gateway.frame("MassQuoteResponse", {"quoteId": 1}, {"quotes": results}))
    assert told(heard, "client_order_id") == [(ReportKind.ACK, bid), (ReportKind.ACK, ask)]
    order_id = bench.new(BUY, GTC, 90, 1)
    bench.gateway.take()
    for one in (order_id, bid, ask):
        assert write_cancel(bench.session, bench.ring, one, 0, bench.now_ns)
    bench.pump()
    assert bench.gateway.take() == ["CancelOrderRequest", "CancelOrderByIdRequest", "CancelOrderByIdRequest"]
    first, *quotes = (root for _, root, _ in bench.gateway.seen)
    assert first["clientOrderId"] == order_id
    assert [root["orderId"] for root in quotes] == [71, 72]
