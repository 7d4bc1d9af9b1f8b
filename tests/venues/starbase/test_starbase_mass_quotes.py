"""Mass quotes of the simulated Starbase: what each side became, whom it concerns, and what protects the maker."""

import struct
from dataclasses import dataclass
from typing import Any

import pytest

from crosswire.venues.side import ASK, BID, opposite
from crosswire.venues.starbase.exchange.matching.matching import OrderRequest, place_order
from crosswire.venues.starbase.exchange.matching.state import NO_SESSION, NONE
from crosswire.venues.starbase.wire.order_codes import (
    MassQuoteRejectReason,
    OrderRejectReason,
    OrderStatus,
    QuoteStatus,
    Template,
)
from crosswire.venues.starbase.wire.order_layout import NULL_EXPONENT, NULL_I64
from tests.support.starbase_exchange_client import (
    FIRST_ID,
    MS,
    TICK_E9,
    Connection,
    Protection,
    Received,
    S,
    Wire,
    book,
    fast,
    last,
    lots_of,
    said,
)

pytestmark = pytest.mark.starbase
IOC = -2
POST_ONLY = 2


@dataclass(frozen=True)
class Side:
    """One side as it is asked for; `beyond_e9`: added to the price."""

    price: int
    lots: int
    flags: int = 0
    exponent: int = -3
    beyond_e9: int = 0


def mass_quote(
    client: Connection,
    *quotes: tuple[Side | None, Side | None],
    quote_id: int = 1234,
    group: int = 5,
    flags: int = 0,
    smp: int = 0,
    instruments: tuple[int, ...] = (),
) -> None:
    """Quote instrument 0, 1, ..., or those that are named; a side that is None is null."""
    body = struct.pack("<qqqqB", quote_id, quote_id + 1, group, smp, flags) + struct.pack("<HH", 46, len(quotes))
    for place, sides in enumerate(quotes):
        prices = [NULL_I64 if side is None else side.price * TICK_E9 + side.beyond_e9 for side in sides]
        body += struct.pack("<qqq", FIRST_ID + (instruments[place] if instruments else place), *prices)
        for side in sides:
            body += struct.pack("<qb", *((NULL_I64, NULL_EXPONENT) if side is None else (side.lots, side.exponent)))
        body += struct.pack("<HH", *(0 if side is None else side.flags for side in sides))
    client.send(Template.MASS_QUOTE_REQUEST, body)


def answered(wire: Wire, client: Connection, *quotes: tuple[Side | None, Side | None], **more: Any) -> Received:
    """Send a mass quote; its answer."""
    mass_quote(client, *quotes, **more)
    return next(message for message in said(wire, client) if message.template == Template.MASS_QUOTE_RESPONSE)


def result_of(answer: Received, side: str) -> tuple[int, int, int, int, int, int]:
    """Status, reason, order id, price in ticks, lots and filled lots of one side of the first quote."""
    result = answer.groups["quotes"][0]
    price, rest = divmod(result[f"{side}_price_e9"], TICK_E9)
    assert rest == 0
    return (
        result[f"{side}_status"], result[f"{side}_reject_reason"], result[f"{side}_order_id"], price,
        lots_of(result[f"{side}_quantity"]), lots_of(result[f"{side}_filled_quantity"]),
    )  # fmt: skip


BAD_SIDES = [
    (Side(1001, 4, beyond_e9=1), OrderRejectReason.INVALID_PRICE),
    (Side(1001, 4, exponent=-4), OrderRejectReason.INVALID_QUANTITY),
]


@pytest.mark.parametrize(("bad", "reason"), BAD_SIDES)
@pytest.mark.parametrize("place", [0, 1])
def test_a_side_that_is_refused_leaves_nothing_of_what_there_was(bad: Side, reason: int, place: int) -> None:
    wire = fast(protections=[Protection(5)])
    maker, other = wire.ready(), wire.ready(1, key=1)
    name = ("bid", "ask")[place]
    taken = (Side(1000, 5), Side(1005, 5)) if place == 0 else (Side(995, 5), Side(1000, 5))
    other.new(1, (-1, 1)[place], 1000, 2)
    first = answered(wire, maker, taken)
    assert lots_of(first.groups["quotes"][0][f"{name}_filled_quantity"]) == 2
    assert book(wire) == ([[(1000, 3)], [(1005, 5)]] if place == 0 else [[(995, 5)], [(1000, 3)]])
    asked = [taken[0], taken[1]]
    asked[place] = bad
    answer = answered(wire, maker, (asked[0], asked[1]))
    assert result_of(answer, name) == (QuoteStatus.INACTIVE, reason, NULL_I64, 0, 0, 0)
    assert result_of(answer, ("ask", "bid")[place])[0] == QuoteStatus.UNMODIFIED
    assert answer.groups[f"{name}_fills"] == []
    assert book(wire) == ([[], [(1005, 5)]] if place == 0 else [[(995, 5)], []])
    assert wire.exchange.matching.members[1].open_orders == 1


