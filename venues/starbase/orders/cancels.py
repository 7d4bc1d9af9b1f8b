"""Cancels: of one order, by either number, and of all orders that a gateway has.

A single cancel goes where its order went. A mass cancel goes to each gateway, an instrument at a time; it goes on where
the ring had no more room, and stays due while a link with orders is down.
"""

from crosswire.nic.memory.struct import Struct, size_of, view
from crosswire.nic.packet import add_field
from crosswire.nic.rings.connection import select_stream
from crosswire.nic.rings.ring import NEVER_NS
from crosswire.nic.tcp_frames import copy_template
from crosswire.nic.unit.compile import compiled
from crosswire.venues.session import SessionState, write_cancel, write_cancel_by_id, write_mass_cancel
from crosswire.venues.starbase.orders.quotes import quote_id_of, quoted_side
from crosswire.venues.starbase.orders.state import (
    Refusal,
    StarbaseLink,
    StarbaseSession,
    link_of_order,
    remember_frame,
    sent_frame,
)
from crosswire.venues.starbase.orders.templates import CancelFrame, MassCancelFrame, send_frame
from crosswire.venues.starbase.rate_limits import MESSAGE_TOKENS
from crosswire.venues.starbase.wire.order_codes import Template
from crosswire.venues.token_bucket import draw_tokens


@compiled
def _write_cancel(
    session: StarbaseSession, ring: Struct, number: int, template_id: int, order_id: int, instrument: int, now_ns: int
) -> bool:
    """Write a cancel by either number of the order, which is what the frame is remembered by."""
    link = session.links[number]
    select_stream(ring, number)
    template, constant_sum = link.templates.cancel, link.templates.cancel_sum
    if template_id == Template.CANCEL_ORDER_BY_ID_REQUEST:
        template, constant_sum = link.templates.cancel_by_id, link.templates.cancel_by_id_sum
    slot = copy_template(ring, template, size_of(CancelFrame))
    if slot == 0:
        session.ring_full += 1
        return False
    draw_tokens(link.tokens, MESSAGE_TOKENS, now_ns)
    instrument_id = session.market[0].instruments[instrument].venue_id
    message = view(CancelFrame, slot).message
    message.client_order_id = order_id
    message.correlation_id = order_id
    message.instrument_id = instrument_id
    fields_sum = add_field(add_field(order_id, order_id), instrument_id)
    send_frame(link.stream, ring, slot, size_of(CancelFrame), constant_sum, fields_sum, now_ns)
    sent_frame(session, link, now_ns)
    remember_frame(link, template_id, order_id)
    session.cancels_sent += 1
    return True


@write_cancel.register(StarbaseSession)
def write_starbase_cancel(
    session: StarbaseSession, ring: Struct, client_order_id: int, instrument: int, now_ns: int
) -> bool:
    number = link_of_order(session, client_order_id)
    if number < 0:
        return False
    template_id: int = Template.CANCEL_ORDER_REQUEST
    order_id = client_order_id
    for side in range(2):
        quoted = quoted_side(session, instrument, side)
        if quoted.client_order_id == client_order_id:
            template_id = Template.CANCEL_ORDER_BY_ID_REQUEST
            order_id = quoted.order_id
        elif quoted.sent_id == client_order_id:
            # The exchange knows a quote by its own number alone, which it has not told yet.
            session.unanswered += 1
            return False
    return _write_cancel(session, ring, number, template_id, order_id, instrument, now_ns)


@write_cancel_by_id.register(StarbaseSession)
def write_starbase_cancel_by_id(
    session: StarbaseSession, ring: Struct, exchange_order_id: int, instrument: int, now_ns: int
) -> bool:
    quote_id = quote_id_of(session, instrument, exchange_order_id)
    # A quote's goes where the quote went, as any cancel: from elsewhere both gateways would answer.
    number = link_of_order(session, quote_id) if quote_id != 0 else session.order_link
    if number < 0:
        return False
    return _write_cancel(
        session, ring, number, Template.CANCEL_ORDER_BY_ID_REQUEST, exchange_order_id, instrument, now_ns
    )


@write_mass_cancel.register(StarbaseSession)
def write_starbase_mass_cancel(session: StarbaseSession, ring: Struct, now_ns: int) -> bool:
    """Ask every gateway that may have orders; False while one was not asked for all that is its own.

    To be called again then: what was asked for is not asked for twice, unless something new was sent there.
    """
    is_asked = False
    is_left = False
    for number in range(session.link_count):
        link = session.links[number]
        if link.state == SessionState.READY:
            is_asked = True
            if not _cancel_all_of(session, ring, number, now_ns):
                is_left = True
        elif _may_return(link):
            is_left = True
    if is_left or not is_asked:
        return False
    for number in range(session.link_count):
        session.links[number].mass_cancelled = 0
    return True


@compiled
def _may_return(link: StarbaseLink) -> bool:
    """Tell whether a link that is not READY has been, and will be again: orders may live at its gateway."""
    return link.logons != 0 and link.refusal == Refusal.NONE and link.logging_out == 0


@compiled
def _cancel_all_of(session: StarbaseSession, ring: Struct, number: int, now_ns: int) -> bool:
    """Send what a READY link has left of a mass cancel; False if the ring has no room for all of it."""
    market = session.market[0]
    link = session.links[number]
    select_stream(ring, number)
    while link.mass_cancelled < market.count:
        instrument = market.instruments[link.mass_cancelled]
        if instrument.venue == session.venue and instrument.venue_id >= 0:
            if not _mass_cancel(session, ring, number, instrument.venue_id, now_ns):
                return False
        link.mass_cancelled += 1
    return True


@compiled
def repeat_mass_cancel(session: StarbaseSession, ring: Struct, number: int, now_ns: int) -> int:
    """Send a mass cancel again that a READY link's exchange refused, when it is time; return when that is, ns."""
    link = session.links[number]
    is_due = link.mass_cancel_at_ns != 0 and now_ns >= link.mass_cancel_at_ns
    if is_due and _cancel_all_of(session, ring, number, now_ns):
        link.mass_cancelled = 0
        link.mass_cancel_at_ns = 0
    return link.mass_cancel_at_ns if link.mass_cancel_at_ns != 0 else NEVER_NS


@compiled
def _mass_cancel(session: StarbaseSession, ring: Struct, number: int, instrument_id: int, now_ns: int) -> bool:
    """Cancel all orders of one instrument; it costs no tokens."""
    link = session.links[number]
    slot = copy_template(ring, link.templates.mass_cancel, size_of(MassCancelFrame))
    if slot == 0:
        session.ring_full += 1
        return False
    session.correlation += 1
    message = view(MassCancelFrame, slot).message
    message.correlation_id = session.correlation
    message.instrument_id = instrument_id
    fields_sum = add_field(session.correlation, instrument_id)
    send_frame(link.stream, ring, slot, size_of(MassCancelFrame), link.templates.mass_cancel_sum, fields_sum, now_ns)
    sent_frame(session, link, now_ns)
    session.cancels_sent += 1
    return True
