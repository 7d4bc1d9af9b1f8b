"""What becomes of a maker's fills: each a trade of two legs, the first of which is done.

A quote's order carries the number of the trade that its first fill enters, with the hedge's order on its way. What is
filled while that is in flight is added to it; a fill that comes later begins another, with a number of its own. What is
less than a hedge's lot is carried, as `strategies.legs` carries what its lots leave.
"""

from crosswire.nic.memory.struct import copy_struct
from crosswire.nic.unit.compile import compiled
from crosswire.strategies.desk import Desk, next_trade_id
from crosswire.strategies.legs import (
    NO_LISTING,
    enter_trade,
    free_place,
    go_on,
    instrument_of,
    market_ticks,
    plan_of,
    send_leg,
)
from crosswire.strategies.listing import cost_e9, fill_cash_e9, is_price, nearest_lots, sale_e9, value_e9
from crosswire.strategies.maker.quote import Quote
from crosswire.strategies.maker.state import QUOTED, Maker, hedge_room_e9, walk_hedge
from crosswire.strategies.opportunity import TRADES_MAX, open_opportunity, pair_of
from crosswire.strategies.planned import NO_PLAN, add_level
from crosswire.strategies.trades import TradeState, book_fill
from crosswire.venues.instrument import Payoff, base_e9, divide_e9, lots_of_base
from crosswire.venues.order import Order, Report
from crosswire.venues.side import BUY, opposite, sign_of


@compiled
def choose_hedge(strategy: Maker, desk: Desk, side: int, size_e9: int) -> int:
    """Find the listing where an order of `side` for this size is best done now, `strategy.best_hedge`; or NO_LISTING.

    One that offers all of it goes before one that does not; books need be proven, not young.
    """
    legs, hedge, best = strategy.legs, strategy.hedge, strategy.best_hedge
    chosen = NO_LISTING
    for listing in range(1, legs.count):
        if market_ticks(legs, desk, listing, side) == 0 or hedge_room_e9(strategy, desk, opposite(side), listing) <= 0:
            continue
        walk_hedge(strategy, desk, hedge, listing, side, size_e9)
        is_better = hedge.size_e9 > best.size_e9
        if hedge.size_e9 == best.size_e9:
            # Of a purchase the unit's value is what it costs.
            is_better = sign_of(side) * (best.unit_value_e9 - hedge.unit_value_e9) > 0
        if chosen == NO_LISTING or is_better:
            chosen = listing
            copy_struct(best, hedge)
    return chosen


@compiled
def hedge_fill(strategy: Maker, desk: Desk, order: Order, report: Report) -> None:
    """Enter a fill as a trade with its maker leg done, or add it to the trade in flight, and send its hedge."""
    legs, quote = strategy.legs, strategy.quotes[report.side]
    quoted = instrument_of(legs, desk, QUOTED)
    size_e9 = base_e9(quoted, report.price_ticks, report.qty_lots)
    signed_e9 = sign_of(report.side) * size_e9
    cash = fill_cash_e9(strategy.maker, quoted, report.side, report.price_ticks, report.qty_lots, report.fee_e9)
    strategy.fills += 1
    place = 0
    while place < TRADES_MAX and (
        legs.trades[place].state == TradeState.FREE or legs.trades[place].trade_id != quote.hedged_trade_id
    ):
        place += 1
    is_new = place == TRADES_MAX
    if is_new:
        place = free_place(legs)
        if place == TRADES_MAX:
            # More in flight than there are places: the next trade makes up for it, and somebody is told.
            legs.carry_e9 += signed_e9
            legs.alarms += 1
            return
        quote.rest_e9 = legs.carry_e9
        enter_fill(strategy, desk, place, order, report, size_e9, cash)
    trade = legs.trades[place]
    book_fill(trade, desk, TradeState.WORKING, report.side, size_e9, cash)
    quote.rest_e9 += signed_e9
    send_hedge(strategy, desk, place, quote, report.side, is_new)
    go_on(legs, desk, place)


