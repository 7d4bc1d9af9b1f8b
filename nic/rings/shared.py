"""`SharedRing`: one end of a full-duplex wire between two processes, in a file that both map.

    header | direction 0 (end 0 to end 1) | direction 1 (end 1 to end 0)
             indexes  descriptors  frames

Each direction is laid out as AF_XDP lays out its rings (include/uapi/linux/if_xdp.h): free-running 32-bit producer and
consumer indices on cache lines of their own, descriptors that name bytes of a frame area. A sender writes the frame
where it stays, the receiver reads it there; neither makes a system call. Index and descriptors order their accesses by
release and acquire; each side keeps what it last saw of the other's index and looks again only when that is used up.
"""

import contextlib
import ctypes
import errno
import fcntl
import os
import struct
from pathlib import Path
from typing import Annotated

from crosswire.nic.host.owner import Owner
from crosswire.nic.host.process import HostError, map_memory, unmap_memory
from crosswire.nic.memory.raw import LINE_BYTES, load_u32_acquire, store_i64_release, store_u32_release
from crosswire.nic.memory.struct import Array, Struct, i64, size_of, u8, u32, u64, view
from crosswire.nic.rings.ring import (
    Frame,
    RingCounters,
    Watch,
    commit,
    describe_watch,
    flush,
    next_time_ns,
    poll,
    release,
    reserve,
    set_frame,
)
from crosswire.nic.unit.compile import compiled

SHARED_FOLDER = Path("/dev/shm")
SHARED_MAGIC = 0x4352_4F53_5357_4952  # "CROSSWIR"
SHARED_VERSION = 1
SHARED_FRAMES_MAX = 1 << 20  # of one direction
SHARED_FRAME_BYTES_MIN = 64
SHARED_FRAME_BYTES_MAX = 1 << 16
INDEX_MASK = 0xFFFF_FFFF
ENDS = 2
HEADER_BYTES = 4096


class SharedHeader(Struct):
    """First page of the file; `magic` is written last."""

    magic: i64
    version: i64
    frames: i64  # per direction, a power of two
    frame_bytes: i64
    total_bytes: i64


class SharedIndexes(Struct):
    """How many frames of one direction were sent and given back, modulo 2**32."""

    producer: u32
    _producer_line: Annotated[Array, u8, LINE_BYTES - 4]
    consumer: u32
    _consumer_line: Annotated[Array, u8, LINE_BYTES - 4]


class SharedDescriptor(Struct):
    """`struct xdp_desc`; `offset` is the frame's first byte, from the start of the direction's frame area."""

    offset: u64
    length: u32
    options: u32


class SharedWay(Struct):
    """One direction, as one end sees it."""

    producer_address: i64
    consumer_address: i64
    descriptors_address: i64
    frames_address: i64
    area_bytes: i64
    index: i64  # this end's: the producer of what it sends, the consumer of what it receives
    ready: i64  # slots known to be free, or frames known to be there


class SharedRing(Struct):
    """One end; `SharedMemory` owns what it points to."""

    frames: i64
    frame_bytes: i64
    transmit: SharedWay
    receive: SharedWay
    counters: RingCounters  # `drops`: no slot was free, or the other end wrote a descriptor that names no frame


@compiled
def release_shared_frame(way: SharedWay) -> None:
    """Give the oldest received frame's slot back to the sender."""
    way.index = (way.index + 1) & INDEX_MASK
    way.ready -= 1
    store_u32_release(way.consumer_address, way.index)


@reserve.register(SharedRing)
def reserve_shared(ring: SharedRing, length: int) -> int:
    way = ring.transmit
    if way.ready == 0:
        way.ready = ring.frames - ((way.index - load_u32_acquire(way.consumer_address)) & INDEX_MASK)
    if way.ready <= 0 or length > ring.frame_bytes:
        ring.counters.drops += 1
        return 0
    return way.frames_address + (way.index & (ring.frames - 1)) * ring.frame_bytes


