"""Trace Event Format: JSON that ui.perfetto.dev and chrome://tracing open.

The format: https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU. Times are microseconds in
a double, which can't hold ns since the epoch: they count from the trace's own beginning, which `otherData` tells.
"""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Event = dict[str, Any]
PENDING = ".partial"


class TraceEvents:
    """Events of one trace, in the order in which they are to be written."""

    def __init__(self, origin_ns: int) -> None:
        """Count times from `origin_ns`, ns since the epoch."""
        self.origin_ns = origin_ns
        self.all: list[Event] = []

    def name_process(self, process: int, name: str, order: int) -> None:
        """Name a group of tracks; `order`: the lowest stands on top."""
        self.all.append({"ph": "M", "pid": process, "name": "process_name", "args": {"name": name}})
        self.all.append({"ph": "M", "pid": process, "name": "process_sort_index", "args": {"sort_index": order}})

    def name_track(self, process: int, track: int, name: str) -> None:
        """Name a track; they stand in the order of their numbers."""
        place = {"ph": "M", "pid": process, "tid": track}
        self.all.append(place | {"name": "thread_name", "args": {"name": name}})
        self.all.append(place | {"name": "thread_sort_index", "args": {"sort_index": track}})

    def slice(self, place: tuple[int, int], name: str, at: tuple[int, int], category: str, args: Any) -> None:
        """Add a slice to a track (process, track); `at`: begin, ns since the epoch, and length, ns."""
        time_ns, length_ns = at
        event = {"ph": "X", "name": name, "cat": category, "ts": self._us(time_ns), "dur": length_ns / 1000}
        self._add(event, place, args)

    def instant(self, place: tuple[int, int], name: str, time_ns: int, category: str, args: Any) -> None:
        """Add a moment to a track."""
        self._add({"ph": "i", "s": "t", "name": name, "cat": category, "ts": self._us(time_ns)}, place, args)

    def flow(self, phase: str, place: tuple[int, int], number: int, time_ns: int) -> None:
        """Add an end of an arrow to the slice that was added last: "s" begins, "t" goes on, "f" ends it."""
        event = {"ph": phase, "name": "order", "cat": "order", "id": number, "ts": self._us(time_ns), "bp": "e"}
        self._add(event, place, None)

    def span(self, phase: str, process: int, key: tuple[str, int, str], time_ns: int, args: Any = None) -> None:
        """Add to a slice that may overlap others: "b" begins, "n" is a moment of it, "e" ends; (category, id, name)."""
        category, number, name = key
        event = {"ph": phase, "name": name, "cat": category, "id": number, "ts": self._us(time_ns)}
        self._add(event, (process, 1), args)

    def counter(self, process: int, name: str, time_ns: int, values: dict[str, float]) -> None:
        """Add what a value was from a time on."""
        self._add({"ph": "C", "name": name, "ts": self._us(time_ns)}, (process, 1), values)

    def _add(self, event: Event, place: tuple[int, int], args: Any) -> None:
        event["pid"], event["tid"] = place
        if args is not None:
            event["args"] = args
        self.all.append(event)

    def _us(self, time_ns: int) -> float:
        return (time_ns - self.origin_ns) / 1000


def write_trace(path: Path, events: Iterable[Event], facts: dict[str, str]) -> None:
    """Write a trace; until it is whole it has another name. OSError."""
    pending = path.with_name(path.name + PENDING)
    try:
        with pending.open("w", encoding="utf-8") as file:
            file.write('{"displayTimeUnit":"ns","otherData":' + json.dumps(facts) + ',"traceEvents":[\n')
            encoder = json.JSONEncoder(separators=(",", ":"))
            separator = ""
            for event in events:
                file.write(separator + encoder.encode(event))
                separator = ",\n"
            file.write("\n]}\n")
        os.replace(pending, path)
    finally:
        pending.unlink(missing_ok=True)
