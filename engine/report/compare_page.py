"""The page of `crosswire compare`: the curves of two runs on one plot, and the same differences as in the text."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from crosswire.engine.report import plots
from crosswire.engine.report.columns import Values
from crosswire.engine.report.compare import Comparison, Difference, curves_at, marked_curves, shown
from crosswire.engine.report.html import Page, text
from crosswire.engine.report.rows import finished_summary
from crosswire.engine.report.series import POINTS_MAX, thin
from crosswire.engine.report.text import precise_time_text

RUNS = (("A", plots.BUY_COLOUR), ("B", plots.SELL_COLOUR))


def write_comparison(found: Comparison, runs: tuple[Path, Path], path: Path) -> Path:
    """Write the page of a comparison of two run folders. OSError: it can't be written."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(comparison_page(found, runs), encoding="utf-8")
    return partial.replace(path)


def page_beside(runs: tuple[Path, Path]) -> Path:
    """Choose where the page of two runs goes: beside the second one's folder, called after both."""
    first, second = (folder.resolve() for folder in runs)
    return second.parent / f"compare-{first.name}-{second.name}.html"


def comparison_page(found: Comparison, runs: tuple[Path, Path]) -> str:
    """Draw a comparison of two run folders."""
    page = Page("Two runs compared")
    page.add("<h1>Two runs compared</h1>")
    folders = (found.first_run, found.second_run)
    page.add(
        "<p class='quiet'>"
        + "<br>".join(f"{run}: {text(each)}" for run, each in zip("AB", folders, strict=True))
        + "</p>"
    )
    page.warnings(found.notes)
    if found.has_curves:
        _add_curves(page, runs)
    _add_differences(page, "Configuration", found.configuration)
    _add_differences(page, "Figures", found.figures)
    _add_order(page, found)
    return page.render()


def _add_curves(page: Page, runs: tuple[Path, Path]) -> None:
    page.section("P&L", "As marked, after fees and charges, at every sample of each run; before its first one it is 0.")
    summaries = [finished_summary(folder) for folder in runs]
    found = [marked_curves(folder, summary) for folder, summary in zip(runs, summaries, strict=True)]
    range_ns = (min(each.first_time_ns for each in summaries), max(each.last_time_ns for each in summaries))
    for currency in sorted({*found[0], *found[1]}):
        curves = [each.get(currency, (np.empty(0, np.int64), np.empty(0, np.int64))) for each in found]
        traces = [
            plots.line(*_thinned(time_ns, values, range_ns), run, colour, width=1.6)
            for (run, colour), (time_ns, values) in zip(RUNS, curves, strict=True)
        ]
        page.figure(f"P&L in {currency}", plots.over_time(traces, f"P&L ({text(currency)})", range_ns))
        times_ns, first, second = curves_at(curves)
        apart = [plots.line(*_thinned(times_ns, second - first, range_ns), "B less A", plots.INK, width=1.6)]
        page.figure(f"B less A, in {currency}", plots.over_time(apart, f"difference ({text(currency)})", range_ns))


def _thinned(time_ns: Values, values_e9: Values, range_ns: tuple[int, int]) -> tuple[Values, Values]:
    values = values_e9 / 1e9
    kept = thin(time_ns, values, *range_ns, POINTS_MAX)
    return time_ns[kept], values[kept]


def _add_differences(page: Page, title: str, differences: Sequence[Difference]) -> None:
    page.section(title, f"{len(differences)} differ." if differences else "The same in both.")
    if differences:
        rows = [
            (each.what, shown(each.first), shown(each.second), "" if each.change is None else f"{each.change:+f}")
            for each in differences
        ]
        page.table(["<what", "A", "B", "B less A"], rows)


def _add_order(page: Page, found: Comparison) -> None:
    order = found.first_order
    if order is None:
        page.section("Orders", "No order is known to differ.")
        return
    page.section(
        "First order that differs",
        f"Number {order.number} in the order of sending, at {precise_time_text(order.time_ns)}; what differs: "
        f"{', '.join(order.differs) or 'only one run has sent it'}.",
    )
    rows = [each or {} for each in (order.first, order.second)]
    names = list(dict.fromkeys(name for row in rows for name in row))
    page.table(["<", "A", "B"], [(name, *(shown(row.get(name)) for row in rows)) for name in names])
