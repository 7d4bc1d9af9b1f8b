"""Missing messages of an incremental channel: late copies, retransmission, and giving them up.

Both lines number messages alike, so whichever copy comes first is taken. A packet beyond the channel's next message
shows a hole: every book of the channel is invalid from then on, and packets are kept, in order, until the hole is
filled by the other line's copy or by retransmission. After `hole_timeout_ns`, when a request is refused for good, or
when there is no room for more packets, what is missing is given up: books that do not have it wait for a snapshot
(`feed/snapshot.py`). While any book waits for one, the packets already read are kept, too, so that a snapshot of the
recent past can be brought up to date.
"""

from crosswire.nic.memory.raw import copy_bytes
from crosswire.nic.memory.struct import Struct, address_of, size_of, view
from crosswire.nic.packet import UDP_FRAME_HEADER_BYTES, Flow, Packet, seal_udp_frame, write_udp_frame_header
from crosswire.nic.rings.ring import commit, reserve
from crosswire.nic.unit.compile import compiled, inlined, outlined
from crosswire.venues.feed import Reject, note_restart, reject
from crosswire.venues.lines import note_copy
from crosswire.venues.market import MAP_INSTRUMENTS_MAX, Events, Market
from crosswire.venues.starbase.feed.book_messages import (
    close_apart,
    hold_open_books,
    lose_queue,
    publish_apart,
    publish_channel,
    set_progress,
)
from crosswire.venues.starbase.feed.incremental import read_packet, read_rest
from crosswire.venues.starbase.feed.state import (
    KEPT_BYTES,
    KEPT_MASK,
    KEPT_MAX,
    Channel,
    KeptPacket,
    Progress,
    StarbaseFeed,
    find_channel,
)
from crosswire.venues.starbase.wire.encoder import fill_retransmit_request
from crosswire.venues.starbase.wire.market_layout import (
    RETRANSMIT_MESSAGES_MAX,
    MessageHeader,
    PacketHeader,
    PacketType,
    RetransmitRejectReason,
    Template,
)
from crosswire.venues.starbase.wire.market_layout import RetransmitReject as RejectMessage
from crosswire.venues.starbase.wire.market_layout import RetransmitRequest as RequestMessage

# A copy was sent when the original was, whichever line it comes on. Something sent this much later than the channel's
# last packet, with a lower number, is a publisher that began to count anew.
RESTART_NS = 100_000_000
RETRY_NS = 20_000_000  # between two requests for the same messages; several times a round trip within a data centre
RETRY_DELAY_NS_MAX = 10_000_000_000  # whatever longer pause a reject asks for
REQUEST_BYTES = size_of(PacketHeader) + size_of(MessageHeader) + size_of(RequestMessage)
IS_INCREMENTAL = int(PacketType.INCREMENTAL)
IS_RETRANSMIT = int(PacketType.RETRANSMIT)


@inlined
def take_incremental(
    feed: StarbaseFeed, market: Market, events: Events, packet: Packet, header: PacketHeader, length: int
) -> None:
    """Take one packet of an incremental channel, or of messages sent again.

    Nearly all come on the channel of the packet before, and are that channel's next, with nothing missing.
    """
    slot = feed.last_slot
    channel = feed.channels[slot]
    if (
        header.channel_id != channel.channel_id
        or header.sequence != channel.next
        or header.type != IS_INCREMENTAL
        or header.message_count == 0
        or channel.is_suspect != 0
        or channel.is_snapshot != 0
    ):
        take_other(feed, market, events, packet, header, length)
        return
    channel.send_time_ns = max(channel.send_time_ns, header.send_time_ns)
    channel.received_ns = feed.time_ns
    channel.packets += 1
    channel.end = header.sequence + header.message_count
    read_packet(feed, market, events, slot, address_of(header), length)
    if channel.next != channel.end or feed.waiting != 0:
        look_behind(feed, market, events, slot, header, length)
    else:
        channel.kept_count = 0
        channel.kept_from = channel.next
    if channel.is_suspect != 0:
        give_up_late(feed, market, events, slot)
    elif channel.touched != 0:
        hold_open_books(feed, market, slot)