def test_what_a_held_side_is_refused_does_not_end_it() -> None:
    wire = fast(speed_bump_ns=10 * MS, protections=[Protection(5)])
    other, maker = wire.ready(1, key=1), wire.ready()
    other.new(1, 1, 1000, 2)
    held = answered(wire, maker, (None, Side(1000, 3)))
    assert result_of(held, "ask")[0] == QuoteStatus.SPEED_BUMPED
    refused = answered(wire, maker, (None, Side(1000, 3, beyond_e9=1)))
    assert result_of(refused, "ask")[:2] == (QuoteStatus.INACTIVE, OrderRejectReason.INVALID_PRICE)
    wire.run(10 * MS)
    assert book(wire) == [[], [(1000, 1)]]
    assert last(wire, other).groups["fills"][0]["client_order_id"] == 1


def test_a_held_side_is_told_as_it_is() -> None:
    """One that was filled in part, too: its price and what is left of it, whatever was asked for."""
    wire = fast(speed_bump_ns=10 * MS, protections=[Protection(5)])
    other, maker = wire.ready(1, key=1), wire.ready()
    order_id = result_of(answered(wire, maker, (None, Side(1003, 5))), "ask")[2]
    other.new(1, 1, 1003, 2)
    wire.run(10 * MS)
    other.new(2, 1, 1000, 1)
    moved = answered(wire, maker, (None, Side(1000, 3)), quote_id=2)
    assert result_of(moved, "ask") == (QuoteStatus.SPEED_BUMPED, NULL_EXPONENT, order_id, 1000, 3, 0)
    again = answered(wire, maker, (None, Side(1002, 9)), quote_id=3)
    assert result_of(again, "ask") == (
        QuoteStatus.UNMODIFIED, OrderRejectReason.SPEED_BUMPED, order_id, 1000, 3, 0,
    )  # fmt: skip
    wire.run(10 * MS)
    placed = last(wire, maker).groups["orders"][0]
    assert (placed["client_order_id"], placed["order_id"], placed["status"]) == (2, order_id, OrderStatus.ACTIVE)
    assert (lots_of(placed["quantity"]), lots_of(placed["total_filled"])) == (5, 3)
    assert book(wire) == [[], [(1000, 2)]]


def test_a_side_that_is_taken_away_is_told_once() -> None:
    wire = fast(protections=[Protection(5)])
    maker = wire.ready()
    order_id = result_of(answered(wire, maker, (Side(999, 5), None)), "bid")[2]
    gone = answered(wire, maker, (Side(990, 0), None))
    assert result_of(gone, "bid") == (QuoteStatus.CANCELED_BY_REQUEST, NULL_EXPONENT, order_id, 990, 0, 0)
    assert result_of(answered(wire, maker, (Side(980, 0), None)), "bid") == (
        QuoteStatus.INACTIVE, NULL_EXPONENT, NULL_I64, 980, 0, 0,
    )  # fmt: skip
    assert book(wire) == [[], []]


