"""The feed contract: one packet in, books up to date, events out.

A gap invalidates the books that it may touch until recovery proves them again; nobody trades on an invalid book.
"""

from enum import IntEnum
from typing import Annotated

from crosswire.nic.memory.struct import Array, Struct, i64
from crosswire.nic.packet import Packet
from crosswire.nic.unit.compile import generic, inlined, outlined
from crosswire.nic.unit.unit import Entry, Unit
from crosswire.venues.lines import Lines
from crosswire.venues.market import Events, InstrumentMap, Market, find_again

TEMPLATES_MAX = 32  # message kinds of one feed, counted by their place in its layout table


class Reject(IntEnum):
    """Why something that a packet says was not believed. Index into `Feed.rejects`; what each costs is in `COSTS`."""

    SHORT_PACKET = 0  # no room for the packet header
    LENGTH_MISMATCH = 1  # the packet header's length is not the payload's
    SHORT_MESSAGE = 2  # no room for a message header
    UNKNOWN_SCHEMA = 3
    UNKNOWN_TEMPLATE = 4  # a kind that the layout does not list: from a newer version
    SHORT_BLOCK = 5  # a root block smaller than the fields that are read
    BLOCK_OVERRUN = 6  # a root block past the end of the packet
    GROUP_OVERRUN = 7  # a group or its entries past the end of the packet
    SHORT_ENTRY = 8  # group entries smaller than the fields that are read
    TEXT_OVERRUN = 9  # a variable text past the end of the packet
    BAD_VALUE = 10  # what the venue can't mean: a side, price or size off the tick or out of range, a crossed book
    UNKNOWN_CHANNEL = 11  # more channels than the feed has room for
    BOOK_FULL = 12  # a level that the book has no room for, or the best one is beyond those that it had to let go
    UNKNOWN_INSTRUMENT = 13  # counted, not an error: an instrument that nobody configured


class Cost(IntEnum):
    """What is lost with something that was not believed. A feed takes no more than this, and no less."""

    NOTHING = 0  # it is stepped over
    BOOK = 1  # the book that it is about, until it is proven again
    CHANNEL = 2  # as a gap: every book that what can't be read may have changed
    PACKET = 3  # the packet, before its number was taken: if that was its only copy, a gap shows it


# By reason: what it costs in a message that changes a book, and in any other. A channel is lost only where it can't be
# told what the message is about, or where the next one begins.
COSTS: dict[Reject, tuple[Cost, Cost]] = {
    Reject.SHORT_PACKET: (Cost.PACKET, Cost.PACKET),
    Reject.LENGTH_MISMATCH: (Cost.PACKET, Cost.PACKET),
    Reject.SHORT_MESSAGE: (Cost.CHANNEL, Cost.CHANNEL),
    Reject.UNKNOWN_SCHEMA: (Cost.CHANNEL, Cost.CHANNEL),
    Reject.UNKNOWN_TEMPLATE: (Cost.NOTHING, Cost.NOTHING),
    Reject.SHORT_BLOCK: (Cost.BOOK, Cost.NOTHING),
    Reject.BLOCK_OVERRUN: (Cost.CHANNEL, Cost.CHANNEL),
    Reject.GROUP_OVERRUN: (Cost.CHANNEL, Cost.CHANNEL),
    Reject.SHORT_ENTRY: (Cost.BOOK, Cost.NOTHING),
    Reject.TEXT_OVERRUN: (Cost.CHANNEL, Cost.CHANNEL),
    Reject.BAD_VALUE: (Cost.BOOK, Cost.NOTHING),
    Reject.UNKNOWN_CHANNEL: (Cost.PACKET, Cost.PACKET),
    Reject.BOOK_FULL: (Cost.BOOK, Cost.NOTHING),
    Reject.UNKNOWN_INSTRUMENT: (Cost.NOTHING, Cost.NOTHING),
}


