"""Starbase order entry: template ids, enumerations and bit sets of SBE schema 2101, version 17.

Source: Deribit's schema (docs.deribit.com/starbase, SBE order entry). Names are the schema's. What came after version
17 is marked; for that only the venue's pages were to be had.
"""

from enum import IntEnum, IntFlag


class Template(IntEnum):
    LOGON = 1
    LOGON_CONF = 2
    LOGOUT = 4
    LOGGED_OUT = 5
    HEARTBEAT = 10
    TEST_REQUEST = 11
    RESEND_REQUEST = 20
    GAP_FILL = 21
    REJECT = 30
    NEW_ORDER_REQUEST = 100
    AMEND_ORDER_REQUEST = 110
    CANCEL_ORDER_REQUEST = 120
    CANCEL_ORDER_BY_ID_REQUEST = 125
    MASS_QUOTE_REQUEST = 130
    MASS_CANCEL_REQUEST = 140
    MASS_QUOTE_CANCEL_REQUEST = 145
    GET_MASS_QUOTE_MMP_STATUS_REQUEST = 155
    GET_ORDERS_MMP_STATUS_REQUEST = 156
    NEW_ORDER_RESPONSE = 200
    NEW_ORDER_REJECT = 202
    AMEND_ORDER_RESPONSE = 210
    AMEND_ORDER_REJECT = 212
    CANCEL_ORDER_RESPONSE = 220
    CANCEL_ORDER_REJECT = 222
    MASS_QUOTE_RESPONSE = 230
    MASS_QUOTE_REJECT = 232
    MASS_CANCEL_RESPONSE = 240
    MASS_CANCEL_REJECT = 242
    GET_MASS_QUOTE_MMP_STATUS_RESPONSE = 280
    GET_MASS_QUOTE_MMP_STATUS_REJECT = 281
    GET_ORDERS_MMP_STATUS_RESPONSE = 282
    GET_ORDERS_MMP_STATUS_REJECT = 283
    ORDER_FILLED = 300
    ORDERS_CANCELED = 310
    ORDER_PLACED = 312
    MASS_QUOTE_ORDERS_PLACED = 314
    MASS_QUOTE_MMP_TRIGGERED = 320
    ORDERS_MMP_TRIGGERED = 322
    MASS_QUOTE_MMP_UNFROZEN = 324
    ORDERS_MMP_UNFROZEN = 326
    DUMMY_MESSAGE = 9999


class WireRejectReason(IntEnum):
    INVALID_SCHEMA_ID = 1
    INVALID_TEMPLATE_ID = 2
    INVALID_BLOCK_LENGTH = 3
    INVALID_FIELD_VALUE = 4
    MESSAGE_DISABLED = 5
    GATEWAY_NOT_ACTIVE = 6


class WireSide(IntEnum):
    BUY = 1
    BOTH = 0
    SELL = -1


class OrderFlags(IntFlag):
    CANCEL_ON_DISCONNECT = 1 << 0
    POST_ONLY = 1 << 1
    POST_ONLY_REJECT = 1 << 2
    MARKET_LIMIT = 1 << 3
    MMP = 1 << 4
    RESET_MMP = 1 << 5


class SelfTradingMode(IntEnum):
    CANCEL_TAKER = 0
    CANCEL_MAKER = 1


class ReplaceOrderFlags(IntFlag):
    POST_ONLY = 1 << 1
    POST_ONLY_REJECT = 1 << 2


class MassQuoteFlags(IntFlag):
    RESET_MMP = 1 << 0


class ProductType(IntEnum):
    ALL = 0
    OPTIONS = 1
    FUTURES = 2
    COMBO_FUTURES = 3
    COMBO_OPTIONS = 4
    SPOT = 5


class OrderStatus(IntEnum):
    ACTIVE = 1
    FILLED = 2
    CANCELED = 3
    QUEUED = 4


class CancelReason(IntEnum):
    UNKNOWN = 0
    SELF_MATCH_PREVENTION = 1
    TIME_IN_FORCE = 2
    ADMIN = 3
    MM_PROTECTION = 4
    LIQUIDATION = 5
    MARKET_STATE_TRANSITION = 6
    CLIENT_DISCONNECT = 7
    REDUCE_ONLY = 8
    DELIVERED = 9
    SETTLEMENT = 10
    BOOK_DEACTIVATED = 11
    BY_REQUEST = 12
    RISK_CHECK_TIMED_OUT = 13
    MMP_GROUP_DELETED = 14
    PORTFOLIO_LOCKED = 15
    POST_ONLY = 16
    QUANTITY_TICK_SIZE_RESCALE = 17


