"""Products of rates: the bound by logarithms never contradicts fractions, and what it leaves open is exact."""

from fractions import Fraction
from math import prod

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crosswire.strategies.rate_product import (
    FACTOR_MAX,
    LOG_ERROR,
    LOG_ONE,
    RATIO_MAX_E9,
    TABLE_BITS,
    Logarithms,
    Product,
    fill_in_logarithms,
    is_at_least,
    log_below,
    log_of,
    multiply,
    ratio_e9,
    set_one,
)
from crosswire.venues.instrument import E9

LOGARITHMS = Logarithms()
fill_in_logarithms(LOGARITHMS)
factors = st.one_of(st.integers(1, FACTOR_MAX - 1), st.integers(1, 10), st.sampled_from([2**30 - 1, 2**30, 2**60 - 1]))


def product_of(given_factors: list[int]) -> Product:
    product = Product()
    set_one(product)
    for factor in given_factors:
        multiply(product, factor)
    return product


def number_of(product: Product) -> int:
    return sum(int(product.limbs[place]) << 30 * place for place in range(product.count))


@given(st.lists(factors, max_size=9))
def test_a_product_is_exact(given_factors: list[int]) -> None:
    product = product_of(given_factors)
    assert number_of(product) == prod(given_factors)
    assert product.limbs[product.count - 1] != 0


@given(st.lists(factors, max_size=8), st.lists(factors, max_size=8))
def test_comparing_is_exact(first: list[int], second: list[int]) -> None:
    assert is_at_least(product_of(first), product_of(second)) == (prod(first) >= prod(second))
    assert is_at_least(product_of(first), product_of(first[::-1]))


near = st.integers(900_000_000, 1_100_000_000)


@given(st.lists(factors, max_size=6), near, near)
def test_a_ratio_is_never_above_the_exact_one_and_below_it_by_less_than_8(
    common: list[int], up: int, down: int
) -> None:
    exact = Fraction(up, down)
    found = ratio_e9(product_of([*common, up]), product_of([*common, down]))
    assert exact * E9 - 8 < found <= exact * E9


@given(st.lists(factors, max_size=8), st.lists(factors, max_size=8))
def test_no_ratio_overflows(first: list[int], second: list[int]) -> None:
    exact = Fraction(prod(first), prod(second))
    found = ratio_e9(product_of(first), product_of(second))
    assert 0 <= found <= min(exact * E9, RATIO_MAX_E9)


def is_below(log: int, ticks: int) -> bool:
    """Tell whether 2**(log / LOG_ONE) <= ticks, in logarithms of 50 digits."""
    return log <= log_below(Fraction(ticks)) + 1


@settings(max_examples=400)
@given(st.one_of(st.integers(1, 2**32), st.integers(0, 32).map(lambda bit: 1 << bit), st.integers(1, 2**12)))
def test_a_prices_logarithm_is_too_low_by_less_than_its_error(ticks: int) -> None:
    log = log_of(LOGARITHMS, ticks)
    assert is_below(log, ticks)
    assert log > log_below(Fraction(ticks)) - LOG_ERROR + 2


@pytest.mark.parametrize("place", [0, 1, 511, (1 << TABLE_BITS) - 1])
def test_the_middle_of_a_chord_is_where_it_is_worst(place: int) -> None:
    """The error is what the proof says, not less: the first chord's comes near to it."""
    middle = (1 << 32) + (2 * place + 1) * (1 << 21)
    short = log_below(Fraction(middle, 1 << 32)) + 31 * LOG_ONE - log_of(LOGARITHMS, middle >> 1)
    assert 0 <= short < LOG_ERROR
    if place == 0:
        assert short > LOG_ERROR * 99 // 100


@given(st.integers(0, 5), st.integers(1, 40))
def test_logarithms_of_powers_of_two(numerator_bits: int, denominator_bits: int) -> None:
    exact = (numerator_bits - denominator_bits) * LOG_ONE
    assert exact - 2 < log_below(Fraction(1 << numerator_bits, 1 << denominator_bits)) <= exact
