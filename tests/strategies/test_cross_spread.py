"""The cross-spread signal: exact edges, sizes both legs can represent, opportunities and what blocks them."""

import json
import os
import random
import re
import subprocess
import sys
from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crosswire.nic.unit.compile import NO_JIT
from crosswire.strategies.cross_spread import CrossSpread
from crosswire.strategies.listing import cost_e9, rated_up_e9, sale_e9
from crosswire.strategies.opportunity import Blocked
from crosswire.testing import LEG_PARAMETERS, Harness, Sent, fill, inverse, linear, miss
from crosswire.venues.instrument import E9, Instrument, Payoff
from crosswire.venues.side import BUY, SELL
from tests.support.paths import ROOT

PARAMETERS = LEG_PARAMETERS | {"position_max": 10, "book_age_max_ms": 1_000}
MS = 1_000_000
BOTH_WAYS = pytest.mark.parametrize("in_lots", [1, 0])


def make(given: dict[str, Instrument] | None = None, **changes: Any) -> Harness:
    traded = given or {"a": linear(taker_fee_bps=1), "b": linear(taker_fee_bps=1)}
    return Harness(CrossSpread, PARAMETERS | {"instruments": list(traded)} | changes, traded)


def quote(harness: Harness, name: str, bid: Any, ask: Any, size: Any = 5) -> None:
    harness.set_book(name, bids=[(bid, size)], asks=[(ask, size)])


@st.composite
def instruments(draw: Any) -> Instrument:
    fee = Fraction(draw(st.integers(-200, 1000)), 100)
    if draw(st.booleans()):
        tick, lot = draw(st.sampled_from([("0.5", 10), ("0.1", 100), ("2.5", 1)]))
        return inverse(tick, lot, fee)
    tick, lot = draw(st.sampled_from([("0.01", "0.00001"), ("0.1", "0.001"), ("5", "0.1"), ("0.5", "0.02")]))
    return linear(tick, lot, fee)


@st.composite
def levels(draw: Any, instrument: Instrument, center: int, direction: int) -> list[tuple[Fraction, Fraction]]:
    """One to four levels from around `center` outwards, (price, size)."""
    tick, lot = Fraction(instrument.tick_e9, E9), Fraction(instrument.lot_e9, E9)
    coins = center if instrument.payoff == Payoff.INVERSE else 1  # a level holds up to three coins or so
    ticks = int((center + draw(st.integers(-60, 60))) / tick)
    out = []
    for _ in range(draw(st.integers(1, 4))):
        out.append((ticks * tick, draw(st.integers(1, max(1, int(3 * coins / lot)))) * lot))
        ticks += direction * draw(st.integers(1, 1 + int(10 / tick)))
    return out


def after_fee(instrument: Instrument, adjustment_bps: Fraction, side: int, price: Fraction) -> Fraction:
    """Exact money per unit of base in the common currency."""
    fee = Fraction(instrument.taker_fee_e9, E9)
    return price * (1 + adjustment_bps / 10_000) * (1 + fee if side == BUY else 1 - fee)


def coins(instrument: Instrument, order: Sent) -> Fraction:
    size = Fraction(order.qty_lots * instrument.lot_e9, E9)
    return size * E9 / (order.price_ticks * instrument.tick_e9) if instrument.payoff == Payoff.INVERSE else size


