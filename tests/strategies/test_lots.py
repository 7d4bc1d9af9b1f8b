"""Planned in lots, a trade is the one planned in money: same orders, plans and opportunities, to the last field."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from crosswire.strategies.cross_spread import CrossSpread, is_certain, is_too_small
from crosswire.strategies.interface import catch_up_if_due, on_book
from crosswire.strategies.listing import Listing, cost_e9, gain_e9, rated_up_e9, sale_e9, value_e9
from crosswire.strategies.opportunity import Blocked
from crosswire.strategies.plan import Plan, choose_lots, match_tops, walk_books
from crosswire.strategies.trades import TradeState
from crosswire.testing import LEG_PARAMETERS, Harness, fill, linear, miss, reject
from crosswire.venues.instrument import E9
from crosswire.venues.side import ASK, BID
from tests.strategies.test_plan import book_of

LOTS_OF = {"0.001": 10**6, "0.02": 2 * 10**7, "1": E9, "0.000000001": 1}  # size of a lot in 1e-9
# Of a trade, the largest and the least.
SIZES = [("0.02", "0"), ("0.02", "0.02"), ("0.06", "0.021"), ("0.06", "0.06"), ("0.2", "0.04"), ("0.2", "0.06")]
SCALARS = ("buy_ticks", "sell_ticks", "buy_value_e9", "sell_value_e9", "buy_lots", "sell_lots", "lot_e9", "value_e9")
OFFERED = ("size_e9", "offered_size_e9", "offered_value_e9")


@settings(max_examples=500)
@given(st.integers(0, 1 << 50), st.integers(-(1 << 44), 1 << 44))
def test_a_gain_is_the_value_rounded_down(size_e9: int, unit_value_e9: int) -> None:
    size_e9 %= max(1, (1 << 62) * E9 // max(E9, abs(unit_value_e9)))
    assert gain_e9(size_e9, unit_value_e9) == value_e9(size_e9, unit_value_e9) == size_e9 * unit_value_e9 // E9


@settings(max_examples=400)
@given(
    st.sampled_from(sorted(LOTS_OF)),
    st.tuples(st.integers(1, 1 << 22), st.integers(-3, 3)),
    st.tuples(st.integers(1, 1 << 31), st.integers(1, 1 << 31), st.integers(1, 5), st.integers(1, 5)),
    st.booleans(),
    st.one_of(st.integers(-3, 6), st.integers(-(1 << 31), 1 << 31)),
)
def test_a_plan_in_lots_is_the_plan_in_money(
    lot: str, ticks: tuple[int, int], lots: tuple[int, int, int, int], few: bool, limit_lots: int
) -> None:
    buy, sell = linear(tick="0.5", lot=lot, taker_fee_bps=1), linear(tick="0.1", lot=lot, taker_fee_bps=-1)
    ask, bid = ticks[0], max(1, ticks[0] * 5 + ticks[1])
    asks, bids = [(ask, lots[2 if few else 0]), (ask + 1, 7)], [(bid, lots[3 if few else 1])]
    books = book_of(ASK, asks), book_of(BID, bids)
    listings = Listing(cost_rate_e9=E9 + 10**5), Listing(sale_rate_e9=E9 + 10**5)
    money, in_lots = Plan(), Plan()
    size = limit_lots * LOTS_OF[lot]
    # Any rate that these prices clear: what does not clear is never planned.
    walk_books(money, listings[0], buy, books[0], listings[1], sell, books[1], 0, 1, size, True)
    if money.size_e9 > 0:
        choose_lots(money, buy, sell, 0)
    cost, sale = cost_e9(listings[0], buy, ask), sale_e9(listings[1], sell, bid)
    match_tops(in_lots, books[0], books[1], LOTS_OF[lot], cost, sale, limit_lots)
    names = OFFERED + (SCALARS if money.size_e9 > 0 else ())
    assert {name: getattr(in_lots, name) for name in names} == {name: getattr(money, name) for name in names}
    for name in ("buy_levels", "sell_levels"):
        found, expected = getattr(in_lots, name), getattr(money, name)
        assert found.count == expected.count == 1
        assert (found.levels[0].price_ticks, found.levels[0].qty_lots) == (
            expected.levels[0].price_ticks,
            expected.levels[0].qty_lots,
        )


@settings(max_examples=300, deadline=None)
@given(
    st.tuples(st.sampled_from(["0.001", "0.02", "1"]), st.sampled_from(["0.001", "0.02", "1"])),
    st.tuples(st.integers(1, 60), st.integers(1, 60)),
    st.integers(-200, 200).map(lambda parts: parts * 7_000_000),
    st.integers(-20, 300).map(lambda parts: parts * 7_000_000),
    st.sampled_from(["0", "0.0015", "0.5"]),
)
def test_what_is_too_small_would_not_be_traded(
    lots: tuple[str, str], tops: tuple[int, int], carry_e9: int, most_e9: int, size_min: str
) -> None:
    traded = {name: linear("0.1", lot) for name, lot in zip("ab", lots, strict=True)}
    terms = {"position_max": 9, "instruments": ["a", "b"], "size_max": 3, "size_min": size_min}
    harness = Harness(CrossSpread, LEG_PARAMETERS | terms, traded)
    harness.set_book_ticks("a", [], [(1000, tops[0])])
    harness.set_book_ticks("b", [(1001, tops[1])], [])
    strategy: Any = harness.strategy
    for carried_e9 in (0, carry_e9, carry_e9 // 1000):
        strategy.legs.carry_e9 = carried_e9
        plan, books, listings = Plan(), harness.desk.books, strategy.legs.listings
        walk_books(
            plan, listings[0], traded["a"], books[0], listings[1], traded["b"], books[1], 0, 1, most_e9, False
        )  # fmt: skip
        if plan.size_e9 > 0:
            choose_lots(plan, traded["a"], traded["b"], carried_e9)
        is_refused = plan.size_e9 < max(1, strategy.size_min_e9) or plan.buy_lots == 0
        found = is_too_small(strategy, harness.desk, 0, 1, most_e9)
        event(f"{found} {is_refused}")
        assert is_refused or not found
        if carried_e9 == 0 and size_min == "0":  # else a size is refused that is small only in whole lots
            assert found == is_refused


def least(clears: Callable[[int], bool], most: int) -> int:
    """Find the least price, in ticks, at which something holds; `most` if it does at none below."""
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if clears(middle) else (middle, high)
    return high


TICKS = st.sampled_from(["0.000000001", "0.00001", "0.1", "0.5", "7", "1000"])


@settings(max_examples=100, deadline=None)
@given(st.tuples(TICKS, TICKS), st.integers(0, 1 << 32), st.tuples(*[st.integers(-9_000, 9_000)] * 3))
def test_what_is_certain_clears(ticks: tuple[str, str], ask_ticks: int, parts: tuple[int, int, int]) -> None:
    """Up to the last tick; and it is decided within a millionth of the price, and two ticks, of where it clears."""
    traded = tuple(linear(tick, "1", Decimal(parts[0]) / 700) for tick in ticks)
    parameters = {
        "threshold_bps": Decimal(parts[1]) / 13,
        "quote_adjustment_bps": {"a": Decimal(parts[2]) / 11},
        "instruments": ["a", "b"],
        "position_max": 1,
    }
    strategy: Any = Harness(CrossSpread, LEG_PARAMETERS | parameters, dict(zip("ab", traded, strict=True))).strategy
    ask_most, bid_most = (min(1 << 32, (1 << 61) // each.tick_e9) for each in traded)
    ask_ticks = 1 + ask_ticks % ask_most
    hurdle, sold = rated_up_e9(traded[0], ask_ticks, strategy.open_rates_e9[0]), strategy.legs.listings[1]
    clear_ticks = least(lambda bid_ticks: sale_e9(sold, traded[1], bid_ticks) >= hurdle, bid_most)
    certain_ticks = least(lambda bid_ticks: is_certain(strategy, 0, 1, ask_ticks, bid_ticks), bid_most)
    assert clear_ticks <= certain_ticks
    if ticks[0] == ticks[1] and clear_ticks > 1 << 10 < ask_ticks:
        assert certain_ticks - clear_ticks <= 2 + clear_ticks // 1_000_000


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["0.1", "7", "1000", "0.134217727", "0.268435455"]), st.integers(-(10**7), 10**7), st.data())
def test_what_is_certain_clears_where_the_rates_hardly_differ(tick: str, fee_e9: int, data: st.DataObject) -> None:
    """Sold for what it costs but for a few units of the last place: only rounding could say it pays."""
    apart_e9 = data.draw(st.integers(-80, 8))
    traded = {name: linear(tick, "1", Decimal(fee_e9) / 100_000) for name in "ab"}
    parameters = {
        "threshold_bps": Decimal(apart_e9 - 2 * fee_e9) / 100_000,
        "instruments": ["a", "b"],
        "position_max": 1,
    }
    strategy: Any = Harness(CrossSpread, LEG_PARAMETERS | parameters, traded).strategy
    ticks = data.draw(st.integers(1, min(1 << 32, (1 << 61) // traded["a"].tick_e9)))
    hurdle = rated_up_e9(traded["a"], ticks, strategy.open_rates_e9[0])
    clears = sale_e9(strategy.legs.listings[1], traded["b"], ticks) >= hurdle
    assert clears or not is_certain(strategy, 0, 1, ticks, ticks)
    assert apart_e9 > -60 or ticks < 10 or is_certain(strategy, 0, 1, ticks, ticks)


def test_what_pays_by_33_parts_of_a_billion_is_certain() -> None:
    """Where the factors are as coarse as they may be: at a tick of a power of two."""
    traded = {name: linear("0.134217728", "1", 0) for name in "ab"}
    terms = {"position_max": 1, "instruments": ["a", "b"], "threshold_bps": Decimal(-33) / 100_000}
    strategy: Any = Harness(CrossSpread, LEG_PARAMETERS | terms, traded).strategy
    assert is_certain(strategy, 0, 1, 1_000, 1_000)


COARSEST_E9 = 1 << 40


@pytest.mark.parametrize("tick_e9", [COARSEST_E9, 2 * COARSEST_E9 - 1])
def test_what_certainty_is_computed_of_is_precise_and_never_wraps(tick_e9: int) -> None:
    """Within a power of two of the coarsest tick; at the highest rates that may be asked for, and two held legs."""
    traded = {"a": linear(Decimal(tick_e9) / E9, "1", 0), "b": linear("0.1", "1", 1_000)}
    terms = {"position_max": 1, "instruments": ["a", "b"], "threshold_bps": 0}
    plain: Any = Harness(CrossSpread, LEG_PARAMETERS | terms, traded).strategy.factors[0]
    assert 1 << 27 <= plain.open_cost == plain.close_cost <= plain.sale <= 1 << 28
    assert plain.slack == 1
    traded["a"] = linear(Decimal(tick_e9) / E9, "1", 1_000)
    for each in traded.values():
        each.speed_bump_ns = 1
    terms |= {"threshold_bps": 5_000, "quote_adjustment_bps": {"a": 5_000}}
    factors: Any = Harness(CrossSpread, LEG_PARAMETERS | terms, traded).strategy.factors
    assert factors[0].open_cost < 1 << 30
    assert 2 * ((1 << 32) + (1 << 32)) + factors[0].slack + factors[1].slack < 1 << 63


@pytest.mark.parametrize("planned_in_lots", [1, 0])
@pytest.mark.parametrize("held_lots", [0, E9 - 1])
def test_the_least_size_that_there_is_is_traded(planned_in_lots: int, held_lots: int) -> None:
    """One lot of 1e-9 coins, also where just that much room is left."""
    traded = {name: linear("0.5", "0.000000001", 0) for name in "ab"}
    harness = Harness(CrossSpread, LEG_PARAMETERS | {"position_max": 1, "instruments": ["a", "b"]}, traded)
    harness.strategy.even_pairs *= planned_in_lots
    harness.desk.positions[0].position_lots = held_lots
    harness.set_book_ticks("a", [], [(2_000, 1)])
    harness.set_book_ticks("b", [(2_020, 1)], [])
    assert [(order.name, order.qty_lots) for order in harness.orders] == [("a", 1), ("b", 1)]


def test_prices_of_held_orders_are_never_certain() -> None:
    traded = {"a": linear("0.5", "0.02"), "b": linear("0.5", "0.02")}
    traded["b"].speed_bump_ns = 10_000_000
    terms = {"position_max": 1, "instruments": ["a", "b"]}
    strategy: Any = Harness(CrossSpread, LEG_PARAMETERS | terms, traded).strategy
    for buy, sell in ((0, 1), (1, 0)):
        assert not is_certain(strategy, buy, sell, 1, 1 << 32)


@pytest.mark.parametrize(("bought", "sold"), ["ab", "ba"])
@pytest.mark.parametrize("size_min", ["0", "0.06"])
def test_what_pays_for_certain_is_asked_for_before_it_is_entered(size_min: str, bought: str, sold: str) -> None:
    """Up to a size of just the least."""
    traded = {"a": linear("0.5", "0.02"), "b": linear("0.5", "0.02")}
    terms = {"position_max": 1, "instruments": ["a", "b"], "size_min": size_min}
    harness = Harness(CrossSpread, LEG_PARAMETERS | terms, traded)
    strategy, desk = harness.strategy, harness.desk
    harness.set_book(bought, asks=[("50000", "0.06")])
    harness.change_book(sold, bids=[("50500", "0.1")])
    on_book(strategy, desk, harness.index(sold))
    assert (desk.request_count, desk.catch_up_due) == (2, 1)
    assert [request.qty_lots for request in list(desk.requests)[:2]] == [3, 3]
    assert strategy.legs.trades[0].state == TradeState.FREE
    assert strategy.legs.opportunities.open_pairs == 0
    catch_up_if_due(strategy, desk)
    trade = strategy.legs.trades[0]
    assert (trade.state, trade.open_orders, trade.intended_e9) == (TradeState.WORKING, 2, 6 * 10**7)
    assert (trade.buy, trade.sell) == (harness.index(bought), harness.index(sold))
    assert trade.trade_id == desk.requests[0].trade_id == desk.requests[1].trade_id
    assert strategy.legs.opportunities.open_pairs != 0
    assert desk.catch_up_due == 0


def terms(draw: Any) -> dict[str, Any]:
    return LEG_PARAMETERS | {
        "threshold_bps": draw(st.sampled_from([-2, 0, 1, "1.9999"])),
        "close_threshold_bps": draw(st.sampled_from([-20, -2])),
        "size_max": draw(st.sampled_from(["0.02", "0.1", 1])),
        "size_min": draw(st.sampled_from([0, "0.011", "0.02"])),
        "position_max": draw(st.sampled_from([1, "1.02", 3])),
        "open_trades_max": draw(st.integers(1, 2)),
        "instruments": ["a", "b", "c"],
    }


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_strategy_does_the_same_either_way(data: st.DataObject) -> None:
    given_terms = terms(data.draw)
    both = []
    for planned_in_lots in (True, False):
        traded = {"a": linear("0.5", "0.02", 1), "b": linear("0.1", "0.02", 1), "c": linear("0.1", "0.01", 2)}
        harness = Harness(CrossSpread, given_terms, traded)
        strategy: Any = harness.strategy
        # c has lots of its own: its pairs are planned in money in any case.
        assert bin(strategy.even_pairs).count("1") == 2
        if not planned_in_lots:
            strategy.even_pairs = 0
        both.append(harness)
    started = 0
    answers = [fill(), fill(), fill(), fill(1), miss(), reject(), fill(after_ns=3_000_000)]
    for _ in range(data.draw(st.integers(3, 12))):
        name = data.draw(st.sampled_from("abbac"))
        bid = 500_000 + 5 * data.draw(st.integers(-50, 50))
        spread = 5 * data.draw(st.integers(1, 3))
        bid_size, ask_size = (data.draw(st.integers(1, 60)) for _ in range(2))
        sizes = [f"{size * 2 / 100:.2f}" for size in (bid_size, ask_size)]
        empty = data.draw(st.integers(0, 7))
        given_answers = data.draw(st.lists(st.sampled_from(answers), max_size=3))
        for harness in both:
            harness.answers += given_answers
            bids = [] if empty == 0 else [(f"{bid / 10:.1f}", sizes[0])]
            asks = [] if empty == 1 else [(f"{(bid + spread) / 10:.1f}", sizes[1])]
            harness.set_book(name, bids=bids, asks=asks)
            started += harness.strategy.started.lots != 0
    for harness in both:
        harness.finish()
    event("some started at once" if started else "none started at once")
    assert both[0].orders == both[1].orders
    assert both[0].trades == both[1].trades
    assert both[0].opportunities == both[1].opportunities


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_what_positions_leave_is_the_same_either_way(data: st.DataObject) -> None:
    """Positions and open orders a few lots from their limits and from flat, and levels of a few lots."""
    size_max, size_min = data.draw(st.sampled_from(SIZES))
    changes = {
        "position_max": "0.2",  # 10 lots
        "size_max": size_max,
        "size_min": size_min,
        "threshold_bps": data.draw(st.sampled_from([0, 30])),
        "close_threshold_bps": -100,
        "instruments": ["a", "b"],
    }
    limits = st.one_of(st.integers(-2, 2), st.integers(8, 12), st.integers(-12, -8))
    held = [(data.draw(limits), data.draw(st.integers(0, 2)), data.draw(st.integers(0, 2))) for _ in "ab"]
    lots = [data.draw(st.integers(1, 4)) for _ in range(4)]
    edge = data.draw(st.integers(-20, 60))
    found = []
    for planned_in_lots in (True, False):
        harness = Harness(
            CrossSpread, LEG_PARAMETERS | changes, {"a": linear("0.5", "0.02", 1), "b": linear("0.1", "0.02")}
        )
        strategy: Any = harness.strategy
        assert bin(strategy.even_pairs).count("1") == 2
        strategy.even_pairs *= int(planned_in_lots)
        for position, (position_lots, buying, selling) in zip(harness.desk.positions, held, strict=False):
            position.position_lots, position.open_buy_lots, position.open_sell_lots = position_lots, buying, selling
        sizes = [f"{size * 2 / 100:.2f}" for size in lots]
        harness.set_book("a", bids=[("50000.0", sizes[0])], asks=[("50000.5", sizes[1])])
        bid = f"{50000 + edge}.0"
        harness.set_book("b", bids=[(bid, sizes[2])], asks=[(f"{50000 + edge}.5", sizes[3])])
        harness.finish()
        found.append((harness.orders, harness.trades, harness.opportunities))
    assert found[0] == found[1]


def test_a_level_below_the_least_size_is_no_lack_of_room() -> None:
    """There is room for exactly the least size, two lots, and the level has one."""
    terms = {"position_max": "0.2", "size_max": "0.2", "size_min": "0.04", "instruments": ["a", "b"]}
    for planned_in_lots in (1, 0):
        harness = Harness(CrossSpread, LEG_PARAMETERS | terms, {"a": linear("0.5", "0.02"), "b": linear("0.5", "0.02")})
        harness.strategy.even_pairs *= planned_in_lots
        harness.desk.positions[0].position_lots = 8
        harness.set_book("a", asks=[("50000", "0.02")])
        harness.set_book("b", bids=[("50500", "0.02")])
        harness.finish()
        assert [row["blocked_by"] for row in harness.opportunities] == [Blocked.NO_SIZE]


def test_limits_that_are_no_whole_lots_are_planned_in_money() -> None:
    traded = {"a": linear("0.5", "0.02", 1), "b": linear("0.1", "0.02", 1)}
    for changes, pairs in (({}, 2), ({"size_max": "0.99"}, 0), ({"position_max": "2.01"}, 0), ({"depth": 2}, 0)):
        parameters = LEG_PARAMETERS | {"position_max": 2, "instruments": ["a", "b"]} | changes
        strategy: Any = Harness(CrossSpread, parameters, traded).strategy
        assert bin(strategy.even_pairs).count("1") == pairs
