"""Funding, tiers, borrowing, margin and expiry against cases computed by hand from the venues' own pages."""

import re
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.nic.duration import NS_PER_S
from crosswire.venues.errors import VenueError
from crosswire.venues.instrument import E9, Instrument, Payoff, position_value_e9
from crosswire.venues.money.amount import value_at
from crosswire.venues.money.borrow import NS_PER_HOUR, hours_charged, interest_e9
from crosswire.venues.money.expiry import (
    DELIVERY_WINDOW_NS,
    delivery_fee_e9,
    delivery_price_e9,
    delivery_value_e9,
)
from crosswire.venues.money.funding import (
    CONTINUOUS_PERIOD_NS,
    Accrual,
    continuous_rate,
    funding_e9,
    read_funding,
)
from crosswire.venues.money.margin import (
    MarginBracket,
    SizeMargin,
    bracket_initial,
    bracket_maintenance,
    check_brackets,
    liquidation_price,
    maintenance_amounts,
)
from crosswire.venues.money.tiers import NS_PER_DAY, FeeTier, RollingVolume, check_tiers, tier_at


def instrument(payoff: Payoff, tick: str, lot: str) -> Instrument:
    tick_e9, lot_e9 = int(Decimal(tick) * E9), int(Decimal(lot) * E9)
    tick_lot_e9 = tick_e9 * lot_e9 // E9 if payoff == Payoff.LINEAR else 0
    return Instrument(payoff=payoff, tick_e9=tick_e9, lot_e9=lot_e9, tick_lot_e9=tick_lot_e9)


LINEAR = instrument(Payoff.LINEAR, "0.1", "0.001")  # Binance BTCUSDT
INVERSE = instrument(Payoff.INVERSE, "0.1", "100")  # Binance BTCUSD_PERP
DERIBIT = instrument(Payoff.INVERSE, "0.5", "10")  # Deribit BTC-PERPETUAL


@pytest.mark.parametrize(
    ("which", "lots", "mark", "rate", "paid"),
    [
        (LINEAR, 2_000, "60000", "0.0001", "12"),  # 2 BTC at 60,000 are 120,000 USDT; 0.01 % of it
        (LINEAR, -2_000, "60000", "0.0001", "-12"),
        (LINEAR, 2_000, "60000", "-0.0001", "-12"),
        (INVERSE, 600, "60000", "0.0001", "0.0001"),  # 60,000 USD are 1 BTC
        (INVERSE, -600, "60000", "0.0001", "-0.0001"),
        (LINEAR, 1, "60000.123456789", "0.00010001", "0.006000613"),  # 0.0060006123...: a payment is rounded up
        (LINEAR, -1, "60000.123456789", "0.00010001", "-0.006000612"),  # and what is received down
        (LINEAR, 0, "60000", "0.0001", "0"),
    ],
)
def test_funding_at_a_set_time(which: Instrument, lots: int, mark: str, rate: str, paid: str) -> None:
    assert funding_e9(which, lots, int(Decimal(mark) * E9), Decimal(rate)) == int(Decimal(paid) * E9)


@pytest.mark.parametrize(
    ("mark", "index", "rate"),
    [
        ("10010", "10000", "0.00075"),  # a premium of 0.1 % less 0.025 %
        ("9990", "10000", "-0.00075"),
        ("10002.5", "10000", "0"),  # exactly 0.025 %
        ("9998", "10000", "0"),
        ("10100", "10000", "0.005"),  # 0.975 %, capped
        ("9900", "10000", "-0.005"),
    ],
)
def test_deribits_rate_is_the_premium_beyond_the_damper(mark: str, index: str, rate: str) -> None:
    prices_e9 = (int(Decimal(price) * E9) for price in (mark, index))
    assert continuous_rate(*prices_e9, cap=Decimal("0.005")) == Decimal(rate)


