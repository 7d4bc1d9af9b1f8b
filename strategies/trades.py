"""Trades in flight: two legs meant to be equal and opposite, and what became of each. Those of a cycle of more legs are
kept in the same struct, with what is more to them beside it (`strategies.cycle_trades`).

Sizes are exact sums of fills in 1e-9 of the base coin; an inverse contract's fill of N USD at price p is N / p coins.
Its P&L at a later price q, N / p - N / q coins, is worth N / p * (q - p) USD: that of N / p coins bought at p. So equal
coins at the fill prices are a hedge whatever the price does later, where equal positions would not be.
"""

from enum import IntEnum

from crosswire.nic.memory.struct import Struct, i64
from crosswire.nic.unit.compile import compiled
from crosswire.strategies.desk import Desk, new_trade, record_trade
from crosswire.venues.side import BUY


class TradeState(IntEnum):
    """Where a trade in flight is; `strategies.legs` has the transitions."""

    FREE = 0  # the place holds no trade
    WORKING = 1  # the first orders of both legs are out
    RETRYING = 2  # one leg is ahead: the other is tried again
    HEDGING = 3  # the other leg is tried at another instrument
    UNWINDING = 4  # what is ahead is traded back
    FAILED = 5  # not flat within give_up_ms: alarm, and unwinding goes on slowly


class Outcome(IntEnum):
    """How a trade ended."""

    COMPLETE = 1  # all legs filled at once, wholly or in equal parts
    MISSED = 2  # no leg filled
    RETRIED = 3  # flat after retries of the missing leg
    HEDGED = 4  # flat with a third instrument in place of the missing leg
    UNWOUND = 5  # flat after trading back what was ahead
    FAILED = 6  # was not flat within give_up_ms
    UNFINISHED = 7  # the run ended first


class Trade(Struct):
    """One trade in flight. Values are 1e-9 of the common quote currency, after fees."""

    state: i64  # TradeState
    trade_id: i64
    pair: i64  # whose `held_e9` it changes, by `direction` times what it captured
    direction: i64
    opportunity: i64  # index of the opportunity that it was started in, or NO_OPPORTUNITY
    buy: i64  # listings
    sell: i64
    buy_ticks: i64  # prices decided on
    sell_ticks: i64
    first_buy_ticks: i64  # the best prices then
    first_sell_ticks: i64
    buy_value_e9: i64  # of one unit of base at them, after taker fees
    sell_value_e9: i64
    tolerance_e9: i64  # 5/8 lot of the coarser leg: a smaller imbalance is flat
    intended_e9: i64
    carried_e9: i64  # bought more than sold by earlier trades, taken over to be corrected
    bought_e9: i64
    sold_e9: i64
    retried_e9: i64  # part of the fills, by the state in which their orders were sent
    hedged_e9: i64
    unwound_e9: i64
    cash_e9: i64  # sales less purchases less fees
    expected_value_e9: i64
    miss_cost_e9: i64
    open_orders: i64
    retries: i64
    hedges: i64
    start_ns: i64
    retry_until_ns: i64
    next_ns: i64  # no order is sent before
    give_up_ns: i64
    is_ahead: i64  # 1: one leg is ahead of the other by more than the tolerance, since `ahead_since_ns`
    ahead_since_ns: i64
    unhedged_ns: i64
    legs: i64  # of a cycle, as in `TradeRecord`; 0: `buy` and `sell` are all


@compiled
def residual_e9(trade: Trade) -> int:
    """Return what is bought more than sold, earlier trades' remainder included, 1e-9 of the base coin."""
    return trade.carried_e9 + trade.bought_e9 - trade.sold_e9


@compiled
def captured_e9(trade: Trade) -> int:
    """Return what was traded on both legs and not traded back."""
    return max(0, min(trade.bought_e9, trade.sold_e9) - trade.unwound_e9)


@compiled
def book_fill(trade: Trade, desk: Desk, stage: int, side: int, size_e9: int, cash_e9: int) -> None:
    """Add one fill of an order that was sent in state `stage`."""
    trade.cash_e9 += cash_e9
    if side == BUY:
        trade.bought_e9 += size_e9
    else:
        trade.sold_e9 += size_e9
    count_stage(trade, stage, size_e9)
    note_ahead(trade, 1 if abs(residual_e9(trade)) > trade.tolerance_e9 else 0, desk.now_ns)


@compiled
def count_stage(trade: Trade, stage: int, size_e9: int) -> None:
    """Count a fill of an order that was sent in state `stage`."""
    if stage == TradeState.RETRYING:
        trade.retried_e9 += size_e9
    elif stage == TradeState.HEDGING:
        trade.hedged_e9 += size_e9
    elif stage != TradeState.WORKING:
        trade.unwound_e9 += size_e9


@compiled
def note_ahead(trade: Trade, is_ahead: int, now_ns: int) -> None:
    """Note whether one leg is ahead of another now."""
    if is_ahead != trade.is_ahead:
        if is_ahead != 0:
            trade.ahead_since_ns = now_ns
        else:
            trade.unhedged_ns += now_ns - trade.ahead_since_ns
        trade.is_ahead = is_ahead


@compiled
def outcome_of(trade: Trade) -> int:
    """Tell the outcome of a trade that is flat now."""
    if trade.state == TradeState.FAILED:
        return Outcome.FAILED
    if trade.unwound_e9 != 0:
        return Outcome.UNWOUND
    if trade.bought_e9 == 0 and trade.sold_e9 == 0:
        return Outcome.MISSED
    if trade.hedged_e9 != 0:
        return Outcome.HEDGED
    if trade.retried_e9 != 0:
        return Outcome.RETRIED
    return Outcome.COMPLETE


@compiled
def write_trade(
    trade: Trade, desk: Desk, buy_instrument: int, sell_instrument: int, value_of_residual_e9: int, outcome: int
) -> None:
    """Write the trade's record and free its place."""
    if trade.is_ahead != 0:
        trade.unhedged_ns += desk.now_ns - trade.ahead_since_ns
    record = new_trade(desk)
    record.trade_id = trade.trade_id
    record.start_ns = trade.start_ns
    record.end_ns = desk.now_ns
    record.buy_instrument = buy_instrument
    record.sell_instrument = sell_instrument
    record.intended_size_e9 = trade.intended_e9
    record.bought_size_e9 = trade.bought_e9
    record.sold_size_e9 = trade.sold_e9
    record.expected_value_e9 = trade.expected_value_e9
    record.traded_value_e9 = trade.cash_e9 + value_of_residual_e9
    record.outcome = outcome
    record.retries = trade.retries
    record.unhedged_ns = trade.unhedged_ns
    record.miss_cost_e9 = trade.miss_cost_e9
    record.first_buy_ticks = trade.first_buy_ticks
    record.first_sell_ticks = trade.first_sell_ticks
    record.legs = trade.legs
    record_trade(desk)
    trade.state = TradeState.FREE
