"""The snapshot channel: books that are not proven are loaded from it and brought up to date.

A snapshot tells the book after one incremental message. If the channel is past that one, the messages since are applied
from the packets kept; if a hole holds it up before, changes that the snapshot already has are skipped when they come
(`Proof.applied`). One that ends with a message of which nothing was heard yet is not taken: it may be from before a
restart of the publisher, and would then hide what really comes. Snapshots of books that are proven are not read.
"""

from crosswire.nic.memory.struct import address_of, size_of, view
from crosswire.nic.unit.compile import compiled, outlined
from crosswire.venues.book.order_queue import clear_queue
from crosswire.venues.feed import Reject, known_instrument, note_restart, reject
from crosswire.venues.market import Events, Market
from crosswire.venues.starbase.feed.book_messages import (
    apply_apart,
    count_message,
    is_of_order,
    judge_odd_message,
    lose_queue,
    prove_message,
    publish_apart,
    set_progress,
    touch,
)
from crosswire.venues.starbase.feed.incremental import read_other
from crosswire.venues.starbase.feed.recovery import RESTART_NS, give_up_late, join_channel, kept_address, kept_packet
from crosswire.venues.starbase.feed.state import SEQUENCE_MAX, Progress, StarbaseFeed, find_channel
from crosswire.venues.starbase.wire.market_layout import (
    MessageHeader,
    OrderBlock,
    PacketHeader,
    SnapshotHeader,
    SnapshotTrailer,
    Template,
)
from crosswire.venues.starbase.wire.market_layout import Put as PutMessage


@outlined
def take_snapshot(feed: StarbaseFeed, market: Market, events: Events, header: PacketHeader, length: int) -> None:
    """Take one packet of a snapshot channel."""
    slot = find_channel(feed, header.channel_id, 1)
    if slot < 0:
        reject(feed, Reject.UNKNOWN_CHANNEL)
        return
    channel = feed.channels[slot]
    sequence = header.sequence
    last = sequence + header.message_count
    if channel.next == 0:
        join_channel(channel, sequence)
    elif last <= channel.next and (last != channel.next or header.message_count != 0):
        if header.send_time_ns < channel.send_time_ns + RESTART_NS:
            feed.duplicates += 1
            return
        note_restart(feed, 0)
        abort_load(feed, market, events, slot)
        join_channel(channel, sequence)
    if sequence > channel.next:
        feed.sequence_gaps += sequence - channel.next
        abort_load(feed, market, events, slot)
        channel.next = sequence
    channel.send_time_ns = max(channel.send_time_ns, header.send_time_ns)
    channel.packets += 1
    position = address_of(header) + size_of(PacketHeader)
    end = address_of(header) + length
    for _ in range(header.message_count):
        size = prove_message(feed, position, end)
        if size == 0:
            size = judge_odd_message(feed, position, end)
            if size <= 0:
                abort_load(feed, market, events, slot)  # what lacks fields may have been part of it
            if size == 0:
                break
        elif sequence >= channel.next:
            read_snapshot(feed, market, events, slot, position)
        sequence += 1
        position += abs(size)
    channel.next = max(channel.next, last)
    channel.end = channel.next
    if channel.partner != 0:
        give_up_late(feed, market, events, channel.partner - 1)


@compiled
def read_snapshot(feed: StarbaseFeed, market: Market, events: Events, slot: int, address: int) -> None:
    """Read one proven message of a snapshot channel."""
    message = view(MessageHeader, address)
    template_id = message.template_id
    block = address + size_of(MessageHeader)
    count_message(feed, template_id, message.version)
    if template_id == Template.BID_PUT or template_id == Template.ASK_PUT:
        load_put(feed, market, events, slot, template_id, block)
    elif template_id == Template.SNAPSHOT_HEADER:
        begin_load(feed, market, events, slot, view(SnapshotHeader, block))
    elif template_id == Template.SNAPSHOT_TRAILER:
        end_load(feed, market, events, slot, view(SnapshotTrailer, block))
    elif template_id == Template.END_OF_CYCLE:
        abort_load(feed, market, events, slot)
        feed.cycles += 1
    else:
        read_other(feed, market, events, address)


@compiled
def incremental_of(feed: StarbaseFeed, slot: int, index: int) -> int:
    """Slot of the channel that a snapshot's sequence refers to, -1 if nothing of it was received yet.

    It is the one that carried changes of this instrument; before there were any, the one of other instruments of the
    same snapshot channel, or of the same channel id.
    """
    channel = feed.channels[slot]
    if feed.proofs[index].channel != 0:
        channel.partner = feed.proofs[index].channel
    for other in range(feed.channel_count):
        candidate = feed.channels[other]
        if channel.partner == 0 and candidate.is_snapshot == 0 and candidate.channel_id == channel.channel_id:
            channel.partner = other + 1
    if channel.partner == 0 or feed.channels[channel.partner - 1].next == 0:
        return -1
    return channel.partner - 1


