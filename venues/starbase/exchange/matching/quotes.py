"""Simulated Starbase: what concerns many orders at once: mass cancels, cancel on disconnect, quotes, their protection.

A held order is never withdrawn by any of these: it becomes an IOC.
"""

from crosswire.nic.rings.ring import NEVER_NS
from crosswire.nic.unit.compile import compiled
from crosswire.venues.instrument import Kind
from crosswire.venues.side import ASK, BID
from crosswire.venues.starbase.exchange.matching.amend import amend_order
from crosswire.venues.starbase.exchange.matching.matching import OrderRequest, cancel_resting, note_cancel, place_order
from crosswire.venues.starbase.exchange.matching.state import (
    ACCEPTED,
    CANCELS_MAX,
    EXCHANGE_ORDERS_MAX,
    NONE,
    QUOTED_MAX,
    Group,
    Matching,
    OrderPlace,
    QuotedInstrument,
    QuoteOutcome,
    clear_outcome,
    find_exchange_order,
)
from crosswire.venues.starbase.wire.order_codes import (
    CancelReason,
    OrderFlags,
    OrderRejectReason,
    OrderStatus,
    ProductType,
    QuoteStatus,
    WireSide,
)

CANCEL_ON_DISCONNECT = int(OrderFlags.CANCEL_ON_DISCONNECT)


@compiled
def is_product(kind: int, product_type: int) -> bool:
    """Tell whether an instrument's kind is in a wire product type.

    Combos of futures and of options are not told apart.
    """
    if product_type == ProductType.ALL:
        return True
    if product_type == ProductType.OPTIONS:
        return kind == Kind.OPTION
    if product_type == ProductType.FUTURES:
        return kind in (Kind.PERPETUAL, Kind.FUTURE)
    if product_type == ProductType.SPOT:
        return kind == Kind.SPOT
    return kind == Kind.COMBO


@compiled
def withdraw(matching: Matching, slot: int, reason: int) -> bool:
    """Cancel a live order, or make it an IOC if it is held; tell whether it is gone. The outcome tells its session."""
    order = matching.orders[slot]
    if order.place == OrderPlace.HELD:
        if order.convert_reason == CancelReason.UNKNOWN:
            order.convert_reason = reason
        return False
    cancel_resting(matching, slot)
    note_cancel(matching, slot, reason)
    return True


@compiled
def mass_cancel(
    matching: Matching, member: int, currency_pair_id: int, instrument: int, product_type: int, side: int
) -> int:
    """Cancel a member's orders and quotes, CANCELS_MAX at most; return how many. `instrument` NONE: those of the pair.

    `side` is the wire's. A currency pair's id is the number of the underlying.
    """
    clear_outcome(matching)
    cancelled = 0
    for slot in range(EXCHANGE_ORDERS_MAX):
        if matching.members[member].open_orders == 0 or cancelled == CANCELS_MAX:
            break
        order = matching.orders[slot]
        if order.place == OrderPlace.GONE or order.member != member:
            continue
        terms = matching.market.instruments[order.instrument]
        if instrument != NONE and order.instrument != instrument:
            continue
        if instrument == NONE and terms.underlying != currency_pair_id:
            continue
        if side != WireSide.BOTH and (side == WireSide.BUY) != (order.side == BID):
            continue
        if not is_product(terms.kind, product_type):
            continue
        if withdraw(matching, slot, CancelReason.BY_REQUEST):
            cancelled += 1
    return cancelled


@compiled
def cancel_on_disconnect(matching: Matching, session: int, is_floor: int) -> None:
    """Withdraw the orders of a session that ended: those with the flag, or all if its logon asked for that."""
    clear_outcome(matching)
    for slot in range(EXCHANGE_ORDERS_MAX):
        order = matching.orders[slot]
        if order.place != OrderPlace.GONE and order.session == session:
            if is_floor != 0 or order.flags & CANCEL_ON_DISCONNECT != 0:
                withdraw(matching, slot, CancelReason.CLIENT_DISCONNECT)


@compiled
def next_protection_ns(matching: Matching) -> int:
    """Tell when the next frozen group thaws, NEVER_NS."""
    first_ns = NEVER_NS
    for index in range(matching.group_count):
        group = matching.groups[index]
        if group.is_frozen != 0 and group.freeze_ns != 0:
            first_ns = min(first_ns, group.frozen_until_ns)
    return first_ns


@compiled
def open_window(group: Group, now_ns: int) -> None:
    """Start a new window if the last one is over. Call before anything is matched."""
    if now_ns - group.window_started_ns >= group.window_ns:
        group.window_started_ns = now_ns
        group.traded_lots = 0


@compiled
def open_windows(matching: Matching, now_ns: int) -> None:
    """Call `open_window` for all groups."""
    for index in range(matching.group_count):
        open_window(matching.groups[index], now_ns)


@compiled
def freeze_group(matching: Matching, index: int, now_ns: int) -> None:
    """Freeze a group whose limit is reached: withdraw its orders and take no more until it thaws or is reset."""
    clear_outcome(matching)
    group = matching.groups[index]
    group.is_due = 0
    group.is_frozen = 1
    group.frozen_until_ns = now_ns + group.freeze_ns if group.freeze_ns != 0 else NEVER_NS
    for slot in range(EXCHANGE_ORDERS_MAX):
        order = matching.orders[slot]
        if order.place != OrderPlace.GONE and order.group == index and order.member == group.member:
            withdraw(matching, slot, CancelReason.MM_PROTECTION)


