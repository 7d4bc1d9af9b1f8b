"""Leg tracking: no trade is left with one leg ahead of the other, or an alarm says so.

Every order is an IOC. Once all orders of a trade have ended, what was bought is compared with what was sold; an
imbalance of more than 5/8 lot of the coarser leg is repaired, in this order:

    WORKING    the first orders of both legs are out
      | one leg is ahead
    RETRYING   the missing leg again at its current price: up to `retries` times within `retry_window_us`, the first at
      |        once, while the price is at most `unwind_loss_max_bps` worse than the one decided on
    HEDGING    instead at the best of the other listings with room for it below its `position_max`, under the same loss
      |        limit, as often as there are such listings; skipped unless `may_hedge`
      |
    UNWINDING  trade back what is ahead, `unwind_ticks` through the market where it was done (or at the best other
      |        listing while that has no proven book), again every `unwind_interval_ms`
    FAILED     `give_up_ms` have passed since the start: the alarm counter grows, nothing new is started, and the
               unwinding goes on once every `give_up_ms` until it is flat

From every state a flat trade ends: its record is written, once. A veto, a reject and a partial fill all count alike:
the leg is missing by so much. What remains of lots that do not divide (inverse contracts against coins) is carried, and
the next trade buys or sells that much more, so that it never adds up.
"""

from typing import Annotated

from crosswire.nic.memory.raw import pinned
from crosswire.nic.memory.struct import Array, Struct, address_of, copy_struct, i8, i64, view
from crosswire.nic.unit.compile import compiled, inlined
from crosswire.risk.position import Position
from crosswire.strategies.desk import REQUESTS_MAX, Desk, add_order, next_trade_id, submit, wake_at
from crosswire.strategies.interface import Strategy, on_book_lost, on_fill, on_finish, on_flattened, on_order, on_timer
from crosswire.strategies.listing import (
    LISTINGS_MAX,
    PAIRS_MAX,
    Listing,
    buy_room_e9,
    cost_e9,
    fill_cash_e9,
    is_price,
    nearest_lots,
    note_taken,
    sale_e9,
    sell_room_e9,
    value_e9,
)
from crosswire.strategies.opportunity import (
    TRADES_MAX,
    Blocked,
    Opportunities,
    end_opportunities,
    note_trade,
    note_trade_end,
    pairs_touching,
)
from crosswire.strategies.plan import Plan, walk_books
from crosswire.strategies.planned import NO_PLAN, PLANS_MAX
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
from crosswire.venues.book.book import Book
from crosswire.venues.instrument import Instrument, base_e9, multiply_e9, price_e9
from crosswire.venues.market import MAP_INSTRUMENTS_MAX
from crosswire.venues.order import IOC, Order, OrderState, Report
from crosswire.venues.side import BUY, SELL, sign_of

NO_LISTING = -1
NO_ROOM_NEEDED_E9 = -(1 << 62)
# An order's tag: the trade's place, the listing and the state that it was sent in.
TAG_BITS = 5
TAG_MASK = (1 << TAG_BITS) - 1
assert PLANS_MAX >= 2 * TRADES_MAX


class Pair(Struct):
    """Two listings traded against each other."""

    last_start_ns: i64
    in_flight: i64  # trades
    held_e9: i64  # base coin, sum of what trades captured, each in its `direction`


class Legs(Struct):
    """The listings of a strategy, its trades in flight and how their legs are worked."""

    count: i64  # listings in use
    slippage_ticks: i64
    retries: i64
    retry_window_ns: i64
    retry_interval_ns: i64
    loss_max_e9: i64  # fraction of the price decided on
    may_hedge: i64  # 1: a missing leg may be done at a third listing
    unwind_ticks: i64
    unwind_interval_ns: i64
    give_up_ns: i64
    open_trades_max: i64  # of one pair
    cooldown_ns: i64  # between two starts of one pair
    book_age_max_ns: i64
    carry_e9: i64  # bought more than sold by trades that have ended, 1e-9 of the base coin
    alarms: i64  # trades that were not flat in time, and fills that came after their trade's end
    failed: i64  # FAILED trades that are not flat yet
    listing_of: Annotated[Array, i8, MAP_INSTRUMENTS_MAX]  # market index -> listing, NO_LISTING for others
    listings: Annotated[Array, Listing, LISTINGS_MAX]
    pairs: Annotated[Array, Pair, PAIRS_MAX]
    trades: Annotated[Array, Trade, TRADES_MAX]
    opportunities: Opportunities


