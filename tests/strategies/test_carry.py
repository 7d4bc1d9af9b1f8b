"""Carry: what holding is expected to bring, told exactly and from what is known by then; when it enters and leaves."""

import re
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crosswire.strategies.carry import Carry, expected_e9, turn_e9
from crosswire.strategies.funding import LATE_MAX_NS, RATES_MAX, Funding, set_funding, short_receives_e9
from crosswire.strategies.opportunity import Blocked
from crosswire.strategies.signals.carry import NO_RATE
from crosswire.strategies.trades import Outcome
from crosswire.testing import LEG_PARAMETERS, START_NS, Harness, check_properties, fill, inverse, linear, miss
from crosswire.venues.instrument import E9, Instrument, Kind
from crosswire.venues.money.funding import FundingRate
from crosswire.venues.money.terms import HoldingTerms
from crosswire.venues.side import BUY, SELL

MS, S, HOUR_NS = 1_000_000, 10**9, 3_600 * 10**9
PERIOD_NS = 8 * HOUR_NS
NEXT_NS = START_NS + HOUR_NS  # of the payments below, every eight hours
DELAY_NS = 1_000 * MS
PARAMETERS: dict[str, Any] = LEG_PARAMETERS | {
    "pair": ["perpetual", "spot"],
    "horizon_h": 8,
    "carry_min_bps": 1,
    "carry_exit_bps": "0.5",
    "hold_max_h": 100,
    "position_max": 3,
    "book_age_max_ms": 10_000_000,
}
PARAMETERS.pop("threshold_bps")


def paid(*rates: str, published_ns: int | None = None) -> HoldingTerms:
    """A payment eight hours before NEXT_NS, one then, and so on; the second may be known before it is paid."""
    told = [
        FundingRate(time_ns=NEXT_NS + (place - 1) * PERIOD_NS, rate=Decimal(rate)) for place, rate in enumerate(rates)
    ]
    if published_ns is not None:
        told[1] = FundingRate(time_ns=NEXT_NS, rate=Decimal(rates[1]), published_ns=published_ns)
    return HoldingTerms(funding=told)


def perpetual() -> Instrument:
    return linear(taker_fee_bps=1)


def spot() -> Instrument:
    return linear(taker_fee_bps=1, kind=Kind.SPOT)


def future(expires_in_ns: int) -> Instrument:
    instrument = linear(taker_fee_bps=1, kind=Kind.FUTURE)
    instrument.expiry_ns = START_NS + expires_in_ns
    return instrument


def make(terms: HoldingTerms | None = None, spot_terms: HoldingTerms | None = None, **changes: Any) -> Harness:
    """A perpetual that pays 10 bps in an hour unless told otherwise, and spot."""
    traded = changes.pop("traded", None) or {"perpetual": perpetual(), "spot": spot()}
    names = list(traded)
    holding = {names[0]: terms or paid("0.001"), names[1]: spot_terms or HoldingTerms()}
    return Harness(Carry, PARAMETERS | {"pair": names} | changes, traded, holding=holding)


def quote(harness: Harness, first: Any = 10_000, second: Any = 10_000, size: Any = 5) -> None:
    """Books of one tick."""
    for name, price in zip(harness.names, (first, second), strict=True):
        harness.set_book(name, bids=[(price, size)], asks=[(Fraction(str(price)) + Fraction(1, 10), size)])


def held(harness: Harness) -> tuple[int, ...]:
    return tuple(harness.position_lots(name) for name in harness.names)


def settle(harness: Harness, **books: Any) -> tuple[int, ...]:
    """Show the same books until nothing more is traded; what is held then."""
    before = None
    while before != (before := held(harness)):
        quote(harness, **books)
        harness.advance(10 * MS)
    return before


# What is expected.


def known_at(now_ns: int, delay_ns: int, told: list[FundingRate], period_ns: int) -> FundingRate | None:
    """The rate that may be believed."""
    known = [rate for rate in told if rate.known_ns + delay_ns <= now_ns]
    if not known or now_ns > known[-1].time_ns + period_ns + delay_ns + LATE_MAX_NS:
        return None
    return known[-1]


