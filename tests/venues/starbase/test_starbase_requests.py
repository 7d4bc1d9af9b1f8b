"""What the simulated Starbase takes and refuses of its clients' requests, and every field of its answers."""

import struct
from typing import Any

import pytest

from crosswire.venues.starbase.wire.order_codes import (
    CancelOrderRejectReason,
    CancelReason,
    MassCancelRejectReason,
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
    S,
    book,
    fast,
    kinds,
    last,
    lots_of,
    new_body,
    quote,
    said,
)

pytestmark = pytest.mark.starbase
MMP, RESET_MMP = 16, 32
IOC = -2


def amend_body(price_e9: int = 1000 * TICK_E9, mantissa: int = 5, **more: int) -> bytes:
    values = {"cid": 1, "show": NULL_I64, "instrument": FIRST_ID, "exponent": -3} | more
    return struct.pack("<qqqqqbqbH", values["cid"], 77, values["instrument"], price_e9, mantissa, values["exponent"],
                       values["show"], NULL_EXPONENT, 0)  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"show": 5}, OrderRejectReason.ICEBERG_NOT_ALLOWED), ({"price_e9": TICK_E9 * 1000 + 1}, 6),
        ({"price_e9": NULL_I64}, 6), ({"lots": 0}, 5), ({"lots": -5}, 5), ({"exponent": -4}, 5),
        ({"side": 2}, 2), ({"side": -2}, 2), ({"tif": -3}, 2),
    ],
)  # fmt: skip
def test_orders_whose_fields_can_not_be(wrong: dict[str, int], reason: int) -> None:
    wire = fast()
    client = wire.ready()
    fields: dict[str, int] = {"side": 1, "price_e9": 1000 * TICK_E9, "lots": 5, "correlation": 44} | wrong
    client.send(Template.NEW_ORDER_REQUEST, new_body(1, **fields))
    refused = last(wire, client)
    assert (refused.template, refused.reason) == (Template.NEW_ORDER_REJECT, reason)
    assert (refused.client_order_id, refused.correlation_id, refused.order_id, refused.instrument_id) == (
        1, 44, NULL_I64, FIRST_ID,
    )  # fmt: skip
    assert wire.exchange.matching.order_count == 0


@pytest.mark.parametrize("tif", [0, 1, 3])
def test_an_order_good_for_days_rests(tif: int) -> None:
    wire = fast()
    client = wire.ready()
    client.new(1, -1, 1000, 5, tif=tif)
    assert last(wire, client).status == OrderStatus.ACTIVE
    assert book(wire) == [[], [(1000, 5)]]


def test_the_market_flag_takes_the_best_price_only_where_none_is_named() -> None:
    wire = fast()
    maker, client = wire.ready(), wire.ready(1, key=1)
    maker.new(1, -1, 1000, 5)
    client.new(1, 1, 990, 2, flags=8)
    assert last(wire, client).status == OrderStatus.ACTIVE
    client.new(2, 1, None, 2, flags=8)
    taken = last(wire, client)
    assert (taken.status, taken.groups["fills"][0]["fill_price_e9"]) == (OrderStatus.FILLED, 1000 * TICK_E9)
    assert book(wire) == [[(990, 2)], [(1000, 3)]]


@pytest.mark.parametrize(
    ("wrong", "reason", "is_known"),
    [
        ({"instrument": FIRST_ID + 9}, OrderRejectReason.INVALID_INSTRUMENT, False),
        ({"instrument": FIRST_ID + 1}, OrderRejectReason.ORDER_NOT_FOUND, False),
        ({"cid": 2}, OrderRejectReason.ORDER_NOT_FOUND, False), ({"show": 5}, 20, False),
        ({"price_e9": TICK_E9 * 1000 + 1}, 6, True), ({"price_e9": 0}, 6, True), ({"exponent": -4}, 5, True),
        ({"mantissa": 0}, 5, True),
    ],
)  # fmt: skip
def test_amends_that_can_not_be(wrong: dict[str, int], reason: int, is_known: bool) -> None:
    wire = fast(2)
    client = wire.ready()
    client.new(1, 1, 999, 5)
    order_id = last(wire, client).order_id
    client.send(Template.AMEND_ORDER_REQUEST, amend_body(**wrong))
    refused = last(wire, client)
    assert (refused.template, refused.reason) == (Template.AMEND_ORDER_REJECT, reason)
    assert (refused.client_order_id, refused.correlation_id, refused.instrument_id, refused.order_id) == (
        wrong.get("cid", 1), 77, wrong.get("instrument", FIRST_ID), order_id if is_known else NULL_I64,
    )  # fmt: skip
    assert book(wire) == [[(999, 5)], []]


