"""A missed leg: where it is done instead, at what price, and what the next trade knows of it."""

import pytest

from crosswire.strategies.legs import take_fill
from crosswire.strategies.opportunity import TRADES_MAX, Blocked
from crosswire.strategies.trades import Outcome
from crosswire.testing import Answer, Harness, fill, linear, miss
from crosswire.venues.instrument import E9
from crosswire.venues.order import Report
from crosswire.venues.side import BUY, SELL
from tests.support.leg_setup import MS, make, open_edge, order_of, three


def free(names: str) -> dict[str, object]:
    """Linear instruments without fees."""
    return {name: linear(taker_fee_bps=0) for name in names}


def test_alarms_are_told_for_good_and_failed_trades_until_they_are_flat() -> None:
    harness = make()
    harness.answers = [fill()]
    harness.otherwise = miss()
    open_edge(harness)
    harness.advance(101 * MS)
    counters = harness.strategy.counters()
    assert (counters["strategy: alarms"], counters["strategy: failed trades not flat"]) == (1, 1)
    harness.otherwise = fill()
    harness.advance(150 * MS)
    counters = harness.strategy.counters()
    assert (counters["strategy: alarms"], counters["strategy: failed trades not flat"]) == (1, 0)


# Up to which price.


@pytest.mark.parametrize(
    ("slippage_ticks", "ask", "name"), [(0, "100.5", "a"), (0, "100.6", "b"), (2, "100.3", "a"), (2, "100.4", "b")]
)
def test_a_missing_purchase_may_cost_just_so_much(slippage_ticks: int, ask: str, name: str) -> None:
    """50 bps of the 100 decided on, at the worst price that the order may trade at."""
    harness = make(free("ab"), slippage_ticks=slippage_ticks)
    harness.answers = [miss(after_ns=5_000), fill()]
    open_edge(harness)
    harness.change_book("a", bids=[("99.0", 5)], asks=[(ask, 5)])
    harness.advance(MS)
    assert [(order.name, order.side) for order in harness.orders[2:]] == [(name, BUY)]


@pytest.mark.parametrize(
    ("slippage_ticks", "bid", "name"), [(0, "99.5", "b"), (0, "99.4", "a"), (2, "99.7", "b"), (2, "99.6", "a")]
)
def test_a_missing_sale_may_bring_just_so_little(slippage_ticks: int, bid: str, name: str) -> None:
    harness = make(free("ab"), slippage_ticks=slippage_ticks)
    harness.answers = [fill(), miss(after_ns=5_000)]
    harness.set_book("a", bids=[("98.9", 5)], asks=[("99.0", "0.5")])
    harness.set_book("b", bids=[("100.0", "0.5")], asks=[("100.1", 5)])
    harness.change_book("b", bids=[(bid, 5)], asks=[("100.1", 5)])
    harness.advance(MS)
    assert [(order.name, order.side) for order in harness.orders[2:]] == [(name, SELL)]


@pytest.mark.parametrize(("missed", "unwound", "side"), [("a", "b", BUY), ("b", "a", SELL)])
def test_a_leg_whose_book_is_lost_is_not_retried(missed: str, unwound: str, side: int) -> None:
    harness = make()
    harness.decide = lambda sent: miss(after_ns=9_000) if sent.name == missed else fill()
    open_edge(harness)
    harness.lose_book(missed)
    harness.advance(MS)
    assert [(order.name, order.side) for order in harness.orders[2:]] == [(unwound, side)]


def test_orders_are_measured_by_the_price_that_they_were_decided_at() -> None:
    """A leg's own order by the trade's, all others by the best price when they were sent."""
    harness = make(three(), unwind_loss_max_bps=150, retries=1)
    harness.decide = lambda sent: fill() if sent.name == "a" else miss()
    open_edge(harness)
    harness.advance(20 * MS)
    assert [(order.name, order.side, order.decision_ticks) for order in harness.orders] == [
        ("a", BUY, 1000), ("b", SELL, 1010), ("b", SELL, 1010), ("c", SELL, 1000), ("a", SELL, 999),
    ]  # fmt: skip
    harness = make(three(), unwind_loss_max_bps=200, retries=1)
    harness.decide = lambda sent: fill() if sent.name == "b" else miss()
    open_edge(harness)
    harness.advance(20 * MS)
    assert [(order.name, order.side, order.decision_ticks) for order in harness.orders] == [
        ("a", BUY, 1000), ("b", SELL, 1010), ("a", BUY, 1000), ("c", BUY, 1015), ("b", BUY, 1011),
    ]  # fmt: skip


# Where.