class OrderRejectReason(IntEnum):
    SYSTEM_ERROR = 0
    INVALID_INSTRUMENT = 1
    INVALID_FIELD = 2
    INSUFFICIENT_MARGIN = 3
    DUPLICATE_CLIENT_ORDER_ID = 4
    INVALID_QUANTITY = 5
    INVALID_PRICE = 6
    NOT_ALLOWED_BY_MARKET_STATE = 7
    POST_ONLY = 8
    TOO_MANY_OPEN_ORDERS = 9
    PERMISSION_ERROR = 10
    PORTFOLIO_NOT_FOUND = 11
    ORDER_NOT_FOUND = 12
    MMP_NOT_CONFIGURED = 13
    MMP_MAX_QUOTE_QUANTITY_EXCEEDED = 14
    MMP_GROUP_FROZEN = 15
    INVALID_MARGIN_MODE = 16
    IN_LIQUIDATION = 17
    RISK_CHECK_TIMED_OUT = 18
    TOO_MANY_PENDING_REPLACES = 19
    ICEBERG_NOT_ALLOWED = 20
    INVALID_ALLOCATIONS = 21
    PRICE_TOO_HIGH = 22
    PRICE_TOO_LOW = 23
    PRICE_BAND_UNAVAILABLE = 24
    RATE_LIMIT = 25
    PORTFOLIO_LOCKED = 26
    POSITION_LIMIT_EXCEEDED = 27
    ORDER_SIZE_LIMIT_EXCEEDED = 28
    MEMBER_SPEED_BUMP_LIMIT_EXCEEDED = 29
    MMP_MIN_FREEZE_TIME_NOT_ELAPSED = 30
    # After version 17. That 31 to 33 exist is all that is known of them: no schema that names them was to be had.
    CODE_31 = 31
    CODE_32 = 32
    CODE_33 = 33
    SPEED_BUMPED = 34  # source: docs.deribit.com/starbase/upcoming/amending-order, in force since 2026-11-26


class CancelOrderRejectReason(IntEnum):
    ERROR = 0
    UNKNOWN_ORDER = 1
    CLIENT_PERMISSION_ERROR = 2
    NOT_ALLOWED_BY_MARKET_STATE = 3
    CANCEL_PENDING = 4
    IN_LIQUIDATION = 5
    INVALID_INSTRUMENT = 6
    TIME_IN_FORCE = 7
    SPEED_BUMP_CONVERTED_TO_IOC = 8


class QuoteStatus(IntEnum):
    INACTIVE = 0
    UNMODIFIED = 1
    QUANTITY_REDUCED = 2
    UPDATED = 3
    FILLED = 4
    CANCELED_BY_REQUEST = 5
    CANCELED_BY_MMP = 6
    CANCELED_BY_SELF_MATCH = 7
    SPEED_BUMPED = 8


class MassQuoteRejectReason(IntEnum):
    SYSTEM_ERROR = 0
    INVALID_MMP_GROUP = 1
    MMP_GROUP_DISABLED = 2
    MMP_GROUP_FROZEN = 3
    TOO_MANY_QUOTES = 4
    INVALID_INSTRUMENT = 5
    RATE_LIMIT = 6
    PORTFOLIO_LOCKED = 7
    DUPLICATE_INSTRUMENT = 8
    MMP_MIN_FREEZE_TIME_NOT_ELAPSED = 9


class MassCancelRejectReason(IntEnum):
    ERROR = 0
    INVALID_MMP_GROUP = 1
    CLIENT_PERMISSION_ERROR = 2
    NOT_ALLOWED_BY_MARKET_STATE = 3


class MmpStatusRejectReason(IntEnum):
    SYSTEM_ERROR = 0
    INVALID_MMP_GROUP = 1


class FillFlags(IntFlag):
    IS_QUOTE = 1 << 0
    IS_FULLY_FILLED = 1 << 1


class MultiPartEventFlags(IntFlag):
    IS_LAST_MESSAGE = 1 << 0


class CancelFlags(IntFlag):
    IS_QUOTE = 1 << 0


class MmpTriggerType(IntEnum):
    QUANTITY = 0
    DELTA = 1
    VEGA = 2


class FrameFlags(IntFlag):
    """Of `FrameHeader.flags`."""

    RESEND = 1 << 0


class WireTimeInForce(IntEnum):
    """`timeInForce`; a positive number is good for so many days."""

    IOC = -2
    FOK = -1
    GTC = 0
