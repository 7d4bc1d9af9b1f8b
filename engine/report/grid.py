"""Samples as tables of times by instruments: what was known of each instrument at each time."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from crosswire.engine.report.columns import Values, read_columns

FLOATS = ("position_base", "cash", "fees", "position_value", "bid", "ask")
INTEGERS = ("cash_e9", "fees_e9", "value_e9")

Steps = Mapping[int, tuple[Values, Values]]  # by market index: times in ns, and all that was paid until then, 1e-9


def read_grids(path: Path, count: int, charges: Steps) -> Iterator[tuple[Values, dict[str, Values]]]:
    """Arrange samples as (times, field -> array of times by instruments), a row group at a time.

    Positions, money and `middle` hold until the next sample; `bid` and `ask` are NaN where the book was not valid.
    `charges` is what holding has cost, which the samples do not have: it is `charges_e9` of the grid, and taken out of
    `marked_e9`, the P&L of what is held at its mark.
    """
    held = {name: np.zeros(count) for name in FLOATS} | {name: np.zeros(count, np.int64) for name in INTEGERS}
    held |= {name: np.full(count, np.nan) for name in ("bid", "ask", "middle")}
    names = ["time_ns", "instrument", *FLOATS, *INTEGERS]
    pending: dict[str, Values] | None = None
    for rows in read_columns(path, names):
        if pending is not None:
            rows = {name: np.concatenate([pending[name], rows[name]]) for name in names}
        # The last instant may go on in the next row group.
        complete = rows["time_ns"] < rows["time_ns"][-1]
        pending = {name: values[~complete] for name, values in rows.items()}
        if complete.any():
            yield _charged(_grid({name: values[complete] for name, values in rows.items()}, count, held), charges)
    if pending is not None:
        yield _charged(_grid(pending, count, held), charges)


def _grid(rows: dict[str, Values], count: int, held: dict[str, Values]) -> tuple[Values, dict[str, Values]]:
    rows["middle"] = (rows["bid"] + rows["ask"]) / 2
    time_ns, row = np.unique(rows["time_ns"], return_inverse=True)
    grid = {}
    for name, before in held.items():
        present = np.zeros((len(time_ns), count), bool)
        values = np.zeros((len(time_ns), count), before.dtype)
        present[row, rows["instrument"]] = ~np.isnan(rows[name]) if name == "middle" else True
        values[row, rows["instrument"]] = rows[name]
        last = np.maximum.accumulate(np.where(present, np.arange(len(time_ns))[:, None], -1), axis=0)
        grid[name] = np.where(last < 0, before, np.take_along_axis(values, np.maximum(last, 0), axis=0))
        held[name] = grid[name][-1]
    return time_ns, grid


def _charged(sampled: tuple[Values, dict[str, Values]], charges: Steps) -> tuple[Values, dict[str, Values]]:
    time_ns, grid = sampled
    paid_e9 = np.zeros_like(grid["cash_e9"])
    for index, (charged_ns, until_e9) in charges.items():
        paid_e9[:, index] = until_e9[np.searchsorted(charged_ns, time_ns, side="right")]
    marked_e9 = grid["cash_e9"] + grid["value_e9"] - grid["fees_e9"] - paid_e9
    return time_ns, grid | {"charges_e9": paid_e9, "marked_e9": marked_e9}