class LegStrategy(Strategy):
    """Base of strategies that trade in two legs: everything but the signal."""

    legs: Legs

    def counters(self) -> dict[str, int]:
        """Return the alarms of all trades so far, the trades that are still not flat, and what silence has ended."""
        return {
            "strategy: alarms": self.legs.alarms,
            "strategy: failed trades not flat": self.legs.failed,
            "strategy: opportunities ended by a silent book": self.legs.opportunities.silenced,
        }


@compiled
def instrument_of(legs: Legs, desk: Desk, listing: int) -> Instrument:
    """Return the instrument of a listing."""
    return desk.instruments[legs.listings[listing].instrument]


@compiled
def position_of(legs: Legs, desk: Desk, listing: int) -> Position:
    """Return the position in a listing's instrument."""
    return desk.positions[legs.listings[listing].instrument]


@compiled
def pair_number(first: int, second: int) -> int:
    """Return the number of two listings in either order."""
    return min(first, second) * LISTINGS_MAX + max(first, second)


@inlined
def book_of(legs: Legs, desk: Desk, listing: int) -> Book:
    """Return the book of a listing's instrument."""
    return view(Book, pinned(address_of(desk.books[legs.listings[listing].instrument])))


@compiled
def market_ticks(legs: Legs, desk: Desk, listing: int, side: int) -> int:
    """Return the best price to buy or sell at; 0 if the book is not proven or that side is empty."""
    book = book_of(legs, desk, listing)
    price_ticks = book.ask_ticks if side == BUY else book.bid_ticks
    return price_ticks if book.valid != 0 and is_price(price_ticks) else 0


@compiled
def walk(
    legs: Legs, desk: Desk, plan: Plan, buy: int, sell: int, hurdle_rate_e9: int, depth: int, limit_e9: int, whole: bool
) -> None:
    """Call `walk_books` on the books of two listings."""
    buy_instrument = instrument_of(legs, desk, buy)
    sell_instrument = instrument_of(legs, desk, sell)
    walk_books(
        plan,
        legs.listings[buy],
        buy_instrument,
        desk.books[buy_instrument.index],
        legs.listings[sell],
        sell_instrument,
        desk.books[sell_instrument.index],
        hurdle_rate_e9,
        depth,
        limit_e9,
        whole,
    )


@inlined
def side_room_e9(legs: Legs, desk: Desk, listing: int, side: int, price_ticks: int) -> int:
    """Return how much more of one listing may be bought or sold, 1e-9 of the base coin; may be negative."""
    instrument = instrument_of(legs, desk, listing)
    position = position_of(legs, desk, listing)
    if side == BUY:
        return buy_room_e9(legs.listings[listing], instrument, position, price_ticks)
    return sell_room_e9(legs.listings[listing], instrument, position, price_ticks)


@inlined
def room_e9(legs: Legs, desk: Desk, buy: int, sell: int) -> int:
    """Return how much both positions may still grow, 1e-9 of the base coin; both books have a price to trade at."""
    return min(
        side_room_e9(legs, desk, buy, BUY, market_ticks(legs, desk, buy, BUY)),
        side_room_e9(legs, desk, sell, SELL, market_ticks(legs, desk, sell, SELL)),
    )


