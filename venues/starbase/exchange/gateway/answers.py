"""Simulated Starbase: what the matching engine did, as messages to the sessions that it concerns, and as market data.

A session whose client is away gets them too: they are kept, numbered, until it asks.
"""

from crosswire.nic.memory.struct import Array, size_of, view
from crosswire.nic.rings.ring import NEVER_NS
from crosswire.nic.unit.compile import compiled
from crosswire.venues.side import BUY
from crosswire.venues.starbase.exchange.gateway.send import (
    add_empty_text,
    add_group,
    begin_answer,
    send_message,
    set_decimal,
)
from crosswire.venues.starbase.exchange.matching.quotes import freeze_group
from crosswire.venues.starbase.exchange.matching.state import NO_SESSION, ExchangeOrder, Group, OrderPlace
from crosswire.venues.starbase.exchange.publisher import publish_changes
from crosswire.venues.starbase.exchange.state import SESSIONS_MAX, StarbaseExchange
from crosswire.venues.starbase.wire.order_codes import (
    CancelFlags,
    CancelReason,
    FillFlags,
    MmpTriggerType,
    MultiPartEventFlags,
    Template,
    WireSide,
)
from crosswire.venues.starbase.wire.order_layout import (
    NULL_I64,
    AmendOrderResponse,
    CanceledOrder,
    CancelOrderResponse,
    Fill,
    LegFill,
    MakerFill,
    MassQuoteOrdersPlaced,
    NewOrderReject,
    NewOrderResponse,
    OrderPlaced,
    OrdersCanceled,
    OrdersMmpTriggered,
    OrdersMmpUnfrozen,
    PlacedQuote,
    QuoteFill,
)

ENTRIES_MAX = 20  # fills or cancelled orders in one message
IS_QUOTE = int(FillFlags.IS_QUOTE)
IS_FULLY_FILLED = int(FillFlags.IS_FULLY_FILLED)
CANCELED_QUOTE = int(CancelFlags.IS_QUOTE)
IS_LAST_MESSAGE = int(MultiPartEventFlags.IS_LAST_MESSAGE)


@compiled
def wire_side(side: int) -> int:
    return WireSide.BUY if side == BUY else WireSide.SELL


@compiled
def price_of(exchange: StarbaseExchange, instrument: int, price_ticks: int) -> int:
    """Convert ticks to a wire price."""
    return price_ticks * exchange.matching.market.instruments[instrument].tick_e9


@compiled
def wire_id(exchange: StarbaseExchange, instrument: int) -> int:
    """Convert a market index to a wire instrument id."""
    return exchange.matching.market.instruments[instrument].venue_id


@compiled
def add_taker_fills(exchange: StarbaseExchange, count: int) -> None:
    """Add the groups `fills`, of the first `count` ones, and `legs` of an answer to a taker."""
    outcome = exchange.matching.outcome
    entries = add_group(exchange, size_of(Fill), count)
    for place in range(count):
        fill = outcome.fills[place]
        entry = view(Fill, entries + place * size_of(Fill))
        entry.match_id = fill.match_id
        entry.fill_price_e9 = price_of(exchange, fill.instrument, fill.price_ticks)
        set_decimal(exchange, entry.fill_quantity, fill.instrument, fill.qty_lots)
    add_group(exchange, size_of(LegFill), 0)


@compiled
def visible_lots(order: ExchangeOrder) -> int:
    """Count the lots of an order that others see."""
    return order.qty_lots - order.filled_lots if order.place == OrderPlace.RESTING else 0


@compiled
def describe_order(
    exchange: StarbaseExchange, message: NewOrderResponse | AmendOrderResponse | OrderPlaced, order: ExchangeOrder
) -> None:
    """Say which order the answer is about, how it stands, and what the matching engine's step made of it."""
    outcome = exchange.matching.outcome
    message.client_order_id = order.client_order_id
    message.correlation_id = order.correlation_id
    message.order_id = order.order_id
    message.instrument_id = wire_id(exchange, order.instrument)
    message.price_e9 = price_of(exchange, order.instrument, order.price_ticks)
    set_decimal(exchange, message.quantity, order.instrument, order.qty_lots)
    set_decimal(exchange, message.total_filled, order.instrument, order.filled_lots)
    set_decimal(exchange, message.visible_quantity, order.instrument, visible_lots(order))
    message.status = outcome.status
    message.cancel_reason = outcome.cancel_reason


