"""The receiving half at its edges: of the window, of runs and their buffer, of a FIN; what is answered, and when."""

import ctypes
import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crosswire.nic.duration import NS_PER_MS
from crosswire.nic.memory.struct import address_of
from crosswire.nic.rings.ring import NEVER_NS
from crosswire.nic.tcp.receive import insert_run, take_buffered
from crosswire.nic.tcp.state import Reassembly, TcpState
from crosswire.nic.tcp.tcp import next_timer_ns
from tests.support.tcp_setup import ACK, FIN, IRS, ISS, MSS, SACK_PERMITTED, SYN, Client, build

pytestmark = pytest.mark.tcp

WINDOW = 65_535


def unread() -> Client:
    """A connection whose user does not read what is buffered."""
    client = Client().establish()
    client.take = lambda: None  # type: ignore[method-assign]
    return client


def full() -> Client:
    """A connection whose buffer is full: its window is closed at 65,536."""
    client = unread()
    client.peer(ACK, 1, 0, b"x" * 60_000)
    client.peer(ACK, 60_001, 0, b"y" * (WINDOW - 60_001))
    client.peer(ACK, 0, 0, b"a")
    assert [(each.acknowledgement, each.window) for each in client.output()] == [(WINDOW, 1)]
    client.peer(ACK, WINDOW, 0, b"z")  # into a window of one byte
    assert [(each.acknowledgement, each.window) for each in client.output()] == [(WINDOW + 1, 0)]
    return client


def take_all(client: Client) -> bytes:
    """Read what waits."""
    read = b""
    while length := take_buffered(client.tcp, address_of(client.spare), 10_000):
        read += ctypes.string_at(address_of(client.spare), length)
    return read


def test_a_closed_window_takes_acknowledgements_and_nothing_else() -> None:
    """RFC 9293 3.10.7.4, the table of four cases: with a window of 0 only a segment without text at its very edge."""
    client = full()
    client.write(b"order")
    client.output()
    unacceptable = client.tcp.counters.unacceptable
    for flags, sequence, payload in (
        (ACK, WINDOW + 1, b"q"),
        (ACK | FIN, WINDOW + 1, b""),
        (SYN, WINDOW + 1, b""),
        (ACK, WINDOW + 2, b""),
        (ACK, WINDOW, b""),
        (ACK, WINDOW, b"zq"),  # a copy, and a byte right at the edge
    ):
        client.peer(flags, sequence, 5, payload)
        assert client.tcp.send.una == 0
    assert client.tcp.counters.unacceptable == unacceptable + 6
    assert client.state == TcpState.ESTABLISHED
    client.peer(ACK, WINDOW + 1, 5)
    assert client.tcp.send.una == 5
    assert take_all(client) == b"x" * 60_000 + b"y" * (WINDOW - 60_001) + b"z"
    assert client.delivered == b"a"


@pytest.mark.parametrize(
    ("flags", "sequence", "acknowledged"),
    [
        (ACK, 0, 5),
        (ACK, WINDOW - 1, 5),
        (ACK, WINDOW, 0),
        (ACK, WINDOW + 1, 0),
        (ACK, -1, 0),
        (ACK | FIN, -1, 0),  # all of it came before
        (ACK | FIN, WINDOW - 1, 5),
        (ACK | FIN, WINDOW, 0),
    ],
)
def test_what_lies_in_an_open_window_acknowledges_and_nothing_beside_it(
    flags: int, sequence: int, acknowledged: int
) -> None:
    """RFC 9293 3.10.7.4: a segment without text lies in RCV.NXT up to, and not at, RCV.NXT + RCV.WND."""
    client = Client().establish()
    client.write(b"order")
    client.output()
    client.peer(flags, sequence, 5)
    assert client.tcp.send.una == acknowledged


def test_a_syn_whose_text_reaches_into_the_window_is_challenged() -> None:
    """RFC 5961 4: it takes one number before its text; one answer a second, where a mere copy gets one each time."""
    client = Client().establish()
    client.peer(ACK, 0, 0, b"abcd")
    client.output()
    for answers in (1, 0):
        client.peer(SYN | ACK, 2, 0, b"xy")
        assert [each.acknowledgement for each in client.output()] == [4] * answers
    for _ in range(2):
        client.peer(SYN | ACK, 1, 0, b"xy")
        assert [each.acknowledgement for each in client.output()] == [4]
    assert (client.delivered, client.state) == (b"abcd", TcpState.ESTABLISHED)


def test_what_is_longer_than_the_window_is_cut() -> None:
    client = unread()
    client.peer(ACK, 1, 0, b"x" * 60_000)
    client.peer(ACK, 0, 0, b"a")
    client.output()
    client.peer(ACK, 60_001, 0, b"y" * 6_000)
    assert [(each.acknowledgement, each.window) for each in client.output()] == [(WINDOW + 1, 0)]
    assert take_all(client) == b"x" * 60_000 + b"y" * (WINDOW - 60_000)


