"""What becomes of all that one packet says, and of what a venue tells beside its session."""

import pytest

from crosswire.engine.orders import (
    note_numbers,
    note_session,
    settle_account,
    take_mail,
    take_reports,
)
from crosswire.nic.memory.struct import copy_struct
from crosswire.strategies.desk import amend
from crosswire.venues.order import (
    AmendState,
    Applied,
    OrderState,
    RejectReason,
    Report,
    ReportKind,
)
from crosswire.venues.session import SessionState
from crosswire.venues.side import BUY
from tests.support.order_desk import OrderDesk

STARBASE, BRIDGE = 0, 1
INVERSE, LINEAR, USDT = 0, 1, 2


def hear(desk: OrderDesk, *reports: Report, venue: int = STARBASE) -> None:
    """Take reports as those of one packet."""
    inbox = desk.engine.inbox.reports
    inbox.count = len(reports)
    for place, report in enumerate(reports):
        copy_struct(inbox.items[place], report)
    take_reports(desk.engine, desk.engine.venues[venue], desk.now_ns)


def account_end(desk: OrderDesk, **values: int) -> Report:
    """The end of what Starbase tells of our account."""
    last = desk.orders.last_execution_ids[STARBASE]
    return Report(**({"kind": ReportKind.ACCOUNT_END, "venue": STARBASE, "execution_id": last} | values))


def holding(desk: OrderDesk, instrument: int, more_lots: int = 0) -> Report:
    """What the venue says is held: as we have it, and more."""
    lots = desk.gate.positions[instrument].position_lots + more_lots
    return Report(kind=ReportKind.HOLDING, venue=STARBASE, instrument=instrument, qty_lots=lots)


def holdings(desk: OrderDesk) -> list[Report]:
    return [holding(desk, instrument) for instrument in (INVERSE, LINEAR)]


def test_a_packet_is_taken_whole_and_in_order(desk: OrderDesk) -> None:
    order, gone, other = desk.order(), desk.live(), desk.live(USDT)
    assert order is not None
    venue = desk.engine.venues[STARBASE]
    accounts, order_id = venue.accounts, order.client_order_id
    desk.records()
    named = {"venue": STARBASE, "client_order_id": order_id, "exchange_order_id": 88, "instrument": INVERSE}
    hear(
        desk,
        Report(kind=ReportKind.ACK, **named),
        Report(kind=ReportKind.OPEN, leaves_lots=10, side=BUY, **named),
        *holdings(desk),
        account_end(desk),
    )
    assert (order.state, order.exchange_order_id, gone.state) == (OrderState.LIVE, 88, OrderState.FREE)
    assert (venue.accounts, other.state, desk.gate.alarms) == (accounts + 1, OrderState.LIVE, 0)
    assert desk.records() == {"REPORT": 5, "ORDER_ENDED": 1, "CANCEL_SENT": 1, "SESSION": 1}


def test_a_packet_may_bring_the_sessions_timer_forward(desk: OrderDesk) -> None:
    venue = desk.engine.venues[BRIDGE]
    later_ns = desk.now_ns + 10**9
    for keep_due, keep_ns in ((0, later_ns), (1, desk.now_ns)):
        venue.session.keep_due, venue.keep_ns, desk.engine.state.first_keep_ns = keep_due, later_ns, later_ns
        hear(desk, venue=BRIDGE)
        assert (venue.keep_ns, desk.engine.state.first_keep_ns) == (keep_ns, keep_ns)
    venue.session.keep_due = 0


def test_orders_that_end_in_the_packet_that_ends_the_session_are_not_lost(desk: OrderDesk) -> None:
    order = desk.live()
    desk.records()
    desk.engine.venues[STARBASE].session.state = SessionState.LOST
    hear(
        desk,
        Report(
            kind=ReportKind.CANCELLED,
            venue=STARBASE,
            client_order_id=order.client_order_id,
            instrument=INVERSE,
            leaves_lots=10,
            filled_lots=0,
        ),
    )
    assert (desk.gate.alarms, desk.gate.venues[STARBASE].session_state) == (0, SessionState.LOST)
    assert desk.records() == {"REPORT": 1, "ORDER_ENDED": 1, "SESSION": 1}


