"""What the gate judges by, kept up to date: positions and what they count for, marks, P&L, and the states they ask for.

Each fill, each change of what is open and each mark goes through here. Where the answer is True the trading state has
become a worse one, and all open orders are to be cancelled.

Rules of states:
* LOSS_LIMIT: P&L below the limit, judged at each fill and each mark: REDUCE_ONLY.
* BOOK_LOST: something is held whose mark is older than `mark_age_max_ms`, or that has none: REDUCE_ONLY, until every
  mark of what is held is young again.
* BEYOND_PROVEN: a fill has brought a position to where sums might wrap: HALTED. Sums count it for the most proven.
"""

from crosswire.nic.unit.compile import compiled
from crosswire.risk.exposure import clamp, count_position, set_lot_values
from crosswire.risk.gate import Gate
from crosswire.risk.position import Position, add_fill, change_open, profit_e9
from crosswire.risk.prices import copy_top, is_current, is_priced
from crosswire.risk.trading_state import TradingState, Why, change_state
from crosswire.venues.book.book import Book
from crosswire.venues.instrument import E9, Instrument, Payoff, multiply_e9


@compiled
def see_book(gate: Gate, index: int, book: Book) -> None:
    """Copy the top of a book that changed or was lost, before any strategy is told of it."""
    copy_top(gate.tops[index], book)


@compiled
def count_open(gate: Gate, index: int, side: int, orders: int, qty_lots: int) -> None:
    """Change what is open of an instrument, as `change_open` does."""
    change_open(gate.positions[index], side, orders, qty_lots)
    count_instrument(gate, index)


@compiled
def count_fill(gate: Gate, index: int, side: int, price_ticks: int, qty_lots: int, fee_e9: int, now_ns: int) -> bool:
    """Book a fill as `add_fill` does and judge what has become of position and P&L; True: cancel everything."""
    position = gate.positions[index]
    add_fill(position, gate.instruments[index], side, price_ticks, qty_lots, fee_e9)
    _mark(gate, index, now_ns)
    is_worse = False
    if abs(position.position_lots) > gate.exposures[index].lots_proven:
        is_worse = change_state(gate, TradingState.HALTED, Why.BEYOND_PROVEN, now_ns)
    return judge_profit(gate, now_ns) or is_worse


@compiled
def mark_positions(gate: Gate, now_ns: int) -> bool:
    """Take the middle of every proven book as its instrument's mark, and judge by it; True: cancel everything."""
    is_lost = False
    for index in range(gate.instrument_count):
        _mark(gate, index, now_ns)
        age_ns = now_ns - gate.profits[index].marked_ns
        if gate.positions[index].position_lots != 0 and age_ns > gate.limits[index].mark_age_max_ns:
            is_lost = True
    state: int = TradingState.REDUCE_ONLY if is_lost else TradingState.ACTIVE
    is_worse = change_state(gate, state, Why.BOOK_LOST, now_ns)
    return judge_profit(gate, now_ns) or is_worse


@compiled
def judge_profit(gate: Gate, now_ns: int) -> bool:
    """Ask for REDUCE_ONLY below the loss limit; True: cancel everything."""
    gate.profit_worst_e9 = min(gate.profit_worst_e9, gate.profit_e9)
    if gate.profit_e9 < -gate.loss_max_e9:
        return change_state(gate, TradingState.REDUCE_ONLY, Why.LOSS_LIMIT, now_ns)
    return False


@compiled
def count_instrument(gate: Gate, index: int) -> None:
    """Count what is held and open of an instrument anew in the sums."""
    instrument = gate.instruments[index]
    count_position(
        gate.exposures[index],
        gate.positions[index],
        gate.underlyings[instrument.underlying].sums,
        gate.venues[instrument.venue].sums,
        gate.sums,
    )


@compiled
def _mark(gate: Gate, index: int, now_ns: int) -> None:
    """Mark an instrument by its book, if that is to be believed, and count its exposure and its P&L anew."""
    top, position, profit, limits = gate.tops[index], gate.positions[index], gate.profits[index], gate.limits[index]
    instrument = gate.instruments[index]
    if (
        top.valid != 0
        and top.bid_ticks < top.ask_ticks
        and is_priced(top, limits.price_ticks_max)
        and is_current(top, limits.mark_age_max_ns, now_ns)
    ):
        profit.marked_ns = top.receive_time_ns
        mark_ticks = (top.bid_ticks + top.ask_ticks) // 2
        if mark_ticks != position.mark_ticks:
            position.mark_ticks = mark_ticks
            set_lot_values(gate.exposures[index], instrument, mark_ticks)
    count_instrument(gate, index)
    earned_e9 = clamp(quote_profit_e9(instrument, position, gate.profit_max_e9), gate.profit_max_e9)
    gate.profit_e9 += earned_e9 - profit.profit_e9
    profit.profit_e9 = earned_e9


@compiled
def quote_profit_e9(instrument: Instrument, position: Position, most_e9: int) -> int:
    """Return an instrument's P&L in 1e-9 of its quote currency; coins are valued at the mark, to `most_e9` at most."""
    profit = profit_e9(position, instrument)
    if instrument.payoff != Payoff.INVERSE:
        return profit
    price = position.mark_ticks * instrument.tick_e9
    whole = price // E9
    if abs(profit) > most_e9 // (whole + 1):
        return most_e9 if profit > 0 else -most_e9
    return profit * whole + multiply_e9(profit, price % E9)
