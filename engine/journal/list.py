"""`crosswire runs`: which runs there are, and what became of them."""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from crosswire.engine.journal.carry import Carried, fold
from crosswire.engine.report.summary import RunSummary, read_summary
from crosswire.engine.runs import run_folders
from crosswire.nic.journal.files import FOLDER, is_being_written, salvage
from crosswire.nic.journal.reader import JournalError, read_journal


@dataclass(frozen=True)
class ListedRun:
    """One run in the list."""

    folder: str
    kind: str
    state: str  # running, ended, died, empty, damaged
    orders: int | None
    fills: int | None
    profit: str  # by settlement currency, "" if there is no summary
    held: str


def list_runs(output: Path, name: str = "") -> list[ListedRun]:
    """List the runs in a folder, of one name or of all, the last one first. JournalError: there is nothing of it."""
    if not output.is_dir():
        raise JournalError(f"{output}: there is no such folder; run something, or name it with --output")
    there = sorted(path for path in output.iterdir() if path.is_dir())
    parents = [path for path in there if name in ("", path.name)]
    if not parents:
        names = ", ".join(path.name for path in there if run_folders(path)) or "no runs at all"
        raise JournalError(f"{output}: has no runs{f' of the name {name}; there are {names}' if name else ' in it'}")
    return [listed(folder) for parent in parents for folder in run_folders(parent)]


def listed(folder: Path) -> ListedRun:
    """Describe one run."""
    shown = f"{folder.parent.name}/{folder.name}"
    salvage(folder / FOLDER)  # so that what a dead run has left does not take up memory for ever
    try:
        carried = fold(read_journal(folder / FOLDER), folder)
    except (JournalError, msgspec.MsgspecError):
        return ListedRun(shown, "", "damaged", None, None, "", "")
    if carried is None:
        return ListedRun(shown, "", "empty", None, None, "", "")
    summary = summary_of(folder)
    return ListedRun(
        shown,
        carried.description.kind,
        state_of(carried, folder),
        summary.orders_sent if summary else None,
        summary.fills if summary else None,
        ", ".join(f"{profit.net:+} {currency}" for currency, profit in summary.pnl.items()) if summary else "",
        ", ".join(f"{lots:+} {instrument}" for instrument, lots in carried.held_lots().items()),
    )


def state_of(carried: Carried, folder: Path) -> str:
    """Say what became of a run."""
    if carried.is_closed or carried.description.kind == "reconcile":
        return "ended"
    return "running" if is_being_written(folder / FOLDER) else "died"


def summary_of(folder: Path) -> RunSummary | None:
    """Read a run's summary, if there is one."""
    try:
        return read_summary(folder)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None