def exact_funding(terms: HoldingTerms, now_ns: int, hold_ns: int, delay_ns: int) -> Fraction | None:
    """What a short receives, payment by payment."""
    if terms.funding == []:
        return Fraction(0)
    rate = known_at(now_ns, delay_ns, terms.funding or [], PERIOD_NS)
    if rate is None:
        return None
    if terms.is_continuous:
        return Fraction(rate.rate) * Fraction(hold_ns, PERIOD_NS)
    times_ns = [rate.time_ns + number * PERIOD_NS for number in range(200)]
    return Fraction(rate.rate) * sum(now_ns < time_ns <= now_ns + hold_ns for time_ns in times_ns)


@st.composite
def schedules(draw: Any) -> HoldingTerms:
    """Payments every eight hours with rates of both signs, some told before they are paid; or a continuous rate."""
    start_ns = START_NS + draw(st.integers(-3 * PERIOD_NS, PERIOD_NS))
    told = []
    for number in range(draw(st.integers(0, 5))):
        time_ns = start_ns + number * PERIOD_NS
        early_ns = draw(st.none() | st.integers(0, PERIOD_NS - 1))
        published_ns = None if early_ns is None else time_ns - early_ns
        rate = Decimal(draw(st.integers(-(10**6), 10**6))) / 10**9
        told.append(FundingRate(time_ns=time_ns, rate=rate, published_ns=published_ns))
    return HoldingTerms(funding=told, is_continuous=draw(st.booleans()))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_what_a_short_receives_is_what_was_known_and_no_more(data: st.DataObject) -> None:
    terms = data.draw(schedules())
    delay_ns = data.draw(st.integers(0, HOUR_NS))
    funding = Funding()
    set_funding(funding, terms, PERIOD_NS, delay_ns)
    now_ns = START_NS
    for _ in range(data.draw(st.integers(1, 5))):
        now_ns += data.draw(st.integers(0, PERIOD_NS))
        hold_ns = data.draw(st.integers(1, 30 * PERIOD_NS))
        exact = exact_funding(terms, now_ns, hold_ns, delay_ns)
        told = short_receives_e9(funding, now_ns, hold_ns)
        if exact is None:
            assert told == NO_RATE
        else:
            assert told == pytest.approx(float(exact * E9), abs=2)


@st.composite
def instruments(draw: Any) -> Instrument:
    fee = Fraction(draw(st.integers(-100, 500)), 100)
    kind = draw(st.sampled_from(["spot", "linear", "inverse", "future"]))
    if kind == "inverse":
        return inverse("0.1", 10, fee)
    made = linear("0.1", "0.001", fee, kind=Kind.PERPETUAL if kind == "linear" else Kind[kind.upper()])
    if kind == "future":
        made.expiry_ns = START_NS + draw(st.integers(HOUR_NS, 2 * PERIOD_NS))
    return made


