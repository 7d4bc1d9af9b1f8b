"""A strategy on a desk of its own: books set by hand, an exchange that answers as told, and everything it did at hand.

    harness = Harness(CrossSpread, {"instruments": ["a", "b"], ...}, {"a": linear(), "b": inverse()})
    harness.answers = [fill(), miss()]              # to the next orders, in the order they are sent
    harness.set_book("a", bids=[(100, 1)], asks=[(101, 1)])
    harness.set_book("b", bids=[(103, 500)], asks=[(104, 500)])
    assert [order.side for order in harness.orders] == [BUY, SELL]

Each `set_book` is one packet: `step_ns` pass, on_book runs, its requests are sent and answered. Answers may come later
(`fill(after_ns=...)`); `advance` lets time pass, with the answers and timers that are due. Set CROSSWIRE_NO_JIT=1 to
step through the strategy in a debugger; nothing is compiled then, so that tests start at once.
"""

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec

from crosswire.nic.journal.files import MemoryJournal, make_journal
from crosswire.nic.journal.reader import read_memory
from crosswire.nic.memory.struct import Array, Struct, size_of
from crosswire.nic.rings.ring import NEVER_NS
from crosswire.nic.unit.compile import compiled
from crosswire.risk.position import Position, add_fill, change_open
from crosswire.risk.records import KINDS, VERSION, RecordKind
from crosswire.strategies import interface
from crosswire.strategies.desk import NEW_ORDER, Desk
from crosswire.venues.book.book import clear_book, make_books, refresh_top, set_level
from crosswire.venues.instrument import E9, Instrument, Kind, Payoff, fee_e9
from crosswire.venues.money.terms import HoldingTerms
from crosswire.venues.order import Order, OrderState, Report, ReportKind
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
def _run_on_finish(strategy: interface.Strategy, desk: Desk) -> None:
    interface.on_finish(strategy, desk)


@compiled
def _run_catch_up(strategy: interface.Strategy, desk: Desk) -> None:
    interface.catch_up_if_due(strategy, desk)


def exact(number: Number) -> Fraction:
    """A number as it is written: 0.1 is one tenth."""
    return Fraction(str(number)) if isinstance(number, float) else Fraction(number)


def linear(
    tick: Number = "0.1", lot: Number = "0.001", taker_fee_bps: Number = 5, kind: Kind = Kind.PERPETUAL
) -> Instrument:
    """A linear instrument; the lot is in the base coin."""
    return _instrument(Payoff.LINEAR, kind, tick, lot, taker_fee_bps)


def inverse(tick: Number = "0.5", lot: Number = 10, taker_fee_bps: Number = 5) -> Instrument:
    """An inverse perpetual; the lot is in the quote currency."""
    return _instrument(Payoff.INVERSE, Kind.PERPETUAL, tick, lot, taker_fee_bps)


