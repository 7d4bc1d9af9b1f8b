"""When a Starbase session says what: logon, beats, questions, goodbyes, by the clock; and what a full ring holds up."""

from typing import Any

import pytest

from crosswire.nic.duration import NS_PER_MS, NS_PER_S
from crosswire.nic.rings.ring import NEVER_NS
from crosswire.venues.order import Approvals
from crosswire.venues.session import (
    SessionState,
    end_session,
    keep_session,
    start_session,
    write_amend,
    write_cancel,
    write_mass_quote,
    write_new,
)
from crosswire.venues.side import BUY, SELL
from crosswire.venues.starbase.orders.session import make_starbase_session
from crosswire.venues.starbase.orders.state import Refusal
from tests.support.order_setup import FIRST_VENUE_ID, VENUE, make_approval, make_market
from tests.support.starbase_order_setup import (
    ACTIVE,
    CLIENT_ID,
    FOK,
    GTC,
    IOC,
    NOW_NS,
    POST_ONLY,
    SECRET,
    Bench,
    flow_of,
    response,
    result,
)

pytestmark = pytest.mark.starbase
HALF_BEAT_NS = 5 * NS_PER_S // 2
MESSAGE_TOKENS = 2000


def live_through(bench: Bench, span_ns: int) -> list[tuple[int, str]]:
    """Keep the session just when it wants to be: what each gateway's frames were, and when, ns from now on."""
    begun_ns, end_ns, seen = bench.now_ns, bench.now_ns + span_ns, []
    due_ns = bench.keep()
    while True:
        for gateway in bench.gateways:
            seen += [(bench.now_ns - begun_ns, name) for name in gateway.take()]
        if due_ns > end_ns:
            bench.now_ns = end_ns
            return seen
        assert due_ns >= bench.now_ns + NS_PER_MS
        due_ns = bench.keep(due_ns - bench.now_ns)


def test_a_look_that_comes_late_proves_no_silence(bench: Bench) -> None:
    """The loop stood still: what it did not hear then may lie in the ring, or have found no room there."""
    bench.session.late_ns = 60 * NS_PER_S
    bench.keep(60 * NS_PER_S)
    assert (bench.session.state, bench.session.silences, bench.session.late_ns) == (SessionState.READY, 0, 0)
    live_through(bench, 10 * NS_PER_S)
    assert (bench.session.state, bench.session.silences) == (SessionState.LOST, 1)


def test_a_logon_has_its_time_after_a_standstill() -> None:
    bench = Bench()
    start_session(bench.session, bench.ring, bench.now_ns)
    bench.session.late_ns = 60 * NS_PER_S
    bench.keep(60 * NS_PER_S)
    assert bench.session.links[0].state == SessionState.LOGGING_ON
    bench.keep(10 * NS_PER_S)
    assert bench.session.links[0].state == SessionState.LOST


def test_a_silent_exchange_is_sent_beats_then_asked_then_given_up(bench: Bench) -> None:
    bench.gateway.take()
    seen = live_through(bench, 10 * NS_PER_S)
    assert seen == [
        (HALF_BEAT_NS, "Heartbeat"), (2 * HALF_BEAT_NS, "TestRequest"), (3 * HALF_BEAT_NS, "Heartbeat"),
    ]  # fmt: skip
    assert bench.session.state == SessionState.LOST
    # The backoff counts from when it was given up: at ten seconds, to the nanosecond.
    bench.keep(NS_PER_S - 1)
    assert bench.ring.reconnects[0] == 0
    bench.keep(1)
    assert bench.ring.reconnects[0] == 1


def test_an_exchange_that_speaks_is_sent_beats_alone(bench: Bench) -> None:
    bench.gateway.take()
    seen = []
    for _ in range(4):
        seen += live_through(bench, 3 * NS_PER_S)
        bench.hear(bench.gateway.frame("Heartbeat"))
    assert [name for _, name in seen] == ["Heartbeat"] * 4
    # What else is sent stands for a beat.
    bench.new(BUY, GTC, 90, 1)
    assert bench.gateway.take() == ["NewOrderRequest"]
    bench.keep(HALF_BEAT_NS - 1)
    assert bench.gateway.take() == []
    bench.keep(1)
    assert bench.gateway.take() == ["Heartbeat"]


