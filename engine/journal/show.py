"""A journal in lines that a person, or a program, can read: `crosswire journal`."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from typing import Any

from crosswire.engine.control.mailbox import EVERY, CommandKind, Flattening, client_text
from crosswire.engine.control.mailbox import Outcome as CommandOutcome
from crosswire.engine.journal.decode import Record, Turns, records_of
from crosswire.engine.journal.description import Description, description_of
from crosswire.engine.journal.text import Purpose, TextReader
from crosswire.engine.runs import journal_in
from crosswire.nic.journal.files import FOLDER, is_being_written, segment_name
from crosswire.nic.journal.format import WORD_BYTES
from crosswire.nic.journal.reader import JournalError, JournalReader, read_journal
from crosswire.nic.journal.walk import End
from crosswire.risk.gate import Veto
from crosswire.risk.records import ACCOUNT, CLIENT_WORDS, KINDS, LOG_VALUES, RecordKind
from crosswire.risk.trading_state import TradingState, Why
from crosswire.strategies.messages import message_text
from crosswire.strategies.opportunity import Blocked
from crosswire.strategies.trades import Outcome
from crosswire.venues.order import (
    Applied,
    OrderState,
    RejectReason,
    ReportKind,
    TimeInForce,
)
from crosswire.venues.session import (
    SessionState,
)

FOLLOW_S = 0.2  # between two looks at a journal that is being written
SHOWN = frozenset(KINDS) - {RecordKind.TURNS}
SIDES = ("buy", "sell")
TEXT = "text"  # of a line that a strategy has said, before what it is made from
CLIENT = "client"  # a name, in place of the words of a record that it is kept in
SELECTORS = ("venue", "instrument", "strategy")  # of a command
NAMED = ("venue", "strategy", "side")  # of whatever kind; beside them what ends in "instrument", and `NUMBERED`
NUMBERED: dict[tuple[RecordKind, str], type[IntEnum]] = {
    (RecordKind.REPORT, "report_kind"): ReportKind,
    (RecordKind.REPORT, "outcome"): Applied,
    (RecordKind.REPORT, "reason"): RejectReason,
    (RecordKind.ORDER_ENDED, "state"): OrderState,
    (RecordKind.ORDER_ENDED, "time_in_force"): TimeInForce,
    (RecordKind.ORDER_SENT, "time_in_force"): TimeInForce,
    (RecordKind.ORDER_CARRIED, "time_in_force"): TimeInForce,
    (RecordKind.SESSION, "state"): SessionState,
    (RecordKind.STATE, "state"): TradingState,
    (RecordKind.STATE, "why"): Why,
    (RecordKind.COMMAND, "command"): CommandKind,
    (RecordKind.COMMAND, "outcome"): CommandOutcome,
    (RecordKind.FLATTENED, "ending"): Flattening,
    (RecordKind.OPPORTUNITY, "blocked_by"): Blocked,
    (RecordKind.TRADE, "outcome"): Outcome,
}


@dataclass(frozen=True)
class Filter:
    """Which records are wanted: those that all of it holds for."""

    kinds: frozenset[RecordKind] = frozenset()  # none: all but texts and turns, of which there are too many to read
    order_id: int = 0
    instrument: str = ""
    from_sequence: int = 0


def parse_kinds(names: list[str]) -> frozenset[RecordKind]:
    """Parse names of kinds, as "fill". JournalError names one that there is not."""
    known = {kind.name.lower(): kind for kind in RecordKind if kind != RecordKind.TEXT}
    for name in names:
        if name not in known:
            raise JournalError(f"--kind {name}: there are {', '.join(known)}")
    return frozenset(known[name] for name in names)


def journal_of(path: Path) -> Path:
    """Find the journal that a path means: a run's folder, or the journal's own. JournalError: neither."""
    if path.is_dir() and ((path / segment_name(0)).exists() or path.name == FOLDER):
        return path
    return journal_in(path)


def has_names(kind: RecordKind, name: str) -> bool:
    """Tell whether a field's numbers are shown by names, where there is one."""
    is_reason = (kind, name) == (RecordKind.ORDER_ENDED, "reason")
    is_turns = (kind, name) == (RecordKind.TURNS, "turns")
    is_client = (kind, name) == (RecordKind.COMMAND, CLIENT)
    is_line = (kind, name) == (RecordKind.LOG, TEXT)
    return (
        is_client
        or is_line
        or name in NAMED
        or name.endswith("instrument")
        or (kind, name) in NUMBERED
        or is_reason
        or is_turns
    )


