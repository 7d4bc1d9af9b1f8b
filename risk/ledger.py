"""What the gate judges by, kept up to date: positions and what they count for, marks, P&L, and the states they ask for.

Each fill, each change of what is open and each mark goes through here. Where the answer is True the trading state has
become a worse one, and all open orders are to be cancelled.

Rules of states:
* LOSS_LIMIT: P&L, or what was realised of it, below its limit, judged at each fill and each mark: REDUCE_ONLY.
* BOOK_LOST: something is held whose mark is older than `mark_age_max_ms`, or that has none: REDUCE_ONLY, until every
  mark of what is held is young again.
* LEG_RISK: more of an underlying is held than `unhedged_max`, or more than `hedged_within` for longer than
  `unhedged_ms_max`: REDUCE_ONLY.
* DEAD_MAN: nobody has said for `dead_man_ms` that they watch: CANCEL_ONLY.
* BEYOND_PROVEN: a fill has brought a position to where sums might wrap: HALTED. Sums count it for the most proven.
"""

from crosswire.nic.unit.compile import compiled
from crosswire.risk.activity import count_execution, count_messages, note_execution
from crosswire.risk.exposure import add_sums, clamp, count_position, set_lot_values
from crosswire.risk.gate import UNDERLYINGS_MAX, Gate, UnderlyingLimits, is_unwatched
from crosswire.risk.position import add_fill, change_open, profit_e9
from crosswire.risk.prices import copy_top, is_current, is_priced
from crosswire.risk.records import STRATEGIES_MAX
from crosswire.risk.trading_state import TradingState, Why, change_state
from crosswire.venues.book.book import Book
from crosswire.venues.instrument import E9, Instrument, Payoff, multiply_e9


@compiled
def see_book(gate: Gate, index: int, book: Book, now_ns: int) -> None:
    """Copy the top of a book that changed or was lost, before any strategy is told of it; the first is a mark, too."""
    copy_top(gate.tops[index], book)
    if gate.profits[index].marked_ns == 0:
        _mark(gate, index, now_ns)


@compiled
def count_open(gate: Gate, index: int, strategy: int, side: int, orders: int, qty_lots: int) -> None:
    """Change what is open of an instrument, as `change_open` does."""
    change_open(gate.positions[index], side, orders, qty_lots)
    if gate.strategies[strategy].is_limited != 0:
        change_open(gate.own_positions[strategy * gate.instrument_count + index], side, orders, qty_lots)
    count_instrument(gate, index)


@compiled
def count_cancel(gate: Gate, venue: int, now_ns: int) -> None:
    """Count a cancel as a message to its venue."""
    count_messages(gate.venues[venue].activity, 1, now_ns)


@compiled
def count_fill(
    gate: Gate, index: int, strategy: int, side: int, price_ticks: int, qty_lots: int, fee_e9: int, now_ns: int
) -> bool:
    """Book a fill as `add_fill` does and judge what has become of position and P&L; True: cancel everything."""
    position, instrument = gate.positions[index], gate.instruments[index]
    row = strategy * gate.instrument_count + index
    add_fill(position, instrument, side, price_ticks, qty_lots, fee_e9)
    if gate.strategies[strategy].is_limited != 0:
        add_fill(gate.own_positions[row], instrument, side, price_ticks, qty_lots, fee_e9)
    count_execution(gate.venues[instrument.venue].activity, now_ns)
    if gate.executions_max != 0:
        note_execution(gate.executions[2 * row + side], gate.executions_max, now_ns)
    _mark(gate, index, now_ns)
    if gate.profits[index].marked_ns == 0:
        gate.is_unmarked = 1  # an order that an earlier run sent, before this one has seen the book
    is_worse = False
    if abs(position.position_lots) > gate.exposures[index].lots_proven:
        is_worse = change_state(gate, TradingState.HALTED, Why.BEYOND_PROVEN, now_ns)
    is_worse = judge_legs(gate, gate.underlyings[instrument.underlying], now_ns) or is_worse
    return judge_profit(gate, now_ns) or is_worse


@compiled
def mark_positions(gate: Gate, now_ns: int) -> bool:
    """Take the middle of every proven book as its instrument's mark, and judge by it; True: cancel everything."""
    is_lost = False
    gate.is_unmarked = 0
    for index in range(gate.instrument_count):
        _mark(gate, index, now_ns)
        if gate.positions[index].position_lots != 0 and gate.profits[index].marked_ns == 0:
            gate.is_unmarked = 1
        age_ns = now_ns - gate.profits[index].marked_ns
        if gate.positions[index].position_lots != 0 and age_ns > gate.limits[index].mark_age_max_ns:
            is_lost = True
    state: int = TradingState.REDUCE_ONLY if is_lost else TradingState.ACTIVE
    is_worse = change_state(gate, state, Why.BOOK_LOST, now_ns)
    for number in range(UNDERLYINGS_MAX):
        is_worse = judge_legs(gate, gate.underlyings[number], now_ns) or is_worse
    if is_unwatched(gate, now_ns):
        is_worse = change_state(gate, TradingState.CANCEL_ONLY, Why.DEAD_MAN, now_ns) or is_worse
    return judge_profit(gate, now_ns) or is_worse


