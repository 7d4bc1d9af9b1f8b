"""Carry: hold the instrument that is paid for being held against the one that pays, for as long as that pays.

Of two instruments of one underlying, a perpetual pays funding, and a dated future comes to the other's price by its
expiry. What a position, long one and short the other, is expected to bring within `horizon_h` is set against what it
costs to get in and out at the prices of now: two spreads, four taker fees, and interest on spot that is borrowed. It is
entered for `carry_min_bps` or more, in slices of `size_max`, and left, in slices again, when the next horizon is
expected to bring less than `carry_exit_bps`, when nothing is known any more, or after `hold_max_h`. What is known of
funding, and since when, is in `strategies.funding`; both ways are worked by `strategies.legs`, without hedges.
"""

from decimal import Decimal
from math import ceil
from typing import Annotated, Self

import msgspec

from crosswire.nic.duration import NS_PER_MS
from crosswire.nic.memory.struct import Array, i64
from crosswire.nic.unit.compile import compiled
from crosswire.risk.limits import DURATION_MAX_MS, to_e9
from crosswire.strategies.desk import Desk
from crosswire.strategies.funding import Funding, set_funding, short_receives_e9
from crosswire.strategies.interface import BuildContext, on_book
from crosswire.strategies.leg_parameters import BPS_MAX, LegParameters, bps_e9, fill_in_legs
from crosswire.strategies.legs import (
    Legs,
    LegStrategy,
    blocked_by,
    fresh_until_ns,
    instrument_of,
    market_ticks,
    walk,
)
from crosswire.strategies.listing import RATE_MASK, cost_e9, sale_e9, value_e9
from crosswire.strategies.opportunity import (
    NO_OPPORTUNITY,
    Blocked,
    end_opportunity,
    follow_opportunity,
    note_blocked,
    note_peak,
    pair_of,
)
from crosswire.strategies.pairs import enter_pair, is_holding, middle_e9, plan_and_start, positions_e9
from crosswire.strategies.parameters import Parameter
from crosswire.strategies.plan import Plan
from crosswire.strategies.signals.carry import LEFT_MIN_MS, NO_RATE
from crosswire.venues.instrument import E9, Instrument, Kind, divide_e9, multiply_e9, price_e9
from crosswire.venues.money.borrow import HOURS_PER_DAY, NS_PER_HOUR
from crosswire.venues.money.funding import CONTINUOUS_PERIOD_NS
from crosswire.venues.money.terms import HoldingTerms
from crosswire.venues.side import BUY, SELL

HOURS_MAX = 8_760  # of a horizon or a hold: a year
PERIOD_MIN_H = Decimal("0.001")  # between two payments
PERIOD_H = Decimal(8)
MAY_NOT_BORROW = -1
KINDS = (Kind.SPOT, Kind.PERPETUAL, Kind.FUTURE)


