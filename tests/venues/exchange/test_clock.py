"""The exchange's clock: what is read off the wire, kept in order and within bounds."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from crosswire.nic.histogram import percentile_ns
from crosswire.nic.rings.latency import Model, Point, set_interpolated
from crosswire.venues.exchange.clock import (
    CLOCKS_DIFFER_NS,
    ExchangeClock,
    book_time,
    measure,
    tell_measured,
    tell_modelled,
)

MAX_NS = 1_000
MS = 1_000_000


@dataclass
class Told:
    """A frame: when it was received, what its wire says (0: nothing), and whether it changes a book."""

    receive_ns: int
    wire_ns: int
    is_book: bool


def frames() -> st.SearchStrategy[list[Told]]:
    """Frames by receive time, made up to twice the bound before it, or after it, or without a time."""
    each = st.tuples(st.integers(0, 400), st.none() | st.integers(-500, 2 * MAX_NS), st.booleans())

    def place(steps: list[tuple[int, int | None, bool]]) -> list[Told]:
        made, receive_ns = [], 10**9
        for step_ns, under_way_ns, is_book in steps:
            receive_ns += step_ns
            wire_ns = 0 if under_way_ns is None else receive_ns - under_way_ns
            made.append(Told(receive_ns, wire_ns, is_book and wire_ns != 0))
        return made

    return st.lists(each, max_size=60).map(place)


def tell(clock: ExchangeClock, frame: Told) -> int:
    clock.told.time_ns = frame.wire_ns
    clock.told.is_book = int(frame.is_book)
    tell_measured(clock, frame.receive_ns)
    measure(clock, frame.receive_ns, book_time(clock))
    return clock.time_ns


@given(frames())
def test_times_are_the_formulas(told: list[Told]) -> None:
    """Against the module's formula, written once more; and what it promises, by itself."""
    clock = ExchangeClock(latency_max_ns=MAX_NS)
    clock.latency.model = Model.MEASURED
    before_ns, usual_ns, counts = 0, 0, [0, 0, 0, 0]
    for frame in told:
        wire_ns = frame.wire_ns or frame.receive_ns - usual_ns
        if frame.is_book:
            usual_ns = min(max(0, frame.receive_ns - wire_ns), MAX_NS)
        expected = max(frame.receive_ns - MAX_NS, min(frame.receive_ns, max(before_ns, wire_ns)))
        counts[0] += frame.wire_ns == 0
        counts[1] += frame.wire_ns > frame.receive_ns
        counts[2] += min(wire_ns, frame.receive_ns) < before_ns
        counts[3] += max(before_ns, min(wire_ns, frame.receive_ns)) < frame.receive_ns - MAX_NS
        actual = tell(clock, frame)
        assert actual == expected
        assert before_ns <= actual <= frame.receive_ns
        assert actual >= frame.receive_ns - MAX_NS
        before_ns = actual
    assert [clock.untimed, clock.too_late, clock.raised, clock.too_early] == counts


def test_a_packet_without_a_time_was_under_way_as_long_as_the_last_book() -> None:
    """A trade that came late says nothing about it."""
    clock = ExchangeClock(latency_max_ns=10 * MS)
    assert tell(clock, Told(10**9, 10**9 - 3 * MS, True)) == 10**9 - 3 * MS
    assert tell(clock, Told(10**9 + 4 * MS, 10**9 - 4 * MS, False)) == 10**9 - 3 * MS
    assert tell(clock, Told(10**9 + 5 * MS, 0, False)) == 10**9 + 2 * MS


def test_where_the_first_of_each_kind_was_is_known() -> None:
    clock = ExchangeClock(latency_max_ns=MAX_NS)
    for receive_ns, wire_ns in ((5_000, 4_900), (6_000, 6_001), (9_000, 6_500), (9_100, 9_200)):
        tell(clock, Told(receive_ns, wire_ns, True))
    assert (clock.too_late, clock.first_too_late_ns) == (2, 6_000)
    assert (clock.too_early, clock.first_too_early_ns) == (1, 9_000)


def test_the_clocks_resolution_is_a_millisecond_until_a_time_is_finer() -> None:
    clock = ExchangeClock(latency_max_ns=MAX_NS, resolution_ns=MS)
    tell(clock, Told(5 * MS, 4 * MS, True))
    assert clock.resolution_ns == MS
    tell(clock, Told(6 * MS, 5 * MS + 1, True))
    assert clock.resolution_ns == 1
    assert clock.measured.count == 2


@given(st.lists(st.integers(-(10**11), 10**11) | st.sampled_from([CLOCKS_DIFFER_NS, -CLOCKS_DIFFER_NS]), max_size=9))
def test_a_difference_that_no_wire_has_is_the_clocks(latencies_ns: list[int]) -> None:
    clock = ExchangeClock(latency_max_ns=MAX_NS)
    for place, latency_ns in enumerate(latencies_ns):
        tell(clock, Told(10**12 + place, 10**12 + place - latency_ns, True))
    differing = [place for place, latency_ns in enumerate(latencies_ns) if abs(latency_ns) > CLOCKS_DIFFER_NS]
    assert clock.differing == len(differing)
    if differing:
        assert clock.first_differing_ns == 10**12 + differing[0]
        assert clock.first_difference_ns == latencies_ns[differing[0]]


def test_a_model_is_asked_by_receive_time_and_keeps_the_order() -> None:
    clock = ExchangeClock(constant_ns=5)
    points = Point.array(2)
    for point, (time_ns, latency_ns) in zip(points, ((100, 50), (200, 0)), strict=True):
        point.time_ns, point.latency_ns = time_ns, latency_ns
    set_interpolated(clock.latency, points)
    told = []
    for number, receive_ns in enumerate((100, 150, 152, 300)):
        tell_modelled(clock, receive_ns, number)
        told.append(clock.time_ns)
    assert told == [45, 120, 123, 295]


def test_percentiles_lie_within_their_bucket() -> None:
    clock = ExchangeClock(latency_max_ns=10**12)
    for place in range(1, 1001):
        tell(clock, Told(10**9 + place * MS, 10**9, True))
    for percent in (50, 90, 99):
        exact_ns = percent * 10 * MS
        assert abs(percentile_ns(clock.measured, percent) - exact_ns) < exact_ns // 16
    assert percentile_ns(ExchangeClock().measured, 50) == 0
