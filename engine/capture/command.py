"""`crosswire capture`: an interface's multicast groups recorded as nanosecond captures, with every lost frame counted.

Three stages, so that no stall of the disk reaches the kernel: a ring that the kernel fills, a thread that moves frames
from it into a tap's buffer, and a thread that compresses and writes them.
"""

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from crosswire.engine.capture.files import MB, CaptureFiles, TapLane, TapWriter, compile_take
from crosswire.engine.config import ConfigError
from crosswire.engine.live.rings import parse_group
from crosswire.nic.host.interface import InterfaceDrops
from crosswire.nic.host.multicast import Membership
from crosswire.nic.host.process import HostError, need_capability
from crosswire.nic.host.signals import note_signals
from crosswire.nic.host.testbed import in_namespace
from crosswire.nic.memory.raw import load_i64_acquire
from crosswire.nic.memory.struct import address_of
from crosswire.nic.rings.receive_times import SOFTWARE
from crosswire.nic.rings.ring import NEVER_NS, Frame, poll, release
from crosswire.nic.rings.sockets.af_packet import AfPacketRing, AfPacketSocket
from crosswire.nic.rings.sockets.send_slots import SLOT_BYTES
from crosswire.nic.rings.tap import TapRing, make_tap
from crosswire.nic.unit.call import machine_code
from crosswire.nic.unit.compile import compiled

RING_FRAMES = 1 << 15  # 64 MB: 30 ms of a million frames a second, for a receiving thread that is not run
BUFFER_BYTES = 1 << 27  # 0.5 s of a million frames a second, for a disk that stalls
FRAMES_A_TURN = 1 << 14
ROOM_BYTES = 4 * SLOT_BYTES  # enough for any frame, and for what is left unused at the buffer's end
IDLE_S = 0.001  # the ring holds this long at 32 million frames a second
PROGRESS_S = 1.0
FULL = -1
_TAKEN = TapRing.fields["taken"].offset


@dataclass(frozen=True)
class CaptureOptions:
    """What `crosswire capture` was asked for. `seconds` 0: until a signal."""

    interface: str
    groups: tuple[str, ...]
    directory: Path
    rotate_mb: int
    compress: bool
    seconds: float
    namespace: str


@dataclass
class CaptureSummary:
    """What became of the frames: `received` = `written` + `kernel_drops` + `truncated` + `not_written`."""

    interface: str
    groups: list[str]
    seconds: float
    received: int  # by the kernel's count: it passed the filter
    written: int
    bytes: int  # of written frames
    kernel_drops: int  # the ring was full
    truncated: int  # longer than a slot of the ring
    not_written: int  # the disk was full, or failed
    interface_drops: int  # before the kernel looked whose frames they were
    times_raised: int  # to the frame's before: cores stamp a little out of order
    files: list[str]
    file_bytes: int


@compiled
def fill_tap(tap: Any, frame: Frame) -> int:
    """Move frames from the ring into the tap's buffer; return how many, 0 if there was none, FULL if it had no room."""
    for number in range(FRAMES_A_TURN):
        taken = load_i64_acquire(address_of(tap) + _TAKEN)
        if tap.written + ROOM_BYTES - taken > tap.capacity:
            return number if number > 0 else FULL
        if not poll(tap, frame, NEVER_NS):  # the kernel stamps every frame
            return number
        release(tap)
    return FRAMES_A_TURN


FILL_TAP = machine_code(fill_tap)


