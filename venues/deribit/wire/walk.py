"""Proving that a message lies inside its packet, and turning the wire's doubles into ticks, lots and 1e-9 units."""

from crosswire.nic.duration import NS_PER_MS
from crosswire.nic.memory.raw import round_half_even
from crosswire.nic.memory.struct import size_of, view
from crosswire.nic.unit.compile import compiled
from crosswire.venues.deribit.feed.state import Block, DeribitFeed
from crosswire.venues.deribit.wire.layout import SCHEMA_ID, GroupHeader, InstrumentBlock, MessageHeader, TextHeader
from crosswire.venues.feed import Reject, known_instrument, note_rounded, reject
from crosswire.venues.market import find_instrument

BAD = -(1 << 62)  # what a conversion returns for a value that the venue can't mean
TIMESTAMP_MS_MAX = (1 << 62) // NS_PER_MS  # year 2116; perpetuals "expire" in 3000, past 2**63 ns

# A double holds every integer up to 2**53; beyond that "on the grid" means nothing.
UNITS_MAX = float(1 << 53)
# A correctly rounded decimal times the rounded inverse of the tick is off by at most 3 * 2**-53 of itself (three
# roundings). In the venue's sample capture no price or amount is off by more than 1.8e-16, that is 1.6 * 2**-53.
# 2**-44 leaves a venue that computes its prices 170 times that room, and still tells a tenth of a tick from
# rounding up to 2**40 ticks.
GRID_TOLERANCE = 1.0 / (1 << 44)


@compiled
def prove_message(feed: DeribitFeed, block: Block, address: int, end: int) -> int:
    """Fill `block` from the message at `address`; the address after it, or 0 if it does not lie inside the packet."""
    if address + size_of(MessageHeader) > end:
        return reject(feed, Reject.SHORT_MESSAGE)
    header = view(MessageHeader, address)
    if header.schema_id != SCHEMA_ID:
        return reject(feed, Reject.UNKNOWN_SCHEMA)
    block.template_id = header.template_id
    block.root = address + size_of(MessageHeader)
    block.root_length = header.block_length
    position = block.root + header.block_length
    if position > end:
        return reject(feed, Reject.BLOCK_OVERRUN)
    block.groups = position if header.group_count != 0 else 0
    for _ in range(header.group_count):
        if position + size_of(GroupHeader) > end:
            return reject(feed, Reject.GROUP_OVERRUN)
        group = view(GroupHeader, position)
        if group.group_count != 0 or group.text_count != 0:
            # The layout knows no groups within groups, so where this one ends can't be told.
            return reject(feed, Reject.UNKNOWN_TEMPLATE)
        position += size_of(GroupHeader) + group.block_length * group.entry_count
        if position > end:
            return reject(feed, Reject.GROUP_OVERRUN)
    block.texts = position if header.text_count != 0 else 0
    for _ in range(header.text_count):
        if position + size_of(TextHeader) > end:
            return reject(feed, Reject.TEXT_OVERRUN)
        position += size_of(TextHeader) + view(TextHeader, position).length
        if position > end:
            return reject(feed, Reject.TEXT_OVERRUN)
    return position


@compiled
def prove_block(feed: DeribitFeed, root_bytes: int, entry_bytes: int) -> bool:
    """Prove that the root block and the first group's entries have the fields that are read; False, counted, if not.

    Fills `feed.entries`; a message without a group has none. Whatever more there is, a newer version has added.
    """
    if feed.block.root_length < root_bytes:
        return reject(feed, Reject.SHORT_BLOCK)
    entries = feed.entries
    entries.count = 0
    if feed.block.groups == 0:
        return True
    group = view(GroupHeader, feed.block.groups)
    if group.entry_count != 0 and group.block_length < entry_bytes:
        return reject(feed, Reject.SHORT_ENTRY)
    entries.first = feed.block.groups + size_of(GroupHeader)
    entries.count = group.entry_count
    entries.stride = group.block_length
    return True


@compiled
def prove_instrument(feed: DeribitFeed, root_bytes: int, entry_bytes: int) -> int:
    """Prove a message about one instrument (`prove_block`); the market index, or -1.

    Below 0 it is not to be read: nobody configured the instrument, or it lacks fields (`named_instrument`).
    """
    if not prove_block(feed, root_bytes, entry_bytes):
        return BAD
    return known_instrument(feed, view(InstrumentBlock, feed.block.root).instrument_id)


@compiled
def named_instrument(feed: DeribitFeed) -> int:
    """The market index of the instrument that a message is about which lacks fields; -1: unknown, BAD: not told."""
    if feed.block.root_length < size_of(InstrumentBlock):
        return BAD
    return find_instrument(feed.map, view(InstrumentBlock, feed.block.root).instrument_id)


@compiled
def to_lots(feed: DeribitFeed, amount: float, lots_per_unit: float) -> int:
    """Convert a double to whole lots, rounded down and counted if there is a rest; BAD: negative, or beyond 2**53.

    An amount above 0 and below a lot is 0 lots.
    """
    lots = to_units(amount, lots_per_unit)
    if lots != BAD:
        return lots if lots >= 0 else BAD
    scaled = amount * lots_per_unit
    if not (0.0 <= scaled < UNITS_MAX):  # also NaN
        return BAD
    note_rounded(feed)
    return int(scaled)


@compiled
def to_units(value: float, units_per_one: float) -> int:
    """Convert a double to whole ticks, lots or 1e-9 units; BAD if it is none, not finite or beyond 2**53."""
    scaled = value * units_per_one
    if not (-UNITS_MAX < scaled < UNITS_MAX):  # also NaN
        return BAD
    units = round_half_even(scaled)
    if abs(scaled - units) > abs(scaled) * GRID_TOLERANCE:
        return BAD
    return units


@compiled
def to_nanoseconds(timestamp_ms: int) -> int:
    """Convert to ns since the epoch, or BAD."""
    if timestamp_ms < 0 or timestamp_ms > TIMESTAMP_MS_MAX:
        return BAD
    return timestamp_ms * NS_PER_MS
