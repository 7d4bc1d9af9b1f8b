"""Starbase order entry: wire layouts of SBE schema 2101, version 17, over TCP, little-endian, nothing aligned.

A frame is a `FrameHeader`, the message's root block, its groups (a `GroupHeader` and entries each), its texts (one
length byte and the bytes each), and zeros up to a multiple of FRAME_ALIGNMENT_BYTES that `length` does not count. The
exchange always pads, clients need not.

The root block's length is not on the wire: it follows from the template and the `version` in the header, so fields that
came with a later version (marked "since") are absent in an older one. `ROOT_BYTES_BEFORE` lists the lengths that were.

Source: Deribit's schema (docs.deribit.com/starbase, SBE order entry).
"""

from typing import Annotated

from crosswire.nic.memory.struct import Array, Struct, f64, i8, i32, i64, u8, u16
from crosswire.venues.layout import Message
from crosswire.venues.starbase.wire.order_codes import Template

PROTOCOL_ID = 0xDB
SCHEMA_ID = 2101
VERSION = 17
FRAME_ALIGNMENT_BYTES = 8
NULL_I64 = -(1 << 63)
NULL_EXPONENT = -128  # of a Decimal72 whose mantissa is NULL_I64
CLIENT_ID_BYTES = 16
SECRET_BYTES = 48

# (template, first version of the present root block, its length before that)
ROOT_BYTES_BEFORE = (
    (Template.LOGON, 12, 65),
    (Template.LOGON, 13, 67),
    (Template.LOGON_CONF, 12, 4),
    (Template.ORDER_PLACED, 8, 77),
    (Template.CANCEL_ORDER_RESPONSE, 16, 56),
)


class FrameHeader(Struct, packed=True):
    protocol_id: u8  # PROTOCOL_ID
    flags: u8  # FrameFlags
    length: u16  # of header and body, without padding, bytes
    template_id: u16  # Template
    version: u16  # of this message kind, as the sender knows it
    sequence: i64  # the sender's, from 1
    last_processed: i64  # the last sequence number that the sender received from its peer
    send_time_ns: i64  # since the epoch


class GroupHeader(Struct, packed=True):
    block_length: u16  # of an entry, bytes
    count: u16  # entries


class Decimal72(Struct, packed=True):
    """mantissa * 10 ** exponent. The exchange chooses the exponent in its answers."""

    mantissa: i64
    exponent: i8


class Logon(Struct, packed=True, hidden=("secret",)):
    client_id: Annotated[Array, u8, 16]
    secret: Annotated[Array, u8, 48]
    reset_sequence: i8  # Bool
    schema_version: u16  # since version 12
    cancel_on_disconnect: i8  # since version 13, Bool


class LogonConf(Struct, packed=True):
    heartbeat_interval_s: i32
    schema_version: u16  # since version 12


class Logout(Struct, packed=True):
    """No fields."""


class LoggedOut(Struct, packed=True):
    """No fields."""


class Heartbeat(Struct, packed=True):
    correlation_id: i64


class TestRequest(Struct, packed=True):
    correlation_id: i64


class ResendRequest(Struct, packed=True):
    from_sequence: i64
    to_sequence: i64


class GapFill(Struct, packed=True):
    new_sequence: i64


class Reject(Struct, packed=True):
    reference_sequence: i64
    reason: i8  # WireRejectReason


class OrderRequestBlock(Struct, packed=True):
    """How the root block of every request about one order begins, but for the cancel by the exchange's own id."""

    client_order_id: i64
    correlation_id: i64
    instrument_id: i64


class OrderTermsBlock(OrderRequestBlock):
    """How the root blocks of a new order and of an amendment begin."""

    price_e9: i64
    quantity: Decimal72
    show_quantity: Decimal72  # NULL_DECIMAL: none


class NewOrderRequest(OrderTermsBlock):
    self_match_prevention_id: i64
    side: i8  # WireSide
    time_in_force: i8
    flags: u16  # OrderFlags
    self_trading_mode: i8  # SelfTradingMode


class AmendOrderRequest(OrderTermsBlock):
    flags: u16  # ReplaceOrderFlags


class CancelOrderRequest(OrderRequestBlock):
    """No fields of its own."""


class CancelOrderByIdRequest(Struct, packed=True):
    order_id: i64
    correlation_id: i64
    instrument_id: i64


