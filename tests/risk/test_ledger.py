"""What the gate judges by: kept sums equal sums over all instruments, and P&L and marks ask for their states."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.nic.clock import STEP_NS
from crosswire.nic.duration import NS_PER_S
from crosswire.risk.exposure import Sums, set_lot_values
from crosswire.risk.gate import Gate, Veto
from crosswire.risk.ledger import count_instrument, count_open, mark_positions, see_book
from crosswire.risk.limits import LegRiskConfig, RepeatedExecutionConfig, StrategyLimitsConfig
from crosswire.risk.prices import BOOK_AHEAD_MAX_NS
from crosswire.risk.trading_state import TradingState, Why
from crosswire.venues.instrument import E9, Payoff, base_e9, notional_e9
from crosswire.venues.side import BUY, SELL
from tests.support.gate_setup import NOW_NS, Setup

STATE_AT_LOSS = (TradingState.REDUCE_ONLY, Why.LOSS_LIMIT)


def looped(gate: Gate, indices: list[int]) -> list[int]:
    """Sums as in `Sums`, from positions and marks alone."""
    sums = [0] * 6
    for index in indices:
        instrument, position = gate.instruments[index], gate.positions[index]
        mark, held = position.mark_ticks, position.position_lots
        most = gate.exposures[index].lots_proven
        long = max(-most, min(most, held + position.open_buy_lots))
        short = max(-most, min(most, held - position.open_sell_lots))
        value = notional_e9(instrument, mark, 1)
        delta = instrument.lot_e9 if instrument.payoff == Payoff.LINEAR else base_e9(instrument, mark, 1) + 1
        rows = [long * value, short * value, max(abs(long), abs(short)) * value]
        rows += [long * delta, short * delta, max(-most, min(most, held)) * delta]
        sums = [total + one for total, one in zip(sums, rows, strict=True)]
    return sums


def kept(sums: Sums) -> list[int]:
    return [getattr(sums, name) for name in Sums.fields]


STEP = st.one_of(
    st.tuples(st.just("fill"), st.integers(0, 1), st.sampled_from([BUY, SELL]), st.integers(1, 3_000)),
    st.tuples(st.just("open"), st.integers(0, 1), st.sampled_from([BUY, SELL]), st.integers(1, 30_000)),
    st.tuples(st.just("close"), st.integers(0, 1), st.sampled_from([BUY, SELL]), st.integers(1, 30_000)),
    st.tuples(st.just("mark"), st.integers(0, 1), st.just(0), st.integers(1, 99_990)),
    st.tuples(st.just("lose"), st.integers(0, 1), st.just(0), st.just(0)),
)


@given(st.lists(STEP, max_size=60))
def test_kept_sums_equal_the_loop_over_all_instruments(steps: list[tuple[str, int, int, int]]) -> None:
    limits = StrategyLimitsConfig(notional_max=Decimal(300), loss_max=Decimal(20))
    setup = Setup(strategies=(limits, None))
    gate, books = setup.gate, setup.market.books
    for what, index, side, number in steps:
        position = gate.positions[index]
        left = position.open_buy_lots if side == BUY else position.open_sell_lots
        if what == "fill":
            setup.fill(index, side, 1000, number)
        elif what == "open":
            count_open(gate, index, 0, side, 1, number)
        elif what == "close" and position.open_orders:
            count_open(gate, index, 0, side, -1, -min(left, number))
        elif what == "mark":
            book = books[index]
            book.valid, book.bid_ticks, book.ask_ticks = 1, number, number + 2
            see_book(gate, index, book, NOW_NS)
            mark_positions(gate, NOW_NS)
        elif what == "lose":
            books[index].valid = 0
            see_book(gate, index, books[index], NOW_NS)
        assert kept(gate.underlyings[0].sums) == looped(gate, [0, 1])
        assert kept(gate.sums) == looped(gate, [0, 1])
        assert kept(gate.venues[0].sums) == looped(gate, [0])
        assert kept(gate.venues[1].sums) == looped(gate, [1])
        assert kept(gate.strategies[0].sums) == looped(gate, [0, 1])  # it did all of it


def test_open_orders_are_counted_as_they_come_and_go() -> None:
    setup = Setup()
    for orders, lots in ((1, 5), (1, 3), (0, -2), (-1, -4)):
        count_open(setup.gate, 0, 0, SELL, orders, lots)
    position = setup.gate.positions[0]
    assert (position.open_orders, position.open_buy_lots, position.open_sell_lots) == (1, 0, 2)
    count_open(setup.gate, 0, 0, SELL, -1, -2)
    assert (position.open_orders, position.open_sell_lots) == (0, 0)


def test_a_mark_of_one_tick_is_one() -> None:
    setup = Setup()
    setup.fill(0, BUY, 10, 500)
    setup.fill(1, BUY, 10, 1)
    for book in setup.market.books:
        book.bid_ticks, book.ask_ticks = 1, 1 + 1
    setup.mark()
    assert [each.mark_ticks for each in list(setup.gate.positions)[:2]] == [1, 1]
    assert setup.gate.profits[0].profit_e9 == -9 * 500 * E9 // 10_000
    # A dollar is 10 coins at 0.1, and was 1 coin at 1.
    assert setup.gate.sums.delta_held_e9 == 500 * E9 // 1000 + 10 * E9 + 1


def test_what_has_no_mark_yet_counts_for_no_coins() -> None:
    setup = Setup()
    set_lot_values(setup.gate.exposures[1], setup.market.instruments[1], 0)
    setup.hold(1, 7)
    assert setup.gate.sums.delta_held_e9 == 0


@pytest.mark.parametrize(("side", "other", "sign"), [(BUY, SELL, 1), (SELL, BUY, -1)])
@pytest.mark.parametrize(("held", "closed"), [(1, 1), (5, 1), (1, 5)])
def test_closing_a_lot_realises_its_gain(side: int, other: int, sign: int, held: int, closed: int) -> None:
    setup = Setup()
    setup.fill(0, side, 1000, held)
    setup.fill(0, other, 1100, closed)
    assert setup.gate.positions[0].realised_e9 == sign * E9 // 100  # one lot of 0.001 coin, 10 dearer


def test_gross_counts_each_instrument_at_the_larger_of_both_ways() -> None:
    """Quotes on both sides count once, and what reduces is refused no sooner than before."""
    setup = Setup(gross_max=Decimal(700), net_max=Decimal(1000))
    setup.hold(0, 1_000, 3_000, 5_000)  # 400 if the buys fill, -400 if the sells do
    assert setup.gate.underlyings[0].sums.gross_e9 == 400 * E9
    assert setup.ask(0, BUY, 1000, 3_000) == Veto.NONE  # 700
    assert setup.ask(0, BUY, 1000, 3_001) == Veto.GROSS_EXPOSURE
    assert setup.ask(0, SELL, 1000, 3_000) == Veto.NONE
    assert setup.ask(0, SELL, 1000, 3_001) == Veto.GROSS_EXPOSURE
    setup.hold(1, 0, 20, 0)
    assert setup.ask(0, BUY, 1000, 2_801) == Veto.GROSS_EXPOSURE
    assert setup.ask(0, BUY, 1000, 2_800) == Veto.NONE


@pytest.mark.parametrize(("sign", "side"), [(1, BUY), (-1, SELL)])
def test_what_is_open_the_other_way_may_be_the_larger_part_of_gross(sign: int, side: int) -> None:
    setup = Setup(gross_max=Decimal(350))
    setup.hold(0, sign * 1_000, *((0, 5_000) if sign > 0 else (5_000, 0)))  # 400 the other way
    assert setup.ask(0, side, 1000, 1) == Veto.GROSS_EXPOSURE


@pytest.mark.parametrize(("sign", "other"), [(1, SELL), (-1, BUY)])
def test_what_closes_a_position_passes_however_much_the_rest_is(sign: int, other: int) -> None:
    setup = Setup(gross_max=Decimal(10))
    setup.hold(0, sign * 1_000)
    setup.hold(1, 20)
    assert setup.ask(0, other, 1000, 1_000) == Veto.NONE
    assert setup.ask(0, other, 1000, 1_001) == Veto.GROSS_EXPOSURE


@pytest.mark.parametrize(("held", "side"), [(5_000, BUY), (-5_000, SELL)])
def test_a_fill_trips_the_loss_limit_at_once_and_reducing_orders_pass(held: int, side: int) -> None:
    setup = Setup()
    gate = setup.gate
    assert not setup.fill(0, side, 1000, 5_000, fee_e9=50 * E9)
    assert (gate.state, gate.profit_e9) == (TradingState.ACTIVE, -50 * E9)
    assert setup.fill(0, side, 1000, 1, fee_e9=1)
    assert (gate.state, gate.why) == STATE_AT_LOSS
    assert setup.ask(0, side, 1000, 1) == Veto.REDUCE_ONLY
    assert setup.ask(0, BUY if side == SELL else SELL, 1000, 100) == Veto.NONE
    # It stays when the loss is gone.
    assert not setup.fill(0, side, 1000, 1, fee_e9=-60 * E9)
    assert (gate.state, gate.why) == STATE_AT_LOSS
    assert gate.profit_worst_e9 == -50 * E9 - 1


@pytest.mark.parametrize(("side", "move"), [(BUY, -101), (SELL, 101)])
def test_a_mark_trips_the_loss_limit(side: int, move: int) -> None:
    setup = Setup()
    setup.fill(0, side, 1000, 5_000)
    book = setup.market.books[0]
    book.bid_ticks, book.ask_ticks = 999 + move // 101 * 100, 1001 + move // 101 * 100
    assert not setup.mark()  # a loss of 50
    book.bid_ticks += move // 101
    book.ask_ticks += move // 101
    assert setup.mark()
    assert (setup.gate.state, setup.gate.why) == STATE_AT_LOSS
    assert setup.gate.profit_e9 == -505 * E9 // 10


def test_coins_are_valued_at_the_mark() -> None:
    setup = Setup()
    setup.fill(1, BUY, 1000, 10, fee_e9=E9 // 2)  # half a coin, at 100
    assert setup.gate.profit_e9 == -50 * E9
    setup.market.books[1].bid_ticks, setup.market.books[1].ask_ticks = 1_999, 2_001
    setup.mark()
    # 10 USD bought at 100 are 0.1 coin, at 200 they owe 0.05: 0.45 coins lost are 90.
    assert setup.gate.profit_e9 == -90 * E9


def test_a_profit_beyond_what_can_be_added_up_is_cut_off() -> None:
    setup = Setup()
    gate = setup.gate
    most_e9 = gate.profit_max_e9
    for index, cash_e9 in ((0, -(1 << 62)), (1, -(1 << 60))):
        gate.positions[index].cash_e9 = cash_e9
    assert setup.mark()
    assert gate.profit_e9 == -2 * most_e9
    gate.positions[0].cash_e9, gate.positions[1].cash_e9 = 1 << 62, 1 << 60
    assert not setup.mark()
    assert gate.profit_e9 == 2 * most_e9


@pytest.mark.parametrize("side", [BUY, SELL])
def test_a_position_beyond_what_was_proven_halts_and_wraps_nothing(side: int) -> None:
    setup = Setup()
    gate = setup.gate
    lots = gate.exposures[0].lots_proven
    assert not setup.fill(0, side, 1000, lots)
    assert gate.state == TradingState.ACTIVE
    assert setup.fill(0, side, 1000, 1 << 40)
    assert (gate.state, gate.why) == (TradingState.HALTED, Why.BEYOND_PROVEN)
    sign = 1 if side == BUY else -1
    assert gate.sums.long_e9 == sign * lots * 1000 * E9 // 10_000
    assert gate.sums.delta_held_e9 == sign * lots * E9 // 1000


def test_a_lost_book_allows_reducing_only_until_it_is_proven_again() -> None:
    setup = Setup(book_age_max_ms=60_000)
    gate, book = setup.gate, setup.market.books[0]
    age_ns = gate.limits[0].mark_age_max_ns
    setup.fill(0, BUY, 1000, 5)
    setup.market.books[1].receive_time_ns += 2 * age_ns
    book.valid = 0
    assert not setup.mark(NOW_NS + age_ns)
    assert gate.state == TradingState.ACTIVE
    assert setup.mark(NOW_NS + age_ns + 1)
    assert (gate.state, gate.why, gate.since_ns) == (TradingState.REDUCE_ONLY, Why.BOOK_LOST, NOW_NS + age_ns + 1)
    assert not setup.mark(NOW_NS + age_ns + 2)
    assert setup.ask(1, BUY, 1000, 1, NOW_NS + age_ns + 2) == Veto.REDUCE_ONLY
    book.valid, book.receive_time_ns = 1, NOW_NS + age_ns + 3
    assert not setup.mark(NOW_NS + age_ns + 3)
    assert (gate.state, gate.why) == (TradingState.ACTIVE, Why.NONE)


def test_a_silent_book_is_a_lost_one_though_it_is_proven() -> None:
    setup = Setup()
    age_ns = setup.gate.limits[0].mark_age_max_ns
    assert not setup.mark(NOW_NS + age_ns + 1)  # nothing is held
    setup.fill(0, SELL, 1000, 5)
    assert setup.mark(NOW_NS + age_ns + 1)
    assert setup.gate.why == Why.BOOK_LOST


@pytest.mark.parametrize("instrument", [0, 1])
def test_something_held_without_any_mark_is_of_unknown_value(instrument: int) -> None:
    setup = Setup()
    setup.gate.profits[instrument].marked_ns = 0
    setup.market.books[instrument].valid = 0
    assert not setup.mark()
    setup.hold(instrument, -1)
    assert setup.mark()
    assert setup.gate.why == Why.BOOK_LOST


def test_a_book_from_the_future_is_neither_traded_on_nor_a_mark() -> None:
    setup = Setup()
    assert STEP_NS < BOOK_AHEAD_MAX_NS < 2 * STEP_NS  # as far as the run's clock may be behind a ring's
    book = setup.market.books[0]
    book.receive_time_ns = NOW_NS + BOOK_AHEAD_MAX_NS
    book.bid_ticks, book.ask_ticks = 1000, 1002
    setup.mark()
    assert setup.ask() == Veto.NONE
    assert setup.gate.positions[0].mark_ticks == 1001
    book.receive_time_ns += 1
    book.bid_ticks, book.ask_ticks = 1001, 1003
    setup.mark()
    assert setup.ask() == Veto.STALE_BOOK
    assert setup.gate.positions[0].mark_ticks == 1001


def test_the_gate_judges_by_nothing_that_a_strategy_holds() -> None:
    """A desk has the market's books and instruments: writing them changes no verdict until the feed speaks again."""
    setup = Setup()
    book, instrument = setup.market.books[0], setup.market.instruments[0]
    book.ask_ticks, book.bid_ticks, book.receive_time_ns = 90_001, 89_999, NOW_NS + E9
    instrument.lot_e9 = instrument.tick_lot_e9 = instrument.tick_e9 = 1
    instrument.payoff, instrument.venue, instrument.underlying = Payoff.INVERSE, 1, 1
    assert setup.ask(0, BUY, 1012, 1) == Veto.PRICE_COLLAR
    assert setup.ask(0, BUY, 1000, 9_001) == Veto.ORDER_NOTIONAL
    assert setup.ask(0, BUY, 1000, 1, NOW_NS + E9 + 1) == Veto.STALE_BOOK
    assert setup.ask(0, BUY, 1000, 1) == Veto.NONE


