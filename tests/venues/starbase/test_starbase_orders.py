"""The Starbase order session against a gateway that speaks from the published tables."""

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crosswire.nic.duration import NS_PER_MS, NS_PER_S
from crosswire.nic.rings.ring import NEVER_NS
from crosswire.venues.order import (
    NOT_TOLD,
    REPORTS_MAX,
    Applied,
    OrderState,
    RejectReason,
    Report,
    ReportKind,
    apply_report,
    make_order_table,
)
from crosswire.venues.session import (
    SessionState,
    write_cancel,
    write_cancel_by_id,
    write_mass_cancel,
)
from crosswire.venues.side import BUY, SELL
from crosswire.venues.starbase.orders.fills import FILLS_MAX, FillSet, add_fill_once
from crosswire.venues.starbase.orders.session import make_starbase_session
from crosswire.venues.starbase.orders.state import Refusal
from crosswire.venues.starbase.wire.stream import FrameFault
from tests.support.order_setup import FIRST_VENUE_ID, VENUE, open_order
from tests.support.starbase_order_setup import (
    ACTIVE,
    CANCELED,
    CLIENT_ID,
    EXCHANGE_NS,
    FOK,
    FUZZ_FRAMES,
    GTC,
    IOC,
    NOW_NS,
    NULL,
    POST_ONLY,
    QUEUED,
    SECRET,
    Bench,
    fill,
    flow_of,
    placed,
    quantity,
    response,
    result,
    ticks,
    told,
)
from tests.support.starbase_wire import pack_frame

pytestmark = pytest.mark.starbase


def test_logon_says_who_we_are(bench: Bench) -> None:
    name, root, _ = bench.gateway.seen[0]
    assert name == "Logon"
    assert root == {
        "clientId": CLIENT_ID, "secret": SECRET, "resetSeqNum": 1, "schemaVersion": 17, "cancelOnDisconnect": 1,
    }  # fmt: skip
    assert bench.gateway.numbers == [1]
    assert bench.session.links[0].heartbeat_interval_ns == 5 * NS_PER_S


def test_nothing_goes_out_before_the_logon_is_answered() -> None:
    bench = Bench()
    bench.ring.connections[0] = 0
    assert bench.keep() == NEVER_NS
    bench.session.started = 1
    assert bench.keep() == NOW_NS + NS_PER_MS
    assert bench.gateway.take() == []
    bench.ring.connections[0] = 1
    bench.keep(NS_PER_MS)
    assert bench.gateway.take() == ["Logon"]
    assert bench.session.state == SessionState.LOGGING_ON
    assert bench.new(BUY, IOC, 101, 5) == 0
    assert not write_cancel(bench.session, bench.ring, 1, 0, bench.now_ns)
    assert not write_mass_cancel(bench.session, bench.ring, bench.now_ns)
    assert bench.gateway.take() == []


@pytest.mark.parametrize(
    ("time_in_force", "code", "flags"), [(IOC, -2, 1), (FOK, -1, 1), (GTC, 0, 1), (POST_ONLY, 0, 5)]
)
@pytest.mark.parametrize(("side", "side_code"), [(BUY, 1), (SELL, -1)])
def test_a_new_order_on_the_wire(time_in_force: int, code: int, flags: int, side: int, side_code: int) -> None:
    bench = Bench(self_match_prevention_id=77, self_trading_mode=1)
    bench.log_on()
    order_id = bench.new(side, time_in_force, 101, 5, instrument=1)
    assert bench.gateway.take() == ["NewOrderRequest"]
    assert bench.gateway.seen[0][1] == {
        "clientOrderId": order_id, "correlationId": order_id, "instrumentId": FIRST_VENUE_ID + 1,
        "price.price9": 10_100_000_000, "quantity.mantissa": 5_000_000, "quantity.exponent": -9,
        "showQty.mantissa": NULL, "showQty.exponent": -128, "selfMatchPreventionId": 77, "side": side_code,
        "timeInForce": code, "flags": flags, "selfTradingMode": 1,
    }  # fmt: skip
    assert (bench.gateway.numbers, bench.gateway.processed) == ([1, 2], [0, 1])


