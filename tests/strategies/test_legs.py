"""Leg tracking: whatever becomes of single orders, a trade ends flat, or says so."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crosswire.strategies.desk import REQUESTS_MAX
from crosswire.strategies.interface import on_book
from crosswire.strategies.legs import pair_number, take_fill, take_order
from crosswire.strategies.opportunity import TRADES_MAX, Blocked
from crosswire.strategies.trades import Outcome
from crosswire.testing import (
    Answer,
    Harness,
    exact,
    fill,
    inverse,
    linear,
    miss,
    reject,
    veto,
)
from crosswire.venues.instrument import E9, Payoff
from crosswire.venues.order import OrderState, Report
from crosswire.venues.side import BUY, SELL
from tests.support.leg_setup import MS, make, open_edge, order_of, three


def value(harness: Harness) -> Fraction:
    """Money after fees of all fills of linear instruments, and what is left over at the price of 100."""
    total = Fraction(0)
    for order in harness.orders:
        instrument = harness.desk.instruments[order.instrument]
        for price_ticks, lots in order.fills:
            price, size = Fraction(price_ticks * instrument.tick_e9, E9), Fraction(lots * instrument.lot_e9, E9)
            fee = price * size * instrument.taker_fee_e9 / E9
            total += (price - 100) * size * (-1 if order.side == BUY else 1) - fee
    return total


def test_both_legs_filled() -> None:
    harness = make()
    open_edge(harness)
    harness.advance(MS)
    assert [(order.name, order.side, order.price_ticks, order.qty_lots) for order in harness.orders] == [
        ("a", BUY, 1000, 500),
        ("b", SELL, 1010, 500),
    ]
    (trade,) = harness.trades
    assert trade["outcome"] == Outcome.COMPLETE
    assert trade["bought_size_e9"] == trade["sold_size_e9"] == trade["intended_size_e9"] == E9 // 2
    assert trade["traded_value_e9"] == trade["expected_value_e9"] == int(value(harness) * E9)
    assert (trade["unhedged_ns"], trade["retries"], trade["miss_cost_e9"]) == (0, 0, 0)
    assert (trade["buy_instrument"], trade["sell_instrument"]) == (0, 1)


def test_unhedged_time_is_from_one_legs_fill_to_the_others() -> None:
    harness = make()
    harness.answers = [fill(after_ns=300), fill(after_ns=1_000)]
    open_edge(harness)
    harness.advance(MS)
    assert harness.trades[0]["unhedged_ns"] == 700


@pytest.mark.parametrize("missed", [miss(), reject(), veto()])
def test_a_missed_leg_is_retried_at_once_at_its_current_price(missed: Answer) -> None:
    harness = make()
    harness.answers = [fill(after_ns=5_000), missed]
    open_edge(harness)
    harness.change_book("b", bids=[("100.8", 5)], asks=[("101.1", 5)])
    harness.advance(MS)
    assert [(order.name, order.side, order.price_ticks, order.qty_lots) for order in harness.orders[2:]] == [
        ("b", SELL, 1008, 500)
    ]
    assert harness.orders[2].decision_ticks == 1010
    (trade,) = harness.trades
    assert (trade["outcome"], trade["retries"]) == (Outcome.RETRIED, 1)
    assert trade["miss_cost_e9"] == Fraction("0.2") * Fraction("0.5") * (1 - Fraction(1, 10_000)) * E9
    assert trade["traded_value_e9"] == trade["expected_value_e9"] - trade["miss_cost_e9"]


def test_a_partly_filled_leg_is_completed() -> None:
    harness = make()
    harness.answers = [fill(), fill(120), fill(300)]
    open_edge(harness)
    harness.advance(MS * 10)
    assert [(order.name, order.qty_lots) for order in harness.orders[2:]] == [("b", 380), ("b", 80)]
    assert harness.orders[3].sent_ns - harness.orders[2].sent_ns == 1_000_000  # retry_window_us / retries
    assert harness.trades[0]["outcome"] == Outcome.RETRIED
    assert harness.trades[0]["sold_size_e9"] == E9 // 2


def test_a_single_lot_is_completed() -> None:
    harness = make()
    harness.answers = [fill(), fill(499)]
    open_edge(harness)
    harness.advance(MS)
    assert [(order.name, order.qty_lots) for order in harness.orders[2:]] == [("b", 1)]


def test_no_retry_after_the_window() -> None:
    harness = make()
    harness.answers = [fill(), miss(), miss(after_ns=2 * MS + 1)]
    open_edge(harness)
    harness.advance(9 * MS)
    assert [order.name for order in harness.orders] == ["a", "b", "b", "a"]


def test_equal_partial_fills_are_complete() -> None:
    harness = make()
    harness.answers = [fill(120), fill(120)]
    open_edge(harness)
    harness.advance(MS)
    assert (len(harness.orders), harness.trades[0]["outcome"]) == (2, Outcome.COMPLETE)
    assert harness.trades[0]["bought_size_e9"] == harness.trades[0]["sold_size_e9"] == 120_000_000


def test_nothing_filled_is_missed() -> None:
    harness = make()
    harness.answers = [miss(), veto()]
    open_edge(harness)
    harness.advance(MS)
    assert (len(harness.orders), harness.trades[0]["outcome"]) == (2, Outcome.MISSED)
    assert harness.trades[0]["miss_cost_e9"] == 0


def test_after_the_retries_the_leg_is_hedged_elsewhere() -> None:
    harness = make(three(), unwind_loss_max_bps=150)
    harness.answers = [fill(), miss(), miss(), miss()]
    open_edge(harness)
    harness.advance(MS * 10)
    assert [order.name for order in harness.orders] == ["a", "b", "b", "b", "c"]
    assert harness.trades[0]["outcome"] == Outcome.HEDGED
    assert (harness.position_lots("a"), harness.position_lots("b"), harness.position_lots("c")) == (500, 0, -500)


def test_no_hedge_beyond_the_position_limit() -> None:
    harness = make(three(), unwind_loss_max_bps=150, position_max=1)
    harness.desk.positions[2].position_lots = -501
    harness.answers = [fill(), miss(), miss(), miss()]
    open_edge(harness)
    harness.advance(MS * 10)
    assert [order.name for order in harness.orders] == ["a", "b", "b", "b", "a"]


def test_no_hedge_beyond_the_loss_limit() -> None:
    harness = make(three(), unwind_loss_max_bps=50)  # c's bid is 100 bps below what was decided on
    harness.answers = [fill(), miss(), miss(), miss()]
    open_edge(harness)
    harness.advance(MS * 10)
    assert [order.name for order in harness.orders] == ["a", "b", "b", "b", "a"]
    assert harness.trades[0]["outcome"] == Outcome.UNWOUND


def test_no_retry_beyond_the_loss_limit() -> None:
    harness = make()
    harness.answers = [fill(after_ns=5_000), miss()]
    open_edge(harness)
    harness.change_book("b", bids=[("100.4", 5)], asks=[("101.1", 5)])
    harness.advance(MS)
    assert [(order.name, order.side) for order in harness.orders[2:]] == [("a", SELL)]


def test_the_filled_leg_is_unwound_until_flat() -> None:
    harness = make(retries=0)
    harness.answers = [fill(), miss(), fill(100), miss(), fill()]
    open_edge(harness)
    harness.advance(MS * 90)
    unwinding = harness.orders[2:]
    assert [(order.name, order.side, order.price_ticks, order.qty_lots) for order in unwinding] == [
        ("a", SELL, 999 - 5, 500),
        ("a", SELL, 999 - 5, 400),
        ("a", SELL, 999 - 5, 400),
    ]
    assert unwinding[2].sent_ns - unwinding[1].sent_ns == 10 * MS
    (trade,) = harness.trades
    assert trade["outcome"] == Outcome.UNWOUND
    assert trade["traded_value_e9"] == int(value(harness) * E9)
    assert trade["miss_cost_e9"] == trade["expected_value_e9"] - trade["traded_value_e9"]
    assert harness.position_lots("a") == harness.position_lots("b") == 0
    assert trade["unhedged_ns"] == trade["end_ns"] - trade["start_ns"] - 1


def test_a_lost_book_is_unwound_where_there_is_a_price() -> None:
    harness = make(three(), retries=0, unwind_loss_max_bps=0)
    harness.answers = [fill(after_ns=9_000), miss(after_ns=9_000)]
    open_edge(harness)
    harness.lose_book("a")
    harness.advance(MS)
    assert [order.name for order in harness.orders] == ["a", "b", "b"]
    assert harness.trades[0]["outcome"] == Outcome.UNWOUND


def test_give_up_is_an_alarm_and_stops_until_flat() -> None:
    harness = make()
    harness.answers = [fill()]
    harness.otherwise = miss()
    open_edge(harness)
    harness.advance(99 * MS)
    legs = harness.strategy.legs
    assert (legs.alarms, legs.failed, harness.trades) == (0, 0, [])
    harness.advance(2 * MS)
    assert (legs.alarms, legs.failed, harness.trades) == (1, 1, [])
    open_edge(harness)
    assert all(order.trade_id == 1 for order in harness.orders)  # nothing new is started
    harness.otherwise = fill()
    harness.advance(150 * MS)
    assert (legs.alarms, legs.failed) == (1, 0)
    assert [trade["outcome"] for trade in harness.trades] == [Outcome.FAILED]
    assert harness.position_lots("a") == 0
    harness.set_book("b", bids=[("100.0", 5)], asks=[("101.0", 5)])
    open_edge(harness)
    assert {order.trade_id for order in harness.orders} == {1, 2}


def test_an_order_without_an_answer_is_an_alarm() -> None:
    harness = make()
    harness.answers = [fill(), fill(after_ns=500 * MS)]
    open_edge(harness)
    harness.advance(200 * MS)
    assert harness.strategy.legs.alarms == 1
    assert len(harness.orders) == 2  # it may still be filled: nothing else is sent
    harness.advance(400 * MS)
    assert [trade["outcome"] for trade in harness.trades] == [Outcome.FAILED]
    assert harness.position_lots("a") == -harness.position_lots("b") == 500


def test_the_end_of_the_run_closes_the_records() -> None:
    harness = make()
    harness.answers = [fill(), fill(after_ns=MS)]
    open_edge(harness)
    harness.advance(1_000)
    harness.finish()
    (trade,) = harness.trades
    assert trade["outcome"] == Outcome.UNFINISHED
    assert (trade["bought_size_e9"], trade["sold_size_e9"]) == (E9 // 2, 0)
    assert trade["unhedged_ns"] == 999
    assert len(harness.opportunities) == 1


def test_what_lots_leave_over_never_adds_up() -> None:
    harness = make({"a": linear(lot="0.001"), "b": inverse(tick="0.1", lot=100)}, position_max=10_000)
    for turn in range(40):
        harness.set_book("a", bids=[(30_000 + turn, 5)], asks=[(30_001 + turn, "0.73")])
        harness.set_book("b", bids=[(30_100 + 7 * turn, 500_000)], asks=[(31_000, 500_000)])
        harness.advance(MS)
        carry = net_e9(harness)
        assert carry == harness.strategy.legs.carry_e9
        assert abs(carry) <= 1_000_000  # a lot of the finer side
    assert len(harness.trades) == 40
    assert {trade["outcome"] for trade in harness.trades} == {Outcome.COMPLETE}


def fills_e9(harness: Harness, trade_id: int | None, side: int) -> int:
    """The base coin of all fills of one side, computed from the orders."""
    total = 0
    for order in harness.orders:
        if order.side == side and trade_id in (None, order.trade_id):
            instrument = harness.desk.instruments[order.instrument]
            for price_ticks, lots in order.fills:
                size = exact(lots * instrument.lot_e9)
                if instrument.payoff == Payoff.INVERSE:
                    size = size * E9 / (price_ticks * instrument.tick_e9)
                total += int(size)
    return total


def net_e9(harness: Harness) -> int:
    return fills_e9(harness, None, BUY) - fills_e9(harness, None, SELL)


ANSWERS = st.one_of(
    st.builds(fill, after_ns=st.integers(1, 3_000_000)),
    st.builds(fill, lots=st.integers(0, 900), after_ns=st.integers(1, 3_000_000)),
    st.builds(fill, lots=st.integers(0, 900), after_ns=st.integers(1, 200_000_000)),
    st.builds(miss, after_ns=st.integers(1, 3_000_000)),
    st.builds(reject, after_ns=st.integers(1, 3_000_000)),
    st.just(veto()),
)
MIXED = {
    "a": linear(lot="0.001", taker_fee_bps=1),
    "b": inverse(tick="0.1", lot=100, taker_fee_bps=1),
    "c": linear(tick="0.01", lot="0.00001", taker_fee_bps=1),
}
COARSEST_E9 = 100 * E9 // 29_800  # one lot of b at the lowest price below


@settings(max_examples=25)
@given(
    st.lists(st.sampled_from(["a", "b", "c", "a", "b", "lose a", "lose b", "wait"]), min_size=12, max_size=24),
    st.lists(ANSWERS, min_size=12, max_size=40),
    st.lists(st.integers(-150, 150), min_size=24, max_size=24),
    st.integers(0, 3),
    st.integers(0, 2),
)
def test_any_answers_end_flat_or_with_an_alarm(
    moves: list[str], answers: list[Answer], prices: list[int], retries: int, slippage_ticks: int
) -> None:
    harness = make(MIXED, retries=retries, slippage_ticks=slippage_ticks, open_trades_max=2)
    harness.answers = list(answers)
    for move, price in zip(moves, prices, strict=False):
        if move == "wait":
            harness.advance(7 * MS)
        elif move.startswith("lose"):
            harness.lose_book(move[-1])
        else:
            size = 50_000 if move == "b" else 2
            harness.set_book(move, bids=[(30_000 + price, size)], asks=[(30_001 + price, size)])
    for name, size in (("a", 9), ("b", 300_000), ("c", 9)):
        harness.change_book(name, bids=[(30_000, size)], asks=[(30_001, size)])
    harness.answers = []
    harness.advance(2_000 * MS)
    legs = harness.strategy.legs
    trades = {trade["trade_id"]: trade for trade in harness.trades}
    assert len(trades) == len(harness.trades) == harness.desk.last_trade_id  # each once
    for trade_id, trade in trades.items():
        assert trade["bought_size_e9"] == fills_e9(harness, trade_id, BUY)
        assert trade["sold_size_e9"] == fills_e9(harness, trade_id, SELL)
        if trade["outcome"] == Outcome.MISSED:
            assert trade["bought_size_e9"] == trade["sold_size_e9"] == 0
    assert legs.alarms == sum(trade["outcome"] == Outcome.FAILED for trade in trades.values())
    assert legs.failed == 0
    assert legs.carry_e9 == net_e9(harness)
    # Trades of three pairs, two of each at once, may each leave 5/8 of a lot; the next ones correct it.
    assert abs(legs.carry_e9) <= 6 * COARSEST_E9 * 5 // 8
    assert all(pair.in_flight == 0 for pair in legs.pairs)
    harness.finish()
    assert len(harness.trades) == len(trades)
    assert sum(row["attempts"] for row in harness.opportunities) == len(trades)
    assert all(row["captured_size_e9"] >= 0 for row in harness.opportunities)


def test_what_is_not_of_a_trade_moves_none() -> None:
    harness = make()
    harness.otherwise = fill(after_ns=50 * MS)
    open_edge(harness)
    legs, desk = harness.strategy.legs, harness.desk
    for changes in ({"trade_id": 0}, {"trade_id": 2}, {"state": OrderState.PENDING_CANCEL}, {"state": OrderState.LIVE}):
        take_order(legs, desk, order_of(harness, 0, **changes))
    assert legs.trades[0].open_orders == 2
    take_fill(legs, desk, order_of(harness, 0, trade_id=0), Report(side=BUY, price_ticks=1000, qty_lots=7))
    assert (legs.carry_e9, legs.alarms, legs.trades[0].bought_e9) == (0, 0, 0)


def test_a_fill_after_its_trades_end_is_an_alarm_and_carried() -> None:
    harness = make()
    open_edge(harness)
    harness.advance(MS)
    legs, desk = harness.strategy.legs, harness.desk
    take_fill(legs, desk, order_of(harness, 0), Report(side=BUY, price_ticks=1000, qty_lots=7))
    assert (legs.carry_e9, legs.alarms) == (7 * E9 // 1000, 1)
    take_fill(legs, desk, order_of(harness, 1), Report(side=SELL, price_ticks=1010, qty_lots=9))
    assert (legs.carry_e9, legs.alarms) == (-2 * E9 // 1000, 2)
    harness.otherwise = miss(after_ns=50 * MS)
    harness.set_book("b", bids=[("100.0", 5)], asks=[("101.0", 5)])
    open_edge(harness)  # another trade is at the same place
    carried_e9 = legs.trades[0].carried_e9
    take_fill(legs, desk, order_of(harness, 0), Report(side=BUY, price_ticks=1000, qty_lots=1))
    assert (carried_e9, legs.carry_e9, legs.alarms) == (-2 * E9 // 1000, E9 // 1000, 3)
    assert legs.trades[0].bought_e9 == 0


def test_a_failed_trade_stops_other_pairs_too() -> None:
    harness = make(three())
    harness.answers = [fill()]
    harness.otherwise = miss()
    open_edge(harness)
    harness.advance(101 * MS)
    assert harness.strategy.legs.failed == 1
    harness.set_book("c", bids=[("103.0", 5)], asks=[("103.1", 5)])
    assert {order.trade_id for order in harness.orders} == {1}


@pytest.mark.parametrize(("late_ns", "is_started"), [(0, True), (1, False)])
def test_a_book_may_be_as_old_as_it_says(late_ns: int, is_started: bool) -> None:
    harness = make(book_age_max_ms=1)
    harness.set_book("a", bids=[("99.9", 5)], asks=[("100.0", 5)])
    harness.advance(MS - harness.step_ns + late_ns)
    harness.set_book("b", bids=[("101.0", 5)], asks=[("101.1", 5)])
    assert bool(harness.orders) == is_started


@pytest.mark.parametrize(("taken", "asked"), [(REQUESTS_MAX - 2, REQUESTS_MAX), (REQUESTS_MAX - 1, REQUESTS_MAX - 1)])
def test_both_legs_are_asked_for_or_none(taken: int, asked: int) -> None:
    harness = make()
    harness.set_book("a", bids=[("99.9", 5)], asks=[("100.0", 5)])
    harness.change_book("b", bids=[("101.0", 5)], asks=[("101.1", 5)])
    harness.desk.request_count = taken
    on_book(harness.strategy, harness.desk, 1)
    assert (harness.desk.request_count, harness.desk.requests_dropped) == (asked, 0)
    harness.finish()
    assert harness.opportunities[0]["blocked_by"] == (Blocked.NONE if asked > taken else Blocked.NO_REQUEST)


def test_so_many_trades_are_in_flight_and_no_more() -> None:
    harness = make(open_trades_max=2 * TRADES_MAX, cooldown_us=0, position_max=1000)
    harness.otherwise = miss(after_ns=90 * MS)
    for _ in range(TRADES_MAX + 2):
        open_edge(harness)
    assert len(harness.orders) == 2 * TRADES_MAX
    assert harness.strategy.legs.pairs[pair_number(0, 1)].in_flight == TRADES_MAX
    assert {trade.trade_id for trade in harness.strategy.legs.trades} == set(range(1, TRADES_MAX + 1))


@pytest.mark.parametrize(("name", "held"), [("a", 800), ("b", -800)])
def test_a_trade_is_no_larger_than_either_position_may_grow(name: str, held: int) -> None:
    harness = make(position_max=1)
    harness.desk.positions[harness.index(name)].position_lots = held
    open_edge(harness)
    assert [order.qty_lots for order in harness.orders] == [200, 200]


def missing_buy(harness: Harness) -> None:
    """Sell b, and buy neither a nor, instead of it, d."""
    harness.decide = lambda sent: miss() if sent.name in ("a", "d") else fill()
    for name in harness.names[2:]:
        harness.set_book(name, bids=[("99.5", 5)], asks=[("101.2" if name == "c" else "100.5", 5)])
    harness.set_book("a", bids=[("99.9", 5)], asks=[("100.0", "0.5")])
    harness.set_book("b", bids=[("101.0", "0.5")], asks=[("102.0", 5)])
    harness.advance(20 * MS)


def test_what_is_still_to_be_bought_is_tried_where_it_is_cheapest_as_often_as_there_are_others() -> None:
    harness = make({name: linear(taker_fee_bps=1) for name in "abcd"}, unwind_loss_max_bps=150, retries=1)
    missing_buy(harness)
    assert [(order.name, order.side) for order in harness.orders] == [
        ("a", BUY), ("b", SELL), ("a", BUY), ("d", BUY), ("d", BUY), ("b", BUY),
    ]  # fmt: skip
    assert harness.orders[2].decision_ticks == 1000
    assert harness.trades[0]["outcome"] == Outcome.UNWOUND


@pytest.mark.parametrize(("loss_bps", "held", "name"), [(110, 0, "b"), (150, 0, "c"), (150, 500, "c"), (150, 501, "b")])
def test_a_hedge_that_buys_has_its_limits_too(loss_bps: int, held: int, name: str) -> None:
    """c asks 120 bps more than what was decided on, of which 0.5 coins are missing."""
    harness = make(three(), unwind_loss_max_bps=loss_bps, retries=0, position_max=1)
    harness.desk.positions[2].position_lots = held
    missing_buy(harness)
    assert [(order.name, order.side) for order in harness.orders[2:]] == [(name, BUY)]


@pytest.mark.parametrize(("short_lots", "orders"), [(5, 2), (6, 3)])
def test_five_eighths_of_the_coarser_lot_are_flat(short_lots: int, orders: int) -> None:
    harness = make({"a": linear(lot="0.008", taker_fee_bps=1), "b": linear(taker_fee_bps=1)})
    harness.set_book("a", bids=[("99.9", 8)], asks=[("100.0", "0.8")])
    harness.answers = [fill(), fill(800 - short_lots)]
    harness.set_book("b", bids=[("101.0", "0.8")], asks=[("101.1", 5)])
    harness.advance(MS)
    assert len(harness.orders) == orders


def test_a_retry_at_the_end_of_its_window() -> None:
    harness = make()
    harness.answers = [fill(), miss(), miss(after_ns=2 * MS)]
    open_edge(harness)
    harness.advance(9 * MS)
    assert [order.name for order in harness.orders] == ["a", "b", "b", "b"]


def test_a_trade_is_given_up_when_its_time_is_up() -> None:
    harness = make()
    harness.answers = [fill()]
    harness.otherwise = miss()
    open_edge(harness)
    harness.advance(100 * MS - 1)
    assert harness.strategy.legs.alarms == 0
    harness.advance(1)
    assert harness.strategy.legs.alarms == 1


def test_what_the_desk_does_not_take_now_is_unwound_later() -> None:
    harness = make()
    harness.answers = [fill(), miss(after_ns=50 * MS)]
    open_edge(harness)
    harness.advance(1_000)
    harness.desk.request_count = REQUESTS_MAX
    take_order(harness.strategy.legs, harness.desk, order_of(harness, 1))
    harness.desk.request_count = 0
    assert len(harness.orders) == 2
    harness.advance(11 * MS)
    assert [(order.name, order.side) for order in harness.orders[2:]] == [("a", SELL)]


def test_a_leg_is_retried_at_a_price_of_one_tick() -> None:
    harness = make(slippage_ticks=0)
    harness.answers = [miss(), fill()]
    harness.set_book("a", bids=[], asks=[("0.1", 5)])
    harness.set_book("b", bids=[("0.3", 5)], asks=[("0.4", 5)])
    harness.advance(MS)
    assert [(order.name, order.price_ticks) for order in harness.orders[2:]] == [("a", 1)]


def test_a_lost_book_ends_its_opportunities() -> None:
    harness = make(three())
    harness.otherwise = miss()
    open_edge(harness)
    harness.advance(MS)
    assert harness.opportunities == []
    harness.lose_book("c")
    assert [row["sell_instrument"] for row in harness.opportunities] == []
    harness.lose_book("b")
    assert [row["sell_instrument"] for row in harness.opportunities] == [1]


@pytest.mark.parametrize(
    "answers",
    [
        [fill(after_ns=300), fill(after_ns=1_000)],
        [fill(after_ns=300), miss(after_ns=1_000), miss(), fill()],
        [fill(after_ns=300), miss(after_ns=1_000), miss(), miss(), fill(200), fill()],
        [fill(after_ns=300), miss(after_ns=1_000), miss(), miss(), miss(), fill()],
        [fill(after_ns=300), fill(100, after_ns=1_000), fill(100), miss(), fill(50), miss(), fill(), fill()],
        [miss(), miss()],
    ],
)
def test_a_place_that_is_used_again_knows_nothing_of_its_last_trade(answers: list[Answer]) -> None:
    harness = make(three())
    seen = []
    for _ in range(2):
        first, begun_ns = len(harness.orders), harness.desk.now_ns
        harness.answers = list(answers)
        open_edge(harness)
        harness.advance(90 * MS)
        trade = dict(harness.trades[-1])
        times = [trade.pop(name) - begun_ns for name in ("start_ns", "end_ns")]
        trade.pop("trade_id")
        orders = [
            (order.name, order.side, order.price_ticks, order.qty_lots, order.sent_ns - begun_ns, order.fills)
            for order in harness.orders[first:]
        ]
        seen.append((trade, times, orders))
        for name in "abc":
            harness.set_book(name, bids=[("100.0", 5)], asks=[("100.1", 5)])
    assert len(harness.trades) == 2
    assert seen[0] == seen[1]
    assert harness.strategy.legs.alarms == 0


@pytest.mark.parametrize(("after_ns", "orders"), [(4_999, 2), (5_000, 4)])
def test_a_pair_rests_for_its_cooldown_and_no_longer(after_ns: int, orders: int) -> None:
    harness = make(cooldown_us=5)
    open_edge(harness)
    start_ns = harness.desk.now_ns
    assert len(harness.orders) == 2
    harness.set_book("a", bids=[("99.9", 5)], asks=[("100.0", "0.5")])
    harness.advance(start_ns + after_ns - harness.step_ns - harness.desk.now_ns)
    harness.set_book("b", bids=[("101.0", "0.5")], asks=[("101.1", 5)])
    assert (harness.desk.now_ns - start_ns, len(harness.orders)) == (after_ns, orders)


def test_each_pair_has_a_number_of_its_own_in_either_order() -> None:
    numbers = {pair_number(first, second) for first in range(8) for second in range(first + 1, 8)}
    assert len(numbers) == 28
    assert all(pair_number(first, second) == pair_number(second, first) for first in range(8) for second in range(8))


def test_a_missed_purchase_is_measured_by_the_price_decided_on() -> None:
    harness = make()
    harness.answers = [miss(after_ns=5_000), fill()]
    open_edge(harness)
    harness.change_book("a", bids=[("99.9", 5)], asks=[("100.2", 5)])
    harness.advance(MS)
    (again,) = harness.orders[2:]
    assert (again.name, again.side, again.price_ticks, again.decision_ticks) == ("a", BUY, 1002, 1000)
    assert harness.trades[0]["miss_cost_e9"] == Fraction("0.2") * Fraction("0.5") * (1 + Fraction(1, 10_000)) * E9