@settings(max_examples=80)
@given(st.data())
def test_edges_are_exact_and_sizes_fit_both_legs(data: st.DataObject) -> None:
    both = [data.draw(instruments(), name) for name in "ab"]
    threshold = Fraction(data.draw(st.integers(-500, 2000)), 100)
    adjustments = [Fraction(data.draw(st.integers(-2000, 2000)), 100) for _ in both]
    depth = data.draw(st.integers(1, 4))
    harness = make(
        dict(zip("ab", both, strict=True)),
        threshold_bps=str(float(threshold)),
        depth=depth,
        size_max=2,
        quote_adjustment_bps={name: str(float(bps)) for name, bps in zip("ab", adjustments, strict=True)},
    )
    center = data.draw(st.sampled_from([900, 30_000]))
    books = []
    for position, name in enumerate("ab"):
        bids = data.draw(levels(both[position], center, -1), f"bids {name}")
        step = Fraction(both[position].tick_e9, E9)
        asks = [
            (price + (bids[0][0] - min(price, bids[0][0])) + step, size)
            for price, size in data.draw(levels(both[position], center, +1), f"asks {name}")
        ]
        asks = list(dict(asks).items())
        books.append((bids, asks))
        harness.set_book(name, bids=bids, asks=asks)

    def edge_above_threshold(buy: int, sell: int, buy_price: Fraction, sell_price: Fraction) -> Fraction:
        cost = after_fee(both[buy], adjustments[buy], BUY, buy_price)
        least = threshold / 10_000 * buy_price * (1 + adjustments[buy] / 10_000)
        return after_fee(both[sell], adjustments[sell], SELL, sell_price) - cost - least

    if not harness.orders:
        for buy, sell in ((0, 1), (1, 0)):
            (ask, ask_size), (bid, bid_size) = min(books[buy][1]), max(books[sell][0])
            offered = min(coin_size(both[buy], ask, ask_size), coin_size(both[sell], bid, bid_size))
            lot = max(
                coin_size(both[leg], price, Fraction(both[leg].lot_e9, E9)) for leg, price in ((buy, ask), (sell, bid))
            )
            # Two lots can always be represented; the rates are rounded to 1e-9 of a price.
            assert offered < 2 * lot or edge_above_threshold(buy, sell, ask, bid) < Fraction(1, 1_000)
        return
    bought, sold = sorted(harness.orders[:2], key=lambda order: order.side)
    assert (bought.side, sold.side) == (BUY, SELL)
    buy, sell = bought.instrument, sold.instrument
    prices = [Fraction(order.price_ticks * both[order.instrument].tick_e9, E9) for order in (bought, sold)]
    assert edge_above_threshold(buy, sell, prices[0], prices[1]) >= 0
    assert bought.decision_ticks == bought.price_ticks
    asks_taken = sorted(level for level in books[buy][1] if level[0] <= prices[0])
    bids_taken = [level for level in books[sell][0] if level[0] >= prices[1]]
    assert len(asks_taken) <= depth
    assert len(bids_taken) <= depth
    sizes = [coins(both[buy], bought), coins(both[sell], sold)]
    lots = [Fraction(coins(both[order.instrument], order), order.qty_lots) for order in (bought, sold)]
    assert abs(sizes[0] - sizes[1]) <= min(lots) + Fraction(1, 10**8)  # less than a lot of the finer side
    assert max(sizes) <= 2 + Fraction(1, 10**8)
    for order, taken in ((bought, asks_taken), (sold, bids_taken)):
        instrument = both[order.instrument]
        # In coin: an order for an inverse book is in lots at its worst price, where as many coins are more lots than at
        # the prices of the levels before. One lot a level is the most that rounding finds.
        offered = sum(coin_size(instrument, price, size) for price, size in taken)
        lot = coin_size(instrument, min(price for price, _ in taken), Fraction(instrument.lot_e9, E9))
        assert coins(instrument, order) <= offered + len(taken) * lot


@given(
    st.integers(-(10**8), 10**8),
    st.decimals(-2000, 2000, places=7),
    st.decimals(-500, 500, places=5),
    st.integers(1, 10**7),
)
def test_rates_are_rounded_against_us(fee_e9: int, adjustment: Decimal, threshold: Decimal, ticks: int) -> None:
    instrument = linear()
    instrument.taker_fee_e9 = fee_e9
    harness = make({"a": instrument, "b": linear()}, threshold_bps=threshold, quote_adjustment_bps={"a": adjustment})
    strategy, listed = harness.strategy, harness.desk.instruments[0]
    price_e9 = ticks * listed.tick_e9
    sale = after_fee(listed, Fraction(adjustment), SELL, Fraction(price_e9))
    cost = after_fee(listed, Fraction(adjustment), BUY, Fraction(price_e9))
    hurdle = cost + price_e9 * (1 + Fraction(adjustment) / 10_000) * Fraction(threshold) / 10_000
    rounding = 2 + price_e9 // E9  # of the rate, then of the product
    assert 0 <= sale - sale_e9(strategy.legs.listings[0], listed, ticks) <= rounding
    assert 0 <= cost_e9(strategy.legs.listings[0], listed, ticks) - cost <= rounding
    # The rate that the threshold is part of has its unit rounded up to 1e-9 as well.
    assert 0 <= rated_up_e9(listed, ticks, strategy.open_rates_e9[0]) - hurdle <= rounding + 1 + price_e9 // E9


DERIVED = ("open_rates_e9", "close_rates_e9", "quick", "factors", "exposures")