@compiled
def fresh_until_ns(legs: Legs, desk: Desk, buy: int, sell: int) -> int:
    """Tell until when both books are young enough to trade on, if nothing more is heard of the older one."""
    buy_book_ns = book_of(legs, desk, buy).receive_time_ns
    sell_book_ns = book_of(legs, desk, sell).receive_time_ns
    return min(buy_book_ns, sell_book_ns) + legs.book_age_max_ns


@compiled
def blocked_by(legs: Legs, desk: Desk, buy: int, sell: int) -> int:
    """Tell why no trade may start between these listings now (`Blocked`); NONE if one may."""
    buy_book_ns = book_of(legs, desk, buy).receive_time_ns
    sell_book_ns = book_of(legs, desk, sell).receive_time_ns
    return blocked_between(legs, desk, buy, sell, buy_book_ns, sell_book_ns)


@inlined
def blocked_between(legs: Legs, desk: Desk, buy: int, sell: int, buy_book_ns: int, sell_book_ns: int) -> int:
    """Do as `blocked_by` for books of these times."""
    if legs.failed != 0:
        return Blocked.STOPPED
    if desk.now_ns > min(buy_book_ns, sell_book_ns) + legs.book_age_max_ns:
        return Blocked.STALE
    pair = legs.pairs[pair_number(buy, sell)]
    if pair.in_flight >= legs.open_trades_max:
        return Blocked.IN_FLIGHT
    if pair.last_start_ns != 0 and desk.now_ns - pair.last_start_ns < legs.cooldown_ns:
        return Blocked.COOLDOWN
    if buy_book_ns == legs.listings[buy].ask_taken_ns or sell_book_ns == legs.listings[sell].bid_taken_ns:
        return Blocked.TAKEN
    if desk.request_count + 2 > REQUESTS_MAX:
        return Blocked.NO_REQUEST
    return Blocked.NONE


@inlined
def start_trade(legs: Legs, desk: Desk, buy: int, sell: int, plan: Plan, direction: int, opportunity: int) -> bool:
    """Send both legs of a planned trade that nothing blocks; False if TRADES_MAX are in flight."""
    place = free_place(legs)
    if place == TRADES_MAX:
        return False
    trade_id = ask_for_legs(
        legs, desk, place, buy, sell, plan.buy_ticks, plan.sell_ticks, plan.buy_lots, plan.sell_lots
    )
    enter_trade(legs, desk, place, trade_id, buy, sell, plan, direction, opportunity)
    return True


@inlined
def free_place(legs: Legs) -> int:
    """Find where a trade may be entered; TRADES_MAX if all places are taken."""
    place = 0
    while place < TRADES_MAX and legs.trades[place].state != TradeState.FREE:
        place += 1
    return place


@inlined
def ask_for_legs(
    legs: Legs,
    desk: Desk,
    place: int,
    buy: int,
    sell: int,
    buy_ticks: int,
    sell_ticks: int,
    buy_lots: int,
    sell_lots: int,
) -> int:
    """Ask for both legs of a trade that nothing blocks, each never below one tick; return the trade's number.

    The trade itself is to be entered before anything is heard of its orders.
    """
    trade_id = next_trade_id(desk)
    buy_instrument, sell_instrument = legs.listings[buy].instrument, legs.listings[sell].instrument
    buy_limit, sell_limit = max(1, buy_ticks + legs.slippage_ticks), max(1, sell_ticks - legs.slippage_ticks)
    buy_tag, sell_tag = tag_of(TradeState.WORKING, buy, place), tag_of(TradeState.WORKING, sell, place)
    buy_plan, sell_plan = plan_of(place, BUY), plan_of(place, SELL)
    # `blocked_by` has left room for two requests.
    add_order(desk, buy_instrument, BUY, buy_limit, buy_lots, IOC, buy_ticks, trade_id, buy_tag, buy_plan)
    add_order(desk, sell_instrument, SELL, sell_limit, sell_lots, IOC, sell_ticks, trade_id, sell_tag, sell_plan)
    return trade_id


