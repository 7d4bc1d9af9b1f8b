"""Matching of our orders against a replayed book, against a plain-Python model of the same market rules."""

import gzip
import json
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.venues.book.book import invalidate_book, set_level
from crosswire.venues.exchange.matching import (
    RESTING_MAX,
    Executions,
    Matching,
    OrderRequest,
    largest_qty_lots,
    match_cancel,
    match_cancel_all,
    match_new,
    on_market,
    set_matching,
)
from crosswire.venues.instrument import Kind, Payoff
from crosswire.venues.market import BOOK_CHANGED, BOOK_LOST, TRADE, Events, Market, add_event
from crosswire.venues.order import RejectReason, ReportKind, TimeInForce
from crosswire.venues.side import ASK, BID, BUY, SELL
from tests.support.order_setup import MAKER_FEE_E9, TAKER_FEE_E9, VENUE, make_market, structs
from tests.support.paths import recording

IOC, FOK, GTC, POST_ONLY = TimeInForce
ACK, FILL, CANCELLED, REJECTED, CANCEL_REJECTED, *_ = ReportKind
NOW_NS = 1_700_000_000_000_000_000


def new_order(
    client_order_id: int, side: int, time_in_force: int, price_ticks: int, qty_lots: int, instrument: int = 0
) -> OrderRequest:
    return OrderRequest(
        client_order_id=client_order_id,
        instrument=instrument,
        side=side,
        time_in_force=time_in_force,
        price_ticks=price_ticks,
        qty_lots=qty_lots,
    )


class World:
    """One instrument, one venue, one user."""

    def __init__(self, per_second: int = 1_000_000, burst: int = 1_000_000, resting_max: int = RESTING_MAX) -> None:
        self.market = make_market()
        self.book = self.market.books[0]
        self.matching = Matching()
        set_matching(self.matching, VENUE, per_second, burst, resting_max)
        self.executions = Executions()
        self.last_id = 0
        self.now_ns = NOW_NS

    def level(self, side: int, price_ticks: int, qty_lots: int) -> None:
        assert set_level(self.book, side, price_ticks, qty_lots)

    def take_out(self) -> list[tuple[int, ...]]:
        """What was said since the last time: (kind, price, lots, leaves) of a fill, (kind, leaves or reason) else."""
        said: list[tuple[int, ...]] = []
        for report in structs(self.executions.items, self.executions.count):
            assert report["venue"] == VENUE
            if report["kind"] == FILL:
                said.append((FILL, report["price_ticks"], report["qty_lots"], report["leaves_lots"]))
            elif report["kind"] in (REJECTED, CANCEL_REJECTED):
                said.append((report["kind"], report["reason"]))
            else:
                said.append((report["kind"], report["leaves_lots"]))
        self.executions.count = 0
        return said

    def order(
        self, side: int, time_in_force: int, price_ticks: int, qty_lots: int, instrument: int = 0, now_ns: int = NOW_NS
    ) -> list[tuple[int, ...]]:
        self.last_id += 1
        request = new_order(self.last_id, side, time_in_force, price_ticks, qty_lots, instrument)
        match_new(self.matching, self.market, request, now_ns, self.executions)
        return self.take_out()

    def cancel(self, client_order_id: int) -> list[tuple[int, ...]]:
        match_cancel(self.matching, client_order_id, NOW_NS, self.executions)
        return self.take_out()

    def see(self, *events: tuple[int, ...]) -> list[tuple[int, ...]]:
        """One packet, later than the last: (BOOK_CHANGED,) or (TRADE, aggressor, price, lots)."""
        self.now_ns += 1
        packet = Events()
        for kind, *values in events:
            event = add_event(packet, kind, 0, self.now_ns)
            if kind == TRADE:
                event.side, event.price_ticks, event.qty_lots = values
        on_market(self.matching, self.market, packet, self.now_ns, self.executions)
        return self.take_out()


@pytest.fixture
def world() -> World:
    """Asks 101: 5, 102: 3, 105: 10; bids 99: 4, 98: 6."""
    world = World()
    for side, price_ticks, qty_lots in ((ASK, 101, 5), (ASK, 102, 3), (ASK, 105, 10), (BID, 99, 4), (BID, 98, 6)):
        world.level(side, price_ticks, qty_lots)
    return world


