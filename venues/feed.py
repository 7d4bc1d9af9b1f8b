"""The feed contract: one packet in, books up to date, events out.

A gap invalidates the books that it may touch until recovery proves them again; nobody trades on an invalid book.
"""

from enum import IntEnum
from typing import Annotated

from crosswire.nic.memory.struct import Array, Struct, i64
from crosswire.nic.packet import Packet
from crosswire.nic.unit.compile import compiled, generic
from crosswire.nic.unit.unit import Entry, Unit
from crosswire.venues.market import Events, InstrumentMap, Market, find_instrument

TEMPLATES_MAX = 32  # message kinds of one feed, counted by their place in its layout table


class Reject(IntEnum):
    """Why a packet, or the rest of it, was not believed. Index into `Feed.rejects`."""

    SHORT_PACKET = 0  # no room for the packet header
    LENGTH_MISMATCH = 1  # the packet header's length is not the payload's
    SHORT_MESSAGE = 2  # no room for a message header
    UNKNOWN_SCHEMA = 3
    UNKNOWN_TEMPLATE = 4  # a kind that the layout does not list; skipped by its block length where it can be
    SHORT_BLOCK = 5  # a root block smaller than the fields that are read
    BLOCK_OVERRUN = 6  # a root block past the end of the packet
    GROUP_OVERRUN = 7  # a group or its entries past the end of the packet
    SHORT_ENTRY = 8  # group entries smaller than the fields that are read
    TEXT_OVERRUN = 9  # a variable text past the end of the packet
    BAD_VALUE = 10  # a side, price or size that the venue can't mean: off the tick, negative, out of range
    UNKNOWN_CHANNEL = 11  # more channels than the feed has room for
    BOOK_FULL = 12  # a level that the book has no room for; the book is lost
    UNKNOWN_INSTRUMENT = 13  # counted, not an error: an instrument that nobody configured


class Feed(Struct):
    """State that every feed has; a venue's feed class adds its own."""

    venue: i64  # index of the venue
    discover: i64  # 1: take up every instrument that the wire defines (inspect); 0: only the configured ones
    packets: i64
    messages: Annotated[Array, i64, TEMPLATES_MAX]  # by place in the venue's layout table
    rejects: Annotated[Array, i64, len(Reject)]  # by `Reject`
    level_updates: i64  # level changes applied to books, snapshots included
    sequence_gaps: i64  # missing packets seen on any channel
    duplicates: i64  # packets at or before the channel's last sequence: an A/B copy, or late
    continuity_breaks: i64  # book chains broken
    definition_mismatches: i64  # wire definitions that contradict the configuration
    last_exchange_time_ns: i64
    map: InstrumentMap


@compiled
def reject(feed: Feed, reason: int) -> bool:
    """Count why something was not believed; False, which as an address is none, for the caller to return."""
    feed.rejects[reason] += 1
    return False


@compiled
def known_instrument(feed: Feed, venue_id: int) -> int:
    """Find the market index of a venue's instrument id; -1, and counted, if nobody configured it."""
    index = find_instrument(feed.map, venue_id)
    if index < 0:
        feed.rejects[Reject.UNKNOWN_INSTRUMENT] += 1
    return index


@generic
def decode(feed: Feed, packet: Packet, market: Market, events: Events) -> None:
    """Walk one UDP payload: sequence check, messages, book updates, trades, definitions; fill `events`.

    The caller cleared `events`. Bytes outside the payload are never read; what can't be believed is counted in
    `feed.rejects` and ends the packet.
    """


def feed_unit(cls: type[Feed]) -> Unit:
    """Describe the unit of feeds of this class: its entry `decode`, for a venue's unit and the simulated exchange."""
    entry = Entry("decode", decode.implementation_for(cls), (cls, Packet, Market, Events))
    return Unit(f"feed-{cls.__name__}", (entry,))
