"""P&L taken apart: hand-computed cases, and that the parts add up to the whole whatever was traded."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.engine.report.drawdown import Fall
from crosswire.engine.report.profit import Holdings, Profit, Top, make_holdings, split_values_e9
from crosswire.engine.report.recorder import InstrumentInfo
from crosswire.venues.instrument import E9, Kind, cash_flow_e9
from crosswire.venues.side import BUY, SELL
from tests.support.synthetic_run import inverse, spot

COIN = 100_000  # lots of `spot`


def at(price: int) -> int:
    """Ticks of `spot`, which are cents."""
    return 100 * price


def profits_of(holdings: Holdings, tops: Sequence[Top | None]) -> list[Profit]:
    """The parts of every instrument at these prices."""
    values = [leg.value_e9(top, leg.lots) for leg, top in zip(holdings.legs, tops, strict=True)]
    return holdings.profits(values, tops)


def parts(profit: Profit) -> tuple[float, ...]:
    """Realised, locked, open and flattened, in whole money."""
    return profit.realised_e9 / E9, profit.locked_e9 / E9, profit.open_e9 / E9, profit.flattened_e9 / E9


def pair() -> list[InstrumentInfo]:
    """Two linear instruments, each with a taker fee of 1 bp."""
    return [spot(), spot(1, "other")]


def test_a_hedged_position_is_locked_and_what_is_closed_on_both_legs_is_realised() -> None:
    holdings = make_holdings(pair())
    holdings.take(0, BUY, at(60_000), COIN, 6 * E9)
    holdings.take(1, SELL, at(60_100), COIN, 6 * E9)
    tops = [Top(at(61_000), at(61_002)), Top(at(61_040), at(61_050))]
    first, second = profits_of(holdings, tops)
    # At the middle the long has made 1,001 and the short lost 945; a fee of 6 each.
    # Flattened: sold at 61,000 - 6.1, bought at 61,050 + 6.105.
    assert parts(first) == (0, 995, 0, 987.9)
    assert parts(second) == (0, -951, 0, -962.105)
    holdings.take(0, SELL, at(61_000), COIN // 4, 0)
    holdings.take(1, BUY, at(61_050), COIN // 4, 0)
    first, second = profits_of(holdings, tops)
    assert parts(first)[:3] == (0.25 * (1_000 - 6), 0.75 * (1_001 - 6), 0)
    assert parts(second)[:3] == (0.25 * (-950 - 6), 0.75 * (-945 - 6), 0)


def test_a_leg_closed_alone_waits_with_what_it_hedged() -> None:
    holdings = make_holdings(pair())
    holdings.take(0, BUY, at(60_000), COIN, 0)
    holdings.take(1, SELL, at(60_100), COIN, 0)
    holdings.take(0, SELL, at(61_000), COIN, 0)
    tops = [None, Top(at(61_050), at(61_050))]
    first, second = profits_of(holdings, tops)
    # A thousand dollars are in the bank, but the other leg has lost 950 and is still held: neither is earned.
    assert (parts(first)[:3], parts(second)[:3]) == ((0, 0, 1_000), (0, 0, -950))
    holdings.take(1, BUY, at(61_050), COIN, 0)
    first, second = profits_of(holdings, tops)
    assert (parts(first)[:3], parts(second)[:3]) == ((1_000, 0, 0), (-950, 0, 0))


def test_a_leg_that_moves_to_a_third_instrument_stays_locked() -> None:
    holdings = make_holdings([*pair(), spot(2, "third")])
    holdings.take(0, BUY, at(60_000), COIN, 0)
    holdings.take(1, SELL, at(60_100), COIN, 0)
    holdings.take(0, SELL, at(61_000), COIN, 0)
    holdings.take(2, BUY, at(61_005), COIN, 0)
    tops = [None, Top(at(61_050), at(61_050)), Top(at(61_005), at(61_005))]
    found = [parts(profit)[:3] for profit in profits_of(holdings, tops)]
    assert found == [(0, 1_000, 0), (0, -950, 0), (0, 0, 0)]
    # Half of it is closed: half of what the leg had earned before it moved is realised with it.
    holdings.take(2, SELL, at(61_007), COIN // 2, 0)
    holdings.take(1, BUY, at(61_050), COIN // 2, 0)
    found = [parts(profit)[:3] for profit in profits_of(holdings, tops)]
    assert found == [(500, 500, 0), (-475, -475, 0), (1, 0, 0)]
    holdings.take(2, SELL, at(61_007), COIN // 2, 0)
    holdings.take(1, BUY, at(61_050), COIN // 2, 0)
    assert [parts(profit)[:3] for profit in profits_of(holdings, tops)] == [(1_000, 0, 0), (-950, 0, 0), (2, 0, 0)]


def test_a_leg_that_moves_is_not_flat_whichever_fill_comes_first() -> None:
    moves = [(0, SELL, at(61_000), COIN, 0), (2, BUY, at(61_005), COIN, 0)]
    for order in (moves, moves[::-1]):
        holdings = make_holdings([*pair(), spot(2, "third")])
        holdings.take(0, BUY, at(60_000), COIN, 0)
        holdings.take(1, SELL, at(60_100), COIN, 0)
        for fill in order:
            holdings.take(*fill)
        tops = [None, Top(at(61_050), at(61_050)), Top(at(61_005), at(61_005))]
        assert [parts(profit)[:3] for profit in profits_of(holdings, tops)] == [(0, 1_000, 0), (0, -950, 0), (0, 0, 0)]


def test_a_leg_bought_too_much_and_traded_back_is_realised_beside_what_is_locked() -> None:
    holdings = make_holdings(pair())
    holdings.take(0, BUY, at(100), 2 * COIN, 2 * E9)
    holdings.take(1, SELL, at(110), COIN, E9)
    holdings.take(0, SELL, at(99), COIN, E9)
    tops = [Top(at(105), at(105)), Top(at(105), at(105))]
    assert [parts(profit)[:3] for profit in profits_of(holdings, tops)] == [(-3, 4, 0), (0, 4, 0)]


def test_a_hedged_leg_that_flips_is_realised_when_the_other_is_closed() -> None:
    holdings = make_holdings(pair())
    holdings.take(0, BUY, at(100), COIN, 0)
    holdings.take(1, SELL, at(110), COIN, 0)
    holdings.take(0, SELL, at(120), 3 * COIN, 0)
    tops = [Top(at(118), at(118)), Top(at(119), at(119))]
    assert [parts(profit)[:3] for profit in profits_of(holdings, tops)] == [(0, 0, 20 + 4), (0, 0, -9)]
    holdings.take(1, BUY, at(119), COIN, 0)
    assert [parts(profit)[:3] for profit in profits_of(holdings, tops)] == [(20, 0, 4), (-9, 0, 0)]


def test_what_is_not_hedged_is_open() -> None:
    holdings = make_holdings(pair())
    holdings.take(0, BUY, at(60_000), COIN, 6 * E9)
    holdings.take(1, SELL, at(60_100), COIN // 4, 2 * E9)
    tops = [Top(at(60_100), at(60_100)), Top(at(60_100), at(60_100))]
    first, second = profits_of(holdings, tops)
    assert parts(first)[:3] == (0, 94 / 4, 94 * 3 / 4)
    assert parts(second)[:3] == (0, -2, 0)


def test_a_position_that_flips_is_realised_up_to_flat() -> None:
    holdings = make_holdings([spot()])
    holdings.take(0, BUY, at(100), COIN, E9)
    holdings.take(0, SELL, at(130), 3 * COIN, 3 * E9)
    (profit,) = profits_of(holdings, [Top(at(120), at(120))])
    # One coin has made 30, less its two fees of 1; two are short from 130, less their fees of 1 each.
    assert parts(profit)[:3] == (28, 0, 18)
    assert holdings.legs[0].lots == -2 * COIN


def test_an_inverse_leg_hedges_by_its_coins_at_entry_and_each_leg_keeps_its_currency() -> None:
    holdings = make_holdings([spot(), inverse()])
    holdings.take(1, SELL, 2 * 50_000, 5_000, 0)  # 50,000 USD at 50,000: one coin
    holdings.take(0, BUY, at(49_900), COIN, 0)
    tops = [Top(at(40_000), at(40_000)), Top(2 * 40_000, 2 * 40_000)]
    linear, coins = profits_of(holdings, tops)
    # The short of N USD is worth N / 40,000 - N / 50,000 coins, 0.25: at 40,000 the 10,000
    # that the coin fell.
    assert parts(coins)[:3] == (0, 0.25, 0)
    assert parts(linear)[:3] == (0, -9_900, 0)
    # Flattened: 5 bps on 50,000 USD bought at 40,000, in coins; 1 bp on a coin sold there, in USDT.
    taker = inverse().taker_fee_e9 / E9
    assert parts(coins)[3] == pytest.approx(0.25 - 1.25 * taker, abs=1e-9)
    assert parts(linear)[3] == -9_904


def test_an_option_hedges_nothing() -> None:
    holdings = make_holdings([spot(), spot(1, "options", kind=Kind.OPTION)])
    holdings.take(0, BUY, at(60_000), COIN, 0)
    holdings.take(1, SELL, at(1_000), COIN, 0)
    tops = [Top(at(60_010), at(60_010)), Top(at(990), at(990))]
    assert [parts(profit)[:3] for profit in profits_of(holdings, tops)] == [(0, 0, 10), (0, 0, 10)]


def test_what_an_earlier_run_left_is_held_at_its_entry() -> None:
    holdings = make_holdings(pair())
    # It had earned 30 before fees of 7, and bought a coin for 60,000.
    holdings.begin(0, COIN, -60_000 * E9, (30 - 7 - 60_000) * E9)
    holdings.take(1, SELL, at(60_100), COIN, 0)
    tops = [Top(at(60_050), at(60_050)), Top(at(60_060), at(60_060))]
    assert [parts(profit)[:3] for profit in profits_of(holdings, tops)] == [(23, 50, 0), (0, 40, 0)]


fills = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.sampled_from((BUY, SELL)),
        st.integers(100_000, 140_000),
        st.integers(1, 10**5),
        st.integers(-(10**9), 10**9),
    ),
    max_size=20,
)
prices = st.tuples(st.integers(100_000, 140_000), st.integers(0, 50))


@given(fills, st.lists(prices, min_size=4, max_size=4))
def test_the_parts_add_up_exactly(traded: list[tuple[int, ...]], marks: list[tuple[int, int]]) -> None:
    infos = [spot(), inverse(), spot(2, "third"), spot(3, "alone", underlying=1)]
    holdings = make_holdings(infos)
    tops = [Top(bid, bid + spread) for bid, spread in marks]
    money, lots = [0] * 4, [0] * 4
    for index, side, price, quantity, fee in traded:
        holdings.take(index, side, price, quantity, fee)
        money[index] += cash_flow_e9(holdings.legs[index].instrument, side, price, quantity) - fee
        lots[index] += quantity if side == BUY else -quantity
    found = profits_of(holdings, tops)
    for leg, profit, top in zip(holdings.legs, found, tops, strict=True):
        index = leg.info.index
        assert leg.lots == lots[index]
        assert profit.marked_e9 == money[index] + leg.value_e9(top, lots[index])
        assert profit.flattened_e9 == money[index] + leg.flattened_value_e9(top)
        assert lots[index] or profit.flattened_e9 == profit.marked_e9
    if not any(lots):
        assert all(profit.locked_e9 == profit.open_e9 == 0 for profit in found)
    for group in holdings.groups:
        held = [sum(leg.entry.size_e9 for leg in group.legs if leg.lots * sign > 0) for sign in (1, -1)]
        unhedged = [sum(leg.unhedged_e9 for leg in group.legs if leg.lots * sign > 0) for sign in (1, -1)]
        assert unhedged == [max(0, held[0] - held[1]), max(0, held[1] - held[0])]
    longs, shorts = (any(sign * held > 0 for held in lots[:3]) for sign in (1, -1))
    if not (longs and shorts):
        assert all(profit.locked_e9 == 0 for profit in found)


@given(st.lists(st.integers(-(10**6), 10**6), max_size=8), prices)
def test_parts_of_a_position_are_worth_what_it_is(lots: list[int], mark: tuple[int, int]) -> None:
    (leg,) = make_holdings([inverse(0)]).legs
    top = Top(mark[0], sum(mark))
    assert sum(split_values_e9(leg, top, lots)) == leg.value_e9(top, sum(lots))


@given(st.lists(st.integers(-(10**12), 10**12), min_size=1, max_size=30), st.integers(1, 30))
def test_drawdown_is_the_deepest_fall_however_the_curve_is_cut(curve: list[int], part: int) -> None:
    fall = Fall()
    for start in range(0, len(curve), part):
        values = np.array(curve[start : start + part])
        fall.take(np.arange(start, start + len(values)) + 1, values)
    falls = [max(curve[: place + 1]) - value for place, value in enumerate(curve)]
    assert fall.deepest == max(falls)
    if max(falls):
        assert fall.trough_ns == falls.index(max(falls)) + 1
        assert curve[fall.peak_ns - 1] - curve[fall.trough_ns - 1] == max(falls)


def test_what_was_taken_over_at_no_price_is_counted_once() -> None:
    """Lots of an inverse contract that a venue has told of, and nobody knows what they were bought for."""
    holdings = make_holdings([inverse(0)])
    holdings.begin(0, -74, 0, 0)
    cash_e9 = 0
    for side, ticks, lots in ((BUY, 600_000, 80), (SELL, 601_000, 30), (BUY, 600_500, 24)):
        holdings.take(0, side, ticks, lots, 7)
        cash_e9 += cash_flow_e9(holdings.legs[0].instrument, side, ticks, lots) - 7
    (profit,) = holdings.profits([0], [None])
    assert profit.marked_e9 == cash_e9
