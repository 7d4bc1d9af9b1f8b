"""Drawdown: how far marked P&L has fallen from its highest value so far, over the samples of a run."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import msgspec
import numpy as np

from crosswire.engine.report.columns import Values
from crosswire.engine.report.currency import e9, pricing_instrument, report_currency
from crosswire.engine.report.grid import Steps, read_grids
from crosswire.engine.report.recorder import InstrumentInfo


class Drawdown(msgspec.Struct, kw_only=True):
    """The deepest fall of marked P&L. Between two samples nothing is seen."""

    amount: Decimal  # positive: so much was lost from the peak on; 0: it never fell
    peak_ns: int  # when it began; 0: never
    trough_ns: int


@dataclass
class Fall:
    """Finds the deepest fall of a curve that comes in parts."""

    highest: float | None = None  # so far; None: nothing has come yet
    highest_ns: int = 0
    deepest: float = 0
    peak_ns: int = 0
    trough_ns: int = 0

    def take(self, time_ns: Values, curve: Values) -> None:
        """Take the curve's next part, integers or floats."""
        if self.highest is None:
            self.highest, self.highest_ns = curve[0].item(), int(time_ns[0])
        highest = np.maximum(np.maximum.accumulate(curve), np.asarray(self.highest, curve.dtype))
        rises = highest > np.concatenate([[self.highest], highest[:-1]])
        rise_ns = np.maximum.accumulate(np.where(rises, time_ns, self.highest_ns))
        fallen = highest - curve
        place = int(fallen.argmax())
        if fallen[place] > self.deepest:
            self.deepest = fallen[place].item()
            self.peak_ns, self.trough_ns = int(rise_ns[place]), int(time_ns[place])
        self.highest, self.highest_ns = highest[-1].item(), int(rise_ns[-1])

    def drawdown(self, amount: Decimal) -> Drawdown:
        """Say it, with the amount in whole money."""
        return Drawdown(amount=amount, peak_ns=self.peak_ns, trough_ns=self.trough_ns)


@dataclass
class Drawdowns:
    """Of each settlement currency, exactly; and of all of them converted at each sample's own prices."""

    by_currency: Mapping[str, Drawdown]
    converted: Drawdown


def read_drawdowns(path: Path, instruments: list[InstrumentInfo], charges: Steps) -> Drawdowns:
    """Read positions.parquet in one pass, in memory that does not depend on its length.

    `charges`: what holding has cost, which the samples do not have.
    """
    currencies = {info.settlement for info in instruments}
    into = report_currency(instruments)
    rates = {currency: pricing_instrument(currency, into, instruments) for currency in currencies}
    falls = {currency: Fall() for currency in sorted(currencies)}
    converted = Fall()
    for time_ns, grid in read_grids(path, len(instruments), charges):
        all_of_it = np.zeros(len(time_ns))
        for currency, fall in falls.items():
            curve = grid["marked_e9"][:, [info.index for info in instruments if info.settlement == currency]].sum(
                axis=1
            )
            fall.take(time_ns, curve)
            rate = rates[currency]
            if rate is not None:
                all_of_it += curve / 1e9 if rate < 0 else np.nan_to_num(curve / 1e9 * grid["middle"][:, rate])
        converted.take(time_ns, all_of_it)
    return Drawdowns(
        {currency: fall.drawdown(e9(int(fall.deepest))) for currency, fall in falls.items()},
        converted.drawdown(round(Decimal(converted.deepest), 9)),
    )
