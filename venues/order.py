"""Orders and what becomes of them.

Life of an order: PENDING_NEW -> LIVE -> (PENDING_CANCEL) -> FILLED | CANCELLED, or REJECTED at any time before it
lives. An IOC goes from PENDING_NEW to FILLED or CANCELLED. VETOED never left the engine. An amend changes no state:
`amend_state` tells of the last one.

`OrderTable` holds the engine's orders of all venues. `apply_report` is the only way that a venue's word changes one,
and believes it only inside what was asked for. Each fill counts exactly once: it is applied, dropped as a copy of one
that was, or an alarm.
"""

from enum import IntEnum
from typing import Annotated

from crosswire.nic.memory.raw import copy_bytes
from crosswire.nic.memory.struct import (
    Array,
    Pointer,
    Struct,
    address_of,
    clear_struct,
    copy_struct,
    i64,
    size_of,
)
from crosswire.nic.unit.compile import compiled, inlined
from crosswire.venues.instrument import Instrument, Kind, multiply_e9, settlement_value_e9
from crosswire.venues.side import BUY

ORDERS_BITS = 12
ORDERS_MAX = 1 << ORDERS_BITS  # orders alive at once, all venues together; an order id's low bits are its slot
REPORTS_MAX = 128  # execution reports of one packet
VENUES_MAX = 8  # order sessions of one engine
APPROVALS_MAX = 32  # of one mass quote: 16 instruments
FILLS_REMEMBERED = 256  # of each venue's last, so that an execution id that comes again is known for a copy or a lie
# What no venue means: beyond them a sum of prices, sizes and fees would not fit 64 bits.
FILL_TICKS_MAX = 1 << 35
FILL_LOTS_MAX = 1 << 40
FILL_FEE_MAX_E9 = 1 << 50
EXECUTION_STEP_MAX = 1 << 32  # from one execution id to the next: behind a larger step all that follow would be copies
FEE_SLACK_E9 = 100_000  # of a fill's value, beside twice the configured rate: 1 bp
FEE_ROUNDING_E9 = 100_000  # of the settlement currency: what a venue rounds a fee up by
NO_INSTRUMENT = -1  # `Report.instrument`: the venue named none, or what it says is not to be booked
STRANGE_INSTRUMENT = -2  # it named one that nobody configured
NOT_TOLD = -1  # `Report.leaves_lots`, `Report.filled_lots`
BY_ID_MAX = 64  # cancels by the venue's id without an answer yet, all venues together


class TimeInForce(IntEnum):
    IOC = 0  # immediate or cancel
    FOK = 1  # fill or kill
    GTC = 2  # good till cancelled
    POST_ONLY = 3  # GTC that is rejected if it would take


# Plain numbers, as compiled code compares them and a strategy writes them.
IOC, FOK, GTC, POST_ONLY = map(int, TimeInForce)
TIMES_IN_FORCE = len(TimeInForce)


class OrderState(IntEnum):
    FREE = 0  # the slot holds no order
    PENDING_NEW = 1
    LIVE = 2
    PENDING_CANCEL = 3
    FILLED = 4
    CANCELLED = 5  # cancelled or expired, perhaps after partial fills
    REJECTED = 6
    VETOED = 7


class AmendState(IntEnum):
    """What became of the last amend of an order."""

    NONE = 0
    PENDING = 1
    DONE = 2
    REJECTED = 3  # the order is as it was; `amend_reason` is a RejectReason
    VETOED = 4  # it never left the engine; `amend_reason` is the gate's own