@commit.register(SharedRing)
def commit_shared(ring: SharedRing, length: int, _now_ns: int) -> None:
    way = ring.transmit
    slot = way.index & (ring.frames - 1)
    descriptor = view(SharedDescriptor, way.descriptors_address + slot * size_of(SharedDescriptor))
    descriptor.offset = slot * ring.frame_bytes
    descriptor.length = length
    descriptor.options = 0
    way.index = (way.index + 1) & INDEX_MASK
    way.ready -= 1
    store_u32_release(way.producer_address, way.index)


@flush.register(SharedRing)
def flush_shared(_ring: SharedRing) -> None:
    """Wake nobody: the other end polls."""


@poll.register(SharedRing)
def poll_shared(ring: SharedRing, frame: Frame, now_ns: int) -> bool:
    way = ring.receive
    if way.ready == 0:
        way.ready = (load_u32_acquire(way.producer_address) - way.index) & INDEX_MASK
        if way.ready == 0:
            ring.counters.empty_polls += 1
            return False
    slot = way.index & (ring.frames - 1)
    descriptor = view(SharedDescriptor, way.descriptors_address + slot * size_of(SharedDescriptor))
    offset = descriptor.offset
    length = descriptor.length
    if offset < 0 or offset > way.area_bytes - length:
        # The other process is not believed: an offset outside the area must not become an address.
        ring.counters.drops += 1
        release_shared_frame(way)
        return False
    set_frame(ring.counters, frame, way.frames_address + offset, length, now_ns)
    return True


@release.register(SharedRing)
def release_shared(ring: SharedRing) -> None:
    release_shared_frame(ring.receive)


@next_time_ns.register(SharedRing)
def next_shared_ns(_ring: SharedRing) -> int:
    return 0


@describe_watch.register(SharedRing)
def describe_shared_watch(ring: SharedRing, watch: Watch) -> None:
    watch.address = ring.receive.producer_address
    watch.value = ring.receive.index


