"""What the tests of Deribit's feed share: a feed with all behind it, made-up channels, and a plain decoder."""

import hashlib
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from typing import Annotated, Any

from crosswire.nic.memory.struct import Array, Pointer, Struct, array, i64, u8
from crosswire.nic.packet import Packet
from crosswire.nic.rings.replay import read_frames
from crosswire.nic.unit.compile import compiled
from crosswire.venues.book.book import Book, level_lots, make_books
from crosswire.venues.deribit.feed.feed import DeribitFeed
from crosswire.venues.deribit.wire.encoder import (
    PacketWriter,
    add_change,
    add_level,
    begin_book,
    begin_snapshot,
    close_packet,
    open_packet,
    write_definition,
)
from crosswire.venues.deribit.wire.layout import BookChange
from crosswire.venues.feed import Reject, decode
from crosswire.venues.instrument import E9, Instrument, Kind, Payoff, set_text
from crosswire.venues.market import BOOK_CHANGED, BOOK_LOST, TRADE, Events, Market, clear_events
from crosswire.venues.side import ASK, BID
from tests.support.layouts import PublishedMessage, published
from tests.support.paths import recording

# Messages of each kind in CAPTURE, as published beside it.
SAMPLE_MESSAGES = {
    "ticker": 4211,
    "book": 1064,
    "price_index": 468,
    "trades": 332,
    "snapshot": 197,
    "instrument": 194,
    "instrument_v2": 194,
    "snapshot_start": 60,
    "snapshot_end": 60,
}

CAPTURE = "deribit/sample_capture_v1_6.pcapng"
HASH_MASK = (1 << 40) - 1
T0 = 1_700_000_000_000_000_000
MS = 1_000_000


class Record(Struct):
    payload: i64
    length: i64
    time_ns: i64


class Tally(Struct):
    """What the events said; `hash` covers every field of every one."""

    changed: i64
    lost: i64
    trades: i64
    hash: i64
    changed_invalid: i64  # BOOK_CHANGED of a book that is not valid at the end of its packet


class Wire(Struct):
    records: Annotated[Pointer, Record]
    order: Annotated[Pointer, i64]


@compiled
def tally_events(events: Events, market: Market, tally: Tally) -> None:
    for position in range(events.count):
        event = events.items[position]
        tally.changed += 1 if event.kind == BOOK_CHANGED else 0
        tally.lost += 1 if event.kind == BOOK_LOST else 0
        if event.kind == BOOK_CHANGED and market.books[event.instrument].valid == 0:
            tally.changed_invalid += 1
        facts = event.kind * 1000 + event.instrument
        if event.kind == TRADE:
            tally.trades += 1
            facts += event.side * 7 + event.price_ticks * 131 + event.qty_lots * 17
        tally.hash = (tally.hash * 31 + (facts & HASH_MASK) + event.exchange_time_ns % 1_000_003) & HASH_MASK


@compiled
def play(
    wire: Wire, first: int, count: int, feed: DeribitFeed, market: Market, events: Events, packet: Packet, tally: Tally
) -> None:
    for place in range(first, first + count):
        record = wire.records[wire.order[place]]
        packet.payload_address = record.payload
        packet.payload_length = record.length
        packet.time_ns = record.time_ns
        clear_events(events, market)
        decode(feed, packet, market, events)
        tally_events(events, market, tally)


