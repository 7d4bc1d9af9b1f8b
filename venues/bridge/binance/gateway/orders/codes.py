"""What the venue's answers mean for an order: each status and error code, what is done, what the engine hears.

Sources: binance-spot-api-docs errors.md and web-socket-api.md ("Status codes"); developers.binance.com, USDⓈ-M futures,
"Error Codes". A code that is not listed is judged by its status alone: 5xx leaves open whether the request was
executed, 4xx does not. `docs/binance-orders.md` has this table; a test compares the two.
"""

from dataclasses import dataclass
from enum import Enum

from crosswire.venues.bridge.binance.gateway.rest import RefusedError
from crosswire.venues.errors import VenueError
from crosswire.venues.order import RejectReason


class Outcome(Enum):
    """What is known of a request behind its answer."""

    REFUSED = "it was not executed"
    UNKNOWN = "it may have been executed: the order is asked for"
    GONE = "there is no such order: its end is asked for"
    WAIT = "it was not executed, and nothing is sent until the time that the answer names"
    CLOCK = "it was not executed: the venue's clock is measured anew"
    STOP = "it was not executed, and none will be: the session ends until a person has looked"


@dataclass(frozen=True)
class Meaning:
    """What one code or message means."""

    outcome: Outcome
    reason: RejectReason = RejectReason.OTHER


_REFUSED = Meaning(Outcome.REFUSED)
_UNKNOWN = Meaning(Outcome.UNKNOWN)
_STOP = Meaning(Outcome.STOP, RejectReason.NOT_LOGGED_ON)
_WAIT = Meaning(Outcome.WAIT, RejectReason.RATE_LIMIT)
_GONE = Meaning(Outcome.GONE, RejectReason.UNKNOWN_ORDER)
_BAD_PRICE = Meaning(Outcome.REFUSED, RejectReason.BAD_PRICE)
_BAD_QUANTITY = Meaning(Outcome.REFUSED, RejectReason.BAD_QUANTITY)
_WOULD_TAKE = Meaning(Outcome.REFUSED, RejectReason.WOULD_TAKE)
_TOO_MANY = Meaning(Outcome.REFUSED, RejectReason.TOO_MANY_ORDERS)
_BAD_SYMBOL = Meaning(Outcome.REFUSED, RejectReason.UNKNOWN_INSTRUMENT)
_CLOSED = Meaning(Outcome.REFUSED, RejectReason.BOOK_NOT_READY)

STATUSES: dict[int, Meaning] = {
    403: _WAIT,  # the web application firewall
    418: _WAIT,  # banned
    429: _WAIT,
}