def test_ioc_takes_each_level_at_its_price(world: World) -> None:
    assert world.order(BUY, IOC, 104, 20) == [(ACK, 20), (FILL, 101, 5, 15), (FILL, 102, 3, 12), (CANCELLED, 12)]
    assert world.order(SELL, IOC, 98, 10) == [(ACK, 10), (FILL, 99, 4, 6), (FILL, 98, 6, 0)]


def test_fees_and_execution_ids(world: World) -> None:
    match_new(world.matching, world.market, new_order(1, BUY, IOC, 105, 8), NOW_NS, world.executions)
    fills = [report for report in structs(world.executions.items, world.executions.count) if report["kind"] == FILL]
    assert [fill["execution_id"] for fill in fills] == [1, 2]
    # 5 lots of 0.001 at 10.1 and 3 at 10.2, in 1e-9 of the quote currency
    assert [fill["fee_e9"] for fill in fills] == [
        5 * 101 * 100_000 * TAKER_FEE_E9 // 10**9,
        3 * 102 * 100_000 * TAKER_FEE_E9 // 10**9,
    ]
    assert {fill["is_maker"] for fill in fills} == {0}
    assert {fill["exchange_order_id"] for fill in fills} == {1}
    assert {fill["exchange_time_ns"] for fill in fills} == {NOW_NS}


def test_what_was_taken_stays_taken_until_the_market_refills_it(world: World) -> None:
    assert world.order(BUY, IOC, 101, 4) == [(ACK, 4), (FILL, 101, 4, 0)]
    assert world.order(BUY, IOC, 101, 4) == [(ACK, 4), (FILL, 101, 1, 3), (CANCELLED, 3)]
    assert world.order(BUY, IOC, 101, 4) == [(ACK, 4), (CANCELLED, 4)]
    world.level(ASK, 101, 7)  # two more than before, and only they are new
    assert world.order(BUY, IOC, 101, 9) == [(ACK, 9), (FILL, 101, 2, 7), (CANCELLED, 7)]


def test_fok_is_all_or_nothing(world: World) -> None:
    assert world.order(BUY, FOK, 102, 9) == [(ACK, 9), (CANCELLED, 9)]
    assert world.order(BUY, FOK, 102, 8) == [(ACK, 8), (FILL, 101, 5, 3), (FILL, 102, 3, 0)]


def test_post_only_rests_or_is_refused(world: World) -> None:
    assert world.order(BUY, POST_ONLY, 101, 1) == [(REJECTED, RejectReason.WOULD_TAKE)]
    assert world.order(BUY, POST_ONLY, 100, 1) == [(ACK, 1)]
    assert world.matching.resting_count == 1


def test_gtc_takes_then_rests_behind_the_queue(world: World) -> None:
    assert world.order(BUY, GTC, 101, 7) == [(ACK, 7), (FILL, 101, 5, 2)]
    resting = world.matching.resting[0]
    assert (resting.price_ticks, resting.leaves_lots, resting.place.front_lots) == (101, 2, 0)
    assert world.order(BUY, GTC, 99, 3) == [(ACK, 3)]
    assert world.matching.resting[1].place.front_lots == 4


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"instrument": 1}, RejectReason.UNKNOWN_INSTRUMENT),
        ({"instrument": -1}, RejectReason.UNKNOWN_INSTRUMENT),
        ({"price_ticks": 0}, RejectReason.BAD_PRICE),
        ({"price_ticks": -5}, RejectReason.BAD_PRICE),
        ({"qty_lots": 0}, RejectReason.BAD_QUANTITY),
        ({"qty_lots": 1 << 60}, RejectReason.BAD_QUANTITY),
        ({"side": 2}, RejectReason.OTHER),
        ({"time_in_force": 4}, RejectReason.OTHER),
    ],
)
def test_refusals(world: World, change: dict[str, int], reason: RejectReason) -> None:
    order = {"side": BUY, "time_in_force": IOC, "price_ticks": 101, "qty_lots": 1} | change
    assert world.order(**order) == [(REJECTED, reason)]
    assert world.matching.rejects[reason] == 1


