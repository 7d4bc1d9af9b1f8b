"""The TCP state machine against hand-made segments. Checklists: lwIP's unit tests and smoltcp's issues, by name."""

import pytest

from crosswire.nic.duration import NS_PER_MS, NS_PER_S
from crosswire.nic.rings.ring import NEVER_NS
from crosswire.nic.tcp.state import (
    ACK_DELAY_NS,
    RUNS_MAX,
    SECOND_ACK_DELAY_NS,
    TIME_WAIT_NS,
    WINDOW_BYTES,
    TcpEnd,
    TcpState,
)
from crosswire.nic.tcp.tcp import next_timer_ns, open_connection
from tests.support.tcp_setup import (
    ACK,
    FIN,
    IRS,
    ISS,
    LOCAL_PORT,
    MSS,
    PSH,
    RST,
    SACK_PERMITTED,
    SYN,
    WRAPPING,
    Client,
    build,
    flags_of,
    mss_option,
)

pytestmark = pytest.mark.tcp

# Handshake (RFC 9293 3.5, 3.10.7.3).


def test_syn_has_mss_and_sack_permitted_and_nothing_else() -> None:
    client = Client()
    (syn,) = client.open()
    assert (syn.flags, syn.sequence, syn.window) == (SYN, -1, WINDOW_BYTES)
    assert syn.options == mss_option(MSS) + SACK_PERMITTED


