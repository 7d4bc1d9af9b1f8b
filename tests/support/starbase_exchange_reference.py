"""A plain-Python matching engine by Starbase's rules, of one instrument: lists and sorting, nothing clever.

What each member is told is noted as tuples, in order, as `told` makes them of the real exchange's messages.
"""

from dataclasses import dataclass, field
from typing import Any

from crosswire.venues.starbase.wire.order_codes import Template
from tests.support.starbase_exchange_client import TICK_E9, Received, lots_of

IOC, FOK = -2, -1
POST_ONLY, POST_ONLY_REJECT, MARKET = 2, 4, 8
ACTIVE, FILLED, CANCELED, QUEUED = 1, 2, 3, 4
SELF_MATCH, BY_TIME, BY_REQUEST = 1, 2, 12


@dataclass
class Resting:
    member: int
    cid: int
    side: int  # 1 buy, -1 sell
    price: int
    lots: int
    tif: int = 0
    smp: int = 0
    mode: int = 0
    is_market: bool = False
    filled: int = 0
    place: int = 0  # in time
    release: int = -1  # when the speed bump lets it go; -1: not held
    is_converted: bool = False

    @property
    def left(self) -> int:
        return self.lots - self.filled


@dataclass
class Reference:
    bump: int = 0
    held_max: int = 20
    sorts_on_accept: bool = False
    orders: list[Resting] = field(default_factory=list)  # live: resting and held
    resting: list[Resting] = field(default_factory=list)
    held: list[Resting] = field(default_factory=list)
    clock: int = 0
    count: int = 0
    said: dict[int, list[tuple[Any, ...]]] = field(default_factory=lambda: {1: [], 2: []})
    position: dict[int, int] = field(default_factory=lambda: {1: 0, 2: 0})

    def opposite(self, side: int) -> list[Resting]:
        """What an order of `side` can trade with, best first."""
        return sorted((o for o in self.resting if o.side == -side), key=lambda o: (o.price * side, o.place))

    def crosses(self, side: int, price: int) -> bool:
        against = self.opposite(side)
        return bool(against) and against[0].price * side <= price * side

    def find(self, member: int, cid: int) -> Resting | None:
        return next((o for o in self.orders if o.member == member and o.cid == cid), None)

    def end(self, order: Resting) -> None:
        self.orders.remove(order)
        if order in self.resting:
            self.resting.remove(order)

    def execute(self, order: Resting, mode: int) -> tuple[int, int, tuple[tuple[int, int], ...]]:
        """Match; (status, cancel reason, fills), and the makers' messages."""
        fills: list[tuple[int, int]] = []
        makers: dict[int, list[tuple[Any, ...]]] = {1: [], 2: []}
        lost: dict[int, list[tuple[Any, ...]]] = {1: [], 2: []}
        reason = 0
        if order.is_market and order.filled == 0:
            against = self.opposite(order.side)
            if against:
                order.price = against[0].price
            else:
                reason = BY_TIME
        within = [o for o in self.opposite(order.side) if o.price * order.side <= order.price * order.side]

        def own(maker: Resting) -> bool:
            return order.smp != 0 and maker.smp == order.smp and maker.member == order.member

        if not reason and order.tif == FOK:
            if mode == 0 and any(own(maker) for maker in within):
                first = next(place for place, maker in enumerate(within) if own(maker))
                possible = sum(maker.left for maker in within[:first])
            else:
                possible = sum(maker.left for maker in within if not own(maker))
            if possible < order.left:
                reason = BY_TIME
        if not reason:
            for maker in within:
                if order.left == 0:
                    break
                if own(maker):
                    if mode == 0:
                        reason = SELF_MATCH
                        break
                    self.end(maker)
                    lost[maker.member].append(("lost", maker.cid, maker.filled, SELF_MATCH))
                    continue
                lots = min(order.left, maker.left)
                order.filled += lots
                maker.filled += lots
                fills.append((maker.price, lots))
                self.position[order.member] += order.side * lots
                self.position[maker.member] += maker.side * lots
                makers[maker.member].append(("maker", maker.cid, maker.price, lots, maker.filled, maker.left == 0))
                if maker.left == 0:
                    self.end(maker)
        self.later = [(member, said) for notes in (makers, lost) for member in notes for said in notes[member]]
        if order.left == 0:
            self.end(order)
            return FILLED, 0, tuple(fills)
        if not reason and (order.tif < 0 or order.is_converted):
            reason = BY_TIME
        if reason:
            self.end(order)
            return CANCELED, reason, tuple(fills)
        if not self.sorts_on_accept:
            self.take_place(order)
        if order not in self.resting:
            self.resting.append(order)
        return ACTIVE, 0, tuple(fills)

    def take_place(self, order: Resting) -> None:
        self.count += 1
        order.place = self.count

    def tell(self, member: int, *said: Any) -> None:
        self.said[member].append(said)

    def tell_later(self) -> None:
        for member, said in self.later:
            self.said[member].append(said)
        self.later = []

    def hold(self, order: Resting) -> tuple[int, int, tuple[tuple[int, int], ...]]:
        order.release = self.clock + self.bump
        if order in self.resting:
            self.resting.remove(order)
        self.held.append(order)
        self.later: list[tuple[int, tuple[Any, ...]]] = []
        return QUEUED, 0, ()

    def priced(self, side: int, price: int, flags: int) -> int | None:
        """The price of a post-only order, None if it is refused."""
        if flags & (POST_ONLY | POST_ONLY_REJECT) and self.crosses(side, price):
            return None if flags & POST_ONLY_REJECT else self.opposite(side)[0].price - side
        return price

    def new(
        self, member: int, cid: int, side: int, price: int, lots: int, tif: int, flags: int, smp: int, mode: int
    ) -> None:
        if self.find(member, cid):
            return self.tell(member, "reject", cid, 4)
        if flags & (POST_ONLY | POST_ONLY_REJECT) and (tif < 0 or flags & MARKET):
            return self.tell(member, "reject", cid, 2)
        if flags & MARKET:
            if not self.opposite(side):
                return self.tell(member, "reject", cid, 24)
            price, crosses = 0, True
        else:
            allowed = self.priced(side, price, flags)
            if allowed is None:
                return self.tell(member, "reject", cid, 8)
            price = allowed
            crosses = self.crosses(side, price)
        if crosses and self.bump and sum(o.member == member for o in self.held) >= self.held_max:
            return self.tell(member, "reject", cid, 29)
        order = Resting(member, cid, side, price, lots, tif, smp, mode, bool(flags & MARKET))
        self.orders.append(order)
        if self.sorts_on_accept:
            self.take_place(order)
        status, reason, fills = self.hold(order) if crosses and self.bump else self.execute(order, mode)
        self.tell(member, "new", cid, status, reason, order.filled, order.price, order.lots, fills)
        self.tell_later()
        return None

    def amend(self, member: int, cid: int, price: int, lots: int, flags: int) -> None:
        order = self.find(member, cid)
        if order is None:
            return self.tell(member, "amend rejected", cid, 12)
        if order in self.held:
            return self.tell(member, "amend rejected", cid, 34)
        if lots <= order.filled:
            return self.tell(member, "amend rejected", cid, 5)
        if price == order.price and lots <= order.lots:
            order.lots = lots
            self.tell(member, "amended", cid, ACTIVE, 0, order.filled, order.price, lots, ())
            return None
        allowed = self.priced(order.side, price, flags)
        if allowed is None:
            return self.tell(member, "amend rejected", cid, 8)
        price = allowed
        crosses = self.crosses(order.side, price)
        if crosses and self.bump and sum(o.member == member for o in self.held) >= self.held_max:
            return self.tell(member, "amend rejected", cid, 29)
        if crosses:
            self.resting.remove(order)
        order.price, order.lots, order.is_market = price, lots, False
        if self.sorts_on_accept:
            self.take_place(order)
        status, reason, fills = self.hold(order) if crosses and self.bump else self.execute(order, order.mode)
        self.tell(member, "amended", cid, status, reason, order.filled, order.price, order.lots, fills)
        self.tell_later()
        return None

    def cancel(self, member: int, cid: int) -> None:
        order = self.find(member, cid)
        if order is None:
            return self.tell(member, "cancel rejected", cid, 1)
        if order in self.held:
            if order.tif < 0 or order.is_converted:
                return self.tell(member, "cancel rejected", cid, 7)
            order.is_converted = True
            return self.tell(member, "cancel rejected", cid, 8)
        self.end(order)
        return self.tell(member, "cancelled", cid, order.lots, order.filled)

    def wait(self, span: int) -> None:
        """Time passes; held orders whose time is over come out, earliest first."""
        self.clock += span
        while self.held:
            order = min(self.held, key=lambda o: o.release)
            if order.release > self.clock:
                return
            self.held.remove(order)
            order.release = -1
            status, reason, fills = self.execute(order, 1)
            if order.is_converted and not fills:
                self.tell(order.member, "lost", order.cid, order.filled, BY_REQUEST)
            else:
                said = (order.cid, status, reason, order.filled, order.price, order.lots, fills)
                self.tell(order.member, "placed", *said)
            self.tell_later()

    def book(self) -> dict[int, list[tuple[int, int]]]:
        """side (0 bid) -> (price, lots) by price and time."""
        return {side: [(o.price, o.left) for o in self.opposite(-1 if side == 0 else 1)] for side in (0, 1)}