def test_a_copy_with_one_byte_or_a_fin_more_is_taken() -> None:
    client = Client().establish()
    client.peer(ACK, 0, 0, b"abcd")
    client.peer(ACK, 0, 0, b"abcde")
    assert (client.delivered, client.tcp.counters.trimmed) == (b"abcde", 1)
    client.peer(ACK | FIN, 1, 0, b"bcde")
    assert client.state == TcpState.CLOSE_WAIT
    assert client.output()[-1].acknowledgement == 6


def test_copies_are_answered_each_and_segments_without_data_now_and_then() -> None:
    """A peer whose ACK was lost sends data, a SYN or a FIN again, and waits for the answer."""
    client = Client().establish()
    client.peer(ACK, 0, 0, b"abcd")
    client.output()
    for flags, sequence, payload in ((ACK, 0, b"abcd"), (SYN | ACK, -1, b""), (ACK | FIN, -1, b"")):
        for _ in range(3):
            client.peer(flags, sequence, 0, payload)
            assert [each.acknowledgement for each in client.output()] == [4]
    suppressed = client.tcp.counters.answers_suppressed
    for after_ns, answers in ((0, 1), (100 * NS_PER_MS - 1, 0), (1, 1), (1, 0)):
        client.now_ns += after_ns
        client.peer(ACK, 3, 0)
        assert len(client.output()) == answers
    assert client.tcp.counters.answers_suppressed == suppressed + 2
    assert client.tcp.counters.challenge_acks == 0


def test_a_syn_ack_that_comes_again_is_answered_each_time() -> None:
    """Our ACK of it was lost: it is no SYN in the window (RFC 5961 4), and no challenge's limit holds."""
    client = Client().establish()
    for _ in range(3):
        client.peer(SYN | ACK, -1, 0)
        assert [each.acknowledgement for each in client.output()] == [0]
    assert (client.tcp.counters.unacceptable, client.tcp.counters.unexpected_syn) == (3, 0)


def test_challenges_are_counted_and_one_a_second() -> None:
    client = Client().establish()
    for after_ns, answers in ((0, 1), (1000 * NS_PER_MS - 1, 0), (1, 1)):
        client.now_ns += after_ns
        client.peer(SYN, 100)
        assert len(client.output()) == answers
    counters = client.tcp.counters
    assert (counters.challenge_acks, counters.answers_suppressed, counters.unexpected_syn) == (2, 1, 3)


def test_a_connection_begins_without_what_the_last_has_received() -> None:
    client = Client()
    client.open()
    client.feed(build(SYN | ACK, IRS, ISS + 1, options=SACK_PERMITTED))
    client.peer(ACK, 0, 0, b"a" * 5_000)
    client.peer(ACK | FIN, 5_000, 0)
    assert client.state == TcpState.CLOSE_WAIT
    client.abort()
    client.delivered = b""
    client.open()
    client.feed(build(SYN | ACK, IRS, ISS + 1, options=SACK_PERMITTED))
    (answer,) = client.output()
    assert (answer.acknowledgement, answer.window) == (0, WINDOW)
    client.peer(ACK, 100, 0, b"x")
    client.peer(ACK, 200, 0, b"y")
    (told,) = client.output()
    assert told.options[:4] == bytes([1, 1, 5, 2 + 2 * 8])  # RFC 2018 3: two blocks, and none of the last connection
    blocks = [told.options[4:12]]
    assert int.from_bytes(blocks[0][:4], "big") - IRS - 1 == 200  # the one that grew last
    client.peer(ACK, 0, 0, b"b" * 5_001)
    assert (client.delivered, client.state) == (b"b" * 5_001, TcpState.ESTABLISHED)
    client.peer(ACK | FIN, 5_001, 0)
    assert client.state == TcpState.CLOSE_WAIT


# FIN.


def test_a_fin_behind_a_gap_is_answered_at_once_and_ends_the_data() -> None:
    client = Client().establish()
    client.peer(ACK | FIN, 10, 0)
    assert [each.acknowledgement for each in client.output()] == [0]
    client.peer(ACK, 5, 0, b"x" * 20)  # goes past it
    assert client.tcp.counters.after_fin == 1
    client.peer(ACK, 0, 0, b"y" * 5)
    assert (client.delivered, client.state) == (b"y" * 5 + b"x" * 5, TcpState.CLOSE_WAIT)
    assert client.output()[-1].acknowledgement == 11


