"""Every field and group of what the simulated Starbase says of orders, message by message, to everyone it concerns."""

import struct
from typing import Any

import pytest

from crosswire.venues.side import SELL
from crosswire.venues.starbase.exchange.matching.matching import OrderRequest, place_order
from crosswire.venues.starbase.exchange.matching.state import NO_SESSION, NOBODY, NONE
from crosswire.venues.starbase.wire.order_codes import (
    CancelReason,
    MassCancelRejectReason,
    MassQuoteRejectReason,
    MmpStatusRejectReason,
    OrderStatus,
    QuoteStatus,
    Template,
    WireRejectReason,
)
from crosswire.venues.starbase.wire.order_layout import NULL_EXPONENT, NULL_I64
from tests.support.starbase_exchange_client import (
    FIRST_ID,
    MS,
    START_NS,
    TICK_E9,
    Connection,
    Protection,
    Received,
    S,
    Wire,
    book,
    fast,
    lots_of,
    quote,
    said,
)

pytestmark = pytest.mark.starbase
IOC = -2
MMP, RESET_MMP = 16, 32
IS_QUOTE, IS_FULLY_FILLED = 1, 2
TIME_NS = START_NS + 40 * MS  # after all have logged on


def readable(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields with quantities in lots and prices in ticks."""
    found = {}
    for name, value in fields.items():
        is_price = name.endswith("price_e9") and value % TICK_E9 == 0
        found[name] = lots_of(value) if isinstance(value, tuple) else value // TICK_E9 if is_price else value
    return found


def whole(message: Received) -> dict[str, Any]:
    """All that a message says."""
    groups = {name: [readable(entry) for entry in entries] for name, entries in message.groups.items()}
    return {"template": message.template} | readable(message.fields) | groups


def heard(wire: Wire, *clients: Connection) -> list[list[dict[str, Any]]]:
    """All that each was told since."""
    wire.run(0)
    found = [[whole(message) for message in client.inbox] for client in clients]
    for client in clients:
        client.inbox.clear()
    return found


def started(**options: Any) -> tuple[Wire, Connection, Connection, Connection]:
    """An exchange, both sessions of member 1, and one of member 2."""
    wire = fast(2, **options)
    a, b, other = wire.ready(), wire.ready(1), wire.ready(0, 1, key=1)
    wire.run(TIME_NS - wire.now_ns)
    return wire, a, b, other


def assert_kept(wire: Wire, *clients: Connection) -> None:
    """All that was said of orders behind the logon is said again to who asks for it."""
    for number, client in enumerate(clients):
        client.inbox.clear()
        client.send(Template.RESEND_REQUEST, struct.pack("<qq", 2, 0))
        count = wire.exchange.gateways.sessions[(0, 1, 2)[number]].send_sequence
        found = said(wire, client)
        if count == 1:
            assert [message.template for message in found] == [Template.REJECT]
            continue
        assert [message.sequence for message in found] == list(range(2, count + 1))
        assert Template.GAP_FILL not in [message.template for message in found]


def head(template: int, exec_id: int, **fields: Any) -> dict[str, Any]:
    return {"template": template, "timestamp_ns": TIME_NS, "exec_id": exec_id} | fields


def order_of(client_order_id: int, correlation_id: int, number: int, **more: Any) -> dict[str, Any]:
    """How an answer begins that is about the exchange's order `number`, in the slot before that."""
    return {
        "client_order_id": client_order_id, "correlation_id": correlation_id, "order_id": number << 14 | number - 1,
        "instrument_id": FIRST_ID + 1,
    } | more  # fmt: skip


def terms(price: int, lots: int, filled: int, visible: int, status: int, reason: int = 0) -> dict[str, Any]:
    return {
        "price_e9": price, "quantity": lots, "total_filled": filled, "visible_quantity": visible, "status": status,
        "cancel_reason": reason,
    }  # fmt: skip


def fill(match_id: int, price: int, lots: int) -> dict[str, Any]:
    return {"match_id": match_id, "fill_price_e9": price, "fill_quantity": lots}


def maker_fill(number: int, cid: int, match_id: int, price: int, lots: int, filled: int, flags: int) -> dict[str, Any]:
    return {
        "client_order_id": cid, "order_id": number << 14 | number - 1, "instrument_id": FIRST_ID + 1,
        "match_id": match_id, "price_e9": price, "fill_quantity": lots, "total_filled": filled, "side": -1,
        "flags": flags,
    }  # fmt: skip


def test_an_order_that_takes_from_both_sessions_of_a_member() -> None:
    wire, a, b, other = started()
    a.new(11, -1, 1000, 2, instrument=1, correlation=5)
    b.new(12, -1, 1001, 3, instrument=1, correlation=6)
    a.new(13, -1, 1002, 4, instrument=1, correlation=7)
    assert heard(wire, a, b, other) == [
        [
            head(Template.NEW_ORDER_RESPONSE, 1, receive_time_ns=TIME_NS, side=-1, fills=[], legs=[])
            | order_of(11, 5, 1) | terms(1000, 2, 0, 2, OrderStatus.ACTIVE),
            head(Template.NEW_ORDER_RESPONSE, 3, receive_time_ns=TIME_NS, side=-1, fills=[], legs=[])
            | order_of(13, 7, 3) | terms(1002, 4, 0, 4, OrderStatus.ACTIVE),
        ],
        [
            head(Template.NEW_ORDER_RESPONSE, 2, receive_time_ns=TIME_NS, side=-1, fills=[], legs=[])
            | order_of(12, 6, 2) | terms(1001, 3, 0, 3, OrderStatus.ACTIVE),
        ],
        [],
    ]  # fmt: skip
    other.new(21, 1, 1002, 7, instrument=1, correlation=8)
    assert heard(wire, a, b, other) == [
        [
            head(Template.ORDER_FILLED, 5, legs=[], fills=[
                maker_fill(1, 11, 1, 1000, 2, 2, IS_FULLY_FILLED), maker_fill(3, 13, 3, 1002, 2, 2, 0),
            ]),
        ],
        [head(Template.ORDER_FILLED, 6, legs=[], fills=[maker_fill(2, 12, 2, 1001, 3, 3, IS_FULLY_FILLED)])],
        [
            head(Template.NEW_ORDER_RESPONSE, 4, receive_time_ns=TIME_NS, side=1, legs=[],
                 fills=[fill(1, 1000, 2), fill(2, 1001, 3), fill(3, 1002, 2)])
            | order_of(21, 8, 4) | terms(1002, 7, 7, 0, OrderStatus.FILLED),
        ],
    ]  # fmt: skip
    # What is left of one that was filled in part is cancelled by the other session, by the exchange's number.
    b.cancel_by_id(3 << 14 | 2, instrument=1)
    assert heard(wire, a, b, other) == [
        [
            head(Template.ORDERS_CANCELED, 8, flags=1, orders=[{
                "client_order_id": 13, "order_id": 3 << 14 | 2, "instrument_id": FIRST_ID + 1, "total_filled": 2,
                "cancel_reason": CancelReason.BY_REQUEST, "flags": 0,
            }]),
        ],
        [
            head(Template.CANCEL_ORDER_RESPONSE, 7, receive_time_ns=TIME_NS, quantity=4, total_filled=2)
            | order_of(13, 89, 3),
        ],
        [],
    ]  # fmt: skip
    assert_kept(wire, a, b, other)


def test_an_amend_from_the_other_session_that_matches() -> None:
    wire, a, b, other = started()
    other.new(21, -1, 1000, 2, instrument=1)
    a.new(11, 1, 990, 5, instrument=1, correlation=5)
    heard(wire, a, b, other)
    b.amend(11, 1000, 6, instrument=1)
    answer = {"receive_time_ns": TIME_NS, "legs": []} | order_of(11, 77, 2) | terms(1000, 6, 2, 4, OrderStatus.ACTIVE)
    assert heard(wire, a, b, other) == [
        [head(Template.AMEND_ORDER_RESPONSE, 4, fills=[fill(1, 1000, 2)]) | answer],
        [head(Template.AMEND_ORDER_RESPONSE, 3, fills=[]) | answer],
        [head(Template.ORDER_FILLED, 5, legs=[], fills=[maker_fill(1, 21, 1, 1000, 2, 2, IS_FULLY_FILLED)])],
    ]
    # From the session that it came by, one answer.
    a.amend(11, 999, 6, instrument=1)
    answer = {"receive_time_ns": TIME_NS, "legs": []} | order_of(11, 77, 2) | terms(999, 6, 2, 4, OrderStatus.ACTIVE)
    assert heard(wire, a, b) == [[head(Template.AMEND_ORDER_RESPONSE, 6, fills=[]) | answer], []]
    assert_kept(wire, a, b, other)


def test_an_order_that_comes_out_of_the_speed_bump() -> None:
    wire, a, b, other = started(speed_bump_ns=10 * MS)
    other.new(21, -1, 1000, 2, instrument=1)
    a.new(11, 1, 1000, 5, instrument=1, correlation=5)
    a.new(12, 1, 1000, 5, instrument=1, correlation=6)
    heard(wire, a, b, other)
    a.cancel(12, instrument=1)
    assert heard(wire, a) == [
        [head(Template.CANCEL_ORDER_REJECT, 4, reason=8) | order_of(12, 88, 3)],
    ]
    wire.run(10 * MS)
    placed = head(Template.ORDER_PLACED, 5, fills=[fill(1, 1000, 2)], legs=[]) | order_of(11, 5, 2)
    ended = head(Template.ORDERS_CANCELED, 7, flags=1, orders=[{
        "client_order_id": 12, "order_id": 3 << 14 | 2, "instrument_id": FIRST_ID + 1, "total_filled": 0,
        "cancel_reason": CancelReason.BY_REQUEST, "flags": 0,
    }])  # fmt: skip
    filled = head(Template.ORDER_FILLED, 6, legs=[], fills=[maker_fill(1, 21, 1, 1000, 2, 2, IS_FULLY_FILLED)])
    later = {"timestamp_ns": TIME_NS + 10 * MS}
    assert heard(wire, a, b, other) == [
        [placed | terms(1000, 5, 2, 3, OrderStatus.ACTIVE) | later, ended | later], [], [filled | later],
    ]  # fmt: skip
    assert_kept(wire, a, b, other)


def placed_quote(number: int, price: int, lots: int, filled: int, visible: int, status: int) -> dict[str, Any]:
    return {
        "client_order_id": 1234, "order_id": number << 14 | number - 1, "instrument_id": FIRST_ID, "side": -1,
    } | terms(price, lots, filled, visible, status)  # fmt: skip


def test_a_quote_that_comes_out_of_the_speed_bump() -> None:
    wire, a, b, other = started(speed_bump_ns=10 * MS, protections=[Protection(4), Protection(5)])
    other.new(21, 1, 1000, 2)
    other.new(22, 1, 999, 1)
    quote(a, (990, 5, 999, 4))
    heard(wire, a, b, other)
    wire.run(10 * MS)
    [placed], nothing, [filled] = heard(wire, a, b, other)
    match = {"order_id": 4 << 14 | 3}
    assert placed == head(
        Template.MASS_QUOTE_ORDERS_PLACED, 4, timestamp_ns=TIME_NS + 10 * MS, mmp_group_id=5, legs=[],
        orders=[placed_quote(4, 999, 4, 3, 1, OrderStatus.ACTIVE)],
        fills=[fill(1, 1000, 2) | match, fill(2, 999, 1) | match],
    )  # fmt: skip
    assert nothing == []
    assert [each["flags"] for each in filled["fills"]] == [IS_FULLY_FILLED] * 2
    assert_kept(wire, a, b, other)


def quote_result(bid: dict[str, Any], ask: dict[str, Any], instrument: int) -> dict[str, Any]:
    sides = {"bid": bid, "ask": ask}
    entry = {f"{name}_{key}": value for name, side in sides.items() for key, value in side.items()}
    return {"instrument_id": FIRST_ID + instrument} | entry


def side_result(status: int, order_id: int, price: int, lots: int, filled: int = 0) -> dict[str, Any]:
    return {
        "order_id": order_id, "price_e9": price, "quantity": lots,
        "filled_quantity": filled, "status": status, "reject_reason": NULL_EXPONENT,
    }  # fmt: skip


def test_a_mass_quote_of_two_instruments() -> None:
    wire, a, b, other = started(protections=[Protection(4), Protection(5)])
    other.new(21, -1, 1000, 2)
    other.new(22, 1, 2000, 3, instrument=1)
    heard(wire, a, b, other)
    quote(a, (1000, 5, 1005, 6), (1990, 7, 1999, 3))
    answer, nothing, told = heard(wire, a, b, other)
    both = [
        quote_result(
            side_result(QuoteStatus.UPDATED, 3 << 14 | 2, 1000, 5, 2),
            side_result(QuoteStatus.UPDATED, 4 << 14, 1005, 6), 0
        ),
        quote_result(
            side_result(QuoteStatus.UPDATED, 5 << 14 | 3, 1990, 7),
            side_result(QuoteStatus.FILLED, 6 << 14 | 4, 1999, 3, 3), 1
        ),
    ]  # fmt: skip
    assert answer == [
        head(
            Template.MASS_QUOTE_RESPONSE, 5, quote_id=1234, correlation_id=55, mmp_group_id=5, receive_time_ns=TIME_NS,
            quotes=both, legs=[], bid_fills=[{"instrument_id": FIRST_ID} | fill(1, 1000, 2)],
            ask_fills=[{"instrument_id": FIRST_ID + 1} | fill(2, 2000, 3)],
        )
    ]  # fmt: skip
    assert nothing == []
    assert [(each["template"], each["exec_id"], each["legs"], len(each["fills"])) for each in told] == [
        (Template.ORDER_FILLED, 3, [], 1), (Template.ORDER_FILLED, 4, [], 1),
    ]  # fmt: skip
    # The same again: nothing of the fills before.
    quote(a, (1000, 3, 1005, 6), (1990, 7, 1999, 3))
    [[again]] = heard(wire, a)
    assert (again["bid_fills"], again["ask_fills"]) == ([], [])
    assert again["quotes"][0] == quote_result(
        side_result(QuoteStatus.UNMODIFIED, 3 << 14 | 2, 1000, 3),
        side_result(QuoteStatus.UNMODIFIED, 4 << 14, 1005, 6),
        0,
    )
    assert_kept(wire, a, b, other)


@pytest.mark.parametrize("is_quotes", [True, False])
def test_protection_as_it_is_told(is_quotes: bool) -> None:
    """The limit reached, how it is asked for, who is refused meanwhile, and the thaw by itself and by request."""
    wire, a, _, other = started(protections=[Protection(9, is_quotes=is_quotes), Protection(5, 1, is_quotes, 3, S, S)])
    wire.exchange.matching.market.instruments[0].underlying = 5
    subject = {"mmp_group_id" if is_quotes else "currency_pair_id": 5}
    triggered, unfrozen, asked, answer = (
        (Template.MASS_QUOTE_MMP_TRIGGERED, Template.MASS_QUOTE_MMP_UNFROZEN,
         Template.GET_MASS_QUOTE_MMP_STATUS_REQUEST, Template.GET_MASS_QUOTE_MMP_STATUS_RESPONSE) if is_quotes else
        (Template.ORDERS_MMP_TRIGGERED, Template.ORDERS_MMP_UNFROZEN, Template.GET_ORDERS_MMP_STATUS_REQUEST,
         Template.GET_ORDERS_MMP_STATUS_RESPONSE)
    )  # fmt: skip

    def offer(flags: int = 0) -> None:
        if is_quotes:
            quote(a, (990, 5, 1000, 5), flags=flags)
        else:
            a.new(1, -1, 1000, 5, flags=MMP | flags, correlation=66)

    def status() -> dict[str, Any]:
        a.send(asked, struct.pack("<qq", 31, 5))
        [[found]] = heard(wire, a)
        return found

    def state(until_ns: int) -> dict[str, Any]:
        return {
            "template": answer, "timestamp_ns": wire.now_ns, "correlation_id": 31, "frozen_until_ns": until_ns
        } | subject  # fmt: skip

    offer()
    heard(wire, a)
    assert status() == state(NULL_I64)
    other.new(21, 1, 1000, 3, tif=IOC)
    fills, [*told], [taken] = *heard(wire, a), *[[]], *heard(wire, other)
    assert taken["fills"] == [fill(1, 1000, 3)]
    assert told == []
    assert [each["template"] for each in fills] == [Template.ORDER_FILLED, triggered, Template.ORDERS_CANCELED]
    assert fills[0]["fills"][0]["flags"] == (IS_QUOTE if is_quotes else 0)
    assert fills[1] == head(
        triggered, fills[0]["exec_id"] + 1, frozen_until_ns=TIME_NS + S, quantity_level=3.0, vega_level=0.0,
        delta_level=0.0, trigger=0,
    ) | subject  # fmt: skip
    assert {(each["cancel_reason"], each["flags"]) for each in fills[2]["orders"]} == {
        (CancelReason.MM_PROTECTION, int(is_quotes))
    }
    assert status() == state(TIME_NS + S)
    offer()
    [[refused]] = heard(wire, a)
    if is_quotes:
        assert refused == head(
            Template.MASS_QUOTE_REJECT, refused["exec_id"], quote_id=1234, correlation_id=55, mmp_group_id=5,
            reason=MassQuoteRejectReason.MMP_GROUP_FROZEN,
        )  # fmt: skip
    assert refused["exec_id"] == fills[2]["exec_id"] + 1
    offer(1 if is_quotes else RESET_MMP)
    [[thawed, taken_again]] = heard(wire, a)
    assert thawed == head(
        unfrozen, refused["exec_id"] + 1, correlation_id=55 if is_quotes else 66
    ) | subject  # fmt: skip
    assert taken_again["exec_id"] == thawed["exec_id"] + 1
    assert status() == state(NULL_I64)
    # The second time it is waited for.
    other.new(22, 1, 1000, 3, tif=IOC)
    wire.run(0)
    heard(wire, a)
    wire.run(S)
    [[thawed]] = heard(wire, a)
    assert thawed == {
        "template": unfrozen, "timestamp_ns": TIME_NS + S, "exec_id": thawed["exec_id"], "correlation_id": NULL_I64,
    } | subject  # fmt: skip
    assert status() == state(NULL_I64)
    assert_kept(wire, a)


@pytest.mark.parametrize("is_quotes", [True, False])
def test_what_is_refused_with_few_words(is_quotes: bool) -> None:
    wire, a, b, other = started()
    kind = Template.GET_MASS_QUOTE_MMP_STATUS_REQUEST if is_quotes else Template.GET_ORDERS_MMP_STATUS_REQUEST
    a.send(kind, struct.pack("<qq", 31, 5))
    a.mass_cancel()
    a.send(Template.MASS_QUOTE_CANCEL_REQUEST, struct.pack("<qqb", 41, 5, 0))
    a.send(Template.RESEND_REQUEST, struct.pack("<qq", -1, 0))
    a.mass_cancel(pair=4)
    refusal = Template.GET_MASS_QUOTE_MMP_STATUS_REJECT if is_quotes else Template.GET_ORDERS_MMP_STATUS_REJECT
    assert heard(wire, a, b, other) == [
        [
            {
                "template": refusal, "timestamp_ns": TIME_NS, "correlation_id": 31,
                "reason": MmpStatusRejectReason.INVALID_MMP_GROUP,
            },
            head(Template.MASS_CANCEL_REJECT, 1, correlation_id=90, reason=MassCancelRejectReason.ERROR),
            head(Template.MASS_CANCEL_REJECT, 2, correlation_id=41, reason=MassCancelRejectReason.INVALID_MMP_GROUP),
            {"template": Template.REJECT, "reference_sequence": 5, "reason": WireRejectReason.INVALID_FIELD_VALUE},
            head(Template.MASS_CANCEL_RESPONSE, 3, correlation_id=90, receive_time_ns=TIME_NS, total_order_count=0),
        ],
        [],
        [],
    ]  # fmt: skip
    assert_kept(wire, a)


@pytest.mark.parametrize("count", [19, 20, 21, 40, 41])
def test_the_last_part_of_many_says_so(count: int) -> None:
    wire, a, b, other = started()
    for number in range(count):
        a.new(number, 1, 900, 2)
    other.new(1, -1, 900, 1)
    heard(wire, a)
    b.mass_cancel(instrument=FIRST_ID)
    parts, [answer] = heard(wire, a, b)
    assert answer["total_order_count"] == count
    assert [len(part["orders"]) for part in parts] == [20] * (count // 20) + [count % 20] * (count % 20 != 0)
    assert [part["flags"] for part in parts] == [0] * (len(parts) - 1) + [1]
    orders = [(order["client_order_id"], order["total_filled"]) for part in parts for order in part["orders"]]
    assert orders == [(0, 1), *((number, 0) for number in range(1, count))]
    assert_kept(wire, a, b, other)


def test_what_a_held_order_of_nobodys_client_did_is_told_to_no_session() -> None:
    wire = fast(speed_bump_ns=10 * MS)
    clients = [wire.ready(gateway, gateway, key=key) for gateway, key in ((0, 0), (1, 1), (1, 2))]
    clients[0].new(1, 1, 1000, 5)
    said(wire, clients[0])
    request = OrderRequest(session=NO_SESSION, member=NOBODY, side=SELL, price_ticks=1000, qty_lots=2, group=NONE)
    place_order(wire.exchange.matching, request, wire.now_ns)
    assert wire.exchange.matching.held_count == 1
    wire.run(10 * MS)
    assert [[message.template for message in said(wire, client)] for client in clients] == [
        [Template.ORDER_FILLED], [], [],
    ]  # fmt: skip
    assert sum(session.send_sequence for session in wire.exchange.gateways.sessions) == 3 + 2
    assert book(wire) == [[(1000, 3)], []]


def test_a_held_quote_that_is_taken_away_says_why_it_ended() -> None:
    wire, a, b, other = started(speed_bump_ns=10 * MS, protections=[Protection(5)])
    other.new(21, 1, 1000, 2)
    quote(a, (990, 5, 1000, 3))
    quote(a, (990, 5, 1000, 0))
    heard(wire, a)
    wire.run(10 * MS)
    [[placed]] = heard(wire, a)
    [order] = placed["orders"]
    assert (order["status"], order["cancel_reason"], order["total_filled"], order["visible_quantity"]) == (
        OrderStatus.CANCELED, CancelReason.TIME_IN_FORCE, 2, 0,
    )  # fmt: skip
    assert_kept(wire, a, b, other)


def test_why_an_order_ended_at_once() -> None:
    wire, a, b, other = started()
    a.new(11, 1, 1000, 5, instrument=1, tif=IOC, correlation=5)
    a.new(12, -1, 1000, 2, instrument=1, smp=7)
    a.new(13, 1, 1000, 3, instrument=1, smp=7, correlation=6)
    [ended, _, kept_apart] = heard(wire, a)[0]
    answer = {"receive_time_ns": TIME_NS, "side": 1, "fills": [], "legs": []}
    assert ended == head(Template.NEW_ORDER_RESPONSE, 1) | answer | order_of(11, 5, 1) | terms(
        1000, 5, 0, 0, OrderStatus.CANCELED, CancelReason.TIME_IN_FORCE
    )
    assert kept_apart == head(Template.NEW_ORDER_RESPONSE, 3) | answer | order_of(
        13, 6, 3, order_id=3 << 14 | 1
    ) | terms(1000, 3, 0, 0, OrderStatus.CANCELED, CancelReason.SELF_MATCH_PREVENTION)
    assert_kept(wire, a, b, other)


def test_what_is_said_again_is_padded_with_zeros_wherever_it_lies() -> None:
    """The reader of frames looks at the padding; what was said again before lies in the same memory."""
    wire, a, _, other = started(protections=[Protection(5)])
    other.new(1, -1, 1000, 3)
    for number in range(3):
        a.new(number, 1, 1000, 1)
        a.amend(9, 1000, 1)
        quote(a, (990, 5, 1010, 6 + number))
        a.cancel(9)
    [told] = heard(wire, a)
    for first in (*range(2, 14), *range(13, 1, -1)):
        a.send(Template.RESEND_REQUEST, struct.pack("<qq", first, 13))
        assert heard(wire, a) == [told[first - 2 :]]