@outlined
def take_other(
    feed: StarbaseFeed, market: Market, events: Events, packet: Packet, header: PacketHeader, length: int
) -> None:
    """Take an incremental packet that need not be the next of its channel."""
    slot = find_channel(feed, header.channel_id, 0)
    if slot < 0:
        reject(feed, Reject.UNKNOWN_CHANNEL)
        return
    feed.last_slot = slot
    channel = feed.channels[slot]
    is_again = header.type & IS_RETRANSMIT
    sequence = header.sequence
    last = sequence + header.message_count
    if is_again != 0:
        feed.replies += 1
    if channel.next == 0:
        if is_again != 0:
            return
        join_channel(channel, sequence)
    elif last <= channel.next and (last != channel.next or header.message_count != 0):
        if is_again != 0 or header.send_time_ns < channel.send_time_ns + RESTART_NS:
            feed.duplicates += 1
            if is_again == 0 and last == channel.end:
                note_copy(feed.lines, packet, channel.received_ns)
            give_up_late(feed, market, events, slot)
            return
        restart_channel(feed, market, events, slot)
        join_channel(channel, sequence)
    if is_again == 0:
        channel.send_time_ns = max(channel.send_time_ns, header.send_time_ns)
    if last > channel.end:
        channel.received_ns = feed.time_ns
    channel.packets += 1
    if sequence > channel.next and channel.is_suspect != 0 and channel.kept_count == KEPT_MAX:
        give_up_holes(feed, market, events, slot)  # there is no room to wait any longer
    if sequence > channel.next:
        note_hole(feed, market, events, slot, sequence)
        if header.message_count != 0:
            keep_packet(feed, market, events, slot, header, length)
        channel.end = max(channel.end, last)
        give_up_late(feed, market, events, slot)
        return
    channel.end = max(channel.end, last)
    if is_again != 0:
        channel.retry_at_ns = feed.time_ns  # that was one packet of perhaps several
        channel.request_id = 0
    if header.message_count != 0:
        read_next(feed, market, events, slot, header, length)
    if channel.is_suspect != 0:
        give_up_late(feed, market, events, slot)
    elif channel.touched != 0:
        hold_open_books(feed, market, slot)


@compiled
def join_channel(channel: Channel, sequence: int) -> None:
    """Begin with the first packet seen: what was before it only snapshots have."""
    channel.next = sequence
    channel.end = sequence
    channel.send_time_ns = 0
    channel.kept_from = sequence
    channel.kept_count = 0


@compiled
def read_next(feed: StarbaseFeed, market: Market, events: Events, slot: int, header: PacketHeader, length: int) -> None:
    """Read a packet that continues the channel, then what was waiting for it; keep it if a snapshot may need it."""
    channel = feed.channels[slot]
    read_rest(feed, market, events, slot, address_of(header), length)
    if channel.is_suspect != 0:
        read_kept(feed, market, events, slot)
        if channel.next == channel.end:
            feed.holes_filled += 1
            end_hole(feed, market, events, slot)
    look_behind(feed, market, events, slot, header, length)


@outlined
def look_behind(
    feed: StarbaseFeed, market: Market, events: Events, slot: int, header: PacketHeader, length: int
) -> None:
    """Note a hole in a packet just read; keep the packet if a snapshot, or what is missing, may need it."""
    channel = feed.channels[slot]
    if channel.is_suspect == 0 and channel.next != channel.end:
        note_hole(feed, market, events, slot, channel.next)  # it could not be read to its end
    if feed.waiting == 0 and channel.is_suspect == 0:
        channel.kept_count = 0
        channel.kept_from = channel.next
    elif not keep_packet(feed, market, events, slot, header, length):
        channel.kept_from = channel.next


# Packets kept ---------------------------------------------------------------------------------------------------------


@compiled
def kept_packet(feed: StarbaseFeed, slot: int, position: int) -> KeptPacket:
    """The kept packet at a position, 0 the one with the lowest sequence."""
    base = slot * KEPT_MAX
    packet: KeptPacket = feed.kept[
        base + feed.kept_order[base + ((feed.channels[slot].kept_first + position) & KEPT_MASK)]
    ]
    return packet


@compiled
def kept_address(feed: StarbaseFeed, slot: int, position: int) -> int:
    """The address of a kept packet's bytes."""
    base = slot * KEPT_MAX
    place = base + feed.kept_order[base + ((feed.channels[slot].kept_first + position) & KEPT_MASK)]
    return address_of(feed.kept_bytes) + place * KEPT_BYTES