def test_the_first_proven_book_is_a_mark_at_once_and_a_locked_one_never_is() -> None:
    setup = Setup()
    gate, book = setup.gate, setup.market.books[0]
    book.bid_ticks, book.ask_ticks = 1_011, 1_011
    setup.mark()
    assert gate.positions[0].mark_ticks == 1000
    book.bid_ticks, book.ask_ticks = 1_010, 1_012
    see_book(gate, 0, book, NOW_NS)
    assert gate.positions[0].mark_ticks == 1000  # the next mark is a sample's, or a fill's
    gate.profits[0].marked_ns = 0
    see_book(gate, 0, book, NOW_NS)
    assert gate.positions[0].mark_ticks == 1_011


def test_coins_are_valued_at_the_fraction_of_a_mark_too() -> None:
    setup = Setup()
    setup.market.books[1].bid_ticks, setup.market.books[1].ask_ticks = 1_004, 1_006
    setup.fill(1, BUY, 1005, 1, fee_e9=0)
    setup.mark()
    gate = setup.gate
    gate.positions[1].fees_e9 = E9 // 5
    setup.mark()
    assert gate.profit_e9 == gate.realised_e9 == -201 * E9 // 10  # 0.2 coins at 100.5


def test_realised_is_kept_through_fees_and_fills() -> None:
    setup = Setup()
    gate = setup.gate
    setup.fill(0, BUY, 1000, 1_000, fee_e9=E9)
    assert gate.realised_e9 == -E9
    setup.fill(0, SELL, 1100, 500, fee_e9=2 * E9)
    assert gate.realised_e9 == 2 * E9  # 5 earned, 3 paid
    setup.fill(0, SELL, 900, 500)
    assert gate.realised_e9 == -3 * E9
    assert gate.profit_e9 == -3 * E9