def test_the_largest_quantity_has_a_value_that_fits_64_bits() -> None:
    terms = make_market().instruments[0]
    assert largest_qty_lots(terms, 700) * 700 * terms.tick_lot_e9 <= 1 << 62
    assert (largest_qty_lots(terms, 700) + 1) * 700 * terms.tick_lot_e9 > 1 << 62


def test_an_id_is_taken_once(world: World) -> None:
    assert world.order(BUY, IOC, 101, 1) == [(ACK, 1), (FILL, 101, 1, 0)]
    world.last_id -= 1
    assert world.order(BUY, IOC, 101, 1) == [(REJECTED, RejectReason.DUPLICATE_ID)]


def test_an_invalid_book_accepts_and_fills_nothing(world: World) -> None:
    assert world.order(BUY, GTC, 99, 3) == [(ACK, 3)]
    invalidate_book(world.book)
    assert world.order(BUY, IOC, 101, 1) == [(REJECTED, RejectReason.BOOK_NOT_READY)]
    world.level(ASK, 98, 5)
    assert world.see((BOOK_LOST,)) == []
    world.book.valid = 1
    assert world.see((BOOK_CHANGED,)) == [(FILL, 99, 3, 0)]


def test_throttle() -> None:
    world = World(per_second=2, burst=1)
    world.level(ASK, 101, 5)
    assert world.order(BUY, IOC, 101, 1)[0] == (ACK, 1)
    assert world.order(BUY, IOC, 101, 1, now_ns=NOW_NS + 499_999_999) == [(REJECTED, RejectReason.RATE_LIMIT)]
    assert world.order(BUY, IOC, 101, 1, now_ns=NOW_NS + 500_000_000)[0] == (ACK, 1)


def test_resting_orders_are_bounded(world: World) -> None:
    world.matching.resting_max = 2
    assert world.order(BUY, GTC, 90, 1) == [(ACK, 1)]
    assert world.order(BUY, GTC, 90, 1) == [(ACK, 1)]
    assert world.order(BUY, GTC, 90, 1) == [(REJECTED, RejectReason.TOO_MANY_ORDERS)]
    assert world.order(BUY, IOC, 101, 1)[0] == (ACK, 1)  # it does not rest
    with pytest.raises(ValueError, match="resting orders"):
        set_matching(world.matching, VENUE, 1, 1, RESTING_MAX + 1)


def test_trades_at_our_price_serve_the_queue_first(world: World) -> None:
    world.order(BUY, GTC, 99, 3)  # behind 4
    assert world.see((TRADE, BUY, 99, 100)) == []  # an aggressive buyer does not take bids
    assert world.see((TRADE, SELL, 99, 3)) == []
    assert world.matching.resting[0].place.front_lots == 1
    assert world.see((TRADE, SELL, 99, 2)) == [(FILL, 99, 1, 2)]
    assert world.see((TRADE, SELL, 99, 50)) == [(FILL, 99, 2, 0)]
    assert world.matching.resting_count == 0


def test_one_trade_is_not_given_twice(world: World) -> None:
    world.order(BUY, GTC, 99, 3)
    world.order(BUY, GTC, 99, 3)
    assert world.see((TRADE, SELL, 99, 4 + 4)) == [(FILL, 99, 3, 0), (FILL, 99, 1, 2)]
    assert world.see((TRADE, SELL, 99, 1)) == [(FILL, 99, 1, 1)]


def test_a_trade_through_our_price_fills_us_up_to_its_size_as_maker(world: World) -> None:
    world.order(SELL, GTC, 102, 30)
    assert world.see((TRADE, BUY, 101, 99)) == []
    assert world.see((TRADE, BUY, 103, 10)) == [(FILL, 102, 10, 20)]
    match_fee = 20 * 102 * 100_000 * MAKER_FEE_E9 // 10**9
    assert world.see((TRADE, BUY, 103, 99)) == [(FILL, 102, 20, 0)]
    fill = world.executions.items[0]
    assert (fill.is_maker, fill.fee_e9) == (1, match_fee)


