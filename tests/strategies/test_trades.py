"""One trade's sums: what was traded in each state, how long one leg was ahead, and its record."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.strategies.trades import (
    Outcome,
    Trade,
    TradeState,
    book_fill,
    captured_e9,
    outcome_of,
    residual_e9,
    write_trade,
)
from crosswire.testing import START_NS
from crosswire.venues.side import BUY, SELL
from tests.support.leg_setup import make

STAGES = st.sampled_from([TradeState.WORKING, TradeState.RETRYING, TradeState.HEDGING, TradeState.UNWINDING])
FILLS = st.tuples(st.integers(0, 9), STAGES, st.sampled_from([BUY, SELL]), st.integers(1, 4), st.integers(-9, 9))


@given(st.lists(FILLS, max_size=12), st.integers(0, 3), st.integers(-3, 3), st.integers(0, 9))
def test_a_record_is_the_sum_of_the_fills(
    fills: list[tuple[int, TradeState, int, int, int]], tolerance_e9: int, carried_e9: int, rest_ns: int
) -> None:
    harness = make()
    desk = harness.desk
    trade = Trade(state=TradeState.WORKING, tolerance_e9=tolerance_e9, carried_e9=carried_e9)
    unhedged_ns, is_ahead = 0, False
    for wait_ns, stage, side, size_e9, cash_e9 in fills:
        desk.now_ns += wait_ns
        unhedged_ns += wait_ns * is_ahead
        book_fill(trade, desk, stage, side, size_e9, cash_e9)
        is_ahead = abs(residual_e9(trade)) > tolerance_e9
    desk.now_ns += rest_ns
    unhedged_ns += rest_ns * is_ahead
    bought, sold = (sum(size for _, _, side, size, _ in fills if side == each) for each in (BUY, SELL))
    assert residual_e9(trade) == carried_e9 + bought - sold
    by_stage = {stage: sum(size for _, each, _, size, _ in fills if each == stage) for stage in TradeState}
    assert trade.retried_e9 == by_stage[TradeState.RETRYING]
    assert trade.hedged_e9 == by_stage[TradeState.HEDGING]
    assert trade.unwound_e9 == by_stage[TradeState.UNWINDING]
    assert captured_e9(trade) == max(0, min(bought, sold) - by_stage[TradeState.UNWINDING])
    write_trade(trade, desk, 3, 4, 100, Outcome.RETRIED)
    (record,) = harness.trades
    assert (record["bought_size_e9"], record["sold_size_e9"], record["unhedged_ns"]) == (bought, sold, unhedged_ns)
    assert record["traded_value_e9"] == sum(cash for *_, cash in fills) + 100


def test_a_record_holds_what_the_trade_was_and_frees_its_place() -> None:
    harness = make()
    trade = Trade(
        state=TradeState.WORKING, trade_id=7, intended_e9=8, bought_e9=9, sold_e9=10, cash_e9=11, start_ns=12,
        expected_value_e9=13, retries=14, unhedged_ns=15, miss_cost_e9=16,
        first_buy_ticks=19, first_sell_ticks=20,
    )  # fmt: skip
    write_trade(trade, harness.desk, 17, 18, -1, Outcome.HEDGED)
    assert harness.trades == [
        {
            "trade_id": 7, "strategy": 0, "start_ns": 12, "end_ns": START_NS, "buy_instrument": 17,
            "sell_instrument": 18, "intended_size_e9": 8, "bought_size_e9": 9, "sold_size_e9": 10,
            "expected_value_e9": 13, "traded_value_e9": 10, "outcome": Outcome.HEDGED, "retries": 14,
            "unhedged_ns": 15, "miss_cost_e9": 16, "first_buy_ticks": 19, "first_sell_ticks": 20, "legs": 0,
        }
    ]  # fmt: skip
    assert trade.state == TradeState.FREE


@pytest.mark.parametrize(
    ("sums", "outcome"),
    [
        ({"state": TradeState.FAILED, "bought_e9": 5, "sold_e9": 5, "unwound_e9": 1}, Outcome.FAILED),
        ({}, Outcome.MISSED),
        ({"bought_e9": 5, "retried_e9": 1, "hedged_e9": 2, "unwound_e9": 1}, Outcome.UNWOUND),
        ({"sold_e9": 5, "retried_e9": 1, "hedged_e9": 2}, Outcome.HEDGED),
        ({"sold_e9": 1, "retried_e9": 1}, Outcome.RETRIED),
        ({"bought_e9": 1}, Outcome.COMPLETE),
    ],
)
def test_the_outcome_is_the_last_resort_that_was_used(sums: dict[str, int], outcome: Outcome) -> None:
    assert outcome_of(Trade(**({"state": TradeState.WORKING} | sums))) == outcome
