"""What a Starbase exchange says of our orders, as reports.

Frames are taken in the order of their numbers: one that was processed before is dropped, and when some are missing the
link holds off until they were sent again. A frame counts as processed once all of its reports are told. Fills are told
once by (match, order) too, whatever numbers they come under.

A packet may hold more than REPORTS_MAX reports: `session.unread` then asks for another call with the same packet. If
that does not come, the link is given up and the frame is asked for again after the next logon.
"""

from crosswire.nic.duration import NS_PER_S
from crosswire.nic.memory.raw import copy_bytes, load_u8
from crosswire.nic.memory.struct import address_of, size_of, view
from crosswire.nic.packet import Packet
from crosswire.nic.tcp_frames import is_from_peer
from crosswire.nic.unit.compile import compiled
from crosswire.venues.order import (
    RejectReason,
    ReportKind,
    Reports,
)
from crosswire.venues.session import (
    SessionState,
    read_reports,
)
from crosswire.venues.starbase.orders.answers import read_order_message
from crosswire.venues.starbase.orders.quotes import find_quote, tell_quotes_refused
from crosswire.venues.starbase.orders.state import (
    REASON_BYTES,
    REJECT_REASONS,
    SENT_MAX,
    Refusal,
    StarbaseLink,
    StarbaseSession,
    join_states,
    lose_link,
)
from crosswire.venues.starbase.orders.telling import add_report, break_frame
from crosswire.venues.starbase.wire import order_codes as codes
from crosswire.venues.starbase.wire.order_codes import Template
from crosswire.venues.starbase.wire.order_layout import (
    FrameHeader,
    GapFill,
    LogonConf,
    Reject,
    ResendRequest,
    TestRequest,
)
from crosswire.venues.starbase.wire.stream import (
    FrameFault,
    FramePlace,
    end_of,
    groups_of,
    next_frame,
    open_segment,
    peek_place,
    read_text,
    root_of,
)

SCHEMA_VERSION_MIN = 16  # the first with the layouts that we read


@read_reports.register(StarbaseSession)
def read_starbase_reports(session: StarbaseSession, packet: Packet, reports: Reports) -> None:
    number = -1
    for candidate in range(session.link_count):
        if is_from_peer(session.links[candidate].stream.connection, packet):
            number = candidate
    is_continued = (
        session.unread != 0
        and session.unread_link == number
        and session.unread_payload == packet.payload_address
        and session.unread_sequence == packet.tcp_sequence
    )
    if session.unread != 0 and not is_continued:
        _give_up_unread(session, packet.time_ns)
    if number < 0:
        session.bad_frames += 1
        return
    _read_segment(session, number, packet, reports, is_continued)
    join_states(session)


@compiled
def _give_up_unread(session: StarbaseSession, now_ns: int) -> None:
    """Give up the rest of an earlier packet: its frames are still counted as missing, and will be asked for."""
    session.unread = 0
    session.unread_frame = 0
    session.told = 0
    lose_link(session, session.links[session.unread_link], Refusal.NONE, now_ns)


@compiled
def _read_segment(session: StarbaseSession, number: int, packet: Packet, reports: Reports, is_continued: bool) -> None:
    link = session.links[number]
    stream = link.stream
    session.is_retelling = link.is_resumed
    if is_continued:
        session.unread = 0
    else:
        if not open_segment(stream, packet):
            if packet.payload_length > 0:
                session.bad_frames += 1
            if stream.ended != 0:
                lose_link(session, link, Refusal.NONE, packet.time_ns)
            return
        session.frames_received += 1
        session.last_received_ns = packet.time_ns
        link.last_received_ns = packet.time_ns
        link.test_requested = 0
        session.unread_link = number
        session.unread_payload = packet.payload_address
        session.unread_sequence = packet.tcp_sequence
        session.unread_frame = 0
    address = session.unread_frame if session.unread_frame != 0 else next_frame(stream)
    while address != 0:
        _read_frame(session, link, address, reports, packet.time_ns)
        if session.unread != 0:
            session.unread_frame = address
            return
        session.unread_frame = 0
        session.told = 0
        address = next_frame(stream)
    if stream.ended != 0:
        if link.state != SessionState.LOST:
            session.bad_frames += 1
            lose_link(session, link, Refusal.NONE, packet.time_ns)
    elif link.state == SessionState.LOGGING_ON and link.confirmed != 0 and link.logging_out == 0:
        _finish_logon(session, link, reports)


