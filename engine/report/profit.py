"""P&L taken apart, fill by fill, in exact integers: realised + locked + open = marked.

A fill that reduces an instrument's position closes that part at its average entry. What had no hedge is *realised* at
once. What was hedged is realised when both legs are flat, that is when what it hedged has been closed as well; until
then it *waits*, and counts as open. If another instrument takes its place, before or after, what was earned goes on
with that: a leg that has moved is not flat. Of what is held the hedged part is *locked* and the rest is *open*.

A hedge is as much held long and short of the same underlying, in the order of the fills. Sizes are compared in 1e-9 of
the base coin at the entry prices: of an inverse contract N USD entered at p are N / p coins, which is a hedge of as
many coins whatever the price does later (`strategies/trades.py` says why). An option or a combination hedges nothing
here: its delta is not its size. Each fee belongs to the lots that it was paid for.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from crosswire.engine.report.recorder import InstrumentInfo, make_instrument
from crosswire.venues.instrument import (
    Instrument,
    Kind,
    base_e9,
    cash_flow_e9,
    fee_e9,
    position_value_e9,
)
from crosswire.venues.side import BUY

LONG, SHORT = 0, 1
TAKER = 0


@dataclass
class Profit:
    """One row of P&L, 1e-9 of one settlement currency, fees included."""

    realised_e9: int = 0
    locked_e9: int = 0
    open_e9: int = 0
    flattened_e9: int = 0  # if everything held were traded away now: buys at the ask, sells at the bid, taker fees

    @property
    def marked_e9(self) -> int:
        """Everything, what is held valued at the middle of the book."""
        return self.realised_e9 + self.locked_e9 + self.open_e9

    def add(self, other: "Profit") -> None:
        """Add another row of the same currency."""
        self.realised_e9 += other.realised_e9
        self.locked_e9 += other.locked_e9
        self.open_e9 += other.open_e9
        self.flattened_e9 += other.flattened_e9


@dataclass
class Top:
    """The prices that something held is valued at."""

    bid_ticks: int
    ask_ticks: int


@dataclass
class Part:
    """Some size, and the cash flows after fees that it has come from."""

    size_e9: int = 0  # base coin, not negative
    money_e9: Counter[int] = field(default_factory=Counter)  # by the market index of the instrument that it flowed in

    def add(self, other: "Part") -> None:
        """Add another one."""
        self.size_e9 += other.size_e9
        for index, amount_e9 in other.money_e9.items():
            self.money_e9[index] += amount_e9

    def take(self, amount: int, whole: int) -> "Part":
        """Take the share amount / whole out of it."""
        taken = Part(self.size_e9 - self.size_e9 * (whole - amount) // whole)
        self.size_e9 -= taken.size_e9
        for index, held_e9 in self.money_e9.items():
            left_e9 = held_e9 * (whole - amount) // whole
            taken.money_e9[index] = held_e9 - left_e9
            self.money_e9[index] = left_e9
        return taken


@dataclass
class Leg:
    """What is held of one instrument."""

    info: InstrumentInfo
    instrument: Instrument
    lots: int = 0  # signed
    entry: Part = field(default_factory=Part)
    unhedged_e9: int = 0  # of its size, what nothing on the other side hedges
    realised_e9: int = 0
    is_touched: bool = False  # it has traded

    @property
    def side(self) -> int:
        """The side that is held."""
        return LONG if self.lots > 0 else SHORT

    def enter(self, signed_lots: int, part: Part) -> None:
        """Add lots to what is held on the same side, or to nothing."""
        self.lots += signed_lots
        self.entry.add(part)

    def close(self, signed_lots: int) -> Part:
        """Take lots off what is held, with what they were entered for."""
        taken = self.entry.take(abs(signed_lots), abs(self.lots))
        self.lots += signed_lots
        return taken

    def size_e9(self, price_ticks: int, qty_lots: int) -> int:
        """Convert lots to what they hedge, 1e-9 of the base coin."""
        if self.info.kind in (Kind.OPTION, Kind.COMBO):
            return qty_lots * self.info.lot_e9
        return base_e9(self.instrument, price_ticks, qty_lots)

    def value_e9(self, top: Top | None, lots: int) -> int:
        """Value lots at the middle: the mean of their values at bid and ask; 0 for what was never priced."""
        if top is None or lots == 0:
            return 0
        at_bid = position_value_e9(self.instrument, top.bid_ticks, lots)
        return (at_bid + position_value_e9(self.instrument, top.ask_ticks, lots)) // 2

    def flattened_value_e9(self, top: Top | None) -> int:
        """Value what is held if it were traded away at the best price of the other side, less the taker fee."""
        if top is None or self.lots == 0:
            return 0
        price_ticks = top.bid_ticks if self.lots > 0 else top.ask_ticks
        value_e9 = position_value_e9(self.instrument, price_ticks, self.lots)
        return value_e9 - fee_e9(self.instrument, price_ticks, abs(self.lots), TAKER)


@dataclass
class Group:
    """Instruments that can hedge each other, and what was closed of them and waits for its other leg.

    Only one side has anything unhedged: what is hedged is as much long as short.
    """

    legs: list[Leg] = field(default_factory=list)
    waiting: tuple[Part, Part] = field(default_factory=lambda: (Part(), Part()))  # by the side that was held

    def take(self, leg: Leg, side: int, price_ticks: int, qty_lots: int, flow_e9: int) -> None:
        """Take a fill of a leg whose cash flow after its fee is `flow_e9`."""
        leg.is_touched = True
        sign = 1 if side == BUY else -1
        closed = min(qty_lots, abs(leg.lots)) if leg.lots * sign < 0 else 0
        closing_e9 = flow_e9 * closed // qty_lots
        if closed:
            self._close(leg, sign * closed, closing_e9)
        if closed < qty_lots:
            size_e9 = leg.size_e9(price_ticks, qty_lots - closed)
            self.enter(leg, sign * (qty_lots - closed), Part(size_e9, Counter({leg.info.index: flow_e9 - closing_e9})))

    def enter(self, leg: Leg, signed_lots: int, part: Part) -> None:
        """Add to what a leg holds: it hedges what has no hedge yet, and takes the place of what waited for one."""
        leg.enter(signed_lots, part)
        hedged_e9 = part.size_e9 - _less_unhedged(self._held(1 - leg.side), part.size_e9)
        leg.unhedged_e9 += part.size_e9 - hedged_e9
        waiting = self.waiting[leg.side]
        if waiting.size_e9 > 0:
            moved = waiting.take(min(hedged_e9, waiting.size_e9), waiting.size_e9)
            leg.entry.add(Part(0, moved.money_e9))

    def _close(self, leg: Leg, signed_lots: int, flow_e9: int) -> None:
        side = leg.side
        part = leg.close(signed_lots)
        part.money_e9[leg.info.index] += flow_e9
        own_e9 = min(part.size_e9, leg.unhedged_e9) if leg.lots else leg.unhedged_e9
        leg.unhedged_e9 -= own_e9
        self._release(1 - side, own_e9)
        self._book(part.take(own_e9, part.size_e9) if part.size_e9 else part.take(1, 1))
        for other in self._held(side):
            if other is not leg and part.size_e9 > 0 and other.unhedged_e9 > 0:
                moved = part.take(min(part.size_e9, other.unhedged_e9), part.size_e9)
                other.unhedged_e9 -= moved.size_e9
                other.entry.add(Part(0, moved.money_e9))
        left_e9 = part.size_e9
        for other in self._held(1 - side):
            more_e9 = min(left_e9, other.entry.size_e9 - other.unhedged_e9)
            other.unhedged_e9 += more_e9
            left_e9 -= more_e9
        self.waiting[side].add(part)
        for each in (LONG, SHORT):
            unhedged_e9 = sum(other.unhedged_e9 for other in self._held(1 - each))
            self._release(each, self.waiting[each].size_e9 - unhedged_e9)

    def _held(self, side: int) -> list[Leg]:
        return [leg for leg in self.legs if leg.lots and leg.side == side]

    def _release(self, side: int, amount_e9: int) -> None:
        """Realise so much of what waits on a side; all of it, where that leaves no size."""
        waiting = self.waiting[side]
        if amount_e9 >= waiting.size_e9:
            self._book(waiting.take(1, 1))
        elif amount_e9 > 0:
            self._book(waiting.take(amount_e9, waiting.size_e9))

    def _book(self, part: Part) -> None:
        for leg in self.legs:
            leg.realised_e9 += part.money_e9[leg.info.index]


def _less_unhedged(legs: list[Leg], amount_e9: int) -> int:
    """Hedge so much of what these legs hold; return what is left of it."""
    for leg in legs:
        hedged_e9 = min(leg.unhedged_e9, amount_e9)
        leg.unhedged_e9 -= hedged_e9
        amount_e9 -= hedged_e9
    return amount_e9


@dataclass
class Holdings:
    """The legs of one account: of a whole run, or of the trades of one pair."""

    legs: list[Leg]  # by market index
    groups: list[Group]
    group_of: list[Group]  # by market index

    def take(self, index: int, side: int, price_ticks: int, qty_lots: int, fee_e9: int) -> None:
        """Take a fill; `fee_e9` is in the settlement currency, positive is paid."""
        leg = self.legs[index]
        flow_e9 = cash_flow_e9(leg.instrument, side, price_ticks, qty_lots) - fee_e9
        self.group_of[index].take(leg, side, price_ticks, qty_lots, flow_e9)

    def begin(self, index: int, lots: int, entry_cash_e9: int, earned_e9: int) -> None:
        """Begin with what an earlier run has left: lots, what they were entered for, and all that was earned.

        What they were entered for carries no fees; those paid so far count as realised. Their size is taken at the
        price that they were entered for on average.
        """
        leg = self.legs[index]
        is_coins = leg.info.is_inverse and leg.info.kind not in (Kind.OPTION, Kind.COMBO)
        size_e9 = abs(entry_cash_e9) if is_coins else abs(lots) * leg.info.lot_e9
        self.group_of[index].enter(leg, lots, Part(size_e9, Counter({index: entry_cash_e9})))
        leg.realised_e9 = earned_e9 - entry_cash_e9

    def profits(self, values_e9: Sequence[int], tops: Sequence[Top | None]) -> list[Profit]:
        """Take apart what each instrument has earned; `values_e9`: what its lots are worth at the middle."""
        profits = [Profit(realised_e9=leg.realised_e9) for leg in self.legs]
        for group in self.groups:
            for waiting in group.waiting:
                for index, amount_e9 in waiting.money_e9.items():
                    profits[index].open_e9 += amount_e9
            for leg in group.legs:
                amounts = Counter(leg.entry.money_e9)
                amounts[leg.info.index] += values_e9[leg.info.index]
                for index, amount_e9 in amounts.items():
                    size_e9 = leg.entry.size_e9
                    locked_e9 = amount_e9 * (size_e9 - leg.unhedged_e9) // size_e9 if size_e9 else 0
                    profits[index].locked_e9 += locked_e9
                    profits[index].open_e9 += amount_e9 - locked_e9
        for leg, profit, value_e9, top in zip(self.legs, profits, values_e9, tops, strict=True):
            profit.flattened_e9 = profit.marked_e9 - value_e9 + leg.flattened_value_e9(top)
        return profits


def make_holdings(instruments: list[InstrumentInfo]) -> Holdings:
    """Make an account that holds nothing."""
    legs = [Leg(info, make_instrument(info)) for info in instruments]
    groups: dict[tuple[int, int], Group] = {}
    for leg in legs:
        groups.setdefault(_group_key(leg.info), Group()).legs.append(leg)
    return Holdings(legs, list(groups.values()), [groups[_group_key(info)] for info in instruments])


def _group_key(info: InstrumentInfo) -> tuple[int, int]:
    is_alone = info.kind in (Kind.OPTION, Kind.COMBO)
    return info.underlying, info.index if is_alone else -1


def split_values_e9(leg: Leg, top: Top | None, parts_lots: Sequence[int]) -> Iterator[int]:
    """Value parts of one instrument's lots so that they add up to the value of their sum exactly."""
    lots, before_e9 = 0, 0
    for part in parts_lots:
        lots += part
        value_e9 = leg.value_e9(top, lots)
        yield value_e9 - before_e9
        before_e9 = value_e9
