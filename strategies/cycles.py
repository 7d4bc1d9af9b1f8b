"""Cycles: from a currency through two to five instruments back to itself, when more comes back than was spent.

All simple cycles over the instruments are found when the strategy is built (`strategies.currency_graph`). A book that
changes moves one logarithm, of which every cycle through it has the sum; most are ruled out by that, and what is in
doubt is multiplied out exactly (`strategies.rate_product`). At `threshold_bps` and above all legs are sent as IOC in
one turn, in the lots that all of them have room for (`strategies.cycle_plan`), and worked until they are even
(`strategies.cycle_trades`).

An instrument has one cycle's trades in flight at a time, `open_trades_max` of them: so what a trade may have to trade
back stays within what its legs had room for.
"""

from fractions import Fraction
from typing import Annotated, Self

from crosswire.nic.memory.raw import count_trailing_zeros
from crosswire.nic.memory.struct import Array, Struct, i64
from crosswire.nic.unit.compile import compiled, inlined
from crosswire.risk.limits import to_e9
from crosswire.risk.records import pack_legs
from crosswire.strategies.currency_graph import Cycle as GraphCycle
from crosswire.strategies.currency_graph import begin_at_quote, make_edges, simple_cycles
from crosswire.strategies.cycle_parameters import CyclesParameters, currencies_of, fill_in_means
from crosswire.strategies.cycle_plan import Cycle, CyclePlan, leg_ticks, plan_lots, room_lots
from crosswire.strategies.cycle_trades import (
    Working,
    close_cycle_records,
    forget_cycles,
    start_cycle,
    take_cycle_fill,
    take_cycle_order,
    take_cycle_timer,
)
from crosswire.strategies.desk import REQUESTS_MAX, Desk
from crosswire.strategies.interface import (
    BuildContext,
    on_book,
    on_book_lost,
    on_fill,
    on_finish,
    on_flattened,
    on_order,
    on_timer,
)
from crosswire.strategies.leg_parameters import fill_in_repairs
from crosswire.strategies.legs import LegStrategy, free_place, instrument_of
from crosswire.strategies.listing import (
    LISTINGS_MAX,
    cost_e9,
    fraction_of_bps,
    is_price,
    set_listing,
    unit_of,
    value_e9,
)
from crosswire.strategies.opportunity import (
    NO_OPPORTUNITY,
    OPPORTUNITIES_MAX,
    TRADES_MAX,
    Blocked,
    end_opportunities,
    end_opportunity,
    follow_opportunity,
    note_blocked,
    note_peak,
)
from crosswire.strategies.rate_product import (
    FACTOR_MAX,
    LOG_ERROR,
    Logarithms,
    Product,
    fill_in_logarithms,
    is_at_least,
    log_below,
    log_of,
    multiply,
    ratio_e9,
    set_one,
)
from crosswire.venues.instrument import E9, Instrument, base_e9
from crosswire.venues.order import Order, Report
from crosswire.venues.side import BUY, SELL

# What LISTINGS_MAX instruments between two currencies have; between more of them there are fewer. One opportunity may
# be open for each, and one for each trade that outlives its own; a word has a bit for each.
CYCLES_MAX = LISTINGS_MAX * (LISTINGS_MAX - 1)
assert OPPORTUNITIES_MAX >= CYCLES_MAX + TRADES_MAX
CONSTANT_ERROR = 2  # of `log_below`


class Rate(Struct):
    """One side of one instrument: what a unit of the one currency is of the other, at the best price after the fee."""

    ticks: i64  # the best price; 0: there is none
    log: i64  # of the rate: below it if this side sells, above it if it buys, by less than LOG_ERROR + CONSTANT_ERROR
    constant: i64  # the part of `log` that is not the price's
    numerator: i64  # of one tick's worth, with the fee
    denominator: i64
    cycles: i64  # bits of those through it


class Judged(Struct):
    """What is kept of a cycle so that a changed price is one addition."""

    log: i64  # sum over its legs
    closed: i64  # legs without a price
    surely_from: i64  # a sum from here on clears the threshold for certain
    surely_below: i64  # a sum below does not