def test_what_trades_through_meets_our_best_price_first_and_what_is_left_its_own(world: World) -> None:
    for price_ticks in (97, 99, 98, 99):
        world.order(BUY, GTC, price_ticks, 2)
    said = world.see((TRADE, SELL, 97, 2 + 2 + 2 + 1))
    assert said == [(FILL, 99, 2, 0), (FILL, 99, 2, 0), (FILL, 98, 2, 0), (FILL, 97, 1, 1)]


def test_a_post_only_that_would_meet_our_own_order_is_refused(world: World) -> None:
    assert world.order(SELL, GTC, 100, 1) == [(ACK, 1)]
    assert world.order(BUY, POST_ONLY, 100, 1) == [(REJECTED, RejectReason.WOULD_TAKE)]
    assert world.order(SELL, POST_ONLY, 100, 1) == [(ACK, 1)]
    assert world.order(BUY, POST_ONLY, 99, 1) == [(ACK, 1)]


def test_a_trade_made_before_we_came_is_not_ours(world: World) -> None:
    """It is told late; what the book showed when we came was newer."""
    world.book.exchange_time_ns = world.now_ns
    world.order(BUY, GTC, 100, 3)
    for price_ticks in (100, 99):
        packet = packet_of((TRADE, 0, SELL, price_ticks, 5))
        packet.items[0].exchange_time_ns = world.now_ns - 1
        on_market(world.matching, world.market, packet, world.now_ns, world.executions)
        assert world.take_out() == []
    assert world.see((TRADE, SELL, 100, 5)) == [(FILL, 100, 3, 0)]


def test_what_a_level_first_shows_beyond_the_book_is_ahead_of_us(world: World) -> None:
    world.order(BUY, GTC, 90, 3)  # the last bid shown is 98
    world.order(BUY, GTC, 100, 3)  # better than any: nobody is there
    world.level(BID, 90, 7)
    world.level(BID, 100, 7)
    world.see((BOOK_CHANGED,))
    assert [world.matching.resting[place].place.front_lots for place in (0, 1)] == [7, 0]
    world.level(BID, 90, 9)
    world.see((BOOK_CHANGED,))
    assert world.matching.resting[0].place.front_lots == 7


def test_cancels_ahead_of_us_bring_us_forward(world: World) -> None:
    world.order(BUY, GTC, 99, 3)
    world.level(BID, 99, 9)  # more came, behind us
    assert world.see((BOOK_CHANGED,)) == []
    assert world.matching.resting[0].place.front_lots == 4
    world.level(BID, 99, 1)
    assert world.see((BOOK_CHANGED,)) == []
    assert world.matching.resting[0].place.front_lots == 1
    assert world.see((TRADE, SELL, 99, 2)) == [(FILL, 99, 1, 2)]


def test_the_opposite_side_crossing_fills_us_at_our_price_up_to_its_size(world: World) -> None:
    world.order(BUY, GTC, 100, 12)
    world.level(ASK, 100, 2)
    world.level(ASK, 99, 3)
    assert world.see((BOOK_CHANGED,)) == [(FILL, 100, 5, 7)]
    assert world.see((BOOK_CHANGED,)) == []  # it was taken
    world.level(ASK, 99, 4)  # one more
    assert world.see((BOOK_CHANGED,)) == [(FILL, 100, 1, 6)]


def test_bids_that_cross_fill_what_is_offered(world: World) -> None:
    world.order(SELL, GTC, 120, 12)
    world.level(BID, 120, 2)
    world.level(BID, 121, 3)
    assert world.see((BOOK_CHANGED,)) == [(FILL, 120, 5, 7)]
    assert world.see((BOOK_CHANGED,)) == []
    world.level(BID, 122, 3)
    world.level(BID, 121, 12)  # of which 3 were taken before
    assert world.see((BOOK_CHANGED,)) == [(FILL, 120, 7, 0)]
    assert world.order(SELL, IOC, 121, 9) == [(ACK, 9), (FILL, 121, 5, 4), (CANCELLED, 4)]