@compiled
def thaw_group(group: Group, now_ns: int) -> None:
    """Let the group take orders again."""
    group.is_frozen = 0
    group.is_due = 0
    group.traded_lots = 0
    group.window_started_ns = now_ns


@compiled
def find_quoted(group: Group, instrument: int) -> int:
    """Find the place of the group's quote of an instrument, made if there is none yet; NONE if there is no room."""
    for place in range(group.quoted_count):
        if group.quoted[place].instrument == instrument:
            return place
    if group.quoted_count == QUOTED_MAX:
        return NONE
    place = group.quoted_count
    group.quoted_count += 1
    group.quoted[place].instrument = instrument
    group.quoted[place].order_ids[BID] = 0
    group.quoted[place].order_ids[ASK] = 0
    return place


@compiled
def refuse_quote(matching: Matching, order_id: int, reason: int, result: QuoteOutcome) -> None:
    """Refuse one side. "Inactive" is taken to mean that no quote is left there: `order_id`, what there was, ends."""
    result.status = QuoteStatus.INACTIVE
    result.reject_reason = reason
    result.order_id = 0
    result.price_ticks = 0
    result.qty_lots = 0
    result.filled_lots = 0
    slot = find_exchange_order(matching, order_id)
    if slot != NONE and matching.orders[slot].place == OrderPlace.RESTING:
        cancel_resting(matching, slot)


@compiled
def keep_held_quote(matching: Matching, slot: int, result: QuoteOutcome) -> None:
    """Say that a side is held as it is, whatever was asked for it.

    Source: docs.deribit.com/starbase/upcoming/mass-quotes, in force since 2026-11-26.
    """
    order = matching.orders[slot]
    result.status = QuoteStatus.UNMODIFIED
    result.reject_reason = OrderRejectReason.SPEED_BUMPED
    result.order_id = order.order_id
    result.price_ticks = order.price_ticks
    result.qty_lots = order.qty_lots - order.filled_lots


@compiled
def place_quote(
    matching: Matching, quoted: QuotedInstrument, request: OrderRequest, result: QuoteOutcome, now_ns: int
) -> None:
    """Replace what a group has on one side of a quote; a quantity of 0 takes it away.

    It is an amend of the order that is there, so its place is kept if only the quantity changes, downwards. One that is
    held stays as it is: UNMODIFIED, with SPEED_BUMPED as the reason.
    """
    clear_outcome(matching)
    result.reject_reason = ACCEPTED
    result.order_id = 0
    result.filled_lots = 0
    result.price_ticks = request.price_ticks
    result.qty_lots = request.qty_lots
    slot = find_exchange_order(matching, quoted.order_ids[request.side])
    if request.qty_lots == 0:
        result.status = QuoteStatus.INACTIVE
        if slot != NONE:
            order = matching.orders[slot]
            result.order_id = order.order_id
            result.status = QuoteStatus.CANCELED_BY_REQUEST
            if order.place == OrderPlace.HELD:
                order.convert_reason = CancelReason.BY_REQUEST
                result.status = QuoteStatus.SPEED_BUMPED
            else:
                cancel_resting(matching, slot)
        return
    if slot != NONE and matching.orders[slot].place == OrderPlace.HELD:
        keep_held_quote(matching, slot, result)
        return
    replaced: int = QuoteStatus.UPDATED
    if slot == NONE:
        reason = place_order(matching, request, now_ns)
    else:
        order = matching.orders[slot]
        left_lots = order.qty_lots - order.filled_lots
        if order.price_ticks == request.price_ticks:
            if request.qty_lots == left_lots:
                replaced = QuoteStatus.UNMODIFIED
            elif request.qty_lots < left_lots:
                replaced = QuoteStatus.QUANTITY_REDUCED
        order.client_order_id = request.client_order_id
        order.session = request.session
        qty_lots = order.filled_lots + request.qty_lots
        reason = amend_order(
            matching, slot, request.price_ticks, qty_lots, request.flags, request.correlation_id, now_ns
        )
    if reason != ACCEPTED:
        refuse_quote(matching, quoted.order_ids[request.side], reason, result)
        return
    outcome = matching.outcome
    order = matching.orders[outcome.slot]
    quoted.order_ids[request.side] = order.order_id
    result.order_id = order.order_id
    result.price_ticks = order.price_ticks
    for place in range(outcome.fill_count):
        result.filled_lots += outcome.fills[place].qty_lots
    if outcome.status == OrderStatus.ACTIVE:
        result.status = replaced
    elif outcome.status == OrderStatus.FILLED:
        result.status = QuoteStatus.FILLED
    elif outcome.status == OrderStatus.QUEUED:
        result.status = QuoteStatus.SPEED_BUMPED
    elif outcome.cancel_reason == CancelReason.SELF_MATCH_PREVENTION:
        result.status = QuoteStatus.CANCELED_BY_SELF_MATCH
    else:
        result.status = QuoteStatus.INACTIVE


@compiled
def cancel_quotes(matching: Matching, member: int, group: int, side: int) -> int:
    """Withdraw a member's quotes of one group, NONE: of all; return how many are gone. `side` is the wire's."""
    clear_outcome(matching)
    cancelled = 0
    for slot in range(EXCHANGE_ORDERS_MAX):
        order = matching.orders[slot]
        if order.place == OrderPlace.GONE or order.member != member or order.is_quote == 0:
            continue
        if group != NONE and order.group != group:
            continue
        if side != WireSide.BOTH and (side == WireSide.BUY) != (order.side == BID):
            continue
        if withdraw(matching, slot, CancelReason.BY_REQUEST):
            cancelled += 1
    return cancelled