class Cycles(LegStrategy):
    """State of the strategy."""

    count: i64
    cycles: Annotated[Array, Cycle, CYCLES_MAX]
    judged: Annotated[Array, Judged, CYCLES_MAX]
    rates: Annotated[Array, Rate, 2 * LISTINGS_MAX]  # by `rate_of`
    threshold_numerator: i64  # of 1 + threshold
    threshold_denominator: i64
    logarithms: Logarithms
    brought: Product  # of the cycle that is looked at: its product of rates is brought / spent
    spent: Product
    plan: CyclePlan
    offered: CyclePlan  # by the books alone
    working: Working

    @classmethod
    def build(cls, parameters: CyclesParameters, context: BuildContext) -> Self:
        """Make the strategy; ValueError with one line on the first contradiction."""
        strategy = cls()
        traded = fill_in_repairs(strategy.legs, parameters, parameters.instruments, context)
        names, pairs = currencies_of(parameters, traded)
        fill_in_means(strategy.working.means, parameters, names, pairs, traded, context)
        for listing, (name, instrument) in enumerate(zip(parameters.instruments, traded, strict=True)):
            adjustment_bps = parameters.quote_adjustment_bps.get(name, 0 * parameters.threshold_bps)
            base = names[pairs[listing][0]]
            position_max_e9 = to_e9(parameters.position_max[base], f"position_max of {base}")
            set_listing(strategy.legs.listings[listing], instrument, adjustment_bps, position_max_e9)
            _set_rates(strategy, listing, instrument, unit_of(adjustment_bps), name)
        fill_in_logarithms(strategy.logarithms)
        threshold = 1 + fraction_of_bps(parameters.threshold_bps)
        strategy.threshold_numerator, strategy.threshold_denominator = _factors(threshold, "threshold_bps")
        for cycle in _found(pairs, names, parameters.legs_max):
            _add_cycle(strategy, cycle, log_below(threshold))
        return strategy

    def counters(self) -> dict[str, int]:
        """Add how many cycles are watched to what is told of every strategy of legs."""
        return super().counters() | {"strategy: cycles watched": self.count}


def _factors(value: Fraction, what: str) -> tuple[int, int]:
    """Give a fraction as two factors of a product; ValueError if they are none."""
    if not 0 < value.numerator < FACTOR_MAX or value.denominator >= FACTOR_MAX:
        raise ValueError(f"{what}: {value.numerator} / {value.denominator} has too many digits")
    return value.numerator, value.denominator


def _set_rates(strategy: Cycles, listing: int, instrument: Instrument, unit: Fraction, name: str) -> None:
    fee = Fraction(instrument.taker_fee_e9, E9)
    for side in (BUY, SELL):
        worth = Fraction(instrument.tick_e9, E9) * unit * (1 + fee if side == BUY else 1 - fee)
        rate = strategy.rates[rate_of(listing, side)]
        rate.numerator, rate.denominator = _factors(worth, f"instruments: {name}: tick, fee and adjustment together")
        rate.constant = -log_below(worth) if side == BUY else log_below(worth)


def _found(pairs: list[tuple[int, int]], names: list[str], legs_max: int) -> list[GraphCycle]:
    """List the cycles, each turned so that it begins with what it is counted in; ValueError with one line."""
    found = []
    for cycle in simple_cycles(make_edges(pairs), legs_max):
        turned = begin_at_quote(cycle)
        if turned is None:
            way = ", ".join(names[edge.source] for edge in cycle)
            raise ValueError(f"instruments: the cycle of {way} has no currency that both its neighbours are quoted in")
        found.append(turned)
    assert len(found) <= CYCLES_MAX
    if not found:
        raise ValueError(f"instruments: no cycle of up to legs_max = {legs_max} legs leads over them")
    return found


def _add_cycle(strategy: Cycles, found: GraphCycle, threshold_log: int) -> None:
    """Take up a cycle. Its books are not known yet: all its legs are closed.

    With c the sum of its logarithms, that of the product p lies within c - b * e < log2(p) < c + s * e, where b legs
    buy, s sell, and e is what one may be off by; the threshold's is within threshold_log and CONSTANT_ERROR more.
    """
    number = strategy.count
    cycle, judged = strategy.cycles[number], strategy.judged[number]
    strategy.count += 1
    cycle.count = len(found)
    for place, edge in enumerate(found):
        leg = cycle.legs[place]
        leg.listing, leg.side, leg.source, leg.target = edge.listing, edge.side, edge.source, edge.target
        strategy.rates[rate_of(edge.listing, edge.side)].cycles |= 1 << number
    legs = [(strategy.legs.listings[edge.listing].instrument, edge.side) for edge in found]
    cycle.packed = pack_legs(legs) if len(legs) > 2 else 0
    error = LOG_ERROR + CONSTANT_ERROR
    buys = sum(edge.side == BUY for edge in found)
    judged.closed = len(found)
    judged.surely_from = threshold_log + CONSTANT_ERROR + buys * error
    judged.surely_below = threshold_log - (len(found) - buys) * error


@compiled
def rate_of(listing: int, side: int) -> int:
    """Return the number of an instrument's side."""
    return 2 * listing + side


