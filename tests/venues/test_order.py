"""The engine's order table: ids, states, and each fill applied exactly once."""

from hypothesis import given
from hypothesis import strategies as st

from crosswire.venues.order import (
    ORDERS_MAX,
    Applied,
    Order,
    OrderState,
    OrderTable,
    RejectReason,
    Report,
    ReportKind,
    TimeInForce,
    apply_report,
    cancel_sent,
    close_order,
    find_order,
    free_order,
    is_alarm,
    make_order_table,
    open_order,
)
from crosswire.venues.side import BUY, SELL

VENUE = 2
INSTRUMENT = 5


def open_buy(table: OrderTable, qty_lots: int = 10) -> Order:
    return open_order(table, VENUE, INSTRUMENT, BUY, TimeInForce.GTC, 1000, qty_lots, 111)


def report_of(order: Order, kind: ReportKind, **values: int) -> Report:
    fields = {"venue": VENUE, "client_order_id": order.client_order_id, "instrument": INSTRUMENT, "side": BUY}
    return Report(kind=kind, **(fields | values))


def fill_of(order: Order, execution_id: int, qty_lots: int, price_ticks: int = 1000, **values: int) -> Report:
    fields = {"execution_id": execution_id, "qty_lots": qty_lots, "price_ticks": price_ticks, "fee_e9": 7}
    return report_of(order, ReportKind.FILL, **(fields | values))


def test_an_order_lives_and_fills() -> None:
    table = make_order_table()
    order = open_buy(table)
    assert order.state == OrderState.PENDING_NEW
    assert (order.price_ticks, order.qty_lots, order.created_ns, order.decision_ticks) == (1000, 10, 111, 0)
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
    assert list(table.outcomes) == [2, 1, 0, 0, 0, 0, 0, 0, 0]


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
    # Whoever asked is told of the veto by it.
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
    fills = [fill_of(order, number + 1, size, 1000 + number) for number, size in enumerate(sizes)]
    for number, fill in enumerate(fills):
        assert apply_report(table, fill, number) == Applied.UPDATED
        for earlier in repeats:
            if earlier <= number:
                assert apply_report(table, fills[earlier], number) == Applied.DUPLICATE
    assert order.filled_lots == sum(sizes)
    assert order.filled_tick_lots == sum(size * (1000 + number) for number, size in enumerate(sizes))
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


def test_an_amend_sets_terms_and_may_end_the_order() -> None:
    table = make_order_table()
    order = open_buy(table)
    apply_report(table, report_of(order, ReportKind.ACK), 5)
    apply_report(table, fill_of(order, 1, 4), 6)
    assert apply_report(table, report_of(order, ReportKind.AMENDED, price_ticks=990, qty_lots=12), 7) == Applied.UPDATED
    assert (order.price_ticks, order.qty_lots, order.filled_lots) == (990, 12, 4)
    assert apply_report(table, report_of(order, ReportKind.AMENDED, price_ticks=990, qty_lots=3), 8) == (
        Applied.CONTRADICTION
    )
    assert apply_report(table, report_of(order, ReportKind.AMENDED, price_ticks=990, qty_lots=4), 9) == Applied.CLOSED
    assert order.state == OrderState.FILLED
