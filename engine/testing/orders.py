"""The engine's part in a harness, and the venues': what becomes of what a strategy asks for.

It does in small what `engine/orders.py` does. Every instrument is at a venue of its own, whose answers are given by
hand. The gate judges nothing but what no answer could change: the form of a quote, whether the last one is answered,
and what a venue can't do; `veto()` is for the rest.
"""

import heapq
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from crosswire.engine.cancels import CANCEL_RETRY_NS
from crosswire.engine.testing.answers import (
    Answer,
    Change,
    QuoteAnswer,
    Sent,
    SentQuote,
    accept,
    fill,
    ignore,
    refuse,
    rest,
)
from crosswire.engine.testing.calls import CATCH_UP, ON_FILL, ON_ORDER, Call
from crosswire.risk.gate import Veto
from crosswire.risk.position import add_fill, change_open
from crosswire.strategies.desk import (
    AMEND_ORDER,
    CANCEL_ALL,
    CANCEL_ALL_OF,
    CANCEL_BY_ID,
    CANCEL_ORDER,
    NEW_ORDER,
    QUOTE,
    Desk,
    Request,
)
from crosswire.venues.instrument import fee_e9
from crosswire.venues.order import (
    BY_ID_MAX,
    GTC,
    POST_ONLY,
    AmendState,
    Order,
    OrderState,
    RejectReason,
    Report,
    ReportKind,
    amend_sent,
    cancel_sent,
    close_order,
    is_open,
    is_unsettled_quote,
    open_lots,
)

ORDER_TERMS = (
    "instrument",
    "side",
    "time_in_force",
    "price_ticks",
    "qty_lots",
    "decision_ticks",
    "trade_id",
    "tag",
    "plan",
)
REQUESTS_OF_SOME = {AMEND_ORDER, QUOTE, CANCEL_BY_ID}  # what not every venue's session can do
FIRST_EXCHANGE_ORDER_ID = 1_000_001  # apart from our own, so that one taken for the other is found


