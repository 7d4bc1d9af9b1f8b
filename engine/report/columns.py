"""A run's Parquet files: integers and floats as NumPy arrays, text as objects; pages that are proven by checksums."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from crosswire.engine.config import ConfigError

# Before Arrow is imported anywhere: its own pools keep what they were given once, 27 MB more for a backtest.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")

Values = np.ndarray[Any, Any]
WRITING: dict[str, Any] = {"compression": "zstd", "write_page_checksum": True}  # of a `ParquetWriter`


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open a file of a run, as `pyarrow.parquet.ParquetFile`. ConfigError with one line: it is missing or damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            yield file
    except FileNotFoundError:
        raise ConfigError(f"{path} is not there; crosswire report {path.parent} makes it from the journal") from None
    except (pa.ArrowException, OSError, UnicodeError) as error:
        why = (str(error).splitlines() or ["no reason"])[0]
        raise ConfigError(f"{path} can't be read ({why}); crosswire report {path.parent} makes it anew") from None


def read_columns(path: Path, names: list[str]) -> Iterator[dict[str, Values]]:
    """Read columns of a Parquet file, a row group at a time. ConfigError: see `opened`."""
    with opened(path) as file:
        check_columns(path, file, names)
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=names)
            if table.num_rows:
                yield {name: to_numpy(table.column(name)) for name in names}


def check_columns(path: Path, file: Any, names: list[str]) -> None:
    """Refuse a file that another version of Crosswire wrote, or that says of itself what can't be. ConfigError."""
    there = file.schema_arrow.names
    if lacking := [name for name in names if name not in there]:
        raise ConfigError(f"{path} has no column {lacking[0]}; crosswire report {path.parent} makes it anew")


def read_table(path: Path, names: list[str]) -> dict[str, Values]:
    """Read whole columns of a file that is small beside the samples: fills, trades, opportunities."""
    parts = list(read_columns(path, names))
    return {name: np.concatenate([part[name] for part in parts]) if parts else np.empty(0) for name in names}


def write_table(path: Path, table: Any) -> None:
    """Write a `pyarrow.Table` at once; a file is complete or not there."""
    import pyarrow.parquet as pq

    partial = path.with_name(f"{path.name}.partial")
    pq.write_table(table, partial, **WRITING)
    partial.replace(path)


def to_numpy(column: Any) -> Values:
    """Convert a column; times become ns since the epoch."""
    import pyarrow as pa

    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    return column.to_numpy()
