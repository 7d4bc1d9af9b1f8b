"""Keeping a book proven: the change-id chain, snapshots, and the changes that wait for one.

The rules, and what in sample_capture_v1_6 they rest on:

* A Book message continues the book if its `prev_change_id` is the book's last `change_id` (1,064 of 1,064). If it does
  not, that book alone is lost.
* `prev_change_id` 0 changes a book that never held anything: all 36 books whose first message has it had been sent as
  a snapshot with change id 0 and no levels before. So a book of which nothing was ever seen starts empty there.
* Missed packets make every book of the channel suspect. The next Book message that continues the chain proves that
  none of them was this instrument's; so does a snapshot that agrees.
* A snapshot reaches us on another channel, so it can be older or newer than the book. Older ones are ignored; a newer
  one replaces the book, and changes that it already has are skipped when they arrive.
* An older snapshot of a book that has not moved since the previous snapshot means that the venue counts anew.
"""

from crosswire.nic.memory.struct import size_of, view
from crosswire.nic.unit.compile import compiled
from crosswire.venues.book.book import clear_book, is_beyond, level_lots, sees_best, set_level
from crosswire.venues.deribit.feed.state import STASH_MAX, DeribitFeed, Progress, Proof, SnapshotMode
from crosswire.venues.deribit.wire.layout import Book as BookMessage
from crosswire.venues.deribit.wire.layout import BookChange, BookChangeEntry, BookSide, LevelEntry, Snapshot, YesNo
from crosswire.venues.deribit.wire.walk import (
    BAD,
    named_instrument,
    prove_instrument,
    to_lots,
    to_nanoseconds,
    to_units,
)
from crosswire.venues.feed import Reject, note_restart, reject
from crosswire.venues.instrument import Instrument, Kind
from crosswire.venues.market import MAP_INSTRUMENTS_MAX, Events, Market, publish_proof
from crosswire.venues.side import ASK, BID

SEQUENCE_MASK = (1 << 32) - 1


@compiled
def publish(feed: DeribitFeed, market: Market, events: Events, index: int) -> None:
    """Make the book valid or not, as it is proven, and tell."""
    proof = feed.proofs[index]
    is_proven = (
        proof.progress == Progress.PROVEN
        and proof.is_halted == 0
        and proof.is_open == 0
        and sees_best(market.books[index])
    )
    publish_proof(proof, is_proven, market, events, index, feed.last_exchange_time_ns)


@compiled
def lose_chain(feed: DeribitFeed, market: Market, events: Events, index: int) -> None:
    """Wait for a snapshot: the levels can't be trusted any more."""
    proof = feed.proofs[index]
    proof.progress = Progress.LOST
    proof.is_open = 0
    proof.is_ahead = 0
    publish(feed, market, events, index)


@compiled
def suspect_channel(feed: DeribitFeed, market: Market, events: Events) -> int:
    """Suspect the books of the channel at hand: packets were missed, or one could not be read to its end. How many.

    An instrument whose channel is not known yet may be on any. Snapshot channels carry no changes, and the parts of a
    snapshot check that none is missing by themselves.
    """
    channel = feed.channels[feed.channel]
    count = 0
    if channel.is_snapshot != 0:
        return count
    for index in range(min(market.count, MAP_INSTRUMENTS_MAX)):
        proof = feed.proofs[index]
        if proof.progress != Progress.PROVEN or market.instruments[index].venue != feed.venue:
            continue
        if proof.channel_key == 0 or proof.channel_key == channel.key:
            # With half a change applied, a chain that goes on no longer proves that nothing is missing.
            count += 1 if market.books[index].valid != 0 else 0
            proof.progress = Progress.SUSPECT if proof.is_open == 0 else Progress.LOST
            publish(feed, market, events, index)
    return count


@compiled
def set_trading_state(feed: DeribitFeed, market: Market, events: Events, index: int, is_halted: int) -> None:
    """Note whether the instrument trades, as the venue says; its book is kept up either way."""
    proof = feed.proofs[index]
    if proof.is_halted != is_halted:
        proof.is_halted = is_halted
        publish(feed, market, events, index)


@compiled
def to_side(side: int) -> int:
    """Convert a wire `BookSide`, or BAD."""
    if side == BookSide.BID:
        return BID
    return ASK if side == BookSide.ASK else BAD


@compiled
def to_price_ticks(instrument: Instrument, price: float) -> int:
    """Convert to ticks, or BAD. Only the price of a combination, a difference of prices, can be zero or less."""
    ticks = to_units(price, instrument.ticks_per_unit)
    return BAD if ticks <= 0 and instrument.kind != Kind.COMBO else ticks


