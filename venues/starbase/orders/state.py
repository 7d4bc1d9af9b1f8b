"""What a Starbase order session remembers: two links, each with its own numbers, and which link has which order."""

from enum import IntEnum
from typing import Annotated

from crosswire.nic.duration import NS_PER_MS
from crosswire.nic.memory.raw import LINE_BYTES, hash_bits, prefetch_to_write
from crosswire.nic.memory.struct import Array, Pointer, Struct, address_of, i64, u8
from crosswire.nic.rings.ring import NEVER_NS
from crosswire.nic.unit.compile import compiled
from crosswire.venues.market import InstrumentMap, Market, is_defined, learn_instrument
from crosswire.venues.order import ORDERS_MAX, STRANGE_INSTRUMENT, TIMES_IN_FORCE, Approval, Report
from crosswire.venues.session import LINKS_MAX, Session, SessionState
from crosswire.venues.starbase.orders.fills import FillSet
from crosswire.venues.starbase.orders.templates import Templates
from crosswire.venues.starbase.wire.order_codes import WireRejectReason
from crosswire.venues.starbase.wire.stream import FrameStream, Group
from crosswire.venues.token_bucket import TokenBucket

SENT_BITS = 12
SENT_MAX = 1 << SENT_BITS  # frames whose order is remembered: more than can be unanswered at the default rate limit
ENDED_BITS = 10
ENDED_MAX = 1 << ENDED_BITS  # orders whose end is remembered, for the copy of it that the other gateway may send
REASON_BYTES = 255
REJECT_REASONS = len(WireRejectReason) + 1  # codes from 1
MASS_CANCEL_RETRY_NS = 100 * NS_PER_MS  # after which one that was refused is sent again: it costs no tokens
ATTENTION_NS = NS_PER_MS  # how often a link that waits for its connection or its logon is looked at


class Refusal(IntEnum):
    """Why a link is not opened again in this run."""

    NONE = 0
    LOGGED_OUT = 1  # the exchange ended the session: wrong key, displaced by another logon, or we asked for it
    SCHEMA_VERSION = 2  # the exchange speaks one that we do not
    NUMBERS_LOST = 3  # the exchange forgot the session's numbers: what it did meanwhile can't be asked for
    BAD_FRAME = 4  # a frame that can't be understood would come again


class SentFrame(Struct):
    """A frame that was sent and says something of an order."""

    sequence: i64
    template_id: i64
    client_order_id: i64  # of a mass quote its quote id, of a cancel by the exchange's number that number


class SentOrder(Struct):
    """What the exchange's answers do not say of an order of ours; found by the id's low bits, as in the order table."""

    client_order_id: i64
    exchange_order_id: i64  # 0: not told yet
    link: i64
    instrument: i64  # market index
    side: i64


class EndedOrder(Struct):
    """An order of which a gateway said that it ended."""

    exchange_order_id: i64  # 0: none
    link: i64  # that said so first


class QuotedSide(Struct):
    """Our quote on one side of an instrument, of which the exchange keeps one."""

    client_order_id: i64  # of the one that lives; 0: none
    order_id: i64  # its number at the exchange
    sent_id: i64  # client order id of the last one sent
    sent_in: i64  # the mass quote that it was sent in
    sent_ticks: i64  # its terms
    sent_lots: i64
    is_pending: i64  # 1: that one is not answered
    is_held: i64  # 1: the one that lives is held in the speed bump, where nothing replaces it


