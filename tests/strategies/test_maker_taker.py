"""Maker-taker: where it quotes, when it goes, and that every fill is hedged, against sums in exact fractions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import ceil, floor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crosswire.strategies.desk import AMEND_ORDER, CANCEL_ORDER
from crosswire.strategies.maker_taker import MakerTaker
from crosswire.strategies.trades import Outcome, TradeState
from crosswire.testing import (
    Answer,
    Harness,
    Sent,
    accept,
    check_properties,
    fill,
    ignore,
    inverse,
    linear,
    miss,
    refuse,
    reject,
    rest,
    veto,
)
from crosswire.venues.instrument import E9, Instrument, Payoff
from crosswire.venues.order import IOC, POST_ONLY
from crosswire.venues.side import BUY, SELL

PARAMETERS: dict[str, Any] = {
    "quoted": "q",
    "hedges": ["h"],
    "edge_min_bps": 5,
    "edge_keep_bps": 2,
    "requote_us": 0,
    "size_max": 1,
    "position_max": 10,
    "unwind_loss_max_bps": 50,
    "retries": 1,
    "retry_window_us": 1_000,
    "unwind_ticks": 5,
    "unwind_interval_ms": 10,
    "give_up_ms": 100,
    "book_age_max_ms": 1_000,
}
MS = 1_000_000
# A coin's size is rounded to 1e-9 at each level: so much may a price be off, in ticks, coins or bps.
SLACK = Fraction(1, 100_000)
SLACK_BPS = Fraction(1, 10_000)
BPS = Fraction(1, 10_000)


def make(instruments: dict[str, Instrument] | None = None, **changes: Any) -> Harness:
    """Quotes "q" without fees and hedges at "h" for 1 bp, or as given."""
    instruments = instruments or {"q": linear(), "h": linear(taker_fee_bps=1)}
    hedges = [name for name in instruments if name != "q"]
    return Harness(MakerTaker, PARAMETERS | {"hedges": hedges} | changes, instruments)


def open_market(harness: Harness, bid: Any = "100.0", ask: Any = "100.1", size: Any = 5) -> None:
    """A wide book where it quotes, and a narrow one to hedge at."""
    harness.set_book("q", bids=[("99.0", 5)], asks=[("101.0", 5)])
    harness.set_book("h", bids=[(bid, size)], asks=[(ask, size)])


def quoting(**changes: Any) -> Harness:
    """Both quotes rest: a bid at 99.9, an ask at 100.2."""
    harness = make(**changes)
    open_market(harness)
    harness.advance(1_000)
    assert prices(harness) == {BUY: 999, SELL: 1002}
    return harness


def only(harness: Harness, side: int) -> Sent:
    (sent,) = [each for each in harness.resting("q") if each.side == side]
    return sent


def prices(harness: Harness) -> dict[int, int]:
    """What rests at "q", in ticks."""
    return {sent.side: int(sent.order.price_ticks) for sent in harness.resting("q")}


def but_for(name: str) -> Callable[[Sent], Answer]:
    """Hedges are filled, but for those at one instrument; quotes rest."""

    def decide(sent: Sent) -> Answer:
        if sent.time_in_force == POST_ONLY:
            return rest()
        return miss() if sent.name == name else fill()

    return decide


def hedges(harness: Harness) -> list[tuple[str, int, int]]:
    return [(sent.name, sent.side, sent.qty_lots) for sent in harness.orders if sent.time_in_force == IOC]


# What a quote earns, in fractions.


@dataclass
class Case:
    """A quoted instrument, one to hedge at with the levels of one side, and what is asked of the edge."""

    quoted: Instrument
    hedge: Instrument
    levels: Sequence[tuple[int, int]]  # ticks and lots, the best first
    depth: int

    def base(self, instrument: Instrument, ticks: int, lots: int) -> Fraction:
        size = Fraction(lots * instrument.lot_e9, E9)
        return size / self.price(instrument, ticks) if instrument.payoff == Payoff.INVERSE else size

    @staticmethod
    def price(instrument: Instrument, ticks: int) -> Fraction:
        return Fraction(ticks * instrument.tick_e9, E9)

    def hedge_value(self, size: Fraction) -> Fraction | None:
        """What `size` brings or costs before fees, None if the levels have less."""
        value = Fraction(0)
        for ticks, lots in self.levels[: self.depth]:
            part = min(size, self.base(self.hedge, ticks, lots))
            value += part * self.price(self.hedge, ticks)
            size -= part
        return value if size <= Fraction(1, E9) * len(self.levels) else None

    def limit(self, side: int, size: Fraction, edge_bps: int) -> Fraction:
        """The price at which a fill of `size` earns just that."""
        there = self.hedge_value(size)
        assert there is not None
        maker, taker = Fraction(self.quoted.maker_fee_e9, E9), Fraction(self.hedge.taker_fee_e9, E9)
        if side == BUY:
            return there / size * (1 - taker) / (1 + maker + edge_bps * BPS)
        return there / size * (1 + taker + edge_bps * BPS) / (1 - maker)

    def edge_bps(self, side: int, ticks: int, lots: int) -> Fraction | None:
        """What a fill of a quote earns, hedged at once, in bps of what is bought; None: it can't be hedged."""
        size = self.base(self.quoted, ticks, lots)
        there = self.hedge_value(size)
        if there is None:
            return None
        here = size * self.price(self.quoted, ticks)
        maker, taker = Fraction(self.quoted.maker_fee_e9, E9), Fraction(self.hedge.taker_fee_e9, E9)
        if side == BUY:
            return (there * (1 - taker) - here * (1 + maker)) / here / BPS
        return (here * (1 - maker) - there * (1 + taker)) / there / BPS


