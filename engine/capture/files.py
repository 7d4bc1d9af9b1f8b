"""Frames on their way from taps into capture files: rotated by size, written by a thread that no ring waits for."""

import os
import re
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path

import zstandard

from crosswire.engine.config import ConfigError
from crosswire.nic.capture.writer import CaptureWriter
from crosswire.nic.host.process import HostError, keep_capabilities
from crosswire.nic.memory.struct import address_of
from crosswire.nic.rings.tap import PcapRecords, TapRing, take_records
from crosswire.nic.unit.call import machine_code

ROTATE_MB = 256  # of a file, unless asked for otherwise; then the next one begins
MB = 1 << 20
ORDERS = ".orders"  # behind a venue's name: the files of what its order session was sent, and of the orders
LIVE_TAP_BYTES = 1 << 26  # of each venue's tap: 0.3 s of a million frames a second
IDLE_S = 0.002  # between looks at taps that were empty


class CaptureFiles:
    """One capture in files NAME-000.pcap.zst, -001, ...; a file under its final name is complete.

    A write that fails (a full disk) ends the capture, not the program: `failure` says why, and all frames that are in
    no complete file are in `lost`.
    """

    def __init__(self, directory: Path, name: str, *, rotate_mb: int = ROTATE_MB, compress: bool = True) -> None:
        """Raise ConfigError if the names can't be made or are taken, HostError if nothing can be written there."""
        if not name or Path(name).name != name:
            raise ConfigError(f"capture {name!r}: can't be the name of a file")
        if rotate_mb < 1:
            raise ConfigError(f"rotating at {rotate_mb} MB: must be at least 1")
        self.directory = directory
        self.name = name
        self.paths: list[Path] = []  # complete
        self.frames = 0  # in them, and in the one being written
        self.bytes = 0  # of the files
        self.lost = 0
        self.failure = ""
        self._rotate_bytes = rotate_mb * MB
        self._suffix = ".pcap.zst" if compress else ".pcap"
        self._writer: CaptureWriter | None = None
        self._unfinished = 0  # frames in it
        try:
            directory.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=directory):
                pass
        except OSError as error:
            raise HostError(f"{directory}: nothing can be written there: {error.strerror}") from None
        pattern = re.compile(re.escape(name) + r"-\d{3,}\.pcap(\.zst)?")
        taken = sorted(each for each in directory.iterdir() if pattern.fullmatch(each.name))
        if taken:
            raise ConfigError(f"{taken[0]}: is there already; name another folder, a capture is one run's")

    def write(self, records: memoryview, frames: int) -> None:
        """Append `frames` frames as pcap records."""
        if self.failure:
            self.lost += frames
            return
        try:
            if self._writer is None:
                self._writer = CaptureWriter(self.directory / f"{self.name}-{len(self.paths):03}{self._suffix}")
            self.frames += frames
            self._unfinished += frames
            self._writer.write_raw(records)
            if self._writer.file_bytes() >= self._rotate_bytes:
                self._finish(self._writer)
        except (OSError, zstandard.ZstdError) as error:
            self._fail(error)

    def close(self) -> None:
        """Complete the last file."""
        if self._writer is None:
            return
        try:
            self._finish(self._writer)
        except (OSError, zstandard.ZstdError) as error:
            self._fail(error)

    def _finish(self, writer: CaptureWriter) -> None:
        writer.close()
        self._writer = None
        self._unfinished = 0
        self.bytes += writer.path.stat().st_size
        self.paths.append(writer.path)

    def _fail(self, error: Exception) -> None:
        reason = error.strerror if isinstance(error, OSError) else error
        self.failure = f"{self.directory}/{self.name}-{len(self.paths):03}{self._suffix}: {reason}"
        self.frames -= self._unfinished
        self.lost += self._unfinished
        self._unfinished = 0
        if self._writer is not None:
            self._writer.discard()
            self._writer = None


TAKE_RECORDS = machine_code(take_records)


class TapLane:
    """A tap and the files that its frames go to; with `orders` those of the order session go there."""

    def __init__(self, tap: TapRing, files: CaptureFiles, orders: CaptureFiles | None = None) -> None:
        # As the base class: one compiled `take_records` for the taps of all rings.
        self.tap = TapRing.at(address_of(tap), tap.memory)
        self.files, self.orders = files, orders
        self.records, self.order_records = PcapRecords(), PcapRecords()

    def move(self) -> int:
        """Move as many frames as fit at once; return how many."""
        frames = TAKE_RECORDS(self.tap, self.records, self.order_records)
        write_records(self.records, self.files)
        if self.orders is not None:
            write_records(self.order_records, self.orders)
        return frames

    def close(self) -> None:
        """Complete the files."""
        for files in self.all_files:
            files.close()

    @property
    def all_files(self) -> list[CaptureFiles]:
        """List what the tap's frames go to."""
        return [self.files] if self.orders is None else [self.files, self.orders]

    @property
    def lost(self) -> int:
        """Frames that passed the tap and are in no file: the tap had no room, or the files failed."""
        return self.tap.lost + sum(files.lost for files in self.all_files)


def write_records(records: PcapRecords, files: CaptureFiles) -> None:
    """Append the records that were taken, if there are any."""
    if records.frames > 0:
        files.write(records.data.numpy().data[: records.bytes], records.frames)


class TapWriter:
    """A thread that empties taps into files, off `core` if it may run on another, until it is stopped."""

    def __init__(
        self, lanes: Iterable[TapLane], core: int | None = None, capabilities: Iterable[str] | None = None
    ) -> None:
        """Take the taps and their files; with `capabilities` the thread gives up all others."""
        self.lanes = list(lanes)
        self._core = core
        self._capabilities = capabilities
        self._stopping = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._turn, name="capture")

    def start(self) -> None:
        """Start the thread, if there is any tap."""
        if self.lanes:
            self._thread.start()

    def stop(self) -> None:
        """Write what the taps hold, complete the files and end the thread. Nothing may pass the taps any more."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _turn(self) -> None:
        try:
            if self._capabilities is not None:
                keep_capabilities(self._capabilities)
            others = os.sched_getaffinity(0) - {self._core}
            if others:
                os.sched_setaffinity(0, others)
            while True:
                stopping = self._stopping.is_set()  # before the look: what came before the stop is seen
                if sum(lane.move() for lane in self.lanes) == 0:
                    if stopping:
                        break
                    self._stopping.wait(IDLE_S)
            for lane in self.lanes:
                lane.close()
        except BaseException as error:  # told by `stop`; a thread's error would be printed and forgotten
            self._failure = error


def compile_take() -> None:
    """Compile what the thread calls, before there is any frame to lose."""
    TAKE_RECORDS(TapRing(capacity=8), PcapRecords(), PcapRecords())
