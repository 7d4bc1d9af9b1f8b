"""What the account did, as far as is known for certain: its orders, its fills, and what they add up to.

Everything that changes it is a record that went to the journal first, so an account made from the journal is the one
that was left. It never guesses: what the venue says is either new, a copy of what is known, or a `ContradictionError`,
after which nobody trades until a person has looked.

An order ends only when all its trades are known. A report that says more was filled than the trades add up to raises
`TradesMissingError`: the trades are asked for, and the report is given again.
"""

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from crosswire.venues.bridge.binance.gateway.orders.journal import Journal
from crosswire.venues.bridge.binance.gateway.orders.records import (
    Acknowledged,
    AmendAsked,
    Amended,
    AmendRefused,
    AnyRecord,
    Asked,
    Begun,
    Checked,
    Ended,
    Filled,
    Refused,
    Told,
)
from crosswire.venues.order import RejectReason
from crosswire.venues.side import sign_of

FILLS_REMEMBERED = 1 << 14  # that the engine can be told again
TRADES_REMEMBERED = 1 << 16  # trade ids that would be known for a copy or a lie
ORDERS_OPEN_MAX = 1 << 12  # as many as the engine has room for


RecordT = TypeVar("RecordT", bound=AnyRecord)


class ContradictionError(Exception):
    """The venue says what can't be true beside what is known. One line: what, and of which order."""


class TradesMissingError(Exception):
    """The venue has filled more of an order than the trades that it told of."""

    def __init__(self, client_order_id: int) -> None:
        super().__init__(f"order {client_order_id}: some of its trades were not told")
        self.client_order_id = client_order_id


@dataclass(kw_only=True)
class Order:
    """An order that has not ended. `amend`: other terms that were asked for, and nobody has answered."""

    asked: Asked
    price_ticks: int
    qty_lots: int
    amend: AmendAsked | None = None
    venue_order_id: int = 0  # 0: the venue has not said that it has it
    filled_lots: int = 0

    @property
    def leaves_lots(self) -> int:
        return self.qty_lots - self.filled_lots


@dataclass(frozen=True, kw_only=True)
class Trade:
    """One trade as the venue tells it, in the terms of the feed. `client_order_id` 0: of no order of the engine."""

    client_order_id: int
    venue_order_id: int
    trade_id: int
    instrument_id: int
    side: int
    price_ticks: int
    qty_lots: int
    fee_e9: int
    is_maker: bool
    time_ns: int
    executed_lots: int = 0  # of the order by now, this trade included; 0: not told


