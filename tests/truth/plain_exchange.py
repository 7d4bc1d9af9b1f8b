"""An exchange in plain Python, written from docs/simulation.md and the bridge feed's document alone.

It shares no line with the engine: captures are read with `struct`, books are dictionaries, and an order is matched by
walking them. It knows what cross_spread sends: orders that take and never rest (IOC).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

PCAP_HEADER, RECORD = 24, struct.Struct("<IIII")
NANOSECOND_MAGIC = 0xA1B23C4D
UDP_PAYLOAD = 14 + 20 + 8  # captures that the importer writes have neither VLAN tags nor IP options
PACKET = struct.Struct("<QQHHHH")  # sequence, send time, channel, messages, flags, length
MESSAGE = struct.Struct("<HHHH")  # block length, template, schema, version
GROUP = struct.Struct("<HH")
LEVEL = struct.Struct("<qq")
DELTA = struct.Struct("<IQQQQB")  # instrument, exchange time, first, last and previous id, flags
QUOTE = struct.Struct("<IQQqqqq")
TRADE = struct.Struct("<IQQqqB")
SNAPSHOT = struct.Struct("<IQQB")
BOOK_DELTA, BEST_BID_ASK, TRADE_TEMPLATE, SNAPSHOT_TEMPLATE = 2, 3, 4, 5
TIMED = (BOOK_DELTA, BEST_BID_ASK, TRADE_TEMPLATE)  # a snapshot's time is that of its last change
LAYOUTS = {BOOK_DELTA: DELTA, BEST_BID_ASK: QUOTE, TRADE_TEMPLATE: TRADE, SNAPSHOT_TEMPLATE: SNAPSHOT}
END_OF_EVENT = 1
BUY, SELL = 0, 1


@dataclass
class Message:
    template: int
    fields: tuple[int, ...]
    sides: list[list[tuple[int, int]]]  # bids, asks: (price in ticks, lots)

    @property
    def exchange_time_ns(self) -> int:
        return self.fields[1]


@dataclass
class Packet:
    receive_ns: int
    ends_event: bool
    messages: list[Message]


def read_packets(path: Path) -> Iterator[Packet]:
    """Read the packets of a capture, in its order."""
    content = path.read_bytes()
    assert struct.unpack_from("<I", content)[0] == NANOSECOND_MAGIC
    position = PCAP_HEADER
    while position < len(content):
        seconds, nanoseconds, length, _ = RECORD.unpack_from(content, position)
        position += RECORD.size
        frame = memoryview(content)[position : position + length]
        position += length
        _, _, _, count, flags, size = PACKET.unpack_from(frame, UDP_PAYLOAD)
        place, messages = UDP_PAYLOAD + PACKET.size, []
        for _ in range(count):
            message, place = read_message(frame, place)
            messages.append(message)
        assert place == UDP_PAYLOAD + size
        yield Packet(seconds * 10**9 + nanoseconds, bool(flags & END_OF_EVENT), messages)


def read_message(frame: memoryview, place: int) -> tuple[Message, int]:
    """Read the message at `place`: it, and where the next one begins."""
    block_length, template, _, _ = MESSAGE.unpack_from(frame, place)
    block = place + MESSAGE.size
    place = block + block_length
    layout = LAYOUTS.get(template)
    sides = []
    if template in (BOOK_DELTA, SNAPSHOT_TEMPLATE):
        for _ in range(2):
            entry_length, entries = GROUP.unpack_from(frame, place)
            place += GROUP.size
            sides.append([LEVEL.unpack_from(frame, place + number * entry_length) for number in range(entries)])
            place += entries * entry_length
    return Message(template, layout.unpack_from(frame, block) if layout is not None else (), sides), place


@dataclass
class PlainBook:
    """One book, and what its one user has taken from it."""

    levels: tuple[dict[int, int], dict[int, int]] = field(default_factory=lambda: ({}, {}))
    last_id: int = 0
    is_whole: bool = False
    quote_id: int = 0
    quote: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))  # (price, lots) of bid and ask
    taken: dict[tuple[int, int], int] = field(default_factory=dict)  # by side and price

    def apply(self, packet: Packet) -> None:
        for message in packet.messages:
            if message.template == BEST_BID_ASK:
                self._take_quote(message)
            elif message.template == SNAPSHOT_TEMPLATE:
                self._take_snapshot(message, packet.ends_event)
            elif message.template == BOOK_DELTA:
                self._take_delta(message, packet.ends_event)

    def _take_snapshot(self, message: Message, ends_event: bool) -> None:
        _, _, last_id, is_continued = message.fields
        if not is_continued:
            self.levels[0].clear()
            self.levels[1].clear()
            self.taken.clear()
        self._set_levels(message)
        self.is_whole, self.last_id = ends_event, last_id

    def _take_delta(self, message: Message, ends_event: bool) -> None:
        _, _, _, last_id, _, _ = message.fields
        if last_id <= self.last_id:
            return
        self._set_levels(message)
        self.is_whole = ends_event
        if ends_event:
            self.last_id = last_id

    def _set_levels(self, message: Message) -> None:
        for side, changes in enumerate(message.sides):
            for price, lots in changes:
                self._market_shows(side, price, lots)
                if lots:
                    self.levels[side][price] = lots
                else:
                    self.levels[side].pop(price, None)

    def _take_quote(self, message: Message) -> None:
        _, _, update_id, bid, bid_lots, ask, ask_lots = message.fields
        if update_id < self.quote_id or not self.is_whole:
            return
        self.quote_id, self.quote = update_id, ((bid, bid_lots), (ask, ask_lots))
        if not self._has_fresh_quote():
            return
        for side, (price, lots) in enumerate(self.quote):
            # The market has nothing better than its quote, so nothing of that can be taken either.
            for key in [key for key in self.taken if key[0] == side and is_better(side, key[1], price)]:
                del self.taken[key]
            self._market_shows(side, price, lots)

    def _market_shows(self, side: int, price: int, lots: int) -> None:
        if (side, price) in self.taken:
            self.taken[side, price] = min(self.taken[side, price], lots)

    def _has_fresh_quote(self) -> bool:
        return self.quote_id > self.last_id

    def shown(self, side: int) -> list[tuple[int, int]]:
        """List what can be traded with on a side, best first: (price, lots), what is taken apart."""
        levels = dict(self.levels[side])
        if self._has_fresh_quote():
            price, lots = self.quote[side]
            levels = {other: size for other, size in levels.items() if is_better(side, price, other)}
            if lots:
                levels[price] = lots
        prices = sorted(levels, reverse=side == 0)
        return [(price, max(0, levels[price] - self.taken.get((side, price), 0))) for price in prices]

    def take(self, side: int, limit: int, lots: int) -> list[tuple[int, int]]:
        """Match an order that takes: its fills, level by level."""
        fills = []
        opposite = 1 - side
        for price, available in self.shown(opposite):
            if lots == 0 or (price > limit if side == BUY else price < limit):
                break
            filled = min(lots, available)
            if filled:
                self.taken[opposite, price] = self.taken.get((opposite, price), 0) + filled
                fills.append((price, filled))
                lots -= filled
        return fills


def is_better(side: int, price: int, other: int) -> bool:
    """Tell whether a bid (0) or ask (1) is better than another of its side."""
    return price > other if side == 0 else price < other
