"""Starbase's multicast market data, order by order: one UDP payload in, books up to date, events out.

The path of a packet: `feed/recovery.py` decides by message numbers what of it is new; its messages are read in
`feed/incremental.py` and applied in `feed/book_messages.py`. Snapshots, on channels of their own, come to
`feed/snapshot.py`. Each message is proven to lie inside the packet once, with all of its root block, before any of it
is read.
"""

from crosswire.nic.memory.struct import array, size_of, u8, u16, view
from crosswire.nic.packet import Packet
from crosswire.nic.unit.compile import compiled
from crosswire.venues.book.order_queue import OrderQueue, allocate_queue, find_queued, lots_ahead
from crosswire.venues.feed import Reject, decode, reject
from crosswire.venues.market import MAP_INSTRUMENTS_MAX, Events, Market
from crosswire.venues.starbase.feed.recovery import (
    take_incremental,
    take_reject,
)
from crosswire.venues.starbase.feed.snapshot import take_snapshot
from crosswire.venues.starbase.feed.state import (
    CHANNELS_MAX,
    KEPT_BYTES,
    KEPT_MAX,
    SEQUENCE_MAX,
    UNKNOWN_BYTES,
    KeptPacket,
    Progress,
    StarbaseFeed,
)
from crosswire.venues.starbase.wire.market_layout import MESSAGES, MessageHeader, PacketHeader, PacketType

ORDER_CAPACITY = 1 << 16  # resting orders an instrument; 8 MB, touched as they come
LEVEL_CAPACITY = 1 << 14
HOLE_TIMEOUT_NS = 2_000_000  # for the other line's copy
HOLE_TIMEOUT_RETRANSMIT_NS = 200_000_000  # and for ten requests
RETRANSMIT_DELAY_NS = 1_000_000
IS_SNAPSHOT = int(PacketType.SNAPSHOT)
IS_INCREMENTAL = int(PacketType.INCREMENTAL)


def make_starbase_feed(
    venue: int,
    market: Market,
    *,
    order_capacity: int = ORDER_CAPACITY,
    level_capacity: int = LEVEL_CAPACITY,
    discover: int = 0,
    act_on_trades: int = 0,
    is_retransmitting: bool = False,
) -> StarbaseFeed:
    """Make the feed of one venue, whose instruments are in `market` already, or come with `discover`.

    `order_capacity` (a power of two) and `level_capacity` are of each instrument; `is_retransmitting`: the caller calls
    `write_retransmit_request`, so that missing messages are worth waiting for.
    """
    feed = StarbaseFeed(venue=venue, discover=discover, act_on_trades=act_on_trades)
    feed.hole_timeout_ns = HOLE_TIMEOUT_RETRANSMIT_NS if is_retransmitting else HOLE_TIMEOUT_NS
    feed.retransmit_delay_ns = RETRANSMIT_DELAY_NS
    feed.least_bytes.numpy()[:] = UNKNOWN_BYTES
    for place, message in enumerate(MESSAGES):
        feed.places[message.template_id] = place + 1
        feed.least_bytes[message.template_id] = size_of(MessageHeader) + message.root.size
    feed.kept = array(KeptPacket, CHANNELS_MAX * KEPT_MAX)
    feed.kept_order = array(u16, CHANNELS_MAX * KEPT_MAX)
    feed.kept_order.numpy(CHANNELS_MAX * KEPT_MAX).reshape(CHANNELS_MAX, KEPT_MAX)[:] = range(KEPT_MAX)
    feed.kept_bytes = array(u8, CHANNELS_MAX * KEPT_MAX * KEPT_BYTES)
    queues = OrderQueue.array(min(max(market.capacity, market.count, 1), MAP_INSTRUMENTS_MAX))
    for index, queue in enumerate(queues):
        is_known = index < market.count
        if (is_known and market.instruments[index].venue == venue) or (not is_known and discover):
            allocate_queue(queue, order_capacity, min(level_capacity, order_capacity))
            feed.waiting += 1 if is_known else 0
    feed.queues = queues
    return feed


@decode.register(StarbaseFeed)
def decode_starbase(feed: StarbaseFeed, packet: Packet, market: Market, events: Events) -> None:
    feed.packets += 1
    feed.time_ns = packet.time_ns
    length = packet.payload_length
    if length < size_of(PacketHeader):
        reject(feed, Reject.SHORT_PACKET)
        return
    header = view(PacketHeader, packet.payload_address)
    sequence = header.sequence
    kind = header.type
    if sequence < 0 or sequence > SEQUENCE_MAX:
        reject(feed, Reject.BAD_VALUE)
    elif kind & IS_SNAPSHOT != 0:
        take_snapshot(feed, market, events, header, length)
    elif kind & IS_INCREMENTAL != 0:
        if sequence == 0:
            reject(feed, Reject.BAD_VALUE)
            return
        take_incremental(feed, market, events, packet, header, length)
    else:
        take_reject(feed, market, events, header, length)


@compiled
def queue_ahead_lots(feed: StarbaseFeed, market_index: int, exchange_order_id: int) -> int:
    """Lots before an order at its price, -1 if its book is not proven or does not have it."""
    if feed.proofs[market_index].progress != Progress.PROVEN:
        return -1
    slot = find_queued(feed.queues[market_index], exchange_order_id)
    return -1 if slot < 0 else lots_ahead(feed.queues[market_index], slot)
