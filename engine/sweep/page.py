"""`report.html` of a sweep: surfaces over its keys, neighbours, a walk forward, and how much may be luck."""

from decimal import Decimal
from pathlib import Path

import numpy as np

from crosswire.engine.report import plots
from crosswire.engine.report.html import Page, text
from crosswire.engine.report.text import duration_text, money_text, number_text, percent_text, time_text
from crosswire.engine.sweep.overfitting import PBO_BLOCKS, DeflatedSharpe, Overfitting
from crosswire.engine.sweep.result import Result, failure_line
from crosswire.engine.sweep.rows import Row
from crosswire.engine.sweep.search import are_numbers
from crosswire.engine.sweep.space import Axis
from crosswire.engine.sweep.surface import Surface, surfaces

ROWS_MAX = 50  # sets that the page lists; all are in the Parquet files
FAILURES_MAX = 20
SURFACES_MAX = 15
LABELS_MAX = 60  # values of a surface: more can't be read
# From loss to profit through a colour that is on no side, by lightness as well, so that it reads without colours.
SCALE = [[0.0, plots.BAD_COLOUR], [0.5, "#f4efe4"], [1.0, plots.GOOD_COLOUR]]
COLUMNS = ("set", "<settings", "marked", "flattened", "realised", "drawdown", "orders", "fills", "captured")


def write_page(result: Result, folder: Path) -> Path:
    """Write the page into the sweep's folder."""
    path = folder / "report.html"
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(sweep_page(result), encoding="utf-8")
    return partial.replace(path)


def sweep_page(result: Result) -> str:
    """Draw all of it."""
    plan = result.plan
    page = Page(f"{plan.name}: sweep")
    page.add(f"<h1>{text(plan.name)}: sweep of {number_text(len(result.rows))} sets</h1>")
    page.add(f"<p class='quiet'>{text(plan.config_file)}, {text(plan.method)}: {text(', '.join(plan.axes))}</p>")
    failures = [f"failed: {failure_line(row)}" for row in result.failed]
    page.warnings([*failures[:FAILURES_MAX], *result.warnings])
    if not result.ranked:
        page.note("No set ran, so there is nothing to show.")
        return page.render()
    _tiles(page, result)
    _surfaces(page, result)
    _sets(page, result)
    _walk(page, result)
    _luck(page, result)
    _how(page, result)
    return page.render()


def _money(result: Result, amount: float) -> str:
    return money_text(rounded(amount), result.ranked[0].currency, sign=True, named=False)


def rounded(amount: float) -> Decimal:
    """Round what was computed in floats to the digits of money."""
    return round(Decimal(amount), 9)


def _tiles(page: Page, result: Result) -> None:
    best = result.ranked[0]
    value = getattr(best, result.plan.objective)
    positive = sum(getattr(row, result.plan.objective) > 0 for row in result.ranked)
    sharpe, overfitting = result.sharpe, result.overfitting
    page.tiles(
        [
            (
                f"best of {number_text(len(result.ranked))} sets, {result.plan.objective}",
                money_text(value, best.currency, sign=True),
                f"set {best.number}: {' '.join(best.settings)}",
                "good" if value > 0 else "bad",
            ),
            ("sets that gain", percent_text(positive / len(result.ranked)), f"{positive} of {len(result.ranked)}", ""),
            (
                "deflated Sharpe ratio",
                "none" if isinstance(sharpe, str) else percent_text(sharpe.probability),
                sharpe if isinstance(sharpe, str) else f"of set {sharpe.number}, {sharpe.days} days",
                "",
            ),
            (
                "probability of overfitting",
                "none" if isinstance(overfitting, str) else percent_text(overfitting.probability),
                overfitting if isinstance(overfitting, str) else f"{number_text(overfitting.splits)} splits",
                "" if isinstance(overfitting, str) or overfitting.probability < 0.5 else "bad",
            ),
        ]
    )


