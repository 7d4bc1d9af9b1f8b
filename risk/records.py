"""What the loop writes into the journal: the kinds of records, and what is in each.

Times are ns since the epoch by the run's clock. Instruments are market indices, strategies and venues their numbers in
the run; what they are called a run's first records say (`engine/journal/opening.py`). A field that is added goes to a
struct's end, and raises the kind's version.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Annotated

from crosswire.nic.journal.format import TEXT
from crosswire.nic.memory.struct import Array, Struct, i64
from crosswire.venues.order import OrderTerms

STRATEGIES_MAX = 8  # of one run
INSTRUMENTS_MAX = 256  # of one run: a sample of all fits the room that the journal keeps for one turn
VERSION = 4  # of every kind below
LEGS_MAX = 5  # of a cycle
LEG_BITS = 10  # of `pack_legs`: an instrument below INSTRUMENTS_MAX, its side, and a 1
TURNS_MAX = 24  # of one record
TURN_ACTED_BIT = 8  # of a turn's word: the venues are below it, the time is above
TURN_TIME_BIT = 16
ACCOUNT = -1  # `HoldingRecord.strategy`: of all strategies together, as the gate judges by it


class RecordKind(IntEnum):
    """Kind of a journal's record."""

    TEXT = TEXT
    ORDER_SENT = 2
    AMEND_SENT = 3
    CANCEL_SENT = 4
    NOT_SENT = 5
    REPORT = 6
    ORDER_ENDED = 7
    FILL = 8
    SAMPLE = 9
    OPPORTUNITY = 10
    TRADE = 11
    STATE = 12
    SESSION = 13
    IDS = 14
    HOLDING = 15
    OPENED = 16
    DIFFERENCE = 17
    BOOK = 18
    CLOSED = 19
    ORDER_CARRIED = 20
    EXECUTIONS = 21
    EXECUTION_KNOWN = 22
    TURNS = 23
    VALUE = 24
    STANDSTILL = 25
    DOUBT = 26
    COMMAND_ITEM = 27
    COMMAND = 28
    FLATTENED = 29
    LOG = 30


class OrderSent(OrderTerms):
    """An order, or a side of a quote, that the gate let pass: written before its frame is."""

    # Since version 2: the frame that it leaves in.
    link: i64  # of its session
    sequence: i64  # the frame's number
    quote_id: i64  # of the mass quote that it is a side of, 0: none


class AmendSent(Struct):
    """New terms of an order that the gate let pass: written before their frame is."""

    client_order_id: i64
    price_ticks: i64
    qty_lots: i64  # what is filled included


class CancelSent(Struct):
    """A cancel that was sent: of one order, or of all at a venue."""

    venue: i64
    client_order_id: i64  # 0: of all, or by the venue's id
    exchange_order_id: i64  # 0: by our id, or of all


class NotSent(Struct):
    """What was written as sent, and was not: the session or its ring refused."""

    client_order_id: i64
    is_amend: i64


class ReportRecord(Struct):
    """What a venue said of one order, and what became of that."""

    venue: i64
    report_kind: i64  # ReportKind
    outcome: i64  # Applied
    client_order_id: i64
    exchange_order_id: i64
    execution_id: i64
    instrument: i64
    side: i64
    price_ticks: i64
    qty_lots: i64
    leaves_lots: i64
    filled_lots: i64
    reason: i64
    exchange_time_ns: i64
    queued: i64  # since version 2: 1 while the venue holds the order in its speed bump


class OrderRecord(Struct):
    """One order at its end (or vetoed, or left open by the end of the data), with its whole life."""

    created_ns: i64
    trigger_ns: i64  # receive time of the frame that caused it, 0: a timer did
    acked_ns: i64  # 0: never
    closed_ns: i64  # 0: it is still open
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
    # Since version 2: what the venue calls the match and the order, by which the fill is known if it is told again.
    match_id: i64  # 0: the execution id is the venue's own
    exchange_order_id: i64
    planned_tick_lots: i64  # since version 3: sum over the lots of the price planned for each, in ticks


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


def pack_legs(legs: Sequence[tuple[int, int]]) -> int:
    """Pack a cycle's (instrument, side)s into one number, LEG_BITS each, the first one lowest; never 0."""
    assert len(legs) <= LEGS_MAX
    return sum((instrument << 2 | side << 1 | 1) << place * LEG_BITS for place, (instrument, side) in enumerate(legs))


