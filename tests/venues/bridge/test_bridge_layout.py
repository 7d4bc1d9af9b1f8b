"""The bridge feed's bytes: golden packets packed by hand, and what the encoder writes read back field by field."""

import ctypes
import struct
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from crosswire.nic.capture.format import RecordHeader
from crosswire.nic.memory.struct import Array, address_of, size_of, view
from crosswire.nic.packet import UDP_FRAME_HEADER_BYTES, Flow
from crosswire.venues.bridge.wire import layout
from crosswire.venues.bridge.wire.encoder import (
    LEVELS_PER_PART,
    FeedWriter,
    book_bytes_max,
    make_writer,
    write_delta,
    write_mark_price,
    write_quote,
    write_snapshot,
    write_trade,
)

T0 = 1_723_161_256_172_216_566
FLOW = Flow(
    source_mac=0x020000000001,
    destination_mac=0x01005E420001,
    source_ip=0x0A004201,
    destination_ip=0xEF420001,
    source_port=6200,
    destination_port=6200,
)
LEVELS_MAX = 400
WRITER = make_writer(FLOW, 7, book_bytes_max(2 * LEVELS_MAX))
BIDS, ASKS = layout.Level.array(LEVELS_MAX), layout.Level.array(LEVELS_MAX)

signed = st.integers(-(1 << 63), (1 << 63) - 1)
unsigned = st.integers(0, (1 << 63) - 1)
levels = st.lists(st.tuples(signed, signed), max_size=LEVELS_MAX)

Levels = list[tuple[int, int]]


@dataclass
class Message:
    template_id: int
    root: dict[str, Any]
    groups: list[Levels] = field(default_factory=list)


def fresh_writer() -> FeedWriter:
    WRITER.used, WRITER.sequence, WRITER.time_ns = 0, 0, T0
    return WRITER


def fill(array: Array, values: Levels) -> Array:
    for level, (price, size) in zip(array, values, strict=False):
        level.price_ticks, level.qty_lots = price, size
    return array


def records(writer: FeedWriter) -> list[bytes]:
    """The UDP payloads in the buffer, each record's lengths and time checked on the way."""
    payloads, address = [], writer.buffer.address
    end = address + writer.used
    while address < end:
        record = view(RecordHeader, address)
        assert record.seconds * 10**9 + record.fraction == T0
        assert record.captured_length == record.original_length
        frame = ctypes.string_at(address + size_of(RecordHeader), record.captured_length)
        assert struct.unpack_from(">H", frame, 16)[0] == len(frame) - 14
        assert struct.unpack_from(">H", frame, 38)[0] == len(frame) - 34
        words = struct.unpack_from(">10H", frame, 14)
        assert sum(words) % 0xFFFF == 0  # the IPv4 header holds its own checksum
        payloads.append(frame[UDP_FRAME_HEADER_BYTES:])
        address += size_of(RecordHeader) + record.captured_length
    assert address == end
    return payloads


def parse(payload: bytes) -> tuple[dict[str, int], Message]:
    """One packet of one message, read by the layout's own table."""
    memory = ctypes.create_string_buffer(payload, len(payload))
    position = ctypes.addressof(memory)
    end = position + len(payload)
    packet = view(layout.PacketHeader, position)
    header = {name: getattr(packet, name) for name in layout.PacketHeader.fields}
    message = view(layout.MessageHeader, position + size_of(layout.PacketHeader))
    spec: Any = layout.MESSAGES[message.template_id - 1]
    assert spec.template_id == message.template_id
    assert message.block_length == size_of(spec.root)
    block = address_of(message) + size_of(layout.MessageHeader)
    root = view(spec.root, block)
    fields = {name: getattr(root, name) for name, f in spec.root.fields.items() if f.is_scalar}
    parsed = Message(spec.template_id, fields)
    position = block + message.block_length
    entry: Any
    for entry in spec.groups.values():
        group = view(layout.GroupHeader, position)
        assert group.block_length == size_of(entry)
        position += size_of(layout.GroupHeader)
        found = [view(entry, position + index * group.block_length) for index in range(group.num_in_group)]
        parsed.groups.append([(level.price_ticks, level.qty_lots) for level in found])
        position += group.num_in_group * group.block_length
    assert position == end
    return header, parsed


def test_a_place_in_the_table_is_one_less_than_the_template_id() -> None:
    assert [message.template_id - 1 for message in layout.MESSAGES] == list(range(len(layout.Template)))
    assert [message.name for message in layout.MESSAGES] == [
        "InstrumentDefinition",
        "BookDelta",
        "BestBidAsk",
        "Trade",
        "Snapshot",
        "Heartbeat",
        "MarkPrice",
    ]
    roots: list[Any] = [message.root for message in layout.MESSAGES]
    assert [size_of(root) for root in roots] == [110, 37, 52, 37, 21, 8, 44]


def test_quote_bytes() -> None:
    writer = fresh_writer()
    quote = layout.BestBidAsk(
        instrument_id=9,
        exchange_time_ns=T0 - 1,
        update_id=5_123_107_839_020,
        bid_price_ticks=618_002,
        bid_qty_lots=2507,
        ask_price_ticks=618_003,
        ask_qty_lots=2510,
    )
    assert write_quote(writer, quote)
    [payload] = records(writer)
    root = struct.pack("<IQQqqqq", 9, T0 - 1, 5_123_107_839_020, 618_002, 2507, 618_003, 2510)
    header = struct.pack("<QQHHHH", 1, T0, 7, 1, 1, 24 + 8 + len(root))
    assert payload == header + struct.pack("<HHHH", 52, 3, 0x4258, 1) + root