class Receiver:
    """One feed with everything behind it."""

    def __init__(self, discover: int = 1, capacity: int = 96, levels: int = 256) -> None:
        self.feed = DeribitFeed(discover=discover)
        self.market = Market(capacity=capacity)
        self.market.instruments = Instrument.array(capacity)
        self.market.books = make_books(capacity, levels)
        self.events, self.packet, self.tally, self.wire = Events(), Packet(), Tally(), Wire()
        self.kept: list[Any] = []

    def play(self, packets: "Packets", order: Sequence[int]) -> None:
        order_array = array(i64, max(len(order), 1))
        order_array.numpy()[: len(order)] = order
        self.wire.records, self.wire.order = packets.records, order_array
        play(self.wire, 0, len(order), self.feed, self.market, self.events, self.packet, self.tally)

    def receive(self, payload: bytes, time_ns: int = T0) -> list[tuple[int, int]]:
        """One packet; its events as (kind, instrument)."""
        self.play(Packets([(time_ns, payload)]), [0])
        return [
            (self.events.items[place].kind, self.events.items[place].instrument) for place in range(self.events.count)
        ]

    def place(self, address: int, length: int, time_ns: int) -> None:
        """One packet from where it lies."""
        self.kept = [Packets([])]
        records = Record.array(1)
        record = records[0]
        record.payload, record.length, record.time_ns = address, length, time_ns
        order = array(i64, 1)
        self.wire.records, self.wire.order = records, order
        play(self.wire, 0, 1, self.feed, self.market, self.events, self.packet, self.tally)

    def index_of(self, symbol: str) -> int:
        names = [text(self.market.instruments[index].symbol) for index in range(self.market.count)]
        return names.index(symbol)

    def book(self, symbol: str) -> Book:
        book: Book = self.market.books[self.index_of(symbol)]
        return book

    def rejects(self) -> dict[str, int]:
        return {reason.name: self.feed.rejects[reason] for reason in Reject if self.feed.rejects[reason]}

    def digest(self) -> str:
        """Everything that matters, without addresses."""
        feed, count = self.feed, self.market.count
        parts = [bytes(part) for part in (feed.rejects, feed.messages, feed.channels, feed.proofs, feed.stash)]
        names = [name for name, item in DeribitFeed.fields.items() if item.is_scalar]
        parts.append(repr([getattr(feed, name) for name in names]).encode())
        books = [self.market.books[index] for index in range(count)]
        scalars = [name for name, item in Book.fields.items() if item.is_scalar]
        parts.append(repr([[getattr(book, name) for name in scalars] for book in books]).encode())
        parts.append(bytes(self.tally))
        parts += [bytes(self.market.instruments[index]) for index in range(count)]
        return hashlib.sha256(b"".join(parts)).hexdigest()


class Packets:
    """UDP payloads with their receive times, in memory that compiled code reads."""

    def __init__(self, packets: Sequence[tuple[int, bytes]]) -> None:
        self.payloads = [payload for _, payload in packets]
        content = b"".join(self.payloads)
        self.bytes = array(u8, max(len(content), 1))
        self.bytes.numpy()[: len(content)] = memoryview(content)
        self.records = Record.array(max(len(packets), 1))
        position = self.bytes.address
        for index, (time_ns, payload) in enumerate(packets):
            record = self.records[index]
            record.payload, record.length, record.time_ns = position, len(payload), time_ns
            position += len(payload)

    def __len__(self) -> int:
        return len(self.payloads)


def text(zero_padded: Array) -> str:
    return bytes(zero_padded).rstrip(b"\0").decode()


# The decoder of its own kind: formats from the published tables, dictionaries for books.


@dataclass
class PlainMessage:
    name: str
    root: dict[str, Any]
    entries: list[dict[str, Any]]
    texts: list[str]


@dataclass
class PlainBook:
    change_id: int
    sides: tuple[dict[float, float], dict[float, float]] = field(default_factory=lambda: ({}, {}))  # asks, bids

    def frozen(self) -> tuple[frozenset[tuple[float, float]], ...]:
        return tuple(frozenset(side.items()) for side in self.sides)


