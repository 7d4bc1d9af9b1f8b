"""What the feeds keep up to date: instruments and books side by side, and the events of one packet.

An instrument is known by its index here; `InstrumentMap` translates a venue's own ids.
"""

from typing import Annotated

from crosswire.nic.memory.raw import copy_bytes, hash_bits
from crosswire.nic.memory.struct import Array, Pointer, Struct, address_of, array, i64
from crosswire.nic.unit.compile import compiled, inlined, outlined
from crosswire.venues.book.book import Book, invalidate_book, refresh_top
from crosswire.venues.instrument import SYMBOL_BYTES, Instrument

EVENTS_MAX = 512  # a 9,000-byte frame holds at most 9,000 / 18 level changes, so at most as many events
MAP_BITS = 12
MAP_SLOTS = 1 << MAP_BITS  # twice MAP_INSTRUMENTS_MAX: a probe stays short
MAP_INSTRUMENTS_MAX = MAP_SLOTS // 2

BOOK_CHANGED = 1  # the top or the levels of a valid book changed; at most one event a book and packet
TRADE = 2
BOOK_LOST = 3  # the book became invalid: a gap, a halt, or a full table


class Event(Struct):
    """One thing that a packet said, in the order said; BOOK_CHANGED comes where the book was first changed."""

    kind: i64
    instrument: i64  # index in the market
    side: i64  # TRADE: of the aggressor
    price_ticks: i64  # TRADE
    qty_lots: i64  # TRADE
    exchange_time_ns: i64


class Events(Struct):
    """The events of one packet. `dropped` counts what did not fit; it is checked to stay zero."""

    count: i64
    dropped: i64
    items: Annotated[Array, Event, EVENTS_MAX]


class Market(Struct):
    """All instruments and their books, by index; both arrays have `capacity` entries, `count` are in use."""

    count: i64
    capacity: i64
    instruments: Annotated[Pointer, Instrument]
    books: Annotated[Pointer, Book]


def copy_instruments(market: Market, terms: Market) -> None:
    """Give `market` instruments of its own, equal to those of `terms`."""
    market.count = terms.count
    market.capacity = terms.capacity
    market.instruments = array(Instrument, terms.capacity)
    copy_bytes(address_of(market.instruments), address_of(terms.instruments), terms.capacity * Instrument.size)


class InstrumentMap(Struct):
    """A venue's instrument id -> market index; open addressing, ids are never removed. Slot: id + 1, or 0 if empty."""

    count: i64
    changes: i64  # times that something was put in: tables of one feed with equal ones are equal
    last_key: i64  # what `find_again` found last: id + 1, or 0 for nothing
    last_place: i64  # its market index + 1, or 0
    keys: Annotated[Array, i64, MAP_SLOTS]
    values: Annotated[Array, i64, MAP_SLOTS]


@inlined
def find_instrument(table: InstrumentMap, venue_id: int) -> int:
    """Find the market index of a venue's instrument id, -1 if unknown."""
    slot = hash_bits(venue_id, MAP_BITS)
    while table.keys[slot] != 0:
        if table.keys[slot] == venue_id + 1:
            return table.values[slot]
        slot = (slot + 1) & (MAP_SLOTS - 1)
    return -1


@inlined
def find_again(table: InstrumentMap, venue_id: int) -> int:
    """Do as `find_instrument`, quicker for the one found last: most messages in a row are of one instrument."""
    if table.last_key != venue_id + 1:
        index = find_instrument(table, venue_id)
        if index < 0:
            return -1
        table.last_key = venue_id + 1
        table.last_place = index + 1
    return table.last_place - 1


@compiled
def add_instrument(table: InstrumentMap, venue_id: int, index: int) -> bool:
    """Map `venue_id` to `index`, replacing what it mapped to; False when the table holds MAP_INSTRUMENTS_MAX ids."""
    slot = hash_bits(venue_id, MAP_BITS)
    while table.keys[slot] != 0 and table.keys[slot] != venue_id + 1:
        slot = (slot + 1) & (MAP_SLOTS - 1)
    if table.keys[slot] == 0:
        if table.count >= MAP_INSTRUMENTS_MAX:
            return False
        table.count += 1
        table.keys[slot] = venue_id + 1
    table.values[slot] = index
    table.changes += 1
    table.last_key = 0
    table.last_place = 0
    return True


