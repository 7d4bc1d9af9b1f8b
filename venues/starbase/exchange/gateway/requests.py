"""Simulated Starbase: what a client that is logged on asks of the matching engine: orders, amends, cancels."""

from crosswire.nic.memory.struct import view
from crosswire.nic.unit.compile import compiled
from crosswire.venues.instrument import Instrument
from crosswire.venues.side import BUY, SELL
from crosswire.venues.starbase.exchange.gateway.answers import (
    send_amend_response,
    send_cancel_response,
    send_canceled_order,
    send_new_response,
    send_order_reject,
    send_unfrozen,
    settle,
)
from crosswire.venues.starbase.exchange.gateway.send import add_empty_text, begin_answer, send_message
from crosswire.venues.starbase.exchange.matching.amend import amend_order
from crosswire.venues.starbase.exchange.matching.matching import CANCELLED, MARKET_LIMIT, cancel_order, place_order
from crosswire.venues.starbase.exchange.matching.quotes import mass_cancel, open_windows, thaw_group
from crosswire.venues.starbase.exchange.matching.state import (
    ACCEPTED,
    find_client_order,
    find_exchange_order,
    find_group,
    market_index,
    note_client_order,
)
from crosswire.venues.starbase.exchange.state import GATEWAYS, NONE, StarbaseExchange
from crosswire.venues.starbase.rate_limits import MESSAGE_TOKENS
from crosswire.venues.starbase.wire.decimal import BAD_VALUE, decimal_lots, price_ticks
from crosswire.venues.starbase.wire.order_codes import (
    CancelOrderRejectReason,
    CancelReason,
    MassCancelRejectReason,
    OrderFlags,
    OrderRejectReason,
    ProductType,
    Template,
    WireSide,
    WireTimeInForce,
)
from crosswire.venues.starbase.wire.order_layout import (
    NULL_I64,
    AmendOrderRequest,
    CancelOrderByIdRequest,
    CancelOrderRequest,
    MassCancelReject,
    MassCancelRequest,
    MassCancelResponse,
    NewOrderRequest,
)
from crosswire.venues.token_bucket import TokenBucket, draw_tokens, take_tokens

MMP = int(OrderFlags.MMP)
RESET_MMP = int(OrderFlags.RESET_MMP)


@compiled
def is_within_limit(exchange: StarbaseExchange, bucket: TokenBucket, now_ns: int) -> bool:
    """Take a message's tokens; False, and counted, if there are too few."""
    if take_tokens(bucket, MESSAGE_TOKENS, now_ns):
        return True
    exchange.gateways.rate_limited += 1
    return False


@compiled
def order_bucket(exchange: StarbaseExchange, session: int) -> TokenBucket:
    """Return the orders' bucket of the session's member on its gateway."""
    owner = exchange.gateways.sessions[session]
    bucket: TokenBucket = exchange.gateways.order_tokens[owner.member * GATEWAYS + owner.gateway]
    return bucket


@compiled
def handle_new(exchange: StarbaseExchange, session: int, message: NewOrderRequest, now_ns: int) -> None:
    """Handle a new order."""
    matching = exchange.matching
    gateways = exchange.gateways
    request = gateways.request
    request.session = session
    request.member = gateways.sessions[session].member
    request.client_order_id = message.client_order_id
    request.correlation_id = message.correlation_id
    request.instrument = market_index(matching, message.instrument_id)
    request.is_quote = 0
    request.group = NONE
    note_client_order(matching, request.member, message.client_order_id)
    reason: int = ACCEPTED
    if not is_within_limit(exchange, order_bucket(exchange, session), now_ns):
        reason = OrderRejectReason.RATE_LIMIT
    elif request.instrument == NONE:
        reason = OrderRejectReason.INVALID_INSTRUMENT
    else:
        reason = read_new(exchange, message, matching.market.instruments[request.instrument])
    if reason == ACCEPTED and request.flags & MMP != 0:
        reason = join_protection(exchange, request.flags, now_ns)
    if reason == ACCEPTED:
        open_windows(matching, now_ns)
        reason = place_order(matching, request, now_ns)
    if reason != ACCEPTED:
        send_order_reject(
            exchange, Template.NEW_ORDER_REJECT, request.session, request.client_order_id, request.correlation_id,
            NULL_I64, message.instrument_id, reason, now_ns,
        )  # fmt: skip
        return
    send_new_response(exchange, session, now_ns)
    settle(exchange, now_ns)


