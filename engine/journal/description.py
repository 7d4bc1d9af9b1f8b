"""What a journal's records are about: written at its beginning, read before anything else."""

import os
import platform
import time
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from crosswire.engine.errors import ExplainError
from crosswire.engine.journal.text import Purpose, TextReader, write_text
from crosswire.engine.report.recorder import InstrumentInfo, RecordNames
from crosswire.engine.runs import journal_in
from crosswire.nic.journal.journal import Journal
from crosswire.nic.journal.reader import JournalError, read_journal


@dataclass(frozen=True, kw_only=True)
class Description:
    """One run, in names: instruments by market index, strategies by their number in `names`."""

    name: str
    kind: str  # "backtest", "live", "reconcile"
    began: str  # UTC
    host: str
    process: int
    engine_version: str
    config_file: str
    config_text: str
    venues: list[str]
    instruments: list[InstrumentInfo]
    names: RecordNames
    continues: str = ""  # folder of the run whose account this one took over
    capture: str = ""  # folder of what its loop saw; "": that was not kept
    settings: list[str] = field(default_factory=list)  # "key=value" of what was set for it beside its file


def describe(
    *,
    name: str,
    kind: str,
    config_path: Path,
    venues: list[str],
    instruments: list[InstrumentInfo],
    names: RecordNames,
    continues: str = "",
    capture: str = "",
) -> Description:
    """Describe a run of this process that begins now."""
    from importlib.metadata import version

    return Description(
        name=name,
        kind=kind,
        began=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        host=platform.node(),
        process=os.getpid(),
        engine_version=version("crosswire"),
        config_file=str(config_path),
        config_text=config_path.read_text(),
        venues=venues,
        instruments=instruments,
        names=names,
        continues=continues,
        capture=capture,
    )


def write_description(journal: Journal, description: Description) -> None:
    """Write it, as the journal's first records."""
    write_text(journal, Purpose.DESCRIPTION, msgspec.json.encode(description), time.time_ns())


def read_description(folder: Path) -> Description | None:
    """Read what a journal is about; None: it had not said yet. JournalError: it is damaged before it says."""
    reader, texts = read_journal(folder), TextReader()
    for batch in reader.batches():
        texts.take(batch)
        if texts.text(Purpose.DESCRIPTION) is not None:
            return description_of(texts, folder)
    reader.check()
    return None


def need_description(run: Path) -> Description:
    """Read what a run's folder is about. ExplainError: it had not said yet. JournalError: it has no journal."""
    description = read_description(journal_in(run))
    if description is None:
        raise ExplainError(f"{run}: its journal does not say yet what run it is of")
    return description


def description_of(texts: TextReader, folder: Path) -> Description:
    """Find the description among a journal's texts. JournalError: there is none."""
    text = texts.text(Purpose.DESCRIPTION)
    if text is None:
        raise JournalError(f"journal {folder}: does not say what run it is of")
    return msgspec.json.decode(text, type=Description)
