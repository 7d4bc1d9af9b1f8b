"""One instrument on its way from the venue's messages to the channel of the feed that is its own."""

import asyncio
import ctypes
import time
from binascii import b2a_base64
from collections.abc import Callable
from typing import Any

from crosswire.nic.memory.struct import Struct, array, u8
from crosswire.venues.bridge.binance.gateway.definitions import Definition
from crosswire.venues.bridge.binance.gateway.log import Log
from crosswire.venues.bridge.binance.gateway.market.recorder import Recorder
from crosswire.venues.bridge.binance.gateway.market.sender import Sender
from crosswire.venues.bridge.binance.gateway.websocket import MESSAGE_BYTES_MAX
from crosswire.venues.bridge.binance.live import bind_all, continue_packets, make_live_stream
from crosswire.venues.bridge.binance.remark import ABOUT, Remark
from crosswire.venues.bridge.binance.state import Chain, Stream
from crosswire.venues.bridge.binance.terms import Terms
from crosswire.venues.bridge.wire.encoder import FeedWriter

WINDOW_BYTES = 2 * MESSAGE_BYTES_MAX  # base64 is a third longer, and a time stands before it
NEWLINE = 10
DEPTH_NAME = b"@depth"
NAME_BYTES = 64  # of a message: its stream's name lies in there
COUNTERS = (
    ("deltas", "depth changes published"),
    ("quotes", "quotes published"),
    ("trades", "trades published"),
    ("mark_prices", "mark prices published"),
    ("snapshots", "books published whole"),
    ("dropped", "depth messages that the book was past"),
    ("repeats", "quotes, trades and mark prices told twice"),
    ("old_snapshots", "snapshots older than the stream"),
)


class Channel:
    """One instrument. `is_proven` follows the book; `unproven` is set while a snapshot is wanted."""

    def __init__(self, definition: Definition, sender: Sender, log: Log, recorder: Recorder | None) -> None:
        """VenueError: its terms can't be counted with."""
        self.name = definition.name
        self.symbol = definition.symbol.encode()
        self.sender = sender
        self.log = log
        self.recorder = recorder
        self.is_proven = False
        self.is_trading = definition.is_trading
        self.unproven = asyncio.Event()
        self.depth_at = time.monotonic()  # of the last depth message
        self.depth_messages = 0
        self.wants_book = False  # packets were lost: readers need it before its time
        self.window = array(u8, WINDOW_BYTES)
        self.text = self.window.numpy().data
        self._use(definition.terms, definition)

    def _use(self, terms: Terms, definition: Definition) -> None:
        """Begin with these terms; packets count on."""
        sequence, time_ns = (self.writer.sequence, self.writer.time_ns) if hasattr(self, "writer") else (0, 0)
        stream, writer = make_live_stream(definition.market, definition.symbol, terms)
        stream.text = self.window
        self.stream: Stream = stream
        self.writer: FeedWriter = writer
        continue_packets(writer, sequence, time_ns)
        self.calls = bind_all(stream, writer)
        self.used = number_at(writer, "used")
        self.records = writer.buffer.numpy(writer.capacity).data
        self.lines = number_at(stream, "lines")
        self.terms = terms
        self.unproven.set()

    def _publish(self, call: Callable[..., Any], *numbers: int) -> Any:
        """Call compiled code, and send the packets that it has written."""
        result = call(*numbers)
        used = self.used.value
        if used:
            if not self.sender.send_records(self.records[:used]):
                self.wants_book = True
            self.used.value = 0
        return result

    def take(self, payload: memoryview | bytes, is_binary: bool) -> None:
        """Take one message of the venue, as it was received."""
        now_ns = time.time_ns()
        body = b'"%b"' % b2a_base64(payload, newline=False) if is_binary else bytes(payload)
        line = b"%d %b\n" % (now_ns, body)
        size = len(line)
        if size > WINDOW_BYTES or NEWLINE in body:
            self.log.count("messages that are longer than any, or not of one line")
            return
        if self.recorder is not None:
            self.recorder.write(line)
        if not self.is_trading:
            self.log.count("messages of instruments that do not trade")
            return
        if is_binary or DEPTH_NAME in body[:NAME_BYTES]:
            self.depth_at = time.monotonic()
            self.depth_messages += 1
        self.text[:size] = line
        was_proven = self.is_proven
        self.is_proven = self._publish(self.calls.take)
        if was_proven and not self.is_proven:
            self.log.event(self.name, "book lost: the depth stream does not go on from where it was")
            self.log.count("breaks in the depth stream")
            self.unproven.set()

    def take_snapshot(self, body: bytes) -> bool:
        """Take the answer to a question for the book; whether it has proven it."""
        self.take(body.replace(b"\n", b" ").replace(b"\r", b" "), False)
        if self.is_proven:
            self.unproven.clear()
        return self.is_proven

    def lose(self, why: str) -> None:
        """End the book, and tell readers so at once."""
        if self.is_proven:
            self.log.event(self.name, f"book lost: {why}")
        self.is_proven = False
        self._publish(self.calls.lose, time.time_ns())
        self.publish_definition()  # if the packet before it is lost on its way, this one shows the gap
        self.unproven.set()

    def redefine(self, definition: Definition) -> None:
        """Take up a definition that has changed: other terms or another status cost the book."""
        was_trading, self.is_trading = self.is_trading, definition.is_trading
        if definition.terms != self.terms:
            self.lose("its terms have changed")
            self._use(definition.terms, definition)
            self.publish_definition()
        elif was_trading and not self.is_trading:
            self.lose(f"its status is {definition.status}")

    def publish_definition(self) -> None:
        """Publish what the instrument is."""
        self._publish(self.calls.definition, time.time_ns())

    def make_up(self) -> None:
        """After packets that could not be sent: show readers the gap, and prove the book to them again."""
        self.wants_book = False
        self.publish_definition()
        self.publish_book()

    def publish_book(self) -> None:
        """Publish the book whole, if it is proven."""
        self._publish(self.calls.book, time.time_ns())

    def publish_heartbeat(self, interval_ns: int) -> None:
        """Publish that the channel lives."""
        self._publish(self.calls.heartbeat, time.time_ns(), interval_ns)

    @property
    def is_waiting_for_delta(self) -> bool:
        """Tell whether nothing has come yet that a snapshot could be joined to."""
        return self.stream.held_count == 0 and self.stream.chain in (Chain.UNPROVEN, Chain.BROKEN)

    def count_all(self) -> None:
        """Tell the log all counters of this instrument."""
        for field, what in COUNTERS:
            if count := int(getattr(self.stream, field)):
                self.log.count(f"{self.name} {what}", count)
        for kind in Remark:
            if kind in ABOUT and (count := self.stream.remarks.counts[kind]):
                self.log.count(f"{self.name} {ABOUT[kind].kind}", count)


def number_at(struct: Struct, field: str) -> ctypes.c_int64:
    """Make a view of one whole number of a struct: read and written in 50 ns, where the struct's own takes 1 us."""
    return ctypes.c_int64.from_address(struct._base + type(struct).fields[field].offset)
