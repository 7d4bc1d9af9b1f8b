"""Stamps on the loop's line, by the time-stamp counter: what `tests.bench.tick_to_trade` measures with.

Units bind every call by the class of ring, feed, strategy and session, so a class that stamps and passes on needs
no change to them, and costs them nothing when it is not used.
"""

import platform
from typing import Annotated, Any

from llvmlite import ir

from crosswire.nic.memory.raw import cycle_count
from crosswire.nic.memory.struct import Array, Pointer, Struct, address_of, i64, size_of, view
from crosswire.nic.packet import Packet
from crosswire.nic.rings.ring import Frame, commit, flush, next_time_ns, poll, release, reserve
from crosswire.nic.rings.shared import SharedRing
from crosswire.nic.unit.compile import compiled, lowers
from crosswire.strategies.cross_spread import CrossSpread, look
from crosswire.strategies.desk import Desk
from crosswire.strategies.interface import on_book
from crosswire.venues.bridge.feed import BridgeFeed, check_group, decode_bridge, find_instrument, root_bytes
from crosswire.venues.bridge.orders.session import BridgeSession, NewOrderFrame, write_bridge_new
from crosswire.venues.bridge.wire.layout import BookDelta, MessageHeader, PacketHeader
from crosswire.venues.feed import decode
from crosswire.venues.market import Events, Market
from crosswire.venues.order import (
    Approval,
)
from crosswire.venues.session import (
    write_new,
)

LEGS = 2  # orders that one trigger sends
IS_X86 = platform.machine() == "x86_64"

# Places of a trigger's stamps in `Stamps.marks`, in the order of the line.
POLLED, DECODING, WALKED, WALKED_AGAIN, DECODED, LOOKING, DECIDED = range(7)
FIRST_CHECKED, FIRST_SENT, LAST_CHECKED, LAST_SENT = range(7, 11)
MARKS = 11


class Stamps(Struct):
    """What was measured, in cycles: of each trigger one latency, and with the stages stamped all `marks`."""

    leg: i64  # the order whose commit ends the measurement, 1 to LEGS
    orders: i64  # of the frame that was polled last
    polled: i64
    count: i64  # triggers whose LEGS orders have left
    capacity: i64  # of `latencies`; more are not kept
    marks: Annotated[Array, i64, MARKS]
    latencies: Annotated[Pointer, i64]
    rows: Annotated[Pointer, i64]  # MARKS of each trigger


def cycles_at_start() -> int:
    """The counter when all before has been done and nothing after it has begun."""
    return cycle_count()


def cycles_at_end() -> int:
    """The counter when all before has been done and its stores are visible to every core."""
    return cycle_count()


def _call(builder: Any, name: str) -> None:
    builder.call(builder.module.declare_intrinsic(name, (), ir.FunctionType(ir.VoidType(), ())), [])


def _read(builder: Any) -> Any:
    function = builder.module.declare_intrinsic("llvm.readcyclecounter", (), ir.FunctionType(ir.IntType(64), ()))
    return builder.call(function, [])


# Neither processor waits for earlier instructions, or for its own stores, before it reads the counter.
@lowers(cycles_at_start, returns="i64")
def _cycles_at_start(_context: Any, builder: Any) -> Any:
    if IS_X86:
        _call(builder, "llvm.x86.sse2.lfence")
    cycles = _read(builder)
    if IS_X86:
        _call(builder, "llvm.x86.sse2.lfence")
    return cycles


@lowers(cycles_at_end, returns="i64")
def _cycles_at_end(_context: Any, builder: Any) -> Any:
    if IS_X86:
        _call(builder, "llvm.x86.sse2.mfence")
        _call(builder, "llvm.x86.sse2.lfence")
    return _read(builder)


class StampRing(Struct):
    """A shared-memory ring that stamps received frames and sent orders."""

    inner: Annotated[Pointer, SharedRing]
    stamps: Annotated[Pointer, Stamps]


@poll.register(StampRing)
def poll_stamped(ring: StampRing, frame: Frame, now_ns: int) -> bool:
    if not poll(ring.inner[0], frame, now_ns):
        return False
    stamps = ring.stamps[0]
    stamps.orders = 0
    stamps.polled = cycles_at_start()
    return True


@release.register(StampRing)
def release_stamped(ring: StampRing) -> None:
    release(ring.inner[0])


