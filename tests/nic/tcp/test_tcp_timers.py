"""The TCP's timers, and its congestion window, in figures: when each thing is sent, and how much may be in flight."""

from collections.abc import Callable

import pytest

from crosswire.nic.duration import NS_PER_MS, NS_PER_S
from crosswire.nic.rings.ring import NEVER_NS
from crosswire.nic.tcp.state import SLOTS, TcpEnd, TcpState
from crosswire.nic.tcp.tcp import dispatch, next_timer_ns
from tests.support.tcp_setup import ACK, FIN, IRS, ISS, RST, SYN, Client, Seen, build

pytestmark = pytest.mark.tcp


def timed(client: Client, ms: float, answer: Callable[[Seen], None] | None = None) -> list[tuple[float, Seen]]:
    """What goes out within so many milliseconds, and when; each is answered."""
    begun_ns, end_ns = client.now_ns, client.now_ns + int(ms * NS_PER_MS)
    seen = []
    while (due_ns := next_timer_ns(client.tcp)) <= end_ns:
        client.now_ns = max(client.now_ns, due_ns)
        sent = client.output()
        seen += [((client.now_ns - begun_ns) / NS_PER_MS, each) for each in sent]
        for each in sent if answer is not None else ():
            answer(each)
    client.now_ns = end_ns
    return seen


def times(seen: list[tuple[float, Seen]]) -> list[float]:
    return [ms for ms, _ in seen]


def slow_probe(**options: int) -> Client:
    """A connection whose tail is not probed for an hour."""
    return Client(tail_probe_floor_ns=3600 * NS_PER_S, **options)


def recovering() -> Client:
    """One that has sent six segments of 1,000 bytes, the first again on three duplicate ACKs."""
    client = slow_probe().establish(mss=1_000)
    for _ in range(6):
        client.send(b"x" * 1_000)
    for _ in range(3):
        client.peer(ACK, 0, 0)
    client.output()
    return client


# Nothing runs that need not.


def test_a_connection_that_never_was_wants_nothing() -> None:
    assert next_timer_ns(Client().tcp) == NEVER_NS


def test_nothing_is_due_once_all_is_acknowledged() -> None:
    client = Client().establish()
    keepalive_ns = next_timer_ns(client.tcp)
    assert keepalive_ns == client.now_ns + 30 * NS_PER_S
    client.send(b"order")
    assert next_timer_ns(client.tcp) == client.now_ns + 10 * NS_PER_MS
    client.peer(ACK, 0, 5)
    assert next_timer_ns(client.tcp) == keepalive_ns


@pytest.mark.parametrize("pending", ["syn", "probe", "copy", "window", "ack"])
def test_nothing_is_due_after_the_end(pending: str) -> None:
    client = Client(keepalive_idle_ns=5 * NS_PER_S)
    if pending == "syn":
        client.begin()
    else:
        client.establish()
        client.send(b"order")
        client.peer(ACK, 0, 0)
    if pending == "probe":
        client.peer(ACK, 0, 5)
        client.now_ns += 5 * NS_PER_S
        client.write(b"first")
        assert dispatch(client.tcp, client.now_ns)  # the keep-alive's probe would be next
    elif pending == "copy":
        for _ in range(3):
            client.peer(ACK, 0, 0)
    elif pending == "window":
        client.write(b"waits")
    elif pending == "ack":
        client.peer(ACK, 0, 0, b"x")
    resets = [each.flags for each in client.abort()]
    assert resets == ([] if pending == "syn" else [RST | ACK])
    assert next_timer_ns(client.tcp) == NEVER_NS
    assert timed(client, 100_000) == []


def test_an_end_while_its_reset_waits_does_not_reset_the_next_connection() -> None:
    client = Client().establish()
    client.end()
    (syn,) = client.open()
    assert syn.flags == SYN


# Retransmission.


