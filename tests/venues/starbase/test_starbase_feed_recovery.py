"""The Starbase feed on lines that lose: copies, holes, retransmission, snapshots, and never a wrong book."""

import random
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crosswire.nic.packet import Packet, PacketCounters, parse_packet
from crosswire.nic.rings.delay import DelayRing
from crosswire.nic.rings.ring import Frame, poll, release
from crosswire.venues.market import BOOK_CHANGED, BOOK_LOST
from crosswire.venues.side import ASK, BID
from crosswire.venues.starbase.feed.recovery import pending_retransmit, write_retransmit_request
from crosswire.venues.starbase.feed.state import KEPT_MAX
from crosswire.venues.starbase.wire.market_layout import (
    MessageHeader,
    PacketHeader,
    RetransmitRejectReason,
    RetransmitRequest,
    Template,
)
from tests.support.starbase_feed_setup import (
    CHANNEL,
    FLOW,
    MS,
    SNAPSHOT,
    Receiver,
    Sender,
    Session,
    Venue,
    delete,
    perpetual,
    put,
    reduce,
    refusal,
    reply,
    snapshot,
    with_ring,
)
from tests.support.uncompiled import printed_uncompiled

pytestmark = pytest.mark.starbase

# Lines and holes ------------------------------------------------------------------------------------------------------


def test_a_copy_from_the_other_line_is_dropped():
    session = Session()
    packet = session.wire.packet(put(0, BID, 3, 101, 2))
    assert session.receive(packet) == [BOOK_CHANGED]
    assert session.receive(packet) == []
    assert session.feed.duplicates == 1
    assert session.top() == (101, 2, 110, 7)


def test_a_packet_that_is_partly_new_is_read_from_its_first_new_message():
    session = Session()
    session.receive(session.wire.packet(put(0, BID, 3, 101, 2)))
    other = Sender(sequence=1)
    packet = other.packet(put(0, BID, 3, 101, 2), reduce(0, BID, 3, 1), put(0, BID, 4, 102, 1))
    assert session.receive(packet) == [BOOK_CHANGED]
    assert session.top() == (102, 1, 110, 7)
    assert session.receiver.state()[BID, 101] == [(3, 1)]


def test_a_hole_invalidates_until_the_late_copy_fills_it():
    session = Session()
    packets = [session.wire.packet(put(0, BID, 3 + number, 101 + number, 2)) for number in range(4)]
    assert session.receive(packets[1]) == [BOOK_LOST]
    assert session.receive(packets[3]) == []
    assert not session.book.valid
    assert session.receive(packets[0]) == []
    assert not session.book.valid  # the third is still missing
    assert session.receive(packets[2]) == [BOOK_CHANGED]
    assert session.top() == (104, 2, 110, 7)
    feed = session.feed
    assert (feed.holes, feed.holes_filled, feed.sequence_gaps, feed.messages_lost) == (1, 1, 2, 0)
    assert feed.channels[0].kept_count <= 4


def test_a_heartbeat_tells_that_the_last_packet_is_missing():
    session = Session()
    packet = session.wire.packet(put(0, BID, 3, 101, 2))
    assert session.receive(session.wire.packet(transaction=False, end=False)) == [BOOK_LOST]
    assert session.receive(packet) == [BOOK_CHANGED]
    assert session.top() == (101, 2, 110, 7)


def test_what_stays_missing_is_given_up_and_a_snapshot_waited_for():
    session = Session()
    session.wire.packet(put(0, BID, 3, 101, 2))  # lost on both lines
    assert session.receive(session.wire.packet(put(0, BID, 4, 102, 2))) == [BOOK_LOST]
    session.receive(session.wire.packet(delete(0, BID, 3)), step_ns=5 * MS)
    assert (session.feed.messages_lost, session.feed.waiting) == (1, 1)
    # A snapshot from before the hole can't be brought up to date, one from after it can.
    old, new = {1: (BID, 100, 5, 1)}, {1: (BID, 100, 5, 1), 3: (BID, 101, 2, 3)}
    assert session.receive(session.snapshots.packet(*snapshot(0, old, 0))) == []
    assert session.feed.snapshots_behind == 1
    assert session.receive(session.snapshots.packet(*snapshot(0, new, 1))) == [BOOK_CHANGED]
    assert session.receiver.state() == {(BID, 100): [(1, 5)], (BID, 102): [(4, 2)]}
    assert session.receive(session.wire.packet(put(0, ASK, 5, 103, 1))) == [BOOK_CHANGED]
    assert session.top() == (102, 2, 103, 1)


