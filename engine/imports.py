"""`crosswire import`: other recordings into captures, with the compiled scanner kept in the cache."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from crosswire.nic.unit.call import machine_code
from crosswire.venues.bridge.binance.importer import ImportSummary, Market, import_binance, import_file, load_terms


def import_recordings(
    recordings: Sequence[Path],
    folder: Path,
    clock_offset_ns: int = 0,
    market: Market | None = None,
    terms: Path | None = None,
) -> list[ImportSummary]:
    """Import Binance recordings into `folder`, one capture each; `RecordingError` or FileExistsError in one line."""
    given = load_terms(terms) if terms is not None else None
    return import_binance(recordings, folder, market, clock_offset_ns, given, machine_code)


def import_recording(recording: Path, capture: Path, clock_offset_ns: int) -> ImportSummary:
    """Import one recording as exactly `capture`."""
    capture.parent.mkdir(parents=True, exist_ok=True)
    return import_file(recording, capture, clock_offset_ns=clock_offset_ns, compile_entry=machine_code)


def print_imports(summaries: Sequence[ImportSummary], console: Console) -> None:
    """One row a file."""
    table = Table("capture", "lines", "deltas", "levels", "quotes", "trades", "breaks", "packets", "klines/s")
    for column in table.columns[1:]:
        column.justify = "right"
    for summary in summaries:
        counts = (summary.lines, summary.deltas, summary.levels, summary.quotes, summary.trades, summary.breaks)
        rate = summary.lines / summary.seconds / 1000
        table.add_row(summary.output.name, *(f"{count:,}" for count in (*counts, summary.packets)), f"{rate:,.0f}")
    console.print(table)
    if summaries:
        console.print(f"written to {summaries[0].output.parent}", highlight=False, markup=False)
