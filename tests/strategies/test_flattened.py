"""An operator has had the positions traded away: no strategy repairs, leaves or unwinds what is not there any more."""

from collections.abc import Callable

import pytest

from crosswire.strategies.hold import HoldState
from crosswire.strategies.trades import Outcome
from crosswire.testing import Harness, fill, miss
from crosswire.venues.side import BUY, SELL
from tests.strategies import test_basis, test_maker_taker
from tests.support import cycle_setup, lead_lag_setup, leg_setup

MS = 1_000_000


def one_leg_missing() -> Harness:
    """A cross-spread trade whose second leg can't be had; the first is unwound in vain."""
    harness = leg_setup.make(retries=0)
    harness.answers, harness.otherwise = [fill(), miss()], miss()
    leg_setup.open_edge(harness)
    return harness


def one_of_three_missing() -> Harness:
    harness = cycle_setup.make()
    harness.answers, harness.otherwise = [fill(), fill(), miss()], miss()
    cycle_setup.open_edge(harness)
    return harness


def one_quote_not_hedged() -> Harness:
    harness = test_maker_taker.quoting()
    harness.otherwise = miss()
    harness.fill(harness.resting("q")[0])
    return harness


@pytest.mark.parametrize("make", [one_leg_missing, one_of_three_missing, one_quote_not_hedged])
def test_a_trade_under_way_is_not_repaired_once_it_was_flattened(make: Callable[[], Harness]) -> None:
    harness = make()
    harness.advance(MS)
    assert harness.trades == []
    sent = len(harness.orders)
    harness.flatten()
    (trade,) = harness.trades
    assert trade["outcome"] == Outcome.UNFINISHED
    harness.otherwise = fill()
    harness.advance(300 * MS)  # beyond its retries and unwinding, and beyond giving up
    assert [order for order in harness.orders[sent:] if order.trade_id == trade["trade_id"]] == []
    assert (harness.strategy.legs.alarms, harness.strategy.legs.carry_e9) == (0, 0)
    assert [pair.in_flight for pair in harness.strategy.legs.pairs if pair.in_flight] == []


@pytest.mark.parametrize("make", [one_leg_missing, one_of_three_missing, one_quote_not_hedged])
def test_without_that_it_is(make: Callable[[], Harness]) -> None:
    harness = make()
    harness.advance(MS)
    sent = len(harness.orders)
    harness.advance(300 * MS)
    assert len(harness.orders) > sent


def test_a_trade_that_was_not_flat_in_time_stops_nothing_once_it_was_flattened() -> None:
    harness = one_leg_missing()
    harness.advance(150 * MS)
    legs = harness.strategy.legs
    assert (legs.failed, legs.alarms) == (1, 1)
    harness.flatten()
    assert (legs.failed, legs.alarms, harness.trades[0]["outcome"]) == (0, 1, Outcome.FAILED)


def test_a_fill_that_comes_later_is_an_alarm_and_made_up_for() -> None:
    """Of an order that had not been answered: nobody else counts it."""
    harness = leg_setup.make()
    harness.answers = [fill(after_ns=10 * MS), miss()]
    leg_setup.open_edge(harness)
    harness.advance(MS)
    harness.flatten()
    harness.advance(20 * MS)
    assert harness.strategy.legs.alarms == 1
    assert harness.strategy.legs.carry_e9 == 500_000_000


def test_what_rests_is_cancelled_and_quoted_again_later() -> None:
    harness = test_maker_taker.quoting()
    harness.fill(harness.resting("q")[0])
    harness.advance(MS)
    harness.flatten()
    assert (harness.resting("q"), [harness.position_lots(name) for name in harness.names]) == ([], [0, 0])
    harness.advance(200 * MS)  # a quote that the venue has cancelled waits
    test_maker_taker.open_market(harness, "100.0", "100.1")
    harness.advance(MS)
    assert len(harness.resting("q")) == 2


def holding_basis() -> Harness:
    """Short a, long b, until the basis is back."""
    harness = test_basis.make()
    test_basis.warm(harness)
    test_basis.quote(harness, "a", 10_030)
    harness.advance(MS)
    assert (harness.position_lots("a"), len(harness.orders)) == (-harness.position_lots("b"), 2)
    return harness


@pytest.mark.parametrize("is_flattened", [True, False])
def test_a_basis_is_left_only_if_it_is_there(is_flattened: bool) -> None:
    """The way out of what is not held would be a position the other way."""
    harness = holding_basis()
    if is_flattened:
        harness.flatten()
    test_basis.quote(harness, "a", 10_010)
    harness.advance(100 * MS)
    assert [harness.position_lots(name) for name in "ab"] == [0, 0]
    left = [] if is_flattened else [("a", BUY), ("b", SELL)]
    assert [(order.name, order.side) for order in harness.orders[2:]] == left


@pytest.mark.parametrize("state", [HoldState.HOLDING, HoldState.ENTERING])
def test_a_hold_is_not_traded_back_but_what_an_order_still_brings_is(state: HoldState) -> None:
    harness = lead_lag_setup.make(exit="hold", hold_max_ms=20)
    lead_lag_setup.warm(harness)
    if state == HoldState.ENTERING:
        harness.answers = [fill(after_ns=5 * MS)]
    lead_lag_setup.quote(harness, "l", 10_010)
    harness.advance(MS)
    hold = harness.strategy.followers[1].hold
    assert hold.state == state
    harness.flatten()
    harness.advance(100 * MS)
    assert (hold.state, harness.position_lots("f")) == (HoldState.FLAT, 0)
    assert len(harness.orders) == (1 if state == HoldState.HOLDING else 2)
    assert [pair.in_flight for pair in harness.strategy.legs.pairs if pair.in_flight] == []