def test_what_an_earlier_run_has_asked_for_is_given_up_and_cancelled(desk: OrderDesk) -> None:
    own, amended, bridge = desk.live(LINEAR), desk.live(), desk.live(USDT)
    amend(desk.desk, amended.client_order_id, amended.price_ticks, 15)
    desk.send()
    bridge.is_restored = 1
    desk.records()
    caught_up = Report(kind=ReportKind.CAUGHT_UP, venue=STARBASE)
    hear(desk, caught_up)  # nothing of an earlier run is open here
    assert (desk.records(), amended.amend_state) == ({"REPORT": 1, "SESSION": 1}, AmendState.PENDING)
    assert desk.last["REPORT"]["outcome"] == Applied.UPDATED
    amended.is_restored = own.is_restored = 1
    hear(desk, caught_up)
    assert (amended.amend_state, amended.amend_reason) == (AmendState.REJECTED, RejectReason.SESSION_LOST)
    assert (amended.qty_lots, desk.gate.positions[INVERSE].open_buy_lots) == (10, 10)
    assert (own.amend_state, desk.engine.venues[STARBASE].cancel_due) == (AmendState.NONE, 0)
    assert desk.records() == {"REPORT": 1, "CANCEL_SENT": 1, "SESSION": 1}
    assert desk.last["CANCEL_SENT"] == {"venue": STARBASE, "client_order_id": 0, "exchange_order_id": 0}
    desk.connect(STARBASE, SessionState.LOGGING_ON)
    hear(desk, caught_up)
    assert (desk.engine.venues[STARBASE].cancel_due, desk.records()["REPORT"]) == (1, 1)


def test_a_session_that_does_not_come_back_is_lost_once(desk: OrderDesk) -> None:
    venue = desk.engine.venues[STARBASE]
    order = desk.live()
    order.is_confirmed, desk.engine.state.theirs_lots[LINEAR], desk.engine.state.theirs_lots[USDT] = 1, 7, 8
    losses = venue.losses
    for state in (SessionState.LOST, SessionState.LOGGING_ON, SessionState.LOST, SessionState.LOST):
        venue.session.state = state
        note_session(desk.engine, venue, desk.now_ns)
        assert (venue.losses, venue.is_lost, desk.gate.alarms) == (losses + 1, 1, 1)
    assert (order.is_confirmed, list(desk.engine.state.theirs_lots)[: USDT + 1]) == (0, [0, 0, 8])
    desk.engine.state.theirs_lots[USDT] = 0
    for state, lost, more in ((SessionState.READY, 0, 1), (SessionState.LOST, 1, 2)):
        venue.session.state = state
        note_session(desk.engine, venue, desk.now_ns)
        assert (venue.losses, venue.is_lost) == (losses + more, lost)
    assert desk.gate.alarms == 2


def test_a_session_that_has_not_caught_up_is_an_alarm_when_it_is_lost(desk: OrderDesk) -> None:
    venue = desk.engine.venues[STARBASE]
    venue.is_lost, venue.session.is_resumed, venue.session.state = 0, 1, SessionState.LOST
    note_session(desk.engine, venue, desk.now_ns)
    venue.session.is_resumed = 0
    assert (desk.gate.alarms, desk.gate.venues[STARBASE].lost_orders) == (1, 0)


def test_where_each_link_stands_is_written_down(desk: OrderDesk) -> None:
    venue = desk.engine.venues[STARBASE]
    for place, name in enumerate(("sent", "received", "sent_b", "received_b")):
        venue.session.numbers[place] += 1
        note_numbers(desk.engine, venue, desk.now_ns)
        note_numbers(desk.engine, venue, desk.now_ns)
        assert desk.records() == {"SESSION": 1}
        assert desk.last["SESSION"][name] == venue.session.numbers[place]


