"""Books and messages at a moment of a run, by replaying its captures through the loop's own feeds."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from crosswire.engine.build.market import instrument_names, make_market
from crosswire.engine.build.venue import made, venue_setup
from crosswire.engine.captures import venue_captures
from crosswire.engine.config import RunConfig
from crosswire.engine.inspect import decode_until, describe_packet
from crosswire.nic.capture.stamps import STAMPS_NAMED, Stamps
from crosswire.nic.memory.struct import array, u8
from crosswire.nic.packet import PROTOCOL_UDP, Packet, PacketCounters, parse_packet
from crosswire.nic.rings.replay import Replay, read_frames
from crosswire.nic.rings.ring import NEVER_NS, Frame, next_time_ns
from crosswire.nic.unit.call import machine_code
from crosswire.venues.book.book import NO_ASK, NO_BID, Book, best_level, executable_lots, next_level
from crosswire.venues.instrument import E9
from crosswire.venues.layout import WireLayout
from crosswire.venues.market import Events, Market
from crosswire.venues.side import ASK, BID

LEVELS_SHOWN = 5  # of each side
PACKETS_SHOWN = 5  # of each venue, before the moment and after it
LINES_SHOWN = 6  # of each packet

Level = tuple[float, float]  # price, size


@dataclass
class BookShown:
    """One book at one time: its best levels, the best first; none if it was not proven."""

    time_ns: int
    name: str
    is_valid: bool
    age_ns: int  # since its last message
    bids: list[Level] = field(default_factory=list)
    asks: list[Level] = field(default_factory=list)


@dataclass
class Source:
    """Where a run's market data is: its configuration, what that is relative to, captures given instead."""

    config: RunConfig
    config_path: Path
    captures: Mapping[str, Path]  # by venue
    is_live: bool  # then the configuration's captures are not what it saw

    def paths(self, number: int) -> list[Path]:
        """List a venue's captures."""
        venue = self.config.venue[number]
        if venue.name in self.captures or self.is_live:
            return [self.captures[venue.name]] if venue.name in self.captures else []
        return venue_captures(venue, self.config_path)

    def stamps(self, number: int) -> Stamps:
        """Tell the hardware time stamps in a venue's captures: a live run's own have the times that it traded by."""
        return Stamps.NONE if self.is_live else STAMPS_NAMED[self.config.venue[number].capture_stamps]

    def missing(self, numbers: Sequence[int]) -> str:
        """Say in one line what is not there; "" if everything is."""
        for number in numbers:
            name, paths = self.config.venue[number].name, self.paths(number)
            if not paths:
                return f"what venue {name} sent is not known; give a capture of it with --capture {name}=FILE"
            for path in paths:
                if not path.exists():
                    return f"capture {path} of venue {name} is not there; name it with --capture {name}=FILE"
        return ""


def books_at(source: Source, names: Sequence[str], times_ns: Sequence[int]) -> list[BookShown]:
    """Show the books of instruments ("venue/symbol") at each of some times, in order. CaptureError: a bad file."""
    config = source.config
    market, _ = make_market(config)
    index_of = {name: index for index, name in enumerate(instrument_names(config))}
    shown = []
    for number in sorted({market.instruments[index_of[name]].venue for name in names}):
        setup = venue_setup(number, config, market, source.config_path)
        feed = made(config.venue[number].adapter.make_feed, setup, config, source.config_path)
        arguments = (feed, market, Events(), Frame(), Packet(), PacketCounters())
        walk = machine_code(decode_until)
        with Replay(source.paths(number), stamps=source.stamps(number)) as replay:
            for time_ns in sorted(set(times_ns)):
                while (due_ns := next_time_ns(replay.ring)) != NEVER_NS and due_ns <= time_ns:
                    if due_ns < 0:
                        replay.refill()
                    walk(replay.ring, *arguments, time_ns)
                own = [name for name in names if market.instruments[index_of[name]].venue == number]
                shown += [_shown(market, index_of[name], name, time_ns) for name in own]
    return sorted(shown, key=lambda book: (book.time_ns, index_of[book.name]))


def _shown(market: Market, index: int, name: str, time_ns: int) -> BookShown:
    book = market.books[index]
    found = BookShown(time_ns, name, book.valid != 0, time_ns - book.receive_time_ns)
    if found.is_valid:
        found.bids, found.asks = (_levels(market, index, book, side) for side in (BID, ASK))
    return found


def _levels(market: Market, index: int, book: Book, side: int) -> list[Level]:
    instrument = market.instruments[index]
    levels: list[Level] = []
    ticks = best_level(book, side)
    while len(levels) < LEVELS_SHOWN and ticks not in (NO_BID, NO_ASK):
        lots = executable_lots(book, side, ticks)
        levels.append((ticks * instrument.tick_e9 / E9, lots * instrument.lot_e9 / E9))
        ticks = next_level(book, side, ticks)
    return levels


def messages_around(source: Source, number: int, time_ns: int) -> tuple[list[str], list[str]]:
    """Describe a venue's last packets up to a time, and its first ones after it, PACKETS_SHOWN of each."""
    before: deque[list[str]] = deque(maxlen=PACKETS_SHOWN)
    after: list[list[str]] = []
    layout = source.config.venue[number].adapter.wire
    frame, packet, counters = Frame(), Packet(), PacketCounters()
    kept: deque[tuple[int, bytes]] = deque(maxlen=PACKETS_SHOWN)
    for frame_ns, content in read_frames(source.paths(number), stamps=source.stamps(number)):
        if frame_ns <= time_ns:
            kept.append((frame_ns, content))
        elif len(after) < PACKETS_SHOWN:
            after += _described(frame_ns, content, layout, frame, packet, counters)
        else:
            break
    for frame_ns, content in kept:
        before.extend(_described(frame_ns, content, layout, frame, packet, counters))
    return [line for lines in before for line in lines], [line for lines in after for line in lines]


def _described(
    time_ns: int, content: bytes, layout: WireLayout, frame: Frame, packet: Packet, counters: PacketCounters
) -> list[list[str]]:
    buffer = array(u8, len(content))
    buffer.numpy()[:] = memoryview(content)
    frame.address, frame.length, frame.time_ns = buffer.address, len(content), time_ns
    if not parse_packet(frame, packet, counters) or packet.protocol != PROTOCOL_UDP:
        return []
    lines = [line for line, _ in describe_packet(layout, packet)]
    left_out = len(lines) - LINES_SHOWN
    return [lines[:LINES_SHOWN] + ([f"    ... {left_out} lines more"] if left_out > 0 else [])]