def test_taker_fills_come_in_the_answer(bench: Bench) -> None:
    order_id = bench.new(BUY, IOC, 102, 20)
    groups = {"fills": [fill(1, 101, 5, exponent=-9), fill(2, 102, 3, exponent=-4)]}
    heard = bench.hear(bench.gateway.frame("NewOrderResponse", response(order_id, CANCELED, 20, 8, reason=2), groups))
    assert told(heard, "price_ticks", "qty_lots", "leaves_lots", "queued", "reason") == [
        (ReportKind.ACK, 0, 0, NOT_TOLD, 0, 0),
        (ReportKind.FILL, 101, 5, 15, 0, 0),
        (ReportKind.FILL, 102, 3, 12, 0, 0),
        (ReportKind.CANCELLED, 0, 0, 12, 0, RejectReason.NONE),
    ]
    assert {(one["venue"], one["client_order_id"], one["instrument"], one["side"]) for one in heard} == {
        (VENUE, order_id, 0, BUY)
    }
    assert {one["exchange_time_ns"] for one in heard} == {EXCHANGE_NS}
    assert [one["execution_id"] for one in heard] == [0, 1, 2, 0]
    assert [one["fee_e9"] for one in heard] == [0, 5 * 101 * 100_000 * 500_000 // 10**9, 15_300, 0]
    assert {one["exchange_order_id"] for one in heard} == {9001}


def test_maker_fills_come_by_themselves(bench: Bench) -> None:
    first, second = bench.new(SELL, GTC, 110, 10), bench.new(BUY, GTC, 90, 4)
    fills = [
        {"clientOrderId": order_id, "orderId": 5, "instrumentId": FIRST_VENUE_ID, "matchId": match, "side": side,
         **ticks("price", price), **quantity("fillQty", lots), **quantity("totalFilled", total)}
        for order_id, match, side, price, lots, total in (
            (first, 1, -1, 110, 4, 4), (first, 2, -1, 110, 6, 10), (second, 2, 1, 90, 4, 4))
    ]  # fmt: skip
    heard = bench.hear(bench.gateway.frame("OrderFilled", {"timestamp": 7}, {"fills": fills}))
    assert (
        told(heard, "client_order_id", "side", "price_ticks", "qty_lots", "filled_lots", "is_maker")
        == [
            (ReportKind.FILL, first, SELL, 110, 4, 4, 1),
            (ReportKind.FILL, first, SELL, 110, 6, 10, 1),
            (ReportKind.FILL, second, BUY, 90, 4, 4, 1),
        ][:2]
    )  # the third has the second's match and order number: a copy
    assert bench.session.fills.copies == 1


def test_fills_whose_match_numbers_come_out_of_order_are_both_told(bench: Bench) -> None:
    first, second = bench.new(SELL, GTC, 110, 10), bench.new(SELL, GTC, 110, 10)
    fills = [
        {"clientOrderId": order_id, "orderId": 5 + match, "instrumentId": FIRST_VENUE_ID, "matchId": match, "side": -1,
         **ticks("price", 110), **quantity("fillQty", 4), **quantity("totalFilled", 4)}
        for order_id, match in ((first, 10), (second, 9))
    ]  # fmt: skip
    heard = [
        report
        for fill in fills
        for report in bench.hear(bench.gateway.frame("OrderFilled", {"timestamp": 7}, {"fills": [fill]}))
    ]
    assert [(each["client_order_id"], each["execution_id"]) for each in heard] == [(first, 1), (second, 2)]
    assert bench.session.fills.copies == 0


def test_a_held_order_is_placed_and_fills(bench: Bench) -> None:
    order_id = bench.new(SELL, GTC, 101, 20)
    heard = bench.hear(bench.gateway.frame("NewOrderResponse", response(order_id, QUEUED, 20, side=-1)))
    assert told(heard, "queued") == [(ReportKind.ACK, 1)]
    frame = bench.gateway.frame("OrderPlaced", placed(order_id, ACTIVE, 20, 8), {"fills": [fill(1, 101, 8)]})
    heard = bench.hear(frame)
    assert told(heard, "queued", "qty_lots", "leaves_lots", "side") == [
        (ReportKind.ACK, 0, 0, NOT_TOLD, SELL),
        (ReportKind.FILL, 0, 8, 12, SELL),
    ]


def test_a_cancel_makes_a_held_order_an_ioc(bench: Bench) -> None:
    order_id = bench.new(BUY, GTC, 101, 20)
    bench.hear(bench.gateway.frame("NewOrderResponse", response(order_id, QUEUED, 20)))
    assert write_cancel(bench.session, bench.ring, order_id, 0, bench.now_ns)
    bench.pump()
    assert bench.gateway.take() == ["NewOrderRequest", "CancelOrderRequest"]
    assert bench.gateway.seen[1][1] == {
        "clientOrderId": order_id, "correlationId": order_id, "instrumentId": FIRST_VENUE_ID,
    }  # fmt: skip
    heard = bench.hear(bench.gateway.frame("CancelOrderReject", {"clientOrderId": order_id, "reason": 8}))
    assert told(heard, "client_order_id") == [(ReportKind.CONVERTED, order_id)]
    heard = bench.hear(bench.gateway.frame("CancelOrderReject", {"clientOrderId": order_id, "reason": 7}))
    assert told(heard, "reason") == [(ReportKind.CANCEL_REJECTED, RejectReason.OTHER)]
    frame = bench.gateway.frame(
        "OrderPlaced", placed(order_id, CANCELED, 20, 8, reason=2), {"fills": [fill(1, 101, 8)]}
    )
    assert told(bench.hear(frame), "leaves_lots") == [
        (ReportKind.ACK, NOT_TOLD), (ReportKind.FILL, 12), (ReportKind.CANCELLED, 12),
    ]  # fmt: skip


def test_cancels_of_every_kind(bench: Bench) -> None:
    order_id = bench.new(BUY, GTC, 90, 4)
    bench.gateway.take()
    assert write_cancel_by_id(bench.session, bench.ring, 4711, 1, bench.now_ns)
    assert write_mass_cancel(bench.session, bench.ring, bench.now_ns)
    bench.pump()
    assert bench.gateway.take() == ["CancelOrderByIdRequest", "MassCancelRequest", "MassCancelRequest"]
    by_id, first, second = (root for _, root, _ in bench.gateway.seen)
    assert by_id == {"orderId": 4711, "correlationId": 4711, "instrumentId": FIRST_VENUE_ID + 1}
    assert first == {
        "correlationId": 1, "currencyPairId": NULL, "instrumentId": FIRST_VENUE_ID, "productType": 0, "side": 0,
    }  # fmt: skip
    assert (second["correlationId"], second["instrumentId"]) == (2, FIRST_VENUE_ID + 1)
    body = response(order_id, 0, 4, 1)
    wanted = ("timestamp", "execId", "clientOrderId", "orderId", "instrumentId")
    root = {name: body[name] for name in wanted} | quantity("quantity", 4) | quantity("totalFilled", 1)
    assert told(bench.hear(bench.gateway.frame("CancelOrderResponse", root)), "leaves_lots", "client_order_id") == [
        (ReportKind.CANCELLED, 3, order_id)
    ]
    old = {name: body[name] for name in wanted}
    frame = bench.gateway.frame("CancelOrderResponse", old, version=15, size=56)
    assert told(bench.hear(frame), "leaves_lots") == [(ReportKind.CANCELLED, NOT_TOLD)]
    entry = {"clientOrderId": order_id, "instrumentId": FIRST_VENUE_ID, **quantity("totalFilled", 1)}
    orders = [{**entry, "cancelReason": reason} for reason in (12, 7, 1, 16)]
    heard = bench.hear(bench.gateway.frame("OrdersCanceled", {"flags": 1}, {"orders": orders}))
    assert told(heard, "reason", "filled_lots") == [
        (ReportKind.CANCELLED, reason, 1)
        for reason in (RejectReason.NONE, RejectReason.SESSION_LOST, RejectReason.SELF_MATCH, RejectReason.WOULD_TAKE)
    ]
    assert bench.hear(bench.gateway.frame("MassCancelResponse", {"totalOrderCount": 1})) == []
    assert bench.session.mass_cancels_done == 1


def test_amends(bench: Bench) -> None:
    order_id = bench.new(BUY, POST_ONLY, 90, 4)
    bench.gateway.take()
    assert bench.amend(order_id, 91, 6, POST_ONLY)
    assert bench.gateway.take() == ["AmendOrderRequest"]
    assert bench.gateway.seen[0][1] == {
        "clientOrderId": order_id, "correlationId": order_id, "instrumentId": FIRST_VENUE_ID,
        "price.price9": 9_100_000_000, "quantity.mantissa": 6_000_000, "quantity.exponent": -9,
        "showQty.mantissa": NULL, "showQty.exponent": -128, "flags": 4,
    }  # fmt: skip
    root = placed(order_id, ACTIVE, 6, 2)
    heard = bench.hear(bench.gateway.frame("AmendOrderResponse", root, {"fills": [fill(1, 91, 2)]}))
    assert told(heard, "price_ticks", "qty_lots", "leaves_lots", "queued", "side") == [
        (ReportKind.AMENDED, 101, 6, 4, 0, BUY),
        (ReportKind.FILL, 91, 2, 4, 0, BUY),
    ]
    heard = bench.hear(bench.gateway.frame("AmendOrderResponse", placed(order_id, QUEUED, 6, 2)))
    assert told(heard, "queued") == [(ReportKind.AMENDED, 1)]
    heard = bench.hear(bench.gateway.frame("AmendOrderReject", {"clientOrderId": order_id, "reason": 8}))
    assert told(heard, "client_order_id", "reason") == [(ReportKind.AMEND_REJECTED, order_id, RejectReason.WOULD_TAKE)]
    assert bench.session.amends_rejected == 1
    assert not bench.amend(order_id + 1, 91, 6)
    assert bench.session.unlinked == 1


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (1, RejectReason.UNKNOWN_INSTRUMENT), (4, RejectReason.DUPLICATE_ID), (5, RejectReason.BAD_QUANTITY),
        (22, RejectReason.BAD_PRICE), (8, RejectReason.WOULD_TAKE), (25, RejectReason.RATE_LIMIT),
        (29, RejectReason.SPEED_BUMP_LIMIT), (9, RejectReason.TOO_MANY_ORDERS), (0, RejectReason.OTHER),
    ],
)  # fmt: skip
def test_rejections_come_with_their_reason(bench: Bench, code: int, reason: int) -> None:
    order_id = bench.new(BUY, IOC, 101, 1)
    root = {"clientOrderId": order_id, "instrumentId": FIRST_VENUE_ID, "reason": code}
    assert told(bench.hear(bench.gateway.frame("NewOrderReject", root, texts=(b"why",))), "reason") == [
        (ReportKind.REJECTED, reason)
    ]


