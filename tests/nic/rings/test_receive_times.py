"""Receive times of a ring never go back, are never behind the poll's, and are the card's or kernel's if they can be."""

from hypothesis import given
from hypothesis import strategies as st

from crosswire.nic.rings.receive_times import (
    CARD_LEAD_MAX_NS,
    ReceiveTimes,
    Source,
    receive_time_counters,
    received_by_card_ns,
    received_ns,
)

BEGIN_NS = 1_767_225_600_000_000_000
NO_STAMP = 0
GAPS = st.integers(min_value=0, max_value=1_000)
STAMPS = st.integers(min_value=-1_500, max_value=500)  # from the poll's time


@given(st.lists(st.tuples(GAPS, STAMPS | st.none())))
def test_times_follow_the_stamps_and_the_polls(frames: list[tuple[int, int | None]]) -> None:
    times, now_ns, last_ns = ReceiveTimes(source=Source.KERNEL), BEGIN_NS, 0
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


LEADS = st.sampled_from((-1, 0, 1, 500, CARD_LEAD_MAX_NS, CARD_LEAD_MAX_NS + 1, 37 * 10**9, -37 * 10**9))


@given(st.lists(st.tuples(GAPS, st.integers(min_value=0, max_value=500) | st.none(), LEADS | st.none())))
def test_the_card_is_believed_where_who_saw_the_frame_later_bears_it_out(
    frames: list[tuple[int, int | None, int | None]],
) -> None:
    """The witness is the kernel's stamp, or the poll if there is none."""
    times, now_ns, last_ns = ReceiveTimes(source=Source.CARD), BEGIN_NS, 0
    disbelieved = card_as_it_is = kernel_as_it_is = 0
    for gap, waited_ns, lead_ns in frames:
        now_ns += gap
        kernel_ns = NO_STAMP if waited_ns is None else now_ns - waited_ns
        witness_ns = kernel_ns or now_ns
        card_ns = NO_STAMP if lead_ns is None else witness_ns - lead_ns
        is_believed = lead_ns is not None and 0 <= lead_ns <= CARD_LEAD_MAX_NS
        disbelieved += lead_ns is not None and not is_believed
        expected_ns = card_ns if is_believed else witness_ns
        if expected_ns >= last_ns:
            card_as_it_is += is_believed
            kernel_as_it_is += not is_believed and kernel_ns != NO_STAMP
        last_ns = max(last_ns, expected_ns)
        assert received_by_card_ns(times, card_ns, kernel_ns, now_ns) == last_ns <= now_ns
    counted = receive_time_counters(times)
    assert counted["card_stamps_not_believed"] == disbelieved
    assert counted["stamped_by_the_card"] == card_as_it_is
    assert counted["stamped_by_the_kernel"] == kernel_as_it_is


def test_a_ring_with_the_times_of_its_polls_counts_none() -> None:
    assert receive_time_counters(ReceiveTimes()) == {}