@compiled
def keep_packet(
    feed: StarbaseFeed, market: Market, events: Events, slot: int, header: PacketHeader, length: int
) -> bool:
    """Keep a copy of a packet in its place by sequence; False if it is too long. One that is kept already is not."""
    if length > KEPT_BYTES:
        return reject(feed, Reject.LENGTH_MISMATCH)
    channel = feed.channels[slot]
    if channel.kept_count == KEPT_MAX:
        drop_oldest(feed, market, events, slot)
    sequence = header.sequence
    position = channel.kept_count
    while position > 0 and kept_packet(feed, slot, position - 1).sequence > sequence:
        position -= 1
    if position > 0:
        before = kept_packet(feed, slot, position - 1)
        if before.sequence == sequence and before.count >= header.message_count:
            feed.duplicates += 1
            return True
    # `kept_order` is a permutation: the entry behind the last one names a free place.
    base = slot * KEPT_MAX
    first = channel.kept_first
    place = feed.kept_order[base + ((first + channel.kept_count) & KEPT_MASK)]
    for later in range(channel.kept_count, position, -1):
        moved = feed.kept_order[base + ((first + later - 1) & KEPT_MASK)]
        feed.kept_order[base + ((first + later) & KEPT_MASK)] = moved
    feed.kept_order[base + ((first + position) & KEPT_MASK)] = place
    channel.kept_count += 1
    packet = feed.kept[base + place]
    packet.sequence = sequence
    packet.count = header.message_count
    packet.length = length
    packet.time_ns = feed.time_ns
    copy_bytes(address_of(feed.kept_bytes) + (base + place) * KEPT_BYTES, address_of(header), length)
    return True


@compiled
def drop_oldest(feed: StarbaseFeed, market: Market, events: Events, slot: int) -> None:
    """Make room for a packet. One that was not read yet is read first, whatever is missing before it."""
    channel = feed.channels[slot]
    oldest = kept_packet(feed, slot, 0)
    if oldest.sequence + oldest.count > channel.next:
        give_up_holes(feed, market, events, slot)
    channel.kept_from = max(channel.kept_from, oldest.sequence + oldest.count)
    channel.kept_first = (channel.kept_first + 1) & KEPT_MASK
    channel.kept_count -= 1


@compiled
def read_kept(feed: StarbaseFeed, market: Market, events: Events, slot: int) -> None:
    """Read kept packets as far as they continue the channel."""
    channel = feed.channels[slot]
    time_ns = feed.time_ns
    for position in range(channel.kept_count):
        packet = kept_packet(feed, slot, position)
        if packet.sequence > channel.next:
            break
        if packet.sequence + packet.count > channel.next:
            feed.time_ns = packet.time_ns
            read_rest(feed, market, events, slot, kept_address(feed, slot, position), packet.length)
    feed.time_ns = time_ns


# Holes ----------------------------------------------------------------------------------------------------------------


@compiled
def note_hole(feed: StarbaseFeed, market: Market, events: Events, slot: int, sequence: int) -> None:
    """Note that messages before `sequence` are missing: no book of the channel is valid."""
    channel = feed.channels[slot]
    feed.sequence_gaps += max(0, sequence - channel.end)
    if channel.is_suspect != 0:
        return
    feed.holes += 1
    channel.is_suspect = 1
    channel.hole_time_ns = feed.time_ns
    channel.retry_at_ns = feed.time_ns + feed.retransmit_delay_ns
    channel.request_id = 0
    publish_channel(feed, market, events, slot)


@compiled
def hole_end(feed: StarbaseFeed, slot: int) -> int:
    """Number after the last message of the first hole."""
    channel = feed.channels[slot]
    for position in range(channel.kept_count):
        sequence = kept_packet(feed, slot, position).sequence
        if sequence > channel.next:
            return sequence
    return channel.end


@compiled
def end_hole(feed: StarbaseFeed, market: Market, events: Events, slot: int) -> None:
    """End a hole: nothing is missing any more, books that are proven are valid again."""
    channel = feed.channels[slot]
    channel.is_suspect = 0
    channel.request_id = 0
    publish_channel(feed, market, events, slot)


@outlined
def give_up_late(feed: StarbaseFeed, market: Market, events: Events, slot: int) -> None:
    """Give up what is missing for `hole_timeout_ns`."""
    channel = feed.channels[slot]
    if channel.is_suspect != 0 and feed.time_ns - channel.hole_time_ns >= feed.hole_timeout_ns:
        give_up_holes(feed, market, events, slot)


