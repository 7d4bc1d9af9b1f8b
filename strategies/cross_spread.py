"""Cross-exchange spread: buy where it is cheap and sell where it is expensive, at once, when the edge pays for it.

At each change of a book its instrument is compared with all others in both directions. The edge is what selling at one
venue's bid brings less what buying at the other's ask costs, after the taker fees of both. Above `threshold_bps` of the
price both legs are sent as IOC at the worst prices that still clear; a trade that reduces both positions needs only
`close_threshold_bps`, so that a persistent basis does not fill the position limits for good.

A leg at a venue with a speed bump is priced with its delay (`strategies.exposure`): both thresholds rise by the mean
move of that venue's price in one delay, times `speed_bump_margin`.
"""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import Annotated, Self

from crosswire.nic.memory.raw import count_trailing_zeros
from crosswire.nic.memory.struct import Array, Struct, i64
from crosswire.nic.unit.compile import compiled, inlined
from crosswire.risk.limits import to_e9
from crosswire.strategies.desk import Desk
from crosswire.strategies.exposure import SPEED_BUMP_MARGIN, Exposure, measure, premium_e9, set_exposure
from crosswire.strategies.interface import BuildContext, catch_up, catch_up_if_due, on_book, on_book_lost, on_parameters
from crosswire.strategies.leg_parameters import BPS_MAX, LegParameters, fill_in_legs
from crosswire.strategies.legs import (
    Legs,
    LegStrategy,
    ask_for_legs,
    blocked_between,
    blocked_by,
    book_of,
    enter_trade,
    free_place,
    fresh_until_ns,
    instrument_of,
    lose_book,
    market_ticks,
    position_of,
    room_e9,
    start_trade,
    walk,
)
from crosswire.strategies.listing import (
    LISTINGS_MAX,
    RATE_MASK,
    are_prices,
    cost_e9,
    fraction_of_bps,
    is_price,
    rated_up_e9,
    sale_e9,
    unit_of,
)
from crosswire.strategies.opportunity import (
    NO_OPPORTUNITY,
    TRADES_MAX,
    Blocked,
    end_opportunity,
    follow_opportunity,
    note_blocked,
    note_peak,
    pair_of,
    pairs_touching,
)
from crosswire.strategies.parameters import Parameter
from crosswire.strategies.plan import Plan, choose_lots, match_tops
from crosswire.venues.instrument import E9, Instrument, Payoff, base_e9, multiply_divide
from crosswire.venues.side import BUY, SELL

NOTHING_BID = -1  # `Quick.sale` without a bid: below every cost
NOTHING_ASKED = 1 << 62  # `Quick.cost` without an ask: above every sale
UNCERTAIN = 1 << 61  # `Factors.slack` of a listing whose prices alone never decide
# Rates are below 4 and prices within 2**32 ticks: products stay below NOTHING_ASKED.
FACTOR_BITS = 28
E18 = E9 * E9
DEPTH_MAX = 1_000


