"""Simulated Starbase: matching by price, then time, with the speed bump and self-match prevention.

Each function below handles one request, or one release from the speed bump, and leaves what it did in
`matching.outcome`: fills and cancelled orders for the members, changes of the book for the market data.

An order that would match on arrival on an instrument with a speed bump is held, whole and seen by nobody, for the full
time, then matched with what is there. It can't be withdrawn: a cancel makes it an IOC. Orders that rest without
matching, post-only orders and cancels are never held.

Source: Deribit's documentation of Starbase (speed bumps, order entry). Where it is silent, the rule is said here.
"""

from crosswire.nic.memory.struct import Struct, i64
from crosswire.nic.rings.ring import NEVER_NS
from crosswire.nic.unit.compile import compiled
from crosswire.venues.book.book import NO_ASK, NO_BID, Book, best_level, next_level
from crosswire.venues.book.order_queue import delete_order, first_order, put_order, reduce_order
from crosswire.venues.side import BID, BUY, opposite, sign_of
from crosswire.venues.starbase.exchange.matching.state import (
    ACCEPTED,
    CANCELS_MAX,
    EXCHANGE_ORDERS_MAX,
    HELD_MAX,
    NOBODY,
    NONE,
    OPEN_ORDERS_MAX,
    TOUCHED_MAX,
    ChangeKind,
    ExchangeOrder,
    Matching,
    OrderPlace,
    add_change,
    add_held,
    clear_outcome,
    find_client_order,
    find_exchange_order,
    give_slot,
    remove_first_held,
    take_slot,
)
from crosswire.venues.starbase.wire.order_codes import (
    CancelOrderRejectReason,
    CancelReason,
    OrderFlags,
    OrderRejectReason,
    OrderStatus,
    SelfTradingMode,
    WireTimeInForce,
)

PPM = 1_000_000
# Bit sets as plain numbers: numba knows no operators of an IntFlag.
POST_ONLY_REJECT = int(OrderFlags.POST_ONLY_REJECT)
POST_ONLY_FLAGS = int(OrderFlags.POST_ONLY) | POST_ONLY_REJECT
MARKET_LIMIT = int(OrderFlags.MARKET_LIMIT)
OTHER_THAN_MARKET = ~MARKET_LIMIT
CANCELLED = -1  # in place of a cancel reject reason


class OrderRequest(Struct):
    """A new order whose fields were read and whose instrument is known."""

    session: i64
    member: i64
    client_order_id: i64
    correlation_id: i64
    instrument: i64  # market index
    side: i64
    time_in_force: i64  # as on the wire
    price_ticks: i64
    qty_lots: i64
    self_match_id: i64
    self_trading_mode: i64
    flags: i64  # OrderFlags; MARKET_LIMIT: the price is the best there is when it is matched
    is_quote: i64
    group: i64  # of market maker protection, NONE


@compiled
def crosses(book: Book, side: int, price_ticks: int) -> bool:
    """Tell whether an order at this price would match."""
    best = best_level(book, opposite(side))
    return best <= price_ticks if side == BUY else best >= price_ticks


@compiled
def has_level(book: Book, side: int) -> bool:
    """Tell whether anything rests on a side."""
    return best_level(book, side) != (NO_BID if side == BID else NO_ASK)


