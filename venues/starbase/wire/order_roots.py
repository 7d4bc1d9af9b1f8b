"""Starbase order entry: how long a message's root block is, which its frame does not say."""

from crosswire.nic.memory.struct import size_of
from crosswire.nic.unit.compile import compiled
from crosswire.venues.starbase.wire.order_codes import Template
from crosswire.venues.starbase.wire.order_layout import (
    ROOT_BYTES_BEFORE,
    AmendOrderReject,
    AmendOrderRequest,
    AmendOrderResponse,
    CancelOrderByIdRequest,
    CancelOrderReject,
    CancelOrderRequest,
    CancelOrderResponse,
    GapFill,
    GetMassQuoteMmpStatusReject,
    GetMassQuoteMmpStatusRequest,
    GetMassQuoteMmpStatusResponse,
    GetOrdersMmpStatusReject,
    GetOrdersMmpStatusRequest,
    GetOrdersMmpStatusResponse,
    Heartbeat,
    Logon,
    LogonConf,
    MassCancelReject,
    MassCancelRequest,
    MassCancelResponse,
    MassQuoteCancelRequest,
    MassQuoteMmpTriggered,
    MassQuoteMmpUnfrozen,
    MassQuoteOrdersPlaced,
    MassQuoteReject,
    MassQuoteRequest,
    MassQuoteResponse,
    NewOrderReject,
    NewOrderRequest,
    NewOrderResponse,
    OrderFilled,
    OrderPlaced,
    OrdersCanceled,
    OrdersMmpTriggered,
    OrdersMmpUnfrozen,
    Reject,
    ResendRequest,
    TestRequest,
)

UNKNOWN = -1
_BEFORE = tuple((int(template), int(version), int(length)) for template, version, length in ROOT_BYTES_BEFORE)


@compiled
def root_bytes(template_id: int, version: int, is_from_client: int) -> int:
    """Bytes of the root block of this kind of message in this version; UNKNOWN (-1) if that end never sends it."""
    length = client_root_bytes(template_id) if is_from_client != 0 else exchange_root_bytes(template_id)
    if version < _NEWEST_CHANGE:
        for template, changed, before in _BEFORE:
            # Of several changes the oldest that the sender does not know decides; they are listed in order.
            if length != UNKNOWN and template_id == template and version < changed:
                return before
    return length


_NEWEST_CHANGE = max(version for _, version, _ in _BEFORE)


@compiled
def client_root_bytes(template_id: int) -> int:
    """Root block of what a client sends, newest version; UNKNOWN for anything else."""
    if template_id == Template.NEW_ORDER_REQUEST:
        return size_of(NewOrderRequest)
    if template_id == Template.AMEND_ORDER_REQUEST:
        return size_of(AmendOrderRequest)
    if template_id == Template.CANCEL_ORDER_REQUEST:
        return size_of(CancelOrderRequest)
    if template_id == Template.CANCEL_ORDER_BY_ID_REQUEST:
        return size_of(CancelOrderByIdRequest)
    if template_id == Template.MASS_QUOTE_REQUEST:
        return size_of(MassQuoteRequest)
    if template_id == Template.MASS_CANCEL_REQUEST:
        return size_of(MassCancelRequest)
    if template_id == Template.MASS_QUOTE_CANCEL_REQUEST:
        return size_of(MassQuoteCancelRequest)
    if template_id == Template.GET_MASS_QUOTE_MMP_STATUS_REQUEST:
        return size_of(GetMassQuoteMmpStatusRequest)
    if template_id == Template.GET_ORDERS_MMP_STATUS_REQUEST:
        return size_of(GetOrdersMmpStatusRequest)
    if template_id == Template.LOGON:
        return size_of(Logon)
    if template_id == Template.LOGOUT:
        return 0
    return _session_root_bytes(template_id)


@compiled
def exchange_root_bytes(template_id: int) -> int:
    """Root block of what the exchange sends, newest version; UNKNOWN for anything else."""
    if template_id == Template.NEW_ORDER_RESPONSE:
        return size_of(NewOrderResponse)
    if template_id == Template.ORDER_FILLED:
        return size_of(OrderFilled)
    if template_id == Template.ORDER_PLACED:
        return size_of(OrderPlaced)
    if template_id == Template.CANCEL_ORDER_RESPONSE:
        return size_of(CancelOrderResponse)
    if template_id == Template.CANCEL_ORDER_REJECT:
        return size_of(CancelOrderReject)
    if template_id == Template.ORDERS_CANCELED:
        return size_of(OrdersCanceled)
    if template_id == Template.NEW_ORDER_REJECT:
        return size_of(NewOrderReject)
    if template_id == Template.AMEND_ORDER_RESPONSE:
        return size_of(AmendOrderResponse)
    if template_id == Template.AMEND_ORDER_REJECT:
        return size_of(AmendOrderReject)
    if template_id == Template.MASS_QUOTE_RESPONSE:
        return size_of(MassQuoteResponse)
    if template_id == Template.MASS_QUOTE_REJECT:
        return size_of(MassQuoteReject)
    if template_id == Template.MASS_QUOTE_ORDERS_PLACED:
        return size_of(MassQuoteOrdersPlaced)
    if template_id == Template.MASS_CANCEL_RESPONSE:
        return size_of(MassCancelResponse)
    if template_id == Template.MASS_CANCEL_REJECT:
        return size_of(MassCancelReject)
    if template_id == Template.LOGON_CONF:
        return size_of(LogonConf)
    if template_id == Template.LOGGED_OUT:
        return 0
    if template_id == Template.REJECT:
        return size_of(Reject)
    known = _session_root_bytes(template_id)
    return known if known != UNKNOWN else _protection_root_bytes(template_id)


@compiled
def _session_root_bytes(template_id: int) -> int:
    """Root block of what both ends may send.

    GapFill is documented as the exchange's only; but it too may ask for frames again, and a client that must not send
    an old order again has no other answer.
    """
    if template_id == Template.HEARTBEAT:
        return size_of(Heartbeat)
    if template_id == Template.TEST_REQUEST:
        return size_of(TestRequest)
    if template_id == Template.RESEND_REQUEST:
        return size_of(ResendRequest)
    if template_id == Template.GAP_FILL:
        return size_of(GapFill)
    return UNKNOWN


@compiled
def _protection_root_bytes(template_id: int) -> int:
    """Root block of what the exchange says of its market maker protection."""
    if template_id == Template.MASS_QUOTE_MMP_TRIGGERED:
        return size_of(MassQuoteMmpTriggered)
    if template_id == Template.ORDERS_MMP_TRIGGERED:
        return size_of(OrdersMmpTriggered)
    if template_id == Template.MASS_QUOTE_MMP_UNFROZEN:
        return size_of(MassQuoteMmpUnfrozen)
    if template_id == Template.ORDERS_MMP_UNFROZEN:
        return size_of(OrdersMmpUnfrozen)
    if template_id == Template.GET_MASS_QUOTE_MMP_STATUS_RESPONSE:
        return size_of(GetMassQuoteMmpStatusResponse)
    if template_id == Template.GET_MASS_QUOTE_MMP_STATUS_REJECT:
        return size_of(GetMassQuoteMmpStatusReject)
    if template_id == Template.GET_ORDERS_MMP_STATUS_RESPONSE:
        return size_of(GetOrdersMmpStatusResponse)
    if template_id == Template.GET_ORDERS_MMP_STATUS_REJECT:
        return size_of(GetOrdersMmpStatusReject)
    return UNKNOWN
