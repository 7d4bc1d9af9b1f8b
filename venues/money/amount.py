"""Amounts of settlement currency owed beside the trades: exact in between, rounded once, never in our favour."""

from decimal import ROUND_CEILING, Decimal, localcontext

from crosswire.venues.instrument import E9, Instrument, Payoff

PRECISION_DIGITS = 60  # more than any product of four 64-bit numbers has


def value_at(instrument: Instrument, position_lots: int, price_e9: int) -> Decimal:
    """Value a position (signed lots) at a price in 1e-9 of the quote currency: in the settlement currency, signed.

    Unlike `position_value_e9` it takes prices between ticks, as mark, index and delivery prices are. A long position is
    positive in both payoffs: a linear one is worth size times price, an inverse one size over price.
    """
    if price_e9 <= 0:
        raise ValueError(f"a price of {price_e9}: must be above 0")
    with localcontext(prec=PRECISION_DIGITS):
        size = Decimal(position_lots * instrument.lot_e9) / E9
        price = Decimal(price_e9) / E9
        return size / price if instrument.payoff == Payoff.INVERSE else size * price


def owed_e9(amount: Decimal) -> int:
    """Round what is owed to 1e-9; positive is paid, so up: less is received, more is paid."""
    with localcontext(prec=PRECISION_DIGITS):
        return int((amount * E9).to_integral_value(ROUND_CEILING))