class Account:
    """The orders and fills of one account, and its positions by them."""

    def __init__(self, journal: Journal) -> None:
        self.orders: dict[int, Order] = {}  # by client order id, those that have not ended
        self.positions: dict[int, int] = {}  # lots by instrument id, signed
        self.last_client_order_id = 0
        self.last_execution_id = 0
        self.fills: deque[Filled] = deque(maxlen=FILLS_REMEMBERED)
        self.checked_trade_ids: dict[int, int] = {}  # by instrument id: none up to it is missing
        self._trades: dict[tuple[int, int], Filled] = {}  # by instrument id and trade id
        self._journal = journal
        self.begun_ns = 0
        for record in journal.read():
            self._apply(record)
        if self.begun_ns == 0:
            self._note(Begun(time_ns=time.time_ns()))

    def order_of(self, venue_order_id: int) -> int:
        """Find the client order id of an open order by the venue's; 0: there is none."""
        return next((each for each, order in self.orders.items() if order.venue_order_id == venue_order_id), 0)

    def known_trade(self, instrument_id: int, trade_id: int) -> Filled | None:
        """Find a trade that was told before."""
        return self._trades.get((instrument_id, trade_id))

    def check_trades(self, instrument_id: int, trade_id: int) -> None:
        """Note that all trades up to this one are known. Events don't show that: one may have been missed before."""
        if trade_id > self.checked_trade_ids.get(instrument_id, 0):
            self._note(Checked(instrument_id=instrument_id, trade_id=trade_id))

    def fills_after(self, execution_id: int, count: int) -> list[Filled]:
        """Give up to `count` fills behind the one named, oldest first, as far as they are remembered."""
        first = self.last_execution_id - len(self.fills) + 1
        start = max(0, execution_id + 1 - first)
        return list(islice(self.fills, start, start + count))

    def ask(self, asked: Asked) -> RejectReason:
        """Note that an order is about to be sent; NONE: it may be. Anything else says why it may not."""
        if asked.client_order_id <= self.last_client_order_id:
            return RejectReason.DUPLICATE_ID
        if asked.qty_lots <= 0:
            return RejectReason.BAD_QUANTITY
        if len(self.orders) == ORDERS_OPEN_MAX:
            return RejectReason.TOO_MANY_ORDERS
        self._note(asked)
        return RejectReason.NONE

    def acknowledge(self, client_order_id: int, venue_order_id: int, time_ns: int) -> list[Told]:
        """Note that the venue has an order; returns what is new to the engine."""
        order = self.orders.get(client_order_id)
        if order is None:
            return []  # it has ended, and said so before
        if order.venue_order_id == venue_order_id:
            return []
        if order.venue_order_id != 0:
            raise ContradictionError(
                f"order {client_order_id} is {order.venue_order_id} at the venue, and now {venue_order_id}"
            )
        return [self._note(Acknowledged(venue_order_id=venue_order_id, **_named(order, time_ns)))]

    def refuse(self, client_order_id: int, reason: RejectReason, time_ns: int) -> list[Told]:
        """Note that the venue refused an order; returns what is new to the engine."""
        order = self.orders.get(client_order_id)
        if order is None:
            return []
        if order.venue_order_id != 0 or order.filled_lots != 0:
            raise ContradictionError(f"order {client_order_id} was accepted, and now refused ({reason.name})")
        return [self._note(Refused(reason=reason, **_named(order, time_ns)))]

    def ask_amend(self, amend: AmendAsked) -> RejectReason:
        """Note that other terms are about to be asked for; NONE: they may be. Anything else says why they may not."""
        order = self.orders.get(amend.client_order_id)
        if order is None:
            return RejectReason.UNKNOWN_ORDER
        if order.venue_order_id == 0 or order.amend is not None:
            return RejectReason.OTHER  # not accepted yet, or an amend of it is under way
        if amend.qty_lots <= order.filled_lots:
            return RejectReason.BAD_QUANTITY
        self._note(amend)
        return RejectReason.NONE

    def refuse_amend(self, client_order_id: int, reason: RejectReason, time_ns: int) -> list[Told]:
        """Note that an order keeps its terms; returns what is new to the engine."""
        order = self.orders.get(client_order_id)
        if order is None or order.amend is None:
            return []
        return [self._note(AmendRefused(reason=reason, **_named(order, time_ns)))]

    def terms(self, client_order_id: int, price_ticks: int, qty_lots: int, time_ns: int) -> list[Told]:
        """Note the terms that the venue says an order has: if they are those asked for, that is new to the engine.

        Other terms may be those before, told late.
        """
        order = self.orders.get(client_order_id)
        if order is None or order.amend is None:
            return []
        if (price_ticks, qty_lots) != (order.amend.price_ticks, order.amend.qty_lots):
            return []
        return [self._amended(order, time_ns)]

    def _amended(self, order: Order, time_ns: int) -> Amended:
        assert order.amend is not None
        return self._note(
            Amended(
                venue_order_id=order.venue_order_id,
                price_ticks=order.amend.price_ticks,
                qty_lots=order.amend.qty_lots,
                **_named(order, time_ns),
            )
        )

    def trade(self, trade: Trade) -> list[Told]:
        """Note a trade, once; returns what is new to the engine: the acknowledgement too, if it was not told yet."""
        known = self._trades.get((trade.instrument_id, trade.trade_id))
        if known is not None:
            if not _is_copy(known, trade):
                raise ContradictionError(
                    f"trade {trade.trade_id} of instrument {trade.instrument_id} was told as {known.qty_lots} lots at"
                    f" {known.price_ticks} ticks of order {known.client_order_id}, and now as {trade.qty_lots} at"
                    f" {trade.price_ticks} of order {trade.client_order_id}"
                )
            return []
        if trade.qty_lots <= 0 or trade.price_ticks <= 0:
            raise ContradictionError(f"trade {trade.trade_id} is of {trade.qty_lots} lots at {trade.price_ticks} ticks")
        records: list[Told] = []
        if trade.client_order_id != 0:
            records = self._check_order(trade)
            records += self.acknowledge(trade.client_order_id, trade.venue_order_id, trade.time_ns)
        filled = Filled(
            client_order_id=trade.client_order_id,
            time_ns=trade.time_ns,
            execution_id=self.last_execution_id + 1,
            venue_order_id=trade.venue_order_id,
            trade_id=trade.trade_id,
            instrument_id=trade.instrument_id,
            side=trade.side,
            price_ticks=trade.price_ticks,
            qty_lots=trade.qty_lots,
            leaves_lots=self._leaves_lots(trade),
            fee_e9=trade.fee_e9,
            is_maker=trade.is_maker,
        )
        return [*records, self._note(filled)]

    def _leaves_lots(self, trade: Trade) -> int:
        order = self.orders.get(trade.client_order_id)
        return 0 if order is None else order.leaves_lots - trade.qty_lots

    def _check_order(self, trade: Trade) -> list[Told]:
        """Hold a trade against its order. What only an amended order could fill tells that it was amended."""
        order = self.orders.get(trade.client_order_id)
        if order is None:
            raise ContradictionError(f"trade {trade.trade_id} is of order {trade.client_order_id}, which has ended")
        if (trade.instrument_id, trade.side) != (order.asked.instrument_id, order.asked.side):
            raise ContradictionError(
                f"trade {trade.trade_id} is not of order {trade.client_order_id}'s instrument and side"
            )
        if trade.executed_lots > order.filled_lots + trade.qty_lots:
            raise TradesMissingError(trade.client_order_id)
        if trade.qty_lots <= order.leaves_lots:
            return []
        if order.amend is None or trade.qty_lots > order.amend.qty_lots - order.filled_lots:
            raise ContradictionError(
                f"trade {trade.trade_id} fills {trade.qty_lots} lots of order {trade.client_order_id}, of which"
                f" {order.leaves_lots} are left"
            )
        return [self._amended(order, trade.time_ns)]

    def end(
        self, client_order_id: int, venue_order_id: int, executed_lots: int, reason: RejectReason, time_ns: int
    ) -> list[Told]:
        """Note that an order lives no longer, `executed_lots` of it filled; returns what is new to the engine."""
        order = self.orders.get(client_order_id)
        if order is None:
            return []
        if executed_lots > order.filled_lots:
            raise TradesMissingError(client_order_id)
        if executed_lots < order.filled_lots:
            raise ContradictionError(
                f"order {client_order_id} ended with {executed_lots} lots filled, its trades are {order.filled_lots}"
            )
        records = self.acknowledge(client_order_id, venue_order_id, time_ns)
        ended = Ended(
            venue_order_id=order.venue_order_id,
            leaves_lots=order.leaves_lots,
            reason=reason,
            **_named(order, time_ns),
        )
        return [*records, self._note(ended)]

    def _note(self, record: RecordT) -> RecordT:
        self._journal.append(record)
        self._apply(record)
        return record

    def _apply(self, record: AnyRecord) -> None:
        if isinstance(record, Begun):
            self.begun_ns = record.time_ns
        elif isinstance(record, Asked):
            self.orders[record.client_order_id] = Order(
                asked=record, price_ticks=record.price_ticks, qty_lots=record.qty_lots
            )
            self.last_client_order_id = record.client_order_id
        elif isinstance(record, Acknowledged):
            self.orders[record.client_order_id].venue_order_id = record.venue_order_id
        elif isinstance(record, AmendAsked):
            self.orders[record.client_order_id].amend = record
        elif isinstance(record, Amended):
            order = self.orders[record.client_order_id]
            order.price_ticks, order.qty_lots, order.amend = record.price_ticks, record.qty_lots, None
        elif isinstance(record, AmendRefused):
            self.orders[record.client_order_id].amend = None
        elif isinstance(record, Checked):
            self.checked_trade_ids[record.instrument_id] = record.trade_id
        elif isinstance(record, Filled):
            self._apply_fill(record)
        else:
            del self.orders[record.client_order_id]

    def _apply_fill(self, fill: Filled) -> None:
        self.last_execution_id = fill.execution_id
        self.fills.append(fill)
        key = (fill.instrument_id, fill.trade_id)
        self._trades[key] = fill
        if len(self._trades) > TRADES_REMEMBERED:
            del self._trades[next(iter(self._trades))]
        held_lots = self.positions.get(fill.instrument_id, 0)
        self.positions[fill.instrument_id] = held_lots + sign_of(fill.side) * fill.qty_lots
        order = self.orders.get(fill.client_order_id)
        if order is None:
            return
        order.filled_lots += fill.qty_lots
        if order.leaves_lots == 0:  # whose fill says so: the venue's word that it is FILLED adds nothing
            del self.orders[fill.client_order_id]

    def open_orders(self) -> Iterator[tuple[int, Order]]:
        """Give the orders that have not ended, oldest first, those too that the venue has said nothing of."""
        return iter(sorted(self.orders.items()))


def _named(order: Order, time_ns: int) -> dict[str, int]:
    asked = order.asked
    return {
        "client_order_id": asked.client_order_id,
        "instrument_id": asked.instrument_id,
        "side": asked.side,
        "time_ns": time_ns,
    }


def _is_copy(known: Filled, trade: Trade) -> bool:
    return (known.client_order_id, known.side, known.price_ticks, known.qty_lots) == (
        trade.client_order_id,
        trade.side,
        trade.price_ticks,
        trade.qty_lots,
    )
