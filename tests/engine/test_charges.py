"""What holding costs over a run, against sums made by hand."""

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.engine.report.charges import ChargeKind, Held, charges_of
from crosswire.engine.report.recorder import InstrumentInfo
from crosswire.nic.duration import NS_PER_S
from crosswire.venues.instrument import E9, Kind, Payoff
from crosswire.venues.money.funding import FundingRate
from crosswire.venues.money.terms import HoldingTerms

HOUR_NS = 3_600 * NS_PER_S
DAY_NS = 24 * HOUR_NS
START_NS = 20_000 * DAY_NS + 7 * HOUR_NS  # 07:00 UTC


def info(kind: Kind, payoff: Payoff = Payoff.LINEAR, lot: str = "0.001", expiry_ns: int = 0) -> InstrumentInfo:
    lot_e9 = int(Decimal(lot) * E9)
    return InstrumentInfo(
        index=3,
        symbol="BTCUSDT",
        venue="usdm",
        underlying=0,
        kind=kind,
        payoff=payoff,
        tick_e9=E9 // 10,
        lot_e9=lot_e9,
        tick_lot_e9=lot_e9 // 10,
        maker_fee_e9=0,
        taker_fee_e9=0,
        expiry_ns=expiry_ns,
        base="BTC",
        quote="USDT",
        settlement="USDT",
    )


def held(
    about: InstrumentInfo, changes: list[tuple[int, int]], *, start_lots: int = 0, hours: int = 10, **prices: Any
) -> Held:
    """Hold `changes`, (ns after START_NS, lots from then on), at a mid of 60,000 unless `mids` says otherwise."""
    mids = prices.get("mids", [(0, 60_000)])
    return Held(
        info=about,
        first_ns=START_NS,
        last_ns=START_NS + hours * HOUR_NS,
        changed_ns=np.array([START_NS + after for after, _ in changes], np.int64),
        position_lots=np.array([lots for _, lots in changes], np.int64),
        start_lots=start_lots,
        mid_ns=np.array([START_NS + after for after, _ in mids], np.int64),
        mid_e9=np.array([price * E9 for _, price in mids], np.int64),
    )


def rate(after_ns: int, value: str, mark: int | None = None) -> FundingRate:
    return FundingRate(time_ns=START_NS + after_ns, rate=Decimal(value), mark_e9=None if mark is None else mark * E9)


def amounts(position: Held, terms: HoldingTerms) -> list[tuple[ChargeKind, int, str]]:
    charges, warnings = charges_of(position, terms)
    assert warnings == []
    return [(each.kind, each.time_ns - START_NS, f"{Decimal(each.amount_e9) / E9:f}") for each in charges]


PERPETUAL = info(Kind.PERPETUAL)


def test_each_payment_is_on_what_is_held_at_its_instant() -> None:
    terms = HoldingTerms(funding=[rate(HOUR_NS, "0.0001"), rate(9 * HOUR_NS, "-0.0002", 61_000)])
    changes = [(5, 2_000), (HOUR_NS + 1, -500), (9 * HOUR_NS, 1_000)]
    assert amounts(held(PERPETUAL, changes), terms) == [
        (ChargeKind.FUNDING, HOUR_NS, "12"),  # 2 BTC at 60,000
        (ChargeKind.FUNDING, 9 * HOUR_NS, "-12.2"),  # 1 BTC, bought at that very time, at the venue's own mark
    ]


def test_a_payment_outside_the_run_or_on_nothing_is_none() -> None:
    terms = HoldingTerms(funding=[rate(-1, "0.0001"), rate(HOUR_NS, "0.0001"), rate(10 * HOUR_NS + 1, "0.0001")])
    assert amounts(held(PERPETUAL, [(0, 5), (1, 0), (2 * HOUR_NS, 5)]), terms) == []


@pytest.mark.parametrize(
    ("after_ns", "hours", "told"), [(1, 0, 0), (1, 2, 2), (HOUR_NS + 1, 2, 1), (2 * HOUR_NS, 2, 1)]
)
def test_a_schedule_that_is_missing_is_told_where_a_payment_may_have_been(after_ns: int, hours: int, told: int) -> None:
    charges, warnings = charges_of(held(PERPETUAL, [(after_ns, 5)], hours=hours), HoldingTerms())
    assert charges == []
    assert [each.count for each in warnings] == ([told] if told else [])
    assert all("funding" in each.what_to_do and "usdm/BTCUSDT" in each.first_place for each in warnings)


def test_continuous_funding_follows_position_rate_and_price() -> None:
    terms = HoldingTerms(funding=[rate(-HOUR_NS, "0.0008"), rate(4 * HOUR_NS, "-0.0016")], is_continuous=True)
    mids = [(0, 60_000), (2 * HOUR_NS, 62_000), (4 * HOUR_NS, 61_000)]
    position = held(PERPETUAL, [(2 * HOUR_NS, 1_000), (6 * HOUR_NS, 0)], mids=mids)
    assert amounts(position, terms) == [
        (ChargeKind.FUNDING, 4 * HOUR_NS, "12.4"),  # 1 BTC at 62,000: 0.0008 for 8 h, so 0.0002 for 2 h
        (ChargeKind.FUNDING, 6 * HOUR_NS, "-24.4"),  # at 61,000, 0.0016 received
    ]


