"""Cycles: judged as by fractions, sized within everything, and even in the end whatever becomes of their orders."""

from fractions import Fraction
from itertools import combinations
from math import prod
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crosswire.risk.gate import InstrumentLimits
from crosswire.risk.records import LEGS_MAX, unpack_legs
from crosswire.strategies.currency_graph import make_edges, simple_cycles
from crosswire.strategies.cycle_parameters import CyclesParameters
from crosswire.strategies.cycles import CYCLES_MAX, Cycles, blocked_by, clears, rate_of
from crosswire.strategies.desk import REQUESTS_MAX
from crosswire.strategies.interface import BuildContext, make_strategy
from crosswire.strategies.listing import LISTINGS_MAX
from crosswire.strategies.opportunity import Blocked
from crosswire.strategies.trades import Outcome
from crosswire.testing import Answer, Harness, check_properties, fill, inverse, linear, miss, reject, veto
from crosswire.venues.instrument import E9, Instrument, Kind
from crosswire.venues.side import BUY, SELL
from tests.support.cycle_setup import HELD, MS, PARAMETERS, balances, close_edge, make, open_edge, triangle

Ticks = dict[tuple[str, int], int]


def sent(harness: Harness) -> list[tuple[str, int, int, int]]:
    return [(order.name, order.side, order.price_ticks, order.qty_lots) for order in harness.orders]


def moved(harness: Harness) -> list[int]:
    """Lots that each position has changed by."""
    return [harness.position_lots(name) - HELD[name] for name in HELD]


# The judgement.


def product_of(harness: Harness, number: int, ticks: Ticks) -> Fraction:
    """What a unit of money becomes on a cycle, from the instruments' own terms."""
    cycle = harness.strategy.cycles[number]
    rates = []
    for place in range(cycle.count):
        leg = cycle.legs[place]
        name = harness.names[harness.strategy.legs.listings[leg.listing].instrument]
        instrument = harness.desk.instruments[harness.index(name)]
        fee = Fraction(instrument.taker_fee_e9, E9)
        price = Fraction(ticks[name, leg.side] * instrument.tick_e9, E9)
        rates.append(1 / (price * (1 + fee)) if leg.side == BUY else price * (1 - fee))
    return prod(rates, start=Fraction(1))


near = st.integers(-150, 150)
moves = st.lists(st.tuples(st.sampled_from(sorted(HELD)), near, st.integers(1, 3)), min_size=3, max_size=12)
MIDDLE = {"btc": 600_000, "eth": 300_000, "ratio": 50_000}


@settings(max_examples=60, deadline=None)
@given(moves, st.sampled_from(["-4.5", "0", "1", "0.00001", "7"]))
def test_cycles_are_judged_as_fractions_judge_them_after_any_changes(
    changes: list[tuple[str, int, int]], threshold_bps: str
) -> None:
    """The bound decides nothing wrongly, and what is added up change by change is what is added up anew."""
    harness = make(threshold_bps=threshold_bps, size_max={"USDT": "1e-9", "BTC": "1e-9", "ETH": "1e-9"})
    strategy = harness.strategy
    ticks: Ticks = {}
    for name, off, spread in changes:
        bid_ticks = MIDDLE[name] + off * MIDDLE[name] // 100_000
        ticks[name, SELL], ticks[name, BUY] = bid_ticks, bid_ticks + spread
        harness.set_book_ticks(name, [(bid_ticks, 1)], [(bid_ticks + spread, 1)])
    threshold = 1 + Fraction(threshold_bps) / 10_000
    for number in range(strategy.count):
        cycle, judged = strategy.cycles[number], strategy.judged[number]
        rates = [strategy.rates[rate_of(leg.listing, leg.side)] for leg in list(cycle.legs)[: cycle.count]]
        assert judged.log == sum(rate.log for rate in rates)
        assert judged.closed == sum(rate.ticks == 0 for rate in rates)
        if judged.closed == 0:
            exact = product_of(harness, number, ticks)
            assert clears(strategy, number) == (exact >= threshold)
            if judged.log >= judged.surely_from:
                assert exact >= threshold
            if judged.log < judged.surely_below:
                assert exact < threshold