def test_a_frame_that_the_exchange_could_not_read_ends_its_order(bench: Bench) -> None:
    order_id = bench.new(BUY, IOC, 101, 1)
    number = bench.gateway.numbers[-1]
    frame = bench.gateway.frame("Reject", {"refSequenceNumber": number, "reason": 4}, texts=(b"bad",))
    assert told(bench.hear(frame), "client_order_id") == [(ReportKind.REJECTED, order_id)]
    frame = bench.gateway.frame("Reject", {"refSequenceNumber": number + 1, "reason": 6}, texts=(b"bad",))
    assert bench.hear(frame) == []
    assert list(bench.session.links[0].rejects) == [0, 0, 0, 0, 1, 0, 1]


def test_a_lost_amend_or_cancel_by_id_is_told_as_refused(bench: Bench) -> None:
    """What was asked for is not under way any more: the next can be."""
    order_id = bench.new(BUY, GTC, 90, 4)
    sides = bench.quote((1, 80, 120, 4))
    bench.hear(
        bench.gateway.frame(
            "MassQuoteResponse", {"quoteId": 1}, {"quotes": [result(1, (71, 3), (72, 3), (80, 120, 4))]}
        )
    )
    bench.amend(order_id, 91, 6)
    for number in (4711, 72):
        assert write_cancel_by_id(bench.session, bench.ring, number, 1, bench.now_ns)
    bench.pump()
    told_of = []
    for number in bench.gateway.numbers[-3:]:
        frame = bench.gateway.frame("Reject", {"refSequenceNumber": number, "reason": 4}, texts=(b"bad",))
        told_of += told(bench.hear(frame), "client_order_id", "exchange_order_id")
    assert told_of == [
        (ReportKind.AMEND_REJECTED, order_id, 0),
        (ReportKind.CANCEL_REJECTED, 0, 4711),
        (ReportKind.CANCEL_REJECTED, sides[1], 72),
    ]