def exact_expected(
    traded: list[Instrument], holding: list[HoldingTerms], middles: list[Fraction], buy: int, hold_ns: int, now_ns: int
) -> Fraction | None:
    """What a unit of base is expected to bring, long `buy`, as the page defines it."""
    sell = 1 - buy
    rates = [
        exact_funding(terms, now_ns, hold_ns, DELAY_NS) if each.kind == Kind.PERPETUAL else Fraction(0)
        for each, terms in zip(traded, holding, strict=True)
    ]
    if rates[0] is None or rates[1] is None:
        return None
    worth = middles[sell] * rates[sell] - middles[buy] * rates[buy]
    expiry_ns = max(each.expiry_ns for each in traded)
    if expiry_ns != 0:
        if expiry_ns - now_ns < HOUR_NS:
            return None
        worth += (middles[sell] - middles[buy]) * min(Fraction(1), Fraction(hold_ns, expiry_ns - now_ns))
    daily = holding[sell].borrow_rate_daily
    if traded[sell].kind == Kind.SPOT and daily is not None:
        begun = range(now_ns // HOUR_NS, (now_ns + hold_ns) // HOUR_NS + 1)
        worth -= middles[sell] * Fraction(daily) / 24 * len(begun)
    return worth


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_the_expected_carry_and_the_way_in_and_out_are_exact(data: st.DataObject) -> None:
    traded = [data.draw(instruments(), "first"), data.draw(instruments(), "second")]
    if all(each.kind == Kind.SPOT for each in traded):
        traded[0] = inverse("0.1", 10, 1)
    if all(each.kind == Kind.FUTURE for each in traded):
        traded[0].expiry_ns = traded[1].expiry_ns
    daily = Decimal(data.draw(st.integers(0, 5_000))) / 10**6
    holding = [
        data.draw(schedules()) if each.kind == Kind.PERPETUAL else HoldingTerms(borrow_rate_daily=daily)
        for each in traded
    ]
    hold_h = data.draw(st.integers(1, 40))
    harness = Harness(
        Carry,
        PARAMETERS | {"pair": ["a", "b"], "horizon_h": hold_h, "carry_min_bps": 5_000},  # so that it never enters
        dict(zip("ab", traded, strict=True)),
        holding=dict(zip("ab", holding, strict=True)),
    )
    harness.advance(data.draw(st.integers(0, 2 * PERIOD_NS)))
    middles, turn = [], Fraction(0)
    for name, each in zip("ab", traded, strict=True):
        bid = data.draw(st.integers(90_000, 110_000))
        ask = bid + data.draw(st.integers(1, 100))
        harness.set_book_ticks(name, bids=[(bid, 10)], asks=[(ask, 10)])
        middles.append(Fraction(bid + ask, 20))
        fee = Fraction(each.taker_fee_e9, E9)
        turn += Fraction(ask, 10) * (1 + fee) - Fraction(bid, 10) * (1 - fee)
    legs, now_ns = harness.strategy.legs, int(harness.desk.now_ns)
    assert turn_e9(legs, harness.desk, 0, 1) == pytest.approx(float(turn * E9), abs=5)
    for buy in (0, 1):
        exact = exact_expected(traded, holding, middles, buy, hold_h * HOUR_NS, now_ns)
        told = expected_e9(harness.strategy, harness.desk, buy, 1 - buy, True)
        if exact is None:
            assert told == NO_RATE
        else:
            assert abs(told - exact * E9) <= sum(middles) * 3 + 5  # 3e-9 of the prices


# When it enters and leaves.


@pytest.mark.parametrize("rate", ["0.001", "-0.001"])
def test_the_side_that_is_paid_is_held(rate: str) -> None:
    harness = make(paid(rate), HoldingTerms(borrow_rate_daily=Decimal("0.0001")))
    quote(harness)
    side = SELL if rate == "0.001" else BUY
    assert {(order.name, order.side) for order in harness.orders} == {("perpetual", side), ("spot", 1 - side)}
    assert settle(harness) == ((-3_000, 3_000) if side == SELL else (3_000, -3_000))
    assert [trade["outcome"] for trade in harness.trades] == [Outcome.COMPLETE] * 3


def test_spot_is_never_short_unless_it_can_be_borrowed() -> None:
    harness = make(paid("-0.001"))
    assert settle(harness) == (0, 0)
    assert (harness.orders, harness.opportunities) == ([], [])


def test_interest_is_part_of_the_cost() -> None:
    # 10 bps of funding less 4 of fees, 0.2 of spreads and 1 that is asked for: 4.8 are left for nine hours begun.
    for daily, orders in (("0.0012", 2), ("0.0014", 0)):
        harness = make(paid("-0.001"), HoldingTerms(borrow_rate_daily=Decimal(daily)))
        quote(harness)
        assert len(harness.orders) == orders


@pytest.mark.parametrize(("rate", "orders"), [("0.00053", 2), ("0.00051", 0)])
def test_it_must_pay_for_both_ways_and_what_is_asked_for(rate: str, orders: int) -> None:
    """4 bps of fees, 0.1 of each spread, 1 that is asked for."""
    harness = make(paid(rate))
    quote(harness)
    assert len(harness.orders) == orders


def test_a_payment_beyond_the_horizon_counts_for_nothing() -> None:
    for minutes, orders in ((59, 0), (61, 2)):
        harness = make(horizon_h=str(Decimal(minutes) / 60), carry_exit_bps=-1)
        quote(harness)
        assert len(harness.orders) == orders


def test_a_position_is_built_in_slices_that_are_so_far_apart() -> None:
    harness = make(cooldown_us=50_000, size_max="0.5")
    grown = []
    for _ in range(30):
        quote(harness)
        harness.advance(10 * MS)
        grown.append(held(harness))
    assert grown[0] == (-500, 500)
    assert grown[-1] == (-3_000, 3_000)
    starts_ns = [trade["start_ns"] for trade in harness.trades]
    assert len(starts_ns) == 6
    assert min(later - earlier for earlier, later in pairwise(starts_ns)) >= 50 * MS
    harness.lose_book("spot")
    (opportunity,) = harness.opportunities
    assert (opportunity["attempts"], opportunity["captured_size_e9"]) == (6, 3 * E9)


def test_full_positions_say_so() -> None:
    harness = make(position_max=1)
    settle(harness)
    harness.lose_book("spot")
    quote(harness)
    harness.lose_book("spot")
    assert [row["blocked_by"] for row in harness.opportunities] == [Blocked.NONE, Blocked.POSITION]


def test_it_leaves_when_the_next_payments_no_longer_pay_for_waiting() -> None:
    harness = make(paid("0.001", "0.0001", "0.00004"))
    assert settle(harness) == (-3_000, 3_000)
    harness.advance(NEXT_NS - harness.desk.now_ns + 10 * S)  # 1 bp: not worth entering, and worth waiting for
    assert settle(harness) == (-3_000, 3_000)
    harness.advance(PERIOD_NS)  # 0.4 bps: below carry_exit_bps
    orders = len(harness.orders)
    quote(harness)
    harness.advance(10 * MS)
    assert [(order.name, order.side, order.qty_lots) for order in harness.orders[orders:]] == [
        ("perpetual", BUY, 1_000),
        ("spot", SELL, 1_000),
    ]
    assert settle(harness) == (0, 0)


def test_it_leaves_after_the_longest_hold_and_waits_until_it_would_not_enter() -> None:
    harness = make(paid("0.001", "0.001"), hold_max_h="0.5")
    assert settle(harness) == (-3_000, 3_000)
    harness.advance(HOUR_NS // 2)
    assert settle(harness) == (0, 0)
    assert settle(harness) == (0, 0)
    quote(harness, size=5)
    harness.set_book("spot", bids=[(9_990, 5)], asks=[(10_010, 5)])  # too wide to enter
    harness.advance(10 * MS)
    quote(harness)
    harness.advance(10 * MS)
    assert held(harness) == (-1_000, 1_000)


@pytest.mark.parametrize("terms", [paid("0.001"), HoldingTerms(funding=paid("0.001").funding, is_continuous=True)])
def test_a_rate_that_is_too_old_is_no_rate(terms: HoldingTerms) -> None:
    """The next payment has come and gone, and what it was nobody has told."""
    harness = make(terms)
    assert settle(harness) == (-3_000, 3_000)
    harness.advance(NEXT_NS - harness.desk.now_ns + 50 * S)
    assert settle(harness) == (-3_000, 3_000)
    harness.advance(15 * S)
    assert settle(harness) == (0, 0)
    assert harness.strategy.counters()["strategy: looks without a known rate"] > 0


def test_without_a_rate_nothing_is_entered() -> None:
    first = FundingRate(time_ns=NEXT_NS, rate=Decimal("0.001"))
    harness = make(HoldingTerms(funding=[first]))
    assert settle(harness) == (0, 0)
    harness.advance(NEXT_NS - harness.desk.now_ns + 500 * MS)  # paid, but not heard of yet
    assert settle(harness) == (0, 0)
    harness.advance(DELAY_NS)
    assert settle(harness) == (-3_000, 3_000)


def test_a_rate_that_is_published_before_it_is_paid_is_known_before() -> None:
    published_ns = START_NS + HOUR_NS // 2
    harness = make(paid("0", "0.001", published_ns=published_ns))
    harness.advance(HOUR_NS // 2 - S)
    assert settle(harness) == (0, 0)
    harness.advance(3 * S)
    assert settle(harness) == (-3_000, 3_000)


def test_two_perpetuals_are_held_for_the_difference() -> None:
    traded = {"a": perpetual(), "b": inverse("0.5", 10, 1)}
    harness = make(paid("0.0004"), paid("0.0014"), traded=traded)
    for _ in range(8):
        harness.set_book("a", bids=[(10_000, 5)], asks=[("10000.1", 5)])
        harness.set_book("b", bids=[(10_000, 50_000)], asks=[("10000.5", 50_000)])
        harness.advance(10 * MS)
    long, short = held(harness)
    assert (long, short) == (3_000, -3_000)  # 3 coins, and 3,000 lots of 10 USD


@pytest.mark.parametrize(("price", "sides"), [(10_050, (SELL, BUY)), (9_950, ()), (10_005, ())])
def test_a_future_comes_to_spot_by_its_expiry(price: int, sides: tuple[int, ...]) -> None:
    """50 bps in two days, 10 hours of them within the horizon: 10.4. Spot can't be sold, and 5 bps are too few."""
    traded = {"future": future(48 * HOUR_NS), "spot": spot()}
    harness = make(HoldingTerms(), traded=traded, horizon_h=10)
    quote(harness, first=price)
    harness.advance(10 * MS)
    assert tuple(sorted((order.side for order in harness.orders), reverse=True)) == tuple(sorted(sides, reverse=True))


def test_a_future_is_left_before_it_is_delivered() -> None:
    harness = make(HoldingTerms(), traded={"future": future(3 * HOUR_NS), "spot": spot()})
    assert settle(harness, first=10_050) == (-3_000, 3_000)
    harness.advance(2 * HOUR_NS - 60 * S)
    assert settle(harness, first=10_050) == (-3_000, 3_000)
    harness.advance(60 * S)
    assert settle(harness, first=10_050) == (0, 0)


def test_a_missed_leg_is_unwound() -> None:
    harness = make(retries=0)
    harness.answers = [fill(), miss()]
    quote(harness)
    harness.advance(60 * MS)
    assert held(harness)[1] >= 0
    assert harness.trades[0]["outcome"] == Outcome.UNWOUND


def test_what_is_held_is_told_from_the_positions_as_after_a_restart() -> None:
    harness = make(paid("0"))
    harness.desk.positions[0].position_lots = -700
    harness.desk.positions[1].position_lots = 700
    assert settle(harness) == (0, 0)  # nothing is expected of it


# What lies ahead is not known.


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_what_is_told_later_changes_nothing_before(data: st.DataObject) -> None:
    """Two schedules that are one until a time: the same books bring the same orders until then."""
    terms = data.draw(schedules())
    told = terms.funding or []
    cut_ns = START_NS + data.draw(st.integers(0, 3 * PERIOD_NS))
    changed = [
        rate
        if rate.known_ns + DELAY_NS < cut_ns
        else FundingRate(
            time_ns=rate.time_ns,
            rate=Decimal(data.draw(st.integers(-(10**6), 10**6))) / 10**9,
            published_ns=rate.published_ns,
        )
        for rate in told
    ]
    books = data.draw(
        st.lists(
            st.tuples(st.integers(0, HOUR_NS), st.integers(9_990, 10_010), st.integers(9_990, 10_010)), max_size=40
        )
    )
    sent = []
    for each in (told, changed):
        schedule = HoldingTerms(funding=each, is_continuous=terms.is_continuous)
        harness = make(schedule, HoldingTerms(borrow_rate_daily=Decimal("0.0001")), carry_min_bps=0, carry_exit_bps=0)
        for wait_ns, first, second in books:
            if harness.desk.now_ns + wait_ns + S >= cut_ns:
                break
            harness.advance(wait_ns)
            quote(harness, first, second)
        sent.append([(order.name, order.side, order.qty_lots, order.sent_ns) for order in harness.orders])
    assert sent[0] == sent[1]


def test_a_later_rate_does_change_what_comes_after_it() -> None:
    """So that the property above is none of strategies that never look."""
    ends = []
    for rate in ("0.001", "-0.001"):
        harness = make(paid("0.001", rate))
        settle(harness)
        harness.advance(NEXT_NS - harness.desk.now_ns + 10 * S)
        ends.append(settle(harness))
    assert ends == [(-3_000, 3_000), (0, 0)]


# Whatever happens.


def test_what_must_hold() -> None:
    parameters = PARAMETERS | {"pair": ["a", "b"], "carry_min_bps": 0, "carry_exit_bps": 0, "size_max": "0.02"}
    parameters |= {
        "position_max": "0.05",
        "book_age_max_ms": 60_000,
        "unwind_loss_max_bps": 5_000,
        "hold_max_h": "0.0001",
    }
    most = {"a": "0.05", "b": "0.05"}
    both = {"a": perpetual(), "b": linear(tick="0.2", taker_fee_bps=1, kind=Kind.SPOT)}
    for rate, daily in (("0.05", None), ("-0.05", Decimal("0.0001"))):
        holding = {"a": paid(rate), "b": HoldingTerms(borrow_rate_daily=daily)}
        check_properties(Carry, parameters, both, position_max=most, examples=40, holding=holding)
    mixed = {"a": perpetual(), "b": inverse(tick="0.1")}
    check_properties(Carry, parameters, mixed, examples=20, holding={"a": paid("0.05"), "b": paid("-0.01")})


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(9_990, 10_010), st.integers(1, 40), st.integers(0, 3), st.integers(0, 400)), max_size=40
    ),
    st.sampled_from([("0.001", "0"), ("0.001", "-0.001"), ("-0.001", "0.001")]),
)
def test_spot_that_can_not_be_borrowed_is_never_short(
    steps: list[tuple[int, int, int, int]], rates: tuple[str, str]
) -> None:
    """Whatever each order's answer is."""
    harness = make(paid(*rates), retries=1, unwind_loss_max_bps=5_000)
    for price, lots, answer, wait_s in steps:
        harness.otherwise = (fill(), fill(lots), miss(), fill(after_ns=3 * MS))[answer]
        quote(harness, price, price, size=Fraction(lots, 1_000))
        harness.advance(wait_s * 10 * S)
        assert harness.position_lots("spot") >= 0


