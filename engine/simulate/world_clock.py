"""`WorldClock`: how the engine's clock stands to the time of everything around it.

A live clock follows the host's (`nic/clock.py`), which somebody may set. Forward it jumps: what was due meanwhile is
late, all at once. It never goes back: it stands still until the host's clock has come to where it stood, while frames
go on coming and the exchanges' time goes on.
"""

from typing import Annotated

from crosswire.nic.clock import ReplayClock
from crosswire.nic.memory.struct import Array, Struct, i64
from crosswire.nic.rings.ring import NEVER_NS
from crosswire.nic.unit.compile import compiled
from crosswire.venues.order import VENUES_MAX


class WorldClock(Struct):
    """Times are true ones, ns since the epoch, unless they are said to be the engine's."""

    true_ns: i64  # until when everything was played
    offset_ns: i64  # the engine's clock less true time, while it runs
    stands_until_ns: i64  # the engine's clock stands still before
    venue_count: i64
    next_ns: Annotated[Array, i64, VENUES_MAX]  # when each cable has something to do next


@compiled
def pass_time(clock: WorldClock, now_ns: int) -> int:
    """Let true time come to the engine's `now_ns`, and return it; while that stands still, to what happens next."""
    true_ns = now_ns - clock.offset_ns
    if clock.true_ns < clock.stands_until_ns:
        first_ns = NEVER_NS
        for number in range(clock.venue_count):
            first_ns = min(first_ns, clock.next_ns[number])
        true_ns = min(true_ns, first_ns)
    clock.true_ns = max(clock.true_ns, true_ns)
    return clock.true_ns


@compiled
def due_ns(clock: WorldClock, number: int, true_ns: int) -> int:
    """Note when a cable has something to do next, and return the engine's time for it; negative: it is starved."""
    if true_ns < 0:
        return true_ns
    clock.next_ns[number] = true_ns
    return true_ns if true_ns == NEVER_NS else max(0, true_ns + clock.offset_ns)


def step_clock(clock: WorldClock, engine_clock: ReplayClock, by_ns: int) -> None:
    """Set the host's clock forward, or back, and the engine's with it."""
    clock.offset_ns += by_ns
    engine_clock.now_ns = max(engine_clock.now_ns, clock.true_ns + clock.offset_ns)
    clock.stands_until_ns = engine_clock.now_ns - clock.offset_ns


def begin_clock(clock: WorldClock, engine_clock: ReplayClock) -> None:
    """Have another process read the host's clock, whatever the last one's stood at."""
    engine_clock.now_ns = min(engine_clock.now_ns, clock.true_ns + clock.offset_ns)
    clock.stands_until_ns = 0