def test_the_timer_doubles_up_to_a_minute_and_gives_up_after_ten() -> None:
    client = slow_probe(user_timeout_ns=10_000 * NS_PER_S, keepalive_idle_ns=10_000 * NS_PER_S).establish()
    client.send(b"order")
    seen = timed(client, 400_000)
    delays = [200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, 60_000, 60_000]
    expected = [sum(delays[: count + 1]) for count in range(len(delays))]
    assert times(seen) == expected
    assert [each.flags & RST for _, each in seen] == [0] * 10 + [RST]
    assert (client.tcp.counters.timeouts, client.tcp.counters.retransmits) == (10, 10)
    assert (client.tcp.end, next_timer_ns(client.tcp)) == (TcpEnd.TIMEOUT, NEVER_NS)


@pytest.mark.parametrize(("user_timeout_ms", "copies"), [(1_400, 2), (1_401, 3)])
def test_a_peer_that_is_silent_for_the_user_timeout_is_given_up(user_timeout_ms: int, copies: int) -> None:
    client = slow_probe(user_timeout_ns=user_timeout_ms * NS_PER_MS).establish()
    client.now_ns += 25 * NS_PER_S  # idle: that is no silence
    client.send(b"order")
    seen = timed(client, 3_000)
    assert times(seen) == [200, 600, 1_400, 3_000][: copies + 1]
    assert seen[-1][1].flags == RST | ACK


def test_progress_puts_the_user_timeout_off() -> None:
    client = slow_probe().establish()
    for _ in range(3):
        client.send(b"x" * 10)
    for acknowledged in (10, 20):
        timed(client, 15_000)
        client.peer(ACK, 0, acknowledged)
    timed(client, 15_000)
    assert client.state == TcpState.ESTABLISHED
    timed(client, 20_000)
    assert client.tcp.end == TcpEnd.TIMEOUT


@pytest.mark.parametrize("is_sent", [False, True])
def test_a_peer_that_answers_with_a_closed_window_is_not_given_up(is_sent: bool) -> None:
    """RFC 9293 3.8.6.1: as long as it answers, it is alive."""
    client = Client().establish()
    client.write(b"order")
    if is_sent:
        client.output()
    client.peer(ACK, 0, 0, window=0)
    if not is_sent:
        client.close()
    timed(client, 600_000, lambda _seen: client.peer(ACK, 0, 0, window=0))
    assert client.state == (TcpState.ESTABLISHED if is_sent else TcpState.FIN_WAIT_1)
    assert (client.tcp.counters.timeouts > 10) is is_sent
    assert client.tcp.recovery.retransmits == (9 if is_sent else 0)  # of ten: one is left when the window opens
    client.peer(ACK, 0, 0)
    assert is_sent or b"order" in [each.payload for each in client.output()]


@pytest.mark.parametrize(("user_timeout_ms", "probes"), [(6_200, 4), (6_201, 5), (20_000, 7)])
def test_a_peer_that_leaves_its_window_closed_and_falls_silent_is_given_up(user_timeout_ms: int, probes: int) -> None:
    client = Client(user_timeout_ns=user_timeout_ms * NS_PER_MS).establish()
    client.now_ns += 25 * NS_PER_S
    client.peer(ACK, 0, 0, window=0)
    seen = timed(client, 3_600_000)
    assert [each.flags for _, each in seen] == [ACK] * probes + [RST | ACK]
    assert times(seen) == [200, 600, 1_400, 3_000, 6_200, 11_200, 16_200, 21_200][: probes + 1]
    assert (client.tcp.end, next_timer_ns(client.tcp)) == (TcpEnd.TIMEOUT, NEVER_NS)


