"""Records of a run on their way from the journal to the run's files: bounded buffers, one a kind."""

from typing import Annotated, Any

from crosswire.nic.memory.struct import Pointer, Struct, array, i64
from crosswire.risk.records import (
    FillRecord,
    LogRecord,
    OpportunityRecord,
    OrderRecord,
    SampleRecord,
    TradeRecord,
    ValueRecord,
)

RECORDS_MAX = 1 << 14  # of each kind: as many as a walk through the journal finds at once


class RecordBuffer(Struct):
    """Records of one kind, at most RECORDS_MAX; each kind adds its `items`."""

    count: i64


class OrderRecords(RecordBuffer):
    items: Annotated[Pointer, OrderRecord]


class FillRecords(RecordBuffer):
    items: Annotated[Pointer, FillRecord]


class SampleRecords(RecordBuffer):
    items: Annotated[Pointer, SampleRecord]


class OpportunityRecords(RecordBuffer):
    items: Annotated[Pointer, OpportunityRecord]


class TradeRecords(RecordBuffer):
    items: Annotated[Pointer, TradeRecord]


class ValueRecords(RecordBuffer):
    items: Annotated[Pointer, ValueRecord]


class LogRecords(RecordBuffer):
    items: Annotated[Pointer, LogRecord]


class Records(Struct):
    """All buffers of a run."""

    orders: OrderRecords
    fills: FillRecords
    samples: SampleRecords
    opportunities: OpportunityRecords
    trades: TradeRecords
    values: ValueRecords
    lines: LogRecords


def make_records() -> Records:
    """Make empty buffers of RECORDS_MAX entries each."""
    records = Records()
    records.orders.items = array(OrderRecord, RECORDS_MAX)
    records.fills.items = array(FillRecord, RECORDS_MAX)
    records.samples.items = array(SampleRecord, RECORDS_MAX)
    records.opportunities.items = array(OpportunityRecord, RECORDS_MAX)
    records.trades.items = array(TradeRecord, RECORDS_MAX)
    records.values.items = array(ValueRecord, RECORDS_MAX)
    records.lines.items = array(LogRecord, RECORDS_MAX)
    return records


def append(records: Any) -> Any:
    """Append an entry to one `RecordBuffer`, to be filled in."""
    assert records.count < RECORDS_MAX
    records.count += 1
    return records.items[records.count - 1]