@compiled
def place_order(matching: Matching, request: OrderRequest, now_ns: int) -> int:
    """Place a new order; ACCEPTED, or OrderRejectReason. A protection group was looked at before."""
    clear_outcome(matching)
    reason = check_new(matching, request)
    if reason != ACCEPTED:
        return reason
    book = matching.market.books[request.instrument]
    price_ticks = request.price_ticks
    is_market = request.flags & MARKET_LIMIT != 0
    would_match = is_market or crosses(book, request.side, price_ticks)
    if would_match and request.flags & POST_ONLY_FLAGS != 0:
        if request.flags & POST_ONLY_REJECT != 0:
            return OrderRejectReason.POST_ONLY
        price_ticks = best_level(book, opposite(request.side)) - sign_of(request.side)
        would_match = False
        if price_ticks <= 0:
            return OrderRejectReason.INVALID_PRICE
    bump_ns = matching.market.instruments[request.instrument].speed_bump_ns
    is_held = would_match and bump_ns > 0
    if is_held and not has_bump_room(matching, request.member):
        return OrderRejectReason.MEMBER_SPEED_BUMP_LIMIT_EXCEEDED
    slot = take_slot(matching, request.member, request.client_order_id, request.is_quote)
    order = matching.orders[slot]
    order.correlation_id = request.correlation_id
    order.session = request.session
    order.instrument = request.instrument
    order.side = request.side
    order.time_in_force = request.time_in_force
    order.price_ticks = price_ticks
    order.qty_lots = request.qty_lots
    order.self_match_id = request.self_match_id
    order.self_trading_mode = request.self_trading_mode
    order.flags = request.flags
    order.group = request.group
    accept_place(matching, order)
    if is_held:
        hold_order(matching, slot, now_ns + bump_ns)
    else:
        execute(matching, slot, order.self_trading_mode)
    return ACCEPTED


@compiled
def check_new(matching: Matching, request: OrderRequest) -> int:
    """Check what can be said of a new order before it is matched; ACCEPTED, or OrderRejectReason."""
    member = matching.members[request.member]
    if member.open_orders >= OPEN_ORDERS_MAX:
        return OrderRejectReason.TOO_MANY_OPEN_ORDERS
    if matching.order_count >= EXCHANGE_ORDERS_MAX:
        return OrderRejectReason.SYSTEM_ERROR
    is_named = request.member != NOBODY and request.is_quote == 0
    if is_named and find_client_order(matching, request.member, request.client_order_id) != NONE:
        return OrderRejectReason.DUPLICATE_CLIENT_ORDER_ID
    if request.qty_lots <= 0:
        return OrderRejectReason.INVALID_QUANTITY
    if matching.qty_max_lots != 0 and request.qty_lots > matching.qty_max_lots:
        return OrderRejectReason.ORDER_SIZE_LIMIT_EXCEEDED
    is_post_only = request.flags & POST_ONLY_FLAGS != 0
    is_market = request.flags & MARKET_LIMIT != 0
    if is_post_only and (is_market or request.time_in_force < 0):
        return OrderRejectReason.INVALID_FIELD
    if is_market:
        if not has_level(matching.market.books[request.instrument], opposite(request.side)):
            return OrderRejectReason.PRICE_BAND_UNAVAILABLE
        return ACCEPTED
    return check_price(matching, request.instrument, request.side, request.price_ticks)


@compiled
def check_price(matching: Matching, instrument: int, side: int, price_ticks: int) -> int:
    """Check the price band: no buy may be too high, no sell too low; ACCEPTED, or OrderRejectReason."""
    if price_ticks <= 0:
        return OrderRejectReason.INVALID_PRICE
    mark_ticks = matching.mark_ticks[instrument]
    if matching.price_band_ppm != 0 and mark_ticks != 0:
        width_ticks = band_ticks(matching, mark_ticks)
        if side == BUY and price_ticks > mark_ticks + width_ticks:
            return OrderRejectReason.PRICE_TOO_HIGH
        if side != BUY and price_ticks < mark_ticks - width_ticks:
            return OrderRejectReason.PRICE_TOO_LOW
    return ACCEPTED


@compiled
def band_ticks(matching: Matching, mark_ticks: int) -> int:
    """Compute half the width of the price band around a mark."""
    return mark_ticks * matching.price_band_ppm // PPM


@compiled
def has_bump_room(matching: Matching, member: int) -> bool:
    return matching.members[member].held_orders < matching.held_member_max and matching.held_count < HELD_MAX


@compiled
def hold_order(matching: Matching, slot: int, release_ns: int) -> None:
    """Put an order into the speed bump."""
    order = matching.orders[slot]
    order.place = OrderPlace.HELD
    matching.members[order.member].held_orders += 1
    add_held(matching, order.order_id, release_ns)
    outcome = matching.outcome
    outcome.slot = slot
    outcome.status = OrderStatus.QUEUED