class ReportKind(IntEnum):
    ACK = 0
    FILL = 1
    CANCELLED = 2  # no longer live: cancelled, expired (IOC, FOK remainder)
    REJECTED = 3  # the new order was refused
    CANCEL_REJECTED = 4  # the cancel was refused; the order is as it was
    CONVERTED = 5  # the cancel of a held order made it an IOC: it may still fill, and will end by itself
    AMENDED = 6  # the order has a new price and quantity
    AMEND_REJECTED = 7  # the amend was refused; the order is as it was
    # The answer to a question after the account, as `engine/reconcile.py` takes it; of no one order but the first.
    OPEN = 8  # the order is open: `leaves_lots` of it
    HOLDING = 9  # of the instrument `qty_lots` are held, signed
    ACCOUNT_END = 10  # all is told; `client_order_id` is the highest ever received; `reason` 1: fills are missing
    CAUGHT_UP = 11  # all that an earlier run missed was told; what of its orders is open still is


class RejectReason(IntEnum):
    """Why a venue refused; each session maps its own codes to these."""

    NONE = 0
    UNKNOWN_INSTRUMENT = 1
    BAD_PRICE = 2
    BAD_QUANTITY = 3
    WOULD_TAKE = 4  # post-only
    RATE_LIMIT = 5
    UNKNOWN_ORDER = 6
    DUPLICATE_ID = 7
    NOT_LOGGED_ON = 8
    BOOK_NOT_READY = 9  # the simulated exchange has no proven book to match against
    TOO_MANY_ORDERS = 10
    OTHER = 11
    SELF_MATCH = 12  # it would have traded with an order of our own
    SPEED_BUMP_LIMIT = 13  # too many of our orders are held already
    SESSION_LOST = 14  # the venue cancelled it because our session ended
    SPEED_BUMPED = 15  # an amend of an order that the venue holds: once `queued` is 0 it may be asked for again


class OrderTerms(Struct):
    """What an order is when it leaves. It begins an `Order`, an `Approval` and a record (`risk.records.OrderSent`).

    The same words at the same place in each: one becomes another by a copy. The record's version rises with a change.
    """

    client_order_id: i64
    venue: i64
    instrument: i64  # market index
    strategy: i64  # number of the strategy that it is of
    side: i64
    time_in_force: i64
    price_ticks: i64
    qty_lots: i64
    decision_ticks: i64  # the price that the strategy decided on; slippage is against it
    trade_id: i64  # the strategy's trade that it is a leg of, 0: none
    is_quote: i64  # 1: one side of a mass quote; the venue knows it by its own id alone
    trigger_ns: i64  # receive time of the frame that caused it


@inlined
def copy_terms(target: Struct, source: Struct) -> None:
    """Copy the terms from one struct that begins with them to another."""
    copy_bytes(address_of(target), address_of(source), size_of(OrderTerms))


class Approval(OrderTerms):
    """One order that the risk gate let pass, good for one frame; price and quantity are those to be sent.

    Only `risk.gate` arms it; the order session disarms it as it writes the frame and refuses an unarmed one.
    """

    armed: i64


class Approvals(Struct):
    """The approvals of one mass quote, APPROVALS_MAX at most: pairs of a bid and its ask."""

    count: i64
    items: Annotated[Array, Approval, APPROVALS_MAX]


class Report(Struct):
    """One thing a venue said of one order."""

    kind: i64  # ReportKind
    venue: i64  # index of the venue
    client_order_id: i64
    exchange_order_id: i64
    execution_id: i64  # FILL: counts up within a session, so that each fill is applied exactly once
    instrument: i64  # market index, NO_INSTRUMENT or STRANGE_INSTRUMENT
    side: i64
    price_ticks: i64  # FILL, AMENDED
    qty_lots: i64  # FILL; AMENDED: what was filled before included
    leaves_lots: i64  # FILL, CANCELLED: what is left after it; NOT_TOLD if the venue does not say
    filled_lots: i64  # FILL, CANCELLED: what is filled in all; NOT_TOLD if the venue does not say
    fee_e9: i64  # FILL: settlement currency, positive is paid
    is_maker: i64  # FILL
    match_id: i64  # FILL: the venue's number of the match; 0 where it numbers executions itself
    is_retold: i64  # 1: an earlier run may have heard it already
    queued: i64  # ACK, AMENDED: 1 while the venue holds the order in its speed bump
    reason: i64  # RejectReason
    exchange_time_ns: i64


