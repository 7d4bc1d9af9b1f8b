"""Records what is received, as `crosswire import binance` reads it: one symbol a file, a line each, only ever added to.

A file is begun at every start and at every `rotate_mb`, under a name that nothing has; none is written over.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from crosswire.venues.bridge.binance.gateway.log import Log
from crosswire.venues.errors import VenueError

BUFFER_BYTES = 1 << 18  # written at once; a kill -9 loses at most so much of a file's end, and a whole line's part


class Recorder:
    """One instrument's recording. When it can't be written any more it ends, and the bridge goes on."""

    def __init__(self, folder: Path, name: str, rotate_bytes: int, log: Log) -> None:
        """VenueError: nothing can be written there."""
        self.folder = folder
        self.name = name
        self.rotate_bytes = rotate_bytes
        self.log = log
        self.started = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
        self.files = 0
        self.written = 0
        self.file: BinaryIO | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._begin()
        except OSError as error:
            raise VenueError(f"recording.folder = {folder}: {error.strerror}") from None

    def _begin(self) -> None:
        path = self.folder / f"{self.name}_{self.started}_{self.files:04}.txt"
        self.file = path.open("xb", buffering=BUFFER_BYTES)  # x: never one that is there
        self.files += 1
        self.written = 0

    def write(self, line: bytes) -> None:
        """Add one line, its newline included."""
        if self.file is None:
            self.log.count("messages not recorded")
            return
        try:
            if self.written + len(line) > self.rotate_bytes and self.written:
                self.file.close()
                self._begin()
            self.file.write(line)
            self.written += len(line)
        except OSError as error:
            self._give_up(error)

    def flush(self) -> None:
        """Hand what is buffered to the kernel."""
        if self.file is not None:
            try:
                self.file.flush()
            except OSError as error:
                self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self.log.event(self.name, f"recording ends: {error.strerror}; the bridge goes on without it")
        self.log.count("messages not recorded")
        file, self.file = self.file, None
        if file is not None:
            try:
                file.close()
            except OSError:
                self.log.count("recordings whose last lines are lost")

    def close(self) -> None:
        """End the recording."""
        self.flush()
        if self.file is not None:
            self.file.close()
            self.file = None
