"""`crosswire compare`: where two runs differ: configuration, figures, curves, and the first order that is another."""

import json
import tomllib
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from crosswire.engine.report.charge_rows import CHARGES, read_steps
from crosswire.engine.report.columns import Values, read_table
from crosswire.engine.report.currency import e9
from crosswire.engine.report.grid import read_grids
from crosswire.engine.report.recorder import CONFIG, ORDERS, POSITIONS, SUMMARY
from crosswire.engine.report.rows import finished_summary
from crosswire.engine.report.summary import RunSummary
from crosswire.engine.report.text import precise_time_text

# How fast a machine was, where files lie, and what is compared as a whole elsewhere.
NOT_COMPARED = (
    "start_s",
    "wall_s",
    "level_updates_per_s",
    "config_file",
    "settings",
    "engine_version",
    "definitions",
    "warnings",
)
HISTOGRAM = ".buckets"  # its count and its largest value tell enough
NAMES_OF_TABLES = ("name", "symbol")  # what tells the tables of a list apart
ORDER_TERMS = ["created_ns", "venue", "symbol", "side", "time_in_force", "price_ticks", "qty_lots", "strategy"]
ORDER_ENDS = ["acked_ns", "closed_ns", "filled_lots", "state", "reason"]
ABSENT = "-"


class Difference(msgspec.Struct):
    """One thing that is not the same; what a run does not have is None."""

    what: str
    first: Any
    second: Any
    change: Decimal | None = None  # second less first, of numbers


class CurveDifference(msgspec.Struct):
    """Marked P&L of both runs in one settlement currency, over the samples of both."""

    currency: str
    first: list[Decimal]  # lowest, highest, at the end
    second: list[Decimal]
    apart: Decimal  # the most
    apart_ns: int  # when that was first


class OrderDifference(msgspec.Struct):
    """The first order, in the order that they were sent, that is not the same in both."""

    number: int  # from 1
    time_ns: int  # when it was sent, in the run that sent it first
    differs: list[str]  # columns of orders.parquet
    first: dict[str, Any] | None  # None: this run has sent no more
    second: dict[str, Any] | None


class Comparison(msgspec.Struct):
    """Where two runs differ."""

    first_run: str
    second_run: str
    notes: list[str]  # what could not be compared, or is to be known beforehand
    configuration: list[Difference]
    figures: list[Difference]
    curves: list[CurveDifference]
    first_order: OrderDifference | None
    has_curves: bool  # both runs have what their curves are made of
    is_complete: bool  # nothing was left out for want of a file

    @property
    def is_same(self) -> bool:
        """Tell whether nothing differs."""
        return not (self.configuration or self.figures or self.curves or self.first_order)


def compare_runs(first: Path, second: Path) -> Comparison:
    """Compare two run folders. ConfigError: one of them is none, or has no summary."""
    runs = (first, second)
    summaries = [finished_summary(folder) for folder in runs]
    notes = list(_notes(runs, summaries))
    curves: list[CurveDifference] = []
    order, has_curves, has_orders = None, False, False
    if not (_missing(runs, POSITIONS, "curves", notes) or _missing(runs, CHARGES, "curves", notes)):
        curves, has_curves = list(_curves(runs, summaries)), True
    if not _missing(runs, ORDERS, "orders", notes):
        order, has_orders = _first_order(*(_orders(folder) for folder in runs)), True
    return Comparison(
        str(first),
        str(second),
        notes,
        _differences(*(_configuration(folder, notes) for folder in runs)),
        _differences(*(_figures(folder) for folder in runs)),
        curves,
        order,
        has_curves,
        has_curves and has_orders,
    )


def _notes(runs: tuple[Path, Path], summaries: list[RunSummary]) -> Iterator[str]:
    for folder, summary in zip(runs, summaries, strict=True):
        yield from (f"{folder}: {warning}" for warning in summary.warnings)
    versions = {summary.engine_version for summary in summaries}
    if len(versions) > 1:
        yield f"made by different versions of Crosswire: {' and '.join(sorted(versions))}"


def _missing(runs: tuple[Path, Path], name: str, what: str, notes: list[str]) -> bool:
    missing = [folder for folder in runs if not (folder / name).is_file()]
    notes += [
        f"{folder / name} is not there: {what} are not compared; crosswire report {folder} makes it"
        for folder in missing
    ]
    return bool(missing)


def _configuration(folder: Path, notes: list[str]) -> dict[str, Any]:
    try:
        raw = tomllib.loads((folder / CONFIG).read_text(), parse_float=Decimal)
    except (OSError, UnicodeError, tomllib.TOMLDecodeError) as error:
        notes.append(f"{folder / CONFIG} can't be read, its configuration counts as empty: {error}")
        return {}
    return dict(_flat("", raw))


def _figures(folder: Path) -> dict[str, Any]:
    raw = json.loads((folder / SUMMARY).read_text(), parse_float=Decimal)
    raw = {name: value for name, value in raw.items() if name not in NOT_COMPARED}
    return {key: value for key, value in _flat("", raw) if not key.endswith(HISTOGRAM)}


