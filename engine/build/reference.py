"""The price that a simulated market follows, read from another venue's captures."""

from pathlib import Path
from typing import Annotated, Any

from crosswire.engine.build.market import instrument_names
from crosswire.engine.captures import open_captures
from crosswire.engine.config import ConfigError, RunConfig
from crosswire.nic.memory.struct import Pointer, Struct, array, i64
from crosswire.nic.packet import PROTOCOL_UDP, Packet, PacketCounters, parse_packet
from crosswire.nic.rings.replay import ReplayRing
from crosswire.nic.rings.ring import NEVER_NS, Frame, next_time_ns, poll, release
from crosswire.nic.unit.call import machine_code
from crosswire.venues.feed import Feed, decode
from crosswire.venues.instrument import price_e9
from crosswire.venues.market import Events, Market, clear_events

INTERVAL_NS = 20_000_000  # between two looks at the followed book
POINTS_MAX = 1 << 20  # 5.8 hours of them


class PricePath(Struct):
    """The middle of one book every INTERVAL_NS, when the book was proven. Pairs of (time_ns, price_e9)."""

    instrument: i64  # market index
    next_ns: i64
    count: i64
    pairs: Annotated[Pointer, i64]


def follow_frames(
    ring: ReplayRing,
    feed: Feed,
    market: Market,
    events: Events,
    frame: Frame,
    packet: Packet,
    counters: PacketCounters,
    path: PricePath,
) -> None:
    """Decode what the ring has, sampling the book as time passes."""
    book = market.books[path.instrument]
    instrument = market.instruments[path.instrument]
    while poll(ring, frame, NEVER_NS - 1):
        if parse_packet(frame, packet, counters) and packet.protocol == PROTOCOL_UDP:
            clear_events(events, market)
            decode(feed, packet, market, events)
            if frame.time_ns >= path.next_ns and path.count < POINTS_MAX and book.valid != 0:
                path.next_ns = frame.time_ns + INTERVAL_NS
                path.pairs[2 * path.count] = frame.time_ns
                path.pairs[2 * path.count + 1] = price_e9(instrument, book.bid_ticks + book.ask_ticks) // 2
                path.count += 1
        release(ring)


def followed_venue(config: RunConfig, where: str, follow: str) -> int:
    """Find the number of the venue of "venue/symbol", which is to be followed; ConfigError if there is none."""
    for number, venue in enumerate(config.venue):
        if venue.captures and follow in [f"{venue.name}/{instrument.symbol}" for instrument in venue.instrument]:
            return number
    raise ConfigError(f"{where} = {follow}: no instrument with captures")


def price_path(config: RunConfig, config_path: Path, follow: str, number: int, feed: Feed, market: Market) -> Any:
    """Read rows of (time_ns, price_e9) of the instrument "venue/symbol" from the captures of venue `number`.

    `feed` is that venue's feed. ConfigError if the captures never prove the instrument's book.
    """
    path = PricePath(instrument=instrument_names(config).index(follow), pairs=array(i64, 2 * POINTS_MAX))
    arguments = (feed, market, Events(), Frame(), Packet(), PacketCounters(), path)
    run = machine_code(follow_frames)
    with open_captures(config.venue[number], config_path) as replay:
        while next_time_ns(replay.ring) != NEVER_NS:
            replay.refill()
            run(replay.ring, *arguments)
    if path.count == 0:
        raise ConfigError(f"{config_path}: {follow}: its captures prove no book that could be followed")
    return path.pairs.numpy(2 * path.count).reshape(-1, 2).copy()