class Reports(Struct):
    """The reports of one packet."""

    count: i64
    dropped: i64  # did not fit; checked to stay zero
    items: Annotated[Array, Report, REPORTS_MAX]


class Applied(IntEnum):
    """What `apply_report` did. From UNKNOWN_ORDER on it is an alarm: the venue and we differ. Index into `outcomes`."""

    UPDATED = 0  # the order changed and is still open
    CLOSED = 1  # the order is FILLED, CANCELLED or REJECTED: copy it, then `free_order`
    DUPLICATE = 2  # a fill that was applied before; dropped
    LATE = 3  # nothing new: a cancel or amend of an order that had ended by itself, or what an earlier run had heard
    BY_ID = 4  # the answer to a cancel by the venue's id, of which our own orders have nothing to learn
    UNKNOWN_ORDER = 5  # a report for an order that we do not have
    OVERFILL = 6  # a fill larger than what is left
    FILL_AFTER_CLOSE = 7  # a fill for an order that had ended
    BAD_FILL = 8  # a fill of another instrument or side than the order's, or of no size that there can be
    CONTRADICTION = 9  # any other report that the order's state rules out
    BAD_PRICE = 10  # a fill at a price worse than its order's limit, or at none that there can be
    BAD_FEE = 11  # a fee, or a rebate, of more than twice the configured rate and 1 bp
    BAD_LEAVES = 12  # what is said to be left of the order is not what its fills have left
    BAD_INSTRUMENT = 13  # a report of another instrument than the order's
    BAD_EXECUTION = 14  # an execution id that was another fill's, or is out of line


RESTORED = 1  # `Order.is_restored`: of an earlier run
ENGINES_OWN = 2  # the engine's, which trades a position of the strategy's away


class Order(OrderTerms):
    """One order of ours. A slot with state FREE holds none."""

    exchange_order_id: i64  # 0 until acknowledged
    state: i64  # OrderState
    filled_lots: i64
    queued: i64  # 1: held in the venue's speed bump, where it can't be withdrawn
    amend_state: i64  # AmendState
    amend_price_ticks: i64  # the terms last asked for
    amend_lots: i64
    amend_reason: i64  # why it was refused: RejectReason, or the gate's own
    filled_tick_lots: i64  # sum of price_ticks * qty_lots of the fills: / filled_lots is the average price in ticks
    fees_e9: i64  # of the fills, settlement currency, positive is paid
    tag: i64  # the strategy's own
    plan: i64  # the strategy's own number of what it planned to take level by level, 0: nothing; for slippage alone
    created_ns: i64
    acked_ns: i64  # 0: never
    closed_ns: i64  # 0: still open
    cancel_due: i64  # 1: its strategy wants it cancelled, and nothing that says so could be sent yet
    is_restored: i64  # RESTORED or ENGINES_OWN: its strategy knows nothing of it
    is_confirmed: i64  # 1: the venue's account has it open
    reason: i64  # RejectReason when REJECTED or CANCELLED, the gate's own when VETOED


class CancelById(Struct):
    """A cancel by the venue's id that was sent and not answered."""

    exchange_order_id: i64
    venue: i64
    instrument: i64  # market index
    strategy: i64  # number of the strategy that asked


class KnownFill(Struct):
    """A fill that was told."""

    execution_id: i64  # 0: none
    client_order_id: i64
    price_ticks: i64
    qty_lots: i64


