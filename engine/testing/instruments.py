"""Instruments to test with, and numbers as they are written."""

from decimal import Decimal
from fractions import Fraction

from crosswire.venues.instrument import E9, Instrument, Kind, Payoff, set_text

Number = int | float | str | Decimal | Fraction


def exact(number: Number) -> Fraction:
    """A number as it is written: 0.1 is one tenth. ValueError: it is none."""
    try:
        return Fraction(str(number)) if isinstance(number, float) else Fraction(number)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{number!r} is no number") from None


def linear(
    tick: Number = "0.1",
    lot: Number = "0.001",
    taker_fee_bps: Number = 5,
    kind: Kind = Kind.PERPETUAL,
    maker_fee_bps: Number = 0,
    base: str = "BTC",
    quote: str = "USDT",
) -> Instrument:
    """A linear instrument; the lot is in the base coin."""
    instrument = _instrument(Payoff.LINEAR, kind, tick, lot, taker_fee_bps, maker_fee_bps)
    return _named(instrument, base, quote, quote)


def inverse(
    tick: Number = "0.5",
    lot: Number = 10,
    taker_fee_bps: Number = 5,
    maker_fee_bps: Number = 0,
    base: str = "BTC",
    quote: str = "USD",
) -> Instrument:
    """An inverse perpetual; the lot is in the quote currency."""
    instrument = _instrument(Payoff.INVERSE, Kind.PERPETUAL, tick, lot, taker_fee_bps, maker_fee_bps)
    return _named(instrument, base, quote, base)


def _named(instrument: Instrument, base: str, quote: str, settlement: str) -> Instrument:
    set_text(instrument.base, base)
    set_text(instrument.quote, quote)
    set_text(instrument.settlement, settlement)
    return instrument


def _instrument(
    payoff: Payoff, kind: Kind, tick: Number, lot: Number, taker_fee_bps: Number, maker_fee_bps: Number
) -> Instrument:
    tick_e9, lot_e9 = step_e9(tick, "tick"), step_e9(lot, "lot")
    return Instrument(
        kind=kind,
        payoff=payoff,
        tick_e9=tick_e9,
        lot_e9=lot_e9,
        tick_lot_e9=0 if payoff == Payoff.INVERSE else tick_e9 * lot_e9 // E9,
        contract_e9=lot_e9,
        maker_fee_e9=int(exact(maker_fee_bps) * E9 / 10_000),
        taker_fee_e9=int(exact(taker_fee_bps) * E9 / 10_000),
    )


def step_e9(step: Number, what: str) -> int:
    """Return a tick or a lot in 1e-9; ValueError: it is not above 0, or finer than that."""
    steps = exact(step) * E9
    if steps <= 0 or steps.denominator != 1:
        raise ValueError(f"{what} = {step}: must be above 0, in steps of 1e-9")
    return int(steps)


def whole(value: Fraction, what: str) -> int:
    """Return a value as a whole number; ValueError if it is none."""
    if value.denominator != 1:
        raise ValueError(f"{what} is off the instrument's grid")
    return int(value)
