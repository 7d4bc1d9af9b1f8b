"""Bounds of the simulated Starbase's matching: bands, sizes, room, sweeps, protection, and whom a cancel reaches."""

import struct
from typing import Any

import pytest

from crosswire.nic.memory.raw import hash_bits
from crosswire.venues.instrument import Kind
from crosswire.venues.starbase.exchange.matching.quotes import is_product
from crosswire.venues.starbase.wire.market_layout import Template as MarketTemplate
from crosswire.venues.starbase.wire.order_codes import (
    CancelReason,
    OrderRejectReason,
    OrderStatus,
    ProductType,
    QuoteStatus,
    Template,
)
from crosswire.venues.starbase.wire.order_layout import NULL_I64
from tests.support.starbase_exchange_client import (
    FIRST_ID,
    MS,
    TICK_E9,
    Connection,
    Protection,
    S,
    Wire,
    book,
    fast,
    last,
    lots_of,
    quote,
    rebuilt_books,
    said,
)

pytestmark = pytest.mark.starbase
POST_ONLY, POST_ONLY_REJECT, MARKET, MMP, RESET_MMP = 2, 4, 8, 16, 32
IOC, FOK = -2, -1
# The exchange's limits, as numbers of the tests' own.
EXCHANGE_ORDERS_MAX, HELD_MAX, OPEN_ORDERS_MAX, QUOTED_MAX, TOUCHED_MAX, SEEN_BITS = 16_384, 256, 2000, 64, 500, 17


@pytest.mark.parametrize(
    ("side", "price", "reason"),
    [
        (1, 1100, None), (1, 1101, OrderRejectReason.PRICE_TOO_HIGH), (1, 899, None), (1, 1, None),
        (-1, 900, None), (-1, 899, OrderRejectReason.PRICE_TOO_LOW), (-1, 1101, None),
        (1, 0, OrderRejectReason.INVALID_PRICE), (-1, 0, OrderRejectReason.INVALID_PRICE),
        (1, -1, OrderRejectReason.INVALID_PRICE),
    ],
)  # fmt: skip
def test_the_price_band_holds_at_its_edge_for_orders_and_amends(side: int, price: int, reason: int | None) -> None:
    wire = fast(price_band_ppm=100_000)
    client = wire.ready()
    client.new(1, side, 1000, 5)
    client.new(2, side, price, 5)
    client.amend(1, price, 5)
    new, amended = said(wire, client)[1:]
    if reason is None:
        assert (new.template, amended.template) == (Template.NEW_ORDER_RESPONSE, Template.AMEND_ORDER_RESPONSE)
    else:
        assert (new.template, amended.template) == (Template.NEW_ORDER_REJECT, Template.AMEND_ORDER_REJECT)
        assert (new.reason, amended.reason) == (reason, reason)
        # What was refused is as it was.
        assert book(wire)[side != 1] == [(1000, 5)]


def test_without_a_mark_there_is_no_band() -> None:
    wire = fast(price_band_ppm=100_000)
    wire.exchange.matching.mark_ticks[0] = 0
    client = wire.ready()
    client.new(1, 1, 5000, 5)
    assert last(wire, client).template == Template.NEW_ORDER_RESPONSE


def test_the_largest_order_is_taken_and_one_lot_more_is_not() -> None:
    wire = fast(qty_max_lots=1000)
    client = wire.ready()
    client.new(1, 1, 900, 1000)
    client.new(2, 1, 900, 1001)
    client.new(3, 1, 900, 5)
    client.amend(3, 901, 1001)
    client.amend(3, 901, 1000)
    taken, refused, _, unamended, amended = said(wire, client)
    assert taken.status == amended.status == OrderStatus.ACTIVE
    assert refused.reason == unamended.reason == OrderRejectReason.ORDER_SIZE_LIMIT_EXCEEDED


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("is_amend", [False, True])
def test_post_only_orders_step_back_from_the_best_price(side: int, is_amend: bool) -> None:
    wire = fast()
    maker, client = wire.ready(), wire.ready(1, key=1)
    maker.new(1, -side, 1000, 5)
    if is_amend:
        client.new(1, side, 1000 - 50 * side, 3)
        client.amend(1, 1000 + 3 * side, 3, flags=POST_ONLY)
    else:
        client.new(1, side, 1000 + 3 * side, 3, flags=POST_ONLY)
    placed = last(wire, client)
    assert (placed.status, placed.price_e9) == (OrderStatus.ACTIVE, (1000 - side) * TICK_E9)
    assert book(wire) == ([[(999, 3)], [(1000, 5)]] if side == 1 else [[(1000, 5)], [(1001, 3)]])
    client.new(2, side, 1000, 3, flags=POST_ONLY_REJECT)
    client.amend(1, 1000, 3, flags=POST_ONLY_REJECT)
    assert [message.reason for message in said(wire, client)] == [OrderRejectReason.POST_ONLY] * 2


