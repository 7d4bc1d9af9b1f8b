"""Mass quotes of a Starbase session: what goes out, what becomes of each side, and what lives on afterwards."""

from typing import Any

import pytest

from crosswire.nic.duration import NS_PER_MS
from crosswire.venues.order import STRANGE_INSTRUMENT, Approvals, RejectReason, ReportKind, TimeInForce
from crosswire.venues.session import SessionState, write_cancel, write_mass_cancel, write_mass_quote
from crosswire.venues.side import BUY, SELL
from crosswire.venues.starbase.orders.state import Refusal
from crosswire.venues.starbase.wire.order_codes import QuoteStatus
from crosswire.venues.starbase.wire.stream import FrameFault
from tests.support.order_setup import FIRST_VENUE_ID
from tests.support.starbase_order_setup import (
    ACTIVE,
    CANCELED,
    FILLED,
    GTC,
    POST_ONLY,
    Bench,
    fill,
    quantity,
    result,
    ticks,
    told,
)

pytestmark = pytest.mark.starbase
LIVE = (QuoteStatus.UNMODIFIED, QuoteStatus.QUANTITY_REDUCED, QuoteStatus.UPDATED, QuoteStatus.SPEED_BUMPED)
CANCELED_STATUSES = (QuoteStatus.CANCELED_BY_REQUEST, QuoteStatus.CANCELED_BY_MMP, QuoteStatus.CANCELED_BY_SELF_MATCH)
STRANGER_ID = FIRST_VENUE_ID + 77


def approvals_of(*sides: tuple[int, int, int, int], time_in_force: int = POST_ONLY) -> Approvals:
    """(instrument, side, price, lots), armed; numbers from 1."""
    approvals = Approvals(count=len(sides))
    for place, (instrument, side, price, lots) in enumerate(sides):
        approval = approvals.items[place]
        approval.armed, approval.client_order_id = 1, (place + 1) << 12 | (place + 1)
        approval.instrument, approval.side, approval.time_in_force = instrument, side, time_in_force
        approval.price_ticks, approval.qty_lots = price, lots
    return approvals


def send(bench: Bench, approvals: Approvals) -> bool:
    sent = write_mass_quote(bench.session, bench.ring, approvals, bench.now_ns)
    assert not any(approval.armed for approval in approvals.items)
    bench.pump()
    return bool(sent)


def answer(bench: Bench, *results: dict[str, int], time_ns: int = 7, **groups: Any) -> list[dict[str, int]]:
    root = {"quoteId": bench.session.quote_id, "timestamp": time_ns}
    return bench.hear(bench.gateway.frame("MassQuoteResponse", root, {"quotes": list(results), **groups}))


def lives(bench: Bench, *terms: tuple[int, int, int, int]) -> list[int]:
    """Quotes that were sent and taken, as 71, 72, 73, ..."""
    ids = bench.quote(*terms)
    answer(
        bench,
        *(
            result(instrument, (71 + 2 * place, 3), (72 + 2 * place, 3), (bid, ask, lots))
            for place, (instrument, bid, ask, lots) in enumerate(terms)
        ),
    )
    return ids


def replaced(bench: Bench) -> list[int]:
    """Which of the first instrument's quotes live: those that end as the next are taken."""
    results = [result(0, (91, 3), (92, 3), (89, 111, 3))]
    assert bench.quote((0, 89, 111, 3))
    heard = answer(bench, *results)
    return [one["client_order_id"] for one in heard if one["kind"] == ReportKind.CANCELLED]


