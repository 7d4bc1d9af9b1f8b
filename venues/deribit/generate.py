"""The made-up inverse venue on Deribit's legacy multicast feed: changes and snapshots, a channel each."""

from typing import Annotated

from crosswire.nic.capture.format import RecordHeader
from crosswire.nic.capture.writer import write_record_header
from crosswire.nic.duration import NS_PER_MS, NS_PER_S
from crosswire.nic.memory.raw import copy_bytes
from crosswire.nic.memory.struct import Array, Pointer, address_of, array, i64, size_of, u8
from crosswire.nic.packet import UDP_FRAME_HEADER_BYTES, Flow, patch_udp_length, write_udp_frame_header
from crosswire.nic.unit.compile import compiled
from crosswire.venues.deribit.wire import encoder
from crosswire.venues.deribit.wire.layout import BookChange, YesNo
from crosswire.venues.generate.market import MadeVenue, Random, is_lost, size_at
from crosswire.venues.generate.publisher import Publisher, has_room, open_publisher, publish
from crosswire.venues.instrument import Instrument, Kind, Payoff, set_text
from crosswire.venues.side import ASK, BID

SYMBOL = "BTC-PERPETUAL"
INSTRUMENT_ID = 210838
CHANNEL_ID = 1
SNAPSHOT_CHANNEL_ID = 101  # 100 more than the channel whose books it sends
TICK_E9 = 500_000_000  # 0.5 USD
LOT_E9 = 10_000_000_000  # 10 USD
MAKER_FEE_E9 = 0
TAKER_FEE_E9 = 500_000  # 5 bps
FLOW = Flow(
    source_mac=0x02_00_00_00_01_01,
    destination_mac=0x01_00_5E_6F_6F_01,  # RFC 1112 6.4: the group's low 23 bits
    source_ip=0x0A_00_01_01,  # 10.0.1.1
    destination_ip=0xEF_6F_6F_01,  # 239.111.111.1
    source_port=6100,
    destination_port=6100,
)
SNAPSHOT_PORT = 6101
FIRST_CHANGE_ID = 60_000_000_000
FIRST_TRADE_ID = 250_000_000
SNAPSHOT_INTERVAL_NS = NS_PER_S // 2
SNAPSHOT_DELAY = 200  # as in the venue's sample capture
LEVELS_PER_SNAPSHOT = 51  # the most in one message of the venue's sample capture
RECORD_BYTES_MAX = size_of(RecordHeader) + UDP_FRAME_HEADER_BYTES + encoder.PAYLOAD_BYTES_MAX
EVENT_PACKETS_MAX = 6  # the event, a snapshot in two parts between its start and end, and one to spare


class DeribitPublisher(Publisher):
    """Both channels, the packets that they have sent since the buffer was emptied, and what is due when."""

    instrument: Instrument
    changes: encoder.PacketWriter
    snapshots: encoder.PacketWriter
    change_header: Annotated[Array, u8, UDP_FRAME_HEADER_BYTES]
    snapshot_header: Annotated[Array, u8, UDP_FRAME_HEADER_BYTES]
    change_id: i64
    trade_id: i64
    snapshot_due_ns: i64
    used: i64  # bytes of whole pcap records in the buffer
    capacity: i64
    buffer: Annotated[Pointer, u8]


def behave(venue: MadeVenue) -> None:
    """Have the made-up venue trade as one nearby does: thin, and early."""
    venue.tick_e6 = TICK_E9 // 1000
    venue.step_ticks = 3
    venue.typical_lots = 4_000  # of 10 USD
    venue.half_spread_e6 = 300_000
    venue.response = 3
    venue.jump_delay_ns = 40_000
    venue.latency_ns = 180_000
    venue.jitter_ns = 40_000


