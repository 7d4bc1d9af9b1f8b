"""What a Starbase session has sent again, and by whom: gaps, resumed numbers, lost links, packets read in part."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from crosswire.nic.duration import NS_PER_MS, NS_PER_S
from crosswire.nic.packet import FLAG_ACK
from crosswire.nic.rings.ring import NEVER_NS
from crosswire.venues.order import NO_INSTRUMENT, REPORTS_MAX, RejectReason, ReportKind
from crosswire.venues.session import Resumed, SessionState, end_session, write_cancel, write_cancel_by_id
from crosswire.venues.side import BUY
from crosswire.venues.starbase.orders.resume import SKIPPED_NUMBERS, resume_session
from crosswire.venues.starbase.orders.state import Refusal
from crosswire.venues.starbase.wire.stream import FrameFault
from tests.support.order_setup import FIRST_VENUE_ID
from tests.support.starbase_order_setup import (
    ACTIVE,
    CANCELED,
    GTC,
    IOC,
    Bench,
    Gateway,
    fill,
    placed,
    quantity,
    response,
    result,
    told,
)

pytestmark = pytest.mark.starbase
HEARTBEAT_NS = 5 * NS_PER_S


def acked(gateway: Gateway, order_id: int) -> bytes:
    return gateway.frame("NewOrderResponse", response(order_id, ACTIVE, 20))


def many_fills(gateway: Gateway, order_id: int, count: int) -> bytes:
    fills = [fill(number + 1, 101, 1) for number in range(count)]
    return gateway.frame("NewOrderResponse", response(order_id, CANCELED, count + 1, count, 2), {"fills": fills})


@contextmanager
def reading_in_part(bench: Bench) -> Iterator[None]:
    """A caller that does not ask for the rest of a packet."""
    bench.read = bench.read_once  # type: ignore[method-assign]
    try:
        yield
    finally:
        del bench.read


def break_off(bench: Bench, gateway: Gateway | None = None) -> None:
    """The connection ends, and a new one is made after the backoff; the gateway sees the logon."""
    gateway = gateway or bench.gateway
    bench.close_connection(gateway)
    come_back(bench, gateway)


def come_back(bench: Bench, gateway: Gateway) -> None:
    gateway.take()
    bench.keep(NS_PER_S)
    bench.ring.connections[gateway.stream] += 1
    bench.keep(NS_PER_MS)
    assert gateway.take() == ["Logon"]
    gateway.last_processed = gateway.numbers[-1]


def again(gateway: Gateway, first: int) -> bytes:
    """All that was kept from a number on; a gap fill for what was not."""
    frames = b""
    for number in range(first, gateway.sent_sequence + 1):
        if number in gateway.history and gateway.history[number][0] != "LogonConf":
            frames += gateway.again(number)
        else:
            frames += gateway.frame("GapFill", {"newSequenceNumber": number + 1}, sequence=number, flags=1)
    return frames


def test_what_stands_behind_a_frame_that_is_read_in_parts_is_told_too(bench: Bench) -> None:
    first, second = bench.new(BUY, IOC, 102, 301), bench.new(BUY, GTC, 101, 20)
    heard = bench.hear(many_fills(bench.gateway, first, 300) + acked(bench.gateway, second))
    assert [one["kind"] for one in heard] == [
        ReportKind.ACK, *[ReportKind.FILL] * 300, ReportKind.CANCELLED, ReportKind.ACK,
    ]  # fmt: skip
    assert heard[-1]["client_order_id"] == second
    assert bench.session.frames_received == 2  # segments: the conf's and this
    assert (bench.session.unread, bench.session.unread_frame) == (0, 0)


@pytest.mark.parametrize("count", [REPORTS_MAX - 2, REPORTS_MAX - 1, REPORTS_MAX])
def test_a_frame_that_fills_the_room_just_so(bench: Bench, count: int) -> None:
    first, second = bench.new(BUY, IOC, 102, 301), bench.new(BUY, GTC, 101, 20)
    heard = bench.hear(many_fills(bench.gateway, first, count) + acked(bench.gateway, second))
    assert [one["kind"] for one in heard] == [
        ReportKind.ACK, *[ReportKind.FILL] * count, ReportKind.CANCELLED, ReportKind.ACK,
    ]  # fmt: skip


def test_a_rest_that_is_not_asked_for_costs_its_own_gateway_alone() -> None:
    bench = Bench(links=2)
    bench.log_on()
    a, b = bench.gateways
    first, second = bench.new(BUY, IOC, 102, 301), bench.new(BUY, GTC, 101, 20)
    a.take()
    with reading_in_part(bench):
        heard = bench.hear(many_fills(a, first, 300), a)
    assert (len(heard), bench.session.unread) == (REPORTS_MAX, 1)
    # As many as were told of the other's frame are told of this one: none is left out.
    heard_of_b = bench.hear(acked(b, second), b)
    assert told(heard_of_b, "client_order_id") == [(ReportKind.ACK, second)]
    links = bench.session.links
    assert [links[number].state for number in range(2)] == [SessionState.LOST, SessionState.READY]
    assert bench.session.state == SessionState.READY
    a.begin_connection()
    come_back(bench, a)
    assert bench.hear(bench.conf(a), a) == []
    heard += bench.hear(again(a, 2), a)
    assert [one["match_id"] for one in heard if one["kind"] == ReportKind.FILL] == list(range(1, 301))
    assert links[0].state == SessionState.READY


@pytest.mark.parametrize("is_same_place", [False, True])
def test_another_packet_of_the_same_gateway_gives_the_rest_up(bench: Bench, is_same_place: bool) -> None:
    order_id = bench.new(BUY, IOC, 102, 301)
    with reading_in_part(bench):
        bench.hear(many_fills(bench.gateway, order_id, 300))
    number = bench.gateway.sent_sequence
    # A packet as long as the first lies at the same address, but further on in the stream.
    following = many_fills(bench.gateway, order_id, 300) if is_same_place else bench.gateway.frame("Heartbeat")
    assert bench.hear(following) == []
    assert bench.session.state == SessionState.LOST
    assert bench.session.numbers[1] == number - 1


def test_the_second_gateways_packet_is_read_in_parts_as_well() -> None:
    bench = Bench(links=2)
    bench.log_on()
    a, b = bench.gateways
    heard = bench.hear(many_fills(b, 5, 300), b)
    assert [one["match_id"] for one in heard if one["kind"] == ReportKind.FILL] == list(range(1, 301))
    with reading_in_part(bench):
        bench.hear(many_fills(b, 6, 300), b)
    bench.hear(a.frame("Heartbeat"), a)
    assert [link.state for link in list(bench.session.links)[:2]] == [SessionState.READY, SessionState.LOST]


def test_a_rest_is_given_up_for_a_stranger_too(bench: Bench) -> None:
    order_id = bench.new(BUY, IOC, 102, 301)
    with reading_in_part(bench):
        bench.hear(many_fills(bench.gateway, order_id, 300))
    stranger = Gateway(5)
    assert bench.hear(stranger.frame("Heartbeat"), stranger) == []
    assert (bench.session.links[0].state, bench.session.unread) == (SessionState.LOST, 0)
    assert bench.session.unread_frame == 0


def test_packets_of_strangers_and_out_of_turn_change_nothing(bench: Bench) -> None:
    order_id = bench.new(BUY, GTC, 101, 20)
    before = (bench.session.frames_received, bench.session.last_received_ns)
    bench.now_ns += NS_PER_MS
    stranger = Gateway(5)
    assert bench.hear(acked(stranger, order_id), stranger) == []
    assert bench.session.bad_frames == 1
    assert bench.hear(b"", flags=FLAG_ACK) == []
    assert bench.session.bad_frames == 1
    bench.gateway.sent_bytes += 8
    assert bench.hear(bench.gateway.frame("Heartbeat", sequence=2)) == []
    assert bench.session.bad_frames == 2
    assert (bench.session.frames_received, bench.session.last_received_ns) == before
    assert bench.session.links[0].last_received_ns == bench.now_ns - NS_PER_MS
    assert bench.hear(b"\0") == []
    assert bench.session.bad_frames == 3
    bench.gateway.sent_bytes -= 9 + len(bench.gateway.frame("Heartbeat", sequence=2))
    assert told(bench.hear(acked(bench.gateway, order_id))) == [(ReportKind.ACK,)]
    assert bench.session.last_received_ns == bench.session.links[0].last_received_ns == bench.now_ns
    assert bench.session.frames_received == before[0] + 1


def test_a_copy_is_ignored_whatever_the_link_waits_for(bench: Bench) -> None:
    order_id = bench.new(BUY, GTC, 101, 20)
    frame = acked(bench.gateway, order_id)
    number = bench.gateway.sent_sequence
    assert len(bench.hear(frame)) == 1
    assert bench.hear(bench.gateway.again(1)) == []  # the confirmation itself
    assert bench.session.state == SessionState.READY
    bench.gateway.frame("Heartbeat")
    bench.hear(bench.gateway.frame("Heartbeat"))
    assert bench.session.state == SessionState.LOGGING_ON
    assert bench.hear(bench.gateway.again(1) + bench.gateway.again(number)) == []
    assert (bench.session.state, bench.session.links[0].copies) == (SessionState.LOGGING_ON, 3)
    bench.hear(again(bench.gateway, number + 1))
    assert bench.session.state == SessionState.READY


@pytest.mark.parametrize("has_more", [False, True])
def test_every_gap_is_asked_for_and_the_last_frame_of_one_is_no_gap(bench: Bench, has_more: bool) -> None:
    gateway = bench.gateway
    bench.keep()
    gateway.take()
    for _ in range(2):
        missing = gateway.sent_sequence + 1
        gateway.frame("Heartbeat")
        frames = gateway.frame("Heartbeat")
        frames += gateway.frame("Heartbeat") if has_more else b""
        assert bench.hear(frames) == []
        assert (bench.session.state, bench.session.keep_due) == (SessionState.LOGGING_ON, 1)
        assert bench.session.links[0].resend_due == 1
        bench.keep()
        assert gateway.take() == ["ResendRequest"]
        assert gateway.seen[0][1] == {"fromSequenceNumber": missing, "toSequenceNumber": 0}
        bench.hear(gateway.again(missing))
        assert bench.session.state == SessionState.LOGGING_ON
        # The frame that showed the gap is enough: what came behind it comes again, and is the next.
        bench.hear(gateway.again(missing + 1))
        assert bench.session.state == SessionState.READY
        if has_more:
            bench.hear(gateway.again(missing + 2))
    assert bench.session.links[0].gaps == 2
    assert bench.session.numbers[1] == gateway.sent_sequence


def test_a_gap_that_is_not_filled_ends_the_link(bench: Bench) -> None:
    bench.keep(NS_PER_S)
    bench.gateway.frame("Heartbeat")
    bench.hear(bench.gateway.frame("Heartbeat"))
    for _ in range(9):
        bench.keep(NS_PER_S)
        bench.hear(bench.gateway.frame("Heartbeat"))
    bench.keep(NS_PER_S - 1)
    assert bench.session.links[0].state == SessionState.LOGGING_ON
    bench.keep(1)
    assert bench.session.links[0].state == SessionState.LOST


def test_a_gap_is_asked_for_again_when_it_shows_in_the_next_connection(bench: Bench) -> None:
    """And the link's backoff begins anew once it is READY."""
    order_id = bench.new(BUY, GTC, 101, 20)
    acked(bench.gateway, order_id)
    bench.hear(bench.gateway.frame("Heartbeat"))
    for _ in range(2):
        break_off(bench)
        assert bench.hear(bench.conf(bench.gateway)) == []
        bench.keep()
        assert bench.gateway.take() == ["ResendRequest"]
        # The second time it is filled.
        bench.now_ns += NS_PER_S
    assert told(bench.hear(again(bench.gateway, 2)), "client_order_id") == [(ReportKind.ACK, order_id)]
    assert bench.session.state == SessionState.READY
    bench.close_connection()
    bench.keep()
    before = bench.ring.reconnects[0]
    bench.keep(NS_PER_S - 1)
    assert bench.ring.reconnects[0] == before
    bench.keep(1)
    assert bench.ring.reconnects[0] == before + 1


