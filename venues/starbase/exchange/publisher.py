"""Simulated Starbase's market data: every change of a book order by order, snapshots, and retransmission.

All of one request is one transaction on the incremental channel, over as many packets as it takes. The snapshot channel
sends one instrument after the other, evenly over its interval, again and again. Both feeds carry the same packets.
The last PACKETS_STORED packets of the incremental channel can be had again, by UDP.
"""

from typing import Annotated

from crosswire.nic.memory.raw import copy_bytes
from crosswire.nic.memory.struct import Array, Pointer, Struct, address_of, array, i64, size_of, u8, view
from crosswire.nic.packet import UDP_FRAME_HEADER_BYTES, Flow, Packet, write_udp_frame_header
from crosswire.nic.rings.ring import commit, reserve
from crosswire.nic.unit.compile import compiled
from crosswire.venues.book.book import Book, best_level
from crosswire.venues.book.order_queue import NONE, first_order
from crosswire.venues.market import MAP_INSTRUMENTS_MAX, Market
from crosswire.venues.starbase.exchange.matching.matching import band_ticks, has_level, next_price
from crosswire.venues.starbase.exchange.matching.state import BookChange, ChangeKind, Matching
from crosswire.venues.starbase.wire.encoder import (
    PacketWriter,
    add_copy,
    add_definition,
    add_delete,
    add_end_of_cycle,
    add_index,
    add_info,
    add_put,
    add_reduce,
    add_snapshot_header,
    add_snapshot_trailer,
    add_trade,
    add_trade_summary,
    begin_packet,
    begin_transaction,
    end_packet,
    end_transaction,
    fill_retransmit_reject,
    next_sequence,
)
from crosswire.venues.starbase.wire.market_layout import (
    PACKET_BYTES_MAX,
    InstrumentStatus,
    MessageHeader,
    PacketHeader,
    PacketType,
    RetransmitRejectReason,
    RetransmitRequest,
    Template,
)
from crosswire.venues.starbase.wire.order_layout import NULL_I64
from crosswire.venues.token_bucket import TokenBucket, set_token_bucket, take_token

PACKETS_STORED = 4096  # 5.8 MB; a power of two
HEARTBEAT_NS = 5_000_000_000  # of silence on the incremental channel
FEEDS_MAX = 2
RETRANSMIT_BYTES = size_of(PacketHeader) + size_of(MessageHeader) + size_of(RetransmitRequest)
REQUEST_MESSAGE_BYTES = size_of(MessageHeader) + size_of(RetransmitRequest)
EXPONENT_MIN = -9


class StoredPacket(Struct):
    first_sequence: i64
    count: i64
    length: i64
    data: Annotated[Array, u8, PACKET_BYTES_MAX]


class Publisher(Struct):
    """One channel: its incremental and its snapshot packets, on one or two feeds."""

    feeds: i64
    incremental_flows: Annotated[Array, Flow, FEEDS_MAX]
    snapshot_flows: Annotated[Array, Flow, FEEDS_MAX]
    retransmit_flow: Flow  # from the retransmission service; its destination is who asked
    incremental: PacketWriter
    snapshot: PacketWriter
    retransmit: PacketWriter
    last_sent_ns: i64  # on the incremental channel
    last_change_ns: i64
    snapshot_step_ns: i64  # from one instrument to the next
    next_snapshot_ns: i64
    snapshot_instrument: i64  # next one
    index_id: i64  # of the index that the mark prices stand for
    packets: i64  # of the incremental channel, ever
    snapshot_packets: i64
    messages: i64
    unsent: i64  # frames that the wire had no room for: lost, as on a full switch
    requests: i64
    answered: i64  # of these
    limit: TokenBucket  # of requests
    exponents: Annotated[Array, i64, MAP_INSTRUMENTS_MAX]  # of quantities, by market index
    mantissas: Annotated[Array, i64, MAP_INSTRUMENTS_MAX]  # of one lot
    scratch: Annotated[Array, u8, PACKET_BYTES_MAX]
    stored: Annotated[Pointer, StoredPacket]


