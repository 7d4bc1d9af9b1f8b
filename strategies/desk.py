"""What a strategy sees and what it may ask for.

A strategy reads books, instruments and its own positions, and writes requests; the loop takes each request through the
risk gate and onto the wire within the same turn, before the next frame is looked at.
"""

from typing import Annotated

from crosswire.nic.duration import NS_PER_S
from crosswire.nic.journal.journal import Journal, begin_record, commit_record
from crosswire.nic.memory.raw import store_i64_release
from crosswire.nic.memory.struct import (
    Array,
    Pointer,
    Struct,
    address_of,
    clear_struct,
    copy_struct,
    i64,
    size_of,
    view,
)
from crosswire.nic.rings.ring import NEVER_NS
from crosswire.nic.unit.compile import compiled, inlined
from crosswire.risk.position import Position
from crosswire.risk.records import VERSION, LogRecord, OpportunityRecord, RecordKind, TradeRecord, ValueRecord
from crosswire.strategies.planned import NO_PLAN, PLANS_MAX, OrderPlan
from crosswire.venues.book.book import Book
from crosswire.venues.instrument import Instrument
from crosswire.venues.order import IOC, POST_ONLY
from crosswire.venues.side import BUY

LINES_MAX = 32  # that `log` writes in one second of the run's clock; more are dropped and counted
LINES_KEPT = 128  # of those written last, for who looks at a live run now and then
VALUES_MAX = 64  # that `record_value` writes at one time; more are dropped and counted
TIMERS_MAX = 8  # of `set_timer`
REQUESTS_MAX = 64  # of one turn of the loop; more are dropped and counted

NEW_ORDER = 0
CANCEL_ORDER = 1
AMEND_ORDER = 2
CANCEL_BY_ID = 3
QUOTE = 4  # the bid; the ask is the next request
CANCEL_ALL = 5
CANCEL_ALL_OF = 6  # of one instrument


class Request(Struct):
    """One request of the strategy."""

    kind: i64  # NEW_ORDER, CANCEL_ORDER, ...
    instrument: i64  # market index
    side: i64
    time_in_force: i64
    price_ticks: i64
    qty_lots: i64
    decision_ticks: i64  # the price that the decision was based on: slippage is measured against it
    trade_id: i64  # groups the legs of one trade; 0: none
    tag: i64  # the strategy's own, handed back with the order
    client_order_id: i64  # CANCEL_ORDER, AMEND_ORDER: which
    exchange_order_id: i64  # CANCEL_BY_ID: which
    plan: i64  # place in `Desk.plans` plus one of what the order is planned to take; 0: none


class Desk(Struct):
    """The strategy's view of the run. Index everything by market index, 0 to `instrument_count` - 1."""

    strategy: i64  # number of the desk's own strategy in the run
    now_ns: i64  # the run's clock
    trigger_ns: i64  # receive time of the frame being acted on, 0 while it is a timer's turn
    timer_ns: i64  # when on_timer is wanted next; NEVER_NS: never
    first_timer_ns: i64  # the earliest of `timers_ns`
    instrument_count: i64
    instruments: Annotated[Pointer, Instrument]
    books: Annotated[Pointer, Book]
    positions: Annotated[Pointer, Position]
    journal: Annotated[Pointer, Journal]  # one
    opportunity: OpportunityRecord  # being filled in
    trade: TradeRecord  # being filled in
    last_trade_id: i64
    requests_dropped: i64
    cancels_asked: i64  # orders that `cancel_all` and `cancel_all_of` have asked to cancel
    catch_up_due: i64  # 1: `catch_up` is wanted once what was asked for is on the wire
    values_ns: i64  # when `record_value` wrote last, and how many then
    value_count: i64
    values_dropped: i64
    message_count: i64  # that `Strategy.messages` names
    lines_ns: i64  # when the second of `log` began, and how many lines it has
    lines_in_second: i64
    lines_dropped: i64
    plans: Annotated[Array, OrderPlan, PLANS_MAX]  # of the orders that name one; fills use them up
    timers_ns: Annotated[Array, i64, TIMERS_MAX]  # when on_named_timer is wanted of each; NEVER_NS: never
    request_count: i64
    requests: Annotated[Array, Request, REQUESTS_MAX]
    line_count: Annotated[Array, i64, 1]  # lines that `log` has written; set behind the line
    lines: Annotated[Array, LogRecord, LINES_KEPT]  # the last ones, each at its number modulo LINES_KEPT


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
    plan: int = NO_PLAN,
) -> bool:
    """Ask for a new limit order. False, counted and not asked for, if REQUESTS_MAX requests of this turn are taken or
    there is no such instrument.

    What becomes of it arrives in on_order (vetoed, live, rejected, cancelled, filled) and on_fill. `decision_ticks` is
    the price that slippage is measured against, 0 for the order's own; `trade_id` groups the legs of one trade; `tag`
    is the strategy's own and comes back with the order. `plan` is the place plus one in `desk.plans` of the levels that
    the order is planned to take: slippage is then measured against each level's own price.
    """
    if not _has_room(desk, instrument, 1):
        return False
    decision_ticks = decision_ticks if decision_ticks != 0 else price_ticks
    add_order(desk, instrument, side, price_ticks, qty_lots, time_in_force, decision_ticks, trade_id, tag, plan)
    return True