def test_the_limit_of_messages_is_each_members_on_each_gateway() -> None:
    wire = fast(tokens_per_ms=100, tokens_full=4000)
    a, b, other = wire.ready(), wire.ready(1), wire.ready(0, 1, key=1)
    a.new(1, 1, 900, 1)
    a.amend(1, 901, 1)
    a.new(2, 1, 900, 1)
    a.amend(1, 902, 1)
    found = said(wire, a)
    assert [message.template for message in found] == [
        Template.NEW_ORDER_RESPONSE, Template.AMEND_ORDER_RESPONSE, Template.NEW_ORDER_REJECT,
        Template.AMEND_ORDER_REJECT,
    ]  # fmt: skip
    assert [message.reason for message in found[2:]] == [OrderRejectReason.RATE_LIMIT] * 2
    assert wire.exchange.gateways.rate_limited == 2
    for client in (b, other):
        client.new(3, 1, 900, 1)
        assert last(wire, client).template == Template.NEW_ORDER_RESPONSE
    # Of the member's keys on one gateway there is one limit.
    shared = wire.ready(0, 2, key=2)
    shared.new(4, 1, 900, 1)
    assert last(wire, shared).template == Template.NEW_ORDER_REJECT
    # A cancel is never refused, and draws all the same.
    wire.run(40 * MS)
    a.cancel(1)
    a.new(5, 1, 900, 1)
    a.new(6, 1, 900, 1)
    assert kinds(wire, a) == [Template.CANCEL_ORDER_RESPONSE, Template.NEW_ORDER_RESPONSE, Template.NEW_ORDER_REJECT]


def test_cancels_that_find_nothing() -> None:
    wire = fast(2)
    client, stranger = wire.ready(), wire.ready(1, key=1)
    client.new(1, 1, 999, 5)
    order_id = last(wire, client).order_id
    client.cancel(2)
    client.cancel(1, instrument=1)
    client.cancel(1, instrument=9)
    client.cancel_by_id(order_id + 1)
    client.cancel_by_id(order_id, instrument=1)
    stranger.cancel_by_id(order_id)
    unknown, foreign = CancelOrderRejectReason.UNKNOWN_ORDER, CancelOrderRejectReason.INVALID_INSTRUMENT
    names = ("client_order_id", "correlation_id", "order_id", "instrument_id", "reason")
    assert [tuple(message.fields[name] for name in names) for message in said(wire, client)] == [
        (2, 88, NULL_I64, FIRST_ID, unknown), (1, 88, NULL_I64, FIRST_ID + 1, unknown),
        (1, 88, NULL_I64, FIRST_ID + 9, foreign), (NULL_I64, 89, NULL_I64, FIRST_ID, unknown),
        (1, 89, NULL_I64, FIRST_ID + 1, unknown),
    ]  # fmt: skip
    assert last(wire, stranger).reason == unknown
    assert book(wire) == [[(999, 5)], []]
    # Its own session is told once, in the answer.
    client.cancel_by_id(order_id)
    found = said(wire, client)
    assert [(m.template, m.client_order_id, m.correlation_id, m.order_id) for m in found] == [
        (Template.CANCEL_ORDER_RESPONSE, 1, 89, order_id)
    ]
    assert book(wire) == [[], []]


def test_a_cancel_of_a_held_order_says_which_it_is() -> None:
    wire = fast(speed_bump_ns=10 * MS)
    maker, client = wire.ready(), wire.ready(1, key=1)
    maker.new(1, 1, 1000, 5)
    client.new(1, -1, 1000, 5)
    order_id = last(wire, client).order_id
    client.cancel(1)
    refused = last(wire, client)
    assert (refused.order_id, refused.reason) == (order_id, CancelOrderRejectReason.SPEED_BUMP_CONVERTED_TO_IOC)


