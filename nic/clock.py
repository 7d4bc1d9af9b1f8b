"""The run's clock. Nothing else reads time.

In replay time is the capture's: it jumps to whatever happens next. A live clock ignores what is proposed.
"""

from nic.compile import generic
from nic.struct import Struct, i64


class ReplayClock(Struct):
    """Time of the captures, ns since the epoch."""

    now_ns: i64


@generic
def advance(clock: Struct, next_ns: int) -> int:
    """The time to act at, ns since the epoch; `next_ns` is when the next thing happens in a replay. Never goes back."""


@advance.register(ReplayClock)
def _advance_replay(clock: ReplayClock, next_ns: int) -> int:
    if next_ns > clock.now_ns:
        clock.now_ns = next_ns
    return clock.now_ns