def test_a_gap_fill_leads_to_the_number_that_it_names(bench: Bench) -> None:
    bench.hear(bench.gateway.frame("GapFill", {"newSequenceNumber": 10}))
    assert bench.session.numbers[1] == 9
    bench.hear(bench.gateway.frame("Heartbeat", sequence=10))
    assert (bench.session.numbers[1], bench.session.state) == (10, SessionState.READY)


def test_a_gap_fill_never_leads_back(bench: Bench) -> None:
    assert bench.hear(bench.gateway.frame("GapFill", {"newSequenceNumber": 1})) == []
    assert bench.session.numbers[1] == 2
    assert bench.hear(bench.gateway.frame("Heartbeat")) == []
    assert (bench.session.state, bench.session.numbers[1]) == (SessionState.READY, 3)


@pytest.mark.parametrize(
    ("from_sequence", "is_answered"), [(-1, False), (0, False), (1, True), (2, True), (3, True), (4, False)]
)
def test_which_of_our_frames_the_exchange_may_ask_for(bench: Bench, from_sequence: int, is_answered: bool) -> None:
    bench.new(BUY, GTC, 101, 20), bench.new(BUY, GTC, 101, 20)
    bench.gateway.take()
    assert bench.gateway.numbers[-1] == 3
    bench.hear(bench.gateway.frame("ResendRequest", {"fromSequenceNumber": from_sequence}))
    assert bench.session.unexpected == (0 if is_answered else 1)
    bench.keep()
    assert bench.gateway.take() == ["GapFill"] * is_answered
    if is_answered:
        assert bench.gateway.numbers[-1] == from_sequence
        assert bench.gateway.seen[0][1] == {"newSequenceNumber": 4}


