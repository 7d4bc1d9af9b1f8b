"""What strategies have counted so far, for who looks at a live run.

`Strategy.counters` is the author's Python, so only the run's own process can ask it: it does so twice a second, beside
the loop, and writes what it is told into the shared memory. A strategy is read while it trades: each number is as it
was at that instant.
"""

from collections.abc import Sequence
from typing import Annotated, Any

from crosswire.nic.memory.raw import load_i64_acquire, store_i64_release
from crosswire.nic.memory.struct import Array, Struct, address_of, i64, u8
from crosswire.strategies.interface import Strategy

COUNTERS_MAX = 128  # of all strategies of a run; what is above that is in the run's summary only
NAME_BYTES = 64  # of a counter's name: a longer one is cut off


class StrategyCounter(Struct):
    """One count."""

    strategy: i64  # number of the strategy
    value: i64
    name: Annotated[Array, u8, NAME_BYTES]  # UTF-8


class StrategyCounters(Struct):
    """The counts of all strategies."""

    count: Annotated[Array, i64, 1]  # set last
    items: Annotated[Array, StrategyCounter, COUNTERS_MAX]


class CounterTeller:
    """Asks the strategies what they have counted. One that raises something is told of once, and asked no more."""

    def __init__(self, told: StrategyCounters, strategies: Sequence[Strategy], names: Sequence[str]) -> None:
        """Write into `told`; `names` are the strategies', for what they raise."""
        self.told, self.names = told, names
        self.asked = dict(enumerate(strategies))

    def take_lines(self) -> list[str]:
        """Write what is counted now; give a line for each strategy that can't be asked."""
        lines, place = [], 0
        for number, strategy in list(self.asked.items()):
            try:
                counted = [_told(name, value) for name, value in strategy.counters().items()]
            except Exception as error:  # the author's own code: trading does not end with it
                lines.append(f"{self.names[number]}: counters() raises {type(error).__name__}: {error}")
                del self.asked[number]
                continue
            for data, value in counted[: COUNTERS_MAX - place]:
                item = self.told.items[place]
                item.strategy, item.value = number, value
                item.name.numpy()[:] = list(data.ljust(NAME_BYTES, b"\0"))
                place += 1
        store_i64_release(address_of(self.told.count), place)
        return lines


def _told(name: Any, value: Any) -> tuple[bytes, int]:
    """Give a count as the shared memory takes it; raise if it can't be one."""
    number = int(value)
    if not -(1 << 63) <= number < 1 << 63:
        raise OverflowError(f"{name} = {number} is beyond 64 bits")
    return str(name).encode()[:NAME_BYTES], number


def counters_of(told: StrategyCounters, strategy: int) -> dict[str, int]:
    """Read what a strategy has counted, by name."""
    count = min(max(load_i64_acquire(address_of(told.count)), 0), COUNTERS_MAX)
    items = list(told.items)[:count]
    return {
        bytes(item.name).rstrip(b"\0").decode(errors="replace"): item.value
        for item in items
        if item.strategy == strategy
    }
