"""Two exchanges in one, in plain Python: hftbacktest's and ours, and every step between them.

`Rules` says in what they differ, rule by rule. With none it fills as hftbacktest 2.4.4 does, with all as
`venues/exchange` does; between the two stands, for every fill that differs, the rule that makes the difference. It
shares no line with either: it is written from docs/simulation.md and from what hftbacktest's documentation and source
say of PartialFillExchange, RiskAdverseQueueModel and PowerProbQueueFunc.
"""

import math
from dataclasses import dataclass, field, fields

from tests.truth.plain_exchange import (
    BEST_BID_ASK,
    BOOK_DELTA,
    BUY,
    SNAPSHOT_TEMPLATE,
    TRADE_TEMPLATE,
    Message,
    Packet,
    is_better,
)

DECREASES_MAX = 8
Fill = tuple[int, int, int, int]  # id, price in ticks, lots, exchange time


@dataclass(frozen=True)
class Rules:
    """What ours does and hftbacktest does not, in the order in which they are put on."""

    tells_every_level: bool = False  # an order that takes tells every level's fill, not the last one's alone
    sees_whole_messages: bool = False  # a message changes the book at once, not price by price
    uses_quotes: bool = False  # best bid/ask messages that are newer than the depth overlay it
    remembers_taken: bool = False  # what was taken stays taken
    crosses_up_to_size: bool = False  # who comes to our price or through it brings what is shown there, no more
    trades_through_up_to_size: bool = False  # a trade through our price fills up to its size, best and earliest first
    counts_either_side: bool = False  # nor could a buyer have bought below our bid, so such a trade fills it too
    ignores_earlier_trades: bool = False  # a trade made before the order came, told after, is not its
    counts_late_trades_once: bool = False  # a trade told after the book change that it made
    shares_trades: bool = False  # orders of ours at one price share what reaches them
    ends_exact_fills: bool = False  # an order that a trade fills to the last lot is gone, and can't be hit again
    empties_queues_at_most: bool = False  # nothing is ahead of us at least, and nothing behind
    keeps_parts_of_lots: bool = False  # a part of a lot that reaches us is nobody's: no rounding to the nearest


RULES = tuple(each.name for each in fields(Rules))


def ladder() -> list[Rules]:
    """All steps from hftbacktest's rules to ours, one rule more in each."""
    return [Rules(**dict.fromkeys(RULES[:count], True)) for count in range(len(RULES) + 1)]


@dataclass
class Decrease:
    time_ns: int
    shown: int
    now: int
    traded: int
    front: float
    left: float
    late: int = 0


@dataclass
class Own:
    """One of our orders; `takes`: IOC, else post-only."""

    number: int
    side: int
    price: int
    lots: int
    takes: bool
    front: float = 0.0
    traded: int = 0  # at the price since the level changed last
    traded_ns: int = 0
    shown: int = 0
    shown_ns: int = 0
    joined_ns: int = 0
    quantity: float = 0.0  # what `lots` are, as hftbacktest counts them
    is_ghost: bool = False  # filled, and still there
    decreases: list[Decrease] = field(default_factory=list)


