"""Each signal against its definition in plain NumPy, floating point or fractions."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crosswire.nic.duration import NS_PER_MS, NS_PER_S
from crosswire.strategies.average import Average, add_sample
from crosswire.strategies.listing import Listing, set_listing
from crosswire.strategies.plan import Plan
from crosswire.strategies.signals import carry
from crosswire.strategies.signals.deviation import (
    SAMPLE_MAX,
    WINDOW_MAX,
    Z_MAX_E3,
    Window,
    add_to_window,
    average_of,
    deviations_e3,
    z_score_e3,
)
from crosswire.strategies.signals.edge import NO_EDGE, executable_edge_e9
from crosswire.strategies.signals.flow import HALF_LIFE_MIN_NS, Flow, add_trade, flow_balance_e9, net_lots, set_flow
from crosswire.strategies.signals.imbalance import imbalance_e9
from crosswire.strategies.signals.lead import Lead, lead_e9, see_follower
from crosswire.strategies.signals.microprice import NO_PRICE, microprice_e9, middle_e9
from crosswire.strategies.signals.move import CHANGES_MAX, Track, begin_anew, forget_moves, see_price
from crosswire.strategies.signals.share import balance_e9, share_e9
from crosswire.testing import linear
from crosswire.venues.book.book import Book, clear_book, make_books, refresh_top, set_level
from crosswire.venues.instrument import E9
from crosswire.venues.side import ASK, BID, BUY, SELL

HOUR_NS = 3_600 * NS_PER_S
DEFINED = linear(tick="0.1", lot="0.001")
Levels = list[tuple[int, int]]  # ticks and lots, the best first


def book_of(bids: Levels, asks: Levels) -> Book:
    book = make_books(1, 256)[0]
    clear_book(book)
    for side, levels in ((BID, bids), (ASK, asks)):
        for ticks, lots in levels:
            set_level(book, side, ticks, lots)
    refresh_top(book)
    book.valid = 1
    return book


def levels(first: int, step: int) -> st.SearchStrategy[Levels]:
    sizes = st.lists(st.integers(1, 10**9), min_size=1, max_size=6)
    return sizes.map(lambda lots: [(first + step * place, each) for place, each in enumerate(lots)])


@given(st.integers(0, 1 << 62), st.integers(0, 1 << 62))
def test_a_share_is_a_part_of_the_whole(part: int, rest: int) -> None:
    whole = part + rest
    expected = Fraction(part, whole) if whole else Fraction(1, 2)
    assert share_e9(part, rest) / E9 == pytest.approx(float(expected), abs=2e-9)
    assert balance_e9(part, rest) / E9 == pytest.approx(float(2 * expected - 1), abs=4e-9)


@settings(max_examples=50)
@given(levels(99_990, -1), levels(100_000, 1), st.integers(1, 8))
def test_where_a_book_s_price_is(bids: Levels, asks: Levels, depth: int) -> None:
    book = book_of(bids, asks)
    (bid, bid_lots), (ask, ask_lots) = bids[0], asks[0]
    # `np.average` of both prices, each weighted by what the other side shows.
    price = np.average([bid * 0.1, ask * 0.1], weights=[ask_lots, bid_lots])
    assert microprice_e9(DEFINED, book) / E9 == pytest.approx(price, rel=1e-9)
    assert middle_e9(DEFINED, book) / E9 == pytest.approx((bid + ask) / 2 * 0.1, rel=1e-12)
    shown = [np.sum([lots for _, lots in side[:depth]]) for side in (bids, asks)]
    assert imbalance_e9(book, depth) / E9 == pytest.approx((shown[0] - shown[1]) / (shown[0] + shown[1]), abs=4e-9)


def test_a_book_that_is_not_proven_has_no_signal() -> None:
    book = book_of([(99, 5)], [(101, 7)])
    one_sided = book_of([(99, 5)], [])
    book.valid = 0
    for each in (book, one_sided):
        assert microprice_e9(DEFINED, each) == NO_PRICE == middle_e9(DEFINED, each)
    assert imbalance_e9(book, 3) == 0
    assert imbalance_e9(one_sided, 3) == E9


@settings(max_examples=50)
@given(levels(100_000, 1), levels(100_040, -1), st.integers(1, 10**6), st.integers(1, 6), st.integers(-100, 100))
def test_the_edge_is_what_the_levels_pay(asks: Levels, bids: Levels, lots: int, depth: int, fee_e6: int) -> None:
    listings = Listing(), Listing()
    instruments = linear(tick="0.1", lot="0.001"), linear(tick="0.1", lot="0.001")
    for listing, instrument in zip(listings, instruments, strict=True):
        instrument.taker_fee_e9 = fee_e6 * 1000
        set_listing(listing, instrument, 0, E9)  # type: ignore[arg-type]
    buy_book, sell_book = book_of([], asks), book_of(bids, [])
    size_e9 = lots * instruments[0].lot_e9
    got = executable_edge_e9(
        Plan(), listings[0], instruments[0], buy_book, listings[1], instruments[1], sell_book, size_e9, depth
    )

    def price_of(side: Levels) -> float | None:
        """The average price of `lots`."""
        ticks, sizes = np.array(side[:depth]).T
        taken = np.diff(np.minimum(np.cumsum(np.concatenate([[0], sizes])), lots))
        return float(ticks @ taken / lots) if taken.sum() == lots else None

    ask, bid = price_of(asks), price_of(bids)
    if ask is None or bid is None or bid * (1 - fee_e6 / 1e6) < 0:
        assert got == NO_EDGE
        return
    expected = (bid * (1 - fee_e6 / 1e6) - ask * (1 + fee_e6 / 1e6)) / asks[0][0]
    assert got / E9 == pytest.approx(expected, abs=1e-8)


@settings(max_examples=60)
@given(st.lists(st.integers(-SAMPLE_MAX, SAMPLE_MAX), min_size=1, max_size=40), st.integers(1, 12))
def test_a_z_score_is_of_the_last_samples(values: list[int], length: int) -> None:
    window = Window(length=length)
    for value in values:
        add_to_window(window, value)
    last = np.array(values[-length:], float)
    asked = values[0]
    if len(last) < 2:
        assert z_score_e3(window, asked) == 0
    elif last.std() == 0:
        assert z_score_e3(window, asked) == (asked > last[0]) * Z_MAX_E3 - (asked < last[0]) * Z_MAX_E3
    else:
        expected = np.clip((asked - last.mean()) / last.std() * 1000, -Z_MAX_E3, Z_MAX_E3)
        assert z_score_e3(window, asked) == pytest.approx(expected, abs=1, rel=2e-3)


def test_the_largest_window_of_the_largest_samples_does_not_wrap() -> None:
    window = Window(length=WINDOW_MAX)
    for place in range(3 * WINDOW_MAX):
        add_to_window(window, 2 * SAMPLE_MAX if place % 2 else -2 * SAMPLE_MAX)
    assert window.sum == 0
    assert z_score_e3(window, SAMPLE_MAX) == 1000
    assert z_score_e3(window, -SAMPLE_MAX) == -1000


def test_deviations_of_an_exponential_average() -> None:
    average = Average()
    for value in (100, 200, 100, 200):
        add_sample(average, value, 1)  # so few samples are averaged plainly
    deviation = np.mean([0, 100, 50, 200 - 400 / 3])  # each from the mean before it; of the first there is none
    assert average_of(average) == 150
    assert deviations_e3(average, 250) == pytest.approx((250 - 150) / deviation * 1000, rel=0.01)
    assert deviations_e3(Average(), 250) == 0


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(st.integers(0, 40 * NS_PER_MS), st.sampled_from((BUY, SELL)), st.integers(1, 10**6)),
        min_size=1,
        max_size=30,
    ),
    st.integers(HALF_LIFE_MIN_NS, 20 * NS_PER_MS),
)
def test_a_flow_halves_with_its_half_life(trades: list[tuple[int, int, int]], half_life_ns: int) -> None:
    flow = Flow()
    set_flow(flow, half_life_ns)
    now_ns, times = 1_700_000_000 * NS_PER_S, []
    for wait_ns, side, lots in trades:
        now_ns += wait_ns
        times.append(now_ns)
        add_trade(flow, side, lots, now_ns)
    ages = now_ns - np.array(times)
    worth = np.array([lots for _, _, lots in trades]) * 0.5 ** (ages / half_life_ns)
    is_bought = np.array([side == BUY for _, side, _ in trades])
    bought, sold = worth[is_bought].sum(), worth[~is_bought].sum()
    # Within one step of a half-life, and what is cut off a sum at each decay.
    slack = 0.013 * (bought + sold) + len(trades) / 128 + 1
    assert net_lots(flow, now_ns) == pytest.approx(bought - sold, abs=slack)
    assert flow_balance_e9(flow, now_ns) / E9 == pytest.approx(
        (bought - sold) / (bought + sold), abs=2 * slack / (bought + sold)
    )


def test_a_flow_forgets_and_is_bounded() -> None:
    flow = Flow()
    with pytest.raises(ValueError, match=r"half_life_ns = 5 must be at least 100000"):
        set_flow(flow, 5)
    set_flow(flow, NS_PER_MS)
    for _ in range(40):
        add_trade(flow, BUY, 1 << 62, NS_PER_S)
        add_trade(flow, SELL, 1 << 34, NS_PER_S)
    assert net_lots(flow, NS_PER_S) == 0
    assert net_lots(flow, 3 * NS_PER_S) == 0 == flow.bought == flow.sold
    assert flow_balance_e9(flow, 3 * NS_PER_S) == 0
    add_trade(flow, SELL, 7, 2 * NS_PER_S)  # a clock that was set back: nothing decays until it is over
    assert net_lots(flow, 2 * NS_PER_S) == -7


def test_a_lead_is_what_the_follower_has_not_heard() -> None:
    lead = Lead()
    follower = book_of([(990, 5)], [(992, 5)])
    leader = book_of([(1000, 5)], [(1002, 5)])
    assert lead_e9(lead, leader) == 0
    see_follower(lead, leader, follower)
    assert lead_e9(lead, leader) == 0
    moved = book_of([(1010, 5)], [(1012, 5)])
    assert lead_e9(lead, moved) / E9 == pytest.approx(np.log1p(1011 / 1001 - 1), abs=1e-4)
    set_level(follower, BID, 990, 9)  # another size is no other price
    refresh_top(follower)
    see_follower(lead, moved, follower)
    assert lead_e9(lead, moved) == 10 * E9 // 1001
    see_follower(lead, moved, book_of([(991, 5)], [(992, 5)]))
    assert lead_e9(lead, moved) == 0
    assert lead_e9(lead, leader) == -10 * E9 // 1011
    leader.valid = 0
    assert lead_e9(lead, leader) == 0
    follower.valid = 0
    see_follower(lead, moved, follower)
    assert lead_e9(lead, book_of([(2000, 5)], [(2002, 5)])) == 0


@given(st.integers(0, 30), st.integers(1, 8), st.integers(0, 200), st.integers(-(10**7), 10**7))
def test_funding_at_fixed_times_is_counted(next_h: int, period_h: int, hold_h: int, rate_e9: int) -> None:
    now_ns = 1_700_000_000 * NS_PER_S
    next_ns = now_ns + next_h * HOUR_NS + 1
    payments = np.arange(next_ns, now_ns + hold_h * HOUR_NS + 1, period_h * HOUR_NS)
    got = carry.periodic_carry_e9(rate_e9, next_ns, period_h * HOUR_NS, now_ns, hold_h * HOUR_NS)
    assert got == rate_e9 * len(payments)


@given(st.integers(-(10**7), 10**7), st.integers(0, 10**9))
def test_funding_that_is_paid_continuously(rate_e9: int, hold_ms: int) -> None:
    got = carry.continuous_carry_e9(rate_e9, 8 * HOUR_NS, hold_ms * NS_PER_MS)
    assert got == pytest.approx(rate_e9 * (hold_ms * NS_PER_MS / (8 * HOUR_NS)), abs=1.1)


@given(st.integers(1, 10**15), st.integers(1, 2 * 10**9), st.integers(1, 2 * 365 * 24))
def test_a_yearly_basis(spot_e9: int, ratio_e9: int, left_h: int) -> None:
    now_ns = 1_700_000_000 * NS_PER_S
    future_e9 = max(1, spot_e9 * ratio_e9 // E9)
    got = carry.yearly_basis_e9(future_e9, spot_e9, now_ns + left_h * HOUR_NS, now_ns)
    if future_e9 > 2 * spot_e9:
        assert got == carry.NO_RATE
        return
    years = left_h / (365 * 24)
    expected = (future_e9 / spot_e9 - 1) / years
    assert got / E9 == pytest.approx(expected, rel=1e-6, abs=2e-9 / years + 1e-9)
    assert carry.yearly_basis_e9(future_e9, spot_e9, now_ns + HOUR_NS // 2, now_ns) == carry.NO_RATE


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(95, 105)), min_size=1, max_size=50), st.integers(1, 60))
def test_a_move_is_from_the_extreme_of_its_window(steps: list[tuple[int, int]], window_ns: int) -> None:
    track = Track(window_ns=window_ns)
    times, prices = [], []
    for wait_ns, price in steps:
        now_ns = (times[-1] if times else 1_000) + wait_ns
        see_price(track, price, now_ns)
        times.append(now_ns)
        prices.append(price)
        # What stood at any moment of (now - window, now]: its last price before that, and all that came since.
        stood = np.array([t > now_ns - window_ns for t in times[1:]] + [True])
        window = np.array(prices)[stood]
        rise, fall = price - window.min(), window.max() - price
        if rise == fall == 0:
            assert (track.moved_e9, track.begin_ns) == (0, 0)
            continue
        extreme = window.min() if rise >= fall else window.max()
        moved = (price - extreme) / extreme
        assert track.moved_e9 / E9 == pytest.approx(moved, abs=2e-9)
        last = np.flatnonzero(stood & (np.array(prices) == extreme))[-1]
        assert track.begin_ns == times[last + 1]


def test_a_move_that_was_told_is_not_told_again() -> None:
    track = Track(window_ns=100)
    for time_ns, price in ((0, 100), (10, 110)):
        see_price(track, price, time_ns)
    assert (track.moved_e9, track.begin_ns) == (E9 // 10, 10)
    begin_anew(track)
    see_price(track, 110, 20)
    assert track.moved_e9 == 0
    see_price(track, 121, 30)
    assert (track.moved_e9, track.begin_ns) == (E9 // 10, 30)
    forget_moves(track)
    see_price(track, 100, 31)
    assert track.moved_e9 == 0


def test_more_changes_than_a_track_holds_shorten_its_window() -> None:
    track = Track(window_ns=1_000_000)
    for number in range(CHANGES_MAX + 10):
        see_price(track, 1_000 + number, number)
    assert track.moved_e9 == (CHANGES_MAX - 1) * E9 // 1_010
    assert track.begin_ns == 11