def test_each_side_goes_out_with_its_own_terms(bench: Bench) -> None:
    bench.gateway.take()
    sides = [(1, BUY, 80, 4), (1, SELL, 120, 5), (0, BUY, 90, 2), (0, SELL, 110, 3)]
    assert send(bench, approvals_of(*sides, time_in_force=GTC))
    assert bench.gateway.take() == ["MassQuoteRequest"]
    _, root, groups = bench.gateway.seen[0]
    assert root == {
        "quoteId": 1, "correlationId": 1, "mmpGroupId": 0, "selfMatchPreventionId": 0, "flags": 0,
    }  # fmt: skip
    assert groups["quotes"] == [
        {"instrumentId": FIRST_VENUE_ID + instrument, **ticks("bidPrice", bid), **ticks("askPrice", ask),
         **quantity("bidQty", bid_lots, -9), **quantity("askQty", ask_lots, -9), "bidFlags": 1, "askFlags": 1}
        for instrument, bid, ask, bid_lots, ask_lots in ((1, 80, 120, 4, 5), (0, 90, 110, 2, 3))
    ]  # fmt: skip
    assert (bench.session.quotes_sent, bench.session.orders_sent, bench.session.frames_sent) == (1, 4, 2)
    assert bench.session.numbers[0] == bench.gateway.numbers[-1] == 2
    first = result(1, (71, 3), (72, 3), (80, 120, 4)) | quantity("askQty", 5)
    second = result(0, (73, 3), (74, 3), (90, 110, 2)) | quantity("askQty", 3)
    assert told(answer(bench, first, second), "client_order_id", "side", "instrument") == [
        (ReportKind.ACK, number << 12 | number, side, instrument)
        for number, (instrument, side, _, _) in enumerate(sides, 1)
    ]


def test_flags_are_each_sides(bench: Bench) -> None:
    approvals = approvals_of((0, BUY, 90, 2), (0, SELL, 110, 3))
    approvals.items[1].time_in_force = TimeInForce.GTC
    assert send(bench, approvals)
    bench.gateway.take()
    quote = bench.gateway.seen[-1][2]["quotes"][0]
    assert (quote["bidFlags"], quote["askFlags"]) == (5, 1)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_no_mass_quote_of_half_a_pair(bench: Bench, count: int) -> None:
    bench.gateway.take()
    sides = [(0, BUY, 90, 2), (0, SELL, 110, 3), (1, BUY, 80, 4), (1, SELL, 120, 5)]
    assert not send(bench, approvals_of(*sides[:count]))
    assert bench.gateway.take() == []
    assert bench.session.quote_id == 0
    # What was not sent is not waited for.
    assert send(bench, approvals_of(*sides[:2]))
    assert bench.gateway.take() == ["MassQuoteRequest"]


@pytest.mark.parametrize("unarmed", [0, 1, 2])
@pytest.mark.parametrize("is_undefined", [False, True])
@pytest.mark.parametrize("is_pending", [False, True])
def test_one_side_that_can_not_go_holds_all_back(
    bench: Bench, unarmed: int, is_undefined: bool, is_pending: bool
) -> None:
    if is_pending:
        bench.quote((0, 90, 110, 3))
    if is_undefined:
        bench.market.instruments[1].venue_id = -1
    approvals = approvals_of((0, BUY, 90, 2), (0, SELL, 110, 3), (1, BUY, 80, 4), (1, SELL, 120, 5))
    for place in range(unarmed):
        approvals.items[3 - place].armed = 0
    assert send(bench, approvals) == (unarmed == 0 and not is_undefined and not is_pending)
    session = bench.session
    assert (session.unarmed, session.undefined, session.quotes_overlapping, session.unlinked) == (
        unarmed, 2 * is_undefined, is_pending, 0,
    )  # fmt: skip


@pytest.mark.parametrize("is_pending", [False, True])
@pytest.mark.parametrize("is_undefined", [False, True])
def test_quotes_of_another_link_are_not_replaced_whatever_else_holds_the_quote_back(
    is_pending: bool, is_undefined: bool
) -> None:
    bench = Bench(links=2)
    bench.log_on()
    a, b = bench.gateways
    bench.quote((0, 90, 110, 3))
    results = [result(0, (71, 3), (72, 3), (90, 110, 3))]
    bench.hear(a.frame("MassQuoteResponse", {"quoteId": 1}, {"quotes": results}), a)
    bench.close_connection(a)
    if is_pending:
        assert bench.quote((1, 80, 120, 3))
    b.take()
    if is_undefined:
        bench.market.instruments[1].venue_id = -1
    assert not bench.quote((0, 91, 111, 3), (1, 80, 120, 3))
    assert (bench.session.unlinked, bench.session.quotes_overlapping) == (1, is_pending)
    assert b.take() == []