@compiled
def enter_fill(strategy: Maker, desk: Desk, place: int, order: Order, report: Report, size_e9: int, cash: int) -> None:
    """Plan the hedge of a quote's fill, and enter both as a trade that has no order out yet."""
    legs, quote, plan, hedge = strategy.legs, strategy.quotes[report.side], strategy.plan, strategy.best_hedge
    side = opposite(report.side)
    listing = choose_hedge(strategy, desk, side, abs(quote.rest_e9 + sign_of(report.side) * size_e9))
    hedge_ticks = hedge.price_ticks
    if listing == NO_LISTING:
        # No hedge has a book and room: the trade is entered at what it was quoted on, and repaired from there.
        listing, hedge_ticks = quote.listing, quote.hedge_ticks
        hedge.levels.count = 0
    quoted, other = instrument_of(legs, desk, QUOTED), instrument_of(legs, desk, listing)
    plan.size_e9 = size_e9
    plan.lot_e9 = max(base_e9(quoted, report.price_ticks, 1), coarsest_lot_e9(strategy, desk))
    plan.buy_levels.count = 0
    plan.sell_levels.count = 0
    if report.side == BUY:
        plan.buy_ticks, plan.sell_ticks = report.price_ticks, hedge_ticks
        plan.buy_value_e9 = -divide_e9(cash, size_e9)
        plan.sell_value_e9 = sale_e9(legs.listings[listing], other, hedge_ticks)
        expected_e9 = value_e9(size_e9, hedge.unit_value_e9 if hedge.levels.count != 0 else plan.sell_value_e9)
        plan.value_e9 = expected_e9 + cash
        add_level(plan.buy_levels, report.price_ticks, report.qty_lots)
        copy_struct(plan.sell_levels, hedge.levels)
    else:
        plan.buy_ticks, plan.sell_ticks = hedge_ticks, report.price_ticks
        plan.buy_value_e9 = cost_e9(legs.listings[listing], other, hedge_ticks)
        plan.sell_value_e9 = divide_e9(cash, size_e9)
        expected_e9 = value_e9(-size_e9, hedge.unit_value_e9 if hedge.levels.count != 0 else plan.buy_value_e9)
        plan.value_e9 = expected_e9 + cash
        copy_struct(plan.buy_levels, hedge.levels)
        add_level(plan.sell_levels, report.price_ticks, report.qty_lots)
    bought = QUOTED if report.side == BUY else listing
    sold = listing if report.side == BUY else QUOTED
    opportunity = open_opportunity(legs.opportunities, pair_of(bought, sold))
    is_first = order.filled_lots == report.qty_lots
    quote.hedged_trade_id = order.trade_id if is_first else next_trade_id(desk)
    enter_trade(legs, desk, place, quote.hedged_trade_id, bought, sold, plan, sign_of(report.side), opportunity)
    trade = legs.trades[place]
    trade.open_orders = 0
    if report.side == BUY:
        trade.first_buy_ticks = report.price_ticks
    else:
        trade.first_sell_ticks = report.price_ticks


@compiled
def coarsest_lot_e9(strategy: Maker, desk: Desk) -> int:
    """Return the largest lot of all hedges, 1e-9 of the base coin: what a trade's remainder is measured by."""
    lot_e9 = 0
    for listing in range(1, strategy.legs.count):
        instrument = instrument_of(strategy.legs, desk, listing)
        bid_ticks = desk.books[instrument.index].bid_ticks
        if instrument.payoff != Payoff.INVERSE or is_price(bid_ticks):
            lot_e9 = max(lot_e9, base_e9(instrument, bid_ticks, 1))
    return lot_e9


@compiled
def send_hedge(strategy: Maker, desk: Desk, place: int, quote: Quote, side: int, is_new: bool) -> None:
    """Send the hedge of what a quote of `side` was filled; what can't be sent is left to the trade's repair."""
    legs, hedge, trade = strategy.legs, strategy.hedge, strategy.legs.trades[place]
    listing = trade.sell if side == BUY else trade.buy
    instrument = instrument_of(legs, desk, listing)
    hedge_side = opposite(side)
    size_e9 = sign_of(side) * quote.rest_e9
    if market_ticks(legs, desk, listing, hedge_side) == 0:
        quote.rest_e9 = 0
        return
    walk_hedge(strategy, desk, hedge, listing, hedge_side, max(1, size_e9))
    lots = nearest_lots(instrument, hedge.price_ticks, size_e9)
    if lots == 0:
        strategy.carried += 1
        return
    room_e9 = max(0, hedge_room_e9(strategy, desk, side, listing))
    lots = min(lots, lots_of_base(instrument, hedge.price_ticks, room_e9))
    limit_ticks = hedge.price_ticks + sign_of(hedge_side) * legs.slippage_ticks
    decision_ticks = trade.sell_ticks if side == BUY else trade.buy_ticks
    plan = plan_of(place, hedge_side) if is_new else NO_PLAN
    if lots == 0 or not send_leg(legs, desk, place, listing, hedge_side, limit_ticks, lots, decision_ticks, plan):
        quote.rest_e9 = 0
        return
    quote.rest_e9 += sign_of(hedge_side) * base_e9(instrument, hedge.price_ticks, lots)
    strategy.hedged += 1