def test_continuous_funding_before_the_first_rate_is_told() -> None:
    terms = HoldingTerms(funding=[rate(4 * HOUR_NS, "0.0008")], is_continuous=True)
    charges, (warning,) = charges_of(held(PERPETUAL, [(0, 1_000)]), terms)
    assert [each.time_ns for each in charges] == [START_NS + 10 * HOUR_NS]
    assert (warning.count, warning.kind) == (1, "charges without a price or a rate, left out")


def test_off_is_silent() -> None:
    for is_continuous in (False, True):
        assert amounts(held(PERPETUAL, [(0, 5)]), HoldingTerms(funding=[], is_continuous=is_continuous)) == []


SPOT = info(Kind.SPOT)


def test_borrowing_is_charged_by_the_hour_for_each_time_short() -> None:
    minute_ns = HOUR_NS // 60
    # Short from 07:55 to 08:30, two hours, of at most 3 BTC; and again for a minute.
    changes = [(55 * minute_ns, -1_000), (70 * minute_ns, -3_000), (90 * minute_ns, 0)]
    changes += [(121 * minute_ns, -500), (122 * minute_ns, 500)]
    terms = HoldingTerms(borrow_rate_daily=Decimal("0.0024"))  # 0.01 % an hour
    assert amounts(held(SPOT, changes), terms) == [
        (ChargeKind.BORROW, 90 * minute_ns, "36"),  # 0.0006 BTC at 60,000
        (ChargeKind.BORROW, 122 * minute_ns, "3"),
    ]
    charges, (warning,) = charges_of(held(SPOT, changes), HoldingTerms())
    assert (charges, warning.count) == ([], 2)
    assert "borrow_rate_daily" in warning.what_to_do
    assert amounts(held(SPOT, [(0, 1_000)]), HoldingTerms()) == []  # long spot costs nothing


def test_a_future_that_expires_is_settled() -> None:
    future = info(Kind.FUTURE, expiry_ns=START_NS + HOUR_NS)
    terms = HoldingTerms(delivery_price_e9=60_500 * E9, delivery_fee_bps=Decimal("2.5"))
    assert amounts(held(future, [(0, -2_000)]), terms) == [
        (ChargeKind.DELIVERY, HOUR_NS, "1000"),  # short 2 BTC, 500 above the mid that they are valued at
        (ChargeKind.DELIVERY_FEE, HOUR_NS, "30.25"),  # 0.025 % of 121,000
    ]
    assert amounts(held(future, [(0, 5), (1, 0)]), terms) == []
    assert amounts(held(info(Kind.FUTURE, expiry_ns=START_NS + 11 * HOUR_NS), [(0, 5)]), terms) == []


def test_a_future_whose_expiry_is_not_known_is_told_once_it_was_held() -> None:
    charges, (warning,) = charges_of(held(info(Kind.FUTURE), [(0, 5)]), HoldingTerms(delivery_price_e9=60_500 * E9))
    assert (charges, warning.kind, warning.count) == ([], "futures held whose expiry is not known", 1)
    assert "expiry" in warning.what_to_do
    assert charges_of(held(info(Kind.FUTURE), []), HoldingTerms()) == ([], [])


def test_a_delivery_price_that_is_not_told_is_the_mean_of_the_last_half_hour_and_said_to_be() -> None:
    future = info(Kind.FUTURE, expiry_ns=START_NS + HOUR_NS)
    mids = [(0, 60_000), (HOUR_NS * 3 // 4, 61_000), (HOUR_NS + 1, 70_000)]
    charges, (warning,) = charges_of(held(future, [(0, 1_000)], mids=mids), HoldingTerms())
    assert [each.price_e9 // E9 for each in charges] == [60_500, 60_500]
    assert charges[0].amount_e9 == 9_500 * E9  # valued at 70,000
    assert warning.kind == "futures settled at their own mid, not the index"


def test_nothing_held_costs_nothing_and_is_not_spoken_of() -> None:
    for about in (PERPETUAL, SPOT, info(Kind.FUTURE, expiry_ns=START_NS + 1)):
        assert charges_of(held(about, []), HoldingTerms()) == ([], [])


def test_without_any_price_it_is_told() -> None:
    charges, (warning,) = charges_of(
        held(PERPETUAL, [(0, 5)], mids=[]), HoldingTerms(funding=[rate(HOUR_NS, "0.0001")])
    )
    assert (charges, warning.count) == ([], 1)


@given(
    changes=st.lists(st.tuples(st.integers(0, 100), st.integers(-3, 3)), max_size=12, unique_by=lambda each: each[0]),
    cuts=st.lists(st.integers(0, 100), max_size=5),
    start_lots=st.integers(-3, 3),
)
def test_spans_are_the_position_at_each_instant(
    changes: list[tuple[int, int]], cuts: list[int], start_lots: int
) -> None:
    position = held(PERPETUAL, sorted(changes), start_lots=start_lots)
    expected = []
    for after in range(100):
        lots = start_lots
        for at, value in sorted(changes):
            lots = value if at <= after else lots
        expected.append(lots)
    got = [0] * 100
    for start_ns, end_ns, lots in position.spans(*(START_NS + cut for cut in cuts)):
        for after in range(start_ns - START_NS, min(end_ns - START_NS, 100)):
            assert got[after] == 0
            got[after] = lots
    assert got == expected