def test_at_the_threshold_itself_the_product_decides() -> None:
    """Without fees 60,000 * 0.05 is 3,000 to the tick: a threshold of 0 is met, and a tick less misses it."""
    harness = Harness(Cycles, PARAMETERS | {"threshold_bps": 0}, triangle(taker_fee_bps=0))
    harness.set_book("btc", bids=[("59999.9", 1)], asks=[(60_000, 1)])
    harness.set_book("ratio", bids=[("0.049999", 1)], asks=[("0.05", 1)])
    harness.set_book("eth", bids=[(3_000, 1)], asks=[("3000.01", 1)])
    judged = harness.strategy.judged[0]
    assert judged.surely_below <= judged.log < judged.surely_from
    assert clears(harness.strategy, 0)
    harness.set_book("eth", bids=[("2999.99", 1)], asks=[("3000.01", 1)])
    assert not clears(harness.strategy, 0)


def test_a_lost_book_ends_what_it_is_part_of() -> None:
    harness = make()
    open_edge(harness)
    harness.lose_book("ratio")
    (row,) = harness.opportunities
    assert row["attempts"] == 1
    open_edge(harness)
    assert len(harness.orders) == 6


# Sizes.


def test_all_legs_go_out_at_once_in_lots_that_fit_each_other() -> None:
    harness = make()
    open_edge(harness)
    # 2 ETH cost 0.10001 BTC with the fee, for which 0.10001 BTC are bought.
    assert sent(harness) == [
        ("btc", BUY, 600_000, 10_001),
        ("ratio", BUY, 50_000, 2_000),
        ("eth", SELL, 300_300, 20_000),
    ]
    assert len({order.sent_ns for order in harness.orders}) == 1
    harness.advance(MS)
    (trade,) = harness.trades
    assert (trade["outcome"], trade["unhedged_ns"]) == (Outcome.COMPLETE, 0)
    changes = balances(harness)
    assert (changes["BTC"], changes["ETH"]) == (0, 0)
    assert trade["traded_value_e9"] == trade["expected_value_e9"] == changes["USDT"] * E9 > 0


def test_a_trade_and_its_opportunity_name_every_leg() -> None:
    harness = make()
    open_edge(harness)
    harness.advance(MS)
    close_edge(harness)
    (trade,), (row,) = harness.trades, harness.opportunities
    for record in (trade, row):
        assert unpack_legs(record["legs"]) == [(0, BUY), (2, BUY), (1, SELL)]
        assert (record["buy_instrument"], record["sell_instrument"]) == (0, 1)
        assert (record["first_buy_ticks"], record["first_sell_ticks"]) == (600_000, 300_300)
    assert (trade["bought_size_e9"], trade["sold_size_e9"]) == (100_010_000, 2 * E9)
    # Money that a bitcoin earns: what its price with the fee becomes, less that.
    cost = Fraction(60_000) * (1 + Fraction(1, 10_000))
    exact = cost * (product_of(harness, 0, {("btc", BUY): 600_000, ("ratio", BUY): 50_000, ("eth", SELL): 300_300}) - 1)
    assert exact * E9 - 8 * cost - 1 < row["peak_edge_e9"] <= exact * E9
    assert (row["peak_size_e9"], row["captured_size_e9"]) == (100_010_000, 100_010_000)


LOTS = st.integers(1, 400_000)


