"""Where a maker's quotes should stand, from what their hedges would cost now."""

from crosswire.nic.unit.compile import compiled
from crosswire.strategies.desk import Desk
from crosswire.strategies.exposure import premium_e9
from crosswire.strategies.legs import NO_LISTING, instrument_of, side_room_e9
from crosswire.strategies.listing import RATE_MASK, cost_e9, is_price, sale_e9, value_e9
from crosswire.strategies.maker.hedge import walk_book
from crosswire.strategies.maker.quote import leaves_lots
from crosswire.strategies.maker.state import QUOTED, Maker, fundable_e9, is_fresh, walk_hedge
from crosswire.strategies.opportunity import (
    NO_OPPORTUNITY,
    end_opportunity,
    follow_opportunity,
    note_peak,
    open_opportunity,
    pair_of,
)
from crosswire.venues.instrument import base_e9, divide_e9, lots_of_base, price_e9
from crosswire.venues.side import BUY, opposite


@compiled
def limit_price_e9(strategy: Maker, desk: Desk, side: int, listing: int, size_e9: int, keeps: bool) -> int:
    """Find the worst price at which a fill of `size_e9`, hedged at a listing now, earns enough; 0: it has no hedge.

    1e-9 of the quoted instrument's quote currency, exact: the highest to buy at, the lowest to sell at. What the hedge
    takes is left in `strategy.hedge`; where the book offers less than the size, the price is for what it does offer.
    """
    legs, hedge = strategy.legs, strategy.hedge
    bought = strategy.rates[QUOTED if side == BUY else listing]
    rate_e9 = (bought.keep_e9 if keeps else bought.least_e9) + premium_e9(strategy.exposures[listing])
    rate_e9 = min(RATE_MASK, rate_e9)
    instrument = instrument_of(legs, desk, listing)
    book = desk.books[instrument.index]
    hedge_side = opposite(side)
    walk_book(hedge, listing, legs.listings[listing], instrument, book, hedge_side, rate_e9, strategy.depth, size_e9)
    if hedge.size_e9 == 0:
        return 0
    if side == BUY:
        return divide_e9(hedge.unit_value_e9, rate_e9)
    return -divide_e9(-hedge.unit_value_e9, strategy.maker.sale_rate_e9)


@compiled
def aim_at(strategy: Maker, desk: Desk, side: int, want_e9: int) -> None:
    """Find where a quote of `want_e9` at most should stand, `strategy.aims[side]`, and follow the opportunities."""
    aim = strategy.aims[side]
    aim.lots = 0
    aim.limit_e9 = 0
    aim.listing = NO_LISTING
    is_quotable = is_fresh(strategy, desk, QUOTED)
    for listing in range(1, strategy.legs.count):
        if is_quotable and is_fresh(strategy, desk, listing):
            consider(strategy, desk, side, listing, want_e9)
        else:
            end_touch(strategy, desk, side, listing)


@compiled
def consider(strategy: Maker, desk: Desk, side: int, listing: int, want_e9: int) -> None:
    """Aim with this listing as the hedge if its price is better than that of those before."""
    legs, hedge, aim = strategy.legs, strategy.hedge, strategy.aims[side]
    limit_e9 = limit_price_e9(strategy, desk, side, listing, strategy.size_max_e9, False)
    follow_touch(strategy, desk, side, listing, limit_e9)
    if limit_e9 == 0:
        return
    quoted = instrument_of(legs, desk, QUOTED)
    limit_ticks = limit_e9 // quoted.tick_e9
    if not is_price(limit_ticks):
        return
    own_e9 = base_e9(quoted, limit_ticks, leaves_lots(strategy.quotes[side]))
    room_e9 = side_room_e9(legs, desk, QUOTED, side, limit_ticks) + own_e9
    size_e9 = min(want_e9, room_e9, fundable_e9(strategy, desk, side, listing))
    if size_e9 <= 0:
        return
    limit_e9 = limit_price_e9(strategy, desk, side, listing, size_e9, False)
    if aim.listing != NO_LISTING and (limit_e9 <= aim.limit_e9 if side == BUY else limit_e9 >= aim.limit_e9):
        return
    price_ticks = passive_ticks(strategy, desk, side, limit_e9)
    if not is_price(price_ticks):
        return
    lots = lots_of_base(quoted, price_ticks, hedge.size_e9)
    if lots == 0 or base_e9(quoted, price_ticks, lots) < strategy.size_min_e9:
        return
    aim.lots = lots
    aim.price_ticks = price_ticks
    aim.limit_e9 = limit_e9
    aim.listing = listing
    aim.hedge_ticks = hedge.price_ticks