class Quote(Struct, packed=True):
    instrument_id: i64
    bid_price_e9: i64  # NULL_I64: none
    ask_price_e9: i64  # NULL_I64: none
    bid_quantity: Decimal72
    ask_quantity: Decimal72
    bid_flags: u16  # OrderFlags
    ask_flags: u16  # OrderFlags


class MassQuoteRequest(Struct, packed=True):
    quote_id: i64
    correlation_id: i64
    mmp_group_id: i64
    self_match_prevention_id: i64
    flags: u8  # MassQuoteFlags


class MassCancelRequest(Struct, packed=True):
    correlation_id: i64
    currency_pair_id: i64
    instrument_id: i64  # NULL_I64: none
    product_type: i8  # ProductType
    side: i8  # WireSide


class MassQuoteCancelRequest(Struct, packed=True):
    correlation_id: i64
    mmp_group_id: i64
    side: i8  # WireSide


class GetMassQuoteMmpStatusRequest(Struct, packed=True):
    correlation_id: i64
    mmp_group_id: i64


class GetOrdersMmpStatusRequest(Struct, packed=True):
    correlation_id: i64
    currency_pair_id: i64


class Fill(Struct, packed=True):
    match_id: i64
    fill_price_e9: i64
    fill_quantity: Decimal72


class SideFill(Struct, packed=True):
    match_id: i64
    instrument_id: i64
    fill_price_e9: i64
    fill_quantity: Decimal72


class LegFill(SideFill):
    leg_side: i8  # WireSide


class ExecutionBlock(Struct, packed=True):
    """How the root block of every message begins that tells what the matching engine did."""

    timestamp_ns: i64
    exec_id: i64


class OrderAnswerBlock(ExecutionBlock):
    """How the root block of every answer to a request about one order begins."""

    client_order_id: i64
    correlation_id: i64
    order_id: i64
    instrument_id: i64


class NewOrderResponse(OrderAnswerBlock):
    price_e9: i64
    quantity: Decimal72
    total_filled: Decimal72
    visible_quantity: Decimal72
    receive_time_ns: i64
    side: i8  # WireSide
    status: i8  # OrderStatus
    cancel_reason: i8  # CancelReason


class NewOrderReject(OrderAnswerBlock):
    reason: i8  # OrderRejectReason


class AmendOrderResponse(OrderAnswerBlock):
    price_e9: i64
    quantity: Decimal72
    total_filled: Decimal72
    visible_quantity: Decimal72
    receive_time_ns: i64
    status: i8  # OrderStatus
    cancel_reason: i8  # CancelReason


class AmendOrderReject(OrderAnswerBlock):
    reason: i8  # OrderRejectReason


class CancelOrderResponse(OrderAnswerBlock):
    receive_time_ns: i64
    quantity: Decimal72  # since version 16
    total_filled: Decimal72  # since version 16


class CancelOrderReject(OrderAnswerBlock):
    """`order_id` is NULL_I64 if there is none."""

    reason: i8  # CancelOrderRejectReason


class QuoteResult(Struct, packed=True):
    instrument_id: i64
    bid_order_id: i64
    ask_order_id: i64
    bid_price_e9: i64
    ask_price_e9: i64
    bid_quantity: Decimal72
    ask_quantity: Decimal72
    bid_filled_quantity: Decimal72
    ask_filled_quantity: Decimal72
    bid_status: i8  # QuoteStatus
    ask_status: i8  # QuoteStatus
    bid_reject_reason: i8  # OrderRejectReason
    ask_reject_reason: i8  # OrderRejectReason


class MassQuoteAnswerBlock(ExecutionBlock):
    """How the root block of every answer to a mass quote begins."""

    quote_id: i64
    correlation_id: i64
    mmp_group_id: i64


class MassQuoteResponse(MassQuoteAnswerBlock):
    receive_time_ns: i64


class MassQuoteReject(MassQuoteAnswerBlock):
    reason: i8  # MassQuoteRejectReason


class MassCancelResponse(ExecutionBlock):
    correlation_id: i64
    receive_time_ns: i64
    total_order_count: i32


class MassCancelReject(ExecutionBlock):
    correlation_id: i64
    reason: i8  # MassCancelRejectReason


