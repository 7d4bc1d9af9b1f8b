"""The default data: nanosecond captures of two made-up venues in real wire formats, the same bytes for the same seed.

What the market does is in `venues/generate/market.py`; each venue's own generator turns its side of it into packets, a
few of which get lost. A venue's capture is `<venue>.pcap`. Of a triangle all three books are one venue's, and each has
a capture of its own, `<symbol>.pcap`.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from numba import literal_unroll

from crosswire.engine.adapters import OWN_PACKAGE, find_adapter
from crosswire.engine.config import GENERATED_S_MAX, ConfigError
from crosswire.engine.entry_points import VENUE_GROUP, entry_points
from crosswire.nic.capture.writer import CaptureWriter
from crosswire.nic.duration import NS_PER_S
from crosswire.nic.unit.call import machine_code
from crosswire.nic.unit.compile import compiled
from crosswire.venues.adapter import Generator
from crosswire.venues.generate.market import (
    VENUES,
    Losses,
    MadeMarket,
    MadeVenue,
    next_event,
    open_market,
    seed_random,
)
from crosswire.venues.generate.publisher import Publisher, has_room, open_publisher, publish
from crosswire.venues.instrument import E6

START_NS = 1_767_225_600 * NS_PER_S  # 2026-01-01 00:00:00 UTC
SECONDS = 120
GAP_INTERVAL_S = 15
FIRST_GAPS = (0.35, 0.65, 0.5)  # of each capture, in parts of that
PRICE_E6 = 60_000 * E6
BUFFER_BYTES = 4 << 20
Books = Literal["pair", "triangle"]


@dataclass(frozen=True)
class GeneratedCapture:
    """One venue's capture. `messages` counts those of lost packets too."""

    path: Path
    messages: int
    gaps: int  # places where packets are missing, each with a change of the book
    packets_lost: int
    bursts: int
    trade_throughs: int  # aggressors that took more than one level


@dataclass(frozen=True)
class GeneratedData:
    """What `generate_captures` wrote."""

    captures: dict[str, GeneratedCapture]  # by venue, or of a triangle by symbol
    seconds: int
    crossed_moments: int  # times that one venue began to bid more than the other asked, or a triangle to be worth it
    jumps: int  # of the price that both follow
    dislocations: int  # of one venue alone


def generate_captures(
    directory: Path | str, seed: int = 1, seconds: int = SECONDS, venues: Sequence[str] = (), market: Books = "pair"
) -> GeneratedData:
    """Write a capture of each of two venues into `directory`, made if need be; each is written whole or not at all.

    About 1,250 messages a second and venue. `seconds` is 1 to GENERATED_S_MAX; ValueError otherwise. `venues` names the
    two, in the order of their generators' places; without names they are those that come with Crosswire. With `market`
    "triangle" they are three books of the one venue that is named, or can make them up.
    """
    if not 1 <= seconds <= GENERATED_S_MAX:
        raise ValueError(f"seconds = {seconds}: must be 1 to {GENERATED_S_MAX}")
    generators = find_triangle(venues) if market == "triangle" else find_generators(venues)
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    made = make_market(list(generators.values()), seed, seconds)
    publishers = tuple(each.make_publisher(START_NS, BUFFER_BYTES) for each in generators.values())
    buffers = [each.buffer_of(own) for each, own in zip(generators.values(), publishers, strict=True)]
    for place, (publisher, phase) in enumerate(zip(publishers, FIRST_GAPS, strict=False)):
        publisher.place = place
        plan_losses(publisher.losses, seconds, phase)
    run = machine_code(fill_buffers)
    with ExitStack() as closing:
        files = [closing.enter_context(CaptureWriter(directory / f"{venue}.pcap")) for venue in generators]
        goes_on = True
        while goes_on:
            goes_on = run(made, publishers)
            for file, buffer in zip(files, buffers, strict=True):
                file.write_memory(buffer.buffer.address, buffer.used)
                buffer.used = 0
    written = zip(generators, files, publishers, made.venues, strict=False)  # of a pair the third is not used
    return GeneratedData(
        captures={name: summary(file, publisher, venue) for name, file, publisher, venue in written},
        seconds=seconds,
        crossed_moments=made.crossed_moments,
        jumps=made.jumps,
        dislocations=made.shocks,
    )


