"""The sets as a surface over their keys: pairs of keys to draw, and how a set compares with its neighbours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median

from crosswire.engine.sweep.rows import Row
from crosswire.engine.sweep.search import are_numbers
from crosswire.engine.sweep.space import Axis


@dataclass(frozen=True)
class Surface:
    """Medians of the objective over two keys: over all values of the other keys that were tried."""

    across: Axis
    up: Axis
    values: list[list[float | None]]  # by `up`, then by `across`; None: nothing ran there


@dataclass(frozen=True)
class Stability:
    """A set beside those that are one step away in one key. A lonely peak is likelier luck than a hill."""

    number: int
    value: float
    neighbours: int
    median: float
    worst: float


def places_of(rows: Mapping[int, Row], axes: Sequence[Axis]) -> dict[tuple[int, ...], Row]:
    """Place each set that ran by the numbers of its values; ranges have no such numbers, so there is none then."""
    if any(axis.is_range for axis in axes):
        return {}
    numbers = [{f"{axis.key}={value}": place for place, value in enumerate(axis.values)} for axis in axes]
    return {
        tuple(each[setting] for each, setting in zip(numbers, row.settings, strict=True)): row
        for row in rows.values()
        if not row.error
    }


def surfaces(rows: Mapping[int, Row], axes: Sequence[Axis], objective: str) -> list[Surface]:
    """Make a surface of each pair of keys."""
    placed = places_of(rows, axes)
    found = []
    for across, up in combinations(range(len(axes)), 2) if placed else ():
        cells: dict[tuple[int, int], list[float]] = {}
        for place, row in placed.items():
            cells.setdefault((place[up], place[across]), []).append(float(getattr(row, objective)))
        values = [
            [median(cells[y, x]) if (y, x) in cells else None for x in range(len(axes[across].values))]
            for y in range(len(axes[up].values))
        ]
        found.append(Surface(axes[across], axes[up], values))
    return found


def stabilities(rows: Mapping[int, Row], axes: Sequence[Axis], objective: str) -> dict[int, Stability]:
    """Compare each set with its neighbours; sets without one, and keys without an order, are left out."""
    placed = places_of(rows, axes)
    ordered = [number for number, axis in enumerate(axes) if are_numbers(axis.values)]
    found = {}
    for place, row in placed.items():
        beside = [
            float(getattr(placed[other], objective))
            for number in ordered
            for step in (-1, 1)
            if (other := (*place[:number], place[number] + step, *place[number + 1 :])) in placed
        ]
        if beside:
            value = float(getattr(row, objective))
            found[row.number] = Stability(row.number, value, len(beside), median(beside), min(beside))
    return found