def _surfaces(page: Page, result: Result) -> None:
    currency = result.ranked[0].currency
    found = surfaces(result.rows, result.axes, result.plan.objective)
    page.section(
        "Surfaces" if len(result.axes) > 1 else "By value",
        f"{result.plan.objective} in about {currency}, all of it at each run's last prices."
        + (" Each cell is the median over the values of the other keys." if len(result.axes) > 2 else ""),
    )
    if found:
        page.figures([(f"{each.up.key} against {each.across.key}", heat_map(each)) for each in found[:SURFACES_MAX]])
        if len(found) > SURFACES_MAX:
            page.note(f"The first {SURFACES_MAX} of {len(found)} pairs.")
        return
    page.figures([(axis.key, scatter(result, place, axis)) for place, axis in enumerate(result.axes)])


def heat_map(surface: Surface) -> plots.Figure:
    """Draw a surface, zero in the middle of its colours."""
    cells = np.array([[np.nan if each is None else each for each in row] for row in surface.values], float)
    across, up = text(surface.across.key), text(surface.up.key)
    most = float(np.nanmax(np.abs(cells))) or 1.0
    trace = {
        "type": "heatmap",
        "x": [text(each) for each in surface.across.values],
        "y": [text(each) for each in surface.up.values],
        "z": [[None if np.isnan(each) else each for each in row] for row in cells.tolist()],
        "zmin": -most,
        "zmax": most,
        "colorscale": SCALE,
        "colorbar": {"thickness": 12, "outlinewidth": 0},
        "hovertemplate": f"{across} %{{x}}<br>{up} %{{y}}<br>%{{z:,.4g}}<extra></extra>",
        "xgap": 1,
        "ygap": 1,
    }
    x, y = (
        plots.axis(text(axis.key), type="category", nticks=min(len(axis.values), LABELS_MAX))
        for axis in (surface.across, surface.up)
    )
    return plots.figure([trace], x, y, 340)


def scatter(result: Result, place: int, axis: Axis) -> plots.Figure:
    """Draw each set over its value of one key."""
    rows = result.ranked
    values = [row.settings[place].partition("=")[2] for row in rows]
    is_numeric = are_numbers(values)
    trace = {
        "type": "scatter",
        "mode": "markers",
        "x": plots.array(np.array(values, float)) if is_numeric else [text(each) for each in values],
        "y": plots.array(np.array([getattr(row, result.plan.objective) for row in rows], float)),
        "text": [text(f"set {row.number}: {' '.join(row.settings)}") for row in rows],
        "hovertemplate": "%{text}<br>%{y:,.4g}<extra></extra>",
        "marker": {"color": plots.BUY_COLOUR, "size": 7, "opacity": 0.7},
    }
    x = plots.axis(text(axis.key)) if is_numeric else plots.axis(text(axis.key), type="category")
    return plots.figure([trace], x, plots.axis(f"{result.plan.objective} (about {text(rows[0].currency)})"))


def _sets(page: Page, result: Result) -> None:
    page.section(
        "Sets",
        "The best first. Neighbours are one step away in one key: where the median of them is far below the set itself,"
        " it stands on a peak of its own, and that is likelier luck than a hill.",
    )
    shown = result.ranked[:ROWS_MAX]
    rows = [(*set_row(row), *_neighbours(result, row)) for row in shown]
    page.table([*COLUMNS, "neighbours", "their median", "their worst"], rows)
    page.note(f"Money in {result.ranked[0].currency}, at each run's last prices.")
    if len(result.ranked) > ROWS_MAX:
        page.note(f"The best {ROWS_MAX} of {number_text(len(result.ranked))}; all are in rows/ beside this page.")


def set_row(row: Row) -> tuple[str, ...]:
    """Write a set's figures for people, in the order of COLUMNS."""
    money = (row.net, row.flattened, row.realised, row.drawdown)
    return (
        str(row.number),
        " ".join(row.settings),
        *(money_text(amount, row.currency, named=False) for amount in money),
        number_text(row.orders_sent),
        number_text(row.fills),
        percent_text(row.captured / row.opportunities if row.opportunities else None),
    )