class OrderTable(Struct):
    """The engine's orders, ORDERS_MAX at most. An id is counter << ORDERS_BITS | slot: found in O(1), never reused."""

    counter: i64  # of the last order; a restart goes on counting above what an earlier run has reserved
    reserved: i64  # the counter goes no further before more is reserved
    count: i64  # slots taken
    outcomes: Annotated[Array, i64, len(Applied)]  # reports by what became of them
    last_execution_ids: Annotated[Array, i64, VENUES_MAX]  # of the last fill of each venue
    untold: Annotated[Array, i64, VENUES_MAX]  # execution ids below the last that no fill had, by venue
    first_untold: Annotated[Array, i64, VENUES_MAX]  # the lowest of them; 0: there were none
    fills: Annotated[Array, KnownFill, VENUES_MAX * FILLS_REMEMBERED]
    instrument_count: i64  # 0: fees are not looked at
    instruments: Annotated[Pointer, Instrument]  # by market index
    free_slots: Annotated[Array, i64, ORDERS_MAX]  # a stack; the first ORDERS_MAX - count are free
    orders: Annotated[Array, Order, ORDERS_MAX]
    by_id_count: i64
    by_id: Annotated[Array, CancelById, BY_ID_MAX]
    by_id_answered: CancelById  # the last that was answered
    nobody: Order  # what a search returns that finds none; always FREE


def make_order_table(counter: int = 0, instruments: Array | None = None) -> OrderTable:
    """Make an empty table whose first order has number `counter` + 1; `instruments` are those of the market."""
    table = OrderTable(counter=counter)
    if instruments is not None:
        table.instrument_count = len(instruments)
        table.instruments = instruments
    for position in range(ORDERS_MAX):
        table.free_slots[position] = ORDERS_MAX - 1 - position
    return table


@inlined
def new_order(table: OrderTable, now_ns: int) -> Order:
    """Open a new PENDING_NEW order with an id of its own; `nobody`, which is FREE, if ORDERS_MAX are open.

    All else is 0: the caller fills in its terms, tag and plan.
    """
    order = table.nobody
    if table.count < ORDERS_MAX:
        slot = table.free_slots[ORDERS_MAX - 1 - table.count]
        order = table.orders[slot]
        clear_struct(order)
        table.count += 1
        table.counter += 1
        order.client_order_id = table.counter << ORDERS_BITS | slot
        order.state = OrderState.PENDING_NEW
    else:
        clear_struct(order)
    order.created_ns = now_ns
    return order


@compiled
def find_order(table: OrderTable, client_order_id: int) -> Order:
    """Find the order with this id, open or closed and not yet freed; `nobody` (state FREE) if there is none."""
    order = table.orders[client_order_id & (ORDERS_MAX - 1)]
    if order.state == OrderState.FREE or order.client_order_id != client_order_id:
        return table.nobody
    return order


@compiled
def find_exchange_order(table: OrderTable, venue: int, exchange_order_id: int) -> Order:
    """Find the open order that the venue calls by this number, among all open ones; `nobody` if there is none."""
    left = table.count
    for slot in range(ORDERS_MAX):
        if left == 0:
            break
        order = table.orders[slot]
        if order.state != OrderState.FREE:
            left -= 1
            if order.exchange_order_id == exchange_order_id and order.venue == venue and is_open(order):
                return order
    return table.nobody


@compiled
def is_open(order: Order) -> bool:
    """Tell whether the order can still be filled."""
    return order.state >= OrderState.PENDING_NEW and order.state <= OrderState.PENDING_CANCEL


@compiled
def is_unsettled_quote(order: Order) -> bool:
    """Tell whether a quote is unanswered or held: what would become of a quote after it is not known."""
    if order.is_quote == 0 or not is_open(order):
        return False
    return order.state == OrderState.PENDING_NEW or order.queued != 0


@compiled
def cancel_sent(order: Order) -> None:
    """Note that a cancel request for this open order left the engine."""
    order.state = OrderState.PENDING_CANCEL