def plain_messages(layouts: dict[int, PublishedMessage], payload: bytes) -> Iterator[PlainMessage]:
    position = 8
    while position < len(payload):
        length, template, _, _, group_count, text_count = struct.unpack_from("<6H", payload, position)
        layout = layouts[template]
        position += 12
        root = layout.unpack(payload[position : position + length])
        position += length
        entries, texts = [], []
        for place in range(group_count):
            stride, count = struct.unpack_from("<HH", payload, position)
            position += 8
            for _ in range(count):
                entries.append(layout.groups[place].unpack(payload[position : position + stride]))
                position += stride
        for _ in range(text_count):
            texts.append(payload[position + 1 : position + 1 + payload[position]].decode())
            position += 1 + payload[position]
        yield PlainMessage(layout.name, root, entries, texts)
    assert position == len(payload)


def udp_payload(frame: bytes) -> bytes:
    header = 14 + (frame[14] & 15) * 4
    return frame[header + 8 : header + int.from_bytes(frame[header + 4 : header + 6], "big")]


@dataclass
class Reference:
    """The capture, and what the plain decoder makes of it."""

    packets: Packets
    messages: list[list[PlainMessage]]
    channels: list[int]
    symbols: dict[int, str]
    ticks: dict[int, Decimal]
    lots: dict[int, Decimal]
    books: dict[int, PlainBook]
    history: dict[tuple[int, int], Any]  # (instrument id, change id) -> frozen book
    new_books: list[tuple[int, int]]  # (prev_change_id, levels before) of every first Book message


@cache
def reference() -> Reference:
    layouts = published("deribit").by_template()
    frames = read_frames([recording(CAPTURE)])
    packets = Packets([(time_ns, udp_payload(frame)) for time_ns, frame in frames])
    messages = [list(plain_messages(layouts, payload)) for payload in packets.payloads]
    channels = [int.from_bytes(payload[2:4], "little") for payload in packets.payloads]
    result = Reference(packets, messages, channels, {}, {}, {}, {}, {}, [])
    changed: set[int] = set()
    loading: dict[int, PlainBook] = {}
    for message in (message for packet in messages for message in packet):
        instrument = message.root.get("instrument_id", -1)
        if message.name == "Instrument":
            result.symbols[instrument] = message.texts[0]
            result.ticks[instrument] = Decimal(repr(message.root["tick_size"]))
            result.lots[instrument] = Decimal(repr(message.root["min_trade_amount"]))
        elif message.name == "Snapshot" and instrument not in result.books:
            book = loading.setdefault(instrument, PlainBook(message.root["change_id"]))
            for entry in message.entries:
                book.sides[entry["side"]][entry["price"]] = entry["amount"]
            if message.root["is_last_in_book"]:
                result.books[instrument] = book
                result.history[instrument, book.change_id] = book.frozen()
        elif message.name == "Book":
            book = result.books[instrument]
            assert message.root["prev_change_id"] == book.change_id
            if instrument not in changed:
                changed.add(instrument)
                result.new_books.append((book.change_id, len(book.sides[0]) + len(book.sides[1])))
            book.change_id = message.root["change_id"]
            for entry in message.entries:
                assert (entry["price"] in book.sides[entry["side"]]) == (entry["change"] != BookChange.CREATED)
                book.sides[entry["side"]][entry["price"]] = entry["amount"]
                if entry["change"] == BookChange.DELETED:
                    del book.sides[entry["side"]][entry["price"]]
            result.history[instrument, book.change_id] = book.frozen()
    return result


def frozen(receiver: Receiver, index: int, levels: Any, ticks: Decimal, lots: Decimal) -> Any:
    """`levels`, if the engine's book is exactly that."""
    book = receiver.market.books[index]
    asks, bids = levels
    assert (book.ask_levels, book.bid_levels) == (len(asks), len(bids))
    for side, rows in ((ASK, asks), (BID, bids)):
        for price, amount in rows:
            got = level_lots(book, side, int(Decimal(repr(price)) / ticks))
            assert got == Decimal(repr(amount)) / lots, (index, side, price)
    return levels


def played(order: Sequence[int] | None = None) -> Receiver:
    receiver = Receiver()
    packets = reference().packets
    receiver.play(packets, range(len(packets)) if order is None else order)
    return receiver


