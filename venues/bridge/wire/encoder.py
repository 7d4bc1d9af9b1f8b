"""Writes the `bridge` feed: packets of one channel, as records of a nanosecond pcap file, into a buffer.

The caller sets `time_ns`, calls the `write_*` functions, and empties the buffer into a capture when one of them has no
room. Every `write_*` function makes whole packets of its own and returns False, having written nothing, when the buffer
can't take them all.
"""

from typing import Annotated

from crosswire.nic.capture.format import RecordHeader
from crosswire.nic.capture.writer import write_record_header
from crosswire.nic.memory.raw import copy_bytes
from crosswire.nic.memory.struct import Array, Pointer, Struct, address_of, array, copy_struct, i64, size_of, u8, view
from crosswire.nic.packet import UDP_FRAME_HEADER_BYTES, Flow, patch_udp_length, write_udp_frame_header
from crosswire.nic.unit.compile import compiled
from crosswire.venues.bridge.wire import layout

ROOT_BYTES_MAX = max(size_of(layout.BookDelta), size_of(layout.Snapshot))
HEADER_BYTES = size_of(layout.PacketHeader) + size_of(layout.MessageHeader)
GROUPS_BYTES = 2 * size_of(layout.GroupHeader)
LEVELS_PER_PART = (layout.PAYLOAD_BYTES_MAX - HEADER_BYTES - ROOT_BYTES_MAX - GROUPS_BYTES) // size_of(layout.Level)
RECORD_BYTES_MAX = size_of(RecordHeader) + UDP_FRAME_HEADER_BYTES + layout.PAYLOAD_BYTES_MAX


class FeedWriter(Struct):
    """One channel's publisher. Between the `write_*` calls the buffer holds `used` bytes of whole pcap records."""

    time_ns: i64  # of the packets to come: capture time and send time
    sequence: i64  # of the last packet
    channel_id: i64
    used: i64
    capacity: i64
    position: i64  # address of the next byte of the open packet
    flow: Flow  # source and destination of the packets; not to be changed after the first
    frame_header: Annotated[Array, u8, UDP_FRAME_HEADER_BYTES]
    delta: layout.BookDelta  # root blocks of the event being written
    snapshot: layout.Snapshot
    buffer: Annotated[Pointer, u8]


def make_writer(flow: Flow, channel_id: int, capacity_bytes: int) -> FeedWriter:
    """Make a publisher that sends from and to the addresses of `flow`, with a buffer of `capacity_bytes`."""
    writer = FeedWriter()
    set_writer(writer, flow, channel_id, capacity_bytes)
    return writer


def set_writer(writer: FeedWriter, flow: Flow, channel_id: int, capacity_bytes: int) -> None:
    """Ready a zeroed publisher, as `make_writer` does."""
    writer.channel_id = channel_id
    writer.capacity = capacity_bytes
    writer.buffer = array(u8, capacity_bytes)
    for name in Flow.fields:
        setattr(writer.flow, name, getattr(flow, name))


