"""Working the legs of a cycle: all are filled in equal parts in the end, or an alarm says that they are not.

As with two legs (`strategies.legs`, whose trades and states these are), every order is an IOC, and a trade goes on once
all of its orders have ended. What a leg has filled is a part of the lots that were planned of it, and the trade is flat
when all parts are equal to the nearest lot: currency by currency it has then brought what it spent, but for half a lot
and what the fills were better or worse than the prices decided on, which is carried.

    WORKING    the first orders of all legs are out
      | the parts are not equal
    RETRYING   what is missing of every leg at once, at its current price: up to `retries` times within the window,
      |        while each leg has room and is at most `unwind_loss_max_bps` worse than what was decided on
    UNWINDING  every leg back to the part of the least filled one, `unwind_ticks` through the market, again every
      |        `unwind_interval_ms`
    FAILED     `give_up_ms` have passed: the alarm, and nothing new is started until it is flat
"""

from typing import Annotated

from crosswire.nic.memory.struct import Array, Struct, clear_struct, i64
from crosswire.nic.unit.compile import compiled, inlined
from crosswire.risk.records import LEGS_MAX
from crosswire.strategies.cycle_plan import (
    CURRENCIES_MAX,
    Cycle,
    CyclePlan,
    Means,
    brought_by,
    leg_ticks,
    room_lots,
    share_of,
    spent_by,
    turned_e9,
)
from crosswire.strategies.desk import REQUESTS_MAX, Desk, next_trade_id, submit, wake_at
from crosswire.strategies.legs import (
    TAG_BITS,
    TAG_MASK,
    Legs,
    give_up_if_due,
    instrument_of,
    is_repair_due,
    market_ticks,
    tag_of,
)
from crosswire.strategies.listing import cost_e9, fill_cash_e9, note_taken, sale_e9, value_e9
from crosswire.strategies.opportunity import TRADES_MAX, end_opportunities, note_trade, note_trade_end
from crosswire.strategies.trades import Outcome, TradeState, count_stage, note_ahead, outcome_of, write_trade
from crosswire.venues.instrument import E9, base_e9, multiply_e9
from crosswire.venues.order import Order, OrderState, Report
from crosswire.venues.side import BUY, SELL, sign_of

NO_OUTCOME = 0


class WorkedLeg(Struct):
    """One leg of a trade."""

    listing: i64
    side: i64
    source: i64  # currencies
    target: i64
    ticks: i64  # decided on
    value_e9: i64  # of one unit of base at them, after taker fees
    lots: i64  # that were planned
    filled_lots: i64  # less what was traded back
    even_lots: i64  # of them, the part that all legs have


class CycleTrade(Struct):
    """What a cycle's trade has beside its `Trade`, in the same place."""

    count: i64
    is_unwinding: i64  # 1: `even_lots` are what is unwound to
    legs: Annotated[Array, WorkedLeg, LEGS_MAX]
    # By leg, of its source: brought less spent, after fees, with what was taken of what was carried; of the first leg
    # it is what the trade has earned.
    flows_e9: Annotated[Array, i64, LEGS_MAX]
    taken_e9: Annotated[Array, i64, LEGS_MAX]


class Working(Struct):
    """The cycles' trades in flight, and what they are traded with."""

    means: Means
    trades: Annotated[Array, CycleTrade, TRADES_MAX]


@compiled
def start_cycle(
    legs: Legs, working: Working, desk: Desk, cycle: Cycle, plan: CyclePlan, place: int, opportunity: int
) -> None:
    """Send all legs of a planned trade that nothing blocks, and enter it at a free place."""
    trade, own = legs.trades[place], working.trades[place]
    clear_struct(trade)
    clear_struct(own)
    trade.state = TradeState.WORKING
    trade.trade_id = next_trade_id(desk)
    trade.opportunity = opportunity
    trade.legs = cycle.packed
    trade.start_ns = trade.next_ns = desk.now_ns
    trade.give_up_ns = desk.now_ns + legs.give_up_ns
    own.count = cycle.count
    for number in range(cycle.count):
        _enter_leg(legs, working, desk, cycle, plan, place, number)
    first, last = own.legs[0], own.legs[cycle.count - 1]
    trade.first_buy_ticks, trade.first_sell_ticks = first.ticks, last.ticks
    trade.intended_e9 = base_e9(instrument_of(legs, desk, first.listing), first.ticks, first.lots)
    trade.expected_value_e9 = _expected_e9(legs, desk, cycle, own)
    cycle.last_start_ns = desk.now_ns
    note_trade(legs.opportunities, opportunity)
    wake_at(desk, trade.give_up_ns)
    for number in range(cycle.count):
        leg = own.legs[number]
        through_ticks = sign_of(leg.side) * legs.slippage_ticks
        _send(legs, desk, place, number, leg, leg.side, leg.ticks + through_ticks, leg.lots)