def test_one_side_that_lives_on_another_link_is_enough(bench: Bench) -> None:
    bench = Bench(links=2)
    bench.log_on()
    a, _ = bench.gateways
    bench.quote((0, 90, 110, 3))
    results = [result(0, (71, 3), (72, int(QuoteStatus.CANCELED_BY_MMP)), (90, 110, 3))]
    bench.hear(a.frame("MassQuoteResponse", {"quoteId": 1}, {"quotes": results}), a)
    bench.close_connection(a)
    assert not bench.quote((0, 91, 111, 3))
    assert bench.session.unlinked == 1


def test_an_instrument_whose_number_is_0_may_be_quoted(bench: Bench) -> None:
    bench.market.instruments[1].venue_id = 0
    assert bench.quote((1, 80, 120, 3))


def test_a_full_ring_costs_a_mass_quote_nothing_but_time(bench: Bench) -> None:
    bench.gateway.take()
    with bench.full_ring():
        assert not send_full(bench)
    assert (bench.session.ring_full, bench.session.quotes_sent, bench.session.orders_sent) == (1, 0, 0)
    assert bench.quote((0, 90, 110, 3))
    assert bench.gateway.take() == ["MassQuoteRequest"]
    assert bench.gateway.seen[0][1]["quoteId"] == 1
    assert bench.gateway.numbers == [1, 2]


def send_full(bench: Bench) -> bool:
    approvals = approvals_of((0, BUY, 90, 2), (0, SELL, 110, 3))
    return bool(write_mass_quote(bench.session, bench.ring, approvals, bench.now_ns))


def test_mass_quotes_go_where_quotes_are_on_the_stream_of_their_gateway() -> None:
    bench = Bench(links=2)
    bench.log_on()
    a, b = bench.gateways
    bench.close_connection(a)
    assert bench.quote((0, 90, 110, 3))
    b.take()
    # The other's stream was selected last.
    bench.keep(1_000_000_000)
    bench.ring.connections[0] += 1
    bench.keep(NS_PER_MS)
    a.take(), b.take()
    assert bench.quote((1, 80, 120, 3))
    assert (a.take(), b.take()) == ([], ["MassQuoteRequest"])


def test_a_quote_sent_while_a_mass_cancel_waits_is_cancelled_too() -> None:
    bench = Bench(links=2)
    bench.log_on()
    a, b = bench.gateways
    bench.close_connection(b)
    for _ in range(2):
        assert not write_mass_cancel(bench.session, bench.ring, bench.now_ns)
    bench.pump()
    assert a.take() == ["MassCancelRequest"] * 2
    assert bench.quote((0, 90, 110, 3))
    assert not write_mass_cancel(bench.session, bench.ring, bench.now_ns)
    bench.pump()
    assert a.take() == ["MassQuoteRequest"] + ["MassCancelRequest"] * 2


@pytest.mark.parametrize("status", [status for status in QuoteStatus if status != QuoteStatus.INACTIVE])
@pytest.mark.parametrize("side", [BUY, SELL])
def test_what_becomes_of_a_side(bench: Bench, side: int, status: int) -> None:
    ids = bench.quote((0, 90, 110, 3))
    sides = [(71, int(QuoteStatus.UPDATED)), (72, int(QuoteStatus.UPDATED))]
    sides[side] = (71 + side, int(status))
    heard = answer(bench, result(0, sides[0], sides[1], (90, 110, 3)))
    reason = {QuoteStatus.CANCELED_BY_SELF_MATCH: RejectReason.SELF_MATCH, QuoteStatus.CANCELED_BY_MMP: 11}
    names = ("client_order_id", "exchange_order_id", "side", "queued", "reason", "exchange_time_ns", "instrument")
    assert told(heard, *names) == [
        *(
            (ReportKind.ACK, ids[one], 71 + one, one, one == side and status == QuoteStatus.SPEED_BUMPED, 0, 7, 0)
            for one in range(2)
        ),
        *([(ReportKind.CANCELLED, ids[side], 0, side, 0, reason.get(status, 0), 7, 0)]
          if status in CANCELED_STATUSES else []),
    ]  # fmt: skip
    # What has ended is not ended again by the next.
    assert replaced(bench) == [one for number, one in enumerate(ids) if number != side or status in LIVE]