def test_questions_behind_a_gap_are_answered_at_once(bench: Bench) -> None:
    """Else both ends would wait for each other."""
    bench.new(BUY, GTC, 101, 20)
    bench.gateway.take()
    bench.gateway.frame("Heartbeat")
    asked = bench.gateway.frame("TestRequest", {"correlationId": 4})
    assert bench.hear(asked + bench.gateway.frame("ResendRequest", {"fromSequenceNumber": 2})) == []
    assert bench.session.state == SessionState.LOGGING_ON
    bench.keep()
    assert bench.gateway.take() == ["GapFill", "ResendRequest", "Heartbeat"]
    assert bench.gateway.seen[2][1] == {"correlationId": 4}
    assert bench.session.unexpected == 0


def test_what_comes_before_the_confirmation_is_not_believed() -> None:
    bench = Bench()
    bench.session.started = 1
    bench.keep()
    assert bench.hear(acked(bench.gateway, 5)) == []
    assert (bench.session.unexpected, bench.session.state) == (1, SessionState.LOGGING_ON)
    assert bench.session.numbers[1] == 0
    bench.hear(bench.conf(bench.gateway, sequence=1))
    assert bench.session.state == SessionState.READY


def test_a_second_confirmation_changes_nothing(bench: Bench) -> None:
    bench.hear(bench.conf(bench.gateway, heartbeat_s=9))
    assert (bench.session.unexpected, bench.session.state) == (1, SessionState.READY)
    bench.gateway.frame("Heartbeat")
    bench.hear(bench.gateway.frame("Heartbeat"))
    bench.hear(bench.conf(bench.gateway, heartbeat_s=9))
    assert (bench.session.unexpected, bench.session.state) == (2, SessionState.LOGGING_ON)
    assert bench.session.links[0].heartbeat_interval_ns == HEARTBEAT_NS


