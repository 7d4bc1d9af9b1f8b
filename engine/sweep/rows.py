"""What came of each set: one Parquet file a set in `rows/`, whole or not there, so that a sweep can end at any moment.

Together the files are one dataset: `pyarrow.parquet.read_table("runs/NAME/sweep-.../rows")`.
"""

from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from crosswire.engine.config import ConfigError
from crosswire.engine.report.columns import opened, write_table
from crosswire.nic.warning import DataWarning

ROWS = "rows"
MONEY = ("net", "flattened", "realised", "locked", "open", "drawdown")
COUNTS = ("orders_sent", "fills", "opportunities", "captured", "trades", "missed_legs")


class Row(msgspec.Struct, kw_only=True):
    """One set's outcome. Money is in `currency`, all settlement currencies at the run's last prices."""

    number: int
    settings: list[str]
    error: str = ""  # one line, if it failed; then the rest has no meaning
    digest: str = ""  # of its order frames, as `crosswire backtest --set ...` prints it
    currency: str = ""
    net: Decimal = Decimal(0)
    flattened: Decimal = Decimal(0)
    realised: Decimal = Decimal(0)
    locked: Decimal = Decimal(0)
    open: Decimal = Decimal(0)
    drawdown: Decimal = Decimal(0)
    orders_sent: int = 0
    fills: int = 0
    opportunities: int = 0
    captured: int = 0
    trades: int = 0
    missed_legs: int = 0
    warnings: list[DataWarning] = []
    interval_ns: int = 0  # of `profit`; intervals are counted from the epoch, so that days are whole
    intervals: list[int] = []  # numbers of those in which there was a sample
    profit: list[float] = []  # change of marked P&L in each of them
    worker: str = ""  # host and process
    compiled: list[str] = []  # units of machine code that had to be compiled for it
    wall_s: float = 0.0
    run_folder: str = ""  # with --keep


def row_path(folder: Path, number: int) -> Path:
    """The file of a set."""
    return folder / ROWS / f"set-{number:05d}.parquet"


def _schema() -> Any:
    import pyarrow as pa

    warning = pa.struct(
        [("kind", pa.string()), ("count", pa.int64()), ("first_place", pa.string()), ("what_to_do", pa.string())]
    )
    kinds = {
        "number": pa.int64(),
        "settings": pa.list_(pa.string()),
        **{name: pa.decimal128(38, 9) for name in MONEY},
        **{name: pa.int64() for name in COUNTS},
        "warnings": pa.list_(warning),
        "interval_ns": pa.int64(),
        "intervals": pa.list_(pa.int64()),
        "profit": pa.list_(pa.float64()),
        "compiled": pa.list_(pa.string()),
        "wall_s": pa.float64(),
    }
    return pa.schema([(name, kinds.get(name, pa.string())) for name in Row.__struct_fields__])


def write_row(folder: Path, row: Row) -> None:
    """Keep a set's outcome. OSError."""
    import pyarrow as pa

    table = msgspec.to_builtins(row, builtin_types=(Decimal,))
    table |= {name: round(table[name], 9) for name in MONEY}
    write_table(row_path(folder, row.number), pa.Table.from_pylist([table], _schema()))


def read_rows(folder: Path) -> tuple[dict[int, Row], list[str]]:
    """Read all outcomes there are, by number; and a line for each file that is damaged, which counts as missing."""
    rows, damaged = {}, []
    for path in sorted((folder / ROWS).glob("set-*.parquet")):
        try:
            with opened(path) as file:
                found = file.read().to_pylist()
            row = msgspec.convert(found[0], Row)
            if row_path(folder, row.number) != path:
                raise ConfigError(f"{path}: holds set {row.number}")
        except (ConfigError, msgspec.ValidationError, IndexError) as error:
            why = str(error).partition("; crosswire report")[0]
            damaged.append(f"{why if str(path) in why else f'{path}: {why}'}: done again")
            continue
        rows[row.number] = row
    return rows, damaged