class Receiver:
    """The thread between the kernel's ring and the buffer."""

    def __init__(self, owner: AfPacketSocket) -> None:
        self.owner = owner
        self.tap = make_tap(owner.ring, BUFFER_BYTES)
        self._frame = Frame()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._turn, name="receive")

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Let no more frames in and wait until those in the ring are in the buffer, which must still be emptied."""
        try:
            self.owner.stop_receiving()
        finally:
            self._stopping.set()
            self._thread.join()

    def _turn(self) -> None:
        while True:
            stopping = self._stopping.is_set()
            moved = FILL_TAP(self.tap, self._frame)
            if moved == 0 and stopping:
                return
            if moved <= 0:
                time.sleep(IDLE_S)


def run_capture(options: CaptureOptions, say: Callable[[str], None]) -> CaptureSummary:
    """Capture until SIGINT, SIGTERM or for `seconds`, printing progress. ConfigError, HostError: one line each."""
    if not options.groups:
        raise ConfigError("capture: no group; name at least one, as --group 239.1.1.1:6200")
    groups = [parse_group(text, "--group") for text in options.groups]
    need_capability("CAP_NET_RAW", f"capture: AF_PACKET on {options.interface}")
    files = CaptureFiles(options.directory, options.interface, rotate_mb=options.rotate_mb, compress=options.compress)
    compile_take()
    FILL_TAP(make_tap(AfPacketRing(), 8), Frame())  # compiles it: the tap has no room, so the ring is not looked into
    signals = note_signals()
    with ExitStack() as closing:
        with ExitStack() as there:
            if options.namespace:
                there.enter_context(in_namespace(options.namespace))
            steered = [(group.ip, group.port, group.source_ip) for group in groups]
            owner = closing.enter_context(
                AfPacketSocket(options.interface, udp=steered, frames=RING_FRAMES, stamped=SOFTWARE)
            )
            drops = closing.enter_context(InterfaceDrops(options.interface))
            closing.enter_context(Membership(options.interface, groups))
        receiver = Receiver(owner)
        lane = TapLane(receiver.tap, files)
        writer = TapWriter([lane])
        begun = time.monotonic()
        writer.start()
        receiver.start()
        say(f"capturing {', '.join(map(str, groups))} on {options.interface}")
        try:
            watch(owner, lane, drops, begun, options.seconds, signals, say)
        finally:
            receiver.stop()
            writer.stop()
        summary = account(options, owner, lane, drops.count(), time.monotonic() - begun)
    if files.failure:
        raise HostError(f"{files.failure}; {files.lost} frames are in no file, {files.frames} in {len(files.paths)}")
    return summary


def watch(
    owner: AfPacketSocket,
    lane: TapLane,
    drops: InterfaceDrops,
    begun: float,
    seconds: float,
    signals: list[int],
    say: Callable[[str], None],
) -> None:
    """Print progress every second, until it is time to stop."""
    said = begun
    while not signals and not lane.files.failure:
        now = time.monotonic()
        if seconds and now - begun >= seconds:
            return
        if now - said >= PROGRESS_S:
            said += PROGRESS_S
            lost = owner.statistics()
            frames, received_bytes = owner.ring.counters.frames, owner.ring.counters.bytes
            files = len(lane.files.paths)
            say(
                f"{now - begun:7.0f} s  frames {frames:,}  bytes {received_bytes:,}  "
                f"drops {lost['kernel_drops'] + lost['truncated']:,}  interface drops {drops.count():,}  "
                f"files {files} complete"
            )
        time.sleep(0.05)


def account(
    options: CaptureOptions, owner: AfPacketSocket, lane: TapLane, interface_drops: int, seconds: float
) -> CaptureSummary:
    """Count where every frame went, after the threads have ended."""
    lost = owner.statistics()
    return CaptureSummary(
        interface=options.interface,
        groups=list(options.groups),
        seconds=round(seconds, 3),
        received=owner.kernel_frames,
        written=lane.files.frames,
        bytes=owner.ring.counters.bytes,
        kernel_drops=lost["kernel_drops"],
        truncated=lost["truncated"],
        not_written=lane.lost,
        interface_drops=interface_drops,
        times_raised=lane.records.raised + owner.ring.times.raised,
        files=[str(path) for path in lane.files.paths],
        file_bytes=lane.files.bytes,
    )


def summary_text(summary: CaptureSummary) -> str:
    """Describe the summary in one line."""
    return (
        f"received {summary.received:,} frames: written {summary.written:,}, lost {summary.kernel_drops:,} to a full "
        f"ring, {summary.truncated:,} too long; interface drops {summary.interface_drops:,}; "
        f"{len(summary.files)} files, {summary.file_bytes / MB:,.1f} MB"
    )


def summary_facts(summary: CaptureSummary) -> dict[str, Any]:
    """Convert the summary for JSON."""
    return asdict(summary)
