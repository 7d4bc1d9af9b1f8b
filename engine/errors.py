"""Errors that the user can fix: each is one line, printed without a traceback."""

from pathlib import Path

from crosswire.engine.config import ConfigError
from crosswire.nic.capture.reader import CaptureError
from crosswire.nic.host.process import HostError
from crosswire.nic.journal.reader import JournalError
from crosswire.nic.unit.build import CompileError
from crosswire.nic.unit.load import UnitError
from crosswire.nic.unit.store import StoreError
from crosswire.nic.unit.target import TargetError
from crosswire.risk.limits import LimitError
from crosswire.venues.errors import VenueError


class LoopError(Exception):
    """One line: what a run's own code raised, and where. Nothing more was sent."""


class AlarmError(Exception):
    """One line: what a venue and the engine do not agree on. Everything was cancelled; the records are kept."""


class KilledError(Exception):
    """One line: who has ended a run by a command. Everything was cancelled; the records are kept."""


class NothingError(Exception):
    """One line: why nothing could happen in a run, which is kept in `folder`."""

    def __init__(self, reason: str, folder: Path) -> None:
        super().__init__(reason)
        self.folder = folder


class ControlError(Exception):
    """One line: why a monitor or its client can't do what was asked."""


class ExplainError(Exception):
    """One line: why a run can't be explained, and what to do."""


class SimulationError(Exception):
    """One line: what can't be simulated, or what ended a simulation before its seeds did."""


KNOWN_ERRORS = (
    AlarmError,
    ConfigError,
    CaptureError,
    CompileError,
    ControlError,
    ExplainError,
    HostError,
    JournalError,
    KilledError,
    LimitError,
    LoopError,
    NothingError,
    SimulationError,
    StoreError,
    TargetError,
    UnitError,
    VenueError,
    OSError,  # a full disk, another user's folder, a file where a folder should be
)