def test_questions_are_due_by_what_was_heard_whatever_is_sent(bench: Bench) -> None:
    begun_ns = bench.now_ns
    for sent_s, due_s in ((3, 5), (4, 5)):
        bench.now_ns = begun_ns + sent_s * NS_PER_S
        bench.new(BUY, GTC, 90, 1)
        assert bench.keep() == begun_ns + due_s * NS_PER_S
    bench.now_ns = begun_ns + 5 * NS_PER_S
    bench.gateway.take()
    assert bench.keep() == bench.now_ns + HALF_BEAT_NS
    assert bench.gateway.take() == ["TestRequest"]
    bench.now_ns = begun_ns + 9 * NS_PER_S
    bench.new(BUY, GTC, 90, 1)
    assert bench.keep() == begun_ns + 10 * NS_PER_S
    # Another answer than to the question will do, too.
    bench.hear(bench.gateway.frame("Heartbeat"))
    assert bench.keep() == bench.now_ns + HALF_BEAT_NS


def test_each_question_has_a_number_of_its_own(bench: Bench) -> None:
    bench.gateway.take()
    for number in (1, 2):
        bench.keep(5 * NS_PER_S)
        bench.gateway.take()
        assert [root["correlationId"] for name, root, _ in bench.gateway.seen if name == "TestRequest"] == [number]
        bench.hear(bench.gateway.frame("Heartbeat", {"correlationId": number}))


def test_the_interval_is_the_exchanges() -> None:
    bench = Bench()
    bench.log_on(heartbeat_s=2)
    assert [at_ns for at_ns, name in live_through(bench, 4 * NS_PER_S) if name == "TestRequest"] == [2 * NS_PER_S]
    assert bench.session.state == SessionState.LOST


def test_a_link_that_recovers_beats_and_one_that_is_not_confirmed_is_silent(bench: Bench) -> None:
    bench.gateway.take()
    bench.gateway.frame("Heartbeat")
    bench.hear(bench.gateway.frame("Heartbeat"))
    assert [name for _, name in live_through(bench, 3 * NS_PER_S)] == ["ResendRequest", "Heartbeat"]
    silent = Bench()
    start_session(silent.session, silent.ring, silent.now_ns)
    silent.pump()
    assert silent.gateway.take() == ["Logon"]
    assert live_through(silent, 10 * NS_PER_S - 1) == []
    assert silent.session.links[0].state == SessionState.LOGGING_ON
    silent.keep(1)
    assert silent.gateway.take() == []
    assert silent.session.links[0].state == SessionState.LOST


def test_an_unanswered_logon_begins_the_numbers_anew() -> None:
    bench = Bench()
    assert start_session(bench.session, bench.ring, bench.now_ns) is None
    bench.pump()
    assert bench.session.state == SessionState.LOGGING_ON
    bench.keep(10 * NS_PER_S)
    bench.keep(NS_PER_S - 1)
    assert bench.ring.reconnects[0] == 0
    bench.keep(1)
    assert bench.ring.reconnects[0] == 1
    bench.ring.connections[0] += 1
    bench.gateway.begin_connection()
    bench.keep()
    assert bench.gateway.take() == ["Logon", "Logon"]
    assert (bench.gateway.numbers, bench.gateway.processed) == ([1, 1], [0, 0])
    assert bench.hear(bench.conf(bench.gateway)) == []
    assert bench.session.state == SessionState.READY


def test_a_connection_replaced_in_one_go_is_logged_on_to(bench: Bench) -> None:
    """As when the other end hung up and the next stood before anybody looked."""
    bench.gateway.frame("Heartbeat")
    bench.hear(bench.gateway.frame("Heartbeat"))
    bench.gateway.begin_connection()
    bench.ring.connections[0] += 1
    bench.keep()
    assert bench.gateway.take() == ["Logon"]
    assert bench.gateway.seen[0][1]["resetSeqNum"] == 0
    bench.gateway.last_processed = bench.gateway.numbers[-1]
    bench.hear(bench.conf(bench.gateway))
    assert bench.session.unexpected == 0
    bench.keep()
    assert bench.gateway.take() == ["ResendRequest"]
    assert bench.gateway.seen[0][1]["fromSequenceNumber"] == 2


