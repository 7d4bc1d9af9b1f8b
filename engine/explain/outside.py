"""What came to a live run's loop from other threads, each before the turn in which the loop acted on it.

That the run is to end, that nobody watches any more, and what a venue has said of our account beside its session: all
of it stands in the journal with the time of that turn.
"""

from collections.abc import Callable
from functools import partial
from itertools import groupby
from typing import NamedTuple

from crosswire.engine.build.run import Run
from crosswire.engine.explain.reading import Told
from crosswire.engine.journal.decode import Record
from crosswire.engine.state import Engine, begin_leaving
from crosswire.nic.memory.struct import clear_struct
from crosswire.risk.records import RecordKind
from crosswire.risk.trading_state import Why
from crosswire.venues.order import ReportKind

LEAVING, LOGGED_OUT = 2, 4  # `winding_down` once the loop has acted on 1 and on 3
LOGGING_OUT = 3
NEVER_WATCHED_NS = 1  # `alive_ns`: ages ago


class Mark(NamedTuple):
    """Something that is to be done before a turn."""

    time_ns: int  # of the turn
    act: Callable[[], None]


def marks_of(told: Told, run: Run) -> list[Mark]:
    """List what other threads did to the run that is followed, in order of time."""
    engine, marks = run.engine, accounts_of(told, run)
    leaving = 0
    for record in told.of(RecordKind.STATE):
        before, leaving = leaving, record.fields["leaving"]
        if leaving >= LEAVING > before:
            marks.append(Mark(record.time_ns, partial(begin_leaving, engine)))
        if leaving >= LOGGED_OUT > before:
            marks.append(Mark(record.time_ns, partial(setattr, engine.state, "winding_down", LOGGING_OUT)))
        if record.fields["why"] == Why.DEAD_MAN:
            marks.append(Mark(record.time_ns, partial(setattr, engine.gate, "alive_ns", NEVER_WATCHED_NS)))
    return sorted(marks, key=lambda mark: mark.time_ns)


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