@compiled
def send_new_response(exchange: StarbaseExchange, session: int, now_ns: int) -> None:
    """Send the outcome of a new order."""
    matching = exchange.matching
    order = matching.orders[matching.outcome.slot]
    message = view(NewOrderResponse, begin_answer(exchange, Template.NEW_ORDER_RESPONSE, now_ns))
    describe_order(exchange, message, order)
    message.receive_time_ns = now_ns
    message.side = wire_side(order.side)
    add_taker_fills(exchange, exchange.matching.outcome.fill_count)
    send_message(exchange, session, False, now_ns)


@compiled
def send_order_reject(
    exchange: StarbaseExchange,
    template_id: int,
    session: int,
    client_order_id: int,
    correlation_id: int,
    order_id: int,
    instrument_id: int,
    reason: int,
    now_ns: int,
) -> None:
    """Refuse a new order, an amend or a cancel, by its template: all three have the same fields."""
    message = view(NewOrderReject, begin_answer(exchange, template_id, now_ns))
    message.client_order_id = client_order_id
    message.correlation_id = correlation_id
    message.order_id = order_id
    message.instrument_id = instrument_id
    message.reason = reason
    add_empty_text(exchange)
    send_message(exchange, session, False, now_ns)


@compiled
def send_amend_response(exchange: StarbaseExchange, session: int, has_fills: bool, now_ns: int) -> None:
    """Send the outcome of an amend to one of the sessions that it concerns."""
    matching = exchange.matching
    order = matching.orders[matching.outcome.slot]
    message = view(AmendOrderResponse, begin_answer(exchange, Template.AMEND_ORDER_RESPONSE, now_ns))
    describe_order(exchange, message, order)
    message.receive_time_ns = now_ns
    add_taker_fills(exchange, matching.outcome.fill_count if has_fills else 0)
    send_message(exchange, session, False, now_ns)


@compiled
def send_cancel_response(exchange: StarbaseExchange, session: int, correlation_id: int, now_ns: int) -> None:
    """Say that the outcome's order is cancelled, as was asked."""
    matching = exchange.matching
    order = matching.orders[matching.outcome.slot]
    message = view(CancelOrderResponse, begin_answer(exchange, Template.CANCEL_ORDER_RESPONSE, now_ns))
    message.client_order_id = order.client_order_id
    message.correlation_id = correlation_id
    message.order_id = order.order_id
    message.instrument_id = wire_id(exchange, order.instrument)
    message.receive_time_ns = now_ns
    set_decimal(exchange, message.quantity, order.instrument, order.qty_lots)
    set_decimal(exchange, message.total_filled, order.instrument, order.filled_lots)
    send_message(exchange, session, False, now_ns)


@compiled
def send_release(exchange: StarbaseExchange, now_ns: int) -> None:
    """Tell the session that placed an order what it did when it came out of the speed bump."""
    matching = exchange.matching
    outcome = matching.outcome
    order = matching.orders[outcome.slot]
    if order.session == NO_SESSION:
        return
    if order.is_quote != 0:
        send_quote_release(exchange, order, now_ns)
        return
    if order.convert_reason != CancelReason.UNKNOWN and outcome.fill_count == 0:
        # "A plain cancel confirmation if nothing matches".
        send_canceled_order(exchange, order, order.convert_reason, now_ns)
        return
    message = view(OrderPlaced, begin_answer(exchange, Template.ORDER_PLACED, now_ns))
    describe_order(exchange, message, order)
    add_taker_fills(exchange, exchange.matching.outcome.fill_count)
    send_message(exchange, order.session, False, now_ns)