def test_cancel_and_mass_cancel(world: World) -> None:
    for price_ticks in (99, 98, 97):
        world.order(BUY, GTC, price_ticks, 2)
    assert world.cancel(2) == [(CANCELLED, 2)]
    assert world.cancel(2) == [(CANCEL_REJECTED, RejectReason.UNKNOWN_ORDER)]
    assert [resting["client_order_id"] for resting in structs(world.matching.resting, 2)] == [1, 3]
    assert match_cancel_all(world.matching, NOW_NS, world.executions) == 2
    assert world.take_out() == [(CANCELLED, 2), (CANCELLED, 2)]
    assert world.matching.resting_count == 0


def test_a_sweep_of_more_levels_than_can_be_told_is_cut_short_and_counted() -> None:
    world = World()
    world.executions.count = 1000
    for price_ticks in range(100, 160):
        world.level(ASK, price_ticks, 1)
    match_new(world.matching, world.market, new_order(1, BUY, IOC, 200, 60), NOW_NS, world.executions)
    assert world.executions.count == 1024
    kinds = [report["kind"] for report in structs(world.executions.items, 1024)[1000:]]
    assert kinds == [ACK, *[FILL] * 22, CANCELLED]
    assert world.executions.items[1023].leaves_lots == 60 - 22
    assert world.executions.truncated == 1


@pytest.mark.parametrize(
    ("before", "levels", "said", "resting"),
    [
        (1000, 60, [ACK, *[FILL] * 22, CANCELLED], 0),
        (1019, 2, [ACK, FILL, FILL], 1),
        (1020, 2, [ACK, FILL, FILL, CANCELLED], 0),
        (1021, 2, [ACK, FILL, CANCELLED], 0),
    ],
)
def test_an_order_does_not_rest_without_room_to_tell_of_its_fills(
    before: int, levels: int, said: list[int], resting: int
) -> None:
    world = World()
    world.executions.count = before
    for price_ticks in range(100, 100 + levels):
        world.level(ASK, price_ticks, 1)
    match_new(world.matching, world.market, new_order(1, BUY, GTC, 200, 61), NOW_NS, world.executions)
    assert [one["kind"] for one in structs(world.executions.items, world.executions.count)[before:]] == said
    assert world.matching.resting_count == resting


def test_everything_is_told_of_an_order_and_nothing_of_the_one_before(world: World) -> None:
    def raw() -> list[dict[str, int]]:
        said = structs(world.executions.items, world.executions.count)
        world.executions.count = 0
        return [{name: value for name, value in report.items() if value} for report in said]

    matching, market, executions = world.matching, world.market, world.executions
    told = {"venue": VENUE, "exchange_time_ns": NOW_NS}
    world.order(BUY, IOC, 105, 8)  # fills in the second and third report
    match_new(matching, market, new_order(2, SELL, GTC, 120, 5), NOW_NS, executions)
    match_new(matching, market, new_order(3, SELL, GTC, 121, 6), NOW_NS, executions)
    match_new(matching, market, new_order(4, SELL, IOC, 0, 6), NOW_NS, executions)
    sold = told | {"side": SELL}
    assert raw() == [
        sold | {"client_order_id": 2, "exchange_order_id": 2, "leaves_lots": 5},
        sold | {"client_order_id": 3, "exchange_order_id": 3, "leaves_lots": 6},
        sold | {"client_order_id": 4, "kind": REJECTED, "reason": RejectReason.BAD_PRICE},
    ]
    match_cancel(matching, 2, NOW_NS, executions)
    match_cancel(matching, 2, NOW_NS, executions)
    assert raw() == [
        sold | {"client_order_id": 2, "exchange_order_id": 2, "leaves_lots": 5, "kind": CANCELLED},
        told | {"client_order_id": 2, "kind": CANCEL_REJECTED, "reason": RejectReason.UNKNOWN_ORDER, "instrument": -1},
    ]
    on_market(matching, market, packet_of((TRADE, 0, BUY, 130, 6)), NOW_NS, executions)
    [fill] = raw()
    assert (fill["exchange_order_id"], fill["execution_id"], fill["is_maker"], fill["qty_lots"]) == (3, 3, 1, 6)