@given(
    st.lists(st.decimals(-500, 500, places=5), min_size=2, max_size=2),
    st.one_of(st.none(), st.decimals(-500, 500, places=5)),
    st.sampled_from(["0.01", "0.1", "0.5", "1000"]),
    st.decimals(-2000, 2000, places=5),
)
def test_thresholds_that_are_changed_are_what_is_built_with_them(
    thresholds: list[Decimal], closing: Decimal | None, tick: str, adjustment: Decimal
) -> None:
    def made(threshold: Decimal, **others: Any) -> Harness:
        instruments = {"a": linear(tick=tick, lot=1), "b": linear()}
        harness = make(instruments, threshold_bps=threshold, quote_adjustment_bps={"a": adjustment}, **others)
        harness.strategy.legs.failed = 1  # no trade starts
        harness.set_book("a", bids=[(99_000, 1)], asks=[(100_000, 1)])
        harness.set_book("b", bids=[(99_000, 1)], asks=[(100_000, 1)])
        return harness

    first, wanted = thresholds
    changed, changes = made(first), {"threshold_bps": wanted}
    if closing is None:
        built = made(wanted)
    else:
        changes |= {"close_threshold_bps": closing, "speed_bump_margin": Decimal("2.5")}
        built = made(wanted, close_threshold_bps=min(wanted, closing), speed_bump_margin=Decimal("2.5"))
    changed.change_parameters(**changes)
    for name in DERIVED:
        assert bytes(getattr(changed.strategy, name)) == bytes(getattr(built.strategy, name))


@pytest.mark.parametrize("next_book", ["a", "b"])
def test_a_threshold_is_changed_while_it_trades(next_book: str) -> None:
    harness = make(threshold_bps=50)
    books = {"a": ([(999, 9)], [(1000, 1)]), "b": ([(1003, 1)], [(1010, 9)])}
    for name, (bids, asks) in books.items():
        harness.set_book(name, bids=bids, asks=asks)
    assert harness.orders == []
    harness.change_parameters(threshold_bps=5)
    assert harness.orders == []  # from the next book on
    bids, asks = books[next_book]
    harness.set_book(next_book, bids=bids, asks=asks)
    assert [order.side for order in harness.orders] == [BUY, SELL]
    with pytest.raises(ValueError, match="threshold_bps = 5001: must be -5000 to 5000 bps"):
        harness.change_parameters(threshold_bps=5001)
    with pytest.raises(ValueError, match="depth: can't be changed"):
        harness.change_parameters(depth=2)


def coin_size(instrument: Instrument, price: Fraction, size: Fraction) -> Fraction:
    return size / price if instrument.payoff == Payoff.INVERSE else size


def test_depth_is_walked_while_the_marginal_level_clears() -> None:
    harness = make(depth=3, size_max=2, threshold_bps=5)
    harness.set_book("a", bids=[(999, 9)], asks=[(1000, "0.3"), (1001, "0.4"), (1002, 9)])
    harness.set_book("b", bids=[(1003, "0.5"), ("1001.8", "0.1"), ("1001.6", 9)], asks=[(1010, 9)])
    # 1001 against 1003, then 1001.8, clear 7 bps of fees and threshold; 1001 against 1001.6 does not.
    assert [(order.price_ticks, order.qty_lots) for order in harness.orders] == [(10_010, 600), (10_018, 600)]


def test_slippage_widens_the_limits_and_not_the_decision() -> None:
    harness = make(slippage_ticks=3)
    quote(harness, "a", 999, 1000)
    quote(harness, "b", 1002, 1003)
    assert [(order.price_ticks, order.decision_ticks) for order in harness.orders] == [
        (10_003, 10_000),
        (10_017, 10_020),
    ]


@BOTH_WAYS
def test_an_opportunity_lasts_while_the_edge_does(in_lots: int) -> None:
    harness = make(cooldown_us=1_000_000)
    harness.strategy.even_pairs *= in_lots
    quote(harness, "a", 999, 1000)
    quote(harness, "b", 1002, 1003, size=2)
    start_ns = harness.desk.now_ns
    quote(harness, "b", 1004, 1005, size=3)
    quote(harness, "b", 1003, 1005, size=4)
    assert harness.opportunities == []
    quote(harness, "b", 1000, 1005)
    (row,) = harness.opportunities
    assert (row["start_ns"], row["end_ns"]) == (start_ns, harness.desk.now_ns)
    assert (row["buy_instrument"], row["sell_instrument"]) == (0, 1)
    assert row["first_edge_e9"] == (1002 - 1000) * E9 - (1000 + 1002) * E9 // 10_000
    assert row["peak_edge_e9"] == (1004 - 1000) * E9 - (1000 + 1004) * E9 // 10_000
    assert row["peak_size_e9"] == 3 * E9
    assert row["peak_value_e9"] == 3 * row["peak_edge_e9"]
    assert (row["attempts"], row["blocked_by"], row["captured_size_e9"]) == (1, Blocked.NONE, E9)


