"""What the TCP does about loss, in virtual time: of its own segments, of ACKs, and of what a peer sends."""

import heapq
import random
import struct
from dataclasses import dataclass, field

import pytest

from crosswire.nic.duration import NS_PER_MS, NS_PER_S
from crosswire.nic.tcp.state import SACK_BLOCKS_MAX, SEQUENCE_MASK, TcpState
from crosswire.nic.tcp.tcp import next_timer_ns
from tests.support.tcp_setup import ACK, IRS, ISS, MSS, SACK_PERMITTED, SYN, Client, Seen, build, mss_option

pytestmark = pytest.mark.tcp

DELAY_NS = NS_PER_MS // 10
TRANSFER_BYTES = 1 << 16
CHUNK_BYTES = 150


def established(tail_probe_ms: float = 10, **options: int) -> Client:
    return Client(tail_probe_floor_ns=int(tail_probe_ms * NS_PER_MS), **options).establish()


def duplicate_acks(client: Client, ack: int, count: int = 3) -> list[Seen]:
    """So many ACKs that acknowledge nothing new; what we send for them."""
    for _ in range(count):
        client.peer(ACK, 0, ack)
    return client.output()


# Our own segments are lost.


def test_lost_fast_retransmission_does_not_wait_for_the_timer() -> None:
    """No duplicate ACK tells of that loss (RFC 6582 has nothing for it): the probe comes after 10 ms, not 200."""
    client = established()
    start_ns = client.now_ns
    for index in range(6):
        client.send(bytes([index]) * 100)
    (lost,) = duplicate_acks(client, 0)
    assert lost.sequence == 0
    assert client.tcp.recovery.is_fast == 1
    (again,) = client.wait(100)
    assert again.sequence == 0
    assert client.tcp.counters.tail_probes == 1
    client.peer(ACK, 0, 600)
    assert client.tcp.counters.timeouts == client.tcp.recovery.is_fast == 0
    assert client.now_ns - start_ns < 200 * NS_PER_MS


def test_lost_retransmission_of_a_partial_ack_does_not_wait_for_the_timer() -> None:
    client = established()
    for index in range(6):
        client.send(bytes([index]) * 100)
    duplicate_acks(client, 0)
    client.peer(ACK, 0, 200)
    (lost,) = client.output()
    assert (lost.sequence, client.tcp.recovery.is_fast) == (200, 1)
    (again,) = client.wait(100)
    assert again.sequence == 200
    client.peer(ACK, 0, 600)
    assert client.tcp.counters.timeouts == client.tcp.recovery.is_fast == 0


def test_one_probe_until_something_is_acknowledged() -> None:
    """In fast recovery as elsewhere (RFC 8985 7.3): then it is the timer's turn, and all counts as lost."""
    client = established()
    for index in range(6):
        client.send(bytes([index]) * 100)
    duplicate_acks(client, 0)
    assert [each.sequence for each in client.wait(150)] == [0]
    assert [each.sequence for each in client.wait(100)] == [0, 100, 200, 300, 400, 500]
    assert client.tcp.counters.timeouts == 1


def test_loss_among_what_a_timeout_sent_again() -> None:
    """RFC 6582 4.1: three duplicate ACKs behind a partial ACK tell of it, and the timer need not run out again."""
    client = established(1000)
    for index in range(9):
        client.send(bytes([index]) * 150)
    client.wait(250)
    assert client.tcp.counters.timeouts == 1
    client.peer(ACK, 0, 150)  # a partial ACK: the second was lost again, those behind it come
    assert client.output() == []
    (again,) = duplicate_acks(client, 150)
    assert again.sequence == 150
    client.peer(ACK, 0, 1350)
    assert client.tcp.counters.fast_retransmits == client.tcp.counters.timeouts == 1
    assert client.tcp.recovery.is_fast == 0
    assert client.wait(1000) == []


def test_copies_that_were_not_needed_are_no_loss() -> None:
    """RFC 6582 4.1: the ACK before the duplicates jumped, so these are of copies that the peer had already."""
    client = established(1000)
    for index in range(10):
        client.send(bytes([index]) * MSS)
    client.wait(250)
    client.peer(ACK, 0, 6 * MSS)
    assert [each.sequence for each in client.output()] == [6 * MSS, 7 * MSS]
    assert duplicate_acks(client, 6 * MSS, 6) == []
    assert client.tcp.counters.fast_retransmits == 0