@inlined
def add_order(
    desk: Desk,
    instrument: int,
    side: int,
    price_ticks: int,
    qty_lots: int,
    time_in_force: int,
    decision_ticks: int,
    trade_id: int,
    tag: int,
    plan: int,
) -> None:
    """Ask for what `submit` asks for where it is known that there is room and such an instrument."""
    request = _add_request(desk, NEW_ORDER, instrument, price_ticks, qty_lots)
    request.side = side
    request.time_in_force = time_in_force
    request.decision_ticks = decision_ticks
    request.trade_id = trade_id
    request.tag = tag
    request.plan = plan


@compiled
def cancel(desk: Desk, client_order_id: int) -> bool:
    """Ask to cancel an order or a side of a quote; False, counted, if REQUESTS_MAX requests of this turn are taken.

    Nothing is sent for an order whose cancel is under way, nor for a quote that the venue has not answered yet. Another
    strategy's order is left alone; that counts in `requests_dropped`, here and in `amend`.
    """
    if not _has_room(desk, 0, 1):
        return False
    _add_request(desk, CANCEL_ORDER, 0, 0, 0).client_order_id = client_order_id
    return True


@compiled
def cancel_all(desk: Desk) -> bool:
    """Ask to cancel all open orders and quotes of the strategy; False as with `cancel`.

    Those that it has asked for before in the same turn are among them, later ones are not. What becomes of each arrives
    in on_order. One that can't be cancelled yet, as a quote without an answer, is as soon as it can.
    """
    if not _has_room(desk, 0, 1):
        return False
    _add_request(desk, CANCEL_ALL, 0, 0, 0)
    return True


@compiled
def cancel_all_of(desk: Desk, instrument: int) -> bool:
    """Ask for what `cancel_all` does, of one instrument; False as with `submit`."""
    if not _has_room(desk, instrument, 1):
        return False
    _add_request(desk, CANCEL_ALL_OF, instrument, 0, 0)
    return True


@compiled
def amend(desk: Desk, client_order_id: int, price_ticks: int, qty_lots: int) -> bool:
    """Ask for another price and quantity of a live order; `qty_lots` is with what is filled. False as with `cancel`.

    What becomes of it arrives in on_order as `order.amend_state`: DONE, REJECTED or VETOED. One amend of an order may
    be under way, and none after its cancel; for an order that has ended the request is forgotten.
    """
    if not _has_room(desk, 0, 1):
        return False
    _add_request(desk, AMEND_ORDER, 0, price_ticks, qty_lots).client_order_id = client_order_id
    return True