CODES: dict[int, Meaning] = {
    -1000: _UNKNOWN,  # UNKNOWN
    -1001: _UNKNOWN,  # DISCONNECTED: "internal error"
    -1002: _STOP,  # UNAUTHORIZED
    -1003: _WAIT,  # TOO_MANY_REQUESTS
    -1006: _UNKNOWN,  # UNEXPECTED_RESP: "execution status unknown"
    -1007: _UNKNOWN,  # TIMEOUT: "execution status unknown"
    -1008: _REFUSED,  # SERVER_BUSY
    -1013: _REFUSED,  # INVALID_MESSAGE: see MESSAGES
    -1014: _REFUSED,  # UNKNOWN_ORDER_COMPOSITION
    -1015: _WAIT,  # TOO_MANY_ORDERS
    -1016: _STOP,  # SERVICE_SHUTTING_DOWN
    -1020: _REFUSED,  # UNSUPPORTED_OPERATION
    -1021: Meaning(Outcome.CLOCK),  # INVALID_TIMESTAMP
    -1022: _STOP,  # INVALID_SIGNATURE
    -1099: _STOP,  # NOT_FOUND, unauthenticated or unauthorised (USD-M)
    -1100: _REFUSED,  # ILLEGAL_CHARS
    -1102: _REFUSED,  # MANDATORY_PARAM_EMPTY_OR_MALFORMED
    -1106: _REFUSED,  # PARAM_NOT_REQUIRED
    -1108: _BAD_QUANTITY,  # PARAM_OVERFLOW
    -1111: _BAD_PRICE,  # BAD_PRECISION
    -1115: _REFUSED,  # INVALID_TIF
    -1116: _REFUSED,  # INVALID_ORDER_TYPE
    -1117: _REFUSED,  # INVALID_SIDE
    -1121: _BAD_SYMBOL,  # BAD_SYMBOL
    -1122: _BAD_SYMBOL,  # INVALID_SYMBOLSTATUS
    -2010: _REFUSED,  # NEW_ORDER_REJECTED: see MESSAGES
    -2011: _GONE,  # CANCEL_REJECTED: see MESSAGES
    -2013: _GONE,  # NO_SUCH_ORDER
    -2014: _STOP,  # BAD_API_KEY_FMT
    -2015: _STOP,  # REJECTED_MBX_KEY
    -2018: _BAD_QUANTITY,  # BALANCE_NOT_SUFFICIENT (USD-M)
    -2019: _BAD_QUANTITY,  # MARGIN_NOT_SUFFICIENT (USD-M)
    -2020: _REFUSED,  # UNABLE_TO_FILL (USD-M)
    -2021: _REFUSED,  # ORDER_WOULD_IMMEDIATELY_TRIGGER (USD-M)
    -2022: _BAD_QUANTITY,  # REDUCE_ONLY_REJECT (USD-M)
    -2023: _REFUSED,  # USER_IN_LIQUIDATION (USD-M)
    -2024: _BAD_QUANTITY,  # POSITION_NOT_SUFFICIENT (USD-M)
    -2025: _TOO_MANY,  # MAX_OPEN_ORDER_EXCEEDED (USD-M)
    -2026: _GONE,  # ORDER_ARCHIVED (spot)
    -2027: _BAD_QUANTITY,  # MAX_LEVERAGE_RATIO (USD-M)
    -2028: _BAD_QUANTITY,  # MIN_LEVERAGE_RATIO (USD-M)
    -2038: _REFUSED,  # ORDER_AMEND_REJECTED (spot)
    -4001: _BAD_PRICE,  # PRICE_LESS_THAN_ZERO (USD-M)
    -4002: _BAD_PRICE,  # PRICE_GREATER_THAN_MAX_PRICE (USD-M)
    -4003: _BAD_QUANTITY,  # QTY_LESS_THAN_ZERO (USD-M)
    -4004: _BAD_QUANTITY,  # QTY_LESS_THAN_MIN_QTY (USD-M)
    -4005: _BAD_QUANTITY,  # QTY_GREATER_THAN_MAX_QTY (USD-M)
    -4013: _BAD_PRICE,  # PRICE_LESS_THAN_MIN_PRICE (USD-M)
    -4014: _BAD_PRICE,  # PRICE_NOT_INCREASED_BY_TICK_SIZE (USD-M)
    -4015: _REFUSED,  # INVALID_CL_ORD_ID_LEN (USD-M)
    -4016: _BAD_PRICE,  # PRICE_HIGHTER_THAN_MULTIPLIER_UP (USD-M)
    -4023: _BAD_QUANTITY,  # QTY_NOT_INCREASED_BY_STEP_SIZE (USD-M)
    -4024: _BAD_PRICE,  # PRICE_LOWER_THAN_MULTIPLIER_DOWN (USD-M)
    -4061: _STOP,  # INVALID_POSITION_SIDE: the account is in hedge mode, which this gateway does not serve (USD-M)
    -4116: Meaning(Outcome.UNKNOWN, RejectReason.DUPLICATE_ID),  # DUPLICATED_CLIENT_TRAN_ID (USD-M)
    -4131: _BAD_PRICE,  # MARKET_ORDER_REJECT: the counterparty's best price is outside PERCENT_PRICE (USD-M)
    -4164: _BAD_QUANTITY,  # MIN_NOTIONAL (USD-M)
    -4192: _REFUSED,  # cooling-off period (USD-M)
    -4400: _REFUSED,  # trading quantitative rules: reduce-only for a while (USD-M)
    -5021: _REFUSED,  # ORDER_FAIL_FOK: killed, it could not be filled whole (USD-M)
    -5022: _WOULD_TAKE,  # GTX_ORDER_REJECT (USD-M)
    -5024: _CLOSED,  # the symbol does not trade: no amends (USD-M)
    -5027: _REFUSED,  # NO_NEED_TO_MODIFY (USD-M)
}

# By the beginning of the message, where one code stands for many things (spot: -1013, -2010, -2011).
MESSAGES: dict[str, Meaning] = {
    "Unknown order sent.": _GONE,
    "Duplicate order sent.": Meaning(Outcome.UNKNOWN, RejectReason.DUPLICATE_ID),
    "Market is closed.": _CLOSED,
    "This order type is not possible in this trading phase.": _CLOSED,
    "Limit orders require GTC for this phase.": _CLOSED,
    "Account has insufficient balance for requested action.": _BAD_QUANTITY,
    "Order would immediately match and take.": _WOULD_TAKE,
    "Price * QTY is zero or less.": _BAD_QUANTITY,
    "This action is disabled on this account.": _STOP,
    "This account may not place or cancel orders.": _STOP,
    "This symbol is not permitted for this account.": _BAD_SYMBOL,
    "This symbol is restricted for this account.": _BAD_SYMBOL,
    "Order was not canceled due to cancel restrictions.": _REFUSED,
    "Rest API trading is not enabled.": _STOP,
    "WebSocket API trading is not enabled.": _STOP,
    "Filter failure: PRICE_FILTER": _BAD_PRICE,
    "Filter failure: PERCENT_PRICE": _BAD_PRICE,
    "Filter failure: LOT_SIZE": _BAD_QUANTITY,
    "Filter failure: MIN_NOTIONAL": _BAD_QUANTITY,
    "Filter failure: NOTIONAL": _BAD_QUANTITY,
    "Filter failure: MAX_POSITION": _BAD_QUANTITY,
    "Filter failure: MAX_NUM_ORDERS": _TOO_MANY,
    "Filter failure: EXCHANGE_MAX_NUM_ORDERS": _TOO_MANY,
}
UNKNOWN_FROM = 500  # a status from here on leaves open what became of the request


def meaning_of(status: int, code: int, message: str) -> Meaning:
    """Say what an error means: by its message where it has one of its own, else by its code, else by its status."""
    if status >= UNKNOWN_FROM:
        return _UNKNOWN
    for beginning, meaning in MESSAGES.items():
        if message.startswith(beginning):
            return meaning
    return STATUSES.get(status) or CODES.get(code) or _REFUSED


def outcome_of(error: VenueError) -> Outcome | None:
    """Say what an answer that was a refusal leaves known; None: there was no answer."""
    if not isinstance(error, RefusedError):
        return None
    return meaning_of(error.status, error.code, error.message).outcome
