"""The part of a finished run that a trace shows: its turns made again with a clock between their stages."""

import re
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from crosswire.engine.config import ConfigError
from crosswire.engine.console.again import not_as_it_was, record_again
from crosswire.engine.console.replayed import ReplayedRun
from crosswire.engine.console.tape import make_tape
from crosswire.engine.console.window import Window
from crosswire.engine.errors import ExplainError
from crosswire.engine.journal.description import Description, need_description
from crosswire.engine.report.text import precise_time_text
from crosswire.engine.trace.probe import MARKS_MAX, ProbeOnlooker
from crosswire.nic.duration import NS_PER_S
from crosswire.nic.memory.raw import cycle_count
from crosswire.nic.warning import DataWarning

TURNS_MAX = 1 << 16  # of a trace: some 60 MB of JSON
TIME = re.compile(r"(?:(\d{4}-\d\d-\d\d)[T ])?(\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,9}))?Z?")


@dataclass
class Traced:
    """Some turns of a run: what they left, and how long each stage took in the replay."""

    run: ReplayedRun
    window: Window
    marks: Any  # `Mark`s as an array, turn by turn
    ns_per_cycle: float
    from_ns: int
    until_ns: int
    warnings: list[DataWarning]

    @property
    def is_simulated(self) -> bool:
        """Tell whether the run's own times are a simulation's."""
        return self.run.description.kind != "live"

    @cached_property
    def rows(self) -> range:
        """Rows of the tape that lie in the window."""
        times = self.window.turns["time_ns"]
        begun, end = (int(np.searchsorted(times, each)) for each in (self.from_ns, self.until_ns))
        return range(self.window.first + begun, self.window.first + end)

    def holds(self, time_ns: int) -> bool:
        """Tell whether a time lies in the window."""
        return self.from_ns <= time_ns < self.until_ns


def open_run(folder: Path, capture: Path | None) -> ReplayedRun:
    """Make a run again, all of it. Raises as `record_again`."""
    folder = folder.resolve()
    description = need_description(folder)
    run = ReplayedRun(folder, with_capture(description, capture))
    run.recording.begin()
    if run.recording.rows == 0:
        raise ExplainError(f"{folder}: nothing came to its loop, so there is nothing to trace")
    run.warnings += not_as_it_was(folder, run.recording.digest, run.rows.summary.digest)
    return run


def with_capture(description: Description, capture: Path | None) -> Description:
    """Say where a live run's capture is now. ExplainError: it is a run without one."""
    if capture is None:
        return description
    if description.kind == "backtest":
        raise ExplainError("--capture: is a live run's; a backtest's captures are those of its configuration")
    return replace(description, capture=str(capture.resolve()))


def trace_window(run: ReplayedRun, from_ns: int, until_ns: int) -> Traced:
    """Make the turns in [from_ns, until_ns) again, and time their stages. ConfigError: there are none."""
    recording, warnings = run.recording, list(run.warnings)
    first, last = recording.row_at(from_ns - 1), recording.row_at(until_ns - 1)
    if time_of(run, first) < from_ns:
        first += 1
    if first > last or time_of(run, first) >= until_ns:
        summary = run.rows.summary
        raise ConfigError(
            f"{run.folder}: no turn from {precise_time_text(from_ns)} to {precise_time_text(until_ns)}; its turns are"
            f" from {precise_time_text(summary.first_time_ns)} to {precise_time_text(summary.last_time_ns)} UTC"
        )
    if last - first >= TURNS_MAX:
        # Turns of one time stay together, out of what is shown.
        until_ns, left_out = time_of(run, first + TURNS_MAX), last + 1 - first - TURNS_MAX
        warnings.append(cut_at(until_ns, left_out))
        last = first + TURNS_MAX - 1
    onlooker = ProbeOnlooker(from_ns, until_ns)
    tape = make_tape(first, stops=True, turns_max=last + 1 - first)
    begun = cycle_count(), time.monotonic_ns()
    record_again(run.folder, run.description, tape, onlooker)
    cycles, passed_ns = cycle_count() - begun[0], time.monotonic_ns() - begun[1]
    probe = onlooker.probe
    marks = probe.marks.numpy(probe.count)
    if probe.lost:
        until_ns = int(marks["time_ns"][MARKS_MAX - 1])
        warnings.append(cut_at(until_ns, recording.row_at(probe.until_ns - 1) - recording.row_at(until_ns)))
        marks = marks[marks["time_ns"] < until_ns]
    return Traced(run, Window(tape), marks, passed_ns / cycles, from_ns, until_ns, warnings)


def cut_at(until_ns: int, turns: int) -> DataWarning:
    """Say where a trace ends for want of room."""
    what = "trace them with another --from"
    place = precise_time_text(until_ns)
    return DataWarning(kind="turns behind the trace's end", count=turns, first_place=place, what_to_do=what)


def time_of(run: ReplayedRun, row: int) -> int:
    """Return the time of a row, ns since the epoch; of one behind the last the last one's."""
    row = min(row, run.recording.rows - 1)
    window = run.recording.at(row)
    return int(window.turns["time_ns"][row - window.first])


def parse_time(text: str, option: str, day_ns: int) -> int:
    """Read a time in UTC, with its day or of the day that `day_ns` lies in, or ns since the epoch. ConfigError."""
    if text.isdecimal():
        return int(text)
    match = TIME.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        day = match[1] or datetime.fromtimestamp(day_ns // NS_PER_S, UTC).date().isoformat()
        whole = datetime.fromisoformat(f"{day}T{match[2]}+00:00")
    except ValueError:
        raise ConfigError(f"{option} {text}: must be as 2026-01-31T12:00:00.5, 12:00:00.5 (UTC), or ns") from None
    return round(whole.timestamp()) * NS_PER_S + int((match[3] or "").ljust(9, "0"))