@pytest.mark.parametrize("fin", [50, 149, 160, 249])
def test_a_fin_before_what_was_received_is_none(fin: int) -> None:
    client = Client().establish()
    client.peer(ACK, 100, 0, b"x" * 50)
    client.peer(ACK, 200, 0, b"x" * 50)
    client.peer(ACK | FIN, fin, 0)
    client.peer(ACK, 0, 0, b"x" * 260)
    assert (len(client.delivered), client.state) == (260, TcpState.ESTABLISHED)


def test_a_fin_at_the_windows_edge_is_outside() -> None:
    client = unread()
    client.peer(ACK, 1, 0, b"x" * 60_000)
    client.peer(ACK, 0, 0, b"a")
    client.peer(ACK | FIN, 60_001, 0, b"y" * 5_535)  # the last byte that fits, and the FIN behind it
    assert (client.output()[-1].window, client.state) == (0, TcpState.ESTABLISHED)
    take_all(client)
    client.peer(ACK | FIN, WINDOW + 1, 0)
    assert client.state == TcpState.CLOSE_WAIT


def test_a_fin_right_behind_what_was_received_is_one() -> None:
    client = Client().establish()
    client.peer(ACK, 100, 0, b"x" * 50)
    client.peer(ACK | FIN, 150, 0)
    client.peer(ACK, 0, 0, b"x" * 100)
    assert (len(client.delivered), client.state) == (150, TcpState.CLOSE_WAIT)


@pytest.mark.parametrize("sequence", [10, 11])
def test_text_behind_the_fin_is_no_text(sequence: int) -> None:
    """RFC 9293 3.10.7.4, seventh: it is not taken."""
    client = Client().establish()
    client.peer(ACK | FIN, 0, 0, b"x" * 10)
    assert [each.acknowledgement for each in client.output()] == [11]
    client.peer(ACK, sequence, 0, b"q" * 5)
    assert (client.delivered, client.state) == (b"x" * 10, TcpState.CLOSE_WAIT)
    client.peer(ACK, 11, 0)
    assert [each.acknowledgement for each in client.output()] in ([], [11])


def test_a_fin_instead_of_any_data_is_one() -> None:
    client = Client().establish()
    client.peer(ACK | FIN, 0, 0)
    assert client.state == TcpState.CLOSE_WAIT
    assert [each.acknowledgement for each in client.output()] == [1]


# When it is acknowledged.


def test_what_came_in_part_before_is_acknowledged_at_once() -> None:
    """The peer did not hear of it: its copy is answered as any other (RFC 9293 3.10.7.4, first)."""
    client = Client().establish()
    client.peer(ACK, 0, 0, b"abcd")
    client.now_ns += 40 * NS_PER_MS
    assert [each.acknowledgement for each in client.output()] == [4]
    client.peer(ACK, 2, 0, b"cdef")
    assert [each.acknowledgement for each in client.output()] == [6]
    assert client.delivered == b"abcdef"


def test_acknowledgements_are_delayed_by_so_much() -> None:
    client = Client().establish()
    client.peer(ACK, 0, 0, b"x" * 5_000)  # more than two segments: at once
    assert [each.acknowledgement for each in client.output()] == [5_000]
    client.peer(ACK, 5_000, 0, b"x" * 1_000)
    assert client.output() == []
    assert next_timer_ns(client.tcp) == client.now_ns + 40 * NS_PER_MS
    client.peer(ACK, 6_000, 0, b"x" * 1_000)
    assert next_timer_ns(client.tcp) == client.now_ns + NS_PER_MS // 4
    client.peer(ACK, 7_000, 0, b"x" * (2 * MSS - 2_001))  # one byte short of two segments
    assert client.output() == []
    client.peer(ACK, 4_999 + 2 * MSS, 0, b"x")
    assert [each.acknowledgement for each in client.output()] == [5_000 + 2 * MSS]


def test_what_is_due_at_once_is_due_at_the_very_beginning_of_time() -> None:
    """A clock of a simulation may begin at 0."""
    client = Client()
    client.now_ns = 0
    client.establish(rtt_ms=0)
    client.peer(ACK, 1, 0, b"b")
    assert [each.acknowledgement for each in client.output()] == [0]
    assert client.now_ns == 0


def test_what_fills_a_gap_is_acknowledged_at_once() -> None:
    """RFC 5681 4.2."""
    client = Client().establish()
    client.peer(ACK, 0, 0, b"x")
    client.now_ns += 40 * NS_PER_MS
    assert [each.acknowledgement for each in client.output()] == [1]
    client.peer(ACK, 2, 0, b"z")
    assert [each.acknowledgement for each in client.output()] == [1]
    client.peer(ACK, 1, 0, b"y")
    assert [each.acknowledgement for each in client.output()] == [3]
    assert client.delivered == b"xyz"