@compiled
def _finish_logon(session: StarbaseSession, link: StarbaseLink, reports: Reports) -> None:
    """End the orders that the exchange never received and take new ones, once none of its frames is missing."""
    if link.stream.receive_sequence < link.recover_to:
        return
    while link.lost_position < link.lost_end:
        sent = link.sent[link.lost_position & (SENT_MAX - 1)]
        if sent.sequence == link.lost_position:
            # `told` is of the frame at `lost_position`: of a mass quote that is told in parts, what the last part told.
            session.seen = 0
            _tell_refused(session, reports, sent.template_id, sent.client_order_id, RejectReason.SESSION_LOST)
            if session.unread != 0:
                return
            session.told = 0
            if sent.template_id == Template.NEW_ORDER_REQUEST:
                session.lost_orders += 1
        link.lost_position += 1
    if link.is_resumed != 0 and not _end_resuming(session, link, reports):
        return
    link.state = SessionState.READY
    link.backoff_ns = session.backoff_min_ns


@compiled
def _end_resuming(session: StarbaseSession, link: StarbaseLink, reports: Reports) -> bool:
    """Note that a link has caught up with an earlier process, and tell so if it is the last; False: no room."""
    for number in range(session.link_count):
        if number != link.number and session.links[number].is_resumed != 0:
            link.is_resumed = 0
            return True
    session.seen = 0
    add_report(session, reports, ReportKind.CAUGHT_UP, 0, 0)
    if session.unread != 0:
        return False
    session.told = 0
    link.is_resumed = 0
    session.is_resumed = 0
    return True


@compiled
def _read_frame(session: StarbaseSession, link: StarbaseLink, address: int, reports: Reports, now_ns: int) -> None:
    """Read one whole frame."""
    stream = link.stream
    header = view(FrameHeader, address)
    template_id = header.template_id
    link.version_read = max(link.version_read, header.version)
    place = peek_place(stream, address)
    if place == FramePlace.COPY:
        link.copies += 1
        if template_id == Template.LOGON_CONF and link.state == SessionState.LOGGING_ON and link.confirmed == 0:
            lose_link(session, link, Refusal.NUMBERS_LOST, now_ns)
        return
    if stream.refusal == codes.WireRejectReason.INVALID_BLOCK_LENGTH:
        break_frame(session, link, FrameFault.BAD_ROOT, now_ns)
        return
    if template_id == Template.LOGGED_OUT:
        _read_logged_out(session, link, address, now_ns)
        return
    if template_id == Template.LOGON_CONF:
        _read_logon_conf(session, link, address, now_ns)
    if link.state == SessionState.LOST:
        return
    if link.confirmed == 0:
        session.unexpected += 1
        return
    # Answered even while frames of the exchange are missing: else both ends would wait for each other.
    if template_id == Template.RESEND_REQUEST:
        _read_resend_request(session, link, view(ResendRequest, root_of(address)).from_sequence)
    elif template_id == Template.TEST_REQUEST:
        link.answer_correlation_id = view(TestRequest, root_of(address)).correlation_id
        link.answers_due += 1
        session.keep_due = 1
    if place == FramePlace.GAP:
        _note_gap(session, link, header.sequence, now_ns)
        return
    session.seen = 0
    if stream.refusal != 0:
        session.unknown += 1
    elif template_id >= Template.NEW_ORDER_RESPONSE:
        read_order_message(session, link, address, reports, now_ns)
    elif template_id == Template.REJECT:
        _read_session_reject(session, link, view(Reject, root_of(address)), reports)
    if session.unread != 0 or stream.ended != 0:
        return
    sequence = header.sequence
    if template_id == Template.GAP_FILL:
        sequence = max(sequence, view(GapFill, root_of(address)).new_sequence - 1)
    stream.receive_sequence = sequence


@compiled
def _note_gap(session: StarbaseSession, link: StarbaseLink, sequence: int, now_ns: int) -> None:
    """Ask once for the frames missing before this one, and take no orders until they came."""
    if link.recover_to > link.stream.receive_sequence:
        return
    link.recover_to = sequence
    link.resend_due = 1
    link.gaps += 1
    link.state = SessionState.LOGGING_ON
    link.deadline_ns = now_ns + 2 * link.heartbeat_interval_ns
    session.keep_due = 1


