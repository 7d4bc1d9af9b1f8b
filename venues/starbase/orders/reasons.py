"""Starbase's reasons as the engine knows them."""

from crosswire.nic.unit.compile import compiled
from crosswire.venues.order import RejectReason
from crosswire.venues.starbase.wire import order_codes as codes
from crosswire.venues.starbase.wire.order_codes import CancelOrderRejectReason, CancelReason, OrderRejectReason


@compiled
def order_reject_reason(code: int) -> int:
    """Convert an OrderRejectReason to a RejectReason."""
    if code == OrderRejectReason.INVALID_INSTRUMENT:
        return RejectReason.UNKNOWN_INSTRUMENT
    if (
        code == OrderRejectReason.INVALID_PRICE
        or code == OrderRejectReason.PRICE_TOO_HIGH
        or code == OrderRejectReason.PRICE_TOO_LOW
        or code == OrderRejectReason.PRICE_BAND_UNAVAILABLE
    ):
        return RejectReason.BAD_PRICE
    if code == OrderRejectReason.INVALID_QUANTITY or code == OrderRejectReason.ORDER_SIZE_LIMIT_EXCEEDED:
        return RejectReason.BAD_QUANTITY
    if code == OrderRejectReason.POST_ONLY:
        return RejectReason.WOULD_TAKE
    if code == OrderRejectReason.RATE_LIMIT:
        return RejectReason.RATE_LIMIT
    if code == OrderRejectReason.ORDER_NOT_FOUND:
        return RejectReason.UNKNOWN_ORDER
    if code == OrderRejectReason.DUPLICATE_CLIENT_ORDER_ID:
        return RejectReason.DUPLICATE_ID
    if code == OrderRejectReason.NOT_ALLOWED_BY_MARKET_STATE:
        return RejectReason.BOOK_NOT_READY
    if code == OrderRejectReason.TOO_MANY_OPEN_ORDERS:
        return RejectReason.TOO_MANY_ORDERS
    if code == OrderRejectReason.MEMBER_SPEED_BUMP_LIMIT_EXCEEDED:
        return RejectReason.SPEED_BUMP_LIMIT
    if code == OrderRejectReason.SPEED_BUMPED:
        return RejectReason.SPEED_BUMPED
    return RejectReason.OTHER


@compiled
def cancel_reason(code: int) -> int:
    """Convert a CancelReason to a RejectReason: NONE for what was asked for, by a request or by the order's terms."""
    if code == CancelReason.BY_REQUEST or code == CancelReason.TIME_IN_FORCE:
        return RejectReason.NONE
    if code == CancelReason.SELF_MATCH_PREVENTION:
        return RejectReason.SELF_MATCH
    if code == CancelReason.CLIENT_DISCONNECT:
        return RejectReason.SESSION_LOST
    if code == CancelReason.POST_ONLY:
        return RejectReason.WOULD_TAKE
    if code == CancelReason.MARKET_STATE_TRANSITION:
        return RejectReason.BOOK_NOT_READY
    return RejectReason.OTHER


@compiled
def cancel_reject_reason(code: int) -> int:
    """Convert a CancelOrderRejectReason to a RejectReason."""
    if code == CancelOrderRejectReason.UNKNOWN_ORDER:
        return RejectReason.UNKNOWN_ORDER
    if code == CancelOrderRejectReason.INVALID_INSTRUMENT:
        return RejectReason.UNKNOWN_INSTRUMENT
    if code == CancelOrderRejectReason.NOT_ALLOWED_BY_MARKET_STATE:
        return RejectReason.BOOK_NOT_READY
    return RejectReason.OTHER


@compiled
def quote_cancel_reason(status: int) -> int:
    """Convert a QuoteStatus that ended a quote to a RejectReason."""
    if status == codes.QuoteStatus.CANCELED_BY_SELF_MATCH:
        return RejectReason.SELF_MATCH
    if status == codes.QuoteStatus.CANCELED_BY_MMP:
        return RejectReason.OTHER
    return RejectReason.NONE


@compiled
def mass_quote_reject_reason(code: int) -> int:
    """Convert a MassQuoteRejectReason to a RejectReason."""
    if code == codes.MassQuoteRejectReason.INVALID_INSTRUMENT:
        return RejectReason.UNKNOWN_INSTRUMENT
    if code == codes.MassQuoteRejectReason.RATE_LIMIT:
        return RejectReason.RATE_LIMIT
    if code == codes.MassQuoteRejectReason.TOO_MANY_QUOTES:
        return RejectReason.TOO_MANY_ORDERS
    return RejectReason.OTHER
