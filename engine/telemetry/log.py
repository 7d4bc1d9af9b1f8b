"""A process's log: what it says to people, as lines of JSON in files that rotate, for whoever collects them.

    say ──► a queue of LINES_MAX ──► a thread ──► <folder>/<name>-<process>.jsonl, -1.jsonl, ... the oldest last

Whoever says something never waits for a disk: the thread does, and a disk that hangs costs lines and no time, not at
the end either (the standard library's listener waits for its file there). What could not be written is counted, told
once where people look, and tried again with the next line. A line is whole or not there. The journal is the record of
what a run did; this is what was said about it, and no secret is ever said.
"""

import json
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from crosswire.engine.config import LogConfig
from crosswire.nic.duration import NS_PER_S
from crosswire.nic.host.owner import Owner

LINES_MAX = 10_000  # that wait for the disk
TEXT_LETTERS_MAX = 4000
END_S = 2.0  # for what waits, at the end
MB = 1_000_000
MESSAGE = "message"  # the event of what has no name of its own


class Level(StrEnum):
    """How much it matters."""

    INFO = "info"
    WARNING = "warning"  # something is less than it should be
    ERROR = "error"  # something has ended, or people are to look


class Say(Protocol):
    """Says one line to people, and to the log."""

    def __call__(self, text: str, event: str = MESSAGE, level: Level = Level.INFO, /, **fields: object) -> None:
        """Say it. `fields`: what is in the text, for programs."""


class LogFile:
    """A file that rotates: `files` of `bytes_max` each, at most."""

    def __init__(self, path: Path, bytes_max: int, files: int) -> None:
        """Name it; it is opened with the first line."""
        self.path, self.bytes_max, self.files = path, bytes_max, files
        self._file = -1
        self._bytes = 0

    def write(self, line: bytes) -> None:
        """Add one line. OSError: it is not there, and no part of it."""
        if self._file < 0:
            self._open()
        if self._bytes != 0 and self._bytes + len(line) > self.bytes_max:
            self._rotate()
        written = os.write(self._file, line)
        if written != len(line):  # a full disk: the rest of a line would make the next one unreadable
            os.ftruncate(self._file, self._bytes)
            raise OSError(28, os.strerror(28), str(self.path))
        self._bytes += written

    def close(self) -> None:
        """Close it; the next line opens it again."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _open(self) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._file = os.open(self.path, flags, 0o600)
        self._bytes = os.fstat(self._file).st_size

    def _rotate(self) -> None:
        self.close()
        for number in range(self.files - 1, 0, -1):
            before = self.path if number == 1 else self._numbered(number - 1)
            if before.exists():
                before.replace(self._numbered(number))
        if self.files == 1:
            self.path.unlink()
        self._open()

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.stem}-{number}{self.path.suffix}")


class Log(Owner):
    """The log of one process."""

    def __init__(self, config: LogConfig, config_path: Path, name: str, process: str) -> None:
        """Make it for the run's `name`; what is said waits until `start`."""
        self.folder = config_path.parent / config.folder
        self.file = LogFile(self.folder / f"{name}-{process}.jsonl", config.file_mb * MB, config.files)
        self.name, self.process = name, process
        self.run = ""  # folder of the run at hand, where there is one
        self.lost = 0  # lines that are in no file
        self.failure = ""  # why the last one was lost
        self._is_told = False
        self._lines: queue.Queue[bytes | None] = queue.Queue(LINES_MAX)
        self._thread: threading.Thread | None = None
        self._counting = threading.Lock()

    def make_folder(self) -> None:
        """Make the folder while the process still may; whatever is wrong with it is told with the first line."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            self._lose(error, 0)

    def start(self) -> None:
        """Begin to write, in a thread."""
        self._thread = threading.Thread(target=self._write_all, name="log", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Write what waits, for END_S at most."""
        if self._thread is None:
            self._put(None)
            self._write_all()
            return
        self._put(None)
        self._thread.join(END_S)
        if self._thread.is_alive():
            self._lose(OSError("the disk does not answer"), self._lines.qsize())

    def add(self, text: str, event: str, level: Level, fields: dict[str, object]) -> None:
        """Have one line written."""
        line = {
            "time": moment(time.time_ns()),
            "level": level,
            "process": self.process,
            "name": self.name,
            "run": self.run,
            "event": event,
            "text": text[:TEXT_LETTERS_MAX],
            "fields": {key: plain(value) for key, value in fields.items()},
        }
        self._put(json.dumps(line).encode() + b"\n")

    def complaint(self) -> str:
        """Say once that lines are lost, and why; "": none are, or it was said."""
        if not self.failure or self._is_told:
            return ""
        self._is_told = True
        return f"log: {self.failure}: lines are lost until that is mended"

    def loss(self) -> str:
        """Say how many lines are lost, "" if none are."""
        return f"log: {self.lost:,} lines are in no file ({self.failure})" if self.lost else ""

    def _put(self, line: bytes | None) -> None:
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self._lose(OSError("the disk does not keep up"), 1)

    def _write_all(self) -> None:
        while (line := self._lines.get()) is not None:
            try:
                self.file.write(line)
            except OSError as error:
                self.file.close()
                self._lose(error, 1)
        self.file.close()

    def _lose(self, error: OSError, lines: int) -> None:
        with self._counting:
            self.lost += lines
        self.failure = f"{error.filename or self.file.path}: {error.strerror or error}"


@contextmanager
def logged(
    config: LogConfig | None, config_path: Path, name: str, process: str, tell: Callable[[str], None]
) -> Iterator[Log | None]:
    """Have a log for the time of a block, if one is configured; an error that ends the block is its last line.

    `tell` is told at the end how many lines are lost, if any are.
    """
    if config is None:
        yield None
        return
    log = Log(config, config_path, name, process)
    log.make_folder()
    try:
        yield log
    except BaseException as error:
        log.add(str(error), "failed", Level.ERROR, {"error": type(error).__name__})
        raise
    finally:
        log.close()
        if loss := log.loss():
            tell(loss)


def saying(tell: Callable[[str], None], log: Log | None) -> Say:
    """Make what says a line to people, by `tell`, and to the log, if there is one."""

    def say(text: str, event: str = MESSAGE, level: Level = Level.INFO, /, **fields: object) -> None:
        tell(text)
        if log is not None:
            log.add(text, event, level, fields)
            if complaint := log.complaint():
                tell(complaint)

    return say


def moment(time_ns: int) -> str:
    """Write UTC as RFC 3339 to the ns."""
    seconds, rest_ns = divmod(time_ns, NS_PER_S)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest_ns:09d}Z"


def plain(value: object) -> Any:
    """Make a value one that JSON has: numbers and truth stay, money keeps its digits as text."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return str(value)[:TEXT_LETTERS_MAX]