def test_syn_is_sent_again_after_1_2_and_4_seconds_then_given_up() -> None:
    client = Client()
    client.open()
    times = []
    start_ns = client.now_ns
    while client.state == TcpState.SYN_SENT:
        client.now_ns = next_timer_ns(client.tcp)
        for seen in client.output():
            assert seen.flags == SYN
            times.append((client.now_ns - start_ns) // NS_PER_S)
    assert times == [1, 3, 7]
    assert client.now_ns - start_ns == 15 * NS_PER_S
    assert client.tcp.end == TcpEnd.TIMEOUT
    assert client.tcp.established == 0
    assert (client.output(), next_timer_ns(client.tcp), client.tcp.counters.syn_retransmits) == ([], NEVER_NS, 3)


def test_answer_with_wrong_ack_is_reset_and_does_not_connect() -> None:
    client = Client()
    client.open()
    client.peer(SYN | ACK, -1, 5)
    (reset,) = client.output()
    assert (reset.flags, reset.sequence) == (RST, 5)
    assert client.tcp.counters.bad_handshake == 1
    client.feed(build(SYN, IRS))
    (reset,) = client.output()
    assert reset.sequence == -ISS - 1  # none, whatever the RST before has had
    client.peer(SYN | ACK, -1, 5)
    (reset,) = client.output()
    assert reset.acknowledgement == -IRS - 1  # none, whatever the RST before has acknowledged
    client.peer(SYN | ACK, -1, 0)
    assert client.state == TcpState.ESTABLISHED


def test_reset_in_syn_sent_counts_only_with_our_ack() -> None:
    client = Client()
    client.open()
    client.feed(build(RST, IRS))
    assert client.tcp.counters.bad_handshake == 1
    client.feed(build(RST | ACK, 0, ISS))
    assert client.tcp.counters.bad_handshake == 2
    assert client.state == TcpState.SYN_SENT
    client.feed(build(RST | ACK, 0, ISS + 1))
    assert client.state == TcpState.CLOSED
    assert client.tcp.end == TcpEnd.REFUSED
    assert client.output() == []


def test_simultaneous_open_is_refused() -> None:
    client = Client()
    client.open()
    client.feed(build(SYN, IRS))
    (reset,) = client.output()
    assert (reset.flags, reset.acknowledgement) == (RST | ACK, 0)
    assert client.state == TcpState.SYN_SENT
    assert (client.tcp.counters.simultaneous_open, client.tcp.counters.resets) == (1, 1)


def test_data_and_fin_in_syn_sent_are_dropped() -> None:
    client = Client()
    client.open()
    client.peer(ACK | FIN, 0, 0, b"x")
    assert client.state == TcpState.SYN_SENT
    assert client.tcp.counters.bad_handshake == 1


def test_options_of_the_answer() -> None:
    for options, mss in (
        (b"", 536),
        (mss_option(900), 900),
        (b"\x01\x01" + mss_option(1000), 1000),
        (b"\x03\x03\x07\x01" + mss_option(1200), 1200),
        (mss_option(9000), MSS),
        (mss_option(1), 64),
        (b"\x00" + mss_option(900), 536),
        (b"\x08\x0a" + b"\x02\x04\x01\x01" * 2 + mss_option(700), 700),
        (b"\x02\x00\x00\x00", 536),
        (b"\x01\x01\x01\x02", 536),
        (b"\x05\xff\x01\x01", 536),
        (SACK_PERMITTED + mss_option(800), 800),
        (b"\x04\x03\x00" + mss_option(800), 800),
    ):
        client = Client()
        client.open()
        client.feed(build(SYN | ACK, IRS, ISS + 1, options=options))
        assert client.state == TcpState.ESTABLISHED
        assert client.tcp.send.mss == mss, options
        assert client.tcp.receive.sack_permitted == (SACK_PERMITTED in options), options


def test_a_new_connection_begins_anew() -> None:
    client = Client().establish()
    client.send(b"a" * 100)
    client.peer(ACK, 10, 0, b"late")
    client.abort()
    client.iss, client.irs = 77, 99
    client.delivered = b""
    client.establish()
    (seen,) = client.send(b"new")
    assert (seen.sequence, seen.payload) == (0, b"new")
    client.peer(ACK, 0, 3, b"hello")
    assert client.delivered == b"hello"
    assert client.tcp.reassembly.run_count == 0


@pytest.mark.parametrize("left", ["in flight", "to be acknowledged", "lingering"])
def test_a_connection_that_is_opened_over_another_has_none_of_its_timers(left: str) -> None:
    client = Client().establish()
    assert client.tcp.established == 1
    if left == "in flight":
        client.send(b"a")
    elif left == "to be acknowledged":
        client.peer(ACK, 0, 0, b"a")
    else:
        client.close()
        client.peer(ACK | FIN, 0, 1)
        assert client.state == TcpState.TIME_WAIT
    (syn,) = client.open()
    assert (syn.flags, client.tcp.established) == (SYN, 0)
    assert next_timer_ns(client.tcp) == client.now_ns + NS_PER_S


# What is not believed: lengths, checksums, addresses.


def test_frames_that_are_not_to_be_believed() -> None:
    client = Client().establish()
    good = build(ACK | PSH, IRS + 1, ISS + 1, b"payload")
    flipped = bytearray(good)
    flipped[-1] ^= 1
    client.feed(bytes(flipped))
    assert client.tcp.counters.bad_checksum == 1
    flipped = bytearray(good)
    flipped[22] ^= 1
    client.feed(bytes(flipped))
    assert client.tcp.counters.bad_ip_checksum == 1
    for length in range(len(good)):
        client.feed(good[:length])
    assert client.tcp.counters.truncated == len(good)
    client.feed(build(ACK, IRS + 1, ISS + 1, b"other", port=LOCAL_PORT + 1))
    assert client.tcp.counters.other_connection == 1
    assert client.delivered == b""
    client.feed(good + bytes(6))
    assert client.delivered == b"payload"  # padding is no payload


def test_without_ack_nothing_is_taken() -> None:
    client = Client().establish()
    client.peer(PSH, 0, 0, b"data")
    assert client.delivered == b""
    assert client.tcp.counters.without_ack == 1


# Receiving. lwIP: test_tcp_recv_inseq, test_tcp_recv_inseq_trim, test_tcp_recv_ooseq_*, test_tcp_recv_fin_*.


@pytest.mark.parametrize("irs", WRAPPING)
def test_in_sequence(irs: int) -> None:
    client = Client(irs=irs).establish()
    data = bytes(range(256)) * 8
    for start in range(0, len(data), 100):
        client.peer(ACK | PSH, start, 0, data[start : start + 100])
    assert client.delivered == data


def test_in_sequence_trim() -> None:
    client = Client().establish()
    client.peer(ACK, 0, 0, b"0123456789")
    client.peer(ACK, 5, 0, b"56789abc")
    assert client.delivered == b"0123456789abc"
    (answer,) = client.output()
    assert answer.acknowledgement == 13


@pytest.mark.parametrize("irs", WRAPPING)
def test_out_of_sequence_is_kept_and_acknowledged_at_once(irs: int) -> None:
    client = Client(irs=irs).establish()
    client.peer(ACK, 200, 0, b"c" * 100)
    (answer,) = client.output()
    assert (answer.flags, answer.acknowledgement) == (ACK, 0)
    client.peer(ACK, 400, 0, b"e" * 100)
    assert [each.acknowledgement for each in client.output()] == [0]
    client.peer(ACK, 100, 0, b"b" * 100)
    assert [each.acknowledgement for each in client.output()] == [0]
    assert client.tcp.reassembly.run_count == 2
    client.peer(ACK, 0, 0, b"a" * 100)
    assert [each.acknowledgement for each in client.output()] == [300]
    client.peer(ACK, 300, 0, b"d" * 100)
    assert [each.acknowledgement for each in client.output()] == [500]
    assert client.delivered == b"".join(bytes([letter]) * 100 for letter in b"abcde")


def test_out_of_sequence_overlaps() -> None:
    """lwIP test_tcp_recv_ooseq_overrun_rxwin and its edge; pieces that overlap in every way."""
    data = bytes(range(1, 201))
    for pieces in (
        [(50, 80), (40, 60), (70, 120), (0, 200)],
        [(10, 20), (30, 40), (50, 60), (5, 100), (0, 200)],
        [(100, 200), (50, 150), (0, 100)],
        [(199, 200), (1, 199), (0, 1)],
        [(10, 30), (10, 20), (15, 30), (0, 12), (30, 200)],
    ):
        client = Client().establish()
        for begin, end in pieces:
            client.peer(ACK, begin, 0, data[begin:end])
        assert client.delivered == data, pieces
        assert client.tcp.reassembly.run_count == 0


def test_out_of_sequence_is_bounded_by_the_window() -> None:
    client = Client().establish()
    edge = WINDOW_BYTES
    client.peer(ACK, edge - 10, 0, b"x" * 20)
    assert client.tcp.reassembly.runs[0].end == edge
    client.peer(ACK, edge, 0, b"y")
    assert client.tcp.counters.unacceptable == 1
    client.output()


def test_out_of_sequence_runs_are_bounded() -> None:
    """lwIP test_tcp_recv_ooseq_max_pbufs."""
    client = Client().establish()
    for index in range(RUNS_MAX + 3):
        client.peer(ACK, 10 + 20 * index, 0, b"z" * 10)
    assert client.tcp.reassembly.run_count == RUNS_MAX
    assert client.tcp.counters.runs_full == 3
    client.peer(ACK, 0, 0, b"z" * 20 * (RUNS_MAX + 3))
    assert client.delivered == b"z" * 20 * (RUNS_MAX + 3)


def test_the_whole_window_out_of_order() -> None:
    client = Client().establish()
    data = bytes(index * 7 & 0xFF for index in range(WINDOW_BYTES))
    for start in reversed(range(0, len(data), 1000)):
        client.peer(ACK, start, 0, data[start : start + 1000])
    assert client.delivered == data
    assert client.output()[-1].window == WINDOW_BYTES


def test_fin_behind_a_gap() -> None:
    """lwIP test_tcp_recv_ooseq_FIN_OOSEQ, _FIN_INSEQ."""
    client = Client().establish()
    client.peer(ACK | FIN, 10, 0, b"end")
    assert client.state == TcpState.ESTABLISHED
    client.peer(ACK | FIN, 10, 0, b"end")
    client.peer(ACK, 0, 0, b"0123456789")
    assert client.delivered == b"0123456789end"
    assert client.state == TcpState.CLOSE_WAIT
    assert client.tcp.end == TcpEnd.PEER_CLOSED
    assert client.output()[-1].acknowledgement == 14


def test_data_behind_the_fin_are_not_read() -> None:
    client = Client().establish()
    client.peer(ACK | FIN, 0, 0, b"end")
    client.peer(ACK, 3, 0, b"more")
    client.peer(ACK, 4, 0, b"more")
    assert client.delivered == b"end"
    assert client.tcp.counters.after_fin + client.tcp.counters.unacceptable == 2
    client.peer(ACK, 4, 0)
    assert client.tcp.counters.after_fin == 2
    client.peer(ACK, 4, 0, b"m")
    assert client.tcp.counters.after_fin == 3


# ACK policy (RFC 9293 3.8.6.3, RFC 5681 4.2).


def test_ack_is_delayed_at_most_40_ms() -> None:
    client = Client().establish()
    client.peer(ACK, 0, 0, b"x")
    assert client.output() == []
    assert next_timer_ns(client.tcp) == client.now_ns + ACK_DELAY_NS
    client.now_ns += ACK_DELAY_NS
    (answer,) = client.output()
    assert answer.acknowledgement == 1
    assert client.tcp.counters.acks == 2  # with that of the handshake


def test_ack_of_a_second_segment_waits_for_an_order_only() -> None:
    """RFC 5681 4.2, RFC 8985 7.2: a peer with two in flight takes a longer silence for a loss."""
    client = Client().establish()
    client.peer(ACK, 0, 0, b"x" * 10)
    client.now_ns += NS_PER_MS
    client.peer(ACK, 10, 0, b"x" * 10)
    assert client.output() == []
    assert next_timer_ns(client.tcp) == client.now_ns + SECOND_ACK_DELAY_NS
    client.peer(ACK, 20, 0, b"x" * 10)
    assert [each.acknowledgement for each in client.wait(1)] == [30]
    assert client.wait(1000) == []


def test_ack_of_every_second_full_segment() -> None:
    client = Client().establish()
    client.peer(ACK, 0, 0, b"x" * MSS)
    assert client.output() == []
    client.peer(ACK, MSS, 0, b"x" * MSS)
    assert [each.acknowledgement for each in client.output()] == [2 * MSS]


def test_ack_rides_on_an_order() -> None:
    client = Client().establish()
    client.peer(ACK, 0, 0, b"x" * 10)
    (order,) = client.send(b"order")
    assert (order.acknowledgement, order.payload, order.flags) == (10, b"order", ACK | PSH)
    client.peer(ACK, 10, 5)
    assert client.wait(1000) == []


def test_a_copy_is_acknowledged_at_once() -> None:
    client = Client().establish()
    client.peer(ACK, 0, 0, b"x" * 10)
    client.wait(50)
    client.peer(ACK, 0, 0, b"x" * 10)
    assert [each.acknowledgement for each in client.output()] == [10]
    assert client.delivered == b"x" * 10


def test_window_is_told_again_when_it_has_grown() -> None:
    """smoltcp 199 and 935: a window that was closed is announced, whatever the delayed ACK does."""
    client = Client().establish()
    tcp = client.tcp
    taken, client.take = client.take, lambda: None  # a user that does not read
    client.peer(ACK, 1, 0, b"x" * 60000)
    client.peer(ACK, 0, 0, b"a")
    (answer,) = client.output()
    assert (answer.acknowledgement, answer.window) == (60001, WINDOW_BYTES - 60000)
    taken()
    (answer,) = client.output()
    assert answer.window == WINDOW_BYTES
    assert len(client.delivered) == 60001
    assert tcp.receive.advertised == 60001 + WINDOW_BYTES


def test_window_is_this_connection_s() -> None:
    """smoltcp 518: the window of a segment of another connection must not be taken."""
    client = Client().establish(window=5000)
    client.feed(build(ACK, IRS + 1, ISS + 1, window=1, port=LOCAL_PORT + 1))
    assert client.tcp.send.window == 5000


# RFC 5961 and resets.


def test_reset_at_the_edge_only() -> None:
    """smoltcp 1164, RFC 5961 3.2."""
    client = Client().establish()
    client.peer(RST, -1)
    client.peer(RST, WINDOW_BYTES)
    assert (client.state, client.tcp.counters.unacceptable) == (TcpState.ESTABLISHED, 2)
    assert client.output() == []
    client.peer(RST, 1)
    assert client.state == TcpState.ESTABLISHED
    assert [each.acknowledgement for each in client.output()] == [0]
    client.write(b"order")
    assert [each.payload for each in client.output()] == [b"order"]
    client.peer(RST | ACK, 2, 5, b"data")
    assert client.output() == []  # one challenge a second
    client.peer(ACK, 0, 0, b"a")
    assert (client.tcp.send.una, client.delivered) == (0, b"a")  # nothing of it counts
    assert client.tcp.counters.bad_reset == 2
    client.peer(RST, 1)
    assert client.state == TcpState.CLOSED
    assert client.tcp.end == TcpEnd.PEER_RESET
    assert client.output() == []


def test_syn_in_established_is_challenged_and_rate_limited() -> None:
    """smoltcp 1164, RFC 5961 4.2."""
    client = Client().establish()
    client.peer(SYN, 100)
    assert [each.acknowledgement for each in client.output()] == [0]
    client.peer(SYN, 101)
    assert client.output() == []
    client.now_ns += NS_PER_S
    client.peer(SYN, 102)
    assert len(client.output()) == 1
    assert client.state == TcpState.ESTABLISHED
    client.send(b"order")
    client.peer(SYN | ACK, 1, 5, b"data")
    client.peer(ACK, 0, 0, b"a")
    assert (client.tcp.send.una, client.delivered) == (0, b"a")  # nothing of it counts


def test_ack_of_what_was_not_sent_is_challenged() -> None:
    client = Client().establish()
    client.send(b"x" * 10)
    client.peer(ACK, 0, 11, b"data")
    assert client.delivered == b""
    assert client.tcp.counters.ack_of_unsent == 1
    assert len(client.output()) == 1


def test_ack_older_than_the_window_is_dropped() -> None:
    """RFC 5961 5.2."""
    client = Client().establish(window=2000)
    client.send(b"x" * 1000)
    client.peer(ACK, 0, 1000, window=2000)
    client.send(b"x" * 1000)
    client.send(b"x" * 500)
    client.peer(ACK, 0, 2000, window=2000)
    client.peer(ACK, 0, 1, b"within")  # old, and still acceptable
    assert client.delivered == b"within"
    client.output()
    client.peer(ACK, 6, -1, b"too old")
    assert client.tcp.counters.ack_too_old == 1
    assert [each.acknowledgement for each in client.output()] == [6]
    assert client.delivered == b"within"


def test_ack_within_the_handshakes_window_is_not_too_old() -> None:
    client = Client().establish(window=2000)
    client.peer(ACK, 0, -2000, b"data")
    client.peer(ACK, 4, -2001, b"too old")
    assert (client.delivered, client.tcp.counters.ack_too_old) == (b"data", 1)


def test_an_ack_behind_an_order_is_an_ack() -> None:
    """Whatever became too old in the order's header meanwhile."""
    client = Client().establish()
    client.send(b"order")
    client.peer(ACK, 0, 0, b"x" * 5000)
    assert [(each.flags, each.acknowledgement, each.payload) for each in client.output()] == [(ACK, 5000, b"")]


def test_two_ends_that_disagree_do_not_answer_each_other_for_ever() -> None:
    client = Client().establish()
    answers = 0
    for _ in range(100):
        client.peer(ACK, -5, 0)
        answers += len(client.output())
    assert answers == 1
    assert client.tcp.counters.answers_suppressed == 99


def test_peers_probes_and_keepalives_are_answered() -> None:
    client = Client().establish()
    client.peer(ACK, 0, 0, b"abc")
    client.wait(50)
    for payload in (b"", b"c"):
        client.now_ns += NS_PER_S
        client.peer(ACK, 2, 0, payload)
        assert [(each.flags, each.acknowledgement) for each in client.output()] == [(ACK, 3)]


def test_keepalive() -> None:
    """lwIP test_tcp_keepalive."""
    client = Client(keepalive_idle_ns=30 * NS_PER_S).establish()
    assert client.wait(29_900) == []
    (probe,) = client.wait(200)
    assert (probe.flags, probe.sequence, probe.payload) == (ACK, -1, b"")
    client.peer(ACK, 0, 0)
    assert client.wait(29_000) == []
    seen = client.wait(60_000)
    assert flags_of(seen) == [ACK, ACK, ACK, RST | ACK]
    assert client.state == TcpState.CLOSED
    assert client.tcp.end == TcpEnd.KEEPALIVE


# Closing (RFC 9293 3.6).


def test_close_from_here() -> None:
    client = Client().establish()
    (fin,) = client.close()
    assert (fin.flags, fin.sequence) == (FIN | ACK, 0)
    assert client.state == TcpState.FIN_WAIT_1
    assert not client.write(b"x")
    client.peer(ACK, 0, 1)
    assert client.state == TcpState.FIN_WAIT_2
    client.peer(ACK, 0, 1, b"last words")
    assert client.delivered == b"last words"
    client.peer(FIN | ACK, 10, 1)
    assert client.state == TcpState.TIME_WAIT
    assert client.output()[-1].acknowledgement == 11
    client.now_ns += NS_PER_S
    client.peer(FIN | ACK, 10, 1)  # our ACK was lost
    assert [each.acknowledgement for each in client.output()] == [11]
    client.now_ns += TIME_WAIT_NS
    client.output()
    assert client.state == TcpState.CLOSED


def test_both_close_at_once() -> None:
    client = Client().establish()
    client.close()
    client.peer(FIN | ACK, 0, 0)
    assert client.state == TcpState.CLOSING
    client.peer(ACK, 1, 1)
    assert client.state == TcpState.TIME_WAIT


def test_fin_and_ack_of_ours_in_one() -> None:
    client = Client().establish()
    client.close()
    client.peer(FIN | ACK, 0, 1)
    assert client.state == TcpState.TIME_WAIT
    assert client.output()[-1].acknowledgement == 1


def test_peer_closes_first() -> None:
    client = Client().establish()
    client.peer(FIN | ACK, 0, 0)
    assert client.state == TcpState.CLOSE_WAIT
    assert client.send(b"still")[0].payload == b"still"
    (fin,) = client.close()
    assert fin.sequence == 5
    assert client.state == TcpState.LAST_ACK
    client.peer(ACK, 1, 6)
    assert client.state == TcpState.CLOSED
    assert client.tcp.end == TcpEnd.PEER_CLOSED


def test_fin_goes_behind_data_and_again() -> None:
    """smoltcp 836: a close with data in flight."""
    client = Client(tail_probe_floor_ns=NS_PER_S).establish()
    client.write(b"data")
    seen = client.close()
    assert [(each.payload, each.flags & FIN) for each in seen] == [(b"data", 0), (b"", FIN)]
    again = client.wait(250)
    assert [(each.payload, each.flags & FIN) for each in again] == [(b"data", 0), (b"", FIN)]
    client.peer(ACK, 0, 4)
    again = client.wait(250)
    assert [(each.payload, each.flags & FIN) for each in again] == [(b"", FIN)]
    client.peer(ACK, 0, 5)
    assert client.state == TcpState.FIN_WAIT_2
    assert client.wait(1000) == []


def test_abort() -> None:
    client = Client().establish()
    client.send(b"x" * 10)
    client.peer(ACK, 0, 0, b"y")
    (reset,) = client.abort()
    assert (reset.flags & RST, reset.sequence) == (RST, 10)
    assert client.state == TcpState.CLOSED
    assert not client.write(b"x")
    for payload in (b"", b"data"):
        client.peer(ACK, 1, 10, payload)
        assert (client.delivered, next_timer_ns(client.tcp)) == (b"y", NEVER_NS)
    assert client.tcp.counters.closed == 2
    assert client.wait(100_000) == []


def test_close_and_abort_in_syn_sent() -> None:
    for end in (Client.close, Client.abort):
        client = Client()
        client.open()
        assert end(client) == []
        assert client.state == TcpState.CLOSED


def test_reset_in_every_state() -> None:
    for steps in ((), ("close",), ("close", "ack"), ("fin",), ("fin", "close"), ("close", "fin")):
        client = Client().establish()
        received = 0
        for step in steps:
            if step == "close":
                client.close()
            elif step == "ack":
                client.peer(ACK, 0, 1)
            else:
                client.peer(FIN | ACK, 0, 0)
                received = 1
        client.output()
        client.peer(RST, received)
        assert client.state == TcpState.CLOSED, steps


def test_a_peer_that_never_closes() -> None:
    client = Client().establish()
    client.close()
    client.peer(ACK, 0, 1)
    client.wait(61_000)
    assert client.state == TcpState.CLOSED


def test_options_out_of_range() -> None:
    for good in ({"mss": 536}, {"mss": 1460}, {"keepalive_idle_ns": 1, "user_timeout_ns": 1, "tail_probe_floor_ns": 1}):
        Client(**good)
    for bad in ({"mss": 100}, {"mss": 9000}, {"keepalive_idle_ns": 0}, {"user_timeout_ns": -1}):
        with pytest.raises(ValueError, match="must be"):
            Client(**bad)


def test_open_again_while_open() -> None:
    client = Client().establish()
    client.peer(SYN, 100)
    client.output()
    assert client.wait(29_500) == []
    open_connection(client.tcp, 5, LOCAL_PORT + 1, client.now_ns)
    client.iss = 5
    assert flags_of(client.output() + client.wait(10_000)) == [SYN] * 4  # no timer of the former one runs
    client = Client().establish()
    client.peer(SYN, 100)
    assert len(client.output()) == 1
    client.establish()
    client.peer(SYN, 100)
    assert len(client.output()) == 1  # nor is its challenge this one's
    client = Client().establish()
    client.take = lambda: None  # type: ignore[method-assign]  # a user that does not read
    client.peer(ACK, 1, 0, b"b")
    client.peer(ACK, 0, 0, b"a")
    client.peer(ACK, -5, 0)
    client.output()
    (syn,) = client.open()
    assert syn.window == WINDOW_BYTES
    client.peer(SYN | ACK, -1, 0)
    client.output()
    client.peer(ACK, -5, 0)
    assert len(client.output()) == 1
    open_connection(client.tcp, 5, LOCAL_PORT + 1, client.now_ns)
    client.iss = 5
    (syn,) = client.output()
    assert (syn.flags, syn.ports[0]) == (SYN, LOCAL_PORT + 1)
