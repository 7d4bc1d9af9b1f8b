"""A parent order: a size that is worked in slices, one child order after another, each in its interval.

    class Mine(Strategy):
        exit: ParentOrder                           # build: set_parent_order(strategy.exit, instrument, timer=0, tag=2)

    to begin:         work_parent_order(strategy.exit, desk, SELL, limit_ticks, total_lots, slice_lots, interval_ns)
    on_named_timer:   parent_order_due(strategy.exit, desk, timer)
    on_order:         parent_order_changed(strategy.exit, desk, order)

A child is an IOC order at the limit, sent only where the best opposite price is within it, so that it takes what is
there and leaves nothing behind. There is one at most: what is filled and what is out is never more than the whole.
"""

from crosswire.nic.memory.struct import Struct, i64
from crosswire.nic.unit.compile import compiled
from crosswire.strategies.desk import TIMERS_MAX, Desk, set_timer, stop_timer, submit
from crosswire.venues.order import Order, OrderState
from crosswire.venues.side import BUY

REFUSALS_MAX = 8  # of children in a row: then it is stopped

NONE = 0  # nothing was asked for
WORKING = 1
FILLED = 2
STOPPED = 3  # by the strategy, or by REFUSALS_MAX; a child may still be out


class ParentOrder(Struct):
    """The whole, and how far it is."""

    instrument: i64
    timer: i64  # its own, of the strategy's
    tag: i64  # its children's: no other order of the strategy has it
    side: i64
    limit_ticks: i64
    total_lots: i64
    slice_lots: i64  # of a child, at most
    interval_ns: i64  # between two children
    state: i64  # NONE, WORKING, ...
    filled_lots: i64  # by children that have ended
    child_lots: i64  # of the child that is out; 0: none is
    children: i64
    refusals: i64  # in a row


def set_parent_order(parent: ParentOrder, instrument: int, timer: int, tag: int) -> None:
    """Set up what is to be worked, in `build`. ValueError: there is no such timer, or `tag` is below 1."""
    if not 0 <= timer < TIMERS_MAX:
        raise ValueError(f"timer = {timer}: must be 0 to {TIMERS_MAX - 1}")
    if tag < 1:
        raise ValueError(f"tag = {tag}: must be 1 or more")
    parent.instrument, parent.timer, parent.tag = instrument, timer, tag


@compiled
def work_parent_order(
    parent: ParentOrder,
    desk: Desk,
    side: int,
    limit_ticks: int,
    total_lots: int,
    slice_lots: int,
    interval_ns: int,
) -> bool:
    """Begin to work a size, with the first child now; False if it can't be: an earlier one is out, or no size is."""
    if parent.state == WORKING or parent.child_lots != 0 or min(total_lots, slice_lots, interval_ns) < 1:
        return False
    parent.side = side
    parent.limit_ticks = limit_ticks
    parent.total_lots = total_lots
    parent.slice_lots = slice_lots
    parent.interval_ns = interval_ns
    parent.filled_lots = parent.children = parent.refusals = 0
    parent.state = WORKING
    parent_order_due(parent, desk, parent.timer)
    return True


@compiled
def stop_parent_order(parent: ParentOrder, desk: Desk) -> None:
    """Send no more children; what is filled stays filled."""
    if parent.state == WORKING:
        parent.state = STOPPED
        stop_timer(desk, parent.timer)


@compiled
def parent_order_due(parent: ParentOrder, desk: Desk, timer: int) -> None:
    """Take a timer, whichever: send the next child if it is this order's, and have the one after it be due."""
    if timer != parent.timer or parent.state != WORKING:
        return
    if parent.child_lots == 0 and is_within_limit(parent, desk):
        lots = min(parent.slice_lots, parent.total_lots - parent.filled_lots)
        if submit(desk, parent.instrument, parent.side, parent.limit_ticks, lots, tag=parent.tag):
            parent.child_lots = lots
            parent.children += 1
    set_timer(desk, parent.timer, desk.now_ns + parent.interval_ns)


@compiled
def is_within_limit(parent: ParentOrder, desk: Desk) -> bool:
    """Tell whether there is something to take at the limit or better."""
    book = desk.books[parent.instrument]
    if book.valid == 0:
        return False
    if parent.side == BUY:
        return book.ask_lots != 0 and book.ask_ticks <= parent.limit_ticks
    return book.bid_lots != 0 and book.bid_ticks >= parent.limit_ticks


@compiled
def parent_order_changed(parent: ParentOrder, desk: Desk, order: Order) -> None:
    """Take what became of whichever order: of a child that has ended, what it has filled."""
    if order.tag != parent.tag or order.instrument != parent.instrument or order.state <= OrderState.PENDING_CANCEL:
        return
    parent.child_lots = 0
    parent.filled_lots += order.filled_lots
    is_refused = order.state == OrderState.REJECTED or order.state == OrderState.VETOED
    parent.refusals = parent.refusals + 1 if is_refused else 0
    if parent.filled_lots >= parent.total_lots:
        parent.state = FILLED
        stop_timer(desk, parent.timer)
    elif parent.refusals == REFUSALS_MAX:
        stop_parent_order(parent, desk)