def unpack_legs(packed: int) -> list[tuple[int, int]]:
    """Unpack what `pack_legs` has packed; [] of 0."""
    words = [packed >> place * LEG_BITS & (1 << LEG_BITS) - 1 for place in range(LEGS_MAX)]
    return [(word >> 2, word >> 1 & 1) for word in words if word != 0]


class OpportunityRecord(Struct):
    """One span of time in which an executable edge was above the threshold.

    Of a cycle of more than two legs the bought instrument is that of the first, the sold one that of the last: money
    is in the quote currency of both, edge and size are for the base coin of the first.
    """

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
    # Since version 3: the best prices to buy and to sell at when it began, and when it was at its peak.
    first_buy_ticks: i64
    first_sell_ticks: i64
    peak_ns: i64
    peak_buy_ticks: i64
    peak_sell_ticks: i64
    legs: i64  # since version 4: of a cycle of more than two, all of them (`pack_legs`); 0: `buy` and `sell` are all


class TradeRecord(Struct):
    """One arbitrage trade: two legs meant to be equal and opposite, or a cycle of more."""

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
    traded_value_e9: i64  # the same from the prices traded; inverse legs at their fill prices
    outcome: i64  # Outcome
    retries: i64
    unhedged_ns: i64  # time with one leg ahead of the other
    miss_cost_e9: i64  # quote currency: what repairing a missed leg lost against the decided prices, 0 if none missed
    # Since version 3: the best prices when it was decided on.
    first_buy_ticks: i64
    first_sell_ticks: i64
    legs: i64  # since version 4: as in `OpportunityRecord`


class ValueRecord(Struct):
    """One value of a series that a strategy keeps for the report."""

    time_ns: i64
    strategy: i64
    series: i64  # its place in the strategy's `series()`
    value_e9: i64


class LogRecord(Struct):
    """A line that a strategy has said: `strategies/messages.py` makes its text."""

    time_ns: i64
    strategy: i64
    message: i64  # its place in the strategy's `messages()`
    value: i64
    value_2: i64
    value_3: i64
    value_4: i64


LOG_VALUES = ("value", "value_2", "value_3", "value_4")


class StateRecord(Struct):
    """What may be sent has changed."""

    state: i64  # TradingState
    why: i64  # Why
    alarms: i64
    leaving: i64  # 1: a signal, a time limit or an error ends the run


class SessionRecord(Struct):
    """Where an order session stands: its state, and the numbers of what was sent and received on each of its links."""

    venue: i64
    state: i64  # SessionState
    sent: i64
    received: i64
    sent_b: i64
    received_b: i64
    quote_id: i64  # since version 2: of the last mass quote
    is_resumed: i64  # since version 2: 1 as long as it has not heard all that an earlier run missed


class IdsRecord(Struct):
    """Order ids below this one may be given from now on: a later run begins above."""

    reserved_id: i64


class HoldingRecord(Struct):
    """What is held of an instrument when a run begins."""

    instrument: i64
    strategy: i64  # ACCOUNT, or the number of a strategy
    position_lots: i64
    cash_e9: i64
    entry_cash_e9: i64
    realised_e9: i64
    fees_e9: i64
    fills: i64
    bought_lots: i64
    sold_lots: i64


class OpenedRecord(Struct):
    """All that came over from an earlier run stands above: this journal is complete without that one's."""

    holdings: i64
    orders: i64


class OrderCarried(OrderSent):
    """An order of an earlier run whose end is not known."""

    filled_lots: i64
    exchange_order_id: i64
    queued: i64
    amend_price_ticks: i64  # asked for, and not answered; 0: nothing is
    amend_lots: i64


class ExecutionsRecord(Struct):
    """Where a venue's fills stood when a run began."""

    venue: i64
    execution_id: i64  # of the last one that was booked


class ExecutionKnown(Struct):
    """One of the last fills of an earlier run, so that it is not booked again if the venue tells it again."""

    venue: i64
    execution_id: i64
    match_id: i64
    exchange_order_id: i64


class DifferenceRecord(Struct):
    """A position that the venue has otherwise than we do."""

    instrument: i64
    ours_lots: i64
    theirs_lots: i64


class DoubtRecord(Struct):
    """What a venue told an earlier run was not believed, and it has told no account since that agrees with ours."""

    venue: i64
    reports: i64


