"""Mass quotes in the harness, answered, filled, refused and cancelled by hand, and cancels by the venue's number."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crosswire import (
    BUY,
    SELL,
    BuildContext,
    Desk,
    Order,
    OrderState,
    Report,
    Strategy,
    amend,
    cancel,
    cancel_all,
    cancel_all_of,
    cancel_by_id,
    i64,
    on_fill,
    on_order,
    quote,
    submit,
)
from crosswire.engine.cancels import CANCEL_RETRY_NS
from crosswire.risk.gate import Veto
from crosswire.testing import (
    AMEND_ORDER,
    CANCEL_BY_ID,
    CANCEL_ORDER,
    QUOTE,
    Answer,
    Harness,
    Sent,
    accept,
    fill,
    ignore,
    linear,
    miss,
    refuse,
    reject,
    rest,
    veto,
)
from crosswire.venues.order import BY_ID_MAX, GTC, POST_ONLY, AmendState, RejectReason, is_open, open_lots

A, B = 0, 1
BID, ASK = 1_000, 1_010


class Parameters(msgspec.Struct, forbid_unknown_fields=True):
    """Nothing can be told."""


class Listener(Strategy):
    """Asks for nothing by itself: a test asks at its desk. Notes what it hears last."""

    heard: i64
    state: i64
    reason: i64
    amend_reason: i64
    instrument: i64
    client_order_id: i64
    exchange_order_id: i64

    @classmethod
    def build(cls, _parameters: Parameters, _context: BuildContext) -> "Listener":
        return cls()


@on_order.register(Listener)
def hear(strategy: Listener, desk: Desk, order: Order) -> None:
    strategy.heard += 1
    strategy.state = order.state
    strategy.reason = order.reason
    strategy.amend_reason = order.amend_reason
    strategy.instrument = order.instrument
    strategy.client_order_id = order.client_order_id
    strategy.exchange_order_id = order.exchange_order_id


@pytest.fixture
def harness() -> Harness:
    return Harness(Listener, {}, {"a": linear(), "b": linear()})


def send(harness: Harness, wait_ns: int = 10_000) -> None:
    """Take what was asked for, in a turn that a trade of others brings, and let its answers come."""
    harness.trade_ticks("a", BUY, 1, 1)
    harness.advance(wait_ns)


def quoted(harness: Harness, bid_lots: int = 5, ask_lots: int = 7, instrument: int = A) -> Any:
    quote(harness.desk, instrument, BID, bid_lots, ASK, ask_lots, tag=9)
    send(harness)
    return harness.quotes[-1]


def states(harness: Harness) -> list[OrderState]:
    return [OrderState(sent.order.state) for sent in harness.orders]


def test_a_quote_is_recorded_as_sent_and_rests(harness: Harness) -> None:
    at_ns = harness.desk.now_ns + harness.step_ns
    sent = quoted(harness)
    assert (sent.quote_id, sent.name, sent.instrument, sent.sent_ns) == (1, "a", A, at_ns)
    assert [(each.side, each.price_ticks, each.qty_lots, each.time_in_force, each.tag) for each in sent.sides] == [
        (BUY, BID, 5, POST_ONLY, 9),
        (SELL, ASK, 7, POST_ONLY, 9),
    ]
    assert all(each.order.is_quote for each in sent.sides)
    assert harness.resting("a") == harness.orders == [sent.bid, sent.ask]
    again = quoted(harness)
    assert again.quote_id == 2
    assert harness.resting("a") == [again.bid, again.ask]
    numbers = [[side.order.exchange_order_id for side in each.sides] for each in (sent, again)]
    assert numbers[0] == numbers[1]
    assert numbers[0][0] != numbers[0][1]


def test_it_is_filled_by_hand(harness: Harness) -> None:
    sent = quoted(harness)
    harness.fill(sent.bid, lots=3)
    assert (harness.position_lots("a"), sent.bid.order.state, sent.bid.filled_lots) == (3, OrderState.LIVE, 3)
    harness.fill(sent.bid)
    assert (harness.position_lots("a"), harness.resting("a")) == (5, [sent.ask])
    with pytest.raises(ValueError, match="FILLED"):
        harness.fill(sent.bid)
    # What is filled is replaced by nothing: the next one has a number of its own.
    again = quoted(harness)
    assert again.bid.order.exchange_order_id != sent.bid.order.exchange_order_id
    assert again.ask.order.exchange_order_id == sent.ask.order.exchange_order_id


@pytest.mark.parametrize(
    ("answer", "after"),
    [
        (rest(), [OrderState.CANCELLED, OrderState.CANCELLED, OrderState.LIVE, OrderState.LIVE]),
        (reject(), [OrderState.LIVE, OrderState.LIVE, OrderState.REJECTED, OrderState.REJECTED]),
        ((reject(), rest()), [OrderState.CANCELLED, OrderState.CANCELLED, OrderState.REJECTED, OrderState.LIVE]),
        ((rest(), miss()), [OrderState.CANCELLED, OrderState.CANCELLED, OrderState.LIVE, OrderState.CANCELLED]),
        ((fill(), fill(2)), [OrderState.CANCELLED, OrderState.CANCELLED, OrderState.FILLED, OrderState.LIVE]),
        (veto(Veto.POSITION), [OrderState.LIVE, OrderState.LIVE, OrderState.VETOED, OrderState.VETOED]),
        (ignore(), [OrderState.LIVE, OrderState.LIVE, OrderState.PENDING_NEW, OrderState.PENDING_NEW]),
    ],
)
def test_what_each_answer_leaves(harness: Harness, answer: Any, after: list[OrderState]) -> None:
    quoted(harness)
    harness.quotes_answers = [answer]
    sent = quoted(harness, 2, 3)
    assert states(harness) == after
    assert harness.quotes_answers == []
    is_vetoed = after[-1] == OrderState.VETOED
    assert (sent.quote_id, sent.bid.order.reason) == ((0, Veto.POSITION) if is_vetoed else (2, sent.bid.answer.reason))
    check_accounts(harness)


def test_while_it_is_under_way_both_count_and_the_next_is_vetoed(harness: Harness) -> None:
    quoted(harness)
    harness.quotes_answers = [rest(after_ns=1_000_000)]
    quoted(harness)
    position = harness.desk.positions[A]
    assert (position.open_buy_lots, position.open_sell_lots, position.open_orders) == (10, 14, 4)
    third = quoted(harness)
    assert [each.order.reason for each in third.sides] == [Veto.QUOTE_PENDING] * 2
    assert quoted(harness, instrument=B).quote_id == 3  # another venue's affair
    harness.advance(1_000_000)
    assert (position.open_buy_lots, position.open_sell_lots, position.open_orders) == (5, 7, 2)
    assert quoted(harness).quote_id == 4


@pytest.mark.parametrize(("bid_lots", "ask_lots", "ask_ticks"), [(0, 1, ASK), (1, 0, ASK), (-1, 1, ASK), (1, 1, BID)])
def test_one_bad_side_vetoes_both(harness: Harness, bid_lots: int, ask_lots: int, ask_ticks: int) -> None:
    quoted(harness)
    harness.quotes_answers = [reject()]
    quote(harness.desk, A, BID, bid_lots, ask_ticks, ask_lots)
    send(harness)
    assert states(harness) == [OrderState.LIVE] * 2 + [OrderState.VETOED] * 2
    assert [each.order.reason for each in harness.quotes[-1].sides] == [Veto.BAD_ORDER] * 2
    assert harness.quotes_answers == [reject()]  # which is for one that leaves


@pytest.mark.parametrize("each", [veto(), ignore()])
def test_one_message_can_not_veto_or_leave_out_one_side(harness: Harness, each: Any) -> None:
    harness.quotes_answers = [(rest(), each)]
    with pytest.raises(ValueError, match="both sides"):
        quoted(harness)


class Hedger(Listener):
    """Sells elsewhere what is filled."""


@on_fill.register(Hedger)
def hedge(strategy: Hedger, desk: Desk, order: Order, report: Report) -> None:
    if order.is_quote != 0:
        submit(desk, B, SELL, BID, report.qty_lots)


def test_what_is_asked_for_at_its_answer_is_sent_behind_the_last_of_it() -> None:
    """As in the engine, where one packet is one turn."""
    harness = Harness(Hedger, {}, {"a": linear(), "b": linear()})
    seen: list[OrderState] = []

    def decide(sent: Sent) -> Answer:
        seen.extend(states(harness)[:2])
        return sent.answer

    harness.decide = decide
    harness.quotes_answers = [(fill(), fill(7))]
    quoted(harness)
    assert seen == [OrderState.FILLED] * 4  # of both hedges


@pytest.mark.parametrize("how", [cancel_all, lambda desk: cancel_all_of(desk, A), None])
def test_it_is_cancelled_as_orders_are(harness: Harness, how: Callable[[Desk], bool] | None) -> None:
    sent = quoted(harness)
    if how is None:
        for each in sent.sides:
            cancel(harness.desk, each.order.client_order_id)
    else:
        how(harness.desk)
    send(harness)
    assert [(change.kind, change.sent) for change in harness.changes] == [(CANCEL_ORDER, each) for each in sent.sides]
    assert states(harness) == [OrderState.CANCELLED] * 2
    assert harness.desk.cancels_asked == (0 if how is None else 2)


def test_a_cancel_waits_for_the_venues_number(harness: Harness) -> None:
    harness.quotes_answers = [rest(after_ns=2 * CANCEL_RETRY_NS + 5)]
    quote(harness.desk, A, BID, 5, ASK, 7)
    cancel_all(harness.desk)
    cancel_all(harness.desk)
    asked_ns = harness.desk.now_ns + harness.step_ns
    send(harness, 2 * CANCEL_RETRY_NS + 5)
    assert (states(harness), harness.changes) == ([OrderState.LIVE] * 2, [])
    harness.advance(CANCEL_RETRY_NS)
    assert [change.asked_ns for change in harness.changes] == [asked_ns + 3 * CANCEL_RETRY_NS] * 2
    assert states(harness) == [OrderState.CANCELLED] * 2


def test_a_cancel_behind_the_next_quote_ends_that(harness: Harness) -> None:
    first = quoted(harness)
    quote(harness.desk, A, BID, 5, ASK, 7)
    cancel(harness.desk, first.bid.order.client_order_id)
    send(harness)
    assert states(harness) == [OrderState.CANCELLED] * 3 + [OrderState.LIVE]


def test_a_refused_cancel_of_what_was_replaced_changes_nothing(harness: Harness) -> None:
    first = quoted(harness)
    harness.changes_answers = [refuse()]
    quote(harness.desk, A, BID, 5, ASK, 7)
    cancel(harness.desk, first.bid.order.client_order_id)
    send(harness)
    assert states(harness) == [OrderState.CANCELLED] * 2 + [OrderState.LIVE] * 2


def test_a_quote_is_not_amended(harness: Harness) -> None:
    sent = quoted(harness)
    amend(harness.desk, sent.bid.order.client_order_id, BID - 1, 5)
    send(harness)
    assert (sent.bid.order.amend_state, harness.strategy.amend_reason) == (AmendState.VETOED, Veto.NOT_AMENDABLE)
    assert harness.changes == []


def test_what_a_venue_can_not_do_is_vetoed() -> None:
    harness = Harness(Listener, {}, {"a": linear()}, unsupported={"a": {QUOTE, CANCEL_BY_ID, AMEND_ORDER}})
    sent = quoted(harness)
    assert (states(harness), sent.quote_id) == ([OrderState.VETOED] * 2, 0)
    assert [each.order.reason for each in sent.sides] == [Veto.UNSUPPORTED] * 2
    submit(harness.desk, A, BUY, BID, 5, GTC)
    harness.answers = [rest()]
    send(harness)
    order = harness.orders[-1].order
    cancel_by_id(harness.desk, A, order.exchange_order_id)
    send(harness)
    heard = harness.strategy
    assert (heard.state, heard.reason, heard.client_order_id) == (OrderState.VETOED, Veto.UNSUPPORTED, 0)
    amend(harness.desk, order.client_order_id, BID, 6)
    send(harness)
    assert (order.state, order.amend_state, heard.amend_reason) == (
        OrderState.LIVE,
        AmendState.VETOED,
        Veto.UNSUPPORTED,
    )
    assert harness.changes == []


@pytest.mark.parametrize("unsupported", [{"b": {QUOTE}}, {"a": {CANCEL_ORDER}}])
def test_what_can_not_be_left_out_is_said(unsupported: dict[str, set[int]]) -> None:
    with pytest.raises(ValueError, match="unsupported"):
        Harness(Listener, {}, {"a": linear()}, unsupported=unsupported)


@pytest.mark.parametrize("is_quote", [True, False])
def test_what_rests_is_found_by_the_venues_number(harness: Harness, is_quote: bool) -> None:
    if is_quote:
        sent = quoted(harness).bid
    else:
        submit(harness.desk, A, BUY, BID, 5, POST_ONLY)
        send(harness)
        sent = harness.orders[-1]
    assert sent.order.exchange_order_id != sent.order.client_order_id
    for _ in range(2):  # the second finds it under way
        cancel_by_id(harness.desk, A, sent.order.exchange_order_id)
    send(harness)
    assert [(change.kind, change.sent) for change in harness.changes] == [(CANCEL_BY_ID, sent)]
    assert sent.order.state == OrderState.CANCELLED


@pytest.mark.parametrize(
    ("answers", "state", "reason"),
    [
        ([], OrderState.REJECTED, RejectReason.UNKNOWN_ORDER),
        ([accept()], OrderState.CANCELLED, RejectReason.NONE),
        ([refuse(reason=RejectReason.RATE_LIMIT)], OrderState.REJECTED, RejectReason.RATE_LIMIT),
    ],
)
def test_of_what_is_not_known_the_venue_is_asked(
    harness: Harness, answers: list[Any], state: OrderState, reason: RejectReason
) -> None:
    sent = quoted(harness)  # at another venue, whose number is asked for: that is not it
    harness.changes_answers = answers
    cancel_by_id(harness.desk, B, sent.bid.order.exchange_order_id)
    send(harness)
    heard = harness.strategy
    assert (heard.state, heard.reason, heard.instrument, heard.client_order_id) == (state, reason, B, 0)
    assert heard.exchange_order_id == sent.bid.order.exchange_order_id
    (change,) = harness.changes
    assert (change.kind, change.sent.name, change.sent.order.state) == (CANCEL_BY_ID, "b", state)
    assert (harness.resting("a"), len(harness.orders)) == ([sent.bid, sent.ask], 2)


def test_so_many_may_be_without_an_answer(harness: Harness) -> None:
    harness.changes_answers = [accept(after_ns=1_000_000)] * BY_ID_MAX
    for _ in range(BY_ID_MAX):
        cancel_by_id(harness.desk, A, 4711)
    send(harness)
    assert harness.strategy.heard == 0
    cancel_by_id(harness.desk, A, 4711)
    send(harness)
    assert (harness.strategy.state, harness.strategy.reason) == (OrderState.VETOED, Veto.NOT_SENT)
    harness.advance(1_000_000)
    assert (harness.strategy.heard, harness.strategy.state) == (1 + BY_ID_MAX, OrderState.CANCELLED)
    cancel_by_id(harness.desk, A, 4711)
    send(harness)
    assert harness.strategy.state == OrderState.REJECTED


def check_accounts(harness: Harness) -> None:
    """What positions say is open and held is the sum over the orders, of which the venue has one quote a side."""
    for index, position in enumerate(list(harness.desk.positions)[: len(harness.names)]):
        orders = [sent.order for sent in harness.orders if sent.instrument == index]
        for side, lots in ((BUY, position.open_buy_lots), (SELL, position.open_sell_lots)):
            assert lots == sum(open_lots(order) for order in orders if order.side == side)
            live = [each for each in orders if each.side == side and each.is_quote and each.acked_ns and is_open(each)]
            assert len(live) <= 1
        assert position.open_orders == sum(map(is_open, orders))
        held = sum(order.filled_lots * (1 if order.side == BUY else -1) for order in orders)
        assert position.position_lots == held
        numbers = [order.exchange_order_id for order in orders if is_open(order) and order.exchange_order_id]
        assert len(numbers) == len(set(numbers))


AFTER_NS = st.integers(0, 3 * CANCEL_RETRY_NS)
ANSWERS = st.one_of(
    st.builds(rest, AFTER_NS), st.builds(fill, st.integers(1, 9), st.none(), AFTER_NS), st.builds(reject, AFTER_NS)
)
QUOTES_ANSWERS = st.one_of(ANSWERS, st.tuples(ANSWERS, ANSWERS), st.builds(ignore), st.builds(veto))
CHANGES_ANSWERS = st.one_of(st.builds(accept, AFTER_NS), st.builds(refuse, AFTER_NS))
NUMBER = st.integers(0, 7)
ACTIONS = st.one_of(
    st.tuples(st.just("quote"), st.integers(0, 9), QUOTES_ANSWERS),
    st.tuples(st.just("submit"), st.integers(1, 9), ANSWERS),
    st.tuples(st.sampled_from(["cancel", "cancel by id", "cancel all"]), NUMBER, CHANGES_ANSWERS),
    st.tuples(st.just("fill"), NUMBER, st.integers(1, 9)),
    st.tuples(st.just("wait"), AFTER_NS, st.none()),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(ACTIONS, max_size=25))
def test_the_accounts_add_up_whatever_comes_in_whatever_order(actions: list[tuple[str, int, Any]]) -> None:
    harness = Harness(Listener, {}, {"a": linear()})
    desk = harness.desk
    for what, number, detail in actions:
        if what == "quote":
            harness.quotes_answers = [detail]
            quote(desk, A, BID, number, ASK, 5)
        elif what == "submit":
            harness.answers = [detail]
            submit(desk, A, BUY, BID, number, POST_ONLY)
        elif what == "wait":
            harness.advance(number)
        elif what == "fill":
            harness.advance(harness.step_ns)  # in which an answer may end one
            if resting := harness.resting("a"):
                sent = resting[number % len(resting)]
                harness.fill_at_once(sent, min(detail, sent.order.qty_lots - sent.order.filled_lots))
        elif harness.orders:
            harness.changes_answers = [detail]
            order = harness.orders[-1 - number % len(harness.orders)].order
            if what == "cancel":
                cancel(desk, order.client_order_id)
            elif what == "cancel by id":
                cancel_by_id(desk, A, order.exchange_order_id)
            else:
                cancel_all(desk)
        if desk.request_count != 0:
            send(harness, 0)
        check_accounts(harness)
    harness.advance(4 * CANCEL_RETRY_NS)
    check_accounts(harness)