class StarbaseLink(Struct):
    """The session with one gateway."""

    number: i64  # 0: A, 1: B
    state: i64  # SessionState; CLOSED: no connection yet, LOST: none any more
    connection: i64  # as `connection_of` says
    logons: i64  # answered; the first resets the numbers
    is_resumed: i64  # 1: it goes on from an earlier process's numbers, and has not heard yet all that this one missed
    refusal: i64  # Refusal
    logging_out: i64  # 1: we asked for it
    confirmed: i64  # 1: the logon was answered; missing frames may still keep the link from being READY
    logon_sequence: i64  # number of the last logon
    deadline_ns: i64  # by which the link must be READY
    heartbeat_interval_ns: i64
    last_sent_ns: i64
    last_received_ns: i64
    backoff_ns: i64
    reconnect_ns: i64  # when to try again
    test_requested: i64  # 1: the exchange was asked whether it is there
    answers_due: i64  # TestRequests to be answered
    answer_correlation_id: i64  # of the last
    resend_due: i64  # 1: missing frames are to be asked for
    recover_to: i64  # number of the frame that showed that some were missing
    gap_fill_from: i64  # our frames from here on are to be filled with a gap; 0: none were asked for
    lost_position: i64  # our frames from here to `lost_end` never reached the exchange: their orders are to be ended
    lost_end: i64
    copies: i64  # frames received twice
    gaps: i64  # times that frames were missing
    gaps_filled: i64  # ResendRequests of the exchange, answered
    losses: i64  # connections that ended
    schema_version: i64  # as the exchange says
    version_read: i64  # the highest that a frame of the exchange had
    mass_cancelled: i64  # how far a mass cancel has got: all instruments before this market index
    mass_cancel_at_ns: i64  # when a mass cancel that was refused is sent again; 0: none was
    mass_cancels_refused: i64
    rejects: Annotated[Array, i64, REJECT_REASONS]  # by code; 0: one that we do not know
    tokens: TokenBucket  # the gateway's rate limit, counted at this end
    quote_tokens: TokenBucket
    reason_length: i64
    reason: Annotated[Array, u8, REASON_BYTES]  # what the exchange said as it logged us out
    stream: FrameStream
    templates: Templates
    sent: Annotated[Array, SentFrame, SENT_MAX]


class StarbaseSession(Session):
    """The order session of one venue, over one or two links. Counters are sums over the links."""

    link_count: i64
    unread_link: i64
    unread_frame: i64  # address of the frame that was not read to its end; 0: it was
    unread_payload: i64  # of the packet
    unread_sequence: i64
    told: i64  # things that the frame says which were told
    seen: i64  # things that the frame says met since reading it began again
    started: i64
    is_retelling: i64  # 1: the link that is read tells what an earlier process may have heard
    ended: i64  # 1: we said goodbye
    backoff_min_ns: i64
    backoff_max_ns: i64
    last_execution_id: i64
    correlation: i64
    throttled: i64  # orders not sent because the gateway's limit would have refused them
    undefined: i64  # orders not sent because the feed had not yet defined their instrument
    unlinked: i64  # cancels, amends and mass quotes not sent because their order's link is down
    unanswered: i64  # cancels of quotes not sent because the exchange has not given them a number yet
    told_elsewhere: i64  # answers that the other gateway gave already, or will: those that are not applied
    unexpected: i64  # messages out of place: a logon answered twice, orders before it
    unknown: i64  # messages of a kind that we do not know, stepped over
    unknown_instruments: i64  # reports of instruments that no feed defined
    bad_values: i64
    lost_orders: i64  # sent and never received by the exchange
    amends_sent: i64
    amends_rejected: i64
    quotes_sent: i64
    quotes_rejected: i64
    quotes_overlapping: i64  # mass quotes not sent because the last of one of their instruments was not answered
    mass_cancels_done: i64  # answered by the exchange
    mass_cancels_rejected: i64
    mmp_triggered: i64
    mmp_frozen_until_ns: i64  # 0: not frozen
    market: Annotated[Pointer, Market]  # one
    map: InstrumentMap  # the venue's instrument ids, learnt from the market as they are needed
    quote_link: i64  # that the last mass quote went out on
    mmp_group_id: i64  # of market maker protection, for mass quotes
    order_codes: Annotated[Array, i64, 2 * TIMES_IN_FORCE]  # what new orders say, by time in force, then side
    quotes: Annotated[Pointer, QuotedSide]  # two an instrument of the market: bid, ask
    group: Group
    bid_fills: Group
    ask_fills: Group
    spare: Report  # what is written where no report is wanted
    fills: FillSet
    ended_orders: Annotated[Array, EndedOrder, ENDED_MAX]  # by `hash_bits`; a later one takes an earlier one's place
    orders: Annotated[Array, SentOrder, ORDERS_MAX]
    links: Annotated[Array, StarbaseLink, LINKS_MAX]  # A and B, hot-hot: numbers and rate limits of their own