def test_of_two_as_good_the_first_is_the_hedge() -> None:
    harness = make(free("abcd"), unwind_loss_max_bps=150, retries=0)
    harness.answers = [fill(), miss()]
    harness.set_book("d", bids=[("100.0", 5)], asks=[("101.5", 5)])
    open_edge(harness)
    harness.advance(MS)
    assert [order.name for order in harness.orders[2:]] == ["c"]


def test_less_than_half_a_lot_is_not_hedged_but_unwound_at_once() -> None:
    harness = make(three() | {"c": linear(lot=5, taker_fee_bps=1)}, unwind_loss_max_bps=150, retries=0)
    harness.answers = [fill(), miss()]
    open_edge(harness)
    harness.advance(MS)
    assert [(order.name, order.side, order.qty_lots) for order in harness.orders[2:]] == [("a", SELL, 500)]
    assert harness.trades[0]["outcome"] == Outcome.UNWOUND


def test_what_is_unwound_elsewhere_needs_no_room() -> None:
    harness = make(three(), retries=0, unwind_loss_max_bps=0, position_max=1)
    harness.answers = [fill(after_ns=9_000), miss(after_ns=9_000)]
    open_edge(harness)
    harness.lose_book("a")
    for position in (1, 2):
        harness.desk.positions[position].position_lots = -2_000
    harness.advance(MS)
    assert [(order.name, order.side) for order in harness.orders[2:]] == [("b", SELL)]


def test_a_lot_of_the_smallest_unit_is_missed_too() -> None:
    small = {name: linear(tick=1, lot="0.000000001", taker_fee_bps=0) for name in "ab"}
    harness = make(small)
    harness.answers = [fill(), miss()]
    harness.set_book("a", bids=[(99, 1)], asks=[(100, "0.000000001")])
    harness.set_book("b", bids=[(102, "0.000000001")], asks=[(103, 1)])
    harness.advance(MS)
    assert [(order.name, order.side, order.qty_lots) for order in harness.orders[2:]] == [("b", SELL, 1)]


# What a trade knows of those before it.


def another(harness: Harness, answers: list[Answer]) -> None:
    """Close the edge and open it again."""
    for name in harness.names:
        harness.set_book(name, bids=[("100.0", 5)], asks=[("100.1", 5)])
    harness.answers = answers
    open_edge(harness)


@pytest.mark.parametrize(
    ("answers", "outcome"),
    [
        ([fill(), miss(), fill()], Outcome.RETRIED),
        ([fill(), miss(), miss(), miss(), fill()], Outcome.HEDGED),
        ([fill(), miss(), miss(), miss(), miss(), fill()], Outcome.UNWOUND),
    ],
)
def test_a_trade_is_not_called_what_the_last_at_its_place_was(answers: list[Answer], outcome: Outcome) -> None:
    harness = make(three(), unwind_loss_max_bps=150)
    harness.answers = list(answers)
    open_edge(harness)
    harness.advance(20 * MS)
    another(harness, [])
    harness.advance(MS)
    another(harness, list(answers))
    harness.advance(20 * MS)
    assert [trade["outcome"] for trade in harness.trades] == [outcome, Outcome.COMPLETE, outcome]


def test_a_trade_need_not_wait_for_what_the_last_at_its_place_waited_for() -> None:
    harness = make()
    harness.answers = [fill(), miss(), fill()]
    open_edge(harness)  # the next retry would be a millisecond later
    harness.advance(2_000)
    assert len(harness.trades) == 1
    another(harness, [fill(), miss(), fill()])
    harness.advance(2_000)
    assert [trade["outcome"] for trade in harness.trades] == [Outcome.RETRIED] * 2


def test_a_trade_that_misses_both_legs_leaves_what_it_should_have_corrected() -> None:
    harness = make()
    open_edge(harness)
    harness.advance(MS)
    late = Report(side=BUY, price_ticks=1000, qty_lots=7)
    take_fill(harness.strategy.legs, harness.desk, order_of(harness, 0), late)
    another(harness, [miss(), miss()])
    harness.advance(20 * MS)
    assert [trade["outcome"] for trade in harness.trades] == [Outcome.COMPLETE, Outcome.MISSED]
    assert (len(harness.orders), harness.strategy.legs.carry_e9) == (4, 7 * E9 // 1000)


def test_another_pair_is_told_that_no_place_is_free() -> None:
    harness = make(free("abc"), open_trades_max=2 * TRADES_MAX, cooldown_us=0)
    harness.otherwise = miss(after_ns=90 * MS)
    for _ in range(TRADES_MAX):
        open_edge(harness)
    harness.set_book("c", bids=[("103.0", 5)], asks=[("103.1", 5)])
    harness.finish()
    blocked = {(row["buy_instrument"], row["sell_instrument"]): row["blocked_by"] for row in harness.opportunities}
    assert blocked[0, 1] == Blocked.NONE
    assert blocked[1, 2] == Blocked.IN_FLIGHT