def test_a_quote_is_cancelled_by_the_exchanges_number(bench: Bench) -> None:
    """The exchange knows no client order id of it, and names whatever it likes in that field."""
    bid, ask = bench.quote((1, 80, 120, 4))
    bench.hear(
        bench.gateway.frame(
            "MassQuoteResponse", {"quoteId": 1}, {"quotes": [result(1, (71, 3), (72, 3), (80, 120, 4))]}
        )
    )
    root = {"clientOrderId": NULL, "correlationId": 71, "orderId": 71, "instrumentId": FIRST_VENUE_ID + 1}
    sizes = quantity("quantity", 4) | quantity("totalFilled", 1)
    heard = bench.hear(bench.gateway.frame("CancelOrderResponse", root | sizes))
    assert told(heard, "client_order_id", "exchange_order_id", "leaves_lots") == [(ReportKind.CANCELLED, bid, 71, 3)]
    refused = root | {"correlationId": 72, "orderId": NULL, "reason": 0}
    heard = bench.hear(bench.gateway.frame("CancelOrderReject", refused))
    assert told(heard, "client_order_id", "exchange_order_id", "instrument") == [
        (ReportKind.CANCEL_REJECTED, ask, 72, 1)
    ]
    # The one that was cancelled is forgotten, so that the next quote does not end it a second time.
    second = bench.quote((1, 81, 121, 4))
    results = [result(1, (73, 3), (72, 3), (81, 121, 4))]
    heard = bench.hear(bench.gateway.frame("MassQuoteResponse", {"quoteId": 2}, {"quotes": results}))
    assert told(heard, "client_order_id") == [
        (ReportKind.ACK, second[0]), (ReportKind.CANCELLED, ask), (ReportKind.ACK, second[1]),
    ]  # fmt: skip


