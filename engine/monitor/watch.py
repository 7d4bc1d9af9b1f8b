"""Which run a monitor looks at: the one of its name that is traded now, or else the last one as it ended."""

import threading
import time
from pathlib import Path

from crosswire.engine.control.attach import Attached, attach
from crosswire.engine.errors import KNOWN_ERRORS
from crosswire.engine.monitor.snapshot import Snapshot
from crosswire.engine.runs import LATEST
from crosswire.engine.telemetry.log import Say

LOOK_S = 0.5  # between two looks for a run


class Watch:
    """Attaches to each run of a name as it begins, and says so."""

    def __init__(self, output: Path, name: str, say: Say) -> None:
        self.output, self.name, self.say = output, name, say
        self.snapshot: Snapshot | None = None  # of the run that is traded, or of the last one as it ended
        self.is_alive = False
        self.lock = threading.Lock()  # another thread than the one that looks holds it while it reads a run
        self._looked_s = 0.0
        self._said = ""

    def look(self) -> None:
        """Look, now and then, whether the run lives, and whether there is another."""
        if time.monotonic() - self._looked_s < LOOK_S:
            return
        self._looked_s = time.monotonic()
        self.note_end(f"; waiting for the next run of {self.name}")
        if not self.is_alive:
            self._attach()

    def note_end(self, then: str = "") -> None:
        """Say that the run has ended if it has, and what comes then."""
        if self.snapshot is not None and self.is_alive and not self.snapshot.run.is_alive():
            self.is_alive = False
            run = self.snapshot.run.folder.name
            self._say(f"run {run} has ended{then}", "run_ended", run=run)

    def _attach(self) -> None:
        folder = (self.output / self.name / LATEST).resolve()
        if self.snapshot is not None and self.snapshot.run.folder == folder:
            return
        run: Attached | None = None
        try:
            run = attach(self.output, self.name)
            snapshot = Snapshot(run)
        except KNOWN_ERRORS as error:  # it has not begun yet, or is of another release
            if run is not None:
                run.close()
            self._say(f"no run of {self.name} yet ({error})", "no_run")
            return
        with self.lock:
            self._let_go()
            self.snapshot, self.is_alive = snapshot, run.is_alive()
        self._say(f"attached to run {run.folder.name}", "attached", run=run.folder.name)

    def _say(self, text: str, event: str, **fields: object) -> None:
        """Say something once, not at each look."""
        if text != self._said:
            self._said = text
            self.say(text, event, **fields)

    def close(self) -> None:
        """Let go of the run."""
        with self.lock:
            self._let_go()

    def _let_go(self) -> None:
        if self.snapshot is not None:
            self.snapshot.run.close()
            self.snapshot = None
        self.is_alive = False