@pytest.mark.parametrize("side", [BUY, SELL])
def test_a_side_that_is_refused_leaves_none_there(bench: Bench, side: int) -> None:
    old = lives(bench, (0, 90, 110, 3))
    new = bench.quote((0, 91, 111, 3))
    sides = [(73, 3), (74, 3)]
    sides[side] = (0, 0)
    heard = answer(bench, result(0, sides[0], sides[1], (91, 111, 3)))
    expected = []
    for one in range(2):
        expected.append((ReportKind.CANCELLED, old[one], 71 + one, 0, 7))
        if one == side:
            expected.append((ReportKind.REJECTED, new[one], 0, RejectReason.BAD_PRICE, 7))
        else:
            expected.append((ReportKind.ACK, new[one], 73 + one, 0, 7))
    assert told(heard, "client_order_id", "exchange_order_id", "reason", "exchange_time_ns") == expected
    assert replaced(bench) == [new[1 - side]]


@pytest.mark.parametrize("status", list(QuoteStatus))
@pytest.mark.parametrize("wrong", [ticks("askPrice", 111), quantity("askQty", 4), {"askPrice.price9": 11_000_000_001}])
def test_other_terms_than_were_asked_for_are_told_of_what_lives_or_was_filled(
    bench: Bench, status: int, wrong: dict[str, int]
) -> None:
    _, ask = bench.quote((0, 90, 110, 3))
    heard = answer(bench, result(0, (71, 3), (72, int(status)), (90, 110, 3)) | wrong)
    amended = [one for one in heard if one["kind"] == ReportKind.AMENDED]
    is_told = status in LIVE or status == QuoteStatus.FILLED
    assert len(amended) == is_told
    if is_told:
        price = 0 if "askPrice.price9" in wrong and wrong["askPrice.price9"] % 10 else 110
        price = 111 if wrong == ticks("askPrice", 111) else price
        lots = 4 if "askQty.mantissa" in wrong else 3
        assert told(amended, "client_order_id", "side", "price_ticks", "qty_lots", "exchange_time_ns") == [
            (ReportKind.AMENDED, ask, SELL, price, lots if price else 0, 7)
        ]


@pytest.mark.parametrize("name", ["bidQty", "bidFilledQty", "askQty", "askFilledQty"])
def test_a_quantity_of_a_side_that_is_no_whole_lot_has_no_terms(bench: Bench, name: str) -> None:
    ids = bench.quote((0, 90, 110, 3))
    wrong = {f"{name}.mantissa": 5_0001, f"{name}.exponent": -7}
    heard = answer(bench, result(0, (71, 3), (72, 3), (90, 110, 3)) | wrong)
    amended = [one for one in heard if one["kind"] == ReportKind.AMENDED]
    assert told(amended, "client_order_id", "price_ticks", "qty_lots") == [
        (ReportKind.AMENDED, ids[name.startswith("ask")], 0, 0)
    ]


@pytest.mark.parametrize(
    ("lots", "filled", "is_told"), [(3, 0, False), (3, 1, False), (2, 1, False), (2, 0, True), (2, 2, True)]
)
def test_a_quantity_may_count_what_was_filled_at_once_or_not(
    bench: Bench, lots: int, filled: int, is_told: bool
) -> None:
    bench.quote((0, 90, 110, 3))
    heard = answer(bench, result(0, (71, 3), (72, 3), (90, 110, 3)) | quantity("bidQty", lots)
                   | quantity("bidFilledQty", filled))  # fmt: skip
    assert (ReportKind.AMENDED in [one["kind"] for one in heard]) == is_told


