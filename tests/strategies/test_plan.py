"""A plan of two books against each other, held against one made of the sums of their levels; and its lots."""

from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crosswire.strategies.listing import Listing, cost_e9, rated_up_e9, sale_e9, set_listing, value_e9
from crosswire.strategies.plan import Plan, choose_lots, walk_books
from crosswire.testing import inverse, linear
from crosswire.venues.book.book import Book, clear_book, make_books, refresh_top, set_level
from crosswire.venues.instrument import E9, Instrument, base_e9
from crosswire.venues.side import ASK, BID

Levels = list[tuple[int, int]]  # ticks and lots, the best first


def book_of(side: int, levels: Levels) -> Book:
    book = make_books(1, 64)[0]
    clear_book(book)
    for ticks, lots in levels:
        set_level(book, side, ticks, lots)
    refresh_top(book)
    book.valid = 1
    return book


@dataclass
class Market:
    """Asks of one instrument, bids of another."""

    buy: Instrument
    sell: Instrument
    asks: Levels
    bids: Levels

    def listings(self) -> tuple[Listing, Listing]:
        made = Listing(), Listing()
        for listing, instrument in zip(made, (self.buy, self.sell), strict=True):
            set_listing(listing, instrument, 0, E9)  # type: ignore[arg-type]
        return made

    def plan(self, hurdle_rate_e9: int, depth: int, limit_e9: int, whole: bool) -> Plan:
        plan = Plan(size_e9=5, value_e9=5)
        buy, sell = self.listings()
        books = book_of(ASK, self.asks), book_of(BID, self.bids)
        walk_books(plan, buy, self.buy, books[0], sell, self.sell, books[1], hurdle_rate_e9, depth, limit_e9, whole)
        return plan

    def expected(self, hurdle_rate_e9: int, depth: int, limit_e9: int, whole: bool) -> dict[str, int]:
        """Each stretch between two ends of levels trades one pair of prices; those that clear are a beginning."""
        buy, sell = self.listings()
        asks = [(ticks, base_e9(self.buy, ticks, lots)) for ticks, lots in self.asks[:depth]]
        bids = [(ticks, base_e9(self.sell, ticks, lots)) for ticks, lots in self.bids[:depth]]
        ends = [list(accumulate(size for _, size in levels)) for levels in (asks, bids)]
        plan = {"size_e9": 0, "value_e9": 0, "offered_size_e9": 0, "offered_value_e9": 0}
        begin = 0
        for end in sorted(set(ends[0] + ends[1])):
            if begin >= min(ends[0][-1:] + ends[1][-1:], default=0) or not asks or not bids:
                break
            ask = next(ticks for (ticks, _), level_end in zip(asks, ends[0], strict=True) if level_end > begin)
            bid = next(ticks for (ticks, _), level_end in zip(bids, ends[1], strict=True) if level_end > begin)
            cost, sale = cost_e9(buy, self.buy, ask), sale_e9(sell, self.sell, bid)
            if sale < rated_up_e9(self.buy, ask, hurdle_rate_e9) or (not whole and begin >= limit_e9):
                break
            if begin < limit_e9:
                part = min(end, limit_e9) - begin
                value = plan["offered_value_e9"] + value_e9(part, sale - cost)
                plan |= {"size_e9": begin + part, "value_e9": value, "buy_ticks": ask, "sell_ticks": bid}
                plan |= {"buy_value_e9": cost, "sell_value_e9": sale}
            plan["offered_size_e9"] = end
            plan["offered_value_e9"] += value_e9(end - begin, sale - cost)
            begin = end
        return plan

    def check(self, *terms: Any) -> None:
        plan, expected = self.plan(*terms), self.expected(*terms)
        assert {name: getattr(plan, name) for name in expected} == expected


def levels_of(side: int) -> st.SearchStrategy[Levels]:
    ticks = st.lists(st.integers(95, 105), max_size=5, unique=True).map(
        lambda found: sorted(found, reverse=side == BID)
    )
    lots = st.lists(st.integers(1, 4), min_size=5, max_size=5)
    return st.tuples(ticks, lots).map(lambda pair: list(zip(pair[0], pair[1], strict=False)))


instruments = st.sampled_from([(1, "0.001", 0), (1, "0.002", 3), (1, "0.001", -1)]).map(
    lambda terms: linear(tick=terms[0], lot=terms[1], taker_fee_bps=terms[2])
)


