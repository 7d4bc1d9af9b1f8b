"""How far one line of a feed is behind the other: timed by copies of the last packet, in every feed."""

import ctypes
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.nic.histogram import Histogram
from crosswire.nic.packet import Packet
from crosswire.venues.feed import decode
from crosswire.venues.lines import LINES_MAX, Lines, behind_by_line, note_copy
from crosswire.venues.market import Events, clear_events
from crosswire.venues.side import BID
from tests.support import starbase_feed_setup as starbase
from tests.venues.test_feed_contract import BENCHES, Bench, StarbaseBench

A = int(IPv4Address("224.0.12.193"))
B = int(IPv4Address("224.0.12.209"))
PORT = 4220
LEAD_NS = 12_345
LATER_NS = 10**12  # behind all that a bench has seen
NAMES = {A: "224.0.12.193:4220", B: "224.0.12.209:4220"}


def hear(bench: Bench, payload: bytes, line: int, time_ns: int) -> None:
    """Give the feed a datagram that came on this line then."""
    memory = ctypes.create_string_buffer(payload, len(payload))
    packet = Packet(
        payload_address=ctypes.addressof(memory),
        payload_length=len(payload),
        time_ns=time_ns,
        destination_ip=line,
        destination_port=PORT,
    )
    events = Events()
    clear_events(events, bench.market)
    decode(bench.feed, packet, bench.market, events)


def something(bench: Bench) -> bytes:
    """A packet that takes a number; Starbase's of no messages do not."""
    if isinstance(bench, StarbaseBench):
        return bench.wire.packet(starbase.put(0, BID, bench.wire.writer.sequence + 1_000, 98, 1))
    return bench.packet(b"", count=0)


def seen(bench: Bench) -> dict[str, tuple[int, int]]:
    return {line: (behind.count, behind.max_ns) for line, behind in behind_by_line(bench.feed.lines).items()}


@pytest.mark.parametrize("name", BENCHES)
def test_a_copy_is_timed_on_the_line_that_is_behind(name: str) -> None:
    bench = BENCHES[name]()
    time_ns = starbase.START_NS + LATER_NS
    first = something(bench)
    hear(bench, first, A, time_ns)
    assert seen(bench) == {}
    hear(bench, first, B, time_ns + LEAD_NS)
    assert seen(bench) == {NAMES[B]: (1, LEAD_NS)}
    second = something(bench)
    hear(bench, second, B, time_ns + 10 * LEAD_NS)
    hear(bench, first, A, time_ns + 10 * LEAD_NS + 1)
    hear(bench, second, A, time_ns + 10 * LEAD_NS + 7)
    timed = seen(bench)
    assert timed[NAMES[B]] == (1, LEAD_NS)
    assert timed[NAMES[A]][1] == 7
    assert bench.feed.duplicates == 3


def test_what_fills_a_hole_is_no_copy_and_what_was_kept_is_timed_from_its_own_arrival() -> None:
    bench = StarbaseBench()
    time_ns = starbase.START_NS + LATER_NS
    lost, next_one = (bench.wire.packet(starbase.put(0, BID, 90 + number, 98, 1)) for number in range(2))
    hear(bench, next_one, A, time_ns)
    hear(bench, lost, B, time_ns + 500)  # fills the hole
    assert (bench.feed.holes_filled, seen(bench)) == (1, {})
    hear(bench, next_one, B, time_ns + 900)
    assert seen(bench) == {NAMES[B]: (1, 900)}


@given(st.lists(st.tuples(st.integers(0, LINES_MAX + 2), st.integers(0, 1 << 40)), max_size=60))
def test_each_line_has_its_own_copies_up_to_the_limit(copies: list[tuple[int, int]]) -> None:
    lines = Lines()
    expected: dict[int, list[int]] = {}
    for line, lag_ns in copies:
        note_copy(lines, Packet(destination_ip=A + line, destination_port=PORT, time_ns=lag_ns + 5), 5)
        if line in expected or len(expected) < LINES_MAX:
            expected.setdefault(line, []).append(lag_ns)
    found: dict[str, Histogram] = behind_by_line(lines)
    assert [(behind.count, behind.max_ns) for behind in found.values()] == [
        (len(lags), max(lags)) for lags in expected.values()
    ]
