"""How much of a backtest could be replayed in parts, on several cores: `crosswire bench cuts RUN_FOLDER ...`.

A part that begins in the middle has to begin as the whole run goes on there: books are proven again by a warm-up, but
positions, open orders, and what has been won and lost are the result of all that came before. So equal results need a
cut where every position is flat and no order is open. What is printed is how long, from a run's first order to its
last, that is so. The last line is one JSON object.
"""

import json
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

Times = NDArray[np.int64]


def flat_ns(fills: Times, instruments: Times, lots: Times, opened: Times, closed: Times) -> tuple[int, int]:
    """Time without position or open order, and from the first order to the end of the last, ns.

    `fills` are times, with each the instrument and its position afterwards; `opened` and `closed` are of the orders.
    """
    changes = [(int(at), 0, 1) for at in opened] + [(int(at), 0, -1) for at in closed]
    changes += [(int(at), 1 + int(which), int(held)) for at, which, held in zip(fills, instruments, lots, strict=True)]
    changes.sort(key=lambda change: change[0])
    positions: dict[int, int] = {}
    open_orders = quiet = 0
    for (at, what, value), (until, _, _) in pairwise(changes):
        if what == 0:
            open_orders += value
        else:
            positions[what] = value
        if open_orders == 0 and not any(positions.values()):
            quiet += until - at
    return quiet, changes[-1][0] - changes[0][0] if changes else 0


def of_run(folder: Path) -> tuple[int, int]:
    """The same of a run's folder."""
    fills = pq.read_table(folder / "fills.parquet", columns=["time_ns", "instrument", "position_lots"])
    orders = pq.read_table(folder / "orders.parquet", columns=["created_ns", "closed_ns"])
    columns = [table[name].to_numpy() for table in (fills, orders) for name in table.column_names]
    return flat_ns(columns[0], np.unique(columns[1], return_inverse=True)[1], *columns[2:])


def main(folders: list[str]) -> None:
    if not folders:
        sys.exit("bench cuts: name the folders of runs: crosswire bench cuts runs/synthetic/latest")
    found = {}
    for folder in folders:
        quiet, whole = of_run(Path(folder))
        found[folder] = {"flat_s": quiet / 1e9, "seconds": whole / 1e9}
        print(f"{folder}: flat, with nothing open, for {quiet / 1e9:.3f} of {whole / 1e9:.1f} s")
    print(json.dumps({"name": "cuts", "runs": found}))


if __name__ == "__main__":
    main(sys.argv[1:])
