"""The engine's order table: ids, states, and each fill applied exactly once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosswire.venues.instrument import Instrument, Kind
from crosswire.venues.order import (
    BY_ID_MAX,
    EXECUTION_STEP_MAX,
    FILL_FEE_MAX_E9,
    FILL_LOTS_MAX,
    FILL_TICKS_MAX,
    FILLS_REMEMBERED,
    NOT_TOLD,
    ORDERS_BITS,
    ORDERS_MAX,
    AmendState,
    Applied,
    Order,
    OrderState,
    OrderTable,
    RejectReason,
    Report,
    ReportKind,
    TimeInForce,
    amend_sent,
    apply_report,
    cancel_sent,
    close_order,
    expect_cancel_by_id,
    find_exchange_order,
    find_order,
    free_order,
    is_alarm,
    is_unsettled_quote,
    make_order_table,
    open_lots,
)
from crosswire.venues.side import BUY, SELL
from tests.support.order_setup import open_order, set_terms

VENUE = 2
INSTRUMENT = 5


def open_buy(table: OrderTable, qty_lots: int = 10) -> Order:
    return open_order(table, VENUE, INSTRUMENT, BUY, TimeInForce.GTC, 1000, qty_lots, 111)


def report_of(order: Order, kind: ReportKind, **values: int) -> Report:
    fields = {"venue": VENUE, "client_order_id": order.client_order_id, "instrument": INSTRUMENT, "side": BUY}
    fields["leaves_lots"] = fields["filled_lots"] = NOT_TOLD
    return Report(kind=kind, **(fields | values))


def fill_of(order: Order, execution_id: int, qty_lots: int, price_ticks: int = 1000, **values: int) -> Report:
    fields = {"execution_id": execution_id, "qty_lots": qty_lots, "price_ticks": price_ticks, "fee_e9": 7}
    return report_of(order, ReportKind.FILL, **(fields | values))


def test_an_order_lives_and_fills() -> None:
    table = make_order_table()
    order = open_buy(table)
    assert order.state == OrderState.PENDING_NEW
    assert (order.price_ticks, order.qty_lots, order.created_ns, order.decision_ticks) == (1000, 10, 111, 0)
    assert (order.time_in_force, order.client_order_id >> ORDERS_BITS) == (TimeInForce.GTC, 1)
    acked = report_of(order, ReportKind.ACK, exchange_order_id=9, instrument=-1)
    assert apply_report(table, acked, 222) == Applied.UPDATED
    assert acked.instrument == INSTRUMENT
    assert (order.state, order.acked_ns, order.exchange_order_id) == (OrderState.LIVE, 222, 9)
    assert apply_report(table, fill_of(order, 1, 4, 999), 333) == Applied.UPDATED
    assert apply_report(table, fill_of(order, 2, 6, 1000), 444) == Applied.CLOSED
    assert (order.state, order.filled_lots, order.fees_e9) == (OrderState.FILLED, 10, 14)
    assert (order.filled_tick_lots, order.closed_ns) == (4 * 999 + 6 * 1000, 444)
    free_order(table, order)
    assert table.count == 0
    assert list(table.outcomes) == [2, 1] + [0] * (len(Applied) - 2)


@pytest.mark.parametrize(
    ("said", "outcome", "booked"),
    [
        ({"price_ticks": 1500}, Applied.BAD_PRICE, (5, 1500)),
        ({"price_ticks": 1001}, Applied.BAD_PRICE, (5, 1001)),
        ({"price_ticks": 0}, Applied.BAD_PRICE, (5, 1000)),
        ({"price_ticks": -7}, Applied.BAD_PRICE, (5, 1000)),
        ({"price_ticks": 1 << 61}, Applied.BAD_PRICE, (5, 1000)),
        ({"price_ticks": -(1 << 63)}, Applied.BAD_PRICE, (5, 1000)),
        ({"qty_lots": 11}, Applied.OVERFILL, (11, 1000)),
        ({"qty_lots": 1 << 61}, Applied.OVERFILL, None),
        ({"qty_lots": -5}, Applied.BAD_FILL, None),
        ({"side": SELL}, Applied.BAD_FILL, (5, 1000)),
        ({"fee_e9": -1_000_000_000}, Applied.BAD_FEE, (5, 1000)),
        ({"fee_e9": 1 << 61}, Applied.BAD_FEE, (5, 1000)),
        ({"leaves_lots": 4}, Applied.BAD_LEAVES, (5, 1000)),
        ({"leaves_lots": 6}, Applied.BAD_LEAVES, (5, 1000)),
        ({"filled_lots": 5}, Applied.BAD_LEAVES, (5, 1000)),
        ({"execution_id": 1 << 62}, Applied.BAD_EXECUTION, (5, 1000)),
        ({"execution_id": -1}, Applied.BAD_EXECUTION, (5, 1000)),
        ({"execution_id": (1 << 32) + 8}, Applied.BAD_EXECUTION, (5, 1000)),
        ({"execution_id": 7, "qty_lots": 2}, Applied.BAD_EXECUTION, None),
        ({"execution_id": 7, "qty_lots": 1, "price_ticks": 998}, Applied.BAD_EXECUTION, None),
        ({"client_order_id": 1 << 40, "qty_lots": 1 << 61}, Applied.UNKNOWN_ORDER, None),
        ({"client_order_id": 1 << 40, "price_ticks": 0}, Applied.UNKNOWN_ORDER, None),
        ({"client_order_id": 1 << 40}, Applied.UNKNOWN_ORDER, (5, 1000)),
    ],
)
def test_a_fill_is_believed_only_inside_what_was_asked(
    said: dict[str, int], outcome: Applied, booked: tuple[int, int] | None
) -> None:
    """The position moves by what the venue says, where that can be; the order's own account stays what it was."""
    instruments = Instrument.array(INSTRUMENT + 1)
    set_terms(instruments[INSTRUMENT], INSTRUMENT)
    table = make_order_table(instruments=instruments)
    order = open_buy(table, 11)
    assert apply_report(table, fill_of(order, 7, 1, 999), 1) == Applied.UPDATED
    before = bytes(order)
    report = fill_of(order, 8, 5, leaves_lots=5) if "qty_lots" not in said else fill_of(order, 8, 5)
    for name, value in said.items():
        setattr(report, name, value)
    assert apply_report(table, report, 2) == outcome
    assert is_alarm(outcome)
    assert bytes(order) == before
    assert ((report.qty_lots, report.price_ticks) if report.instrument >= 0 else None) == booked
    # What is true after it is still heard.
    assert apply_report(table, fill_of(order, 9, 10), 3) == Applied.CLOSED