def make_publisher(start_ns: int, capacity_bytes: int) -> DeribitPublisher:
    """Make a publisher whose snapshot cycle is about to begin."""
    publisher = DeribitPublisher(
        change_id=FIRST_CHANGE_ID,
        trade_id=FIRST_TRADE_ID,
        snapshot_due_ns=start_ns,
        capacity=capacity_bytes,
        buffer=array(u8, capacity_bytes),
    )
    publisher.changes.channel_id = CHANNEL_ID
    publisher.snapshots.channel_id = SNAPSHOT_CHANNEL_ID
    write_udp_frame_header(address_of(publisher.change_header), FLOW, 0)
    snapshot_flow = Flow(**{name: getattr(FLOW, name) for name in Flow.fields} | {"destination_port": SNAPSHOT_PORT})
    write_udp_frame_header(address_of(publisher.snapshot_header), snapshot_flow, 0)
    instrument = publisher.instrument
    instrument.kind = Kind.PERPETUAL
    instrument.payoff = Payoff.INVERSE
    instrument.tick_e9 = TICK_E9
    instrument.lot_e9 = LOT_E9
    instrument.contract_e9 = LOT_E9
    instrument.maker_fee_e9 = MAKER_FEE_E9
    instrument.taker_fee_e9 = TAKER_FEE_E9
    for field, text in (
        (instrument.symbol, SYMBOL),
        (instrument.base, "BTC"),
        (instrument.quote, "USD"),
        (instrument.settlement, "BTC"),
    ):
        set_text(field, text)
    return publisher


@has_room.register(DeribitPublisher)
def deribit_has_room(publisher: DeribitPublisher) -> bool:
    return publisher.capacity - publisher.used >= EVENT_PACKETS_MAX * RECORD_BYTES_MAX


@open_publisher.register(DeribitPublisher)
def open_deribit(publisher: DeribitPublisher, venue: MadeVenue) -> None:
    _send_snapshots(publisher, venue)


@publish.register(DeribitPublisher)
def publish_deribit(publisher: DeribitPublisher, random: Random, venue: MadeVenue) -> None:
    used = publisher.used
    _send_event(publisher, venue)
    losses = publisher.losses
    if is_lost(random, losses, venue):
        # The packet number is used up, the bytes are not there.
        losses.packets += 1
        publisher.used = used
    if venue.time_ns >= publisher.snapshot_due_ns and losses.events_left == 0:
        _send_snapshots(publisher, venue)


@compiled
def _begin(publisher: DeribitPublisher, writer: encoder.PacketWriter) -> None:
    """Open a packet behind the last one, with room for its record and frame headers before it."""
    address = address_of(publisher.buffer) + publisher.used + size_of(RecordHeader) + UDP_FRAME_HEADER_BYTES
    encoder.open_packet(writer, address, encoder.PAYLOAD_BYTES_MAX)


@compiled
def _finish(publisher: DeribitPublisher, writer: encoder.PacketWriter, frame_header: Array, time_ns: int) -> None:
    """Close the packet and put the headers before it."""
    payload_length = encoder.close_packet(writer)
    record = address_of(publisher.buffer) + publisher.used
    frame = write_record_header(record, time_ns, UDP_FRAME_HEADER_BYTES + payload_length)
    copy_bytes(frame, address_of(frame_header), UDP_FRAME_HEADER_BYTES)
    publisher.used += size_of(RecordHeader) + patch_udp_length(frame, payload_length)


