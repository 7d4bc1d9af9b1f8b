"""Recordings made of a few messages, imported, and what their captures then say."""

import ctypes
import json
import struct
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

from crosswire.nic.capture.format import PcapHeader, RecordHeader
from crosswire.nic.memory.struct import array, size_of, u8, view
from crosswire.nic.packet import UDP_FRAME_HEADER_BYTES, Packet
from crosswire.nic.rings.replay import read_frames
from crosswire.nic.unit.compile import compiled
from crosswire.venues.book.book import Book, level_lots, make_books
from crosswire.venues.bridge.binance.importer import ImportOptions, ImportSummary, import_file
from crosswire.venues.bridge.feed import BridgeFeed
from crosswire.venues.feed import decode
from crosswire.venues.instrument import Instrument
from crosswire.venues.market import Events, clear_events
from crosswire.venues.market import Market as Books
from crosswire.venues.side import ASK, BID

T0 = 1_723_161_258_000_000_000
Sides = tuple[dict[int, int], dict[int, int]]


@compiled
def drain(address: int, end: int, packet: Packet, feed: BridgeFeed, market: Books, events: Events) -> int:
    """Decode every record of a capture in memory."""
    while address < end:
        record = view(RecordHeader, address)
        frame = address + size_of(RecordHeader)
        packet.payload_address = frame + UDP_FRAME_HEADER_BYTES
        packet.payload_length = record.captured_length - UDP_FRAME_HEADER_BYTES
        packet.time_ns = record.seconds * 1_000_000_000 + record.fraction
        clear_events(events, market)
        decode(feed, packet, market, events)
        address = frame + record.captured_length
    return address


def decoded(*captures: Path) -> tuple[BridgeFeed, Books]:
    """The feed and the book that captures, one after another, leave behind."""
    data = b"".join(capture.read_bytes()[size_of(PcapHeader) :] for capture in captures)
    memory = array(u8, len(data) + 1)
    ctypes.memmove(memory.address, data, len(data))
    feed, market = BridgeFeed(discover=1), Books(capacity=1)
    market.instruments, market.books = Instrument.array(1), make_books(1, 20_000)
    end = memory.address + len(data)
    assert drain(memory.address, end, Packet(), feed, market, Events()) == end
    return feed, market


def exactly(value: Decimal) -> int:
    assert value == int(value)
    return int(value)


def assert_same_book(book: Book, expected: Sides) -> None:
    """Level by level; with the counts equal too there can be no level more."""
    assert book.valid == 1
    assert (book.bid_levels, book.ask_levels) == (len(expected[0]), len(expected[1]))
    for side, levels in ((BID, expected[0]), (ASK, expected[1])):
        assert {price: level_lots(book, side, price) for price in levels} == levels


def depth(first: int, last: int, bids: Any = (), asks: Any = (), previous: int | None = None) -> dict[str, Any]:
    message = {"e": "depthUpdate", "E": 1_723_161_257_440, "s": "BTCUSDT", "U": first, "u": last}
    if previous is not None:
        message |= {"T": 1_723_161_257_432, "pu": previous}
    return {"stream": "btcusdt@depth", "data": message | {"b": [list(b) for b in bids], "a": [list(a) for a in asks]}}


def rest(last: int, bids: Any = (), asks: Any = ()) -> dict[str, Any]:
    return {"lastUpdateId": last, "bids": [list(b) for b in bids], "asks": [list(a) for a in asks]}


def recorded(path: Path, *messages: Any) -> Path:
    """A recording of these messages, a microsecond apart; a text stands as it is."""
    lines = []
    for number, message in enumerate(messages):
        text = message if isinstance(message, str) else json.dumps(message, separators=(",", ":"))
        lines.append(f"{T0 + number * 1000} {text}\n")
    path.write_text("".join(lines))
    return path


def imported(tmp_path: Path, *messages: Any, **settings: Any) -> tuple[ImportSummary, BridgeFeed, Book]:
    summary = import_file(recorded(tmp_path / "in.txt", *messages), tmp_path / "out.pcap", ImportOptions(**settings))
    feed, market = decoded(summary.output)
    return summary, feed, market.books[0]


def best(book: Book) -> tuple[tuple[int, int], tuple[int, int]]:
    """Best bid and ask of a book's levels, as (ticks, lots); the book must be valid."""
    assert book.valid == 1
    sides = (BID, book.level_bid_ticks), (ASK, book.level_ask_ticks)
    (bid, ask) = ((ticks, level_lots(book, side, ticks)) for side, ticks in sides)
    return bid, ask


def mark_prices_in(payloads: Iterable[bytes]) -> list[tuple[int, ...]]:
    """The mark prices among UDP payloads of one message each, field by field, by the layout as it is documented."""
    marks = [payload[32:] for payload in payloads if payload[26:28] == b"\7\0"]
    return [struct.unpack("<IQqqqQ", mark) for mark in marks]


def mark_prices(capture: Path) -> list[tuple[int, ...]]:
    """The mark prices in a capture."""
    return mark_prices_in(frame[UDP_FRAME_HEADER_BYTES:] for _, frame in read_frames([capture]))


def header_times(capture: Path) -> list[int]:
    """The times of a capture's records, ns."""
    data, times, position = capture.read_bytes(), [], size_of(PcapHeader)
    while position < len(data):
        seconds, fraction, length, _ = (
            int.from_bytes(data[position + at : position + at + 4], "little") for at in (0, 4, 8, 12)
        )
        times.append(seconds * 10**9 + fraction)
        position += size_of(RecordHeader) + length
    return times