def test_a_fill_out_of_line_counts_once_too() -> None:
    table = make_order_table()
    order = open_buy(table)
    assert apply_report(table, fill_of(order, 1, 1), 1) == Applied.UPDATED
    assert apply_report(table, fill_of(order, 1 << 62, 1), 1) == Applied.BAD_EXECUTION
    assert apply_report(table, fill_of(order, 1 << 62, 1), 1) == Applied.DUPLICATE


def test_a_combination_may_trade_below_one_tick() -> None:
    instruments = Instrument.array(INSTRUMENT + 1)
    set_terms(instruments[INSTRUMENT], INSTRUMENT)
    instruments[INSTRUMENT].kind = Kind.COMBO
    table = make_order_table(instruments=instruments)
    order = open_buy(table)
    assert apply_report(table, fill_of(order, 1, 1, -1, fee_e9=0), 1) == Applied.UPDATED


def test_other_reports_are_held_against_their_order() -> None:
    table = make_order_table()
    order = open_buy(table)
    before = bytes(order)
    assert apply_report(table, report_of(order, ReportKind.ACK, instrument=INSTRUMENT + 1), 1) == Applied.BAD_INSTRUMENT
    assert apply_report(table, report_of(order, ReportKind.CANCELLED, leaves_lots=4), 1) == Applied.BAD_LEAVES
    assert bytes(order) == before
    assert apply_report(table, fill_of(order, 1, 6, leaves_lots=4), 1) == Applied.UPDATED
    assert apply_report(table, report_of(order, ReportKind.CANCELLED, leaves_lots=4), 1) == Applied.CLOSED


def test_while_an_amend_is_under_way_either_limit_may_hold() -> None:
    table = make_order_table()
    order = open_buy(table)
    assert apply_report(table, report_of(order, ReportKind.ACK), 1) == Applied.UPDATED
    amend_sent(order, 1010, 10)
    assert apply_report(table, fill_of(order, 1, 1, 1010), 1) == Applied.UPDATED
    assert apply_report(table, fill_of(order, 2, 1, 1011), 1) == Applied.BAD_PRICE


@given(st.dictionaries(st.sampled_from(sorted(Report.fields)), st.integers(-(1 << 63), (1 << 63) - 1), min_size=1))
def test_whatever_a_venue_says_can_be_booked_without_a_number_that_wraps(said: dict[str, int]) -> None:
    instruments = Instrument.array(INSTRUMENT + 1)
    set_terms(instruments[INSTRUMENT], INSTRUMENT)
    table = make_order_table(instruments=instruments)
    order = open_buy(table)
    report = fill_of(order, 1, 5)
    for name, value in said.items():
        setattr(report, name, value if name != "venue" else value % 8)
    if report.kind not in set(ReportKind):
        report.kind = ReportKind.FILL
    outcome = apply_report(table, report, 1)
    if report.kind != ReportKind.FILL or report.instrument < 0 or outcome == Applied.DUPLICATE:
        return
    assert 1 <= report.qty_lots <= FILL_LOTS_MAX
    assert 1 <= report.price_ticks <= FILL_TICKS_MAX
    assert abs(report.fee_e9) <= FILL_FEE_MAX_E9