@pytest.mark.parametrize("is_bid", [True, False])
def test_what_one_side_took_is_not_told_of_another(is_bid: bool) -> None:
    wire = fast(2, protections=[Protection(5)])
    maker, other = wire.ready(), wire.ready(1, key=1)
    other.new(1, -1 if is_bid else 1, 1000, 2)
    wire.run(0)
    other.inbox.clear()
    wire.packets.clear()
    taking = Side(1000, 2)
    answer = answered(wire, maker, (taking, None) if is_bid else (None, taking), (None, Side(1010, 0)))
    took, other_side = ("bid", "ask") if is_bid else ("ask", "bid")
    fills = answer.groups[f"{took}_fills"]
    assert [(each["match_id"], each["instrument_id"], each["fill_price_e9"] // TICK_E9) for each in fills] == [
        (1, FIRST_ID, 1000)
    ]
    assert lots_of(fills[0]["fill_quantity"]) == 2
    assert answer.groups[f"{other_side}_fills"] == []
    assert [len(message.groups["fills"]) for message in said(wire, other)] == [1]
    matches = [message.fields["match_id"] for message in wire.incremental() if "match_id" in message.fields]
    assert matches == [1]


def test_a_quote_is_its_last_senders() -> None:
    """What is filled of it is told under its last number, to the session that it came by."""
    wire = fast(protections=[Protection(5)])
    a, b, other = wire.ready(), wire.ready(1), wire.ready(0, 1, key=1)
    first = answered(wire, a, (Side(999, 5), Side(1001, 5)), quote_id=1)
    second = answered(wire, b, (Side(999, 5), Side(1001, 4)), quote_id=2)
    assert [result_of(second, side)[0] for side in ("bid", "ask")] == [
        QuoteStatus.UNMODIFIED, QuoteStatus.QUANTITY_REDUCED,
    ]  # fmt: skip
    for number, (side, price, name) in enumerate(((1, 1001, "ask"), (-1, 999, "bid"))):
        other.new(number, side, price, 1, tif=IOC)
        fill = last(wire, b).groups["fills"][0]
        assert (fill["client_order_id"], fill["order_id"]) == (2, result_of(first, name)[2])
    assert said(wire, a) == []
    # And ends with it.
    b.hang_up()
    wire.run(0)
    a.send(Template.MASS_QUOTE_CANCEL_REQUEST, struct.pack("<qqb", 1, 5, 0))
    assert [message.template for message in said(wire, a)] == [Template.MASS_CANCEL_RESPONSE]


def test_a_post_only_side_is_told_at_the_price_that_it_rests_at() -> None:
    wire = fast(protections=[Protection(5)])
    maker, other = wire.ready(), wire.ready(1, key=1)
    other.new(1, -1, 1000, 2)
    wire.run(0)
    first = answered(wire, maker, (Side(1003, 5, flags=POST_ONLY), None))
    assert result_of(first, "bid")[0] == QuoteStatus.UPDATED
    assert result_of(first, "bid")[3:] == (999, 5, 0)
    again = answered(wire, maker, (Side(1001, 4, flags=POST_ONLY), None))
    assert result_of(again, "bid")[0] == QuoteStatus.UPDATED
    assert result_of(again, "bid")[3:] == (999, 4, 0)
    assert book(wire) == [[(999, 4)], [(1000, 2)]]


def test_a_quote_that_finds_no_room_in_the_book_is_told_as_inactive() -> None:
    wire = fast(order_capacity=16, level_capacity=16, protections=[Protection(5)])
    maker, other = wire.ready(), wire.ready(1, key=1)
    answered(wire, maker, (Side(999, 5), None))
    answered(wire, maker, (Side(999, 0), None))
    for number in range(16):
        other.new(number, 1, 998, 1)
    wire.run(0)
    full = answered(wire, maker, (Side(999, 5), None))
    assert result_of(full, "bid")[:2] == (QuoteStatus.INACTIVE, NULL_EXPONENT)
    assert book(wire) == [[(998, 1)] * 16, []]
    assert wire.exchange.matching.members[1].open_orders == 0
    other.cancel(0)
    wire.run(0)
    assert result_of(answered(wire, maker, (Side(999, 5), None)), "bid")[0] == QuoteStatus.UPDATED


@pytest.mark.parametrize("is_quote_cancel", [True, False])
def test_what_changes_nothing_tells_and_publishes_nothing(is_quote_cancel: bool) -> None:
    """A cancel of no quotes, and the end of a session without orders, do not tell again what was matched before."""
    wire = fast(protections=[Protection(5)])
    maker, taker, third = wire.ready(), wire.ready(1, key=1), wire.ready(0, 1, key=2)
    maker.new(1, 1, 1000, 5)
    taker.new(1, -1, 1000, 2)
    wire.run(0)
    wire.packets.clear()
    for client in (maker, taker):
        client.inbox.clear()
    if is_quote_cancel:
        third.send(Template.MASS_QUOTE_CANCEL_REQUEST, struct.pack("<qqb", 41, 5, 0))
        answer = last(wire, third)
        assert (answer.correlation_id, answer.total_order_count) == (41, 0)
    else:
        third.hang_up()
    assert said(wire, maker) == said(wire, taker) == []
    assert wire.incremental() == []


def triggered(wire: Wire, client: Connection) -> int:
    """How often the client was told since that its protection froze."""
    return [message.template for message in said(wire, client)].count(Template.MASS_QUOTE_MMP_TRIGGERED)


def test_the_shortest_freeze_is_one() -> None:
    wire = fast(protections=[Protection(5, limit_lots=2, freeze_ns=1)])
    maker, taker = wire.ready(), wire.ready(1, key=1)
    answered(wire, maker, (Side(999, 5), Side(1001, 5)))
    taker.new(1, 1, 1001, 2, tif=IOC)
    assert triggered(wire, maker) == 1
    wire.run(1)
    assert [message.template for message in said(wire, maker)] == [Template.MASS_QUOTE_MMP_UNFROZEN]


def test_a_freeze_is_told_once() -> None:
    wire = fast(protections=[Protection(5, limit_lots=2)])
    maker, taker = wire.ready(), wire.ready(1, key=1)
    answered(wire, maker, (Side(999, 5), Side(1001, 5)))
    taker.new(1, 1, 1001, 2, tif=IOC)
    assert triggered(wire, maker) == 1
    taker.new(2, 1, 990, 1)
    taker.new(3, -1, 990, 1)
    assert triggered(wire, maker) == 0


def test_a_thaw_begins_a_new_window() -> None:
    wire = fast(protections=[Protection(5, limit_lots=6, window_ns=S, freeze_ns=200 * MS)])
    maker, taker = wire.ready(), wire.ready(1, key=1)
    answered(wire, maker, (None, Side(1001, 50)))
    wire.run(100 * MS)
    taker.new(1, 1, 1001, 6, tif=IOC)
    assert triggered(wire, maker) == 1
    wire.run(200 * MS)
    answered(wire, maker, (None, Side(1001, 50)))
    wire.run(600 * MS)
    taker.new(2, 1, 1001, 5, tif=IOC)
    assert triggered(wire, maker) == 0
    # Past the end of the window in which it froze, within the one that began when it thawed.
    wire.run(200 * MS)
    taker.new(3, 1, 1001, 1, tif=IOC)
    assert triggered(wire, maker) == 1


@pytest.mark.parametrize("is_bid", [True, False])
def test_a_null_side_is_told_as_nothing(is_bid: bool) -> None:
    wire = fast(protections=[Protection(5)])
    maker = wire.ready()
    asked = Side(999, 5)
    answer = answered(wire, maker, (asked, None) if is_bid else (None, asked))
    name, other = ("bid", "ask") if is_bid else ("ask", "bid")
    assert result_of(answer, name)[3:] == (999, 5, 0)
    assert result_of(answer, other) == (QuoteStatus.INACTIVE, NULL_EXPONENT, NULL_I64, 0, 0, 0)


@pytest.mark.parametrize("is_bid", [True, False])
def test_all_that_the_sides_took_is_told_in_order(is_bid: bool) -> None:
    wire = fast(2, protections=[Protection(5)])
    maker, other = wire.ready(), wire.ready(1, key=1)
    side = -1 if is_bid else 1
    for number in range(4):
        other.new(number, side, 1000 - side * (number % 2), number + 1, instrument=number // 2)
    wire.run(0)
    taking = Side(1001, 9) if is_bid else Side(999, 9)
    pair = (taking, None) if is_bid else (None, taking)
    answer = answered(wire, maker, pair, pair)
    name, none = ("bid", "ask") if is_bid else ("ask", "bid")
    fills = [
        (each["match_id"], each["instrument_id"], each["fill_price_e9"] // TICK_E9, lots_of(each["fill_quantity"]))
        for each in answer.groups[f"{name}_fills"]
    ]
    assert fills == [
        (1, FIRST_ID, 1000, 1), (2, FIRST_ID, 1000 - side, 2),
        (3, FIRST_ID + 1, 1000, 3), (4, FIRST_ID + 1, 1000 - side, 4),
    ]  # fmt: skip
    assert answer.groups[f"{none}_fills"] == []


@pytest.mark.parametrize("makers", [400, 401])
@pytest.mark.parametrize("side", [BID, ASK])
def test_a_side_whose_fills_might_not_fit_the_answer_is_refused(side: int, makers: int) -> None:
    wire = fast(2, protections=[Protection(5)])
    maker = wire.ready()
    request = OrderRequest(
        session=NO_SESSION, member=2, side=opposite(side), price_ticks=1000, qty_lots=1, group=NONE, is_quote=1
    )
    for _ in range(makers):
        place_order(wire.exchange.matching, request, wire.now_ns)
    taking, plain = Side(1000, makers), Side(1000, 3)
    first, second = ((taking, None), (plain, None)) if side == BID else ((None, taking), (None, plain))
    answer = answered(wire, maker, first, second)
    name = ("bid", "ask")[side]
    assert len(answer.groups[f"{name}_fills"]) == makers
    result = answer.groups["quotes"][1]
    assert (result[f"{name}_status"], result[f"{name}_reject_reason"]) == (
        (QuoteStatus.UPDATED, NULL_EXPONENT) if makers == 400
        else (QuoteStatus.INACTIVE, OrderRejectReason.SYSTEM_ERROR)
    )  # fmt: skip
    # The other side counts for itself.
    assert result[f"{('ask', 'bid')[side]}_reject_reason"] == NULL_EXPONENT


@pytest.mark.parametrize("smp", [-3, 0, 1, 7])
def test_a_quote_ends_before_its_makers_own_order_whatever_orders_before_it_asked_for(smp: int) -> None:
    wire = fast(protections=[Protection(5)])
    client = wire.ready()
    client.new(1, -1, 1000, 2, smp=max(1, smp))
    client.new(2, 1, 900, 1, smp=max(1, smp), mode=1)
    wire.run(0)
    answer = answered(wire, client, (Side(1000, 2), None), smp=smp)
    if smp > 0:
        assert result_of(answer, "bid")[0] == QuoteStatus.CANCELED_BY_SELF_MATCH
        assert book(wire) == [[(900, 1)], [(1000, 2)]]
    else:
        assert result_of(answer, "bid")[0] == QuoteStatus.FILLED
        assert book(wire) == [[(900, 1)], []]


@pytest.mark.parametrize("instruments", [(0, 1, 1), (0, 1, 0), (1, 1, 0), (2, 0, 1)])
def test_an_instrument_is_quoted_once(instruments: tuple[int, ...]) -> None:
    wire = fast(3, protections=[Protection(5)])
    client = wire.ready()
    sides = (Side(999, 5), Side(1001, 5))
    mass_quote(client, sides, sides, sides, instruments=instruments)
    answer = last(wire, client)
    if len(set(instruments)) == 3:
        assert answer.template == Template.MASS_QUOTE_RESPONSE
        assert [each["instrument_id"] - FIRST_ID for each in answer.groups["quotes"]] == list(instruments)
        assert [book(wire, index) for index in range(3)] == [[[(999, 5)], [(1001, 5)]]] * 3
    else:
        assert (answer.template, answer.reason) == (
            Template.MASS_QUOTE_REJECT, MassQuoteRejectReason.DUPLICATE_INSTRUMENT,
        )  # fmt: skip
        assert wire.exchange.matching.order_count == 0


def test_quotes_that_another_session_cancels_are_told_to_theirs_and_published() -> None:
    wire = fast(protections=[Protection(5)])
    a, b = wire.ready(), wire.ready(1)
    first = answered(wire, a, (Side(999, 5), Side(1001, 5)))
    b.send(Template.MASS_QUOTE_CANCEL_REQUEST, struct.pack("<qqb", 41, 5, 0))
    answer = last(wire, b)
    assert (answer.template, answer.correlation_id, answer.total_order_count) == (Template.MASS_CANCEL_RESPONSE, 41, 2)
    [told] = said(wire, a)
    assert [order["order_id"] for order in told.groups["orders"]] == [
        result_of(first, name)[2] for name in ("bid", "ask")
    ]
    assert book(wire) == [[], []]


@pytest.mark.parametrize(("bad", "reason"), BAD_SIDES)
def test_what_a_bid_took_is_not_told_of_an_ask_that_is_refused(bad: Side, reason: int) -> None:
    wire = fast(protections=[Protection(5)])
    maker, other = wire.ready(), wire.ready(1, key=1)
    other.new(1, -1, 1000, 2)
    wire.run(0)
    other.inbox.clear()
    answer = answered(wire, maker, (Side(1000, 2), bad))
    assert result_of(answer, "ask") == (QuoteStatus.INACTIVE, reason, NULL_I64, 0, 0, 0)
    assert (len(answer.groups["bid_fills"]), answer.groups["ask_fills"]) == (1, [])
    assert [len(message.groups["fills"]) for message in said(wire, other)] == [1]
    assert wire.exchange.matching.members[1].position_lots[0] == 2


@pytest.mark.parametrize(("side", "left"), [(1, [[], [(1001, 5), (1010, 1)]]), (-1, [[(999, 5), (990, 1)], []])])
def test_a_mass_cancel_of_one_side_leaves_the_other_quotes_too(side: int, left: list[list[tuple[int, int]]]) -> None:
    wire = fast(protections=[Protection(5)])
    client = wire.ready()
    answered(wire, client, (Side(999, 5), Side(1001, 5)))
    client.new(1, 1, 990, 1)
    client.new(2, -1, 1010, 1)
    client.mass_cancel(instrument=FIRST_ID, side=side)
    answer = next(message for message in said(wire, client) if message.template == Template.MASS_CANCEL_RESPONSE)
    assert answer.total_order_count == 2
    assert book(wire) == left