@inlined
def _enter_leg(
    legs: Legs, working: Working, desk: Desk, cycle: Cycle, plan: CyclePlan, place: int, number: int
) -> None:
    own, planned = working.trades[place], cycle.legs[number]
    leg, listing = own.legs[number], legs.listings[planned.listing]
    leg.listing, leg.side, leg.source, leg.target = planned.listing, planned.side, planned.source, planned.target
    leg.ticks = leg_ticks(desk, legs, planned)
    leg.lots = plan.lots[number]
    instrument = instrument_of(legs, desk, planned.listing)
    if leg.side == BUY:
        leg.value_e9 = cost_e9(listing, instrument, leg.ticks)
    else:
        leg.value_e9 = sale_e9(listing, instrument, leg.ticks)
    note_taken(listing, leg.side, desk.books[listing.instrument].receive_time_ns)
    own.flows_e9[number] = own.taken_e9[number] = plan.taken_e9[number]
    working.means.currencies[leg.source].carry_e9 -= plan.taken_e9[number]
    working.means.in_flight[leg.listing] += 1


@inlined
def _expected_e9(legs: Legs, desk: Desk, cycle: Cycle, own: CycleTrade) -> int:
    """Return what a trade earns if every leg is filled as planned, what is left over valued as in `_end`."""
    last = own.count - 1
    expected_e9 = brought_by(legs, desk, cycle.legs[last], own.legs[last].lots)
    expected_e9 -= spent_by(legs, desk, cycle.legs[0], own.legs[0].lots)
    for number in range(1, own.count):
        left_e9 = brought_by(legs, desk, cycle.legs[number - 1], own.legs[number - 1].lots)
        left_e9 -= spent_by(legs, desk, cycle.legs[number], own.legs[number].lots)
        expected_e9 += _money_e9(legs, desk, own, number, left_e9)
    return expected_e9


@compiled
def _money_e9(legs: Legs, desk: Desk, own: CycleTrade, number: int, amount_e9: int) -> int:
    """Value an amount of a leg's source in the cycle's money: turned by the legs from there, at the decided prices."""
    if number == 0:
        return amount_e9
    for place in range(number, own.count):
        leg = own.legs[place]
        amount_e9 = turned_e9(legs, desk, leg.listing, leg.side, leg.ticks, amount_e9)
    return amount_e9


@inlined
def _send(
    legs: Legs, desk: Desk, place: int, number: int, leg: WorkedLeg, side: int, limit_ticks: int, lots: int
) -> bool:
    trade = legs.trades[place]
    sent = submit(
        desk,
        legs.listings[leg.listing].instrument,
        side,
        max(1, limit_ticks),
        lots,
        decision_ticks=leg.ticks,
        trade_id=trade.trade_id,
        tag=tag_of(trade.state, number, place),
    )
    if sent:
        trade.open_orders += 1
    return sent


@compiled
def take_cycle_fill(legs: Legs, working: Working, desk: Desk, order: Order, report: Report) -> None:
    """Book one execution of an order of ours."""
    if order.trade_id == 0:
        return
    place, number, stage = order.tag & TAG_MASK, order.tag >> TAG_BITS & TAG_MASK, order.tag >> (2 * TAG_BITS)
    trade, own = legs.trades[place], working.trades[place]
    if trade.state == TradeState.FREE or trade.trade_id != order.trade_id:
        legs.alarms += 1
        return
    leg = own.legs[number]
    listing, instrument = legs.listings[leg.listing], instrument_of(legs, desk, leg.listing)
    size_e9 = base_e9(instrument, report.price_ticks, report.qty_lots)
    cash_e9 = fill_cash_e9(listing, instrument, report.side, report.price_ticks, report.qty_lots, report.fee_e9)
    # The source of the leg behind the last one is the money.
    behind = number + 1 if number + 1 < own.count else 0
    base, quote = (behind, number) if leg.side == BUY else (number, behind)
    own.flows_e9[base] += sign_of(report.side) * size_e9
    own.flows_e9[quote] += cash_e9
    leg.filled_lots += report.qty_lots if report.side == leg.side else -report.qty_lots
    count_stage(trade, stage, size_e9)
    if stage != TradeState.WORKING:
        decided_e9 = value_e9(size_e9, leg.value_e9)
        lost_e9 = -cash_e9 - decided_e9 if report.side == BUY else decided_e9 - cash_e9
        trade.miss_cost_e9 += _money_e9(legs, desk, own, quote, lost_e9)
    _find_even(own)
    note_ahead(trade, 0 if _is_even(own) else 1, desk.now_ns)


