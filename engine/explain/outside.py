"""What came to a live run's loop from other threads, each before the turn in which the loop acted on it.

That the run is to end, that nobody watches any more, that the loop stood still, and what a venue has said of our
account beside its session: all of it stands in the journal with the time of that turn.
"""

from collections.abc import Callable
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np

from crosswire.engine.build.run import Run
from crosswire.engine.control.mailbox import CommandKind, Mailbox, write_command
from crosswire.engine.explain.reading import Told
from crosswire.engine.journal.decode import Record
from crosswire.engine.standstill import catch_up, fall_behind
from crosswire.engine.state import Engine, begin_leaving
from crosswire.nic.journal.files import FOLDER
from crosswire.nic.journal.format import WORD_BYTES
from crosswire.nic.journal.reader import read_journal
from crosswire.nic.memory.struct import clear_struct, view
from crosswire.risk.records import CLIENT_WORDS, RecordKind
from crosswire.risk.trading_state import Why
from crosswire.venues.order import ReportKind

LEAVING, LOGGED_OUT = 2, 4  # `winding_down` once the loop has acted on 1 and on 3
LOGGING_OUT = 3
NEVER_WATCHED_NS = 1  # `alive_ns`: ages ago
KILL = CommandKind.KILL


BY_TIME = -1  # `Mark.turn`: the first one at its time


class Mark(NamedTuple):
    """Something that is to be done before a turn."""

    time_ns: int  # of the turn
    act: Callable[[], None]
    turn: int = BY_TIME  # which, of all that the journal tells


def marks_of(told: Told, run: Run) -> list[Mark]:
    """List what other threads did to the run that is followed, in order of time."""
    engine = run.engine
    marks = accounts_of(told, run) + commands_of(told, engine)
    killed_ns = {record.time_ns for record in told.of(RecordKind.COMMAND) if record.fields["command"] == KILL}
    leaving = 0
    for record in told.of(RecordKind.STATE):
        before, leaving = leaving, record.fields["leaving"]
        # A KILL ends the run within its turn, not before it.
        if leaving >= LEAVING > before and record.time_ns not in killed_ns:
            marks.append(Mark(record.time_ns, partial(begin_leaving, engine)))
        if leaving >= LOGGED_OUT > before:
            marks.append(Mark(record.time_ns, partial(setattr, engine.state, "winding_down", LOGGING_OUT)))
        if record.fields["why"] == Why.DEAD_MAN:
            marks.append(Mark(record.time_ns, partial(setattr, engine.gate, "alive_ns", NEVER_WATCHED_NS)))
    return sorted(marks + standstills_of(told, engine), key=lambda mark: mark.time_ns)


def commands_of(told: Told, engine: Engine) -> list[Mark]:
    """List the operator's commands, those too that were refused."""
    marks, items = [], []
    for record in told.of(RecordKind.COMMAND_ITEM, RecordKind.COMMAND):
        if record.kind == RecordKind.COMMAND_ITEM:
            items.append((record.fields["parameter"], record.fields["value"]))
        else:
            marks.append(Mark(record.time_ns, partial(command, engine, record.fields, tuple(items))))
            items = []
    return marks


def command(engine: Engine, fields: dict[str, int], items: tuple[tuple[int, int], ...]) -> None:
    """Put a command into the loop's mailbox, to be looked at in the next turn."""
    client = b"".join(fields[name].to_bytes(WORD_BYTES, "little", signed=True) for name in CLIENT_WORDS)
    selectors = (fields["venue"], fields["instrument"], fields["strategy"])
    mailbox = view(Mailbox, engine.control.mailbox)
    write_command(mailbox, fields["number"], fields["command"], selectors, client, items)
    engine.control.look_ns = engine.state.first_keep_ns = 0


def standstills_of(told: Told, engine: Engine) -> list[Mark]:
    """List when the loop stood still, and when it had read what waited."""
    marks = []
    records = told.of(RecordKind.STANDSTILL)
    for record, turn in zip(records, turns_behind(told.folder) if records else (), strict=False):
        act = catch_up if record.fields["is_over"] else partial(fall_behind, since_ns=record.fields["since_ns"])
        marks.append(Mark(record.time_ns, partial(act, engine, now_ns=record.time_ns), turn))
    return marks


def turns_behind(folder: Path) -> list[int]:
    """Number the turns that have written of a standstill, or come next: they end the next record that tells turns."""
    found: list[int] = []
    told = waiting = 0
    for batch in read_journal(folder / FOLDER).batches():
        kinds = batch.commits["kind"]
        is_turns = kinds == RecordKind.TURNS
        ends = told + np.cumsum(np.where(is_turns, batch.commits["payload_bytes"] // WORD_BYTES - 1, 0))
        records = np.flatnonzero(is_turns)
        if waiting and len(records):
            found += [int(ends[records[0]]) - 1] * waiting
            waiting = 0
        for place in np.flatnonzero(kinds == RecordKind.STANDSTILL):
            behind = np.searchsorted(records, place)
            if behind < len(records):
                found.append(int(ends[records[behind]]) - 1)
            else:
                waiting += 1
        told = int(ends[-1]) if len(ends) else told
    return found


def accounts_of(told: Told, run: Run) -> list[Mark]:
    """List what the venues have said of our account, in the parts that one turn took each."""
    kinds = (ReportKind.OPEN, ReportKind.HOLDING, ReportKind.ACCOUNT_END)
    reports = [record for record in told.of(RecordKind.REPORT) if record.fields["report_kind"] in kinds]
    differing = {record.time_ns for record in told.of(RecordKind.DIFFERENCE)}
    marks = []
    for (time_ns, venue), group in groupby(reports, lambda record: (record.time_ns, record.fields["venue"])):
        part = list(group)
        has_positions = time_ns in differing or any(
            record.fields["report_kind"] == ReportKind.HOLDING for record in part
        )
        marks.append(Mark(time_ns, partial(deliver, run.engine, venue, part, has_positions)))
    return marks


def deliver(engine: Engine, venue: int, part: list[Record], has_positions: bool) -> None:
    """Hand a part to the loop, if the venue's session does not tell it itself."""
    if engine.venues[venue].session.awaits_account == 0:
        return
    mail = engine.mail
    for place, record in enumerate(part):
        report = mail.reports.items[place]
        clear_struct(report)
        report.kind = record.fields["report_kind"]
        for name, value in record.fields.items():
            if name not in ("report_kind", "outcome"):
                setattr(report, name, value)
    mail.reports.count = len(part)
    mail.venue, mail.has_positions, mail.is_full = venue, int(has_positions), 1
