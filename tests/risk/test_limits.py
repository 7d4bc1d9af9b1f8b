"""Limits as configured: what each becomes in the gate, where each ends, and that nothing they allow overflows."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

from crosswire.risk.gate import NO_LIMIT, Gate, InstrumentLimits
from crosswire.risk.limits import (
    AccountLimitsConfig,
    InstrumentLimitsConfig,
    LegRiskConfig,
    LimitError,
    OrderToTradeConfig,
    RepeatedExecutionConfig,
    RunLimitsConfig,
    StrategyLimitsConfig,
    UnderlyingLimitsConfig,
    VenueLimitsConfig,
    make_gate,
    prove_ranges,
    prove_sums,
    set_instrument_limits,
    set_price_bands,
    set_strategy_limits,
    set_venue_limits,
    to_e9,
)
from crosswire.venues.instrument import E9, Instrument, Kind, Payoff, set_text
from crosswire.venues.market import Market
from tests.support.gate_setup import Setup

RATIO = OrderToTradeConfig(messages_per_fill_max=3, messages_min=4, window_ms=5)
LEGS = LegRiskConfig(unhedged_max=Decimal(3), hedged_within=Decimal(3), unhedged_ms_max=7)


def test_what_is_configured_is_what_the_gate_judges_by() -> None:
    setup = Setup(
        kinds=(Kind.SPOT, Kind.SPOT),
        borrow_max=Decimal(2),
        strategies=(None, StrategyLimitsConfig(notional_max=Decimal(300), loss_max=Decimal(20))),
        order_to_trade=RATIO,
        leg_risk=LEGS,
        realised_loss_max=Decimal(40),
        self_trade_prevention=True,
        dead_man_ms=2_000,
        repeated_execution=RepeatedExecutionConfig(fills_max=32, window_ms=9),
        account_burst=7,
    )
    gate = setup.gate
    limits = gate.limits[0]
    assert (limits.order_lots_max, limits.position_lots_max, limits.price_ticks_max) == (10_000, 20_000, 100_000)
    assert (limits.order_notional_max_e9, limits.collar_e9, limits.short_lots_max) == (900 * E9, E9 // 100, 2_000)
    assert (limits.book_age_max_ns, limits.mark_age_max_ns) == (1_000_000_000, 5_000_000_000)
    assert (limits.band_e9, limits.peer_count) == (0, 0)
    assert gate.exposures[0].lots_proven == 2 * 20_000 + 10_000
    venue = gate.venues[0]
    assert (venue.open_orders_max, venue.notional_max_e9) == (3, 10_000 * E9)
    assert (venue.bucket.per_second, venue.bucket.burst) == (10, 5)
    activity = venue.activity
    assert (activity.messages_per_fill_max, activity.messages_min, activity.window_ns) == (3, 4, 5_000_000)
    underlying = gate.underlyings[0]
    assert (underlying.gross_max_e9, underlying.net_max_e9) == (2_500 * E9, 1_500 * E9)
    assert (underlying.delta_max_e9, underlying.unhedged_max_e9) == (1_000 * E9, 3 * E9)
    assert (underlying.hedged_within_e9, underlying.unhedged_max_ns) == (3 * E9, 7_000_000)
    assert (gate.loss_max_e9, gate.realised_loss_max_e9) == (50 * E9, 40 * E9)
    assert (gate.gross_max_e9, gate.net_max_e9, gate.prevents_self_trade) == (10_000 * E9, 10_000 * E9, 1)
    assert (gate.bucket.per_second, gate.bucket.burst, gate.dead_man_ns) == (1_000, 7, 2_000_000_000)
    assert (gate.executions_max, gate.executions_window_ns) == (32, 9_000_000)
    limited = [(each.is_limited, each.notional_max_e9, each.loss_max_e9) for each in gate.strategies]
    assert limited[:2] == [(0, 0, 0), (1, 300 * E9, 20 * E9)]
    rows = 2 * 2
    assert [len(each) for each in (gate.own_positions, gate.own_exposures, gate.own_profits_e9)] == [rows] * 3
    assert len(gate.executions) == 2 * rows
    # Its own copy of the instruments, and room for each of them.
    setup.market.instruments[1].lot_e9 += 1
    assert gate.instruments[1].lot_e9 == setup.market.instruments[1].lot_e9 - 1
    assert [len(each) for each in (gate.tops, gate.exposures, gate.profits, gate.positions, gate.limits)] == [2] * 5


def test_what_is_not_configured_limits_nothing() -> None:
    gate = Setup(strategies=()).gate
    assert (gate.realised_loss_max_e9, gate.dead_man_ns, gate.executions_max) == (NO_LIMIT, 0, 0)
    assert (gate.underlyings[0].unhedged_max_e9, gate.venues[0].activity.window_ns) == (0, 0)
    assert (gate.limits[0].short_lots_max, gate.limits[0].band_e9, gate.prevents_self_trade) == (NO_LIMIT, 0, 0)
    assert gate.strategies[0].is_limited == 0
    assert (len(gate.own_positions), len(gate.executions)) == (1, 2)
    assert Setup(kinds=(Kind.SPOT, Kind.SPOT)).gate.limits[0].short_lots_max == 0


def test_sums_of_more_instruments_leave_each_less() -> None:
    for instruments in (1, 2):
        most_e9 = (1 << 62) // instruments
        assert Setup(instruments=instruments).gate.profit_max_e9 == most_e9
    just = Decimal(most_e9) / E9
    below = just - Decimal("1e-9")
    words = "must be below 2305843009"
    for name in ("loss_max", "realised_loss_max"):
        Setup(**{name: below})
        with pytest.raises(LimitError, match=f"{name} = .* {words} with 2 instruments"):
            Setup(**{name: just})
    for loss_max in (below, just):
        strategies = (StrategyLimitsConfig(notional_max=Decimal(1), loss_max=loss_max),)
        if loss_max == below:
            Setup(strategies=strategies)
        else:
            with pytest.raises(LimitError, match=f"loss_max of strategy s0 {words}$"):
                Setup(strategies=strategies)


def ratio(messages: int) -> dict[str, Any]:
    return {"order_to_trade": OrderToTradeConfig(messages_per_fill_max=messages, messages_min=1, window_ms=1)}


def repeated(fills: int) -> dict[str, Any]:
    return {"repeated_execution": RepeatedExecutionConfig(fills_max=fills, window_ms=1)}


def named(name: str, kind: type = int) -> Callable[[Any], dict[str, Any]]:
    return lambda value: {name: kind(value)}


@dataclass(frozen=True)
class Bound:
    """The least and the most that is taken, the step to what is not, and what the refusal says."""

    changes: Callable[[Any], dict[str, Any]]
    least: Any
    most: Any
    words: str
    step: Any = 1


@pytest.mark.parametrize(
    "bound",
    [
        Bound(named("book_age_max_ms"), 1, 86_400_000, "must be in 1..86400000"),
        Bound(named("dead_man_ms"), 2_000, 86_400_000, "dead_man_ms = "),
        Bound(ratio, 1, 1_000_000_000, "must be in 1..1000000000"),
        Bound(repeated, 1, 32, "must be in 1..32"),
        Bound(named("open_orders_max"), 1, 4_096, "open_orders_max = .* of venue v0 must be in 1..4096"),
        Bound(named("burst"), 1, 1_000_000, "limits of venue v0: "),
        Bound(named("account_burst"), 1, 1_000_000, "limits.account: "),
        Bound(named("price_collar_bps", Decimal), "0.00001", "10000", "price_collar_bps", Decimal("0.00001")),
        Bound(
            named("order_notional_max", Decimal),
            "0.000000001",
            "4611686018.427387903",
            "must be positive and below 4.6e9",
            Decimal("1e-9"),
        ),
        Bound(named("order_max", Decimal), "0.001", "20", "order_max", Decimal("0.001")),
    ],
    ids=lambda bound: bound.words,
)
def test_each_limit_has_a_least_and_a_most(bound: Bound) -> None:
    one = {"instruments": 1}
    for value in (bound.least, bound.most):
        Setup(**one, **bound.changes(value))
    for value in (type(bound.step)(bound.least) - bound.step, type(bound.step)(bound.most) + bound.step):
        with pytest.raises(LimitError, match=bound.words):
            Setup(**one, **bound.changes(value))


def test_sizes_are_whole_lots_and_prices_whole_ticks() -> None:
    for changes in (
        {"order_max": Decimal("1.0005")},
        {"position_max": Decimal("19.9999")},
        {"price_max": Decimal("99.95")},
        {"borrow_max": Decimal("0.0001"), "kinds": (Kind.SPOT,)},
    ):
        with pytest.raises(LimitError, match=r"must be a positive multiple of 0\.0?0?1$"):
            Setup(instruments=1, **changes)
    for value in ("1e-9", "0.123456789", "12"):
        assert to_e9(Decimal(value), "it") == Decimal(value) * E9
    with pytest.raises(LimitError, match=r"it = 1\.0000000001 has more than nine decimals"):
        to_e9(Decimal("1.0000000001"), "it")


def test_what_counts_as_hedged_is_within_what_is_allowed_unhedged() -> None:
    Setup(leg_risk=LEGS)
    above = LegRiskConfig(unhedged_max=Decimal(3), hedged_within=Decimal("3.000000001"), unhedged_ms_max=7)
    with pytest.raises(LimitError, match=r"leg_risk\.hedged_within is above its unhedged_max"):
        Setup(leg_risk=above)


@pytest.mark.parametrize(
    ("field", "words"),
    [("borrow_max", "only spot is borrowed"), ("order_max", r"order_max of i0 is above its position_max")],
)
def test_limits_that_contradict_the_instrument_or_each_other(field: str, words: str) -> None:
    with pytest.raises(LimitError, match=words):
        Setup(**{field: Decimal("20.001")})


# Price bands.


def run_limits(*underlyings: str, band_bps: str | None = None) -> RunLimitsConfig:
    """Limits of a run, with a band for the first underlying only."""
    return RunLimitsConfig(
        loss_max=Decimal(1),
        self_trade_prevention=False,
        account=AccountLimitsConfig(gross_max=Decimal(1), net_max=Decimal(1), orders_per_second=1, burst=1),
        underlying={
            name: UnderlyingLimitsConfig(
                gross_max=Decimal(1 + number),
                net_max=Decimal(1),
                delta_max=Decimal(1),
                price_band_bps=Decimal(band_bps) if band_bps is not None and number == 0 else None,
            )
            for number, name in enumerate(underlyings)
        },
    )


def banded(
    *instruments: tuple[int, str, int, Kind], band_bps: str = "1", underlyings: tuple[str, ...] = ("BTC", "ETH")
) -> Gate:
    """Instruments by venue, quote currency, underlying and kind, with a band for the first underlying."""
    market = Market(count=len(instruments), capacity=len(instruments))
    market.instruments = Instrument.array(len(instruments))
    for index, (venue, quote, underlying, kind) in enumerate(instruments):
        instrument = market.instruments[index]
        instrument.index, instrument.venue = index, venue
        instrument.underlying, instrument.kind = underlying, kind
        set_text(instrument.quote, quote)
    run = run_limits(*underlyings, band_bps=band_bps)
    gate = make_gate(market, run, list(underlyings))
    set_price_bands(gate, run, list(underlyings))
    return gate


def peers(gate: Gate, index: int) -> list[int]:
    limits = gate.limits[index]
    return list(limits.peers)[: limits.peer_count]


PERPETUAL, SPOT, FUTURE = Kind.PERPETUAL, Kind.SPOT, Kind.FUTURE


def test_a_book_is_compared_with_the_same_thing_at_other_venues() -> None:
    gate = banded(
        (0, "USD", 0, PERPETUAL),
        (1, "USDT", 0, SPOT),
        (2, "USDC", 0, PERPETUAL),
        (2, "BTC", 0, PERPETUAL),  # another currency
        (3, "USD", 0, FUTURE),
        (4, "USD", 1, PERPETUAL),  # another underlying
        (0, "FDUSD", 0, SPOT),  # the same venue as the first
        band_bps="5",
    )
    assert [peers(gate, index) for index in range(7)] == [[1, 2], [0, 2, 6], [0, 1, 6], [], [], [], [1, 2]]
    assert [gate.limits[index].band_e9 for index in range(7)] == [500_000] * 4 + [0, 0, 500_000]
    # Coins in the same currency, none of which is a dollar.
    gate = banded((0, "BTC", 0, SPOT), (1, "BTC", 0, SPOT))
    assert [peers(gate, index) for index in range(2)] == [[1], [0]]


def test_the_band_is_at_most_all_of_the_price_and_needs_another_venue() -> None:
    two = ((0, "USD", 0, SPOT), (1, "USD", 0, SPOT))
    assert banded(*two, band_bps="10000").limits[0].band_e9 == E9
    with pytest.raises(LimitError, match="is above 10000"):
        banded(*two, band_bps="10000.00001")
    for alone in ((two[0],), (two[0], two[0]), (two[0], (1, "BTC", 0, SPOT)), (two[0], (1, "USD", 1, SPOT))):
        with pytest.raises(LimitError, match=r"underlying\.BTC\.price_band_bps: no two venues"):
            banded(*alone)


def test_a_book_has_eight_peers_at_most() -> None:
    here, there = (0, "USD", 0, SPOT), (1, "USD", 0, SPOT)
    assert peers(banded(here, *[there] * 8), 0) == list(range(1, 9))
    with pytest.raises(LimitError, match="more than 8 books to compare"):
        banded(here, *[there] * 9)


def test_each_underlying_has_its_own_limits() -> None:
    gate = banded((0, "USD", 0, SPOT), (1, "USD", 0, SPOT))
    assert [gate.underlyings[number].gross_max_e9 for number in range(2)] == [E9, 2 * E9]
    market = Market(count=1, capacity=1)
    market.instruments = Instrument.array(1)
    with pytest.raises(LimitError, match=r"\[limits.underlying.ETH\] is missing"):
        make_gate(market, run_limits("BTC"), ["ETH"])


# No overflow: each product below 2**60, the sums over all instruments below 2**62.


@pytest.mark.parametrize(
    ("payoff", "position", "order", "price_ticks", "tick_e9", "lot_e9", "tick_lot_e9", "lowered", "product"),
    [
        (Payoff.LINEAR, 1 << 29, 0, 1 << 30, 1, 1, 1, "price_ticks_max", "notional"),
        (Payoff.LINEAR, (1 << 29) - 512, 1024, 1 << 30, 1, 1, 1, "order_lots_max", "notional"),
        (Payoff.LINEAR, 1 << 28, 1 << 29, 1 << 20, 1, 1, 1 << 10, "position_lots_max", "notional"),
        (Payoff.LINEAR, 512, 0, 1023, E9, 1 << 40, 1, "price_ticks_max", "base [*] price"),
        (Payoff.LINEAR, 0, 1, 1 << 60, 1, 0, 0, "price_ticks_max", "price"),
        (Payoff.INVERSE, 0, 1 << 20, 1, 1 << 40, 1 << 40, 0, "order_lots_max", "notional"),
        (Payoff.INVERSE, 0, 1 << 51, 1, 5**9, 1, 0, "order_lots_max", "coins at one tick"),
        # 2**60 * 8 / 1000, rounded up.
        (Payoff.INVERSE, 0, 1, 9_223_372_036_854_776, 1, 1, 0, "price_ticks_max", "price [*] 1000"),
    ],
)
def test_no_product_reaches_60_bits(
    payoff: Payoff,
    position: int,
    order: int,
    price_ticks: int,
    tick_e9: int,
    lot_e9: int,
    tick_lot_e9: int,
    lowered: str,
    product: str,
) -> None:
    instrument = Instrument(payoff=payoff, tick_e9=tick_e9, lot_e9=lot_e9, tick_lot_e9=tick_lot_e9)
    limits = InstrumentLimits(position_lots_max=position, order_lots_max=order, price_ticks_max=price_ticks)
    with pytest.raises(LimitError, match=f"limits of it allow a {product} of 1.15.e.18"):
        prove_ranges(instrument, limits, "it")
    setattr(limits, lowered, getattr(limits, lowered) - 1)
    prove_ranges(instrument, limits, "it")


def test_sums_over_instruments_stay_below_62_bits() -> None:
    linear = Instrument(tick_e9=1, lot_e9=3, tick_lot_e9=1)
    limits = InstrumentLimits(position_lots_max=1 << 29, price_ticks_max=1 << 31)
    gate = Gate()
    prove_sums(gate, linear, limits, "first")
    assert (gate.values_proven_e9, gate.deltas_proven_e9) == (1 << 61, 3 << 30)
    with pytest.raises(LimitError, match=r"a notional of 4\.612e.18 .* up to second"):
        prove_sums(gate, linear, limits, "second")
    gate.values_proven_e9 -= 1
    prove_sums(gate, linear, limits, "second")
    assert gate.values_proven_e9 == (1 << 62) - 1
    # An inverse contract is worth the most coins at one tick; each lot is rounded up.
    inverse = Instrument(payoff=Payoff.INVERSE, tick_e9=E9 // 4, lot_e9=8)
    limits = InstrumentLimits(order_lots_max=10, price_ticks_max=1000)
    gate = Gate()
    prove_sums(gate, inverse, limits, "it")
    assert (gate.values_proven_e9, gate.deltas_proven_e9) == (80, 10 * (32 + 1))
    gate.deltas_proven_e9 = (1 << 62) - 330
    with pytest.raises(LimitError, match=r"limits allow coins of 4\.612e.18"):
        prove_sums(gate, inverse, limits, "it")


def test_instruments_are_proven_as_their_limits_are_set() -> None:
    setup = Setup()
    assert setup.gate.values_proven_e9 == (2 * 20_000 + 10_000) * 100_000 * (E9 // 10_000) + (2 * 20 + 10) * E9
    for changes, words in (({"position_max": Decimal(10**11)}, "limits of i0 allow a"), ({"instruments": 8}, "all")):
        with pytest.raises(LimitError, match=words):
            Setup(**{"position_max": Decimal(10**7), "price_max": Decimal(100), **changes})


def test_a_lot_counts_as_soon_as_its_limits_are_known() -> None:
    """A position that is carried over is counted before any book has come: its coins, or its dollars."""
    market = Market(count=2, capacity=2)
    market.instruments = Instrument.array(2)
    gate = make_gate(market, run_limits("BTC"), ["BTC"])
    limits: dict[str, Any] = {"order_notional_max": Decimal(1), "price_collar_bps": Decimal(1), "price_max": Decimal(9)}
    limits |= {"book_age_max_ms": 1, "mark_age_max_ms": 1, "position_max": Decimal("2e-9")}
    config = InstrumentLimitsConfig(order_max=Decimal("1e-9"), **limits)
    set_instrument_limits(gate, Instrument(tick_e9=E9, lot_e9=1, tick_lot_e9=1), config, "linear")
    assert (gate.limits[0].order_lots_max, gate.limits[0].position_lots_max) == (1, 2)
    assert (gate.exposures[0].lot_delta_e9, gate.exposures[0].lot_value_e9) == (1, 0)
    set_instrument_limits(gate, Instrument(index=1, payoff=Payoff.INVERSE, tick_e9=E9, lot_e9=1), config, "inverse")
    assert (gate.exposures[1].lot_delta_e9, gate.exposures[1].lot_value_e9) == (0, 1)


def test_the_rate_and_size_of_a_venue_and_a_strategy_are_refused_by_name() -> None:
    gate = Setup().gate
    venue = VenueLimitsConfig(orders_per_second=0, burst=1, open_orders_max=1, notional_max=Decimal(1))
    with pytest.raises(LimitError, match="limits of venue acme: "):
        set_venue_limits(gate, 0, venue, "acme")
    strategy = StrategyLimitsConfig(notional_max=Decimal(0), loss_max=Decimal(1))
    with pytest.raises(LimitError, match="notional_max of strategy alpha"):
        set_strategy_limits(gate, [None, strategy], ["beta", "alpha"])
