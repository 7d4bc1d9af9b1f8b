"""The TCP's sending half against hand-made segments: windows, timers, loss. Names as in lwIP's and smoltcp's tests."""

import dataclasses

import pytest

from crosswire.nic.duration import NS_PER_MS, NS_PER_S
from crosswire.nic.tcp.state import RETRANSMITS_MAX, SLOTS, TcpEnd, TcpState
from crosswire.nic.tcp.tcp import next_timer_ns
from tests.support.tcp_setup import (
    ACK,
    MSS,
    PSH,
    RST,
    WRAPPING,
    Client,
)

pytestmark = pytest.mark.tcp

# Sending.


@pytest.mark.parametrize("iss", WRAPPING)
def test_send_and_acknowledge(iss: int) -> None:
    client = Client(iss=iss).establish()
    position = 0
    for index in range(200):
        payload = bytes([index]) * (1 + index * 7 % MSS)
        (seen,) = client.send(payload)
        assert (seen.sequence, seen.payload, seen.flags) == (position, payload, ACK | PSH)
        position += len(payload)
        client.now_ns += NS_PER_MS
        client.peer(ACK, 0, position)
    assert client.tcp.store.begin == client.tcp.store.end == 200
    assert client.tcp.counters.retransmits == 0
    assert client.wait(10_000) == []


def test_refused_by_reason() -> None:
    client = Client()
    assert not client.write(b"x")
    assert client.tcp.counters.refused_state == 1
    client.establish(mss=1000, window=4000)
    assert not client.write(b"x" * 1001)
    assert client.tcp.counters.refused_length == 1
    for _ in range(4):
        client.send(b"x" * 1000)
    assert not client.write(b"x")
    assert client.tcp.counters.refused_window == 1
    client = Client().establish()
    for _ in range(10):
        client.send(b"x" * MSS)
    assert not client.write(b"x")
    assert client.tcp.counters.refused_congestion == 1
    client = Client().establish()
    for _ in range(SLOTS):
        client.send(b"x")
    assert not client.write(b"x")
    assert client.tcp.counters.refused_slots == 1


def test_without_a_connection_not_even_an_empty_frame_is_taken() -> None:
    client = Client()
    assert not client.write(b"")
    client.open()
    assert not client.write(b"")
    client.abort()
    assert not client.write(b"")
    assert client.output() == []


def test_partial_ack_of_a_segment() -> None:
    client = Client().establish()
    client.send(b"0123456789")
    client.peer(ACK, 0, 4)
    assert client.tcp.store.begin == 0
    again = client.wait(2000)
    assert again[0].sequence == 0
    assert again[0].payload == b"0123456789"  # the same bytes
    client.peer(ACK, 0, 10)
    assert client.tcp.store.begin == 1