def test_deribits_funding_accrues_with_time() -> None:
    """10,010 USD at a mark of 10,010 are 1 BTC: in a minute, 1 / 480 of 8 h, it pays 0.075 % / 480."""
    mark_e9, rate = 10_010 * E9, Decimal("0.00075")
    assert Accrual(DERIBIT).add_e9(1_001, mark_e9, rate, 60 * NS_PER_S) == 1_563  # 0.0000015625 BTC, rounded up
    assert Accrual(DERIBIT).add_e9(-1_001, mark_e9, rate, 60 * NS_PER_S) == -1_562
    assert Accrual(DERIBIT).add_e9(1_001, mark_e9, rate, CONTINUOUS_PERIOD_NS) == 750_000


def test_schedules_of_binance_are_read_as_they_come(tmp_path: Path) -> None:
    monthly = tmp_path / "monthly.csv"
    monthly.write_text("calc_time,funding_interval_hours,last_funding_rate\n1722470400004,8,0.00010000\n")
    ours = tmp_path / "ours.csv"
    ours.write_text("time,rate,mark_price\n1722470400000000000,-0.00012345,61234.5\n1722499200000000000,0.0001,\n")
    (payment,) = read_funding(monthly)
    assert (payment.time_ns, payment.rate, payment.mark_e9) == (1_722_470_400_004_000_000, Decimal("0.0001"), None)
    first, second = read_funding(ours)
    assert (first.rate, first.mark_e9) == (Decimal("-0.00012345"), 61_234_500_000_000)
    assert (second.time_ns, second.mark_e9) == (1_722_499_200_000_000_000, None)
    assert (first.known_ns, second.known_ns) == (first.time_ns, second.time_ns)


def test_a_rate_may_be_published_before_it_is_paid(tmp_path: Path) -> None:
    path = tmp_path / "funding.csv"
    path.write_text("time,rate,published\n1722470400000,0,\n1722499200000,0.0001,1722470400000\n")
    first, second = read_funding(path)
    assert (first.published_ns, first.known_ns) == (None, 1_722_470_400_000_000_000)
    assert (second.time_ns, second.known_ns) == (1_722_499_200_000_000_000, 1_722_470_400_000_000_000)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "line 1: no column for a time"),
        ("time,price\n", "line 1: no column for a rate"),
        ("time,rate\n", "no payment in it"),
        ("time,rate\n1722470400,0.0001\n", "line 2: a time of 10 digits"),
        ("time,rate\n1722470400000,0.01%\n", "line 2: '1722470400000', '0.01%', None are no time, rate"),
        ("time,rate\n1722470400000,1\n", "line 2: a rate of 1; give a fraction"),
        ("time,rate\n1722470400000,nan\n", "line 2: a rate of nan"),
        ("time,rate\n1722470400000\n", "line 2: '1722470400000', None, None"),
        ("time,rate\n1722470400001,0\n1722470400000,0\n", "line 3: not later than the payment before"),
        ("time,rate,mark_price\n1722470400000,0,-1\n", "line 2: a mark price of -1"),
        ("time,rate,mark_price\n1722470400000,0,inf\n", "line 2: '1722470400000', '0', 'inf'"),
        ("time,rate,published\n1722470400000,0,1722470400001\n", "line 2: published after it was paid"),
        ("time,rate,published\n1722470400000,0,soon\n", "line 2: published = 'soon' is no time"),
        ("time,rate,published\n1722470400000,0,17224704\n", "line 2: a time of 8 digits"),
        (
            "time,rate,published\n1722470400000,0,\n1722499200000,0,1722470399999\n",
            "line 3: published before the last payment",
        ),
    ],
)
def test_a_schedule_that_can_not_be_is_refused_by_line(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "funding.csv"
    path.write_text(text)
    with pytest.raises(VenueError, match=re.escape(says)) as raised:
        read_funding(path)
    assert str(raised.value).startswith(str(path))
    assert "\n" not in str(raised.value)


def test_a_schedule_that_is_not_text_or_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VenueError, match="No such file"):
        read_funding(tmp_path / "none.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x80")
    with pytest.raises(VenueError, match="not text"):
        read_funding(tmp_path / "binary.csv")


def tier(volume: int, maker: str, taker: str) -> FeeTier:
    return FeeTier(volume_min=Decimal(volume), maker_fee_bps=Decimal(maker), taker_fee_bps=Decimal(taker))


