"""`WorldClock`: how the engine's clock stands to the time of everything around it.

A live clock follows the host's (`nic/clock.py`), which somebody may set. Forward it jumps: what was due meanwhile is
late, all at once. It never goes back: it goes at half speed until the host's clock has come to where it is.
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
    offset_ns: i64  # the host's clock less true time
    slow_until_ns: i64  # the engine's clock goes at half speed before, and as the host's from then on
    arrived_ns: Annotated[Array, i64, VENUES_MAX]  # when the last market data that the engine has read came, by venue


@compiled
def pass_time(clock: WorldClock, now_ns: int) -> int:
    """Let true time come to the engine's `now_ns`, and return it."""
    true_ns = now_ns - clock.offset_ns
    # At half speed it is ahead of the host's by half of what is left: of `true_ns` as much again is to be taken off.
    clock.true_ns = max(clock.true_ns, true_ns - max(0, clock.slow_until_ns - true_ns))
    return clock.true_ns


@compiled
def engine_ns(clock: WorldClock, true_ns: int) -> int:
    """Return the engine's time of a true one: the earliest for which `pass_time` comes to that."""
    ahead_ns = max(0, clock.slow_until_ns - true_ns)
    return true_ns + clock.offset_ns + (ahead_ns + 1) // 2


@compiled
def due_ns(clock: WorldClock, true_ns: int) -> int:
    """Return the engine's time for when a cable has something to do next; negative: it is starved."""
    if true_ns < 0 or true_ns == NEVER_NS:
        return true_ns
    return max(0, engine_ns(clock, true_ns))


def step_clock(clock: WorldClock, engine_clock: ReplayClock, by_ns: int) -> None:
    """Set the host's clock forward, or back, and have the engine's follow."""
    clock.offset_ns += by_ns
    engine_clock.now_ns = max(engine_clock.now_ns, clock.true_ns + clock.offset_ns)
    clock.slow_until_ns = 2 * (engine_clock.now_ns - clock.offset_ns) - clock.true_ns


def begin_clock(clock: WorldClock, engine_clock: ReplayClock) -> None:
    """Have another process read the host's clock, whatever the last one's stood at."""
    engine_clock.now_ns = min(engine_clock.now_ns, clock.true_ns + clock.offset_ns)
    clock.slow_until_ns = 0