class Namer:
    """Puts names in place of the numbers of a record."""

    def __init__(self, description: Description) -> None:
        self.instruments = [info.name for info in description.instruments]
        self.strategies = description.names.strategies
        self.messages = description.names.messages
        self.venues = description.venues

    def named(self, kind: RecordKind, fields: dict[str, Any]) -> dict[str, Any]:
        """Name what is known by a name."""
        named = {
            name: self._value(kind, name, value, fields) if has_names(kind, name) else value
            for name, value in fields.items()
        }
        if kind == RecordKind.LOG:
            return {"strategy": named["strategy"], TEXT: self._line(fields)} | named
        return with_client(named) if kind == RecordKind.COMMAND else named

    def _line(self, fields: dict[str, Any]) -> str:
        """Write out what a strategy has said."""
        values = [fields[name] for name in LOG_VALUES]
        return message_text(self.messages.get(fields["strategy"], []), fields["message"], values, self.instruments)

    def _value(self, kind: RecordKind, name: str, value: Any, fields: dict[str, Any]) -> Any:
        if isinstance(value, Turns):
            return " ".join(map(self._turn, value.times_ns.tolist(), value.venues.tolist(), value.acted.tolist()))
        if kind == RecordKind.COMMAND and name in SELECTORS and value == EVERY:
            return "every"
        if name.endswith("instrument") and 0 <= value < len(self.instruments):
            return self.instruments[value]
        if name == "venue" and 0 <= value < len(self.venues):
            return self.venues[value]
        if name == "strategy":
            return "account" if value == ACCOUNT else self.strategies.get(value, value)
        if name == "side" and value in (0, 1):
            return SIDES[value]
        numbers = NUMBERED.get((kind, name))
        if kind == RecordKind.ORDER_ENDED and name == "reason":
            numbers = Veto if fields["state"] == OrderState.VETOED else RejectReason
        if numbers is not None and value in list(numbers):
            return numbers(value).name.lower()
        return value

    def _turn(self, time_ns: int, venues: int, acted: int) -> str:
        """Show a turn as its time and whose frames it took; with a mark if it acted."""
        names = [name for number, name in enumerate(self.venues) if venues >> number & 1]
        return f"{time_ns}:{'+'.join(names)}{'!' if acted else ''}"


def with_client(fields: dict[str, Any]) -> dict[str, Any]:
    """Put a client's name in place of the words that it is kept in."""
    client = b"".join(fields[name].to_bytes(WORD_BYTES, "little", signed=True) for name in CLIENT_WORDS)
    return {name: value for name, value in fields.items() if name not in CLIENT_WORDS} | {CLIENT: client_text(client)}


def shown_fields(kind: RecordKind) -> list[str]:
    """List the fields of a kind as they are shown."""
    names = KINDS[kind].fields
    shown = [name for name in names if name not in CLIENT_WORDS]
    return shown + [CLIENT] * (kind == RecordKind.COMMAND) + [TEXT] * (kind == RecordKind.LOG)


def show_records(path: Path, wanted: Filter, follow: bool = False) -> Iterator[dict[str, Any]]:
    """Give the records of a journal that pass the filter; with `follow` also those to come. JournalError."""
    folder = journal_of(path)
    seen = wanted.from_sequence
    while True:
        is_over = not (follow and is_being_written(folder))
        reader = read_journal(folder)
        namer: Namer | None = None
        texts = TextReader()
        for batch in reader.batches():
            texts.take(batch)
            if namer is None and texts.text(Purpose.DESCRIPTION) is not None:
                namer = Namer(description_of(texts, folder))
                if wanted.instrument not in ("", *namer.instruments):
                    raise JournalError(f"--instrument {wanted.instrument}: there are {', '.join(namer.instruments)}")
            for record in records_of(batch, wanted.kinds or SHOWN):
                if record.sequence <= seen:
                    continue
                seen = record.sequence
                if namer is not None and (shown := passed(record, wanted, namer)) is not None:
                    yield shown
        reader.check()
        if is_over:
            return
        time.sleep(FOLLOW_S)


def passed(record: Record, wanted: Filter, namer: Namer) -> dict[str, Any] | None:
    """Give a record of a kind that is wanted with names, None if it is not wanted otherwise."""
    if wanted.order_id and record.fields.get("client_order_id") != wanted.order_id:
        return None
    shown = namer.named(record.kind, record.fields)
    if wanted.instrument and wanted.instrument not in shown.values():
        return None
    return {"sequence": record.sequence, "time_ns": record.time_ns, "kind": record.kind.name.lower(), **shown}


def line_of(record: dict[str, Any]) -> str:
    """Show a record in one line."""
    rest = {name: value for name, value in record.items() if name not in ("sequence", "time_ns", "kind")}
    text = " ".join(f"{name}={value}" for name, value in rest.items())
    return f"{record['sequence']:>9} {time_text(record['time_ns'])} {record['kind']:<13} {text}"


def time_text(time_ns: int) -> str:
    """Show a time to the microsecond, UTC."""
    moment = datetime.fromtimestamp(time_ns // 1_000_000_000, UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{time_ns % 1_000_000_000 // 1000:06d}"


def verify(path: Path) -> dict[str, Any]:
    """Read a whole journal: how many records it holds, and how it ends. JournalError: it is damaged."""
    folder = journal_of(path)
    reader = read_journal(folder)
    counts: dict[str, int] = {}
    for batch in reader.batches():
        for kind in batch.commits["kind"].tolist():
            name = RecordKind(kind).name.lower() if kind in list(RecordKind) else f"kind {kind}"
            counts[name] = counts.get(name, 0) + 1
    reader.check()
    return {
        "journal": str(folder),
        "records": reader.records,
        "kinds": dict(sorted(counts.items())),
        "ends": ending_of(reader, folder),
        "is_closed": RecordKind.CLOSED.name.lower() in counts,
        "is_being_written": is_being_written(folder),
    }


def ending_of(reader: JournalReader, folder: Path) -> str:
    """Say how a journal ends."""
    if reader.end == End.UNFINISHED:
        if is_being_written(folder):
            return f"at {reader.where}, where a record is being written"
        return f"at {reader.where}, with the beginning of a record that its writer did not finish"
    return f"at {reader.where or 'its beginning'}"