def test_an_answer_to_a_mass_quote_that_was_not_the_last_is_not_believed(bench: Bench) -> None:
    first = lives(bench, (0, 90, 110, 3))
    bench.quote((0, 91, 111, 3))
    stale = {"quoteId": 1, "timestamp": 7}
    heard = bench.hear(
        bench.gateway.frame("MassQuoteResponse", stale, {"quotes": [result(0, (75, 3), (76, 3), (95, 115, 9))]})
    )
    assert heard == []
    assert bench.session.unexpected == 2
    # Nor is what it names: the next answer ends what lived.
    heard = answer(bench, result(0, (73, 3), (74, 3), (91, 111, 3)))
    ended = [one for one in heard if one["kind"] == ReportKind.CANCELLED]
    assert told(ended, "client_order_id", "exchange_order_id") == [
        (ReportKind.CANCELLED, first[0], 71), (ReportKind.CANCELLED, first[1], 72),
    ]  # fmt: skip


def test_an_unmodified_side_is_kept_only_if_the_speed_bump_holds_it(bench: Bench) -> None:
    """Otherwise "unmodified" says that the new quote has the old one's terms."""
    old = lives(bench, (0, 90, 110, 3))
    new = bench.quote((0, 90, 110, 3))
    heard = answer(bench, result(0, (71, 1), (72, 1), (90, 110, 3)))
    assert told(heard, "client_order_id") == [
        (ReportKind.CANCELLED, old[0]), (ReportKind.ACK, new[0]),
        (ReportKind.CANCELLED, old[1]), (ReportKind.ACK, new[1]),
    ]  # fmt: skip
    third = bench.quote((0, 91, 111, 3))
    kept = {"bidRejectReason": 34, "askRejectReason": 34}
    heard = answer(bench, result(0, (71, 1), (72, 1), (90, 110, 3)) | kept)
    assert told(heard, "client_order_id", "reason", "exchange_time_ns") == [
        (ReportKind.REJECTED, one, RejectReason.SPEED_BUMPED, 7) for one in third
    ]
    assert replaced(bench) == new
    # Where nothing lives there is nothing to keep.
    heard = bench.hear(
        bench.gateway.frame("OrdersCanceled", {}, {"orders": [
            {"orderId": number, "instrumentId": FIRST_VENUE_ID, "cancelReason": 4, "flags": 1} for number in (91, 92)
        ]})
    )  # fmt: skip
    fourth = bench.quote((0, 91, 111, 3))
    heard = answer(bench, result(0, (93, 1), (94, 1), (91, 111, 3)) | kept)
    assert told(heard, "client_order_id") == [(ReportKind.ACK, one) for one in fourth]


def test_what_the_sides_took_is_told_of_their_orders(bench: Bench) -> None:
    ids = bench.quote((0, 90, 110, 3), (1, 80, 120, 4))
    bids = [{"instrumentId": FIRST_VENUE_ID + 1, **fill(5, 79, 1)}, {"instrumentId": FIRST_VENUE_ID, **fill(6, 90, 2)}]
    asks = [{"instrumentId": FIRST_VENUE_ID + 1, **fill(7, 121, 3)}, {"instrumentId": STRANGER_ID, **fill(8, 121, 3)}]
    heard = answer(
        bench, result(0, (71, 3), (72, 3), (90, 110, 3)), result(1, (73, 3), (74, 3), (80, 120, 4)),
        bidFills=bids, askFills=asks,
    )  # fmt: skip
    names = ("client_order_id", "exchange_order_id", "match_id", "side", "price_ticks", "qty_lots", "is_maker",
             "instrument", "exchange_time_ns")  # fmt: skip
    assert told(heard[4:], *names) == [
        (ReportKind.FILL, ids[2], 73, 5, BUY, 79, 1, 0, 1, 7), (ReportKind.FILL, ids[0], 71, 6, BUY, 90, 2, 0, 0, 7),
        (ReportKind.FILL, ids[3], 74, 7, SELL, 121, 3, 0, 1, 7),
        (ReportKind.FILL, 0, 0, 8, SELL, 0, 0, 0, STRANGE_INSTRUMENT, 7),
    ]  # fmt: skip
    assert bench.session.state == SessionState.READY


