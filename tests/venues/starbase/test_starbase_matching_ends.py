"""How orders of the simulated Starbase end that were neither filled nor cancelled plainly, and what is told of it."""

import struct

import pytest

from crosswire.nic.memory.raw import hash_bits
from crosswire.venues.book.book import best_level
from crosswire.venues.side import BID, BUY
from crosswire.venues.starbase.exchange.matching.matching import OrderRequest, place_order
from crosswire.venues.starbase.exchange.matching.state import NONE
from crosswire.venues.starbase.wire.market_layout import Template as MarketTemplate
from crosswire.venues.starbase.wire.order_codes import (
    CancelOrderRejectReason,
    CancelReason,
    OrderRejectReason,
    OrderStatus,
    ProductType,
    Template,
)
from tests.support.starbase_exchange_client import FIRST_ID, MS, Protection, book, fast, last, said

pytestmark = pytest.mark.starbase
IOC, FOK = -2, -1


@pytest.mark.parametrize("lots", [0, -1])
def test_an_order_of_nothing_is_none(lots: int) -> None:
    """Gateways refuse it before; whoever else places orders is refused by the matching."""
    matching = fast().exchange.matching
    request = OrderRequest(session=NONE, member=1, side=BUY, price_ticks=900, qty_lots=lots, group=NONE)
    assert place_order(matching, request, 1) == OrderRejectReason.INVALID_QUANTITY
    assert (matching.order_count, matching.outcome.change_count) == (0, 0)


def test_an_order_that_finds_no_room_at_its_new_price_is_gone_from_the_old_one() -> None:
    wire = fast(order_capacity=32, level_capacity=16)
    client = wire.ready()
    for number in range(1, 17):
        client.new(number, 1, 900 + number, 1)
    client.new(17, 1, 901, 3)
    client.new(18, 1, 950, 3)
    statuses = [(message.status, message.cancel_reason) for message in said(wire, client)]
    assert statuses == [(OrderStatus.ACTIVE, 0)] * 17 + [(OrderStatus.CANCELED, CancelReason.ADMIN)]
    client.amend(17, 950, 3)
    amended = last(wire, client)
    assert (amended.status, amended.cancel_reason) == (OrderStatus.CANCELED, CancelReason.ADMIN)
    assert book(wire) == [[(900 + number, 1) for number in range(16, 0, -1)], []]
    client.cancel(17)
    assert last(wire, client).reason == CancelOrderRejectReason.UNKNOWN_ORDER


@pytest.mark.parametrize("tif", [IOC, FOK])
def test_a_held_order_that_ends_by_itself_can_not_be_cancelled(tif: int) -> None:
    wire = fast(speed_bump_ns=10 * MS)
    maker, taker = wire.ready(), wire.ready(1, key=1)
    maker.new(1, 1, 1000, 2)
    taker.new(1, -1, 1000, 1, tif=tif)
    taker.new(2, -1, 1000, 3)
    for number in (1, 2, 2):
        taker.cancel(number)
    reasons = [message.reason for message in said(wire, taker) if message.template == Template.CANCEL_ORDER_REJECT]
    assert reasons == [
        CancelOrderRejectReason.TIME_IN_FORCE,
        CancelOrderRejectReason.SPEED_BUMP_CONVERTED_TO_IOC,
        CancelOrderRejectReason.TIME_IN_FORCE,
    ]
    wire.run(10 * MS)
    placed = [(message.client_order_id, message.status) for message in said(wire, taker)]
    assert placed == [(1, OrderStatus.FILLED), (2, OrderStatus.CANCELED)]
    assert book(wire) == [[], []]


def test_each_order_of_a_mass_cancel_is_told_with_its_instrument() -> None:
    wire = fast(3)
    client = wire.ready()
    for index in range(3):
        wire.exchange.matching.market.instruments[index].underlying = 4
        client.new(index + 1, 1, 900, 1, instrument=index)
    said(wire, client)
    client.mass_cancel(pair=4)
    answer, note = said(wire, client)
    assert answer.total_order_count == 3
    ended = [(order["client_order_id"], order["instrument_id"]) for order in note.groups["orders"]]
    assert ended == [(1, FIRST_ID), (2, FIRST_ID + 1), (3, FIRST_ID + 2)]


def test_a_mass_cancel_reaches_all_that_a_member_may_have_open() -> None:
    wire = fast()
    client, other = wire.ready(), wire.ready(1, key=1)
    matching = wire.exchange.matching
    other.new(1, 1, 899, 1)
    wire.run(0)
    request = OrderRequest(session=0, member=1, side=BUY, price_ticks=900, qty_lots=1, group=NONE)
    for number in range(2000):
        request.client_order_id = number
        place_order(matching, request, wire.now_ns)
    client.mass_cancel(instrument=FIRST_ID)
    answer, *parts = said(wire, client)
    assert answer.total_order_count == 2000
    assert [order["client_order_id"] for part in parts for order in part.groups["orders"]] == list(range(2000))
    assert (matching.members[1].open_orders, matching.order_count) == (0, 1)
    assert best_level(matching.market.books[0], BID) == 899
    # None are left to be found.
    client.mass_cancel(instrument=FIRST_ID)
    assert last(wire, client).total_order_count == 0


