"""Basis: when two instruments of one underlying stand further apart than usual, trade them back to each other.

The basis of a pair is (middle of a - middle of b) / middle of b. Its running mean and mean absolute deviation are kept
over samples taken every `sample_us`. Away from the mean by more than `entry_deviations`, and by enough to pay for both
ways and `edge_min_bps`, the expensive one is sold and the cheap one bought; back within `exit_deviations`, or after
`hold_max_s`, that is undone; after the latter nothing is entered until the basis has been back. Both ways are worked by
`strategies.legs`, without hedges: a third instrument has a basis of its own.
"""

from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import Annotated, Self

from crosswire.nic.duration import NS_PER_S, NS_PER_US
from crosswire.nic.memory.struct import Array, Struct, i64
from crosswire.nic.unit.compile import compiled
from crosswire.risk.limits import to_e9
from crosswire.strategies.average import FRACTION_BITS, Average, add_sample, distance, weight_of
from crosswire.strategies.desk import Desk, wake_at
from crosswire.strategies.interface import BuildContext, on_book, on_timer
from crosswire.strategies.leg_parameters import BPS_MAX, LegParameters, bps_e9, fill_in_legs
from crosswire.strategies.legs import (
    Legs,
    LegStrategy,
    blocked_by,
    fresh_until_ns,
    instrument_of,
    market_ticks,
    pair_number,
    room_e9,
    start_trade,
    take_timer,
    walk,
)
from crosswire.strategies.listing import is_price, rated_up_e9, sale_e9, value_e9
from crosswire.strategies.opportunity import (
    NO_OPPORTUNITY,
    Blocked,
    end_opportunity,
    follow_opportunity,
    note_blocked,
    note_peak,
    pair_of,
)
from crosswire.strategies.parameters import Parameter
from crosswire.strategies.plan import Plan, choose_lots
from crosswire.venues.instrument import E9, base_e9, divide_e9, multiply_e9
from crosswire.venues.side import BUY, SELL

BASIS_PAIRS_MAX = 8
DEVIATIONS_MAX = 100
BASIS_UNIT_E9 = 100  # the basis is counted in 1e-3 bps
BASIS_MAX = 9_000_000  # 90 %: what is further away counts as this, and 1 + mean stays above 0
NO_BASIS = 1 << 62
DEVIATION_UNIT = 1_000