@pytest.mark.parametrize("name", ["bidFills", "askFills"])
@pytest.mark.parametrize("wrong", [{"fillQty.mantissa": 5_0001, "fillQty.exponent": -7},
                                   {"fillPrice.price9": 9_000_000_001}])  # fmt: skip
def test_a_quotes_fill_that_can_not_be_ends_the_link(bench: Bench, name: str, wrong: dict[str, int]) -> None:
    bench.quote((0, 90, 110, 3))
    groups = {name: [{"instrumentId": FIRST_VENUE_ID, **fill(5, 90, 1), **wrong}]}
    heard = answer(bench, result(0, (71, 3), (72, 3), (90, 110, 3)), **groups)
    assert told(heard, "qty_lots")[-1] == (ReportKind.FILL, 0)
    link = bench.session.links[0]
    assert (link.refusal, link.stream.faults[FrameFault.BAD_VALUE], bench.session.bad_values) == (
        Refusal.BAD_FRAME, 1, 1,
    )  # fmt: skip


def test_a_result_of_an_instrument_that_nobody_knows_is_told_beside_the_others(bench: Bench) -> None:
    ids = bench.quote((0, 90, 110, 3))
    strange = result(0, (75, 3), (76, 3), (90, 110, 3)) | {"instrumentId": STRANGER_ID}
    heard = answer(bench, strange, result(0, (71, 3), (72, 3), (90, 110, 3)))
    assert told(heard, "client_order_id", "instrument", "exchange_time_ns") == [
        (ReportKind.ACK, 0, STRANGE_INSTRUMENT, 7), (ReportKind.ACK, ids[0], 0, 7), (ReportKind.ACK, ids[1], 0, 7),
    ]  # fmt: skip
    assert bench.session.unknown_instruments == 1


@pytest.mark.parametrize("parts", [1, 2])
def test_a_refused_mass_quote_is_told_once_and_leaves_what_lives(bench: Bench, parts: int) -> None:
    old = lives(bench, (0, 90, 110, 3))
    new = bench.quote((0, 91, 111, 3))
    other = bench.quote((1, 80, 120, 3))
    for part in range(parts):
        heard = bench.hear(bench.gateway.frame("MassQuoteReject", {"quoteId": 2, "reason": 6}))
        assert told(heard, "client_order_id", "reason", "exchange_time_ns") == (
            [(ReportKind.REJECTED, one, RejectReason.RATE_LIMIT, 0) for one in new] if part == 0 else []
        )
    assert bench.session.quotes_rejected == parts
    # The other one is under way still.
    assert not bench.quote((1, 81, 121, 3))
    assert told(answer_to(bench, 3, result(1, (73, 3), (74, 3), (80, 120, 3))), "client_order_id") == [
        (ReportKind.ACK, one) for one in other
    ]
    assert replaced(bench) == old


def answer_to(bench: Bench, quote_id: int, *results: dict[str, int]) -> list[dict[str, int]]:
    return bench.hear(bench.gateway.frame("MassQuoteResponse", {"quoteId": quote_id}, {"quotes": list(results)}))


def placed_quote(order_id: int, side: int, status: int, reason: int = 0, instrument: int = 0) -> dict[str, int]:
    return {
        "orderId": order_id, "instrumentId": FIRST_VENUE_ID + instrument, "side": 1 if side == BUY else -1,
        "status": status, "cancelReason": reason,
    }  # fmt: skip