@compiled
def open_lots(order: Order) -> int:
    """Count what of an order may still be filled, at worst: an amend on its way may already be in force."""
    if not is_open(order):
        return 0
    qty_lots = order.qty_lots
    if order.amend_state == AmendState.PENDING:
        qty_lots = max(qty_lots, order.amend_lots)
    return qty_lots - order.filled_lots


@compiled
def amend_sent(order: Order, price_ticks: int, qty_lots: int) -> None:
    """Note that a request for these terms left the engine; one at a time."""
    assert order.amend_state != AmendState.PENDING
    order.amend_state = AmendState.PENDING
    order.amend_price_ticks = price_ticks
    order.amend_lots = qty_lots
    order.amend_reason = RejectReason.NONE


@compiled
def expect_cancel_by_id(table: OrderTable, venue: int, instrument: int, exchange_order_id: int, strategy: int) -> bool:
    """Note a cancel by the venue's id, so that its answer is no alarm; False if BY_ID_MAX are without one."""
    if table.by_id_count >= BY_ID_MAX:
        return False
    asked = table.by_id[table.by_id_count]
    table.by_id_count += 1
    asked.exchange_order_id = exchange_order_id
    asked.venue = venue
    asked.instrument = instrument
    asked.strategy = strategy
    return True


@compiled
def take_cancel_by_id(table: OrderTable, venue: int, exchange_order_id: int) -> bool:
    """Tell whether a cancel of this id was expected; it no longer is, and `by_id_answered` is it."""
    for position in range(table.by_id_count):
        asked = table.by_id[position]
        if asked.exchange_order_id == exchange_order_id and asked.venue == venue:
            copy_struct(table.by_id_answered, asked)
            table.by_id_count -= 1
            if position < table.by_id_count:
                copy_struct(asked, table.by_id[table.by_id_count])
            return True
    return False


@compiled
def close_order(order: Order, state: int, reason: int, now_ns: int) -> None:
    """End the order: FILLED, CANCELLED, REJECTED or VETOED."""
    if order.filled_lots > order.qty_lots:
        # An amend that nobody answered must have been in force.
        order.price_ticks = order.amend_price_ticks
        order.qty_lots = order.amend_lots
        order.amend_state = AmendState.DONE
    order.state = state
    order.reason = reason
    order.closed_ns = now_ns


@compiled
def free_order(table: OrderTable, order: Order) -> None:
    """Give back the slot of an order that has ended and was recorded."""
    assert order.state > OrderState.PENDING_CANCEL
    order.state = OrderState.FREE
    table.count -= 1
    table.free_slots[ORDERS_MAX - 1 - table.count] = order.client_order_id & (ORDERS_MAX - 1)


@compiled
def is_alarm(outcome: int) -> bool:
    """Tell whether what a venue said contradicts what we hold: then stop sending and reconcile.

    A fill among them (kind FILL) did happen at the venue, so the caller still books it to the position.
    """
    return outcome >= Applied.UNKNOWN_ORDER


@compiled
def apply_report(table: OrderTable, report: Report, now_ns: int) -> int:
    """Apply what a venue said of one order; return and count `Applied`.

    Sets the report's instrument from the order's if the venue named none. An order that ends keeps its slot until
    `free_order`.
    """
    if report.kind == ReportKind.FILL:
        outcome = _apply_fill(table, report, now_ns)
        if is_alarm(outcome):
            _make_bookable(table, report, find_order(table, report.client_order_id))
    elif report.kind == ReportKind.AMENDED or report.kind == ReportKind.AMEND_REJECTED:
        outcome = _apply_amend(table, report, now_ns)
    else:
        was_asked = False
        if table.by_id_count != 0 and report.kind != ReportKind.ACK:
            was_asked = take_cancel_by_id(table, report.venue, report.exchange_order_id)
        # Another session, or an earlier run, may have given its order a number that is one of ours too.
        if was_asked and find_order(table, report.client_order_id).exchange_order_id != report.exchange_order_id:
            outcome = Applied.BY_ID
        else:
            outcome = _apply_state(table, report, now_ns)
            if was_asked and outcome >= Applied.LATE:
                outcome = Applied.BY_ID
    table.outcomes[outcome] += 1
    return outcome