class BasisParameters(LegParameters, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """The parameters of `basis`, described in docs/strategies/basis.md."""

    pairs: Annotated[
        list[tuple[str, str]], Parameter("", f'of "venue/symbol"; 1 to {BASIS_PAIRS_MAX}, all of one underlying')
    ]
    half_life_s: Annotated[Decimal, Parameter("s", "after which a sample counts half in the mean", above=0)]
    sample_us: Annotated[int, Parameter("us", "between two samples of a basis", least=1)]
    warmup_s: Annotated[Decimal, Parameter("s", "of samples, before the first trade", above=0)]
    entry_deviations: Annotated[
        Decimal, Parameter("mean deviations", "away from the mean, to enter", above=0, most=DEVIATIONS_MAX)
    ]
    exit_deviations: Annotated[Decimal, Parameter("mean deviations", "away from the mean, to leave", least=0)]
    edge_min_bps: Annotated[
        Decimal, Parameter("bps", "beyond the taker fees of entering and leaving", least=0, most=BPS_MAX)
    ]
    hold_max_s: Annotated[Decimal, Parameter("s", "after which a position is left in any case", above=0)]
    depth: Annotated[int, Parameter("levels", "a side that a trade may take", least=1)] = 1


class BasisPair(Struct):
    """Listings a and b. `Legs.pairs` knows what is held: above 0 it is long a and short b."""

    a: i64
    b: i64
    cost_rate_a_e9: i64  # of a price of a: buying it and the taker fees of the rest of the round trip, rounded up
    cost_rate_b_e9: i64
    hurdle_rate_a_e9: i64  # with edge_min_bps
    hurdle_rate_b_e9: i64
    entered_ns: i64
    expired: i64  # +1 or -1: was held too long that far above or below; no entry until the basis has been back
    average: Average


class Basis(LegStrategy):
    """State of the strategy; sizes in 1e-9 of the base coin."""

    pair_count: i64
    depth: i64
    size_max_e9: i64
    size_min_e9: i64
    weight: i64
    sample_ns: i64
    warmup_samples: i64
    entry_deviations_e3: i64
    exit_deviations_e3: i64
    hold_max_ns: i64
    next_sample_ns: i64
    pairs: Annotated[Array, BasisPair, BASIS_PAIRS_MAX]
    market: Plan  # what the books offer
    plan: Plan  # what is to be traded

    @classmethod
    def build(cls, parameters: BasisParameters, context: BuildContext) -> Self:
        """Make the strategy; ValueError with one line on the first contradiction."""
        _check(parameters)
        sample_s = Decimal(parameters.sample_us) / 1_000_000
        strategy = cls(
            pair_count=len(parameters.pairs),
            depth=parameters.depth,
            size_max_e9=to_e9(parameters.size_max, "size_max"),
            size_min_e9=to_e9(parameters.size_min, "size_min"),
            weight=weight_of(sample_s, parameters.half_life_s),
            sample_ns=parameters.sample_us * NS_PER_US,
            warmup_samples=ceil(parameters.warmup_s / sample_s),
            entry_deviations_e3=int(parameters.entry_deviations * DEVIATION_UNIT),
            exit_deviations_e3=int(parameters.exit_deviations * DEVIATION_UNIT),
            hold_max_ns=int(parameters.hold_max_s * NS_PER_S),
        )
        names = list(dict.fromkeys(name for pair in parameters.pairs for name in pair))
        fill_in_legs(strategy.legs, parameters, names, context)
        edge = Fraction(bps_e9(parameters.edge_min_bps, "edge_min_bps"), E9)
        for position, (a, b) in enumerate(parameters.pairs):
            _set_pair(strategy.pairs[position], strategy.legs, names.index(a), names.index(b), edge)
        return strategy


def _check(parameters: BasisParameters) -> None:
    if not 1 <= len(parameters.pairs) <= BASIS_PAIRS_MAX:
        raise ValueError(f"pairs: 1 to {BASIS_PAIRS_MAX} are needed, not {len(parameters.pairs)}")
    for a, b in parameters.pairs:
        if a == b:
            raise ValueError(f"pairs: {a} is paired with itself")
    if len({frozenset(pair) for pair in parameters.pairs}) != len(parameters.pairs):
        raise ValueError("pairs: one is named twice")
    if parameters.exit_deviations >= parameters.entry_deviations:
        raise ValueError(
            f"entry_deviations = {parameters.entry_deviations} must be above exit_deviations ="
            f" {parameters.exit_deviations}"
        )
    if parameters.warmup_s < parameters.half_life_s:
        raise ValueError(f"warmup_s = {parameters.warmup_s} is shorter than half_life_s = {parameters.half_life_s}")


def _set_pair(pair: BasisPair, legs: Legs, a: int, b: int, edge: Fraction) -> None:
    pair.a = a
    pair.b = b
    first, second = legs.listings[a], legs.listings[b]
    round_trip_e9 = first.fee_e9 + second.fee_e9
    # What a sale brings has one of its fees taken off already: the rate of the bought leg carries the other three.
    unit_a, unit_b = Fraction(first.unit_e9, E9), Fraction(second.unit_e9, E9)
    cost_a, cost_b = E9 + first.fee_e9 + round_trip_e9, E9 + second.fee_e9 + round_trip_e9
    pair.cost_rate_a_e9 = ceil(cost_a * unit_a)
    pair.cost_rate_b_e9 = ceil(cost_b * unit_b)
    pair.hurdle_rate_a_e9 = ceil((cost_a + edge * E9) * unit_a)
    pair.hurdle_rate_b_e9 = ceil((cost_b + edge * E9) * unit_b)


@compiled
def middle_e9(legs: Legs, desk: Desk, listing: int) -> int:
    """Return the middle of a book in the common currency; 0 if it is not proven or a side is empty."""
    instrument = instrument_of(legs, desk, listing)
    book = desk.books[instrument.index]
    if book.valid == 0 or not is_price(book.bid_ticks) or not is_price(book.ask_ticks):
        return 0
    middle = (book.bid_ticks + book.ask_ticks) * instrument.tick_e9 // 2
    return multiply_e9(middle, legs.listings[listing].unit_e9)


@compiled
def basis_of(legs: Legs, desk: Desk, a: int, b: int) -> int:
    """Compute (a - b) / b in 1e-3 bps, within BASIS_MAX; NO_BASIS without both books."""
    middle_a = middle_e9(legs, desk, a)
    middle_b = middle_e9(legs, desk, b)
    if middle_a == 0 or middle_b == 0:
        return NO_BASIS
    return max(-BASIS_MAX, min(BASIS_MAX, divide_e9(middle_a - middle_b, middle_b) // BASIS_UNIT_E9))


@on_book.register(Basis)
def look(strategy: Basis, desk: Desk, instrument: int) -> None:
    """Look at the pairs of the changed instrument."""
    changed = strategy.legs.listing_of[instrument]
    if changed < 0:
        return
    if strategy.next_sample_ns == 0:
        _schedule(strategy, desk)
    for number in range(strategy.pair_count):
        pair = strategy.pairs[number]
        if (pair.a == changed) | (pair.b == changed):
            judge(strategy, desk, pair)


@on_timer.register(Basis)
def sample(strategy: Basis, desk: Desk) -> None:
    """Take the samples that are due, only one after a silence; judge the pairs, whose time may be up."""
    take_timer(strategy.legs, desk)
    if strategy.next_sample_ns == 0:
        return
    if desk.now_ns < strategy.next_sample_ns:
        wake_at(desk, strategy.next_sample_ns)
        return
    for number in range(strategy.pair_count):
        pair = strategy.pairs[number]
        basis = basis_of(strategy.legs, desk, pair.a, pair.b)
        if basis != NO_BASIS:
            add_sample(pair.average, basis, strategy.weight)
            judge(strategy, desk, pair)
    _schedule(strategy, desk)


@compiled
def _schedule(strategy: Basis, desk: Desk) -> None:
    # On a grid of the clock, so that a run's samples do not depend on when its first frame came.
    strategy.next_sample_ns = (desk.now_ns // strategy.sample_ns + 1) * strategy.sample_ns
    wake_at(desk, strategy.next_sample_ns)


@compiled
def judge(strategy: Basis, desk: Desk, pair: BasisPair) -> None:
    """Leave the pair, enter it, or do nothing."""
    if pair.average.samples < strategy.warmup_samples:
        return
    legs = strategy.legs
    basis = basis_of(legs, desk, pair.a, pair.b)
    above = distance(pair.average, basis) if basis != NO_BASIS else 0
    held_e9 = legs.pairs[pair_number(pair.a, pair.b)].held_e9
    if basis != NO_BASIS and is_holding(legs, desk, pair, held_e9):
        reverted = above if held_e9 > 0 else -above
        back = reverted * DEVIATION_UNIT >= -strategy.exit_deviations_e3 * pair.average.deviation
        if not back and desk.now_ns - pair.entered_ns >= strategy.hold_max_ns:
            pair.expired = -1 if held_e9 > 0 else 1
        if back or pair.expired != 0:
            leave(strategy, desk, pair, held_e9)
            return
    else:
        held_e9 = 0
    near = strategy.exit_deviations_e3 * pair.average.deviation
    if basis != NO_BASIS and pair.expired * above * DEVIATION_UNIT <= near:
        pair.expired = 0
    entry = strategy.entry_deviations_e3 * pair.average.deviation
    far = basis != NO_BASIS and pair.expired == 0 and abs(above) * DEVIATION_UNIT > entry
    # The cheap one is bought. A position held the other way is left first.
    follow(strategy, desk, pair, pair.a, pair.b, far and above < 0 and held_e9 >= 0)
    follow(strategy, desk, pair, pair.b, pair.a, far and above > 0 and held_e9 <= 0)


@compiled
def is_holding(legs: Legs, desk: Desk, pair: BasisPair, held_e9: int) -> bool:
    """Tell whether a pair holds at least a lot of both; what is less is left to the carry."""
    instrument_a = instrument_of(legs, desk, pair.a)
    instrument_b = instrument_of(legs, desk, pair.b)
    lot_a_e9 = base_e9(instrument_a, desk.books[instrument_a.index].bid_ticks, 1)
    lot_b_e9 = base_e9(instrument_b, desk.books[instrument_b.index].bid_ticks, 1)
    return abs(held_e9) >= max(lot_a_e9, lot_b_e9)


@compiled
def at_mean_e9(pair: BasisPair, buy: int, rate_a_e9: int, rate_b_e9: int) -> int:
    """Convert a rate of the bought listing's price to the sold listing's money while the basis is at its mean."""
    mean_e9 = (pair.average.mean * BASIS_UNIT_E9) >> FRACTION_BITS
    if buy == pair.a:
        return rate_a_e9 * E9 // (E9 + mean_e9) + 1
    return rate_b_e9 * (E9 + mean_e9 + 1) // E9 + 1


@compiled
def follow(strategy: Basis, desk: Desk, pair: BasisPair, buy: int, sell: int, far: bool) -> None:
    """Follow one direction of a pair, and enter if the prices that can be had pay for both ways."""
    legs = strategy.legs
    number = pair_of(buy, sell)
    if not far:
        end_opportunity(legs.opportunities, desk, number)
        return
    rate_e9 = at_mean_e9(pair, buy, pair.cost_rate_a_e9, pair.cost_rate_b_e9)
    hurdle_rate_e9 = at_mean_e9(pair, buy, pair.hurdle_rate_a_e9, pair.hurdle_rate_b_e9)
    sale = sale_e9(legs.listings[sell], instrument_of(legs, desk, sell), market_ticks(legs, desk, sell, SELL))
    buy_instrument = instrument_of(legs, desk, buy)
    ask_ticks = market_ticks(legs, desk, buy, BUY)
    if sale < rated_up_e9(buy_instrument, ask_ticks, hurdle_rate_e9):
        end_opportunity(legs.opportunities, desk, number)
        return
    edge_e9 = sale - rated_up_e9(buy_instrument, ask_ticks, rate_e9)
    sell_instrument, fresh_ns = legs.listings[sell].instrument, fresh_until_ns(legs, desk, buy, sell)
    index = follow_opportunity(
        legs.opportunities, desk, number, buy_instrument.index, sell_instrument, edge_e9, fresh_ns
    )
    if index == NO_OPPORTUNITY:
        return
    if edge_e9 > legs.opportunities.items[index].peak_edge_e9:
        walk(legs, desk, strategy.market, buy, sell, hurdle_rate_e9, strategy.depth, 0, True)
        size_e9 = strategy.market.offered_size_e9
        note_peak(legs.opportunities, desk, index, edge_e9, size_e9, value_e9(size_e9, edge_e9))
    blocked = enter(strategy, desk, pair, buy, sell, hurdle_rate_e9, index)
    if blocked != Blocked.NONE:
        note_blocked(legs.opportunities, index, blocked)


@compiled
def enter(
    strategy: Basis, desk: Desk, pair: BasisPair, buy: int, sell: int, hurdle_rate_e9: int, opportunity: int
) -> int:
    """Start a trade into a pair; NONE if one was started, else why not."""
    legs = strategy.legs
    blocked = blocked_by(legs, desk, buy, sell)
    if blocked != Blocked.NONE:
        return blocked
    limit_e9 = min(room_e9(legs, desk, buy, sell), strategy.size_max_e9)
    if limit_e9 <= 0:
        return Blocked.POSITION
    was_holding = is_holding(legs, desk, pair, legs.pairs[pair_number(buy, sell)].held_e9)
    blocked = trade(strategy, desk, pair, buy, sell, hurdle_rate_e9, limit_e9, opportunity)
    if blocked == Blocked.NONE and not was_holding:
        pair.entered_ns = desk.now_ns
    return blocked


@compiled
def leave(strategy: Basis, desk: Desk, pair: BasisPair, held_e9: int) -> None:
    """Trade back what a pair holds, at whatever the books offer within the depth."""
    legs = strategy.legs
    end_opportunity(legs.opportunities, desk, pair_of(pair.a, pair.b))
    end_opportunity(legs.opportunities, desk, pair_of(pair.b, pair.a))
    buy = pair.b if held_e9 > 0 else pair.a
    sell = pair.a if held_e9 > 0 else pair.b
    if blocked_by(legs, desk, buy, sell) == Blocked.NONE:
        trade(strategy, desk, pair, buy, sell, 0, min(abs(held_e9), strategy.size_max_e9), NO_OPPORTUNITY)


@compiled
def trade(
    strategy: Basis,
    desk: Desk,
    pair: BasisPair,
    buy: int,
    sell: int,
    hurdle_rate_e9: int,
    limit_e9: int,
    opportunity: int,
) -> int:
    """Plan and start one trade that nothing blocks; NONE if one was started, else why not."""
    legs = strategy.legs
    plan = strategy.plan
    walk(legs, desk, plan, buy, sell, hurdle_rate_e9, strategy.depth, limit_e9, False)
    if plan.size_e9 > 0:
        choose_lots(plan, instrument_of(legs, desk, buy), instrument_of(legs, desk, sell), legs.carry_e9)
    if plan.size_e9 == 0 or plan.buy_lots == 0:
        return Blocked.NO_SIZE
    if opportunity != NO_OPPORTUNITY and plan.size_e9 < strategy.size_min_e9:
        return Blocked.NO_SIZE
    direction = 1 if buy == pair.a else -1
    return Blocked.NONE if start_trade(legs, desk, buy, sell, plan, direction, opportunity) else Blocked.IN_FLIGHT