def test_a_confirmation_without_an_interval_leaves_the_usual_one() -> None:
    bench = Bench()
    bench.log_on(heartbeat_s=0)
    assert bench.keep() == bench.now_ns + HEARTBEAT_NS // 2
    assert bench.session.links[0].heartbeat_interval_ns == HEARTBEAT_NS


@pytest.mark.parametrize("heartbeat_s", [1, 2])
def test_a_confirmation_says_the_interval(heartbeat_s: int) -> None:
    bench = Bench()
    bench.log_on(heartbeat_s)
    link = bench.session.links[0]
    assert (link.logons, link.confirmed, link.deadline_ns) == (1, 1, bench.now_ns + 2 * heartbeat_s * NS_PER_S)
    assert bench.keep() == bench.now_ns + heartbeat_s * NS_PER_S // 2
    break_off(bench)
    bench.hear(bench.conf(bench.gateway, heartbeat_s))
    assert link.logons == 2


@pytest.mark.parametrize("is_short", [False, True])
def test_an_exchange_of_an_older_schema_is_left_alone(is_short: bool) -> None:
    """Before version 12 the confirmation had no schema; what follows it is none."""
    bench = Bench()
    bench.session.started = 1
    bench.keep()
    if is_short:
        data = bytearray(bench.conf(bench.gateway, version=11, size=4))
        data[-4:] = bytes([17, 0] * 2)
    else:
        data = bytearray(bench.conf(bench.gateway, schema=15))
    assert bench.hear(bytes(data)) == []
    link = bench.session.links[0]
    assert (link.refusal, link.schema_version) == (Refusal.SCHEMA_VERSION, 0 if is_short else 15)
    assert bench.session.unexpected == 0
    # It never took orders, so that it is gone is nothing that an open order could wait for.
    assert (bench.session.state, bench.session.links_gone) == (SessionState.LOST, 0)