@compiled
def read_new(exchange: StarbaseExchange, message: NewOrderRequest, instrument: Instrument) -> int:
    """Read the fields of a new order into the request; ACCEPTED, or OrderRejectReason."""
    request = exchange.gateways.request
    if message.side != WireSide.BUY and message.side != WireSide.SELL:
        return OrderRejectReason.INVALID_FIELD
    if message.time_in_force < WireTimeInForce.IOC:
        return OrderRejectReason.INVALID_FIELD
    if message.show_quantity.mantissa != NULL_I64:
        return OrderRejectReason.ICEBERG_NOT_ALLOWED
    request.side = BUY if message.side == WireSide.BUY else SELL
    request.time_in_force = message.time_in_force
    request.flags = message.flags
    request.self_match_id = max(0, message.self_match_prevention_id)
    request.self_trading_mode = message.self_trading_mode
    request.qty_lots = decimal_lots(message.quantity, instrument.lot_e9)
    if request.qty_lots == BAD_VALUE or request.qty_lots == 0:
        return OrderRejectReason.INVALID_QUANTITY
    if message.price_e9 == NULL_I64 and message.flags & MARKET_LIMIT != 0:
        request.price_ticks = 0
        return ACCEPTED
    # A price beside the flag makes it a limit order: only without one is the best price taken.
    request.flags = request.flags & ~MARKET_LIMIT
    request.price_ticks = price_ticks(message.price_e9, instrument.tick_e9)
    return OrderRejectReason.INVALID_PRICE if request.price_ticks == BAD_VALUE else ACCEPTED


@compiled
def join_protection(exchange: StarbaseExchange, flags: int, now_ns: int) -> int:
    """Put the requested order under its currency pair's protection; ACCEPTED, or OrderRejectReason."""
    matching = exchange.matching
    request = exchange.gateways.request
    pair = matching.market.instruments[request.instrument].underlying
    index = find_group(matching, request.member, pair, 0)
    if index == NONE:
        return OrderRejectReason.MMP_NOT_CONFIGURED
    group = matching.groups[index]
    group.session = request.session
    if group.is_frozen != 0:
        if flags & RESET_MMP == 0:
            return OrderRejectReason.MMP_GROUP_FROZEN
        thaw_group(group, now_ns)
        send_unfrozen(exchange, group, request.correlation_id, now_ns)
    request.group = index
    return ACCEPTED


@compiled
def handle_amend(exchange: StarbaseExchange, session: int, message: AmendOrderRequest, now_ns: int) -> None:
    """Handle a new price and quantity for an order."""
    matching = exchange.matching
    member = exchange.gateways.sessions[session].member
    instrument = market_index(matching, message.instrument_id)
    slot = find_client_order(matching, member, message.client_order_id)
    reason: int = ACCEPTED
    order_id = NULL_I64
    if not is_within_limit(exchange, order_bucket(exchange, session), now_ns):
        reason = OrderRejectReason.RATE_LIMIT
    elif instrument == NONE:
        reason = OrderRejectReason.INVALID_INSTRUMENT
    elif slot == NONE or matching.orders[slot].instrument != instrument:
        reason = OrderRejectReason.ORDER_NOT_FOUND
    elif message.show_quantity.mantissa != NULL_I64:
        reason = OrderRejectReason.ICEBERG_NOT_ALLOWED
    if reason == ACCEPTED:
        order_id = matching.orders[slot].order_id
        terms = matching.market.instruments[instrument]
        ticks = price_ticks(message.price_e9, terms.tick_e9)
        lots = decimal_lots(message.quantity, terms.lot_e9)
        if ticks == BAD_VALUE:
            reason = OrderRejectReason.INVALID_PRICE
        elif lots == BAD_VALUE:
            reason = OrderRejectReason.INVALID_QUANTITY
        else:
            open_windows(matching, now_ns)
            reason = amend_order(matching, slot, ticks, lots, message.flags, message.correlation_id, now_ns)
    if reason != ACCEPTED:
        send_order_reject(
            exchange, Template.AMEND_ORDER_REJECT, session, message.client_order_id, message.correlation_id,
            order_id, message.instrument_id, reason, now_ns,
        )  # fmt: skip
        return
    # Both sessions are answered; fills stay with the one that the order came by.
    owner = matching.orders[slot].session
    if owner != session:
        send_amend_response(exchange, session, False, now_ns)
    send_amend_response(exchange, owner, True, now_ns)
    settle(exchange, now_ns)