@settings(max_examples=80, deadline=None)
@given(st.tuples(LOTS, LOTS, LOTS), st.tuples(LOTS, LOTS, LOTS), st.data())
def test_no_size_is_beyond_a_book_a_limit_or_what_is_held(
    shown: tuple[int, ...], held: tuple[int, ...], data: st.DataObject
) -> None:
    carried = {1: data.draw(st.integers(-150_000_000, 150_000_000)), 2: data.draw(st.integers(-3 * E9, 3 * E9))}
    limits = [
        InstrumentLimits(
            order_lots_max=data.draw(LOTS),
            order_notional_max_e9=data.draw(st.integers(E9, 20_000 * E9)),
            position_lots_max=data.draw(st.integers(200_000, 800_000)),
            short_lots_max=data.draw(st.integers(0, 100_000)),
        )
        for _ in HELD
    ]
    harness = make(size_max={"USDT": 12_000, "BTC": "0.2", "ETH": "3.5"})
    given_parameters = msgspec.convert(
        PARAMETERS | {"size_max": {"USDT": 12_000, "BTC": "0.2", "ETH": "3.5"}}, CyclesParameters, strict=False
    )
    names = {name: index for index, name in enumerate(HELD)}
    context = BuildContext(list(harness.desk.instruments)[:3], names, limits=limits)
    harness.strategy = make_strategy(Cycles, given_parameters, context)
    for number, amount in carried.items():
        harness.strategy.working.means.currencies[number].carry_e9 = amount
    for name, lots in zip(HELD, held, strict=True):
        harness.desk.positions[harness.index(name)].position_lots = lots
    btc, eth, ratio = shown
    harness.set_book_ticks("btc", [(599_999, 1)], [(600_000, btc)])
    harness.set_book_ticks("ratio", [(49_999, 1)], [(50_000, ratio)])
    harness.set_book_ticks("eth", [(300_300, eth)], [(300_310, 1)])
    if not harness.orders:
        return
    lots = {order.name: order.qty_lots for order in harness.orders}
    assert len(lots) == 3
    for index, (name, most) in enumerate(zip(HELD, shown, strict=True)):
        assert 0 < lots[name] <= min(most, limits[index].order_lots_max)
    assert held[0] + lots["btc"] <= min(limits[0].position_lots_max, 200_000)
    assert held[2] + lots["ratio"] <= min(limits[2].position_lots_max, 40_000)
    assert lots["eth"] <= held[1] + limits[1].short_lots_max
    assert max(lots["btc"] * 6_000, lots["eth"] * 3_003) <= 12_000 * 10_000
    assert (lots["btc"] <= 20_000, lots["eth"] <= 35_000, lots["ratio"] <= 3_500) == (True, True, True)
    assert Fraction(lots["eth"] * 300_300, 10**6) <= Fraction(limits[1].order_notional_max_e9, E9)
    # What a leg spends the one before has brought, but for what was carried, of which it uses half of that at most; and
    # less than a lot of the one before is left.
    spent = Fraction(lots["ratio"] * 50_000, 10**9) * (1 + Fraction(1, 10_000))
    steps = [
        (Fraction(lots["btc"], 100_000), spent, Fraction(1, 100_000)),
        (Fraction(lots["ratio"], 1_000), Fraction(lots["eth"], 10_000), Fraction(1, 1_000)),
    ]
    for (brought, used, lot), amount in zip(steps, carried.values(), strict=True):
        taken = max(-used / 2, min(used / 2, Fraction(amount, E9)))
        assert -Fraction(2, E9) < brought + taken - used < lot + Fraction(2, E9)


def test_nothing_is_sold_that_is_not_held() -> None:
    harness = make()
    harness.desk.positions[1].position_lots = 0
    open_edge(harness)
    close_edge(harness)
    assert harness.orders == []
    assert harness.opportunities[0]["blocked_by"] == Blocked.POSITION


def test_what_is_left_of_a_currency_is_used_by_the_next_trade() -> None:
    harness = make()
    currencies = harness.strategy.working.means.currencies
    currencies[1].carry_e9 = 50_000_000  # 0.05 BTC, half of what 2 ETH cost
    open_edge(harness)
    assert sent(harness)[0] == ("btc", BUY, 600_000, 5_001)
    assert currencies[1].carry_e9 == 0
    harness.advance(MS)
    assert currencies[1].carry_e9 == balances(harness)["BTC"] * E9 + 50_000_000 == 0