def test_the_timeout_is_measured() -> None:
    """RFC 6298 2.2, 2.3."""
    client = slow_probe().establish(rtt_ms=400)
    assert client.tcp.round_trip.rto_ns == (400 + 4 * 200) * NS_PER_MS
    client.send(b"a")
    assert times(timed(client, 1_500)) == [1_200]
    slow = slow_probe()
    slow.open()
    timed(slow, 1_500)
    slow.feed(build(SYN | ACK, IRS, ISS + 1))  # of a SYN that went twice: no sample
    slow.output()
    assert (slow.tcp.round_trip.smoothed_ns, slow.tcp.round_trip.rto_ns) == (0, NS_PER_S)
    slow.send(b"a")
    slow.now_ns += 300 * NS_PER_MS
    slow.peer(ACK, 0, 1)
    trip = slow.tcp.round_trip
    assert [trip.smoothed_ns, trip.variance_ns, trip.rto_ns] == [ms * NS_PER_MS for ms in (300, 150, 900)]


def test_a_segment_that_went_twice_gives_no_sample_nor_do_those_with_it() -> None:
    client = Client().establish(rtt_ms=40)
    client.send(b"a")
    assert times(timed(client, 90)) == [80]
    client.send(b"b")
    client.now_ns += 60 * NS_PER_MS
    client.peer(ACK, 0, 2)
    assert client.tcp.round_trip.smoothed_ns == 40 * NS_PER_MS


# The tail.


def test_the_tail_is_probed_after_two_round_trips() -> None:
    client = Client().establish(rtt_ms=40)
    client.send(b"order")
    assert [(ms, each.payload) for ms, each in timed(client, 100)] == [(80, b"order")]
    client.peer(ACK, 0, 5)
    client.send(b"again")
    assert [(ms, each.payload) for ms, each in timed(client, 100)] == [(80, b"again")]
    assert client.tcp.counters.tail_probes == 2


def test_a_timeout_ends_the_wait_for_the_probe() -> None:
    client = Client(tail_probe_floor_ns=NS_PER_S).establish()
    client.send(b"order")
    assert times(timed(client, 1_500)) == [200, 600, 1_400]
    assert client.tcp.counters.tail_probes == 0


# Duplicate ACKs.


def test_two_duplicates_are_none_and_progress_begins_anew() -> None:
    client = slow_probe().establish()
    for _ in range(6):
        client.send(b"x" * 10)
    for acknowledged, duplicates in ((0, 2), (10, 2), (20, 3)):
        for _ in range(duplicates):
            assert client.tcp.recovery.is_fast == 0
            client.peer(ACK, 0, acknowledged)
        client.peer(ACK, 0, acknowledged + 10 * (duplicates == 2))
    assert [each.sequence for each in client.output()] == [20]
    assert client.tcp.counters.duplicate_acks == 2 + 2 + 4


@pytest.mark.parametrize(("outstanding", "needed"), [(2, 1), (3, 2), (4, 3), (5, 3)])
def test_few_segments_need_no_more_duplicates_than_they_can_bring(outstanding: int, needed: int) -> None:
    """RFC 5827 3.2: one duplicate ACK less than segments that are out, where those are fewer than four."""
    client = slow_probe().establish()
    for index in range(outstanding):
        client.send(bytes([index]) * 96)
    for _ in range(needed):
        assert client.output() == []
        client.peer(ACK, 0, 0)
    assert [(each.sequence, each.payload[0]) for each in client.output()] == [(0, 0)]
    client.peer(ACK, 0, 0)  # what the copy brings, if it was not needed
    assert client.output() == []
    assert (client.tcp.counters.fast_retransmits, client.tcp.counters.retransmits) == (1, 1)


def test_a_lone_segment_has_no_duplicates_of_its_own() -> None:
    """What comes again then is not for a later segment: only the third counts, as before."""
    client = slow_probe().establish()
    client.send(b"order")
    for _ in range(2):
        client.peer(ACK, 0, 0)
        assert client.output() == []
    client.peer(ACK, 0, 0)
    assert [each.payload for each in client.output()] == [b"order"]