def _instrument(payoff: Payoff, kind: Kind, tick: Number, lot: Number, taker_fee_bps: Number) -> Instrument:
    tick_e9, lot_e9 = int(exact(tick) * E9), int(exact(lot) * E9)
    return Instrument(
        kind=kind,
        payoff=payoff,
        tick_e9=tick_e9,
        lot_e9=lot_e9,
        tick_lot_e9=0 if payoff == Payoff.INVERSE else tick_e9 * lot_e9 // E9,
        contract_e9=lot_e9,
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
    """The risk gate refuses the order."""
    return Answer(OrderState.VETOED)


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

    @property
    def filled_lots(self) -> int:
        return sum(lots for _, lots in self.fills)


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
        self.decide: Callable[[Sent], Answer] | None = None  # instead of `answers`
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        count = len(instruments)
        self.desk = Desk(now_ns=START_NS, timer_ns=NEVER_NS, instrument_count=count)
        self.desk.instruments = Instrument.array(count)
        self.desk.books = make_books(count, levels)
        self.desk.positions = Position.array(count)
        journal = make_journal()
        self.kept = MemoryJournal(journal)
        self.desk.journal = _array_of(journal)
        for index, given in enumerate(instruments.values()):
            _copy(self.desk.instruments[index], given)
            self.desk.instruments[index].index = index
            self.desk.instruments[index].venue = index
        context = interface.BuildContext(
            list(self.desk.instruments)[:count],
            {name: index for index, name in enumerate(instruments)},
            holding=holding or {},
        )
        converted = msgspec.convert(parameters, interface.parameters_of(strategy_class), strict=False)
        self.strategy: Any = interface.make_strategy(strategy_class, converted, context)

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
        self._event(interface.on_trade, _run_on_trade, self.index(name), side, price_ticks, lots)

    def advance(self, duration_ns: int) -> None:
        """Let time pass; answers and timers happen at their time."""
        until_ns = self.desk.now_ns + duration_ns
        while True:
            answer_ns = self._due[0][0] if self._due else NEVER_NS
            due_ns = min(answer_ns, self.desk.timer_ns)
            if due_ns > until_ns:
                break
            self.desk.now_ns = max(self.desk.now_ns, due_ns)
            if answer_ns <= self.desk.timer_ns:
                heapq.heappop(self._due)[2]()
            else:
                self.desk.timer_ns = NEVER_NS
                self._event(interface.on_timer, _run_on_timer)
        self.desk.now_ns = until_ns

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

    def _rows(self, kind: RecordKind) -> list[dict[str, int]]:
        cls = KINDS[kind]
        return [
            dict(zip(cls.fields, map(int, row), strict=True))
            for batch in read_memory(self.kept).batches()
            for row in batch.of(kind, cls, VERSION)
        ]

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
            assert request.kind == NEW_ORDER, "the harness takes new orders only"
            self._send(request)
        self.desk.request_count = 0
        self._catch_up()

    def _catch_up(self) -> None:
        (_run_catch_up if self.compiled else interface.catch_up_if_due)(self.strategy, self.desk)

    def _send(self, request: Any) -> None:
        terms = {name: getattr(request, name) for name in ORDER_TERMS}
        sent = Sent(name=self.names[request.instrument], sent_ns=self.desk.now_ns, answer=self.otherwise, **terms)
        if self.decide is not None:
            sent.answer = self.decide(sent)
        elif self.answers:
            sent.answer = self.answers.pop(0)
        self.orders.append(sent)
        order = Order(
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
        due_ns = self.desk.now_ns + max(1, sent.answer.after_ns)
        heapq.heappush(self._due, (due_ns, len(self.orders), lambda: self._answer(order, sent)))

    def _answer(self, order: Order, sent: Sent) -> None:
        answer = sent.answer
        lots = 0
        if answer.state == OrderState.FILLED:
            lots = sent.qty_lots if answer.lots is None else min(answer.lots, sent.qty_lots)
        if lots > 0:
            self._fill(order, sent, lots)
        change_open(self.desk.positions[order.instrument], order.side, -1, lots - order.qty_lots)
        if lots == sent.qty_lots:
            order.state = OrderState.FILLED
        else:
            order.state = OrderState.REJECTED if answer.state == OrderState.REJECTED else OrderState.CANCELLED
        order.closed_ns = self.desk.now_ns
        self._event(interface.on_order, _run_on_order, order)

    def _fill(self, order: Order, sent: Sent, lots: int) -> None:
        instrument = self.desk.instruments[order.instrument]
        price_ticks = sent.price_ticks if sent.answer.price_ticks is None else sent.answer.price_ticks
        fee = fee_e9(instrument, price_ticks, lots, 0)
        sent.fills.append((price_ticks, lots))
        order.filled_lots += lots
        order.filled_tick_lots += price_ticks * lots
        order.fees_e9 += fee
        position = self.desk.positions[order.instrument]
        change_open(position, order.side, 0, -lots)
        add_fill(position, instrument, order.side, price_ticks, lots, fee)
        report = Report(
            kind=ReportKind.FILL,
            venue=order.venue,
            client_order_id=order.client_order_id,
            execution_id=len(self.orders),
            instrument=order.instrument,
            side=order.side,
            price_ticks=price_ticks,
            qty_lots=lots,
            leaves_lots=order.qty_lots - order.filled_lots,
            filled_lots=order.filled_lots,
            fee_e9=fee,
            exchange_time_ns=self.desk.now_ns,
        )
        self._event(interface.on_fill, _run_on_fill, order, report)


def _whole(value: Fraction, what: str) -> int:
    if value.denominator != 1:
        raise ValueError(f"{what} is off the instrument's grid")
    return int(value)


def _array_of(struct: Struct) -> Any:
    """A struct as a pointer's target of one element."""
    return Array(struct.address, type(struct), 1, struct.memory)


def _copy(destination: Struct, source: Struct) -> None:
    assert size_of(type(destination)) == size_of(type(source))
    for name, described in type(source).fields.items():
        if described.is_scalar:
            setattr(destination, name, getattr(source, name))