def test_no_second_mass_quote_of_an_instrument_before_the_answer(bench: Bench) -> None:
    assert bench.quote((0, 90, 110, 3))
    assert bench.quote((1, 80, 120, 3))
    assert not bench.quote((0, 91, 111, 3), (1, 80, 120, 3))
    assert bench.session.quotes_overlapping == 1
    bench.hear(bench.gateway.frame("MassQuoteReject", {"quoteId": 1, "reason": 6}))
    bench.hear(
        bench.gateway.frame(
            "MassQuoteResponse", {"quoteId": 2}, {"quotes": [result(1, (71, 3), (72, 3), (80, 120, 4))]}
        )
    )
    assert bench.quote((0, 91, 111, 3), (1, 80, 120, 3))


def test_two_links_share_nothing_but_the_orders() -> None:
    bench = Bench(links=2)
    bench.log_on()
    first = bench.new(BUY, GTC, 90, 1)
    a, b = bench.gateways
    assert (a.take(), b.take()) == (["NewOrderRequest"], [])
    bench.close_connection(a)
    assert bench.session.state == SessionState.READY
    second = bench.new(BUY, GTC, 91, 1)
    assert (a.take(), b.take(), b.numbers) == ([], ["NewOrderRequest"], [1, 2])
    assert not write_cancel(bench.session, bench.ring, first, 0, bench.now_ns)  # its gateway is gone
    assert write_cancel(bench.session, bench.ring, second, 0, bench.now_ns)
    bench.pump()
    assert b.take() == ["CancelOrderRequest"]
    heard = bench.hear(b.frame("NewOrderResponse", response(second, ACTIVE, 1)), b)
    assert told(heard, "client_order_id") == [(ReportKind.ACK, second)]
    bench.keep(NS_PER_S)
    bench.ring.connections[0] += 1
    bench.keep(NS_PER_MS)
    a.take()
    a.last_processed = a.numbers[-1]
    bench.hear(bench.conf(a), a)
    assert bench.new(BUY, GTC, 92, 1)
    assert (a.take(), b.take()) == (["NewOrderRequest"], [])
    assert write_cancel(bench.session, bench.ring, second, 0, bench.now_ns)
    assert write_mass_cancel(bench.session, bench.ring, bench.now_ns)
    bench.pump()
    assert (a.take(), b.take()) == (["MassCancelRequest"] * 2, ["CancelOrderRequest"] + ["MassCancelRequest"] * 2)


def test_the_rate_limit_holds_orders_back_and_never_a_cancel() -> None:
    bench = Bench(tokens_per_ms=100, tokens_max=6000)
    bench.log_on()
    ids = [bench.new(BUY, GTC, 90, 1) for _ in range(4)]
    assert [bool(one) for one in ids] == [True, True, True, False]
    assert bench.session.throttled == 1
    assert not bench.amend(ids[0], 91, 1)
    assert bench.session.throttled == 2
    bench.now_ns += 20 * NS_PER_MS
    assert write_cancel(bench.session, bench.ring, ids[0], 0, bench.now_ns)  # takes what has come
    assert write_cancel(bench.session, bench.ring, ids[1], 0, bench.now_ns)  # and more
    assert bench.new(BUY, GTC, 90, 1) == 0
    bench.now_ns += 40 * NS_PER_MS
    assert bench.new(BUY, GTC, 90, 1)


def test_a_full_ring_costs_no_number(bench: Bench) -> None:
    bench.ring.received -= 512 - (bench.ring.sent - bench.ring.received)
    assert not write_cancel_by_id(bench.session, bench.ring, 1, 0, bench.now_ns)
    bench.ring.received = bench.ring.sent
    assert bench.session.ring_full == 1
    bench.new(BUY, GTC, 90, 1)
    assert bench.gateway.numbers[-1] == 2


def test_undefined_instruments_and_unarmed_approvals_are_not_sent(bench: Bench) -> None:
    bench.market.instruments[1].venue_id = -1
    assert bench.new(BUY, GTC, 90, 1, instrument=1) == 0
    assert bench.session.undefined == 1


