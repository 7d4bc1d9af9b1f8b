"""What a strategy has asked for, and what it is answered."""

from dataclasses import dataclass, field

from crosswire.venues.order import TIMES_IN_FORCE, Order, OrderState, RejectReason
from crosswire.venues.side import BUY, SELL


@dataclass(frozen=True)
class Answer:
    """What becomes of one order: `lots` are filled (None: all) at `price_ticks` (None: its limit), the rest not."""

    state: OrderState = OrderState.FILLED
    lots: int | None = None
    price_ticks: int | None = None
    after_ns: int = 0
    reason: int = RejectReason.NONE  # of a refusal; of a veto the gate's own, `crosswire.risk.gate.Veto`

    def __post_init__(self) -> None:
        if min(self.after_ns, self.lots or 0) < 0:
            raise ValueError(f"an answer of {self.lots} lots after {self.after_ns} ns: neither is below 0")


# One answer is to a mass quote as a whole; two are to its bid and to its ask.
QuoteAnswer = Answer | tuple[Answer, Answer]


def fill(lots: int | None = None, price_ticks: int | None = None, after_ns: int = 0) -> Answer:
    """Fill the order, or `lots` of it at most."""
    return Answer(OrderState.FILLED, lots, price_ticks, after_ns)


def miss(after_ns: int = 0) -> Answer:
    """Nothing is filled: the level was gone."""
    return Answer(OrderState.FILLED, 0, None, after_ns)


def reject(after_ns: int = 0, reason: int = RejectReason.OTHER) -> Answer:
    """The venue refuses the order.

    A mass quote that is refused as a whole replaces nothing. A side that is refused by itself takes the quote that it
    was to replace with it.
    """
    return Answer(OrderState.REJECTED, after_ns=after_ns, reason=reason)


def veto(reason: int = 0) -> Answer:
    """The risk gate refuses the order, the amend, or both sides of a quote."""
    return Answer(OrderState.VETOED, reason=reason)


def rest(after_ns: int = 0) -> Answer:
    """The order is acknowledged and rests."""
    return Answer(OrderState.LIVE, 0, None, after_ns)


def accept(after_ns: int = 0) -> Answer:
    """The venue does as a cancel or an amend asks."""
    return Answer(OrderState.CANCELLED, after_ns=after_ns)


def refuse(after_ns: int = 0, reason: int = RejectReason.OTHER) -> Answer:
    """The venue refuses a cancel or an amend: the order is as it was."""
    return Answer(OrderState.REJECTED, after_ns=after_ns, reason=reason)


def ignore() -> Answer:
    """Nobody ever answers: an order, a mass quote, a cancel or an amend."""
    return Answer(OrderState.PENDING_NEW)


@dataclass
class Sent:
    """One order, or one side of a quote, as the strategy asked for it, and what became of it."""

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

    @property
    def is_of_known_kind(self) -> bool:
        """Whether there are such a side and such a time in force."""
        return self.side in (BUY, SELL) and 0 <= self.time_in_force < TIMES_IN_FORCE


@dataclass
class SentQuote:
    """A mass quote as the strategy asked for it. Each side is an order, too, with an id of its own."""

    quote_id: int  # counts up from 1; 0: it never left the engine
    name: str
    instrument: int
    bid: Sent
    ask: Sent
    sent_ns: int
    answer: QuoteAnswer

    @property
    def sides(self) -> tuple[Sent, Sent]:
        return self.bid, self.ask


@dataclass
class Change:
    """A cancel or an amend as the strategy asked for it."""

    kind: int  # CANCEL_ORDER, CANCEL_BY_ID or AMEND_ORDER
    sent: Sent  # the order that it is of; of one that is not known here, its instrument and `order.exchange_order_id`
    price_ticks: int  # 0 of a cancel
    qty_lots: int
    asked_ns: int  # of the cancel of a quote that was not answered yet: when it left
    answer: Answer