@compiled
def unhold_first(matching: Matching) -> int:
    """Take the order that is released next out of the speed bump; its slot."""
    slot = find_exchange_order(matching, matching.held[0].order_id)
    order = matching.orders[slot]
    remove_first_held(matching)
    matching.members[order.member].held_orders -= 1
    order.place = OrderPlace.TAKING
    return slot


@compiled
def next_release_ns(matching: Matching) -> int:
    """Tell when the next held order is released, NEVER_NS."""
    return NEVER_NS if matching.held_count == 0 else matching.held[0].release_ns


@compiled
def release_order(matching: Matching) -> None:
    """Release the first held order into the book. As a taker it cancels own makers, whatever it asked for."""
    clear_outcome(matching)
    execute(matching, unhold_first(matching), SelfTradingMode.CANCEL_MAKER)


@compiled
def execute(matching: Matching, slot: int, self_trading_mode: int) -> None:
    """Match an order with the book, then let its rest stay or end, as it asks; sets the outcome."""
    order = matching.orders[slot]
    book = matching.market.books[order.instrument]
    outcome = matching.outcome
    outcome.slot = slot
    reason: int = CancelReason.UNKNOWN
    if order.flags & MARKET_LIMIT != 0 and order.filled_lots == 0:
        if has_level(book, opposite(order.side)):
            order.price_ticks = best_level(book, opposite(order.side))
        else:
            # Without a price it can't rest.
            reason = CancelReason.TIME_IN_FORCE
    if reason == CancelReason.UNKNOWN and order.time_in_force == WireTimeInForce.FOK:
        if not can_fill(matching, order, self_trading_mode):
            reason = CancelReason.TIME_IN_FORCE
    if reason == CancelReason.UNKNOWN:
        reason = take(matching, order, self_trading_mode)
    if order.filled_lots == order.qty_lots:
        outcome.status = OrderStatus.FILLED
        give_slot(matching, slot)
        return
    if reason == CancelReason.UNKNOWN:
        if order.time_in_force < 0 or order.convert_reason != CancelReason.UNKNOWN:
            reason = CancelReason.TIME_IN_FORCE
        elif rest(matching, slot):
            outcome.status = OrderStatus.ACTIVE
            return
        else:
            matching.queue_full += 1
            reason = CancelReason.ADMIN
    outcome.status = OrderStatus.CANCELED
    outcome.cancel_reason = reason
    give_slot(matching, slot)


@compiled
def can_fill(matching: Matching, order: ExchangeOrder, self_trading_mode: int) -> bool:
    """Tell whether all that is left of a FOK order would fill now."""
    side = opposite(order.side)
    book = matching.market.books[order.instrument]
    queue = matching.queues[order.instrument]
    wanted = order.qty_lots - order.filled_lots
    touched = 0
    price_ticks = best_level(book, side)
    while has_level(book, side) and is_within(order.side, order.price_ticks, price_ticks):
        place = first_order(queue, side, price_ticks)
        while place != NONE:
            resting = queue.orders[place]
            touched += 1
            if is_own(order, matching.orders[resting.tag]):
                if self_trading_mode == SelfTradingMode.CANCEL_TAKER:
                    return False
            else:
                wanted -= resting.qty_lots
            if wanted <= 0:
                return True
            if touched == TOUCHED_MAX:
                return False
            place = resting.next
        worse = next_price(book, side, price_ticks)
        if worse == price_ticks:
            return False
        price_ticks = worse
    return False


@compiled
def next_price(book: Book, side: int, price_ticks: int) -> int:
    """Find the next worse price at which something rests; `price_ticks` itself if there is none."""
    worse = next_level(book, side, price_ticks)
    return price_ticks if worse == (NO_BID if side == BID else NO_ASK) else worse