def told(message: Received) -> list[tuple[Any, ...]]:
    """A message of the real exchange as the reference notes it."""
    kinds = {
        Template.NEW_ORDER_RESPONSE: "new",
        Template.AMEND_ORDER_RESPONSE: "amended",
        Template.ORDER_PLACED: "placed",
        Template.NEW_ORDER_REJECT: "reject",
        Template.AMEND_ORDER_REJECT: "amend rejected",
        Template.CANCEL_ORDER_REJECT: "cancel rejected",
    }
    fields, template = message.fields, Template(message.template)
    if template in (Template.NEW_ORDER_RESPONSE, Template.AMEND_ORDER_RESPONSE, Template.ORDER_PLACED):
        fills = tuple((f["fill_price_e9"] // TICK_E9, lots_of(f["fill_quantity"])) for f in message.groups["fills"])
        terms = (fields["price_e9"] // TICK_E9, lots_of(fields["quantity"]), fills)
        state = (fields["status"], fields["cancel_reason"], lots_of(fields["total_filled"]))
        return [(kinds[template], fields["client_order_id"], *state, *terms)]
    if template in kinds:
        return [(kinds[template], fields["client_order_id"], fields["reason"])]
    if template == Template.CANCEL_ORDER_RESPONSE:
        done = lots_of(fields["quantity"]), lots_of(fields["total_filled"])
        return [("cancelled", fields["client_order_id"], *done)]
    if template == Template.ORDER_FILLED:
        return [
            ("maker", f["client_order_id"], f["price_e9"] // TICK_E9, lots_of(f["fill_quantity"]),
             lots_of(f["total_filled"]), bool(f["flags"] & 2))
            for f in message.groups["fills"]
        ]  # fmt: skip
    assert template == Template.ORDERS_CANCELED, message
    return [
        ("lost", o["client_order_id"], lots_of(o["total_filled"]), o["cancel_reason"]) for o in message.groups["orders"]
    ]