def set_publisher(
    publisher: Publisher, market: Market, venue: int, channel_id: int, snapshot_interval_ns: int, start_ns: int
) -> None:
    """Prepare everything but the flows. The first snapshot is at `start_ns`."""
    for writer, kind, channel in (
        (publisher.incremental, PacketType.INCREMENTAL, channel_id),
        (publisher.snapshot, PacketType.SNAPSHOT, channel_id),
        (publisher.retransmit, PacketType.INCREMENTAL | PacketType.RETRANSMIT, channel_id),
    ):
        writer.channel_id = channel
        writer.type = kind
        writer.sequence = 1
    own = [index for index in range(market.count) if market.instruments[index].venue == venue]
    for index in own:
        exponent, mantissa = EXPONENT_MIN, market.instruments[index].lot_e9
        while mantissa % 10 == 0:
            exponent, mantissa = exponent + 1, mantissa // 10
        publisher.exponents[index] = exponent
        publisher.mantissas[index] = mantissa
    publisher.stored = array(StoredPacket, PACKETS_STORED)
    publisher.snapshot_step_ns = max(1, snapshot_interval_ns // len(own))
    publisher.next_snapshot_ns = start_ns
    publisher.snapshot_instrument = own[0]
    publisher.last_sent_ns = start_ns
    set_token_bucket(publisher.limit, 100, 20)


@compiled
def publish_changes(publisher: Publisher, matching: Matching, ring: Struct, now_ns: int) -> None:
    """Publish everything in the outcome, as one transaction."""
    outcome = matching.outcome
    if outcome.change_count == 0:
        return
    begin_incremental(publisher, now_ns)
    begin_transaction(publisher.incremental, now_ns)
    for place in range(outcome.change_count):
        change = outcome.changes[place]
        if change.kind != ChangeKind.NOTHING and not add_change_message(publisher, matching, change):
            send_incremental(publisher, ring, now_ns)
            begin_incremental(publisher, now_ns)
            add_change_message(publisher, matching, change)
    end_transaction(publisher.incremental)
    publisher.last_change_ns = now_ns
    send_incremental(publisher, ring, now_ns)


@compiled
def add_change_message(publisher: Publisher, matching: Matching, change: BookChange) -> bool:
    """Add one change to the packet; False if there is no room."""
    writer = publisher.incremental
    index = change.instrument
    instrument = matching.market.instruments[index]
    instrument_id = instrument.venue_id
    mantissa = change.qty_lots * publisher.mantissas[index]
    price_e9 = change.price_ticks * instrument.tick_e9
    if change.kind == ChangeKind.PUT:
        return add_put(writer, change.side, change.order_id, instrument_id, mantissa, price_e9, change.sort_order_id)
    if change.kind == ChangeKind.REDUCED:
        return add_reduce(writer, change.side, change.order_id, instrument_id, mantissa)
    if change.kind == ChangeKind.DELETED:
        return add_delete(writer, change.side, change.order_id, instrument_id)
    if change.kind == ChangeKind.TRADED:
        return add_trade(writer, change.side, change.match_id, instrument_id, change.order_id, mantissa, price_e9)
    mark_e9 = matching.mark_ticks[index] * instrument.tick_e9
    return add_trade_summary(
        writer, change.side, instrument_id, change.order_id, mantissa, price_e9, mark_e9, mark_e9, change.count
    )


@compiled
def begin_incremental(publisher: Publisher, now_ns: int) -> None:
    """Begin a new packet in the place where it will be kept."""
    stored = publisher.stored[publisher.packets & (PACKETS_STORED - 1)]
    begin_packet(publisher.incremental, address_of(stored.data), PACKET_BYTES_MAX, now_ns)


@compiled
def send_incremental(publisher: Publisher, ring: Struct, now_ns: int) -> None:
    """Send the packet being written, and keep it unless it is a heartbeat."""
    writer = publisher.incremental
    stored = publisher.stored[publisher.packets & (PACKETS_STORED - 1)]
    stored.first_sequence = writer.sequence
    stored.count = writer.count
    stored.length = end_packet(writer)
    publisher.last_sent_ns = now_ns
    publisher.messages += stored.count
    for feed in range(publisher.feeds):
        send_datagram(
            publisher, publisher.incremental_flows[feed], address_of(stored.data), stored.length, ring, now_ns
        )
    if stored.count != 0:
        publisher.packets += 1


@compiled
def send_datagram(publisher: Publisher, flow: Flow, address: int, length: int, ring: Struct, now_ns: int) -> None:
    """Send one UDP frame on the market data wire."""
    slot = reserve(ring, UDP_FRAME_HEADER_BYTES + length)
    if slot == 0:
        publisher.unsent += 1
        return
    copy_bytes(write_udp_frame_header(slot, flow, length), address, length)
    commit(ring, UDP_FRAME_HEADER_BYTES + length, now_ns)


@compiled
def next_publishing_ns(publisher: Publisher) -> int:
    """Tell when a heartbeat or the next part of the snapshot is due."""
    return min(publisher.last_sent_ns + HEARTBEAT_NS, publisher.next_snapshot_ns)


@compiled
def publish_due(publisher: Publisher, matching: Matching, venue: int, ring: Struct, now_ns: int) -> None:
    """Publish what `next_publishing_ns` announced."""
    if publisher.next_snapshot_ns <= now_ns:
        publisher.next_snapshot_ns = now_ns + publisher.snapshot_step_ns
        publish_snapshot(publisher, matching, publisher.snapshot_instrument, ring, now_ns)
        following = next_own(matching.market, venue, publisher.snapshot_instrument)
        if following <= publisher.snapshot_instrument:
            end_cycle(publisher, matching.market, venue, ring, now_ns)
        publisher.snapshot_instrument = following
    elif publisher.last_sent_ns + HEARTBEAT_NS <= now_ns:
        begin_incremental(publisher, now_ns)
        send_incremental(publisher, ring, now_ns)


@compiled
def next_own(market: Market, venue: int, index: int) -> int:
    """Find the venue's instrument after `index`, from the beginning again after the last."""
    index += 1
    while index < market.count and market.instruments[index].venue != venue:
        index += 1
    if index < market.count:
        return index
    index = 0
    while market.instruments[index].venue != venue:
        index += 1
    return index


@compiled
def begin_snapshot(publisher: Publisher, now_ns: int) -> None:
    begin_packet(publisher.snapshot, address_of(publisher.scratch), PACKET_BYTES_MAX, now_ns)
    publisher.snapshot.transact_time_ns = now_ns


@compiled
def send_snapshot(publisher: Publisher, ring: Struct, now_ns: int) -> None:
    length = end_packet(publisher.snapshot)
    publisher.snapshot_packets += 1
    for feed in range(publisher.feeds):
        send_datagram(publisher, publisher.snapshot_flows[feed], address_of(publisher.scratch), length, ring, now_ns)


@compiled
def publish_snapshot(publisher: Publisher, matching: Matching, index: int, ring: Struct, now_ns: int) -> None:
    """Publish one instrument: definition, header, orders, price band, trailer. Its mark is published at once, too."""
    writer = publisher.snapshot
    instrument = matching.market.instruments[index]
    instrument_id = instrument.venue_id
    mark_ticks = matching.mark_ticks[index]
    if mark_ticks != 0:
        begin_incremental(publisher, now_ns)
        begin_transaction(publisher.incremental, now_ns)
        add_index(publisher.incremental, publisher.index_id, mark_ticks * instrument.tick_e9)
        add_band(publisher.incremental, matching, index)
        end_transaction(publisher.incremental)
        send_incremental(publisher, ring, now_ns)
    sequence = next_sequence(publisher.incremental) - 1
    begin_snapshot(publisher, now_ns)
    add_definition(
        writer, instrument, instrument_id, publisher.index_id, publisher.exponents[index], publisher.mantissas[index],
        InstrumentStatus.OPEN,
    )  # fmt: skip
    add_snapshot_header(writer, instrument_id, publisher.last_change_ns, sequence)
    for side in range(2):
        publish_orders(publisher, matching, index, side, ring, now_ns)
    if not add_band(writer, matching, index):
        send_snapshot(publisher, ring, now_ns)
        begin_snapshot(publisher, now_ns)
        add_band(writer, matching, index)
    if not add_snapshot_trailer(writer, instrument_id, now_ns, sequence):
        send_snapshot(publisher, ring, now_ns)
        begin_snapshot(publisher, now_ns)
        add_snapshot_trailer(writer, instrument_id, now_ns, sequence)
    send_snapshot(publisher, ring, now_ns)


@compiled
def publish_orders(publisher: Publisher, matching: Matching, index: int, side: int, ring: Struct, now_ns: int) -> None:
    """Publish all orders of one side, best price first, in order of time within a price."""
    writer = publisher.snapshot
    book: Book = matching.market.books[index]
    queue = matching.queues[index]
    instrument = matching.market.instruments[index]
    if not has_level(book, side):
        return
    price_ticks = best_level(book, side)
    while True:
        place = first_order(queue, side, price_ticks)
        while place != NONE:
            order = queue.orders[place]
            mantissa = order.qty_lots * publisher.mantissas[index]
            price_e9 = price_ticks * instrument.tick_e9
            while not add_put(
                writer, side, order.order_id, instrument.venue_id, mantissa, price_e9, order.sort_order_id
            ):
                send_snapshot(publisher, ring, now_ns)
                begin_snapshot(publisher, now_ns)
            place = order.next
        worse = next_price(book, side, price_ticks)
        if worse == price_ticks:
            return
        price_ticks = worse


@compiled
def add_band(writer: PacketWriter, matching: Matching, index: int) -> bool:
    """Add the price band and mark of an instrument; NULL while unknown."""
    instrument = matching.market.instruments[index]
    mark_ticks = matching.mark_ticks[index]
    if mark_ticks == 0:
        return add_info(writer, instrument.venue_id, NULL_I64, NULL_I64, NULL_I64)
    tick_e9 = instrument.tick_e9
    if matching.price_band_ppm == 0:
        return add_info(writer, instrument.venue_id, NULL_I64, NULL_I64, mark_ticks * tick_e9)
    width_ticks = band_ticks(matching, mark_ticks)
    return add_info(
        writer, instrument.venue_id, (mark_ticks - width_ticks) * tick_e9, (mark_ticks + width_ticks) * tick_e9,
        mark_ticks * tick_e9,
    )  # fmt: skip


@compiled
def end_cycle(publisher: Publisher, market: Market, venue: int, ring: Struct, now_ns: int) -> None:
    """End the cycle: all instruments were sent."""
    active = 0
    for index in range(market.count):
        if market.instruments[index].venue == venue:
            active += 1
    begin_snapshot(publisher, now_ns)
    add_end_of_cycle(publisher.snapshot, active)
    send_snapshot(publisher, ring, now_ns)


@compiled
def answer_request(publisher: Publisher, packet: Packet, ring: Struct, now_ns: int) -> None:
    """Answer a datagram to the retransmission service, unless it is no request."""
    if packet.payload_length != RETRANSMIT_BYTES:
        return
    header = view(PacketHeader, packet.payload_address)
    message = view(MessageHeader, packet.payload_address + size_of(PacketHeader))
    if message.template_id != Template.RETRANSMIT_REQUEST or message.length != REQUEST_MESSAGE_BYTES:
        return
    publisher.requests += 1
    request = view(RetransmitRequest, packet.payload_address + size_of(PacketHeader) + size_of(MessageHeader))
    flow = publisher.retransmit_flow
    flow.destination_ip = packet.source_ip
    flow.destination_port = packet.source_port
    begin = request.begin_sequence
    scratch = address_of(publisher.scratch)
    reason: int = 0
    place = 0
    if not take_token(publisher.limit, now_ns):
        reason = RetransmitRejectReason.RATE_LIMIT_EXCEEDED
    elif begin >= publisher.incremental.sequence:
        reason = RetransmitRejectReason.SEQUENCE_TOO_HIGH
    elif request.message_count == 0:
        reason = RetransmitRejectReason.OTHER_ERROR
    else:
        place = find_stored(publisher, begin)
        if place < 0:
            reason = RetransmitRejectReason.SEQUENCE_TOO_LOW
    if reason != 0:
        length = fill_retransmit_reject(
            scratch, PACKET_BYTES_MAX, now_ns, header.channel_id, header.sequence, reason, 10_000_000
        )
    else:
        publisher.answered += 1
        length = copy_messages(publisher, place, begin, request.message_count, now_ns)
    send_datagram(publisher, flow, scratch, length, ring, now_ns)


@compiled
def find_stored(publisher: Publisher, sequence: int) -> int:
    """Find the number of the packet that holds a message which was sent, -1 if it is not kept any more."""
    low = max(0, publisher.packets - PACKETS_STORED + 1)
    high = publisher.packets - 1
    if high < low or publisher.stored[low & (PACKETS_STORED - 1)].first_sequence > sequence:
        return -1
    while low < high:
        middle = (low + high + 1) >> 1
        if publisher.stored[middle & (PACKETS_STORED - 1)].first_sequence <= sequence:
            low = middle
        else:
            high = middle - 1
    return low


@compiled
def copy_messages(publisher: Publisher, number: int, begin: int, count: int, now_ns: int) -> int:
    """Copy the answer: up to `count` messages from `begin` on, as many as one packet holds; return its length."""
    writer = publisher.retransmit
    writer.sequence = begin
    begin_packet(writer, address_of(publisher.scratch), PACKET_BYTES_MAX, now_ns)
    while number < publisher.packets and writer.count < count:
        stored = publisher.stored[number & (PACKETS_STORED - 1)]
        address = address_of(stored.data) + size_of(PacketHeader)
        for place in range(stored.count):
            if stored.first_sequence + place >= begin and writer.count < count:
                if not add_copy(writer, address):
                    return end_packet(writer)
            address += view(MessageHeader, address).length
        number += 1
    return end_packet(writer)