def test_used_numbers_that_share_a_place_are_told_apart() -> None:
    """Of three that would lie in the same place each is known again, and none is taken for another."""
    wire = fast()
    client = wire.ready()
    first = hash_bits(1, 17)
    shared = [1, *(number for number in range(2, 1_000_000) if hash_bits(number, 17) == first)][:4]
    assert len(shared) == 4
    member = wire.exchange.matching.members[1]
    for number in shared[:3]:
        client.new(number, 1, 900, 1)
    wire.run(0)
    assert (member.new_orders, member.duplicate_orders, member.seen_count) == (3, 0, 3)
    for number in shared:
        client.new(number, 1, 900, 1)
    wire.run(0)
    assert (member.new_orders, member.duplicate_orders, member.seen_count) == (7, 3, 4)
    # All of them lie inside the table.
    table = member.seen.numpy(1 << 17)
    assert sorted(table[table != 0]) == [number + 1 for number in shared]


def test_what_goes_on_has_no_reason_for_an_end() -> None:
    """Not that of what ended before it, either."""
    wire = fast(2)
    wire.exchange.matching.market.instruments[1].speed_bump_ns = 10 * MS
    maker, taker = wire.ready(), wire.ready(1, key=1)
    maker.new(1, -1, 1000, 5)
    maker.new(1_000, -1, 1000, 5, instrument=1)
    ended = (OrderStatus.CANCELED, CancelReason.TIME_IN_FORCE)

    def told() -> list[tuple[int, int]]:
        return [(message.status, message.cancel_reason) for message in said(wire, taker)]

    taker.new(2, 1, 900, 1, tif=IOC)
    taker.new(3, 1, 900, 1)
    taker.new(4, 1, 900, 1, tif=IOC)
    taker.new(5, 1, 1000, 2)
    taker.new(6, 1, 900, 1, tif=IOC)
    taker.new(7, 1, 1000, 2, instrument=1)
    taker.new(8, 1, 900, 1, tif=IOC)
    taker.amend(3, 900, 3)
    assert told() == [
        ended, (OrderStatus.ACTIVE, 0), ended, (OrderStatus.FILLED, 0), ended, (OrderStatus.QUEUED, 0), ended,
        (OrderStatus.ACTIVE, 0),
    ]  # fmt: skip
    taker.new(9, 1, 900, 1, tif=IOC)
    taker.amend(3, 900, 2)
    taker.new(10, 1, 900, 1, tif=IOC)
    wire.run(10 * MS)
    assert told() == [ended, (OrderStatus.ACTIVE, 0), ended, (OrderStatus.FILLED, 0)]


def test_a_sweep_is_summed_up_by_itself() -> None:
    """Not with the one before, which lay in the same place of the outcome."""
    wire = fast()
    maker, taker = wire.ready(), wire.ready(1, key=1)
    for number in range(1, 6):
        maker.new(number, -1, 1000, number)
    wire.run(0)
    for number, lots in enumerate((3, 7, 5), 6):
        taker.new(number, 1, 1000, lots, tif=IOC)
        wire.run(0)
    messages = [message for message in wire.incremental() if message.template == MarketTemplate.TRADE_SUMMARY]
    sums = [(message.fields["trade_count"], message.fields["total_filled_mantissa"]) for message in messages]
    unit = sums[0][1] // 3
    assert sums == [(2, 3 * unit), (2, 7 * unit), (1, 5 * unit)]


@pytest.mark.parametrize(("count", "is_taken"), [(8, True), (9, False)])
def test_an_exchange_has_room_for_so_many_groups(count: int, is_taken: bool) -> None:
    protections = [Protection(group) for group in range(count)]
    if is_taken:
        client = fast(protections=protections).ready()
        for group in range(count):
            client.send(Template.GET_MASS_QUOTE_MMP_STATUS_REQUEST, struct.pack("<qq", 33, group))
        assert [message.template for message in said(client.wire, client)] == [
            Template.GET_MASS_QUOTE_MMP_STATUS_RESPONSE
        ] * count
    else:
        with pytest.raises(ValueError, match="9 protection groups: at most 8"):
            fast(protections=protections)


@pytest.mark.parametrize("product", list(ProductType))
def test_a_mass_cancel_leaves_instruments_of_other_products(product: ProductType) -> None:
    wire = fast()
    client = wire.ready()
    client.new(1, 1, 900, 1)
    said(wire, client)
    client.mass_cancel(instrument=FIRST_ID, product=product)
    is_reached = product in (ProductType.ALL, ProductType.FUTURES)
    assert said(wire, client)[0].total_order_count == int(is_reached)
    assert book(wire) == [[] if is_reached else [(900, 1)], []]
