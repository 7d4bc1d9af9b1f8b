"""`DelayRing`: a simulated wire. A frame committed at one time is received later by its `Latency`, in order.

Both ends are the ring contract's: the sender reserves, writes and commits, the receiver polls and releases.
"""

from typing import Annotated

from crosswire.nic.memory.struct import Array, Pointer, Struct, address_of, array, i64, u8
from crosswire.nic.rings.latency import Latency, latency_at
from crosswire.nic.rings.ring import (
    NEVER_NS,
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
from crosswire.nic.unit.compile import compiled

DELAY_FRAME_BYTES = 1536  # Ethernet's 1,514, and whole cache lines
DELAY_FRAMES_MAX = 512  # on their way at once; past that `reserve` finds no slot
_SLOT_MASK = DELAY_FRAMES_MAX - 1


class DelayedFrame(Struct):
    arrival_ns: i64
    length: i64
    data: Annotated[Array, u8, DELAY_FRAME_BYTES]


class DelayRing(Struct):
    """A wire. `sent` and `received` count frames; their difference is on its way."""

    latency_ns: i64  # always; what `latency` says comes on top
    sent: i64
    received: i64
    last_arrival_ns: i64
    counters: RingCounters  # of the receiver; `drops`: no slot was free
    latency: Latency
    frames: Annotated[Pointer, DelayedFrame]


def set_delay_ring(ring: DelayRing, latency_ns: int) -> None:
    """Make `ring` an empty wire of constant latency; ValueError if it is negative."""
    if latency_ns < 0:
        raise ValueError(f"a latency can't be negative: {latency_ns} ns")
    ring.latency_ns = latency_ns
    ring.frames = array(DelayedFrame, DELAY_FRAMES_MAX)


@compiled
def arrival_ns(ring: DelayRing, now_ns: int) -> int:
    """When a frame sent now arrives. A wire keeps the order of its frames, whatever their latencies."""
    return max(now_ns + ring.latency_ns + latency_at(ring.latency, now_ns, ring.sent), ring.last_arrival_ns)


@reserve.register(DelayRing)
def reserve_delayed(ring: DelayRing, length: int) -> int:
    if length > DELAY_FRAME_BYTES or ring.sent - ring.received >= DELAY_FRAMES_MAX:
        ring.counters.drops += 1
        return 0
    return address_of(ring.frames[ring.sent & _SLOT_MASK].data)


@commit.register(DelayRing)
def commit_delayed(ring: DelayRing, length: int, now_ns: int) -> None:
    slot = ring.frames[ring.sent & _SLOT_MASK]
    slot.length = length
    slot.arrival_ns = arrival_ns(ring, now_ns)
    ring.last_arrival_ns = slot.arrival_ns
    ring.sent += 1


@flush.register(DelayRing)
def flush_delayed(ring: DelayRing) -> None:
    pass


@poll.register(DelayRing)
def poll_delayed(ring: DelayRing, frame: Frame, now_ns: int) -> bool:
    slot = ring.frames[ring.received & _SLOT_MASK]
    if ring.sent == ring.received or slot.arrival_ns > now_ns:
        ring.counters.empty_polls += 1
        return False
    set_frame(ring.counters, frame, address_of(slot.data), slot.length, slot.arrival_ns)
    return True


@release.register(DelayRing)
def release_delayed(ring: DelayRing) -> None:
    ring.received += 1


@next_time_ns.register(DelayRing)
def next_delayed_ns(ring: DelayRing) -> int:
    if ring.sent == ring.received:
        return NEVER_NS
    return ring.frames[ring.received & _SLOT_MASK].arrival_ns
