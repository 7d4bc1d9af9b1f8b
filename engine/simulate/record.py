"""A simulated run kept as a live one is: its journal, and a capture of what its loop saw."""

from pathlib import Path

from crosswire.engine.capture.files import LIVE_TAP_BYTES, ORDERS, CaptureFiles, TapLane
from crosswire.engine.records import record_closed
from crosswire.engine.state import Engine
from crosswire.nic.journal.files import FOLDER
from crosswire.nic.memory.struct import Struct
from crosswire.nic.rings.tap import make_tap, tell_run

CAPTURE = "capture"  # in the run's folder


class Recording:
    """What is kept of one simulated run, in a folder like a live run's; its engine is not started again."""

    def __init__(self, folder: Path) -> None:
        """Make the folders. OSError, ConfigError: they are there already."""
        self.folder, self.journal, self.capture = folder, folder / FOLDER, folder / CAPTURE
        folder.mkdir(parents=True, exist_ok=False)
        self.lanes: list[TapLane] = []

    def tap(self, ring: Struct, name: str) -> Struct:
        """Lay a tap around a venue's ring."""
        tap = make_tap(ring, LIVE_TAP_BYTES, tells_orders=True)
        self.lanes.append(TapLane(tap, CaptureFiles(self.capture, name), CaptureFiles(self.capture, name + ORDERS)))
        return tap

    def begin(self, key: int) -> None:
        """Say whose capture it is: the journal's with this key."""
        for lane in self.lanes:
            tell_run(lane.tap, key, 0)

    def move(self) -> None:
        """Write what the taps hold."""
        for lane in self.lanes:
            while lane.move():
                pass

    def close(self, engine: Engine) -> None:
        """Complete journal and capture; the journal's owner is to keep what is written here."""
        record_closed(engine, engine.state.now_ns)
        self.move()
        for lane in self.lanes:
            lane.close()