@pytest.mark.parametrize("best", [1, 2])
def test_a_post_only_bid_can_not_step_back_below_the_first_tick(best: int) -> None:
    wire = fast()
    maker, client = wire.ready(), wire.ready(1, key=1)
    maker.new(1, -1, best + 3, 5)
    client.new(1, 1, 1, 1)
    wire.run(0)
    client.cancel(1)
    maker.amend(1, best, 5)
    client.new(2, 1, best, 3, flags=POST_ONLY)
    first = last(wire, client)
    client.new(3, 1, best - 1 or 1, 2)
    if best == 1:
        assert (first.template, first.reason) == (Template.NEW_ORDER_REJECT, OrderRejectReason.INVALID_PRICE)
    else:
        assert (first.status, first.price_e9) == (OrderStatus.ACTIVE, TICK_E9)
        client.amend(3, 2, 2, flags=POST_ONLY)
        assert last(wire, client).price_e9 == TICK_E9


def test_room_for_held_orders_is_the_members_and_everybodys() -> None:
    wire = fast(speed_bump_ns=10 * MS, held_member_max=HELD_MAX)
    maker, one, other = wire.ready(), wire.ready(1, key=1), wire.ready(0, 1, key=2)
    maker.new(1, 1, 1000, 5)
    for number in range(HELD_MAX - 1):
        one.new(number, -1, 1000, 1)
        if number % 100 == 99:
            wire.run(0)
    other.new(2, -1, 1000, 1)
    other.new(3, -1, 1000, 1)
    statuses = said(wire, other)
    assert statuses[0].status == OrderStatus.QUEUED
    assert statuses[1].reason == OrderRejectReason.MEMBER_SPEED_BUMP_LIMIT_EXCEEDED
    assert {message.status for message in said(wire, one)} == {OrderStatus.QUEUED}
    assert wire.exchange.matching.members[2].held_orders == HELD_MAX - 1
    wire.run(10 * MS)
    assert [member.held_orders for member in wire.exchange.matching.members] == [0, 0, 0, 0]
    assert wire.exchange.matching.held_count == 0
    # The first five were filled, in the order in which they came.
    filled = [message.client_order_id for message in one.inbox if message.status == OrderStatus.FILLED]
    assert filled == [0, 1, 2, 3, 4]


def test_an_exchange_without_room_refuses_orders() -> None:
    wire = fast()
    client = wire.ready()
    matching = wire.exchange.matching
    matching.order_count = EXCHANGE_ORDERS_MAX
    client.new(1, 1, 1000, 5)
    assert last(wire, client).reason == OrderRejectReason.SYSTEM_ERROR
    matching.order_count = EXCHANGE_ORDERS_MAX - 1
    client.new(1, 1, 1000, 5)
    assert last(wire, client).status == OrderStatus.ACTIVE


def test_a_member_may_have_so_many_open_orders() -> None:
    wire = fast()
    client, other = wire.ready(), wire.ready(1, key=1)
    wire.exchange.matching.members[1].open_orders = OPEN_ORDERS_MAX - 1
    for number, one in enumerate((client, client, other)):
        one.new(number, 1, 900, 1)
    assert [message.template for message in said(wire, client)] == [
        Template.NEW_ORDER_RESPONSE, Template.NEW_ORDER_REJECT,
    ]  # fmt: skip
    assert last(wire, other).template == Template.NEW_ORDER_RESPONSE