def test_captured_size_waits_for_the_trade() -> None:
    harness = make()
    harness.answers = [fill(300, after_ns=50_000), fill(300, after_ns=60_000)]
    quote(harness, "a", 999, 1000)
    quote(harness, "b", 1002, 1003)
    quote(harness, "b", 999, 1003)
    assert harness.opportunities == []
    end_ns = harness.desk.now_ns
    harness.advance(MS)
    (row,) = harness.opportunities
    assert (row["captured_size_e9"], row["attempts"], row["end_ns"]) == (300_000_000, 1, end_ns)


def test_a_lost_book_ends_its_opportunities_and_its_prices() -> None:
    harness = make()
    quote(harness, "a", 999, 1000)
    quote(harness, "b", 1002, 1003)
    harness.advance(MS)
    harness.lose_book("b")
    assert len(harness.opportunities) == 1
    orders = len(harness.orders)
    quote(harness, "a", 999, 1000)
    assert len(harness.orders) == orders
    harness.finish()
    assert len(harness.opportunities) == 1


@pytest.mark.parametrize("lost", [True, False])
def test_a_book_that_changed_in_the_same_packet_is_looked_at_as_it_is_now(lost: bool) -> None:
    harness = make()
    quote(harness, "a", 999, 1000)
    harness.change_book("a", bids=[(999, 1)], asks=[])
    if lost:
        harness.desk.books[0].valid = 0
    quote(harness, "b", 1002, 1003)
    assert harness.orders == []


def blocked(harness: Harness) -> list[int]:
    harness.finish()
    return [row["blocked_by"] for row in harness.opportunities]


def test_what_lies_on_a_stale_book_is_no_opportunity() -> None:
    harness = make()
    quote(harness, "a", 999, 1000)
    harness.advance(1_001 * MS)
    quote(harness, "b", 1002, 1003)
    assert (harness.orders, blocked(harness)) == ([], [])


@pytest.mark.parametrize("noticed_by", ["b", "a", "the end"])
def test_an_opportunity_ends_when_its_older_book_is_too_old_whenever_that_is_noticed(noticed_by: str) -> None:
    harness = make(cooldown_us=10_000_000)
    quote(harness, "a", 999, 1000)
    silent_ns = harness.desk.now_ns
    quote(harness, "b", 1002, 1003)
    harness.advance(500 * MS)
    quote(harness, "b", 1003, 1004)
    harness.advance(700 * MS)
    if noticed_by != "the end":
        # Of "b" a greater edge than ever, while the other has said nothing for too long; "a" itself goes on.
        quote(harness, noticed_by, *{"b": (1005, 1006), "a": (999, 1000)}[noticed_by])
    harness.finish()
    (first,) = harness.opportunities  # the same edge on the same books, whoever was silent meanwhile
    goes_on = noticed_by == "a"
    assert first["end_ns"] == (harness.desk.now_ns if goes_on else silent_ns + 1_000 * MS)
    assert (first["peak_buy_ticks"], first["peak_sell_ticks"]) == (10_000, 10_030)
    assert first["start_ns"] < first["peak_ns"] < first["end_ns"]
    assert harness.strategy.legs.opportunities.silenced == (0 if goes_on else 1)


@BOTH_WAYS
def test_blocked_by_no_size(in_lots: int) -> None:
    harness = make(size_min="0.5")
    harness.strategy.even_pairs *= in_lots
    quote(harness, "a", 999, 1000, size="0.499")
    quote(harness, "b", 1002, 1003)
    assert (harness.orders, blocked(harness)) == ([], [Blocked.NO_SIZE])


@BOTH_WAYS
def test_blocked_by_position(in_lots: int) -> None:
    harness = make(position_max="1.5", cooldown_us=0)
    harness.strategy.even_pairs *= in_lots
    for _ in range(3):
        quote(harness, "a", 999, 1000)
        quote(harness, "b", 1002, 1003)
        harness.advance(MS)
    assert (harness.position_lots("a"), harness.position_lots("b")) == (1500, -1500)
    quote(harness, "b", 999, 1003)
    quote(harness, "a", 999, 1000)
    quote(harness, "b", 1002, 1003)
    assert blocked(harness)[-1] == Blocked.POSITION


