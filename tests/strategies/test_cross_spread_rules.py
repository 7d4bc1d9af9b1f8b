"""The cross-spread signal at its edges: what is ruled out, what just pays, what was asked for, and what is held."""

from collections import Counter
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.nic.unit.compile import NO_JIT
from crosswire.strategies import cross_spread
from crosswire.strategies.legs import pair_number
from crosswire.strategies.opportunity import OPPORTUNITIES_MAX, Blocked
from crosswire.strategies.trades import TradeState
from crosswire.testing import Harness, fill, linear, miss
from crosswire.venues.side import BUY, SELL
from tests.strategies.test_cross_spread import BOTH_WAYS, MS, blocked, held, make, quote, wander


def free(names: str = "ab") -> dict[str, Any]:
    """Listings without fees."""
    return {name: linear(taker_fee_bps=0) for name in names}


def hold(harness: Harness, **lots: int) -> None:
    for name, each in lots.items():
        harness.desk.positions[harness.index(name)].position_lots = each


def legs_of(harness: Harness) -> list[tuple[str, int, int]]:
    return [(order.name, order.side, order.qty_lots) for order in harness.orders]


BPS = st.decimals(-400, 400, places=2)


@given(
    st.tuples(st.sampled_from(["0.1", "0.5", "2.5"]), st.sampled_from(["0.1", "0.5", "2.5"])),
    st.tuples(BPS, BPS, BPS, BPS, BPS),
    st.lists(st.integers(4_000, 5_000), min_size=4, max_size=4),
    st.tuples(st.integers(-1, 1), st.integers(-1, 1)),
)
def test_rounded_prices_rule_out_no_trade_and_little_else(
    grid: tuple[str, str], bps: tuple[Decimal, ...], prices: list[int], lots: tuple[int, int]
) -> None:
    """Within a millionth: what a listing's top is worth after fees, bought with the threshold that is asked of it."""
    traded = {"a": linear(grid[0], taker_fee_bps=bps[0] / 10), "b": linear(grid[1], taker_fee_bps=bps[1] / 10)}
    opening, closing = max(bps[2:4]), min(bps[2:4])
    terms = {"threshold_bps": opening, "close_threshold_bps": closing, "quote_adjustment_bps": {"a": bps[4]}}
    harness = make(traded, **terms)
    harness.otherwise = miss()
    hold(harness, a=lots[0], b=lots[1])
    tops = [(min(prices[:2]) * 5, max(prices[:2]) * 5), (min(prices[2:]) * 5, max(prices[2:]) * 5)]
    for name, (bid, ask) in zip("ab", tops, strict=True):
        quote(harness, name, Fraction(bid, 2), Fraction(ask, 2), size=1)
    units = (1 + Fraction(bps[4]) / 10_000, 1)
    for buy, sell in ((0, 1), (1, 0)):
        hurdle = Fraction(closing if lots[buy] < 0 else opening) / 10_000
        cost = Fraction(tops[buy][1], 2) * (1 + Fraction(bps[buy]) / 100_000 + hurdle) * units[buy]
        sale = Fraction(tops[sell][0], 2) * (1 - Fraction(bps[sell]) / 100_000) * units[sell]
        quick = harness.strategy.quick
        assert 1 <= Fraction(quick[sell].sale, quick[buy].cost) / (sale / cost) <= 1 + Fraction(1, 10**6)


def rules_out(harness: Harness, listing: int) -> tuple[bool, bool]:
    """Whether a listing is ruled out as one to buy and to sell at, whatever the other's prices."""
    quick, other = harness.strategy.quick[listing], harness.strategy.factors[1 - listing]
    return quick.cost > (1 << 32) * other.sale, quick.sale < 0 <= other.close_cost


@pytest.mark.parametrize("name", ["a", "b"])
def test_without_a_price_every_pair_is_ruled_out(name: str) -> None:
    harness = make()
    listing = harness.index(name)
    assert rules_out(harness, listing) == (True, True)
    quote(harness, name, 999, 1000)
    assert rules_out(harness, listing) == (False, False)
    harness.set_book(name, bids=[(999, 1)])
    assert rules_out(harness, listing) == (True, False)
    harness.set_book(name, asks=[(1000, 1)])
    assert rules_out(harness, listing) == (False, True)
    quote(harness, name, 999, 1000)
    harness.lose_book(name)
    assert rules_out(harness, listing) == (True, True)