def test_mass_quotes_replace_each_other(bench: Bench) -> None:
    bench.gateway.take()
    first = bench.quote((0, 90, 110, 3), (1, 80, 120, 4))
    assert bench.gateway.take() == ["MassQuoteRequest"]
    _, root, groups = bench.gateway.seen[0]
    assert (root["quoteId"], root["mmpGroupId"], len(groups["quotes"])) == (1, 0, 2)
    assert groups["quotes"][1] == {
        "instrumentId": FIRST_VENUE_ID + 1, "bidPrice.price9": 8_000_000_000, "askPrice.price9": 12_000_000_000,
        "bidQty.mantissa": 4_000_000, "bidQty.exponent": -9, "askQty.mantissa": 4_000_000, "askQty.exponent": -9,
        "bidFlags": 5, "askFlags": 5,
    }  # fmt: skip
    results = [result(0, (1, 3), (2, 8), (90, 110, 3)), result(1, (0, 0), (4, 6))]
    taken = {"instrumentId": FIRST_VENUE_ID + 1, **fill(7, 120, 1)}
    heard = bench.hear(
        bench.gateway.frame("MassQuoteResponse", {"quoteId": 1}, {"quotes": results, "askFills": [taken]})
    )
    assert told(heard, "client_order_id", "queued", "reason", "qty_lots") == [
        (ReportKind.ACK, first[0], 0, 0, 0),
        (ReportKind.ACK, first[1], 1, 0, 0),
        (ReportKind.REJECTED, first[2], 0, RejectReason.BAD_PRICE, 0),
        (ReportKind.ACK, first[3], 0, 0, 0),
        (ReportKind.FILL, first[3], 0, 0, 1),
        (ReportKind.CANCELLED, first[3], 0, RejectReason.OTHER, 0),
    ]
    orders = [{"orderId": 2, "instrumentId": FIRST_VENUE_ID, "side": -1, "status": ACTIVE}]
    fills = [{"orderId": 2, **fill(8, 110, 1)}]
    heard = bench.hear(bench.gateway.frame("MassQuoteOrdersPlaced", {}, {"orders": orders, "fills": fills}))
    assert told(heard, "client_order_id", "side") == [
        (ReportKind.ACK, first[1], SELL),
        (ReportKind.FILL, first[1], SELL),
    ]
    second = bench.quote((0, 91, 111, 3))
    heard = bench.hear(
        bench.gateway.frame("MassQuoteResponse", {"quoteId": 2}, {"quotes": [result(0, (5, 3), (6, 3), (91, 111, 3))]})
    )
    assert told(heard, "client_order_id") == [
        (ReportKind.CANCELLED, first[0]), (ReportKind.ACK, second[0]),
        (ReportKind.CANCELLED, first[1]), (ReportKind.ACK, second[1]),
    ]  # fmt: skip
    made = {
        "clientOrderId": 2, "orderId": 5, "instrumentId": FIRST_VENUE_ID, "matchId": 9, "side": 1, "flags": 1,
        **ticks("price", 91), **quantity("fillQty", 1), **quantity("totalFilled", 1),
    }  # fmt: skip
    heard = bench.hear(bench.gateway.frame("OrderFilled", {}, {"fills": [made]}))
    # The exchange goes on counting what quotes that were replaced have filled, so its total is none of this order's.
    assert told(heard, "client_order_id", "is_maker", "filled_lots") == [(ReportKind.FILL, second[0], 1, NOT_TOLD)]
    ended = {"orderId": 6, "instrumentId": FIRST_VENUE_ID, "cancelReason": 4, "flags": 1}
    heard = bench.hear(bench.gateway.frame("OrdersCanceled", {}, {"orders": [ended]}))
    assert told(heard, "client_order_id") == [(ReportKind.CANCELLED, second[1])]
    third = bench.quote((0, 92, 112, 3))
    heard = bench.hear(bench.gateway.frame("MassQuoteReject", {"quoteId": 3, "reason": 6}))
    assert told(heard, "client_order_id", "reason") == [
        (ReportKind.REJECTED, one, RejectReason.RATE_LIMIT) for one in third
    ]
    trigger = {"mmpGroupId": 0, "frozenUntil": 55}
    bench.hear(
        bench.gateway.frame("MassQuoteMmpTriggered", {key: trigger[key] for key in ("mmpGroupId", "frozenUntil")})
    )
    assert (bench.session.mmp_triggered, bench.session.mmp_frozen_until_ns) == (1, 55)
    bench.hear(bench.gateway.frame("MassQuoteMmpUnfrozen"))
    assert bench.session.mmp_frozen_until_ns == 0


def many_fills(bench: Bench, order_id: int, count: int) -> bytes:
    fills = [fill(number + 1, 101, 1) for number in range(count)]
    return bench.gateway.frame("NewOrderResponse", response(order_id, CANCELED, count + 1, count, 2), {"fills": fills})


