"""What the Deribit feed remembers: its channels, how far each book is proven, and changes waiting for a snapshot."""

from enum import IntEnum
from typing import Annotated

from crosswire.nic.memory.struct import Array, Struct, i64
from crosswire.venues.feed import Feed
from crosswire.venues.market import MAP_INSTRUMENTS_MAX, BookProof

CHANNEL_BITS = 9
CHANNEL_SLOTS = 1 << CHANNEL_BITS  # twice CHANNELS_MAX: a probe stays short
CHANNELS_MAX = CHANNEL_SLOTS // 2  # the captured feed has 29; a packet of one more is rejected as UNKNOWN_CHANNEL
STASH_MAX = 4096  # level changes kept for books that wait for a snapshot; the oldest are overwritten
TICKERS_MAX = 64  # of one packet: a 9,000-byte frame holds 62


class Progress(IntEnum):
    """How far a book is proven. Only a PROVEN one is ever valid."""

    NEW = 0  # nothing of this book was ever seen
    LOST = 1  # its levels can't be trusted: it waits for a snapshot
    LOADING = 2  # parts of a snapshot are going in
    SUSPECT = 3  # it was proven, then packets were missed that may have changed it
    PROVEN = 4


class SnapshotMode(IntEnum):
    """What is done with the snapshot whose parts are arriving."""

    NONE = 0  # none is arriving
    LOAD = 1  # its levels go into the book
    CHECK = 2  # its levels are compared with the book's
    SKIP = 3  # the book has moved past it


class Channel(Struct):
    key: i64  # channel id + 1, 0: free
    sequence: i64  # of the last packet taken
    time_ns: i64  # receive time of that packet
    packets: i64  # taken
    gaps: i64  # packets missed
    is_snapshot: i64  # it carries definitions and snapshots, no changes
    is_cut: i64  # its last packet could not be read to the end


class Proof(BookProof):
    """What is known of one instrument's book beside the book itself."""

    progress: i64  # Progress
    channel_key: i64  # of the channel that carries its changes, as in `Channel`; 0: not seen yet
    is_halted: i64  # the venue says that it is not open for trading
    is_open: i64  # a change was announced that is not complete yet (`is_last` 0)
    is_ahead: i64  # the book comes from a snapshot, and changes that the snapshot already has may still arrive
    from_v2: i64  # its definition came as InstrumentV2, so Instrument, which lacks the tick steps, is ignored
    stashed: i64  # level changes in the stash
    settled_id: i64  # the book's update id when the last snapshot had been dealt with
    snapshot_mode: i64  # SnapshotMode
    snapshot_id: i64  # change id of the snapshot that is arriving
    snapshot_channel: i64
    snapshot_sequence: i64  # of the packet with its last part
    snapshot_bids: i64  # levels compared so far
    snapshot_asks: i64
    snapshot_differs: i64


class StashedChange(Struct):
    """One level change of a Book message; the first of a message carries its place in the chain."""

    key: i64  # market index + 1, 0: free
    prev_change_id: i64
    change_id: i64
    exchange_time_ns: i64
    receive_time_ns: i64
    side: i64
    price_ticks: i64
    qty_lots: i64  # -1: the message had no changes
    is_first: i64
    is_last: i64  # the message's own `is_last`


class Terms(Struct):
    """What an Instrument or InstrumentV2 message says, in the units of `venues.instrument`.

    `base`, `quote` and `settlement` are addresses of the currencies, CURRENCY_BYTES each, in the message.
    """

    instrument_id: i64
    state: i64  # InstrumentState
    base: i64
    quote: i64
    settlement: i64
    kind: i64
    payoff: i64
    tick_e9: i64
    lot_e9: i64
    contract_e9: i64
    maker_fee_e9: i64
    taker_fee_e9: i64
    expiry_ns: i64


class Block(Struct):
    """One message that was proven to lie inside the packet. Addresses; 0 if there is none."""

    template_id: i64
    root: i64
    root_length: i64
    groups: i64  # first GroupHeader
    texts: i64  # first TextHeader


class Entries(Struct):
    """The entries of one group: `count` of them, `stride` bytes apart."""

    first: i64  # address of the first
    count: i64
    stride: i64


class DeribitFeed(Feed):
    """Deribit's legacy multicast feed: incremental and snapshot channels together."""

    snapshots_loaded: i64
    snapshots_agreed: i64  # re-sent snapshots that equal the running book
    snapshots_disagreed: i64  # same change id, other levels: the book was wrong and is replaced
    snapshots_behind: i64  # older than the book
    snapshots_incomplete: i64  # parts that prove nothing: is_book_complete 0, or the part before may be missing
    stash_overflows: i64  # recoveries that failed because a stashed change had been overwritten
    ticker_checks: i64  # tickers compared with a valid book after their packet
    ticker_mismatches: i64
    channel_count: i64
    channel: i64  # slot of the packet at hand
    sequence: i64  # of the packet at hand
    is_resumed: i64  # the message at hand is the first after a packet that was missed or cut
    ticker_count: i64  # of the packet at hand
    stash_next: i64  # changes ever stashed; the next goes into this slot modulo STASH_MAX
    block: Block
    entries: Entries
    terms: Terms
    tickers: Annotated[Array, i64, TICKERS_MAX]  # addresses of their root blocks
    channels: Annotated[Array, Channel, CHANNEL_SLOTS]
    proofs: Annotated[Array, Proof, MAP_INSTRUMENTS_MAX]  # by market index
    stash: Annotated[Array, StashedChange, STASH_MAX]