class Orders:
    """Everything that a strategy has asked for, and the answers that are still to come."""

    desk: Desk
    strategy: Any

    def __init__(self, names: list[str], compiled: bool, unsupported: Mapping[str, Collection[int]]) -> None:
        self.names = names
        # False: the strategy's registered functions run as plain Python, which saves their compilation; what they call
        # is compiled unless CROSSWIRE_NO_JIT is set.
        self.compiled = compiled
        for name, kinds in unsupported.items():
            if name not in names or not set(kinds) <= REQUESTS_OF_SOME:
                raise ValueError(f"unsupported: {name!r}: {kinds}: AMEND_ORDER, QUOTE and CANCEL_BY_ID of {names}")
        self.unsupported = unsupported
        self.orders: list[Sent] = []
        self.answers: list[Answer] = []
        self.otherwise = fill()  # the answer when `answers` are used up
        self.otherwise_resting = rest()  # the same to POST_ONLY orders
        self.decide: Callable[[Sent], Answer] | None = None  # instead of `answers`; `sent.answer` is what it would be
        self.quotes: list[SentQuote] = []
        self.quotes_answers: list[QuoteAnswer] = []
        self.quotes_otherwise: QuoteAnswer = rest()  # the answer when `quotes_answers` are used up
        self.decide_quote: Callable[[SentQuote], QuoteAnswer] | None = None  # instead of `quotes_answers`
        self.changes: list[Change] = []
        self.changes_answers: list[Answer] = []
        self.changes_otherwise = accept()  # the answer when `changes_answers` are used up
        self.decide_change: Callable[[Change], Answer] | None = None  # instead of `changes_answers`
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._answers_due = 0  # ever put there: of two at one time the earlier goes first
        self._executions = 0
        self._acknowledged = 0
        self._is_in_packet = False
        self._is_flattening = False
        self._quotes_sent = 0
        self._quotes_out: dict[int, SentQuote] = {}  # by instrument: the last that left
        self._sides: dict[tuple[int, int], Sent] = {}  # by instrument and side: the last that the venue has taken
        self._cancels_due_ns: dict[int, int] = {}  # by client order id: when one was asked for that could not leave
        self._strangers_asked = 0  # cancels of orders that are not known here, without an answer yet

    # Turns of the loop.

    def _call(self, call: Call, *arguments: Any) -> None:
        self._catch_up()
        (call.driver if self.compiled else call.generic)(self.strategy, self.desk, *arguments)

    def _catch_up(self) -> None:
        (CATCH_UP.driver if self.compiled else CATCH_UP.generic)(self.strategy, self.desk)

    def _event(self, call: Call, *arguments: Any) -> None:
        """One turn of the loop: the strategy hears of something, and what it asks for is sent."""
        self._call(call, *arguments)
        if not self._is_in_packet:
            self._take_requests()

    @contextmanager
    def _packet(self) -> Iterator[None]:
        """One turn in which the strategy hears of several things: what it asks for is sent behind the last of them."""
        self._is_in_packet = True
        try:
            yield
        finally:
            self._is_in_packet = False
        self._take_requests()

    def _take_requests(self) -> None:
        position = 0
        while position < self.desk.request_count:
            request = self.desk.requests[position]
            if request.kind == QUOTE:
                self._send_quote(request, self.desk.requests[position + 1])
                position += 1
            elif request.kind == NEW_ORDER:
                self._send(request)
            elif request.kind in (CANCEL_ALL, CANCEL_ALL_OF):
                self._cancel_all(request)
            elif request.kind == CANCEL_BY_ID:
                self._cancel_by_id(request)
            elif 0 < request.client_order_id <= len(self.orders):
                sent = self.orders[request.client_order_id - 1]
                if request.kind == AMEND_ORDER:
                    self._send_amend(sent, request.price_ticks, request.qty_lots)
                else:
                    self._ask_for_cancel(sent, CANCEL_ORDER)
            position += 1
        self.desk.request_count = 0
        self._catch_up()

    def _answer_later(self, answer: Answer, happen: Callable[[], None]) -> None:
        if answer.state != OrderState.PENDING_NEW:
            self._later(max(1, answer.after_ns), happen)

    def _later(self, duration_ns: int, happen: Callable[[], None]) -> None:
        self._answers_due += 1
        heapq.heappush(self._due, (self.desk.now_ns + duration_ns, self._answers_due, happen))

    def _is_supported(self, instrument: int, kind: int) -> bool:
        return kind not in self.unsupported.get(self.names[instrument], ())

    # New orders.

    def _send(self, request: Request) -> None:
        sent = self._new_order(request)
        if not sent.is_of_known_kind:
            self._veto(sent, Veto.BAD_ORDER)
            return
        if self._is_flattening:
            self._veto(sent, Veto.FLATTENING)
            return
        if self.decide is not None:
            sent.answer = self.decide(sent)
        elif self.answers:
            sent.answer = self.answers.pop(0)
        if sent.answer.state == OrderState.VETOED:
            self._veto(sent, sent.answer.reason)
            return
        self._count_sent(sent)
        self._answer_later(sent.answer, lambda: self._answer(sent))

    def _new_order(self, request: Request, is_quote: int = 0) -> Sent:
        """Enter an order as it was asked for, with the answer that it gets unless something else is said."""
        terms = {name: getattr(request, name) for name in ORDER_TERMS}
        otherwise = self.otherwise_resting if request.time_in_force == POST_ONLY else self.otherwise
        sent = Sent(name=self.names[request.instrument], sent_ns=self.desk.now_ns, answer=otherwise, **terms)
        self.orders.append(sent)
        sent.order = Order(
            client_order_id=len(self.orders),
            state=OrderState.PENDING_NEW,
            venue=request.instrument,
            is_quote=is_quote,
            created_ns=self.desk.now_ns,
            trigger_ns=self.desk.trigger_ns,
            **terms,
        )
        return sent

    def _veto(self, sent: Sent, reason: int) -> None:
        """As in the engine: the strategy hears of it at once, and may ask for more in the same turn."""
        close_order(sent.order, OrderState.VETOED, reason, self.desk.now_ns)
        self._call(ON_ORDER, sent.order)

    def _count_sent(self, sent: Sent) -> None:
        change_open(self.desk.positions[sent.instrument], sent.side, 1, sent.qty_lots)

    def _answer(self, sent: Sent) -> None:
        order, answer = sent.order, sent.answer
        if not is_open(order):
            return
        if answer.state == OrderState.REJECTED:
            self._end(order, OrderState.REJECTED, answer.reason)
            return
        rests = _may_rest(order) and (answer.state == OrderState.LIVE or answer.lots != 0)
        if rests:
            self._acknowledge(order)
        self._fill_as_answered(sent)
        self._end_as_answered(order, rests)

    def _acknowledge(self, order: Order, exchange_order_id: int = 0) -> None:
        """The venue has an order, under a number that it has given before, or a new one."""
        if exchange_order_id == 0:
            exchange_order_id = FIRST_EXCHANGE_ORDER_ID + self._acknowledged
            self._acknowledged += 1
        if order.state == OrderState.PENDING_NEW:
            order.state = OrderState.LIVE
        order.exchange_order_id = exchange_order_id
        order.acked_ns = self.desk.now_ns
        self._event(ON_ORDER, order)

    def _fill_as_answered(self, sent: Sent) -> None:
        answer = sent.answer
        lots = sent.qty_lots if answer.lots is None else min(answer.lots, sent.qty_lots)
        if lots > 0:
            price_ticks = sent.price_ticks if answer.price_ticks is None else answer.price_ticks
            self._fill(sent, lots, price_ticks, is_maker=int(sent.time_in_force == POST_ONLY))

    def _end_as_answered(self, order: Order, rests: bool) -> None:
        if order.filled_lots == order.qty_lots:
            self._end(order, OrderState.FILLED)
        elif not rests:
            self._end(order, OrderState.CANCELLED)

    def _end(self, order: Order, state: OrderState, reason: int = RejectReason.NONE) -> None:
        """An order that was sent has ended, and the strategy hears of it."""
        lots = open_lots(order)
        close_order(order, state, reason, self.desk.now_ns)
        change_open(self.desk.positions[order.instrument], order.side, -1, -lots)
        self._event(ON_ORDER, order)

    def _fill(self, sent: Sent, lots: int, price_ticks: int, is_maker: int) -> None:
        order = sent.order
        instrument = self.desk.instruments[order.instrument]
        fee = fee_e9(instrument, price_ticks, lots, is_maker)
        sent.fills.append((price_ticks, lots))
        self._executions += 1
        order.filled_tick_lots += price_ticks * lots
        order.fees_e9 += fee
        position = self.desk.positions[order.instrument]
        self._with_open(order, lambda: setattr(order, "filled_lots", order.filled_lots + lots))
        add_fill(position, instrument, order.side, price_ticks, lots, fee)
        report = Report(
            kind=ReportKind.FILL,
            venue=order.venue,
            client_order_id=order.client_order_id,
            execution_id=self._executions,
            instrument=order.instrument,
            side=order.side,
            price_ticks=price_ticks,
            qty_lots=lots,
            leaves_lots=order.qty_lots - order.filled_lots,
            filled_lots=order.filled_lots,
            fee_e9=fee,
            is_maker=is_maker,
            exchange_time_ns=self.desk.now_ns,
        )
        self._event(ON_FILL, order, report)

    def _with_open(self, order: Order, happen: Callable[[], None]) -> None:
        """Let something happen to an order, and book what it changes of its open lots."""
        lots = open_lots(order)
        happen()
        change_open(self.desk.positions[order.instrument], order.side, 0, open_lots(order) - lots)

    # Mass quotes.

    def _send_quote(self, bid_request: Request, ask_request: Request) -> None:
        bid, ask = self._new_order(bid_request, is_quote=1), self._new_order(ask_request, is_quote=1)
        quote = SentQuote(0, bid.name, bid.instrument, bid, ask, self.desk.now_ns, self.quotes_otherwise)
        veto = self._judge_quote(quote)
        if veto == Veto.NONE:
            if self.decide_quote is not None:
                quote.answer = self.decide_quote(quote)
            elif self.quotes_answers:
                quote.answer = self.quotes_answers.pop(0)
        bid.answer, ask.answer = _side_answers(quote.answer)
        self.quotes.append(quote)
        if veto == Veto.NONE and bid.answer.state != OrderState.VETOED:
            self._quotes_sent += 1
            quote.quote_id = self._quotes_sent
            self._quotes_out[quote.instrument] = quote
            for sent in quote.sides:
                self._count_sent(sent)
            after_ns = max(sent.answer.after_ns for sent in quote.sides)
            if bid.answer.state != OrderState.PENDING_NEW:
                self._later(max(1, after_ns), lambda: self._answer_quote(quote))
            return
        for sent in quote.sides:
            self._veto(sent, bid.answer.reason if veto == Veto.NONE else veto)

    def _judge_quote(self, quote: SentQuote) -> Veto:
        """Judge as the gate what is wrong with any quote of these terms, or at this time."""
        bid, ask = quote.bid.order, quote.ask.order
        if self._is_flattening:
            return Veto.FLATTENING
        if not self._is_supported(quote.instrument, QUOTE):
            return Veto.UNSUPPORTED
        if not all(sent.is_of_known_kind for sent in quote.sides):
            return Veto.BAD_ORDER
        if bid.price_ticks >= ask.price_ticks or min(bid.price_ticks, bid.qty_lots, ask.qty_lots) <= 0:
            return Veto.BAD_ORDER
        out = self._quotes_out.get(quote.instrument)
        if out is not None and any(is_unsettled_quote(sent.order) for sent in out.sides):
            return Veto.QUOTE_PENDING
        return Veto.NONE

    def _answer_quote(self, quote: SentQuote) -> None:
        """One message tells what becomes of both sides, and of the quotes that they replace."""
        is_refused = isinstance(quote.answer, Answer) and quote.answer.state == OrderState.REJECTED
        with self._packet():
            for sent in quote.sides:
                if is_refused:
                    self._end(sent.order, OrderState.REJECTED, sent.answer.reason)
                else:
                    self._answer_side(sent)
            taken = [sent for sent in quote.sides if is_open(sent.order)]
            for sent in taken:
                self._fill_as_answered(sent)
            for sent in taken:
                self._end_as_answered(sent.order, sent.answer.state == OrderState.LIVE or sent.answer.lots != 0)
        for sent in taken:
            self._send_due_cancel_later(sent)

    def _answer_side(self, sent: Sent) -> None:
        """Put a side of a quote in the place of the last one, under its number; a refused one leaves none there."""
        last = self._sides.pop((sent.instrument, sent.side), None)
        exchange_order_id = 0
        if last is not None and is_open(last.order):
            exchange_order_id = last.order.exchange_order_id
            self._end(last.order, OrderState.CANCELLED)
        if sent.answer.state == OrderState.REJECTED:
            self._end(sent.order, OrderState.REJECTED, sent.answer.reason)
        else:
            self._sides[sent.instrument, sent.side] = sent
            self._acknowledge(sent.order, exchange_order_id)

    # Cancels and amends.

    def _cancel_all(self, request: Request) -> None:
        """Cancel every order that is open, or those of one instrument."""
        for sent in list(self.orders):
            order = sent.order
            is_meant = request.kind == CANCEL_ALL or order.instrument == request.instrument
            if is_meant and is_open(order) and order.state != OrderState.PENDING_CANCEL:
                self.desk.cancels_asked += 1
                self._ask_for_cancel(sent, CANCEL_ORDER)

    def _cancel_by_id(self, request: Request) -> None:
        """Cancel an order by its venue's number; one that is not known here is asked for all the same."""
        instrument, exchange_order_id = request.instrument, request.exchange_order_id
        own = self._find_exchange_order(instrument, exchange_order_id)
        if own is not None and self._is_supported(instrument, CANCEL_BY_ID):
            self._ask_for_cancel(own, CANCEL_BY_ID)
            return
        order = Order(venue=instrument, instrument=instrument, exchange_order_id=exchange_order_id)
        if self._is_supported(instrument, CANCEL_BY_ID) and self._strangers_asked < BY_ID_MAX:
            self._strangers_asked += 1
            change = self._new_change(CANCEL_BY_ID, self._stranger(order), 0, 0)
            self._answer_later(change.answer, lambda: self._answer_stranger(order, change.answer))
            return
        order.state = OrderState.VETOED
        order.reason = Veto.NOT_SENT if self._is_supported(instrument, CANCEL_BY_ID) else Veto.UNSUPPORTED
        self._call(ON_ORDER, order)

    def _stranger(self, order: Order) -> Sent:
        """Make what stands in a `Change` for an order that is not known here, and was never sent."""
        terms: dict[str, Any] = dict.fromkeys(ORDER_TERMS, 0) | {"instrument": order.instrument}
        return Sent(name=self.names[order.instrument], sent_ns=0, answer=ignore(), order=order, **terms)

    def _answer_stranger(self, order: Order, answer: Answer) -> None:
        self._strangers_asked -= 1
        order.state, order.reason = OrderState.CANCELLED, RejectReason.NONE
        if answer.state == OrderState.REJECTED:
            order.state, order.reason = OrderState.REJECTED, answer.reason
        self._event(ON_ORDER, order)

    def _find_exchange_order(self, instrument: int, exchange_order_id: int) -> Sent | None:
        """Find what is open under its venue's number."""
        for sent in self.orders:
            order = sent.order
            if order.instrument == instrument and order.exchange_order_id == exchange_order_id and is_open(order):
                return sent
        return None

    def _ask_for_cancel(self, sent: Sent, kind: int) -> None:
        """Cancel an order that is open, once.

        A quote is known to its venue by the venue's number alone: its cancel waits until that is told.
        """
        order = sent.order
        if not is_open(order) or order.state == OrderState.PENDING_CANCEL:
            return
        if order.is_quote != 0 and not (order.exchange_order_id and self._is_supported(sent.instrument, CANCEL_BY_ID)):
            if order.cancel_due == 0:
                order.cancel_due = 1
                self._cancels_due_ns[order.client_order_id] = self.desk.now_ns
            return
        order.cancel_due = 0
        change = self._new_change(kind, sent, 0, 0)
        cancel_sent(order)
        self._answer_later(change.answer, lambda: self._answer_cancel(sent, change.answer))

    def _send_due_cancel_later(self, sent: Sent) -> None:
        """A cancel that could not leave is tried again every CANCEL_RETRY_NS since it was asked for."""
        if sent.order.cancel_due != 0 and is_open(sent.order):
            asked_ns = self._cancels_due_ns.pop(sent.order.client_order_id)
            self._later(
                (asked_ns - self.desk.now_ns) % CANCEL_RETRY_NS,
                lambda: self._ask_for_cancel(sent, CANCEL_ORDER) if sent.order.cancel_due != 0 else None,
            )

    def _new_change(self, kind: int, sent: Sent, price_ticks: int, qty_lots: int) -> Change:
        """Note a cancel or an amend that leaves, with its answer. What a venue does not know it refuses to cancel."""
        otherwise = self.changes_otherwise
        if sent.order.client_order_id == 0:
            otherwise = refuse(reason=RejectReason.UNKNOWN_ORDER)
        change = Change(kind, sent, price_ticks, qty_lots, self.desk.now_ns, otherwise)
        if self.decide_change is not None:
            change.answer = self.decide_change(change)
        elif self.changes_answers:
            change.answer = self.changes_answers.pop(0)
        self.changes.append(change)
        return change

    def _answer_cancel(self, sent: Sent, answer: Answer) -> None:
        order = sent.order
        if answer.state == OrderState.REJECTED:
            if is_open(order):
                order.state = OrderState.LIVE if order.acked_ns != 0 else OrderState.PENDING_NEW
                self._event(ON_ORDER, order)
            return
        if not is_open(order) and order.is_quote != 0:
            # The quote that took its place in the meantime has its number, and is what the venue has cancelled.
            successor = self._find_exchange_order(order.instrument, order.exchange_order_id)
            order = successor.order if successor is not None else order
        if is_open(order):
            self._end(order, OrderState.CANCELLED)

    def _send_amend(self, sent: Sent, price_ticks: int, qty_lots: int) -> None:
        order = sent.order
        if not is_open(order):
            return
        if not self._is_supported(sent.instrument, AMEND_ORDER):
            self._veto_amend(order, Veto.UNSUPPORTED)
            return
        is_live = order.state == OrderState.LIVE and order.amend_state != AmendState.PENDING
        if not is_live or order.is_quote != 0 or not _may_rest(order):
            self._veto_amend(order, Veto.NOT_AMENDABLE)
            return
        change = self._new_change(AMEND_ORDER, sent, price_ticks, qty_lots)
        if change.answer.state == OrderState.VETOED:
            self._veto_amend(order, change.answer.reason)
            return
        self._with_open(order, lambda: amend_sent(order, price_ticks, qty_lots))
        self._answer_later(change.answer, lambda: self._answer_amend(order, change.answer))

    def _veto_amend(self, order: Order, reason: int) -> None:
        """The strategy hears at once of an amend that did not leave; afterwards it is again about one under way."""
        before = order.amend_state, order.amend_reason
        order.amend_state, order.amend_reason = AmendState.VETOED, reason
        self._call(ON_ORDER, order)
        if before[0] == AmendState.PENDING:
            order.amend_state, order.amend_reason = before

    def _answer_amend(self, order: Order, answer: Answer) -> None:
        if not is_open(order):
            return
        self._with_open(order, lambda: _amend(order, answer))
        if order.filled_lots >= order.qty_lots:
            self._end(order, OrderState.FILLED)
        else:
            self._event(ON_ORDER, order)


def _amend(order: Order, answer: Answer) -> None:
    if answer.state == OrderState.REJECTED:
        order.amend_state, order.amend_reason = AmendState.REJECTED, answer.reason
    else:
        order.amend_state = AmendState.DONE
        order.price_ticks, order.qty_lots = order.amend_price_ticks, order.amend_lots


def _may_rest(order: Order) -> bool:
    return order.time_in_force in (GTC, POST_ONLY)


def _side_answers(answer: QuoteAnswer) -> tuple[Answer, Answer]:
    """Return the answers to bid and ask; ValueError where one message can't say both."""
    if isinstance(answer, Answer):
        return answer, answer
    for each in answer:
        if each.state in (OrderState.VETOED, OrderState.PENDING_NEW):
            raise ValueError("both sides of a quote are vetoed, or unanswered: veto() or ignore() of the whole quote")
    return answer