@compiled
def is_within(side: int, limit_ticks: int, price_ticks: int) -> bool:
    """Tell whether an order of `side` may trade at a price."""
    return price_ticks <= limit_ticks if side == BUY else price_ticks >= limit_ticks


@compiled
def is_own(taker: ExchangeOrder, maker: ExchangeOrder) -> bool:
    """Tell whether self-match prevention keeps two orders apart."""
    return taker.member == maker.member and taker.self_match_id != 0 and taker.self_match_id == maker.self_match_id


@compiled
def take(matching: Matching, order: ExchangeOrder, self_trading_mode: int) -> int:
    """Trade with everything within the order's price, best and earliest first.

    Return the reason for which the order must end although something is left, or CancelReason.UNKNOWN. After
    TOUCHED_MAX makers it ends.
    """
    book = matching.market.books[order.instrument]
    queue = matching.queues[order.instrument]
    outcome = matching.outcome
    side = opposite(order.side)
    summary_place = outcome.change_count
    summary = add_change(matching, ChangeKind.NOTHING, order.instrument, order.side, order.order_id)
    reason: int = CancelReason.UNKNOWN
    touched = 0
    while order.filled_lots < order.qty_lots and crosses(book, order.side, order.price_ticks):
        price_ticks = best_level(book, side)
        resting = queue.orders[first_order(queue, side, price_ticks)]
        maker_slot = resting.tag
        maker = matching.orders[maker_slot]
        if touched == TOUCHED_MAX:
            reason = CancelReason.TIME_IN_FORCE
            break
        touched += 1
        if is_own(order, maker):
            if self_trading_mode == SelfTradingMode.CANCEL_TAKER:
                reason = CancelReason.SELF_MATCH_PREVENTION
                break
            cancel_resting(matching, maker_slot)
            note_cancel(matching, maker_slot, CancelReason.SELF_MATCH_PREVENTION)
            continue
        qty_lots = min(order.qty_lots - order.filled_lots, resting.qty_lots)
        trade(matching, order, maker, price_ticks, qty_lots)
        summary.kind = ChangeKind.SUMMARY
        summary.price_ticks = price_ticks
        summary.qty_lots += qty_lots
        summary.count += 1
        if maker.filled_lots == maker.qty_lots:
            cancel_resting(matching, maker_slot)
        else:
            left_lots = maker.qty_lots - maker.filled_lots
            reduce_order(queue, book, maker.order_id, left_lots)
            add_change(matching, ChangeKind.REDUCED, maker.instrument, maker.side, maker.order_id).qty_lots = left_lots
    if summary.kind == ChangeKind.NOTHING and outcome.change_count == summary_place + 1:
        outcome.change_count = summary_place
    return reason


@compiled
def trade(matching: Matching, taker: ExchangeOrder, maker: ExchangeOrder, price_ticks: int, qty_lots: int) -> None:
    """Book one match: both orders, both positions, the fill, its publication, and the maker's protection."""
    matching.match_counter += 1
    taker.filled_lots += qty_lots
    maker.filled_lots += qty_lots
    instrument = taker.instrument
    taking = matching.members[taker.member]
    making = matching.members[maker.member]
    taking.position_lots[instrument] += sign_of(taker.side) * qty_lots
    making.position_lots[instrument] += sign_of(maker.side) * qty_lots
    taking.fills += 1
    making.fills += 1
    outcome = matching.outcome
    fill = outcome.fills[outcome.fill_count]
    outcome.fill_count += 1
    fill.match_id = matching.match_counter
    fill.price_ticks = price_ticks
    fill.qty_lots = qty_lots
    fill.session = maker.session
    fill.client_order_id = maker.client_order_id
    fill.order_id = maker.order_id
    fill.instrument = instrument
    fill.side = maker.side
    fill.total_filled_lots = maker.filled_lots
    fill.is_quote = maker.is_quote
    fill.is_done = 1 if maker.filled_lots == maker.qty_lots else 0
    change = add_change(matching, ChangeKind.TRADED, instrument, maker.side, maker.order_id)
    change.price_ticks = price_ticks
    change.qty_lots = qty_lots
    change.match_id = matching.match_counter
    if maker.group != NONE:
        group = matching.groups[maker.group]
        group.traded_lots += qty_lots
        if group.traded_lots >= group.limit_lots and group.is_frozen == 0:
            group.is_due = 1