@reserve.register(StampRing)
def reserve_stamped(ring: StampRing, length: int) -> int:
    return reserve(ring.inner[0], length)


@commit.register(StampRing)
def commit_stamped(ring: StampRing, length: int, now_ns: int) -> None:
    commit(ring.inner[0], length, now_ns)
    if length == size_of(NewOrderFrame):
        stamps = ring.stamps[0]
        stamps.orders += 1
        if stamps.orders == stamps.leg and stamps.count < stamps.capacity:
            stamps.latencies[stamps.count] = cycles_at_end() - stamps.polled
        if stamps.orders == LEGS:
            stamps.count += 1


@flush.register(StampRing)
def flush_stamped(ring: StampRing) -> None:
    flush(ring.inner[0])


@next_time_ns.register(StampRing)
def next_stamped_ns(ring: StampRing) -> int:
    return next_time_ns(ring.inner[0])


class StampFeed(BridgeFeed):
    """A feed that stamps decoding, which it does twice more as far as the books: that is how it is told from them."""

    stamps: Annotated[Pointer, Stamps]


class StampSpread(CrossSpread):
    stamps: Annotated[Pointer, Stamps]


class StampSession(BridgeSession):
    stamps: Annotated[Pointer, Stamps]


_decode = compiled(decode_bridge)
_look = compiled(look)
_write_new = compiled(write_bridge_new)


@compiled
def walk_packet(feed: BridgeFeed, packet: Packet) -> int:
    """All that decoding a packet of one delta reads and proves before a book is touched; changes nothing."""
    header = view(PacketHeader, packet.payload_address)
    end = packet.payload_address + packet.payload_length
    message = view(MessageHeader, packet.payload_address + size_of(PacketHeader))
    if header.length != packet.payload_length or message.block_length < root_bytes(message.template_id):
        return 0
    block = address_of(message) + size_of(MessageHeader)
    asks = check_group(feed, block + message.block_length, end)
    after = 0 if asks == 0 else check_group(feed, asks, end)
    return after + find_instrument(feed.map, view(BookDelta, block).instrument_id)


@decode.register(StampFeed)
def decode_stamped(feed: StampFeed, packet: Packet, market: Market, events: Events) -> None:
    marks = feed.stamps[0].marks
    marks[DECODING] = cycles_at_start()
    first = walk_packet(feed, packet)
    marks[WALKED] = cycles_at_start()
    # The sum keeps the optimiser from seeing that the second walk changes nothing.
    feed.stamps[0].capacity += 0 if walk_packet(feed, packet) == first else 1
    marks[WALKED_AGAIN] = cycles_at_start()
    _decode(feed, packet, market, events)
    marks[DECODED] = cycles_at_start()


@on_book.register(StampSpread)
def look_stamped(strategy: StampSpread, desk: Desk, instrument: int) -> None:
    marks = strategy.stamps[0].marks
    marks[LOOKING] = cycles_at_start()
    _look(strategy, desk, instrument)
    marks[DECIDED] = cycles_at_start()


@write_new.register(StampSession)
def write_stamped(session: StampSession, ring: Any, approval: Approval, now_ns: int) -> bool:
    stamps = session.stamps[0]
    marks = stamps.marks
    first = stamps.orders == 0
    cycles = cycles_at_start()
    sent = _write_new(session, ring, approval, now_ns)
    if first:
        marks[POLLED] = stamps.polled
        marks[FIRST_CHECKED] = cycles
        marks[FIRST_SENT] = cycles_at_start()
        return sent
    marks[LAST_CHECKED] = cycles
    marks[LAST_SENT] = cycles_at_start()
    if stamps.orders == LEGS and stamps.count <= stamps.capacity:
        for place in range(MARKS):
            stamps.rows[(stamps.count - 1) * MARKS + place] = marks[place]
    return sent


def stamp_costs(rounds: int, costs: Array) -> None:
    """Cycles between the two stamps of a latency with nothing between them, `rounds` times."""
    for number in range(rounds):
        start = cycles_at_start()
        costs[number] = cycles_at_end() - start


def mark_costs(rounds: int, costs: Array) -> None:
    """The same of two stage stamps."""
    for number in range(rounds):
        start = cycles_at_start()
        costs[number] = cycles_at_start() - start