def test_what_an_exchange_did_is_counted(world: World) -> None:
    world.order(BUY, IOC, 101, 6)
    world.order(SELL, GTC, 120, 5)
    world.order(SELL, GTC, 121, 5)
    world.order(SELL, IOC, 0, 5)
    world.see((TRADE, BUY, 130, 10))
    world.order(SELL, GTC, 121, 5)
    world.cancel(world.last_id)
    world.cancel(world.last_id)
    matching = world.matching
    assert (matching.accepted, matching.cancelled, matching.taker_fills, matching.maker_fills) == (4, 2, 1, 2)
    assert sum(matching.rejects) == 2
    assert matching.rejects[RejectReason.UNKNOWN_ORDER] == 1


@pytest.mark.parametrize("time_in_force", [IOC, FOK])
def test_what_is_not_filled_at_once_does_not_rest(world: World, time_in_force: int) -> None:
    world.order(BUY, time_in_force, 101, 9)
    assert world.matching.resting_count == 0


def test_a_trade_that_serves_just_those_ahead_of_us_is_not_ours(world: World) -> None:
    world.order(BUY, GTC, 99, 3)
    assert world.see((TRADE, SELL, 99, 4)) == []
    assert world.matching.resting[0].place.front_lots == 0
    assert world.see((TRADE, SELL, 99, 1)) == [(FILL, 99, 1, 2)]


def test_the_last_lot_is_filled_too(world: World) -> None:
    world.order(BUY, GTC, 100, 1)
    assert world.see((TRADE, SELL, 100, 1)) == [(FILL, 100, 1, 0)]
    world.order(BUY, GTC, 100, 1)
    world.level(ASK, 100, 1)
    assert world.see((BOOK_CHANGED,)) == [(FILL, 100, 1, 0)]


@pytest.mark.parametrize(("before", "filled"), [(1023, 1), (1024, 0)])
def test_a_fill_that_cannot_be_told_does_not_happen_yet(world: World, before: int, filled: int) -> None:
    world.order(BUY, GTC, 99, 3)
    for executions, fills, truncated in ((before, filled, 1 - filled), (0, 1 - filled, 1 - filled)):
        world.executions.count = executions
        on_market(world.matching, world.market, packet_of((TRADE, 0, SELL, 98, 3)), NOW_NS, world.executions)
        assert (world.executions.count - executions, world.executions.truncated) == (fills, truncated)
    assert (world.matching.maker_fills, world.matching.resting_count) == (1, 0)


def test_a_single_lot_is_enough_to_refuse_what_may_not_take(world: World) -> None:
    world.level(ASK, 97, 1)
    assert world.order(BUY, POST_ONLY, 97, 5) == [(REJECTED, RejectReason.WOULD_TAKE)]