def test_tail_probe_then_timeouts_that_double() -> None:
    client = Client().establish(rtt_ms=1)
    start_ns = client.now_ns
    (first,) = client.send(b"order")
    times = []
    while client.state == TcpState.ESTABLISHED:
        client.now_ns = next_timer_ns(client.tcp)
        for seen in client.output():
            if seen.payload:
                assert dataclasses.replace(seen) == first
                times.append((client.now_ns - start_ns) // NS_PER_MS)
    assert times[:6] == [10, 200, 600, 1400, 3000, 6200]
    assert client.tcp.counters.tail_probes == 1
    assert client.tcp.end == TcpEnd.TIMEOUT
    assert client.now_ns - start_ns >= 20 * NS_PER_S


def test_given_up_after_so_many_retransmissions() -> None:
    client = Client(user_timeout_ns=10_000 * NS_PER_S).establish()
    client.send(b"order")
    seen = client.wait(10_000_000)
    assert client.state == TcpState.CLOSED
    assert sum(bool(each.payload) for each in seen) == 1 + RETRANSMITS_MAX
    assert seen[-1].flags == RST | ACK
    assert seen[-1].sequence == 5


def test_timer_is_restarted_only_by_progress() -> None:
    """smoltcp 62: ACKs that acknowledge nothing new must not put the retransmission off."""
    client = Client(tail_probe_floor_ns=NS_PER_S).establish()
    client.send(b"order")
    due_ns = client.tcp.timers.retransmit_ns
    for index in range(15):
        client.now_ns += 10 * NS_PER_MS
        client.peer(ACK, index, 0, b"m")
        client.output()
        assert client.tcp.timers.retransmit_ns == due_ns
    client.send(b"another")
    assert client.tcp.timers.retransmit_ns == due_ns
    client.now_ns = due_ns
    assert client.output()[0].payload == b"order"


def test_rtt_samples() -> None:
    """RFC 6298; lwIP test_tcp_rto_rexmit_wraparound, by Karn's rule."""
    client = Client().establish(rtt_ms=40)
    assert client.tcp.round_trip.smoothed_ns == 40 * NS_PER_MS
    client.send(b"a")
    client.now_ns += 80 * NS_PER_MS
    client.peer(ACK, 0, 1)
    assert client.tcp.round_trip.smoothed_ns == 45 * NS_PER_MS
    assert client.tcp.round_trip.variance_ns == 25 * NS_PER_MS
    assert client.tcp.round_trip.rto_ns == 200 * NS_PER_MS
    client.send(b"b")
    client.wait(5000)
    before = client.tcp.round_trip.smoothed_ns
    client.peer(ACK, 0, 2)
    assert client.tcp.round_trip.smoothed_ns == before


def test_fast_retransmit_recover() -> None:
    """lwIP test_tcp_fast_retx_recover; RFC 5681 3.2, RFC 6582 3.2."""
    client = Client(tail_probe_floor_ns=NS_PER_S).establish()
    for index in range(6):
        client.send(bytes([index]) * 100)
    for _ in range(2):
        client.peer(ACK, 0, 0)
    assert client.output() == []
    client.peer(ACK, 0, 0)
    (again,) = client.output()
    assert (again.sequence, again.payload) == (0, bytes([0]) * 100)
    for _ in range(3):
        client.peer(ACK, 0, 0)
    assert client.output() == []
    client.peer(ACK, 0, 200)  # a partial ACK: segment 2 is missing too
    (again,) = client.output()
    assert again.sequence == 200
    client.peer(ACK, 0, 600)
    assert client.output() == []
    assert client.tcp.recovery.is_fast == 0
    assert client.tcp.counters.fast_retransmits == 1
    assert client.tcp.counters.timeouts == 0


def test_fast_retransmit_wraps() -> None:
    """lwIP test_tcp_fast_rexmit_wraparound."""
    client = Client(iss=0xFFFFFFFF - 150, tail_probe_floor_ns=NS_PER_S).establish()
    for index in range(5):
        client.send(bytes([index]) * 100)
    client.peer(ACK, 0, 100)
    for _ in range(3):
        client.peer(ACK, 0, 100)
    assert [each.sequence for each in client.output()] == [100]


def test_duplicate_ack_counter_does_not_overflow() -> None:
    """smoltcp 224."""
    client = Client(tail_probe_floor_ns=NS_PER_S).establish()
    client.send(b"x")
    for _ in range(1000):
        client.peer(ACK, 0, 0)
    assert client.tcp.recovery.duplicate_acks == 3
    assert len(client.output()) == 1


def test_what_is_no_duplicate_ack() -> None:
    client = Client(tail_probe_floor_ns=NS_PER_S).establish()
    client.send(b"x")
    for index in range(10):
        client.peer(ACK, 0, 0, window=60000 + index)
        client.peer(ACK, index, 0, b"d")
    client.output()
    assert client.tcp.counters.duplicate_acks == 0


def test_after_a_timeout_all_goes_again_bit_by_bit() -> None:
    """lwIP test_tcp_rto_rexmit, test_tcp_rto_timeout; RFC 5681 3.1."""
    client = Client(tail_probe_floor_ns=NS_PER_S).establish()
    for index in range(6):
        client.send(bytes([index]) * MSS)
    seen = client.wait(250)
    assert [each.sequence for each in seen] == [0]
    assert client.tcp.congestion.window == MSS
    assert not client.write(b"x")
    client.peer(ACK, 0, MSS)
    assert [each.sequence for each in client.output()] == [MSS, 2 * MSS]
    client.peer(ACK, 0, 6 * MSS)  # the others had arrived
    assert client.output() == []
    assert client.tcp.store.begin == client.tcp.store.end
    assert client.write(b"x")


def test_retransmission_is_the_same_bytes() -> None:
    client = Client().establish()
    (first,) = client.send(b"order")
    client.peer(ACK, 0, 0, b"news" * 10)
    client.output()
    again = [each for each in client.wait(300) if each.payload]
    assert again
    assert all(each == first for each in again)


@pytest.mark.parametrize("earlier", range(3))
def test_retransmission_does_not_carry_an_ack_that_the_peer_would_drop(earlier: int) -> None:
    """RFC 5961 5.2 at the peer: an acknowledgement older than its window makes it drop the segment. Wherever the frame
    is kept.
    """
    client = Client().establish()
    for number in range(earlier):
        client.send(b"x")
        client.peer(ACK, 0, number + 1)
    client.send(b"order")
    for index in range(10):
        client.peer(ACK, index * 1000, earlier, b"n" * 1000)
    again = [each for each in client.wait(50) if each.payload]
    assert [(each.sequence, each.acknowledgement, each.payload) for each in again] == [(earlier, 10_000, b"order")]


# Windows. lwIP: test_tcp_persist_split, test_tcp_zwp_timeout, test_tcp_retx_add_to_sent.


def test_zero_window_is_probed_and_survived() -> None:
    client = Client().establish()
    client.send(b"x" * 100)
    client.peer(ACK, 0, 100, window=0)
    assert not client.write(b"x")
    assert client.tcp.counters.refused_window == 1
    probes = 0
    for _ in range(60):
        for seen in client.wait(1000):
            assert (seen.flags, seen.sequence, seen.payload) == (ACK, 99, b"")
            probes += 1
            client.peer(ACK, 0, 100, window=0)
    assert probes > 10
    assert client.state == TcpState.ESTABLISHED
    client.peer(ACK, 0, 100, window=5000)
    assert client.write(b"x")


def test_lost_window_update_does_not_stall() -> None:
    client = Client().establish(window=100)
    client.send(b"x" * 100)
    client.peer(ACK, 0, 100, window=0)
    # The update is lost; the probe's answer brings it.
    assert client.wait(1000)
    client.peer(ACK, 0, 100, window=1000)
    assert client.write(b"y" * 1000)


def test_old_segment_does_not_change_the_window() -> None:
    client = Client().establish()
    client.peer(ACK, 0, 0, b"a" * 10, window=1000)
    client.peer(ACK, 20, 0, b"c" * 10, window=3000)
    client.peer(ACK, 10, 0, b"b" * 10, window=2000)
    assert client.tcp.send.window == 3000


def test_window_taken_back() -> None:
    client = Client().establish()
    for _ in range(3):
        client.send(b"x" * 1000)
    client.peer(ACK, 0, 0, window=1500)
    assert client.tcp.counters.window_shrunk == 1
    assert not client.write(b"x")
    seen = client.wait(300)
    assert seen[0].payload == b"x" * 1000
    client.peer(ACK, 0, 3000, window=4000)
    assert client.write(b"x")