@BOTH_WAYS
@pytest.mark.parametrize("last", ["a", "b"])
@pytest.mark.parametrize(("bid", "trades"), [("1000.0", True), ("999.9", False)])
def test_an_edge_of_just_the_threshold_is_enough(last: str, bid: str, trades: bool, in_lots: int) -> None:
    harness = make(free(), threshold_bps=0)
    harness.strategy.even_pairs *= in_lots
    books = {"a": ("999.0", "1000.0"), "b": (bid, "1001.0")}
    for name in sorted(books, key=lambda name: name == last):
        quote(harness, name, *books[name])
    assert legs_of(harness) == ([("a", BUY, 1000), ("b", SELL, 1000)] if trades else [])


@BOTH_WAYS
@pytest.mark.parametrize("bid", ["1000.0", "1002.0"])
def test_what_a_pair_holds_is_what_its_trades_captured(bid: str, in_lots: int) -> None:
    harness = make(free(), threshold_bps=0)
    harness.strategy.even_pairs *= in_lots
    quote(harness, "a", 999, 1000)
    quote(harness, "b", bid, 1003)
    harness.advance(MS)
    assert harness.strategy.legs.pairs[pair_number(0, 1)].held_e9 == 10**9


@BOTH_WAYS
@pytest.mark.parametrize(("bid", "trades"), [("1000.0", True), ("999.9", False)])
def test_an_edge_of_just_the_closing_threshold_closes_one_lot(bid: str, trades: bool, in_lots: int) -> None:
    harness = make(free(), threshold_bps=10, close_threshold_bps=0)
    harness.strategy.even_pairs *= in_lots
    hold(harness, a=-1, b=1)
    quote(harness, "a", 999, 1000)
    quote(harness, "b", bid, 1001)
    assert legs_of(harness) == ([("a", BUY, 1), ("b", SELL, 1)] if trades else [])


@BOTH_WAYS
@pytest.mark.parametrize(("a", "b"), [(0, 5), (-5, 0), (5, 5), (-5, -5), (5, -5)])
def test_nothing_is_closed_that_is_not_held_on_both_sides(a: int, b: int, in_lots: int) -> None:
    harness = make(free(), threshold_bps=10, close_threshold_bps=-10)
    harness.strategy.even_pairs *= in_lots
    hold(harness, a=a, b=b)
    quote(harness, "a", 999, 1000)
    quote(harness, "b", 1000, 1001)
    assert [order for order in legs_of(harness) if order[:2] == ("a", BUY)] == []


@BOTH_WAYS
@pytest.mark.parametrize(
    ("held", "under_way", "lots"),
    [
        ((600, 0), (0, 0), 400),
        ((0, -700), (0, 0), 300),
        ((600, -700), (0, 0), 300),
        ((600, 0), (50, 0), 350),
        ((0, -700), (0, 50), 250),
    ],
)
def test_the_leg_with_less_room_left_limits_both(
    held: tuple[int, int], under_way: tuple[int, int], lots: int, in_lots: int
) -> None:
    """Of 1,000 lots a listing, orders under way taken as filled; `a` is bought, `b` sold."""
    harness = make(free(), threshold_bps=0, close_threshold_bps=0, position_max=1)
    harness.strategy.even_pairs *= in_lots
    hold(harness, a=held[0], b=held[1])
    harness.desk.positions[0].open_buy_lots, harness.desk.positions[1].open_sell_lots = under_way
    quote(harness, "a", 999, 1000)
    quote(harness, "b", 1001, 1002)
    assert legs_of(harness) == [("a", BUY, lots), ("b", SELL, lots)]


@BOTH_WAYS
@pytest.mark.parametrize(
    ("held", "under_way", "lots"),
    [
        ((-600, 700), (0, 0), 600),
        ((-700, 600), (0, 0), 600),
        ((-600, 700), (50, 0), 550),
        ((-700, 600), (0, 50), 550),
    ],
)
def test_no_more_is_closed_than_either_side_holds(
    held: tuple[int, int], under_way: tuple[int, int], lots: int, in_lots: int
) -> None:
    """Orders under way taken as filled."""
    harness = make(free(), threshold_bps=20, close_threshold_bps=0)
    harness.strategy.even_pairs *= in_lots
    hold(harness, a=held[0], b=held[1])
    harness.desk.positions[0].open_buy_lots, harness.desk.positions[1].open_sell_lots = under_way
    quote(harness, "a", 999, 1000)
    quote(harness, "b", 1001, 1002)
    assert legs_of(harness) == [("a", BUY, lots), ("b", SELL, lots)]