@on_book.register(Cycles)
def look(strategy: Cycles, desk: Desk, instrument: int) -> None:
    """Judge the cycles through a changed book anew; almost always none clears and nothing else happens."""
    listing = strategy.legs.listing_of[instrument]
    if listing < 0:
        return
    book = desk.books[instrument]
    see_price(strategy, listing, BUY, book.ask_ticks)
    see_price(strategy, listing, SELL, book.bid_ticks)
    left = strategy.rates[rate_of(listing, BUY)].cycles | strategy.rates[rate_of(listing, SELL)].cycles
    while left != 0:
        number = count_trailing_zeros(left)
        left &= left - 1
        judged = strategy.judged[number]
        if judged.closed == 0 and judged.log >= judged.surely_below:
            pursue(strategy, desk, number)
        elif strategy.legs.opportunities.open_pairs >> number & 1 != 0:
            end_opportunity(strategy.legs.opportunities, desk, number)


@on_book_lost.register(Cycles)
def forget(strategy: Cycles, desk: Desk, instrument: int) -> None:
    """Forget a book: nothing can be traded there until it is proven again."""
    listing = strategy.legs.listing_of[instrument]
    if listing >= 0:
        see_price(strategy, listing, BUY, 0)
        see_price(strategy, listing, SELL, 0)
        through = strategy.rates[rate_of(listing, BUY)].cycles | strategy.rates[rate_of(listing, SELL)].cycles
        end_opportunities(strategy.legs.opportunities, desk, through)


@inlined
def see_price(strategy: Cycles, listing: int, side: int, best_ticks: int) -> None:
    """Take in the best price of a side: what changes by it is added to every cycle through it."""
    rate = strategy.rates[rate_of(listing, side)]
    ticks = best_ticks if is_price(best_ticks) else 0
    if ticks == rate.ticks:
        return
    log = 0
    if ticks != 0:
        price_log = log_of(strategy.logarithms, ticks)
        log = rate.constant - price_log if side == BUY else rate.constant + price_log
    more = log - rate.log
    closes = (1 if ticks == 0 else 0) - (1 if rate.ticks == 0 else 0)
    rate.ticks = ticks
    rate.log = log
    left = rate.cycles
    while left != 0:
        judged = strategy.judged[count_trailing_zeros(left)]
        left &= left - 1
        judged.log += more
        judged.closed += closes


@compiled
def multiply_out(strategy: Cycles, cycle: Cycle) -> None:
    """Compute the product of a cycle's rates exactly, as `brought` by `spent`."""
    set_one(strategy.brought)
    set_one(strategy.spent)
    for place in range(cycle.count):
        leg = cycle.legs[place]
        rate = strategy.rates[rate_of(leg.listing, leg.side)]
        if leg.side == BUY:
            multiply(strategy.spent, rate.ticks)
            multiply(strategy.spent, rate.numerator)
            multiply(strategy.brought, rate.denominator)
        else:
            multiply(strategy.brought, rate.ticks)
            multiply(strategy.brought, rate.numerator)
            multiply(strategy.spent, rate.denominator)


@compiled
def clears(strategy: Cycles, number: int) -> bool:
    """Tell whether a cycle's product is at least 1 + threshold: by its logarithm, or else exactly."""
    judged = strategy.judged[number]
    if judged.log >= judged.surely_from:
        return True
    if judged.log < judged.surely_below:
        return False
    multiply_out(strategy, strategy.cycles[number])
    multiply(strategy.brought, strategy.threshold_denominator)
    multiply(strategy.spent, strategy.threshold_numerator)
    return is_at_least(strategy.brought, strategy.spent)


@compiled
def are_books_as_seen(strategy: Cycles, desk: Desk, cycle: Cycle) -> bool:
    """Tell whether the prices that a cycle was judged by stand: a book that changed in this packet may come later."""
    for place in range(cycle.count):
        leg = cycle.legs[place]
        book = desk.books[strategy.legs.listings[leg.listing].instrument]
        seen_ticks = strategy.rates[rate_of(leg.listing, leg.side)].ticks
        if book.valid == 0 or leg_ticks(desk, strategy.legs, leg) != seen_ticks:
            return False
    return True


@compiled
def fresh_until_ns(strategy: Cycles, desk: Desk, cycle: Cycle) -> int:
    """Tell until when all books of a cycle are young enough to trade on, if nothing more is heard of the oldest."""
    oldest_ns = desk.now_ns
    for place in range(cycle.count):
        instrument = strategy.legs.listings[cycle.legs[place].listing].instrument
        oldest_ns = min(oldest_ns, desk.books[instrument].receive_time_ns)
    return oldest_ns + strategy.legs.book_age_max_ns