@inlined
def enter_trade(
    legs: Legs,
    desk: Desk,
    place: int,
    trade_id: int,
    buy: int,
    sell: int,
    plan: Plan,
    direction: int,
    opportunity: int,
) -> None:
    """Enter the trade whose legs were asked for, and what its orders are planned to take."""
    trade = legs.trades[place]
    _fill_in(legs, desk, trade, buy, sell, plan)
    trade.trade_id = trade_id
    trade.open_orders = 2
    trade.direction = direction
    trade.opportunity = opportunity
    trade.carried_e9 = legs.carry_e9
    legs.carry_e9 = 0
    legs.pairs[trade.pair].in_flight += 1
    legs.pairs[trade.pair].last_start_ns = desk.now_ns
    note_taken(legs.listings[buy], BUY, desk.books[legs.listings[buy].instrument].receive_time_ns)
    note_taken(legs.listings[sell], SELL, desk.books[legs.listings[sell].instrument].receive_time_ns)
    note_trade(legs.opportunities, opportunity)
    wake_at(desk, trade.give_up_ns)
    copy_struct(desk.plans[plan_of(place, BUY) - 1], plan.buy_levels)
    copy_struct(desk.plans[plan_of(place, SELL) - 1], plan.sell_levels)


@inlined
def _fill_in(legs: Legs, desk: Desk, trade: Trade, buy: int, sell: int, plan: Plan) -> None:
    trade.state = TradeState.WORKING
    trade.pair = pair_number(buy, sell)
    trade.buy = buy
    trade.sell = sell
    trade.buy_ticks = plan.buy_ticks
    trade.sell_ticks = plan.sell_ticks
    trade.first_buy_ticks = market_ticks(legs, desk, buy, BUY)
    trade.first_sell_ticks = market_ticks(legs, desk, sell, SELL)
    trade.buy_value_e9 = plan.buy_value_e9
    trade.sell_value_e9 = plan.sell_value_e9
    # Half a lot is what rounding leaves; the rest is for inverse lots, whose coins change with the price.
    trade.tolerance_e9 = plan.lot_e9 * 5 // 8
    trade.intended_e9 = plan.size_e9
    trade.bought_e9 = 0
    trade.sold_e9 = 0
    trade.retried_e9 = 0
    trade.hedged_e9 = 0
    trade.unwound_e9 = 0
    trade.cash_e9 = 0
    trade.expected_value_e9 = plan.value_e9
    trade.miss_cost_e9 = 0
    trade.retries = 0
    trade.hedges = 0
    trade.start_ns = desk.now_ns
    trade.retry_until_ns = 0
    trade.next_ns = desk.now_ns
    trade.give_up_ns = desk.now_ns + legs.give_up_ns
    trade.is_ahead = 0
    trade.ahead_since_ns = 0
    trade.unhedged_ns = 0


@inlined
def tag_of(state: int, listing: int, place: int) -> int:
    """Return an order's tag."""
    return (state << TAG_BITS | listing) << TAG_BITS | place


@compiled
def plan_of(place: int, side: int) -> int:
    """Return the number of a trade's plan of one leg, as an order names it."""
    return 2 * place + side + 1


@inlined
def send_leg(
    legs: Legs,
    desk: Desk,
    place: int,
    listing: int,
    side: int,
    limit_ticks: int,
    lots: int,
    decision_ticks: int,
    plan: int,
) -> bool:
    """Send one IOC of a trade, never below one tick; False if the desk takes no more requests in this turn."""
    trade = legs.trades[place]
    tag = tag_of(trade.state, listing, place)
    instrument = legs.listings[listing].instrument
    price_ticks = max(1, limit_ticks)
    sent = submit(
        desk,
        instrument,
        side,
        price_ticks,
        lots,
        decision_ticks=decision_ticks,
        trade_id=trade.trade_id,
        tag=tag,
        plan=plan,
    )
    if sent:
        trade.open_orders += 1
    return sent


