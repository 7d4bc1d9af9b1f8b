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

A mass quote is one request, and two orders that replace those of the last one:

    harness.quotes_answers = [rest(), (reject(), rest())]  # to a quote as a whole, or to its bid and its ask
    harness.set_book(...)
    quote = harness.quotes[-1]
    harness.fill(quote.bid, lots=3)

`unsupported={"b": {QUOTE}}` is for a venue that can't do it: the engine vetoes what is asked of it.
"""

import heapq
from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from functools import reduce
from typing import Any

import msgspec

from crosswire.engine.testing.answers import Sent
from crosswire.engine.testing.calls import (
    ON_BOOK,
    ON_BOOK_LOST,
    ON_FINISH,
    ON_FLATTENED,
    ON_NAMED_TIMER,
    ON_PARAMETERS,
    ON_TIMER,
    ON_TRADE,
)
from crosswire.engine.testing.instruments import Number, exact, whole
from crosswire.engine.testing.orders import Orders
from crosswire.nic.journal.files import MemoryJournal, make_journal
from crosswire.nic.journal.reader import read_memory
from crosswire.nic.memory.struct import Array, Struct, copy_struct
from crosswire.nic.rings.ring import NEVER_NS
from crosswire.risk.position import Position
from crosswire.risk.records import KINDS, LOG_VALUES, VERSION, RecordKind
from crosswire.strategies import interface
from crosswire.strategies.desk import Desk, clear_timers, take_first_timer
from crosswire.strategies.messages import message_text
from crosswire.strategies.parameters import declared_parameters
from crosswire.venues.book.book import clear_book, make_books, refresh_top, set_level
from crosswire.venues.instrument import E9, Instrument
from crosswire.venues.money.terms import HoldingTerms
from crosswire.venues.order import Order, OrderState, is_open
from crosswire.venues.side import ASK, BID, BUY, SELL

START_NS = 1_700_000_000_000_000_000
# What every leg strategy must be told; a test says what else matters to it.
LEG_PARAMETERS: dict[str, Any] = {"threshold_bps": 1, "size_max": 1, "unwind_loss_max_bps": 50}


class Harness(Orders):
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
        unsupported: Mapping[str, Collection[int]] | None = None,  # AMEND_ORDER, QUOTE, CANCEL_BY_ID
    ) -> None:
        super().__init__(list(instruments), compiled, unsupported or {})
        self.step_ns = step_ns
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
        self._event(ON_BOOK, self.index(name))

    def set_book_ticks(self, name: str, bids: Iterable[tuple[int, int]], asks: Iterable[tuple[int, int]]) -> None:
        """As `set_book`, in ticks and lots."""
        self._change_book(name, bids, asks)
        self._event(ON_BOOK, self.index(name))

    def change_book(
        self, name: str, bids: Iterable[tuple[Number, Number]] = (), asks: Iterable[tuple[Number, Number]] = ()
    ) -> None:
        """As `set_book`, but the strategy is not told yet."""
        self._change_book(name, *([self._level(name, *each) for each in side] for side in (bids, asks)))

    def _level(self, name: str, price: Number, size: Number) -> tuple[int, int]:
        lot_e9 = self.desk.instruments[self.index(name)].lot_e9
        return self.ticks(name, price), whole(exact(size) * E9 / lot_e9, f"size {size}")

    def _change_book(self, name: str, bids: Iterable[tuple[int, int]], asks: Iterable[tuple[int, int]]) -> None:
        sides = ((BID, list(bids)), (ASK, list(asks)))
        for _, levels in sides:
            _check_levels(name, levels)
        self.advance(self.step_ns)
        book = self.desk.books[self.index(name)]
        clear_book(book)
        for side, levels in sides:
            for price_ticks, lots in levels:
                set_level(book, side, price_ticks, lots)
        refresh_top(book)
        given, kept = sum(len(levels) for _, levels in sides), book.bid_levels + book.ask_levels
        if kept < given:
            raise ValueError(f"a book of {name}: {kept} of {given} levels have room: Harness(levels=...)")
        book.valid = 1
        book.receive_time_ns = self.desk.now_ns
        book.exchange_time_ns = self.desk.now_ns
        self.desk.trigger_ns = self.desk.now_ns

    def lose_book(self, name: str) -> None:
        """A gap: the book is no longer proven."""
        self.advance(self.step_ns)
        self.desk.books[self.index(name)].valid = 0
        self._event(ON_BOOK_LOST, self.index(name))

    def trade(self, name: str, side: int, price: Number, lots: int) -> None:
        """The market trades."""
        self.trade_ticks(name, side, self.ticks(name, price), lots)

    def trade_ticks(self, name: str, side: int, price_ticks: int, lots: int) -> None:
        """As `trade`, at a price in ticks."""
        if lots <= 0 or side not in (BUY, SELL):
            raise ValueError(f"a trade of {name}: {lots} lots of side {side}: more than 0 of BUY or SELL")
        self.advance(self.step_ns)
        self.desk.trigger_ns = self.desk.now_ns
        self._event(ON_TRADE, self.index(name), side, price_ticks, lots)

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
        self._fill(sent, lots, order.price_ticks if price_ticks is None else price_ticks, is_maker=1)
        if order.filled_lots == order.qty_lots:
            self._end(order, OrderState.FILLED)

    def advance(self, duration_ns: int) -> None:
        """Let time pass; answers and timers happen at their time."""
        if duration_ns < 0:
            raise ValueError(f"{duration_ns} ns: time does not go back")
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
                self._event(ON_TIMER)
            else:
                self._event(ON_NAMED_TIMER, take_first_timer(self.desk))
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
            setattr(owner, field_name, whole(exact(value) / Fraction(parameter.step), f"{name} = {value}"))
        self._event(ON_PARAMETERS)

    def flatten(self) -> None:
        """An operator has everything that rests cancelled and all positions traded away; the strategy is told.

        What it asks for meanwhile is vetoed. An order that nobody has answered yet is answered as it would be.
        """
        self._is_flattening = True
        for sent in list(self.orders):
            if _rests(sent.order):
                self._end(sent.order, OrderState.CANCELLED)
        for position in self.desk.positions:
            position.position_lots = 0
        self._is_flattening = False
        self._event(ON_FLATTENED)

    def finish(self) -> None:
        """The run ends."""
        self._call(ON_FINISH)

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
        self.index(name)  # which refuses what there is not
        return [sent for sent in self.orders if sent.name == name and _rests(sent.order)]

    def position_lots(self, name: str) -> int:
        """What is held."""
        return int(self.desk.positions[self.index(name)].position_lots)

    def index(self, name: str) -> int:
        """Market index. ValueError: there is no such instrument."""
        if name not in self.names:
            raise ValueError(f"{name!r} is none of the instruments: {', '.join(self.names)}")
        return self.names.index(name)

    def ticks(self, name: str, price: Number) -> int:
        """A price in ticks; it must be on the grid."""
        return whole(exact(price) * E9 / self.desk.instruments[self.index(name)].tick_e9, f"price {price}")


def _check_levels(name: str, levels: list[tuple[int, int]]) -> None:
    """Refuse what can be no side of a book. A book whose sides cross can be one, for a moment."""
    if len({price_ticks for price_ticks, _ in levels}) < len(levels):
        raise ValueError(f"a book of {name}: a price stands twice on one side")
    if wrong := [lots for _, lots in levels if lots <= 0]:
        raise ValueError(f"a book of {name}: a level of {wrong[0]} lots: must be more than 0")


def _rests(order: Order) -> bool:
    return is_open(order) and order.acked_ns != 0


def _array_of(struct: Struct) -> Any:
    """A struct as a pointer's target of one element."""
    return Array(struct.address, type(struct), 1, struct.memory)
