"""A sweep's result: its rows and all that is judged by them, for the console, for JSON and for the page."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from crosswire.engine.sweep.overfitting import (
    DeflatedSharpe,
    NoMeasure,
    Overfitting,
    deflated_sharpe,
    probability_of_overfitting,
)
from crosswire.engine.sweep.plan import Plan
from crosswire.engine.sweep.rows import Row
from crosswire.engine.sweep.series import Profits, Step, daily, gather, walk_forward
from crosswire.engine.sweep.space import Axis
from crosswire.engine.sweep.surface import Stability, stabilities


@dataclass
class Result:
    """What a sweep found. A measure that can't be told is a line that says why."""

    plan: Plan
    axes: Sequence[Axis]
    rows: Mapping[int, Row]
    compiled: list[str]  # units, before the first set and by sets
    warnings: list[str]
    workers_lost: int = 0
    walk: list[Step] | str = field(default_factory=list)
    sharpe: DeflatedSharpe | str = ""
    overfitting: Overfitting | str = ""
    stability: dict[int, Stability] = field(default_factory=dict)
    interval_ns: int = 0

    @property
    def failed(self) -> list[Row]:
        return [row for row in self.rows.values() if row.error]

    @property
    def ranked(self) -> list[Row]:
        """Sets that ran, the highest objective first; of equal ones the first number."""
        good = [row for row in self.rows.values() if not row.error]
        return sorted(good, key=lambda row: (-getattr(row, self.plan.objective), row.number))

    def facts(self) -> dict[str, Any]:
        """Give what `--json` prints."""
        return {
            "name": self.plan.name,
            "sets": len(self.rows),
            "failed": len(self.failed),
            "workers_lost": self.workers_lost,
            "compiled": self.compiled,
            "objective": self.plan.objective,
            "best": self.ranked[0].number if self.ranked else None,
            "deflated_sharpe": told(self.sharpe),
            "overfitting": told(self.overfitting),
            "walk_forward": told(self.walk),
            "rows": [brief(row) for row in self.rows.values()],
            "warnings": self.warnings,
        }


def told(measure: Any) -> dict[str, Any]:
    """Give a measure, or why there is none."""
    if isinstance(measure, list):
        return {"steps": [asdict(each) for each in measure]}
    return {"none": measure} if isinstance(measure, str) else asdict(measure)


def brief(row: Row) -> dict[str, Any]:
    """Give a row without its P&L series."""
    left_out = ("intervals", "profit", "warnings")
    return {name: getattr(row, name) for name in row.__struct_fields__ if name not in left_out}


def judge(
    plan: Plan, axes: Sequence[Axis], rows: Mapping[int, Row], compiled: list[str], damaged: list[str], steps: int
) -> Result:
    """Compute everything that is told of a sweep's rows."""
    rows = dict(sorted(rows.items()))
    by_sets = [name for row in rows.values() for name in row.compiled]
    result = Result(plan, axes, rows, compiled + by_sets, damaged + warnings_of(rows))
    profits = gather(list(rows.values()))
    result.interval_ns = profits.interval_ns
    result.sharpe = _measure(lambda: deflated_sharpe(daily(profits), profits.numbers), profits)
    result.overfitting = _measure(lambda: probability_of_overfitting(profits.profit), profits)
    result.walk = _measure(lambda: walk_forward(profits, steps), profits) if steps else []
    result.stability = stabilities(rows, axes, plan.objective)
    return result


def _measure(compute: Any, profits: Profits) -> Any:
    if not profits.numbers:
        return "no set ran"
    try:
        return compute()
    except NoMeasure as why:
        return str(why)


def warnings_of(rows: Mapping[int, Row]) -> list[str]:
    """Write each warning of any set once, with how many sets have it."""
    counts = Counter(str(warning) for row in rows.values() for warning in row.warnings)
    return [f"{words} (in {count} of {len(rows)} sets)" for words, count in counts.items()]


def workers_lost_text(count: int) -> str:
    """Say that workers are gone, why that may be, and what becomes of what they were at."""
    which = "1 worker was" if count == 1 else f"{count} workers were"
    return (
        f"{which} lost: out of memory, killed by somebody, or ended by a crash (dmesg tells the first); what was under "
        "way there is done again"
    )


def failure_line(row: Row) -> str:
    """Name a set that failed."""
    return f"set {row.number} ({' '.join(row.settings)}): {row.error}"
