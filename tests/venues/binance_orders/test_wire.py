"""Numbers of the Binance order interfaces: exact both ways, or an error."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.venues.bridge.binance.gateway.definitions import Definition, Filters
from crosswire.venues.bridge.binance.gateway.orders.account import ContradictionError
from crosswire.venues.bridge.binance.gateway.orders.records import Asked
from crosswire.venues.bridge.binance.gateway.orders.wire import (
    client_order_id_of,
    decimal_text,
    fee_e9,
    filter_refusal,
    lots_of,
    order_id_text,
    place_params,
    ticks_of,
)
from crosswire.venues.bridge.binance.market import Market
from crosswire.venues.bridge.binance.terms import DEFAULT_TERMS, to_e9
from crosswire.venues.order import FOK, GTC, IOC, POST_ONLY, RejectReason

pytestmark = pytest.mark.binance


def definition(market: Market = Market.SPOT) -> Definition:
    return Definition(
        market=market,
        symbol="BTCUSDT",
        instrument_id=7,
        channel_id=7,
        terms=DEFAULT_TERMS[market, "BTCUSDT"],
        filters=Filters(
            price_min_e9=10_000_000,
            price_max_e9=1_000_000 * 10**9,
            qty_min_e9=10_000,
            qty_max_e9=9_000 * 10**9,
            notional_min_e9=5 * 10**9,
        ),
        status="TRADING",
    )


def asked(price_ticks: int = 6_000_000, qty_lots: int = 100, time_in_force: int = IOC, side: int = 0) -> Asked:
    return Asked(
        client_order_id=12,
        instrument_id=7,
        side=side,
        time_ns=0,
        time_in_force=time_in_force,
        price_ticks=price_ticks,
        qty_lots=qty_lots,
    )


@given(st.integers(-(1 << 62), 1 << 62))
def test_decimals_are_exact_both_ways(value_e9: int) -> None:
    text = decimal_text(value_e9)
    assert to_e9(text, "value") == value_e9
    assert "e" not in text
    assert not text.endswith(".")


@given(st.integers(1, 1 << 40), st.integers(1, 1 << 33))
def test_an_order_and_its_answer_mean_the_same(qty_lots: int, price_ticks: int) -> None:
    params = place_params(definition(), asked(price_ticks, qty_lots), "id", "")
    assert lots_of(definition(), params["quantity"]) == qty_lots
    assert ticks_of(definition(), params["price"]) == price_ticks


@pytest.mark.parametrize("text", ["0.000005", "x", "", "-0.00001", "1e999", "NaN", "0.0000000001"])
def test_what_is_no_whole_number_of_lots_is_no_quantity(text: str) -> None:
    with pytest.raises(ContradictionError):
        lots_of(definition(), text)


@pytest.mark.parametrize(
    ("market", "time_in_force", "kind", "word"),
    [
        (Market.SPOT, IOC, "LIMIT", "IOC"),
        (Market.SPOT, FOK, "LIMIT", "FOK"),
        (Market.SPOT, GTC, "LIMIT", "GTC"),
        (Market.SPOT, POST_ONLY, "LIMIT_MAKER", None),
        (Market.USDM, POST_ONLY, "LIMIT", "GTX"),
    ],
)
def test_time_in_force(market: Market, time_in_force: int, kind: str, word: str | None) -> None:
    params = place_params(definition(market), asked(time_in_force=time_in_force), "id", "EXPIRE_TAKER")
    assert (params["type"], params.get("timeInForce")) == (kind, word)
    assert params["selfTradePreventionMode"] == "EXPIRE_TAKER"


@given(st.integers(1, (1 << 63) - 1), st.integers(1, (1 << 63) - 1))
def test_the_venues_ids_fit_and_are_this_accounts_alone(begun_ns: int, client_order_id: int) -> None:
    text = order_id_text(begun_ns, client_order_id)
    assert len(text) <= 36
    assert client_order_id_of(begun_ns, text) == client_order_id
    assert client_order_id_of(begun_ns + 1, text) == 0
    for other in (text + "x", "web_123", "", f"{text[:-1]}²"):
        assert client_order_id_of(begun_ns, other) == 0


def test_fees_in_the_settlement_currency_the_base_coin_and_a_third_one() -> None:
    assert fee_e9(definition(), "0.6", "USDT", 6_000_000) == 600_000_000
    assert fee_e9(definition(), "0.00001", "BTC", 6_000_000) == 600_000_000  # 0.00001 BTC at 60,000 USDT
    assert fee_e9(definition(), "-0.1", "USDT", 6_000_000) == -100_000_000
    assert fee_e9(definition(), "0.001", "BNB", 6_000_000) is None
    assert fee_e9(definition(), "0", "", 6_000_000) == 0


@pytest.mark.parametrize(
    ("order", "refusal"),
    [
        (asked(), RejectReason.NONE),
        (asked(price_ticks=0), RejectReason.BAD_PRICE),
        (asked(price_ticks=100_000_001), RejectReason.BAD_PRICE),
        (asked(qty_lots=900_000_001), RejectReason.BAD_QUANTITY),
        (asked(qty_lots=8), RejectReason.BAD_QUANTITY),  # worth 4.80 USDT
        (asked(qty_lots=9), RejectReason.NONE),
    ],
)
def test_the_venues_filters_are_kept_before_a_request_is_spent(order: Asked, refusal: RejectReason) -> None:
    assert filter_refusal(definition(), order) == refusal
