"""Conversions against exact fractions: no unit, rounding or sign may differ, for linear and inverse contracts."""

from fractions import Fraction
from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.venues.instrument import (
    E9,
    SYMBOL_BYTES,
    Instrument,
    Payoff,
    base_e9,
    cash_flow_e9,
    divide_e9,
    fee_e9,
    lots_of_base,
    multiply_divide,
    multiply_e9,
    notional_e9,
    position_value_e9,
    price_e9,
    set_text,
    text_of,
)
from crosswire.venues.side import BUY, SELL


def linear(tick_e9: int = 100_000_000, lot_e9: int = 1_000_000) -> Instrument:
    return Instrument(
        payoff=Payoff.LINEAR,
        tick_e9=tick_e9,
        lot_e9=lot_e9,
        tick_lot_e9=tick_e9 * lot_e9 // E9,
        maker_fee_e9=-50_000,
        taker_fee_e9=500_000,
    )


def inverse(tick_e9: int = 500_000_000, lot_e9: int = 10 * E9) -> Instrument:
    return Instrument(payoff=Payoff.INVERSE, tick_e9=tick_e9, lot_e9=lot_e9, maker_fee_e9=-50_000, taker_fee_e9=500_000)


ticks = st.integers(1, 5_000_000)
lots = st.integers(0, 1_000_000)
sides = st.sampled_from([BUY, SELL])


@given(st.integers(-(1 << 60), 1 << 60), st.integers(-E9, E9))
def test_multiply_is_the_floor_of_the_exact_product(value: int, rate_e9: int) -> None:
    assert multiply_e9(value, rate_e9) == floor(Fraction(value * rate_e9, E9))


@given(st.integers(0, 1 << 52), st.integers(1, (1 << 63) // 1000 - 1))
def test_divide_is_the_floor_of_the_exact_quotient(value: int, divisor: int) -> None:
    exact = value * E9 // divisor
    if exact < 1 << 63:
        assert divide_e9(value, divisor) == exact


@given(ticks, lots)
def test_linear_money_is_exact(price_ticks: int, qty_lots: int) -> None:
    instrument = linear()
    price = Fraction(price_ticks, 10)
    size = Fraction(qty_lots, 1000)
    assert Fraction(price_e9(instrument, price_ticks), E9) == price
    assert Fraction(notional_e9(instrument, price_ticks, qty_lots), E9) == price * size
    assert Fraction(base_e9(instrument, price_ticks, qty_lots), E9) == size
    assert Fraction(cash_flow_e9(instrument, BUY, price_ticks, qty_lots), E9) == -price * size


@given(ticks, lots)
def test_inverse_money_is_coins_rounded_down(price_ticks: int, qty_lots: int) -> None:
    instrument = inverse()
    dollars = Fraction(qty_lots * 10)
    coins = dollars / Fraction(price_ticks, 2)
    assert Fraction(notional_e9(instrument, price_ticks, qty_lots), E9) == dollars
    assert base_e9(instrument, price_ticks, qty_lots) == floor(coins * E9)
    assert cash_flow_e9(instrument, BUY, price_ticks, qty_lots) == floor(coins * E9)
    assert cash_flow_e9(instrument, SELL, price_ticks, qty_lots) == -floor(coins * E9)


@given(ticks, ticks, st.integers(1, 1_000_000), sides)
def test_round_trip_earns_the_contract_formula(entry: int, leave: int, qty_lots: int, side: int) -> None:
    held = qty_lots if side == BUY else -qty_lots
    instrument = linear()
    earned = cash_flow_e9(instrument, side, entry, qty_lots) + position_value_e9(instrument, leave, held)
    assert Fraction(earned, E9) == Fraction(held, 1000) * Fraction(leave - entry, 10)
    instrument = inverse()
    earned = cash_flow_e9(instrument, side, entry, qty_lots) + position_value_e9(instrument, leave, held)
    exact = Fraction(held * 10) * (Fraction(2, entry) - Fraction(2, leave))
    assert abs(earned - exact * E9) < 1


@given(ticks, st.integers(0, 1_000_000_000))
def test_lots_of_base_is_the_most_that_fits(price_ticks: int, lots_wanted: int) -> None:
    for instrument in (linear(), inverse()):
        size_e9 = lots_wanted * 1000
        found = lots_of_base(instrument, price_ticks, size_e9)
        unit = Fraction(instrument.lot_e9)
        if instrument.payoff == Payoff.INVERSE:
            unit /= Fraction(price_ticks, 2)
        assert found == floor(Fraction(size_e9) / unit)


@given(ticks, lots, st.booleans())
def test_fees_are_rounded_against_us(price_ticks: int, qty_lots: int, is_maker: bool) -> None:
    for instrument in (linear(), inverse()):
        value = base_e9(instrument, price_ticks, qty_lots)
        if instrument.payoff == Payoff.LINEAR:
            value = notional_e9(instrument, price_ticks, qty_lots)
        exact = Fraction(value) * Fraction(-50_000 if is_maker else 500_000, E9)
        charged = fee_e9(instrument, price_ticks, qty_lots, int(is_maker))
        assert exact <= charged < exact + 1


@given(text=st.text(st.characters(codec="ascii"), max_size=SYMBOL_BYTES).filter(lambda text: not text.endswith("\0")))
def test_a_text_is_read_as_it_was_set_whatever_stood_there(text: str) -> None:
    instrument = Instrument()
    set_text(instrument.symbol, "X" * SYMBOL_BYTES)
    set_text(instrument.symbol, text)
    assert text_of(instrument.symbol) == text


@pytest.mark.parametrize("text", ["X" * (SYMBOL_BYTES + 1), "é"])
def test_a_text_that_does_not_fit_changes_nothing(text: str) -> None:
    instrument = Instrument()
    set_text(instrument.symbol, "BTC")
    with pytest.raises(ValueError, match=f"does not fit {SYMBOL_BYTES} ASCII letters"):
        set_text(instrument.symbol, text)
    assert text_of(instrument.symbol) == "BTC"


@given(st.integers(0, (1 << 62) - 1), st.integers(1, 1 << 62), st.data())
def test_a_product_is_divided_without_overflow(value: int, divisor: int, data: st.DataObject) -> None:
    most = min((1 << 62) - 1, (divisor << 62) // max(1, value))  # with which the result still fits
    factor = data.draw(st.integers(0, most))
    assert multiply_divide(value, factor, divisor) == value * factor // divisor
