"""A session that goes on where an earlier process ended: numbers, orders, quotes and fills as that one wrote them down.

The new process calls these functions on a session that was just made, before it is started. It then logs on without a
reset, has everything sent again that the other did not process, and hears of the orders that never arrived.

What has to be on disk, and when: `numbers_of` with each packet's reports, and before the first order that follows a
logon; of an order, with its frame's number, before the frame is visible to the driver; of a fill, the match too
(`match_of`). A fill whose frame's number was not written down is sent again, and known by its match.
"""

from collections.abc import Sequence
from typing import NamedTuple

from crosswire.venues.starbase.orders.fills import FILLS_MAX, add_fill_once
from crosswire.venues.starbase.orders.quotes import quoted_side
from crosswire.venues.starbase.orders.state import SENT_MAX, StarbaseSession, sent_order

# Numbers left out before the first frame: those of heartbeats and of whatever else was sent and not written down. A
# number that the exchange has had is refused; one that is too high it asks for, and is told of a gap.
SKIPPED_NUMBERS = 1 << 16


class LinkNumbers(NamedTuple):
    """The numbers of one link: of the last frame sent, of the last one processed. 0, 0: it never logged on."""

    sent: int
    processed: int


def numbers_of(session: StarbaseSession) -> list[LinkNumbers]:
    """Tell the numbers of the session's links, A first."""
    streams = [session.links[number].stream for number in range(session.link_count)]
    return [LinkNumbers(stream.send_sequence, stream.receive_sequence) for stream in streams]


def resume_links(session: StarbaseSession, numbers: Sequence[LinkNumbers], quote_id: int = 0) -> None:
    """Go on from an earlier process's numbers; `quote_id` is of its last mass quote. A link without any resets its own.

    ValueError if they are not those of as many links.
    """
    if len(numbers) != session.link_count:
        raise ValueError(f"numbers of {len(numbers)} gateways; the session has {session.link_count}")
    for number, each in enumerate(numbers):
        if each.sent < 0 or each.processed < 0:
            raise ValueError(f"a frame's number can't be negative: {each.sent}, {each.processed}")
        link = session.links[number]
        if each.sent != 0:
            link.logons = 1
            link.stream.send_sequence = each.sent + SKIPPED_NUMBERS
            link.stream.receive_sequence = each.processed
            session.is_resumed = 1
    session.quote_id = quote_id


def resume_order(
    session: StarbaseSession,
    client_order_id: int,
    exchange_order_id: int,
    link: int,
    instrument: int,
    side: int,
    qty_lots: int,
) -> None:
    """Know an open order, or one side of a mass quote: `exchange_order_id` is 0 if none was told."""
    order = sent_order(session, client_order_id)
    order.client_order_id = client_order_id
    order.exchange_order_id = exchange_order_id
    order.link = link
    order.instrument = instrument
    order.side = side
    order.qty_lots = qty_lots


def resume_frame(session: StarbaseSession, link: int, sequence: int, template_id: int, subject_id: int) -> None:
    """Know a frame of a link that may never have arrived; `subject_id` as in `SentFrame.client_order_id`."""
    sent = session.links[link].sent[sequence & (SENT_MAX - 1)]
    sent.sequence = sequence
    sent.template_id = template_id
    sent.client_order_id = subject_id


def resume_quote(
    session: StarbaseSession, instrument: int, side: int, client_order_id: int, order_id: int, is_held: bool
) -> None:
    """Know the quote that lives on one side of an instrument, beside `resume_order` for it."""
    quoted = quoted_side(session, instrument, side)
    quoted.client_order_id = client_order_id
    quoted.order_id = order_id
    quoted.is_held = int(is_held)


def resume_pending_quote(
    session: StarbaseSession,
    instrument: int,
    side: int,
    client_order_id: int,
    quote_id: int,
    price_ticks: int,
    lots: int,
) -> None:
    """Know one side of a mass quote that was not answered, beside `resume_order` and `resume_frame` for it."""
    quoted = quoted_side(session, instrument, side)
    quoted.sent_id = client_order_id
    quoted.sent_in = quote_id
    quoted.sent_ticks = price_ticks
    quoted.sent_lots = lots
    quoted.is_pending = 1


def match_of(session: StarbaseSession, execution_id: int) -> int:
    """Tell the exchange's number of the match of one of the last FILLS_MAX fills that were told."""
    last = session.last_execution_id
    if not max(0, last - FILLS_MAX) < execution_id <= last:
        raise ValueError(f"execution {execution_id} is not among the last {FILLS_MAX} of {last}")
    return int(session.fills.keys[(execution_id - 1) & (FILLS_MAX - 1)].match_id)


def resume_fill(session: StarbaseSession, execution_id: int, match_id: int, exchange_order_id: int) -> None:
    """Know a fill that was booked, so that it is not told again; in the order of execution ids, the last FILLS_MAX."""
    session.fills.count = execution_id - 1
    add_fill_once(session.fills, match_id, exchange_order_id)
    session.last_execution_id = execution_id
