"""What counts as a price."""

from hypothesis import given
from hypothesis import strategies as st

from crosswire.nic.unit.call import machine_code
from crosswire.nic.unit.compile import compiled
from crosswire.strategies.listing import PRICE_BITS, are_prices, is_price
from crosswire.venues.book.book import NO_ASK, NO_BID

TICKS = st.sampled_from([NO_BID, -1, 0, 1, 2, (1 << PRICE_BITS) - 1, 1 << PRICE_BITS, (1 << PRICE_BITS) + 1, NO_ASK])


@machine_code
@compiled
def _are_prices(first_ticks: int, second_ticks: int) -> bool:
    return are_prices(first_ticks, second_ticks)


@given(TICKS | st.integers(-(1 << 62), 1 << 62), TICKS | st.integers(1, 1 << PRICE_BITS))
def test_prices_are_what_a_book_can_hold(first: int, second: int) -> None:
    is_first, is_second = (0 < ticks <= 1 << PRICE_BITS for ticks in (first, second))
    assert (is_price(first), is_price(second)) == (is_first, is_second)
    assert are_prices(first, second) == _are_prices(first, second) == (is_first and is_second)
