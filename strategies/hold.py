"""One leg alone: take what one book offers below its worth, hold it, and trade it back at the same venue.

Every order is an IOC. What is held is known by fills alone, in whole lots, so that nothing of it can get lost:

    FLAT       nothing is held
      | an order to take what the book offers is out
    ENTERING
      | it has ended and something was filled
    HOLDING    until the strategy says to leave, or `hold_max_ns` has passed
      | an order to trade it back is out, `unwind_ticks` through the market, again every `unwind_interval_ns`
    LEAVING
      | it has ended: HOLDING again if something is left, which goes on being traded back

Not flat `give_up_ns` after the first try to leave counts as an alarm of `strategies.legs`: nothing new is started, and
the leaving goes on once every `give_up_ns` until it is flat.
"""

from enum import IntEnum

from crosswire.nic.memory.struct import Struct, clear_struct, copy_struct, i64
from crosswire.nic.unit.compile import compiled
from crosswire.strategies.desk import Desk, submit, wake_at
from crosswire.strategies.legs import (
    TAG_BITS,
    TAG_MASK,
    Legs,
    book_of,
    market_ticks,
    plan_of,
    position_of,
)
from crosswire.strategies.listing import (
    RATE_MASK,
    Listing,
    cost_e9,
    gain_e9,
    is_price,
    note_taken,
    rated_up_e9,
    sale_e9,
)
from crosswire.strategies.opportunity import NO_OPPORTUNITY, note_trade, note_trade_end
from crosswire.strategies.planned import OrderPlan, add_level
from crosswire.strategies.trades import TradeState
from crosswire.venues.book.book import Book, best_level, executable_lots, next_level
from crosswire.venues.instrument import Instrument, base_e9, lots_of_base
from crosswire.venues.order import IOC, Order, OrderState, Report
from crosswire.venues.side import ASK, BID, BUY, SELL, sign_of

HOLD_TAG = 1 << 20  # of every order of a hold, with its listing: above every tag of `strategies.legs`
assert HOLD_TAG > (TradeState.FAILED << TAG_BITS | TAG_MASK) << TAG_BITS | TAG_MASK


class HoldState(IntEnum):
    """Where a hold is; the module has the transitions."""

    FLAT = 0
    ENTERING = 1
    HOLDING = 2
    LEAVING = 3


class Hold(Struct):
    """What is held of one listing without a hedge."""

    state: i64  # HoldState
    pair: i64  # of `Legs.pairs`, in flight while this is not FLAT
    opportunity: i64  # that it was entered in, or NO_OPPORTUNITY
    held_lots: i64  # signed
    entered_e9: i64  # base coin, filled on the way in
    entered_ns: i64
    leave_ns: i64  # since when it is being left; 0: it is not
    next_ns: i64  # no order to leave before
    is_failed: i64  # 1: not flat in time


class Worth(Struct):
    """What one unit of base bought (or sold) now is worth later, 1e-9 of the common currency after taker fees."""

    side: i64  # of the order that enters
    value_e9: i64  # bought: what it will bring, rounded down; sold: what buying it back will cost, rounded up
    bound_e9: i64  # as `value_e9`, and for what is sold with the least edge on top
    rate_e9: i64  # of a bought price: its cost with the least edge, rounded up


class Offer(Struct):
    """What a book offers that pays. Values are 1e-9 of the common currency."""

    best_ticks: i64
    price_ticks: i64  # the worst that still pays, of `lots`
    lots: i64  # within the limit
    size_e9: i64  # base coin: of all that pays within the depth
    value_e9: i64  # what that earns
    levels: OrderPlan


@compiled
def pays(worth: Worth, listing: Listing, instrument: Instrument, price_ticks: int) -> bool:
    """Tell whether a price earns the least edge; all roundings are against it."""
    if worth.side == BUY:
        # A rate that does not fit is above every price that there can be.
        return worth.rate_e9 <= RATE_MASK and worth.bound_e9 >= rated_up_e9(instrument, price_ticks, worth.rate_e9)
    return sale_e9(listing, instrument, price_ticks) >= worth.bound_e9


@compiled
def earns_e9(worth: Worth, listing: Listing, instrument: Instrument, price_ticks: int) -> int:
    """Return what one unit of base traded at a price earns."""
    if worth.side == BUY:
        return worth.value_e9 - cost_e9(listing, instrument, price_ticks)
    return sale_e9(listing, instrument, price_ticks) - worth.value_e9


@compiled
def look_for(
    offer: Offer, worth: Worth, listing: Listing, instrument: Instrument, book: Book, depth: int, limit_e9: int
) -> None:
    """Walk up to `depth` levels for as long as they pay; `lots` is of them what `limit_e9` (base coin) allows."""
    side = ASK if worth.side == BUY else BID
    offer.lots = 0
    offer.size_e9 = 0
    offer.value_e9 = 0
    offer.levels.count = 0
    price_ticks = best_level(book, side)
    offer.best_ticks = price_ticks
    offer.price_ticks = price_ticks
    left_e9 = max(0, limit_e9)
    for _ in range(depth):
        if not is_price(price_ticks) or not pays(worth, listing, instrument, price_ticks):
            break
        lots = executable_lots(book, side, price_ticks)
        size_e9 = base_e9(instrument, price_ticks, lots)
        offer.size_e9 += size_e9
        offer.value_e9 += gain_e9(size_e9, earns_e9(worth, listing, instrument, price_ticks))
        taken = min(lots, lots_of_base(instrument, price_ticks, left_e9))
        if taken > 0:
            add_level(offer.levels, price_ticks, lots)
            offer.lots += taken
            offer.price_ticks = price_ticks
        # A level that is not taken whole is the last: what is left of the limit is less than one lot there.
        left_e9 = left_e9 - base_e9(instrument, price_ticks, taken) if taken == lots else 0
        price_ticks = next_level(book, side, price_ticks)


