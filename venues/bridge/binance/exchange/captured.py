"""A capture of the bridge feed as a source of the venue's messages: what `crosswire generate` makes can be played.

The capture's first instrument is played. Packets may be missing: a change that does not go on from the one before, and
all behind it, is left out until the capture has the whole book again. That is played as one change, so that the
stand-in's own stream is never broken by what its source lost.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from crosswire.nic.duration import NS_PER_MS
from crosswire.nic.memory.struct import array, size_of, u8, view
from crosswire.nic.packet import UDP_FRAME_HEADER_BYTES
from crosswire.nic.rings.replay import read_frames
from crosswire.venues.bridge.binance.exchange.listed import Levels, Listed
from crosswire.venues.bridge.binance.exchange.messages import Message
from crosswire.venues.bridge.binance.exchange.player import Source, Timed
from crosswire.venues.bridge.binance.market import Market
from crosswire.venues.bridge.wire.layout import (
    PAYLOAD_BYTES_MAX,
    BestBidAsk,
    BookDelta,
    GroupHeader,
    InstrumentDefinition,
    InstrumentId,
    Level,
    MessageHeader,
    PacketFlag,
    PacketHeader,
    Snapshot,
    Template,
    Trade,
)
from crosswire.venues.errors import VenueError
from crosswire.venues.instrument import text_of
from crosswire.venues.side import SELL

SUFFIX = ".pcap"
Sides = tuple[dict[int, int], dict[int, int]]


def is_capture(path: Path) -> bool:
    """Tell whether a source is a capture, and no recording of the venue's own messages."""
    return path.suffix == SUFFIX


def captured_symbol(path: Path) -> str:
    """Find the symbol of a capture's first instrument. VenueError: it defines none."""
    for _, template, block, _ in _messages(path):
        if template == Template.INSTRUMENT_DEFINITION:
            return text_of(view(InstrumentDefinition, block).symbol)
    raise VenueError(f"{path}: no instrument is defined in this capture of the bridge feed")


def captured(path: Path, listed: Listed) -> Source:
    """Make the source of a capture. VenueError, once it is read: its tick or lot is not the one listed."""
    return lambda: _played(path, listed)


def _messages(path: Path) -> Iterator[tuple[int, int, int, bool]]:
    """Read (capture time in ns, template, address of the root block, whether it ends its event) of each message."""
    memory = array(u8, PAYLOAD_BYTES_MAX)
    bytes_of = memory.numpy()
    for time_ns, frame in read_frames([path]):
        payload = memoryview(frame)[UDP_FRAME_HEADER_BYTES:]
        if not size_of(PacketHeader) <= len(payload) <= PAYLOAD_BYTES_MAX:
            continue
        bytes_of[: len(payload)] = payload
        header = view(PacketHeader, memory.address)
        position, end = memory.address + size_of(PacketHeader), memory.address + header.length
        for _ in range(header.message_count):
            message = view(MessageHeader, position)
            block, template = position + size_of(MessageHeader), message.template_id
            position = block + message.block_length
            if template in (Template.BOOK_DELTA, Template.SNAPSHOT):
                position = _behind(_behind(position))
            if position > end:
                raise VenueError(f"{path}: a message that its packet does not hold")
            yield time_ns, template, block, bool(header.flags & PacketFlag.END_OF_EVENT)


def _behind(address: int) -> int:
    group = view(GroupHeader, address)
    return address + size_of(GroupHeader) + group.num_in_group * group.block_length


def _levels(address: int) -> dict[int, int]:
    group = view(GroupHeader, address)
    places = range(address + size_of(GroupHeader), _behind(address), group.block_length)
    return {level.price_ticks: level.qty_lots for level in (view(Level, place) for place in places)}


