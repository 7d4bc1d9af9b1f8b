"""Funding rates out of captures: of all messages only definitions and tickers are read, and no book is kept.

A Ticker's `current_funding` is the rate for 8 h that holds now (in the venue's sample capture: mark over index less
one, less a damper that was 0.05 % then), `funding_8h` what the 8 h before came to. What is paid is the current one, by
the millisecond (https://support.deribit.com/hc/en-us/articles/31424939178397).
"""

from crosswire.nic.memory.struct import size_of, view
from crosswire.nic.packet import PROTOCOL_UDP, Packet, PacketCounters, parse_packet
from crosswire.nic.rings.replay import Replay, ReplayRing
from crosswire.nic.rings.ring import NEVER_NS, Frame, next_time_ns, poll, release
from crosswire.nic.unit.call import machine_code
from crosswire.nic.unit.compile import compiled
from crosswire.venues.adapter import VenueSetup
from crosswire.venues.deribit.feed.definition import read_instrument, read_instrument_v2
from crosswire.venues.deribit.feed.state import DeribitFeed
from crosswire.venues.deribit.wire.layout import FrameHeader, Template, Ticker
from crosswire.venues.deribit.wire.walk import BAD, prove_instrument, prove_message, to_nanoseconds
from crosswire.venues.market import Events, Market, clear_events
from crosswire.venues.money.rates import FeedRates, make_rates, note_rate


def read_rates(setup: VenueSetup, replay: Replay) -> FeedRates:
    """Read a venue's captures to their end. What can't be read of them, the run's own feed has counted."""
    feed, rates = DeribitFeed(venue=setup.number, ignores_definitions=1), make_rates(setup.market.count)
    arguments = (feed, setup.market, Events(), Frame(), Packet(), PacketCounters(), rates)
    read = machine_code(read_frames_rates)
    while next_time_ns(replay.ring) != NEVER_NS:
        replay.refill()
        read(replay.ring, *arguments)
    return rates


def read_frames_rates(
    ring: ReplayRing,
    feed: DeribitFeed,
    market: Market,
    events: Events,
    frame: Frame,
    packet: Packet,
    counters: PacketCounters,
    rates: FeedRates,
) -> None:
    """Read what the ring has."""
    while poll(ring, frame, NEVER_NS - 1):
        if parse_packet(frame, packet, counters) and packet.protocol == PROTOCOL_UDP:
            clear_events(events, market)
            read_packet_rates(feed, packet, market, events, rates)
        release(ring)


@compiled
def read_packet_rates(feed: DeribitFeed, packet: Packet, market: Market, events: Events, rates: FeedRates) -> None:
    """Read one packet, up to the first message that is not whole."""
    feed.time_ns = packet.time_ns
    end = packet.payload_address + packet.payload_length
    position = packet.payload_address + size_of(FrameHeader)
    if position > end or view(FrameHeader, packet.payload_address).packet_length != end - position:
        return
    while position < end:
        position = prove_message(feed, feed.block, position, end)
        if position == 0:
            return
        if feed.block.template_id == Template.TICKER:
            read_ticker_rate(feed, rates)
        elif feed.block.template_id == Template.INSTRUMENT:
            read_instrument(feed, market, events)
        elif feed.block.template_id == Template.INSTRUMENT_V2:
            read_instrument_v2(feed, market, events)


@compiled
def read_ticker_rate(feed: DeribitFeed, rates: FeedRates) -> None:
    index = prove_instrument(feed, size_of(Ticker), 0)
    if index < 0:
        return
    ticker = view(Ticker, feed.block.root)
    time_ns = to_nanoseconds(ticker.timestamp_ms)
    if time_ns != BAD:
        note_rate(rates, index, time_ns, ticker.current_funding, ticker.mark_price)