@compiled
def to_qty_lots(feed: DeribitFeed, instrument: Instrument, amount: float) -> int:
    """Convert to lots, 0 for a fraction of one (`to_lots`); BAD if the amount is 0 or less."""
    return to_lots(feed, amount, instrument.lots_per_unit) if amount > 0.0 else BAD


@compiled
def to_changed_lots(feed: DeribitFeed, instrument: Instrument, change: BookChangeEntry) -> int:
    """Convert to what rests at the price after the change, or BAD."""
    if change.change == BookChange.DELETED:
        return 0
    if change.change > BookChange.DELETED:
        return BAD
    return to_qty_lots(feed, instrument, change.amount)


@compiled
def read_book(feed: DeribitFeed, market: Market, events: Events) -> bool:
    """Read a Book message; False ends the packet: one that lacks fields does not say which book it changes."""
    index = prove_instrument(feed, size_of(BookMessage), size_of(BookChangeEntry))
    if index == BAD:
        index = named_instrument(feed)
        if index >= 0:
            lose_chain(feed, market, events, index)
        return index != BAD
    if index < 0:
        return True
    message = view(BookMessage, feed.block.root)
    proof = feed.proofs[index]
    proof.channel_key = feed.channels[feed.channel].key
    time_ns = to_nanoseconds(message.timestamp_ms)
    if time_ns == BAD or message.prev_change_id < 0 or message.change_id <= message.prev_change_id:
        # The ids of the captured feed only grow; all ones is null.
        reject(feed, Reject.BAD_VALUE)
        lose_chain(feed, market, events, index)
        return True
    feed.last_exchange_time_ns = time_ns
    if proof.progress == Progress.NEW and message.prev_change_id == 0:
        clear_book(market.books[index])
        proof.progress = Progress.PROVEN
    if proof.progress >= Progress.SUSPECT:
        if continues_book(proof, market.books[index].update_id, message.prev_change_id, message.change_id):
            apply_changes(feed, market, events, index, message, time_ns)
            return True
        if proof.is_ahead != 0 and message.change_id <= market.books[index].update_id:
            return True
        feed.continuity_breaks += 1
        lose_chain(feed, market, events, index)
    stash_changes(feed, market, index, message, time_ns)
    return True


@compiled
def continues_book(proof: Proof, update_id: int, prev_change_id: int, change_id: int) -> bool:
    """Tell whether a change follows the book's last one, or is the next message of a change not yet complete."""
    return prev_change_id == update_id or (proof.is_open != 0 and change_id == update_id)


@compiled
def apply_changes(
    feed: DeribitFeed, market: Market, events: Events, index: int, message: BookMessage, time_ns: int
) -> None:
    """Apply a Book message that continues the book; the book is lost if a change can't be believed."""
    instrument = market.instruments[index]
    book = market.books[index]
    proof = feed.proofs[index]
    address = feed.entries.first
    stride = feed.entries.stride
    count = feed.entries.count
    for _ in range(count):
        change = view(BookChangeEntry, address)
        address += stride
        side = to_side(change.side)
        ticks = to_price_ticks(instrument, change.price)
        lots = to_changed_lots(feed, instrument, change)
        if side == BAD or ticks == BAD or lots == BAD:
            reject(feed, Reject.BAD_VALUE)
            lose_chain(feed, market, events, index)
            return
        if not set_level(book, side, ticks, lots):
            reject(feed, Reject.BOOK_FULL)
            lose_chain(feed, market, events, index)
            return
    feed.level_updates += count
    book.update_id = message.change_id
    book.exchange_time_ns = time_ns
    book.receive_time_ns = feed.time_ns
    proof.progress = Progress.PROVEN
    proof.is_ahead = 0
    proof.is_open = 1 if message.is_last == YesNo.NO else 0
    publish(feed, market, events, index)


