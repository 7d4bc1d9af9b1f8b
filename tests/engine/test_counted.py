"""Sums of opportunities: no side of a book is counted twice at a time."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from crosswire.engine.report.counted import counted_once
from crosswire.risk.records import pack_legs
from crosswire.venues.side import BUY, SELL


def counted(*rows: tuple[int, ...]) -> list[bool]:
    """Of (start, end, buy, sell, value)."""
    columns = np.array(rows, np.int64).reshape(len(rows), 5).T
    return counted_once(*columns, np.zeros(len(rows), np.int64)).tolist()


def test_every_leg_of_a_cycle_counts() -> None:
    # One cycle buys 0 and 1 and sells 2, the second sells 2 as well; the third sells 1 as the second does.
    legs = [pack_legs(each) for each in ([(0, BUY), (1, BUY), (2, SELL)], [(3, BUY), (1, SELL), (2, SELL)])]
    legs.append(pack_legs([(4, BUY), (1, SELL), (0, SELL)]))
    columns = np.array([(0, 10, 0, 2, 5), (0, 10, 3, 2, 7), (0, 10, 4, 0, 1)], np.int64).T
    assert counted_once(*columns, np.array(legs, np.int64)).tolist() == [False, True, False]
    columns = np.array([(0, 10, 0, 2, 5), (0, 10, 3, 9, 4), (0, 10, 4, 0, 1)], np.int64).T
    assert counted_once(*columns, np.array([legs[0], 0, legs[2]], np.int64)).tolist() == [True, True, True]


def test_the_same_bid_hit_by_two_pairs_at_once_counts_once() -> None:
    assert counted((0, 10, 0, 2, 5), (5, 8, 1, 2, 7), (10, 20, 0, 2, 4)) == [False, True, True]


def test_two_pairs_with_nothing_in_common_both_count() -> None:
    # Buying 0 and selling 1 takes another side of each book than buying 1 and selling 0 does.
    assert counted((0, 10, 0, 1, 5), (0, 10, 1, 0, 5), (0, 10, 2, 3, 1)) == [True, True, True]


def test_what_has_no_duration_takes_its_leg_for_an_instant() -> None:
    assert counted((3, 3, 0, 1, 5), (3, 3, 0, 2, 4), (4, 4, 0, 2, 4)) == [True, False, True]


spans = st.tuples(st.integers(0, 20), st.integers(0, 9), st.integers(0, 2), st.integers(0, 2), st.integers(-3, 9))


@given(st.lists(spans, max_size=25))
def test_none_that_counts_shares_a_leg_and_each_that_does_not_is_beaten(rows: list[tuple[int, ...]]) -> None:
    found = [(start, max(start + length, start + 1), buy, sell, value) for start, length, buy, sell, value in rows]
    counts = counted(*((start, start + length, *rest) for start, length, *rest in rows))

    def share(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
        return one[0] < other[1] and other[0] < one[1] and (one[2] == other[2] or one[3] == other[3])

    chosen = [row for row, count in enumerate(counts) if count]
    assert not any(share(found[one], found[other]) for one in chosen for other in chosen if one < other)
    for row, count in enumerate(counts):
        assert count or any(share(found[row], found[other]) and found[other][4] >= found[row][4] for other in chosen)