def test_a_connection_that_is_gone_is_a_lost_link(bench: Bench) -> None:
    bench.ring.connections[0] = 0
    assert bench.keep() == bench.now_ns + NS_PER_MS
    assert (bench.session.state, bench.session.links[0].losses) == (SessionState.LOST, 1)
    bench.keep(NS_PER_S - 1)
    assert bench.ring.reconnects[0] == 0
    bench.keep(1)
    assert bench.ring.reconnects[0] == 1
    bench.keep(NS_PER_S)
    assert bench.ring.reconnects[0] == 1
    bench.keep(NS_PER_S)
    assert bench.ring.reconnects[0] == 2


def test_a_link_waits_for_its_connection_and_a_session_for_the_account(bench: Bench) -> None:
    bench.session.awaits_account = 1
    assert bench.keep() == bench.now_ns + NS_PER_MS
    assert bench.session.state == SessionState.LOGGING_ON
    bench.session.awaits_account = 0
    assert bench.keep() == bench.now_ns + HALF_BEAT_NS
    assert bench.session.state == SessionState.READY


def test_two_links_are_kept_each_by_its_own_clock() -> None:
    bench = Bench(links=2)
    start_session(bench.session, bench.ring, bench.now_ns)
    bench.pump()
    a, b = bench.gateways
    bench.hear(bench.conf(a, heartbeat_s=6), a)
    bench.now_ns += NS_PER_S
    bench.hear(bench.conf(b, heartbeat_s=3), b)
    assert bench.keep() == bench.now_ns + NS_PER_S // 2  # b's, that logged on a second ago
    a.take(), b.take()
    bench.keep(NS_PER_S // 2)
    assert (a.take(), b.take()) == ([], ["Heartbeat"])
    bench.keep(3 * NS_PER_S // 2)
    assert (a.take(), b.take()) == (["Heartbeat"], ["Heartbeat"])


def test_a_full_ring_holds_up_what_is_due_and_loses_none_of_it() -> None:
    bench = Bench()
    with bench.full_ring():
        start_session(bench.session, bench.ring, bench.now_ns)
    assert (bench.session.ring_full, bench.session.links[0].state) == (1, SessionState.CLOSED)
    bench.keep(NS_PER_MS)
    assert bench.gateway.take() == ["Logon"]
    bench.hear(bench.conf(bench.gateway))
    bench.new(BUY, GTC, 90, 1)
    bench.gateway.take()
    # A question, missing frames to be asked for, and frames of ours that the exchange misses.
    bench.gateway.frame("Heartbeat")
    asked = bench.gateway.frame("TestRequest", {"correlationId": 4})
    bench.hear(asked + bench.gateway.frame("ResendRequest", {"fromSequenceNumber": 2}))
    for room, names in enumerate(([], ["GapFill"], ["ResendRequest"], ["Heartbeat"])):
        with bench.full_ring(min(room, 1)):
            keep_session(bench.session, bench.ring, bench.now_ns)
        bench.pump()
        assert bench.gateway.take() == names
    assert bench.session.links[0].gaps_filled == 1
    assert bench.session.ring_full == 1 + 2 + 2 + 1
    bench.keep()
    assert bench.gateway.take() == []


@pytest.mark.parametrize(
    ("name", "root", "said"),
    [
        ("ResendRequest", {"fromSequenceNumber": 1}, ["GapFill"]), ("TestRequest", {"correlationId": 4}, ["Heartbeat"]),
        ("Heartbeat", {}, ["Heartbeat"]),
    ],
)  # fmt: skip
def test_what_is_said_just_when_a_beat_is_due_stands_for_it(
    bench: Bench, name: str, root: dict[str, int], said: list[str]
) -> None:
    bench.gateway.take()
    bench.now_ns += HALF_BEAT_NS
    bench.hear(bench.gateway.frame(name, root))
    before = bench.session.frames_sent
    bench.keep()
    assert bench.gateway.take() == said
    assert bench.session.frames_sent == before + 1
    assert bench.session.last_sent_ns == bench.now_ns
    bench.keep(HALF_BEAT_NS - 1)
    assert bench.gateway.take() == []


def test_missing_frames_asked_for_just_when_a_beat_is_due_stand_for_it(bench: Bench) -> None:
    bench.gateway.take()
    bench.now_ns += HALF_BEAT_NS
    bench.gateway.frame("Heartbeat")
    bench.hear(bench.gateway.frame("Heartbeat"))
    bench.keep()
    assert bench.gateway.take() == ["ResendRequest"]


def test_a_full_ring_holds_up_the_question_of_a_silent_link(bench: Bench) -> None:
    bench.keep(5 * NS_PER_S - 1)
    bench.gateway.take()
    with bench.full_ring():
        keep_session(bench.session, bench.ring, bench.now_ns + 1)
    assert bench.session.ring_full == 1
    bench.keep(NS_PER_MS)
    assert bench.gateway.take() == ["TestRequest"]
    assert bench.gateway.seen[0][1] == {"correlationId": 1}


def test_an_order_that_finds_no_room_is_not_sent(bench: Bench) -> None:
    order_id = bench.new(BUY, GTC, 90, 1)
    approval = make_approval(2 << 12 | 2, BUY, GTC, 90, 1)
    with bench.full_ring():
        assert not write_new(bench.session, bench.ring, approval, bench.now_ns)
        assert not write_amend(bench.session, bench.ring, make_approval(order_id, BUY, GTC, 91, 1), bench.now_ns)
    assert (bench.session.ring_full, bench.session.orders_sent, bench.session.amends_sent) == (2, 1, 0)
    assert bench.amend(order_id, 91, 1)
    assert (bench.session.orders_sent, bench.session.amends_sent) == (1, 1)
    assert bench.gateway.numbers == [1, 2, 3]
    assert bench.session.frames_sent == 3
    assert bench.session.last_sent_ns == bench.session.links[0].last_sent_ns == bench.now_ns


def test_nothing_is_sent_without_an_approval_that_is_armed(bench: Bench) -> None:
    order_id = bench.new(BUY, GTC, 90, 1)
    bench.gateway.take()
    for write, more in ((write_new, 0), (write_amend, 1)):
        approval = make_approval(order_id, BUY, GTC, 91, 1)
        approval.armed = 0
        assert not write(bench.session, bench.ring, approval, bench.now_ns)
        assert bench.session.unarmed == 1 + more
        # An armed one is good for one frame, whatever becomes of it.
        approval.armed = 1
        assert write(bench.session, bench.ring, approval, bench.now_ns)
        assert approval.armed == 0
    bench.pump()
    assert bench.gateway.take() == ["NewOrderRequest", "AmendOrderRequest"]


def test_an_instrument_whose_number_is_0_is_defined(bench: Bench) -> None:
    bench.market.instruments[1].venue_id = 0
    assert bench.new(BUY, GTC, 90, 1, instrument=1)
    bench.gateway.take()
    assert bench.gateway.seen[-1][1]["instrumentId"] == 0


def test_amends_on_the_wire(bench: Bench) -> None:
    order_id = bench.new(SELL, GTC, 101, 5, instrument=1)
    bench.gateway.take()
    for time_in_force, flags in ((GTC, 0), (POST_ONLY, 4), (IOC, 0), (FOK, 0)):
        approval = make_approval(order_id, SELL, time_in_force, 99, 7, instrument=1)
        assert write_amend(bench.session, bench.ring, approval, bench.now_ns)
        bench.pump()
        assert bench.gateway.take() == ["AmendOrderRequest"]
        root = bench.gateway.seen[0][1]
        assert (root["flags"], root["price.price9"], root["quantity.mantissa"], root["instrumentId"]) == (
            flags, 9_900_000_000, 7_000_000, FIRST_VENUE_ID + 1,
        )  # fmt: skip


def test_what_was_not_asked_for_is_not_set() -> None:
    bench = Bench()
    bench.log_on()
    bench.new(BUY, GTC, 101, 5)
    bench.quote((0, 90, 110, 3))
    bench.gateway.take()
    order, quote = bench.gateway.seen[-2][1], bench.gateway.seen[-1][1]
    assert (order["selfMatchPreventionId"], order["selfTradingMode"], order["flags"]) == (0, 0, 1)
    assert (quote["selfMatchPreventionId"], quote["mmpGroupId"], quote["flags"]) == (0, 0, 0)
    asked = Bench(self_match_prevention_id=77, self_trading_mode=1, mmp_group_id=5)
    asked.log_on()
    asked.quote((0, 90, 110, 3))
    asked.gateway.take()
    quote = asked.gateway.seen[-1][1]
    assert (quote["selfMatchPreventionId"], quote["mmpGroupId"], quote["correlationId"]) == (77, 5, 1)


def test_what_the_gateway_takes_at_once_by_itself() -> None:
    """The venue's figures: 50 orders of 2,000 tokens, of which 100 come in a millisecond."""
    bench = Bench()
    bench.log_on()
    assert [bool(bench.new(BUY, GTC, 90, 1)) for _ in range(51)] == [True] * 50 + [False]
    bench.now_ns += 20 * NS_PER_MS - 1
    assert not bench.new(BUY, GTC, 90, 1)
    bench.now_ns += 1
    assert bench.new(BUY, GTC, 90, 1)
    assert bench.session.throttled == 2


def test_cancels_that_had_no_tokens_owe_them() -> None:
    """So the exchange counts too: what is sent before they are paid would be refused."""
    bench = Bench(tokens_per_ms=100, tokens_max=3 * MESSAGE_TOKENS)
    bench.log_on()
    ids = [bench.new(BUY, GTC, 90, 1) for _ in range(3)]
    for one in ids[:2]:
        assert write_cancel(bench.session, bench.ring, one, 0, bench.now_ns)
    bench.now_ns += 3 * 20 * NS_PER_MS - 1
    assert not bench.new(BUY, GTC, 90, 1)
    bench.now_ns += 1
    assert bench.new(BUY, GTC, 90, 1)


def test_mass_quotes_have_tokens_of_their_own() -> None:
    bench = Bench(quote_tokens_per_ms=100, quote_tokens_max=MESSAGE_TOKENS)
    bench.log_on()
    assert bench.quote((0, 90, 110, 3))
    assert not bench.quote((1, 80, 120, 3))
    assert bench.session.throttled == 1
    assert bench.new(BUY, GTC, 90, 1)
    bench.now_ns += 20 * NS_PER_MS
    assert bench.quote((1, 80, 120, 3))


def test_logging_out_of_every_link_that_may_be_logged_on() -> None:
    bench = Bench(links=2)
    start_session(bench.session, bench.ring, bench.now_ns)
    bench.pump()
    a, b = bench.gateways
    bench.hear(bench.conf(a), a)
    a.take(), b.take()
    end_session(bench.session, bench.ring, bench.now_ns)
    bench.pump()
    assert (a.take(), b.take()) == (["Logout"], ["Logout"])  # B's logon is under way
    assert (bench.session.state, bench.session.frames_sent) == (SessionState.ENDED, 4)
    assert live_through(bench, 5 * NS_PER_S) == []
    assert [link.refusal for link in list(bench.session.links)[:2]] == [Refusal.LOGGED_OUT] * 2
    assert bench.keep(60 * NS_PER_S) == NEVER_NS
    assert list(bench.ring.reconnects)[:2] == [0, 0]
    assert bench.session.links_gone == 0


def test_links_that_are_down_when_the_session_ends_stay_so() -> None:
    bench = Bench(links=2)
    bench.log_on()
    a, b = bench.gateways
    bench.close_connection(a)
    end_session(bench.session, bench.ring, bench.now_ns)
    bench.pump()
    assert (a.take(), b.take()) == ([], ["Logout"])
    for _ in range(4):
        bench.keep(NS_PER_S)
    assert bench.ring.reconnects[0] == 0
    # Nor is one opened whose connection comes by itself.
    bench.ring.connections[0] += 1
    bench.keep(NS_PER_S)
    assert a.take() == []
    assert bench.session.state == SessionState.ENDED


def test_a_goodbye_that_finds_no_room_ends_the_link_all_the_same(bench: Bench) -> None:
    bench.gateway.take()
    with bench.full_ring():
        end_session(bench.session, bench.ring, bench.now_ns)
    assert (bench.session.ring_full, bench.session.state) == (1, SessionState.ENDED)
    assert bench.new(BUY, GTC, 90, 1) == 0
    assert live_through(bench, 5 * NS_PER_S) == []
    assert bench.session.links[0].refusal == Refusal.LOGGED_OUT


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"flows": ()}, "1 to 2 gateways, not 0"), ({"flows": (1, 2, 3)}, "1 to 2 gateways, not 3"),
        ({"client_id": b""}, "client id must have 1 to 16 bytes, not 0"),
        ({"client_id": b"x" * 17}, "client id must have 1 to 16 bytes, not 17"),
        ({"secret": b""}, "secret must have 1 to 48 bytes, not 0"),
        ({"secret": b"x" * 49}, "secret must have 1 to 48 bytes, not 49"),
        ({"backoff_min_ns": 0}, "backoff must be positive"), ({"backoff_min_ns": 31 * NS_PER_S}, "and rise"),
    ],
)  # fmt: skip
def test_settings_that_can_not_be(wrong: dict[str, Any], message: str) -> None:
    options: dict[str, Any] = {"client_id": CLIENT_ID, "secret": SECRET, "flows": (0,)} | wrong
    flows = tuple(flow_of(stream) for stream in options.pop("flows"))
    with pytest.raises(ValueError, match=message):
        make_starbase_session(VENUE, make_market(), flows, **options)