def released(bench: Bench, orders: list[dict[str, int]], fills: list[dict[str, int]]) -> list[dict[str, int]]:
    groups = {"orders": orders, "fills": fills}
    return bench.hear(bench.gateway.frame("MassQuoteOrdersPlaced", {"timestamp": 9}, groups))


@pytest.mark.parametrize("status", [ACTIVE, FILLED, CANCELED])
def test_held_quotes_that_are_released(bench: Bench, status: int) -> None:
    bid, ask = bench.quote((0, 90, 110, 3))
    answer(bench, result(0, (71, 8), (72, 8), (90, 110, 3)))
    fills = [{"orderId": 72, **fill(5, 111, 1)}, {"orderId": 71, **fill(6, 90, 2)}, {"orderId": 72, **fill(7, 110, 2)}]
    heard = released(bench, [placed_quote(71, BUY, ACTIVE), placed_quote(72, SELL, status, 1)], fills)
    names = ("client_order_id", "exchange_order_id", "side", "match_id", "qty_lots", "reason", "exchange_time_ns")
    ended = [(ReportKind.CANCELLED, ask, 0, SELL, 0, 0, RejectReason.SELF_MATCH, 9)] if status == CANCELED else []
    assert told(heard, *names) == [
        (ReportKind.ACK, bid, 71, BUY, 0, 0, 0, 9), (ReportKind.FILL, bid, 71, BUY, 6, 2, 0, 9),
        (ReportKind.ACK, ask, 72, SELL, 0, 0, 0, 9), (ReportKind.FILL, ask, 72, SELL, 5, 1, 0, 9),
        (ReportKind.FILL, ask, 72, SELL, 7, 2, 0, 9), *ended,
    ]  # fmt: skip
    assert {one["instrument"] for one in heard} == {0}
    assert {one["is_maker"] for one in heard} == {0}
    # Neither is held any more, and what has ended is not ended again.
    new = bench.quote((0, 91, 111, 3))
    heard = answer(bench, result(0, (71, 1), (72, 1), (91, 111, 3)))
    assert told(heard, "client_order_id") == [
        (ReportKind.CANCELLED, bid), (ReportKind.ACK, new[0]),
        *([(ReportKind.CANCELLED, ask)] if status == ACTIVE else []), (ReportKind.ACK, new[1]),
    ]  # fmt: skip


def test_only_what_is_released_is_held_no_longer(bench: Bench) -> None:
    bid, _ = bench.quote((0, 90, 110, 3))
    answer(bench, result(0, (71, 8), (72, 8), (90, 110, 3)))
    released(bench, [placed_quote(71, BUY, ACTIVE)], [])
    new = bench.quote((0, 91, 111, 3))
    heard = answer(bench, result(0, (73, 3), (72, 1), (91, 110, 3)) | {"askRejectReason": -128})
    assert told(heard, "client_order_id") == [
        (ReportKind.CANCELLED, bid), (ReportKind.ACK, new[0]), (ReportKind.REJECTED, new[1]),
    ]  # fmt: skip


def test_a_release_of_what_is_no_quote_of_ours_is_of_the_instrument_that_it_names(bench: Bench) -> None:
    heard = released(bench, [placed_quote(99, SELL, CANCELED, instrument=1)], [{"orderId": 99, **fill(5, 110, 1)}])
    assert told(heard, "client_order_id", "instrument") == [
        (ReportKind.ACK, 0, 1), (ReportKind.FILL, 0, 1), (ReportKind.CANCELLED, 0, 1),
    ]  # fmt: skip


def test_a_fill_under_a_quotes_number_of_anothers_order_is_none_of_the_quotes(bench: Bench) -> None:
    bid, _ = lives(bench, (0, 90, 110, 3))
    made = {"clientOrderId": bid, "orderId": 4711, "instrumentId": FIRST_VENUE_ID, "matchId": 9, "side": 1,
            **ticks("price", 90), **quantity("fillQty", 1), **quantity("totalFilled", 1)}  # fmt: skip
    heard = bench.hear(bench.gateway.frame("OrderFilled", {}, {"fills": [made]}))
    assert told(heard, "client_order_id", "is_maker") == [(ReportKind.FILL, 0, 0)]