def test_changes_that_a_snapshot_already_has_are_skipped():
    session = Session()
    session.wire.packet(put(0, BID, 3, 101, 2))
    session.receive(session.wire.packet(put(0, BID, 4, 102, 2)), step_ns=1)
    session.receive(session.wire.packet(transaction=False, end=False), step_ns=5 * MS)
    late = [session.wire.packet(reduce(0, BID, 4, 1)), session.wire.packet(delete(0, BID, 4))]
    state = {1: (BID, 100, 5, 1), 4: (BID, 102, 1, 4)}
    # Nothing incremental told of message 3 yet: the snapshot may be of another count.
    assert session.receive(session.snapshots.packet(*snapshot(0, state, 3))) == []
    assert session.feed.snapshots_ahead == 1
    session.receive(session.wire.packet(transaction=False, end=False))
    assert session.receive(session.snapshots.packet(*snapshot(0, state, 3))) == []
    assert session.receiver.state()[BID, 102] == [(4, 1)]
    assert session.receive(late[0]) == []
    assert session.receiver.state()[BID, 102] == [(4, 1)]
    assert session.receive(late[1]) == [BOOK_CHANGED]
    assert session.top()[:2] == (100, 5)


def test_the_kept_packets_are_bounded_and_what_is_missing_is_given_up_then():
    session = Session()
    session.wire.packet(put(0, BID, 3, 101, 2))
    for number in range(KEPT_MAX + 40):
        session.receive(session.wire.packet(put(0, BID, 4 + number, 50 - number % 20, 1)), step_ns=1)
    feed = session.feed
    channel = feed.channels[0]
    assert (channel.kept_count, channel.is_suspect, channel.next) == (KEPT_MAX, 0, session.wire.writer.sequence)
    assert (feed.messages_lost, feed.waiting) == (1, 1)
    oldest = channel.kept_from
    state = {1: (BID, 100, 5, 1)}
    session.receive(session.snapshots.packet(*snapshot(0, state, oldest - 2)))
    assert session.feed.snapshots_behind == 1
    assert session.receive(session.snapshots.packet(*snapshot(0, state, oldest - 1))) == [BOOK_CHANGED]
    assert session.receiver.queue().count == 1 + KEPT_MAX


def test_a_gap_among_snapshots_breaks_off_the_one_that_is_loading():
    receiver, wire, snapshots = Receiver([perpetual()]), Sender(), Sender(SNAPSHOT)
    receiver.receive(wire.packet(transaction=False, end=False))
    rows = snapshot(0, {1: (BID, 100, 5, 1), 2: (BID, 99, 5, 2)}, 0)
    receiver.receive(snapshots.packet(*rows[:3]))
    snapshots.packet(rows[3])
    assert receiver.receive(snapshots.packet(*rows[4:])) == []
    assert (receiver.feed.snapshots_incomplete, receiver.book().valid) == (1, 0)
    assert receiver.kinds(snapshots.packet(*rows)) == [BOOK_CHANGED]


def test_a_snapshot_that_contradicts_itself_is_not_taken():
    receiver, wire, snapshots = Receiver([perpetual()]), Sender(), Sender(SNAPSHOT)
    receiver.receive(wire.packet(transaction=False, end=False))
    rows = snapshot(0, {1: (BID, 100, 5, 1)}, 0)
    other = snapshot(0, {}, 1)[-1]
    assert receiver.kinds(snapshots.packet(*rows[:-1], other)) == []
    assert receiver.feed.snapshots_incomplete == 1
    assert receiver.kinds(snapshots.packet(rows[0], rows[2], rows[4])) == []  # no header
    assert receiver.book().valid == 0


def test_a_snapshot_before_anything_incremental_proves_nothing():
    receiver, snapshots = Receiver([perpetual()]), Sender(SNAPSHOT)
    assert receiver.kinds(snapshots.packet(*snapshot(0, {1: (BID, 100, 5, 1)}, 0))) == []
    assert receiver.book().valid == 0


def test_a_publisher_that_counts_anew_voids_what_was_known():
    session = Session()
    session.receive(session.wire.packet(put(0, BID, 3, 101, 2)))
    fresh = Sender(sequence=1)
    fresh.time_ns = session.wire.time_ns + 1_000 * MS
    assert session.receive(fresh.packet(put(0, BID, 9, 90, 1))) == [BOOK_LOST]
    assert session.feed.restarts == 1
    assert session.receive(session.snapshots.packet(*snapshot(0, {7: (BID, 80, 1, 7)}, 0))) == [BOOK_CHANGED]
    assert session.receiver.state() == {(BID, 80): [(7, 1)], (BID, 90): [(9, 1)]}


# Retransmission -------------------------------------------------------------------------------------------------------


