"""What strategies say of themselves in a live run, for the console and the log of the process.

The loop keeps the last lines of each desk beside their records; who looks now and then finds what has come since.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from crosswire.engine.report.recorder import RecordNames
from crosswire.engine.state import Engine
from crosswire.engine.telemetry.log import moment
from crosswire.nic.memory.raw import load_i64_acquire
from crosswire.nic.memory.struct import address_of
from crosswire.risk.records import LOG_VALUES
from crosswire.strategies.desk import LINES_KEPT, Desk
from crosswire.strategies.messages import message_text


class Line(NamedTuple):
    """One line."""

    strategy: str
    time: str  # UTC
    text: str


class StrategyLog:
    """Finds what each strategy has said since the last look."""

    def __init__(self, engine: Engine, names: RecordNames, instruments: Sequence[str]) -> None:
        """Take the names that a run's description has."""
        self.desks = [engine.seats[number].desk for number in range(engine.seat_count)]
        self.strategies: Mapping[int, str] = names.strategies
        self.messages: Mapping[int, list[str]] = names.messages
        self.instruments = instruments
        self.seen = [0] * len(self.desks)

    def take_lines(self) -> Iterator[Line]:
        """Give what has come since; what was written over meanwhile is counted in a line."""
        for number, desk in enumerate(self.desks):
            count = load_i64_acquire(address_of(desk.line_count))
            first = max(self.seen[number], count - LINES_KEPT)
            if first > self.seen[number]:
                text = f"{first - self.seen[number]} lines more are in the journal only"
                yield Line(self.strategies[number], moment(desk.now_ns), text)
            for place in range(first, count):
                yield self._line(number, desk, place)
            self.seen[number] = count

    def _line(self, number: int, desk: Desk, place: int) -> Line:
        line = desk.lines[place % LINES_KEPT]
        values = [getattr(line, name) for name in LOG_VALUES]
        said = message_text(self.messages.get(number, []), line.message, values, self.instruments)
        return Line(self.strategies[number], moment(line.time_ns), said)
