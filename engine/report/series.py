"""Time series of a run, thinned to what a screen can show: at most POINTS_MAX points a line, whatever the run's length.

Thinning keeps the smallest and the largest value of each of POINTS_MAX / 2 equal spans of time, so no spike is lost.
Figures here are float64: they are drawn, not summed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from crosswire.engine.report.columns import Values
from crosswire.engine.report.currency import pricing_instrument, report_currency
from crosswire.engine.report.grid import Steps, read_grids
from crosswire.engine.report.recorder import InstrumentInfo
from crosswire.venues.instrument import E9

POINTS_MAX = 4000  # a line
HALF_WIDTH_POINTS_MAX = 2000  # a line of a plot that shares its row with another
HELD_MAX = 32 * POINTS_MAX  # points a line may hold before it is thinned again

Pair = tuple[int, int]  # market indices, the smaller first


def thin(time_ns: Values, values: Values, first_ns: int, last_ns: int, points: int = POINTS_MAX) -> Values:
    """List the places to keep, in order: the smallest and the largest value of each of `points` / 2 spans.

    A span that holds nothing but NaN keeps one of them.
    """
    if len(time_ns) <= points:
        return np.arange(len(time_ns))
    spans = points // 2
    width_ns = max(1, -(-(last_ns - first_ns + 1) // spans))
    span = (time_ns - first_ns) // width_ns
    missing = np.isnan(values)
    order = np.lexsort((values, missing, span))  # a span's numbers come before its NaNs
    first_of_span = np.flatnonzero(np.diff(span[order], prepend=span[order[0]] - 1))
    numbers = np.add.reduceat(~missing[order], first_of_span)
    smallest = order[first_of_span]
    largest = order[first_of_span + np.maximum(numbers, 1) - 1]
    return np.unique(np.concatenate([smallest, largest]))


class Line:
    """One line of a plot, fed in order of time and thinned as it grows."""

    def __init__(self, range_ns: tuple[int, int], points: int) -> None:
        self._range_ns = range_ns
        self._points = points
        self._parts: list[tuple[Values, Values]] = []
        self._held = 0

    def add(self, time_ns: Values, values: Values) -> None:
        self._parts.append((time_ns, values))
        self._held += len(time_ns)
        if self._held > HELD_MAX:
            self._thin()

    def _thin(self) -> None:
        time_ns = np.concatenate([part[0] for part in self._parts])
        values = np.concatenate([part[1] for part in self._parts])
        kept = thin(time_ns, values, *self._range_ns, self._points)
        self._parts = [(time_ns[kept], values[kept])]
        self._held = len(kept)

    def points(self) -> tuple[Values, Values]:
        """Return times in ns, and values."""
        if not self._parts:
            return np.empty(0, np.int64), np.empty(0)
        self._thin()
        return self._parts[0]


@dataclass
class SampleLines:
    """What the samples of positions and tops draw."""

    spread_bid: dict[Pair, Line] = field(default_factory=dict)  # bps: selling the second, buying the first, gives this
    spread_ask: dict[Pair, Line] = field(default_factory=dict)  # bps: buying the second, selling the first, costs this
    gross: dict[str, Line] = field(default_factory=dict)  # before fees and charges, by settlement currency
    net: dict[str, Line] = field(default_factory=dict)  # after them
    converted: Line | None = None  # all currencies in one, net
    converted_currency: str = ""
    left_out: list[str] = field(default_factory=list)  # currencies that nothing prices
    exposure: dict[int, Line] = field(default_factory=dict)  # base coin, by underlying
    position: dict[int, Line] = field(default_factory=dict)  # base coin, by instrument
    bid: dict[int, Line] = field(default_factory=dict)  # best prices, by instrument
    ask: dict[int, Line] = field(default_factory=dict)


def read_samples(
    path: Path, instruments: list[InstrumentInfo], pairs: list[Pair], range_ns: tuple[int, int], charges: Steps
) -> SampleLines:
    """Read positions.parquet in one pass, in memory that does not depend on its length."""
    lines = SampleLines(converted_currency=report_currency(instruments))
    for pair in pairs:
        lines.spread_bid[pair], lines.spread_ask[pair] = Line(range_ns, POINTS_MAX), Line(range_ns, POINTS_MAX)
    rates: dict[str, int | None] = {}
    for info in instruments:
        if info.settlement not in rates:
            rates[info.settlement] = pricing_instrument(info.settlement, lines.converted_currency, instruments)
            lines.gross[info.settlement] = Line(range_ns, HALF_WIDTH_POINTS_MAX)
            lines.net[info.settlement] = Line(range_ns, HALF_WIDTH_POINTS_MAX)
        lines.exposure.setdefault(info.underlying, Line(range_ns, HALF_WIDTH_POINTS_MAX))
        for kind in (lines.position, lines.bid, lines.ask):
            kind[info.index] = Line(range_ns, HALF_WIDTH_POINTS_MAX)
    lines.left_out = [currency for currency, index in rates.items() if index is None]
    lines.converted = Line(range_ns, HALF_WIDTH_POINTS_MAX)
    for time_ns, grid in read_grids(path, len(instruments), charges):
        _add_spreads(lines, time_ns, grid)
        _add_profits(lines, time_ns, grid, instruments, rates)
        for info in instruments:
            for kind, name in ((lines.position, "position_base"), (lines.bid, "bid"), (lines.ask, "ask")):
                kind[info.index].add(time_ns, grid[name][:, info.index])
        for underlying, line in lines.exposure.items():
            own = [info.index for info in instruments if info.underlying == underlying]
            line.add(time_ns, grid["position_base"][:, own].sum(axis=1))
    return lines


def _add_spreads(lines: SampleLines, time_ns: Values, grid: dict[str, Values]) -> None:
    bid, ask = grid["bid"], grid["ask"]
    for (first, second), line in lines.spread_bid.items():
        to_bps = 2e4 / (bid[:, first] + ask[:, first])
        line.add(time_ns, (bid[:, second] - ask[:, first]) * to_bps)
        lines.spread_ask[first, second].add(time_ns, (ask[:, second] - bid[:, first]) * to_bps)


def _add_profits(
    lines: SampleLines,
    time_ns: Values,
    grid: dict[str, Values],
    instruments: list[InstrumentInfo],
    rates: dict[str, int | None],
) -> None:
    converted = np.zeros(len(time_ns))
    for currency, index in rates.items():
        own = [info.index for info in instruments if info.settlement == currency]
        gross = (grid["cash"][:, own] + grid["position_value"][:, own]).sum(axis=1)
        net = grid["marked_e9"][:, own].sum(axis=1) / E9
        lines.gross[currency].add(time_ns, gross)
        lines.net[currency].add(time_ns, net)
        if index is not None:
            # Before the first price nothing can have been earned either.
            converted += net if index < 0 else np.nan_to_num(net * grid["middle"][:, index])
    if lines.converted is not None:
        lines.converted.add(time_ns, converted)


def trade_prices(fills: Mapping[str, Values], trades: Mapping[str, Values]) -> tuple[Values, Values]:
    """Average the prices of each trade's buys on its buy instrument and sells on its sell instrument; NaN if none.

    A trade is known by its strategy and its number.
    """
    keys = zip(trades["strategy"].tolist(), trades["trade_id"].tolist(), strict=True)
    places = {key: place for place, key in enumerate(keys)}
    fill_keys = zip(fills["strategy"].tolist(), fills["trade_id"].tolist(), strict=True)
    trade = np.array([places.get(key, -1) for key in fill_keys], np.int64)
    found = []
    for side, leg in (("buy", "buy_instrument"), ("sell", "sell_instrument")):
        own = (trade >= 0) & (fills["side"] == side)
        own[own] = trades[leg][trade[own]] == fills["instrument"][own]
        size = np.bincount(trade[own], fills["qty_lots"][own], minlength=len(places))
        value = np.bincount(trade[own], fills["qty_lots"][own] * fills["price"][own], minlength=len(places))
        found.append(np.divide(value, size, out=np.full(len(places), np.nan), where=size > 0))
    return found[0], found[1]