@compiled
def begin_load(feed: StarbaseFeed, market: Market, events: Events, slot: int, header: SnapshotHeader) -> None:
    """Read a SnapshotHeader: the Puts of one instrument follow."""
    abort_load(feed, market, events, slot)
    index = known_instrument(feed, header.instrument_id)
    if index < 0:
        return
    if feed.proofs[index].progress == Progress.PROVEN:
        return
    incremental = incremental_of(feed, slot, index)
    if incremental < 0:
        return
    sequence = header.incremental_sequence
    if sequence < 0 or sequence > SEQUENCE_MAX:
        reject(feed, Reject.BAD_VALUE)
        return
    if sequence + 1 < feed.channels[incremental].kept_from:
        feed.snapshots_behind += 1
        return
    clear_queue(feed.queues[index], market.books[index])
    feed.proofs[index].channel = incremental + 1
    set_progress(feed, index, Progress.LOADING)
    channel = feed.channels[slot]
    channel.loading = index + 1
    channel.loading_sequence = sequence
    book = market.books[index]
    book.update_id = sequence
    book.exchange_time_ns = header.incremental_timestamp_ns


@compiled
def abort_load(feed: StarbaseFeed, market: Market, events: Events, slot: int) -> None:
    """Forget what was loaded: it is not complete."""
    channel = feed.channels[slot]
    index = channel.loading - 1
    channel.loading = 0
    if index >= 0 and feed.proofs[index].progress == Progress.LOADING:
        feed.snapshots_incomplete += 1
        lose_queue(feed, market, events, index)


@compiled
def load_put(feed: StarbaseFeed, market: Market, events: Events, slot: int, template_id: int, block: int) -> None:
    """Load one order of the snapshot that is arriving."""
    index = feed.channels[slot].loading - 1
    if index < 0:
        return
    is_own = view(PutMessage, block).instrument_id == market.instruments[index].venue_id
    if feed.proofs[index].progress != Progress.LOADING or not is_own:
        abort_load(feed, market, events, slot)
    elif apply_apart(feed, market, index, template_id, block):
        feed.level_updates += 1
    else:
        abort_load(feed, market, events, slot)


@compiled
def end_load(feed: StarbaseFeed, market: Market, events: Events, slot: int, trailer: SnapshotTrailer) -> None:
    """Read a SnapshotTrailer: the book is that after message `incremental_sequence`; apply what came since."""
    channel = feed.channels[slot]
    index = channel.loading - 1
    if index < 0:
        return
    proof = feed.proofs[index]
    sequence = channel.loading_sequence
    is_own = trailer.instrument_id == market.instruments[index].venue_id
    if not is_own or trailer.incremental_sequence != sequence or proof.progress != Progress.LOADING:
        abort_load(feed, market, events, slot)
        return
    incremental = feed.channels[proof.channel - 1]
    is_behind = sequence + 1 < incremental.kept_from
    if is_behind or sequence >= incremental.end:
        feed.snapshots_behind += 1 if is_behind else 0
        feed.snapshots_ahead += 0 if is_behind else 1
        channel.loading = 0
        lose_queue(feed, market, events, index)
        return
    book = market.books[index]
    book.receive_time_ns = feed.time_ns
    channel.loading = 0
    if not replay_kept(feed, market, proof.channel - 1, index, sequence):
        feed.snapshots_incomplete += 1
        lose_queue(feed, market, events, index)
        return
    proof.applied = sequence
    feed.snapshots_loaded += 1
    set_progress(feed, index, Progress.PROVEN)
    if incremental.in_transaction != 0:
        touch(feed, proof.channel - 1, index)
    publish_apart(feed, market, events, index)


@compiled
def replay_kept(feed: StarbaseFeed, market: Market, slot: int, index: int, applied: int) -> bool:
    """Apply an instrument's changes after message `applied` and before the channel's next; False if one can't be."""
    channel = feed.channels[slot]
    venue_id = market.instruments[index].venue_id
    book = market.books[index]
    for place in range(channel.kept_count):
        packet = kept_packet(feed, slot, place)
        sequence = packet.sequence
        if sequence >= channel.next:
            break
        if sequence + packet.count <= applied + 1:
            continue
        position = kept_address(feed, slot, place) + size_of(PacketHeader)
        end = kept_address(feed, slot, place) + packet.length
        while sequence < min(packet.sequence + packet.count, channel.next):
            size = prove_message(feed, position, end)
            if size == 0:
                size = judge_odd_message(feed, position, end)
            if size == 0:
                return False
            message = view(MessageHeader, position)
            template_id = message.template_id
            block = position + size_of(MessageHeader)
            if sequence > applied:
                applied = sequence
                if is_of_order(template_id):
                    if view(OrderBlock, block).instrument_id == venue_id:
                        if size < 0 or not apply_apart(feed, market, index, template_id, block):
                            return False
                        book.update_id = sequence
                        book.exchange_time_ns = message.transact_time_ns
            position += message.length
            sequence += 1
    return True
