"""The live run that the console shows: asked for once a second, for however many pages are open."""

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from crosswire.engine.config import load_config
from crosswire.engine.errors import ControlError
from crosswire.engine.monitor import messages as m
from crosswire.engine.monitor.address import open_client
from crosswire.engine.monitor.client import Client
from crosswire.engine.monitor.top.look import Look, Traded, look, traded_of
from crosswire.nic.host.owner import Owner

LOOK_S = 1.0  # between two looks
STALE_S = 3.0  # what is older is not shown as if it were now
POINTS_MAX = 3600  # of the charts: the last hour


@dataclass(frozen=True)
class Point:
    """One look, as the charts remember it."""

    at_s: float  # since the epoch
    tops: dict[str, tuple[float, float]]  # best bid and ask of each proven book that has both
    profits: dict[str, float]  # by currency


@dataclass(frozen=True)
class Seen:
    """The last look that was answered. `error`: why there is no later one."""

    look: Look
    limits: Sequence[m.LimitRow] = ()
    parameters: Sequence[m.ParameterRow] = ()
    begun_s: float = 0.0  # monotonic: what is shown is no older than this
    turned_s: float = 0.0  # monotonic: when the run's own clock was seen to have moved
    error: str = ""


class LiveWatch(Owner):
    """Looks at a run, and asks it for what a person wants, over a connection of its own that no look holds up."""

    def __init__(self, looking: Client, asking: Client, traded: dict[str, Traded]) -> None:
        self.looking, self.asking, self.traded = looking, asking, traded
        self.seen = Seen(Look(at_s=0.0))
        self.points: deque[Point] = deque(maxlen=POINTS_MAX)
        self._run = ""
        self._lock = threading.Lock()
        self._wake, self._is_over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def start(self) -> None:
        """Begin to look, in a thread."""
        self._thread.start()

    def close(self) -> None:
        """Look no more, and let the monitor go."""
        self._is_over.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        self.looking.close()
        self.asking.close()

    def ask(self, request: m.Command | m.Confirm) -> m.AnyAnswer:
        """Ask the run for something; what became of it is looked for at once. RefusedError, NoAnswerError."""
        try:
            return self.asking.request(request)
        finally:
            self._wake.set()

    def remembered(self) -> list[Point]:
        """Give the points so far, the oldest first."""
        with self._lock:
            return list(self.points)

    def _watch(self) -> None:
        while not self._is_over.is_set():
            self.look_once()
            self._wake.wait(LOOK_S)
            self._wake.clear()

    def look_once(self) -> None:
        """Look, and remember it."""
        begun_s = time.monotonic()
        seen = look(self.looking, self.traded)
        try:
            if seen.error:
                raise ControlError(seen.error)
            limits, parameters = self.looking.limits().rows, self.looking.parameters().rows
        except Exception as failure:  # in a thread nobody else would tell, and what is old would look like what is new
            text = str(failure) if isinstance(failure, ControlError) else f"{type(failure).__name__}: {failure}"
            self.seen = replace(self.seen, error=text)
            self._remember(Point(time.time(), {}, {}))
            return
        assert seen.status is not None
        before = self.seen.look.status
        has_turned = before is None or before.run != seen.status.run or before.now_ns != seen.status.now_ns
        turned_s = begun_s if has_turned else self.seen.turned_s
        error = ""
        if seen.status.is_alive and begun_s - turned_s >= STALE_S:
            error, begun_s = "the run's loop has not turned since", turned_s
        self.seen = Seen(seen, limits, parameters, begun_s, turned_s, error)
        if self._run != seen.status.run:
            self._run = seen.status.run
            with self._lock:
                self.points.clear()
        if seen.status.is_alive:
            self._remember(point_of(seen) if not error else Point(seen.at_s, {}, {}))

    def _remember(self, point: Point) -> None:
        with self._lock:
            self.points.append(point)


def point_of(seen: Look) -> Point:
    """Keep what the charts show of a look."""
    tops = {
        each.instrument: (float(each.bids[0].price), float(each.asks[0].price))
        for each in seen.books
        if each.is_proven and not each.is_torn and each.bids and each.asks
    }
    money = [] if seen.status is None else seen.status.money
    return Point(seen.at_s, tops, {each.currency: float(each.profit) for each in money})


def watch_run(config_path: Path, output: Path, name: str) -> LiveWatch:
    """Open a watch of a configuration's run; `name`: whose key. ConfigError, ControlError, OSError: one line each."""
    traded = traded_of(load_config(config_path))
    looking = open_client(config_path, output, name)
    return LiveWatch(looking, Client(looking.address, looking.key), traded)
