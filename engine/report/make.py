"""A run's files, made from its journal: while that is fresh, or years later."""

from pathlib import Path

import msgspec

from crosswire.engine.journal.description import Description, description_of
from crosswire.engine.journal.text import Purpose, TextReader
from crosswire.engine.report.account import Carried
from crosswire.engine.report.buffers import Records, make_records
from crosswire.engine.report.recorder import Recorder
from crosswire.engine.report.summary import RunFacts, RunSummary, summarise, write_summary
from crosswire.engine.runs import journal_in
from crosswire.nic.journal.files import salvage
from crosswire.nic.journal.reader import Batch, JournalError, read_journal
from crosswire.nic.warning import DataWarning
from crosswire.risk.records import ACCOUNT, KINDS, VERSION, HoldingRecord, RecordKind

BUFFERS = {
    "orders": RecordKind.ORDER_ENDED,
    "fills": RecordKind.FILL,
    "samples": RecordKind.SAMPLE,
    "opportunities": RecordKind.OPPORTUNITY,
    "trades": RecordKind.TRADE,
    "values": RecordKind.VALUE,
    "lines": RecordKind.LOG,
}
UNFINISHED = DataWarning(
    kind="runs that died before their end",
    count=1,
    first_place="the journal's last record",
    what_to_do="trust its orders, fills, trades and positions, which the journal holds; frames, messages, vetoes and"
    " other counters are not known and stand at 0",
)


def fill_buffers(records: Records, batch: Batch) -> None:
    """Put a batch's rows where a `Recorder` takes them."""
    for name, kind in BUFFERS.items():
        rows = batch.of(kind, KINDS[kind], VERSION)
        buffer = getattr(records, name)
        buffer.count = len(rows)
        if len(rows):
            buffer.items.numpy(len(rows)).view("i8").reshape(rows.shape)[:] = rows


def take_holdings(carried: dict[int, Carried], batch: Batch) -> None:
    """Take what the account held when the run began, by market index."""
    names = list(HoldingRecord.fields)
    for row in batch.of(RecordKind.HOLDING, HoldingRecord, VERSION).tolist():
        held = dict(zip(names, row, strict=True))
        if held["strategy"] == ACCOUNT:
            carried[held["instrument"]] = Carried(
                held["position_lots"], held["cash_e9"], held["entry_cash_e9"], held["fees_e9"]
            )


def make_files(run_folder: Path, with_report: bool) -> RunSummary:
    """Write the Parquet files, the summary and the report of a run. JournalError: what its journal lacks."""
    journal = journal_in(run_folder)
    salvage(journal)
    reader = read_journal(journal)
    texts, recorder = TextReader(), None
    records = make_records()
    carried: dict[int, Carried] = {}
    first_ns = last_ns = 0
    for batch in reader.batches():
        texts.take(batch)
        if recorder is None:
            description = description_of(texts, journal)
            recorder = Recorder(run_folder, description.instruments, description.names)
        take_holdings(carried, batch)
        fill_buffers(records, batch)
        recorder.drain(records)
        last_ns = int(batch.times_ns[-1])
        first_ns = first_ns or int(batch.times_ns[0])
    reader.check()
    if recorder is None:
        raise JournalError(f"journal {journal}: holds nothing yet")
    recorder.close()
    text = texts.text(Purpose.FACTS)
    facts = (
        unfinished_facts(description, first_ns, last_ns) if text is None else msgspec.json.decode(text, type=RunFacts)
    )
    summary = summarise(facts, run_folder, carried, description.kind)
    write_summary(summary, facts.config_text, run_folder)
    if with_report:
        from crosswire.engine.report.report import write_report  # importing it takes 0.5 s

        write_report(run_folder)
    return summary


def unfinished_facts(description: Description, first_ns: int, last_ns: int) -> RunFacts:
    """What is known of a run whose process died: its records, and nothing that only its end could tell."""
    return RunFacts(
        name=description.name,
        config_file=description.config_file,
        config_text=description.config_text,
        engine_version=description.engine_version,
        instruments=description.instruments,
        venues={},
        frames=0,
        messages=0,
        level_updates=0,
        orders_sent=0,
        orders_vetoed={},
        first_time_ns=first_ns,
        last_time_ns=last_ns,
        start_s=0.0,
        wall_s=0.0,
        digest="",
        warnings=[UNFINISHED],
        settings=description.settings,
    )