@BOTH_WAYS
@pytest.mark.parametrize("last", ["a", "b"])
def test_one_tick_is_a_price_as_any_other(last: str, in_lots: int) -> None:
    harness = make({"a": linear("0.1", taker_fee_bps=0), "b": linear("1", taker_fee_bps=0)})
    harness.strategy.even_pairs *= in_lots
    books: dict[str, dict[str, Any]] = {"a": {"asks": [("0.1", 5)]}, "b": {"bids": [(1, 5)]}}
    for name in sorted(books, key=lambda name: name == last):
        harness.set_book(name, **books[name])
    assert [(order.name, order.side, order.price_ticks) for order in harness.orders] == [("a", BUY, 1), ("b", SELL, 1)]


def test_the_closing_threshold_may_be_the_opening_one() -> None:
    harness = make(threshold_bps=1, close_threshold_bps=1)
    assert harness.strategy.open_rates_e9[0] == harness.strategy.close_rates_e9[0]


def test_a_book_that_is_no_listing_changes_nothing() -> None:
    harness = make({**free("ab"), "x": linear(taker_fee_bps=0)}, instruments=["a", "b"])
    quote(harness, "a", 999, 1000)
    quote(harness, "x", 1010, 1011)
    harness.lose_book("x")
    quote(harness, "x", 990, 991)
    assert (harness.orders, blocked(harness)) == ([], [])


@pytest.mark.parametrize("lost", ["a", "b"])
def test_either_book_that_is_lost_ends_the_opportunity_at_once(lost: str) -> None:
    harness = make()
    quote(harness, "a", 999, 1000)
    quote(harness, "b", 1002, 1003)
    harness.advance(MS)
    harness.lose_book(lost)
    assert [row["end_ns"] for row in harness.opportunities] == [harness.desk.now_ns]


@pytest.mark.parametrize("empty", ["a", "b"])
def test_an_opportunity_ends_with_the_book_that_was_emptied_in_the_same_packet(empty: str) -> None:
    harness = make(cooldown_us=1_000_000)
    quote(harness, "a", 999, 1000)
    quote(harness, "b", 1002, 1003)
    harness.advance(MS)
    if empty == "a":
        harness.change_book("a", bids=[(999, 1)])
        quote(harness, "b", 1002, 1003)
    else:
        harness.change_book("b", asks=[(1003, 1)])
        quote(harness, "a", 999, 1000)
    assert [row["end_ns"] for row in harness.opportunities] == [harness.desk.now_ns]
    assert len(harness.orders) == 2


@pytest.mark.parametrize("lost", ["a", "b"])
def test_a_book_that_is_no_longer_proven_is_not_traded_on_in_the_same_packet(lost: str) -> None:
    harness = make()
    quote(harness, lost, *{"a": (999, 1000), "b": (1002, 1003)}[lost])
    harness.desk.books[harness.index(lost)].valid = 0
    other = "b" if lost == "a" else "a"
    quote(harness, other, *{"a": (999, 1000), "b": (1002, 1003)}[other])
    assert (harness.orders, blocked(harness)) == ([], [])


def test_what_was_asked_for_is_entered_before_another_pair_is_looked_at() -> None:
    harness = make({name: linear(taker_fee_bps=1) for name in "abc"})
    quote(harness, "b", 1010, 1011)
    quote(harness, "c", 1010, 1011)
    quote(harness, "a", 999, 1000)
    assert legs_of(harness) == [("a", BUY, 1000), ("b", SELL, 1000)]
    harness.finish()
    rows = [(row["sell_instrument"], row["attempts"], row["blocked_by"]) for row in harness.opportunities]
    assert rows == [(1, 1, Blocked.NONE), (2, 0, Blocked.TAKEN)]


@BOTH_WAYS
def test_the_same_edge_again_is_no_new_peak(in_lots: int) -> None:
    harness = make(open_trades_max=9)
    harness.strategy.even_pairs *= in_lots
    quote(harness, "a", 999, 1000)
    quote(harness, "b", 1002, 1003)
    start_ns = harness.desk.now_ns
    harness.advance(MS)
    quote(harness, "a", 999, 1000, size=7)
    quote(harness, "b", 1002, 1003, size=7)
    harness.advance(MS)
    harness.finish()
    (row,) = harness.opportunities
    assert (row["start_ns"], row["peak_ns"], row["peak_size_e9"]) == (start_ns, start_ns, 5 * 10**9)
    assert row["attempts"] == 2  # at the second book of `b` both have changed since, at that of `a` only one