@compiled
def _apply_fill(table: OrderTable, report: Report, now_ns: int) -> int:
    outcome = _place_execution(table, report)
    if outcome != Applied.UPDATED:
        return outcome
    order = find_order(table, report.client_order_id)
    if order.state == OrderState.FREE or order.venue != report.venue:
        return Applied.UNKNOWN_ORDER
    if report.instrument == NO_INSTRUMENT:
        report.instrument = order.instrument
    outcome = _doubt_fill(table, report, order)
    if outcome != Applied.UPDATED:
        return outcome
    order.filled_lots += report.qty_lots
    order.filled_tick_lots += report.price_ticks * report.qty_lots
    order.fees_e9 += report.fee_e9
    is_all = order.filled_lots == order.qty_lots
    if order.amend_state == AmendState.PENDING and report.leaves_lots != NOT_TOLD:
        is_all = report.leaves_lots == 0
    if is_all:
        close_order(order, OrderState.FILLED, RejectReason.NONE, now_ns)
        return Applied.CLOSED
    return Applied.UPDATED


@compiled
def _place_execution(table: OrderTable, report: Report) -> int:
    """Tell by its execution id whether a fill is new (UPDATED), a copy or an alarm; with another's id it is no fill."""
    last = table.last_execution_ids[report.venue]
    known = table.fills[report.venue * FILLS_REMEMBERED + (report.execution_id & (FILLS_REMEMBERED - 1))]
    if known.execution_id == report.execution_id and report.execution_id != 0:
        is_copy = known.client_order_id == report.client_order_id and known.qty_lots == report.qty_lots
        if is_copy and known.price_ticks == report.price_ticks:
            return Applied.DUPLICATE
        report.instrument = NO_INSTRUMENT
        return Applied.BAD_EXECUTION
    if report.execution_id >= 1 and report.execution_id <= last:
        if not _may_be_untold(table, report):
            return Applied.DUPLICATE
        if known.execution_id > report.execution_id:
            # Whatever had this id is not remembered any more, so whether this is a copy can't be told.
            report.instrument = NO_INSTRUMENT
            return Applied.BAD_EXECUTION
    known.execution_id = report.execution_id
    known.client_order_id = report.client_order_id
    known.price_ticks = report.price_ticks
    known.qty_lots = report.qty_lots
    if report.execution_id < 1:
        return Applied.BAD_EXECUTION
    if report.execution_id - last > EXECUTION_STEP_MAX and (last != 0 or report.execution_id >> 61 != 0):
        return Applied.BAD_EXECUTION
    _count_untold(table, report.venue, report.execution_id)
    return Applied.UPDATED


@compiled
def _may_be_untold(table: OrderTable, report: Report) -> bool:
    """Tell whether an execution id not above the last may be one that no fill has had: ids came out of order then."""
    first = table.first_untold[report.venue]
    return table.untold[report.venue] != 0 and report.execution_id >= first


@compiled
def _count_untold(table: OrderTable, venue: int, execution_id: int) -> None:
    """Note that an id was told; those that it leaves out below it may come yet."""
    last = table.last_execution_ids[venue]
    if execution_id < last:
        table.untold[venue] -= 1
        return
    if execution_id > last + 1:
        if table.untold[venue] == 0:
            table.first_untold[venue] = last + 1
        table.untold[venue] += execution_id - last - 1
    table.last_execution_ids[venue] = execution_id


