"""What REST says of the account, in lots and ticks: exact, or refused by name."""

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.venues.adapter import OpenOrder
from crosswire.venues.instrument import E9, Instrument, Kind, Payoff
from crosswire.venues.side import BUY, SELL
from crosswire.venues.starbase.rest.account import RestOrder, RestPosition, read_orders, read_positions, whole
from tests.support.order_setup import set_terms

pytestmark = pytest.mark.starbase
LOTS = st.integers(1, 10**12)
UNITS_E9 = st.sampled_from([1, 100, 1_000_000, 25_000_000, 500_000_000, 1_000_000_000, 10_000_000_000])


def instrument(index: int = 0, **terms: int) -> Instrument:
    made = Instrument()
    set_terms(made, index)
    for name, value in terms.items():
        setattr(made, name, value)
    return made


def order(**changes: Any) -> dict[str, Any]:
    told = {
        "order_id": "215074398825086978",
        "instrument_name": "BTC-PERPETUAL",
        "instrument_id": 700,
        "side": "buy",
        "price": Decimal("61000.5"),
        "amount": Decimal("0.25"),
        "filled_amount": 0,
        "order_state": "open",
        "order_type": "limit",
        "label": None,
    } | changes
    return {key: value for key, value in told.items() if value is not ...}


def position(**changes: Any) -> dict[str, Any]:
    return {
        "instrument_name": "BTC-PERPETUAL",
        "direction": "buy",
        "size": Decimal("50"),
        "size_currency": Decimal("0.25"),
    } | changes


ENCODER = msgspec.json.Encoder(decimal_format="number")


def parsed(told: list[dict[str, Any]], kind: Any) -> Any:
    """As the client gets them off the wire."""
    return msgspec.json.decode(ENCODER.encode(told), type=list[kind])


def orders_of(*told: dict[str, Any], **instruments: Instrument) -> tuple[list[OpenOrder], set[str]]:
    strangers: set[str] = set()
    known = instruments or {"BTC-PERPETUAL": instrument()}
    return read_orders(parsed(list(told), RestOrder), known, strangers), strangers


def positions_of(*told: dict[str, Any], **terms: int) -> tuple[dict[int, int], set[str]]:
    strangers: set[str] = set()
    known = {"BTC-PERPETUAL": instrument(**terms)}
    return read_positions(parsed(list(told), RestPosition), known, strangers), strangers


@given(
    number=st.integers(1, (1 << 63) - 1),
    side=st.sampled_from([BUY, SELL]),
    ticks=st.integers(-(10**9), 10**9),
    filled=st.integers(0, 10**9),
    left=LOTS,
    tick_e9=UNITS_E9,
    lot_e9=UNITS_E9,
)
def test_an_order_is_what_was_told_exactly(
    number: int, side: int, ticks: int, filled: int, left: int, tick_e9: int, lot_e9: int
) -> None:
    told = order(
        order_id=str(number),
        side=["buy", "sell"][side],
        price=Decimal(ticks * tick_e9).scaleb(-9),
        amount=Decimal((filled + left) * lot_e9).scaleb(-9),
        filled_amount=Decimal(filled * lot_e9).scaleb(-9),
    )
    known = {"BTC-PERPETUAL": instrument(3, tick_e9=tick_e9, lot_e9=lot_e9, venue_id=700)}
    strangers: set[str] = set()
    assert read_orders(parsed([told], RestOrder), known, strangers) == [OpenOrder(number, 3, side, ticks, left)]
    assert not strangers


@given(lots=LOTS, direction=st.sampled_from(["buy", "sell"]), is_signed=st.booleans(), lot_e9=UNITS_E9)
def test_a_position_has_its_direction_s_sign_in_the_size_currency(
    lots: int, direction: str, is_signed: bool, lot_e9: int
) -> None:
    sign = -1 if direction == "sell" else 1
    size = Decimal(lots * lot_e9).scaleb(-9) * (sign if is_signed else 1)
    cases = (
        (Payoff.LINEAR, Kind.PERPETUAL, position(direction=direction, size=123456, size_currency=size)),
        (Payoff.INVERSE, Kind.PERPETUAL, position(direction=direction, size=size, size_currency=Decimal("0.123"))),
        (Payoff.LINEAR, Kind.OPTION, position(direction=direction, size=size, size_currency=None)),
    )
    for payoff, kind, told in cases:
        assert positions_of(told, payoff=payoff, kind=kind, lot_e9=lot_e9) == ({0: sign * lots}, set())


@given(number=st.decimals(allow_nan=True, allow_infinity=True), unit_e9=UNITS_E9)
def test_a_number_is_a_whole_number_of_units_or_refused(number: Decimal, unit_e9: int) -> None:
    try:
        count = whole(number, unit_e9, "it", "lot")
    except ValueError:
        count = None
    if count is not None:
        assert Decimal(count * unit_e9).scaleb(-9) == number
        assert abs(count) < 1 << 63
    elif number.is_finite() and abs(number) < 10**8:
        assert Fraction(number) * E9 % unit_e9 != 0


