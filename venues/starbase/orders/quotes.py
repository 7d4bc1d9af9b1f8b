"""Mass quotes: bid and ask of several instruments in one frame.

The exchange knows a quote by instrument and side: a new one replaces the old one there. For us each is an order with an
id of its own, so a replaced quote ends as cancelled when its successor is acknowledged.
"""

from crosswire.nic.memory.struct import Struct, size_of, view
from crosswire.nic.packet import TCP_FRAME_HEADER_BYTES, write_tcp_frame_header
from crosswire.nic.rings.connection import select_stream
from crosswire.nic.rings.ring import reserve
from crosswire.nic.tcp_frames import TCP_WINDOW, commit_segment
from crosswire.nic.unit.compile import compiled
from crosswire.venues.order import (
    APPROVALS_MAX,
    Approvals,
    RejectReason,
    ReportKind,
    Reports,
    TimeInForce,
)
from crosswire.venues.session import write_mass_quote
from crosswire.venues.side import BUY, SELL
from crosswire.venues.starbase.orders.reasons import cancel_reason, order_reject_reason, quote_cancel_reason
from crosswire.venues.starbase.orders.state import (
    QuotedSide,
    StarbaseLink,
    StarbaseSession,
    market_index,
    note_number,
    remember_frame,
    remember_order,
    sent_frame,
    sent_order,
)
from crosswire.venues.starbase.orders.telling import (
    add_report,
    break_frame,
    break_value,
    lots_of,
    side_of,
    tell_fill,
    ticks_of,
)
from crosswire.venues.starbase.orders.templates import QUANTITY_EXPONENT
from crosswire.venues.starbase.rate_limits import MESSAGE_TOKENS
from crosswire.venues.starbase.wire.decimal import BAD_VALUE
from crosswire.venues.starbase.wire.order_codes import (
    OrderFlags,
    OrderRejectReason,
    OrderStatus,
    QuoteStatus,
    Template,
)
from crosswire.venues.starbase.wire.order_layout import (
    FRAME_ALIGNMENT_BYTES,
    Decimal72,
    FrameHeader,
    GroupHeader,
    MassQuoteOrdersPlaced,
    MassQuoteRequest,
    MassQuoteResponse,
    PlacedQuote,
    Quote,
    QuoteFill,
    QuoteResult,
    SideFill,
)
from crosswire.venues.starbase.wire.stream import (
    SEGMENT_BYTES_MAX,
    FrameFault,
    end_of,
    groups_of,
    read_group,
    root_of,
    write_header,
)
from crosswire.venues.token_bucket import take_tokens

_BARE_BYTES = size_of(FrameHeader) + size_of(MassQuoteRequest) + size_of(GroupHeader)
_QUOTES_MAX = (SEGMENT_BYTES_MAX - _BARE_BYTES - FRAME_ALIGNMENT_BYTES) // size_of(Quote)
assert APPROVALS_MAX <= 2 * _QUOTES_MAX  # a mass quote is one segment
_CANCEL_ON_DISCONNECT = int(OrderFlags.CANCEL_ON_DISCONNECT)
_POST_ONLY_REJECT = int(OrderFlags.POST_ONLY_REJECT)


@compiled
def quoted_side(session: StarbaseSession, instrument: int, side: int) -> QuotedSide:
    """Look up what is known of our quote on one side of a market instrument."""
    return session.quotes[2 * instrument + side]


@compiled
def quote_id_of(session: StarbaseSession, instrument: int, order_id: int) -> int:
    """Find our id of the quote that the exchange calls `order_id`; 0: none."""
    if instrument < 0:
        return 0
    for side in range(2):
        quoted = quoted_side(session, instrument, side)
        if quoted.order_id == order_id:
            return quoted.client_order_id
    return 0


@compiled
def find_quote(session: StarbaseSession, order_id: int) -> int:
    """Find our id as `quote_id_of` does, whatever its instrument."""
    for instrument in range(session.market[0].count):
        quote_id = quote_id_of(session, instrument, order_id)
        if quote_id != 0:
            return quote_id
    return 0


@compiled
def forget_quote(session: StarbaseSession, instrument_id: int, order_id: int) -> None:
    """Forget a quote whose end was told."""
    instrument = market_index(session, instrument_id)
    if instrument >= 0:
        for side in range(2):
            quoted = quoted_side(session, instrument, side)
            if quoted.order_id == order_id:
                quoted.client_order_id = 0
                quoted.order_id = 0
                quoted.is_held = 0


