"""Starbase's decimal numbers as ticks and lots: exact, or refused."""

from crosswire.nic.unit.compile import compiled
from crosswire.venues.starbase.wire.order_layout import NULL_I64, Decimal72

BAD_VALUE = NULL_I64  # what no conversion gives
EXPONENT_MIN, EXPONENT_MAX = -18, 9  # 10 ** 18 is the largest power of ten in 63 bits
_E9_EXPONENT = 9
_LARGEST = (1 << 62) - 1


@compiled
def power_of_ten(exponent: int) -> int:
    """10 ** exponent for 0 to 18."""
    power = 1
    for _ in range(exponent):
        power *= 10
    return power


@compiled
def decimal_e9(mantissa: int, exponent: int) -> int:
    """Compute mantissa * 10 ** exponent in units of 1e-9; BAD_VALUE if that is not whole, or past 2**62, or null."""
    if mantissa == 0:
        return 0
    if mantissa == NULL_I64 or exponent < EXPONENT_MIN or exponent > EXPONENT_MAX:
        return BAD_VALUE
    places = exponent + _E9_EXPONENT
    if places < 0:
        divisor = power_of_ten(-places)
        return mantissa // divisor if mantissa % divisor == 0 else BAD_VALUE
    factor = power_of_ten(places)
    return mantissa * factor if abs(mantissa) <= _LARGEST // factor else BAD_VALUE


@compiled
def decimal_lots(decimal: Decimal72, lot_e9: int) -> int:
    """Convert a quantity to lots; BAD_VALUE if it is not a whole number of them, or negative."""
    value_e9 = decimal_e9(decimal.mantissa, decimal.exponent)
    if value_e9 < 0 or value_e9 % lot_e9 != 0:
        return BAD_VALUE
    return value_e9 // lot_e9


@compiled
def price_ticks(price_e9: int, tick_e9: int) -> int:
    """Convert a price to ticks; BAD_VALUE if it is null or not a whole number of them."""
    if price_e9 == NULL_I64 or price_e9 % tick_e9 != 0:
        return BAD_VALUE
    return price_e9 // tick_e9