def test_a_number_that_would_not_end_is_refused_at_once() -> None:
    for text in ("1E+999999999", "1E-999999999", "1" * 4_000):
        with pytest.raises(ValueError, match="it is out of range"):
            whole(Decimal(text), 1, "it", "lot")


def test_a_number_fits_an_int64_or_is_refused() -> None:
    assert whole(Decimal((1 << 63) - 1), E9, "it", "lot") == (1 << 63) - 1
    for number in (1 << 63, -(1 << 63)):
        with pytest.raises(ValueError, match="out of range"):
            whole(Decimal(number), E9, "it", "lot")


def test_what_is_not_ours_is_named_once_and_nothing_else_of_it_is_read() -> None:
    told = order(order_id="5", instrument_name="DOGE-PERPETUAL", amount=Decimal("0.00001"))
    assert orders_of(told, order(), told | {"order_id": "6"}) == (
        [OpenOrder(215074398825086978, 0, BUY, 610_005, 250)],
        {"DOGE-PERPETUAL"},
    )
    assert positions_of(position(instrument_name="DOGE"), position(instrument_name="X", direction="zero", size=0)) == (
        {},
        {"DOGE"},
    )


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"price": Decimal("61000.55")}, "order 215074398825086978 of BTC-PERPETUAL: price = 61000.55 is no whole"),
        ({"amount": Decimal("0.2505")}, "amount = 0.2505 is no whole number of lots of 0.001"),
        ({"filled_amount": Decimal("0.0005")}, "filled_amount = 0.0005 is no whole number of lots"),
        ({"filled_amount": Decimal("0.25")}, "is open with amount = 0.25, filled_amount = 0.25"),
        ({"filled_amount": -1}, "is open with amount = 0.25, filled_amount = -1"),
        ({"amount": 0}, "is open with amount = 0"),
        ({"amount": 10**17}, "amount = 100000000000000000 is out of range"),
        ({"instrument_id": 701}, "instrument_id = 701, by its definition 700"),
        ({"order_id": str(1 << 63)}, "order 9223372036854775808: order_id is out of range"),
    ],
)
def test_an_order_that_can_t_be_is_refused_by_name(changes: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ValueError, match=r"order (2150|9223)") as caught:
        orders_of(order(**changes))
    assert wrong in str(caught.value)


def test_an_order_that_is_told_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="order 215074398825086978 is told twice"):
        orders_of(order(), order())


@pytest.mark.parametrize(
    "changes",
    [
        {"order_id": ...},
        {"price": ...},
        {"amount": ...},
        {"filled_amount": ...},
        {"side": ...},
        {"order_state": ...},
        {"order_id": 5},
        {"order_id": "1cc1c718-49e0-4ea5-8902-f3f22968c350"},
        {"order_id": "-1"},
        {"order_id": "0"},
        {"order_id": "05"},
        {"order_id": "5\n"},
        {"order_id": "5" * 20},
        {"side": "both"},
        {"order_state": "filled"},
        {"price": None},
        {"price": True},
        {"price": "cheap"},
        {"amount": [1]},
        {"instrument_name": ""},
        {"instrument_name": "two\nlines"},
        {"instrument_name": "x" * 65},
        {"instrument_id": "700"},
    ],
)
def test_an_order_of_other_types_is_not_read(changes: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        parsed([order(**changes)], RestOrder)


@pytest.mark.parametrize(
    ("read", "wrong"),
    [
        (lambda: positions_of(position(size_currency=Decimal("0.2505"))), "size_currency = 0.2505 is no whole number"),
        (lambda: positions_of(position(size_currency=None)), "size_currency is missing"),
        (lambda: positions_of(position(size_currency=Decimal("-0.25"))), "direction = buy contradict"),
        (lambda: positions_of(position(direction="zero")), "direction = zero contradict"),
        (lambda: positions_of(position(size_currency=0)), "direction = buy contradict"),
        (lambda: positions_of(position(), position()), "told twice"),
        (lambda: positions_of(position(size=7), payoff=Payoff.INVERSE, lot_e9=10 * E9), "size = 7 is no whole number"),
    ],
)
def test_a_position_that_can_t_be_is_refused_by_name(read: Callable[[], Any], wrong: str) -> None:
    with pytest.raises(ValueError, match="position in BTC-PERPETUAL") as caught:
        read()
    assert wrong in str(caught.value)


def test_no_position_is_told_as_none() -> None:
    assert positions_of(position(direction="zero", size=0, size_currency=0)) == ({}, set())