def _neighbours(result: Result, row: Row) -> tuple[str, str, str]:
    found = result.stability.get(row.number)
    if found is None:
        return "-", "-", "-"
    amounts = (money_text(rounded(each), row.currency, named=False) for each in (found.median, found.worst))
    return (str(found.neighbours), *amounts)  # type: ignore[return-value]


def _walk(page: Page, result: Result) -> None:
    if not result.walk:
        return
    page.section(
        "Walk forward",
        "At each step the set with the highest marked P&L on all data before is chosen, and judged by the data until"
        " the next step. A set is one run over all of it: what it holds at a step it keeps.",
    )
    if isinstance(result.walk, str):
        page.note(f"None: {result.walk}.")
        return
    page.table(
        ["<from", "<to", "set", "<<settings", "P&L before", "P&L behind", "all sets' median", "their best"],
        [
            (
                time_text(step.begin_ns),
                time_text(step.end_ns),
                step.number,
                " ".join(result.rows[step.number].settings),
                *(_money(result, each) for each in (step.inside, step.outside, step.median_outside, step.best_outside)),
            )
            for step in result.walk
        ],
    )
    total = sum(step.outside for step in result.walk)
    page.note(f"Behind all steps: {_money(result, total)} {result.ranked[0].currency}.")


def _luck(page: Page, result: Result) -> None:
    page.section("How much may be luck", "Whoever tries many sets finds a good one in noise, too.")
    page.table(["<measure", "<value", "<<what it says"], [sharpe_line(result.sharpe), overfitting_line(result)])
    page.note(
        "Bailey and Lopez de Prado, The Deflated Sharpe Ratio, Journal of Portfolio Management 40 (5), 2014. Bailey,"
        " Borwein, Lopez de Prado, Zhu, The Probability of Backtest Overfitting, Journal of Computational"
        " Finance, 2015."
    )


def sharpe_line(sharpe: DeflatedSharpe | str) -> tuple[str, str, str]:
    """Say the deflated Sharpe ratio, or why there is none."""
    name = "deflated Sharpe ratio"
    if isinstance(sharpe, str):
        return name, "none", sharpe
    return (
        name,
        percent_text(sharpe.probability),
        f"probability that set {sharpe.number}, whose yearly Sharpe ratio over {sharpe.days} days is"
        f" {sharpe.yearly:.2f}, is better than the {sharpe.expected_yearly:.2f} that the best of {sharpe.sets} sets"
        " without an edge would show",
    )


def overfitting_line(result: Result) -> tuple[str, str, str]:
    """Say the probability of backtest overfitting, or why there is none."""
    name, found = "probability of backtest overfitting", result.overfitting
    if not isinstance(found, Overfitting):
        return name, "none", found
    intervals = f"{number_text(found.block_intervals * PBO_BLOCKS)} intervals of {duration_text(result.interval_ns)}"
    return (
        name,
        percent_text(found.probability),
        f"of {number_text(found.splits)} ways to halve {intervals}, so often the best of {found.sets} sets that"
        f" traded was among the worse half on the other data; it lost money there in"
        f" {percent_text(found.loss_probability)}. It says nothing of other days",
    )


def _how(page: Page, result: Result) -> None:
    plan = result.plan
    page.section("How it ran")
    page.table(
        ["<", "<< "],
        [
            ("sets", f"{number_text(len(result.rows))}, {len(result.failed)} failed"),
            ("chosen by", plan.method if plan.method == "grid" else f"{plan.method}, seed {plan.seed}"),
            ("objective", plan.objective),
            ("interval of P&L", duration_text(result.interval_ns)),
            ("units compiled", f"{len(result.compiled)}, {len(set(result.compiled))} different ones"),
            ("time of all sets", f"{sum(row.wall_s for row in result.rows.values()):.1f} s"),
            ("workers", number_text(len({row.worker for row in result.rows.values()} - {""}))),
            ("sources and data", plan.release),
        ],
    )
    page.section("Configuration", "Of all sets, before each one's own settings.")
    page.add(f"<pre>{text(plan.config_text)}</pre>")
