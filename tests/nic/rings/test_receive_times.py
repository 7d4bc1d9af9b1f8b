"""Receive times of a ring never go back, are never behind the poll's, and are the kernel's wherever they can be."""

from hypothesis import given
from hypothesis import strategies as st

from crosswire.nic.rings.receive_times import ReceiveTimes, receive_time_counters, received_ns

BEGIN_NS = 1_767_225_600_000_000_000
NO_STAMP = 0
GAPS = st.integers(min_value=0, max_value=1_000)
STAMPS = st.integers(min_value=-1_500, max_value=500)  # from the poll's time


@given(st.lists(st.tuples(GAPS, STAMPS | st.none())))
def test_times_follow_the_stamps_and_the_polls(frames: list[tuple[int, int | None]]) -> None:
    times, now_ns, last_ns = ReceiveTimes(by_kernel=1), BEGIN_NS, 0
    expected = dict.fromkeys(receive_time_counters(times), 0)
    for gap, after_ns in frames:
        now_ns += gap
        stamp_ns = NO_STAMP if after_ns is None else now_ns + after_ns
        given_ns = received_ns(times, stamp_ns, now_ns)
        assert last_ns <= given_ns <= now_ns
        if stamp_ns == NO_STAMP:
            expected["not_stamped"] += 1
            assert given_ns == now_ns
        elif stamp_ns > now_ns:
            expected["stamps_ahead_of_the_poll"] += 1
            assert given_ns == now_ns
        elif stamp_ns < last_ns:
            expected["stamps_out_of_order"] += 1
            assert given_ns == last_ns
        else:
            expected["stamped_by_the_kernel"] += 1
            assert given_ns == stamp_ns
        last_ns = given_ns
    assert receive_time_counters(times) == expected


def test_a_ring_with_the_times_of_its_polls_counts_none() -> None:
    assert receive_time_counters(ReceiveTimes()) == {}