@compiled
def _doubt_fill(table: OrderTable, report: Report, order: Order) -> int:
    """Hold a fill against what was asked for; UPDATED if nothing speaks against it."""
    if not is_open(order):
        return Applied.FILL_AFTER_CLOSE
    if report.instrument != order.instrument or report.side != order.side or report.qty_lots <= 0:
        return Applied.BAD_FILL
    if report.qty_lots > open_lots(order):
        return Applied.OVERFILL
    if not _is_price(table, report) or _is_through_limit(report, order):
        return Applied.BAD_PRICE
    if not _adds_up(report, order, report.qty_lots):
        return Applied.BAD_LEAVES
    if report.instrument < table.instrument_count:
        instrument = table.instruments[report.instrument]
        # Of a combination the price may be negative, or nothing, by which no inverse contract can be valued.
        value_e9 = settlement_value_e9(instrument, max(1, abs(report.price_ticks)), report.qty_lots)
        rate_e9 = max(abs(instrument.maker_fee_e9), abs(instrument.taker_fee_e9))
        fee_max_e9 = multiply_e9(value_e9, 2 * rate_e9 + FEE_SLACK_E9) + FEE_ROUNDING_E9
        if report.fee_e9 < -fee_max_e9 or report.fee_e9 > fee_max_e9:
            return Applied.BAD_FEE
    return Applied.UPDATED


@inlined
def may_be_of(order: Order, qty_lots: int) -> bool:
    """Tell whether an order may be of so many lots at its venue: while an amend is under way either quantity holds."""
    is_asked = order.amend_state == AmendState.PENDING and qty_lots == order.amend_lots
    return qty_lots == order.qty_lots or is_asked


@inlined
def _adds_up(report: Report, order: Order, qty_lots: int) -> bool:
    """Tell whether what is said to be filled and left of an order is so, with `qty_lots` more of it filled."""
    filled_lots = order.filled_lots + qty_lots
    if report.leaves_lots != NOT_TOLD and not may_be_of(order, report.leaves_lots + filled_lots):
        return False
    return report.filled_lots == NOT_TOLD or report.filled_lots == filled_lots


@inlined
def _is_price(table: OrderTable, report: Report) -> bool:
    """Tell whether there can be such a price: of a combination of instruments it may be below 1."""
    lowest_ticks = 1
    if report.instrument >= 0 and report.instrument < table.instrument_count:
        if table.instruments[report.instrument].kind == Kind.COMBO:
            lowest_ticks = -FILL_TICKS_MAX
    return report.price_ticks >= lowest_ticks and report.price_ticks <= FILL_TICKS_MAX


@inlined
def _is_through_limit(report: Report, order: Order) -> bool:
    """Tell whether a fill is worse than its order's limit. While an amend is under way either limit may hold."""
    limit_ticks = order.price_ticks
    if order.amend_state == AmendState.PENDING:
        asked_ticks = order.amend_price_ticks
        limit_ticks = max(limit_ticks, asked_ticks) if order.side == BUY else min(limit_ticks, asked_ticks)
    return report.price_ticks > limit_ticks if order.side == BUY else report.price_ticks < limit_ticks


@compiled
def _make_bookable(table: OrderTable, report: Report, order: Order) -> None:
    """Leave of a fill that raises an alarm what can be booked: its size, at its order's price if its own can't be."""
    if report.qty_lots < 1 or report.qty_lots > FILL_LOTS_MAX:
        report.instrument = NO_INSTRUMENT
    if not _is_price(table, report):
        report.price_ticks = order.price_ticks
        if order.state == OrderState.FREE:
            report.instrument = NO_INSTRUMENT
    if report.fee_e9 < -FILL_FEE_MAX_E9 or report.fee_e9 > FILL_FEE_MAX_E9:
        report.fee_e9 = 0