@compiled
def take_fill(legs: Legs, desk: Desk, order: Order, report: Report) -> None:
    """Book one execution of an order of ours."""
    if order.trade_id == 0:
        return
    place = order.tag & TAG_MASK
    number = order.tag >> TAG_BITS & TAG_MASK
    stage = order.tag >> (2 * TAG_BITS)
    listing = legs.listings[number]
    instrument = instrument_of(legs, desk, number)
    size_e9 = base_e9(instrument, report.price_ticks, report.qty_lots)
    trade = legs.trades[place]
    if trade.state == TradeState.FREE or trade.trade_id != order.trade_id:
        legs.carry_e9 += sign_of(report.side) * size_e9
        legs.alarms += 1
        return
    cash_e9 = fill_cash_e9(listing, instrument, report.side, report.price_ticks, report.qty_lots, report.fee_e9)
    book_fill(trade, desk, stage, report.side, size_e9, cash_e9)
    if stage != TradeState.WORKING:
        if report.side == BUY:
            trade.miss_cost_e9 -= cash_e9 + value_e9(size_e9, trade.buy_value_e9)
        else:
            trade.miss_cost_e9 += value_e9(size_e9, trade.sell_value_e9) - cash_e9


@compiled
def take_order(legs: Legs, desk: Desk, order: Order) -> None:
    """Note a changed order of ours; when it was the last one open, the trade goes on."""
    if order.trade_id == 0 or order.state <= OrderState.PENDING_CANCEL:
        return
    place = order.tag & TAG_MASK
    trade = legs.trades[place]
    if trade.state == TradeState.FREE or trade.trade_id != order.trade_id:
        return
    trade.open_orders -= 1
    go_on(legs, desk, place)


@compiled
def take_timer(legs: Legs, desk: Desk) -> None:
    """Start repairs that waited, and end trades whose time is up."""
    for place in range(TRADES_MAX):
        trade = legs.trades[place]
        if trade.state == TradeState.FREE:
            continue
        give_up_if_due(legs, desk, trade)
        go_on(legs, desk, place)
        if trade.state != TradeState.FREE and trade.state != TradeState.FAILED:
            wake_at(desk, trade.give_up_ns)


@inlined
def give_up_if_due(legs: Legs, desk: Desk, trade: Trade) -> None:
    """Raise the alarm for a trade whose time is up."""
    if trade.state != TradeState.FAILED and desk.now_ns >= trade.give_up_ns:
        trade.state = TradeState.FAILED
        legs.failed += 1
        legs.alarms += 1


@inlined
def is_repair_due(legs: Legs, desk: Desk, trade: Trade) -> bool:
    """Begin to repair a trade that is not flat; tell whether its next step is due, and else wake for it."""
    if trade.state == TradeState.WORKING:
        trade.state = TradeState.RETRYING
        trade.retry_until_ns = desk.now_ns + legs.retry_window_ns
    if desk.now_ns < trade.next_ns:
        wake_at(desk, trade.next_ns)
        return False
    return True


@compiled
def go_on(legs: Legs, desk: Desk, place: int) -> None:
    """End the trade if it is flat, else take the next step of its repair, now or when its time comes."""
    trade = legs.trades[place]
    if trade.open_orders > 0:
        return
    untouched = trade.bought_e9 == 0 and trade.sold_e9 == 0
    if untouched or abs(residual_e9(trade)) <= trade.tolerance_e9:
        _end(legs, desk, trade, outcome_of(trade))
        return
    if not is_repair_due(legs, desk, trade):
        return
    if trade.state == TradeState.RETRYING:
        if _retry(legs, desk, place):
            return
        trade.state = TradeState.HEDGING
    if trade.state == TradeState.HEDGING:
        if _hedge(legs, desk, place):
            return
        trade.state = TradeState.UNWINDING
    _unwind(legs, desk, place)


@compiled
def _side_missing(trade: Trade) -> int:
    return SELL if residual_e9(trade) > 0 else BUY


