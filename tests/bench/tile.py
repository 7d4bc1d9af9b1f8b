"""A capture of the `bridge` feed, several times over: longer benchmark data from a short recording.

Each tile is shifted in time, its packets count on, and its update ids rise above the last tile's. So every tile begins
with a newer snapshot, which replaces the book, and no decoder sees a gap, a break, or anything out of date.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crosswire.nic.capture.format import MAGIC_NANOSECONDS, PcapHeader, RecordHeader
from crosswire.nic.capture.writer import CaptureWriter
from crosswire.nic.duration import NS_PER_S
from crosswire.nic.memory.struct import Struct, array, i64, size_of, u8, view
from crosswire.nic.packet import UDP_FRAME_HEADER_BYTES
from crosswire.nic.unit.call import machine_code
from crosswire.nic.unit.compile import compiled
from crosswire.venues.bridge.wire.layout import (
    BestBidAsk,
    BookDelta,
    GroupHeader,
    Level,
    MessageHeader,
    PacketHeader,
    Snapshot,
    Template,
    Trade,
)

ID_STEP = 1 << 48  # from tile to tile; no recording spans so many update ids, nor 1,000 tiles 2**63


class Tally(Struct):
    """What one tile of a capture holds."""

    packets: i64
    first_sequence: i64  # packet numbers, lost packets in between included
    last_sequence: i64
    levels: i64  # changes in deltas and levels in snapshots
    trades: i64
    quotes: i64
    duration_ns: i64
    unknown: i64  # packets of more than one message, or of a kind that is not understood


@dataclass(frozen=True)
class TiledCapture:
    """What was written; `rows` as hftbacktest counts: level changes, snapshot levels and trades."""

    path: Path
    packets: int
    rows: int
    quotes: int


@compiled
def shifted_ns(time_ns: int, shift_ns: int) -> int:
    """A time moved; 0, which says that there is none, stays."""
    return time_ns + shift_ns if time_ns != 0 else 0


@compiled
def shift_message(message: MessageHeader, block: int, shift_ns: int, shift_ids: int) -> bool:
    """Move one message's times and ids; False if its kind is unknown."""
    if message.template_id == Template.BOOK_DELTA:
        delta = view(BookDelta, block)
        delta.first_id += shift_ids
        delta.last_id += shift_ids
        delta.previous_id += shift_ids
        delta.exchange_time_ns = shifted_ns(delta.exchange_time_ns, shift_ns)
    elif message.template_id == Template.BEST_BID_ASK:
        quote = view(BestBidAsk, block)
        quote.update_id += shift_ids
        quote.exchange_time_ns = shifted_ns(quote.exchange_time_ns, shift_ns)
    elif message.template_id == Template.TRADE:
        trade = view(Trade, block)
        trade.trade_id += shift_ids
        trade.exchange_time_ns = shifted_ns(trade.exchange_time_ns, shift_ns)
    elif message.template_id == Template.SNAPSHOT:
        snapshot = view(Snapshot, block)
        snapshot.last_id += shift_ids
        snapshot.exchange_time_ns = shifted_ns(snapshot.exchange_time_ns, shift_ns)
    else:
        return message.template_id == Template.INSTRUMENT_DEFINITION or message.template_id == Template.HEARTBEAT
    return True


@compiled
def count_levels(message: MessageHeader, block: int) -> int:
    """Levels of both groups of a delta or snapshot."""
    bids = view(GroupHeader, block + message.block_length)
    asks = view(GroupHeader, block + message.block_length + size_of(GroupHeader) + bids.num_in_group * size_of(Level))
    return bids.num_in_group + asks.num_in_group


@machine_code
def shift_tile(address: int, length: int, shift_ns: int, shift_ids: int, shift_packets: int, tally: Tally) -> None:
    """Shift the pcap records in `length` bytes at `address` in place, and count what they hold."""
    tally.packets = 0
    tally.levels = 0
    tally.trades = 0
    tally.quotes = 0
    position = address
    first_ns = 0
    while position < address + length:
        record = view(RecordHeader, position)
        time_ns = record.seconds * NS_PER_S + record.fraction + shift_ns
        record.seconds = time_ns // NS_PER_S
        record.fraction = time_ns % NS_PER_S
        first_ns = time_ns if first_ns == 0 else first_ns
        tally.duration_ns = time_ns - first_ns
        payload = position + size_of(RecordHeader) + UDP_FRAME_HEADER_BYTES
        packet = view(PacketHeader, payload)
        packet.sequence += shift_packets
        tally.first_sequence = packet.sequence if tally.packets == 0 else tally.first_sequence
        tally.last_sequence = packet.sequence
        packet.send_time_ns += shift_ns
        message = view(MessageHeader, payload + size_of(PacketHeader))
        block = payload + size_of(PacketHeader) + size_of(MessageHeader)
        if packet.message_count != 1 or not shift_message(message, block, shift_ns, shift_ids):
            tally.unknown += 1
        tally.packets += 1
        if message.template_id == Template.TRADE:
            tally.trades += 1
        elif message.template_id == Template.BEST_BID_ASK:
            tally.quotes += 1
        elif message.template_id == Template.BOOK_DELTA or message.template_id == Template.SNAPSHOT:
            tally.levels += count_levels(message, block)
        position += size_of(RecordHeader) + record.captured_length


def tile_capture(source: Path, target: Path, tiles: int, shift_s: int) -> TiledCapture:
    """Write `source`, a plain nanosecond pcap of one bridge channel, `tiles` times over, `shift_s` seconds apart.

    ValueError if the file is another, or lasts longer than `shift_s`.
    """
    content = np.fromfile(source, np.uint8)
    if len(content) < size_of(PcapHeader):
        raise ValueError(f"{source}: shorter than a pcap header")
    raw = array(u8, len(content))
    raw.numpy()[:] = content
    header = PcapHeader.at(raw.address)
    if header.magic != MAGIC_NANOSECONDS:
        raise ValueError(f"{source}: not a plain nanosecond pcap of this byte order")
    body, length = raw.address + size_of(PcapHeader), len(content) - size_of(PcapHeader)
    tally = Tally()
    with CaptureWriter(target) as writer:
        for tile in range(tiles):
            # In place and on top of the last shift: the first tile is not shifted.
            step = 1 if tile else 0
            span = tally.last_sequence - tally.first_sequence + 1
            shift_tile(body, length, step * shift_s * NS_PER_S, step * ID_STEP, step * span, tally)
            if tally.unknown != 0:
                raise ValueError(f"{source}: holds packets that are not single messages of the bridge feed")
            if tally.duration_ns > shift_s * NS_PER_S:
                raise ValueError(f"{source}: lasts longer than shift_s = {shift_s}")
            writer.write_memory(body, length)
    rows = tiles * (tally.levels + tally.trades)
    return TiledCapture(target, tiles * tally.packets, rows, tiles * tally.quotes)
