"""Look at a live run from another process, and command it.

    with attach(Path("runs"), "mine") as run:
        print(run.engine.state.frames, state_text(run.engine.gate))
        print(run.post(Command(CommandKind.PAUSE, "alice"), timeout_s=1.0).text)

`engine` and `parts` lie in the run's own memory, mapped read-only at the same addresses: reading costs the loop
nothing, and can't change anything. What is read is as the loop has it at that very instant, a number at a time; where
several must belong together, `consistent` reads until they agree. Only the mailbox can be written.
"""

import ctypes
import fcntl
import importlib
import mmap
import os
import struct
import time
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from crosswire.engine.config import RunConfig, make_config
from crosswire.engine.control.mailbox import (
    ACCEPTED,
    EVERY,
    ITEMS_MAX,
    MAILBOX_BYTES,
    MAILBOX_MAGIC,
    CommandKind,
    Mailbox,
    Outcome,
    client_bytes,
    write_command,
)
from crosswire.engine.control.share import (
    HEADER_MAGIC,
    MAILBOX_LINK,
    MEMORY_LINK,
    ROOTS_MAX,
    Header,
    layout_digest,
    text_in,
)
from crosswire.engine.journal.description import Description, read_description
from crosswire.engine.runs import LATEST
from crosswire.engine.state import Engine
from crosswire.nic.host.owner import Owner
from crosswire.nic.host.process import HostError, map_memory, unmap_memory
from crosswire.nic.journal.files import FOLDER
from crosswire.nic.memory.arena import ArenaReader, is_held, open_shared
from crosswire.nic.memory.raw import load_i64_acquire
from crosswire.nic.memory.struct import Array, Struct, address_of, view
from crosswire.venues.feed import Feed
from crosswire.venues.session import Session

Read = TypeVar("Read")
CONSISTENT_TRIES = 100
ANSWER_LOOK_S = 0.0002  # between two looks for an answer


@dataclass(frozen=True)
class Command:
    """What is asked of the loop; `items` are (place of the parameter, value in its own unit)."""

    kind: CommandKind
    client: str
    venue: int = EVERY
    instrument: int = EVERY
    strategy: int = EVERY
    items: Sequence[tuple[int, int]] = ()


@dataclass(frozen=True)
class Answer:
    """What the loop has made of a command."""

    number: int
    outcome: Outcome
    detail: int

    @property
    def is_accepted(self) -> bool:
        """Tell whether what was asked for holds now, or has begun."""
        return self.outcome in ACCEPTED


class Part(NamedTuple):
    """One venue of the run; None: it is not shared."""

    venue: int
    feed: Any
    session: Any
    ring: Any  # of its market data