@compiled
def _send_event(publisher: DeribitPublisher, venue: MadeVenue) -> None:
    """Send one event in one packet: trades, the ticker as it is after them, and the changes of the book."""
    instrument = publisher.instrument
    writer = publisher.changes
    timestamp_ms = venue.time_ns // NS_PER_MS
    _begin(publisher, writer)
    if venue.fill_count > 0:
        encoder.begin_trades(writer, INSTRUMENT_ID)
        for index in range(venue.fill_count):
            fill = venue.fills[index]
            publisher.trade_id += 1
            price = encoder.price_of(instrument, fill.price_ticks)
            amount = encoder.amount_of(instrument, fill.qty_lots)
            encoder.add_trade(writer, venue.aggressor, price, amount, timestamp_ms, publisher.trade_id)
        publisher.messages += 1
    if venue.top_changed != 0 or venue.change_count == 0:
        _add_ticker(publisher, writer, venue)
    if venue.change_count > 0:
        encoder.begin_book(writer, INSTRUMENT_ID, timestamp_ms, publisher.change_id, publisher.change_id + 1)
        publisher.change_id += 1
        for index in range(venue.change_count):
            change = venue.changes[index]
            kind = BookChange.CREATED if change.before_lots == 0 else BookChange.CHANGED
            if change.after_lots == 0:
                kind = BookChange.DELETED
            price = encoder.price_of(instrument, change.price_ticks)
            encoder.add_change(writer, change.side, kind, price, encoder.amount_of(instrument, change.after_lots))
        publisher.messages += 1
    _finish(publisher, writer, publisher.change_header, venue.receive_ns)


@compiled
def _add_ticker(publisher: DeribitPublisher, writer: encoder.PacketWriter, venue: MadeVenue) -> None:
    instrument = publisher.instrument
    bid_ticks = venue.sides[BID].best_ticks
    ask_ticks = venue.sides[ASK].best_ticks
    encoder.write_ticker(
        writer,
        INSTRUMENT_ID,
        venue.time_ns // NS_PER_MS,
        encoder.price_of(instrument, bid_ticks),
        encoder.amount_of(instrument, size_at(venue, bid_ticks)),
        encoder.price_of(instrument, ask_ticks),
        encoder.amount_of(instrument, size_at(venue, ask_ticks)),
    )
    publisher.messages += 1


@compiled
def _send_snapshots(publisher: DeribitPublisher, venue: MadeVenue) -> None:
    """Send one cycle of the snapshot channel: start, definition, the whole book as the last event left it, end."""
    publisher.snapshot_due_ns = venue.time_ns + SNAPSHOT_INTERVAL_NS
    writer = publisher.snapshots
    header = publisher.snapshot_header
    _begin(publisher, writer)
    encoder.write_snapshot_start(writer, SNAPSHOT_DELAY)
    _finish(publisher, writer, header, venue.receive_ns)
    _begin(publisher, writer)
    encoder.write_definition(writer, publisher.instrument, INSTRUMENT_ID)
    _add_ticker(publisher, writer, venue)
    left = venue.sides[BID].levels + venue.sides[ASK].levels
    in_message = 0
    for side in range(2):
        price_ticks = venue.sides[side].best_ticks
        levels = venue.sides[side].levels
        while levels > 0:
            qty_lots = size_at(venue, price_ticks)
            if qty_lots != 0:
                if in_message == LEVELS_PER_SNAPSHOT:
                    _finish(publisher, writer, header, venue.receive_ns)
                    _begin(publisher, writer)
                    in_message = 0
                if in_message == 0:
                    _begin_snapshot(publisher, writer, venue, left)
                price = encoder.price_of(publisher.instrument, price_ticks)
                encoder.add_level(writer, side, price, encoder.amount_of(publisher.instrument, qty_lots))
                in_message += 1
                levels -= 1
                left -= 1
            price_ticks += 2 * side - 1
    _finish(publisher, writer, header, venue.receive_ns)
    _begin(publisher, writer)
    encoder.write_snapshot_end(writer)
    _finish(publisher, writer, header, venue.receive_ns)
    publisher.messages += 4


@compiled
def _begin_snapshot(publisher: DeribitPublisher, writer: encoder.PacketWriter, venue: MadeVenue, left: int) -> None:
    is_last = YesNo.YES if left <= LEVELS_PER_SNAPSHOT else YesNo.NO
    encoder.begin_snapshot(writer, INSTRUMENT_ID, venue.time_ns // NS_PER_MS, publisher.change_id, is_last)
    publisher.messages += 1