def test_a_packet_with_more_reports_than_fit_is_read_in_parts(bench: Bench) -> None:
    order_id = bench.new(BUY, IOC, 102, 2001)
    frame = many_fills(bench, order_id, 2000)
    assert len(frame) > 50_000
    heard = []
    for start in range(0, len(frame), 1460):
        heard += bench.hear(frame[start : start + 1460])
    assert [one["kind"] for one in heard] == [ReportKind.ACK] + [ReportKind.FILL] * 2000 + [ReportKind.CANCELLED]
    assert [one["execution_id"] for one in heard[1:-1]] == list(range(1, 2001))
    assert [one["leaves_lots"] for one in heard[1:-1]] == list(range(2000, 0, -1))
    assert (bench.session.fills.copies, bench.session.links[0].stream.receive_sequence) == (0, 2)
    assert bench.hear(bench.gateway.frame("Heartbeat") + many_fills(bench, order_id, 0))[-1]["kind"] == 2


def test_a_rest_that_is_not_asked_for_is_sent_again(bench: Bench) -> None:
    order_id = bench.new(BUY, IOC, 102, 301)
    frame = many_fills(bench, order_id, 300)
    read = bench.read
    heard: list[dict[str, int]] = []
    bench.read = bench.read_once  # type: ignore[method-assign]
    heard += bench.hear(frame)
    assert (len(heard), bench.session.unread) == (REPORTS_MAX, 1)
    assert bench.hear(bench.gateway.frame("Heartbeat")) == []
    assert bench.session.state == SessionState.LOST
    bench.read = read  # type: ignore[method-assign]
    bench.gateway.begin_connection()
    bench.keep(NS_PER_S)
    bench.ring.connections[0] += 1
    bench.keep(NS_PER_MS)
    bench.gateway.last_processed = bench.gateway.numbers[-1]
    assert bench.hear(bench.conf(bench.gateway)) == []
    heard += bench.hear(bench.gateway.again(2) + bench.gateway.again(3) + bench.gateway.again(4))
    assert sum(one["kind"] == ReportKind.FILL for one in heard) == 300
    assert bench.session.state == SessionState.READY


def conversation(bench: Bench, order_id: int) -> bytes:
    gateway = bench.gateway
    entry = {"clientOrderId": order_id, "orderId": 9, "instrumentId": FIRST_VENUE_ID}
    return (
        gateway.frame("NewOrderResponse", response(order_id, QUEUED, 20))
        + gateway.frame("OrderPlaced", placed(order_id, ACTIVE, 20, 8), {"fills": [fill(1, 101, 8)]})
        + gateway.frame("CancelOrderReject", {"clientOrderId": order_id, "reason": 7}, texts=(b"some text",))
        + gateway.frame("Heartbeat", {"correlationId": 3})
        + gateway.frame("OrdersCanceled", {}, {"orders": [{**entry, **quantity("totalFilled", 8), "cancelReason": 12}]})
    )


CONVERSATION_KINDS = [
    ReportKind.ACK, ReportKind.ACK, ReportKind.FILL, ReportKind.CANCEL_REJECTED, ReportKind.CANCELLED,
]  # fmt: skip


def test_frames_split_at_every_byte(bench: Bench) -> None:
    order_id = bench.new(BUY, GTC, 101, 20)
    for position in range(1, len(conversation(Bench(), order_id))):
        data = conversation(bench, order_id)
        heard = bench.hear(data[:position]) + bench.hear(data[position:])
        # The fill is told the first time, and known from then on.
        assert [one["kind"] for one in heard] == [
            kind for kind in CONVERSATION_KINDS if kind != ReportKind.FILL or position == 1
        ]
    assert bench.session.links[0].stream.receive_sequence == bench.gateway.sent_sequence


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 600), max_size=12))
def test_frames_split_anywhere(cuts: list[int]) -> None:
    bench = Bench()
    bench.log_on()
    data = conversation(bench, bench.new(BUY, GTC, 101, 20))
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    heard = []
    for start, end in pairwise(edges):
        heard += bench.hear(data[start:end])
    assert [one["kind"] for one in heard] == CONVERSATION_KINDS
    assert bench.session.links[0].stream.receive_sequence == 6
    assert sum(bench.session.links[0].stream.faults) == 0


def test_broken_frames_end_the_link_with_their_fault() -> None:
    good = pack_frame("Heartbeat", {}, sequence=2)
    for data, fault, refusal in (
        (b"\xdc" + good[1:], FrameFault.BAD_PROTOCOL, 0),
        (good[:2] + b"\x10\x00" + good[4:], FrameFault.BAD_LENGTH, 0),
        (good[:2] + b"\x20\x00" + good[4:32], FrameFault.BAD_ROOT, Refusal.BAD_FRAME),
        (pack_frame("OrdersCanceled", {}, {"orders": [{}, {}]}, sequence=2).replace(b"\x23\x00\x02", b"\x23\x00\x03"),
         FrameFault.BAD_GROUP, Refusal.BAD_FRAME),
        (pack_frame("OrderFilled", {}, {"fills": [{}]}, sequence=2).replace(b"\x3c\x00\x01", b"\x3b\x00\x01"),
         FrameFault.BAD_GROUP, Refusal.BAD_FRAME),
    ):  # fmt: skip
        bench = Bench()
        bench.log_on()
        assert bench.hear(data) == []
        link = bench.session.links[0]
        assert (link.state, link.refusal) == (SessionState.LOST, refusal), fault
        assert link.stream.faults[fault] > 0
        assert bench.session.bad_frames == 1


