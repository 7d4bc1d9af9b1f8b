"""One configured instrument as an arbitrage sees it: what its prices are worth after taker fees, in common money.

Instruments are compared in a common quote currency. `quote_adjustment_bps` says how much more than one common unit the
instrument's own quote unit is worth (USDT at 0.9995 USD: -5). Values are 1e-9 of the common currency per unit of base.

Every rounding goes against us: proceeds down, costs up. So an edge that clears its threshold here clears it exactly.
"""

from decimal import Decimal
from fractions import Fraction
from math import ceil, floor

from crosswire.nic.memory.struct import Struct, i64
from crosswire.nic.unit.compile import compiled, inlined
from crosswire.risk.position import Position
from crosswire.venues.instrument import (
    E9,
    Instrument,
    Payoff,
    base_e9,
    lots_of_base,
    multiply_e9,
    notional_e9,
    price_e9,
)
from crosswire.venues.side import BUY

LISTINGS_MAX = 8
PAIRS_MAX = LISTINGS_MAX * LISTINGS_MAX  # bought listing * LISTINGS_MAX + sold listing: a word has a bit for each
PRICE_BITS = 32  # a book holds prices up to 2**32; above lies only NO_ASK
# Neither prices nor rates are negative, and rates are below 4. Masked, the compiler knows it, and a product is rounded
# in 12 instructions instead of 35.
PRICE_MASK = (1 << 63) - 1
RATE_MASK = (1 << 32) - 1


class Listing(Struct):
    """One configured instrument. Rates are 1e-9 parts of a price."""

    instrument: i64  # market index
    fee_e9: i64  # taker fee, fraction of notional
    unit_e9: i64  # one unit of its quote currency in the common one
    sale_rate_e9: i64  # what is left of a price when sold: less the taker fee, in the common currency, rounded down
    cost_rate_e9: i64  # what a price costs when bought: taker fee and common currency included, rounded up
    position_max_e9: i64  # base coin, on either side
    bid_taken_ns: i64  # receive time of the book whose bids were last sold to: displayed size counts once
    ask_taken_ns: i64


def fraction_of_bps(bps: Decimal) -> Fraction:
    """Convert basis points to an exact fraction."""
    return Fraction(bps) / 10_000


def unit_of(quote_adjustment_bps: Decimal) -> Fraction:
    """Return what one unit of an instrument's quote currency is worth in the common one."""
    return 1 + fraction_of_bps(quote_adjustment_bps)


def set_listing(listing: Listing, instrument: Instrument, quote_adjustment_bps: Decimal, position_max_e9: int) -> None:
    """Fill in a listing of `instrument`."""
    unit = unit_of(quote_adjustment_bps)
    fee = Fraction(instrument.taker_fee_e9, E9)
    listing.instrument = instrument.index
    listing.fee_e9 = instrument.taker_fee_e9
    listing.unit_e9 = floor(unit * E9)
    listing.sale_rate_e9 = floor((1 - fee) * unit * E9)
    listing.cost_rate_e9 = ceil((1 + fee) * unit * E9)
    listing.position_max_e9 = position_max_e9
    # No book has been received yet, so none has been taken.
    listing.bid_taken_ns = -1
    listing.ask_taken_ns = -1


@inlined
def note_taken(listing: Listing, side: int, book_ns: int) -> None:
    """Note which book an order of `side` takes from, by its receive time: what it displays counts once."""
    if side == BUY:
        listing.ask_taken_ns = book_ns
    else:
        listing.bid_taken_ns = book_ns


@compiled
def is_price(price_ticks: int) -> bool:
    """Tell whether this is a price that can be traded at, rather than an empty side."""
    return (price_ticks - 1) >> PRICE_BITS == 0


@inlined
def are_prices(first_ticks: int, second_ticks: int) -> bool:
    """Tell whether both are, with one test."""
    return ((first_ticks - 1) | (second_ticks - 1)) >> PRICE_BITS == 0


@compiled
def rated_up_e9(instrument: Instrument, price_ticks: int, rate_e9: int) -> int:
    """Multiply a price by a rate (below 4e9), rounded up."""
    price = price_e9(instrument, price_ticks) & PRICE_MASK
    rate = rate_e9 & RATE_MASK
    return (price // E9) * rate + ((price % E9) * rate + E9 - 1) // E9


@compiled
def sale_e9(listing: Listing, instrument: Instrument, price_ticks: int) -> int:
    """Return what selling one unit of base brings after the taker fee."""
    price = price_e9(instrument, price_ticks) & PRICE_MASK
    rate = listing.sale_rate_e9 & RATE_MASK
    return (price // E9) * rate + (price % E9) * rate // E9


@compiled
def cost_e9(listing: Listing, instrument: Instrument, price_ticks: int) -> int:
    """Return what buying one unit of base costs with the taker fee."""
    return rated_up_e9(instrument, price_ticks, listing.cost_rate_e9)


@compiled
def value_e9(size_e9: int, unit_value_e9: int) -> int:
    """Compute floor(size * value of one unit / 1e9); either may be negative."""
    return size_e9 * (unit_value_e9 // E9) + multiply_e9(size_e9, unit_value_e9 % E9)


@inlined
def gain_e9(size_e9: int, unit_value_e9: int) -> int:
    """Compute what `value_e9` does, of a size that is not negative: in 30 instructions instead of 60.

    Masked, the size and the rest of a unit's value (below 1e9) are known not to be negative, as in `rated_up_e9`.
    """
    size = size_e9 & PRICE_MASK
    rest_e9 = unit_value_e9 % E9 & RATE_MASK
    return size * (unit_value_e9 // E9) + size // E9 * rest_e9 + size % E9 * rest_e9 // E9


@compiled
def fill_cash_e9(
    listing: Listing, instrument: Instrument, side: int, price_ticks: int, qty_lots: int, fee_e9: int
) -> int:
    """Return what a fill adds to our money after its fee, 1e-9 of the common currency; purchases are negative.

    A fill of N USD of an inverse contract buys or sells N / price coins for N USD; its fee is paid in coins.
    """
    fee = value_e9(fee_e9, price_e9(instrument, price_ticks)) if instrument.payoff == Payoff.INVERSE else fee_e9
    notional = notional_e9(instrument, price_ticks, qty_lots)
    return multiply_e9(-notional - fee if side == BUY else notional - fee, listing.unit_e9)


@compiled
def nearest_lots(instrument: Instrument, price_ticks: int, size_e9: int) -> int:
    """Return the number of lots nearest to a size in 1e-9 of the base coin; 0 for sizes that are not positive."""
    if size_e9 <= 0:
        return 0
    lots = lots_of_base(instrument, price_ticks, size_e9)
    below = size_e9 - base_e9(instrument, price_ticks, lots)
    above = base_e9(instrument, price_ticks, lots + 1) - size_e9
    return lots + 1 if above < below else lots


@inlined
def buy_room_e9(listing: Listing, instrument: Instrument, position: Position, price_ticks: int) -> int:
    """Return how much more may be bought, 1e-9 of the base coin, open buy orders taken as filled; may be negative."""
    return listing.position_max_e9 - base_e9(instrument, price_ticks, position.position_lots + position.open_buy_lots)


@inlined
def sell_room_e9(listing: Listing, instrument: Instrument, position: Position, price_ticks: int) -> int:
    """Return how much more may be sold, as `buy_room_e9`."""
    return listing.position_max_e9 + base_e9(instrument, price_ticks, position.position_lots - position.open_sell_lots)