@write_mass_quote.register(StarbaseSession)
def write_starbase_mass_quote(session: StarbaseSession, ring: Struct, approvals: Approvals, now_ns: int) -> bool:
    count = approvals.count
    number = session.quoting_link
    is_sendable = _disarm(session, approvals, number)
    if not is_sendable or number < 0 or count < 2 or count % 2 != 0:
        return False
    link = session.links[number]
    if not take_tokens(link.quote_tokens, MESSAGE_TOKENS, now_ns):
        session.throttled += 1
        return False
    length = _BARE_BYTES + count // 2 * size_of(Quote)
    select_stream(ring, number)
    slot = reserve(ring, TCP_FRAME_HEADER_BYTES + SEGMENT_BYTES_MAX)
    if slot == 0:
        session.ring_full += 1
        return False
    address = write_tcp_frame_header(slot, link.stream.connection.flow, TCP_WINDOW)
    session.quote_id += 1
    session.quote_link = number
    root = view(MassQuoteRequest, root_of(address))
    root.quote_id = session.quote_id
    root.correlation_id = session.quote_id
    root.mmp_group_id = session.mmp_group_id
    root.self_match_prevention_id = link.templates.new_order.message.self_match_prevention_id
    root.flags = 0
    group = view(GroupHeader, root_of(address) + size_of(MassQuoteRequest))
    group.block_length = size_of(Quote)
    group.count = count // 2
    first = root_of(address) + size_of(MassQuoteRequest) + size_of(GroupHeader)
    for pair in range(count // 2):
        _write_quote(session, first + pair * size_of(Quote), approvals, 2 * pair, number)
    payload = write_header(link.stream, address, Template.MASS_QUOTE_REQUEST, length, now_ns)
    commit_segment(link.stream.connection, ring, slot, payload, now_ns)
    sent_frame(session, link, now_ns)
    remember_frame(link, Template.MASS_QUOTE_REQUEST, session.quote_id)
    session.quotes_sent += 1
    session.orders_sent += count
    link.mass_cancelled = 0
    return True


@compiled
def _disarm(session: StarbaseSession, approvals: Approvals, number: int) -> bool:
    """Disarm all; tell whether all were armed, of defined instruments, and without an earlier quote under way.

    Nor may one live that went out on another link: until that link is back it is not known what became of it.
    """
    unarmed = undefined = pending = unlinked = 0
    for position in range(approvals.count):
        approval = approvals.items[position]
        if approval.armed == 0:
            unarmed += 1
        approval.armed = 0
        if session.market[0].instruments[approval.instrument].venue_id < 0:
            undefined += 1
        quoted = quoted_side(session, approval.instrument, approval.side)
        if quoted.is_pending != 0:
            pending += 1
        elif quoted.client_order_id != 0 and sent_order(session, quoted.client_order_id).link != number:
            unlinked += 1
    session.unarmed += unarmed
    session.undefined += undefined
    if pending > 0:
        session.quotes_overlapping += 1
    if unlinked > 0:
        session.unlinked += 1
    return unarmed + undefined + pending + unlinked == 0


@compiled
def _write_quote(session: StarbaseSession, address: int, approvals: Approvals, position: int, number: int) -> None:
    """Write the quote of one instrument: the bid at `position`, the ask behind it."""
    bid = approvals.items[position]
    ask = approvals.items[position + 1]
    instrument = session.market[0].instruments[bid.instrument]
    quote = view(Quote, address)
    quote.instrument_id = instrument.venue_id
    quote.bid_price_e9 = bid.price_ticks * instrument.tick_e9
    quote.ask_price_e9 = ask.price_ticks * instrument.tick_e9
    quote.bid_quantity.mantissa = bid.qty_lots * instrument.lot_e9
    quote.bid_quantity.exponent = QUANTITY_EXPONENT
    quote.ask_quantity.mantissa = ask.qty_lots * instrument.lot_e9
    quote.ask_quantity.exponent = QUANTITY_EXPONENT
    quote.bid_flags = _quote_flags(bid.time_in_force)
    quote.ask_flags = _quote_flags(ask.time_in_force)
    for side in range(2):
        approval = approvals.items[position + side]
        remember_order(session, approval, number)
        quoted = quoted_side(session, approval.instrument, side)
        quoted.sent_id = approval.client_order_id
        quoted.sent_in = session.quote_id
        quoted.sent_ticks = approval.price_ticks
        quoted.sent_lots = approval.qty_lots
        quoted.is_pending = 1


@compiled
def _quote_flags(time_in_force: int) -> int:
    if time_in_force == TimeInForce.POST_ONLY:
        return _CANCEL_ON_DISCONNECT | _POST_ONLY_REJECT
    return _CANCEL_ON_DISCONNECT


@compiled
def tell_quotes_refused(session: StarbaseSession, reports: Reports, quote_id: int, reason: int) -> None:
    """Tell that nothing of a mass quote was taken: the quotes before it live on."""
    for instrument in range(session.market[0].count):
        for side in range(2):
            quoted = quoted_side(session, instrument, side)
            if quoted.sent_in == quote_id and quoted.is_pending != 0:
                add_report(session, reports, ReportKind.REJECTED, quoted.sent_id, 0).reason = reason
    if session.unread == 0:
        session.quotes_rejected += 1
        for instrument in range(session.market[0].count):
            for side in range(2):
                quoted = quoted_side(session, instrument, side)
                if quoted.sent_in == quote_id:
                    quoted.is_pending = 0


@compiled
def read_mass_quote_response(
    session: StarbaseSession, link: StarbaseLink, address: int, reports: Reports, now_ns: int
) -> None:
    """Read what became of each side.

    The table is changed once all is told: a frame may be read again for its rest.
    """
    message = view(MassQuoteResponse, root_of(address))
    end = end_of(address)
    group = session.group
    position = read_group(group, groups_of(link.stream, address), end, size_of(QuoteResult))
    position = read_group(session.bid_fills, position, end, size_of(SideFill))
    if read_group(session.ask_fills, position, end, size_of(SideFill)) == 0:
        break_frame(session, link, FrameFault.BAD_GROUP, now_ns)
        return
    for number in range(group.count):
        result = view(QuoteResult, group.entries + number * group.block_length)
        instrument = market_index(session, result.instrument_id)
        if instrument < 0:
            session.unknown_instruments += 1
            report = add_report(session, reports, ReportKind.ACK, 0, message.timestamp_ns)
            report.instrument = instrument
        else:
            quote_id, time_ns = message.quote_id, message.timestamp_ns
            _tell_side(session, reports, instrument, BUY, quote_id, result.bid_order_id, result.bid_status,
                       result.bid_reject_reason, time_ns)  # fmt: skip
            _tell_terms(session, reports, instrument, BUY, quote_id, result.bid_status, result.bid_reject_reason,
                        result.bid_price_e9, result.bid_quantity, result.bid_filled_quantity, time_ns)  # fmt: skip
            _tell_side(session, reports, instrument, SELL, quote_id, result.ask_order_id, result.ask_status,
                       result.ask_reject_reason, time_ns)  # fmt: skip
            _tell_terms(session, reports, instrument, SELL, quote_id, result.ask_status, result.ask_reject_reason,
                        result.ask_price_e9, result.ask_quantity, result.ask_filled_quantity, time_ns)  # fmt: skip
    _tell_side_fills(session, link, reports, BUY, message.timestamp_ns, now_ns)
    _tell_side_fills(session, link, reports, SELL, message.timestamp_ns, now_ns)
    for number in range(group.count):
        result = view(QuoteResult, group.entries + number * group.block_length)
        instrument = market_index(session, result.instrument_id)
        if instrument >= 0:
            _tell_side_end(session, reports, instrument, BUY, result.bid_status, message.timestamp_ns)
            _tell_side_end(session, reports, instrument, SELL, result.ask_status, message.timestamp_ns)
    if session.unread == 0:
        for number in range(group.count):
            result = view(QuoteResult, group.entries + number * group.block_length)
            instrument = market_index(session, result.instrument_id)
            if instrument >= 0:
                _keep_side(session, instrument, BUY, message.quote_id, result.bid_order_id, result.bid_status,
                           result.bid_reject_reason)  # fmt: skip
                _keep_side(session, instrument, SELL, message.quote_id, result.ask_order_id, result.ask_status,
                           result.ask_reject_reason)  # fmt: skip


@compiled
def _is_kept(quoted: QuotedSide, status: int, reject_reason: int) -> bool:
    """Tell whether a side was not replaced because the speed bump holds it: the old quote lives on, as it was."""
    if status != QuoteStatus.UNMODIFIED or quoted.client_order_id == 0:
        return False
    return quoted.is_held != 0 or reject_reason == OrderRejectReason.SPEED_BUMPED


@compiled
def _tell_terms(
    session: StarbaseSession,
    reports: Reports,
    instrument: int,
    side: int,
    quote_id: int,
    status: int,
    reject_reason: int,
    price_e9: int,
    quantity: Decimal72,
    filled: Decimal72,
    exchange_time_ns: int,
) -> None:
    """Tell of a quote with other terms than were asked for that it was amended: nobody asked for that either.

    Whether the quantity counts what was filled at once, the venue's pages do not say: either is believed.
    """
    quoted = quoted_side(session, instrument, side)
    is_live = status != QuoteStatus.INACTIVE and (status == QuoteStatus.FILLED or not is_ended(status))
    if quoted.sent_in != quote_id or not is_live or _is_kept(quoted, status, reject_reason):
        return
    ticks = ticks_of(session, instrument, price_e9)
    lots = lots_of(session, instrument, quantity)
    filled_lots = lots_of(session, instrument, filled)
    is_whole = ticks != BAD_VALUE and lots != BAD_VALUE and filled_lots != BAD_VALUE
    if is_whole and ticks == quoted.sent_ticks:
        if lots == quoted.sent_lots or lots + filled_lots == quoted.sent_lots:
            return
    report = add_report(session, reports, ReportKind.AMENDED, quoted.sent_id, exchange_time_ns)
    if is_whole:
        report.price_ticks = ticks
        report.qty_lots = lots


@compiled
def _tell_side(
    session: StarbaseSession,
    reports: Reports,
    instrument: int,
    side: int,
    quote_id: int,
    order_id: int,
    status: int,
    reject_reason: int,
    exchange_time_ns: int,
) -> None:
    """Tell that the old quote of a side has ended, and that the new one lives or was refused."""
    quoted = quoted_side(session, instrument, side)
    if quoted.sent_in != quote_id:
        session.unexpected += 1
        return
    if _is_kept(quoted, status, reject_reason):
        report = add_report(session, reports, ReportKind.REJECTED, quoted.sent_id, exchange_time_ns)
        report.reason = RejectReason.SPEED_BUMPED
        return
    # The one that was sent lives already if its answer is told again to a later process.
    if quoted.client_order_id != 0 and quoted.client_order_id != quoted.sent_id:
        report = add_report(session, reports, ReportKind.CANCELLED, quoted.client_order_id, exchange_time_ns)
        report.exchange_order_id = quoted.order_id
    if status == QuoteStatus.INACTIVE:
        report = add_report(session, reports, ReportKind.REJECTED, quoted.sent_id, exchange_time_ns)
        report.reason = order_reject_reason(reject_reason)
    else:
        report = add_report(session, reports, ReportKind.ACK, quoted.sent_id, exchange_time_ns)
        report.exchange_order_id = order_id
        report.queued = 1 if status == QuoteStatus.SPEED_BUMPED else 0


@compiled
def _tell_side_fills(
    session: StarbaseSession, link: StarbaseLink, reports: Reports, side: int, exchange_time_ns: int, now_ns: int
) -> None:
    """Tell the taker fills of the quotes just acknowledged."""
    group = session.bid_fills if side == BUY else session.ask_fills
    for number in range(group.count):
        fill = view(SideFill, group.entries + number * group.block_length)
        instrument = market_index(session, fill.instrument_id)
        ticks = ticks_of(session, instrument, fill.fill_price_e9)
        lots = lots_of(session, instrument, fill.fill_quantity)
        client_order_id = quoted_side(session, instrument, side).sent_id if instrument >= 0 else 0
        order_id = _order_id_of(session, fill.instrument_id, side)
        tell_fill(
            session, reports, fill.match_id, order_id, client_order_id, instrument, side, ticks, lots, 0,
            exchange_time_ns,
        )  # fmt: skip
        if session.unread == 0 and (ticks == BAD_VALUE or lots == BAD_VALUE):
            break_value(session, link, instrument, now_ns)


@compiled
def _order_id_of(session: StarbaseSession, instrument_id: int, side: int) -> int:
    """Find the order number that the message being read gives a quote; 0: none."""
    group = session.group
    for number in range(group.count):
        result = view(QuoteResult, group.entries + number * group.block_length)
        if result.instrument_id == instrument_id:
            return result.bid_order_id if side == BUY else result.ask_order_id
    return 0


@compiled
def is_ended(status: int) -> bool:
    """Tell whether a QuoteStatus leaves nothing of the quote."""
    return status == QuoteStatus.INACTIVE or (
        status >= QuoteStatus.FILLED and status <= QuoteStatus.CANCELED_BY_SELF_MATCH
    )


@compiled
def _tell_side_end(
    session: StarbaseSession, reports: Reports, instrument: int, side: int, status: int, exchange_time_ns: int
) -> None:
    if is_ended(status) and status != QuoteStatus.INACTIVE and status != QuoteStatus.FILLED:
        sent_id = quoted_side(session, instrument, side).sent_id
        report = add_report(session, reports, ReportKind.CANCELLED, sent_id, exchange_time_ns)
        report.reason = quote_cancel_reason(status)


@compiled
def _keep_side(
    session: StarbaseSession,
    instrument: int,
    side: int,
    quote_id: int,
    order_id: int,
    status: int,
    reject_reason: int,
) -> None:
    quoted = quoted_side(session, instrument, side)
    if quoted.sent_in == quote_id:
        quoted.is_pending = 0
        if _is_kept(quoted, status, reject_reason):
            return
        quoted.is_held = 1 if status == QuoteStatus.SPEED_BUMPED else 0
        note_number(session, quoted.sent_id, order_id)
        quoted.client_order_id = 0 if is_ended(status) else quoted.sent_id
        quoted.order_id = order_id


@compiled
def read_quotes_placed(
    session: StarbaseSession, link: StarbaseLink, address: int, reports: Reports, now_ns: int
) -> None:
    """Read that held quotes came into the book, filled what they could, and live or have ended."""
    time_ns = view(MassQuoteOrdersPlaced, root_of(address)).timestamp_ns
    end = end_of(address)
    group, fills = session.group, session.bid_fills
    position = read_group(group, groups_of(link.stream, address), end, size_of(PlacedQuote))
    if read_group(fills, position, end, size_of(QuoteFill)) == 0:
        break_frame(session, link, FrameFault.BAD_GROUP, now_ns)
        return
    for number in range(group.count):
        placed = view(PlacedQuote, group.entries + number * group.block_length)
        instrument = market_index(session, placed.instrument_id)
        order_id = placed.order_id
        client_order_id = quote_id_of(session, instrument, order_id)
        side = side_of(placed.side)
        report = add_report(session, reports, ReportKind.ACK, client_order_id, time_ns)
        report.exchange_order_id = order_id
        report.instrument = instrument
        for match in range(fills.count):
            fill = view(QuoteFill, fills.entries + match * fills.block_length)
            if fill.order_id == order_id:
                ticks = ticks_of(session, instrument, fill.fill_price_e9)
                lots = lots_of(session, instrument, fill.fill_quantity)
                tell_fill(
                    session, reports, fill.match_id, order_id, client_order_id, instrument, side, ticks, lots, 0,
                    time_ns,
                )  # fmt: skip
                if session.unread == 0 and (ticks == BAD_VALUE or lots == BAD_VALUE):
                    break_value(session, link, instrument, now_ns)
        if placed.status == OrderStatus.CANCELED:
            report = add_report(session, reports, ReportKind.CANCELLED, client_order_id, time_ns)
            report.instrument = instrument
            report.reason = cancel_reason(placed.cancel_reason)
    if session.unread == 0:
        for number in range(group.count):
            placed = view(PlacedQuote, group.entries + number * group.block_length)
            _release_side(session, placed.instrument_id, placed.order_id)
            if placed.status == OrderStatus.CANCELED or placed.status == OrderStatus.FILLED:
                forget_quote(session, placed.instrument_id, placed.order_id)


@compiled
def _release_side(session: StarbaseSession, instrument_id: int, order_id: int) -> None:
    """Note that a quote is held no longer."""
    instrument = market_index(session, instrument_id)
    if instrument >= 0:
        for side in range(2):
            quoted = quoted_side(session, instrument, side)
            if quoted.order_id == order_id:
                quoted.is_held = 0
