"""Basis: when two instruments of one underlying stand further apart than usual, trade them back to each other.

The basis of a pair is (middle of a - middle of b) / middle of b. Its running mean and mean absolute deviation are kept
over samples taken every `sample_us`. Away from the mean by more than `entry_deviations`, and by enough to pay for both
ways and `edge_min_bps`, the expensive one is sold and the cheap one bought; back within `exit_deviations`, or after
`hold_max_s`, that is undone; after the latter nothing is entered until the basis has been back. Both ways are worked by
`strategies.legs`, without hedges: a third instrument has a basis of its own.
"""

from collections import Counter
from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import Annotated, Self

from crosswire.nic.duration import NS_PER_S, NS_PER_US
from crosswire.nic.memory.struct import Array, Struct, i64
from crosswire.nic.unit.compile import compiled
from crosswire.risk.limits import to_e9
from crosswire.strategies.average import Average, add_sample, distance, weight_of
from crosswire.strategies.desk import Desk, wake_at
from crosswire.strategies.interface import BuildContext, on_book, on_timer
from crosswire.strategies.leg_parameters import BPS_MAX, LegParameters, bps_e9, fill_in_legs
from crosswire.strategies.legs import (
    Legs,
    LegStrategy,
    blocked_by,
    pair_number,
    take_timer,
)
from crosswire.strategies.mean_basis import (
    NO_BASIS,
    basis_of,
    follow_at_rates,
    rate_of_a_e9,
    rate_of_b_e9,
)
from crosswire.strategies.opportunity import (
    NO_OPPORTUNITY,
    Blocked,
    end_opportunity,
    note_blocked,
    pair_of,
)
from crosswire.strategies.pairs import enter_pair, is_holding, plan_and_start, positions_e9
from crosswire.strategies.parameters import Parameter
from crosswire.strategies.plan import Plan
from crosswire.venues.instrument import E9

BASIS_PAIRS_MAX = 8
DEVIATIONS_MAX = 100
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
    is_told_apart: i64  # 1: no other pair has a, or b, so that its position says what this one holds
    is_begun: i64  # 1: what an earlier run left is known
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
        uses = Counter(name for pair in parameters.pairs for name in pair)
        for position, (a, b) in enumerate(parameters.pairs):
            _set_pair(strategy.pairs[position], strategy.legs, names.index(a), names.index(b), edge)
            strategy.pairs[position].is_told_apart = int(min(uses[a], uses[b]) == 1)
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
    if basis != NO_BASIS and pair.is_begun == 0:
        take_up(legs, desk, pair)
    held_e9 = legs.pairs[pair_number(pair.a, pair.b)].held_e9
    if basis != NO_BASIS and is_holding(legs, desk, pair.a, pair.b, held_e9):
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
def take_up(legs: Legs, desk: Desk, pair: BasisPair) -> None:
    """Hold what an earlier run has left, as far as its positions tell; the time of holding begins anew."""
    pair.is_begun = 1
    if pair.is_told_apart != 0:
        legs.pairs[pair_number(pair.a, pair.b)].held_e9 = positions_e9(legs, desk, pair.a, pair.b)
        pair.entered_ns = desk.now_ns


@compiled
def at_mean_e9(pair: BasisPair, buy: int, rate_a_e9: int, rate_b_e9: int) -> int:
    """Convert a rate of the bought listing's price to the sold listing's money while the basis is at its mean."""
    if buy == pair.a:
        return rate_of_a_e9(pair.average.mean, rate_a_e9)
    return rate_of_b_e9(pair.average.mean, rate_b_e9)


@compiled
def follow(strategy: Basis, desk: Desk, pair: BasisPair, buy: int, sell: int, far: bool) -> None:
    """Follow one direction of a pair, and enter if the prices that can be had pay for both ways."""
    legs = strategy.legs
    if not far:
        end_opportunity(legs.opportunities, desk, pair_of(buy, sell))
        return
    cost_rate_e9 = at_mean_e9(pair, buy, pair.cost_rate_a_e9, pair.cost_rate_b_e9)
    hurdle_rate_e9 = at_mean_e9(pair, buy, pair.hurdle_rate_a_e9, pair.hurdle_rate_b_e9)
    index = follow_at_rates(legs, desk, strategy.market, buy, sell, cost_rate_e9, hurdle_rate_e9, strategy.depth)
    if index == NO_OPPORTUNITY:
        return
    blocked = enter(strategy, desk, pair, buy, sell, hurdle_rate_e9, index)
    if blocked != Blocked.NONE:
        note_blocked(legs.opportunities, index, blocked)


@compiled
def enter(
    strategy: Basis, desk: Desk, pair: BasisPair, buy: int, sell: int, hurdle_rate_e9: int, opportunity: int
) -> int:
    """Start a trade into a pair; NONE if one was started, else why not."""
    legs, depth = strategy.legs, strategy.depth
    size_max_e9, size_min_e9 = strategy.size_max_e9, strategy.size_min_e9
    direction = 1 if buy == pair.a else -1
    blocked = enter_pair(
        legs, desk, strategy.plan, buy, sell, hurdle_rate_e9, depth, size_max_e9, size_min_e9, direction, opportunity
    )
    # What is held changes with fills, and none has come yet.
    if blocked == Blocked.NONE and not is_holding(legs, desk, buy, sell, legs.pairs[pair_number(buy, sell)].held_e9):
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
        limit_e9 = min(abs(held_e9), strategy.size_max_e9)
        direction = 1 if buy == pair.a else -1
        plan_and_start(legs, desk, strategy.plan, buy, sell, 0, strategy.depth, limit_e9, 0, direction, NO_OPPORTUNITY)