@compiled
def _apply_state(table: OrderTable, report: Report, now_ns: int) -> int:
    order = find_order(table, report.client_order_id)
    if report.is_retold != 0 and _is_known(report, order):
        return Applied.LATE
    if order.state == OrderState.FREE or order.venue != report.venue or not is_open(order):
        if report.kind == ReportKind.CANCEL_REJECTED or report.kind == ReportKind.CONVERTED:
            return Applied.LATE
        return Applied.UNKNOWN_ORDER if order.state == OrderState.FREE else Applied.CONTRADICTION
    if report.instrument == NO_INSTRUMENT:
        report.instrument = order.instrument
    if report.instrument != order.instrument:
        return Applied.BAD_INSTRUMENT
    if report.kind == ReportKind.ACK:
        # A second one is for an order that was held and now lives.
        if order.acked_ns != 0 and order.queued == 0:
            return Applied.CONTRADICTION
        order.queued = report.queued
        order.acked_ns = now_ns
        order.exchange_order_id = report.exchange_order_id
        if order.state == OrderState.PENDING_NEW:
            order.state = OrderState.LIVE
        return Applied.UPDATED
    if report.kind == ReportKind.CANCELLED:
        if not _adds_up(report, order, 0):
            return Applied.BAD_LEAVES
        close_order(order, OrderState.CANCELLED, report.reason, now_ns)
        return Applied.CLOSED
    if report.kind == ReportKind.REJECTED:
        if order.acked_ns != 0 or order.filled_lots != 0:
            return Applied.CONTRADICTION
        close_order(order, OrderState.REJECTED, report.reason, now_ns)
        return Applied.CLOSED
    if report.kind == ReportKind.CONVERTED:
        order.time_in_force = TimeInForce.IOC
    elif order.state != OrderState.PENDING_CANCEL:
        # A quote has the venue's id of the one whose place it took: a cancel under way to that one is answered with it.
        return Applied.LATE if order.is_quote != 0 else Applied.CONTRADICTION
    order.state = OrderState.LIVE if order.acked_ns != 0 else OrderState.PENDING_NEW
    return Applied.UPDATED


@compiled
def _is_known(report: Report, order: Order) -> bool:
    """Tell whether something that is told again changes nothing: the order has ended, or is so already."""
    if order.state == OrderState.FREE or order.venue != report.venue or not is_open(order):
        return True
    if report.kind == ReportKind.ACK:
        return order.acked_ns != 0 and (order.queued == 0 or report.queued != 0)
    return report.kind == ReportKind.CANCEL_REJECTED and order.state != OrderState.PENDING_CANCEL


@compiled
def _apply_amend(table: OrderTable, report: Report, now_ns: int) -> int:
    order = find_order(table, report.client_order_id)
    is_ours = order.state != OrderState.FREE and order.venue == report.venue
    if report.kind == ReportKind.AMEND_REJECTED and (not is_ours or not is_open(order)):
        return Applied.LATE
    if report.is_retold != 0 and (not is_ours or order.amend_state != AmendState.PENDING):
        return Applied.LATE
    if not is_ours:
        return Applied.UNKNOWN_ORDER
    if report.instrument == NO_INSTRUMENT:
        report.instrument = order.instrument
    if report.instrument != order.instrument:
        return Applied.BAD_INSTRUMENT
    if not is_open(order) or order.amend_state != AmendState.PENDING:
        return Applied.CONTRADICTION
    if report.kind == ReportKind.AMEND_REJECTED:
        order.amend_state = AmendState.REJECTED
        order.amend_reason = report.reason
        return Applied.UPDATED
    # The gate judged what was asked for: other terms were never allowed.
    if report.price_ticks != order.amend_price_ticks or report.qty_lots != order.amend_lots:
        return Applied.CONTRADICTION
    if report.qty_lots < order.filled_lots:
        return Applied.CONTRADICTION
    order.amend_state = AmendState.DONE
    order.price_ticks = report.price_ticks
    order.qty_lots = report.qty_lots
    order.queued = report.queued
    if order.qty_lots == order.filled_lots:
        close_order(order, OrderState.FILLED, RejectReason.NONE, now_ns)
        return Applied.CLOSED
    return Applied.UPDATED