def test_a_combination_may_have_a_price_below_zero(world: World) -> None:
    world.market.instruments[0].kind = Kind.COMBO
    assert world.order(BUY, GTC, -5, 2) == [(ACK, 2)]
    assert world.order(BUY, GTC, 0, 2) == [(REJECTED, RejectReason.BAD_PRICE)]
    terms = make_market().instruments[0]
    terms.payoff, terms.lot_e9 = Payoff.INVERSE, 10**10
    assert [largest_qty_lots(terms, price) for price in (1, 700)] == [(1 << 62) // 10**10] * 2


def test_what_is_cancelled_at_once_is_told_by_its_number(world: World) -> None:
    match_new(world.matching, world.market, new_order(1, BUY, IOC, 1, 2), NOW_NS, world.executions)
    assert [report["exchange_order_id"] for report in structs(world.executions.items, 2)] == [1, 1]


def test_the_largest_quantity_is_taken(world: World) -> None:
    largest = (1 << 62) // world.market.instruments[0].tick_lot_e9 // 50
    assert world.order(BUY, GTC, 50, largest) == [(ACK, largest)]
    assert world.order(BUY, GTC, 50, largest + 1) == [(REJECTED, RejectReason.BAD_QUANTITY)]
    assert world.order(BUY, GTC, 50, 1) == [(ACK, 1)]


def packet_of(*events: tuple[int, ...]) -> Events:
    """Changes of (kind, instrument) or (TRADE, instrument, aggressor, price, lots)."""
    packet = Events()
    for kind, instrument, *values in events:
        event = add_event(packet, kind, instrument, NOW_NS)
        if kind == TRADE:
            event.side, event.price_ticks, event.qty_lots = values
    return packet


def test_each_instruments_market_fills_its_own_orders() -> None:
    world = World()
    world.market = make_market(count=2)
    for instrument in (0, 1):
        world.order(BUY, GTC, 100, 3, instrument=instrument)
    set_level(world.market.books[1], ASK, 100, 2)
    for packet, filled in (
        (packet_of((TRADE, 1, SELL, 100, 1)), [(1, 1)]),
        (packet_of((BOOK_CHANGED, 0)), []),
        (packet_of((BOOK_CHANGED, 1)), [(1, 2)]),
        (packet_of((TRADE, 1, SELL, 90, 9)), []),
        (packet_of((TRADE, 0, SELL, 90, 9)), [(0, 3)]),
    ):
        on_market(world.matching, world.market, packet, NOW_NS, world.executions)
        said = structs(world.executions.items, world.executions.count)
        assert [(report["instrument"], report["qty_lots"]) for report in said] == filled
        world.executions.count = 0
    assert world.matching.resting_count == 0


@dataclass
class ModelLevel:
    shown: int
    taken: int = 0


@dataclass
class Model:
    """The rules of taking and refilling, in dictionaries."""

    sides: tuple[dict[int, ModelLevel], dict[int, ModelLevel]] = field(default_factory=lambda: ({}, {}))

    def level(self, side: int, price_ticks: int, qty_lots: int) -> None:
        levels = self.sides[side]
        level = levels.setdefault(price_ticks, ModelLevel(0))
        level.taken = min(level.taken, qty_lots)
        level.shown = qty_lots
        if qty_lots == 0:
            del levels[price_ticks]

    def order(self, side: int, time_in_force: int, limit: int, qty_lots: int) -> list[tuple[int, ...]]:
        levels = self.sides[1 - side]
        prices = sorted((p for p in levels if (p <= limit if side == BUY else p >= limit)), reverse=side == SELL)
        said: list[tuple[int, ...]] = [(ACK, qty_lots)]
        leaves = qty_lots
        if time_in_force == FOK and sum(levels[p].shown - levels[p].taken for p in prices) < qty_lots:
            prices = []
        for price in prices:
            lots = min(leaves, levels[price].shown - levels[price].taken)
            if lots > 0:
                levels[price].taken += lots
                leaves -= lots
                said.append((FILL, price, lots, leaves))
        return [*said, (CANCELLED, leaves)] if leaves else said


changes = st.tuples(st.just("level"), st.integers(0, 1), st.integers(95, 105), st.integers(0, 9))
orders = st.tuples(
    st.just("order"), st.integers(0, 1), st.sampled_from([IOC, FOK]), st.integers(95, 105), st.integers(1, 30)
)


@given(st.lists(st.one_of(changes, changes, orders), max_size=60))
def test_matching_equals_the_model(steps: list[tuple]) -> None:
    world, model = World(), Model()
    fills: list[int] = []
    for kind, *values in steps:
        if kind == "level":
            world.level(*values)
            model.level(*values)
        else:
            side, time_in_force, price_ticks, qty_lots = values
            said = world.order(side, time_in_force, price_ticks, qty_lots)
            assert said == model.order(side, time_in_force, price_ticks, qty_lots)
            fills += [lots for what, _, *rest in said if what == FILL for lots in rest[:1]]
    assert world.matching.last_execution_id == len(fills)


@given(
    st.lists(st.tuples(st.integers(95, 99), st.integers(1, 9)), max_size=8),
    st.lists(
        st.one_of(
            st.tuples(st.just(TRADE), st.integers(0, 1), st.integers(94, 105), st.integers(1, 9)),
            st.tuples(st.just(BOOK_CHANGED), st.integers(0, 1), st.integers(95, 105), st.integers(0, 9)),
        ),
        max_size=30,
    ),
)
def test_resting_orders_never_overfill_and_keep_their_order(
    buys: list[tuple[int, int]], events: list[tuple[int, int, int, int]]
) -> None:
    world = World()
    for price_ticks in range(95, 100):
        world.level(BID, price_ticks, 5)
    leaves: dict[int, int] = {}
    for price_ticks, qty_lots in buys:
        world.order(BUY, GTC, price_ticks, qty_lots)
        leaves[world.last_id] = qty_lots
    for kind, side, price_ticks, qty_lots in events:
        packet = Events()
        event = add_event(packet, kind, 0, NOW_NS)
        if kind == TRADE:
            event.side, event.price_ticks, event.qty_lots = side, price_ticks, qty_lots
        else:
            world.level(side, price_ticks, qty_lots)
        on_market(world.matching, world.market, packet, NOW_NS, world.executions)
        for report in structs(world.executions.items, world.executions.count):
            assert report["kind"] == FILL
            leaves[report["client_order_id"]] -= report["qty_lots"]
            assert report["leaves_lots"] == leaves[report["client_order_id"]] >= 0
        world.executions.count = 0
        resting = structs(world.matching.resting, world.matching.resting_count)
        assert [one["client_order_id"] for one in resting] == [one for one, left in leaves.items() if left]
        assert all(world.matching.resting[place].place.front_lots >= 0 for place in range(len(resting)))


def replay_usdm(levels_at_ns: int, market: Market) -> tuple[dict[int, int], dict[int, int]]:
    """Rebuild the real BTCUSDT perpetual book `levels_at_ns` into its file, in `market`'s book and in dictionaries."""
    sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
    book = market.books[0]
    started_ns = 0
    with gzip.open(recording("binance/usdm/btcusdt_20240808.gz"), "rt") as lines:
        for line in lines:
            local_ns, text = line.split(" ", 1)
            started_ns = started_ns or int(local_ns)
            if int(local_ns) - started_ns > levels_at_ns:
                break
            if '"depthUpdate"' in text:
                data = json.loads(text)["data"]
                changes = ((BID, data["b"]), (ASK, data["a"]))
            elif '"lastUpdateId"' in text:
                data = json.loads(text)
                changes = ((BID, data["bids"]), (ASK, data["asks"]))
            else:
                continue
            for side, levels in changes:
                for price, size in levels:
                    price_ticks, qty_lots = round(float(price) * 10), round(float(size) * 1000)
                    assert set_level(book, side, price_ticks, qty_lots)
                    sides[side][price_ticks] = qty_lots
    return sides


@pytest.fixture(scope="module")
def real_books() -> tuple[Market, dict[int, int]]:
    market = make_market(level_capacity=1 << 14)
    sides = replay_usdm(60_000_000_000, market)
    return market, {price: lots for price, lots in sides[ASK].items() if lots}


@pytest.mark.parametrize(("reach_ticks", "filled"), [(20, 5479), (200, 20_000)])
def test_ioc_sweep_of_the_real_book(real_books: tuple[Market, dict[int, int]], reach_ticks: int, filled: int) -> None:
    """20 BTC, 60 s into the file: where hftbacktest books 0 and 0.191 BTC, every level is filled at its own price."""
    market, asks = real_books
    best = min(asks)
    assert (best, asks[best]) == (618_151, 5123)
    expected: list[tuple[int, int]] = []
    left = 20_000
    for price_ticks in sorted(asks):
        if price_ticks > best + reach_ticks or left == 0:
            break
        expected.append((price_ticks, min(left, asks[price_ticks])))
        left -= expected[-1][1]
    assert 20_000 - left == filled

    matching, executions = Matching(), Executions()
    set_matching(matching, VENUE, 1, 1, 1)
    match_new(matching, market, new_order(1, BUY, IOC, best + reach_ticks, 20_000), NOW_NS, executions)
    market.books[0].taken.count = 0  # the next case sees the same book
    reports = structs(executions.items, executions.count)
    fills = [(one["price_ticks"], one["qty_lots"]) for one in reports if one["kind"] == FILL]
    assert fills == expected
    assert reports[-1]["kind"] == (FILL if filled == 20_000 else CANCELLED)
    assert reports[-1]["leaves_lots"] == 20_000 - filled
    fees = [one["fee_e9"] for one in reports if one["kind"] == FILL]
    assert fees == [-(-price * lots * 100_000 * TAKER_FEE_E9 // 10**9) for price, lots in fills]
