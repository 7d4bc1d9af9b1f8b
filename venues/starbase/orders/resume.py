"""A session that goes on where an earlier process ended: numbers, orders, quotes and fills as that one wrote them down.

The new process calls `resume_session` on a session that was just made, before it is started. It then logs on without a
reset, has everything sent again that the other did not process, and hears of the orders that never arrived.

What has to be on disk, and when: the links' numbers with each packet's reports; of an order its frame's number, before
the frame is visible to the driver; of a fill, the match too. What was told and whose frame's number was not written
down is told again, and known: a fill by its match, anything else by `Report.is_retold`.
"""

from crosswire.venues.session import Resumed, ResumedFill, ResumedOrder
from crosswire.venues.starbase.orders.fills import add_fill_once
from crosswire.venues.starbase.orders.quotes import quoted_side
from crosswire.venues.starbase.orders.state import SENT_MAX, StarbaseSession, note_links, sent_order
from crosswire.venues.starbase.wire.order_codes import Template

# Numbers left out before the first frame: those of heartbeats and of whatever else was sent and not written down. A
# number that the exchange has had is refused; one that is too high it asks for, and is told of a gap.
SKIPPED_NUMBERS = 1 << 16


def resume_session(session: StarbaseSession, resumed: Resumed) -> None:
    """Go on from what an earlier process wrote down. A link without any numbers resets its own."""
    session.quote_id = resumed.quote_id
    for fill in resumed.fills:
        _resume_fill(session, fill)
    # As the engine's account goes on: a fill without a match, which can't be told again, may have been the last.
    session.last_execution_id = session.fills.count = resumed.execution_id or 0
    # A quote that is not answered yet was sent after the one that lives.
    for order in sorted(resumed.orders):
        _resume_order(session, order)
    for number in range(session.link_count):
        sent, processed = resumed.numbers[2 * number], resumed.numbers[2 * number + 1]
        link = session.links[number]
        if sent != 0:
            link.logons = link.is_resumed = session.is_resumed = 1
            link.stream.send_sequence = sent + SKIPPED_NUMBERS
            link.stream.receive_sequence = processed
    note_links(session)


def _resume_fill(session: StarbaseSession, fill: ResumedFill) -> None:
    """Know a fill that was booked, so that it is not told again; in the order of execution ids."""
    session.fills.count = fill.execution_id - 1
    add_fill_once(session.fills, fill.match_id, fill.exchange_order_id)


def _resume_order(session: StarbaseSession, each: ResumedOrder) -> None:
    """Know an order, or one side of a mass quote, and the frame that may never have arrived."""
    order = sent_order(session, each.client_order_id)
    order.client_order_id = each.client_order_id
    order.exchange_order_id = each.exchange_order_id
    order.link = max(0, each.link)
    order.instrument = each.instrument
    order.side = each.side
    sent = session.links[order.link].sent[each.sequence & (SENT_MAX - 1)]
    sent.sequence = each.sequence
    sent.template_id = Template.NEW_ORDER_REQUEST if each.quote_id == 0 else Template.MASS_QUOTE_REQUEST
    sent.client_order_id = each.client_order_id if each.quote_id == 0 else each.quote_id
    if each.quote_id != 0:
        _resume_quote(session, each)


def _resume_quote(session: StarbaseSession, each: ResumedOrder) -> None:
    """Know the quote that lives on one side of an instrument, or the one that was sent and not answered."""
    quoted = quoted_side(session, each.instrument, each.side)
    if each.exchange_order_id != 0:
        quoted.client_order_id = each.client_order_id
        quoted.order_id = each.exchange_order_id
        quoted.is_held = each.queued
    quoted.sent_id = each.client_order_id
    quoted.sent_in = each.quote_id
    quoted.sent_ticks = each.price_ticks
    quoted.sent_lots = each.qty_lots
    quoted.is_pending = int(each.exchange_order_id == 0)
    session.quote_link = max(0, each.link)
