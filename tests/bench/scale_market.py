"""The captures of `crosswire bench scale`: a venue's quiet books on the bridge feed, as many and as deep as wanted."""

from pathlib import Path
from typing import Annotated

from crosswire.nic.capture.writer import CaptureWriter
from crosswire.nic.memory.struct import Pointer, address_of, array, i64
from crosswire.nic.packet import Flow
from crosswire.nic.unit.compile import compiled
from crosswire.venues.bridge.wire.encoder import (
    FeedWriter,
    book_bytes_max,
    set_writer,
    write_definition,
    write_delta,
    write_snapshot,
)
from crosswire.venues.bridge.wire.layout import BookDelta, InstrumentDefinition, Level, Snapshot
from crosswire.venues.instrument import Instrument
from crosswire.venues.side import ASK, BID
from tests.bench.quiet_book import HALF_SPREAD_TICKS, LOTS, MIDDLE_TICKS, Drawing, draw
from tests.bench.tick_to_trade import compiled_for
from tests.bench.tick_to_trade_exchange import define

BUFFER_BYTES = 1 << 22
BEGIN_NS = 1_767_225_600_000_000_000  # 2026-01-01
FRAME_NS = 20_000  # from one frame to the next: no book grows old
WIDE = 1 << 15  # `draw` gives 15 bits


class QuietVenue(Drawing):
    """One venue's publisher, and what it is about to say."""

    instruments: i64
    depth: i64  # levels a side
    writer: FeedWriter
    snapshot: Snapshot
    delta: BookDelta
    bids: Annotated[Pointer, Level]
    asks: Annotated[Pointer, Level]
    last_ids: Annotated[Pointer, i64]
    definitions: Annotated[Pointer, InstrumentDefinition]


@compiled
def set_quiet_level(level: Level, side: int, position: int, qty_lots: int) -> None:
    """Fill in a level of a book whose every price is taken."""
    distance = HALF_SPREAD_TICKS + position
    level.price_ticks = MIDDLE_TICKS - distance if side == BID else MIDDLE_TICKS + distance
    level.qty_lots = qty_lots


def write_opening(venue: QuietVenue, number: int) -> bool:
    """Write the definition and the snapshot of instrument `number`; False without room for them."""
    for position in range(venue.depth):
        set_quiet_level(venue.bids[position], BID, position, LOTS)
        set_quiet_level(venue.asks[position], ASK, position, LOTS)
    venue.last_ids[number] = 1
    venue.snapshot.instrument_id = 1 + number
    venue.snapshot.exchange_time_ns = venue.writer.time_ns
    venue.snapshot.last_id = 1
    return write_definition(venue.writer, venue.definitions[number]) and write_snapshot(
        venue.writer, venue.snapshot, venue.bids, venue.depth, venue.asks, venue.depth
    )


def write_frames(venue: QuietVenue, frames: int) -> int:
    """Write up to `frames` deltas, each of one level a side of any instrument; how many there was room for."""
    for written in range(frames):
        number = draw(venue, WIDE) % venue.instruments
        for side in (BID, ASK):
            position = (draw(venue, WIDE) * WIDE + draw(venue, WIDE)) % venue.depth
            level = venue.bids[0] if side == BID else venue.asks[0]
            set_quiet_level(level, side, position, LOTS + draw(venue, LOTS))
        delta = venue.delta
        delta.instrument_id = 1 + number
        delta.exchange_time_ns = venue.writer.time_ns
        delta.previous_id = venue.last_ids[number]
        delta.first_id = venue.last_ids[number] + 1
        delta.last_id = venue.last_ids[number] + 1
        if not write_delta(venue.writer, delta, venue.bids, 1, venue.asks, 1):
            return written
        venue.last_ids[number] += 1
        venue.writer.time_ns += FRAME_NS
    return frames


def write_capture(path: Path, terms: list[Instrument], depth: int, frames: int, seed: int) -> None:
    """Write a capture of these instruments' books, `depth` levels a side, and of `frames` changes of them."""
    venue = QuietVenue(random=seed, instruments=len(terms), depth=depth)
    flow = Flow(
        source_mac=0x02_00_00_00_02_00 + seed, destination_mac=0x01_00_5E_01_01_00 + seed,
        source_ip=0x0A_00_02_00 + seed, destination_ip=0xEF_01_01_00 + seed, source_port=6200, destination_port=6200,
    )  # fmt: skip
    set_writer(venue.writer, flow, seed, BUFFER_BYTES + book_bytes_max(2 * depth))
    venue.writer.time_ns = BEGIN_NS + seed  # two venues' frames never come at one time
    venue.bids, venue.asks = array(Level, depth), array(Level, depth)
    venue.last_ids = array(i64, len(terms))
    venue.definitions = array(InstrumentDefinition, len(terms))
    for number, each in enumerate(terms):
        define(venue.definitions[number], each, 1 + number)
    opening, changes = compiled_for(write_opening, venue, 0), compiled_for(write_frames, venue, 0)
    with CaptureWriter(path) as file:

        def keep() -> None:
            file.write_memory(address_of(venue.writer.buffer), venue.writer.used)
            venue.writer.used = 0

        for number in range(len(terms)):
            if not opening(venue, number):
                raise ValueError(f"{path}: no room for a book of {depth} levels a side")
            keep()
        left = frames
        while left > 0:
            left -= changes(venue, left)
            keep()