def test_what_may_still_be_sent_brings_duplicates_of_its_own() -> None:
    """RFC 5827 3.1, condition 2: not early while two segments are out and the next one may follow at once."""
    client = slow_probe().establish(mss=1_000)
    for _ in range(6):
        client.send(b"x" * 1_000)
    client.wait(200)
    client.peer(ACK, 0, 1_000)
    assert [each.sequence for each in client.output()] == [1_000, 2_000]
    client.peer(ACK, 0, 1_500)
    client.peer(ACK, 0, 1_500)
    assert client.tcp.recovery.is_fast == 0
    assert 3_000 in [each.sequence for each in client.output()]


def test_a_copy_that_waits_is_not_sent_once_all_is_acknowledged() -> None:
    client = slow_probe().establish()
    client.send(b"x" * 10)
    for _ in range(3):
        client.peer(ACK, 0, 0)
    client.peer(ACK, 0, 10)
    assert next_timer_ns(client.tcp) > client.now_ns
    assert [each.payload for each in client.send(b"y")] == [b"y"]
    assert client.output() == []


def test_a_second_loss_behind_the_first() -> None:
    """RFC 6582 3.2: once all is acknowledged that was in flight, duplicates tell of a new loss, whatever it jumped."""
    client = slow_probe().establish(mss=1_000)
    for _ in range(6):
        client.send(b"x" * 1_000)
    for acknowledged, resent in ((0, 0), (6_000, 6_000)):
        client.peer(ACK, 0, acknowledged)
        if acknowledged:
            for _ in range(2):
                client.send(b"y" * 100)
        for _ in range(3):
            client.peer(ACK, 0, acknowledged)
        assert [each.sequence for each in client.output()] == [resent]
    assert client.tcp.counters.fast_retransmits == 2


@pytest.mark.parametrize(("jump", "resent"), [(4_000, [4_000]), (4_001, [])])
def test_how_far_an_ack_may_jump_behind_a_timeout(jump: int, resent: list[int]) -> None:
    """RFC 6582 4.1."""
    client = slow_probe().establish(mss=1_000)
    for _ in range(9):
        client.send(b"x" * 1_000)
    timed(client, 250)
    for _ in range(4):
        client.peer(ACK, 0, 0)
    assert client.output() == []  # not before something is acknowledged
    client.peer(ACK, 0, jump)
    client.output()
    for _ in range(3):
        client.peer(ACK, 0, jump)
    assert [each.sequence for each in client.output()] == resent


# The congestion window.


def test_the_window_after_a_timeout_grows_by_the_segment_then_by_the_window() -> None:
    """RFC 5681 3.1: slow start up to half of what was in flight, then one segment for a window's worth of ACKs."""
    client = slow_probe()
    for _ in range(2):
        client.establish(mss=1_000)
        for _ in range(10):
            client.send(b"x" * 1_000)
        timed(client, 250)
        assert (client.tcp.congestion.window, client.tcp.congestion.threshold) == (1_000, 5_000)
        windows = []
        for acknowledged in range(1_000, 10_001, 1_000):
            client.peer(ACK, 0, acknowledged)
            client.output()
            windows.append(client.tcp.congestion.window)
        assert windows == [2_000, 3_000, 4_000, 5_000, 5_000, 5_000, 5_000, 5_000, 6_000, 6_000]
        windows.clear()
        for acknowledged in range(11_000, 60_000, 1_000):
            client.send(b"y" * 1_000)
            client.peer(ACK, 0, acknowledged)
            if client.tcp.congestion.window not in windows:
                windows.append(client.tcp.congestion.window)
        assert windows == [6_000, 7_000, 8_000, 9_000, 10_000]
        # What has been gathered counts no more after the next loss, nor in the next connection.
        client.send(b"y" * 700)
        client.peer(ACK, 0, 59_700)
        assert client.tcp.congestion.grown >= 700
        for _ in range(3):
            client.send(b"z" * 1_000)
        timed(client, 250)
        assert (client.tcp.congestion.threshold, client.tcp.congestion.grown) == (2_000, 0)
        client.peer(ACK, 0, 60_200)
        assert client.tcp.congestion.window == 1_500  # by what was acknowledged, if that is less
        client.peer(ACK, 0, 62_700)
        assert (client.tcp.congestion.window, client.tcp.congestion.grown) == (2_500, 0)
        client.send(b"y" * 900)
        client.peer(ACK, 0, 63_600)
        assert client.tcp.congestion.grown == 900
        client.abort()