@pytest.mark.parametrize(
    ("changes", "after_ns", "reason"),
    [({"open_trades_max": 1}, 10 * MS, Blocked.IN_FLIGHT), ({"cooldown_us": 20_000}, 1, Blocked.COOLDOWN)],
)
def test_blocked_by_the_trade_before(changes: dict[str, int], after_ns: int, reason: Blocked) -> None:
    harness = make(**changes)
    harness.otherwise = fill(after_ns=after_ns)
    quote(harness, "a", 999, 1000)
    quote(harness, "b", 1002, 1003)
    quote(harness, "b", 999, 1003)
    quote(harness, "a", 999, 1000)
    quote(harness, "b", 1002, 1003)
    assert len(harness.orders) == 2
    harness.finish()
    assert reason in [row["blocked_by"] for row in harness.opportunities]


def test_size_on_offer_is_taken_once() -> None:
    harness = make(open_trades_max=9)
    harness.otherwise = fill(after_ns=10 * MS)
    quote(harness, "a", 999, 1000)
    quote(harness, "b", 1002, 1003)
    quote(harness, "b", 1002, 1003, size=7)  # a has not changed since its asks were taken
    assert len(harness.orders) == 2
    quote(harness, "a", 999, 1000)
    assert len(harness.orders) == 4
    harness.advance(20 * MS)
    assert [row["trade_id"] for row in harness.trades] == sorted({order.trade_id for order in harness.orders})


def test_reducing_positions_needs_less() -> None:
    harness = make(threshold_bps=10, close_threshold_bps=-5, size_max=1)
    quote(harness, "a", 999, 1000)
    quote(harness, "b", 1002, 1003)
    harness.advance(MS)
    assert (harness.position_lots("a"), harness.position_lots("b")) == (1000, -1000)
    quote(harness, "a", "1000.0", "1000.5")
    quote(harness, "b", "999.5", "1000.1")  # buying b at 1000.1 and selling a at 1000.0: -3 bps after fees
    assert [(order.name, order.side) for order in harness.orders[2:]] == [("b", BUY), ("a", SELL)]
    harness.advance(MS)
    assert (harness.position_lots("a"), harness.position_lots("b")) == (0, 0)
    quote(harness, "a", "1000.0", "1000.5")
    quote(harness, "b", "999.5", "1000.1")
    assert len(harness.orders) == 4  # and no further than flat
    harness.finish()
    assert len(harness.opportunities) == 1  # below threshold_bps it is none


def test_quote_currencies_are_adjusted() -> None:
    harness = make(quote_adjustment_bps={"b": -30})
    quote(harness, "a", 999, 1000)
    quote(harness, "b", 1002, 1003)
    assert harness.orders == []
    quote(harness, "b", 1004, 1005)
    assert len(harness.orders) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"instruments": ["a"]}, "instruments: 2 to 8 are needed, not 1"),
        ({"instruments": ["a", "a"]}, "instruments: one is named twice"),
        ({"instruments": ["a", "x"]}, "no instrument 'x'; configured are a, b"),
        ({"close_threshold_bps": 2}, "close_threshold_bps = 2 is above threshold_bps = 1"),
        ({"size_max": 0}, "size_max = 0: must be above 0 base coin"),
        ({"size_max": 11}, "position_max = 10 is below size_max = 11"),
        ({"size_min": 2}, "size_min = 2 is above size_max = 1"),
        ({"depth": 0}, "depth = 0: must be 1 to 1000 levels"),
        ({"retries": -1}, "retries = -1: must be 0 or more orders"),
        ({"give_up_ms": 1}, "retry_window_us = 20000 is longer than give_up_ms = 1"),
        ({"threshold_bps": 6000}, "threshold_bps = 6000: must be -5000 to 5000 bps"),
        ({"quote_adjustment_bps": {"x": 1}}, "quote_adjustment_bps: 'x' is not among the instruments"),
    ],
)
def test_contradictions_are_refused_in_one_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        make(**changes)


def test_different_underlyings_are_refused() -> None:
    other = linear()
    other.underlying = 1
    with pytest.raises(ValueError, match=r"^instruments: b and a have different underlyings$"):
        make({"a": linear(), "b": other})


