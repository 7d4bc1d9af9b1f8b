"""What captures say of the instruments that are configured, held against the configuration before anything is run.

A run over a tick or lot that is not the venue's would compute with wrong prices, or, since a feed takes no book that
the wire contradicts, do nothing at all. The beginning of each capture is read until every configured instrument
was defined; what comes later, the run's own feed counts (`Feed.definition_mismatches`). Fees are the account's own and
are not compared, nor what a venue's definitions do not tell (`Adapter.untold`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import msgspec

from crosswire.engine.build.market import expiry_ns, time_of
from crosswire.engine.captures import open_captures
from crosswire.engine.config import ConfigError, InstrumentConfig, RunConfig, VenueConfig
from crosswire.engine.inspect import nothing_read, plain
from crosswire.nic.memory.struct import Struct, address_of, i64
from crosswire.nic.packet import PROTOCOL_UDP, Packet, PacketCounters, parse_packet
from crosswire.nic.rings.replay import Replay, ReplayRing
from crosswire.nic.rings.ring import NEVER_NS, Frame, next_time_ns, poll, release
from crosswire.nic.unit.link import Linker
from crosswire.nic.unit.load import call_entry
from crosswire.nic.unit.unit import Entry, Unit
from crosswire.nic.warning import DataWarning
from crosswire.venues.adapter import Adapter
from crosswire.venues.book.book import make_books
from crosswire.venues.book.pages import LEVELS_MIN
from crosswire.venues.feed import Feed, Reject, feed_unit
from crosswire.venues.instrument import E9, Instrument, Kind, Payoff, text_of
from crosswire.venues.market import Events, Market, clear_events

LOOK_BYTES = 64 << 20  # of a venue's captures, before what was not defined yet is left to the run
INSTRUMENTS_FIRST = 64  # there is room for at first: most captures define no more, and it takes a tenth of the time
LOOK_FRAMES = 4096  # between two looks at what was defined
NEAREST_MAX = 3  # names that are shown beside one that is not there
TERMS = ("kind", "payoff", "tick", "lot", "contract", "base", "quote", "settlement")


class Look(Struct):
    """Addresses of a feed's unit and of `look_at_frames`."""

    decode: i64
    look: i64


@dataclass
class Seen:
    """What a venue's captures defined, as far as they were read."""

    feed: Feed
    market: Market
    frames: int = 0
    is_full: bool = False  # there was no room for more, and not all that is configured was among it
    is_whole: bool = False  # they were read to their end, and there was room for all that they define

    def named(self, symbol: str) -> list[Instrument]:
        """List the instruments of this symbol: a feed may front several markets of one exchange."""
        instruments = [self.market.instruments[index] for index in range(self.market.count)]
        return [instrument for instrument in instruments if text_of(instrument.symbol) == symbol]


def look_at_frames(
    ring: ReplayRing,
    decode: int,
    feed: int,
    market: Market,
    events: Events,
    frame: Frame,
    packet: Packet,
    counters: PacketCounters,
) -> None:
    """Have the feed at this address decode the next LOOK_FRAMES frames. The same machine code for every feed."""
    count = 0
    while count < LOOK_FRAMES and poll(ring, frame, NEVER_NS - 1):
        count += 1
        if parse_packet(frame, packet, counters) and packet.protocol == PROTOCOL_UDP:
            clear_events(events, market)
            call_entry(decode, feed, address_of(packet), address_of(market), address_of(events))
        release(ring)


LOOK_UNIT = Unit(
    "look", (Entry("look", look_at_frames, (ReplayRing, "i64", "i64", Market, Events, Frame, Packet, PacketCounters)),)
)


def check_definitions(config: RunConfig, config_path: Path) -> tuple[RunConfig, list[DataWarning]]:
    """Hold the configuration against all captures; return it with what it leaves out and they tell.

    ConfigError: one line for the first thing that they contradict. What a venue with `ignore_definitions` contradicts
    is a warning each instead, and nothing is added to its instruments.
    """
    linker, looks = Linker(), []
    for venue in config.venue:
        if venue.captures and (seen := begin_look(venue.adapter, INSTRUMENTS_FIRST)) is not None:
            looks.append((venue, seen, link_look(linker, seen)))
    linker.load()
    warnings = []
    venues = {venue.name: venue for venue in config.venue}
    for venue, seen, look in looks:
        look_at_captures(venue, config_path, seen, look)
        if seen.is_full:
            seen = begin_look(venue.adapter, venue.adapter.instruments_max) or seen
            look_at_captures(venue, config_path, seen, look)
        warnings += check_venue(venue, seen, f"{config_path}: venue {venue.name}")
        if not venue.ignore_definitions:
            venues[venue.name] = with_expiries(venue, seen)
    return msgspec.structs.replace(config, venue=list(venues.values())), warnings


def with_expiries(venue: VenueConfig, seen: Seen) -> VenueConfig:
    """Add when futures expire, where the venue's captures tell and its configuration does not."""
    instruments = []
    for each in venue.instrument:
        told = {named.expiry_ns for named in seen.named(each.symbol) if Kind(named.kind).name.lower() == each.kind}
        expiry = time_of(min(told)) if each.kind == "future" and told and min(told) != 0 else None
        instruments.append(msgspec.structs.replace(each, expiry=each.expiry or expiry))
    return msgspec.structs.replace(venue, instrument=instruments)


