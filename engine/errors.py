"""The errors that are the user's to mend: each is one line, printed without a traceback."""

from engine.config import ConfigError
from nic.capture import CaptureError
from nic.host import HostError
from risk.limits import LimitError
from venues.bridge.binance import RecordingError

KNOWN_ERRORS = (ConfigError, CaptureError, HostError, LimitError, RecordingError, FileExistsError, FileNotFoundError)