def sent_request(session: Session, ring: DelayRing) -> RetransmitRequest | None:
    """The request that is on the ring, its packet header checked."""
    frame, packet = Frame(), Packet()
    if not poll(ring, frame, session.receiver.time_ns):
        return None
    assert parse_packet(frame, packet, PacketCounters())
    assert (packet.destination_port, packet.payload_length) == (4240, 49)
    header = PacketHeader.at(packet.payload_address)
    message = MessageHeader.at(packet.payload_address + 24)
    assert (header.channel_id, header.message_count, header.sequence) == (CHANNEL, 1, session.feed.requests)
    assert (message.template_id, message.length) == (Template.RETRANSMIT_REQUEST, 25)
    release(ring)
    return RetransmitRequest.at(packet.payload_address + 40)


def lossy_session() -> tuple[Session, list[bytes], DelayRing]:
    """Messages 1 to 4 of 5 are missing."""
    session = Session(is_retransmitting=True)
    packets = [session.wire.packet(put(0, BID, 3 + number, 101 + number, 2)) for number in range(5)]
    assert session.receive(packets[4]) == [BOOK_LOST]
    return session, packets, with_ring()


def test_missing_messages_are_asked_for_and_fill_the_hole():
    session, packets, ring = lossy_session()
    now = session.receiver.time_ns
    assert pending_retransmit(session.feed, now) == -1  # the other line may have them
    assert not write_retransmit_request(session.feed, ring, FLOW, now)
    session.receiver.time_ns += 2 * MS
    assert pending_retransmit(session.feed, session.receiver.time_ns) == 0
    assert write_retransmit_request(session.feed, ring, FLOW, session.receiver.time_ns)
    request = sent_request(session, ring)
    assert (request.begin_sequence, request.message_count) == (1, 4)
    assert not write_retransmit_request(session.feed, ring, FLOW, session.receiver.time_ns)
    # What does not fit into one reply is asked for again, at once.
    assert session.receive(reply(packets, 1, 3)) == []
    assert write_retransmit_request(session.feed, ring, FLOW, session.receiver.time_ns)
    request = sent_request(session, ring)
    assert (request.begin_sequence, request.message_count) == (4, 1)
    assert session.receive(reply(packets, 4, 1)) == [BOOK_CHANGED]
    assert session.top() == (105, 2, 110, 7)
    assert (session.feed.replies, session.feed.holes_filled, session.feed.messages_lost) == (2, 1, 0)
    assert pending_retransmit(session.feed, session.receiver.time_ns + 1000 * MS) == -1


def test_a_request_without_an_answer_is_repeated():
    session, _packets, ring = lossy_session()
    session.receiver.time_ns += 2 * MS
    for expected in (True, False):
        assert write_retransmit_request(session.feed, ring, FLOW, session.receiver.time_ns) is expected
    session.receiver.time_ns += 30 * MS
    assert write_retransmit_request(session.feed, ring, FLOW, session.receiver.time_ns)
    assert session.feed.requests == 2


def test_a_reply_with_messages_that_are_known_already_is_read_from_the_first_new_one():
    session, packets, _ring = lossy_session()
    session.receive(packets[0])
    assert session.receive(reply(packets, 1, 5)) == [BOOK_CHANGED]
    assert session.top() == (105, 2, 110, 7)


@pytest.mark.parametrize("reason", [RetransmitRejectReason.SEQUENCE_TOO_LOW, RetransmitRejectReason.OTHER_ERROR])
def test_a_refusal_for_good_leaves_it_to_the_snapshot(reason):
    session, _packets, ring = lossy_session()
    session.receiver.time_ns += 2 * MS
    write_retransmit_request(session.feed, ring, FLOW, session.receiver.time_ns)
    session.receive(refusal(99, reason))  # of somebody else's request
    assert session.feed.messages_lost == 0
    session.receive(refusal(1, reason))
    assert (session.feed.messages_lost, session.feed.waiting) == (4, 1)
    assert session.feed.retransmit_rejects[reason] == 2
    assert pending_retransmit(session.feed, session.receiver.time_ns + 1000 * MS) == -1
    state = {1: (BID, 100, 5, 1)}
    assert session.receive(session.snapshots.packet(*snapshot(0, state, 4))) == [BOOK_CHANGED]
    assert session.top()[:2] == (105, 2)


def test_the_rate_limit_delays_the_next_request():
    session, _packets, ring = lossy_session()
    session.receiver.time_ns += 2 * MS
    write_retransmit_request(session.feed, ring, FLOW, session.receiver.time_ns)
    session.receive(refusal(1, RetransmitRejectReason.RATE_LIMIT_EXCEEDED, 50 * MS))
    now = session.receiver.time_ns
    assert pending_retransmit(session.feed, now + 49 * MS) == -1
    assert pending_retransmit(session.feed, now + 50 * MS) == 0


def test_a_long_hole_is_asked_for_piece_by_piece():
    session, ring = Session(is_retransmitting=True), with_ring()
    session.wire.writer.sequence = 1000
    session.receive(session.wire.packet(put(0, BID, 9, 90, 1)))
    session.receiver.time_ns += 2 * MS
    write_retransmit_request(session.feed, ring, FLOW, session.receiver.time_ns)
    request = sent_request(session, ring)
    assert (request.begin_sequence, request.message_count & 0xFF) == (1, 255)


