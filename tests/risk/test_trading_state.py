"""The trading state: what each allows, which reasons go back, and that the worst reason holds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.risk.gate import Gate, Veto
from crosswire.risk.trading_state import TradingState, Why, ask_from_outside, change_state, state_text
from crosswire.venues.side import BUY, SELL
from tests.support.gate_setup import NOW_NS, Setup

ACTIVE, REDUCE_ONLY, CANCEL_ONLY, HALTED = TradingState
VETOES = {REDUCE_ONLY: Veto.REDUCE_ONLY, CANCEL_ONLY: Veto.CANCEL_ONLY, HALTED: Veto.HALTED}
REASONS = [why for why in Why if why != Why.NONE]


@pytest.mark.parametrize("state", [REDUCE_ONLY, CANCEL_ONLY, HALTED])
@pytest.mark.parametrize("why", REASONS)
def test_each_reason_brings_about_each_state_with_its_time(state: TradingState, why: Why) -> None:
    setup = Setup()
    assert setup.ask() == Veto.NONE
    assert change_state(setup.gate, state, why, NOW_NS + 7)
    assert (setup.gate.state, setup.gate.why, setup.gate.since_ns) == (state, why, NOW_NS + 7)
    assert list(setup.gate.changes) == [int(each == why) for each in Why]
    assert setup.ask() == VETOES[state]
    assert setup.approval.armed == 0


@pytest.mark.parametrize("why", REASONS)
def test_only_a_lost_book_goes_back(why: Why) -> None:
    gate = Gate()
    change_state(gate, CANCEL_ONLY, why, 1)
    assert not change_state(gate, REDUCE_ONLY, why, 2)
    assert not change_state(gate, ACTIVE, why, 3)
    if why == Why.BOOK_LOST:
        assert (gate.state, gate.why, gate.since_ns, gate.changes[why]) == (ACTIVE, Why.NONE, 3, 3)
    else:
        assert (gate.state, gate.why, gate.since_ns, gate.changes[why]) == (CANCEL_ONLY, why, 1, 1)


def test_the_worst_reason_holds_and_the_first_of_equals() -> None:
    gate = Gate()
    assert change_state(gate, REDUCE_ONLY, Why.BOOK_LOST, 1)
    assert not change_state(gate, REDUCE_ONLY, Why.LOSS_LIMIT, 2)
    assert (gate.state, gate.why, gate.since_ns) == (REDUCE_ONLY, Why.BOOK_LOST, 1)
    # The book is proven again, and the loss stays.
    assert not change_state(gate, ACTIVE, Why.BOOK_LOST, 3)
    assert (gate.state, gate.why, gate.since_ns) == (REDUCE_ONLY, Why.LOSS_LIMIT, 3)
    assert change_state(gate, CANCEL_ONLY, Why.LEAVING, 4)
    assert change_state(gate, HALTED, Why.ALARM, 5)
    assert not change_state(gate, HALTED, Why.ALARM, 6)
    assert not change_state(gate, REDUCE_ONLY, Why.BOOK_LOST, 7)
    assert (gate.state, gate.why, gate.since_ns) == (HALTED, Why.ALARM, 5)
    assert state_text(gate) == "halted (alarm)"


@given(st.lists(st.tuples(st.sampled_from(list(TradingState)), st.sampled_from(REASONS)), max_size=30))
def test_the_state_is_the_worst_that_any_reason_asks_for(changes: list[tuple[TradingState, Why]]) -> None:
    gate = Gate()
    asked = dict.fromkeys(REASONS, ACTIVE)
    for now_ns, (state, why) in enumerate(changes, 1):
        before = max(asked.values())
        asked[why] = state if why == Why.BOOK_LOST else max(asked[why], state)
        assert change_state(gate, state, why, now_ns) == (max(asked.values()) > before)
        assert gate.state == max(asked.values())
        assert (gate.why == Why.NONE) == (gate.state == ACTIVE)
        assert gate.why == Why.NONE or asked[Why(gate.why)] == gate.state


def test_what_another_thread_asks_for_holds_at_once() -> None:
    setup = Setup()
    ask_from_outside(setup.gate, CANCEL_ONLY)
    assert setup.ask() == Veto.CANCEL_ONLY
    assert state_text(setup.gate) == "cancel only"
    ask_from_outside(setup.gate, REDUCE_ONLY)
    assert setup.ask() == Veto.CANCEL_ONLY
    change_state(setup.gate, HALTED, Why.ALARM, NOW_NS)
    assert setup.ask() == Veto.HALTED


@pytest.mark.parametrize(
    ("held", "open_buy", "open_sell", "side", "lots", "passes"),
    [
        (10, 0, 0, SELL, 10, True),
        (10, 0, 0, SELL, 11, False),  # through zero
        (10, 0, 4, SELL, 6, True),
        (10, 0, 4, SELL, 7, False),  # with what is open
        (10, 9, 0, SELL, 10, True),  # open buys may not fill
        (10, 0, 0, BUY, 1, False),
        (0, 0, 0, BUY, 1, False),
        (0, 0, 0, SELL, 1, False),
        (0, 5, 0, SELL, 1, False),
        (-10, 0, 0, BUY, 10, True),
        (-10, 0, 0, BUY, 11, False),
        (-10, 4, 0, BUY, 6, True),
        (-10, 4, 0, BUY, 7, False),
        (-10, 0, 0, SELL, 1, False),
    ],
)
def test_reduce_only_passes_what_makes_a_position_smaller(
    held: int, open_buy: int, open_sell: int, side: int, lots: int, passes: bool
) -> None:
    setup = Setup()
    setup.hold(0, held, open_buy, open_sell)
    change_state(setup.gate, REDUCE_ONLY, Why.LOSS_LIMIT, NOW_NS)
    assert setup.ask(0, side, 1000, lots) == (Veto.NONE if passes else Veto.REDUCE_ONLY)


def test_reduce_only_refuses_amends_and_quotes_that_open() -> None:
    setup = Setup()
    setup.hold(0, 0, 3, 0)  # the order to be amended, which opens a position
    change_state(setup.gate, REDUCE_ONLY, Why.LOSS_LIMIT, NOW_NS)
    assert setup.amend(1000, 4) == Veto.REDUCE_ONLY
    setup.hold(0, -10, 3, 0)
    assert setup.amend(1000, 5 + 7) == Veto.NONE
    assert setup.amend(1000, 5 + 8) == Veto.REDUCE_ONLY
    assert setup.quote(999, 1, 1001, 1) == Veto.REDUCE_ONLY
