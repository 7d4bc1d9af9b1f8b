"""The frames that a Starbase session sends, built once and patched (`nic/tcp_frames.py`).

Every patched field lies at an even offset of the TCP segment, where a 64-bit little-endian field adds the same to the
sum as anywhere (RFC 1071); quantities have a fixed exponent, so their odd last byte never changes.
"""

from typing import Annotated

from crosswire.nic.memory.struct import Array, Reference, Struct, address_of, i64, size_of, u8, u32, view
from crosswire.nic.packet import Flow, TcpFrame, add_field
from crosswire.nic.tcp_frames import build_template, commit_template
from crosswire.nic.unit.compile import inlined
from crosswire.venues.order import TimeInForce
from crosswire.venues.side import BUY
from crosswire.venues.starbase.wire.order_codes import OrderFlags, Template, WireSide, WireTimeInForce
from crosswire.venues.starbase.wire.order_layout import (
    NULL_EXPONENT,
    NULL_I64,
    PROTOCOL_ID,
    VERSION,
    AmendOrderRequest,
    CancelOrderRequest,
    FrameHeader,
    GapFill,
    Heartbeat,
    Logon,
    MassCancelRequest,
    NewOrderRequest,
    ResendRequest,
)
from crosswire.venues.starbase.wire.stream import FrameStream, padded

QUANTITY_EXPONENT = -9  # of the quantities that we send: lots are whole multiples of 1e-9
NO_TEXT_BYTES = 1  # an empty text: its length byte
WIRE_TIMES_IN_FORCE = {
    TimeInForce.IOC: WireTimeInForce.IOC,
    TimeInForce.FOK: WireTimeInForce.FOK,
    TimeInForce.GTC: WireTimeInForce.GTC,
    TimeInForce.POST_ONLY: WireTimeInForce.GTC,
}
_CODES_AT = NewOrderRequest.fields["side"].offset


class StarbaseFrame(TcpFrame, packed=True):
    """Headers of the frame in which a Starbase message goes out; the root block follows."""

    header: FrameHeader


class LogonFrame(StarbaseFrame, packed=True):
    message: Logon
    padding: Annotated[Array, u8, 4]


class LogoutFrame(StarbaseFrame, packed=True):
    reason_length: u8
    padding: Annotated[Array, u8, 7]


class HeartbeatFrame(StarbaseFrame, packed=True):
    """The frame of a Heartbeat, and of a TestRequest."""

    message: Heartbeat


class ResendFrame(StarbaseFrame, packed=True):
    message: ResendRequest


class GapFillFrame(StarbaseFrame, packed=True):
    message: GapFill


class NewOrderFrame(StarbaseFrame, packed=True):
    message: NewOrderRequest
    padding: Annotated[Array, u8, 1]


class OrderCodes(Struct, packed=True):
    """Side, time in force and flags of a new order, which lie side by side, as one word."""

    word: u32


@inlined
def codes_of(message: NewOrderRequest) -> OrderCodes:
    """View the codes of a new order."""
    return view(OrderCodes, address_of(message) + _CODES_AT)


def order_codes(side: int, time_in_force: TimeInForce, flags: int) -> int:
    """Return the word that says a side and a time in force of ours: POST_ONLY is good till cancelled, with a flag."""
    message = NewOrderRequest(time_in_force=WIRE_TIMES_IN_FORCE[time_in_force], flags=flags)
    message.side = WireSide.BUY if side == BUY else WireSide.SELL
    if time_in_force == TimeInForce.POST_ONLY:
        message.flags |= OrderFlags.POST_ONLY_REJECT
    return int(codes_of(message).word)


class AmendFrame(StarbaseFrame, packed=True):
    message: AmendOrderRequest
    padding: Annotated[Array, u8, 4]


class CancelFrame(StarbaseFrame, packed=True):
    """The frame of a CancelOrderRequest, and of a CancelOrderByIdRequest.

    Their fields are the same; in the latter the order's number is the exchange's.
    """

    message: CancelOrderRequest


class MassCancelFrame(StarbaseFrame, packed=True):
    message: MassCancelRequest
    padding: Annotated[Array, u8, 6]


