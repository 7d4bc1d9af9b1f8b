"""One post-only order is kept whatever a venue answers and when: never two at once, and what is wanted in the end."""

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from crosswire.risk.gate import Veto
from crosswire.strategies.desk import AMEND_ORDER, CANCEL_ORDER, NEW_ORDER, Desk
from crosswire.strategies.keeping import (
    ASKED,
    NONE,
    RESTING,
    KeptOrder,
    is_off,
    keep_order,
    kept_order_changed,
    kept_order_filled,
    set_kept_order,
)
from crosswire.venues.order import POST_ONLY, AmendState, Order, OrderState
from crosswire.venues.side import BUY

INSTRUMENT, TAG, STEP_TICKS = 1, 7, 3
TICKS, LOTS = st.integers(90, 110), st.integers(0, 5)


class Venue(RuleBasedStateMachine):
    """A venue that answers one request at a time: it takes it, refuses it, or fills some before it does."""

    def __init__(self) -> None:
        super().__init__()
        self.desk = Desk(instrument_count=2)
        self.kept = KeptOrder()
        set_kept_order(self.kept, INSTRUMENT, BUY, TAG, STEP_TICKS)
        self.order: Order | None = None  # that is open
        self.request: Any = None  # under way: (kind, ticks, lots)
        self.wanted = (0, 0)
        self.has_amends = True
        self.ids = 0

    @initialize(has_amends=st.booleans())
    def choose(self, has_amends: bool) -> None:
        self.has_amends = has_amends

    @rule(ticks=TICKS, lots=LOTS)
    def want(self, ticks: int, lots: int) -> None:
        self.wanted = (ticks, lots)
        keep_order(self.kept, self.desk, ticks, lots)
        self.send()

    def send(self) -> None:
        """The engine takes what was asked for: what it vetoes it tells at once."""
        for place in range(64):
            if place == self.desk.request_count:
                break
            request = self.desk.requests[place]
            assert self.request is None, "one request at a time"
            if request.kind == NEW_ORDER:
                assert self.order is None, "never two at once"
                assert (request.instrument, request.side, request.tag) == (INSTRUMENT, BUY, TAG)
                assert (request.time_in_force, request.price_ticks, request.qty_lots) == (POST_ONLY, *self.wanted)
                self.ids += 1
                self.order = self.made(request.price_ticks, request.qty_lots, OrderState.PENDING_NEW)
            else:
                assert self.order is not None
                assert request.client_order_id == self.order.client_order_id
            if request.kind == CANCEL_ORDER:
                self.order.state = OrderState.PENDING_CANCEL
            if request.kind == AMEND_ORDER:
                if not self.has_amends:
                    self.order.amend_state, self.order.amend_reason = AmendState.VETOED, Veto.UNSUPPORTED
                    self.tell()
                    continue
                self.order.amend_state = AmendState.PENDING
            self.request = (request.kind, request.price_ticks, request.qty_lots)
        self.desk.request_count = 0

    def made(self, ticks: int, lots: int, state: OrderState) -> Order:
        terms = {"instrument": INSTRUMENT, "side": BUY, "tag": TAG, "price_ticks": ticks, "qty_lots": lots}
        return Order(client_order_id=self.ids, state=state, **terms)

    def tell(self) -> None:
        assert self.order is not None
        kept_order_changed(self.kept, self.desk, self.order)

    def end(self, state: OrderState) -> None:
        assert self.order is not None
        ended, self.order, self.request = self.order, None, None
        ended.state = state
        kept_order_changed(self.kept, self.desk, ended)
        self.send()

    @precondition(lambda self: self.request is not None)
    @rule(takes=st.booleans())
    def answer(self, takes: bool) -> None:
        assert self.order is not None
        (kind, ticks, lots), self.request = self.request, None
        if kind == NEW_ORDER and not takes:
            self.end(OrderState.REJECTED)
        elif kind == CANCEL_ORDER and takes:
            self.end(OrderState.CANCELLED)
        elif kind == AMEND_ORDER and takes and self.order.filled_lots >= lots:
            self.end(OrderState.FILLED)
        else:
            self.order.state = OrderState.LIVE
            if kind == AMEND_ORDER:
                self.order.amend_state = AmendState.DONE if takes else AmendState.REJECTED
                if takes:
                    self.order.price_ticks, self.order.qty_lots = ticks, lots
            self.tell()
            self.send()

    @precondition(lambda self: self.order is not None and self.order.state != OrderState.PENDING_NEW)
    @rule(lots=st.integers(1, 5))
    def fill(self, lots: int) -> None:
        assert self.order is not None
        self.order.filled_lots += min(lots, self.order.qty_lots - self.order.filled_lots)
        kept_order_filled(self.kept, self.order)
        if self.order.filled_lots == self.order.qty_lots:
            self.end(OrderState.FILLED)

    @precondition(lambda self: self.order is not None)
    @rule()
    def lose_session(self) -> None:
        self.end(OrderState.CANCELLED)

    @rule(tag=st.sampled_from([0, 8]))
    def tell_of_another(self, tag: int) -> None:
        before = bytes(self.kept)
        other = self.made(1, 1, OrderState.CANCELLED)
        other.tag = tag
        kept_order_filled(self.kept, other)
        kept_order_changed(self.kept, self.desk, other)
        assert bytes(self.kept) == before

    @invariant()
    def it_knows_what_is_out(self) -> None:
        assert (self.kept.state == NONE) == (self.order is None)
        if self.order is not None and self.kept.state != ASKED:
            assert self.kept.client_order_id == self.order.client_order_id
            assert self.kept.filled_lots == self.order.filled_lots

    def teardown(self) -> None:
        """A venue that takes everything from now on has in the end what is wanted last."""
        for _ in range(8):
            keep_order(self.kept, self.desk, *self.wanted)
            self.send()
            if self.request is not None:
                self.answer(takes=True)
        ticks, lots = self.wanted
        if lots == 0:
            assert self.order is None
        else:
            assert self.order is not None
            assert self.kept.state == RESTING
            assert abs(self.order.price_ticks - ticks) < STEP_TICKS
            assert 0 < self.order.qty_lots - self.order.filled_lots <= lots
            assert not is_off(self.kept)


TestVenue = Venue.TestCase
TestVenue.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


@pytest.mark.parametrize(("tag", "step_ticks", "name"), [(0, 1, "tag"), (1, 0, "step_ticks")])
def test_what_can_not_be_kept_is_one_line(tag: int, step_ticks: int, name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} = 0: must be 1 or more"):
        set_kept_order(KeptOrder(), 0, BUY, tag, step_ticks)