def test_settings_at_their_bounds() -> None:
    flows = (flow_of(0), flow_of(1))
    options: dict[str, Any] = {"backoff_min_ns": 1, "backoff_max_ns": 1}
    for client_id, secret in ((b"x", b"y"), (b"x" * 16, b"y" * 48)):
        session = make_starbase_session(VENUE, make_market(), flows, client_id, secret, **options)
        logon = session.links[1].templates.logon.message
        assert bytes(logon.client_id) == client_id.ljust(16, b"\0")
        assert bytes(logon.secret) == secret.ljust(48, b"\0")
        assert (session.links[0].number, session.links[1].number, session.link_count) == (0, 1, 2)
    # A venue whose instruments are not known yet has room for none.
    assert make_starbase_session(VENUE, make_market(0), flows, b"x", b"y").state == SessionState.CLOSED


def test_cancels_and_quotes_at_a_session_without_a_link_that_takes_them(bench: Bench) -> None:
    order_id = bench.new(BUY, GTC, 90, 1)
    bench.hear(bench.gateway.frame("NewOrderResponse", response(order_id, ACTIVE, 1)))
    bench.quote((0, 90, 110, 3))
    results = [result(0, (71, 3), (72, 3), (90, 110, 3))]
    bench.hear(bench.gateway.frame("MassQuoteResponse", {"quoteId": 1}, {"quotes": results}))
    bench.close_connection()
    assert bench.new(BUY, GTC, 90, 1) == 0
    assert not bench.amend(order_id, 91, 1)
    assert not write_cancel(bench.session, bench.ring, order_id, 0, bench.now_ns)
    assert bench.quote((1, 80, 120, 3)) == []
    assert bench.session.unlinked == 2
    assert not write_mass_quote(bench.session, bench.ring, Approvals(count=0), NOW_NS)
    assert bench.session.orders_sent == 3