class Templates(Struct):
    """The frames of one link. `*_sum` is the unfolded TCP checksum of a template without what is patched."""

    logon_sum: i64
    logout_sum: i64
    heartbeat_sum: i64
    test_request_sum: i64
    resend_sum: i64
    gap_fill_sum: i64
    new_order_sum: i64
    amend_sum: i64
    cancel_sum: i64
    cancel_by_id_sum: i64
    mass_cancel_sum: i64
    logon: Annotated[LogonFrame, Reference]  # apart from the rest, which may lie in shared memory: it holds the secret
    logout: LogoutFrame
    heartbeat: HeartbeatFrame
    test_request: HeartbeatFrame
    resend: ResendFrame
    gap_fill: GapFillFrame
    new_order: NewOrderFrame
    amend: AmendFrame
    cancel: CancelFrame
    cancel_by_id: CancelFrame
    mass_cancel: MassCancelFrame


def build_templates(templates: Templates, flow: Flow) -> None:
    """Fill in all that never changes of every frame but the session's own settings, which must be there already."""
    for order in (templates.new_order.message, templates.amend.message):
        order.quantity.exponent = QUANTITY_EXPONENT
        order.show_quantity.mantissa = NULL_I64
        order.show_quantity.exponent = NULL_EXPONENT
    templates.mass_cancel.message.currency_pair_id = NULL_I64
    for name, template_id, length in (
        ("logon", Template.LOGON, size_of(Logon)),
        ("logout", Template.LOGOUT, NO_TEXT_BYTES),
        ("heartbeat", Template.HEARTBEAT, size_of(Heartbeat)),
        ("test_request", Template.TEST_REQUEST, size_of(Heartbeat)),
        ("resend", Template.RESEND_REQUEST, size_of(ResendRequest)),
        ("gap_fill", Template.GAP_FILL, size_of(GapFill)),
        ("new_order", Template.NEW_ORDER_REQUEST, size_of(NewOrderRequest)),
        ("amend", Template.AMEND_ORDER_REQUEST, size_of(AmendOrderRequest)),
        ("cancel", Template.CANCEL_ORDER_REQUEST, size_of(CancelOrderRequest)),
        ("cancel_by_id", Template.CANCEL_ORDER_BY_ID_REQUEST, size_of(CancelOrderRequest)),
        ("mass_cancel", Template.MASS_CANCEL_REQUEST, size_of(MassCancelRequest)),
    ):
        total = _build(getattr(templates, name), flow, template_id, size_of(FrameHeader) + length)
        setattr(templates, f"{name}_sum", total)


def _build(frame: StarbaseFrame, flow: Flow, template_id: int, length: int) -> int:
    """Head a template; return its TCP checksum's sum over what is in it now, unfolded."""
    header = frame.header
    header.protocol_id = PROTOCOL_ID
    header.length = length
    header.template_id = template_id
    header.version = VERSION
    payload = padded(length)
    assert size_of(type(frame)) == size_of(TcpFrame) + payload
    return build_template(frame, flow, payload)


@inlined
def send_frame(
    stream: FrameStream, ring: Struct, slot: int, length: int, constant_sum: int, fields_sum: int, now_ns: int
) -> None:
    """Number, stamp and commit the frame in `slot`: a copy of a template; `fields_sum` is of the fields patched."""
    stream.send_sequence += 1
    stamp_and_commit(stream, ring, slot, length, constant_sum, fields_sum, stream.send_sequence, now_ns)


@inlined
def stamp_and_commit(
    stream: FrameStream,
    ring: Struct,
    slot: int,
    length: int,
    constant_sum: int,
    fields_sum: int,
    sequence: int,
    now_ns: int,
) -> None:
    """Stamp and commit as `send_frame` does, under a number of the caller's."""
    header = view(StarbaseFrame, slot).header
    header.sequence = sequence
    header.last_processed = stream.receive_sequence
    header.send_time_ns = now_ns
    fields_sum = add_field(add_field(add_field(fields_sum, sequence), stream.receive_sequence), now_ns)
    commit_template(stream.connection, ring, slot, length, constant_sum, fields_sum, now_ns)