def find_generators(venues: Sequence[str]) -> dict[str, Generator]:
    """Find the generators of two venues, by place; ConfigError if there are none, or not two."""
    names = list(venues) or [name for name, entry in entry_points(VENUE_GROUP).items() if entry.package == OWN_PACKAGE]
    found = {name: make() for name in names if (make := find_adapter(name).make_generator) is not None}
    if len(found) != VENUES or (venues and len(found) != len(venues)):
        raise ConfigError(f"generate: venues = {', '.join(names)}: must be {VENUES} that can be made up")
    return dict(sorted(found.items(), key=lambda item: item[1].place))


def find_triangle(venues: Sequence[str]) -> dict[str, Generator]:
    """Find the generators of the books of a triangle, by place; ConfigError if that is not one venue's."""
    names = list(venues) or [name for name, entry in entry_points(VENUE_GROUP).items() if entry.package == OWN_PACKAGE]
    found = [make() for name in names if (make := find_adapter(name).make_triangle) is not None]
    if len(found) != 1 or len(venues) > 1:
        raise ConfigError(f"generate: venues = {', '.join(names)}: must be one that can make up a triangle")
    return {each.name: each for each in found[0]}


def make_market(generators: Sequence[Generator], seed: int, seconds: int) -> MadeMarket:
    """Make all venues as they behave, about to open at START_NS."""
    market = MadeMarket(
        count=len(generators),
        price_e6=PRICE_E6,
        other_e6=PRICE_E6,
        begin_e6=PRICE_E6,
        step_ns=START_NS,
        end_ns=START_NS + seconds * NS_PER_S,
    )
    seed_random(market.random, seed)
    for generator, venue in zip(generators, market.venues, strict=False):
        generator.behave(venue)
        venue.depth_min = 12
        venue.depth_max = 40
        venue.event_gap_ns = 1_700_000
        venue.fair_e6 = PRICE_E6
        venue.shock_decay_steps = 1
        venue.time_ns = venue.receive_ns = venue.next_ns = START_NS
    return market


def plan_losses(losses: Losses, seconds: int, phase: float) -> None:
    """Plan one gap every GAP_INTERVAL_S, the first after a part `phase` of that, none in the last tenth of the time."""
    losses.interval_ns = min(GAP_INTERVAL_S, seconds) * NS_PER_S
    losses.next_ns = START_NS + round(losses.interval_ns * phase)
    losses.last_ns = START_NS + seconds * NS_PER_S * 9 // 10


@compiled
def open_all(market: MadeMarket, publishers: tuple[Any, ...]) -> None:
    """Open the market, and send what each venue sends first."""
    open_market(market)
    for publisher in literal_unroll(publishers):
        open_publisher(publisher, market.venues[publisher.place])


@compiled
def all_have_room(publishers: tuple[Any, ...]) -> bool:
    """Tell whether one more event fits every venue's buffer."""
    full = 0
    for publisher in literal_unroll(publishers):
        if not has_room(publisher):
            full += 1
    return full == 0


@compiled
def publish_event(market: MadeMarket, publishers: tuple[Any, ...], index: int) -> None:
    """Send the event of the venue at `index`."""
    for publisher in literal_unroll(publishers):
        if publisher.place == index:
            publish(publisher, market.random, market.venues[index])


def fill_buffers(market: MadeMarket, publishers: tuple[Any, ...]) -> bool:
    """Run the market until a buffer is full, True, or its time is over, False."""
    if market.is_open == 0:
        open_all(market, publishers)
    while all_have_room(publishers):
        index = next_event(market)
        if index < 0:
            return False
        publish_event(market, publishers, index)
    return True


def summary(file: CaptureWriter, publisher: Publisher, venue: MadeVenue) -> GeneratedCapture:
    """Sum up what was written to one file."""
    return GeneratedCapture(
        path=file.path,
        messages=publisher.messages,
        gaps=publisher.losses.gaps,
        packets_lost=publisher.losses.packets,
        bursts=venue.bursts,
        trade_throughs=venue.trade_throughs,
    )