@compiled
def _find_even(own: CycleTrade) -> None:
    """Find the part that all legs have, in lots of each: the least filled leg's, never more than a leg has filled.

    While it is unwound to, it stays: a leg that is rounded down would have the others unwound further.
    """
    if own.is_unwinding != 0:
        return
    least, least_e9 = 0, E9 + 1
    for number in range(own.count):
        leg = own.legs[number]
        part_e9 = E9 if leg.filled_lots == leg.lots else share_of(E9, leg.filled_lots, leg.lots)
        if part_e9 < least_e9:
            least, least_e9 = number, part_e9
    for number in range(own.count):
        leg = own.legs[number]
        nearest_lots = multiply_e9(leg.lots, least_e9)
        if (leg.lots % E9) * least_e9 % E9 * 2 >= E9:
            nearest_lots += 1
        leg.even_lots = leg.filled_lots if number == least else min(leg.filled_lots, nearest_lots)


@inlined
def _is_even(own: CycleTrade) -> bool:
    for number in range(own.count):
        if own.legs[number].filled_lots != own.legs[number].even_lots:
            return False
    return True


@compiled
def take_cycle_order(legs: Legs, working: Working, desk: Desk, order: Order) -> None:
    """Note a changed order of ours; when it was the last one open, the trade goes on."""
    if order.trade_id == 0 or order.state <= OrderState.PENDING_CANCEL:
        return
    place = order.tag & TAG_MASK
    trade = legs.trades[place]
    if trade.state == TradeState.FREE or trade.trade_id != order.trade_id:
        return
    trade.open_orders -= 1
    _go_on(legs, working, desk, place)


@compiled
def take_cycle_timer(legs: Legs, working: Working, desk: Desk) -> None:
    """Start repairs that waited, and raise the alarm for trades whose time is up."""
    for place in range(TRADES_MAX):
        trade = legs.trades[place]
        if trade.state == TradeState.FREE:
            continue
        give_up_if_due(legs, desk, trade)
        _go_on(legs, working, desk, place)
        if trade.state != TradeState.FREE and trade.state != TradeState.FAILED:
            wake_at(desk, trade.give_up_ns)


@compiled
def _go_on(legs: Legs, working: Working, desk: Desk, place: int) -> None:
    """End the trade if it is flat, else take the next step of its repair, now or when its time comes."""
    trade, own = legs.trades[place], working.trades[place]
    if trade.open_orders > 0:
        return
    _find_even(own)
    if _is_even(own):
        _end(legs, working, desk, place, NO_OUTCOME)
        return
    if not is_repair_due(legs, desk, trade):
        return
    if trade.state == TradeState.RETRYING:
        if _retry(legs, working, desk, place):
            return
        trade.state = TradeState.UNWINDING
    own.is_unwinding = 1
    _unwind(legs, desk, place, own)


@compiled
def _retry(legs: Legs, working: Working, desk: Desk, place: int) -> bool:
    """Send what is missing of all legs; False, and nothing sent, if one of them can't be done within its loss."""
    trade, own = legs.trades[place], working.trades[place]
    if trade.retries >= legs.retries or desk.now_ns > trade.retry_until_ns:
        return False
    if desk.request_count + own.count > REQUESTS_MAX:
        return False
    for number in range(own.count):
        leg = own.legs[number]
        missing_lots = leg.lots - leg.filled_lots
        if missing_lots > 0 and not _is_within_loss(legs, working.means, desk, leg, missing_lots):
            return False
    for number in range(own.count):
        leg = own.legs[number]
        if leg.lots > leg.filled_lots:
            best_ticks = market_ticks(legs, desk, leg.listing, leg.side)
            limit_ticks = best_ticks + sign_of(leg.side) * legs.slippage_ticks
            _send(legs, desk, place, number, leg, leg.side, limit_ticks, leg.lots - leg.filled_lots)
    trade.retries += 1
    trade.next_ns = desk.now_ns + legs.retry_interval_ns
    return True