@compiled
def cancel_by_id(desk: Desk, instrument: int, exchange_order_id: int) -> bool:
    """Ask to cancel an order by the venue's own id, as when ours is not known any more. False as with `submit`.

    An open order of this run is cancelled as by `cancel`. Of any other the answer arrives in on_order with an order
    that has nothing but its instrument, the venue's id and a state: CANCELLED, REJECTED if the venue refused, VETOED
    if nothing was sent.
    """
    if exchange_order_id == 0 or not _has_room(desk, instrument, 1):
        return False
    _add_request(desk, CANCEL_BY_ID, instrument, 0, 0).exchange_order_id = exchange_order_id
    return True


@compiled
def quote(
    desk: Desk,
    instrument: int,
    bid_ticks: int,
    bid_lots: int,
    ask_ticks: int,
    ask_lots: int,
    time_in_force: int = POST_ONLY,
    tag: int = 0,
) -> bool:
    """Ask for a bid and an ask in place of those that the last quote of the instrument left; False as with `submit`.

    Quotes of one venue that are asked for one after another leave in one message. Each side is an order with an id of
    its own: on_order and on_fill tell what becomes of it, and that the one which it replaced is CANCELLED. Both sides
    pass the gate or neither does. Until the venue has answered, and while it holds a side in its speed bump, the next
    quote of the instrument is vetoed.
    """
    if not _has_room(desk, instrument, 2):
        return False
    for side in range(2):
        price_ticks = bid_ticks if side == BUY else ask_ticks
        request = _add_request(desk, QUOTE, instrument, price_ticks, bid_lots if side == BUY else ask_lots)
        request.side = side
        request.time_in_force = time_in_force
        request.decision_ticks = price_ticks
        request.tag = tag
    return True


@compiled
def _has_room(desk: Desk, instrument: int, count: int) -> bool:
    """Tell whether this many requests can be added; count them as dropped if not."""
    if desk.request_count + count <= REQUESTS_MAX and 0 <= instrument < desk.instrument_count:
        return True
    desk.requests_dropped += count
    return False


@inlined
def _add_request(desk: Desk, kind: int, instrument: int, price_ticks: int, qty_lots: int) -> Request:
    """Add a request, all else 0."""
    request = desk.requests[desk.request_count]
    desk.request_count += 1
    clear_struct(request)
    request.kind = kind
    request.instrument = instrument
    request.price_ticks = price_ticks
    request.qty_lots = qty_lots
    return request


@compiled
def wake_at(desk: Desk, time_ns: int) -> None:
    """Ask for on_timer at `time_ns`, or earlier if that was asked before; never at this very instant again."""
    desk.timer_ns = min(desk.timer_ns, max(time_ns, desk.now_ns + 1))


@compiled
def set_timer(desk: Desk, timer: int, time_ns: int) -> bool:
    """Ask for on_named_timer of a timer, 0 to TIMERS_MAX - 1, at `time_ns`, in place of what was asked of it before.

    Never at this very instant again. False, counted with the dropped requests, if there is no such timer.
    """
    if timer < 0 or timer >= TIMERS_MAX:
        desk.requests_dropped += 1
        return False
    desk.timers_ns[timer] = max(time_ns, desk.now_ns + 1)
    find_first_timer(desk)
    return True


@compiled
def stop_timer(desk: Desk, timer: int) -> bool:
    """Ask for on_named_timer of a timer no more, until it is set again. False as with `set_timer`."""
    return set_timer(desk, timer, NEVER_NS)


def clear_timers(desk: Desk) -> None:
    """Have no timer be set, before a desk is used."""
    desk.timer_ns = NEVER_NS
    for timer in range(TIMERS_MAX):
        desk.timers_ns[timer] = NEVER_NS
    desk.first_timer_ns = NEVER_NS


@compiled
def take_first_timer(desk: Desk) -> int:
    """Take the timer that is due first, of several at one time the lowest: it is set no more."""
    first = 0
    for timer in range(TIMERS_MAX):
        if desk.timers_ns[timer] < desk.timers_ns[first]:
            first = timer
    desk.timers_ns[first] = NEVER_NS
    find_first_timer(desk)
    return first


