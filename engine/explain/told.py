"""Rings and a clock that follow what a live run's journal and capture tell: the same loop, turn by turn.

A live loop meets its surroundings in few places: what its clock showed in a turn, whose ring gave a frame then, what
a ring said of its connections and slots. All of that is told here, and nothing is made up; what the loop commits is
kept, to be held against what was sent.
"""

from typing import Annotated

from crosswire.engine.loop import Status, look_at_rings, turn_once
from crosswire.engine.state import Engine
from crosswire.nic.clock import advance
from crosswire.nic.memory.raw import copy_bytes
from crosswire.nic.memory.struct import Array, Pointer, Reference, Struct, address_of, array, i64, size_of, u8, view
from crosswire.nic.rings.connection import CONNECTIONS_MAX, connection_of, reconnect, select_stream
from crosswire.nic.rings.ring import (
    Frame,
    RingCounters,
    commit,
    flush,
    next_time_ns,
    poll,
    release,
    reserve,
    set_frame,
)
from crosswire.nic.rings.tap import show_sent
from crosswire.nic.unit.compile import compiled
from crosswire.nic.unit.unit import Unit, unit_of

TURNS_AT_ONCE = 1 << 13  # that Python hands over
SENT_BYTES = 8 << 20  # of frames that the loop commits until Python takes them
SENT_FULL_BYTES = SENT_BYTES // 2  # then it is to: one turn's orders fit in the rest
SLOT_BYTES = 2048
RECORDS_LEFT_BYTES = 1 << 20  # of a segment of the journal, beside what that keeps for one turn


class ToldTurns(Struct):
    """Turns of the loop that are to be followed next."""

    count: i64
    position: i64  # of the next turn
    current: i64  # of the one being followed
    times_ns: Annotated[Pointer, i64]
    venues: Annotated[Pointer, i64]  # a bit for each that a frame was taken of


class ToldClock(Struct):
    """Shows what the run's clock showed in each turn."""

    turns: Annotated[ToldTurns, Reference]


class ToldFrame(Struct):
    offset: i64  # in `data`
    length: i64
    time_ns: i64


class ToldConnection(Struct):
    asked: i64  # how many times `connection_of` had been called before it gave this
    stream: i64
    number: i64


class SentHeader(Struct):
    """Before each frame that the loop has committed."""

    length: i64
    time_ns: i64


class ToldRing(Struct):
    """One venue's ring as the run's loop saw it."""

    venue: i64
    turns: Annotated[ToldTurns, Reference]
    frame_count: i64
    position: i64  # of the next frame
    missing: i64  # frames that the capture does not have
    frames: Annotated[Pointer, ToldFrame]
    data: Annotated[Pointer, u8]
    asked_connections: i64
    connection_count: i64
    connection_position: i64
    connection_changes: Annotated[Pointer, ToldConnection]
    connections: Annotated[Array, i64, CONNECTIONS_MAX]
    asked_slots: i64
    refused_count: i64
    refused_position: i64
    refused: Annotated[Pointer, i64]  # by how many slots had been asked for before
    shows_sent: i64
    sent_bytes: i64
    sent: Annotated[Pointer, u8]
    counters: RingCounters
    slot: Annotated[Array, u8, SLOT_BYTES]


def make_told_ring(venue: int, turns: ToldTurns) -> ToldRing:
    """Make the ring of a venue, with nothing to tell yet."""
    ring = ToldRing(venue=venue)
    ring.turns = turns
    ring.frames, ring.data = array(ToldFrame, 1), array(u8, 8)
    ring.connection_changes, ring.refused = array(ToldConnection, 1), array(i64, 1)
    ring.sent = array(u8, SENT_BYTES)
    return ring


@advance.register(ToldClock)
def _advance_told(clock: ToldClock, next_ns: int) -> int:
    """Go to the next turn; a loop whose rings are always due asks with 0 then, and within a turn with its time."""
    turns = clock.turns
    if next_ns <= 0:
        turns.current = turns.position
        turns.position += 1
    return turns.times_ns[turns.current]