# What can't be.


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"terms": HoldingTerms(borrow_rate_daily=Decimal(0))}, "pair: perpetual: its funding is not known: give a"),
        ({"terms": paid(*["0"] * (RATES_MAX + 1))}, "pair: perpetual: 4,097 rates in its schedule: at most 4,096;"),
        ({"carry_exit_bps": 2}, "carry_exit_bps = 2 is above carry_min_bps = 1"),
        ({"carry_min_bps": -1}, "carry_min_bps = -1: must be 0 to 5000 bps"),
        ({"horizon_h": 0}, "horizon_h = 0: must be above 0 to 8760 h"),
        ({"funding_period_h": {"spot": 4}}, "funding_period_h: 'spot' is no perpetual of the pair"),
        ({"funding_period_h": {"perpetual": 0}}, "funding_period_h = 0: must be 0.001 to 8760 h"),
        (
            {"terms": HoldingTerms(funding=[], is_continuous=True), "funding_period_h": {"perpetual": 4}},
            "funding_period_h: perpetual pays continuously, a rate of 8 h",
        ),
        ({"traded": {"a": spot(), "b": spot()}}, "pair: both are spot, which pays nothing"),
        ({"traded": {"a": linear(kind=Kind.FUTURE), "b": spot()}}, "pair: when a expires is not known: give expiry"),
        ({"traded": {"a": linear(kind=Kind.OPTION), "b": spot()}}, "pair: a is neither spot, a perpetual nor a future"),
        (
            {"traded": {"a": future(HOUR_NS), "b": future(2 * HOUR_NS)}},
            "pair: two futures that expire apart: at the first expiry the other may be anywhere",
        ),
    ],
)
def test_contradictions_are_refused_in_one_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        make(**changes)


def test_one_instrument_is_no_pair() -> None:
    with pytest.raises(ValueError, match=r"^instruments: one is named twice$"):
        Harness(Carry, PARAMETERS | {"pair": ["a", "a"]}, {"a": perpetual()}, holding={"a": paid("0.001")})
