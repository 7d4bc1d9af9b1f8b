"""Funding out of captures of the bridge feed: of all messages only definitions and mark prices are read."""

from crosswire.nic.memory.struct import size_of, view
from crosswire.nic.packet import PROTOCOL_UDP, Packet, PacketCounters, parse_packet
from crosswire.nic.rings.replay import Replay, ReplayRing
from crosswire.nic.rings.ring import NEVER_NS, Frame, next_time_ns, poll, release
from crosswire.nic.unit.call import machine_code
from crosswire.nic.unit.compile import compiled
from crosswire.venues.adapter import VenueSetup
from crosswire.venues.bridge.feed import (
    BridgeFeed,
    behind_group,
    check_message,
    define_instrument,
    exchange_time,
    find_book,
    find_channel,
    is_book_message,
    pass_groups,
    pass_over,
)
from crosswire.venues.bridge.wire.layout import (
    SCHEMA_VERSION,
    InstrumentDefinition,
    MarkPrice,
    MessageHeader,
    PacketHeader,
    Template,
)
from crosswire.venues.market import Events, Market, clear_events
from crosswire.venues.money.payments import Payments, end_payments, make_payments, note_word


def read_payments(setup: VenueSetup, replay: Replay) -> Payments:
    """Read a venue's captures to their end. What can't be read of them, the run's own feed has counted."""
    feed, payments = BridgeFeed(venue=setup.number, ignores_definitions=1), make_payments(setup.market.count)
    arguments = (feed, setup.market, Events(), Frame(), Packet(), PacketCounters(), payments)
    read = machine_code(read_frames_payments)
    while next_time_ns(replay.ring) != NEVER_NS:
        replay.refill()
        read(replay.ring, *arguments)
    end_payments(payments)
    return payments


def read_frames_payments(
    ring: ReplayRing,
    feed: BridgeFeed,
    market: Market,
    events: Events,
    frame: Frame,
    packet: Packet,
    counters: PacketCounters,
    payments: Payments,
) -> None:
    """Read what the ring has."""
    while poll(ring, frame, NEVER_NS - 1):
        if parse_packet(frame, packet, counters) and packet.protocol == PROTOCOL_UDP:
            clear_events(events, market)
            if payments.first_ns == 0:
                payments.first_ns = packet.time_ns
            payments.last_ns = packet.time_ns
            read_packet_payments(feed, packet, market, events, payments)
        release(ring)


@compiled
def read_packet_payments(feed: BridgeFeed, packet: Packet, market: Market, events: Events, payments: Payments) -> None:
    """Read one packet, up to the first message that is not whole."""
    if packet.payload_length < size_of(PacketHeader):
        return
    header = view(PacketHeader, packet.payload_address)
    if header.length != packet.payload_length:
        return
    end = packet.payload_address + packet.payload_length
    position = packet.payload_address + size_of(PacketHeader)
    count = header.message_count
    for place in range(count):
        if position == 0:
            return
        position = read_message_payment(feed, header, position, count - 1 - place, end, market, events, payments)


@compiled
def read_message_payment(
    feed: BridgeFeed,
    header: PacketHeader,
    position: int,
    left: int,
    end: int,
    market: Market,
    events: Events,
    payments: Payments,
) -> int:
    """Read the message at `position`, `left` before the packet's last; the address after it, or 0."""
    block = check_message(feed, position, end)
    if block == 0:
        return 0
    channel_index = find_channel(feed, header.channel_id)
    if channel_index < 0:
        return 0
    message = view(MessageHeader, position)
    if block < 0:
        return pass_over(feed, channel_index, message, left, market, events, end)
    after = block + message.block_length
    if is_book_message(message.template_id):
        asks = behind_group(after, end)
        after = 0 if asks == 0 else behind_group(asks, end)
    elif message.template_id == Template.INSTRUMENT_DEFINITION:
        definition = view(InstrumentDefinition, block)
        define_instrument(feed, channel_index, definition, market, events, header.send_time_ns)
    elif message.template_id == Template.MARK_PRICE:
        feed.channels[channel_index].send_time_ns = header.send_time_ns
        read_mark_price(feed, channel_index, view(MarkPrice, block), payments)
    if message.version > SCHEMA_VERSION and after != 0:
        return pass_groups(after, left, end)
    return after


@compiled
def read_mark_price(feed: BridgeFeed, channel_index: int, mark: MarkPrice, payments: Payments) -> None:
    """Take what a mark price tells of the next payment."""
    index = find_book(feed, channel_index, mark.instrument_id)
    if index >= 0:
        time_ns = exchange_time(feed, mark.exchange_time_ns, feed.channels[channel_index])
        note_word(payments, index, time_ns, mark.funding_rate_e9, mark.mark_price_e9, mark.next_funding_ns)
