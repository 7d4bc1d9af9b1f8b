"""What fills were worth: their cash and fees, and what they left held at the run's last marks."""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from crosswire.engine.explain.findings import Money, add_money
from crosswire.engine.explain.lives import Fields
from crosswire.risk.position import Position
from crosswire.venues.instrument import E9, Instrument, Payoff, cash_flow_e9, position_value_e9
from crosswire.venues.side import sign_of


@dataclass
class Valuing:
    """Marks and currencies of a run's instruments, by market index."""

    instruments: list[Instrument]
    currencies: list[str]  # of settlement
    marks_ticks: list[int]

    def fills_e9(self, fills: Iterable[Fields]) -> Money:
        """Value fills, by settlement currency: each one's cash, its fee, and its lots at the last mark."""
        sums: Money = {}
        for fill in fills:
            index, lots = fill["instrument"], sign_of(fill["side"]) * fill["qty_lots"]
            instrument = self.instruments[index]
            cash_e9 = cash_flow_e9(instrument, fill["side"], fill["price_ticks"], fill["qty_lots"]) - fill["fee_e9"]
            add_money(sums, {self.currencies[index]: cash_e9 + self.held_e9(index, lots)})
        return sums

    def held_e9(self, index: int, lots: int) -> Fraction:
        """Value lots at the last mark, as `position_value_e9` does, but exactly: parts add up to the whole."""
        instrument, mark_ticks = self.instruments[index], self.marks_ticks[index]
        if lots == 0 or mark_ticks == 0:
            return Fraction(0)
        if instrument.payoff == Payoff.INVERSE:
            return Fraction(-lots * instrument.lot_e9 * E9, mark_ticks * instrument.tick_e9)
        return Fraction(position_value_e9(instrument, mark_ticks, lots))

    def account_e9(self, index: int, position: Position) -> Fraction:
        """Value an account: its cash, less its fees, and what it holds at the last mark."""
        return position.cash_e9 - position.fees_e9 + self.held_e9(index, position.position_lots)
