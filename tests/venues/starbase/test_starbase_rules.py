"""The venue's rules since 2026-11-26, at the session and at the engine's orders."""

from typing import Any

import pytest

from crosswire.nic.duration import NS_PER_MS, NS_PER_S
from crosswire.nic.rings.delay import DELAY_FRAMES_MAX
from crosswire.venues.instrument import fee_e9
from crosswire.venues.order import (
    STRANGE_INSTRUMENT,
    AmendState,
    Applied,
    Order,
    OrderState,
    OrderTable,
    RejectReason,
    Report,
    ReportKind,
    amend_sent,
    apply_report,
    cancel_sent,
    expect_cancel_by_id,
    make_order_table,
)
from crosswire.venues.session import (
    write_cancel,
    write_cancel_by_id,
    write_mass_cancel,
)
from crosswire.venues.side import BUY, SELL
from tests.support.order_setup import FIRST_VENUE_ID, VENUE, make_market
from tests.support.starbase_order_setup import (
    ACTIVE,
    CANCELED,
    FILLED,
    GTC,
    NULL,
    POST_ONLY,
    QUEUED,
    Bench,
    fill,
    placed,
    quantity,
    response,
    result,
    ticks,
    told,
)

pytestmark = pytest.mark.starbase
STRANGER_ID = FIRST_VENUE_ID + 77  # nobody configured it


class Account:
    """The engine's orders, as it entered them when they were sent."""

    def __init__(self) -> None:
        self.table: OrderTable = make_order_table()

    def enter(self, order_id: int, side: int, price: int, lots: int, instrument: int = 0, is_quote: int = 0) -> Order:
        order: Order = self.table.orders[order_id & 4095]
        order.client_order_id, order.venue, order.instrument, order.side = order_id, VENUE, instrument, side
        order.state, order.price_ticks, order.qty_lots, order.is_quote = OrderState.PENDING_NEW, price, lots, is_quote
        self.table.count += 1
        return order

    def apply(self, heard: list[dict[str, int]]) -> list[int]:
        return [apply_report(self.table, Report(**report), 1) for report in heard]


def test_an_amend_of_a_held_order_is_refused_and_may_be_asked_for_after_its_release(bench: Bench) -> None:
    account = Account()
    order_id = bench.new(BUY, GTC, 101, 20)
    order = account.enter(order_id, BUY, 101, 20)
    account.apply(bench.hear(bench.gateway.frame("NewOrderResponse", response(order_id, QUEUED, 20))))
    assert bench.amend(order_id, 99, 10)
    amend_sent(order, 99, 10)
    refused = response(order_id, 0, 0) | {"reason": 34}
    root = {name: refused[name] for name in ("clientOrderId", "orderId", "instrumentId", "reason")}
    heard = bench.hear(bench.gateway.frame("AmendOrderReject", root))
    assert told(heard, "reason") == [(ReportKind.AMEND_REJECTED, RejectReason.SPEED_BUMPED)]
    assert account.apply(heard) == [Applied.UPDATED]
    assert (order.amend_state, order.amend_reason) == (AmendState.REJECTED, RejectReason.SPEED_BUMPED)
    assert (order.state, order.queued, order.price_ticks, order.qty_lots) == (OrderState.LIVE, 1, 101, 20)
    account.apply(bench.hear(bench.gateway.frame("OrderPlaced", placed(order_id, ACTIVE, 20))))
    assert order.queued == 0
    assert bench.amend(order_id, 101, 10)
    amend_sent(order, 101, 10)
    assert account.apply(bench.hear(bench.gateway.frame("AmendOrderResponse", placed(order_id, ACTIVE, 10)))) == [
        Applied.UPDATED
    ]
    assert (order.amend_state, order.qty_lots) == (AmendState.DONE, 10)