def test_an_exchange_that_has_processed_what_was_never_sent_is_left_alone() -> None:
    bench = Bench()
    bench.session.started = 1
    bench.keep()
    bench.hear(bench.conf(bench.gateway, last_processed=2))
    assert bench.session.links[0].refusal == Refusal.NUMBERS_LOST
    assert (bench.session.unexpected, bench.session.links_gone) == (0, 0)


def test_a_strangers_packet_loses_no_link_that_waits_for_its_connection() -> None:
    bench = Bench(links=2)
    bench.ring.connections[1] = 0
    bench.session.started = 1
    bench.keep()
    before = bench.session.links[1].losses
    stranger = Gateway(5)
    assert bench.hear(stranger.frame("Heartbeat"), stranger) == []
    assert (bench.session.links[1].state, bench.session.links[1].losses) == (SessionState.CLOSED, before)


def test_a_confirmation_cut_short_ends_the_link() -> None:
    bench = Bench()
    bench.session.started = 1
    bench.keep()
    bench.hear(bench.conf(bench.gateway, size=1))
    assert bench.session.links[0].refusal == Refusal.BAD_FRAME
    assert (bench.session.unexpected, bench.session.bad_frames) == (0, 1)


@pytest.mark.parametrize("more", [0, 1])
def test_an_exchange_that_has_processed_more_than_was_sent_lost_the_numbers(bench: Bench, more: int) -> None:
    break_off(bench)
    bench.gateway.last_processed += more
    bench.hear(bench.conf(bench.gateway))
    assert bench.session.links[0].refusal == (Refusal.NUMBERS_LOST if more else Refusal.NONE)
    assert bench.session.unexpected == 0
    assert bench.session.state == (SessionState.LOST if more else SessionState.READY)


def test_every_kind_of_frame_that_never_arrived_is_told_as_refused(bench: Bench) -> None:
    first = bench.new(BUY, GTC, 90, 4)
    bench.quote((0, 80, 120, 4))
    results = [result(0, (71, 3), (72, 3), (80, 120, 4))]
    bench.hear(
        acked(bench.gateway, first) + bench.gateway.frame("MassQuoteResponse", {"quoteId": 1}, {"quotes": results})
    )
    received = bench.gateway.numbers[-1]
    second = bench.new(BUY, GTC, 91, 4, instrument=1)
    assert bench.amend(first, 92, 4)
    assert write_cancel(bench.session, bench.ring, first, 0, bench.now_ns)
    assert write_cancel_by_id(bench.session, bench.ring, 4711, 1, bench.now_ns)
    assert write_cancel_by_id(bench.session, bench.ring, 72, 0, bench.now_ns)
    bench.pump()
    ask = bench.session.quotes[1].client_order_id
    sides = bench.quote((1, 81, 121, 4))
    break_off(bench)
    bench.gateway.last_processed = received
    heard = bench.hear(bench.conf(bench.gateway))
    assert told(heard, "client_order_id", "exchange_order_id", "reason", "exchange_time_ns") == [
        (kind, client_order_id, exchange_order_id, RejectReason.SESSION_LOST, 0)
        for kind, client_order_id, exchange_order_id in (
            (ReportKind.REJECTED, second, 0), (ReportKind.AMEND_REJECTED, first, 0),
            (ReportKind.CANCEL_REJECTED, first, 0), (ReportKind.CANCEL_REJECTED, 0, 4711),
            (ReportKind.CANCEL_REJECTED, ask, 72), (ReportKind.REJECTED, sides[0], 0),
            (ReportKind.REJECTED, sides[1], 0),
        )
    ]  # fmt: skip
    assert [one["instrument"] for one in heard] == [1, 0, 0, NO_INSTRUMENT, 0, 1, 1]
    assert (bench.session.lost_orders, bench.session.amends_rejected) == (1, 1)