class CrossSpreadParameters(LegParameters, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """The parameters of `cross_spread`, described in docs/strategies/cross-spread.md."""

    instruments: Annotated[list[str], Parameter("", f'"venue/symbol", 2 to {LISTINGS_MAX} of one underlying')]
    threshold_bps: Annotated[
        Decimal,
        Parameter(
            "bps",
            "least edge after taker fees that starts a trade",
            least=-BPS_MAX,
            most=BPS_MAX,
            field="threshold_e9",
            step=Decimal("1e-5"),
        ),
    ]
    close_threshold_bps: Annotated[
        Decimal | None,
        Parameter(
            "bps",
            "for trades that reduce both positions; left out, or above threshold_bps, it is that",
            least=-BPS_MAX,
            most=BPS_MAX,
            field="close_threshold_e9",
            step=Decimal("1e-5"),
        ),
    ] = None
    depth: Annotated[int, Parameter("levels", "a side that a trade may take", least=1, most=DEPTH_MAX)] = 1
    speed_bump_margin: Annotated[Decimal, replace(SPEED_BUMP_MARGIN, field="margin_e9", step=Decimal("1e-9"))] = (
        Decimal(1)
    )


class Quick(Struct):
    """One listing's top of book after fees, rounded in favour of a trade: two of these rule out most pairs.

    In units of 1e-9 of the common currency times a power of two, so that a coarse tick loses no precision.
    """

    sale: i64
    cost: i64  # and the threshold


class Factors(Struct):
    """The factors per tick that `Quick` is computed with."""

    sale: i64  # rounded up
    open_cost: i64  # with threshold_bps, rounded down
    close_cost: i64  # with close_threshold_bps
    slack: i64  # of `is_certain`, its half of what does not depend on prices


class Started(Struct):
    """A trade whose legs were asked for before anything was written down of it."""

    buy: i64  # listings
    sell: i64
    place: i64  # of the trade
    trade_id: i64
    lots: i64


class Lots(Struct):
    """A listing's limits in its own lots."""

    size_max: i64  # of a trade
    size_min: i64  # at least 1
    position_max: i64


class CrossSpread(LegStrategy):
    """State of the strategy; sizes in 1e-9 of the base coin."""

    threshold_e9: i64
    close_threshold_e9: i64  # that threshold_e9 is taken for, if it is less
    margin_e9: i64  # of every exposure
    scale_bits: i64  # of the coarsest tick: see `derive`
    units_e9: Annotated[Array, i64, LISTINGS_MAX]  # what one of its quote currency is worth, rounded up
    depth: i64
    size_max_e9: i64
    size_min_e9: i64
    quick: Annotated[Array, Quick, LISTINGS_MAX]
    factors: Annotated[Array, Factors, LISTINGS_MAX]
    touching: Annotated[Array, i64, LISTINGS_MAX]  # bits of the pairs that a listing is part of
    exposures: Annotated[Array, Exposure, LISTINGS_MAX]
    open_rates_e9: Annotated[Array, i64, LISTINGS_MAX]  # of a bought price: cost and threshold, rounded up
    close_rates_e9: Annotated[Array, i64, LISTINGS_MAX]
    even_pairs: i64  # bits of the pairs that are planned in lots (`strategies.plan.match_tops`)
    top_pairs: i64  # bits of the pairs that trade one level a side of linear contracts, the even ones among them
    lots: Annotated[Array, Lots, LISTINGS_MAX]
    started: Started  # to be entered by `catch_up`
    plan: Plan  # what is to be traded

    @classmethod
    def build(cls, parameters: CrossSpreadParameters, context: BuildContext) -> Self:
        """Make the strategy; ValueError with one line on the first contradiction."""
        strategy = cls(
            size_max_e9=to_e9(parameters.size_max, "size_max"), size_min_e9=to_e9(parameters.size_min, "size_min")
        )
        fill_in_legs(strategy.legs, parameters, parameters.instruments, context)
        strategy.legs.may_hedge = 1
        opening = parameters.threshold_bps
        closing = opening if parameters.close_threshold_bps is None else parameters.close_threshold_bps
        if closing > opening:
            raise ValueError(f"close_threshold_bps = {closing} is above threshold_bps = {opening}")
        strategy.threshold_e9 = ceil(fraction_of_bps(opening) * E9)
        left_out = parameters.close_threshold_bps is None
        strategy.close_threshold_e9 = ceil(fraction_of_bps(Decimal(BPS_MAX) if left_out else closing) * E9)
        strategy.margin_e9 = to_e9(parameters.speed_bump_margin, "speed_bump_margin")
        strategy.depth = parameters.depth
        traded = [context.instruments[context.index_of(name)] for name in parameters.instruments]
        strategy.scale_bits = max(instrument.tick_e9 for instrument in traded).bit_length()
        for listing, (name, instrument) in enumerate(zip(parameters.instruments, traded, strict=True)):
            unit = unit_of(parameters.quote_adjustment_bps.get(name, Decimal(0)))
            strategy.units_e9[listing] = ceil(unit * E9)
            _set_rates(strategy, listing, instrument, unit)
            set_exposure(strategy.exposures[listing], instrument, parameters.speed_bump_margin)
            derive(strategy, listing, instrument)
        _set_lots(strategy, traded)
        return strategy


def _set_lots(strategy: CrossSpread, traded: list[Instrument]) -> None:
    """Find the pairs of linear contracts that trade one level a side, and of these what can be planned in lots.

    In lots: contracts with lots of the same size, all limits whole lots.
    """
    top, even = [], []
    for listing, instrument in enumerate(traded):
        lots, position_max_e9 = strategy.lots[listing], strategy.legs.listings[listing].position_max_e9
        lots.size_max = strategy.size_max_e9 // instrument.lot_e9
        lots.size_min = ceil(Fraction(max(1, strategy.size_min_e9), instrument.lot_e9))
        lots.position_max = position_max_e9 // instrument.lot_e9
        limits_e9 = (strategy.size_max_e9, position_max_e9)
        is_whole = all(limit_e9 % instrument.lot_e9 == 0 for limit_e9 in limits_e9)
        top.append(strategy.depth == 1 and instrument.payoff == Payoff.LINEAR)
        even.append(top[listing] and is_whole)
    for buy, bought in enumerate(traded):
        for sell, sold in enumerate(traded):
            if buy != sell and top[buy] and top[sell]:
                strategy.top_pairs |= 1 << pair_of(buy, sell)
                if even[buy] and even[sell] and bought.lot_e9 == sold.lot_e9:
                    strategy.even_pairs |= 1 << pair_of(buy, sell)


def _set_rates(strategy: CrossSpread, listing: int, instrument: Instrument, unit: Fraction) -> None:
    fee = Fraction(instrument.taker_fee_e9, E9)
    scale = Fraction(1 << FACTOR_BITS, 1 << strategy.scale_bits)
    strategy.factors[listing].sale = ceil((1 - fee) * unit * instrument.tick_e9 * scale)
    # Held orders cost a premium that moves.
    strategy.factors[listing].slack = ceil(scale) if instrument.speed_bump_ns == 0 else UNCERTAIN
    strategy.touching[listing] = pairs_touching(listing)
    strategy.quick[listing].sale = NOTHING_BID
    strategy.quick[listing].cost = NOTHING_ASKED


@compiled
def derive(strategy: CrossSpread, listing: int, instrument: Instrument) -> None:
    """Compute what depends on the parameters that may change.

    With N the cost of 1 at a listing, fee and threshold included, and U what its quote unit is worth, both in 1e-9 and
    rounded up, a rate is N * U / 1e18, and a factor is that times tick_e9 * 2**FACTOR_BITS / 2**scale_bits: both are
    exact but for their own rounding. N and U are below 2e9, so their product is below 2**62.
    """
    fee_e9, unit_e9 = strategy.legs.listings[listing].fee_e9, strategy.units_e9[listing]
    factors = strategy.factors[listing]
    closing_e9 = min(strategy.close_threshold_e9, strategy.threshold_e9)
    open_product = (E9 + fee_e9 + strategy.threshold_e9) * unit_e9
    close_product = (E9 + fee_e9 + closing_e9) * unit_e9
    strategy.open_rates_e9[listing] = -(-open_product // E9)
    strategy.close_rates_e9[listing] = -(-close_product // E9)
    tick = instrument.tick_e9 << max(0, FACTOR_BITS - strategy.scale_bits)
    coarser_bits = max(0, strategy.scale_bits - FACTOR_BITS)
    factors.open_cost = multiply_divide(open_product, tick, E18) >> coarser_bits
    factors.close_cost = multiply_divide(close_product, tick, E18) >> coarser_bits
    strategy.exposures[listing].margin_e9 = strategy.margin_e9


@on_parameters.register(CrossSpread)
def take_parameters(strategy: CrossSpread, desk: Desk) -> None:
    """Compare by the new thresholds from the next book on."""
    for listing in range(strategy.legs.count):
        instrument = instrument_of(strategy.legs, desk, listing)
        derive(strategy, listing, instrument)
        if desk.books[instrument.index].valid != 0:
            strategy.quick[listing].cost = quick_cost(strategy.factors[listing], desk, instrument.index)


@inlined
def quick_cost(factors: Factors, desk: Desk, instrument: int) -> int:
    """Return `Quick.cost` by the top of the book."""
    ask_ticks = desk.books[instrument].ask_ticks
    if not is_price(ask_ticks):
        return NOTHING_ASKED
    closes = desk.positions[instrument].position_lots < 0
    return ask_ticks * (factors.close_cost if closes else factors.open_cost)


@on_book.register(CrossSpread)
def look(strategy: CrossSpread, desk: Desk, instrument: int) -> None:
    """Compare the changed book with all others; almost always there is no edge and nothing else happens."""
    changed = strategy.legs.listing_of[instrument]
    if changed < 0:
        return
    book = desk.books[instrument]
    exposure = strategy.exposures[changed]
    if exposure.delay_ns != 0:
        measure(exposure, book, desk.now_ns)
    factors = strategy.factors[changed]
    sale = NOTHING_BID
    if is_price(book.bid_ticks):
        sale = book.bid_ticks * factors.sale
    cost = quick_cost(factors, desk, instrument)
    strategy.quick[changed].sale = sale
    strategy.quick[changed].cost = cost
    is_open = strategy.legs.opportunities.open_pairs & strategy.touching[changed] != 0
    # First which, then closer: a loop without a call keeps all that it compares in registers.
    others = 0
    for other in range(strategy.legs.count):
        quick = strategy.quick[other]
        if is_open or sale >= quick.cost or quick.sale >= cost:
            others |= 1 << other
    others &= ~(1 << changed)
    while others != 0:
        compare(strategy, desk, changed, count_trailing_zeros(others))
        others &= others - 1


@on_book_lost.register(CrossSpread)
def forget(strategy: CrossSpread, desk: Desk, instrument: int) -> None:
    """Forget a book: nothing can be traded there until it is proven again."""
    listing = strategy.legs.listing_of[instrument]
    if listing >= 0:
        strategy.quick[listing].sale = NOTHING_BID
        strategy.quick[listing].cost = NOTHING_ASKED
        lose_book(strategy.legs, desk, instrument)


@inlined
def compare(strategy: CrossSpread, desk: Desk, changed: int, other: int) -> None:
    """Look closer at both pairs of the changed listing and another."""
    consider(strategy, desk, changed, other)
    consider(strategy, desk, other, changed)


@inlined
def consider(strategy: CrossSpread, desk: Desk, buy: int, sell: int) -> None:
    """Look at one ordered pair if its rounded prices do not rule it out."""
    pair = pair_of(buy, sell)
    if strategy.quick[sell].sale >= strategy.quick[buy].cost:
        catch_up_if_due(strategy, desk)
        if not start_at_once(strategy, desk, buy, sell, pair):
            pursue(strategy, desk, buy, sell, pair)
    elif strategy.legs.opportunities.open_pairs >> pair & 1 != 0:
        catch_up_if_due(strategy, desk)
        end_opportunity(strategy.legs.opportunities, desk, pair)


@inlined
def is_certain(strategy: CrossSpread, buy: int, sell: int, ask_ticks: int, bid_ticks: int) -> bool:
    """Tell whether these prices clear the opening threshold whatever is rounded; False decides nothing.

    Proof, with A the cost of one unit of base by N and U of `derive` and B the exact proceeds, in 1e-9 of the common
    currency, and everything below in units of those divided by `scale` k: the factors are off by less than 1 a tick, so
    B * k > bid_ticks * sale - bid_ticks and A * k < ask_ticks * open_cost + ask_ticks. What is compared exactly are
    `sale_e9` and `rated_up_e9`: a rate rounded to 1e-9 and a result rounded to 1, of prices that are `tick_e9` a tick,
    so `sale_e9` > B - 1 - bid_ticks * tick_e9 / 1e9, and `rated_up_e9` lies as little above A. Since k is at most
    2**28 / tick_e9, a tick adds less than 1 to that, too. So with a surplus of two a tick and 2 * k (a `slack` of k
    each), sale_e9 > rated_up_e9. Ticks are within 2**32 and factors below 2**30: no product or sum wraps.
    """
    sold, bought = strategy.factors[sell], strategy.factors[buy]
    surplus = bid_ticks * sold.sale - ask_ticks * bought.open_cost
    return surplus >= 2 * (bid_ticks + ask_ticks) + sold.slack + bought.slack


@compiled
def start_at_once(strategy: CrossSpread, desk: Desk, buy: int, sell: int, pair: int) -> bool:
    """Ask for both legs of an opening trade that pays for certain and that nothing forbids; `catch_up` does the rest.

    False, and nothing done, if any of that is in doubt: `pursue` tells exactly, and does what is to be done then. What
    leaves here is what `pursue` would send.
    """
    legs = strategy.legs
    if strategy.even_pairs >> pair & 1 == 0 or legs.carry_e9 != 0:
        return False
    buy_book, sell_book = book_of(legs, desk, buy), book_of(legs, desk, sell)
    ask_ticks, bid_ticks = buy_book.ask_ticks, sell_book.bid_ticks
    if buy_book.valid == 0 or sell_book.valid == 0 or not are_prices(ask_ticks, bid_ticks):
        return False
    if not is_certain(strategy, buy, sell, ask_ticks, bid_ticks):
        return False
    if blocked_between(legs, desk, buy, sell, buy_book.receive_time_ns, sell_book.receive_time_ns) != Blocked.NONE:
        return False
    lots = min(buy_book.ask_lots, sell_book.bid_lots, room_lots(strategy, desk, buy, sell), strategy.lots[buy].size_max)
    place = free_place(legs)
    if lots < strategy.lots[buy].size_min or place == TRADES_MAX:
        return False
    started = strategy.started
    started.buy = buy
    started.sell = sell
    started.place = place
    started.lots = lots
    started.trade_id = ask_for_legs(legs, desk, place, buy, sell, ask_ticks, bid_ticks, lots, lots)
    desk.catch_up_due = 1
    return True


@catch_up.register(CrossSpread)
def enter_started(strategy: CrossSpread, desk: Desk) -> None:
    """Enter the trade that was started at once, and follow its opportunity: as `pursue` does, from the same books."""
    legs, plan, started = strategy.legs, strategy.plan, strategy.started
    buy, sell = started.buy, started.sell
    buy_instrument, sell_instrument = instrument_of(legs, desk, buy), instrument_of(legs, desk, sell)
    sale = sale_e9(legs.listings[sell], sell_instrument, market_ticks(legs, desk, sell, SELL))
    cost = cost_e9(legs.listings[buy], buy_instrument, market_ticks(legs, desk, buy, BUY))
    edge_e9 = sale - cost
    opportunity = follow_opportunity(
        legs.opportunities,
        desk,
        pair_of(buy, sell),
        buy_instrument.index,
        sell_instrument.index,
        edge_e9,
        fresh_until_ns(legs, desk, buy, sell),
    )
    is_peak = edge_e9 > legs.opportunities.items[opportunity].peak_edge_e9
    buy_book, sell_book = desk.books[buy_instrument.index], desk.books[sell_instrument.index]
    match_tops(plan, buy_book, sell_book, buy_instrument.lot_e9, cost, sale, started.lots)
    enter_trade(legs, desk, started.place, started.trade_id, buy, sell, plan, 1, opportunity)
    if is_peak:
        note_peak(legs.opportunities, desk, opportunity, edge_e9, plan.offered_size_e9, plan.offered_value_e9)


@compiled
def pursue(strategy: CrossSpread, desk: Desk, buy: int, sell: int, pair: int) -> None:
    """Follow the opportunity of one ordered pair, and trade it if nothing forbids."""
    legs = strategy.legs
    buy_instrument = instrument_of(legs, desk, buy)
    ask_ticks = market_ticks(legs, desk, buy, BUY)
    bid_ticks = market_ticks(legs, desk, sell, SELL)
    if ask_ticks == 0 or bid_ticks == 0:
        # The other book has changed in this very packet, and its own turn has not come yet.
        end_opportunity(legs.opportunities, desk, pair)
        return
    sale = sale_e9(legs.listings[sell], instrument_of(legs, desk, sell), bid_ticks)
    delay_e9 = premium_e9(strategy.exposures[buy]) + premium_e9(strategy.exposures[sell])
    open_rate_e9 = min(RATE_MASK, strategy.open_rates_e9[buy] + delay_e9)
    close_rate_e9 = min(RATE_MASK, strategy.close_rates_e9[buy] + delay_e9)
    cost = cost_e9(legs.listings[buy], buy_instrument, ask_ticks)
    in_lots = strategy.even_pairs >> pair & 1 != 0 and legs.carry_e9 == 0
    if sale >= rated_up_e9(buy_instrument, ask_ticks, open_rate_e9):
        edge_e9 = sale - cost
        opportunity = follow_opportunity(
            legs.opportunities,
            desk,
            pair,
            buy_instrument.index,
            legs.listings[sell].instrument,
            edge_e9,
            fresh_until_ns(legs, desk, buy, sell),
        )
        if opportunity == NO_OPPORTUNITY:
            return
        is_peak = edge_e9 > legs.opportunities.items[opportunity].peak_edge_e9
        if in_lots:
            blocked = attempt_in_lots(strategy, desk, buy, sell, cost, sale, opportunity, False, is_peak)
        else:
            blocked = attempt(strategy, desk, buy, sell, opportunity, open_rate_e9, False, is_peak)
        if is_peak:
            plan = strategy.plan
            note_peak(legs.opportunities, desk, opportunity, edge_e9, plan.offered_size_e9, plan.offered_value_e9)
        if blocked != Blocked.NONE:
            note_blocked(legs.opportunities, opportunity, blocked)
        return
    end_opportunity(legs.opportunities, desk, pair)
    if (
        position_of(legs, desk, buy).position_lots < 0
        and position_of(legs, desk, sell).position_lots > 0
        and sale >= rated_up_e9(buy_instrument, ask_ticks, close_rate_e9)
    ):
        if in_lots:
            attempt_in_lots(strategy, desk, buy, sell, cost, sale, NO_OPPORTUNITY, True, False)
        else:
            attempt(strategy, desk, buy, sell, NO_OPPORTUNITY, close_rate_e9, True, False)


@compiled
def attempt(
    strategy: CrossSpread,
    desk: Desk,
    buy: int,
    sell: int,
    opportunity: int,
    rate_e9: int,
    closing: bool,
    is_peak: bool,
) -> int:
    """Start a trade of a pair whose best prices clear `rate_e9`; NONE if one was started, else why not.

    At a peak the plan tells in any case what the books offer: they are walked once for both.
    """
    legs = strategy.legs
    blocked = blocked_by(legs, desk, buy, sell)
    limit_e9 = 0
    if blocked == Blocked.NONE:
        limit_e9 = reducible_e9(strategy, desk, buy, sell) if closing else room_e9(legs, desk, buy, sell)
        if limit_e9 <= 0:
            blocked = Blocked.POSITION
    if blocked != Blocked.NONE and not is_peak:
        return blocked
    most_e9 = min(limit_e9, strategy.size_max_e9)
    if not is_peak and is_too_small(strategy, desk, buy, sell, most_e9):
        return why_too_small(strategy, limit_e9)
    plan = strategy.plan
    walk(legs, desk, plan, buy, sell, rate_e9, strategy.depth, most_e9, is_peak)
    if blocked != Blocked.NONE:
        return blocked
    if plan.size_e9 > 0:
        choose_lots(plan, instrument_of(legs, desk, buy), instrument_of(legs, desk, sell), legs.carry_e9)
    if plan.size_e9 < max(1, strategy.size_min_e9) or plan.buy_lots == 0:
        return why_too_small(strategy, limit_e9)
    return Blocked.NONE if start_trade(legs, desk, buy, sell, plan, 1, opportunity) else Blocked.IN_FLIGHT


@inlined
def why_too_small(strategy: CrossSpread, limit_e9: int) -> int:
    """Tell why a trade would be too small: by the room that positions leave, or by what the books offer."""
    return Blocked.POSITION if limit_e9 < strategy.size_min_e9 else Blocked.NO_SIZE


@inlined
def is_too_small(strategy: CrossSpread, desk: Desk, buy: int, sell: int, most_e9: int) -> bool:
    """Tell whether a pair of `top_pairs` can't be traded for its size, at most `most_e9`; False decides nothing.

    `attempt` would plan no more than the smaller of the best levels, and `choose_lots` no lot where the side with the
    coarser lot is left with less than one, after what is carried against it. In the recordings of `bench backtest` most
    of what nothing else forbids ends here: spot's best price has less than a perpetual's lot, or an earlier rest would
    grow.
    """
    if strategy.top_pairs >> pair_of(buy, sell) & 1 == 0:
        return False
    buy_lot_e9 = instrument_of(strategy.legs, desk, buy).lot_e9
    sell_lot_e9 = instrument_of(strategy.legs, desk, sell).lot_e9
    buy_book, sell_book = book_of(strategy.legs, desk, buy), book_of(strategy.legs, desk, sell)
    size_e9 = min(buy_book.ask_lots * buy_lot_e9, sell_book.bid_lots * sell_lot_e9, most_e9)
    carried_e9 = strategy.legs.carry_e9 if buy_lot_e9 >= sell_lot_e9 else -strategy.legs.carry_e9
    return size_e9 < strategy.size_min_e9 or size_e9 - max(0, carried_e9) < max(buy_lot_e9, sell_lot_e9)


@inlined
def attempt_in_lots(
    strategy: CrossSpread,
    desk: Desk,
    buy: int,
    sell: int,
    cost: int,
    sale: int,
    opportunity: int,
    closing: bool,
    is_peak: bool,
) -> int:
    """Do as `attempt` for a pair of `even_pairs` while nothing is carried, with the same outcome, by sizes in lots.

    `cost` and `sale` are of the best prices, which clear. With L the lot of both, room_e9 and reducible_e9 are `room`
    times L, since position_max is a whole number of lots; size_max is, too, so min(room, size_max) is a limit in whole
    lots. A size of n lots is below size_min just when n is below size_min / L, rounded up.
    """
    legs = strategy.legs
    blocked = blocked_by(legs, desk, buy, sell)
    room = 0
    if blocked == Blocked.NONE:
        room = reducible_lots(legs, desk, buy, sell) if closing else room_lots(strategy, desk, buy, sell)
        if room <= 0:
            blocked = Blocked.POSITION
    if blocked != Blocked.NONE and not is_peak:
        return blocked
    plan = strategy.plan
    buy_instrument = instrument_of(legs, desk, buy)
    buy_book, sell_book = desk.books[buy_instrument.index], desk.books[legs.listings[sell].instrument]
    limit_lots = min(room, strategy.lots[buy].size_max)
    match_tops(plan, buy_book, sell_book, buy_instrument.lot_e9, cost, sale, limit_lots)
    if blocked != Blocked.NONE:
        return blocked
    if plan.buy_lots < strategy.lots[buy].size_min:
        return Blocked.POSITION if room < strategy.lots[buy].size_min else Blocked.NO_SIZE
    return Blocked.NONE if start_trade(legs, desk, buy, sell, plan, 1, opportunity) else Blocked.IN_FLIGHT


@inlined
def room_lots(strategy: CrossSpread, desk: Desk, buy: int, sell: int) -> int:
    """Return how much both positions may still grow, open orders taken as filled."""
    bought, sold = position_of(strategy.legs, desk, buy), position_of(strategy.legs, desk, sell)
    return min(
        strategy.lots[buy].position_max - bought.position_lots - bought.open_buy_lots,
        strategy.lots[sell].position_max + sold.position_lots - sold.open_sell_lots,
    )


@inlined
def reducible_lots(legs: Legs, desk: Desk, buy: int, sell: int) -> int:
    """Return how much brings neither position beyond flat, open orders taken as filled."""
    bought, sold = position_of(legs, desk, buy), position_of(legs, desk, sell)
    return min(-bought.position_lots - bought.open_buy_lots, sold.position_lots - sold.open_sell_lots)


@compiled
def reducible_e9(strategy: CrossSpread, desk: Desk, buy: int, sell: int) -> int:
    """Return how much brings neither position beyond flat, open orders taken as filled, 1e-9 of the base coin."""
    legs = strategy.legs
    buy_instrument = instrument_of(legs, desk, buy)
    sell_instrument = instrument_of(legs, desk, sell)
    short = position_of(legs, desk, buy)
    long = position_of(legs, desk, sell)
    return min(
        -base_e9(buy_instrument, market_ticks(legs, desk, buy, BUY), short.position_lots + short.open_buy_lots),
        base_e9(sell_instrument, market_ticks(legs, desk, sell, SELL), long.position_lots - long.open_sell_lots),
    )
