"""Money in several currencies: exact amounts, and which instrument's price converts one into another."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from crosswire.engine.report.recorder import InstrumentInfo
from crosswire.venues.instrument import Kind

# Counted as one in converted figures, and said so wherever such a figure is shown.
DOLLARS = frozenset({"USD", "USDT", "USDC", "FDUSD", "BUSD", "TUSD", "USDE", "DAI", "PYUSD"})

Money = dict[str, Decimal]  # by currency


def e9(units: int) -> Decimal:
    """Convert 1e-9 units to an exact decimal."""
    return Decimal(units).scaleb(-9).normalize() + 0 if units else Decimal(0)


def money_of(sums_e9: Mapping[str, int]) -> Money:
    """Convert sums in 1e-9 units by currency."""
    return {currency: e9(units) for currency, units in sorted(sums_e9.items())}


def report_currency(instruments: Iterable[InstrumentInfo]) -> str:
    """Choose the currency for converted figures: USD, or the one quote currency if there is but one."""
    quotes = {info.quote for info in instruments}
    return quotes.pop() if len(quotes) == 1 else "USD"


def pricing_instrument(currency: str, into: str, instruments: Iterable[InstrumentInfo]) -> int | None:
    """Find the market index of the instrument whose price converts `currency`.

    -1: it counts as one; None: nothing does.
    """
    if currency == into or (currency in DOLLARS and into in DOLLARS):
        return -1
    priced = [
        info
        for info in instruments
        if info.kind not in (Kind.OPTION, Kind.COMBO)  # their price is not their coin's
        and info.base == currency
        and (info.quote == into or (info.quote in DOLLARS and into in DOLLARS))
    ]
    return min(priced, key=lambda info: (info.kind, info.index)).index if priced else None