@compiled
def give_up_holes(feed: StarbaseFeed, market: Market, events: Events, slot: int) -> None:
    """Read on behind every hole; books that do not have the missing messages by a snapshot are lost."""
    channel = feed.channels[slot]
    while channel.next != channel.end:
        end = hole_end(feed, slot)
        close_apart(feed, market, events, slot)
        feed.messages_lost += end - channel.next
        for index in range(min(market.count, MAP_INSTRUMENTS_MAX)):
            proof = feed.proofs[index]
            if proof.channel == slot + 1 and proof.progress == Progress.PROVEN and proof.applied < end - 1:
                lose_queue(feed, market, events, index)
        channel.next = end
        channel.kept_from = end
        read_kept(feed, market, events, slot)
    end_hole(feed, market, events, slot)


@compiled
def restart_channel(feed: StarbaseFeed, market: Market, events: Events, slot: int) -> None:
    """Forget all that was known of a channel: its publisher counts anew."""
    lost = 0
    channel = feed.channels[slot]
    close_apart(feed, market, events, slot)
    channel.is_suspect = 0
    channel.request_id = 0
    for index in range(min(market.count, MAP_INSTRUMENTS_MAX)):
        proof = feed.proofs[index]
        if proof.channel == slot + 1 and proof.progress != Progress.LOST:
            lost += 1 if market.books[index].valid != 0 else 0
            set_progress(feed, index, Progress.LOST)
            publish_apart(feed, market, events, index)
    note_restart(feed, lost)


# Retransmission -------------------------------------------------------------------------------------------------------


@compiled
def pending_retransmit(feed: StarbaseFeed, now_ns: int) -> int:
    """Slot of a channel whose missing messages are to be asked for now, -1 if there is none."""
    for slot in range(feed.channel_count):
        channel = feed.channels[slot]
        if channel.is_suspect != 0 and now_ns >= channel.retry_at_ns:
            return slot
    return -1


@compiled
def write_retransmit_request(feed: StarbaseFeed, ring: Struct, flow: Flow, now_ns: int) -> bool:
    """Send what `pending_retransmit` names; False if nothing is to be sent, or the ring is full. The caller flushes.

    `flow` leads to the retransmit host of the channel's product.
    """
    slot = pending_retransmit(feed, now_ns)
    if slot < 0:
        return False
    frame = reserve(ring, UDP_FRAME_HEADER_BYTES + REQUEST_BYTES)
    if frame == 0:
        return False
    channel = feed.channels[slot]
    feed.requests += 1
    channel.request_id = feed.requests
    channel.retry_at_ns = now_ns + RETRY_NS
    count = min(RETRANSMIT_MESSAGES_MAX, hole_end(feed, slot) - channel.next)
    payload = write_udp_frame_header(frame, flow, REQUEST_BYTES)
    fill_retransmit_request(payload, now_ns, channel.channel_id, channel.request_id, channel.next, count)
    commit(ring, seal_udp_frame(frame, REQUEST_BYTES), now_ns)
    return True


@compiled
def take_reject(feed: StarbaseFeed, market: Market, events: Events, header: PacketHeader, length: int) -> None:
    """Take the answer to a request that is not served. Its packet has the request's sequence, not a channel's."""
    message = view(MessageHeader, address_of(header) + size_of(PacketHeader))
    if length < size_of(PacketHeader) + size_of(MessageHeader) + size_of(RejectMessage):
        reject(feed, Reject.SHORT_MESSAGE)
        return
    if header.message_count != 1 or message.template_id != Template.RETRANSMIT_REJECT:
        reject(feed, Reject.UNKNOWN_TEMPLATE)
        return
    feed.messages[feed.places[Template.RETRANSMIT_REJECT] - 1] += 1
    answer = view(RejectMessage, address_of(message) + size_of(MessageHeader))
    reason = answer.reason
    is_known = RetransmitRejectReason.SEQUENCE_TOO_LOW <= reason <= RetransmitRejectReason.OTHER_ERROR
    feed.retransmit_rejects[reason if is_known else 0] += 1
    for slot in range(feed.channel_count):
        channel = feed.channels[slot]
        if channel.request_id == 0 or channel.request_id != header.sequence:
            continue
        channel.request_id = 0
        if reason == RetransmitRejectReason.RATE_LIMIT_EXCEEDED:
            channel.retry_at_ns = feed.time_ns + min(max(0, answer.retry_delay_ns), RETRY_DELAY_NS_MAX)
        elif reason != RetransmitRejectReason.SEQUENCE_TOO_HIGH:
            # What the venue no longer has only a snapshot has. "Too high" is a service that lags behind the wire.
            give_up_holes(feed, market, events, slot)