class Feed(Struct):
    """State that every feed has; a venue's feed class adds its own."""

    venue: i64  # index of the venue
    discover: i64  # 1: take up every instrument that the wire defines (inspect); 0: only the configured ones
    ignores_definitions: i64  # 1: an instrument is as configured, whatever the wire says of its terms
    time_ns: i64  # receive time of the packet at hand
    packets: i64
    messages: Annotated[Array, i64, TEMPLATES_MAX]  # by place in the venue's layout table
    rejects: Annotated[Array, i64, len(Reject)]  # by `Reject`
    first_rejects_ns: Annotated[Array, i64, len(Reject)]  # when the first was, by `Reject`; 0: none was
    sizes_rounded: i64  # sizes that were no whole number of lots, rounded down
    first_rounded_ns: i64
    restarts: i64  # sequences that began anew: a publisher that restarted, or counts by the day
    restart_losses: i64  # books that were valid before one and not after it
    first_restart_loss_ns: i64
    level_updates: i64  # level changes applied to books, snapshots included
    sequence_gaps: i64  # missing packets seen on any channel
    duplicates: i64  # packets at or before the channel's last sequence: an A/B copy, or late
    continuity_breaks: i64  # book chains broken
    definition_mismatches: i64  # wire definitions that contradict the configuration
    first_mismatch_ns: i64
    last_exchange_time_ns: i64
    map: InstrumentMap
    lines: Lines


@outlined
def reject(feed: Feed, reason: int) -> bool:
    """Count why something was not believed; False, which as an address is none, for the caller to return."""
    if feed.rejects[reason] == 0:
        feed.first_rejects_ns[reason] = feed.time_ns
    feed.rejects[reason] += 1
    return False


@outlined
def note_rounded(feed: Feed) -> None:
    """Count a size that was no whole number of lots. Nobody can trade the fraction, so it is left off."""
    if feed.sizes_rounded == 0:
        feed.first_rounded_ns = feed.time_ns
    feed.sizes_rounded += 1


@outlined
def note_mismatch(feed: Feed) -> None:
    """Count a definition that contradicts the configuration."""
    if feed.definition_mismatches == 0:
        feed.first_mismatch_ns = feed.time_ns
    feed.definition_mismatches += 1


@outlined
def note_restart(feed: Feed, books_lost: int) -> None:
    """Count a sequence that began anew, and the valid books that it cost."""
    feed.restarts += 1
    if books_lost != 0 and feed.restart_losses == 0:
        feed.first_restart_loss_ns = feed.time_ns
    feed.restart_losses += books_lost


@inlined
def known_instrument(feed: Feed, venue_id: int) -> int:
    """Find the market index of a venue's instrument id; -1, and counted, if nobody configured it."""
    index = find_again(feed.map, venue_id)
    if index < 0:
        reject(feed, Reject.UNKNOWN_INSTRUMENT)
    return index


@generic
def decode(feed: Feed, packet: Packet, market: Market, events: Events) -> None:
    """Walk one UDP payload: sequence check, messages, book updates, trades, definitions; fill `events`.

    The caller cleared `events`. Bytes outside the payload are never read; what can't be believed is counted in
    `feed.rejects`, and costs what `COSTS` says.
    """


@generic
def copy_feed(feed: Feed, source: Feed, market: Market) -> None:
    """Bring `feed` to where `source` is, which reads the same wire; `market` is either's.

    A simulated exchange needs it to share the engine's books, for each order: so it should copy what there is, and not
    all that there is room for. A feed that does not register it has its packets decoded twice in a backtest.
    """


def feed_unit(cls: type[Feed]) -> Unit:
    """Describe the unit of feeds of this class: for a venue's unit and the simulated exchange."""
    entries = [Entry("decode", decode.implementation_for(cls), (cls, Packet, Market, Events))]
    if copy_feed.is_registered(cls):
        entries.append(Entry("copy_feed", copy_feed.implementation_for(cls), (cls, cls, Market)))
    return Unit(f"feed-{cls.__name__}", tuple(entries))