class MmpStatusAnswerBlock(Struct, packed=True):
    """How the root block of every answer to a question about market maker protection begins."""

    timestamp_ns: i64
    correlation_id: i64


class GetMassQuoteMmpStatusResponse(MmpStatusAnswerBlock):
    mmp_group_id: i64
    frozen_until_ns: i64  # NULL_I64: none


class GetMassQuoteMmpStatusReject(MmpStatusAnswerBlock):
    reason: i8  # MmpStatusRejectReason


class GetOrdersMmpStatusResponse(MmpStatusAnswerBlock):
    currency_pair_id: i64
    frozen_until_ns: i64  # NULL_I64: none


class GetOrdersMmpStatusReject(MmpStatusAnswerBlock):
    reason: i8  # MmpStatusRejectReason


class MakerFill(Struct, packed=True):
    client_order_id: i64
    order_id: i64
    instrument_id: i64
    match_id: i64
    price_e9: i64
    fill_quantity: Decimal72
    total_filled: Decimal72
    side: i8  # WireSide
    flags: u8  # FillFlags


class OrderFilled(ExecutionBlock):
    """No fields of its own."""


class CanceledOrder(Struct, packed=True):
    client_order_id: i64
    order_id: i64
    instrument_id: i64
    total_filled: Decimal72
    cancel_reason: i8  # CancelReason
    flags: u8  # CancelFlags


class OrdersCanceled(ExecutionBlock):
    flags: u8  # MultiPartEventFlags


class OrderPlaced(ExecutionBlock):
    client_order_id: i64
    order_id: i64
    instrument_id: i64
    price_e9: i64
    quantity: Decimal72
    total_filled: Decimal72
    visible_quantity: Decimal72
    status: i8  # OrderStatus
    cancel_reason: i8  # CancelReason
    padding: Annotated[Array, i8, 3]  # since version 8
    correlation_id: i64  # since version 8


class PlacedQuote(Struct, packed=True):
    client_order_id: i64
    order_id: i64
    instrument_id: i64
    price_e9: i64
    quantity: Decimal72
    total_filled: Decimal72
    visible_quantity: Decimal72
    side: i8  # WireSide
    status: i8  # OrderStatus
    cancel_reason: i8  # CancelReason


class QuoteFill(Struct, packed=True):
    match_id: i64
    order_id: i64
    fill_price_e9: i64
    fill_quantity: Decimal72


class MassQuoteOrdersPlaced(ExecutionBlock):
    mmp_group_id: i64


class MassQuoteMmpTriggered(ExecutionBlock):
    mmp_group_id: i64
    frozen_until_ns: i64
    quantity_level: f64
    vega_level: f64
    delta_level: f64
    trigger: i8  # MmpTriggerType


class OrdersMmpTriggered(ExecutionBlock):
    currency_pair_id: i64
    frozen_until_ns: i64
    quantity_level: f64
    vega_level: f64
    delta_level: f64
    trigger: i8  # MmpTriggerType


class MassQuoteMmpUnfrozen(ExecutionBlock):
    mmp_group_id: i64
    correlation_id: i64  # NULL_I64: none


class OrdersMmpUnfrozen(ExecutionBlock):
    currency_pair_id: i64
    correlation_id: i64  # NULL_I64: none


