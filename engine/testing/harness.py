"""A strategy on a desk of its own: books set by hand, an exchange that answers as told, and everything it did at hand.

    harness = Harness(CrossSpread, {"instruments": ["a", "b"], ...}, {"a": linear(), "b": inverse()})
    harness.answers = [fill(), miss()]              # to the next orders, in the order they are sent
    harness.set_book("a", bids=[(100, 1)], asks=[(101, 1)])
    harness.set_book("b", bids=[(103, 500)], asks=[(104, 500)])
    assert [order.side for order in harness.orders] == [BUY, SELL]

Each `set_book` is one packet: `step_ns` pass, on_book runs, its requests are sent and answered. Answers may come later
(`fill(after_ns=...)`); `advance` lets time pass, with the answers and timers that are due. Set CROSSWIRE_NO_JIT=1 to
step through the strategy in a debugger; nothing is compiled then, so that tests start at once.

An order that may rest (POST_ONLY, GTC) is acknowledged, and what its answer does not fill rests:

    harness.set_book(...)                           # the strategy quotes: a POST_ONLY order, which `rest()`s
    bid = harness.resting("a")[0]
    harness.fill(bid, lots=3)                       # the market comes to it
    harness.changes_answers = [refuse(), accept()]  # to the next cancels and amends; `accept` when they are used up
    assert [change.kind for change in harness.changes] == [CANCEL_ORDER]
"""

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from functools import reduce
from typing import Any

import msgspec

from crosswire.nic.journal.files import MemoryJournal, make_journal
from crosswire.nic.journal.reader import read_memory
from crosswire.nic.memory.struct import Array, Struct, copy_struct
from crosswire.nic.rings.ring import NEVER_NS
from crosswire.nic.unit.compile import compiled
from crosswire.risk.position import Position, add_fill, change_open
from crosswire.risk.records import KINDS, LOG_VALUES, VERSION, RecordKind
from crosswire.strategies import interface
from crosswire.strategies.desk import (
    AMEND_ORDER,
    CANCEL_ALL,
    CANCEL_ALL_OF,
    CANCEL_ORDER,
    NEW_ORDER,
    Desk,
    clear_timers,
    take_first_timer,
)
from crosswire.strategies.messages import message_text
from crosswire.strategies.parameters import declared_parameters
from crosswire.venues.book.book import clear_book, make_books, refresh_top, set_level
from crosswire.venues.instrument import E9, Instrument, Kind, Payoff, fee_e9, set_text
from crosswire.venues.money.terms import HoldingTerms
from crosswire.venues.order import (
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
    open_lots,
)
from crosswire.venues.side import ASK, BID

START_NS = 1_700_000_000_000_000_000
# What every leg strategy must be told; a test says what else matters to it.
LEG_PARAMETERS: dict[str, Any] = {"threshold_bps": 1, "size_max": 1, "unwind_loss_max_bps": 50}
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
Number = int | float | str | Decimal | Fraction


@compiled
def _run_on_book(strategy: interface.Strategy, desk: Desk, instrument: int) -> None:
    interface.on_book(strategy, desk, instrument)


@compiled
def _run_on_book_lost(strategy: interface.Strategy, desk: Desk, instrument: int) -> None:
    interface.on_book_lost(strategy, desk, instrument)


@compiled
def _run_on_trade(
    strategy: interface.Strategy, desk: Desk, instrument: int, side: int, price_ticks: int, qty_lots: int
) -> None:
    interface.on_trade(strategy, desk, instrument, side, price_ticks, qty_lots)


@compiled
def _run_on_fill(strategy: interface.Strategy, desk: Desk, order: Order, report: Report) -> None:
    interface.on_fill(strategy, desk, order, report)


@compiled
def _run_on_order(strategy: interface.Strategy, desk: Desk, order: Order) -> None:
    interface.on_order(strategy, desk, order)


@compiled
def _run_on_timer(strategy: interface.Strategy, desk: Desk) -> None:
    interface.on_timer(strategy, desk)


@compiled
def _run_on_named_timer(strategy: interface.Strategy, desk: Desk, timer: int) -> None:
    interface.on_named_timer(strategy, desk, timer)


@compiled
def _run_on_finish(strategy: interface.Strategy, desk: Desk) -> None:
    interface.on_finish(strategy, desk)


@compiled
def _run_on_parameters(strategy: interface.Strategy, desk: Desk) -> None:
    interface.on_parameters(strategy, desk)