@pytest.mark.parametrize("reason", [34, -128])
def test_a_quote_does_not_replace_one_that_is_held(bench: Bench, reason: int) -> None:
    """With the reason or, as it is known to be held, without it."""
    account = Account()
    first = bench.quote((0, 90, 110, 3))
    orders = [
        account.enter(one, side, price, 3, is_quote=1)
        for side, (one, price) in enumerate(zip(first, (90, 110), strict=True))
    ]
    results = [result(0, (71, 3), (72, 8), (90, 110, 3))]
    account.apply(bench.hear(bench.gateway.frame("MassQuoteResponse", {"quoteId": 1}, {"quotes": results})))
    assert [order.queued for order in orders] == [0, 1]
    second = bench.quote((0, 91, 112, 3))
    bid, ask = (
        account.enter(one, side, price, 3, is_quote=1)
        for side, (one, price) in enumerate(zip(second, (91, 112), strict=True))
    )
    results = [result(0, (71, 3), (72, 1), (91, 110, 3)) | {"askRejectReason": reason}]
    heard = bench.hear(bench.gateway.frame("MassQuoteResponse", {"quoteId": 2}, {"quotes": results}))
    assert account.apply(heard) == [Applied.CLOSED, Applied.UPDATED, Applied.CLOSED]
    assert (bid.state, ask.state, ask.reason) == (OrderState.LIVE, OrderState.REJECTED, RejectReason.SPEED_BUMPED)
    assert (orders[1].state, orders[1].queued) == (OrderState.LIVE, 1)
    entry = {"orderId": 72, "instrumentId": FIRST_VENUE_ID, "side": -1, "status": ACTIVE}
    heard = bench.hear(bench.gateway.frame("MassQuoteOrdersPlaced", {}, {"orders": [entry]}))
    assert account.apply(heard) == [Applied.UPDATED]
    assert orders[1].queued == 0
    # Released, it is replaced again.
    third = bench.quote((0, 91, 112, 3))
    for side, (one, price) in enumerate(zip(third, (91, 112), strict=True)):
        account.enter(one, side, price, 3, is_quote=1)
    results = [result(0, (71, 1), (72, 3), (91, 112, 3))]
    heard = bench.hear(bench.gateway.frame("MassQuoteResponse", {"quoteId": 3}, {"quotes": results}))
    assert account.apply(heard) == [Applied.CLOSED, Applied.UPDATED] * 2


@pytest.mark.parametrize(
    ("terms", "filled", "alarm"),
    [
        ((90, 110, 3), 0, False), ((91, 110, 3), 0, True), ((90, 109, 3), 0, True), ((90, 110, 4), 0, True),
        ((90, 110, 2), 0, True), ((90, 110, 2), 1, False), ((90, 110, 3), 1, False),
    ],
)  # fmt: skip
def test_terms_of_a_quote_that_nobody_asked_for_are_a_contradiction(
    bench: Bench, terms: tuple[int, int, int], filled: int, alarm: bool
) -> None:
    account = Account()
    for side, (one, price) in enumerate(zip(bench.quote((0, 90, 110, 3)), (90, 110), strict=True)):
        account.enter(one, side, price, 3, is_quote=1)
    both = quantity("bidFilledQty", filled) | quantity("askFilledQty", filled)
    results = [result(0, (71, 3), (72, 3), terms) | both]
    heard = bench.hear(bench.gateway.frame("MassQuoteResponse", {"quoteId": 1}, {"quotes": results}))
    assert (Applied.CONTRADICTION in account.apply(heard)) == alarm
    assert {order.price_ticks for order in list(account.table.orders)[:4] if order.client_order_id} == {90, 110}


def entry_of(order_id: int, exchange_order_id: int, instrument_id: int) -> dict[str, int]:
    return {"clientOrderId": order_id, "orderId": exchange_order_id, "instrumentId": instrument_id}