def test_ids_are_found_and_never_used_again() -> None:
    table = make_order_table(counter=41)
    first = open_buy(table)
    first_id = first.client_order_id
    assert find_order(table, first_id).address == first.address
    close_order(first, OrderState.VETOED, 3, 5)
    free_order(table, first)
    assert find_order(table, first_id).state == OrderState.FREE
    second = open_buy(table)
    assert second.address == first.address  # the same slot
    assert second.client_order_id > first_id
    assert find_order(table, first_id).state == OrderState.FREE
    assert find_order(table, second.client_order_id).state == OrderState.PENDING_NEW


def test_a_full_table_gives_nobody() -> None:
    table = make_order_table()
    ids = {open_buy(table).client_order_id for _ in range(ORDERS_MAX)}
    assert len(ids) == ORDERS_MAX
    refused = open_buy(table)
    assert (refused.state, refused.client_order_id, table.count) == (OrderState.FREE, 0, ORDERS_MAX)
    # Whoever asked is told of the veto by it, and by nothing that it was before.
    refused.client_order_id = refused.exchange_order_id = refused.is_quote = refused.amend_state = 7
    refused = open_buy(table)
    assert (refused.client_order_id, refused.exchange_order_id, refused.is_quote, refused.amend_state) == (0, 0, 0, 0)
    assert (refused.instrument, refused.side, refused.price_ticks, refused.qty_lots) == (INSTRUMENT, BUY, 1000, 10)


def test_a_copied_fill_is_dropped_before_and_after_the_order_is_gone() -> None:
    table = make_order_table()
    order = open_buy(table)
    fill = fill_of(order, 1, 10)
    assert apply_report(table, fill, 1) == Applied.CLOSED
    assert apply_report(table, fill, 2) == Applied.DUPLICATE
    free_order(table, order)
    assert apply_report(table, fill, 3) == Applied.DUPLICATE
    assert not is_alarm(Applied.DUPLICATE)


def test_execution_ids_of_two_venues_do_not_meet() -> None:
    table = make_order_table()
    first = open_buy(table)
    second = open_order(table, VENUE + 1, INSTRUMENT, BUY, TimeInForce.GTC, 1000, 10, 1)
    assert apply_report(table, fill_of(first, 1, 10), 1) == Applied.CLOSED
    assert apply_report(table, fill_of(second, 1, 10, venue=VENUE + 1), 1) == Applied.CLOSED


def test_fills_that_can_not_be_are_alarms_and_change_no_order() -> None:
    table = make_order_table()
    order = open_buy(table)
    before = bytes(order)
    assert apply_report(table, fill_of(order, 1, 11), 1) == Applied.OVERFILL
    assert apply_report(table, fill_of(order, 2, 0), 1) == Applied.BAD_FILL
    assert apply_report(table, fill_of(order, 3, 1, side=SELL), 1) == Applied.BAD_FILL
    assert apply_report(table, fill_of(order, 4, 1, instrument=INSTRUMENT + 1), 1) == Applied.BAD_FILL
    assert apply_report(table, fill_of(order, 1, 1, venue=VENUE + 1), 1) == Applied.UNKNOWN_ORDER
    assert bytes(order) == before
    close_order(order, OrderState.CANCELLED, RejectReason.NONE, 2)
    assert apply_report(table, fill_of(order, 5, 1), 3) == Applied.FILL_AFTER_CLOSE
    free_order(table, order)
    assert apply_report(table, fill_of(order, 6, 1), 4) == Applied.UNKNOWN_ORDER
    assert sum(table.outcomes) == 7
    assert all(is_alarm(outcome) for outcome in range(Applied.UNKNOWN_ORDER, len(Applied)))


def test_cancels_and_their_refusals() -> None:
    table = make_order_table()
    order = open_buy(table)
    apply_report(table, report_of(order, ReportKind.ACK), 1)
    cancel_sent(order)
    refusal = report_of(order, ReportKind.CANCEL_REJECTED, reason=RejectReason.UNKNOWN_ORDER)
    assert apply_report(table, refusal, 2) == Applied.UPDATED
    assert order.state == OrderState.LIVE
    assert apply_report(table, refusal, 2) == Applied.CONTRADICTION  # nobody asked
    cancel_sent(order)
    assert apply_report(table, fill_of(order, 1, 3), 3) == Applied.UPDATED
    assert order.state == OrderState.PENDING_CANCEL
    assert apply_report(table, report_of(order, ReportKind.CANCELLED), 4) == Applied.CLOSED
    assert (order.state, order.filled_lots, order.closed_ns) == (OrderState.CANCELLED, 3, 4)
    assert apply_report(table, refusal, 5) == Applied.LATE
    assert apply_report(table, report_of(order, ReportKind.CANCELLED), 5) == Applied.CONTRADICTION
    free_order(table, order)
    assert apply_report(table, refusal, 6) == Applied.LATE
    assert apply_report(table, report_of(order, ReportKind.CANCELLED), 6) == Applied.UNKNOWN_ORDER


