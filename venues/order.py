"""Orders as the field knows them, and the order-session contract.

Life of an order: PENDING_NEW -> LIVE -> (PENDING_CANCEL) -> FILLED | CANCELLED, or REJECTED at any time before it lives.
An IOC goes from PENDING_NEW to FILLED or CANCELLED. VETOED never left the engine.
"""

from enum import IntEnum
from typing import Annotated

from nic.compile import generic
from nic.packet import Packet
from nic.struct import Array, Struct, i64

ORDERS_BITS = 12
ORDERS_MAX = 1 << ORDERS_BITS  # orders alive at once, all venues together; an order id's low bits are its slot
REPORTS_MAX = 128  # execution reports of one packet


class TimeInForce(IntEnum):
    IOC = 0  # immediate or cancel
    FOK = 1  # fill or kill
    GTC = 2  # good till cancelled
    POST_ONLY = 3  # GTC that is rejected if it would take


class OrderState(IntEnum):
    FREE = 0  # the slot holds no order
    PENDING_NEW = 1
    LIVE = 2
    PENDING_CANCEL = 3
    FILLED = 4
    CANCELLED = 5  # cancelled or expired, perhaps after partial fills
    REJECTED = 6
    VETOED = 7


class ReportKind(IntEnum):
    ACK = 0
    FILL = 1
    CANCELLED = 2  # no longer live: cancelled, expired (IOC, FOK remainder)
    REJECTED = 3  # the new order was refused
    CANCEL_REJECTED = 4  # the cancel was refused; the order is as it was


class RejectReason(IntEnum):
    """Why a venue refused; each session maps its own codes to these."""

    NONE = 0
    UNKNOWN_INSTRUMENT = 1
    BAD_PRICE = 2
    BAD_QUANTITY = 3
    WOULD_TAKE = 4  # post-only
    RATE_LIMIT = 5
    UNKNOWN_ORDER = 6
    DUPLICATE_ID = 7
    NOT_LOGGED_ON = 8
    BOOK_NOT_READY = 9  # the simulated exchange has no proven book to match against
    TOO_MANY_ORDERS = 10
    OTHER = 11


class Approval(Struct):
    """One order that the risk gate let pass, good for one frame.

    Only `risk.gate` arms it; the order session disarms it as it writes the frame and refuses an unarmed one.
    """

    armed: i64
    client_order_id: i64
    instrument: i64  # market index
    side: i64
    time_in_force: i64
    price_ticks: i64
    qty_lots: i64


class Report(Struct):
    """One thing a venue said of one order."""

    kind: i64  # ReportKind
    client_order_id: i64
    exchange_order_id: i64
    execution_id: i64  # FILL: counts up within a session, so that each fill is applied exactly once
    instrument: i64  # market index
    side: i64
    price_ticks: i64  # FILL
    qty_lots: i64  # FILL
    leaves_lots: i64
    fee_e9: i64  # FILL: settlement currency, positive is paid
    is_maker: i64  # FILL
    reason: i64  # RejectReason
    exchange_time_ns: i64


class Reports(Struct):
    """The reports of one packet."""

    count: i64
    dropped: i64  # did not fit; checked to stay zero
    items: Annotated[Array, Report, REPORTS_MAX]


class SessionState(IntEnum):
    CLOSED = 0
    LOGGING_ON = 1
    READY = 2
    LOST = 3  # the venue went silent or broke the protocol: nothing more is sent


class Session(Struct):
    """State that every order session has; a venue's session class adds its own."""

    venue: i64
    state: i64  # SessionState
    frames_sent: i64
    orders_sent: i64
    cancels_sent: i64
    frames_received: i64
    ring_full: i64  # orders not sent because the transmit ring had no slot
    unarmed: i64  # frames refused because no gate had passed them
    bad_frames: i64  # received bytes that were not believed
    last_sent_ns: i64
    last_received_ns: i64


@generic
def start_session(session: Session, ring: Struct, now_ns: int) -> None:
    """Send the logon."""


@generic
def write_new(session: Session, ring: Struct, approval: Approval, now_ns: int) -> bool:
    """Patch the pre-built new-order frame and commit it; False if nothing was sent. Disarms the approval."""


@generic
def write_cancel(session: Session, ring: Struct, client_order_id: int, instrument: int, now_ns: int) -> bool:
    """Ask to cancel one order. Needs no approval: a cancel only reduces risk."""


@generic
def write_mass_cancel(session: Session, ring: Struct, now_ns: int) -> bool:
    """Ask to cancel all orders of the session."""


@generic
def read_reports(session: Session, packet: Packet, reports: Reports) -> None:
    """Append what a received TCP segment says of our orders. The caller cleared `reports`."""


@generic
def keep_session(session: Session, ring: Struct, now_ns: int) -> int:
    """Heartbeats and silence limits; returns when it wants to be called next, ns."""
