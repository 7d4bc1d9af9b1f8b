"""Simulated Starbase: mass quotes, their cancels, and questions about market maker protection."""

from crosswire.nic.memory.struct import size_of, view
from crosswire.nic.rings.ring import NEVER_NS
from crosswire.nic.unit.compile import compiled
from crosswire.venues.side import ASK, BID
from crosswire.venues.starbase.exchange.gateway.answers import (
    freeze_due,
    price_of,
    send_unfrozen,
    settle,
    tell,
    wire_id,
)
from crosswire.venues.starbase.exchange.gateway.requests import is_within_limit, refuse_mass_cancel, send_mass_cancelled
from crosswire.venues.starbase.exchange.gateway.send import (
    add_empty_text,
    add_group,
    begin_answer,
    begin_message,
    send_message,
    set_decimal,
)
from crosswire.venues.starbase.exchange.matching.matching import MARKET_LIMIT
from crosswire.venues.starbase.exchange.matching.quotes import (
    cancel_quotes,
    find_quoted,
    open_windows,
    place_quote,
    refuse_quote,
    thaw_group,
)
from crosswire.venues.starbase.exchange.matching.state import (
    ACCEPTED,
    TOUCHED_MAX,
    Group,
    QuoteOutcome,
    clear_outcome,
    find_group,
    market_index,
)
from crosswire.venues.starbase.exchange.state import GATEWAYS, NONE, QUOTE_FILLS_MAX, QUOTES_MAX, StarbaseExchange
from crosswire.venues.starbase.rate_limits import QUOTE_CANCEL_TOKENS
from crosswire.venues.starbase.wire.decimal import BAD_VALUE, decimal_lots, price_ticks
from crosswire.venues.starbase.wire.order_codes import (
    MassCancelRejectReason,
    MassQuoteFlags,
    MassQuoteRejectReason,
    MmpStatusRejectReason,
    OrderRejectReason,
    SelfTradingMode,
    Template,
    WireTimeInForce,
)
from crosswire.venues.starbase.wire.order_layout import (
    NULL_EXPONENT,
    NULL_I64,
    GetMassQuoteMmpStatusReject,
    GetMassQuoteMmpStatusRequest,
    GetMassQuoteMmpStatusResponse,
    GetOrdersMmpStatusRequest,
    LegFill,
    MassQuoteCancelRequest,
    MassQuoteReject,
    MassQuoteRequest,
    MassQuoteResponse,
    Quote,
    QuoteResult,
    SideFill,
)
from crosswire.venues.starbase.wire.stream import Group as WireGroup
from crosswire.venues.token_bucket import draw_tokens

RESET_MMP = int(MassQuoteFlags.RESET_MMP)


@compiled
def handle_mass_quote(
    exchange: StarbaseExchange, session: int, message: MassQuoteRequest, quotes: WireGroup, now_ns: int
) -> None:
    """Handle bids and asks of several instruments at once.

    Each quote stands for itself; a bad one refuses its own sides.
    """
    matching = exchange.matching
    gateways = exchange.gateways
    owner = gateways.sessions[session]
    bucket = gateways.quote_tokens[owner.member * GATEWAYS + owner.gateway]
    index = find_group(matching, owner.member, message.mmp_group_id, 1)
    reason: int = ACCEPTED
    if not is_within_limit(exchange, bucket, now_ns):
        reason = MassQuoteRejectReason.RATE_LIMIT
    elif index == NONE:
        reason = MassQuoteRejectReason.INVALID_MMP_GROUP
    elif quotes.count > QUOTES_MAX:
        reason = MassQuoteRejectReason.TOO_MANY_QUOTES
    elif has_duplicates(quotes):
        reason = MassQuoteRejectReason.DUPLICATE_INSTRUMENT
    elif not all_known(exchange, quotes):
        reason = MassQuoteRejectReason.INVALID_INSTRUMENT
    else:
        group = matching.groups[index]
        group.session = session
        if group.is_frozen != 0 and message.flags & RESET_MMP != 0:
            thaw_group(group, now_ns)
            send_unfrozen(exchange, group, message.correlation_id, now_ns)
        if group.is_frozen != 0:
            reason = MassQuoteRejectReason.MMP_GROUP_FROZEN
    if reason != ACCEPTED:
        refused = view(MassQuoteReject, begin_answer(exchange, Template.MASS_QUOTE_REJECT, now_ns))
        refused.quote_id = message.quote_id
        refused.correlation_id = message.correlation_id
        refused.mmp_group_id = message.mmp_group_id
        refused.reason = reason
        add_empty_text(exchange)
        send_message(exchange, session, False, now_ns)
        return
    request = gateways.request
    request.session = session
    request.member = owner.member
    request.client_order_id = message.quote_id
    request.correlation_id = message.correlation_id
    request.time_in_force = WireTimeInForce.GTC
    request.self_match_id = max(0, message.self_match_prevention_id)
    request.self_trading_mode = SelfTradingMode.CANCEL_TAKER
    request.is_quote = 1
    request.group = index
    gateways.quote_fill_counts[BID] = 0
    gateways.quote_fill_counts[ASK] = 0
    open_windows(matching, now_ns)
    for place in range(quotes.count):
        quote = view(Quote, quotes.entries + place * quotes.block_length)
        place_sides(exchange, matching.groups[index], quote, place, now_ns)
    send_quote_response(exchange, session, message, quotes.count, now_ns)
    freeze_due(exchange, now_ns)


