"""`crosswire journal --export`: a journal as Parquet, a file a kind of record."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from crosswire.engine.journal.show import Filter, has_names, show_records, shown_fields
from crosswire.nic.host.process import HostError
from crosswire.risk.records import RecordKind

GROUP_ROWS = 20_000  # held in memory, of each kind


def export(path: Path, wanted: Filter, target: Path, say: Callable[[str], None]) -> None:
    """Write the records into a folder. A file gets its name when it is whole, and is gone if it never is.

    JournalError: the journal is damaged. HostError: a file can't be written.
    """
    target.mkdir(parents=True, exist_ok=True)
    tables: dict[str, KindTable] = {}
    try:
        for record in show_records(path, wanted):
            kind = record["kind"]
            if kind not in tables:
                tables[kind] = KindTable(RecordKind[kind.upper()], target)
            tables[kind].add(record)
        for table in tables.values():
            table.finish()
            say(f"{table.path}: {table.count:,} rows")
    except OSError as error:
        if error.filename is not None:
            raise
        raise HostError(f"{target}: {error}") from None  # Arrow does not say which file
    finally:
        for table in tables.values():
            table.let_go()


class KindTable:
    """One kind's file."""

    def __init__(self, kind: RecordKind, target: Path) -> None:
        self.path = target / f"{kind.name.lower()}.parquet"
        self.partial = target / f".{self.path.name}.partial"
        columns = [("sequence", pa.int64()), ("time_ns", pa.int64()), ("kind", pa.string())]
        columns += [(name, pa.string() if has_names(kind, name) else pa.int64()) for name in shown_fields(kind)]
        self.texts = [name for name, sort in columns if sort == pa.string()]
        self.schema = pa.schema(dict(columns))
        self.writer = pq.ParquetWriter(self.partial, self.schema, compression="zstd")
        self.rows: list[dict[str, Any]] = []
        self.count = 0

    def add(self, record: dict[str, Any]) -> None:
        """Take a record; a number without a name is written as a text of it."""
        self.rows.append(record | {name: str(record[name]) for name in self.texts})
        self.count += 1
        if len(self.rows) == GROUP_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write what is held."""
        self.writer.write_table(pa.Table.from_pylist(self.rows, self.schema))
        self.rows.clear()

    def finish(self) -> None:
        """Write the rest and the file's end, and give it its name."""
        if self.rows:
            self.flush()
        self.writer.close()
        self.partial.rename(self.path)

    def let_go(self) -> None:
        """Remove the file unless it has its name."""
        self.partial.unlink(missing_ok=True)
        with suppress(OSError):  # what it closes with does not fit on a full disk either
            self.writer.close()