@compiled
def ready_link(session: StarbaseSession) -> int:
    """Find the first link that takes orders; -1: none."""
    if session.links[0].state == SessionState.READY:
        return 0
    if session.link_count > 1 and session.links[1].state == SessionState.READY:
        return 1
    return -1


@compiled
def join_states(session: StarbaseSession) -> None:
    """Set the session's state: ENDED after our goodbye, READY if a link is, LOGGING_ON if one may yet be, else LOST."""
    note_links(session)
    if session.ended != 0:
        session.state = SessionState.ENDED
        return
    is_waiting = session.is_resumed != 0 or session.awaits_account != 0
    if session.order_link >= 0 and not is_waiting:
        session.state = SessionState.READY
        return
    session.state = SessionState.LOST
    for number in range(session.link_count):
        link = session.links[number]
        if link.is_resumed != 0 and link.refusal != Refusal.NONE:
            # What an earlier process had there is never told, whatever the other gateway says.
            session.state = SessionState.LOST
            return
        if link.state != SessionState.LOST or session.is_resumed != 0:
            session.state = SessionState.LOGGING_ON


@compiled
def note_links(session: StarbaseSession) -> None:
    """Note where orders go next, how many links that took orders are gone for good, and the links' numbers."""
    session.order_link = ready_link(session)
    session.quoting_link = session.order_link
    if session.links[session.quote_link].state == SessionState.READY:
        # Quotes stay with a gateway while it is there: its word of one would race with the other's of the next.
        session.quoting_link = session.quote_link
    links_gone = 0
    for number in range(session.link_count):
        link = session.links[number]
        if link.logons != 0 and link.refusal != Refusal.NONE and link.logging_out == 0:
            links_gone += 1
        stream = link.stream
        session.numbers[2 * number] = stream.send_sequence
        session.numbers[2 * number + 1] = stream.receive_sequence
    # None returns: that we log out of the session at last changes nothing.
    session.links_gone = max(session.links_gone, links_gone)


@compiled
def is_waiting_for_terms(session: StarbaseSession) -> bool:
    """Tell whether a resumed session can't log on yet: what it missed may be of an instrument not defined so far."""
    return session.is_resumed != 0 and not is_defined(session.market[0], session.venue)


@compiled
def lose_link(session: StarbaseSession, link: StarbaseLink, refusal: int, now_ns: int) -> None:
    """End the link's connection; unless the exchange or we refuse, it is opened again after the backoff."""
    if link.state == SessionState.LOST:
        return
    link.state = SessionState.LOST
    link.losses += 1
    session.keep_due = 1  # to be opened again after the backoff, not when a READY link would have wanted its timer
    link.stream.ended = 1
    link.confirmed = 0
    link.resend_due = 0
    link.answers_due = 0
    link.gap_fill_from = 0
    link.test_requested = 0
    link.mass_cancelled = 0
    if refusal != Refusal.NONE:
        link.refusal = refusal
    elif link.logging_out != 0:
        link.refusal = Refusal.LOGGED_OUT
    link.reconnect_ns = now_ns + link.backoff_ns if link.refusal == Refusal.NONE else NEVER_NS
    link.backoff_ns = min(2 * link.backoff_ns, session.backoff_max_ns)


@compiled
def sent_frame(session: StarbaseSession, link: StarbaseLink, now_ns: int) -> None:
    """Count a frame that went out."""
    session.frames_sent += 1
    session.last_sent_ns = now_ns
    session.numbers[2 * link.number] = link.stream.send_sequence
    link.last_sent_ns = now_ns


