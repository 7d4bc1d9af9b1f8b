"""Limits of venue, account, strategy and behaviour: each vetoes at its boundary and not before."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.risk.gate import Veto
from crosswire.risk.ledger import count_cancel, count_open
from crosswire.risk.limits import (
    LegRiskConfig,
    LimitError,
    OrderToTradeConfig,
    RepeatedExecutionConfig,
    StrategyLimitsConfig,
)
from crosswire.risk.position import Position, add_fill
from crosswire.risk.trading_state import TradingState, Why
from crosswire.venues.instrument import E9, Instrument, Kind, Payoff
from crosswire.venues.order import AmendState, OrderState, close_order, free_order
from crosswire.venues.side import BUY, SELL
from tests.support.gate_setup import NOW_NS, Setup

SPOT_AND_PERPETUAL = (Kind.SPOT, Kind.PERPETUAL)
WIDE: dict[str, Any] = {"gross_max": Decimal(100_000), "net_max": Decimal(100_000)}


@pytest.mark.parametrize(
    ("limit", "veto"),
    [
        ("notional_max", Veto.VENUE_NOTIONAL),
        ("account_gross_max", Veto.ACCOUNT_GROSS),
        ("account_net_max", Veto.ACCOUNT_NET),
    ],
)
@pytest.mark.parametrize(("side", "other"), [(BUY, SELL), (SELL, BUY)])
def test_notional_at_a_venue_and_of_the_account(limit: str, veto: Veto, side: int, other: int) -> None:
    setup = Setup(**(WIDE | {limit: Decimal(500)}))
    sign = 1 if side == BUY else -1
    setup.hold(0, sign * 2_000)  # 200
    assert setup.ask(0, side, 1000, 3_000) == Veto.NONE
    assert setup.ask(0, side, 1000, 3_001) == veto
    assert setup.ask(0, side, 1001 if side == BUY else 999, 3_000) == (veto if side == BUY else Veto.NONE)
    setup.hold(0, sign * 6_000)  # over it, as a mark may bring it: what reduces passes
    assert setup.ask(0, side, 1000, 1) == veto
    assert setup.ask(0, other, 1000, 5_000) == Veto.NONE


def test_a_venue_counts_its_own_instruments_and_the_account_all() -> None:
    setup = Setup(**WIDE, notional_max=Decimal(500))
    setup.hold(0, 5_000)
    assert setup.ask(1, BUY, 1000, 10) == Veto.NONE
    setup = Setup(**WIDE, account_gross_max=Decimal(505))
    setup.hold(0, 5_000)
    assert setup.ask(1, SELL, 1000, 5) == Veto.NONE
    assert setup.ask(1, SELL, 1000, 6) == Veto.ACCOUNT_GROSS
    setup = Setup(**WIDE, account_net_max=Decimal(505))
    setup.hold(0, 5_000)
    assert setup.ask(1, SELL, 1000, 6) == Veto.NONE
    assert setup.ask(1, BUY, 1000, 6) == Veto.ACCOUNT_NET
    setup.hold(0, -5_000)
    assert setup.ask(1, BUY, 1000, 6) == Veto.NONE
    assert setup.ask(1, SELL, 1000, 6) == Veto.ACCOUNT_NET


@pytest.mark.parametrize(("side", "sign"), [(BUY, 1), (SELL, -1)])
def test_delta_adds_coins_of_inverse_contracts(side: int, sign: int) -> None:
    setup = Setup(**WIDE, delta_max=Decimal("2.1"), burst=100)
    setup.hold(1, sign * 10)  # 10 USD at 100.0: 0.1 coin, and at most 1e-9 a lot for rounding
    assert setup.ask(0, side, 1000, 1_999) == Veto.NONE
    assert setup.ask(0, side, 1000, 2_001) == Veto.DELTA
    setup.hold(1, -sign * 10)
    assert setup.ask(0, side, 1000, 2_199) == Veto.NONE
    assert setup.ask(0, side, 1000, 2_201) == Veto.DELTA
    setup.hold(1, 0)
    assert setup.ask(0, side, 1000, 2_100) == Veto.NONE
    setup.hold(0, sign * 1_000)
    assert setup.ask(0, side, 1000, 1_100) == Veto.NONE
    assert setup.ask(0, side, 1000, 1_101) == Veto.DELTA
    setup.hold(0, sign * 2_095)
    setup.hold(1, 0)
    assert setup.ask(1, side, 1000, 1) == Veto.DELTA  # 0.01 coin more
    setup.hold(0, sign * 2_089)
    assert setup.ask(1, side, 1000, 1) == Veto.NONE


def test_the_accounts_rate_counts_all_venues_and_what_it_refuses_costs_no_token() -> None:
    setup = Setup(account_orders_per_second=10, account_burst=3)
    asked = [setup.ask(0), setup.ask(1), setup.ask(0), setup.ask(1), setup.ask(0)]
    assert asked == [Veto.NONE] * 3 + [Veto.ACCOUNT_RATE] * 2
    assert setup.gate.venues[0].bucket.credit_e9 == 3 * E9
    assert setup.ask(1, now_ns=NOW_NS + E9 // 10) == Veto.NONE


def test_no_spot_is_sold_that_is_not_held_or_borrowed() -> None:
    setup = Setup(kinds=SPOT_AND_PERPETUAL)
    assert setup.ask(0, SELL, 1000, 1) == Veto.BORROW
    assert setup.ask(1, SELL, 1000, 1) == Veto.NONE
    setup.hold(0, 10, 0, 4)
    assert setup.ask(0, SELL, 1000, 6) == Veto.NONE
    assert setup.ask(0, SELL, 1000, 7) == Veto.BORROW
    assert setup.ask(0, BUY, 1000, 7) == Veto.NONE


def test_spot_may_be_sold_short_as_far_as_it_is_borrowed() -> None:
    setup = Setup(kinds=(Kind.SPOT, Kind.SPOT), borrow_max=Decimal(2))
    assert setup.ask(0, SELL, 1000, 2_000) == Veto.NONE
    assert setup.ask(0, SELL, 1000, 2_001) == Veto.BORROW


def apart(own_ticks: int, *peers: int, broken: int | None = None, locked: int | None = None) -> Veto:
    """Ask at a book whose middle is `own_ticks`, with the middles of peers at other venues; the band is 1 %."""
    setup = Setup(price_band_bps=Decimal(100), instruments=1 + len(peers))
    for book, middle in zip(setup.market.books, (own_ticks, *peers), strict=True):
        book.bid_ticks, book.ask_ticks = middle - 1, middle + 1
    if broken is not None:
        setup.market.books[broken].valid = 0
    if locked is not None:
        setup.market.books[locked].ask_ticks = setup.market.books[locked].bid_ticks
    setup.mark()
    return setup.ask(0, BUY, own_ticks, 1)


@pytest.mark.parametrize(
    ("own", "peers", "veto"),
    [
        (1000, (1000,), Veto.NONE),
        (1000, (1010,), Veto.NONE),
        (1000, (1011,), Veto.PRICE_BAND),
        (1000, (990,), Veto.NONE),
        (1000, (989,), Veto.PRICE_BAND),
        # Of two, both must be off, on the same side.
        (1000, (1000, 1011), Veto.NONE),
        (1000, (989, 1011), Veto.NONE),
        (1000, (1011, 1012), Veto.PRICE_BAND),
        (1000, (988, 989), Veto.PRICE_BAND),
        # Of three, two: the median is off.
        (1000, (1000, 1011, 2000), Veto.PRICE_BAND),
        (1000, (1000, 1010, 2000), Veto.NONE),
        (1000, (10, 989, 1000), Veto.PRICE_BAND),
        (1000, (10, 990, 1000), Veto.NONE),
    ],
)
def test_a_book_that_stands_apart_is_not_traded_on(own: int, peers: tuple[int, ...], veto: Veto) -> None:
    assert apart(own, *peers) == veto


@given(st.integers(900, 1_100), st.lists(st.integers(900, 1_100), min_size=1, max_size=7))
def test_the_band_is_around_the_median(own: int, peers: list[int]) -> None:
    """Of an even number, around the nearer of the two in the middle."""
    ordered = sorted(peers)
    middles = {ordered[(len(peers) - 1) // 2], ordered[len(peers) // 2]}
    is_above = all(100 * (own - middle) > own for middle in middles)
    is_below = all(100 * (middle - own) > own for middle in middles)
    assert (apart(own, *peers) == Veto.PRICE_BAND) == (is_above or is_below)


def test_only_peers_that_are_proven_are_compared_with() -> None:
    assert apart(1000, 2000, broken=1) == Veto.NONE
    assert apart(1000, 2000, 1000, broken=2) == Veto.PRICE_BAND
    assert apart(1000, 2000, 1000, broken=1) == Veto.NONE
    assert apart(1000, 2000, locked=1) == Veto.NONE


@pytest.mark.parametrize(
    ("side", "own_ticks", "crosses"), [(BUY, 1001, False), (BUY, 1000, True), (SELL, 999, False), (SELL, 1000, True)]
)
def test_an_order_that_would_trade_with_our_own_is_refused(side: int, own_ticks: int, crosses: bool) -> None:
    setup = Setup(self_trade_prevention=True, burst=100)
    other = SELL if side == BUY else BUY
    setup.rest(0, side, own_ticks, 5, strategy=1)  # the same side: never
    assert setup.ask(0, side) == Veto.NONE
    setup.rest(1, other, own_ticks, 5, strategy=1)  # another instrument
    assert setup.ask(0, side) == Veto.NONE
    own = setup.rest(0, other, own_ticks, 5, strategy=1)
    assert setup.ask(0, side) == (Veto.SELF_TRADE if crosses else Veto.NONE)
    own.state = OrderState.PENDING_CANCEL  # may still fill
    assert setup.ask(0, side) == (Veto.SELF_TRADE if crosses else Veto.NONE)
    own.state = OrderState.CANCELLED
    assert setup.ask(0, side) == Veto.NONE


@pytest.mark.parametrize(("side", "other"), [(BUY, SELL), (SELL, BUY)])
def test_our_own_order_is_found_in_whichever_slot_it_is(side: int, other: int) -> None:
    setup = Setup(self_trade_prevention=True, burst=100)
    apart_ticks = 1002 if side == BUY else 998
    first = setup.rest(0, other, apart_ticks, 1)
    setup.rest(0, other, apart_ticks, 1)
    own = setup.rest(0, other, 1000, 1)
    assert setup.ask(0, side) == Veto.SELF_TRADE
    close_order(first, OrderState.CANCELLED, 0, NOW_NS)
    free_order(setup.orders, first)
    assert setup.ask(0, side) == Veto.SELF_TRADE
    close_order(own, OrderState.CANCELLED, 0, NOW_NS)
    assert setup.ask(0, side) == Veto.NONE


def test_an_order_of_one_lot_trades_with_our_own_too() -> None:
    setup = Setup(self_trade_prevention=True)
    setup.rest(0, BUY, 1000, 1)
    assert setup.ask(0, SELL) == Veto.SELF_TRADE
    setup = Setup(self_trade_prevention=True)
    setup.rest(0, SELL, 1000, 1)
    assert setup.ask(0, BUY) == Veto.SELF_TRADE


def test_without_self_trade_prevention_it_passes() -> None:
    setup = Setup()
    setup.rest(0, SELL, 1000, 5)
    assert setup.ask(0, BUY, 1000) == Veto.NONE


@pytest.mark.parametrize(("side", "better", "worse"), [(BUY, 999, 1002), (SELL, 1001, 998)])
def test_an_amend_under_way_counts_at_the_price_that_would_trade(side: int, better: int, worse: int) -> None:
    other = SELL if side == BUY else BUY
    for resting, asked in ((worse, better), (better, worse)):
        setup = Setup(self_trade_prevention=True)
        own = setup.rest(0, other, resting, 5, amend_state=AmendState.PENDING, amend_price_ticks=asked)
        assert setup.ask(0, side, 1000) == Veto.SELF_TRADE
        own.amend_state = AmendState.DONE
        assert setup.ask(0, side, 1000) == (Veto.SELF_TRADE if resting == better else Veto.NONE)


def test_a_quote_may_take_the_place_of_its_strategys_last_only() -> None:
    setup = Setup(self_trade_prevention=True, burst=100)
    own = setup.rest(0, SELL, 1000, 5, is_quote=1)
    assert setup.quote(1000, 1, 1002, 1) == Veto.SELF_TRADE  # the test's quotes are not marked as such
    assert setup.quote(1000, 1, 1002, 1, is_quote=1) == Veto.NONE
    own.strategy = 1
    assert setup.quote(1000, 1, 1002, 1, is_quote=1) == Veto.SELF_TRADE
    own.strategy, own.is_quote = 0, 0
    assert setup.quote(1000, 1, 1002, 1, is_quote=1) == Veto.SELF_TRADE


RATIO = OrderToTradeConfig(messages_per_fill_max=3, messages_min=4, window_ms=1000)


def test_messages_without_fills_are_too_many_at_some_point() -> None:
    setup = Setup(order_to_trade=RATIO, burst=100)
    assert [setup.ask() for _ in range(5)] == [Veto.NONE] * 4 + [Veto.ORDER_TO_TRADE]
    assert setup.ask(1) == Veto.NONE  # of each venue
    setup.fill(0, BUY, 1000, 1)
    assert setup.ask() == Veto.ORDER_TO_TRADE
    setup.fill(0, BUY, 1000, 1)
    assert [setup.ask() for _ in range(3)] == [Veto.NONE] * 2 + [Veto.ORDER_TO_TRADE]
    count_cancel(setup.gate, 0, NOW_NS)  # never refused, but counted
    setup.fill(0, BUY, 1000, 1)
    assert [setup.ask() for _ in range(3)] == [Veto.NONE] * 2 + [Veto.ORDER_TO_TRADE]


def test_messages_are_forgotten_after_two_windows() -> None:
    setup = Setup(order_to_trade=RATIO, burst=100, book_age_max_ms=60_000)
    first_ns = NOW_NS // E9 * E9
    assert [setup.ask(now_ns=first_ns) for _ in range(4)] == [Veto.NONE] * 4
    assert setup.ask(now_ns=first_ns + E9 - 1) == Veto.ORDER_TO_TRADE
    assert setup.ask(now_ns=first_ns + E9) == Veto.ORDER_TO_TRADE  # the window before still counts
    assert setup.ask(now_ns=first_ns + 2 * E9 - 1) == Veto.ORDER_TO_TRADE
    assert setup.ask(now_ns=first_ns + 2 * E9) == Veto.NONE
    assert [setup.ask(now_ns=first_ns + 2 * E9) for _ in range(4)] == [Veto.NONE] * 3 + [Veto.ORDER_TO_TRADE]
    assert setup.ask(now_ns=first_ns + 5 * E9) == Veto.NONE


def test_one_message_a_fill_is_a_limit_too() -> None:
    setup = Setup(order_to_trade=OrderToTradeConfig(messages_per_fill_max=1, messages_min=2, window_ms=1000))
    assert [setup.ask() for _ in range(3)] == [Veto.NONE] * 2 + [Veto.ORDER_TO_TRADE]
    for _ in range(3):
        setup.fill(0, BUY, 1000, 1)
    assert [setup.ask() for _ in range(2)] == [Veto.NONE, Veto.ORDER_TO_TRADE]


def test_cancels_and_fills_count_in_the_window_that_they_are_in() -> None:
    setup = Setup(order_to_trade=RATIO, burst=100, book_age_max_ms=60_000)
    for _ in range(4):
        count_cancel(setup.gate, 0, NOW_NS + 5 * E9)
    assert setup.ask(now_ns=NOW_NS + 5 * E9) == Veto.ORDER_TO_TRADE
    setup.fill(0, BUY, 1000, 1, now_ns=NOW_NS + 10 * E9)
    setup.fill(0, BUY, 1000, 1, now_ns=NOW_NS + 10 * E9)
    asked = [setup.ask(now_ns=NOW_NS + 10 * E9) for _ in range(7)]
    assert asked == [Veto.NONE] * 6 + [Veto.ORDER_TO_TRADE]


def test_the_window_before_counts_its_fills_and_ends_with_its_window() -> None:
    setup = Setup(order_to_trade=RATIO, burst=100, book_age_max_ms=60_000)
    assert [setup.ask() for _ in range(4)] == [Veto.NONE] * 4
    assert setup.ask(now_ns=NOW_NS + 2 * E9) == Veto.NONE
    setup = Setup(order_to_trade=RATIO, burst=100, book_age_max_ms=60_000)
    assert [setup.ask() for _ in range(4)] == [Veto.NONE] * 4
    setup.fill(0, BUY, 1000, 1)
    setup.fill(0, BUY, 1000, 1)
    asked = [setup.ask(now_ns=NOW_NS + E9) for _ in range(3)]
    assert asked == [Veto.NONE] * 2 + [Veto.ORDER_TO_TRADE]


def test_executions_that_repeat_are_stopped_for_a_while() -> None:
    setup = Setup(
        repeated_execution=RepeatedExecutionConfig(fills_max=3, window_ms=1000),
        burst=100,
        book_age_max_ms=60_000,
        **WIDE,
    )
    for after_ns in (0, 1, 2):
        assert setup.ask(0, BUY, now_ns=NOW_NS + after_ns) == Veto.NONE
        setup.fill(0, BUY, 1000, 1, now_ns=NOW_NS + after_ns)
    assert setup.ask(0, BUY, now_ns=NOW_NS + 2) == Veto.REPEATED_EXECUTION
    assert setup.ask(0, SELL, now_ns=NOW_NS + 2) == Veto.NONE
    assert setup.ask(1, BUY, now_ns=NOW_NS + 2) == Veto.NONE
    assert setup.ask(0, BUY, now_ns=NOW_NS + 2, strategy=1) == Veto.NONE
    assert setup.ask(0, BUY, now_ns=NOW_NS + E9 - 1) == Veto.REPEATED_EXECUTION
    assert setup.ask(0, BUY, now_ns=NOW_NS + E9) == Veto.NONE
    setup.fill(0, BUY, 1000, 1, now_ns=NOW_NS + E9)
    assert setup.ask(0, BUY, now_ns=NOW_NS + E9) == Veto.REPEATED_EXECUTION
    assert setup.ask(0, BUY, now_ns=NOW_NS + E9 + 1) == Veto.NONE


def test_of_two_executions_the_first_is_none_too_many() -> None:
    setup = Setup(repeated_execution=RepeatedExecutionConfig(fills_max=2, window_ms=1000), burst=100)
    setup.fill(0, BUY, 1000, 1)
    assert setup.ask(0, BUY) == Veto.NONE
    setup.fill(0, BUY, 1000, 1, now_ns=NOW_NS + 500)
    assert setup.ask(0, BUY, now_ns=NOW_NS + E9 - 1) == Veto.REPEATED_EXECUTION
    assert setup.ask(0, BUY, now_ns=NOW_NS + E9) == Veto.NONE


def strategy_setup(**changes: Any) -> Setup:
    limits = StrategyLimitsConfig(notional_max=Decimal(300), loss_max=Decimal(20))
    return Setup(strategies=(limits, None), burst=100, **WIDE, **changes)


@pytest.mark.parametrize(("side", "other"), [(BUY, SELL), (SELL, BUY)])
def test_a_strategys_notional_is_of_its_own_positions(side: int, other: int) -> None:
    setup = strategy_setup()
    setup.fill(0, side, 1000, 5_000, strategy=1)
    assert setup.ask(0, side, 1000, 3_000) == Veto.NONE
    assert setup.ask(0, side, 1000, 3_001) == Veto.STRATEGY_NOTIONAL
    assert setup.ask(0, side, 1000, 3_001, strategy=1) == Veto.NONE
    assert setup.ask(0, side, 1001, 3_000) == Veto.STRATEGY_NOTIONAL  # at the order's price, where it is higher
    assert setup.ask(0, side, 999, 3_000) == Veto.NONE
    setup.fill(0, side, 1000, 3_000)
    assert setup.ask(0, side, 1000, 1) == Veto.STRATEGY_NOTIONAL
    assert setup.ask(1, side, 1000, 1) == Veto.STRATEGY_NOTIONAL
    assert setup.ask(0, other, 1000, 1) == Veto.NONE
    count_open(setup.gate, 0, 0, other, 1, 3_000)
    assert setup.ask(0, other, 1000, 3_000) == Veto.NONE
    assert setup.ask(0, other, 1000, 3_001) == Veto.STRATEGY_NOTIONAL


@pytest.mark.parametrize(("side", "other"), [(BUY, SELL), (SELL, BUY)])
def test_a_strategy_over_its_notional_may_close(side: int, other: int) -> None:
    setup = strategy_setup()
    setup.fill(0, side, 1000, 4_000)
    assert setup.ask(0, other, 1000, 4_000) == Veto.NONE
    assert setup.ask(0, other, 1000, 4_001) == Veto.STRATEGY_NOTIONAL
    setup = strategy_setup()
    setup.fill(0, side, 1000, 1_000)
    count_open(setup.gate, 0, 0, other, 1, 4_500)
    assert setup.ask(0, side, 1000, 1) == Veto.STRATEGY_NOTIONAL  # 350 the other way, if all of it fills


def test_a_strategys_loss_lets_it_reduce_only_and_others_go_on() -> None:
    setup = strategy_setup()
    setup.fill(0, BUY, 1000, 1_000, fee_e9=20 * E9)
    assert setup.ask(0, BUY) == Veto.NONE
    setup.fill(0, BUY, 1000, 1, fee_e9=1)
    assert setup.ask(0, BUY) == Veto.STRATEGY_LOSS
    assert setup.ask(1, SELL) == Veto.STRATEGY_LOSS
    assert setup.ask(0, SELL, 1000, 1_001) == Veto.NONE
    assert setup.ask(0, SELL, 1000, 1_002) == Veto.STRATEGY_LOSS
    assert setup.ask(0, BUY, strategy=1) == Veto.NONE
    assert setup.gate.state == TradingState.ACTIVE
    setup.fill(0, SELL, 1000, 1, fee_e9=-30 * E9)
    assert setup.ask(0, BUY) == Veto.STRATEGY_LOSS


def test_a_realised_loss_trips_though_what_is_held_has_gained() -> None:
    setup = Setup(realised_loss_max=Decimal(10), **WIDE)
    setup.fill(0, BUY, 1000, 2_000)
    for book in setup.market.books:
        book.bid_ticks, book.ask_ticks = 2_999, 3_001
    setup.mark()
    assert not setup.fill(0, SELL, 900, 1_000)  # 10 lost, 200 gained by what is left
    assert setup.gate.realised_e9 == -10 * E9
    assert setup.fill(0, SELL, 999, 10)
    assert (setup.gate.state, setup.gate.why) == (TradingState.REDUCE_ONLY, Why.LOSS_LIMIT)
    assert setup.gate.profit_e9 > 0


FILLS = st.lists(st.tuples(st.sampled_from([BUY, SELL]), st.integers(1, 2_000), st.integers(1, 500)), max_size=30)


@given(FILLS, st.sampled_from(list(Payoff)))
def test_realised_is_what_average_prices_say(fills: list[tuple[int, int, int]], payoff: Payoff) -> None:
    instrument = Instrument(payoff=payoff, tick_e9=E9 // 10, lot_e9=E9, tick_lot_e9=E9 // 10)
    position = Position()
    held, entry, realised = 0, 0.0, 0.0
    for side, price, lots in fills:
        add_fill(position, instrument, side, price, lots, 0)
        sign = 1 if side == BUY else -1
        flow = -sign * lots * price / 10 if payoff == Payoff.LINEAR else sign * lots / (price / 10)
        closing = min(lots, abs(held)) if held * sign < 0 else 0
        closed_entry = entry * closing / abs(held) if closing else 0.0
        closed_flow = flow * closing / lots
        realised += closed_entry + closed_flow
        entry += flow - closed_flow - closed_entry
        held += sign * lots
        assert position.position_lots == held
        assert position.entry_cash_e9 + position.realised_e9 == position.cash_e9
        assert position.realised_e9 / E9 == pytest.approx(realised, abs=1e-2)
        if held == 0:
            assert position.entry_cash_e9 == 0
    assert position.fills == len(fills)
    for side, told in ((BUY, position.bought_lots), (SELL, position.sold_lots)):
        assert told == sum(lots for way, _, lots in fills if way == side)


LEGS = LegRiskConfig(unhedged_max=Decimal(3), hedged_within=Decimal("0.2"), unhedged_ms_max=1000)


@pytest.mark.parametrize(("side", "other"), [(BUY, SELL), (SELL, BUY)])
def test_too_much_unhedged_allows_reducing_only(side: int, other: int) -> None:
    setup = Setup(leg_risk=LEGS, **WIDE)
    assert not setup.fill(0, side, 1000, 3_000)
    assert setup.gate.state == TradingState.ACTIVE
    assert setup.fill(0, side, 1000, 1)
    assert (setup.gate.state, setup.gate.why) == (TradingState.REDUCE_ONLY, Why.LEG_RISK)
    assert setup.ask(0, other, 1000, 1) == Veto.NONE
    assert not setup.fill(0, other, 1000, 3_001)
    assert setup.gate.state == TradingState.REDUCE_ONLY


def test_too_long_unhedged_allows_reducing_only() -> None:
    wide = WIDE | {"leg_risk": LEGS, "mark_age_max_ms": 60_000}
    setup = Setup(**wide)
    setup.fill(0, BUY, 1000, 200)  # within what counts as hedged
    assert not setup.mark(NOW_NS + 5 * E9)
    setup = Setup(**wide)
    setup.fill(0, BUY, 1000, 201)
    setup.fill(1, SELL, 1000, 1, now_ns=NOW_NS + E9)  # 0.01 coins of it are hedged
    assert not setup.mark(NOW_NS + 3 * E9)
    setup.fill(1, BUY, 1000, 1, now_ns=NOW_NS + 3 * E9)
    assert not setup.mark(NOW_NS + 4 * E9)
    assert setup.mark(NOW_NS + 4 * E9 + 1)
    assert (setup.gate.state, setup.gate.why) == (TradingState.REDUCE_ONLY, Why.LEG_RISK)


def test_the_dead_man_switch_cancels_when_nobody_watches() -> None:
    setup = Setup(dead_man_ms=2_000, book_age_max_ms=60_000)
    gate = setup.gate
    assert not setup.mark(NOW_NS + 60 * E9)  # nobody has begun to watch
    unconfigured = Setup(book_age_max_ms=60_000)
    unconfigured.gate.alive_ns = NOW_NS - 60 * E9
    assert unconfigured.ask() == Veto.NONE
    gate.alive_ns = NOW_NS
    assert setup.ask(now_ns=NOW_NS + 2 * E9) == Veto.NONE
    assert not setup.mark(NOW_NS + 2 * E9)
    assert setup.ask(now_ns=NOW_NS + 2 * E9 + 1) == Veto.CANCEL_ONLY
    assert gate.state == TradingState.ACTIVE
    assert setup.mark(NOW_NS + 2 * E9 + 1)
    assert (gate.state, gate.why) == (TradingState.CANCEL_ONLY, Why.DEAD_MAN)
    gate.alive_ns = NOW_NS + 3 * E9  # it stays
    assert setup.ask(now_ns=NOW_NS + 3 * E9) == Veto.CANCEL_ONLY


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"borrow_max": Decimal(1)}, "no spot"),
        ({"borrow_max": Decimal(0), "kinds": SPOT_AND_PERPETUAL}, "borrow_max of i0"),
        ({"mark_age_max_ms": 0}, "mark_age_max_ms of i0"),
        ({"notional_max": Decimal(0)}, "notional_max of venue v0"),
        ({"order_to_trade": OrderToTradeConfig(messages_per_fill_max=0, messages_min=1, window_ms=1)}, "per_fill_max"),
        ({"order_to_trade": OrderToTradeConfig(messages_per_fill_max=1, messages_min=0, window_ms=1)}, "messages_min"),
        ({"order_to_trade": OrderToTradeConfig(messages_per_fill_max=1, messages_min=1, window_ms=0)}, "window_ms"),
        ({"delta_max": Decimal(0)}, "delta_max"),
        ({"price_band_bps": Decimal(20_000)}, "above 10000"),
        ({"price_band_bps": Decimal(10), "kinds": (Kind.FUTURE, Kind.PERPETUAL)}, "no two venues"),
        (
            {"leg_risk": LegRiskConfig(unhedged_max=Decimal(1), hedged_within=Decimal(2), unhedged_ms_max=1)},
            "hedged_within is above",
        ),
        ({"account_gross_max": Decimal(0)}, "account.gross_max"),
        ({"account_net_max": Decimal(0)}, "account.net_max"),
        ({"account_burst": 0}, "limits.account"),
        ({"realised_loss_max": Decimal(4_000_000_000)}, "realised_loss_max"),
        ({"loss_max": Decimal(4_000_000_000)}, "loss_max"),
        ({"dead_man_ms": 1_999}, "dead_man_ms = 1999"),
        ({"repeated_execution": RepeatedExecutionConfig(fills_max=33, window_ms=1)}, "fills_max = 33"),
        ({"repeated_execution": RepeatedExecutionConfig(fills_max=0, window_ms=1)}, "fills_max = 0"),
        (
            {"strategies": (StrategyLimitsConfig(notional_max=Decimal(0), loss_max=Decimal(1)),)},
            "notional_max of strategy s0",
        ),
        ({"strategies": (StrategyLimitsConfig(notional_max=Decimal(1), loss_max=Decimal(0)),)}, "loss_max of strategy"),
        ({"instruments": 8, "position_max": Decimal(10**11), "price_max": Decimal(10), "order_max": Decimal(1)}, "all"),
    ],
)
def test_limits_that_cannot_be_are_refused_in_words(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(LimitError, match=words) as caught:
        Setup(**changes)
    assert "\n" not in str(caught.value)