@compiled
def has_duplicates(quotes: WireGroup) -> bool:
    """Tell whether an instrument is quoted twice."""
    for place in range(quotes.count):
        instrument_id = view(Quote, quotes.entries + place * quotes.block_length).instrument_id
        for before in range(place):
            if view(Quote, quotes.entries + before * quotes.block_length).instrument_id == instrument_id:
                return True
    return False


@compiled
def all_known(exchange: StarbaseExchange, quotes: WireGroup) -> bool:
    """Tell whether every quoted instrument is one of ours."""
    for place in range(quotes.count):
        quote = view(Quote, quotes.entries + place * quotes.block_length)
        if market_index(exchange.matching, quote.instrument_id) == NONE:
            return False
    return True


@compiled
def place_sides(exchange: StarbaseExchange, group: Group, quote: Quote, place: int, now_ns: int) -> None:
    """Place bid, then ask, of one quote; results and fills are noted."""
    gateways = exchange.gateways
    request = gateways.request
    instrument = market_index(exchange.matching, quote.instrument_id)
    gateways.quote_instruments[place] = instrument
    request.instrument = instrument
    terms = exchange.matching.market.instruments[instrument]
    quoted = find_quoted(group, instrument)
    for side in range(2):
        result = gateways.quote_results[2 * place + side]
        request.side = side
        price_e9 = quote.bid_price_e9 if side == BID else quote.ask_price_e9
        mantissa = quote.bid_quantity.mantissa if side == BID else quote.ask_quantity.mantissa
        request.flags = (quote.bid_flags if side == BID else quote.ask_flags) & ~MARKET_LIMIT
        request.price_ticks = 0
        request.qty_lots = 0
        reason: int = ACCEPTED
        if quoted == NONE or gateways.quote_fill_counts[side] > QUOTE_FILLS_MAX - TOUCHED_MAX:
            reason = OrderRejectReason.SYSTEM_ERROR
        elif price_e9 != NULL_I64 and mantissa != NULL_I64:
            decimal = quote.bid_quantity if side == BID else quote.ask_quantity
            request.qty_lots = decimal_lots(decimal, terms.lot_e9)
            request.price_ticks = price_ticks(price_e9, terms.tick_e9)
            if request.qty_lots == BAD_VALUE:
                reason = OrderRejectReason.INVALID_QUANTITY
            elif request.price_ticks == BAD_VALUE:
                reason = OrderRejectReason.INVALID_PRICE
        if reason != ACCEPTED:
            clear_outcome(exchange.matching)
            order_id = group.quoted[quoted].order_ids[side] if quoted != NONE else 0
            refuse_quote(exchange.matching, order_id, reason, result)
        else:
            place_quote(exchange.matching, group.quoted[quoted], request, result, now_ns)
        note_fills(exchange, side)
        tell(exchange, now_ns)


@compiled
def note_fills(exchange: StarbaseExchange, side: int) -> None:
    """Note the outcome's fills for the answer to the mass quote."""
    gateways = exchange.gateways
    outcome = exchange.matching.outcome
    for place in range(outcome.fill_count):
        fill = outcome.fills[place]
        note = gateways.quote_fills[side * QUOTE_FILLS_MAX + gateways.quote_fill_counts[side]]
        gateways.quote_fill_counts[side] += 1
        note.match_id = fill.match_id
        note.instrument = fill.instrument
        note.price_ticks = fill.price_ticks
        note.qty_lots = fill.qty_lots


