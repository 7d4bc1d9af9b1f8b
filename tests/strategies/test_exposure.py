"""What a leg with a speed bump must earn: the mean move of a delay, measured change by change."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crosswire.strategies.average import FRACTION_BITS
from crosswire.strategies.exposure import Exposure, measure, premium_e9, set_exposure
from crosswire.testing import linear
from crosswire.venues.book.book import Book
from crosswire.venues.instrument import E9

DELAY_NS = 10_000_000
PRICE_MAX = 1 << 32
MOVE_MAX_E9 = 100_000_000  # a tenth of the price

CHANGES = st.tuples(
    st.sampled_from([1, DELAY_NS // 2, DELAY_NS - 1, DELAY_NS, DELAY_NS + 1, 5 * DELAY_NS]),
    st.one_of(st.integers(9_000, 11_000), st.sampled_from([0, 1, PRICE_MAX])),
    st.one_of(st.integers(9_000, 11_000), st.sampled_from([0, 1, PRICE_MAX])),
)


def moves_of(changes: list[tuple[int, int, int]]) -> list[Fraction]:
    """The definition: from a change to the first one a delay or more later, unless a side was empty between."""
    moves, begin, now_ns = [], None, 0
    for span_ns, bid, ask in changes:
        now_ns += span_ns
        if bid == 0 or ask == 0:
            begin = None
        elif begin is None:
            begin = (now_ns, bid + ask)
        elif now_ns - begin[0] >= DELAY_NS:
            moves.append(min(Fraction(1, 10), abs(Fraction(bid + ask, begin[1]) - 1)))
            begin = (now_ns, bid + ask)
    return moves


def measured(changes: list[tuple[int, int, int]], margin_e9: int = E9, delay_ns: int = DELAY_NS) -> Exposure:
    exposure, book, now_ns = Exposure(delay_ns=delay_ns, margin_e9=margin_e9), Book(), 0
    for span_ns, bid, ask in changes:
        now_ns += span_ns
        book.bid_ticks, book.ask_ticks = bid, ask
        measure(exposure, book, now_ns)
    return exposure


def test_it_begins_with_the_delay_of_its_venue_and_nothing_measured() -> None:
    instrument, exposure = linear(), Exposure()
    instrument.speed_bump_ns = DELAY_NS
    set_exposure(exposure, instrument, Decimal("2.5"))
    assert (exposure.delay_ns, exposure.margin_e9, premium_e9(exposure)) == (DELAY_NS, 5 * E9 // 2, 0)


@settings(max_examples=40)
@given(st.lists(CHANGES, max_size=40), st.integers(0, 10))
def test_it_is_the_plain_mean_of_the_first_delays(changes: list[tuple[int, int, int]], margin: int) -> None:
    exposure, moves = measured(changes, margin * E9), moves_of(changes)
    assert exposure.moves.samples == len(moves)
    mean_e9 = sum(moves) / len(moves) * E9 if moves else Fraction(0)
    # A move is counted in 1e-8 of the price, and each sample's weight is rounded down to 2**-26.
    assert abs(margin * mean_e9 - premium_e9(exposure)) <= 100 * margin
    assert premium_e9(exposure) <= margin * MOVE_MAX_E9


@pytest.mark.parametrize("step", [-200, 200])
def test_a_move_counts_whichever_way_it_goes(step: int) -> None:
    exposure = measured([(1, 10_000, 10_000), (DELAY_NS, 10_000 + step, 10_000 + step)])
    assert premium_e9(exposure) == 20_000_000


def test_one_side_that_moves_alone_moves_the_middle_half_as_far() -> None:
    assert premium_e9(measured([(1, 10_000, 10_000), (DELAY_NS, 10_000, 10_200)])) == 10_000_000


def test_more_than_a_tenth_counts_as_a_tenth() -> None:
    assert premium_e9(measured([(1, 1, 1), (DELAY_NS, PRICE_MAX, PRICE_MAX)])) == MOVE_MAX_E9


def test_a_change_of_pace_is_followed_with_a_64th_of_a_delay() -> None:
    """After a thousand delays without a move, one of 2 % counts 1/64; a thousand of them count in full."""
    still = [(DELAY_NS, 10_000, 10_000)] * 1001
    exposure = measured([*still, (DELAY_NS, 10_200, 10_200)])
    assert abs(premium_e9(exposure) - 20_000_000 // 64) <= 10
    there_and_back = [(DELAY_NS, 10_200 - step % 2 * 200, 10_200 - step % 2 * 200) for step in range(1000)]
    assert 19_500_000 < premium_e9(measured(still + there_and_back)) < 20_500_000


@pytest.mark.parametrize(("margin_e9", "premium"), [(0, 0), (E9 // 2, 10_000_000), (10 * E9, 200_000_000)])
def test_the_margin_is_how_many_mean_moves_are_earned(margin_e9: int, premium: int) -> None:
    assert premium_e9(measured([(1, 10_000, 10_000), (DELAY_NS, 10_200, 10_200)], margin_e9)) == premium


@pytest.mark.parametrize(("delay_ns", "premium"), [(0, 0), (1, 20_000_000)])
def test_where_no_order_is_held_nothing_is_to_be_earned(delay_ns: int, premium: int) -> None:
    exposure = measured([(1, 10_000, 10_000), (DELAY_NS, 10_200, 10_200)], delay_ns=delay_ns)
    assert exposure.moves.mean == 2_000_000 << FRACTION_BITS
    assert premium_e9(exposure) == premium