def book_bytes_max(levels: int) -> int:
    """The most buffer that a delta or snapshot of `levels` levels, both sides together, takes."""
    return (levels // LEVELS_PER_PART + 1) * RECORD_BYTES_MAX


@compiled
def open_packet(writer: FeedWriter) -> None:
    """Begin a packet in the buffer's free part, which has room for RECORD_BYTES_MAX."""
    if writer.sequence == 0:
        write_udp_frame_header(address_of(writer.frame_header), writer.flow, 0)
    frame = address_of(writer.buffer) + writer.used + size_of(RecordHeader)
    copy_bytes(frame, address_of(writer.frame_header), UDP_FRAME_HEADER_BYTES)
    header = view(layout.PacketHeader, frame + UDP_FRAME_HEADER_BYTES)
    writer.sequence += 1
    header.sequence = writer.sequence
    header.send_time_ns = writer.time_ns
    header.channel_id = writer.channel_id
    header.message_count = 1
    writer.position = address_of(header) + size_of(layout.PacketHeader)


@compiled
def add_message(writer: FeedWriter, template_id: int, block_length: int) -> int:
    """Append a message header to the open packet and return the address of its root block."""
    message = view(layout.MessageHeader, writer.position)
    message.block_length = block_length
    message.template_id = template_id
    message.schema_id = layout.SCHEMA_ID
    message.version = layout.SCHEMA_VERSION
    block = writer.position + size_of(layout.MessageHeader)
    writer.position = block + block_length
    return block


@compiled
def add_levels(writer: FeedWriter, levels: Array, first: int, count: int) -> None:
    """Append one group: `count` of `levels` from index `first`."""
    group = view(layout.GroupHeader, writer.position)
    group.block_length = size_of(layout.Level)
    group.num_in_group = count
    entries = writer.position + size_of(layout.GroupHeader)
    copy_bytes(entries, address_of(levels) + first * size_of(layout.Level), count * size_of(layout.Level))
    writer.position = entries + count * size_of(layout.Level)


@compiled
def close_packet(writer: FeedWriter, flags: int) -> None:
    """Finish the open packet: lengths, flags, the record header before it."""
    record = address_of(writer.buffer) + writer.used
    frame = record + size_of(RecordHeader)
    header = view(layout.PacketHeader, frame + UDP_FRAME_HEADER_BYTES)
    header.flags = flags
    header.length = writer.position - address_of(header)
    frame_length = patch_udp_length(frame, header.length)
    write_record_header(record, writer.time_ns, frame_length)
    writer.used += size_of(RecordHeader) + frame_length


@compiled
def has_room(writer: FeedWriter, packets: int) -> bool:
    """Tell whether the buffer takes that many packets of any size."""
    return writer.capacity - writer.used >= packets * RECORD_BYTES_MAX


@compiled
def write_message(writer: FeedWriter, template_id: int, block: int, block_length: int) -> bool:
    """Publish a message without groups, its root block copied from address `block`, in a packet of its own."""
    if not has_room(writer, 1):
        return False
    open_packet(writer)
    copy_bytes(add_message(writer, template_id, block_length), block, block_length)
    close_packet(writer, layout.PacketFlag.END_OF_EVENT)
    return True


@compiled
def write_definition(writer: FeedWriter, definition: layout.InstrumentDefinition) -> bool:
    """Publish an instrument's definition."""
    return write_message(
        writer, layout.Template.INSTRUMENT_DEFINITION, address_of(definition), size_of(layout.InstrumentDefinition)
    )


@compiled
def write_quote(writer: FeedWriter, quote: layout.BestBidAsk) -> bool:
    """Publish a best bid and ask."""
    return write_message(writer, layout.Template.BEST_BID_ASK, address_of(quote), size_of(layout.BestBidAsk))


@compiled
def write_trade(writer: FeedWriter, trade: layout.Trade) -> bool:
    """Publish a trade."""
    return write_message(writer, layout.Template.TRADE, address_of(trade), size_of(layout.Trade))


@compiled
def write_mark_price(writer: FeedWriter, mark: layout.MarkPrice) -> bool:
    """Publish a mark price and the next funding."""
    return write_message(writer, layout.Template.MARK_PRICE, address_of(mark), size_of(layout.MarkPrice))


@compiled
def write_heartbeat(writer: FeedWriter, interval_ns: int) -> bool:
    """Say that the channel lives."""
    if not has_room(writer, 1):
        return False
    open_packet(writer)
    heartbeat = view(layout.Heartbeat, add_message(writer, layout.Template.HEARTBEAT, size_of(layout.Heartbeat)))
    heartbeat.interval_ns = interval_ns
    close_packet(writer, layout.PacketFlag.END_OF_EVENT)
    return True


@compiled
def write_delta(
    writer: FeedWriter, delta: layout.BookDelta, bids: Array, bid_count: int, asks: Array, ask_count: int
) -> bool:
    """Publish a delta (its `flags` are set here) with so many of the `Level` arrays `bids` and `asks`."""
    copy_struct(writer.delta, delta)
    return write_parts(writer, layout.Template.BOOK_DELTA, bids, bid_count, asks, ask_count)


@compiled
def write_snapshot(
    writer: FeedWriter, snapshot: layout.Snapshot, bids: Array, bid_count: int, asks: Array, ask_count: int
) -> bool:
    """Publish a snapshot (its `flags` are set here) of so many of the `Level` arrays `bids` and `asks`."""
    copy_struct(writer.snapshot, snapshot)
    return write_parts(writer, layout.Template.SNAPSHOT, bids, bid_count, asks, ask_count)


@compiled
def write_parts(writer: FeedWriter, template_id: int, bids: Array, bid_count: int, asks: Array, ask_count: int) -> bool:
    """Publish one event in as many packets as it needs, bids first; its root block is the writer's own."""
    if not has_room(writer, (bid_count + ask_count) // LEVELS_PER_PART + 1):
        return False
    bids_done = 0
    asks_done = 0
    part_flags = 0
    while True:
        bids_now = min(bid_count - bids_done, LEVELS_PER_PART)
        asks_now = min(ask_count - asks_done, LEVELS_PER_PART - bids_now)
        open_packet(writer)
        if template_id == layout.Template.BOOK_DELTA:
            writer.delta.flags = part_flags
            block = add_message(writer, template_id, size_of(layout.BookDelta))
            copy_bytes(block, address_of(writer.delta), size_of(layout.BookDelta))
        else:
            writer.snapshot.flags = part_flags
            block = add_message(writer, template_id, size_of(layout.Snapshot))
            copy_bytes(block, address_of(writer.snapshot), size_of(layout.Snapshot))
        add_levels(writer, bids, bids_done, bids_now)
        add_levels(writer, asks, asks_done, asks_now)
        bids_done += bids_now
        asks_done += asks_now
        part_flags = layout.PartFlag.CONTINUATION
        if bids_done == bid_count and asks_done == ask_count:
            close_packet(writer, layout.PacketFlag.END_OF_EVENT)
            return True
        close_packet(writer, 0)