class Attached(Owner):
    """A live run as another process has it: a context manager. Its structs are invalid after `close`."""

    def __init__(self, folder: Path) -> None:
        """Map the run that is traded in this folder. HostError: there is none, or it is of another release."""
        self.folder = folder
        self._mailbox = 0
        self._mailbox_file = -1
        self._reader = ArenaReader(folder / MEMORY_LINK, Header.size)
        try:
            self._map()
        except BaseException:
            self.close()
            raise

    def _map(self) -> None:
        header = Header()
        if len(self._reader.header) != Header.size:
            raise HostError(f"{self._reader.path}: is no shared memory of a run")
        ctypes.memmove(address_of(header), self._reader.header, Header.size)
        if header.magic[0] != HEADER_MAGIC or not 0 <= header.root_count <= ROOTS_MAX:
            raise self._other_release()
        names = [(root.venue, root.address, text_in(root.cls)) for root in list(header.roots)[: header.root_count]]
        try:
            classes = [find_class(name) for _, _, name in names]
        except (ImportError, AttributeError, TypeError, ValueError):
            raise self._other_release() from None
        if bytes(header.digest) != layout_digest(classes):
            raise self._other_release()
        if not self.is_alive():
            raise HostError(f"{self._reader.path}: the run has ended, without leaving in order")
        self._reader.map(header.address)
        memory = self._reader.memory
        self.engine = Engine.at(header.engine, memory)
        self.process: int = header.process
        self.name = text_in(header.name)
        roots = [(venue, cls.at(address, memory)) for (venue, address, _), cls in zip(names, classes, strict=True)]
        self.parts = [part_of(venue, roots) for venue in range(self.engine.venue_count)]

    def _other_release(self) -> HostError:
        return HostError(f"{self._reader.path}: the run is of another release of Crosswire: look at it with that one")

    @cached_property
    def description(self) -> Description:
        """The run in names, as its journal begins."""
        found = read_description(self.folder / FOLDER)
        if found is None:
            raise HostError(f"{self.folder}: its journal does not say yet what the run is")
        return found

    @cached_property
    def config(self) -> RunConfig:
        """The run's own configuration. ConfigError, JournalError."""
        text, path = self.description.config_text, Path(self.description.config_file)
        return make_config(tomllib.loads(text, parse_float=Decimal), path)

    def is_alive(self) -> bool:
        """Tell whether the run's process lives."""
        return self._reader.is_alive()

    def post(self, command: Command, timeout_s: float) -> Answer:
        """Ask, and wait for the answer. HostError: none came in time; ValueError: it can't be asked."""
        client = client_bytes(command.client)
        if len(command.items) > ITEMS_MAX:
            raise ValueError(f"{len(command.items)} values: a command has {ITEMS_MAX} at most")
        until_s = time.monotonic() + timeout_s
        mailbox = self._open_mailbox()
        with self._turn(until_s):
            number = mailbox.number[0]
            while load_i64_acquire(address_of(mailbox.answered)) != number:
                self._wait(until_s, "has not answered an earlier command")
            number += 1
            selectors = (command.venue, command.instrument, command.strategy)
            write_command(mailbox, number, command.kind, selectors, client, command.items)
            while load_i64_acquire(address_of(mailbox.answered)) != number:
                self._wait(until_s, f"has not answered command {number} in {timeout_s} s")
            return Answer(number, Outcome(mailbox.outcome), mailbox.detail)

    def _wait(self, until_s: float, what: str) -> None:
        if not self.is_alive():
            raise HostError(f"{self.folder}: the run has ended")
        if time.monotonic() > until_s:
            raise HostError(f"{self.folder}: the loop {what}")
        time.sleep(ANSWER_LOOK_S)

    def _turn(self, until_s: float) -> "_Turn":
        return _Turn(self, self._mailbox_file, until_s)

    def _open_mailbox(self) -> Mailbox:
        """Map the mailbox, the first time that it is needed. HostError."""
        if self._mailbox == 0:
            link = self.folder / MAILBOX_LINK
            self._mailbox_file = open_shared(link, os.O_RDWR)
            if os.fstat(self._mailbox_file).st_size != MAILBOX_BYTES or not is_held(self._mailbox_file):
                raise HostError(f"{link}: is no mailbox of a run that is being traded")
            self._mailbox = map_memory(MAILBOX_BYTES, fd=self._mailbox_file, shared=True)
        mailbox = view(Mailbox, self._mailbox)
        if mailbox.magic != MAILBOX_MAGIC:
            raise self._other_release()
        return mailbox

    def close(self) -> None:
        """Let go of all that is mapped."""
        if self._mailbox:
            unmap_memory(self._mailbox, MAILBOX_BYTES)
            self._mailbox = 0
        if self._mailbox_file >= 0:
            os.close(self._mailbox_file)
            self._mailbox_file = -1
        self._reader.close()


class _Turn(Owner):
    """One client's turn at the slot, whichever process it is of: a lock of the open file."""

    def __init__(self, run: Attached, file: int, until_s: float) -> None:
        self.file = file
        while not self._lock(fcntl.F_WRLCK):
            run._wait(until_s, "is being commanded by another process")

    def _lock(self, kind: int) -> bool:
        try:
            fcntl.fcntl(self.file, fcntl.F_OFD_SETLK, struct.pack("hhqqi", kind, os.SEEK_SET, 0, 1, 0))
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Let the next one have it."""
        if self.file >= 0:
            self._lock(fcntl.F_UNLCK)
            self.file = -1


def attach(runs_folder: Path, name: str) -> Attached:
    """Attach to the live run of this name that was started last. HostError: it is not being traded."""
    return Attached((runs_folder / name / LATEST).resolve())


def find_class(name: str) -> type[Struct]:
    """Find a struct class by "module:name". ImportError, AttributeError, TypeError."""
    module, _, qualified = name.partition(":")
    found = getattr(importlib.import_module(module), qualified)
    if not (isinstance(found, type) and issubclass(found, Struct)):
        raise TypeError(name)
    return found


def part_of(venue: int, roots: Sequence[tuple[int, Struct]]) -> Part:
    """Gather what is shared of one venue."""
    own = [each for number, each in roots if number == venue]
    feed = next((each for each in own if isinstance(each, Feed)), None)
    session = next((each for each in own if isinstance(each, Session)), None)
    ring = next((each for each in own if not isinstance(each, Feed | Session)), None)
    return Part(venue, feed, session, ring)


def consistent(read: Callable[[], Read]) -> Read | None:
    """Read until two reads agree: then nothing was written in between. None: they never did in CONSISTENT_TRIES."""
    last = read()
    for _ in range(CONSISTENT_TRIES):
        now = read()
        if now == last:
            return now
        last = now
    return None


def bytes_of(item: Struct | Array) -> bytes:
    """Copy a struct, for use with `consistent`."""
    return bytes(item)


assert mmap.PAGESIZE == MAILBOX_BYTES