def check_valid_books(receiver: Receiver) -> int:
    """Every valid book equals the true one at its change id, top included; how many are valid."""
    truth = reference()
    valid = 0
    for index in range(receiver.market.count):
        book, venue_id = receiver.market.books[index], receiver.market.instruments[index].venue_id
        if not book.valid:
            continue
        valid += 1
        ticks, lots = truth.ticks[venue_id], truth.lots[venue_id]
        asks, bids = frozen(receiver, index, truth.history[venue_id, book.update_id], ticks, lots)
        if bids:
            price, amount = max(bids)
            assert (book.bid_ticks * ticks, book.bid_lots * lots) == (Decimal(repr(price)), Decimal(repr(amount)))
        if asks:
            price, amount = min(asks)
            assert (book.ask_ticks * ticks, book.ask_lots * lots) == (Decimal(repr(price)), Decimal(repr(amount)))
    return valid


PERPETUAL, SPOT = 7, 9  # venue ids


def make_instrument(symbol: str, **values: int) -> Instrument:
    instrument = Instrument(venue_id=-1, **values)
    for name, content in (("symbol", symbol), ("base", "BTC"), ("quote", "USD"), ("settlement", "BTC")):
        set_text(getattr(instrument, name), content)
    instrument.ticks_per_unit = E9 / instrument.tick_e9
    instrument.lots_per_unit = E9 / instrument.lot_e9
    return instrument


def perpetual(**changes: int) -> Instrument:
    terms = {
        "kind": Kind.PERPETUAL,
        "payoff": Payoff.INVERSE,
        "tick_e9": E9 // 2,
        "lot_e9": 10 * E9,
        "contract_e9": 10 * E9,
    }
    return make_instrument("BTC-PERPETUAL", **(terms | changes))


def spot() -> Instrument:
    return make_instrument(
        "BTC_USDC", kind=Kind.SPOT, tick_e9=E9 // 10_000, lot_e9=E9 // 10_000, contract_e9=E9 // 10_000
    )


class Sender:
    """One channel of a made-up venue."""

    def __init__(self, channel_id: int = 1, sequence: int = 0) -> None:
        self.writer = PacketWriter(channel_id=channel_id, sequence=sequence)
        self.buffer = array(u8, 9000)

    def packet(self, *messages: tuple[Any, ...]) -> bytes:
        """Each message is a function of the encoder and its arguments after the writer."""
        open_packet(self.writer, self.buffer.address, len(self.buffer))
        for function, *arguments in messages:
            assert function(self.writer, *arguments)
        length = close_packet(self.writer)
        return bytes(self.buffer)[:length]

    def change(self, prev: int, now: int, *levels: tuple[int, int, float, float], venue_id: int = PERPETUAL) -> bytes:
        entries = [(add_change, side, change, price, amount) for side, change, price, amount in levels]
        return self.packet((begin_book, venue_id, 1_000, prev, now), *entries)

    def snapshot(self, now: int, *levels: tuple[int, float, float], is_last: int = 1) -> bytes:
        entries = [(add_level, side, price, amount) for side, price, amount in levels]
        return self.packet((begin_snapshot, PERPETUAL, 1_000, now, is_last), *entries)


def bid(price: float, amount: float) -> tuple[int, int, float, float]:
    return (BID, BookChange.CREATED, price, amount)


@dataclass
class Session:
    """A receiver that knows the perpetual, with an incremental and a snapshot channel."""

    receiver: Receiver
    changes: Sender
    snapshots: Sender

    @property
    def book(self) -> Book:
        return self.receiver.book("BTC-PERPETUAL")

    @property
    def feed(self) -> DeribitFeed:
        return self.receiver.feed

    def receive(self, payload: bytes) -> list[int]:
        return [kind for kind, _ in self.receiver.receive(payload)]


def start_session() -> Session:
    session = Session(Receiver(levels=64), Sender(1), Sender(101))
    session.receive(session.snapshots.packet((write_definition, perpetual(), PERPETUAL)))
    return session