@dataclass
class Exchange:
    rules: Rules
    power: int  # of PowerProbQueueFunc; 0: the risk-averse model
    lot: float
    levels: tuple[dict[int, int], dict[int, int]] = field(default_factory=lambda: ({}, {}))
    best: list[int | None] = field(default_factory=lambda: [None, None])
    last_id: int = 0
    is_whole: bool = False
    quote_id: int = 0
    quote: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
    book_ns: int = 0  # by the messages' own times
    now_ns: int = 0
    taken: dict[tuple[int, int], int] = field(default_factory=dict)
    resting: list[Own] = field(default_factory=list)
    fills: list[Fill] = field(default_factory=list)
    errors: list[tuple[int, int]] = field(default_factory=list)  # id and time: what hftbacktest ends with an error at

    # -- what the market does

    def apply(self, packet: Packet, now_ns: int) -> None:
        self.now_ns = now_ns
        for message in packet.messages:
            if message.template == TRADE_TEMPLATE:
                self._on_trade(message)
            elif message.template == BEST_BID_ASK:
                self._on_quote(message)
            elif message.template in (SNAPSHOT_TEMPLATE, BOOK_DELTA):
                self._on_levels(message, packet.ends_event)

    def _on_levels(self, message: Message, ends_event: bool) -> None:
        if message.template == SNAPSHOT_TEMPLATE:
            self.last_id = message.fields[2]
        elif self.last_id == 0 or message.fields[3] <= self.last_id:
            return
        elif ends_event:
            self.last_id = message.fields[3]
        self.is_whole = ends_event
        for side, changes in enumerate(message.sides):
            for price, lots in changes:
                self._set_level(side, price, lots)
        if ends_event:
            self.book_ns = message.fields[1]
            self._look(self.book_ns)

    def _set_level(self, side: int, price: int, lots: int) -> None:
        self._market_shows(side, price, lots)
        levels, before = self.levels[side], self.best[side]
        shown = levels.get(price, 0)
        if lots:
            levels[price] = lots
            if before is None or is_better(side, price, before):
                self._set_best(side, price)
        elif levels.pop(price, None) is not None and price == before:
            self.best[side] = self._level_behind(side, price)
        if not self.rules.sees_whole_messages:
            for own in self.resting:
                if own.side == side and own.price == price:
                    own.shown = shown
                    self._see_level(own, lots, 0)
            best = self.best[side]
            if best is not None and (before is None or is_better(side, best, before)):
                self._cross(side)

    def _set_best(self, side: int, price: int) -> None:
        """A best price that meets the other side's pushes that one's back: what is there is out of date."""
        self.best[side] = price
        other = self.best[1 - side]
        if self.rules.sees_whole_messages:
            return
        if other is not None and not is_better(side, other, price):
            self.best[1 - side] = self._level_behind(1 - side, price)

    def _level_behind(self, side: int, price: int) -> int | None:
        behind = [each for each in self.levels[side] if is_better(side, price, each)]
        return (max(behind) if side == BUY else min(behind)) if behind else None

    def _on_quote(self, message: Message) -> None:
        _, time_ns, update_id, bid, bid_lots, ask, ask_lots = message.fields
        if not self.rules.uses_quotes or not self.is_whole:
            return
        before = self._top()
        if update_id >= self.quote_id:
            self.quote_id, self.quote = update_id, ((bid, bid_lots), (ask, ask_lots))
            if self._has_fresh_quote():
                for side, (price, lots) in enumerate(self.quote):
                    for key in [key for key in self.taken if key[0] == side and is_better(side, key[1], price)]:
                        del self.taken[key]
                    self._market_shows(side, price, lots)
        if self._top() != before:
            self.book_ns = time_ns
            self._look(time_ns)

    def _top(self) -> tuple[tuple[int | None, int], ...]:
        if self._has_fresh_quote():
            return self.quote
        return tuple((best, self.levels[side].get(best or 0, 0)) for side, best in enumerate(self.best))

    def _look(self, time_ns: int) -> None:
        """Let our orders see the book after a whole message."""
        if not self.rules.sees_whole_messages:
            return
        for own in self.resting:
            self._see_level(own, self.shown_at(own.side, own.price), min(time_ns, self.now_ns))
            self._cross_own(own, 1 - own.side)
        self._clear()

    def _has_fresh_quote(self) -> bool:
        return self.rules.uses_quotes and self.quote_id > self.last_id

    def _market_shows(self, side: int, price: int, lots: int) -> None:
        if (side, price) in self.taken:
            self.taken[side, price] = min(self.taken[side, price], lots)

    def shown_at(self, side: int, price: int) -> int:
        """What can be traded with at a price."""
        lots = self.levels[side].get(price, 0)
        if self._has_fresh_quote():
            best, quoted = self.quote[side]
            lots = quoted if price == best else 0 if is_better(side, price, best) else lots
        return max(0, lots - self.taken.get((side, price), 0))

    def best_of(self, side: int) -> int | None:
        if self._has_fresh_quote():
            return self.quote[side][0]
        return self.best[side]

    def reached(self, side: int, limit: int) -> range:
        """The prices of a side, best first, that an order of the other one may trade at."""
        best = self.best_of(side)
        if best is None or is_better(side, limit, best):
            return range(0)
        return range(best, limit - 1, -1) if side == BUY else range(best, limit + 1)

    # -- what reaches our orders

    def _on_trade(self, message: Message) -> None:
        _, time_ns, _, price, lots, aggressor = message.fields
        left, ours = lots, 0
        mine = [own for own in self.resting if own.side != aggressor or self.rules.counts_either_side]
        if self.rules.ignores_earlier_trades:
            mine = [own for own in mine if time_ns >= own.joined_ns]
        for own in sorted(mine, key=lambda own: -own.price if own.side == BUY else own.price):
            if not is_better(own.side, own.price, price):
                continue
            part = min(own.lots, left) if self.rules.trades_through_up_to_size else own.lots
            if part or own.is_ghost:
                self._fill(own, own.price, part)
                left -= part if self.rules.trades_through_up_to_size else 0
        for own in mine:
            if own.price == price and own.side != aggressor:
                part = self._see_trade(own, left, time_ns) - (ours if self.rules.shares_trades else 0)
                if part > 0:
                    filled = min(part, own.lots)
                    ours += filled
                    is_over = part * self.lot > own.quantity  # by rounding too, where it is neither more nor less
                    self._fill(own, price, filled)
                    own.is_ghost = own.lots == 0 and not is_over and not self.rules.ends_exact_fills
        self._clear()

    def _see_trade(self, own: Own, lots: int, time_ns: int) -> int:
        left, reached = lots, 0.0
        if self.rules.counts_late_trades_once and time_ns <= own.shown_ns:
            for decrease in own.decreases:
                part = min(left, decrease.shown - decrease.now - decrease.traded)
                if part > 0 and decrease.time_ns >= time_ns:
                    left -= part
                    reached += self._explain(own, decrease, part)
        else:
            own.traded += left
            own.traded_ns = max(own.traded_ns, time_ns)
        own.front -= left
        if self.rules.keeps_parts_of_lots:
            if own.front < 0:
                reached -= own.front
                own.front = 0.0
            return min(lots, math.floor(reached))
        executed = reached + max(0.0, -own.front)
        whole = math.floor(executed + 0.5)
        if whole > 0:
            own.front = max(0.0, own.front)
            return whole
        return 0

    def _explain(self, own: Own, decrease: Decrease, lots: int) -> float:
        before = max(0.0, decrease.late - decrease.front)
        decrease.late += lots
        decrease.traded += lots
        front = decrease.front - decrease.late
        left = self._front_after(max(0.0, front), decrease.shown, decrease.now, decrease.traded)
        own.front = max(0.0, own.front + left - decrease.left)
        decrease.left = left
        return max(0.0, -front) - before

    def _see_level(self, own: Own, now: int, time_ns: int) -> None:
        own.shown_ns = max(own.shown_ns, time_ns)
        later = 0
        if self.rules.counts_late_trades_once and time_ns < own.traded_ns:
            later = max(0, own.traded - max(0, own.shown - now))
        if self.rules.sees_whole_messages and now == own.shown and own.traded == later:
            return
        traded, front = own.traded - later, own.front + later
        left = self._front_after(front, own.shown, now, traded)
        if self.rules.counts_late_trades_once and own.shown - now > traded:
            own.decreases.append(Decrease(time_ns, own.shown, now, traded, front, left))
            del own.decreases[:-DECREASES_MAX]
        own.front, own.shown, own.traded = max(0.0, left - later) if later else left, now, later

    def _front_after(self, front: float, shown: int, now: int, traded: int) -> float:
        cancelled = shown - now - traded
        if cancelled > 0 and self.power:
            back = shown - front
            if self.rules.empties_queues_at_most:
                back = max(0.0, back)
            ahead, behind = front**self.power, back**self.power
            share = behind / (behind + ahead) if behind + ahead else math.nan
            front = front - (1.0 - share) * cancelled + min(0.0, back - share * cancelled)
        front = min(front, float(now))
        return max(0.0, front) if self.rules.empties_queues_at_most else front

    def _cross(self, side: int) -> None:
        """Fill our orders that the best price of the other side has come to."""
        for own in self.resting:
            if own.side != side:
                self._cross_own(own, side)
        self._clear()

    def _cross_own(self, own: Own, side: int) -> None:
        if self.rules.crosses_up_to_size and not own.is_ghost:
            for price in self.reached(side, own.price):
                part = min(own.lots, self.shown_at(side, price))
                if part:
                    self._take(side, price, part)
                    self._fill(own, own.price, part, joins=True)
        elif self.reached(side, own.price):
            self._fill(own, own.price, own.lots)

    def _take(self, side: int, price: int, lots: int) -> None:
        if self.rules.remembers_taken:
            self.taken[side, price] = self.taken.get((side, price), 0) + lots

    def _fill(self, own: Own, price: int, lots: int, *, joins: bool = False) -> None:
        """Note a fill; with `joins` it is one with that of the same order, price and time before."""
        if own.is_ghost:
            own.is_ghost = False
            self.errors.append((own.number, self.now_ns))
            return
        own.lots -= lots
        own.quantity -= lots * self.lot
        last = self.fills[-1] if self.fills else None
        if joins and last is not None and (last[0], last[1], last[3]) == (own.number, price, self.now_ns):
            self.fills[-1] = (own.number, price, last[2] + lots, self.now_ns)
        else:
            self.fills.append((own.number, price, lots, self.now_ns))

    def _clear(self) -> None:
        if any(own.lots == 0 and not own.is_ghost for own in self.resting):
            self.resting = [own for own in self.resting if own.lots or own.is_ghost]

    # -- what we do

    def arrive(self, own: Own, now_ns: int) -> None:
        """Take in a new order."""
        self.now_ns = now_ns
        if not self.is_whole:
            return
        opposite = 1 - own.side
        prices = self.reached(opposite, own.price)
        if not own.takes:
            if any(self.shown_at(opposite, price) for price in prices) or self._meets_own(own):
                return
            own.front = own.shown = self.shown_at(own.side, own.price)
            own.shown_ns = own.joined_ns = min(self.book_ns, now_ns)
            own.quantity = own.lots * self.lot
            self.resting.append(own)
            return
        fills = []
        for price in prices:
            part = min(own.lots, self.shown_at(opposite, price))
            if part:
                own.lots -= part
                self._take(opposite, price, part)
                fills.append((own.number, price, part, now_ns))
        if not self.rules.tells_every_level:
            fills = fills[-1:] if own.lots == 0 else []
        self.fills += fills

    def _meets_own(self, own: Own) -> bool:
        return self.rules.shares_trades and any(
            each.side != own.side and not is_better(each.side, own.price, each.price) for each in self.resting
        )

    def leave(self, number: int) -> None:
        """Cancel an order, if it is still there."""
        self.resting = [own for own in self.resting if own.number != number]