@compiled
def _worth_e9(legs: Legs, desk: Desk, listing: int, side: int, price_ticks: int) -> int:
    """Return what one unit of base adds to our money when traded at this price after fees: more is better."""
    instrument = instrument_of(legs, desk, listing)
    if side == BUY:
        return -cost_e9(legs.listings[listing], instrument, price_ticks)
    return sale_e9(legs.listings[listing], instrument, price_ticks)


@compiled
def _send_missing(legs: Legs, desk: Desk, place: int, listing: int, through_ticks: int) -> bool:
    """Send what is missing, that many ticks through the best price, to a listing that has one; False if not sent."""
    trade = legs.trades[place]
    side = _side_missing(trade)
    best_ticks = market_ticks(legs, desk, listing, side)
    lots = nearest_lots(instrument_of(legs, desk, listing), best_ticks, abs(residual_e9(trade)))
    if lots == 0:
        return False
    decision_ticks = best_ticks
    plan: int = NO_PLAN
    if listing == trade.buy and side == BUY:
        decision_ticks = trade.buy_ticks
        plan = plan_of(place, BUY)
    elif listing == trade.sell and side == SELL:
        decision_ticks = trade.sell_ticks
        plan = plan_of(place, SELL)
    limit_ticks = best_ticks + sign_of(side) * through_ticks
    return send_leg(legs, desk, place, listing, side, limit_ticks, lots, decision_ticks, plan)


@compiled
def _within_loss(legs: Legs, desk: Desk, trade: Trade, listing: int) -> bool:
    """Tell whether the missing leg, at the worst price that it could be done at here, loses no more than allowed."""
    side = _side_missing(trade)
    best_ticks = market_ticks(legs, desk, listing, side)
    if best_ticks == 0:
        return False
    limit_ticks = max(1, best_ticks + sign_of(side) * legs.slippage_ticks)
    decided_e9 = -trade.buy_value_e9 if side == BUY else trade.sell_value_e9
    loss_e9 = decided_e9 - _worth_e9(legs, desk, listing, side, limit_ticks)
    return loss_e9 <= multiply_e9(abs(decided_e9), legs.loss_max_e9)


@compiled
def _retry(legs: Legs, desk: Desk, place: int) -> bool:
    trade = legs.trades[place]
    if trade.retries >= legs.retries or desk.now_ns > trade.retry_until_ns:
        return False
    missing = trade.buy if _side_missing(trade) == BUY else trade.sell
    if not _within_loss(legs, desk, trade, missing):
        return False
    if not _send_missing(legs, desk, place, missing, legs.slippage_ticks):
        return False
    trade.retries += 1
    trade.next_ns = desk.now_ns + legs.retry_interval_ns
    return True


@compiled
def _best_listing(legs: Legs, desk: Desk, side: int, but: int, and_but: int, least_room_e9: int) -> int:
    """Find the best price after fees among listings with a proven book and room, but two; NO_LISTING if none."""
    best = NO_LISTING
    best_worth_e9 = 0
    for listing in range(legs.count):
        best_ticks = market_ticks(legs, desk, listing, side)
        if listing == but or listing == and_but or best_ticks == 0:
            continue
        if side_room_e9(legs, desk, listing, side, best_ticks) >= least_room_e9:
            worth_e9 = _worth_e9(legs, desk, listing, side, best_ticks)
            if best == NO_LISTING or worth_e9 > best_worth_e9:
                best = listing
                best_worth_e9 = worth_e9
    return best


@compiled
def _hedge(legs: Legs, desk: Desk, place: int) -> bool:
    trade = legs.trades[place]
    if legs.may_hedge == 0 or trade.hedges >= legs.count - 2:
        return False
    best = _best_listing(legs, desk, _side_missing(trade), trade.buy, trade.sell, abs(residual_e9(trade)))
    if best == NO_LISTING or not _within_loss(legs, desk, trade, best):
        return False
    trade.hedges += 1
    return _send_missing(legs, desk, place, best, legs.slippage_ticks)