@compiled
def _run_catch_up(strategy: interface.Strategy, desk: Desk) -> None:
    interface.catch_up_if_due(strategy, desk)


def exact(number: Number) -> Fraction:
    """A number as it is written: 0.1 is one tenth."""
    return Fraction(str(number)) if isinstance(number, float) else Fraction(number)


def linear(
    tick: Number = "0.1",
    lot: Number = "0.001",
    taker_fee_bps: Number = 5,
    kind: Kind = Kind.PERPETUAL,
    maker_fee_bps: Number = 0,
    base: str = "BTC",
    quote: str = "USDT",
) -> Instrument:
    """A linear instrument; the lot is in the base coin."""
    instrument = _instrument(Payoff.LINEAR, kind, tick, lot, taker_fee_bps, maker_fee_bps)
    return _named(instrument, base, quote, quote)


def inverse(
    tick: Number = "0.5",
    lot: Number = 10,
    taker_fee_bps: Number = 5,
    maker_fee_bps: Number = 0,
    base: str = "BTC",
    quote: str = "USD",
) -> Instrument:
    """An inverse perpetual; the lot is in the quote currency."""
    instrument = _instrument(Payoff.INVERSE, Kind.PERPETUAL, tick, lot, taker_fee_bps, maker_fee_bps)
    return _named(instrument, base, quote, base)


def _named(instrument: Instrument, base: str, quote: str, settlement: str) -> Instrument:
    set_text(instrument.base, base)
    set_text(instrument.quote, quote)
    set_text(instrument.settlement, settlement)
    return instrument


def _instrument(
    payoff: Payoff, kind: Kind, tick: Number, lot: Number, taker_fee_bps: Number, maker_fee_bps: Number
) -> Instrument:
    tick_e9, lot_e9 = int(exact(tick) * E9), int(exact(lot) * E9)
    return Instrument(
        kind=kind,
        payoff=payoff,
        tick_e9=tick_e9,
        lot_e9=lot_e9,
        tick_lot_e9=0 if payoff == Payoff.INVERSE else tick_e9 * lot_e9 // E9,
        contract_e9=lot_e9,
        maker_fee_e9=int(exact(maker_fee_bps) * E9 / 10_000),
        taker_fee_e9=int(exact(taker_fee_bps) * E9 / 10_000),
    )


@dataclass(frozen=True)
class Answer:
    """What becomes of one order: `lots` are filled (None: all) at `price_ticks` (None: its limit), the rest not."""

    state: OrderState = OrderState.FILLED
    lots: int | None = None
    price_ticks: int | None = None
    after_ns: int = 0


def fill(lots: int | None = None, price_ticks: int | None = None, after_ns: int = 0) -> Answer:
    """Fill the order, or `lots` of it at most."""
    return Answer(OrderState.FILLED, lots, price_ticks, after_ns)


def miss(after_ns: int = 0) -> Answer:
    """Nothing is filled: the level was gone."""
    return Answer(OrderState.FILLED, 0, None, after_ns)


def reject(after_ns: int = 0) -> Answer:
    """The venue refuses the order."""
    return Answer(OrderState.REJECTED, after_ns=after_ns)


def veto() -> Answer:
    """The risk gate refuses the order, or the amend."""
    return Answer(OrderState.VETOED)


def rest(after_ns: int = 0) -> Answer:
    """The order is acknowledged and rests."""
    return Answer(OrderState.LIVE, 0, None, after_ns)


def accept(after_ns: int = 0) -> Answer:
    """The venue does as a cancel or an amend asks."""
    return Answer(OrderState.CANCELLED, after_ns=after_ns)


def refuse(after_ns: int = 0) -> Answer:
    """The venue refuses a cancel or an amend: the order is as it was."""
    return Answer(OrderState.REJECTED, after_ns=after_ns)


def ignore() -> Answer:
    """Nobody ever answers: an order, a cancel or an amend."""
    return Answer(OrderState.PENDING_NEW)


@dataclass
class Sent:
    """One order as the strategy asked for it, and what became of it."""

    name: str
    instrument: int
    side: int
    time_in_force: int
    price_ticks: int
    qty_lots: int
    decision_ticks: int
    trade_id: int
    tag: int
    plan: int
    sent_ns: int
    answer: Answer
    fills: list[tuple[int, int]] = field(default_factory=list)  # price_ticks, qty_lots
    order: Order = field(default_factory=Order, compare=False, repr=False)  # as the engine has it, amended

    @property
    def filled_lots(self) -> int:
        return sum(lots for _, lots in self.fills)


