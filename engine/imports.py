"""`crosswire import`: recordings of other kinds turned into captures, by the importers that the venues offer.

Beside each capture lies a note of its import, `<capture>.import.json`: the recording, what its clock was corrected by,
the counts, and the warnings. A capture is made once and used often: so those who use it later are told, too.
"""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from crosswire.engine.captures import venue_captures
from crosswire.engine.config import RunConfig, VenueConfig
from crosswire.engine.warn import print_warnings
from crosswire.nic.duration import NS_PER_MS
from crosswire.nic.warning import DataWarning
from crosswire.venues.adapter import ClockCorrection, Imported, Importer, ImportSetup

AUTO = "auto"  # as a clock offset: estimated from the recordings
NOTE_SUFFIX = ".import.json"


class ImportNote(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of an import beside its capture."""

    recording: str
    capture_bytes: int  # its size; a capture of another size is not the one that was imported
    clock: ClockCorrection
    counts: dict[str, int]
    warnings: list[DataWarning]


def parse_clock_offset(text: str) -> int | None:
    """Read a clock offset in ms as ns; None for "auto". ValueError if it is neither."""
    if text == AUTO:
        return None
    try:
        return round(float(text) * NS_PER_MS)
    except (ValueError, OverflowError):
        raise ValueError(f"--clock-offset-ms {text!r} is neither a number nor {AUTO}") from None


def import_recordings(
    importer: Importer,
    recordings: Sequence[Path],
    folder: Path,
    clock_offset_ms: str,
    options: dict[str, str],
    strict: bool = False,
) -> list[Imported]:
    """Import recordings into `folder`, one capture each; ValueError, VenueError or FileExistsError in one line."""
    setup = ImportSetup(
        clock_offset_ns=parse_clock_offset(clock_offset_ms), options=importer.options(**options), strict=strict
    )
    return noted(importer.import_files(recordings, folder, setup))


def import_missing(venue: VenueConfig, pairs: Sequence[tuple[Path, Path]]) -> list[Imported]:
    """Import recordings of a configuration as exactly the captures that they are paired with, where those are missing.

    Those that are there are read again all the same, since a recording may go on from the one before.
    """
    importer = next(iter(venue.adapter.importers.values()))
    setup = ImportSetup(clock_offset_ns=venue.clock_offset_ms * NS_PER_MS, options=importer.options())
    missing = {capture for _, capture in pairs if not capture.exists()}
    for capture in missing:
        capture.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as spare:
        targets = [
            (recording, capture if capture in missing else Path(spare) / f"{place}-{capture.name}")
            for place, (recording, capture) in enumerate(pairs)
        ]
        imported = importer.import_pairs(targets if len(missing) < len(pairs) else pairs, setup)
        return noted([each for each in imported if each.capture in missing])


def note_path(capture: Path) -> Path:
    """Where the note of a capture's import is, if it was imported."""
    return capture.with_name(capture.name + NOTE_SUFFIX)


def noted(imported: list[Imported]) -> list[Imported]:
    """Write the note of each import beside its capture."""
    for each in imported:
        note = ImportNote(
            recording=str(each.recording),
            capture_bytes=each.capture.stat().st_size,
            clock=each.clock,
            counts=each.counts | each.details,
            warnings=each.warnings,
        )
        path = note_path(each.capture)
        partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        partial.write_bytes(msgspec.json.format(msgspec.json.encode(note), indent=1) + b"\n")
        os.replace(partial, path)
    return imported


def read_note(capture: Path) -> ImportNote | None:
    """Read the note of a capture's import; None if there is none, or it is of another file of that name."""
    return read_notes([capture])[0].get(capture)


def read_notes(captures: Sequence[Path]) -> tuple[dict[Path, ImportNote], list[DataWarning]]:
    """Read the notes of captures' imports, by capture, and tell of those that can't be read.

    What was wrong with those imports is not known. A note that is of another file of that name is left out.
    """
    notes, damaged = {}, []
    for capture in captures:
        path = note_path(capture)
        try:
            note = msgspec.json.decode(path.read_bytes(), type=ImportNote) if path.exists() else None
        except (OSError, msgspec.DecodeError):
            damaged.append(str(path))
            continue
        if note is not None and capture.exists() and note.capture_bytes == capture.stat().st_size:
            notes[capture] = note
    if not damaged:
        return notes, []
    advice = "import again: what was told then is not known"
    kind = "notes of imports that can't be read"
    return notes, [DataWarning(kind=kind, count=len(damaged), first_place=damaged[0], what_to_do=advice)]


def import_warnings(config: RunConfig, config_path: Path) -> list[DataWarning]:
    """Collect what was told when the captures of a configuration were imported, however long ago."""
    warnings = []
    for venue in config.venue:
        notes, damaged = read_notes(venue_captures(venue, config_path))
        warnings += damaged
        for capture, note in notes.items():
            warnings += note.warnings
            configured_ns = venue.clock_offset_ms * NS_PER_MS
            if venue.recordings and note.clock.offset_ns != configured_ns:
                advice = (
                    f"it was imported with {note.clock.offset_ns / NS_PER_MS:g} ms, clock_offset_ms is "
                    f"{venue.clock_offset_ms}: remove it to have it imported again"
                )
                kind = "captures with another clock offset than the configuration's"
                warnings.append(DataWarning(kind=kind, count=1, first_place=str(capture), what_to_do=advice))
    return warnings


def describe_clock(clock: ClockCorrection) -> str:
    """Say what an import added to the recording host's clock."""
    text = f"clock offset {clock.offset_ns / NS_PER_MS:+,.3f} ms"
    if not clock.is_estimated:
        return text
    return (
        f"{text} (estimated, within {clock.offset_error_ns / NS_PER_MS:.3f}), "
        f"drift {clock.drift_ppb / 1000:+.3f} ppm (within {clock.drift_error_ppb / 1000:.3f})"
    )


def imports_json(imported: Sequence[Imported]) -> dict[str, Any]:
    """Everything that is known of imports, as plain data; `warnings` has those of all captures."""
    return {
        "captures": [
            {
                "recording": str(each.recording),
                "capture": str(each.capture),
                **each.counts,
                **each.details,
                "seconds": each.seconds,
                "clock": msgspec.to_builtins(each.clock),
                "warnings": msgspec.to_builtins(each.warnings),
            }
            for each in imported
        ],
        "warnings": [msgspec.to_builtins(warning) for each in imported for warning in each.warnings],
    }


def print_imports(imported: Sequence[Imported], console: Console) -> None:
    """Print one row for each file, what its clock was corrected by, and all warnings."""
    if not imported:
        return
    table = Table("capture", *imported[0].counts, "seconds")
    for column in table.columns[1:]:
        column.justify = "right"
    for each in imported:
        table.add_row(each.capture.name, *(f"{count:,}" for count in each.counts.values()), f"{each.seconds:.1f}")
    console.print(table)
    for each in imported:
        details = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in each.details.items() if count)
        if details:
            console.print(f"{each.capture.name}: {details}", highlight=False, markup=False, soft_wrap=True)
    if imported[0].clock != ClockCorrection():
        console.print(describe_clock(imported[0].clock), highlight=False, markup=False)
    console.print(f"written to {imported[0].capture.parent}", highlight=False, markup=False)
    print_warnings([warning for each in imported for warning in each.warnings], console)