@compiled
def handle_cancel(exchange: StarbaseExchange, session: int, message: CancelOrderRequest, now_ns: int) -> None:
    """Cancel an order by the client's own id."""
    member = exchange.gateways.sessions[session].member
    slot = find_client_order(exchange.matching, member, message.client_order_id)
    cancel_slot(exchange, session, slot, message.client_order_id, message.correlation_id, message.instrument_id, now_ns)


@compiled
def handle_cancel_by_id(exchange: StarbaseExchange, session: int, message: CancelOrderByIdRequest, now_ns: int) -> None:
    """Cancel an order by the exchange's id."""
    matching = exchange.matching
    slot = find_exchange_order(matching, message.order_id)
    if slot != NONE and matching.orders[slot].member != exchange.gateways.sessions[session].member:
        slot = NONE
    client_order_id = matching.orders[slot].client_order_id if slot != NONE else NULL_I64
    cancel_slot(exchange, session, slot, client_order_id, message.correlation_id, message.instrument_id, now_ns)


@compiled
def cancel_slot(
    exchange: StarbaseExchange,
    session: int,
    slot: int,
    client_order_id: int,
    correlation_id: int,
    instrument_id: int,
    now_ns: int,
) -> None:
    """Cancel the order in a slot, NONE if it was not found."""
    matching = exchange.matching
    draw_tokens(order_bucket(exchange, session), MESSAGE_TOKENS, now_ns)
    instrument = market_index(matching, instrument_id)
    reason: int = CANCELLED
    order_id = NULL_I64
    if instrument == NONE:
        reason = CancelOrderRejectReason.INVALID_INSTRUMENT
    elif slot == NONE or matching.orders[slot].instrument != instrument:
        reason = CancelOrderRejectReason.UNKNOWN_ORDER
    else:
        order_id = matching.orders[slot].order_id
        reason = cancel_order(matching, slot)
    if reason != CANCELLED:
        send_order_reject(
            exchange, Template.CANCEL_ORDER_REJECT, session, client_order_id, correlation_id,
            order_id, instrument_id, reason, now_ns,
        )  # fmt: skip
        return
    send_cancel_response(exchange, session, correlation_id, now_ns)
    order = matching.orders[slot]
    if order.session != session and order.session != NONE:
        send_canceled_order(exchange, order, CancelReason.BY_REQUEST, now_ns)
    settle(exchange, now_ns)


@compiled
def handle_mass_cancel(exchange: StarbaseExchange, session: int, message: MassCancelRequest, now_ns: int) -> None:
    """Cancel all orders of the member in one instrument, or one currency pair. It draws no tokens."""
    matching = exchange.matching
    instrument = NONE
    is_bad = (message.instrument_id == NULL_I64) == (message.currency_pair_id == NULL_I64)
    is_bad = is_bad or message.side < WireSide.SELL or message.side > WireSide.BUY
    is_bad = is_bad or message.product_type < ProductType.ALL or message.product_type > ProductType.SPOT
    if message.instrument_id != NULL_I64:
        instrument = market_index(matching, message.instrument_id)
        is_bad = is_bad or instrument == NONE
    if is_bad:
        refuse_mass_cancel(exchange, session, message.correlation_id, MassCancelRejectReason.ERROR, now_ns)
        return
    member = exchange.gateways.sessions[session].member
    cancelled = mass_cancel(matching, member, message.currency_pair_id, instrument, message.product_type, message.side)
    send_mass_cancelled(exchange, session, message.correlation_id, cancelled, now_ns)
    settle(exchange, now_ns)


@compiled
def refuse_mass_cancel(exchange: StarbaseExchange, session: int, correlation_id: int, reason: int, now_ns: int) -> None:
    """Answer a mass cancel that cancels nothing."""
    refused = view(MassCancelReject, begin_answer(exchange, Template.MASS_CANCEL_REJECT, now_ns))
    refused.correlation_id = correlation_id
    refused.reason = reason
    add_empty_text(exchange)
    send_message(exchange, session, False, now_ns)


@compiled
def send_mass_cancelled(
    exchange: StarbaseExchange, session: int, correlation_id: int, cancelled: int, now_ns: int
) -> None:
    """Say how many orders a mass cancel cancelled; later messages say which."""
    answer = view(MassCancelResponse, begin_answer(exchange, Template.MASS_CANCEL_RESPONSE, now_ns))
    answer.correlation_id = correlation_id
    answer.receive_time_ns = now_ns
    answer.total_order_count = cancelled
    send_message(exchange, session, False, now_ns)
