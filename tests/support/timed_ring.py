"""`TimedRing`: a live ring whose frames carry their time, so that a capture replayed over a real wire keeps its clock.

As capture appliances do it, each frame has a trailer behind its last byte: its receive time, 8 bytes, little-endian, ns
since the epoch. Like a replay, the ring has no next time until its next frame is there; the loop asks again.
"""

from typing import Annotated, Any

from crosswire.nic.memory.made import inner_classes, made_class
from crosswire.nic.memory.raw import load_i64
from crosswire.nic.memory.struct import Pointer, Struct, i64, one
from crosswire.nic.rings.replay import STARVED
from crosswire.nic.rings.ring import NEVER_NS, Frame, commit, flush, next_time_ns, poll, release, reserve

TRAILER_BYTES = 8
POLLS_MAX = 1 << 20  # before Python is asked whether anybody still sends


class TimedRing(Struct):
    """Base; `timed_ring` adds `inner`."""

    held: i64  # 1: `frame` is the next one
    ended: i64  # 1: the last trailer said NEVER_NS
    taken: i64  # frames read off the wire
    frame: Frame


def __getattr__(name: str) -> Any:
    return _ring_over(*inner_classes(name))


def _ring_over(inner: type[Struct]) -> Any:
    return made_class(TimedRing, (inner,), {"inner": Annotated[Pointer, inner]})


def timed_ring(ring: Struct) -> Any:
    """A ring over the frames of `ring`, all of which have trailers."""
    timed = _ring_over(type(ring))()
    timed.inner = one(ring)
    return timed


@next_time_ns.register(TimedRing)
def next_timed_ns(ring: Any) -> int:
    polls = 0
    while ring.held == 0 and ring.ended == 0 and polls < POLLS_MAX:
        polls += 1
        if poll(ring.inner[0], ring.frame, 0):
            ring.taken += 1
            ring.frame.length -= TRAILER_BYTES
            ring.frame.time_ns = load_i64(ring.frame.address + ring.frame.length)
            if ring.frame.time_ns == NEVER_NS:
                ring.ended = 1
                release(ring.inner[0])
            else:
                ring.held = 1
    if ring.ended != 0:
        return NEVER_NS
    return ring.frame.time_ns if ring.held != 0 else STARVED


@poll.register(TimedRing)
def poll_timed(ring: Any, frame: Frame, now_ns: int) -> bool:
    if ring.held == 0 or ring.frame.time_ns > now_ns:
        return False
    frame.address = ring.frame.address
    frame.length = ring.frame.length
    frame.time_ns = ring.frame.time_ns
    return True


@release.register(TimedRing)
def release_timed(ring: Any) -> None:
    ring.held = 0
    release(ring.inner[0])


@reserve.register(TimedRing)
def reserve_timed(ring: Any, length: int) -> int:
    return reserve(ring.inner[0], length)


@commit.register(TimedRing)
def commit_timed(ring: Any, length: int, now_ns: int) -> None:
    commit(ring.inner[0], length, now_ns)


@flush.register(TimedRing)
def flush_timed(ring: Any) -> None:
    flush(ring.inner[0])