@dataclass
class _Book:
    """The book as the capture has told it, and the event that it is in the middle of."""

    last_id: int = 0
    is_proven: bool = False
    sides: Sides = field(default_factory=lambda: ({}, {}))
    event: Sides = field(default_factory=lambda: ({}, {}))

    def take(self, block: int, root_bytes: int, *, ends: bool) -> Sides | None:
        """Take a part of an event; all of the event once it ends."""
        bids = block + root_bytes
        for side, address in zip(self.event, (bids, _behind(bids)), strict=True):
            side |= _levels(address)
        if not ends:
            return None
        event, self.event = self.event, ({}, {})
        return event

    def change(self, delta: BookDelta, event: Sides) -> Sides | None:
        """Apply a change; None if it does not go on from the one before."""
        if not self.is_proven or delta.previous_id != self.last_id:
            self.is_proven = False
            return None
        for side, levels in zip(self.sides, event, strict=True):
            for ticks, lots in levels.items():
                if lots:
                    side[ticks] = lots
                else:
                    side.pop(ticks, None)
        self.last_id = delta.last_id
        return event

    def replace(self, last_id: int, event: Sides) -> Sides | None:
        """Take a whole book; the change that makes it of the one known, None where that is it already."""
        if self.is_proven and last_id == self.last_id:
            return None
        gone = [{ticks: 0 for ticks in side if ticks not in new} for side, new in zip(self.sides, event, strict=True)]
        self.sides, self.last_id, self.is_proven = (dict(event[0]), dict(event[1])), last_id, True
        return gone[0] | event[0], gone[1] | event[1]


def _played(path: Path, listed: Listed) -> Iterator[Timed]:
    book, instrument_id, is_open = _Book(), -1, False
    for time_ns, template, block, ends in _messages(path):
        if template == Template.INSTRUMENT_DEFINITION and instrument_id < 0:
            instrument_id = _known(path, listed, view(InstrumentDefinition, block))
        if template == Template.HEARTBEAT or view(InstrumentId, block).instrument_id != instrument_id:
            continue
        before_id = book.last_id
        if template == Template.SNAPSHOT:
            event = book.take(block, size_of(Snapshot), ends=ends)
            whole = view(Snapshot, block)
            change = book.replace(whole.last_id, event) if event is not None else None
            if change is not None and not is_open:
                is_open = True
                bids, asks = (_texts(listed, side) for side in change)
                yield time_ns, Message(lastUpdateId=book.last_id, bids=bids, asks=asks)
            elif change is not None:
                yield time_ns, _depth(listed, change, before_id, book.last_id, whole.exchange_time_ns)
        elif template == Template.BOOK_DELTA:
            event = book.take(block, size_of(BookDelta), ends=ends)
            delta = view(BookDelta, block)
            change = book.change(delta, event) if event is not None else None
            if change is not None:
                yield time_ns, _depth(listed, change, before_id, book.last_id, delta.exchange_time_ns)
        elif template == Template.BEST_BID_ASK:
            yield time_ns, _quote(listed, view(BestBidAsk, block))
        elif template == Template.TRADE:
            yield time_ns, _trade(listed, view(Trade, block))


def _known(path: Path, listed: Listed, definition: InstrumentDefinition) -> int:
    if (definition.tick_e9, definition.lot_e9) != (listed.tick_e9, listed.lot_e9):
        raise VenueError(
            f"{path}: {listed.symbol} has tick {definition.tick_e9} and lot {definition.lot_e9} (1e-9) there, and is"
            f" listed with {listed.tick_e9} and {listed.lot_e9}: give `tick` and `lot` of the instrument"
        )
    return int(definition.instrument_id)


def _texts(listed: Listed, side: dict[int, int]) -> Levels:
    return [(listed.price_text(ticks), listed.size_text(lots)) for ticks, lots in side.items()]


def _event(listed: Listed, kind: str, time_ns: int) -> Message:
    time_ms = time_ns // NS_PER_MS
    return Message(e=kind, E=time_ms, T=0 if listed.market == Market.SPOT else time_ms, s=listed.symbol)


def _depth(listed: Listed, change: Sides, previous_id: int, last_id: int, time_ns: int) -> Message:
    message = _event(listed, "depthUpdate", time_ns)
    message.U, message.u = previous_id + 1, last_id
    message.pu = previous_id if message.T else 0
    message.b, message.a = _texts(listed, change[0]), _texts(listed, change[1])
    return message


def _quote(listed: Listed, quote: BestBidAsk) -> Message:
    message = _event(listed, "bookTicker", quote.exchange_time_ns)
    message.u = quote.update_id
    message.b, message.B = listed.price_text(quote.bid_price_ticks), listed.size_text(quote.bid_qty_lots)
    message.a, message.A = listed.price_text(quote.ask_price_ticks), listed.size_text(quote.ask_qty_lots)
    return message


def _trade(listed: Listed, trade: Trade) -> Message:
    message = _event(listed, "trade", trade.exchange_time_ns)
    message.t, message.m = trade.trade_id, trade.aggressor_side == SELL
    message.p, message.q = listed.price_text(trade.price_ticks), listed.size_text(trade.qty_lots)
    message.X = "" if listed.market == Market.SPOT else "MARKET"
    return message
