"""Whether a product of rates is above a threshold: by a bound that costs an addition, and exactly where in doubt.

A price is a whole number of ticks, and what a tick is worth after fees is a fraction: so a rate is ticks times a
fraction, or a fraction by ticks, and the product of a cycle's rates is a quotient of two whole numbers of some hundred
bits. Its binary logarithm is a sum, of which a changed price changes one term.

Logarithms are in units of 2**-LOG_BITS. That of a price is read off a table of 2**TABLE_BITS chords below the curve:

    0 <= log2(ticks) - log_of(ticks) < LOG_ERROR

Proof: ticks are 2**e * x with 1 <= x < 2. The second derivative of log2 is at most 1 / ln 2 < 1.4427 there, so a chord
of width h = 2**-10 is less than h * h / 8 * 1.4427 below it, 189,100 units. The table's values are rounded down and so
is what is between two of them, less than a unit each. Everything added is at most 0: the sum is never above the curve.
"""

from decimal import Context, Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Annotated

from crosswire.nic.memory.raw import count_leading_zeros
from crosswire.nic.memory.struct import Array, Struct, i64
from crosswire.nic.unit.compile import compiled, inlined
from crosswire.venues.instrument import E9, divide_e9

LOG_BITS = 40
LOG_ONE = 1 << LOG_BITS
LOG_ERROR = 190_000
TABLE_BITS = 10
TICKS_BITS = 32  # a price is at most 2**TICKS_BITS
REST_BITS = TICKS_BITS - TABLE_BITS
DIGITS = Context(prec=50)  # of logarithms of constants: the same with every C library
DOUBT = Decimal("1e-20")  # more than they are off by

LIMB_BITS = 30
LIMB_MASK = (1 << LIMB_BITS) - 1
FACTOR_MAX = 1 << (2 * LIMB_BITS)  # of a factor, not reached
# Five legs of a price and a fraction, and a threshold: at most 5 * (33 + 60) + 60 bits, and two limbs more on the way.
LIMBS_MAX = 24
RATIO_MAX_E9 = 2 * E9  # a larger one is given as this
DIVISOR_BITS = 53  # of `divide_e9`


class Logarithms(Struct):
    """The ends of the chords: log2(1 + i / 2**TABLE_BITS), rounded down."""

    table: Annotated[Array, i64, (1 << TABLE_BITS) + 1]


class Product(Struct):
    """A whole number above 0, in limbs of LIMB_BITS, the lowest first."""

    count: i64  # limbs in use; the last of them is not 0
    limbs: Annotated[Array, i64, LIMBS_MAX]


def fill_in_logarithms(logarithms: Logarithms) -> None:
    """Compute the table."""
    logarithms.table.numpy()[:] = _table()


@lru_cache(maxsize=1)
def _table() -> list[int]:
    parts = 1 << TABLE_BITS
    return [0, *(log_below(Fraction(parts + place, parts)) for place in range(1, parts)), LOG_ONE]


def log_below(value: Fraction) -> int:
    """Compute a logarithm, rounded down: by less than 2 units."""
    natural = DIGITS.subtract(DIGITS.ln(Decimal(value.numerator)), DIGITS.ln(Decimal(value.denominator)))
    exact = DIGITS.multiply(DIGITS.divide(natural, DIGITS.ln(Decimal(2))), Decimal(LOG_ONE))
    return int(DIGITS.subtract(exact, DOUBT).to_integral_value(rounding="ROUND_FLOOR"))


@inlined
def log_of(logarithms: Logarithms, ticks: int) -> int:
    """Compute the logarithm of a price in 1..2**TICKS_BITS, too low by less than LOG_ERROR."""
    zeros = count_leading_zeros(ticks)
    mantissa = ticks << (zeros - (63 - TICKS_BITS))  # in 2**TICKS_BITS up to twice that
    place = (mantissa >> REST_BITS) & ((1 << TABLE_BITS) - 1)
    rest = mantissa & ((1 << REST_BITS) - 1)
    begin = logarithms.table[place]
    return ((63 - zeros) << LOG_BITS) + begin + ((logarithms.table[place + 1] - begin) * rest >> REST_BITS)


@compiled
def set_one(product: Product) -> None:
    """Begin with 1."""
    product.count = 1
    product.limbs[0] = 1


@compiled
def multiply(product: Product, factor: int) -> None:
    """Multiply by a factor in 1..FACTOR_MAX - 1. Two products of limbs and a carry stay below 2**62."""
    low, high = factor & LIMB_MASK, factor >> LIMB_BITS
    assert product.count + 2 <= LIMBS_MAX
    carry = before = 0
    for place in range(product.count + 2):
        limb = product.limbs[place] if place < product.count else 0
        total = limb * low + before * high + carry
        product.limbs[place] = total & LIMB_MASK
        carry = total >> LIMB_BITS
        before = limb
    product.count += 2
    while product.limbs[product.count - 1] == 0:
        product.count -= 1


@compiled
def is_at_least(first: Product, second: Product) -> bool:
    """Compare two numbers."""
    if first.count != second.count:
        return first.count > second.count
    for below in range(first.count):
        place = first.count - 1 - below
        if first.limbs[place] != second.limbs[place]:
            return first.limbs[place] > second.limbs[place]
    return True


@compiled
def ratio_e9(first: Product, second: Product) -> int:
    """Compute first / second in 1e-9, at most RATIO_MAX_E9; not above the exact one, and below it by less than 8."""
    count = max(first.count, second.count)
    above, below = _leading(first, count), _leading(second, count)
    while above >> DIVISOR_BITS != 0 or below >> DIVISOR_BITS != 0:
        above >>= 1
        below >>= 1
    below += 1
    return RATIO_MAX_E9 if above >= 2 * below else divide_e9(above, below)


@inlined
def _leading(product: Product, count: int) -> int:
    """Return the limbs at `count` - 1 and the one below as one number."""
    high = product.limbs[count - 1] if count <= product.count else 0
    low = product.limbs[count - 2] if 2 <= count <= product.count + 1 else 0
    return high << LIMB_BITS | low