def test_a_connection_that_is_gone_takes_nothing_more_and_is_opened_again(bench: Bench) -> None:
    """No frame told of its end: the ring knows it alone."""
    bench.gateway.take()
    bench.ring.connections[0] = 0
    due_ns = bench.keep()
    assert (bench.session.state, bench.session.order_link) == (SessionState.LOST, -1)
    assert due_ns <= bench.now_ns + NS_PER_S
    assert bench.new(BUY, GTC, 90, 1) == 0
    # Each time it is waited for twice as long, up to the most.
    for number, wait_s in enumerate((1, 2, 4, 8, 16, 30, 30)):
        bench.keep(wait_s * NS_PER_S - 1)
        assert (bench.gateway.take(), bench.ring.reconnects[0]) == ([], number)
        bench.keep(1)
        assert bench.ring.reconnects[0] == number + 1
    assert bench.session.links[0].losses == 1


def test_a_connection_that_goes_as_the_logon_waits_is_begun_anew() -> None:
    bench = Bench()
    start_session(bench.session, bench.ring, bench.now_ns)
    bench.pump()
    assert bench.gateway.take() == ["Logon"]
    bench.ring.connections[0] = 0
    bench.keep()
    assert bench.session.state == SessionState.LOST
    assert bench.session.links[0].losses == 1
    bench.ring.connections[0] = 2
    bench.gateway.begin_connection()
    bench.keep()
    assert bench.gateway.take() == ["Logon"]
