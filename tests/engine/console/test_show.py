"""Figures as text lose nothing."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.engine.console.show import digits_of, fixed, plain

pytestmark = pytest.mark.console


@given(st.integers(-(10**18), 10**18), st.integers(0, 9))
def test_a_figure_is_what_it_is_made_of_cut_off_behind_its_digits(value_e9: int, digits: int) -> None:
    shown = Decimal(fixed(value_e9, digits).replace(",", ""))
    exact = Decimal(value_e9) / 10**9
    assert abs(exact) - abs(shown) < Decimal(10) ** -digits
    assert abs(shown) <= abs(exact)
    assert shown == 0 or (shown > 0) == (exact > 0)
    assert -shown.as_tuple().exponent == digits


@given(st.integers(1, 10**12), st.integers(0, 10**6))
def test_a_price_has_all_its_digits(tick_e9: int, ticks: int) -> None:
    assert Decimal(fixed(ticks * tick_e9, digits_of(tick_e9)).replace(",", "")) == Decimal(ticks * tick_e9) / 10**9


@pytest.mark.parametrize(
    ("value_e9", "digits", "text"),
    [(61_824_010_000_000, 2, "61,824.01"), (-1, 4, "0.0000"), (1_000_000_000, 0, "1"), (-1_500_000_000, 1, "-1.5")],
)
def test_some_figures(value_e9: int, digits: int, text: str) -> None:
    assert fixed(value_e9, digits) == text


def test_a_sign_is_shown_where_it_tells_something() -> None:
    assert [fixed(each, 1, signed=True) for each in (10**9, -(10**9), 0, 1)] == ["+1.0", "-1.0", "0.0", "0.0"]


@given(st.integers() | st.integers((1 << 53) - 3, (1 << 53) + 3))
def test_a_number_that_a_browser_would_round_is_text(value: int) -> None:
    made = plain({"value": [value]})["value"][0]
    assert int(made) == value
    assert isinstance(made, int) == (-(1 << 53) <= value <= 1 << 53)
