"""What the Starbase feed remembers: its channels, how far each book is proven, and packets that may be needed again."""

from enum import IntEnum
from typing import Annotated

from crosswire.nic.memory.struct import Array, Pointer, Struct, f64, i64, u8, u16, u32
from crosswire.nic.unit.compile import compiled
from crosswire.venues.book.order_queue import OrderQueue
from crosswire.venues.feed import Feed
from crosswire.venues.market import MAP_INSTRUMENTS_MAX, BookProof
from crosswire.venues.starbase.wire.market_layout import RetransmitRejectReason

CHANNELS_MAX = 16  # incremental and snapshot ones together; the venue has eight products
KEPT_MAX = 512  # packets kept a channel, a power of two
KEPT_MASK = KEPT_MAX - 1
KEPT_BYTES = 1472  # of a packet: what Ethernet carries, where the venue promises 1,400
INDICES_MAX = 64
TEMPLATE_IDS = 256  # above every template id
UNKNOWN_BYTES = 1 << 16  # more than a message can have
SEQUENCE_MAX = 1 << 62  # a message number beyond is damage


class Progress(IntEnum):
    """How far a book is proven. Only a PROVEN one is ever valid."""

    LOST = 0  # its orders can't be trusted: it waits for a snapshot
    LOADING = 1  # its snapshot is arriving
    PROVEN = 2  # its orders are those after the message before the channel's next, or after `Proof.applied` if higher


class Channel(Struct):
    """One sequence of messages. A product has two: incremental and snapshot."""

    channel_id: i64
    is_snapshot: i64
    next: i64  # number of the next message to read, 0: no packet was seen yet
    end: i64  # number after the last message known to exist; above `next`: there is a hole
    send_time_ns: i64  # of the last new packet
    received_ns: i64  # when the packet that leads to `end` came
    packets: i64  # taken
    is_suspect: i64  # there is a hole: no book of the channel is valid
    hole_time_ns: i64  # when it was noticed
    retry_at_ns: i64  # when to ask for the missing messages
    request_id: i64  # of the last request that has no answer, 0: none
    in_transaction: i64
    touched: i64  # 1 + market index of the last book changed in the transaction, 0: none; see `Proof.next_touched`
    taker_instrument: i64  # 1 + market index of the transaction's last trade summary, 0: none
    taker_side: i64
    kept_from: i64  # every message from this one to `next` is among the packets kept
    kept_first: i64  # position of the kept packet with the lowest sequence
    kept_count: i64
    partner: i64  # snapshot channel: 1 + slot of its incremental channel, 0: not known yet
    loading: i64  # snapshot channel: 1 + market index of the book whose snapshot is arriving, 0: none
    loading_sequence: i64  # number of the last incremental message that it has


class Proof(BookProof):
    """What is known of one instrument's book beside the book itself, and how its wire numbers are converted."""

    progress: i64  # Progress
    channel: i64  # 1 + slot of the incremental channel, 0: not seen yet
    applied: i64  # changes up to this message number are in the book already
    is_halted: i64  # the venue says that it is not open for trading
    status_time_ns: i64  # when the venue said so
    is_touched: i64  # changed in a transaction that is not complete
    next_touched: i64  # 1 + market index of the next one in its channel's list
    is_signed: i64  # prices may be zero or negative
    multiply: i64  # lots = mantissa * multiply / divide
    divide: i64
    mantissa_max: i64
    tick_e9: i64
    lots_per_unit: f64  # 1 / divide
    ticks_per_e9: f64  # 1 / tick_e9


class Info(Struct):
    """An instrument's last InstrumentInfo, 1e-9 of the quote currency; `time_ns` 0: there was none."""

    time_ns: i64
    min_sell_price_e9: i64
    max_buy_price_e9: i64
    mark_price_e9: i64


class Index(Struct):
    """An index's last price."""

    index_id: i64
    time_ns: i64
    price_e9: i64


class KeptPacket(Struct):
    sequence: i64  # of its first message
    count: i64
    length: i64  # bytes
    time_ns: i64  # receive time


class StarbaseFeed(Feed):
    """Starbase's market data: incremental, snapshot and retransmission. Made by `make_starbase_feed`.

    `Feed.sequence_gaps` counts messages that were missing when a later packet came, whether or not they came after all.
    """

    act_on_trades: i64  # 1: books stay valid within a transaction, whose first trade summary is a BOOK_CHANGED
    hole_timeout_ns: i64  # after this long, missing messages are given up and snapshots waited for
    retransmit_delay_ns: i64  # how long the other line's copy is waited for before missing messages are asked for
    waiting: i64  # instruments of this venue whose book is not proven; packets are kept while there are any
    holes: i64  # times that messages were missing
    holes_filled: i64  # of these: all came late, from the other line, or by retransmission
    messages_lost: i64  # given up
    requests: i64  # retransmit requests sent
    replies: i64  # packets of retransmitted messages
    snapshots_loaded: i64
    snapshots_behind: i64  # too old to be brought up to date from the packets kept
    snapshots_ahead: i64  # of a message that the incremental channel has not told of
    snapshots_incomplete: i64  # broken off by a gap, or contradicting themselves
    cycles: i64  # snapshot cycles that ended
    block_trades: i64
    version_read: i64  # the highest that a message had
    trades_dropped: i64  # of packets read after a hole, more than there is room for among the events
    channel_count: i64
    last_slot: i64  # of the channel of the last incremental packet
    index_count: i64
    retransmit_rejects: Annotated[Array, i64, len(RetransmitRejectReason) + 1]  # by reason; 0: one unknown
    places: Annotated[Array, u8, TEMPLATE_IDS]  # template id -> 1 + place in MESSAGES, 0: unknown
    least_bytes: Annotated[Array, u32, TEMPLATE_IDS]  # template id -> header and root block; UNKNOWN_BYTES: unknown
    channels: Annotated[Array, Channel, CHANNELS_MAX]
    proofs: Annotated[Array, Proof, MAP_INSTRUMENTS_MAX]  # by market index
    infos: Annotated[Array, Info, MAP_INSTRUMENTS_MAX]
    indices: Annotated[Array, Index, INDICES_MAX]
    queues: Annotated[Pointer, OrderQueue]  # by market index; those of other venues have no memory
    kept: Annotated[Pointer, KeptPacket]  # KEPT_MAX a channel
    kept_order: Annotated[Pointer, u16]  # KEPT_MAX a channel: a ring of places in `kept`, ascending by sequence
    kept_bytes: Annotated[Pointer, u8]  # KEPT_BYTES a place


@compiled
def find_channel(feed: StarbaseFeed, channel_id: int, is_snapshot: int) -> int:
    """Find a channel, taken up if it is new; its slot, -1 when there are CHANNELS_MAX others."""
    for slot in range(feed.channel_count):
        if feed.channels[slot].channel_id == channel_id and feed.channels[slot].is_snapshot == is_snapshot:
            return slot
    if feed.channel_count == CHANNELS_MAX:
        return -1
    slot = feed.channel_count
    feed.channel_count += 1
    channel = feed.channels[slot]
    channel.channel_id = channel_id
    channel.is_snapshot = is_snapshot
    return slot