@compiled
def send_canceled_order(exchange: StarbaseExchange, order: ExchangeOrder, reason: int, now_ns: int) -> None:
    """Say that one order is cancelled whose session did not ask for that just now."""
    message = view(OrdersCanceled, begin_answer(exchange, Template.ORDERS_CANCELED, now_ns))
    message.flags = IS_LAST_MESSAGE
    entry = view(CanceledOrder, add_group(exchange, size_of(CanceledOrder), 1))
    entry.client_order_id = order.client_order_id
    entry.order_id = order.order_id
    entry.instrument_id = wire_id(exchange, order.instrument)
    set_decimal(exchange, entry.total_filled, order.instrument, order.filled_lots)
    entry.cancel_reason = reason
    entry.flags = CANCELED_QUOTE if order.is_quote != 0 else 0
    send_message(exchange, order.session, False, now_ns)


@compiled
def send_quote_release(exchange: StarbaseExchange, order: ExchangeOrder, now_ns: int) -> None:
    """Say what a quote did when it came out of the speed bump."""
    matching = exchange.matching
    outcome = matching.outcome
    message = view(MassQuoteOrdersPlaced, begin_answer(exchange, Template.MASS_QUOTE_ORDERS_PLACED, now_ns))
    message.mmp_group_id = matching.groups[order.group].group_id
    entry = view(PlacedQuote, add_group(exchange, size_of(PlacedQuote), 1))
    entry.client_order_id = order.client_order_id
    entry.order_id = order.order_id
    entry.instrument_id = wire_id(exchange, order.instrument)
    entry.price_e9 = price_of(exchange, order.instrument, order.price_ticks)
    set_decimal(exchange, entry.quantity, order.instrument, order.qty_lots)
    set_decimal(exchange, entry.total_filled, order.instrument, order.filled_lots)
    set_decimal(exchange, entry.visible_quantity, order.instrument, visible_lots(order))
    entry.side = wire_side(order.side)
    entry.status = outcome.status
    entry.cancel_reason = outcome.cancel_reason
    entries = add_group(exchange, size_of(QuoteFill), outcome.fill_count)
    for place in range(outcome.fill_count):
        fill = outcome.fills[place]
        match = view(QuoteFill, entries + place * size_of(QuoteFill))
        match.match_id = fill.match_id
        match.order_id = order.order_id
        match.fill_price_e9 = price_of(exchange, fill.instrument, fill.price_ticks)
        set_decimal(exchange, match.fill_quantity, fill.instrument, fill.qty_lots)
    add_group(exchange, size_of(LegFill), 0)
    send_message(exchange, order.session, False, now_ns)


@compiled
def settle(exchange: StarbaseExchange, now_ns: int) -> None:
    """Tell everyone else what the last step of the matching engine did, and freeze what reached its limit."""
    tell(exchange, now_ns)
    freeze_due(exchange, now_ns)


@compiled
def freeze_due(exchange: StarbaseExchange, now_ns: int) -> None:
    """Freeze the protection groups that reached their limit, and tell everyone."""
    matching = exchange.matching
    for index in range(matching.group_count):
        if matching.groups[index].is_due != 0:
            freeze_group(matching, index, now_ns)
            send_triggered(exchange, matching.groups[index], now_ns)
            tell(exchange, now_ns)


@compiled
def tell(exchange: StarbaseExchange, now_ns: int) -> None:
    """Publish the outcome, then tell the sessions whose orders were filled or cancelled by it."""
    outcome = exchange.matching.outcome
    publish_changes(exchange.publisher, exchange.matching, exchange.feed, now_ns)
    if outcome.fill_count != 0:
        for session in range(SESSIONS_MAX):
            send_maker_fills(exchange, session, now_ns)
    if outcome.cancel_count != 0:
        for session in range(SESSIONS_MAX):
            send_cancels(exchange, session, now_ns)


@compiled
def count_own(notes: Array, count: int, session: int) -> int:
    """Count those of the first `count` fills or cancels that are of the session's orders."""
    own = 0
    for place in range(count):
        if notes[place].session == session:
            own += 1
    return own


@compiled
def next_own(notes: Array, place: int, session: int) -> int:
    """Find the place of the first fill or cancel of the session's orders behind `place`; there must be one."""
    place += 1
    while notes[place].session != session:
        place += 1
    return place


