"""A reader of the bridge feed on a UDP socket of loopback: the engine's own decoder behind it."""

import ctypes
import socket
import time
from collections.abc import Callable
from typing import Any

from crosswire.nic.memory.struct import Array, array, i64, u8
from crosswire.nic.packet import Packet
from crosswire.nic.unit.call import bind, machine_code
from crosswire.nic.unit.compile import compiled
from crosswire.venues.book.book import Book, level_lots, make_books, worse_level
from crosswire.venues.bridge.feed import BridgeFeed
from crosswire.venues.bridge.wire.layout import PAYLOAD_BYTES_MAX
from crosswire.venues.feed import Feed, decode
from crosswire.venues.instrument import Instrument, text_of
from crosswire.venues.market import BOOK_LOST, Events, Market, clear_events
from crosswire.venues.side import ASK, BID

INSTRUMENTS_MAX = 8
LEVELS_MAX = 40_000
RECEIVE_BYTES = 64 << 20
STEP_S = 0.05
WAIT_S = 60.0


@compiled
def take(packet: Packet, feed: Feed, market: Market, events: Events) -> int:
    """Decode one datagram; 1 if it cost a book."""
    clear_events(events, market)
    decode(feed, packet, market, events)
    lost = 0
    for index in range(events.count):
        if events.items[index].kind == BOOK_LOST:
            lost = 1
    return lost


@compiled
def read_side(book: Book, side: int, prices: Array, sizes: Array) -> int:
    """Copy a side, best first; how many levels."""
    price = book.level_bid_ticks if side == BID else book.level_ask_ticks
    count = book.bid_levels if side == BID else book.ask_levels
    for place in range(count):
        prices[place] = price
        sizes[place] = level_lots(book, side, price)
        price = worse_level(book, side, price)
    return count


class BridgeReader:
    """Listens, decodes, and remembers what cost a book."""

    def __init__(self, instruments: int = INSTRUMENTS_MAX, levels: int = LEVELS_MAX) -> None:
        self.instruments, self.levels = instruments, levels
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(STEP_S)
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"
        self.frame = array(u8, PAYLOAD_BYTES_MAX + 1)
        self.forget()
        self.packets: list[bytes] = []
        self.keeps_packets = False

    def forget(self) -> None:
        """Be a reader that has seen nothing yet."""
        self.feed, self.market, self.events = BridgeFeed(discover=1), Market(capacity=self.instruments), Events()
        self.market.instruments = Instrument.array(self.instruments)
        self.market.books = make_books(self.instruments, self.levels)
        self.losses = 0
        self.packet = Packet(payload_address=self.frame.address)
        self.take = bind(take, self.packet, self.feed, self.market, self.events)

    def read(self, seconds: float = STEP_S) -> int:
        """Read what comes within so long; how many packets."""
        count = 0
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                data = self.socket.recv(PAYLOAD_BYTES_MAX + 1)
            except TimeoutError:
                continue
            self.decode(data)
            count += 1
        return count

    def decode(self, data: bytes) -> None:
        """Decode one packet."""
        ctypes.memmove(self.frame.address, data, len(data))
        self.packet.payload_length = len(data)
        self.packet.time_ns = time.time_ns()
        self.losses += self.take()
        if self.keeps_packets:
            self.packets.append(data)

    def lose(self) -> None:
        """Lose the next packet, however long it takes on a busy machine."""
        self.socket.settimeout(WAIT_S)
        self.socket.recv(PAYLOAD_BYTES_MAX + 1)
        self.socket.settimeout(STEP_S)

    def until(self, condition: Callable[[], Any], seconds: float = WAIT_S) -> None:
        """Read until something is so."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "not so in time"
            self.read()

    def index(self, symbol: str, payoff: int | None = None) -> int:
        """The market index of a symbol (of those of that payoff); -1: not defined yet."""
        for index in range(self.market.count):
            each = self.market.instruments[index]
            if text_of(each.symbol) == symbol and payoff in (None, each.payoff):
                return index
        return -1

    def book(self, index: int = 0) -> Book:
        return self.market.books[index]

    def is_valid(self, index: int = 0) -> bool:
        return self.market.count > index and self.book(index).valid == 1

    def sides(self, index: int = 0) -> tuple[dict[int, int], dict[int, int]]:
        """A book's levels, lots by ticks."""
        prices, sizes = array(i64, self.levels), array(i64, self.levels)
        found = []
        for side in (BID, ASK):
            count = machine_code(read_side)(self.book(index), side, prices, sizes)
            found.append(dict(zip(prices.numpy(count).tolist(), sizes.numpy(count).tolist(), strict=True)))
        return found[0], found[1]

    def close(self) -> None:
        self.socket.close()