@compiled
def stash_changes(feed: DeribitFeed, market: Market, index: int, message: BookMessage, time_ns: int) -> None:
    """Keep a Book message until its book's next snapshot. One with a bad value is not kept: the chain will tell."""
    instrument = market.instruments[index]
    proof = feed.proofs[index]
    start = feed.stash_next
    for position in range(max(feed.entries.count, 1)):
        stashed = feed.stash[feed.stash_next % STASH_MAX]
        stashed.side = BID
        stashed.price_ticks = 0
        stashed.qty_lots = -1
        if feed.entries.count != 0:
            change = view(BookChangeEntry, feed.entries.first + position * feed.entries.stride)
            stashed.side = to_side(change.side)
            stashed.price_ticks = to_price_ticks(instrument, change.price)
            stashed.qty_lots = to_changed_lots(feed, instrument, change)
            if stashed.side == BAD or stashed.price_ticks == BAD or stashed.qty_lots == BAD:
                reject(feed, Reject.BAD_VALUE)
                for written in range(start, feed.stash_next + 1):
                    feed.stash[written % STASH_MAX].key = 0
                feed.stash_next = start
                return
        stashed.key = index + 1
        stashed.prev_change_id = message.prev_change_id
        stashed.change_id = message.change_id
        stashed.exchange_time_ns = time_ns
        stashed.receive_time_ns = feed.time_ns
        stashed.is_first = 1 if position == 0 else 0
        stashed.is_last = 0 if message.is_last == YesNo.NO else 1
        feed.stash_next += 1
    proof.stashed += feed.stash_next - start


@compiled
def apply_stash(feed: DeribitFeed, market: Market, index: int) -> None:
    """Bring a book that was just loaded up to date. It is lost again if the stashed changes do not continue it."""
    proof = feed.proofs[index]
    book = market.books[index]
    snapshot_id = book.update_id
    found = 0
    fails = 0
    if proof.stashed != 0:
        for place in range(max(0, feed.stash_next - STASH_MAX), feed.stash_next):
            stashed = feed.stash[place % STASH_MAX]
            if stashed.key != index + 1:
                continue
            stashed.key = 0
            found += 1
            if fails != 0 or stashed.change_id <= snapshot_id:
                continue
            if stashed.is_first != 0:
                if not continues_book(proof, book.update_id, stashed.prev_change_id, stashed.change_id):
                    fails = 1
                    continue
                book.update_id = stashed.change_id
                proof.is_ahead = 0
            elif stashed.change_id != book.update_id:
                fails = 1
                continue
            book.exchange_time_ns = stashed.exchange_time_ns
            book.receive_time_ns = stashed.receive_time_ns
            proof.is_open = 1 - stashed.is_last
            if stashed.qty_lots >= 0:
                if not set_level(book, stashed.side, stashed.price_ticks, stashed.qty_lots):
                    reject(feed, Reject.BOOK_FULL)
                    fails = 1
                feed.level_updates += 1
    if fails != 0:
        proof.progress = Progress.LOST
        proof.is_open = 0
        if found < proof.stashed:
            feed.stash_overflows += 1
        else:
            feed.continuity_breaks += 1
    proof.stashed = 0


@compiled
def read_snapshot(feed: DeribitFeed, market: Market, events: Events) -> bool:
    """Read one part of a snapshot; False ends the packet."""
    index = prove_instrument(feed, size_of(Snapshot), size_of(LevelEntry))
    if index == BAD:
        index = named_instrument(feed)
        if index >= 0:
            drop_snapshot(feed.proofs[index])
        return index != BAD
    if index < 0:
        return True
    message = view(Snapshot, feed.block.root)
    time_ns = to_nanoseconds(message.timestamp_ms)
    if time_ns == BAD or message.change_id < 0:
        reject(feed, Reject.BAD_VALUE)
        return True
    proof = feed.proofs[index]
    is_whole = 0
    if message.is_book_complete == YesNo.NO:
        feed.snapshots_incomplete += 1
        return True
    if not continues_snapshot(feed, proof, message):
        if feed.is_resumed != 0:
            # The part before this one may have been in a packet that was missed: nothing marks a first part.
            feed.snapshots_incomplete += 1
            return True
        is_whole = 0 if message.is_last_in_book == YesNo.NO else 1
        begin_snapshot(feed, market, index, message)
    take_part(feed, market, index, message)
    if message.is_last_in_book == YesNo.NO:
        proof.snapshot_channel = feed.channels[feed.channel].key
        proof.snapshot_sequence = feed.sequence
    else:
        end_snapshot(feed, market, events, index, message, is_whole)
    if proof.progress == Progress.LOADING or proof.progress == Progress.LOST:
        publish(feed, market, events, index)
    return True


@compiled
def continues_snapshot(feed: DeribitFeed, proof: Proof, message: Snapshot) -> bool:
    """Tell whether this is the next part of the snapshot that is arriving: none can be missing between them."""
    if proof.snapshot_mode == SnapshotMode.NONE or proof.snapshot_id != message.change_id:
        return False
    if proof.snapshot_channel != feed.channels[feed.channel].key:
        return False
    return ((feed.sequence - proof.snapshot_sequence) & SEQUENCE_MASK) <= 1