# Everything at once ---------------------------------------------------------------------------------------------------


def deliver(draw: random.Random, packets: list[bytes], loss: tuple[float, float], skew: int) -> list[bytes]:
    """What arrives of packets sent on two lines that lose independently, the second one later."""
    arrivals = []
    for number, packet in enumerate(packets):
        for line, share in enumerate(loss):
            if draw.random() >= share:
                arrivals.append((number + line * draw.randrange(skew + 1) + line * 0.5, packet))
    return [packet for _, packet in sorted(arrivals, key=lambda each: each[0])]


def serve_request(venue_packets: list[bytes], session_feed: Any, now_ns: int, ring: DelayRing) -> bytes | None:
    """The retransmission service's answer to what the feed asks, None if it asks nothing."""
    if not write_retransmit_request(session_feed, ring, FLOW, now_ns):
        return None
    frame, packet = Frame(), Packet()
    assert poll(ring, frame, now_ns)
    assert parse_packet(frame, packet, PacketCounters())
    request = RetransmitRequest.at(packet.payload_address + 40)
    begin, count = request.begin_sequence, min(15, request.message_count & 0xFF)
    release(ring)
    wanted = []
    for each in venue_packets:
        first, total = struct.unpack_from("<q", each, 8)[0], struct.unpack_from("<H", each, 22)[0]
        if first + total > begin and first < begin + count:
            wanted.append(each)
    return reply(wanted, begin, count)


@settings(max_examples=25)
@given(
    seed=st.integers(0, 1 << 30),
    loss=st.tuples(st.sampled_from((0.0, 0.05, 0.3, 1.0)), st.sampled_from((0.0, 0.05, 0.3))),
    skew=st.integers(0, 4),
    has_service=st.booleans(),
    step_ns=st.sampled_from((1_000, 300_000)),
)
def test_no_loss_ever_leaves_a_wrong_book_valid(seed, loss, skew, has_service, step_ns):
    draw = random.Random(seed)
    venue, receiver, ring = Venue(seed), Receiver(is_retransmitting=has_service), with_ring()
    receiver.feed.hole_timeout_ns = 20 * step_ns
    receiver.feed.retransmit_delay_ns = 2 * step_ns
    sent: list[bytes] = []

    def receive(packets: list[bytes]) -> None:
        for packet in packets:
            receiver.receive(packet, step_ns)
            venue.check(receiver)
            if has_service and draw.random() < 0.3:
                answer = serve_request(sent, receiver.feed, receiver.time_ns, ring)
                if answer is not None and draw.random() < 0.8:
                    receiver.receive(answer, step_ns)
                    venue.check(receiver)

    for _ in range(8):
        packets = venue.trade_on(draw.randrange(1, 20))
        sent += packets
        cycle = venue.cycle() if draw.random() < 0.7 else []
        more = venue.trade_on(draw.randrange(1, 10))
        sent += more
        receive(deliver(draw, packets, loss, skew))
        # The cycle was made before `more`, and is mixed with it in any way that keeps each channel's order.
        lines = [deliver(draw, cycle, loss, skew), deliver(draw, more, loss, skew)]
        while any(lines):
            line = draw.choice([each for each in lines if each])
            receive([line.pop(0)])
    # The lines are whole again: within a cycle every book is proven, and valid.
    receive([venue.heartbeat()])
    receiver.time_ns += 1_000 * MS
    receive([venue.heartbeat(), *venue.cycle(), *venue.trade_on(3)])
    receive(venue.cycle())
    assert venue.check(receiver) == [True, True]
    assert receiver.feed.continuity_breaks == 0
    assert receiver.feed.snapshots_loaded >= 2


def memory_after_a_run() -> str:
    """Everything that a feed counts and shows after a lossy run."""
    draw = random.Random(3)
    venue, receiver = Venue(3), Receiver()
    for _ in range(12):
        packets = venue.trade_on(12)
        cycle = venue.cycle()
        for packet in deliver(draw, packets + cycle, (0.3, 0.2), 3):
            receiver.receive(packet, 200_000)
            venue.check(receiver)
    feed = receiver.feed
    counts = [getattr(feed, name) for name, field in type(feed).fields.items() if field.is_scalar]
    states = [sorted(receiver.state(index).items()) for index in range(2)]
    proofs = [(feed.proofs[index].progress, feed.proofs[index].applied) for index in range(2)]
    return f"{counts} {list(feed.rejects)} {list(feed.messages)} {states} {proofs}"


@pytest.mark.parity
def test_compiled_and_uncompiled_agree():
    assert printed_uncompiled(__name__, "memory_after_a_run") == memory_after_a_run()
