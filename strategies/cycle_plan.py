"""How much can be sent round a cycle of instruments, in lots of each.

Every leg turns what the one before it brings into the next currency. A leg takes whole lots of what its book offers at
the best price, and no more than may be sent, held and sold short. From these bounds the lots are found in two passes:
forward, a leg can't spend more than the one before brings; then backward, none brings more than the next one spends,
but for less than a lot of its own. Everything is rounded against the trade: spending up, what it brings down.

What is left of a currency is carried: the next trade through it spends that much more, or less, of it, as far as that
is no more than half of what it spends there.
"""

from typing import Annotated

from crosswire.nic.memory.struct import Array, Struct, i64
from crosswire.nic.unit.compile import compiled, inlined
from crosswire.risk.records import LEGS_MAX
from crosswire.strategies.desk import Desk
from crosswire.strategies.legs import Legs, instrument_of, position_of, side_room_e9
from crosswire.strategies.listing import LISTINGS_MAX, Listing, value_e9
from crosswire.venues.instrument import (
    Instrument,
    Payoff,
    base_e9,
    divide_e9,
    lots_of_base,
    multiply_e9,
    notional_e9,
    price_e9,
)
from crosswire.venues.side import BUY

CURRENCIES_MAX = 2 * LISTINGS_MAX
DIVISOR_BITS = 53  # of `divide_e9`


class CycleLeg(Struct):
    """One instrument of a cycle, traded on one side."""

    listing: i64
    side: i64
    source: i64  # the currency that it spends
    target: i64  # the one that it brings


class Cycle(Struct):
    """One way round; money is in the source of its first leg, which buys for it, as the last one sells."""

    count: i64
    legs: Annotated[Array, CycleLeg, LEGS_MAX]
    packed: i64  # `pack_legs`, as records have it
    last_start_ns: i64


class Currency(Struct):
    """One currency, at all venues."""

    size_max_e9: i64  # that one leg may turn into it or spend of it
    carry_e9: i64  # more brought than spent by trades that have ended


class Bounds(Struct):
    """What the gate lets through of one listing, as it was when the strategy was built."""

    order_lots_max: i64
    order_notional_max_e9: i64
    position_lots_max: i64
    short_lots_max: i64  # of spot: what may be borrowed


class Means(Struct):
    """What cycles are traded with, and what they have left of it."""

    currencies: Annotated[Array, Currency, CURRENCIES_MAX]
    bounds: Annotated[Array, Bounds, LISTINGS_MAX]
    in_flight: Annotated[Array, i64, LISTINGS_MAX]  # trades, by listing


class CyclePlan(Struct):
    """A trade before it starts, by the cycle's legs."""

    lots: Annotated[Array, i64, LEGS_MAX]
    taken_e9: Annotated[Array, i64, LEGS_MAX]  # of what is carried, from the leg's source


@inlined
def leg_ticks(desk: Desk, legs: Legs, leg: CycleLeg) -> int:
    """Return the best price that a leg trades at."""
    book = desk.books[legs.listings[leg.listing].instrument]
    return book.ask_ticks if leg.side == BUY else book.bid_ticks


@compiled
def spent_e9(listing: Listing, instrument: Instrument, side: int, price_ticks: int, qty_lots: int) -> int:
    """Return what so many lots cost of the currency that they are paid in, taker fee included, rounded up."""
    if side == BUY:
        return -value_e9(-notional_e9(instrument, price_ticks, qty_lots), listing.cost_rate_e9)
    size_e9 = base_e9(instrument, price_ticks, qty_lots)
    return size_e9 + 1 if instrument.payoff == Payoff.INVERSE else size_e9


@compiled
def brought_e9(listing: Listing, instrument: Instrument, side: int, price_ticks: int, qty_lots: int) -> int:
    """Return what so many lots bring of the other currency, less the taker fee, rounded down."""
    if side == BUY:
        return base_e9(instrument, price_ticks, qty_lots)
    return value_e9(notional_e9(instrument, price_ticks, qty_lots), listing.sale_rate_e9)


@compiled
def share_of(qty_lots: int, part: int, whole: int) -> int:
    """Compute qty_lots * part / whole for 0 <= part <= whole, off by 1e-9 of the lots and one."""
    while whole >> DIVISOR_BITS != 0:
        whole >>= 1
        part >>= 1
    return multiply_e9(qty_lots, divide_e9(part, max(1, whole)))


@compiled
def lots_within(
    listing: Listing, instrument: Instrument, side: int, price_ticks: int, qty_lots: int, available_e9: int
) -> int:
    """Return the most lots, of `qty_lots`, that spend no more than this."""
    whole_e9 = spent_e9(listing, instrument, side, price_ticks, qty_lots)
    if whole_e9 <= available_e9:
        return qty_lots
    lots = share_of(qty_lots, max(0, available_e9), whole_e9)
    while lots > 0 and spent_e9(listing, instrument, side, price_ticks, lots) > available_e9:
        lots -= 1
    while lots < qty_lots and spent_e9(listing, instrument, side, price_ticks, lots + 1) <= available_e9:
        lots += 1
    return lots


@compiled
def least_lots(
    listing: Listing, instrument: Instrument, side: int, price_ticks: int, qty_lots: int, needed_e9: int
) -> int:
    """Return the fewest lots, of `qty_lots`, that bring as much as this; at least one."""
    whole_e9 = brought_e9(listing, instrument, side, price_ticks, qty_lots)
    if whole_e9 <= needed_e9:
        return qty_lots
    lots = max(1, share_of(qty_lots, max(0, needed_e9), whole_e9))
    while lots < qty_lots and brought_e9(listing, instrument, side, price_ticks, lots) < needed_e9:
        lots += 1
    while lots > 1 and brought_e9(listing, instrument, side, price_ticks, lots - 1) >= needed_e9:
        lots -= 1
    return lots