@compiled
def send_maker_fills(exchange: StarbaseExchange, session: int, now_ns: int) -> None:
    """Send the fills of one session's resting orders."""
    outcome = exchange.matching.outcome
    left = count_own(outcome.fills, outcome.fill_count, session)
    place = -1
    while left > 0:
        count = min(left, ENTRIES_MAX)
        left -= count
        begin_answer(exchange, Template.ORDER_FILLED, now_ns)
        entries = add_group(exchange, size_of(MakerFill), count)
        for written in range(count):
            place = next_own(outcome.fills, place, session)
            fill = outcome.fills[place]
            entry = view(MakerFill, entries + written * size_of(MakerFill))
            entry.client_order_id = fill.client_order_id
            entry.order_id = fill.order_id
            entry.instrument_id = wire_id(exchange, fill.instrument)
            entry.match_id = fill.match_id
            entry.price_e9 = price_of(exchange, fill.instrument, fill.price_ticks)
            set_decimal(exchange, entry.fill_quantity, fill.instrument, fill.qty_lots)
            set_decimal(exchange, entry.total_filled, fill.instrument, fill.total_filled_lots)
            entry.side = wire_side(fill.side)
            entry.flags = (IS_QUOTE if fill.is_quote != 0 else 0) | (IS_FULLY_FILLED if fill.is_done != 0 else 0)
        add_group(exchange, size_of(LegFill), 0)
        send_message(exchange, session, False, now_ns)


@compiled
def send_cancels(exchange: StarbaseExchange, session: int, now_ns: int) -> None:
    """Send the cancelled orders of one session."""
    outcome = exchange.matching.outcome
    left = count_own(outcome.cancels, outcome.cancel_count, session)
    place = -1
    while left > 0:
        count = min(left, ENTRIES_MAX)
        left -= count
        message = view(OrdersCanceled, begin_answer(exchange, Template.ORDERS_CANCELED, now_ns))
        message.flags = IS_LAST_MESSAGE if left == 0 else 0
        entries = add_group(exchange, size_of(CanceledOrder), count)
        for written in range(count):
            place = next_own(outcome.cancels, place, session)
            cancel = outcome.cancels[place]
            entry = view(CanceledOrder, entries + written * size_of(CanceledOrder))
            entry.client_order_id = cancel.client_order_id
            entry.order_id = cancel.order_id
            entry.instrument_id = wire_id(exchange, cancel.instrument)
            set_decimal(exchange, entry.total_filled, cancel.instrument, cancel.total_filled_lots)
            entry.cancel_reason = cancel.reason
            entry.flags = CANCELED_QUOTE if cancel.is_quote != 0 else 0
        send_message(exchange, session, False, now_ns)


@compiled
def send_triggered(exchange: StarbaseExchange, group: Group, now_ns: int) -> None:
    """Say that a protection group's limit was reached."""
    if group.session == NO_SESSION:
        return
    # The messages for quotes and for orders have the same fields, except for the name of their subject.
    template_id: int = Template.ORDERS_MMP_TRIGGERED
    if group.is_quotes != 0:
        template_id = Template.MASS_QUOTE_MMP_TRIGGERED
    message = view(OrdersMmpTriggered, begin_answer(exchange, template_id, now_ns))
    message.currency_pair_id = group.group_id
    message.frozen_until_ns = group.frozen_until_ns if group.frozen_until_ns != NEVER_NS else NULL_I64
    message.quantity_level = float(group.traded_lots)
    message.trigger = MmpTriggerType.QUANTITY
    send_message(exchange, group.session, False, now_ns)


@compiled
def send_unfrozen(exchange: StarbaseExchange, group: Group, correlation_id: int, now_ns: int) -> None:
    """Say that a protection group takes orders again; with the correlation id of who asked, or NULL_I64."""
    if group.session == NO_SESSION:
        return
    template_id: int = Template.ORDERS_MMP_UNFROZEN
    if group.is_quotes != 0:
        template_id = Template.MASS_QUOTE_MMP_UNFROZEN
    message = view(OrdersMmpUnfrozen, begin_answer(exchange, template_id, now_ns))
    message.currency_pair_id = group.group_id
    message.correlation_id = correlation_id
    send_message(exchange, group.session, False, now_ns)
