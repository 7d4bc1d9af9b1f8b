"""What a strategy sees and what it may ask for.

A strategy reads books, instruments and its own positions, and writes requests; the loop takes each request through the
risk gate and onto the wire within the same turn, before the next frame is looked at.
"""

from typing import Annotated

from crosswire.nic.memory.struct import Array, Pointer, Struct, i64
from crosswire.nic.unit.compile import compiled
from crosswire.risk.position import Position
from crosswire.risk.records import OpportunityRecord, Records, TradeRecord, append
from crosswire.venues.book.book import Book
from crosswire.venues.instrument import Instrument
from crosswire.venues.order import IOC

REQUESTS_MAX = 64  # of one turn of the loop; more are dropped and counted

NEW_ORDER = 0
CANCEL_ORDER = 1


class Request(Struct):
    """One wish of the strategy."""

    kind: i64  # NEW_ORDER or CANCEL_ORDER
    instrument: i64  # market index
    side: i64
    time_in_force: i64
    price_ticks: i64
    qty_lots: i64
    decision_ticks: i64  # the price that the decision was based on: slippage is measured against it
    trade_id: i64  # groups the legs of one trade; 0: none
    tag: i64  # the strategy's own, handed back with the order
    client_order_id: i64  # CANCEL_ORDER: which


class Desk(Struct):
    """The strategy's view of the run. Index everything by market index, 0 to `instrument_count` - 1."""

    strategy: i64  # number of the desk's own strategy in the run
    now_ns: i64  # the run's clock
    trigger_ns: i64  # receive time of the frame being acted on
    timer_ns: i64  # when on_timer is wanted next; NEVER_NS: never
    instrument_count: i64
    instruments: Annotated[Pointer, Instrument]
    books: Annotated[Pointer, Book]
    positions: Annotated[Pointer, Position]
    records: Annotated[Pointer, Records]  # one
    last_trade_id: i64
    requests_dropped: i64
    request_count: i64
    requests: Annotated[Array, Request, REQUESTS_MAX]


@compiled
def submit(
    desk: Desk,
    instrument: int,
    side: int,
    price_ticks: int,
    qty_lots: int,
    time_in_force: int = IOC,
    decision_ticks: int = 0,
    trade_id: int = 0,
    tag: int = 0,
) -> bool:
    """Ask for a new limit order. False, counted and not asked for, if REQUESTS_MAX requests of this turn are taken or
    there is no such instrument.

    What becomes of it arrives in on_order (vetoed, live, rejected, cancelled, filled) and on_fill. `decision_ticks` is
    the price that slippage is measured against, 0 for the order's own; `trade_id` groups the legs of one trade; `tag`
    is the strategy's own and comes back with the order.
    """
    if desk.request_count >= REQUESTS_MAX or instrument < 0 or instrument >= desk.instrument_count:
        desk.requests_dropped += 1
        return False
    request = desk.requests[desk.request_count]
    desk.request_count += 1
    request.kind = NEW_ORDER
    request.instrument = instrument
    request.side = side
    request.time_in_force = time_in_force
    request.price_ticks = price_ticks
    request.qty_lots = qty_lots
    request.decision_ticks = decision_ticks if decision_ticks != 0 else price_ticks
    request.trade_id = trade_id
    request.tag = tag
    request.client_order_id = 0
    return True


@compiled
def cancel(desk: Desk, client_order_id: int) -> bool:
    """Ask to cancel an order; False, counted, if REQUESTS_MAX requests of this turn are taken."""
    if desk.request_count >= REQUESTS_MAX:
        desk.requests_dropped += 1
        return False
    request = desk.requests[desk.request_count]
    desk.request_count += 1
    request.kind = CANCEL_ORDER
    request.client_order_id = client_order_id
    return True


@compiled
def wake_at(desk: Desk, time_ns: int) -> None:
    """Ask for on_timer at `time_ns`, or earlier if that was asked before; never at this very instant again."""
    desk.timer_ns = min(desk.timer_ns, max(time_ns, desk.now_ns + 1))


@compiled
def next_trade_id(desk: Desk) -> int:
    """A number for a new trade, counting up from 1."""
    desk.last_trade_id += 1
    return desk.last_trade_id


@compiled
def record_opportunity(desk: Desk) -> OpportunityRecord:
    """A new opportunity record, to be filled in now."""
    record = append(desk.records[0].opportunities)
    record.strategy = desk.strategy
    return record


@compiled
def record_trade(desk: Desk) -> TradeRecord:
    """A new trade record, to be filled in now."""
    record = append(desk.records[0].trades)
    record.strategy = desk.strategy
    return record