def test_each_strategy_has_a_ledger_of_its_own() -> None:
    limits = StrategyLimitsConfig(notional_max=Decimal(300), loss_max=Decimal(20))
    executions = RepeatedExecutionConfig(fills_max=2, window_ms=1000)
    setup = Setup(strategies=(limits, limits), repeated_execution=executions)
    gate = setup.gate
    setup.fill(1, SELL, 1000, 4, strategy=1, fee_e9=E9 // 100)
    count_open(gate, 1, 1, SELL, 1, 3)
    setup.fill(1, SELL, 1000, 1, strategy=1)
    setup.fill(0, BUY, 1000, 7, strategy=0)
    rows = [(each.position_lots, each.open_sell_lots) for each in list(gate.own_positions)]
    assert rows == [(7, 0), (0, 0), (0, 0), (-5, 3)]
    assert [gate.strategies[number].profit_e9 for number in range(3)] == [0, -E9, 0]
    assert [gate.strategies[number].sums.gross_e9 for number in range(3)] == [7 * E9 // 10, 8 * E9, 0]
    assert setup.ask(1, SELL, strategy=1) == Veto.REPEATED_EXECUTION
    assert setup.ask(1, BUY, strategy=1) == Veto.NONE
    assert setup.ask(1, SELL, strategy=0) == Veto.NONE


@pytest.mark.parametrize(("side", "other"), [(BUY, SELL), (SELL, BUY)])
def test_a_combination_may_be_worth_less_than_nothing(side: int, other: int) -> None:
    """The difference of two prices: what was bought at +1 and is at -100 has lost 101, and counts at its size."""
    setup = Setup()
    sign = 1 if side == BUY else -1
    setup.fill(0, side, 10, 500)
    book = setup.market.books[0]
    book.bid_ticks, book.ask_ticks = -1001, -999
    assert setup.mark() == (side == BUY)
    assert setup.gate.profit_e9 == -sign * 505 * E9 // 10
    assert setup.gate.sums.gross_e9 == 50 * E9


@pytest.mark.parametrize(("bid_ticks", "ask_ticks"), [(-1, 1), (-5, -3), (-11, -9), (0, 2)])
def test_an_inverse_contract_has_no_mark_at_or_below_nothing(bid_ticks: int, ask_ticks: int) -> None:
    """Its value in coins would be divided by that."""
    setup = Setup()
    setup.fill(1, BUY, 1000, 10, fee_e9=E9 // 100)
    book = setup.market.books[1]
    book.bid_ticks, book.ask_ticks = bid_ticks, ask_ticks
    assert not setup.mark()
    assert setup.gate.positions[1].mark_ticks == 1000
    assert setup.gate.profit_e9 == -E9


def taken_over(lots: int, other_lots: int, other_side: int, **limits: Any) -> Setup:
    """A gate that holds what an earlier run has bought of one instrument and traded of another; it has seen no book."""
    setup = Setup(**limits)
    gate = setup.gate
    if lots:
        setup.fill(0, BUY, 1000, lots)
        setup.fill(1, other_side, 1000, other_lots)
    for index in range(2):
        gate.profits[index].marked_ns = gate.positions[index].mark_ticks = gate.tops[index].valid = 0
        set_lot_values(gate.exposures[index], setup.market.instruments[index], 0)
        count_instrument(gate, index)
    gate.profit_worst_e9 = 0
    gate.is_unmarked = 1
    return setup


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize(("other_side", "is_lost"), [(SELL, False), (BUY, True)])
def test_what_an_earlier_run_left_is_judged_once_all_of_it_has_a_mark(
    order: tuple[int, int], other_side: int, is_lost: bool
) -> None:
    """Its cash alone is beyond the loss limit, and so is one leg of two at a price that has moved to a tenth."""
    setup = taken_over(600, 40, other_side)
    gate, books = setup.gate, setup.market.books
    for seen in range(2):
        mark_positions(gate, NOW_NS)
        assert (gate.state, gate.why) == (TradingState.REDUCE_ONLY, Why.BOOK_LOST)
        assert gate.profit_worst_e9 == 0
        book = books[order[seen]]
        book.valid, book.bid_ticks, book.ask_ticks = 1, 99, 101
        see_book(gate, order[seen], book, NOW_NS)
    mark_positions(gate, NOW_NS)
    assert ((gate.state, gate.why) == STATE_AT_LOSS) == is_lost
    assert (gate.profit_worst_e9 < -gate.loss_max_e9) == is_lost


def test_legs_of_an_earlier_run_are_judged_once_both_have_a_mark() -> None:
    """Before, a short inverse contract is worth no coins, and the long leg stands alone."""
    few = LegRiskConfig(unhedged_max=Decimal("0.3"), hedged_within=Decimal("0.2"), unhedged_ms_max=1000)
    setup = taken_over(0, 0, SELL, leg_risk=few)
    setup.hold(0, 400)
    setup.hold(1, -40)
    gate, underlying = setup.gate, setup.gate.underlyings[0]
    assert underlying.sums.delta_held_e9 > underlying.unhedged_max_e9
    for now_ns in (NOW_NS, NOW_NS + 2 * NS_PER_S):
        mark_positions(gate, now_ns)
        assert (gate.state, gate.why) == (TradingState.REDUCE_ONLY, Why.BOOK_LOST)
    setup.mark()
    assert (gate.state, underlying.unhedged_since_ns) == (TradingState.ACTIVE, 0)
    setup.fill(1, BUY, 1000, 40)  # the leg is gone
    assert (gate.state, gate.why) == (TradingState.REDUCE_ONLY, Why.LEG_RISK)


def test_a_fill_of_an_earlier_runs_order_before_its_first_book_is_no_loss() -> None:
    setup = taken_over(0, 0, SELL)
    mark_positions(setup.gate, NOW_NS)  # nothing is held
    setup.fill(0, BUY, 1000, 600)
    assert setup.gate.profit_e9 < -setup.gate.loss_max_e9
    assert (setup.gate.state, setup.gate.profit_worst_e9) == (TradingState.ACTIVE, 0)