@compiled
def passive_ticks(strategy: Maker, desk: Desk, side: int, limit_e9: int) -> int:
    """Convert a limit to the best price on the tick that takes nothing of the quoted book."""
    quoted = instrument_of(strategy.legs, desk, QUOTED)
    book = desk.books[quoted.index]
    if side == BUY:
        price_ticks = limit_e9 // quoted.tick_e9
        return min(price_ticks, book.ask_ticks - 1) if is_price(book.ask_ticks) else price_ticks
    price_ticks = -(-limit_e9 // quoted.tick_e9)
    return max(price_ticks, book.bid_ticks + 1) if is_price(book.bid_ticks) else price_ticks


# Opportunities: spans in which a quote at the touch would have earned enough.


@compiled
def touch_pair(side: int, listing: int) -> int:
    """Return the number of the ordered pair that a quote of a side and its hedge trade."""
    return pair_of(QUOTED, listing) if side == BUY else pair_of(listing, QUOTED)


@compiled
def end_touch(strategy: Maker, desk: Desk, side: int, listing: int) -> None:
    """End the opportunity of one side with a listing, if there is one."""
    end_opportunity(strategy.legs.opportunities, desk, touch_pair(side, listing))


@compiled
def follow_touch(strategy: Maker, desk: Desk, side: int, listing: int, limit_e9: int) -> None:
    """Follow the opportunity of joining the best price of the quoted book, if a fill there earns enough."""
    legs, hedge = strategy.legs, strategy.hedge
    quoted = instrument_of(legs, desk, QUOTED)
    book = desk.books[quoted.index]
    touch_ticks = book.bid_ticks if side == BUY else book.ask_ticks
    if limit_e9 == 0 or not is_price(touch_ticks):
        end_touch(strategy, desk, side, listing)
        return
    touch_e9 = price_e9(quoted, touch_ticks)
    if touch_e9 > limit_e9 if side == BUY else touch_e9 < limit_e9:
        end_touch(strategy, desk, side, listing)
        return
    walk_hedge(strategy, desk, hedge, listing, opposite(side), strategy.size_max_e9)
    if side == BUY:
        edge_e9 = hedge.unit_value_e9 - cost_e9(strategy.maker, quoted, touch_ticks)
    else:
        edge_e9 = sale_e9(strategy.maker, quoted, touch_ticks) - hedge.unit_value_e9
    pair = touch_pair(side, listing)
    is_new = open_opportunity(legs.opportunities, pair) == NO_OPPORTUNITY
    other = instrument_of(legs, desk, listing).index
    fresh_ns = min(book.receive_time_ns, desk.books[other].receive_time_ns) + legs.book_age_max_ns
    bought = quoted.index if side == BUY else other
    sold = other if side == BUY else quoted.index
    index = follow_opportunity(legs.opportunities, desk, pair, bought, sold, edge_e9, fresh_ns)
    if index == NO_OPPORTUNITY:
        return
    opportunity = legs.opportunities.items[index]
    # What is bought or sold at the touch is at the other end of the book than what a taker would.
    if is_new and side == BUY:
        opportunity.first_buy_ticks = touch_ticks
    elif is_new:
        opportunity.first_sell_ticks = touch_ticks
    if edge_e9 > opportunity.peak_edge_e9:
        note_peak(legs.opportunities, desk, index, edge_e9, hedge.size_e9, value_e9(hedge.size_e9, edge_e9))
        if side == BUY:
            opportunity.peak_buy_ticks = touch_ticks
        else:
            opportunity.peak_sell_ticks = touch_ticks