@compiled
def find_first_timer(desk: Desk) -> None:
    """Note when the first timer is due."""
    desk.first_timer_ns = desk.timers_ns[0]
    for timer in range(1, TIMERS_MAX):
        desk.first_timer_ns = min(desk.first_timer_ns, desk.timers_ns[timer])


@compiled
def next_trade_id(desk: Desk) -> int:
    """Return a number for a new trade, counting up from 1."""
    desk.last_trade_id += 1
    return desk.last_trade_id


@compiled
def new_opportunity(desk: Desk) -> OpportunityRecord:
    """Begin an opportunity's record; fill it in, then `record_opportunity`."""
    clear_struct(desk.opportunity)
    desk.opportunity.strategy = desk.strategy
    return desk.opportunity


@compiled
def record_opportunity(desk: Desk) -> None:
    """Write the record that `new_opportunity` began."""
    journal = desk.journal[0]
    copy_struct(view(OpportunityRecord, begin_record(journal, size_of(OpportunityRecord))), desk.opportunity)
    commit_record(journal, RecordKind.OPPORTUNITY, VERSION, size_of(OpportunityRecord), desk.now_ns)


@compiled
def new_trade(desk: Desk) -> TradeRecord:
    """Begin a trade's record; fill it in, then `record_trade`."""
    clear_struct(desk.trade)
    desk.trade.strategy = desk.strategy
    return desk.trade


@compiled
def record_trade(desk: Desk) -> None:
    """Write the record that `new_trade` began."""
    journal = desk.journal[0]
    copy_struct(view(TradeRecord, begin_record(journal, size_of(TradeRecord))), desk.trade)
    commit_record(journal, RecordKind.TRADE, VERSION, size_of(TradeRecord), desk.now_ns)


@compiled
def record_value(desk: Desk, series: int, value_e9: int) -> bool:
    """Write a value of one of the strategy's own series, for the report: number `series` of `Strategy.series`.

    `value_e9` is 1e-9 of whatever it is counted in. False, counted and not written, behind VALUES_MAX at one time.
    """
    if desk.values_ns != desk.now_ns:
        desk.values_ns = desk.now_ns
        desk.value_count = 0
    if desk.value_count == VALUES_MAX:
        desk.values_dropped += 1
        return False
    desk.value_count += 1
    journal = desk.journal[0]
    record = view(ValueRecord, begin_record(journal, size_of(ValueRecord)))
    record.time_ns = desk.now_ns
    record.strategy = desk.strategy
    record.series = series
    record.value_e9 = value_e9
    commit_record(journal, RecordKind.VALUE, VERSION, size_of(ValueRecord), desk.now_ns)
    return True


@compiled
def log(desk: Desk, message: int, value: int = 0, value_2: int = 0, value_3: int = 0, value_4: int = 0) -> bool:
    """Say a line: number `message` of `Strategy.messages`, with the values in its places.

    The text is made outside the loop: in the report, in `crosswire journal` and, of a live run, on its console and in
    its log. False, counted and not written, of a message that there is not, and behind LINES_MAX in one second.
    """
    if desk.now_ns - desk.lines_ns >= NS_PER_S:
        desk.lines_ns = desk.now_ns
        desk.lines_in_second = 0
    if message < 0 or message >= desk.message_count or desk.lines_in_second == LINES_MAX:
        desk.lines_dropped += 1
        return False
    desk.lines_in_second += 1
    number = desk.line_count[0]
    line = desk.lines[number % LINES_KEPT]
    line.time_ns = desk.now_ns
    line.strategy = desk.strategy
    line.message = message
    line.value = value
    line.value_2 = value_2
    line.value_3 = value_3
    line.value_4 = value_4
    store_i64_release(address_of(desk.line_count), number + 1)
    journal = desk.journal[0]
    copy_struct(view(LogRecord, begin_record(journal, size_of(LogRecord))), line)
    commit_record(journal, RecordKind.LOG, VERSION, size_of(LogRecord), desk.now_ns)
    return True