class SharedMemory(Owner):
    """Owner of one process's mapping; a context manager. Its rings are invalid after `close`.

    `path` without a folder is a name under /dev/shm; another process's memfd is /proc/<pid>/fd/<number>. The creator
    chooses the sizes and removes the file; `HostError` when it is there already, or is not one of these.
    """

    def __init__(self, path: str | os.PathLike[str], create: bool, frames: int = 1024, frame_bytes: int = 2048) -> None:
        self.path = SHARED_FOLDER / path  # an absolute path stays as it is
        self.create = create
        self._address = 0
        self._ends: set[int] = set()
        self._fd = self._created(frames, frame_bytes) if create else self._opened()
        try:
            self._map()
        except BaseException:
            self.close()
            raise

    def _error(self, what: str) -> HostError:
        return HostError(f"shared ring {self.path}: {what}")

    def _created(self, frames: int, frame_bytes: int) -> int:
        if not (1 <= frames <= SHARED_FRAMES_MAX and frames & (frames - 1) == 0):
            raise self._error(f"{frames} frames, must be a power of two up to {SHARED_FRAMES_MAX}")
        if not SHARED_FRAME_BYTES_MIN <= frame_bytes <= SHARED_FRAME_BYTES_MAX or frame_bytes % LINE_BYTES:
            limits = f"{SHARED_FRAME_BYTES_MIN} to {SHARED_FRAME_BYTES_MAX}"
            raise self._error(f"frames of {frame_bytes} bytes, must be {limits} and a multiple of {LINE_BYTES}")
        self.frames, self.frame_bytes = frames, frame_bytes
        self.total_bytes = HEADER_BYTES + ENDS * way_bytes(frames, frame_bytes)
        try:
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            raise self._error("exists already; open it, or remove the file if nothing uses it") from None
        except OSError as error:
            raise self._error(f"{error.strerror}; must be a file that can be made") from None
        try:
            # Reserves the pages: a full /dev/shm is an error here, not a bus error in the loop.
            os.posix_fallocate(fd, 0, self.total_bytes)
        except OSError as error:
            os.close(fd)
            self.path.unlink()
            raise self._error(f"{self.total_bytes} bytes: {error.strerror}; use fewer or smaller frames") from None
        return fd

    def _opened(self) -> int:
        try:
            fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise self._error(f"{error.strerror}; start the process that creates it first") from None
        header = SharedHeader()
        data = os.pread(fd, SharedHeader.size, 0)
        ctypes.memmove(header.address, data, len(data))
        problem = self._problem(header, os.fstat(fd).st_size)
        if problem:
            os.close(fd)
            raise self._error(problem)
        self.frames, self.frame_bytes, self.total_bytes = header.frames, header.frame_bytes, header.total_bytes
        return fd

    def _problem(self, header: SharedHeader, file_bytes: int) -> str:
        if header.magic != SHARED_MAGIC:
            return "is no shared ring, or not finished"
        if header.version != SHARED_VERSION:
            return f"has version {header.version}, must be {SHARED_VERSION}; run the same release at both ends"
        frames, frame_bytes = header.frames, header.frame_bytes
        fits = 1 <= frames <= SHARED_FRAMES_MAX and SHARED_FRAME_BYTES_MIN <= frame_bytes <= SHARED_FRAME_BYTES_MAX
        if not fits or frames & (frames - 1) or frame_bytes % LINE_BYTES:
            return f"has a header that says {frames} frames of {frame_bytes} bytes"
        needed = HEADER_BYTES + ENDS * way_bytes(frames, frame_bytes)
        if header.total_bytes != needed or file_bytes < needed:
            return f"has {file_bytes} bytes, must have {needed}"
        return ""

    def _map(self) -> None:
        self._address = map_memory(self.total_bytes, fd=self._fd, shared=True)
        if not self.create:
            return
        header = view(SharedHeader, self._address)
        header.version = SHARED_VERSION
        header.frames = self.frames
        header.frame_bytes = self.frame_bytes
        header.total_bytes = self.total_bytes
        store_i64_release(self._address, SHARED_MAGIC)

    def end(self, number: int) -> SharedRing:
        """End 0 or 1 of the wire; HostError while another process has it. It goes on where that end was left."""
        if number not in range(ENDS):
            raise ValueError(f"end {number}: a wire has ends 0 and 1")
        if number in self._ends:
            raise self._error(f"end {number} is in use by this process")
        # A lock of the open file: it goes with the process, however that ends.
        lock = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, number, 1, 0)
        try:
            fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, lock)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise self._error(f"end {number}: {error.strerror}") from None
            raise self._error(f"end {number} is in use; stop the process that has it, or take the other end") from None
        self._ends.add(number)
        ring = SharedRing(frames=self.frames, frame_bytes=self.frame_bytes)
        self._set_way(ring.transmit, number)
        self._set_way(ring.receive, 1 - number)
        ring.transmit.index = load_u32_acquire(ring.transmit.producer_address)
        ring.receive.index = load_u32_acquire(ring.receive.consumer_address)
        return ring

    def _set_way(self, way: SharedWay, direction: int) -> None:
        indexes = self._address + HEADER_BYTES + direction * way_bytes(self.frames, self.frame_bytes)
        way.producer_address = indexes + SharedIndexes.fields["producer"].offset
        way.consumer_address = indexes + SharedIndexes.fields["consumer"].offset
        way.descriptors_address = indexes + SharedIndexes.size
        way.area_bytes = self.frames * self.frame_bytes
        way.frames_address = indexes + way_bytes(self.frames, self.frame_bytes) - way.area_bytes

    def close(self) -> None:
        """Unmap, and remove the file if this made it."""
        if self._address:
            unmap_memory(self._address, self.total_bytes)
            self._address = 0
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            if self.create:
                with contextlib.suppress(FileNotFoundError):
                    self.path.unlink()


def way_bytes(frames: int, frame_bytes: int) -> int:
    """Size of one direction: indexes, descriptors, frames; each starts on a cache line."""
    descriptors_bytes = -(-frames * SharedDescriptor.size // LINE_BYTES) * LINE_BYTES
    return SharedIndexes.size + descriptors_bytes + frames * frame_bytes