@compiled
def learn_instrument(table: InstrumentMap, market: Market, venue: int, venue_id: int) -> int:
    """Do as `find_instrument`, but look for an id that the map lacks among the venue's own instruments."""
    index = find_instrument(table, venue_id)
    if index >= 0:
        return index
    for candidate in range(market.count):
        instrument = market.instruments[candidate]
        if instrument.venue == venue and instrument.venue_id == venue_id:
            add_instrument(table, venue_id, candidate)
            return candidate
    return -1


@compiled
def find_symbol(market: Market, venue: int, symbol: Array, length: int) -> int:
    """Find the market index of the instrument of `venue` whose symbol is these bytes, -1 if none."""
    if length > SYMBOL_BYTES:
        return -1
    for index in range(market.count):
        instrument = market.instruments[index]
        if instrument.venue == venue and same_symbol(instrument.symbol, symbol, length):
            return index
    return -1


@compiled
def same_symbol(own: Array, symbol: Array, length: int) -> bool:
    """Tell whether zero-padded `own` equals the first `length` bytes of `symbol` (perhaps zero-padded itself)."""
    for position in range(SYMBOL_BYTES):
        byte = symbol[position] if position < length else 0
        if own[position] != byte:
            return False
        if byte == 0:
            return True
    return True


@compiled
def clear_events(events: Events, market: Market) -> None:
    """Start a new packet."""
    for position in range(events.count):
        market.books[events.items[position].instrument].changed = 0
    events.count = 0


@inlined
def add_event(events: Events, kind: int, instrument: int, exchange_time_ns: int) -> Event:
    """Append an event and return it for the rest of its fields; when full, the last one is overwritten and counted."""
    if events.count < EVENTS_MAX:
        events.count += 1
    else:
        events.dropped += 1
    event = events.items[events.count - 1]
    event.kind = kind
    event.instrument = instrument
    event.exchange_time_ns = exchange_time_ns
    return event


@inlined
def book_changed(events: Events, market: Market, instrument: int, exchange_time_ns: int) -> None:
    """Note once per packet that a book changed."""
    book = market.books[instrument]
    if book.changed == 0:
        book.changed = 1
        add_event(events, BOOK_CHANGED, instrument, exchange_time_ns)


class BookProof(Struct):
    """What a feed that proves its books knows of each, beside the book itself; its own class adds the proof."""

    is_announced: i64  # the last event told that the book is valid


@inlined
def publish_proof(
    proof: BookProof, is_proven: bool, market: Market, events: Events, instrument: int, exchange_time_ns: int
) -> None:
    """Make the book valid or not, as it is proven, and tell what changed."""
    if is_proven:
        show_book(market, events, instrument)
        proof.is_announced = 1
    elif proof.is_announced != 0:
        lose_book(market, events, instrument, exchange_time_ns)
        proof.is_announced = 0
    else:
        invalidate_book(market.books[instrument])


@inlined
def show_book(market: Market, events: Events, instrument: int) -> None:
    """Make a book valid that is proven, and tell."""
    book = market.books[instrument]
    refresh_top(book)
    book.valid = 1
    book_changed(events, market, instrument, book.exchange_time_ns)


@outlined
def lose_book(market: Market, events: Events, instrument: int, exchange_time_ns: int) -> None:
    """Make a book invalid, and tell: nobody trades on it until it is proven again."""
    add_event(events, BOOK_LOST, instrument, exchange_time_ns)
    invalidate_book(market.books[instrument])


@compiled
def is_defined(market: Market, venue: int) -> bool:
    """Tell whether the feed has defined all instruments of a venue."""
    for index in range(market.count):
        if market.instruments[index].venue == venue and market.instruments[index].venue_id < 0:
            return False
    return True