@pytest.mark.parametrize("wrong", [{"fillQty.mantissa": 5_0001, "fillQty.exponent": -7},
                                   {"fillPrice.price9": 9_000_000_001}])  # fmt: skip
def test_a_released_quotes_fill_that_can_not_be_ends_the_link(bench: Bench, wrong: dict[str, int]) -> None:
    bench.quote((0, 90, 110, 3))
    answer(bench, result(0, (71, 8), (72, 8), (90, 110, 3)))
    heard = released(bench, [placed_quote(72, SELL, ACTIVE)], [{"orderId": 72, **fill(5, 110, 1), **wrong}])
    assert told(heard, "qty_lots") == [(ReportKind.ACK, 0), (ReportKind.FILL, 0)]
    assert (bench.session.links[0].refusal, bench.session.bad_values) == (Refusal.BAD_FRAME, 1)


@pytest.mark.parametrize(
    ("name", "group", "entry"),
    [
        ("MassQuoteOrdersPlaced", "orders", placed_quote(71, BUY, ACTIVE)),
        ("MassQuoteOrdersPlaced", "fills", {"orderId": 71, **fill(5, 110, 1)}),
        ("MassQuoteResponse", "quotes", result(0, (71, 3), (72, 3), (90, 110, 3))),
        ("MassQuoteResponse", "bidFills", {"instrumentId": FIRST_VENUE_ID, **fill(5, 110, 1)}),
        ("MassQuoteResponse", "askFills", {"instrumentId": FIRST_VENUE_ID, **fill(5, 110, 1)}),
    ],
)
def test_a_group_that_does_not_lie_inside_its_frame_ends_the_link(
    bench: Bench, name: str, group: str, entry: dict[str, int]
) -> None:
    bench.quote((0, 90, 110, 3))
    root = {"quoteId": 1} if name == "MassQuoteResponse" else {}
    number = bench.gateway.sent_sequence + 1
    # What stands before it is as it should be, and not told either.
    before = {"quotes": [result(0, (71, 3), (72, 3), (90, 110, 3))]} if group.endswith("Fills") else {}
    if group == "fills":
        before = {"orders": [placed_quote(71, BUY, ACTIVE)]}
    empty = bench.gateway.frame(name, root, before, sequence=number)
    data = bytearray(bench.gateway.frame(name, root, before | {group: [entry]}, sequence=number))
    count = next(place for place in range(32, len(empty)) if data[place] != empty[place])
    data[count] = 200
    assert bench.hear(bytes(data)) == []
    link = bench.session.links[0]
    assert (link.refusal, link.stream.faults[FrameFault.BAD_GROUP]) == (Refusal.BAD_FRAME, 1)


def test_the_quotes_of_one_instrument_are_none_of_anothers(bench: Bench) -> None:
    ids = lives(bench, (0, 90, 110, 3), (1, 80, 120, 3))
    bench.gateway.take()
    for place, one in enumerate(ids):
        assert write_cancel(bench.session, bench.ring, one, place // 2, bench.now_ns)
    bench.pump()
    bench.gateway.take()
    assert [(root["orderId"], root["instrumentId"]) for _, root, _ in bench.gateway.seen] == [
        (71, 700), (72, 700), (73, 701), (74, 701),
    ]  # fmt: skip
    sizes = quantity("quantity", 3) | quantity("totalFilled", 0)
    heard = []
    for number in (74, 71):
        root = {"correlationId": number, "orderId": number, "instrumentId": 700 + (number == 74), **sizes}
        heard += bench.hear(bench.gateway.frame("CancelOrderResponse", root))
    assert told(heard, "client_order_id", "leaves_lots") == [
        (ReportKind.CANCELLED, ids[3], 3), (ReportKind.CANCELLED, ids[0], 3),
    ]  # fmt: skip
    assert replaced(bench) == [ids[1]]
