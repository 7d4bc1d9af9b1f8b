"""A finished run made again, for its tape: a backtest from its captures, a live run from its journal and capture."""

import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Protocol

from crosswire.engine.build.definitions import check_definitions
from crosswire.engine.build.run import Run, build_run
from crosswire.engine.captures import venue_captures
from crosswire.engine.config import make_config
from crosswire.engine.console.tape import Tape, WatchEntries, watch_told_unit, watch_unit
from crosswire.engine.errors import ExplainError
from crosswire.engine.explain.reading import Told, VenueCapture, read_told
from crosswire.engine.explain.replay import Replay, open_capture
from crosswire.engine.faults import plain_faults
from crosswire.engine.journal.description import Description
from crosswire.engine.loop import Status
from crosswire.engine.seat import raise_failure
from crosswire.engine.state import Engine
from crosswire.nic.journal.files import MemoryJournal
from crosswire.nic.memory.struct import address_of
from crosswire.nic.unit.link import Linker
from crosswire.nic.unit.load import call_entry
from crosswire.nic.warning import DataWarning
from crosswire.venues.exchange.matching import Matching

MADE_AGAIN = "backtest", "live", "simulation"


class Onlooker(Protocol):
    """Who wants to see more of a run that is made again than its tape has."""

    def link(self, linker: Linker) -> None:
        """Ask for units of its own."""

    def begin(self, engine: Engine) -> None:
        """All units are loaded, and the first turn is still to come."""


def record_again(folder: Path, description: Description, tape: Tape, onlooker: Onlooker | None = None) -> str:
    """Make a run again and record it; return a backtest's digests, "" of another run, or of a tape that stopped.

    ExplainError, ConfigError, CaptureError, JournalError, LoopError: one line each.
    """
    if description.kind == "backtest":
        return record_backtest(folder, description, tape, onlooker)
    if description.kind not in MADE_AGAIN:
        raise ExplainError(f"{folder}: is a {description.kind}; what can be looked through is a backtest or a live run")
    if not description.capture:
        raise ExplainError(f"{folder}: what its loop saw was not kept; trade with crosswire live ... --capture FOLDER")
    told = read_told(folder, description)
    captures = open_capture(told, Path(description.capture), description.venues)
    WatchedReplay(told, captures, tape, onlooker).follow_all()
    return ""


def record_backtest(folder: Path, description: Description, tape: Tape, onlooker: Onlooker | None = None) -> str:
    """Make a backtest again and record it; return its digests, "" if the tape stopped before the end."""
    config_path = Path(description.config_file)
    config = make_config(tomllib.loads(description.config_text, parse_float=Decimal), config_path)
    for venue in config.venue:
        for path in venue_captures(venue, config_path):
            if not path.exists():
                where = "" if path.is_absolute() else f" in {Path.cwd()}, where it was relative to"
                raise ExplainError(f"{folder}: its capture {path} of venue {venue.name} is not there{where}")
    config, _ = check_definitions(config, config_path)
    run = build_run(config, config_path)
    try:
        for number, part in enumerate(run.parts):
            matching = getattr(part.exchange, "matching", None)
            if isinstance(matching, Matching):
                tape.matchings[number] = address_of(matching)
        entries = WatchEntries()
        run.core.linker.link(entries, "watch", watch_unit(), "watch")
        if onlooker is not None:
            onlooker.link(run.core.linker)
        run.load()
        if onlooker is not None:
            onlooker.begin(run.engine)
        return run.digests() if watch_until_finished(run, entries, tape) else ""
    finally:
        run.close()


def watch_until_finished(run: Run, entries: WatchEntries, tape: Tape) -> bool:
    """Drive the recording loop; False: the tape has stopped it before the run's end."""
    kept = MemoryJournal(run.engine.journal)
    arguments = (address_of(run.engine), address_of(run.clock), address_of(tape))
    while True:
        with plain_faults(run.config_path):
            status = Status(call_entry(entries.watch, *arguments))
            raise_failure(run.engine.seats)
        if status == Status.STARVED:
            run.refill()
        elif status == Status.JOURNAL:
            kept.take()
        else:
            return status == Status.FINISHED


class WatchedReplay(Replay):
    """A live run that is followed again and recorded."""

    def __init__(self, told: Told, captures: list[VenueCapture], tape: Tape, onlooker: Onlooker | None = None) -> None:
        """As `Replay`."""
        self.tape, self.watching, self.onlooker = tape, WatchEntries(), onlooker
        super().__init__(told, captures)
        if onlooker is not None:
            onlooker.begin(self.run.engine)

    def link(self, linker: Linker) -> None:
        """Ask for the unit that records."""
        linker.link(self.watching, "watch_told", watch_told_unit(), "watch_told")
        if self.onlooker is not None:
            self.onlooker.link(linker)

    def follow_told(self) -> int:
        """Follow and record the turns that are told."""
        parts = (self.run.engine, self.clock, self.all_rings, self.tape)
        return call_entry(self.watching.watch_told, *map(address_of, parts))


def not_as_it_was(folder: Path, digest: str, was: str) -> list[DataWarning]:
    """Say that a run made again did not send what it sent."""
    if not digest or digest == was:
        return []
    what = "believe its files, not these books: its captures, strategy or engine have changed since"
    return [DataWarning(kind="runs that send other orders now", count=1, first_place=str(folder), what_to_do=what)]