@compiled
def take_place(matching: Matching, order: ExchangeOrder) -> None:
    """Put an order behind all others in time."""
    matching.sort_counter += 1
    order.sort_order_id = matching.sort_counter


@compiled
def accept_place(matching: Matching, order: ExchangeOrder) -> None:
    """Give an order that was accepted, or an amend of it, its place in time, where that is given then.

    What is held keeps the place over the speed bump: it comes to rest before those that were accepted meanwhile.
    """
    if matching.sorts_on_accept != 0:
        take_place(matching, order)


@compiled
def rest(matching: Matching, slot: int) -> bool:
    """Put what is left of an order into the book, at its place in time; False if there is no room."""
    order = matching.orders[slot]
    queue = matching.queues[order.instrument]
    left_lots = order.qty_lots - order.filled_lots
    if matching.sorts_on_accept == 0:
        take_place(matching, order)
    place = put_order(
        queue, matching.market.books[order.instrument], order.order_id, order.side, order.price_ticks, left_lots,
        order.sort_order_id,
    )  # fmt: skip
    if place == NONE:
        if order.place == OrderPlace.RESTING:
            # It was repriced, and is no longer where it was either.
            add_change(matching, ChangeKind.DELETED, order.instrument, order.side, order.order_id)
        return False
    resting = queue.orders[place]
    resting.owner = order.member
    resting.tag = slot
    order.place = OrderPlace.RESTING
    change = add_change(matching, ChangeKind.PUT, order.instrument, order.side, order.order_id)
    change.price_ticks = order.price_ticks
    change.qty_lots = left_lots
    change.sort_order_id = order.sort_order_id
    return True


@compiled
def leave_book(matching: Matching, slot: int) -> None:
    """Take a resting order out of the book."""
    order = matching.orders[slot]
    delete_order(matching.queues[order.instrument], matching.market.books[order.instrument], order.order_id)
    add_change(matching, ChangeKind.DELETED, order.instrument, order.side, order.order_id)
    order.place = OrderPlace.TAKING


@compiled
def cancel_resting(matching: Matching, slot: int) -> None:
    """End a resting order: it was filled, or is cancelled."""
    leave_book(matching, slot)
    give_slot(matching, slot)


@compiled
def note_cancel(matching: Matching, slot: int, reason: int) -> None:
    """Tell the order's session of a cancel that it did not ask for."""
    order = matching.orders[slot]
    outcome = matching.outcome
    assert outcome.cancel_count < CANCELS_MAX
    cancel = outcome.cancels[outcome.cancel_count]
    outcome.cancel_count += 1
    cancel.session = order.session
    cancel.client_order_id = order.client_order_id
    cancel.order_id = order.order_id
    cancel.instrument = order.instrument
    cancel.total_filled_lots = order.filled_lots
    cancel.reason = reason
    cancel.is_quote = order.is_quote


@compiled
def cancel_order(matching: Matching, slot: int) -> int:
    """Cancel an order as asked: CANCELLED and the outcome's `slot`, or CancelOrderRejectReason.

    A held order becomes an IOC; one that is an IOC already can't be cancelled.
    """
    clear_outcome(matching)
    order = matching.orders[slot]
    if order.place == OrderPlace.HELD:
        if order.time_in_force < 0 or order.convert_reason != CancelReason.UNKNOWN:
            return CancelOrderRejectReason.TIME_IN_FORCE
        order.convert_reason = CancelReason.BY_REQUEST
        return CancelOrderRejectReason.SPEED_BUMP_CONVERTED_TO_IOC
    cancel_resting(matching, slot)
    matching.outcome.slot = slot
    return CANCELLED
