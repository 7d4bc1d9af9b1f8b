"""The monitor's own record of what it was asked to do: one line of JSON each, only ever added to.

A command stands there before it is carried out, and once more with what became of it, under the same number; what was
refused stands there once. Reading is not recorded. What is refused too often is counted, and one line says how many
were left out, so that nobody can fill the disk.
"""

import json
import os
import time
from collections import deque
from pathlib import Path
from typing import Any

import msgspec

from crosswire.engine.errors import ControlError
from crosswire.engine.monitor import messages as m
from crosswire.engine.monitor.bucket import Bucket
from crosswire.nic.host.owner import Owner
from crosswire.nic.host.trust import who_could_change

FILE = "commands.jsonl"
BEGUN = "begun"  # the outcome of a command that is being carried out
DONE = "done"
TO_CONFIRM = "to_confirm"
TEXT_LETTERS_MAX = 2000  # of one field
REFUSED_PER_S = 5.0
REFUSED_BURST = 100
TAIL_BYTES = 1 << 20  # that is read at the start, for `log`


class CommandLog(Owner):
    """The log of one name's runs."""

    def __init__(self, folder: Path) -> None:
        """Open it, or begin it. ControlError: it can't be written, or others could write it."""
        self.path = folder / FILE
        self.left_out = 0  # refused requests without a line of their own
        self._refusals = Bucket(REFUSED_PER_S, REFUSED_BURST)
        self._rows: deque[m.LogRow] = deque(maxlen=m.LOG_LINES_MAX)
        self._begun: dict[int, m.LogRow] = {}
        self._number = 0
        try:
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._file = os.open(self.path, flags, 0o600)
        except OSError as error:
            raise ControlError(f"{self.path}: can't be written: {error.strerror}") from None
        try:
            found = who_could_change(self.path)
            if found is not None:
                raise ControlError(f"{self.path}: could be changed: {found[0]} {found[1]}")
            self._read_tail()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def begin(self, client: str, role: str, request: m.Ask) -> int:
        """Write down what is about to be done; return its number. OSError: it can't be, so it must not be done."""
        self._number += 1
        row = self._row(client, role, request, BEGUN, "")
        self._append(self._number, row)
        return self._number

    def end(self, number: int, client: str, role: str, request: m.Ask, outcome: str, text: str) -> None:
        """Write down what became of it. OSError."""
        self._append(number, self._row(client, role, request, outcome, text))

    def refuse(self, client: str, role: str, request: m.Ask | None, refusal: m.Refusal) -> None:
        """Write down what was refused, unless there is too much of it. OSError."""
        if not self._refusals.take():
            self.left_out += 1
            return
        if self.left_out:
            text = f"{self.left_out} refused requests before this have no line of their own"
            self.left_out = 0
            self._append(0, self._row("", "", None, "left_out", text))
        self._append(0, self._row(client, role, request, refusal.reason, refusal.text))

    def last(self, count: int) -> list[m.LogRow]:
        """Give the last rows, the oldest first."""
        rows = list(self._rows)
        return rows[max(0, len(rows) - count) :]

    def _row(self, client: str, role: str, request: m.Ask | None, outcome: str, text: str) -> m.LogRow:
        tag = "" if request is None else m.tag_of(request)
        return m.LogRow(time.time_ns(), client, role, tag, detail_of(request), outcome, text[:TEXT_LETTERS_MAX])

    def _append(self, number: int, row: m.LogRow) -> None:
        line = json.dumps({"number": number, **msgspec.structs.asdict(row)}) + "\n"
        content = line.encode()
        written = os.write(self._file, content)
        if written != len(content):  # a full disk: the rest of a line would make the next one unreadable
            os.ftruncate(self._file, os.fstat(self._file).st_size - written)
            raise OSError(f"{self.path}: no room")
        os.fdatasync(self._file)
        self._keep(number, row)

    def _keep(self, number: int, row: m.LogRow) -> None:
        """Show a command once: as it ended, if it has."""
        begun = self._begun.pop(number, None)
        if begun is not None and begun in self._rows:
            self._rows.remove(begun)
        if row.outcome == BEGUN:
            self._begun = {number: row}
        self._rows.append(row)

    def _read_tail(self) -> None:
        size = os.fstat(self._file).st_size
        start = max(0, size - TAIL_BYTES)
        content = os.pread(self._file, size - start, start)
        if content and not content.endswith(b"\n"):
            os.write(self._file, b"\n")  # the monitor died while it wrote the last line
        lines = content.split(b"\n")
        for line in lines[1:] if start else lines:
            try:
                fields: dict[str, Any] = json.loads(line)
                number = int(fields.pop("number"))
                row = msgspec.convert(fields, m.LogRow)
            except (ValueError, TypeError, KeyError, AttributeError, msgspec.ValidationError):
                continue
            self._number = max(self._number, number)
            self._keep(number, row)


def detail_of(request: m.Ask | None) -> str:
    """Say in words what stands in a request; a token is not said."""
    if isinstance(request, m.Set):
        return ", ".join(f"{name} = {value}" for name, value in request.values.items())[:TEXT_LETTERS_MAX]
    if isinstance(request, m.CancelAll):
        chosen = (("venue", request.venue), ("instrument", request.instrument), ("strategy", request.strategy))
        return ", ".join(f"{name} {value}" for name, value in chosen if value)[:TEXT_LETTERS_MAX]
    return ""