@BOTH_WAYS
def test_what_only_closes_is_no_opportunity_any_more(in_lots: int) -> None:
    harness = make(threshold_bps=10, close_threshold_bps=-5)
    harness.strategy.even_pairs *= in_lots
    harness.otherwise = miss()
    hold(harness, a=-1000, b=1000)
    quote(harness, "a", 999, 1000)
    quote(harness, "b", 1002, 1003)
    harness.advance(MS)
    quote(harness, "a", 999, 1000)
    orders = len(harness.orders)
    assert harness.opportunities == []
    quote(harness, "b", "999.9", 1001)  # 3 bps lost with the fees
    assert [row["end_ns"] for row in harness.opportunities] == [harness.desk.now_ns]
    harness.advance(MS)
    quote(harness, "a", 999, 1000)
    assert legs_of(harness)[orders:] == [("a", BUY, 1000), ("b", SELL, 1000)] * ((len(harness.orders) - orders) // 2)
    assert len(harness.orders) > orders


def test_what_lies_on_a_stale_book_leaves_no_trace_in_the_table() -> None:
    harness = make()
    quote(harness, "a", 999, 1000)
    harness.advance(1_001 * MS)
    quote(harness, "b", 1002, 1003)
    items = harness.strategy.legs.opportunities.items
    assert {(items[place].state, items[place].peak_ns) for place in range(OPPORTUNITIES_MAX)} == {(0, 0)}


def test_less_than_a_lot_of_one_side_is_no_size() -> None:
    # Of the pair beside it, of `a` and `c`, the lots are equal.
    harness = make({"a": linear(), "b": linear(lot="0.02"), "c": linear()})
    quote(harness, "a", 999, 1000, size="0.005")
    quote(harness, "b", 1010, 1011)
    assert (harness.orders, blocked(harness)) == ([], [Blocked.NO_SIZE])
    assert [row["peak_size_e9"] for row in harness.opportunities] == [5 * 10**6]


@pytest.mark.parametrize("closing", [False, True])
@BOTH_WAYS
def test_what_is_carried_is_made_up_for(closing: bool, in_lots: int) -> None:
    harness = make(free(), threshold_bps=20 if closing else 0, close_threshold_bps=0)
    harness.strategy.even_pairs *= in_lots
    harness.strategy.legs.carry_e9 = 10**6  # a lot was bought more than sold
    if closing:
        hold(harness, a=-1000, b=1000)
    quote(harness, "a", 999, 1000)
    quote(harness, "b", 1001, 1002)
    assert legs_of(harness) == [("a", BUY, 999), ("b", SELL, 1000)]


def test_a_leg_that_is_missed_is_done_at_a_third_listing() -> None:
    harness = make({name: linear(taker_fee_bps=1) for name in "abc"}, retries=0)
    quote(harness, "c", 1001, 1002)
    quote(harness, "b", 1002, 1003)
    harness.answers = [fill(), miss()]
    quote(harness, "a", 999, 1000)
    harness.advance(MS)
    assert legs_of(harness) == [("a", BUY, 1000), ("b", SELL, 1000), ("c", SELL, 1000)]
    assert harness.strategy.legs.trades[0].state == TradeState.FREE


@BOTH_WAYS
@pytest.mark.parametrize("held_leg", [BUY, SELL])
@pytest.mark.parametrize(("edge_bps", "trades"), [(9, False), (12, True)])
def test_a_closing_leg_with_a_speed_bump_earns_its_move_too(
    held_leg: int, edge_bps: int, trades: bool, in_lots: int
) -> None:
    harness = held(threshold_bps=50, close_threshold_bps=0)
    harness.strategy.even_pairs *= in_lots
    wander(harness, 1)
    hold(harness, a=-1000 if held_leg == BUY else 1000, b=1000 if held_leg == BUY else -1000)
    quote(harness, "a", 1000, 1001)
    if held_leg == BUY:
        quote(harness, "b", Fraction(10_010 * (10_000 + edge_bps) // 10_000 + 1, 10), 1100)
    else:
        quote(harness, "b", 900, Fraction(10_000 * 10_000 // (10_000 + edge_bps), 10))
    assert bool(harness.orders) == trades


def test_the_shortest_delay_counts_too() -> None:
    traded = free()
    traded["a"].speed_bump_ns = 1
    harness = make(traded)
    wander(harness, 1)
    quote(harness, "a", 1001, 1002)
    quote(harness, "b", 1003, 1100)  # 10 bps, as much as the mean move without the threshold
    assert harness.orders == []


@pytest.mark.parametrize(("edge_bps", "trades"), [(15, False), (25, True)])
def test_two_legs_with_speed_bumps_earn_both_moves(edge_bps: int, trades: bool) -> None:
    traded = free()
    for each in traded.values():
        each.speed_bump_ns = 10 * MS
    harness = make(traded)
    for step in range(200):
        harness.advance(10 * MS)
        quote(harness, "a", 1000 + step % 2, 1001 + step % 2)
        quote(harness, "b", 900 + step % 2, 1100 + step % 2)
    quote(harness, "b", Fraction(10_020 * (10_000 + edge_bps) // 10_000 + 1, 10), 1101)
    assert bool(harness.orders) == trades


UNCOMPILED = pytest.mark.skipif(not NO_JIT, reason="what compiled code calls can't be counted")


def count_calls(monkeypatch: pytest.MonkeyPatch, *names: str) -> Counter[str]:
    """Count how often the strategy calls each of these: what it does stays the same, and takes longer."""
    calls: Counter[str] = Counter()

    def counted(name: str, function: Any) -> Any:
        def call(*arguments: Any) -> Any:
            calls[name] += 1
            return function(*arguments)

        return call

    for name in names:
        monkeypatch.setattr(cross_spread, name, counted(name, getattr(cross_spread, name)))
    return calls


@UNCOMPILED
def test_books_without_an_edge_are_looked_at_no_closer(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = count_calls(monkeypatch, "compare", "end_opportunity")
    harness = make()
    for bid in (999, 998, 999):
        quote(harness, "a", bid, 1001)
        quote(harness, "b", bid, 1001)
    assert calls == {}
    quote(harness, "b", 1003, 1004)
    assert calls["compare"] > 0
    # What sells at `a` was never open, so it does not end.
    assert calls["end_opportunity"] == 0


@UNCOMPILED
@BOTH_WAYS
def test_what_is_blocked_is_planned_only_to_tell_what_a_peak_offers(
    monkeypatch: pytest.MonkeyPatch, in_lots: int
) -> None:
    """By the way of planning that the pair allows."""
    calls = count_calls(monkeypatch, "walk", "match_tops")
    way = "match_tops" if in_lots else "walk"
    harness = make(cooldown_us=1_000_000)
    harness.strategy.even_pairs *= in_lots
    quote(harness, "a", 999, 1000)
    quote(harness, "b", 1002, 1003)
    assert (len(harness.orders), calls) == (2, {way: 1})
    quote(harness, "b", 1002, 1003, size=6)
    assert calls == {way: 1}
    quote(harness, "b", 1003, 1004)
    assert (len(harness.orders), calls) == (2, {way: 2})


@UNCOMPILED
@BOTH_WAYS
def test_no_room_is_planned_for_once(monkeypatch: pytest.MonkeyPatch, in_lots: int) -> None:
    calls = count_calls(monkeypatch, "walk", "match_tops")
    harness = make(free(), threshold_bps=0, position_max=1)
    harness.strategy.even_pairs *= in_lots
    hold(harness, a=1000)
    quote(harness, "a", 999, 1000)
    quote(harness, "b", 1002, 1003)
    quote(harness, "b", 1002, 1003, size=6)
    assert (harness.orders, calls.total()) == ([], 1)


@UNCOMPILED
@BOTH_WAYS
def test_what_would_close_is_not_planned_while_it_is_blocked(monkeypatch: pytest.MonkeyPatch, in_lots: int) -> None:
    calls = count_calls(monkeypatch, "walk", "match_tops")
    harness = make(free(), threshold_bps=50, close_threshold_bps=0, cooldown_us=1_000_000)
    harness.strategy.even_pairs *= in_lots
    hold(harness, a=-2000, b=2000)
    quote(harness, "a", 999, 1000)
    quote(harness, "b", 1002, 1003)
    assert (len(harness.orders), calls.total()) == (2, 1)
    quote(harness, "a", 999, 1000)
    quote(harness, "b", 1002, 1003)
    assert (len(harness.orders), calls.total()) == (2, 1)
