"""The Starbase messages that tell of our orders, one function a kind."""

from crosswire.nic.memory.struct import size_of, view
from crosswire.nic.unit.compile import compiled
from crosswire.venues.order import NOT_TOLD, ReportKind, Reports
from crosswire.venues.starbase.orders.quotes import (
    forget_quote,
    quote_id_of,
    read_mass_quote_response,
    read_quotes_placed,
    tell_quotes_refused,
)
from crosswire.venues.starbase.orders.reasons import (
    cancel_reason,
    cancel_reject_reason,
    mass_quote_reject_reason,
    order_reject_reason,
)
from crosswire.venues.starbase.orders.state import (
    MASS_CANCEL_RETRY_NS,
    StarbaseLink,
    StarbaseSession,
    is_end_of_other_link,
    is_of_other_link,
    is_order,
    is_sent,
    market_index,
    note_number,
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
from crosswire.venues.starbase.wire.decimal import BAD_VALUE
from crosswire.venues.starbase.wire.order_codes import (
    CancelFlags,
    CancelOrderRejectReason,
    FillFlags,
    OrderStatus,
    Template,
)
from crosswire.venues.starbase.wire.order_layout import (
    AmendOrderReject,
    AmendOrderResponse,
    CanceledOrder,
    CancelOrderReject,
    CancelOrderResponse,
    Decimal72,
    Fill,
    FrameHeader,
    MakerFill,
    MassQuoteReject,
    NewOrderReject,
    NewOrderResponse,
    OrderFilled,
    OrderPlaced,
    OrdersCanceled,
    OrdersMmpTriggered,
)
from crosswire.venues.starbase.wire.stream import FrameFault, end_of, groups_of, read_group, root_of

FILL_IS_QUOTE = int(FillFlags.IS_QUOTE)
FILL_ENDS_QUOTE = int(FillFlags.IS_QUOTE | FillFlags.IS_FULLY_FILLED)
CANCEL_IS_QUOTE = int(CancelFlags.IS_QUOTE)
CANCEL_QUANTITIES_SINCE = 16  # version of CancelOrderResponse


@compiled
def read_order_message(
    session: StarbaseSession, link: StarbaseLink, address: int, reports: Reports, now_ns: int
) -> None:
    template_id = view(FrameHeader, address).template_id
    if template_id == Template.NEW_ORDER_RESPONSE:
        _read_new_order_response(session, link, address, reports, now_ns)
    elif template_id == Template.ORDER_FILLED:
        _read_maker_fills(session, link, address, reports, now_ns)
    elif template_id == Template.ORDER_PLACED:
        _read_order_placed(session, link, address, reports, now_ns)
    elif template_id == Template.CANCEL_ORDER_RESPONSE:
        _read_cancel_response(session, link, address, reports, now_ns)
    elif template_id == Template.CANCEL_ORDER_REJECT:
        _read_cancel_reject(session, view(CancelOrderReject, root_of(address)), reports)
    elif template_id == Template.ORDERS_CANCELED:
        _read_orders_canceled(session, link, address, reports, now_ns)
    elif template_id == Template.NEW_ORDER_REJECT:
        message = view(NewOrderReject, root_of(address))
        report = add_report(session, reports, ReportKind.REJECTED, message.client_order_id, message.timestamp_ns)
        report.instrument = market_index(session, message.instrument_id)
        report.reason = order_reject_reason(message.reason)
    elif template_id == Template.AMEND_ORDER_RESPONSE:
        _read_amend_response(session, link, address, reports, now_ns)
    elif template_id == Template.AMEND_ORDER_REJECT:
        _read_amend_reject(session, link, view(AmendOrderReject, root_of(address)), reports)
    elif template_id == Template.MASS_QUOTE_RESPONSE:
        read_mass_quote_response(session, link, address, reports, now_ns)
    elif template_id == Template.MASS_QUOTE_ORDERS_PLACED:
        read_quotes_placed(session, link, address, reports, now_ns)
    elif template_id == Template.MASS_QUOTE_REJECT:
        reject = view(MassQuoteReject, root_of(address))
        tell_quotes_refused(session, reports, reject.quote_id, mass_quote_reject_reason(reject.reason))
    elif template_id == Template.MASS_CANCEL_RESPONSE:
        session.mass_cancels_done += 1
    elif template_id == Template.MASS_CANCEL_REJECT:
        session.mass_cancels_rejected += 1
        link.mass_cancels_refused += 1
        link.mass_cancelled = 0
        link.mass_cancel_at_ns = now_ns + MASS_CANCEL_RETRY_NS
        session.keep_due = 1
    else:
        _read_protection(session, address, template_id)


@compiled
def _read_protection(session: StarbaseSession, address: int, template_id: int) -> None:
    """Read market maker protection. The messages of both kinds, quotes and orders, have the same fields."""
    if template_id == Template.MASS_QUOTE_MMP_TRIGGERED or template_id == Template.ORDERS_MMP_TRIGGERED:
        session.mmp_triggered += 1
        session.mmp_frozen_until_ns = view(OrdersMmpTriggered, root_of(address)).frozen_until_ns
    elif template_id == Template.MASS_QUOTE_MMP_UNFROZEN or template_id == Template.ORDERS_MMP_UNFROZEN:
        session.mmp_frozen_until_ns = 0


@compiled
def _has_group(session: StarbaseSession, link: StarbaseLink, address: int, entry_bytes: int, now_ns: int) -> bool:
    """Take up a frame's first group as `session.group`; False, and the link broken, if it does not lie inside."""
    if read_group(session.group, groups_of(link.stream, address), end_of(address), entry_bytes) != 0:
        return True
    break_frame(session, link, FrameFault.BAD_GROUP, now_ns)
    return False


@compiled
def _tell_taker_fills(
    session: StarbaseSession,
    link: StarbaseLink,
    address: int,
    reports: Reports,
    client_order_id: int,
    order_id: int,
    instrument: int,
    side: int,
    leaves_lots: int,
    exchange_time_ns: int,
    now_ns: int,
) -> None:
    """Tell the `fills` group of an answer to a taker; `leaves_lots` are what remains after them all."""
    if not _has_group(session, link, address, size_of(Fill), now_ns):
        return
    group = session.group
    for position in range(group.count):
        lots = lots_of(session, instrument, view(Fill, group.entries + position * group.block_length).fill_quantity)
        if lots != BAD_VALUE:
            leaves_lots += lots
    is_bad = 0
    for position in range(group.count):
        fill = view(Fill, group.entries + position * group.block_length)
        lots = lots_of(session, instrument, fill.fill_quantity)
        ticks = ticks_of(session, instrument, fill.fill_price_e9)
        if lots == BAD_VALUE or ticks == BAD_VALUE:
            is_bad = 1
        else:
            leaves_lots -= lots
        report = tell_fill(
            session, reports, fill.match_id, order_id, client_order_id, instrument, side, ticks, lots, 0,
            exchange_time_ns,
        )  # fmt: skip
        report.leaves_lots = leaves_lots
    if is_bad != 0 and session.unread == 0:
        break_value(session, link, instrument, now_ns)


@compiled
def _leaves_lots(session: StarbaseSession, instrument: int, quantity: Decimal72, filled: Decimal72) -> int:
    """Compute what is left of an order; BAD_VALUE if the exchange's numbers make no sense."""
    lots = lots_of(session, instrument, quantity)
    filled_lots = lots_of(session, instrument, filled)
    if lots == BAD_VALUE or filled_lots == BAD_VALUE or filled_lots > lots:
        return BAD_VALUE
    return lots - filled_lots


@compiled
def _tell_outcome(
    session: StarbaseSession,
    link: StarbaseLink,
    address: int,
    message: NewOrderResponse | AmendOrderResponse | OrderPlaced,
    reports: Reports,
    instrument: int,
    side: int,
    leaves_lots: int,
    now_ns: int,
) -> None:
    """Tell the fills of an answer, and last that nothing of the order lives on, if its status says so."""
    _tell_taker_fills(
        session, link, address, reports, message.client_order_id, message.order_id, instrument, side, leaves_lots,
        message.timestamp_ns, now_ns,
    )  # fmt: skip
    if message.status == OrderStatus.CANCELED:
        report = add_report(session, reports, ReportKind.CANCELLED, message.client_order_id, message.timestamp_ns)
        report.exchange_order_id = message.order_id
        report.instrument = instrument
        report.leaves_lots = leaves_lots
        report.reason = cancel_reason(message.cancel_reason)


@compiled
def _tell_taken(
    session: StarbaseSession,
    link: StarbaseLink,
    address: int,
    message: NewOrderResponse | OrderPlaced,
    reports: Reports,
    side: int,
    queued: int,
    now_ns: int,
) -> None:
    """Tell that an order was taken, and what became of it at once; `side` is -1 where the message does not say it."""
    instrument = market_index(session, message.instrument_id)
    leaves_lots = _leaves_lots(session, instrument, message.quantity, message.total_filled)
    report = add_report(session, reports, ReportKind.ACK, message.client_order_id, message.timestamp_ns)
    report.exchange_order_id = message.order_id
    report.instrument = instrument
    report.queued = queued
    note_number(session, message.client_order_id, message.order_id)
    if side >= 0:
        report.side = side
    side = report.side
    if leaves_lots == BAD_VALUE:
        break_value(session, link, instrument, now_ns)
        leaves_lots = 0
    _tell_outcome(session, link, address, message, reports, instrument, side, leaves_lots, now_ns)


@compiled
def _read_new_order_response(
    session: StarbaseSession, link: StarbaseLink, address: int, reports: Reports, now_ns: int
) -> None:
    message = view(NewOrderResponse, root_of(address))
    queued = 1 if message.status == OrderStatus.QUEUED else 0
    _tell_taken(session, link, address, message, reports, side_of(message.side), queued, now_ns)


@compiled
def _read_order_placed(
    session: StarbaseSession, link: StarbaseLink, address: int, reports: Reports, now_ns: int
) -> None:
    """Read that a held order came into the book, filled what it could, and lives or has ended."""
    _tell_taken(session, link, address, view(OrderPlaced, root_of(address)), reports, -1, 0, now_ns)


@compiled
def _read_amend_response(
    session: StarbaseSession, link: StarbaseLink, address: int, reports: Reports, now_ns: int
) -> None:
    message = view(AmendOrderResponse, root_of(address))
    if is_order(session, message.client_order_id, message.order_id):
        if is_of_other_link(session, link, message.client_order_id):
            return
    instrument = market_index(session, message.instrument_id)
    lots = lots_of(session, instrument, message.quantity)
    ticks = ticks_of(session, instrument, message.price_e9)
    leaves_lots = _leaves_lots(session, instrument, message.quantity, message.total_filled)
    if leaves_lots == BAD_VALUE or ticks == BAD_VALUE:
        break_value(session, link, instrument, now_ns)
        if instrument >= 0:
            return
        lots = ticks = leaves_lots = 0
    report = add_report(session, reports, ReportKind.AMENDED, message.client_order_id, message.timestamp_ns)
    report.exchange_order_id = message.order_id
    report.instrument = instrument
    report.price_ticks = ticks
    report.qty_lots = lots
    report.leaves_lots = leaves_lots
    report.queued = 1 if message.status == OrderStatus.QUEUED else 0
    side = report.side
    _tell_outcome(session, link, address, message, reports, instrument, side, leaves_lots, now_ns)


@compiled
def _read_amend_reject(
    session: StarbaseSession, link: StarbaseLink, message: AmendOrderReject, reports: Reports
) -> None:
    if is_order(session, message.client_order_id, message.order_id):
        if is_of_other_link(session, link, message.client_order_id):
            return
    kind = ReportKind.AMEND_REJECTED
    report = add_report(session, reports, kind, message.client_order_id, message.timestamp_ns)
    report.instrument = market_index(session, message.instrument_id)
    report.reason = order_reject_reason(message.reason)
    if session.unread == 0:
        session.amends_rejected += 1


@compiled
def _is_told_by_other(
    session: StarbaseSession, link: StarbaseLink, client_order_id: int, exchange_order_id: int
) -> bool:
    """Tell whether the end of an order is the other gateway's to tell, or was told by it already."""
    if is_order(session, client_order_id, exchange_order_id):
        return is_of_other_link(session, link, client_order_id)
    return is_end_of_other_link(session, link, exchange_order_id)


@compiled
def _read_cancel_response(
    session: StarbaseSession, link: StarbaseLink, address: int, reports: Reports, now_ns: int
) -> None:
    message = view(CancelOrderResponse, root_of(address))
    instrument = market_index(session, message.instrument_id)
    leaves_lots = NOT_TOLD
    if view(FrameHeader, address).version >= CANCEL_QUANTITIES_SINCE:
        leaves_lots = _leaves_lots(session, instrument, message.quantity, message.total_filled)
        if leaves_lots == BAD_VALUE:
            break_value(session, link, instrument, now_ns)
            leaves_lots = NOT_TOLD
    # A quote has no client order id at the exchange: it is told by the number that the exchange gave it.
    quote_id = quote_id_of(session, instrument, message.order_id)
    client_order_id = quote_id if quote_id != 0 else message.client_order_id
    if _is_told_by_other(session, link, client_order_id, message.order_id):
        return
    report = add_report(session, reports, ReportKind.CANCELLED, client_order_id, message.timestamp_ns)
    report.exchange_order_id = message.order_id
    report.instrument = instrument
    report.leaves_lots = leaves_lots
    if session.unread == 0:
        forget_quote(session, message.instrument_id, message.order_id)


@compiled
def _read_cancel_reject(session: StarbaseSession, message: CancelOrderReject, reports: Reports) -> None:
    kind = ReportKind.CANCEL_REJECTED
    if message.reason == CancelOrderRejectReason.SPEED_BUMP_CONVERTED_TO_IOC:
        kind = ReportKind.CONVERTED
    instrument = market_index(session, message.instrument_id)
    client_order_id = message.client_order_id
    order_id = message.order_id
    if message.correlation_id != client_order_id:
        # The cancel was by the exchange's number, which it repeats as the correlation id.
        order_id = message.correlation_id
        quote_id = quote_id_of(session, instrument, order_id)
        if quote_id != 0:
            client_order_id = quote_id
    report = add_report(session, reports, kind, client_order_id, message.timestamp_ns)
    report.exchange_order_id = order_id
    report.instrument = instrument
    report.reason = cancel_reject_reason(message.reason)


@compiled
def _read_maker_fills(
    session: StarbaseSession, link: StarbaseLink, address: int, reports: Reports, now_ns: int
) -> None:
    if not _has_group(session, link, address, size_of(MakerFill), now_ns):
        return
    group = session.group
    timestamp_ns = view(OrderFilled, root_of(address)).timestamp_ns
    for position in range(group.count):
        fill = view(MakerFill, group.entries + position * group.block_length)
        instrument = market_index(session, fill.instrument_id)
        ticks = ticks_of(session, instrument, fill.price_e9)
        lots = lots_of(session, instrument, fill.fill_quantity)
        filled_lots = lots_of(session, instrument, fill.total_filled)
        client_order_id = fill.client_order_id
        if fill.flags & FILL_IS_QUOTE != 0:
            client_order_id = quote_id_of(session, instrument, fill.order_id)
        # Of an order that is not ours the exchange tells only what it did itself, as a liquidation: made or taken.
        is_own = is_order(session, client_order_id, fill.order_id)
        if not is_own and is_sent(session, client_order_id):
            client_order_id = 0  # our number, another's order
        report = tell_fill(
            session, reports, fill.match_id, fill.order_id, client_order_id, instrument, side_of(fill.side), ticks,
            lots, 1 if is_own else 0, timestamp_ns,
        )  # fmt: skip
        # A quote that is replaced goes on counting at the exchange; to us it is another order.
        if fill.flags & FILL_IS_QUOTE == 0 and filled_lots != BAD_VALUE:
            report.filled_lots = filled_lots
        if lots == BAD_VALUE or ticks == BAD_VALUE or filled_lots == BAD_VALUE:
            break_value(session, link, instrument, now_ns)
    if session.unread == 0:
        for position in range(group.count):
            fill = view(MakerFill, group.entries + position * group.block_length)
            if fill.flags & FILL_ENDS_QUOTE == FILL_ENDS_QUOTE:
                forget_quote(session, fill.instrument_id, fill.order_id)


@compiled
def _read_orders_canceled(
    session: StarbaseSession, link: StarbaseLink, address: int, reports: Reports, now_ns: int
) -> None:
    if not _has_group(session, link, address, size_of(CanceledOrder), now_ns):
        return
    group = session.group
    timestamp_ns = view(OrdersCanceled, root_of(address)).timestamp_ns
    for position in range(group.count):
        canceled = view(CanceledOrder, group.entries + position * group.block_length)
        client_order_id = canceled.client_order_id
        instrument = market_index(session, canceled.instrument_id)
        if canceled.flags & CANCEL_IS_QUOTE != 0:
            client_order_id = quote_id_of(session, instrument, canceled.order_id)
        filled_lots = lots_of(session, instrument, canceled.total_filled)
        if _is_told_by_other(session, link, client_order_id, canceled.order_id):
            continue
        report = add_report(session, reports, ReportKind.CANCELLED, client_order_id, timestamp_ns)
        report.exchange_order_id = canceled.order_id
        report.instrument = instrument
        report.reason = cancel_reason(canceled.cancel_reason)
        if canceled.flags & CANCEL_IS_QUOTE == 0 and filled_lots != BAD_VALUE:
            report.filled_lots = filled_lots
        if filled_lots == BAD_VALUE:
            break_value(session, link, instrument, now_ns)
    if session.unread == 0:
        for position in range(group.count):
            canceled = view(CanceledOrder, group.entries + position * group.block_length)
            if canceled.flags & CANCEL_IS_QUOTE != 0:
                forget_quote(session, canceled.instrument_id, canceled.order_id)