@compiled
def pursue(strategy: Cycles, desk: Desk, number: int) -> None:
    """Follow the opportunity of a cycle that may clear, and trade it if nothing forbids."""
    legs, cycle = strategy.legs, strategy.cycles[number]
    opportunities = legs.opportunities
    if not are_books_as_seen(strategy, desk, cycle) or not clears(strategy, number):
        end_opportunity(opportunities, desk, number)
        return
    first, last = cycle.legs[0], cycle.legs[cycle.count - 1]
    buy = instrument_of(legs, desk, first.listing)
    multiply_out(strategy, cycle)
    cost = cost_e9(legs.listings[first.listing], buy, leg_ticks(desk, legs, first))
    edge_e9 = value_e9(cost, ratio_e9(strategy.brought, strategy.spent) - E9)
    sell_instrument = legs.listings[last.listing].instrument
    until_ns = fresh_until_ns(strategy, desk, cycle)
    opportunity = follow_opportunity(opportunities, desk, number, buy.index, sell_instrument, edge_e9, until_ns)
    if opportunity == NO_OPPORTUNITY:
        return
    opportunities.items[opportunity].legs = cycle.packed
    if edge_e9 > opportunities.items[opportunity].peak_edge_e9:
        size_e9 = 0
        if plan_lots(strategy.working.means, legs, desk, cycle, strategy.offered, True):
            size_e9 = base_e9(buy, leg_ticks(desk, legs, first), strategy.offered.lots[0])
        note_peak(opportunities, desk, opportunity, edge_e9, size_e9, value_e9(size_e9, edge_e9))
    blocked = attempt(strategy, desk, cycle, opportunity, until_ns)
    if blocked != Blocked.NONE:
        note_blocked(opportunities, opportunity, blocked)


@compiled
def attempt(strategy: Cycles, desk: Desk, cycle: Cycle, opportunity: int, until_ns: int) -> int:
    """Start a trade of a cycle that clears; NONE if one was started, else why not."""
    legs, working = strategy.legs, strategy.working
    blocked = blocked_by(strategy, desk, cycle, until_ns)
    if blocked != Blocked.NONE:
        return blocked
    if not plan_lots(working.means, legs, desk, cycle, strategy.plan, False):
        return Blocked.NO_SIZE
    place = free_place(legs)
    if place == TRADES_MAX:
        return Blocked.IN_FLIGHT
    start_cycle(legs, working, desk, cycle, strategy.plan, place, opportunity)
    return Blocked.NONE


@compiled
def blocked_by(strategy: Cycles, desk: Desk, cycle: Cycle, until_ns: int) -> int:
    """Tell why no trade of a cycle may start now; NONE if one may."""
    legs, means = strategy.legs, strategy.working.means
    if legs.failed != 0:
        return Blocked.STOPPED
    if desk.now_ns > until_ns:
        return Blocked.STALE
    for place in range(cycle.count):
        if means.in_flight[cycle.legs[place].listing] >= legs.open_trades_max:
            return Blocked.IN_FLIGHT
    if cycle.last_start_ns != 0 and desk.now_ns - cycle.last_start_ns < legs.cooldown_ns:
        return Blocked.COOLDOWN
    for place in range(cycle.count):
        leg = cycle.legs[place]
        listing = legs.listings[leg.listing]
        taken_ns = listing.ask_taken_ns if leg.side == BUY else listing.bid_taken_ns
        if desk.books[listing.instrument].receive_time_ns == taken_ns:
            return Blocked.TAKEN
    if desk.request_count + cycle.count > REQUESTS_MAX:
        return Blocked.NO_REQUEST
    for place in range(cycle.count):
        leg = cycle.legs[place]
        if room_lots(means, legs, desk, leg.listing, leg.side, leg_ticks(desk, legs, leg)) == 0:
            return Blocked.POSITION
        currency = means.currencies[leg.source]
        if place != 0 and abs(currency.carry_e9) > currency.size_max_e9:
            return Blocked.POSITION
    return Blocked.NONE


@on_fill.register(Cycles)
def _take_fill(strategy: Cycles, desk: Desk, order: Order, report: Report) -> None:
    take_cycle_fill(strategy.legs, strategy.working, desk, order, report)


@on_order.register(Cycles)
def _take_order(strategy: Cycles, desk: Desk, order: Order) -> None:
    take_cycle_order(strategy.legs, strategy.working, desk, order)


@on_timer.register(Cycles)
def _take_timer(strategy: Cycles, desk: Desk) -> None:
    take_cycle_timer(strategy.legs, strategy.working, desk)


@on_flattened.register(Cycles)
def _forget_cycles(strategy: Cycles, desk: Desk) -> None:
    forget_cycles(strategy.legs, strategy.working, desk)


@on_finish.register(Cycles)
def _close_records(strategy: Cycles, desk: Desk) -> None:
    close_cycle_records(strategy.legs, strategy.working, desk)