def test_too_much_that_is_left_stops_new_trades() -> None:
    harness = make()
    harness.strategy.working.means.currencies[2].carry_e9 = -5 * E9 - 1
    open_edge(harness)
    close_edge(harness)
    assert (harness.orders, harness.opportunities[0]["blocked_by"]) == ([], Blocked.POSITION)


# Working the legs.


def test_a_missing_leg_is_retried_at_its_current_price() -> None:
    harness = make()
    harness.answers = [fill(after_ns=MS // 2), miss(), fill()]
    open_edge(harness)
    harness.change_book("ratio", bids=[("0.050002", 10)], asks=[("0.050003", 10)])
    harness.advance(MS)
    assert sent(harness)[3:] == [("ratio", BUY, 50_003, 2_000)]
    (trade,) = harness.trades
    assert (trade["outcome"], trade["retries"]) == (Outcome.RETRIED, 1)
    # 3 ticks on 2 ETH, in BTC, are so much money at the prices decided on.
    lost = Fraction(3, 10**6) * 2 * Fraction(10_001, 10_000)
    assert trade["miss_cost_e9"] == pytest.approx(float(lost * 20 * 3_003 * E9), rel=2e-3)
    assert balances(harness)["BTC"] == -lost
    assert abs(harness.strategy.working.means.currencies[1].carry_e9 + lost * E9) < 2


def test_legs_are_traded_back_when_one_can_not_be_had() -> None:
    harness = make()
    harness.answers = [fill(), fill(), miss(after_ns=5_000)]
    open_edge(harness)
    close_edge(harness)  # 10 bps worse
    harness.strategy.legs.loss_max_e9 = 0
    harness.advance(MS)
    assert sent(harness)[3:] == [("btc", SELL, 599_994, 10_001), ("ratio", SELL, 49_994, 2_000)]
    (trade,) = harness.trades
    assert (trade["outcome"], moved(harness)) == (Outcome.UNWOUND, [0, 0, 0])
    changes = balances(harness)
    assert changes["ETH"] == 0
    assert harness.strategy.working.means.currencies[1].carry_e9 == pytest.approx(float(changes["BTC"] * E9), abs=3)
    assert trade["bought_size_e9"] == trade["sold_size_e9"] == 0


def test_what_all_legs_have_filled_in_part_stays() -> None:
    harness = make(retries=0)
    harness.answers = [fill(), fill(500), fill()]
    open_edge(harness)
    harness.advance(20 * MS)
    # A quarter of all: the rest is traded back.
    assert moved(harness) == [2_500, -5_000, 500]
    assert harness.trades[0]["outcome"] == Outcome.UNWOUND


def test_equal_parts_are_complete() -> None:
    harness = make()
    harness.answers = [fill(5_001), fill(1_000), fill(10_000)]
    open_edge(harness)
    harness.advance(MS)
    assert (len(harness.orders), harness.trades[0]["outcome"]) == (3, Outcome.COMPLETE)
    harness.set_book("eth", bids=[(3_003, 1)], asks=[("3003.1", 2)])
    assert len(harness.orders) == 3  # what the other books offered has been taken


@pytest.mark.parametrize("missed", [miss(), reject(), veto()])
def test_nothing_filled_is_missed(missed: Answer) -> None:
    harness = make()
    harness.otherwise = missed
    open_edge(harness)
    harness.advance(MS)
    (trade,) = harness.trades
    assert (trade["outcome"], trade["traded_value_e9"], len(harness.orders)) == (Outcome.MISSED, 0, 3)


def test_what_can_not_be_traded_back_in_time_is_an_alarm_and_stops_new_trades() -> None:
    harness = make()
    harness.answers = [fill(), miss(), miss()]
    harness.otherwise = miss()
    open_edge(harness)
    harness.advance(101 * MS)
    assert harness.strategy.counters()["strategy: alarms"] == 1
    assert harness.strategy.counters()["strategy: failed trades not flat"] == 1
    count = len(harness.orders)
    close_edge(harness)
    open_edge(harness)
    assert len(harness.orders) == count
    harness.otherwise = fill()
    harness.advance(101 * MS)
    assert moved(harness) == [0, 0, 0]
    assert harness.trades[-1]["outcome"] == Outcome.FAILED
    assert harness.strategy.counters()["strategy: failed trades not flat"] == 0
    open_edge(harness)
    assert len(harness.orders) == count + 4


def test_a_trade_that_the_run_ends_in_is_written() -> None:
    harness = make()
    harness.answers = [fill(), fill(after_ns=MS), fill(after_ns=MS)]
    open_edge(harness)
    harness.advance(10)
    harness.finish()
    assert harness.trades[0]["outcome"] == Outcome.UNFINISHED


answers = st.one_of(
    st.builds(fill, st.none() | st.integers(1, 25_000), st.none(), st.integers(0, 30 * MS)),
    st.builds(miss, st.integers(0, 30 * MS)),
    st.builds(reject, st.integers(0, 30 * MS)),
    st.just(veto()),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(answers, max_size=20))
def test_whatever_becomes_of_orders_all_is_even_in_the_end(given_answers: list[Answer]) -> None:
    """The harness's own account: positions in the planned parts to the lot, and currencies that add up."""
    harness = make()
    harness.answers = list(given_answers)
    open_edge(harness)
    planned = {order.name: order.qty_lots for order in harness.orders}
    for _ in range(15):
        harness.advance(110 * MS)
        close_edge(harness)
    assert len(harness.trades) == 1
    parts = [Fraction(abs(lots), planned[name]) for name, lots in zip(HELD, moved(harness), strict=True)]
    sizes = [planned[name] for name in HELD]
    assert any(
        all(
            abs(part - of_all) * lots <= Fraction(1, 2) + Fraction(1, 1_000)
            for part, lots in zip(parts, sizes, strict=True)
        )
        for of_all in parts
    )
    changes, currencies = balances(harness), harness.strategy.working.means.currencies
    for number, name in ((1, "BTC"), (2, "ETH")):
        assert abs(currencies[number].carry_e9 - changes[name] * E9) <= len(harness.orders) * 2
    assert [harness.strategy.working.means.in_flight[listing] for listing in range(3)] == [0, 0, 0]


# Two instruments, derivatives, and what can't be.


def test_two_venues_perpetuals_are_a_cycle_of_two() -> None:
    parameters = PARAMETERS | {
        "instruments": ["a", "b"],
        "derivatives": True,
        "one_currency": ["USDT", "USD"],
        "size_max": {"USDT": 60_000, "BTC": 1},
        "position_max": {"BTC": 1},
    }
    harness = Harness(Cycles, parameters, {"a": linear(taker_fee_bps=1), "b": inverse(taker_fee_bps=1)})
    harness.set_book("a", bids=[(59_990, 1)], asks=[(60_000, "0.5")])
    harness.set_book("b", bids=[(60_060, 12_000)], asks=[(60_070, 10)])
    assert sent(harness) == [("a", BUY, 600_000, 200), ("b", SELL, 120_120, 1_200)]
    harness.advance(MS)
    harness.set_book("b", bids=[(59_990, 10)], asks=[(60_070, 10)])
    (trade,), (row,) = harness.trades, harness.opportunities
    assert (trade["outcome"], trade["legs"], row["legs"]) == (Outcome.COMPLETE, 0, 0)
    assert (row["buy_instrument"], row["sell_instrument"]) == (0, 1)


@pytest.mark.parametrize(
    ("changes", "instruments", "said"),
    [
        ({}, {"a": linear(), "b": linear()}, "a is no spot: it moves no currency unless derivatives = true"),
        ({}, {"a": linear(kind=Kind.OPTION), "b": linear()}, "a is no spot"),
        ({"legs_max": 2}, triangle(), "no cycle of up to legs_max = 2 legs"),
        ({"one_currency": ["USDT", "BTC"]}, triangle(), "btc exchanges two currencies of one_currency, USDT, BTC"),
        ({"size_max": {"USDT": 1, "BTC": 1}}, triangle(), "size_max of ETH is missing"),
        ({"size_max": {"USDT": 1, "BTC": 1, "ETH": 1, "SOL": 1}}, triangle(), "size_max: SOL is not among"),
        ({"position_max": {"BTC": 1}}, triangle(), "position_max of ETH is missing"),
        ({"position_max": {"BTC": "0.1", "ETH": 40}}, triangle(), "position_max of BTC = 0.1 is below size_max of BTC"),
        ({"instruments": ["btc"]}, triangle(), "instruments: 2 to 8 are needed, not 1"),
        ({"threshold_bps": "0.12345678901234567891"}, triangle(), "threshold_bps: .* has too many digits"),
    ],
)
def test_what_can_not_be_is_one_line(changes: dict[str, Any], instruments: dict[str, Instrument], said: str) -> None:
    parameters = PARAMETERS | {"instruments": list(instruments)} | changes
    with pytest.raises(ValueError, match=said) as caught:
        Harness(Cycles, parameters, instruments)
    assert "\n" not in str(caught.value)


def test_as_many_instruments_as_there_may_be_have_room_for_all_their_cycles() -> None:
    books = {f"v{number}": linear(kind=Kind.SPOT) for number in range(LISTINGS_MAX)}
    sizes: dict[str, Any] = {"size_max": {"USDT": 1, "BTC": 1}, "position_max": {"BTC": 1}}
    assert Harness(Cycles, PARAMETERS | sizes | {"instruments": list(books)}, books).strategy.count == CYCLES_MAX


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(list(combinations(range(5), 2))), min_size=LISTINGS_MAX, max_size=LISTINGS_MAX))
def test_no_graph_of_so_many_instruments_has_more_cycles(graph: list[tuple[int, int]]) -> None:
    assert len(list(simple_cycles(make_edges(graph), LEGS_MAX))) <= CYCLES_MAX