@pytest.mark.parametrize(("reason", "place"), [(4, 4), (1, 1), (6, 6), (7, 0), (0, 0), (-1, 0)])
def test_a_frame_that_the_exchange_could_not_read(bench: Bench, reason: int, place: int) -> None:
    order_id = bench.new(BUY, GTC, 90, 4)
    frame = bench.gateway.frame("Reject", {"refSequenceNumber": bench.gateway.numbers[-1], "reason": reason})
    assert told(bench.hear(frame), "client_order_id", "reason", "exchange_time_ns") == [
        (ReportKind.REJECTED, order_id, RejectReason.OTHER, 0)
    ]
    assert [code for code, count in enumerate(bench.session.links[0].rejects) if count == 1] == [place]
    assert sum(bench.session.links[0].rejects) == 1


def test_orders_lost_with_one_connection_are_told_in_the_next_but_one(bench: Bench) -> None:
    """The connection between them ended before anything could be told."""
    first = bench.new(BUY, GTC, 101, 20)
    bench.hear(acked(bench.gateway, first))
    received = bench.gateway.numbers[-1]
    second = bench.new(BUY, GTC, 102, 20)
    break_off(bench)
    bench.gateway.last_processed = received
    bench.gateway.frame("Heartbeat")  # missing: nothing is told before it came
    assert bench.hear(bench.conf(bench.gateway)) == []
    break_off(bench)
    bench.gateway.last_processed = bench.gateway.numbers[-1] - 1  # the logon before was received
    assert bench.hear(bench.conf(bench.gateway)) == []
    heard = bench.hear(again(bench.gateway, 3))
    assert told(heard, "client_order_id", "reason") == [(ReportKind.REJECTED, second, RejectReason.SESSION_LOST)]
    assert bench.session.state == SessionState.READY
    # What was told is not told again, nor is what the exchange received.
    third = bench.new(BUY, GTC, 103, 20)
    break_off(bench)
    assert bench.hear(bench.conf(bench.gateway)) == []
    assert told(bench.hear(acked(bench.gateway, third)), "client_order_id") == [(ReportKind.ACK, third)]
    assert bench.session.lost_orders == 1


def test_an_order_lost_twice_is_told_once(bench: Bench) -> None:
    first = bench.new(BUY, GTC, 101, 20)
    received = bench.gateway.numbers[-1] - 1
    break_off(bench)
    bench.gateway.last_processed = received
    assert told(bench.hear(bench.conf(bench.gateway)), "client_order_id") == [(ReportKind.REJECTED, first)]
    second = bench.new(BUY, GTC, 102, 20)
    break_off(bench)
    bench.gateway.last_processed = bench.gateway.numbers[-2] - 1
    assert told(bench.hear(bench.conf(bench.gateway)), "client_order_id") == [(ReportKind.REJECTED, second)]
    assert bench.session.lost_orders == 2


def resumed(bench: Bench, numbers: list[int]) -> None:
    """Both links log on with the numbers of an earlier process."""
    resume_session(bench.session, Resumed(numbers, 0, 0, [], []))
    bench.session.started = 1
    bench.keep()
    for gateway, sent, processed in zip(bench.gateways, numbers[::2], numbers[1::2], strict=True):
        assert gateway.take() == ["Logon"]
        assert gateway.seen[0][1]["resetSeqNum"] == 0
        assert (gateway.numbers, gateway.processed) == ([sent + SKIPPED_NUMBERS + 1], [processed])
        gateway.sent_sequence, gateway.last_processed = processed, gateway.numbers[-1]


def test_what_an_earlier_process_missed_is_told_as_such_and_then_that_this_is_all() -> None:
    bench = Bench(links=2)
    resumed(bench, [41, 17, 31, 9])
    a, b = bench.gateways
    acked(a, 1), acked(a, 2)
    assert bench.hear(bench.conf(a), a) == []
    bench.keep(NS_PER_MS)
    assert a.take() == ["ResendRequest"]
    assert a.seen[0][1] == {"fromSequenceNumber": 18, "toSequenceNumber": 0}
    assert told(bench.hear(again(a, 18), a), "client_order_id", "is_retold") == [
        (ReportKind.ACK, 1, 1), (ReportKind.ACK, 2, 1),
    ]  # fmt: skip
    # The other gateway may have more to say.
    assert bench.session.state == SessionState.LOGGING_ON
    assert bench.session.links[0].state == SessionState.READY
    assert told(bench.hear(acked(a, 3), a), "is_retold") == [(ReportKind.ACK, 0)]
    assert told(bench.hear(bench.conf(b), b), "client_order_id", "exchange_time_ns") == [(ReportKind.CAUGHT_UP, 0, 0)]
    assert bench.session.state == SessionState.READY
    assert told(bench.hear(acked(b, 4), b), "client_order_id", "is_retold") == [(ReportKind.ACK, 4, 0)]
    assert told(bench.hear(acked(a, 5), a), "client_order_id", "is_retold") == [(ReportKind.ACK, 5, 0)]
    # Once in a run.
    break_off(bench, a)
    assert bench.hear(bench.conf(a), a) == []


