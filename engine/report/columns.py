"""Reading a run's Parquet files: integers and floats as NumPy arrays, text as objects."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

Values = np.ndarray[Any, Any]


def read_columns(path: Path, names: list[str]) -> Iterator[dict[str, Values]]:
    """Read columns of a Parquet file, a row group at a time."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=names)
            if table.num_rows:
                yield {name: to_numpy(table.column(name)) for name in names}


def read_table(path: Path, names: list[str]) -> dict[str, Values]:
    """Read whole columns of a file that is small beside the samples: fills, trades, opportunities."""
    parts = list(read_columns(path, names))
    return {name: np.concatenate([part[name] for part in parts]) if parts else np.empty(0) for name in names}


def to_numpy(column: Any) -> Values:
    """Convert a column; times become ns since the epoch."""
    import pyarrow as pa

    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    return column.to_numpy()