@compiled
def start_hold(
    legs: Legs, desk: Desk, hold: Hold, listing: int, side: int, offer: Offer, pair: int, opportunity: int
) -> bool:
    """Take what the offer says, of a listing whose hold is FLAT; False if the desk takes no more requests."""
    plan = plan_of(listing, side)
    through_ticks = sign_of(side) * legs.slippage_ticks
    sent = submit(
        desk,
        legs.listings[listing].instrument,
        side,
        max(1, offer.price_ticks + through_ticks),
        offer.lots,
        time_in_force=IOC,
        decision_ticks=offer.price_ticks,
        tag=HOLD_TAG | listing,
        plan=plan,
    )
    if not sent:
        return False
    copy_struct(desk.plans[plan - 1], offer.levels)
    clear_struct(hold)
    hold.state = HoldState.ENTERING
    hold.pair = pair
    hold.opportunity = opportunity
    hold.entered_ns = desk.now_ns
    legs.pairs[pair].in_flight += 1
    legs.pairs[pair].last_start_ns = desk.now_ns
    note_taken(legs.listings[listing], side, book_of(legs, desk, listing).receive_time_ns)
    note_trade(legs.opportunities, opportunity)
    return True


@compiled
def is_of_hold(order: Order) -> bool:
    """Tell whether an order is a hold's; `listing_of_hold` says whose."""
    return order.tag & HOLD_TAG != 0


@compiled
def listing_of_hold(order: Order) -> int:
    """Return the listing whose hold sent an order."""
    return order.tag & TAG_MASK


@compiled
def take_hold_fill(desk: Desk, hold: Hold, report: Report) -> None:
    """Book one execution."""
    hold.held_lots += sign_of(report.side) * report.qty_lots
    if hold.state == HoldState.ENTERING:
        instrument = desk.instruments[report.instrument]
        hold.entered_e9 += base_e9(instrument, report.price_ticks, report.qty_lots)


@compiled
def take_hold_order(legs: Legs, desk: Desk, hold: Hold, order: Order, hold_max_ns: int) -> None:
    """Note an order's end: it is held, or flat again."""
    if order.state <= OrderState.PENDING_CANCEL:
        return
    if hold.state == HoldState.ENTERING:
        note_trade_end(legs.opportunities, desk, hold.opportunity, hold.entered_e9)
        hold.opportunity = NO_OPPORTUNITY
        hold.entered_ns = desk.now_ns
        wake_at(desk, desk.now_ns + hold_max_ns)
    hold.state = HoldState.HOLDING
    if hold.held_lots == 0:
        _end_hold(legs, hold)
    elif hold.leave_ns != 0:
        wake_at(desk, hold.next_ns)


@compiled
def _end_hold(legs: Legs, hold: Hold) -> None:
    legs.pairs[hold.pair].in_flight -= 1
    if hold.is_failed != 0:
        legs.failed -= 1
    clear_struct(hold)


@compiled
def tend_hold(legs: Legs, desk: Desk, hold: Hold, listing: int, hold_max_ns: int, is_due: bool) -> None:
    """Trade back what is held if it is due, was held long enough, or is being left already."""
    if hold.state != HoldState.HOLDING:
        return
    # What an operator has had flattened is not there to be traded back.
    position_lots = position_of(legs, desk, listing).position_lots
    if hold.held_lots > 0:
        hold.held_lots = max(0, min(hold.held_lots, position_lots))
    else:
        hold.held_lots = min(0, max(hold.held_lots, position_lots))
    if hold.held_lots == 0:
        _end_hold(legs, hold)
        return
    until_ns = hold.entered_ns + hold_max_ns
    if hold.leave_ns == 0:
        if not is_due and desk.now_ns < until_ns:
            wake_at(desk, until_ns)
            return
        hold.leave_ns = desk.now_ns
    if desk.now_ns < hold.next_ns:
        wake_at(desk, hold.next_ns)
        return
    if desk.now_ns - hold.leave_ns >= legs.give_up_ns and hold.is_failed == 0:
        hold.is_failed = 1
        legs.failed += 1
        legs.alarms += 1
    hold.next_ns = desk.now_ns + (legs.give_up_ns if hold.is_failed != 0 else legs.unwind_interval_ns)
    if not _send_back(legs, desk, hold, listing):
        wake_at(desk, hold.next_ns)


@compiled
def _send_back(legs: Legs, desk: Desk, hold: Hold, listing: int) -> bool:
    """Ask for an order that trades back all that is held; False without a proven price or room for a request."""
    side = SELL if hold.held_lots > 0 else BUY
    best_ticks = market_ticks(legs, desk, listing, side)
    if best_ticks == 0:
        return False
    limit_ticks = max(1, best_ticks + sign_of(side) * legs.unwind_ticks)
    instrument = legs.listings[listing].instrument
    lots = abs(hold.held_lots)
    sent = submit(desk, instrument, side, limit_ticks, lots, decision_ticks=best_ticks, tag=HOLD_TAG | listing)
    if sent:
        hold.state = HoldState.LEAVING
    return sent


@compiled
def close_hold(legs: Legs, desk: Desk, hold: Hold) -> None:
    """Write what became of the opportunity of an order that is still out: the run ends."""
    if hold.state == HoldState.ENTERING:
        note_trade_end(legs.opportunities, desk, hold.opportunity, hold.entered_e9)
        hold.opportunity = NO_OPPORTUNITY