def test_the_window_grows_at_its_last_byte_and_begins_anew() -> None:
    client = slow_probe().establish(mss=1_000)
    for _ in range(4):
        client.send(b"x" * 1_000)
    timed(client, 250)
    client.peer(ACK, 0, 4_000)
    acknowledged, windows = 4_000, []
    for length in (999, 1_000, 1, 1_000, 1_000, 999, 1):
        client.send(b"y" * length)
        acknowledged += length
        client.peer(ACK, 0, acknowledged)
        windows.append(client.tcp.congestion.window)
    assert windows == [2_000, 2_000, 3_000, 3_000, 3_000, 3_000, 4_000]


def test_the_window_of_fast_recovery() -> None:
    """RFC 5681 3.2, without inflation: half of what was in flight, until all of it is acknowledged."""
    client = recovering()
    assert client.tcp.congestion.window == 3_000
    client.peer(ACK, 0, 1_000)
    assert client.tcp.congestion.window == 3_000
    client.tcp.congestion.window = 2_500
    client.peer(ACK, 0, 6_000)
    assert (client.tcp.congestion.window, client.tcp.recovery.is_fast) == (3_000, 0)


def test_duplicates_in_fast_recovery_tell_of_nothing_new() -> None:
    """RFC 6582 3.2: a partial ACK has the next hole filled, and what is duplicate behind it does not again."""
    client = recovering()
    client.peer(ACK, 0, 2_000)
    assert [each.sequence for each in client.output()] == [2_000]
    for _ in range(4):
        client.peer(ACK, 0, 2_000)
    assert client.output() == []
    assert (client.tcp.congestion.threshold, client.tcp.counters.fast_retransmits) == (3_000, 1)


def test_a_timeout_ends_fast_recovery() -> None:
    client = recovering()
    timed(client, 250)
    client.peer(ACK, 0, 1_000)
    assert client.tcp.congestion.window == 2_000
    assert [each.sequence for each in client.output()] == [1_000, 2_000]


# What may be committed, and by which bound not.


def test_each_bound_is_met_exactly() -> None:
    client = Client().establish(mss=1_000, window=10_001)
    for _ in range(9):
        assert client.write(b"x" * 1_000)
    assert client.write(b"x" * 999)
    assert not client.write(b"xx")  # to the window's edge, and past the congestion window
    assert client.tcp.counters.refused_congestion == 1
    assert client.write(b"x")
    assert not client.write(b"xx")
    assert (client.tcp.counters.refused_window, client.tcp.counters.refused_congestion) == (1, 1)
    client = Client().establish(mss=1_000)
    for count in range(70):
        client.send(b"x")
        client.peer(ACK, 0, count + 1)
    for _ in range(SLOTS):
        assert client.write(b"x")
    assert not client.write(b"x" * 1_000)
    assert (client.tcp.counters.refused_slots, client.tcp.counters.refused_length) == (1, 0)
    client.output()
    assert (client.tcp.counters.segments, client.tcp.counters.late) == (134, 134)
    client = Client()
    client.open()
    assert not client.write(b"x")
    assert client.tcp.counters.refused_state == 1


def test_a_peer_that_has_closed_may_be_sent_more() -> None:
    client = Client().establish()
    client.peer(ACK | FIN, 0, 0)
    for position in range(3):
        assert [each.payload for each in client.send(b"x")] == [b"x"]
        client.peer(ACK, 1, position + 1)


# The peer's window.


