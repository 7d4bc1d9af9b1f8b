"""The report's plots of what strategies have recorded themselves (`record_value`)."""

from pathlib import Path

import numpy as np

from crosswire.engine.report import plots
from crosswire.engine.report.columns import read_columns
from crosswire.engine.report.html import Page, text
from crosswire.engine.report.series import HALF_WIDTH_POINTS_MAX, Line

SERIES_MAX = 16  # drawn, in the order in which each was first recorded


def add_series(page: Page, path: Path, range_ns: tuple[int, int]) -> None:
    """Add a plot of each series of each strategy, in memory that does not depend on the file's length."""
    lines: dict[tuple[str, str], Line] = {}
    left_out = set()
    for rows in read_columns(path, ["time_ns", "strategy", "series", "value"]):
        for key in dict.fromkeys(zip(rows["strategy"].tolist(), rows["series"].tolist(), strict=True)):
            if key not in lines and len(lines) == SERIES_MAX:
                left_out.add(key)
                continue
            own = (rows["strategy"] == key[0]) & (rows["series"] == key[1])
            line = lines.setdefault(key, Line(range_ns, HALF_WIDTH_POINTS_MAX))
            line.add(rows["time_ns"][own].astype(np.int64), rows["value"][own])
    page.figures(
        [
            (f"{name} ({strategy})", plots.over_time([_drawn(line, name)], text(name), range_ns))
            for (strategy, name), line in lines.items()
        ]
    )
    if left_out:
        page.note(f"{len(left_out)} series more are in {path.name}.")


def _drawn(line: Line, name: str) -> plots.Trace:
    return plots.line(*line.points(), text(name), plots.INK, width=1.2, shape="hv")