@pytest.mark.parametrize("count", [REPORTS_MAX - 1, REPORTS_MAX, REPORTS_MAX + 1])
def test_that_this_is_all_is_told_where_the_reports_before_it_left_no_room(count: int) -> None:
    bench = Bench()
    resume_session(bench.session, Resumed([41, 17, 0, 0], 0, 0, [], []))
    bench.session.started = 1
    bench.keep()
    gateway = bench.gateway
    gateway.sent_sequence, gateway.last_processed = 17, gateway.numbers[-1]
    entry = {"instrumentId": FIRST_VENUE_ID, "cancelReason": 7, **quantity("totalFilled", 0)}
    orders = [entry | {"clientOrderId": 1 + number, "orderId": 9000 + number} for number in range(count)]
    gateway.frame("OrdersCanceled", {}, {"orders": orders})
    bench.hear(bench.conf(gateway))
    heard = bench.hear(again(gateway, 18))
    assert [one["kind"] for one in heard] == [ReportKind.CANCELLED] * count + [ReportKind.CAUGHT_UP]
    assert [one["client_order_id"] for one in heard] == [*range(1, count + 1), 0]
    assert bench.session.state == SessionState.READY
    assert told(bench.hear(acked(gateway, 4)), "client_order_id") == [(ReportKind.ACK, 4)]


def test_a_link_that_logs_out_takes_no_orders_again(bench: Bench) -> None:
    order_id = bench.new(BUY, GTC, 101, 20)
    end_session(bench.session, bench.ring, bench.now_ns)
    bench.pump()
    assert told(bench.hear(acked(bench.gateway, order_id))) == [(ReportKind.ACK,)]  # still read
    assert bench.new(BUY, GTC, 101, 1) == 0
    bench.keep(HEARTBEAT_NS - 1)
    assert bench.session.links[0].state == SessionState.LOGGING_ON
    bench.keep(1)
    assert (bench.session.links[0].state, bench.session.links[0].refusal) == (SessionState.LOST, Refusal.LOGGED_OUT)
    assert bench.keep(60 * NS_PER_S) == NEVER_NS
    assert bench.ring.reconnects[0] == 0


@pytest.mark.parametrize("text", [b"", b"x", b"y" * 255])
def test_the_exchanges_last_word(bench: Bench, text: bytes) -> None:
    bench.hear(bench.gateway.frame("LoggedOut", texts=(text,)))
    link = bench.session.links[0]
    assert bytes(link.reason)[: link.reason_length] == text


def test_a_last_word_that_reaches_past_its_frame_is_none(bench: Bench) -> None:
    frame = bytearray(bench.gateway.frame("LoggedOut", texts=(b"displaced",)))
    frame[frame.index(b"displaced") - 1] = 10
    bench.hear(bytes(frame))
    link = bench.session.links[0]
    assert (link.refusal, link.reason_length) == (Refusal.LOGGED_OUT, 0)


def test_a_frame_that_can_not_be_told_is_not_counted_as_processed(bench: Bench) -> None:
    """Whoever goes on from the numbers asks for it again."""
    order_id = bench.new(BUY, GTC, 101, 20)
    bench.hear(bench.gateway.frame("OrderPlaced", placed(order_id, ACTIVE, 20)))
    bad = {**fill(1, 101, 5), "fillQty.mantissa": 5_0001, "fillQty.exponent": -7}
    bench.hear(bench.gateway.frame("OrderPlaced", placed(order_id, ACTIVE, 20, 5), {"fills": [bad]}))
    assert bench.session.numbers[1] == 2
    assert bench.session.links[0].stream.faults[FrameFault.BAD_VALUE] == 1
