"""Trading a pair against its mean basis: (middle of a - middle of b) / middle of b, and what it makes of prices.

While the basis is at its mean, a coin of a is worth that much more than one of b. So what is bought has to clear a
*rate*: the sale brings at least the bought price times fees, edge, and the mean basis one way or the other.
"""

from crosswire.nic.unit.compile import compiled
from crosswire.strategies.average import FRACTION_BITS
from crosswire.strategies.desk import Desk
from crosswire.strategies.legs import Legs, fresh_until_ns, instrument_of, market_ticks, walk
from crosswire.strategies.listing import RATE_MASK, rated_up_e9, sale_e9, value_e9
from crosswire.strategies.opportunity import (
    NO_OPPORTUNITY,
    end_opportunity,
    follow_opportunity,
    note_peak,
    pair_of,
)
from crosswire.strategies.pairs import middle_e9
from crosswire.strategies.plan import Plan
from crosswire.venues.instrument import E9, divide_e9
from crosswire.venues.side import BUY, SELL

BASIS_UNIT_E9 = 100  # the basis is counted in 1e-3 bps
BASIS_MAX = 9_000_000  # 90 %: what is further away counts as this, and 1 + mean stays above 0
NO_BASIS = 1 << 62


@compiled
def basis_of(legs: Legs, desk: Desk, a: int, b: int) -> int:
    """Compute (a - b) / b in 1e-3 bps, within BASIS_MAX; NO_BASIS without both books."""
    middle_a = middle_e9(legs, desk, a)
    middle_b = middle_e9(legs, desk, b)
    if middle_a == 0 or middle_b == 0:
        return NO_BASIS
    return max(-BASIS_MAX, min(BASIS_MAX, divide_e9(middle_a - middle_b, middle_b) // BASIS_UNIT_E9))


@compiled
def mean_e9(mean: int) -> int:
    """Convert an average's mean of a basis to 1e-9, rounded down."""
    return (mean * BASIS_UNIT_E9) >> FRACTION_BITS


@compiled
def rate_of_a_e9(mean: int, rate_e9: int) -> int:
    """Convert a rate of a's price, a bought and b sold, to money at b while the basis is at its mean; rounded up."""
    return rate_e9 * E9 // (E9 + mean_e9(mean)) + 1


@compiled
def rate_of_b_e9(mean: int, rate_e9: int) -> int:
    """Convert a rate of b's price, b bought and a sold, to money at a while the basis is at its mean; rounded up."""
    return rate_e9 * (E9 + mean_e9(mean) + 1) // E9 + 1


@compiled
def follow_at_rates(
    legs: Legs, desk: Desk, market: Plan, buy: int, sell: int, cost_rate_e9: int, hurdle_rate_e9: int, depth: int
) -> int:
    """Follow the opportunity of a pair while its best prices clear the hurdle; its index.

    NO_OPPORTUNITY, and what was open has ended, if they do not; both books have a price to trade at. The edge is what
    the sale brings above `cost_rate_e9`; `market` is walked at a peak.
    """
    pair = pair_of(buy, sell)
    buy_instrument, sell_instrument = instrument_of(legs, desk, buy), instrument_of(legs, desk, sell)
    ask_ticks = market_ticks(legs, desk, buy, BUY)
    sale = sale_e9(legs.listings[sell], sell_instrument, market_ticks(legs, desk, sell, SELL))
    # A rate that does not fit is above every price that there can be.
    if hurdle_rate_e9 > RATE_MASK or sale < rated_up_e9(buy_instrument, ask_ticks, hurdle_rate_e9):
        end_opportunity(legs.opportunities, desk, pair)
        return NO_OPPORTUNITY
    edge_e9 = sale - rated_up_e9(buy_instrument, ask_ticks, cost_rate_e9)
    fresh_ns = fresh_until_ns(legs, desk, buy, sell)
    index = follow_opportunity(
        legs.opportunities, desk, pair, buy_instrument.index, sell_instrument.index, edge_e9, fresh_ns
    )
    if index != NO_OPPORTUNITY and edge_e9 > legs.opportunities.items[index].peak_edge_e9:
        walk(legs, desk, market, buy, sell, hurdle_rate_e9, depth, 0, True)
        size_e9 = market.offered_size_e9
        note_peak(legs.opportunities, desk, index, edge_e9, size_e9, value_e9(size_e9, edge_e9))
    return index