@compiled
def room_lots(means: Means, legs: Legs, desk: Desk, listing: int, side: int, price_ticks: int) -> int:
    """Return how many more lots may be held on a side, open orders counted as filled; 0 if none."""
    instrument, position = instrument_of(legs, desk, listing), position_of(legs, desk, listing)
    bounds = means.bounds[listing]
    if side == BUY:
        allowed_lots = bounds.position_lots_max - position.position_lots - position.open_buy_lots
    else:
        allowed_lots = bounds.short_lots_max + position.position_lots - position.open_sell_lots
    room_e9 = side_room_e9(legs, desk, listing, side, price_ticks)
    return max(0, min(allowed_lots, lots_of_base(instrument, price_ticks, max(0, room_e9))))


@inlined
def _order_lots(means: Means, legs: Legs, desk: Desk, leg: CycleLeg, price_ticks: int) -> int:
    """Return how many lots one order of a leg may have."""
    instrument, bounds = instrument_of(legs, desk, leg.listing), means.bounds[leg.listing]
    base, quote = (leg.target, leg.source) if leg.side == BUY else (leg.source, leg.target)
    base_max_e9, quote_max_e9 = means.currencies[base].size_max_e9, means.currencies[quote].size_max_e9
    lots = min(bounds.order_lots_max, lots_of_base(instrument, price_ticks, base_max_e9))
    # The limit of a buy may be that far above the price.
    lot_value_e9 = max(1, notional_e9(instrument, price_ticks + legs.slippage_ticks, 1))
    return min(lots, min(bounds.order_notional_max_e9, quote_max_e9) // lot_value_e9)


@inlined
def _bounded(amount: int, most: int) -> int:
    return max(-most, min(most, amount))


@compiled
def plan_lots(means: Means, legs: Legs, desk: Desk, cycle: Cycle, plan: CyclePlan, whole: bool) -> bool:
    """Find the lots of each leg at the best prices; False if there are none of one of them.

    With `whole` they are what the books offer, whatever may be sent and is carried.
    """
    for place in range(cycle.count):
        leg = cycle.legs[place]
        book = desk.books[legs.listings[leg.listing].instrument]
        ticks = leg_ticks(desk, legs, leg)
        lots = book.ask_lots if leg.side == BUY else book.bid_lots
        if not whole:
            lots = min(lots, _order_lots(means, legs, desk, leg, ticks))
            lots = min(lots, room_lots(means, legs, desk, leg.listing, leg.side, ticks))
        plan.lots[place] = lots
        plan.taken_e9[place] = 0
        if lots <= 0:
            return False
    for place in range(1, cycle.count):
        leg, before = cycle.legs[place], cycle.legs[place - 1]
        brought = brought_by(legs, desk, before, plan.lots[place - 1])
        taken_e9 = 0 if whole else _bounded(means.currencies[leg.source].carry_e9, brought // 2)
        instrument = instrument_of(legs, desk, leg.listing)
        ticks = leg_ticks(desk, legs, leg)
        plan.lots[place] = lots_within(
            legs.listings[leg.listing], instrument, leg.side, ticks, plan.lots[place], brought + taken_e9
        )
        if plan.lots[place] == 0:
            return False
    _trim(means, legs, desk, cycle, plan, whole)
    return True


@inlined
def _trim(means: Means, legs: Legs, desk: Desk, cycle: Cycle, plan: CyclePlan, whole: bool) -> None:
    """Have no leg bring more than the next one spends, but for less than one of its lots.

    What is carried is bounded by half of what the leg spends, where it was half of what the one before brings. With s
    spent, b brought and t taken, s <= b + t and |t| <= b / 2 hold from before, so s <= 3/2 b, and s - s / 2 <= b, too.
    """
    for back in range(1, cycle.count):
        place = cycle.count - back
        leg, before = cycle.legs[place], cycle.legs[place - 1]
        spent = spent_by(legs, desk, leg, plan.lots[place])
        taken_e9 = 0 if whole else _bounded(means.currencies[leg.source].carry_e9, spent // 2)
        plan.taken_e9[place] = taken_e9
        plan.lots[place - 1] = least_lots(
            legs.listings[before.listing],
            instrument_of(legs, desk, before.listing),
            before.side,
            leg_ticks(desk, legs, before),
            plan.lots[place - 1],
            spent - taken_e9,
        )


@inlined
def spent_by(legs: Legs, desk: Desk, leg: CycleLeg, qty_lots: int) -> int:
    """Return what lots of a leg cost at its best price."""
    instrument = instrument_of(legs, desk, leg.listing)
    return spent_e9(legs.listings[leg.listing], instrument, leg.side, leg_ticks(desk, legs, leg), qty_lots)


@inlined
def brought_by(legs: Legs, desk: Desk, leg: CycleLeg, qty_lots: int) -> int:
    """Return what lots of a leg bring at its best price."""
    instrument = instrument_of(legs, desk, leg.listing)
    return brought_e9(legs.listings[leg.listing], instrument, leg.side, leg_ticks(desk, legs, leg), qty_lots)


@compiled
def turned_e9(legs: Legs, desk: Desk, listing: int, side: int, price_ticks: int, amount_e9: int) -> int:
    """Return what an amount is worth in the other currency of an instrument at a price, without fees, rounded down."""
    price = value_e9(price_e9(instrument_of(legs, desk, listing), price_ticks), legs.listings[listing].unit_e9)
    return divide_e9(amount_e9, max(1, price)) if side == BUY else value_e9(amount_e9, price)