def check_venue(venue: VenueConfig, seen: Seen, where: str) -> list[DataWarning]:
    """Hold a venue's instruments against what its captures define, as `check_definitions`."""
    check_readable(venue, seen, where)
    warnings = []
    for each in venue.instrument:
        told = list(contradictions(venue, each, seen))
        if told and not venue.ignore_definitions:
            raise ConfigError(
                f"{where}, {each.symbol}: the capture {told[0]}; correct it, or pass --ignore-definitions "
                "(ignore_definitions = true in [[venue]])"
            )
        if told:
            warnings.append(
                DataWarning(
                    kind="terms that the captures contradict",
                    count=len(told),
                    first_place=f"venue {venue.name}, {each.symbol}: the capture {told[0]}",
                    what_to_do="the configuration was believed; correct it unless you know better than the venue",
                )
            )
    return warnings


def check_readable(venue: VenueConfig, seen: Seen, where: str) -> None:
    """Refuse captures of which the feed can read nothing: no run over them could do anything."""
    if not seen.frames and not seen.is_whole:
        return
    rejects = {reason.name.lower(): seen.feed.rejects[reason] for reason in Reject if seen.feed.rejects[reason]}
    counted = {"frames": seen.frames, "packets": seen.feed.packets}
    if why := nothing_read(venue.feed, sum(seen.feed.messages), counted, rejects):
        raise ConfigError(
            f'{where}: captures: {why}: are they of feed = "{venue.feed}", and were the right groups captured?'
        )


def begin_look(adapter: Adapter, capacity: int, levels: int = LEVELS_MIN) -> Seen | None:
    """Make a feed that takes up what captures define, `capacity` at most; None if a venue's define nothing.

    `levels` is what a book has room for: fewer than a snapshot has leave it without.
    """
    if adapter.discover is None:
        return None
    market = Market(capacity=min(capacity, adapter.instruments_max))
    market.instruments = Instrument.array(market.capacity)
    market.books = make_books(market.capacity, levels)
    return Seen(adapter.discover(market), market)


def link_look(linker: Linker, seen: Seen) -> Look:
    """Have what a look calls linked."""
    look = Look()
    linker.link_all(look, feed_unit(type(seen.feed)))
    linker.link_all(look, LOOK_UNIT)
    return look


def read_frames(replay: Replay, seen: Seen, look: Look) -> Iterator[None]:
    """Have a feed decode captures, to their end or LOOK_BYTES far; come back after each LOOK_FRAMES."""
    state = (seen.market, Events(), Frame(), Packet(), PacketCounters())
    ring = replay.ring
    while (time_ns := next_time_ns(ring)) != NEVER_NS and ring.counters.bytes < LOOK_BYTES:
        if time_ns < 0:
            replay.refill()
            continue
        call_entry(look.look, address_of(ring), look.decode, address_of(seen.feed), *map(address_of, state))
        seen.frames = ring.counters.frames
        yield
    seen.is_whole = next_time_ns(ring) == NEVER_NS


def look_at_captures(venue: VenueConfig, config_path: Path, seen: Seen, look: Look) -> None:
    """Read a venue's captures until all its instruments were defined, to their end, or LOOK_BYTES far."""
    market = seen.market
    wanted = {each.symbol for each in venue.instrument}
    with open_captures(venue, config_path) as replay:
        for _ in read_frames(replay, seen, look):
            if wanted <= {text_of(market.instruments[index].symbol) for index in range(market.count)}:
                break
            if market.count == market.capacity:
                seen.is_full = True
                return
        seen.is_whole = next_time_ns(replay.ring) == NEVER_NS


def contradictions(venue: VenueConfig, each: InstrumentConfig, seen: Seen) -> Iterator[str]:
    """Say what the captures contradict of an instrument, in words that go on after "the capture"."""
    found = seen.named(each.symbol)
    if not found:
        if seen.is_whole:
            names = [text_of(seen.market.instruments[index].symbol) for index in range(seen.market.count)]
            nearest = get_close_matches(each.symbol, names, NEAREST_MAX, cutoff=0.0) or ["nothing"]
            yield f"never defines it; nearest to it are {', '.join(nearest)}"
        return
    differences = [list(differing_terms(venue, each, instrument)) for instrument in found]
    yield from min(differences, key=len)


def differing_terms(venue: VenueConfig, each: InstrumentConfig, told: Instrument) -> Iterator[str]:
    """Say which terms of an instrument the wire tells otherwise."""
    for name in TERMS:
        if name in venue.adapter.untold:
            continue
        own = getattr(each, name)
        said = wire_term(told, name)
        if not said:  # a currency that this definition leaves out
            continue
        if own != said if isinstance(own, str) else own * E9 != told_e9(told, name):
            yield f"says {name} {said}, you say {own}"
    own_ns = expiry_ns(each, each.symbol)
    if 0 not in (own_ns, told.expiry_ns) and own_ns != told.expiry_ns:
        yield f"says expiry {time_of(told.expiry_ns).isoformat()}, you say {time_of(own_ns).isoformat()}"


def told_e9(told: Instrument, name: str) -> int:
    """An amount that the wire tells, 1e-9 units."""
    amount: int = getattr(told, f"{name}_e9")
    return amount


def wire_term(told: Instrument, name: str) -> str:
    """A term as the configuration would have it."""
    if name == "kind":
        return Kind(told.kind).name.lower()
    if name == "payoff":
        return Payoff(told.payoff).name.lower()
    if name in ("base", "quote", "settlement"):
        return text_of(getattr(told, name))
    return plain(told_e9(told, name))