@compiled
def remember_frame(link: StarbaseLink, template_id: int, client_order_id: int) -> None:
    """Remember which order the frame just sent is about."""
    sequence = link.stream.send_sequence
    sent = link.sent[sequence & (SENT_MAX - 1)]
    sent.sequence = sequence
    sent.template_id = template_id
    sent.client_order_id = client_order_id
    # The next ones' line: 4,096 are more than the first-level cache holds (39 ns an order of a burst for 41).
    prefetch_to_write(address_of(sent) + LINE_BYTES)


@compiled
def sent_order(session: StarbaseSession, client_order_id: int) -> SentOrder:
    """Find the slot of an order; it is another's unless its `client_order_id` is this one."""
    return session.orders[client_order_id & (ORDERS_MAX - 1)]


@compiled
def is_sent(session: StarbaseSession, client_order_id: int) -> bool:
    """Tell whether an order with this number went out. 0 is no order's, though a slot that was never used has it."""
    return client_order_id != 0 and sent_order(session, client_order_id).client_order_id == client_order_id


@compiled
def link_of_order(session: StarbaseSession, client_order_id: int) -> int:
    """Find the link that the order went out on, if it is READY; else -1, and counted."""
    link = sent_order(session, client_order_id).link
    if is_sent(session, client_order_id) and session.links[link].state == SessionState.READY:
        return link
    session.unlinked += 1
    return -1


@compiled
def is_order(session: StarbaseSession, client_order_id: int, exchange_order_id: int) -> bool:
    """Tell whether an order of ours is meant: another session, or the exchange, may use our number for theirs."""
    known = sent_order(session, client_order_id).exchange_order_id
    return is_sent(session, client_order_id) and (known == 0 or known == exchange_order_id)


@compiled
def note_number(session: StarbaseSession, client_order_id: int, exchange_order_id: int) -> None:
    """Note the exchange's number of an order of ours."""
    if is_sent(session, client_order_id):
        sent_order(session, client_order_id).exchange_order_id = exchange_order_id


@compiled
def is_of_other_link(session: StarbaseSession, link: StarbaseLink, client_order_id: int) -> bool:
    """Tell whether our order's own gateway tells the same: a request by way of the other is answered to both.

    Fills come to the own gateway alone, so that its word is the one whose place among them is right.
    Source: docs.deribit.com/starbase/upcoming/amending-order, cross-session acknowledgements.
    """
    if sent_order(session, client_order_id).link == link.number:
        return False
    session.told_elsewhere += 1
    return True


@compiled
def is_end_of_other_link(session: StarbaseSession, link: StarbaseLink, exchange_order_id: int) -> bool:
    """Tell whether the other gateway told the end of this order already. Not by our number: it need not be ours."""
    ended = session.ended_orders[hash_bits(exchange_order_id, ENDED_BITS)]
    if ended.exchange_order_id == exchange_order_id and ended.link != link.number:
        session.told_elsewhere += 1
        return True
    ended.exchange_order_id = exchange_order_id
    ended.link = link.number
    return False


@compiled
def remember_order(session: StarbaseSession, approval: Approval, number: int) -> None:
    """Remember an order that went out on a link: what the exchange's answers do not say of it."""
    order = sent_order(session, approval.client_order_id)
    order.client_order_id = approval.client_order_id
    order.exchange_order_id = 0
    order.link = number
    order.instrument = approval.instrument
    order.side = approval.side


@compiled
def market_index(session: StarbaseSession, instrument_id: int) -> int:
    """Find the market index of one of the venue's instrument ids; STRANGE_INSTRUMENT if no feed has defined it."""
    index = -1
    if instrument_id >= 0:
        index = learn_instrument(session.map, session.market[0], session.venue, instrument_id)
    return index if index >= 0 else STRANGE_INSTRUMENT