@dataclass
class Change:
    """A cancel or an amend as the strategy asked for it."""

    kind: int  # CANCEL_ORDER or AMEND_ORDER
    sent: Sent  # the order that it is of
    price_ticks: int  # 0 of a cancel
    qty_lots: int
    asked_ns: int
    answer: Answer


class Harness:
    """One strategy of one class, built from a mapping of parameters as it would be from TOML."""

    def __init__(
        self,
        strategy_class: type[interface.Strategy],
        parameters: dict[str, Any],
        instruments: dict[str, Instrument],
        *,
        compiled: bool = False,
        step_ns: int = 1_000,
        levels: int = 64,
        holding: dict[str, HoldingTerms] | None = None,
    ) -> None:
        self.names = list(instruments)
        self.step_ns = step_ns
        # False: the strategy's registered functions run as plain Python, which saves their compilation; what they call
        # is compiled unless CROSSWIRE_NO_JIT is set.
        self.compiled = compiled
        self.orders: list[Sent] = []
        self.answers: list[Answer] = []
        self.otherwise = fill()  # the answer when `answers` are used up
        self.otherwise_resting = rest()  # the same to POST_ONLY orders
        self.decide: Callable[[Sent], Answer] | None = None  # instead of `answers`
        self.changes: list[Change] = []
        self.changes_answers: list[Answer] = []
        self.changes_otherwise = accept()  # the answer when `changes_answers` are used up
        self.decide_change: Callable[[Change], Answer] | None = None  # instead of `changes_answers`
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._answers_due = 0  # ever put there: of two at one time the earlier goes first
        self._executions = 0
        count = len(instruments)
        self.desk = Desk(now_ns=START_NS, instrument_count=count)
        clear_timers(self.desk)
        self.desk.instruments = Instrument.array(count)
        self.desk.books = make_books(count, levels)
        self.desk.positions = Position.array(count)
        journal = make_journal()
        self.kept = MemoryJournal(journal)
        self.desk.journal = _array_of(journal)
        for index, given in enumerate(instruments.values()):
            copy_struct(self.desk.instruments[index], given)
            self.desk.instruments[index].index = index
            self.desk.instruments[index].venue = index
        context = interface.BuildContext(
            list(self.desk.instruments)[:count],
            {name: index for index, name in enumerate(instruments)},
            holding=holding or {},
        )
        converted = msgspec.convert(parameters, interface.parameters_of(strategy_class), strict=False)
        self.strategy: Any = interface.make_strategy(strategy_class, converted, context)
        self.desk.message_count = len(self.strategy.messages())

    # What happens to the strategy.

    def set_book(
        self, name: str, bids: Iterable[tuple[Number, Number]] = (), asks: Iterable[tuple[Number, Number]] = ()
    ) -> None:
        """A new book of (price, size) levels arrives; sizes are in the size currency."""
        self.change_book(name, bids, asks)
        self._event(interface.on_book, _run_on_book, self.index(name))

    def set_book_ticks(self, name: str, bids: Iterable[tuple[int, int]], asks: Iterable[tuple[int, int]]) -> None:
        """As `set_book`, in ticks and lots."""
        self._change_book(name, bids, asks)
        self._event(interface.on_book, _run_on_book, self.index(name))

    def change_book(
        self, name: str, bids: Iterable[tuple[Number, Number]] = (), asks: Iterable[tuple[Number, Number]] = ()
    ) -> None:
        """As `set_book`, but the strategy is not told yet."""
        self._change_book(name, *([self._level(name, *each) for each in side] for side in (bids, asks)))

    def _level(self, name: str, price: Number, size: Number) -> tuple[int, int]:
        lot_e9 = self.desk.instruments[self.index(name)].lot_e9
        return self.ticks(name, price), _whole(exact(size) * E9 / lot_e9, f"size {size}")

    def _change_book(self, name: str, bids: Iterable[tuple[int, int]], asks: Iterable[tuple[int, int]]) -> None:
        self.advance(self.step_ns)
        book = self.desk.books[self.index(name)]
        clear_book(book)
        for side, levels in ((BID, bids), (ASK, asks)):
            for price_ticks, lots in levels:
                set_level(book, side, price_ticks, lots)
        refresh_top(book)
        book.valid = 1
        book.receive_time_ns = self.desk.now_ns
        book.exchange_time_ns = self.desk.now_ns
        self.desk.trigger_ns = self.desk.now_ns

    def lose_book(self, name: str) -> None:
        """A gap: the book is no longer proven."""
        self.advance(self.step_ns)
        self.desk.books[self.index(name)].valid = 0
        self._event(interface.on_book_lost, _run_on_book_lost, self.index(name))

    def trade(self, name: str, side: int, price: Number, lots: int) -> None:
        """The market trades."""
        self.trade_ticks(name, side, self.ticks(name, price), lots)

    def trade_ticks(self, name: str, side: int, price_ticks: int, lots: int) -> None:
        """As `trade`, at a price in ticks."""
        self.advance(self.step_ns)
        self.desk.trigger_ns = self.desk.now_ns
        self._event(interface.on_trade, _run_on_trade, self.index(name), side, price_ticks, lots)

    def fill(self, sent: Sent, lots: int | None = None, price_ticks: int | None = None) -> None:
        """The market comes to an order that rests, and trades `lots` of it (None: all that is left) at its price.

        ValueError: it does not rest, or less is left of it.
        """
        self.advance(self.step_ns)
        self.fill_at_once(sent, lots, price_ticks)

    def fill_at_once(self, sent: Sent, lots: int | None = None, price_ticks: int | None = None) -> None:
        """As `fill`, in the same packet as what came last: no time passes."""
        order = sent.order
        left = order.qty_lots - order.filled_lots
        lots = left if lots is None else lots
        if not _rests(order) or not 0 < lots <= left:
            state = OrderState(order.state).name
            raise ValueError(f"{lots} lots of order {order.client_order_id}: {left} are left, {state}")
        self._fill(order, sent, lots, order.price_ticks if price_ticks is None else price_ticks, is_maker=1)
        if order.filled_lots == order.qty_lots:
            self._end(order, OrderState.FILLED)

    def advance(self, duration_ns: int) -> None:
        """Let time pass; answers and timers happen at their time."""
        until_ns = self.desk.now_ns + duration_ns
        while True:
            answer_ns = self._due[0][0] if self._due else NEVER_NS
            due_ns = min(answer_ns, self.desk.timer_ns, self.desk.first_timer_ns)
            if due_ns > until_ns:
                break
            self.desk.now_ns = max(self.desk.now_ns, due_ns)
            if answer_ns == due_ns:
                heapq.heappop(self._due)[2]()
            elif self.desk.timer_ns == due_ns:
                self.desk.timer_ns = NEVER_NS
                self._event(interface.on_timer, _run_on_timer)
            else:
                self._event(interface.on_named_timer, _run_on_named_timer, take_first_timer(self.desk))
        self.desk.now_ns = until_ns

    def change_parameters(self, **values: Number) -> None:
        """An operator changes parameters, in their units, while the strategy runs; it is told."""
        declared = declared_parameters(interface.parameters_of(type(self.strategy)))
        for name, value in values.items():
            parameter = declared.get(name)
            if parameter is None or not parameter.field:
                raise ValueError(f"{name}: can't be changed while the run trades")
            if not parameter.allows(Decimal(str(value))):
                raise ValueError(f"{name} = {value}: must be {parameter.range_text}")
            *owners, field_name = parameter.field.split(".")
            owner = reduce(getattr, owners, self.strategy)
            setattr(owner, field_name, _whole(exact(value) / Fraction(parameter.step), f"{name} = {value}"))
        self._event(interface.on_parameters, _run_on_parameters)

    def finish(self) -> None:
        """The run ends."""
        self._call(interface.on_finish, _run_on_finish)

    # What the strategy did.

    @property
    def trades(self) -> list[dict[str, int]]:
        """The trade records so far."""
        return self._rows(RecordKind.TRADE)

    @property
    def opportunities(self) -> list[dict[str, int]]:
        """The opportunity records so far."""
        return self._rows(RecordKind.OPPORTUNITY)

    @property
    def values(self) -> list[dict[str, int]]:
        """What `record_value` has written so far."""
        return self._rows(RecordKind.VALUE)

    @property
    def lines(self) -> list[str]:
        """What the strategy has said so far."""
        messages = self.strategy.messages()
        rows = self._rows(RecordKind.LOG)
        return [message_text(messages, row["message"], [row[name] for name in LOG_VALUES], self.names) for row in rows]

    def _rows(self, kind: RecordKind) -> list[dict[str, int]]:
        cls = KINDS[kind]
        return [
            dict(zip(cls.fields, map(int, row), strict=True))
            for batch in read_memory(self.kept).batches()
            for row in batch.of(kind, cls, VERSION)
        ]

    def resting(self, name: str) -> list[Sent]:
        """The orders that rest at an instrument, the oldest first; a cancel of theirs may be under way."""
        return [sent for sent in self.orders if sent.name == name and _rests(sent.order)]

    def position_lots(self, name: str) -> int:
        """What is held."""
        return int(self.desk.positions[self.index(name)].position_lots)

    def index(self, name: str) -> int:
        """Market index."""
        return self.names.index(name)

    def ticks(self, name: str, price: Number) -> int:
        """A price in ticks; it must be on the grid."""
        return _whole(exact(price) * E9 / self.desk.instruments[self.index(name)].tick_e9, f"price {price}")

    # The engine's part.

    def _call(self, generic: Any, driver: Any, *arguments: Any) -> None:
        self._catch_up()
        (driver if self.compiled else generic)(self.strategy, self.desk, *arguments)

    def _event(self, generic: Any, driver: Any, *arguments: Any) -> None:
        """One turn of the loop: the strategy hears of something, and what it asks for is sent."""
        self._call(generic, driver, *arguments)
        position = 0
        while position < self.desk.request_count:
            request = self.desk.requests[position]
            position += 1
            if request.kind == NEW_ORDER:
                self._send(request)
            elif request.kind in (CANCEL_ALL, CANCEL_ALL_OF):
                self._cancel_all(request)
            else:
                known = request.kind in (CANCEL_ORDER, AMEND_ORDER)
                assert known, "the harness takes neither mass quotes nor cancels by the venue's number"
                self._change(request, request.client_order_id)
        self.desk.request_count = 0
        self._catch_up()

    def _catch_up(self) -> None:
        (_run_catch_up if self.compiled else interface.catch_up_if_due)(self.strategy, self.desk)

    def _send(self, request: Any) -> None:
        terms = {name: getattr(request, name) for name in ORDER_TERMS}
        sent = Sent(name=self.names[request.instrument], sent_ns=self.desk.now_ns, answer=self.otherwise, **terms)
        if request.time_in_force == POST_ONLY:
            sent.answer = self.otherwise_resting
        if self.decide is not None:
            sent.answer = self.decide(sent)
        elif self.answers:
            sent.answer = self.answers.pop(0)
        self.orders.append(sent)
        order = sent.order = Order(
            client_order_id=len(self.orders),
            state=OrderState.PENDING_NEW,
            venue=request.instrument,
            created_ns=self.desk.now_ns,
            trigger_ns=self.desk.trigger_ns,
            **terms,
        )
        if sent.answer.state == OrderState.VETOED:
            # As in the engine: the strategy hears of it at once, and may ask for more in the same turn.
            order.state = OrderState.VETOED
            self._call(interface.on_order, _run_on_order, order)
            return
        change_open(self.desk.positions[order.instrument], order.side, 1, order.qty_lots)
        self._answer_later(sent.answer, lambda: self._answer(order, sent))

    def _answer_later(self, answer: Answer, happen: Callable[[], None]) -> None:
        if answer.state != OrderState.PENDING_NEW:
            self._answers_due += 1
            due_ns = self.desk.now_ns + max(1, answer.after_ns)
            heapq.heappush(self._due, (due_ns, self._answers_due, happen))

    def _answer(self, order: Order, sent: Sent) -> None:
        answer = sent.answer
        if not is_open(order):
            return
        if answer.state == OrderState.REJECTED:
            self._end(order, OrderState.REJECTED)
            return
        rests = _may_rest(order) and (answer.state == OrderState.LIVE or answer.lots != 0)
        if rests:
            if order.state == OrderState.PENDING_NEW:
                order.state = OrderState.LIVE
            order.exchange_order_id = order.client_order_id
            order.acked_ns = self.desk.now_ns
            self._event(interface.on_order, _run_on_order, order)
        lots = sent.qty_lots if answer.lots is None else min(answer.lots, sent.qty_lots)
        if lots > 0:
            price_ticks = sent.price_ticks if answer.price_ticks is None else answer.price_ticks
            self._fill(order, sent, lots, price_ticks, is_maker=int(sent.time_in_force == POST_ONLY))
        if order.filled_lots == order.qty_lots:
            self._end(order, OrderState.FILLED)
        elif not rests:
            self._end(order, OrderState.CANCELLED)

    def _end(self, order: Order, state: OrderState) -> None:
        """An order that was sent has ended, and the strategy hears of it."""
        lots = open_lots(order)
        reason = RejectReason.OTHER if state == OrderState.REJECTED else RejectReason.NONE
        close_order(order, state, reason, self.desk.now_ns)
        change_open(self.desk.positions[order.instrument], order.side, -1, -lots)
        self._event(interface.on_order, _run_on_order, order)

    def _cancel_all(self, request: Any) -> None:
        """Cancel every order that is open, or those of one instrument."""
        for number, sent in enumerate(self.orders, 1):
            if request.kind == CANCEL_ALL or sent.order.instrument == request.instrument:
                self._change(request, number)

    def _change(self, request: Any, client_order_id: int) -> None:
        """Take a cancel or an amend; of an order that has ended, or is being cancelled, the engine forgets a cancel."""
        sent = self.orders[client_order_id - 1] if 0 < client_order_id <= len(self.orders) else None
        if sent is None or not is_open(sent.order):
            return
        order, is_cancel = sent.order, request.kind != AMEND_ORDER
        if is_cancel and order.state == OrderState.PENDING_CANCEL:
            return
        if not is_cancel and (order.state != OrderState.LIVE or order.amend_state == AmendState.PENDING):
            self._veto_amend(order)
            return
        terms = request.price_ticks, request.qty_lots
        kind = CANCEL_ORDER if is_cancel else AMEND_ORDER
        change = Change(kind, sent, *terms, self.desk.now_ns, self.changes_otherwise)
        if self.decide_change is not None:
            change.answer = self.decide_change(change)
        elif self.changes_answers:
            change.answer = self.changes_answers.pop(0)
        self.changes.append(change)
        if is_cancel:
            cancel_sent(order)
        elif change.answer.state == OrderState.VETOED or not _may_rest(order):
            self._veto_amend(order)
            return
        else:
            self._with_open(order, lambda: amend_sent(order, *terms))
        self._answer_later(change.answer, lambda: self._answer_change(order, change))

    def _veto_amend(self, order: Order) -> None:
        """The strategy hears at once of an amend that did not leave; afterwards `amend_state` is of one under way."""
        before = order.amend_state
        order.amend_state = AmendState.VETOED
        self._call(interface.on_order, _run_on_order, order)
        if before == AmendState.PENDING:
            order.amend_state = before

    def _with_open(self, order: Order, happen: Callable[[], None]) -> None:
        """Let something happen to an order, and book what it changes of its open lots."""
        lots = open_lots(order)
        happen()
        change_open(self.desk.positions[order.instrument], order.side, 0, open_lots(order) - lots)

    def _answer_change(self, order: Order, change: Change) -> None:
        if not is_open(order):
            return
        is_accepted = change.answer.state != OrderState.REJECTED
        if change.kind == CANCEL_ORDER:
            if is_accepted:
                self._end(order, OrderState.CANCELLED)
                return
            order.state = OrderState.LIVE if order.acked_ns != 0 else OrderState.PENDING_NEW
        else:
            self._with_open(order, lambda: self._amend(order, is_accepted))
            if order.filled_lots >= order.qty_lots:
                self._end(order, OrderState.FILLED)
                return
        self._event(interface.on_order, _run_on_order, order)

    def _amend(self, order: Order, is_accepted: bool) -> None:
        order.amend_state = AmendState.DONE if is_accepted else AmendState.REJECTED
        if is_accepted:
            order.price_ticks, order.qty_lots = order.amend_price_ticks, order.amend_lots
        else:
            order.amend_reason = RejectReason.OTHER

    def _fill(self, order: Order, sent: Sent, lots: int, price_ticks: int, is_maker: int) -> None:
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
        self._event(interface.on_fill, _run_on_fill, order, report)


def _rests(order: Order) -> bool:
    return is_open(order) and order.acked_ns != 0


def _may_rest(order: Order) -> bool:
    return order.time_in_force in (GTC, POST_ONLY)


def _whole(value: Fraction, what: str) -> int:
    if value.denominator != 1:
        raise ValueError(f"{what} is off the instrument's grid")
    return int(value)


def _array_of(struct: Struct) -> Any:
    """A struct as a pointer's target of one element."""
    return Array(struct.address, type(struct), 1, struct.memory)