@pytest.mark.parametrize(
    ("request_", "is_taken"),
    [
        ({}, False), ({"pair": 0, "instrument": FIRST_ID}, False), ({"instrument": FIRST_ID + 9}, False),
        ({"pair": 0, "side": 2}, False), ({"pair": 0, "side": -2}, False), ({"pair": 0, "product": -1}, False),
        ({"pair": 0, "product": 6}, False), ({"pair": 0, "side": 1}, True), ({"pair": 0, "side": -1}, True),
        ({"pair": 0, "product": 0}, True), ({"pair": 0, "product": 5}, True), ({"instrument": FIRST_ID}, True),
    ],
)  # fmt: skip
def test_which_mass_cancels_are_taken(request_: dict[str, int], is_taken: bool) -> None:
    wire = fast()
    client = wire.ready()
    client.mass_cancel(**request_)
    answer = last(wire, client)
    assert answer.correlation_id == 90
    if is_taken:
        assert (answer.template, answer.total_order_count, answer.receive_time_ns) == (
            Template.MASS_CANCEL_RESPONSE, 0, wire.now_ns,
        )  # fmt: skip
    else:
        assert (answer.template, answer.reason) == (Template.MASS_CANCEL_REJECT, MassCancelRejectReason.ERROR)


def test_an_order_under_a_frozen_protection_is_refused_unless_it_resets_it() -> None:
    wire = fast(protections=[Protection(0, is_quotes=False, limit_lots=3, freeze_ns=0)])
    maker, taker = wire.ready(), wire.ready(1, key=1)
    maker.new(1, 1, 1000, 5, flags=MMP)
    maker.new(2, 1, 999, 5)
    taker.new(1, -1, 1000, 3, tif=IOC)
    assert [message.template for message in said(wire, maker)][2:] == [
        Template.ORDER_FILLED, Template.ORDERS_MMP_TRIGGERED, Template.ORDERS_CANCELED,
    ]  # fmt: skip
    assert book(wire) == [[(999, 5)], []]
    maker.new(3, 1, 998, 5, flags=MMP)
    assert last(wire, maker).reason == OrderRejectReason.MMP_GROUP_FROZEN
    maker.new(4, 1, 998, 5, flags=MMP | RESET_MMP, correlation=4242)
    unfrozen, answer = said(wire, maker)
    assert (unfrozen.template, unfrozen.correlation_id, unfrozen.currency_pair_id) == (
        Template.ORDERS_MMP_UNFROZEN, 4242, 0,
    )  # fmt: skip
    assert answer.status == OrderStatus.ACTIVE
    # What is not frozen is not unfrozen.
    maker.new(5, 1, 997, 5, flags=MMP | RESET_MMP)
    assert kinds(wire, maker) == [Template.NEW_ORDER_RESPONSE]


def test_what_an_answer_says_of_its_order() -> None:
    wire = fast(2)
    maker, client = wire.ready(), wire.ready(1, key=1)
    maker.new(1, -1, 1000, 2, instrument=1)
    client.new(7, 1, 1001, 5, instrument=1, correlation=4242)
    answer = last(wire, client)
    assert (answer.client_order_id, answer.correlation_id, answer.instrument_id, answer.side) == (
        7, 4242, FIRST_ID + 1, 1,
    )  # fmt: skip
    assert (answer.price_e9, answer.status, answer.cancel_reason) == (1001 * TICK_E9, OrderStatus.ACTIVE, 0)
    assert [lots_of(answer.fields[name]) for name in ("quantity", "total_filled", "visible_quantity")] == [5, 2, 3]
    assert (answer.timestamp_ns, answer.receive_time_ns) == (wire.now_ns, wire.now_ns)
    assert [(f["match_id"], f["fill_price_e9"], lots_of(f["fill_quantity"])) for f in answer.groups["fills"]] == [
        (1, 1000 * TICK_E9, 2)
    ]
    resting, filled = said(wire, maker)
    assert (resting.side, filled.exec_id > answer.exec_id > resting.exec_id) == (-1, True)
    fill = filled.groups["fills"][0]
    assert (fill["client_order_id"], fill["order_id"], fill["instrument_id"], fill["match_id"], fill["side"]) == (
        1, resting.order_id, FIRST_ID + 1, 1, -1,
    )  # fmt: skip
    assert (fill["price_e9"], lots_of(fill["fill_quantity"]), lots_of(fill["total_filled"]), fill["flags"]) == (
        1000 * TICK_E9, 2, 2, 2,
    )  # fmt: skip
    client.amend(7, 1002, 4, instrument=1)
    amended = last(wire, client)
    assert (amended.correlation_id, amended.price_e9, amended.receive_time_ns) == (77, 1002 * TICK_E9, wire.now_ns)
    assert [lots_of(amended.fields[name]) for name in ("quantity", "total_filled", "visible_quantity")] == [4, 2, 2]
    client.cancel(7, instrument=1)
    ended = last(wire, client)
    assert (ended.correlation_id, ended.order_id, ended.instrument_id, ended.receive_time_ns) == (
        88, answer.order_id, FIRST_ID + 1, wire.now_ns,
    )  # fmt: skip
    assert [lots_of(ended.fields[name]) for name in ("quantity", "total_filled")] == [4, 2]