@compiled
def begin_snapshot(feed: DeribitFeed, market: Market, index: int, message: Snapshot) -> None:
    """Decide what to do with a new snapshot."""
    proof = feed.proofs[index]
    book = market.books[index]
    proof.snapshot_id = message.change_id
    proof.snapshot_bids = 0
    proof.snapshot_asks = 0
    proof.snapshot_differs = 0
    proof.snapshot_mode = SnapshotMode.LOAD
    if proof.progress >= Progress.SUSPECT:
        if message.change_id == book.update_id:
            proof.snapshot_mode = SnapshotMode.CHECK if proof.is_open == 0 else SnapshotMode.SKIP
        elif message.change_id < book.update_id:
            if book.update_id == proof.settled_id:
                note_restart(feed, 1 if book.valid != 0 else 0)
            else:
                feed.snapshots_behind += 1
                proof.snapshot_mode = SnapshotMode.SKIP
    if proof.snapshot_mode == SnapshotMode.LOAD:
        begin_load(feed, market, index)


@compiled
def begin_load(feed: DeribitFeed, market: Market, index: int) -> None:
    clear_book(market.books[index])
    proof = feed.proofs[index]
    proof.progress = Progress.LOADING
    proof.is_open = 0
    proof.snapshot_mode = SnapshotMode.LOAD


@compiled
def take_part(feed: DeribitFeed, market: Market, index: int, message: Snapshot) -> None:
    """Load or compare the levels of one part."""
    instrument = market.instruments[index]
    book = market.books[index]
    proof = feed.proofs[index]
    if proof.snapshot_mode == SnapshotMode.CHECK and message.change_id != book.update_id:
        proof.snapshot_mode = SnapshotMode.SKIP
    for position in range(feed.entries.count):
        if proof.snapshot_mode == SnapshotMode.SKIP:
            return
        level = view(LevelEntry, feed.entries.first + position * feed.entries.stride)
        side = to_side(level.side)
        ticks = to_price_ticks(instrument, level.price)
        lots = to_qty_lots(feed, instrument, level.amount)
        if side == BAD or ticks == BAD or lots == BAD:
            reject(feed, Reject.BAD_VALUE)
            drop_snapshot(proof)
        elif proof.snapshot_mode == SnapshotMode.CHECK:
            if lots == 0 or is_beyond(book, side, ticks):
                continue  # a level that the book does not keep
            proof.snapshot_bids += 1 if side == BID else 0
            proof.snapshot_asks += 1 if side == ASK else 0
            if level_lots(book, side, ticks) != lots:
                proof.snapshot_differs = 1
        elif set_level(book, side, ticks, lots):
            feed.level_updates += 1
        else:
            reject(feed, Reject.BOOK_FULL)
            drop_snapshot(proof)


@compiled
def drop_snapshot(proof: Proof) -> None:
    """Drop a snapshot that can't be used; a book that it was going into waits for another."""
    if proof.snapshot_mode == SnapshotMode.LOAD:
        proof.progress = Progress.LOST
    proof.snapshot_mode = SnapshotMode.SKIP


@compiled
def end_snapshot(
    feed: DeribitFeed, market: Market, events: Events, index: int, message: Snapshot, is_whole: int
) -> None:
    """Settle after the last part of a snapshot. `is_whole`: it was also the first."""
    book = market.books[index]
    proof = feed.proofs[index]
    if proof.snapshot_mode == SnapshotMode.CHECK:
        is_equal = proof.snapshot_bids == book.bid_levels and proof.snapshot_asks == book.ask_levels
        if is_equal and proof.snapshot_differs == 0:
            feed.snapshots_agreed += 1
            if proof.progress == Progress.SUSPECT:
                proof.progress = Progress.PROVEN
                publish(feed, market, events, index)
        else:
            feed.snapshots_disagreed += 1
            proof.progress = Progress.LOST
            if is_whole != 0:
                begin_load(feed, market, index)
                take_part(feed, market, index, message)
    if proof.snapshot_mode == SnapshotMode.LOAD:
        feed.snapshots_loaded += 1
        book.update_id = message.change_id
        book.exchange_time_ns = to_nanoseconds(message.timestamp_ms)
        book.receive_time_ns = feed.time_ns
        proof.progress = Progress.PROVEN
        proof.is_ahead = 1
        apply_stash(feed, market, index)
        publish(feed, market, events, index)
    proof.settled_id = book.update_id
    proof.snapshot_mode = SnapshotMode.NONE