class BookRecord(Struct):
    """A book was lost (a gap), or proven again."""

    instrument: i64
    valid: i64


class TurnsRecord(Struct):
    """Turns of the loop that took a frame or acted: in between nothing changed but the time.

    With the frames themselves this is what a run can be followed by: whose ring gave the next one, and what the time
    was. The payload ends with the last turn.
    """

    begun_ns: i64  # of the first turn
    # Bits 0 to 7: the venues whose ring gave a frame, in order. Bit 8: the turn acted: an order may have left, a timer
    # fired. Bits 16 and up: when it was, in ns after the first; the loop acts so often that it is never 2**47.
    turns: Annotated[Array, i64, TURNS_MAX]


class StandstillRecord(Struct):
    """The loop stood still until now; or it has now read all that waited when it went on."""

    since_ns: i64
    is_over: i64  # 1: it is read


class CommandItemRecord(Struct):
    """One value that a SET asked for; the command itself stands behind its last item."""

    number: i64  # of the command
    parameter: i64  # its place among those that may be changed
    value: i64


class CommandRecord(Struct):
    """An operator's command, and what became of it: written before it is carried out."""

    number: i64
    command: i64  # CommandKind
    outcome: i64  # Outcome
    detail: i64  # which item was refused, or how many orders are cancelled
    venue: i64  # EVERY: of all
    instrument: i64
    strategy: i64
    items: i64
    client_0: i64  # whose command it is: its name in UTF-8, eight bytes a word, filled up with zeros
    client_1: i64
    client_2: i64
    client_3: i64


CLIENT_WORDS = ("client_0", "client_1", "client_2", "client_3")


class FlattenedRecord(Struct):
    """What FLATTEN has made of one instrument that was held."""

    number: i64  # of the command
    instrument: i64
    begun_lots: i64
    left_lots: i64
    tries: i64
    ending: i64  # Flattening


class ClosedRecord(Struct):
    """The run's loop has ended."""

    turns: i64
    orders_sent: i64
    fills: i64


KINDS: dict[RecordKind, type[Struct]] = {
    RecordKind.ORDER_SENT: OrderSent,
    RecordKind.AMEND_SENT: AmendSent,
    RecordKind.CANCEL_SENT: CancelSent,
    RecordKind.NOT_SENT: NotSent,
    RecordKind.REPORT: ReportRecord,
    RecordKind.ORDER_ENDED: OrderRecord,
    RecordKind.FILL: FillRecord,
    RecordKind.SAMPLE: SampleRecord,
    RecordKind.OPPORTUNITY: OpportunityRecord,
    RecordKind.TRADE: TradeRecord,
    RecordKind.STATE: StateRecord,
    RecordKind.SESSION: SessionRecord,
    RecordKind.IDS: IdsRecord,
    RecordKind.HOLDING: HoldingRecord,
    RecordKind.OPENED: OpenedRecord,
    RecordKind.DIFFERENCE: DifferenceRecord,
    RecordKind.BOOK: BookRecord,
    RecordKind.CLOSED: ClosedRecord,
    RecordKind.ORDER_CARRIED: OrderCarried,
    RecordKind.EXECUTIONS: ExecutionsRecord,
    RecordKind.EXECUTION_KNOWN: ExecutionKnown,
    RecordKind.TURNS: TurnsRecord,
    RecordKind.VALUE: ValueRecord,
    RecordKind.STANDSTILL: StandstillRecord,
    RecordKind.DOUBT: DoubtRecord,
    RecordKind.COMMAND_ITEM: CommandItemRecord,
    RecordKind.COMMAND: CommandRecord,
    RecordKind.FLATTENED: FlattenedRecord,
    RecordKind.LOG: LogRecord,
}
# The fields of kinds to which some were not added at the end, by version.
_OLDER_FIELDS: dict[tuple[int, int], tuple[str, ...]] = {
    (RecordKind.ORDER_CARRIED, 1): (*tuple(OrderSent.fields)[:12], "filled_lots", "exchange_order_id"),
}


def fields_of(kind: int, version: int) -> tuple[str, ...]:
    """List a kind's fields in a version's order; a version that is newer or older has more or fewer at the end."""
    return _OLDER_FIELDS.get((kind, version)) or tuple(KINDS[RecordKind(kind)].fields)