@compiled
def _read_logon_conf(session: StarbaseSession, link: StarbaseLink, address: int, now_ns: int) -> None:
    if link.state != SessionState.LOGGING_ON or link.confirmed != 0:
        session.unexpected += 1
        return
    header = view(FrameHeader, address)
    message = view(LogonConf, root_of(address))
    # Before version 12 it had none, and we could not speak with such an exchange.
    link.schema_version = message.schema_version if end_of(address) >= root_of(address) + size_of(LogonConf) else 0
    if link.schema_version < SCHEMA_VERSION_MIN:
        lose_link(session, link, Refusal.SCHEMA_VERSION, now_ns)
        return
    if header.last_processed > link.logon_sequence:
        lose_link(session, link, Refusal.NUMBERS_LOST, now_ns)
        return
    link.confirmed = 1
    if link.logons > 0:
        # What an earlier logon found lost is told yet, if the link was lost again before that was done.
        first_lost = header.last_processed + 1
        link.lost_position = min(link.lost_position, first_lost) if link.lost_position < link.lost_end else first_lost
        link.lost_end = link.logon_sequence
    link.logons += 1
    if message.heartbeat_interval_s > 0:
        link.heartbeat_interval_ns = message.heartbeat_interval_s * NS_PER_S
    link.deadline_ns = now_ns + 2 * link.heartbeat_interval_ns


@compiled
def _read_logged_out(session: StarbaseSession, link: StarbaseLink, address: int, now_ns: int) -> None:
    """Read the exchange's last word.

    To log on again could displace whoever displaced us, so that is left to a person.
    """
    position = groups_of(link.stream, address)
    length = 0
    if read_text(position, end_of(address)) != 0:
        length = min(load_u8(position), REASON_BYTES)
        copy_bytes(address_of(link.reason), position + 1, length)
    link.reason_length = length
    lose_link(session, link, Refusal.LOGGED_OUT, now_ns)


@compiled
def _read_resend_request(session: StarbaseSession, link: StarbaseLink, from_sequence: int) -> None:
    """Have the frames of ours that the exchange misses filled with a gap."""
    if 0 < from_sequence <= link.stream.send_sequence:
        link.gap_fill_from = from_sequence
        session.keep_due = 1
    else:
        session.unexpected += 1


@compiled
def _tell_refused(
    session: StarbaseSession, reports: Reports, template_id: int, client_order_id: int, reason: int
) -> None:
    """Tell the order concerned that a frame of ours was not taken."""
    if template_id == Template.NEW_ORDER_REQUEST:
        add_report(session, reports, ReportKind.REJECTED, client_order_id, 0).reason = reason
    elif template_id == Template.CANCEL_ORDER_REQUEST:
        add_report(session, reports, ReportKind.CANCEL_REJECTED, client_order_id, 0).reason = reason
    elif template_id == Template.CANCEL_ORDER_BY_ID_REQUEST:
        # What the frame is remembered by is the exchange's number.
        order_id = client_order_id
        report = add_report(session, reports, ReportKind.CANCEL_REJECTED, find_quote(session, order_id), 0)
        report.exchange_order_id = order_id
        report.reason = reason
    elif template_id == Template.MASS_QUOTE_REQUEST:
        tell_quotes_refused(session, reports, client_order_id, reason)
    elif template_id == Template.AMEND_ORDER_REQUEST:
        add_report(session, reports, ReportKind.AMEND_REJECTED, client_order_id, 0).reason = reason
        session.amends_rejected += 1


@compiled
def _read_session_reject(session: StarbaseSession, link: StarbaseLink, message: Reject, reports: Reports) -> None:
    """Read that the exchange could not read a frame of ours, and tell its order."""
    reason = message.reason
    link.rejects[reason if 0 <= reason < REJECT_REASONS else 0] += 1
    sequence = message.reference_sequence
    sent = link.sent[sequence & (SENT_MAX - 1)]
    if sent.sequence == sequence:
        _tell_refused(session, reports, sent.template_id, sent.client_order_id, RejectReason.OTHER)