# Binance USD-M's first three, as in its fee table (https://www.binance.com/en/fee/futureFee).
TIERS = [tier(0, "2", "5"), tier(15_000_000, "1.6", "4"), tier(50_000_000, "1.4", "3.5")]


@pytest.mark.parametrize(
    ("volume", "taker"),
    [("0", "5"), ("14999999.99", "5"), ("15000000", "4"), ("49999999.99", "4"), ("50000000", "3.5"), ("1e12", "3.5")],
)
def test_a_tier_begins_at_its_volume(volume: str, taker: str) -> None:
    check_tiers(TIERS)
    assert tier_at(TIERS, Decimal(volume)).taker_fee_bps == Decimal(taker)


def test_a_day_counts_from_the_next_one_on_and_for_thirty() -> None:
    day = 20_000
    volume = RollingVolume(Decimal(0), day * NS_PER_DAY + 5)
    volume.add(day * NS_PER_DAY + 6, Decimal(20_000_000))
    assert volume.at((day + 1) * NS_PER_DAY - 1) == 0  # the tier holds until 00:00 UTC
    assert volume.at((day + 1) * NS_PER_DAY) == 20_000_000
    assert volume.at((day + 30) * NS_PER_DAY) == 20_000_000
    assert volume.at((day + 31) * NS_PER_DAY) == 0


def test_what_was_traded_before_leaves_in_thirty_days() -> None:
    volume = RollingVolume(Decimal(30_000_000), 0)
    assert volume.at(0) == 30_000_000
    assert volume.at(NS_PER_DAY) == 29_000_000
    assert volume.at(29 * NS_PER_DAY) == 1_000_000
    assert volume.at(30 * NS_PER_DAY) == 0


@given(st.lists(st.tuples(st.integers(0, 70), st.integers(0, 10**9)), max_size=60))
def test_the_window_is_the_thirty_days_before(trades: list[tuple[int, int]]) -> None:
    volume = RollingVolume(Decimal(0), 0)
    for day, notional in sorted(trades):
        volume.add(day * NS_PER_DAY, Decimal(notional))
        assert volume.at(day * NS_PER_DAY) == sum(
            other for earlier, other in sorted(trades) if day - 30 <= earlier < day
        )