def test_delta_bytes() -> None:
    writer = fresh_writer()
    delta = layout.BookDelta(instrument_id=9, exchange_time_ns=5, first_id=11, last_id=13, previous_id=10, flags=255)
    assert write_delta(writer, delta, fill(BIDS, [(-4, 0)]), 1, fill(ASKS, [(8, 3), (9, 1)]), 2)
    [payload] = records(writer)
    root = struct.pack("<IQQQQB", 9, 5, 11, 13, 10, 0)
    groups = struct.pack("<HHqqHHqqqq", 16, 1, -4, 0, 16, 2, 8, 3, 9, 1)
    header = struct.pack("<QQHHHH", 1, T0, 7, 1, 1, 24 + 8 + 37 + len(groups))
    assert payload == header + struct.pack("<HHHH", 37, 2, 0x4258, 1) + root + groups


@settings(max_examples=40)
@given(unsigned, unsigned, unsigned, levels, levels, st.booleans())
def test_books_are_read_back_as_written(
    time_ns: int, last_id: int, previous_id: int, bids: Levels, asks: Levels, is_snapshot: bool
) -> None:
    writer = fresh_writer()
    fill(BIDS, bids), fill(ASKS, asks)
    root: dict[str, int] = {"instrument_id": 3, "exchange_time_ns": time_ns, "last_id": last_id}
    if is_snapshot:
        assert write_snapshot(writer, layout.Snapshot(**root), BIDS, len(bids), ASKS, len(asks))
    else:
        root |= {"first_id": 0, "previous_id": previous_id}
        assert write_delta(writer, layout.BookDelta(**root), BIDS, len(bids), ASKS, len(asks))
    parts = [parse(payload) for payload in records(writer)]
    assert len(parts) == max(1, -(-(len(bids) + len(asks)) // LEVELS_PER_PART))
    assert [level for _, part in parts for level in part.groups[0]] == bids
    assert [level for _, part in parts for level in part.groups[1]] == asks
    for number, (header, part) in enumerate(parts, 1):
        assert header["sequence"] == number
        assert header["length"] <= layout.PAYLOAD_BYTES_MAX
        assert header["flags"] == (layout.PacketFlag.END_OF_EVENT if number == len(parts) else 0)
        assert part.root == root | {"flags": layout.PartFlag.CONTINUATION if number > 1 else 0}


@given(unsigned, signed, signed, st.sampled_from([0, 1]))
def test_trades_are_read_back_as_written(trade_id: int, price: int, size: int, side: int) -> None:
    writer = fresh_writer()
    root = {"instrument_id": (1 << 32) - 1, "exchange_time_ns": 1, "trade_id": trade_id}
    root |= {"price_ticks": price, "qty_lots": size, "aggressor_side": side}
    assert write_trade(writer, layout.Trade(**root))
    [payload] = records(writer)
    assert parse(payload)[1] == Message(layout.Template.TRADE, root)


def test_mark_price_bytes() -> None:
    writer = fresh_writer()
    mark = layout.MarkPrice(
        instrument_id=9,
        exchange_time_ns=T0 - 1,
        mark_price_e9=61_800_254_107_620,
        index_price_e9=61_812_000_000_001,
        funding_rate_e9=-60_420,
        next_funding_ns=T0 + 3,
    )
    assert write_mark_price(writer, mark)
    [payload] = records(writer)
    root = struct.pack("<IQqqqQ", 9, T0 - 1, 61_800_254_107_620, 61_812_000_000_001, -60_420, T0 + 3)
    header = struct.pack("<QQHHHH", 1, T0, 7, 1, 1, 24 + 8 + len(root))
    assert payload == header + struct.pack("<HHHH", 44, 7, 0x4258, 1) + root


@given(unsigned, signed, signed, signed, unsigned)
def test_mark_prices_are_read_back_as_written(
    time_ns: int, mark_e9: int, index_e9: int, rate_e9: int, next_ns: int
) -> None:
    writer = fresh_writer()
    root = {"instrument_id": (1 << 32) - 1, "exchange_time_ns": time_ns, "mark_price_e9": mark_e9}
    root |= {"index_price_e9": index_e9, "funding_rate_e9": rate_e9, "next_funding_ns": next_ns}
    assert write_mark_price(writer, layout.MarkPrice(**root))
    [payload] = records(writer)
    assert parse(payload)[1] == Message(layout.Template.MARK_PRICE, root)


def test_nothing_is_written_when_the_buffer_has_no_room() -> None:
    writer = fresh_writer()
    writer.used = writer.capacity - 100
    before = (writer.used, writer.sequence)
    assert not write_trade(writer, layout.Trade())
    assert not write_mark_price(writer, layout.MarkPrice())
    assert not write_delta(writer, layout.BookDelta(), BIDS, 1, ASKS, 0)
    assert (writer.used, writer.sequence) == before
