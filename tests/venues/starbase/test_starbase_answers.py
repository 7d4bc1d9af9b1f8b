"""What a Starbase session tells of answers that are full, strange or wrong: sizes, sides, reasons, protection."""

from typing import Any

import pytest

from crosswire.nic.duration import NS_PER_MS
from crosswire.venues.order import NOT_TOLD, STRANGE_INSTRUMENT, RejectReason, ReportKind
from crosswire.venues.session import SessionState, write_cancel, write_mass_cancel
from crosswire.venues.side import BUY, SELL
from crosswire.venues.starbase.orders.state import Refusal
from crosswire.venues.starbase.wire.order_codes import CancelReason
from crosswire.venues.starbase.wire.stream import FrameFault
from tests.support.order_setup import FIRST_VENUE_ID, make_market
from tests.support.starbase_order_setup import (
    ACTIVE,
    CANCELED,
    EXCHANGE_NS,
    FILLED,
    GTC,
    IOC,
    NULL,
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
STRANGER_ID = FIRST_VENUE_ID + 77
BROKEN = {"mantissa": 5_0001, "exponent": -7}  # no whole lots


def no_lots(name: str) -> dict[str, int]:
    return {f"{name}.{part}": value for part, value in BROKEN.items()}


def entry_of(order_id: int, number: int) -> dict[str, int]:
    return {"clientOrderId": order_id, "orderId": number, "instrumentId": FIRST_VENUE_ID, "timestamp": EXCHANGE_NS}


def made(order_id: int, match: int, lots: int, total: int, **more: int) -> dict[str, int]:
    """A maker's fill of ours, a buy at 101."""
    entry = {"clientOrderId": order_id, "orderId": 9001, "instrumentId": FIRST_VENUE_ID, "matchId": match, "side": 1}
    return entry | ticks("price", 101) | quantity("fillQty", lots) | quantity("totalFilled", total) | more


def is_broken(bench: Bench) -> bool:
    link = bench.session.links[0]
    assert link.stream.faults[FrameFault.BAD_VALUE] == bench.session.bad_values
    assert (link.refusal == Refusal.BAD_FRAME) == (link.state == SessionState.LOST)
    return bool(link.refusal == Refusal.BAD_FRAME)


def quoted(bench: Bench) -> list[int]:
    """Bid 71 and ask 72 of the first instrument live."""
    ids = bench.quote((0, 90, 110, 3))
    results = [result(0, (71, 3), (72, 3), (90, 110, 3))]
    bench.hear(bench.gateway.frame("MassQuoteResponse", {"quoteId": bench.session.quote_id}, {"quotes": results}))
    return ids


def test_an_order_that_fills_whole_leaves_nothing(bench: Bench) -> None:
    order_id = bench.new(BUY, IOC, 102, 8)
    groups = {"fills": [fill(1, 101, 5), fill(2, 102, 3)]}
    heard = bench.hear(bench.gateway.frame("NewOrderResponse", response(order_id, FILLED, 8, 8), groups))
    assert told(heard, "qty_lots", "leaves_lots") == [
        (ReportKind.ACK, 0, NOT_TOLD), (ReportKind.FILL, 5, 3), (ReportKind.FILL, 3, 0),
    ]  # fmt: skip
    assert not is_broken(bench)


@pytest.mark.parametrize(
    "wrong", [quantity("totalFilled", 9), no_lots("quantity"), no_lots("totalFilled"), quantity("quantity", 7)]
)
@pytest.mark.parametrize("name", ["NewOrderResponse", "OrderPlaced"])
def test_sizes_that_do_not_add_up_end_the_link(bench: Bench, name: str, wrong: dict[str, int]) -> None:
    order_id = bench.new(BUY, IOC, 102, 8)
    root = (response if name == "NewOrderResponse" else placed)(order_id, ACTIVE, 8, 8)
    heard = bench.hear(bench.gateway.frame(name, root | wrong, {"fills": [fill(1, 101, 8)]}))
    # What was filled is told all the same.
    assert told(heard, "qty_lots", "leaves_lots") == [(ReportKind.ACK, 0, NOT_TOLD), (ReportKind.FILL, 8, 0)]
    assert is_broken(bench)


def test_the_reason_of_an_end_in_the_answer_is_told(bench: Bench) -> None:
    for code, reason in (
        (CancelReason.SELF_MATCH_PREVENTION, RejectReason.SELF_MATCH), (CancelReason.TIME_IN_FORCE, RejectReason.NONE),
        (CancelReason.POST_ONLY, RejectReason.WOULD_TAKE),
    ):  # fmt: skip
        order_id = bench.new(BUY, IOC, 102, 8)
        heard = bench.hear(bench.gateway.frame("NewOrderResponse", response(order_id, CANCELED, 8, 0, reason=code)))
        assert told(heard, "reason", "leaves_lots", "exchange_order_id", "exchange_time_ns", "instrument")[1:] == [
            (ReportKind.CANCELLED, reason, 8, 9000 + order_id % 4096, EXCHANGE_NS, 0)
        ]


@pytest.mark.parametrize(("ours", "theirs"), [(SELL, BUY), (BUY, SELL)])
def test_the_side_is_the_one_that_the_exchange_says(bench: Bench, ours: int, theirs: int) -> None:
    """Of an order of ours it is held against what was asked for; of any other it is all that is known."""
    for order_id in (bench.new(ours, GTC, 101, 20), 77):
        root = response(order_id, ACTIVE, 20, 8, side=1 if theirs == BUY else -1)
        heard = bench.hear(bench.gateway.frame("NewOrderResponse", root, {"fills": [fill(order_id, 101, 8)]}))
        assert told(heard, "side") == [(ReportKind.ACK, theirs), (ReportKind.FILL, theirs)]
    # One that does not say it leaves what was asked for.
    order_id = bench.new(ours, GTC, 101, 20)
    assert told(bench.hear(bench.gateway.frame("OrderPlaced", placed(order_id, ACTIVE, 20))), "side") == [
        (ReportKind.ACK, ours)
    ]


def test_an_amended_order_is_told_by_both_numbers(bench: Bench) -> None:
    order_id = bench.new(SELL, GTC, 101, 20)
    heard = bench.hear(bench.gateway.frame("AmendOrderResponse", placed(order_id, CANCELED, 20, 4, reason=12)))
    assert told(heard, "exchange_order_id", "qty_lots", "leaves_lots", "exchange_time_ns", "side") == [
        (ReportKind.AMENDED, 9000 + order_id % 4096, 20, 16, EXCHANGE_NS, SELL),
        (ReportKind.CANCELLED, 9000 + order_id % 4096, 0, 16, EXCHANGE_NS, SELL),
    ]


@pytest.mark.parametrize("wrong", [{"price.price9": 10_100_000_001}, no_lots("quantity"), quantity("totalFilled", 21)])
def test_an_amend_to_terms_that_can_not_be_is_not_told(bench: Bench, wrong: dict[str, int]) -> None:
    order_id = bench.new(BUY, GTC, 101, 20)
    assert bench.hear(bench.gateway.frame("AmendOrderResponse", placed(order_id, ACTIVE, 20) | wrong)) == []
    assert is_broken(bench)


def test_an_amend_of_an_instrument_that_nobody_knows_has_no_terms(bench: Bench) -> None:
    order_id = bench.new(BUY, GTC, 101, 20)
    root = placed(order_id, CANCELED, 20, 4, reason=12) | {"instrumentId": STRANGER_ID}
    heard = bench.hear(bench.gateway.frame("AmendOrderResponse", root, {"fills": [fill(1, 101, 4)]}))
    assert told(heard, "instrument", "price_ticks", "qty_lots", "leaves_lots") == [
        (ReportKind.AMENDED, STRANGE_INSTRUMENT, 0, 0, 0),
        (ReportKind.FILL, STRANGE_INSTRUMENT, 0, 0, 0),
        (ReportKind.CANCELLED, STRANGE_INSTRUMENT, 0, 0, 0),
    ]
    assert bench.session.unknown_instruments > 0
    assert not is_broken(bench)


def test_an_amend_refused_by_way_of_the_other_gateway_is_told_by_the_orders_own_alone() -> None:
    bench = Bench(links=2)
    bench.log_on()
    a, b = bench.gateways
    order_id = bench.new(BUY, GTC, 101, 20)
    bench.hear(a.frame("NewOrderResponse", response(order_id, ACTIVE, 20)), a)
    number = 9000 + order_id % 4096
    root = {"clientOrderId": order_id, "orderId": number, "instrumentId": FIRST_VENUE_ID, "reason": 8}
    assert bench.hear(b.frame("AmendOrderReject", root), b) == []
    assert bench.session.amends_rejected == 0
    heard = bench.hear(a.frame("AmendOrderReject", root), a)
    assert told(heard, "client_order_id", "reason", "instrument") == [
        (ReportKind.AMEND_REJECTED, order_id, RejectReason.WOULD_TAKE, 0)
    ]
    assert bench.session.amends_rejected == 1
    # Of an order that is not ours there is no other gateway to tell it.
    assert len(bench.hear(b.frame("AmendOrderReject", root | {"orderId": number + 1}), b)) == 1


@pytest.mark.parametrize(("version", "leaves"), [(15, NOT_TOLD), (16, 3), (17, 3)])
def test_what_a_cancelled_order_leaves_is_told_since_version_16(bench: Bench, version: int, leaves: int) -> None:
    order_id = bench.new(BUY, GTC, 90, 4)
    root = entry_of(order_id, 9001) | quantity("quantity", 4) | quantity("totalFilled", 1)
    frame = bench.gateway.frame("CancelOrderResponse", root, version=version, size=56 if version == 15 else None)
    assert told(bench.hear(frame), "leaves_lots", "exchange_order_id", "instrument") == [
        (ReportKind.CANCELLED, leaves, 9001, 0)
    ]
    assert bench.session.links[0].version_read == 17  # the confirmation's


@pytest.mark.parametrize("wrong", [quantity("totalFilled", 5), no_lots("quantity")])
def test_a_cancelled_order_of_sizes_that_do_not_add_up_has_ended(bench: Bench, wrong: dict[str, int]) -> None:
    order_id = bench.new(BUY, GTC, 90, 4)
    root = entry_of(order_id, 9001) | quantity("quantity", 4) | quantity("totalFilled", 1) | wrong
    heard = bench.hear(bench.gateway.frame("CancelOrderResponse", root))
    assert told(heard, "leaves_lots", "client_order_id") == [(ReportKind.CANCELLED, NOT_TOLD, order_id)]
    assert is_broken(bench)


@pytest.mark.parametrize("wrong", [no_lots("fillQty"), {"price.price9": 10_100_000_001}, no_lots("totalFilled")])
def test_a_makers_fill_that_can_not_be_is_told_and_ends_the_link(bench: Bench, wrong: dict[str, int]) -> None:
    order_id = bench.new(BUY, GTC, 101, 20)
    bench.hear(bench.gateway.frame("NewOrderResponse", response(order_id, ACTIVE, 20)))
    fills = [made(order_id, 1, 2, 2), made(order_id, 2, 3, 5, **wrong), made(order_id, 3, 4, 9)]
    heard = bench.hear(bench.gateway.frame("OrderFilled", {"timestamp": 7}, {"fills": fills}))
    is_total = "totalFilled.mantissa" in wrong
    assert told(heard, "match_id", "qty_lots", "filled_lots", "exchange_time_ns") == [
        (ReportKind.FILL, 1, 2, 2, 7), (ReportKind.FILL, 2, 3 * is_total, NOT_TOLD if is_total else 5, 7),
        (ReportKind.FILL, 3, 4, 9, 7),
    ]  # fmt: skip
    assert is_broken(bench)


def test_a_fill_under_our_number_of_anothers_order_is_told_without_it(bench: Bench) -> None:
    order_id = bench.new(BUY, GTC, 101, 20)
    bench.hear(bench.gateway.frame("NewOrderResponse", response(order_id, ACTIVE, 20)))
    fills = [made(order_id, 1, 2, 2, orderId=4711), made(555 << 12 | 5, 2, 2, 2, orderId=4712)]
    heard = bench.hear(bench.gateway.frame("OrderFilled", {}, {"fills": fills}))
    assert told(heard, "client_order_id", "exchange_order_id", "is_maker") == [
        (ReportKind.FILL, 0, 4711, 0), (ReportKind.FILL, 555 << 12 | 5, 4712, 0),
    ]  # fmt: skip


def test_quotes_that_are_filled_whole_have_ended_and_others_live(bench: Bench) -> None:
    """The next mass quote ends what lives, and nothing else: a second end would be an alarm."""
    bid, ask = quoted(bench)
    fills = [
        made(NULL, 1, 1, 1, orderId=71, flags=1), made(NULL, 2, 3, 3, orderId=72, side=-1, flags=3),
    ]  # fmt: skip
    heard = bench.hear(bench.gateway.frame("OrderFilled", {}, {"fills": fills}))
    assert told(heard, "client_order_id", "qty_lots", "filled_lots", "side", "is_maker") == [
        (ReportKind.FILL, bid, 1, NOT_TOLD, BUY, 1), (ReportKind.FILL, ask, 3, NOT_TOLD, SELL, 1),
    ]  # fmt: skip
    first, second = bench.quote((0, 91, 111, 3))
    results = [result(0, (73, 3), (74, 3), (91, 111, 3))]
    heard = bench.hear(bench.gateway.frame("MassQuoteResponse", {"quoteId": 2}, {"quotes": results}))
    assert told(heard, "client_order_id") == [
        (ReportKind.CANCELLED, bid), (ReportKind.ACK, first), (ReportKind.ACK, second),
    ]  # fmt: skip


def test_a_whole_fill_that_is_no_quotes_ends_none(bench: Bench) -> None:
    bid, ask = quoted(bench)
    bench.hear(bench.gateway.frame("OrderFilled", {}, {"fills": [made(5, 1, 1, 1, orderId=71, flags=2)]}))
    bench.gateway.take()
    for one in (bid, ask):
        assert write_cancel(bench.session, bench.ring, one, 0, bench.now_ns)
    bench.pump()
    bench.gateway.take()
    assert [root["orderId"] for _, root, _ in bench.gateway.seen] == [71, 72]


def test_quotes_that_the_exchange_cancels_have_ended(bench: Bench) -> None:
    bid, ask = quoted(bench)
    order_id = bench.new(BUY, GTC, 101, 20)
    wrong = {"orderId": 72, "instrumentId": FIRST_VENUE_ID, "cancelReason": 4, "flags": 1}
    orders = [
        {"clientOrderId": order_id, "orderId": 9001, "instrumentId": FIRST_VENUE_ID, **quantity("totalFilled", 2)},
        wrong | quantity("totalFilled", 1),
    ]
    heard = bench.hear(bench.gateway.frame("OrdersCanceled", {"timestamp": 7}, {"orders": orders}))
    # What quotes that were replaced have filled counts in its total, so it is none of this quote's.
    assert told(heard, "client_order_id", "exchange_order_id", "filled_lots", "instrument", "exchange_time_ns") == [
        (ReportKind.CANCELLED, order_id, 9001, 2, 0, 7), (ReportKind.CANCELLED, ask, 72, NOT_TOLD, 0, 7),
    ]  # fmt: skip
    assert write_cancel(bench.session, bench.ring, bid, 0, bench.now_ns)
    assert not is_broken(bench)


@pytest.mark.parametrize("flags", [0, 1])
def test_a_cancelled_order_whose_total_can_not_be_has_ended(bench: Bench, flags: int) -> None:
    order_id = bench.new(BUY, GTC, 101, 20)
    orders = [entry_of(order_id, 9001) | {"flags": flags} | no_lots("totalFilled")]
    del orders[0]["timestamp"]
    heard = bench.hear(bench.gateway.frame("OrdersCanceled", {}, {"orders": orders}))
    assert told(heard, "client_order_id", "filled_lots") == [
        (ReportKind.CANCELLED, 0 if flags else order_id, NOT_TOLD)
    ]  # fmt: skip
    assert is_broken(bench)


def test_protection_of_quotes_and_of_orders(bench: Bench) -> None:
    session, frame = bench.session, bench.gateway.frame
    assert bench.hear(frame("OrdersMmpTriggered", {"frozenUntil": 55})) == []
    assert (session.mmp_triggered, session.mmp_frozen_until_ns) == (1, 55)
    for name in ("GetMassQuoteMmpStatusResponse", "GetOrdersMmpStatusReject"):
        bench.hear(frame(name))
        assert (session.mmp_triggered, session.mmp_frozen_until_ns) == (1, 55)
    bench.hear(frame("OrdersMmpUnfrozen"))
    assert (session.mmp_triggered, session.mmp_frozen_until_ns) == (1, 0)
    bench.hear(frame("MassQuoteMmpTriggered", {"frozenUntil": 66}))
    assert (session.mmp_triggered, session.mmp_frozen_until_ns) == (2, 66)
    bench.hear(frame("OrdersMmpUnfrozen"))
    assert session.mmp_frozen_until_ns == 0


def test_a_refused_mass_cancel_is_repeated_whole_while_the_other_gateway_is_away() -> None:
    bench = Bench(links=2)
    bench.log_on()
    a, b = bench.gateways
    bench.close_connection(b)
    assert not write_mass_cancel(bench.session, bench.ring, bench.now_ns)
    bench.pump()
    assert a.take() == ["MassCancelRequest"] * 2
    bench.hear(a.frame("MassCancelReject", {"correlationId": 1, "reason": 0}), a)
    assert (bench.session.mass_cancels_rejected, bench.session.links[0].mass_cancels_refused) == (1, 1)
    bench.keep(100 * NS_PER_MS - 1)
    assert a.take() == []
    bench.keep(1)
    assert a.take() == ["MassCancelRequest"] * 2
    bench.keep(200 * NS_PER_MS)
    assert a.take() == []


def test_a_price_that_is_no_whole_tick_is_told_as_none(bench: Bench) -> None:
    order_id = bench.new(BUY, IOC, 102, 20)
    bad = fill(1, 101, 5) | {"fillPrice.price9": 10_100_000_001}
    groups = {"fills": [bad, fill(2, 101, 3)]}
    heard = bench.hear(bench.gateway.frame("NewOrderResponse", response(order_id, ACTIVE, 20, 8), groups))
    assert told(heard, "price_ticks", "qty_lots", "fee_e9") == [
        (ReportKind.ACK, 0, 0, 0), (ReportKind.FILL, 0, 0, 0), (ReportKind.FILL, 101, 3, 15_150),
    ]  # fmt: skip
    assert is_broken(bench)


def test_a_fill_whose_instrument_nobody_knows_ends_no_link(bench: Bench) -> None:
    root: dict[str, Any] = response(5, QUEUED, 20) | {"instrumentId": STRANGER_ID}
    heard = bench.hear(bench.gateway.frame("NewOrderResponse", root, {"fills": [fill(1, 101, 5)]}))
    assert told(heard, "instrument", "qty_lots", "price_ticks", "fee_e9", "leaves_lots", "queued")[1:] == [
        (ReportKind.FILL, STRANGE_INSTRUMENT, 0, 0, 0, 0, 0)
    ]
    assert not is_broken(bench)
    assert bench.session.unknown_instruments == 2


@pytest.mark.parametrize(("price", "fee"), [(101, 25_250), (0, 250), (-101, 25_250), (-1, 250)])
def test_the_fee_of_a_price_that_is_nothing_or_negative(bench: Bench, price: int, fee: int) -> None:
    """Of a combination it may be."""
    assert make_market(1).instruments[0].taker_fee_e9 == 500_000
    order_id = bench.new(BUY, IOC, 102, 20)
    heard = bench.hear(
        bench.gateway.frame("NewOrderResponse", response(order_id, ACTIVE, 20, 5), {"fills": [fill(1, price, 5)]})
    )
    assert told(heard, "price_ticks", "qty_lots", "fee_e9", "match_id")[1:] == [(ReportKind.FILL, price, 5, fee, 1)]
