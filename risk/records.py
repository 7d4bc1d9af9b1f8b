"""What a run leaves behind: fixed-size records in bounded buffers, drained by the engine between turns of the loop.

Times are ns since the epoch by the run's clock. Instruments are market indices.
"""

from typing import Annotated, Any

from crosswire.nic.memory.struct import Pointer, Struct, array, i64
from crosswire.nic.unit.compile import compiled

STRATEGIES_MAX = 8  # of one run
RECORDS_MAX = 8192  # of each kind between two drains
# The loop takes no frame with less room left. A frame of 64 KiB tells of 2,000 fills at most, which may end as many
# orders; what all strategies may ask for then, and at their timers, is vetoed at worst: 2 * 8 * 64 orders more.
RECORDS_RESERVE = 4096


class OrderRecord(Struct):
    """One order at its end (or vetoed), with its whole life."""

    created_ns: i64
    trigger_ns: i64  # receive time of the frame that caused it, 0: a timer did
    acked_ns: i64  # 0: never
    closed_ns: i64
    client_order_id: i64
    instrument: i64
    strategy: i64
    side: i64
    time_in_force: i64
    price_ticks: i64
    qty_lots: i64
    filled_lots: i64
    state: i64  # OrderState
    reason: i64  # Veto when VETOED, RejectReason when REJECTED
    trade_id: i64  # the strategy's trade that it is a leg of, 0: none


class FillRecord(Struct):
    """One execution."""

    time_ns: i64  # when the engine heard of it
    exchange_time_ns: i64
    client_order_id: i64
    execution_id: i64
    instrument: i64
    strategy: i64
    side: i64
    price_ticks: i64
    qty_lots: i64
    decision_ticks: i64  # the price that the strategy saw and decided on: slippage is against this
    fee_e9: i64  # settlement currency, positive is paid
    is_maker: i64
    position_lots: i64  # after the fill, of all strategies together
    strategy_position_lots: i64  # of the fill's own strategy
    trade_id: i64


class SampleRecord(Struct):
    """One instrument at one instant, taken at a fixed interval."""

    time_ns: i64
    instrument: i64
    valid: i64  # 1: the book was proven; otherwise the prices below mean nothing
    bid_ticks: i64
    ask_ticks: i64
    position_lots: i64
    cash_e9: i64  # settlement currency, before fees: cash flows of all fills so far
    fees_e9: i64  # settlement currency


class OpportunityRecord(Struct):
    """One span of time in which an executable edge was above the threshold."""

    strategy: i64
    start_ns: i64
    end_ns: i64
    buy_instrument: i64
    sell_instrument: i64
    first_edge_e9: i64  # per unit of base, quote currency, after taker fees of both legs
    peak_edge_e9: i64
    peak_size_e9: i64  # base coin, executable at the peak
    peak_value_e9: i64  # edge times size at the peak, quote currency
    captured_size_e9: i64  # base coin, traded on both legs
    attempts: i64  # trades started in it
    blocked_by: i64  # why none was started: a `Blocked` number of the strategy, 0 if one was


class TradeRecord(Struct):
    """One arbitrage trade: two legs meant to be equal and opposite."""

    trade_id: i64
    strategy: i64
    start_ns: i64
    end_ns: i64
    buy_instrument: i64
    sell_instrument: i64
    intended_size_e9: i64  # base coin
    bought_size_e9: i64  # base coin, hedges and unwinds included
    sold_size_e9: i64
    expected_value_e9: i64  # quote currency, after fees, from the prices decided on
    realised_value_e9: i64  # quote currency, after fees; inverse legs at their fill prices
    outcome: i64  # Outcome
    retries: i64
    unhedged_ns: i64  # time with one leg ahead of the other
    miss_cost_e9: i64  # quote currency: what repairing a missed leg lost against the decided prices, 0 if none missed


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


class Records(Struct):
    """All buffers of a run."""

    orders: OrderRecords
    fills: FillRecords
    samples: SampleRecords
    opportunities: OpportunityRecords
    trades: TradeRecords


def make_records() -> Records:
    """Make empty buffers of RECORDS_MAX entries each."""
    records = Records()
    records.orders.items = array(OrderRecord, RECORDS_MAX)
    records.fills.items = array(FillRecord, RECORDS_MAX)
    records.samples.items = array(SampleRecord, RECORDS_MAX)
    records.opportunities.items = array(OpportunityRecord, RECORDS_MAX)
    records.trades.items = array(TradeRecord, RECORDS_MAX)
    return records


def clear_records(records: Records) -> None:
    """Forget everything that the buffers hold."""
    for name in Records.fields:
        getattr(records, name).count = 0


@compiled
def append(records: Any) -> Any:
    """Append an entry to one `RecordBuffer`, to be filled in; `nearly_full` keeps room for a frame."""
    assert records.count < RECORDS_MAX
    records.count += 1
    return records.items[records.count - 1]


@compiled
def nearly_full(records: Records) -> bool:
    """Tell whether the engine must drain the records before the next frame."""
    limit = RECORDS_MAX - RECORDS_RESERVE
    return (
        records.orders.count > limit
        or records.fills.count > limit
        or records.samples.count > limit
        or records.opportunities.count > limit
        or records.trades.count > limit
    )