INSTRUMENTS = st.builds(
    lambda is_inverse, tick, maker, taker: (
        inverse(tick, 10, taker, maker) if is_inverse else linear(tick, "0.01", taker, maker_fee_bps=maker)
    ),
    st.booleans(),
    st.sampled_from(["0.1", "0.5"]),
    st.sampled_from([-1, 0, 2]),
    st.sampled_from([0, "1.7", 5]),
)


@settings(max_examples=100)
@given(
    quoted=INSTRUMENTS,
    hedge=INSTRUMENTS,
    side=st.sampled_from([BUY, SELL]),
    best=st.integers(900, 1_100),
    levels=st.lists(st.tuples(st.integers(1, 6), st.integers(1, 300)), min_size=1, max_size=4),
    depth=st.integers(1, 4),
    edge=st.integers(-3, 12),
)
def test_it_quotes_the_best_price_that_earns_its_edge_and_never_through_it(
    quoted: Instrument,
    hedge: Instrument,
    side: int,
    best: int,
    levels: list[tuple[int, int]],
    depth: int,
    edge: int,
) -> None:
    harness = make({"q": quoted, "h": hedge}, edge_min_bps=edge, edge_keep_bps=edge, depth=depth)
    away = -1 if side == BUY else 1
    ticks, book = best * int(E9 // hedge.tick_e9), []
    for apart, lots in levels:
        book.append((ticks, lots))
        ticks += away * apart
    # Nothing that could be taken where it quotes; only one side to hedge at.
    harness.set_book_ticks("q", [(1, 1)] if side == BUY else [], [] if side == BUY else [(1 << 20, 1)])
    harness.set_book_ticks("h", *((book, []) if side == BUY else ([], book)))
    case = Case(quoted, hedge, book, depth)
    whole = min(Fraction(1), sum(case.base(hedge, *level) for level in book[:depth]))
    exact_ticks = case.limit(side, whole, edge) / case.price(quoted, 1)
    to_whole = floor if side == BUY else ceil
    # A limit that is a whole tick, or nearly, may be computed to lie just beyond it.
    expected_ticks = sorted(to_whole(exact_ticks + slack) for slack in (-SLACK, SLACK))
    if not harness.orders:
        # Only what is too little for one lot is not quoted.
        assert whole < max(case.base(quoted, ticks, 1) for ticks in expected_ticks) + SLACK
        return
    (sent,) = harness.orders
    assert (sent.name, sent.side, sent.time_in_force) == ("q", side, POST_ONLY)
    assert expected_ticks[0] <= sent.price_ticks <= expected_ticks[1]
    assert case.base(quoted, sent.price_ticks, sent.qty_lots) <= whole + SLACK
    assert case.base(quoted, sent.price_ticks, sent.qty_lots + 1) > whole - SLACK
    # And of the order itself, whatever was computed on the way, and of each part of it that may be filled.
    for lots in {1, sent.qty_lots // 2, sent.qty_lots} - {0}:
        earned = case.edge_bps(side, sent.price_ticks, lots)
        assert earned is not None
        assert earned >= edge - SLACK_BPS


# When it goes.


@pytest.mark.parametrize(("bid", "is_kept"), [("99.96", True), ("99.93", True), ("99.92", False)])
def test_a_quote_stays_while_it_earns_enough_to_keep_it_and_goes_in_the_turn_in_which_it_does_not(
    bid: str, is_kept: bool
) -> None:
    """Bought at 99.9, sold at a bid less 1 bp: 2 bps are left at 99.93."""
    harness = quoting(instruments={"q": linear(), "h": linear(tick="0.01", taker_fee_bps=1)})
    harness.set_book("h", bids=[(bid, 5)], asks=[("100.1", 5)])
    told = [(change.kind, change.sent.side, change.asked_ns) for change in harness.changes]
    assert told == ([] if is_kept else [(CANCEL_ORDER, BUY, harness.desk.now_ns)])


def test_an_ask_goes_as_a_bid_does() -> None:
    harness = quoting()
    harness.set_book("h", bids=[("100.0", 5)], asks=[("100.2", 5)])
    assert [(change.kind, change.sent.side) for change in harness.changes] == [(CANCEL_ORDER, SELL)]
    harness.advance(1_000)
    assert prices(harness)[SELL] == 1003


def test_a_quote_that_cannot_be_cancelled_yet_is_with_its_first_answer() -> None:
    harness = make()
    harness.otherwise_resting = rest(after_ns=5 * MS)
    open_market(harness)
    harness.set_book("h", bids=[("99.0", 5)], asks=[("100.1", 5)])
    assert harness.changes == []
    harness.advance(5 * MS)
    assert [(change.kind, change.sent.side) for change in harness.changes] == [(CANCEL_ORDER, BUY)]


def test_a_place_in_the_queue_is_not_given_up_for_a_price_that_is_no_better() -> None:
    harness = quoting(edge_keep_bps=-100)
    harness.set_book("h", bids=[("99.7", 5)], asks=[("100.3", 5)])
    assert harness.changes == []
    assert prices(harness) == {BUY: 999, SELL: 1002}


@pytest.mark.parametrize(("requote_ticks", "moves"), [(2, True), (3, False)])
def test_it_is_given_up_for_a_price_that_is_better_by_enough(requote_ticks: int, moves: bool) -> None:
    harness = quoting(requote_ticks=requote_ticks)
    harness.set_book("h", bids=[("100.2", 5)], asks=[("100.3", 5)])
    assert [(change.kind, change.sent.side, change.price_ticks, change.qty_lots) for change in harness.changes][:1] == (
        [(AMEND_ORDER, BUY, 1001, 1_000)] if moves else [(CANCEL_ORDER, SELL, 0, 0)]
    )
    harness.advance(1_000)
    assert prices(harness)[BUY] == (1001 if moves else 999)


def test_a_price_is_asked_for_no_more_often_than_allowed() -> None:
    harness = make(requote_us=500)
    open_market(harness)
    for tenths in range(1, 20):
        harness.set_book("h", bids=[(100 + Fraction(tenths, 10), 5)], asks=[("104.0", 5)])
        harness.advance(50_000)
    times = [sent.sent_ns for sent in harness.orders if sent.side == BUY]
    times += [change.asked_ns for change in harness.changes if change.kind == AMEND_ORDER and change.sent.side == BUY]
    times.sort()
    assert len(times) >= 2
    assert all(later - earlier >= 500_000 for earlier, later in pairwise(times))
    harness.advance(MS)
    assert prices(harness)[BUY] == 1009  # the ask of its own book less a tick: the timer has seen to it


@pytest.mark.parametrize("lost", ["q", "h"])
def test_both_quotes_go_when_a_book_is_lost_and_come_back_with_it(lost: str) -> None:
    harness = quoting()
    harness.lose_book(lost)
    assert [change.kind for change in harness.changes] == [CANCEL_ORDER, CANCEL_ORDER]
    assert {change.asked_ns for change in harness.changes} == {harness.desk.now_ns}
    harness.advance(2_000 * MS)
    assert harness.resting("q") == []
    open_market(harness)
    harness.advance(1_000)
    assert prices(harness) == {BUY: 999, SELL: 1002}


@pytest.mark.parametrize("silent", ["q", "h"])
def test_both_quotes_go_when_a_book_has_been_silent_for_too_long(silent: str) -> None:
    harness = quoting()
    other = {"q": "h", "h": "q"}[silent]
    for _ in range(3):
        harness.advance(300 * MS)
        if other == "h":
            harness.set_book("h", bids=[("100.0", 5)], asks=[("100.1", 5)])
        else:
            harness.set_book("q", bids=[("99.0", 5)], asks=[("101.0", 5)])
    assert harness.changes == []
    harness.advance(99 * MS)
    assert harness.changes == []
    harness.advance(2 * MS)
    assert [change.kind for change in harness.changes] == [CANCEL_ORDER, CANCEL_ORDER]
    assert harness.strategy.counters()["strategy: quotes cancelled, book lost or old"] == 2


def test_a_quote_goes_when_the_hedge_offers_less_than_its_size() -> None:
    harness = quoting()
    harness.set_book("h", bids=[("100.0", "0.4")], asks=[("100.1", 5)])
    assert [(change.kind, change.sent.side) for change in harness.changes] == [(CANCEL_ORDER, BUY)]
    harness.advance(1_000)
    assert only(harness, BUY).qty_lots == 400


def test_it_takes_nothing_of_the_book_that_it_quotes() -> None:
    harness = make()
    harness.set_book("q", bids=[("100.5", 5)], asks=[("100.6", 5)])
    harness.set_book("h", bids=[("102.0", 5)], asks=[("102.1", 5)])
    assert [(sent.side, sent.price_ticks) for sent in harness.orders] == [(BUY, 1005), (SELL, 1022)]


def test_its_own_quotes_never_meet() -> None:
    """With a negative edge the bid may be dearer than the ask."""
    harness = make(edge_min_bps=-30, edge_keep_bps=-40)
    harness.set_book("q", bids=[("90.0", 5)], asks=[("110.0", 5)])
    harness.set_book("h", bids=[("100.0", 5)], asks=[("100.1", 5)])
    assert [sent.side for sent in harness.orders] == [BUY]


# What may not be known.


def test_without_an_answer_nothing_is_quoted_until_it_comes() -> None:
    harness = make(answer_max_ms=10)
    harness.answers = [ignore(), rest()]
    open_market(harness)
    harness.advance(11 * MS)
    # The bid is not heard of: the ask goes.
    assert [(change.kind, change.sent.side) for change in harness.changes] == [(CANCEL_ORDER, SELL)]
    open_market(harness)
    harness.advance(100 * MS)
    assert harness.resting("q") == []
    assert len(harness.orders) == 2
    assert harness.strategy.counters()["strategy: quotes without an answer in time"] == 1


def test_a_cancel_without_an_answer_stops_the_other_side_too() -> None:
    harness = quoting(answer_max_ms=10)
    harness.changes_answers = [ignore()]
    harness.set_book("h", bids=[("99.0", 5)], asks=[("100.1", 5)])
    harness.advance(11 * MS)
    assert [(change.kind, change.sent.side) for change in harness.changes] == [
        (CANCEL_ORDER, BUY),
        (CANCEL_ORDER, SELL),
    ]
    harness.fill(only(harness, BUY))
    # That it was filled is an answer: what was bought is sold, and both sides are quoted again.
    assert hedges(harness) == [("h", SELL, 1_000)]
    harness.advance(1_000)
    open_market(harness)
    harness.advance(1_000)
    assert prices(harness) == {BUY: 999, SELL: 1002}


def test_a_cancel_that_is_refused_is_asked_for_again() -> None:
    harness = quoting()
    harness.changes_answers = [refuse(), accept()]
    harness.set_book("h", bids=[("99.0", 5)], asks=[("100.1", 5)])
    harness.advance(1_000)
    assert [(change.kind, change.sent.side) for change in harness.changes] == [(CANCEL_ORDER, BUY)] * 2
    assert harness.strategy.counters()["strategy: cancels of quotes refused"] == 1


@pytest.mark.parametrize("answer", [refuse(), veto()])
def test_where_amends_are_refused_a_quote_is_cancelled_and_placed_anew(answer: Answer) -> None:
    harness = quoting()
    harness.changes_answers = [answer]
    harness.set_book("h", bids=[("100.2", 5)], asks=[("100.3", 5)])
    harness.advance(10_000)
    kinds = [change.kind for change in harness.changes if change.sent.side == BUY]
    assert kinds == [AMEND_ORDER, CANCEL_ORDER]
    assert prices(harness) == {BUY: 1001, SELL: 1004}


@pytest.mark.parametrize("answer", [reject(), veto(), miss()])
def test_a_refused_quote_is_not_asked_for_again_at_once(answer: Answer) -> None:
    harness = make()
    harness.answers = [answer, rest()]
    open_market(harness)
    for _ in range(9):
        harness.advance(10 * MS)
        open_market(harness)
    assert [sent.side for sent in harness.orders] == [BUY, SELL]
    harness.advance(20 * MS)
    assert [sent.side for sent in harness.orders] == [BUY, SELL, BUY]


# What becomes of fills.


def test_a_fill_is_hedged_in_the_same_turn() -> None:
    harness = quoting()
    harness.fill(only(harness, BUY), lots=400)
    assert [(sent.name, sent.side, sent.qty_lots, sent.price_ticks) for sent in harness.orders[2:]] == [
        ("h", SELL, 400, 1000)
    ]
    assert harness.orders[2].sent_ns == harness.desk.now_ns
    assert harness.orders[2].trade_id == harness.orders[0].trade_id
    harness.advance(1_000)
    (trade,) = harness.trades
    assert (trade["outcome"], trade["buy_instrument"], trade["sell_instrument"]) == (Outcome.COMPLETE, 0, 1)
    assert (trade["bought_size_e9"], trade["sold_size_e9"]) == (4 * E9 // 10, 4 * E9 // 10)
    # 0.4 coins sold at 100.0 for 1 bp, bought at 99.9.
    assert trade["traded_value_e9"] == trade["expected_value_e9"] == 36 * E9 // 1_000
    # The rest of it keeps its place, and is hedged as it is filled.
    harness.fill(only(harness, BUY))
    assert hedges(harness) == [("h", SELL, 400), ("h", SELL, 600)]
    harness.advance(1_000)
    assert len({trade["trade_id"] for trade in harness.trades}) == len(harness.trades) == 2
    assert harness.orders[-1].trade_id == harness.trades[1]["trade_id"]


def test_fills_of_one_quote_while_its_hedge_is_out_are_one_trade() -> None:
    harness = quoting()
    harness.otherwise = fill(after_ns=MS)
    for lots in (100, 200, 300):
        harness.fill(only(harness, SELL), lots)
    assert hedges(harness) == [("h", BUY, 100), ("h", BUY, 200), ("h", BUY, 300)]
    harness.advance(2 * MS)
    (trade,) = harness.trades
    assert (trade["outcome"], trade["sold_size_e9"], trade["bought_size_e9"]) == (
        Outcome.COMPLETE, 6 * E9 // 10, 6 * E9 // 10,
    )  # fmt: skip
    assert harness.position_lots("q") == -harness.position_lots("h") == -600


def test_what_is_less_than_a_lot_of_the_hedge_is_carried_into_the_next() -> None:
    harness = make({"q": linear(), "h": linear(lot="0.01", taker_fee_bps=1)})
    open_market(harness)
    harness.advance(1_000)
    for lots in (4, 4, 4, 4):
        harness.fill(only(harness, BUY), lots)
        harness.advance(1_000)
    # 4, 8: one lot of ten; 12 - 10, 6: another.
    assert hedges(harness) == [("h", SELL, 1), ("h", SELL, 1)]
    assert harness.strategy.legs.carry_e9 == -4 * E9 // 1_000
    assert harness.strategy.counters()["strategy: fills of quotes too small to hedge, carried"] == 2
    assert {trade["outcome"] for trade in harness.trades} == {Outcome.COMPLETE}


def test_a_hedge_that_misses_is_retried_and_nothing_is_quoted_meanwhile() -> None:
    harness = quoting()
    harness.answers = [miss(), fill(after_ns=MS)]
    harness.fill(only(harness, BUY), lots=400)
    harness.advance(10)
    assert hedges(harness) == [("h", SELL, 400)] * 2
    harness.advance(1_000)
    assert harness.resting("q") == []
    harness.advance(MS)
    assert [trade["outcome"] for trade in harness.trades] == [Outcome.RETRIED]
    open_market(harness)
    harness.advance(1_000)
    assert prices(harness) == {BUY: 999, SELL: 1002}


def test_what_cannot_be_hedged_is_traded_back_where_it_was_quoted() -> None:
    harness = quoting()
    harness.decide = but_for("h")
    harness.fill(only(harness, BUY))
    harness.advance(5 * MS)
    assert hedges(harness) == [("h", SELL, 1_000), ("h", SELL, 1_000), ("q", SELL, 1_000)]
    assert harness.position_lots("q") == 0
    assert [trade["outcome"] for trade in harness.trades] == [Outcome.UNWOUND]


def test_with_another_hedge_it_is_hedged_there() -> None:
    instruments = {"q": linear(), "h": linear(taker_fee_bps=1), "g": linear(taker_fee_bps=1)}
    harness = make(instruments)
    harness.set_book("g", bids=[("99.9", 5)], asks=[("100.2", 5)])
    open_market(harness)
    harness.advance(1_000)
    harness.decide = but_for("h")
    harness.fill(only(harness, BUY))
    harness.advance(5 * MS)
    assert hedges(harness) == [("h", SELL, 1_000), ("h", SELL, 1_000), ("g", SELL, 1_000)]
    assert [trade["outcome"] for trade in harness.trades] == [Outcome.HEDGED]


def test_a_fill_without_any_book_to_hedge_at_is_traded_back_at_once() -> None:
    harness = quoting()
    harness.changes_otherwise = ignore()
    harness.lose_book("h")
    harness.fill(only(harness, BUY))
    assert hedges(harness) == [("q", SELL, 1_000)]


def test_what_is_not_flat_in_time_is_an_alarm_and_nothing_is_quoted() -> None:
    harness = quoting()
    harness.otherwise = miss()
    harness.fill(only(harness, BUY))
    harness.advance(101 * MS)
    counters = harness.strategy.counters()
    assert (counters["strategy: alarms"], counters["strategy: failed trades not flat"]) == (1, 1)
    open_market(harness)
    harness.advance(1_000)
    assert harness.resting("q") == []


def test_the_best_of_several_hedges_is_quoted_on_and_used() -> None:
    instruments = {"q": linear(), "h": linear(taker_fee_bps=1), "g": inverse(tick="0.1", lot=1, taker_fee_bps=0)}
    harness = make(instruments)
    harness.set_book("g", bids=[("100.0", 500)], asks=[("100.2", 500)])
    open_market(harness)
    harness.advance(1_000)
    # The bid on "g", which has no fee, the ask on "h".
    harness.fill(only(harness, BUY))
    harness.fill(only(harness, SELL))
    assert hedges(harness) == [("g", SELL, 100), ("h", BUY, 1_000)]


# What may be held.


def test_only_what_both_legs_have_room_for_is_quoted() -> None:
    harness = make(position_max="2.5")
    harness.desk.positions[0].position_lots = -2_300
    harness.desk.positions[1].position_lots = 2_300
    open_market(harness)
    assert [(sent.side, sent.qty_lots) for sent in harness.orders] == [(BUY, 1_000), (SELL, 200)]
    harness = make(position_max="2.5")
    harness.desk.positions[1].position_lots = 2_300
    open_market(harness)
    assert [(sent.side, sent.qty_lots) for sent in harness.orders] == [(BUY, 1_000), (SELL, 200)]


def test_what_is_carried_takes_room_of_the_next_hedge() -> None:
    harness = make({"q": linear(), "h": linear(lot="0.01", taker_fee_bps=1)}, position_max=1)
    harness.desk.positions[1].position_lots = -99
    harness.strategy.legs.carry_e9 = 4 * E9 // 1_000
    open_market(harness)
    assert [(sent.side, sent.qty_lots) for sent in harness.orders] == [(BUY, 6), (SELL, 1_000)]


def test_a_speed_bump_at_the_hedge_costs_what_prices_move_in_it() -> None:
    held = linear(taker_fee_bps=1)
    held.speed_bump_ns = MS
    harness = make({"q": linear(), "h": held}, speed_bump_margin=2)
    harness.set_book("q", bids=[("90.0", 5)], asks=[("110.0", 5)])
    for place in range(40):
        middle = 100 + place % 2
        harness.set_book("h", bids=[(middle, 5)], asks=[(middle + 1, 5)])
        harness.advance(MS)
    harness.set_book("h", bids=[("100.0", 5)], asks=[("101.0", 5)])
    harness.advance(MS)
    # 1 in 100.5 and back: 99.5 bps on average, twice.
    assert only(harness, BUY).order.price_ticks == floor(1000 * Fraction(9_999, 10_000) / (1 + (5 + 2 * 99) * BPS))


@st.composite
def fills_of_quotes(draw: Any) -> list[tuple[int, int]]:
    return draw(st.lists(st.tuples(st.sampled_from([BUY, SELL]), st.integers(1, 1_000)), min_size=1, max_size=12))


@settings(max_examples=25)
@given(fills=fills_of_quotes(), lot=st.sampled_from(["0.001", "0.007"]), is_late=st.booleans())
def test_every_fill_is_hedged_within_its_turn_to_the_lot(fills: list[tuple[int, int]], lot: str, is_late: bool) -> None:
    hedge = linear(lot=lot, taker_fee_bps=1)
    harness = make({"q": linear(), "h": hedge}, position_max=3, cooldown_us=0)
    harness.otherwise = fill(after_ns=MS if is_late else 0)
    lot_lots = hedge.lot_e9 * 1_000 // E9
    most = 1  # trades in flight: each may leave its own part of a lot, and the next trade takes all of it over
    for side, lots in fills:
        size = Fraction(50 * hedge.lot_e9, E9) * 20
        harness.set_book("q", bids=[("99.0", 5)], asks=[("101.0", 5)])
        harness.set_book("h", bids=[("100.0", size)], asks=[("100.1", size)])
        harness.advance(1_000)
        for sent in [each for each in harness.resting("q") if each.side == side]:
            harness.fill(sent, min(lots, sent.qty_lots - sent.filled_lots))
            held = harness.desk.positions[1]
            hedged = (held.position_lots + held.open_buy_lots - held.open_sell_lots) * lot_lots
            # At once, orders that are out counted: of each trade no more is open than it may leave, and of the carry.
            in_flight = sum(trade.state != TradeState.FREE for trade in harness.strategy.legs.trades)
            most = max(most, in_flight)
            assert abs(harness.position_lots("q") + hedged) <= Fraction(lot_lots * 5, 8) * (most + 1)
        assert abs(harness.position_lots("q")) <= 3_000
    harness.advance(10 * MS)
    assert harness.strategy.legs.alarms == 0
    assert abs(harness.position_lots("q") + harness.position_lots("h") * lot_lots) <= Fraction(lot_lots * 5, 8) * most


def test_what_must_hold_of_every_strategy_does() -> None:
    parameters = PARAMETERS | {"edge_min_bps": -20, "edge_keep_bps": -30, "position_max": "0.05", "size_max": "0.02"}
    limits = {"q": "0.05"}
    check_properties(MakerTaker, parameters, {"q": linear(), "h": linear(tick="0.2")}, position_max=limits, examples=60)
    check_properties(MakerTaker, parameters, {"q": linear(), "h": inverse(tick="0.1")}, examples=20)


# What is told.


def test_the_queue_ahead_is_a_series() -> None:
    harness = make()
    harness.set_book("q", bids=[("99.9", 3)], asks=[("101.0", 5)])
    harness.set_book("h", bids=[("100.0", 5)], asks=[("100.1", 5)])
    harness.advance(20 * MS)
    ahead = harness.strategy.quotes[BUY]
    assert ahead.ahead_lots == 3_000
    harness.trade("q", SELL, "99.9", 1_000)
    assert ahead.ahead_lots == 2_000
    harness.advance(20 * MS)
    harness.set_book("q", bids=[("99.9", "0.5")], asks=[("101.0", 5)])
    assert ahead.ahead_lots == 500
    harness.advance(20 * MS)
    harness.trade("q", SELL, "99.8", 1)
    assert ahead.ahead_lots == 0
    assert harness.strategy.series()[BUY] == "queue ahead of the bid, lots"
    assert [row["value_e9"] // E9 for row in harness.values if row["series"] == BUY] == [2_000, 500, 0]


def test_an_opportunity_is_a_span_in_which_joining_the_best_price_pays() -> None:
    harness = make()
    harness.set_book("q", bids=[("99.9", 5)], asks=[("101.0", 5)])
    harness.set_book("h", bids=[("100.0", 5)], asks=[("100.1", 5)])
    start_ns = harness.desk.now_ns
    harness.fill(harness.resting("q")[0] if harness.resting("q") else _acknowledged(harness, BUY))
    harness.set_book("h", bids=[("99.0", 5)], asks=[("100.1", 5)])
    harness.advance(1_000)
    (row,) = [each for each in harness.opportunities if each["buy_instrument"] == 0]
    assert (row["start_ns"], row["first_buy_ticks"], row["first_sell_ticks"]) == (start_ns, 999, 1000)
    assert row["captured_size_e9"] == E9
    # 100.0 less 1 bp, less 99.9.
    assert row["peak_edge_e9"] == 9 * E9 // 100


def _acknowledged(harness: Harness, side: int) -> Sent:
    harness.advance(10)
    return only(harness, side)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"edge_keep_bps": 6}, "edge_keep_bps = 6 is above edge_min_bps = 5"),
        ({"hedges": []}, "2 to 8 are needed"),
        ({"hedges": ["q"]}, "one is named twice"),
        ({"requote_ticks": 0}, "requote_ticks = 0: must be 1"),
        ({"quoted": "x"}, "no instrument 'x'"),
    ],
)
def test_parameters_that_contradict_are_refused_in_one_line(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make(**changes)
