"""Amends at a simulated exchange: what keeps its place, what arrives anew, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.venues.book.book import invalidate_book
from crosswire.venues.exchange.matching import OrderRequest, match_amend
from crosswire.venues.market import BOOK_CHANGED, TRADE
from crosswire.venues.order import RejectReason, ReportKind
from crosswire.venues.side import ASK, BID, BUY, SELL
from tests.support.order_setup import structs
from tests.venues.exchange.test_matching import ACK, FILL, GTC, IOC, NOW_NS, POST_ONLY, World

AMENDED, AMEND_REJECTED = ReportKind.AMENDED, ReportKind.AMEND_REJECTED


@pytest.fixture
def world() -> World:
    """Asks 101: 5, 102: 3; bids 99: 4, 98: 6."""
    world = World()
    for side, price_ticks, qty_lots in ((ASK, 101, 5), (ASK, 102, 3), (BID, 99, 4), (BID, 98, 6)):
        world.level(side, price_ticks, qty_lots)
    return world


def amend(world: World, client_order_id: int, price_ticks: int, qty_lots: int) -> list[tuple[int, ...]]:
    """What was said: (AMENDED, price, lots), (AMEND_REJECTED, reason), and the rest as `take_out` has it."""
    request = OrderRequest(client_order_id=client_order_id, price_ticks=price_ticks, qty_lots=qty_lots)
    match_amend(world.matching, world.market, request, NOW_NS, world.executions)
    first, *_ = structs(world.executions.items, 1)
    said = world.take_out()
    assert first["client_order_id"] == client_order_id
    if first["kind"] == AMENDED:
        assert first["exchange_order_id"] > 0
        return [(AMENDED, first["price_ticks"], first["qty_lots"]), *said[1:]]
    return [(first["kind"], first["reason"])]


def resting(world: World) -> list[tuple[int, int, int, int]]:
    return [
        (one["client_order_id"], one["price_ticks"], one["leaves_lots"], one["filled_lots"])
        for one in structs(world.matching.resting, world.matching.resting_count)
    ]


def test_a_smaller_quantity_keeps_its_place(world: World) -> None:
    world.order(BUY, GTC, 99, 10)
    world.order(BUY, GTC, 99, 2)
    assert world.see((TRADE, SELL, 99, 7)) == [(FILL, 99, 3, 7)]  # behind the 4 that stood there
    assert amend(world, 1, 99, 8) == [(AMENDED, 99, 8)]
    assert resting(world) == [(1, 99, 5, 3), (2, 99, 2, 0)]
    assert world.see((TRADE, SELL, 99, 6)) == [(FILL, 99, 5, 0), (FILL, 99, 1, 1)]


def test_a_larger_one_and_another_price_go_to_the_end(world: World) -> None:
    for _ in range(3):
        world.order(BUY, GTC, 99, 2)
    assert amend(world, 1, 99, 3) == [(AMENDED, 99, 3)]
    assert amend(world, 2, 98, 2) == [(AMENDED, 98, 2)]
    assert resting(world) == [(3, 99, 2, 0), (1, 99, 3, 0), (2, 98, 2, 0)]
    assert world.matching.resting[2].place.front_lots == 6  # behind what the book shows there


def test_one_that_crosses_takes_and_the_rest_rests(world: World) -> None:
    world.order(BUY, GTC, 99, 6)
    assert world.see((TRADE, SELL, 99, 5)) == [(FILL, 99, 1, 5)]
    assert amend(world, 1, 101, 9) == [(AMENDED, 101, 9), (FILL, 101, 5, 3)]
    assert resting(world) == [(1, 101, 3, 6)]
    assert amend(world, 1, 102, 9) == [(AMENDED, 102, 9), (FILL, 102, 3, 0)]
    assert resting(world) == []


@pytest.mark.parametrize(
    ("price_ticks", "qty_lots", "reason"),
    [
        (0, 5, RejectReason.BAD_PRICE),
        (-1, 5, RejectReason.BAD_PRICE),
        (99, 0, RejectReason.BAD_QUANTITY),
        (99, 1, RejectReason.BAD_QUANTITY),  # filled already
        (99, 1 << 61, RejectReason.BAD_QUANTITY),
        (101, 5, RejectReason.WOULD_TAKE),
    ],
)
def test_what_can_not_be_leaves_the_order_as_it_was(
    world: World, price_ticks: int, qty_lots: int, reason: RejectReason
) -> None:
    world.order(BUY, POST_ONLY, 99, 5)
    assert world.see((TRADE, SELL, 99, 5)) == [(FILL, 99, 1, 4)]
    before = resting(world)
    assert amend(world, 1, price_ticks, qty_lots) == [(AMEND_REJECTED, reason)]
    assert resting(world) == before
    assert world.matching.rejects[reason] == 1


def test_what_does_not_rest_can_not_be_amended(world: World) -> None:
    world.order(BUY, IOC, 101, 1)
    for client_order_id in (1, 2):
        assert amend(world, client_order_id, 99, 5) == [(AMEND_REJECTED, RejectReason.UNKNOWN_ORDER)]


def test_without_a_proven_book_an_order_may_only_get_smaller(world: World) -> None:
    world.order(BUY, GTC, 99, 5)
    invalidate_book(world.book)
    assert amend(world, 1, 98, 5) == [(AMEND_REJECTED, RejectReason.BOOK_NOT_READY)]
    assert amend(world, 1, 99, 6) == [(AMEND_REJECTED, RejectReason.BOOK_NOT_READY)]
    assert amend(world, 1, 99, 4) == [(AMENDED, 99, 4)]


def test_amends_count_in_the_rate_limit() -> None:
    world = World(per_second=1, burst=2)
    world.level(BID, 99, 4)
    world.order(BUY, GTC, 99, 5)
    assert amend(world, 1, 99, 4) == [(AMENDED, 99, 4)]
    assert amend(world, 1, 99, 3) == [(AMEND_REJECTED, RejectReason.RATE_LIMIT)]


@given(
    st.integers(95, 105),
    st.integers(1, 12),
    st.lists(st.tuples(st.integers(94, 105), st.integers(1, 9)), max_size=3),
    st.integers(95, 105),
    st.integers(1, 20),
)
def test_an_amend_is_a_cancel_and_a_new_order_unless_it_only_gets_smaller(
    price_ticks: int, qty_lots: int, trades: list[tuple[int, int]], to_ticks: int, to_lots: int
) -> None:
    worlds = World(), World()
    for world in worlds:
        for side, ticks, lots in ((ASK, 101, 5), (ASK, 103, 3), (BID, 99, 4), (BID, 97, 6)):
            world.level(side, ticks, lots)
        world.order(BUY, GTC, price_ticks, qty_lots)
        world.see((BOOK_CHANGED,))
        for at_ticks, lots in trades:
            world.see((TRADE, SELL, at_ticks, lots))
    amended, anew = worlds
    if not resting(anew):
        return
    _, at_ticks, leaves_lots, filled_lots = resting(anew)[0]
    said = amend(amended, 1, to_ticks, to_lots)
    if to_lots <= filled_lots:
        assert said == [(AMEND_REJECTED, RejectReason.BAD_QUANTITY)]
        return
    assert said[0] == (AMENDED, to_ticks, to_lots)
    if to_ticks == at_ticks and to_lots <= filled_lots + leaves_lots:
        assert resting(amended) == [(1, at_ticks, to_lots - filled_lots, filled_lots)]
        assert amended.matching.resting[0].place.front_lots == anew.matching.resting[0].place.front_lots
        return
    anew.cancel(1)
    (kind, _), *fills = anew.order(BUY, GTC, to_ticks, to_lots - filled_lots)
    assert kind == ACK
    assert said[1:] == fills
    assert [one[1:3] for one in resting(amended)] == [one[1:3] for one in resting(anew)]
    assert all(leaves + filled == to_lots for _, _, leaves, filled in resting(amended))