def test_what_waits_goes_into_an_open_window_only() -> None:
    client = slow_probe().establish()
    for count in range(70):  # past the first turn of the store
        client.send(b"x")
        client.peer(ACK, 0, count + 1)
    client.write(b"order")
    client.peer(ACK, 0, 70, window=0)
    assert client.output() == []
    client.peer(ACK, 0, 70, window=1)  # any: what is first goes whole, its ACK tells of the window
    assert [each.payload for each in client.output()] == [b"order"]
    client.peer(ACK, 0, 70, window=0)
    again = timed(client, 250)
    assert [(ms, each.payload) for ms, each in again if each.payload] == [(200, b"order")]


def test_probes_of_a_closed_window_double_up_to_five_seconds() -> None:
    client = Client().establish()
    client.peer(ACK, 0, 0, window=0)
    delays = [200, 400, 800, 1_600, 3_200, 5_000, 5_000]
    seen = timed(client, sum(delays))
    assert times(seen) == [sum(delays[: count + 1]) for count in range(len(delays))]
    assert {(each.flags, each.sequence, each.payload) for _, each in seen} == {(ACK, -1, b"")}
    assert client.tcp.counters.window_probes == 7
    client.peer(ACK, 0, 0, window=1_459)  # less than a segment is as good as closed
    assert len(timed(client, 5_000)) == 1
    client.peer(ACK, 0, 0, window=1_460)
    assert timed(client, 20_000) == []


def test_a_window_that_is_taken_back_is_counted() -> None:
    client = Client().establish(window=5_000)
    client.send(b"x" * 100)
    client.peer(ACK, 0, 100, window=4_900)  # the same edge
    assert client.tcp.counters.window_shrunk == 0
    client.peer(ACK, 0, 100, window=4_899)
    assert client.tcp.counters.window_shrunk == 1


def test_how_old_an_ack_may_be_goes_by_the_largest_window() -> None:
    """RFC 5961 5.2."""
    client = Client().establish(window=2_000)
    client.peer(ACK, 0, 0, window=5_000)
    for _ in range(5):
        client.send(b"x" * 1_000)
    client.peer(ACK, 0, 5_000, window=3_000)
    client.peer(ACK, 0, 0, b"old")
    assert client.delivered == b"old"
    client.peer(ACK, 3, -1, b"older")
    assert (client.delivered, client.tcp.counters.ack_too_old) == (b"old", 1)


# A new connection knows nothing of the last.


def test_a_connection_begins_without_what_the_last_has_sent() -> None:
    client = Client().establish(rtt_ms=100)
    for _ in range(6):
        client.send(b"x" * 1_000)
    client.peer(ACK, 0, 3_000)
    for _ in range(3):
        client.peer(ACK, 0, 3_000)
    timed(client, 300)
    client.abort()
    client.open()
    timed(client, 1_500)
    client.feed(build(SYN | ACK, IRS, ISS + 1))
    client.output()
    assert (client.tcp.round_trip.smoothed_ns, client.tcp.recovery.is_fast) == (0, 0)
    assert [each.payload for each in client.send(b"order")] == [b"order"]
    assert [(ms, each.payload) for ms, each in timed(client, 50)] == [(10, b"order")]
    client.peer(ACK, 0, 5)
    assert client.tcp.store.begin == client.tcp.store.end == 1


def test_a_reset_acknowledges_what_has_come() -> None:
    client = Client().establish()
    client.peer(ACK, 0, 0, b"abc")
    (reset,) = client.abort()
    assert (reset.flags, reset.sequence, reset.acknowledgement) == (RST | ACK, 0, 3)


# Keep-alive, and how long an end lingers.


def test_keepalive_in_figures() -> None:
    client = Client(keepalive_idle_ns=30 * NS_PER_S).establish()
    seen = timed(client, 60_000)
    assert times(seen) == [30_000, 35_000, 40_000, 45_000]
    assert [each.flags for _, each in seen] == [ACK, ACK, ACK, RST | ACK]
    assert (client.tcp.counters.keepalive_probes, client.tcp.end) == (3, TcpEnd.KEEPALIVE)
    client = Client(keepalive_idle_ns=30 * NS_PER_S).establish()
    assert times(timed(client, 35_000)) == [30_000, 35_000]
    client.peer(ACK, 0, 0)  # an answer begins anew
    assert times(timed(client, 50_000)) == [30_000, 35_000, 40_000, 45_000]