def sell_wall(wire: Wire, client: Connection, count: int) -> None:
    for number in range(count):
        client.new(number, -1, 1000 + number // 100, 1)
        if number % 100 == 99:
            wire.run(0)
    wire.run(0)
    client.inbox.clear()


def test_an_order_takes_so_many_makers_and_no_more() -> None:
    """The rest of it ends; one that is to be filled whole is not begun."""
    wire = fast()
    maker, taker = wire.ready(), wire.ready(1, key=1)
    sell_wall(wire, maker, TOUCHED_MAX + 1)
    taker.new(1, 1, 1010, TOUCHED_MAX + 1, tif=FOK)
    refused = last(wire, taker)
    assert (refused.status, refused.cancel_reason, lots_of(refused.total_filled)) == (
        OrderStatus.CANCELED, CancelReason.TIME_IN_FORCE, 0,
    )  # fmt: skip
    taker.new(2, 1, 1010, TOUCHED_MAX + 1)
    cut = last(wire, taker)
    assert (cut.status, cut.cancel_reason, lots_of(cut.total_filled)) == (
        OrderStatus.CANCELED, CancelReason.TIME_IN_FORCE, TOUCHED_MAX,
    )  # fmt: skip
    filled = [fill for message in said(wire, maker) for fill in message.groups["fills"]]
    assert [fill["client_order_id"] for fill in filled] == list(range(TOUCHED_MAX))
    assert book(wire) == [[], [(1005, 1)]]
    members = wire.exchange.matching.members
    assert (members[1].position_lots[0], members[2].position_lots[0]) == (-TOUCHED_MAX, TOUCHED_MAX)
    assert (members[1].fills, members[2].fills) == (TOUCHED_MAX, TOUCHED_MAX)
    assert wire.exchange.matching.match_counter == TOUCHED_MAX


def test_an_order_to_be_filled_whole_by_the_last_maker_that_it_may_take() -> None:
    wire = fast()
    maker, taker = wire.ready(), wire.ready(1, key=1)
    sell_wall(wire, maker, TOUCHED_MAX)
    taker.new(1, 1, 1010, TOUCHED_MAX, tif=FOK)
    assert last(wire, taker).status == OrderStatus.FILLED


def test_a_sweep_as_it_is_published() -> None:
    wire = fast()
    maker, taker = wire.ready(), wire.ready(1, key=1)
    maker.new(1, -1, 1000, 2)
    maker.new(2, -1, 1001, 5)
    wire.run(0)
    first, second = (message.order_id for message in said(wire, maker))
    wire.packets.clear()
    taker.new(1, 1, 1003, 4, tif=IOC)
    answer = last(wire, taker)
    messages = wire.incremental()
    assert [message.template for message in messages] == [
        MarketTemplate.TRADE_SUMMARY, MarketTemplate.TRADE, MarketTemplate.ASK_DELETE,
        MarketTemplate.TRADE, MarketTemplate.ASK_QUANTITY_REDUCED,
    ]  # fmt: skip
    summary, trade, gone, later, reduced = (message.fields for message in messages)
    assert (summary["taker_order_id"], summary["deepest_price_e9"], summary["trade_count"]) == (
        answer.order_id, 1001 * TICK_E9, 2,
    )  # fmt: skip
    assert summary["taker_flags"] & 1 == 0
    assert [(each["maker_order_id"], each["fill_price_e9"], each["match_id"]) for each in (trade, later)] == [
        (first, 1000 * TICK_E9, 1), (second, 1001 * TICK_E9, 2),
    ]  # fmt: skip
    unit = later["fill_quantity_mantissa"] // 2
    assert (summary["total_filled_mantissa"], trade["fill_quantity_mantissa"], reduced["quantity_mantissa"]) == (
        4 * unit, 2 * unit, 3 * unit,
    )  # fmt: skip
    assert (gone["order_id"], reduced["order_id"]) == (first, second)
    assert trade["maker_flags"] & 1 == 1


def test_own_orders_taken_out_of_the_way_are_published_without_a_trade() -> None:
    wire = fast()
    client = wire.ready()
    client.new(1, -1, 1000, 2, smp=7)
    wire.run(0)
    wire.packets.clear()
    client.new(2, 1, 1000, 2, smp=7, mode=1)
    wire.run(0)
    assert [m.template for m in wire.incremental() if m.template not in (30,)] == [
        MarketTemplate.ASK_DELETE, MarketTemplate.BID_PUT,
    ]  # fmt: skip
    assert not any(m.template == MarketTemplate.TRADE for m in wire.incremental())
    wire.packets.clear()
    client.new(3, -1, 1000, 2, smp=7, mode=0)
    wire.run(0)
    assert wire.incremental() == []


def test_a_book_without_room_ends_what_would_rest() -> None:
    wire = fast(order_capacity=16, level_capacity=16)
    client = wire.ready()
    for number in range(1, 18):
        client.new(number, 1, 1000, 5)
    statuses = [(message.status, message.cancel_reason) for message in said(wire, client)]
    assert statuses == [(OrderStatus.ACTIVE, 0)] * 16 + [(OrderStatus.CANCELED, CancelReason.ADMIN)]
    assert wire.exchange.matching.queue_full == 1
    assert wire.exchange.matching.order_count == 16
    assert book(wire) == [[(1000, 5)] * 16, []]
    # An order that is amended to a price where there is room no more is where it was no longer, either.
    client.cancel(1)
    client.new(20, 1, 1000, 5)
    wire.run(0)
    assert book(wire) == [[(1000, 5)] * 16, []]


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("product", list(ProductType))
def test_which_instruments_a_product_type_names(kind: Kind, product: ProductType) -> None:
    named = {
        ProductType.OPTIONS: {Kind.OPTION}, ProductType.FUTURES: {Kind.PERPETUAL, Kind.FUTURE},
        ProductType.SPOT: {Kind.SPOT}, ProductType.ALL: set(Kind),
    }  # fmt: skip
    assert is_product(kind, product) == (kind in named.get(product, {Kind.COMBO}))


def test_a_mass_cancel_reaches_one_members_orders_of_one_instrument_or_pair() -> None:
    wire = fast(3)
    for index, underlying in enumerate((4, 4, 6)):
        wire.exchange.matching.market.instruments[index].underlying = underlying
    a, b, stranger = wire.ready(), wire.ready(1), wire.ready(0, 1, key=1)
    for client, number in ((a, 0), (b, 10), (stranger, 20)):
        for instrument in range(3):
            client.new(number + instrument, 1, 900, 1, instrument=instrument)
    wire.run(0)
    for client in (a, b, stranger):
        client.inbox.clear()
    for request, ended in (({"pair": 5}, []), ({"pair": 6}, [2, 12]), ({"instrument": FIRST_ID}, [0, 10]),
                           ({"pair": 4, "side": -1}, []), ({"pair": 4, "side": 1}, [1, 11])):  # fmt: skip
        a.mass_cancel(**request)
        answer, *notes = said(wire, a)
        assert answer.total_order_count == len(ended)
        ids = [order["client_order_id"] for note in [*notes, *said(wire, b)] for order in note.groups["orders"]]
        assert ids == ended
    assert said(wire, stranger) == []
    assert [member.open_orders for member in wire.exchange.matching.members] == [0, 0, 3, 0]


def test_a_mass_cancel_makes_held_orders_end_by_themselves_and_does_not_count_them() -> None:
    wire = fast(speed_bump_ns=10 * MS)
    maker, taker = wire.ready(), wire.ready(1, key=1)
    maker.new(1, 1, 1000, 2)
    taker.new(1, -1, 1000, 3)
    taker.new(2, -1, 1005, 3)
    wire.run(0)
    taker.inbox.clear()
    for _ in range(2):
        taker.mass_cancel(instrument=FIRST_ID)
    wire.run(0)
    answers = [message for message in taker.inbox if message.template == Template.MASS_CANCEL_RESPONSE]
    assert [answer.total_order_count for answer in answers] == [1, 0]
    taker.inbox.clear()
    wire.run(10 * MS)
    placed = taker.take(Template.ORDER_PLACED)
    assert (placed.status, placed.cancel_reason, lots_of(placed.total_filled)) == (
        OrderStatus.CANCELED, CancelReason.TIME_IN_FORCE, 2,
    )  # fmt: skip
    assert wire.exchange.matching.order_count == 0


def quoted(wire: Wire, client: Connection, *terms: tuple[int, int, int, int], **more: int) -> list[dict[str, Any]]:
    """Send a mass quote; its results."""
    quote(client, *terms, **more)
    for message in said(wire, client):
        if message.template == Template.MASS_QUOTE_RESPONSE:
            return message.groups["quotes"]
    raise AssertionError("it was refused")


def test_protection_counts_within_its_window_and_freezes_at_its_limit() -> None:
    wire = fast(protections=[Protection(5, limit_lots=6, window_ns=S, freeze_ns=2 * S)])
    maker, taker = wire.ready(), wire.ready(1, key=1)
    quoted(wire, maker, (999, 50, 1001, 50))
    wire.run(2 * S)
    for number, (after_ns, lots, is_frozen) in enumerate(
        ((0, 5, False), (S, 5, False), (S - 1, 0, False), (1, 5, False), (1, 1, True))
    ):
        wire.run(after_ns)
        if lots:
            taker.new(number, 1, 1001, lots, tif=IOC)
            wire.run(0)
        triggered = [m for m in maker.inbox if m.template == Template.MASS_QUOTE_MMP_TRIGGERED]
        assert bool(triggered) == is_frozen
    assert triggered[0].frozen_until_ns == wire.now_ns + 2 * S
    assert triggered[0].quantity_level == 6
    assert wire.exchange.matching.members[1].open_orders == 0
    assert book(wire) == [[], []]
    maker.inbox.clear()
    wire.run(2 * S - 1)
    assert Template.MASS_QUOTE_MMP_UNFROZEN not in [m.template for m in maker.inbox]
    quote(maker, (999, 5, 1001, 5))
    assert last(wire, maker).reason == 3
    wire.run(1)
    thawed = [m for m in maker.inbox if m.template == Template.MASS_QUOTE_MMP_UNFROZEN]
    assert [m.correlation_id for m in thawed] == [NULL_I64]
    # Nothing of before counts against the new window.
    quoted(wire, maker, (999, 50, 1001, 50))
    taker.new(11, 1, 1001, 5, tif=IOC)
    assert Template.MASS_QUOTE_MMP_TRIGGERED not in [m.template for m in said(wire, maker)]


def test_a_protection_without_a_freeze_waits_for_its_reset() -> None:
    protections = [Protection(5, limit_lots=6, freeze_ns=0), Protection(6, limit_lots=6), Protection(5, 2)]
    wire = fast(protections=protections)
    maker, taker = wire.ready(), wire.ready(1, key=1)
    quoted(wire, maker, (999, 50, 1001, 50))
    quoted(wire, maker, (998, 50, 1002, 50), group=6)
    quoted(wire, taker, (997, 50, 1003, 50))
    taker.new(1, 1, 1001, 6, tif=IOC)
    triggered = said(wire, maker)[1]
    assert (triggered.template, triggered.frozen_until_ns) == (Template.MASS_QUOTE_MMP_TRIGGERED, NULL_I64)
    # Neither the member's other group nor another member's of the same number.
    assert book(wire) == [[(998, 50), (997, 50)], [(1002, 50), (1003, 50)]]
    wire.run(100 * S)
    maker = wire.ready()
    quote(maker, (999, 5, 1001, 5))
    assert last(wire, maker).reason == 3
    assert quoted(wire, maker, (999, 5, 1001, 5), flags=1)[0]["bid_status"] == QuoteStatus.UPDATED


def test_a_group_quotes_so_many_instruments() -> None:
    wire = fast(protections=[Protection(5)])
    client = wire.ready()
    group = wire.exchange.matching.groups[0]
    group.quoted_count = QUOTED_MAX
    for place in range(QUOTED_MAX):
        group.quoted[place].instrument = 100 + place
    result = quoted(wire, client, (999, 5, 1001, 5))[0]
    assert (result["bid_status"], result["bid_reject_reason"]) == (QuoteStatus.INACTIVE, OrderRejectReason.SYSTEM_ERROR)
    assert (result["ask_status"], result["ask_order_id"]) == (QuoteStatus.INACTIVE, NULL_I64)
    group.quoted_count = QUOTED_MAX - 1
    assert quoted(wire, client, (999, 5, 1001, 5))[0]["ask_status"] == QuoteStatus.UPDATED
    # Found again where it is.
    assert quoted(wire, client, (999, 5, 1001, 5))[0]["ask_status"] == QuoteStatus.UNMODIFIED
    assert group.quoted_count == QUOTED_MAX


def test_what_each_side_of_a_quote_became() -> None:
    wire = fast(protections=[Protection(5)])
    maker, other = wire.ready(), wire.ready(1, key=1)
    result = quoted(wire, maker, (999, 5, 1001, 5))[0]
    bid, ask = result["bid_order_id"], result["ask_order_id"]
    other.new(1, -1, 999, 2, tif=IOC)
    wire.run(0)
    # What is left is what counts; the same again changes nothing, fewer keep the place, more do not.
    for lots, status in ((3, QuoteStatus.UNMODIFIED), (2, QuoteStatus.QUANTITY_REDUCED), (4, QuoteStatus.UPDATED)):
        result = quoted(wire, maker, (999, lots, 1001, 5))[0]
        assert (result["bid_status"], lots_of(result["bid_quantity"]), result["bid_order_id"]) == (status, lots, bid)
        assert (result["ask_status"], result["ask_order_id"]) == (QuoteStatus.UNMODIFIED, ask)
        assert book(wire) == [[(999, lots)], [(1001, 5)]]
    result = quoted(wire, maker, (998, 3, 1001, 5))[0]
    assert (result["bid_status"], result["bid_price_e9"]) == (QuoteStatus.UPDATED, 998 * TICK_E9)
    other.new(2, -1, 1000, 2)
    result = quoted(wire, maker, (1000, 2, 1001, 5))[0]
    assert (result["bid_status"], lots_of(result["bid_filled_quantity"])) == (QuoteStatus.FILLED, 2)
    # A quantity of nothing takes the quote away.
    result = quoted(wire, maker, (999, 5, 1001, 0))[0]
    assert (result["ask_status"], result["ask_order_id"]) == (QuoteStatus.CANCELED_BY_REQUEST, ask)
    assert book(wire) == [[(999, 5)], []]
    assert quoted(wire, maker, (999, 5, 1001, 0))[0]["ask_status"] == QuoteStatus.INACTIVE
    assert wire.exchange.matching.members[1].open_orders == 1
    assert wire.exchange.matching.members[1].position_lots[0] == 4


def test_a_quote_that_would_take_our_own_order_ends() -> None:
    wire = fast(protections=[Protection(5)])
    client = wire.ready()
    client.new(1, -1, 1000, 2, smp=7)
    body = struct.pack("<qqqqB", 1234, 55, 5, 7, 0) + struct.pack("<HH", 46, 1)
    body += struct.pack("<qqqqbqbHH", FIRST_ID, 1000 * TICK_E9, NULL_I64, 2, -3, 0, -3, 0, 0)
    client.send(Template.MASS_QUOTE_REQUEST, body)
    result = last(wire, client).groups["quotes"][0]
    assert (result["bid_status"], result["ask_status"]) == (QuoteStatus.CANCELED_BY_SELF_MATCH, QuoteStatus.INACTIVE)
    assert book(wire) == [[], [(1000, 2)]]


def test_a_held_quote_that_is_taken_away_ends_when_it_is_released() -> None:
    wire = fast(speed_bump_ns=10 * MS, protections=[Protection(5)])
    other, maker = wire.ready(1, key=1), wire.ready()
    other.new(1, 1, 1000, 2)
    held = quoted(wire, maker, (990, 5, 1000, 3))[0]["ask_order_id"]
    result = quoted(wire, maker, (990, 5, 1000, 0))[0]
    assert (result["ask_status"], result["ask_order_id"]) == (QuoteStatus.SPEED_BUMPED, held)
    maker.inbox.clear()
    wire.run(10 * MS)
    placed = maker.inbox[-1].groups["orders"][0]
    assert (placed["order_id"], placed["status"], lots_of(placed["total_filled"])) == (held, OrderStatus.CANCELED, 2)
    assert book(wire) == [[(990, 5)], []]


def test_an_order_may_have_a_quotes_number() -> None:
    wire = fast(protections=[Protection(5)])
    client = wire.ready()
    client.new(1234, 1, 900, 1)
    quoted(wire, client, (999, 5, 1001, 5))
    client.new(1234, 1, 900, 1)
    assert last(wire, client).reason == OrderRejectReason.DUPLICATE_CLIENT_ORDER_ID
    client.cancel(1234)
    assert last(wire, client).template == Template.CANCEL_ORDER_RESPONSE
    assert book(wire) == [[(999, 5)], [(1001, 5)]]


@pytest.mark.parametrize(("group", "side", "left"), [
    (5, 0, [[(998, 5)], [(1002, 5)]]), (5, 1, [[(998, 5)], [(1001, 5), (1002, 5)]]),
    (5, -1, [[(999, 5), (998, 5)], [(1002, 5)]]), (NULL_I64, 0, [[], []]),
])  # fmt: skip
def test_quotes_are_cancelled_by_group_and_side(group: int, side: int, left: list[Any]) -> None:
    wire = fast(protections=[Protection(5), Protection(6), Protection(5, 2)])
    client, other = wire.ready(), wire.ready(1, key=1)
    client.new(1, 1, 900, 1)
    quoted(wire, client, (999, 5, 1001, 5))
    quoted(wire, client, (998, 5, 1002, 5), group=6)
    quoted(wire, other, (997, 5, 1003, 5))
    client.send(Template.MASS_QUOTE_CANCEL_REQUEST, struct.pack("<qqb", 1, group, side))
    answer = said(wire, client)[0]
    bids, asks = left
    assert answer.total_order_count == 4 - len(bids) - len(asks)
    assert book(wire) == [[*bids, (997, 5), (900, 1)], [*asks, (1003, 5)]]


def test_used_numbers_are_remembered_to_half_the_table() -> None:
    wire = fast()
    client = wire.ready()
    member = wire.exchange.matching.members[1]
    client.new(1, 1, 900, 1)
    wire.run(0)
    assert member.seen_count == 1
    member.seen_count = 1 << SEEN_BITS >> 1
    client.new(2, 1, 900, 1)
    client.new(1, 1, 900, 1)
    client.cancel(2)
    client.new(2, 1, 900, 1)
    wire.run(0)
    assert (member.new_orders, member.duplicate_orders, member.unremembered) == (4, 1, 2)
    assert member.seen_count == 1 << SEEN_BITS >> 1
    member.seen_count -= 1
    client.new(3, 1, 900, 1)
    client.new(3, 1, 900, 1)
    wire.run(0)
    assert (member.new_orders, member.duplicate_orders, member.unremembered) == (6, 2, 2)


def test_what_a_disconnect_ends() -> None:
    wire = fast(speed_bump_ns=10 * MS)
    client, other = wire.ready(), wire.ready(1)
    client.new(1, 1, 1000, 5, flags=1)
    client.new(2, 1, 999, 5)
    other.new(3, 1, 998, 5, flags=1)
    client.hang_up()
    wire.run(0)
    assert book(wire) == [[(999, 5), (998, 5)], []]
    assert wire.exchange.matching.members[1].open_orders == 2


@pytest.mark.parametrize("side", [1, -1])
def test_an_amend_that_would_match_is_held_for_the_whole_time(side: int) -> None:
    wire = fast(speed_bump_ns=10 * MS)
    maker, client = wire.ready(), wire.ready(1, key=1)
    maker.new(1, -side, 1000, 2)
    client.new(1, side, 1000 - 10 * side, 3)
    wire.run(5 * MS)
    client.inbox.clear()
    client.amend(1, 1000, 4)
    amended = last(wire, client)
    assert (amended.status, amended.correlation_id) == (OrderStatus.QUEUED, 77)
    # Nobody sees it meanwhile.
    assert book(wire) == ([[], [(1000, 2)]] if side == 1 else [[(1000, 2)], []])
    wire.run(10 * MS - 1)
    assert said(wire, client) == []
    wire.run(1)
    placed = last(wire, client)
    assert (placed.template, placed.status, placed.correlation_id, lots_of(placed.total_filled)) == (
        Template.ORDER_PLACED, OrderStatus.ACTIVE, 77, 2,
    )  # fmt: skip
    assert book(wire) == ([[(1000, 2)], []] if side == 1 else [[], [(1000, 2)]])


def test_an_amend_that_would_match_needs_room_among_the_held() -> None:
    wire = fast(speed_bump_ns=10 * MS, held_member_max=1)
    maker, client = wire.ready(), wire.ready(1, key=1)
    maker.new(1, 1, 1000, 2)
    client.new(1, -1, 1010, 3)
    client.new(2, -1, 1000, 3)
    client.amend(1, 1000, 3)
    client.amend(1, 1009, 3)
    assert [message.fields.get("reason", -1) for message in said(wire, client)] == [
        -1, -1, OrderRejectReason.MEMBER_SPEED_BUMP_LIMIT_EXCEEDED, -1,
    ]  # fmt: skip
    assert book(wire) == [[(1000, 2)], [(1009, 3)]]


@pytest.mark.parametrize(("lots", "is_taken"), [(1, False), (2, False), (3, True), (5, True)])
def test_an_amend_leaves_more_than_was_filled(lots: int, is_taken: bool) -> None:
    wire = fast()
    maker, taker = wire.ready(), wire.ready(1, key=1)
    maker.new(1, 1, 1000, 5)
    taker.new(1, -1, 1000, 2, tif=IOC)
    wire.run(0)
    maker.inbox.clear()
    maker.amend(1, 1000, lots)
    answer = last(wire, maker)
    if is_taken:
        assert (answer.status, answer.correlation_id, answer.cancel_reason) == (OrderStatus.ACTIVE, 77, 0)
    else:
        assert answer.reason == OrderRejectReason.INVALID_QUANTITY
    left = lots - 2 if is_taken else 3
    assert book(wire) == [[(1000, left)], []]
    # No more than what is left is to be had.
    taker.new(2, -1, 1000, 9, tif=IOC)
    assert lots_of(last(wire, taker).total_filled) == left


@pytest.mark.parametrize("sorts_on_accept", [False, True])
@pytest.mark.parametrize(("price", "lots", "is_first"), [(1000, 4, True), (1000, 5, True), (1000, 6, False)])
def test_an_amend_keeps_its_place_only_downwards(sorts_on_accept: bool, price: int, lots: int, is_first: bool) -> None:
    wire = fast(sorts_on_accept=sorts_on_accept)
    maker, other, taker = wire.ready(), wire.ready(0, 1, key=2), wire.ready(1, key=1)
    maker.new(1, 1, 1000, 5)
    other.new(2, 1, 1000, 5)
    wire.run(0)
    maker.amend(1, price, lots)
    wire.run(0)
    maker.inbox.clear()
    taker.new(1, -1, 1000, 1, tif=IOC)
    assert [m.template for m in said(wire, maker)] == [Template.ORDER_FILLED] * is_first
    published = rebuilt_books(wire.incremental())[FIRST_ID][0]
    assert [lots for _, lots, _ in published] == ([lots - 1, 5] if is_first else [4, lots])


def test_an_amend_asks_for_nothing_else() -> None:
    """Not for the end of the order with its session, say."""
    wire = fast()
    client = wire.ready()
    client.new(1, 1, 1000, 5)
    client.new(2, 1, 1000, 5, flags=1)
    client.amend(1, 999, 5)
    client.amend(2, 998, 5)
    wire.run(0)
    client.hang_up()
    wire.run(0)
    assert book(wire) == [[(999, 5)], []]


def test_an_amended_market_order_has_the_price_that_it_was_given() -> None:
    """One that only took own orders out of its way rests, and asked for the best price until then."""
    wire = fast()
    client, other = wire.ready(), wire.ready(1, key=1)
    client.new(1, -1, 1000, 2, smp=7)
    other.new(1, -1, 1005, 2)
    client.new(2, 1, None, 2, flags=MARKET, smp=7, mode=1)
    assert last(wire, client).template == Template.ORDERS_CANCELED
    assert book(wire) == [[(1000, 2)], [(1005, 2)]]
    client.amend(2, 990, 2)
    assert last(wire, client).status == OrderStatus.ACTIVE
    assert book(wire) == [[(990, 2)], [(1005, 2)]]


def test_the_shortest_speed_bump_is_one() -> None:
    wire = fast(speed_bump_ns=1)
    maker, client = wire.ready(), wire.ready(1, key=1)
    maker.new(1, 1, 1000, 5)
    client.new(1, -1, 1000, 1)
    client.new(2, -1, 1010, 1)
    client.amend(2, 1000, 1)
    assert [message.status for message in said(wire, client)] == [
        OrderStatus.QUEUED, OrderStatus.ACTIVE, OrderStatus.QUEUED,
    ]  # fmt: skip
    wire.run(1)
    assert [message.status for message in said(wire, client)] == [OrderStatus.FILLED] * 2


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0), (1, 2, 0)])
def test_numbers_that_share_a_place_of_the_index_are_found_each_by_itself(order: tuple[int, ...]) -> None:
    wire = fast()
    client, other = wire.ready(), wire.ready(1, key=1)
    places: dict[int, list[int]] = {}
    number = 0
    while True:
        number += 1
        shared = places.setdefault(hash_bits(number, 12), [])
        shared.append(number)
        if len(shared) == 3:
            break
    for each in shared:
        client.new(each, 1, 900, 1)
        other.new(each, 1, 899, 1)
    said(wire, client)
    for place in order:
        for _ in range(2):
            client.cancel(shared[place])
        assert [message.template for message in said(wire, client)] == [
            Template.CANCEL_ORDER_RESPONSE, Template.CANCEL_ORDER_REJECT,
        ]  # fmt: skip
    for each in shared:
        client.new(each, 1, 900, 1)
    assert {message.template for message in said(wire, client)} == {Template.NEW_ORDER_RESPONSE}
    # Another member's of the same numbers are none of these.
    for each in shared:
        other.cancel(each)
    assert [message.template for message in said(wire, other)[3:]] == [Template.CANCEL_ORDER_RESPONSE] * 3
    assert book(wire) == [[(900, 1)] * 3, []]
