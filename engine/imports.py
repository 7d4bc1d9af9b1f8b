"""`crosswire import`: recordings of other kinds turned into captures, by the importers that the venues offer."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from crosswire.engine.config import VenueConfig
from crosswire.nic.duration import NS_PER_MS
from crosswire.venues.adapter import Imported, Importer, ImportSetup


def import_recordings(
    importer: Importer, recordings: Sequence[Path], folder: Path, clock_offset_ms: float, options: dict[str, str]
) -> list[Imported]:
    """Import recordings into `folder`, one capture each; ValueError, VenueError or FileExistsError in one line."""
    setup = ImportSetup(
        clock_offset_ns=round(clock_offset_ms * NS_PER_MS),
        options=importer.options(**options),
    )
    return importer.import_files(recordings, folder, setup)


def import_recording(venue: VenueConfig, recording: Path, capture: Path) -> Imported:
    """Import one recording of a configuration as exactly `capture`."""
    importer = next(iter(venue.adapter.importers.values()))
    capture.parent.mkdir(parents=True, exist_ok=True)
    setup = ImportSetup(clock_offset_ns=venue.clock_offset_ms * NS_PER_MS, options=importer.options())
    return importer.import_file(recording, capture, setup)


def print_imports(imported: Sequence[Imported], console: Console) -> None:
    """Print one row for each file."""
    if not imported:
        return
    table = Table("capture", *imported[0].counts, "seconds")
    for column in table.columns[1:]:
        column.justify = "right"
    for each in imported:
        table.add_row(each.capture.name, *(f"{count:,}" for count in each.counts.values()), f"{each.seconds:.1f}")
    console.print(table)
    console.print(f"written to {imported[0].capture.parent}", highlight=False, markup=False)