class CarryParameters(LegParameters, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """The parameters of `carry`, described in docs/strategies/carry.md."""

    pair: Annotated[
        tuple[str, str],
        Parameter("", 'of "venue/symbol": a perpetual or a future, and spot or another one, of one underlying'),
    ]
    horizon_h: Annotated[
        Decimal, Parameter("h", "ahead, over which a position is judged by what it brings", above=0, most=HOURS_MAX)
    ]
    carry_min_bps: Annotated[
        Decimal,
        Parameter(
            "bps",
            "of the bought instrument's middle, beyond all costs, to enter",
            least=0,
            most=BPS_MAX,
            field="carry_min_e9",
            step=Decimal("1e-5"),
        ),
    ]
    carry_exit_bps: Annotated[
        Decimal,
        Parameter(
            "bps",
            "that the next horizon must bring for a position to be kept",
            least=-BPS_MAX,
            most=BPS_MAX,
            field="carry_exit_e9",
            step=Decimal("1e-5"),
        ),
    ]
    hold_max_h: Annotated[Decimal, Parameter("h", "after which a position is left", above=0, most=HOURS_MAX)]
    funding_period_h: Annotated[
        dict[str, Decimal],
        Parameter("h", "by perpetual: between two payments; 8 if not said", least=PERIOD_MIN_H, most=HOURS_MAX),
    ] = msgspec.field(default_factory=dict)
    rate_delay_ms: Annotated[
        int, Parameter("ms", "from when a venue tells a rate until it counts as known", least=0, most=DURATION_MAX_MS)
    ] = 1_000
    depth: Annotated[int, Parameter("levels", "a side that a trade may take", least=1)] = 1


class Carry(LegStrategy):
    """State of the strategy; sizes in 1e-9 of the base coin. Its listings are 0 and 1."""

    depth: i64
    size_max_e9: i64
    size_min_e9: i64
    horizon_ns: i64
    carry_min_e9: i64
    carry_exit_e9: i64
    hold_max_ns: i64
    expiry_ns: i64  # of what is dated of the two; 0: neither is
    entered_ns: i64  # when something was held first; 0: nothing is
    expired: i64  # +1 or -1: was held too long, long the first or the second; no entry until it no longer pays
    looks_unknown: i64  # at the books, with a rate that was not known
    borrow_rate_e9: Annotated[Array, i64, 2]  # of a day, rounded up; MAY_NOT_BORROW
    funding: Annotated[Array, Funding, 2]
    market: Plan  # what the books offer
    plan: Plan  # what is to be traded

    @classmethod
    def build(cls, parameters: CarryParameters, context: BuildContext) -> Self:
        """Make the strategy; ValueError with one line on the first contradiction."""
        names = list(parameters.pair)
        traded = [context.instruments[context.index_of(name)] for name in names]
        _check(parameters, traded)
        strategy = cls(
            depth=parameters.depth,
            size_max_e9=to_e9(parameters.size_max, "size_max"),
            size_min_e9=to_e9(parameters.size_min, "size_min"),
            horizon_ns=int(parameters.horizon_h * NS_PER_HOUR),
            carry_min_e9=bps_e9(parameters.carry_min_bps, "carry_min_bps"),
            carry_exit_e9=bps_e9(parameters.carry_exit_bps, "carry_exit_bps"),
            hold_max_ns=int(parameters.hold_max_h * NS_PER_HOUR),
            expiry_ns=max(instrument.expiry_ns for instrument in traded),
        )
        fill_in_legs(strategy.legs, parameters, names, context)
        for listing, (name, instrument) in enumerate(zip(names, traded, strict=True)):
            _set_holding(strategy, listing, name, instrument, context.holding_of(name), parameters)
        return strategy

    def counters(self) -> dict[str, int]:
        """Add the looks at which a rate was not known: then nothing is entered, and what is held is left."""
        return super().counters() | {"strategy: looks without a known rate": self.looks_unknown}


def _check(parameters: CarryParameters, traded: list[Instrument]) -> None:
    if parameters.carry_exit_bps > parameters.carry_min_bps:
        raise ValueError(
            f"carry_exit_bps = {parameters.carry_exit_bps} is above carry_min_bps = {parameters.carry_min_bps}"
        )
    for name, instrument in zip(parameters.pair, traded, strict=True):
        if instrument.kind not in KINDS:
            raise ValueError(f"pair: {name} is neither spot, a perpetual nor a future")
        if instrument.kind == Kind.FUTURE and instrument.expiry_ns == 0:
            raise ValueError(f"pair: when {name} expires is not known: give expiry in its [[venue.instrument]]")
    if all(instrument.kind == Kind.SPOT for instrument in traded):
        raise ValueError("pair: both are spot, which pays nothing")
    if len({instrument.expiry_ns for instrument in traded if instrument.kind == Kind.FUTURE}) > 1:
        raise ValueError("pair: two futures that expire apart: at the first expiry the other may be anywhere")
    perpetuals = {name for name, each in zip(parameters.pair, traded, strict=True) if each.kind == Kind.PERPETUAL}
    for name in parameters.funding_period_h.keys() - perpetuals:
        raise ValueError(f"funding_period_h: {name!r} is no perpetual of the pair")


def _set_holding(
    strategy: Carry, listing: int, name: str, instrument: Instrument, terms: HoldingTerms, parameters: CarryParameters
) -> None:
    strategy.borrow_rate_e9[listing] = 0
    if instrument.kind == Kind.SPOT:
        rate = terms.borrow_rate_daily
        strategy.borrow_rate_e9[listing] = MAY_NOT_BORROW if rate is None else ceil(rate * E9)
    if instrument.kind == Kind.PERPETUAL:
        period_ns = int(parameters.funding_period_h.get(name, PERIOD_H) * NS_PER_HOUR)
        if terms.is_continuous:
            if name in parameters.funding_period_h:
                raise ValueError(f"funding_period_h: {name} pays continuously, a rate of 8 h")
            period_ns = CONTINUOUS_PERIOD_NS
        try:
            set_funding(strategy.funding[listing], terms, period_ns, parameters.rate_delay_ms * NS_PER_MS)
        except ValueError as error:
            raise ValueError(f"pair: {name}: {error}") from None


@compiled
def within_one(rate_e9: int) -> int:
    """Cut a rate to -100 % to 100 %, within which it may be multiplied."""
    return max(-E9, min(E9, rate_e9))


@compiled
def expected_e9(strategy: Carry, desk: Desk, buy: int, sell: int, is_entry: bool) -> int:
    """Return what a unit of base, long `buy` and short `sell`, is expected to bring within the horizon.

    In 1e-9 of the common currency, rounded down; NO_RATE if it can't be told. `is_entry`: spot that is sold has to be
    borrowed first.
    """
    legs, now_ns, hold_ns = strategy.legs, desk.now_ns, strategy.horizon_ns
    bought = middle_e9(legs, desk, buy)
    sold = middle_e9(legs, desk, sell)
    received_e9 = short_receives_e9(strategy.funding[sell], now_ns, hold_ns)
    paid_e9 = short_receives_e9(strategy.funding[buy], now_ns, hold_ns)
    if bought == 0 or sold == 0 or received_e9 == NO_RATE or paid_e9 == NO_RATE:
        return NO_RATE
    worth = multiply_e9(sold, within_one(received_e9)) + multiply_e9(bought, within_one(-paid_e9))
    if strategy.expiry_ns != 0:
        left_ns = strategy.expiry_ns - now_ns
        if left_ns < LEFT_MIN_MS * NS_PER_MS:
            return NO_RATE
        worth += multiply_e9(sold - bought, divide_e9(min(hold_ns, left_ns), left_ns))
    rate_e9 = strategy.borrow_rate_e9[sell]
    if rate_e9 > 0:
        # The hour that has begun is paid when it is borrowed, each further one as it begins.
        hours = (now_ns + hold_ns) // NS_PER_HOUR - now_ns // NS_PER_HOUR + (1 if is_entry else 0)
        worth += multiply_e9(sold, within_one(-rate_e9 * hours // HOURS_PER_DAY))
    return worth


@compiled
def turn_e9(legs: Legs, desk: Desk, buy: int, sell: int) -> int:
    """Return what it costs to get into a unit of base and out again at the best prices of now, after taker fees."""
    cost = 0
    for listing in (buy, sell):
        instrument = instrument_of(legs, desk, listing)
        cost += cost_e9(legs.listings[listing], instrument, market_ticks(legs, desk, listing, BUY))
        cost -= sale_e9(legs.listings[listing], instrument, market_ticks(legs, desk, listing, SELL))
    return cost


@on_book.register(Carry)
def look(strategy: Carry, desk: Desk, instrument: int) -> None:
    """Leave what is held, enter, or do nothing."""
    legs = strategy.legs
    if legs.listing_of[instrument] < 0:
        return
    if middle_e9(legs, desk, 0) == 0 or middle_e9(legs, desk, 1) == 0:
        # A side is empty, or the other book was lost in this very packet.
        end_opportunity(legs.opportunities, desk, pair_of(0, 1))
        end_opportunity(legs.opportunities, desk, pair_of(1, 0))
        return
    held = positions_e9(legs, desk, 0, 1)
    if is_holding(legs, desk, 0, 1, held):
        if strategy.entered_ns == 0:
            strategy.entered_ns = desk.now_ns
        if is_over(strategy, desk, held):
            leave(strategy, desk, held)
            return
    else:
        held = 0
        strategy.entered_ns = 0
    # A position held the other way is left first.
    follow(strategy, desk, 0, 1, 1, held >= 0)
    follow(strategy, desk, 1, 0, -1, held <= 0)


@compiled
def is_over(strategy: Carry, desk: Desk, held: int) -> bool:
    """Tell whether what is held no longer pays, or has been held too long."""
    buy = 0 if held > 0 else 1
    sell = 1 - buy
    if desk.now_ns - strategy.entered_ns >= strategy.hold_max_ns:
        strategy.expired = 1 if held > 0 else -1
        return True
    expected = expected_e9(strategy, desk, buy, sell, False)
    if expected == NO_RATE:
        strategy.looks_unknown += 1
        return True
    return expected < multiply_e9(middle_e9(strategy.legs, desk, buy), strategy.carry_exit_e9)


@compiled
def leave(strategy: Carry, desk: Desk, held: int) -> None:
    """Trade back a slice of what is held, at whatever the books offer within the depth."""
    legs = strategy.legs
    end_opportunity(legs.opportunities, desk, pair_of(0, 1))
    end_opportunity(legs.opportunities, desk, pair_of(1, 0))
    buy = 1 if held > 0 else 0
    sell = 1 - buy
    if blocked_by(legs, desk, buy, sell) == Blocked.NONE:
        limit_e9 = min(abs(held), strategy.size_max_e9)
        direction = 1 if buy == 0 else -1
        plan_and_start(legs, desk, strategy.plan, buy, sell, 0, strategy.depth, limit_e9, 0, direction, NO_OPPORTUNITY)


@compiled
def follow(strategy: Carry, desk: Desk, buy: int, sell: int, direction: int, may_enter: bool) -> None:
    """Follow one direction of the pair, and enter a slice if what is expected pays for the way in and out."""
    legs = strategy.legs
    number = pair_of(buy, sell)
    expected: int = NO_RATE
    if may_enter and strategy.borrow_rate_e9[sell] != MAY_NOT_BORROW:
        expected = expected_e9(strategy, desk, buy, sell, True)
        if expected == NO_RATE:
            strategy.looks_unknown += 1
    edge_e9 = expected - turn_e9(legs, desk, buy, sell)
    least_e9 = -multiply_e9(middle_e9(legs, desk, buy), -strategy.carry_min_e9)
    if expected == NO_RATE or edge_e9 < least_e9:
        if strategy.expired == direction and expected != NO_RATE:
            strategy.expired = 0
        end_opportunity(legs.opportunities, desk, number)
        return
    if strategy.expired == direction:
        return
    buy_instrument = instrument_of(legs, desk, buy)
    sell_index = legs.listings[sell].instrument
    fresh_ns = fresh_until_ns(legs, desk, buy, sell)
    index = follow_opportunity(legs.opportunities, desk, number, buy_instrument.index, sell_index, edge_e9, fresh_ns)
    if index == NO_OPPORTUNITY:
        return
    hurdle_rate_e9 = hurdle_e9(legs, desk, buy, sell, edge_e9 - least_e9)
    if edge_e9 > legs.opportunities.items[index].peak_edge_e9:
        walk(legs, desk, strategy.market, buy, sell, hurdle_rate_e9, strategy.depth, 0, True)
        size_e9 = strategy.market.offered_size_e9
        note_peak(legs.opportunities, desk, index, edge_e9, size_e9, value_e9(size_e9, edge_e9))
    blocked = enter_pair(
        legs,
        desk,
        strategy.plan,
        buy,
        sell,
        hurdle_rate_e9,
        strategy.depth,
        strategy.size_max_e9,
        strategy.size_min_e9,
        direction,
        index,
    )
    if blocked != Blocked.NONE:
        note_blocked(legs.opportunities, index, blocked)


@compiled
def hurdle_e9(legs: Legs, desk: Desk, buy: int, sell: int, spare_e9: int) -> int:
    """Return the least that a sale must bring, as a rate of the bought price, if it may be `spare_e9` worse than now.

    That much worse a pair of levels may be than the best prices, and still brings what is asked for.
    """
    sale = sale_e9(legs.listings[sell], instrument_of(legs, desk, sell), market_ticks(legs, desk, sell, SELL))
    ask_e9 = price_e9(instrument_of(legs, desk, buy), market_ticks(legs, desk, buy, BUY))
    return min(RATE_MASK, divide_e9(max(0, sale - spare_e9), ask_e9) + 1)