@compiled
def _is_within_loss(legs: Legs, means: Means, desk: Desk, leg: WorkedLeg, qty_lots: int) -> bool:
    """Tell whether a leg, at the worst price that it could be done at now, has room and loses no more than allowed."""
    best_ticks = market_ticks(legs, desk, leg.listing, leg.side)
    if best_ticks == 0 or room_lots(means, legs, desk, leg.listing, leg.side, best_ticks) < qty_lots:
        return False
    listing, instrument = legs.listings[leg.listing], instrument_of(legs, desk, leg.listing)
    limit_ticks = max(1, best_ticks + sign_of(leg.side) * legs.slippage_ticks)
    if leg.side == BUY:
        loss_e9 = cost_e9(listing, instrument, limit_ticks) - leg.value_e9
    else:
        loss_e9 = leg.value_e9 - sale_e9(listing, instrument, limit_ticks)
    return loss_e9 <= multiply_e9(leg.value_e9, legs.loss_max_e9)


@compiled
def _unwind(legs: Legs, desk: Desk, place: int, own: CycleTrade) -> None:
    """Trade back what each leg has filled beyond the part of all, where its book has a price."""
    trade = legs.trades[place]
    pause_ns = legs.give_up_ns if trade.state == TradeState.FAILED else legs.unwind_interval_ns
    trade.next_ns = desk.now_ns + pause_ns
    is_sent = False
    for number in range(own.count):
        leg = own.legs[number]
        lots = leg.filled_lots - leg.even_lots
        side: int = SELL if leg.side == BUY else BUY
        best_ticks = market_ticks(legs, desk, leg.listing, side)
        if lots > 0 and best_ticks != 0:
            limit_ticks = best_ticks + sign_of(side) * legs.unwind_ticks
            is_sent = _send(legs, desk, place, number, leg, side, limit_ticks, lots) or is_sent
    if not is_sent:
        wake_at(desk, trade.next_ns)


@compiled
def _end(legs: Legs, working: Working, desk: Desk, place: int, outcome: int) -> None:
    """End a trade; NO_OUTCOME: it is flat, and it is told how."""
    trade, own = legs.trades[place], working.trades[place]
    if trade.state == TradeState.FAILED:
        legs.failed -= 1
    left_e9 = 0
    for number in range(own.count):
        leg = own.legs[number]
        working.means.in_flight[leg.listing] -= 1
        if number != 0:
            working.means.currencies[leg.source].carry_e9 += own.flows_e9[number]
            left_e9 += _money_e9(legs, desk, own, number, own.flows_e9[number] - own.taken_e9[number])
    first, last = own.legs[0], own.legs[own.count - 1]
    buy, sell = legs.listings[first.listing].instrument, legs.listings[last.listing].instrument
    trade.bought_e9 = base_e9(desk.instruments[buy], first.ticks, first.filled_lots)
    trade.sold_e9 = base_e9(desk.instruments[sell], last.ticks, last.filled_lots)
    trade.cash_e9 = own.flows_e9[0]
    # What went all the way round.
    captured_e9 = base_e9(desk.instruments[buy], first.ticks, first.even_lots)
    note_trade_end(legs.opportunities, desk, trade.opportunity, captured_e9)
    write_trade(trade, desk, buy, sell, left_e9, outcome_of(trade) if outcome == NO_OUTCOME else outcome)


@compiled
def _end_all(legs: Legs, working: Working, desk: Desk) -> None:
    """Write the trades in flight, as they are."""
    for place in range(TRADES_MAX):
        state = legs.trades[place].state
        if state != TradeState.FREE:
            outcome: int = Outcome.FAILED if state == TradeState.FAILED else Outcome.UNFINISHED
            _end(legs, working, desk, place, outcome)


@compiled
def forget_cycles(legs: Legs, working: Working, desk: Desk) -> None:
    """End all trades, none is repaired, and carry nothing: the positions were traded away by somebody else."""
    _end_all(legs, working, desk)
    for number in range(CURRENCIES_MAX):
        working.means.currencies[number].carry_e9 = 0


@compiled
def close_cycle_records(legs: Legs, working: Working, desk: Desk) -> None:
    """Write what is still open: the run ends."""
    _end_all(legs, working, desk)
    end_opportunities(legs.opportunities, desk, legs.opportunities.open_pairs)
