"""Simulated Starbase: an order's new terms.

A held order can't be amended (since 2026-11-26): it keeps its place in the bump's queue and its release time, and can
be amended after that. A resting order that would match with its new terms is held.

Source: docs.deribit.com/starbase/upcoming/amending-order and /speed-bumps.
"""

from crosswire.nic.unit.compile import compiled
from crosswire.venues.book.book import best_level
from crosswire.venues.book.order_queue import reduce_order
from crosswire.venues.side import opposite, sign_of
from crosswire.venues.starbase.exchange.matching.matching import (
    OTHER_THAN_MARKET,
    POST_ONLY_FLAGS,
    POST_ONLY_REJECT,
    accept_place,
    check_price,
    crosses,
    execute,
    has_bump_room,
    hold_order,
    leave_book,
)
from crosswire.venues.starbase.exchange.matching.state import (
    ACCEPTED,
    ChangeKind,
    Matching,
    OrderPlace,
    add_change,
    clear_outcome,
)
from crosswire.venues.starbase.wire.order_codes import OrderRejectReason, OrderStatus


@compiled
def amend_order(
    matching: Matching, slot: int, price_ticks: int, qty_lots: int, flags: int, correlation_id: int, now_ns: int
) -> int:
    """Give a live order a new price and quantity (what is filled included); ACCEPTED, or OrderRejectReason.

    It keeps its place only if nothing but the quantity changes, downwards. What counts is where the order is now, when
    the amend is handled, not when it was sent.
    """
    clear_outcome(matching)
    order = matching.orders[slot]
    if order.place == OrderPlace.HELD:
        return OrderRejectReason.SPEED_BUMPED
    if qty_lots <= order.filled_lots:
        return OrderRejectReason.INVALID_QUANTITY
    if matching.qty_max_lots != 0 and qty_lots > matching.qty_max_lots:
        return OrderRejectReason.ORDER_SIZE_LIMIT_EXCEEDED
    reason = check_price(matching, order.instrument, order.side, price_ticks)
    if reason != ACCEPTED:
        return reason
    if price_ticks == order.price_ticks and qty_lots <= order.qty_lots:
        order.correlation_id = correlation_id
        reduce_resting(matching, slot, qty_lots)
        return ACCEPTED
    book = matching.market.books[order.instrument]
    would_match = crosses(book, order.side, price_ticks)
    if would_match and flags & POST_ONLY_FLAGS != 0:
        if flags & POST_ONLY_REJECT != 0:
            return OrderRejectReason.POST_ONLY
        price_ticks = best_level(book, opposite(order.side)) - sign_of(order.side)
        would_match = False
        if price_ticks <= 0:
            return OrderRejectReason.INVALID_PRICE
    bump_ns = matching.market.instruments[order.instrument].speed_bump_ns
    is_held = would_match and bump_ns > 0
    if is_held and not has_bump_room(matching, order.member):
        return OrderRejectReason.MEMBER_SPEED_BUMP_LIMIT_EXCEEDED
    if would_match:
        leave_book(matching, slot)
    order.correlation_id = correlation_id
    order.price_ticks = price_ticks
    order.qty_lots = qty_lots
    # A price was named: it is no longer one for the best there is.
    order.flags = order.flags & OTHER_THAN_MARKET
    accept_place(matching, order)
    if is_held:
        hold_order(matching, slot, now_ns + bump_ns)
    else:
        # Of an order that rests on, this is the put that gives it its new place.
        execute(matching, slot, order.self_trading_mode)
    return ACCEPTED


@compiled
def reduce_resting(matching: Matching, slot: int, qty_lots: int) -> None:
    """Reduce a resting order at its place; the same quantity changes nothing."""
    order = matching.orders[slot]
    outcome = matching.outcome
    outcome.slot = slot
    outcome.status = OrderStatus.ACTIVE
    if qty_lots == order.qty_lots:
        return
    order.qty_lots = qty_lots
    left_lots = qty_lots - order.filled_lots
    queue = matching.queues[order.instrument]
    reduce_order(queue, matching.market.books[order.instrument], order.order_id, left_lots)
    add_change(matching, ChangeKind.REDUCED, order.instrument, order.side, order.order_id).qty_lots = left_lots