@compiled
def judge_profit(gate: Gate, now_ns: int) -> bool:
    """Ask for REDUCE_ONLY below a loss limit of all; note which strategy is below its own. True: cancel everything.

    Not while what an earlier run has left waits for its first book: its cash alone, or one leg of two, is no P&L. All
    may only be reduced until then, for the book that is not there.
    """
    if gate.is_unmarked != 0:
        return False
    gate.profit_worst_e9 = min(gate.profit_worst_e9, gate.profit_e9)
    for number in range(STRATEGIES_MAX):
        strategy = gate.strategies[number]
        if strategy.is_limited != 0 and strategy.profit_e9 < -strategy.loss_max_e9:
            strategy.is_lost = 1
    if gate.profit_e9 < -gate.loss_max_e9 or gate.realised_e9 < -gate.realised_loss_max_e9:
        return change_state(gate, TradingState.REDUCE_ONLY, Why.LOSS_LIMIT, now_ns)
    return False


@compiled
def judge_legs(gate: Gate, underlying: UnderlyingLimits, now_ns: int) -> bool:
    """Ask for REDUCE_ONLY where too much is unhedged, or for too long; True: cancel everything.

    Not while something held has no mark: of an inverse contract it is not known what coins it is worth.
    """
    if underlying.unhedged_max_e9 == 0 or gate.is_unmarked != 0:
        return False
    unhedged_e9 = abs(underlying.sums.delta_held_e9)
    if unhedged_e9 <= underlying.hedged_within_e9:
        underlying.unhedged_since_ns = 0
        return False
    if underlying.unhedged_since_ns == 0:
        underlying.unhedged_since_ns = now_ns
    if unhedged_e9 > underlying.unhedged_max_e9 or now_ns - underlying.unhedged_since_ns > underlying.unhedged_max_ns:
        return change_state(gate, TradingState.REDUCE_ONLY, Why.LEG_RISK, now_ns)
    return False


@compiled
def count_instrument(gate: Gate, index: int) -> None:
    """Count what is held and open of an instrument anew in the sums that it belongs to."""
    instrument, exposure, change = gate.instruments[index], gate.exposures[index], gate.change
    count_position(exposure, gate.positions[index], change)
    add_sums(gate.underlyings[instrument.underlying].sums, change)
    add_sums(gate.venues[instrument.venue].sums, change)
    add_sums(gate.sums, change)
    for number in range(STRATEGIES_MAX):
        if gate.strategies[number].is_limited != 0:
            row = number * gate.instrument_count + index
            own = gate.own_exposures[row]
            own.lots_proven = exposure.lots_proven
            own.lot_value_e9 = exposure.lot_value_e9
            own.lot_delta_e9 = exposure.lot_delta_e9
            count_position(own, gate.own_positions[row], change)
            add_sums(gate.strategies[number].sums, change)


@compiled
def _mark(gate: Gate, index: int, now_ns: int) -> None:
    """Mark an instrument by its book, if that is to be believed, and count its exposure and its P&L anew."""
    top, position, profit, limits = gate.tops[index], gate.positions[index], gate.profits[index], gate.limits[index]
    if (
        top.valid != 0
        and top.bid_ticks < top.ask_ticks
        and is_priced(top, limits.price_ticks_max)
        and is_current(top, limits.mark_age_max_ns, now_ns)
        and (top.bid_ticks > 0 or gate.instruments[index].payoff != Payoff.INVERSE)  # else it is worth no coins
    ):
        profit.marked_ns = top.receive_time_ns
        mark_ticks = (top.bid_ticks + top.ask_ticks) // 2
        if mark_ticks != position.mark_ticks:
            position.mark_ticks = mark_ticks
            set_lot_values(gate.exposures[index], gate.instruments[index], mark_ticks)
    count_instrument(gate, index)
    _count_profit(gate, index)


@compiled
def _count_profit(gate: Gate, index: int) -> None:
    """Count an instrument's P&L anew, of all and of each strategy with limits of its own."""
    instrument, position, profit = gate.instruments[index], gate.positions[index], gate.profits[index]
    most_e9 = gate.profit_max_e9
    earned_e9 = quote_value_e9(instrument, position.mark_ticks, profit_e9(position, instrument), most_e9)
    gate.profit_e9 += earned_e9 - profit.profit_e9
    profit.profit_e9 = earned_e9
    realised_e9 = position.realised_e9 - position.fees_e9
    realised_e9 = quote_value_e9(instrument, position.mark_ticks, realised_e9, most_e9)
    gate.realised_e9 += realised_e9 - profit.realised_e9
    profit.realised_e9 = realised_e9
    for number in range(STRATEGIES_MAX):
        strategy = gate.strategies[number]
        if strategy.is_limited != 0:
            row = number * gate.instrument_count + index
            own = gate.own_positions[row]
            own.mark_ticks = position.mark_ticks
            earned_e9 = quote_value_e9(instrument, own.mark_ticks, profit_e9(own, instrument), most_e9)
            strategy.profit_e9 += earned_e9 - gate.own_profits_e9[row]
            gate.own_profits_e9[row] = earned_e9


@compiled
def quote_value_e9(instrument: Instrument, mark_ticks: int, amount_e9: int, most_e9: int) -> int:
    """Value an amount of the settlement currency in 1e-9 of the quote currency, within -most_e9..most_e9."""
    if instrument.payoff != Payoff.INVERSE:
        return clamp(amount_e9, most_e9)
    price = mark_ticks * instrument.tick_e9
    whole = price // E9
    if abs(amount_e9) > most_e9 // (whole + 1):
        return most_e9 if amount_e9 > 0 else -most_e9
    return amount_e9 * whole + multiply_e9(amount_e9, price % E9)
