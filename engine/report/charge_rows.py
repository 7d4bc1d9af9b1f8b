"""charges.parquet: what holding cost, written as rows that a trader can open and read again as steps over time."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from crosswire.engine.report.charges import Charge
from crosswire.engine.report.columns import Values, read_table, write_table
from crosswire.engine.report.grid import Steps
from crosswire.engine.report.recorder import InstrumentInfo
from crosswire.venues.instrument import E9

CHARGES = "charges.parquet"


def steps_of(charges: Sequence[Charge]) -> Steps:
    """Add up charges, in order of time, by instrument: what was paid before the first and after each of them."""
    return {
        index: _steps([(charge.time_ns, charge.amount_e9) for charge in charges if charge.instrument == index])
        for index in {charge.instrument for charge in charges}
    }


def read_steps(directory: Path, infos: list[InstrumentInfo]) -> Steps:
    """Read the charges of a run that is finished. ConfigError: the file is missing or damaged."""
    rows = read_table(directory / CHARGES, ["time", "instrument", "amount_e9"])
    steps = {}
    for info in infos:
        own = rows["instrument"] == info.name
        if own.any():
            times_ns, amounts_e9 = (rows[name][own].tolist() for name in ("time", "amount_e9"))
            steps[info.index] = _steps(list(zip(times_ns, amounts_e9, strict=True)))
    return steps


def _steps(paid: list[tuple[int, int]]) -> tuple[Values, Values]:
    return np.array([time_ns for time_ns, _ in paid], np.int64), np.cumsum([0, *(amount_e9 for _, amount_e9 in paid)])


def write_charges(directory: Path, charges: list[Charge], infos: list[InstrumentInfo]) -> None:
    """Write the charges; amounts are of the settlement currency."""
    import pyarrow as pa

    columns: dict[str, Any] = {
        "time": pa.array([charge.time_ns for charge in charges], pa.timestamp("ns", "UTC")),
        "instrument": pa.array([infos[charge.instrument].name for charge in charges], pa.string()),
        "kind": pa.array([str(charge.kind) for charge in charges], pa.string()),
        "paid": pa.array([charge.amount_e9 / E9 for charge in charges], pa.float64()),
        "currency": pa.array([infos[charge.instrument].settlement for charge in charges], pa.string()),
        "price": pa.array([charge.price_e9 / E9 for charge in charges], pa.float64()),
        "rate": pa.array([float(charge.rate) for charge in charges], pa.float64()),
        "position_lots": pa.array([charge.position_lots for charge in charges], pa.int64()),
        "amount_e9": pa.array([charge.amount_e9 for charge in charges], pa.int64()),
    }
    write_table(directory / CHARGES, pa.table(columns))