@compiled
def send_quote_response(
    exchange: StarbaseExchange, session: int, message: MassQuoteRequest, count: int, now_ns: int
) -> None:
    """Say what became of each side, and what the sides took."""
    gateways = exchange.gateways
    answer = view(MassQuoteResponse, begin_answer(exchange, Template.MASS_QUOTE_RESPONSE, now_ns))
    answer.quote_id = message.quote_id
    answer.correlation_id = message.correlation_id
    answer.mmp_group_id = message.mmp_group_id
    answer.receive_time_ns = now_ns
    entries = add_group(exchange, size_of(QuoteResult), count)
    for place in range(count):
        entry = view(QuoteResult, entries + place * size_of(QuoteResult))
        instrument = gateways.quote_instruments[place]
        bid = gateways.quote_results[2 * place + BID]
        ask = gateways.quote_results[2 * place + ASK]
        entry.instrument_id = wire_id(exchange, instrument)
        entry.bid_order_id = wire_order_id(bid)
        entry.ask_order_id = wire_order_id(ask)
        entry.bid_price_e9 = price_of(exchange, instrument, bid.price_ticks)
        entry.ask_price_e9 = price_of(exchange, instrument, ask.price_ticks)
        set_decimal(exchange, entry.bid_quantity, instrument, bid.qty_lots)
        set_decimal(exchange, entry.ask_quantity, instrument, ask.qty_lots)
        set_decimal(exchange, entry.bid_filled_quantity, instrument, bid.filled_lots)
        set_decimal(exchange, entry.ask_filled_quantity, instrument, ask.filled_lots)
        entry.bid_status = bid.status
        entry.ask_status = ask.status
        entry.bid_reject_reason = wire_reason(bid)
        entry.ask_reject_reason = wire_reason(ask)
    for side in range(2):
        fills = add_group(exchange, size_of(SideFill), gateways.quote_fill_counts[side])
        for place in range(gateways.quote_fill_counts[side]):
            note = gateways.quote_fills[side * QUOTE_FILLS_MAX + place]
            fill = view(SideFill, fills + place * size_of(SideFill))
            fill.match_id = note.match_id
            fill.instrument_id = wire_id(exchange, note.instrument)
            fill.fill_price_e9 = price_of(exchange, note.instrument, note.price_ticks)
            set_decimal(exchange, fill.fill_quantity, note.instrument, note.qty_lots)
    add_group(exchange, size_of(LegFill), 0)
    send_message(exchange, session, False, now_ns)


@compiled
def wire_order_id(result: QuoteOutcome) -> int:
    return result.order_id if result.order_id != 0 else NULL_I64


@compiled
def wire_reason(result: QuoteOutcome) -> int:
    """Convert to an OrderRejectReason, or null for a side that was not refused."""
    return result.reject_reason if result.reject_reason != ACCEPTED else NULL_EXPONENT


@compiled
def handle_quote_cancel(exchange: StarbaseExchange, session: int, message: MassQuoteCancelRequest, now_ns: int) -> None:
    """Cancel all quotes of a group, or of all groups if the message names none (NULL)."""
    matching = exchange.matching
    owner = exchange.gateways.sessions[session]
    bucket = exchange.gateways.quote_tokens[owner.member * GATEWAYS + owner.gateway]
    draw_tokens(bucket, QUOTE_CANCEL_TOKENS, now_ns)
    index = NONE
    if message.mmp_group_id != NULL_I64:
        index = find_group(matching, owner.member, message.mmp_group_id, 1)
        if index == NONE:
            reason = MassCancelRejectReason.INVALID_MMP_GROUP
            refuse_mass_cancel(exchange, session, message.correlation_id, reason, now_ns)
            return
    cancelled = cancel_quotes(matching, owner.member, index, message.side)
    send_mass_cancelled(exchange, session, message.correlation_id, cancelled, now_ns)
    settle(exchange, now_ns)


@compiled
def frozen_until(group: Group) -> int:
    """Convert the end of a freeze for the wire: NULL_I64 when not frozen, or frozen until reset."""
    return group.frozen_until_ns if group.is_frozen != 0 and group.frozen_until_ns != NEVER_NS else NULL_I64


@compiled
def handle_quote_status(
    exchange: StarbaseExchange, session: int, message: GetMassQuoteMmpStatusRequest, now_ns: int
) -> None:
    """Answer whether a mass quote group is frozen."""
    answer_status(exchange, session, message.correlation_id, message.mmp_group_id, 1, now_ns)


@compiled
def handle_orders_status(
    exchange: StarbaseExchange, session: int, message: GetOrdersMmpStatusRequest, now_ns: int
) -> None:
    """Answer whether a currency pair's orders are frozen."""
    answer_status(exchange, session, message.correlation_id, message.currency_pair_id, 0, now_ns)


@compiled
def answer_status(
    exchange: StarbaseExchange, session: int, correlation_id: int, group_id: int, is_quotes: int, now_ns: int
) -> None:
    """Answer for quotes or for orders: the messages have the same fields, except for the name of their subject."""
    matching = exchange.matching
    index = find_group(matching, exchange.gateways.sessions[session].member, group_id, is_quotes)
    if index == NONE:
        template_id: int = Template.GET_ORDERS_MMP_STATUS_REJECT
        if is_quotes != 0:
            template_id = Template.GET_MASS_QUOTE_MMP_STATUS_REJECT
        refused = view(GetMassQuoteMmpStatusReject, begin_message(exchange, template_id))
        refused.timestamp_ns = now_ns
        refused.correlation_id = correlation_id
        refused.reason = MmpStatusRejectReason.INVALID_MMP_GROUP
    else:
        template_id = Template.GET_ORDERS_MMP_STATUS_RESPONSE
        if is_quotes != 0:
            template_id = Template.GET_MASS_QUOTE_MMP_STATUS_RESPONSE
        answer = view(GetMassQuoteMmpStatusResponse, begin_message(exchange, template_id))
        answer.timestamp_ns = now_ns
        answer.correlation_id = correlation_id
        answer.mmp_group_id = group_id
        answer.frozen_until_ns = frozen_until(matching.groups[index])
    send_message(exchange, session, False, now_ns)