def strange_frames(order_id: int) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Every message that tells something of an order, about an instrument that nobody configured."""
    answer = response(order_id, ACTIVE, 20) | {"instrumentId": STRANGER_ID}
    canceled = answer | {"status": CANCELED}
    ids = entry_of(order_id, 9001, STRANGER_ID)
    made = ids | {
        "matchId": 1,
        "side": 1,
        **ticks("price", 101),
        **quantity("fillQty", 5),
        **quantity("totalFilled", 5),
    }
    without_side = {name: value for name, value in answer.items() if name != "side"}
    return [
        ("NewOrderResponse", answer, {}),
        ("NewOrderResponse", canceled, {"fills": [fill(1, 101, 5)]}),
        ("NewOrderReject", ids | {"reason": 5}, {}),
        ("OrderPlaced", without_side, {}),
        ("AmendOrderResponse", without_side, {}),
        ("AmendOrderReject", ids | {"reason": 34}, {}),
        ("CancelOrderResponse", ids | quantity("quantity", 20) | quantity("totalFilled", 0), {}),
        ("CancelOrderReject", ids | {"correlationId": order_id, "reason": 1}, {}),
        ("OrderFilled", {}, {"fills": [made]}),
        ("OrdersCanceled", {}, {"orders": [ids | quantity("totalFilled", 0)]}),
    ]


@pytest.mark.parametrize("case", range(10))
def test_a_report_of_an_instrument_that_nobody_configured_is_no_report_of_the_orders_own(case: int) -> None:
    bench, account = Bench(), Account()
    bench.log_on()
    order_id = bench.new(BUY, GTC, 101, 20)
    order = account.enter(order_id, BUY, 101, 20)
    amend_sent(order, 101, 20)
    cancel_sent(order)
    before = bytes(order)
    name, root, groups = strange_frames(order_id)[case]
    heard = bench.hear(bench.gateway.frame(name, root, groups))
    assert {report["instrument"] for report in heard} == {STRANGE_INSTRUMENT}
    outcomes = account.apply(heard)
    assert outcomes
    assert all(outcome in (Applied.BAD_INSTRUMENT, Applied.BAD_FILL) for outcome in outcomes), name
    assert bytes(order) == before


def test_a_quote_of_an_instrument_that_nobody_configured_is_an_alarm(bench: Bench) -> None:
    bench.quote((0, 90, 110, 3))
    strange = result(0, (71, 3), (72, 3), (90, 110, 3)) | {"instrumentId": STRANGER_ID}
    heard = bench.hear(bench.gateway.frame("MassQuoteResponse", {"quoteId": 1}, {"quotes": [strange]}))
    assert Account().apply(heard) == [Applied.UNKNOWN_ORDER]
    entry = {"orderId": 71, "instrumentId": STRANGER_ID, "side": 1, "status": CANCELED}
    heard = bench.hear(bench.gateway.frame("MassQuoteOrdersPlaced", {}, {"orders": [entry]}))
    assert Account().apply(heard) == [Applied.UNKNOWN_ORDER] * 2


@pytest.mark.parametrize("number", [0, NULL, 555 << 12 | 5, -1])
def test_a_liquidation_is_a_change_of_position_and_an_alarm_and_no_maker_fill(bench: Bench, number: int) -> None:
    """The number in its place may be any; -1 here: that of an order of ours."""
    account = Account()
    order_id = bench.new(SELL, GTC, 105, 20)
    order = account.enter(order_id, SELL, 105, 20)
    account.apply(bench.hear(bench.gateway.frame("NewOrderResponse", response(order_id, ACTIVE, 20, side=-1))))
    made = entry_of(order_id if number == -1 else number, 4711, FIRST_VENUE_ID) | {
        "matchId": 9, "side": -1, **ticks("price", 105), **quantity("fillQty", 7), **quantity("totalFilled", 7),
    }  # fmt: skip
    heard = bench.hear(bench.gateway.frame("OrderFilled", {}, {"fills": [made]}))
    taker_fee = fee_e9(make_market(1).instruments[0], 105, 7, 0)
    assert told(heard, "is_maker", "side", "price_ticks", "qty_lots", "instrument", "fee_e9") == [
        (ReportKind.FILL, 0, SELL, 105, 7, 0, taker_fee)
    ]
    assert account.apply(heard) == [Applied.UNKNOWN_ORDER]
    assert order.filled_lots == 0
    made |= {"clientOrderId": order_id, "orderId": 9001, "matchId": 10}
    heard = bench.hear(bench.gateway.frame("OrderFilled", {}, {"fills": [made]}))
    assert told(heard, "is_maker") == [(ReportKind.FILL, 1)]
    assert account.apply(heard) == [Applied.UPDATED]


@pytest.mark.parametrize("first", [0, 1])
def test_the_end_of_a_stranger_is_answered_by_both_gateways_and_applied_once(first: int) -> None:
    bench, account = Bench(links=2), Account()
    bench.log_on()
    assert expect_cancel_by_id(account.table, VENUE, 0, 4711, 0)
    assert write_cancel_by_id(bench.session, bench.ring, 4711, 0, bench.now_ns)
    entry = entry_of(99 << 12 | 9, 4711, FIRST_VENUE_ID)
    sizes = quantity("quantity", 4) | quantity("totalFilled", 1)
    ended = entry | quantity("totalFilled", 1) | {"cancelReason": 12}
    answers: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
        ("CancelOrderResponse", entry | {"correlationId": 4711} | sizes, {}),
        ("OrdersCanceled", {}, {"orders": [ended]}),
    ]
    heard = []
    for number in (first, 1 - first):
        name, root, groups = answers[number]
        heard += bench.hear(bench.gateways[number].frame(name, root, groups), bench.gateways[number])
    assert account.apply(heard) == [Applied.BY_ID]
    assert bench.session.told_elsewhere == 1
    # The same gateway can't end it twice.
    name, root, groups = answers[first]
    again = bench.hear(bench.gateways[first].frame(name, root, groups), bench.gateways[first])
    assert account.apply(again) == [Applied.UNKNOWN_ORDER]


def test_what_the_other_gateway_says_of_our_order_is_told_by_its_own_alone() -> None:
    """Fills come to its own: an end that overtook them would turn them into alarms."""
    bench, account = Bench(links=2), Account()
    bench.log_on()
    a, b = bench.gateways
    order_id = bench.new(BUY, GTC, 101, 20)
    order = account.enter(order_id, BUY, 101, 20)
    account.apply(bench.hear(a.frame("NewOrderResponse", response(order_id, ACTIVE, 20)), a))
    amend_sent(order, 101, 10)
    entry = entry_of(order_id, 9001, FIRST_VENUE_ID)
    amended = placed(order_id, ACTIVE, 10, 4)
    sizes = quantity("quantity", 10) | quantity("totalFilled", 4)
    assert bench.hear(b.frame("AmendOrderResponse", amended), b) == []
    assert bench.hear(b.frame("CancelOrderResponse", entry | sizes), b) == []
    heard = bench.hear(a.frame("AmendOrderResponse", amended, {"fills": [fill(1, 101, 4)]}), a)
    heard += bench.hear(
        a.frame("OrdersCanceled", {}, {"orders": [entry | quantity("totalFilled", 4) | {"cancelReason": 12}]}), a
    )
    assert account.apply(heard) == [Applied.UPDATED, Applied.UPDATED, Applied.CLOSED]
    assert (order.state, order.filled_lots, order.qty_lots) == (OrderState.CANCELLED, 4, 10)
    assert bench.session.told_elsewhere == 2


def test_cancel_on_disconnect_is_asked_for_by_the_logon_and_by_every_order(bench: Bench) -> None:
    assert bench.gateway.seen[0][1]["cancelOnDisconnect"] == 1
    bench.gateway.take()
    for time_in_force in (0, 1, GTC, POST_ONLY):
        bench.new(BUY, time_in_force, 90, 1)
    bench.quote((0, 90, 110, 3))
    bench.gateway.take()
    assert [root["flags"] & 1 for name, root, _ in bench.gateway.seen if name == "NewOrderRequest"] == [1] * 4
    quotes = bench.gateway.seen[-1][2]["quotes"][0]
    assert (quotes["bidFlags"] & 1, quotes["askFlags"] & 1) == (1, 1)


@pytest.mark.parametrize("is_on", [False, True])
def test_the_mmp_risk_bypass_is_a_flag_of_every_order_only_if_asked_for(is_on: bool) -> None:
    bench = Bench(mmp_risk_bypass=is_on)
    bench.log_on()
    bench.gateway.take()
    bench.new(BUY, GTC, 90, 1)
    bench.new(BUY, POST_ONLY, 90, 1)
    bench.gateway.take()
    assert [root["flags"] & 1 << 4 != 0 for _, root, _ in bench.gateway.seen] == [is_on] * 2


def fill_ring(bench: Bench, room: int) -> None:
    """Leave room for so many frames."""
    bench.ring.received = bench.ring.sent - (DELAY_FRAMES_MAX - room)


def test_a_mass_cancel_goes_on_where_the_ring_was_full(bench: Bench) -> None:
    bench.gateway.take()
    begun = bench.ring.sent
    fill_ring(bench, 1)
    assert not write_mass_cancel(bench.session, bench.ring, bench.now_ns)
    assert not write_mass_cancel(bench.session, bench.ring, bench.now_ns)
    bench.ring.received = begun
    assert write_mass_cancel(bench.session, bench.ring, bench.now_ns)
    bench.pump()
    assert bench.gateway.take() == ["MassCancelRequest"] * 2
    assert [root["instrumentId"] for _, root, _ in bench.gateway.seen] == [FIRST_VENUE_ID, FIRST_VENUE_ID + 1]
    # The next one is of everything again.
    assert write_mass_cancel(bench.session, bench.ring, bench.now_ns)
    bench.pump()
    assert bench.gateway.take() == ["MassCancelRequest"] * 2


def test_a_mass_cancel_stays_due_while_a_link_recovers() -> None:
    bench = Bench(links=2)
    bench.log_on()
    a, b = bench.gateways
    bench.new(BUY, GTC, 90, 1)
    bench.close_connection(a)
    a.take(), b.take()
    for _ in range(2):
        assert not write_mass_cancel(bench.session, bench.ring, bench.now_ns)
    bench.pump()
    assert b.take() == ["MassCancelRequest"] * 2  # once
    bench.new(BUY, GTC, 91, 1)
    assert not write_mass_cancel(bench.session, bench.ring, bench.now_ns)
    bench.pump()
    assert b.take() == ["NewOrderRequest"] + ["MassCancelRequest"] * 2  # of the new order too
    bench.keep(NS_PER_S)
    bench.ring.connections[0] += 1
    bench.keep(NS_PER_MS)
    a.last_processed = a.numbers[-1]
    bench.hear(bench.conf(a), a)
    a.take()
    assert write_mass_cancel(bench.session, bench.ring, bench.now_ns)
    bench.pump()
    assert (a.take(), b.take()) == (["MassCancelRequest"] * 2, [])


def test_a_refused_mass_cancel_is_sent_again_until_it_is_not(bench: Bench) -> None:
    assert write_mass_cancel(bench.session, bench.ring, bench.now_ns)
    bench.pump()
    bench.gateway.take()
    for _ in range(2):
        bench.hear(bench.gateway.frame("MassCancelReject", {"correlationId": 1, "reason": 0}))
        assert bench.session.keep_due == 1
        assert bench.keep() <= bench.now_ns + 100 * NS_PER_MS
        assert bench.gateway.take() == []
        bench.keep(100 * NS_PER_MS)
        assert bench.gateway.take() == ["MassCancelRequest"] * 2
    bench.hear(bench.gateway.frame("MassCancelResponse", {"correlationId": 3, "totalOrderCount": 0}))
    bench.keep(100 * NS_PER_MS)
    assert bench.gateway.take() == []
    assert bench.session.links[0].mass_cancels_refused == 2


def test_a_cancel_that_can_not_be_sent_is_known_to_its_caller() -> None:
    """Of an order whose link is down, and of a quote that has no number yet."""
    bench = Bench(links=2)
    bench.log_on()
    a, b = bench.gateways
    order_id = bench.new(BUY, GTC, 90, 1)
    bid, ask = bench.quote((0, 90, 110, 3))
    assert not write_cancel(bench.session, bench.ring, bid, 0, bench.now_ns)
    assert bench.session.unanswered == 1
    results = [result(0, (71, 3), (72, 3), (90, 110, 3))]
    bench.hear(a.frame("MassQuoteResponse", {"quoteId": 1}, {"quotes": results}), a)
    a.take()
    assert write_cancel(bench.session, bench.ring, ask, 0, bench.now_ns)
    bench.pump()
    assert a.take() == ["CancelOrderByIdRequest"]
    assert a.seen[0][1]["orderId"] == 72
    bench.close_connection(a)
    for one in (order_id, bid):
        assert not write_cancel(bench.session, bench.ring, one, 0, bench.now_ns)
    assert (b.take(), bench.session.unlinked) == ([], 2)


@pytest.mark.parametrize("order_of", [(0, 1, 2), (0, 2, 1), (0, 1, 1, 2, 0, 2), (1, 2, 0, 0), (2, 2, 1, 0, 1)])
def test_fills_that_are_split_over_messages_count_once_and_none_is_lost(
    bench: Bench, order_of: tuple[int, ...]
) -> None:
    """By match and order, whatever message they come in and however often."""
    account = Account()
    order_id = bench.new(BUY, GTC, 101, 22)
    order = account.enter(order_id, BUY, 101, 22)
    account.apply(bench.hear(bench.gateway.frame("NewOrderResponse", response(order_id, ACTIVE, 22))))
    parts = []
    for numbers in ((1, 2), (3,), (4, 5, 6)):
        made = [
            entry_of(order_id, 9001, FIRST_VENUE_ID) | {"matchId": match, "side": 1, **ticks("price", 101),
            **quantity("fillQty", match)} for match in numbers
        ]  # fmt: skip
        parts.append(made)
    total = 0
    counted: set[int] = set()
    outcomes = []
    for part in order_of:
        fills = []
        for made in parts[part]:
            if made["matchId"] not in counted:
                counted.add(made["matchId"])
                total += made["matchId"]
            fills.append(made | quantity("totalFilled", total))
        outcomes += account.apply(bench.hear(bench.gateway.frame("OrderFilled", {}, {"fills": fills})))
    lots = sum(made["matchId"] for part in set(order_of) for made in parts[part])
    assert outcomes == [Applied.UPDATED] * len(counted)
    assert order.filled_lots == lots


def test_an_answer_whose_message_holds_fewer_fills_than_it_says_is_an_alarm(bench: Bench) -> None:
    """The rest of them would come in a message of a version that we do not read: none may be lost unsaid."""
    account = Account()
    order_id = bench.new(BUY, GTC, 101, 20)
    account.enter(order_id, BUY, 101, 20)
    groups = {"fills": [fill(1, 101, 4), fill(2, 101, 2)]}
    heard = bench.hear(bench.gateway.frame("NewOrderResponse", response(order_id, ACTIVE, 20, 9), groups))
    assert Applied.BAD_LEAVES in account.apply(heard)


def test_taker_fills_repeated_in_another_answer_count_once(bench: Bench) -> None:
    account = Account()
    order_id = bench.new(BUY, GTC, 101, 20)
    order = account.enter(order_id, BUY, 101, 20)
    account.apply(bench.hear(bench.gateway.frame("NewOrderResponse", response(order_id, QUEUED, 20))))
    first, second = [fill(1, 101, 4), fill(2, 101, 2)], [fill(3, 101, 14)]
    outcomes = []
    for status, filled, fills in (
        (QUEUED, 6, first), (QUEUED, 6, first[::-1]), (QUEUED, 20, first + second), (FILLED, 20, second + first)
    ):  # fmt: skip
        frame = bench.gateway.frame("OrderPlaced", placed(order_id, status, 20, filled), {"fills": fills})
        heard = [report | {"queued": 1} for report in bench.hear(frame)]
        outcomes += account.apply([report for report in heard if report["kind"] == ReportKind.FILL])
    assert outcomes == [Applied.UPDATED, Applied.UPDATED, Applied.CLOSED]
    assert (order.state, order.filled_lots) == (OrderState.FILLED, 20)