def test_unknown_parameters_are_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="treshold_bps"):
        make(treshold_bps=1)


def random_run() -> dict[str, Any]:
    """A seeded market of three instruments, with every kind of answer."""
    dice = random.Random(5)
    mix = {"a": linear(taker_fee_bps=1), "b": inverse("0.1", 100, 1), "c": linear("0.01", "0.00001", 1)}
    harness = Harness(
        CrossSpread,
        PARAMETERS
        | {"instruments": list(mix), "depth": 3, "retry_window_us": 500, "give_up_ms": 60, "open_trades_max": 2},
        mix,
        compiled=True,
    )
    harness.decide = lambda _sent: dice.choice(
        [fill(after_ns=dice.randrange(90_000)), fill(dice.randrange(900)), miss()]
    )
    for _ in range(150):
        name = dice.choice("aabbbcc")
        if dice.random() < 0.03:
            harness.lose_book(name)
            continue
        unit = 30_000 if name == "b" else 1
        bid = Fraction(dice.randrange(299_500, 300_500), 10)
        sizes = [dice.randrange(1, 9) * unit for _ in range(6)]
        harness.set_book(
            name,
            bids=[(bid - step, size) for step, size in enumerate(sizes[:3])],
            asks=[(bid + 1 + step, size) for step, size in enumerate(sizes[3:])],
        )
        harness.advance(dice.randrange(20_000))
    harness.advance(200 * MS)
    harness.finish()
    orders = [(order.name, order.side, order.price_ticks, order.qty_lots, order.sent_ns) for order in harness.orders]
    return {"orders": orders, "trades": harness.trades, "opportunities": harness.opportunities}


@pytest.mark.parity
def test_compiled_and_plain_runs_are_the_same() -> None:
    """The other world runs in a process of its own."""
    code = "import json; from tests.strategies.test_cross_spread import random_run; print(json.dumps(random_run()))"
    environment = {**os.environ, "CROSSWIRE_NO_JIT": "0" if NO_JIT else "1"}
    other = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    here = json.loads(json.dumps(random_run()))
    assert len(here["trades"]) > 10
    assert json.loads(other.stdout) == here


def held(**changes: Any) -> Harness:
    """Two listings without fees; `a` is at a venue that holds takers for 10 ms."""
    traded = {"a": linear(taker_fee_bps=0), "b": linear(taker_fee_bps=0)}
    traded["a"].speed_bump_ns = 10 * MS
    return make(traded, **changes)


def wander(harness: Harness, move: Any) -> None:
    """A price at the held venue that moves by so much every 10 ms, for two seconds, the other far from any edge."""
    quote(harness, "b", 900, 1100)
    for step in range(200):
        harness.advance(10 * MS)
        up = Fraction(move) if step % 2 else Fraction(0)
        quote(harness, "a", 1000 + up, 1001 + up)
    assert not harness.orders


@pytest.mark.parametrize(
    ("move", "margin", "edge_bps", "trades"),
    [
        (0, 1, 2, True),  # a price that stands still costs nothing
        (1, 1, 9, False),  # the mean move is 10 bps
        (1, 1, 12, True),
        (1, 2, 19, False),
        (1, 2, 22, True),
        (1, 0, 2, True),  # asked for: the delay is free
    ],
)
def test_a_leg_with_a_speed_bump_must_earn_the_mean_move_of_its_delay(
    move: int, margin: int, edge_bps: int, trades: bool
) -> None:
    harness = held(speed_bump_margin=margin)
    wander(harness, move)
    ask = Fraction(1002)
    quote(harness, "a", 1001, ask)
    quote(harness, "b", Fraction(round(ask * (1 + Fraction(edge_bps, 10_000)) * 10), 10), 1100)
    assert bool(harness.orders) == trades


def test_what_is_bought_at_a_held_venue_may_take_its_delay_to_be_retried() -> None:
    harness = held(retries=3, retry_window_us=5_000, give_up_ms=100)
    legs = harness.strategy.legs
    assert legs.retry_window_ns == 35 * MS
    assert legs.give_up_ns == 130 * MS


@pytest.mark.parametrize("margin", ["-0.1", "10.5"])
def test_a_margin_out_of_range_is_refused(margin: str) -> None:
    with pytest.raises(ValueError, match=f"^speed_bump_margin = {margin}: must be 0 to 10 mean moves$"):
        held(speed_bump_margin=margin)