def test_loss_after_a_timeout_does_not_widen_the_window() -> None:
    """RFC 5681 3.2: what is in flight is less than what is not acknowledged, as long as a timeout is being mended."""
    client = established(1000)
    for index in range(40):
        client.send(bytes([index]) * 240)
    client.wait(250)
    client.peer(ACK, 0, 240)
    client.output()
    window = client.tcp.congestion.window
    assert MSS < window < client.tcp.congestion.threshold
    duplicate_acks(client, 240)
    assert client.tcp.recovery.is_fast == 1
    assert client.tcp.congestion.window <= window


def test_lost_acks_are_made_good_by_the_next() -> None:
    client = established()
    for index in range(10):
        client.send(bytes([index]) * 100)
        client.now_ns += NS_PER_MS // 2
    client.peer(ACK, 0, 1000)  # the only one of ten that arrives
    assert client.wait(10_000) == []
    assert client.tcp.counters.retransmits == client.tcp.counters.timeouts == 0
    assert client.tcp.round_trip.rto_ns == 200 * NS_PER_MS


def test_the_same_segment_is_lost_again_and_again() -> None:
    """RFC 6298 5.5: the timer doubles. RFC 8985 7.3: one probe, before the first timeout."""
    client = established()
    start_ns = client.now_ns
    client.send(b"order")
    times = []
    while len(times) < 6:
        client.now_ns = next_timer_ns(client.tcp)
        times += [(client.now_ns - start_ns) // NS_PER_MS for seen in client.output() if seen.payload]
    assert times == [10, 200, 600, 1400, 3000, 6200]
    assert client.tcp.round_trip.rto_ns == 6400 * NS_PER_MS


def test_back_off_ends_with_progress() -> None:
    """However far it went: an ACK of new data ends it, though Karn's rule gives no sample of a segment sent twice."""
    client = established()
    for index in range(3):
        client.send(bytes([index]) * 100)
    client.wait(4000)
    assert client.tcp.round_trip.rto_ns == 3200 * NS_PER_MS
    client.peer(ACK, 0, 100)
    assert client.tcp.round_trip.rto_ns == 200 * NS_PER_MS
    assert client.tcp.recovery.retransmits == 0
    assert client.tcp.round_trip.smoothed_ns == NS_PER_MS  # the handshake's
    start_ns = client.now_ns
    assert [each.sequence for each in client.wait(50)] == [100]  # the probe
    assert [each.sequence for each in client.wait(200)] == [100, 200]
    assert client.tcp.round_trip.rto_ns == 400 * NS_PER_MS
    assert client.now_ns - start_ns == 250 * NS_PER_MS
    client.peer(ACK, 0, 300)
    (order,) = client.send(b"order")
    assert order.sequence == 300
    assert client.tcp.timers.retransmit_ns == client.now_ns + 200 * NS_PER_MS


@dataclass
class Transfer:
    """One way over a path that loses segments and ACKs alike, to a peer that acknowledges each segment."""

    seed: int
    loss: float
    client: Client = field(default_factory=lambda: Client(user_timeout_ns=3600 * NS_PER_S).establish(rtt_ms=0.2))
    took_ns: int = 0

    def run(self) -> "Transfer":
        client, draw = self.client, random.Random(self.seed)
        start_ns = client.now_ns
        events: list[tuple[int, int, bool, int, int]] = []
        early: dict[int, int] = {}
        written = received = number = 0
        while client.tcp.send.una < TRANSFER_BYTES:
            while written < TRANSFER_BYTES:
                length = min(CHUNK_BYTES, TRANSFER_BYTES - written)
                if not client.write(bytes(length)):
                    break
                written += length
            for seen in client.output():
                if seen.payload and draw.random() >= self.loss:
                    number += 1
                    arrival = (client.now_ns + DELAY_NS, number, True, seen.sequence, len(seen.payload))
                    heapq.heappush(events, arrival)
            assert client.state == TcpState.ESTABLISHED
            due_ns = next_timer_ns(client.tcp)
            client.now_ns = max(client.now_ns, min(due_ns, events[0][0]) if events else due_ns)
            while events and events[0][0] <= client.now_ns:
                _, _, is_data, position, length = heapq.heappop(events)
                if not is_data:
                    client.peer(ACK, 0, position)
                    continue
                early[position] = length
                while received in early:
                    received += early.pop(received)
                if draw.random() >= self.loss:
                    number += 1
                    heapq.heappush(events, (client.now_ns + DELAY_NS, number, False, received, 0))
        self.took_ns = client.now_ns - start_ns
        return self


@pytest.mark.parametrize(
    ("loss", "timeouts", "milliseconds"), [(0.01, 0.1, 10), (0.03, 0.5, 80), (0.1, 2.5, 600), (0.27, 19, 5500)]
)
def test_transfer_over_a_path_that_loses(loss: float, timeouts: float, milliseconds: float) -> None:
    """64 KB in pieces of 150 bytes, a round trip of 0.2 ms: so many timeouts, and so long, on average at most."""
    transfers = [Transfer(seed, loss).run() for seed in range(40)]
    assert sum(each.client.tcp.counters.timeouts for each in transfers) / 40 <= timeouts
    assert sum(each.took_ns for each in transfers) / 40 <= milliseconds * NS_PER_MS


# The peer's segments are lost.


def blocks_of(seen: Seen) -> list[tuple[int, int]]:
    """What a SACK option says (RFC 2018 3), by relative numbers."""
    if not seen.options:
        return []
    assert seen.options[:3] == b"\x01\x01\x05"
    assert seen.options[3] == len(seen.options) - 2
    edges = struct.unpack(f">{(len(seen.options) - 4) // 4}I", seen.options[4:])
    edges = tuple((edge - IRS - 1) & SEQUENCE_MASK for edge in edges)
    return list(zip(edges[::2], edges[1::2], strict=True))


def with_sack() -> Client:
    client = Client()
    client.open()
    client.feed(build(SYN | ACK, IRS, ISS + 1, options=mss_option(MSS) + SACK_PERMITTED))
    client.output()
    return client


def test_runs_are_told_the_latest_first() -> None:
    """RFC 2018 4: so the peer knows what to send again, and measures round trips of what came behind a gap."""
    client = with_sack()
    assert client.tcp.receive.sack_permitted == 1
    told = []
    for position in (100, 300, 200, 500, 700, 900, 400):
        client.peer(ACK, position, 0, b"x" * 50)
        (answer,) = client.output()
        assert (answer.flags, answer.acknowledgement, answer.payload) == (ACK, 0, b"")
        told.append([block[0] for block in blocks_of(answer)])
    assert told == [
        [100], [300, 100], [200, 100, 300], [500, 100, 200, 300], [700, 100, 200, 300], [900, 100, 200, 300],
        [400, 100, 200, 300],
    ]  # fmt: skip
    assert len(told[-1]) == SACK_BLOCKS_MAX


def test_runs_that_grow_together_are_one_block() -> None:
    client = with_sack()
    for position in (100, 200, 150):
        client.peer(ACK, position, 0, b"x" * 50)
    (answer,) = client.output()
    assert blocks_of(answer) == [(100, 250)]
    client.peer(ACK, 0, 0, b"x" * 100)
    (answer,) = client.output()
    assert (answer.acknowledgement, answer.options) == (250, b"")


def test_blocks_wrap_with_the_sequence_numbers() -> None:
    client = Client(irs=0xFFFFFFFF - 120)
    client.open()
    client.feed(build(SYN | ACK, client.irs, ISS + 1, options=SACK_PERMITTED))
    client.output()
    client.peer(ACK, 100, 0, b"x" * 50)
    (answer,) = client.output()
    assert struct.unpack(">II", answer.options[4:]) == (0xFFFFFFFF - 19, 30)


def test_no_blocks_for_a_peer_that_did_not_ask() -> None:
    """RFC 2018 3; nor after a connection to one that did."""
    client = with_sack()
    client.abort()
    client.establish()
    client.peer(ACK, 100, 0, b"x" * 50)
    (answer,) = client.output()
    assert (answer.acknowledgement, answer.options) == (0, b"")


def test_no_blocks_in_a_reset() -> None:
    client = with_sack()
    client.peer(ACK, 100, 0, b"x" * 50)
    (reset,) = client.abort()
    assert reset.options == b""


def test_orders_do_not_hide_a_gap() -> None:
    """RFC 5681 2: an ACK with data is no duplicate ACK, so one without goes as well while a gap is open."""
    client = established()
    client.peer(ACK, 100, 0, b"x" * 50)
    answers = client.send(b"order")
    assert sorted((each.acknowledgement, each.payload) for each in answers) == [(0, b""), (0, b"order")]
    client.peer(ACK, 0, 5, b"x" * 100)
    (answer,) = client.send(b"another")  # closed: that one carries all
    assert (answer.acknowledgement, answer.payload) == (150, b"another")