@poll.register(ToldRing)
def poll_told(ring: ToldRing, frame: Frame, _now_ns: int) -> bool:
    if ring.turns.venues[ring.turns.current] >> ring.venue & 1 == 0:
        return False
    if ring.position >= ring.frame_count:
        ring.missing += 1
        return False
    told = ring.frames[ring.position]
    ring.position += 1
    if told.length == 0:
        ring.missing += 1
        return False
    set_frame(ring.counters, frame, address_of(ring.data) + told.offset, told.length, told.time_ns)
    return True


@release.register(ToldRing)
def release_told(_ring: ToldRing) -> None:
    pass


@next_time_ns.register(ToldRing)
def next_told_ns(_ring: ToldRing) -> int:
    """Say what a live ring says: look at once."""
    return 0


@reserve.register(ToldRing)
def reserve_told(ring: ToldRing, length: int) -> int:
    asked = ring.asked_slots
    ring.asked_slots += 1
    if ring.refused_position < ring.refused_count and ring.refused[ring.refused_position] == asked:
        ring.refused_position += 1
        return 0
    return address_of(ring.slot) if length <= SLOT_BYTES else 0


@commit.register(ToldRing)
def commit_told(ring: ToldRing, length: int, now_ns: int) -> None:
    if ring.shows_sent == 0:
        return
    assert ring.sent_bytes + size_of(SentHeader) + length + 8 <= SENT_BYTES
    start = address_of(ring.sent) + ring.sent_bytes
    header = view(SentHeader, start)
    header.length = length
    header.time_ns = now_ns
    copy_bytes(start + size_of(SentHeader), address_of(ring.slot), length)
    ring.sent_bytes += size_of(SentHeader) + (length + 7) // 8 * 8


@flush.register(ToldRing)
def flush_told(_ring: ToldRing) -> None:
    pass


@show_sent.register(ToldRing)
def show_told(ring: ToldRing, is_shown: int) -> None:
    ring.shows_sent = is_shown


@connection_of.register(ToldRing)
def connection_of_told(ring: ToldRing, stream: int) -> int:
    if ring.connection_position < ring.connection_count:
        change = ring.connection_changes[ring.connection_position]
        if change.asked == ring.asked_connections:
            ring.connections[change.stream] = change.number
            ring.connection_position += 1
    ring.asked_connections += 1
    return ring.connections[stream]


@select_stream.register(ToldRing)
def select_told_stream(_ring: ToldRing, _stream: int) -> None:
    pass


@reconnect.register(ToldRing)
def reconnect_told(_ring: ToldRing, _stream: int, _now_ns: int) -> None:
    pass


class ToldRings(Struct):
    """The rings of all venues, for `follow` to see that they have room."""

    count: i64
    addresses: Annotated[Array, i64, 8]


def follow(engine: Engine, clock: ToldClock, rings: ToldRings) -> int:
    """Follow the turns that are told; TURNED: all of them, JOURNAL: Python is to take what was written and sent."""
    look_at_rings(engine)
    turns = clock.turns
    status: int = Status.TURNED
    while status == Status.TURNED and turns.position < turns.count:
        if is_full(engine, rings):
            return Status.JOURNAL
        status = turn_once(engine, clock)
    return status


@compiled
def is_full(engine: Engine, rings: ToldRings) -> bool:
    """Tell whether what was written or sent is to be taken before the next turn."""
    journal = engine.journal
    if journal.position > journal.turn_limit - RECORDS_LEFT_BYTES:
        return True
    for number in range(rings.count):
        if view(ToldRing, rings.addresses[number]).sent_bytes > SENT_FULL_BYTES:
            return True
    return False


def follow_unit() -> Unit:
    """Describe the unit of the loop that follows."""
    return unit_of("follow", {follow: (Engine, ToldClock, ToldRings)})
