"""The exchange's memory: one line of JSON for everything that happened in one step, appended before anybody is told.

A process that is killed leaves whole lines, and perhaps the beginning of one that nobody has heard of: it is cut off.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from crosswire.venues.errors import VenueError

JOURNAL_FILE = "journal.jsonl"


class Journal:
    """An append-only file."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / JOURNAL_FILE
        self.descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def read(self) -> Iterator[dict[str, Any]]:
        """Read every step, and cut off a last one that is not whole. VenueError for one that can't be read."""
        data = self.path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole != len(data):
            os.ftruncate(self.descriptor, whole)
        for number, line in enumerate(data[:whole].splitlines(), 1):
            try:
                yield msgspec.json.decode(line, type=dict[str, Any])
            except msgspec.DecodeError as error:
                raise VenueError(f"{self.path}, line {number}: {error}: move it away to begin anew") from None

    def write(self, step: dict[str, Any]) -> None:
        """Append a step."""
        line = msgspec.json.encode(step) + b"\n"
        if os.write(self.descriptor, line) != len(line):
            raise VenueError(f"{self.path}: could not be written whole")

    def close(self) -> None:
        """Close the file."""
        os.close(self.descriptor)
