"""Acme's feed: a packet tells the whole best bid and ask of one instrument, numbered by one sequence."""

from typing import Annotated

from crosswire.nic.memory.struct import Array, Struct, i64, size_of, u8, u32, view
from crosswire.nic.packet import Packet
from crosswire.nic.unit.compile import compiled
from crosswire.venues.book.book import clear_book, refresh_top, set_level
from crosswire.venues.feed import Feed, Reject, decode
from crosswire.venues.layout import Message
from crosswire.venues.market import Events, Market, book_changed, find_symbol, lose_book
from crosswire.venues.side import ASK, BID

SYMBOL_LETTERS = 8
TOP = 1


class PacketHeader(Struct, packed=True):
    sequence: u32


class MessageHeader(Struct, packed=True):
    template_id: u8
    block_length: u8


class GroupHeader(Struct, packed=True):
    block_length: u8
    count: u8


class Top(Struct, packed=True):
    symbol: Annotated[Array, u8, SYMBOL_LETTERS]
    time_ns: i64
    bid_ticks: i64
    bid_size: i64  # in the venue's own units
    ask_ticks: i64
    ask_size: i64


MESSAGES = (Message("Top", TOP, Top),)
PACKET_BYTES = PacketHeader.size + MessageHeader.size + Top.size


class AcmeFeed(Feed):
    lots_per_unit: i64
    sequence: i64  # of the last packet


@decode.register(AcmeFeed)
def decode_acme(feed: AcmeFeed, packet: Packet, market: Market, events: Events) -> None:
    feed.packets += 1
    if packet.payload_length != PACKET_BYTES:
        feed.rejects[Reject.LENGTH_MISMATCH] += 1
        return
    header = view(PacketHeader, packet.payload_address)
    top = view(Top, packet.payload_address + size_of(PacketHeader) + size_of(MessageHeader))
    index = find_symbol(market, feed.venue, top.symbol, SYMBOL_LETTERS)
    if index < 0:
        feed.rejects[Reject.UNKNOWN_INSTRUMENT] += 1
        return
    if feed.sequence != 0 and header.sequence != feed.sequence + 1:
        feed.sequence_gaps += header.sequence - feed.sequence - 1
        lose_books(feed, market, events, top.time_ns)
    feed.sequence = header.sequence
    feed.messages[0] += 1
    market.instruments[index].venue_id = index
    book = market.books[index]
    clear_book(book)
    if top.bid_size < 0 or top.ask_size < 0 or top.bid_ticks >= top.ask_ticks:
        feed.rejects[Reject.BAD_VALUE] += 1
        return
    set_level(book, BID, top.bid_ticks, top.bid_size * feed.lots_per_unit)
    set_level(book, ASK, top.ask_ticks, top.ask_size * feed.lots_per_unit)
    feed.level_updates += 2
    book.valid = 1
    book.exchange_time_ns = top.time_ns
    book.receive_time_ns = packet.time_ns
    refresh_top(book)
    book_changed(events, market, index, top.time_ns)


@compiled
def lose_books(feed: AcmeFeed, market: Market, events: Events, time_ns: int) -> None:
    """Nobody trades on a book that something is missing of; the next packet of each proves it again."""
    for index in range(market.count):
        if market.instruments[index].venue == feed.venue and market.books[index].valid != 0:
            lose_book(market, events, index, time_ns)