@pytest.mark.parametrize(
    ("tiers", "says"),
    [([], "0 fee tiers"), ([tier(1, "0", "0")], "must begin at 0"), ([tier(0, "0", "0")] * 2, "sort them")],
)
def test_tables_of_tiers_that_can_not_be(tiers: list[FeeTier], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        check_tiers(tiers)


def at(hour: int, minute: int, second: int = 0) -> int:
    return (hour * 3_600 + minute * 60 + second) * NS_PER_S


def test_interest_is_charged_by_the_hour_of_the_clock() -> None:
    assert hours_charged(at(13, 55), at(14, 30)) == 2  # Binance's example
    assert hours_charged(at(13, 20), at(14, 15)) == 2
    assert hours_charged(at(13, 20), at(13, 20)) == 1
    assert hours_charged(at(13, 0), at(13, 59, 59)) == 1
    assert hours_charged(at(13, 0), at(14, 0)) == 2
    with pytest.raises(ValueError, match="before it begins"):
        hours_charged(1, 0)
    assert interest_e9(1_000 * E9, Decimal("0.0002"), 2) == 16_666_667  # 0.01666667 USDT, the older example
    assert interest_e9(1_000 * E9, Decimal("0.00024"), 2) == 20_000_000  # 0.001 % an hour: 0.02 USDT
    assert at(1, 0) == NS_PER_HOUR


def bracket(value_min: int, initial: str, maintenance: str) -> MarginBracket:
    return MarginBracket(
        value_min=Decimal(value_min), initial_rate=Decimal(initial), maintenance_rate=Decimal(maintenance)
    )


# As they were when Binance computed its examples; the amounts are the page's: 50, 1,300, 16,300 and 15 ... 135,365.
BTC = [
    bracket(0, "0.008", "0.004"),
    bracket(50_000, "0.01", "0.005"),
    bracket(250_000, "0.02", "0.01"),
    bracket(1_000_000, "0.05", "0.025"),
    bracket(10_000_000, "0.1", "0.05"),
]
ETH = [
    bracket(0, "0.01", "0.005"),
    bracket(10_000, "0.0134", "0.0065"),
    bracket(100_000, "0.02", "0.01"),
    bracket(500_000, "0.04", "0.02"),
    bracket(1_000_000, "0.1", "0.05"),
    bracket(2_000_000, "0.2", "0.1"),
    bracket(5_000_000, "0.25", "0.125"),
]


def test_maintenance_amounts_are_the_venues() -> None:
    check_brackets(BTC)
    check_brackets(ETH)
    assert maintenance_amounts(BTC)[:4] == [0, 50, 1_300, 16_300]
    assert maintenance_amounts(ETH)[:6] == [0, 15, 365, 5_365, 35_365, 135_365]


def test_maintenance_margin_is_the_venues() -> None:
    assert bracket_maintenance(ETH, Decimal("4918775.081")) == Decimal("356512.5081")
    assert bracket_maintenance(BTC, Decimal("3500032.458")) == Decimal("71200.81145")
    assert bracket_initial(BTC, Decimal(500_000)) == 10_000
    assert bracket_maintenance(BTC, Decimal(0)) == 0


@given(st.integers(1, len(ETH) - 1))
def test_maintenance_margin_does_not_jump_between_brackets(place: int) -> None:
    bound, step = ETH[place].value_min, Decimal("1e-9")
    rise = bracket_maintenance(ETH, bound + step) - bracket_maintenance(ETH, bound)
    assert rise == step * ETH[place].maintenance_rate


def test_liquidation_prices_are_those_of_binances_example() -> None:
    """Two positions under cross margin, a wallet of 1,535,443.01 USDT; each one's margin and P&L count for the other.

    https://www.binance.com/en/support/faq/b3c689c1f50a44cabb3a84e663b81d93
    """
    wallet = Decimal("1535443.01")
    eth = liquidation_price(
        ETH,
        balance=wallet - Decimal("71200.81144") + Decimal("-56354.57"),
        size=Decimal("3683.979"),
        entry=Decimal("1456.84"),
        is_inverse=False,
    )
    btc = liquidation_price(
        BTC,
        balance=wallet - Decimal("356512.508") + Decimal("-448192.89"),
        size=Decimal("109.488"),
        entry=Decimal("32481.98"),
        is_inverse=False,
    )
    assert eth is not None
    assert btc is not None
    assert round(eth, 2) == Decimal("1153.26")
    assert round(btc, 2) == Decimal("26316.89")


@pytest.mark.parametrize(
    ("size", "entry", "balance", "is_inverse", "price"),
    [
        # 1 BTC long at 50,000 with 5,000: at p, 5,000 + p - 50,000 = p * 0.4 % (the first bracket ends at 50,000).
        ("1", "50000", "5000", False, "45180.722891566"),
        ("-1", "40000", "5000", False, "44820.717131474"),
        # 30,000 USD long at 30,000 with 0.1 BTC: 0.1 + 1 - 30,000 / p = 30,000 / p * 0.4 %.
        ("30000", "30000", "0.1", True, "27381.818181818"),
        ("-30000", "30000", "0.1", True, "33200.000000000"),
        ("1", "50000", "50000", False, None),  # paid in full: no price is too low
        ("-30000", "30000", "1", True, None),  # a short of 1 coin's worth, and the coin: no price is too high
        ("0", "50000", "5000", False, None),
    ],
)
def test_liquidation_prices_by_hand(size: str, entry: str, balance: str, is_inverse: bool, price: str | None) -> None:
    found = liquidation_price(BTC[:1], Decimal(balance), Decimal(size), Decimal(entry), is_inverse)
    assert (None if found is None else round(found, 9)) == (None if price is None else Decimal(price))


@given(
    size=st.integers(-10_000, 10_000).filter(bool),
    entry=st.integers(1_000, 100_000),
    share=st.integers(1, 90),
)
def test_at_the_liquidation_price_nothing_is_left_above_the_margin(size: int, entry: int, share: int) -> None:
    coins = Decimal(size) / 100
    balance = abs(coins) * entry * share / 100
    price = liquidation_price(BTC, balance, coins, Decimal(entry), is_inverse=False)
    if price is not None:
        left = balance + coins * (price - entry)
        assert abs(left - bracket_maintenance(BTC, abs(coins) * price)) < Decimal("1e-20")


def test_deribits_margin_grows_with_the_position() -> None:
    """https://support.deribit.com/hc/en-us/articles/25944756807069: 2 % + size * 0.005 %, and 1 % + that."""
    margin = SizeMargin(initial_base=Decimal("0.02"), maintenance_base=Decimal("0.01"), per_coin=Decimal("0.00005"))
    assert margin.initial(Decimal(25)) == Decimal("0.53125")
    assert margin.initial(Decimal(350)) == Decimal("13.125")
    assert margin.maintenance(Decimal(25)) == Decimal("0.28125")
    assert margin.initial(Decimal(0)) == 0


@pytest.mark.parametrize(
    ("brackets", "says"),
    [
        ([], "0 margin brackets"),
        ([bracket(1, "0.1", "0.05")], "must begin at 0"),
        ([bracket(0, "0.1", "0.2")], "does not hold"),
        ([bracket(0, "0.1", "0.05"), bracket(10, "0.1", "0.05")], "must grow"),
        ([bracket(0, "0.1", "0.05"), bracket(0, "0.1", "0.06")], "must grow"),
    ],
)
def test_tables_of_brackets_that_can_not_be(brackets: list[MarginBracket], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        check_brackets(brackets)


EXPIRY_NS = 1_727_424_000 * NS_PER_S  # 2024-09-27 08:00 UTC


def test_the_delivery_price_is_the_mean_of_the_last_half_hour() -> None:
    half = DELIVERY_WINDOW_NS // 2
    begin_ns = EXPIRY_NS - DELIVERY_WINDOW_NS
    times_ns = [begin_ns - 7, begin_ns + half, EXPIRY_NS]
    assert delivery_price_e9(times_ns, [60_000, 61_000, 99_999], EXPIRY_NS) == 60_500
    assert delivery_price_e9([begin_ns], [60_000], EXPIRY_NS) == 60_000
    assert delivery_price_e9([begin_ns + 1], [60_000], EXPIRY_NS) is None  # a part of the window has no price
    assert delivery_price_e9([], [], EXPIRY_NS) is None


def test_delivery_is_worth_what_the_position_is_at_that_price() -> None:
    price_e9 = 60_500 * E9
    assert delivery_value_e9(LINEAR, 2_000, price_e9) == 121_000 * E9
    assert delivery_value_e9(LINEAR, -2_000, price_e9) == -121_000 * E9
    # A fee on 2 BTC, of 0.05 %; on 121,000 USD, which are 2 BTC, of 0.025 %.
    assert delivery_fee_e9(LINEAR, -2_000, price_e9, Decimal("0.0005")) == int(Decimal("60.5") * E9)
    assert delivery_fee_e9(INVERSE, 1_210, price_e9, Decimal("0.00025")) == int(Decimal("0.0005") * E9)


@given(st.sampled_from([LINEAR, INVERSE]), st.integers(-(10**6), 10**6), st.integers(1, 10**7))
def test_at_a_tick_delivery_is_what_the_book_keeping_says(which: Instrument, lots: int, ticks: int) -> None:
    delivered = delivery_value_e9(which, lots, ticks * which.tick_e9)
    kept = position_value_e9(which, ticks, lots)
    assert delivered == kept if which is LINEAR else abs(delivered - kept) <= 1
    assert value_at(which, lots, ticks * which.tick_e9) * lots >= 0


def test_what_is_paid_in_small_parts_is_rounded_once() -> None:
    whole = Accrual(DERIBIT)
    whole.add_e9(7, 65_000 * E9, Decimal("0.0003"), 3_600 * NS_PER_S)
    parts = Accrual(DERIBIT)
    added = [parts.add_e9(7, 65_000 * E9, Decimal("0.0003"), NS_PER_S) for _ in range(3_600)]
    assert sum(added) == parts.owed_e9 == whole.owed_e9 == 41  # 70 / 65,000 * 0.0003 / 8 is 0.0000000403... BTC
    assert set(added) == {0, 1}
