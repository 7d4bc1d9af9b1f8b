"""Exact figures as text, for a page: prices and sizes with all their digits, times to the nanosecond."""

from typing import Any

from crosswire.engine.report.recorder import InstrumentInfo
from crosswire.engine.report.text import duration_text

E9_DIGITS = 9


def digits_of(unit_e9: int) -> int:
    """Count the decimal places that a multiple of a unit in 1e-9 can have."""
    digits = E9_DIGITS
    while digits and unit_e9 % 10 == 0:
        unit_e9 //= 10
        digits -= 1
    return digits


def fixed(value_e9: int, digits: int, *, signed: bool = False) -> str:
    """Show a value in 1e-9 with some decimal places, thousands apart; what is behind them is cut off, not rounded."""
    scaled = abs(value_e9) // 10 ** (E9_DIGITS - digits)
    whole, part = divmod(scaled, 10**digits)
    sign = "-" if value_e9 < 0 and scaled else "+" if signed and scaled else ""
    return f"{sign}{whole:,}" + (f".{part:0{digits}d}" if digits else "")


def price_text(info: InstrumentInfo, ticks: int) -> str:
    """Show a price of an instrument in its quote currency."""
    return fixed(ticks * info.tick_e9, digits_of(info.tick_e9))


def size_text(info: InstrumentInfo, lots: int, *, signed: bool = False) -> str:
    """Show a quantity of an instrument in its size currency."""
    return fixed(lots * info.lot_e9, digits_of(info.lot_e9), signed=signed)


def since_text(from_ns: int, to_ns: int) -> str:
    """Show how long something took; "" if it has not happened."""
    return duration_text(to_ns - from_ns) if from_ns > 0 and to_ns >= from_ns else ""


def plain(value: Any) -> Any:
    """Make a value fit for JSON that JavaScript reads: a number that it can't hold exactly becomes text."""
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 1 << 53:
        return str(value)
    return value