def test_unknown_messages_are_stepped_over(bench: Bench) -> None:
    frame = bytearray(bench.gateway.frame("Heartbeat"))
    frame[4:6] = b"\x77\x07"
    assert bench.hear(bytes(frame) + bench.gateway.frame("Heartbeat")) == []
    assert (bench.session.unknown, bench.session.state) == (1, SessionState.READY)
    assert bench.session.links[0].stream.receive_sequence == 3


def test_a_fill_of_no_whole_lots_is_an_alarm_and_never_rounded(bench: Bench) -> None:
    order_id = bench.new(BUY, IOC, 102, 20)
    bad = {**fill(1, 101, 5), "fillQty.mantissa": 5_0001, "fillQty.exponent": -7}
    frame = bench.gateway.frame("NewOrderResponse", response(order_id, ACTIVE, 20, 5), {"fills": [bad]})
    heard = bench.hear(frame)
    assert told(heard, "qty_lots") == [(ReportKind.ACK, 0), (ReportKind.FILL, 0)]
    table = make_order_table()
    open_order(table, VENUE, 0, BUY, IOC, 102, 20, NOW_NS)
    report = Report(**{**heard[1], "client_order_id": 1 << 12})
    assert apply_report(table, report, NOW_NS) == Applied.BAD_FILL
    assert bench.session.links[0].refusal == Refusal.BAD_FRAME
    assert table.orders[0].state == OrderState.PENDING_NEW


def test_mutated_frames_never_read_past_their_end() -> None:
    random_ = random.Random(4)
    bench = Bench()
    bench.log_on()
    data = conversation(bench, bench.new(BUY, GTC, 101, 20))
    link = bench.session.links[0]
    for _ in range(FUZZ_FRAMES):
        broken = bytearray(data[: random_.randrange(1, len(data) + 1)])
        for _ in range(random_.randrange(4)):
            broken[random_.randrange(len(broken))] = random_.randrange(256)
        link.state, link.refusal, link.confirmed = SessionState.READY, 0, 1
        link.stream.ended = link.stream.partial_length = link.stream.padding_left = 0
        link.stream.receive_sequence = 1
        bench.hear(bytes(broken))


def test_the_secret_is_in_no_text(bench: Bench) -> None:
    shown = [
        repr(bench.session),
        str(bench.session),
        repr(bench.session.links[0]),
        repr(bench.session.links[0].templates),
    ]
    shown += [repr(bench.session.links[0].templates.logon), str(bench.session.links[0].templates.logon.message)]
    for settings_ in ({"backoff_min_ns": 0}, {"tokens_per_ms": 0}):
        with pytest.raises(ValueError, match="must") as caught:
            make_starbase_session(VENUE, bench.market, (flow_of(0),), CLIENT_ID, SECRET, **settings_)
        shown.append(str(caught.value))
    for client_id, secret in ((CLIENT_ID, SECRET + b"x"), (CLIENT_ID + b"x", SECRET), (CLIENT_ID, b"")):
        with pytest.raises(ValueError, match="must") as caught:
            make_starbase_session(VENUE, bench.market, (flow_of(0),), client_id, secret)
        shown.append(str(caught.value))
    for text in shown:
        assert SECRET.decode() not in text
        assert CLIENT_ID.decode() not in text


def test_fill_set_forgets_the_oldest_only() -> None:
    fills = FillSet()
    random_ = random.Random(1)
    keys = list({(random_.randrange(1 << 40), random_.randrange(1 << 20)) for _ in range(3000)})
    reference: dict[tuple[int, int], None] = {}
    extra = [(number, 1) for number in range(FILLS_MAX)]
    for match, order in keys + extra[: FILLS_MAX - 1000] + keys[:500] + extra[:500]:
        is_new = (match, order) not in reference
        assert add_fill_once(fills, match, order) == is_new
        if is_new:
            reference[match, order] = None
            if len(reference) > FILLS_MAX:
                reference.pop(next(iter(reference)))
    assert all(add_fill_once(fills, match, order) is False for match, order in reference)