def _flat(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """List a tree's leaves by dotted keys; tables of a list are told apart by their names, if they have any."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _flat(f"{path}.{name}" if path else name, each)
    elif isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
        for number, each in enumerate(value):
            name = next((each[key] for key in NAMES_OF_TABLES if key in each), number)
            if isinstance(each.get("instruments"), list):  # a pair
                name = " and ".join(each["instruments"])
            yield from _flat(f"{path}.{name}", each)
    else:
        yield path, value


def _differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Difference]:
    found = []
    for key in dict.fromkeys([*first, *second]):
        one, other = first.get(key), second.get(key)
        if one != other:
            found.append(Difference(key, one, other, _change(one, other)))
    return found


def _change(first: Any, second: Any) -> Decimal | None:
    numbers = [each for each in (first, second) if isinstance(each, int | Decimal) and not isinstance(each, bool)]
    return Decimal(numbers[1]) - Decimal(numbers[0]) if len(numbers) == 2 else None


def marked_curves(folder: Path, summary: RunSummary) -> dict[str, tuple[Values, Values]]:
    """Read (time_ns, marked P&L in 1e-9) of every settlement currency."""
    parts: dict[str, list[Values]] = {info.settlement: [] for info in summary.definitions}
    times = [np.empty(0, np.int64)]
    charges = read_steps(folder, summary.definitions)
    for time_ns, grid in read_grids(folder / POSITIONS, len(summary.definitions), charges):
        times.append(time_ns)
        for currency, found in parts.items():
            own = [info.index for info in summary.definitions if info.settlement == currency]
            found.append(grid["marked_e9"][:, own].sum(axis=1))
    time_ns = np.concatenate(times)
    return {currency: (time_ns, np.concatenate([np.empty(0, np.int64), *found])) for currency, found in parts.items()}


def curves_at(curves: list[tuple[Values, Values]]) -> tuple[Values, Values, Values]:
    """Bring two curves to the times of both: times in ns, and the values of each; before its first one it is 0."""
    times_ns = np.unique(np.concatenate([time_ns for time_ns, _ in curves]))
    first, second = (
        np.concatenate([[0], values])[np.searchsorted(time_ns, times_ns, side="right")] for time_ns, values in curves
    )
    return times_ns, first, second


def _curves(runs: tuple[Path, Path], summaries: list[RunSummary]) -> Iterator[CurveDifference]:
    """Compare at every time that either run has a sample of; before its first one a curve stands at 0."""
    found = [marked_curves(folder, summary) for folder, summary in zip(runs, summaries, strict=True)]
    empty = np.empty(0, np.int64)
    for currency in sorted({*found[0], *found[1]}):
        times, first, second = curves_at([each.get(currency, (empty, empty)) for each in found])
        if not len(times):
            continue
        apart = np.abs(first - second)
        place = int(apart.argmax())
        if apart[place]:
            extremes, others = ([e9(int(each)) for each in (at.min(), at.max(), at[-1])] for at in (first, second))
            yield CurveDifference(currency, extremes, others, e9(int(apart[place])), int(times[place]))


def _orders(folder: Path) -> dict[str, Values]:
    """Read the orders in the order that they were given their ids."""
    table = read_table(folder / ORDERS, ["client_order_id", *ORDER_TERMS, *ORDER_ENDS])
    order = np.argsort(table["client_order_id"], kind="stable")
    return {name: values[order] for name, values in table.items()}


def _first_order(first: dict[str, Values], second: dict[str, Values]) -> OrderDifference | None:
    counts = [len(each["client_order_id"]) for each in (first, second)]
    both = min(counts)
    names = [*ORDER_TERMS, *ORDER_ENDS]
    apart = np.zeros(both, bool)
    for name in names:
        apart |= first[name][:both] != second[name][:both]
    places = np.flatnonzero(apart)
    if not len(places) and counts[0] == counts[1]:
        return None
    place = int(places[0]) if len(places) else both
    rows = [_row(each, place) for each in (first, second)]
    sent = [row["created_ns"] for row in rows if row is not None]
    one, other = rows
    differs = [name for name in names if one is not None and other is not None and one[name] != other[name]]
    return OrderDifference(place + 1, min(sent), differs, one, other)


def _row(table: dict[str, Values], place: int) -> dict[str, Any] | None:
    if place >= len(table["client_order_id"]):
        return None
    return {name: getattr(values[place], "item", lambda value=values[place]: value)() for name, values in table.items()}


def comparison_lines(found: Comparison) -> Iterator[str]:
    """Write a comparison for people."""
    yield f"A: {found.first_run}"
    yield f"B: {found.second_run}"
    yield from (f"note: {note}" for note in found.notes)
    if found.is_same:
        yield "no difference" if found.is_complete else "no difference in what could be compared"
        return
    for title, differences in (("configuration", found.configuration), ("figures", found.figures)):
        yield f"{title}: {len(differences)} differ" if differences else f"{title}: the same"
        for each in differences:
            change = "" if each.change is None else f"   {each.change:+f}"
            yield f"  {each.what}: {shown(each.first)} -> {shown(each.second)}{change}"
    yield from _curve_lines(found.curves)
    yield from _order_lines(found.first_order)


def _curve_lines(curves: list[CurveDifference]) -> Iterator[str]:
    if not curves:
        yield "marked P&L: the same at every sample"
    for curve in curves:
        yield f"marked P&L in {curve.currency}: {curve.apart:f} apart at most, at {precise_time_text(curve.apart_ns)}"
        for name, (low, high, end) in (("A", curve.first), ("B", curve.second)):
            yield f"  {name}: lowest {low:f}, highest {high:f}, at the end {end:f}"


def _order_lines(order: OrderDifference | None) -> Iterator[str]:
    if order is None:
        yield "orders: the same"
        return
    what = ", ".join(order.differs) or "only one run has sent it"
    yield f"orders: number {order.number} is the first that differs, at {precise_time_text(order.time_ns)}: {what}"
    for name, row in (("A", order.first), ("B", order.second)):
        if row is None:
            yield f"  {name}: has sent no more"
        else:
            yield f"  {name}: " + ", ".join(f"{key} {value}" for key, value in row.items())


def shown(value: Any) -> str:
    """Write a value of either run for people."""
    if value is None:
        return ABSENT
    return f"{value:f}" if isinstance(value, Decimal) else str(value)