def test_keepalive_waits_for_a_peer_that_was_heard_or_is_waited_for() -> None:
    client = Client(keepalive_idle_ns=30 * NS_PER_S).establish()
    timed(client, 20_000)
    client.peer(ACK, 0, 0, b"news")
    client.output()
    assert [ms for ms, each in timed(client, 34_999) if each.sequence == -1] == [30_000]
    client = Client(keepalive_idle_ns=2 * NS_PER_S).establish()
    client.peer(ACK, 0, 0, window=0)
    seen = timed(client, 10_000, lambda each: client.peer(ACK, 0, 0, window=0))
    assert client.tcp.counters.keepalive_probes == 0  # the window's probes do
    assert len(seen) == client.tcp.counters.window_probes


def test_probes_of_an_earlier_connection_do_not_count() -> None:
    client = Client().establish()
    assert times(timed(client, 36_000)) == [30_000, 35_000]
    client.abort()
    client.establish()
    assert times(timed(client, 50_000)) == [30_000, 35_000, 40_000, 45_000]


def test_figures_that_are_not_configured() -> None:
    settings = Client().tcp.settings
    assert (settings.mss, settings.keepalive_idle_ns // NS_PER_S, settings.user_timeout_ns // NS_PER_S) == (
        1_460,
        30,
        20,
    )
    assert settings.tail_probe_floor_ns == 10 * NS_PER_MS


@pytest.mark.parametrize(("window", "probes"), [(0, [200, 600]), (1_459, [200, 600]), (1_460, [])])
def test_a_window_that_is_closed_from_the_start_is_probed(window: int, probes: list[float]) -> None:
    assert times(timed(Client().establish(window=window), 1_000)) == probes


def test_an_old_fin_ends_no_connection() -> None:
    client = Client(keepalive_idle_ns=100 * NS_PER_S).establish()
    client.peer(ACK, 0, 0, b"taken")
    client.peer(ACK | FIN, 0, 0)
    timed(client, 61_000)
    assert client.state == TcpState.ESTABLISHED


@pytest.mark.parametrize("sequence", [0, -10])
def test_old_segments_do_not_lengthen_time_wait(sequence: int) -> None:
    client = Client().establish()
    client.close()
    client.peer(ACK, 0, 1)
    client.peer(ACK | FIN, 0, 1)
    client.output()
    timed(client, 30_000)
    client.peer(ACK, sequence, 1, b"old")
    client.output()
    timed(client, 29_999)
    assert client.state == TcpState.TIME_WAIT
    timed(client, 1)
    assert client.state == TcpState.CLOSED


@pytest.mark.parametrize("peer_closes_first", [False, True])
def test_time_wait_lasts_a_minute_from_the_last_fin(peer_closes_first: bool) -> None:
    client = Client().establish()
    client.close()
    if peer_closes_first:
        client.peer(ACK | FIN, 0, 0)
        client.peer(ACK, 1, 1)
    else:
        client.peer(ACK, 0, 1)
        client.peer(ACK | FIN, 0, 1)
    client.output()
    assert timed(client, 59_000) == []
    client.peer(ACK | FIN, 0, 1)
    client.output()
    assert timed(client, 59_999) == []
    assert client.state == TcpState.TIME_WAIT
    timed(client, 2)
    assert (client.state, next_timer_ns(client.tcp)) == (TcpState.CLOSED, NEVER_NS)


def test_a_peer_that_never_closes_is_waited_for_a_minute() -> None:
    client = Client(keepalive_idle_ns=100 * NS_PER_S).establish()
    client.close()
    client.peer(ACK, 0, 1)
    timed(client, 59_999)
    assert client.state == TcpState.FIN_WAIT_2
    timed(client, 1)
    assert (client.state, client.tcp.end) == (TcpState.CLOSED, TcpEnd.CLOSED_HERE)