def test_a_cancel_sent_before_the_ack_stays_pending() -> None:
    table = make_order_table()
    order = open_buy(table)
    cancel_sent(order)
    assert apply_report(table, report_of(order, ReportKind.ACK), 1) == Applied.UPDATED
    assert order.state == OrderState.PENDING_CANCEL


def test_only_an_order_that_never_lived_is_rejected() -> None:
    table = make_order_table()
    order = open_buy(table)
    refusal = report_of(order, ReportKind.REJECTED, reason=RejectReason.RATE_LIMIT)
    assert apply_report(table, refusal, 1) == Applied.CLOSED
    assert (order.state, order.reason) == (OrderState.REJECTED, RejectReason.RATE_LIMIT)
    lived = open_buy(table)
    apply_report(table, report_of(lived, ReportKind.ACK), 1)
    assert apply_report(table, report_of(lived, ReportKind.REJECTED), 2) == Applied.CONTRADICTION
    assert lived.state == OrderState.LIVE


@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=30),
    st.lists(st.integers(0, 29), max_size=60),
)
def test_however_often_fills_are_repeated_each_counts_once(sizes: list[int], repeats: list[int]) -> None:
    """Fills in order, each followed by copies of itself or of earlier ones, as a resend after a reconnection would."""
    table = make_order_table()
    order = open_buy(table, qty_lots=sum(sizes) + 1)
    fills = [fill_of(order, number + 1, size, 1000 - number) for number, size in enumerate(sizes)]
    for number, fill in enumerate(fills):
        assert apply_report(table, fill, number) == Applied.UPDATED
        for earlier in repeats:
            if earlier <= number:
                assert apply_report(table, fills[earlier], number) == Applied.DUPLICATE
    assert order.filled_lots == sum(sizes)
    assert order.filled_tick_lots == sum(size * (1000 - number) for number, size in enumerate(sizes))
    assert table.outcomes[Applied.UPDATED] == len(sizes)