# What the venue has, told beside its session.


def mail(desk: OrderDesk, *reports: Report, has_positions: int = 1, venue: int = STARBASE) -> None:
    post = desk.engine.mail
    post.is_full, post.venue, post.has_positions, post.reports.count = 1, venue, has_positions, len(reports)
    for place, report in enumerate(reports):
        copy_struct(post.reports.items[place], report)


def test_what_is_told_beside_the_session_lets_it_begin(desk: OrderDesk) -> None:
    venue = desk.engine.venues[STARBASE]
    desk.live()
    session, accounts = venue.session, venue.accounts
    session.awaits_account, venue.keep_ns = 1, desk.now_ns + 10**9
    desk.records()
    # For another venue, then nothing at all, then a part.
    mail(desk, account_end(desk), venue=BRIDGE)
    take_mail(desk.engine, venue, desk.now_ns)
    assert (desk.engine.mail.is_full, venue.accounts) == (1, accounts)
    desk.engine.mail.is_full = 0
    take_mail(desk.engine, desk.engine.venues[BRIDGE], desk.now_ns)
    assert (desk.engine.venues[BRIDGE].accounts, desk.records()) == (0, {})
    mail(desk, *holdings(desk))
    take_mail(desk.engine, venue, desk.now_ns)
    assert (desk.engine.mail.is_full, session.awaits_account, venue.keep_ns) == (0, 1, desk.now_ns + 10**9)
    mail(desk, account_end(desk))
    take_mail(desk.engine, venue, desk.now_ns)
    assert (desk.engine.mail.is_full, session.awaits_account, venue.keep_ns) == (0, 0, desk.now_ns)
    assert (venue.accounts, desk.gate.alarms, desk.open()) == (accounts + 1, 0, [])
    assert desk.records() == {"REPORT": 3, "ORDER_ENDED": 1}


@pytest.mark.parametrize("has_positions", [0, 1])
def test_positions_that_are_not_told_do_not_differ(desk: OrderDesk, has_positions: int) -> None:
    venue = desk.engine.venues[STARBASE]
    order = desk.live(LINEAR)
    desk.say(order, ReportKind.FILL, qty_lots=10)
    held = [desk.gate.positions[index].position_lots for index in (INVERSE, LINEAR)]
    assert held[1] != 0
    desk.records()
    mail(desk, account_end(desk), has_positions=has_positions)
    take_mail(desk.engine, venue, desk.now_ns)
    differences = sum(lots != 0 for lots in held) if has_positions else 0
    assert (venue.differences, desk.records().get("DIFFERENCE", 0)) == (differences, differences)
    assert [desk.engine.state.told_lots[index] for index in (INVERSE, LINEAR)] == ([0, 0] if has_positions else held)
    assert [desk.engine.state.theirs_lots[index] for index in range(3)] == [0, 0, 0]
    venue.differences = 0


def test_only_the_first_alarm_cancels_everywhere(desk: OrderDesk) -> None:
    venue = desk.engine.venues[STARBASE]
    venue.differences = 1
    desk.records()
    for alarms, cancels in ((1, 2), (2, 1)):
        settle_account(desk.engine, venue, desk.now_ns)
        assert (desk.gate.alarms, desk.records()) == (alarms, {"CANCEL_SENT": cancels})
    assert (desk.last["CANCEL_SENT"]["venue"], venue.cancel_due) == (STARBASE, 0)
    desk.connect(STARBASE, SessionState.LOGGING_ON)
    settle_account(desk.engine, venue, desk.now_ns)
    assert (venue.cancel_due, desk.records()) == (1, {})  # as soon as it can be sent
    venue.differences = 0