@compiled
def _unwind(legs: Legs, desk: Desk, place: int) -> None:
    trade = legs.trades[place]
    pause_ns = legs.give_up_ns if trade.state == TradeState.FAILED else legs.unwind_interval_ns
    trade.next_ns = desk.now_ns + pause_ns
    side = _side_missing(trade)
    listing = trade.sell if side == BUY else trade.buy
    if market_ticks(legs, desk, listing, side) == 0:
        listing = _best_listing(legs, desk, side, listing, listing, NO_ROOM_NEEDED_E9)
    if listing == NO_LISTING or not _send_missing(legs, desk, place, listing, legs.unwind_ticks):
        wake_at(desk, trade.next_ns)


@compiled
def _end(legs: Legs, desk: Desk, trade: Trade, outcome: int) -> None:
    if trade.state == TradeState.FAILED:
        legs.failed -= 1
    legs.carry_e9 += residual_e9(trade)
    pair = legs.pairs[trade.pair]
    pair.in_flight -= 1
    pair.held_e9 += trade.direction * captured_e9(trade)
    note_trade_end(legs.opportunities, desk, trade.opportunity, captured_e9(trade))
    # An imbalance is valued at the bought price without fees.
    buy_price_e9 = price_e9(instrument_of(legs, desk, trade.buy), trade.buy_ticks)
    reference_e9 = multiply_e9(buy_price_e9, legs.listings[trade.buy].unit_e9)
    residual_value_e9 = value_e9(trade.bought_e9 - trade.sold_e9, reference_e9)
    write_trade(
        trade,
        desk,
        legs.listings[trade.buy].instrument,
        legs.listings[trade.sell].instrument,
        residual_value_e9,
        outcome,
    )


@compiled
def lose_book(legs: Legs, desk: Desk, instrument: int) -> None:
    """End the opportunities of a book that is no longer proven."""
    listing = legs.listing_of[instrument]
    if listing != NO_LISTING:
        end_opportunities(legs.opportunities, desk, pairs_touching(listing))


@compiled
def _end_all(legs: Legs, desk: Desk) -> None:
    """Write the trades in flight, as they are."""
    for place in range(TRADES_MAX):
        trade = legs.trades[place]
        if trade.state != TradeState.FREE:
            _end(legs, desk, trade, Outcome.FAILED if trade.state == TradeState.FAILED else Outcome.UNFINISHED)


@compiled
def forget_trades(legs: Legs, desk: Desk) -> None:
    """End all trades, none is repaired, and hold nothing: the positions were traded away by somebody else."""
    _end_all(legs, desk)
    legs.carry_e9 = 0
    for number in range(PAIRS_MAX):
        legs.pairs[number].held_e9 = 0


@compiled
def close_records(legs: Legs, desk: Desk) -> None:
    """Write what is still open: the run ends."""
    _end_all(legs, desk)
    end_opportunities(legs.opportunities, desk, legs.opportunities.open_pairs)


@on_fill.register(LegStrategy)
def _take_fill(strategy: LegStrategy, desk: Desk, order: Order, report: Report) -> None:
    take_fill(strategy.legs, desk, order, report)


@on_order.register(LegStrategy)
def _take_order(strategy: LegStrategy, desk: Desk, order: Order) -> None:
    take_order(strategy.legs, desk, order)


@on_timer.register(LegStrategy)
def _take_timer(strategy: LegStrategy, desk: Desk) -> None:
    take_timer(strategy.legs, desk)


@on_book_lost.register(LegStrategy)
def _lose_book(strategy: LegStrategy, desk: Desk, instrument: int) -> None:
    lose_book(strategy.legs, desk, instrument)


@on_finish.register(LegStrategy)
def _close_records(strategy: LegStrategy, desk: Desk) -> None:
    close_records(strategy.legs, desk)


@on_flattened.register(LegStrategy)
def _forget_trades(strategy: LegStrategy, desk: Desk) -> None:
    forget_trades(strategy.legs, desk)