@given(st.lists(st.integers(0, 3), max_size=200))
def test_opening_and_freeing_in_any_order_loses_no_slot(steps: list[int]) -> None:
    table = make_order_table()
    alive: list[int] = []
    for step in steps:
        if step != 0 or not alive:
            alive.append(open_buy(table).client_order_id)
        else:
            order = find_order(table, alive.pop(len(alive) // 2))
            close_order(order, OrderState.CANCELLED, 0, 1)
            free_order(table, order)
        assert table.count == len(alive)
        assert all(find_order(table, one).client_order_id == one for one in alive)
    free = [table.free_slots[position] for position in range(ORDERS_MAX - table.count)]
    taken = {one % ORDERS_MAX for one in alive}
    assert len(set(free)) == len(free)
    assert taken.isdisjoint(free)


def test_a_held_order_is_acknowledged_twice_and_no_more() -> None:
    table = make_order_table()
    order = open_buy(table)
    assert apply_report(table, report_of(order, ReportKind.ACK, queued=1), 5) == Applied.UPDATED
    assert (order.state, order.queued) == (OrderState.LIVE, 1)
    assert apply_report(table, report_of(order, ReportKind.ACK), 15) == Applied.UPDATED
    assert (order.queued, order.acked_ns) == (0, 15)
    assert apply_report(table, report_of(order, ReportKind.ACK), 16) == Applied.CONTRADICTION


def test_a_cancel_of_a_held_order_makes_it_an_ioc_that_may_still_fill() -> None:
    table = make_order_table()
    order = open_buy(table)
    apply_report(table, report_of(order, ReportKind.ACK, queued=1), 5)
    cancel_sent(order)
    assert apply_report(table, report_of(order, ReportKind.CONVERTED), 6) == Applied.UPDATED
    assert (order.state, order.time_in_force) == (OrderState.LIVE, TimeInForce.IOC)
    apply_report(table, report_of(order, ReportKind.ACK), 15)
    assert apply_report(table, fill_of(order, 1, 10), 16) == Applied.CLOSED
    assert apply_report(table, report_of(order, ReportKind.CONVERTED), 17) == Applied.LATE


def amended(order: Order, price_ticks: int, qty_lots: int, **values: int) -> Report:
    return report_of(order, ReportKind.AMENDED, price_ticks=price_ticks, qty_lots=qty_lots, **values)


def test_an_amend_sets_the_terms_asked_for_and_may_end_the_order() -> None:
    table = make_order_table()
    order = open_buy(table)
    apply_report(table, report_of(order, ReportKind.ACK), 5)
    apply_report(table, fill_of(order, 1, 4), 6)
    assert apply_report(table, amended(order, 990, 12), 7) == Applied.CONTRADICTION  # nobody asked
    amend_sent(order, 990, 12)
    assert open_lots(order) == 8  # it may hold already
    assert apply_report(table, amended(order, 991, 12), 7) == Applied.CONTRADICTION
    assert apply_report(table, amended(order, 990, 13), 7) == Applied.CONTRADICTION
    assert apply_report(table, amended(order, 990, 12), 7) == Applied.UPDATED
    assert (order.price_ticks, order.qty_lots, order.filled_lots) == (990, 12, 4)
    assert order.amend_state == AmendState.DONE
    amend_sent(order, 990, 3)
    assert open_lots(order) == 8
    assert apply_report(table, amended(order, 990, 3), 8) == Applied.CONTRADICTION
    order.amend_state = AmendState.NONE
    amend_sent(order, 990, 4)
    assert apply_report(table, amended(order, 990, 4), 9) == Applied.CLOSED
    assert order.state == OrderState.FILLED
    assert open_lots(order) == 0


def test_a_refused_amend_leaves_the_order_as_it_was() -> None:
    table = make_order_table()
    order = open_buy(table)
    apply_report(table, report_of(order, ReportKind.ACK), 5)
    refusal = report_of(order, ReportKind.AMEND_REJECTED, reason=RejectReason.BAD_QUANTITY)
    assert apply_report(table, refusal, 6) == Applied.CONTRADICTION  # nobody asked
    amend_sent(order, 990, 20)
    assert open_lots(order) == 20
    assert apply_report(table, refusal, 6) == Applied.UPDATED
    assert (order.price_ticks, order.qty_lots, order.state, open_lots(order)) == (1000, 10, OrderState.LIVE, 10)
    assert (order.amend_state, order.amend_reason) == (AmendState.REJECTED, RejectReason.BAD_QUANTITY)
    amend_sent(order, 991, 20)
    assert (order.amend_state, order.amend_reason) == (AmendState.PENDING, RejectReason.NONE)


def test_an_amend_that_crosses_the_last_fill_or_a_cancel_is_the_usual_race() -> None:
    table = make_order_table()
    order = open_buy(table)
    apply_report(table, report_of(order, ReportKind.ACK), 5)
    amend_sent(order, 990, 5)
    # Less than was asked for is filled meanwhile: the venue takes the amend; more: it refuses.
    assert apply_report(table, fill_of(order, 1, 5), 6) == Applied.UPDATED
    cancel_sent(order)
    assert apply_report(table, amended(order, 990, 5), 7) == Applied.CLOSED
    free_order(table, order)
    order = open_buy(table)
    apply_report(table, report_of(order, ReportKind.ACK), 5)
    amend_sent(order, 990, 5)
    assert apply_report(table, fill_of(order, 2, 10), 8) == Applied.CLOSED
    refusal = report_of(order, ReportKind.AMEND_REJECTED)
    assert apply_report(table, refusal, 9) == Applied.LATE
    free_order(table, order)
    assert apply_report(table, refusal, 10) == Applied.LATE
    assert apply_report(table, amended(order, 990, 5), 10) == Applied.UNKNOWN_ORDER


def test_the_answer_to_a_cancel_by_the_venues_id_is_expected_once() -> None:
    table = make_order_table()
    stranger = Report(kind=ReportKind.CANCELLED, venue=VENUE, client_order_id=99 << 12, exchange_order_id=4711)
    assert apply_report(table, stranger, 1) == Applied.UNKNOWN_ORDER
    assert expect_cancel_by_id(table, VENUE, INSTRUMENT, 4710, 2)
    assert expect_cancel_by_id(table, VENUE, INSTRUMENT, 4711, 3)
    assert expect_cancel_by_id(table, VENUE, INSTRUMENT, 4712, 4)
    stranger.venue = VENUE + 1
    assert apply_report(table, stranger, 1) == Applied.UNKNOWN_ORDER
    stranger.venue = VENUE
    assert apply_report(table, stranger, 2) == Applied.BY_ID
    assert (table.by_id_answered.strategy, table.by_id_answered.instrument) == (3, INSTRUMENT)
    assert apply_report(table, stranger, 3) == Applied.UNKNOWN_ORDER
    refused = Report(kind=ReportKind.CANCEL_REJECTED, venue=VENUE, client_order_id=0, exchange_order_id=4712)
    assert apply_report(table, refused, 4) == Applied.BY_ID
    assert table.by_id_count == 1
    order = open_buy(table)
    apply_report(table, report_of(order, ReportKind.ACK, exchange_order_id=4710), 5)
    # One of ours: what its cancel means is told of the order.
    assert apply_report(table, report_of(order, ReportKind.CANCELLED, exchange_order_id=4710), 6) == Applied.CLOSED
    assert table.by_id_count == 0


def test_a_refused_cancel_by_id_of_a_live_order_is_no_contradiction() -> None:
    table = make_order_table()
    order = open_buy(table)
    apply_report(table, report_of(order, ReportKind.ACK, exchange_order_id=4710), 5)
    assert expect_cancel_by_id(table, VENUE, INSTRUMENT, 4710, 0)
    refused = report_of(order, ReportKind.CANCEL_REJECTED, exchange_order_id=4710)
    assert apply_report(table, refused, 6) == Applied.BY_ID
    assert order.state == OrderState.LIVE
    assert apply_report(table, refused, 7) == Applied.CONTRADICTION


def test_a_cancel_by_id_of_a_stranger_with_our_number_leaves_our_order_alone() -> None:
    """Every run counts its orders from 1."""
    table = make_order_table()
    pending, order = open_buy(table), open_buy(table)
    apply_report(table, report_of(order, ReportKind.ACK, exchange_order_id=4710), 5)
    for ours in (pending, order):
        before = bytes(ours)
        for kind in (ReportKind.CANCELLED, ReportKind.CANCEL_REJECTED, ReportKind.CONVERTED):
            assert expect_cancel_by_id(table, VENUE, INSTRUMENT, 4711, 0)
            assert apply_report(table, report_of(ours, kind, exchange_order_id=4711), 6) == Applied.BY_ID
            assert bytes(ours) == before


def test_an_open_order_is_found_by_the_venues_id() -> None:
    table = make_order_table()
    assert find_exchange_order(table, VENUE, 0).state == OrderState.FREE
    orders = [open_buy(table) for _ in range(3)]
    free_later = orders.pop(0)
    for number, order in enumerate(orders):
        apply_report(table, report_of(order, ReportKind.ACK, exchange_order_id=4710 + number), 5)
    apply_report(table, report_of(free_later, ReportKind.REJECTED), 5)
    free_order(table, free_later)
    assert find_exchange_order(table, VENUE, 4711).address == orders[1].address
    assert find_exchange_order(table, VENUE + 1, 4711).state == OrderState.FREE
    assert find_exchange_order(table, VENUE, 4712).state == OrderState.FREE
    apply_report(table, report_of(orders[1], ReportKind.CANCELLED, exchange_order_id=4711), 6)
    assert find_exchange_order(table, VENUE, 4711).state == OrderState.FREE


def test_a_quote_is_settled_once_it_is_answered_and_not_held() -> None:
    table = make_order_table()
    order = open_buy(table)
    assert not is_unsettled_quote(order)
    order.is_quote = 1
    assert is_unsettled_quote(order)
    apply_report(table, report_of(order, ReportKind.ACK, queued=1), 5)
    assert is_unsettled_quote(order)
    cancel_sent(order)
    apply_report(table, report_of(order, ReportKind.CONVERTED), 6)
    assert is_unsettled_quote(order)
    apply_report(table, report_of(order, ReportKind.ACK), 15)
    assert not is_unsettled_quote(order)
    apply_report(table, report_of(order, ReportKind.CANCELLED), 15)
    assert not is_unsettled_quote(order)


def test_cancels_by_id_without_an_answer_are_bounded() -> None:
    table = make_order_table()
    for number in range(BY_ID_MAX):
        assert expect_cancel_by_id(table, VENUE, INSTRUMENT, 1 + number, 0)
    assert not expect_cancel_by_id(table, VENUE, INSTRUMENT, 9999, 0)


def table_of(index: int = INSTRUMENT, **terms: int) -> OrderTable:
    """A table that knows the terms of one instrument, and one place behind it a combination that it does not know."""
    instruments = Instrument.array(index + 2)
    for number in (index, index + 1):
        set_terms(instruments[number], number)
    for name, value in terms.items():
        setattr(instruments[index], name, value)
    instruments[index + 1].kind = Kind.COMBO
    table = make_order_table(instruments=instruments)
    table.instrument_count = index + 1
    return table


def test_a_copy_of_a_fill_that_is_not_remembered_any_more_is_known_by_its_id() -> None:
    table = make_order_table()
    order = open_buy(table, 1000)
    for number in range(1, FILLS_REMEMBERED + 10):
        assert apply_report(table, fill_of(order, number, 1), 1) == Applied.UPDATED
    for number in (1, 2, FILLS_REMEMBERED + 5):
        assert apply_report(table, fill_of(order, number, 1), 2) == Applied.DUPLICATE
    assert order.filled_lots == FILLS_REMEMBERED + 9
    other = open_buy(table)
    assert apply_report(table, fill_of(other, FILLS_REMEMBERED + 9, 1), 3) == Applied.BAD_EXECUTION
    # What is remembered is so by each id: one that comes again with another size is a lie.
    assert apply_report(table, fill_of(order, FILLS_REMEMBERED, 2), 3) == Applied.BAD_EXECUTION
    assert apply_report(table, fill_of(order, FILLS_REMEMBERED + 1, 2), 3) == Applied.BAD_EXECUTION


@pytest.mark.parametrize(
    ("last", "execution_id", "outcome"),
    [
        (0, (1 << 61) - 1, Applied.UPDATED),
        (0, 1 << 61, Applied.BAD_EXECUTION),
        (1, 2 + EXECUTION_STEP_MAX, Applied.BAD_EXECUTION),
        (7, 7, Applied.DUPLICATE),  # as after a start, when no fill is remembered but the last id is
        (7, 7 + EXECUTION_STEP_MAX, Applied.UPDATED),
        (7, 8 + EXECUTION_STEP_MAX, Applied.BAD_EXECUTION),
    ],
)
def test_how_far_an_execution_id_may_be_from_the_last(last: int, execution_id: int, outcome: Applied) -> None:
    table = make_order_table()
    table.last_execution_ids[VENUE] = last
    assert apply_report(table, fill_of(open_buy(table), execution_id, 1), 1) == outcome


@pytest.mark.parametrize(
    ("maker_e9", "taker_e9"), [(200_000, 500_000), (-500_000, 200_000), (200_000, -500_000), (500_000, -200_000)]
)
@pytest.mark.parametrize("sign", [1, -1])
def test_a_fee_or_rebate_is_at_most_twice_the_higher_rate_and_a_little(maker_e9: int, taker_e9: int, sign: int) -> None:
    # 10 lots at 1000 ticks are 1 of the quote currency: 2 times 5 bps, 1 bp and 0.0001.
    most_e9 = 1_200_000
    for fee_e9, outcome in ((most_e9, Applied.CLOSED), (most_e9 + 1, Applied.BAD_FEE)):
        table = table_of(maker_fee_e9=maker_e9, taker_fee_e9=taker_e9)
        assert apply_report(table, fill_of(open_buy(table), 1, 10, fee_e9=sign * fee_e9), 1) == outcome


@pytest.mark.parametrize("sign", [1, -1])
def test_a_fee_that_raises_an_alarm_is_booked_where_it_can_be(sign: int) -> None:
    for fee_e9, booked_e9 in ((FILL_FEE_MAX_E9, FILL_FEE_MAX_E9), (FILL_FEE_MAX_E9 + 1, 0)):
        table = table_of()
        report = fill_of(open_buy(table), 1, 10, fee_e9=sign * fee_e9)
        assert apply_report(table, report, 1) == Applied.BAD_FEE
        assert report.fee_e9 == sign * booked_e9


@pytest.mark.parametrize(
    ("qty_lots", "instrument"), [(1, INSTRUMENT), (FILL_LOTS_MAX, INSTRUMENT), (FILL_LOTS_MAX + 1, -1)]
)
def test_a_strangers_fill_is_booked_up_to_a_size(qty_lots: int, instrument: int) -> None:
    table = table_of()
    report = fill_of(open_buy(table), 1, qty_lots, client_order_id=1 << 40)
    assert apply_report(table, report, 1) == Applied.UNKNOWN_ORDER
    assert report.instrument == instrument


def test_a_lie_about_the_first_execution_is_known_for_one() -> None:
    table = make_order_table()
    order = open_buy(table)
    assert apply_report(table, fill_of(order, 1, 1), 1) == Applied.UPDATED
    assert apply_report(table, fill_of(order, 1, 2), 1) == Applied.BAD_EXECUTION


def test_without_terms_no_fee_is_doubted() -> None:
    table = table_of()
    order = open_order(table, VENUE, INSTRUMENT + 1, BUY, TimeInForce.GTC, 1000, 10, 111)
    fill = fill_of(order, 1, 1, instrument=INSTRUMENT + 1, fee_e9=10**9)
    assert apply_report(table, fill, 1) == Applied.UPDATED


def test_a_sale_is_at_its_limit_or_above() -> None:
    table = make_order_table()
    order = open_order(table, VENUE, INSTRUMENT, SELL, TimeInForce.GTC, 1000, 10, 111)
    apply_report(table, report_of(order, ReportKind.ACK, side=SELL), 1)
    for execution_id, price_ticks in ((1, 1000), (2, 1500)):
        assert apply_report(table, fill_of(order, execution_id, 1, price_ticks, side=SELL), 1) == Applied.UPDATED
    assert apply_report(table, fill_of(order, 3, 1, 999, side=SELL), 1) == Applied.BAD_PRICE
    amend_sent(order, 990, 10)
    assert apply_report(table, fill_of(order, 4, 1, 990, side=SELL), 1) == Applied.UPDATED
    assert apply_report(table, fill_of(order, 5, 1, 989, side=SELL), 1) == Applied.BAD_PRICE


def test_prices_that_there_can_be() -> None:
    table = table_of()
    order = open_buy(table)
    assert apply_report(table, fill_of(order, 1, 1, 1), 1) == Applied.UPDATED
    strangers = [fill_of(order, 2 + number, 1, client_order_id=1 << 40) for number in range(3)]
    strangers[0].price_ticks = FILL_TICKS_MAX
    strangers[1].price_ticks = FILL_TICKS_MAX + 1
    # Nobody told the terms of the instrument behind the last.
    strangers[2].price_ticks, strangers[2].instrument = -5, INSTRUMENT + 1
    for report in strangers:
        assert apply_report(table, report, 1) == Applied.UNKNOWN_ORDER
    assert [report.instrument for report in strangers] == [INSTRUMENT, -1, -1]


@pytest.mark.parametrize("index", [0, INSTRUMENT])
def test_a_combinations_fee_is_judged_by_the_size_of_its_price(index: int) -> None:
    table = table_of(index, kind=Kind.COMBO)
    order = open_order(table, VENUE, index, SELL, TimeInForce.GTC, -1000, 10, 111)
    sold = {"side": SELL, "instrument": index}
    assert apply_report(table, fill_of(order, 1, 1, -999, fee_e9=120_000, **sold), 1) == Applied.UPDATED
    assert apply_report(table, fill_of(order, 2, 9, -1000, fee_e9=1_000_000, **sold), 1) == Applied.CLOSED
    stranger = fill_of(order, 3, 1, -(FILL_TICKS_MAX), client_order_id=1 << 40, **sold)
    assert apply_report(table, stranger, 1) == Applied.UNKNOWN_ORDER
    assert (stranger.instrument, stranger.price_ticks) == (index, -FILL_TICKS_MAX)


def test_a_report_that_names_no_instrument_is_of_its_orders() -> None:
    table = make_order_table()
    order = open_buy(table)
    apply_report(table, report_of(order, ReportKind.ACK), 1)
    fill = fill_of(order, 1, 1, instrument=-1)
    assert apply_report(table, fill, 1) == Applied.UPDATED
    amend_sent(order, 990, 12)
    assert apply_report(table, amended(order, 990, 12, instrument=INSTRUMENT + 1), 7) == Applied.BAD_INSTRUMENT
    assert apply_report(table, amended(order, 990, 12, venue=VENUE + 1), 7) == Applied.UNKNOWN_ORDER
    answer = amended(order, 990, 12, instrument=-1, queued=1)
    assert apply_report(table, answer, 7) == Applied.UPDATED
    assert (fill.instrument, answer.instrument, order.queued) == (INSTRUMENT, INSTRUMENT, 1)


def test_what_has_ended_has_nothing_open() -> None:
    table = make_order_table()
    order = open_buy(table)
    apply_report(table, fill_of(order, 1, 3), 1)
    assert open_lots(order) == 7
    apply_report(table, report_of(order, ReportKind.CANCELLED), 2)
    assert open_lots(order) == 0


def test_a_refused_cancel_of_a_quote_may_have_been_meant_for_the_one_before() -> None:
    table = make_order_table()
    order = open_buy(table)
    order.is_quote = 1
    apply_report(table, report_of(order, ReportKind.ACK), 1)
    assert apply_report(table, report_of(order, ReportKind.CANCEL_REJECTED), 2) == Applied.LATE
    assert order.state == OrderState.LIVE


@pytest.mark.parametrize("state", [OrderState.PENDING_NEW, OrderState.LIVE, OrderState.PENDING_CANCEL])
def test_no_order_is_freed_that_may_be_filled(state: OrderState) -> None:
    table = make_order_table()
    order = open_buy(table)
    order.state = state
    with pytest.raises(AssertionError):
        free_order(table, order)


def test_a_cancel_by_id_that_came_after_the_orders_end_is_answered_as_one() -> None:
    table = make_order_table()
    order = open_buy(table)
    assert expect_cancel_by_id(table, VENUE, INSTRUMENT, 4710, 0)
    apply_report(table, report_of(order, ReportKind.ACK, exchange_order_id=4710), 5)
    assert table.by_id_count == 1  # that it lives is no answer to it
    apply_report(table, fill_of(order, 1, 10), 6)
    refused = report_of(order, ReportKind.CANCEL_REJECTED, exchange_order_id=4710)
    assert apply_report(table, refused, 7) == Applied.BY_ID
    assert apply_report(table, refused, 8) == Applied.LATE