@settings(max_examples=300)
@given(
    instruments, instruments, levels_of(ASK), levels_of(BID), st.integers(-200, 200) | st.just(-10_000),
    st.integers(1, 4), st.integers(1, 20), st.booleans(),
)  # fmt: skip
def test_a_plan_is_the_sum_of_what_clears(
    buy: Instrument, sell: Instrument, asks: Levels, bids: Levels, hurdle_bps: int, depth: int, limit: int, whole: bool
) -> None:
    market = Market(buy, sell, asks, bids)
    market.check(E9 + hurdle_bps * 100_000, depth, limit * E9 // 2000, whole)


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_plan_of_an_inverse_contract(depth: int, whole: bool) -> None:
    market = Market(
        linear(tick=1, lot="0.001", taker_fee_bps=0), inverse(tick=1, lot=1),
        [(99, 3), (100, 30), (102, 7)], [(101, 2), (100, 5), (98, 9)],
    )  # fmt: skip
    for limit_e9 in (1, E9 // 1000, E9 // 50, E9):
        market.check(E9, depth, limit_e9, whole)


def test_prices_that_just_clear_do() -> None:
    market = Market(linear(tick=1, taker_fee_bps=0), linear(tick=1, taker_fee_bps=0), [(100, 5)], [(100, 5)])
    assert market.plan(E9, 1, E9, False).size_e9 == 5 * E9 // 1000
    assert market.plan(E9 + 1, 1, E9, False).size_e9 == 0
    for empty in (Market(market.buy, market.sell, [], [(100, 5)]), Market(market.buy, market.sell, [(100, 5)], [])):
        plan = empty.plan(0, 1, E9, True)
        assert (plan.size_e9, plan.value_e9, plan.offered_size_e9, plan.offered_value_e9) == (0, 0, 0, 0)


@pytest.mark.parametrize("rate_e9", [0, E9])
@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("limit_e9", [E9 // 1000, E9 // 200, E9])
def test_a_level_is_traded_once(rate_e9: int, whole: bool, limit_e9: int) -> None:
    """Where the next price just clears, and where there is none: at a rate of 0 all that is bid is taken."""
    free = linear(tick=1, lot="0.001", taker_fee_bps=0)
    for asks, bids in (
        ([(99, 1), (100, 5)], [(100, 1), (99, 5)]),
        ([(99, 5), (100, 5)], [(101, 20)]),
        ([(99, 20)], [(101, 5), (100, 5)]),
    ):
        Market(free, free, asks, bids).check(rate_e9, 3, limit_e9, whole)


# Lots.


def chosen(
    size_e9: int, carry_e9: int = 0, buy: Instrument | None = None, sell: Instrument | None = None
) -> tuple[int, int, int, int]:
    """Lots of both sides, what is left of the size and of a value of one a coin."""
    plan = Plan(buy_ticks=100, sell_ticks=100, size_e9=size_e9, value_e9=size_e9)
    choose_lots(plan, buy or linear(tick=1, lot="0.01"), sell or linear(tick=1, lot="0.004"), carry_e9)
    return plan.buy_lots, plan.sell_lots, plan.size_e9, plan.value_e9


CENT = E9 // 100


@pytest.mark.parametrize(
    ("size_e9", "carry_e9", "lots"),
    [
        (3 * CENT, 0, (3, 7)),  # 0.03 and 0.028
        (2 * CENT, 0, (2, 5)),
        (4 * CENT + CENT // 2, 0, (4, 10)),
        (3 * CENT, CENT // 5, (2, 5)),  # 0.02 and a carry of 0.002: 0.022, and 0.020 is as near as 0.024
        (3 * CENT, -CENT // 5, (3, 7)),  # 0.028
        (3 * CENT, -3 * CENT, (0, 0)),  # nothing is left to be sold
        (3 * CENT, 3 * CENT, (0, 0)),
        (CENT - 1, 0, (0, 0)),
        (CENT, 0, (1, 2)),
        (CENT, CENT // 10, (0, 0)),
        (E9 // 250 * 3, 0, (1, 2)),  # 0.012: of 0.01 bought, 0.008 is sold
        (6 * CENT, CENT, (5, 15)),  # 0.05 bought, and the carry: 0.06
        (3 * CENT - 1, -CENT // 5, (2, 4)),  # not one unit more is bought than is on offer
    ],
)
def test_the_coarser_side_is_rounded_down_and_the_other_is_near_it(
    size_e9: int, carry_e9: int, lots: tuple[int, int]
) -> None:
    coarse, fine = linear(tick=1, lot="0.01"), linear(tick=1, lot="0.004")
    assert chosen(size_e9, carry_e9, coarse, fine)[:2] == lots
    assert chosen(size_e9, -carry_e9, fine, coarse)[:2] == lots[::-1]


def test_of_equal_lots_the_bought_ones_are_rounded() -> None:
    equal = linear(tick=1, lot="0.01"), linear(tick=1, lot="0.01")
    assert chosen(3 * CENT, CENT, *equal)[:2] == (2, 3)
    assert chosen(3 * CENT, -CENT, *equal)[:2] == (3, 2)
    assert chosen(3 * CENT, CENT // 2 + 1, *equal)[:2] == (2, 3)
    # The sale of the fourth lot, which 0.036 calls for, is not on offer.
    assert chosen(39 * CENT // 10, 6 * CENT // 10, *equal)[:2] == (3, 3)


@pytest.mark.parametrize(("finer", "lots"), [("0.003", (1, 1)), ("0.001", (4, 1))])
def test_the_lots_that_are_a_little_coarser_are_rounded(finer: str, lots: tuple[int, int]) -> None:
    """Of 0.0075 one lot of 0.004 is taken: one of 0.003 is nearest to it, or four of 0.001."""
    fine, coarse = linear(tick=1, lot=finer), linear(tick=1, lot="0.004")
    assert chosen(E9 * 75 // 10_000, 0, fine, coarse)[:2] == lots
    assert chosen(E9 * 75 // 10_000, 0, coarse, fine)[:2] == lots[::-1]


def test_a_lot_of_the_smallest_unit_is_not_bought_where_the_carry_takes_all() -> None:
    smallest = linear(tick=1, lot="0.000000001")
    assert chosen(3, 3, smallest, smallest)[:2] == (0, 0)
    assert chosen(4, 3, smallest, smallest)[:2] == (1, 4)


@pytest.mark.parametrize(
    ("size_e9", "fine_lot", "lots", "left_e9"),
    [
        (3 * CENT, "0.004", (3, 7), 28 * CENT // 10),
        (3 * CENT + 5, "0.005", (3, 6), 3 * CENT),
        (2 * CENT, "0.004", (2, 5), 2 * CENT),
        (CENT // 2, "0.004", (0, 0), CENT // 2),
    ],
)
def test_what_is_not_chosen_is_not_counted(size_e9: int, fine_lot: str, lots: tuple[int, int], left_e9: int) -> None:
    *found, size, value = chosen(size_e9, 0, linear(tick=1, lot="0.01"), linear(tick=1, lot=fine_lot))
    assert (tuple(found), size) == (lots, left_e9)
    assert left_e9 - 2 <= value <= left_e9  # of a value as large as the size, rounded down


@given(
    st.integers(1, 50 * CENT),
    st.integers(-CENT // 2, CENT // 2),
    st.sampled_from(["0.01", "0.004", "0.003"]),
    st.sampled_from(["0.01", "0.004", "0.003"]),
)
def test_what_is_left_over_is_half_a_lot_at_most(size_e9: int, carry_e9: int, buy_lot: str, sell_lot: str) -> None:
    """Where the size on offer does not forbid rounding up."""
    buy, sell = linear(tick=1, lot=buy_lot), linear(tick=1, lot=sell_lot)
    buy_lots, sell_lots, chosen_e9, value = chosen(size_e9, carry_e9, buy, sell)
    assert (buy_lots == 0) == (sell_lots == 0)
    bought, sold = buy_lots * buy.lot_e9, sell_lots * sell.lot_e9
    assert max(bought, sold) <= size_e9
    if buy_lots:
        assert chosen_e9 == min(bought, sold)
        assert 0 <= chosen_e9 - value <= 2
        finer = min(buy.lot_e9, sell.lot_e9)
        left = abs(carry_e9 + bought - sold)
        assert left <= finer // 2 or max(bought, sold) + finer > size_e9
