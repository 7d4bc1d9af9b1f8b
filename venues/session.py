"""The order-session contract: what a venue's session does for the engine, whatever its protocol is."""

from collections.abc import Sequence
from enum import IntEnum
from typing import Annotated, NamedTuple

from crosswire.nic.memory.struct import Array, Struct, i64
from crosswire.nic.packet import Packet
from crosswire.nic.unit.compile import generic, inlined
from crosswire.venues.order import Approval, Approvals, Reports

LINKS_MAX = 2  # connections that one order session may have


class SessionState(IntEnum):
    CLOSED = 0
    LOGGING_ON = 1
    READY = 2
    LOST = 3  # the venue went silent or broke the protocol: nothing more is sent, unless the session comes back
    ENDED = 4  # we said goodbye: nothing more is sent


class Session(Struct):
    """State that every order session has; a venue's session class adds its own."""

    venue: i64
    state: i64  # SessionState
    frames_sent: i64
    orders_sent: i64
    cancels_sent: i64
    frames_received: i64
    unread: i64  # 1: the packet holds more reports: `read_reports` is to be called again with it, `reports` cleared
    keep_due: i64  # 1: `keep_session` is wanted at once, not when it said: the venue asked for something
    ring_full: i64  # orders not sent because the transmit ring had no slot
    unarmed: i64  # frames refused because no gate had passed them
    bad_frames: i64  # received bytes that were not believed
    last_sent_ns: i64
    last_received_ns: i64
    silences: i64  # times that it, or a link of it, was given up because nothing was heard
    late_ns: i64  # by how much `keep_session` is called later than it asked for: the loop stood still
    # Of the last message sent and the last one processed, on the first link and on the second.
    numbers: Annotated[Array, i64, 2 * LINKS_MAX]
    order_link: i64  # that the next new order goes out on; -1: none
    quoting_link: i64  # that the next mass quote goes out on; -1: none
    quote_id: i64  # of the last mass quote, where the venue wants them numbered
    links_gone: i64  # logged on once, and never again: what becomes of orders that went out there, nobody tells
    is_resumed: i64  # 1: it goes on where an earlier run has stopped, and has not heard yet all that this one missed
    tells_left: i64  # 1: the venue has told how many orders it takes, and the gate has not heard of it yet
    orders_left: i64  # that it takes, those under way taken off
    awaits_account: i64  # 1: it is not READY before what the venue says elsewhere was held against what we hold


class ResumedOrder(NamedTuple):
    """An order of an earlier run whose end is not known, or one side of a mass quote."""

    client_order_id: int
    exchange_order_id: int  # 0: none was told
    instrument: int  # market index
    side: int
    price_ticks: int
    qty_lots: int
    queued: int  # 1: held in the venue's speed bump
    link: int  # that it went out on
    sequence: int  # number of its frame there
    quote_id: int  # of its mass quote, 0: it is none


class ResumedFill(NamedTuple):
    """A fill that an earlier run has booked."""

    execution_id: int
    match_id: int
    exchange_order_id: int


class Resumed(NamedTuple):
    """Where the session of an earlier run stood when that ended."""

    numbers: Sequence[int]  # as `Session.numbers`
    quote_id: int
    execution_id: int | None  # of the last fill that is booked; None: it is not known which are
    orders: Sequence[ResumedOrder]
    fills: Sequence[ResumedFill]  # the last ones, in the order of execution ids


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
def write_amend(session: Session, ring: Struct, approval: Approval, now_ns: int) -> bool:
    """Give an order of ours the approval's price and quantity (what is filled included). Disarms the approval."""


@generic
def write_cancel_by_id(session: Session, ring: Struct, exchange_order_id: int, instrument: int, now_ns: int) -> bool:
    """Ask to cancel an order by the venue's own id, as when ours is not known any more."""


@generic
def write_mass_quote(session: Session, ring: Struct, approvals: Approvals, now_ns: int) -> bool:
    """Set bid and ask of several instruments at once; False if nothing was sent. Disarms all approvals.

    The venue keeps one quote a side and instrument: what was there is replaced. There may be no other mass quote of the
    same instrument under way.
    """


@generic
def end_session(session: Session, ring: Struct, now_ns: int) -> None:
    """Say goodbye, where the venue wants to hear it; nothing is sent after that."""


@generic
def read_reports(session: Session, packet: Packet, reports: Reports) -> None:
    """Append what a received TCP segment says of our orders. The caller cleared `reports`."""


@generic
def keep_session(session: Session, ring: Struct, now_ns: int) -> int:
    """Send heartbeats and judge silence, by `heard_ns`; return when it wants to be called next, ns."""


@inlined
def heard_ns(session: Session, last_received_ns: int, now_ns: int) -> int:
    """Return when silence begins to count: at the last frame, later by what the loop was late.

    Meanwhile it heard nothing, whatever the venue said: what came is read by now, but of what found no room in the ring
    nobody knows.
    """
    return min(now_ns, last_received_ns + max(0, session.late_ns))
