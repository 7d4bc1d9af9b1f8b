"""An event loop of virtual time: what sleeps wakes at once, in order, and nothing waits for a clock."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

ResultT = TypeVar("ResultT")
BEGIN_NS = 1_800_000_000 * 1_000_000_000


class _Selector(selectors.SelectSelector):
    """Never waits: time that would be waited for has passed."""

    def __init__(self) -> None:
        super().__init__()
        self.passed_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("everything waits for something that will never come")
            self.passed_s += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its `time` begins at 0, and moves only when everybody sleeps."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.passed_s

    def clock_ns(self) -> int:
        """The same as a clock of the day, ns since the epoch."""
        return BEGIN_NS + int(self._virtual.passed_s * 1e9)


def run_virtual(loop: VirtualLoop, work: Coroutine[Any, Any, ResultT]) -> ResultT:
    """Run something to its end on the loop, and close that."""
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(work)
    finally:
        asyncio.set_event_loop(None)
        loop.close()
