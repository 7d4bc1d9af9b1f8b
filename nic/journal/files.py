"""A journal's memory and files.

The loop writes into memory that outlives its process: a file in `MEMORY_FOLDER`, which is no disk. A thread of its own
seals what is committed, copies it to the run's folder and syncs it there, so the loop neither waits for a disk nor
faults on a page that the kernel is writing back. So

* what is committed survives the process's death at once, whatever kills it: readers take the memory while it is there;
* it survives the loss of power from its sync on, `lag_ns_max` later at worst.

Memory and disk of the next segment are allocated, and touched, before they are needed: a full disk is an error there,
and never a signal in the loop.
"""

import fcntl
import mmap
import os
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crosswire.nic.host.owner import Owner
from crosswire.nic.host.process import HostError
from crosswire.nic.journal.format import RECORD_BYTES_MAX, VERSION, SegmentHeader, make_multipliers
from crosswire.nic.journal.journal import RESERVE_BYTES, Journal, begin_segment
from crosswire.nic.journal.seal import Sealer, read_from_memory
from crosswire.nic.memory.struct import copy_struct, view

SEGMENT_BYTES = 4 << 20
SYNC_S = 0.02  # between two looks at what is to be copied and synced
MEMORY_FOLDER = Path("/dev/shm")
FOLDER = "journal"  # in a run's folder
LOCK = "lock"
KEY_BITS = 63


@dataclass
class Segment:
    """A segment's memory, and the file that it is copied to."""

    number: int
    memory: mmap.mmap
    memory_path: Path | None = None  # None: of this process alone
    link: Path | None = None  # in the run's folder, to `memory_path`
    file: int = -1
    copied_bytes: int = 0

    @property
    def address(self) -> int:
        """Where it lies."""
        return int(np.frombuffer(self.memory, np.uint8).ctypes.data)

    def copy(self, end: int, sealer: Sealer) -> None:
        """Bring what was committed up to byte `end` to the disk. OSError; ValueError: what is there is no record."""
        data = bytearray(memoryview(self.memory)[self.copied_bytes : end])
        sealed = sealer.seal(np.frombuffer(data, np.uint8), self.copied_bytes)
        if sealed > self.copied_bytes:
            write_all(self.file, memoryview(data)[: sealed - self.copied_bytes], self.copied_bytes)
            os.fdatasync(self.file)
            self.copied_bytes = sealed
        if sealed != end:
            raise ValueError(f"segment {self.number}, byte {sealed}: what was committed is damaged in memory")


def make_journal() -> Journal:
    """Make a journal without memory: whatever is written is dropped."""
    journal = Journal(is_full=1, key=secrets.randbits(KEY_BITS))
    copy_struct(journal.multipliers, make_multipliers())
    return journal


def install(journal: Journal, segment: Segment) -> None:
    """Give the journal its next segment, all zeros."""
    header = view(SegmentHeader, segment.address)
    header.version, header.number, header.bytes = VERSION, segment.number, len(segment.memory)
    header.key, header.created_ns = journal.key, time.time_ns()
    journal.next_limit = segment.address + len(segment.memory)
    journal.next_position = segment.address + SegmentHeader.size


class MemoryJournal:
    """Memory of a journal whose one segment is used again and again: `take` is to be called when it wants another.

    With a folder what is taken is kept there, as the segments of a journal.
    """

    def __init__(self, journal: Journal, folder: Path | None = None) -> None:
        self.journal = journal
        self.folder = folder
        self.segment = Segment(0, mmap.mmap(-1, SEGMENT_BYTES))
        self._sealer = Sealer()
        if folder is not None:
            folder.mkdir(exist_ok=True)
        self._begin()

    def _begin(self) -> None:
        self._sealed = 0
        install(self.journal, self.segment)
        begin_segment(self.journal)

    def written(self) -> memoryview:
        """What was written since `take`, segment header included; sealed."""
        data = np.frombuffer(self.segment.memory, np.uint8)[: self.journal.position - self.segment.address]
        self._sealed = self._sealer.seal(data[self._sealed :], self._sealed)
        return memoryview(self.segment.memory)[: len(data)]

    def take(self) -> None:
        """Keep what was written, if there is a folder, and begin again. OSError: it could not be kept."""
        written = self.written()
        if self.folder is not None:
            (self.folder / segment_name(self.segment.number)).write_bytes(written)
        np.frombuffer(written, np.uint8)[:] = 0
        self.segment.number += 1
        self._begin()

    def close(self) -> None:
        """Keep the rest."""
        if self.folder is not None and self.written().nbytes > SegmentHeader.size:
            self.take()