MESSAGES = (
    Message("Logon", Template.LOGON, Logon),
    Message("LogonConf", Template.LOGON_CONF, LogonConf),
    Message("Logout", Template.LOGOUT, Logout, {}, ("reason",)),
    Message("LoggedOut", Template.LOGGED_OUT, LoggedOut, {}, ("reason",)),
    Message("Heartbeat", Template.HEARTBEAT, Heartbeat),
    Message("TestRequest", Template.TEST_REQUEST, TestRequest),
    Message("ResendRequest", Template.RESEND_REQUEST, ResendRequest),
    Message("GapFill", Template.GAP_FILL, GapFill),
    Message("Reject", Template.REJECT, Reject, {}, ("details",)),
    Message("NewOrderRequest", Template.NEW_ORDER_REQUEST, NewOrderRequest),
    Message("AmendOrderRequest", Template.AMEND_ORDER_REQUEST, AmendOrderRequest),
    Message("CancelOrderRequest", Template.CANCEL_ORDER_REQUEST, CancelOrderRequest),
    Message("CancelOrderByIdRequest", Template.CANCEL_ORDER_BY_ID_REQUEST, CancelOrderByIdRequest),
    Message("MassQuoteRequest", Template.MASS_QUOTE_REQUEST, MassQuoteRequest, {"quotes": Quote}),
    Message("MassCancelRequest", Template.MASS_CANCEL_REQUEST, MassCancelRequest),
    Message("MassQuoteCancelRequest", Template.MASS_QUOTE_CANCEL_REQUEST, MassQuoteCancelRequest),
    Message("GetMassQuoteMmpStatusRequest", Template.GET_MASS_QUOTE_MMP_STATUS_REQUEST, GetMassQuoteMmpStatusRequest),
    Message("GetOrdersMmpStatusRequest", Template.GET_ORDERS_MMP_STATUS_REQUEST, GetOrdersMmpStatusRequest),
    Message("NewOrderResponse", Template.NEW_ORDER_RESPONSE, NewOrderResponse, {"fills": Fill, "legs": LegFill}),
    Message("NewOrderReject", Template.NEW_ORDER_REJECT, NewOrderReject, {}, ("details",)),
    Message("AmendOrderResponse", Template.AMEND_ORDER_RESPONSE, AmendOrderResponse, {"fills": Fill, "legs": LegFill}),
    Message("AmendOrderReject", Template.AMEND_ORDER_REJECT, AmendOrderReject, {}, ("details",)),
    Message("CancelOrderResponse", Template.CANCEL_ORDER_RESPONSE, CancelOrderResponse),
    Message("CancelOrderReject", Template.CANCEL_ORDER_REJECT, CancelOrderReject, {}, ("details",)),
    Message(
        "MassQuoteResponse",
        Template.MASS_QUOTE_RESPONSE,
        MassQuoteResponse,
        {"quotes": QuoteResult, "bid_fills": SideFill, "ask_fills": SideFill, "legs": LegFill},
    ),
    Message("MassQuoteReject", Template.MASS_QUOTE_REJECT, MassQuoteReject, {}, ("details",)),
    Message("MassCancelResponse", Template.MASS_CANCEL_RESPONSE, MassCancelResponse),
    Message("MassCancelReject", Template.MASS_CANCEL_REJECT, MassCancelReject, {}, ("details",)),
    Message(
        "GetMassQuoteMmpStatusResponse", Template.GET_MASS_QUOTE_MMP_STATUS_RESPONSE, GetMassQuoteMmpStatusResponse
    ),
    Message("GetMassQuoteMmpStatusReject", Template.GET_MASS_QUOTE_MMP_STATUS_REJECT, GetMassQuoteMmpStatusReject),
    Message("GetOrdersMmpStatusResponse", Template.GET_ORDERS_MMP_STATUS_RESPONSE, GetOrdersMmpStatusResponse),
    Message("GetOrdersMmpStatusReject", Template.GET_ORDERS_MMP_STATUS_REJECT, GetOrdersMmpStatusReject),
    Message("OrderFilled", Template.ORDER_FILLED, OrderFilled, {"fills": MakerFill, "legs": LegFill}),
    Message("OrdersCanceled", Template.ORDERS_CANCELED, OrdersCanceled, {"orders": CanceledOrder}),
    Message("OrderPlaced", Template.ORDER_PLACED, OrderPlaced, {"fills": Fill, "legs": LegFill}),
    Message(
        "MassQuoteOrdersPlaced",
        Template.MASS_QUOTE_ORDERS_PLACED,
        MassQuoteOrdersPlaced,
        {"orders": PlacedQuote, "fills": QuoteFill, "legs": LegFill},
    ),
    Message("MassQuoteMmpTriggered", Template.MASS_QUOTE_MMP_TRIGGERED, MassQuoteMmpTriggered),
    Message("OrdersMmpTriggered", Template.ORDERS_MMP_TRIGGERED, OrdersMmpTriggered),
    Message("MassQuoteMmpUnfrozen", Template.MASS_QUOTE_MMP_UNFROZEN, MassQuoteMmpUnfrozen),
    Message("OrdersMmpUnfrozen", Template.ORDERS_MMP_UNFROZEN, OrdersMmpUnfrozen),
    Message("DummyMessage", Template.DUMMY_MESSAGE, FrameHeader),  # so that the schema has a header; never sent
)