@pytest.mark.parametrize("count", [19, 20, 21, 41])
def test_fills_and_cancels_of_many_orders_come_in_parts(count: int) -> None:
    wire = fast()
    maker, other, taker = wire.ready(), wire.ready(0, 1, key=2), wire.ready(1, key=1)
    for number in range(count):
        maker.new(number, -1, 1000, 1)
    other.new(1000, -1, 1000, 1)
    for number in range(count):
        maker.new(100 + number, -1, 1001, 1)
    ids = {message.client_order_id: message.order_id for message in said(wire, maker)}
    other.inbox.clear()
    taker.new(1, 1, 1000, count + 1, tif=IOC)
    found = said(wire, maker)
    assert {message.template for message in found} == {Template.ORDER_FILLED}
    sizes = [20] * (count // 20) + [count % 20] * (count % 20 > 0)
    assert [len(message.groups["fills"]) for message in found] == sizes
    fills = [fill for message in found for fill in message.groups["fills"]]
    assert [(fill["client_order_id"], fill["match_id"]) for fill in fills] == [(n, n + 1) for n in range(count)]
    assert [fill["client_order_id"] for fill in last(wire, other).groups["fills"]] == [1000]
    maker.mass_cancel(instrument=FIRST_ID)
    answer, *found = said(wire, maker)
    assert answer.total_order_count == count
    assert [len(message.groups["orders"]) for message in found] == sizes
    assert [message.flags for message in found] == [0] * (len(sizes) - 1) + [1]
    ended = [order for message in found for order in message.groups["orders"]]
    assert [(order["client_order_id"], order["order_id"], order["instrument_id"]) for order in ended] == [
        (100 + number, ids[100 + number], FIRST_ID) for number in range(count)
    ]
    assert {(order["cancel_reason"], order["flags"], lots_of(order["total_filled"])) for order in ended} == {
        (CancelReason.BY_REQUEST, 0, 0)
    }


def mass_quote(client: Connection, instruments: list[int], **more: Any) -> None:
    """Bids and asks of one lot at 999 and 1001, or as they are named."""
    values = {"group": 5, "flags": 0, "bid": 999 * TICK_E9, "bid_lots": 1, "side_flags": 0} | more
    body = struct.pack("<qqqqB", 1234, 55, values["group"], 0, values["flags"])
    body += struct.pack("<HH", 46, len(instruments))
    for instrument in instruments:
        body += struct.pack("<qqqqbqbHH", FIRST_ID + instrument, values["bid"], 1001 * TICK_E9, values["bid_lots"], -3,
                            1, -3, values["side_flags"], values["side_flags"])  # fmt: skip
    data = client.frame(Template.MASS_QUOTE_REQUEST, body)
    data += bytes(-len(data) % 8)
    for start in range(0, len(data), 1000):
        client.send_bytes(data[start : start + 1000])


@pytest.mark.parametrize(
    ("instruments", "more", "reason"),
    [
        ([0], {"group": 6}, MassQuoteRejectReason.INVALID_MMP_GROUP),
        (list(range(33)), {}, MassQuoteRejectReason.TOO_MANY_QUOTES),
        ([0, 1, 0], {}, MassQuoteRejectReason.DUPLICATE_INSTRUMENT),
        ([0, 9], {}, MassQuoteRejectReason.INVALID_INSTRUMENT),
        ([0, 1], {}, None),
        ([], {}, None),
    ],
)
def test_mass_quotes_that_are_refused_whole(instruments: list[int], more: dict[str, int], reason: int | None) -> None:
    wire = fast(2, protections=[Protection(5), Protection(6, 2), Protection(6, is_quotes=False)])
    client = wire.ready()
    mass_quote(client, instruments, **more)
    answer = last(wire, client)
    assert (answer.quote_id, answer.correlation_id, answer.mmp_group_id) == (1234, 55, more.get("group", 5))
    if reason is None:
        assert answer.template == Template.MASS_QUOTE_RESPONSE
        assert (answer.receive_time_ns, len(answer.groups["quotes"])) == (wire.now_ns, len(instruments))
        assert wire.exchange.matching.members[1].open_orders == 2 * len(instruments)
    else:
        assert (answer.template, answer.reason) == (Template.MASS_QUOTE_REJECT, reason)
        assert wire.exchange.matching.order_count == 0


def test_as_many_quotes_as_there_may_be() -> None:
    wire = fast(32, protections=[Protection(5)])
    client = wire.ready()
    mass_quote(client, list(range(32)))
    answer = last(wire, client)
    assert [entry["instrument_id"] for entry in answer.groups["quotes"]] == [FIRST_ID + place for place in range(32)]
    assert wire.exchange.matching.members[1].open_orders == 64


def test_mass_quotes_and_their_cancels_draw_on_a_limit_of_their_own() -> None:
    wire = fast(protections=[Protection(5)], quote_tokens_per_ms=100, quote_tokens_full=4000)
    client, other = wire.ready(), wire.ready(1)
    for reason in (None, None, MassQuoteRejectReason.RATE_LIMIT):
        mass_quote(client, [0])
        answer = last(wire, client)
        assert answer.template == (Template.MASS_QUOTE_RESPONSE if reason is None else Template.MASS_QUOTE_REJECT)
        assert reason is None or answer.reason == reason
    mass_quote(other, [0])
    assert last(wire, other).template == Template.MASS_QUOTE_RESPONSE
    client.new(1, 1, 900, 1)
    assert last(wire, client).template == Template.NEW_ORDER_RESPONSE
    # A cancel of quotes is never refused, and draws all the same: as much as comes in a millisecond.
    wire.run(40 * MS)
    client.send(Template.MASS_QUOTE_CANCEL_REQUEST, struct.pack("<qqb", 1, 5, 0))
    cancelled = said(wire, client)[0]
    assert (cancelled.template, cancelled.total_order_count) == (Template.MASS_CANCEL_RESPONSE, 2)
    mass_quote(client, [0])
    assert last(wire, client).template == Template.MASS_QUOTE_RESPONSE
    wire.run(MS - 1)
    mass_quote(client, [0])
    assert last(wire, client).template == Template.MASS_QUOTE_REJECT
    wire.run(1)
    mass_quote(client, [0])
    assert last(wire, client).template == Template.MASS_QUOTE_RESPONSE


@pytest.mark.parametrize(
    ("more", "status", "reason"),
    [
        ({"bid": 999 * TICK_E9 + 1}, QuoteStatus.INACTIVE, OrderRejectReason.INVALID_PRICE),
        ({"bid_lots": -1}, QuoteStatus.INACTIVE, OrderRejectReason.INVALID_QUANTITY),
        ({"bid": 0}, QuoteStatus.INACTIVE, OrderRejectReason.INVALID_PRICE),
        ({"bid": NULL_I64}, QuoteStatus.INACTIVE, NULL_EXPONENT),
        ({"bid_lots": NULL_I64}, QuoteStatus.INACTIVE, NULL_EXPONENT),
        ({"side_flags": 8}, QuoteStatus.UPDATED, NULL_EXPONENT),
    ],
)
def test_one_side_of_a_quote_stands_for_itself(more: dict[str, int], status: int, reason: int) -> None:
    wire = fast(protections=[Protection(5)])
    client = wire.ready()
    mass_quote(client, [0], **more)
    entry = last(wire, client).groups["quotes"][0]
    assert (entry["bid_status"], entry["bid_reject_reason"]) == (status, reason)
    assert (entry["ask_status"], entry["ask_reject_reason"]) == (QuoteStatus.UPDATED, NULL_EXPONENT)
    assert (entry["bid_order_id"] == NULL_I64) == (status == QuoteStatus.INACTIVE)
    assert entry["ask_order_id"] != NULL_I64
    assert book(wire) == [[(999, 1)] if status == QuoteStatus.UPDATED else [], [(1001, 1)]]


def test_what_the_answer_to_a_mass_quote_says() -> None:
    wire = fast(2, protections=[Protection(5)])
    other, client = wire.ready(1, key=1), wire.ready()
    other.new(1, -1, 1000, 2, instrument=1)
    other.new(2, 1, 1005, 1)
    wire.run(0)
    quote(client, (990, 3, 1004, 4), (1001, 5, 1010, 6))
    answer = last(wire, client)
    first, second = answer.groups["quotes"]
    assert (first["bid_price_e9"], first["ask_price_e9"]) == (990 * TICK_E9, 1004 * TICK_E9)
    assert (second["bid_price_e9"], second["ask_price_e9"]) == (1001 * TICK_E9, 1010 * TICK_E9)
    sizes = [[lots_of(entry[f"{side}_{kind}quantity"]) for side in ("bid", "ask") for kind in ("", "filled_")]
             for entry in (first, second)]  # fmt: skip
    assert sizes == [[3, 0, 4, 1], [5, 2, 6, 0]]
    bids, asks = ([(f["match_id"], f["instrument_id"], f["fill_price_e9"], lots_of(f["fill_quantity"]))
                   for f in answer.groups[name]] for name in ("bid_fills", "ask_fills"))  # fmt: skip
    assert bids == [(2, FIRST_ID + 1, 1000 * TICK_E9, 2)]
    assert asks == [(1, FIRST_ID, 1005 * TICK_E9, 1)]
    fills = [fill for message in said(wire, other)[2:] for fill in message.groups["fills"]]
    assert [fill["client_order_id"] for fill in fills] == [2, 1]


def test_questions_about_protection() -> None:
    protections = [Protection(5, limit_lots=1, freeze_ns=S), Protection(6, limit_lots=1, freeze_ns=0),
                   Protection(7), Protection(0, is_quotes=False)]  # fmt: skip
    wire = fast(protections=protections)
    client, taker = wire.ready(), wire.ready(1, key=1)
    for group in (5, 6):
        quote(client, (999, 5, 1001, 5), group=group)
    taker.new(1, 1, 1001, 2, tif=IOC)
    taker.new(2, 1, 1001, 2, tif=IOC)
    wire.run(0)
    client.inbox.clear()
    frozen = wire.now_ns + S
    for group, until_ns in ((5, frozen), (6, NULL_I64), (7, NULL_I64)):
        client.send(Template.GET_MASS_QUOTE_MMP_STATUS_REQUEST, struct.pack("<qq", 33, group))
        answer = last(wire, client)
        assert answer.template == Template.GET_MASS_QUOTE_MMP_STATUS_RESPONSE
        assert (answer.timestamp_ns, answer.correlation_id, answer.mmp_group_id, answer.frozen_until_ns) == (
            wire.now_ns, 33, group, until_ns,
        )  # fmt: skip
    client.send(Template.GET_ORDERS_MMP_STATUS_REQUEST, struct.pack("<qq", 34, 0))
    answer = last(wire, client)
    assert (answer.template, answer.correlation_id) == (Template.GET_ORDERS_MMP_STATUS_RESPONSE, 34)
    for template, refused, group in (
        (Template.GET_MASS_QUOTE_MMP_STATUS_REQUEST, Template.GET_MASS_QUOTE_MMP_STATUS_REJECT, 0),
        (Template.GET_ORDERS_MMP_STATUS_REQUEST, Template.GET_ORDERS_MMP_STATUS_REJECT, 5),
    ):
        client.send(template, struct.pack("<qq", 35, group))
        answer = last(wire, client)
        assert (answer.template, answer.timestamp_ns, answer.correlation_id, answer.reason) == (
            refused, wire.now_ns, 35, 1,
        )  # fmt: skip


def test_a_quote_cancel_of_a_group_that_is_not_there() -> None:
    wire = fast(protections=[Protection(5), Protection(6, 2)])
    client = wire.ready()
    quote(client, (999, 5, 1001, 5))
    for group in (6, 7):
        client.send(Template.MASS_QUOTE_CANCEL_REQUEST, struct.pack("<qqb", 12, group, 0))
        answer = last(wire, client)
        assert (answer.template, answer.correlation_id, answer.reason) == (
            Template.MASS_CANCEL_REJECT, 12, MassCancelRejectReason.INVALID_MMP_GROUP,
        )  # fmt: skip
    assert book(wire) == [[(999, 5)], [(1001, 5)]]


def test_an_answer_to_a_mass_quote_tells_nothing_of_the_one_before() -> None:
    wire = fast(2, protections=[Protection(5)], qty_max_lots=20)
    other, client = wire.ready(1, key=1), wire.ready()
    for number, (bid, ask) in enumerate(((1000, 1060), (1001, 1059))):
        other.new(2 * number, -1, bid, 1)
        other.new(2 * number + 1, 1, ask, 1, instrument=1)
        wire.run(0)
        quote(client, (bid, 2, 1100, 2), (900, 2, ask, 2))
        answer = last(wire, client)
        assert [len(answer.groups[name]) for name in ("bid_fills", "ask_fills")] == [1, 1]
        first, second = answer.groups["quotes"]
        assert (lots_of(first["bid_filled_quantity"]), lots_of(second["ask_filled_quantity"])) == (1, 1)
    quote(client, (1001, 50, 1100, 50), (900, 50, 1059, 50))
    answer = last(wire, client)
    for entry in answer.groups["quotes"]:
        for side in ("bid", "ask"):
            assert (entry[f"{side}_status"], entry[f"{side}_price_e9"]) == (QuoteStatus.INACTIVE, 0)
            assert [lots_of(entry[f"{side}_{name}"]) for name in ("quantity", "filled_quantity")] == [0, 0]
    assert answer.groups["bid_fills"] == answer.groups["ask_fills"] == []


def test_an_order_under_protection_needs_one_of_its_pair() -> None:
    wire = fast(2, protections=[Protection(0, is_quotes=False), Protection(6, is_quotes=False, member=2)])
    wire.exchange.matching.market.instruments[1].underlying = 6
    client = wire.ready()
    client.new(1, 1, 1000, 5, flags=MMP)
    client.new(2, 1, 1000, 5, flags=MMP, instrument=1)
    client.new(3, 1, 1000, 5, instrument=1)
    assert [message.fields.get("reason", -1) for message in said(wire, client)] == [
        -1, OrderRejectReason.MMP_NOT_CONFIGURED, -1,
    ]  # fmt: skip


def test_a_quotes_fill_is_told_as_one() -> None:
    wire = fast(protections=[Protection(5)])
    client, taker = wire.ready(), wire.ready(1, key=1)
    client.new(1, -1, 1002, 1)
    quote(client, (999, 5, 1001, 5))
    entry = said(wire, client)[1].groups["quotes"][0]
    taker.new(1, 1, 1001, 2, tif=IOC)
    taker.new(2, 1, 1002, 4, tif=IOC)
    fills = [fill for message in said(wire, client) for fill in message.groups["fills"]]
    assert [(f["client_order_id"], f["order_id"] == entry["ask_order_id"], f["flags"]) for f in fills] == [
        (1234, True, 1), (1234, True, 3), (1, False, 2),
    ]  # fmt: skip
    assert [lots_of(f["total_filled"]) for f in fills] == [2, 5, 1]


def test_what_a_released_quote_became() -> None:
    wire = fast(speed_bump_ns=10 * MS, protections=[Protection(5)])
    other, client = wire.ready(1, key=1), wire.ready()
    other.new(1, 1, 1000, 2)
    quote(client, (990, 5, 999, 3))
    held = last(wire, client).groups["quotes"][0]["ask_order_id"]
    client.inbox.clear()
    wire.run(10 * MS)
    placed = said(wire, client)[0]
    assert (placed.template, placed.mmp_group_id, placed.timestamp_ns) == (
        Template.MASS_QUOTE_ORDERS_PLACED, 5, wire.now_ns,
    )  # fmt: skip
    order = placed.groups["orders"][0]
    assert (order["client_order_id"], order["order_id"], order["instrument_id"], order["side"]) == (
        1234, held, FIRST_ID, -1,
    )  # fmt: skip
    assert (order["price_e9"], order["status"], order["cancel_reason"]) == (999 * TICK_E9, OrderStatus.ACTIVE, 0)
    assert [lots_of(order[name]) for name in ("quantity", "total_filled", "visible_quantity")] == [3, 2, 1]
    fills = placed.groups["fills"]
    assert [(f["match_id"], f["order_id"], f["fill_price_e9"], lots_of(f["fill_quantity"])) for f in fills] == [
        (1, held, 1000 * TICK_E9, 2)
    ]


def test_a_held_order_that_was_cancelled_and_matches_nothing_is_confirmed_as_cancelled() -> None:
    wire = fast(speed_bump_ns=10 * MS)
    maker, client = wire.ready(), wire.ready(1, key=1)
    maker.new(1, 1, 1000, 2)
    client.new(1, -1, 1000, 3)
    order_id = last(wire, client).order_id
    client.cancel(1)
    maker.cancel(1)
    said(wire, client)
    wire.run(10 * MS)
    found = said(wire, client)
    assert [message.template for message in found] == [Template.ORDERS_CANCELED]
    assert found[0].flags == 1
    [order] = found[0].groups["orders"]
    assert (order["client_order_id"], order["order_id"], order["cancel_reason"], order["flags"]) == (
        1, order_id, CancelReason.BY_REQUEST, 0,
    )  # fmt: skip
    assert (order["instrument_id"], lots_of(order["total_filled"])) == (FIRST_ID, 0)


def test_a_quote_ended_by_a_cancel_is_told_as_a_quote() -> None:
    wire = fast(protections=[Protection(5)])
    client, other = wire.ready(), wire.ready(1)
    quote(client, (999, 5, 1001, 5))
    order_id = last(wire, client).groups["quotes"][0]["bid_order_id"]
    other.cancel_by_id(order_id)
    assert last(wire, other).template == Template.CANCEL_ORDER_RESPONSE
    [order] = last(wire, client).groups["orders"]
    assert (order["order_id"], order["flags"], order["client_order_id"]) == (order_id, 1, 1234)
    client.mass_cancel(instrument=FIRST_ID)
    [order] = last(wire, client).groups["orders"]
    assert order["flags"] == 1


def test_orders_are_released_by_their_time_and_not_as_they_came() -> None:
    wire = fast(2, speed_bump_ns=10 * MS)
    wire.exchange.matching.market.instruments[1].speed_bump_ns = 4 * MS
    maker, client = wire.ready(), wire.ready(1, key=1)
    for instrument in range(2):
        maker.new(1 + instrument, 1, 1000, 5, instrument=instrument)
    for number, instrument in enumerate((0, 1, 0, 1)):
        client.new(number, -1, 1000, 1, instrument=instrument)
    assert {message.status for message in said(wire, client)} == {OrderStatus.QUEUED}
    for after_ms, released in ((4, [1, 3]), (6, [0, 2])):
        wire.run(after_ms * MS - 1)
        assert said(wire, client) == []
        wire.run(1)
        assert [message.client_order_id for message in said(wire, client)] == released


def test_a_held_quote_that_was_filled_in_part_is_told_by_what_is_left() -> None:
    wire = fast(speed_bump_ns=10 * MS, protections=[Protection(5)])
    other, client = wire.ready(1, key=1), wire.ready()
    quote(client, (990, 5, 1001, 5))
    other.new(1, 1, 1001, 2)
    wire.run(10 * MS)
    other.new(2, 1, 995, 1)
    quote(client, (990, 5, 995, 4))
    client.inbox.clear()
    wire.run(0)
    client.inbox.clear()
    quote(client, (990, 5, 995, 4))
    entry = last(wire, client).groups["quotes"][0]
    assert (entry["ask_status"], lots_of(entry["ask_quantity"])) == (QuoteStatus.UNMODIFIED, 4)