def test_the_window_is_told_again_once_it_has_grown_by_two_segments() -> None:
    client = unread()
    client.peer(ACK, 1, 0, b"x" * 10_000)
    client.peer(ACK, 0, 0, b"a")
    client.output()
    for length, answers in ((2 * MSS - 1, 0), (1, 1), (2 * MSS, 1)):
        assert take_buffered(client.tcp, address_of(client.spare), length) == length
        assert len(client.output()) == answers
    assert take_buffered(client.tcp, address_of(client.spare), 1) == 1
    client.output()
    assert client.tcp.timers.ack_ns == NEVER_NS


# Runs, and the buffer that they lie in.


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9)), max_size=30))
@example([(0, 5), (10, 5), (20, 5), (30, 4), (40, 3), (4, 8)])  # two become one, and others lie behind
def test_runs_are_the_union_of_what_came(pieces: list[tuple[int, int]]) -> None:
    reassembly = Reassembly()
    kept: set[int] = set()
    for begin, length in pieces:
        assert insert_run(reassembly, begin, begin + length)
        kept |= set(range(begin, begin + length))
        runs = [(each.begin, each.end) for each in list(reassembly.runs)[: reassembly.run_count]]
        assert runs == [
            (begin, next(end for end in range(begin, 100) if end not in kept))
            for begin in sorted(kept)
            if begin - 1 not in kept
        ]


def test_what_waits_is_joined_by_what_comes_in_its_turn() -> None:
    client = unread()
    client.peer(ACK, 1, 0, b"b")
    client.peer(ACK, 0, 0, b"a")
    client.peer(ACK, 3, 0, b"d")
    client.peer(ACK, 2, 0, b"c")
    assert client.output()[-1].acknowledgement == 4
    assert client.tcp.reassembly.run_count == 0
    assert client.delivered + take_all(client) == b"abcd"


def test_gaps_are_filled_one_after_the_other() -> None:
    data = random.Random(1).randbytes(60)
    client = Client().establish()
    for begin in (10, 30, 50):
        client.peer(ACK, begin, 0, data[begin : begin + 10])
    client.output()
    for begin in (0, 20, 40):
        client.peer(ACK, begin, 0, data[begin : begin + 10])
        assert [each.acknowledgement for each in client.output()] == [begin + 20]
        assert client.delivered == data[: begin + 20]


def test_a_connection_knows_no_run_of_the_last() -> None:
    client = Client().establish()
    client.peer(ACK, 100, 0, b"x" * 50)
    client.abort()
    client.establish()
    client.peer(ACK, 0, 0, b"a" * 100)
    client.now_ns += 40 * NS_PER_MS
    assert [each.acknowledgement for each in client.output()] == [100]
    assert client.delivered == b"a" * 100


def test_what_comes_in_its_turn_needs_no_run() -> None:
    client = unread()
    client.peer(ACK, 1, 0, b"b")
    client.peer(ACK, 0, 0, b"a")
    kept = client.tcp.counters.out_of_order
    for index in range(33):
        client.peer(ACK, 10 + 2 * index, 0, b"z")
    assert (client.tcp.reassembly.run_count, client.tcp.counters.runs_full) == (32, 1)
    assert client.tcp.counters.out_of_order == kept + 32
    client.peer(ACK, 2, 0, b"c")
    assert client.output()[-1].acknowledgement == 3
    assert client.tcp.counters.runs_full == 1


def test_so_much_is_read_and_no_more() -> None:
    """Across the buffer's end."""
    client = Client().establish()
    for begin in range(0, 65_000, 5_000):
        client.peer(ACK, begin, 0, b"x" * 5_000)
    client.take = lambda: None  # type: ignore[method-assign]
    client.peer(ACK, 65_001, 0, b"y" * 1_000)
    client.peer(ACK, 65_000, 0, b"z")
    ctypes.memset(address_of(client.spare), 0xEE, 2_000)
    assert take_buffered(client.tcp, address_of(client.spare), 1_460) == 1_000
    assert ctypes.string_at(address_of(client.spare), 2_000) == b"y" * 1_000 + b"\xee" * 1_000


@pytest.mark.parametrize("start", [65_535, 65_536, 65_500, 65_000])
def test_the_buffer_wraps(start: int) -> None:
    data = random.Random(start).randbytes(start + 40_000)
    client = Client().establish()
    for begin in range(0, start, 5_000):
        client.peer(ACK, begin, 0, data[begin : min(begin + 5_000, start)])
    for begin, end in ((start + 20_000, start + 40_000), (start + 1, start + 20_000), (start, start + 1)):
        client.peer(ACK, begin, 0, data[begin:end])
    assert client.delivered == data