def segment_name(number: int) -> str:
    """Name the file of a segment."""
    return f"{number:06d}.bin"


class SharedJournal(Owner):
    """Memory and files of a live run's journal, kept by a thread. HostError: no memory, or no room on the disk."""

    def __init__(self, journal: Journal, folder: Path, memory_folder: Path = MEMORY_FOLDER) -> None:
        self.journal = journal
        self.folder, self.memory_folder = folder, memory_folder
        self.failure: Exception | None = None
        self.synced_sequence = 0
        self.lag_ns_max = 0
        self.syncs = 0
        self._segments: list[Segment] = []
        self._sealer = Sealer()
        self._made = 0
        self._seen_ns = time.monotonic_ns()
        self._stopping = threading.Event()
        self._keeping = threading.Lock()
        self._thread: threading.Thread | None = None
        folder.mkdir(exist_ok=True)
        self._lock = os.open(folder / LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            for _ in range(2):
                self._make_next()
                if self.journal.segments[0] == 0:
                    begin_segment(self.journal)
        except OSError as error:
            for segment in list(self._segments):
                self._discard(segment)
            self._give_back()
            raise HostError(f"journal {folder}: {error.strerror}") from None

    def start(self) -> None:
        """Begin to copy, sync and allocate in a thread."""
        self._thread = threading.Thread(target=self._keep_until_stopped, name="journal", daemon=True)
        self._thread.start()

    def _keep_until_stopped(self) -> None:
        while not self._stopping.wait(SYNC_S):
            self.keep()

    def keep(self) -> None:
        """Copy and sync what was committed since, let go of what is finished, allocate the next segment."""
        with self._keeping:
            try:
                self._copy()
                if self.journal.next_position == 0:
                    self._make_next()
                self.failure = None
            except Exception as error:  # whatever it is: the thread goes on, and who looks at `failure` acts
                self.failure = error

    def _make_next(self) -> None:
        """Allocate and touch memory and file of one more segment, and give it to the journal."""
        number = self._made
        memory_path = self.memory_folder / f"crosswire-{secrets.token_hex(8)}"
        handle = os.open(memory_path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        link, file = self.folder / f"{number:06d}.memory", -1
        try:
            os.posix_fallocate(handle, 0, SEGMENT_BYTES)
            file = os.open(self.folder / segment_name(number), os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
            os.posix_fallocate(file, 0, SEGMENT_BYTES)
            memory = mmap.mmap(handle, SEGMENT_BYTES)
            np.frombuffer(memory, np.uint8)[:] = 0
            link.symlink_to(memory_path)
            sync_folder(self.folder)
        except BaseException:
            # Whatever was made is of no use: the next attempt begins anew.
            memory_path.unlink()
            if file >= 0:
                os.close(file)
                (self.folder / segment_name(number)).unlink()
            raise
        finally:
            os.close(handle)
        self._made += 1
        segment = Segment(number, memory, memory_path, link, file)
        self._segments.append(segment)
        install(self.journal, segment)

    def _copy(self) -> None:
        """Copy what is committed to the disk, and sync it."""
        begun = self.journal.segments[0]
        sequence = self.journal.sequence  # before the position: no more is said to be synced than is
        left_position, position = self.journal.left_position, self.journal.position
        if self.journal.segments[0] != begun:
            return  # it went on to another segment just now: the next look sees all of it
        now_ns = time.monotonic_ns()
        for segment in list(self._segments):
            if segment.number >= begun:
                break
            is_left = segment.number < begun - 1
            end = (left_position if is_left else position) - segment.address
            if not 0 <= end <= SEGMENT_BYTES:
                return  # as above, seen half way
            if end > segment.copied_bytes:
                segment.copy(end, self._sealer)
                self.syncs += 1
            if is_left:
                self._finish(segment)
        if sequence != self.synced_sequence:
            self.lag_ns_max = max(self.lag_ns_max, time.monotonic_ns() - self._seen_ns)
            self.synced_sequence = sequence
        self._seen_ns = now_ns

    def _finish(self, segment: Segment) -> None:
        """Let go of a segment that is whole on the disk."""
        os.ftruncate(segment.file, segment.copied_bytes)
        os.fsync(segment.file)
        self._let_go(segment)

    def close(self) -> None:
        """Bring everything to the disk. What can't be brought there stays in memory, and `failure` says why."""
        if self._lock < 0:
            return
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        self.keep()
        try:
            for segment in list(self._segments) if self.failure is None else ():
                if segment.copied_bytes == 0:
                    self._discard(segment)
                else:
                    self._finish(segment)
        except OSError as error:
            self.failure = error
        self._give_back()

    def _discard(self, segment: Segment) -> None:
        """Let go of a segment that was not begun."""
        (self.folder / segment_name(segment.number)).unlink()
        self._let_go(segment)

    def _let_go(self, segment: Segment) -> None:
        """Give back a segment's file and memory, once: a later attempt would find another file under its number."""
        self._segments.remove(segment)
        os.close(segment.file)
        # In this order: whoever dies in between leaves a link to nothing, which is passed over, and no memory.
        for path in (segment.memory_path, segment.link):
            if path is not None:
                path.unlink(missing_ok=True)

    def _give_back(self) -> None:
        for segment in self._segments:
            os.close(segment.file)
        self._segments.clear()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def write_all(file: int, data: memoryview, offset: int) -> None:
    """Write all of it. OSError."""
    while data:
        count = os.pwrite(file, data, offset)
        data, offset = data[count:], offset + count


def sync_folder(folder: Path) -> None:
    """Bring a folder's names to the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def is_being_written(folder: Path) -> bool:
    """Tell whether a process holds the journal in `folder`."""
    try:
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def read_segments(folder: Path) -> Iterator[tuple[int, np.ndarray]]:
    """Give each segment's number and bytes, as far as they were written: from memory where that is still there."""
    numbers = sorted({int(path.stem) for path in folder.iterdir() if path.suffix in (".bin", ".memory")})
    for number in numbers:
        with suppress(FileNotFoundError):
            yield number, read_segment(folder, number)


def read_segment(folder: Path, number: int) -> np.ndarray:
    """Read one segment. FileNotFoundError."""
    path = folder / segment_name(number)
    try:
        return read_from_memory(folder / f"{number:06d}.memory", path)
    except FileNotFoundError:
        return np.fromfile(path, np.uint8)


def salvage(folder: Path) -> int:
    """Bring to the disk what a process that died has left in memory; return the number of bytes that were not there.

    Nothing is done while the journal is being written.
    """
    if is_being_written(folder):
        return 0
    saved = 0
    for link in sorted(folder.glob("*.memory")):
        memory_path = link.readlink()
        path = folder / segment_name(int(link.stem))
        with suppress(FileNotFoundError):  # the machine was started anew: what was synced is what there is
            data = read_from_memory(memory_path, path).tobytes()
            # A record may end in zeros.
            data = data[: len(data.rstrip(b"\0")) + RECORD_BYTES_MAX]
            if is_begun(data):
                with path.open("r+b") as file:
                    saved += max(0, len(data.rstrip(b"\0")) - len(file.read().rstrip(b"\0")))
                    file.seek(0)
                    file.write(data)
                    file.truncate()
                    file.flush()
                    os.fsync(file.fileno())
            else:
                path.unlink(missing_ok=True)
            memory_path.unlink()
        link.unlink()
    sync_folder(folder)
    return saved


def is_begun(data: bytes) -> bool:
    """Tell whether a segment's first word is there: it is written when the journal goes on in it."""
    return data[:8] != bytes(8) and len(data) >= SegmentHeader.size


assert SEGMENT_BYTES == 4 * RESERVE_BYTES  # so that at most a quarter of each is left unused