def test_a_cycle_waits_for_room_among_the_turns_requests() -> None:
    harness = make()
    for name, price in (("btc", 60_000), ("ratio", "0.05"), ("eth", 3_000)):
        harness.change_book(name, bids=[], asks=[(price, 1)])
    strategy, desk = harness.strategy, harness.desk
    desk.request_count = REQUESTS_MAX - 2
    assert blocked_by(strategy, desk, strategy.cycles[0], desk.now_ns) == Blocked.NO_REQUEST


def test_what_must_hold_of_cycles_does() -> None:
    books = {
        "btc": linear(tick=1, lot="0.001", taker_fee_bps=0, base="BTC", quote="USDT"),
        "eth": linear(tick="0.1", lot="0.01", taker_fee_bps=0, base="ETH", quote="USDT"),
        "ratio": linear(tick="0.00001", lot="0.01", taker_fee_bps=0, base="ETH", quote="BTC"),
    }
    limits: dict[str, Any] = {"size_max": {"USDT": 500, "BTC": "0.04", "ETH": "0.4"}}
    limits["position_max"] = {"BTC": "0.05", "ETH": "0.5"}
    parameters = PARAMETERS | limits | {"derivatives": True, "threshold_bps": -20, "book_age_max_ms": 60_000}
    most = {"btc": "0.05", "eth": "0.5", "ratio": "0.5"}
    check_properties(Cycles, parameters, books, position_max=most, examples=60)
